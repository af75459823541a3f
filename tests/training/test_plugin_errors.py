"""A mistake in a baseline's own code is one message with its file and line, and leaves nothing behind."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pyarrow as pa
import pytest

from merbench.cli import run
from merbench.errors import MissingExtra, UsageError
from merbench.own_code import extra_of, modules_by_extra
from merbench.track import Track
from merbench.training import FeatureSet, RunSettings, Setup, load_baseline, run_baseline
from tests.training.conftest import SmallTrack
from tests.training.test_declaration import write

MODEL = """from dataclasses import dataclass
import numpy as np
from merbench.training import CrossFit, Predictions, TrainingSet

@dataclass(frozen=True)
class Options:
    pass

class Own:
    def fit(self, train):
        self.shape = len(train.track.targets["discrete"].labels)
    def predict(self, test):
        even = np.full((len(test), self.shape), 1 / self.shape)
        return Predictions({"discrete": even, "valence": np.zeros(len(test))})

def build(options, setup):
    return Own()
"""


def reported(track: Track, folder: Path, model: str) -> str:
    """Run a baseline with this code and return the message; nothing is written."""
    write(folder, 'title = "Own"\nuses_features = false\n', model)
    with pytest.raises(UsageError) as caught:
        run_baseline(track, folder, RunSettings(intervals=False), output=folder.parent / "run")
    assert not (folder.parent / "run").exists()
    return str(caught.value)


HINT = "; MERBENCH_TRACEBACK=1 shows the traceback"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('train.track.targets["discrete"]', 'train.targets["discret"]', "line 11: baseline 'own' failed in fit: KeyError: 'discret'"),
        ('train.track.targets["discrete"].labels', "np.concatenate([np.zeros((2, 2)), np.zeros(3)])", "line 11: baseline 'own' failed in fit: ValueError: all the input array"),
        ("np.zeros(len(test))", "np.zeros(len(test)).no", "line 14: baseline 'own' failed in predict: AttributeError: 'numpy.ndarray' object has no attribute 'no'"),
        ("return Own()", "return Own(options)", "line 17: baseline 'own' failed in build: TypeError: Own() takes no arguments"),
        ("def build(options, setup", "def build(options", "baseline 'own' failed in build: TypeError: build() takes 1 positional argument but 2 were given"),
        ("class Own:", "class Own", "line 9: baseline 'own' cannot be loaded: SyntaxError: expected ':' (model.py, line 9)"),
        ("import numpy as np", "from math import no", "line 2: baseline 'own' cannot be loaded: ImportError: cannot import name 'no' from 'math'"),
        ("import numpy as np", "import merbench.no_module", "line 2: baseline 'own' cannot be loaded: ModuleNotFoundError: No module named 'merbench.no_module'"),
        ("    pass", "    depth: 'Nowhere'", "baseline 'own' failed in Options: "),
    ],
)  # fmt: skip
def test_an_exception_names_the_baselines_own_line(
    small_track: SmallTrack, tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert MODEL.count(old) == 1
    text = reported(small_track(), tmp_path / "own", MODEL.replace(old, new))
    separator = ", " if message.startswith("line") else ": "
    assert text.startswith(f"{tmp_path / 'own' / 'model.py'}{separator}{message}")
    assert text.endswith(HINT)
    assert "\n" not in text


def test_what_build_returns_is_a_baseline(small_track: SmallTrack, tmp_path: Path) -> None:
    track = small_track()
    text = reported(track, tmp_path / "own", MODEL.replace("return Own()", "Own()"))
    assert text == (
        f"{tmp_path / 'own' / 'model.py'}: build returned nothing (None) without fit and predict; "
        "a baseline has fit(train) and predict(test)"
    )
    text = reported(track, tmp_path / "own", MODEL.replace("def fit", "def train"))
    assert "build returned a value of type 'Own' without fit; a baseline has" in text


def test_answers_are_checked_before_anything_is_written(small_track: SmallTrack, tmp_path: Path) -> None:
    text = reported(
        small_track(), tmp_path / "own", MODEL.replace("np.zeros(len(test))", "np.zeros(len(test)) + np.nan")
    )
    assert text.startswith("baseline 'own', predict: 1 problem\n  E204  valence: NaN or infinite in 12 of 12 rows (")
    folds = """
    def fit_folds(self, train):
        self.fit(train)
        return CrossFit(Predictions({}))

def build("""
    text = reported(small_track("two"), tmp_path / "own", MODEL.replace("\ndef build(", folds))
    assert text.startswith("baseline 'own', fit_folds, out_of_fold: 2 problems\n  E202  discrete: is missing")


def test_predicting_without_fitting_is_reported() -> None:
    with pytest.raises(UsageError, match=r"^baseline 'majority' was not fitted: fit comes before predict$"):
        load_baseline("majority").build({}, Setup()).predict(FeatureSet(pa.array(["a"]), {}))


@pytest.mark.parametrize("declared", ["", 'extra = "media"\n', 'extra = "baselines"\n'])
def test_a_missing_package_names_the_extra_that_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, declared: str
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sklearn.nowhere", None)
    folder = write(tmp_path / "own", f'title = "x"\n{declared}', "import sklearn.nowhere\n")
    message = "baseline 'own' (sklearn.nowhere) needs the extra 'baselines': pip install 'merbench[baselines]'"
    with pytest.raises(MissingExtra, match=f"^{re.escape(message)}$"):
        load_baseline(folder)


@pytest.mark.parametrize("declared", ["", 'extra = "baselines"\n'])
def test_a_missing_package_that_no_extra_brings_is_named(tmp_path: Path, declared: str) -> None:
    folder = write(
        tmp_path / "own", f'title = "x"\n{declared}', "import math\nimport there_is_no_such_package.at_all\n"
    )
    with pytest.raises(UsageError) as caught:
        load_baseline(folder)
    assert not isinstance(caught.value, MissingExtra)
    assert str(caught.value) == (
        f"{folder / 'model.py'}, line 2: baseline 'own' imports 'there_is_no_such_package', which is not installed; "
        "no extra of merbench installs it"
    )
    (folder / "helper_beside.py").touch()
    (folder / "model.py").write_text("import helper_beside\n", encoding="utf-8")
    with pytest.raises(
        UsageError, match=r"helper_beside\.py next to it is not imported: use only model\.py, or install a package"
    ):
        load_baseline(folder)


def test_the_traceback_is_shown_where_it_is_asked_for(
    small_track: SmallTrack, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = MODEL.replace('train.track.targets["discrete"]', 'train.targets["discret"]')
    folder = write(tmp_path / "own", 'title = "Own"\nuses_features = false\n', model)
    command = ["run-baseline", str(small_track().folder), "--baseline", str(folder), "-o", str(tmp_path / "run")]
    assert run(command) == 2
    message = capsys.readouterr().err
    assert message == f"{folder / 'model.py'}, line 11: baseline 'own' failed in fit: KeyError: 'discret'{HINT}\n"
    monkeypatch.setenv("MERBENCH_TRACEBACK", "1")
    assert run(command) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("Traceback (most recent call last):\n")
    assert f'File "{folder / "model.py"}", line 11, in fit\n' in shown
    assert shown.endswith(message)


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
        ("cv2", "media", "media"),
        ("cv2", None, "faces"),
        ("pytest", None, None),
        ("xgboost", "baselines", None),
    ],
)
def test_a_module_is_brought_by_an_extra_or_by_none(module: str, declared: str | None, extra: str | None) -> None:
    assert extra_of(module, declared) == extra
