"""Every code of a problem, and every exit code, is documented once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from merbench.cli import INTERRUPTED
from merbench.errors import WITH_PROBLEMS, MerbenchError

ROOT = Path(__file__).parents[1]


def documented(name: str) -> list[str]:
    """Return the codes in the tables of a page."""
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    return re.findall(r"^\| ([EW]\d{3}) \|", text, re.MULTILINE)


def branches(error: type[MerbenchError]) -> Iterator[type[MerbenchError]]:
    yield error
    for branch in error.__subclasses__():
        yield from branches(branch)


def test_every_code_of_a_problem_is_documented_once() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "merbench").rglob("*.py")))
    result = [*documented("submission-format.md"), *documented("problems.md")]
    assert sorted(result) == sorted(set(re.findall(r'"([EW]\d{3})"', sources)))


def test_every_exit_code_is_documented() -> None:
    raised = {0, WITH_PROBLEMS, INTERRUPTED, *(error.exit_code for error in branches(MerbenchError))}
    page = (ROOT / "docs" / "problems.md").read_text(encoding="utf-8")
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)} == raised
    (reported,) = re.findall(r"Exit codes: (.*?)\.\n", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert {int(code) for code in re.findall(r"\d+", reported)} == raised
