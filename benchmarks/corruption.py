"""A set of clips corrupted as MER 2023 was, compared with the generator of 2023 and with the sum of its parts.

Inputs: the 15 clips of `$MERBENCH_TEST_DATA/data/media/video` (11 of 360 × 288 in MPEG-1, 4 of 524 to 844 pixels in
H.264; 54 s in all) and 20 utterances of EMO-DB, of 3 to 5 s, as noise at 5 to 10 dB; pyramid blur by 1, 2 and 4.
Timed: `merbench.corrupt` from the plan to the manifest, all digests included: in one process, in two, and with streams
that nothing corrupts copied. Compared with `corruption_peer.py`, in one process and in its pool of 8 (`ffmpeg`
must be on the path), and with `corruption_floor.py`, every part by itself. Both write MPEG-4 part 2 and 16 kHz sound;
merbench takes the quantiser whose files, all together, come nearest to the peer's in size. Luma is compared with the
planes of the source, blurred in float32.
Then: memory with ten noise files of ten minutes each, of workers that load `corruption_worker.py` and not this script,
as those of `merbench corrupt` load no script; a manifest of 1,000,000 rows written and read again.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.corruption_floor import PARTS, floor
from benchmarks.corruption_peer import corrupt_all
from benchmarks.corruption_worker import corrupted_with_peak, imported
from benchmarks.measuring import machine, peak_bytes, seconds, table
from merbench.banks.importing import import_folder
from merbench.corpus import Contents, Metadata, write_corpus
from merbench.corpus.candidates import open_candidates
from merbench.corrupt.clip import ManifestRow
from merbench.corrupt.clip_folder import CorruptedMedia, MediaPlan, corrupt_media, plan_media
from merbench.corrupt.manifest import JOURNAL, SCHEMA, read_progress, write_manifest
from merbench.engine import run
from merbench.files.journal import Journal
from merbench.media import read_video
from merbench.media.writing import Encoding
from merbench.track import MediaSpec

FACTORS = (1, 2, 4)
ROUNDS = 3
N_NOISES, N_LONG_NOISES, LONG_NOISE_S = 20, 10, 600
N_ROWS, BATCH = 1_000_000, 100_000
POOL = 8
RATE_HZ, BIT_RATE = 16_000, 32_000
QUANTISERS = range(2, 32)

PEER, PEER_POOL = "peer, one process", f"peer, its pool of {POOL}"
ONE, TWO, READY, COPY = "merbench, one process", "merbench, two workers", "start of two workers", "merbench, copying"

DECLARATION = """
id = "corrupt"
version = "1.0"
title = "Clips corrupted as MER 2023 was"
modalities = ["audio", "video"]
corpus = "./corpus"
seed = 2023

[splits]
test = "test"

[targets.discrete]
type = "categorical"
labels = ["calm", "glad"]

[[corruptions]]
name = "background_noise"
noise = "NOISE"
snr_db = { integers = [5, 10] }

[[corruptions]]
name = "pyramid_blur"
factor = FACTOR

[media]
video_codec = "mpeg4"
quality = QUALITY
sample_rate_hz = RATE
audio_bit_rate = BITS
unchanged = "UNCHANGED"

[[metrics]]
name = "accuracy"
target = "discrete"

[ranking]
by = ["accuracy"]
"""


@dataclass(frozen=True)
class Bench:
    """What all contenders work on.

    Attributes:
        clips: the clips.
        media: their folder.
        noises: the folder of noise files.
        long_noises: the folder of long ones.
        work: the folder that everything is written to.
        duration_s: length of all clips together.
    """

    clips: tuple[Path, ...] = field(repr=False)
    media: Path
    noises: Path
    long_noises: Path
    work: Path
    duration_s: float

    def planner(
        self, name: str, factor: int, quality: int, unchanged: str = "encode", noise: str = "speech"
    ) -> Callable[[], MediaPlan]:
        """Return what makes merbench's plan for a track of its own, whose output is removed first."""
        folder, output = self.work / "tracks" / name / "corrupt", self.work / name
        shutil.rmtree(output, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        values = {"NOISE": noise, "FACTOR": factor, "QUALITY": quality, "RATE": RATE_HZ, "BITS": BIT_RATE}
        text = DECLARATION
        for key, value in {**values, "UNCHANGED": unchanged}.items():
            text = text.replace(key, str(value))
        (folder / "track.toml").write_text(text, encoding="utf-8")
        if not (folder / "corpus").is_dir():
            samples = pa.table({"sample_id": [clip.stem for clip in self.clips], "split": ["test"] * len(self.clips)})
            metadata = Metadata(name="clips", version="1.0", source="", licence="")
            write_corpus(folder / "corpus", metadata, Contents(samples))
        return lambda: plan_media(open_candidates(folder), self.media, output)


def spec(quality: int, unchanged: Any = "encode") -> MediaSpec:
    """Return how merbench writes clips here."""
    return MediaSpec(quality=quality, sample_rate_hz=RATE_HZ, audio_bit_rate=BIT_RATE, unchanged=unchanged)


def prepare(data: Path, work: Path) -> Bench:
    """Return the inputs; noises go into two banks of a data home of their own."""
    media = data / "data/media/video"
    clips = tuple(sorted(path for path in media.rglob("*") if path.suffix in (".mpg", ".mp4")))
    noises, long_noises = work / "noises/speech", work / "noises/long"
    for folder in (noises, long_noises):
        folder.mkdir(parents=True)
    sounds = [path for path in sorted((data / "data/media/speech/emodb").glob("*.wav")) if 3 <= _duration_s(path) <= 5]
    for path in sounds[:N_NOISES]:
        shutil.copyfile(path, noises / path.name)
    _write_long(sounds[:N_LONG_NOISES], long_noises)
    import_folder("speech", noises, in_place=True)
    import_folder("long", long_noises, in_place=True)
    lengths = [read_video(clip).duration_s for clip in clips]
    return Bench(clips, media, noises, long_noises, work, math.fsum(lengths))


def _duration_s(path: Path) -> float:
    with wave.open(str(path)) as file:
        return float(file.getnframes() / file.getframerate())


def _write_long(sounds: Sequence[Path], folder: Path) -> None:
    """Write every sound over and over until it lasts `LONG_NOISE_S`."""
    for path in sounds:
        with wave.open(str(path)) as file, wave.open(str(folder / path.name), "wb") as written:
            written.setparams(file.getparams())
            once = file.readframes(file.getnframes())
            n_bytes = LONG_NOISE_S * file.getframerate() * file.getsampwidth()
            written.writeframes((once * (n_bytes // len(once) + 1))[:n_bytes])


def corrupted(plan: Callable[[], MediaPlan], workers: int = 1) -> CorruptedMedia:
    """Plan and corrupt; no clip may be a problem."""
    result = corrupt_media(plan(), workers=workers)
    if result.problems:
        raise RuntimeError(f"clips that were not corrupted: {result.problems}")
    return result


def nearest_quality(bench: Bench, factor: int, wanted: int) -> tuple[int, int]:
    """Return the quantiser whose files, all together, come nearest to a size, and their size."""
    sizes: dict[int, int] = {}
    quality = 4
    while quality not in sizes and quality in QUANTISERS:
        rows = corrupted(bench.planner("search", factor, quality)).manifest.rows.values()
        sizes[quality] = sum(row["output_bytes"] for row in rows)
        quality += 1 if sizes[quality] > wanted else -1
    return min(sizes.items(), key=lambda found: abs(found[1] - wanted))


def timed(contender: Callable[[], object]) -> float:
    """Return how many seconds a contender takes."""
    start = time.perf_counter()
    contender()
    return time.perf_counter() - start


def peer_alone(bench: Bench, factor: int, processes: int, noises: Path, clips: Sequence[Path]) -> tuple[float, int]:
    """Run the peer in its own interpreter; return its seconds, and the peak of its memory in bytes."""
    output = bench.work / f"peer-{processes}-{factor}"
    arguments = [str(output), str(factor), str(processes), str(noises), *map(str, clips)]
    command = [sys.executable, "-m", "benchmarks.corruption_peer", *arguments]
    took, peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(took), int(peak)


def contenders(bench: Bench, factor: int, quality: int, *, has_peer: bool) -> dict[str, Callable[[], float]]:
    """Return what takes turns: name -> a function that returns the seconds it took."""
    found: dict[str, Callable[[], float]] = {}
    if has_peer:
        noises, output = sorted(bench.noises.glob("*.wav")), bench.work / f"peer-1-{factor}"
        found[PEER] = lambda: timed(lambda: corrupt_all(bench.clips, output, factor, noises))
        found[PEER_POOL] = lambda: peer_alone(bench, factor, POOL, bench.noises, bench.clips)[0]
    named = partial(_merbench, bench, factor, quality)
    found[ONE] = lambda: named(f"one-{factor}")
    found[TWO] = lambda: named(f"two-{factor}", workers=2)
    found[READY] = lambda: timed(lambda: list(run(imported, [("1", 1), ("2", 2)], workers=2)))
    if factor == 1:
        found[COPY] = lambda: named("copy", unchanged="copy")
    return found


def _merbench(bench: Bench, factor: int, quality: int, name: str, workers: int = 1, unchanged: str = "encode") -> float:
    plan = bench.planner(name, factor, quality, unchanged)
    return timed(lambda: corrupted(plan, workers))


def medians(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the median of every name over the rounds."""
    return {name: statistics.median(found[name] for found in rounds) for name in rounds[0]}


def luma_psnr(bench: Bench, factor: int, output: Path) -> float:
    """Return the mean over clips of the mean PSNR of their luma, in dB, against exactly blurred planes of the source.

    Of frames that came out larger, the part of the source's size counts.
    """
    means = []
    for clip in bench.clips:
        pairs = zip(_luma(clip), _luma(output / _corrupted_name(bench, clip, output)), strict=False)
        found = [_psnr_db(_blurred(source, factor), written) for source, written in pairs]
        means.append(statistics.fmean(found))
    return statistics.fmean(means)


def _corrupted_name(bench: Bench, clip: Path, output: Path) -> Path:
    name = clip.relative_to(bench.media).with_suffix(".mp4")
    return name if (output / name).is_file() else Path(name.name)


def _luma(path: Path) -> Iterator[np.ndarray]:
    return (frame.planes[0] for frame in read_video(path).frames)


def _blurred(luma: np.ndarray, factor: int) -> np.ndarray:
    import cv2

    if factor == 1:
        return luma.astype(np.float32)
    below = _blurred(cv2.pyrDown(luma.astype(np.float32)), factor // 2)
    return np.asarray(cv2.pyrUp(below, dstsize=luma.shape[::-1]))


def _psnr_db(exact: np.ndarray, written: np.ndarray) -> float:
    height, width = exact.shape
    difference = (written[:height, :width] - exact).ravel()
    error = float(difference @ difference) / difference.size
    return 10 * math.log10(255**2 / max(error, 1e-3))


def worker_peak(bench: Bench, quality: int) -> tuple[int, int]:
    """Return the largest `corrupted_with_peak` of two workers, with long noise files and blur by 4."""
    plan = bench.planner("memory", 4, quality, noise="long")()
    (bench.work / "memory").mkdir()
    units = ((clip.sample_id, clip) for clip in plan.clips)
    done = list(run(partial(corrupted_with_peak, banks=plan.banks), units, workers=2))
    errors = [result.error for result in done if result.error is not None]
    if errors:
        raise errors[0]
    return max(result.value for result in done if result.value is not None)


def manifest_times(folder: Path) -> dict[str, float]:
    """Return the seconds that each stage of a manifest of a million clips takes, in its own interpreter."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_manifest_times, (folder,))


def _manifest_times(folder: Path) -> dict[str, float]:
    header = {"schema": SCHEMA, "track": "corrupt@1.0", "seed": 2023, "steps": ["background_noise", "pyramid_blur"]}
    writing = 0.0
    with Journal(folder / JOURNAL, header) as journal:
        for begin in range(0, N_ROWS, BATCH):
            rows = [_row(number) for number in range(begin, begin + BATCH)]
            writing += timed(lambda rows=rows: _add(journal, rows))  # type: ignore[misc]
    start = time.perf_counter()
    manifest = read_progress(folder)
    assert manifest is not None and len(manifest.rows) == N_ROWS
    resumed = time.perf_counter()
    write_manifest(folder, manifest)
    written = time.perf_counter()
    read_progress(folder)
    return {
        "journal, line by line": writing,
        "resumed from the journal": resumed - start,
        "Parquet file written": written - resumed,
        "resumed from the Parquet file": time.perf_counter() - written,
        "peak of memory, GB": peak_bytes() / 1e9,
    }


def _add(journal: Journal, rows: Sequence[ManifestRow]) -> None:
    for row in rows:
        journal.add(row)


def _row(number: int) -> dict[str, Any]:
    name, digest = f"sample_{number:08d}", f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}"
    return {
        "sample_id": name,
        "input": f"clips/{name}.mp4",
        "input_sha256": digest * 4,
        "input_bytes": 400_000 + number,
        "output": f"clips/{name}.mp4",
        "output_sha256": digest[::-1] * 4,
        "output_bytes": 300_000 + number,
        "pcm_sha256": (digest[8:] + digest[:8]) * 4,
        "planes_sha256": (digest[4:] + digest[:4]) * 4,
        "n_frames": 100,
        "n_samples": 64_000,
        "sample_rate_hz": RATE_HZ,
        "duration_s": 4.0,
        "audio_scale": 1.0,
        "background_noise.snr_db": 5 + number % 6,
        "background_noise.source": f"speech/noise_{number % 500:04d}.wav",
        "background_noise.offset_s": number % 977 / 100,
        "background_noise.realised_snr_db": 5.0 + number % 6,
        "pyramid_blur.factor": FACTORS[number % 3],
    }


def print_times(times: Mapping[int, Mapping[str, float]], floors: Mapping[int, Mapping[str, float]]) -> None:
    """Print the table of times, ratios and floors."""

    def line(name: str, value: Callable[[int], float | None], show: Callable[[float], str]) -> list[str]:
        values = [value(factor) for factor in FACTORS]
        there = [found for found in values if found is not None]
        mean = show(statistics.fmean(there)) if len(there) == len(FACTORS) else ""
        return [name, *("" if found is None else show(found) for found in values), mean]

    def ratio(above: str, below: Callable[[int], float | None]) -> Callable[[int], float | None]:
        def value(factor: int) -> float | None:
            top, bottom = times[factor].get(above), below(factor)
            return None if top is None or bottom is None else top / bottom

        return value

    def of(name: str) -> Callable[[int], float | None]:
        return lambda factor: times[factor].get(name)

    def warm(factor: int) -> float:
        return times[factor][TWO] - times[factor][READY]

    def bottom(factor: int) -> float:
        return math.fsum(floors[factor].values())

    rows = [line(name, of(name), seconds) for name in (PEER, ONE, PEER_POOL, TWO, READY, COPY)]
    rows += [line(f"floor: {part}", lambda factor, part=part: floors[factor][part], seconds) for part in PARTS]  # type: ignore[misc]
    rows += [
        line("floor, its sum", bottom, seconds),
        line("one process : peer (goal 2.2×)", ratio(PEER, of(ONE)), _times),
        line("one process of the floor (goal 1.4×)", ratio(ONE, bottom), _times),
        line("two workers : peer's pool (goal 2.6×)", ratio(PEER_POOL, of(TWO)), _times),
        line("the same without the workers' start", ratio(PEER_POOL, warm), _times),
        line("copying : peer (goal 10×)", ratio(PEER, of(COPY)), _times),
    ]
    print(table(["", *(f"factor {factor}" for factor in FACTORS), "mean"], rows) + "\n")


def _times(value: float) -> str:
    return f"{value:.2f}×"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often the contenders take turns")
    rounds = parser.parse_args().rounds
    data = os.environ.get("MERBENCH_TEST_DATA")
    if not data:
        print("skipped: MERBENCH_TEST_DATA names no folder of real media")
        return
    has_peer = shutil.which("ffmpeg") is not None
    if not has_peer:
        print("skipped: the peer, since there is no executable `ffmpeg` on PATH; merbench itself needs none\n")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MERBENCH_HOME"] = str(Path(folder) / "home")
        _measure(prepare(Path(data), Path(folder)), rounds, has_peer=has_peer)


def _measure(bench: Bench, rounds: int, *, has_peer: bool) -> None:
    print(f"{len(bench.clips)} clips of {bench.duration_s:.0f} s in all, median of {rounds} rounds")
    print(machine(["av", "numpy", "opencv-python-headless"]) + "\n")
    quality, sizes = _qualities(bench, has_peer=has_peer)
    turns = {factor: contenders(bench, factor, quality[factor], has_peer=has_peer) for factor in FACTORS}
    taken: dict[int, list[dict[str, float]]] = {factor: [] for factor in FACTORS}
    parts: dict[int, list[dict[str, float]]] = {factor: [] for factor in FACTORS}
    for _ in range(rounds):
        for factor in FACTORS:
            taken[factor].append({name: contender() for name, contender in turns[factor].items()})
            parts[factor].append(floor(bench.clips, factor, Encoding.of(spec(quality[factor]))))
    times = {factor: medians(taken[factor]) for factor in FACTORS}
    print_times(times, {factor: medians(parts[factor]) for factor in FACTORS})
    _print_quality(bench, quality, sizes, has_peer=has_peer)
    _print_memory(bench, quality[4], has_peer=has_peer)
    _print_paper(bench, times)


def _qualities(bench: Bench, *, has_peer: bool) -> tuple[dict[int, int], dict[int, tuple[int, int]]]:
    """Return merbench's quantiser for every factor, and the sizes (peer's, merbench's) in bytes that led to it."""
    if not has_peer:
        return dict.fromkeys(FACTORS, 3), {}
    quality, sizes = {}, {}
    for factor in FACTORS:
        output = bench.work / f"peer-1-{factor}"
        corrupt_all(bench.clips, output, factor, sorted(bench.noises.glob("*.wav")))
        wanted = sum(path.stat().st_size for path in output.glob("*.mp4"))
        quality[factor], found = nearest_quality(bench, factor, wanted)
        sizes[factor] = wanted, found
    return quality, sizes


def _print_quality(
    bench: Bench, quality: Mapping[int, int], sizes: Mapping[int, tuple[int, int]], *, has_peer: bool
) -> None:
    rows = []
    for factor in FACTORS:
        ours = f"{luma_psnr(bench, factor, bench.work / f'one-{factor}'):.1f} dB"
        theirs = f"{luma_psnr(bench, factor, bench.work / f'peer-1-{factor}'):.1f} dB" if has_peer else ""
        megabytes = [f"{size / 1e6:.2f} MB" for size in sizes.get(factor, ())] or ["", ""]
        rows.append([f"factor {factor}", str(quality[factor]), megabytes[1], megabytes[0], ours, theirs])
    head = ["", "quantiser", "size", "peer's size", "luma PSNR", "peer's luma PSNR"]
    print(table(head, rows) + "\n")


def _print_memory(bench: Bench, quality: int, *, has_peer: bool) -> None:
    print(f"memory with {N_LONG_NOISES} noise files of {LONG_NOISE_S // 60} minutes, at its peak:")
    peak, mapped = worker_peak(bench, quality)
    shared = f", of which {mapped / 1e6:.0f} MB are pages of libraries that all workers share" if mapped else ""
    print(f"  a worker of merbench   {peak / 1e6:.0f} MB (goal: at most 150){shared}")
    if has_peer:
        few = bench.clips[:3]
        print(f"  the peer               {peer_alone(bench, 4, 1, bench.long_noises, few)[1] / 1e6:.0f} MB")
    print()


def _print_paper(bench: Bench, times: Mapping[int, Mapping[str, float]]) -> None:
    warm_s = statistics.fmean(times[factor][TWO] - times[factor][READY] for factor in FACTORS)
    core_s = 2 * warm_s / bench.duration_s
    clip_s = bench.duration_s / len(bench.clips)
    total_h = 10_000 * clip_s * core_s / 3600
    print(f"one second of a clip takes {seconds(core_s)} of one core; 10,000 clips of {clip_s:.1f} s:")
    print(f"  {total_h / 2:.2f} h on 2 cores, {total_h / 64 * 60:.1f} min on 64 cores\n")
    print(f"a manifest of {N_ROWS:,} clips:")
    for name, value in manifest_times(bench.work / "manifest").items():
        print(f"  {name:<30} {value:.1f}{'' if name.endswith('GB') else ' s'}")


if __name__ == "__main__":
    main()
