"""What a network is given: padded sequences and dialogues, each sample once an epoch, with others of similar length."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
import torch

from merbench.errors import UsageError
from merbench.training import Dialogues, FeatureSet, Sequences
from merbench.training.networks.batches import Data
from merbench.training.networks.layers import generator
from merbench.training.networks.order import Order, blocks
from merbench.training.sequences import Windows


def ragged(lengths: list[int], width: int = 3) -> FeatureSet:
    """Return sequences whose rows are numbered, 1, 2, …, in the first column."""
    ends = np.cumsum(lengths)
    values = np.zeros((ends[-1], width), np.float32)
    values[:, 0] = np.arange(1, len(values) + 1)
    sequences = Sequences(values, ends - lengths, np.array(lengths))
    return FeatureSet(pa.array([f"s{i:03}" for i in range(len(lengths))]), {"frames": sequences})


def test_sequences_are_padded_with_zeros_after_their_rows() -> None:
    data = Data(ragged([2, 0, 3, 1]), "sequences")
    batch = data.batch(torch.tensor([[2, 0], [1, -1]]))
    assert batch.inputs["frames"][..., 0].tolist() == [[[3, 4, 5], [1, 2, 0]], [[0, 0, 0], [0, 0, 0]]]
    assert batch.lengths["frames"].tolist() == [[3, 2], [0, 0]]
    assert batch.present["frames"].tolist() == [[True, True], [False, False]]
    assert batch.real.tolist() == [[True, True], [True, False]]


def test_sequences_of_no_row_at_all_have_one_step_of_zeros() -> None:
    data = Data(ragged([0, 0]), "sequences")
    batch = data.batch(torch.tensor([0, 1]))
    assert batch.inputs["frames"].shape == (2, 1, 3)
    assert not batch.inputs["frames"].any()


def test_vectors_of_sequences_are_their_means_and_zeros_where_there_are_none() -> None:
    batch = Data(ragged([2, 0, 3, 1])).batch(torch.arange(4))
    assert batch.inputs["frames"][:, 0].tolist() == [1.5, 0, 4, 6]
    assert batch.present["frames"].tolist() == [True, False, True, True]


def dialogue_set() -> FeatureSet:
    """Return samples 0 … 5 of two dialogues, 4 2 0 1 and 5 3 in their order."""
    dialogues = Dialogues(np.array([0, 0, 0, 1, 0, 1]), np.array([2, 3, 1, 1, 0, 0]), np.array([0, 1, 1, 0, 0, 0]))
    vectors = np.arange(1, 7, dtype=np.float32)[:, None]
    ids = pa.array([f"s{i}" for i in range(6)])
    return FeatureSet(ids, {"v": Sequences.of_vectors(vectors)}, dialogues=dialogues)


def test_dialogues_are_samples_in_their_order_with_speakers() -> None:
    data = Data(dialogue_set(), "dialogues", targets={"labels": np.arange(6, dtype=np.int32)})
    table, lengths = data.units(np.arange(6))
    assert table.tolist() == [[4, 2, 0, 1], [5, 3, -1, -1]]
    assert lengths is not None
    assert lengths.tolist() == [4, 2]
    batch = data.batch(table, epoch=1)
    assert batch.inputs["v"][..., 0].tolist() == [[5, 3, 1, 2], [6, 4, 0, 0]]
    assert batch.speaker is not None
    assert batch.speaker.tolist() == [[0, 1, 0, 1], [0, 0, -1, -1]]
    assert batch.targets["labels"][0].tolist() == [4, 2, 0, 1]
    # of some samples only, the dialogues are those of these samples
    assert data.units(np.array([3, 0, 4]))[0].tolist() == [[4, 0], [3, -1]]


@pytest.mark.parametrize(
    ("windows", "learned", "answered"),
    [
        # four samples 4 2 0 1, and two, 5 3
        (Windows(3, 1), [[4, 2, 0], [0, 1, -1], [5, 3, -1]], [[4, 2, 0], [1, -1, -1], [5, 3, -1]]),
        (Windows(2, 1), [[4, 2], [2, 0], [0, 1], [5, 3]], [[4, 2], [0, 1], [5, 3]]),
        (Windows(2, 1, whole=True), [[4, 2], [2, 0], [0, 1], [5, 3]], [[4, 2, 0, 1], [5, 3, -1, -1]]),
        (Windows(4, 3), [[4, 2, 0, 1], [5, 3, -1, -1]], [[4, 2, 0, 1], [5, 3, -1, -1]]),
    ],
)
def test_windows_of_a_dialogue_overlap_where_it_is_learned_from(
    windows: Windows, learned: list[list[int]], answered: list[list[int]]
) -> None:
    data = Data(dialogue_set(), "dialogues", windows=windows)
    assert data.units(np.arange(6), learned=True)[0].tolist() == learned
    table, lengths = data.units(np.arange(6))
    assert table.tolist() == answered
    assert lengths is not None and lengths.tolist() == [sum(row >= 0 for row in rows) for rows in answered]


def test_windows_that_never_move_on_are_refused() -> None:
    with pytest.raises(UsageError, match="windows of 5 samples cannot overlap by 5; the overlap is less"):
        Windows(5, 5)


def test_dialogues_need_the_dialogues_of_the_samples() -> None:
    with pytest.raises(UsageError, match="the samples have no dialogues"):
        Data(ragged([1, 1]), "dialogues")


def test_an_epoch_has_every_sample_once_with_others_of_similar_length() -> None:
    lengths = np.random.default_rng(0).integers(50, 501, 320)
    data = Data(ragged(lengths.tolist()), "sequences")
    order = Order([data.units(np.arange(320))], 32, [generator("cpu", 1)])
    first, second = [torch.cat(list(order.epoch(torch.device("cpu"))), 1)[0].tolist() for _ in range(2)]
    assert sorted(first) == sorted(second) == list(range(320))
    assert first != second
    batches = np.array(first).reshape(10, 32)
    padded = sum(int(lengths[batch].max()) * 32 for batch in batches)
    # sorted as a whole 1.03 × the frames; padded to the longest of all about 1.8 ×
    assert padded < 1.2 * lengths.sum()
    repeated = Order([data.units(np.arange(320))], 32, [generator("cpu", 1)])
    assert torch.cat(list(repeated.epoch(torch.device("cpu"))), 1)[0].tolist() == first


@pytest.mark.parametrize("sizes", [(18, 19), (17, 13), (12, 12), (5, 30)])
def test_folds_of_different_sizes_take_equally_many_steps(sizes: tuple[int, int]) -> None:
    data = Data(ragged([1] * 40), "sequences")
    rows = [np.arange(size) for size in sizes]
    order = Order([data.units(part) for part in rows], 6, [generator("cpu", fold) for fold in range(2)])
    steps = list(order.epoch(torch.device("cpu")))
    assert len(steps) == len(order) == -(-max(sizes) // 6)
    for fold, part in enumerate(rows):
        seen = Counter(row for step in steps for row in step[fold].tolist() if row >= 0)
        assert seen == Counter(part.tolist())
        assert all((step[fold] >= 0).any() for step in steps)


@pytest.mark.parametrize(
    ("sizes", "smallest"),
    [
        ((300, 900), 10),  # of 29 steps, 300 samples are 10.3 each; by itself, the fold would take 10
        ((1177, 1219), 1),  # 37 of 39 steps by itself: 36 full batches, then 23, 1 and 1
        ((1219, 1219), 3),  # alike: 38 full batches and 3
    ],
)
def test_a_much_smaller_fold_has_its_samples_spread_evenly(sizes: tuple[int, int], smallest: int) -> None:
    order = Order([(torch.arange(size), None) for size in sizes], 32, [generator("cpu", fold) for fold in range(2)])
    own = [int((step[0] >= 0).sum()) for step in order.epoch(torch.device("cpu"))]
    assert sum(own) == sizes[0]
    assert min(own) == smallest
    assert own.count(32) == {10: 0, 1: 36, 3: 38}[smallest]


def test_evenly_spread_sequences_are_mixed_and_of_similar_length() -> None:
    lengths = np.random.default_rng(0).integers(50, 501, 900)
    data = Data(ragged(lengths.tolist()), "sequences")
    small = np.arange(300)
    order = Order([data.units(small), data.units(np.arange(900))], 32, [generator("cpu", fold) for fold in range(2)])
    longest = []
    for _ in range(2):
        own = [step[0][step[0] >= 0].numpy() for step in order.epoch(torch.device("cpu"))]
        assert sorted(np.concatenate(own)) == small.tolist()
        longest.append([int(lengths[rows].max()) for rows in own])
        assert sum(int(lengths[rows].max()) * len(rows) for rows in own) < 1.2 * lengths[:300].sum()
    # neither sorted within a pool of eight batches, nor in the same order
    assert longest[0] != longest[1]
    assert sorted(longest[0][:8]) != longest[0][:8]


def test_a_fold_of_fewer_samples_than_steps_cannot_be_trained() -> None:
    data = Data(ragged([1] * 40))
    with pytest.raises(
        UsageError, match="3 training samples in a fold are too few: every one of its 7 steps needs one"
    ):
        Order([data.units(np.arange(40)), data.units(np.arange(3))], 6, [generator("cpu", 0)] * 2)


def test_evaluation_goes_through_all_rows_in_bounded_blocks() -> None:
    lengths = [1, 40_000, 7, 3, 900]
    data = Data(ragged(lengths), "sequences")
    seen = list(blocks(data, [np.array([0, 1, 2, 4]), np.array([3])]))
    assert sorted(row for block in seen for row in block[0].tolist()) == [0, 1, 2, 4]
    assert [row for block in seen for row in block[1].tolist() if row >= 0] == [3]
    assert seen[0].tolist() == [[1], [3]]  # the longest by itself
