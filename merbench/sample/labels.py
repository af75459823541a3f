"""Scenes go in, an open set of words for each sample comes out, as someone who may use any word would give it.

A word for the shade of what is felt, which valence decides; often its plain name; often a word of emotion that was
said, whoever felt it; sometimes a shade of something else, or a word that no lexicon knows.

Conventions:
    One list of one to four distinct words per sample, in the order of the scenes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from merbench.corruptions.drawing import below, uniforms
from merbench.sample.scenes import EMOTIONS, VALENCE_MEAN, VOCABULARY, Scenes, stream
from merbench.sample.words import EMOTION_WORDS, INVENTED, NAMES, SHADES

_NAMED = 0.5
"""How often a set holds the plain name of what is felt."""

_SAID = 0.6
"""How often it holds the first word of emotion that was said, where one was."""

_STRANGE = 0.3
"""How often it holds a shade of any emotion, or, as often, an invented word."""

_N_INVENTED = 40
"""How many invented words are ever given."""


def open_sets(said: Scenes) -> list[list[str]]:
    """Return the words given to every sample."""
    n = len(said)
    lower = said.valence < VALENCE_MEAN[said.emotion]
    named = uniforms(stream("openset name"), n) < _NAMED
    columns = [
        _shades(said.emotion, lower, "openset shade"),
        [NAMES[code] if has else "" for code, has in zip(said.emotion.tolist(), named.tolist(), strict=True)],
        _said(said),
        _strange(n),
    ]
    return [list(dict.fromkeys(word for word in words if word)) for words in zip(*columns, strict=True)]


def _shades(emotion: NDArray[np.int64], lower: NDArray[np.bool_], purpose: str) -> list[str]:
    """Return a shade of each emotion; the first ones are given more often."""
    pick = uniforms(stream(purpose), len(emotion))
    found = []
    for code, low, place in zip(emotion.tolist(), lower.tolist(), pick.tolist(), strict=True):
        shades = SHADES[EMOTIONS[code]][0 if low else 1]
        found.append(shades[int(place * place * len(shades))])
    return found


def _said(said: Scenes) -> list[str]:
    """Return the first word of emotion that each sample says, or nothing."""
    emotional = {word for words in EMOTION_WORDS.values() for word in words}
    given = uniforms(stream("openset said"), len(said)) < _SAID
    ends = np.cumsum(said.n_words).tolist()
    words = [VOCABULARY[code] for code in said.words.tolist()]
    found = []
    for end, count, is_given in zip(ends, said.n_words.tolist(), given.tolist(), strict=True):
        heard = (word for word in words[end - count : end] if word in emotional)
        found.append(next(heard, "") if is_given else "")
    return found


def _strange(n: int) -> list[str]:
    kind = uniforms(stream("openset strange"), n)
    lower = uniforms(stream("openset strange valence"), n) < 0.5
    shades = _shades(below(stream("openset strange emotion"), n, len(EMOTIONS)), lower, "openset strange shade")
    invented = below(stream("openset invented"), n, _N_INVENTED).tolist()
    return [
        "" if draw >= _STRANGE else shade if draw < _STRANGE / 2 else INVENTED[place]
        for draw, shade, place in zip(kind.tolist(), shades, invented, strict=True)
    ]
