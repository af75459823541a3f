"""Checks the claims of baselines: exact ones are computed, those about scores need runs, which are trained once."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

from merbench.claims.condition import step_of
from merbench.claims.exact import computed, require_computable, require_diagnostics
from merbench.claims.report import UNCHECKED, ClaimsReport, Measured, Result, numbers, verdict
from merbench.claims.scored import Check, KeptRun, check_of, metric_key
from merbench.claims.stored import (
    Signature,
    Stored,
    differing,
    exact_signature,
    given_options,
    place_names,
    read_stored,
    scored_signature,
    write_stored,
)
from merbench.corpus import open_corpus
from merbench.devices import require_device
from merbench.engine import Done, ShowProgress, require_engine, run
from merbench.errors import (
    DeclarationError,
    MerbenchError,
    MissingExtra,
    Problem,
    UnknownName,
    UsageError,
    WithheldReference,
    did_you_mean,
    listed,
)
from merbench.files.paths import find_folder, list_folders
from merbench.track import Track, load_track
from merbench.training.claim import Claim, Exact, Inequality, NonInferiority, Place, Published, Side
from merbench.training.declaration import BaselineDeclaration, LoadedBaseline, load_baseline, read_baseline
from merbench.training.plan import with_learning

ROOT = Path("runs") / "claims"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How claims are checked.

    Attributes:
        rerun: whether everything is measured again: what is stored is not read, and runs that are kept are replaced.
        tracks: only claims about scores on these tracks; empty: all claims, everywhere.
        device: `auto` (CUDA where there is one), `cpu`, `cuda`, `cuda:1`, …
        workers: processes on this machine, between which runs are shared.
        engine: `local`, or `dask://host:port`.
        root: the folder of the runs.
    """

    rerun: bool = False
    tracks: Sequence[str] = ()
    device: str = "auto"
    workers: int = 1
    engine: str = "local"
    root: Path = ROOT


@dataclass(frozen=True, eq=False)
class _Claimant:
    """A baseline with claims."""

    folder: Path
    declared: BaselineDeclaration

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    @cached_property
    def stored(self) -> dict[tuple[str, str], Stored]:
        return read_stored(self.folder)

    @cached_property
    def loaded(self) -> LoadedBaseline:
        return load_baseline(self.folder)

    def sides(self, claim: Claim) -> dict[str, tuple[Path, Side]]:
        """Return the folder of the baseline of each side, and how it is run."""
        named = {"system": getattr(claim, "system", None), "control": getattr(claim, "control", None)}
        return {
            key: (find_folder("baseline", side.baseline) if side.baseline else self.folder, side)
            for key, side in named.items()
            if side is not None
        }


@dataclass(frozen=True, eq=False)
class _Row:
    """A claim at one place, before it is checked: its result without what is measured, and what that depends on."""

    claimant: _Claimant
    claim: Claim
    result: Result
    place: Place | None = None
    track: Track | None = field(default=None, repr=False)
    key: str = ""

    @property
    def stored(self) -> Stored | None:
        """What is stored of it."""
        return self.claimant.stored.get((self.result.claim, self.result.place))

    def measured(self, measured: Measured, signature: Signature, *, stored: bool = False) -> Result:
        """Return the result with what was measured."""
        outcome = verdict(self.claim, measured)
        return replace(self.result, verdict=outcome, measured=measured, stored=stored, signature=signature)

    def unchecked(self, why: str, signature: Signature, *, failed: bool = False) -> Result:
        """Return the stored result if it has this signature, else why there is none."""
        stored = self.stored
        if stored is not None and not failed:
            if not (others := differing(stored, signature)):
                result = self.measured(stored.measured, stored.signature, stored=True)
                return replace(result, why="", failed=False)
            why = f"{why}; the stored result is of another signature: {', '.join(others)}"
        return replace(self.result, why=why, failed=failed, signature=signature)


def check_claims(
    baselines: Sequence[str | Path] = (), settings: Settings | None = None, progress: ShowProgress | None = None
) -> ClaimsReport:
    """Check the claims of some baselines, or of all.

    What is stored with the same signature is taken as it is, unless all is measured again.

    Args:
        baselines: names or folders; none are all that can be found.
        settings: how they are checked.
        progress: called with a text and (done, total) steps; None shows nothing.

    Raises:
        UnknownName: no such baseline, or track.
        DeclarationError: claims name a system, track, option, metric or function that does not exist.
        UsageError: a file of stored results is not one; the device or the engine is not available.
    """
    settings = settings or Settings()
    require_engine(settings.engine)
    require_device(settings.device)
    wanted = {load_track(name).id for name in settings.tracks}
    claimants = _claimants(baselines)
    rows = [row for row in _rows(claimants) if not wanted or (row.track is not None and row.track.id in wanted)]
    _require_valid(rows)
    show: ShowProgress = progress or (lambda text, done, total: None)
    results, checks = dict[int, Result](), dict[int, tuple[Check, Signature]]()
    for n, row in enumerate(rows):
        if isinstance(row.claim, Exact):
            show("exact claims", n + 1, len(rows))
            results[n] = _exact(row, row.claim)
        elif isinstance(prepared := _prepared(row, settings), Result):
            results[n] = prepared
        else:
            checks[n] = prepared
    failures = _trained([check for check, _ in checks.values()], settings, show)
    for n, (check, signature) in checks.items():
        results[n] = _scored(rows[n], check, signature, failures)
    return ClaimsReport(results=tuple(results[n] for n in range(len(rows))))


def stored_claims(baselines: Sequence[str | Path] = ()) -> ClaimsReport:
    """Return what is stored of the claims of some baselines, or of all; nothing is loaded, computed or trained.

    A result of another signature, as far as that is known without a corpus, is reported as such.
    """
    rows = _rows(_claimants(baselines))
    return ClaimsReport(results=tuple(row.unchecked("no result is stored", _signature(row)) for row in rows))


def write_results(report: ClaimsReport, baselines: Sequence[str | Path] = ()) -> list[Path]:
    """Store the results of a report next to its baselines, which are named as for `check_claims`; return the files."""
    written = []
    for claimant in _claimants(baselines):
        results = [row for row in report.results if row.baseline == claimant.name]
        if any(row.measured is not None and not row.stored for row in results):
            written.append(write_stored(claimant.folder, results))
    return written


def _claimants(baselines: Sequence[str | Path]) -> list[_Claimant]:
    folders = [find_folder("baseline", name) for name in baselines] or list_folders("baseline")
    by_path = {folder.resolve(): folder for folder in reversed(folders)}
    named = [_Claimant(folder, read_baseline(folder)) for folder in reversed(by_path.values())]
    if baselines and (without := [each.name for each in named if not each.declared.claims]):
        raise UsageError(f"no [[claims]] in baseline.toml of {listed(without)}")
    claimants = [each for each in named if each.declared.claims]
    names = [each.name for each in claimants]
    if same := [str(each.folder) for each in claimants if names.count(each.name) > 1]:
        raise UsageError(f"baselines with the same name: {listed(same)}; check one of them at a time")
    return claimants


def _rows(claimants: Sequence[_Claimant]) -> list[_Row]:
    """Return all claims at all places; raise `DeclarationError` for those that name what does not exist."""
    rows, errors = list[_Row](), list[DeclarationError]()
    for claimant in claimants:
        problems = list[Problem]()
        claims = claimant.declared.claims
        names = [claim.name for claim in claims]
        for n, claim in enumerate(claims):
            if names.index(claim.name) < n:
                problems.append(Problem("E207", f"a second claim is named '{claim.name}'", column=f"claims[{n}].name"))
            rows += _rows_of(claimant, claim, f"claims[{n}]", problems)
        if problems:
            errors.append(DeclarationError(str(claimant.folder / "baseline.toml"), problems))
    _raise(errors)
    return rows


def _raise(errors: Sequence[DeclarationError]) -> None:
    """Raise one error for those of several baselines."""
    if len(errors) > 1:
        raise UsageError(*(line for error in errors for line in str(error).splitlines()))
    for error in errors:
        raise error


def _rows_of(claimant: _Claimant, claim: Claim, where: str, problems: list[Problem]) -> Iterator[_Row]:
    """Yield the rows of a claim; what it names and does not exist is added to the problems."""

    def problem(key: str, error: MerbenchError) -> None:
        problems.append(Problem("E207", str(error).replace("\n", " "), column=f"{where}{key}"))

    about = (claimant.name, claim.name, claim.says, claim.source)
    if isinstance(claim, Exact):
        values = numbers(claim.value) + (f" ± {claim.tolerance:g}" if claim.tolerance else "")
        yield _Row(claimant, claim, Result(*about, f"{claim.computes} = {values}", "", UNCHECKED))
        return
    for name in ("system", "control"):
        side: Side | None = getattr(claim, name, None)
        if side is None:
            continue
        try:
            folder = find_folder("baseline", side.baseline) if side.baseline else claimant.folder
            if side.preset and side.preset not in (known := read_baseline(folder).presets):
                raise UnknownName(f"preset of baseline '{folder.name}'", side.preset, known)
        except UsageError as error:
            problem(f".{name}", error)
            return
    for n, (place, name) in enumerate(zip(claim.on, place_names(claim), strict=True)):
        learning = {} if place.folds is None else {"folds": place.folds}
        track, key, why = None, "", ""
        try:
            step_of(claim, place)
        except UsageError as error:
            problem(f".on[{n}].condition", error)
            continue
        try:
            track = with_learning(load_track(place.track), learning)
            key = _diagnostic(claim) or metric_key(track, claim.metric)
        except UsageError as error:
            if track is not None or not isinstance(error, UnknownName):
                problem(f".on[{n}]", error)
                continue
            why = str(error)  # tracks of one's own may be elsewhere
        result = Result(*about, _check_text(claim, track, key), name, UNCHECKED, why=why, failed=bool(why))
        yield _Row(claimant, claim, result, place, track, key)


def _diagnostic(claim: Claim) -> str:
    return claim.diagnostic if isinstance(claim, Inequality) else ""


def _check_text(claim: Inequality | NonInferiority | Published, track: Track | None, key: str) -> str:
    names = {} if track is None else {spec.key: track.metric_label(spec) for spec in track.metrics}
    short = _diagnostic(claim) or names.get(key, key) or claim.metric or "the first ranking metric"
    if isinstance(claim, Published):
        return f"{short} = {claim.value:g} ± {claim.tolerance:g}"
    bound = f"> -{claim.margin:g}" if isinstance(claim, NonInferiority) else "> 0"
    return f"{short} {bound}" if claim.control is None else f"difference of {short} {bound}"


def _signature(row: _Row) -> Signature:
    """Return what a result depends on, as far as it is known without a corpus."""
    if isinstance(row.claim, Exact):
        return exact_signature(row.claimant.folder, row.claim)
    assert row.place is not None
    return scored_signature(row.claim, row.place, row.track, row.key, row.claimant.sides(row.claim))


def _require_valid(rows: Sequence[_Row]) -> None:
    """Raise `DeclarationError` where claims name options or functions that do not exist; what cannot be loaded may."""
    problems: dict[_Claimant, list[Problem]] = {}
    for row in rows:
        where = f"claims[{[claim.name for claim in row.claimant.declared.claims].index(row.claim.name)}]"
        try:
            if isinstance(row.claim, Exact):
                require_computable(row.claimant.loaded, row.claim)
                continue
            if row.track is None:
                continue
            _require_trainable(row, row.track)
        except MissingExtra:
            continue
        except DeclarationError as error:
            texts = [f"{error.where}: {each.column}: {each.message}" for each in error.problems]
        except UsageError as error:
            texts = ["; ".join(line.strip() for line in str(error).splitlines())]
        else:
            continue
        in_baseline = problems.setdefault(row.claimant, [])
        in_baseline += [each for text in texts if (each := Problem("E207", text, column=where)) not in in_baseline]
    _raise(
        [DeclarationError(str(each.folder / "baseline.toml"), in_baseline) for each, in_baseline in problems.items()]
    )


def _require_trainable(row: _Row, track: Track) -> None:
    """Raise where a claim at a place names options, or a diagnostic, that its systems do not have."""
    assert row.place is not None
    known = dict[str, None]()
    for folder, side in row.claimant.sides(row.claim).values():
        loaded = row.claimant.loaded if folder == row.claimant.folder else load_baseline(folder)
        preset = loaded.preset(side.preset)
        fixed = {**preset.options, **given_options(loaded.declaration, side, row.place)}
        options = loaded.options(track.id, fixed)
        if side.trials:
            loaded.space(fixed, preset, {})
        if name := _diagnostic(row.claim):
            require_diagnostics(loaded, options, track, name)
        known |= dict.fromkeys(options)
    if unknown := [name for name in row.place.options if name not in known]:
        hint = f"they have {listed(list(known), 30)}{did_you_mean(unknown[0], known)}"
        raise UsageError(f"{row.result.place}: no system there has the option {listed(unknown)}; {hint}")


def _exact(row: _Row, claim: Exact) -> Result:
    signature = _signature(row)
    try:
        return row.measured(computed(row.claimant.loaded, claim), signature)
    except MissingExtra as error:
        return row.unchecked(str(error), signature)
    except MerbenchError as error:
        return row.unchecked(str(error), signature, failed=True)


def _prepared(row: _Row, settings: Settings) -> Result | tuple[Check, Signature]:
    """Return what is stored, or why it cannot be checked here, or the check with its signature."""
    signature = _signature(row)
    if row.track is None:
        result = row.unchecked(row.result.why, signature)
        return result if result.stored else replace(result, failed=True)
    assert row.place is not None and not isinstance(row.claim, Exact)
    try:
        sides = list(row.claimant.sides(row.claim).values())
        how = (settings.device, settings.root)
        check = check_of(row.claim, row.place, load_track(row.place.track), row.key, sides, how)
        signature |= check.data_signature
    except MerbenchError as error:
        failed = not isinstance(error, MissingExtra | WithheldReference) and _has_corpus(row.track)
        return row.unchecked(str(error).replace("\n", " "), signature, failed=failed)
    if not settings.rerun and row.stored is not None and row.stored.signature == signature:
        return row.measured(row.stored.measured, signature, stored=True)
    return check, signature


def _has_corpus(track: Track) -> bool:
    """Return whether the corpora of a track are here: a claim that cannot be checked on them has a mistake."""
    try:
        for corpus in (track.corpus, track.training.corpus or track.corpus):
            open_corpus(corpus, relative_to=track.folder)
    except MerbenchError:
        return False
    return True


def _trained(checks: Sequence[Check], settings: Settings, show: ShowProgress) -> dict[Path, MerbenchError]:
    """Train all runs that checks need, each once; return why some failed, by their folders."""
    units = {str(run.folder): run for check in checks for run in check.runs}
    failures = dict[Path, MerbenchError]()
    if units:
        show("runs", 0, len(units))
    with closing(_done(units, settings, show)) as finished:
        for n, done in enumerate(finished, 1):
            if isinstance(done.error, MerbenchError):
                failures[Path(done.name)] = done.error
            elif done.error is not None:
                raise done.error
            show("runs", n, len(units))
    return failures


def _done(units: Mapping[str, KeptRun], settings: Settings, show: ShowProgress) -> Generator[Done[None], None, None]:
    workers = max(1, min(settings.workers, len(units)))
    if workers > 1 or require_engine(settings.engine) is not None:
        train = partial(KeptRun.train, replace=settings.rerun)
        yield from run(train, units.items(), workers=workers, engine=settings.engine)
        return
    for name, unit in units.items():  # here an interrupt ends a training after its epoch
        try:
            unit.train(show, replace=settings.rerun)
            yield Done(name)
        except MerbenchError as error:
            yield Done(name, error=error)


def _scored(row: _Row, check: Check, signature: Signature, failures: dict[Path, MerbenchError]) -> Result:
    """Return the result of a check whose runs were trained, or why one of them could not be."""
    failed = [failures[kept.folder] for kept in check.runs if kept.folder in failures]
    if failed:
        error = failed[0]
        return row.unchecked(str(error).replace("\n", " "), signature, failed=not isinstance(error, MissingExtra))
    try:
        return row.measured(check.measured(), signature)
    except MerbenchError as error:
        return row.unchecked(str(error).replace("\n", " "), signature, failed=True)
