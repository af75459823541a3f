"""Boards built from folders of entries, against arithmetic on a track of 40 samples."""

from __future__ import annotations

import json
import statistics
import weakref
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np
import pytest
from hand_made_boards import write_entry
from scipy import stats
from toy_track import ANSWERS, IDS, LABELS, predictions, write_toy_track

from merbench.corpus.candidates import open_candidates
from merbench.errors import IntegrityError, Problem
from merbench.leaderboard import build
from merbench.leaderboard.board import Board
from merbench.leaderboard.build import Cache, Run, _Bench, build_board, common_signature
from merbench.leaderboard.entry import read_entry
from merbench.resampling import poisson_weights, swaps
from merbench.scoring import compare, score
from merbench.site.page import board_files, board_page
from merbench.submission import Submission, read_submission
from merbench.track import Track

NO_CACHE = Cache(None)
STREAM = "toy@1.0|test|0"


@pytest.fixture
def track(tmp_path: Path) -> Track:
    return write_toy_track(tmp_path / "tracks")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "submissions"


@pytest.fixture
def entries(folder: Path) -> Path:
    """Return a folder with a system of three seeds, two of one run, and one that is not ranked."""
    write_entry(folder, "toy/best/run", predictions(range(2)))
    for seed, n in enumerate((4, 6, 5)):
        write_entry(folder, f"toy/seeds/s{seed}", predictions(range(n)), seed=str(seed), team='"Seeds & Co"')
    write_entry(folder, "toy/weak/run", predictions(range(25)))
    write_entry(folder, "toy/organizer/run", predictions(range(20)), ranks="false")
    return folder


def correct(n_wrong: int) -> np.ndarray:
    return np.array([i >= n_wrong for i in range(40)], dtype=float)


def shown(board: Board) -> list[tuple[int | None, str, float]]:
    return [(row.rank, row.team, row.score("accuracy").value) for row in board.rows]


def p_of(part: np.ndarray) -> float:
    """Return the p of a mean over samples: a permutation changes the sign of a sample's part in the difference."""
    signs = 1.0 - 2.0 * np.concatenate(list(swaps(STREAM, 40, 10_000))).astype(float)
    return (np.sum(np.abs(np.round(signs @ part, 10)) >= abs(round(part.sum(), 10))) + 1) / 10_001


def test_how_many_samples_would_separate_neighbours(track: Track, entries: Path) -> None:
    board = build_board(track, entries, NO_CACHE)
    rights = [correct(2), np.mean([correct(n) for n in (4, 6, 5)], axis=0), correct(25)]
    weights = np.concatenate(list(poisson_weights(STREAM, 40, 1_000))).astype(float)
    expected = []
    for above, own in pairwise(rights):
        deviation = np.std(weights @ (own - above) / weights.sum(axis=1), ddof=1)
        sizes = np.arange(6, 1000)  # with fewer than 6, p cannot be below 0.05
        shown = stats.t.ppf([[0.975], [0.8]], sizes - 1).sum(axis=0) * deviation * np.sqrt(40 / sizes)
        expected.append(int(sizes[shown <= abs((own - above).mean())][0]))
    # The row that is not ranked has no neighbour.
    gaps = [row.gap for row in board.rows[1:] if row.rank is not None]
    assert [gap.needed for gap in gaps if gap] == expected
    assert {gap.needed_unit for gap in gaps if gap} == {"samples"}
    assert f"{expected[0]:,}" in board.to_text() and "samples needed" in board.to_text()


def test_equal_neighbours_are_never_separated_and_a_hidden_split_says_nothing(tmp_path: Path, folder: Path) -> None:
    write_entry(folder, "toy/a/run", predictions(range(4)))
    write_entry(folder, "toy/b/run", predictions(range(4, 8)))
    (row,) = build_board(write_toy_track(tmp_path / "tracks"), folder, NO_CACHE).rows[1:]
    assert row.gap is not None and row.gap.needed is None
    hidden = build_board(write_toy_track(tmp_path / "hidden", hidden=True), folder, NO_CACHE)
    assert [(r.gap.needed, r.gap.needed_unit) for r in hidden.rows if r.gap] == [(None, None)]


def test_rows_are_ranked_by_scores_computed_from_predictions(track: Track, entries: Path) -> None:
    board = build_board(track, entries, NO_CACHE)
    # 38 of 40; the mean of 36, 34 and 35 of 40; 20 of 40; 15 of 40
    assert shown(board) == [(1, "best", 0.95), (2, "seeds", 0.875), (None, "organizer", 0.5), (3, "weak", 0.375)]
    assert (board.invalid, board.ranking) == ((), ("accuracy", "weighted_f1"))
    row, report = board.rows[0], score(track, entries / "toy" / "best" / "run" / "submission.csv")
    assert board.signature == report.signature
    values = [(s.key, s.value, s.low, s.high) for s in row.scores]
    assert values == [(s.key, s.value, s.low, s.high) for s in report.scores]
    assert row.digests == (report.digests["submission"],)
    assert [s.deviation for s in row.scores] == [None, None]
    assert Board.from_json(board.to_json()) == board


def test_the_predictions_of_few_entries_are_in_memory_at_a_time(
    track: Track, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(6):
        write_entry(folder, f"toy/team-{n}/run", predictions(range(n)))
    read: list[weakref.ref[Submission]] = []
    n_alive: list[int] = []

    def read_one(*source: Any, **arguments: Any) -> Submission:
        submission = read_submission(*source, **arguments)
        read.append(weakref.ref(submission))
        n_alive.append(sum(one() is not None for one in read))
        return submission

    monkeypatch.setattr("merbench.leaderboard.build.read_submission", read_one)
    monkeypatch.setattr("merbench.leaderboard.build.MOST_KEPT", 2)
    build_board(track, folder, NO_CACHE)
    assert max(n_alive) == 3  # and the one being read
    assert len(read) <= 18  # each to score it, to compare it, and to rank case by case


def test_seeds_of_a_system_are_one_row_with_mean_deviation_and_the_interval_of_the_mean(
    track: Track, entries: Path
) -> None:
    row = build_board(track, entries, NO_CACHE).rows[1]
    assert (row.runs, row.seeds, row.team_name) == (("s0", "s1", "s2"), (0, 1, 2), "Seeds & Co")
    accuracy = row.score("accuracy")
    assert accuracy.deviation == pytest.approx(statistics.stdev([0.9, 0.85, 0.875]), abs=1e-15)
    weights = np.concatenate(list(poisson_weights(STREAM, 40, 1000))).astype(float)
    draws = np.mean([weights @ correct(n) / weights.sum(1) for n in (4, 6, 5)], axis=0)
    # The order statistics of rank 1001 · 0.025, rounded down, and 1001 · 0.975, rounded up.
    low, high = np.sort(np.round(draws, 10))[[24, 975]]
    assert (accuracy.low, accuracy.high) == pytest.approx((low, high), abs=1e-10)


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_the_mean_of_equal_runs_has_the_interval_of_one(tmp_path: Path, folder: Path, method: str) -> None:
    track = write_toy_track(tmp_path / "tracks", method=method)
    write_entry(folder, "toy/once/run", predictions(range(7)))
    for seed in range(2):
        write_entry(folder, f"toy/twice/s{seed}", predictions(range(7)), seed=str(seed))
    once, twice = build_board(track, folder, NO_CACHE).rows
    assert [(s.value, s.low, s.high) for s in twice.scores] == [(s.value, s.low, s.high) for s in once.scores]
    assert [s.deviation for s in twice.scores] == [0.0, 0.0]
    report = score(track, folder / "toy" / "once" / "run" / "submission.csv", method=method)
    assert [(s.low, s.high) for s in once.scores] == [(s.low, s.high) for s in report.scores]


def test_the_difference_to_the_best_has_a_paired_p_and_holm_over_the_rows(track: Track, entries: Path) -> None:
    board = build_board(track, entries, NO_CACHE)
    assert board.rows[0].gap is None
    gaps = [row.gap for row in board.rows if row.gap]
    assert [gap.value for gap in gaps] == [-0.075, -0.45, -0.575]
    means = [np.mean([correct(n) for n in (4, 6, 5)], axis=0), correct(20), correct(25)]
    p_values = [p_of((mean - correct(2)) / 40) for mean in means]
    assert [gap.p for gap in gaps] == pytest.approx(p_values, abs=1e-15)
    # Three p in order of size: times 3, 2 and 1, never smaller than the one before.
    small, middle, large = sorted(p_values)
    adjusted = {small: 3 * small, middle: max(3 * small, 2 * middle), large: max(3 * small, 2 * middle, large)}
    assert [gap.p_holm for gap in gaps] == pytest.approx([min(1, adjusted[p]) for p in p_values], abs=1e-15)
    assert [gap.separable for gap in gaps] == [adjusted[p] < 0.05 for p in p_values]
    # With single runs it is the p of a comparison.
    files = {team: entries / "toy" / team / "run" / "submission.csv" for team in ("weak", "best")}
    (row,) = [row for row in compare(track, files).differences if row.name == "accuracy"]
    assert (gaps[-1].p, gaps[-1].value) == (row.p, pytest.approx(row.difference, abs=1e-10))


def test_a_row_is_separated_by_the_p_that_is_adjusted_for_all_rows(track: Track, folder: Path) -> None:
    write_entry(folder, "toy/best/run", predictions())
    for n in (6, 7, 8):
        write_entry(folder, f"toy/team{n}/run", predictions(range(n)))
    gaps = [row.gap for row in build_board(track, folder, NO_CACHE).rows[1:]]
    # n mistakes against none: all n go one way or all the other in 2 of 2^n draws. 2/64 is below 5 %, and so
    # are 2/128 and 2/256; the smallest of three is tripled, the next one doubled: 0.023, 0.031 and 0.031.
    assert all(gap is not None and gap.p is not None and gap.p < 0.05 and gap.separable for gap in gaps)
    write_entry(folder, "toy/team5/run", predictions(range(5)))
    # 2/32 is above; of four, 2/64 is doubled and no longer below.
    wide = {row.team: row.gap for row in build_board(track, folder, NO_CACHE).rows[1:]}
    six = wide["team6"]
    assert six is not None and six.p is not None and six.p_holm is not None
    assert six.p < 0.05 <= six.p_holm and six.separable is False


def test_runs_of_two_systems_are_paired_until_every_run_of_both_was_paired_with_every_other(
    track: Track, folder: Path
) -> None:
    wrong = {"twice": (range(2), range(2, 5)), "thrice": (range(8), range(4, 10), range(20, 30))}
    for team, runs in wrong.items():
        for seed, mistakes in enumerate(runs):
            write_entry(folder, f"toy/{team}/s{seed}", predictions(mistakes), seed=str(seed))
    gap = build_board(track, folder, NO_CACHE).rows[1].gap
    # Six pairs of runs, so that each counts equally often: the part of a sample is the difference of the systems' means.
    right = {team: np.mean([[i not in run for i in range(40)] for run in runs], axis=0) for team, runs in wrong.items()}
    expected = p_of((right["thrice"] - right["twice"]) / 40)
    assert gap is not None and gap.p == pytest.approx(expected, abs=1e-15)


def test_systems_and_selected_runs_make_rows(track: Track, folder: Path) -> None:
    write_entry(folder, "toy/team/s0", predictions(range(4)), seed="0")
    write_entry(folder, "toy/team/s1", predictions(range(6)), seed="1", selected="true")
    write_entry(folder, "toy/team/other", predictions(range(8)), system='"other"')
    first, second = build_board(track, folder, NO_CACHE).rows
    assert (first.runs, first.score("accuracy").value, first.score("accuracy").deviation) == (("s1",), 0.85, None)
    assert (second.rank, second.team, second.system) == (2, "team", "other")


def test_a_track_may_rank_the_best_system_of_each_team_only(track: Track, folder: Path) -> None:
    write_entry(folder, "toy/a/shown", predictions(range(2)), system='"shown"', ranks="false")
    write_entry(folder, "toy/a/one", predictions(range(4)), system='"one"')
    write_entry(folder, "toy/a/two", predictions(range(6)), system='"two"')
    write_entry(folder, "toy/b/run", predictions(range(9)), system='"b"')
    ranking = track.ranking.model_copy(update={"one_per_team": True})
    board = build_board(track.model_copy(update={"ranking": ranking}), folder, NO_CACHE)
    assert [(row.rank, row.system) for row in board.rows] == [(None, "shown"), (1, "one"), (None, "two"), (2, "b")]


def test_equal_predictions_share_a_rank_and_are_not_separated(track: Track, folder: Path) -> None:
    write_entry(folder, "toy/late/run", predictions(range(4)), received="2026-02-02T00:00:00Z")
    write_entry(folder, "toy/soon/run", predictions(range(4)), received="2026-02-01T00:00:00Z")
    write_entry(folder, "toy/third/run", predictions(range(9)))
    board = build_board(track, folder, NO_CACHE)
    assert [(row.rank, row.team) for row in board.rows] == [(1, "soon"), (1, "late"), (3, "third")]
    gap = board.rows[1].gap
    assert gap is not None
    assert (gap.value, gap.p, gap.p_holm, gap.separable) == (0.0, 1.0, 1.0, False)


def test_a_board_on_which_no_difference_can_be_significant_says_so(
    track: Track, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n, team in enumerate("abc"):
        write_entry(folder, f"toy/{team}/run", predictions(range(n)))
    # The smallest p is 1 / 41, or 1 / 40, and two rows are compared with the best one: 0.049, or 0.05.
    monkeypatch.setattr(build, "N_PERMUTATIONS", 40)
    board = build_board(track, folder, NO_CACHE)
    assert [warning.code for warning in board.warnings] == ["W706"]
    assert board.warnings[0].message.startswith("a/net: no interval of accuracy")  # all of its answers are right
    monkeypatch.setattr(build, "N_PERMUTATIONS", 39)
    board = build_board(track, folder, NO_CACHE)
    (line,) = (line for line in board.notes() if line.startswith("W711"))
    assert "nor an adjusted one of 2 pairs below 0.05: no difference can be significant" in line
    assert Board.from_json(board.to_json()) == board
    # A single row is compared with no other.
    for team in "ab":
        rmtree(folder / "toy" / team)
    assert build_board(track, folder, NO_CACHE).warnings == ()


def test_what_makes_intervals_less_reliable_is_on_the_board_once(tmp_path: Path, folder: Path) -> None:
    track = write_toy_track(tmp_path / "tracks", answers=["calm"] * 31 + ["glad"] * 5 + ["sad"] * 4)
    for team in "ab":
        write_entry(folder, f"toy/{team}/run", predictions(range(4)))
    for n_rows in (2, 1):
        board = build_board(track, folder, NO_CACHE)
        (warning,) = board.warnings
        assert (warning.code, warning.column) == ("W702", "discrete")  # of all rows, so that none is named
        assert warning.message.startswith("fewer than 10 references of glad (5), sad (4)")
        for text in (board.to_text(), board.to_markdown(), board_page(board), board.to_html()):
            assert text.count("W702") == 1
        assert Board.from_json(board.to_json()) == board and len(board.rows) == n_rows
        if n_rows == 2:
            rmtree(folder / "toy" / "b")


def test_rows_that_are_not_ranked_are_not_the_best_unless_there_are_only_such(track: Track, folder: Path) -> None:
    write_entry(folder, "toy/oracle/run", predictions(), ranks="false")
    write_entry(folder, "toy/b/run", predictions(range(8)), ranks="false")

    def gaps() -> list[tuple[int | None, str, float | None]]:
        rows = build_board(track, folder, NO_CACHE).rows
        return [(row.rank, row.team, row.gap and row.gap.value) for row in rows]

    assert gaps() == [(None, "oracle", None), (None, "b", -0.2)]
    write_entry(folder, "toy/a/run", predictions(range(4)))
    assert gaps() == [(None, "oracle", 0.1), (1, "a", None), (None, "b", -0.1)]


# Ranks with their uncertainty.

RIGHT = {"a": [range(4)], "b": [range(2, 8)], "c": [range(20, 28), range(20, 32)], "d": [range(9, 35)]}


@pytest.fixture
def ranked(track: Track, folder: Path) -> Board:
    """Return the board of four ranked systems, one with two seeds, and of one that is not ranked, by accuracy."""
    for team, runs in RIGHT.items():
        for seed, mistakes in enumerate(runs):
            write_entry(folder, f"toy/{team}/s{seed}", predictions(mistakes), seed=str(seed))
    write_entry(folder, "toy/organizer/run", predictions(range(20)), ranks="false")
    ranking = track.ranking.model_copy(update={"by": ("accuracy",)})
    return build_board(track.model_copy(update={"ranking": ranking}), folder, NO_CACHE)


def test_ranks_have_intervals_from_shared_resamples(ranked: Board) -> None:
    weights = np.concatenate(list(poisson_weights(STREAM, 40, 1000))).astype(float)
    right = np.array([np.mean([[i not in run for i in range(40)] for run in runs], axis=0) for runs in RIGHT.values()])
    draws = np.round(weights @ right.T / weights.sum(axis=1)[:, None], 10)
    ranks = stats.rankdata(-np.round(draws, 4), method="min", axis=1)
    rows = {row.team: row for row in ranked.rows}
    for number, (team, own) in enumerate(zip(RIGHT, ranks.T, strict=True)):
        row = rows[team]
        others = [other for other in range(4) if other != number]
        differences = np.array([(right[other] - right[number]).mean() for other in others])
        t = differences / [np.std(draws[:, other] - draws[:, number], ddof=1) for other in others]
        # Of three p at 39 degrees of freedom, the i-th smallest counts if it and those before are below .05 / (3 − i).
        order = np.argsort(-np.abs(t))
        counts = np.cumprod(2 * stats.t.sf(np.abs(t[order]), 39) < 0.05 / np.array([3, 2, 1])) == 1
        significant = differences[order][counts]
        assert (row.rank_low, row.rank_high) == (1 + (significant > 0).sum(), 4 - (significant < 0).sum())
        assert row.first_share == pytest.approx((own == 1).mean(), abs=1e-15)
    assert len({(row.rank_low, row.rank_high) for row in ranked.rows}) > 1
    assert rows["organizer"] == replace(rows["organizer"], rank_low=None, rank_high=None, first_share=None, group="")
    # Student's t of each difference, 39 degrees of freedom; of six p, the i-th smallest counts if it is below .05 / (6 − i).
    pairs = list(combinations(range(4), 2))
    deviations = [np.std(draws[:, a] - draws[:, b], ddof=1) for a, b in pairs]
    t = [(right[a] - right[b]).mean() for a, b in pairs]
    p = 2 * stats.t.sf(np.abs(t) / deviations, 39)
    order = np.argsort(p)
    n_different = next(i for i in range(6) if p[order[i]] >= 0.05 / (6 - i))
    different = {pairs[i] for i in order[:n_different]}
    letters = [set(rows[team].group.split()) for team in RIGHT]
    assert {(a, b) for a, b in pairs if not letters[a] & letters[b]} == different
    assert 0 < len(different) < 6


def test_other_rankings_stand_next_to_that_of_the_board(ranked: Board) -> None:
    assert [(row.rank, row.team) for row in ranked.rows] == [
        (1, "a"),
        (2, "b"),
        (3, "c"),
        (None, "organizer"),
        (4, "d"),
    ]
    schemes = {scheme.name: scheme for scheme in ranked.schemes}
    assert list(schemes) == [
        *("mean_rank", "median_rank", "borda", "aggregate_then_rank", "rank_then_aggregate"),
        *("test_then_rank", "test_then_rank_holm", "mean_rank_score"),
    ]
    assert ranked.schemes_missing == ()
    assert schemes["borda"].scores == (6.0, 4.0, 2.0, None, 0.0)  # of two metrics, N − rank each
    assert schemes["borda"].ranks == (1, 2, 3, None, 4)
    assert schemes["borda"].tau == 1
    # What is right is counted by sample: 36, 34, 30 (the mean of 32 and 28) and 14 of 40.
    assert schemes["aggregate_then_rank"].scores == (0.9, 0.85, 0.75, None, 0.35)
    # a is worse on 0, 1 (and not on 2, 3); c is between 0 and 1 on 28 … 31.
    right = np.array([np.mean([[i not in run for i in range(40)] for run in runs], axis=0) for runs in RIGHT.values()])
    ranks = stats.rankdata(-right, method="min", axis=0).mean(axis=1)
    own = [score for score in schemes["rank_then_aggregate"].scores if score is not None]
    assert own == pytest.approx(ranks, abs=1e-10)


def test_a_lower_error_is_better_in_every_scheme(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    track = write_toy_track(tmp_path / "tracks", valence=True)
    track = track.model_copy(update={"ranking": track.ranking.model_copy(update={"by": ("mse",)})})
    for n, valence in ((1, "0.75"), (2, "0.5"), (3, "0.25")):  # all references are 0
        write_entry(folder, f"toy/wrong-{n}/run", predictions(range(n), valence=valence))
    degrees = list[float]()
    letters = build.group_letters

    def counted(*arguments: Any) -> list[str]:
        degrees.append(arguments[2])
        return letters(*arguments)

    monkeypatch.setattr(build, "group_letters", counted)
    board = build_board(track, folder, NO_CACHE)
    assert degrees == [39]
    assert [(row.rank, row.team, row.group) for row in board.rows] == [
        (1, "wrong-3", "a"),
        (2, "wrong-2", "b"),
        (3, "wrong-1", "c"),
    ]
    schemes = {scheme.name: scheme for scheme in board.schemes}
    # By accuracy and weighted F1 they rank 3 2 1, by the error 1 2 3.
    assert schemes["mean_rank"].scores == pytest.approx((7 / 3, 2, 5 / 3), abs=1e-10)
    assert schemes["aggregate_then_rank"].scores == (-(0.25**2), -(0.5**2), -(0.75**2))
    for name in ("aggregate_then_rank", "rank_then_aggregate", "test_then_rank"):
        assert (schemes[name].ranks, schemes[name].tau) == ((1, 2, 3), 1.0)


def test_equal_systems_have_equal_ranks_intervals_and_letters(track: Track, folder: Path) -> None:
    for team in ("one", "two"):
        write_entry(folder, f"toy/{team}/run", predictions(range(4)))
    board = build_board(track, folder, NO_CACHE)
    shown = [(row.rank, row.rank_low, row.rank_high, row.first_share, row.group) for row in board.rows]
    assert shown == [(1, 1, 1, 1.0, "a")] * 2
    assert {scheme.ranks for scheme in board.schemes} == {(1, 1)}
    assert {scheme.tau for scheme in board.schemes} == {None}


def test_a_single_ranked_row_has_neither_an_interval_of_its_rank_nor_other_ranks(track: Track, folder: Path) -> None:
    write_entry(folder, "toy/one/run", predictions(range(4)))
    write_entry(folder, "toy/organizer/run", predictions(range(20)), ranks="false")
    board = build_board(track, folder, NO_CACHE)
    assert [(row.rank, row.rank_low, row.group) for row in board.rows] == [(1, None, ""), (None, None, "")]
    assert (board.schemes, board.schemes_missing) == ((), ())


def test_why_a_scheme_is_not_offered(track: Track, entries: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def reasons() -> list[str]:
        board = build_board(track, entries, NO_CACHE)
        assert [scheme.name for scheme in board.schemes][:3] == ["mean_rank", "median_rank", "borda"]
        return [line.partition("not offered, since ")[2] for line in board.schemes_missing]

    with monkeypatch.context() as patch:
        patch.setattr(build, "MOST_SAMPLE_VALUES", 119)
        assert reasons() == ["3 rows times 40 samples are too many"]
    with monkeypatch.context() as patch:
        patch.setattr(build, "MOST_PAIRED", 2)
        assert reasons() == ["more than 2 rows are ranked"]
        names = [scheme.name for scheme in build_board(track, entries, NO_CACHE).schemes]
        assert names[3:] == ["aggregate_then_rank", "rank_then_aggregate", "mean_rank_score"]
    monkeypatch.setattr(build, "sample_values", lambda aligned, metric: None)
    assert reasons() == ["answers scored by accuracy(discrete) are not right or wrong one by one"]
    monkeypatch.setattr(build, "sample_values", lambda aligned, metric: np.full(aligned.n, np.nan))
    assert reasons() == ["no sample has an answer that accuracy(discrete) counts in every row"]


def test_of_many_resamples_the_first_are_stored(
    track: Track, entries: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "MOST_DRAWS", 200)
    board = build_board(track, entries, Cache(tmp_path / "cache"))
    assert {round(row.first_share * 200, 6) % 1 for row in board.rows if row.first_share is not None} == {0}
    assert board == build_board(track, entries, Cache(tmp_path / "cache"))


def test_a_track_without_entries_has_an_empty_board(track: Track, tmp_path: Path) -> None:
    board = build_board(track, tmp_path, NO_CACHE)
    assert (board.rows, board.invalid, board.signature) == ((), (), "")


CALM = predictions()
INVALID: dict[str, tuple[str, str | bytes | None, dict[str, str | None], str]] = {
    "no title": ("toy/new/run", CALM, {"title": None}, "E402  title: is missing"),
    "name": (
        "toy/New/run",
        CALM,
        {},
        "E403  team folder 'New': not a valid name; allowed: 1 to 39 of a-z, 0-9 and -, the first a",
    ),
    "no predictions": ("toy/new/run", None, {}, "E404  exactly one file 'submission.*' is required, not none"),
    "empty": ("toy/new/run", "", {}, "E101  "),
    "missing": ("toy/new/run", CALM.replace("s07,glad\n", ""), {}, "E301  1 of 40 candidates missing: s07"),
    "too large": ("toy/new/run", b"x" * 20_000_001, {}, "E103  "),
    "same seed": (
        "toy/seeds/s9",
        CALM,
        {"seed": "1", "received": "2026-02-01T00:00:00Z"},
        "E406  'net' with seed 1 already exists: run 's1', received earlier",
    ),
}


@pytest.mark.parametrize("name", INVALID)
def test_an_invalid_entry_is_listed_with_its_reason_and_changes_no_row(track: Track, entries: Path, name: str) -> None:
    place, file, card, reason = INVALID[name]
    before = build_board(track, entries, NO_CACHE)
    write_entry(entries, place, file, **card)
    after = build_board(track, entries, NO_CACHE)
    assert replace(after, invalid=()) == before
    (invalid,) = after.invalid
    assert invalid.place == place
    assert any(str(problem).startswith(reason) for problem in invalid.problems)


@pytest.mark.parametrize("hidden", [False, True])
def test_an_entry_without_a_value_is_not_ranked(tmp_path: Path, folder: Path, hidden: bool) -> None:
    # The square of 1e200 is beyond the largest float.
    track = write_toy_track(tmp_path / "tracks", valence=True, hidden=hidden)
    write_entry(folder, "toy/valid/run", predictions(valence="0.5"))
    write_entry(folder, "toy/huge/run", predictions(valence="1e200"))
    board = build_board(track, folder, NO_CACHE)
    assert [row.team for row in board.rows] == ["valid"]
    (entry,) = board.invalid
    why = "mse(valence) has no value on these 40 references: it is beyond the range of numbers"
    reason = "no value for these predictions; a hidden split does not show why" if hidden else why
    assert entry.place == "toy/huge/run"
    assert entry.problems == (Problem("E408", f"{reason}: an entry without a value cannot be ranked"),)


def test_a_hidden_split_does_not_show_what_is_scored(tmp_path: Path, entries: Path) -> None:
    track = write_toy_track(tmp_path / "tracks", hidden=True, scored=IDS[:30])
    board = build_board(track, entries, NO_CACHE)
    assert board.uncertainty is None
    assert "|n:40|" in board.signature
    assert "bs:" not in board.signature
    content = json.loads(board.to_json())
    for row in content["rows"]:
        assert all(item["low"] is None and item["high"] is None for item in row["scores"])
        assert (row["rank_low"], row["rank_high"], row["first_share"], row["group"]) == (None, None, None, "")
        assert row["gap"] is None or (row["gap"]["p"], row["gap"]["p_holm"], row["gap"]["separable"]) == (None,) * 3
    # 28 of 30 is 0.93333…: as displayed, it no longer shows its denominator.
    assert board.rows[0].score("accuracy").value == 0.9333
    assert "0.93333" not in board.to_json() + board.to_csv()


def test_permuted_references_change_nothing_but_the_released_scores_of_a_hidden_board(
    tmp_path: Path, entries: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path / "home"))
    shown = []
    for seed, n in ((1, 30), (2, 17)):
        rng = np.random.default_rng(seed)
        track = write_toy_track(
            tmp_path / "tracks",
            hidden=True,
            answers=[LABELS[code] for code in rng.integers(0, 3, 40)],
            scored=rng.permutation(IDS)[:n].tolist(),
        )
        board = build_board(track, entries)
        rows = [
            replace(row, rank=None, gap=None, scores=tuple(replace(s, value=0.0, deviation=None) for s in row.scores))
            for row in sorted(board.rows, key=lambda row: row.team)
        ]
        # Other rankings of a hidden board are those of its released scores, whatever row they are in.
        assert [scheme.name for scheme in board.schemes] == ["mean_rank", "median_rank", "borda"]
        assert all(line.endswith("since the split is hidden") for line in board.schemes_missing)
        shown.append(board_files(replace(board, rows=tuple(rows), schemes=())))
    assert shown[0] == shown[1]
    # Nothing is cached, neither a value nor a key that follows the references.
    assert not (tmp_path / "home" / "cache").exists()


def test_which_half_is_scored_does_not_show_on_a_hidden_board(tmp_path: Path, folder: Path) -> None:
    # Samples 20 to 39 repeat samples 0 to 19, in references and in predictions, so both halves give the same scores.
    answers = [LABELS[i % 20 % 3] for i in range(40)]
    lines = ["sample_id,discrete", *(f"{IDS[i]},{LABELS[(i % 20 + (i % 20 < 2)) % 3]}" for i in range(40))]
    write_entry(folder, "toy/new/run", "\n".join(lines))
    shown = []
    for scored in (IDS[:18], IDS[20:38]):
        track = write_toy_track(tmp_path / "tracks", hidden=True, scored=scored, answers=answers)
        board = build_board(track, folder, NO_CACHE)
        # The signature names the corpus by a digest that covers its references.
        digest = open_candidates(track).corpus.digest[:8]
        shown.append(board_files(replace(board, signature=board.signature.replace(digest, ""))))
    assert shown[0] == shown[1]


# The cache.


def test_the_cache_changes_no_byte_and_is_used(track: Track, entries: Path, tmp_path: Path) -> None:
    plain = build_board(track, entries, NO_CACHE).to_json()
    cache = tmp_path / "cache"
    assert build_board(track, entries, Cache(cache)).to_json() == plain
    # Six reports, one mean, three p and the schemes that rank case by case.
    files = sorted(cache.iterdir())
    assert len(files) == 11
    times = [file.stat().st_mtime_ns for file in files]
    assert build_board(track, entries, Cache(cache)).to_json() == plain
    assert [file.stat().st_mtime_ns for file in sorted(cache.iterdir())] == times


def test_a_changed_file_reference_version_or_corpus_is_not_hidden_by_the_cache(
    entries: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracks, cache = tmp_path / "tracks", Cache(tmp_path / "cache")

    def values(track: Track) -> list[float]:
        board = build_board(track, entries, cache)
        assert board.to_json() == build_board(track, entries, NO_CACHE).to_json()
        return [row.score("accuracy").value for row in board.rows]

    assert values(write_toy_track(tracks)) == [0.95, 0.875, 0.5, 0.375]
    (entries / "toy" / "best" / "run" / "submission.csv").write_text(predictions(range(3)), encoding="utf-8")
    assert values(write_toy_track(tracks)) == [0.925, 0.875, 0.5, 0.375]
    # Sample 39 is right in all files; with another reference it is wrong in all.
    assert ANSWERS[39] == LABELS[0]
    track = write_toy_track(tracks, answers=[*ANSWERS[:39], LABELS[1]])
    assert values(track) == [0.9, 0.85, 0.475, 0.35]
    with monkeypatch.context() as patch:
        patch.setattr("merbench.scoring.signatures.minor_version", lambda: "7.8")
        assert build_board(track, entries, cache).signature.endswith("|merbench:7.8")
    file = tracks / "toy" / "corpus" / "reference.parquet"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(IntegrityError, match=r"reference\.parquet"):
        build_board(track, entries, cache)


def test_what_is_remembered_belongs_to_the_references_themselves(track: Track) -> None:
    # References that read differently, of a corpus that has the same digest: another version may read cells otherwise.
    bench, other = (_Bench(open_candidates(track), NO_CACHE) for _ in range(2))
    vars(other.candidates)["references"] = replace(bench.candidates.references, digest="another")
    assert other.context != bench.context


def test_a_value_is_computed_once_for_a_key(tmp_path: Path) -> None:
    cache, calls = Cache(tmp_path), list[int]()
    for _ in range(2):
        assert cache.remembered(["a", "b"], lambda: calls.append(1) or {"x": [0.1, None]}) == {"x": [0.1, None]}
    assert len(calls) == 1
    assert cache.remembered(["ab"], lambda: 2) == 2
    assert cache.remembered(["b", "a"], lambda: 3) == 3
    assert Cache(None).remembered(["a", "b"], lambda: 4) == 4
    (tmp_path / "file").touch()
    assert Cache(tmp_path / "file" / "cache").remembered(["k"], lambda: 5) == 5  # it cannot be written


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: text[:-9],
        lambda text: "[]",
        lambda text: text.replace("0.5", "0.9"),
        lambda text: json.dumps({**json.loads(text), "key": ["another"]}),
        lambda text: json.dumps({"value": 0.9}),
    ],
)
def test_a_corrupt_or_forged_file_is_computed_again(tmp_path: Path, change: Callable[[str], str]) -> None:
    cache, calls = Cache(tmp_path), list[int]()
    cache.remembered(["k"], lambda: 0.5)
    (file,) = tmp_path.iterdir()
    file.write_text(change(file.read_text(encoding="utf-8")), encoding="utf-8")
    for _ in range(2):
        assert cache.remembered(["k"], lambda: calls.append(1) or 0.5) == 0.5
        assert len(calls) == 1


def test_results_of_different_signatures_are_not_ranked_together(track: Track, entries: Path) -> None:
    candidates = open_candidates(track)
    runs = []
    for team, n_resamples in (("best", 1000), ("weak", 500)):
        entry = read_entry(entries, entries / "toy" / team / "run")
        runs.append(Run(entry, team, score(candidates, entry.submission, n_resamples=n_resamples)))
    with pytest.raises(
        IntegrityError, match=r"cannot be ranked together: toy/best/run: .*bs:1000.*; toy/weak/run: .*bs:500"
    ):
        common_signature(runs)
    assert common_signature(runs[:1]) == runs[0].report.signature
    assert common_signature([]) == ""


def test_a_board_by_the_name_of_its_track_remembers_in_the_data_home(
    track: Track, entries: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MERBENCH_TRACKS", str(tmp_path / "tracks"))
    assert build_board("toy", str(entries)) == build_board(track, entries, NO_CACHE)
    assert list((tmp_path / "home" / "cache" / "leaderboard").iterdir())
