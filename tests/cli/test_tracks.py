"""`merbench tracks`, `describe` and `init`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from merbench.cli import run

Capture = pytest.CaptureFixture[str]
Command = Callable[..., tuple[int, str, str]]


def listed(capsys: Capture, *options: str) -> list[str]:
    assert run(["tracks", *options]) == 0
    return [line.split()[0] for line in capsys.readouterr().out.splitlines()]


def test_tracks_are_found_by_family_year_metric_and_modality(capsys: Capture) -> None:
    shipped = sorted(path.parent.name for path in (Path(__file__).parents[2] / "tracks").glob("*/track.toml"))
    assert listed(capsys) == ["track", *shipped]
    assert listed(capsys, "--family", "mer", "--year", "2023") == [
        "track", "emer", "emer-judge", "mer2023-multi", "mer2023-noise", "mer2023-semi"
    ]  # fmt: skip
    assert listed(capsys, "--metric", "equal_error_rate") == ["track", "add2023-fgd"]
    assert listed(capsys, "--modality", "physiology") == ["track", "mer2026-ps"]
    assert listed(capsys, "--family", "abaw", "--year", "2026") == ["no"]


def test_a_filter_that_fits_no_track_at_all_is_a_slip(capsys: Capture) -> None:
    assert run(["tracks", "--metric", "acuracy"]) == 2
    assert capsys.readouterr().err.startswith("--metric acuracy: no such track; did you mean 'accuracy'? (known: ")


OPEN_WORDS = """
id = "open-words"
version = "1.0"
title = "Open words"
corpus = "absent"
splits = { test = "test" }
ranking = { by = ["overall"] }

[targets.openset]
type = "label_set"
lexicon = "mer2027"
groups = "mine"

[[metrics]]
name = "emotion_wheel_f1"
target = "openset"
wheel = "wheel9"
weight = 1
"""


def test_describe_says_which_lexicon_and_groups_are_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path / "home"))
    folder = tmp_path / "open-words"
    folder.mkdir()
    (folder / "track.toml").write_text(OPEN_WORDS, encoding="utf-8")
    # Whether the wheel is one of the lexicon's cannot be expected yet.
    assert run(["describe", str(folder)]) == 0
    out = capsys.readouterr().out.splitlines()
    place = out.index("targets")
    assert out[place + 2 : place + 4] == [
        "  lexicon 'mer2027': not available; `merbench lexicon import PATH --name mer2027` imports it",
        "  groups 'mine': not available; `merbench groups import` or `merbench groups fill` makes them",
    ]
    text = OPEN_WORDS.replace("mer2027", "english").replace('"mine"', '"./stored"')
    (folder / "track.toml").write_text(text.replace("wheel9", "all"), encoding="utf-8")
    assert run(["describe", str(folder)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[place + 2 : place + 4] == [f"  groups './stored': {folder}/stored: no such folder", ""]


def test_a_template_replaces_no_answers(sample_home: Path, tmp_path: Path, capsys: Capture) -> None:
    answers = tmp_path / "answers.csv"
    answers.write_text("mine\n")
    assert run(["describe", "mer-multi", "--template", str(answers)]) == 2
    assert capsys.readouterr().err == f"{answers}: already exists, and may contain answers; --force overwrites it\n"
    assert answers.read_text() == "mine\n"
    assert run(["describe", "mer-multi", "--template", str(answers), "--force"]) == 0
    assert answers.read_text().startswith("sample_id,")


def test_a_corpus_that_changed_is_described_and_reported(
    own_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("MERBENCH_HOME", str(own_home))
    (own_home / "corpora" / "sample" / "samples.parquet").write_bytes(b"PAR1")
    assert run(["describe", "mer-multi"]) == 3
    out, err = capsys.readouterr()
    assert "  not available: " + err in out


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("describe mer-multi --split tst --template x.csv", "mer-multi has no split 'tst'; it has train, dev, test; did you mean 'test'?"),
        ("describe mer-multi --template x.xlsx", "x.xlsx: a template is a CSV file; give it a name that ends in .csv"),
        ("init My_Track", "'My_Track' is not a track id: lower-case letters, digits and single hyphens, as in my-track"),
        ("init there", "there/track.toml: already exists; edit it, or name another folder"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_message(command: str, message: str, here: Path, merbench: Command) -> None:
    assert merbench("init there")[0] == 0
    assert merbench(command) == (2, "", f"{message}\n")
    assert [path.name for path in here.iterdir()] == ["there"]


def test_a_broken_track_is_reported_and_the_others_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "track.toml").write_text("id = ", encoding="utf-8")
    monkeypatch.setenv("MERBENCH_TRACKS", str(tmp_path))
    assert run(["tracks"]) == 2
    printed = capsys.readouterr()
    assert "mer-multi" in printed.out
    assert printed.err.startswith(f"{tmp_path / 'broken' / 'track.toml'}: 1 problem\n")
