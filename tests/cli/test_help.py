"""The help of every command: complete first lines, groups, plain defaults, and the names that options had before."""

from __future__ import annotations

import re

import pytest

from merbench.cli import run
from merbench.cli.parser import RENAMED

Capture = pytest.CaptureFixture[str]

GROUPS = ("", "bank", "corpus", "extractors", "groups", "lexicon")


def shown(capsys: Capture, *words: str) -> str:
    assert run([*words, "--help"]) == 0
    return capsys.readouterr().out


def commands(capsys: Capture, group: str) -> list[tuple[str, str]]:
    lines = shown(capsys, *group.split()).partition("-h, --help")[2].splitlines()[1:]
    return [(name, text) for name, text in (line.split(maxsplit=1) for line in lines if line.startswith("  "))]


@pytest.mark.parametrize("group", GROUPS)
def test_no_first_line_is_cut(group: str, capsys: Capture) -> None:
    found = commands(capsys, group)
    assert found and [line for line in found if not line[1].endswith(".") or line[1].endswith("..")] == []


@pytest.mark.parametrize("group", GROUPS)
def test_values_and_defaults_are_in_words(group: str, capsys: Capture) -> None:
    for name, _ in commands(capsys, group):
        text = shown(capsys, *group.split(), name)
        assert re.findall(r"<list\[.*|<\w+ range>|x[<>]=?\d|default: \(", text) == [], name


def test_options_are_shown_in_groups(capsys: Capture) -> None:
    titles = re.findall(r"^(\S.*):$", shown(capsys, "score"), flags=re.MULTILINE)
    assert titles == ["Arguments", "Input", "Confidence intervals", "Output", "Options"]


@pytest.mark.parametrize(
    ("command", "range_"),
    [
        ("run-baseline", "Folds of cross-validation, at least 2."),
        ("groups fill", "Prompts sent to the endpoint at once, 1 to 64. [default: 4]"),
    ],
)
def test_a_range_that_is_not_obvious_is_in_words(command: str, range_: str, capsys: Capture) -> None:
    assert range_ in " ".join(shown(capsys, *command.split()).split())


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_an_option_that_was_renamed_is_named(old: str, new: str, capsys: Capture) -> None:
    assert run([*old.split(), "x"]) == 2
    assert f"No such option: {old.split()[-1]}; it is called {new} now" in capsys.readouterr().err
