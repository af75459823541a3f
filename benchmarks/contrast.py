"""The contrast of 4,096 pairs of 512 numbers: in blocks that are computed again, against the formula itself.

Inputs: normalised noise; a caption is half of its picture, so that pairs are found. A loss and its gradients, plain as
CLIP's, and guided: pairs above a quantile of .9 on both sides are right, too.
Measured: the most resident memory of a process of its own, beyond what it has with torch and the inputs, in matrices of
4,096 × 4,096 float32; and the time, in turns within another process.
Compared with: cross-entropy of the whole matrix in both directions, as its paper writes it; guided, with the shares of
all right ones as its targets.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from benchmarks.measuring import machine, peak_bytes, race, seconds, table
from merbench.training.networks.pairs import alike, pair_loss

N, WIDTH, SCALE, QUANTILE, ROUNDS = 4096, 512, 1 / 0.07, 0.9, 3
MATRIX = 4 * N * N
MOST = 1.0
"""Below how many matrices the memory of the blocks must stay."""

Given = tuple[Tensor, Tensor, Tensor]


def inputs() -> Given:
    """Return pictures, captions and the scale."""
    rng = torch.Generator().manual_seed(0)
    pictures, noise = (torch.randn(N, WIDTH, generator=rng) for _ in range(2))
    first, second = normalize(pictures, dim=1), normalize(pictures + noise, dim=1)
    return first.requires_grad_(), second.requires_grad_(), torch.tensor(SCALE, requires_grad=True)


def direct(first: Tensor, second: Tensor, scale: Tensor) -> Tensor:
    """Return the loss of CLIP by its formula."""
    scores, labels = scale * first @ second.T, torch.arange(len(first))
    return (cross_entropy(scores, labels) + cross_entropy(scores.T, labels)) / 2


def direct_guided(first: Tensor, second: Tensor, scale: Tensor) -> Tensor:
    """Return the loss with the shares of all right ones."""
    off, both = ~torch.eye(len(first), dtype=torch.bool), torch.ones(1, dtype=torch.bool)
    for part in (first.detach(), second.detach()):
        cosines = (part @ part.T * 100_000).round()
        places = cosines[off]
        both = both & (cosines > places.kthvalue(-(-9 * len(places) // 10)).values)
    shares, scores = (both | ~off).float(), scale * first @ second.T
    rows, columns = shares / shares.sum(1, keepdim=True), shares.T / shares.sum(0)[:, None]
    return (cross_entropy(scores, rows) + cross_entropy(scores.T, columns)) / 2


def guided(first: Tensor, second: Tensor, scale: Tensor) -> Tensor:
    """Return the same in blocks."""
    return pair_loss(first, second, scale, QUANTILE)


WAYS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "plain, in blocks": pair_loss,
    "plain, the formula": direct,
    "guided, in blocks": guided,
    "guided, the formula": direct_guided,
}


def gradients(way: str, given: Given) -> list[Tensor]:
    """Return the loss and its gradients."""
    loss = WAYS[way](*given)
    return [loss.detach(), *torch.autograd.grad(loss, given)]


def measure(way: str) -> dict[str, float]:
    """Return how many matrices more one loss with its gradients needs."""
    given = inputs()
    first, second = (part[:64].detach().requires_grad_() for part in given[:2])
    gradients(way, (first, second, given[2]))  # what libraries need once does not count
    before = peak_bytes()
    gradients(way, given)
    return {"matrices": (peak_bytes() - before) / MATRIX}


def main() -> None:
    """Print the table."""
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1])))
        return
    memory = {}
    for way in WAYS:
        command = [sys.executable, "-m", "benchmarks.contrast", way]
        memory[way] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    given = inputs()
    times = race({way: lambda way=way: gradients(way, given) for way in WAYS}, ROUNDS)  # type: ignore[misc]
    rows = [[way, f"{memory[way]['matrices']:.2f}", seconds(times[way])] for way in WAYS]
    print(f"{N:,} pairs of {WIDTH} numbers, a loss and its gradients; a matrix has {MATRIX / 1e6:,.0f} MB\n")
    print(table(["contrast", "matrices", "time"], rows))
    print()
    for kind in ("plain", "guided"):
        own, formula = (gradients(f"{kind}, {how}", given) for how in ("in blocks", "the formula"))
        furthest = max(float(((a - b).abs().max() / b.abs().max()).detach()) for a, b in zip(own, formula, strict=True))
        print(f"{kind}: loss {float(own[0]):.6f}; largest difference of loss or gradients, relative: {furthest:.1e}")
    with torch.no_grad():
        n_right = int(alike(*given[:2], QUANTILE).sum())
    print(f"guided: {n_right / N:.1f} right ones for each\n")
    worst = max(memory[way]["matrices"] for way in WAYS if way.endswith("in blocks"))
    verdict = "holds" if worst < MOST else "is missed"
    print(f"Below {MOST:g} matrix: {verdict}.\n\n{machine(['torch'])}, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
