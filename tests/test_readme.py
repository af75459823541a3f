"""What the README shows is what happens: its `console` blocks are run, in order, in one folder; links lead somewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from transcripts import Step, fenced_blocks, run, steps

README = Path(__file__).parents[1] / "README.md"
MAKEFILE = README.with_name("Makefile")


def blocks(language: str) -> list[str]:
    """Return the README's fenced blocks of a language."""
    return fenced_blocks(README.read_text(encoding="utf-8"), language)


def commands() -> list[Step]:
    """Return the README's steps, the `make` ones aside: they would build an environment inside the tests."""
    return [step for block in blocks("console") for step in steps(block) if not step.command.startswith("make ")]


def test_the_first_two_commands_are_make_demo_and_make_test() -> None:
    assert blocks("console")[:2] == ["$ make demo\n", "$ make test\n"]


@pytest.mark.parametrize("page", ["README.md", "docs/README.md", "CONTRIBUTING.md"])
def test_every_link_leads_to_a_file(page: str) -> None:
    path = README.parent / page
    links = re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (path.parent / link).exists()] == []


def test_every_page_is_in_the_index() -> None:
    index = (README.parent / "docs" / "README.md").read_text(encoding="utf-8")
    pages = sorted(page.name for page in (README.parent / "docs").glob("*.md"))
    assert [page for page in pages if f"({page})" not in index and page != "README.md"] == []


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="the README's commands: no bash")
def test_every_command_prints_what_the_readme_shows(own_home: Path, tmp_path: Path) -> None:
    for step in commands():
        printed = run(step.command, tmp_path, own_home)
        assert step.matches(printed), f"$ {step.command}\n{printed}\nREADME.md shows:\n{step.output}"
    for code in blocks("python"):
        (tmp_path / "block.py").write_text(code, encoding="utf-8")
        printed = run("python block.py", tmp_path, own_home)
        assert "[exit" not in printed, printed


def make_demo(folder: Path, home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `make demo` in a folder with the merbench of these tests, without an environment of its own."""
    programs = Path(sys.executable).parent
    given = {"DEMO": "cd demo && merbench", "MERBENCH_HOME": str(home), **variables}
    command = ["make", "--file", str(MAKEFILE), "--old-file", ".venv/.demo", "demo"]
    return subprocess.run(
        [*command, *(f"{name}={value}" for name, value in given.items())],
        cwd=folder,
        env={**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("make") is None, reason="make demo: no make")
def test_the_demo_prints_what_the_readme_shows(own_home: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="make demo: torch is not installed")
    done = make_demo(tmp_path, own_home)
    assert done.returncode == 0, done.stdout
    (shown,) = blocks("text")
    lines = {without_numbers(line.removeprefix("cd demo && ")) for line in done.stdout.splitlines()}
    for line in shown.splitlines():
        assert line == "..." or without_numbers(line) in lines, f"{line}\n{done.stdout}"
    table = done.stdout.partition("logistic, by snr_db of feature_noise")[2].splitlines()[2:7]
    assert [line.split()[0] for line in table] == ["clean", "10", "5", "0", "-5"]
    overall = [float(line.split()[1]) for line in table]
    assert overall == sorted(overall, reverse=True)  # the same samples at every level
    # A network's numbers depend on the processor a little, those of logistic regression do not.
    board = (tmp_path / "demo" / "submissions" / "mer-multi" / "leaderboard.md").read_text(encoding="utf-8")
    assert "| demo | logistic | **0.5069** |" in board
    assert (tmp_path / "demo" / "submissions" / "mer-multi" / "leaderboard.html").is_file()


def without_numbers(line: str) -> str:
    """Return a line with every number as `0`, and one space between words."""
    return " ".join(re.sub(r"-?\d+(\.\d+)?", "0", line).split())


@pytest.mark.skipif(shutil.which("make") is None, reason="make demo: no make")
def test_a_demo_whose_first_command_fails_fails(own_home: Path, tmp_path: Path) -> None:
    done = make_demo(tmp_path, own_home, DEMO="cd demo && echo printed && false")
    assert done.returncode != 0
    assert "2. A submission" not in done.stdout
