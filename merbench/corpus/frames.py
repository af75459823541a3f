"""A corpus of frames: every frame of the clips of a corpus becomes a sample, with the references of its clip.

Conventions:
    As in `feature.py`. The frames are those of one feature, such as the faces of each picture; other features are
    brought to their times.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from merbench.corpus.contents import Contents
from merbench.corpus.create import write_corpus
from merbench.corpus.declaration import ID, Metadata
from merbench.corpus.feature import Feature
from merbench.corpus.folder import Corpus
from merbench.errors import UsageError, listed

_NOT_OF_FRAMES = ("dialogue", "position", "recording", "media")
"""Columns of clips that say something else of a frame, or nothing."""


def frame_corpus(folder: Path, corpus: Corpus, features: Sequence[str], name: str, *, replace: bool = False) -> Corpus:
    """Write the corpus of the frames of the clips of another one, and return it.

    A frame is the sample `<clip>/<number>`, numbered from 1, of the `recording` of its clip at the `position` of its
    number. It has the split, the references and the columns of its clip, but for its dialogue and its place there.
    References are repeated: they are about the clip, and were not made frame by frame. A feature loses the ending
    `.frames` of its name.

    Args:
        folder: where to write.
        corpus: the clips.
        features: names of features: the first has the frames; of others with times, a frame has the mean of the rows
            that are nearer to it than to other frames, or the nearest row; a vector of the clip is repeated.
        name: of the new corpus.
        replace: whether an existing corpus in `folder` is replaced.

    Raises:
        UnknownName: the corpus has no feature of a name.
        UsageError: a feature has no frames, or no times; two have the same name; the folder already exists.
    """
    names = [feature.removesuffix(".frames") for feature in features]
    if twice := sorted({one for one in names if names.count(one) > 1}):
        raise UsageError(f"features {listed(list(features))}: several would be called {listed(twice)}")
    opened = [corpus.feature(feature) for feature in features]
    frames = opened[0]
    without = [feature for feature, own in zip(features, opened, strict=True) if _lacks_times(own, own is frames)]
    if without:
        raise UsageError(
            f"corpus '{corpus.name}': {listed(without)}: frames need their times, and the first feature has to have "
            "frames; `merbench extract` stores them"
        )
    assert frames.offsets is not None
    counts = np.diff(frames.offsets)
    clips = frames.ids.take(pa.array(np.repeat(np.arange(len(counts)), counts)))
    numbers = np.arange(1, len(clips) + 1) - np.repeat(frames.offsets[:-1], counts)
    ids = [f"{clip}/{number:05d}" for clip, number in zip(clips.to_pylist(), numbers.tolist(), strict=True)]
    samples = _of_clips(corpus.samples(), clips, ids, _NOT_OF_FRAMES)
    samples = samples.append_column("recording", clips).append_column("position", pa.array(numbers))
    reference = corpus.reference()
    contents = Contents(
        samples,
        None if reference is None else _of_clips(reference, clips, ids, ()),
        {own: _at_frames(feature, frames, ids) for own, feature in zip(names, opened, strict=True)},
        {
            own: corpus.declaration.extracted[feature]
            for own, feature in zip(names, features, strict=True)
            if feature in corpus.declaration.extracted
        },
    )
    metadata = Metadata(
        name=name,
        version=corpus.version,
        source=f"frames of corpus '{corpus.name}' ({corpus.source}); references are those of their clips",
        licence=corpus.licence,
        language=corpus.language,
        synthetic=corpus.synthetic,
    )
    return write_corpus(folder, metadata, contents, replace=replace)


def _lacks_times(feature: Feature, is_first: bool) -> bool:
    return is_first if feature.offsets is None else feature.times is None


def _of_clips(table: pa.Table, clips: pa.StringArray, ids: Sequence[str], left_out: Sequence[str]) -> pa.Table:
    """Return the rows of clips, one for each of their frames, under the ids of the frames; those of no clip are not."""
    rows = pc.index_in(clips, value_set=table[ID].combine_chunks())
    known = rows.is_valid()
    columns = {ID: pa.array(ids).filter(known)}
    names = [name for name in table.column_names if name != ID and name not in left_out]
    taken = table.select(names).take(rows.filter(known))
    return pa.table({**columns, **{name: taken[name] for name in names}})


def _at_frames(feature: Feature, frames: Feature, ids: Sequence[str]) -> Feature:
    """Return a vector for every frame of the clips that have the feature."""
    if feature is frames:
        return Feature.from_vectors(ids, feature.values)
    assert frames.offsets is not None
    values, kept = list[NDArray[np.floating[Any]]](), list[str]()
    rows = pc.index_in(frames.ids, value_set=feature.ids).to_pylist()
    for row, start, end in zip(rows, frames.offsets[:-1].tolist(), frames.offsets[1:].tolist(), strict=True):
        if row is None:
            continue
        own = feature.of(row)
        if feature.offsets is None:
            values.append(np.repeat(own[None], end - start, axis=0))
        elif len(own):
            assert feature.times is not None and frames.times is not None
            times = feature.times[feature.offsets[row] : feature.offsets[row + 1]]
            values.append(means_at(frames.times[start:end], own, times))
        else:
            continue
        kept += ids[start:end]
    return Feature.from_vectors(kept, np.concatenate([np.empty((0, feature.width), np.float32), *values]))


def means_at(wanted: NDArray[np.float64], rows: NDArray[np.float32], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each time that is wanted the mean of the rows nearer to it than to others, or the nearest row.

    Args:
        wanted: `(L,)` seconds, which do not decrease.
        rows: `(m, d)`, at least one.
        times: `(m,)` seconds of the rows, which do not decrease.
    """
    nearest = np.searchsorted((wanted[:-1] + wanted[1:]) / 2, times)
    sums, counts = np.zeros((len(wanted), rows.shape[1])), np.bincount(nearest, minlength=len(wanted))
    np.add.at(sums, nearest, rows)
    means = sums / np.maximum(counts, 1)[:, None]
    for place in np.flatnonzero(counts == 0).tolist():
        means[place] = rows[np.abs(times - wanted[place]).argmin()]
    return np.asarray(means)
