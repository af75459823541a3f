"""Units of work in real processes and on a real Dask cluster, some of which are killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import units_of_work as work

from merbench.engine import Done, WorkerDied, require_engine, run
from merbench.errors import InvalidCorpus, MissingExtra, Problem, UnknownName, UsageError

NUMBERS = [(f"unit {x}", x) for x in range(40)]
SQUARES = {f"unit {x}": x * x for x in range(40)}


def values(results: Iterator[Done[Any]]) -> dict[str, Any]:
    by_name = {}
    for done in results:
        assert done.error is None and done.name not in by_name
        by_name[done.name] = done.value
    return by_name


def is_alive(process_id: int) -> bool:
    """Whether a process exists and is more than the entry of one that ended."""
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def eventually(condition: Callable[[], bool]) -> bool:
    for _ in range(600):
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_one_worker_is_this_process_and_two_are_others() -> None:
    assert list(run(work.square, [], workers=2)) == []
    assert values(run(work.process_id, [("a", 0)])) == {"a": os.getpid()}
    others = set(values(run(work.process_id, NUMBERS[:12], workers=2)).values())
    assert len(others) == 2 and os.getpid() not in others
    assert not any(is_alive(process_id) for process_id in others)


def test_workers_compute_in_one_thread_and_this_process_keeps_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cv2")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    before = dict(os.environ)
    (threads,) = values(run(work.threads, [("a", 0)], workers=2)).values()
    assert set(threads.values()) == {"1"}
    assert dict(os.environ) == before


def test_units_are_taken_as_workers_ask_for_them() -> None:
    taken = 0

    def units() -> Iterator[tuple[str, int]]:
        nonlocal taken
        for taken in range(1, 1001):
            yield "unit", taken

    with closing(run(work.square, units(), workers=2, batch=3)) as results:
        next(results)
    assert taken <= 3 * 3  # a task of three units for each of two workers, and the next one


@pytest.mark.parametrize("workers", [1, 2])
def test_an_exception_is_a_result(workers: int) -> None:
    kinds = ("value", "name", "corpus", "exit", "fine")
    by_name = {done.name: done for done in run(work.fail, [(kind, kind) for kind in kinds], workers=workers, batch=2)}
    assert by_name["fine"] == Done("fine", "fine")
    value, name, corpus, left = (by_name[kind].error for kind in kinds[:4])
    assert isinstance(value, ValueError) and str(value) == "a value"
    if workers == 2:  # the traceback does not travel
        assert 'raise ValueError("a value")' in value.__notes__[0]
    assert isinstance(name, UnknownName)
    assert str(name) == "no bank named 'muzan'; did you mean 'musan'? (known: musan)"
    assert isinstance(corpus, InvalidCorpus) and corpus.problems == (Problem("E601", "gone"),)
    assert isinstance(left, SystemExit) and left.code == 3


def test_what_cannot_be_pickled_is_an_error_of_its_unit_only() -> None:
    units = [("a", "fine"), ("b", "odd"), ("c", "unpicklable"), ("d", "fine")]
    by_name = {done.name: done for done in run(work.fail, units, workers=2, batch=4)}
    assert by_name["a"].value == by_name["d"].value == "fine"
    assert isinstance(by_name["b"].error, RuntimeError) and str(by_name["b"].error) == "Odd: odd"
    assert "pickle" in str(by_name["c"].error)


RUNNER = """
import sys
from contextlib import closing
import units_of_work
from merbench.engine import run
if __name__ == "__main__":
    try:
        with closing(run(getattr(units_of_work, sys.argv[2]), [(str(i), sys.argv[1]) for i in range(9)], workers=2)) as r:
            list(r)
    except KeyboardInterrupt:
        print("interrupted")
"""


@pytest.fixture
def runner(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A process with two busy workers, and their process ids."""
    script = tmp_path / "runner.py"
    script.write_text(RUNNER, encoding="utf-8")
    folder = tmp_path / "units"
    folder.mkdir()
    tests = str(Path(__file__).parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((tests, str(Path(tests).parent)))}
    command = [sys.executable, str(script), str(folder), getattr(request, "param", "sleep_with_half_a_file")]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert eventually(lambda: len(list(folder.glob("pid-*"))) == 2)
        yield process, [int(path.name.removeprefix("pid-")) for path in folder.glob("pid-*")]
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked at in /proc: this is not Linux")
@pytest.mark.parametrize("is_group", [False, True])
def test_an_interrupt_leaves_no_worker_and_no_half_file(
    is_group: bool, runner: tuple[subprocess.Popen[str], list[int]], tmp_path: Path
) -> None:
    process, workers = runner
    assert all(map(is_alive, workers))
    (os.killpg if is_group else os.kill)(process.pid, signal.SIGINT)  # a terminal interrupts the whole group
    out, err = process.communicate(timeout=60)
    assert (out, err, process.returncode) == ("interrupted\n", "", 0)
    assert not any(map(is_alive, workers))
    assert list((tmp_path / "units").glob("half-*")) == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked at in /proc: this is not Linux")
def test_workers_do_not_outlive_a_parent_that_is_killed(
    runner: tuple[subprocess.Popen[str], list[int]], tmp_path: Path
) -> None:
    process, workers = runner
    process.kill()
    assert process.communicate(timeout=60) == ("", "")
    assert eventually(lambda: not any(map(is_alive, workers)))
    assert list((tmp_path / "units").glob("half-*")) == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked at in /proc: this is not Linux")
@pytest.mark.parametrize("runner", ["sleep_in_a_native_callback", "sleep_and_swallow"], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_stored_after_a_library_swallowed_the_end_of_its_worker(
    number: int, runner: tuple[subprocess.Popen[str], list[int]], tmp_path: Path
) -> None:
    process, workers = runner
    process.send_signal(number)
    assert process.communicate(timeout=60) == ("interrupted\n" if number == signal.SIGINT else "", "")
    assert eventually(lambda: not any(map(is_alive, workers)))
    left = {path.name.partition("-")[0] for path in (tmp_path / "units").iterdir()}
    assert left == {"pid"}


def semaphores() -> set[Path]:
    """Return the semaphores of this process that have names, where Linux keeps them."""
    return set(Path("/dev/shm").glob(f"sem.loky-{os.getpid()}-*"))


def test_nothing_is_left_of_the_workers_when_the_generator_ends() -> None:
    """A command ends at once then, and what is still open would stay until another process removes it."""
    before, opened = set(threading.enumerate()), semaphores()
    results = run(work.process_id, NUMBERS, workers=2)
    first = next(results)
    assert sys.platform != "linux" or semaphores() > opened
    results.close()
    assert not is_alive(first.value or 0)
    assert set(threading.enumerate()) == before
    assert semaphores() == opened


@pytest.mark.parametrize(
    ("engine", "address"),
    [("local", None), ("dask://node-1.lan:8786", "node-1.lan:8786"), ("dask://[::1]:1", "[::1]:1")],
)
def test_an_engine_is_local_or_an_address(engine: str, address: str | None) -> None:
    assert require_engine(engine) == address


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ("Local", "'Local' is not an engine; did you mean 'local'; allowed"),
        ("dask://host", "'dask://host' is not an engine; allowed"),
        ("dask://host:65536", "'dask://host:65536' is not an engine; allowed"),
        ("tcp://host:8786", "'tcp://host:8786' is not an engine; allowed"),
    ],
)
def test_another_engine_is_refused_at_once(engine: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        run(work.square, [], engine=engine)
    assert str(caught.value).replace("'?", "'") == f"{message}: local and dask://host:port"


def test_less_than_one_worker_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match=r"^workers = 0 and batch = 1 must be at least 1$"):
        run(work.square, [], workers=0)


def test_dask_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtra, match=r"^dask://host:1 \(distributed\) needs the extra 'distributed': pip"):
        next(run(work.square, NUMBERS, engine="dask://host:1"))


@pytest.fixture(params=[1, 3, pytest.param("dask", marks=pytest.mark.slow)])
def where(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return where units run: in this process, in three others, on a Dask cluster."""
    dask = request.param == "dask"
    return {"engine": request.getfixturevalue("cluster")} if dask else {"workers": request.param}


@pytest.mark.parametrize("batch", [1, 7])
def test_every_unit_comes_back_once_in_any_order(where: dict[str, Any], batch: int) -> None:
    shuffled = random.Random(batch).sample(NUMBERS, len(NUMBERS))
    counts: list[int] = []
    assert values(run(work.square, shuffled, batch=batch, progress=counts.append, **where)) == SQUARES
    assert counts == list(range(1, 41))


@pytest.mark.parametrize("where", [2, pytest.param("dask", marks=pytest.mark.slow)], indirect=True)
@pytest.mark.parametrize("batch", [1, 5])
def test_a_worker_that_is_killed_loses_nothing(where: dict[str, Any], batch: int, tmp_path: Path) -> None:
    marker = str(tmp_path / "killed")
    units = [(name, (x, marker if x == 11 else "")) for name, x in NUMBERS]
    assert values(run(work.kill_once, units, batch=batch, **where)) == SQUARES
    assert (tmp_path / "killed").exists()


@pytest.mark.slow
@pytest.mark.parametrize("where", [2, "dask"], indirect=True)
def test_a_unit_that_always_kills_its_worker_is_reported_and_the_others_are_done(where: dict[str, Any]) -> None:
    units = [*NUMBERS[:2], ("bad", -1), *NUMBERS[2:4]]
    by_name = {done.name: done for done in run(work.kill_always, units, **where)}
    bad = by_name.pop("bad")
    assert {name: done.value for name, done in by_name.items()} == {name: SQUARES[name] for name, _ in NUMBERS[:4]}
    assert isinstance(bad.error, WorkerDied)
    if "workers" in where:
        assert str(bad.error) == (
            "bad: its worker process was killed each time it ran; it may need more memory than is available"
        )


@pytest.mark.slow
def test_exceptions_come_back_from_a_dask_cluster(cluster: str) -> None:
    units: Sequence[tuple[str, str]] = [(kind, kind) for kind in ("corpus", "fine")]
    by_name = {done.name: done for done in run(work.fail, units, engine=cluster, batch=3)}
    assert by_name["fine"].value == "fine"
    corpus = by_name["corpus"].error
    assert isinstance(corpus, InvalidCorpus) and corpus.problems == (Problem("E601", "gone"),)


@pytest.mark.slow
def test_an_address_where_nothing_answers_is_reported_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("merbench.engine.running._TIMEOUT_S", 1)
    with pytest.raises(UsageError, match=r"^dask://127\.0\.0\.1:9: no Dask scheduler answers \(.*\)$"):
        next(run(work.square, NUMBERS, engine="dask://127.0.0.1:9"))


@pytest.mark.slow
def test_a_scheduler_that_goes_away_is_reported() -> None:
    distributed = pytest.importorskip("distributed")
    cluster = distributed.LocalCluster(
        n_workers=1, processes=False, protocol="tcp", dashboard_address="127.0.0.1:0", silence_logs=50, host="127.0.0.1"
    )
    engine = f"dask://{cluster.scheduler_address.removeprefix('tcp://')}"
    with closing(run(work.process_id, NUMBERS, engine=engine)) as results:
        next(results)
        cluster.close()
        with pytest.raises(UsageError, match=r"^dask://127\.0\.0\.1:\d+: the Dask scheduler went away$"):
            list(results)


@pytest.mark.slow
@pytest.mark.parametrize("own", ["", "def abs(x): return len('-' * -x)\n"])
def test_a_script_needs_no_guard_even_for_functions_of_its_own(own: str, tmp_path: Path) -> None:
    script = tmp_path / "unguarded.py"
    script.write_text(
        f"import os\nfrom merbench.engine import run\n{own}"
        "print(sorted(done.value for done in run(abs, [('a', -1), ('b', -2)], workers=2)), flush=True)\n"
        "os._exit(0)\n"  # as commands do
    )
    ended = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "[1, 2]\n", "")


def test_an_interrupt_here_ends_the_unit_and_then_everything() -> None:
    """Even if a library that calls back has swallowed the exception."""
    done = []

    def interrupted(number: int) -> int:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)
        except KeyboardInterrupt:
            return -1
        return number

    with pytest.raises(KeyboardInterrupt):
        for result in run(interrupted, [("a", 1), ("b", 2)]):
            done.append(result)
    assert done == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
