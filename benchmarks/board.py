"""The board of 100 systems, from an empty and from a filled cache, with and without ranks, groups and schemes.

Inputs: the track and the corpus of `benchmarks.scoring`, 2,000 samples (`--samples N` for another number), 100
submissions of differing quality. Without ranks, groups and schemes, every row is only compared with the best one. After
that, from random draws: the ranks of 500 and of 1,000 rows under 1,000 resamples, their letters, and the tests of all
pairs of 100 rows case by case.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd

from benchmarks.measuring import machine, peak_bytes, race, seconds, table
from benchmarks.scoring import LABELS, make_inputs
from merbench.leaderboard import build
from merbench.leaderboard.build import Cache, build_board
from merbench.leaderboard.ranking import RankingKey, group_letters, rank_intervals
from merbench.leaderboard.schemes import better_p, rank_then_aggregate
from merbench.track import load_track

N_ROWS, N_RESAMPLES, ROUNDS = 100, 1000, 3

CARD = """\
title = "Run {0}"
team = "Team {0}"
system = "net"
external_data = []
received = 2026-01-01T00:00:00Z
"""


def make_entries(folder: Path, n: int) -> None:
    """Write a track, and the entries of as many teams, the later ones worse."""
    make_inputs(folder, n)
    rng, truth = np.random.default_rng(0), pd.read_csv(folder / "reference.csv")
    for number in range(N_ROWS):
        right = rng.random(n) < 0.8 - 0.2 * number / N_ROWS
        answers = truth.assign(
            discrete=np.where(right, truth.discrete, rng.choice(LABELS, n)),
            valence=(truth.valence + rng.normal(0, 1 + number / N_ROWS, n)).clip(-5, 5),
        )
        entry = folder / "submissions" / "bench" / f"team-{number}" / "run"
        entry.mkdir(parents=True)
        answers.to_csv(entry / "submission.csv", index=False)
        (entry / "entry.toml").write_text(CARD.format(number), encoding="utf-8")


def boards(folder: Path) -> dict[str, Callable[[], object]]:
    """Return how the board is built, by name."""
    track, entries = load_track(folder / "bench"), folder / "submissions"

    def built(cache: str | None, against_best: bool) -> None:
        place = Path(tempfile.mkdtemp(dir=folder) if cache is None else folder / cache)
        with mock.patch.multiple(
            build,
            **(
                {"_with_ranks": lambda bench, rows, *_: rows, "_schemes": lambda *_: ({}, [])}
                if against_best
                else {"N_PERMUTATIONS": build.N_PERMUTATIONS}
            ),
        ):
            build_board(track, entries, Cache(place))

    return {
        f"{what}, {state} cache": partial(built, None if state == "empty" else "filled", what == "against the best")
        for what in ("against the best", "with ranks, groups, schemes")
        for state in ("empty", "filled")
    }


def ranks() -> dict[str, Callable[[], object]]:
    """Return what is computed from draws, by name."""
    rng = np.random.default_rng(0)
    values = np.linspace(0.8, 0.6, 1000)
    draws = np.round(values[:, None] + rng.normal(0, 0.02, (1000, N_RESAMPLES)), 10)
    errors, right = -(rng.normal(size=(N_ROWS, 20_000)) ** 2), (rng.random((N_ROWS, 20_000)) < 0.6).astype(float)
    by = [RankingKey("first", True), RankingKey("second", False)]
    return {
        **{
            f"rank intervals of {n:,} rows by two keys": partial(
                rank_intervals,
                dict.fromkeys(("first", "second"), draws[:n]),
                dict.fromkeys(("first", "second"), values[:n]),
                *(by, 4, 0.95, 1e3),
            )
            for n in (500, 1000)
        },
        **{f"letters of {n:,} rows": partial(group_letters, draws[:n], values[:n], 1e3, 0.05) for n in (100, 1000)},
        "ranks of 100 rows in each of 20,000 samples": partial(rank_then_aggregate, errors),
        "tests of all pairs of 100 rows, 20,000 errors": partial(better_p, errors),
        "tests of all pairs of 100 rows, 20,000 right or wrong": partial(better_p, right),
    }


def main() -> None:
    """Race the contenders and print their times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=2_000)
    n = parser.parse_args().samples
    print(f"{machine(['merbench', 'numpy'])}\n")
    with tempfile.TemporaryDirectory() as folder:
        make_entries(Path(folder), n)
        times = race(boards(Path(folder)), ROUNDS)
    print(table([f"board of {N_ROWS} rows, {n:,} samples", "time"], [[k, seconds(v)] for k, v in times.items()]))
    print(f"\npeak memory {peak_bytes() / 1e6:,.0f} MB\n")
    print(table(["from draws or samples", "time"], [[k, seconds(v)] for k, v in race(ranks(), ROUNDS).items()]))


if __name__ == "__main__":
    main()
