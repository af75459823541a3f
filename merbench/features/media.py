"""Folders of clips go in, one vector for each sample of a corpus comes out, of its sound or of its pictures.

Each clip is read once and measured alone, so that neither order nor workers change a number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from merbench.corpus import Corpus, Feature, add_feature
from merbench.corpus.create import require_feature_name
from merbench.engine import WorkerDied, require_engine, run
from merbench.errors import MerbenchError, UnreadableMedia, UsageError, contained, listed
from merbench.features.pictures import picture_vector
from merbench.features.sound import sound_vector
from merbench.media.finding import find_clips
from merbench.media.reading import read_audio, read_video

Kind = Literal["audio", "video"]

_BATCH = 8
"""Clips that go to a worker together."""


@dataclass(frozen=True, eq=False)
class MediaFeature:
    """A feature that was made of clips.

    Attributes:
        corpus: the corpus that has it.
        feature: its vectors.
        problems: sample -> why it has none, of splits of which other samples have a clip.
        without: splits of which no sample has a clip, and how many samples they have.
    """

    corpus: Corpus
    feature: Feature
    problems: Mapping[str, str]
    without: Mapping[str, int]


def add_media_feature(  # noqa: PLR0913
    corpus: Corpus,
    name: str,
    kind: Kind,
    folders: Sequence[Path],
    *,
    workers: int = 1,
    engine: str = "local",
    replace: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> MediaFeature:
    """Make a feature of the clips of a corpus's samples, store it there, and return what was made.

    A sample that has no clip, several, or one that cannot be read is a problem, and has no vector; a split of which
    no sample has a clip is left out as a whole. See `sound_vector` and `picture_vector` for what is measured.

    Args:
        corpus: the corpus; where its samples have a column `media`, it says their paths in the folders.
        name: name of the new feature.
        kind: `audio` or `video`.
        folders: of clips; where several have a sample's clip, the last one's is taken, so that damaged clips may
            follow the clean ones, and a problem of the last one's is a problem of the sample.
        workers: local processes.
        engine: `local`, or `dask://host:port`.
        replace: whether a feature of this name may be there already.
        progress: called with how many clips are done, and of how many.

    Raises:
        MissingExtra: PyAV, or what the measures need, is not installed.
        UsageError: no such folder or engine; no clip of any sample, or none that can be read; the name is taken.
        InvalidCorpus: the name is none that a feature may have.
    """
    require_feature_name(corpus, name, replace=replace)
    require_engine(engine)
    samples = corpus.samples()
    splits: dict[str, str] = dict(zip(*(samples[column].to_pylist() for column in ("sample_id", "split")), strict=True))
    clips = find_clips(samples, folders)
    problems = dict(clips.several)
    if not clips.paths and not problems:
        places = listed([str(folder) for folder in folders])
        raise UsageError(f"{places}: no clip belongs to a sample of corpus '{corpus.name}'")
    with_clips = {splits[sample_id] for sample_id in (*clips.paths, *problems)}
    without = Counter(split for split in splits.values() if split not in with_clips)
    absent = [sample_id for sample_id in clips.missing if splits[sample_id] in with_clips]
    problems |= dict.fromkeys(absent, "there is no clip of it")

    vectors: dict[str, NDArray[np.float32]] = {}
    shown = None if progress is None else partial(_show, progress, len(clips.paths))
    measure, units = partial(_vector, kind), clips.paths.items()
    with closing(run(measure, units, workers=workers, engine=engine, progress=shown, batch=_BATCH)) as results:
        for done in results:
            if done.value is not None:
                vectors[done.name] = done.value
            else:
                problems[done.name] = _reason(done.error)
    if not vectors:
        first = min(problems)
        raise UsageError(f"corpus '{corpus.name}': no clip can be read: sample {first}: {problems[first]}")
    feature = Feature.from_vectors(list(vectors), np.stack(list(vectors.values())))
    written = add_feature(corpus, name, feature, replace=replace)
    return MediaFeature(written, feature, dict(sorted(problems.items())), dict(sorted(without.items())))


def _show(progress: Callable[[int, int], None], total: int, done: int) -> None:
    progress(done, total)


def _vector(kind: Kind, path: Path) -> NDArray[np.float32]:
    return sound_vector(read_audio(path)) if kind == "audio" else picture_vector(read_video(path))


def _reason(error: BaseException | None) -> str:
    """Return why a clip has no vector; raise an error that the next clip would meet, too."""
    match error:
        case UnreadableMedia():
            return str(error)
        case WorkerDied():
            return error.reason
        case Exception() if not isinstance(error, MerbenchError):
            return contained(error)
        case BaseException():
            raise error
    raise AssertionError("a unit without a value has an error")
