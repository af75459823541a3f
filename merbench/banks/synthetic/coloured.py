"""Noise of five colours, whose power goes with the frequency to the power of 0, −1, −2, 1 or 2.

White noise is differenced by a fraction of an order (Kasdin, 1995): by −1/2 for pink, 1/2 for blue, 1 for violet, and
by −1 for brown, whose sum leaks, so that it stays where it is. Below about 2 Hz all of them are flat.
"""

from __future__ import annotations

import numpy as np

from merbench.banks.synthetic.arithmetic import RATE_HZ, Integers, at_rms, convolved, stream, white

N_SAMPLES = 16 * RATE_HZ
LEVEL = 3277
"""The rms: a tenth of full scale."""

COLOURS = {"white": 0.0, "pink": -0.5, "brown": -1.0, "blue": 0.5, "violet": 1.0}
"""Colour -> the order of the difference."""

_N_TAPS = RATE_HZ
_LEAK = 1 - 2.0**-11


def noise(colour: str) -> Integers:
    """Return sixteen seconds of a colour."""
    taps = _taps(COLOURS[colour])
    samples = white(stream("coloured", colour), N_SAMPLES + len(taps))
    return at_rms(convolved(samples, taps)[len(taps) :], LEVEL)


def _taps(order: float) -> Integers:
    """Return the series of a fractional difference, in units of 2⁻¹⁶: `h[k] = h[k-1] * (k - 1 - order) / k`."""
    taps, value = [1.0], 1.0
    leak = _LEAK if order < 0 else 1.0
    for k in range(1, _N_TAPS):
        value = value * (k - 1 - order) / k * leak
        taps.append(value)
    whole: Integers = np.rint(np.array(taps) * 65536).astype(np.int64)
    n_taps = int(np.flatnonzero(whole)[-1]) + 1
    return whole[:n_taps]
