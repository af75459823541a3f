"""The features and texts of a track's corpus, corrupted as the track declares, as a corpus of their own.

Every split is corrupted as its steps say; the others, and the references, stay as they are. The sampled parameters are
in columns of the samples, `<step>.<parameter>`, for `--by`, and in the manifest.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from merbench.corpus import CORPORA, Contents, Corpus, Feature, open_corpus, write_corpus
from merbench.corpus.declaration import MODALITIES
from merbench.corrupt.manifest import MANIFEST, SCHEMA, Manifest, problems_of, write_manifest
from merbench.corrupt.steps import corrupt, corrupt_split
from merbench.corruptions import Step
from merbench.corruptions.batches import corrupted_vectors
from merbench.errors import Inapplicable, MerbenchError, UsageError, contained, did_you_mean, listed
from merbench.files.paths import require_outside
from merbench.files.reading import sha256_bytes
from merbench.track import Track

CORPUS = "corpus"
"""Name of the folder, in the output, that the corrupted corpus is written to."""


Vector = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class CorruptedCorpus:
    """A corpus that was corrupted."""

    corpus: Corpus
    manifest: Manifest  # what was done
    problems: Mapping[str, str]  # sample -> why it could not be corrupted; its values are as they were
    # the features whose dimensions differ so much in scale that noise of 20 dB drowns half of them
    uneven: tuple[str, ...] = ()


@dataclass(eq=False)
class _Sample:
    """What steps are applied to, one after the other: a sample's vectors by modality, its texts by column."""

    id: str
    row: int
    vectors: dict[str, Vector]
    texts: dict[str, str]
    values: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None


def corrupt_corpus(
    track: Track,
    output: Path,
    *,
    features: Mapping[str, str] | None = None,
    columns: Sequence[str] = ("transcript",),
    replace: bool = False,
) -> CorruptedCorpus:
    """Write a corpus with corrupted features and texts, and the manifest, into a folder.

    Args:
        track: the track; its corpus is corrupted.
        output: folder to write: `corpus/` and `manifest.parquet`.
        features: modality -> name of its feature; None takes the feature of that name, or the only one of it.
        columns: columns of text that steps of text corrupt.
        replace: whether the result of an earlier run is replaced.

    Raises:
        UsageError: the track corrupts neither features nor texts; no such feature or column; the folder
            already exists.
    """
    corpus = open_corpus(track.corpus, relative_to=track.folder)
    by_split = {name: track.steps(name, "features", "text") for name in track.splits}
    steps = [step for of_split in by_split.values() for step in of_split]
    if not steps:
        raise UsageError(f"{track.id} declares no corruption of features or text")
    require_outside(output, corpus.folder, "the corpus itself")
    require_outside(output / CORPUS, corpus.folder, "the corpus itself")
    CORPORA.require_free(output / CORPUS, replace=replace)
    if (output / MANIFEST).exists() and not (output / CORPUS).exists():
        raise UsageError(f"{output}: already has the {MANIFEST} of something else; name another folder")
    _require_clean(corpus, track, by_split)
    modalities = {step.corruption.modality for step in steps}
    named = modality_features(corpus, features) if "features" in modalities else {}
    contents = _Contents.of(corpus, named, columns if "text" in modalities else ())
    for name, of_split in by_split.items():
        if of_split:
            samples = contents.members(track.splits[name].source)
            for step in of_split:
                _apply(step, [sample for sample in samples if sample.problem is None], track.seed)
            contents.take(samples)
    written = contents.write(track, output / CORPUS, replace=replace)
    manifest = Manifest(_header(corpus, track, steps), contents.rows)
    write_manifest(output, manifest)
    uneven = tuple(name for name in named.values() if _is_uneven(corpus.feature(name).values))
    return CorruptedCorpus(written, manifest, problems_of(contents.rows.values()), uneven)


def _is_uneven(values: NDArray[np.float32]) -> bool:
    """Return whether noise at 20 dB, a tenth of the root mean square, is as large as half of the deviations."""
    exact = values.astype(np.float64)
    return bool(exact.size and np.sqrt(np.mean(np.square(exact))) >= 10 * np.median(exact.std(axis=0)))


def modality_features(corpus: Corpus, asked: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return modality -> name of its feature in a corpus.

    Raises:
        UsageError: an asked name is not a modality or not a feature; no feature, or several, are of a modality.
    """
    if asked is not None:
        for modality, name in asked.items():
            if modality not in MODALITIES:
                near = did_you_mean(modality, MODALITIES)
                allowed = f"allowed: {', '.join(MODALITIES)}"
                raise UsageError(f"'{modality}' is not a modality of features; {allowed}{near}")
            corpus.feature_shape(name)
        return dict(asked)
    features: dict[str, str] = {}
    for modality in MODALITIES:
        fitting: list[str] = [name for name in corpus.features if name == modality]
        fitting = fitting or [name for name in corpus.default_features if corpus.modality(name) == modality]
        if len(fitting) > 1:
            raise UsageError(
                f"several features of corpus '{corpus.name}' are of the modality {modality}: {listed(fitting)}; "
                f"name one, {modality}={fitting[0]}"
            )
        if fitting:
            features[modality] = fitting[0]
    if not features:
        raise UsageError(
            f"no feature of corpus '{corpus.name}' ({listed(list(corpus.features)) or 'it has none'}) is of a known "
            "modality; say which is which, such as audio=hubert"
        )
    return features


def _require_clean(corpus: Corpus, track: Track, by_split: Mapping[str, Sequence[Step]]) -> None:
    """Raise `UsageError` if the corpus has values that a step samples: it has already been corrupted."""
    samples = corpus.samples()
    for name, steps in by_split.items():
        rows = samples.filter(pc.is_in(samples["split"], pa.array(track.splits[name].source)))
        sampled = [f"{step.step_name}.{key}" for step in steps for key in step.drawn_names]
        present = [key for key in sampled if key in rows.column_names and rows[key].null_count < rows.num_rows]
        if present:
            raise UsageError(
                f"split '{name}' of {track.id} is already corrupted in corpus '{corpus.name}', "
                f"which has {listed(present)}"
            )


def _apply(step: Step, samples: Sequence[_Sample], seed: int) -> None:
    """Corrupt the samples of a split by one step; a sample that cannot be corrupted has a problem from then on."""
    if step.corruption.scope == "split":
        corrupted = corrupt_split([s.vectors for s in samples], [s.id for s in samples], [step], seed=seed)
        for sample, after in zip(samples, corrupted, strict=True):
            sample.vectors = after.signal
            sample.values |= after.values
        return
    if step.corruption.modality == "text":
        for sample in samples:
            with _problem_of(sample):
                _apply_to_texts(step, sample, seed)
        return
    groups: dict[tuple[str, ...], list[_Sample]] = defaultdict(list)
    for sample in samples:
        has_frames = any(values.ndim > 1 for values in sample.vectors.values())
        groups[() if has_frames else tuple(sorted(sample.vectors))].append(sample)
    for modalities, group in groups.items():
        if modalities:
            _apply_to_vectors(step, modalities, group, seed)
        for sample in () if modalities else group:
            with _problem_of(sample):
                after = corrupt(sample.vectors, [step], seed=seed, sample_id=sample.id)
                sample.vectors = after.signal
                sample.values |= after.values


@contextmanager
def _problem_of(sample: _Sample) -> Iterator[None]:
    try:
        yield
    except Inapplicable as error:
        sample.problem = str(error)
    except MerbenchError:
        raise
    except Exception as error:
        sample.problem = contained(error)


def _apply_to_vectors(step: Step, modalities: Sequence[str], samples: Sequence[_Sample], seed: int) -> None:
    """Corrupt samples that have one vector for each of the same modalities, all at once."""
    matrices = {name: np.stack([sample.vectors[name] for sample in samples]) for name in modalities}
    done = corrupted_vectors(step, matrices, [sample.id for sample in samples], seed=seed)
    for row, sample in enumerate(samples):
        sample.problem = done.problems.get(sample.id)
        sample.vectors = {name: matrix[row] for name, matrix in done.vectors.items()}
        sample.values |= done.values[row]


def _apply_to_texts(step: Step, sample: _Sample, seed: int) -> None:
    """Corrupt every text of a sample; of several, measured values are named by column."""
    sampled = {f"{step.step_name}.{name}" for name in step.drawn_names}
    for column, text in sample.texts.items():
        after = corrupt(text, [step], seed=seed, sample_id=sample.id)
        sample.texts[column] = after.signal
        for name, value in after.values.items():
            own = name if name in sampled or len(sample.texts) == 1 else f"{name}.{column}"
            sample.values[own] = value


@dataclass(eq=False)
class _Contents:
    """The corpus that is written; corrupted samples replace clean ones one by one."""

    corpus: Corpus
    named: Mapping[str, str]  # modality -> name of its feature
    features: dict[str, Feature]  # all features; those of a modality may be written to
    places: Mapping[str, Mapping[str, slice]]  # by modality, the rows of every sample in its feature
    texts: dict[str, list[str]]  # by column, the text of every sample
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)  # rows of the manifest by sample

    @classmethod
    def of(cls, corpus: Corpus, named: Mapping[str, str], columns: Sequence[str]) -> _Contents:
        """Return the contents of a clean corpus."""
        features = {name: corpus.feature(name) for name in corpus.features}
        for name in named.values():
            features[name] = dataclasses.replace(features[name], values=features[name].values.copy())
        places = {modality: _rows_of(features[name]) for modality, name in named.items()}
        return cls(corpus, named, features, places, {name: corpus.texts(name) for name in columns})

    def members(self, sources: Collection[str]) -> list[_Sample]:
        """Return the samples of some splits of the corpus."""
        samples = self.corpus.samples()
        ids, splits = samples["sample_id"].to_pylist(), samples["split"].to_pylist()
        return [
            _Sample(name, row, self._vectors(name), {column: texts[row] for column, texts in self.texts.items()})
            for row, name in enumerate(ids)
            if splits[row] in sources
        ]

    def _vectors(self, sample_id: str) -> dict[str, Vector]:
        vectors = {}
        for modality, name in self.named.items():
            if (place := self.places[modality].get(sample_id)) is not None:
                values = self.features[name].values[place].astype(np.float64)
                vectors[modality] = values if self.features[name].offsets is not None else values[0]
        return vectors

    def take(self, samples: Sequence[_Sample]) -> None:
        """Take corrupted samples; one with a problem stays as it was."""
        for sample in samples:
            if sample.problem is not None:
                self.rows[sample.id] = {"sample_id": sample.id, "problem": sample.problem}
                continue
            parts = []
            for modality, values in sorted(sample.vectors.items()):
                stored = np.asarray(values, dtype="<f4")
                self.features[self.named[modality]].values[self.places[modality][sample.id]] = stored
                parts += [modality.encode(), np.ascontiguousarray(stored).tobytes()]
            for column, text in sorted(sample.texts.items()):
                self.texts[column][sample.row] = text
                parts += [column.encode(), text.encode()]
            self.rows[sample.id] = {"sample_id": sample.id, "values_sha256": sha256_bytes(*parts), **sample.values}

    def write(self, track: Track, folder: Path, *, replace: bool) -> Corpus:
        """Write the corpus, with the sampled parameters as columns of its samples, and return it."""
        corpus, samples = self.corpus, self.corpus.samples()
        for name, texts in self.texts.items():
            place = samples.column_names.index(name)
            samples = samples.set_column(place, name, pa.array(texts, pa.string()))
        ids = samples["sample_id"].to_pylist()
        for key in sorted({key for row in self.rows.values() for key in row if "." in key}):
            values = [self.rows.get(sample_id, {}).get(key) for sample_id in ids]
            samples = samples.drop_columns([key]) if key in samples.column_names else samples
            samples = samples.append_column(key, pa.array(values))
        source = f"{corpus.source}, corrupted as {track.key} declares"
        metadata = corpus.declaration.model_copy(update={"name": f"{corpus.name}-{track.id}", "source": source})
        contents = Contents(samples, corpus.reference(), self.features, corpus.declaration.extracted)
        return write_corpus(folder, metadata, contents, replace=replace)


def _rows_of(feature: Feature) -> dict[str, slice]:
    """Return the rows of every sample in the values of a feature."""
    ids = feature.ids.to_pylist()
    offsets = np.arange(len(ids) + 1) if feature.offsets is None else feature.offsets
    return {name: slice(int(offsets[i]), int(offsets[i + 1])) for i, name in enumerate(ids)}


def _header(corpus: Corpus, track: Track, steps: Sequence[Step]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "track": track.key,
        "fingerprint": track.fingerprint,
        "seed": track.seed,
        "steps": [step.step_name for step in steps],
        "corpus": {"name": corpus.name, "version": corpus.version, "digest": corpus.digest},
        "features": dict(corpus.declaration.content.features),
        "versions": {"merbench": version("merbench"), "numpy": version("numpy")},
    }
