"""Checks the claims of baselines: exact ones are computed, those about scores need runs, which are trained once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from merbench.claims.exact import computed
from merbench.claims.report import ClaimsReport, Result
from merbench.claims.rows import Row, claimants_of, require_valid, rows_of
from merbench.claims.scored import Check, KeptRun, check_of
from merbench.claims.stored import Signature, write_stored
from merbench.corpus import open_corpus
from merbench.devices import require_device
from merbench.engine import ShowProgress, require_engine, run_here_or_apart
from merbench.errors import MerbenchError, MissingExtra, WithheldReference, in_a_line
from merbench.track import Track, load_track
from merbench.training.claim import Exact

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
    claimants = claimants_of(baselines)
    rows = [row for row in rows_of(claimants) if not wanted or (row.track is not None and row.track.id in wanted)]
    require_valid(rows)
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
    rows = rows_of(claimants_of(baselines))
    return ClaimsReport(results=tuple(row.unchecked("no result is stored", row.signature) for row in rows))


def write_results(report: ClaimsReport, baselines: Sequence[str | Path] = ()) -> list[Path]:
    """Store the results of a report next to its baselines, which are named as for `check_claims`; return the files."""
    written = []
    for claimant in claimants_of(baselines):
        results = [row for row in report.results if row.baseline == claimant.name]
        if any(row.measured is not None and not row.stored for row in results):
            written.append(write_stored(claimant.folder, results))
    return written


def _exact(row: Row, claim: Exact) -> Result:
    signature = row.signature
    try:
        return row.measured(computed(row.claimant.loaded, claim), signature)
    except MissingExtra as error:
        return row.unchecked(str(error), signature)
    except MerbenchError as error:
        return row.unchecked(str(error), signature, failed=True)


def _prepared(row: Row, settings: Settings) -> Result | tuple[Check, Signature]:
    """Return what is stored, or why it cannot be checked here, or the check with its signature."""
    signature = row.signature
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
        return row.unchecked(in_a_line(str(error)), signature, failed=failed)
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

    def here(name: str) -> None:
        units[name].train(show, replace=settings.rerun)

    apart = partial(KeptRun.train, replace=settings.rerun)
    with closing(run_here_or_apart(here, apart, units, settings.workers, settings.engine)) as finished:
        for n, done in enumerate(finished, 1):
            if isinstance(done.error, MerbenchError):
                failures[Path(done.name)] = done.error
            elif done.error is not None:
                raise done.error
            show("runs", n, len(units))
    return failures


def _scored(row: Row, check: Check, signature: Signature, failures: dict[Path, MerbenchError]) -> Result:
    """Return the result of a check whose runs were trained, or why one of them could not be."""
    failed = [failures[kept.folder] for kept in check.runs if kept.folder in failures]
    if failed:
        error = failed[0]
        return row.unchecked(in_a_line(str(error)), signature, failed=not isinstance(error, MissingExtra))
    try:
        return row.measured(check.measured(), signature)
    except MerbenchError as error:
        return row.unchecked(in_a_line(str(error)), signature, failed=True)
