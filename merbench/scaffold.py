"""The draft of a track for your own data: a commented `track.toml` and a card, which `merbench init` writes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from merbench.corpus import Corpus, open_corpus
from merbench.declarations import KEBAB
from merbench.errors import UsageError, listed, printable
from merbench.files.paths import expanded
from merbench.files.toml import toml_key, toml_value
from merbench.files.writing import write_text
from merbench.metrics import METRICS
from merbench.targets import TARGETS
from merbench.targets.drafts import Draft, DraftColumn

DURATIONS = ("duration_s", "duration")
"""Columns of samples that are taken for their length in seconds."""

_TRACK = """\
# {id}: what is predicted, on which data, how it is scored. `merbench describe .`, typed in this folder, shows what
# this declares.
id = "{id}"  # equals the folder's name
version = "1.0"  # raise it with every change after the first release: results of two versions are never mixed
title = "{id}"
source = ""  # paper or web page
# year = 2026
# modalities = ["audio", "video", "text"]
corpus = {corpus}  # a name in the data home (`merbench corpus list`), or a folder such as "./corpus"
seed = 0  # every declared random draw comes from it

# Names of the corpus's splits. A table with hidden = true keeps secret which candidates are scored:
# test = {{ source = "test", hidden = true }}
[splits]
{splits}
{targets}
# The overall score is the sum of weight * value; a metric without a weight is only reported.
# A metric that is better when lower needs a negative weight.
{metrics}
[ranking]
by = ["overall"]  # the next key decides among equals
decimals = 4  # compared as displayed

[submission]
id = "sample_id"  # name of the id column
extra_ids = "error"  # or "allow": ids outside the candidates are counted and ignored
max_bytes = 20_000_000

[intervals]
level = 0.95
n_resamples = 1000
# cluster = "speaker"  # a corpus column: its samples are resampled together
"""

_SEVERAL = """
# {names} {comment},
# take these lines instead of the targets of those names, and the metrics of '{target}' below:
"""

_CARD = """\
# {id}

**Task.** What is predicted from what, and for which purpose.

**Data.** Where it comes from, who may use it, how to get it, sizes of the splits.

**Score.** The overall score written out, and why.

**Rules.** What participants may use; how often they may submit.

**Published results.** System, source, values.
"""

_LABELS = ("neutral", "angry", "happy", "sad", "worried", "surprise")
_EXAMPLE = tuple(
    DraftColumn(name, pa.array(cells), pa.array(cells), is_example=True)
    for name, cells in (("discrete", _LABELS), ("valence", (-5.0, 5.0)))
)


def write_starting_track(folder: Path, corpus_name: str = "") -> list[Path]:
    """Write `track.toml` and `README.md` into a new folder and return their paths.

    Args:
        folder: the folder; its name becomes the id.
        corpus_name: a corpus whose targets and splits are declared; empty for an example to edit.

    Raises:
        UsageError: one of the files already exists, the folder's name is not kebab-case, or the corpus contains no
            references.
    """
    track_id = folder.resolve().name
    if not re.match(KEBAB, track_id):
        raise UsageError(
            f"'{track_id}' is not a track id: lower-case letters, digits and single hyphens, as in my-track"
        )
    paths = [folder / "track.toml", folder / "README.md"]
    for path in paths:
        if path.exists():
            raise UsageError(f"{path}: already exists; edit it, or name another folder")
    splits: Mapping[str, str] = {"train": "train", "test": "test"}
    columns: Sequence[DraftColumn] = _EXAMPLE
    if corpus_name:
        corpus = open_corpus(corpus_name)
        splits, columns = _splits(corpus.samples()["split"].to_pylist()), reference_columns(corpus)
    corpus_path = _seen_from(folder, corpus_name) or f"{track_id}-corpus"
    write_text(paths[0], _with_aligned_notes(_track_text(track_id, corpus_path, splits, columns)))
    write_text(paths[1], _CARD.format(id=track_id))
    return paths


def reference_columns(corpus: Corpus) -> list[DraftColumn]:
    """Return the columns of a corpus's references.

    Raises:
        UsageError: the corpus contains no references.
        IntegrityError: a table changed on disk.
    """
    reference, samples = corpus.reference(), corpus.samples()
    if reference is None:
        raise UsageError(f"corpus '{corpus.name}' contains no references, so its targets are not known")
    shown = reference
    if "train" in samples["split"].to_pylist():
        train = samples["sample_id"].filter(pc.equal(samples["split"], "train"))
        shown = reference.filter(pc.is_in(reference["sample_id"], value_set=train.combine_chunks()))
    duration = next((name for name in DURATIONS if name in samples.column_names), "")
    return [
        DraftColumn(name, _values(reference[name]), _values(shown[name]), duration)
        for name in reference.column_names
        if name != "sample_id"
    ]


def _values(column: pa.ChunkedArray) -> pa.Array:
    return column.drop_null().combine_chunks()


def drafted(column: DraftColumn) -> tuple[str, Draft]:
    """Return the type of the first kind of target that a column of references may be, and what to declare for it."""
    kinds = {name: TARGETS[name] for name in TARGETS}
    for name in sorted(kinds, key=lambda name: (kinds[name].draft_order or 0, name)):
        if kinds[name].draft_order is not None and (draft := kinds[name].drafted(column)) is not None:
            return name, draft
    raise UsageError(f"column '{column.name}': no kind of target has values of type {column.cells.type}")


def drafted_of_several(columns: Sequence[DraftColumn]) -> Iterable[tuple[str, Draft]]:
    """Yield the targets that may take the place of several columns, each with its type."""
    for name in TARGETS:
        if (draft := TARGETS[name].drafted_of_several(columns)) is not None:
            yield name, draft


def _splits(names: Iterable[str]) -> dict[str, str]:
    known = sorted(set(names))
    splits: dict[str, str] = {name: name for name in ("train", "dev", "test") if name in known}
    splits.setdefault("test", next((name for name in known if name not in splits), known[-1]))
    return splits


def _seen_from(folder: Path, corpus_name: str) -> str:
    """Return how a track in `folder` names a corpus: a relative path starts from there."""
    if not re.search(r"[/\\]", corpus_name) or expanded(corpus_name).is_absolute():
        return corpus_name
    relative = Path(os.path.relpath(corpus_name, folder)).as_posix()
    return relative if relative.startswith("..") else f"./{relative}"


def _track_text(track_id: str, corpus: str, splits: Mapping[str, str], columns: Sequence[DraftColumn]) -> str:
    drafts = {column.name: drafted(column) for column in columns}
    are_losses = not any(METRICS[draft.metrics[0]].higher_is_better for _, draft in drafts.values())
    of_losses = -1.0 if are_losses else -0.25
    targets = "".join(f"\n{_target_text(name, *item)}" for name, item in drafts.items())
    metrics = ""
    for name, (_, draft) in drafts.items():
        metrics += f"\n{_metrics_text(name, draft.metrics, draft.label, of_losses)}"
        if (other := draft.alternative) is not None:
            text = _metrics_text(name, other.metrics, draft.label, None if other.is_added else of_losses)
            metrics += f"\n# {other.comment}\n{_commented(text)}"
    for kind, draft in drafted_of_several(columns):
        names = listed([printable(name) for name in draft.replaces], 12)
        targets += _SEVERAL.format(names=names, comment=draft.comment, target=printable(draft.name)) + _commented(
            _target_text(draft.name, kind, draft)
        )
        metrics += f"\n# With the target '{printable(draft.name)}', these instead of the metrics of its columns:\n"
        metrics += _commented(_metrics_text(draft.name, draft.metrics, "", of_losses))
    return _TRACK.format(
        id=track_id,
        corpus=toml_value(corpus),
        splits="\n".join(f"{name} = {toml_value(source)}" for name, source in splits.items()),
        targets=targets,
        metrics=metrics.lstrip("\n"),
    )


def _target_text(name: str, kind: str, draft: Draft) -> str:
    return f'[targets.{toml_key(name)}]\ntype = "{kind}"\n{draft.lines}'


def _metrics_text(target: str, names: Sequence[str], label: str, of_losses: float | None) -> str:
    """Return metrics of a target, of which the first has a weight: `of_losses` where lower is better; none for None."""
    sections = []
    for place, name in enumerate(names):
        metric = METRICS[name]
        lines = ["[[metrics]]", f'name = "{name}"', f"target = {toml_value(target)}"]
        lines += [f"label = {toml_value(label)}"] if "label" in metric.parameters and label else []
        if place == 0 and of_losses is not None:
            lines.append(f"weight = {1.0 if metric.higher_is_better else of_losses}")
        sections.append("\n".join(lines) + "\n")
    return "\n".join(sections)


def _commented(text: str) -> str:
    return "".join(f"# {line}".rstrip() + "\n" for line in text.splitlines())


def _with_aligned_notes(text: str) -> str:
    """Return a declaration whose comments behind a value start in one column, or behind a longer value."""
    return re.sub(r"^((?:# )?[^#\n]*?\S) {2,}# ", lambda match: f"{match[1]:<29}  # ", text, flags=re.MULTILINE)
