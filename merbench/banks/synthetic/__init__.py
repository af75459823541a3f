"""The noise bank that merbench makes of nothing, so that everything runs with nothing downloaded.

Four parts, 16 kHz, 16 bits, mono: `babble`, sixteen voices that speak no language; `coloured`, noise of five colours;
`events`, beeps, knocks and breaking glass; `rooms`, impulse responses of seven reverberation times. All of it is
computed in whole numbers, so that every machine makes the same files, byte for byte.

None of it is a recording, and no result on it stands for one on recorded noise.
"""

from __future__ import annotations

import wave
from collections.abc import Iterator
from pathlib import Path

from merbench.banks.bank import Bank
from merbench.banks.measuring import Known, measured
from merbench.banks.storing import write_bank
from merbench.banks.synthetic import babble, coloured, events, rooms
from merbench.banks.synthetic.arithmetic import RATE_HZ, Integers

VERSION = "1.0"
NAME = "synthetic"


def build_synthetic(folder: Path) -> None:
    """Write the bank into an empty folder."""
    known = {}
    for file, about, samples in _sounds():
        known[file] = about
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(path), "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(RATE_HZ)
            sound.writeframes(samples.astype("<i2").tobytes())
    sounds, _ = measured(folder, known)
    write_bank(folder, Bank(NAME, folder, sounds, VERSION, "made by merbench, synthetic", "CC0-1.0"))


def _sounds() -> Iterator[tuple[str, Known, Integers]]:
    """Yield file, what is known of it, and samples in steps of 16 bits."""
    for talker in babble.TALKERS:
        yield f"babble/{talker.name}.wav", Known("babble", "voice", talker.name), babble.speech(talker)
    for colour in coloured.COLOURS:
        yield f"coloured/{colour}.wav", Known("coloured", colour), coloured.noise(colour)
    for kind in events.KINDS:
        for variant in range(events.N_VARIANTS):
            yield f"events/{kind}-{variant + 1}.wav", Known("events", kind), events.event(kind, variant)
    for milliseconds in rooms.DECAY_TIMES_MS:
        file = f"rooms/decay-{milliseconds:04}-ms.wav"
        yield file, Known("rooms", f"{milliseconds / 1000:g} s"), rooms.impulse_response(milliseconds)
