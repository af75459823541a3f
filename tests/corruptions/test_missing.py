"""Gaps against the shares that the protocols are known to give, NumPy's own legacy draws, and patterns by hand."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from merbench.corruptions import CORRUPTIONS, Step, check_parameters, generator
from merbench.corruptions.batches import removed_modalities
from merbench.corruptions.drawing import generators
from merbench.corruptions.missing import gcnet_masks, gcnet_rows, kept_share
from merbench.errors import Inapplicable

VECTORS = {"audio": np.array([1.0, 2.0]), "video": np.array([3.0]), "text": np.array([4.0, 5.0, 6.0])}
FRAMES = {"audio": np.ones((6, 2)), "video": np.ones((4, 3)), "text": np.ones((5, 1))}


def corrupted(name: str, signal: Any, sample_id: str = "sample_00000001", **parameters: Any) -> Any:
    known = CORRUPTIONS[name]
    assert check_parameters(name, parameters) == []
    rng = generator(2023, name, sample_id)
    return known(signal, rng, known.draw(parameters, rng))


def available(signal: dict[str, np.ndarray]) -> str:
    return "".join(name[0] for name in ("audio", "video", "text") if signal[name].any())


@pytest.mark.parametrize(
    ("rate", "missing"),
    # 32 rows of 3 views are accepted only with 86, 67, 48 of 96 views (within 0.005 of the share), or with one view each
    [(0.0, 0), (0.1, 10 / 96), (0.3, 29 / 96), (0.5, 48 / 96), (0.7, 2 / 3), (1.0, 2 / 3)],
)
def test_thirty_two_rows_of_gcnet_have_the_known_share(rate: float, missing: float) -> None:
    for number in range(20):
        masks = gcnet_masks(32, 3, rate, generator(0, "masks", str(number)))
        assert np.mean(~masks) == pytest.approx(missing)
        assert masks.any(axis=1).all()


@pytest.mark.parametrize(
    ("rate", "missing", "share", "n_views"),
    # as counted with GCNet's procedure: 71 % complete at 0.1, 57 % of a single view at 0.5, all of one at 0.7
    [(0.1, 0.101, 0.71, 3), (0.5, 0.504, 0.57, 1), (0.7, 0.667, 1.0, 1)],
)
def test_the_rows_of_a_corpus_have_the_known_shares(rate: float, missing: float, share: float, n_views: int) -> None:
    masks = np.concatenate([gcnet_masks(7433, 3, rate, generator(0, "masks", str(i))) for i in range(16)])
    # a set is accepted within 0.005 of the share: deviation below 0.003, of the mean of 16 below 0.0008
    assert np.mean(~masks) == pytest.approx(missing, abs=0.0025)
    assert np.mean(masks.sum(axis=1) == n_views) == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize("n_views", [1, 2, 3, 4])
def test_many_samples_together_have_the_masks_that_each_has_alone(
    n_views: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("merbench.corruptions.missing._ATTEMPTS", 40)  # some end with the nearest share
    ids = [f"s{i}" for i in range(60)]
    rates = np.concatenate([np.linspace(0, 0.8, 50), [0, 0.66, 0.1, 0.3, 0.5, 2 / 3, 0.7, 1, 0.75, 0.5]])
    together = gcnet_rows(n_views, rates, list(generators(5, "masks", ids)))
    alone = [
        gcnet_masks(1, n_views, rate, generator(5, "masks", name))[0] for rate, name in zip(rates, ids, strict=True)
    ]
    assert np.array_equal(together, np.array(alone))


@pytest.mark.parametrize(
    ("name", "parameters", "names"),
    [
        ("gcnet_missing", {"rate": {"uniform": [0, 0.7]}}, ("text", "audio", "video")),
        ("gcnet_missing", {"rate": 0}, ("audio", "video")),
        ("modality_pattern", {"pattern": {"choice": ["a", "vt"]}}, ("video", "audio")),
        ("modality_absence", {"modality": "text", "rate": 0.5}, ("text", "video")),
        ("imbalanced_missing", {"audio": 0.2, "text": 0.9}, ("audio", "text", "video")),
    ],
)
def test_which_modalities_a_step_removes_of_many_samples(
    name: str, parameters: dict[str, Any], names: tuple[str, ...]
) -> None:
    ids = [f"s{i}" for i in range(50)]
    removed = removed_modalities(Step(name, parameters), names, ids, seed=2023)
    for row, sample_id in enumerate(ids):
        after = corrupted(name, {key: VECTORS[key] for key in names}, sample_id, **parameters)
        assert removed[row].tolist() == [not after[key].any() for key in names]


def test_imbalanced_rates_are_those_given_that_something_is_left() -> None:
    n, rates = 4000, {"audio": 0.2, "text": 0.5, "video": 0.8}
    removed = removed_modalities(Step("imbalanced_missing", rates), list(rates), [f"s{i}" for i in range(n)], seed=2023)
    # P(missing and another is left) / P(not all missing), with P(all missing) = 0.2 * 0.5 * 0.8 = 0.08
    wanted = [(rate - 0.08) / 0.92 for rate in rates.values()]
    assert removed.mean(axis=0) == pytest.approx(wanted, abs=0.025)  # three deviations
    assert not removed.all(axis=1).any()
    # at 0.5 each of three, 3/7 are missing; of one modality alone, none
    assert corrupted("imbalanced_missing", {"text": VECTORS["text"]}, text=0.9)["text"] is VECTORS["text"]
    assert available(corrupted("imbalanced_missing", VECTORS, audio=1.0, video=1.0)) == "t"
    with pytest.raises(Inapplicable, match=r"^a rate of 1 for audio and text and video would leave nothing"):
        corrupted("imbalanced_missing", VECTORS, audio=1.0, text=1.0, video=1.0)
    with pytest.raises(Inapplicable, match=r"^a rate of 1 for text would leave nothing"):
        corrupted("imbalanced_missing", {"text": VECTORS["text"]}, text=1.0)


def test_a_rate_that_whole_percents_cannot_reach_ends_with_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("merbench.corruptions.missing._ATTEMPTS", 3)
    # of 200,000 rows at 0.5: chances floor(100 / 6) = 16 % and floor(24.5) = 24 % give 1/3 + 2/3 * 0.24 = 0.4933 kept
    masks = gcnet_masks(200_000, 3, 0.5, generator(0, "masks", ""))
    assert np.mean(masks) == pytest.approx(0.4933, abs=0.002)
    # at 0.66 the chance is 0 %: one view each
    assert (gcnet_masks(40, 3, 0.66, generator(0, "masks", "")).sum(axis=1) == 1).all()


@pytest.mark.parametrize("n_views", [1, 2, 3, 5])
@pytest.mark.parametrize("n", [0, 1, 33])
def test_masks_of_any_number_of_views_keep_one(n: int, n_views: int) -> None:
    for rate in (0.0, 0.2, 0.45, 0.7):
        masks = gcnet_masks(n, n_views, rate, generator(0, "masks", str(rate)))
        assert masks.shape == (n, n_views)
        assert masks.any(axis=1).all()


def test_gcnet_takes_samples_with_fewer_modalities() -> None:
    assert corrupted("gcnet_missing", {"audio": VECTORS["audio"]}, rate=0.7)["audio"] is VECTORS["audio"]
    assert corrupted("gcnet_missing", {}, rate=0.7) == {}
    other = {**VECTORS, "physiology": np.ones(2)}
    assert corrupted("gcnet_missing", other, rate=0.7)["physiology"] is other["physiology"]
    two = {name: VECTORS[name] for name in ("audio", "text")}
    kept = [sum(bool(v.any()) for v in corrupted("gcnet_missing", two, str(i), rate=0.5).values()) for i in range(30)]
    assert kept == [1] * 30


def test_tfrnet_drops_by_the_legacy_generator_with_its_seeds() -> None:
    lengths = {"text": [5, 3, 8], "audio": [2, 9, 4], "video": [7, 7, 1]}
    split = [{name: np.ones((lengths[name][i], 2)) for name in lengths} for i in range(3)]
    result = corrupted("tfrnet_drop", split, rate=0.4, text_ends=False)
    for name, seed, longest in (("text", 111, 8), ("audio", 1111, 9), ("video", 11111, 7)):
        np.random.seed(seed)
        kept = np.random.uniform(size=(3, longest)) > 0.4
        for i, n in enumerate(lengths[name]):
            assert result[i][name].tolist() == [[float(keep)] * 2 for keep in kept[i, :n]]


def test_tfrnet_keeps_the_ends_of_texts() -> None:
    split = [{"text": np.ones((n, 1)), "audio": np.ones((n, 1))} for n in (1, 2, 6)]
    result = corrupted("tfrnet_drop", split, rate=1.0)
    assert [sample["text"].ravel().tolist() for sample in result] == [[1], [1, 1], [1, 0, 0, 0, 0, 1]]
    assert not any(sample["audio"].any() for sample in result)


def test_the_padding_of_a_release_is_part_of_tfrnets_draw() -> None:
    split = [{"audio": np.ones((3, 1))} for _ in range(2)]
    kept = np.random.RandomState(1111).uniform(size=(2, 50))[:, :3] > 0.5
    result = corrupted("tfrnet_drop", split, rate=0.5, audio_steps=50)
    assert [sample["audio"].ravel().tolist() for sample in result] == kept.astype(float).tolist()


def test_tfrnet_takes_splits_without_samples_and_samples_without_steps() -> None:
    assert corrupted("tfrnet_drop", [], rate=0.5) == []
    split = [{"text": np.ones((0, 2))}, {}, {"text": np.ones((1, 2)), "other": np.ones(3)}]
    result = corrupted("tfrnet_drop", split, rate=1.0)
    assert [sorted(sample) for sample in result] == [["text"], [], ["other", "text"]]
    assert result[0]["text"].shape == (0, 2)
    assert CORRUPTIONS["tfrnet_drop"].scope == "split"


@pytest.mark.parametrize("name", ["tfrnet_drop", "step_drop"])
def test_vectors_have_no_time_steps(name: str) -> None:
    message = "^audio has one vector per sample and no time steps that could be missing$"
    signal = {"audio": np.ones(3)}
    with pytest.raises(Inapplicable, match=message):
        corrupted(name, [signal] if name == "tfrnet_drop" else signal, rate=0.5)


def test_a_width_below_the_longest_sample_is_refused() -> None:
    with pytest.raises(Inapplicable, match=r"^text has 4 time steps, more than text_steps = 3$"):
        corrupted("tfrnet_drop", [{"text": np.ones((4, 1))}], rate=0.5, text_steps=3)


def test_steps_are_dropped_at_the_declared_rate() -> None:
    result = corrupted("step_drop", {"audio": np.full((3000, 2), 7.0), "text": np.ones((9, 1))}, rate=0.3)
    lost = (result["audio"] == 0).all(axis=1)
    assert np.array_equal(lost, (result["audio"] == 0).any(axis=1))
    assert lost.mean() == pytest.approx(0.3, abs=0.042)  # deviation 0.0084; five allowed
    assert result["text"][[0, -1]].ravel().tolist() == [1, 1]


def test_step_drops_depend_only_on_their_sample() -> None:
    together = corrupted("step_drop", FRAMES, rate=0.5, text_ends=False)
    for name, frames in FRAMES.items():
        assert np.array_equal(corrupted("step_drop", {name: frames}, rate=0.5, text_ends=False)[name], together[name])
    only = corrupted("step_drop", FRAMES, rate=1.0, modalities="video")
    assert (only["audio"] is FRAMES["audio"], only["video"].any()) == (True, False)
    assert corrupted("step_drop", {"audio": np.ones((0, 2))}, rate=0.5)["audio"].shape == (0, 2)


@pytest.mark.parametrize("pattern", ["a", "v", "t", "av", "at", "vt", "avt"])
def test_a_pattern_keeps_what_it_names(pattern: str) -> None:
    result = corrupted("modality_pattern", VECTORS, pattern=pattern)
    assert available(result) == pattern
    assert all(result[name] is values for name, values in VECTORS.items() if name[0] in pattern)
    noisy = corrupted("modality_pattern", VECTORS, pattern=pattern, absent="noise", t=50)
    for name, values in VECTORS.items():
        assert (noisy[name] is values) == (name[0] in pattern)
        assert noisy[name].any()
    measured = CORRUPTIONS["modality_pattern"].measure
    expected = {"realised_rate": round(1 - len(pattern) / 3, 6), "available": pattern}
    for after in (result, noisy):
        assert measured(VECTORS, after, {"pattern": pattern}) == expected


def test_noise_in_place_of_a_modality_is_diffusion_noise() -> None:
    result = corrupted("modality_pattern", VECTORS, pattern="a", absent="noise", kind="impulse", t=30)
    rng = generator(2023, "modality_pattern", "sample_00000001")
    parameters = {"kind": "impulse", "schedule": "scaled_linear", "t": 30, "modalities": "video+text"}
    expected = CORRUPTIONS["diffusion_noise"](VECTORS, rng, parameters)
    assert all(np.array_equal(result[name], expected[name]) for name in VECTORS)


def test_a_pattern_of_absent_modalities_is_refused() -> None:
    message = "^pattern 'vt' would leave nothing: the sample has no video or text$"
    with pytest.raises(Inapplicable, match=message):
        corrupted("modality_pattern", {"audio": np.ones(2)}, pattern="vt")
    assert check_parameters("modality_pattern", {"pattern": "l"}) == [
        "pattern: 'l' is not one of a, v, t, av, at, vt, avt or a distribution of such values"
    ]


def test_a_modality_is_absent_always_or_at_a_rate() -> None:
    assert available(corrupted("modality_absence", VECTORS, modality="video")) == "at"
    counts = Counter(
        available(corrupted("modality_absence", VECTORS, str(i), modality="audio", rate=0.25)) for i in range(800)
    )
    assert set(counts) == {"vt", "avt"}
    assert abs(counts["vt"] - 200) < 62  # deviation 12.2; five allowed
    assert corrupted("modality_absence", {"text": VECTORS["text"]}, modality="video")["text"] is VECTORS["text"]
    assert available({**VECTORS, **corrupted("modality_absence", {"text": VECTORS["text"]}, modality="text")}) == "av"


@pytest.mark.parametrize(
    ("after", "rate", "left"),
    [
        ({"audio": np.zeros(2), "video": np.ones(1), "text": np.ones(3)}, 1 / 3, "vt"),
        ({"audio": np.zeros(2), "text": np.zeros(3)}, 1, "none"),
        ({"audio": np.array([[1.0], [0.0], [0.0], [0.0]]), "text": np.ones((2, 2))}, 0.375, "at"),  # (3/4 + 0) / 2
        ({"physiology": np.zeros(2)}, 0, "none"),
        ({}, 0, "none"),
    ],
)
def test_what_is_left_is_measured(after: dict[str, np.ndarray], rate: float, left: str) -> None:
    assert kept_share(after, after) == {"realised_rate": pytest.approx(rate), "available": left}


def test_very_many_samples_are_not_sampled_again_where_chance_cannot_help() -> None:
    rng, other = generator(0, "masks", "many"), generator(0, "masks", "many")
    masks = gcnet_masks(1_000_000, 3, 0.3, rng)
    # whole percents miss 0.3 of three views by more than 0.005; one attempt takes a word a row, and two an entry
    other.advance(7 * 1_000_000)
    assert rng.random_raw() == other.random_raw()
    assert masks.any(axis=1).all() and 0.005 < abs((~masks).mean() - 0.3) < 0.02
