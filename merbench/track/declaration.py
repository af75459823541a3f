"""The tables of a `track.toml` as frozen models: what is predicted, on which data, how it is scored and ranked."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, SerializeAsAny, field_serializer, model_validator

from merbench.corruptions import Step
from merbench.declarations import KEBAB, STEP, VERSION, Declaration, as_several
from merbench.files.reading import sha256_bytes
from merbench.metrics import METRICS, Metric
from merbench.metrics.metric import IntervalMethod
from merbench.targets import Target, declared_target

OVERALL = "overall"
"""The ranking key of the weighted sum of metrics."""


class Split(Declaration):
    """Which splits of the corpus a split's samples are in, and whether only a hidden part of them is scored."""

    source: tuple[Annotated[str, Field(min_length=1)], ...] = Field(min_length=1, strict=False)
    hidden: bool = False
    # corpus columns and the value that samples must have there to be among them, such as `{ fold = 5 }`
    where: dict[str, str | int] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _from_names(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {**value, "source": as_several(value["source"])} if "source" in value else value
        return {"source": as_several(value)}

    @field_serializer("source")
    def _as_declared(self, source: tuple[str, ...]) -> str | tuple[str, ...]:
        # A single name stays one, so that fingerprints do not depend on whether several may be given.
        return source[0] if len(source) == 1 else source


class _NamedWithParameters(Declaration):
    """A table with a name, whose further keys are the parameters of what it names."""

    name: str
    parameters: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _gather_parameters(cls, value: Any) -> Any:
        if not isinstance(value, dict) or "parameters" in value:
            return value
        known = set(cls.model_fields)
        own = {key: item for key, item in value.items() if key in known}
        return {**own, "parameters": {key: item for key, item in value.items() if key not in known}}


class MetricSpec(_NamedWithParameters):
    """A metric of a target, with its parameters."""

    target: str  # the target it scores
    weight: float | None = Field(default=None, strict=False)  # its weight in the overall score; None: only reported
    # a corpus column: the metric is taken within each of its values (a fold, a recording, a missing rate), and the
    # values are put together by `aggregate`. None pools all samples.
    per: str | None = None
    # `mean`, or `auilc`, the area under the line through the values of a numeric column, by the trapezoidal rule and
    # not divided by its range
    aggregate: Literal["mean", "auilc"] = "mean"
    # what each value of the column counts for instead, such as `{ 1 = 0.4, 2 = 0.6 }`: the sum of share times value
    shares: dict[str, float] | None = Field(default=None, min_length=1, strict=False)

    @model_validator(mode="after")
    def _fill_defaults(self) -> MetricSpec:
        if self.name in METRICS:
            declared = METRICS[self.name].parameters
            defaults = {key: p.default for key, p in declared.items() if not p.is_required}
            self.parameters.update({key: value for key, value in defaults.items() if key not in self.parameters})
        return self

    @property
    def metric(self) -> Metric:
        """The registered metric."""
        return METRICS[self.name]

    @property
    def key(self) -> str:
        """The canonical printed form with every parameter that is not None, such as `ccc(valence,form=population)`."""
        given = {key: value for key, value in self.parameters.items() if value is not None}
        parameters = [f"{key}={given[key]}" for key in sorted(given)]
        if self.per is not None:
            shares = [f"{name}:{self.shares[name]:g}" for name in sorted(self.shares)] if self.shares else []
            parameters += [f"per={self.per}", f"aggregate={'+'.join(shares) or self.aggregate}"]
        return f"{self.name}({','.join((self.target, *parameters))})"


def metric_labels(specs: Sequence[MetricSpec]) -> list[str]:
    """Return the short names of a track's metrics.

    A metric that occurs once goes by its name; several of one name add what differs:
    `emotion_wheel_f1(level=1)`, `rmse(openness)`, `accuracy(per=fold)` next to `accuracy(pooled)`.
    """
    labels = [_label(spec, [other for other in specs if other.name == spec.name]) for spec in specs]
    return [spec.key if labels.count(label) > 1 else label for spec, label in zip(specs, labels, strict=True)]


def _label(spec: MetricSpec, same: Sequence[MetricSpec]) -> str:
    if len(same) == 1:
        return spec.name
    own = _parts(spec)
    differing = [name for name in own if any(_parts(other).get(name) != own[name] for other in same)]
    return f"{spec.name}({','.join(own[name] for name in differing)})"


def _parts(spec: MetricSpec) -> dict[str, str]:
    """Return what a metric's key is made of, each part as it is shown in a short name."""
    parts = {name: f"{name}={value}" for name, value in sorted(spec.parameters.items()) if value is not None}
    over = f"per={spec.per}" if spec.per else "pooled"
    return {"target": spec.target, **parts, "per": over, "aggregate": spec.aggregate, "shares": str(spec.shares or "")}


class CorruptionSpec(_NamedWithParameters):
    """One step of corruption."""

    step: str | None = Field(default=None, pattern=STEP)  # its name where a corruption is applied twice
    split: str = "test"  # the split of the track that it corrupts; labels are corrupted only in the training split

    @property
    def step_name(self) -> str:
        """The name under which the step's draws are stored."""
        return self.step or self.name

    @property
    def as_step(self) -> Step:
        """What is done, and with which draws."""
        return Step(self.name, self.parameters, self.step_name)


class MediaSpec(Declaration):
    """How corrupted media are written."""

    video_codec: Literal["mpeg4", "h264"] = "mpeg4"  # `mpeg4` (MPEG-4 part 2) or `h264`
    # constant quantiser of `mpeg4` (2 best to 31) or constant rate factor of `h264` (0 best to 51); None is a good one,
    # 3 or 18
    quality: int | None = Field(default=None, ge=0, le=51)
    audio_codec: Literal["aac", "flac"] = "aac"  # `aac`, or `flac`, which loses nothing
    audio_bit_rate: int = Field(default=96_000, ge=8_000, le=512_000)  # bits per second and channel of `aac`
    # the rate that sound is converted to before it is corrupted; None keeps each clip's own
    sample_rate_hz: int | None = Field(default=None, ge=8_000, le=96_000)
    # 1 mixes the sound down to one channel before it is corrupted; None keeps each clip's own
    channels: Literal[1] | None = None
    # a stream that nothing corrupts is copied as it is, or encoded like the others so that all clips look and sound
    # alike
    unchanged: Literal["copy", "encode"] = "copy"


class Ranking(Declaration):
    """The order of a board: the next key decides among equals, compared as displayed."""

    by: tuple[str, ...] = Field(min_length=1, strict=False)  # `overall` and metrics, the deciding one first
    decimals: int = Field(default=4, ge=0, le=10)  # how many of them a board shows, and compares
    # whether only the best system of each team is ranked; its others are shown without a rank
    one_per_team: bool = False


class SubmissionRules(Declaration):
    """What a submission's file must look like."""

    id: str = "sample_id"  # name of the id column
    # other names of columns, as released files have them: other name -> column
    aliases: dict[str, str] = Field(default_factory=dict)
    # which candidate an id means where it is not a candidate's exactly: one that has, or lacks, a folder in front
    # (`base_name`), a suffix (`without_suffix`), or either
    match_ids: Literal["exact", "base_name", "without_suffix", "base_name_without_suffix"] = "exact"
    # what an id outside the candidates is: an error, or counted and ignored
    extra_ids: Literal["error", "allow"] = "error"
    # what a candidate without a row is: an error, a wrong answer (categorical and ranked targets only), no answer, so
    # that it is dropped, or as the candidate before it (`previous`, for frames of a recording)
    missing_ids: Literal["error", "wrong", "dropped", "previous"] = "error"
    # what several rows of one id are: an error, or views whose probabilities and values are averaged
    duplicate_ids: Literal["error", "mean"] = "error"
    # how many rows every id must have where duplicates are averaged; None takes any number
    views: int | None = Field(default=None, ge=2)
    max_bytes: int = Field(default=20_000_000, ge=1, le=400_000_000)  # the largest file that is read


class Intervals(Declaration):
    """How the uncertainty of a score is measured by default."""

    # `default`: each metric by the method that it declares
    method: Literal["default", IntervalMethod] = "default"
    level: float = Field(default=0.95, gt=0.5, lt=1)
    n_resamples: int = Field(default=1000, ge=100, le=1_000_000)
    cluster: str | None = None


Selection = Literal["folds", "dev", "leave-one-group-out"]
"""On which samples options and epochs are selected: folds, a development split, or each group in turn."""


SELECTED_BY: dict[str, tuple[Selection, ...]] = {
    "development": ("dev",),
    "folds": ("folds",),
    "group": ("folds", "leave-one-group-out"),
}
"""The keys of `[training]` that only some ways of selection use, and which."""


class Training(Declaration):
    """How baselines learn; how they are scored is the protocol, which does not depend on it."""

    # the corpus to learn from; None is the track's own
    corpus: str | None = Field(default=None, min_length=1)
    # the splits of the corpus to learn from; None: those of the track's split `train`, or `test` where groups are left
    # out; of another corpus `train`
    source: tuple[Annotated[str, Field(min_length=1)], ...] | None = Field(default=None, min_length=1, strict=False)
    # the splits of the corpus that are the development set; None: those of the track's split `dev`
    development: tuple[Annotated[str, Field(min_length=1)], ...] | None = Field(
        default=None, min_length=1, strict=False
    )
    # labels of another corpus -> labels of the track; the target's own aliases apply to the track's corpus
    labels: dict[str, str] = Field(default_factory=dict)
    # labels of another corpus that the track does not have: samples with them are not learned from
    ignored: tuple[str, ...] = Field(default=(), strict=False)
    # what a value of another corpus is multiplied by to be on the scale of the answers
    scale: float = Field(default=1.0, gt=0, strict=False)
    # a corpus column: samples of each of its values are answered by a model that learned from the others
    leave_out: str | None = Field(default=None, min_length=1)
    selection: Selection = "folds"
    # the corpus column whose values folds keep together; None: the track's cluster, `speaker` and `dialogue`, joined
    group: str | None = Field(default=None, min_length=1)
    # number of folds; None takes what the baseline declares
    folds: int | None = Field(default=None, ge=2)
    # splits of the track whose samples may be learned from without their references, such as the candidates themselves
    unlabelled: tuple[str, ...] = Field(default=(), strict=False)
    # the share of the samples to learn from that keep their labels, in whole groups where folds keep groups together;
    # the others are unlabelled, too. A development set keeps all of its labels
    labelled: float = Field(default=1.0, gt=0, le=1, strict=False)
    # what is done to the features that are learned from, sampled for every epoch, and to the labels, once, after what
    # the track does to them; their `split` is `train`
    corruptions: tuple[CorruptionSpec, ...] = Field(default=(), strict=False)

    # why nothing can be learned from, such as a test of systems without training data; for messages
    why_not: str = Field(default="", max_length=200)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps that corrupt features or labels to learn from, in their order."""
        return tuple(spec.as_step for spec in self.corruptions)

    @property
    def digest(self) -> str:
        """SHA-256 of what is declared, in hexadecimal; keys at their default are left out."""
        content = self.model_dump(mode="json", exclude_defaults=True, exclude={"why_not"})
        return sha256_bytes(json.dumps(content, sort_keys=True, ensure_ascii=False).encode())


class Track(Declaration):
    """The protocol of one track; see `docs/track-format.md` for every key."""

    id: str = Field(pattern=KEBAB)
    version: str = Field(pattern=VERSION)
    title: str = Field(min_length=1)
    source: str = ""
    family: str = ""
    year: int | None = None
    modalities: tuple[Literal["audio", "video", "text", "physiology"], ...] = Field(default=(), strict=False)
    corpus: str = Field(min_length=1)
    seed: int = Field(default=0, ge=0, lt=1 << 63)
    superseded_by: str | None = None
    checked: str = Field(default="", max_length=120)
    splits: dict[str, Split]
    targets: dict[str, SerializeAsAny[Annotated[Target, PlainValidator(declared_target)]]] = Field(min_length=1)
    metrics: tuple[MetricSpec, ...] = Field(min_length=1, strict=False)
    corruptions: tuple[CorruptionSpec, ...] = Field(default=(), strict=False)
    media: MediaSpec = MediaSpec()
    ranking: Ranking
    submission: SubmissionRules = SubmissionRules()
    intervals: Intervals = Intervals()
    training: Training = Training()
    folder: Path = Field(exclude=True, strict=False)

    @property
    def key(self) -> str:
        """Id and version as printed: `mer2023-noise@1.0`."""
        return f"{self.id}@{self.version}"

    def steps(self, split: str, *modalities: str) -> tuple[Step, ...]:
        """Return the steps that corrupt a split, in their order; of some modalities only, where these are named."""
        steps = (spec.as_step for spec in self.corruptions if spec.split == split)
        return tuple(step for step in steps if not modalities or step.corruption.modality in modalities)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what is declared, in hexadecimal; a released (id, version) keeps its fingerprint.

        Keys at their default are left out, so that a key of a later version changes no track that does not use it.
        What does not belong to the protocol is left out, too.
        """
        unprotected = {"folder", "superseded_by", "checked", "training"}
        content = self.model_dump(mode="json", exclude=unprotected, exclude_defaults=True)
        return sha256_bytes(json.dumps(content, sort_keys=True, ensure_ascii=False).encode())

    @property
    def content(self) -> dict[str, Any]:
        """What `track.toml` declares, ready for JSON: `parse_track` makes a track of the same fingerprint of it."""
        content: dict[str, Any] = _as_written(self.model_dump(mode="json", exclude={"folder"}, exclude_defaults=True))
        return content

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of all targets, in the order in which they are declared."""
        return tuple(column for name, target in self.targets.items() for column in target.columns(name))

    @property
    def probability_columns(self) -> dict[str, tuple[str, ...]]:
        """The names `p_<label>` of every target that has such, where no other target shares a label."""
        columns = {name: target.probability_columns() for name, target in self.targets.items()}
        times = Counter(column for own in columns.values() for column in own)
        return {name: own for name, own in columns.items() if own and all(times[column] == 1 for column in own)}

    @property
    def scored_by_probabilities(self) -> dict[str, str]:
        """The targets whose labels must come with their probabilities, and the first metric that needs them."""
        return {
            spec.target: spec.name
            for spec in reversed(self.metrics)
            if spec.metric.target == "distribution" and self.targets[spec.target].probability_columns()
        }

    @property
    def submission_columns(self) -> tuple[str, ...]:
        """Every column that a submission may use: the id, the targets, the probabilities."""
        chances = (column for columns in self.probability_columns.values() for column in columns)
        return (self.submission.id, *self.columns, *chances)

    @property
    def weighted_metrics(self) -> tuple[MetricSpec, ...]:
        """The metrics that make up the overall score."""
        return tuple(spec for spec in self.metrics if spec.weight is not None)

    def metric_label(self, spec: MetricSpec) -> str:
        """Return a metric's short name: see `metric_labels`."""
        return metric_labels(self.metrics)[self.metrics.index(spec)]

    @property
    def ranked_by(self) -> tuple[str, ...]:
        """What ranks, by short names."""
        labels = dict(zip((spec.key for spec in self.metrics), metric_labels(self.metrics), strict=True))
        return tuple(labels.get(name, name) for name in self.ranking.by)

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


def _as_written(dumped: Any) -> Any:
    """Return what a model dumps with the parameters of metrics and corruptions next to their names, as in TOML."""
    if isinstance(dumped, list):
        return [_as_written(item) for item in dumped]
    if not isinstance(dumped, dict):
        return dumped
    if {"name", "parameters"} <= dumped.keys():
        given = {key: value for key, value in dumped["parameters"].items() if value is not None}
        return {**{key: value for key, value in dumped.items() if key != "parameters"}, **given}
    return {key: _as_written(value) for key, value in dumped.items()}
