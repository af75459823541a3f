"""Exact claims: a count of the network that some options make, or what a function of `claims.py` computes.

Conventions:
    Everything is computed on the CPU, with the seed 0.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from numbers import Real
from typing import Any

import numpy as np

from merbench.claims.report import Measured
from merbench.corpus.declaration import MODALITIES
from merbench.errors import UnknownName, UsageError
from merbench.own_code import OwnCode
from merbench.targets.target import value_type
from merbench.track import Track
from merbench.training.claim import Exact
from merbench.training.declaration import LoadedBaseline, Options
from merbench.training.protocol import Baseline, Setup

PARAMETERS, PRODUCTS = "parameters", "multiply_accumulates"

_SETUP = Setup(device_name="cpu")

MOST_NUMBERS = 1_000
"""How many numbers a function may return."""


def computed(loaded: LoadedBaseline, claim: Exact) -> Measured:
    """Return what an exact claim is compared with.

    Raises:
        UnknownName: `claims.py` has no such function.
        UsageError: the baseline has no network, or its code raised an exception.
        DeclarationError: an option is unknown, or has a value of another type.
    """
    if claim.computes not in (PARAMETERS, PRODUCTS):
        return Measured(_function(loaded, claim.computes))
    return Measured((float(_counted(loaded, claim)),))


def require_computable(loaded: LoadedBaseline, claim: Exact) -> None:
    """Raise what `computed` does, as far as it can be known without computing."""
    if claim.computes in (PARAMETERS, PRODUCTS):
        _require_size(claim)
        _built(loaded, claim)
    else:
        _named(loaded, claim.computes)


def _code(loaded: LoadedBaseline) -> OwnCode:
    return OwnCode(f"baseline '{loaded.name}'", loaded.folder / "claims.py", loaded.declaration.extra)


def _named(loaded: LoadedBaseline, name: str) -> Any:
    """Return a function of `claims.py`."""
    code, functions = _code(loaded), dict[str, Any]()
    if code.path.is_file():
        module = code.module(f"merbench_baseline_{loaded.name.replace('-', '_')}_claims")
        members = {
            key: value for key, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__
        }
        functions = {key: value for key, value in members.items() if callable(value) and not key.startswith("_")}
    if name not in functions:
        raise UnknownName(
            "function of claims.py", name, functions, f"{PARAMETERS} and {PRODUCTS} are computed for any network"
        )
    return functions[name]


def _function(loaded: LoadedBaseline, name: str) -> tuple[float, ...]:
    """Return what a function of `claims.py` computes, given the baseline's module."""
    function, code = _named(loaded, name), _code(loaded)
    with _repeatable(), code.blamed(f"failed in {name}"):
        returned = function(loaded.module)
    if isinstance(returned, Real):
        returned = [returned]
    try:
        values = np.asarray([float(value) for value in returned][: MOST_NUMBERS + 1])
    except (TypeError, ValueError):
        values = np.array([np.nan])
    if not 1 <= len(values) <= MOST_NUMBERS or not np.isfinite(values).all():
        raise UsageError(
            f"{code.path}: {name} returned {value_type(returned)}; needed: a finite number, or up to {MOST_NUMBERS:,}"
        )
    return tuple(values.tolist())


def _repeatable() -> AbstractContextManager[None]:
    """Return what seeds torch's generator for a block, of code that imported torch."""
    if "torch" not in sys.modules:
        return nullcontext()
    from merbench.training.networks.counts import repeatable

    return repeatable()


def _counted(loaded: LoadedBaseline, claim: Exact) -> int:
    """Return the count of the network of one fold that a claim asks for.

    It is the network of what `build` returns, or of what `network(setup)` of that returns, where it trains several.
    """
    built: Any = getattr(_built(loaded, claim), "built", None)
    from merbench.training.networks.counts import Size, n_parameters, n_products, one_network, repeatable
    from merbench.training.networks.network import NetworkBaseline

    if callable(getattr(built, "network", None)):
        with loaded.code.blamed("failed in network"):
            built = built.network(_SETUP)
    if not isinstance(built, NetworkBaseline):
        raise UsageError(f"baseline '{loaded.name}' is not a network of merbench, whose {claim.computes} are counted")
    _require_size(claim)
    size = Size(claim.widths, {name: n or None for name, n in claim.labels.items()}, claim.rows)
    with repeatable(), loaded.code.blamed("failed in its network"):
        network = one_network(built, size)
        return n_parameters(network) if claim.computes == PARAMETERS else n_products(built, network, size)


def require_diagnostics(loaded: LoadedBaseline, options: Options, track: Track, name: str) -> None:
    """Raise `UnknownName` where the network of a baseline has no such diagnostic.

    Where their names are made of those of features, only a run shows them.
    """
    built = getattr(loaded.build(options, _SETUP), "built", None)
    if "torch" not in sys.modules or built is None:
        return
    import torch

    from merbench.training.networks.counts import Size, one_network, one_sample
    from merbench.training.networks.learner import Diagnosed
    from merbench.training.networks.network import NetworkBaseline

    if not isinstance(built, NetworkBaseline):
        return
    widths: dict[str, int] = dict.fromkeys(MODALITIES[: loaded.declaration.most_features], 4)
    size = Size(widths, {name: target.n_scores or None for name, target in track.targets.items()})
    with loaded.code.blamed("failed in its network"), torch.no_grad():
        network = one_network(built, size).eval()
        own = network.diagnostics(one_sample(built, size)) if isinstance(network, Diagnosed) else ()
        known = [*own, *built.measured(size.labels)]
    if name not in known and not any(feature in each for each in known for feature in widths):
        raise UnknownName("diagnostic", name, known, "`diagnostics` of the network")


def _require_size(claim: Exact) -> None:
    if not claim.widths or not claim.labels:
        raise UsageError(f"claim '{claim.name}': {claim.computes} need widths by feature, and labels by target")


def _built(loaded: LoadedBaseline, claim: Exact) -> Baseline:
    return loaded.build({**loaded.declaration.defaults, **claim.options}, _SETUP)
