"""Training features that lack modalities or steps, or are noisy: masks of every epoch, of any batch, and frozen ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor, nn

from merbench.corpus.candidates import open_candidates
from merbench.corruptions import CORRUPTIONS, Step, generator
from merbench.corruptions.missing import gcnet_masks
from merbench.errors import UsageError
from merbench.track import CorruptionSpec, Track
from merbench.training import FeatureSet, Sequences, Setup, TrainingSet, feature_set, training_set
from merbench.training.missing import Draws, frozen
from merbench.training.missing import corrupted as corrupted_once
from merbench.training.networks.batches import Batch, Data, DrawnCorruption
from merbench.training.networks.network import NetworkBaseline, Shape
from merbench.training.networks.optimisation import Schedule
from merbench.training.samples import FeatureCorruption
from tests.training.conftest import SmallTrack

N = 40
MODALITIES = {"audio": "audio", "audio.other": "audio", "text": "text", "video": "video"}
WIDTHS = {"audio": 3, "audio.other": 2, "text": 4, "video": 2}


def corruption(*steps: tuple[str, dict[str, Any]]) -> FeatureCorruption:
    own = tuple(Step(name, parameters, f"{name}-{i}") for i, (name, parameters) in enumerate(steps))
    return FeatureCorruption(own, seed=2023, modalities=MODALITIES)


def vectors(n: int = N) -> FeatureSet:
    rng = np.random.default_rng(1)
    ids = pa.array([f"s{i:02}" for i in range(n)])
    return FeatureSet.of_vectors(ids, {name: rng.normal(size=(n, d)).astype(np.float32) for name, d in WIDTHS.items()})


def frames(n: int = N) -> FeatureSet:
    rng = np.random.default_rng(1)
    lengths = rng.integers(2, 6, n)
    starts = np.cumsum(lengths) - lengths
    values = {name: rng.normal(size=(lengths.sum(), d)).astype(np.float32) for name, d in WIDTHS.items()}
    ids = pa.array([f"s{i:02}" for i in range(n)])
    return FeatureSet(ids, {name: Sequences(part, starts, lengths) for name, part in values.items()})


def batch(samples: FeatureSet, rows: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return vectors, or sequences with other numbers in their padding, as a network has them before masks."""
    lengths = {name: part.lengths[rows] for name, part in samples.sequences.items()}
    longest = max(int(part.max()) for part in lengths.values())
    if longest == 1:
        return {name: part.vectors()[rows].copy() for name, part in samples.sequences.items()}, lengths
    values = {name: np.full((len(rows), longest, d), 9, np.float32) for name, d in WIDTHS.items()}
    for name, part in samples.sequences.items():
        for place, row in enumerate(rows):
            values[name][place, : part.lengths[row]] = part.of(row)
    return values, lengths


def corrupted(draws: Draws, samples: FeatureSet, epoch: int, rows: np.ndarray | None = None) -> Any:
    rows = np.arange(len(samples)) if rows is None else rows
    return draws.corrupted(epoch, rows, *batch(samples, rows))


@pytest.mark.parametrize("make", [vectors, frames])
def test_masks_of_epoch_0_are_those_of_a_test_set(make: Any) -> None:
    samples = make()
    draws = Draws(corruption(("gcnet_missing", {"rate": 0.5})), samples, seed=7)
    clean, _ = batch(samples, np.arange(N))
    values, lengths = corrupted(draws, samples, 0)
    for row in range(N):
        audio, text, video = gcnet_masks(1, 3, 0.5, generator(2023, "gcnet_missing-0", f"s{row:02}"))[0]
        kept = {"audio": audio, "audio.other": audio, "text": text, "video": video}
        for name, is_kept in kept.items():
            assert np.array_equal(values[name][row], clean[name][row] if is_kept else 0 * clean[name][row])
            assert lengths[name][row] == (samples.sequences[name].lengths[row] if is_kept else 0)


@pytest.mark.parametrize(
    ("make", "step"),
    [
        (vectors, ("gcnet_missing", {"rate": {"uniform": [0, 0.7]}})),
        (vectors, ("gaussian_noise_features", {"snr_db": 5})),
        (vectors, ("modality_pattern", {"pattern": "v", "absent": "noise"})),
        (frames, ("step_drop", {"rate": 0.5})),
        (frames, ("imbalanced_missing", {"audio": 0.2, "text": 0.7})),
    ],
)
def test_draws_depend_on_sample_epoch_and_seed_and_not_on_the_batch(make: Any, step: Any) -> None:
    samples = make()
    every = {
        (epoch, seed): corrupted(Draws(corruption(step), samples, seed), samples, epoch)
        for epoch, seed in [(1, 0), (2, 0), (1, 1), (0, 0), (0, 1)]
    }

    def differ(one: tuple[int, int], other: tuple[int, int]) -> bool:
        return any(not np.array_equal(every[one][0][name], every[other][0][name]) for name in WIDTHS)

    assert differ((1, 0), (2, 0)) and differ((1, 0), (1, 1)) and differ((0, 0), (1, 0))
    assert not differ((0, 0), (0, 1))  # those of the samples that an epoch is selected on are frozen
    rows = np.array([31, 4, 17, 4])
    draws = Draws(corruption(step), samples, 0)
    corrupted(draws, samples, 3)
    values, lengths = corrupted(draws, samples, 1, rows)
    for name in WIDTHS:
        if values[name].ndim == 2:
            np.testing.assert_array_equal(values[name], every[1, 0][0][name][rows])
        else:
            np.testing.assert_array_equal(values[name][:2, :2], every[1, 0][0][name][rows][:2, :2])
        np.testing.assert_array_equal(lengths[name], every[1, 0][1][name][rows])
    # samples of a subset keep their draws
    part = samples.select(np.arange(10, 20))
    own, _ = corrupted(Draws(corruption(step), part, 0), part, 1)
    width = own["text"].shape[1]
    np.testing.assert_array_equal(own["text"][:, :2], every[1, 0][0]["text"][10:20][:, : min(2, width)])


def test_steps_of_a_sequence_are_dropped_as_for_a_sample_alone_and_padding_does_not_count() -> None:
    samples = frames()
    values, lengths = corrupted(Draws(corruption(("step_drop", {"rate": 0.8})), samples), samples, 0)
    known = CORRUPTIONS["step_drop"]
    for row in range(N):
        signal = {name: samples.sequences[name].of(row).astype(np.float64) for name in ("audio", "text", "video")}
        after = known(signal, generator(2023, "step_drop-0", f"s{row:02}"), {"rate": 0.8})
        for name, wanted in after.items():
            np.testing.assert_array_equal(values[name][row, : len(wanted)], wanted.astype(np.float32))
            assert lengths[name][row] == (len(wanted) if wanted.any() else 0)
    assert (lengths["audio"] == 0).any() and (values["audio"] == 9).any()


def test_one_mask_for_all_samples_is_that_of_the_whole_training_set() -> None:
    samples = frames()
    draws = Draws(corruption(("tfrnet_drop", {"rate": 0.5})), samples)
    lengths = samples.sequences["video"].lengths
    # the release's own draw: one matrix for the whole split, padding included
    kept = np.random.RandomState(11111).uniform(size=(N, lengths.max())) > 0.5
    rows = np.array([5, 0])
    for epoch in (0, 4):
        values, _ = corrupted(draws, samples, epoch, rows)
        for place, row in enumerate(rows.tolist()):
            wanted = samples.sequences["video"].of(row) * kept[row, : lengths[row], None]
            np.testing.assert_array_equal(values["video"][place, : lengths[row]], wanted)


def test_what_a_sample_lacks_takes_no_part() -> None:
    samples = vectors()
    part = samples.sequences["text"].select(np.where(np.arange(N) % 2, np.arange(N), -1))
    samples = FeatureSet(samples.ids, {**samples.sequences, "text": part})
    draws = Draws(corruption(("gcnet_missing", {"rate": 0.5})), samples)
    _, lengths = corrupted(draws, samples, 0)
    for row in range(0, N, 2):  # two views: audio, video
        audio, video = gcnet_masks(1, 2, 0.5, generator(2023, "gcnet_missing-0", f"s{row:02}"))[0]
        assert (lengths["audio"][row], lengths["text"][row], lengths["video"][row]) == (audio, 0, video)


@pytest.mark.parametrize(
    ("make", "step", "message"),
    [
        (vectors, ("step_drop", {"rate": 0.5}), "training corruption step_drop-0: .* has one vector per sample"),
        (vectors, ("tfrnet_drop", {"rate": 0.5}), "training corruption tfrnet_drop-0: .* has one vector per sample"),
        (
            vectors,
            ("imbalanced_missing", {"audio": 1, "text": 1, "video": 1}),
            "training corruption imbalanced_missing-0: a rate of 1 for audio and text and video would leave nothing",
        ),
    ],
)
def test_a_step_that_fits_no_sample_is_an_error(make: Any, step: Any, message: str) -> None:
    samples = make()
    with pytest.raises(UsageError, match=message):
        corrupted(Draws(corruption(step), samples), samples, 1)


def test_features_without_a_modality_are_an_error() -> None:
    samples = FeatureSet.of_vectors(pa.array(["a"]), {"loud": np.ones((1, 2), np.float32)})
    with pytest.raises(UsageError, match="no feature has a known modality: loud; its name begins with audio"):
        Draws(corruption(("gcnet_missing", {"rate": 0.5})), samples)


class Probe(nn.Module):
    """A network that stores what it is given, by whether it is in training."""

    def __init__(self, shape: Shape, seen: dict[bool, list[Batch]]) -> None:
        super().__init__()
        self.seen, self.layer = seen, nn.Linear(sum(shape.widths.values()), 3)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        inputs = {name: values.clone() for name, values in batch.inputs.items()}
        complete = {name: values.clone() for name, values in batch.complete.items()}
        own = Batch(inputs, batch.lengths, batch.present, batch.samples, epoch=batch.epoch, complete=complete)
        self.seen[self.training].append(own)
        scores = self.layer(torch.cat(list(batch.inputs.values()), -1))
        return {"discrete": scores, "valence": scores[..., 0]}


def declared(track: Track, *steps: dict[str, Any]) -> Track:
    """Return a track with corruptions in its `[training]`."""
    corruptions = tuple(CorruptionSpec.model_validate(step) for step in steps)
    return track.model_copy(update={"training": track.training.model_copy(update={"corruptions": corruptions})})


def probed(train: TrainingSet, test: FeatureSet, *, standardise: bool) -> tuple[list[Batch], list[Batch], list[Batch]]:
    """Return what a network is given in training, in selection, and to predict."""
    seen: dict[bool, list[Batch]] = {True: [], False: []}
    schedule = Schedule(epochs=2, batch_size=16, learning_rate=0.01)
    baseline = NetworkBaseline(lambda shape: Probe(shape, seen), schedule, Setup(n_folds=3), standardise=standardise)
    baseline.fit(train)
    selected = seen[False][:]
    baseline.predict(test)
    return seen[True], selected, seen[False][len(selected) :]


def small(small_track: SmallTrack, *steps: dict[str, Any]) -> tuple[TrainingSet, FeatureSet]:
    """Return the samples of the small track; `loud` is of the modality audio, `quiet` is text."""
    track = declared(small_track(), *steps)
    train = training_set(open_candidates(track, "train"), ["loud", "quiet"])
    assert train.corruption is not None
    modalities = {"loud": "audio", "quiet": "text"}
    corruption = FeatureCorruption(train.corruption.steps, train.corruption.seed, modalities)
    return replace(train, corruption=corruption), feature_set(open_candidates(track), ["loud", "quiet"])


def test_a_network_lacks_modalities_in_training_and_selection_and_not_when_it_predicts(
    small_track: SmallTrack,
) -> None:
    train, test = small(small_track, {"name": "gcnet_missing", "rate": 0.5})
    trained, selected, predicted = probed(train, test, standardise=True)
    epochs = [{}, {}]
    for n, batch in enumerate(trained):
        for name in ("loud", "quiet"):
            missing = ~batch.present[name]
            assert not batch.inputs[name][missing].any() and batch.inputs[name][~missing].any(dim=1).all()
        epochs[n >= len(trained) // 2] |= dict(zip(batch.samples.tolist(), batch.present["loud"].tolist(), strict=True))
    assert epochs[0] != epochs[1]
    both = [batch.present["loud"] | batch.present["quiet"] for batch in trained]
    assert all(each.all() for each in both)  # one is always left
    frozen_masks = [batch.present["loud"].tolist() for batch in selected]
    half = len(selected) // 2
    assert frozen_masks[:half] == frozen_masks[half:]
    assert not all(all(masks) for masks in frozen_masks)
    assert all(batch.present[name].all() for batch in predicted for name in ("loud", "quiet"))


def test_in_training_a_network_sees_what_was_removed_and_never_elsewhere(small_track: SmallTrack) -> None:
    train, test = small(small_track, {"name": "gcnet_missing", "rate": 0.5})
    trained, selected, predicted = probed(train, test, standardise=True)
    divisions, n_steps = train.divisions(3, 0), len(trained) // (2 * 3)  # two epochs; the folds take turns
    for n, batch in enumerate(trained):
        learned = divisions[n // n_steps % 3].learn
        for name in ("loud", "quiet"):
            values = train.features[name].astype(np.float64)
            mean, deviation = values[learned].mean(axis=0), values[learned].std(axis=0)
            standardised = (values[batch.samples.numpy()] - mean) / deviation
            np.testing.assert_allclose(batch.complete[name].numpy(), standardised, atol=1e-5)
            assert batch.removed(name).equal(~batch.present[name])
    for batch in (*selected, *predicted):
        for name in ("loud", "quiet"):
            assert batch.complete[name].equal(batch.inputs[name]) and not batch.removed(name).any()


def test_in_training_a_network_knows_how_long_a_removed_sequence_was() -> None:
    samples = frames(3)
    lengths = samples.sequences["audio"].lengths.tolist()
    draws = Draws(corruption(("imbalanced_missing", {"audio": 1.0})), samples)
    data = Data(samples, "sequences").corrupted(DrawnCorruption(draws))
    for epoch in (1, 0):
        batch = data.batch(torch.arange(3), epoch=epoch)
        assert batch.lengths["audio"].tolist() == [0, 0, 0] and batch.lengths["text"].tolist() == lengths
        assert batch.complete_lengths["audio"].tolist() == (lengths if epoch else [0, 0, 0])
        assert bool(batch.complete["audio"].any()) == bool(epoch)


def test_without_standardisation_a_missing_modality_is_the_mean_of_what_the_fold_learns_from(
    small_track: SmallTrack,
) -> None:
    train, test = small(small_track, {"name": "imbalanced_missing", "audio": 1.0})
    trained, selected, predicted = probed(train, test, standardise=False)
    loud, quiet = train.features["loud"].astype(np.float64), train.features["quiet"]
    divisions = train.divisions(3, 0)
    n_steps = len(trained) // (2 * 3)  # two epochs; the folds take turns
    for n, batch in enumerate(trained):
        learned = divisions[n // n_steps % 3].learn
        assert np.isin(batch.samples.numpy(), learned).all()
        wanted = np.tile(loud[learned].mean(axis=0), (len(batch.samples), 1))
        np.testing.assert_allclose(batch.inputs["loud"].numpy(), wanted, atol=1e-6)
    for batch in selected:
        (division,) = [each for each in divisions if np.isin(batch.samples.numpy(), each.validate).all()]
        wanted = np.tile(loud[division.learn].mean(axis=0), (len(batch.samples), 1))
        np.testing.assert_allclose(batch.inputs["loud"].numpy(), wanted, atol=1e-6)
    for batch in [*trained, *selected]:
        np.testing.assert_allclose(batch.inputs["quiet"].numpy(), quiet[batch.samples.numpy()], atol=1e-6)
        assert batch.present["loud"].all()
    given = np.concatenate([batch.inputs["loud"].numpy() for batch in predicted[:1]])
    np.testing.assert_array_equal(given, test.features["loud"])


def test_a_baseline_that_draws_nothing_is_given_features_that_are_corrupted_once(small_track: SmallTrack) -> None:
    train, _ = small(small_track, {"name": "gcnet_missing", "rate": 0.5})
    once = frozen(train)
    assert once.corruption is None and frozen(once) is once
    mean = train.features["loud"].mean(axis=0, dtype=np.float64)
    for row, name in enumerate(train.samples.ids.to_pylist()):
        audio, text = gcnet_masks(1, 2, 0.5, generator(train.track.seed, "gcnet_missing", name))[0]
        wanted = train.features["loud"][row] if audio else mean
        np.testing.assert_allclose(once.features["loud"][row], wanted, atol=1e-6)
        assert text or not np.allclose(once.features["quiet"][row], train.features["quiet"][row])


def test_features_are_not_corrupted_once_for_several_models(small_track: SmallTrack) -> None:
    train, _ = small(small_track, {"name": "gcnet_missing", "rate": 0.5})
    with pytest.raises(UsageError, match=r"declare corrupts_per_epoch = true in baseline.toml"):
        frozen(train, of_folds=True)
    per_epoch = replace(train, corruption=replace(train.corruption, per_epoch=True))
    assert frozen(per_epoch, of_folds=True) is per_epoch
    development = np.arange(len(train)) % 3 == 0
    assert frozen(replace(train, selection="dev", development=development), of_folds=True).corruption is None


def moments_of(samples: FeatureSet, rows: np.ndarray) -> dict[str, Any]:
    return {name: part.select(rows).moments() for name, part in samples.sequences.items()}


@pytest.mark.parametrize("absent", [False, True])
def test_sequences_that_are_corrupted_once_lack_steps_and_keep_what_is_not_changed(absent: bool) -> None:
    samples = frames()
    own = replace(corruption(("step_drop", {"rate": 0.8})), absent=absent)
    of_row = np.arange(N) % 2
    moments = [moments_of(samples, np.arange(10)), moments_of(samples, np.arange(10, N))]
    once = corrupted_once(Draws(own, samples), samples, moments, of_row)
    known, lacking = CORRUPTIONS["step_drop"], 0
    for row in range(N):
        signal = {name: np.ones((samples.sequences[name].lengths[row], 1)) for name in ("audio", "text", "video")}
        kept = known(signal, generator(2023, "step_drop-0", f"s{row:02}"), {"rate": 0.8})
        for name, mask in kept.items():
            before, after = samples.sequences[name].of(row), once.sequences[name].of(row)
            if absent and not mask.any():
                lacking += 1
                assert len(after) == 0
                continue
            np.testing.assert_array_equal(after[mask[:, 0] == 1], before[mask[:, 0] == 1])
            mean = samples.sequences[name].select(np.arange(10) if of_row[row] == 0 else np.arange(10, N)).moments()[0]
            dropped = after[mask[:, 0] == 0]
            np.testing.assert_allclose(dropped, np.tile(mean, (len(dropped), 1)), atol=1e-6)
    assert bool(lacking) == absent


def test_equal_samples_are_not_taken_for_samples_of_which_nothing_is_left() -> None:
    samples = FeatureSet.of_vectors(pa.array(["a", "b"]), {"audio": np.ones((2, 3), np.float32)})
    own = replace(corruption(("modality_absence", {"modality": "audio", "rate": 0.0})), absent=True)
    once = corrupted_once(Draws(own, samples), samples, [moments_of(samples, np.arange(2))])
    assert once.sequences["audio"].present.all()
