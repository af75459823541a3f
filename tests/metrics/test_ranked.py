"""Ranked answers by hand, against scikit-learn, and the published scores of stored zero-shot answers."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from merbench.errors import UsageError
from merbench.metrics import METRICS
from merbench.metrics.lists import Lists, offsets_of
from merbench.metrics.ranked import (
    NEVER,
    first_accuracy,
    first_choice,
    first_of,
    rank_of_reference,
    ranked_unweighted_average_recall,
    ranked_weighted_f1,
    top_k_accuracy,
)
from merbench.targets.ranked import ranked_lists

LABELS = ("negative", "weakly negative", "neutral", "weakly positive", "positive")
POLARITY = {"weakly negative": "negative", "neutral": "negative", "weakly positive": "positive"}


def ranked(*answers: list[int], labels: tuple[str, ...] = LABELS) -> Lists:
    codes = np.array([code for answer in answers for code in answer], dtype=np.int32)
    return Lists(labels, codes, offsets_of([len(answer) for answer in answers]))


def one(name: str, reference: Lists, prediction: Lists, **parameters: Any) -> float:
    return float(METRICS[name](reference, prediction, np.ones((1, len(reference)), np.uint8), **parameters)[0])


REFERENCE = ranked([0], [4], [4], [0], [2])
PREDICTION = ranked([2, 0, 1], [3, 2, 4], [-1, 4], [], [2, 2, 3])


def test_first_answers() -> None:
    assert first_of(PREDICTION).tolist() == [2, 3, -1, -1, 2]
    assert first_of(PREDICTION, skip="neutral").tolist() == [0, 3, -1, -1, 3]
    assert first_of(ranked([2], [2, 2], [], [1]), skip="neutral").tolist() == [-1, -1, -1, 1]
    assert first_of(ranked()).tolist() == []


def test_labels_become_coarser_classes_on_both_sides() -> None:
    choice = first_choice(REFERENCE, PREDICTION, classes=POLARITY)
    assert choice.n_classes == 2
    assert choice.reference.tolist() == [0, 1, 1, 0, 0]
    assert choice.prediction.tolist() == [0, 1, -1, -1, 0]
    assert first_choice(REFERENCE, PREDICTION).n_classes == 5


@pytest.mark.parametrize("parameters", [{"skip": "netural"}, {"classes": {"netural": "negative"}}])
def test_an_unknown_label_is_reported(parameters: dict[str, Any]) -> None:
    known = "negative, weakly negative, neutral, weakly positive, positive"
    with pytest.raises(UsageError, match=f"^'netural' is not one of {known}; did you mean 'neutral'\\?$"):
        first_choice(REFERENCE, PREDICTION, **parameters)


def test_scores_by_hand() -> None:
    assert one("first_accuracy", REFERENCE, PREDICTION) == 1 / 5
    assert one("first_accuracy", REFERENCE, PREDICTION, skip="neutral") == 1 / 5
    assert one("first_accuracy", REFERENCE, PREDICTION, classes=POLARITY) == 3 / 5
    # Recall 2/3 and 1/2; F1 2 · 2 / (3 + 2) and 2 · 1 / (2 + 1).
    recall = one("ranked_unweighted_average_recall", REFERENCE, PREDICTION, classes=POLARITY)
    assert recall == pytest.approx((2 / 3 + 1 / 2) / 2, abs=1e-15)
    f1 = one("ranked_weighted_f1", REFERENCE, PREDICTION, classes=POLARITY)
    assert f1 == pytest.approx((3 * 4 / 5 + 2 * 2 / 3) / 5, abs=1e-15)


def test_ranks_and_top_k() -> None:
    assert rank_of_reference(REFERENCE, PREDICTION).tolist() == [1, 2, 1, NEVER, 0]
    assert [one("top_k_accuracy", REFERENCE, PREDICTION, k=k) for k in (1, 2, 3, 9)] == [1 / 5, 3 / 5, 4 / 5, 4 / 5]


answer = st.lists(st.integers(-1, 4), max_size=6)


@pytest.mark.slow
@given(rows=st.lists(st.tuples(st.integers(0, 4), answer, st.integers(0, 3)), min_size=1, max_size=12))
def test_first_answers_are_scored_as_labels(rows: list[tuple[int, list[int], int]]) -> None:
    truth, answers, weights = (list(column) for column in zip(*rows, strict=True))
    choice = first_choice(ranked(*[[code] for code in truth]), ranked(*answers))
    row = np.array([weights], np.uint8)
    ranks = rank_of_reference(ranked(*[[code] for code in truth]), ranked(*answers))
    if not sum(weights):
        assert np.isnan(first_accuracy(choice, row)).all()
        return
    references = np.repeat(truth, weights)
    firsts = np.repeat([answer[0] if answer else -1 for answer in answers], weights)
    assert first_accuracy(choice, row)[0] == pytest.approx(accuracy_score(references, firsts), abs=1e-12)
    f1 = f1_score(references, firsts, labels=np.unique(references), average="weighted", zero_division=0)
    assert ranked_weighted_f1(choice, row)[0] == pytest.approx(f1, abs=1e-12)
    recalls = [(firsts[references == code] == code).mean() for code in np.unique(references)]
    assert ranked_unweighted_average_recall(choice, row)[0] == pytest.approx(np.mean(recalls), abs=1e-12)
    for k in (1, 2, 4):
        hits = sum(w * (code in answer[:k]) for code, answer, w in zip(truth, answers, weights, strict=True))
        assert top_k_accuracy(ranks, row, k=k)[0] == pytest.approx(hits / sum(weights), abs=1e-12)


GER_LABELS = {
    "ckplus": "anger contempt disgust fear happy sadness surprise",
    "rafdb": "surprise fear disgust happiness sadness anger neutral",
    "affectnet": "surprise contempt happiness anger neutral sadness fear disgust",
    "abstract": "amusement anger awe content disgust excitement fear sad",
    "dfew": "sad neutral angry fear surprise happy disgust",
    "mer2023": "worried happy neutral angry surprise sad",
}
PLEASANT = {"amusement", "awe", "content", "excitement"}


def answered(test_data: Path, name: str, file: str) -> tuple[list[str], list[str]]:
    """Return references, by base name of the id, and answers of the rows that have one."""
    folder = test_data / "data" / "gpt4v-ger" / name
    truth = {row["name"].rsplit("/", 1)[-1].lower(): row["gt"] for row in _rows(folder / "label.csv")}
    rows = _rows(folder / file)
    return [truth[row["name"].rsplit("/", 1)[-1].lower()] for row in rows], [row["gpt4v"] for row in rows]


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def lists(cells: list[str], labels: tuple[str, ...], aliases: dict[str, str] | None = None) -> Lists:
    result, bad = ranked_lists(pa.array(cells), labels, aliases)
    assert not bad
    return result


def expected(test_data: Path) -> dict[str, dict[str, Any]]:
    return dict(json.loads((test_data / "golden" / "gpt4v-ger" / "expected.json").read_text(encoding="utf-8")))


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "file"), [("ckplus", ""), ("rafdb", "-rgb"), ("affectnet", "")])
def test_a_published_accuracy_counts_strange_answers_as_wrong(test_data: Path, name: str, file: str) -> None:
    file = f"label-gpt4v{file}.csv"
    published = expected(test_data)[f"{name}/{file}"]
    labels = tuple(GER_LABELS[name].split())
    truth, answers = (lists(cells, labels) for cells in answered(test_data, name, file))
    assert len(truth) == published["n"]
    assert 100 * one("first_accuracy", truth, answers) == pytest.approx(published["accuracy"], abs=0.006)


@pytest.mark.real_data
def test_the_published_accuracy_of_polarity(test_data: Path) -> None:
    published = expected(test_data)["abstract/label-gpt4v.csv"]
    emotions = tuple(GER_LABELS["abstract"].split())
    truth, answers = (lists(cells, emotions) for cells in answered(test_data, "abstract", "label-gpt4v.csv"))
    classes = {label: "positive" if label in PLEASANT else "negative" for label in emotions}
    assert len(truth) == published["n"]
    assert 100 * one("first_accuracy", truth, answers, classes=classes) == pytest.approx(
        published["accuracy"], abs=0.006
    )


@pytest.mark.real_data
def test_the_published_scores_without_strange_answers(test_data: Path) -> None:
    published = expected(test_data)["dfew/label-gpt4v.csv"]
    labels = tuple(GER_LABELS["dfew"].split())
    truth, answers = (lists(cells, labels) for cells in answered(test_data, "dfew", "label-gpt4v.csv"))
    kept = first_of(answers) >= 0
    assert kept.sum() == published["n"]
    for metric, key in (
        ("first_accuracy", "accuracy"),
        ("ranked_unweighted_average_recall", "unweighted_average_recall"),
    ):
        assert 100 * one(metric, truth[kept], answers[kept]) == pytest.approx(published[key], abs=0.006)


@pytest.mark.real_data
def test_the_published_score_of_sentiment(test_data: Path) -> None:
    published = expected(test_data)["cmumosi/label-gpt4v-multi.csv"]
    sentiment, answers = answered(test_data, "cmumosi", "label-gpt4v-multi.csv")
    kept = [place for place, value in enumerate(sentiment) if float(value) != 0]
    truth = lists(["positive" if float(sentiment[place]) > 0 else "negative" for place in kept], LABELS)
    result = one("ranked_weighted_f1", truth, lists([answers[place] for place in kept], LABELS), classes=POLARITY)
    assert len(kept) == published["n"]
    assert 100 * result == pytest.approx(published["weighted_f1"], abs=0.006)


@pytest.mark.real_data
def test_the_published_scores_with_and_without_an_alias(test_data: Path) -> None:
    published = expected(test_data)["mer2023/label-gpt4v-multi.csv"]
    labels = tuple(GER_LABELS["mer2023"].split())
    truth, cells = answered(test_data, "mer2023", "label-gpt4v-multi.csv")
    assert len(truth) == published["n"]
    verbatim, read = lists(cells, labels), lists(cells, labels, {"surprised": "surprise"})
    assert 100 * one("first_accuracy", lists(truth, labels), verbatim) == pytest.approx(
        published["accuracy"], abs=0.006
    )
    for metric, key in (
        ("first_accuracy", "accuracy"),
        ("ranked_weighted_f1", "weighted_f1"),
        ("ranked_unweighted_average_recall", "unweighted_average_recall"),
    ):
        value = 100 * one(metric, lists(truth, labels), read)
        assert value == pytest.approx(published["with_alias"][key], abs=0.006)
