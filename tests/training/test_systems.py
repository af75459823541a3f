"""Options of all systems that are compared."""

from __future__ import annotations

import pytest

from merbench.errors import UsageError
from merbench.training import load_baseline
from merbench.training.systems import System, options_of_systems


def test_what_a_wrapper_does_not_have_is_an_option_of_the_baseline_that_it_trains() -> None:
    semi = {"base": "logistic", "base_options": {"C": 0.1}}
    systems = [
        System(name="lf-dnn", baseline="lf-dnn"),
        System(name="zero", baseline="imputation", options={"base": "lf-dnn", "method": "zero"}),
        System(name="own", baseline="imputation", options={"base": "lf-dnn", "base_options": {"epochs": 7}}),
        System(name="semi", baseline="pseudo-label", options=semi),
        System(name="majority", baseline="majority"),
    ]
    loaded = [load_baseline(system.baseline) for system in systems]
    shared = {"epochs": 2, "dropout": 0.1, "eta": 0.5}
    lf_dnn, zero, own, pseudo, majority = options_of_systems(systems, loaded, shared)
    assert lf_dnn == {"epochs": 2, "dropout": 0.1}
    assert zero == {"base": "lf-dnn", "method": "zero", "base_options": {"epochs": 2, "dropout": 0.1}}
    assert own["base_options"] == {"epochs": 7, "dropout": 0.1}  # its own take precedence
    assert pseudo == {**semi, "eta": 0.5}  # neither it nor its base has epochs
    assert majority == {}
    assert options_of_systems(systems[1:2], loaded[1:2], {"epochs": 2})[0]["base_options"] == {"epochs": 2}
    with pytest.raises(UsageError, match=r"^no system has the option epoch; .*did you mean 'epochs'"):
        options_of_systems(systems[1:2], loaded[1:2], {"epoch": 2})
