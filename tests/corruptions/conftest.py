"""Codecs that the FFmpeg of these tests does not have are skipped, by name: PyAV 19 comes without AMR."""

from __future__ import annotations

import pytest

from merbench.corruptions.audio.transmission import CODECS


@pytest.fixture(autouse=True)
def installed_codec(request: pytest.FixtureRequest) -> None:
    """Skip a case whose codec cannot be tried, unless it is one that is refused before it is looked for."""
    given = getattr(request.node, "callspec", None)
    if given is None or "message" in given.params:
        return
    parameters = given.params.get("parameters")
    name = given.params.get("codec") or (parameters.get("codec") if isinstance(parameters, dict) else None)
    if name in CODECS:
        av = pytest.importorskip("av")
        if CODECS[name].encoder not in av.codecs_available:
            pytest.skip(f"FFmpeg as installed has no encoder for {name}")
