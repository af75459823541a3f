"""Networks that are pre-trained without references, and fine-tuned as a baseline: their weights, stored or released.

Conventions:
    A network that answers and one that is pre-trained have an `encoder` each, whose parameters have the same names and
    shapes. A network that is pre-trained returns no outputs, and its losses, as `learner.py` has it. Stored weights are
    a safetensors file with all parameters of the pre-trained network; only those of the encoder are fine-tuned.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import pickle
import struct
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from merbench.corpus.candidates import ids_digest
from merbench.devices import deterministic
from merbench.errors import MalformedFile, UsageError, fault, listed
from merbench.files.tensors import MOST_MODEL_BYTES, read_tensors
from merbench.track import Track
from merbench.training.networks.batches import Data
from merbench.training.networks.checkpoints import Checkpoint, features_digest
from merbench.training.networks.layers import generator, seed_of
from merbench.training.networks.learner import Learner, Material, array
from merbench.training.networks.loop import train as trained
from merbench.training.networks.losses import Objective
from merbench.training.networks.network import Make, NetworkBaseline, Shape
from merbench.training.networks.optimisation import Group
from merbench.training.networks.order import Order
from merbench.training.networks.video import VideoOptions, with_own_losses
from merbench.training.protocol import CrossFit, Setup
from merbench.training.samples import FeatureSet, TrainingSet

PRETRAINED = "pretrained.safetensors"
"""The file of weights in a folder that `merbench pretrain` wrote."""

SCHEMA = "merbench.pretrained/1"

ENCODER = "encoder."

_TORCH = (".pth", ".pt", ".bin")
_STATES = ("model", "module", "state_dict")
"""Under which of these names a released file has its weights, if not at the top."""

_BROKEN = (
    *(pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, AttributeError, TypeError),
    *(AssertionError, MemoryError, OverflowError, struct.error),
)
"""What torch raises for files that are not its own, or are cut off."""

Keys = Mapping[str, Sequence[str]]
"""By parameter of an encoder, the names of the released arrays that it consists of, one after the other."""


@dataclass(frozen=True)
class Released:
    """How released weights become those of an encoder.

    Attributes:
        keys: the names of arrays, by parameter of the encoder.
        ignored: what names of arrays begin with that the encoder does not have, such as those of a decoder.
    """

    keys: Keys
    ignored: tuple[str, ...]

    def prefixed(self, prefix: str) -> Released:
        """Return the same for files whose names of the encoder's arrays begin with a prefix."""
        keys = {name: [f"{prefix}{source}" for source in sources] for name, sources in self.keys.items()}
        return replace(self, keys=keys, ignored=(*self.ignored, *(f"{prefix}{start}" for start in self.ignored)))

    def fitting(self, given: Mapping[str, Tensor]) -> Released:
        """Return the same for the names of a file: those of an encoder alone, or of what is after `encoder.`."""
        first = next(iter(self.keys.values()))[0]
        return self.prefixed(ENCODER) if first not in given and f"{ENCODER}{first}" in given else self


def named(own: str, released: str) -> dict[str, list[str]]:
    """Return where weights and biases of a layer are."""
    return {f"{own}.{name}": [f"{released}.{name}"] for name in ("weight", "bias")}


def attention_keys(own: str, released: str, *, inputs: Sequence[str]) -> dict[str, list[str]]:
    """Return where the parameters of an attention are, whose queries, keys and values come from some layers."""
    return {
        f"{own}.inputs.weight": [f"{released}.{name}.weight" for name in inputs],
        f"{own}.query_bias": [f"{released}.q_bias"],
        f"{own}.value_bias": [f"{released}.v_bias"],
        **named(f"{own}.output", f"{released}.proj"),
    }


BLOCK: Keys = {
    **named("before_attention", "norm1"),
    **attention_keys("attention", "attn", inputs=["qkv"]),
    **named("before_units", "norm2"),
    **named("units.0", "mlp.fc1"),
    **named("units.2", "mlp.fc2"),
}
"""Where the parameters of a block of `video.py` are."""

CROSS_BLOCK: Keys = {
    **BLOCK,
    **named("before_crossing", "cross_norm1"),
    **named("before_context", "cross_norm2"),
    **attention_keys("crossing", "cross_attn", inputs=["q", "kv"]),
}
"""The same of a block that attends to a context first."""

EMBEDDING: Keys = named("layer", "patch_embed.proj")

NOT_OF_ENCODER = ("norm.", "fc_norm.", "head.", "decoder.", "encoder_to_decoder.", "mask_token")
"""What names of released arrays begin with that are not fine-tuned, or made anew."""


def under(own: str, released: str, keys: Keys) -> dict[str, list[str]]:
    """Return keys with what names begin with."""
    return {f"{own}{name}": [f"{released}{source}" for source in sources] for name, sources in keys.items()}


def weights_file(path: Path) -> Path:
    """Return the file of weights that a path names: itself, or the one in the folder.

    Raises:
        UsageError: there is none, or several.
    """
    if path.is_file():
        return path
    if not path.is_dir():
        raise UsageError(f"pretrained: {path} does not exist; `merbench pretrain` writes a folder of weights")
    if (path / PRETRAINED).is_file():
        return path / PRETRAINED
    files = sorted(file for file in path.iterdir() if file.suffix in (".safetensors", *_TORCH))
    if len(files) != 1:
        names = listed([file.name for file in files]) or "none"
        raise UsageError(f"pretrained: {path} needs one file of weights, {PRETRAINED} or another one; it has {names}")
    return files[0]


def read_weights(path: Path) -> tuple[dict[str, Tensor], bool]:
    """Return the arrays of a file by name, and whether `merbench pretrain` wrote it. Nothing in it is executed.

    Raises:
        UsageError: it is not a file of weights.
    """
    file = weights_file(path)
    try:
        if file.stat().st_size > MOST_MODEL_BYTES:
            raise MalformedFile(f"it is larger than {MOST_MODEL_BYTES:,} bytes")
        if file.suffix in _TORCH:
            return _torch_weights(file), False
        try:
            arrays, metadata = read_tensors(file)
        except MalformedFile:
            return _safetensors(file), False
        return {name: torch.from_numpy(np.array(values)) for name, values in arrays.items()}, (
            metadata.get("schema") == SCHEMA
        )
    except (MalformedFile, OSError) as error:
        raise UsageError(f"pretrained: {file}: not a file of weights: {fault(error)}") from error


def _safetensors(file: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except (SafetensorError, ValueError, KeyError) as error:
        raise MalformedFile(str(error)) from error


def _torch_weights(file: Path) -> dict[str, Tensor]:
    try:
        # Options of the training, a namespace, may be next to the weights.
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings(action="ignore"):
            content = torch.load(file, map_location="cpu", weights_only=True)
    except _BROKEN as error:
        raise MalformedFile(str(error).partition("\n")[0] or "cut off") from error
    for name in _STATES:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
            break
    tensors = {str(name): value for name, value in content.items()} if isinstance(content, Mapping) else {}
    if not tensors or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise MalformedFile(f"it has no table of arrays, at the top or under {listed(list(_STATES))}")
    return tensors


def encoder_weights(
    wanted: Mapping[str, Tensor], given: Mapping[str, Tensor], source: str, released: Released | None = None
) -> dict[str, Tensor]:
    """Return the weights of an encoder by the names that it has.

    Args:
        wanted: its own, of which only shapes are used.
        given: those of a file.
        source: the file, for messages.
        released: how released weights become its own; None: they have its names, after `encoder.`.

    Raises:
        UsageError: weights are missing, have another shape, or are not those of the encoder; all are listed.
    """
    if released is None:
        keys: Keys = {name: [f"{ENCODER}{name}"] for name in wanted}
        extra = [name for name in given if name.startswith(ENCODER) and name.removeprefix(ENCODER) not in wanted]
    else:
        keys = released.keys
        used = {name for names in keys.values() for name in names}
        extra = [name for name in given if name not in used and not name.startswith(released.ignored)]
    missing = [name for names in keys.values() for name in names if name not in given]
    shapes, weights = list[str](), dict[str, Tensor]()
    for own, names in keys.items():
        if any(name not in given for name in names):
            continue
        parts = [given[name] for name in names]
        if len(parts) > 1 and (len({part.shape[1:] for part in parts}) > 1 or any(part.ndim < 1 for part in parts)):
            shapes.append(f"{' + '.join(names)} {' + '.join(str(tuple(part.shape)) for part in parts)}")
            continue
        joined = parts[0] if len(parts) == 1 else torch.cat(parts)
        if joined.shape != wanted[own].shape:
            shapes.append(f"{' + '.join(names)} {tuple(joined.shape)}, not {tuple(wanted[own].shape)}")
        weights[own] = joined.float()
    problems = {"missing": missing, "of another shape": shapes, "not known": extra}
    if any(problems.values()):
        total = len({*missing, *given})
        raise UsageError(
            f"pretrained: {source} does not have the weights of this network",
            *(f"  {len(names)} of {total} {what}: {', '.join(names)}" for what, names in problems.items() if names),
            "  the options, such as width, heads and layers, and the size of the crops must be those of pre-training",
        )
    return weights


@dataclass(frozen=True, eq=False, slots=True)
class Pretrained:
    """What pre-training resulted in.

    Attributes:
        weights: parameters of the network, by name.
        n_samples: how many samples were learned from.
        left_out: those that lack a feature, such as clips without a face.
        notes: what should be known besides.
    """

    weights: Mapping[str, NDArray[Any]]
    n_samples: int
    left_out: tuple[str, ...]
    notes: tuple[str, ...]


class PretrainedBaseline(NetworkBaseline):
    """A network per fold that may begin from pre-trained weights, and what pre-trains one.

    Args:
        make: makes the network that answers; it has `encoder`, and `depths()`, which returns for every depth what names
            of parameters begin with, from the input on. Its `views` is set to the number that the track asks for.
        make_pretraining: makes the network that is pre-trained.
        options: the options; their `pretrained` names the weights.
        setup: as for every network.
        released: how released weights become those of an encoder, given all of its parameters' names.
    """

    def __init__(
        self,
        make: Make,
        make_pretraining: Make,
        options: VideoOptions,
        setup: Setup,
        released: Released | None = None,
    ) -> None:
        super().__init__(make, options, setup, kind="sequences")
        self.make_pretraining, self.options, self.released = make_pretraining, options, released
        self._initial: dict[str, Tensor] | None = None

    def fit_folds(self, train: TrainingSet) -> CrossFit:
        """Train one network per division of the training set, each from the pre-trained weights, if there are some."""
        self.schedule = with_own_losses(self.options, {name: None for name in train.track.targets})
        self._begin = True
        try:
            return super().fit_folds(train)
        finally:
            self._begin = False

    _begin = False

    def _make_networks(
        self, widths: Mapping[str, int], track: Track, n_folds: int, modalities: Mapping[str, str] | None = None
    ) -> list[torch.Generator]:
        noise = super()._make_networks(widths, track, n_folds, modalities)
        for network in self.networks:
            network.views = track.submission.views or 1  # type: ignore[assignment]
        if self._begin:
            self._load(self.networks)
        return noise

    def _load(self, networks: Sequence[nn.Module]) -> None:
        """Give encoders the weights that the options name; nothing, where these are empty."""
        if not self.options.pretrained:
            return
        path = Path(self.options.pretrained).expanduser()
        given, is_own = read_weights(path)
        encoder: Any = networks[0].encoder
        if not is_own and self.released is None:
            raise UsageError(f"pretrained: {path} was not written by `merbench pretrain`")
        released = None if is_own or self.released is None else self.released.fitting(given)
        weights = encoder_weights(encoder.state_dict(), given, str(path), released)
        for network in networks:
            own: Any = network.encoder
            own.load_state_dict(weights)

    def _learner(self, network: nn.Module, material: Material, seed: int, noise: Sequence[torch.Generator]) -> Learner:
        groups = tuple(depth_groups(network, self.options.layer_decay)) if self.options.layer_decay < 1 else ()
        schedule = replace(self.schedule, groups=(*self.schedule.groups, *groups))
        return Learner(network, material, schedule, layered=False, seed=seed, noise=noise)

    def pretrain(self, samples: FeatureSet) -> Pretrained:
        """Train a network on samples without their references; a training that was interrupted goes on.

        Raises:
            UsageError: no sample has all features; the loss is no longer finite, or memory is used up.
        """
        seed, device = self.setup.seed, self.device
        has_all = np.logical_and.reduce([part.present for part in samples.sequences.values()])
        rows = np.flatnonzero(has_all)
        if not len(rows):
            raise UsageError(f"none of the {len(samples):,} samples has {listed(list(samples.sequences))}")
        with torch.random.fork_rng([]):
            torch.manual_seed(seed_of(seed, "pretraining"))
            rngs, noise = [generator("cpu", seed, "pretraining")], generator(device, seed, "pretraining")
            shape = Shape(samples.widths, {}, rngs, noise, samples.modalities)
            network = self.make_pretraining(shape).to(device)
        self._load([network])
        data = Data(samples, "sequences", device)
        order = Order([data.units(rows, learned=True)], self.options.batch_size, [generator("cpu", seed, "shuffle")])
        material = Material(data, order, Objective({}, {}, {}, {}))
        schedule = replace(self.options, keep="last", losses={})
        learner = Learner(network, material, schedule, layered=False, seed=seed_of(seed, "masks"))
        with deterministic(device):
            trained(
                [learner],
                [np.empty(0, dtype=np.int64)],
                value=lambda rows, outputs: (math.nan,),
                setup=self.setup,
                checkpoint=self._pretraining_checkpoint(samples, rows, network),
            )
        left_out = [str(name) for name in samples.ids.take(np.flatnonzero(~has_all)).to_pylist()]
        weights = {name: array(tensor) for name, tensor in network.state_dict().items()}
        return Pretrained(weights, len(rows), tuple(left_out), tuple(learner.notes))

    def _pretraining_checkpoint(
        self, samples: FeatureSet, rows: NDArray[np.int64], network: nn.Module
    ) -> Checkpoint | None:
        if self.setup.state is None:
            return None
        initial = hashlib.sha256()
        for name, part in network.state_dict().items():
            initial.update(name.encode() + array(part).tobytes())
        options = {name: value for name, value in asdict(self.options).items() if name != "pretrained"}
        signature = {
            "samples": ids_digest(samples.ids),
            "rows": hashlib.sha256(rows.tobytes()).hexdigest(),
            "features": features_digest(samples),
            "seed": self.setup.seed,
            "options": _plain(options),
            "network": initial.hexdigest(),
            "device": self.device.type,
            "torch": torch.__version__,
        }
        return Checkpoint(self.setup.state, signature)


def _plain(value: Any) -> Any:
    """Return a value as JSON reads it."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def depth_groups(network: nn.Module, decay: float) -> Iterator[Group]:
    """Yield the factors of the learning rate: the last block has `decay` of it, each one before `decay` of the next."""
    own: Any = network
    depths = own.depths()
    for n, prefixes in enumerate(depths):
        yield from (Group(prefix, learning_rate=decay ** (len(depths) - n)) for prefix in prefixes)
