from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from merbench.errors import InvalidGroups, UnknownName, UsageError
from merbench.grouping import import_groups, open_groups

GOOD = """\
{"name": "a", "groups": "[['glad', ' Happy'], [\\"don't care\\"]]"}

{"name": "b", "groups": "[]"}
"""


@pytest.fixture
def released(tmp_path: Path) -> Path:
    path = tmp_path / "synonym-groups.jsonl"
    path.write_text(GOOD)
    return path


def test_a_released_file_is_stored(released: Path) -> None:
    groups = import_groups("mer2024", released)
    assert groups == open_groups("mer2024-ov")  # as the track of that name asks for it
    assert groups.runs == ({"a": (("glad", "happy"), ("don't care",)), "b": ()},)
    assert (groups.keys, groups.model, groups.prompt_digest) == ("names", "GPT-3.5", "unstated")
    assert groups.source == "MER 2024, released file synonym-groups.jsonl"


def test_a_name_is_taken_once(released: Path, home: Path) -> None:
    import_groups("mer2024", released, "mine")
    told = f"groups 'mine' are there already, in {home / 'groups' / 'mine'}; replace them with --force"
    with pytest.raises(UsageError, match=f"^{re.escape(told)}$"):
        import_groups("mer2024", released, "mine")
    assert import_groups("mer2024", released, "mine", replace=True).name == "mine"
    with pytest.raises(UsageError, match=r"^'Mine' is no name of groups; a-z, 0-9 and - are allowed, 39 at most$"):
        import_groups("mer2024", released, "Mine")
    with pytest.raises(UnknownName, match=r"^no release of groups named 'mer2042'; did you mean 'mer2024'"):
        import_groups("mer2042", released)


def test_all_problems_are_told_with_their_lines(tmp_path: Path, home: Path) -> None:
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
        "  E633  line 7: 'a' given twice (first at line 1)",
    ]
    assert not (home / "groups").exists()


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot be read: .*No such file"):
        import_groups("mer2024", tmp_path / "nothing")
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(InvalidGroups, match="E631  there is no line; a line is"):
        import_groups("mer2024", tmp_path / "empty")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="cannot be read: 'utf-8' codec"):
        import_groups("mer2024", tmp_path / "bytes")


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
    groups = import_groups("mer2024", folder / "synonym-groups.jsonl")
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
