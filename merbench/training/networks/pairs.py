"""Contrast of pairs, such as pictures and their captions: InfoNCE in both directions, never with a whole matrix.

Conventions:
    N pairs, embeddings `(N, d)` of length 1. Similarities are cosines times a scale, `(N, N)`; what is computed of them
    at once are the rows of a block, at most `VALUES_AT_ONCE` numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

VALUES_AT_ONCE = 1 << 19
"""How many similarities a block has at most, unless a row has more."""

_STEPS = 100_000
"""Cosines are compared rounded to so many steps from 0 to 1, so that those of equal embeddings are equal."""


def pair_loss(first: Tensor, second: Tensor, scale: Tensor, quantile: float = 1.0) -> Tensor:
    """Return the contrast of the first and second members of pairs, the mean of both directions.

    That of CLIP (Radford et al., 2021) is the cross-entropy of the scaled cosines of each member with all of the other
    kind, the right one being that of its own pair. With a quantile below 1, the right ones are also the members of the
    pairs that are alike on both sides: where the cosine of the first members exceeds this quantile of those of all two
    different pairs, and so does that of the second members. Each right one has the same share of the target.

    Gradients are exact, those of what is alike apart, which is a constant. Neither the similarities nor their gradients
    are ever held as a whole: both are computed again, block by block, when gradients are.

    Args:
        first: embeddings, such as those of pictures.
        second: those of what belongs to each.
        scale: what cosines are multiplied by, the inverse of the temperature; a scalar.
        quantile: the share of pairs that are not alike; 1: none is, which is the loss of CLIP.
    """
    if not len(first):
        return (first.sum() + second.sum()) * 0 * scale
    with torch.autocast(first.device.type, enabled=False):  # similarities are exact, and the same when made again
        first, second = first.to(scale.dtype), second.to(scale.dtype)
        limits = _limits(first, second, quantile) if quantile < 1 and len(first) > 1 else None
        loss: Tensor = _PairLoss.apply(first, second, scale, limits)  # type: ignore[no-untyped-call]
    return loss


def alike(first: Tensor, second: Tensor, quantile: float) -> Tensor:
    """Return which pairs count as right ones for which, `(N, N)`: see `pair_loss`; each does for itself."""
    limits = _limits(first, second, quantile)
    return torch.cat([_alike(first.detach(), second.detach(), rows, limits) for rows in _blocks(len(first))])


def _blocks(n: int) -> Iterator[slice]:
    step = max(1, VALUES_AT_ONCE // n)
    return (slice(start, min(start + step, n)) for start in range(0, n, step))


def _steps(x: Tensor, rows: slice) -> Tensor:
    """Return the cosines of some rows with all, `(m, N)`, in whole steps."""
    return (x[rows] @ x.mT).mul_(_STEPS).round_()


def _limits(first: Tensor, second: Tensor, quantile: float) -> Tensor:
    return torch.stack([_limit(part.detach(), quantile) for part in (first, second)])


def _limit(x: Tensor, quantile: float) -> Tensor:
    """Return the quantile of the cosines of two different rows, in steps: the least that so large a share is within."""
    n, edge = len(x), _STEPS + 10  # rounding may give a cosine above 1
    counts = torch.zeros(2 * edge + 1, dtype=torch.int64, device=x.device)
    for rows in _blocks(n):
        steps = _steps(x, rows).to(torch.int32).add_(edge)
        counts += torch.bincount(steps.flatten(), minlength=len(counts))
        counts -= torch.bincount(steps.diagonal(rows.start), minlength=len(counts))
    wanted = max(1, math.ceil(quantile * n * (n - 1) - 1e-6))
    return (counts.cumsum(0) < wanted).sum() - edge


def _alike(first: Tensor, second: Tensor, rows: slice, limits: Tensor) -> Tensor:
    both = (_steps(first, rows) > limits[0]) & (_steps(second, rows) > limits[1])
    both.diagonal(rows.start).fill_(True)
    return both


class _PairLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor, scale: Tensor, limits: Tensor | None) -> Tensor:
        n = len(first)
        # Sums over blocks are exact enough that their number does not show.
        by_row, of_row, n_of_row, of_column, n_of_column = first.new_zeros(5, n, dtype=torch.float64)
        by_column = torch.full_like(by_row, -torch.inf)
        for rows in _blocks(n):
            similar = first[rows] @ second.mT * scale
            by_row[rows] = similar.logsumexp(1)
            by_column = torch.logaddexp(by_column, similar.logsumexp(0).double())
            if limits is None:
                of_row[rows] = of_column[rows] = similar.diagonal(rows.start)
                continue
            right = _alike(first, second, rows, limits)
            n_of_row[rows] = right.sum(1).double()
            n_of_column += right.sum(0)
            similar.masked_fill_(~right, 0)
            of_row[rows] = similar.sum(1)
            of_column += similar.sum(0)
        n_of_row, n_of_column = n_of_row.clamp_min(1), n_of_column.clamp_min(1)
        loss: Tensor = ((by_row - of_row / n_of_row).mean() + (by_column - of_column / n_of_column).mean()) / 2
        kept = (part.to(first) for part in (by_row, by_column, n_of_row, n_of_column))
        ctx.save_for_backward(first, second, scale, *kept)
        ctx.limits = limits
        return loss.to(first)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        first, second, scale, by_row, by_column, n_of_row, n_of_column = ctx.saved_tensors
        n, of_first, of_second = len(first), torch.empty_like(first), torch.zeros_like(second)
        of_scale = torch.zeros_like(scale)
        for rows in _blocks(n):
            cosines = first[rows] @ second.mT
            similar = cosines * scale
            of_similar = (similar - by_row[rows, None]).exp_()
            of_similar += similar.sub_(by_column).exp_()
            if ctx.limits is None:
                of_similar.diagonal(rows.start).sub_(2)
            else:
                right = _alike(first, second, rows, ctx.limits)
                of_similar -= right / n_of_row[rows, None]
                of_similar -= right / n_of_column
            of_similar *= gradient / (2 * n)
            of_first[rows] = of_similar @ second * scale
            of_second += of_similar.mT @ first[rows] * scale
            of_scale += of_similar.mul_(cosines).sum()
        return of_first, of_second, of_scale, None


class Temperature(nn.Module):
    """The scale of cosines, the exponential of what is trained (Radford et al., 2021): 1 / 0.07 at first, at most 100.

    Args:
        temperature: the inverse of the scale at first.
    """

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)))

    def forward(self) -> Tensor:
        """Return the scale, a scalar."""
        scale: Tensor = self.log_scale.clamp(max=math.log(100)).exp()
        return scale
