"""Every format gives the same values, and every format's own traps are refused by name."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from blind_candidates import LABELS, csv_rows, csv_text, sample_ids
from fuzzing.mutations import field_of, with_footer
from peak_memory import peak_bytes

from merbench.corpus.candidates import Candidates
from merbench.errors import InvalidSubmission
from merbench.submission import Submission, read_submission
from merbench.submission.parquet import Demand, demand, read_footer

Read = Callable[..., Submission]
Refused = Callable[..., str]
Make = Callable[..., Candidates]

IDS = sample_ids(12)
ANSWERS = [LABELS[i % 6] for i in range(12)]
NUMBERS = [i / 10 for i in range(12)]
COLUMNS: dict[str, Any] = {"sample_id": IDS, "discrete": ANSWERS, "valence": NUMBERS}
GOOD = csv_text(csv_rows(12))


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **{name: np.asarray(array) for name, array in arrays.items()})
    return file.getvalue()


def parquet(table: pa.Table | dict[str, Any], **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), file, **options)
    return file.getvalue()


def jsonl(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


ROWS = [dict(zip(COLUMNS, row, strict=True)) for row in zip(IDS, ANSWERS, NUMBERS, strict=True)]


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (GOOD.replace("\n", "\r\n").encode(), "a.csv"),
        (GOOD.replace("\n", "\r").encode(), "a.csv"),
        (GOOD.rstrip("\n").encode(), "a.csv"),
        (b"\xef\xbb\xbf" + GOOD.encode(), "a.csv"),
        (b"\r\n\n" + GOOD.replace("\n", "\n\n").encode(), "a.csv"),
        (("\n".join(",".join(f'"{c}"' for c in line.split(",")) for line in GOOD.splitlines())).encode(), "a.csv"),
        (GOOD.replace(",", "\t").encode(), "a.tsv"),
        (jsonl(ROWS), "a.jsonl"),
        (jsonl(ROWS).replace(b"\n", b"\r\n\r\n"), "a.jsonl"),
        (b"\xef\xbb\xbf" + jsonl([dict(reversed(row.items())) for row in ROWS]), "a.ndjson"),
        (jsonl([{**row, "valence": str(row["valence"])} for row in ROWS]), "a.jsonl"),
        (parquet(COLUMNS), "a.parquet"),
        (parquet(COLUMNS, compression="zstd", data_page_version="2.0", row_group_size=5), "a.parquet"),
        (parquet(COLUMNS, compression="none", use_dictionary=False), "a.pq"),
        (parquet({**COLUMNS, "discrete": pa.array(ANSWERS).dictionary_encode()}), "a.parquet"),
        (parquet({**COLUMNS, "sample_id": pa.array(IDS, pa.large_string())}), "a.parquet"),
        (npz(**COLUMNS), "a.npz"),
        (npz(**{**COLUMNS, "sample_id": np.array(IDS, "S"), "discrete": np.array(ANSWERS, ">U12")}), "a.npz"),
        (npz(**{**COLUMNS, "valence": np.array(NUMBERS, ">f8")}), "a.npz"),
    ],
)  # fmt: skip
def test_every_format_gives_one_submission(read: Read, data: bytes, name: str) -> None:
    submission = read(data, name)
    assert submission.digest == read(GOOD).digest
    assert (submission.n_rows, submission.warnings) == (12, ())


def frame(**changes: Any) -> pd.DataFrame:
    return pd.DataFrame({**COLUMNS, **changes})


@pytest.mark.parametrize(
    "table",
    [
        pa.table(COLUMNS),
        pa.concat_tables([pa.table(COLUMNS).slice(0, 5), pa.table(COLUMNS).slice(5)]),
        frame(),
        frame().set_index("sample_id"),
        frame().sample(frac=1, random_state=0),
        frame(discrete=pd.Categorical(ANSWERS)),
        frame(valence=pd.array(NUMBERS, dtype="Float64")),
        frame(valence=[str(number) if i % 2 else number for i, number in enumerate(NUMBERS)]),
    ],
)  # fmt: skip
def test_tables_in_memory(read: Read, candidates: Candidates, table: pa.Table | pd.DataFrame) -> None:
    assert read_submission(table, candidates).digest == read(GOOD).digest


def test_a_data_frame_with_nothing_and_not_a_number_in_it(candidates: Candidates) -> None:
    odd = frame(discrete=[None, *ANSWERS[1:]], valence=[0.0, np.nan, *NUMBERS[2:]])
    with pytest.raises(InvalidSubmission) as caught:
        read_submission(odd, candidates)
    assert str(caught.value) == (
        "data frame: 2 problems\n"
        "  E205  discrete: row 1: empty; one of neutral, angry, happy, sad, worried, surprise is needed\n"
        "  E204  valence: row 2: 'nan' is not a number in [-5, 5]"
    )


def test_whole_numbers_may_be_ids_and_values(make_candidates: Make) -> None:
    candidates = make_candidates(["7", "8"], {"valence": {"type": "continuous", "range": [0, 9]}})
    table = pa.table({"sample_id": pa.array([8, 7], pa.int64()), "valence": pa.array([1, 2], pa.int8())})
    assert read_submission(table, candidates).values["valence"].tolist() == [2.0, 1.0]


def test_probabilities_in_arrays(read: Read, make_candidates: Make) -> None:
    candidates = make_candidates(3, {"mood": {"type": "categorical", "labels": ["a", "b"]}})
    submission = read(npz(sample_id=sample_ids(3), p_b=[0.25, 1, 0], p_a=[0.75, 0, 1]), "a.npz", of=candidates)
    assert submission.probabilities["mood"].tolist() == [[0.75, 0.25], [0, 1], [1, 0]]


def member(name: str, data: bytes, **attributes: Any) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        info = zipfile.ZipInfo(name)
        info.compress_type = zipfile.ZIP_DEFLATED
        for key, value in attributes.items():
            setattr(info, key, value)
        archive.writestr(info, data)
    return file.getvalue()


def header_only(shape: str, dtype: str) -> bytes:
    """Return an array's header, which asks for what does not follow."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def encrypted() -> bytes:
    """Return an archive whose only member has the flag of an encrypted one."""
    data = bytearray(npz(sample_id=IDS))
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(magic) + offset] |= 1
    return bytes(data)


def many_members() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for i in range(1001):
            archive.writestr(f"{i}.npy", b"")
    return file.getvalue()


def twice(other: str) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("sample_id.npy", b"")
        archive.writestr(other, b"")
    return file.getvalue()


def old_header() -> bytes:
    """Return an id array as an old NumPy under Python 2 wrote its shape."""
    text = "{'descr': '<U2', 'fortran_order': False, 'shape': (1L,), }".ljust(117) + "\n"
    data = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + "ab".encode("utf-32-le")
    return member("sample_id.npy", data)


NO_HEADER = "its header is not that of an .npy file"
STRANGE_HEADERS = [
    ("(-9,)", "<U3", NO_HEADER),
    ("(True,)", "<U3", NO_HEADER),
    ("(" * 90, "<U3", NO_HEADER),
    ("-" * 9000 + "1", "<U3", NO_HEADER),
    ("(9,)", "<U3', 'x': '", NO_HEADER),
    ("(9,)", "<q3", "'<q3' is not a type of items"),
]
UNSAFE = "unsafe names; an NPZ has only plain '<column>.npy' members"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (npz(sample_id=IDS, discrete=np.array(ANSWERS, dtype=object)), "E107  array 'discrete' contains Python objects (a pickle), which are never read"),
        (member("sample_id.npy", header_only("(20000,)", "<U10000")), "E104  array 'sample_id' asks for 800,000,000 bytes; 160,000,000 of 160,000,000 are left"),
        (member("sample_id.npy", header_only("(10000000000,)", "<U0")), "E104  asks for 10,000,000,000 rows; 1,000,000 are allowed"),
        (member("sample_id.npy", header_only("(9,)", "<U3")), "E109  a corrupted NPZ file: array 'sample_id': ends after 0 of 108 bytes"),
        *((member("sample_id.npy", header_only(shape, kind)), f"E109  a corrupted NPZ file: array 'sample_id': {result}") for shape, kind, result in STRANGE_HEADERS),
        (member("sample_id.npy", header_only("(1,)", "<U1") + b"\0\0\x11\0"), "E109  a corrupted NPZ file: array 'sample_id': its text contains numbers that are not characters"),
        (npz(**{**COLUMNS, "discrete": [b"\xff"] * 12}), "E109  a corrupted NPZ file: array 'discrete': byte 0xFF is not UTF-8"),
        (member("sample_id.npy", header_only("(1,)", "<U1"), create_version=255, extract_version=255), "E109  a corrupted NPZ file: its content cannot be unpacked"),
        (member("sample_id.npy", header_only("(2, 2)", "<f8")), "E208  array 'sample_id' has the shape (2, 2); one item per row is needed"),
        (member("sample_id.npy", header_only("()", "<f8")), "E208  array 'sample_id' has the shape (); one item per row is needed"),
        (npz(sample_id=np.array([1j])), "E208  array 'sample_id' contains complex128; text or numbers are needed"),
        (npz(sample_id=np.zeros(2, "f8,f8")), "E208  array 'sample_id' has fields; a plain column is needed"),
        (npz(sample_id=IDS, discrete=ANSWERS[1:], valence=NUMBERS), "E206  the arrays differ in length: sample_id 12, discrete 11, valence 12"),
        (member("sample_id.npy", b"no array"), "E109  a corrupted NPZ file: array 'sample_id': does not begin as an .npy file does"),
        (member("../sample_id.npy", b""), f"E105  {UNSAFE}: ../sample_id.npy"),
        (member("/etc/passwd", b""), f"E105  {UNSAFE}: /etc/passwd"),
        (member("C:\\x.npy", b""), f"E105  {UNSAFE}: C:\\x.npy"),
        (member("link.npy", b"/etc/passwd", external_attr=0o120777 << 16), f"E105  {UNSAFE}: link.npy"),
        (encrypted(), "E105  encrypted members: sample_id.npy"),
        (many_members(), "E105  an archive of 1,001 members; an NPZ has at most 1,000"),
        (twice("sample_id.npy"), "E105  members that occur twice: sample_id"),
        (twice("sample_id"), "E105  members that occur twice: sample_id"),
        (member("submission.csv", GOOD.encode()), "E108  a ZIP archive without arrays; pack a text table as .gz or .zst"),
        (npz(**COLUMNS)[:-40], "E109  a corrupted NPZ file: cut off: the end of the file is missing"),
        (npz(discrete=ANSWERS), "E201  no id column 'sample_id'; columns: 'discrete'\n  E202  valence: the column is missing; columns: 'discrete'"),
    ],
)  # fmt: skip
def test_archives_that_are_refused(refused: Refused, data: bytes, problem: str) -> None:
    n = problem.count("\n") + 1
    assert refused(data, "submission.npz") == f"submission.npz: {n} problem{'s' if n > 1 else ''}\n  {problem}"


@pytest.mark.slow
def test_what_is_behind_an_array_is_never_unpacked(refused: Refused) -> None:
    data = member("sample_id.npy", header_only("(2,)", "<U3") + b"\0" * 200_000_000)
    before = peak_bytes()
    assert "E305  row 1: the id is empty" in refused(data, "submission.npz")
    assert peak_bytes() - before < 100_000_000


def test_headers_of_an_old_numpy_bring_no_warning(refused: Refused) -> None:
    assert "E302  row 1: id 'ab' is not a candidate" in refused(old_header(), "submission.npz")


NESTED = pa.table({**COLUMNS, "discrete": [[answer] for answer in ANSWERS]})


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (parquet(NESTED), "E208  discrete: contains list<element: string>; text or numbers are needed"),
        (parquet({**COLUMNS, "discrete": pa.array([b"\xff"] * 12, pa.binary())}), "E208  discrete: contains binary; text or numbers are needed"),
        (parquet(COLUMNS)[:-9], "E109  a corrupted Parquet file: cut off: the end of the file is missing"),
        (b"PAR1", "E109  a corrupted Parquet file: cut off: the end of the file is missing"),
    ],
)  # fmt: skip
def test_parquet_that_is_refused(refused: Refused, data: bytes, problem: str) -> None:
    assert refused(data, "submission.parquet") == f"submission.parquet: 1 problem\n  {problem}"


@pytest.mark.parametrize(
    ("table", "asked"),
    [
        # 40,000 rows of 64 + 64 + 8 bytes, and three words; on disk a run of one value.
        ({"sample_id": ["x"] * 40_000, "discrete": ["sad"] * 40_000, "valence": [0.0] * 40_000}, "5,440,04"),
        # One text of a megabyte: a page that unpacks to it, though there are two rows.
        ({"sample_id": ["x", "x" * 1_000_000], "discrete": ["sad"] * 2, "valence": [0.0] * 2}, "1,00"),
        # A text of 10 kB in a thousand rows, once in the file.
        ({"sample_id": ["x" * 10_000] * 1000, "discrete": ["sad"] * 1000, "valence": [0.0] * 1000}, "10,003,000"),
    ],
)
def test_parquet_that_asks_for_too_much(refused: Refused, make_candidates: Make, table: Any, asked: str) -> None:
    message = refused(parquet(table, compression="zstd"), "a.parquet", of=make_candidates(max_bytes=20_000))
    assert f"E104  asks for {asked}" in message
    assert message.endswith(" bytes of memory; 160,000 are allowed")


def test_pages_are_counted_before_one_is_unpacked(
    refused: Refused, make_candidates: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two rows and few words, by the footer; only a page header shows the text of a megabyte.
    data = parquet(
        {"sample_id": ["x", "x" * 1_000_000], "discrete": ["sad"] * 2, "valence": [0.0] * 2}, compression="zstd"
    )

    def read(*arguments: Any, **options: Any) -> pa.Table:
        raise AssertionError("a page was unpacked")

    for name in ("read", "read_row_group"):
        monkeypatch.setattr(pq.ParquetFile, name, read)
    assert "E104  asks for 1,00" in refused(data, "a.parquet", of=make_candidates(max_bytes=20_000))


LONG = {"sample_id": [f"x{i}" for i in range(1000)], "discrete": ["x" * 10_000] * 1000, "valence": [0.0] * 1000}


@pytest.mark.parametrize(
    "column",
    [
        pa.array(LONG["discrete"]).dictionary_encode(),
        pa.array(LONG["discrete"]).cast(pa.large_string()).dictionary_encode(),
        pa.array(LONG["discrete"]).cast(pa.binary()),
    ],
)  # fmt: skip
def test_a_long_text_in_a_dictionary_is_counted_in_every_row(
    refused: Refused, make_candidates: Make, column: pa.Array
) -> None:
    data = parquet({**LONG, "discrete": column})
    assert len(data) < 20_000
    assert refused(data, "a.parquet", of=make_candidates(max_bytes=20_000)) == (
        "a.parquet: 1 problem\n  E104  asks for 10,003,890 bytes of memory; 160,000 are allowed"
    )  # 1,000 texts of 10,000 bytes, and the ids: 10 of 2 bytes, 90 of 3, 900 of 4


def test_a_long_label_of_segments_is_counted_in_every_row(refused: Refused, make_candidates: Make) -> None:
    cell = [{"label": "x" * 10_000, "start_s": 0.0, "end_s": 1.0, "note": "y"}]
    candidates = make_candidates(3, {"s": {"type": "segments", "labels": ["fake", "x"]}}, max_bytes=20_000)
    data = parquet({"sample_id": sample_ids(100), "s": [cell] * 100})
    # 100 labels of 10,000 bytes and 100 ids of 15 bytes.
    assert "E104  asks for 1,001,500 bytes of memory" in refused(data, "a.parquet", of=candidates)


def test_text_that_may_unpack_to_any_size_is_refused(refused: Refused) -> None:
    data = parquet(COLUMNS, use_dictionary=False, column_encoding={"discrete": "DELTA_BYTE_ARRAY"})
    assert "E105  text packed as DELTA_BYTE_ARRAY, which may unpack to any size" in refused(data, "a.parquet")


def test_lists_in_several_row_groups_are_read(read: Read, make_candidates: Make) -> None:
    candidates = make_candidates(4, {"w": {"type": "label_set"}, "s": {"type": "segments", "labels": ["fake", "b"]}})
    words, cells = (
        [["x"], ["y", "z"], ["x"], ["z"]],
        [[{"label": label, "start_s": 0, "end_s": 1}] for label in ("fake", "b", "b", "fake")],
    )
    columns = {"sample_id": sample_ids(4), "w": words, "s": cells}
    complete = read(parquet(columns), "a.parquet", of=candidates)
    assert read(parquet(columns, row_group_size=2), "a.parquet", of=candidates).digest == complete.digest
    assert complete.values["s"].codes.tolist() == [0, 1, 1, 0]  # type: ignore[union-attr]


def test_parquet_without_any_column_of_the_track(refused: Refused) -> None:
    message = refused(parquet({"a": [1], "b": [2]}), "a.parquet")
    assert "E201  the first column is 'a', it must be the id column 'sample_id'" in message


def test_durations_are_not_numbers(refused: Refused, candidates: Candidates) -> None:
    table = pa.table({**COLUMNS, "valence": pa.array(range(12), pa.duration("s"))})
    assert "E208  valence: contains duration[s]; text or numbers are needed" in refused(parquet(table), "a.parquet")
    with pytest.raises(InvalidSubmission, match=r"E208  valence: contains duration\[s\]"):
        read_submission(table, candidates)


def changed_footer(path: tuple[int, ...], change: Callable[[list[Any]], None]) -> bytes:
    def apply(footer: list[Any]) -> None:
        change(field_of(footer, *path))

    return with_footer(parquet(COLUMNS, compression="none"), apply)


def histogram(metadata: list[Any]) -> None:
    """Give a column levels that do not fit it, where Arrow ends the process as soon as the column's metadata are asked."""
    metadata.append([16, 12, [[3, 9, [6, [1]]]]])


def set_field(number: int, value: int) -> Callable[[list[Any]], None]:
    def change(fields: list[Any]) -> None:
        next(field for field in fields if field[0] == number)[2] = value

    return change


def nested(depth: int) -> list[Any]:
    return [9, [nested(depth - 1)] if depth else []]


FIRST_COLUMN = (4, 0, 1, 0, 3)
DEEP = [[3, 5, 1], [4, 8, b"g"], [5, 5, 1]]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (changed_footer((4,), lambda groups: groups[1].clear()), "E111  there are no rows"),
        (changed_footer(FIRST_COLUMN, set_field(7, 10**9)), "E109  a corrupted Parquet file: a column is outside the file"),
        (changed_footer((), set_field(3, -1)), "E109  a corrupted Parquet file: a negative number of rows"),
        (changed_footer((), set_field(3, 10**12)), "E104  asks for 1,000,000,000,000 rows; 1,000,000 are allowed"),
        (changed_footer(FIRST_COLUMN, set_field(5, 10**9)), "E104  asks for 1,000,000,024 cells; 30,000,000 are allowed"),
        (changed_footer((2,), lambda schema: schema[1].extend([DEEP] * 1000)), "E109  a corrupted Parquet file: its columns are nested too deeply"),
        (changed_footer((), lambda footer: footer.append([9, 8, b"x" * 3_000_000])), "E109  a corrupted Parquet file: a footer of 3,000,8"),
        (changed_footer((), lambda footer: footer.append([9, 9, nested(100)])), "E109  a corrupted Parquet file: structs that are nested too deeply"),
    ],
)  # fmt: skip
def test_parquet_footers_that_state_what_is_not_so(refused: Refused, data: bytes, problem: str) -> None:
    assert problem in refused(data, "a.parquet")


def test_levels_that_do_not_fit_a_column_do_not_end_the_process(read: Read) -> None:
    try:
        assert read(changed_footer(FIRST_COLUMN, histogram), "a.parquet").digest == read(GOOD).digest
    except InvalidSubmission as error:  # by an Arrow that reads the levels
        assert str(error) == "a.parquet: 1 problem\n  E109  a corrupted Parquet file: its content cannot be unpacked"


@pytest.mark.parametrize(("version", "codec"), [("1.0", "snappy"), ("2.0", "none")])
def test_page_headers_are_stepped_over_to_the_last_byte(version: str, codec: str) -> None:
    table = {"sample_id": [f"x{i}" for i in range(5000)], "valence": np.arange(5000.0)}
    data = parquet(table, compression=codec, data_page_version=version, data_page_size=4096, row_group_size=2000)
    metadata = pq.read_metadata(pa.BufferReader(data))
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    reported = sum(group.column(i).total_uncompressed_size for group in groups for i in range(2))
    asked = demand(data, read_footer(data), {"sample_id": 64, "valence": 8})
    # Every value is in a dictionary, where it takes 16 bytes in addition to its text.
    assert (asked.rows, asked.cells, asked.memory) == (5000, 2 * 5000, 5000 * (64 + 8) + 2 * 5000 * 16)
    # The footer counts page headers too, some 20 to 100 bytes a page.
    assert 0.9 * reported < asked.page_bytes < reported


def test_a_column_of_lists_is_counted_by_its_items() -> None:
    data = parquet({"sample_id": ["a", "b"], "discrete": [["x"] * 30, ["y"] * 20]})
    asked = demand(data, read_footer(data), {"discrete.list.element": 8})
    assert (asked.rows, asked.cells, asked.memory) == (2, 50, 50 * 8 + 2 * 16)  # two words in the dictionary
    assert demand(data, read_footer(data), {}) == Demand(2, 0, 0, 0, frozenset())


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"sample_id": "sample_00000001", "discrete": "sad", "valence": NaN}', "E204  line 2, valence: 'NaN' is not a number in [-5, 5]"),
        ('{"sample_id": "sample_00000001", "discrete": "sad", "valence": 1e999}', "E204  line 2, valence: '1e999' is not a number in [-5, 5]"),
        ('{"sample_id": "sample_00000001", "discrete": "sad", "valence": ' + "9" * 5000 + "}", "E204  line 2, valence: '" + "9" * 59 + "…' is not a number in [-5, 5]"),
        ('{"sample_id": "sample_00000001", "discrete": "sad", "valence": null}', "E205  line 2, valence: empty; a number in [-5, 5] is needed"),
        ('{"sample_id": "sample_00000001", "discrete": "sad"}', "E205  line 2, valence: empty; a number in [-5, 5] is needed"),
        ('{"sample_id": "sample_00000001", "discrete": "sad", "valence": true}', "E204  line 2, valence: 'true' is not a number in [-5, 5]"),
        ('{"sample_id": "sample_00000001", "discrete": ["sad"], "valence": 1}', "E203  line 2, discrete: '[\"sad\"]' is not one of neutral, angry, happy, sad, worried, surprise; did you mean 'sad'?"),
        ('{"sample_id": "sample_00000001", "discrete": "\\ud800", "valence": 1}', "E203  line 2, discrete: '\\ud800' is not one of neutral, angry, happy, sad, worried, surprise"),
        ("[1, 2]", "E206  line 2: not a JSON object\n  E301  1 of 12 candidates missing: sample_00000001"),
        ('{"valence": x}', "E206  line 2: not a JSON object: it breaks at column 13, 'x}'\n  E301  1 of 12 candidates missing: sample_00000001"),
        ("{", "E206  line 2: not a JSON object: the line ends within it\n  E301  1 of 12 candidates missing: sample_00000001"),
        ('{"sample_id": "a", "sample_id": "b"}', "E206  line 2: not a JSON object: duplicate key\n  E301  1 of 12 candidates missing: sample_00000001"),
        ("[" * 100_000, "E206  line 2: JSON that is nested too deeply; 8 levels are allowed\n  E301  1 of 12 candidates missing: sample_00000001"),
    ],
)  # fmt: skip
def test_wrong_json_lines(refused: Refused, line: str, problem: str) -> None:
    lines = jsonl(ROWS).decode().splitlines()
    lines[1] = line
    n = problem.count("\n") + 1
    message = refused("\n".join(lines), "submission.jsonl")
    assert message == f"submission.jsonl: {n} problem{'s' if n > 1 else ''}\n  {problem}"


def test_a_csv_line_number_is_left_out_where_a_cell_is_too_long_to_count(read: Read, tmp_path: Path) -> None:
    rows = [f"{row}," for row in csv_rows(12)]
    rows[2] = f"{csv_rows(12)[2]},{'x' * 200_000}"
    rows[1] = "sample_00000001,sat,0.1,"
    rows[5] = "sample_00000005,mad,0.5,"
    with pytest.raises(InvalidSubmission) as caught:
        read(csv_text(rows, "sample_id,discrete,valence,transcript"))
    assert [problem.line for problem in caught.value.problems] == [3, None]


# Names of columns

OTHER_NAMES = {"name": "sample_id", "gpt4v": "discrete", "Open Mindedness": "valence"}
OTHERS = dict(zip(OTHER_NAMES, COLUMNS.values(), strict=True))
OTHER_ROWS = [dict(zip(OTHERS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)]
UNDER_OTHER_NAMES = [
    (GOOD.replace("sample_id,discrete,valence", "name,gpt4v,Open Mindedness").encode(), "a.csv"),
    (jsonl(OTHER_ROWS), "a.jsonl"),
    (parquet(OTHERS), "a.parquet"),
    (npz(**OTHERS), "a.npz"),
]


@pytest.mark.parametrize(("data", "name"), UNDER_OTHER_NAMES)
def test_columns_have_the_names_that_a_track_declares_or_a_user_gives(
    read: Read, make_candidates: Make, tmp_path: Path, data: bytes, name: str
) -> None:
    submission = read(data, name, make_candidates(aliases=OTHER_NAMES))
    assert submission.digest == read(GOOD).digest
    assert [str(warning) for warning in submission.warnings] == [
        "W204  columns read under other names that the track declares: "
        "'name' as sample_id, 'gpt4v' as discrete, 'Open Mindedness' as valence"
    ]
    (tmp_path / name).write_bytes(data)
    renamed = read_submission(tmp_path / name, make_candidates(), rename=OTHER_NAMES)
    assert (renamed.digest, renamed.warnings) == (submission.digest, ())


@pytest.mark.parametrize("table", [pa.table(OTHERS), pd.DataFrame(OTHERS), pd.DataFrame(OTHERS).set_index("name")])
def test_columns_of_tables_in_memory_are_renamed(
    read: Read, make_candidates: Make, table: pa.Table | pd.DataFrame
) -> None:
    digest = read(GOOD).digest
    assert read_submission(table, make_candidates(), rename=OTHER_NAMES).digest == digest
    assert read_submission(table, make_candidates(aliases=OTHER_NAMES)).digest == digest


def test_columns_may_exchange_their_names(candidates: Candidates, read: Read) -> None:
    swapped = pa.table({**COLUMNS, "discrete": COLUMNS["valence"], "valence": COLUMNS["discrete"]})
    result = read_submission(swapped, candidates, rename={"discrete": "valence", "valence": "discrete"})
    assert result.digest == read(GOOD).digest


def test_a_renamed_column_is_shown_under_its_new_name_as_it_was_written(tmp_path: Path, make_candidates: Make) -> None:
    path = tmp_path / "a.csv"
    path.write_text("sample_id,v\nsample_00000000,0.50\nsample_00000001,9.00\n", encoding="utf-8")
    candidates = make_candidates(2, {"valence": {"type": "continuous", "range": [0, 5]}})
    with pytest.raises(InvalidSubmission, match=r"E204  line 3, valence: '9\.00' is not a number in \[0, 5\]"):
        read_submission(path, candidates, rename={"v": "valence"})


@pytest.mark.parametrize(
    ("rename", "message"),
    [
        (
            {"emotoin": "discrete"},
            "emotoin: cannot be renamed to 'discrete': no such column; columns: 'sample_id', 'emotion', 'twice', "
            "'twice', 'valence', 'my emotion'; did you mean 'emotion'?",
        ),
        ({"emotion": "valence"}, "emotion: cannot be renamed to 'valence': column 'valence' already exists"),
        ({"emotion": "x", "valence": "x"}, "valence: cannot be renamed to 'x': another column gets this name, too"),
        ({"twice": "discrete"}, "twice: cannot be renamed to 'discrete': it occurs 2 times"),
        ({"discrete": "my emotion"}, "discrete: cannot be renamed to 'my emotion': did you mean --rename 'my emotion=discrete'?"),
        (
            {"emotion": "discreet"},
            "emotion: cannot be renamed to 'discreet': the track has no such column; its columns: 'sample_id', 'discrete', "
            "'valence', 'p_neutral', 'p_angry', 'p_happy', 'p_sad', 'p_worried', 'p_surprise'; did you mean 'discrete'?",
        ),
    ],
)  # fmt: skip
def test_a_column_that_cannot_be_renamed(candidates: Candidates, rename: dict[str, str], message: str) -> None:
    names = ["sample_id", "emotion", "twice", "twice", "valence", "my emotion"]
    table = pa.table([pa.array(IDS), *[pa.array(ANSWERS)] * 3, pa.array(NUMBERS), pa.array(ANSWERS)], names)
    with pytest.raises(InvalidSubmission) as caught:
        read_submission(table, candidates, rename=rename)
    assert f"E202  {message}" in [str(problem) for problem in caught.value.problems]


def test_a_column_under_two_names_is_an_error(make_candidates: Make) -> None:
    table = pa.table({**COLUMNS, "gpt4v": COLUMNS["discrete"]})
    with pytest.raises(InvalidSubmission) as caught:
        read_submission(table, make_candidates(aliases={"gpt4v": "discrete"}))
    assert [str(problem) for problem in caught.value.problems] == [
        "E202  discrete: the file has this column under 2 names, 'discrete', 'gpt4v'; keep one"
    ]
    # Under the file's own names all columns and ids would seem to be wrong, too.
    with pytest.raises(InvalidSubmission) as caught:
        aliases = {"name": "sample_id", "gpt4v": "discrete", "ov": "valence"}
        read_submission(
            pa.table({"name": IDS, "gpt4v": ANSWERS, "gt": ANSWERS, "ov": NUMBERS}),
            make_candidates(aliases=aliases),
            rename={"gt": "discrete"},
        )
    assert [str(problem) for problem in caught.value.problems] == [
        "E202  discrete: the file has this column under 2 names, 'gpt4v', 'gt'; keep one"
    ]


def test_the_columns_that_are_listed_are_those_of_the_file(make_candidates: Make) -> None:
    table = pa.table({"name": IDS, "gpt4v": ANSWERS})
    with pytest.raises(InvalidSubmission, match=r"valence: the column is missing; columns: 'name', 'gpt4v'$"):
        read_submission(table, make_candidates(aliases={"name": "sample_id", "gpt4v": "discrete"}))
