"""A folder name goes in, a commented `track.toml` and a card for one's own data are written there."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from merbench.corpus.home import open_corpus
from merbench.errors import OutputError, UsageError
from merbench.files import write_text

TRACK = """\
# {id}: what is predicted, on which data, how it is scored. `merbench describe {id}` shows what this declares.
id = "{id}"                    # equals the folder's name
version = "1.0"                # raise it with every change after the first release: results of two versions never mix
title = "{id}"
source = ""                    # paper or web page
# year = 2026
# modalities = ["audio", "video", "text"]
corpus = "{corpus}"            # a name in the data home (`merbench corpus list`), or a folder such as "./corpus"
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
[targets.{name}]
type = "categorical"
labels = {labels}              # their order is the order of codes, rows and ties
out_of_vocabulary = "error"    # or "wrong": another answer counts as a wrong one
# aliases = {{ surprised = "surprise" }}
"""

CONTINUOUS = """
[targets.{name}]
type = "continuous"
{range}                # a prediction outside is an error
"""

CATEGORICAL_METRICS = """
[[metrics]]
name = "weighted_f1"
target = "{name}"
weight = {weight}

[[metrics]]
name = "unweighted_average_recall"
target = "{name}"
"""

CONTINUOUS_METRICS = """
[[metrics]]
name = "mse"
target = "{name}"
weight = {weight}

[[metrics]]
name = "ccc"
target = "{name}"
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
    import re

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
            "discrete": ["neutral", "angry", "happy", "sad", "worried", "surprise"],
            "valence": (-5.0, 5.0),
        }
    corpus = corpus_name or f"{track_id}-corpus"
    write_text(paths[0], _track_text(track_id, corpus, splits, targets, observed=bool(corpus_name)))
    write_text(paths[1], CARD.format(id=track_id))
    return paths


Declared = dict[str, list[str] | tuple[float, float]]
"""Targets by name: labels of a categorical one, or the range of a continuous one."""


def _declared_by(corpus_name: str) -> tuple[dict[str, str], Declared]:
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
    targets: Declared = {}
    for name in reference.column_names:
        if name == "sample_id":
            continue
        column = reference[name].drop_null()
        if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
            bounds = pc.min_max(column).as_py()
            targets[name] = (math.floor(bounds["min"] or 0), math.ceil(bounds["max"] or 0))
        else:
            targets[name] = sorted(set(column.cast(pa.string()).to_pylist()))
    return splits, targets


def _track_text(track_id: str, corpus: str, splits: dict[str, str], targets: Declared, *, observed: bool) -> str:
    sections, metrics = "", ""
    categorical = [name for name, declared in targets.items() if isinstance(declared, list)]
    for name, declared in targets.items():
        if isinstance(declared, list):
            sections += CATEGORICAL.format(name=name, labels=json.dumps(declared, ensure_ascii=False))
            metrics += CATEGORICAL_METRICS.format(name=name, weight=1.0)
        else:
            # What a corpus holds need not be all that may be predicted: its range is a proposal to look at.
            line = f"range = {list(declared)}"
            sections += CONTINUOUS.format(name=name, range=f"# {line}" if observed else line)
            metrics += CONTINUOUS_METRICS.format(name=name, weight=-0.25 if categorical else -1.0)
    return TRACK.format(
        id=track_id,
        corpus=corpus,
        splits="\n".join(f"{name} = {json.dumps(source)}" for name, source in splits.items()),
        targets=sections,
        metrics=metrics.lstrip("\n"),
        ranking=json.dumps("overall"),
    )
