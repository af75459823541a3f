"""What the README shows is what happens: its `console` blocks are run, in order, in one folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from transcripts import Step, fenced_blocks, run, steps

README = Path(__file__).parents[1] / "README.md"


def blocks(language: str) -> list[str]:
    """Return the README's fenced blocks of a language."""
    return fenced_blocks(README.read_text(encoding="utf-8"), language)


def commands() -> list[Step]:
    """Return the README's steps, the `make` ones aside: they would build an environment inside the tests."""
    return [step for block in blocks("console") for step in steps(block) if not step.command.startswith("make ")]


def test_the_first_two_commands_are_make_demo_and_make_test() -> None:
    assert blocks("console")[:2] == ["$ make demo\n", "$ make test\n"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="the README's commands: there is no bash")
def test_every_command_prints_what_the_readme_shows(own_home: Path, tmp_path: Path) -> None:
    for step in commands():
        printed = run(step.command, tmp_path, own_home)
        assert step.matches(printed), f"$ {step.command}\n{printed}\nREADME.md shows:\n{step.output}"
    for code in blocks("python"):
        (tmp_path / "block.py").write_text(code, encoding="utf-8")
        printed = run("python block.py", tmp_path, own_home)
        assert "[exit" not in printed, printed
