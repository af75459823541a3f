"""Models of the `transformers` library in a folder, as extractors: of sound, pictures and texts.

Layer 0 is what enters the first block of a network, layer n what block n returns: the library's `hidden_states`, the
last of which some models normalise. `last` is what the model returns in the end. A list of layers is their mean.

Weights are read from safetensors, or from a checkpoint of PyTorch that may contain tensors only; code that a folder
contains is never executed, and nothing is downloaded for a folder.

Conventions:
    Rows are `(t, d)` float32: of sound, a row for each frame of the network; of pictures, one for each; of segments of
    pictures, one for each; of texts, one for each token, those that the tokenizer adds included. A batch has items of
    similar length. Where lengths differ, padding is masked: numbers then agree with those of a batch of one up to
    rounding, because sums have more terms. In a batch of one, the default for sound and texts, an item's numbers depend
    on that item only, to the last bit.
"""

from __future__ import annotations

import inspect
import json
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from merbench.corruptions.signals import Audio
from merbench.devices import chosen_device, require_device
from merbench.engine.threads import suitable_threads
from merbench.errors import MissingExtra, UsageError, did_you_mean, exception_text, fault, listed
from merbench.features.extractor import Extractor, Face, Floats, Input, Output, Picture, Unit
from merbench.features.networks import BlockReader, first_line, samples_of
from merbench.files.reading import sha256_bytes, sha256_file
from merbench.parameters import Described, Within

CONFIGURATION = "config.json"

EXTRA = "language-models"

WAVEFORM = ("data2vec-audio", "hubert", "unispeech", "unispeech-sat", "wav2vec2", "wavlm")
PICTURE = ("clip", "clip_vision_model", "dinov2", "dinov2_with_registers", "vit")

_WINDOW_S, _CONTEXT_S = 30, 2
"""Long sound is read in windows; of what two have in common, each keeps half."""

_MOST_TOKENS = 2048
"""A longer text is read in parts, even if a model could read it as a whole."""

_MOST_CONFIGURATION_BYTES = 50_000_000

_UNUSED = re.compile(r"pooler|masked_spec_embed|position_ids|lm_head")
"""Weights that may be missing: no extractor needs them."""

_SEGMENT_RATE_HZ = 8.0


def _is_layer(value: object) -> bool:
    if isinstance(value, str):
        return value == "last"
    numbers = value if isinstance(value, list | tuple) else [value]
    return bool(numbers) and all(isinstance(number, int) and number >= 0 for number in numbers)


Layer = Annotated[
    int | str | Sequence[int], Described("the number of a layer, a list of numbers (their mean), or last", _is_layer)
]
Pooling = Literal["mean", "max", "first", "last", "mean-std"]
Tokens = Literal["class", "mean"]
Batch = Annotated[int, Within(1, 4096)]


class Source(NamedTuple):
    """Where a model is."""

    folder: Path
    name: str  # of the extractor
    config: Any  # of the library


class FolderModel:
    """A model of the `transformers` library; a subclass for each folder has its `source`.

    Args:
        layer: which layer's numbers.
        pool: how the pooled vector is made of the rows.
        batch: how many are computed together.
        half: whether to compute in half precision, on CUDA.
        device: auto (CUDA if available), cpu, cuda, cuda:1, …
    """

    source: Source

    def __init__(
        self,
        *,
        layer: Layer = "last",
        pool: Pooling = "mean",
        batch: Batch = 1,
        half: bool = False,
        device: str = "auto",
    ) -> None:
        self.require(layer=layer, half=half, device=device)
        self._way, self._batch = pool, batch
        self._layers = None if layer == "last" else [layer] if isinstance(layer, int) else list(layer)
        self._device, self._half = chosen_device(device), half
        self._model: Any = self._loaded()
        self._begin()

    def _begin(self) -> None:
        """Read what else is in the folder, once the model is there."""

    @classmethod
    def require(cls, *, layer: Any = "last", half: bool = False, device: str = "auto", **_: Any) -> None:
        """Raise `UsageError` if a layer, the device or a file of weights does not exist."""
        highest = n_layers(cls.source.config)
        numbers = [] if isinstance(layer, str) else [layer] if isinstance(layer, int) else list(layer)
        if wrong := [str(number) for number in numbers if not 0 <= number <= highest]:
            raise UsageError(f"{cls.source.folder}: no layer {listed(wrong)}; allowed: 0 to {highest}, or last")
        require_device(device)
        if half and chosen_device(device).type != "cuda":
            raise UsageError(f"{cls.source.folder}: half precision needs CUDA, and the device is the processor")
        require_weights(cls.source.folder)

    @classmethod
    def settled(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options with the device that `auto` is here, whose numbers differ from those of another one."""
        return {**options, "device": chosen_device(options["device"]).type}

    def pool(self, output: Output) -> Any:
        """Return one vector for a sequence: `(d,)`, of `mean-std` `(2 d,)`."""
        return pooled(output.values, self._way)

    def _class(self) -> Any:
        from transformers import AutoModel

        return AutoModel

    def _loaded(self) -> Any:
        import torch

        dtype = torch.float16 if self._half else torch.float32
        model = read_model(self.source.folder, self.source.config, self._class(), dtype)
        return self._part(model).eval().to(self._device)

    def _part(self, model: Any) -> Any:
        return model

    def _states(self, **inputs: Any) -> tuple[Any, Any]:
        """Return what the network returns for a batch, and the chosen layers' rows `(b, t, d)`."""
        import torch

        dtype = torch.float16 if self._half else torch.float32
        tensors = {name: torch.from_numpy(values).to(self._device) for name, values in inputs.items()}
        tensors = {name: value.to(dtype) if value.is_floating_point() else value for name, value in tensors.items()}
        with suitable_threads(0), torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the library's own calls of torch
            outputs = self._model(**tensors, output_hidden_states=self._layers is not None)
            if self._layers is None:
                return outputs, outputs.last_hidden_state
            chosen = [outputs.hidden_states[number].float() for number in self._layers]
            return outputs, chosen[0] if len(chosen) == 1 else torch.stack(chosen).mean(dim=0)

    def _rows(self, **inputs: Any) -> Floats:
        return _numbers(self._states(**inputs)[1])


def _numbers(tensor: Any) -> Floats:
    values: Floats = tensor.float().cpu().numpy()
    return values


def pooled(values: Floats, way: Pooling) -> NDArray[np.float64]:
    """Return one vector for the rows of a sequence `(t, d)`; zeros where it has none.

    Args:
        values: the sequence.
        way: `mean`, `max`, `first` and `last` give `(d,)`; `mean-std` `(2 d,)`, the deviation with n, not n − 1.
    """
    rows = values.astype(np.float64)
    if not len(rows):
        return np.zeros(rows.shape[1] * (2 if way == "mean-std" else 1))
    match way:
        case "max":
            vector = rows.max(axis=0)
        case "first":
            vector = rows[0]
        case "last":
            vector = rows[-1]
        case "mean-std":
            vector = np.concatenate([rows.mean(axis=0), rows.std(axis=0)])
        case _:
            vector = rows.mean(axis=0)
    return np.asarray(vector)


def batches(lengths: Sequence[int], size: int, *, may_pad: bool) -> Iterator[list[int]]:
    """Yield the places of items that are computed together: of similar length, or, if none may be padded, of equal."""
    group: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda place: (-lengths[place], place)):
        if group and (len(group) == size or (not may_pad and lengths[place] != lengths[group[0]])):
            yield group
            group = []
        group.append(place)
    if group:
        yield group


class Span(NamedTuple):
    """A window of a sound, and which of its frames are kept."""

    sound: int
    start: int
    stop: int
    first: int
    last: int | None


class WaveformModel(FolderModel):
    """Frames of a speech model that reads the waveform, such as wav2vec 2.0, HuBERT and WavLM.

    Sound of more than 30 s is read in windows of 30 s, the next of which begins 26 s later; of the 4 s that two have in
    common, each keeps the half that is farther from its edge. The sound is normalised as a whole, if the folder says
    so. The time of a row is the middle of the samples that its convolutions see.
    """

    def _begin(self) -> None:
        config, processor = self.source.config, read_processor("AutoFeatureExtractor", self.source.folder)
        self._kernels = list(zip(config.conv_kernel, config.conv_stride, strict=True))
        self._stride = int(np.prod(config.conv_stride))
        self._rate_hz, self._normalises = int(processor.sampling_rate), bool(processor.do_normalize)
        # Normalised over time with its padding, a shorter sound would depend on the longer ones.
        self._may_pad = config.feat_extract_norm == "layer" and config.model_type in ("hubert", "wav2vec2", "wavlm")
        self._sees = receptive_field(self._kernels)

    def __call__(self, audio: Audio) -> Output:
        """Return the frames of a sound."""
        return self.many([audio])[0]

    def many(self, sounds: Sequence[Audio]) -> list[Output]:
        """Return the frames of several sounds."""
        waves = [samples_of(sound, self._sees) for sound in sounds]
        scales = [_scale(wave) if self._normalises else (np.float32(0), np.float32(1)) for wave in waves]
        spans = [span for place, wave in enumerate(waves) for span in self._spans(place, len(wave))]
        rows: dict[int, Floats] = {}
        for group in batches([span.stop - span.start for span in spans], self._batch, may_pad=self._may_pad):
            longest = spans[group[0]].stop - spans[group[0]].start
            values = np.zeros((len(group), longest), np.float32)
            mask = np.zeros((len(group), longest), np.int64)
            for row, place in enumerate(group):
                span = spans[place]
                mean, deviation = scales[span.sound]
                n = span.stop - span.start
                values[row, :n] = (waves[span.sound][span.start : span.stop] - mean) / deviation
                mask[row, :n] = 1
            is_padded = not mask.all()
            states = self._rows(input_values=values, **({"attention_mask": mask} if is_padded else {}))
            for row, place in enumerate(group):
                span = spans[place]
                n_frames = self._n_frames(span.stop - span.start)
                rows[place] = states[row, :n_frames][span.first : span.last].copy()
        joined = [
            np.concatenate([rows[k] for k, span in enumerate(spans) if span.sound == i]) for i in range(len(waves))
        ]
        return [Output(values, self._times(len(values))) for values in joined]

    def _spans(self, place: int, n: int) -> Iterator[Span]:
        """Yield the windows of a sound, whose kept frames follow one another."""
        window, context = (s * self._rate_hz // self._stride * self._stride for s in (_WINDOW_S, _CONTEXT_S))
        start, step = 0, window - 2 * context
        while start + window < n:
            yield Span(
                place, start, start + window, start and context // self._stride, (window - context) // self._stride
            )
            start += step
        yield Span(place, start, n, start and context // self._stride, None)

    def _n_frames(self, n: int) -> int:
        for kernel, stride in self._kernels:
            n = (n - kernel) // stride + 1
        return n

    def _times(self, n_frames: int) -> NDArray[np.float64]:
        return (np.arange(n_frames) * self._stride + self._sees / 2) / self._rate_hz


def receptive_field(kernels: Sequence[tuple[int, int]]) -> int:
    """Return how many samples one row sees, after convolutions of (kernel, stride)."""
    n = 1
    for kernel, stride in reversed(kernels):
        n = (n - 1) * stride + kernel
    return n


def _scale(wave: Floats) -> tuple[Any, Any]:
    """Return mean and deviation of a sound, as the library normalises by them."""
    return wave.mean(), np.sqrt(wave.var() + 1e-7)


class WhisperModel(FolderModel):
    """Frames of Whisper's encoder, of the log-mel spectrogram of sound.

    Sound is read in windows of 30 s, one after the other, the last one filled with silence; rows of what was filled are
    left out. The time of a row is that of the middle of the spectrum it is centred on.
    """

    def _begin(self) -> None:
        self._processor = read_processor("AutoFeatureExtractor", self.source.folder)
        wanted, made = 2 * self.source.config.max_source_positions, self._processor.nb_max_frames
        if wanted != made:
            raise UsageError(
                f"{self.source.folder}: the encoder reads {wanted:,} spectra, its processor makes {made:,}"
            )

    def _part(self, model: Any) -> Any:
        return model.get_encoder()

    def __call__(self, audio: Audio) -> Output:
        """Return the frames of a sound."""
        return self.many([audio])[0]

    def many(self, sounds: Sequence[Audio]) -> list[Output]:
        """Return the frames of several sounds."""
        window, hop, rate_hz = self._processor.n_samples, 2 * self._processor.hop_length, self._processor.sampling_rate
        waves = [samples_of(sound) for sound in sounds]
        parts = [(i, wave[k : k + window]) for i, wave in enumerate(waves) for k in range(0, len(wave), window)]
        rows: list[list[Floats]] = [[] for _ in waves]
        for first in range(0, len(parts), self._batch):
            block = parts[first : first + self._batch]
            spectra = [self._spectra(samples) for _, samples in block]
            for (i, samples), states in zip(block, self._rows(input_features=np.stack(spectra)), strict=True):
                rows[i].append(states[: -(-len(samples) // hop)].copy())
        joined = [np.concatenate(parts_of_sound) for parts_of_sound in rows]
        return [Output(values, np.arange(len(values)) * hop / rate_hz) for values in joined]

    def _spectra(self, samples: Floats) -> Floats:
        with suitable_threads(0):
            made = self._processor(samples, sampling_rate=self._processor.sampling_rate, return_tensors="np")
        spectra: Floats = np.asarray(made["input_features"][0], np.float32)
        return spectra


class PictureModel(FolderModel):
    """Pictures, or crops of faces, by a vision transformer: CLIP's image tower, DINOv2, ViT.

    The row of a picture is its class token, or the mean of its patches; `last`, with the class token, is what the model
    gives a picture in the end: of CLIP, the embedding that is compared with texts.

    Args:
        layer: which layer's numbers.
        pool: how the pooled vector is made of the pictures' rows.
        tokens: the class token of a picture, or the mean of its patches.
        faces: whether it reads the crops of a face instead of pictures.
        batch: pictures of a clip that are computed together.
        half: whether to compute in half precision, on CUDA.
        device: auto (CUDA if available), cpu, cuda, cuda:1, …
    """

    def __init__(
        self,
        *,
        layer: Layer = "last",
        pool: Pooling = "mean",
        tokens: Tokens = "class",
        faces: bool = False,
        batch: Batch = 8,
        half: bool = False,
        device: str = "auto",
    ) -> None:
        super().__init__(layer=layer, pool=pool, batch=batch, half=half, device=device)
        self._processor, self._tokens = read_processor("AutoImageProcessor", self.source.folder), tokens

    def _class(self) -> Any:
        import transformers

        kind = self.source.config.model_type
        if kind == "clip":
            return transformers.CLIPVisionModelWithProjection
        return transformers.CLIPVisionModel if kind == "clip_vision_model" else transformers.AutoModel

    def start(self) -> BlockReader:
        """Return what reads the pictures of one clip."""
        return BlockReader(self._batch, self._measured, self._prepared)

    def _prepared(self, item: Picture | Face) -> Floats:
        made = self._processor(images=item.rgb, input_data_format="channels_last", return_tensors="np")
        pixels: Floats = np.asarray(made["pixel_values"][0], np.float32)
        return pixels

    def _measured(self, pixels: Sequence[Floats]) -> Floats:
        outputs, states = self._states(pixel_values=np.stack(pixels))
        if self._tokens == "mean":
            n_others = 1 + getattr(self.source.config, "num_register_tokens", 0)
            return _numbers(states[:, n_others:].float().mean(dim=1))
        if self._layers is None and self.source.config.model_type.startswith("clip"):
            return _numbers(outputs.image_embeds if "image_embeds" in outputs else outputs.pooler_output)
        return _numbers(states[:, 0])


class SegmentModel(FolderModel):
    """Segments of pictures, or of crops of faces, by VideoMAE: the mean over all patches of 16 pictures.

    Segments follow one another; the last one is filled with its last picture. At the 8 pictures a second that it
    reads unless another rate is given, a segment is of 2 s. The time of a row is the mean of the times of its pictures.

    Args:
        layer: which layer's numbers.
        pool: how the pooled vector is made of the segments' rows.
        faces: whether it reads the crops of a face instead of pictures.
        half: whether to compute in half precision, on CUDA.
        device: auto (CUDA if available), cpu, cuda, cuda:1, …
    """

    def __init__(
        self,
        *,
        layer: Layer = "last",
        pool: Pooling = "mean",
        faces: bool = False,
        half: bool = False,
        device: str = "auto",
    ) -> None:
        super().__init__(layer=layer, pool=pool, half=half, device=device)
        self._processor = read_processor("AutoImageProcessor", self.source.folder)
        self._n_pictures = int(self.source.config.num_frames)

    def start(self) -> BlockReader:
        """Return what reads the pictures of one clip."""
        return BlockReader(self._n_pictures, self._measured, lambda item: item.rgb, has_one_row=True)

    def _measured(self, pictures: Sequence[Any]) -> Floats:
        filled = [*pictures, *[pictures[-1]] * (self._n_pictures - len(pictures))]
        made = self._processor(filled, input_data_format="channels_last", return_tensors="np")
        rows = self._rows(pixel_values=np.asarray(made["pixel_values"], np.float32))
        mean: Floats = rows.mean(axis=1, dtype=np.float64).astype(np.float32)
        return mean


class TextModel(FolderModel):
    """Tokens of a text by a language model: BERT, RoBERTa, the encoder of T5, a causal model, and others.

    A text that is longer than the model reads, or than 2,048 tokens, is read in parts, each by itself. The tokens that
    the tokenizer adds, such as [CLS], are rows, too: `first` of BERT is its class token.
    """

    def _begin(self) -> None:
        self._tokenizer = read_processor("AutoTokenizer", self.source.folder)
        self._before, self._after = self._added()
        self._longest = max(self._most_tokens() - len(self._before) - len(self._after), 1)
        self._width = dimension(self.source.config, {})

    def _part(self, model: Any) -> Any:
        return model.get_encoder() if self.source.config.is_encoder_decoder else model

    def _most_tokens(self) -> int:
        limits = [_MOST_TOKENS, int(self._tokenizer.model_max_length)]
        if positions := getattr(self.source.config, "max_position_embeddings", None):
            # RoBERTa and its kin count positions from the one after that of padding.
            is_shifted = hasattr(getattr(self._model, "embeddings", None), "padding_idx")
            limits.append(positions - (self.source.config.pad_token_id + 1 if is_shifted else 0))
        return min(limits)

    def __call__(self, texts: Sequence[str]) -> list[Output]:
        """Return the tokens' rows of several texts."""
        parts = [(i, ids) for i, text in enumerate(texts) for ids in self._parts(text)]
        rows: list[dict[int, Floats]] = [{} for _ in texts]
        for group in batches([len(ids) for _, ids in parts], self._batch, may_pad=True):
            longest = len(parts[group[0]][1])
            ids = np.full((len(group), longest), self._tokenizer.pad_token_id or 0, np.int64)
            mask = np.zeros_like(ids)
            for row, place in enumerate(group):
                ids[row, : len(parts[place][1])] = parts[place][1]
                mask[row, : len(parts[place][1])] = 1
            for row, (place, states) in enumerate(
                zip(group, self._rows(input_ids=ids, attention_mask=mask), strict=True)
            ):
                rows[parts[place][0]][place] = states[: int(mask[row].sum())].copy()
        empty = np.zeros((0, self._width), np.float32)
        return [Output(np.concatenate([of_text[k] for k in sorted(of_text)]) if of_text else empty) for of_text in rows]

    def _parts(self, text: str) -> Iterator[list[int]]:
        """Yield the tokens of a text, in parts that the model can read; none of a text without tokens."""
        sound = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")  # no lone surrogates
        ids = self._tokenizer(sound, add_special_tokens=False, verbose=False)["input_ids"]
        for start in range(0, max(len(ids), 1), self._longest):
            part = [*self._before, *ids[start : start + self._longest], *self._after]
            if part:
                yield part

    def _added(self) -> tuple[list[int], list[int]]:
        """Return the tokens that the tokenizer adds before and after those of a text."""
        plain = self._tokenizer("a", add_special_tokens=False)["input_ids"]
        every = self._tokenizer("a")["input_ids"]
        start = next(k for k in range(len(every)) if every[k : k + len(plain)] == plain)
        return every[:start], every[start + len(plain) :]


def is_model_folder(folder: Path) -> bool:
    """Return whether a folder has a configuration of the `transformers` library."""
    return (folder / CONFIGURATION).is_file()


def folder_model(folder: Path, name: str, options: Mapping[str, Any]) -> Extractor:
    """Return the extractor of a folder of the `transformers` library.

    Args:
        folder: with `config.json`, weights, and the files of the tokenizer or processor.
        name: of the extractor.
        options: those that decide what it reads: `faces`, `layer`, `tokens`.

    Raises:
        MissingExtra: transformers or torch is not installed.
        UsageError: the configuration cannot be read, or is of a kind of model that is not known.
    """
    config = read_configuration(folder)
    base, read, unit = _kind_of(folder, config.model_type)
    made: Any = type(base.__name__, (base,), {"source": Source(folder, name, config), "__doc__": _documentation(base)})
    faces = options.get("faces") is True
    fields: dict[str, Any] = {}
    if read == "sound":
        processor = read_processor("AutoFeatureExtractor", folder)
        rate_hz = processor.sampling_rate
        if not isinstance(rate_hz, int) or not 1000 <= rate_hz <= 384_000:
            raise UsageError(f"{folder}: sampling_rate of its processor is {rate_hz!r}; allowed: 1,000 to 384,000")
        fields["sample_rate_hz"] = rate_hz
        step = 2 * processor.hop_length if base is WhisperModel else int(np.prod(config.conv_stride))
        fields["rate_hz"] = rate_hz / step
    if base is SegmentModel:
        fields["frame_rate_hz"] = _SEGMENT_RATE_HZ
    return Extractor(
        name,
        made,
        input="faces" if faces and read == "pictures" else read,
        unit=unit,
        dimension=dimension(config, options),
        licence="see the model's card",
        source=f"{config.model_type} of the transformers library",
        trained_on="see the model's card",
        extra=EXTRA,
        digest=lambda: folder_digest(folder, [*weights_files(folder), *_settings_files(folder)]),
        **fields,
    )


def read_model(folder: Path, config: Any, kind: Any, dtype: Any) -> Any:
    """Return the model in a folder, with its weights, which are read as data only.

    Args:
        folder: of the model.
        config: its configuration.
        kind: the class of the library that reads it.
        dtype: what torch stores the weights as.

    Raises:
        UsageError: weights cannot be read, or some are missing.
    """
    is_safe = any(path.suffix == ".safetensors" for path in weights_files(folder))
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False, "weights_only": True}
    try:
        with _quietly():
            model, info = kind.from_pretrained(
                folder, use_safetensors=is_safe, dtype=dtype, output_loading_info=True, **options
            )
    except UnpicklingError as error:
        raise UsageError(f"{folder}: its weights are a file with more than tensors, which is not read") from error
    except Exception as error:
        raise UsageError(f"{folder}: its weights cannot be read: {first_line(error)}") from error
    if missing := sorted(name for name in info["missing_keys"] if not _UNUSED.search(name)):
        raise UsageError(f"{folder}: {len(missing):,} weights of a {config.model_type} are missing: {listed(missing)}")
    return model


def _documentation(base: type[FolderModel]) -> str:
    """Return the docstring of a class, with the options that all have if it has no others."""
    own, shared = inspect.getdoc(base) or "", inspect.getdoc(FolderModel) or ""
    head = "\nArgs:\n"
    return own if head in own else f"{own}\n{head}{shared.partition(head)[2]}"


def _kind_of(folder: Path, kind: str) -> tuple[type[FolderModel], Input, Unit]:
    from transformers.models.auto import modeling_auto

    if kind in WAVEFORM:
        return WaveformModel, "sound", "frame"
    if kind == "whisper":
        return WhisperModel, "sound", "frame"
    if kind in PICTURE:
        return PictureModel, "pictures", "frame"
    if kind == "videomae":
        return SegmentModel, "pictures", "segment"
    of_texts = {*modeling_auto.MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES, *modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES}
    of_texts |= set(modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    if kind in of_texts:
        return TextModel, "texts", "token"
    raise _unknown_kind(folder / CONFIGURATION, kind, "is not one that features can be extracted with")


def _unknown_kind(path: Path, kind: str, why: str) -> UsageError:
    known = [*WAVEFORM, "whisper", *PICTURE, "videomae"]
    allowed = f"{', '.join(known)}, and models of texts, such as bert{did_you_mean(kind, known)}"
    return UsageError(f"{path}: model_type '{kind}' {why}; allowed: {allowed}")


def read_configuration(folder: Path) -> Any:
    """Return the configuration in a folder; raise `UsageError` if it is not one that the installed library knows."""
    path = folder / CONFIGURATION
    try:
        with path.open("rb") as file:
            raw = json.loads(file.read(_MOST_CONFIGURATION_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: cannot be read: {fault(error)}") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("model_type"), str):
        raise UsageError(f"{path}: has no model_type; it is not a configuration of the transformers library")
    try:
        from transformers import AutoConfig
        from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
    except ImportError as error:
        raise MissingExtra("a model of the transformers library", EXTRA) from error
    kind = raw["model_type"]
    if kind not in CONFIG_MAPPING_NAMES:
        raise _unknown_kind(path, kind, "is not known to the installed transformers library")
    try:
        with _quietly():
            return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise UsageError(f"{path}: cannot be read: {first_line(error)}") from error


def _inner(config: Any) -> Any:
    return getattr(config, "vision_config", config)


def n_layers(config: Any) -> int:
    """Return how many blocks the network has that is run."""
    inner = _inner(config)
    return int(getattr(inner, "encoder_layers", None) or inner.num_hidden_layers)


def dimension(config: Any, options: Mapping[str, Any]) -> int:
    """Return how many numbers a row has."""
    is_embedding = options.get("layer", "last") == "last" and options.get("tokens", "class") == "class"
    if config.model_type == "clip" and is_embedding:
        return int(config.vision_config.projection_dim)
    return int(_inner(config).hidden_size)


def read_processor(kind: str, folder: Path) -> Any:
    """Return the tokenizer or processor of a folder, by the name of its class in the library.

    Raises:
        MissingExtra: what it runs on is not installed.
        UsageError: it cannot be read.
    """
    import transformers

    try:
        with _quietly():
            auto = getattr(transformers, kind)
            # Numbers must not depend on whether torchvision is installed.
            backend = {"backend": "pil"} if kind == "AutoImageProcessor" else {}
            return auto.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **backend)
    except ImportError as error:
        raise MissingExtra(f"the processor of {folder}", EXTRA) from error
    except Exception as error:
        what = "tokenizer" if kind == "AutoTokenizer" else "processor (preprocessor_config.json)"
        raise UsageError(f"{folder}: its {what} cannot be read: {first_line(error)}") from error


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep the library from printing progress and advice."""
    from transformers.utils import logging

    level, has_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if has_bar:
            logging.enable_progress_bar()


_SINGLE = ("model.safetensors", "pytorch_model.bin")


def weights_files(folder: Path) -> list[Path]:
    """Return the files of a model's weights: safetensors where there are some; a part may be missing."""
    for name in _SINGLE:
        if (folder / name).is_file():
            return [folder / name]
        index = folder / f"{name}.index.json"
        if index.is_file():
            try:
                with index.open("rb") as file:
                    parts = json.loads(file.read(_MOST_CONFIGURATION_BYTES))["weight_map"].values()
                return [index, *sorted({folder / Path(str(part)).name for part in parts})]
            except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                raise UsageError(f"{index}: cannot be read: {exception_text(error)}") from error
    return []


def require_weights(folder: Path) -> None:
    """Raise `UsageError` if a file of weights is missing, or is not one that safetensors can read."""
    files = weights_files(folder)
    if not files:
        raise UsageError(f"{folder}: no weights; needed: {' or '.join(_SINGLE)}, or the parts that their index names")
    if absent := [path.name for path in files if not path.is_file()]:
        raise UsageError(
            f"{folder}: {len(absent):,} of {len(files) - 1:,} files of weights are missing: {listed(absent)}"
        )
    for path in files:
        if path.suffix == ".safetensors":
            from safetensors import SafetensorError, safe_open

            try:
                with safe_open(path, framework="np"):
                    pass
            except (SafetensorError, OSError) as error:
                raise UsageError(f"{path}: not a complete file of safetensors: {first_line(error)}") from error


def _settings_files(folder: Path) -> list[Path]:
    """Return the files beside the weights that numbers may depend on."""
    endings = (".json", ".txt", ".model")
    return [path for path in folder.iterdir() if path.suffix in endings and path.is_file()]


def folder_digest(folder: Path, files: Iterable[Path]) -> str:
    """Return one digest of files in a folder, whatever their order."""
    lines = {f"{path.relative_to(folder).as_posix()}\0{sha256_file(path)}\n" for path in files}
    return sha256_bytes("".join(sorted(lines)).encode())
