"""Impulse responses of no real room: a direct path, then noise that dies out (Polack, 1988).

They have one time of decay for all frequencies, no single reflections, and no room's modes: enough to smear a sound by
a known time, not to place it in a room.
"""

from __future__ import annotations

import numpy as np

from merbench.banks.synthetic.arithmetic import RATE_HZ, Integers, at_peak, decay, stream, white

DECAY_TIMES_MS = (150, 300, 450, 600, 900, 1200, 1800)
"""Reverberation times: after them, the tail is 60 dB below its beginning."""

GAP_MS = 4
"""From the direct path to the first reflection."""

DIRECT = 1 << 20
"""The direct path, in units in which the tail begins with a standard deviation of 2¹⁶."""

LEVEL = 16384


def impulse_response(time_ms: int) -> Integers:
    """Return the response of a decay time; the direct path is its first sample."""
    n = time_ms * RATE_HZ // 1000
    tail = white(stream("rooms", str(time_ms)), n) * decay(n, time_ms) >> 26
    samples = np.concatenate([np.zeros(GAP_MS * RATE_HZ // 1000, dtype=np.int64), tail])
    samples[0] = DIRECT
    return at_peak(samples, LEVEL)
