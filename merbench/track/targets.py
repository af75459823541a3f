"""The kinds of target a track may declare: what a sample is given, how it is written, which metrics score it.

Conventions:
    Every kind has a `type`, its name in `track.toml`; `kind`, the kind of metric that scores it; and `columns`, the
    columns of references and submissions that hold it. A label that a corpus's reference marks as `invalid`, or does
    not hold, is no reference of that target.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from merbench.declarations import Declaration, as_several
from merbench.errors import listed
from merbench.metrics.metric import TargetKind

MOST_LABELS = 10_000
"""The largest vocabulary that a target may declare."""

Labels = Annotated[tuple[str, ...], Field(min_length=2, max_length=MOST_LABELS, strict=False)]


class _Target(Declaration):
    """What all kinds share.

    Attributes:
        required: whether every scored sample must hold a reference of this target; else a sample counts for those
            targets alone whose reference it holds.
    """

    kind: ClassVar[TargetKind]
    required: bool = True

    def columns(self, name: str) -> tuple[str, ...]:
        """Return the columns that hold this target."""
        return (name,)

    @abstractmethod
    def described(self) -> str:
        """Return what an answer is, in words."""

    @abstractmethod
    def example(self, row: int) -> tuple[str | float, ...]:
        """Return placeholder cells of a row, one per column."""


class CategoricalTarget(_Target):
    """One of several labels.

    Attributes:
        labels: the vocabulary; its order is the order of codes, rows and ties.
        aliases: other spellings that are read as a label.
        out_of_vocabulary: what an answer outside the vocabulary is: an error of the file, a wrong answer, or no answer:
            its row is dropped.
        invalid: references that mark a sample as one that does not count for this target, such as labels of the corpus
            that the task leaves out.
    """

    kind = "categorical"
    type: Literal["categorical"]
    labels: Labels
    aliases: dict[str, str] = Field(default_factory=dict)
    out_of_vocabulary: Literal["error", "wrong", "dropped"] = "error"
    invalid: Annotated[tuple[str, ...], Field(strict=False), BeforeValidator(as_several)] = ()

    def described(self) -> str:
        """Return the vocabulary, what other answers are, and which samples do not count."""
        left_out = f"; samples whose reference is {listed(self.invalid, 12)} do not count" if self.invalid else ""
        return f"one of {', '.join(self.labels)}; {_others(self.out_of_vocabulary, self.aliases)}{left_out}"

    def example(self, row: int) -> tuple[str | float, ...]:
        """Return the labels in turn."""
        return (self.labels[row % len(self.labels)],)


class PreferenceTarget(_Target):
    """Which of two descriptions of a sample people prefer: `a1`, `a2`, or `same`.

    Attributes:
        same: `dropped` leaves out samples whose reference is `same`, and a predicted `same` counts as `a1`;
            `class` makes it a third class.
        reading: `label` asks for one of the three; `answer` reads a model's free text (see `merbench.parsing.answers`).
    """

    kind = "categorical"
    type: Literal["preference"]
    same: Literal["dropped", "class"] = "dropped"
    reading: Literal["label", "answer"] = "label"

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes that are scored."""
        return ("a1", "a2") if self.same == "dropped" else ("a1", "a2", "same")

    def described(self) -> str:
        """Return the classes and how an answer is read."""
        text = "a1, a2 or same" if self.reading == "label" else "a model's answer, read as a1, a2 or same"
        if self.same == "class":
            return text
        return f"{text}; samples whose reference is same are left out, and a predicted same counts as a1"

    def example(self, row: int) -> tuple[str | float, ...]:
        """Return the classes in turn."""
        return (self.labels[row % len(self.labels)],)


class ContinuousTarget(_Target):
    """A number.

    Attributes:
        range: lowest and highest allowed prediction; None allows every finite number.
        invalid: a reference that marks a sample as one that does not count for this target.
        reference: whether there are references; a judge's scores, of which the mean is taken, have none.
        reference_scale: what references are multiplied by, where a corpus has another scale than the task.
    """

    kind = "continuous"
    type: Literal["continuous"]
    range: tuple[float, float] | None = Field(default=None, strict=False)
    invalid: float | None = Field(default=None, strict=False)
    reference: bool = True
    reference_scale: float = Field(default=1.0, gt=0, strict=False)

    def described(self) -> str:
        """Return the range."""
        return _number(self.range)

    def example(self, row: int) -> tuple[str | float, ...]:
        """Return the middle of the range."""
        return (_middle(self.range),)


class TrajectoryTarget(_Target):
    """A number at every step of a recording; a sample is one step.

    Attributes:
        group: the corpus column that names the recording; metrics may be averaged over it (`per`).
        range: as of a continuous target.
        invalid: as of a continuous target.
    """

    kind = "continuous"
    type: Literal["trajectory"]
    group: str = "recording"
    range: tuple[float, float] | None = Field(default=None, strict=False)
    invalid: float | None = Field(default=None, strict=False)

    def described(self) -> str:
        """Return the range, and what a step belongs to."""
        return f"{_number(self.range)} at every step of a {self.group}"

    def example(self, row: int) -> tuple[str | float, ...]:
        """Return the middle of the range."""
        return (_middle(self.range),)


class LabelSetTarget(_Target):
    """A set of words of one's own choice.

    Attributes:
        split: how a cell is split: as the scorers of MER 2025 and 2026 do (`official`), as that of MER 2024 does
            (`mer2024`), or as a Python list.
        lexicon: the lexicon that metrics of emotion wheels use, by name.
        groups: stored synonym groups, by name or as a path from the track's folder; None has none.
        empty: whether a prediction may be the empty set.
    """

    kind = "label_set"
    type: Literal["label_set"]
    split: Literal["official", "mer2024", "python"] = "official"
    lexicon: str | None = None
    groups: str | None = None
    empty: Literal["error", "allow"] = "error"

    def described(self) -> str:
        """Return what a set is made of."""
        lexicon = f", scored by lexicon '{self.lexicon}'" if self.lexicon else ""
        groups = f", synonyms put together by groups '{self.groups}'" if self.groups else ""
        return f"a set of words such as ['happy', 'surprised']{lexicon}{groups}; the empty set is {_EMPTY[self.empty]}"

    def example(self, row: int) -> tuple[str | float, ...]:
        """Return a set of one or two words."""
        return ("['happy', 'surprised']" if row % 2 == 0 else "['sad']",)


class TextTarget(_Target):
    """A description in free text, scored by the emotion words that the lexicon finds in it.

    Attributes:
        lexicon: the lexicon whose words are looked for.
        extractor: how: the longest match, negated words left out (see `merbench.parsing.descriptions`).
        reference: the reference column that holds the words to be found, a label set.
    """

    kind = "label_set"
    type: Literal["text"]
    lexicon: str
    extractor: Literal["longest_match"] = "longest_match"
    reference: str | None = None

    def described(self) -> str:
        """Return how a description is read."""
        return f"a description, scored by the words of lexicon '{self.lexicon}' that it holds"

    def example(self, row: int) -> tuple[str | float, ...]:
        """Return a short description."""
        return ("The voice trembles, she seems sad and a little afraid.",)


class RankedTarget(_Target):
    """Labels in the order of preference, the best one first.

    Attributes:
        labels: the vocabulary.
        aliases: other spellings that are read as a label.
        out_of_vocabulary: what a first answer outside the vocabulary is: an error, wrong, or no answer.
    """

    kind = "ranked"
    type: Literal["ranked"]
    labels: Labels
    aliases: dict[str, str] = Field(default_factory=dict)
    out_of_vocabulary: Literal["error", "wrong", "dropped"] = "error"

    def described(self) -> str:
        """Return the vocabulary and what other first answers are."""
        text = f"labels among {', '.join(self.labels)}, best first, separated by commas"
        return f"{text}; {_others(self.out_of_vocabulary, self.aliases)}"

    def example(self, row: int) -> tuple[str | float, ...]:
        """Return two labels."""
        return (f"{self.labels[row % len(self.labels)]}, {self.labels[(row + 1) % len(self.labels)]}",)


class MultilabelTarget(_Target):
    """Several labels, each of which is there or not: one column of 0 and 1 per label.

    Attributes:
        labels: the labels, which are the columns' names.
        invalid: a reference cell that marks a label as unknown there.
    """

    kind = "multilabel"
    type: Literal["multilabel"]
    labels: Labels
    invalid: int | None = None

    def columns(self, name: str) -> tuple[str, ...]:
        """Return one column per label."""
        return self.labels

    def described(self) -> str:
        """Return the columns."""
        return f"0 or 1 in each of the columns {', '.join(self.labels)}"

    def example(self, row: int) -> tuple[str | float, ...]:
        """Return one label after the other."""
        return tuple(int(place == row % len(self.labels)) for place in range(len(self.labels)))


class ScoresTarget(_Target):
    """A score that is higher the more a sample belongs to the positive class.

    Attributes:
        positive: the reference label of the positive class.
        negative: that of the other class.
    """

    kind = "scores"
    type: Literal["scores"]
    positive: str
    negative: str

    def described(self) -> str:
        """Return what a high score means."""
        return f"a finite number, higher where '{self.positive}' is more likely than '{self.negative}'"

    def example(self, row: int) -> tuple[str | float, ...]:
        """Return a score."""
        return (row / 2,)


class SegmentsTarget(_Target):
    """Labelled stretches of a sample's time.

    Attributes:
        labels: the vocabulary.
        duration: the corpus column that holds a sample's length in seconds; no segment may pass it.
    """

    kind = "segments"
    type: Literal["segments"]
    labels: Labels
    duration: str | None = None

    def described(self) -> str:
        """Return how segments are written."""
        return f"segments label-start-end in seconds, separated by spaces, or none; labels: {', '.join(self.labels)}"

    def example(self, row: int) -> tuple[str | float, ...]:
        """Return two segments."""
        return (f"{self.labels[0]}-0.00-0.50 {self.labels[1]}-0.50-1.00",)


def lexicon_of(target: Target) -> str | None:
    """Return the name of the lexicon that a target's words are looked up in; None for a target without one."""
    return target.lexicon if isinstance(target, LabelSetTarget | TextTarget) else None


_EMPTY = {"error": "an error", "allow": "allowed"}
_FATE = {"error": "an error", "wrong": "a wrong answer", "dropped": "no answer, its row is dropped"}


def _others(out_of_vocabulary: str, aliases: dict[str, str]) -> str:
    text = f"any other answer is {_FATE[out_of_vocabulary]}"
    read = ", ".join(f"{alias} = {label}" for alias, label in aliases.items())
    return f"{text}; also read: {read}" if read else text


def _number(allowed: tuple[float, float] | None) -> str:
    return "a number" if allowed is None else f"a number in [{allowed[0]:g}, {allowed[1]:g}]"


def _middle(allowed: tuple[float, float] | None) -> float:
    return 0.0 if allowed is None else sum(allowed) / 2


Target = Annotated[
    CategoricalTarget
    | ContinuousTarget
    | LabelSetTarget
    | MultilabelTarget
    | PreferenceTarget
    | RankedTarget
    | ScoresTarget
    | SegmentsTarget
    | TextTarget
    | TrajectoryTarget,
    Field(discriminator="type"),
]

TARGETS: dict[str, type[_Target]] = {
    "categorical": CategoricalTarget,
    "continuous": ContinuousTarget,
    "label_set": LabelSetTarget,
    "multilabel": MultilabelTarget,
    "preference": PreferenceTarget,
    "ranked": RankedTarget,
    "scores": ScoresTarget,
    "segments": SegmentsTarget,
    "text": TextTarget,
    "trajectory": TrajectoryTarget,
}
"""The kinds of target by the `type` that names them."""

Vocabulary = CategoricalTarget | PreferenceTarget
"""Targets whose answers are codes of declared labels, with a confusion of their own."""

Number = ContinuousTarget | TrajectoryTarget
"""Targets whose answers are numbers."""
