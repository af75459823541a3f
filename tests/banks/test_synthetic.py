"""The bank that merbench makes of nothing: its bytes, and that its sounds are what their names say."""

from __future__ import annotations

from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from banks_of_sounds import write_sound
from hypothesis import given
from hypothesis import strategies as st

from merbench.banks.bank import Bank
from merbench.banks.home import BANKS, open_bank, write_bank
from merbench.banks.sounds import Sound, measured
from merbench.banks.synthetic import convolved, decay, ringing
from merbench.builders import BUILDERS, Builder
from merbench.errors import UnknownName, UsageError


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MERBENCH_HOME", str(tmp_path_factory.mktemp("home")))
        return open_bank("synthetic")


def samples(bank: Bank, file: str) -> np.ndarray:
    import soundfile

    read: Any = soundfile.read(bank.folder / file)[0]
    return np.asarray(read)


def test_the_bytes_of_every_sound_are_promised(bank: Bank) -> None:
    assert bank.digest == "0289fbc2e4b04fc97eab224a29d68b8e455c4649ffe2d32100ab7a7dee7b4f34"


def test_what_it_holds(bank: Bank) -> None:
    assert bank.parts == {"babble": 16, "coloured": 5, "events": 9, "rooms": 7}
    assert {(sound.rate_hz, sound.channels) for sound in bank.sounds} == {(16_000, 1)}
    assert len({sound.voice for sound in bank.of("babble").sounds}) == 16
    assert all(sound.speaker for sound in bank.of("babble").sounds)
    assert not any(sound.speaker for sound in bank.sounds if sound.part != "babble")
    assert sum(sound.n_bytes for sound in bank.sounds) < 15_000_000


@pytest.mark.parametrize(
    ("colour", "exponent"), [("white", 0), ("pink", -1), ("brown", -2), ("blue", 1), ("violet", 2)]
)
def test_the_power_of_a_colour_goes_with_the_frequency(colour: str, exponent: int, bank: Bank) -> None:
    signal = pytest.importorskip("scipy.signal")
    frequencies, power = signal.welch(samples(bank, f"coloured/{colour}.wav"), 16_000, nperseg=8192)
    band = (frequencies > 40) & (frequencies < 3000)
    slope, _ = np.polyfit(np.log10(frequencies[band]), np.log10(power[band]), 1)
    assert slope == pytest.approx(exponent, abs=0.06)


def test_a_room_dies_out_in_the_time_it_is_named_for(bank: Bank) -> None:
    for sound in bank.of("rooms").sounds:
        response = samples(bank, sound.file)
        assert np.argmax(np.abs(response)) == 0
        energy = np.cumsum(response[64:][::-1] ** 2)[::-1]  # Schroeder (1965)
        level = 10 * np.log10(np.maximum(energy / energy[0], 1e-12))
        seconds = 3 * (np.argmax(level < -25) - np.argmax(level < -5)) / 16_000
        assert seconds == pytest.approx(float(sound.label.removesuffix(" s")), rel=0.06)


def test_talkers_differ_and_speak_in_syllables(bank: Bank) -> None:
    talkers = [samples(bank, sound.file) for sound in bank.of("babble").sounds]
    likeness = np.corrcoef(np.stack(talkers))
    assert np.abs(likeness - np.eye(16)).max() < 0.05
    for talker in talkers:
        loudness = np.sqrt(np.mean(talker.reshape(-1, 400) ** 2, axis=1))  # every 25 ms
        assert np.mean(loudness < 0.005) > 0.05  # pauses
        spectrum = np.abs(np.fft.rfft(loudness - loudness.mean())) ** 2
        frequencies = np.fft.rfftfreq(len(loudness), 0.025)
        syllables = (frequencies >= 2) & (frequencies <= 10)
        assert spectrum[syllables].sum() > 0.4 * spectrum.sum()


def test_a_beep_is_a_tone_and_breaking_glass_is_high(bank: Bank) -> None:
    for sound in bank.of("events").sounds:
        spectrum = np.abs(np.fft.rfft(samples(bank, sound.file), 16_000)) ** 2  # a bin is a hertz
        strongest = int(np.argmax(spectrum))
        match sound.label:
            case "beep":
                assert spectrum[strongest - 8 : strongest + 9].sum() > 0.85 * spectrum.sum()
                assert 690 < strongest < 1610
            case "knock":
                assert spectrum[:1300].sum() > 0.9 * spectrum.sum()
            case "glass":
                assert spectrum[1500:].sum() > 0.9 * spectrum.sum()


def test_babble_of_several_voices(bank: Bank) -> None:
    drawn = bank.of("babble").draw(np.random.PCG64(0), 160_000, 16_000, n_sources=5)
    assert drawn.audio.samples.shape == (5, 160_000)
    assert len({source.partition(" + ")[0] for source in drawn.sources}) == 5


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the bank be one of a single sound."""

    def build(folder: Path) -> None:
        write_sound(folder / "events" / "a.wav", 100)
        sounds, _ = measured(folder, [Sound("events/a.wav", "events")])
        write_bank(folder, Bank("synthetic", folder, sounds))

    monkeypatch.setitem(BUILDERS["banks"], "synthetic", lambda: Builder("1.0", build))


@pytest.mark.usefixtures("tiny")
def test_it_is_built_once_whoever_asks_first(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert BANKS.names() == ("synthetic",)
    found: list[Bank] = []
    threads = [Thread(target=lambda: found.append(open_bank("synthetic/events"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0].digest == found[1].digest
    assert capsys.readouterr().err == f"building the synthetic noise bank in {home / 'synthetic'}\n"


@pytest.mark.usefixtures("tiny")
def test_one_of_an_older_version_is_replaced(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    BANKS.build("synthetic")
    toml = home / "synthetic" / "bank.toml"
    toml.write_text(toml.read_text(encoding="utf-8").replace('"1.0"', '"0.9"'), encoding="utf-8")
    assert open_bank("synthetic").version == "1.0"
    assert capsys.readouterr().err.count("building") == 2


@pytest.mark.usefixtures("tiny")
def test_it_is_built_elsewhere_and_over_nothing_else(home: Path, tmp_path: Path) -> None:
    BANKS.build("synthetic", tmp_path / "elsewhere")
    with pytest.raises(UsageError, match=r"elsewhere: already exists; --force replaces it$"):
        BANKS.build("synthetic", tmp_path / "elsewhere")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(UsageError, match=r"other: already exists and has no bank\.toml, so that it is not replaced$"):
        BANKS.build("synthetic", tmp_path / "other", replace=True)
    with pytest.raises(UnknownName, match=r"^no noise bank builder named 'musan' \(known: synthetic\)$"):
        BANKS.build("musan")


@given(
    st.lists(st.integers(-20_000, 20_000), min_size=1, max_size=300), st.lists(st.integers(-65_536, 65_536), min_size=1)
)
def test_sums_by_a_transform_are_the_whole_numbers_that_they_are(samples: list[int], taps: list[int]) -> None:
    found = convolved(np.array(samples), np.array(taps))
    assert np.array_equal(found, np.convolve(np.array(samples), np.array(taps))[: len(samples)])


def test_an_oscillation_has_its_frequency_and_its_decay() -> None:
    ringing_out = ringing(1000, 50, 4000).astype(float)
    # amplitude exp(-pi * 50 Hz * t): after 0.1 s, exp(-15.7) = 1.5e-7 of 2**20; zero crossings twice a period
    assert np.abs(ringing_out[1600:]).max() < 3
    crossings = np.flatnonzero(np.diff(np.signbit(ringing_out[:320])))
    assert len(crossings) in (39, 40)  # twice in each of 20 periods, of which the first begins at 0
    assert np.abs(ringing_out[160:176]).max() / np.abs(ringing_out[:16]).max() == pytest.approx(
        np.exp(-np.pi * 0.5), rel=0.02
    )


def test_a_decay_falls_by_60_db_in_its_time() -> None:
    envelope = decay(16_001, 1000)
    assert envelope[0] == 1 << 30
    assert envelope[16_000] / envelope[0] == pytest.approx(1e-3, rel=1e-3)
