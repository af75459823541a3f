"""Metrics of label sets against the released scorers' values, a plain walk through dictionaries, and scikit-learn."""

from __future__ import annotations

import ast
import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, jaccard_score
from sklearn.preprocessing import MultiLabelBinarizer

from merbench.errors import UnknownName
from merbench.lexicon import Content, Lexicon, import_lexicon
from merbench.metrics import METRICS
from merbench.metrics.label_set import Coverage, coverage, exact_sets, sample_columns, wheel_sets, with_representatives
from merbench.metrics.lists import Lists
from merbench.targets.label_set import Split, read_label_lists

Sets = Sequence[Sequence[str]]

WITH_LEXICON = ["emotion_wheel_f1", "emotion_wheel_precision", "emotion_wheel_recall", "hit_rate", "hit_precision"]
BY_FORM = ["word_form_f1", "word_form_precision", "word_form_recall"]
EXACT = ["set_accuracy", "set_recall", "set_average", "set_jaccard", "set_f1"]


def value(name: str, reference: Sets | Lists, prediction: Sets | Lists, weights: Any = None, **parameters: Any) -> Any:
    true, predicted = (side if isinstance(side, Lists) else Lists.of(side) for side in (reference, prediction))
    if weights is not None:
        return METRICS[name](true, predicted, np.asarray(weights, dtype=np.uint8), **parameters)
    return float(METRICS[name](true, predicted, np.ones((1, len(true)), np.uint8), **parameters)[0])


# Two wheels: on the first, a and b are of one sector at level 1 and of two at level 2.
TINY = Content.of(
    [("as", "a"), ("as", "b"), ("cs", "c"), ("x", "x")],
    [("c", "c"), ("like c", "c")],
    {
        "one": [("up", "high", "a"), ("up", "higher", "b"), ("down", "low", "c")],
        "two": [("left", "far left", "c"), ("right", "far right", "d")],
    },
)


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    return Lexicon.compile(TINY, name="tiny", source="")


def test_an_emotion_wheel_by_hand(lexicon: Lexicon) -> None:
    reference = [["a", "c"], ["b"], ["x", "nothing"], ["d"]]
    prediction = [["b", "nothing"], [], ["a"], ["d", "c"]]
    # Wheel one: {up, down} / {up}: P 1, R 1/2. {up} / {}: 0, 0. Reference {} is skipped, twice.
    one = {"precision": 1 / 2, "recall": 1 / 4, "f1": 2 * 1 / 8 / (3 / 4)}
    # Wheel two: {left} / {}: 0, 0. {} is skipped, twice. {right} / {right, left}: P 1/2, R 1.
    two = {"precision": 1 / 4, "recall": 1 / 2, "f1": 2 * 1 / 8 / (3 / 4)}
    for name in ("precision", "recall", "f1"):
        metric = f"emotion_wheel_{name}"
        assert value(metric, reference, prediction, lexicon=lexicon, wheel="one") == pytest.approx(one[name], abs=1e-15)
        assert value(metric, reference, prediction, lexicon=lexicon, wheel="two") == pytest.approx(two[name], abs=1e-15)
        both = (one[name] + two[name]) / 2
        assert value(metric, reference, prediction, lexicon=lexicon) == pytest.approx(both, abs=1e-15)
    # Of single samples: P 1, R 1/2 on wheel one and 0 on two; 0 on one; skipped by both; P 1/2, R 1 on two.
    prepared = wheel_sets(Lists.of(reference), Lists.of(prediction), lexicon=lexicon)
    samples = sample_columns(prepared) or {}
    assert samples["f1"] == pytest.approx([(2 / 3 + 0) / 2, 0, math.nan, 2 / 3], abs=1e-15, nan_ok=True)
    assert samples["precision"] == pytest.approx([0.5, 0, math.nan, 0.5], abs=1e-15, nan_ok=True)
    # Level 2 of wheel one: {high, low} / {higher}, {higher} / {}: nothing is right, and F is 0.
    for name in WITH_LEXICON:
        assert value(name, reference, prediction, lexicon=lexicon, level=2, wheel="one") == 0


def test_hits_by_hand(lexicon: Lexicon) -> None:
    reference, prediction = (
        [["a"], ["b"], ["c"], ["x"], ["c"]],
        [["b", "c"], [], ["as", "d", "nothing"], ["a"], ["cs", "c"]],
    )
    # Wheel one: up hit by {up, down}, both candidates: 1, 1/2. up not by {}: 0, 0. down not by {up}: 0, 0. x is skipped.
    # down by {down}: 1, 1.
    assert value("hit_rate", reference, prediction, lexicon=lexicon, wheel="one") == pytest.approx(2 / 4, abs=1e-15)
    assert value("hit_precision", reference, prediction, lexicon=lexicon, wheel="one") == pytest.approx(
        1.5 / 4, abs=1e-15
    )
    # Wheel two knows only c: left, the only candidate. {right} without right, no candidate: 0, 0. {left}: 1, 1.
    assert value("hit_rate", reference, prediction, lexicon=lexicon, wheel="two") == pytest.approx(1 / 2, abs=1e-15)
    assert value("hit_precision", reference, prediction, lexicon=lexicon, wheel="two") == pytest.approx(
        1 / 2, abs=1e-15
    )
    assert value("hit_rate", reference, prediction, lexicon=lexicon) == pytest.approx(1 / 2, abs=1e-15)
    assert value("hit_precision", reference, prediction, lexicon=lexicon) == pytest.approx(
        (3 / 8 + 1 / 2) / 2, abs=1e-15
    )
    # Distinct words: 2, 0, 3, 1, 2.
    assert value("set_size", reference, prediction) == pytest.approx(8 / 5, abs=1e-15)
    # A word per sector hits everything, at the price of long predictions and of the second number.
    everything = [["a", "c", "d"]] * 5
    assert value("hit_rate", reference, everything, lexicon=lexicon) == 1
    assert value("set_size", reference, everything) == 3
    assert value("hit_precision", reference, everything, lexicon=lexicon, wheel="one") == 1 / 2
    # Where right is a candidate too, it costs a half.
    assert value(
        "hit_precision", [*reference, ["d"]], [*everything, ["d"]], lexicon=lexicon, wheel="two"
    ) == pytest.approx(2 / 3, abs=1e-15)
    # Only the second and third sample: 0 of 2 on wheel one; on two, one sample, missed.
    assert value("hit_rate", reference, prediction, [[0, 1, 1, 0, 0]], lexicon=lexicon)[0] == 0
    # The first three times, the last twice: (3 + 2) / (3 + 2) on one, 2 / 2 on two; 1.5 + 2 of 5.
    own = [[3, 0, 0, 7, 2]]
    assert value("hit_rate", reference, prediction, own, lexicon=lexicon)[0] == 1
    assert value("hit_precision", reference, prediction, own, lexicon=lexicon, wheel="one")[0] == pytest.approx(
        3.5 / 5, abs=1e-15
    )


def test_word_forms_by_hand(lexicon: Lexicon) -> None:
    # as → a (before b); cs → c. like c is a base form of its own, which means c.
    reference, prediction = [["as", "cs"], ["like c"], ["nothing"]], [["b", "c", "a"], ["c"], ["a"]]
    # Base forms: {a, c} / {a, b, c}: P 2/3, R 1. {like c} / {c}: 0, 0. The third has no known reference.
    assert value("word_form_precision", reference, prediction, lexicon=lexicon) == pytest.approx(1 / 3, abs=1e-15)
    assert value("word_form_recall", reference, prediction, lexicon=lexicon) == pytest.approx(1 / 2, abs=1e-15)
    assert value("word_form_f1", reference, prediction, lexicon=lexicon) == pytest.approx(2 / 5, abs=1e-15)
    # Synonyms: the second is {c} / {c}: 1, 1. P (2/3 + 1) / 2, R 1.
    own = {"lexicon": lexicon, "form": "synonym"}
    assert value("word_form_precision", reference, prediction, **own) == pytest.approx(5 / 6, abs=1e-15)
    assert value("word_form_recall", reference, prediction, **own) == 1
    assert value("word_form_f1", reference, prediction, **own) == pytest.approx(10 / 11, abs=1e-15)


def test_set_level_by_hand() -> None:
    # {a, b} / {b, c, d}: 1/3, 1/2. {a} / {}: 0, 0. {} / {a}: 0, 0. {} / {}: 0, 0; a label twice counts once.
    reference, prediction = [["a", "b", "a"], ["a"], [], []], [["b", "c", "d", "d"], [], ["a"], []]
    assert value("set_accuracy", reference, prediction) == pytest.approx(1 / 12, abs=1e-15)
    assert value("set_recall", reference, prediction) == pytest.approx(1 / 8, abs=1e-15)
    assert value("set_average", reference, prediction) == pytest.approx(5 / 48, abs=1e-15)
    # Jaccard 1/4, 0, 0, 1; F1 2/5, 0, 0, 1. In all, 1 of 6 labels is in both; 2 · 1 of 3 + 4.
    assert value("set_jaccard", reference, prediction) == pytest.approx(5 / 16, abs=1e-15)
    assert value("set_f1", reference, prediction) == pytest.approx(7 / 20, abs=1e-15)
    samples = sample_columns(exact_sets(Lists.of(reference), Lists.of(prediction))) or {}
    assert samples["f1"] == pytest.approx([2 / 5, 0, 0, 1]) and samples["recall"][3] == 1
    assert sample_columns(None) is None
    assert value("set_jaccard", reference, prediction, average="micro") == pytest.approx(1 / 6, abs=1e-15)
    assert value("set_f1", reference, prediction, average="micro") == pytest.approx(2 / 7, abs=1e-15)


@pytest.mark.parametrize("name", [*WITH_LEXICON, *BY_FORM])
def test_degenerate_cases_of_a_lexicon(lexicon: Lexicon, name: str) -> None:
    own: dict[str, Any] = {"lexicon": lexicon}
    if name in WITH_LEXICON:
        own["wheel"] = "one"
    assert value(name, [["a"], ["c"]], [["a"], ["c"]], **own) == 1
    assert value(name, [["a"]], [[]], **own) == 0  # an empty prediction
    assert value(name, [["a"]], [["nothing"]], **own) == 0  # which it is after the lexicon, too
    assert value(name, [["a"]], [["c"]], **own) == 0  # precision and recall 0: F is 0
    assert value(name, [["a"], []], [["a"], ["a"]], **own) == 1  # an empty reference is skipped
    assert value(name, [["a"], ["nothing"]], [["a"], ["a"]], **own) == 1
    assert np.isnan(value(name, [[], ["nothing"]], [["a"], ["a"]], **own))  # no sample is left
    assert np.isnan(value(name, [["a"], []], [["a"], ["a"]], [[0, 1], [0, 0]], **own)).all()
    assert np.isnan(value(name, [], [], **own))


@pytest.mark.parametrize("name", EXACT)
def test_degenerate_cases_of_sets(name: str) -> None:
    assert value(name, [["a"], ["b", "c"]], [["a"], ["c", "b"]]) == 1
    assert value(name, [["a"]], [[]]) == 0
    assert value(name, [[]], [["a"]]) == 0
    assert value(name, [[]], [[]]) == (1 if name in ("set_jaccard", "set_f1") else 0)
    assert np.isnan(value(name, [["a"]], [["a"]], [[0]])).all()
    if name in ("set_jaccard", "set_f1"):
        assert value(name, [[]], [[]], average="micro") == 1
        assert np.isnan(value(name, [["a"]], [["a"]], [[0]], average="micro")).all()


def test_every_wheel_must_have_a_sample_left(lexicon: Lexicon) -> None:
    assert np.isnan(value("emotion_wheel_f1", [["a"]], [["a"]], lexicon=lexicon))  # wheel two does not know a


def test_an_unknown_wheel_is_reported(lexicon: Lexicon) -> None:
    expected = r"^no wheel named 'ones'; did you mean 'one'\? \(known: all, one, two\)$"
    with pytest.raises(UnknownName, match=expected):
        value("emotion_wheel_f1", [["a"]], [["a"]], lexicon=lexicon, wheel="ones")


def test_more_sectors_than_a_word_has_bits() -> None:
    # Three wheels of 40 sectors need two 64-bit words at level 1; every label is known to only one wheel.
    wheels = {f"w{wheel}": [(f"{wheel}/{i}", f"{wheel}:{i}", f"{wheel}.{i}") for i in range(40)] for wheel in range(3)}
    large = Lexicon.compile(Content.of([], [], wheels), name="large", source="")
    rng = np.random.default_rng(5)
    words = [row[2] for rows in wheels.values() for row in rows]
    reference, prediction = ([rng.choice(words, 40).tolist() for _ in range(30)] for _ in range(2))
    for wheel, rows in wheels.items():
        own = {row[2] for row in rows}
        expected = walk([[w for w in row if w in own] for row in reference], prediction, {w: {w} for w in own})
        assert value("emotion_wheel_precision", reference, prediction, lexicon=large, wheel=wheel) == pytest.approx(
            expected["precision"], abs=1e-12
        )


def test_words_give_way_to_their_representatives() -> None:
    reference, prediction = Lists.of([["glad", "sad"], ["glad"]]), Lists.of([["happy", "low", "odd"], ["happy"]])
    first = [{"glad": "joyful", "happy": "joyful", "low": "sad"}, {}]
    true, predicted = with_representatives(reference, first), with_representatives(prediction, first)
    assert list(true) == [("joyful", "sad"), ("glad",)]
    assert list(predicted) == [("joyful", "sad", "odd"), ("happy",)]
    # {joyful, sad} / {joyful, sad, odd}: 2/3, 1. The second shares nothing.
    assert value("set_accuracy", true, predicted) == pytest.approx(1 / 3, abs=1e-15)
    # Two runs of a model count alike: the mean of this one and one that grouped nothing.
    runs = [(true, predicted), (reference, prediction)]
    assert value("set_accuracy", reference, prediction, grouped=runs) == pytest.approx(1 / 6, abs=1e-15)
    assert value("set_recall", reference, prediction, grouped=runs) == pytest.approx(1 / 4, abs=1e-15)
    # Jaccard of the first run: 2/3 and 0, mean 1/3; micro 2 of 5.
    assert value("set_jaccard", reference, prediction, grouped=runs) == pytest.approx(1 / 6, abs=1e-15)
    assert value("set_jaccard", reference, prediction, grouped=runs, average="micro") == pytest.approx(1 / 5, abs=1e-15)


def test_coverage_names_the_most_frequent_unknown_words(lexicon: Lexicon) -> None:
    # x is a base form without a wheel word.
    labels = [["a", "x", "q"], ["q", "p"], [], [f"w{i}" for i in range(20)]]
    result = coverage(Lists.of(labels), lexicon)
    names = ["w0", "w1", "w10", "w11", "w12", "w13", "w14", "w15"]
    assert (result.n_labels, result.n_unknown) == (25, 24)
    assert result.frequent == (("q", 2), ("p", 1), *((name, 1) for name in names))
    assert coverage(Lists.of([]), lexicon) == Coverage(0, 0, ())
    # Words that no row uses (after a selection of rows) are not counted.
    assert coverage(Lists.of(labels)[np.array([0])], lexicon).frequent == (("q", 1), ("x", 1))


WORDS = st.sampled_from(["a", "as", "b", "c", "cs", "d", "like c", "x", "nothing", "up", "low", "right"])
PAIRS = st.lists(st.tuples(st.lists(WORDS, max_size=5), st.lists(WORDS, max_size=5)), min_size=1, max_size=8)


def walk(reference: Sets, prediction: Sets, known: Mapping[str, set[str]]) -> dict[str, float]:
    """Return precision, recall and F label by label, set by set; `known` gives what a label becomes."""
    precisions, recalls = [], []
    for true_words, predicted_words in zip(reference, prediction, strict=True):
        true = {item for word in true_words for item in known.get(word, ())}
        predicted = {item for word in predicted_words for item in known.get(word, ())}
        if true:
            precisions.append(len(true & predicted) / len(predicted) if predicted else 0.0)
            recalls.append(len(true & predicted) / len(true))
    if not precisions:
        return dict.fromkeys(("precision", "recall", "f1"), float("nan"))
    p, r = sum(precisions) / len(precisions), sum(recalls) / len(recalls)
    return {"precision": p, "recall": r, "f1": 2 * p * r / (p + r) if p + r else 0.0}


SECTORS = {
    "one": {"a": "up", "b": "up", "c": "down", "up": "up", "low": "down", "as": "up", "cs": "down", "like c": "down"},
    "two": {"c": "left", "d": "right", "cs": "left", "like c": "left", "right": "right"},
}


@given(samples=st.lists(st.tuples(WORDS, st.lists(WORDS, max_size=5), st.integers(0, 3)), min_size=1, max_size=8))
def test_hits_word_by_word(lexicon: Lexicon, samples: list[tuple[str, list[str], int]]) -> None:
    for wheel, sector_of in SECTORS.items():
        hits, shares = [], []
        candidates = {sector_of[gold] for gold, _, _ in samples if gold in sector_of}
        for gold, words, weight in samples:
            predicted = {sector_of[word] for word in words if word in sector_of} & candidates
            if gold in sector_of:
                hits += [sector_of[gold] in predicted] * weight
                shares += [(sector_of[gold] in predicted) / max(len(predicted), 1)] * weight
        reference, prediction, weights = [[gold] for gold, _, _ in samples], [words for _, words, _ in samples], [[weight for *_, weight in samples]]  # fmt: skip
        for name, own in (("hit_rate", hits), ("hit_precision", shares)):
            result = value(name, reference, prediction, weights, lexicon=lexicon, wheel=wheel)[0]
            assert result == pytest.approx(sum(own) / len(own) if own else math.nan, abs=1e-12, nan_ok=True)


@pytest.mark.slow
@given(pairs=PAIRS, average=st.sampled_from(["sample", "micro"]))
def test_jaccard_and_f_are_those_of_scikit_learn(pairs: list[tuple[list[str], list[str]]], average: str) -> None:
    reference, prediction = ([pair[side] for pair in pairs] for side in (0, 1))
    columns = MultiLabelBinarizer().fit([*reference, *prediction, ["a", "b"]])
    true, predicted = columns.transform(reference), columns.transform(prediction)
    theirs = {"average": {"sample": "samples"}.get(average, average), "zero_division": 1}
    jaccard, f1 = (value(name, reference, prediction, average=average) for name in ("set_jaccard", "set_f1"))
    np.testing.assert_allclose(jaccard, jaccard_score(true, predicted, **theirs), rtol=0, atol=1e-14)
    np.testing.assert_allclose(f1, f1_score(true, predicted, **theirs), rtol=0, atol=1e-14)


def stored_lists(path: Path, split: Split = "official") -> tuple[list[str], Lists]:
    """Return names and label sets of a released file, by name."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = {row["name"]: row["openset"] for row in csv.DictReader(file)}
    names = sorted(rows)
    result = read_label_lists(pa.array([rows[name] for name in names]), split=split)
    assert not result.bad
    return names, result.lists


REAL = ("data/mer2024-ov/check-openset.csv", "data/mer2024-ov/predict-openset.csv", "open-vocabulary-real")
MADE = (
    "golden/open-vocabulary-random/reference.csv",
    "golden/open-vocabulary-random/prediction.csv",
    "open-vocabulary-random",
)


@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.parametrize("files", [REAL, MADE], ids=["real", "random"])
@pytest.mark.parametrize("year", ["mer2025", "mer2026"])
def test_the_released_scorers_values(
    test_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: tuple[str, str, str], year: str
) -> None:
    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path))
    lexicon = import_lexicon(test_data / "data" / "emotion-wheel" / year)
    (names, reference), (others, prediction) = (stored_lists(test_data / file) for file in files[:2])
    assert names == others
    expected = json.loads((test_data / "golden" / files[2] / "expected.json").read_text())
    checked = 0
    for key, values in expected.items():
        edition, *parts = key.split(":")
        for name, number in values.items() if edition == year else ():
            match parts:
                case ["case1" | "case2" as case]:
                    form = {"case1": "base", "case2": "synonym"}[case]
                    result = value(f"word_form_{name}", reference, prediction, lexicon=lexicon, form=form)
                case [*wheel, level]:
                    own = {"lexicon": lexicon, "level": int(level[-1]), "wheel": (*wheel, "all")[0]}
                    result = value(f"emotion_wheel_{name}", reference, prediction, **own)
            assert result == pytest.approx(number, rel=0, abs=1e-12), f"{key} {name}"
            checked += 1
    assert checked == (30 if files is MADE else 10)


@pytest.mark.real_data
def test_the_published_set_level_values(test_data: Path) -> None:
    expected = json.loads((test_data / "golden" / "open-vocabulary-real" / "expected.json").read_text())
    lines = (test_data / "data" / "mer2024-ov" / "synonym-groups.jsonl").read_text(encoding="utf-8").splitlines()
    groups = {item["name"]: ast.literal_eval(item["groups"]) for item in map(json.loads, lines)}

    def values(split: Split, *, grouped: bool) -> dict[str, float]:
        (names, reference), (_, prediction) = (stored_lists(test_data / file, split) for file in REAL[:2])
        if grouped:
            # The representative of a word is the first word of the last group that contains it.
            first = [{word: group[0] for group in groups[name] for word in group} for name in names]
            reference, prediction = (with_representatives(side, first) for side in (reference, prediction))
        return {name: value(f"set_{name}", reference, prediction) for name in ("accuracy", "recall", "average")}

    published, bare = expected["mer2024:groups"], expected["mer2024:exact-match"]
    result = values("official", grouped=True)
    assert result == pytest.approx({name: published[name] for name in result}, rel=0, abs=1e-12)
    result = values("python", grouped=False)
    assert result["accuracy"] == pytest.approx(bare["accuracy"], rel=0, abs=1e-12)
    assert result["recall"] == pytest.approx(bare["recall"], rel=0, abs=1e-12)
    # The trap of the two ways of splitting: each gives other digits.
    assert values("python", grouped=True)["recall"] == pytest.approx(0.4963, abs=5e-5)
    assert values("official", grouped=False)["accuracy"] == pytest.approx(0.254167, abs=5e-7)
