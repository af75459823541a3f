"""The problems of entries, found without a reference: what a participant may see."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from merbench.corpus.candidates import Candidates, open_candidates
from merbench.errors import InvalidSubmission, Problem, UnknownName, UsageError, fault
from merbench.files.paths import list_folders
from merbench.leaderboard.entry import (
    Inspection,
    failure,
    inspect_entry,
    place_of,
    run_folders,
    track_folders,
    without_duplicates,
)
from merbench.submission import read_submission
from merbench.track import Track, load_track


def track_named(name: str) -> Track:
    """Return the track of a folder's name; unlike in `load_track`, the name is never a path.

    Raises:
        UnknownName: no track has this name.
    """
    known = {folder.name for folder in list_folders("track")}
    if name not in known:
        raise UnknownName("track", name, known)
    return load_track(name)


@dataclass(frozen=True, slots=True)
class Findings:
    """The problems of the entry `<track>/<team>/<run>`: of its folder and `entry.toml` (`card`), and of its file.

    `submission` is the name of the file of predictions; None when there is not exactly one.
    """

    place: str
    card: tuple[Problem, ...]
    submission: str | None
    predictions: tuple[Problem, ...]

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All of them."""
        return (*self.card, *self.predictions)

    @property
    def is_valid(self) -> bool:
        """Whether there are warnings at most."""
        return all(problem.is_warning for problem in self.problems)


def check_entries(submissions: Path, chosen: Collection[Path] = ()) -> Iterator[Findings]:
    """Yield the problems of every entry, or of the chosen folders, in order.

    An entry whose candidates are not available gets a warning: its file of predictions is not read. An entry that
    cannot be checked, whatever the reason, is reported (E409), and the others are checked.

    Raises:
        UsageError: the folder of submissions does not exist, or a chosen folder is not in it.
    """
    folders = [folder for track in track_folders(submissions) for folder in _listed_runs(submissions, track)]
    for folder in chosen:
        if not folder.is_relative_to(submissions):
            raise UsageError(f"{folder}: is not a folder in {submissions}")
    inspected = {folder: _inspected(submissions, folder) for folder in sorted({*folders, *chosen})}
    entries = [each.entry for each in inspected.values() if each.entry is not None]
    excluded = {entry.place: entry.problems for entry in without_duplicates(entries)[1]}
    opened: dict[str, Candidates | Problem] = {}
    for folder in sorted(chosen or folders):
        each = inspected[folder]
        of_card = (*each.problems, *excluded.get(each.place, ()))
        if each.submission is None:
            yield Findings(each.place, of_card, None, ())
            continue
        name = folder.relative_to(submissions).parts[0]
        if name not in opened:
            opened[name] = _candidates(name)
        rename = each.card.rename if each.card is not None else {}
        predictions = _prediction_problems(each.submission, opened[name], rename)
        yield Findings(each.place, of_card, each.submission.name, predictions)


def _listed_runs(submissions: Path, track: str) -> list[Path]:
    try:
        return run_folders(submissions, track)
    except Exception:  # reported when the folder is inspected
        return [submissions / track]


def _inspected(submissions: Path, folder: Path) -> Inspection:
    try:
        return inspect_entry(submissions, folder)
    except Exception as error:
        return Inspection(place_of(submissions, folder), problems=(failure(error),))


def _candidates(name: str) -> Candidates | Problem:
    try:
        track = track_named(name)
    except UsageError as error:
        return Problem("E407", fault(error))
    except Exception as error:
        return failure(error)
    try:
        return open_candidates(track)
    except UsageError as error:
        return Problem("W401", f"the predictions were not read: {fault(error)}")
    except Exception as error:
        return failure(error)


def _prediction_problems(
    submission: Path, candidates: Candidates | Problem, rename: Mapping[str, str]
) -> tuple[Problem, ...]:
    if isinstance(candidates, Problem):
        return (candidates,)
    try:
        return read_submission(submission, candidates, rename=rename).warnings
    except InvalidSubmission as error:
        return error.problems
    except Exception as error:
        return (failure(error),)
