"""EMT-DLFR (Sun, Lian, Liu and Tao 2023, arXiv:2208.07589): a few global tokens instead of attention between all steps.

A recurrent layer reads every feature; its last state, projected, is a global token. In every layer the steps of each
feature attend to all global tokens, and the global tokens to the steps of each feature; no step attends to a step of
another feature. In training there are two views of a sample, as it is and without what corruption removed: their
representations are attracted to each other (SimSiam), and what was removed is reconstructed.

Conventions:
    B samples of a batch, T steps of the longest sequence, M features, h numbers of a token or step, e of the vector of
    a feature. `lengths`, `(B,)` int64, are how many steps are real, 0 for a feature that a sample lacks. Padding comes
    after them; outputs do not depend on it, or on the other samples. Outputs are `(B, K)` scores or `(B,)` numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, gelu, smooth_l1_loss

from merbench.errors import UsageError
from merbench.parameters import Within
from merbench.training import Setup
from merbench.training.networks.attention import Steps, attended, sinusoids
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import Dropout, Heads, Width
from merbench.training.networks.losses import loss_of_targets
from merbench.training.networks.network import NetworkBaseline, Shape
from merbench.training.networks.optimisation import Schedule
from merbench.training.networks.recurrent import last_states, window_means

Outputs = dict[str, Tensor]
Weight = Annotated[float, Within(0)]

NUMBERS = "absolute_error"
"""The loss of targets that are numbers, as in the paper."""


@dataclass(frozen=True, kw_only=True)
class Options(Schedule):
    """Architecture, losses of the two views, and training.

    Attributes:
        hidden: width h of global tokens and steps.
        heads: heads of attention; they divide the width.
        layers: how often tokens and steps attend to each other; all layers have the same parameters.
        recurrent: width of the LSTM that reads a feature.
        encoding: width e of what represents a feature.
        units: width of the two layers before the heads.
        window: how many consecutive rows are averaged before they are read.
        dropout: share of what is fused that is dropped in training.
        attention_dropout: share of the weights of attention that is dropped in training.
        unit_dropout: share of the outputs of the feed-forward layers that is dropped in training.
        attraction: weight of the task on the complete view, and of the agreement of both views; 0: there is one view.
        reconstruction: weight of the error of reconstructed steps.
    """

    hidden: Width
    heads: Annotated[int, Within(1, 256)]
    layers: Annotated[int, Within(1, 64)]
    recurrent: Width
    encoding: Annotated[int, Within(2, 65_536)]
    units: Width
    window: Annotated[int, Within(1)]
    dropout: Dropout
    attention_dropout: Dropout
    unit_dropout: Dropout
    attraction: Weight
    reconstruction: Weight

    def __post_init__(self) -> None:
        """Raise `UsageError` for a width that the heads do not divide, too."""
        super().__post_init__()
        if self.hidden % self.heads:
            raise UsageError(f"hidden: {self.hidden} is not divisible by heads, which is {self.heads}")


class Attention(nn.Module):
    """Attention to a context, or to the steps themselves, which are normalised first; 4 h² + 3 h or 4 h² + 5 h."""

    def __init__(self, options: Options, *, has_context: bool) -> None:
        super().__init__()
        width = options.hidden
        self.heads, self.dropout = options.heads, options.attention_dropout
        self.normal = nn.LayerNorm(width)
        self.context_normal = nn.LayerNorm(width) if has_context else None
        self.queries = nn.Linear(width, width, bias=False)
        self.keys_and_values = nn.Linear(width, 2 * width, bias=False)
        self.output = nn.Linear(width, width)

    def forward(self, steps: Steps, context: Steps) -> Tensor:
        """Return what every step has from the context, zeros where the context has no steps."""
        own = self.normal(steps.values)
        other = own if self.context_normal is None else self.context_normal(context.values)
        keys, values = self.keys_and_values(other).chunk(2, -1)
        dropout = self.dropout if self.training else 0.0
        taken = attended(self.queries(own), keys, values, context.lengths, heads=self.heads, dropout=dropout)
        output: Tensor = self.output(taken)
        return output.masked_fill((context.lengths == 0)[:, None, None], 0)


class Promotion(nn.Module):
    """Half of a mutual promotion unit: attention to a context, attention to themselves, and gated layers.

    Each is added to what it reads. At h = 128 it has 330,112 parameters.
    """

    def __init__(self, options: Options) -> None:
        super().__init__()
        width = options.hidden
        self.cross, self.own = Attention(options, has_context=True), Attention(options, has_context=False)
        self.normal, self.gated = nn.LayerNorm(width), nn.Linear(width, 8 * width)
        self.output, self.dropout = nn.Linear(4 * width, width), nn.Dropout(options.unit_dropout)

    def forward(self, steps: Steps, context: Steps) -> Tensor:
        """Return the promoted steps."""
        values = steps.values + self.cross(steps, context)
        own = Steps(values, steps.lengths)
        values = values + self.own(own, own)
        units, gates = self.gated(self.normal(values)).chunk(2, -1)
        promoted: Tensor = values + self.dropout(self.output(units * gelu(gates)))
        return promoted


class Exchange(nn.Module):
    """The efficient multimodal transformer: one promotion for both directions, all features and all layers."""

    def __init__(self, n_features: int, options: Options) -> None:
        super().__init__()
        width = n_features * options.hidden
        self.layers, self.promotion = options.layers, Promotion(options)
        self.pool = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1))

    def forward(self, tokens: Tensor, steps: list[Steps], seen: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Return tokens `(B, M, h)` and steps, promoted; of each feature the tokens attend to so many steps, `(B,)`.

        All features of a layer are read with the tokens that it was given; their versions of the tokens are pooled.
        """
        every = torch.full((len(tokens),), tokens.shape[1], device=tokens.device)
        for _ in range(self.layers):
            given = Steps(tokens, every)
            contexts = [Steps(own.values, lengths) for own, lengths in zip(steps, seen, strict=True)]
            versions = torch.stack([self.promotion(given, context).flatten(1) for context in contexts], 1)
            steps = [Steps(self.promotion(own, given), own.lengths) for own in steps]
            tokens = (self.pool(versions).softmax(1) * versions).sum(1).unflatten(1, (len(steps), -1))
        return tokens, [own.values for own in steps]


class Agreement(nn.Module):
    """SimSiam (Chen and He 2021): a prediction from either view is compared with the other, which gets no gradient.

    As released, a layer and batch normalisation project, and two layers with normalisation and ReLU predict.
    """

    def __init__(self, width: int, n_hidden: int) -> None:
        super().__init__()
        normal = partial(nn.BatchNorm1d, track_running_stats=False)
        self.projector = nn.Sequential(nn.Linear(width, width), normal(width, affine=False))
        self.predictor = nn.Sequential(
            nn.Linear(width, n_hidden, bias=False), normal(n_hidden), nn.ReLU(), nn.Linear(n_hidden, width)
        )

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Return minus the mean cosine of two views `(n, width)`; 0 for a single sample, which has no normalisation."""
        if len(a) < 2:
            return a.new_zeros(())
        projected = [self.projector(view) for view in (a, b)]
        pairs = zip(projected, reversed(projected), strict=True)
        return -torch.stack([cosine_similarity(self.predictor(z), other.detach()) for z, other in pairs]).mean()


@dataclass(frozen=True, eq=False, slots=True)
class View:
    """What is made of one view: outputs, global tokens `(B, M h)`, and by feature vectors `(B, e)` and steps."""

    outputs: Outputs
    tokens: Tensor
    vectors: list[Tensor]
    steps: list[Tensor]


class Network(nn.Module):
    """Sequences of any number of features to one output per target.

    Args:
        options: the architecture.
        shape: what it is made for.
    """

    def __init__(self, options: Options, shape: Shape) -> None:
        super().__init__()
        self.options, self.names = options, list(shape.widths)
        numbers = [name for name, n_labels in shape.labels.items() if n_labels is None]
        self.losses = {**dict.fromkeys(numbers, NUMBERS), **options.losses}
        e, h, n, widths = options.encoding, options.hidden, len(shape.widths), shape.widths.values()
        self.recurrent = nn.ModuleList(nn.LSTM(width, options.recurrent, batch_first=True) for width in widths)
        self.encodings = nn.ModuleList(nn.Linear(options.recurrent, e) for _ in widths)
        self.projections = nn.ModuleList(nn.Linear(e, h, bias=False) for _ in widths)
        self.exchange = Exchange(n, options)
        self.agreements = nn.ModuleList([Agreement(n * h, h), *(Agreement(e, e // 2) for _ in widths)])
        self.reconstructions = nn.ModuleList(nn.Linear(h, width) for width in widths)
        fused = [nn.Linear(n * (e + h), options.units), nn.ReLU(), nn.Linear(options.units, options.units), nn.ReLU()]
        self.fusion = nn.Sequential(nn.Dropout(options.dropout), *fused)
        self.heads = Heads(options.units, shape.labels)

    def view(self, rows: Mapping[str, Tensor], lengths: Mapping[str, Tensor], seen: Mapping[str, Tensor]) -> View:
        """Return what is made of rows; of each feature `lengths` of them are steps, and as many count as `seen`."""
        vectors, steps, tokens, counted = list[Tensor](), list[Steps](), list[Tensor](), list[Tensor]()
        parts = zip(self.names, self.recurrent, self.encodings, self.projections, strict=True)
        for name, recurrent, encoding, projection in parts:
            means, n_steps = window_means(rows[name], lengths[name], self.options.window)
            encoded = encoding(recurrent(means)[0])
            vector = last_states(encoded, n_steps).masked_fill((seen[name] == 0)[:, None], 0)
            projected = projection(encoded)
            places = sinusoids(projected.shape[1], projected.shape[2], first=0).to(projected)
            vectors.append(vector)
            tokens.append(projection(vector))
            steps.append(Steps(projected + places, n_steps))
            counted.append(torch.where(seen[name] > 0, n_steps, 0))
        promoted, local = self.exchange(torch.stack(tokens, 1), steps, counted)
        flat = promoted.flatten(1)
        return View(self.heads(self.fusion(torch.cat([*vectors, flat], 1))), flat, vectors, local)

    def forward(self, batch: Batch) -> Outputs | tuple[Outputs, dict[str, Tensor]]:
        """Return the outputs for a batch, and in training the losses of the two views."""
        given = self.view(batch.inputs, batch.complete_lengths, batch.lengths)
        if not batch.targets:
            return given.outputs
        losses, options = dict[str, Tensor](), self.options
        if options.attraction:
            complete = self.view(batch.complete, batch.complete_lengths, batch.complete_lengths)
            task = loss_of_targets(complete.outputs, batch.targets, self.losses, batch.real)
            losses["complete_view"] = options.attraction * task
            losses["attraction"] = options.attraction * self.attraction(given, complete, batch)
        if options.reconstruction:
            losses["reconstruction"] = options.reconstruction * self.error(given, batch)
        return given.outputs, losses

    def attraction(self, given: View, complete: View, batch: Batch) -> Tensor:
        """Return the sum of the disagreements of global tokens, and of the vectors of features that are not removed."""
        kept = [batch.real, *(batch.real & batch.present[name] for name in self.names)]
        pairs = zip([given.tokens, *given.vectors], [complete.tokens, *complete.vectors], strict=True)
        parts = zip(self.agreements, pairs, kept, strict=True)
        return torch.stack([agreement(a[rows], b[rows]) for agreement, (a, b), rows in parts]).sum()

    def error(self, given: View, batch: Batch) -> Tensor:
        """Return the sum over features of the mean smooth absolute error at removed steps; 0 where none is."""
        window, errors = self.options.window, list[Tensor]()
        for name, layer, steps in zip(self.names, self.reconstructions, given.steps, strict=True):
            lengths, gone = batch.complete_lengths[name], batch.removed(name).float()[..., None]
            removed = window_means(gone, lengths, window)[0].squeeze(-1) > 0
            target = window_means(batch.complete[name], lengths, window)[0][removed]
            rebuilt = layer(steps[removed])
            errors.append(smooth_l1_loss(rebuilt, target, reduction="sum") / max(1, target.numel()))
        return torch.stack(errors).sum()


def build(options: Options, setup: Setup) -> NetworkBaseline:
    make = partial(Network, options)
    return NetworkBaseline(make, options, setup, kind="sequences", standardise=True, numbers=NUMBERS)
