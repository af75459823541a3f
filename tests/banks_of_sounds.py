"""Folders of sounds, and a made-up MUSAN, for tests of noise banks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def write_sound(
    path: Path,
    samples: NDArray[Any] | int,
    rate_hz: int = 16_000,
    *,
    channels: int = 1,
    seed: int = 0,
    **form: str,
) -> NDArray[np.float32]:
    """Write samples, or so many random ones, and return them as a file of 16 bits gives them back."""
    import soundfile

    if isinstance(samples, int):
        shape = samples if channels == 1 else (samples, channels)
        samples = np.random.default_rng(seed).integers(-8000, 8000, shape) / 32768
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate_hz, **form)
    return np.asarray(samples, dtype=np.float32)


def write_musan(root: Path) -> None:
    """Write a folder in the layout of MUSAN: three parts of one or two sources, each with its texts."""
    sounds = (
        "music/fma/music-fma-0000",
        "music/fma/music-fma-0001",
        "noise/free-sound/noise-free-sound-0000",
        "noise/sound-bible/noise-sound-bible-0000",
        "speech/librivox/speech-librivox-0000",
        "speech/us-gov/speech-us-gov-0000",
    )
    for seed, sound in enumerate(sounds):
        write_sound(root / f"{sound}.wav", 4000 + seed, seed=seed)
    texts = {
        "README": "A corpus.\n",
        "music/fma/ANNOTATIONS": "music-fma-0000 pop,electronica Y Some_Body\nmusic-fma-0001 blues N Some_One\n",
        "music/fma/LICENSE": "music-fma-0000\nhttp://creativecommons.org/licenses/by/3.0/us/\n\n"
        "music-fma-0001 is in the Public Domain.\n",
        "speech/librivox/ANNOTATIONS": "speech-librivox-0000 f german\n",
        "speech/librivox/LICENSE": "All files are in the public domain.\n",
    }
    for name, text in texts.items():
        (root / name).write_text(text, encoding="utf-8")
