"""Controls of missing modalities around complete systems: what they fill, what they leave alone, what they learn from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn.impute import KNNImputer
from sklearn.linear_model import Ridge

from merbench.corpus.candidates import open_candidates
from merbench.corruptions import Step
from merbench.errors import UsageError
from merbench.training import FeatureSet, Sequences, Setup, TrainingSet, feature_set, load_baseline, training_set
from merbench.training.data import training_candidates
from merbench.training.imputation import How, Imputer, ridge_of
from merbench.training.missing import Draws, frozen
from merbench.training.neighbours import Neighbours
from merbench.training.networks.batches import Data, DrawnCorruption
from merbench.training.networks.scaling import Scaling
from merbench.training.samples import FeatureCorruption
from merbench.training.selection import fit
from merbench.training.wrapping import Wrapper
from tests.training.conftest import SmallTrack

NAMES = ("loud", "quiet")
MODALITIES = {"loud": "audio", "quiet": "video"}
SHORT: dict[str, dict[str, Any]] = {
    "attention": {"hidden": [8], "epochs": 3},
    "misa": {"hidden": 8, "epochs": 2},
    "logistic": {"C": 1.0, "alpha": 1.0},
}
METHODS = ("zero", "mean", "knn", "ridge")


def given(track: Any) -> TrainingSet:
    train = training_set(training_candidates(track), NAMES, missing=True)
    return replace(train, samples=replace(train.samples, modalities=MODALITIES))


def to_answer(track: Any) -> FeatureSet:
    return feature_set(open_candidates(track), NAMES, missing=True)


def without(samples: FeatureSet, name: str, rows: Any) -> FeatureSet:
    """Return samples of which some lack a feature."""
    order = np.arange(len(samples))
    order[rows] = -1
    return replace(samples, sequences={**samples.sequences, name: samples.sequences[name].select(order)})


def fitted(baseline: str, train: TrainingSet, setup: Setup, **options: Any) -> tuple[Any, Any]:
    loaded = load_baseline(baseline)
    chosen = loaded.options("any", options)
    return fit(lambda own: loaded.build(chosen, own), train, setup)


def around(name: str, base: str, train: TrainingSet, setup: Setup, **options: Any) -> tuple[Any, Any]:
    return fitted(name, train, setup, base=base, base_options=SHORT[base], **options)


def equal(first: Any, second: Any) -> bool:
    return all(np.array_equal(values, second.outputs[name]) for name, values in first.outputs.items())


@pytest.mark.parametrize("base", ["attention", "logistic", "misa"])
@pytest.mark.parametrize(
    "how", [("imputation", {"method": name}) for name in METHODS] + [("modality-dropout", {"rate": 0.0})]
)
def test_where_nothing_is_missing_it_is_the_base_bit_for_bit(small_track: SmallTrack, base: str, how: Any) -> None:
    track, setup = small_track(), Setup(seed=3, n_folds=3)
    train, test = given(track), to_answer(track)
    alone, of_alone = fitted(base, train, setup, **SHORT[base])
    ours, of_ours = around(how[0], base, train, setup, **how[1])
    assert equal(alone.predict(test), ours.predict(test))
    assert equal(of_alone.out_of_fold, of_ours.out_of_fold)


def made(n: int = 40, seed: int = 0) -> FeatureSet:
    """Return samples of three features that depend on one another."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n, 3))
    widths = {"audio": 4, "video": 3, "text": 5}
    values = {
        name: (5 + common @ rng.normal(size=(3, d)) + rng.normal(0, 0.3, (n, d))).astype(np.float32)
        for name, d in widths.items()
    }
    return FeatureSet.of_vectors(pa.array([f"s{seed}-{i:02}" for i in range(n)]), values)


def matrix(samples: FeatureSet) -> np.ndarray:
    """Return all numbers of samples, NaN for what they lack."""
    parts = [np.where(part.present[:, None], part.vectors(), np.nan) for part in samples.sequences.values()]
    return np.concatenate(parts, axis=1).astype(np.float64)


def lacking(samples: FeatureSet, rows_by_name: dict[str, Any]) -> FeatureSet:
    for name, rows in rows_by_name.items():
        samples = without(samples, name, rows)
    return samples


TEST_GAPS = {"audio": [0, 1, 2, 7], "video": [2, 3], "text": [5, 7]}


@pytest.mark.parametrize("gaps", [{}, {"audio": range(0, 30, 4), "text": range(1, 30, 5)}])
def test_neighbours_are_those_of_scikit_learn_on_standardised_features(gaps: dict[str, Any]) -> None:
    train, test = lacking(made(), gaps), lacking(made(9, seed=1), TEST_GAPS)
    mean, deviation = np.nanmean(matrix(train), axis=0), np.nanstd(matrix(train), axis=0)
    expected = KNNImputer(n_neighbors=5).fit((matrix(train) - mean) / deviation)
    filled = matrix(Imputer.of(How("knn"), train).filled(test))
    np.testing.assert_allclose(
        filled, expected.transform((matrix(test) - mean) / deviation) * deviation + mean, rtol=1e-5
    )
    given = ~np.isnan(matrix(test))
    np.testing.assert_array_equal(filled[given], matrix(test)[given])


@pytest.mark.parametrize(("k", "share"), [(1, 0.3), (5, 0.3), (5, 0.8), (40, 0.2)])
def test_scattered_numbers_are_filled_as_scikit_learn_does(k: int, share: float) -> None:
    rng = np.random.default_rng(k)
    train, test = rng.normal(size=(90, 7)), rng.normal(size=(20, 7))
    train[rng.random(train.shape) < share], test[rng.random(test.shape) < share] = np.nan, np.nan
    expected = KNNImputer(n_neighbors=k).fit(train).transform(test)
    has, wanted = ~np.isnan(train), ~np.isnan(test)
    filled = Neighbours(np.nan_to_num(train), has, k).filled(np.nan_to_num(test), wanted)
    np.testing.assert_allclose(filled, expected, atol=1e-12)


def test_of_as_many_neighbours_as_samples_the_mean_is_left() -> None:
    train, test = made(), lacking(made(9, seed=1), TEST_GAPS)
    np.testing.assert_allclose(
        matrix(Imputer.of(How("knn", k=40), train).filled(test)),
        matrix(Imputer.of(How("mean"), train).filled(test)),
        rtol=1e-6,
    )


def test_of_standardised_features_zeros_are_means() -> None:
    own = made()
    standardised = {name: (v - v.mean(0)) / v.std(0) for name, v in own.features.items()}
    train = FeatureSet.of_vectors(own.ids, standardised)
    test = lacking(made(9, seed=1), TEST_GAPS)
    zero, mean = (Imputer.of(How(method), train).filled(test) for method in ("zero", "mean"))
    np.testing.assert_allclose(matrix(zero), matrix(mean), atol=1e-6)
    assert (zero.sequences["audio"].vectors()[[0, 1, 2, 7]] == 0).all()


def test_ridge_regression_is_that_of_scikit_learn_with_the_penalty_that_leaving_one_out_selects() -> None:
    rng = np.random.default_rng(0)
    penalties = (0.5, 5.0, 50.0, 500.0)
    for n, p in [(12, 4), (12, 30)]:
        x, y = rng.normal(size=(n, p)), rng.normal(size=(n, 2))
        y[:, 0] += x[:, 0]
        errors = {}
        for penalty in penalties:
            left_out = [
                Ridge(penalty).fit(np.delete(x, i, 0), np.delete(y, i, 0)).predict(x[i : i + 1])[0] for i in range(n)
            ]
            errors[penalty] = float(np.square(np.array(left_out) - y).sum()), np.array(left_out)
        best = min(penalties, key=lambda penalty: errors[penalty][0])
        model = Ridge(best).fit(x, y)
        coefficients, intercept, hat = ridge_of(x, y, penalties)
        np.testing.assert_allclose(coefficients, model.coef_.T, atol=1e-9)
        np.testing.assert_allclose(intercept, model.intercept_, atol=1e-9)
        predicted = x @ coefficients + intercept
        own = (predicted - hat[:, None] * y) / (1 - hat[:, None])
        np.testing.assert_allclose(own, errors[best][1], atol=1e-9)


@pytest.mark.parametrize("method", ["knn", "ridge"])
def test_a_sample_that_is_learned_from_is_filled_by_the_others(method: Any) -> None:
    train = made()
    imputer = Imputer.of(How(method, k=1), train)
    changed = {name: values.copy() for name, values in train.features.items()}
    changed["text"][4] += 50
    other = Imputer.of(How(method, k=1), FeatureSet.of_vectors(train.ids, changed))
    gap = without(train, "text", [4])
    own, of_other = (each.filled(gap).sequences["text"].vectors()[4] for each in (imputer, other))
    # neither its text, nor the moments that it has a part in, show; only the scale of ridge regression does
    np.testing.assert_allclose(own, of_other, rtol=1e-5 if method == "knn" else 0.2)
    stranger = replace(gap, ids=pa.array([f"t{i:02}" for i in range(len(gap))]))
    assert np.abs(other.filled(stranger).sequences["text"].vectors()[4] - of_other).max() > 1


@pytest.mark.parametrize("method", METHODS)
def test_what_no_sample_has_is_filled_and_finite(method: Any) -> None:
    train = without(made(), "text", range(40))
    test = lacking(made(3, seed=1), {"text": [0, 1, 2], "audio": [1], "video": [1]})
    filled = Imputer.of(How(method), train).filled(test)
    assert all(part.present.all() and np.isfinite(part.vectors()).all() for part in filled.sequences.values())
    assert (filled.sequences["text"].vectors() == 0).all()
    single = Imputer.of(How(method), made(1)).filled(lacking(made(2, seed=1), {"audio": [0], "text": [1]}))
    assert np.isfinite(matrix(single)).all()


def test_a_filled_sequence_has_one_row() -> None:
    values = np.arange(12, dtype=np.float32).reshape(6, 2)
    part = Sequences(values, np.array([0, 2, 0]), np.array([2, 4, 0]))
    samples = FeatureSet(pa.array(["a", "b", "c"]), {"audio": part})
    filled = Imputer.of(How("mean"), samples, rows=True).filled(samples, rows=True).sequences["audio"]
    assert filled.lengths.tolist() == [2, 4, 1]
    np.testing.assert_array_equal(filled.of(2), [[5, 6]])  # the mean of 0 2 … 10, and of 1 3 … 11, over all rows
    np.testing.assert_array_equal(filled.of(1), values[2:])


def gcnet(rate: float = 0.5, **more: Any) -> FeatureCorruption:
    modalities = {"audio": "audio", "video": "video", "text": "text", **MODALITIES}
    return FeatureCorruption((Step("gcnet_missing", {"rate": rate}),), 1, modalities, per_epoch=True, **more)


@pytest.mark.parametrize("method", METHODS)
def test_what_an_epoch_removes_is_filled_in_that_epoch(method: Any) -> None:
    train = made()
    imputer = Imputer.of(How(method), train)
    rows, lengths = np.arange(40), dict.fromkeys(train.widths, np.ones(40, dtype=np.int64))
    moments = {name: part.moments() for name, part in train.sequences.items()}
    plain, filled = Draws(gcnet(), train), Draws(gcnet(filling=imputer), train)
    for epoch in (0, 1, 2):
        values = {n: ((train.features[n] - m) / d).astype(np.float32) for n, (m, d) in moments.items()}
        _, left = plain.corrupted(epoch, rows, {n: v.copy() for n, v in values.items()}, lengths)
        after, every = filled.corrupted(epoch, rows, {n: v.copy() for n, v in values.items()}, lengths)
        expected = imputer.filled(lacking(train, {name: np.flatnonzero(own == 0) for name, own in left.items()}))
        for name, (mean, deviation) in moments.items():
            assert (every[name] == 1).all() and (left[name] == 0).any()
            np.testing.assert_allclose(
                after[name] * deviation + mean, expected.sequences[name].vectors(), rtol=1e-4, atol=1e-4
            )


@pytest.mark.parametrize("base", ["attention", "logistic"])
@pytest.mark.parametrize("method", METHODS)
def test_it_learns_from_incomplete_samples_and_is_stored(small_track: SmallTrack, base: str, method: str) -> None:
    track, setup = small_track(), Setup(seed=1, n_folds=2)
    train, test = given(track), without(to_answer(track), "loud", range(0, 30, 2))
    train = replace(train, samples=without(train.samples, "quiet", range(0, 60, 3)), corruption=gcnet())
    if base == "logistic":
        train = replace(train, corruption=replace(gcnet(), per_epoch=False, absent=True))
    ours, result = around("imputation", base, train, setup, method=method)
    predicted = ours.predict(test)
    assert np.isfinite(predicted.outputs["valence"]).all() and len(result.out_of_fold.outputs["valence"]) == 60
    loaded = load_baseline("imputation")
    restored: Any = loaded.build(
        loaded.options("any", {"base": base, "base_options": SHORT[base], "method": method}), setup
    )
    restored.restore(ours.weights(), track, test.widths)
    assert equal(predicted, restored.predict(test))
    with pytest.raises(UsageError, match="weights are those of another imputation"):
        restored.restore({name: v for name, v in ours.weights().items() if "means" not in name}, track, test.widths)


def test_what_fills_a_fold_was_learned_from_this_fold(small_track: SmallTrack) -> None:
    track, setup = small_track(), Setup(seed=1, n_folds=2)
    train = given(track)
    train = replace(train, samples=without(train.samples, "quiet", range(0, 60, 3)))
    ours, _ = around("imputation", "attention", train, setup, method="knn")
    for division, imputer in zip(train.divisions(2, 1), ours.built.imputers, strict=True):
        assert imputer.ids.to_pylist() == train.samples.ids.take(pa.array(division.learn)).to_pylist()


class Stop(Exception):
    """What ends a training before the base is trained; its argument is what the base would learn from."""


def given_to_base(name: str, train: TrainingSet, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Any:
    """Return a wrapper around attention, and what the base learns from in every division."""

    def stop(self: Wrapper, parts: Any) -> None:
        raise Stop(self, parts)

    monkeypatch.setattr(Wrapper, "trained", stop)
    loaded = load_baseline(name)
    chosen = loaded.options("any", {"base": "attention", "base_options": SHORT["attention"], **options})
    with pytest.raises(Stop) as stopped:
        loaded.build(chosen, Setup(seed=1, n_folds=2)).built.fit_folds(train)
    return stopped.value.args


@pytest.mark.parametrize(
    "how", [("imputation", {"method": name}) for name in METHODS] + [("modality-dropout", {"rate": 0.5})]
)
def test_what_fills_depends_only_on_what_corruption_leaves(
    small_track: SmallTrack, monkeypatch: pytest.MonkeyPatch, how: Any
) -> None:
    # a third of the samples lacks video; their audio, which would predict it, is removed from half of them
    train = given(small_track())
    removing = replace(gcnet(), steps=(Step("modality_absence", {"modality": "audio", "rate": 0.5}),))
    train = replace(train, samples=without(train.samples, "quiet", range(0, 60, 3)), corruption=removing)
    ours, parts = given_to_base(how[0], train, monkeypatch, **how[1])
    for part, imputer in zip(parts, ours.imputers, strict=True):
        samples = train.samples.select(
            np.flatnonzero(np.isin(train.samples.ids.to_pylist(), part.samples.ids.to_pylist()))
        )
        every, moments = (
            torch.arange(len(part)),
            Scaling.of(samples, "vectors", [part.learned]).each(lambda own: own[0]),
        )
        plain = replace(part.corruption, filling=None)
        for epoch in (0, 1):
            left, batch = (
                Data(own).corrupted(DrawnCorruption(Draws(drawn, own))).batch(every, moments, epoch)
                for own, drawn in ((samples, plain), (part.samples, part.corruption))
            )
            gaps = {name: np.flatnonzero(~mask.numpy()) for name, mask in left.present.items()}
            assert len(set(gaps["loud"]) & set(gaps["quiet"])) > 3
            expected = imputer.filled(lacking(samples, gaps)).features
            for name, values in batch.inputs.items():
                assert batch.present[name].all()
                np.testing.assert_allclose(moments.undo(name, values.clone()), expected[name], rtol=1e-4, atol=1e-4)
                # what a sample lacks itself is not what corruption removed
                assert not (batch.removed(name).numpy() & ~samples.sequences[name].present).any()
            if not epoch:
                once = frozen(replace(part, corruption=replace(part.corruption, per_epoch=False, learned=())))
                for name, vectors in once.features.items():
                    np.testing.assert_allclose(vectors, expected[name], rtol=1e-4, atol=1e-4)


def test_a_sequence_that_is_filled_in_training_is_one_row(small_track: SmallTrack) -> None:
    rng = np.random.default_rng(0)
    lengths = np.array([3, 0, 2, 4])  # the second sample lacks audio itself
    part = Sequences(rng.normal(5, 2, (9, 2)).astype(np.float32), np.array([0, 0, 3, 5]), lengths)
    samples = FeatureSet(pa.array(list("abcd")), {"audio": part}, modalities={"audio": "audio"})
    removing = gcnet(filling=Imputer.of(How("zero"), samples, rows=True))
    removing = replace(removing, steps=(Step("modality_absence", {"modality": "audio", "rate": 0.5}),))
    moments = Scaling.of(samples, "sequences", [np.arange(4)]).each(lambda own: own[0])
    data = Data(samples, "sequences").corrupted(DrawnCorruption(Draws(removing, samples)))
    every = [data.batch(torch.arange(4), moments, epoch) for epoch in range(9)]
    assert {int(batch.lengths["audio"][0]) for batch in every} == {1, 3}
    for epoch, batch in enumerate(every):
        assert batch.present["audio"].all() and batch.lengths["audio"][1] == 1
        values = moments.undo("audio", batch.inputs["audio"].clone())
        np.testing.assert_allclose(values[1, 0], 0, atol=1e-5)
        assert not batch.removed("audio")[1].any() and batch.complete_lengths["audio"][1] == 1
        assert epoch == 0 or batch.complete_lengths["audio"].tolist() == [3, 1, 2, 4]
    once = frozen(replace(given(small_track()), samples=samples, corruption=replace(removing, per_epoch=False)))
    assert once.samples.sequences["audio"].lengths.tolist() == every[0].lengths["audio"].tolist()
    for row, n in enumerate(once.samples.sequences["audio"].lengths.tolist()):
        wanted = part.of(row) if n > 1 else np.zeros((1, 2))
        np.testing.assert_allclose(once.samples.sequences["audio"].of(row), wanted, atol=1e-5)


def test_dropout_is_for_what_is_learned_from_and_leaves_one_modality(small_track: SmallTrack) -> None:
    module = load_baseline("modality-dropout").module
    ours = (
        load_baseline("modality-dropout").build({"base": "attention", "base_options": {}, "rate": 0.5}, Setup()).built
    )
    assert type(ours).__name__ == module.ModalityDropoutOfFolds.__name__
    n = 4000
    samples = replace(made(n), modalities={name: name for name in ("audio", "video", "text")})
    train = replace(given(small_track()), samples=samples)
    draws = Draws(ours.as_learned(train).corruption, samples)
    ones, lengths = (
        {name: np.ones((n, d)) for name, d in samples.widths.items()},
        dict.fromkeys(samples.widths, np.ones(n)),
    )

    def kept(epoch: int) -> np.ndarray:
        _, left = draws.corrupted(epoch, np.arange(n), {name: v.copy() for name, v in ones.items()}, lengths)
        return np.stack([own > 0 for own in left.values()])

    assert kept(0).all() and kept(1).any(axis=0).all() and (kept(1) != kept(2)).any()
    # of the 7 patterns that leave one modality, all as probable: 3 modalities missing in 12 of 21 places … 9 of 21
    assert abs(kept(1).mean() - 12 / 21) < 0.02


@pytest.mark.parametrize("base", ["attention", "logistic"])
def test_dropout_changes_training_and_answers_what_lacks_modalities(small_track: SmallTrack, base: str) -> None:
    track, setup = small_track(), Setup(seed=1, n_folds=2)
    train, test = given(track), to_answer(track)
    alone, _ = fitted(base, train, setup, **SHORT[base])
    ours, _ = around("modality-dropout", base, train, setup, rate=0.6)
    assert not equal(alone.predict(test), ours.predict(test))
    gap = without(test, "loud", range(30))
    means = Imputer.of(How("mean"), train.samples).filled(gap)
    for name, values in ours.predict(means).outputs.items():
        np.testing.assert_allclose(ours.predict(gap).outputs[name], values, atol=1e-5)
    loaded = load_baseline("modality-dropout")
    restored: Any = loaded.build(loaded.options("any", {"base": base, "base_options": SHORT[base]}), setup)
    restored.restore(ours.weights(), track, test.widths)
    assert equal(ours.predict(gap), restored.predict(gap))


def test_one_modality_alone_is_never_dropped(small_track: SmallTrack) -> None:
    track, setup = small_track(), Setup(seed=1, n_folds=2)
    train = training_set(training_candidates(track), ["loud"], missing=True)
    train = replace(train, samples=replace(train.samples, modalities=MODALITIES))
    test = feature_set(open_candidates(track), ["loud"])
    ours, _ = around("modality-dropout", "attention", train, setup, rate=0.9)
    alone, _ = fitted("attention", train, setup, **SHORT["attention"])
    # standardised by the fold where something may be dropped, which changes last bits
    for name, values in alone.predict(test).outputs.items():
        np.testing.assert_allclose(ours.predict(test).outputs[name], values, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "imputation",
            {"base": "mult", "method": "knn"},
            "base 'mult' reads sequences, and method 'knn' fills vectors",
        ),
        ("imputation", {"base": "pseudo-label"}, "is itself around another baseline, or learns from unlabelled"),
        ("imputation", {"base": "imputation"}, "is itself around another baseline"),
        ("modality-dropout", {"base": "majority"}, "reads something else than features; those that can be: "),
        ("imputation", {"method": "knnn"}, "did you mean 'knn'"),
        ("imputation", {"penalties": [0.0]}, "numbers above 0"),
        ("modality-dropout", {"rate": 1.0}, r"1.0 is not a number in \[0, 0.99\]"),
    ],
)
def test_options_that_do_not_fit(name: str, options: dict[str, Any], message: str) -> None:
    loaded = load_baseline(name)
    with pytest.raises(Exception, match=message):
        loaded.build(loaded.options("any", options), Setup())
