"""Loads a baseline by name or folder: its declaration, and its code with options that are checked."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError, ValidationInfo, field_validator

from merbench.declarations import Declaration, declaration_problems
from merbench.errors import DeclarationError, Problem, UnknownName, UsageError, did_you_mean, listed
from merbench.files.paths import find_folder, list_folders
from merbench.files.reading import sha256_bytes, sha256_file
from merbench.files.toml import read_toml
from merbench.own_code import OwnCode, modules_by_extra
from merbench.parameters import declared, parameter_problems
from merbench.training.claim import KINDS, Claim, Place, Side
from merbench.training.plugin_errors import guarded
from merbench.training.protocol import Baseline, Setup
from merbench.training.tuning.search import Searched, Space

Options = Mapping[str, Any]


class TrackSettings(Declaration):
    """What a baseline does differently on one track: features (None takes all of the corpus) and options."""

    features: tuple[str, ...] | None = Field(default=None, min_length=1, strict=False)
    options: dict[str, Any] = Field(default={})


class Preset(Declaration):
    """How a baseline is run for a purpose, such as the protocol of its paper; options as in `defaults`."""

    about: str = ""  # one line that says what it is for
    seeds: tuple[int, ...] | None = Field(default=None, min_length=1, strict=False)
    folds: int | None = Field(default=None, ge=2)
    options: dict[str, Any] = Field(default={})
    pretraining: dict[str, Any] = Field(default={})  # options that differ from these where it is pre-trained
    extracts: dict[str, dict[str, Any]] = Field(default={})  # options of extractors that differ
    search: dict[str, Searched] = Field(default={})  # where `tune` searches options, instead of what is declared


class BaselineDeclaration(Declaration):
    """The content of `baseline.toml`."""

    title: str = Field(min_length=1)  # one line that names the system
    paper: str = ""  # where it is described
    extra: str | None = None  # the extra of merbench that brings what it imports
    # the types of target that it answers
    answers: tuple[str, ...] = Field(default=("categorical", "continuous"), min_length=1, strict=False)
    # types of target of which a track must have one; empty: any that it answers
    needs_target: tuple[str, ...] = Field(default=(), strict=False)
    uses_features: bool = True  # whether it reads any feature
    # extractors whose rows it reads, where no features are named, with the options that `pretrain` extracts them with,
    # `frame_rate_hz` among them; none: those of all extractors but pictures
    extracts: dict[str, dict[str, Any]] = Field(default={})
    fewest_features: int = Field(default=1, ge=1)  # of how many features it can be made
    most_features: int | None = Field(default=None, ge=1)
    # what it sees of a sample: one vector per feature, all rows of each (of the sequences that others were pooled from,
    # where the corpus has them), or also which dialogue the sample belongs to
    samples: Literal["vectors", "sequences", "dialogues"] = "vectors"
    uses_unlabelled: bool = False  # whether it learns from samples without references, too
    handles_missing: bool = False  # whether a sample may lack features
    handles_unknown: bool = False  # whether a sample may lack references of some targets
    learns_sets: bool = False  # whether the label of a sample may be a set of candidates
    # whether it draws the corruptions of its training features itself, for every epoch; else they are drawn once
    corrupts_per_epoch: bool = False
    # trainings that follow one another, such as a teacher and a student; empty where there is one
    stages: tuple[str, ...] = Field(default=(), strict=False)
    own_loop: bool = False  # whether its epochs are those of a loop of its own instead of those of `NetworkBaseline`
    # options that name another baseline, which it trains, each with the option that has the options of that baseline
    trains: dict[str, str] = Field(default={})
    # one of these options: the baseline reads and answers what the one that it names does, in place of what is declared
    like: str | None = None
    # options that name a file, or a folder of files, if there is one, which it reads
    reads_files: tuple[str, ...] = Field(default=(), strict=False)
    # columns of the corpus that it reads, such as the transcript
    columns: tuple[str, ...] = Field(default=(), strict=False)
    # further ones that it reads where the corpus has them, only of samples that it learns from, such as captions
    learned_columns: tuple[str, ...] = Field(default=(), strict=False)
    folds: int = Field(default=5, ge=2)
    uses_seed: bool = True  # whether another seed gives other answers; else claims and benchmarks train it once
    # seeds that it is run with by default; several give a mean and a deviation
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1, strict=False)
    defaults: dict[str, Any] = Field(default={})
    # options that differ where it is pre-trained without references by `merbench pretrain`; None: it cannot be
    pretraining: dict[str, Any] | None = None
    # options that cross-validation selects, one after the other, each from these values
    select: dict[str, Annotated[tuple[Any, ...], Field(strict=False)]] = Field(default={})
    presets: dict[str, Preset] = Field(default={})  # by name; `paper` is the protocol of the paper
    search: dict[str, Searched] = Field(default={})  # where `tune` searches options
    tracks: dict[str, TrackSettings] = Field(default={})  # settings by track id
    claims: tuple[Claim, ...] = Field(default=(), strict=False)  # what its paper claims; `merbench claims` checks it

    @property
    def reads(self) -> dict[str, bool]:
        """How samples are read for it: arguments of `feature_set` and `training_set`."""
        return {"dialogues": self.samples == "dialogues", "missing": self.handles_missing}

    @field_validator("most_features")
    @classmethod
    def _most_is_not_below_fewest(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None and value < info.data.get("fewest_features", 1):
            raise ValueError(f"is less than fewest_features, {info.data['fewest_features']}")
        return value

    @field_validator("like")
    @classmethod
    def _like_is_trained(cls, value: str | None, info: ValidationInfo) -> str | None:
        known = list(info.data.get("trains", {}))
        if value is not None and value not in known:
            raise ValueError(f"is not an option in `trains`; it has {listed(known)}{did_you_mean(value, known)}")
        return value

    @field_validator("extra")
    @classmethod
    def _extra_is_known(cls, value: str | None) -> str | None:
        known = list(modules_by_extra())
        if value is not None and value not in known:
            raise ValueError(f"is not an extra of merbench; allowed: {', '.join(known)}{did_you_mean(value, known)}")
        return value


_LIKE = (
    "answers",
    "needs_target",
    "uses_features",
    "fewest_features",
    "most_features",
    "samples",
    "columns",
    "learned_columns",
    "handles_unknown",
    "learns_sets",
    "corrupts_per_epoch",
    "folds",
    "uses_seed",
)
"""What a baseline that is like another one takes from it."""


@dataclass(frozen=True)
class LoadedBaseline:
    """A baseline: name of its folder, the folder, and the content of `baseline.toml` and `model.py`."""

    name: str
    folder: Path
    declaration: BaselineDeclaration
    module: ModuleType

    @property
    def code(self) -> OwnCode:
        """Its own code, which is blamed for the exceptions it raises."""
        return _own_code(self.folder, self.declaration)

    def files(self, *options: Options) -> dict[str, str]:
        """Return the SHA-256 of its files, and of those of other baselines: see `baseline_files`."""
        return baseline_files(self.folder, *options)

    def trained(self, options: Options) -> dict[str, tuple[LoadedBaseline, Options]]:
        """Return by option the other baselines that it trains, and those of their options that differ."""
        trains = self.declaration.trains
        return {name: (load_baseline(options[name]), options.get(own, {})) for name, own in trains.items()}

    def resolved(self, track_id: str, given: Options) -> LoadedBaseline:
        """Return the baseline with what another one declares, if it is `like` the one that an option names.

        It then takes the samples, features and targets that the other one does, and is trained as often.

        Raises:
            UnknownName: there is no such other baseline.
        """
        own = self.declaration
        settings = own.tracks.get(track_id, TrackSettings())
        named = {**own.defaults, **settings.options, **given}.get(own.like or "")
        if own.like is None or not isinstance(named, str):
            return self
        other = read_baseline(find_folder("baseline", named))
        features = {track: TrackSettings(features=each.features) for track, each in other.tracks.items()}
        taken = {name: getattr(other, name) for name in _LIKE} | {"tracks": {**features, **own.tracks}}
        return dataclasses.replace(self, declaration=own.model_copy(update=taken))

    def options(self, track_id: str, given: Options) -> dict[str, Any]:
        """Return the options for a track: the defaults, the track's, then those given.

        Options of another baseline that it trains are added to those it declares, unless another one is named.

        Raises:
            DeclarationError: an option is unknown, missing, or has a value of another type.
        """
        settings = self.declaration.tracks.get(track_id, TrackSettings())
        own = {**self.declaration.defaults, **settings.options}
        merged = {**own, **given}
        for name, of_other in self.declaration.trains.items():
            tables = own.get(of_other), given.get(of_other)
            if merged.get(name) == own.get(name) and all(isinstance(table, Mapping) for table in tables):
                merged[of_other] = {**own[of_other], **given[of_other]}
        self._checked(merged)
        return merged

    def preset(self, name: str | None) -> Preset:
        """Return a preset by its name; an empty one for None. Raises `UnknownName` for other names."""
        known = self.declaration.presets
        if name is not None and name not in known:
            raise UnknownName(f"preset of baseline '{self.name}'", name, known)
        return Preset() if name is None else known[name]

    def choices(self, track_id: str, given: Options) -> dict[str, tuple[Any, ...]]:
        """Return the options that cross-validation selects: those that neither the track nor the caller fixes."""
        settings = self.declaration.tracks.get(track_id, TrackSettings())
        fixed = {*settings.options, *given}
        return {name: values for name, values in self.declaration.select.items() if name not in fixed}

    def space(self, fixed: Options, preset: Preset, searched: Mapping[str, Any]) -> Space:
        """Return where options are searched: as a preset or the baseline declares, or as given instead.

        Args:
            fixed: options that are given; they are not searched.
            preset: a preset; its space, where it has one, takes the place of what the baseline declares.
            searched: by option, a list of values or a range, as in `[search]`.

        Raises:
            DeclarationError: an option is unknown, or would have a value of another type.
            UsageError: nothing is searched, or an option is both given and searched.
        """
        given = {name: _searched(name, value) for name, value in searched.items()}
        if both := [name for name in given if name in fixed]:
            raise UsageError(f"options {listed(both)} are both given and searched")
        declared = preset.search or self.declaration.search
        space = {name: item for name, item in {**declared, **given}.items() if name not in fixed}
        if not space:
            raise UsageError(
                f"baseline '{self.name}': no option is searched; declare [search] in baseline.toml, or give "
                "--search NAME=VALUES, such as dropout=[0.2, 0.5]"
            )
        options = {**self.declaration.defaults, **fixed}
        for name, item in space.items():
            for value in item.examples:
                self._checked({**options, name: value})
        return space

    def build(self, options: Options, setup: Setup) -> Baseline:
        """Return the baseline built from all of its options; it blames its own code, and its answers are checked.

        Raises:
            DeclarationError: an option is unknown, missing, or has a value of another type.
            UsageError: its code raised an exception, or `build` did not return a baseline, or one whose network is
                given other samples than `baseline.toml` says.
        """
        checked = self._checked(options)
        with self.code.blamed("failed in build"):
            built = self.module.build(checked, setup)
        networks = sys.modules.get("merbench.training.networks.network")  # torch is imported only by what uses it
        samples = self.declaration.samples
        if networks is not None and isinstance(built, networks.NetworkBaseline) and built.kind != samples:
            raise UsageError(
                f"{self.code.path}: build returned a network of {built.kind}; baseline.toml says samples = "
                f'"{samples}", and both must be the same'
            )
        return guarded(self.code, built)

    def _checked(self, options: Options) -> Any:
        """Return the options as the baseline's own dataclass."""
        kind, owner = self.module.Options, f"baseline '{self.name}'"
        with self.code.blamed("failed in Options"):
            messages = parameter_problems(owner, declared(kind, strict=False), options, noun="option")
            problems = [Problem("E207", message, column=name) for name, message in messages]
            if not problems:
                try:
                    return TypeAdapter(kind).validate_python(dict(options))
                except ValidationError as error:
                    problems = declaration_problems(error, lambda location: list(options))
        raise DeclarationError(owner, problems)


def baseline_files(folder: Path, *options: Options) -> dict[str, str]:
    """Return the SHA-256 of the files of a baseline by name, and of every other one that it trains with some options.

    Claims, on which no training depends, are left out of that of `baseline.toml`. No code is loaded.

    Args:
        folder: the folder of the baseline.
        options: all options that it is built with; several where they are selected.
    """
    digests = {
        "baseline.toml": _digest_without_claims(folder / "baseline.toml"),
        "model.py": sha256_file(folder / "model.py"),
    }
    declared = read_baseline(folder)
    for chosen in options:
        read = [Path(str(chosen[name])) for name in declared.reads_files if chosen.get(name)]
        digests |= {str(file): sha256_file(file) for path in read for file in _files_of(path)}
        for name, with_options in declared.trains.items():
            other = find_folder("baseline", chosen[name])
            others = {**read_baseline(other).defaults, **chosen.get(with_options, {})}
            files = baseline_files(other, others)
            digests |= {f"{other.resolve().name}/{file}": digest for file, digest in files.items()}
    return digests


def _files_of(path: Path) -> list[Path]:
    return sorted(filter(Path.is_file, path.iterdir())) if path.is_dir() else [path] if path.is_file() else []


def _digest_without_claims(path: Path) -> str:
    content = read_toml(path)
    if content.pop("claims", None) is None:
        return sha256_file(path)
    return sha256_bytes(json.dumps(content, sort_keys=True, default=str).encode())


def _searched(name: str, value: Any) -> Searched:
    if isinstance(value, Searched):
        return value
    try:
        return Searched.model_validate(value)
    except ValidationError as error:
        problems = declaration_problems(error, lambda _: list(Searched.model_fields))
        raise DeclarationError(f"search of '{name}'", problems) from error


def list_baselines() -> list[tuple[str, BaselineDeclaration]]:
    """Return name and declaration of every baseline that has a name, sorted; no code is loaded."""
    return [(folder.name, read_baseline(folder)) for folder in list_folders("baseline")]


def read_baseline(folder: Path) -> BaselineDeclaration:
    """Return the declaration in a baseline's folder; raise `DeclarationError` with all of its problems."""
    path = folder / "baseline.toml"
    try:
        return BaselineDeclaration.model_validate(read_toml(path))
    except ValidationError as error:
        raise DeclarationError(str(path), declaration_problems(error, _allowed_keys, union="claims")) from error


def _allowed_keys(location: Sequence[int | str]) -> Sequence[str]:
    tables: dict[int | str, type[Declaration]] = {"tracks": TrackSettings, "presets": Preset}
    if location[:1] == ("claims",):
        parts: dict[int | str, type[Declaration]] = {"on": Place, "system": Side, "control": Side}
        return list(parts.get((*location[3:4], "")[0], KINDS[str(location[2])]).model_fields)
    is_searched = "search" in location[:3:2]  # search.NAME, presets.NAME.search.NAME
    table = Searched if is_searched else tables.get(location[0] if location else "", BaselineDeclaration)
    return list(table.model_fields)


def load_baseline(name_or_path: str | Path) -> LoadedBaseline:
    """Return the baseline of a name or a folder, with its code loaded from `model.py`.

    Raises:
        UnknownName: no such baseline.
        DeclarationError: its `baseline.toml` has problems; all of them are listed.
        MissingExtra: it imports a package that is not installed and that an extra brings.
        UsageError: its `model.py` cannot be loaded, or does not define `Options` and `build`.
    """
    folder = find_folder("baseline", name_or_path)
    name, path = folder.resolve().name, folder / "model.py"
    declaration = read_baseline(folder)
    if not path.is_file():
        raise UsageError(f"{path}: the file does not exist; a baseline is a baseline.toml and a model.py")
    module = _own_code(folder, declaration).module(f"merbench_baseline_{name.replace('-', '_')}")
    if not (dataclasses.is_dataclass(getattr(module, "Options", None)) and callable(getattr(module, "build", None))):
        raise UsageError(f"{path}: a baseline defines a dataclass Options and a function build")
    known = [field.name for field in dataclasses.fields(module.Options)]
    if unknown := [item for pair in declaration.trains.items() for item in pair if item not in known]:
        hint = f"it has {listed(known)}{did_you_mean(unknown[0], known)}"
        raise UsageError(f"{folder / 'baseline.toml'}: trains: {listed(unknown)} is not an option of it; {hint}")
    return LoadedBaseline(name, folder, declaration, module)


def _own_code(folder: Path, declaration: BaselineDeclaration) -> OwnCode:
    return OwnCode(f"baseline '{folder.resolve().name}'", folder / "model.py", declaration.extra)
