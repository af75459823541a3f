"""A folder name and the draft of a track go in, a commented `track.toml` and a card are written there."""

from __future__ import annotations

import os
import re
from pathlib import Path

from merbench.corpus import open_corpus
from merbench.errors import UsageError, listed, printable
from merbench.files import expanded, toml_key, toml_value, write_text
from merbench.scaffold.drafting import EXAMPLE, Draft, Drafted, draft_of

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
{unseen}labels = {labels}              # their order is the order of codes, rows and ties
out_of_vocabulary = "error"    # or "wrong": another answer counts as a wrong one
# aliases = {{ surprised = "surprise" }}
"""

CONTINUOUS = """
[targets.{key}]
type = "continuous"
{range}                # a prediction outside is an error
"""

LABEL_SET = """
[targets.{key}]
type = "label_set"
split = "official"             # one word ends at a comma or a quote; "python" reads a list as Python does
empty = "error"                # or "allow": a prediction may be the empty set
# lexicon = "english"          # which words stand for the same emotion (`merbench lexicon list`)
"""

PREFERENCE = """
[targets.{key}]
type = "preference"
same = "dropped"               # samples whose reference is same are left out; "class" makes it a third class
reading = "label"              # or "answer": a model's answer in free text
"""

SEGMENTS = """
[targets.{key}]
type = "segments"
{unseen}labels = {labels}              # what a segment may be
{duration}       # a corpus column with a sample's length in seconds, which no segment may pass
"""

UNSEEN = """\
# The references for training hold {n} of the labels, and two at least are needed; the others here are made up.
"""

INDICATORS = """
# {names} hold nothing but 0 and 1. Where each says whether a label holds, and several may at once, take these lines
# instead of the targets of those names, and the metrics of several labels below:
# [targets.several]
# type = "multilabel"
# labels = {labels}
"""

FEW_NUMBERS = """\
# The references hold {n} distinct whole numbers. Where they stand for classes, take these lines instead of those above
# (labels are texts), and the metrics of labels below:
# type = "categorical"
# labels = {labels}
# aliases = {{ calm = {first} }}    # other spellings that are read as a label, in references and in submissions
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

LABEL_SET_METRICS = """
[[metrics]]
name = "set_average"
target = {name}
weight = {weight}

[[metrics]]
name = "set_jaccard"
target = {name}

# Where {name} has a lexicon:
# [[metrics]]
# name = "emotion_wheel_f1"
# target = {name}
"""

SEGMENTS_METRICS = """
[[metrics]]
name = "segment_f1"
target = {name}
label = {label}
weight = {weight}

[[metrics]]
name = "sentence_accuracy"
target = {name}
label = {label}
"""

INDICATORS_METRICS = """
# Where several labels may hold, these instead of the metrics of those columns:
# [[metrics]]
# name = "multilabel_f1"
# target = "several"
# weight = 1.0
#
# [[metrics]]
# name = "exact_match"
# target = "several"
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
        UsageError: one of the files is there already, the folder's name is not kebab-case, or the corpus holds no
            references.
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
            raise UsageError(f"{path}: is there already; edit it, or name another folder")
    draft = draft_of(open_corpus(corpus_name)) if corpus_name else EXAMPLE
    corpus = _seen_from(folder, corpus_name) or f"{track_id}-corpus"
    write_text(paths[0], _with_aligned_notes(_track_text(track_id, corpus, draft)))
    write_text(paths[1], CARD.format(id=track_id))
    return paths


def _seen_from(folder: Path, corpus_name: str) -> str:
    """Return how a track in `folder` names a corpus: a relative path starts from there."""
    if not re.search(r"[/\\]", corpus_name) or expanded(corpus_name).is_absolute():
        return corpus_name
    relative = Path(os.path.relpath(corpus_name, folder)).as_posix()
    return relative if relative.startswith("..") else f"./{relative}"


def _track_text(track_id: str, corpus: str, draft: Draft) -> str:
    numbers_alone = all(target.kind == "continuous" for target in draft.targets.values())
    targets = "".join(_target_text(name, target, draft.observed) for name, target in draft.targets.items())
    metrics = "".join(_metrics_text(name, target, numbers_alone) for name, target in draft.targets.items())
    if draft.indicators:
        targets += INDICATORS.format(
            names=listed([printable(name) for name in draft.indicators], 12), labels=toml_value(draft.indicators)
        )
        metrics += INDICATORS_METRICS
    return TRACK.format(
        id=track_id,
        corpus=toml_value(corpus),
        splits="\n".join(f"{name} = {toml_value(source)}" for name, source in draft.splits.items()),
        targets=targets,
        metrics=metrics.lstrip("\n"),
        ranking=toml_value("overall"),
    )


def _target_text(name: str, target: Drafted, observed: bool) -> str:
    key = toml_key(name)
    match target.kind:
        case "label_set":
            return LABEL_SET.format(key=key)
        case "preference":
            return PREFERENCE.format(key=key)
        case "categorical":
            return CATEGORICAL.format(key=key, labels=toml_value(_two_or_more(target.labels)), unseen=_unseen(target))
        case "segments":
            duration = f"duration = {toml_value(target.duration)}" if target.duration else '# duration = "duration_s"'
            labels = toml_value(_two_or_more(target.labels))
            return SEGMENTS.format(key=key, labels=labels, unseen=_unseen(target), duration=duration)
    # What a corpus holds need not be all that may be predicted: its range is a proposal to look at.
    text = CONTINUOUS.format(key=key, range=f"{'# ' if observed else ''}range = {list(target.range or (0, 1))}")
    if not target.labels:
        return text
    labels = toml_value(target.labels)
    return text + FEW_NUMBERS.format(n=len(target.labels), labels=labels, first=toml_value(target.labels[0]))


def _two_or_more(labels: tuple[str, ...]) -> tuple[str, ...]:
    """Return labels with made-up ones behind them where there are fewer than a vocabulary needs."""
    made_up = [label for label in ("other", "another") if label not in labels]
    return (*labels, *made_up[: max(0, 2 - len(labels))])


def _unseen(target: Drafted) -> str:
    return UNSEEN.format(n=len(target.labels) or "none") if len(target.labels) < 2 else ""


def _metrics_text(name: str, target: Drafted, numbers_alone: bool) -> str:
    quoted = toml_value(name)
    match target.kind:
        case "label_set":
            return LABEL_SET_METRICS.format(name=quoted, weight=1.0)
        case "segments":
            return SEGMENTS_METRICS.format(name=quoted, label=toml_value(_two_or_more(target.labels)[0]), weight=1.0)
        case "categorical" | "preference":
            return CATEGORICAL_METRICS.format(name=quoted, weight=1.0)
    text = CONTINUOUS_METRICS.format(name=quoted, weight=-1.0 if numbers_alone else -0.25)
    if not target.labels:
        return text
    instead = CATEGORICAL_METRICS.format(name=quoted, weight=1.0).strip().splitlines()
    lines = [f"# Where {printable(name)} holds classes, these instead:", *(f"# {line}".rstrip() for line in instead)]
    return f"{text}\n{chr(10).join(lines)}\n"


def _with_aligned_notes(text: str) -> str:
    """Return a declaration whose comments behind a value start in one column, or behind a longer value."""
    return re.sub(r"^([^#\n]*?\S) {2,}# ", lambda found: f"{found[1]:<29}  # ", text, flags=re.MULTILINE)
