"""A feature of a corpus, one vector for each sample, extracted from the sound or the pictures of its clip.

Each clip is read once and measured by itself, so that neither order nor workers change a number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, Unpack

import numpy as np
from numpy.typing import NDArray

from merbench.corpus import Corpus, Feature, add_feature
from merbench.corpus.clips import Clips, find_clips
from merbench.corpus.create import require_feature_name
from merbench.engine import Execution, require_engine, run
from merbench.errors import UnreadableMedia, UsageError, listed
from merbench.features.pictures import picture_vector
from merbench.features.sound import sound_vector
from merbench.media.reading import read_audio, read_video

Kind = Literal["audio", "video"]

_BATCH = 8
"""Clips that go to a worker together."""


@dataclass(frozen=True, eq=False)
class MediaFeature:
    """A feature that was extracted from clips."""

    corpus: Corpus  # the corpus that has it
    feature: Feature  # its vectors
    problems: Mapping[str, str]  # sample -> why it has none, of splits of which other samples have a clip
    without: Mapping[str, int]  # splits of which no sample has a clip, and how many samples they have


def add_media_feature(
    corpus: Corpus,
    name: str,
    kind: Kind,
    folders: Sequence[Path],
    *,
    replace: bool = False,
    progress: Callable[[int, int], None] | None = None,
    **execution: Unpack[Execution],
) -> MediaFeature:
    """Extract a feature from the clips of a corpus's samples, store it there, and return it.

    A sample that has no clip, several, or an unreadable one is a problem, and has no vector; a split of which no
    sample has a clip is left out. See `sound_vector` and `picture_vector` for what is measured.

    Args:
        corpus: the corpus; a column `media` of its samples contains their paths in the folders.
        name: name of the new feature.
        kind: `audio` or `video`.
        folders: of clips; the last one with a clip of a sample counts, so that corrupted clips may follow the clean
            ones, and a problem in it is a problem of the sample.
        replace: whether an existing feature of this name is replaced.
        progress: called with the number of clips that are done, and of all.
        **execution: on which workers, and which engine: see `merbench.engine.run`.

    Raises:
        MissingExtra: PyAV, or what the measures need, is not installed.
        UsageError: the folder or engine does not exist; no sample has a clip, or none that can be read; the feature
            already exists.
        InvalidCorpus: not a name of a feature.
    """
    require_feature_name(corpus, name, replace=replace)
    require_engine(execution.get("engine", "local"))
    samples = corpus.samples()
    splits: dict[str, str] = dict(zip(*(samples[column].to_pylist() for column in ("sample_id", "split")), strict=True))
    clips = find_clips(samples, folders)
    if not clips.paths and not clips.several:
        places = listed([str(folder) for folder in folders])
        raise UsageError(f"{places}: no clip belongs to a sample of corpus '{corpus.name}'")
    problems, without = _missing(clips, splits)

    vectors: dict[str, NDArray[np.float32]] = {}
    shown = None if progress is None else lambda done: progress(done, len(clips.paths))
    with closing(
        run(partial(_vector, kind), clips.paths.items(), progress=shown, batch=_BATCH, **execution)
    ) as results:
        for done in results:
            if done.value is not None:
                vectors[done.name] = done.value
            else:
                problems[done.name] = done.problem(UnreadableMedia)
    if not vectors:
        first = min(problems)
        raise UsageError(f"corpus '{corpus.name}': no clip can be read: sample {first}: {problems[first]}")
    feature = Feature.from_vectors(list(vectors), np.stack(list(vectors.values())))
    written = add_feature(corpus, name, feature, replace=replace)
    return MediaFeature(written, feature, dict(sorted(problems.items())), without)


def _missing(clips: Clips, splits: Mapping[str, str]) -> tuple[dict[str, str], dict[str, int]]:
    """Return the samples without one clip in splits that have clips, and the sizes of the splits that have none."""
    with_clips = {splits[sample_id] for sample_id in (*clips.paths, *clips.several)}
    without = Counter(split for split in splits.values() if split not in with_clips)
    absent = [sample_id for sample_id in clips.missing if splits[sample_id] in with_clips]
    return {**clips.several, **dict.fromkeys(absent, "it has no clip")}, dict(sorted(without.items()))


def _vector(kind: Kind, path: Path) -> NDArray[np.float32]:
    return sound_vector(read_audio(path)) if kind == "audio" else picture_vector(read_video(path))
