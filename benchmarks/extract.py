"""Features of clips, of several extractors at once: compared with one decoding and each extractor by itself.

Inputs: the 15 clips of `$MERBENCH_TEST_DATA/data/media/video` (11 of 360 × 288 in MPEG-1, 4 of 524 to 844 pixels in
H.264; 54 s in all), in two copies that differ in their last byte. Extractors: all shipped ones of sound, pictures and
faces that can be constructed here; faces are searched for again in every round.
Timed: `merbench.features.extraction.extract`, from the corpus to its new features, in one process and in two, of all
clips, and of two equal ones, which is mostly the start; and, by itself, on one copy of the clips times two:
constructing (once), digests, decoding (sound at 16 kHz, all pictures), the search for faces, and every extractor on
what was decoded. What the machine allows: one copy in a process of its own, and both copies in two such at once, timed
when each has started and measured a clip. Then: peak memory of a new process for pictures of 10 and of 100 s, and for
sound of 1 and of 11 minutes; texts of ten words through `extract` and by the encoder itself.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.measuring import machine, peak_bytes, race, seconds, table
from merbench.corpus import Contents, Corpus, Metadata, write_corpus
from merbench.engine import suitable_threads
from merbench.engine.threads import ONE_THREAD
from merbench.errors import MerbenchError
from merbench.features.clips import FaceSearch, feed, measure_clips
from merbench.features.extraction import Request, extract
from merbench.features.extractor import Picture
from merbench.features.outputs import Recipe, kept_for_a_run
from merbench.features.shipped import EXTRACTORS
from merbench.features.sound import one_channel
from merbench.files.paths import data_home
from merbench.files.reading import sha256_file
from merbench.media import read_audio, read_video

ROUNDS, COPIES = 3, 2
N_TEXTS = 6000


def corpus_of(folder: Path, ids: list[str], **columns: list[str]) -> Corpus:
    """Return a new corpus of some samples."""
    samples = pa.table({"sample_id": ids, "split": ["train"] * len(ids), **columns})
    metadata = Metadata(name="clips", version="1.0", source="benchmark", licence="none")
    return write_corpus(folder, metadata, Contents(samples))


def usable() -> list[Recipe]:
    """Return a recipe of every extractor of clips that can be constructed here."""
    recipes = []
    for name in EXTRACTORS:
        recipe = Recipe(name, name)
        try:
            if recipe.extractor.input in ("sound", "pictures", "faces"):
                recipe.constructed  # noqa: B018
                recipes.append(Recipe(name, name))
        except MerbenchError as error:
            print(f"without {name}: {error}", file=sys.stderr)
    return recipes


def forget_faces() -> None:
    """Empty the cache of faces."""
    shutil.rmtree(data_home() / "cache" / "faces", ignore_errors=True)


@contextmanager
def timed(times: dict[str, float], name: str) -> Iterator[None]:
    """Add what a block takes."""
    start = time.perf_counter()
    yield
    times[name] += time.perf_counter() - start


def by_themselves(clips: list[Path], recipes: list[Recipe]) -> dict[str, float]:
    """Return how long each part takes by itself, for all clips."""
    times: dict[str, float] = defaultdict(float)
    forget_faces()
    with timed(times, "constructing"):
        for recipe in recipes:
            recipe.constructed  # noqa: B018
    for path in clips:
        with timed(times, "digests"):
            digest = sha256_file(path)
        with timed(times, "decoding"):
            sound = read_audio(path)
            at_16_khz = one_channel(sound, 16_000)
            for _ in read_video(path).frames:
                pass
        pictures = [Picture(frame) for frame in read_video(path).frames]
        for recipe in recipes:
            if recipe.extractor.input == "sound":
                rate = recipe.extractor.sample_rate_hz
                own = at_16_khz if rate == 16_000 else one_channel(sound, rate)
                with timed(times, recipe.name):
                    recipe.of_sound(own)
            elif recipe.extractor.input == "pictures":
                with timed(times, recipe.name):
                    reader = recipe.reader()
                    feed({0: reader}, pictures, {})
                    recipe.of_reader(reader)
        if any(recipe.extractor.input == "faces" for recipe in recipes):
            with ExitStack() as stack, timed(times, "search for faces"):
                search = FaceSearch(digest, None, stack)
                feed({0: search}, pictures, {})
                faces = search.faces()
            for recipe in recipes:
                if recipe.extractor.input == "faces":
                    with timed(times, recipe.name):
                        reader = recipe.reader()
                        feed({0: reader}, faces, {})
                        recipe.of_reader(reader)
    return times


def copied(clips: list[Path], folder: Path) -> list[str]:
    """Write the copies of clips, and return their names; copies of one digest would share their faces."""
    folder.mkdir()
    names = []
    for copy in range(COPIES):
        for path in clips:
            names.append(f"{path.stem}-{copy}")
            end = bytes([copy]) if path.suffix == ".mpg" else b"\0\0\0\x09free" + bytes([copy])  # decoders skip both
            (folder / f"{names[-1]}{path.suffix}").write_bytes(path.read_bytes() + end)
    return names


def extracting(corpus: Corpus, request: Request, workers: int) -> float:
    """Return how long extracting takes, faces included."""
    forget_faces()
    start = time.perf_counter()
    extract(corpus, request, replace=True, workers=workers)
    return time.perf_counter() - start


def independent(media: Path, n: int) -> float:
    """Return how long new processes take that know nothing of each other, each for one copy, once all are ready."""
    command = [sys.executable, "-m", "benchmarks.extract", "copy"]
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [*command, str(copy), str(media)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env={**os.environ, **ONE_THREAD},
                )
            )
            for copy in range(n)
        ]
        _lines(processes)
        forget_faces()
        start = time.perf_counter()
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(b"\n")
            process.stdin.flush()
        _lines(processes)
        return time.perf_counter() - start


def _lines(processes: list[subprocess.Popen[bytes]]) -> None:
    """Wait for a line of each process."""
    for process in processes:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise RuntimeError("a process that measures one copy of the clips failed")


def copy_here(copy: int, media: Path) -> None:
    """Measure a copy of the clips, when a line arrives: what one of several independent processes does."""
    recipes, clips = usable(), sorted(media.glob(f"*-{copy}.*"))
    with suitable_threads(0):
        measure_clips({clips[0].stem: clips[0]}, recipes)
        print("ready", flush=True)
        sys.stdin.readline()
        for clip in clips:
            measure_clips({clip.stem: clip}, recipes)
        print("done", flush=True)


def of_clips(folder: Path, clips: list[Path]) -> None:
    """Print how long extracting takes, and its parts."""
    recipes, media = usable(), folder / "clips"
    ids = copied(clips, media)
    corpus = corpus_of(folder / "corpus", ids)
    few = corpus_of(folder / "few", ids[:: len(clips)])
    request = Request([Recipe(recipe.name, recipe.source) for recipe in recipes], media=[media])
    contenders: dict[str, Callable[[], float]] = {
        "one process": lambda: extracting(corpus, request, 1),
        "two workers": lambda: extracting(corpus, request, 2),
        "one process, two clips": lambda: extracting(few, request, 1),
        "two workers, two clips": lambda: extracting(few, request, 2),
        "an independent process, half of the clips": lambda: independent(media, 1),
        "two at once, a half each": lambda: independent(media, 2),
    }
    parts: dict[str, list[float]] = defaultdict(list)
    results: dict[str, list[float]] = defaultdict(list)
    for _ in range(ROUNDS):
        with kept_for_a_run():
            for name, value in by_themselves(clips, [Recipe(item.name, item.source) for item in recipes]).items():
                parts[name].append(value * (1 if name == "constructing" else COPIES))
        for name, contender in contenders.items():
            results[name].append(contender())
    median = {name: statistics.median(values) for name, values in {**parts, **results}.items()}
    floor = sum(median[name] for name in parts)
    rows = [(name, seconds(median[name])) for name in parts]
    rows += [("all of these", seconds(floor))]
    rows += [(name, seconds(median[name])) for name in results]
    print(table(("", f"{len(ids)} clips"), rows))
    print(f"\n{len(recipes)} extractors: {median['one process'] / floor:.2f} times the sum of the parts")
    one, two, few_one, few_two, half, halves = (np.array(results[name]) for name in contenders)
    for name, ratios in (
        ("two workers beyond their start (with a clip each)", (one - few_one) / (two - few_two)),
        ("two independent processes", COPIES * half / halves),
    ):
        print(f"{name}: {_listed(ratios)} times one, median {np.median(ratios):.2f}")
    print()


def _listed(ratios: np.ndarray) -> str:
    return ", ".join(f"{ratio:.2f}" for ratio in ratios)


def memory(kind: str, repeat: int, folder: Path) -> int:
    """Return the peak memory of a process that extracts features of one clip, in bytes."""
    command = [sys.executable, "-m", "benchmarks.extract", kind, str(repeat), str(folder)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def memory_here(kind: str, repeat: int, folder: Path) -> None:
    """Extract features of one clip and print the peak memory."""
    media = folder / f"{kind}-{repeat}"
    media.mkdir()
    write = {"pictures": _write_pictures, "sound": _write_sound}[kind]
    write(media / "long.mkv", repeat)
    corpus = corpus_of(folder / f"corpus-{kind}-{repeat}", ["long"])
    request = Request([Recipe("x", "face" if kind == "pictures" else "voice")], media=[media])
    extract(corpus, request)
    print(peak_bytes())


def _write_pictures(path: Path, n_seconds: int) -> None:
    import av

    with av.open(str(path), "w") as output:
        stream = output.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        rng = np.random.default_rng(0)
        noise = rng.integers(0, 255, (480, 640, 3), dtype=np.uint8)
        for number in range(25 * n_seconds):
            frame = av.VideoFrame.from_ndarray(np.roll(noise, number, axis=1), "rgb24")
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def _write_sound(path: Path, n_seconds: int) -> None:
    import soundfile

    noise = np.random.default_rng(0).normal(0, 0.1, (16_000, 1)).astype(np.float32)
    with soundfile.SoundFile(path.with_suffix(".wav"), "w", 16_000, 1) as file:
        for _ in range(n_seconds):
            file.write(noise)


def of_texts(folder: Path) -> None:
    """Print how fast texts are extracted, and how fast the encoder by itself reads them."""
    recipe = Recipe("sentence", "sentence")
    try:
        encode = recipe.constructed
    except MerbenchError as error:
        print(f"without texts: {error}", file=sys.stderr)
        return
    words = "calm glad sorry angry weather morning people really never always nothing something".split()
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(words, 10)) for _ in range(N_TEXTS)]
    corpus = corpus_of(folder / "texts", [f"t{number:05}" for number in range(N_TEXTS)], transcript=texts)
    contenders: dict[str, Callable[[], Any]] = {
        "by itself": lambda: [encode(texts[start : start + 64]) for start in range(0, N_TEXTS, 64)],
        "extract": lambda: extract(corpus, Request([Recipe("sentence", "sentence")]), replace=True),
    }
    median = race(contenders, ROUNDS)
    rates = ", ".join(f"{name} {N_TEXTS / value:,.0f} a second" for name, value in median.items())
    print(f"texts of ten words: {rates}\n")


def main() -> int:
    """Print the results."""
    data = os.environ.get("MERBENCH_TEST_DATA")
    if data is None:
        print("MERBENCH_TEST_DATA names no folder; nothing is measured", file=sys.stderr)
        return 0
    clips = sorted(path for path in Path(data, "data/media/video").rglob("*") if path.is_file())
    print(machine(("numpy", "scipy", "av", "opencv-python-headless")) + "\n")
    with tempfile.TemporaryDirectory() as folder:
        of_clips(Path(folder), clips)
        of_texts(Path(folder))
        for kind, few, many in (("pictures", 10, 100), ("sound", 60, 660)):
            low, high = memory(kind, few, Path(folder)), memory(kind, many, Path(folder))
            grows = (high - low) / (many - few)
            peaks = f"{low / 1e6:.0f} and {high / 1e6:.0f} MB"
            print(f"memory, {kind} of {few} and {many} s: {peaks}, {grows / 1e3:.1f} kB a second")
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["copy"]:
        copy_here(int(sys.argv[2]), Path(sys.argv[3]))
    elif len(sys.argv) == 4:
        memory_here(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
    else:
        sys.exit(main())
