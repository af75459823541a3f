"""Random numbers from a seed, a step and a sample id: the same on every machine and for any order of samples.

Conventions:
    rng: a `numpy.random.PCG64`, of which only the raw 64-bit words are used: NumPy guarantees those across versions,
    but not what the methods of its `Generator` return. No number passes through `exp`, `log` or similar functions
    afterwards, because those differ between CPU kernels; powers are taken in decimals.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Context, Decimal
from functools import cache, lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.random import PCG64
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import NDArray

from merbench.files.reading import sha256_bytes

Words = NDArray[np.uint32]

NORMAL_UNIT = 1 / 4096
"""The grid of normal numbers."""

N_SLICES = 1 << 16
"""How many equal slices of [0, 1) a number of 16 bits distinguishes."""

_CHUNK = 1 << 12
"""How many samples are seeded at once."""


def generator(seed: int, step: str, sample_id: str) -> PCG64:
    """Return the generator of one sample for one step, from the SHA-256 of all three."""
    digest = sha256_bytes("\0".join((str(seed), step, sample_id)).encode())
    return PCG64(int(digest, 16))


def uniforms(rng: PCG64, n: int) -> NDArray[np.float64]:
    """Return `n` numbers from [0, 1), multiples of 2⁻⁵³, one word each."""
    words: NDArray[np.uint64] = rng.random_raw(n)
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


def below(rng: PCG64, n: int, bound: int) -> NDArray[np.int64]:
    """Return `n` whole numbers from 0 to `bound` − 1, each equally likely, one word each; `bound` is at most 2³⁶.

    Each is `bound` times the number that `uniforms` returns for the word, rounded down without error.
    """
    return scaled(rng.random_raw(n), bound)


def scaled(words: NDArray[np.uint64], bound: int) -> NDArray[np.int64]:
    """Return what `below` makes of some words."""
    upper, lower = words >> np.uint64(37), words >> np.uint64(11) & np.uint64((1 << 26) - 1)
    product = upper * np.uint64(bound) + (lower * np.uint64(bound) >> np.uint64(26))
    return (product >> np.uint64(27)).astype(np.int64)


def one_below(rng: PCG64, bound: int) -> int:
    """Return one whole number from 0 to `bound` − 1, as `below` does; `bound` may be of any size."""
    return ((int(rng.random_raw()) >> 11) * bound) >> 53


def normals(rng: PCG64, n: int) -> NDArray[np.int64]:
    """Return `n` standard normal numbers as integers in units of `NORMAL_UNIT`, four to a word."""
    return normal_quantiles()[slices(rng, n)]


def slices(rng: PCG64, n: int) -> NDArray[np.uint16]:
    """Return `n` numbers of 16 bits, from 0 to 65,535, four to a word, lowest bits first."""
    words: NDArray[np.uint64] = rng.random_raw(-(-n // 4))
    return words.astype("<u8", copy=False).view("<u2")[:n]


def permutation(rng: PCG64, n: int) -> NDArray[np.int64]:
    """Return the numbers below `n` in an order, each equally likely: that of `n` words."""
    words: NDArray[np.uint64] = rng.random_raw(n)
    return np.argsort(words, kind="stable")


@cache
def normal_quantiles() -> NDArray[np.int64]:
    """Return the normal quantiles at the middles of 65,536 equal slices of [0, 1], in units of `NORMAL_UNIT`."""
    quantile = NormalDist().inv_cdf
    upper = [round(quantile(0.5 + (i + 0.5) / N_SLICES) / NORMAL_UNIT) for i in range(N_SLICES // 2)]
    return np.array([-value for value in reversed(upper)] + upper)


SharedDraw = Callable[[str], float]
"""Name of a shared number -> that number, from [0, 1), the same for every step."""


def shared_draw(seed: int, sample_id: str) -> SharedDraw:
    """Return the shared numbers of one sample: one for each name, for all steps that use it."""
    return lambda name: float(uniforms(generator(seed, f"shared {name}", sample_id), 1)[0])


DISTRIBUTIONS = {"choice": "choice = [...]", "integers": "integers = [low, high]", "uniform": "uniform = [low, high]"}
"""How each distribution is written."""

SHARED = "shared"
"""The key of a distribution that names the number which it shares with others."""


def draw(value: Any, rng: PCG64, shared: SharedDraw | None = None) -> Any:
    """Return a plain value as it is, or one value of a distribution, already checked.

    A distribution uses one word of `rng`, or the shared number that it names, with which its ends may descend. Both
    ends are included.
    """
    if not isinstance(value, Mapping) or not DISTRIBUTIONS.keys() & value.keys():
        return value
    name = value.get(SHARED)
    if name is None:
        u = (rng.random_raw() >> 11) * 2.0**-53  # as `uniforms` does, without an array
    elif shared is None:
        raise ValueError(f"no shared number '{name}'")
    else:
        u = shared(name)
    ((kind, values),) = ((kind, item) for kind, item in value.items() if kind != SHARED)
    if kind == "choice":
        return values[int(u * len(values))]
    first, last = values
    if kind == "uniform":
        return first + u * (last - first)
    steps = int(u * (abs(last - first) + 1))
    return first + steps if last >= first else first - steps


_DECIMALS = Context(prec=28)


def power(base: float, numerator: float, denominator: float) -> Decimal:
    """Return `base^(numerator / denominator)` of a base above 0 to 28 digits, the same on every machine."""
    return _DECIMALS.power(Decimal(base), _DECIMALS.divide(Decimal(numerator), Decimal(denominator)))


@lru_cache(maxsize=4096)
def amplitude_ratio(decibels: float) -> float:
    """Return `10^(decibels / 20)`, the ratio of two amplitudes."""
    return float(power(10, decibels, 20))


def generators(seed: int, step: str, ids: Iterable[str]) -> Iterator[PCG64]:
    """Yield the generators of many samples for one step: those of `generator`, but thousands are seeded at once.

    To spread its seed over the state takes NumPy most of a generator's time.
    """
    prefix = hashlib.sha256(f"{seed}\0{step}\0".encode())
    ids = list(ids)
    for start in range(0, len(ids), _CHUNK):
        chunk = ids[start : start + _CHUNK]
        digests = []
        for sample_id in chunk:
            digest = prefix.copy()
            digest.update(sample_id.encode())
            digests.append(digest.digest())
        entropy = np.frombuffer(b"".join(digests), dtype=">u4").reshape(-1, 8)[:, ::-1].astype(np.uint32)
        states = seeded_states(entropy)
        for sample_id, state, highest in zip(chunk, states, entropy[:, -1].tolist(), strict=True):
            if highest:
                yield PCG64(_Seeded(state))  # type: ignore[arg-type] # any such interface will do; NumPy's types say less
            else:  # NumPy leaves out the leading words of a seed that are zero, which changes what it makes of it
                yield generator(seed, step, sample_id)


class _Seeded(ISeedSequence):
    """A seed that was already spread."""

    def __init__(self, state: NDArray[np.uint64]) -> None:
        self.state = state

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> NDArray[np.uint64]:
        return self.state


def seeded_states(entropy: Words) -> NDArray[np.uint64]:
    """Return `numpy.random.SeedSequence(seed).generate_state(4, numpy.uint64)` of every seed, `(n, k >= 4)` words.

    It is the algorithm of O'Neill's `seed_seq_fe` (2015), which NumPy guarantees; the lowest word is the first.
    """
    columns = entropy.T.astype(np.uint32)
    hashed = _Hash(0x43B0D7E5, 0x931E8875)
    pool = [hashed(column) for column in columns[:4]]
    for source in range(4):
        for target in range(4):
            if source != target:
                pool[target] = _mixed(pool[target], hashed(pool[source]))
    for column in columns[4:]:
        for target in range(4):
            pool[target] = _mixed(pool[target], hashed(column))
    hashed = _Hash(0x8B51F9DD, 0x58F38DED)
    state = np.stack([hashed(pool[i % 4]) for i in range(8)], axis=1)
    return state.astype("<u4").view("<u8").astype(np.uint64)


class _Hash:
    """The hash of `seed_seq_fe`, whose constant changes with every call."""

    def __init__(self, constant: int, multiplier: int) -> None:
        self.constant, self.multiplier = constant, multiplier

    def __call__(self, words: Words) -> Words:
        before, self.constant = self.constant, self.constant * self.multiplier & 0xFFFFFFFF
        return _folded((words ^ np.uint32(before)) * np.uint32(self.constant))


def _mixed(a: Words, b: Words) -> Words:
    return _folded(a * np.uint32(0xCA01F9DD) - b * np.uint32(0x4973F715))


def _folded(words: Words) -> Words:
    return words ^ (words >> np.uint32(16))
