"""The table and the reference page show every metric, and say what every parameter means."""

from __future__ import annotations

from pathlib import Path

import pytest

from merbench.cli import run
from merbench.metrics import METRICS, metrics_page
from merbench.metrics.listing import parameter_meanings

PAGE = Path(__file__).parents[2] / "docs" / "metrics-reference.md"


def test_the_page_of_metrics_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == metrics_page()


def test_every_parameter_is_explained() -> None:
    metrics = [METRICS[name] for name in METRICS if METRICS[name].function.__module__.startswith("merbench.")]
    for kind in {item.target for item in metrics}:
        meanings = parameter_meanings([item for item in metrics if item.target == kind])
        assert [name for name, text in meanings.items() if not text] == []


def test_the_command_lists_the_metrics_of_a_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["metrics", "--kind", "segments"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["metric", "kind", "better", "range", "parameters", "formula"]
    assert [line.split()[0] for line in lines[1:]] == [name for name in METRICS if METRICS[name].target == "segments"]
    assert run(["metrics", "--kind", "label_sets"]) == 2
    assert "did you mean 'label_set'" in capsys.readouterr().err
    assert run(["metrics", "--markdown"]) == 0
    assert capsys.readouterr().out == PAGE.read_text(encoding="utf-8")
