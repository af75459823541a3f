"""A few mutated files of every format: a value or one bounded, printable message, never anything else."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from fuzzing import running
from fuzzing.formats import Format, formats
from fuzzing.running import Finding, run_apart, run_here, verdict
from merbench.errors import UsageError

N_INPUTS = 25


@pytest.mark.slow
def test_every_format(tmp_path: Path) -> None:
    outcomes: Counter[str] = Counter()
    findings = []
    for name, made in formats(tmp_path).items():
        for number, outcome, fault in run_here(name, made, seed=1, numbers=range(N_INPUTS)):
            outcomes[outcome] += 1
            if fault:
                findings.append(Finding(name, number, fault))
    assert findings == []
    assert outcomes["value"] > 125


def odd(path: Path, read: object) -> Format:
    path.write_bytes(b"")
    return Format(path, [b""], lambda data, rng: data, read)  # type: ignore[arg-type]


def raise_error(error: Exception) -> object:
    def read(path: Path) -> None:
        raise error

    return read


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (ValueError("x" * 1000), "ValueError in ?: 'xxx"),
        (UsageError(*["a" * 3000] * 7), "a message of 10,000 characters or more"),
        (RecursionError(), "RecursionError"),
    ],
)  # fmt: skip
def test_what_is_a_finding(tmp_path: Path, error: Exception, result: str) -> None:
    assert result in (verdict(odd(tmp_path / "f", raise_error(error)))[1] or "")


def test_a_message_that_is_not_printable_is_a_finding() -> None:
    assert running.message_fault("a\nb") is None
    assert "a message with '\\u202e'" in (running.message_fault("a\u202eb") or "")


@pytest.mark.slow
def test_an_abort_is_seen_and_the_next_input_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / "aborted"
    (tmp_path / "sitecustomize.py").write_text(
        "import os\n"
        "import fuzzing.formats as f\n"
        "read = f.read_groups_release\n"
        "def abort_once(release, path, name):\n"
        f"    if not os.path.exists({str(mark)!r}):\n"
        f"        os.mkdir({str(mark)!r})\n"
        "        os.abort()\n"
        "    return read(release, path, name)\n"
        "f.read_groups_release = abort_once\n"
    )
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    outcomes, findings = run_apart("groups jsonl", 3, range(4))
    assert (outcomes.total(), outcomes["abort"]) == (4, 1)
    assert [(result.number, result.what[:21]) for result in findings] == [(0, "abort: exit status -6")]
