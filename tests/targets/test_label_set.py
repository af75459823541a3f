"""Cells of label sets: both ways of splitting, what survives, and the exact message of every cell that cannot be read."""

from __future__ import annotations

import re
from typing import get_args

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merbench.errors import UsageError
from merbench.targets.label_set import Split, read_label_lists

FORM = "a set is written ['happy', 'sad'], or happy, sad"


def labels(cell: str, split: Split = "official") -> list[str]:
    result = read_label_lists(pa.array([cell]), split=split)
    assert not result.bad, result.bad
    return list(next(iter(result.lists)))


def message(cell: str | None, split: Split = "official") -> str:
    # The neighbours are read all the same.
    result = read_label_lists(pa.array(["['a']", cell, "b"], pa.string()), split=split)
    assert [list(row) for row in result.lists] == [["a"], [], ["b"]]
    assert not len(result.empty)
    (bad,) = result.bad
    assert bad.row == 1
    return bad.message


@pytest.mark.parametrize("split", ["official", "python"])
@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("['happy', 'sad']", ["happy", "sad"]),
        ('["happy", "sad"]', ["happy", "sad"]),
        ("happy, sad", ["happy", "sad"]),
        ("happy", ["happy"]),
        ("  [ 'Happy' ,\t' SAD ',]  ", ["happy", "sad"]),
        ("happy,,sad", ["happy", "sad"]),
        ("['', 'a']", ["a"]),
        ("['feeling down', 'self-deprecating', 'naïve', '惊讶', 'ÄRGER']", None),
        ("feeling down, self-deprecating, naïve, 惊讶, ÄRGER", None),
        ("['a', 'b', 'a']", ["a", "b", "a"]),
        ("happy (a bit), sad", ["happy (a bit)", "sad"]),
        ("['happy (a', 'bit)']", ["happy (a", "bit)"]),
        ("['happy, sad']", ["happy", "sad"]),
    ],
)  # fmt: skip
def test_both_ways_of_splitting_agree(cell: str, expected: list[str] | None, split: Split) -> None:
    if cell == "['happy, sad']" and split == "python":
        expected = ["happy, sad"]
    assert labels(cell, split) == (expected or ["feeling down", "self-deprecating", "naïve", "惊讶", "ärger"])


@pytest.mark.parametrize(
    ("cell", "official", "python"),
    [
        # A quote within quotes: the released way splits there, Python does not.
        ("[\"don't believe\", 'sad']", ["don", "t believe", "sad"], ["don't believe", "sad"]),
        ("don't care, sad", ["don", "t care", "sad"], ["don't care", "sad"]),
        (r"['it\'s']", ["it\\", "s"], ["it's"]),
        (r'["\u60ca\u8bb6"]', [r"\u60ca\u8bb6"], ["惊讶"]),
        (r"['caf\xe9']", [r"caf\xe9"], ["café"]),
    ],
)
def test_the_two_ways_of_splitting_differ(cell: str, official: list[str], python: list[str]) -> None:
    assert labels(cell) == official
    assert labels(cell, "python") == python


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("[happy, sad]", ["happy", "sad"]),
        ("['happy' 'sad']", ["happy", "sad"]),
        ("'happy', \"sad\"", ["happy", "sad"]),
        ("['a',,'b']", ["a", "b"]),
        ("['don't go']", ["don", "t go"]),
        ("[None, 'a']", ["none", "a"]),
    ],
)  # fmt: skip
def test_the_released_way_reads_what_python_refuses(cell: str, expected: list[str]) -> None:
    assert labels(cell) == expected
    assert message(cell, "python").endswith(FORM)


@pytest.mark.parametrize("split", ["official", "python"])
@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (None, f"empty; {FORM}"),
        ("", f"empty; {FORM}"),
        (" \t", f"empty; {FORM}"),
        (",", f"',' contains no label; {FORM}"),
        ("['a', 'b]", f"'['a', 'b]' has an unmatched quote; {FORM}"),
        ('["a, b]', f"'[\"a, b]' has an unmatched quote; {FORM}"),
        ("['a', 'b'", f"'['a', 'b'' has an unmatched bracket; {FORM}"),
        ("'a', 'b']", f"''a', 'b']' has an unmatched bracket; {FORM}"),
        ("a]", f"'a]' has an unmatched bracket; {FORM}"),
        ("]a[", f"']a[' has an unmatched bracket; {FORM}"),
        ("[['a'], ['b']]", f"'[['a'], ['b']]' is a list within a list; {FORM}"),
        ("['a'], ['b']", f"'['a'], ['b']' is a list within a list; {FORM}"),
        ("['a', ['b']]", f"'['a', ['b']]' is a list within a list; {FORM}"),
        ("{'a', 'b'}", f"'{{'a', 'b'}}' has curly brackets; {FORM}"),
        ("('a', 'b')", f"'('a', 'b')' has round brackets around labels; {FORM}"),
        ("(a, b)", f"'(a, b)' has round brackets around labels; {FORM}"),
        ("['a', 3]", f"'['a', 3]' contains 3, which is not a label; {FORM}"),
        ("['a', -0.5]", f"'['a', -0.5]' contains -0.5, which is not a label; {FORM}"),
        ("happy, 3", f"'3' is not a label; {FORM}"),
        ("['3']", f"'3' is not a label; {FORM}"),
        ("1e-3", f"'1e-3' is not a label; {FORM}"),
        ("nan", f"'nan' is not a label; {FORM}"),
        ("[" * 1000, f"'{'[' * 59}…' has an unmatched bracket; {FORM}"),
        ("a\x1b[b", f"'a\\x1b[b' has an unmatched bracket; {FORM}"),
    ],
)  # fmt: skip
def test_a_cell_that_cannot_be_read_is_not_an_empty_set(cell: str | None, expected: str, split: Split) -> None:
    assert message(cell, split) == expected


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("[happy, sad]", f"'[happy, sad]' has happy without quotes; {FORM}"),
        ("[None]", f"'[None]' has None without quotes; {FORM}"),
        ("['a' 'b']", f"'['a' 'b']' lacks a comma between two labels; {FORM}"),
        ("['a',,'b']", f"'['a',,'b']' has an extra comma; {FORM}"),
        ("[f'a']", f"'[f'a']' has f… without quotes; {FORM}"),
        ("'a', 'b'", f"''a', 'b'' has quotes but no brackets; {FORM}"),
        ("['don't go', 'x']", f"'['don't go', 'x']' has an unmatched quote; {FORM}"),
        (r"['\x4']", rf"'['\x4']' contains an escape that cannot be read; {FORM}"),
        (r'["\ud83d"]', rf"""'["\ud83d"]' contains an escape that cannot be read; {FORM}"""),
        (r"['\d']", rf"'['\d']' contains an escape that cannot be read; {FORM}"),
    ],
)  # fmt: skip
def test_python_is_strict(cell: str, expected: str) -> None:
    assert message(cell, "python") == expected


@pytest.mark.parametrize("split", ["official", "python"])
def test_an_empty_set_can_be_read(split: Split) -> None:
    result = read_label_lists(pa.array(["[]", "['a']", " [ ] ", "['']", "", '["", " "]']), split=split)
    assert result.empty.tolist() == [0, 2, 3, 5]
    assert [bad.row for bad in result.bad] == [4]


def test_a_thousand_labels_are_read_and_one_more_is_not() -> None:
    counts = [1_000, 1_001, 10_000]
    for column in (pa.array([", ".join(["happy"] * n) for n in counts]), pa.array([["happy"] * n for n in counts])):
        result = read_label_lists(column)
        assert np.diff(result.lists.offsets).tolist() == [1_000, 0, 0]
        assert [(bad.row, bad.message) for bad in result.bad] == [
            (1, "contains 1,001 labels; at most 1,000 are read"),
            (2, "contains 10,000 labels; at most 1,000 are read"),
        ]


def test_list_columns_obey_the_same_rule() -> None:
    column = pa.array([["Happy ", "don't care"], [], None, ["sad", None], ["7"], [""]])
    official, python = (read_label_lists(column, split=split) for split in ("official", "python"))
    assert [list(row) for row in official.lists] == [["happy", "don", "t care"], [], [], [], [], []]
    assert [list(row) for row in python.lists] == [["happy", "don't care"], [], [], [], [], []]
    for result in (official, python):
        assert result.empty.tolist() == [1, 5]
        assert [(bad.row, bad.message) for bad in result.bad] == [
            (2, f"empty; {FORM}"),
            (3, f"an item of the list is empty; {FORM}"),
            (4, f"'7' is not a label; {FORM}"),
        ]


@pytest.mark.parametrize("kind", [pa.list_(pa.string()), pa.large_list(pa.large_string()), pa.list_(pa.string(), 2)])
def test_every_list_of_text_is_read_slices_too(kind: pa.DataType) -> None:
    column = pa.array([["x", "y"], ["a", "b"], ["b", "c"]], kind)
    assert list(read_label_lists(column[1:]).lists) == [("a", "b"), ("b", "c")]


@pytest.mark.parametrize(
    "column",
    [
        pa.chunked_array([["x, y", "['a']"], ["b"]])[1:],
        pa.array(["x", "['a']", "b"], pa.large_string())[1:],
        pa.array(["x", "['a']", "b"]).dictionary_encode()[1:],
        pa.array(["x", "['a']", "b"], pa.string_view())[1:],
    ], ids=["chunks", "large", "dictionary", "view"],
)  # fmt: skip
def test_every_column_of_text_is_read_slices_too(column: pa.Array) -> None:
    assert list(read_label_lists(column).lists) == [("a",), ("b",)]


def test_no_rows_and_nothing_but_nulls() -> None:
    assert len(read_label_lists(pa.array([], pa.string())).lists) == 0
    assert [bad.row for bad in read_label_lists(pa.nulls(2)).bad] == [0, 1]
    assert [bad.row for bad in read_label_lists(pa.nulls(2, pa.list_(pa.null()))).bad] == [0, 1]


@pytest.mark.parametrize("column", [pa.array([1, 2]), pa.array([[1]]), pa.array([[["a"]]])])
def test_other_columns_are_refused(column: pa.Array) -> None:
    text = f"a column of {column.type} does not contain sets of labels: text or lists of text are needed"
    with pytest.raises(UsageError, match=f"^{re.escape(text)}$"):
        read_label_lists(column)


WORDS = st.text(st.sampled_from("abzé惊-. "), min_size=1, max_size=5).filter(str.strip)
SETS = st.lists(st.lists(WORDS, max_size=4), max_size=6)


def official_oracle(cell: str) -> list[str]:
    """Strip one pair of brackets, split on quotes and commas, trim, lower-case, drop empties."""
    inner = cell.strip()[1:-1]
    return [part.strip().lower() for part in re.split("['\",]", inner) if part.strip()]


@given(sets=SETS)
def test_lists_as_python_prints_them_come_back(sets: list[list[str]]) -> None:
    cells = [str(labels) for labels in sets]
    for split in ("official", "python"):
        result = read_label_lists(pa.array(cells, pa.string()), split=split)
        assert not result.bad
        assert [list(row) for row in result.lists] == [official_oracle(cell) for cell in cells]
        assert [list(row) for row in result.lists] == [[word.strip().lower() for word in row] for row in sets]


def scorer_of_2024(cell: str) -> list[str]:
    """Split a cell as the released scorer of MER 2024 does, and lower-case its words as that does."""
    inner = cell[cell.index("[") + 1 :]
    return [piece.lower() for piece in re.split("['\"]", inner[: inner.index("]")]) if piece.strip() not in ("", ",")]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("['happy', 'sad']", ["happy", "sad"]),
        ("['sad, tired', 'CALM']", ["sad, tired", "calm"]),
        ("[' happy', 'happy ']", [" happy", "happy "]),
        ("[\"don't believe\", 'sad']", ["don", "t believe", "sad"]),
        ("[Happy, sad]", ["happy, sad"]),
        ("['a' , 'b',]", ["a", "b"]),
        ("['a',, 'b']", ["a", ",, ", "b"]),
        ("I say ['a'] and ['b']", ["a"]),
        ("['a', 'b]", ["a", "b"]),
        ("['(a) {b}']", ["(a) {b}"]),
    ],
)  # fmt: skip
def test_the_scorer_of_2024_splits_at_quotes_only(cell: str, expected: list[str]) -> None:
    assert labels(cell, "mer2024") == expected == scorer_of_2024(cell)


def test_an_empty_set_of_2024_is_empty_and_others_are_reported() -> None:
    cells = ["[]", "", "['', ' ']", "happy, sad", "['a'", "a]", "[['a'], ['b']]", "['3']", None]
    result = read_label_lists(pa.array(cells), split="mer2024")
    assert result.empty.tolist() == [0, 2]
    form = "a set is written ['happy', 'sad']"
    assert [(bad.row, bad.message) for bad in result.bad] == [
        (1, f"empty; {form}"),
        (3, f"'happy, sad' has no brackets; {form}"),
        (4, f"'['a'' has an unmatched bracket; {form}"),
        (5, f"'a]' has an unmatched bracket; {form}"),
        (6, f"'[['a'], ['b']]' is a list within a list; {form}"),
        (7, f"'3' is not a label; {form}"),
        (8, f"empty; {form}"),
    ]


def test_items_of_lists_are_split_as_in_2024() -> None:
    column = pa.array([[" Happy", "sad, tired", "don't"], ["", ","], None])
    result = read_label_lists(column, split="mer2024")
    assert [list(row) for row in result.lists] == [[" happy", "sad, tired", "don", "t"], [], []]
    assert result.empty.tolist() == [1]
    assert [bad.message for bad in result.bad] == ["empty; a set is written ['happy', 'sad']"]


@given(sets=st.lists(st.lists(st.text("ab ,'\"", max_size=6), max_size=4), max_size=5))
def test_lists_as_python_prints_them_are_split_as_in_2024(sets: list[list[str]]) -> None:
    cells = [str(labels) for labels in sets]
    result = read_label_lists(pa.array(cells, pa.string()), split="mer2024")
    assert not result.bad
    assert [list(row) for row in result.lists] == [scorer_of_2024(cell) for cell in cells]


@pytest.mark.slow
@given(cells=st.lists(st.one_of(st.none(), st.text("[]'\", ab3\\(){}", max_size=12)), max_size=6))
def test_a_cell_is_read_or_reported_whatever_is_in_it(cells: list[str | None]) -> None:
    for split in get_args(Split):
        together = read_label_lists(pa.array(cells, pa.string()), split=split)
        bad = {cell.row: cell.message for cell in together.bad}
        for row, cell in enumerate(cells):
            alone = read_label_lists(pa.array([cell], pa.string()), split=split)
            assert [item.message for item in alone.bad] == ([bad[row]] if row in bad else [])
            assert next(iter(alone.lists)) == list(together.lists)[row]
            if row not in bad and not list(together.lists)[row]:
                assert row in together.empty
