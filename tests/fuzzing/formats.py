"""Every format that is read: a few valid files of it, how they are mutated, and what reads them."""

from __future__ import annotations

import gzip
import io
import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from blind_candidates import LABELS, BlindCandidates, csv_rows, csv_text, sample_ids
from hand_made_boards import board, with_ranks
from hand_made_reports import full_report
from lexicon_release import FORMAT, SYNONYM, WHEEL, write_csv, write_xlsx
from made_corpus import made_corpus, with_parquet

from fuzzing.mutations import Mutation, gzipped, npy, parquet, scrambled, toml, zipped, zstd_packed
from merbench.asking.answers import read_answer, read_answers
from merbench.asking.rescoring import stored_answers
from merbench.banks.bank import Bank
from merbench.banks.folder import BANKS, write_bank
from merbench.banks.sounds import Sound
from merbench.claims import ClaimsReport, Measured, stored_claims
from merbench.claims.stored import write_stored
from merbench.cli.options import named_values
from merbench.cli.robustness import read_grids
from merbench.cli.systems import features_by_place, named_systems
from merbench.corpus import CORPORA, ExtractionRecord, Metadata, OwnFiles, create_corpus
from merbench.corpus.candidates import Candidates, open_candidates
from merbench.corpus.contents import Contents
from merbench.corpus.delimited import read_delimited, to_table
from merbench.corpus.feature import Feature, read_feature
from merbench.corpus.folder import verify_corpus
from merbench.corpus.release_readers import arrays, label_archive, recordings, spaced
from merbench.corrupt.manifest import Manifest, read_manifest, read_progress, write_manifest
from merbench.errors import DeclarationError, InvalidSubmission, Problem, UsageError
from merbench.features.folders import read_network
from merbench.files.journal import Journal
from merbench.files.reading import sha256_bytes
from merbench.files.tensors import read_tensors, write_tensors
from merbench.leaderboard.build import Cache
from merbench.leaderboard.entry import inspect_entry
from merbench.lexicon import Lexicon, open_lexicon
from merbench.lexicon.importing import read_release
from merbench.report import Ceiling, Document
from merbench.report.scorecard import ScoreReport
from merbench.robustness.grid import planned
from merbench.site.page import board_page, start_page, stored_boards
from merbench.submission import read_submission
from merbench.synonyms.groups import GROUPS, UNSTATED, Groups, write_groups
from merbench.synonyms.released import RELEASES
from merbench.synonyms.released import read_release as read_groups_release
from merbench.targets.distribution import DistributionTarget
from merbench.track import load_track, parse_track
from merbench.training import RunSettings, run_baseline
from merbench.training.declaration import read_baseline
from merbench.training.records import read_run
from merbench.training.resume import TRAINED, Unfinished
from merbench.training.stored_models import open_models

ROOT = Path(__file__).parents[2]


_NETWORK = b"""name = "own"
runs = "onnx"
file = "model.onnx"
dimension = 2
licence = "MIT"
source = "Doe (2024)"
"""

NETWORKS = [
    _NETWORK + b'input = "sound"\nunit = "segment"\n[sound]\nsample_rate_hz = 8000\nwindow = 4\nhop = 2\n',
    _NETWORK + b'input = "faces"\nunit = "frame"\nrate_hz = 5\n[picture]\nwidth = 4\nheight = 2\nscale = [1.0, 2, 1]\n',
]


@dataclass(frozen=True)
class Format:
    """A format that is read.

    Attributes:
        path: where a mutated file is put.
        seeds: valid files.
        mutate: what makes another file of one of them.
        read: reads the file at the path.
    """

    path: Path
    seeds: Sequence[bytes]
    mutate: Mutation
    read: Callable[[Path], object]

    def input(self, name: str, seed: int, number: int) -> bytes:
        """Return one input; the same for the same arguments."""
        rng = random.Random(f"{name} {seed} {number}")
        valid = rng.choice(self.seeds)
        return valid if number < len(self.seeds) else self.mutate(valid, rng)


FEW = csv_text(csv_rows(12)).encode()
COLUMNS: dict[str, list[Any]] = {
    "sample_id": sample_ids(12),
    "discrete": [LABELS[i % 6] for i in range(12)],
    "valence": [i / 10 for i in range(12)],
}
MANY_TARGETS: dict[str, Any] = {
    "discrete": {"type": "categorical", "labels": list(LABELS), "out_of_vocabulary": "wrong"},
    "valence": {"type": "continuous"},
    "words": {"type": "label_set", "empty": "allow"},
    "said": {"type": "text", "lexicon": "english"},
    "best": {"type": "ranked", "labels": ["glad", "sad"], "out_of_vocabulary": "dropped"},
    "stretches": {"type": "segments", "labels": ["fake", "real"]},
    "choice": {"type": "preference", "reading": "answer"},
    "several": {"type": "multilabel", "labels": ["m1", "m2"]},
    "votes": {"type": "distribution", "labels": ["yes", "no"]},
}
VOTES = DistributionTarget(type="distribution", labels=("yes", "no"))
MANY: dict[str, list[Any]] = {
    **COLUMNS,
    "words": [["happy", "sur, prised"], ["sad"], []] * 4,
    "said": ["She is not sad, but afraid.", "Happy."] * 6,
    "best": ["glad, sad", "sad"] * 6,
    "stretches": [[{"label": "fake", "start_s": 0.5, "end_s": 1.0}]] * 12,
    "choice": ["a1", "the second is better", "same"] * 4,
    "m1": [0, 1] * 6,
    "m2": [1.0, 0.0] * 6,
    "votes_yes": [0.25, 1.0] * 6,
    "votes_no": [0.75, 0.0] * 6,
}
CHANCES = {**COLUMNS, **{f"p_{label}": [float(i % 6 == k) for i in range(12)] for k, label in enumerate(LABELS)}}
MANY_TEXT: dict[str, list[Any]] = {
    **MANY,
    "words": ["['happy', 'sur, prised']", '["sad"]', "glad, low"] * 4,
    "stretches": ["fake-0.50-1.00 real-1.5-2", ""] * 6,
}


def _candidates(folder: Path, targets: Mapping[str, Any]) -> Candidates:
    column = pa.array(sample_ids(12), pa.string())
    track = parse_track(
        {
            "id": folder.name,
            "version": "1.0",
            "title": "A track",
            "corpus": "none",
            "splits": {"test": "test"},
            "targets": targets,
            "metrics": [{"name": "accuracy", "target": "discrete", "weight": 1.0}],
            "ranking": {"by": ["overall"]},
            "submission": {"missing_ids": "error", "max_bytes": 2_000_000},
        },
        folder,
    )
    return BlindCandidates(track, "test", None, column, pa.table({"sample_id": column}))  # type: ignore[arg-type]


def _csv(columns: Mapping[str, Sequence[Any]], delimiter: str = ",") -> bytes:
    def cell(value: Any) -> str:
        text = str(value)
        return '"' + text.replace('"', '""') + '"' if {*',"\n\t'} & {*text} else text

    rows = [list(columns), *zip(*columns.values(), strict=True)]
    return "\n".join(delimiter.join(map(cell, row)) for row in rows).encode() + b"\n"


def _jsonl(columns: Mapping[str, Sequence[Any]]) -> bytes:
    rows = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def _parquet(table: pa.Table | Mapping[str, Any], **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(table if isinstance(table, pa.Table) else pa.table(dict(table)), file, **options)
    return file.getvalue()


def _parquets(columns: Mapping[str, Any]) -> list[bytes]:
    table = pa.table(dict(columns))
    label = table.schema.get_field_index("discrete")
    deltas = {"discrete": "DELTA_BYTE_ARRAY", "sample_id": "DELTA_LENGTH_BYTE_ARRAY", "valence": "BYTE_STREAM_SPLIT"}
    plain: dict[str, Any] = {"compression": "none", "use_dictionary": False}
    return [
        _parquet(table, compression="none"),
        _parquet(table, compression="zstd", write_page_index=True, write_page_checksum=True),
        _parquet(table, compression="snappy", data_page_version="2.0", version="1.0"),
        _parquet(table, **plain, data_page_version="2.0"),
        _parquet(table, compression="gzip", row_group_size=5, write_statistics=False),
        _parquet(table, **plain, column_encoding={"discrete": "PLAIN", "valence": "PLAIN"}, data_page_size=64),
        _parquet(table, **plain, column_encoding=deltas),
        _parquet(table.set_column(label, "discrete", table["discrete"].dictionary_encode()), compression="lz4"),
        _parquet(table.cast(_large(table.schema)), compression="brotli"),
    ]


def _large(schema: pa.Schema) -> pa.Schema:
    return pa.schema([f.with_type(pa.large_string()) if f.type == pa.string() else f for f in schema])


def _npz(columns: Mapping[str, Any], *, packed: bool = False) -> bytes:
    file = io.BytesIO()
    kept = {name: np.array(column) for name, column in columns.items()}
    kept = {name: array for name, array in kept.items() if array.dtype != object}
    (np.savez_compressed if packed else np.savez)(file, **kept)
    return file.getvalue()


def _pickled_npz(**members: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **{name: np.array(member, dtype=object) for name, member in members.items()})
    return file.getvalue()


def _member(name: str) -> Mutation:
    return npy if name.endswith(".npy") else scrambled


def _read_table(path: Path) -> None:
    problems: list[Problem] = []
    cells = read_delimited(path, problems)
    if cells is not None:
        contents = Contents(
            to_table(cells, {name: name for name in cells.header}, problems), None, {}, samples_origin=cells.origin
        )
        problems += contents.problems()
    _raise(path, problems)


def _create_of_clips(path: Path) -> None:
    clips = path.parent / "clips"
    for name in ("a/x.wav", "y.wav", "z.mp4", "z.wav", "a/\u202e.wav", "a,b.wav"):
        (clips / name).parent.mkdir(parents=True, exist_ok=True)
        (clips / name).touch()
    metadata = Metadata(name="clips", version="1.0", source="", licence="")
    own = OwnFiles(path, targets=["mood"], media=clips, media_column="file")
    create_corpus(path.parent / "made", metadata, own, replace=True)


def _with_problems(read: Callable[[Path, list[Problem]], object]) -> Callable[[Path], object]:
    def call(path: Path) -> object:
        problems: list[Problem] = []
        value = read(path, problems)
        _raise(path, problems)
        return value

    return call


def _raise(path: Path, problems: Sequence[Problem]) -> None:
    """Raise problems that a reader collects, as what calls it does."""
    if problems:
        raise DeclarationError(path.name, problems)


def _read_votes(path: Path) -> None:
    problems: list[Problem] = []
    cells = read_delimited(path, problems)
    if cells is not None:
        table = to_table(cells, {name: name for name in cells.header}, problems)
        columns = [table[name].combine_chunks() for name in table.column_names[:2]]
        if len(columns) == 2:
            VOTES.read_references(path.name, columns, len(table))
    _raise(path, problems)


def _in_all_forms(report: Document) -> None:
    for form in (report.to_text, report.to_markdown, report.to_html, report.to_latex):
        form()


def _in_folder(read: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda path: read(path.parent)


def formats(folder: Path) -> dict[str, Format]:
    """Return all formats by name; what they need is written into a folder."""
    return {
        **_submissions(folder),
        **_corpora(folder),
        **_declarations(folder),
        **_lexicons(folder),
        **_records(folder),
        **_trainings(folder),
    }


def _submissions(folder: Path) -> dict[str, Format]:
    few = _candidates(folder / "few", {name: MANY_TARGETS[name] for name in ("discrete", "valence")})
    many = _candidates(folder / "many", MANY_TARGETS)

    def both(path: Path) -> None:
        data = path.read_bytes()
        packed = data.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd"))
        read_submission(path, many if b"said" in data or (packed and len(data) % 2) else few)

    def either(name: str, seeds: Sequence[bytes], mutate: Mutation) -> Format:
        return Format(folder / f"submission.{name}", seeds, mutate, both)

    texts = [FEW, _csv(MANY_TEXT), _csv(CHANCES)]
    tables = [pa.table({**MANY, "words": MANY_TEXT["words"]}), pa.table(MANY)]
    odd = pa.table(
        {
            **COLUMNS,
            "discrete": pa.array(COLUMNS["discrete"]).cast(pa.binary()),
            "valence": pa.array(range(12), pa.duration("s")),
        }
    )
    parquets = [
        data for table in [pa.table(COLUMNS), *tables] for data in _parquets({n: table[n] for n in table.column_names})
    ]
    archives = [
        _npz(COLUMNS),
        _npz(COLUMNS, packed=True),
        _npz(MANY_TEXT),
        _npz({**COLUMNS, "discrete": [b"sad"] * 12}),
    ]
    return {
        "csv": either("csv", texts, scrambled),
        "tsv": either("tsv", [_csv(COLUMNS, "\t"), _csv(MANY_TEXT, "\t")], scrambled),
        "jsonl": either("jsonl", [_jsonl(COLUMNS), _jsonl(MANY_TEXT)], scrambled),
        "csv.gz": either("csv.gz", [gzip.compress(text) for text in texts], gzipped),
        "csv.zst": either("csv.zst", [bytes(pa.compress(text, "zstd", asbytes=True)) for text in texts], zstd_packed),
        "parquet": either("parquet", [*parquets, _parquet(odd)], parquet),
        "npz": either("npz", archives, zipped(_member)),
        "answers": Format(folder / "answer.txt", ANSWERS, scrambled, lambda path: _read_answers(path, folder / "answers.csv", many)),
        "stored answers jsonl": Format(folder / "stored.jsonl", STORED, scrambled, lambda path: stored_answers(path, many.track)),
        "stored answers csv": Format(folder / "stored.csv", [b"sample_id,target,text\na,best,[glad]\nb,words,\"[sad, 'low']\"\n"], scrambled, lambda path: stored_answers(path, many.track)),
    }  # fmt: skip


STORED = [
    b'{"sample_id": "a", "target": "best", "text": "[glad]"}\n{"sample_id": ["b", "c"], "text": "[a][b]", "target": "words"}\n'
]
ANSWERS = [
    b"{'name': 'c1', 'result': ['glad', 'sad']},\n{'name': 'c2', 'result': ['neutral']}",
    '```json\n{"yes": 0.25, "no": 75%}\n```\n输出：【悲伤，glad】'.encode(),
    b"<think>a1?</think> Output: [happy, worn out, and 'sad'] a2, minus 0.5",
    b"I'm sorry, but I cannot help with identifying people. \\ud83d -1e-3",
    b"neutral. She seems not sad, but afraid",
]


def _read_answers(path: Path, written: Path, candidates: Candidates) -> None:
    """Read a text as an answer of every kind; whatever is read, a submission can hold, and its target reads."""
    text = path.read_bytes().decode("utf-8", errors="surrogateescape")
    asked = [(name, target) for name, target in candidates.track.targets.items() if target.answer_form]
    for released, (name, target) in product((True, False), asked):
        several = read_answers(target, text, ["c1", "c2"], released=released) or ()
        for answer in (read_answer(target, text, released=released), *several):
            cells = {
                column: [cell] * 12 for column, cell in zip(target.columns(name), answer.cells or (), strict=False)
            }
            written.write_bytes(_csv({**MANY_TEXT, **cells}))
            try:
                read_submission(written, candidates)
            except InvalidSubmission as error:
                raise ValueError(f"{name}: {answer.cells!a}: {error}") from error


_EXTRACTED = {
    name: ExtractionRecord(
        extractor="e",
        version="1",
        modality="audio",
        unit="frame",
        rate_hz=4.0,
        options={"layers": [1, 2], "pool": "mean"},
        weights="0" * 64,
        versions={"numpy": "2"},
    )
    for name in ("g", "h")
}


def _corpora(folder: Path) -> dict[str, Format]:
    corpus = folder / "corpus"
    ids = ["a", "b", "c"]
    made_corpus(corpus, name="corpus", samples=pa.table({"sample_id": ids, "split": ["train", "test", "test"], "transcript": ["x", "", "z"]}), reference=pa.table({"sample_id": ids, "discrete": ["sad", "glad", None], "words": [["a"], [], ["b", "c"]]}), features={"f": Feature.from_vectors(ids, np.ones((3, 2), np.float32)),
                  "g": Feature.from_frames(ids, [np.ones((n, 2), np.float32) for n in (1, 2, 3)]),
                  "h": Feature.from_frames(ids, [np.ones((n, 2), np.float32) for n in (0, 2, 3)], [np.arange(n) / 4 for n in (0, 2, 3)])}, extracted=_EXTRACTED)  # fmt: skip
    with_parquet(CORPORA.read(corpus), "f")
    declared = (corpus / "corpus.toml").read_text()

    def recorded(member: str) -> Callable[[Path], object]:
        """Return a reader of a file of the corpus whose digest is recorded as it is."""
        old = sha256_bytes((corpus / member).read_bytes())
        intact = (corpus / member).read_bytes()

        def read(path: Path) -> None:
            data = path.read_bytes()
            (corpus / member).write_bytes(data)
            (corpus / "corpus.toml").write_text(declared.replace(old, sha256_bytes(data)))
            try:
                opened = CORPORA.read(corpus)
                _raise(path, verify_corpus(opened))
                for name in opened.features:
                    opened.feature(name), opened.feature_shape(name)
            finally:
                (corpus / member).write_bytes(intact)
                (corpus / "corpus.toml").write_text(declared)

        return read

    vectors = {"ids": np.array(ids), "values": np.arange(6, dtype=np.float32).reshape(3, 2)}
    frames = {"a": np.ones((2, 2)), "b": np.ones((1, 2))}
    table = {"sample_id": ids, "values": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]}
    nested = {"sample_id": ids, "values": [[[1.0, 2.0]], [[3.0, 4.0]] * 2, [[5.0, 6.0]]]}
    timed = {**nested, "times": [[0.5], [0.5, 1.0], [0.0]]}
    single = io.BytesIO()
    np.save(single, np.ones((2, 3), np.float32))
    labels = {
        "a": {"emo": "sad", "val": 1.0},
        "b": {"emo": 1, "val": np.float64(2)},
        "c": {"emo": np.int64(3), "val": -10},
    }
    (folder / "npys").mkdir()
    (folder / "recordings").mkdir()
    text = b'sample_id,split,x,transcript\r\na,train,1,"he said ""no"""\nb,test,-2.5e3,\nc,test,,"two\nlines"\n'
    files = {
        member: (corpus / member).read_bytes()
        for member in (
            "samples.parquet",
            "reference.parquet",
            "features/f.parquet",
            "features/g.arrow",
            "features/h.arrow",
        )
    }
    return {
        "corpus csv": Format(folder / "corpus.csv", [text], scrambled, _read_table),
        "corpus tsv": Format(folder / "corpus.tsv", [text.replace(b",", b"\t")], scrambled, _read_table),
        "corpus clips": Format(folder / "clips.csv", [b"split,file,mood\ntrain,a/x.wav,sad\ntest,y,glad\ntest,z.mp4,\n"], scrambled, _create_of_clips),
        "corpus.toml": Format(corpus / "corpus.toml", [declared.encode()], scrambled, _in_folder(CORPORA.read)),
        **{f"corpus {member}": Format(folder / "member", [data], parquet if member.endswith(".parquet") else scrambled, recorded(member)) for member, data in files.items()},
        "feature npz": Format(folder / "feature.npz", [_npz(vectors), _npz(vectors, packed=True), _npz(frames)], zipped(_member), lambda path: read_feature(str(path))),
        "feature parquet": Format(folder / "feature.parquet", [*_parquets_of(table), *_parquets_of(nested), *_parquets_of(timed)], parquet, lambda path: read_feature(str(path))),
        "feature arrow": Format(folder / "feature.arrow", [files["features/g.arrow"], files["features/h.arrow"]], scrambled, lambda path: read_feature(str(path))),
        "feature npy": Format(folder / "npys" / "a.npy", [single.getvalue()], npy, lambda path: read_feature(str(path.parent))),
        "release pickles": Format(folder / "label.npz", [_pickled_npz(train=labels, test=labels)], zipped(_member), _with_problems(label_archive({"train": "train", "test": "test"}))),
        "release arrays": Format(folder / "arrays.npz", [_npz(COLUMNS)], zipped(_member), _with_problems(arrays)),
        "release frames": Format(folder / "recordings" / "a.txt", [b"valence,arousal\n0.1,0.2\n-5,1\n"], scrambled, lambda path: _with_problems(recordings(("valence", "arousal")))(path.parent)),
        "release spaced": Format(folder / "spaced.txt", [b"a 1 2\nb 3 4\n"], scrambled, _with_problems(spaced("name", "x", "y"))),
    }  # fmt: skip


def _parquets_of(columns: Mapping[str, Any]) -> list[bytes]:
    return [
        _parquet(columns, compression="none"),
        _parquet(columns, compression="zstd", data_page_version="2.0", use_dictionary=False),
    ]


def _declarations(folder: Path) -> dict[str, Format]:
    names = ("mer-multi", "mer2024-ov", "mer2025-track3", "ravdess", "mer-noise-media", "crema-d-votes", "mer-semi")
    tracks = [path for name in names if (path := ROOT / "tracks" / name / "track.toml").is_file()]
    entries = sorted((ROOT / "submissions").glob("*/*/*/entry.toml"))[:3]
    baselines = sorted((ROOT / "baselines").glob("*/baseline.toml"))
    place = folder / "submissions" / "toy" / "team" / "run"
    place.mkdir(parents=True)
    (place / "submission.csv").write_bytes(FEW)
    for name in ("track", "baseline", "network"):
        (folder / name).mkdir()

    def entry(path: Path) -> None:
        _raise(path, inspect_entry(folder / "submissions", place).problems)

    card = b'title = "A run"\nteam = "A team"\nmembers = ["Ada"]\nsystem = "net"\nseed = 3\nexternal_data = []\nreceived = 2026-01-31T00:00:00Z\nranks = true\n'
    voted = (
        (ROOT / "tracks" / "crema-d" / "track.toml")
        .read_bytes()
        .replace(b'"sad"]', b'"sad"]\nvotes = [%s]' % b", ".join(b'"v%d"' % i for i in range(6)))
    )
    named = [re.sub(rb'^id = ".*"', b'id = "track"', path.read_bytes(), flags=re.MULTILINE) for path in tracks]
    named.append(voted.replace(b'id = "crema-d"', b'id = "track"'))
    named.append(LEARNED.replace('id = "learned"', 'id = "track"').encode())
    return {
        "entry.toml": Format(place / "entry.toml", [card, *(path.read_bytes() for path in entries)], scrambled, entry),
        "track.toml": Format(folder / "track" / "track.toml", named, toml, _in_folder(load_track)),
        "baseline.toml": Format(folder / "baseline" / "baseline.toml", [path.read_bytes() for path in baselines], toml, _in_folder(read_baseline)),
        "extractor.toml": Format(folder / "network" / "extractor.toml", NETWORKS, scrambled, _in_folder(read_network)),
    }  # fmt: skip


def _lexicons(folder: Path) -> dict[str, Format]:
    release = folder / "lexicon"
    release.mkdir()
    write_csv(release / "format.csv", FORMAT)
    for stem, rows in (("synonym", SYNONYM), *((f"wheel{number}", WHEEL) for number in range(1, 6))):
        write_csv(release / f"{stem}.csv", rows)
    write_xlsx(folder / "wheel.xlsx", WHEEL)
    sheet = (folder / "wheel.xlsx").read_bytes()
    csv_sheet = (release / "format.csv").read_bytes()

    def with_sheet(path: Path) -> None:
        try:
            read_release(release)
        finally:
            path.unlink()

    def with_csv(path: Path) -> None:
        try:
            read_release(release)
        finally:
            path.write_bytes(csv_sheet)

    wheel = {"level1": {"glad": "joy", "happy": "joy"}, "level2": {"glad": "happy", "happy": "happy"}}
    maps = _pickled_npz(
        format_mapping={"glad": ["glad"], "gladly": ["glad"]},
        raw_mapping={"cheerful": ["happy"], "happy": ["happy"]},
        wheel_map_whole={f"wheel{number}": wheel for number in range(1, 6)},
    )
    released = (
        b"""{"name": "sample_1", "groups": "[['glad', 'happy'], ['sad']]"}\n{"name": "s2", "groups": [["a"]]}\n"""
    )
    stored = folder / "groups"
    write_groups(
        stored,
        Groups(name="groups", source="a test", model="m", prompt_digest=UNSTATED, decoding=UNSTATED, keys="names",
               runs=({"a": (("x", "y"), ("z",)), "b": (("x",),)},), dropped=(0,)),
    )  # fmt: skip
    answers, declared = (stored / "answers.parquet").read_bytes(), (stored / "groups.toml").read_text()

    def with_answers(path: Path) -> None:
        data = path.read_bytes()
        (stored / "answers.parquet").write_bytes(data)
        (stored / "groups.toml").write_text(declared.replace(sha256_bytes(answers), sha256_bytes(data)))
        GROUPS.read(stored)

    def with_declaration(path: Path) -> None:
        (stored / "answers.parquet").write_bytes(answers)
        (stored / "groups.toml").write_bytes(path.read_bytes())
        GROUPS.read(stored)

    return {
        "lexicon xlsx": Format(release / "wheel1.xlsx", [sheet], zipped(lambda name: scrambled), with_sheet),
        "lexicon csv": Format(release / "format.csv", [csv_sheet], scrambled, with_csv),
        "lexicon npz": Format(folder / "wheel_mapping.npz", [maps], zipped(_member), read_release),
        "groups jsonl": Format(folder / "groups.jsonl", [released], scrambled, lambda path: read_groups_release(RELEASES["mer2024"], path, "g")),
        "groups zip": Format(folder / "openset-synonym.zip", [_npz({"s1": np.array("[['glad', 'happy'], ['sad']]"), "s2": np.array('[["a"]]')})], zipped(_member), lambda path: read_groups_release(RELEASES["mer2024"], path, "g")),
        "lexicon compiled": Format(folder / "compiled.npz", [open_lexicon("english").to_npz()], zipped(_member), lambda path: Lexicon.from_npz(path, name="english", source="")),
        "groups parquet": Format(folder / "answers", [answers], parquet, with_answers),
        "groups.toml": Format(folder / "groups-toml", [declared.encode()], scrambled, with_declaration),
    }  # fmt: skip


def _records(folder: Path) -> dict[str, Format]:
    header = {"schema": "merbench.manifest/1", "track": "t@1.0", "fingerprint": "0" * 64, "seed": 0, "steps": ["noise"]}
    row = {"sample_id": "a", "input": "a.mp4", "input_bytes": 3, "output": "o", "output_bytes": 4, "noise.snr_db": 2.5}
    rows: dict[str, Any] = {
        "a": row,
        "b": {**row, "sample_id": "b", "noise.class": "x"},
        "c": {"sample_id": "c", "problem": "silent"},
    }
    run = folder / "manifest"
    run.mkdir()
    manifest = write_manifest(run, Manifest(header, rows)).read_bytes()
    (run / "manifest.parquet").unlink()
    with Journal(run / "manifest.journal", header) as journal:
        for item in rows.values():
            journal.add(item)
    lines = (run / "manifest.journal").read_bytes()
    bank = folder / "bank"
    bank.mkdir()
    write_bank(
        bank,
        Bank(
            "bank",
            bank,
            (Sound("a/b.wav", "a", "x", "", "", 16000, 1, 5, 54, 0.1, "0" * 64),),
            version="1.0",
            source="s",
            licence="l",
        ),
    )
    declared, noises = (bank / "bank.toml").read_bytes(), (bank / "noises.parquet").read_bytes()

    def sounds(path: Path) -> None:
        (bank / "bank.toml").write_bytes(declared)
        (bank / "noises.parquet").write_bytes(path.read_bytes())
        BANKS.read(bank)

    def bank_toml(path: Path) -> None:
        (bank / "noises.parquet").write_bytes(noises)
        (bank / "bank.toml").write_bytes(path.read_bytes())
        BANKS.read(bank)

    reports = sorted((ROOT / "tests" / "golden" / "reports").glob("*.json"))[:2]
    ceilings = (Ceiling("overall", "one annotator", 0.6, 0.5, 0.7, 9),)
    boards = [replace(with_ranks(), ceilings=ceilings).to_json().encode(), board([]).to_json().encode()]
    cache = Cache(folder / "cache")
    cache.remembered(["key"], lambda: {"report": "x", "draws": [0.5]})
    (cached,) = (folder / "cache").iterdir()

    def report(path: Path) -> None:
        _in_all_forms(ScoreReport.from_json(path.read_text(encoding="utf-8", errors="replace")))

    def stored_board(path: Path) -> None:
        for name, read in stored_boards(path.parents[1]):
            if isinstance(read, Exception):
                raise UsageError(str(read)) from read
            _in_all_forms(read)
            board_page(read)
            start_page({name: read})

    def remembered(path: Path) -> None:
        assert cache.remembered(["key"], lambda: {"report": "x", "draws": [0.5]}) == {"report": "x", "draws": [0.5]}

    place = folder / "boards" / "toy"
    place.mkdir(parents=True)
    (place / "leaderboard.html").touch()
    return {
        "manifest": Format(folder / "some.parquet", [manifest], parquet, lambda path: read_manifest(path).to_table()),
        "journal": Format(run / "manifest.journal", [lines], scrambled, _in_folder(read_progress)),
        "bank parquet": Format(folder / "noises", [noises], parquet, sounds),
        "board": Format(place / "leaderboard.json", boards, scrambled, stored_board),
        "cached score": Format(cached, [cached.read_bytes()], scrambled, remembered),
        "votes": Format(folder / "votes.csv", [b"yes,no\n3,1\n0,0\n,\n1e3,0.5\n"], scrambled, _read_votes),
        "bank.toml": Format(folder / "bank-toml", [declared], scrambled, bank_toml),
        "report": Format(
            folder / "report.json",
            [*(path.read_bytes() for path in reports), full_report().to_json().encode()],
            scrambled,
            report,
        ),
    }


LEARNED = """
id = "learned"
version = "1.0"
title = "Learned"
corpus = "./corpus"
splits = { train = "train", test = "test" }
targets.mood = { type = "categorical", labels = ["glad", "sad"] }
targets.valence = { type = "continuous" }
metrics = [{ name = "accuracy", target = "mood" }]
ranking = { by = ["accuracy"] }
[training]
selection = "leave-one-group-out"
group = "speaker"
unlabelled = ["test"]
labelled = 0.75
[[training.corruptions]]
name = "gcnet_missing"
rate = { choice = [0.0, 0.7] }
"""

GRIDS = [
    b"--grid rate=0..0.7:0.1 --grid severity=1..5,3 --grid pattern=a,v,t,av",
    b"--grid rate=0.1,0.5 --corruption gcnet_missing --corruption step_drop --param step_drop.modalities=audio",
    b"--grid snr_db=20,10,5,0 --corruption feature_noise --param factor=1 --grid factor=1,2",
    b"--grid audio=0..1:0.25 --corruption imbalanced_missing --param text=0.2 --param video={uniform=[0,1]}",
    b"--baseline a=gcnet --baseline b=lf-dnn --set b.epochs=2 --preset a=paper --feature a=voice --grid rate=0.5",
]


def _read_grids(path: Path) -> None:
    """Read the options of `merbench robustness` in a file, as the command does before it opens a corpus."""
    given: dict[str, list[str]] = {}
    text = path.read_text(encoding="utf-8", errors="surrogateescape")
    words = text.replace("\0", "").split(" ")  # no argument has a zero byte
    for option, value in zip(words[::2], words[1::2], strict=False):
        given.setdefault(option, []).append(value)
    named_systems(given.get("--baseline", []), given.get("--set"), given.get("--preset"))
    features_by_place(given.get("--feature"))
    parameters = named_values("--param", given.get("--param"), "factor=1")
    track = load_track("mer-multi")
    for curve in planned(track, read_grids(given.get("--grid", [])), given.get("--corruption", []), parameters):
        assert curve.signature and [condition.step.differs for condition in curve.conditions]


def _trainings(folder: Path) -> dict[str, Format]:
    ids, track, run = [f"s{i}" for i in range(12)], folder / "learned", folder / "run"
    samples = pa.table({"sample_id": ids, "split": ["train", "test"] * 6, "speaker": ["a", "b", "c"] * 4})
    reference = pa.table({"sample_id": ids, "mood": ["glad", "sad", "sad"] * 4, "valence": np.arange(12.0)})
    made_corpus(track / "corpus", name="learned", samples=samples, reference=reference)
    (track / "track.toml").write_text(LEARNED, encoding="utf-8")
    trained = run_baseline(track, "majority", RunSettings(intervals=False), output=run)
    record, model = (run / "run.json").read_bytes(), run / "models" / "seed-0.safetensors"
    weights, digest = model.read_bytes(), sha256_bytes(model.read_bytes()).encode()
    part = Unfinished(folder / "unfinished")
    part.keep_trained(0, 0, trained.seeds[0].parts[0])
    stored = part.of_part(0, 0) / TRAINED

    def read_record(path: Path) -> None:
        read = read_run(path.parent)
        read.track(), read.names()

    def read_model(path: Path) -> None:
        data = path.read_bytes()
        model.write_bytes(data)
        (run / "run.json").write_bytes(record.replace(digest, sha256_bytes(data).encode()))
        models = open_models(run)
        models.predict(models.samples(trained_on))

    trained_on = open_candidates(load_track(track))
    return {
        "run.json": Format(run / "run.json", [record], scrambled, read_record),
        "model": Format(folder / "model.safetensors", [weights], _tensors(folder / "scratch"), read_model),
        "trained part": Format(stored, [stored.read_bytes()], scrambled, lambda path: part.trained(0, 0)),
        "grids": Format(folder / "grids", GRIDS, toml, _read_grids),
        **_searches(folder / "search"),
        **_claims(folder / "claimant"),
    }


def _tensors(scratch: Path) -> Mutation:
    """Return a mutation of a file of arrays: of its bytes, or of one of the arrays."""

    def mutate(data: bytes, rng: random.Random) -> bytes:
        if rng.random() < 0.5:
            return scrambled(data, rng)
        arrays, metadata = read_tensors(data)
        name = rng.choice(sorted(arrays))
        values = arrays.pop(name)
        others: list[Any] = [None, values[None], values[..., None], np.ravel(values)[:1], np.ravel(values)[:0]]
        if values.dtype.kind == "U":
            others += [np.arange(len(values)), np.ones(()), np.char.add(values, "\n")]
        else:
            with np.errstate(all="ignore"):
                others += [values.astype(np.int8), values * np.nan, values * 1e308, values.astype(str)]
        if (other := rng.choice(others)) is not None:
            arrays[rng.choice([name, name, "other"])] = other
        write_tensors(scratch, arrays, metadata)
        return scratch.read_bytes()

    return mutate


def _searches(folder: Path) -> dict[str, Format]:
    from merbench.training.tuning.search import JOURNAL, Searched
    from merbench.training.tuning.study import Result, Study

    space = {
        "hidden": Searched.model_validate([[64, 64], [128]]),
        "rate": Searched.model_validate({"low": 0.1, "high": 1}),
    }
    study = Study(folder, "", space, "random", 0)
    study.require_inputs({"track": "t@1.0", "search": {"hidden": "64"}})
    for value in ((0.5, 0.25), None):
        with study.take(3) as taken:
            assert taken is not None
            study.finish(taken, Result(value, problem="" if value else "diverged"))
    journal = (folder / JOURNAL).read_bytes()

    def read(path: Path) -> None:
        again = Study(folder, "", space, "random", 0)
        again.require_inputs({"track": "t@1.0", "search": {"hidden": "64"}})
        again.records()

    return {"search journal": Format(folder / JOURNAL, [journal], scrambled, read)}


CLAIMS = """
title = "Own"
defaults = { share = 1.0 }
[[claims]]
name = "count"
says = "It has as many."
source = "Table 1"
check = "exact"
computes = "parameters"
value = 3
[[claims]]
name = "better"
says = "It is better."
source = "Table 2"
check = "inequality"
control = { options = { share = 0.0 } }
on = [{ track = "mer-multi" }]
"""

CONDITIONS = """
title = "Own"
handles_missing = true
defaults = { share = 1.0 }
[[claims]]
name = "area"
says = "Its area over rates is larger."
source = "Table 3"
check = "inequality"
system = { weights = "per-condition" }
control = { options = { share = 0.0 }, training = { labelled = 0.5 } }
on = [
    { track = "mer-multi", folds = 2, training = { corruptions = [{ name = "gcnet_missing", rate = { uniform = [0, 0.7] } }] }, condition = { corruption = "gcnet_missing", rate = [0.1, 0.7] } },
    { track = "mer-noise", condition = { corruption = "imbalanced_missing", audio = [0, 0.5, 1], text = 0.2, weights = "mixed" } },
]
[[claims]]
name = "patterns"
says = "It is better with more modalities."
source = "Table 4"
check = "monotone"
margin = 0.01
on = [{ track = "mer-multi", condition = { corruption = "modality_pattern", pattern = ["a", "av", "avt"] } }]
[[claims]]
name = "few-labels"
says = "Few labels are enough."
source = "Table 5"
check = "non-inferiority"
margin = 0.02
system = { training = { labelled = 0.1, unlabelled = ["test"] } }
control = { baseline = "", options = { share = 0.0 } }
on = [{ track = "mer-multi", training = { selection = "leave-one-group-out", group = "speaker" } }]
"""  # fmt: skip


def _claims(folder: Path) -> dict[str, Format]:
    folder.mkdir()
    (folder / "baseline.toml").write_text(CLAIMS, encoding="utf-8")
    (folder / "model.py").write_text("", encoding="utf-8")
    rows, measured = (
        stored_claims([folder]).results,
        [Measured((3.0,)), Measured((0.1,), 0.0, 0.2, "overall", 0.5, 0.4)],
    )
    write_stored(folder, [replace(row, measured=own) for row, own in zip(rows, measured, strict=True)])
    data, report = (folder / "claims.json").read_bytes(), stored_claims([folder])
    assert all(row.stored for row in report.results)
    other = folder.with_name("other-claimant")
    other.mkdir()
    (other / "model.py").write_text("", encoding="utf-8")

    return {
        "claims": Format(
            other / "baseline.toml",
            [CLAIMS.encode(), CONDITIONS.encode()],
            toml,
            lambda _: _in_all_forms(stored_claims([other])),
        ),
        "claims.json": Format(
            folder / "claims.json", [data], scrambled, lambda _: _in_all_forms(stored_claims([folder]))
        ),
        "claims report": Format(
            folder / "report.json",
            [report.to_json().encode()],
            scrambled,
            lambda path: _in_all_forms(ClaimsReport.from_json(path.read_text("utf-8", errors="replace"))),
        ),
    }
