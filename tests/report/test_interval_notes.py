"""The line under a report that says how its intervals were made."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hand_made_boards import board, with_ranks
from hand_made_reports import UNCERTAINTY

from merbench.report import Uncertainty

BY_SPEAKER = Uncertainty("default", 0.9, 2000, "speaker", 1234, 7)


@pytest.mark.parametrize(
    ("methods", "shared_by", "others", "expected"),
    [
        (("jackknife_t",), "", "", "jackknife_t over 1,234 clusters of 'speaker'"),
        (("jackknife_t",), "rows", "", "jackknife_t over 1,234 clusters of 'speaker'"),
        (("bca_t", "percentile"), "", "", "bca_t, percentile from R"),
        (("distance",), "", "", "distance from R"),
        (("jackknife_t", "bca_t"), "rows", "", "jackknife_t over 1,234 clusters of 'speaker'; bca_t from R, shared by all rows"),
        (("jackknife_t",), "rows", "ranks", "jackknife_t over 1,234 clusters of 'speaker'; ranks from R, shared by all rows"),
        ((), "", "", "default from R"),  # of an older report, whose intervals were percentiles
    ],
)  # fmt: skip
def test_the_resamples_are_named_only_where_something_depends_on_them(
    methods: tuple[str, ...], shared_by: str, others: str, expected: str
) -> None:
    note = replace(BY_SPEAKER, methods=methods).note(shared_by, others)
    resamples = "2,000 Poisson resamples of 1,234 clusters of 'speaker', seed 7"
    assert note == f"90% intervals: {expected}".replace("R", resamples, 1)


def test_a_board_names_what_depends_on_the_resamples() -> None:
    jackknife = replace(UNCERTAINTY, methods=("jackknife_t",))
    assert "95% intervals: jackknife_t over samples" in replace(board(), uncertainty=jackknife).notes()
    note = replace(with_ranks(), uncertainty=jackknife).interval_note()
    assert note.startswith("95% intervals: jackknife_t over samples; ranks, groups")
    assert note.endswith(" from 1,000 Poisson resamples of samples, seed 0, shared by all rows")
