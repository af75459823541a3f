"""What is remembered is what was computed for the same key, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from merbench.leaderboard.build import Cache, code_digest


class Counted:
    """A computation that counts its calls."""

    def __init__(self, value: object) -> None:
        self.value = value
        self.calls = 0

    def __call__(self) -> object:
        self.calls += 1
        return self.value


def test_a_value_is_computed_once_for_a_key(tmp_path: Path) -> None:
    compute = Counted({"a": [0.1, None]})
    assert [Cache(tmp_path).remembered(["k"], compute) for _ in range(2)] == [{"a": [0.1, None]}] * 2
    assert compute.calls == 1


def test_another_key_is_another_value(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    assert cache.remembered(["a", "b"], lambda: 1) == 1
    assert cache.remembered(["ab"], lambda: 2) == 2
    assert cache.remembered(["b", "a"], lambda: 3) == 3


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[:-9],
        lambda text: "[]",
        lambda text: text.replace("0.5", "0.9"),
        lambda text: json.dumps({**json.loads(text), "key": ["another"]}),
        lambda text: json.dumps({"value": 0.9}),
    ],
)
def test_a_damaged_or_forged_file_is_computed_anew(tmp_path: Path, damage: Callable[[str], str]) -> None:
    cache = Cache(tmp_path)
    cache.remembered(["k"], lambda: 0.5)
    (file,) = tmp_path.iterdir()
    file.write_text(damage(file.read_text(encoding="utf-8")), encoding="utf-8")
    compute = Counted(0.5)
    assert cache.remembered(["k"], compute) == 0.5
    assert compute.calls == 1
    assert cache.remembered(["k"], compute) == 0.5
    assert compute.calls == 1


def test_without_a_folder_nothing_is_remembered() -> None:
    compute = Counted(1)
    assert [Cache(None).remembered(["k"], compute) for _ in range(2)] == [1, 1]
    assert compute.calls == 2


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert Cache(tmp_path / "file" / "cache").remembered(["k"], lambda: 1) == 1


def test_the_cache_lies_in_the_data_home(data_home: Path) -> None:
    assert Cache.at_home().folder == data_home / "cache" / "leaderboard"


def test_the_code_has_one_digest() -> None:
    assert code_digest() == code_digest()
    assert len(code_digest()) == 64
