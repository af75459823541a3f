"""Files that ask for far more than they weigh, and what is refused before it is built."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from blind_candidates import LABELS, sample_ids

from merbench.corpus.candidates import Candidates
from merbench.errors import InvalidSubmission, UsageError
from merbench.submission import ids, read_submission, text_files
from merbench.submission.content import Budget

TESTS = Path(__file__).parent.parent

MAX_PEAK_BYTES = 1_000_000_000

# Read in one process that has 3 GB: it prints every message, and how much memory it took at most.
CHILD = """
import json, resource, sys
from collections.abc import Callable
from pathlib import Path
import pyarrow as pa
from blind_candidates import blind_candidates, sample_ids
from peak_memory import peak_bytes
from merbench.errors import InvalidSubmission, UsageError
from merbench.submission import read_submission

resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
M = 159_000_000  # what is unpacked at most is 160 MB

def streamed(parts):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        for part in parts:
            stream.write(part)
    return sink.getvalue().to_pybytes()

def packed(head, unit, n_bytes=M):
    block = unit * (1_000_000 // len(unit))
    return streamed([head, *[block] * (n_bytes // len(block))])

TABLE = b"sample_id,discrete,valence\\n"
SETS = b"sample_id,words\\n"
PARTS = b"sample_id,parts\\n"
BOMBS = {
    "objects": packed(b"", b"{}\\n"),
    "commas": packed(TABLE, b",,\\n"),
    "letters": packed(TABLE, b"x\\n"),
    "plain letters": TABLE + b"x\\n" * 9_990_000,
    "carriage returns": TABLE + b"x\\r" * 9_990_000,
    "header": packed(b"sample_id,discrete,valence", b",a"),
    "names": b"sample_id,discrete,valence" + b"".join(b",%d" % i for i in range(20_000)) + b"\\nx\\n",
    "cells of one row": packed(TABLE, b","),
    "items of one row": packed(b\'{"sample_id":"a","discrete":[\', b"[],"),
    "cells": packed(b"a," * 200 + b"a\\n", b"," * 200 + b"\\n"),
    "keys": b"".join(b\'{"%d":1}\\n\' % i for i in range(11_000)),
    "digits": b\'{"sample_id":"a","valence":\' + b"1" * 19_000_000 + b"}\\n",
    "long digits": b\'{"sample_id":"a","discrete":"sad","valence":\' + b"1" * 60_000 + b"}\\n",
    "long cell": TABLE + b"x," + b"s" * 70_000 + b",1\\n",
    "nested": b\'{"discrete":\' + b"[" * 9 + b"]" * 9 + b"}\\n",
    "words": SETS + b"".join(b\'x,"%s"\\n\' % b",".join(b"%x" % (i * 500 + j) for j in range(500)) for i in range(2_100)),
    "broken rows": TABLE + b"xxxxxxxxxxxxxxxxxxx\\n" * 100_000,
    "bad cells": packed(SETS, b"x,[\'" + b"a" * 700 + b"\\n", 40_000_000),
    "segments": packed(PARTS, b"x," + b"a " * 500 + b"\\n", 10_000_000),
    "texts": streamed([TABLE, *(b"sample_00000000,%s%d,%d\\n" % (b"x" * 480, i, i) for i in range(310_000))]),
    "ids": TABLE + b"".join(b"other_%x,sad,1\\n" % i for i in range(100_000)),
}
found = {}
for name, data in BOMBS.items():
    targets = None
    if name in ("words", "bad cells"):
        targets = {"words": {"type": "label_set"}}
    elif name == "segments":
        targets = {"parts": {"type": "segments", "labels": ["real", "fake"]}}
    Path("bomb").write_bytes(data)
    try:
        read_submission("bomb", blind_candidates(Path("t"), sample_ids(12), targets))
        found[name] = "read"
    except InvalidSubmission as error:
        found[name] = str(error)
print(json.dumps({"found": found, "peak": peak_bytes()}))
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the message of every bomb, all read in a process of its own with 3 GB, which took less than 1 GB."""
    run = subprocess.run(
        [sys.executable, "-c", CHILD],
        cwd=tmp_path_factory.mktemp("bombs"),
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        check=False,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    reported = json.loads(run.stdout)
    assert reported["peak"] < MAX_PEAK_BYTES
    result: dict[str, str] = reported["found"]
    return result


@pytest.mark.parametrize(
    ("bomb", "problem"),
    [
        ("objects", "E104  asks for 52,999,947 rows; 1,000,000 are allowed"),
        ("commas", "E104  asks for 52,999,947 rows; 1,000,000 are allowed"),
        ("letters", "E104  asks for 79,500,000 rows; 1,000,000 are allowed"),
        ("plain letters", "E104  asks for 9,990,000 rows; 1,000,000 are allowed"),
        ("carriage returns", "E104  asks for 9,990,000 rows; 1,000,000 are allowed"),
        ("header", "E104  asks for 159,000,026 bytes in one line; 1,048,576 are allowed"),
        ("names", "E104  asks for 20,003 columns; 10,000 are allowed"),
        ("cells of one row", "E104  asks for 159,000,000 bytes in one line; 1,048,576 are allowed"),
        ("items of one row", "E104  asks for 158,999,870 bytes in one line; 1,048,576 are allowed"),
        ("cells", "cells; 30,000,000 are allowed"),
        ("keys", "E104  asks for 10,001 columns; 10,000 are allowed"),
        ("digits", "E104  asks for 19,000,028 bytes in one line; 1,048,576 are allowed"),
        ("long digits", "E204  line 1, valence: '11111"),
        ("long cell", "E104  line 2, discrete: a cell of 70,000 bytes; 65,536 are allowed"),
        ("nested", "E206  line 1: JSON that is nested too deeply; 8 levels are allowed"),
        ("words", "E104  words: contains more than 1,000,000 distinct words"),
        ("broken rows", "E206  … and 99,995 more"),
        ("bad cells", "E211  words: … and 56,"),
        ("segments", "E212  parts: … and 9,"),
        ("texts", "E203  discrete: … and 309,995 more"),
        ("ids", "E302  … and 99,995 more"),
    ],
)  # fmt: skip
@pytest.mark.slow
def test_what_asks_for_too_much_is_refused(outcomes: dict[str, str], bomb: str, problem: str) -> None:
    assert problem in outcomes[bomb]


def test_the_budget_grows_with_the_candidates(make_candidates: Callable[..., Candidates]) -> None:
    few, many = make_candidates(12, max_bytes=20_000_000), make_candidates(600_000, max_bytes=100_000_000)
    assert (Budget.of(few).rows, Budget.of(many).rows) == (1_000_000, 1_200_000)
    # 8 times what a file may contain, 400 MB at most.
    assert (Budget.of(few).unpacked_bytes, Budget.of(many).unpacked_bytes) == (160_000_000, 400_000_000)


def test_views_are_rows_each(make_candidates: Callable[..., Candidates]) -> None:
    assert Budget.of(make_candidates(200_000, duplicate_ids="mean", views=4)).rows == 1_600_000


def test_json_is_not_read_on_behind_a_cell_that_is_too_long(
    candidates: Candidates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_rows = []
    read_row = text_files._row
    monkeypatch.setattr(text_files, "_row", lambda *given: n_rows.append(1) or read_row(*given))
    path = tmp_path / "a.jsonl"
    path.write_text('{"discrete":[' + "[]," * 30_000 + "[]]}\n" + '{"discrete":"sad"}\n' * 2)
    with pytest.raises(InvalidSubmission) as caught:
        read_submission(path, candidates)
    # json.dumps writes a space behind each comma: 30,000 times "[], ", then "[]", in brackets.
    problem = "E104  line 1, discrete: a cell of 120,004 bytes; 65,536 are allowed"
    assert str(caught.value) == f"{path}: 1 problem\n  {problem}"
    assert len(n_rows) == 1


LONG = "y" * 1000
LETTERS = pa.DictionaryArray.from_arrays(pa.array([0] * 200_000, pa.int32()), [LONG])
BYTES = pa.DictionaryArray.from_arrays(
    pa.array([0] * 200_000, pa.int32()), pa.array([LONG.encode()], pa.large_binary())
)
ITEMS = pa.ListArray.from_arrays(pa.array(range(200_001), pa.int32()), LETTERS)
NESTED = pa.DictionaryArray.from_arrays(pa.array([0] * 12, pa.int32()), pa.array([[1.0]]))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (pa.table({"sample_id": LETTERS}), "table: 1 problem\n  E104  asks for 201,600,000 bytes of memory; 160,000,000 are allowed"),
        (pa.table({"sample_id": BYTES}), "table: 1 problem\n  E104  asks for 201,600,000 bytes of memory; 160,000,000 are allowed"),
        (pa.table({"sample_id": ITEMS}), "table: 1 problem\n  E104  asks for 200,000,000 bytes of memory; 160,000,000 are allowed"),
        (pa.table({"sample_id": pa.nulls(1_000_001)}), "table: 1 problem\n  E104  asks for 1,000,001 rows; 1,000,000 are allowed"),
        (pd.DataFrame({"sample_id": np.zeros(1_000_001)}), "data frame: 1 problem\n  E104  asks for 1,000,001 rows; 1,000,000 are allowed"),
        (pa.table({f"c{i}": [1] for i in range(10_001)}), "table: 1 problem\n  E104  asks for 10,001 columns; 10,000 are allowed"),
    ],
)  # fmt: skip
def test_tables_have_the_same_budget(candidates: Candidates, source: object, message: str) -> None:
    with pytest.raises(InvalidSubmission) as caught:
        read_submission(source, candidates)  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_few_letters_of_ids_that_are_not_candidates_are_folded(
    candidates: Candidates, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_letters = []
    monkeypatch.setattr(ids, "_folded", lambda text: n_letters.append(len(text)))
    # NFKC makes 18 letters of U+FDFA: a file of 3 MB took two minutes.
    names = ["\ufdfa" * (3_000 if i % 300 == 0 else 40) + f"{i:05d}" for i in range(100, 30_100)]
    n = len(names)
    with pytest.raises(InvalidSubmission, match="E302  … and 29,995 more"):
        read_submission(pa.table({"sample_id": names, "discrete": ["sad"] * n, "valence": [0.0] * n}), candidates)
    assert max(n_letters) == 45  # the candidates have 15
    assert 900_000 < sum(n_letters) < 1_100_000


def test_a_dictionary_of_lists_is_never_decoded(candidates: Candidates) -> None:
    table = pa.table({"sample_id": sample_ids(12), "discrete": [LABELS[0]] * 12, "valence": NESTED})
    with pytest.raises(InvalidSubmission) as caught:
        read_submission(table, candidates)
    assert "E208  valence: contains list<item: double>; text or numbers are needed" in str(caught.value)


def test_an_integer_that_python_does_not_write(candidates: Candidates) -> None:
    values = pd.Series([10**5000, *[1] * 11], dtype=object)
    frame = pd.DataFrame({"sample_id": sample_ids(12), "discrete": ["sad"] * 12, "valence": values})
    with pytest.raises(InvalidSubmission) as caught:
        read_submission(frame, candidates)
    assert "E204  valence: row 1: 'int that cannot be written' is not a number in [-5, 5]" in str(caught.value)


@pytest.mark.parametrize("type_", [pa.list_(pa.dictionary(pa.int32(), pa.string())), pa.list_(pa.string_view())])
def test_lists_of_text_of_any_type(make_candidates: Callable[..., Candidates], type_: pa.DataType) -> None:
    words = pa.array([["sad", "calm"]] * 12, pa.list_(pa.string())).cast(type_)
    table = pa.table({"sample_id": sample_ids(12), "words": words})
    read = read_submission(table, make_candidates(targets={"words": {"type": "label_set"}}))
    assert read.n_rows == 12


def test_text_that_is_not_utf_8(candidates: Candidates) -> None:
    broken = pa.Array.from_buffers(pa.string(), 12, pa.array([b"\xff"] * 12, pa.binary()).buffers())
    with pytest.raises(InvalidSubmission, match="E208  discrete: contains text that is not UTF-8"):
        read_submission(pa.table({"sample_id": sample_ids(12), "discrete": broken, "valence": [0.0] * 12}), candidates)


def test_numbers_of_more_than_64_bits(candidates: Candidates) -> None:
    frame = pd.DataFrame({"sample_id": sample_ids(12), "discrete": LABELS * 2, "valence": np.zeros(12, np.longdouble)})
    assert read_submission(frame, candidates).values["valence"].tolist() == [0.0] * 12


def test_a_series_is_not_a_table(candidates: Candidates) -> None:
    with pytest.raises(UsageError, match="not Series"):
        read_submission(pd.Series(["sad"]), candidates)  # type: ignore[arg-type]
