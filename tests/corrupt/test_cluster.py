"""The same run on a Dask cluster: the bytes that one process makes."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from media_track import media_candidates

from merbench.corrupt.media import corrupt_media, plan_media
from merbench.files.reading import sha256_file

IDS = tuple(f"clip-{number}" for number in range(6))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_cluster_makes_the_bytes_that_one_process_makes(tmp_path: Path, media: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="Dask: distributed is not installed")
    candidates = media_candidates(tmp_path, IDS)
    here = corrupt_media(plan_media(candidates, media, tmp_path / "here"))
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": "127.0.0.1:0"}
    with distributed.LocalCluster(silence_logs=logging.CRITICAL, **options) as cluster:
        engine = f"dask://{cluster.scheduler_address.removeprefix('tcp://')}"
        there = corrupt_media(plan_media(candidates, media, tmp_path / "there"), engine=engine)
    assert there.manifest.rows == here.manifest.rows
    names = [path.name for path in sorted((tmp_path / "here").iterdir())]
    assert names == [path.name for path in sorted((tmp_path / "there").iterdir())]
    for name in names:
        assert sha256_file(tmp_path / "here" / name) == sha256_file(tmp_path / "there" / name)
