from __future__ import annotations

import csv
import io
import json
import re
import stat
import tracemalloc
import warnings
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from merbench.errors import InvalidGroups, UnknownName, UsageError
from merbench.synonyms import import_groups, open_groups
from merbench.synonyms import released as released_groups

GOOD = """\
{"name": "a", "groups": "[['glad', ' Happy'], [\\"don't care\\"]]"}

{"name": "b", "groups": "[]"}
"""


@pytest.fixture
def released(tmp_path: Path) -> Path:
    path = tmp_path / "synonym-groups.jsonl"
    path.write_text(GOOD)
    return path


def test_a_released_file_is_stored(released: Path, home: Path) -> None:
    groups = import_groups("mer2024", released)
    assert groups == open_groups("mer2024-ov")  # as the track of that name asks for it
    assert groups.runs == ({"a": (("glad", "happy"), ("don't care",)), "b": ()},)
    assert (groups.keys, groups.model, groups.prompt_digest) == ("names", "GPT-3.5", "unstated")
    assert groups.source == "MER 2024, released file synonym-groups.jsonl"
    import_groups("mer2024", released, "mine")
    with pytest.raises(UsageError, match=f"^{re.escape(str(home / 'mine'))}: already exists; --force replaces it$"):
        import_groups("mer2024", released, "mine")
    assert import_groups("mer2024", released, "mine", replace=True).name == "mine"
    with pytest.raises(
        UsageError, match=r"^groups name 'Mine' is not valid; a-z, 0-9 and - are allowed, 64 characters"
    ):
        import_groups("mer2024", released, "Mine")
    with pytest.raises(UnknownName, match=r"^no release of groups named 'mer2042'; did you mean 'mer2024'"):
        import_groups("mer2042", released)


def test_all_problems_are_reported_with_their_lines(tmp_path: Path, home: Path) -> None:
    lines = [
        '{"name": "a", "groups": "[[\'x\']]"}',
        "not json",
        '{"name": "", "groups": "[]"}',
        '{"name": "b", "groups": "[[1]]"}',
        '{"name": "c", "groups": "[[\'x\'], []]"}',
        '{"name": "d", "groups": "__import__(\'os\')"}',
        '{"name": "a", "groups": "[]"}',
        '{"name": "e", "groups": ["x"]}',
        '{"name": "f", "groups": "[[\' \']]"}',
        json.dumps({"name": "g", "groups": "[" * 100_000}),
    ]
    path = tmp_path / "bad.jsonl"
    path.write_text("\n".join(lines))
    with pytest.raises(InvalidGroups) as caught:
        import_groups("mer2024", path)
    form = """a line is {"name": "sample_1", "groups": "[['glad', 'happy'], ['sad']]"}"""
    needed = "is not a list of lists of words, none of them empty"
    assert str(caught.value).splitlines() == [
        f"{path}: 9 problems",
        f"  E631  line 2: {form}",
        f"  E631  line 3: {form}",
        f"  E632  line 4: '[[1]]' {needed}",
        f"  E632  line 5: '[['x'], []]' {needed}",
        f"  E632  line 6: '__import__('os')' {needed}",
        f"  E632  line 8: '['x']' {needed}",
        f"  E632  line 9: '[[' ']]' {needed}",
        "  E632  … and 1 more",
        "  E633  line 7: duplicate name 'a' (first at line 1)",
    ]
    assert not home.exists()


def test_files_that_cannot_be_read_are_reported(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    for name, message in {
        "gone": r"cannot be read: no such file or folder$",
        "empty": r"E631  no answer; .*, or a line is",
        "bytes": "cannot be read: byte 0xFF at position 0 is not UTF-8",
    }.items():
        with pytest.raises(UsageError, match=message):
            import_groups("mer2024", tmp_path / name)


def array(text: str) -> bytes:
    """Return an .npy file of one Unicode string, as `numpy.save` writes it."""
    file = io.BytesIO()
    np.save(file, np.array(text))
    return file.getvalue()


def archive(path: Path, members: Iterable[tuple[str | zipfile.ZipInfo, bytes]]) -> Path:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        warnings.simplefilter("ignore")  # two members of one name bring a warning
        for name, data in members:
            file.writestr(name, data)
    return path


ANSWERS = {"a": "[['glad', ' Happy'], [\"don't care\"]]", "b": "[]"}


def test_the_released_archive_its_folder_and_lines_give_the_same_groups(released: Path, tmp_path: Path) -> None:
    lines = import_groups("mer2024", released)
    members = [("openset-synonym/", b""), *((f"openset-synonym/{name}.npy", array(ANSWERS[name])) for name in "ba")]
    packed = archive(tmp_path / "openset-synonym.zip", members)
    assert import_groups("mer2024", packed, "packed").runs == lines.runs
    of_macos = [("__MACOSX/openset-synonym/._a.npy", b"x"), ("openset-synonym/.DS_Store", b"x")]
    again = archive(tmp_path / "again.zip", [*members, *of_macos])
    assert import_groups("mer2024", again, "again").runs == lines.runs
    with zipfile.ZipFile(packed) as file:
        file.extractall(tmp_path / "unpacked")
    for number, folder in enumerate((tmp_path / "unpacked", tmp_path / "unpacked" / "openset-synonym")):
        groups = import_groups("mer2024", folder, f"unpacked-{number}")
        assert (groups.runs, groups.digest) == (lines.runs, lines.digest)


def linked(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def packed_by_lzma(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.compress_type = zipfile.ZIP_LZMA
    return info


GOOD_ARRAY = array("[['x']]")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("../a.npy", GOOD_ARRAY)], "E631  '../a.npy' has an unsafe name; answers are files <name>.npy, in one"),
        ([("/a.npy", GOOD_ARRAY)], "'/a.npy' has an unsafe name"),
        ([("c:\\a.npy", GOOD_ARRAY)], "has an unsafe name"),
        ([("x/y/a.npy", GOOD_ARRAY)], "'x/y/a.npy' has an unsafe name"),
        ([("a.npy", GOOD_ARRAY), ("x/b.npy", GOOD_ARRAY)], "'x/b.npy' is not in the folder '' of the others"),
        ([("a.txt", b"x")], "'a.txt' is not a .npy file"),
        ([(linked("a.npy"), b"/etc/passwd")], "'a.npy' is a link"),
        ([(packed_by_lzma("a.npy"), GOOD_ARRAY)], "'a.npy' is packed in a way that is not read"),
        ([("a.npy", bytes(1 << 19))], "'a.npy' unpacks to 524,288 bytes, more than the 262,144 of an answer"),
        ([("a.npy", GOOD_ARRAY), ("a.npy", GOOD_ARRAY)], "E633  duplicate name 'a' (first at 'a.npy')"),
        ([], "E631  no answer; answers are files <name>.npy, in one folder or none, or a line is"),
        ([("a.npy", b"")], "'a.npy' contains something else; one Unicode string in an .npy file without dimensions"),
        ([("a.npy", GOOD_ARRAY[:-1])], "'a.npy' contains something else"),
        ([("a.npy", GOOD_ARRAY.replace(b"()", b"(9)", 1))], "'a.npy' contains something else"),
        ([("a.npy", GOOD_ARRAY.replace(b"'<U7'", b"'|O' ", 1))], "'a.npy' contains something else"),
        ([("a.npy", GOOD_ARRAY[:-4] + b"\0\xd8\0\0")], "'a.npy' contains code points that are not characters"),
        ([("a.npy", array("sorry"))], "E632  'a.npy': 'sorry' is not a list of lists of words, none of them empty"),
        ([("a.npy", array("-" * 9000 + "1"))], "E632  'a.npy': '-----"),
        ([("a.npy", array(r"[['\ud800']]"))], "E632  'a.npy': "),
    ],
)
def test_an_archive_that_does_not_hold_answers_is_refused(
    members: list[tuple[str | zipfile.ZipInfo, bytes]], message: str, tmp_path: Path, home: Path
) -> None:
    with pytest.raises(InvalidGroups) as caught:
        import_groups("mer2024", archive(tmp_path / "hostile.zip", members))
    assert message in str(caught.value)
    assert not home.exists()


def test_a_file_that_asks_for_too_much_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(released_groups, "MOST_ANSWERS", 3)
    four = archive(tmp_path / "four.zip", [(f"{number}.npy", GOOD_ARRAY) for number in range(4)])
    with pytest.raises(UsageError, match=r"four.zip: an archive of 4 members; allowed: 3$"):
        import_groups("mer2024", four)
    (tmp_path / "four").mkdir()
    for number in range(4):
        (tmp_path / "four" / f"{number}.npy").write_bytes(GOOD_ARRAY)
    with pytest.raises(UsageError, match=r"four: has more than 3 answers, or 67,108,864 bytes of them$"):
        import_groups("mer2024", tmp_path / "four")
    (tmp_path / "four.jsonl").write_text("\n" * 4)
    with pytest.raises(UsageError, match=r"four.jsonl: has more than 3 lines$"):
        import_groups("mer2024", tmp_path / "four.jsonl")
    (tmp_path / "four" / "3.npy").unlink()
    (tmp_path / "four" / "3.npy").symlink_to(tmp_path / "four" / "2.npy")
    with pytest.raises(UsageError, match=r"3.npy: a link, or not a file"):
        import_groups("mer2024", tmp_path / "four")
    liar = archive(tmp_path / "liar.zip", [("a.npy", bytes(64 << 20))])
    stated = (64 << 20).to_bytes(4, "little")
    liar.write_bytes(liar.read_bytes().replace(stated, (100).to_bytes(4, "little")))
    tracemalloc.start()
    with pytest.raises(UsageError, match="cannot be read: corrupted: its content cannot be unpacked"):
        import_groups("mer2024", liar)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20
    cut = tmp_path / "cut.zip"
    cut.write_bytes(four.read_bytes()[:-30])
    with pytest.raises(UsageError, match="cannot be read: not a ZIP archive, or one that is cut off"):
        import_groups("mer2024", cut)


def sets_of(path: Path) -> dict[str, list[str]]:
    """Return the labels of a file, cut at quotes and commas as the released scorer does."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    cells = {row["name"]: row["openset"].strip().removeprefix("[").removesuffix("]") for row in rows}
    return {
        name: [word.strip().lower() for word in re.split(r"['\",]", cell) if word.strip()]
        for name, cell in cells.items()
    }


@pytest.mark.real_data
def test_the_released_groups_give_the_published_numbers(test_data: Path) -> None:
    folder = test_data / "data" / "mer2024-ov"
    groups = import_groups("mer2024", folder / "openset-synonym.zip")
    assert groups.runs == import_groups("mer2024", folder / "synonym-groups.jsonl", "lines").runs
    references, predictions = sets_of(folder / "check-openset.csv"), sets_of(folder / "predict-openset.csv")
    names = list(references)
    sets = [(tuple(references[name]), tuple(predictions[name])) for name in names]
    accuracy, recall = 0.0, 0.0
    for (reference, prediction), stands_for in zip(sets, groups.representatives(names, sets, 0), strict=True):
        true, predicted = ({stands_for[word] for word in words} for words in (reference, prediction))
        if predicted:
            accuracy += len(true & predicted) / len(predicted)
            recall += len(true & predicted) / len(true)
    assert len(names) == 332
    # facts of MER 2024's release: the scorer's own output on these files
    assert accuracy / len(names) == pytest.approx(0.581777108433735, abs=1e-12)
    assert recall / len(names) == pytest.approx(0.4977911646586345, abs=1e-12)
