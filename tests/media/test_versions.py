"""What the bits of clips rest on, by name."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import av
import cv2
import numpy as np
import pytest

from merbench.media import reading

FFMPEG = ("libavcodec", "libavformat", "libswscale")


def test_the_libraries_of_media_are_named_with_their_versions() -> None:
    found = reading.media_versions()
    assert list(found) == ["merbench", "machine", "av", "numpy", "opencv", "scipy", "soxr", *FFMPEG]
    assert found["libavcodec"] == ".".join(map(str, av.library_versions["libavcodec"]))
    assert found["numpy"] == np.__version__
    assert found["opencv"].startswith(cv2.__version__)
    assert found["machine"] == platform.machine()


def test_a_library_that_is_absent_is_left_out_and_one_of_another_package_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def installed(package: str) -> str:
        if package in ("opencv-python-headless", "soxr"):
            raise PackageNotFoundError(package)
        return "4.9.1" if package == "opencv-python" else version(package)

    monkeypatch.setattr(reading, "version", installed)
    found = reading.media_versions()
    assert found["opencv"] == "4.9.1"
    assert list(found) == ["merbench", "machine", "av", "numpy", "opencv", "scipy", *FFMPEG]
