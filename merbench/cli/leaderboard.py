"""`merbench leaderboard`, `merbench enter` and `merbench validate-entries`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from merbench.cli.options import MOST_SEED, TrackArgument, print_line, terminal_width
from merbench.cli.scoring import ProblemFormat, RenameOption, renamed, require_track_first


class BoardFormat(StrEnum):
    """Forms of a published board."""

    markdown = "markdown"
    csv = "csv"
    json = "json"
    html = "html"


SubmissionsOption = Annotated[Path, typer.Option(metavar="DIR", help="Folder of <track>/<team>/<run>/.")]


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("leaderboard")(leaderboard)
    app.command("enter")(enter)
    app.command("validate-entries")(validate_entries)


def leaderboard(
    tracks: Annotated[list[str] | None, typer.Argument(metavar="TRACK", help="Tracks; all with entries.")] = None,
    submissions: SubmissionsOption = Path("submissions"),
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Folder for <track>/leaderboard.*; the entries' own if empty; - prints.",
        ),
    ] = "",
    forms: Annotated[
        list[BoardFormat] | None,
        typer.Option("--format", metavar="|".join(BoardFormat), help="Form of the board; repeatable; all four."),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 3 where a board is stale.")] = False,
    cache: Annotated[bool, typer.Option("--cache/--no-cache", help="Remember scores in the data home.")] = True,
) -> None:
    """Score all entries, rank them, and write the board.

    Without TRACK, a track whose references or corpus are not available is named and skipped. A track or an entry that
    fails is named, and the others are finished: exit code 5.
    """
    from merbench.errors import (
        WITH_PROBLEMS,
        IntegrityError,
        MerbenchError,
        UnknownName,
        UsageError,
        WithheldReference,
        contained,
        listed,
        plural,
    )
    from merbench.files import write_text
    from merbench.leaderboard.build import Cache, build_board
    from merbench.leaderboard.check import track_named
    from merbench.leaderboard.entry import FAILED, track_folders
    from merbench.site.page import FORMS, board_files, stale_files, write_files
    from merbench.track import load_track

    found = track_folders(submissions)
    if not tracks and not found:
        raise UsageError(f"{submissions}: holds no folder of a track")
    if output == "-" and (check or len(forms or ()) > 1):
        raise UsageError("--output - prints one form of the board and checks nothing")
    store, chosen = Cache.at_home() if cache else Cache(None), [form.value for form in forms or ()] or tuple(FORMS)
    stale: list[str] = []
    failed: list[Exception] = []
    unread: list[str] = []
    n_done = 0
    for name in dict.fromkeys(tracks or found):
        try:
            track = load_track(name) if tracks else track_named(name)
            try:
                board = build_board(track, submissions, store)
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
            failed.append(error)
            continue
        n_done += 1
        stale += changed
        if output == "-" and forms:
            write_text("-", files[FORMS[chosen[0]][0]])
        elif check:
            print(f"{track.key}: {plural(len(changed), 'stale file') if changed else 'as written'}")
        else:
            print(board.to_text(terminal_width()))
        if output != "-" and not check:
            print_line(f"wrote {', '.join(str(folder / file) for file in files)}")
            print()
        unread += [entry.place for entry in board.invalid if any(problem.code == FAILED for problem in entry.problems)]
    if failed or unread:
        entries = [f"{len(unread):,} {'entry' if len(unread) == 1 else 'entries'}: {listed(unread)}"] if unread else []
        print(f"failed: {', '.join([*([plural(len(failed), 'track')] if failed else []), *entries])}", file=sys.stderr)
    if stale:
        head = f"{plural(len(stale), 'stale file')}; `merbench leaderboard` writes them again"
        raise IntegrityError(head, *(f"  {line}" for line in stale))
    if n_done and (failed or unread):
        raise typer.Exit(WITH_PROBLEMS)
    if failed:
        raise typer.Exit(getattr(failed[0], "exit_code", MerbenchError.exit_code))


def enter(
    track: TrackArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Submission.")],
    team: Annotated[str, typer.Option(metavar="NAME", help="Name of the team's folder.")],
    run: Annotated[str, typer.Option(metavar="NAME", help="Name of the run's folder.")],
    system: Annotated[
        str, typer.Option(metavar="NAME", help="System; its runs with different seeds make one row. The run's name.")
    ] = "",
    seed: Annotated[int | None, typer.Option(metavar="N", min=0, max=MOST_SEED, help="Seed of the run.")] = None,
    title: Annotated[str, typer.Option(metavar="TEXT", help="One line about the run. The system's name.")] = "",
    team_name: Annotated[str, typer.Option(metavar="TEXT", help="The team's name as it is shown. The folder's.")] = "",
    member: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Who made it; repeatable.")] = None,
    paper: Annotated[str | None, typer.Option(metavar="URL", help="Where the system is described.")] = None,
    code: Annotated[str | None, typer.Option(metavar="URL", help="Where its code is found.")] = None,
    external_data: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="Data beyond the track's own; repeatable.")
    ] = None,
    received: Annotated[
        str | None, typer.Option(metavar="TIME", help="When it was received, RFC 3339 with offset. Now.")
    ] = None,
    ranks: Annotated[bool, typer.Option("--ranked/--unranked", help="Whether it takes part in the ranking.")] = True,
    selected: Annotated[bool, typer.Option("--selected", help="Let this run alone stand for its system.")] = False,
    rename: RenameOption = None,
    submissions: SubmissionsOption = Path("submissions"),
    force: Annotated[bool, typer.Option("--force", help="Replace an entry that already exists.")] = False,
) -> None:
    """Check a submission and write its entry for the board."""
    from datetime import UTC, datetime

    from merbench.corpus.candidates import open_candidates
    from merbench.leaderboard.entry import CardValue, write_entry
    from merbench.track import load_track

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
        "rename": renamed(rename) or None,
    }
    require_track_first("enter", track, [str(file)])
    folder = write_entry(submissions, team, run, card, file, open_candidates(load_track(track)), replace=force)
    print_line(f"wrote {folder}; `merbench leaderboard` puts it on the board")


def validate_entries(
    entries: Annotated[
        list[Path] | None, typer.Argument(metavar="ENTRY", help="Folders <track>/<team>/<run>; all that there are.")
    ] = None,
    submissions: SubmissionsOption = Path("submissions"),
    form: Annotated[ProblemFormat, typer.Option("--format", help="Form of the list of problems.")] = ProblemFormat.text,
) -> None:
    """Check entries as a pull request needs: no references."""
    import json

    from merbench.errors import (
        WITH_PROBLEMS,
        InvalidSubmission,
        github_annotations,
        json_text,
        problem_list,
        problems_json,
    )
    from merbench.files import write_text
    from merbench.leaderboard.check import check_entries
    from merbench.leaderboard.entry import FAILED

    chosen = [entry if entry.is_relative_to(submissions) else submissions / entry for entry in entries or ()]
    results = list(check_entries(submissions, chosen))
    n_invalid = sum(not found.is_valid for found in results)
    if form is ProblemFormat.json:
        documents = [json.loads(problems_json(found.place, found.problems)) for found in results]
        write_text("-", json_text(documents))
    else:
        for found in results:
            if form is ProblemFormat.text:
                print(problem_list(found.place, found.problems) if found.problems else f"{found.place}: valid")
                continue
            folder = f"{submissions.as_posix()}/{found.place}"
            write_text("-", github_annotations(f"{folder}/entry.toml", found.card))
            write_text("-", github_annotations(f"{folder}/{found.submission}", found.predictions))
        print(f"entries: {len(results):,}, invalid: {n_invalid:,}")
    if n_invalid:
        failures = [
            all(problem.code == FAILED for problem in found.problems) for found in results if not found.is_valid
        ]
        raise typer.Exit(WITH_PROBLEMS if all(failures) else InvalidSubmission.exit_code)
