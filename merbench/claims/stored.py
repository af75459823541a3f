"""Results of claims as they are stored next to a baseline, in `claims.json`, with what they depend on.

A file has what was measured, and no verdicts: these are computed from it. It may come from anywhere: its size is
limited, it is checked, and nothing in it is executed.

Conventions:
    A signature is text by name. The parts that need a corpus, or a track, are missing where it is not available.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from merbench.claims.report import Measured, Result
from merbench.declarations import Declaration, declaration_problems, refused
from merbench.errors import MalformedFile, UsageError, json_text, listed, problem_lines
from merbench.files.reading import read_bounded, sha256_bytes, sha256_file
from merbench.files.writing import write_text
from merbench.scoring.signatures import minor_version
from merbench.track import Track
from merbench.training.claim import Claim, Exact, Place, Scored, Side
from merbench.training.declaration import (
    BaselineDeclaration,
    Preset,
    TrackSettings,
    baseline_files,
    read_baseline,
)

FILE = "claims.json"

SCHEMA = "merbench.claims/1"

MOST_BYTES, MOST_RESULTS = 2_000_000, 2_000

Signature = dict[str, str]

_Text = Annotated[str, Field(max_length=20_000)]
_REMEDY = "delete it, and measure again: merbench claims --write"


class Stored(Declaration):
    """A result: which claim, where, what was measured, and what that depends on."""

    claim: Annotated[str, Field(min_length=1, max_length=200)]
    place: _Text = ""
    values: tuple[float, ...] = Field(min_length=1, max_length=1_000, strict=False)
    low: float | None = None
    high: float | None = None
    metric: _Text = ""
    system: float | None = None
    control: float | None = None
    remark: _Text = ""
    signature: dict[Annotated[str, Field(max_length=200)], _Text] = Field(max_length=50)

    @model_validator(mode="after")
    def _is_of_its_kind(self) -> Stored:
        if (self.low is None) != (self.high is None) or (self.low or 0.0) > (self.high or 0.0):
            raise refused(((), "low and high are not the ends of an interval"))
        if not self.place:  # an exact claim
            if others := [name for name in ("low", "system", "control") if getattr(self, name) is not None]:
                raise refused(((), f"without a place, it is exact, and has no {listed(others)}"))
            return self
        if len(self.values) > 1:
            raise refused(((), f"has {len(self.values)} values; a result at a place has one"))
        if self.low is not None and self.high is not None and not self.low <= self.values[0] <= self.high:
            raise refused(((), f"{self.values[0]:g} is outside its interval"))
        return self

    @property
    def measured(self) -> Measured:
        """What was measured."""
        return Measured(self.values, self.low, self.high, self.metric, self.system, self.control, self.remark)


class _File(Declaration):
    results: tuple[Stored, ...] = Field(max_length=MOST_RESULTS, strict=False)


def read_stored(folder: Path) -> dict[tuple[str, str], Stored]:
    """Return the stored results of a baseline by claim and place; empty without the file.

    Raises:
        UsageError: the file is not such a file; all problems are listed.
    """
    path = folder / FILE
    if not path.is_file():
        return {}
    try:
        content = json.loads(read_bounded(path, MOST_BYTES), parse_constant=_no_number)
        schema = content.pop("schema", None) if isinstance(content, dict) else None
        if schema != SCHEMA:
            raise ValueError("no schema" if schema is None else f"its schema is {schema!a:.60}")
        results = _File.model_validate(content).results
    except ValidationError as error:
        problems = declaration_problems(error, lambda location: list((Stored if location else _File).model_fields))
        raise UsageError(*problem_lines(f"{path} ({_REMEDY})", problems)) from error
    except (MalformedFile, ValueError, RecursionError) as error:
        why = str(error) if not isinstance(error, json.JSONDecodeError | RecursionError) else "not JSON, or cut off"
        raise UsageError(f"{path}: not stored results of claims: {why}; {_REMEDY}") from error
    by_key = {(each.claim, each.place): each for each in results}
    if len(by_key) < len(results):
        keys = [(each.claim, each.place) for each in results]
        twice = listed(sorted({" ".join(key).strip() for key in keys if keys.count(key) > 1}))
        raise UsageError(f"{path}: not stored results of claims: duplicate: {twice}; {_REMEDY}")
    return by_key


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is not a number of JSON")


def write_stored(folder: Path, results: Sequence[Result]) -> Path:
    """Write the results of a baseline that were measured; those of claims that it no longer makes are dropped.

    What was stored before, and was neither measured nor looked at now, stays.

    Args:
        folder: the folder of the baseline.
        results: all of its results, those that cannot be checked here, or were not measured, among them.
    """
    measured = {
        (row.claim, row.place): Stored(
            claim=row.claim,
            place=row.place,
            values=row.measured.values,
            low=row.measured.low,
            high=row.measured.high,
            metric=row.measured.metric,
            system=row.measured.system,
            control=row.measured.control,
            remark=row.measured.remark,
            signature=dict(row.signature),
        )
        for row in results
        if row.measured is not None and not row.stored
    }
    declared = set(keys_of(read_baseline(folder).claims))
    kept = {key: each for key, each in read_stored(folder).items() if key in declared and key not in measured}
    content = [each.model_dump(mode="json", exclude_defaults=True) for _, each in sorted({**kept, **measured}.items())]
    write_text(folder / FILE, json_text({"schema": SCHEMA, "results": content}))
    return folder / FILE


def keys_of(claims: Sequence[Claim]) -> Iterator[tuple[str, str]]:
    """Yield the name of every claim with the name of every place where it is checked."""
    for claim in claims:
        yield from ((claim.name, place) for place in place_names(claim))


def place_names(claim: Claim) -> list[str]:
    """Return the names of the places of a claim: the track, and what else is declared of it."""
    if isinstance(claim, Exact):
        return [""]
    names: list[str] = []
    for place in claim.on:
        name = place.track + (f" ({', '.join(place.features)})" if place.features else "")
        if place.training:
            name += f", training {', '.join(_texts(place.training))}"
        if place.hold_out:
            name += f" without {', '.join(place.hold_out)}" + (" in turn" if len(place.hold_out) > 1 else "")
        if place.condition:
            parameters = {key: value for key, value in place.condition.items() if key != "corruption"}
            name += f" under {', '.join([str(place.condition.get('corruption')), *_texts(parameters)])}"
        same = sum(other.partition(" #")[0] == name for other in names)
        names.append(f"{name} #{same + 1}" if same else name)
    return names


def _texts(values: Mapping[str, Any]) -> list[str]:
    return [
        f"{key} {' '.join(map(_text, value)) if isinstance(value, list) else _text(value)}"
        for key, value in values.items()
    ]


def _text(value: Any) -> str:
    return ", ".join(_texts(value)) if isinstance(value, Mapping) else str(value)


def exact_signature(folder: Path, claim: Exact) -> Signature:
    """Return what an exact result depends on."""
    options = {**read_baseline(folder).defaults, **claim.options}
    files = {name: digest for name, digest in baseline_files(folder, options).items() if name != "baseline.toml"}
    if (folder / "claims.py").is_file():
        files["claims.py"] = sha256_file(folder / "claims.py")
    return {
        "claim": _digest(claim, {"name"}),
        "options": json.dumps(options, sort_keys=True, default=str),
        **{name: digest[:16] for name, digest in files.items()},
        "merbench": minor_version(),
    }


def side_signature(folder: Path, side: Side, place: Place) -> str:
    """Return what a system depends on besides data: all files of which a run has the digests, and what is given."""
    declared = read_baseline(folder)
    preset = declared.presets[side.preset] if side.preset else Preset()
    given = given_options(declared, side, place)
    on_track = declared.tracks.get(Path(place.track).name, TrackSettings()).options
    options = {**declared.defaults, **on_track, **preset.options, **given}
    varied = {**declared.select, **{name: item.examples for name, item in (preset.search or declared.search).items()}}
    others = [{**options, name: value} for name in declared.trains for value in varied.get(name, ())]
    content = {
        "baseline": folder.resolve().name,
        "files": {name: digest[:16] for name, digest in baseline_files(folder, options, *others).items()},
        "options": given,
        "features": side.features or place.features,
        "pretraining": None if side.pretraining is None else json.dumps(side.pretraining, sort_keys=True, default=str),
    }
    return json.dumps({key: value for key, value in content.items() if value}, sort_keys=True, default=str)


def given_options(declared: BaselineDeclaration, side: Side, place: Place) -> dict[str, Any]:
    """Return the options of a place, and those of a side.

    Those of a place are a budget, such as a number of epochs: a baseline without epochs takes those that it has.
    """
    known = declared.defaults
    return {
        **{name: value for name, value in place.options.items() if "epochs" in known or name in known},
        **side.options,
    }


def _digest(claim: Claim, without: set[str]) -> str:
    """Return the digest of a claim without its words; a key left at its default is no part of it."""
    content = claim.model_dump(mode="json", exclude={"says", "source", *without}, exclude_defaults=True)
    return sha256_bytes(json.dumps(content, sort_keys=True).encode())[:16]


def scored_signature(
    claim: Scored,
    place: Place,
    track: Track | None,
    key: str,
    sides: Mapping[str, tuple[Path, Side]],
) -> Signature:
    """Return what a result at a place depends on, without the data of the corpus.

    Args:
        claim: the claim.
        place: one of its places.
        track: the track there, as it is learned; None if it is not here.
        key: the metric, or the diagnostic.
        sides: `system`, and `control` where there is one: the folder of the baseline, and how it is run.
    """
    signature = {
        "claim": _digest(claim, {"name", "on"}),
        "seeds": f"0 to {claim.seeds - 1}",
        "merbench": minor_version(),
        **{name: side_signature(folder, side, place) for name, (folder, side) in sides.items()},
    }
    if place.hold_out:
        signature["hold_out"] = json.dumps(place.hold_out)
    if place.condition:
        signature["condition"] = json.dumps(place.condition, sort_keys=True, default=str)
    if track is None:
        return signature
    how = track.intervals
    samples = f"|bs:{how.n_resamples}|cluster:{how.cluster or 'none'}|seeds within draws"
    return signature | {
        "track": f"{track.key}#{track.fingerprint[:16]}",
        "training": track.training.digest[:16],
        "metric": key,
        "interval": f"t,{how.level:.15g}{'|seeds' if claim.is_over_seeds else samples}",
    }


def differing(stored: Stored, signature: Signature) -> list[str]:
    """Return the parts of a signature, as far as it is known here, in which a stored result differs."""
    return sorted(name for name, text in signature.items() if stored.signature.get(name) != text)
