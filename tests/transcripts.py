"""A transcript goes in, its commands are run again, and what they print comes out in the same form.

A transcript is what a terminal shows: a line that starts with `$ ` is a command, the lines under it are its output
(standard output and error, as they come), and a last line `[exit 1]` shows a code other than 0. A line `...` of an
expected output matches any number of lines.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ANY_LINES = "..."


@dataclass(frozen=True, slots=True)
class Step:
    """A command and what it printed, with a last line for an exit code other than 0."""

    command: str
    output: str

    def __str__(self) -> str:
        return f"$ {self.command}\n{self.output}"

    def matches(self, printed: str) -> bool:
        """Return whether a printed output is the expected one."""
        lines = self.output.splitlines(keepends=True)
        pattern = "".join(r"(?:.*\n)*?" if line.strip() == ANY_LINES else re.escape(line) for line in lines)
        return re.fullmatch(pattern, printed) is not None


def steps(transcript: str) -> Iterator[Step]:
    """Yield the steps of a transcript."""
    for part in re.split(r"^\$ ", transcript, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield Step(command, output)


def fenced_blocks(markdown: str, language: str) -> list[str]:
    """Return the fenced blocks of a Markdown text that are marked with a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", markdown, flags=re.MULTILINE | re.DOTALL)


def run(command: str, folder: Path, home: Path) -> str:
    """Run a shell command in a folder, with a data home, and return what it printed, the home's path as its variable."""
    programs = Path(sys.executable).parent
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("MERBENCH_")},
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "MERBENCH_HOME": str(home),
        "NO_COLOR": "1",
        "COLUMNS": "120",
    }
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    # A slow machine prints lines of progress, a fast one none.
    printed = re.sub(
        r"^.+: [\d,]+ of [\d,]+(, [\d.,]+(/s| s each), [\d,]+ s left)?\n", "", done.stdout, flags=re.MULTILINE
    )
    printed = printed.replace(str(home), "$MERBENCH_HOME")
    return printed if done.returncode == 0 else f"{printed}[exit {done.returncode}]\n"


def replay(transcript: str, folder: Path, home: Path) -> str:
    """Run the commands of a transcript again, in one folder, and return the transcript that they make now."""
    return "".join(str(Step(step.command, run(step.command, folder, home))) for step in steps(transcript))
