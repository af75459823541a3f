"""The tables of a `track.toml` go in, what is wrong between its keys comes out: names that do not fit each other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from merbench.corruptions import CORRUPTIONS, check_parameters
from merbench.errors import MerbenchError, Problem, brief, did_you_mean, listed
from merbench.lexicon import open_lexicon
from merbench.metrics import METRICS, Metric
from merbench.metrics.label_set import ALL
from merbench.parameters import parameter_problems
from merbench.track.declaration import OVERALL, MetricSpec, metric_labels
from merbench.track.targets import TARGETS


def meaning_problems(raw: Mapping[str, Any]) -> list[Problem]:
    """Return what is wrong between keys; reads only what has the right type, so that nothing is told twice."""
    return [
        Problem("E207", message, column=column)
        for check in (
            _split_problems,
            _target_problems,
            _metric_problems,
            _ranking_problems,
            _corruption_problems,
            _media_problems,
        )
        for column, message in check(raw)
    ]


def _table(raw: Any) -> dict[str, Any]:
    return raw if isinstance(raw, dict) else {}


def _tables(raw: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    for index, item in enumerate(raw if isinstance(raw, list) else ()):
        if isinstance(item, dict):
            yield index, item


def _split_problems(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    splits = _table(raw.get("splits"))
    if isinstance(raw.get("splits"), dict) and "test" not in splits:
        yield "splits", f"there is no split 'test'{did_you_mean('test', splits)}"
    rules = _table(raw.get("submission"))
    kinds = {_kind(target) for target in _table(raw.get("targets")).values()}
    if rules.get("missing_ids") == "wrong" and not kinds <= {"categorical", "ranked"}:
        yield "submission.missing_ids", "'wrong' has a meaning for categorical and ranked targets alone"
    averaged = rules.get("duplicate_ids") == "mean"
    if averaged and not kinds <= {"categorical", "continuous", "scores"}:
        yield "submission.duplicate_ids", "'mean' has a meaning for categorical, continuous and scores targets alone"
    if "views" in rules and not averaged:
        yield "submission.views", "has a meaning with duplicate_ids = 'mean' alone"
    columns = _columns(raw)
    for alias, column in _table(rules.get("aliases")).items():
        if column not in columns:
            hint = did_you_mean(str(column), columns)
            yield f"submission.aliases.{alias}", f"'{column}' is not a column ({listed(columns, 12)}){hint}"
        if alias in columns:
            yield f"submission.aliases.{alias}", "is a column itself"


def _columns(raw: Mapping[str, Any]) -> list[str]:
    """Return the columns that a submission may use: the id, the targets, the probabilities of labels."""
    names = [str(_table(raw.get("submission")).get("id", "sample_id"))]
    for name, target in _table(raw.get("targets")).items():
        labels = _labels(_table(target))
        names += labels if _table(target).get("type") == "multilabel" else [name]
        names += [f"p_{label}" for label in labels] if _table(target).get("type") == "categorical" else []
    return names


def _kind(target: Any) -> str:
    """Return the kind of metric that scores a declared target; its type where that is unknown."""
    name = str(_table(target).get("type"))
    return TARGETS[name].kind if name in TARGETS else name


def _labels(target: Mapping[str, Any]) -> list[str]:
    """Return the labels that a declared target is scored by."""
    if target.get("type") == "preference":
        return ["a1", "a2"] if target.get("same", "dropped") == "dropped" else ["a1", "a2", "same"]
    labels = target.get("labels")
    return [label for label in labels if isinstance(label, str)] if isinstance(labels, list) else []


def _target_problems(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    id_column = _table(raw.get("submission")).get("id", "sample_id")
    for name, target in _table(raw.get("targets")).items():
        place = f"targets.{name}"
        if name == id_column or name.startswith("p_"):
            yield place, "a target is named neither as the id column nor with the prefix 'p_' of probabilities"
        target = _table(target)
        labels = _labels(target)
        if target.get("type") == "scores" and target.get("positive") == target.get("negative"):
            yield f"{place}.negative", "is the positive class, too"
        if len(set(labels)) < len(labels):
            yield f"{place}.labels", f"given twice: {listed(sorted({x for x in labels if labels.count(x) > 1}))}"
        for label in labels:
            if label != label.strip() or not label:
                yield f"{place}.labels", f"'{label}' is empty or has spaces around it"
        for alias, label in _table(target.get("aliases")).items():
            if label not in labels:
                yield f"{place}.aliases.{alias}", f"'{label}' is not one of {', '.join(labels)}"
            if alias in labels:
                yield f"{place}.aliases.{alias}", "is a label itself"
        match target.get("range"):
            case [int() | float() as low, int() | float() as high] if not low < high:
                yield f"{place}.range", f"[{low}, {high}]: the first number must be below the second"


def _metric_problems(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    targets = _table(raw.get("targets"))
    seen: dict[str, int] = {}
    for index, spec in _tables(raw.get("metrics")):
        place, name, target = f"metrics[{index}]", spec.get("name"), spec.get("target")
        if not isinstance(name, str) or not isinstance(target, str):
            continue
        if target not in targets:
            yield (
                f"{place}.target",
                f"'{target}' is not a target of this track ({', '.join(targets)}){did_you_mean(target, targets)}",
            )
        kind = _kind(targets.get(target)) if target in targets else None
        fitting = [option for option in METRICS if METRICS[option].target == kind]
        if name not in METRICS:
            known = f"; for {kind} targets: {', '.join(fitting)}" if fitting else ""
            yield f"{place}.name", f"no metric named '{name}'{known}{did_you_mean(name, fitting or METRICS)}"
            continue
        metric = METRICS[name]
        if kind is not None and metric.target != kind and str(_table(targets[target]).get("type")) in TARGETS:
            yield (
                f"{place}.name",
                f"'{name}' scores {metric.target} targets and '{target}' is {kind}; allowed: {', '.join(fitting)}",
            )
        elif "lexicon" in metric.supplied and not _table(targets.get(target)).get("lexicon"):
            yield f"{place}.name", f"'{name}' needs a lexicon; name one as targets.{target}.lexicon"
        weight = spec.get("weight")
        if isinstance(weight, (int, float)) and weight * (1 if metric.higher_is_better else -1) <= 0:
            better, side = ("higher", "above") if metric.higher_is_better else ("lower", "below")
            yield f"{place}.weight", f"{weight}: a {better} {name} is better, so its weight must be {side} 0"
        for key in ("aggregate", "shares"):
            if key in spec and "per" not in spec:
                yield f"{place}.{key}", "has a meaning with 'per' alone"
        if "aggregate" in spec and "shares" in spec:
            yield f"{place}.shares", "stands instead of 'aggregate'; give one of them"
        parameters = {key: value for key, value in spec.items() if key not in MetricSpec.model_fields}
        yield from _parameter_problems(place, metric, parameters, _table(targets.get(target)))
        key = json.dumps(spec, sort_keys=True, default=str)
        if key in seen:
            yield place, f"the same as metrics[{seen[key]}]"
        seen.setdefault(key, index)


def _parameter_problems(
    place: str, metric: Metric, parameters: Mapping[str, Any], target: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    further = [key for key in MetricSpec.model_fields if key != "parameters"]
    problems = dict(parameter_problems(metric.name, metric.parameters, parameters, further))
    for key in dict.fromkeys([*parameters, *problems]):
        value, allowed = parameters.get(key), _choices(key, target) if key in metric.parameters else ()
        if key in parameters and allowed and value not in allowed:
            near = did_you_mean(str(value), allowed)
            yield f"{place}.{key}", f"{brief(value)} is not one of {', '.join(allowed)}{near}"
        elif key in problems:
            yield f"{place}.{key}", problems[key]


def _choices(parameter: str, target: Mapping[str, Any]) -> Sequence[str]:
    """Return the values of a metric's parameter that a target allows; empty where it sets no limits."""
    return _labels(target) if parameter == "label" else _wheels(target.get("lexicon")) if parameter == "wheel" else ()


def _wheels(lexicon: Any) -> tuple[str, ...]:
    """Return what may stand for the wheels of a lexicon; nothing where the lexicon is not at hand."""
    try:
        return (*open_lexicon(str(lexicon)).wheels, ALL)
    except MerbenchError:  # told by whatever needs the lexicon
        return ()


def _ranking_problems(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    specs, broken = [], []
    for _, spec in _tables(raw.get("metrics")):
        try:
            specs.append(MetricSpec.model_validate(spec))
        except ValidationError:  # told elsewhere; the name may still be ranked by
            broken.append(str(spec.get("name")))
    weighted = any(spec.weight is not None for spec in specs)
    allowed = [*([OVERALL] if weighted else []), *metric_labels(specs), *broken]
    known = {*allowed, *(spec.key for spec in specs)}
    by = _table(raw.get("ranking")).get("by")
    for index, key in enumerate(by if isinstance(by, list) else ()):
        if isinstance(key, str) and key not in known:
            why = "no metric has a weight" if key == OVERALL else "is not a metric of this track"
            yield f"ranking.by[{index}]", f"'{key}' {why}; allowed: {', '.join(allowed)}{did_you_mean(key, allowed)}"


def _corruption_problems(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    steps: dict[str, int] = {}
    for index, spec in _tables(raw.get("corruptions")):
        name = spec.get("name")
        if not isinstance(name, str):
            continue
        parameters = {key: value for key, value in spec.items() if key not in ("name", "step", "split")}
        yield from _damaged_split_problems(f"corruptions[{index}].split", name, spec, _table(raw.get("splits")))
        for message in check_parameters(name, parameters):
            yield f"corruptions[{index}]", message
        step = str(spec.get("step") or name)
        if step in steps:
            yield (
                f"corruptions[{index}]",
                f"step '{step}' is taken by corruptions[{steps[step]}]; give it another 'step'",
            )
        steps.setdefault(step, index)


def _damaged_split_problems(
    place: str, name: str, spec: Mapping[str, Any], splits: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    split = spec.get("split", "test")
    if not isinstance(split, str):
        return
    if "split" in spec and split not in splits:
        yield place, f"'{split}' is not a split of this track ({', '.join(splits)}){did_you_mean(split, splits)}"
    elif split != "train" and name in CORRUPTIONS and CORRUPTIONS[name].modality == "labels":
        where = "labels are damaged in split = 'train' alone"
        yield place, f"{name} would corrupt the references of split '{split}'; {where}"


_QUALITIES = {"mpeg4": (2, 31), "h264": (0, 51)}


def _media_problems(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    media = _table(raw.get("media"))
    codec, quality = media.get("video_codec", "mpeg4"), media.get("quality")
    low, high = _QUALITIES.get(str(codec), (0, 51))
    if isinstance(quality, int) and not low <= quality <= high:
        yield "media.quality", f"{quality} is not a quality of {codec}, {low} (best) to {high}"
