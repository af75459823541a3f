"""Units of work through real processes and a real Dask cluster, of which some are killed."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import process
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
    found = list(results)
    assert [done for done in found if done.error is not None] == []
    assert len({done.name for done in found}) == len(found)
    return {done.name: done.value for done in found}


def is_alive(process_id: int) -> bool:
    """Whether a process is there and more than the entry of one that ended."""
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


@pytest.mark.parametrize(("workers", "batch"), [(1, 1), (2, 1), (3, 7)])
def test_every_unit_comes_back_once_whatever_the_order(workers: int, batch: int) -> None:
    shuffled = random.Random(workers).sample(NUMBERS, len(NUMBERS))
    counts: list[int] = []
    assert values(run(work.square, shuffled, workers=workers, batch=batch, progress=counts.append)) == SQUARES
    assert counts == list(range(1, 41))


def test_no_units_no_results() -> None:
    assert list(run(work.square, [], workers=1)) == []
    assert list(run(work.square, [], workers=2)) == []


def test_one_worker_is_this_process_and_two_are_others() -> None:
    assert values(run(work.process_id, [("a", 0)])) == {"a": os.getpid()}
    others = set(values(run(work.process_id, NUMBERS[:12], workers=2)).values())
    assert len(others) in (1, 2) and os.getpid() not in others  # the first may have done all before the second is there
    assert not any(is_alive(process_id) for process_id in others)


def test_workers_compute_in_one_thread_and_this_process_keeps_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    before = dict(os.environ)
    (told,) = values(run(work.threads_told, [("a", 0)], workers=2)).values()
    assert set(told.values()) == {"1"}
    assert dict(os.environ) == before


def test_opencv_computes_in_one_thread() -> None:
    pytest.importorskip("cv2")
    assert values(run(work.threads_of_opencv, [("a", 0)], workers=2)) == {"a": 1}


def test_units_are_taken_as_workers_ask_for_them() -> None:
    taken = 0

    def units() -> Iterator[tuple[str, int]]:
        nonlocal taken
        for taken in range(1, 1001):
            yield "unit", taken

    with closing(run(work.square, units(), workers=2, batch=3)) as results:
        next(results)
    assert taken <= 2 * 2 * 3  # two tasks of three units for each of two workers


@pytest.mark.parametrize("workers", [1, 2])
def test_an_exception_is_a_result(workers: int) -> None:
    kinds = ("value", "name", "corpus", "exit", "fine")
    found = {done.name: done for done in run(work.fail, [(kind, kind) for kind in kinds], workers=workers, batch=2)}
    assert found["fine"] == Done("fine", "fine")
    value, name, corpus, left = (found[kind].error for kind in kinds[:4])
    assert isinstance(value, ValueError) and str(value) == "a value"
    assert isinstance(name, UnknownName)
    assert str(name) == "no bank named 'muzan'; did you mean 'musan'? (known: musan)"
    assert isinstance(corpus, InvalidCorpus) and corpus.problems == (Problem("E601", "gone"),)
    assert isinstance(left, SystemExit) and left.code == 3


def test_what_cannot_be_pickled_is_told_of_that_unit_alone() -> None:
    units = [("a", "fine"), ("b", "odd"), ("c", "unpicklable"), ("d", "fine")]
    found = {done.name: done for done in run(work.fail, units, workers=2, batch=4)}
    assert found["a"].value == found["d"].value == "fine"
    assert isinstance(found["b"].error, RuntimeError) and str(found["b"].error) == "Odd: odd"
    # Python 3.13 names the object that it cannot pickle, and not the word.
    assert re.search("pickle|local object", str(found["c"].error))


def test_an_exception_brings_the_place_where_it_was_raised() -> None:
    ((done),) = run(work.fail, [("a", "value")], workers=2)
    assert done.error is not None and 'raise ValueError("a value")' in done.error.__notes__[0]


@pytest.mark.parametrize("batch", [1, 5])
def test_a_worker_that_is_killed_loses_nothing(batch: int, tmp_path: Path) -> None:
    marker = str(tmp_path / "killed")
    units = [(name, (x, marker if x == 11 else "")) for name, x in NUMBERS]
    assert values(run(work.kill_once, units, workers=2, batch=batch)) == SQUARES
    assert (tmp_path / "killed").exists()


def test_a_unit_that_always_kills_its_worker_is_found_and_the_others_are_done() -> None:
    found = {done.name: done for done in run(work.kill_always, [*NUMBERS[:9], ("bad", -1), *NUMBERS[9:12]], workers=2)}
    bad = found.pop("bad")
    assert {name: done.value for name, done in found.items()} == {name: SQUARES[name] for name, _ in NUMBERS[:12]}
    assert isinstance(bad.error, WorkerDied)
    assert str(bad.error) == (
        "bad: its worker process was killed each time that it was run; it may need more memory than there is"
    )


RUNNER = """
import sys
from contextlib import closing
import units_of_work
from merbench.engine import run
if __name__ == "__main__":
    try:
        with closing(run(units_of_work.sleep_with_half_a_file, [(str(i), sys.argv[1]) for i in range(9)], workers=2)) as r:
            list(r)
    except KeyboardInterrupt:
        print("interrupted")
"""


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A process with two busy workers, and their process ids."""
    script = tmp_path / "runner.py"
    script.write_text(RUNNER, encoding="utf-8")
    held = tmp_path / "held"
    held.mkdir()
    tests = str(Path(__file__).parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((tests, str(Path(tests).parent)))}
    command = [sys.executable, str(script), str(held)]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert eventually(lambda: len(list(held.glob("pid-*"))) == 2)
        yield process, [int(path.name.removeprefix("pid-")) for path in held.glob("pid-*")]
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked at in /proc: this is not Linux")
@pytest.mark.parametrize("whole_group", [False, True])
def test_an_interrupt_leaves_no_worker_and_no_half_file(
    whole_group: bool, runner: tuple[subprocess.Popen[str], list[int]], tmp_path: Path
) -> None:
    process, workers = runner
    assert all(map(is_alive, workers))
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGINT)  # a terminal interrupts the whole group
    out, err = process.communicate(timeout=60)
    assert (out, err, process.returncode) == ("interrupted\n", "", 0)
    assert not any(map(is_alive, workers))
    assert list((tmp_path / "held").glob("half-*")) == []


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked at in /proc: this is not Linux")
def test_workers_do_not_outlive_a_parent_that_is_killed(
    runner: tuple[subprocess.Popen[str], list[int]], tmp_path: Path
) -> None:
    process, workers = runner
    process.kill()
    process.wait()
    assert eventually(lambda: not any(map(is_alive, workers)))
    assert list((tmp_path / "held").glob("half-*")) == []


def test_a_generator_that_is_closed_ends_its_workers() -> None:
    results = run(work.process_id, NUMBERS, workers=2)
    first = next(results)
    results.close()
    assert not is_alive(first.value or 0)


def test_nothing_of_an_executor_is_left_when_the_last_result_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command ends at once then, and semaphores that a thread still holds would be reported as leaked."""
    end_soon = process._ExecutorManagerThread.run

    def end_late(manager: Any) -> None:
        end_soon(manager)
        time.sleep(0.5)

    monkeypatch.setattr(process._ExecutorManagerThread, "run", end_late)
    before = set(threading.enumerate())
    assert len(list(run(work.square, NUMBERS, workers=2))) == len(NUMBERS)
    assert set(threading.enumerate()) == before


@pytest.mark.parametrize(
    ("engine", "address"),
    [("local", None), ("dask://node-1.lan:8786", "node-1.lan:8786"), ("dask://[::1]:1", "[::1]:1")],
)
def test_an_engine_is_local_or_an_address(engine: str, address: str | None) -> None:
    assert require_engine(engine) == address


@pytest.mark.parametrize(
    ("engine", "told"),
    [
        ("Local", "'Local' is no engine; did you mean 'local'; allowed"),
        ("dask://host", "'dask://host' is no engine; allowed"),
        ("dask://host:0", "'dask://host:0' is no engine; allowed"),
        ("dask://host:65536", "'dask://host:65536' is no engine; allowed"),
        ("tcp://host:8786", "'tcp://host:8786' is no engine; allowed"),
        ("", "'' is no engine; allowed"),
    ],
)
def test_another_engine_is_refused_at_once(engine: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        run(work.square, [], engine=engine)
    assert str(caught.value).replace("'?", "'") == f"{told} are local and dask://host:port"


def test_less_than_one_worker_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match=r"^workers = 0 and batch = 1 must be at least 1$"):
        run(work.square, [], workers=0)


def test_dask_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtra, match=r"^dask://host:1 \(distributed\) needs the extra 'distributed': pip"):
        next(run(work.square, NUMBERS, engine="dask://host:1"))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed")
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
        yield cluster


def engine_of(cluster: Any) -> str:
    return "dask://" + str(cluster.scheduler_address).removeprefix("tcp://")


@pytest.mark.parametrize("batch", [1, 7])
def test_a_dask_cluster_does_the_same(batch: int, cluster: Any) -> None:
    shuffled = random.Random(batch).sample(NUMBERS, len(NUMBERS))
    counts: list[int] = []
    results = run(work.square, shuffled, engine=engine_of(cluster), batch=batch, progress=counts.append)
    assert values(results) == SQUARES
    assert counts == list(range(1, 41))


def test_exceptions_come_back_from_a_dask_cluster(cluster: Any) -> None:
    units: Sequence[tuple[str, str]] = [(kind, kind) for kind in ("corpus", "fine", "unpicklable")]
    found = {done.name: done for done in run(work.fail, units, engine=engine_of(cluster), batch=3)}
    assert found["fine"].value == "fine"
    corpus = found["corpus"].error
    assert isinstance(corpus, InvalidCorpus) and corpus.problems == (Problem("E601", "gone"),)


def test_a_dask_worker_that_is_killed_loses_nothing(cluster: Any, tmp_path: Path) -> None:
    marker = str(tmp_path / "killed")
    units = [(name, (x, marker if x == 11 else "")) for name, x in NUMBERS]
    assert values(run(work.kill_once, units, engine=engine_of(cluster))) == SQUARES
    assert (tmp_path / "killed").exists()


def test_a_unit_that_kills_every_dask_worker_is_found(cluster: Any) -> None:
    found = {done.name: done for done in run(work.kill_always, [("bad", -1), *NUMBERS[:2]], engine=engine_of(cluster))}
    assert isinstance(found.pop("bad").error, WorkerDied)
    assert {name: done.value for name, done in found.items()} == {name: SQUARES[name] for name, _ in NUMBERS[:2]}


def test_an_address_where_nobody_answers_is_told_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("merbench.engine.cluster._TIMEOUT_S", 1)
    with pytest.raises(UsageError, match=r"^dask://127\.0\.0\.1:9: no Dask scheduler answers there \(.*\)$"):
        next(run(work.square, NUMBERS, engine="dask://127.0.0.1:9"))


def test_a_scheduler_that_goes_away_is_told() -> None:
    distributed = pytest.importorskip("distributed")
    cluster = distributed.LocalCluster(
        n_workers=1, processes=False, protocol="tcp", dashboard_address="127.0.0.1:0", silence_logs=50, host="127.0.0.1"
    )
    with closing(run(work.process_id, NUMBERS, engine=engine_of(cluster))) as results:
        next(results)
        cluster.close()
        with pytest.raises(UsageError, match=r"^dask://127\.0\.0\.1:\d+: the Dask scheduler went away$"):
            list(results)


def test_a_script_needs_a_guard_for_functions_of_its_own_alone(tmp_path: Path) -> None:
    script = tmp_path / "unguarded.py"
    script.write_text("from merbench.engine import run\nprint(list(run(abs, [('a', -1), ('b', -2)], workers=2)))\n")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    script.write_text(
        "from merbench.engine import run\ndef own(x): return x\nprint(list(run(own, [('a', -1), ('b', -2)], workers=2)))\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "UsageError: worker processes end before they begin" in done.stderr


def test_an_interrupt_here_ends_the_unit_and_then_everything() -> None:
    """Also where a library that calls back has swallowed the exception."""
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
