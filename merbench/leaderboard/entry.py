"""Entries in `submissions/<track>/<team>/<run>/`: read and checked with all problems at once, and written.

Conventions:
    A folder of submissions is data from strangers: nothing in it is executed, nothing but plain folders and regular
    files is opened, and names are shown only after they have been checked.
"""

from __future__ import annotations

import re
import shutil
import stat
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, ValidationError

from merbench.corpus.candidates import Candidates
from merbench.declarations import Declaration, declaration_problems
from merbench.errors import DeclarationError, Problem, UsageError, contained, fault, in_a_line, listed, printable
from merbench.files.toml import parse_toml, toml_text
from merbench.files.writing import atomic_folder, write_text
from merbench.submission import read_submission
from merbench.submission.content import SUFFIXES

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,38}", re.ASCII)
"""What a team's or a run's folder may be called."""

MAX_CARD_BYTES = 65_536
"""The largest `entry.toml` that is read."""

SUBMISSION_NAMES = tuple(
    f"submission{suffix}{packed}"
    for suffix, form in SUFFIXES.items()
    for packed in ("", *((".gz", ".zst") if form in ("a delimited table", "JSON lines") else ()))
)
"""What the file of predictions may be called, in lower case."""

FAILED = "E409"
"""The code of an entry that cannot be read or scored because of an error of this machine, or a bug."""

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)", re.ASCII)

MOST_MARKS = 4
"""How many combining marks one letter may have where its script has marks of its own, such as pointed Hebrew."""

_MARKS_OF_NO_SCRIPT = re.compile(
    r"[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]{3,}"
)
"""More accents than any orthography puts on a composed letter."""

_FOUR_EQUAL = re.compile(r"(.)\1{3}")


def _one_line(text: str) -> str:
    """Return a name in the composed form (NFC), with plain spaces, if all of it is visible and on one line."""
    text = "".join(" " if unicodedata.category(c) == "Zs" else c for c in unicodedata.normalize("NFC", text))
    if text != text.strip():
        raise ValueError("has spaces at its ends")
    if (shown := printable(text, None)) != text:
        raise ValueError(f"contains {_first_escaped(text, shown)}; one line of visible text is allowed")
    marks = "".join("m" if unicodedata.category(c) in ("Mn", "Me") else " " for c in text)
    is_repeated = any(marks[match.start()] == "m" for match in _FOUR_EQUAL.finditer(text))
    if marks.startswith("m") or "m" * (MOST_MARKS + 1) in marks or is_repeated or _MARKS_OF_NO_SCRIPT.search(text):
        raise ValueError(
            "stacks combining marks; a letter may have two accents, or four marks of its script, not four equal ones"
        )
    return text


def _first_escaped(text: str, shown: str) -> str:
    """Return the first character that `printable` escapes, in words."""
    c = next(own for own, other in zip(text, shown, strict=False) if own != other)
    if c in ":#":
        return "a command of a CI system"
    name = unicodedata.name(c, "")
    return f"the invisible character U+{ord(c):04X}{name and f' ({name})'}"


def _moment(value: Any) -> Any:
    if isinstance(value, str):
        if not _MOMENT.fullmatch(value):
            raise ValueError("not a time with an offset, such as 2026-01-31T12:00:00+08:00")
        value = datetime.fromisoformat(value.upper())
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("has no offset; write for example 2026-01-31T12:00:00+08:00")
        try:
            value.astimezone(UTC)
        except OverflowError:
            raise ValueError("not in the years 1 to 9999 (UTC)") from None
    return value


Line = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_one_line)]
"""One line of visible text: see `_one_line`."""


class EntryCard(Declaration):
    """What an `entry.toml` declares; `submissions/README.md` documents the keys."""

    title: Line
    team: Line  # the team's name as it is shown; the folder's name identifies it
    members: tuple[Line, ...] = Field(default=(), max_length=100, strict=False)
    system: Line  # the system that made the predictions; runs of one system that differ in seed make one row
    # the seed of this run; None when nothing in the system is random
    seed: int | None = Field(default=None, ge=0, lt=1 << 63)
    paper: Line | None = None
    code: Line | None = None
    external_data: tuple[Line, ...] = Field(max_length=100, strict=False)
    received: Annotated[AwareDatetime, BeforeValidator(_moment)]
    ranks: bool = True  # whether it takes part in the ranking; if not it is shown without a rank
    selected: bool = False  # whether only this run represents its system
    # names of columns in the file that differ from the track's: name in the file -> name in the track
    rename: dict[Line, Line] = Field(default_factory=dict, max_length=100)


@dataclass(frozen=True, eq=False)
class Entry:
    """A submission with its card, in the folders `track`, `team` and `run`; its predictions have not been read yet."""

    track: str
    team: str
    run: str
    card: EntryCard
    submission: Path

    @property
    def place(self) -> str:
        """The entry as it is named in messages: `<track>/<team>/<run>`."""
        return f"{self.track}/{self.team}/{self.run}"

    @property
    def received(self) -> datetime:
        """When it was received, in UTC."""
        return self.card.received.astimezone(UTC)


@dataclass(frozen=True)
class InvalidEntry:
    """An entry that cannot be ranked: `<track>/<team>/<run>`, and all its problems."""

    place: str
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class Inspection:
    """The folder of an entry: its card and its file of predictions as far as they are valid, and all problems."""

    place: str
    card: EntryCard | None = None
    submission: Path | None = None
    problems: tuple[Problem, ...] = ()

    @property
    def entry(self) -> Entry | None:
        """The entry, where card and file are valid."""
        if self.card is None or self.submission is None:
            return None
        track, team, run = self.place.split("/")
        return Entry(track, team, run, self.card, self.submission)


def failure(error: Exception) -> Problem:
    """Return the problem of an entry that could not be read or scored because of an exception."""
    return Problem(FAILED, f"could not be read or scored: {in_a_line(contained(error))}")


def track_folders(submissions: Path) -> list[str]:
    """Return the names of the tracks in a folder of submissions, sorted.

    Raises:
        UsageError: the folder does not exist.
        DeclarationError: it is a link, as a pull request may contain: boards would be written where it leads.
    """
    if submissions.is_symlink():
        raise DeclarationError(str(submissions), [_link_problem(submissions.name)])
    if not submissions.is_dir():
        raise UsageError(f"{submissions}: this folder of submissions does not exist")
    return [folder.name for folder in _folders(submissions)]


def run_folders(submissions: Path, track: str) -> list[Path]:
    """Return the folders `<team>/<run>` of a track, sorted, and what will be refused.

    That is a link in place of the track, a team or a run, a team's folder that cannot be listed, and one without runs
    whose name is not allowed.
    """
    root = submissions / track
    if root.is_symlink():
        return [root]
    if not root.is_dir():
        return []
    return [run for team in _folders(root) for run in _runs(team)]


def _runs(team: Path) -> list[Path]:
    if team.is_symlink():
        return [team]
    try:
        runs = _folders(team)
    except OSError:
        return [team]
    return runs if runs or NAME.fullmatch(team.name) else [team]


def _folders(parent: Path) -> list[Path]:
    """Return the folders in a folder, and the links; files and hidden names are not entries."""
    return sorted(p for p in parent.iterdir() if not p.name.startswith(".") and (p.is_symlink() or p.is_dir()))


def read_entry(submissions: Path, folder: Path) -> Entry:
    """Return the entry of a folder `<track>/<team>/<run>` below `submissions`; its predictions are not read.

    Raises:
        DeclarationError: the folder or its `entry.toml` has problems; all of them are listed.
    """
    inspection = inspect_entry(submissions, folder)
    if inspection.entry is None:
        raise DeclarationError(inspection.place, inspection.problems)
    return inspection.entry


def inspect_entry(submissions: Path, folder: Path) -> Inspection:
    """Return what is in the folder of an entry; its predictions are not read."""
    place = place_of(submissions, folder)
    if problems := tuple(_place_problems(submissions, folder.relative_to(submissions).parts)):
        return Inspection(place, problems=problems)
    card, card_problems = _card(folder / "entry.toml")
    submission, file_problems = _submission_file(folder)
    return Inspection(place, card, submission, (*card_problems, *file_problems))


def place_of(submissions: Path, folder: Path) -> str:
    """Return a folder as it is named in messages, relative to the folder of submissions."""
    return "/".join(printable(part) for part in folder.relative_to(submissions).parts)


def without_duplicates(entries: Iterable[Entry]) -> tuple[list[Entry], list[InvalidEntry]]:
    """Return the entries that are accepted, and those that an entry received earlier excludes.

    Runs of one system differ in seed, and at most one of them is selected.
    """
    accepted: list[Entry] = []
    excluded: list[InvalidEntry] = []
    for entry in sorted(entries, key=lambda entry: (entry.received, entry.place)):
        card = entry.card
        earlier = [e for e in accepted if (e.track, e.team, e.card.system) == (entry.track, entry.team, card.system)]
        seed = "without a seed" if card.seed is None else f"with seed {card.seed}"
        problems = [
            Problem("E406", f"'{card.system}' {seed} already exists: run '{other.run}', received earlier")
            for other in earlier
            if other.card.seed == card.seed
        ]
        problems += [
            Problem("E406", f"run '{other.run}' of '{card.system}' is already selected", column="selected")
            for other in earlier
            if other.card.selected and card.selected
        ]
        if problems:
            excluded.append(InvalidEntry(entry.place, tuple(problems)))
        else:
            accepted.append(entry)
    return accepted, excluded


def name_problems(team: str | None = None, run: str | None = None) -> Iterator[Problem]:
    """Yield the problems of the names of a team's and a run's folder, as far as they are given."""
    for noun, name in (("team", team), ("run", run)):
        if name is not None and not NAME.fullmatch(name):
            allowed = "1 to 39 of a-z, 0-9 and -, the first a letter or a digit"
            yield Problem("E403", f"{noun} folder '{printable(name)}': not a valid name; allowed: {allowed}")


def _place_problems(submissions: Path, parts: Sequence[str]) -> Iterator[Problem]:
    if len(parts) != 3:
        yield Problem("E403", "an entry is a folder <track>/<team>/<run>")
    yield from name_problems(*parts[1:3])
    if links := list(link_problems(submissions, parts)):
        yield from links
        return
    path = submissions
    for name in parts:
        path /= name
        if not path.is_dir():
            yield Problem("E403", f"'{printable(name)}' is not a folder")
            return
    next(path.iterdir(), None)  # a folder that cannot be listed is an error of this entry


def link_problems(submissions: Path, parts: Sequence[str]) -> Iterator[Problem]:
    """Yield which folders on the way to an entry are links, from the folder of submissions on."""
    if submissions.is_symlink():
        yield _link_problem(submissions.name)
    path = submissions
    for name in parts:
        path /= name
        if path.is_symlink():
            yield _link_problem(name)


PLAIN = "an entry is made of plain folders and files"


def _link_problem(name: str, why: str = PLAIN) -> Problem:
    return Problem("E405", f"'{printable(name)}' is a symbolic link; {why}")


def _irregular(path: Path, why: str = PLAIN) -> Problem | None:
    """Return why a file is not opened: it is a link, a folder, a device or a pipe."""
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return _link_problem(path.name, why)
    if stat.S_ISDIR(mode):
        return Problem("E403", f"'{path.name}' is a folder, not a file")
    if not stat.S_ISREG(mode):
        return Problem("E405", f"'{printable(path.name)}' is not a regular file")
    return None


def output_problems(folder: Path, names: Iterable[str]) -> Iterator[Problem]:
    """Yield why files cannot be written into a track's folder: nothing is written through a link."""
    why = "nothing is written through a link"
    if folder.is_symlink():
        yield _link_problem(folder.name, why)
        return
    for name in names:
        with suppress(FileNotFoundError, NotADirectoryError):
            if problem := _irregular(folder / name, why):
                yield problem


def _submission_file(folder: Path) -> tuple[Path | None, list[Problem]]:
    files = sorted(path for path in folder.iterdir() if path.name.lower().startswith("submission."))
    if len(files) != 1:
        names = listed([printable(path.name) for path in files])
        message = f"exactly one file 'submission.*' is required, not {f'{len(files)}: {names}' if files else 'none'}"
        return None, [Problem("E404", message)]
    problem = _irregular(files[0]) or next(file_name_problems(files[0].name), None)
    return (None, [problem]) if problem else (files[0], [])


def file_name_problems(name: str) -> Iterator[Problem]:
    """Yield the problems of the name of a file of predictions."""
    if not name.isascii() or name.lower() not in SUBMISSION_NAMES:
        packed = "text may be compressed, with .gz or .zst added"
        allowed = f"allowed: {', '.join(SUFFIXES)}; {packed}"
        yield Problem("E404", f"'{name}' has an unknown suffix; {allowed}")


def _card(path: Path) -> tuple[EntryCard | None, list[Problem]]:
    try:
        problem = _irregular(path)
        if problem:
            return None, [problem]
        size = path.stat().st_size
        if size > MAX_CARD_BYTES:
            return None, [Problem("E401", f"entry.toml has {size:,} bytes; {MAX_CARD_BYTES:,} are allowed")]
        raw = parse_toml(path.name, path.read_bytes(), "E401", "E402")
    except FileNotFoundError:
        return None, [Problem("E401", "entry.toml is missing")]
    except OSError as error:
        return None, [Problem("E401", f"entry.toml cannot be read: {fault(error)}")]
    except DeclarationError as error:
        return None, [
            replace(p, message=f"entry.toml is {p.message}") if p.code == "E401" else p for p in error.problems
        ]
    return parse_card(raw)


def parse_card(raw: Mapping[str, Any]) -> tuple[EntryCard | None, list[Problem]]:
    """Return the card that the keys of an `entry.toml` declare, or all their problems."""
    try:
        return EntryCard.model_validate(raw), []
    except ValidationError as error:
        problems = declaration_problems(error, lambda location: list(EntryCard.model_fields))
        return None, [replace(p, code="E402", column=p.column and printable(p.column)) for p in problems]


CardValue = str | int | bool | list[str] | dict[str, str] | datetime | None
"""The value of a key of `entry.toml`; None leaves it out."""


def write_entry(
    submissions: Path,
    team: str,
    run: str,
    card: Mapping[str, CardValue],
    source: Path,
    candidates: Candidates,
    *,
    replace: bool = False,
) -> Path:
    """Write `<track>/<team>/<run>/` with a card and a copy of checked predictions; return the folder.

    Raises:
        DeclarationError: a name or the card has problems; all of them are listed.
        InvalidSubmission: the predictions have problems; all of them are listed.
        UsageError: the folder already exists and is not to be replaced.
    """
    given = {key: value for key, value in card.items() if value is not None}
    folder = submissions / candidates.track.id / team / run
    name = f"submission{_suffix(source)}"
    parsed, problems = parse_card(given)
    problems = [*name_problems(team, run), *problems, *file_name_problems(name)]
    if not problems:
        problems = [*link_problems(submissions, (candidates.track.id, team, run))]
    if problems or parsed is None:
        raise DeclarationError(f"{candidates.track.id}/{team}/{run}", problems)
    if folder.exists() and not replace:
        raise UsageError(f"{folder}: already exists; --force replaces it")
    read_submission(source, candidates, rename=parsed.rename)
    with atomic_folder(folder, replace=replace) as temporary:
        write_text(temporary / "entry.toml", toml_text(given))
        shutil.copyfile(source, temporary / name)
    return folder


def _suffix(source: Path) -> str:
    """Return the suffix that names the format of a file: `.csv`, `.csv.gz`; a name without one means CSV."""
    packed = source.suffix in (".gz", ".zst")
    return "".join(source.suffixes[-2:]) if packed else source.suffix or ".csv"
