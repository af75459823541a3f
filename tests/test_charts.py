from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from merbench.charts import training_curve
from merbench.errors import MissingExtra

LOSS = np.linspace(2, 1, 12).reshape(4, 3)
VALUE = np.linspace(0, 1, 12).reshape(4, 3)


def draw(path: Path, value: np.ndarray = VALUE) -> bytes:
    training_curve(path, LOSS, value, (4, 3, 4), value_name="overall")
    return path.read_bytes()


@pytest.mark.slow
def test_the_curve_is_a_picture_and_its_bytes_depend_only_on_the_numbers(tmp_path: Path) -> None:
    svg = draw(tmp_path / "a.svg")
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert svg == draw(tmp_path / "b.svg")
    assert svg != draw(tmp_path / "c.svg", VALUE / 2)
    png = draw(tmp_path / "a.png")
    assert png.startswith(b"\x89PNG")
    assert png == draw(tmp_path / "b.png")


def test_values_that_are_not_finite_leave_a_gap(tmp_path: Path) -> None:
    value = VALUE.copy()
    value[0] = -np.inf
    assert draw(tmp_path / "a.svg", value)


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"a chart \(matplotlib\) needs the extra 'baselines': pip install"):
        draw(tmp_path / "a.svg")
