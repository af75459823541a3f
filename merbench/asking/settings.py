"""How a language model is asked: what an experiment is, and what follows from it for each sample."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from merbench.asking.media import KINDS, ClipPart, Kind
from merbench.asking.requests import Prompt, Sample
from merbench.asking.template import Template, templates_of
from merbench.corpus.candidates import Candidates, open_candidates
from merbench.corpus.clips import find_clips
from merbench.errors import UsageError, did_you_mean, listed
from merbench.features.extractor import EXTRACTORS
from merbench.features.weights import weights_folder
from merbench.files.reading import sha256_file
from merbench.language_models import Reply
from merbench.targets import Target

TRANSCRIPT = "transcript"

SEND = ("text", *KINDS)
"""What can be sent of a sample."""

FACES = "face-boxes"
"""An extractor whose weights find faces."""


class Model(Protocol):
    """A language model that is asked; `Endpoint` and `LocalModel` are."""

    @property
    def model(self) -> str:
        """Its name."""

    @property
    def source(self) -> str:
        """Where it runs, in words."""

    @property
    def parallel(self) -> int:
        """How many requests it may be given at once."""

    def reply(self, request: Mapping[str, Any], /) -> Reply:
        """Return the reply to a request; see `Endpoint.reply`."""

    def stop(self) -> None:
        """Take no further request."""


@dataclass(frozen=True)
class How:
    """How a language model is asked; all that requests depend on but the model."""

    split: str = "test"  # of the track
    protocols: Sequence[str] = ()  # names or files; targets of other forms of answer are asked by the default of theirs
    media: Sequence[Path] = ()  # folders of clips; later ones are preferred
    # what is sent of a sample, of `SEND`; None: the transcript where the corpus has one, frames where there are clips,
    # and sound, where the track has some and a probe request with it succeeds
    send: Sequence[str] | None = None
    column: str = TRANSCRIPT  # of the transcript
    frames: int | None = None  # how many frames or faces; None: as the protocol declares
    longest_side: int = 512  # of a picture, in pixels
    n_examples: int = 0  # how many samples of the training split are shown with what is right
    example_seed: int = 0
    batch: int | None = None  # how many samples a request has; None: as the protocol declares
    batch_seed: int = 0  # of the order in which samples are put together
    order_seed: int | None = None  # permutes the candidates; None: as the track declares them
    paraphrase: int = 0  # which text of every step
    repeat: int = 0  # the same is asked again under another number
    attempts: int = 3  # how often the same is asked for an answer that can be read
    released: bool = True  # whether answers are read as the released evaluations do; see `read_answer`
    settings: Mapping[str, Any] = field(default_factory=dict)  # of requests, in place of those of the protocol
    mixed_models: bool = False  # whether replies may state different models
    unanswered: Mapping[str, str] = field(default_factory=dict)  # target -> the cell of samples without an answer

    def __post_init__(self) -> None:
        unknown = [kind for kind in self.send or () if kind not in SEND]
        if unknown:
            near = did_you_mean(unknown[0], SEND)
            raise UsageError(f"'{unknown[0]}' cannot be sent of a sample; allowed: {', '.join(SEND)}{near}")
        if self.send is not None and not self.send:
            raise UsageError("nothing is sent of a sample")
        if set(self.send or ()) & set(KINDS) and not self.media:
            raise UsageError(f"{listed([kind for kind in self.send or () if kind in KINDS])}: --media names the clips")


class Material:
    """The samples of a split as they are sent.

    Args:
        candidates: the samples.
        how: how they are asked about.

    Raises:
        UsageError: there is nothing to send; a column or a folder does not exist, or weights are not installed.
    """

    def __init__(self, candidates: Candidates, how: How) -> None:
        self.candidates = candidates
        self._how = how
        self.ids: list[str] = candidates.ids.to_pylist()
        columns = candidates.samples.column_names
        has_text = how.column in columns
        if not has_text and ("text" in (how.send or ()) or how.column != TRANSCRIPT):
            raise UsageError(
                f"corpus '{candidates.corpus.name}' has no column '{how.column}'; it has {listed(columns, 12)}"
                f"{did_you_mean(how.column, columns)}"
            )
        by_default = [*(["text"] if has_text else []), *(["frames"] if how.media else [])]
        self.send: list[str] = list(dict.fromkeys(by_default if how.send is None else how.send))
        if not self.send:
            raise UsageError(
                f"corpus '{candidates.corpus.name}' has no column '{how.column}': name another one (--column), or a "
                "folder of clips (--media)"
            )
        if "faces" in self.send:
            weights_folder(EXTRACTORS[FACES])
        self._texts = candidates.samples[how.column].fill_null("").to_pylist() if "text" in self.send else None
        pairs = [candidates.samples[name].to_pylist() for name in ("a1", "a2") if name in columns]
        self._pairs: list[tuple[str, str]] | None = list(zip(*pairs, strict=True)) if len(pairs) == 2 else None
        clips = find_clips(candidates.samples, list(how.media)) if how.media else None
        self._paths: Mapping[str, Path] = clips.paths if clips else {}
        self.without: dict[str, str] = {}  # samples whose clip cannot be sent -> why
        if clips and self.kinds:
            self.without = {**dict.fromkeys(clips.missing, "no clip"), **clips.several}
            if len(self.without) == len(self.ids):
                raise UsageError(
                    f"no sample of split '{candidates.split}' has a clip in {listed(list(map(str, how.media)))}"
                )
        self._digests: dict[Path, str] = {}

    @property
    def kinds(self) -> list[Kind]:
        """What is sent of clips."""
        return [kind for kind in KINDS if kind in self.send]

    def path(self, place: int) -> Path | None:
        """Return the clip of a sample."""
        return self._paths.get(self.ids[place])

    def sample(self, place: int, n_frames: int) -> Sample:
        """Return a sample as it is sent; clips are identified by their files, which are read once."""
        path, kinds = self.path(place), self.kinds
        if path is not None and kinds and path not in self._digests:
            self._digests[path] = sha256_file(path)
        clip = [ClipPart(kind, path, self._digests[path], n_frames, self._how.longest_side) for kind in kinds if path]
        return Sample(
            self.ids[place],
            None if self._texts is None else self._texts[place],
            tuple(clip),
            None if self._pairs is None else self._pairs[place],
        )


@dataclass(frozen=True)
class Asked:
    """One target as it is asked about: its prompt, and how many samples are asked about at once."""

    prompt: Prompt
    batch: int
    n_frames: int
    example_ids: tuple[str, ...] = ()


def prompts(material: Material, how: How) -> list[Asked]:
    """Return how every target of the track is asked about.

    Raises:
        UsageError: a model cannot be asked for a target; the protocol does not fit; there are no examples.
    """
    track = material.candidates.track
    unknown = [name for name in how.unanswered if name not in track.targets]
    if unknown:
        raise UsageError(f"{track.id} has no target '{unknown[0]}'; it has {listed(list(track.targets))}")
    templates = templates_of(track.targets, how.protocols)
    examples = Material(open_candidates(track, "train"), how) if how.n_examples else None
    if examples is not None:
        examples.send = material.send
    return [
        _asked(name, track.targets[name], template, material, how, examples) for name, template in templates.items()
    ]


def _asked(
    name: str, target: Target, template: Template, material: Material, how: How, examples: Material | None
) -> Asked:
    protocol = template.protocol
    n_texts = min(len(step.texts) for step in protocol.steps)
    if not 0 <= how.paraphrase < n_texts:
        raise UsageError(f"protocol '{template.name}' has texts 0 to {n_texts - 1}, not {how.paraphrase}")
    if target.answer_form == "choice" and {"a1", "a2"} - set(material.candidates.samples.column_names):
        raise UsageError(f"corpus '{material.candidates.corpus.name}' has no columns a1 and a2, which are compared")
    n_frames = how.frames or protocol.frames
    sizes, pictures = protocol.batch, {"frames", "faces", "video"} & set(material.send)
    declared = sizes.text if not pictures else sizes.pictures_and_text if "text" in material.send else sizes.pictures
    batch = how.batch or declared
    if batch > 1 and not protocol.steps[0].form_of_several:
        raise UsageError(f"protocol '{template.name}' asks about one sample at a time")
    shown = () if examples is None else _examples(name, target, examples, n_frames, how)
    prompt = Prompt(name, target, template, how.paraphrase, how.order_seed, shown)
    return Asked(prompt, batch, n_frames, tuple(sample.id for sample, _ in shown))


def _examples(name: str, target: Target, material: Material, n_frames: int, how: How) -> tuple[tuple[Sample, str], ...]:
    """Return samples of the training split with what is right of them, by the order of a digest of seed and id.

    Raises:
        UsageError: there are not so many.
    """
    if target.answer_form == "description":
        raise UsageError(f"target '{name}' ({target.type}): its references are words, and no examples of descriptions")
    references = material.candidates.references
    known = references.known.get(name, np.ones(len(references), dtype=np.bool_))
    rows = np.flatnonzero(known)
    texts = [_written(value) for value in target.shown(references.values[name][rows]).to_pylist()]
    places = references.index[rows].tolist()
    by_digest = sorted(
        (place for place in range(len(places)) if material.ids[places[place]] not in material.without),
        key=lambda place: hashlib.sha256(f"{how.example_seed} {material.ids[places[place]]}".encode()).digest(),
    )
    if len(by_digest) < how.n_examples:
        raise UsageError(f"{how.n_examples} examples are asked for; the training split has {len(by_digest):,}")
    return tuple((material.sample(places[each], n_frames), texts[each]) for each in by_digest[: how.n_examples])


def _written(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
