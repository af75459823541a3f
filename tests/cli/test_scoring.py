"""`merbench score`, `validate` and `compare` as they are typed: forms, exit codes, outputs that cannot be written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., tuple[int, str, str]]


def test_every_form_is_written_as_asked_or_as_its_suffix_says(
    submission: Path, tmp_path: Path, merbench: Command
) -> None:
    other = tmp_path / "other.csv"
    other.write_text(submission.read_text().replace("neutral", "sad"))
    score = ("score", "mer-multi", str(submission), "--no-intervals")
    compare = ("compare", "mer-multi", str(submission), str(other), "--permutations", "100", "--resamples", "100")
    forms = {
        "table": ("Sample", ["r.txt", "r"]),
        "json": ("{\n", ["r.json"]),
        "markdown": ("## Sample", ["r.md"]),
        "html": ("<!doctype html>", ["r.HTML"]),
        "latex": ("% Sample", ["r.tex"]),
    }
    for form, (start, names) in forms.items():
        for command in (score, compare):
            code, out, _ = merbench(*command, "--format", form)
            assert code == 0 and out.startswith(start)
            assert "synthetic sample" in out or '"synthetic": true' in out
            for name in names:
                assert merbench(*command, "-o", str(tmp_path / name))[0] == 0
                assert (tmp_path / name).read_text() == out
    assert merbench(*score, "-o", str(tmp_path / "r.json"), "--format", "table")[0] == 0
    assert (tmp_path / "r.json").read_text().startswith("Sample")
    target = tmp_path / "report.pdf"
    assert merbench(*score, "--output", str(target)) == (
        2, "", f"--output {target}: unknown suffix .pdf; known: .txt, .json, .md, .markdown, .html, .htm, .tex; or give --format\n"
    )  # fmt: skip
    assert not target.exists()


@pytest.mark.parametrize("command", ["validate", "score", "compare"])
def test_columns_are_renamed(command: str, submission: Path, tmp_path: Path, merbench: Command) -> None:
    submission.write_text(submission.read_text().replace("discrete", "a=b", 1).replace("sample_id", "name", 1))
    other = tmp_path / "b.csv"
    other.write_text(submission.read_text())
    options = {
        "validate": [],
        "score": ["--no-intervals"],
        "compare": [str(other), "--permutations", "100", "--resamples", "100"],
    }
    given = (command, "mer-multi", str(submission), *options[command], "--rename", "a=b=discrete", "--rename")
    assert merbench(*given, "name=sample_id")[0] == 0
    code, _, err = merbench(*given, "nam=sample_id")
    assert code == 1 and "E202  nam: cannot be renamed to 'sample_id': no such column" in err
    code, _, err = merbench(*given, "a=b=valence")
    assert code == 2 and "--rename a=b=valence: duplicate 'a=b'" in err


@pytest.mark.parametrize("command", ["validate", "score", "compare"])
@pytest.mark.parametrize("name", ["submission.csv", "not-there.csv"])
def test_a_file_before_the_track_is_named(command: str, name: str, submission: Path, merbench: Command) -> None:
    path = submission.with_name(name)
    message = f"{path}: not a track; the track comes first: merbench {command} mer-multi {path}\n"
    assert merbench(command, str(path), "mer-multi") == (2, "", message)


def test_a_track_behind_two_files_is_put_in_front(submission: Path, tmp_path: Path, merbench: Command) -> None:
    other = tmp_path / "other.csv"
    other.write_text(submission.read_text())
    for track, words in (("mer-multi", ["mer-multi"]), ("TRACK", [])):
        code, _, err = merbench("compare", str(submission), str(other), *words)
        assert code == 2 and err.endswith(f" first: merbench compare {track} {submission} {other}\n")


def test_validate_and_score_report_the_same_problems(submission: Path, merbench: Command) -> None:
    submission.write_text(submission.read_text().replace("angry", "angery"))
    code, out, err = merbench("score", "mer-multi", str(submission))
    assert (code, out) == (1, "") and "E203  line 3, discrete: 'angery' is not one of neutral" in err
    assert merbench("validate", "mer-multi", str(submission)) == (1, "", err)
    code, out, _ = merbench("validate", "mer-multi", str(submission), "--format", "json")
    assert (code, json.loads(out)["problems"][0]["code"]) == (1, "E203")
    code, out, _ = merbench("validate", "mer-multi", str(submission), "--format", "github")
    assert code == 1 and out.startswith(f"::error file={submission},line=3")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("score mer-mulit x.csv", "no track named 'mer-mulit'; did you mean 'mer-multi'?"),
        ("score mer-multi no-such.csv", "no-such.csv"),
        ("score mer-multi", "Missing argument 'FILE'"),
        ("scoer", "No such command 'scoer'"),
        ("score mer-multi x.csv --split tset", "mer-multi has no split 'tset'"),
        # not in the words of a library
        ("score mer-multi x.csv --seed -1", "Error: Invalid value for '--seed': must be at least 0\n"),
        ("score mer-multi x.csv --seed one", "Error: Invalid value for '--seed': must be a whole number\n"),
        ("score mer-multi x.csv --level most", "Error: Invalid value for '--level': must be a number\n"),
        ("score mer-multi x.csv --format xml", "Error: Invalid value for '--format': 'xml' is not one of 'table', 'json', 'markdown', 'html', 'latex'.\n"),
    ],
)  # fmt: skip
def test_wrong_usage_is_one_message(arguments: str, message: str, sample_home: Path, merbench: Command) -> None:
    code, _, error = merbench(arguments)
    assert code == 2 and message in error and "Traceback" not in error


def test_an_output_that_cannot_be_written_is_74(submission: Path, tmp_path: Path, merbench: Command) -> None:
    (tmp_path / "file").write_text("")
    output = str(tmp_path / "file" / "x")
    code, _, err = merbench("score", "mer-multi", str(submission), "--no-intervals", "-o", output)
    assert code == 74 and "cannot be written" in err


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_74(submission: Path) -> None:
    command = [sys.executable, "-m", "merbench", "score", "mer-multi", str(submission), "--no-intervals"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (74, "standard output: cannot be written: No space left on device\n")
    done = subprocess.run([*command, "-o", "/dev/full"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (74, "/dev/full: cannot be written: No space left on device\n")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_an_interrupt_leaves_nothing_half_written(submission: Path, tmp_path: Path) -> None:
    output = tmp_path / "out" / "report.json"
    command = [sys.executable, "-m", "merbench", "score", "mer-multi", str(submission), "--resamples", "1000000"]
    process = subprocess.Popen([*command, "--format", "json", "-o", str(output)], stderr=subprocess.PIPE, text=True)
    time.sleep(2)
    # An interrupt in the middle of an import may be swallowed there; a user presses the keys again.
    for _ in range(60):
        process.send_signal(signal.SIGINT)
        try:
            _, error = process.communicate(timeout=1)
            break
        except subprocess.TimeoutExpired:
            continue
    assert (process.returncode, error) == (130, "interrupted\n")
    assert not output.exists() and not list(tmp_path.glob("out/*"))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_an_interrupt_while_the_command_line_is_loaded_is_one_line() -> None:
    code = (
        "import os, signal, sys\n"
        "class Keys:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'typer':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Keys())\n"
        "from merbench.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


def test_a_report_does_not_replace_a_submission(submission: Path, tmp_path: Path, merbench: Command) -> None:
    text, same = submission.read_text(), tmp_path / "link.csv"
    same.symlink_to(submission)
    message = f"{same} is the submission itself; name another output\n"
    assert merbench("score", "mer-multi", str(submission), "-o", str(same)) == (2, "", message)
    message = f"{submission} is one of the submissions; name another output\n"
    assert merbench("compare", "mer-multi", str(submission), "b.csv", "--output", str(submission)) == (2, "", message)
    assert submission.read_text() == text and same.is_symlink()


@pytest.mark.slow
def test_a_closed_pipe_is_no_error(submission: Path) -> None:
    command = f"{sys.executable} -m merbench score mer-multi {submission} --no-intervals --format html"
    done = subprocess.run(
        f"{command} | head -c 10", shell=True, capture_output=True, text=True, env=os.environ, check=False
    )
    assert done.stderr == "" and done.stdout == "<!doctype "
