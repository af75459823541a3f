"""The command line answers at once: importing it loads nothing heavy, and the public API stays small."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {"av", "cv2", "matplotlib", "numpy", "pandas", "pyarrow", "pydantic", "scipy", "sklearn", "torch"}


def loaded_by(statement: str) -> set[str]:
    """Return the top-level packages that a fresh interpreter has loaded after a statement."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_the_command_line_loads_nothing_heavy() -> None:
    assert loaded_by("import merbench.cli") & HEAVY == set()


def test_the_package_loads_nothing_heavy() -> None:
    assert loaded_by("import merbench") & HEAVY == set()


@pytest.mark.slow
def test_scoring_loads_neither_pandas_nor_the_baselines_libraries() -> None:
    assert loaded_by("import merbench.scoring") & {"matplotlib", "pandas", "scipy", "sklearn", "torch"} == set()


def test_the_public_names_are_few_and_there() -> None:
    import merbench

    assert len(merbench.__all__) <= 15
    for name in merbench.__all__:
        assert getattr(merbench, name) is not None
    assert set(merbench.__all__) <= set(dir(merbench))
