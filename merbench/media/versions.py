"""What the bits of damaged clips and of vectors of clips rest on: versions of libraries, and the kind of machine."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

_OPENCV = ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python")

PACKAGES = {"av": ("av",), "numpy": ("numpy",), "opencv": _OPENCV, "scipy": ("scipy",), "soxr": ("soxr",)}
"""Library -> the packages that it may come in."""


def media_versions() -> dict[str, str]:
    """Return the versions of merbench and of the libraries that are installed, and the kind of machine."""
    found = {name: held for name, packages in PACKAGES.items() if (held := _installed(packages))}
    if "av" in found:
        found |= _ffmpeg()
    return {"merbench": version("merbench"), "machine": platform.machine(), **found}


def _ffmpeg() -> dict[str, str]:
    """Return the versions of FFmpeg's libraries that read and write, which one version of PyAV may have several of."""
    import av

    libraries = ("libavcodec", "libavformat", "libswscale")
    return {name: ".".join(map(str, av.library_versions[name])) for name in libraries}


def _installed(packages: tuple[str, ...]) -> str:
    for package in packages:
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return ""
