"""Predictions and what is to be told about them go in, the folder of an entry comes out."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from merbench.corpus.candidates import Candidates
from merbench.errors import DeclarationError, UsageError
from merbench.files import atomic_folder, toml_text, write_text
from merbench.leaderboard.entry import file_name_problems, link_problems, name_problems, parse_card
from merbench.submission import read_submission

CardValue = str | int | bool | list[str] | dict[str, str] | datetime | None
"""What a key of `entry.toml` may hold; None leaves it out."""


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
        UsageError: the folder is there already and is not to be replaced.
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
    with atomic_folder(folder, replace=replace) as beside:
        write_text(beside / "entry.toml", toml_text(given))
        shutil.copyfile(source, beside / name)
    return folder


def _suffix(source: Path) -> str:
    """Return what tells the format of a file: `.csv`, `.csv.gz`; a name without any is taken for CSV."""
    packed = source.suffix in (".gz", ".zst")
    return "".join(source.suffixes[-2:]) if packed else source.suffix or ".csv"
