from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from merbench.corpus.candidates import open_candidates
from merbench.errors import UsageError
from merbench.track import Track
from merbench.training import Setup, load_baseline, training_set
from merbench.training.needs import require_answers
from merbench.training.networks.batches import Batch
from tests.baselines.networks import batch_of, network_of
from tests.training.conftest import DECLARATION, SmallTrack

WIDTHS = {"audio": 5, "text": 3}
LABELS = {"discrete": 3, "valence": None, "arousal": None}
VALENCE = torch.tensor([1.5, -2.0, 0.0, 0.5, -1.0, 3.0])
AROUSAL = torch.tensor([-1.0, 1.0, 1.0, -1.0, 0.5, torch.nan])
SMALL = {"hidden": 8, "batch_size": 8}


def training_batch(epoch: int, samples: Tensor | None = None) -> Batch:
    batch = batch_of(WIDTHS)
    rows = batch.samples if samples is None else samples
    targets = {"discrete": torch.zeros(6, dtype=torch.int64), "valence": VALENCE, "arousal": AROUSAL}
    return replace(batch, samples=rows, targets=targets, epoch=epoch)


def remembering(learned: tuple[int, ...] = (0, 1, 2, 3, 4, 5), **options: Any) -> Any:
    network = network_of("self-mm", WIDTHS, LABELS, **{**SMALL, **options})
    network.remember(6, training_batch(1).targets, torch.tensor(learned))
    return network


def test_in_the_first_epoch_no_unimodal_label_counts() -> None:
    network = remembering()
    outputs, losses = network(training_batch(1))
    assert {name: tuple(x.shape) for name, x in outputs.items()} == {
        "discrete": (6, 3),
        "valence": (6,),
        "arousal": (6,),
    }
    assert {name: loss.item() for name, loss in losses.items()} == {"unimodal": 0.0}
    assert torch.equal(network.remembered.unimodal[:, 0], VALENCE.expand(2, -1))
    encodings = [layer(x) for layer, x in zip(network.encoders, training_batch(1).inputs.values(), strict=True)]
    features = [network.all.features(torch.cat(encodings, -1))]
    features += [branch.features(x) for branch, x in zip(network.single, encodings, strict=True)]
    torch.testing.assert_close(network.remembered.features, torch.stack(features))
    network(training_batch(2))
    moved = (network.remembered.unimodal - network.remembered.multimodal).abs()
    assert (moved[:, 0] > 0).any(1).all()
    assert network(training_batch(3))[1]["unimodal"].item() > 0
    shown = network.diagnostics(batch_of(WIDTHS))
    assert list(shown) == ["label_change.audio", "label_change.text"] and min(shown.values()) > 0


def test_without_updates_it_is_the_absolute_error_of_every_branch() -> None:
    network = remembering(updates=False, weighted=False)
    for epoch in (1, 2):
        loss = network(training_batch(epoch))[1]["unimodal"]
        expected = 0.0
        for branch, encoder, x in zip(
            network.single, network.encoders, training_batch(epoch).inputs.values(), strict=True
        ):
            answers = branch(encoder(x))[1]
            expected += (answers["valence"] - VALENCE).abs().mean().item()
            expected += (answers["arousal"] - AROUSAL)[:5].abs().mean().item()  # the last one is not known
        assert loss.item() == pytest.approx(expected, rel=1e-5)


def by_hand(labels: list[float]) -> Any:
    """Return a network of one feature and target that has remembered the features (±1, 0) by the sign of the label."""
    network = network_of("self-mm", {"text": 3}, {"valence": None}, hidden=2)
    values = torch.tensor(labels)
    network.remember(len(labels), {"valence": values}, torch.arange(len(labels)))
    network.remembered.features[:, :, 0] = values.sign()
    return network


def test_a_label_moves_as_worked_out_by_hand() -> None:
    network = by_hand([3.0, -2.0, 1.2, 0.0])
    now = torch.tensor([[[0.5, 0.0]], [[0.0, 1.0]]])  # of all modalities, of the only one
    network.update(now, torch.tensor([2]), 2)
    # shifts 2 and 0: new = (0 · 1.2 + 1.2 + 0 - 2) / 2 = -0.4; 1/3 · 1.2 + 2/3 · -0.4 = 0.13333
    assert network.remembered.unimodal[0, 0].tolist() == pytest.approx([3.0, -2.0, 0.4 / 3, 0.0], abs=1e-6)
    network.update(now, torch.tensor([2]), 3)
    # 2/4 · 0.13333 + 2/4 · -0.4 = -0.13333
    assert network.remembered.unimodal[0, 0, 2].item() == pytest.approx(-0.4 / 3, abs=1e-6)
    assert network.remembered.multimodal[0].tolist() == pytest.approx([3.0, -2.0, 1.2, 0.0])


def test_a_label_at_both_centres_stays() -> None:
    network = by_hand([3.0, -2.0, 1.2])
    # both shifts 2 · 10⁸: the ratio is 1, the difference 0, and 1.2 is suggested again
    network.update(torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]]]), torch.tensor([2]), 2)
    assert network.remembered.unimodal[0, 0, 2].item() == pytest.approx(1.2, abs=1e-6)


def test_a_label_stays_within_the_largest_of_those_learned_from() -> None:
    network = by_hand([3.0, -2.0, 1.2])
    # shifts 0 and 2 · 10⁸: nothing bounds the suggestion but the limit of 3: 1/3 · 1.2 + 2/3 · 3 = 2.4
    network.update(torch.tensor([[[0.0, 1.0]], [[1.0, 0.0]]]), torch.tensor([2]), 2)
    assert network.remembered.unimodal[0, 0, 2].item() == pytest.approx(2.4, abs=1e-6)


def test_without_a_negative_label_there_is_no_centre_and_labels_stay() -> None:
    network = by_hand([3.0, 2.0, 1.2])
    network.update(torch.tensor([[[0.5, 0.0]], [[0.0, 1.0]]]), torch.tensor([2]), 2)
    assert torch.equal(network.remembered.unimodal[0], network.remembered.multimodal)


def test_samples_that_are_not_learned_from_are_in_no_centre() -> None:
    network, all_but_last = remembering(), remembering((0, 1, 2, 3, 4))
    for each in (network, all_but_last):
        each(training_batch(1))
        each.remembered.features[:, 5] = 1e6
        each(training_batch(2, torch.tensor([0, 1, 2, 3, 4, -1])))
    moved = all_but_last.remembered.unimodal
    assert moved[..., 5].isnan().all() and moved[:, 0, :5].isfinite().all()
    assert not torch.equal(moved[:, 0, :5], network.remembered.unimodal[:, 0, :5])


@pytest.mark.parametrize("n", [1, 6])
def test_labels_and_gradients_of_identical_rows_are_finite(n: int) -> None:
    network = remembering().train()
    for epoch in (1, 2, 3):
        batch = training_batch(epoch)
        same = Batch(
            {name: x[:1].expand(n, -1) for name, x in batch.inputs.items()},
            {},
            {},
            torch.arange(n),
            None,
            {name: values[:n] for name, values in batch.targets.items()},
            epoch,
        )
        outputs, losses = network(same)
        (outputs["valence"].square().sum() + losses["unimodal"]).backward()
    assert network.remembered.unimodal[:, 0].isfinite().all()
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert gradients and all(gradient.isfinite().all() for gradient in gradients)


def fitted(track: Track, **options: Any) -> Any:
    loaded = load_baseline("self-mm")
    chosen = loaded.options("small", {**SMALL, "epochs": 2, **options})
    baseline: Any = loaded.build(chosen, Setup(n_folds=2, device_name="cpu"))
    baseline.fit(training_set(open_candidates(track, "train"), ["quiet", "loud"]))
    return baseline.built


def test_a_track_without_a_number_is_refused(small_track: SmallTrack) -> None:
    lines = [line for line in DECLARATION.splitlines() if "valence" not in line]
    declaration = "\n".join(lines).replace('"overall", ', "")
    track: Track = small_track(declaration=declaration)
    with pytest.raises(UsageError, match="'self-mm' needs a target of type continuous or trajectory; small declares"):
        require_answers(load_baseline("self-mm"), track)
    require_answers(load_baseline("lf-dnn"), track)


def test_numbers_have_the_absolute_error_unless_another_is_asked_for(small_track: SmallTrack) -> None:
    track = small_track()
    assert fitted(track).schedule.losses == {"valence": "absolute_error"}
    other = fitted(track, losses={"valence": "ccc"})
    assert other.schedule.losses == {"valence": "ccc"}


@pytest.mark.parametrize(
    ("shift", "options", "consequence"),
    [
        (0.0, {}, None),
        (9.0, {}, "they count nothing"),
        (-9.0, {"weighted": False}, "they are learned as they are"),
        (9.0, {"updates": False}, None),  # what was asked for
    ],
)
def test_a_note_says_where_single_modalities_have_no_labels_of_their_own(
    small_track: SmallTrack, shift: float, options: dict[str, Any], consequence: str | None
) -> None:
    loaded = load_baseline("self-mm")
    chosen = loaded.options("small", {**SMALL, "epochs": 3, "keep": "last", **options})
    train = training_set(open_candidates(small_track(), "train"), ["quiet", "loud"])
    train = replace(train, targets={**train.targets, "valence": train.targets["valence"] + shift})
    baseline: Any = loaded.build(chosen, Setup(n_folds=2, device_name="cpu"))
    result = baseline.fit_folds(train)
    changes = [max(parts) for parts in result.details["diagnostics"].values()]
    assert (min(changes) > 0) == (shift == 0.0)
    notes = [note for note in result.notes if "unimodal" in note]
    if consequence is None:
        assert notes == []
    else:
        assert notes == [
            "unimodal labels of valence stay those of the samples, since no value is negative, or none positive: "
            f"{consequence}, and the network is a late fusion"
        ]
