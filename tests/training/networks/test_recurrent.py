"""Layers for rows of different number, against torch's own on each sequence by itself."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from merbench.training.networks.batches import Batch
from merbench.training.networks.recurrent import Recurrent, aligned, last_states, real_rows, resampled, window_means

LENGTHS = torch.tensor([3, 0, 7, 1])


def padded(n_rows: int = 7, width: int = 5) -> Tensor:
    rows = torch.randn(len(LENGTHS), n_rows, width, generator=torch.Generator().manual_seed(0))
    return rows.masked_fill(~real_rows(LENGTHS, n_rows)[..., None], 0)


def directions(layer: Recurrent) -> nn.GRU:
    """Return torch's bidirectional layer with the same weights."""
    both = nn.GRU(layer.forwards.input_size, layer.forwards.hidden_size, batch_first=True, bidirectional=True)
    back = layer.backwards or layer.forwards
    ahead = layer.forwards.state_dict()
    both.load_state_dict(ahead | {f"{name}_reverse": values for name, values in back.state_dict().items()})
    return both


@pytest.mark.parametrize("backwards", ["none", "own", "same"])
def test_states_are_those_of_each_sequence_by_itself(backwards: str) -> None:
    torch.manual_seed(0)
    layer = Recurrent(5, 4, backwards=backwards)
    plain = layer.forwards if backwards == "none" else directions(layer)
    rows = padded()
    # 3 h (d + h + 2) parameters per cell
    n_cells = 2 if backwards == "own" else 1
    assert sum(parameter.numel() for parameter in layer.parameters()) == n_cells * 3 * 4 * (5 + 4 + 2)
    states = layer(rows, LENGTHS)
    assert states.shape == (4, 7, 4 if backwards == "none" else 8)
    for own, sequence, length in zip(states, rows, LENGTHS.tolist(), strict=True):
        assert (own[length:] == 0).all()
        if length:
            torch.testing.assert_close(own[:length], plain(sequence[None, :length])[0][0], rtol=1e-5, atol=1e-6)


def test_what_is_in_the_padding_changes_nothing() -> None:
    layer = Recurrent(5, 4, backwards="own")
    rows = padded()
    noise = torch.where(real_rows(LENGTHS, 7)[..., None], rows, 9.0)
    assert torch.equal(layer(rows, LENGTHS), layer(noise, LENGTHS))
    wider = nn.functional.pad(rows, (0, 0, 0, 4))
    torch.testing.assert_close(layer(wider, LENGTHS)[:, :7], layer(rows, LENGTHS), rtol=1e-5, atol=1e-6)


def test_the_last_state_is_that_of_the_last_real_row() -> None:
    states = padded()
    expected = torch.stack([states[0, 2], torch.zeros(5), states[2, 6], states[3, 0]])
    assert torch.equal(last_states(states, LENGTHS), expected)


def test_means_of_windows_leave_out_the_padding() -> None:
    rows = torch.tensor([[[1.0], [3.0], [8.0], [0.0], [0.0]], [[2.0], [4.0], [6.0], [8.0], [9.0]], [[0.0]] * 5])
    means, lengths = window_means(rows, torch.tensor([3, 5, 0]), 2)
    # (1 + 3) / 2, 8 / 1; (2 + 4) / 2, (6 + 8) / 2, 9 / 1; nothing
    assert means.squeeze(-1).tolist() == [[2, 8, 0], [3, 7, 9], [0, 0, 0]]
    assert lengths.tolist() == [2, 3, 0]


def test_equal_parts_of_a_sequence_are_averaged_or_repeated() -> None:
    rows = torch.tensor([[1.0, 2, 3, 4, 5], [1, 3, 0, 0, 0], [7, 0, 0, 0, 0], [0, 0, 0, 0, 0], [2, 4, 6, 0, 0]])
    wanted = torch.tensor([3, 7, 2, 2, 0])
    expected = [
        [1.5, 3, 4.5, 0, 0, 0, 0],  # of rows 0 to 1, 1 to 3, 3 to 4: ⌊5/3⌋ = 1, ⌈10/3⌉ = 4, ⌊10/3⌋ = 3
        [1, 1, 1, 2, 3, 3, 3],  # the fourth part of seven is from 6/7 to 8/7, in both rows
        [7, 7, 0, 0, 0, 0, 0],
        [0] * 7,  # without rows
        [0] * 7,  # none is wanted
    ]
    assert resampled(rows[..., None], torch.tensor([5, 2, 1, 0, 3]), wanted).squeeze(-1).tolist() == expected


def test_as_many_rows_as_there_are_stay_as_they_are() -> None:
    torch.testing.assert_close(resampled(padded(), LENGTHS, LENGTHS), padded())


def sequences(order: list[int], padding: float = 0.0, further: int = 0) -> Batch:
    """Return sound of 3, 0, 7, 1 and 0 rows, words of 2, 4, 0, 1 and 0, and a vector of the first four samples."""
    every = {"sound": [3, 0, 7, 1, 0], "words": [2, 4, 0, 1, 0], "vector": [1, 1, 1, 1, 0]}
    lengths = {name: torch.tensor(own)[order] for name, own in every.items()}
    inputs = {}
    for name, own in lengths.items():
        rows = torch.randn(5, 9, 4, generator=torch.Generator().manual_seed(len(name)))[order]
        rows = rows[:, : max(1, int(own.max())) + further]
        inputs[name] = rows.masked_fill(~real_rows(own, rows.shape[1])[..., None], padding)
    return Batch(inputs, lengths, {name: own > 0 for name, own in lengths.items()}, torch.tensor(order))


@pytest.mark.parametrize(
    ("to", "wanted"),
    [
        # the fewest of those with several rows; of the fourth sample all have one
        ("", [2, 4, 7, 1, 0]),
        # where there are no words, as many as the longest of the others
        ("words", [2, 4, 7, 1, 0]),
        ("sound", [3, 4, 7, 1, 0]),
        ("vector", [1, 1, 1, 1, 0]),
    ],
)
def test_features_of_a_sample_get_equally_many_rows(to: str, wanted: list[int]) -> None:
    batch = sequences([0, 1, 2, 3, 4])
    rows, n_rows = aligned(batch, to)
    assert n_rows.tolist() == wanted
    for name, own in rows.items():
        assert own.shape == (5, max(wanted), 4)
        torch.testing.assert_close(own, resampled(batch.inputs[name], batch.lengths[name], n_rows), rtol=0, atol=0)
        assert (own[~real_rows(n_rows, own.shape[1])] == 0).all()
    for sample, n in enumerate(wanted[:4]):  # a vector is repeated
        assert (rows["vector"][sample, :n] == batch.inputs["vector"][sample, 0]).all()


@pytest.mark.parametrize("to", ["", "sound"])
def test_neither_padding_nor_other_samples_change_aligned_rows(to: str) -> None:
    every, n_rows = aligned(sequences([0, 1, 2, 3, 4]), to)
    for order, padding, further in (([4, 2, 0, 3, 1], 0.0, 0), ([3], 0.0, 0), ([4], 0.0, 0), ([1, 0], torch.nan, 3)):
        rows, own = aligned(sequences(order, padding, further), to)
        assert own.tolist() == n_rows[order].tolist()
        for name, values in rows.items():
            assert torch.equal(values, every[name][order, : values.shape[1]])


def test_a_window_longer_than_all_rows_is_their_mean() -> None:
    rows = torch.tensor([[[1.0], [3.0], [8.0]], [[2.0], [0.0], [0.0]]])
    means, lengths = window_means(rows, torch.tensor([3, 1]), 10_000)
    assert means.tolist() == [[[4]], [[2]]] and lengths.tolist() == [1, 1]


def test_windows_are_averaged_before_features_are_aligned() -> None:
    inputs = {"sound": torch.arange(8.0).view(1, 8, 1), "words": torch.tensor([[[1.0], [2.0], [6.0]]])}
    batch = Batch(inputs, {"sound": torch.tensor([8]), "words": torch.tensor([3])}, {}, torch.tensor([0]))
    rows, n_rows = aligned(batch, window=2)  # of 0.5, 2.5, 4.5, 6.5 and of 1.5, 6
    assert n_rows.tolist() == [2]
    assert [part.flatten().tolist() for part in rows.values()] == [[1.5, 5.5], [1.5, 6]]
