"""What an interrupted run has finished, so that the same run goes on: options selected, and models trained.

It is in a hidden folder next to the run, `.<name>.unfinished/<digest of what the run depends on>`, with a folder for
each seed and part, in which a baseline stores the state of its training, and is removed when the run is written.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from merbench.corpus.candidates import Candidates
from merbench.errors import MalformedFile, OutputError, fault, json_text, plural
from merbench.files.reading import read_bounded, sha256_bytes
from merbench.files.tensors import read_tensors, write_tensors
from merbench.files.writing import require_alone, write_text
from merbench.metrics.lists import Lists
from merbench.own_code import installed_version
from merbench.training.output import PACKAGES
from merbench.training.plan import Plan
from merbench.training.protocol import CrossFit, Curve, Predictions
from merbench.training.results import PartRun
from merbench.training.selection import Trial

SELECTED, TRAINED, LOCK = "selected.json", "trained.safetensors", "lock"

MOST_SELECTED_BYTES = 100_000_000
"""The largest file of trials that is read."""


def inputs_digest(plan: Plan, how: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what a model depends on, besides its seed and part.

    Args:
        plan: what is learned from, by which baseline.
        how: files of the baseline, options, the options to select from, number of folds and device.
    """
    content = {
        "track": [plan.track.fingerprint, plan.track.training.digest],
        "corpora": [_corpus(each, plan) for each in (plan.train, plan.test)],
        "features": list(plan.features),
        "versions": {name: text for name in ("merbench", *PACKAGES.values()) if (text := installed_version(name))},
        **how,
    }
    return sha256_bytes(json_text(content).encode())


def _corpus(candidates: Candidates, plan: Plan) -> list[Any]:
    """Return what a corpus contributes; where a split is hidden, nothing that depends on its references."""
    corpus, content = candidates.corpus, candidates.corpus.declaration.content
    digests = [corpus.digest]
    if plan.test.hidden:
        digests = [content.samples, *([candidates.references.digest] if candidates is plan.train else [])]
    return [corpus.name, *digests, {name: content.features[name] for name in plan.features}]


class Unfinished:
    """The folder of an unfinished run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def of_part(self, seed: int, part: int) -> Path:
        """Return the folder of one training."""
        return self.folder / f"seed-{seed}-{part}"

    def selected(self, part: int) -> tuple[dict[str, Any], list[Trial]] | None:
        """Return the options that were selected for a part, and all trials; None if selection did not end."""
        options, trials = self._selection(part)
        return None if options is None else (options, trials)

    def trials(self, part: int) -> list[Trial]:
        """Return what the selection of a part, which did not end, has tried."""
        return self._selection(part)[1]

    def _selection(self, part: int) -> tuple[dict[str, Any] | None, list[Trial]]:
        path = self.folder / f"part-{part}" / SELECTED
        try:
            content = json.loads(read_bounded(path, MOST_SELECTED_BYTES))
            trials = [Trial(dict(trial["options"]), tuple(map(float, trial["value"]))) for trial in content["trials"]]
            return None if content["options"] is None else dict(content["options"]), trials
        except (OSError, ValueError, TypeError, KeyError, RecursionError):  # selected again
            return None, []

    def keep_trials(self, part: int, trials: Sequence[Trial], options: Mapping[str, Any] | None = None) -> None:
        """Store what the selection of a part has tried and, if it ended, the options that were selected."""
        content = [{"options": dict(trial.options), "value": list(map(repr, trial.value))} for trial in trials]
        text = json.dumps({"options": None if options is None else dict(options), "trials": content})
        write_text(self.folder / f"part-{part}" / SELECTED, text)

    def trained(self, seed: int, part: int) -> PartRun | None:
        """Return what a training resulted in; None if it did not end."""
        try:
            return _part_run(*read_tensors(self.of_part(seed, part) / TRAINED))
        except (OSError, MalformedFile, ValueError, TypeError, KeyError):  # trained again
            return None

    def keep_trained(self, seed: int, part: int, result: PartRun) -> None:
        """Store what a training resulted in, in place of the state of the training."""
        folder = self.of_part(seed, part)
        write_tensors(folder / TRAINED, *_stored(result))
        for path in folder.iterdir():
            if path.name != TRAINED:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def kept(self) -> str:
        """Return how much of the run is kept; empty if nothing is."""
        parts = [folder for folder in self.folder.glob("*") if any(path.is_file() for path in folder.rglob("*"))]
        trained = sum((folder / TRAINED).is_file() for folder in parts)
        selections = sum((folder / SELECTED).is_file() for folder in parts)
        counts = {
            "trained model": trained,
            "half-trained model": len(parts) - trained - selections,
            "selection": selections,
        }
        return ", ".join(plural(n, what) for what, n in counts.items() if n)


@contextmanager
def unfinished(run: Path, digest: str) -> Iterator[Unfinished]:
    """Yield the folder of an unfinished run; it is removed when the block ends without an error, or with nothing in it.

    What runs with other inputs left there stays.

    Raises:
        UsageError: another process trains a run into the same folder.
    """
    every = run.with_name(f".{run.name}.unfinished")
    with _alone(every, run):
        state = Unfinished(every.absolute() / digest[:16])
        is_done = False
        try:
            yield state
            is_done = True
        except KeyboardInterrupt:
            if kept := state.kept():
                print(f"kept in {every}: {kept}; the same command goes on", file=sys.stderr)
            raise
        finally:
            if is_done or not state.kept():
                shutil.rmtree(state.folder, ignore_errors=True)
            with suppress(OSError):
                if [path.name for path in every.iterdir()] == [LOCK]:
                    shutil.rmtree(every, ignore_errors=True)


@contextmanager
def _alone(folder: Path, run: Path) -> Iterator[None]:
    """Lock a folder, which is made, as long as the block runs."""
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = (folder / LOCK).open("ab")
        except OSError as error:
            raise OutputError(f"{run}: cannot be written: {fault(error)}") from error
        with lock:
            require_alone(lock.fileno(), f"{run}: another process is training a run into this folder")
            try:
                is_there = os.path.samestat(os.fstat(lock.fileno()), (folder / LOCK).stat())
            except OSError:
                is_there = False
            if is_there:  # a process that ended meanwhile would have removed it
                yield
                return


def _stored(result: PartRun) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    arrays: dict[str, NDArray[Any]] = {f"output {name}": values for name, values in result.predictions.outputs.items()}
    for name, lists in result.predictions.sets.items():
        words = np.array(lists.words, dtype=np.str_)
        arrays |= {f"words {name}": words, f"codes {name}": lists.codes, f"offsets {name}": lists.offsets}
    arrays |= {f"weight {name}": values for name, values in (result.weights or {}).items()}
    arrays |= {f"history {name}": values for name, values in result.history.items()}
    curve = result.fit.curve
    about = {
        "device": result.fit.device,
        "notes": result.fit.notes,
        "details": dict(result.fit.details),
        "storable": result.weights is not None,
        "versions": dict(result.versions),
    }
    if curve is not None:
        arrays |= {"loss": curve.loss, "value": curve.value, "best_epoch": np.array(curve.best_epoch)}
    scores = [[key, repr(value)] for key, value in result.cross_validated.items()]
    return arrays, {**about, "cross_validated": scores, "curve": curve is not None}


def _part_run(arrays: Mapping[str, NDArray[Any]], about: Mapping[str, Any]) -> PartRun:
    def named(kind: str) -> dict[str, NDArray[Any]]:
        return {name.removeprefix(f"{kind} "): values for name, values in arrays.items() if name.startswith(f"{kind} ")}

    codes, offsets = named("codes"), named("offsets")
    sets = {name: Lists(tuple(words.tolist()), codes[name], offsets[name]) for name, words in named("words").items()}
    curve = None
    if about["curve"]:
        curve = Curve(arrays["loss"], arrays["value"], tuple(arrays["best_epoch"].tolist()))
    return PartRun(
        {key: float(value) for key, value in about["cross_validated"]},
        Predictions(named("output"), sets),
        CrossFit(
            Predictions(), curve, str(about["device"]), tuple(map(str, about["notes"])), details=dict(about["details"])
        ),
        named("weight") if about["storable"] else None,
        named("history"),
        {str(name): str(number) for name, number in dict(about["versions"]).items()},
    )
