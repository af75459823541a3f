"""Attention over modalities in time for ABAW 2024 (the system of FulgenceWen/ABAW6th), on vectors of frames.

An LSTM reads each feature of a video. What they have read is joined, and three layers give every feature a weight in
every frame; a bidirectional LSTM reads the weighted sum, and each frame is answered from its states.

Conventions:
    B windows of a batch, L frames, M features, h hidden units, K labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated

import torch
from torch import Tensor, nn

from merbench.parameters import Within
from merbench.training import Setup
from merbench.training.networks.batches import Batch
from merbench.training.networks.frames import FrameBaseline, FrameOptions, frame_loss, weighted_cross_entropy
from merbench.training.networks.layers import Dropout, Encoder, FoldDropout, Heads, Width
from merbench.training.networks.losses import kind_of_loss
from merbench.training.networks.network import Shape
from merbench.training.networks.recurrent import Recurrent


@dataclass(frozen=True)
class Options(FrameOptions):
    """Architecture, losses and training.

    Attributes:
        hidden: units h of every LSTM, and of one direction of the last.
        softmax: whether the weights of the features in a frame sum to 1; in the released code they are any numbers.
        dropout: share of the states of a feature, and of what the weights are computed from, that is dropped.
        divergence: share of the loss of labels that is the Kullback-Leibler divergence; the rest is the focal loss.
        focus: exponent of the focal loss.
        scale: factor of the focal loss, the same for all labels.
        label_smoothing: share of a label that is spread evenly over all.
    """

    hidden: Width
    softmax: bool
    dropout: Dropout
    divergence: Annotated[float, Within(0, 1)]
    focus: Annotated[float, Within(0)]
    scale: Annotated[float, Within(0)]
    label_smoothing: Annotated[float, Within(0, 1)]


class Reader(nn.Module):
    """The states of a feature in time, `(B, L, d)` to `(B, L, h)`: an LSTM, dropout, and a linear layer."""

    def __init__(self, n_in: int, n_hidden: int, dropout: float) -> None:
        super().__init__()
        self.lstm = Recurrent(n_in, n_hidden, cell=nn.LSTM)
        self.dropout, self.layer = FoldDropout(dropout, None), nn.Linear(n_hidden, n_hidden)

    def forward(self, rows: Tensor, lengths: Tensor) -> Tensor:
        """Return the states of rows, of which so many are real."""
        states: Tensor = self.layer(self.dropout(self.lstm(rows, lengths)))
        return states


class Network(nn.Module):
    """Windows of frames with any number of features to one output per target and frame.

    Args:
        options: the architecture.
        shape: what it is made for.
    """

    def __init__(self, options: Options, shape: Shape) -> None:
        super().__init__()
        self.options, n_hidden, n_features = options, options.hidden, len(shape.widths)
        self.readers = nn.ModuleList(Reader(width, n_hidden, options.dropout) for width in shape.widths.values())
        self.attention = nn.Sequential(
            FoldDropout(options.dropout, None),
            Encoder(n_features * n_hidden, n_hidden, 0.0),
            nn.Linear(n_hidden, n_features),
        )
        self.context = Recurrent(n_hidden, n_hidden, backwards="own", cell=nn.LSTM)
        self.heads = Heads(2 * n_hidden, shape.labels)

    def forward(self, batch: Batch) -> dict[str, Tensor] | tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the outputs for a batch of windows, and in training the loss of all targets."""
        lengths = batch.real.sum(1)
        states = [reader(rows, lengths) for reader, rows in zip(self.readers, batch.inputs.values(), strict=True)]
        weights = self.attention(torch.cat(states, -1))
        if self.options.softmax:
            weights = weights.softmax(-1)
        # one product after the other: that of a small matrix per frame takes several times as long
        fused = torch.stack([own * weight for own, weight in zip(states, weights.split(1, -1), strict=True)]).sum(0)
        outputs: dict[str, Tensor] = self.heads(self.context(fused, lengths))
        if not batch.epoch:
            return outputs
        return outputs, {"loss": frame_loss(outputs, batch, self.options, self._loss_of_labels)}

    def _loss_of_labels(self, name: str, scores: Tensor, references: Tensor) -> Tensor:
        if kind_of_loss(references, 1) != "cross_entropy":
            return weighted_cross_entropy(scores, references)
        if not references.is_floating_point():
            references = nn.functional.one_hot(references, scores.shape[1]).float()
        return focal_loss(scores, references, self.options)


def focal_loss(scores: Tensor, shares: Tensor, options: Options) -> Tensor:
    """Return (1 − δ) · focal loss + δ · divergence, a mean over frames.

    With the smoothed label q = (1 − ε) y + ε / K, p = softmax of the scores and p_y = Σ y p, the focal loss (Lin et al.
    2017) is α (1 − p_y)^g (−Σ q ln p), and the divergence Σ q ln(q / p).

    Args:
        scores: `(n, K)`.
        shares: y, `(n, K)`: 1 for the label and 0 for the others, or shares of votes.
        options: δ `divergence`, α `scale`, g `focus`, ε `label_smoothing`.
    """
    logs = scores.log_softmax(1)
    smooth = shares * (1 - options.label_smoothing) + options.label_smoothing / scores.shape[1]
    away = (1 - (logs.exp() * shares).sum(1)).clamp_min(1e-12)  # 0 has no gradient under an exponent below 1
    focal = options.scale * away**options.focus * -(smooth * logs).sum(1)
    divergence = nn.functional.kl_div(logs, smooth, reduction="none").sum(1)
    return ((1 - options.divergence) * focal + options.divergence * divergence).mean()


def build(options: Options, setup: Setup) -> FrameBaseline:
    return FrameBaseline(partial(Network, options), options, setup)
