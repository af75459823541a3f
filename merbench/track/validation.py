"""What is wrong between the keys of a `track.toml`: names that do not exist, values that contradict each other."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from merbench.corruptions import CORRUPTIONS, check_parameters
from merbench.declarations import declaration_problems
from merbench.errors import DeclarationError, MerbenchError, Problem, brief, did_you_mean, listed
from merbench.lexicon import open_lexicon
from merbench.metrics import METRICS, Metric
from merbench.metrics.label_set import ALL
from merbench.parameters import parameter_problems
from merbench.targets import TARGETS, Target, declared_target, types_with
from merbench.track.declaration import (
    OVERALL,
    SELECTED_BY,
    CorruptionSpec,
    Intervals,
    MediaSpec,
    MetricSpec,
    Ranking,
    Selection,
    Split,
    SubmissionRules,
    Track,
    Training,
    metric_labels,
)

Piece = TypeVar("Piece")
Mistakes = Iterator[tuple[str, str]]
"""Problems as (key path, message)."""

_KEYS_OF_METRICS = tuple(key for key in MetricSpec.model_fields if key != "parameters")


@dataclass(frozen=True)
class _Tables:
    """The tables of a `track.toml`: as written, and as validated where they could be."""

    raw: Mapping[str, Any]  # all of them as written; a value may have any type
    targets: Mapping[str, Target | None]  # by name
    metrics: Sequence[MetricSpec | None]  # in order

    def table(self, name: str) -> dict[str, Any]:
        """Return a table; an empty one where it is missing, or something else."""
        return _table(self.raw.get(name))

    def kind(self, target: str) -> type[Target] | None:
        """Return the kind of a target; None if there is no such target or kind."""
        name = _table(self.table("targets").get(target)).get("type")
        return TARGETS[name] if isinstance(name, str) and name in TARGETS else None


def parse_track(raw: Mapping[str, Any], folder: Path) -> Track:
    """Return the track that the tables of a `track.toml` declare; raise `DeclarationError` with all problems."""
    targets, metrics = raw.get("targets"), raw.get("metrics")
    tables = _Tables(
        raw,
        {name: _validated(declared_target, table) for name, table in _table(targets).items()},
        [_validated(MetricSpec.model_validate, table) for table in (metrics if isinstance(metrics, list) else ())],
    )
    content = {**raw, "folder": folder}
    if tables.targets:
        content["targets"] = {name: target or _table(targets)[name] for name, target in tables.targets.items()}
    if isinstance(metrics, list):
        content["metrics"] = [spec or table for spec, table in zip(tables.metrics, metrics, strict=True)]
    problems: list[Problem] = []
    try:
        track = Track.model_validate(content)
    except ValidationError as error:
        problems = declaration_problems(error, lambda location: _allowed_keys(tables, location))
    problems += [Problem("E207", message, column=key) for check in _CHECKS for key, message in check(tables)]
    if raw.get("id") != folder.resolve().name and isinstance(raw.get("id"), str):
        message = f"'{raw['id']}' differs from the folder's name, '{folder.resolve().name}'; they must be equal"
        problems.insert(0, Problem("E207", message, column="id"))
    if problems:
        raise DeclarationError(str(folder / "track.toml"), problems)
    return track


def _validated(validate: Callable[[Any], Piece], table: Any) -> Piece | None:
    try:
        return validate(table)
    except ValidationError:  # reported with the whole track
        return None


def _allowed_keys(tables: _Tables, location: Sequence[int | str]) -> Sequence[str]:
    """Return the keys that the table at a location may contain."""
    models: dict[str, type[BaseModel]] = {
        "splits": Split,
        "metrics": MetricSpec,
        "corruptions": CorruptionSpec,
        "ranking": Ranking,
        "submission": SubmissionRules,
        "intervals": Intervals,
        "media": MediaSpec,
    }
    first, *further = location or ("",)
    if first == "training":
        return keys_of_training(further)
    model = tables.kind(str(further[0])) if first == "targets" and further else models.get(str(first))
    return [key for key in (model or Track).model_fields if key not in ("folder", "parameters")]


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _tables(value: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    for index, item in enumerate(value if isinstance(value, list) else ()):
        if isinstance(item, dict):
            yield index, item


def _split_problems(tables: _Tables) -> Mistakes:
    splits = tables.table("splits")
    if isinstance(tables.raw.get("splits"), dict) and "test" not in splits:
        yield "splits", f"no split 'test'{did_you_mean('test', splits)}"


def _submission_problems(tables: _Tables) -> Mistakes:
    rules = tables.table("submission")
    kinds = [kind for name in tables.targets if (kind := tables.kind(name)) is not None]
    if rules.get("missing_ids") == "wrong" and not all(kind.may_be_wrong for kind in kinds):
        yield "submission.missing_ids", f"'wrong' applies only to targets of type {types_with('may_be_wrong')}"
    is_averaged = rules.get("duplicate_ids") == "mean"
    if is_averaged and not all(kind.row_average for kind in kinds):
        yield "submission.duplicate_ids", f"'mean' applies only to targets of type {types_with('row_average')}"
    if "views" in rules and not is_averaged:
        yield "submission.views", "applies only with duplicate_ids = 'mean'"
    columns = [str(rules.get("id", "sample_id"))]
    for name, target in tables.targets.items():
        if target is None:
            return  # its columns are not known
        columns += [*target.columns(name), *target.probability_columns()]
    for alias, column in _table(rules.get("aliases")).items():
        if column not in columns:
            hint = did_you_mean(str(column), columns)
            yield f"submission.aliases.{alias}", f"'{column}' is not a column ({listed(columns, 12)}){hint}"
        if alias in columns:
            yield f"submission.aliases.{alias}", "is a column itself"


def _target_problems(tables: _Tables) -> Mistakes:
    id_column = tables.table("submission").get("id", "sample_id")
    for name in tables.targets:
        if name == id_column or name.startswith("p_"):
            message = "a target must not have the name of the id column, or the prefix 'p_' of probabilities"
            yield f"targets.{name}", message
    chances = {p: name for name, target in tables.targets.items() if target for p in target.probability_columns()}
    for name, target in tables.targets.items():
        if target is not None and (shared := [column for column in target.columns(name) if column in chances]):
            message = f"its columns {listed(shared)} are those of the probabilities of '{chances[shared[0]]}'"
            yield f"targets.{name}", f"{message}; rename it"


def _metric_problems(tables: _Tables) -> Mistakes:
    seen: dict[str, int] = {}
    for index, spec in _tables(tables.raw.get("metrics")):
        place, name, target = f"metrics[{index}]", spec.get("name"), spec.get("target")
        if not isinstance(name, str) or not isinstance(target, str):
            continue
        if target not in tables.targets:
            known = ", ".join(tables.targets)
            hint = did_you_mean(target, tables.targets)
            yield f"{place}.target", f"'{target}' is not a target of this track ({known}){hint}"
        kind = tables.kind(target)
        if name not in METRICS:
            fitting = _fitting(kind)
            allowed = f"; for {METRICS[fitting[0]].target} targets: {', '.join(fitting)}" if fitting else ""
            yield f"{place}.name", f"no metric named '{name}'{allowed}{did_you_mean(name, fitting or METRICS)}"
            continue
        metric, declared = METRICS[name], tables.targets.get(target)
        if kind is not None and not kind.is_scored_by(metric):
            fits = f"'{target}' is {kind.metric_kind}; allowed: {', '.join(_fitting(kind))}"
            yield f"{place}.name", f"'{name}' scores {metric.target} targets and {fits}"
        elif "lexicon" in metric.supplied and declared is not None and not declared.lexicon_name:
            yield f"{place}.name", f"'{name}' needs a lexicon; name one as targets.{target}.lexicon"
        elif metric.target == "distribution" and declared is not None and (own := declared.probability_columns()):
            if problem := _unclear_probabilities(tables, target, own):
                yield f"{place}.name", problem
        for key, message in _spec_problems(metric, spec, declared):
            yield f"{place}.{key}", message
        text = json.dumps(spec, sort_keys=True, default=str)
        if text in seen:
            yield place, f"the same as metrics[{seen[text]}]"
        seen.setdefault(text, index)


def _unclear_probabilities(tables: _Tables, name: str, columns: Sequence[str]) -> str:
    """Return why a metric cannot be computed from the probabilities of a target; empty if it can."""
    for other, target in tables.targets.items():
        if other != name and target is not None and set(columns) & set(target.probability_columns()):
            return f"'{name}' and '{other}' share labels, so that it is not clear whose probabilities p_<label> are"
    if tables.table("submission").get("missing_ids") == "wrong":
        return "a missing answer has no probabilities; with such a metric, submission.missing_ids must not be 'wrong'"
    return ""


def _fitting(kind: type[Target] | None) -> list[str]:
    """Return the names of the metrics that score a kind of target."""
    return [name for name in METRICS if kind is not None and kind.is_scored_by(METRICS[name])]


def _spec_problems(metric: Metric, spec: Mapping[str, Any], target: Target | None) -> Mistakes:
    """Yield the problems within one metric: its weight, what it is taken within, its parameters."""
    weight = spec.get("weight")
    if isinstance(weight, (int, float)) and weight * (1 if metric.higher_is_better else -1) <= 0:
        better, side = ("higher", "above") if metric.higher_is_better else ("lower", "below")
        yield "weight", f"{weight}: a {better} {metric.name} is better, so its weight must be {side} 0"
    for key in ("aggregate", "shares"):
        if key in spec and "per" not in spec:
            yield key, "applies only with 'per'"
    if "aggregate" in spec and "shares" in spec:
        yield "shares", "replaces 'aggregate'; give one of them"
    parameters = {key: value for key, value in spec.items() if key not in _KEYS_OF_METRICS and key != "parameters"}
    problems = dict(parameter_problems(metric.name, metric.parameters, parameters, _KEYS_OF_METRICS))
    for key in dict.fromkeys([*parameters, *problems]):
        value, allowed = parameters.get(key), _choices(key, target) if key in metric.parameters else ()
        if key in parameters and allowed and value not in allowed:
            yield key, f"{brief(value)} is not one of {', '.join(allowed)}{did_you_mean(str(value), allowed)}"
        elif key in problems:
            yield key, problems[key]


def _choices(parameter: str, target: Target | None) -> Sequence[str]:
    """Return the values of a metric's parameter that a target allows; empty if it sets no limits."""
    if target is None:
        return ()
    if parameter == "wheel" and target.lexicon_name:
        try:
            return (*open_lexicon(target.lexicon_name).wheels, ALL)
        except MerbenchError:  # reported by whatever needs the lexicon
            return ()
    return target.scored_labels if parameter == "label" else ()


def _ranking_problems(tables: _Tables) -> Mistakes:
    specs = [spec for spec in tables.metrics if spec is not None]
    raw = tables.raw.get("metrics")
    # The name of a metric that has other problems may still be ranked by.
    invalid = [str(table.get("name")) for index, table in _tables(raw) if tables.metrics[index] is None]
    is_weighted = any(spec.weight is not None for spec in specs)
    allowed = [*([OVERALL] if is_weighted else []), *metric_labels(specs), *invalid]
    known = {*allowed, *(spec.key for spec in specs)}
    by = tables.table("ranking").get("by")
    for index, key in enumerate(by if isinstance(by, list) else ()):
        if isinstance(key, str) and key not in known:
            why = "no metric has a weight" if key == OVERALL else "is not a metric of this track"
            yield f"ranking.by[{index}]", f"'{key}' {why}; allowed: {', '.join(allowed)}{did_you_mean(key, allowed)}"


def _corruption_problems(tables: _Tables) -> Mistakes:
    corruptions = tables.raw.get("corruptions")
    for index, spec in _tables(corruptions):
        name = spec.get("name")
        for message in _corrupted_split(name, spec, tables.table("splits")) if isinstance(name, str) else ():
            yield f"corruptions[{index}].split", message
    yield from _step_problems(corruptions)


def _step_problems(corruptions: Any) -> Mistakes:
    """Yield the problems of the parameters and names of steps, in `[[corruptions]]` or in those of `[training]`."""
    steps: dict[str, int] = {}
    for index, spec in _tables(corruptions):
        place, name = f"corruptions[{index}]", spec.get("name")
        if not isinstance(name, str):
            continue
        others = {key: value for key, value in spec.items() if key not in CorruptionSpec.model_fields}
        # Keys next to `parameters` are no parameters, and are reported as unknown.
        for message in check_parameters(name, _table(spec.get("parameters", others))):
            yield place, message
        step = str(spec.get("step") or name)
        if step in steps:
            yield place, f"step '{step}' is already used by corruptions[{steps[step]}]; give it another 'step'"
        steps.setdefault(step, index)


def _corrupted_split(name: str, spec: Mapping[str, Any], splits: Mapping[str, Any]) -> Iterator[str]:
    split = spec.get("split", "test")
    if not isinstance(split, str):
        return
    if "split" in spec and split not in splits:
        yield f"'{split}' is not a split of this track ({', '.join(splits)}){did_you_mean(split, splits)}"
    elif split != "train" and name in CORRUPTIONS and CORRUPTIONS[name].modality == "labels":
        yield f"{name} would corrupt the references of split '{split}'; labels are corrupted only in split = 'train'"


_QUALITIES = {"mpeg4": (2, 31), "h264": (0, 51)}


def _media_problems(tables: _Tables) -> Mistakes:
    media = tables.table("media")
    codec, quality = media.get("video_codec", "mpeg4"), media.get("quality")
    low, high = _QUALITIES.get(str(codec), (0, 51))
    if isinstance(quality, int) and not low <= quality <= high:
        yield "media.quality", f"{quality} is not a quality of {codec}, {low} (best) to {high}"


def _training_problems(tables: _Tables) -> Mistakes:
    training, splits = tables.table("training"), tables.table("splits")
    labels = [label for target in tables.targets.values() if target is not None for label in target.scored_labels]
    for key, message in _learning_problems(training, splits, labels):
        yield f"training.{key}", message


def keys_of_training(location: Sequence[int | str]) -> Sequence[str]:
    """Return the keys that `[training]`, or the table at a location in it, may contain."""
    model = CorruptionSpec if location and location[0] == "corruptions" else Training
    return [key for key in model.model_fields if key != "parameters"]


def training_problems(training: Mapping[str, Any], track: Track) -> list[Problem]:
    """Return what is wrong between the keys of a `[training]` that a track is run with."""
    labels = [label for target in track.targets.values() for label in target.scored_labels]
    mistakes = _learning_problems(training, track.splits, labels)
    return [Problem("E207", message, column=key) for key, message in mistakes]


def _learning_problems(training: Mapping[str, Any], splits: Mapping[str, Any], labels: Sequence[str]) -> Mistakes:
    """Yield the problems of a `[training]` as written, in a track with some splits and labels."""
    for key in ("labels", "ignored", "scale"):
        if key in training and "corpus" not in training:
            yield key, "applies only with 'corpus', another corpus to learn from"
    mapped = _table(training.get("labels"))
    for label, own in mapped.items():
        if own not in labels:
            yield f"labels.{label}", f"{brief(own)} is not one of {listed(labels, 12)}{did_you_mean(str(own), labels)}"
    for label in _strings(training.get("ignored")):
        if label in mapped or label in labels:
            yield "ignored", f"'{label}' is a label to learn from"
    for name in _strings(training.get("unlabelled")):
        if name not in splits:
            known = ", ".join(splits)
            yield "unlabelled", f"'{name}' is not a split of this track ({known}){did_you_mean(name, splits)}"
    yield from _selection_problems(training, splits)
    for index, spec in _tables(training.get("corruptions")):
        name = str(spec.get("name"))
        if name in CORRUPTIONS and CORRUPTIONS[name].modality not in ("features", "labels"):
            yield (
                f"corruptions[{index}].name",
                f"{name} corrupts {CORRUPTIONS[name].modality}; in training, only features and labels are corrupted",
            )
    yield from _step_problems(training.get("corruptions"))


def _selection_problems(training: Mapping[str, Any], splits: Mapping[str, Any]) -> Mistakes:
    """Yield the keys of a `[training]` that its selection does not use, or lacks."""
    selection = training.get("selection", "folds")
    if selection == "dev" and not {"development", "corpus"} & set(training) and "dev" not in splits:
        yield "selection", "'dev' needs a split 'dev', or 'development', the corpus's splits of the development set"
    for key, used in SELECTED_BY.items():
        if key in training and selection in get_args(Selection) and selection not in used:
            yield key, f"applies only with selection = {' or '.join(map(repr, used))}"


def _strings(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, (list, tuple)) else []


_CHECKS: tuple[Callable[[_Tables], Mistakes], ...] = (
    _split_problems,
    _submission_problems,
    _target_problems,
    _metric_problems,
    _ranking_problems,
    _corruption_problems,
    _media_problems,
    _training_problems,
)
