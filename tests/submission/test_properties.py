"""Whatever the bytes, a reader gives a checked submission or a clear error; `fuzzing` mutates files of every format."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pyarrow as pa
import pytest
from blind_candidates import LABELS, blind_candidates, csv_rows, csv_text, sample_ids
from hypothesis import given, settings
from hypothesis import strategies as st

from merbench.errors import InvalidSubmission
from merbench.submission import read_submission

N = 12
COLUMNS = {
    "sample_id": sample_ids(N),
    "discrete": [LABELS[i % 6] for i in range(N)],
    "valence": [i / 10 for i in range(N)],
}


@pytest.fixture(autouse=True, scope="module")
def _no_other_tracks() -> Iterator[None]:
    """Leave out the guess at the track a file was made for, which reads every declaration each time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("merbench.submission.wrong_track.list_folders", lambda noun: [])
        yield


def as_jsonl() -> bytes:
    rows = zip(*COLUMNS.values(), strict=True)
    return "".join(json.dumps(dict(zip(COLUMNS, row, strict=True))) + "\n" for row in rows).encode()


CSV = csv_text(csv_rows(N)).encode()


CELL = st.one_of(
    st.sampled_from([*LABELS, *COLUMNS["sample_id"], "0.5", "-5", "nan", "1e999", '"', "=1", " ", ""]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(st.lists(CELL, min_size=1, max_size=4), max_size=15),
    quote=st.booleans(),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_random_tables(tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], quote: bool, end: str) -> None:
    """Lines that messages name are lines that the file has."""
    mark = '"' if quote else ""
    lines = [",".join(f"{mark}{cell}{mark}" for cell in row) for row in [list(COLUMNS), *rows]]
    folder = tmp_path_factory.getbasetemp()
    path = folder / "table.csv"
    text = end.join(lines)
    path.write_bytes(text.encode())
    candidates = blind_candidates(folder / "t", COLUMNS["sample_id"])
    try:
        read_submission(path, candidates)
    except InvalidSubmission as error:
        n_lines = len(io.StringIO(text, newline="").readlines())
        assert all(problem.line is None or 1 <= problem.line <= n_lines for problem in error.problems)


@settings(max_examples=50, deadline=None)
@given(order=st.permutations(range(N)), suffix=st.sampled_from(["csv", "jsonl"]))
def test_the_order_of_rows_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], suffix: str
) -> None:
    folder = tmp_path_factory.getbasetemp()
    candidates = blind_candidates(folder / "t", COLUMNS["sample_id"])
    header, rows = ([CSV.splitlines()[0]], CSV.splitlines()[1:]) if suffix == "csv" else ([], as_jsonl().splitlines())
    path = folder / f"order.{suffix}"
    path.write_bytes(b"\n".join([*header, *(rows[i] for i in order)]))
    shuffled = read_submission(path, candidates)
    assert shuffled.digest == read_submission(pa.table(COLUMNS), candidates).digest
    assert shuffled.values["discrete"].tolist() == [i % 6 for i in range(N)]
