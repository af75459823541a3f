"""What a baseline returns is accepted as it is, or refused in one message with all that is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from merbench.errors import UsageError
from merbench.metrics.lists import Lists
from merbench.targets.label_set import LabelSetTarget
from merbench.track import Track
from merbench.training import CrossFit, Curve, Predictions, PseudoLabels
from merbench.training.plugin_errors import checked_cross_fit, checked_predictions
from tests.training.conftest import SmallTrack

IDS = pa.array(["a", "b", "c", "d"])
EVEN = np.full((4, 3), 1 / 3)
ZEROS = np.zeros(4)


@pytest.fixture
def track(small_track: SmallTrack) -> Track:
    """Return the small track: labels calm, glad, sad, and a number."""
    return small_track()


def problems(track: Track, returned: Any) -> list[str]:
    with pytest.raises(UsageError) as caught:
        checked_predictions("baseline 'own', predict", returned, track, IDS)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("discrete", "valence"),
    [
        (EVEN, ZEROS),
        (EVEN.astype(np.float32), ZEROS.astype(np.float16)),
        (np.eye(3, dtype=np.int64)[[0, 1, 2, 0]], [0, 1, 2, 3]),
        (torch.full((4, 3), 1 / 3), torch.zeros(4)),
        (EVEN + 3e-4, ZEROS),  # sums of 1.0009: the tolerance of a submission
    ],
)
def test_arrays_of_the_right_shape_pass_as_float64(track: Track, discrete: Any, valence: Any) -> None:
    outputs = checked_predictions("", Predictions({"valence": valence, "discrete": discrete, "more": ()}), track, IDS)
    assert {name: (x.dtype, x.shape) for name, x in outputs.outputs.items()} == {
        "discrete": (np.float64, (4, 3)),
        "valence": (np.float64, (4,)),
    }
    np.testing.assert_array_equal(outputs.outputs["discrete"], np.asarray(discrete, dtype=np.float64))
    np.testing.assert_array_equal(outputs.outputs["valence"], np.asarray(valence, dtype=np.float64))


def test_values_that_are_not_finite_and_scores_instead_of_probabilities_are_refused(track: Track) -> None:
    table = np.array([[2.0, -1.0, 0.0], [0.5, 0.25, 0.25], [0.5, 0.5, 0.5], [np.nan, 0.0, -9.0]])
    assert problems(track, Predictions({"discrete": table, "valence": np.array([np.inf, 0, 0, np.nan])})) == [
        "baseline 'own', predict: 4 problems",
        "  E209  discrete: NaN or infinite in 1 of 4 rows (d); every probability must be finite",
        "  E209  discrete: below 0 in 1 of 4 rows (a), as low as -1; probabilities are not: scores go through a softmax "
        "first",
        "  E209  discrete: sum to 1.5 and the like in 1 of 4 rows (c); the probabilities of a row must sum to 1 within "
        "0.001",
        "  E204  valence: NaN or infinite in 2 of 4 rows (a, d); every number must be finite",
    ]


NEEDED = "float probabilities (4, 3), one column per declared label: calm, glad, sad"


@pytest.mark.parametrize(
    ("discrete", "problem"),
    [
        (np.array([0, 1, 2, 0]), f"E206  discrete: has the shape (4,); needed: {NEEDED}"),
        (EVEN[:, :2], f"E206  discrete: has the shape (4, 2); needed: {NEEDED}"),
        (EVEN[:3], f"E206  discrete: has the shape (3, 3); needed: {NEEDED}"),
        (["calm", "sad", "sad", "glad"], f"E208  discrete: contains text of the shape (4,); needed: {NEEDED}"),
        (None, f"E208  discrete: contains object of the shape (); needed: {NEEDED}"),
    ],
)
def test_another_shape_or_type_is_reported_with_what_is_needed(track: Track, discrete: Any, problem: str) -> None:
    shown = problems(track, Predictions({"discrete": discrete, "valence": ZEROS}))
    assert shown == ["baseline 'own', predict: 1 problem", f"  {problem}"]


def test_a_value_that_is_not_an_array_is_refused(track: Track) -> None:
    tensor = torch.zeros(4, requires_grad=True)
    _, ragged, gradient = problems(track, Predictions({"discrete": [[1.0], [0.5, 0.5]], "valence": tensor}))  # type: ignore[dict-item]
    assert ragged.startswith("  E208  discrete: a value of type 'list' is not an array (")
    assert gradient.startswith("  E208  valence: a value of type 'Tensor' is not an array (")
    assert gradient.endswith("; needed: finite numbers (4,), one per sample")


def test_every_target_is_needed(track: Track) -> None:
    assert problems(track, Predictions({"valance": ZEROS})) == [
        "baseline 'own', predict: 2 problems",
        "  E202  discrete: is missing; needed: every target of the track",
        "  E202  valence: is missing; needed: every target of the track; did you mean 'valance'?",
    ]
    form = "needed: merbench.training.Predictions of one array per target"
    assert problems(track, None) == [f"baseline 'own', predict returned nothing (None); {form}"]
    assert problems(track, {"valence": ZEROS}) == [f"baseline 'own', predict returned a value of type 'dict'; {form}"]
    assert problems(track, Predictions(EVEN)) == [  # type: ignore[arg-type]
        f"baseline 'own', predict returned a value of type 'Predictions'; {form}"
    ]


def test_sets_of_words_are_one_per_sample(track: Track) -> None:
    target = LabelSetTarget(type="label_set")
    words = track.model_copy(update={"targets": {"words": target, "valence": track.targets["valence"]}})
    sets = Lists.of([["happy"], ["sad", "tired"], [], ["calm"]])
    passed = checked_predictions("", Predictions({"valence": ZEROS}, {"words": sets}), words, IDS)
    assert passed.sets["words"] is sets
    for returned, problem in (
        ({"word": sets}, "E202  words: is missing; needed: every target of the track; did you mean 'word'?"),
        ({"words": Lists.of([["sad"]])}, "E206  words: contains 1 set; needed: 4, one per sample"),
        ({"words": [["sad"]] * 4}, "E208  words: a value of type 'list'; needed: merbench.metrics.lists.Lists of 4 sets, one per sample"),
    ):  # fmt: skip
        shown = problems(words, Predictions({"valence": ZEROS}, returned))  # type: ignore[arg-type]
        assert shown == ["baseline 'own', predict: 1 problem", f"  {problem}"]


def test_the_result_of_cross_validation_is_checked_too(track: Track) -> None:
    good = Predictions({"discrete": EVEN, "valence": ZEROS})
    curve = Curve(np.zeros((6, 2)), np.zeros((6, 2)), (1, 6))
    passed = checked_cross_fit("x", CrossFit(good, curve), track, IDS)
    assert (passed.curve, passed.device) == (curve, "cpu")

    two = PseudoLabels(np.zeros((2, 3), dtype=np.int64), np.ones((2, 3), dtype=np.bool_))
    where, device, drawn = "baseline 'own', fit_folds", torch.device("cpu"), "curve.svg"
    for returned, message in (
        (good, f"{where} returned a value of type 'Predictions'; needed: a merbench.training.CrossFit"),
        (
            CrossFit(Predictions({"discrete": EVEN, "valence": ZEROS + np.nan})),
            f"{where}, out_of_fold: 1 problem\n"
            "  E204  valence: NaN or infinite in 4 of 4 rows (a, b, c, d); every number must be finite",
        ),
        (
            CrossFit(good, None, device),  # type: ignore[arg-type]
            f"{where}: device is a value of type 'device'; needed: its name, a string",
        ),
        (
            CrossFit(good, Curve(np.zeros((6, 2)), np.zeros(6), (1, 6))),
            f"{where}: curve has loss (6, 2), value (6,) and 2 best epochs; "
            "needed: (epochs, folds) twice and one best epoch per fold",
        ),
        (
            CrossFit(good, drawn),  # type: ignore[arg-type]
            f"{where}: curve is a value of type 'str'; needed: a merbench.training.Curve, or None",
        ),
        (
            CrossFit(good, details=[0.5]),  # type: ignore[arg-type]
            f"{where}: details is a value of type 'list'; needed: a dict of values of JSON",
        ),
        (
            CrossFit(good, details={"share": ZEROS}),
            f"{where}: details cannot be written as JSON: Object of type ndarray is not JSON serializable",
        ),
        (
            CrossFit(good, pseudo_labels={"discrete": two, "discret": two, "valence": EVEN}),  # type: ignore[dict-item]
            f"{where}: pseudo_labels: discrete has labels (2, 3) and kept (2, 3); discret is not a target with labels; "
            "did you mean 'discrete'?; valence is not a target with labels; needed: by target with labels, "
            "merbench.training.PseudoLabels of labels and kept, (models, 5) each",
        ),
    ):
        with pytest.raises(UsageError) as caught:
            checked_cross_fit(where, returned, track, IDS, 5)
        assert str(caught.value) == message
