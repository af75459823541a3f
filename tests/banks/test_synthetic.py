"""The bank that merbench makes itself: its bytes, and that its sounds are what their names state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from merbench.banks.bank import Bank
from merbench.banks.folder import open_bank


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MERBENCH_HOME", str(tmp_path_factory.mktemp("home")))
        return open_bank("synthetic")


def samples(bank: Bank, file: str) -> np.ndarray:
    import soundfile

    read: Any = soundfile.read(bank.folder / file)[0]
    return np.asarray(read)


def test_the_bytes_of_every_sound_are_fixed(bank: Bank) -> None:
    assert bank.digest == "0289fbc2e4b04fc97eab224a29d68b8e455c4649ffe2d32100ab7a7dee7b4f34"
    assert bank.parts == {"babble": 16, "coloured": 5, "events": 9, "rooms": 7}
    assert {(sound.rate_hz, sound.channels) for sound in bank.sounds} == {(16_000, 1)}
    assert len({sound.speaker for sound in bank.of("babble").sounds} - {""}) == 16
    assert not any(sound.speaker for sound in bank.sounds if sound.part != "babble")
    assert sum(sound.n_bytes for sound in bank.sounds) < 15_000_000


@pytest.mark.parametrize(
    ("colour", "exponent"), [("white", 0), ("pink", -1), ("brown", -2), ("blue", 1), ("violet", 2)]
)
def test_the_power_of_a_colour_depends_on_the_frequency(colour: str, exponent: int, bank: Bank) -> None:
    signal = pytest.importorskip("scipy.signal")
    frequencies, power = signal.welch(samples(bank, f"coloured/{colour}.wav"), 16_000, nperseg=8192)
    band = (frequencies > 40) & (frequencies < 3000)
    slope, _ = np.polyfit(np.log10(frequencies[band]), np.log10(power[band]), 1)
    assert slope == pytest.approx(exponent, abs=0.06)


def test_an_impulse_response_decays_in_the_time_that_it_is_named_for(bank: Bank) -> None:
    for sound in bank.of("rooms").sounds:
        response = samples(bank, sound.file)
        assert np.argmax(np.abs(response)) == 0
        energy = np.cumsum(response[64:][::-1] ** 2)[::-1]  # Schroeder (1965)
        level = 10 * np.log10(np.maximum(energy / energy[0], 1e-12))
        seconds = 3 * (np.argmax(level < -25) - np.argmax(level < -5)) / 16_000
        assert seconds == pytest.approx(float(sound.label.removesuffix(" s")), rel=0.06)


def test_talkers_differ_and_speak_in_syllables(bank: Bank) -> None:
    talkers = [samples(bank, sound.file) for sound in bank.of("babble").sounds]
    assert np.abs(np.corrcoef(np.stack(talkers)) - np.eye(16)).max() < 0.05
    for talker in talkers:
        loudness = np.sqrt(np.mean(talker.reshape(-1, 400) ** 2, axis=1))  # every 25 ms
        assert np.mean(loudness < 0.005) > 0.05  # pauses
        spectrum = np.abs(np.fft.rfft(loudness - loudness.mean())) ** 2
        frequencies = np.fft.rfftfreq(len(loudness), 0.025)
        syllables = (frequencies >= 2) & (frequencies <= 10)
        assert spectrum[syllables].sum() > 0.4 * spectrum.sum()


def test_a_beep_is_a_tone_a_knock_is_low_and_breaking_glass_is_high(bank: Bank) -> None:
    for sound in bank.of("events").sounds:
        spectrum = np.abs(np.fft.rfft(samples(bank, sound.file), 16_000)) ** 2  # a bin is a hertz
        strongest = int(np.argmax(spectrum))
        assert sound.label != "beep" or 690 < strongest < 1610
        band = {"beep": slice(strongest - 8, strongest + 9), "knock": slice(1300), "glass": slice(1500, None)}
        assert spectrum[band[sound.label]].sum() > 0.85 * spectrum.sum()
