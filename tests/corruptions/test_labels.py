"""Corruption of training labels against arithmetic by hand and the shares that are declared."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merbench.corruptions import CORRUPTIONS, check_parameters, generator
from merbench.corruptions.labels import Labels
from merbench.errors import Inapplicable

SIX = ("neutral", "angry", "happy", "sad", "worried", "surprise")
N = 30_000


def many(n: int = N) -> Labels:
    return Labels.of(np.arange(n) % 6, SIX)


def corrupted(name: str, labels: Labels, step: str = "", **parameters: Any) -> Labels:
    known = CORRUPTIONS[name]
    assert check_parameters(name, parameters) == []
    result = known(labels, generator(2023, step or name, ""), parameters)
    assert isinstance(result, Labels)
    return result


def measured(name: str, before: Labels, after: Labels, **parameters: Any) -> dict[str, Any]:
    measure = CORRUPTIONS[name].measure
    return dict(measure(before, after, parameters))


def sets(labels: Labels) -> np.ndarray:
    assert labels.candidates is not None
    return labels.candidates


@pytest.mark.parametrize("q", [0.1, 0.3, 0.5])
def test_six_partial_labels_have_one_and_five_q_candidates(q: float) -> None:
    result = corrupted("partial_labels", many(), q=q)
    # sizes: 1 + a binomial of 5 and q, deviation at most 1.12, of the mean of 30,000 at most 0.0065
    assert sets(result).sum(axis=1).mean() == pytest.approx(1 + 5 * q, abs=0.033)
    assert sets(result)[np.arange(N), result.codes].all()
    for other in range(1, 6):
        share = sets(result)[np.arange(N), (result.codes + other) % 6].mean()
        assert share == pytest.approx(q, abs=0.0145)  # deviation at most 0.0029
    assert measured("partial_labels", many(), result) == {
        "mean_candidates": round(sets(result).sum(axis=1).mean(), 6),
        "realised_eta": 0,
    }


@pytest.mark.parametrize(("q", "eta"), [(0.1, 0.1), (0.3, 0.2), (0.5, 0.3)])
def test_noisy_partial_labels_miss_the_label_in_a_share_eta(q: float, eta: float) -> None:
    clean = sets(corrupted("partial_labels", many(), "step", q=q))
    result = corrupted("noisy_partial_labels", many(), "step", q=q, eta=eta)
    noisy = sets(result)
    assert np.array_equal(noisy.sum(axis=1), clean.sum(axis=1))
    is_noisy = ~noisy[np.arange(N), result.codes]
    assert np.array_equal(noisy[~is_noisy], clean[~is_noisy])
    # a set of all six labels, q ** 5 of them, stays clean; deviation of the share below 0.0027
    assert is_noisy.mean() == pytest.approx(eta * (1 - q**5), abs=0.0135)
    assert ((noisy & ~clean).sum(axis=1) == is_noisy).all()
    assert measured("noisy_partial_labels", many(), result)["realised_eta"] == round(is_noisy.mean(), 6)


def test_the_label_that_comes_in_is_any_that_was_no_candidate() -> None:
    labels = Labels.of(np.zeros(6000, dtype=int), SIX)
    result = sets(corrupted("noisy_partial_labels", labels, q=0, eta=1))
    # q = 0: sets of only the label, five others, 1,200 of each, deviation 31
    assert not result[:, 0].any()
    assert all(abs(count - 1200) < 155 for count in result[:, 1:].sum(axis=0))


def test_sets_of_all_labels_stay_clean() -> None:
    assert sets(corrupted("noisy_partial_labels", many(60), q=1, eta=1)).all()
    one = Labels.of([0, 0], ["only"])
    assert sets(corrupted("noisy_partial_labels", one, q=0.5, eta=1)).all()


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.6, 1.0])
def test_symmetric_flips_go_to_every_other_label_alike(rate: float) -> None:
    before = many()
    after = corrupted("symmetric_flips", before, rate=rate)
    assert after.codes.dtype == np.int32
    shifts = Counter(((after.codes - before.codes) % 6).tolist())
    # deviation of a count of 30,000 at most 87
    assert abs(shifts[0] - N * (1 - rate)) < 435
    assert all(abs(shifts[shift] - N * rate / 5) < 435 for shift in range(1, 6))
    assert measured("symmetric_flips", before, after, rate=rate) == {"realised_rate": round((N - shifts[0]) / N, 6)}
    assert CORRUPTIONS["symmetric_flips"].changes_nothing({"rate": rate}) == (rate == 0)


def test_class_flips_follow_their_table() -> None:
    flips = {"happy": {"surprise": 0.3, "neutral": 0.1}, "sad": {"worried": 1.0}}
    before = many()
    after = corrupted("class_flips", before, flips=flips)
    result = Counter(zip(before.codes.tolist(), after.codes.tolist(), strict=True))
    # 5,000 of each label; deviation of a share of them at most 32
    assert abs(result[2, 5] - 1500) < 165
    assert abs(result[2, 0] - 500) < 110
    assert result[2, 2] == 5000 - result[2, 5] - result[2, 0]
    assert result[3, 4] == 5000
    assert all(result[code, code] == 5000 for code in (0, 1, 4, 5))
    assert measured("class_flips", before, after, flips=flips) == {
        "realised_rate": round((5000 + result[2, 5] + result[2, 0]) / N, 6)
    }


def test_names_that_are_not_labels_are_all_reported() -> None:
    message = (
        r"^flips: 'hapy' is not one of the labels neutral, angry, happy, sad, worried, … \(1 more\); did you mean 'happy'\?; "
        r"flips: 'joy' is not one of the labels neutral, angry, happy, sad, worried, … \(1 more\)$"
    )
    with pytest.raises(Inapplicable, match=message):
        corrupted("class_flips", many(6), flips={"hapy": {"sad": 0.1}, "sad": {"joy": 0.1}})


@pytest.mark.parametrize("flips", [{}, {"sad": {}}, {"sad": {"happy": 1.2}}, {"sad": {"angry": 0.5, "happy": 0.6}}])
def test_a_table_of_flips_contains_shares(flips: dict[str, Any]) -> None:
    (problem,) = check_parameters("class_flips", {"flips": flips})
    assert problem.startswith(f"flips: {flips!r} is not a table of shares by label")


@pytest.mark.parametrize(
    ("counts", "gamma", "expected"),
    [
        # 1,000 * 100 ** (-j / 2)
        ((1000, 1000, 1000), 100, (1000, 100, 10)),
        # the largest first: 1,000, 100, 10 for the second, the third, the first label
        ((200, 1000, 900), 100, (10, 1000, 100)),
        # 64 * 8 ** (-j / 3) = 64, 32, 16, 8; the last has only 5
        ((64, 64, 64, 5), 8, (64, 32, 16, 5)),
        # 10 * 100 ** (-j / 2) = 10, 1, 0.1, of which one is left
        ((10, 10, 10), 100, (10, 1, 1)),
        # labels without samples do not count: 90 * 9 ** (-j) = 90, 10
        ((0, 90, 0, 90), 9, (0, 90, 0, 10)),
        # 50 * 3 ** (-j / 2) = 50, 28.87, 16.67, rounded down
        ((50, 50, 50), 3, (50, 28, 16)),
        ((7,), 50, (7,)),
        ((4, 9), 1, (4, 9)),
        ((), 10, ()),
    ],
)
def test_long_tails_have_the_sizes_of_the_formula(
    counts: tuple[int, ...], gamma: float, expected: tuple[int, ...]
) -> None:
    codes = np.repeat(np.arange(len(counts)), counts)
    after = corrupted("long_tail", Labels.of(codes, [f"label {i}" for i in range(len(counts))]), gamma=gamma)
    assert tuple(np.bincount(after.codes, minlength=len(counts)).tolist()) == expected
    assert np.array_equal(codes[after.rows], after.codes)
    assert (np.diff(after.rows) > 0).all()


def test_a_tail_is_measured() -> None:
    before = many(600)
    after = corrupted("long_tail", before, gamma=10)
    # 100 * 10 ** (-j / 5) = 100, 63, 39, 25, 15, 10
    assert measured("long_tail", before, after, gamma=10) == {"realised_gamma": 10, "n_kept": 252}
    assert CORRUPTIONS["long_tail"].changes_nothing({"gamma": 1})
    assert not CORRUPTIONS["long_tail"].changes_nothing({"gamma": 10})


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("partial_labels", {"q": 0.1}),
        ("noisy_partial_labels", {"q": 0.1, "eta": 0.1}),
        ("symmetric_flips", {"rate": 0.1}),
        ("class_flips", {"flips": {"sad": {"happy": 0.1}}}),
    ],
)
def test_sets_of_candidates_are_not_corrupted_again(name: str, parameters: dict[str, Any]) -> None:
    partial = corrupted("partial_labels", many(6), q=0.3)
    message = "^the labels already are sets of candidates; declare this step before the one that makes them$"
    with pytest.raises(Inapplicable, match=message):
        corrupted(name, partial, **parameters)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("only",), "^only cannot be flipped: there is no other label$"),
        ((), "^no label cannot be flipped: there is no"),
    ],
)
def test_a_single_label_cannot_be_flipped(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(Inapplicable, match=message):
        corrupted("symmetric_flips", Labels.of([-1], names), rate=0.1)


@pytest.mark.parametrize("code", [-2, 6])
def test_codes_are_those_of_the_labels(code: int) -> None:
    with pytest.raises(ValueError, match=f"^{code} is not a code of 6 labels, nor -1$"):
        Labels.of([0, code], SIX)


ALL: list[tuple[str, dict[str, Any]]] = [
    ("partial_labels", {"q": 0.4}),
    ("noisy_partial_labels", {"q": 0.4, "eta": 0.5}),
    ("symmetric_flips", {"rate": 0.5}),
    ("class_flips", {"flips": {"sad": {"happy": 0.5}, "angry": {"worried": 0.9}}}),
    ("long_tail", {"gamma": 5}),
]


@pytest.mark.parametrize(("name", "parameters"), ALL)
@settings(max_examples=25)
@given(codes=st.lists(st.integers(-1, 5), max_size=20))
def test_samples_without_a_label_keep_none(name: str, parameters: dict[str, Any], codes: list[int]) -> None:
    before = Labels.of(codes, SIX)
    after = corrupted(name, before, **parameters)
    unlabelled = [row for row, code in enumerate(codes) if code < 0]
    assert before.codes.tolist() == codes
    assert [row for row, code in zip(after.rows.tolist(), after.codes, strict=True) if code < 0] == unlabelled
    assert set(after.codes[after.codes >= 0].tolist()) <= set(range(6))
    if after.candidates is not None:
        assert after.candidates.any(axis=1).tolist() == [code >= 0 for code in codes]
    if len(unlabelled) == len(codes):
        assert measured(name, before, after, **parameters) == {}


@pytest.mark.parametrize(("name", "parameters"), ALL[:4])
def test_samples_that_are_added_behind_change_nothing(name: str, parameters: dict[str, Any]) -> None:
    few, more = (corrupted(name, many(n), **parameters) for n in (50, 80))
    assert np.array_equal(few.codes, more.codes[:50])
    if few.candidates is not None:
        assert np.array_equal(few.candidates, sets(more)[:50])
