"""`merbench score`, `validate` and `compare` as they are typed: forms, exit codes, outputs that cannot be written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from merbench.cli import run

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def submission(sample_home: Path, tmp_path: Path) -> Path:
    """Return a valid file for mer-multi."""
    path = tmp_path / "submission.csv"
    assert run(["describe", "mer-multi", "--template", str(path)]) == 0
    return path


def test_every_form_is_written(submission: Path, tmp_path: Path, capsys: Capture) -> None:
    for form, start in (("table", "Sample"), ("json", "{\n"), ("markdown", "## Sample"), ("html", "<!doctype html>")):
        output = tmp_path / f"report.{form}"
        assert run(["score", "mer-multi", str(submission), "--no-intervals", "--format", form, "-o", str(output)]) == 0
        assert output.read_text().startswith(start)
        assert "synthetic sample" in output.read_text() or json.loads(output.read_text())["synthetic"] is True
        capsys.readouterr()
        assert run(["score", "mer-multi", str(submission), "--no-intervals", "--format", form]) == 0
        assert capsys.readouterr().out == output.read_text()


def test_validate_says_that_a_file_is_valid(submission: Path, capsys: Capture) -> None:
    capsys.readouterr()
    assert run(["validate", "mer-multi", str(submission)]) == 0
    assert capsys.readouterr().out.startswith(f"{submission}: valid for mer-multi@1.0, split test: ")


@pytest.mark.parametrize("command", ["validate", "score", "compare"])
def test_columns_are_renamed(command: str, submission: Path, tmp_path: Path, capsys: Capture) -> None:
    other = tmp_path / "other.csv"
    other.write_text(submission.read_text().replace("discrete", "emotion", 1).replace("sample_id", "name", 1))
    files = [str(other), str(submission.replace(tmp_path / "b.csv"))] if command == "compare" else [str(other)]
    if command == "compare":
        Path(files[1]).write_text(other.read_text())
    options = {"validate": [], "score": ["--no-intervals"], "compare": ["--permutations", "100", "--resamples", "100"]}
    arguments = [command, "mer-multi", *files, *options[command], "--rename", "emotion=discrete"]
    assert run([*arguments, "--rename", "name=sample_id"]) == 0
    assert run([*arguments, "--rename", "nam=sample_id"]) == 1
    assert "E202  nam: cannot be renamed to 'sample_id': there is no such column" in capsys.readouterr().err
    assert run([*arguments, "--rename", "emotion=valence"]) == 2
    assert "--rename emotion=valence: 'emotion' is given twice" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["validate", "score", "compare"])
@pytest.mark.parametrize("name", ["submission.csv", "not-there.csv"])
def test_a_file_before_the_track_is_named(command: str, name: str, submission: Path, capsys: Capture) -> None:
    path = submission.with_name(name)
    capsys.readouterr()
    assert run([command, str(path), "mer-multi"]) == 2
    assert capsys.readouterr().err == (
        f"{path}: not a track; the track comes first: merbench {command} mer-multi {path}\n"
    )


def test_a_track_behind_two_files_is_put_in_front(submission: Path, tmp_path: Path, capsys: Capture) -> None:
    other = tmp_path / "other.csv"
    other.write_text(submission.read_text())
    assert run(["compare", str(submission), str(other), "mer-multi"]) == 2
    assert capsys.readouterr().err.endswith(f" first: merbench compare mer-multi {submission} {other}\n")
    assert run(["compare", str(submission), str(other)]) == 2
    assert capsys.readouterr().err.endswith(f" first: merbench compare TRACK {submission} {other}\n")


def test_a_column_with_an_equals_sign_is_renamed(submission: Path) -> None:
    submission.write_text(submission.read_text().replace("discrete", "a=b", 1))
    assert run(["validate", "mer-multi", str(submission), "--rename", "a=b=discrete"]) == 0


def test_validate_and_score_tell_the_same_problems(submission: Path, capsys: Capture) -> None:
    lines = submission.read_text().splitlines()
    lines[4] = lines[4].replace(lines[4].split(",")[1], "hapy")
    submission.write_text("\n".join(lines[:-1]) + "\n")
    capsys.readouterr()
    assert run(["validate", "mer-multi", str(submission)]) == 1
    expected = capsys.readouterr().err
    assert run(["score", "mer-multi", str(submission)]) == 1
    assert capsys.readouterr().err == expected
    missing = lines[-1].split(",")[0]
    n = len(lines) - 1
    assert expected == (
        f"{submission}: 2 problems\n"
        f"  E301  1 of {n} candidates missing: {missing}\n"
        "  E203  line 5, discrete: 'hapy' is not one of neutral, angry, happy, sad, worried, surprise;"
        " did you mean 'happy'?\n"
    )


def test_validate_speaks_json_and_github(submission: Path, capsys: Capture) -> None:
    submission.write_text(submission.read_text().replace("angry", "angery"))
    capsys.readouterr()
    assert run(["validate", "mer-multi", str(submission), "--format", "json"]) == 1
    content = json.loads(capsys.readouterr().out)
    assert content["problems"][0]["code"] == "E203"
    assert run(["validate", "mer-multi", str(submission), "--format", "github"]) == 1
    assert capsys.readouterr().out.startswith(f"::error file={submission},line=3")


def test_compare_prints_a_table(submission: Path, tmp_path: Path, capsys: Capture) -> None:
    other = tmp_path / "other.csv"
    other.write_text(submission.read_text().replace("neutral", "sad"))
    capsys.readouterr()
    assert (
        run(["compare", "mer-multi", str(submission), str(other), "--permutations", "200", "--resamples", "200"]) == 0
    )
    out = capsys.readouterr().out
    assert "overall (higher is better)" in out and "mse (lower is better)" in out and "permutations:200" in out


@pytest.mark.parametrize("form", ["table", "json", "markdown", "html"])
def test_compare_shows_the_names_that_are_given(form: str, submission: Path, tmp_path: Path, capsys: Capture) -> None:
    other = tmp_path / "other.csv"
    other.write_text(submission.read_text().replace("neutral", "sad"))
    command = ["compare", "mer-multi", str(submission), str(other), "--permutations", "100", "--resamples", "100"]
    capsys.readouterr()
    assert run([*command, "--format", form, "--name", "ours", "--name", "theirs"]) == 0
    out = capsys.readouterr().out
    assert "ours" in out and "theirs" in out and "other.csv" not in out
    assert run([*command, "--name", "ours"]) == 2
    assert "1 name for 2 files: give one for each" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["score", "mer-mulit", "x.csv"], 2, "no track named 'mer-mulit'; did you mean 'mer-multi'?"),
        (["score", "mer-multi", "no-such.csv"], 2, "no-such.csv"),
        (["score", "mer-multi"], 2, "Missing argument 'FILE'"),
        (["scoer"], 2, "No such command 'scoer'"),
        (["score", "mer-multi", "x.csv", "--split", "tset"], 2, "mer-multi has no split 'tset'"),
    ],
)
def test_wrong_usage_is_one_message(
    arguments: list[str], code: int, message: str, sample_home: Path, capsys: Capture
) -> None:
    assert run(arguments) == code
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


def test_an_output_that_cannot_be_written_is_74(submission: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "file").write_text("")
    assert run(["score", "mer-multi", str(submission), "--no-intervals", "-o", str(tmp_path / "file" / "x")]) == 74
    assert "cannot be written" in capsys.readouterr().err


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


def test_the_form_of_a_report_is_that_of_its_suffix(submission: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text(submission.read_text().replace("neutral", "sad"))
    commands = [["score", "mer-multi", str(submission), "--resamples", "100"]]
    commands += [["compare", "mer-multi", str(submission), str(other), "--permutations", "100", "--resamples", "100"]]
    starts = {"r.json": "{\n", "r.md": "## Sample", "r.HTML": "<!doctype html>", "r.txt": "Sample", "r": "Sample"}
    for command in commands:
        for name, start in starts.items():
            assert run([*command, "-o", str(tmp_path / name)]) == 0
            assert (tmp_path / name).read_text().startswith(start)
        assert run([*command, "-o", str(tmp_path / "r.json"), "--format", "table"]) == 0
        assert (tmp_path / "r.json").read_text().startswith("Sample")


def test_a_report_does_not_replace_a_submission(submission: Path, tmp_path: Path, capsys: Capture) -> None:
    text, same = submission.read_text(), tmp_path / "link.csv"
    same.symlink_to(submission)
    capsys.readouterr()
    assert run(["score", "mer-multi", str(submission), "-o", str(same)]) == 2
    assert capsys.readouterr().err == f"{same} is the submission itself; name another output\n"
    assert run(["compare", "mer-multi", str(submission), "b.csv", "--output", str(submission)]) == 2
    assert capsys.readouterr().err == f"{submission} is one of the submissions; name another output\n"
    assert submission.read_text() == text and same.is_symlink()


@pytest.mark.slow
def test_a_closed_pipe_is_no_error(submission: Path) -> None:
    command = f"{sys.executable} -m merbench score mer-multi {submission} --no-intervals --format html"
    done = subprocess.run(
        f"{command} | head -c 10", shell=True, capture_output=True, text=True, env=os.environ, check=False
    )
    assert done.stderr == "" and done.stdout == "<!doctype "


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--seed", "-1"], "'--seed': must be at least 0"),
        (["--seed", "one"], "'--seed': must be a whole number"),
        (["--level", "most"], "'--level': must be a number"),
        (["--format", "xml"], "'--format': 'xml' is not one of 'table', 'json', 'markdown', 'html'."),
    ],
)
def test_wrong_options_are_told_without_a_library_s_words(arguments: list[str], expected: str, capsys: Capture) -> None:
    assert run(["score", "mer-multi", "x.csv", *arguments]) == 2
    assert capsys.readouterr().err.endswith(f"Error: Invalid value for {expected}\n")


def test_a_suffix_that_names_no_form_is_refused(tmp_path: Path, capsys: Capture) -> None:
    target = tmp_path / "report.tex"
    assert run(["score", "mer-multi", "answers.csv", "--output", str(target)]) == 2
    assert capsys.readouterr().err == (
        f"--output {target}: unknown suffix .tex; known: .txt, .json, .md, .markdown, .html, .htm; or give --format\n"
    )
    assert not target.exists()
