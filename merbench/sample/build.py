"""The sample corpus: tables, open sets of words, and features corrupted as `mer-noise` declares.

Conventions:
    Rows are in the order of sample ids. Features are `(n, d)` int64 in units of 1/1024 until they are written as
    float32, which is exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from merbench.corpus import Contents, Corpus, Feature, Metadata, write_corpus
from merbench.corrupt.steps import corrupt
from merbench.corruptions.drawing import below, uniforms
from merbench.sample.scenes import (
    EMOTION_WORDS,
    EMOTIONS,
    INVENTED,
    NAMES,
    SHADES,
    VALENCE_MEAN,
    VOCABULARY,
    Scenes,
    scenes,
    stream,
)
from merbench.sample.vectors import VALUE_UNIT, vectors
from merbench.track import Track, load_track

Integers = NDArray[np.int64]

VERSION = "1.1"
"""Increases whenever a value of the corpus changes."""

NOISY_TRACK = "mer-noise"
"""The track whose corruptions apply to the features of its test split: the one place where they are declared."""

_NAMED = 0.5
"""How often an open set has the plain name of what is felt."""
_SAID = 0.6
"""How often it has the first word of emotion in the transcript, where there is one."""
_STRANGE = 0.3
"""How often it has a shade of any emotion, or, as often, an invented word."""
_N_INVENTED = 40
"""How many invented words are ever given."""


@dataclass(frozen=True, eq=False)
class SampleValues:
    """All values of the sample corpus."""

    samples: pa.Table  # one row per sample, with its sampled parameters where it is corrupted
    reference: pa.Table  # one row per sample with a public reference; no valence in `test_semi`
    features: dict[str, Integers]  # vectors by modality
    clean: dict[str, Integers]  # the same before the corruption; the corpus does not contain them


def sample_values() -> SampleValues:
    """Return the values of the sample corpus, the same on every machine."""
    drama = scenes()
    order, ids = shuffled(len(drama))
    clean = {modality: values[order] for modality, values in vectors(drama).items()}
    samples = _samples(drama, order, ids)
    features, parameters = _corrupted(load_track(NOISY_TRACK), ids, drama.split[order], clean)
    for name, column in parameters.items():
        samples = samples.append_column(name, pa.array(column))
    return SampleValues(samples, _reference(drama, order, ids), features, clean)


def shuffled(n: int) -> tuple[NDArray[np.intp], list[str]]:
    """Return the scenes in the order of their ids, which is independent of split, dialogue and emotion, and the ids."""
    order = np.argsort(stream("ids").random_raw(n))
    return order, [f"sample_{number:08d}" for number in range(1, n + 1)]


def build_sample(folder: Path) -> Corpus:
    """Write the sample corpus into an empty or missing folder and return it."""
    values = sample_values()
    ids = values.samples["sample_id"].to_pylist()
    metadata = Metadata(
        name="sample", version=VERSION, source="made by merbench", licence="CC0-1.0", language="en", synthetic=True
    )
    features = {name: Feature.from_vectors(ids, value * VALUE_UNIT) for name, value in values.features.items()}
    return write_corpus(folder, metadata, Contents(values.samples, values.reference, features))


def _transcripts(drama: Scenes) -> list[list[str]]:
    words = [VOCABULARY[code] for code in drama.words.tolist()]
    ends = np.cumsum(drama.n_words).tolist()
    return [words[end - n : end] for end, n in zip(ends, drama.n_words.tolist(), strict=True)]


def _samples(drama: Scenes, order: NDArray[np.intp], ids: list[str]) -> pa.Table:
    transcripts = _transcripts(drama)
    return pa.table(
        {
            "sample_id": ids,
            "split": drama.split[order].tolist(),
            "speaker": [f"speaker_{number:02d}" for number in drama.speaker[order] + 1],
            "dialogue": [f"dialogue_{number:03d}" for number in drama.dialogue[order] + 1],
            "position": drama.position[order],
            "transcript": [" ".join(transcripts[row]) for row in order.tolist()],
        }
    )


def _reference(drama: Scenes, order: NDArray[np.intp], ids: list[str]) -> pa.Table:
    without_valence = drama.split[order] == "test_semi"
    sets = _open_sets(drama)
    table = pa.table(
        {
            "sample_id": ids,
            "discrete": [EMOTIONS[code] for code in drama.emotion[order]],
            "valence": pa.array(drama.valence[order] / 4, mask=without_valence),
            "openset": pa.array([sets[row] for row in order.tolist()], pa.list_(pa.string())),
        }
    )
    return table.filter(pa.array(drama.scored[order]))


def _corrupted(
    track: Track, ids: list[str], splits: NDArray[np.str_], clean: Mapping[str, Integers]
) -> tuple[dict[str, Integers], dict[str, list[Any]]]:
    """Return features with the track's corruptions applied to its test split, and each sample's parameters."""
    corrupted = {modality: values.copy() for modality, values in clean.items()}
    parameters: dict[str, list[Any]] = {}
    for row in np.flatnonzero(np.isin(splits, track.splits["test"].source)).tolist():
        signal = {modality: values[row] * VALUE_UNIT for modality, values in clean.items()}
        done = corrupt(signal, track.steps("test", "features"), seed=track.seed, sample_id=ids[row])
        for name, value in done.values.items():
            parameters.setdefault(name, [None] * len(ids))[row] = value
        for modality, values in done.signal.items():
            corrupted[modality][row] = np.rint(values / VALUE_UNIT)
    return corrupted, parameters


def _open_sets(drama: Scenes) -> list[list[str]]:
    """Return one to four distinct words per scene, as someone who may use any word would give them.

    A word for the shade of what is felt, which valence decides; often its plain name; often a word of emotion in the
    transcript, no matter who felt it; sometimes a shade of something else, or a word that no lexicon knows.
    """
    lower = drama.valence < VALENCE_MEAN[drama.emotion]
    named = uniforms(stream("openset name"), len(drama)) < _NAMED
    columns = [
        _shades(drama.emotion, lower, "openset shade"),
        [NAMES[code] if has else "" for code, has in zip(drama.emotion.tolist(), named.tolist(), strict=True)],
        _first_emotional(drama),
        _strange(len(drama)),
    ]
    return [list(dict.fromkeys(word for word in words if word)) for words in zip(*columns, strict=True)]


def _shades(emotion: Integers, lower: NDArray[np.bool_], purpose: str) -> list[str]:
    """Return a shade of each emotion; the first ones are given more often."""
    pick = uniforms(stream(purpose), len(emotion))
    choices = [SHADES[EMOTIONS[code]][0 if low else 1] for code, low in zip(emotion, lower, strict=True)]
    return [shades[int(place * place * len(shades))] for shades, place in zip(choices, pick.tolist(), strict=True)]


def _first_emotional(drama: Scenes) -> list[str]:
    """Return, of most samples, the first word of emotion in the transcript, or nothing."""
    emotional = {word for words in EMOTION_WORDS.values() for word in words}
    given = (uniforms(stream("openset said"), len(drama)) < _SAID).tolist()
    first = [next((word for word in words if word in emotional), "") for words in _transcripts(drama)]
    return [word if is_given else "" for word, is_given in zip(first, given, strict=True)]


def _strange(n: int) -> list[str]:
    kind = uniforms(stream("openset strange"), n).tolist()
    lower = uniforms(stream("openset strange valence"), n) < 0.5
    shades = _shades(below(stream("openset strange emotion"), n, len(EMOTIONS)), lower, "openset strange shade")
    invented = below(stream("openset invented"), n, _N_INVENTED).tolist()
    return [
        "" if draw >= _STRANGE else shade if draw < _STRANGE / 2 else INVENTED[place]
        for draw, shade, place in zip(kind, shades, invented, strict=True)
    ]
