"""Baselines around the network of another one, their base, which they train by its own schedule with other losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn

from merbench.errors import MerbenchError, UsageError, listed
from merbench.training.declaration import LoadedBaseline, list_baselines, load_baseline
from merbench.training.needs import require_answers
from merbench.training.networks.network import NetworkBaseline, Shape
from merbench.training.protocol import CrossFit, Setup
from merbench.training.samples import TrainingSet
from merbench.training.wrapping import BaseOptions, not_of_vectors

Kind = Callable[[NetworkBaseline, Any, Shape], nn.Module]
"""Returns a network for a base, options and shape; its module `network` is that of the base."""


class AroundNetwork(NetworkBaseline):
    """A network around that of a base, with its schedule.

    Args:
        loaded: the base.
        base: what it built.
        kind: the class of the network.
        options: of the baseline; the network is given them.
        setup: as `build` was given it.
    """

    def __init__(self, loaded: LoadedBaseline, base: NetworkBaseline, kind: Kind, options: Any, setup: Setup) -> None:
        groups = tuple(replace(group, prefix=f"network.{group.prefix}") for group in base.schedule.groups)
        super().__init__(
            partial(kind, base, options),
            replace(base.schedule, groups=groups),
            setup,
            together=base.together,
            standardise=base.standardise,
            numbers=base.numbers,
        )
        self.loaded = loaded

    def fit_folds(self, train: TrainingSet) -> CrossFit:
        """Train as any network does.

        Raises:
            UsageError: the base does not answer the targets of the track.
        """
        require_answers(self.loaded, train.track)
        return super().fit_folds(train)


def network_base(
    options: BaseOptions, setup: Setup, name: str, *, standardised: str = ""
) -> tuple[LoadedBaseline, NetworkBaseline]:
    """Return the base that options name, and what it built: a network of vectors without a training of its own.

    Args:
        options: which base, with which options.
        setup: as `build` was given it.
        name: of the baseline around it.
        standardised: what is in deviations of the features, which the base then has to standardise; empty: nothing.

    Raises:
        UnknownName: there is no such base.
        UsageError: it cannot be the base; those that can are listed.
        DeclarationError: an option of the base is not allowed.
    """
    loaded = load_baseline(options.base)
    base = _built(loaded, options.base_options, setup)
    if base is None:
        able = [other for other, _ in list_baselines() if _is_able(other, setup)]
        raise UsageError(
            f"{name}: base '{loaded.name}' is not a network of vectors, or has a training of its own; baselines that "
            f"are: {listed(able, 20)}"
        )
    if standardised and not base.standardise:
        raise UsageError(
            f"{name}: base '{loaded.name}' does not standardise features, and {standardised} is in their deviations; "
            "give it base_options = { standardise = true }"
        )
    return loaded, base


def _built(loaded: LoadedBaseline, options: Mapping[str, Any], setup: Setup) -> NetworkBaseline | None:
    if not_of_vectors(loaded.declaration):
        return None
    built = getattr(loaded.build(loaded.options("", options), setup), "built", None)
    return built if type(built) is NetworkBaseline else None


def _is_able(name: str, setup: Setup) -> bool:
    try:
        return _built(load_baseline(name), {}, setup) is not None
    except MerbenchError:
        return False
