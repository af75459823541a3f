"""ITEACH-Net: a teacher that sees complete dialogues, and a deeper student that sees incomplete ones (Sun et al.).

The layers of a branch read every modality of a dialogue; in each layer, the main modality then attends to the others.
How much an utterance attends to another one also depends on how the emotion changes in between, by a mean over the
utterances from the one to the other. The student chooses for every utterance how it is mixed with others. Both learn
the targets, and where something is missing, the student's last states of the main modality learn the teacher's.

Conventions:
    B dialogues of a batch, L utterances of the longest, d numbers of a vector, h hidden units, M modalities, one per
    feature. Utterances are `(B, L, h)`; `real`, `(B, L)`, are those that are not padding, which nothing depends on.
    Outputs are `(B, L, K)` scores of labels or `(B, L)` numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool1d, conv1d, linear, max_pool1d, pad, scaled_dot_product_attention

from merbench.errors import UsageError
from merbench.parameters import Within
from merbench.training import Setup
from merbench.training.networks.attention import xavier
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import Dropout, Heads, Width
from merbench.training.networks.losses import loss_of_targets
from merbench.training.networks.network import NetworkBaseline, Shape
from merbench.training.networks.optimisation import Schedule

Outputs = dict[str, Tensor]

TAPS, DISTANCE, POOLED, MIXERS = 7, 30, 3, 4
"""Utterances of the kernel of changing emotion; how far apart two may be for it; utterances that are pooled; mixers."""

DISTILLED = (0.5, 0.1, 0.05)
"""Weights of the states after the last layers, the last one first."""


@dataclass(frozen=True)
class Options(Schedule):
    """Architecture, distillation, and training.

    Attributes:
        hidden: width h of an utterance.
        heads: heads of attention; they divide the width.
        layers: layers of the student.
        teacher_layers: layers of the teacher.
        longest: utterances that a layer over time mixes at once; a longer dialogue is mixed in parts of so many.
        mixed: whether the student chooses between attention, a layer over time and two kinds of pooling; if not, it
            has attention only.
        context: whether attention depends on how the emotion changes.
        dropout: share of units, and of the weights of attention, that the student drops in training.
        teacher_dropout: the same of the teacher.
        context_dropout: share that is dropped before and after the kernel of changing emotion.
        distillation: weight of the distance of the student's states to the teacher's.
    """

    hidden: Width
    heads: Annotated[int, Within(1, 256)]
    layers: Annotated[int, Within(1, 64)]
    teacher_layers: Annotated[int, Within(1, 64)]
    longest: Annotated[int, Within(1, 4096)]
    mixed: bool
    context: bool
    dropout: Dropout
    teacher_dropout: Dropout
    context_dropout: Dropout
    distillation: Annotated[float, Within(0)]

    def __post_init__(self) -> None:
        """Raise `UsageError` for a width that the heads do not divide, too."""
        super().__post_init__()
        if self.hidden % self.heads:
            raise UsageError(f"hidden: {self.hidden} is not divisible by heads, which is {self.heads}")


class Context(nn.Module):
    """The emotion context changing encoder: what is added to the attention of two utterances, `(B, L, L)`.

    A kernel over time, which all hidden units share and whose taps sum to 1, smooths the utterances; a linear map of
    the mean over all from one utterance to another is added where they are near. It has TAPS + h + 1 parameters.
    """

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.taps, self.linear = nn.Parameter(torch.zeros(TAPS)), nn.Linear(options.hidden, 1)
        self.dropout = nn.Dropout(options.context_dropout)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """Return what is added."""
        rows = self.dropout(x).masked_fill(~real[..., None], 0).transpose(1, 2)
        kernel = self.taps.softmax(0).expand(rows.shape[1], 1, -1)
        smooth = conv1d(rows, kernel, padding=TAPS // 2, groups=rows.shape[1]).transpose(1, 2)
        # The map of a mean is the mean of what is mapped: single numbers are averaged.
        return interval_means(linear(self.dropout(smooth), self.linear.weight).squeeze(-1)) + self.linear.bias


class Attention(nn.Module):
    """Attention of several heads with something added to its logits; 4 h² + 4 h parameters."""

    def __init__(self, options: Options, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = options.heads, dropout
        self.inputs, self.output = xavier(options.hidden, 3 * options.hidden), xavier(options.hidden, options.hidden)

    def forward(self, x: Tensor, source: Tensor, added: Tensor) -> Tensor:
        """Return what utterances get from those of a source; `added` is minus infinity for padding."""
        h, weight, bias = x.shape[-1], self.inputs.weight, self.inputs.bias
        parts = [linear(x, weight[:h], bias[:h]), *linear(source, weight[h:], bias[h:]).chunk(2, -1)]
        queries, keys, values = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        dropout = self.dropout if self.training else 0.0
        attended = scaled_dot_product_attention(queries, keys, values, attn_mask=added[:, None], dropout_p=dropout)
        output: Tensor = self.output(attended.transpose(1, 2).flatten(2))
        return output


class OverTime(nn.Module):
    """Two layers over the utterances of a dialogue, the same for every hidden unit; 2 (T² + T) parameters."""

    def __init__(self, n_utterances: int) -> None:
        super().__init__()
        self.n_utterances = n = n_utterances
        self.layers = nn.Sequential(nn.Linear(n, n), nn.GELU(), nn.Linear(n, n))

    def forward(self, x: Tensor) -> Tensor:
        """Return mixed utterances; those of a longer dialogue are mixed in parts, the last one filled with zeros."""
        n_parts = -(-x.shape[1] // self.n_utterances)
        filled = pad(x, (0, 0, 0, n_parts * self.n_utterances - x.shape[1]))
        parts = filled.unflatten(1, (n_parts, self.n_utterances)).transpose(2, 3)
        mixed: Tensor = self.layers(parts)
        return mixed.transpose(2, 3).flatten(1, 2)[:, : x.shape[1]]


class Layer(nn.Module):
    """Utterances are mixed, then changed one by one, each time added to what was read normalised."""

    def __init__(self, options: Options, dropout: float, *, mixed: bool) -> None:
        super().__init__()
        h, drop = options.hidden, partial(nn.Dropout, dropout)
        self.before_mixing, self.attention = nn.LayerNorm(h), Attention(options, dropout)
        self.over_time = OverTime(options.longest) if mixed else None
        self.units = nn.Sequential(nn.LayerNorm(h), nn.Linear(h, 4 * h), nn.GELU(), drop(), nn.Linear(4 * h, h), drop())

    def forward(self, x: Tensor, added: Tensor, real: Tensor, router: nn.Module | None) -> Tensor:
        """Return utterances, zeros for padding; `router` gives every utterance scores of its mixers."""
        normal = self.before_mixing(x).masked_fill(~real[..., None], 0)
        mixed = self.attention(normal, normal, added)
        if router is not None and self.over_time is not None:
            ways = torch.stack([mixed, self.over_time(normal), *pooled(normal, real)], -1)
            mixed = (ways * router(normal).softmax(-1)[..., None, :]).sum(-1)
        x = x + mixed
        x = x + self.units(x)
        return x.masked_fill(~real[..., None], 0)


class Fusion(nn.Module):
    """The main modality gets something from each other one by attention of its own; all are normalised before."""

    def __init__(self, n_others: int, options: Options, dropout: float) -> None:
        super().__init__()
        self.normal = nn.LayerNorm(options.hidden)
        self.normals = nn.ModuleList(nn.LayerNorm(options.hidden) for _ in range(n_others))
        self.attention = nn.ModuleList(Attention(options, dropout) for _ in range(n_others))

    def forward(self, x: Tensor, others: Sequence[Tensor], added: Tensor) -> Tensor:
        """Return the main modality's utterances."""
        query = self.normal(x)
        parts = zip(self.attention, self.normals, others, strict=True)
        return x + torch.stack([attend(query, normal(other), added) for attend, normal, other in parts]).sum(0)


class Branch(nn.Module):
    """Teacher or student: vectors of dialogues `(B, L, d)` to outputs, and the main modality after every layer."""

    def __init__(self, options: Options, shape: Shape, n_layers: int, dropout: float, *, mixed: bool) -> None:
        super().__init__()
        widths = shape.widths.values()
        self.projections = nn.ModuleList(nn.Linear(width, options.hidden) for width in widths)
        self.contexts = nn.ModuleList(Context(options) for _ in widths) if options.context else None
        layer = partial(Layer, options, dropout, mixed=mixed)
        self.layers, self.n_layers = nn.ModuleList(layer() for _ in range(n_layers * len(widths))), n_layers
        n_others = len(shape.widths) - 1
        self.fusions = nn.ModuleList(Fusion(n_others, options, dropout) for _ in range(n_layers if n_others else 0))
        self.heads = Heads(options.hidden, shape.labels)

    def forward(
        self, inputs: Sequence[Tensor], real: Tensor, main: int, routers: Sequence[nn.Module] = ()
    ) -> tuple[Outputs, list[Tensor]]:
        """Return outputs and states; routers are by layer and modality, as the blocks are."""
        rows = [project(x) for project, x in zip(self.projections, inputs, strict=True)]
        seen = real | (torch.arange(real.shape[1], device=real.device) == 0)  # without any, a weight is 0 / 0
        padding = torch.zeros_like(rows[0][:, None, :, 0]).masked_fill(~seen[:, None], -torch.inf)
        added = [padding] * len(rows)
        if self.contexts is not None:
            added = [padding + context(x, real) for context, x in zip(self.contexts, rows, strict=True)]
        states = list[Tensor]()
        chosen: Sequence[nn.Module | None] = routers or [None] * len(self.layers)
        for n in range(self.n_layers):
            own = slice(n * len(rows), (n + 1) * len(rows))
            parts = zip(self.layers[own], rows, added, chosen[own], strict=True)
            rows = [layer(x, more, real, router) for layer, x, more, router in parts]
            if self.fusions:
                rows[main] = self.fusions[n](rows[main], rows[:main] + rows[main + 1 :], padding)
            states.append(rows[main])
        return self.heads(states[-1]), states


class Network(nn.Module):
    """Dialogues of utterances with any number of features to one output per target and utterance, by the student.

    The main modality is the first text, else the first feature; it is stored with the weights.

    Args:
        options: the architecture.
        shape: what it is made for.
    """

    main: Tensor

    def __init__(self, options: Options, shape: Shape) -> None:
        super().__init__()
        self.options, features = options, list(shape.widths)
        texts = [n for n, name in enumerate(features) if shape.modalities.get(name) == "text"]
        self.register_buffer("main", torch.tensor((texts or [0])[0]))
        self.teacher = Branch(options, shape, options.teacher_layers, options.teacher_dropout, mixed=False)
        self.student = Branch(options, shape, options.layers, options.dropout, mixed=options.mixed)
        n_routers = options.layers * len(features) if options.mixed else 0
        self.routers = nn.ModuleList(nn.Linear(options.hidden, MIXERS) for _ in range(n_routers))

    def forward(self, batch: Batch) -> Outputs | tuple[Outputs, dict[str, Tensor]]:
        """Return the student's outputs, and in training the teacher's loss and the distance to it.

        The paper halves the losses of both outputs; here, all of the loss is twice as large.
        """
        main, real = int(self.main), batch.real
        outputs: Outputs
        outputs, states = self.student([*batch.inputs.values()], real, main, [*self.routers])
        if not batch.targets:
            return outputs
        taught, targets = self.teacher([*batch.complete.values()], real, main)
        losses = {"teacher": loss_of_targets(taught, batch.targets, self.options.losses, real)}
        if self.options.distillation:
            removed = torch.stack([batch.removed(name) for name in batch.inputs]).any(0) & real
            losses["distillation"] = 2 * self.options.distillation * distance(states, targets, removed)
        return outputs, losses


def interval_means(values: Tensor) -> Tensor:
    """Return the mean from every utterance to every other one, both included, `(B, L, L)`; 0 for distant ones."""
    places = torch.arange(values.shape[1], device=values.device)
    first, last = torch.minimum(places[:, None], places), torch.maximum(places[:, None], places)
    sums = pad(values.double().cumsum(1), (1, 0))
    means = ((sums[:, last + 1] - sums[:, first]) / (last - first + 1)).to(values.dtype)
    return means.masked_fill(last - first > DISTANCE, 0)


def pooled(x: Tensor, real: Tensor) -> list[Tensor]:
    """Return the means and the maxima of every utterance and its neighbours; padding is in none, and gets zeros."""
    pool = partial(avg_pool1d, kernel_size=POOLED, stride=1, padding=POOLED // 2)
    shares = pool(real.to(x.dtype)[:, None]).clamp_min(1 / (2 * POOLED))
    rows, lowest = (x.masked_fill(~real[..., None], value).transpose(1, 2) for value in (0, -torch.inf))
    mean = (pool(rows) / shares).transpose(1, 2)
    largest = max_pool1d(lowest, POOLED, 1, POOLED // 2).transpose(1, 2)
    return [part.masked_fill(~real[..., None], 0) for part in (mean, largest)]


def distance(states: Sequence[Tensor], targets: Sequence[Tensor], which: Tensor) -> Tensor:
    """Return the weighted mean squared errors of the last states of some utterances; 0 where there are none.

    Args:
        states: the student's, after every layer.
        targets: the teacher's, through which no gradient passes.
        which: the utterances, `(B, L)`.
    """
    total, n = states[-1].new_zeros(()), which.sum().clamp_min(1) * states[-1].shape[-1]
    for weight, own, target in zip(DISTILLED, reversed(states), reversed(targets), strict=False):
        errors = (own - target.detach()).square() * which[..., None]
        total = total + weight * errors.sum() / n
    return total


def build(options: Options, setup: Setup) -> NetworkBaseline:
    return NetworkBaseline(partial(Network, options), options, setup, kind="dialogues", standardise=True)
