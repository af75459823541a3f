"""A split and a condition go in, what a baseline is given of its samples comes out: features, some of them damaged.

Conventions:
    Rows are candidates in the order of their ids. Features of a corpus are corrupted frame by frame where they have
    frames, and pooled after that: standardised by the training data (`Standard`), or as they are stored. A text
    feature is made for each fit, from transcripts: see `Given`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeGuard

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from merbench.corpus import Feature
from merbench.corpus.candidates import Candidates, candidate_column
from merbench.corrupt.steps import damage_split
from merbench.corruptions import Step
from merbench.corruptions.declaration import SEVERITY
from merbench.errors import UsageError
from merbench.features.defaults import DIMENSIONS
from merbench.features.text import text_vectors
from merbench.robustness.clips import Clips
from merbench.robustness.grid import Condition
from merbench.training import FeatureSet
from merbench.training.data import Rows, feature_rows, pooled

Vectors = NDArray[np.float32]

MODALITIES = ("audio", "video", "text")

OTHER = "other"
"""The modality of a feature that nothing damages."""

TRANSCRIPT = "transcript"
"""The column of a corpus that damage to text changes."""


FeatureScale = Literal["standardised", "stored"]
"""The scale on which features are corrupted."""

Scales = Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
"""Feature -> mean and standard deviation of every dimension, `(d,)` each; a constant dimension has the deviation 1."""


@dataclass(frozen=True, eq=False)
class Standard:
    """The scale on which features of a split are corrupted: dimensions centred and divided by standard deviations.

    The dimensions of stored features may differ in scale by orders of magnitude, and noise at one signal-to-noise ratio
    would then drown most of them at any level. A vector of zeros on this scale is the mean of the training data.

    Attributes:
        scales: by fold, those of the samples that are learned from.
        fold: `(n,)` the fold whose scales hold, for every candidate.
    """

    scales: Sequence[Scales]
    fold: Rows

    def onto(self, feature: Feature, name: str, row: int) -> NDArray[np.float64]:
        """Return one sample's standardised values, `(d,)` or `(m, d)`."""
        mean, deviation = self.scales[self.fold[row]][name]
        return np.asarray((_of_sample(feature, row) - mean) / deviation)

    def back(self, feature: Feature, name: str, row: int, corrupted: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return one sample's values on the stored scale; unchanged values keep all of their bits."""
        mean, deviation = self.scales[self.fold[row]][name]
        unchanged = corrupted == self.onto(feature, name, row)
        return np.where(unchanged, _of_sample(feature, row), mean + deviation * corrupted)


@dataclass(frozen=True, eq=False)
class Given:
    """What a baseline is given of a split's samples under one condition.

    Attributes:
        features: by name, one row per candidate; without the text feature where that is made of transcripts.
        columns: columns of the corpus, such as the transcript.
        realised: `<step>.<name>` -> mean over samples of what was drawn and of what the damage came to.
    """

    features: Mapping[str, Vectors] = field(repr=False)
    columns: Mapping[str, pa.Array] = field(repr=False)
    realised: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Source:
    """Where features come from.

    Attributes:
        names: all features, in the order in which baselines see them.
        modalities: feature -> its modality; one without is never damaged.
        made: features that are made anew of clips or transcripts; their names are modalities.
        columns: columns of the corpus that baselines read.
        seed: seed of the track.
        clips: by split, the vectors of its clips; empty where no feature is made of clips.
    """

    names: tuple[str, ...]
    modalities: Mapping[str, str]
    made: frozenset[str]
    columns: tuple[str, ...]
    seed: int
    clips: Mapping[str, Clips] = field(default_factory=dict, repr=False)

    @property
    def of_clips(self) -> list[str]:
        """The modalities whose features are made of clips."""
        return sorted(self.made & {"audio", "video"})

    def scales(self, candidates: Candidates, rows: Rows) -> Scales:
        """Return the scales of stored features, over the samples, or all frames of the samples, of some rows."""
        found = {}
        for name in self.names:
            if name not in self.made and self.modalities.get(name) in MODALITIES:
                feature = _stored(candidates, name)
                parts = [np.atleast_2d(_of_sample(feature, row)) for row in rows]
                values = np.concatenate(parts)
                deviation = values.std(axis=0)
                found[name] = (values.mean(axis=0), np.where(deviation > 0, deviation, 1.0))
        return found

    def given(self, candidates: Candidates, condition: Condition | None, standard: Standard | None = None) -> Given:
        """Return what is given of a split.

        Args:
            candidates: the split.
            condition: the corruption; None for undamaged samples.
            standard: the scale on which features are corrupted; None for that which they are stored on.

        Raises:
            UsageError: a feature or a column says nothing of some samples.
            Inapplicable: a sample cannot be damaged so.
        """
        kind = None if condition is None else condition.step.corruption.modality
        features = {name: _stored(candidates, name) for name in self.names if name not in self.made}
        columns = {name: candidate_column(candidates, name, "that a baseline reads") for name in self._read}
        values: Sequence[Mapping[str, Any]] = ()
        for modality in self.of_clips:
            found = self.clips[candidates.split].vectors[modality]
            damage = condition if kind == modality else None
            features[modality] = Feature(candidates.ids, found.by_condition[damage])
            values = found.values[damage] if kind == modality else values
        if condition is not None and kind == "features":
            features, values = self._damaged(candidates, features, condition.step, standard)
        if condition is not None and kind == "text":
            texts, values = self._damaged_texts(candidates, columns[TRANSCRIPT], condition.step)
            columns[TRANSCRIPT] = texts
        ordered = {name: pooled(features[name]) for name in self.names if name in features}
        return Given(ordered, columns, _means(values, None if condition is None else condition.step))

    @property
    def _read(self) -> list[str]:
        return list(dict.fromkeys([*self.columns, *([TRANSCRIPT] if "text" in self.made else [])]))

    def _damaged(
        self, candidates: Candidates, features: Mapping[str, Feature], step: Step, standard: Standard | None
    ) -> tuple[dict[str, Feature], list[dict[str, Any]]]:
        """Return features with a step applied; of several of one modality each takes part in a round of its own."""
        found, values = dict(features), list[dict[str, Any]]()
        for names in self._rounds(features):
            onto = (lambda feature, name, row: _of_sample(feature, row)) if standard is None else standard.onto
            signals = [
                {modality: onto(features[name], name, row) for modality, name in names.items()}
                for row in range(len(candidates))
            ]
            damaged = damage_split(
                signals, candidates.ids.to_pylist(), [step], seed=self.seed, known=known_columns(candidates)
            )
            for modality, name in names.items():
                samples = [one.signal[modality] for one in damaged]
                if standard is not None:
                    samples = [standard.back(features[name], name, row, one) for row, one in enumerate(samples)]
                found[name] = _with_values(features[name], samples)
            values = values or [one.values for one in damaged]
        return found, values

    def _rounds(self, features: Mapping[str, Feature]) -> list[dict[str, str]]:
        """Return modality -> feature, such that each feature that has a modality is in one of them at least."""
        by_modality: dict[str, list[str]] = defaultdict(list)
        for name in features:
            if self.modalities.get(name) in MODALITIES:
                by_modality[self.modalities[name]].append(name)
        n_rounds = max(map(len, by_modality.values()), default=0)
        ordered = [modality for modality in MODALITIES if modality in by_modality]
        return [
            {modality: by_modality[modality][min(i, len(by_modality[modality]) - 1)] for modality in ordered}
            for i in range(n_rounds)
        ]

    def _damaged_texts(
        self, candidates: Candidates, transcripts: pa.Array, step: Step
    ) -> tuple[pa.Array, list[dict[str, Any]]]:
        texts = transcripts.fill_null("").to_pylist()
        damaged = damage_split(
            texts, candidates.ids.to_pylist(), [step], seed=self.seed, known=known_columns(candidates)
        )
        return pa.array([one.signal for one in damaged], pa.string()), [one.values for one in damaged]

    def feature_set(
        self, candidates: Candidates, given: Given, rows: Rows, names: Sequence[str], columns: Sequence[str]
    ) -> FeatureSet:
        """Return what one baseline sees of some rows: its features, but for one made of transcripts."""
        taken = pa.array(rows)
        return FeatureSet(
            candidates.ids.take(taken),
            {name: given.features[name][rows] for name in names if name in given.features},
            {name: given.columns[name].take(taken) for name in columns},
        )


def text_features(learned: Sequence[str], *others: Sequence[str]) -> list[Vectors]:
    """Return the vectors of texts, and of others, all by a projection that is fitted on the first alone."""
    texts = [*learned, *(text for part in others for text in part)]
    vectors = text_vectors([texts], np.arange(len(texts)) < len(learned), dimensions=DIMENSIONS)
    return np.split(vectors, np.cumsum([len(learned), *map(len, others)])[:-1])


def texts_of(given: Given, rows: Rows) -> list[str]:
    """Return the transcripts of some rows."""
    texts: list[str] = given.columns[TRANSCRIPT].take(pa.array(rows)).fill_null("").to_pylist()
    return texts


def known_columns(candidates: Candidates) -> dict[str, list[Any]]:
    """Return what the corpus knows of the samples, by column."""
    table = candidates.samples
    return {name: table[name].to_pylist() for name in table.column_names if name not in ("sample_id", "split")}


def modality_of(name: str, mapped: Mapping[str, str]) -> str | None:
    """Return the modality of a feature: as it was said, else the one its name begins with; None without."""
    return mapped.get(name) or next((modality for modality in MODALITIES if name.startswith(modality)), None)


def require_texts(candidates: Candidates) -> None:
    """Raise `UsageError` where the corpus has no transcripts, or none of a split."""
    column = candidate_column(candidates, TRANSCRIPT, "that damage to text changes")
    if not pa.types.is_string(column.type):
        raise UsageError(f"corpus '{candidates.corpus.name}': column '{TRANSCRIPT}' holds {column.type}, not text")


def _stored(candidates: Candidates, name: str) -> Feature:
    """Return the part of a stored feature that is of a split's candidates, in their order."""
    feature = candidates.corpus.feature(name)
    rows = feature_rows(candidates, name, feature, candidates.ids)
    if feature.offsets is None:
        return Feature(candidates.ids, feature.values[rows])
    parts = [feature.values[feature.offsets[row] : feature.offsets[row + 1]] for row in rows]
    return _framed(candidates.ids, parts, feature.width)


def _framed(ids: pa.StringArray, parts: Sequence[NDArray[Any]], width: int) -> Feature:
    values = np.concatenate([np.zeros((0, width), dtype=np.float32), *parts]).astype(np.float32, copy=False)
    return Feature(ids, values, np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64))


def _of_sample(feature: Feature, row: int) -> NDArray[np.float64]:
    if feature.offsets is None:
        return np.asarray(feature.values[row], dtype=np.float64)
    return np.asarray(feature.values[feature.offsets[row] : feature.offsets[row + 1]], dtype=np.float64)


def _with_values(feature: Feature, samples: Sequence[NDArray[np.float64]]) -> Feature:
    if feature.offsets is None:
        return Feature(feature.ids, np.stack(samples).astype(np.float32))
    return _framed(feature.ids, samples, feature.width)


def _means(values: Sequence[Mapping[str, Any]], step: Step | None) -> dict[str, float]:
    """Return the mean of everything that is a number in every sample and was not declared as one value."""
    if step is None:
        return {}
    columns = {name: [row.get(name) for row in values] for name in sorted({key for row in values for key in row})}
    return {
        name: math.fsum(numbers) / len(numbers)
        for name, column in columns.items()
        if _varies(step, name.removeprefix(f"{step.step_name}."))
        and len(numbers := [value for value in column if _is_number(value)]) == len(column)
    }


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _varies(step: Step, name: str) -> bool:
    """Return whether a value of a step was realised, drawn, or stood for by a severity; where a noise begins is not."""
    if name not in step.corruption.declarable:
        return name != "offset_s"
    stood_for = SEVERITY in step.parameters and name in step.corruption.severities
    return stood_for or isinstance(step.parameters.get(name), Mapping)
