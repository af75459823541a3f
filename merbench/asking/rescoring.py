"""Answers that are stored in a file, whoever asked for them, are read as `ask` reads them, and scored.

Conventions:
    A row has the id of a sample and the text of the answer about it: JSON Lines with `sample_id` and `text`, as a run's
    `answers.jsonl` where it asked about one at a time, or a CSV or TSV with such columns (the id may be named as in the
    track's submissions). An answer about several samples has the list of their ids, in JSON Lines. `target` names the
    target where a track has several.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as replaced
from pathlib import Path
from typing import NamedTuple

from merbench.asking.answers import Answer, read_answer, read_answers
from merbench.asking.run import SUBMISSION, scored, submission_text
from merbench.corpus.candidates import Candidates, open_candidates
from merbench.corpus.delimited import read_delimited
from merbench.errors import InvalidSubmission, Problem, UsageError, examples, fault, json_text, listed
from merbench.files.reading import read_bounded, sha256_file
from merbench.files.writing import atomic_folder, write_text
from merbench.report import ScoreReport
from merbench.targets import Target
from merbench.track import Track
from merbench.training.output import require_free, versions

RECORD = "read.json"

MOST_BYTES = 1 << 30
"""The largest file of answers that is read."""


class StoredAnswer(NamedTuple):
    """The text of one answer, and which samples it is about."""

    ids: Sequence[str]
    text: str
    target: str | None  # None where it is not stated


@dataclass(frozen=True, eq=False)
class Rescored:
    """What was read of stored answers.

    Attributes:
        folder: where the submission is.
        candidates: the samples of the split.
        outcomes: target -> how many answers have each outcome.
        report: the score; None where there is none.
        withheld: why there is none.
    """

    folder: Path
    candidates: Candidates = field(repr=False)
    outcomes: Mapping[str, Counter[str]]
    report: ScoreReport | None
    withheld: str


def rescore(
    track: str | Path | Track,
    file: Path,
    *,
    split: str = "test",
    released: bool = True,
    output: Path | None = None,
    replace: bool = False,
    intervals: bool = True,
) -> Rescored:
    """Read the answers in a file, write a submission, and score it.

    Args:
        track: a name, a folder, or a loaded track.
        file: the answers; see the module's conventions.
        split: of the track.
        released: whether answers are read as the released evaluations do; see `read_answer`.
        output: folder to write; None is `runs/<track>/read-<file>`.
        replace: whether a folder that is already there is replaced.
        intervals: whether to resample when the submission is scored.

    Raises:
        UsageError: the track cannot be asked about, or the file not be read.
        InvalidSubmission: rows of the file are not answers; all problems are listed.
    """
    candidates = open_candidates(track, split)
    targets = candidates.track.targets
    if none := [f"{name} ({target.type})" for name, target in targets.items() if not target.answer_form]:
        raise UsageError(f"a language model cannot be asked for {listed(none)}")
    folder = output or Path("runs") / candidates.track.id / f"read-{file.stem}"
    require_free(folder, RECORD, replace=replace)
    read: dict[str, dict[str, Answer]] = {name: {} for name in targets}
    repeated: list[tuple[str, str]] = []  # target and id
    for stored in stored_answers(file, candidates.track):
        name = stored.target or next(iter(targets))
        for id_, answer in zip(stored.ids, _about(targets[name], stored, released), strict=True):
            if id_ in read[name]:
                repeated.append((name, id_))
            read[name][id_] = answer
    if repeated:
        message = "another answer about the same sample"
        problems = examples(repeated, lambda pair: Problem("E636", f"{pair[1]}: {message}", column=pair[0], id=pair[1]))
        raise InvalidSubmission(str(file), problems)
    ids = list(dict.fromkeys(id_ for own in read.values() for id_ in own))
    unread = Answer(None, "empty")
    cells = {name: [own.get(id_, unread).cells for id_ in ids] for name, own in read.items()}
    outcomes: dict[str, Counter[str]] = {
        name: Counter(answer.outcome for answer in own.values()) for name, own in read.items()
    }
    with atomic_folder(folder, replace=True) as temporary:
        write_text(temporary / SUBMISSION, submission_text(candidates.track, ids, cells, {}))
        report, withheld = scored(candidates, temporary / SUBMISSION, intervals)
        record = {
            "schema": "merbench.read/1",
            "track": {"key": candidates.track.key, "fingerprint": candidates.track.fingerprint},
            "split": split,
            "answers": sha256_file(file),
            "reading": "released" if released else "careful",
            "outcomes": {name: dict(sorted(own.items())) for name, own in outcomes.items()},
            "submission": sha256_file(temporary / SUBMISSION),
            "versions": versions(),
        }
        write_text(temporary / RECORD, json_text(record))
    if report is not None:
        report = replaced(report, source=str(folder / SUBMISSION))
    return Rescored(folder, candidates, outcomes, report, withheld)


def _about(target: Target, stored: StoredAnswer, released: bool) -> Sequence[Answer]:
    if len(stored.ids) == 1:
        return (read_answer(target, stored.text, released=released),)
    several = read_answers(target, stored.text, stored.ids, released=released)
    return [Answer(None, "unreadable")] * len(stored.ids) if several is None else several


def stored_answers(file: Path, track: Track) -> list[StoredAnswer]:
    """Return the answers in a file.

    Raises:
        UsageError: the file cannot be read.
        InvalidSubmission: it is not a file of answers; all problems are listed.
    """
    problems: list[Problem] = []
    is_table = file.suffix.lower() in (".csv", ".tsv")
    rows = list(_of_table(file, track, problems) if is_table else _of_lines(file, problems))
    known = list(track.targets)
    strange = sorted({row.target for row in rows if row.target is not None and row.target not in known})
    if strange:
        problems.append(
            Problem("E636", f"answers for {listed(strange)}; the track has {listed(known)}", column="target")
        )
    if len(known) > 1 and any(row.target is None for row in rows):
        problems.append(Problem("E636", f"rows without a target; the track has {listed(known)}", column="target"))
    if problems:
        raise InvalidSubmission(str(file), problems)
    return rows


def _of_table(file: Path, track: Track, problems: list[Problem]) -> Iterator[StoredAnswer]:
    table = read_delimited(file, problems)
    if table is None:
        return
    id_column = next((name for name in ("sample_id", track.submission.id) if name in table.header), None)
    missing = [name for name, given in (("sample_id", id_column), ("text", "text" in table.header)) if not given]
    if missing:
        problems.append(Problem("E636", f"no column {listed(missing)}; it has {listed(table.header, 12)}"))
        return
    targets = table.column("target") if "target" in table.header else [""] * len(table.rows)
    for id_, text, target in zip(table.column(id_column or ""), table.column("text"), targets, strict=True):
        yield StoredAnswer((id_,), text, target or None)


def _of_lines(file: Path, problems: list[Problem]) -> Iterator[StoredAnswer]:
    try:
        lines = read_bounded(file, MOST_BYTES).splitlines()
    except (OSError, ValueError) as error:
        raise UsageError(f"{file}: {fault(error)}") from error
    bad: list[int] = []
    for number, line in enumerate(lines, 1):
        match _json(line):
            case {"sample_id": given, "text": str(text), **others}:
                ids, target = given if isinstance(given, list) else [given], others.get("target")
                if ids and all(map(_is_writable, ids)) and (target is None or isinstance(target, str)):
                    yield StoredAnswer(ids, text, target)
                    continue
        bad.append(number)
    message = "is not an answer: a JSON object with sample_id and text is needed"
    problems += examples(bad, lambda number: Problem("E636", message, line=number))


def _is_writable(value: object) -> bool:
    """Return whether a value is a text that a file in UTF-8 can contain."""
    return isinstance(value, str) and value == value.encode("utf-8", "replace").decode()


def _json(line: bytes) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
