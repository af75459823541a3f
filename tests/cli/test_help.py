"""The help of every command: whole first lines, and words for what an option takes."""

from __future__ import annotations

import re

import pytest

from merbench.cli import run

Capture = pytest.CaptureFixture[str]

GROUPS = ("", "bank", "corpus", "features", "groups", "lexicon")


def shown(capsys: Capture, *words: str) -> str:
    assert run([*words, "--help"]) == 0
    return capsys.readouterr().out


def commands(capsys: Capture, group: str) -> list[tuple[str, str]]:
    lines = shown(capsys, *group.split()).partition("Commands:\n")[2].splitlines()
    return [(name, text) for name, text in (line.split(maxsplit=1) for line in lines)]


@pytest.mark.parametrize("group", GROUPS)
def test_no_first_line_is_cut(group: str, capsys: Capture) -> None:
    found = commands(capsys, group)
    assert found and [line for line in found if not line[1].endswith(".") or line[1].endswith("..")] == []


@pytest.mark.parametrize("group", GROUPS)
def test_what_an_option_takes_is_in_words(group: str, capsys: Capture) -> None:
    for name, _ in commands(capsys, group):
        options = shown(capsys, *group.split(), name).partition("Options:\n")[2]
        assert re.findall(r"<list\[.*|<\w+ range>", options) == [], name
