"""The runs of systems on tracks: what each needs, which are done, and their training in several processes.

Conventions:
    A cell is a system on a track. Its run is in `<track>/<system>` below the folder of the benchmark, and depends on
    no other cell, so any number of processes gives the same results.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from merbench.corpus import Corpus
from merbench.engine import Done, ShowProgress, named_progress, run_here_or_apart
from merbench.errors import MerbenchError, OutputError, UsageError, contained, did_you_mean, in_a_line, listed, plural
from merbench.track import SELECTED_BY, Track, load_track
from merbench.training.declaration import LoadedBaseline, Options, load_baseline
from merbench.training.output import RECORD
from merbench.training.plan import with_learning
from merbench.training.run import kept_run, stored_run
from merbench.training.systems import System, features_of, named_system, options_of_systems, require_distinct
from merbench.training.trainings import RunSettings, Trainings

N_SEEDS = 5
"""How many seeds a system is trained with, where neither the caller nor a preset says."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkSettings:
    """How the systems are trained and compared.

    Attributes:
        seeds: seeds of every system; None takes those of its preset, else 0 to 4. A baseline that gives the same with
            every seed is trained with the first.
        options: options of all systems that have them; those of a system replace them.
        features: features to learn from, by `SYSTEM.TRACK`, system, track, or the empty text for all; the first of
            these that has an entry counts. Without one, what a baseline declares for the track, else all.
        folds: folds of cross-validation on tracks that select on folds; None takes those of the preset, the track or
            the baseline.
        device: `auto` (CUDA where there is one), `cpu`, `cuda`, `cuda:1`, …
        workers: processes on this machine, between which the cells are shared.
        engine: `local`, or `dask://host:port`.
    """

    seeds: Sequence[int] | None = None
    options: Options = field(default_factory=dict)
    features: Mapping[str, Sequence[str]] = field(default_factory=dict)
    folds: int | None = None
    device: str = "auto"
    workers: int = 1
    engine: str = "local"

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise UsageError(f"the number of workers must be at least 1, not {self.workers}")


@dataclass(frozen=True, eq=False)
class CellPlan:
    """A system on a track: what is trained, into which folder, or why it cannot be."""

    track: Track
    system: System
    loaded: LoadedBaseline
    settings: RunSettings
    folder: Path
    problem: str = ""
    is_done: bool = False  # whether the folder has this run already
    cost: float = 0.0  # how long it takes, in no unit; unknown of baselines that differ in more than data and epochs

    @property
    def name(self) -> str:
        """The name of the unit of work, for people."""
        return f"{self.system.name} on {self.track.id}"


def planned(
    tracks: Sequence[str | Path | Track],
    systems: Sequence[str | Path | System],
    settings: BenchmarkSettings,
    folder: Path,
    *,
    replace: bool,
) -> list[CellPlan]:
    """Return all cells, track by track; a problem of a single cell is stored in it, all others are raised.

    Raises:
        UnknownName: no such track, baseline or preset.
        DeclarationError: an option of a system is unknown, or not allowed.
        UsageError: two tracks or systems have one name; no system has an option; a folder has another run, and runs are
            not replaced.
    """
    loaded_tracks = [track if isinstance(track, Track) else load_track(track) for track in tracks]
    named = [named_system(system) for system in systems]
    require_distinct("track", [track.id for track in loaded_tracks])
    require_distinct("system", [system.name for system in named])
    baselines = [load_baseline(system.baseline) for system in named]
    own_options = options_of_systems(named, baselines, settings.options)
    _require_places(settings.features, [track.id for track in loaded_tracks], [system.name for system in named])
    cells = []
    for track in loaded_tracks:
        for system, own, options in zip(named, baselines, own_options, strict=True):
            loaded = own.resolved(track.id, {**own.preset(system.preset).options, **options})
            how = RunSettings(
                preset=system.preset,
                learning={"folds": settings.folds}
                if settings.folds and track.training.selection in SELECTED_BY["folds"]
                else {},
                device=settings.device,
                seeds=_seeds(loaded, system, settings),
                features=features_of(settings.features, f"{system.name}.{track.id}", system.name, track.id),
                options=options,
                intervals=False,
            )
            cell = CellPlan(track, system, loaded, how, folder / track.id / system.name)
            cells.append(_checked(cell))
    _require_replaceable(cells, replace=replace)
    return cells


def _require_places(features: Mapping[str, Sequence[str]], tracks: Sequence[str], systems: Sequence[str]) -> None:
    known = [*tracks, *systems, *(f"{system}.{track}" for system in systems for track in tracks)]
    if unknown := [name for name in features if name and name not in known]:
        what = f"the tracks are {listed(tracks, 12)}, the systems {listed(systems, 12)}"
        raise UsageError(f"features of '{unknown[0]}': {what}{did_you_mean(unknown[0], known)}")


def _seeds(loaded: LoadedBaseline, system: System, settings: BenchmarkSettings) -> Sequence[int]:
    seeds = loaded.preset(system.preset).seeds or range(N_SEEDS) if settings.seeds is None else settings.seeds
    return seeds if loaded.declaration.uses_seed else seeds[:1]


def _checked(cell: CellPlan) -> CellPlan:
    """Return a cell with what is known before training: why it cannot be trained, that it is done, or its cost."""
    try:
        trainings = _trainings(cell)
        plan, options = trainings.plan, trainings.options
        if (cell.folder / RECORD).is_file() and stored_run(trainings, cell.folder) is not None:
            return dataclasses.replace(cell, is_done=True)
    except OutputError:
        raise
    except Exception as error:  # also of the baseline's own code
        return dataclasses.replace(cell, problem=in_a_line(contained(error)))
    sizes = [_size(plan.train.corpus, name) for name in plan.features]
    epochs, n_learned = options.get("epochs", 1), sum(len(part.learned) for part in plan.parts)
    cost = sum(sizes) * n_learned * len(trainings.seeds) * (epochs if isinstance(epochs, int) else 1)
    return dataclasses.replace(cell, cost=float(cost))


def _size(corpus: Corpus, feature: str) -> int:
    """Return the bytes of a feature's file, which grow with the rows of its sequences."""
    return (corpus.folder / corpus.declaration.feature_file(feature)).stat().st_size


def _trainings(cell: CellPlan) -> Trainings:
    return Trainings(with_learning(cell.track, cell.settings.learning), cell.loaded.folder, cell.settings)


def _require_replaceable(cells: Sequence[CellPlan], *, replace: bool) -> None:
    """Raise `UsageError` where a run with other inputs would be replaced."""
    other = [cell for cell in cells if not (cell.is_done or cell.problem) and (cell.folder / RECORD).is_file()]
    if other and not replace:
        where = listed([str(cell.folder) for cell in other])
        raise UsageError(
            f"{where}: {plural(len(other), 'run')} with other options, seeds, features, data or versions; --force "
            "trains again, --output names another folder"
        )


def trained(
    cells: Sequence[CellPlan], settings: BenchmarkSettings, progress: ShowProgress | None
) -> Iterator[tuple[CellPlan, str]]:
    """Train all cells that can be trained and are not done, the longest first; yield each, and why it failed or ""."""
    waiting = sorted((cell for cell in cells if not (cell.is_done or cell.problem)), key=lambda cell: -cell.cost)
    by_name = {cell.name: cell for cell in waiting}
    n_before = sum(cell.is_done for cell in cells)
    total = n_before + len(waiting)
    show = progress or (lambda text, done, total: None)
    show("runs", n_before, total)

    def here(name: str) -> None:
        _train(units[name], named_progress(progress, name))

    units = {name: _unit(cell) for name, cell in by_name.items()}
    with closing(run_here_or_apart(here, _train, units, settings.workers, settings.engine)) as finished:
        for n, done in enumerate(finished, n_before + 1):
            show("runs", n, total)
            yield by_name[done.name], _problem(done)


_Unit = tuple[Track, Path, RunSettings, Path]
"""What another process needs of a cell: it reads the rest itself."""


def _unit(cell: CellPlan) -> _Unit:
    return cell.track, cell.loaded.folder.absolute(), cell.settings, cell.folder.absolute()


def _train(unit: _Unit, progress: ShowProgress | None = None) -> None:
    track, baseline, settings, folder = unit
    kept_run(track, baseline, settings, output=folder, progress=progress)


def _problem(done: Done[None]) -> str:
    """Return why a cell was not trained; a full disk, and what is not an `Exception`, is raised."""
    if done.error is None:
        return ""
    if isinstance(done.error, OutputError):
        raise done.error
    return in_a_line(done.problem(MerbenchError))
