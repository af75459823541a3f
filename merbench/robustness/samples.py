"""What a baseline is given of a split under one condition: its features and columns, some of them corrupted.

Conventions:
    Rows are candidates in the order of their ids. Stored features are corrupted frame by frame where they have frames,
    and pooled after that by baselines of vectors: standardised by the training data (`Standard`), or on the scale on
    which they are stored. A text feature depends on the texts it is fitted on, and so is computed for each fit
    (`Source.text_features`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeGuard

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from merbench.corpus import Feature
from merbench.corpus.candidates import Candidates, candidate_column
from merbench.corpus.declaration import MODALITIES
from merbench.corrupt.steps import Corrupted, corrupt_split
from merbench.corruptions import Step
from merbench.corruptions.batches import removes_modalities
from merbench.corruptions.declaration import SEVERITY
from merbench.errors import UsageError
from merbench.features.outputs import Recipe, Result, vectors_of_corpus
from merbench.robustness.clips import Clips, Vectors, known_columns
from merbench.robustness.grid import Condition
from merbench.training.declaration import BaselineDeclaration
from merbench.training.reading import dialogues_of, feature_rows, sequences
from merbench.training.samples import FeatureSet
from merbench.training.sequences import Rows, Sequences

OTHER = "other"
"""The modality of a feature that is never corrupted."""

TRANSCRIPT = "transcript"
"""The column of a corpus that corruptions of text change."""

_TEXTS = 64
"""How many texts are extracted at once."""

FeatureScale = Literal["standardised", "stored"]
"""The scale on which features are corrupted."""

Mask = NDArray[np.bool_]
Scales = Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
"""Feature -> mean and standard deviation of every dimension, `(d,)` each; a constant dimension has the deviation 1."""


@dataclass(frozen=True, eq=False)
class Standard:
    """The scale on which features of a split are corrupted: dimensions centred and divided by standard deviations.

    The dimensions of stored features may differ in scale by orders of magnitude, and noise at one signal-to-noise ratio
    would then drown most of them at any level. A vector of zeros on this scale is the mean of the training data.
    """

    scales: Sequence[Scales]  # those of the training samples, by fold
    fold: Rows  # `(n,)` the fold whose scales apply, for every candidate

    def onto(self, feature: Feature, name: str, row: int) -> NDArray[np.float64]:
        """Return one sample's standardised values, `(d,)` or `(m, d)`."""
        mean, deviation = self.scales[self.fold[row]][name]
        return np.asarray((feature.of(row) - mean) / deviation)

    def back(self, feature: Feature, name: str, row: int, corrupted: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return one sample's values on the stored scale; unchanged values keep all of their bits."""
        mean, deviation = self.scales[self.fold[row]][name]
        unchanged = corrupted == self.onto(feature, name, row)
        return np.where(unchanged, feature.of(row), mean + deviation * corrupted)


@dataclass(frozen=True, eq=False)
class Inputs:
    """What a baseline is given of a split's samples under one condition."""

    # by name, the rows of every candidate; without a text feature that is computed from transcripts
    features: Mapping[str, Sequences] = field(repr=False)
    columns: Mapping[str, pa.Array] = field(repr=False)  # columns of the corpus, such as the transcript
    realised: Mapping[str, float]  # `<step>.<name>` -> mean over samples of sampled parameters and realised values
    # by name, the candidates of whose feature nothing is left
    missing: Mapping[str, Mask] = field(default_factory=dict, repr=False)

    def texts(self, rows: Rows) -> list[str]:
        """Return the transcripts of some rows."""
        texts: list[str] = self.columns[TRANSCRIPT].take(pa.array(rows)).fill_null("").to_pylist()
        return texts

    @property
    def n_bytes(self) -> int:
        """The size of the features in memory."""
        return sum(part.values.nbytes for part in self.features.values())

    def differs(self, other: Inputs) -> bool:
        """Return whether any value differs from that of other inputs."""
        features = any(
            not np.array_equal(part.values, other.features[name].values) for name, part in self.features.items()
        )
        return features or any(not column.equals(other.columns[name]) for name, column in self.columns.items())


@dataclass(frozen=True, eq=False)
class Source:
    """Where features come from."""

    names: tuple[str, ...]  # all features, in the order in which baselines see them
    modalities: Mapping[str, str]  # feature -> its modality; a feature without one is never corrupted
    computed: frozenset[str]  # features that are computed from clips or transcripts; their names are modalities
    columns: tuple[str, ...]  # columns of the corpus that baselines read
    seed: int
    recipes: Mapping[str, Recipe]  # modality -> what its computed feature is extracted by
    # by split; empty if no feature is computed from clips
    clips: Mapping[str, Clips] = field(default_factory=dict, repr=False)
    # the modalities of all systems that are compared: which are missing is drawn as if each sample had all of them
    compared: frozenset[str] = frozenset()

    # the results of texts that were extracted, most of which are the same under all conditions
    _by_text: dict[str, Result] = field(default_factory=dict, repr=False)

    @property
    def extractors(self) -> dict[str, str]:
        """Modality -> what its computed feature is extracted by, in a few words: `egemaps@1`."""
        return {modality: str(self.recipes[modality]) for modality in sorted(self.computed)}

    @property
    def of_clips(self) -> list[str]:
        """The modalities whose features are computed from clips."""
        return sorted(self.computed & {"audio", "video"})

    def scales(self, candidates: Candidates, rows: Rows) -> Scales:
        """Return the scales of stored features, over some rows, or over all frames of these."""
        scales = {}
        for name in self.names:
            if name not in self.computed and self.modalities.get(name) in MODALITIES:
                feature = _stored(candidates, name)
                values = np.concatenate([np.atleast_2d(feature.of(row).astype(np.float64)) for row in rows])
                deviation = values.std(axis=0)
                scales[name] = (values.mean(axis=0), np.where(deviation > 0, deviation, 1.0))
        return scales

    def inputs(self, candidates: Candidates, condition: Condition | None, standard: Standard | None = None) -> Inputs:
        """Return the inputs of a split under a condition (None: clean), corrupted on a scale (None: as stored).

        Raises:
            UsageError: a feature or a column has no values for some samples.
            Inapplicable: the corruption cannot be applied to a sample.
        """
        step = None if condition is None else condition.step
        modality = None if step is None else step.corruption.modality
        read = dict.fromkeys([*self.columns, *([TRANSCRIPT] if "text" in self.computed else [])])
        columns = {name: candidate_column(candidates, name, "that a baseline reads") for name in read}
        features = {name: _stored(candidates, name) for name in self.names if name not in self.computed}
        values: Sequence[Mapping[str, Any]] = ()
        missing: dict[str, Mask] = {}
        for name in self.of_clips:
            measured = self.clips[candidates.split].measured[name][condition if modality == name else None]
            features[name] = Feature(candidates.ids, measured.vectors)
            values = measured.values if modality == name else values
        if step is not None and modality == "features":
            features, values, missing = self._corrupted(candidates, features, step, standard)
        if step is not None and modality == "text":
            done = self._applied(candidates, step, columns[TRANSCRIPT].fill_null("").to_pylist())
            columns[TRANSCRIPT] = pa.array([sample.signal for sample in done], pa.string())
            values = [sample.values for sample in done]
        read_features = {name: sequences(features[name]) for name in self.names if name in features}
        return Inputs(read_features, columns, {} if step is None else _means(values, step), missing)

    def _applied(self, candidates: Candidates, step: Step, signals: Sequence[Any]) -> list[Corrupted]:
        ids, known = candidates.ids.to_pylist(), known_columns(candidates)
        return corrupt_split(signals, ids, [step], seed=self.seed, known=known)

    def _corrupted(
        self, candidates: Candidates, features: Mapping[str, Feature], step: Step, standard: Standard | None
    ) -> tuple[dict[str, Feature], list[dict[str, Any]], dict[str, Mask]]:
        """Return features with a step applied, its values, and of which samples nothing is left.

        Several features of one modality each take part in a round of their own.
        """
        corrupted, values, missing = dict(features), list[dict[str, Any]](), dict[str, Mask]()
        onto = (lambda feature, name, row: feature.of(row).astype(np.float64)) if standard is None else standard.onto
        for names in self._rounds(features):
            others = {name: np.ones(1) for name in self.compared - names.keys()} if _is_of_sets(step) else {}
            signals = [
                {modality: onto(features[name], name, row) for modality, name in names.items()} | others
                for row in range(len(candidates))
            ]
            done = self._applied(candidates, step, signals)
            for modality, name in names.items():
                samples = [sample.signal[modality] for sample in done]
                missing[name] = np.array([not sample.any() for sample in samples], dtype=np.bool_)
                if standard is not None:
                    samples = [standard.back(features[name], name, row, sample) for row, sample in enumerate(samples)]
                corrupted[name] = features[name].with_values(samples)
            values = values or [sample.values for sample in done]
        return corrupted, values, missing

    def _rounds(self, features: Mapping[str, Feature]) -> list[dict[str, str]]:
        """Return rounds of modality -> feature, such that each feature that has a modality is in at least one."""
        names = {
            modality: [name for name in features if self.modalities.get(name) == modality] for modality in MODALITIES
        }
        return [
            {modality: own[min(i, len(own) - 1)] for modality, own in names.items() if own}
            for i in range(max(map(len, names.values())))
        ]

    def text_features(self, fitted: Sequence[str], *others: Sequence[str]) -> list[Vectors]:
        """Return the vectors of other texts, by what is fitted on the first ones only, or text by text."""
        texts, recipe = [*fitted, *(text for part in others for text in part)], self.recipes["text"]
        if recipe.extractor.input == "corpus":
            vectors = vectors_of_corpus(recipe, [texts], np.arange(len(texts)) < len(fitted))
            return np.split(vectors, np.cumsum([len(fitted), *map(len, others)])[:-1])[1:]
        new = list(dict.fromkeys(text for part in others for text in part if text not in self._by_text))
        for start in range(0, len(new), _TEXTS):
            batch = new[start : start + _TEXTS]
            self._by_text.update(zip(batch, recipe.of_columns([[text] for text in batch]), strict=True))
        return [np.stack([self._by_text[text].vector for text in part]) for part in others]

    def feature_set(
        self,
        candidates: Candidates,
        inputs: Inputs,
        rows: Rows,
        names: Sequence[str],
        declared: BaselineDeclaration,
    ) -> FeatureSet:
        """Return what one baseline sees of some rows, without a feature that is computed from transcripts.

        A sample of whose feature nothing is left has no row of it, if the baseline handles that.
        """
        taken, features = pa.array(rows), dict[str, Sequences]()
        for name in (name for name in names if name in inputs.features):
            lacking = inputs.missing.get(name) if declared.handles_missing else None
            own = rows if lacking is None else np.where(lacking[rows], -1, rows)
            features[name] = inputs.features[name].select(own)
        columns = {name: inputs.columns[name].take(taken) for name in declared.columns}
        dialogues = dialogues_of(candidates, rows) if declared.samples == "dialogues" else None
        return FeatureSet(candidates.ids.take(taken), features, columns, dialogues, candidates.corpus.modalities(names))


def require_texts(candidates: Candidates) -> None:
    """Raise `UsageError` if the corpus has no transcripts."""
    column = candidate_column(candidates, TRANSCRIPT, "that corruptions of text change")
    if not pa.types.is_string(column.type):
        raise UsageError(f"corpus '{candidates.corpus.name}': column '{TRANSCRIPT}' contains {column.type}, not text")


def _stored(candidates: Candidates, name: str) -> Feature:
    """Return the part of a stored feature that belongs to a split's candidates, in their order."""
    feature = candidates.corpus.feature(name)
    return feature.take(feature_rows(candidates, name, feature, candidates.ids))


def _is_of_sets(step: Step) -> bool:
    """Return whether what a step does to a modality depends on which others the sample has."""
    return removes_modalities(step) or step.name == "modality_pattern"


def _means(values: Sequence[Mapping[str, Any]], step: Step) -> dict[str, float]:
    """Return the mean of every value that is a number in all samples and was not declared as a constant."""
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
    """Return whether a value of a step was realised, sampled, or set by a severity, and is not where a noise begins."""
    if name not in step.corruption.declarable:
        return name != "offset_s"
    by_severity = SEVERITY in step.parameters and name in step.corruption.severities
    return by_severity or isinstance(step.parameters.get(name), Mapping)
