"""What MulT takes with sequences of 50 to 800 steps, next to its counted products, and its memory at 10,000 steps.

Inputs: eight samples, three features of 64 numbers a row, all with equally many steps; the defaults of the baseline
(h 32, 4 heads, 2 layers of every pair). Counted: multiply-accumulates of a forward pass of the batch, and of them those
of attention, which grow with the product of both lengths. Measured: a forward pass, and a step's forward and backward
pass in training.

Compared with: the matrix products of the same forward pass on the same shapes, and nothing else; attention as released
code does it, with all scores in memory. Memory is the peak of a process of its own that takes a step on one sample,
beyond what it has after a step on a sample of ten steps.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measuring import machine, peak_bytes, race, seconds, table
from merbench.training import Setup, load_baseline
from merbench.training.networks import attention
from merbench.training.networks.batches import Batch
from merbench.training.networks.counts import Size, one_network
from merbench.training.networks.network import NetworkBaseline

MULT = load_baseline("mult")
FEATURES, WIDTH, N = ("audio", "text", "video"), 64, 8
LENGTHS = (50, 100, 200, 400, 800)


def network(**options: Any) -> nn.Module:
    """Return an untrained network for six labels and a number."""
    built = MULT.module.build(MULT.module.Options(**MULT.options("", options)), Setup(device_name="cpu"))
    assert isinstance(built, NetworkBaseline)
    torch.manual_seed(0)
    return one_network(built, Size(dict.fromkeys(FEATURES, WIDTH), {"discrete": 6, "valence": None}))


def batch(n: int, n_steps: int) -> Batch:
    """Return noise."""
    inputs = {name: torch.randn(n, n_steps, WIDTH) for name in FEATURES}
    lengths = {name: torch.full((n,), n_steps) for name in FEATURES}
    return Batch(inputs, lengths, {name: torch.ones(n, dtype=torch.bool) for name in FEATURES}, torch.arange(n))


def step(model: nn.Module, given: Batch) -> None:
    """Compute outputs and gradients."""
    outputs = model.train()(given)
    (outputs["discrete"].square().mean() + outputs["valence"].square().mean()).backward()


@torch.no_grad()
def forward(model: nn.Module, given: Batch) -> None:
    """Compute outputs."""
    model.eval()(given)


@torch.no_grad()
def counted(model: nn.Module, given: Batch) -> tuple[int, int]:
    """Return all multiply-accumulates of a forward pass, and those of attention."""
    model.eval()
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(given)
    return counter.get_total_flops() // 2, counter.get_flop_counts()["Global"][torch.ops.aten.bmm] // 2


@torch.no_grad()
def products(n: int, n_steps: int) -> None:
    """Multiply as a forward pass does: every layer's rows with its parameters, then queries, keys and values."""
    options, others = MULT.options("", {}), len(FEATURES) - 1
    memory_layers = max(options["layers"], MULT.module.FEWEST_MEMORY_LAYERS)
    kinds = (
        (len(FEATURES) * others * options["layers"], options["hidden"]),
        (
            len(FEATURES) * memory_layers,
            others * options["hidden"],
        ),
    )
    for n_layers, width in kinds:
        rows, units = torch.randn(n * n_steps, width), torch.randn(n * n_steps, 4 * width)
        heads = torch.randn(n * options["heads"], n_steps, width // options["heads"])
        weights = torch.randn(width, 4 * width), torch.randn(4 * width, width)
        for _ in range(n_layers):
            rows @ weights[0], units @ weights[1], rows @ weights[0]  # queries, keys, values, output; the two layers
            torch.bmm(torch.bmm(heads, heads.mT), heads)


def peak(n_steps: int, dropout: float, scores: int) -> None:
    """Print the bytes and the seconds that a step on one sample takes, as a process of its own does."""
    model = network(attention_dropout=dropout)
    attention.SCORES_AT_ONCE = scores
    step(model, batch(1, 10))
    before, start = peak_bytes(), time.perf_counter()
    step(model, batch(1, n_steps))
    print(peak_bytes() - before, time.perf_counter() - start)


def memory(cases: Sequence[tuple[int, float, str, int]]) -> str:
    """Return a table of what `peak` prints, each of a process of its own."""
    cells = []
    for n_steps, dropout, name, scores in cases:
        command = [sys.executable, "-m", "benchmarks.mult", "--peak", str(n_steps), str(dropout), str(scores)]
        n_bytes, duration = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        cells.append((f"{n_steps:,}", name, str(dropout), f"{int(n_bytes) / 1e6:,.0f} MB", seconds(float(duration))))
    return table(("steps", "attention", "its dropout", "memory", "time"), cells)


def main() -> None:
    """Print the tables of times and of memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="passes of each kind that count")
    parser.add_argument("--longest", type=int, default=10_000, help="steps of the longest sequence")
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.peak:
        n_steps, dropout, scores = arguments.peak
        peak(int(n_steps), float(dropout), int(scores))
        return
    model, cells, before = network(), [], list[float]()
    for n_steps in LENGTHS:
        given = batch(N, n_steps)
        times = race(
            {
                "products": partial(products, N, n_steps),
                "forward": partial(forward, model, given),
                "step": partial(step, model, given),
            },
            arguments.rounds,
        )
        now = [*map(float, counted(model, given)), times["forward"], times["step"]]
        growth = [f"{value / old:.2f}" for value, old in zip(now, before, strict=True)] if before else [""] * 4
        cells.append(
            (
                str(n_steps),
                f"{now[0] / 1e6:,.0f} M",
                growth[0],
                f"{now[1] / 1e6:,.0f} M",
                growth[1],
                seconds(times["products"]),
                seconds(now[2]),
                growth[2],
                seconds(now[3]),
                growth[3],
            )
        )
        before = now
    print(f"{N} samples, three features of {WIDTH} numbers a row; median of {arguments.rounds} rounds, one thread")
    print(machine(["torch"]) + "\n")
    head = ("steps", "counted", "×", "of attention", "×", "products alone", "forward", "×", "step of training", "×")
    print(table(head, cells))
    every, pieces = ("all scores", 1 << 62), ("in pieces", attention.SCORES_AT_ONCE)
    print("\nMemory and time of a step on one sample:\n")
    print(memory([(2000, 0.1, *every), (2000, 0.1, *pieces), (2000, 0.0, *pieces), (arguments.longest, 0.0, *pieces)]))


if __name__ == "__main__":
    main()
