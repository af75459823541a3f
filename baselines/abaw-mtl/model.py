"""Two-aspect fusion for the tasks of ABAW 2022 (Sun et al., arXiv:2207.11389), on vectors of frames.

The features of a frame become tokens, one for each action unit or region. Two transformer encoders read them, one for
each aspect; queries of the tasks attend to the tokens of both. What a query is given is smoothed with what it was given
in the frame before, and answered from by the task's layer. Everything is trained.

Conventions:
    B windows of a batch, L frames, n real frames of all windows, T tokens, w numbers of a token, Q queries, K labels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from merbench.errors import UsageError, listed
from merbench.parameters import Described, Within
from merbench.training import Setup
from merbench.training.networks.batches import Batch
from merbench.training.networks.frames import FrameBaseline, FrameOptions, frame_loss, weighted_cross_entropy
from merbench.training.networks.layers import Dropout, Width
from merbench.training.networks.network import Shape

FRAMES_AT_ONCE = 2048
"""How many frames the encoders read at once where nothing is learned; bounds memory."""

LabelWeights = Annotated[
    Mapping[str, tuple[Annotated[float, Field(ge=0)], ...]], Described("by target, a list of weights, one per label")
]


@dataclass(frozen=True)
class Options(FrameOptions):
    """Architecture, losses and training.

    Attributes:
        tokens: tokens T of a frame.
        width: numbers w of a token, a multiple of `heads`.
        heads: heads of the encoders, and of the queries' attention.
        feed_forward: width of the hidden layer of an encoder.
        aspects: which encoders there are: `both`, only that of the action units, `au`, or only the `other`.
        input_dropout: share of the tokens' numbers that is dropped.
        dropout: share dropped within the encoders.
        smoothing_start: initial μ of the smoothing within the network, y_t = (x_t + μ x_{t−1}) / (1 + μ); 0: none.
        label_weights: by target, weights of its labels; of other targets, all are 1.
    """

    tokens: Width
    width: Width
    heads: Annotated[int, Within(1)]
    feed_forward: Width
    aspects: Literal["both", "au", "other"]
    input_dropout: Dropout
    dropout: Dropout
    smoothing_start: Annotated[float, Within(0)]
    label_weights: LabelWeights = field(default_factory=dict)


class TwoTapSmoothing(nn.Module):
    """y_t = (x_t + μ x_{t−1}) / (1 + μ) of `(B, L, Q, w)`, with μ > 0 and x_{−1}, the initial state `(w)`, trained.

    The one before is not smoothed: it is a filter of two frames, not a running mean.
    """

    def __init__(self, width: int, start: float) -> None:
        super().__init__()
        self.inverse = nn.Parameter(torch.tensor(start).expm1().log())  # μ = ln(1 + e^inverse)
        self.initial = nn.Parameter(torch.ones(width))

    @property
    def mu(self) -> Tensor:
        """How much the frame before weighs."""
        return nn.functional.softplus(self.inverse)

    def forward(self, x: Tensor) -> Tensor:
        """Return what is smoothed along L."""
        first = self.initial.expand(len(x), 1, x.shape[2], -1)
        before = torch.cat([first, x[:, :-1]], 1)
        return (x + self.mu * before) / (1 + self.mu)


class Task(nn.Module):
    """The queries of a target with labels, or of all targets that are numbers, and what answers from them.

    Args:
        options: the architecture.
        n_queries: queries Q: one for each label of a target of several labels, else one.
        n_outputs: numbers that are answered: Q, where a query answers with one each, or those of the only one.
    """

    def __init__(self, options: Options, n_queries: int, n_outputs: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.empty(n_queries, options.width))
        nn.init.xavier_uniform_(self.queries)
        self.attention = nn.MultiheadAttention(options.width, options.heads, batch_first=True)
        self.smoothing = TwoTapSmoothing(options.width, options.smoothing_start) if options.smoothing_start else None
        self.weight = nn.Parameter(torch.empty(n_outputs, options.width))
        self.bias = nn.Parameter(torch.zeros(n_outputs))
        nn.init.kaiming_uniform_(self.weight, math.sqrt(5))

    def attend(self, tokens: Tensor) -> Tensor:
        """Return what the queries are given by the tokens of frames, `(n, T, w)` to `(n, Q, w)`."""
        given: Tensor = self.attention(self.queries.expand(len(tokens), -1, -1), tokens, tokens, need_weights=False)[0]
        return given

    def forward(self, given: Tensor) -> Tensor:
        """Return the answers, `(B, L, Q, w)` to `(B, L, n_outputs)`."""
        x = given if self.smoothing is None else self.smoothing(given)
        return (
            (x * self.weight).sum(-1) + self.bias if len(self.queries) > 1 else x[:, :, 0] @ self.weight.T + self.bias
        )


class Network(nn.Module):
    """Windows of frames with any number of features to one output per target and frame.

    Args:
        options: the architecture.
        shape: what it is made for.
    """

    places: Tensor

    def __init__(self, options: Options, shape: Shape) -> None:
        super().__init__()
        if options.width % options.heads:
            raise UsageError(f"width {options.width} is not a multiple of heads, {options.heads}")
        _require_weights(options, shape.labels)
        self.options, self.labels = options, dict(shape.labels)
        self.tokens = nn.Linear(sum(shape.widths.values()), options.tokens * options.width)
        self.drop = nn.Dropout(options.input_dropout)
        self.register_buffer("places", positions(options.tokens, options.width), persistent=False)
        names = ["au", "other"] if options.aspects == "both" else [options.aspects]
        self.encoders = nn.ModuleDict(
            {
                name: nn.TransformerEncoderLayer(
                    options.width, options.heads, options.feed_forward, options.dropout, "gelu", batch_first=True
                )
                for name in names
            }
        )
        of_labels = {name: n for name, n in self.labels.items() if n}
        self.of_labels, self.numbers = list(of_labels), [name for name, n in self.labels.items() if n is None]
        tasks = [Task(options, n if name in shape.several else 1, n) for name, n in of_labels.items()]
        self.tasks = nn.ModuleList([*tasks, *([Task(options, 1, len(self.numbers))] if self.numbers else [])])
        for place, name in enumerate(self.of_labels):
            weights = options.label_weights.get(name)
            self.register_buffer(f"weights_{place}", None if weights is None else torch.tensor(weights), False)

    def forward(self, batch: Batch) -> dict[str, Tensor] | tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the outputs for a batch of windows, and in training the loss of all tasks."""
        real = batch.real
        frames = torch.cat(list(batch.inputs.values()), -1)[real]
        parts = [frames] if self.training else frames.split(FRAMES_AT_ONCE)
        given = [torch.cat(own) for own in zip(*map(self._given, parts), strict=True)]
        answers = []
        for task, rows in zip(self.tasks, given, strict=True):
            padded = rows.new_zeros(*real.shape, *rows.shape[1:])
            padded[real] = rows
            answers.append(task(padded))
        outputs = dict(zip(self.of_labels, answers, strict=False))
        outputs |= {name: answers[-1][..., place] for place, name in enumerate(self.numbers)}
        outputs = {name: outputs[name] for name in self.labels}
        if not batch.epoch:
            return outputs
        return outputs, {"loss": frame_loss(outputs, batch, self.options, self._loss_of_labels)}

    def _given(self, frames: Tensor) -> list[Tensor]:
        """Return what the queries of every task are given, `(n, Q, w)`, by frames `(n, d)`."""
        tokens = self.tokens(frames).unflatten(-1, self.places.shape)
        tokens = self.drop(tokens + self.places)
        encoded = torch.cat([encoder(tokens) for encoder in self.encoders.values()], 1)
        return [cast(Task, task).attend(encoded) for task in self.tasks]

    def _loss_of_labels(self, name: str, scores: Tensor, references: Tensor) -> Tensor:
        return weighted_cross_entropy(scores, references, getattr(self, f"weights_{self.of_labels.index(name)}"))


def positions(n_tokens: int, width: int) -> Tensor:
    """Return the sines and cosines of Vaswani et al. (2017) by which tokens know their place, `(T, w)`."""
    angles = torch.arange(n_tokens)[:, None] * torch.exp(-torch.arange(0, width, 2) * math.log(10_000) / width)
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)[:, :width]


def _require_weights(options: Options, labels: Mapping[str, int | None]) -> None:
    """Raise `UsageError` where `label_weights` are not those of the labels of a target."""
    wrong = [
        f"{name}: {len(weights)} weights" + (f" for {labels[name]} labels" if labels.get(name) else ", not of labels")
        for name, weights in options.label_weights.items()
        if len(weights) != labels.get(name)
    ]
    if wrong:
        known = [f"{name} ({n})" for name, n in labels.items() if n]
        raise UsageError(f"label_weights: {listed(wrong)}; targets with labels: {listed(known)}")


def build(options: Options, setup: Setup) -> FrameBaseline:
    return FrameBaseline(partial(Network, options), options, setup, whole=True)
