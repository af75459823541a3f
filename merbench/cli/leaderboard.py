"""`merbench leaderboard`, `merbench enter` and `merbench validate-entries`."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

import merbench
from merbench.cli import options
from merbench.cli.options import INPUT, METADATA, OUTPUT
from merbench.cli.parser import argument, option
from merbench.cli.printing import print_data, print_line, terminal_width
from merbench.cli.scoring import require_track_first
from merbench.errors import (
    WITH_PROBLEMS,
    IntegrityError,
    InvalidSubmission,
    MerbenchError,
    UnknownName,
    UsageError,
    WithheldReference,
    contained,
    github_annotations,
    json_text,
    listed,
    plural,
    problem_list,
    problems_json,
)

if TYPE_CHECKING:
    from merbench.leaderboard.board import Board
    from merbench.track import Track


BoardFormat = StrEnum("BoardFormat", "markdown csv json html latex")


@dataclass(slots=True)
class _Outcome:
    """What happened to the boards of one command."""

    n_done: int = 0
    stale: list[str] = field(default_factory=list)
    failed_tracks: list[Exception] = field(default_factory=list)
    failed_entries: list[str] = field(default_factory=list)

    def add(self, board: Board, stale: list[str]) -> None:
        """Count a board that was finished, with its files that are out of date."""
        from merbench.leaderboard.entry import FAILED

        self.n_done += 1
        self.stale += stale
        self.failed_entries += [
            entry.place for entry in board.invalid if any(problem.code == FAILED for problem in entry.problems)
        ]

    def leave(self) -> None:
        """List what failed or is out of date, and end the command with the exit code for it."""
        failed = [plural(len(self.failed_tracks), "track")] if self.failed_tracks else []
        if self.failed_entries:
            n = len(self.failed_entries)
            failed.append(f"{n:,} {'entry' if n == 1 else 'entries'}: {listed(self.failed_entries)}")
        if failed:
            print(f"failed: {', '.join(failed)}", file=sys.stderr)
        if self.stale:
            head = f"{plural(len(self.stale), 'file')} out of date; `merbench leaderboard` writes them again"
            raise IntegrityError(head, *(f"  {line}" for line in self.stale))
        if self.n_done and failed:
            raise typer.Exit(WITH_PROBLEMS)
        if self.failed_tracks:
            raise typer.Exit(getattr(self.failed_tracks[0], "exit_code", MerbenchError.exit_code))


def leaderboard(
    tracks: list[str] | None = argument("TRACK", "Tracks. [default: all that have entries]", None),
    submissions: options.Submissions = Path("submissions"),
    family: str = option(
        INPUT, "--family NAME", "Tracks of this family, and their plain mean, as family-NAME.md, .json, .html.", ""
    ),
    cache: bool = option(INPUT, "--cache/--no-cache", "Keep computed scores in the data home.", True),
    forms: list[BoardFormat] | None = option(
        OUTPUT, "--format markdown|csv|json|html|latex", "Format of the board; repeatable. [default: all but latex]"
    ),
    output: str = option(
        OUTPUT, "--output -o DIR", "Folder of boards; - for stdout. [default: next to the entries]", ""
    ),
    check: bool = option(OUTPUT, "--check", "Write nothing; exit with 3 if a board is out of date.", False),
) -> None:
    """Score all entries, rank them, and write the board.

    A page over all boards, index.html, is written next to their folders. Without TRACK, a track whose references or
    corpus are not available is skipped. A track or an entry that fails is listed, and the others are finished: exit
    code 5.
    """
    from merbench.leaderboard.build import Cache, build_board
    from merbench.leaderboard.check import track_named
    from merbench.leaderboard.entry import track_folders
    from merbench.site.page import FORMS, PUBLISHED, board_files, stale_files, write_files

    folders = track_folders(submissions)
    if not tracks and not folders:
        raise UsageError(f"{submissions}: has no folder of a track")
    if output == "-" and (check or len(forms or ()) > 1):
        raise UsageError("--output - prints one format of the board and checks nothing")
    if family and (tracks or (output == "-" and forms)):
        raise UsageError("--family names the tracks, and prints text or writes files; leave out TRACK or --format")
    members = _members(family) if family else {}
    folders = [name for name in folders if name in members or not family]
    scores = Cache.at_home() if cache else Cache(None)
    chosen = [form.value for form in forms or ()] or PUBLISHED
    outcome = _Outcome()
    boards: dict[str, Board] = {}
    for name in dict.fromkeys(tracks or folders):
        try:
            track = merbench.load_track(name) if tracks else track_named(name)
            try:
                board = build_board(track, submissions, scores)
            except (WithheldReference, UnknownName) as error:
                if tracks:
                    raise
                print(f"{name}: skipped: {error}", file=sys.stderr)
                continue
            files = board_files(board, chosen)
            folder = Path(output or submissions) / track.id
            changed = list(stale_files(folder, files)) if check else []
            if output != "-" and not check:
                write_files(folder, files)
        except Exception as error:  # the other tracks are finished
            print(f"{name}: {contained(error)}", file=sys.stderr)
            outcome.failed_tracks.append(error)
            continue
        outcome.add(board, changed)
        boards[track.id] = board
        if output == "-" and forms:
            print_data(files[FORMS[chosen[0]][0]])
        elif check:
            print(f"{track.key}: {plural(len(changed), 'file')} out of date" if changed else f"{track.key}: up to date")
        else:
            print(board.to_text(terminal_width()))
        if output != "-" and not check:
            print_line(f"wrote {', '.join(str(folder / file) for file in files)}")
            print()
    if boards and output != "-" and "html" in chosen:
        _finish_start_page(Path(output or submissions), boards, check, outcome)
    if family:
        _finish_family(family, members, boards, output or str(submissions), check, outcome)
    outcome.leave()


def _members(family: str) -> dict[str, Track]:
    """Return the tracks of a family by id."""
    from merbench.declarations import KEBAB
    from merbench.track import readable_tracks

    known, _ = readable_tracks()
    families = {track.family for track in known if re.fullmatch(KEBAB, track.family)}  # it is part of a file's name
    if family not in families:
        raise UnknownName("family of tracks", family, families)
    return {track.id: track for track in known if track.family == family}


def _finish_family(
    family: str, members: Mapping[str, Track], boards: Mapping[str, Board], output: str, check: bool, outcome: _Outcome
) -> None:
    """Print the board of a family, and write or check its files."""
    from merbench.leaderboard.family import family_board
    from merbench.site.page import stale_files, write_files

    board = family_board(family, list(members.values()), boards)
    forms = {"md": board.to_markdown, "json": board.to_json, "html": board.to_html}
    files = {f"family-{family}.{suffix}": render() for suffix, render in forms.items()}
    if check:
        outcome.stale += stale_files(Path(output), files)
        return
    print(board.to_text(terminal_width()))
    if output != "-":
        write_files(Path(output), files)
        print_line(f"wrote {', '.join(str(Path(output) / file) for file in files)}")


def _finish_start_page(folder: Path, boards: Mapping[str, Board], check: bool, outcome: _Outcome) -> None:
    """Write or check the page over the boards of this call and those that are published in a folder."""
    from merbench.site.page import FORMS, START, is_own, stale_files, start_page, stored_boards, write_files

    if not is_own(folder / START):
        print(f"{folder / START}: left as it is, since another program wrote it", file=sys.stderr)
        return
    listed_boards = dict(boards)
    for name, stored in stored_boards(folder):
        if isinstance(stored, Exception):
            path = folder / name / FORMS["json"][0]
            if name not in boards:
                print(f"{path}: left out of {START}: {contained(stored)}", file=sys.stderr)
                outcome.failed_tracks.append(stored)
        else:
            listed_boards.setdefault(name, stored)
    files = {START: start_page(listed_boards)}
    if check:
        outcome.stale += stale_files(folder, files)
    else:
        write_files(folder, files)
        print_line(f"wrote {folder / START}")


def enter(
    track: options.Track,
    file: Path = argument("FILE", "Submission."),
    team: str = option(METADATA, "--team NAME", "Name of the team's folder.", ...),
    run: str = option(METADATA, "--run NAME", "Name of the run's folder.", ...),
    system: str = option(
        METADATA, "--system NAME", "System; its runs with several seeds are one row. [default: run name]", ""
    ),
    seed: int | None = option(METADATA, "--seed N", "Seed of the run.", min=0, max=options.MOST_SEED),
    title: str = option(METADATA, "--title TEXT", "One line about the run. [default: system name]", ""),
    team_name: str = option(METADATA, "--team-name TEXT", "Displayed name of the team. [default: TEAM]", ""),
    member: list[str] | None = option(METADATA, "--member NAME", "Author; repeatable."),
    paper: str | None = option(METADATA, "--paper URL", "Paper about the system."),
    code: str | None = option(METADATA, "--code URL", "Source code of the system."),
    external_data: list[str] | None = option(
        METADATA, "--external-data TEXT", "Data used beyond the track's own; repeatable."
    ),
    received: str | None = option(METADATA, "--received TIME", "Time of receipt, RFC 3339 with offset. [default: now]"),
    ranks: bool = option(METADATA, "--ranked/--unranked", "Whether the run is ranked.", True),
    selected: bool = option(METADATA, "--selected", "Show this run of its system, not the mean of its seeds.", False),
    rename: options.Rename = None,
    submissions: options.Submissions = Path("submissions"),
    force: options.Force = False,
) -> None:
    """Check a submission and write its entry for the board."""
    from datetime import UTC, datetime

    from merbench.leaderboard.entry import CardValue, write_entry

    card: dict[str, CardValue] = {
        "title": title or system or run,
        "team": team_name or team,
        "members": member or [],
        "system": system or run,
        "seed": seed,
        "paper": paper,
        "code": code,
        "external_data": external_data or [],
        "received": received or datetime.now(UTC).isoformat(timespec="seconds"),
        "ranks": ranks,
        "selected": selected,
        "rename": options.renamed(rename) or None,
    }
    require_track_first("enter", track, [str(file)])
    folder = write_entry(
        submissions, team, run, card, file, merbench.open_candidates(merbench.load_track(track)), replace=force
    )
    print_line(f"wrote {folder}; `merbench leaderboard` puts it on the board")


def validate_entries(
    entries: list[Path] | None = argument("ENTRY", "Folders <track>/<team>/<run>. [default: all]", None),
    submissions: options.Submissions = Path("submissions"),
    form: options.ProblemFormatOption = options.ProblemFormat.text,
) -> None:
    """Check entries without references, as for a pull request."""
    from merbench.leaderboard.check import check_entries
    from merbench.leaderboard.entry import FAILED

    chosen = [entry if entry.is_relative_to(submissions) else submissions / entry for entry in entries or ()]
    results = list(check_entries(submissions, chosen))
    if form is options.ProblemFormat.json:
        print_data(json_text([json.loads(problems_json(entry.place, entry.problems)) for entry in results]))
    for entry in results if form is not options.ProblemFormat.json else ():
        if form is options.ProblemFormat.text:
            print(problem_list(entry.place, entry.problems) if entry.problems else f"{entry.place}: valid")
            continue
        folder = f"{submissions.as_posix()}/{entry.place}"
        print_data(github_annotations(f"{folder}/entry.toml", entry.card))
        print_data(github_annotations(f"{folder}/{entry.submission}", entry.predictions))
    invalid = [entry for entry in results if not entry.is_valid]
    if form is not options.ProblemFormat.json:
        print(f"entries: {len(results):,}, invalid: {len(invalid):,}")
    if invalid:
        only_failures = all(problem.code == FAILED for entry in invalid for problem in entry.problems)
        raise typer.Exit(WITH_PROBLEMS if only_failures else InvalidSubmission.exit_code)
