"""Every exact claim of a shipped baseline, and the counts that claims are compared with, against arithmetic."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from merbench.claims import computed, verdict
from merbench.claims.exact import require_diagnostics
from merbench.errors import UnknownName, UsageError
from merbench.track import load_track
from merbench.training import Setup, load_baseline
from merbench.training.claim import Exact
from merbench.training.declaration import list_baselines
from merbench.training.networks.batches import Batch
from merbench.training.networks.counts import Size, n_parameters, n_products, one_network
from merbench.training.networks.network import NetworkBaseline, Shape
from merbench.training.networks.optimisation import Schedule
from tests.claims.conftest import Claimant

EXACT = [(name, claim) for name, declared in list_baselines() for claim in declared.claims if isinstance(claim, Exact)]


@pytest.mark.parametrize(("baseline", "claim"), EXACT, ids=[f"{name} {claim.name}" for name, claim in EXACT])
def test_an_exact_claim_of_a_shipped_baseline_holds(baseline: str, claim: Exact) -> None:
    measured = computed(load_baseline(baseline), claim)
    assert verdict(claim, measured) == "holds", f"{measured.values}, claimed {claim.value}"


class Every(nn.Module):
    """A layer of every kind whose products are counted."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.widths["audio"]
        self.convolution = nn.Conv1d(width, 4, 3, padding=1, bias=False)
        self.lstm = nn.LSTM(4, 5, batch_first=True)
        self.gru = nn.GRU(5, 6, batch_first=True)
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.encoder = nn.TransformerEncoderLayer(6, 2, 7, batch_first=True)
        self.head = nn.Linear(6, shape.labels["discrete"] or 1)

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        x = self.convolution(batch.inputs["audio"].mT).mT
        x = self.gru(self.lstm(x)[0])[0]
        x = self.encoder(self.attention(x, x, x, need_weights=False)[0])
        return {"discrete": self.head(x.mean(1))}


def test_counts_are_those_of_arithmetic() -> None:
    schedule = Schedule(epochs=1, batch_size=1, learning_rate=0.1)
    baseline = NetworkBaseline(Every, schedule, Setup(device_name="cpu"), kind="sequences")
    size = Size({"audio": 2}, {"discrete": 3}, {"audio": 10})
    network = one_network(baseline, size)
    lstm, gru = 4 * 5 * (4 + 5), 3 * 6 * (5 + 6)
    attention = 4 * 6 * 6 * 10 + 2 * 6 * 10 * 10  # four projections of ten rows; scores, and sums of values
    encoder = attention + 2 * 6 * 7 * 10
    products = 2 * 4 * 3 * 10 + (lstm + gru) * 10 + attention + encoder + 6 * 3
    assert n_products(baseline, network, size) == products
    attention_parameters = 4 * 6 * 6 + 4 * 6
    encoder_parameters = attention_parameters + 2 * 6 * 7 + 7 + 6 + 4 * 6
    parameters = 2 * 4 * 3 + lstm + 8 * 5 + gru + 6 * 6 + attention_parameters + encoder_parameters + 6 * 3 + 3
    assert n_parameters(network) == parameters


def exact(computes: str, **more: object) -> Exact:
    content = {"name": "one", "says": "x", "source": "y", "check": "exact", "value": 1, "computes": computes, **more}
    return Exact.model_validate(content)


CODE = """
import torch

def several(model):
    return [1, 2.5, torch.tensor(3.0)]

def one(model):
    return model.Options().share

def drawn(model):
    return float(torch.rand(()))

def odd(model):
    return "x"

def nothing(model):
    return []

def fails(model):
    raise ValueError("no value")
"""


def test_functions_of_a_baseline_are_given_its_module(claimant: Claimant) -> None:
    loaded = load_baseline(claimant(code=CODE))
    assert computed(loaded, exact("several")).values == (1.0, 2.5, 3.0)
    assert computed(loaded, exact("one")).values == (1.0,)
    assert computed(loaded, exact("drawn")) == computed(loaded, exact("drawn"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("severl", "no function of claims.py named 'severl'; did you mean 'several'? (known: drawn, fails, nothing, odd, one, several); parameters and multiply_accumulates are computed for any network"),
        ("odd", "claims.py: odd returned "),
        ("nothing", "needed: a finite number, or up to 1,000"),
        ("fails", "line 20: baseline 'means' failed in fails: ValueError: no value"),
        ("parameters", "baseline 'means' is not a network of merbench, whose parameters are counted"),
    ],
)  # fmt: skip
def test_what_cannot_be_computed_is_one_message(claimant: Claimant, name: str, message: str) -> None:
    loaded = load_baseline(claimant(code=CODE))
    with pytest.raises(UsageError, match=re.escape(message)):
        computed(loaded, exact(name))


def test_a_network_without_diagnostics_is_known_before_it_is_trained(claimant: Claimant) -> None:
    track = load_track("mer-multi")
    for name in ("attention", "misa"):
        loaded = load_baseline(name)
        options = loaded.options(track.id, {})
        if name == "misa":
            require_diagnostics(loaded, options, track, "shared_closer")
            with pytest.raises(UnknownName, match="named 'shared_closr'; did you mean 'shared_closer'"):
                require_diagnostics(loaded, options, track, "shared_closr")
            continue
        with pytest.raises(
            UnknownName, match=r"no diagnostic named 'gap' \(known: none\); `diagnostics` of the network"
        ):
            require_diagnostics(loaded, options, track, "gap")
    require_diagnostics(load_baseline(claimant()), {"share": 1.0}, track, "gap")  # only a run shows which it has


def test_a_baseline_without_functions_has_none(claimant: Claimant) -> None:
    with pytest.raises(UnknownName, match=r"no function of claims\.py named 'one'"):
        computed(load_baseline(claimant()), exact("one"))


def test_a_count_needs_widths_and_labels() -> None:
    with pytest.raises(UsageError, match="claim 'one': parameters need widths by feature, and labels by target"):
        computed(load_baseline("attention"), exact("parameters"))
