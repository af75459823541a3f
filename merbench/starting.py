"""A folder name goes in, a commented `track.toml` and a card for one's own data are written there."""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from merbench.corpus.home import open_corpus
from merbench.errors import OutputError, UsageError
from merbench.files import write_text

TRACK = """\
# {id}: what is predicted, on which data, how it is scored. `merbench describe .`, typed in this folder, shows what
# this declares.
id = "{id}"                    # equals the folder's name
version = "1.0"                # raise it with every change after the first release: results of two versions never mix
title = "{id}"
source = ""                    # paper or web page
# year = 2026
# modalities = ["audio", "video", "text"]
corpus = {corpus}            # a name in the data home (`merbench corpus list`), or a folder such as "./corpus"
seed = 0                       # every declared random draw comes from it

# Names of the corpus's splits. A table with hidden = true keeps secret which candidates are scored:
# test = {{ source = "test", hidden = true }}
[splits]
{splits}
{targets}
# The overall score is the sum of weight * value; a metric without a weight is only reported.
# A metric that is better when lower needs a negative weight.
{metrics}
[ranking]
by = [{ranking}]               # the next key decides among equals
decimals = 4                   # compared as displayed

[submission]
id = "sample_id"               # name of the id column
extra_ids = "error"            # or "allow": ids outside the candidates are counted and ignored
max_bytes = 20_000_000

[intervals]
level = 0.95
n_resamples = 1000
# cluster = "speaker"          # a corpus column whose samples are drawn together
"""

CATEGORICAL = """
[targets.{key}]
type = "categorical"
labels = {labels}              # their order is the order of codes, rows and ties
out_of_vocabulary = "error"    # or "wrong": another answer counts as a wrong one
# aliases = {{ surprised = "surprise" }}
"""

CONTINUOUS = """
[targets.{key}]
type = "continuous"
{range}                # a prediction outside is an error
"""

FEW_NUMBERS = """\
# The references hold {n} distinct whole numbers. Where they stand for classes, take these lines instead of those above
# (labels are texts), and the metrics of labels below:
# type = "categorical"
# labels = {labels}
# aliases = {{ calm = "{first}" }}    # other spellings that are read as a label, in references and in submissions
"""

CATEGORICAL_METRICS = """
[[metrics]]
name = "weighted_f1"
target = {name}
weight = {weight}

[[metrics]]
name = "unweighted_average_recall"
target = {name}
"""

CONTINUOUS_METRICS = """
[[metrics]]
name = "mse"
target = {name}
weight = {weight}

[[metrics]]
name = "ccc"
target = {name}
"""

CARD = """\
# {id}

**Task.** What is predicted from what, and for which purpose.

**Data.** Where it comes from, who may use it, how to get it, sizes of the splits.

**Score.** The overall score written out, and why.

**Rules.** What participants may use; how often they may submit.

**Published results.** System, source, values.
"""


def write_starting_track(folder: Path, corpus_name: str = "") -> list[Path]:
    """Write `track.toml` and `README.md` into a new folder and return their paths.

    Args:
        folder: the folder; its name becomes the id.
        corpus_name: a corpus whose targets and splits are declared; empty for an example to edit.

    Raises:
        OutputError: one of the files is there already.
        UsageError: the folder's name is not kebab-case, or the corpus holds no references.
    """
    from merbench.track import KEBAB

    track_id = folder.resolve().name
    if not re.match(KEBAB, track_id):
        raise UsageError(
            f"'{track_id}' is not a track id: lower-case letters, digits and single hyphens, as in my-track"
        )
    paths = [folder / "track.toml", folder / "README.md"]
    for path in paths:
        if path.exists():
            raise OutputError(f"{path}: is there already")
    if corpus_name:
        splits, targets = _declared_by(corpus_name)
    else:
        splits = {"train": "train", "test": "test"}
        targets = {
            "discrete": Drafted(labels=("neutral", "angry", "happy", "sad", "worried", "surprise")),
            "valence": Drafted(range=(-5, 5)),
        }
    corpus = _seen_from(folder, corpus_name) or f"{track_id}-corpus"
    write_text(paths[0], _track_text(track_id, corpus, splits, targets, observed=bool(corpus_name)))
    write_text(paths[1], CARD.format(id=track_id))
    return paths


MOST_CLASSES = 10
"""A column of whole numbers with at most this many distinct ones may hold classes."""


@dataclass(frozen=True, slots=True)
class Drafted:
    """A target to declare.

    Attributes:
        labels: its labels, in order; of numbers, what they are called if they stand for classes.
        range: lowest and highest number; None where the target is categorical.
    """

    labels: tuple[str, ...] = ()
    range: tuple[int, int] | None = None


def _seen_from(folder: Path, corpus_name: str) -> str:
    """Return how a track in `folder` names a corpus: a relative path starts from there."""
    if not re.search(r"[/\\]", corpus_name) or Path(corpus_name).expanduser().is_absolute():
        return corpus_name
    relative = Path(os.path.relpath(corpus_name, folder)).as_posix()
    return relative if relative.startswith("..") else f"./{relative}"


def _declared_by(corpus_name: str) -> tuple[dict[str, str], dict[str, Drafted]]:
    corpus = open_corpus(corpus_name)
    reference = corpus.reference()
    if reference is None:
        raise UsageError(f"corpus '{corpus.name}' holds no references, so its targets are not known")
    names = sorted(set(corpus.samples()["split"].to_pylist()))
    splits = {name: name for name in ("train", "dev", "test") if name in names}
    splits.setdefault("test", next((name for name in names if name not in splits), names[-1]))
    if "train" in splits:
        # References of the test split must not show in a file that is published.
        samples = corpus.samples()
        train = samples["sample_id"].filter(pc.equal(samples["split"], "train"))
        reference = reference.filter(pc.is_in(reference["sample_id"], value_set=train.combine_chunks()))
    return splits, {name: _drafted(reference[name]) for name in reference.column_names if name != "sample_id"}


def _drafted(column: pa.ChunkedArray) -> Drafted:
    column = column.drop_null()
    whole = pa.types.is_integer(column.type)
    if not (whole or pa.types.is_floating(column.type)):
        return Drafted(labels=tuple(sorted(set(column.cast(pa.string()).to_pylist()))))
    bounds, values = pc.min_max(column).as_py(), sorted(column.unique().to_pylist()) if whole else []
    return Drafted(
        labels=tuple(map(str, values)) if 2 <= len(values) <= MOST_CLASSES else (),
        range=(math.floor(bounds["min"] or 0), math.ceil(bounds["max"] or 0)),
    )


def _track_text(
    track_id: str, corpus: str, splits: dict[str, str], targets: dict[str, Drafted], *, observed: bool
) -> str:
    weight = -0.25 if any(target.range is None for target in targets.values()) else -1.0
    return TRACK.format(
        id=track_id,
        corpus=_toml(corpus),
        splits="\n".join(f"{name} = {_toml(source)}" for name, source in splits.items()),
        targets="".join(_target_text(name, target, observed) for name, target in targets.items()),
        metrics="".join(_metrics_text(name, target, weight) for name, target in targets.items()).lstrip("\n"),
        ranking=_toml("overall"),
    )


def _toml(value: Any) -> str:
    """Return a text or a list of texts as TOML, which writes them as JSON does."""
    return json.dumps(value, ensure_ascii=False)


def _target_text(name: str, target: Drafted, observed: bool) -> str:
    key = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _toml(name)
    if target.range is None:
        return CATEGORICAL.format(key=key, labels=_toml(target.labels))
    # What a corpus holds need not be all that may be predicted: its range is a proposal to look at.
    text = CONTINUOUS.format(key=key, range=f"{'# ' if observed else ''}range = {list(target.range)}")
    if not target.labels:
        return text
    return text + FEW_NUMBERS.format(n=len(target.labels), labels=_toml(target.labels), first=target.labels[0])


def _metrics_text(name: str, target: Drafted, weight: float) -> str:
    if target.range is None:
        return CATEGORICAL_METRICS.format(name=_toml(name), weight=1.0)
    text = CONTINUOUS_METRICS.format(name=_toml(name), weight=weight)
    if not target.labels:
        return text
    instead = CATEGORICAL_METRICS.format(name=_toml(name), weight=1.0).strip().splitlines()
    lines = [f"# Where {name} holds classes, these instead:", *(f"# {line}".rstrip() for line in instead)]
    return f"{text}\n{chr(10).join(lines)}\n"
