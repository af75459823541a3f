"""A track and its corpus go in, a corpus comes out whose features and transcripts are damaged as the track declares.

Every split is damaged as its steps say; the others, and the references, stay as they are. What was drawn stands in
columns of the samples, `<step>.<parameter>`, for `--by`, and in the manifest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from merbench.corpus import Corpus, Feature, open_corpus, write_corpus
from merbench.corpus.folder import require_free
from merbench.corruptions import Step
from merbench.errors import Inapplicable, UsageError, did_you_mean, listed
from merbench.files import sha256_bytes
from merbench.protocol.manifest import MANIFEST, SCHEMA, Manifest, problems_of, write_manifest
from merbench.protocol.steps import Damaged, damage_split, steps_of
from merbench.track import Track

CORPUS = "corpus"
"""Name of the folder, in the output, that the damaged corpus is written to."""

MODALITIES = ("audio", "text", "video")


@dataclass(frozen=True, eq=False)
class DamagedCorpus:
    """A corpus that was damaged.

    Attributes:
        corpus: the damaged corpus.
        manifest: what was done.
        problems: sample -> why it could not be damaged; its values are as they were.
    """

    corpus: Corpus
    manifest: Manifest
    problems: Mapping[str, str]


@dataclass(eq=False)
class _Contents:
    """What changes while steps are applied: rows of features and texts, by sample."""

    samples: pa.Table
    features: dict[str, Feature]
    texts: dict[str, list[str]]
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)


def damage_corpus(
    track: Track,
    output: Path,
    *,
    features: Mapping[str, str] | None = None,
    columns: Sequence[str] = ("transcript",),
    replace: bool = False,
) -> DamagedCorpus:
    """Write a corpus with damaged features and texts, and the manifest, into a folder.

    Args:
        track: the track; its corpus is damaged.
        output: folder to write: `corpus/` and `manifest.parquet`.
        features: modality -> name of the feature that holds it; None takes those that are named as their modality,
            or begin with it.
        columns: columns of text that steps of text damage.
        replace: whether what an earlier run wrote there is replaced.

    Raises:
        UsageError: the track damages neither features nor texts; there is no such feature or column; the folder is
            there already.
    """
    corpus = open_corpus(track.corpus, relative_to=track.folder)
    by_split = {name: steps_of(track.corruptions, "features", "text", split=name) for name in track.splits}
    steps = [step for found in by_split.values() for step in found]
    if not steps:
        raise UsageError(f"{track.id} declares no corruption of features or text")
    if output.resolve() == corpus.folder.resolve() or corpus.folder.resolve() in output.resolve().parents:
        raise UsageError(f"{output} lies in the corpus itself; name an output outside")
    require_free(output / CORPUS, replace=replace)
    named = modality_features(corpus, features) if _any(steps, "features") else {}
    if _any(steps, "text"):
        _require_columns(corpus, columns)
    contents = _Contents(
        corpus.samples(),
        {name: _writable(corpus.feature(name)) for name in corpus.features},
        {name: corpus.samples()[name].to_pylist() for name in columns if _any(steps, "text")},
    )
    for name, found in by_split.items():
        if found:
            _damage_split(contents, track, track.splits[name].source, found, named)
    written = _write(corpus, track, contents, output / CORPUS, replace=replace)
    manifest = Manifest(_header(corpus, track, steps), contents.rows)
    write_manifest(output, manifest)
    return DamagedCorpus(written, manifest, problems_of(contents.rows.values()))


def _writable(feature: Feature) -> Feature:
    return Feature(feature.ids, feature.values.copy(), feature.offsets)


def modality_features(corpus: Corpus, asked: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return modality -> name of the feature of a corpus that holds it.

    Raises:
        UsageError: an asked name is no modality or no feature; no feature, or several, begin with a modality.
    """
    if asked is not None:
        for modality, name in asked.items():
            if modality not in MODALITIES:
                raise UsageError(
                    f"'{modality}' is no modality of features; allowed: {', '.join(MODALITIES)}"
                    f"{did_you_mean(modality, MODALITIES)}"
                )
            corpus.feature_shape(name)
        return dict(asked)
    found: dict[str, str] = {}
    for modality in MODALITIES:
        fitting = [name for name in corpus.features if name == modality]
        fitting = fitting or [name for name in corpus.features if name.startswith(modality)]
        if len(fitting) > 1:
            raise UsageError(
                f"several features of corpus '{corpus.name}' begin with {modality}: {listed(fitting)}; "
                f"name one, {modality}={fitting[0]}"
            )
        if fitting:
            found[modality] = fitting[0]
    if not found:
        raise UsageError(
            f"no feature of corpus '{corpus.name}' ({listed(list(corpus.features)) or 'it has none'}) is named as a "
            "modality; say which is what, such as audio=hubert"
        )
    return found


def _any(steps: Sequence[Step], modality: str) -> bool:
    return any(step.corruption.modality == modality for step in steps)


def _require_columns(corpus: Corpus, columns: Sequence[str]) -> None:
    samples = corpus.samples()
    there = [f.name for f in samples.schema if pa.types.is_string(f.type) and f.name not in ("sample_id", "split")]
    for column in columns:
        if column not in there:
            raise UsageError(
                f"corpus '{corpus.name}' has no column of text '{column}'; it has {listed(there) or 'none'}"
                f"{did_you_mean(column, there)}"
            )


def _damage_split(
    contents: _Contents, track: Track, source: str, steps: Sequence[Step], named: Mapping[str, str]
) -> None:
    ids = contents.samples["sample_id"].to_pylist()
    splits = contents.samples["split"].to_pylist()
    members = [(row, sample_id) for row, sample_id in enumerate(ids) if splits[row] == source]
    vectors = {modality: _rows_of(contents.features[name]) for modality, name in named.items()}
    for step in steps:
        if step.corruption.modality == "text":
            _damage_texts(contents, track, members, step)
        else:
            _damage_features(contents, track, members, step, named, vectors)


def _rows_of(feature: Feature) -> dict[str, slice]:
    """Return the rows of every sample in the values of a feature."""
    ids = feature.ids.to_pylist()
    offsets = np.arange(len(ids) + 1) if feature.offsets is None else feature.offsets
    return {name: slice(int(offsets[i]), int(offsets[i + 1])) for i, name in enumerate(ids)}


def _damage_features(
    contents: _Contents,
    track: Track,
    members: Sequence[tuple[int, str]],
    step: Step,
    named: Mapping[str, str],
    places: Mapping[str, Mapping[str, slice]],
) -> None:
    def vectors(sample_id: str) -> dict[str, NDArray[np.float64]]:
        found = {}
        for modality, name in named.items():
            if (place := places[modality].get(sample_id)) is not None:
                values = contents.features[name].values[place].astype(np.float64)
                found[modality] = values if contents.features[name].offsets is not None else values[0]
        return found

    ids = [sample_id for _, sample_id in members]
    for sample_id, damaged in _each_or_all(step, [vectors(i) for i in ids], ids, track.seed, contents):
        row = contents.rows[sample_id]
        row.update(damaged.values)
        for modality, values in damaged.signal.items():
            feature = contents.features[named[modality]]
            feature.values[places[modality][sample_id]] = values
        parts = [np.ascontiguousarray(damaged.signal[m], dtype="<f4").tobytes() for m in sorted(damaged.signal)]
        row["values_sha256"] = sha256_bytes(*parts)


def _damage_texts(contents: _Contents, track: Track, members: Sequence[tuple[int, str]], step: Step) -> None:
    ids = [sample_id for _, sample_id in members]
    rows = {sample_id: row for row, sample_id in members}
    for column, texts in contents.texts.items():
        held = [texts[rows[sample_id]] or "" for sample_id in ids]
        for sample_id, damaged in _each_or_all(step, held, ids, track.seed, contents):
            texts[rows[sample_id]] = damaged.signal
            contents.rows[sample_id].update(damaged.values)
            before = contents.rows[sample_id].get("values_sha256", "")
            contents.rows[sample_id]["values_sha256"] = sha256_bytes(f"{before}{column}\0{damaged.signal}".encode())


def _each_or_all(
    step: Step, signals: Sequence[Any], ids: Sequence[str], seed: int, contents: _Contents
) -> list[tuple[str, Damaged]]:
    """Return the damaged signals; a sample that cannot be damaged is left out, and its row says why."""
    for sample_id in ids:
        contents.rows.setdefault(sample_id, {"sample_id": sample_id})
    if step.corruption.scope == "split":
        return list(zip(ids, damage_split(signals, ids, [step], seed=seed), strict=True))
    found = []
    for sample_id, signal in zip(ids, signals, strict=True):
        try:
            found.append((sample_id, damage_split([signal], [sample_id], [step], seed=seed)[0]))
        except Inapplicable as error:
            contents.rows[sample_id]["problem"] = str(error)
    return found


def _write(corpus: Corpus, track: Track, contents: _Contents, folder: Path, *, replace: bool) -> Corpus:
    samples = contents.samples
    for name, texts in contents.texts.items():
        place = samples.column_names.index(name)
        samples = samples.set_column(place, name, pa.array(texts, pa.string()))
    ids = samples["sample_id"].to_pylist()
    drawn = sorted({key for row in contents.rows.values() for key in row if "." in key})
    for key in drawn:
        values = [contents.rows.get(sample_id, {}).get(key) for sample_id in ids]
        if any(isinstance(value, list | dict) for value in values):
            continue
        samples = samples.drop_columns([key]) if key in samples.column_names else samples
        samples = samples.append_column(key, pa.array(values))
    return write_corpus(
        folder,
        name=f"{corpus.name}-{track.id}",
        version=corpus.version,
        source=f"{corpus.source}, damaged as {track.key} declares",
        licence=corpus.licence,
        language=corpus.language,
        synthetic=corpus.synthetic,
        samples=samples,
        reference=corpus.reference(),
        features=contents.features,
        replace=replace,
    )


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


__all__ = ["CORPUS", "MANIFEST", "DamagedCorpus", "damage_corpus", "modality_features"]
