"""The command line answers at once: importing it loads nothing heavy, and the public API stays small."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

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


@pytest.mark.slow
def test_a_baseline_without_an_extra_runs_where_no_extra_is_installed(tmp_path: Path) -> None:
    absent = {"cv2", "av", "matplotlib", "optuna", "scipy", "sklearn", "tensorboard", "threadpoolctl", "torch"}
    code = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
from merbench.cli import run
for words in ("run-baseline mer-multi --baseline majority --no-intervals", "runs", "predict runs/mer-multi/majority mer-noise"):
    assert run(words.split()) == 0, words
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_public_names_are_few_and_there() -> None:
    import merbench

    assert len(merbench.__all__) <= 15
    for name in merbench.__all__:
        assert getattr(merbench, name) is not None
    assert set(merbench.__all__) <= set(dir(merbench))
