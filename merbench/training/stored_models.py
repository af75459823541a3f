"""The models that a run stored, ready to predict.

The weights come from the run's folder, the code from the baseline of its name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from merbench.corpus.candidates import Candidates
from merbench.devices import require_device
from merbench.errors import IntegrityError, MalformedFile, UsageError, listed
from merbench.files.paths import expanded, resolve_inside
from merbench.files.reading import read_verified
from merbench.files.tensors import Arrays, read_tensors
from merbench.track import Track
from merbench.training.data import feature_set
from merbench.training.declaration import LoadedBaseline, load_baseline
from merbench.training.output import ANSWERED, MODEL_SCHEMA, SAMPLES
from merbench.training.protocol import Baseline, Predictions, Setup, Storable
from merbench.training.records import StoredRun, read_run
from merbench.training.samples import FeatureSet

SEEN = {
    "learned": "were learned from",
    "validated": "are of the development set that epochs and options were selected on",
    "unlabelled": "were learned from without references",
}
"""By use of samples in a run, what a reader of their score must know."""


@dataclass(frozen=True, eq=False, slots=True)
class Model:
    """One model of a run: of all samples, or of those without a value that was left out.

    Attributes:
        baseline: the model.
        options: its options.
        ids: of the samples of the run, by use: `answered`, and those of `SEEN`.
    """

    baseline: Baseline
    options: Mapping[str, Any]
    ids: Mapping[str, pa.Array]

    def used(self, use: str, ids: pa.StringArray) -> NDArray[np.bool_]:
        """Return which samples the run used in some way for this model."""
        if use not in self.ids:
            return np.zeros(len(ids), dtype=np.bool_)
        known: NDArray[np.bool_] = pc.is_in(ids, value_set=self.ids[use]).to_numpy(zero_copy_only=False)
        return known


@dataclass(frozen=True, eq=False, slots=True)
class Models:
    """The models of a run with one seed, ready to predict.

    Attributes:
        run: the run.
        track: the track that it was trained for.
        loaded: the baseline.
        seed: the seed that they were trained with.
        digests: SHA-256 of their files, by name in the folder of the run.
        models: one for all samples, or one for each value that the run left out in turn.
    """

    run: StoredRun
    track: Track
    loaded: LoadedBaseline = field(repr=False)
    seed: int
    digests: Mapping[str, str] = field(repr=False)
    models: tuple[Model, ...] = field(repr=False)

    @property
    def files(self) -> dict[str, str]:
        """SHA-256 of the files of the baseline, and of another one that it trains, as they are now."""
        return self.loaded.files(*(model.options for model in self.models))

    def samples(self, candidates: Candidates) -> FeatureSet:
        """Return what the models see of candidates; raise `UsageError` if a feature has another width."""
        declared, widths = self.loaded.declaration, self.run.record.widths
        samples = feature_set(candidates, list(widths), declared.columns, **declared.reads)
        others = [
            f"{name} ({width}, not {widths[name]})" for name, width in samples.widths.items() if width != widths[name]
        ]
        if others:
            raise UsageError(
                f"corpus '{candidates.corpus.name}': features have another width than those that {self.run.folder} "
                f"learned from ({len(others)} of {len(widths)}): {listed(others)}; extract them as they were"
            )
        return samples

    def answering(self, ids: pa.StringArray) -> NDArray[np.bool_]:
        """Return `(models, n)` which models answer each sample.

        A sample, known by its id, is answered by the one of several models that answered it in the run, else by those
        that did not learn from it. Where there are none, all answer it.
        """
        answered = np.stack([model.used(ANSWERED, ids) for model in self.models])
        learned = np.stack([model.used("learned", ids) | model.used("validated", ids) for model in self.models])
        others = np.where(learned.all(axis=0), True, ~learned)
        return np.where(answered.any(axis=0), answered, others)

    def predict(self, samples: FeatureSet) -> Predictions:
        """Return the answers for samples."""
        patterns, of_samples = np.unique(self.answering(samples.ids), axis=1, return_inverse=True)
        parts = []
        for n, pattern in enumerate(patterns.T):
            rows = np.flatnonzero(of_samples.reshape(-1) == n)
            own, chosen = samples.select(rows), np.flatnonzero(pattern).tolist()
            parts.append((rows, _mean([self.models[model].baseline.predict(own) for model in chosen])))
        return Predictions.gathered(parts)

    def seen(self, use: str, ids: pa.StringArray) -> NDArray[np.bool_]:
        """Return which samples a model was given in some way that answers them now."""
        used = np.stack([model.used(use, ids) for model in self.models])
        return np.asarray((used & self.answering(ids)).any(axis=0))


def _mean(answers: Sequence[Predictions]) -> Predictions:
    if len(answers) == 1:
        return answers[0]
    if answers[0].sets:
        raise UsageError("sets of words of several models cannot be averaged")
    return Predictions({name: np.mean([each.outputs[name] for each in answers], axis=0) for name in answers[0].outputs})


def open_models(
    run: str | Path, *, seed: int | None = None, baseline: str | Path | None = None, device: str = "auto"
) -> Models:
    """Return the models that a run stored.

    Args:
        run: the folder of the run.
        seed: the seed whose models are opened; None is the first of the run.
        baseline: name or folder of the baseline; None is the name that the run recorded.
        device: `auto` (CUDA where there is one), `cpu`, `cuda`, `cuda:1`, …

    Raises:
        UnknownName: no such baseline.
        UsageError: there is no such run or seed, or the baseline does not store its models.
        IntegrityError: a file of weights is missing, changed, or cannot be read.
    """
    require_device(device)
    stored = read_run(expanded(run))
    track, seeds = stored.track(), {each.seed: each.models for each in stored.record.runs}
    chosen = stored.record.runs[0].seed if seed is None else seed
    if chosen not in seeds:
        raise UsageError(f"{stored.folder}: no seed {chosen}; it has {listed([str(each) for each in seeds])}")
    digests = seeds[chosen]
    if not digests:
        raise UsageError(f"{stored.folder}: has no models: baseline '{stored.record.baseline.name}' stored none")
    loaded = load_baseline(stored.record.baseline.name if baseline is None else baseline)
    loaded = loaded.resolved(track.id, stored.record.options)
    setup = Setup(chosen, device_name=device)
    models = []
    for name, digest in digests.items():
        weights, ids, options = _stored(stored, name, digest)
        built = loaded.build(options, setup)
        if not isinstance(built, Storable):
            raise UsageError(f"baseline '{loaded.name}' has no weights() and restore(): it does not store its models")
        built.restore(weights, track, stored.record.widths)
        models.append(Model(built, options, ids))
    return Models(stored, track, loaded, chosen, digests, tuple(models))


def _stored(run: StoredRun, name: str, digest: str) -> tuple[Arrays, dict[str, pa.Array], Mapping[str, Any]]:
    """Return the weights of a model, the ids of its samples by use, and its options."""
    path = resolve_inside(run.folder, name)
    try:
        arrays, metadata = read_tensors(read_verified(path, digest))
    except MalformedFile as error:
        raise IntegrityError(f"{path}: {error}") from error
    if metadata.get("schema") != MODEL_SCHEMA:
        raise IntegrityError(f"{path}: its form is {metadata.get('schema')!r}; this version reads {MODEL_SCHEMA!r}")
    texts = {name.removeprefix(SAMPLES): arrays.pop(name) for name in list(arrays) if name.startswith(SAMPLES)}
    try:
        ids = {use: pa.array(values.tolist(), pa.string()) for use, values in texts.items()}
    except (pa.ArrowException, UnicodeError, TypeError) as error:
        raise IntegrityError(f"{path}: ids of samples are not texts") from error
    return arrays, ids, metadata.get("options", run.record.options)
