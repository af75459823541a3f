"""Who says what, in which mood: the samples of the synthetic corpus before features are made of them; its vocabulary.

Conventions:
    Arrays have one item per sample, dialogue by dialogue, in the order of speaking. Emotions are positions in
    `EMOTIONS`, speakers are numbers below `N_SPEAKERS`, words are positions in `VOCABULARY`. Valence is in quarters
    of a point, as a mean over four raters would be. Every number comes from the raw words of a generator through
    integers and exactly rounded products, so that it is the same on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from merbench.corruptions.drawing import NORMAL_UNIT, below, generator, normals, uniforms

Integers = NDArray[np.int64]

PLAIN = tuple(
    """
    a about after again all and any at away back because before book bring but by call car chair city come day did
    door down every find for friend from get give go good hand has have he hear help her here his home house how i
    in into is it just keep kitchen know last leave letter like little long look make many me meet money morning
    most my name never new night no not now of office old on one only open or other our out over paper people phone
    place put read room said same say school see she so some something station still street table take talk tell
    than that the their them then there they thing think this time to today told tomorrow town train two under up
    us wait walk want was water way we week well were what when where which who will window with work would year
    yes yesterday you your
    """.split()
)
"""Common English words that name no emotion."""


EMOTION_WORDS = {
    emotion: tuple(words.split())
    for emotion, words in {
        "neutral": "calm fine normal ordinary quiet steady usual settled even routine okay plain",
        "angry": "angry furious mad annoyed irritated outraged rage hate hostile resentful bitter fuming",
        "happy": "happy glad joyful delighted cheerful pleased excited wonderful smiling grateful merry proud",
        "sad": "sad unhappy sorrow crying grief lonely miserable tearful gloomy heartbroken hopeless mourning",
        "worried": "worried anxious nervous afraid uneasy tense concerned fearful troubled doubtful restless scared",
        "surprise": "surprised amazed astonished shocked sudden unexpected startled stunned speechless incredible",
    }.items()
}
"""Words of each emotion, in MER's order."""

NAMES = ("neutral", "angry", "happy", "sad", "worried", "surprised")
"""What someone who may use any word calls each emotion, in the same order."""

SHADES = {
    emotion: (tuple(lower.split()), tuple(higher.split()))
    for emotion, (lower, higher) in {
        "neutral": ("serious indifferent neutral bored", "calm composed attentive neutral"),
        "angry": ("furious outraged hateful aggressive", "annoyed dissatisfied impatient frustrated"),
        "happy": ("content relieved amused grateful", "joyful excited delighted proud"),
        "sad": ("desperate miserable hopeless lonely", "disappointed hurt regretful tired"),
        "worried": ("afraid panicked terrified desperate", "nervous concerned uncertain hesitant"),
        "surprise": ("shocked confused stunned disbelieving", "astonished amazed curious excited"),
    }.items()
}
"""Words for an emotion of lower and of higher valence than it has on average."""

KNOWN = tuple(sorted({*PLAIN, *(word for words in EMOTION_WORDS.values() for word in words)}))
"""Every real word of the corpus."""

_ONSETS = ("bl", "dr", "fr", "gl", "kr", "pl", "sk", "thr", "tr", "v", "z")
_NUCLEI = ("ai", "e", "ou", "u")
_MIDDLES = ("lv", "mb", "ndr", "rk", "zz")
_ENDINGS = ("ax", "ix", "ook", "oth", "uv")

INVENTED = tuple(
    f"{onset}{nucleus}{middle}{ending}"
    for onset in _ONSETS
    for nucleus in _NUCLEI
    for middle in _MIDDLES
    for ending in _ENDINGS
)
"""1,100 words that sound like English and mean nothing."""

VOCABULARY = (*KNOWN, *INVENTED)
"""Every word that is ever said."""

# Among the first hundred, one under which the words of both test splits are equally hard to read, so that what differs
# between mer-multi and mer-noise is the corruption.
SEED = 91

SPLITS = {"train": 1500, "dev": 250, "test_multi": 600, "test_noise": 600, "test_semi": 2400}
"""Splits and their samples. A dialogue is in one split; speakers, like the actors of a film, are in all."""

N_SCORED = {"test_semi": 600}
"""How many samples of a split have a reference, where not all have."""

N_SPEAKERS = 50

EMOTIONS = tuple(EMOTION_WORDS)
"""The labels, in MER's order."""

SHARES = (0.26, 0.24, 0.20, 0.11, 0.14, 0.05)
"""How often each emotion is felt, in the order of `EMOTIONS`: about as often as in MER 2023."""

VALENCE_MEAN = np.array([0, -10, 7, -9, -4, -1])
"""Mean valence of each emotion, in quarters of a point."""

VALENCE_DEVIATION = np.array([3, 4, 3, 4, 3, 5])
"""Standard deviation of valence of each emotion, in quarters of a point."""

VALENCE_LIMIT = 20
"""Largest absolute valence, in quarters of a point."""

_MOOD_LASTS = 0.35
"""How often the next one who speaks feels what the last one felt."""

_TURN_TAKEN = 0.75
"""How often the other one of two speaks next."""

_SILENT = 0.03
"""How often nothing is said."""

_INVENTED_SHARE = 0.3
_EMOTIONAL_SHARE = 0.11
"""Shares of words that are invented and that name an emotion; the others are plain."""

_SAID_AS_FELT = 0.8
"""How often a word of emotion names the emotion that is felt; else it names any."""


@dataclass(frozen=True, eq=False)
class Scenes:
    """The samples."""

    split: NDArray[np.str_]
    dialogue: Integers  # number of the dialogue
    position: Integers  # place in the dialogue, from 0
    speaker: Integers
    emotion: Integers  # what is felt
    valence: Integers  # how pleasant it is
    scored: NDArray[np.bool_]  # whether the reference is public
    n_words: Integers
    words: Integers  # the words of all samples, one sample after the other

    def __len__(self) -> int:
        return len(self.split)


def stream(purpose: str) -> np.random.PCG64:
    """Return the generator of one purpose, so that a change of one part of the sample does not change the others."""
    return generator(SEED, purpose, "")


def felt(n: int, rng: np.random.PCG64) -> Integers:
    """Return `n` emotions by their shares."""
    return np.searchsorted(np.cumsum(SHARES)[:-1], uniforms(rng, n), side="right")


def scenes() -> Scenes:
    """Return the samples of all splits."""
    split = np.repeat(np.array(list(SPLITS)), list(SPLITS.values()))
    dialogue, position = _dialogues()
    emotion = _emotions(position)
    spread = np.rint(normals(stream("valence"), len(split)) * VALENCE_DEVIATION[emotion] * NORMAL_UNIT)
    valence = np.clip(VALENCE_MEAN[emotion] + spread, -VALENCE_LIMIT, VALENCE_LIMIT).astype(np.int64)
    n_words, words = _words(emotion)
    return Scenes(
        split, dialogue, position, _speakers(dialogue, position), emotion, valence, _scored(split), n_words, words
    )


def _dialogues() -> tuple[Integers, Integers]:
    """Return dialogue and position of every sample; a dialogue has 6 to 14 utterances, the last of a split fewer."""
    lengths: list[int] = []
    lengths_of_all = iter((6 + below(stream("dialogue length"), sum(SPLITS.values()), 9)).tolist())
    for n_samples in SPLITS.values():
        left = n_samples
        while left:
            lengths.append(min(next(lengths_of_all), left))
            left -= lengths[-1]
    dialogue = np.repeat(np.arange(len(lengths)), lengths)
    return dialogue, np.concatenate([np.arange(length) for length in lengths])


def _speakers(dialogue: Integers, position: Integers) -> Integers:
    """Return who speaks: two per dialogue, in turns; all 50 are cast before one is cast again."""
    n_dialogues = int(dialogue[-1]) + 1
    rng = stream("cast")
    rounds = -(-2 * n_dialogues // N_SPEAKERS)
    cast = np.concatenate([np.argsort(rng.random_raw(N_SPEAKERS)) for _ in range(rounds)])
    pairs = cast[: 2 * n_dialogues].reshape(n_dialogues, 2)
    takes_turn = (position > 0) & (uniforms(stream("turns"), len(position)) < _TURN_TAKEN)
    speakers: Integers = pairs[dialogue, np.cumsum(takes_turn) % 2]
    return speakers


def _emotions(position: Integers) -> Integers:
    """Return what is felt: often what was felt just before in the dialogue, and by the shares in all."""
    fresh = felt(len(position), stream("emotion"))
    is_fresh = (position == 0) | (uniforms(stream("mood"), len(position)) >= _MOOD_LASTS)
    return fresh[np.maximum.accumulate(np.where(is_fresh, np.arange(len(position)), 0))]


def _scored(split: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Return which references are public: all, or a random part of a split."""
    scored = np.ones(len(split), dtype=bool)
    for name, n_scored in N_SCORED.items():
        rows = np.flatnonzero(split == name)
        order = np.argsort(stream(f"scored {name}").random_raw(len(rows)))
        scored[rows[order[n_scored:]]] = False
    return scored


def _words(emotion: Integers) -> tuple[Integers, Integers]:
    """Return how many words each sample says, none or 4 to 14, and the words of all samples."""
    n_samples = len(emotion)
    n_words = np.where(uniforms(stream("silence"), n_samples) < _SILENT, 0, 4 + below(stream("length"), n_samples, 11))
    total = int(n_words.sum())
    as_felt = uniforms(stream("as felt"), total) < _SAID_AS_FELT
    named = np.where(as_felt, np.repeat(emotion, n_words), below(stream("named"), total, len(EMOTIONS)))
    kind = uniforms(stream("kind of word"), total)
    pick = uniforms(stream("word"), total)
    words = np.where(kind < _INVENTED_SHARE, _pick(INVENTED, pick), _pick(PLAIN, pick))
    emotional = kind >= 1 - _EMOTIONAL_SHARE
    for code, own in enumerate(EMOTION_WORDS.values()):
        words = np.where(emotional & (named == code), _pick(own, pick), words)
    return n_words, words


def _pick(vocabulary: tuple[str, ...], pick: NDArray[np.float64]) -> Integers:
    """Return the vocabulary's words at `pick`² of its length: the first ones are said more often."""
    positions = {word: position for position, word in enumerate(VOCABULARY)}
    codes = np.array([positions[word] for word in vocabulary])
    return codes[(pick * pick * len(codes)).astype(np.int64)]
