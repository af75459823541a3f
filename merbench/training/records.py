"""Runs as they are read again: what each of them recorded about itself.

Conventions:
    A record is the `run.json` of a folder, and comes from anywhere: it is bounded, checked, and nothing in it is
    executed. Keys that are not known here are kept in `StoredRun.content`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from merbench.declarations import declaration_problems
from merbench.errors import DeclarationError, MalformedFile, UsageError, problem_lines
from merbench.files.reading import read_bounded
from merbench.track import Track
from merbench.track.validation import parse_track
from merbench.training.output import RECORD, SUBMISSION

SCHEMAS = "merbench.run/"

MOST_RECORD_BYTES = 50_000_000
"""The largest record that is read."""

MOST_DEPTH = 6
"""How many folders below the one named are searched for runs."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, protected_namespaces=())


class _TrackSection(_Section):
    key: str
    fingerprint: str
    content: dict[str, Any] | None = None  # records of earlier versions have none

    @property
    def id(self) -> str:
        """The track's id."""
        return self.key.partition("@")[0]


class _CorpusSection(_Section):
    name: str


class _BaselineSection(_Section):
    name: str
    files: dict[str, str] = Field(default_factory=dict)
    preset: str | None = None


class _InputSection(_Section):
    feature: str
    width: int


class _SeedSection(_Section):
    seed: int
    models: dict[str, str] = Field(default_factory=dict)  # file in the folder of the run -> its SHA-256


class _Value(_Section):
    mean: float | None
    deviation: float | None = None


class RunRecord(_Section):
    """What a run recorded, as far as merbench reads it again."""

    track: _TrackSection
    corpus: _CorpusSection
    baseline: _BaselineSection
    features: dict[str, str] = Field(default_factory=dict)  # name -> digest
    hold_out: list[str] = Field(default_factory=list)  # classes that were not learned
    inputs: list[_InputSection] = Field(default_factory=list)  # what the models see, in their order
    options: dict[str, Any] = Field(default_factory=dict)
    ranking: list[str] = Field(default_factory=list)
    runs: list[_SeedSection] = Field(min_length=1)
    cross_validated: dict[str, _Value] = Field(default_factory=dict)
    test: dict[str, _Value] | None = None
    wall_time_s: float | None = None

    @property
    def widths(self) -> dict[str, int]:
        """Numbers per row of every feature, in the order in which the models see them."""
        return {each.feature: each.width for each in self.inputs}


@dataclass(frozen=True, eq=False, slots=True)
class StoredRun:
    """A run that was written: its folder, its record, and all that is in it."""

    folder: Path
    record: RunRecord
    content: Mapping[str, Any] = field(repr=False)

    @property
    def path(self) -> Path:
        """The record."""
        return self.folder / RECORD

    @property
    def submissions(self) -> list[Path]:
        """The submission of every seed, in the order of the record."""
        seeds = [each.seed for each in self.record.runs]
        folders = [self.folder] if len(seeds) == 1 else [self.folder / f"seed-{seed}" for seed in seeds]
        return [folder / SUBMISSION for folder in folders]

    def track(self) -> Track:
        """Return the track that the run was trained for; raise `UsageError` if the record has none that fits."""
        recorded = self.record.track
        if recorded.content is None:
            raise UsageError(
                f"{self.path}: was written by an earlier version of merbench, without its track; run it again"
            )
        try:
            track = parse_track(recorded.content, self.folder / str(recorded.content.get("id")))
        except DeclarationError as error:
            raise UsageError(f"{self.path}: the track cannot be read", *str(error).splitlines()) from error
        if track.fingerprint != recorded.fingerprint:
            raise UsageError(f"{self.path}: the track does not have the fingerprint that is recorded")
        return track

    def names(self) -> dict[str, str]:
        """Return the key of every score by the short name that the track shows it by, the one that ranks first."""
        try:
            track = self.track()
            short = {spec.key: track.metric_label(spec) for spec in track.metrics}
        except UsageError:  # a record of an earlier version
            short = {key: key.partition("(")[0] for key in self.record.cross_validated}
        keys = {short.get(key, key): key for key in self.record.cross_validated}
        first = [name for name in self.record.ranking[:1] if name in keys]
        return {name: keys[name] for name in dict.fromkeys([*first, *keys])}


def read_run(folder: Path) -> StoredRun:
    """Return the run in a folder; raise `UsageError` if there is none, or its record cannot be read."""
    path = folder / RECORD
    if not path.is_file():
        raise UsageError(f"{folder}: no {RECORD} in this folder" if folder.is_dir() else f"{folder}: no such folder")
    return _run(folder, _content(path))


def find_runs(root: Path) -> tuple[list[StoredRun], list[str]]:
    """Return the runs in a folder and below, by path, and a message for every record that cannot be read.

    What is in a run, such as its seeds and predictions, is not searched; ensembles are left out.
    """
    if not root.is_dir():
        raise UsageError(f"{root}: no such folder; `merbench run-baseline` writes runs into ./runs")
    runs, problems = list[StoredRun](), list[str]()
    folders = [(root, 0)]
    while folders:
        folder, depth = folders.pop()
        if (folder / RECORD).is_file():
            try:
                content = _content(folder / RECORD)
                if not _is_ensemble(content):
                    runs.append(_run(folder, content))
            except UsageError as error:
                problems.append(str(error))
        elif depth < MOST_DEPTH:
            folders += [(path, depth + 1) for path in _folders_in(folder)]
    return sorted(runs, key=lambda run: run.folder.parts), sorted(problems)


def _folders_in(folder: Path) -> list[Path]:
    try:
        below = [path for path in folder.iterdir() if not path.name.startswith(".")]
        return [path for path in below if path.is_dir() and not path.is_symlink()]
    except OSError:  # of someone else
        return []


def _content(path: Path) -> Any:
    try:
        return json.loads(read_bounded(path, MOST_RECORD_BYTES))
    except (MalformedFile, ValueError, RecursionError) as error:
        why = str(error) if isinstance(error, MalformedFile) else "not JSON"
        raise UsageError(f"{path}: not the record of a run: {why}") from error


def _is_ensemble(content: Any) -> bool:
    return isinstance(content, dict) and str(content.get("schema")).startswith("merbench.ensemble/")


def _run(folder: Path, content: Any) -> StoredRun:
    path = folder / RECORD
    if not (isinstance(content, dict) and str(content.get("schema")).startswith(SCHEMAS)):
        raise UsageError(f"{path}: not the record of a run of a baseline")
    try:
        return StoredRun(folder, RunRecord.model_validate(content), content)
    except ValidationError as error:
        raise UsageError(*problem_lines(str(path), declaration_problems(error, lambda _: ()))) from error


RESULTS = ("cross_validated", "test", "wall_time_s", "runs", "selection", "parts", "inputs", "warnings")
"""What a run records of its results, which `differences` leaves out."""


def differences(left: StoredRun, right: StoredRun) -> list[tuple[str, Any, Any]]:
    """Return what differs between the configurations of two runs: path of the key, and both values, None without it."""
    sides = [dict(_leaves(_configuration(run))) for run in (left, right)]
    keys = sorted({*sides[0], *sides[1]})
    pairs = [(key, sides[0].get(key), sides[1].get(key)) for key in keys]
    return [(key, first, second) for key, first, second in pairs if first != second]


def _configuration(run: StoredRun) -> dict[str, Any]:
    content = {key: value for key, value in run.content.items() if key not in RESULTS}
    baseline = {key: value for key, value in content["baseline"].items() if key not in ("title", "paper")}
    return {**content, "baseline": baseline, "seeds": [each.seed for each in run.record.runs]}


def _leaves(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
