"""The page on corruption is right: its Python runs, its declarations are allowed, the reference page is current."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
from transcripts import fenced_blocks

from merbench.cli import run
from merbench.corruptions import CORRUPTIONS, Audio, check_parameters, corruptions_page, generator

DOCS = Path(__file__).parents[2] / "docs"
GUIDE = (DOCS / "corruption.md").read_text(encoding="utf-8")


def test_the_page_of_corruptions_is_current() -> None:
    assert (DOCS / "corruptions-reference.md").read_text(encoding="utf-8") == corruptions_page()


def test_the_python_of_the_guide_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CORRUPTIONS, "_items", dict(CORRUPTIONS._items))
    names: dict[str, object] = {}
    for block in fenced_blocks(GUIDE, "python"):
        exec(compile(block, "corruption.md", "exec"), names)
    noisy, sound = names["noisy"], names["sound"]
    assert isinstance(noisy, Audio) and isinstance(sound, Audio)
    ratio = np.linalg.norm(sound.samples) / np.linalg.norm(noisy.samples.astype(float) - sound.samples)
    assert 20 * np.log10(ratio) == pytest.approx(5, abs=1e-3)
    ramp = Audio(np.arange(4, dtype=np.float32)[None], 8000)
    turned = CORRUPTIONS["backwards"](ramp, generator(0, "backwards", "a"), {"gain": 2.0, "start": 0.5})
    assert turned.samples.tolist() == [[0.0, 1.0, 6.0, 4.0]]


def test_the_declarations_of_the_guide_are_allowed() -> None:
    import textwrap

    blocks = [block for block in GUIDE.split("```toml\n")[1:]]
    assert len(blocks) == 2
    for block in blocks:
        declared = tomllib.loads(textwrap.dedent("  " * block.startswith(" ") + block.split("```")[0]))
        for step in declared["corruptions"]:
            parameters = {key: value for key, value in step.items() if key != "name"}
            assert check_parameters(step["name"], parameters) == []


def test_the_command_lists_those_of_a_modality(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["corruptions", "--modality", "text"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["corruption", "of"]
    assert {line.split()[0] for line in lines[1:]} == {
        "character_swaps",
        "homophones",
        "word_deletion",
        "word_substitution",
    }
    assert run(["corruptions", "--modality", "txt"]) == 2
    assert "did you mean 'text'" in capsys.readouterr().err
