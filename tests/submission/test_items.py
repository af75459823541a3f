"""Targets whose cells hold several things: what is read, and every message about cells and columns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from blind_candidates import sample_ids

from merbench.corpus.candidates import Candidates
from merbench.errors import InvalidSubmission, Problem
from merbench.submission import read_submission
from merbench.targets import Answers
from merbench.targets.label_set import LabelSetTarget
from merbench.targets.preference import PreferenceTarget
from merbench.targets.ranked import RankedTarget
from merbench.targets.sheet import Sheet

Make = Callable[..., Candidates]
Refused = Callable[..., str]

OPENSET: dict[str, Any] = {"openset": {"type": "label_set"}}
REGIONS: dict[str, Any] = {"regions": {"type": "segments", "labels": ["genuine", "fake"]}}


def sheet(**columns: list[str | None]) -> Sheet:
    arrays = {name: pa.array(column, pa.string()) for name, column in columns.items()}
    return Sheet(tuple(arrays), arrays, len(next(iter(columns.values()))))


def reported(source: Path | pa.Table | pd.DataFrame, candidates: Candidates) -> list[str]:
    with pytest.raises(InvalidSubmission) as caught:
        read_submission(source, candidates)
    return [str(problem) for problem in caught.value.problems]


def texts(problems: tuple[Problem, ...] | list[Problem]) -> list[str]:
    return [str(problem) for problem in problems]


# Sets


def test_words_that_hold_a_mark_which_separates_nothing_bring_a_warning() -> None:
    cells: list[str | None] = [
        "happy; sad", "['Happy; sad', 'calm']", "glad|calm", "a\uff0cb, c\u3001d", "x;y", "happy, sad"
    ]  # fmt: skip
    rows = np.array([True, True, True, True, False, True])
    result = LabelSetTarget(type="label_set").read(Answers(sheet(openset=cells), "openset", rows))
    assert texts(result.warnings) == [
        "W203  openset: 4 of 5 sets contain words with ';', '|', '\uff0c', '\u3001' in them, each read as one word; "
        "',' separates words: 'happy; sad' (2), 'glad|calm' (1), 'a\uff0cb' (1), 'c\u3001d' (1)"
    ]
    assert result.problems == ()
    plain = Answers(sheet(openset=["a, b"]), "openset", rows[:1])
    assert LabelSetTarget(type="label_set").read(plain).warnings == ()


def test_a_comma_in_a_word_brings_a_warning_where_only_quotes_separate() -> None:
    target = LabelSetTarget(type="label_set", split="mer2024")
    cells: list[str | None] = ["[happy, sad]", "['calm', 'sad']"]
    result = target.read(Answers(sheet(openset=cells), "openset", np.array([True, True])))
    assert texts(result.warnings) == [
        "W203  openset: 1 of 2 sets contain words with ',' in them, each read as one word; "
        "a quote separates words: 'happy, sad' (1)"
    ]


@pytest.mark.parametrize("separator", [",", "\t"])
def test_a_blank_cell_of_a_delimited_file_is_an_empty_set_where_that_is_allowed(
    make_candidates: Make, tmp_path: Path, separator: str
) -> None:
    path = tmp_path / "blank"
    rows = [["sample_id", "openset"], *zip(sample_ids(3), ["", " ", "['a']"], strict=True)]
    path.write_text("".join(f"{separator.join(row)}\n" for row in rows), encoding="utf-8")
    allowing = make_candidates(3, {"openset": {"type": "label_set", "empty": "allow"}})
    (sets,) = read_submission(path, allowing).values.values()
    assert [tuple(words) for words in sets] == [(), (), ("a",)]
    form = "empty; a set is written ['happy', 'sad'], or happy, sad"
    assert reported(path, make_candidates(3, OPENSET)) == [f"E211  line {line}, openset: {form}" for line in (2, 3)]


@pytest.mark.parametrize("cells", [["", "", "['a']"], ["", "", ""]])
def test_a_data_frame_of_a_text_file_has_the_same_sets(make_candidates: Make, tmp_path: Path, cells: list[str]) -> None:
    path = tmp_path / "blank.csv"
    rows = [["sample_id", "openset"], *zip(sample_ids(3), cells, strict=True)]
    path.write_text("".join(f"{','.join(row)}\n" for row in rows), encoding="utf-8")
    allowing = make_candidates(3, {"openset": {"type": "label_set", "empty": "allow"}})
    assert read_submission(pd.read_csv(path), allowing).digest == read_submission(path, allowing).digest
    assert len(reported(pd.read_csv(path), make_candidates(3, OPENSET))) == cells.count("")


def test_a_null_is_a_missing_answer_where_a_format_has_one(make_candidates: Make, tmp_path: Path) -> None:
    allowing = make_candidates(3, {"openset": {"type": "label_set", "empty": "allow"}})
    cells = dict(zip(sample_ids(3), ("null", '""', '"[]"'), strict=True))
    lines = [f'{{"sample_id": "{id_}", "openset": {cell}}}' for id_, cell in cells.items()]
    path = tmp_path / "null.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    form = "empty; a set is written ['happy', 'sad'], or happy, sad"
    assert reported(path, allowing) == [f"E211  line {line}, openset: {form}" for line in (1, 2)]


@pytest.mark.parametrize(
    ("items", "kind"),
    [([[1, 2], [3]], "list<element: int64>"), ([[["a"]], []], "list<element: list<element: string>>")],
)
def test_lists_of_something_else_than_text_are_reported_with_the_other_problems(
    make_candidates: Make, tmp_path: Path, items: list[Any], kind: str
) -> None:
    candidates = make_candidates(2, OPENSET)
    ids = sample_ids(2)
    pq.write_table(pa.table({"sample_id": ids, "openset": items}), tmp_path / "li.parquet")
    message = f"E208  openset: contains {kind}; text or lists of text are needed"
    assert reported(tmp_path / "li.parquet", candidates) == [message]
    pq.write_table(pa.table({"sample_id": [ids[0], "x"], "openset": items}), tmp_path / "li.parquet")
    assert reported(tmp_path / "li.parquet", candidates) == [
        message,
        "E301  1 of 2 candidates missing: sample_00000001",
        "E302  row 2: id 'x' is not a candidate",
    ]
    pq.write_table(pa.table({"name": ids, "openset": items}), tmp_path / "li.parquet")
    assert [text[:4] for text in reported(tmp_path / "li.parquet", candidates)] == ["E201", "E208"]


def test_ids_that_are_lists_and_segments_that_are_lists_of_text_are_reported(make_candidates: Make) -> None:
    table = pa.table({"sample_id": [["a"], ["b"]], "openset": [[1], [2]]})
    assert reported(table, make_candidates(2, OPENSET)) == [
        "E208  sample_id: contains list<item: string>; text or numbers are needed",
        "E208  openset: contains list<item: int64>; text or lists of text are needed",
    ]
    table = pa.table({"sample_id": sample_ids(1), "regions": [["fake-0-1"]]})
    assert reported(table, make_candidates(1, REGIONS)) == [
        "E208  regions: contains list<item: string>; text, or lists of structs of label, start_s, end_s, are needed"
    ]


# Ranked answers


def test_first_answers_outside_the_vocabulary_are_reported_once_each_with_their_number() -> None:
    cells: list[str | None] = [*["neutral, happy"] * 3, "['Neutral', 'sad']", "happy", "joy", " Joy", "bored, sad"]
    target = RankedTarget(type="ranked", labels=("happy", "sad"), out_of_vocabulary="wrong")
    result = target.read(Answers(sheet(e=cells), "e", np.ones(8, dtype=np.bool_)))
    assert texts(result.warnings) == [
        "W202  e: 7 of 8 first answers are not one of happy, sad and count as wrong: "
        "'neutral' (4), 'joy' (2), 'bored' (1)"
    ]


# Pairs

PAIRS = {"a1": pa.array(["m1", "m2", "m3"]), "a2": pa.array(["m4", "m5", "m6"])}


@pytest.mark.parametrize(
    ("columns", "problems"),
    [
        (
            {"a1": ["m1", "descA9", ""]},
            [
                "E213  a2: the column is missing, and a1 is given; give both, or neither",
                "E213  row 2: a1 is 'descA9'; of this pair a1 is 'm2' and a2 is 'm5'",
                "E213  row 3: a1 is empty; of this pair a1 is 'm3' and a2 is 'm6'",
            ],
        ),
        (
            {"a1": ["m4", "m2", "m1"], "a2": ["m1", None, "x"]},
            [
                "E213  row 1: a1 and a2 are swapped; of this pair a1 is 'm1' and a2 is 'm4'",
                "E213  row 2: a2 is empty; of this pair a1 is 'm2' and a2 is 'm5'",
                "E213  row 3: a1 is 'm1' and a2 is 'x'; of this pair a1 is 'm3' and a2 is 'm6'",
            ],
        ),
        ({"better": ["a1", "a2", "a1"]}, []),
    ],
)
def test_the_columns_of_a_pair_are_those_of_the_candidates(columns: dict[str, Any], problems: list[str]) -> None:
    target = PreferenceTarget(type="preference")
    assert texts(target.repeated_problems(sheet(**columns), PAIRS)) == problems


# A header that names classes


CLASSES = "sample_id,neutral,angry,happy,sad,worried,surprise"


def test_a_header_of_classes_above_labels_is_reported_once_with_the_remedy(
    refused: Refused, make_candidates: Make
) -> None:
    target = {"expression": {"type": "categorical", "labels": ["neutral", "angry"], "aliases": {"0": "neutral"}}}
    rows = "".join(f"{name},0\n" for name in sample_ids(7))
    assert refused(f"{CLASSES}\n{rows}", of=make_candidates(7, target)) == (
        "submission.csv: 1 problem\n  E206  line 1: the header has 7 cells and every row 2: one label per row; "
        "write the header sample_id,expression"
    )
    some = refused(f"{CLASSES}\n{rows}x,0,1\n", of=make_candidates(7, target)).splitlines()
    assert [line[:6] for line in some[1:]] == ["  E206"] * 6 + ["  E202"]
