"""The multiply-accumulates of every network are those of its products, by arithmetic.

Conventions:
    Three features of d numbers, T rows each, h hidden units, three labels, so that a head has 3 n products of n units.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from merbench.claims.exact import computed
from merbench.training import Setup, load_baseline
from merbench.training.claim import Exact
from merbench.training.networks.counts import Size, n_products
from merbench.training.networks.network import NetworkBaseline
from merbench.training.networks.optimisation import Schedule

WIDTHS = {"audio": 7, "video": 10, "text": 13}
D, M, H, T = sum(WIDTHS.values()), 3, 8, 5
ENCODERS = D * H + M * 2 * H**2


def memory(n_in: int, m: int) -> int:
    """Return the products of a step of the gated memory with m numbers."""
    return n_in * H + H * m + 2 * ((n_in + m) * H + H * m)


def by_arithmetic() -> dict[str, tuple[dict[str, Any], int]]:
    """Return by baseline its options and its products."""
    lstm = 4 * H
    of_graph = 3 * (2 * H * 6 + 6 * H) + (6 * H * 6 + 6 * H) + (7 * H * 6 + 6 * H) + (M * H * 6 + 6 * H + H * 19)
    read, fused = 2 * M * H * 4, 2 * 3 * H * (M * 4 + 2 + H)  # context-gru: encoders of width 4, two speakers
    # gcnet: states of 2 H, both directions of two layers; each graph gives H / 2, and of r relations has r + 1 products
    wide, given = 2 * H + H // 2, H // 2
    of_states = 2 * lstm * (D + H) + 2 * lstm * 3 * H
    of_context = 2 * 4 * wide * (2 * wide + 3 * wide) + 2 * wide**2 + 2 * given**2
    return {
        "attention": ({"hidden": [H, H]}, D * H + M * H**2 + M * H * H + H**2 + H * M + 3 * H),
        "attention-topn": ({"hidden": H}, ENCODERS + M * H * H + 2 * H**2 + H * M + 3 * H),
        "lf-dnn": ({"hidden": H}, ENCODERS + M * H * H + H**2 + 3 * H),
        "tfn": ({"hidden": H}, ENCODERS + (H + 1) ** 3 * H + H**2 + 3 * H),
        "lmf": ({"hidden": H, "rank": 4}, ENCODERS + M * H * 4 * H // 2 + 3 * H // 2),
        "misa": (
            {"hidden": H, "feed_forward": 16},
            ENCODERS
            + M * 3 * H**2
            + 6 * (4 * H**2 + 2 * 16 * H)
            + 2 * 6 * 6 * H
            + 18 * H**2
            + 3 * H * H // 2
            + 3 * H // 2,
        ),
        "mmim": ({"hidden": H}, ENCODERS + M * H**2 + H**2 + 3 * H),
        "ef-lstm": ({"hidden": H, "layers": 2}, T * (lstm * (D + H) + lstm * 2 * H) + H**2 + 3 * H),
        "gru": ({"hidden": H, "window": 1}, T * 3 * H * (D + M * H) + M * H**2 + 3 * H),
        "context-gru": (
            {"hidden": H, "encoded": 4, "layers": [6], "speakers": 2},
            T * (2 * 3 * H * (D + M * H) + read + fused + 2 * H * 6 + 6 * 3),
        ),
        "gcnet": (
            {"hidden": H, "speakers": 2},
            T * (of_states + 2 * of_context + (4 + 5) * 2 * H * given + 3 * wide),
        ),
        "mfn": (
            {"hidden": H, "memory": 6},
            T * (lstm * (D + M * H) + 2 * (2 * M * H * H) + memory(2 * M * H, 6)) + (M * H + 6) * H + H * 4 + 4 * 3,
        ),
        "graph-mfn": (
            {"hidden": H, "memory": 6, "inner": 6},
            T * (lstm * (D + M * H) + M * 2 * H * H + of_graph + memory(H, 6)) + (M * H + 6) * H + H * 4 + 4 * 3,
        ),
    }


def products(name: str, labels: dict[str, int], **options: Any) -> float:
    claim = Exact(
        name="products", says="-", source="-", check="exact", computes="multiply_accumulates", value=(0,),
        options=options, widths=WIDTHS, labels=labels, rows=dict.fromkeys(WIDTHS, T if name in SEQUENCES else 1),
    )  # fmt: skip
    return computed(load_baseline(name), claim).values[0]


SEQUENCES = ("ef-lstm", "gru", "context-gru", "gcnet", "mfn", "graph-mfn")


@pytest.mark.parametrize("name", by_arithmetic())
def test_products_of_a_network(name: str) -> None:
    options, expected = by_arithmetic()[name]
    assert products(name, {"label": 3}, **options) == expected


def test_products_of_self_mm_are_those_of_the_branch_that_predicts() -> None:
    assert products("self-mm", {"value": 0}, hidden=H) == ENCODERS + M * H**2 + H**2 + H


def test_products_in_place_are_counted() -> None:
    class InPlace(torch.nn.Module):
        def forward(self, batch: Any) -> torch.Tensor:
            x: torch.Tensor = batch.inputs["a"]
            return x.new_zeros(1, 3).addmm_(x, x.new_ones(2, 3)) + x.new_zeros(1, 1, 3).baddbmm_(
                x[None], x.new_ones(1, 2, 3)
            )

    baseline = NetworkBaseline(
        lambda shape: InPlace(), Schedule(epochs=1, batch_size=1, learning_rate=0.1), Setup(device_name="cpu")
    )
    assert n_products(baseline, InPlace(), Size({"a": 2}, {"label": 3})) == 12
