"""Extractors from folders: any network in a file of ONNX or LiteRT, code of one's own, a model of `transformers`.

==================  ===============================================================================================
a folder with       is
==================  ===============================================================================================
`extractor.toml`    a network with one input, whose inputs and outputs are declared; see `docs/features.md`
`extractor.py`      code with one class or function that is decorated with `@extractor`; it is executed
`config.json`       a model of the `transformers` library; see `merbench.features.models`
==================  ===============================================================================================

`hf:OWNER/MODEL[@REVISION]` is a folder of the last kind, which is fetched from the Hugging Face Hub because the user
names it; what is recorded is the commit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache, wraps
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field, ValidationError, model_validator

from merbench.corruptions.signals import Audio
from merbench.declarations import Declaration, declaration_problems, refused
from merbench.errors import (
    DeclarationError,
    Inapplicable,
    IntegrityError,
    MerbenchError,
    MissingExtra,
    UsageError,
    listed,
)
from merbench.features.extractor import EXTRACTORS, Extractor, Face, Floats, Output, Picture
from merbench.features.models import folder_digest, folder_model, is_model_folder, require_weights
from merbench.features.networks import BlockReader, first_line, lite_interpreter, onnx_session
from merbench.files.paths import expanded, is_path, resolve_inside
from merbench.files.reading import sha256_file
from merbench.files.toml import read_toml
from merbench.own_code import OwnCode

DECLARED, CODE = "extractor.toml", "extractor.py"

HUB = "hf:"

_HUB_NAME = re.compile(r"hf:(?P<model>[\w.-]+/[\w.-]+?)(?:@(?P<revision>[\w./-]+))?")

_COMMIT = re.compile(r"[0-9a-f]{40}")


def is_folder_source(source: str) -> bool:
    """Return whether a source of an extractor is a folder or a model of the hub, not a registered name."""
    return source.startswith(HUB) or is_path(source)


def lasting_source(source: str, name: str) -> str:
    """Return a folder's source that means the same in another process: an absolute path, or the commit of a model."""
    return name if source.startswith(HUB) else str(expanded(source).resolve())


def folder_extractor(source: str, options: Mapping[str, Any]) -> Extractor:
    """Return the extractor of a folder, or of a model of the Hugging Face Hub.

    Args:
        source: path of the folder, or `hf:OWNER/MODEL[@REVISION]`.
        options: some decide what an extractor reads: see `folder_model`.

    Raises:
        UsageError: no such folder, or nothing in it that is an extractor; its code cannot be loaded.
        DeclarationError: its `extractor.toml` has problems; all of them are listed.
        MissingExtra: what it runs on is not installed.
    """
    if source.startswith(HUB):
        folder, name = fetched(source)
        return folder_model(folder, name, options)
    folder = expanded(source)
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    kinds = [name for name in (DECLARED, CODE) if (folder / name).is_file()]
    if len(kinds) == 2:
        raise UsageError(f"{folder}: has both {DECLARED} and {CODE}; an extractor is declared in one of them")
    if kinds == [DECLARED]:
        return declared_network(folder)
    if kinds == [CODE]:
        return _own_extractor(folder.resolve(), folder, sha256_file(folder / CODE))
    if is_model_folder(folder):
        return folder_model(folder, folder.resolve().name, options)
    raise UsageError(f"{folder}: no extractor in this folder; needed: {DECLARED}, {CODE}, or a model's config.json")


@lru_cache
def _own_extractor(key: Path, folder: Path, _digest: str) -> Extractor:
    """Return the extractor that the code in a folder declares; executed once in each process, unless it changes."""
    code = OwnCode(f"extractor '{key.name}'", folder / CODE)
    with EXTRACTORS.collecting() as declared:
        code.module(f"merbench_extractor_{key.name}")
    if len(declared) != 1:
        names = f": {listed(list(declared))}" if declared else ""
        raise UsageError(f"{folder / CODE}: declares {len(declared)} extractors{names}; needed: one, by @extractor")
    (own,) = declared.values()
    return replace(own, make=_blamed(own.make, code), digest=lambda: folder_digest(key, _files(key)))


def _files(folder: Path) -> list[Path]:
    """Return the files that own code may read, but for hidden ones and compiled code."""
    parts = {path: path.relative_to(folder).parts for path in folder.rglob("*") if path.is_file()}
    return [path for path, names in parts.items() if not any(n[0] == "." or n == "__pycache__" for n in names)]


def _blamed(make: Any, code: OwnCode) -> Any:
    """Return a function or class whose exceptions are blamed on its code: of one clip they are its problem."""
    if not isinstance(make, type):
        return _wrapped(make, code)
    kind: Any = make
    names = [name for name in ("__call__", "many", "pool") if name in dir(make)]
    members: dict[str, Any] = {name: _wrapped(getattr(make, name), code) for name in names}
    if "start" in dir(make):
        members["start"] = wraps(kind.start)(lambda self: _BlamedReader(code, kind.start, self))
    if kind.__init__ is not object.__init__:
        members["__init__"] = _wrapped(kind.__init__, code, UsageError)
    return type(make.__name__, (make,), {"__doc__": make.__doc__, "__module__": make.__module__, **members})


def _wrapped(function: Callable[..., Any], code: OwnCode, kind: type[UsageError] = Inapplicable) -> Callable[..., Any]:
    @wraps(function)
    def called(*arguments: Any, **options: Any) -> Any:
        with _as_problem(code, kind):
            return function(*arguments, **options)

    return called


@contextmanager
def _as_problem(code: OwnCode, kind: type[UsageError] = Inapplicable) -> Iterator[None]:
    try:
        with code.blamed("failed"):
            yield
    except MissingExtra:
        raise
    except UsageError as error:
        cause = error.__cause__
        if cause is None or isinstance(cause, MerbenchError):
            raise
        raise kind(*error.args) from cause


class _BlamedReader:
    """A reader of own code, whose exceptions are blamed on it."""

    def __init__(self, code: OwnCode, start: Callable[[Any], Any], extractor: Any) -> None:
        self._code = code
        with _as_problem(code):
            self._reader = start(extractor)

    def add(self, item: Picture | Face, /) -> None:
        with _as_problem(self._code):
            self._reader.add(item)

    def output(self) -> Any:
        with _as_problem(self._code):
            return self._reader.output()


Numbers = Annotated[tuple[float, ...], Field(min_length=3, max_length=3, strict=False)]
Text = Annotated[str, Field(min_length=1, max_length=1000)]


class SoundDeclaration(Declaration):
    """How a network reads sound; `[sound]` of `extractor.toml`."""

    sample_rate_hz: int = Field(ge=1000, le=384_000)
    layout: Literal["T", "NT", "NCT"] = "NT"  # axes of the input: batch, channel, time; N and C are 1
    window: int | None = Field(default=None, ge=1)  # samples that are read at once; None: the sound as a whole
    hop: int | None = Field(default=None, ge=1)  # from the beginning of a window to that of the next; None: the window
    scale: float = 1.0  # what samples, −1 to 1, are multiplied by

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The shape of the input; None of what may vary."""
        return {"T": (self.window,), "NT": (1, self.window), "NCT": (1, 1, self.window)}[self.layout]


class PictureDeclaration(Declaration):
    """How a network reads pictures, or crops of faces; `[picture]` of `extractor.toml`."""

    width: int = Field(ge=1, le=4096)
    height: int = Field(ge=1, le=4096)
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    colours: Literal["rgb", "bgr", "grey"] = "rgb"
    scale: float | Numbers = 1 / 255  # what pixels, 0 to 255, are multiplied by: one number, or one for each channel
    offset: float | Numbers = 0.0  # what is added then
    fit: Literal["crop", "stretch"] = "crop"  # the middle in the shape of the input, or the whole picture

    @model_validator(mode="after")
    def _grey_has_one_channel(self) -> PictureDeclaration:
        several = [name for name in ("scale", "offset") if isinstance(getattr(self, name), tuple)]
        if self.colours == "grey" and several:
            raise refused(*(((name,), "needs one number: a grey picture has one channel") for name in several))
        return self

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The shape of the input."""
        n_channels = 1 if self.colours == "grey" else 3
        if self.layout == "NCHW":
            return 1, n_channels, self.height, self.width
        return 1, self.height, self.width, n_channels

    def values(self, rgb: Any) -> Floats:
        """Return a picture as the network reads it."""
        import cv2

        height, width = rgb.shape[:2]
        if self.fit == "crop":
            kept = min(width, height * self.width / self.height), min(height, width * self.height / self.width)
            n, m = max(round(kept[0]), 1), max(round(kept[1]), 1)
            left, top = (width - n) // 2, (height - m) // 2
            rgb = rgb[top : top + m, left : left + n]
        way = cv2.INTER_AREA if rgb.shape[1] > self.width else cv2.INTER_LINEAR
        pixels = np.asarray(cv2.resize(np.ascontiguousarray(rgb), (self.width, self.height), interpolation=way))
        if self.colours == "grey":
            pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))[..., None]
        elif self.colours == "bgr":
            pixels = pixels[..., ::-1]
        scaled: Floats = pixels.astype(np.float32) * np.asarray(self.scale, np.float32) + np.asarray(
            self.offset, np.float32
        )
        return np.ascontiguousarray(scaled.transpose(2, 0, 1) if self.layout == "NCHW" else scaled)[None]


class NetworkDeclaration(Declaration):
    """The content of `extractor.toml`."""

    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)
    version: Text = "1"
    runs: Literal["onnx", "litert"]
    file: Text  # in the folder
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    input: Literal["sound", "pictures", "faces"]
    unit: Literal["utterance", "segment", "frame"]
    dimension: int = Field(ge=1, le=1_000_000)
    rate_hz: float | None = Field(default=None, gt=0)  # rows a second of sound read as a whole; else pictures a second
    input_name: Text | None = None  # of several; None: the only one
    output_name: Text | None = None
    licence: Text
    source: Text
    trained_on: Text = "not stated"
    sound: SoundDeclaration | None = None
    picture: PictureDeclaration | None = None

    @model_validator(mode="after")
    def _tables_fit(self) -> NetworkDeclaration:
        problems = list(self._problems())
        if problems:
            raise refused(*problems)
        return self

    def _problems(self) -> Iterator[tuple[tuple[int | str, ...], str]]:
        needed, other = ("sound", "picture") if self.input == "sound" else ("picture", "sound")
        if getattr(self, needed) is None:
            yield (needed,), f'is missing: input = "{self.input}" needs the table [{needed}]'
        if getattr(self, other) is not None:
            yield (other,), f'does not apply to input = "{self.input}"'
        if self.input != "sound" and self.unit != "frame":
            yield ("unit",), f"'{self.unit}' is not frame: a network of pictures returns a row for each"
        if self.input == "sound" and self.sound is not None:
            if self.sound.window is not None and self.unit == "utterance":
                yield ("unit",), "'utterance' does not apply to windows; allowed: segment, frame"
            if self.sound.window is not None and self.rate_hz is not None:
                yield ("rate_hz",), "does not apply to windows: it is sample_rate_hz / hop"
            if self.sound.window is None and self.sound.hop is not None:
                yield ("sound", "hop"), "does not apply without window"
            if self.sound.window is None and self.unit == "segment":
                yield ("unit",), "'segment' needs sound.window"
            if self.unit == "utterance" and self.rate_hz is not None:
                yield ("rate_hz",), "does not apply to utterances"

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """What the network returns: one row, or, of sound as a whole, one for every frame; None of what may vary."""
        is_whole = self.input == "sound" and self.sound is not None and self.sound.window is None
        return (1, None, self.dimension) if is_whole and self.unit == "frame" else (1, self.dimension)


def read_network(folder: Path) -> NetworkDeclaration:
    """Return the declaration in a folder; raise `DeclarationError` with all of its problems."""
    path = folder / DECLARED
    try:
        return NetworkDeclaration.model_validate(read_toml(path))
    except ValidationError as error:
        raise DeclarationError(str(path), declaration_problems(error, _allowed_keys)) from error


def _allowed_keys(location: Sequence[int | str]) -> Sequence[str]:
    tables: dict[Any, type[Declaration]] = {("sound",): SoundDeclaration, ("picture",): PictureDeclaration}
    return list(tables.get(tuple(location[:1]), NetworkDeclaration).model_fields)


def declared_network(folder: Path) -> Extractor:
    """Return the extractor that a folder with `extractor.toml` declares; the network is not opened yet."""
    declared = read_network(folder)
    path = _network_path(folder, declared)
    made: Any = type("Network", (Network,), {"folder": folder, "declared": declared, "__doc__": Network.__doc__})
    sound, fields = declared.sound, dict[str, Any]()
    if sound is not None:
        fields["sample_rate_hz"] = sound.sample_rate_hz
        hop = sound.hop or sound.window
        fields["rate_hz"] = sound.sample_rate_hz / hop if hop else declared.rate_hz
    else:
        fields["frame_rate_hz"] = declared.rate_hz
    return Extractor(
        declared.name,
        made,
        input=declared.input,
        unit=declared.unit,
        dimension=declared.dimension,
        licence=declared.licence,
        source=declared.source,
        trained_on=declared.trained_on,
        extra={"onnx": "speech", "litert": "faces"}[declared.runs],
        version=declared.version,
        digest=lambda: folder_digest(folder, [folder / DECLARED, path]),
        **fields,
    )


def _network_path(folder: Path, declared: NetworkDeclaration) -> Path:
    path = resolve_inside(folder, declared.file)
    if not path.is_file():
        raise UsageError(f"{folder / DECLARED}: file '{declared.file}' does not exist")
    return folder / path.relative_to(folder.resolve())


class Tensor(NamedTuple):
    """An input or output of a network, as its file has it."""

    name: str
    shape: tuple[int | None, ...] | None  # None of an axis that may vary, or of a shape that is not known
    kind: str  # of its numbers

    def __str__(self) -> str:
        return f"'{self.name}' {shape_text(self.shape)}"


def shape_text(shape: Sequence[int | None] | None) -> str:
    """Return `(1, 3, any, any)`."""
    return "(any shape)" if shape is None else f"({', '.join('any' if n is None else str(n) for n in shape)})"


class Network:
    """A network with one input and one output, from a file of ONNX or LiteRT; it computes on one thread.

    It is given one window of sound, or one picture, at a time. Windows follow one another; the last one is filled with
    zeros, and the time of a row is the middle of the window, or of what it has of the sound.
    """

    folder: ClassVar[Path]
    declared: ClassVar[NetworkDeclaration]

    def __init__(self) -> None:
        self._run = opened(self.folder, self.declared)

    @classmethod
    def require(cls) -> None:
        """Raise `UsageError` if the file is not a network, or has another digest or other shapes than declared."""
        path = _network_path(cls.folder, cls.declared)
        if cls.declared.sha256 is not None and (digest := sha256_file(path)) != cls.declared.sha256:
            raise IntegrityError(f"{path}: its SHA-256 is {digest}; {DECLARED} declares {cls.declared.sha256}")
        opened(cls.folder, cls.declared)

    def __call__(self, audio: Audio) -> Output:
        """Return the rows of a sound, or its vector."""
        sound, samples = self._sound(), audio.samples[0]
        if sound.window is None:
            values = self._outputs(samples)
            if self.declared.unit == "utterance":
                return Output(self._row(values))
            rows = self._rows(values)
            rate_hz = self.declared.rate_hz
            return Output(rows, None if rate_hz is None else np.array([(k + 0.5) / rate_hz for k in range(len(rows))]))
        window, hop = sound.window, sound.hop or sound.window
        n_later = -(-max(len(samples) - window, 0) // hop)
        starts = range(0, (1 + n_later) * hop, hop)
        rows = np.stack([self._row(self._outputs(_filled(samples, start, window))) for start in starts])
        ends = [min(start + window, len(samples)) for start in starts]
        return Output(rows, (np.array(starts, np.float64) + ends) / (2 * sound.sample_rate_hz))

    def start(self) -> BlockReader:
        """Return what reads the pictures of one clip."""
        return BlockReader(1, self._of_pictures, self._prepared)

    def _sound(self) -> SoundDeclaration:
        assert self.declared.sound is not None
        return self.declared.sound

    def _outputs(self, samples: Floats) -> Floats:
        sound = self._sound()
        values = samples * np.float32(sound.scale)
        return self._run(values.reshape({"T": (-1,), "NT": (1, -1), "NCT": (1, 1, -1)}[sound.layout]))

    def _prepared(self, item: Picture | Face) -> Floats:
        assert self.declared.picture is not None
        return self.declared.picture.values(item.rgb)

    def _of_pictures(self, values: Sequence[Floats]) -> Floats:
        return np.stack([self._row(self._run(value)) for value in values])

    def _rows(self, values: Floats) -> Floats:
        """Return the rows that a network returned, `(t, d)`; other axes, such as that of the batch, have length 1."""
        width = self.declared.dimension
        if width == 1 and values.size == max(values.shape, default=1):
            values = values.reshape(-1, 1)
        if values.shape[-1:] != (width,) or values.size != max(values.shape[:-1], default=1) * width:
            raise Inapplicable(
                f"the network returned {shape_text(values.shape)}, and rows of {width:,} numbers are declared"
            )
        return values.reshape(-1, width)

    def _row(self, values: Floats) -> Floats:
        if values.size != self.declared.dimension:
            raise Inapplicable(
                f"the network returned {shape_text(values.shape)}, and {self.declared.dimension:,} numbers are declared"
            )
        return values.reshape(-1)


def _filled(samples: Floats, start: int, size: int) -> Floats:
    part = samples[start : start + size]
    return np.pad(part, (0, size - len(part)))


def opened(folder: Path, declared: NetworkDeclaration) -> Callable[[Floats], Floats]:
    """Return a network as a function, of what is declared.

    Raises:
        UsageError: the file is not a network of this kind, or its input or output are not as declared.
        MissingExtra: what it runs on is not installed.
    """
    path = _network_path(folder, declared)
    open_file = _onnx if declared.runs == "onnx" else _litert
    try:
        inputs, outputs, run = open_file(path)
    except MerbenchError:
        raise
    except Exception as error:
        run_time = {"onnx": "ONNX Runtime", "litert": "LiteRT"}[declared.runs]
        raise UsageError(f"{path}: not a network that {run_time} reads: {first_line(error)}") from error
    wanted = declared.sound.shape if declared.sound is not None else _picture_shape(declared)
    problems: list[str] = []
    source = _chosen(inputs, declared.input_name, "input", problems)
    target = _chosen(outputs, declared.output_name, "output", problems)
    if source is not None and len(inputs) > 1:
        problems.append(f"the file has {len(inputs)} inputs, {', '.join(map(str, inputs))}; only one can be given")
    for what, tensor, shape in (("input", source, wanted), ("output", target, declared.output_shape)):
        if tensor is None:
            continue
        if "float32" not in tensor.kind and tensor.kind != "tensor(float)":
            problems.append(f"{what} {tensor} of the file has numbers of the kind {tensor.kind}; needed: float32")
        if not (_fits(tensor.shape, shape) if what == "input" else _gives(tensor.shape, shape)):
            problems.append(f"{what} {tensor} of the file; declared: {shape_text(shape)}")
    if problems:
        raise UsageError(*(f"{path}: {problem}" for problem in problems))
    assert source is not None and target is not None
    return run(source.name, target.name)


def _picture_shape(declared: NetworkDeclaration) -> tuple[int | None, ...]:
    assert declared.picture is not None
    return declared.picture.shape


def _chosen(tensors: Sequence[Tensor], name: str | None, what: str, problems: list[str]) -> Tensor | None:
    """Return the input or output of a name, or the only one; note where there is none."""
    if name is None and len(tensors) == 1:
        return tensors[0]
    chosen = next((tensor for tensor in tensors if tensor.name == name), None)
    if chosen is None:
        named = f"no {what} '{name}'" if name is not None else f"{len(tensors)} {what}s, and {what}_name names none"
        problems.append(f"the file has {named}; it has {', '.join(map(str, tensors))}")
    return chosen


def _fits(stored: Sequence[int | None] | None, declared: Sequence[int | None]) -> bool:
    """Return whether an input takes values of a shape; of an axis that is declared to vary, the file's must vary."""
    if stored is None:
        return True
    return len(stored) == len(declared) and all(
        own is None or own == wanted for own, wanted in zip(stored, declared, strict=True)
    )


def _gives(stored: Sequence[int | None] | None, declared: Sequence[int | None]) -> bool:
    """Return whether an output may have a shape; axes of length 1 do not count, and rows have their numbers last."""
    if stored is None:
        return True
    own = [n for n in stored if n != 1]
    wanted = [n for n in declared if n != 1]
    if None in declared:  # rows; what the file leaves open is checked when the network has run
        width, others = declared[-1], own[:-1]
        if width == 1:
            return sum(n is not None for n in own) <= 1
        return bool(own) and (own[-1] == width or (own[-1] is None and width not in others))
    if None in own:
        return all(n is None or n in wanted for n in own)
    return own == wanted


Opened = tuple[list[Tensor], list[Tensor], Callable[[str, str], Callable[[Floats], Floats]]]


def _onnx(path: Path) -> Opened:
    session = onnx_session(path)

    def tensors(items: Any) -> list[Tensor]:
        return [
            Tensor(item.name, tuple(n if isinstance(n, int) else None for n in item.shape), item.type) for item in items
        ]

    def run(source: str, target: str) -> Callable[[Floats], Floats]:
        return lambda values: np.asarray(session.run([target], {source: values})[0], np.float32)

    return tensors(session.get_inputs()), tensors(session.get_outputs()), run


def _litert(path: Path) -> Opened:
    interpreter = lite_interpreter(path)
    details = interpreter.get_input_details(), interpreter.get_output_details()

    def tensors(items: Any) -> list[Tensor]:
        return [
            Tensor(
                item["name"],
                tuple(None if n < 0 else int(n) for n in item.get("shape_signature", item["shape"])),
                np.dtype(item["dtype"]).name,
            )
            for item in items
        ]

    def run(source: str, target: str) -> Callable[[Floats], Floats]:
        (given,) = (item["index"] for item in details[0] if item["name"] == source)
        (wanted,) = (item["index"] for item in details[1] if item["name"] == target)

        def called(values: Floats) -> Floats:
            if tuple(interpreter.get_input_details()[0]["shape"]) != values.shape:
                interpreter.resize_tensor_input(given, values.shape)
                interpreter.allocate_tensors()
            interpreter.set_tensor(given, values)
            interpreter.invoke()
            result: Floats = interpreter.get_tensor(wanted)
            return result

        return called

    return tensors(details[0]), tensors(details[1]), run


@lru_cache
def fetched(source: str) -> tuple[Path, str]:
    """Return the folder of a model of the hub, fetched unless the library has it, and its name with the commit.

    A branch, or no revision, is looked up in the hub first, and in the cache where there is no network.

    Raises:
        UsageError: not a name of a model, or it cannot be fetched.
        MissingExtra: transformers, whose cache is used, is not installed.
    """
    match = _HUB_NAME.fullmatch(source)
    if match is None:
        raise UsageError(f"{source}: write hf:OWNER/MODEL or hf:OWNER/MODEL@REVISION")
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise MissingExtra("a model of the Hugging Face Hub", "language-models") from error
    model, revision = match["model"], match["revision"]
    try:
        folder = _snapshot(snapshot_download, model, revision)
    except Exception as error:
        if (cached := _cached(snapshot_download, model, revision)) is not None:
            return cached, f"{HUB}{model}@{cached.name}"
        remedy = "where there is no network, copy its folder and name that: ./FOLDER"
        raise UsageError(f"{source}: cannot be fetched: {first_line(error)}; {remedy}") from error
    return folder, f"{HUB}{model}@{folder.name}"


_SETTINGS = ["*.json", "*.txt", "*.model"]


def _snapshot(download: Callable[..., str], model: str, revision: str | None) -> Path:
    """Return the folder of a commit: only settings and weights, of these safetensors where there are some."""
    if revision is not None and _COMMIT.fullmatch(revision) and (cached := _cached(download, model, revision)):
        return cached
    folder = Path(download(model, revision=revision, allow_patterns=[*_SETTINGS, "*.safetensors"]))
    if any(folder.glob("*.safetensors")):
        return folder
    return Path(download(model, revision=folder.name, allow_patterns=[*_SETTINGS, "pytorch_model*.bin"]))


def _cached(download: Callable[..., str], model: str, revision: str | None) -> Path | None:
    """Return the folder of a model in the library's cache; None if it is missing or incomplete."""
    try:
        folder = Path(download(model, revision=revision, local_files_only=True))
        require_weights(folder)  # an earlier download may have been interrupted
    except (OSError, ValueError, UsageError):
        return None
    return folder
