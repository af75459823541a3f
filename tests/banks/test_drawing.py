"""The same words of the generator give the same crop of the files' own samples; only what a crop needs is read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from banks_of_sounds import write_sound
from hypothesis import given
from hypothesis import strategies as st

from merbench.banks.bank import Bank, Fill
from merbench.banks.importing import import_folder
from merbench.errors import Inapplicable, IntegrityError

RATE = 16_000
SIZES = {"a": 3000, "b": 5000, "c": 20_000}


def rng(seed: int = 0) -> np.random.PCG64:
    return np.random.PCG64(seed)


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    """Three files of 3,000, 5,000 and 20,000 samples, which no test changes."""
    folder = tmp_path_factory.mktemp("three")
    for seed, (name, n) in enumerate(SIZES.items()):
        write_sound(folder / f"{name}.wav", n, seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MERBENCH_HOME", str(folder / "home"))
        return import_folder("three", folder).bank


def stored(bank: Bank, source: str) -> np.ndarray:
    import soundfile

    files = source.split(" + ")
    return np.concatenate([soundfile.read(bank.folder / file, dtype="float32")[0] for file in files])


@given(seed=st.integers(0, 2**32), n=st.integers(1, 40_000))
def test_a_crop_is_part_of_the_files_one_after_the_other(seed: int, n: int, bank: Bank) -> None:
    drawn = bank.draw(rng(seed), n, RATE)
    samples, start = stored(bank, drawn.sources[0]), round(drawn.offsets_s[0] * RATE)
    assert drawn.audio.samples.shape == (1, n) and drawn.audio.samples.dtype == np.float32
    assert np.array_equal(drawn.audio.samples[0], samples[start : start + n])
    # files are appended until they are long enough, and no further
    last = drawn.sources[0].split(" + ")[-1]
    assert len(samples) - SIZES[last[0]] < n <= len(samples)


def test_the_words_of_the_generator_determine_the_crop(bank: Bank) -> None:
    # One word chooses the file, one the offset: the upper 53 bits times the count, by 2**53, rounded down.
    words = [int(word) >> 11 for word in rng(7).random_raw(2)]
    file = ["a.wav", "b.wav", "c.wav"][words[0] * 3 >> 53]
    n_starts = SIZES[file[0]] - 1000 + 1
    state = rng(7)
    drawn = bank.draw(state, 1000, RATE)
    assert (drawn.sources, drawn.offsets_s) == ((file,), ((words[1] * n_starts >> 53) / RATE,))
    assert state.random_raw() == rng(7).random_raw(3)[2]


def test_what_follows_a_file_that_is_too_short(bank: Bank) -> None:
    looped = bank.draw(rng(3), 30_000, RATE, fill="loop")
    start = round(looped.offsets_s[0] * RATE)
    expected = np.resize(stored(bank, looped.sources[0]), start + 30_000)[start:]
    assert np.array_equal(looped.audio.samples[0], expected)
    crop = bank.draw(rng(3), 2000, RATE, fill="loop")
    start = round(crop.offsets_s[0] * RATE)
    assert np.array_equal(crop.audio.samples[0], stored(bank, crop.sources[0])[start : start + 2000])
    entire = bank.draw(rng(2), 10, RATE, fill="entire")
    assert np.array_equal(entire.audio.samples[0], stored(bank, entire.sources[0]))
    assert entire.offsets_s == (0.0,)
    assert bank.draw(rng(), 0, RATE).audio.samples.shape == (1, 0)


@pytest.mark.parametrize("from_hz", [8000, 44_100])
def test_a_crop_at_another_rate_is_that_of_the_entire_file_resampled(from_hz: int, home: Path, tmp_path: Path) -> None:
    import soxr

    samples = write_sound(tmp_path / "sounds" / "a.flac", 3 * from_hz, from_hz)
    resampled = soxr.resample(samples, from_hz, RATE, quality="HQ")
    bank = import_folder("rates", tmp_path / "sounds").bank
    for seed in range(8):
        drawn = bank.draw(rng(seed), 5000, RATE)
        start = round(drawn.offsets_s[0] * RATE)
        # a resampler that begins elsewhere rounds elsewhere; its filter is down by more than 120 dB at the margin
        assert np.abs(drawn.audio.samples[0] - resampled[start : start + 5000]).max() < 1e-5
    entire = bank.draw(rng(), 1, RATE, fill="entire").audio.samples[0]
    assert entire.shape == (3 * RATE,) and np.abs(entire - resampled[: 3 * RATE]).max() < 1e-5


def test_channels_are_averaged_and_a_single_sample_is_repeated(home: Path, tmp_path: Path) -> None:
    samples = write_sound(tmp_path / "wide" / "a.wav", 4000, channels=3)
    drawn = import_folder("wide", tmp_path / "wide").bank.draw(rng(), 4000, RATE)
    assert np.allclose(drawn.audio.samples[0], samples.astype(np.float64).mean(axis=1), atol=1e-7)
    write_sound(tmp_path / "short" / "a.wav", np.array([0.25]))
    short = import_folder("short", tmp_path / "short").bank
    for fill in ("loop", "concatenate"):
        assert short.draw(rng(), 5, RATE, fill=fill).audio.samples.tolist() == [[0.25] * 5]  # type: ignore[arg-type]
    assert short.draw(rng(), 3, 8000, fill="loop").audio.samples.shape == (1, 3)


@pytest.mark.parametrize("suffix", ["ogg", "mp3", "flac"])
def test_a_crop_of_any_format_begins_where_it_states(suffix: str, home: Path, tmp_path: Path) -> None:
    at = np.arange(10 * RATE) / RATE
    write_sound(tmp_path / "sounds" / f"a.{suffix}", 0.3 * np.sin(2 * np.pi * (200 + 50 * at) * at))
    bank = import_folder("formats", tmp_path / "sounds").bank
    samples = stored(bank, f"a.{suffix}")
    for seed in range(5):
        drawn = bank.draw(rng(seed), 8000, RATE)
        start = round(drawn.offsets_s[0] * RATE)
        # MP3 read at once begins with a seek, which moves the last bit
        error = np.abs(drawn.audio.samples[0] - samples[start : start + 8000]).max()
        assert error < (1e-6 if suffix == "mp3" else 1e-30)


def test_sources_differ_in_speaker_and_each_is_of_one(home: Path, tmp_path: Path) -> None:
    sounds = tmp_path / "sounds"
    for number in range(6):
        write_sound(sounds / f"{number}.wav", 3000, seed=number)
    rows = "".join(f"{number}.wav,{'xyy'[number % 3]}\n" for number in range(6))
    (sounds / "index.csv").write_text(f"file,speaker\n{rows}", encoding="utf-8")
    bank = import_folder("speakers", sounds).bank
    of = {sound.file: sound.speaker for sound in bank.sounds}
    drawn = bank.draw(rng(), 8000, RATE, n_sources=2)
    assert drawn.audio.samples.shape == (2, 8000)
    speakers = [{of[file] for file in source.split(" + ")} for source in drawn.sources]
    assert sorted(map(sorted, speakers)) == [["x"], ["y"]]
    others = [bank.draw(rng(seed), 8000, RATE, other_than_speaker="x").sources[0] for seed in range(5)]
    assert {of[file] for source in others for file in source.split(" + ")} == {"y"}
    with pytest.raises(Inapplicable, match=r"^noise bank speakers: has fewer than 2 voice\(s\) other than x$"):
        bank.draw(rng(), 10, RATE, n_sources=2, other_than_speaker="x")


def test_sources_without_known_speakers_differ_in_file(bank: Bank) -> None:
    drawn = bank.draw(rng(), 25_000, RATE, n_sources=3)
    # a file that is too short is followed by itself: no other file is known to be of its voice
    files = [set(source.split(" + ")) for source in drawn.sources]
    assert [len(file) for file in files] == [1, 1, 1] and len(set.union(*files)) == 3
    with pytest.raises(Inapplicable, match=r"^noise bank three: has fewer than 4 voice\(s\)$"):
        bank.draw(rng(), 10, RATE, n_sources=4)


def test_a_silent_crop_is_replaced_a_hundred_times_at_most(home: Path, tmp_path: Path) -> None:
    samples = np.zeros(20_000)
    samples[10_000:10_500] = 0.5
    write_sound(tmp_path / "quiet" / "a.wav", samples)
    bank = import_folder("quiet", tmp_path / "quiet").bank
    for seed in range(10):
        assert np.abs(bank.draw(rng(seed), 500, RATE).audio.samples).max() == 0.5
    samples = np.zeros(10_000_000, np.float32)
    samples[5] = 0.5
    write_sound(tmp_path / "click" / "a.wav", samples)
    bank = import_folder("click", tmp_path / "click").bank
    with pytest.raises(Inapplicable, match=r"^noise bank click: 100 crops of 0\.005 s were silent$"):
        bank.draw(rng(), 80, RATE)


@pytest.mark.parametrize(("n", "sources", "fill"), [(-1, 1, "loop"), (5, 0, "loop"), (5, 2, "entire")])
def test_what_cannot_be_drawn_is_a_mistake_of_the_caller(n: int, sources: int, fill: Fill, bank: Bank) -> None:
    with pytest.raises(ValueError, match=r"^\d sources of -?\d samples \(\w+\) cannot be drawn$"):
        bank.draw(rng(), n, RATE, n_sources=sources, fill=fill)


def test_a_file_that_changes_after_the_bank_was_opened_is_reported(home: Path, tmp_path: Path) -> None:
    write_sound(tmp_path / "sounds" / "a.wav", 1000)
    bank = import_folder("changing", tmp_path / "sounds").bank
    write_sound(bank.folder / "a.wav", 20)
    with pytest.raises(IntegrityError, match=r"a\.wav: the file changed: samples are missing$"):
        bank.draw(rng(), 1, RATE, fill="entire")
    (bank.folder / "a.wav").write_bytes(b"no sound")
    with pytest.raises(IntegrityError, match=r"a\.wav: cannot be read as a sound any more: "):
        bank.draw(rng(), 10, RATE)


MEASURE = """
import sys
import numpy as np
from peak_memory import peak_bytes
from merbench.banks.folder import open_bank
bank = open_bank("long")
bank.draw(np.random.PCG64(0), 80_000, 16_000)
before = peak_bytes()
for seed in range(20):
    bank.draw(np.random.PCG64(seed), 80_000, 16_000, n_sources=3)
print(peak_bytes() - before)
"""


@pytest.mark.slow
def test_long_files_do_not_fill_the_memory(home: Path, tmp_path: Path) -> None:
    for number in range(3):
        write_sound(tmp_path / "sounds" / f"{number}.wav", 300 * 24_000, 24_000, seed=number)  # 5 minutes, 14 MB each
    import_folder("long", tmp_path / "sounds", in_place=True)
    tests = Path(__file__).parents[1]
    code = f"import sys; sys.path[:0] = [{str(tests)!r}, {str(tests.parent)!r}]\n{MEASURE}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 12_000_000
