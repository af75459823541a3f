"""The rows of the ledger: every claim at every place where it is checked, and whether what it names exists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from merbench.claims.condition import condition_of, learning_of
from merbench.claims.exact import require_computable, require_diagnostics
from merbench.claims.report import UNCHECKED, Measured, Result, numbers, verdict
from merbench.claims.scored import metric_key
from merbench.claims.stored import (
    Signature,
    Stored,
    differing,
    exact_signature,
    given_options,
    place_names,
    read_stored,
    scored_signature,
)
from merbench.errors import (
    DeclarationError,
    MerbenchError,
    MissingExtra,
    Problem,
    UnknownName,
    UsageError,
    did_you_mean,
    in_a_line,
    listed,
)
from merbench.files.paths import find_folder, list_folders
from merbench.track import Track, load_track
from merbench.training.claim import Claim, Exact, Inequality, Monotone, NonInferiority, Place, Published, Scored, Side
from merbench.training.declaration import BaselineDeclaration, LoadedBaseline, load_baseline, read_baseline
from merbench.training.hold_out import KNOWN_TRACK, target_of_classes
from merbench.training.plan import with_learning


@dataclass(frozen=True, eq=False)
class Claimant:
    """A baseline with claims."""

    folder: Path
    declared: BaselineDeclaration

    @property
    def name(self) -> str:
        """Its name."""
        return self.folder.resolve().name

    @cached_property
    def stored(self) -> dict[tuple[str, str], Stored]:
        """What is stored of its claims, by claim and place."""
        return read_stored(self.folder)

    @cached_property
    def loaded(self) -> LoadedBaseline:
        """The baseline with its code."""
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
class Row:
    """A claim at one place, before it is checked: its result without what is measured, and what that depends on."""

    claimant: Claimant
    claim: Claim
    result: Result
    place: Place | None = None
    track: Track | None = field(default=None, repr=False)
    key: str = ""

    @property
    def signature(self) -> Signature:
        """What a result depends on, as far as it is known without a corpus."""
        if isinstance(self.claim, Exact):
            return exact_signature(self.claimant.folder, self.claim)
        assert self.place is not None
        return scored_signature(self.claim, self.place, self.track, self.key, self.claimant.sides(self.claim))

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


def claimants_of(baselines: Sequence[str | Path]) -> list[Claimant]:
    """Return the baselines of these names or folders, or all, that have claims.

    Raises:
        UsageError: one that is named has none, or two have the same name.
    """
    folders = [find_folder("baseline", name) for name in baselines] or list_folders("baseline")
    by_path = {folder.resolve(): folder for folder in reversed(folders)}
    named = [Claimant(folder, read_baseline(folder)) for folder in reversed(by_path.values())]
    if baselines and (without := [each.name for each in named if not each.declared.claims]):
        raise UsageError(f"no [[claims]] in baseline.toml of {listed(without)}")
    claimants = [each for each in named if each.declared.claims]
    names = [each.name for each in claimants]
    if same := [str(each.folder) for each in claimants if names.count(each.name) > 1]:
        raise UsageError(f"baselines with the same name: {listed(same)}; check one of them at a time")
    return claimants


def rows_of(claimants: Sequence[Claimant]) -> list[Row]:
    """Return all claims at all places; raise `DeclarationError` for those that name what does not exist."""
    rows, errors = list[Row](), list[DeclarationError]()
    for claimant in claimants:
        problems = list[Problem]()
        claims = claimant.declared.claims
        names = [claim.name for claim in claims]
        for n, claim in enumerate(claims):
            if names.index(claim.name) < n:
                problems.append(Problem("E207", f"a second claim is named '{claim.name}'", column=f"claims[{n}].name"))
            rows += _rows_of_claim(claimant, claim, f"claims[{n}]", problems)
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


def _rows_of_claim(claimant: Claimant, claim: Claim, where: str, problems: list[Problem]) -> Iterator[Row]:
    """Yield the rows of a claim; what it names and does not exist is added to the problems."""

    def problem(key: str, error: MerbenchError) -> None:
        problems.append(Problem("E207", in_a_line(str(error)), column=f"{where}{key}"))

    about = (claimant.name, claim.name, claim.says, claim.source)
    if isinstance(claim, Exact):
        values = numbers(claim.value) + (f" ± {claim.tolerance:g}" if claim.tolerance else "")
        yield Row(claimant, claim, Result(*about, f"{claim.computes} = {values}", "", UNCHECKED))
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
        track, shown, key, why = None, None, "", ""
        try:
            condition = condition_of(claim, place)
        except UsageError as error:
            problem(f".on[{n}].condition", error)
            continue
        try:
            declared = load_track(place.track)
            track = with_learning(declared, learning_of(place))
            for _, side in claimant.sides(claim).values():
                for step in condition.steps:
                    with_learning(declared, condition.learning(place, side, step))
            if place.hold_out:
                target_of_classes(declared, place.hold_out[:1])
            shown = load_track(KNOWN_TRACK) if place.hold_out else track
            key = _diagnostic(claim) or metric_key(shown, claim.metric)
        except UsageError as error:
            if track is not None or not isinstance(error, UnknownName):
                problem(f".on[{n}]", error)
                continue
            why = str(error)  # tracks of one's own may be elsewhere
        result = Result(*about, _check_text(claim, shown, key), name, UNCHECKED, why=why, failed=bool(why))
        yield Row(claimant, claim, result, place, track, key)


def _diagnostic(claim: Claim) -> str:
    return claim.diagnostic if isinstance(claim, Inequality) else ""


def _check_text(claim: Scored, track: Track | None, key: str) -> str:
    names = {} if track is None else {spec.key: track.metric_label(spec) for spec in track.metrics}
    short = _diagnostic(claim) or names.get(key, key) or claim.metric or "the first ranking metric"
    if isinstance(claim, Published):
        return f"{short} = {claim.value:g} ± {claim.tolerance:g}"
    margin = claim.margin if isinstance(claim, NonInferiority | Monotone) else 0.0
    bound = f"> -{margin:g}" if margin else "> 0"
    if isinstance(claim, Monotone):
        return f"every difference of {short} {bound}"
    return f"{short} {bound}" if claim.control is None else f"difference of {short} {bound}"


def require_valid(rows: Sequence[Row]) -> None:
    """Raise `DeclarationError` where claims name options or functions that do not exist; what cannot be loaded may."""
    problems: dict[Claimant, list[Problem]] = {}
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


def _require_trainable(row: Row, track: Track) -> None:
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
