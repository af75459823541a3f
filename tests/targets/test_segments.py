"""How segments are read: every form, and every cell that is wrong, with its message."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merbench.errors import UsageError
from merbench.targets.segments import segment_lists

LABELS = ("real", "fake", "half-fake")
STRUCT = pa.struct([("label", pa.string()), ("start_s", pa.float64()), ("end_s", pa.float64())])
FORM = "segments are written label-start-end in seconds, such as real-0.00-1.25, with spaces between them"


def read(cells: list[Any], durations: list[float | None] | None = None, kind: pa.DataType | None = None) -> Any:
    """Return the segments of every cell as tuples, and the messages by row."""
    given_ = None if durations is None else pa.array(durations, pa.float64())
    segments, bad = segment_lists(pa.array(cells, kind or pa.string()), LABELS, given_)
    items = list(zip(segments.codes.tolist(), segments.start_s.tolist(), segments.end_s.tolist(), strict=True))
    assert len(segments) == len(cells)
    return [items[start:end] for start, end in pairwise(segments.offsets.tolist())], {c.row: c.message for c in bad}


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("real-0.00-1.25 fake-1.25-2.5", [(0, 0, 1.25), (1, 1.25, 2.5)]),
        ("  fake-1-2\treal-0-1\n", [(1, 1, 2), (0, 0, 1)]),
        ("half-fake-0-1", [(2, 0, 1)]),
        ("fake-.5-5.", [(1, 0.5, 5)]),
        ("fake-1e-1-2E0", [(1, 0.1, 2)]),
        ("fake-0-1 fake-3-4", [(1, 0, 1), (1, 3, 4)]),
        ("", []),
        ("  ", []),
        (None, []),
    ],
)  # fmt: skip
def test_forms_of_a_cell(cell: str | None, expected: list[tuple[int, float, float]]) -> None:
    assert read([cell]) == ([expected], {})
    assert read(["real-0-1", cell, "fake-0-9"]) == ([[(0, 0, 1)], expected, [(1, 0, 9)]], {})


WRONG = [
    ("fkae-0-1", "'fkae-0-1' has the label 'fkae', which is not one of real, fake, half-fake; did you mean 'fake'?"),
    ("Fake-0-1", "'Fake-0-1' has the label 'Fake', which is not one of real, fake, half-fake; did you mean 'fake'?"),
    ("fake--0.5-1", "'fake--0.5-1' begins at -0.5 s, before 0"),
    ("fake-2-1.5", "'fake-2-1.5' ends at 1.5 s, not after it begins at 2 s"),
    ("fake-2-2", "'fake-2-2' ends at 2 s, not after it begins at 2 s"),
    ("real-0-2 fake-1.5-3", "'fake-1.5-3' overlaps 'real-0-2'"),
    ("fake-1.5-3 real-0-2", "'fake-1.5-3' overlaps 'real-0-2'"),
    ("fake-0-9 real-1-2 real-3-4", "'real-1-2' overlaps 'fake-0-9'"),
    ("fake-1-2 fake-1-2", "'fake-1-2' overlaps 'fake-1-2'"),
    ("fake", f"'fake' is not a segment; {FORM}"),
    ("fake-1", f"'fake-1' is not a segment; {FORM}"),
    ("real-0-1,fake-1-2", f"'real-0-1,fake-1-2' is not a segment; {FORM}"),
    ("fake-0-1 x", f"'x' is not a segment; {FORM}"),
    ("fake-0,5-1,5", f"'fake-0,5-1,5' is not a segment; {FORM}"),
    ("fake-0-nan", f"'fake-0-nan' is not a segment; {FORM}"),
    ("fake-0-1e999", f"'fake-0-1e999' is not a segment; {FORM}"),
]


def test_all_wrong_cells_are_reported_at_once() -> None:
    cells, messages = zip(*WRONG, strict=True)
    assert read(list(cells)) == ([[]] * len(cells), dict(enumerate(messages)))


def test_a_cell_is_reported_the_worst_that_is_wrong_with_it() -> None:
    assert read(["fake-3-2 fkae-0-1 x"]) == ([[]], {0: f"'x' is not a segment; {FORM}"})


def test_segments_past_the_end_of_their_sample() -> None:
    result, bad = read(["fake-0-2.01", "fake-0-2.02", "fake-0-99"], [2.0, 2.0, None])
    assert result == [[(1, 0, 2.01)], [], [(1, 0, 99)]]
    assert bad == {1: "'fake-0-2.02' ends at 2.02 s, past the end of the sample at 2 s"}


def test_lists_of_a_parquet_file() -> None:
    def item(label: str | None, start: float | None, end: float | None) -> dict[str, Any]:
        return {"label": label, "start_s": start, "end_s": end}

    cells = [[item("real", 0, 1), item("fake", 1, 2)], [], None, [item("fake", 0, None)], [item("joy", 0, 1)], [None]]
    cells.append([item("fake", 2, 3), item("real", 0, 2.5)])
    for kind in (pa.list_(STRUCT), pa.large_list(STRUCT)):
        result, bad = read(cells, kind=kind)
        assert result == [[(0, 0, 1), (1, 1, 2)], [], [], [], [], [], []]
        assert bad == {
            3: f"'fake-0-nan' is not a segment; {FORM}",
            4: "'joy-0-1' has the label 'joy', which is not one of real, fake, half-fake",
            5: f"'None-nan-nan' is not a segment; {FORM}",
            6: "'fake-2-3' overlaps 'real-0-2.5'",
        }


@pytest.mark.parametrize("kind", [pa.float64(), pa.list_(pa.string()), pa.list_(pa.struct([("label", pa.string())]))])
def test_other_columns_are_refused(kind: pa.DataType) -> None:
    with pytest.raises(
        UsageError, match=r"does not contain segments: text, or lists of structs of label, start_s, end_s are"
    ):
        segment_lists(pa.array([], kind), LABELS)


def test_no_cells() -> None:
    assert read([]) == ([], {})


@pytest.mark.slow
@given(
    st.lists(st.lists(st.integers(0, 40), min_size=2, max_size=8, unique=True).map(sorted), max_size=6), st.randoms()
)
def test_what_is_written_is_read(cuts: list[list[int]], random: Any) -> None:
    expected = [[(random.randrange(3), a / 4, b / 4) for a, b in pairwise(row)] for row in cuts]
    for row in expected:
        random.shuffle(row)
    cells = [" ".join(f"{LABELS[code]}-{start}-{end}" for code, start, end in row) for row in expected]
    assert read(cells) == (expected, {})
