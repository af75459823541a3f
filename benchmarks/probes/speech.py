"""What extractors of sound are worth for emotions, and what noise leaves of it: linear probes on EMO-DB and RAVDESS.

Inputs: the clips of `$MERBENCH_TEST_DATA/data/media/speech` (EMO-DB: eight speakers, four emotions; RAVDESS: 48 clips,
24 speakers, eight emotions) and the seven recordings of `media/noise` without pauses, which `background_noise` adds;
each of them occurs in training and in test. One speaker is left out at a time; intervals are by speaker. Speech quality
is not a feature: its ratings of two clips of each speaker must fall with the ratio. An extractor that is not installed
is left out by name.

Peers: statistics of MFCC and F0 (the columns of openSMILE's INTERSPEECH 2009 set, Schuller et al., 2009), in the same
folds and noise, with the paired differences on clean clips. Elsewhere, on all ten speakers, such a model has a
weighted F1 of .796.
"""

from __future__ import annotations

import csv
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring import machine, table
from benchmarks.probes.probe import difference, leave_one_group_out, scored
from merbench.corruptions.audio.noise import background_noise
from merbench.corruptions.signals import Audio
from merbench.errors import MerbenchError
from merbench.features.outputs import Recipe
from merbench.media.reading import read_audio

RATE_HZ = 16_000
RATIOS_DB = (20, 15, 10, 5, 0)
ACTIVE = 0.9
"""The share of a recording that must sound, so that no clip gets a pause of it."""
PROBED = ("voice", "egemaps", "egemaps-frames", "speaker")
OPINIONS = ("speech", "background", "overall", "p808")
PEERS = {
    "MFCC and F0, 26 statistics": r"(mfcc_sma\[\d+\]|F0_sma)_(amean|stddev)$",
    "MFCC and F0, 312 statistics": "mfcc|F0",
}
"""Which columns of the INTERSPEECH 2009 set: means and deviations; all, those of changes from frame to frame too."""

Vectors = NDArray[np.float64]
Maker = Callable[[Iterable[Audio]], Vectors]


class Clips:
    """Clips of a corpus, with their emotions and speakers, clean and in noise."""

    def __init__(self, media: Path, corpus: str) -> None:
        with (media / "speech_index.csv").open(encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["corpus"] == corpus]
        self.sounds = [_mono(media / row["file"]) for row in rows]
        self.emotions = np.array([row["emotion"] for row in rows])
        self.speakers = np.array([row["speaker"] for row in rows])

    def in_noise(self, noises: Sequence[Audio], snr_db: float) -> list[Audio]:
        """Return the clips with noise: clip i with recording i, from another place of it each time round."""
        mixed = []
        for i, sound in enumerate(self.sounds):
            noise = noises[i % len(noises)].samples[0]
            begin = i // len(noises) * RATE_HZ % len(noise)
            looped = np.resize(np.roll(noise, -begin), (1, sound.samples.shape[1]))
            mixed.append(background_noise(sound, np.random.PCG64(0), noise=Audio(looped, RATE_HZ), snr_db=snr_db))
        return mixed


def _mono(path: Path) -> Audio:
    sound = read_audio(path, RATE_HZ)
    return sound.with_samples(sound.samples.mean(axis=0, keepdims=True))


def ready(names: Iterable[str]) -> list[Recipe]:
    """Return the recipes of those extractors that can run, and print the reason for one that cannot."""
    recipes = []
    for name in names:
        recipe = Recipe(name, name)
        try:
            recipes += [recipe] if recipe.constructed else []
        except MerbenchError as error:
            print(f"skipped: {error}")
    return recipes


def vectors(recipe: Recipe, sounds: Iterable[Audio]) -> Vectors:
    """Return the vectors of sounds, `(n, d)`."""
    return np.stack([recipe.of_sound(sound).vector for sound in sounds]).astype(np.float64)


def mfcc_and_pitch(pattern: str, sounds: Iterable[Audio]) -> Vectors:
    """Return the columns of the INTERSPEECH 2009 set whose names have a pattern, `(n, d)`."""
    import opensmile

    smile = opensmile.Smile(opensmile.FeatureSet.IS09, opensmile.FeatureLevel.Functionals)
    columns = [i for i, name in enumerate(smile.feature_names) if re.search(pattern, name)]
    clipped = (np.clip(sound.samples, -1, 1 - 2**-15) for sound in sounds)
    return np.stack([smile(samples, RATE_HZ)[0, columns, 0] for samples in clipped]).astype(np.float64)


def makers(recipes: Iterable[Recipe]) -> dict[str, Maker]:
    """Return what makes vectors, by name: extractors, and the peers where openSMILE may be used."""
    made: dict[str, Maker] = {recipe.name: partial(vectors, recipe) for recipe in recipes}
    if "egemaps" not in made:
        print("skipped: MFCC and F0 statistics, as egemaps")
        return made
    return made | {name: partial(mfcc_and_pitch, pattern) for name, pattern in PEERS.items()}


def probes(made: Mapping[str, Maker], clips: Clips, noises: Sequence[Audio]) -> None:
    """Print what vectors are worth, clean and in noise, trained on clean clips and at the ratio of the test."""
    sounds = {"clean": clips.sounds} | {f"{snr} dB": clips.in_noise(noises, snr) for snr in RATIOS_DB}
    rows, answers = [], {}
    for name, make in made.items():
        features = {level: make(heard) for level, heard in sounds.items()}
        matched = {level: _answers(clips, own, own) for level, own in features.items()}
        mismatched = [_answers(clips, features["clean"], own) for level, own in features.items() if level != "clean"]
        answers[name] = matched["clean"]
        rows.append([f"{name}, trained at the same ratio", *(_worth(clips, each) for each in matched.values())])
        rows.append([f"{name}, trained clean", *(_worth(clips, each) for each in (matched["clean"], *mismatched))])
    print(table(["weighted F1, EMO-DB", *sounds], rows), end="\n\n")
    compared(answers, clips)


def compared(answers: Mapping[str, NDArray[np.str_]], clips: Clips) -> None:
    """Print how much more the answers of extractors are worth than those of the peers, on the same clips."""
    peers = [name for name in PEERS if name in answers]
    shared = clips.emotions, clips.speakers
    rows = [
        [name, *(str(difference("weighted_f1", shared[0], own, answers[peer], shared[1])) for peer in peers)]
        for name, own in answers.items()
        if name not in peers
    ]
    if peers:
        print(table(["weighted F1, clean, minus that of", *peers], rows), end="\n\n")


def _answers(clips: Clips, learned: Vectors, tested: Vectors) -> NDArray[np.str_]:
    return leave_one_group_out(learned, clips.emotions, clips.speakers, "logistic", tested=tested)


def _worth(clips: Clips, answers: NDArray[np.str_]) -> str:
    return str(scored("weighted_f1", clips.emotions, answers, clips.speakers))


def acted(made: Mapping[str, Maker], clips: Clips) -> None:
    """Print what vectors are worth on the few clips of RAVDESS."""
    rows = []
    for name, make in made.items():
        features = make(clips.sounds)
        answers = _answers(clips, features, features)
        metrics = ("weighted_f1", "accuracy")
        rows.append([name, *(str(scored(each, clips.emotions, answers, clips.speakers)) for each in metrics)])
    print(table([f"RAVDESS, {len(clips.sounds)} clips", "weighted F1", "accuracy"], rows), end="\n\n")


def costs(recipes: Iterable[Recipe], clips: Clips) -> None:
    """Print how long each extractor takes, on one core, once it is constructed."""
    sounds = clips.sounds[::16]
    seconds = sum(sound.duration_s for sound in sounds)
    rows = []
    for recipe in recipes:
        vectors(recipe, sounds[:1])
        start = time.perf_counter()
        width = vectors(recipe, sounds).shape[1]
        rows.append([recipe.name, str(width), f"{(time.perf_counter() - start) / seconds:.4f}"])
    print(table(["extractor", "dimension", "seconds per second of sound"], rows), end="\n\n")


def quality(recipe: Recipe, clips: Clips, noises: Sequence[Audio]) -> None:
    """Print the mean ratings of two clips of each speaker at every ratio, and how many fall from level to level."""
    chosen = [int(i) for name in np.unique(clips.speakers) for i in np.flatnonzero(clips.speakers == name)[:2]]
    rows, before = [], None
    for level in (None, *RATIOS_DB):
        sounds = clips.sounds if level is None else clips.in_noise(noises, level)
        ratings = vectors(recipe, (sounds[i] for i in chosen))
        fell = "" if before is None else f"{int(np.count_nonzero(ratings[:, 2] < before))} of {len(chosen)}"
        means = [f"{rating:.2f}" for rating in ratings.mean(axis=0)]
        rows.append(["clean" if level is None else f"{level} dB", *means, fell])
        before = ratings[:, 2]
    print(table(["speech-quality", *OPINIONS, "overall lower than one row above"], rows))


def main() -> int:
    """Print all tables."""
    data = os.environ.get("MERBENCH_TEST_DATA")
    if not data:
        print("skipped: MERBENCH_TEST_DATA names no folder of real media")
        return 0
    media = Path(data) / "data" / "media"
    with (media / "noise_index.csv").open(encoding="utf-8") as file:
        noises = [_mono(media / row["file"]) for row in csv.DictReader(file) if float(row["active_frac"]) > ACTIVE]
    emo_db, recipes = Clips(media, "EMO-DB"), ready(PROBED)
    made = makers(recipes)
    probes(made, emo_db, noises)
    acted(made, Clips(media, "RAVDESS"))
    rated, heard = ready(["speech-quality"]), ready(["voice-activity"])
    costs([*recipes, *heard, *rated], emo_db)
    for recipe in rated:
        quality(recipe, emo_db, noises)
    print(f"\n{machine(['numpy', 'scipy', 'scikit-learn', 'onnxruntime', 'opensmile', 'torch'])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
