"""How a network is optimised: the schedule, its optimiser, the course of the learning rate, and clipped gradients."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from merbench.errors import UsageError, did_you_mean, listed
from merbench.parameters import Described, Within, declared


@dataclass(frozen=True, slots=True)
class Group:
    """Parameters whose names begin alike, and by what their learning rate and weight decay are multiplied."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    prefix: str
    learning_rate: Annotated[float, Within(0)] = 1.0
    weight_decay: Annotated[float, Within(0)] = 1.0


Rate = Annotated[float, Field(gt=0), Described("a number above 0")]
Groups = Annotated[
    tuple[Group, ...],
    Described("a list of tables, each with a prefix, and a factor of its learning_rate, its weight_decay, or both"),
]


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long, how fast and on what a network is trained: the options of training that every network has.

    A baseline's own options are a subclass: its users can set all of these, and `baseline.toml` declares those that
    differ from the defaults here.

    Attributes:
        epochs: how often every sample is seen, at most.
        batch_size: samples, or dialogues, of a batch and fold.
        learning_rate: of the optimiser.
        weight_decay: `adam` adds it to the gradient; `adamw` takes it off the parameters.
        optimiser: `adam` (Kingma and Ba 2015) or `adamw` (Loshchilov and Hutter 2019).
        decay: course of the learning rate after warm-up and steady epochs: `constant`, or to 0 at the end as a `cosine`
            or `linear`.
        warmup_epochs: epochs, or a part of one, in which the learning rate grows from 0.
        steady_epochs: epochs after the warm-up before the rate begins to decay.
        clip_norm: largest norm of a fold's gradient; 0 does not clip.
        clip_value: largest absolute value of a gradient's entries; 0 does not clip (MERBench's -1).
        accumulation: batches of one step; their gradients are averaged.
        patience: epochs without a better value after which a fold is no longer trained; 0 trains all epochs.
        min_delta: by how much the first ranking value has to grow to be better for `patience`.
        keep: the epoch that is kept, the `best` by the ranking value of the validation samples, or the `last`.
        class_weights: `none`, or `balanced`: every label has the same weight in cross-entropy.
        losses: by target, another loss than that of its kind; one of `losses.LOSSES`, or `none`, where the network has
            a loss of its own instead.
        groups: parameters with another learning rate or weight decay; the first prefix that fits counts.
        matrices: whether weight decay leaves out vectors, such as biases and the parameters of normalisation.
        second_moment: how much of the second moment of gradients an optimiser keeps from step to step.
        last_rate: share of the learning rate that it decays to.
        half: whether products are computed in bfloat16 on CUDA; never on a CPU.
    """

    epochs: Annotated[int, Within(1)]
    batch_size: Annotated[int, Within(1)]
    learning_rate: Rate
    weight_decay: Annotated[float, Within(0)] = 0.0
    optimiser: Literal["adam", "adamw"] = "adam"
    decay: Literal["constant", "cosine", "linear"] = "constant"
    warmup_epochs: Annotated[float, Within(0)] = 0.0
    steady_epochs: Annotated[float, Within(0)] = 0.0
    clip_norm: Annotated[float, Within(0)] = 0.0
    clip_value: Annotated[float, Within(0)] = 0.0
    accumulation: Annotated[int, Within(1)] = 1
    patience: Annotated[int, Within(0)] = 0
    min_delta: Annotated[float, Within(0)] = 0.0
    keep: Literal["best", "last"] = "best"
    class_weights: Literal["none", "balanced"] = "none"
    losses: Mapping[str, str] = field(default_factory=dict)
    groups: Groups = ()
    matrices: bool = False
    second_moment: Annotated[float, Within(0, 0.999999)] = 0.999
    last_rate: Annotated[float, Within(0, 1)] = 0.0
    half: bool = False

    def __post_init__(self) -> None:
        """Raise `UsageError` for values that no training can have."""
        problems = {name: item.problem(getattr(self, name)) for name, item in declared(Schedule).items()}
        if any(problems.values()):
            raise UsageError(*(f"{name}: {problem}" for name, problem in problems.items() if problem))

    def rate(self, step: int, steps_of_an_epoch: int) -> float:
        """Return the factor of the learning rate in a step, from 0; the last one is just before the end."""
        warm, total = self.warmup_epochs * steps_of_an_epoch, self.epochs * steps_of_an_epoch
        if step < warm:
            return (step + 1) / (math.floor(warm) + 1)
        begin = warm + self.steady_epochs * steps_of_an_epoch
        done = max(0.0, (step - begin) / max(1e-12, total - begin))
        match self.decay:
            case "cosine":
                left = (1 + math.cos(math.pi * done)) / 2
            case "linear":
                left = 1 - done
            case _:
                return 1.0
        return self.last_rate + (1 - self.last_rate) * left


def optimiser(network: nn.Module, schedule: Schedule) -> torch.optim.Optimizer:
    """Return the optimiser of a network's parameters, with their groups; each keeps its own rate as `initial_lr`.

    Raises:
        UsageError: a group has no parameter.
    """
    groups: dict[tuple[Group, bool], list[nn.Parameter]] = {}
    names = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    first = list(dict.fromkeys(name.partition(".")[0] for name in names))
    empty = [group.prefix for group in schedule.groups if not any(name.startswith(group.prefix) for name in names)]
    if empty:
        raise UsageError(
            f"groups: no parameter's name begins with {listed(empty)}; they begin with {listed(first)}"
            f"{did_you_mean(empty[0], first)}"
        )
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            fitting = next((group for group in schedule.groups if name.startswith(group.prefix)), Group(""))
            decays = parameter.ndim > 1 or not schedule.matrices
            groups.setdefault((fitting, decays), []).append(parameter)
    tables: list[dict[str, Any]] = [
        {
            "params": parameters,
            "lr": schedule.learning_rate * group.learning_rate,
            "initial_lr": schedule.learning_rate * group.learning_rate,
            "weight_decay": schedule.weight_decay * group.weight_decay * decays,
        }
        for (group, decays), parameters in groups.items()
    ]
    kind = torch.optim.AdamW if schedule.optimiser == "adamw" else torch.optim.Adam
    betas = 0.9, schedule.second_moment
    return kind(tables, lr=schedule.learning_rate, betas=betas, weight_decay=schedule.weight_decay, fused=True)


@torch.no_grad()
def clip(parameters: Iterable[nn.Parameter], schedule: Schedule, *, layered: bool) -> None:
    """Clip gradients in place: the norm is that of each fold where parameters have a leading fold dimension."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if schedule.clip_value:
        for gradient in gradients:
            gradient.clamp_(-schedule.clip_value, schedule.clip_value)
    if schedule.clip_norm and gradients:
        rows = [gradient.flatten(1) if layered else gradient.reshape(1, -1) for gradient in gradients]
        squares: Tensor = torch.stack([row.float().square().sum(1) for row in rows]).sum(0)
        factor = (schedule.clip_norm / (squares.sqrt() + 1e-6)).clamp(max=1.0)
        for row, gradient in zip(rows, gradients, strict=True):
            gradient.copy_((row * factor[:, None]).view_as(gradient))
