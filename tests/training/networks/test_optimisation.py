"""Optimiser, learning rate and clipped gradients equal torch's own, fold by fold."""

from __future__ import annotations

import math
import re
from dataclasses import fields
from typing import Any, Literal

import pytest
import torch
from torch import nn

from merbench.errors import DeclarationError, UsageError
from merbench.training import Setup, load_baseline
from merbench.training.networks.optimisation import Group, Schedule, clip, optimiser


def test_the_rate_grows_and_falls_as_by_hand() -> None:
    def rates(decay: Literal["constant", "cosine", "linear"], warmup: float, steady: float = 0) -> list[float]:
        schedule = Schedule(
            epochs=4, batch_size=8, learning_rate=0.1, decay=decay, warmup_epochs=warmup, steady_epochs=steady
        )
        return [schedule.rate(step, 2) for step in range(8)]

    assert rates("constant", 0) == [1.0] * 8
    # two steps of warm-up, 1/3 and 2/3, then 1
    assert rates("constant", 1) == pytest.approx([1 / 3, 2 / 3, 1, 1, 1, 1, 1, 1])
    assert rates("linear", 0) == pytest.approx([1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8])
    assert rates("linear", 1) == pytest.approx([1 / 3, 2 / 3, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])
    # two steady steps, and four of decay
    assert rates("linear", 1, 1) == pytest.approx([1 / 3, 2 / 3, 1, 1, 1, 3 / 4, 2 / 4, 1 / 4])
    assert rates("linear", 0, 4) == [1.0] * 8


def test_the_cosine_is_that_of_torch() -> None:
    parameter = nn.Parameter(torch.zeros(1))
    peer = torch.optim.Adam([parameter], lr=1.0)
    course = torch.optim.lr_scheduler.CosineAnnealingLR(peer, 8)
    schedule = Schedule(epochs=4, batch_size=8, learning_rate=1.0, decay="cosine")
    for step in range(8):
        assert schedule.rate(step, 2) == pytest.approx(peer.param_groups[0]["lr"], abs=1e-12)
        peer.step()
        course.step()


def test_groups_have_their_own_rate_and_weight_decay() -> None:
    network = nn.ModuleDict({"encoder": nn.Linear(2, 2), "head": nn.Linear(2, 2)})
    schedule = Schedule(
        epochs=1,
        batch_size=1,
        learning_rate=0.1,
        weight_decay=0.5,
        groups=(Group("encoder.bias", 1, 0), Group("encoder", 0.1)),
    )
    groups = sorted(
        (round(group["lr"], 6), group["weight_decay"], sum(part.numel() for part in group["params"]))
        for group in optimiser(network, schedule).param_groups
    )
    # weights of the encoder; its bias; the head
    assert groups == [(0.01, 0.5, 4), (0.1, 0.0, 2), (0.1, 0.5, 6)]


@pytest.mark.parametrize(("name", "peer"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_both_optimisers_step_as_those_of_torch(
    name: Literal["adam", "adamw"], peer: type[torch.optim.Optimizer]
) -> None:
    torch.manual_seed(0)
    ours, theirs = nn.Linear(3, 2), nn.Linear(3, 2)
    theirs.load_state_dict(ours.state_dict())
    schedule = Schedule(epochs=1, batch_size=1, learning_rate=0.1, weight_decay=0.3, optimiser=name)
    steps = optimiser(ours, schedule), peer(theirs.parameters(), lr=0.1, weight_decay=0.3)  # type: ignore[call-arg]
    x = torch.randn(4, 3)
    for _ in range(3):
        for network, step in zip((ours, theirs), steps, strict=True):
            step.zero_grad()
            network(x).square().sum().backward()
            step.step()
    torch.testing.assert_close(ours.weight, theirs.weight)


def test_the_norm_is_clipped_for_every_fold_by_itself() -> None:
    rng = torch.Generator().manual_seed(0)
    scales = torch.tensor([0.01, 1.0, 100.0])[:, None, None]
    layered = [nn.Parameter(torch.zeros(3, 4, 2)), nn.Parameter(torch.zeros(3, 1, 2))]
    for parameter in layered:
        parameter.grad = torch.randn(parameter.shape, generator=rng) * scales
    alone = [[nn.Parameter(torch.zeros_like(parameter[fold])) for parameter in layered] for fold in range(3)]
    for fold, parameters in enumerate(alone):
        for parameter, stacked in zip(parameters, layered, strict=True):
            assert stacked.grad is not None
            parameter.grad = stacked.grad[fold].clone()
        nn.utils.clip_grad_norm_(parameters, 1.0)
    clip(layered, Schedule(epochs=1, batch_size=1, learning_rate=0.1, clip_norm=1.0), layered=True)
    for fold, parameters in enumerate(alone):
        for parameter, stacked in zip(parameters, layered, strict=True):
            assert stacked.grad is not None
            torch.testing.assert_close(stacked.grad[fold], parameter.grad)


def test_of_ordinary_layers_the_norm_is_that_of_the_network() -> None:
    parameters = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2, 1))]
    parameters[0].grad, parameters[1].grad = torch.tensor([3.0, 0.0]), torch.tensor([[0.0], [4.0]])
    clip(parameters, Schedule(epochs=1, batch_size=1, learning_rate=0.1, clip_norm=2.5), layered=False)
    assert parameters[0].grad.tolist() == pytest.approx([1.5, 0], rel=1e-6)
    assert parameters[1].grad.flatten().tolist() == pytest.approx([0, 2], rel=1e-6)


def test_values_are_clipped_one_by_one() -> None:
    parameter = nn.Parameter(torch.zeros(4))
    parameter.grad = torch.tensor([-3.0, -0.5, 0.5, math.inf])
    clip([parameter], Schedule(epochs=1, batch_size=1, learning_rate=0.1, clip_value=1.0), layered=False)
    assert parameter.grad.tolist() == [-1, -0.5, 0.5, 1]


def test_numbers_that_no_training_can_have_are_refused_together() -> None:
    with pytest.raises(UsageError) as caught:
        Schedule(epochs=0, batch_size=8, learning_rate=0.0, weight_decay=-0.1, clip_norm=float("nan"), patience=0)
    assert str(caught.value).splitlines() == [
        "epochs: 0 is not an integer of at least 1",
        "learning_rate: 0.0 is not a number above 0",
        "weight_decay: -0.1 is not a number of at least 0",
        "clip_norm: nan is not a number of at least 0",
    ]


def test_a_group_without_parameters_is_refused() -> None:
    network = nn.ModuleDict({"encoder": nn.Linear(2, 2), "head": nn.Linear(2, 2)})
    schedule = Schedule(epochs=1, batch_size=1, learning_rate=0.1, groups=(Group("haed"),))
    message = "groups: no parameter's name begins with haed; they begin with encoder, head; did you mean 'head'?"
    with pytest.raises(UsageError, match=re.escape(message)):
        optimiser(network, schedule)


@pytest.mark.parametrize("baseline", ["attention", "gru", "context-gru"])
def test_every_option_of_training_can_be_given_to_a_shipped_network(baseline: str) -> None:
    given: dict[str, Any] = {
        "epochs": 3,
        "batch_size": 4,
        "learning_rate": 0.01,
        "weight_decay": 0.1,
        "optimiser": "adamw",
        "decay": "cosine",
        "warmup_epochs": 0.5,
        "steady_epochs": 1,
        "clip_norm": 2,
        "clip_value": 0.8,
        "accumulation": 2,
        "patience": 1,
        "min_delta": 0.01,
        "keep": "last",
        "class_weights": "balanced",
        "losses": {"valence": "ccc"},
        "groups": [{"prefix": "heads", "learning_rate": 0.1}],
        "matrices": True,
        "second_moment": 0.95,
        "last_rate": 0.1,
        "half": True,
    }
    assert list(given) == [item.name for item in fields(Schedule)]
    loaded = load_baseline(baseline)
    network = loaded.build(loaded.options("any", given), Setup())
    schedule = network.built.schedule  # type: ignore[attr-defined]
    given["groups"] = (Group("heads", learning_rate=0.1),)
    assert {name: getattr(schedule, name) for name in given} == given


@pytest.mark.parametrize(
    ("baseline", "options", "message"),
    [
        ("attention", {"hidden": []}, "hidden: [] is not a list of widths, one or more, each an integer in [1, 65536]"),
        ("gru", {"hidden": -3}, "hidden: -3 is not an integer in [1, 65536]"),
        ("gru", {"dropout": 1.0}, "dropout: 1.0 is not a number in [0, 0.99]"),
        ("gru", {"decay": "cosin"}, "decay: 'cosin' is not one of constant, cosine, linear; did you mean 'cosine'?"),
        ("attention", {"accumulation": 0}, "accumulation: 0 is not an integer of at least 1"),
        ("attention", {"groups": [{"prefix": "a", "rate": 1}]}, "is not a list of tables, each with a prefix"),
        ("attention", {"class_weight": "balanced"}, "did you mean 'class_weights'?"),
    ],
)
def test_options_of_a_network_that_cannot_be_built_are_refused_by_name(
    baseline: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DeclarationError) as caught:
        load_baseline(baseline).options("any", options)
    assert message in str(caught.value)
