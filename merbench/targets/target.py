"""What every kind of target declares and does; each kind is one module of this package.

Conventions:
    Values are those of `merbench.metrics.metric`, one item per row; `n` is the number of rows of a submission, of
    candidates or of samples. A column is an Arrow array of `n` cells.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, TypeVar, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from merbench.declarations import Declaration, refused, short
from merbench.errors import Problem, did_you_mean, listed, plural, printable
from merbench.metrics import Metric
from merbench.metrics.lists import Lists, Segments, Values
from merbench.metrics.metric import TargetKind
from merbench.registry import Registry
from merbench.targets.drafts import Draft, DraftColumn
from merbench.targets.sheet import Sheet

Mask = NDArray[np.bool_]

MOST_LABELS = 10_000
"""The largest vocabulary that a target may declare."""

LABELS_SHOWN = 12
"""How many labels a message lists."""


def _distinct(labels: tuple[str, ...]) -> tuple[str, ...]:
    problems = [
        f"'{label}' is empty or has spaces around it" for label in labels if label != label.strip() or not label
    ]
    if twice := sorted(label for label, n in Counter(labels).items() if n > 1):
        problems.insert(0, f"duplicate: {listed(twice)}")
    if problems:
        raise refused(*(((), problem) for problem in problems))
    return labels


Labels = Annotated[
    tuple[str, ...], Field(min_length=2, max_length=MOST_LABELS, strict=False), AfterValidator(_distinct)
]


@dataclass(frozen=True, slots=True)
class Answers:
    """The cells of a submission that answer one target."""

    sheet: Sheet
    name: str
    relevant: Mask  # `(n,)` the rows that are of a candidate; cells of other rows are neither checked nor used
    probabilities: tuple[str, ...] = ()  # the target's probability columns, where the submission has all of them
    missing_ids: str = "error"  # what a candidate without an answer is, as the track declares it
    # returns what the corpus knows of the sample of each row, null where the row is of no candidate; takes the column
    # and, for messages, what it is wanted for
    of_samples: Callable[[str, str], pa.Array] | None = None

    @property
    def column(self) -> pa.Array:
        """The cells of the column that has the target's name."""
        return self.sheet.columns[self.name]

    @property
    def n(self) -> int:
        """How many rows are of a candidate."""
        return int(self.relevant.sum())

    def problem(self, code: str, row: int, message: str, column: str | None = None) -> Problem:
        """Return a problem of one row."""
        return self.sheet.row_problem(code, row, message, column or self.name)

    def shown(self, row: int, column: str | None = None) -> str:
        """Return a cell as it was written, for a message."""
        return f"'{printable(self.sheet.cell(column or self.name, row))}'"


@dataclass(frozen=True, slots=True)
class TargetValues:
    """What a submission answers for one target, row by row."""

    values: Values = field(repr=False)  # codes, numbers, lists or segments
    # one column per label, where the submission contains them
    probabilities: NDArray[np.float64] | None = field(default=None, repr=False)
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()  # what a reader must know about cells
    # the rows that hold no answer and do not count, where the track drops them
    dropped: Mask | None = field(default=None, repr=False)


class ReferenceColumn(NamedTuple):
    """The references of one target for `n` candidates; values of candidates without one mean nothing."""

    values: Values  # one per candidate
    known: Mask  # `(n,)` which candidates have a reference
    # `(n, K)` votes of annotators for its labels; None where the corpus has none
    votes: NDArray[np.int64] | None = None
    without_votes: Mask | None = None  # `(n,)` which candidates have no reference because nobody voted


class Target(Declaration):
    """A kind of target: what a sample is given, how it is written, and which metrics score it."""

    metric_kind: ClassVar[TargetKind]  # the kind of metric that scores it
    # what its columns are best read as: text, numbers, `ITEMS` or `STRETCHES`
    cell_type: ClassVar[pa.DataType] = pa.float64()
    # the name of the loss that it is trained with; empty for one that no baseline learns by gradient, whose answers are
    # sets of words
    loss: ClassVar[Literal["", "cross_entropy", "squared_error", "binary_cross_entropy"]] = ""
    # what is averaged where a track takes several rows per id: `probabilities` of labels, `values`, or nothing
    row_average: ClassVar[Literal["", "probabilities", "values"]] = ""
    # what a language model is asked for, which decides the prompt and how the answer is read; empty for a kind that is
    # not asked for
    answer_form: ClassVar[Literal["", "ranking", "label", "words", "number", "shares", "choice", "description"]] = ""
    has_confusion: ClassVar[bool] = False  # whether it has a confusion matrix of its labels
    has_label_columns: ClassVar[bool] = False  # whether its values have a column per label
    has_word_sets: ClassVar[bool] = False  # whether its values are sets of words
    in_ensembles: ClassVar[bool] = False  # whether the predictions of several runs can be averaged
    may_be_wrong: ClassVar[bool] = False  # whether a missing answer can count as a wrong one
    takes_label_noise: ClassVar[bool] = False  # whether a track may corrupt its labels for training
    # when `merbench init` asks it what a column of references may be: the lowest number first, and never without a
    # number
    draft_order: ClassVar[int | None] = None

    type: str  # its name in `track.toml`
    # whether every scored sample must hold a reference of this target; else a sample counts only for the targets whose
    # reference it has
    required: bool = True

    @property
    def scored_labels(self) -> tuple[str, ...]:
        """The labels that metrics distinguish: its key `labels`, if it has one."""
        return getattr(self, "labels", ())

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels whose codes are the values; empty for other kinds of value."""
        return self.scored_labels if self.loss == "cross_entropy" else ()

    @property
    def confusion_labels(self) -> tuple[str, ...]:
        """The labels of its confusion matrix; empty for a kind without one."""
        return self.scored_labels if self.has_confusion else ()

    @property
    def reference_labels(self) -> tuple[str, ...]:
        """The labels of the codes 0 … K − 1 of single references; empty for a kind whose references are not classes."""
        return self.confusion_labels

    @property
    def label_columns(self) -> tuple[str, ...]:
        """The labels of the columns of its values, each of which is scored by itself; empty for other kinds."""
        return self.scored_labels if self.has_label_columns else ()

    @property
    def n_scores(self) -> int:
        """How many scores a network gives for a sample: one per label, 0 for a number."""
        return len(self.classes or self.label_columns)

    @property
    def lexicon_name(self) -> str | None:
        """The lexicon in which its words are looked up: its key `lexicon`, if it has one."""
        return getattr(self, "lexicon", None)

    @property
    def groups_name(self) -> str | None:
        """The stored synonym groups that its words are replaced by: its key `groups`, if it has one."""
        return getattr(self, "groups", None)

    @property
    def extractor_name(self) -> str | None:
        """How words are extracted from its texts: its key `extractor`, if it has one."""
        return getattr(self, "extractor", None)

    def columns(self, name: str) -> tuple[str, ...]:
        """Return the columns of a submission that hold this target."""
        return (name,)

    def reference_columns(self, name: str) -> tuple[str, ...]:
        """Return the columns of a corpus that hold its references."""
        return self.columns(name)

    def probability_columns(self) -> tuple[str, ...]:
        """Return the columns `p_<label>` that a submission may have instead of, or next to, the target's own."""
        return ()

    def repeated_columns(self, known: Sequence[str]) -> tuple[str, ...]:
        """Return the columns of the corpus, of those it has, that a submission may repeat and must not contradict."""
        return ()

    def repeated_problems(self, sheet: Sheet, known: Mapping[str, pa.Array]) -> list[Problem]:
        """Return where a submission contradicts the repeated columns, given by row; null in a row of no candidate."""
        return []

    def of_another_corpus(self, labels: Mapping[str, str], ignored: Sequence[str], scale: float) -> Target:
        """Return the target as the references of another corpus are read, which baselines learn from.

        Args:
            labels: labels of that corpus -> labels of this target.
            ignored: labels of that corpus whose samples do not count.
            scale: what a number of that corpus is multiplied by.
        """
        return self

    @abstractmethod
    def described(self) -> str:
        """Return what an answer is, in words."""

    @abstractmethod
    def example(self, row: int) -> tuple[str | float, ...]:
        """Return placeholder cells of a row, one per column."""

    @abstractmethod
    def read(self, answers: Answers) -> TargetValues:
        """Return the values of a submission, with every cell that is wrong."""

    @abstractmethod
    def read_references(self, where: str, columns: Sequence[pa.Array], n: int) -> ReferenceColumn:
        """Return the references of `n` candidates.

        Args:
            where: how a message names them.
            columns: the columns of `reference_columns`; null where a candidate has no reference.
            n: number of candidates.

        Raises:
            UsageError: a reference is not one that the target declares.
        """

    def answer(self, output: Any) -> Values:
        """Return a baseline's output as values: the most probable label's code, the number in range, or the set."""
        values: Values = output
        return values

    def checked_output(self, output: Any, ids: pa.StringArray) -> tuple[Any, list[tuple[str, str]]]:
        """Return a baseline's output for some samples, and its problems as pairs of code and message."""
        n = len(ids)
        if not isinstance(output, Lists):
            needed = f"needed: merbench.metrics.lists.Lists of {n:,} sets, one per sample"
            return output, [("E208", f"{value_type(output)}; {needed}")]
        if len(output) != n:
            return output, [("E206", f"contains {plural(len(output), 'set')}; needed: {n:,}, one per sample")]
        return output, []

    def written(self, values: Any) -> pa.Array:
        """Return values as the cells of a submission."""
        return pa.array([str(list(words)) for words in values], pa.string())

    def written_columns(self, name: str, values: Any) -> dict[str, pa.Array]:
        """Return values as the columns of a submission that hold this target."""
        return {name: self.written(values)}

    def why_undefined(self, reference: Any) -> str:
        """Return why no metric of this kind has a value on some references; empty if the metric must say so."""
        return ""

    def sample_values(self, reference: Any, prediction: Any, prepared: Any) -> NDArray[np.float64] | None:
        """Return how right every answer is, `(n,)`, higher is better; None where answers only count together.

        NaN for a sample whose answer cannot be right or wrong.

        Args:
            reference: `n` references.
            prediction: `n` answers.
            prepared: what the metric that scores them has prepared; None if it prepares nothing.
        """
        return None

    def sample_columns(self, reference: Any, prediction: Any, prepared: Any) -> Mapping[str, NDArray[Any]]:
        """Return what a table of single samples shows of how right every answer is, `(n,)` by name; NaN for nothing.

        The arguments are those of `sample_values`. Where it has no values, the first column is what samples are
        compared by, 1 the best and 0 the worst.
        """
        return {}

    def simulated(self, reference: Any, quality: float, shared: float, noise: NDArray[np.float64]) -> Any:
        """Return the answers of a system that does not exist, for the power of a test.

        Here a system answers with the reference with the probability `quality`, else with that of any other sample.

        Args:
            reference: `n` references.
            quality: 0 for answers without any relation to the references, 1 for the references themselves.
            shared: how much of its errors the system has in common with others, from 0 to 1.
            noise: `(5, n)` uniform numbers between 0 and 1; the first three rows are those of all systems.
        """
        right, other = np.where(noise[0] < shared, noise[1:3], noise[3:5])
        n = len(reference)
        rows = np.where(right < quality, np.arange(n), np.minimum((other * n).astype(np.int64), n - 1))
        return reference[rows]

    def agreement(self, reference: Any, a: Any, b: Any) -> float:
        """Return how far two systems agree: the share of samples on which both are right, or both are wrong."""
        if isinstance(reference, np.ndarray):
            rights = [(each == reference).reshape(len(reference), -1).all(axis=1) for each in (a, b)]
        else:
            expected = self.shown(reference).to_pylist()
            answers = (self.shown(each).to_pylist() for each in (a, b))
            rights = [np.array([x == y for x, y in zip(own, expected, strict=True)]) for own in answers]
        return float(np.mean(rights[0] == rights[1]))

    def shown(self, values: Any) -> pa.Array:
        """Return references or predictions as a table shows them; null for an answer outside the vocabulary."""
        if isinstance(values, Lists):
            return pa.array([list(words) for words in values], pa.list_(pa.string()))
        if isinstance(values, Segments):
            spans = zip(values.codes.tolist(), values.start_s.tolist(), values.end_s.tolist(), strict=True)
            text = [f"{self.scored_labels[code]} {start:g}–{end:g} s" for code, start, end in spans]
            return pa.ListArray.from_arrays(pa.array(values.offsets, pa.int32()), pa.array(text, pa.string()))
        return pa.array(values)

    @classmethod
    def drafted(cls, column: DraftColumn) -> Draft | None:
        """Return what to declare for a column of references; None for one that is of another kind."""
        return None

    @classmethod
    def drafted_of_several(cls, columns: Sequence[DraftColumn]) -> Draft | None:
        """Return one target to declare for some of several columns; None if there is none."""
        return None

    @classmethod
    def is_scored_by(cls, metric: Metric) -> bool:
        """Return whether a metric scores this kind of target."""
        return metric.target == cls.metric_kind


T = TypeVar("T", bound=Target)

TARGETS: Registry[type[Target]] = Registry("target type", "merbench.targets", "@target_type")
"""The kinds of target by the `type` that names them."""


def target_type(kind: type[T]) -> type[T]:
    """Register a kind of target under the name that its `type` declares."""
    [name] = get_args(kind.model_fields["type"].annotation)
    TARGETS.add(name, kind)
    return kind


def declared_target(value: Any) -> Target:
    """Return the target that a table of a `track.toml` declares, as a validator does it."""
    if isinstance(value, Target):
        return value
    if not isinstance(value, dict):
        raise refused(((), f"{short(value)} is not a table"))
    if "type" not in value:
        raise refused((("type",), "is missing"))
    name = value["type"]
    if not isinstance(name, str) or name not in TARGETS:
        known = TARGETS.names()
        hint = did_you_mean(str(name), known)
        raise refused((("type",), f"'{name}' is not a target type; allowed: {', '.join(known)}{hint}"))
    return TARGETS[name].model_validate(value)


def types_with(attribute: str) -> str:
    """Return the types of target for which a class attribute is true, as a message lists them: `ranked, scores`."""
    return ", ".join(name for name in TARGETS if getattr(TARGETS[name], attribute))


def names_of_other_types(targets: Mapping[str, Target], types: Collection[str]) -> list[str]:
    """Return the targets whose type is not among some, as `name (type)`."""
    return [f"{name} ({target.type})" for name, target in targets.items() if target.type not in types]


def value_type(value: Any) -> str:
    """Return a description of a value that a baseline returned, for a message."""
    return "nothing (None)" if value is None else f"a value of type '{type(value).__name__}'"
