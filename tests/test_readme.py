"""What the README shows is what happens: its `console` blocks are run, in order, in one folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from transcripts import Step, console_blocks, run, steps

README = Path(__file__).parents[1] / "README.md"


def commands() -> list[Step]:
    """Return the README's steps, the `make` ones aside: they would build an environment inside the tests."""
    blocks = console_blocks(README.read_text(encoding="utf-8"))
    return [step for block in blocks for step in steps(block) if not step.command.startswith("make ")]


def test_the_first_two_commands_are_make_demo_and_make_test() -> None:
    blocks = console_blocks(README.read_text(encoding="utf-8"))
    assert blocks[:2] == ["$ make demo\n", "$ make test\n"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="the README's commands: there is no bash")
def test_every_command_prints_what_the_readme_shows(sample_home: Path, tmp_path: Path) -> None:
    for step in commands():
        printed = run(step.command, tmp_path, sample_home)
        assert step.matches(printed), f"$ {step.command}\n{printed}\nREADME.md shows:\n{step.output}"
