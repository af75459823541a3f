"""What extractors share that run networks: how sound and pictures are given to them, ONNX Runtime, LiteRT.

Conventions:
    Everything computes on one thread, so that numbers are the same in every process.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from merbench.corruptions.signals import Audio
from merbench.errors import Inapplicable, MissingExtra, exception_text, plural
from merbench.features.extractor import Face, Floats, Output, Picture

_MOST_OF_A_MESSAGE = 300


def samples_of(audio: Audio, shortest: int = 1) -> Floats:
    """Return the samples of a sound of one channel; raise `Inapplicable` if they cannot be measured.

    Args:
        audio: the sound.
        shortest: how many samples are needed.
    """
    samples: Floats = audio.samples[0]
    n = len(samples)
    if n < shortest:
        at = f"{plural(n, 'sample')} at {audio.rate_hz / 1000:g} kHz of the {shortest:,} that are needed"
        raise Inapplicable(f"the sound is too short: {at}")
    if n_wrong := n - int(np.count_nonzero(np.isfinite(samples))):
        raise Inapplicable(f"{n_wrong:,} of the {n:,} samples of the sound are not finite numbers")
    return samples


class BlockReader:
    """Reads the pictures, or faces, of one clip, and measures them in blocks.

    Args:
        size: how many are a block.
        measure: prepared pictures of a block to rows: one for each, or one for all.
        prepare: a picture to what is measured.
        has_one_row: whether a block has one row, at the mean of its times.
    """

    def __init__(
        self,
        size: int,
        measure: Callable[[list[Any]], Any],
        prepare: Callable[[Any], Any] = lambda item: item,
        *,
        has_one_row: bool = False,
    ) -> None:
        self._size, self._measure, self._prepare, self._has_one_row = size, measure, prepare, has_one_row
        self._waiting: list[Any] = []
        self._waiting_times: list[float] = []
        self._rows: list[Floats] = []
        self._times: list[float] = []

    def add(self, item: Picture | Face, /) -> None:
        """Take the next picture."""
        self._waiting.append(self._prepare(item))
        self._waiting_times.append(item.time_s)
        if len(self._waiting) == self._size:
            self._flush()

    def _flush(self) -> None:
        rows = np.asarray(self._measure(self._waiting))
        times = [float(np.mean(self._waiting_times))] if self._has_one_row else self._waiting_times
        if rows.ndim != 2 or len(rows) != len(times):
            raise Inapplicable(f"{len(self._waiting):,} pictures gave an array of shape {rows.shape}, not a row each")
        self._rows.append(rows)
        self._times += times
        self._waiting, self._waiting_times = [], []

    def output(self) -> Output:
        """Return the rows, after the last picture; raise `Inapplicable` if there was none."""
        if self._waiting:
            self._flush()
        if not self._rows:
            raise Inapplicable("there is no picture")
        return Output(np.concatenate(self._rows), np.array(self._times))


def onnx_session(path: Path) -> Any:
    """Return a session of ONNX Runtime, which computes on one thread."""
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise MissingExtra("a network of ONNX Runtime", "speech") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # no warnings of initializers that nobody uses
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def lite_model(path: Path) -> Callable[[Floats], list[Floats]]:
    """Return a LiteRT model as a function of one input, `(1, …)` float32, that returns its outputs; one thread.

    Raises:
        MissingExtra: ai-edge-litert is not installed.
    """
    interpreter = lite_interpreter(path)
    (source,) = (detail["index"] for detail in interpreter.get_input_details())
    targets = [detail["index"] for detail in interpreter.get_output_details()]

    def run(values: Floats) -> list[Floats]:
        interpreter.set_tensor(source, values)
        interpreter.invoke()
        return [interpreter.get_tensor(target) for target in targets]

    return run


def lite_interpreter(path: Path) -> Any:
    """Return an interpreter of LiteRT, which computes on one thread; see `lite_model`."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ModuleNotFoundError as error:
        raise MissingExtra("a model of LiteRT", "faces") from error
    with _unlogged():
        interpreter = Interpreter(str(path), num_threads=1)
        interpreter.allocate_tensors()
    return interpreter


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep from standard error what LiteRT logs there: how it computes, which no option of its own turns off."""
    try:
        kept = os.dup(2)
    except OSError:  # there is no standard error
        yield
        return
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def first_line(error: Exception) -> str:
    """Return the first line of a library's message, which may have many."""
    text = str(error).strip().partition("\n")[0]
    return text if text and len(text) < _MOST_OF_A_MESSAGE else exception_text(error)
