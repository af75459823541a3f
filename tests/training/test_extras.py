from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from merbench.training.plugin_errors import extra_of, modules_by_extra


def test_the_extras_are_those_of_the_project() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {"all", "baselines"} <= set(modules_by_extra()) <= {*project["optional-dependencies"]} - {"dev"}


@pytest.mark.parametrize(
    ("module", "declared", "extra"),
    [
        ("torch", None, "baselines"),
        ("sklearn", "baselines", "baselines"),
        ("sklearn", "all", "all"),
        ("scipy", "media", "media"),
        ("sklearn", "media", "baselines"),
        ("cv2", None, "media"),
        ("distributed", None, "distributed"),
        ("pytest", None, None),
        ("xgboost", "baselines", None),
    ],
)
def test_a_module_is_brought_by_an_extra_or_by_none(module: str, declared: str | None, extra: str | None) -> None:
    assert extra_of(module, declared) == extra
