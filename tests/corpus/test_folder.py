"""Corpus folders: what goes in comes out, and a changed byte is found."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_corpus import made_corpus, with_parquet

from merbench.corpus import CORPORA, Corpus, ExtractionRecord, Feature, add_features, verify_corpus
from merbench.corpus.feature import read_feature
from merbench.corpus.folder import summarise
from merbench.errors import (
    DeclarationError,
    IntegrityError,
    InvalidCorpus,
    OutputError,
    UnknownName,
    UsageError,
)
from merbench.files.arrow import mapped_file, table_in, write_arrow

AGAIN = "import or create the corpus again, with --force"
MEMBERS = ("samples.parquet", "reference.parquet", "features/text.arrow", "features/audio.frames.arrow")


def change_toml(corpus: Corpus, old: str, new: str) -> None:
    path = corpus.folder / "corpus.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def record(corpus: Corpus, member: str) -> None:
    """Write the present digest of a file's bytes into the declaration, as someone who tampers would."""
    digest = hashlib.sha256((corpus.folder / member).read_bytes()).hexdigest()
    change_toml(corpus, corpus.declaration.files[member], digest)


def test_tables_come_back_sorted_and_in_plain_types(corpus: Corpus) -> None:
    samples = corpus.samples()
    assert samples.to_pydict() == {
        "sample_id": ["a", "b", "c", "d"],
        "split": ["train", "train", "test", "test"],
        "speaker": ["s1", "s2", "s1", None],
        "position": [None, 4, 1, 3],
        "loudness": [-0.0, 2.0, 0.5, None],
        "clean": [False, True, True, None],
        "words": [[], ["z"], ["x", "y"], None],
        "transcript": ["", "d", "çz", "b\nc"],
    }
    assert [str(column.type) for column in samples.columns[2:7]] == [
        "string", "int64", "double", "bool", "list<element: string>"
    ]  # fmt: skip
    assert (corpus.licence, corpus.language, corpus.synthetic) == ("CC0-1.0", "en", False)
    reference = corpus.reference()
    assert reference is not None  # without its row that contains nothing
    assert reference.to_pydict() == {"sample_id": ["a", "b"], "discrete": ["happy", "sad"], "valence": [None, 1.5]}


def test_features_come_back_sorted(corpus: Corpus) -> None:
    assert corpus.features == ("audio.frames", "text")
    text = corpus.feature("text")
    assert text.ids.to_pylist() == ["a", "b", "c", "d"]
    assert text.values.dtype == np.float32
    assert text.values.tolist() == [[1, 1], [2, 2], [3, 3], [4, 4]]
    assert text.offsets is None
    frames = corpus.feature("audio.frames")
    assert frames.ids.to_pylist() == ["a", "d"]
    assert frames.offsets is not None
    assert frames.offsets.dtype == np.int64
    assert frames.offsets.tolist() == [0, 0, 2]
    assert frames.values.tolist() == [[4, 4, 4], [4, 4, 4]]
    assert corpus.feature_shape("text") == (4, 2, False)
    assert corpus.feature_shape("audio.frames") == (2, 3, True)


def test_a_feature_is_not_read_before_its_values_are_used(corpus: Corpus) -> None:
    before = pa.total_allocated_bytes()
    ids, width = [f"{i:04d}" for i in range(1000)], 512
    values = np.arange(1000 * width, dtype=np.float32).reshape(1000, width)
    frames = Feature.from_frames(ids, np.split(values, 1000), [np.zeros(1)] * 1000)
    for name, feature in (("vectors", Feature.from_vectors(ids, values)), ("frames", frames)):
        write_arrow(feature.to_table(), corpus.folder / f"{name}.arrow")
        mapped = mapped_file(corpus.folder / f"{name}.arrow")
        read = Feature.from_table(table_in(mapped))
        np.testing.assert_array_equal(read.values, values)
        at = read.values.ctypes.data - mapped.address
        assert 0 < at <= mapped.size - values.nbytes  # a part of the mapped file, not a copy
        assert not read.values.flags.writeable
    assert pa.total_allocated_bytes() - before < values.nbytes / 2


def test_a_corpus_with_features_in_parquet_is_read_as_before(corpus: Corpus) -> None:
    values = corpus.feature("text").values.tolist()
    older = with_parquet(corpus, "text")
    assert older.feature("text").values.tolist() == values
    assert (older.feature_shape("text"), verify_corpus(older)) == ((4, 2, False), [])
    newer = add_features(older, {"text": Feature.from_vectors(["a"], [[7.0]])}, replace=True)
    assert sorted(newer.declaration.files) == sorted(MEMBERS)
    assert sorted(path.name for path in (corpus.folder / "features").iterdir()) == ["audio.frames.arrow", "text.arrow"]
    assert (newer.feature("text").values.tolist(), verify_corpus(newer)) == ([[7]], [])


@pytest.mark.parametrize(
    ("options", "table", "message"),
    [
        ({"compression": "zstd"}, {}, "an Arrow file with columns that are not plain"),
        ({"compression": "lz4"}, {}, "an Arrow file with columns that are not plain"),
        ({}, {"x": pa.array(["a"] * 10).dictionary_encode()}, "an Arrow file with columns that are not plain"),
    ],
)
def test_an_arrow_file_that_is_not_one_of_a_feature(
    corpus: Corpus, options: dict[str, Any], table: dict[str, Any], message: str
) -> None:
    """Compressed, a few bytes could fill the memory; a table of several batches would have to be copied."""
    values = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(10, np.float32)), 1)
    written = pa.table({"sample_id": list("abcdefghij"), "values": values, **table})
    path = corpus.folder / "own.arrow"
    with pa.ipc.new_file(path, written.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(written)
    with pytest.raises(UsageError, match=message):
        read_feature(str(path))


def test_an_arrow_file_of_several_batches_is_refused(corpus: Corpus) -> None:
    table = corpus.feature("text").to_table()
    path = corpus.folder / "own.arrow"
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    with pytest.raises(UsageError, match="an Arrow file with several batches"):
        read_feature(str(path))


def test_a_sequence_next_to_its_pooled_vector_is_learned_from_only_if_it_is_named(corpus: Corpus) -> None:
    assert corpus.default_features == ("audio.frames", "text")  # there is no feature 'audio'
    vector = Feature.from_vectors(["a"], [[1.0]])
    added = add_features(corpus, dict.fromkeys(["audio", "text.tokens", "text.other"], vector))
    assert added.features == ("audio", "audio.frames", "text", "text.other", "text.tokens")
    assert added.default_features == ("audio", "text", "text.other")


def test_the_declaration_is_toml_with_a_digest_of_every_file(corpus: Corpus) -> None:
    declared = tomllib.loads((corpus.folder / "corpus.toml").read_text(encoding="utf-8"))
    assert declared["files"] == {
        name: hashlib.sha256((corpus.folder / name).read_bytes()).hexdigest() for name in MEMBERS
    }


def test_what_a_corpus_does_not_have(corpus: Corpus, tmp_path: Path, parts: dict[str, Any]) -> None:
    message = "^no feature of corpus small named 'txt'; did you mean 'text'"
    with pytest.raises(UnknownName, match=message):
        corpus.feature("txt")
    without = made_corpus(tmp_path / "c", **{**parts, "reference": None})
    assert without.reference() is None
    assert verify_corpus(without) == []


class TestDigest:
    def test_equals_one_computed_by_hand(self, tmp_path: Path) -> None:
        samples = pa.table({"sample_id": ["b", "a"], "split": ["t", "t"], "x": pa.array([-0.0, None])})
        corpus = made_corpus(tmp_path / "c", name="c", samples=samples)
        columns = [["sample_id", "string"], ["split", "string"], ["x", "double"]]
        # Every column: one byte per row, 1 where there is a value; then UTF-8 lengths as int64 and the text, or
        # float64 little-endian with 0.0 for -0.0 and for a null.
        by_hand = json.dumps({"rows": 2, "columns": columns}).encode()
        by_hand += b"\x01\x01" + 2 * (b"\x01" + 7 * b"\x00") + b"ab"
        by_hand += b"\x01\x01" + 2 * (b"\x01" + 7 * b"\x00") + b"tt"
        by_hand += b"\x00\x01" + 16 * b"\x00"
        digest = hashlib.sha256(by_hand).hexdigest()
        assert corpus.declaration.content.samples == digest
        assert corpus.digest == hashlib.sha256(f"samples {digest}\nreference None\n".encode()).hexdigest()

    def test_does_not_see_order_of_rows_and_columns_nor_width_of_types(
        self, tmp_path: Path, parts: dict[str, Any], corpus: Corpus
    ) -> None:
        samples = parts["samples"]
        shuffled = samples.take(pa.array([2, 0, 3, 1])).select(samples.column_names[::-1])
        index = shuffled.column_names.index("position")
        shuffled = shuffled.set_column(index, "position", shuffled["position"].cast(pa.int32()))
        features = {
            "text": Feature.from_vectors(["a", "b", "c", "d"], [[1, 1], [2, 2], [3, 3], [4, 4]]),
            "audio.frames": Feature.from_frames(["a", "d"], [np.zeros((0, 3)), np.full((2, 3), 4)]),
        }
        other = made_corpus(tmp_path / "other", **{**parts, "samples": shuffled, "features": features})
        assert other.declaration.content == corpus.declaration.content
        assert other.digest == corpus.digest

    def test_sees_every_value(self, tmp_path: Path, parts: dict[str, Any], corpus: Corpus) -> None:
        samples = parts["samples"]
        for column, values in {
            "split": ["test", "train", "test", "test"],
            "speaker": ["s1", "s1", "", "s2"],
            "position": [1, 0, 3, 4],
            "clean": [True, False, False, True],
            "words": [["xy"], [], None, ["z"]],
            "transcript": ["ç", "z", "b\nc", "d"],
        }.items():
            changed = samples.set_column(samples.column_names.index(column), column, pa.array(values))
            other = made_corpus(tmp_path / column, **{**parts, "samples": changed})
            assert other.digest != corpus.digest


class TestIntegrity:
    @pytest.mark.parametrize("member", MEMBERS)
    def test_a_changed_byte_of_any_file_is_found_when_it_is_read(self, corpus: Corpus, member: str) -> None:
        path = corpus.folder / member
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        readers = {
            "samples.parquet": corpus.samples,
            "reference.parquet": corpus.reference,
            "features/text.arrow": lambda: corpus.feature("text"),
            "features/audio.frames.arrow": lambda: corpus.feature("audio.frames"),
        }
        recorded, digest = corpus.declaration.files[member], hashlib.sha256(data).hexdigest()
        with pytest.raises(IntegrityError) as error:
            readers.pop(member)()
        assert (
            str(error.value) == f"{path}: the file changed: sha256 {digest[:12]}…, recorded {recorded[:12]}…; {AGAIN}"
        )
        assert [str(problem) for problem in verify_corpus(corpus)] == [f"E602  {member}: the file changed"]
        for read in readers.values():
            read()

    def test_every_changed_file_is_listed(self, corpus: Corpus) -> None:
        for member in MEMBERS[:3]:
            with (corpus.folder / member).open("ab") as file:
                file.write(b"x")
        (corpus.folder / MEMBERS[3]).unlink()
        (corpus.folder / "notes.txt").write_text("mine")
        (corpus.folder / ".hidden").write_text("ignored")
        with pytest.raises(IntegrityError, match=rf"frames\.arrow: the file is recorded but missing; {AGAIN}$"):
            corpus.feature("audio.frames")
        assert [str(problem) for problem in verify_corpus(corpus)] == [
            "E601  features/audio.frames.arrow: the file is recorded but missing",
            "E602  features/text.arrow: the file changed",
            "E602  reference.parquet: the file changed",
            "E602  samples.parquet: the file changed",
            "W601  notes.txt: the file is not recorded in corpus.toml",
        ]

    def test_other_values_under_a_fitting_file_digest_are_found(self, corpus: Corpus) -> None:
        table = corpus.samples()
        swapped = table.set_column(1, "split", pa.array(["test"] * 4))
        pq.write_table(swapped, corpus.folder / "samples.parquet")
        record(corpus, "samples.parquet")
        with pytest.raises(IntegrityError, match=r"the recorded digest of the values of samples\.parquet differs"):
            CORPORA.read(corpus.folder).samples()
        other = Feature.from_vectors(["a", "b", "c", "d"], [[9, 9], [2, 2], [3, 3], [4, 4]])
        write_arrow(other.to_table(), corpus.folder / "features/text.arrow")
        record(corpus, "features/text.arrow")
        assert [str(problem) for problem in verify_corpus(CORPORA.read(corpus.folder))] == [
            f"E603  {corpus.folder}/corpus.toml: the recorded digest of the values of {member} differs"
            for member in ("features/text.arrow", "samples.parquet")
        ]

    @pytest.mark.parametrize(
        ("table", "message"),
        [
            ({"id": ["a"]}, "no column 'sample_id' of strings"),
            ({"sample_id": [1]}, "no column 'sample_id' of strings"),
            ({"sample_id": ["b", "a"], "split": ["t", "t"]}, "the sample ids are not sorted, or not unique"),
            ({"sample_id": ["a", "a"], "split": ["t", "t"]}, "the sample ids are not sorted, or not unique"),
            ({"sample_id": ["a"], "split": ["t"], "x": [b"x"]}, "contains a column of a type that corpora do not have"),
            (None, "not a readable Parquet file"),
        ],
    )
    def test_a_recorded_file_that_is_not_a_table_of_samples(
        self, corpus: Corpus, table: dict[str, Any] | None, message: str
    ) -> None:
        path = corpus.folder / "samples.parquet"
        if table is None:
            path.write_bytes(b"PAR1 or not")
        else:
            pq.write_table(pa.table(table), path)
        record(corpus, "samples.parquet")
        with pytest.raises(IntegrityError, match=rf"samples\.parquet: {message}; {AGAIN}$"):
            CORPORA.read(corpus.folder).samples()

    def test_a_recorded_file_that_is_no_feature(self, corpus: Corpus) -> None:
        write_arrow(pa.table({"sample_id": ["a"], "values": [[1.0]]}), corpus.folder / "features/text.arrow")
        record(corpus, "features/text.arrow")
        changed = CORPORA.read(corpus.folder)
        columns = "sample_id string, values list<item: double>"
        message = rf"text\.arrow: not the columns of a feature: {columns}; {AGAIN}$"
        with pytest.raises(IntegrityError, match=message):
            changed.feature("text")
        with pytest.raises(IntegrityError, match=message):
            changed.feature_shape("text")
        (corpus.folder / "features/text.arrow").write_bytes(b"ARROW1 or not")
        with pytest.raises(IntegrityError, match=rf"text\.arrow: not an Arrow file; {AGAIN}$"):
            changed.feature_shape("text")

    def test_a_corpus_that_merbench_builds_is_rebuilt(
        self, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        built = replace(corpus, declaration=corpus.declaration.model_copy(update={"synthetic": True}))
        assert built.remedy == f"rebuild: `merbench corpus build small --output {corpus.folder} --force`"
        monkeypatch.setenv("MERBENCH_HOME", str(tmp_path))
        at_home = replace(built, folder=tmp_path / "corpora" / "small")
        assert at_home.remedy == "rebuild: `merbench corpus build small --force`"

    def test_a_link_out_of_the_folder_is_refused(self, corpus: Corpus, tmp_path: Path) -> None:
        member, outside = "samples.parquet", tmp_path / "outside.parquet"
        shutil.copy(corpus.folder / member, outside)
        (corpus.folder / member).unlink()
        (corpus.folder / member).symlink_to(outside)
        with pytest.raises(UsageError) as error:
            corpus.samples()
        assert str(error.value) == f"{member}: leads out of {corpus.folder}"
        assert [str(problem) for problem in verify_corpus(corpus)] == [
            f"E604  {member}: leads out of the folder, through a link"
        ]


class TestDeclaration:
    @pytest.mark.parametrize("member", ["../samples.parquet", "/etc/passwd", "features\\\\x.parquet", "a//b", "C:x"])
    def test_a_path_out_of_the_folder_is_refused(self, corpus: Corpus, member: str) -> None:
        change_toml(corpus, "[files]\n", f'[files]\n"{member}" = "{"0" * 64}"\n')
        with pytest.raises(DeclarationError) as error:
            CORPORA.read(corpus.folder)
        shown = member.replace("\\\\", "\\")
        assert str(error.value) == (
            f"{corpus.folder / 'corpus.toml'}: 1 problem\n"
            f"  E207  files.{shown}: is not a plain path inside the corpus folder, with '/' between its parts"
        )

    def test_all_problems_at_once(self, corpus: Corpus) -> None:
        (corpus.folder / "corpus.toml").write_text(
            'name = "Small"\nversion = "1.0b"\nsource = ""\nlicense = "x"\n'
            '[files]\n"../x" = "0"\n"corpus.toml" = "' + "0" * 64 + '"\n[content]\nsample = ""\n'
        )
        with pytest.raises(DeclarationError) as error:
            CORPORA.read(corpus.folder)
        places = [problem.column for problem in error.value.problems]
        assert sorted(map(str, places)) == [
            "content.sample", "content.samples", "files.../x", "files.../x", "files.corpus.toml", "licence", "license",
            "name", "version",
        ]  # fmt: skip
        assert "license: is not a known key; allowed: " in str(error.value)
        assert "; did you mean 'licence'?" in str(error.value)

    def test_tables_need_both_digests(self, corpus: Corpus) -> None:
        change_toml(corpus, '"features/text.arrow"', '"features/txt.arrow"')
        with pytest.raises(DeclarationError) as error:
            CORPORA.read(corpus.folder)
        assert [str(problem) for problem in error.value.problems] == [
            "E207  files: features/text.arrow is missing: its values have a digest in [content]",
            "E207  content: the values of features/txt.arrow have no digest",
        ]

    def test_records_of_extraction_are_checked(self, corpus: Corpus) -> None:
        with (corpus.folder / "corpus.toml").open("a") as file:
            file.write(
                '[extracted."\\u202egone"]\nextractor = "e"\nversion = "1"\nmodality = "audio"\nunit = "frame"\n'
                '[extracted.text]\nextractor = ""\nmodlity = "audio"\nunit = "frames"\nrate_hz = -1.0\nversion = 1\n'
                f'weights = "{"z" * 64}"\noptions = {{ a = [1, "x"], b = {{ c = 1 }}, d = [[1]], e = nan }}\n'
            )
        with pytest.raises(DeclarationError) as error:
            CORPORA.read(corpus.folder)
        assert sorted(str(problem).partition("; allowed")[0] for problem in error.value.problems) == [
            "E207  extracted.text.extractor: '' is an empty text",
            "E207  extracted.text.modality: is missing",
            "E207  extracted.text.modlity: is not a known key",
            *(
                f"E207  extracted.text.options.{value}: only texts, finite numbers, true, false, and lists of these are allowed"
                for value in ("b: {'c': 1}", "d: [[1]]", "e: nan")
            ),
            "E207  extracted.text.rate_hz: -1.0 is not above 0.0",
            "E207  extracted.text.unit: 'frames' is not one of utterance, segment, frame, token; did you mean 'frame'?",
            "E207  extracted.text.version: 1 is not a text in quotes",
            f"E207  extracted.text.weights: '{'z' * 56}… is not of the form ^[0-9a-f]{{64}}$",
        ]
        text = (corpus.folder / "corpus.toml").read_text(encoding="utf-8")
        (corpus.folder / "corpus.toml").write_text(text.partition("[extracted.text]")[0], encoding="utf-8")
        with pytest.raises(DeclarationError) as error:
            CORPORA.read(corpus.folder)
        assert [str(problem) for problem in error.value.problems] == [
            "E207  extracted.\\u202egone: the corpus has no feature of this name"
        ]


class TestWriting:
    def test_all_problems_at_once(self, tmp_path: Path, parts: dict[str, Any]) -> None:
        broken = {
            **parts,
            "samples": pa.table(
                {
                    "sample_id": ["a", "a", " b", None, "d\n"],
                    "split": ["t", "", "t", "t", "t"],
                    "x": [1.0, float("nan"), float("inf"), None, 0.0],
                    "y": [{"z": 1}] * 5,
                    "valence": [1] * 5,
                }
            ),
            "reference": pa.table({"sample_id": ["a", "e"], "valence": [1.0, float("-inf")]}),
            "features": {
                "text": Feature(pa.array(["a", "e", "e"]), np.array([[1], [np.nan], [1]], np.float32)),
                "TEXT": Feature(pa.array(["a"]), np.zeros((2, 3), np.float32)),
                "../up": Feature(pa.array(["a"]), np.zeros((1, 0), np.float32)),
            },
        }
        with pytest.raises(InvalidCorpus) as error:
            made_corpus(tmp_path / "c", **broken)
        assert str(error.value).splitlines() == [
            "corpus 'small': 16 problems",
            "  E612  sample_id: samples: empty values (1 of 5): None",
            "  E612  sample_id: samples: values that cannot be a name (2 of 5): ' b', 'd\\n'; no spaces around it,"
            " no line breaks or control characters in it",
            "  E612  sample_id: samples: duplicate ids (2 of 5): 'a', 'a'",
            "  E612  split: samples: empty values (1 of 5): ''",
            "  E614  x: samples: values that are not finite numbers (2 of 5): nan, inf; leave missing values empty",
            "  E614  y: samples: contains struct<z: int64>; allowed: strings, lists of strings, booleans, integers and "
            "floats",
            "  E614  valence: reference: values that are not finite numbers (1 of 2): -inf; leave missing values empty",
            "  E611  valence: reference: the column is among the samples too, where everybody reads it; keep it in one "
            "of them",
            "  E615  sample_id: reference: references of unknown samples (1 of 2): 'e'",
            "  E616  feature '../up': not a name of a feature; allowed: up to 100 of A-Z a-z 0-9 . _ -, the first a "
            "letter or digit",
            "  E616  names of features that differ only in case: text, TEXT",
            "  E612  feature 'text': duplicate sample ids (1 of 3): e",
            "  E615  feature 'text': values of unknown samples (2 of 3): e, e",
            "  E614  feature 'text': samples with values that are not finite (1 of 3): e",
            "  E616  feature 'TEXT': 2 vectors for 1 sample ids",
            "  E616  feature '../up': the values have shape (1, 0); expected: rows of equal length",
        ]
        assert list(tmp_path.iterdir()) == []

    def test_columns_that_are_missing_duplicate_empty_or_too_large(self, tmp_path: Path) -> None:
        twice = pa.table([pa.array(["a"]), pa.array(["b"])], names=["sample_id", "sample_id"])
        with pytest.raises(InvalidCorpus, match=r"E611  samples: duplicate columns: sample_id$"):
            made_corpus(tmp_path / "c", name="c", samples=twice)
        empty = pa.table({"sample_ids": pa.array([], pa.string()), "splits": pa.array([], pa.string())})
        with pytest.raises(InvalidCorpus) as error:
            made_corpus(tmp_path / "c", name="c", samples=empty)
        there = "the columns are sample_ids, splits; rename the one that contains it; did you mean"
        assert str(error.value).splitlines()[1:] == [
            f"  E611  samples: no column 'sample_id'; {there} 'sample_ids'?",
            f"  E611  samples: no column 'split'; {there} 'splits'?",
            "  E611  samples: no samples",
        ]

        large = pa.table({"sample_id": ["a"], "split": ["t"], "x": pa.array([2**63], pa.uint64())})
        with pytest.raises(InvalidCorpus, match=r"E614  x: samples: contains an integer of 2\^63 or more$"):
            made_corpus(tmp_path / "c", name="c", samples=large)

    def test_replaced_on_request(self, corpus: Corpus, parts: dict[str, Any]) -> None:
        replaced = made_corpus(corpus.folder, **{**parts, "licence": "other", "features": {}}, replace=True)
        assert (replaced.licence, replaced.features) == ("other", ())
        assert sorted(path.name for path in corpus.folder.parent.iterdir()) == ["small"]
        assert sorted(path.name for path in corpus.folder.iterdir()) == [
            "corpus.toml", "reference.parquet", "samples.parquet"
        ]  # fmt: skip

    def test_a_write_that_fails_in_the_middle_leaves_nothing(
        self, tmp_path: Path, parts: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: Any, **__: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("merbench.corpus.create.write_arrow", fail)
        with pytest.raises(OutputError, match=r"/c: cannot be written: No space left on device$"):
            made_corpus(tmp_path / "c", **parts)
        assert list(tmp_path.iterdir()) == []


class TestAddFeatures:
    def test_the_corpus_has_it_and_stays_whole(self, corpus: Corpus) -> None:
        added = add_features(corpus, {"more": Feature.from_vectors(["d", "a"], [[2.0], [1.0]])})
        assert added.features == ("audio.frames", "more", "text")
        assert added.feature("more").ids.to_pylist() == ["a", "d"]
        assert verify_corpus(added) == []
        assert added.digest == corpus.digest
        add_features(corpus, {"y": Feature.from_vectors(["a"], [[1.0]])})  # from a stale view
        assert CORPORA.read(corpus.folder).features == ("audio.frames", "more", "text", "y")

    def test_an_existing_one_is_replaced_only_on_request(self, corpus: Corpus) -> None:
        new = Feature.from_vectors(["a"], [[7.0, 8.0, 9.0]])
        for name in ("text", "TEXT"):
            with pytest.raises(UsageError, match=r"^corpus 'small' already has a feature 'text'$"):
                add_features(corpus, {name: new}, replace=name == "TEXT")
        assert add_features(corpus, {"text": new}, replace=True).feature("text").values.tolist() == [[7, 8, 9]]

    def test_several_come_with_their_records(self, corpus: Corpus) -> None:
        record = ExtractionRecord(
            extractor="voice",
            version="1",
            modality="audio",
            unit="frame",
            rate_hz=100.0,
            options={"layer": 3, "bands": [1, 2.5], "names": ["x"], "is_mean": True},
            weights="0" * 64,
            versions={"numpy": "2.1"},
        )
        vectors = Feature.from_vectors(["a"], [[1.0]])
        frames = Feature.from_frames(["a"], [np.ones((2, 1))])
        added = add_features(corpus, {"mine.frames": frames, "mine": vectors}, {"mine.frames": record})
        assert (added.features, added.declaration.extracted) == (
            ("audio.frames", "mine", "mine.frames", "text"),
            {"mine.frames": record},
        )
        assert [added.modality(name) for name in added.features] == ["audio", None, "audio", "text"]
        by_name = [added.modality(name) for name in ("face", "voice-votes", "speech", "av-votes")]
        assert by_name == ["video", "audio", "audio", None]
        # another feature keeps it; a new feature of the same name does not have it
        assert add_features(added, {"x": vectors}).declaration.extracted == {"mine.frames": record}
        assert add_features(added, {"mine.frames": frames}, replace=True).declaration.extracted == {}

    def test_of_several_all_are_written_or_none(self, corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
        before = {path: path.read_bytes() for path in corpus.folder.rglob("*") if path.is_file()}
        written: list[Path] = []

        def fail_at_second(table: pa.Table, path: Path) -> None:
            if written:
                raise OSError(28, "No space left on device")
            written.append(path)
            path.write_bytes(b"half")

        monkeypatch.setattr("merbench.corpus.create.write_arrow", fail_at_second)
        vectors = Feature.from_vectors(["a"], [[1.0]])
        with pytest.raises(OutputError, match=r"/features/y\.arrow: cannot be written: No space left on device$"):
            add_features(corpus, {"text": vectors, "y": vectors}, replace=True)
        after = {path: path.read_bytes() for path in corpus.folder.rglob("*") if path.is_file()}
        assert after == {**before, corpus.folder / ".lock": b""}

    def test_what_belongs_to_the_corpus_is_renamed_last(self, corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
        """A run that is killed before that leaves the corpus as it was, with a file that is not recorded."""
        rename, order = Path.replace, []

        def record(path: Path, target: Path) -> Path:
            order.append(target.name)
            if target.name == "corpus.toml":
                raise KeyboardInterrupt
            return rename(path, target)

        monkeypatch.setattr(Path, "replace", record)
        vectors = Feature.from_vectors(["a"], [[1.0]])
        with pytest.raises(KeyboardInterrupt):
            add_features(corpus, {"x": vectors, "y": vectors})
        assert order == ["y.arrow", "x.arrow", "corpus.toml"]
        left = CORPORA.read(corpus.folder)
        assert left.features == corpus.features
        assert [problem.code for problem in verify_corpus(left)] == ["W601", "W601"]
        monkeypatch.undo()
        assert verify_corpus(add_features(corpus, {"x": vectors, "y": vectors})) == []

    def test_all_names_that_exist_are_reported(self, corpus: Corpus) -> None:
        new = dict.fromkeys(["text", "audio.frames", "x"], Feature.from_vectors(["a"], [[7.0]]))
        with pytest.raises(UsageError, match=r"^corpus 'small' already has features text, audio\.frames$"):
            add_features(corpus, new)

    def test_problems_are_reported_and_nothing_is_written(self, corpus: Corpus) -> None:
        before = (corpus.folder / "corpus.toml").read_bytes()
        with pytest.raises(InvalidCorpus, match=r"E615  feature 'x': values of unknown samples \(1 of 1\): z$"):
            add_features(corpus, {"x": Feature.from_vectors(["z"], [[1.0]])})
        assert (corpus.folder / "corpus.toml").read_bytes() == before


def _timed(times: list[float]) -> Feature:
    """Return two frames of sample a, none of b, two of c, none of d."""
    offsets = np.array([0, 2, 2, 4, 4])
    return Feature(pa.array(list("abcd")), np.zeros((4, 2), np.float32), offsets, np.array(times))


@pytest.mark.parametrize(
    ("feature", "problem"),
    [
        (
            Feature(pa.array(["a"]), np.zeros((1, 2))),
            "the values are float64; expected: float32, or uint8 of frames that are pictures",
        ),
        (Feature(pa.array([], pa.string()), np.zeros((0, 2), np.float32)), "no samples"),
        (Feature(pa.array(["a", None]), np.zeros((2, 2), np.float32)), "1 of 2 sample ids are missing"),
        (
            Feature(pa.array(["a"]), np.zeros((3, 2), np.float32), np.array([0, 2])),
            "the offsets do not divide 3 frames among 1 sample ids",
        ),
        (
            Feature(pa.array(["a", "b"]), np.zeros((3, 2), np.float32), np.array([0, 4, 3])),
            "the offsets do not divide 3 frames among 2 sample ids",
        ),
        (
            Feature(pa.array(["a"]), np.zeros((1, 2), np.float32), None, np.zeros(1)),
            "vectors with times; only frames have them",
        ),
        (
            Feature(pa.array(["a"]), np.broadcast_to(np.float32(0), (1 << 31, 1))),
            "the values have 8,589,934,592 bytes in 2,147,483,648 rows; at most 64,000,000,000 and 2,147,483,647 are "
            "allowed",
        ),
        (_timed([0.0, 1.0, 2.0]), "the times are float64 of shape (3,); expected: float64 (4,)"),
        (_timed([0.0, 1.0, np.nan, 2.0]), "samples with times that are not finite (1 of 4): c"),
        (_timed([0.0, 1.0, 3.0, 2.0]), "samples with times that decrease (1 of 4): c"),
        (_timed([1.0, 0.5, 0.0, np.inf]), "samples with times that are not finite (1 of 4): c"),
        (_timed([9.0, 9.0, 0.0, 0.0]), None),
    ],
)
def test_a_feature_says_what_does_not_fit(feature: Feature, problem: str | None) -> None:
    assert feature.shape_problem() == problem


def test_frames_are_sorted_with_their_samples() -> None:
    frames = Feature.from_frames(["b", "c", "a"], [np.full((2, 1), 2), np.full((1, 1), 3), np.full((3, 1), 1)])
    assert frames.ids.to_pylist() == ["a", "b", "c"]
    assert frames.values[:, 0].tolist() == [1, 1, 1, 2, 2, 3]
    assert frames.offsets is not None
    assert frames.offsets.tolist() == [0, 3, 5, 6]
    assert frames.ids_of_rows(np.array([0, 2, 5])) == ["a", "c"]


def test_times_stay_with_their_frames() -> None:
    frames = [np.full((2, 1), 2), np.full((0, 1), 3), np.full((1, 1), 1)]
    feature = Feature.from_frames(["b", "c", "a"], frames, [np.array([0.25, 0.5]), np.array([]), np.array([7.0])])
    assert feature.times is not None
    assert feature.times.tolist() == [7.0, 0.25, 0.5]
    again = feature.take(np.array([1, 0]))
    assert again.times is not None
    assert (again.ids.to_pylist(), again.values[:, 0].tolist()) == (["b", "a"], [2, 2, 1])
    assert again.times.tolist() == [0.25, 0.5, 7.0]
    values = [np.zeros((1, 1)), np.zeros((2, 1)), np.zeros((0, 1))]
    assert feature.with_values(values).times is feature.times
    assert feature.with_values([np.zeros((1, 1))] * 3).times is None


def test_times_are_stored_and_part_of_the_digest(corpus: Corpus) -> None:
    frames = [np.full((2, 3), 4.0), np.full((0, 3), 1.0)]
    untimed = corpus.declaration.content.features["audio.frames"]
    timed = Feature.from_frames(["d", "a"], frames, [np.array([0.5, 0.5]), np.array([])])
    added = add_features(
        corpus, {"audio.frames": timed, "again": timed, "bare": replace(timed, times=None)}, replace=True
    )
    stored = added.feature("audio.frames")
    assert stored.times is not None
    assert stored.times.tolist() == [0.5, 0.5]
    assert verify_corpus(added) == []
    digests = added.declaration.content.features
    assert digests["audio.frames"] == digests["again"] != untimed
    assert digests["bare"] == untimed
    later = replace(timed, times=np.array([0.5, 0.75]))
    changed = add_features(corpus, {"again": later}, replace=True)
    assert changed.declaration.content.features["again"] != digests["again"]


def test_changed_times_are_found(corpus: Corpus) -> None:
    timed = Feature.from_frames(["a"], [np.ones((2, 1))], [np.array([0.5, 0.75])])
    added = add_features(corpus, {"timed": timed})
    path, declaration = corpus.folder / "features/timed.arrow", corpus.folder / "corpus.toml"
    declared, table = declaration.read_text(), timed.to_table()

    def rewritten(times: pa.Array) -> Corpus:
        """Return the corpus with other times, and the digest of that file's bytes."""
        write_arrow(table.set_column(2, "times", times), path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        declaration.write_text(declared.replace(added.declaration.files["features/timed.arrow"], digest))
        return CORPORA.read(corpus.folder)

    for times, message in (
        ([0.5, 0.7], "the recorded digest of the values of features/timed.arrow differs"),
        ([0.5, 0.4], "samples with times that decrease (1 of 1): a"),
        ([0.5], "its frames and their times differ in number"),
        ([0.5, None], "samples with times that are not finite (1 of 1): a"),
    ):
        problems = verify_corpus(rewritten(pa.array([times], pa.list_(pa.float64()))))
        assert [problem.code for problem in problems] == ["E603"]
        assert message in problems[0].message
    with pytest.raises(IntegrityError, match=r"not the columns of a feature: .*times list<"):
        rewritten(pa.array([[1, 2]])).feature_shape("timed")


def test_the_summary_counts(corpus: Corpus) -> None:
    summary = summarise(corpus)
    assert summary.splits == {"test": 2, "train": 2}
    assert summary.columns == {
        "speaker": ("text", 3),
        "position": ("integers", 3),
        "loudness": ("numbers", 3),
        "clean": ("true or false", 3),
        "words": ("list<string>", 3),
        "transcript": ("text", 3),
    }
    discrete, valence = summary.targets
    assert (discrete.known, discrete.labels, discrete.range) == ({"train": 2}, {"happy": 1, "sad": 1}, None)
    assert (valence.known, valence.labels, valence.range) == ({"train": 1}, {}, (1.5, 1.5))
    assert summary.features == {"audio.frames": (2, 3, True), "text": (4, 2, False)}


MEASURE = """
import sys
from pathlib import Path
import numpy as np
import pyarrow as pa
from made_corpus import made_corpus
from peak_memory import peak_bytes
from merbench.corpus import Feature, add_features
ids = [f"{number:04d}" for number in range(1_000)]
samples = pa.table({"sample_id": ids, "split": ["train"] * 1_000})
corpus = made_corpus(Path(sys.argv[1]), name="large", samples=samples)
values = np.ones((1_000_000, 75), np.float32)
offsets, times = np.arange(0, 1_000_001, 1_000), np.tile(np.arange(1_000.0), 1_000)
before = peak_bytes()
add_features(corpus, {"large": Feature(pa.array(ids), values, offsets, times)})
print(peak_bytes() - before)
"""


@pytest.mark.slow
def test_writing_a_feature_takes_little_memory_beyond_it(tmp_path: Path) -> None:
    """300 MB are written with a fraction of that: not one further copy of all."""
    tests = Path(__file__).parents[1]
    code = f"import sys; sys.path[:0] = [{str(tests)!r}, {str(tests.parent)!r}]\n{MEASURE}"
    command = [sys.executable, "-c", code, str(tmp_path / "large")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 50_000_000
    corpus = CORPORA.read(tmp_path / "large")
    large = corpus.feature("large")
    assert large.offsets is not None
    assert large.times is not None
    assert (large.values == 1).all()
    assert (large.offsets[-1], large.times[-1], large.times[1_000]) == (1_000_000, 999.0, 0.0)
    assert verify_corpus(corpus) == []
