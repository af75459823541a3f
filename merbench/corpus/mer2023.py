"""The released files of MER 2023 go in, the corpus `mer2023` comes out.

The release (arXiv:2304.08981) holds `label-6way.npz`, four pickled dictionaries of sample id -> emotion and valence,
and `transcription-engchi-polish.csv`, the transcripts in Chinese and English. A valence of -10 stands for none: the
samples of test3 (MER-SEMI) have only an emotion. 217 transcripts are empty. Features were released as folders, one
per extractor, with one `<sample>.npy` each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from merbench.corpus.delimited import Delimited, read_delimited
from merbench.corpus.feature import Feature
from merbench.corpus.feature_file import read_feature
from merbench.corpus.folder import require_free, write_corpus
from merbench.corpus.importing import IMPORTERS, Imported
from merbench.corpus.tables import ID, SPLIT
from merbench.errors import InvalidCorpus, Problem, UsageError, listed
from merbench.files import read_pickled_npz, sha256_file

LABELS_FILE = "label-6way.npz"
TRANSCRIPTS_FILE = "transcription-engchi-polish.csv"
RELEASED = {
    LABELS_FILE: "171a22252df46c3586f4a796ed6ab48ca63c019e822f8b5d016f032cd92ae01a",
    TRANSCRIPTS_FILE: "8f773eab800f8f3080a7551f25b5bfb17e3e78cd39742414256f32901bb0be97",
}
"""SHA-256 of the files as released. Others are read all the same, with a warning: a corrected release is no error,
and what was read is told by the corpus's own digest."""

SPLITS = {"train": "train_corpus", "test1": "test1_corpus", "test2": "test2_corpus", "test3": "test3_corpus"}
"""Split of the corpus -> member of the labels file."""

NO_VALENCE = -10

Labels = dict[str, tuple[str, str, float]]
"""Sample id -> split, emotion, valence."""


def import_mer2023(release: Path, folder: Path, *, features: Path | None = None, replace: bool = False) -> Imported:
    """Write the corpus of the MER 2023 release; see `merbench.corpus.importing.Importer`.

    Raises:
        UsageError: released files are missing, or the corpus folder is there already.
        InvalidCorpus: the released files do not hold what they should; all problems are listed.
    """
    require_free(folder, replace=replace)
    _require_files(release)
    problems: list[Problem] = []
    labels = _labels(release / LABELS_FILE, problems)
    transcripts = _transcripts(read_delimited(release / TRANSCRIPTS_FILE, problems), problems)
    warnings = [*_digest_warnings(release)]
    loaded = _features(features, list(labels), problems, warnings) if features is not None else {}
    untold = [name for name in labels if name not in transcripts]
    if transcripts and untold:
        message = f"{TRANSCRIPTS_FILE}: samples without a row ({len(untold):,} of {len(labels):,}): {listed(untold)}"
        problems.append(Problem("E615", message))
    if problems:
        raise InvalidCorpus("corpus 'mer2023'", problems)
    corpus = write_corpus(
        folder,
        name="mer2023",
        version="1.0",
        source="MER 2023 (arXiv:2304.08981), released labels and transcripts",
        licence="end-user licence agreement of MER 2023: academic research, no redistribution",
        language="zh",
        samples=_samples_table(labels, transcripts),
        reference=_reference_table(labels),
        features=loaded,
        replace=replace,
    )
    return Imported(corpus, tuple(warnings))


def _require_files(release: Path) -> None:
    missing = [name for name in RELEASED if not (release / name).is_file()]
    if missing:
        expected = " and ".join(RELEASED)
        raise UsageError(f"{release}: there is no {' and no '.join(missing)}; the release of MER 2023 is {expected}")


def _digest_warnings(release: Path) -> Iterator[Problem]:
    for name, expected in RELEASED.items():
        found = sha256_file(release / name)
        if found != expected:
            digests = f"sha256 {found[:12]}…, released {expected[:12]}…"
            yield Problem("W602", f"{name}: is not the released file ({digests}); it is read all the same")


def _labels(path: Path, problems: list[Problem]) -> Labels:
    members = read_pickled_npz(path)
    labels: Labels = {}
    for split, member in SPLITS.items():
        if not isinstance(members.get(member), dict):
            message = f"there is no dictionary '{member}'; there are {listed(list(members))}"
            problems.append(Problem("E610", f"{path.name}: {message}"))
            continue
        odd, again = [], []
        for name, value in members[member].items():
            label = _label(value)
            if label is None or not isinstance(name, str):
                odd.append(f"{name!r}: {value!r}")
            elif name in labels:
                again.append(name)
            else:
                labels[name] = (split, *label)
        if odd:
            message = f"items that are not {{'emo': text, 'val': number}} ({len(odd):,} of {len(members[member]):,})"
            problems.append(Problem("E614", f"{path.name}, {member}: {message}: {listed(odd)}"))
        if again:
            problems.append(Problem("E612", f"{path.name}, {member}: samples of another split too: {listed(again)}"))
    return labels


def _label(value: Any) -> tuple[str, float] | None:
    match value:
        case {"emo": str(emotion), "val": bool()}:
            return None
        case {"emo": str(emotion), "val": int() | float() as valence}:
            return emotion, float(valence)
    return None


def _transcripts(cells: Delimited | None, problems: list[Problem]) -> dict[str, tuple[str, str]]:
    """Return sample id -> transcript in Chinese and in English, empty where nothing was transcribed."""
    columns = ("name", "chinese", "english")
    if cells is None:
        return {}
    missing = [name for name in columns if name not in cells.header]
    if missing:
        message = f"{TRANSCRIPTS_FILE}: there is no column {listed(missing)}; there are {listed(cells.header)}"
        problems.append(Problem("E611", message))
        return {}
    names, chinese, english = (cells.column(name) for name in columns)
    return {name: (zh, en) for name, zh, en in zip(names, chinese, english, strict=True)}


def _features(root: Path, names: list[str], problems: list[Problem], warnings: list[Problem]) -> dict[str, Feature]:
    """Return the features in the folders of `root`; a sample without a file is a warning."""
    folders = sorted(path for path in root.glob("*/") if not path.name.startswith("."))
    if not folders:
        problems.append(Problem("E616", f"{root}: there is no folder of a feature in it, with one .npy per sample"))
    features = {}
    for folder in folders:
        try:
            feature = read_feature(str(folder), wanted=names)
        except UsageError as error:
            problems.append(Problem("E616", f"feature '{folder.name}': {error}"))
            continue
        features[folder.name] = feature
        there = set(feature.ids.to_pylist())
        absent = [name for name in names if name not in there]
        if absent:
            message = f"samples without a file ({len(absent):,} of {len(names):,}): {listed(absent)}"
            warnings.append(Problem("W603", f"feature '{folder.name}': {message}"))
    return features


def _samples_table(labels: Labels, transcripts: Mapping[str, tuple[str, str]]) -> pa.Table:
    columns = {
        ID: list(labels),
        SPLIT: [split for split, _, _ in labels.values()],
        "transcript": [transcripts[name][0] for name in labels],
        "transcript_english": [transcripts[name][1] for name in labels],
    }
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})


def _reference_table(labels: Labels) -> pa.Table:
    valence = [None if value == NO_VALENCE else value for _, _, value in labels.values()]
    emotion = [emotion for _, emotion, _ in labels.values()]
    return pa.table({ID: list(labels), "discrete": emotion, "valence": pa.array(valence, pa.float64())})


IMPORTERS.add("mer2023", import_mer2023)
