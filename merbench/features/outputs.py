"""What extractors return: each is constructed with its options, called with one clip or text, and its output checked.

Conventions:
    See `merbench.features.extractor`. What an extractor returns for one sample is checked before it is used: a number
    that is not finite, or a shape that was not declared, is a problem of that sample.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from merbench.corruptions.signals import Audio
from merbench.errors import Inapplicable, MerbenchError, UsageError, counted, exception_text
from merbench.features.extractor import Extractor, Face, Floats, Output, Picture, Seconds
from merbench.features.networks import BlockReader
from merbench.features.weights import weights_folder
from merbench.parameters import parameter_problems, printed


class Result(NamedTuple):
    """What is stored of a sample."""

    vector: Floats  # `(d,)`; nothing of pictures
    sequence: NDArray[Any] | None = None  # `(t, d)`; None where the extractor returns vectors
    times: Seconds | None = None  # `(t,)`, of a sequence


_TOGETHER = 16
"""How many sounds an extractor takes at once that does not say how many."""

_BLOCK = 32
"""How many pictures a function is called with at once."""


def find_extractor(source: str, options: Mapping[str, Any]) -> Extractor:
    """Return the extractor of a name, a folder, or a model of the Hugging Face Hub.

    Args:
        source: a registered name, the path of a folder, or `hf:OWNER/MODEL[@REVISION]`.
        options: some decide what the extractor of a folder reads.
    """
    from merbench.features.folders import folder_extractor, is_folder_source
    from merbench.features.shipped import EXTRACTORS

    return folder_extractor(source, options) if is_folder_source(source) else EXTRACTORS[source]


@dataclass(frozen=True, eq=False)
class Recipe:
    """A feature that is to be made: its name, and the extractor that makes it, with its options."""

    name: str
    source: str  # the name of an extractor, a folder, or `hf:OWNER/MODEL[@REVISION]`
    options: Mapping[str, Any] = field(default_factory=dict)
    frame_rate_hz: float | None = None  # of the pictures that it reads; None: as it declares

    def __reduce__(self) -> tuple[Any, ...]:
        from merbench.features.folders import is_folder_source, lasting_source

        source = lasting_source(self.source, self.extractor.name) if is_folder_source(self.source) else self.source
        return Recipe, (self.name, source, dict(self.options), self.frame_rate_hz)

    @cached_property
    def extractor(self) -> Extractor:
        """The extractor; raise `UnknownName` if there is none of this name, `UsageError` of a folder without one."""
        return find_extractor(self.source, self.options)

    def __str__(self) -> str:
        """Return extractor, version, and what was chosen: `wavlm@1(layer=6)`."""
        chosen = {**self.options, **({"frame_rate_hz": self.frame_rate_hz} if self.frame_rate_hz else {})}
        options = ",".join(f"{name}={printed(value)}" for name, value in sorted(chosen.items()))
        return f"{self.extractor.name}@{self.extractor.version}" + (f"({options})" if options else "")

    def require_options(self) -> None:
        """Raise `UsageError` if an option is unknown, missing, or not allowed; all problems are listed."""
        known = self.extractor.options
        problems = parameter_problems(f"extractor '{self.extractor.name}'", known, self.options, noun="option")
        if lines := [f"{self.name}.{name}: {text}" for name, text in problems]:
            raise UsageError(*lines)
        if (require := getattr(self.extractor.make, "require", None)) is not None:
            require(**self.options)

    @property
    def picture_rate_hz(self) -> float | None:
        """How many pictures a second it reads; None reads every one."""
        return self.frame_rate_hz or self.extractor.frame_rate_hz

    @property
    def is_sequence(self) -> bool:
        """Whether it returns a sequence for every sample."""
        return self.extractor.unit != "utterance"

    @cached_property
    def constructed(self) -> Any:
        """What is called, or makes readers: constructed once in each process.

        Raises:
            UsageError: it cannot be constructed, or its weights are not installed.
            MissingExtra: what it runs on is not installed.
            IntegrityError: its weights changed.
        """
        extractor, options = self.extractor, dict(self.options)
        if not isinstance(extractor.make, type):
            return partial(extractor.make, **options)
        folder = [] if extractor.weights is None else [weights_folder(extractor)]
        try:
            return extractor.make(*folder, **options)
        except MerbenchError:
            raise
        except Exception as error:
            raise UsageError(f"extractor '{self.source}' cannot be constructed: {exception_text(error)}") from error

    def of_sound(self, sound: Audio) -> Result:
        """Return the result for the sound of a clip, of one channel and at the rate that it declares."""
        return self.result([self._checked(self.constructed(sound))])

    def of_sounds(self, sounds: Sequence[Audio]) -> list[Result]:
        """Return the results for the sounds of several clips, by the method `many`."""
        outputs = self._as_many(self.constructed.many(sounds), sounds)
        return [self.result([output]) for output in outputs]

    @property
    def n_together(self) -> int:
        """How many sounds it takes at once, by its method `many`: its option `batch`, if any; 1 without `many`."""
        if self.extractor.input != "sound" or not hasattr(self.extractor.make, "many"):
            return 1
        batch = self.extractor.options.get("batch")
        return _TOGETHER if batch is None else int(self.options.get("batch", batch.default))

    def of_columns(self, samples: Sequence[Sequence[str]]) -> list[Result]:
        """Return the results for samples that have one text, or one in each of several columns."""
        texts = [text for sample in samples for text in sample]
        outputs, width = self._as_many(self.constructed(texts), texts), len(samples[0])
        return [self.result(outputs[start : start + width]) for start in range(0, len(outputs), width)]

    def _as_many(self, outputs: Iterable[Output], items: Sequence[Any]) -> list[Output]:
        checked = [self._checked(output) for output in outputs]
        if len(checked) != len(items):
            raise Inapplicable(f"the extractor returned {len(checked):,} outputs for {len(items):,}")
        return checked

    def reader(self) -> AtRate:
        """Return what measures the pictures, or the faces, of one clip."""
        made = self.constructed
        return AtRate(made.start() if hasattr(made, "start") else BlockReader(_BLOCK, made), self.picture_rate_hz)

    def of_reader(self, reader: AtRate) -> Result:
        """Return the result of a reader that has got every picture, or face, of a clip."""
        return self.result([self._checked(reader.reader.output())])

    def result(self, outputs: Sequence[Output]) -> Result:
        """Return what is stored of a sample: of several outputs, vectors side by side and sequences in a row."""
        if not self.is_sequence:
            return Result(np.concatenate([output.values for output in outputs]))
        pool = getattr(self.constructed, "pool", None) or self.extractor.pool or _mean
        is_pooled = not self.extractor.pictures
        vectors = [_float32(pool(output)).reshape(-1) if is_pooled else np.empty(0, np.float32) for output in outputs]
        times = [output.times for output in outputs if output.times is not None]
        return Result(
            _finite(np.concatenate(vectors), "numbers of the pooled vector"),
            np.concatenate([output.values for output in outputs]),
            np.concatenate(times) if len(times) == len(outputs) else None,
        )

    def _checked(self, output: Output) -> Output:
        """Return an output of the declared form; raise `Inapplicable` if it has another one, or is not finite."""
        values, times = output.values if self.extractor.pictures else _float32(output.values), output.times
        if self.extractor.pictures and values.dtype != np.uint8:
            raise Inapplicable(f"the extractor returned {values.dtype}, and declares pictures, which are uint8")
        n_axes = 2 if self.is_sequence else 1
        width = self.extractor.dimension
        if values.ndim != n_axes or (width is not None and values.shape[-1] != width):
            form = f"({'t, ' if self.is_sequence else ''}{'d' if width is None else width})"
            raise Inapplicable(f"the extractor returned an array of shape {values.shape}, and declares {form}")
        if times is not None:
            times = np.asarray(times, dtype=np.float64)
            if times.shape != values.shape[:1] or n_axes == 1:
                raise Inapplicable(f"the extractor returned {times.shape} times for values of shape {values.shape}")
            if (np.diff(_finite(times, "times")) < 0).any():
                raise Inapplicable("the extractor returned times that decrease")
        if self.is_sequence and not len(values) and self.extractor.modality != "text":
            raise Inapplicable("it is too short: there is not a single frame or segment")
        return Output(_finite(values, "numbers"), times)


def _mean(output: Output) -> Any:
    """Return the mean over the rows; zeros where there are none, as of an empty text."""
    values = output.values
    return values.mean(axis=0, dtype=np.float64) if len(values) else np.zeros(values.shape[1])


def _float32(values: Any) -> Floats:
    with np.errstate(over="ignore"):  # what is too large becomes infinite, which is reported
        return np.asarray(values, dtype=np.float32)


def _finite(values: Any, what: str) -> Any:
    n_odd = int(values.size - np.count_nonzero(np.isfinite(values)))
    if n_odd:
        raise Inapplicable(f"the extractor returned {n_odd:,} of {values.size:,} {what} that are not finite")
    return values


_kept: dict[str, Recipe] = {}


def kept(recipe: Recipe) -> Recipe:
    """Return this process's own instance of a recipe, whose extractor is constructed once, however often it arrives."""
    key = json.dumps([recipe.name, recipe.source, dict(recipe.options), recipe.frame_rate_hz], sort_keys=True)
    return _kept.setdefault(key, recipe)


@contextmanager
def kept_for_a_run() -> Iterator[None]:
    """Let the extractors that this process constructed go at the end of the block."""
    try:
        yield
    finally:
        _kept.clear()


class AtRate:
    """Passes on the first picture at or after every multiple of the time between two, none of them twice.

    Args:
        reader: what gets them.
        rate_hz: how many a second; None passes on all.
    """

    _SLACK_S = 1e-3
    """How much earlier a time stamp may be: some formats round them to milliseconds."""

    def __init__(self, reader: Any, rate_hz: float | None) -> None:
        self.reader, self._rate_hz = reader, rate_hz
        self._n_due = 0  # how many multiples have passed

    def add(self, item: Picture | Face, /) -> None:
        """Take the next picture."""
        if self._rate_hz is not None:
            if item.time_s + self._SLACK_S < self._n_due / self._rate_hz:
                return
            self._n_due = int((item.time_s + self._SLACK_S) * self._rate_hz) + 1
        self.reader.add(item)


def vectors_of_corpus(
    recipe: Recipe, columns: Sequence[Sequence[str]], train: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Return one vector for each sample of a corpus, by an extractor that learns from some of them."""
    vectors = _float32(recipe.constructed(columns, train))
    n = len(columns[0])
    if vectors.ndim != 2 or len(vectors) != n:
        raise UsageError(f"extractor '{recipe.source}' returned an array of shape {vectors.shape} for {n:,} samples")
    odd = [str(row) for row in np.flatnonzero(~np.isfinite(vectors).all(axis=1))]
    if odd:
        raise UsageError(f"extractor '{recipe.source}' returned {counted('rows that are not finite', odd, n)}")
    return vectors
