"""Answers in files, whoever asked for them, are read and scored: those of GPT-4V have their published scores."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from merbench.asking import rescore
from merbench.cli import run
from merbench.errors import InvalidSubmission, UsageError
from merbench.track import load_track

Made = Callable[..., Path]


def lines(path: Path, *rows: Any) -> Path:
    path.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8"
    )
    return path


def test_answers_of_a_file_become_a_submission(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = made("ranking", 4, missing="wrong")
    file = lines(
        tmp_path / "given.jsonl",
        {"sample_id": "s0001", "text": "I'm sorry, I can't help"},
        {
            "sample_id": ["s0002", "s0000"],
            "text": "{'name': 1, 'result': ['sad']} {'name': 2, 'result': ['Happy', 'sad']}",
        },
        {"sample_id": "s0003", "text": "[happy]", "target": "emotion", "outcome": "read", "cells": None},
    )
    read = rescore(folder, file, output=Path("out"), intervals=False)
    assert read.outcomes == {"emotion": {"refused": 1, "read": 3}}
    assert Path("out/submission.csv").read_text() == 'sample_id,emotion\ns0002,sad\ns0000,"Happy, sad"\ns0003,happy\n'
    # All four are happy: s0001 has no answer, which is wrong here, and s0002 is sad.
    assert read.report is not None and read.report.scores[0].value == pytest.approx(2 / 4)
    record = json.loads(Path("out/read.json").read_text())
    assert (record["outcomes"], record["reading"]) == ({"emotion": {"read": 3, "refused": 1}}, "released")
    # The same as CSV, through the command; a second time only where that is asked for.
    with Path("given.csv").open("w", newline="") as table:
        csv.writer(table).writerows([["sample_id", "text"], *([f"s000{i}", "[happy]"] for i in range(4))])
    command = ["ask", str(folder), "--stored", "given.csv", "--no-intervals", "--reading", "careful", "--output", "out"]
    assert run(command) == 2 and "already contains a run" in capsys.readouterr().err
    assert run([*command, "--force"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("mine@1.0, split 'test', emotion: 4 read\nwrote out\n\n") and "1.0000" in out


def test_a_track_that_does_not_accept_what_was_read(made: Made, tmp_path: Path) -> None:
    file = lines(tmp_path / "given.jsonl", {"sample_id": "s0000", "text": "happy"})
    read = rescore(made("label", 2), file, output=Path("out"))
    assert read.report is None and "does not accept the submission: E301 1 of 2 candidates missing" in read.withheld
    assert run(["ask", str(tmp_path / "mine"), "--stored", str(file), "--output", "other"]) == 5


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (["{"], "E636  line 1: is not an answer: a JSON object with sample_id and text is needed"),
        ([{"sample_id": "s0000", "text": "happy"}, {"sample_id": 1, "text": ""}, "[" * 9999], "E636  line 2: is not an answer"),
        ([{"sample_id": [], "text": "happy"}], "E636  line 1: is not an answer"),
        (['{"sample_id": "\\ud800", "text": "happy"}'], "E636  line 1: is not an answer"),
        ([{"sample_id": "s0000", "text": "happy", "target": "mood"}], "E636  target: answers for mood; the track has emotion"),
        ([{"sample_id": "s0000", "text": "happy"}] * 2, "E636  emotion: s0000: another answer about the same sample"),
    ],
)  # fmt: skip
def test_files_that_are_not_answers(made: Made, tmp_path: Path, rows: Sequence[Any], problem: str) -> None:
    with pytest.raises(InvalidSubmission) as caught:
        rescore(made("label", 2), lines(tmp_path / "given.jsonl", *rows))
    assert problem in str(caught.value)


def test_tables_and_files_that_are_not_there(made: Made, tmp_path: Path) -> None:
    (tmp_path / "given.csv").write_text("name,answer\na,happy\n")
    with pytest.raises(InvalidSubmission, match="no column sample_id, text; it has name, answer"):
        rescore(made(), tmp_path / "given.csv")
    with pytest.raises(UsageError, match=r"none\.jsonl: No such file"):
        rescore(made(), tmp_path / "none.jsonl")


# The stored answers of GPT-4V

ANSWERS = {
    ("ckplus", "test"): "ckplus/label-gpt4v.csv",
    ("rafdb", "test"): "rafdb/label-gpt4v-rgb.csv",
    ("affectnet", "test"): "affectnet/label-gpt4v.csv",
    ("abstract", "test"): "abstract/label-gpt4v.csv",
    ("twitter1", "test"): "twitter1/label-three-gpt4v.csv",
    ("twitter1", "four"): "twitter1/label-four-gpt4v.csv",
    ("twitter1", "five"): "twitter1/label-five-gpt4v.csv",
    ("casme", "test"): "casme1/label-gpt4v.csv",
    ("dfew", "test"): "dfew/label-gpt4v.csv",
    ("ferv39k", "test"): "ferv39k/label-gpt4v.csv",
    ("ravdess", "test"): "ravdess/label-gpt4v-3.csv",
    ("enterface", "test"): "enterface/label-gpt4v-3.csv",
    ("cmu-mosi", "test"): "cmumosi/label-gpt4v-multi.csv",
    ("mer2023", "test"): "mer2023/label-gpt4v-multi.csv",
}
METRICS = {
    "accuracy": "first_accuracy",
    "weighted_f1": "ranked_weighted_f1",
    "unweighted_average_recall": "ranked_unweighted_average_recall",
}


def in_batches(path: Path, size: int) -> Iterator[dict[str, Any]]:
    """Yield the stored answers as the model wrote them: a name and a list per sample, some samples at a time."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = iter([(row["name"], row["gpt4v"].split(",")) for row in csv.DictReader(file)])
    while batch := list(islice(rows, size)):
        text = ",\n".join(str({"name": f"sample {i}", "result": words}) for i, (_, words) in enumerate(batch, 1))
        yield {"sample_id": [name for name, _ in batch], "text": text}


@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.parametrize(("name", "split"), ANSWERS)
def test_the_answers_of_gpt4v_have_their_published_scores(
    name: str, split: str, test_data: Path, tmp_path: Path
) -> None:
    file = ANSWERS[name, split]
    folder = test_data / "data" / "gpt4v-ger" / Path(file).parent
    assert run(["corpus", "import", f"ger-{name}", str(folder)]) == 0
    expected = json.loads((test_data / "golden" / "gpt4v-ger" / "expected.json").read_text(encoding="utf-8"))[file]
    given = lines(tmp_path / "given.jsonl", *in_batches(folder.parent / file, 8))
    read = rescore(load_track(f"ger-{name}"), given, split=split, output=Path("out"), intervals=False)
    assert read.report is not None
    (outcomes,) = read.outcomes.values()
    assert set(outcomes) == {"read"}
    assert read.report.counts["scored"] == expected.get("n", read.report.counts["scored"])
    values = {item.name: item.value for item in read.report.scores}
    published = {metric: value for metric, value in expected.items() if metric in METRICS}
    assert published
    for metric, value in published.items():
        assert 100 * (values[METRICS[metric]] or 0) == pytest.approx(value, abs=0.006)
