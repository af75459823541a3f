"""Pseudo-labels of SoLar by Sinkhorn, 65,536 × 6, with the released stopping rule: at most 50 steps, tested every ten.

One thread, from predictions and sets to shares of labels. The other form makes the whole matrix again in every step, by
sums over rows and columns. The floor is what 50 steps cannot do without: two products of a vector with the matrix each.
All 50 steps are timed, too, with a tolerance of 0. The shares are equal to those of the other form in float64 to 1e-4.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.measuring import machine, race, seconds, table
from merbench.training.networks.long_tails import sinkhorn

N, K, POWER, STEPS = 65_536, 6, 3.0, 50


def plain(matrix: Tensor, prior: Tensor) -> Tensor:
    """Return shares of labels by columns and rows that are divided by their sums in turn."""
    shares = (matrix / matrix.amax(1, keepdim=True)) ** POWER
    for _ in range(STEPS):
        shares = shares / shares.sum(0) * prior * len(shares)
        shares = shares / shares.sum(1, keepdim=True)
    return shares


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=21)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    rng = torch.Generator().manual_seed(0)
    prior = 20.0 ** (-torch.arange(K) / (K - 1))
    prior /= prior.sum()
    right = torch.multinomial(prior, N, replacement=True, generator=rng)
    scores = torch.randn(N, K, generator=rng) + 2 * torch.nn.functional.one_hot(right, K)
    sets = torch.rand(N, K, generator=rng) < 0.3
    sets[torch.arange(N), right] = True
    matrix = scores.softmax(-1) * sets
    kernel, u, v = matrix.mT.contiguous(), torch.rand(N, 1), torch.rand(1, K)

    def floor() -> None:
        for _ in range(STEPS):
            kernel @ u
            v @ kernel

    contenders: dict[str, Callable[[], object]] = {
        "sinkhorn": lambda: sinkhorn(matrix, prior, POWER),
        "all 50 steps": lambda: sinkhorn(matrix, prior, POWER, tolerance=0.0),
        "the matrix again in every step": lambda: plain(matrix, prior),
        "products by themselves": floor,
    }
    times = race(contenders, rounds)
    difference = (sinkhorn(matrix, prior, POWER, tolerance=0.0) - plain(matrix.double(), prior.double())).abs().max()
    assert difference < 1e-4, float(difference)
    print(machine(["torch"]))
    print(table(("contender", "time", "of 15 ms"), [(n, seconds(t), f"{t / 15e-3:.2f}") for n, t in times.items()]))
    print(f"shares: within {float(difference):.1e} of float64")


if __name__ == "__main__":
    main()
