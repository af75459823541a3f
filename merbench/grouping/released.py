"""Groups that a challenge released go in, stored `Groups` come out.

Conventions:
    MER 2024: a JSON Lines file; a line holds `name`, the sample's, and `groups`, the text of a Python list of lists of
    words. Answers are found by name; model and rounds are as its organizers tell them, the prompt is not among them.
    Codes of problems: E631 a line, E632 its groups, E633 names.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from merbench.errors import InvalidGroups, Problem, UnknownName, UsageError, examples, printable
from merbench.grouping.groups import UNSTATED, Answer, Groups, normal
from merbench.grouping.storing import FILE_NAME, folder_of, write_groups

MOST_BYTES = 64 << 20
"""A released file larger than this is refused; the real one holds 36 kB."""

_LINE = """a line is {"name": "sample_1", "groups": "[['glad', 'happy'], ['sad']]"}"""


def import_groups(release: str, path: str | Path, name: str | None = None, *, replace: bool = False) -> Groups:
    """Store the groups that a challenge released in the data home, and return them.

    Args:
        release: which release, a name of `RELEASES`.
        path: the released file.
        name: name of the groups; by default the one that the release's tracks know them by.
        replace: whether groups of this name go.

    Raises:
        UnknownName: no such release.
        UsageError: the name is no name or is taken, or the file cannot be read.
        InvalidGroups: the file does not hold what it should; all problems are listed.
    """
    if release not in RELEASES:
        raise UnknownName("release of groups", release, RELEASES)
    read, usual_name = RELEASES[release]
    name = name or usual_name
    folder = folder_of(name)
    if (folder / FILE_NAME).is_file() and not replace:
        raise UsageError(f"groups '{name}' are there already, in {folder}; replace them with --force")
    groups = read(Path(path), name)
    write_groups(folder, groups)
    return groups


def read_mer2024(path: Path, name: str) -> Groups:
    """Return the groups of the file that MER 2024 released (Lian et al., 2024), one run of several."""
    problems: list[Problem] = []
    answers: dict[str, Answer] = {}
    line_of: dict[str, int] = {}
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        found = _named_answer(line)
        if isinstance(found, tuple):
            sample, answer = found
            first = line_of.setdefault(sample, number)
            answers[sample] = answer
            if first != number:
                message = f"'{printable(sample)}' given twice (first at line {first})"
                problems.append(Problem("E633", message, line=number))
        else:
            problems.append(Problem("E631" if found == _LINE else "E632", found, line=number))
    if problems or not answers:
        raise InvalidGroups(str(path), _told(problems) or [Problem("E631", f"there is no line; {_LINE}")])
    return Groups(
        name=name,
        source=f"MER 2024, released file {path.name}",
        model="GPT-3.5",
        prompt_digest=UNSTATED,
        decoding=UNSTATED,
        keys="names",
        runs=(answers,),
        dropped=(0,),
    )


class Release(NamedTuple):
    """A release of groups.

    Attributes:
        read: what reads its file, and names the groups.
        usual_name: the name by which the shipped tracks know its groups.
    """

    read: Callable[[Path, str], Groups]
    usual_name: str


RELEASES: Mapping[str, Release] = {"mer2024": Release(read_mer2024, usual_name="mer2024-ov")}
"""The releases whose groups can be stored, by name."""


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UsageError(f"{path}: holds {path.stat().st_size:,} bytes; allowed are {MOST_BYTES:,}")
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error


def _named_answer(line: str) -> tuple[str, Answer] | str:
    """Return the name and the groups of a line, or what is wrong with it."""
    match _evaluated(json.loads, line):
        case {"name": str(name), "groups": str() | list() as told} if name:
            groups = _evaluated(ast.literal_eval, told) if isinstance(told, str) else told
        case _:
            return _LINE
    if not _are_groups(groups):
        return f"'{printable(str(told))}' is not a list of lists of words, none of them empty"
    return name, tuple(tuple(normal(word) for word in group) for group in groups)


def _evaluated(read: Callable[[str], Any], text: str) -> Any:
    """Return the value of a text, None where it has none."""
    try:
        return read(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def _are_groups(groups: Any) -> bool:
    return isinstance(groups, list) and all(
        isinstance(group, list) and group and all(isinstance(word, str) and word.strip() for word in group)
        for group in groups
    )


def _told(problems: list[Problem]) -> list[Problem]:
    """Return the problems by their code, five examples of each."""
    codes = sorted({problem.code for problem in problems})
    alike = ([problem for problem in problems if problem.code == code] for code in codes)
    return [problem for found in alike for problem in examples(found, lambda item: item)]
