"""What every test may ask for: real data if this machine has them, the sample corpus, and a machine that is cut off."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import browser as chromium
import pytest
from checked_tracks import tracks_of

# Small matrices gain nothing from several threads, and several test processes with threads each wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A run in the background of a shell ignores interrupts, and so would every command that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
from hypothesis import settings

# No test is timed: a slow machine fails nothing.
settings.register_profile("merbench", deadline=None)
settings.load_profile("merbench")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a case of bytes by its argument: archives hold the time, and two test processes must name cases alike."""
    return argname if isinstance(val, bytes) else None


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Return the folder of real corpora and their expected values; skip, by name, where there is none."""
    folder = os.environ.get("MERBENCH_TEST_DATA")
    if not folder:
        pytest.skip("real data: MERBENCH_TEST_DATA names no folder")
    return Path(folder)


@pytest.fixture(scope="session", autouse=True)
def data_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give the session a data home of its own, so that no test reads or writes the user's."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("home")
        patch.setenv("MERBENCH_HOME", str(home))
        patch.delenv("MERBENCH_TRACKS", raising=False)
        patch.delenv("MERBENCH_BASELINES", raising=False)
        patch.setenv("NO_COLOR", "1")
        patch.setenv("COLUMNS", "120")
        yield home


@pytest.fixture(scope="session")
def sample_home(data_home: Path) -> Path:
    """Return the session's data home with the sample corpus built in it."""
    from merbench.corpus import open_corpus

    open_corpus("sample")
    return data_home


@pytest.fixture
def own_home(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data home with the sample corpus that no other test sees."""
    return shutil.copytree(
        sample_home / "corpora" / "sample", tmp_path_factory.mktemp("own") / "corpora" / "sample"
    ).parents[1]


@pytest.fixture
def installed_weights() -> Callable[[str], Path]:
    """Return a function of an extractor's name that puts its weights into the data home and returns their folder.

    The test is skipped, by name, where `make test` could not install them. They are in the environment's own data home,
    or in the one that MERBENCH_TEST_WEIGHTS names.
    """
    from merbench.features.shipped import EXTRACTORS
    from merbench.features.weights import INSTALLED, weights_folder

    kept = Path(os.environ.get("MERBENCH_TEST_WEIGHTS", Path(sys.prefix) / "share" / "merbench"))

    def installed(name: str) -> Path:
        weights = EXTRACTORS[name].weights
        assert weights is not None
        if not (kept / "weights" / weights.name).is_dir():
            pytest.skip(f"weights of the extractor '{name}': not installed in {kept}")
        if not (INSTALLED.home / weights.name).exists():
            shutil.copytree(kept / "weights" / weights.name, INSTALLED.home / weights.name)
        return weights_folder(EXTRACTORS[name])

    return installed


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return the driver of a headless Chromium; skip by name where there is none. `tests/browser.py` shows pages in it."""
    driver = chromium.start(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def cluster(data_home: Path) -> Iterator[str]:
    """Return the address of a Dask cluster of two processes, as an engine; skip by name where Dask is not installed."""
    distributed = pytest.importorskip("distributed", reason="Dask: distributed is not installed")
    import dask

    allowed = {"distributed.scheduler.allowed-failures": 1, "distributed.admin.system-monitor.gil.enabled": False}
    with (
        dask.config.set(allowed),
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",
            silence_logs=50,
            host="127.0.0.1",
        ) as cluster,
    ):
        yield f"dask://{cluster.scheduler_address.removeprefix('tcp://')}"


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    """Refuse every connection that leaves this machine."""
    connect = socket.socket.connect

    def connect_locally(self: socket.socket, address: Any) -> None:
        host = address[0] if isinstance(address, tuple) else None
        if host not in (None, "localhost", "127.0.0.1", "::1"):
            raise RuntimeError(f"a test reached for the network: {address}")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect_locally)
        yield


@pytest.fixture(autouse=True)
def _scores_the_tracks_it_checks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test that says it checks a track and does not score it."""
    parameters = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    named = set().union(*(tracks_of(mark, parameters) for mark in request.node.iter_markers("checks")))
    if not named:
        yield
        return
    from merbench.scoring import scorecard

    scored: set[str] = set()
    align = scorecard.align

    def recorded(read: Any, **options: Any) -> Any:
        scored.add(read.candidates.track.id)
        return align(read, **options)

    monkeypatch.setattr(scorecard, "align", recorded)
    yield
    assert named <= scored
