"""The peer of `corruption.py`: clips are corrupted as the generator that MER 2023 released does it, file by file.

Written from a description of that generator (Lian et al. 2023, arXiv:2304.08981). For each clip an `ffmpeg` executable
extracts 16 kHz mono sound; whole files of noise are appended in a Python list until it is longer than the clip, and a
random crop of it is scaled, added, scaled down to fit and truncated to 16 bits; OpenCV reads frame by frame, halves and
doubles each as often as the factor asks, and writes an AVI; `ffmpeg` muxes both into an MP4.

    python -m benchmarks.corruption_peer OUTPUT FACTOR PROCESSES NOISE_FOLDER CLIP...

prints the seconds that it took, after all imports, and the peak of this process's memory in bytes.
"""

from __future__ import annotations

import functools
import math
import multiprocessing
import random
import subprocess
import sys
import time
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring import peak_bytes

RATE_HZ = 16_000
SNRS_DB = range(5, 11)


def corrupt_all(clips: Sequence[Path], output: Path, factor: int, noises: Sequence[Path], processes: int = 1) -> None:
    """Write the corrupted copy of every clip as `<stem>.mp4`, in this process or in a pool."""
    output.mkdir(parents=True, exist_ok=True)
    corrupt = functools.partial(corrupt_clip, output=output, factor=factor, noises=noises)
    if processes == 1:
        for clip in clips:
            corrupt(clip)
        return
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        pool.map(corrupt, clips)


def corrupt_clip(clip: Path, output: Path, factor: int, noises: Sequence[Path]) -> None:
    """Write the corrupted copy of one clip; random numbers come from its name, so that every round is the same."""
    rng = random.Random(clip.stem)
    clean, mixture, silent = (output / f"{clip.stem}.{suffix}" for suffix in ("clean.wav", "mixture.wav", "avi"))
    _ffmpeg("-i", clip, "-vn", "-ac", "1", "-ar", str(RATE_HZ), "-acodec", "pcm_s16le", clean)
    _write_sound(mixture, _mixed(_read_sound(clean), noises, rng.choice(SNRS_DB), rng))
    _blur(clip, silent, factor)
    _ffmpeg("-i", silent, "-i", mixture, "-c:v", "copy", "-c:a", "aac", output / f"{clip.stem}.mp4")
    for path in (clean, mixture, silent):
        path.unlink()


def _ffmpeg(*arguments: str | Path) -> None:
    command = ["ffmpeg", "-y", "-nostdin", "-loglevel", "error", *map(str, arguments)]
    subprocess.run(command, check=True)


def _read_sound(path: Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def _write_sound(path: Path, samples: np.ndarray) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(samples.tobytes())


def _mixed(clean: np.ndarray, noises: Sequence[Path], snr_db: int, rng: random.Random) -> np.ndarray:
    """Return int16 sound with noise at a ratio over the whole clip; the sum is scaled down to fit, never clipped."""
    held: list[float] = []
    while len(held) <= len(clean):
        held += _read_sound(rng.choice(noises)).astype(np.float64).tolist()
    begin = rng.randint(0, len(held) - len(clean))
    noise = np.array(held)[begin : begin + len(clean)]
    sound = clean.astype(np.float64)
    wanted = _rms(sound) / 10 ** (snr_db / 20)
    mixture = sound + noise * (wanted / _rms(noise))
    beyond = max(float(mixture.max()) / 32_767, float(mixture.min()) / -32_768, 1.0)
    scaled: np.ndarray = mixture / beyond
    return scaled.astype(np.int16)


def _rms(samples: np.ndarray) -> float:
    return math.sqrt(float(np.mean(np.square(samples))))


def _blur(clip: Path, silent: Path, factor: int) -> None:
    import cv2

    halvings = factor.bit_length() - 1
    reader = cv2.VideoCapture(str(clip))
    rate = reader.get(cv2.CAP_PROP_FPS)
    writer: Any = None
    while True:
        there, frame = reader.read()
        if not there:
            break
        for _ in range(halvings):
            frame = cv2.pyrDown(frame)
        for _ in range(halvings):
            frame = cv2.pyrUp(frame)
        if writer is None:
            size = (frame.shape[1], frame.shape[0])
            writer = cv2.VideoWriter(str(silent), cv2.VideoWriter.fourcc(*"DIVX"), rate, size)
        writer.write(frame)
    reader.release()
    writer.release()


def main() -> None:
    """Corrupt the clips that the arguments name, and print seconds and bytes."""
    import cv2

    assert cv2.__version__  # its import does not count
    output, factor, processes, folder, *clips = sys.argv[1:]
    noises = sorted(Path(folder).glob("*.wav"))
    start = time.perf_counter()
    corrupt_all([Path(clip) for clip in clips], Path(output), int(factor), noises, int(processes))
    print(time.perf_counter() - start, peak_bytes())


if __name__ == "__main__":
    main()
