"""What the command line does with standard streams, variables and names that are not as they should be."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hand_made_boards import write_entry
from toy_track import predictions, write_toy_track

from merbench.cli import run

Capture = pytest.CaptureFixture[str]


class Failing(io.StringIO):
    """A stream on a full device."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def stream(encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)


def written(of: io.TextIOWrapper) -> bytes:
    buffer = of.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "command",
    [
        "describe mer-multi --template",
        "run-baseline mer-multi --baseline majority --no-intervals --output",
        "leaderboard toy --output",
        "enter toy mine.csv --team a --run b --submissions",
    ],
)
def test_a_line_end_in_a_path_begins_no_line(
    command: str, sample_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    write_toy_track(tmp_path / "tracks")
    monkeypatch.setenv("MERBENCH_TRACKS", str(tmp_path / "tracks"))
    write_entry(tmp_path / "submissions", "toy/one/run", predictions())
    Path("mine.csv").write_text(predictions(), encoding="utf-8")
    assert run([*command.split(), "./a\n::error::b"]) == 0
    out = capsys.readouterr().out
    assert r"a\n::error::b" in out
    assert "error" not in "".join(line for line in out.split("\n") if r"a\n" not in line)


@pytest.mark.parametrize(("encoding", "dot"), [("ascii", rb"\xb7"), ("latin-1", b"\xb7"), ("utf-8", b"\xc2\xb7")])
def test_text_is_in_the_letters_of_the_stream_and_data_are_utf_8(
    encoding: str, dot: bytes, submission: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", out := stream(encoding))
    assert run(["score", "mer-multi", str(submission), "--no-intervals"]) == 0
    assert written(out).startswith(b"Sample " + dot + b" MER-MULTI (mer-multi@1.0, split test)")
    for form in ("json", "markdown", "html"):
        monkeypatch.setattr(sys, "stdout", out := stream(encoding))
        assert run(["score", "mer-multi", str(submission), "--no-intervals", "--format", form]) == 0
        assert "Sample · MER-MULTI" in written(out).decode("utf-8")
    monkeypatch.setattr(sys, "stderr", err := stream(encoding))
    assert run(["score", "·", str(submission)]) == 2
    assert written(err).startswith(b"no track named '" + dot)
    monkeypatch.setattr(sys, "stdout", out := stream(encoding))
    assert run(["tracks", "--format", "json"]) == 0
    assert json.loads(written(out))["schema"] == "merbench.tracks/1"


def test_no_standard_output_is_74_and_no_error_stream_changes_nothing(
    submission: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    closed = f"standard output: cannot be written: {os.strerror(errno.EBADF)}\n"
    commands = (["tracks"], ["--version"], ["--help"], ["validate", "mer-multi", str(submission), "--format", "json"])
    for arguments in commands:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", None)
            assert run(arguments) == 74
        assert capsys.readouterr().err == closed
    failing: Any
    for failing in (None, Failing()):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", failing)
            assert run(["score", "no-such-track", "x.csv"]) == 2
            assert run(["no-such-command"]) == 2
            assert run(["--version"]) == 0
    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", None)
        assert run(["validate", "mer-multi", "-"]) == 2
    assert capsys.readouterr().err == "standard input: is closed\n"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_redirections_of_a_shell() -> None:
    program = f"{sys.executable} -m merbench"
    for command, code in ((f"{program} --version >&- 2>&-", 74), (f"{program} score a b <&- 2>/dev/full", 2)):
        assert subprocess.run(["bash", "-c", command], capture_output=True, check=False).returncode == code


@pytest.mark.parametrize(
    ("name", "value", "arguments", "message"),
    [
        ("MERBENCH_HOME", "~no-such-user", ["corpus", "list"], "~no-such-user: the home folder of this user is not known"),
        ("MERBENCH_TRACKS", "~no-such-user/x", ["tracks"], "~no-such-user/x: the home folder of this user is not known"),
        ("MERBENCH_BASELINES", "~no-such-user", ["baselines"], "~no-such-user: the home folder of this user is not"),
        ("MERBENCH_HOME", "x" * 5000, ["corpus", "list"], f": {os.strerror(errno.ENAMETOOLONG)}"),
        ("UNUSED", "", ["lexicon", "lookup", "a\udcff"], r"a\udcff: the name is not text in UTF-8"),
        ("UNUSED", "", ["score", "x" * 5000, "a.csv"], f": {os.strerror(errno.ENAMETOOLONG)}"),
        ("UNUSED", "", ["score", "mer-multi", "~no-such-user"], "~no-such-user: no such file"),
        ("UNUSED", "", ["score", "mer-multi", "a.csv", "--seed", "9" * 30], "9223372036854775807"),
        ("UNUSED", "", ["score", "mer-multi", "a.csv", "--seed", "9" * 5000], "must be a number of at most 64 bits"),
    ],
)  # fmt: skip
def test_variables_and_arguments_that_cannot_be_used(
    name: str,
    value: str,
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(name, value)
    assert run(arguments) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


def test_an_interrupt_of_which_a_library_makes_another_error_is_one(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def interrupted() -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise ImportError("numpy's own words") from None

    monkeypatch.setattr("merbench.track.readable_tracks", interrupted)
    assert run(["tracks"]) == 130
    assert capsys.readouterr().err == "interrupted\n"
