"""Durations of segments by hand, against a slow sweep, and on every degenerate case."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merbench.metrics import METRICS
from merbench.metrics.lists import Segments, offsets_of

REAL, FAKE = 0, 1
Sample = list[tuple[int, float, float]]
NAMES = ["segment_precision", "segment_recall", "segment_f1", "sentence_accuracy", "localisation_score"]


def segments(*samples: Sample) -> Segments:
    items = [item for sample in samples for item in sample]
    codes, starts, ends = (np.array([item[place] for item in items], float) for place in range(3))
    return Segments(codes.astype(np.int32), starts, ends, offsets_of([len(sample) for sample in samples]))


def score(name: str, reference: Segments, prediction: Segments, **parameters: Any) -> float:
    weights = np.ones((1, len(reference)), dtype=np.uint8)
    return float(METRICS[name](reference, prediction, weights, label=FAKE, **parameters)[0])


# Utterance 1: fake 1-3 against fake 2-4: 1 s in common, 2 s predicted, 2 s referenced.
# Utterance 2: fake 0-0.5 and 2-3 against fake 0-3: 1.5 s in common, 3 s predicted, 1.5 s referenced.
# Utterance 3: nothing on either side.  Utterance 4: fake 0-2 against nothing.
REFERENCE = segments(
    [(REAL, 0, 1), (FAKE, 1, 3), (REAL, 3, 5)], [(FAKE, 0, 0.5), (FAKE, 2, 3)], [(REAL, 0, 9)], [(FAKE, 0, 2)]
)
PREDICTION = segments([(FAKE, 2, 4)], [(FAKE, 0, 3)], [], [(REAL, 0, 2)])


def test_scores_by_hand() -> None:
    # 2.5 s of 5 predicted and 5.5 referenced; utterances 1, 2 and 3 are rightly fake or not.
    assert score("segment_precision", REFERENCE, PREDICTION) == 2.5 / 5
    assert score("segment_recall", REFERENCE, PREDICTION) == 2.5 / 5.5
    assert score("segment_f1", REFERENCE, PREDICTION) == 5 / 10.5
    assert score("sentence_accuracy", REFERENCE, PREDICTION) == 3 / 4
    assert score("localisation_score", REFERENCE, PREDICTION) == pytest.approx(0.3 * 0.75 + 0.7 * 5 / 10.5, abs=1e-15)


def test_scores_per_utterance_by_hand() -> None:
    # Precision 1/2, 1/2, 1, 0; recall 1/2, 1, 1, 0; F1 1/2, 2/3, 1, 0.
    assert score("segment_precision", REFERENCE, PREDICTION, aggregation="per_utterance") == 2 / 4
    assert score("segment_recall", REFERENCE, PREDICTION, aggregation="per_utterance") == 2.5 / 4
    result = score("segment_f1", REFERENCE, PREDICTION, aggregation="per_utterance")
    assert result == pytest.approx((1 / 2 + 2 / 3 + 1) / 4, abs=1e-15)
    mixed = score("localisation_score", REFERENCE, PREDICTION, aggregation="per_utterance", sentence_weight=0.5)
    assert mixed == pytest.approx(0.5 * 0.75 + 0.7 * result, abs=1e-15)


def test_the_mix_gives_the_published_score_of_the_winner() -> None:
    # ADD 2023: accuracy 0.8223 and F1 0.6066 make 0.67131, printed as 0.6713. Of 10,000 utterances, 8,223 are right,
    # with 3,033 s of fake on both sides, and 1,777 wrong, with 3,934 s on one: F1 = 6066 / (3033 + 3033 + 3934).
    right, wrong = 8223, 1777
    both, alone = [(FAKE, 0.0, 3033 / right)], [(FAKE, 0.0, 3934 / wrong)]
    reference, prediction = segments(*[both] * right, *[[]] * wrong), segments(*[both] * right, *[alone] * wrong)
    assert score("sentence_accuracy", reference, prediction) == 0.8223
    assert score("segment_f1", reference, prediction) == pytest.approx(0.6066, abs=1e-12)
    assert score("localisation_score", reference, prediction) == pytest.approx(0.67131, abs=1e-12)


def test_nothing_to_find_and_nothing_found() -> None:
    nothing = segments([(REAL, 0, 1)], [])
    result = segments([(FAKE, 0, 1)], [])
    for name in NAMES[:3]:
        # Added up, a division by zero is 0, as for a class that is never predicted.
        assert score(name, nothing, nothing) == 0
        assert score(name, nothing, nothing, aggregation="per_utterance") == 1
        assert score(name, nothing, result, aggregation="per_utterance") == 0.5
        assert score(name, result, nothing, aggregation="per_utterance") == 0.5
    assert score("sentence_accuracy", nothing, nothing) == 1


@st.composite
def sides(draw: st.DrawFn) -> list[Sample]:
    """Return samples of segments that do not overlap, with ends on quarters of a second, in any order."""
    samples = []
    for _ in range(4):
        cuts = sorted(draw(st.sets(st.integers(0, 20), max_size=8)))
        pairs = [(start / 4, end / 4) for start, end in pairwise(cuts)]
        kept = [(draw(st.sampled_from([REAL, FAKE])), *pair) for pair in pairs if draw(st.booleans())]
        samples.append(draw(st.permutations(kept)))
    return samples


def fake_quarters(sample: Sample) -> set[int]:
    return {q for code, start, end in sample if code == FAKE for q in range(int(start * 4), int(end * 4))}


@pytest.mark.slow
@given(reference=sides(), prediction=sides(), weights=st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_quarters_of_a_second_are_counted_one_by_one(
    reference: list[Sample], prediction: list[Sample], weights: list[int]
) -> None:
    row = np.array([weights], np.uint8)
    truth, answer = [fake_quarters(s) for s in reference], [fake_quarters(s) for s in prediction]
    total = sum(weights)
    hits = sum(w * len(t & a) for w, t, a in zip(weights, truth, answer, strict=True))
    sizes = sum(w * (len(t) + len(a)) for w, t, a in zip(weights, truth, answer, strict=True))
    each = [
        Fraction(2 * len(t & a), len(t) + len(a)) if t or a else Fraction(1) for t, a in zip(truth, answer, strict=True)
    ]
    right = sum(w for w, t, a in zip(weights, truth, answer, strict=True) if bool(t) == bool(a))
    sides_ = segments(*reference), segments(*prediction)
    micro = METRICS["segment_f1"](*sides_, row, label=FAKE)[0]
    mean = METRICS["segment_f1"](*sides_, row, label=FAKE, aggregation="per_utterance")[0]
    accuracy = METRICS["sentence_accuracy"](*sides_, row, label=FAKE)[0]
    if not total:
        assert np.isnan([micro, mean, accuracy]).all()
        return
    assert micro == (2 * hits / sizes if sizes else 0)
    assert mean == pytest.approx(float(sum(w * v for w, v in zip(weights, each, strict=True)) / total), abs=1e-12)
    assert accuracy == right / total
