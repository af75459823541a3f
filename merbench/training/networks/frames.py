"""What networks of frames share: windows of a video, losses of annotated frames, and answers that are smoothed.

A frame is a sample, and a video is its dialogue. Long videos are cut into windows, which overlap where they are learned
from. A frame has references of some targets and not of others; each loss is of the frames that have one.

Conventions:
    B windows of a batch, L frames, K labels. Outputs and references are those of a network of dialogues: `(B, L)`
    numbers, codes or NaN and −1 where one is not known, `(B, L, K)` scores, or 0, 1 and −1 of several labels. A loss is
    one number: 0, without a gradient, where nothing is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Protocol

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from merbench.errors import UsageError, listed
from merbench.parameters import Described, Within
from merbench.track import Track
from merbench.training.networks.batches import Batch
from merbench.training.networks.losses import NO_LOSS, ccc, kind_of_loss
from merbench.training.networks.network import Make, NetworkBaseline
from merbench.training.networks.optimisation import Schedule
from merbench.training.protocol import CrossFit, Predictions, Setup
from merbench.training.samples import FeatureSet, TrainingSet, known_of
from merbench.training.selection import ranking_value
from merbench.training.sequences import Dialogues, Windows

Filter = Literal["none", "median", "gaussian", "box"]
Numbers = NDArray[np.float64]

Lengths = Annotated[
    tuple[Annotated[int, Within(1)], ...],
    Field(min_length=1),
    Described("a list of odd numbers of frames, one or more"),
]

MOST_FRAMES = 100_001
"""The longest filter that stored weights may have."""


@dataclass(frozen=True, kw_only=True)
class FrameOptions(Schedule):
    """How frames are learned from and answered, besides the schedule.

    Attributes:
        window: frames that a network is given at once; 0: whole videos.
        overlap: how many frames a window shares with the one before it, in training.
        ccc_over: what the loss of numbers, 1 − CCC, is computed over: every `window`, or all frames of a `batch`.
        smoothing: filter of the answers of a video: none, a running median, a Gaussian or a box.
        smoothing_windows: lengths of the filter; the one with the best ranking value of the validation samples is
            taken, or none of them, whichever is better.
    """

    window: Annotated[int, Within(0)]
    overlap: Annotated[int, Within(0)]
    ccc_over: Literal["window", "batch"] = "window"
    smoothing: Filter = "none"
    smoothing_windows: Lengths = (5, 15, 31)

    def __post_init__(self) -> None:
        """Raise `UsageError` for values that no training can have."""
        super().__post_init__()
        if even := [length for length in self.smoothing_windows if not length % 2]:
            raise UsageError(f"smoothing_windows: {listed(list(map(str, even)))}: a filter has an odd number of frames")
        if self.window:
            Windows(self.window, self.overlap)


class LossOfLabels(Protocol):
    """The loss of scores of the labels of one target."""

    def __call__(self, name: str, scores: Tensor, references: Tensor) -> Tensor:
        """Return the mean loss of frames whose references are known.

        Args:
            name: the target.
            scores: `(n, K)`.
            references: `(n,)` codes, `(n, K)` shares, or `(n, K)` 0, 1 and −1 of several labels.
        """


def frame_loss(outputs: Mapping[str, Tensor], batch: Batch, options: FrameOptions, of_labels: LossOfLabels) -> Tensor:
    """Return the sum of the losses of all targets, but those for which `losses` of the options names another loss."""
    every = []
    for name, references in batch.targets.items():
        output = outputs[name].float()
        known = batch.real & known_frames(references)
        if name in options.losses:
            continue
        if kind_of_loss(references, 2) == "squared_error":
            every.append(concordance_loss(output, references, known, over=options.ccc_over))
        elif known.any():
            every.append(of_labels(name, output[known], references[known]))
        else:
            every.append(output.sum() * 0)
    return torch.stack(every).sum() if every else batch.samples.new_zeros((), dtype=torch.float32)


def known_frames(references: Tensor) -> Tensor:
    """Return which frames have a reference, `(B, L)`; of several labels, one is enough."""
    if references.is_floating_point():
        return ~references.isnan().flatten(2).any(-1) if references.ndim > 2 else ~references.isnan()
    return (references >= 0).flatten(2).any(-1) if references.ndim > 2 else references >= 0


def concordance_loss(output: Tensor, numbers: Tensor, known: Tensor, *, over: str = "window") -> Tensor:
    """Return 1 − the concordance correlation coefficient (Lin 1989), with population moments.

    It is the mean over the windows that have an annotated frame, or that of all frames as one series.

    Args:
        output: `(B, L)`.
        numbers: references, NaN where there is none.
        known: which frames count.
        over: `window` or `batch`.
    """
    if over == "batch":
        output, numbers, known = output.view(1, -1), numbers.reshape(1, -1), known.reshape(1, -1)
    n_frames = known.sum(1, keepdim=True)
    losses = ccc(output, numbers.nan_to_num(), known / n_frames.clamp_min(1))
    return losses.sum() / (n_frames > 0).sum().clamp_min(1)


def weighted_cross_entropy(scores: Tensor, references: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the cross-entropy of frames: the mean under the weights of their labels.

    Of several labels it is the binary one, times the weight of the label (of both answers, not only of having it), and
    the mean over all known labels of all frames.

    Args:
        scores: `(n, K)`.
        references: `(n,)` codes, `(n, K)` shares, or 0, 1 and −1 of several labels.
        weights: `(K,)`; None: all are 1.
    """
    if kind_of_loss(references, 1) == "cross_entropy":
        return nn.functional.cross_entropy(scores, references, weights)
    known = references >= 0
    each = nn.functional.binary_cross_entropy_with_logits(
        scores, references.clamp_min(0).float(), weights, reduction="none"
    )
    return (each * known).sum() / known.sum().clamp_min(1)


def filtered(values: Numbers, kind: Filter, length: int) -> Numbers:
    """Return the values of a video, `(L,)` or `(L, K)`, smoothed over `length` frames around each.

    At the ends of the video, the filter has only the frames that there are. The deviation of a Gaussian is a sixth of
    `length` − 1. Frames that are missing have no part in it, and leave no gap.
    """
    radius = length // 2
    if kind == "none" or not radius or len(values) < 2:
        return values
    table = values.reshape(len(values), -1)
    if kind == "median":
        return _medians(table, min(radius, len(table) - 1)).reshape(values.shape)
    total, sums = np.zeros((len(table), 1)), np.zeros_like(table)
    for offset in range(-min(radius, len(table) - 1), min(radius, len(table) - 1) + 1):
        weight = 1.0 if kind == "box" else float(np.exp(-0.5 * (3 * offset / radius) ** 2))
        to = slice(max(0, -offset), len(table) - max(0, offset))
        total[to] += weight
        sums[to] += weight * table[max(0, offset) : len(table) + min(0, offset)]
    return np.asarray((sums / total).reshape(values.shape))


def _medians(table: Numbers, radius: int) -> Numbers:
    medians = np.empty_like(table)
    inner = range(radius, max(radius, len(table) - radius))
    if inner:
        medians[inner.start : inner.stop] = np.median(sliding_window_view(table, 2 * radius + 1, axis=0), axis=-1)
    for row in (*range(min(radius, len(table))), *range(max(radius, inner.stop), len(table))):
        medians[row] = np.median(table[max(0, row - radius) : row + radius + 1], axis=0)
    return medians


def smoothed(predictions: Predictions, videos: Dialogues, track: Track, kind: Filter, length: int) -> Predictions:
    """Return predictions of which numbers and probabilities are `filtered`, video by video, in the order of frames."""
    units, outputs = videos.units(), dict[str, Numbers]()
    for name, values in predictions.outputs.items():
        outputs[name] = np.empty_like(values)
        for rows in units:
            outputs[name][rows] = filtered(values[rows], kind, length)
        if track.targets[name].classes:
            outputs[name] /= outputs[name].sum(1, keepdims=True)
    return replace(predictions, outputs=outputs)


class FrameBaseline(NetworkBaseline):
    """A network of the frames of videos, whose losses are its own, and whose answers may be smoothed.

    Args:
        make: makes a network; in training it returns a loss of its own, `loss`.
        options: windows, smoothing, and how it is trained.
        setup: as of `NetworkBaseline`.
        whole: whether videos are answered as a whole, and cut into windows only where they are learned from.
    """

    def __init__(self, make: Make, options: FrameOptions, setup: Setup, *, whole: bool = False) -> None:
        super().__init__(make, options, setup, kind="dialogues", standardise=True)
        self.options = options
        self.windows = Windows(options.window, options.overlap, whole) if options.window else None
        self.smoothing_window = 1

    def fit_folds(self, train: TrainingSet) -> CrossFit:
        """Train as any network, and choose how answers are smoothed by those for the validation samples.

        Raises:
            UsageError: no frame that is learned from has a reference of a target; as of `NetworkBaseline`.
        """
        track = train.track
        self._require_known(train)
        self.schedule = replace(self.options, losses=dict.fromkeys(track.targets, NO_LOSS) | dict(self.options.losses))
        fitted = super().fit_folds(train)
        self.smoothing_window = 1
        if self.options.smoothing == "none":
            return fitted
        validated = train.select(train.validated)
        videos = validated.samples.dialogues
        assert videos is not None
        every, values = dict[int, Predictions](), dict[int, tuple[float, ...]]()
        for length in dict.fromkeys((1, *sorted(self.options.smoothing_windows))):
            every[length] = smoothed(fitted.out_of_fold, videos, track, self.options.smoothing, length)
            answers, chances = every[length].answers(track), every[length].outputs
            values[length] = ranking_value(track, validated.targets, answers, validated.groups, chances)
        chosen = self.smoothing_window = max(values, key=lambda length: values[length])
        shown = {str(length): value[0] if np.isfinite(value[0]) else None for length, value in values.items()}
        details = {"filter": self.options.smoothing, "window": chosen, "values": shown}
        return replace(fitted, out_of_fold=every[chosen], details={**fitted.details, "smoothing": details})

    def predict(self, test: FeatureSet) -> Predictions:
        """Predict with the mean of the outputs of all folds, smoothed as was chosen."""
        predictions = super().predict(test)
        if self.track is None or test.dialogues is None or self.smoothing_window == 1:
            return predictions
        return smoothed(predictions, test.dialogues, self.track, self.options.smoothing, self.smoothing_window)

    def weights(self) -> dict[str, NDArray[Any]]:
        """Return those of the networks, and the length of the filter."""
        return {**super().weights(), "smoothing": np.full(self.n_folds, self.smoothing_window)}

    def restore(self, weights: Mapping[str, NDArray[Any]], track: Track, widths: Mapping[str, int]) -> None:
        """Restore a trained baseline; raise `UsageError` for weights of another network, or of no filter."""
        super().restore(weights, track, widths)
        length = int(weights["smoothing"][0])
        if not (0 < length <= MOST_FRAMES and length % 2):
            raise UsageError(f"the weights have a filter of {length:,} frames; allowed: odd, up to {MOST_FRAMES:,}")
        self.smoothing_window = length

    def _require_known(self, train: TrainingSet) -> None:
        """Raise `UsageError` where no frame that some fold learns from has a reference of a target."""
        without = {
            name: len(division.learn)
            for division in train.divisions(self.setup.n_folds, self.setup.seed)
            for name, values in train.targets.items()
            if not known_of(values[division.learn]).any()
        }
        if without:
            raise UsageError(
                f"{train.track.id}: none of the {max(without.values()):,} frames that are learned from has a reference "
                f"of {listed(list(without))}; leave the target out, or learn from other splits"
            )
