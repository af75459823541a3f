"""`track.toml` goes in, a frozen `Track` comes out: what is predicted, on which data, how it is scored and ranked."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from merbench.corruptions import check_parameters
from merbench.errors import DeclarationError, Problem, did_you_mean, listed
from merbench.files import find_folder, list_folders, sha256_bytes
from merbench.metrics import METRICS, Metric

OVERALL = "overall"
"""The ranking key of the weighted sum of metrics."""

LATER_TARGETS = ("label_set", "ranked", "multilabel", "preference", "scores", "segments", "trajectory", "text")
"""Target types that the format knows and this version does not score."""

KEBAB = r"^[a-z0-9]+(-[a-z0-9]+)*$"


class Declaration(BaseModel):
    """A table of a declaration: frozen, and without keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Split(Declaration):
    """Where a split's samples stand in the corpus, and whether only a hidden part of them is scored."""

    source: str = Field(min_length=1)
    hidden: bool = False

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"source": value} if isinstance(value, str) else value


class CategoricalTarget(Declaration):
    """One of several labels.

    Attributes:
        labels: the vocabulary; its order is the order of codes, rows and ties.
        aliases: other spellings that are read as a label.
        out_of_vocabulary: what an answer outside the vocabulary is: an error of the file, or a wrong answer.
    """

    type: Literal["categorical"]
    labels: tuple[str, ...] = Field(min_length=2, strict=False)
    aliases: dict[str, str] = {}
    out_of_vocabulary: Literal["error", "wrong"] = "error"


class ContinuousTarget(Declaration):
    """A number.

    Attributes:
        range: lowest and highest allowed prediction; None allows every finite number.
    """

    type: Literal["continuous"]
    range: tuple[float, float] | None = Field(default=None, strict=False)


Target = Annotated[CategoricalTarget | ContinuousTarget, Field(discriminator="type")]


class _NamedWithParameters(Declaration):
    """A table with a name, whose further keys are the parameters of what it names."""

    name: str
    parameters: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _gather_parameters(cls, value: Any) -> Any:
        if not isinstance(value, dict) or "parameters" in value:
            return value
        known = set(cls.model_fields)
        own = {key: item for key, item in value.items() if key in known}
        return {**own, "parameters": {key: item for key, item in value.items() if key not in known}}


class MetricSpec(_NamedWithParameters):
    """A metric of a target, with its parameters and its weight in the overall score (None: only reported)."""

    target: str
    weight: float | None = Field(default=None, strict=False)

    @model_validator(mode="after")
    def _fill_defaults(self) -> MetricSpec:
        if self.name in METRICS:
            declared = METRICS[self.name].parameters
            defaults = {key: p.default for key, p in declared.items() if p.default is not p.empty}
            self.parameters.update({key: value for key, value in defaults.items() if key not in self.parameters})
        return self

    @property
    def metric(self) -> Metric:
        """The registered metric."""
        return METRICS[self.name]

    @property
    def key(self) -> str:
        """The canonical printed form with every parameter, such as `ccc(valence,form=population)`."""
        parameters = (f"{key}={self.parameters[key]}" for key in sorted(self.parameters))
        return f"{self.name}({','.join((self.target, *parameters))})"


class CorruptionSpec(_NamedWithParameters):
    """One step of damage to the test split; `step` names it when a corruption is applied twice."""

    step: str | None = None

    @property
    def step_name(self) -> str:
        """The name under which the step's draws are stored."""
        return self.step or self.name


class Ranking(Declaration):
    """The order of a board: the next key decides among equals, compared as displayed."""

    by: tuple[str, ...] = Field(min_length=1, strict=False)
    decimals: int = Field(default=4, ge=0, le=10)


class SubmissionRules(Declaration):
    """What a submission's file must look like.

    Attributes:
        id: name of the id column.
        extra_ids: what an id outside the candidates is: an error, or counted and ignored.
        missing_ids: what a candidate without a row is: an error, or a wrong answer (categorical targets only).
        max_bytes: the largest file that is read.
    """

    id: str = "sample_id"
    extra_ids: Literal["error", "allow"] = "error"
    missing_ids: Literal["error", "wrong"] = "error"
    max_bytes: int = Field(default=20_000_000, ge=1)


class Intervals(Declaration):
    """How the uncertainty of a score is measured by default."""

    method: Literal["percentile", "bca"] = "percentile"
    level: float = Field(default=0.95, gt=0.5, lt=1)
    n_resamples: int = Field(default=1000, ge=100, le=1_000_000)
    cluster: str | None = None


class Track(Declaration):
    """The protocol of one track; see `docs/track-format.md` for every key."""

    id: str = Field(pattern=KEBAB)
    version: str = Field(pattern=r"^\d+\.\d+$")
    title: str = Field(min_length=1)
    source: str = ""
    family: str = ""
    year: int | None = None
    modalities: tuple[Literal["audio", "video", "text"], ...] = Field(default=(), strict=False)
    corpus: str = Field(min_length=1)
    seed: int = Field(default=0, ge=0)
    superseded_by: str | None = None
    splits: dict[str, Split]
    targets: dict[str, Target] = Field(min_length=1)
    metrics: tuple[MetricSpec, ...] = Field(min_length=1, strict=False)
    corruptions: tuple[CorruptionSpec, ...] = Field(default=(), strict=False)
    ranking: Ranking
    submission: SubmissionRules = SubmissionRules()
    intervals: Intervals = Intervals()
    folder: Path = Field(exclude=True, strict=False)

    @property
    def key(self) -> str:
        """Id and version as printed: `mer2023-noise@1.0`."""
        return f"{self.id}@{self.version}"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the declaration's content, in hexadecimal; a released (id, version) keeps its fingerprint."""
        content = self.model_dump(mode="json", exclude={"folder", "superseded_by"})
        return sha256_bytes(json.dumps(content, sort_keys=True, ensure_ascii=False).encode())

    @property
    def weighted_metrics(self) -> tuple[MetricSpec, ...]:
        """The metrics that make up the overall score."""
        return tuple(spec for spec in self.metrics if spec.weight is not None)

    def metric_label(self, spec: MetricSpec) -> str:
        """Return a metric's short name where it is unique in this track, else its key."""
        return spec.name if sum(other.name == spec.name for other in self.metrics) == 1 else spec.key

    @property
    def formula(self) -> str:
        """The overall score written out: `weighted_f1(discrete) - 0.25 * mse(valence)`; empty without weights."""
        text = ""
        for spec in self.weighted_metrics:
            weight = spec.weight or 0.0
            sign = ("-" if weight < 0 else "") if not text else (" - " if weight < 0 else " + ")
            factor = "" if abs(weight) == 1 else f"{abs(weight):g} * "
            text += f"{sign}{factor}{self.metric_label(spec)}"
        return text


def find_track(name_or_path: str | Path) -> Path:
    """Return the folder of a track: a path, a name on `$MERBENCH_TRACKS`, or a shipped track."""
    return find_folder("track", name_or_path)


def list_tracks() -> list[Track]:
    """Return every track that is found by name, sorted by id."""
    return [load_track(folder) for folder in list_folders("track")]


def load_track(name_or_path: str | Path) -> Track:
    """Return the track of a name or a folder.

    Raises:
        UnknownName: there is no such track.
        DeclarationError: its `track.toml` has problems; all of them are listed.
    """
    folder = find_track(name_or_path)
    path = folder / "track.toml"
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DeclarationError(str(path), [Problem("E207", f"not a TOML file: {error}")]) from error
    return parse_track(raw, folder)


def parse_track(raw: Mapping[str, Any], folder: Path) -> Track:
    """Return the track that the tables of a `track.toml` declare; raise `DeclarationError` with all problems."""
    problems = [*_key_problems(raw), *_meaning_problems(raw)]
    if raw.get("id") != folder.resolve().name and isinstance(raw.get("id"), str):
        message = f"'{raw['id']}' is not the folder's name, '{folder.resolve().name}'; they must be equal"
        problems.insert(0, Problem("E207", message, column="id"))
    if problems:
        raise DeclarationError(str(folder / "track.toml"), problems)
    return Track.model_validate({**raw, "folder": folder})


def _key_problems(raw: Mapping[str, Any]) -> list[Problem]:
    """Return what is wrong with single keys: unknown, missing, of another type, out of range."""
    try:
        Track.model_validate({**raw, "folder": Path()})
    except ValidationError as error:
        return declaration_problems(error, _allowed_keys)
    return []


def _allowed_keys(location: Sequence[int | str]) -> Sequence[str]:
    """Return the keys that the table at a location may hold."""
    tables: dict[int | str, type[BaseModel]] = {
        "splits": Split,
        "metrics": MetricSpec,
        "corruptions": CorruptionSpec,
        "ranking": Ranking,
        "submission": SubmissionRules,
        "intervals": Intervals,
        "categorical": CategoricalTarget,
        "continuous": ContinuousTarget,
    }
    table = next((tables[step] for step in reversed(location) if step in tables), Track)
    return [key for key in table.model_fields if key not in ("folder", "parameters")]


def declaration_problems(error: ValidationError, allowed_keys: Any) -> list[Problem]:
    """Return a pydantic error as problems: key path, what was found, what is allowed, the nearest match.

    Args:
        error: what `model_validate` raised.
        allowed_keys: function from a location to the keys its table may hold.
    """
    problems = []
    for item in error.errors(include_url=False):
        location, found, context = item["loc"], item["input"], item.get("ctx", {})
        match item["type"]:
            case "missing":
                message = "is missing"
            case "extra_forbidden":
                allowed = list(allowed_keys(location[:-1]))
                message = f"is not a known key; allowed: {', '.join(allowed)}{did_you_mean(str(location[-1]), allowed)}"
            case "union_tag_not_found":
                message = "is missing"
                location = (*location, "type")
            case "union_tag_invalid":
                allowed = [tag.strip("'") for tag in context["expected_tags"].split(", ")]
                message, location = _unknown_target(str(context["tag"]), allowed), (*location, "type")
            case "literal_error":
                options = [str(part).strip("'") for part in context["expected"].replace(" or ", ", ").split(", ")]
                message = f"{found!r} is not one of {', '.join(options)}{did_you_mean(str(found), options)}"
            case _:
                text = item["msg"].removeprefix("Value error, ")
                message = f"{_short(found)}: {text[:1].lower()}{text[1:]}"
        problems.append(Problem("E207", message, column=_key_path(location)))
    return problems


def _unknown_target(tag: str, allowed: Sequence[str]) -> str:
    if tag in LATER_TARGETS:
        return f"'{tag}' is a target type that this version does not score yet; it scores {', '.join(allowed)}"
    return f"'{tag}' is not a target type; allowed: {', '.join(allowed)}{did_you_mean(tag, allowed)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _key_path(location: Sequence[int | str]) -> str:
    """Return `metrics[1].weight`; the tag that a target's type adds to the location is left out."""
    steps = list(location)
    if len(steps) > 2 and steps[0] == "targets" and steps[2] in ("categorical", "continuous"):
        del steps[2]
    path = ""
    for step in steps:
        path += f"[{step}]" if isinstance(step, int) else (f".{step}" if path else step)
    return path


def _table(raw: Any) -> dict[str, Any]:
    return raw if isinstance(raw, dict) else {}


def _tables(raw: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    for index, item in enumerate(raw if isinstance(raw, list) else ()):
        if isinstance(item, dict):
            yield index, item


def _meaning_problems(raw: Mapping[str, Any]) -> list[Problem]:
    """Return what is wrong between keys; reads only what has the right type, so that nothing is told twice."""
    return [
        Problem("E207", message, column=column)
        for check in (_split_problems, _target_problems, _metric_problems, _ranking_problems, _corruption_problems)
        for column, message in check(raw)
    ]


def _split_problems(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    splits = _table(raw.get("splits"))
    if isinstance(raw.get("splits"), dict) and "test" not in splits:
        yield "splits", f"there is no split 'test'{did_you_mean('test', splits)}"
    rules = _table(raw.get("submission"))
    types = {_table(target).get("type") for target in _table(raw.get("targets")).values()}
    if rules.get("missing_ids") == "wrong" and types != {"categorical"}:
        yield "submission.missing_ids", "'wrong' has a meaning for categorical targets alone"


def _target_problems(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    id_column = _table(raw.get("submission")).get("id", "sample_id")
    for name, target in _table(raw.get("targets")).items():
        place = f"targets.{name}"
        if name == id_column or name.startswith("p_"):
            yield place, "a target is named neither as the id column nor with the prefix 'p_' of probabilities"
        target = _table(target)
        labels = [label for label in target.get("labels", ()) if isinstance(label, str)]
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
        kind = _table(targets.get(target)).get("type")
        fitting = [option for option in METRICS if METRICS[option].target == kind]
        if name not in METRICS:
            known = f"; for {kind} targets: {', '.join(fitting)}" if fitting else ""
            yield f"{place}.name", f"no metric named '{name}'{known}{did_you_mean(name, fitting or METRICS)}"
            continue
        metric = METRICS[name]
        if kind in ("categorical", "continuous") and metric.target != kind:
            yield (
                f"{place}.name",
                f"'{name}' scores {metric.target} targets and '{target}' is {kind}; allowed: {', '.join(fitting)}",
            )
        weight = spec.get("weight")
        if isinstance(weight, (int, float)) and weight * (1 if metric.higher_is_better else -1) <= 0:
            better, side = ("higher", "above") if metric.higher_is_better else ("lower", "below")
            yield f"{place}.weight", f"{weight}: a {better} {name} is better, so its weight must be {side} 0"
        parameters = {key: value for key, value in spec.items() if key not in ("name", "target", "weight")}
        yield from _parameter_problems(place, metric, parameters, _table(targets.get(target)))
        key = json.dumps(spec, sort_keys=True, default=str)
        if key in seen:
            yield place, f"the same as metrics[{seen[key]}]"
        seen.setdefault(key, index)


def _parameter_problems(
    place: str, metric: Metric, parameters: Mapping[str, Any], target: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    for key, value in parameters.items():
        if key not in metric.parameters:
            allowed = ["name", "target", "weight", *metric.parameters]
            yield (
                f"{place}.{key}",
                f"is not a parameter of {metric.name}; allowed: {', '.join(allowed)}{did_you_mean(key, allowed)}",
            )
        elif key == "label":
            labels = [str(label) for label in target.get("labels", ())]
            if value not in labels:
                yield f"{place}.{key}", f"{value!r} is not one of {', '.join(labels)}{did_you_mean(str(value), labels)}"
        else:
            try:
                TypeAdapter(metric.parameters[key].annotation).validate_python(value, strict=True)
            except ValidationError as error:
                yield f"{place}.{key}", f"{_short(value)}: {error.errors()[0]['msg']}"
    for key, parameter in metric.parameters.items():
        if parameter.default is parameter.empty and key not in parameters:
            yield f"{place}.{key}", f"is missing: {metric.name} needs it"


def ranking_keys(metrics: Sequence[tuple[str, str, bool]]) -> list[str]:
    """Return the names a ranking may use, from (name, key, has a weight) of every metric."""
    names = [name for name, _, _ in metrics]
    unique = [name for name in names if names.count(name) == 1]
    overall = [OVERALL] if any(weighted for _, _, weighted in metrics) else []
    return [*overall, *unique, *(key for name, key, _ in metrics if name not in unique)]


def _ranking_problems(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    metrics = []
    for _, spec in _tables(raw.get("metrics")):
        try:
            parsed = MetricSpec.model_validate(spec)
        except ValidationError:
            return
        metrics.append((parsed.name, parsed.key, parsed.weight is not None))
    allowed = ranking_keys(metrics)
    by = _table(raw.get("ranking")).get("by")
    for index, key in enumerate(by if isinstance(by, list) else ()):
        if isinstance(key, str) and key not in allowed:
            why = "no metric has a weight" if key == OVERALL else "is not a metric of this track"
            yield f"ranking.by[{index}]", f"'{key}' {why}; allowed: {', '.join(allowed)}{did_you_mean(key, allowed)}"


def _corruption_problems(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    steps: dict[str, int] = {}
    for index, spec in _tables(raw.get("corruptions")):
        name = spec.get("name")
        if not isinstance(name, str):
            continue
        parameters = {key: value for key, value in spec.items() if key not in ("name", "step")}
        for message in check_parameters(name, parameters):
            yield f"corruptions[{index}]", message
        step = str(spec.get("step") or name)
        if step in steps:
            yield (
                f"corruptions[{index}]",
                f"step '{step}' is taken by corruptions[{steps[step]}]; give it another 'step'",
            )
        steps.setdefault(step, index)


def in_range(target: ContinuousTarget, value: float) -> bool:
    """Return whether a prediction is finite and inside the target's declared range."""
    low, high = target.range or (-math.inf, math.inf)
    return math.isfinite(value) and low <= value <= high
