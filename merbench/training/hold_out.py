"""Classes that a baseline does not learn and has to notice: the track `ood-emotion` made of any categorical track.

A sample is known if its class is learned, and unknown if its class is held out. How known it looks is the largest
probability of a learned class (Hendrycks and Gimpel 2017, "maximum softmax probability").
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from merbench.corpus import Contents, Metadata, write_corpus
from merbench.corpus.candidates import Candidates, open_candidates
from merbench.corpus.declaration import ID, SPLIT
from merbench.errors import UsageError, WithheldReference, did_you_mean, listed
from merbench.files.toml import toml_text
from merbench.files.writing import write_text
from merbench.targets import Target
from merbench.targets.categorical import CategoricalTarget
from merbench.track import MetricSpec, Track, load_track
from merbench.training.data import training_candidates, training_set
from merbench.training.protocol import Predictions

KNOWN_TRACK = "ood-emotion"
"""The track that scores known against unknown samples."""

SCORE, KNOWN, UNKNOWN = "score", "known", "unknown"
"""The target of that track, and its two labels."""


def target_of_classes(track: Track, classes: Sequence[str]) -> str:
    """Return the target that has the classes to hold out.

    Raises:
        UsageError: no categorical target of the track has them, too few classes are left, or it is secret which
            candidates are scored.
    """
    targets = {name: target for name, target in track.targets.items() if isinstance(target, CategoricalTarget)}
    if not targets:
        raise UsageError(f"{track.id} has no categorical target, whose classes can be held out")
    matches = [name for name, target in targets.items() if set(classes) <= set(target.classes)]
    if not matches:
        known = [label for target in targets.values() for label in target.classes]
        odd = next((name for name in classes if name not in known), classes[0])
        hint = f"it has {listed(known, 12)}{did_you_mean(odd, known)}"
        raise UsageError(f"{track.id} has no class '{odd}' to hold out; {hint}")
    if len(targets[matches[0]].classes) - len(set(classes)) < 2:
        raise UsageError(f"without {listed(list(classes))}, fewer than two classes of {track.id} are left to learn")
    _require_open(track, "test")
    return matches[0]


def _require_open(track: Track, split: str) -> None:
    if track.splits[split].hidden:
        raise UsageError(
            f"{track.id}: which candidates are scored is secret; classes are held out only where references are known"
        )


def without_classes(track: Track, classes: Sequence[str]) -> Track:
    """Return a track without some classes of its target: their samples are not learned from.

    A metric of one of them, or of another target, is left out.

    Raises:
        UsageError: see `target_of_classes`; or no metric is left.
    """
    name = target_of_classes(track, classes)
    target = track.targets[name]
    metrics = tuple(spec for spec in track.metrics if spec.target == name and not _is_of(spec, classes))
    if not metrics:
        raise UsageError(f"without {listed(list(classes))}, no metric of {track.id} is left to select by")
    left = track.model_copy(update={"metrics": tuple(spec.model_copy(update={"weight": None}) for spec in metrics)})
    names = {*map(left.metric_label, left.metrics), *(spec.key for spec in left.metrics)}
    ranked = tuple(key for key in track.ranked_by if key in names) or (left.metric_label(left.metrics[0]),)
    training = track.training
    others = [label for label, own in training.labels.items() if own in classes]
    learned = {
        "labels": {label: own for label, own in training.labels.items() if own not in classes},
        "ignored": tuple(dict.fromkeys([*training.ignored, *others, *classes])),
    }
    return left.model_copy(
        update={
            "targets": {name: _without(target, classes)},
            "ranking": track.ranking.model_copy(update={"by": ranked}),
            "training": training if training.corpus is None else training.model_copy(update=learned),
        }
    )


class NothingUnknown(UsageError):
    """No test sample is of a class that is held out, or all are."""


def hold_out_warnings(track: Track, classes: Sequence[str]) -> list[str]:
    """Return what a reader of the scores must know: that the most frequent class is held out.

    Only references of training samples are read.
    """
    if not classes:
        return []
    name = target_of_classes(track, classes)
    labels, codes = track.targets[name].classes, training_set(training_candidates(track), ()).targets[name]
    counts = np.bincount(codes[codes >= 0], minlength=len(labels))
    most = int(counts.argmax())
    if labels[most] not in classes:
        return []
    return [
        f"the most frequent class, {labels[most]}, is held out: {counts[most]:,} of {counts.sum():,} labelled samples "
        "are not learned from, and a score that is good without it may not be good with it"
    ]


def require_unknown(test: Candidates, classes: Sequence[str]) -> None:
    """Raise `NothingUnknown` where no sample is of a class that is held out, or none of another one.

    References of the samples are read.
    """
    name = target_of_classes(test.track, classes)
    _, codes = _known_codes(test, name)
    labels = test.track.targets[name].classes
    present = {labels[code] for code in codes.tolist()}
    if absent := [label for label in classes if label not in present]:
        raise NothingUnknown(
            f"{test.track.id}: no sample of split '{test.split}' is of {listed(absent)}: nothing is unknown there"
        )
    if present <= set(classes):
        raise NothingUnknown(
            f"{test.track.id}: all samples of split '{test.split}' are of {listed(list(classes))}: nothing is known"
        )


def _known_codes(test: Candidates, name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the rows of the candidates that count, and the codes of their references."""
    references = test.references
    rows, codes = references.index, np.asarray(references.values[name])
    if name not in references.known:
        return rows, codes
    known = references.known[name]
    return rows[known], codes[known]


def _is_of(spec: MetricSpec, classes: Sequence[str]) -> bool:
    return spec.parameters.get("label") in classes


def _without(target: Any, classes: Sequence[str]) -> Target:
    """Return a categorical target without some classes; references that are one of them do not count."""
    spellings = [alias for alias, label in target.aliases.items() if label in classes]
    left: Target = target.model_copy(
        update={
            "labels": tuple(label for label in target.labels if label not in classes),
            "aliases": {alias: label for alias, label in target.aliases.items() if label not in classes},
            "invalid": (*target.invalid, *classes, *spellings),
            "votes": (),
        }
    )
    return left


def known_scores(predictions: Predictions) -> Predictions:
    """Return how known every sample looks: the largest probability of its learned classes."""
    [probabilities] = predictions.outputs.values()
    return Predictions({SCORE: probabilities.max(axis=1)})


def write_known_track(folder: Path, test: Candidates, classes: Sequence[str]) -> Candidates:
    """Write `ood-emotion` with the samples of a track's split into a folder, as a track with a corpus of its own.

    A sample is known or unknown by its reference; one without a reference, or whose class the track does not count,
    has none there either. Returns the candidates.
    """
    track, corpus, known_track = test.track, test.corpus, load_track(KNOWN_TRACK)
    name = target_of_classes(track, classes)
    _require_open(track, test.split)
    metadata = Metadata(
        name=kebab(f"{corpus.name}-without-{'-'.join(classes)}"),
        version=corpus.version,
        source=f"{corpus.source}; split {test.split} of {track.key}, unknown: {', '.join(classes)}",
        licence=corpus.licence,
        language=corpus.language,
        synthetic=corpus.synthetic,
    )
    samples = test.samples.set_column(
        test.samples.column_names.index(SPLIT), SPLIT, pa.array(["test"] * len(test), pa.string())
    )
    write_corpus(folder / "corpus", metadata, Contents(samples, _references(test, name, classes)))
    content = {**known_track.content, "corpus": "./corpus", "title": f"Unknown emotions · {track.title}"}
    content |= {"intervals": {"cluster": track.intervals.cluster}} if track.intervals.cluster else {}
    content.pop("training", None)  # says that the track itself has no data
    write_text(folder / "track.toml", toml_text(content))
    return open_candidates(load_track(folder))


def _references(test: Candidates, name: str, classes: Sequence[str]) -> pa.Table | None:
    try:
        rows, codes = _known_codes(test, name)
    except WithheldReference:
        return None
    require_unknown(test, classes)
    labels = test.track.targets[name].classes
    texts = [UNKNOWN if labels[code] in classes else KNOWN for code in codes.tolist()]
    return pa.table({ID: test.ids.take(pa.array(rows)), SCORE: texts})


def kebab(text: str) -> str:
    """Return a text as part of a name: a to z, 0 to 9, and `-` for anything else."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:64].rstrip("-")
