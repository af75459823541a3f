"""A seed, a step and a sample id go in; numbers come out that are the same on every machine and for any sample order.

Conventions:
    rng: a `numpy.random.PCG64`, of which only the raw 64-bit words are used: NumPy promises those across
    versions, but not what the methods of its `Generator` make of them. No number passes through `exp`, `log` or
    their kin after it is drawn, because those differ between CPU kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from merbench.files import sha256_bytes

NORMAL_UNIT = 1 / 4096
"""The grid on which normal draws lie."""

N_SLICES = 1 << 16
"""How many equal slices of [0, 1) a draw of 16 bits tells apart."""


def generator(seed: int, step: str, sample_id: str) -> np.random.PCG64:
    """Return the generator of one sample for one step, from the SHA-256 of all three."""
    digest = sha256_bytes("\0".join((str(seed), step, sample_id)).encode())
    return np.random.PCG64(int(digest, 16))


def uniforms(rng: np.random.PCG64, n: int) -> NDArray[np.float64]:
    """Return `n` draws from [0, 1), multiples of 2⁻⁵³, one word each."""
    words: NDArray[np.uint64] = rng.random_raw(n)
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


def below(rng: np.random.PCG64, n: int, bound: int) -> NDArray[np.int64]:
    """Return `n` whole numbers from 0 to `bound` − 1, each equally likely, one word each.

    Each is `bound` times the draw that `uniforms` makes of the word, rounded down without error.

    Args:
        rng: the generator.
        n: how many.
        bound: from 1 to 2³⁶.
    """
    words: NDArray[np.uint64] = rng.random_raw(n)
    upper, lower = words >> np.uint64(37), words >> np.uint64(11) & np.uint64((1 << 26) - 1)
    product = upper * np.uint64(bound) + (lower * np.uint64(bound) >> np.uint64(26))
    return (product >> np.uint64(27)).astype(np.int64)


def one_below(rng: np.random.PCG64, bound: int) -> int:
    """Return one whole number from 0 to `bound` − 1, as `below` draws it; `bound` may be of any size."""
    return ((int(rng.random_raw()) >> 11) * bound) >> 53


def normals(rng: np.random.PCG64, n: int) -> NDArray[np.int64]:
    """Return `n` standard normal draws as integers in units of `NORMAL_UNIT`, four to a word."""
    return normal_quantiles()[slices(rng, n)]


def slices(rng: np.random.PCG64, n: int) -> NDArray[np.uint16]:
    """Return `n` draws of 16 bits, from 0 to 65,535, four to a word, lowest bits first."""
    words: NDArray[np.uint64] = rng.random_raw(-(-n // 4))
    return words.astype("<u8", copy=False).view("<u2")[:n]


def permutation(rng: np.random.PCG64, n: int) -> NDArray[np.int64]:
    """Return the numbers below `n` in an order of which each is equally likely: that of `n` words."""
    words: NDArray[np.uint64] = rng.random_raw(n)
    return np.argsort(words, kind="stable")


@cache
def normal_quantiles() -> NDArray[np.int64]:
    """Return the normal quantiles at the middles of 65,536 equal slices of [0, 1], in units of `NORMAL_UNIT`."""
    quantile = NormalDist().inv_cdf
    upper = [round(quantile(0.5 + (i + 0.5) / N_SLICES) / NORMAL_UNIT) for i in range(N_SLICES // 2)]
    return np.array([-value for value in reversed(upper)] + upper)


SharedDraw = Callable[[str], float]
"""Name of a shared number -> that number, from [0, 1), the same wherever it is asked for."""


def shared_draw(seed: int, sample_id: str) -> SharedDraw:
    """Return the shared numbers of one sample: one for each name, whichever steps ask for it."""
    return lambda name: float(uniforms(generator(seed, f"shared {name}", sample_id), 1)[0])


def draw(value: Any, rng: np.random.PCG64, shared: SharedDraw | None = None) -> Any:
    """Return a plain value as it is, or one draw from a distribution.

    Args:
        value: a plain value, or one of `{"choice": [...]}`, `{"integers": [low, high]}` (both inclusive) and
            `{"uniform": [low, high]}`, already checked; with a shared number the ends may descend. A distribution takes
            one word of `rng`, a plain value none; one with `"shared"` in it takes none either, but the number of that
            name.
        rng: the generator of the sample and step.
        shared: the sample's shared numbers; None where a declaration has none.
    """
    if not isinstance(value, Mapping) or not {"choice", "integers", "uniform"} & value.keys():
        return value
    name = value.get("shared")
    if name is None:
        u = (rng.random_raw() >> 11) * 2.0**-53  # as `uniforms` makes it, without an array
    elif shared is None:
        raise ValueError(f"the shared number '{name}' is not at hand")
    else:
        u = shared(name)
    ((kind, values),) = ((kind, item) for kind, item in value.items() if kind != "shared")
    if kind == "choice":
        return values[int(u * len(values))]
    first, last = values
    if kind == "uniform":
        return first + u * (last - first)
    steps = int(u * (abs(last - first) + 1))
    return first + steps if last >= first else first - steps
