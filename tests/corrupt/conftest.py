"""Clips of the sample for the tests of corruption, under short names."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from merbench.banks.folder import open_bank
from merbench.sample import clips

IDS = tuple(f"clip-{number}" for number in range(6))


@pytest.fixture(scope="session")
def made_clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of six clips of the sample, with sound and pictures."""
    folder = tmp_path_factory.mktemp("clips")
    for number, name in enumerate(IDS, 1):
        clips.write_clip(clips.clip(f"sample_{number:08d}"), folder / f"{name}.mp4")
    return folder


@pytest.fixture(scope="session")
def babble(data_home: Path) -> str:
    """Return the name of a noise bank, which is built."""
    open_bank("synthetic/babble")
    return "synthetic/babble"


@pytest.fixture
def media(made_clips: Path, babble: str, tmp_path: Path) -> Path:
    """Return a folder of clips that the test may change."""
    return shutil.copytree(made_clips, tmp_path / "media")
