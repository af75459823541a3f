"""Layers for rows of different number, against torch's own on each sequence by itself."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from merbench.training.networks.recurrent import Recurrent, last_states, real_rows, window_means

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
