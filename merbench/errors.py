"""Everything merbench raises on purpose, the one form in which problems are reported, and the one rule of escaping.

Text that merbench did not write (a path, a cell, a key, another library's message) is shown through `printable`.
Problems, errors, tables and the streams of the command line apply it themselves, so that no caller can forget it.

The tree, with the exit code each branch ends a command with::

    MerbenchError                  70  never raised itself
    ├── WorkerDied                 70  the process that did a piece of work was killed (`merbench.engine`)
    ├── UsageError                  2  a name, path, option or declaration is wrong
    │   ├── UnknownName             2  no such track, corpus, metric, baseline, ...
    │   ├── MissingExtra            2  an optional dependency is not installed
    │   ├── WithheldReference       2  the references of a split are withheld
    │   ├── Inapplicable            2  a corruption or an extractor cannot be applied to a signal
    │   ├── UnreadableMedia         2  a media file cannot be read as it must be
    │   ├── UndefinedMetric         2  a metric has no value on these data
    │   ├── DeclarationError        2  a TOML declaration has problems (all of them are listed)
    │   ├── InvalidCorpus           2  tables or features for a corpus have problems (all of them are listed)
    │   ├── InvalidLexicon          2  the files of a lexicon have problems (all of them are listed)
    │   └── InvalidGroups           2  a file of synonym groups has problems (all of them are listed)
    ├── InvalidSubmission           1  a participant's file has problems (all of them are listed)
    ├── IntegrityError              3  a digest or signature does not match, a board is stale
    ├── PolicyError                 4  a rule of the challenge forbids it
    └── OutputError                74  the output could not be written, or no space is left
"""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, TypeVar

Item = TypeVar("Item")

WITH_PROBLEMS = 5
"""The exit code of a command that finished, but some samples, conditions, entries or tracks failed (listed)."""

EXAMPLES_SHOWN = 5
"""How many examples of one kind of problem a message shows."""

LONGEST_LINE = 4000
"""How many characters one line of a message may have, whatever a file brought into it."""

TRACEBACK = "MERBENCH_TRACEBACK"
"""Name of the environment variable that, set to anything, makes commands show the traceback of an error they report."""


_LONGEST_NAME = 200
"""A longer text is not a mistyped name, and comparing it would be slow."""


def nearest(name: str, options: Iterable[str]) -> str | None:
    """Return the option that `name` most likely meant, or None when none is close.

    Of several that are the same but for case and blanks, the first; of equally close ones, the last by alphabet.
    """
    options = list(options)
    folded = {option.casefold().strip(): option for option in reversed(options)}
    exact = folded.get(name.casefold().strip())
    if exact is not None or len(name) > _LONGEST_NAME:
        return exact
    from rapidfuzz import fuzz, process  # a command that makes no mistake starts without it

    close = process.extractOne(name.casefold(), sorted(folded, reverse=True), scorer=fuzz.ratio, score_cutoff=60)
    return folded[close[0]] if close else None


_COMMAND = re.compile(r"^(\s*)(:)(?=:)|()(#)(?=#\w*\[)")
"""What a CI system reads as a command: a line that starts with `::`, and `##[` or `##vso[` anywhere."""

_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
"""Invisible characters that Python counts as printable: fillers, variation selectors."""

_JOINER = re.compile("(?<=[\u0620-\u18af])[\u200c\u200d](?=[\u0620-\u18af])")
"""Joiners between letters of the scripts that are spelled with them, such as Persian and Sinhala."""


def printable(text: str, limit: int | None = 60) -> str:
    """Return `text` on one line, cut to `limit` characters, with invisible characters and CI commands escaped.

    Escaped are control and format characters (line ends, ESC, bidirectional and zero-width ones), spaces other than the
    plain one, unassigned characters, and what a CI system would read as a command. The result is a fixed point.
    """
    cut = text if limit is None or len(text) <= limit else f"{text[: limit - 1]}…"
    if "::" in cut or "##" in cut:
        cut = _COMMAND.sub(lambda match: f"{match[1] or ''}\\x{ord(match[2] or match[4]):02x}", cut)
    if cut.isprintable() and (cut.isascii() or not _BLANK.search(cut)):
        return cut
    joiners = {match.start() for match in _JOINER.finditer(cut)}
    return "".join(
        c if (c.isprintable() and not _BLANK.match(c)) or place in joiners else c.encode("unicode_escape").decode()
        for place, c in enumerate(cut)
    )


def json_text(content: object) -> str:
    """Return canonical JSON: sorted keys, shortest round-trip floats, no NaN, a newline at the end.

    What `printable` would escape is written as JSON's own escapes, so that it is read back as it was.
    """
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1)
    return "\n".join(map(_json_line, text.split("\n"))) + "\n"


def _json_line(line: str) -> str:
    if line.isprintable() and "##" not in line and (line.isascii() or not _BLANK.search(line)):
        return line
    escaped = "".join(c if printable(c) == c else json.dumps(c)[1:-1] for c in line)
    return _COMMAND.sub(lambda _: f"\\u{ord('#'):04x}", escaped)


class _Brief(reprlib.Repr):
    def repr_int(self, x: int, level: int) -> str:
        return str(x) if x.bit_length() <= 64 else f"an integer of {x.bit_length():,} bits"

    def repr_ndarray(self, x: Any, level: int) -> str:
        return f"array of {x.dtype}, shape {x.shape}"


_BRIEF = _Brief()
_BRIEF.maxlevel = 3
_BRIEF.maxlist = _BRIEF.maxtuple = _BRIEF.maxdict = _BRIEF.maxset = 4
_BRIEF.maxstring = _BRIEF.maxother = 40


def brief(value: object) -> str:
    """Return a value from a file as a message shows it: as Python writes it, cut in depth, number and length."""
    return printable(_BRIEF.repr(value), 100)


def in_a_line(text: str) -> str:
    """Return a text of several lines as one, for a cell of a table, or one problem of many."""
    return " ".join(text.split())


def exception_text(error: BaseException) -> str:
    """Return what code of others raised, on one line: `"KeyError: 'label'"`."""
    text = printable(in_a_line(str(error)), 300)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def contained(error: Exception) -> str:
    """Return why the work on one item of many failed; the other items are finished.

    The traceback is printed on stderr where the environment asks for it (`MERBENCH_TRACEBACK`).
    """
    import os
    import traceback

    if os.environ.get(TRACEBACK):
        traceback.print_exception(error)
    if isinstance(error, MerbenchError):
        return str(error)
    return f"{type(error).__name__}: {fault(error)}" if isinstance(error, OSError) else exception_text(error)


class MalformedFile(ValueError):
    """The bytes of a file are not what its format requires; the message is written by merbench."""


CUT_OFF = "cut off: the end of the file is missing"

_TOML_FAULTS = {
    "Cannot overwrite a value": "duplicate key",
    "Cannot declare": "duplicate table",
    "Expected '=' after a key": "a key without '='",
    "Invalid value": "not a TOML value (text needs quotes)",
    "Invalid statement": "neither a key nor a table",
    "Expected newline": "unexpected text after a value (text needs quotes)",
    "Unclosed array": "a list without ']'",
    "Unclosed inline table": "a table without '}' on its line",
    "Expected ']'": "a table name without ']'",
}


def fault(error: Exception) -> str:
    """Return why a file cannot be read or written, in the same words whichever library raised the error."""
    import os
    import tomllib
    import zipfile

    match error:
        case MalformedFile() | MerbenchError():
            return "; ".join(line.strip() for line in str(error).splitlines())
        case OSError(errno=int(number)):
            return os.strerror(number)
        case UnicodeDecodeError():
            return f"byte 0x{error.object[error.start]:02X} at position {error.start:,} is not UTF-8"
        case tomllib.TOMLDecodeError():
            text, _, place = str(error).rpartition(" (at ")
            reasons = (ours for theirs, ours in _TOML_FAULTS.items() if text.startswith(theirs))
            return f"{place.removesuffix(')')}: {next(reasons, 'invalid TOML syntax')}"
        case zipfile.BadZipFile() if "not a zip" in str(error):
            return "not a ZIP archive, or one that is cut off"
        case ValueError() if "pickle" in str(error):
            return "contains Python objects (a pickle), which are not read"
        case RecursionError():
            return "nested too deeply"
        case MemoryError():
            return "needs more memory than is available"
    return "corrupted: its content cannot be unpacked"


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` for the nearest option; empty without one, or if it looks the same as the name."""
    match = nearest(name, options)
    return "" if match is None or printable(match) == printable(name) else f"; did you mean '{printable(match)}'?"


def listed(names: Sequence[str], limit: int = EXAMPLES_SHOWN) -> str:
    """Return the first names joined by commas, and how many more there are."""
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown}, … ({len(names) - limit} more)"


def counted(what: str, shown: Sequence[str], total: int) -> str:
    """Return a problem with its count, the total and the first five examples: `"empty values (2 of 9): a, b"`."""
    return f"{what} ({len(shown):,} of {total:,}): {listed(shown)}"


def plural(n: int, noun: str) -> str:
    """Return `"1 problem"` or `"3 problems"`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: a code, the place, and one sentence with what is allowed.

    Attributes:
        code: `E1xx` the file, `E2xx` values, `E3xx` ids, `E4xx` metadata of an entry, `E6xx` media and corpus files,
            `W…` a warning, `W7xx` of scores and intervals; `docs/problems.md` lists them.
        message: what is wrong, what is allowed, the nearest match.
        line: line of the file (1-based), where it has lines.
        column: column or key path.
        id: sample id.
        count: how many occurrences this problem counts.
    """

    code: str
    message: str
    line: int | None = None
    column: str | None = None
    id: str | None = None
    count: int = 1

    def __post_init__(self) -> None:
        for name in ("code", "message", "column", "id"):
            text = getattr(self, name)
            if isinstance(text, str):
                object.__setattr__(self, name, printable(text, LONGEST_LINE))

    @property
    def is_warning(self) -> bool:
        """Whether the problem is only a warning."""
        return self.code.startswith("W")

    @property
    def place(self) -> str:
        """The place as `"line 5, discrete"`; empty for a problem of the whole file."""
        line = "" if self.line is None else f"line {self.line}"
        return ", ".join(part for part in (line, self.column) if part)

    def __str__(self) -> str:
        place = self.place
        return f"{self.code}  {place}: {self.message}" if place else f"{self.code}  {self.message}"


def examples(items: Sequence[Item], problem: Callable[[Item], Problem]) -> list[Problem]:
    """Return the problems of the first items and one that counts the others, `… and 195 more`."""
    shown = [problem(item) for item in items[:EXAMPLES_SHOWN]]
    more = len(items) - len(shown)
    if not more:
        return shown
    columns = {item.column for item in shown}
    column = shown[0].column if len(columns) == 1 else None
    return [*shown, Problem(shown[0].code, f"… and {more:,} more", column=column, count=more)]


def problem_list(where: str, problems: Sequence[Problem]) -> str:
    """Return the text form: a heading with the count, then one indented line a problem."""
    return "\n".join(problem_lines(where, problems))


def problem_lines(where: str, problems: Sequence[Problem]) -> list[str]:
    """Return the lines of `problem_list`."""
    noun = "warning" if problems and all(p.is_warning for p in problems) else "problem"
    total = sum(problem.count for problem in problems)
    return [f"{printable(where, None)}: {plural(total, noun)}", *(f"  {problem}" for problem in problems)]


def problems_json(where: str, problems: Sequence[Problem]) -> str:
    """Return the JSON form: `schema`, `where`, `valid`, and `problems` with every field and its `severity`."""
    items = [{**asdict(problem), "severity": "warning" if problem.is_warning else "error"} for problem in problems]
    valid = all(problem.is_warning for problem in problems)
    return json_text({"schema": "merbench.problems/1", "where": where, "valid": valid, "problems": items})


def github_annotations(where: str, problems: Sequence[Problem]) -> str:
    """Return one GitHub workflow command per problem, shown next to the line it is about; empty without problems."""
    return "".join(f"{_github_command(where, problem)}\n" for problem in problems)


def _github_command(where: str, problem: Problem) -> str:
    properties = {"file": printable(where, None), "line": problem.line, "title": problem.code}
    given = ",".join(f"{key}={_github_property(str(value))}" for key, value in properties.items() if value is not None)
    text = f"{problem.column}: {problem.message}" if problem.column else problem.message
    return f"::{'warning' if problem.is_warning else 'error'} {given}::{_github_text(text)}"


def _github_text(text: str) -> str:
    return text.replace("%", "%25")  # line ends, which the format escapes too, never reach it


def _github_property(text: str) -> str:
    return _github_text(text).replace(":", "%3A").replace(",", "%2C")


class MerbenchError(Exception):
    """Base of everything merbench raises on purpose.

    Every argument is one line of the message, so that a line end inside it, which may come from a file, is escaped.
    """

    exit_code: ClassVar[int] = 70

    def __init__(self, *lines: str) -> None:
        super().__init__(*(printable(line, LONGEST_LINE) for line in lines))

    def __str__(self) -> str:
        return "\n".join(self.args)


class UsageError(MerbenchError):
    """A name, a path, an option or a declaration is wrong."""

    exit_code = 2


class UnknownName(UsageError):
    """No such thing of this kind; the message lists the known names and the nearest match."""

    def __init__(self, kind: str, name: str, options: Iterable[str], hint: str = "") -> None:
        options = sorted(options)
        known = listed(options, 16 if len(options) <= 16 else 12) if options else "none"
        start, end = f"no {kind} named '{name}'", f"; {hint}" if hint else ""
        self.without_known = f"{start}{end}"  # the message without the known names and the nearest match
        super().__init__(f"{start}{did_you_mean(name, options)} (known: {known}){end}")


class MissingExtra(UsageError):
    """An optional dependency is not installed; the message names the extra that brings it."""

    def __init__(self, needs: str, extra: str) -> None:
        super().__init__(f"{needs} needs the extra '{extra}': pip install 'merbench[{extra}]'")


class WithheldReference(UsageError):
    """The references of a split are withheld from this corpus."""


class Inapplicable(UsageError):
    """A corruption or extractor cannot be applied to a signal, such as a ratio to silence; the message says why."""


class UnreadableMedia(UsageError):
    """A media file is corrupted, cut off, or has no such stream; `reason` says what is wrong, without the path."""

    def __init__(self, path: object, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path}: {reason}")


class UndefinedMetric(UsageError):
    """A metric has no value on these data; the message names metric and reason."""


class _WithProblems(MerbenchError):
    """An error that carries a file's problems, all of them."""

    def __init__(self, where: str, problems: Sequence[Problem]) -> None:
        self.where = where
        self.problems = tuple(problems)
        super().__init__(*problem_lines(where, self.problems))


class DeclarationError(_WithProblems, UsageError):
    """A TOML declaration (track, corpus, entry, baseline) has problems."""


class InvalidCorpus(_WithProblems, UsageError):
    """Tables or features for a corpus have problems."""


class InvalidLexicon(_WithProblems, UsageError):
    """The files of a lexicon have problems."""


class InvalidGroups(_WithProblems, UsageError):
    """A file of synonym groups has problems."""


class InvalidSubmission(_WithProblems):
    """A participant's file has problems."""

    exit_code = 1


class IntegrityError(MerbenchError):
    """A digest or signature does not match what was recorded, or a board is stale."""

    exit_code = 3


class PolicyError(MerbenchError):
    """A rule of the challenge forbids it, such as values of single samples of a split with a hidden part."""

    exit_code = 4


class OutputError(MerbenchError):
    """The output could not be written, or no space is left."""

    exit_code = 74
