"""Plausible mistakes are put into copies of the source, one at a time; the tests named for each of them must fail.

Run by hand, `make mutants` or `python tests/mutants.py [WORD …]`, the words being parts of files' names: a mutation that
no test notices shows what is not tested. Each mutation is a file, a text that is found in it exactly once, the text that
takes its place, and what pytest runs. `tests/test_mutants.py` checks that every text is still there.
"""

from __future__ import annotations

import compileall
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
COPIED = ("merbench", "baselines", "tracks", "tests", "docs", "pyproject.toml", "README.md")


class Mutant(NamedTuple):
    """One mistake, and the tests that must notice it."""

    file: str
    old: str
    new: str
    tests: str

    def source(self, root: Path) -> str | None:
        """Return the file's text with the mistake in it; None where the old text is not found exactly once."""
        text = (root / self.file).read_text(encoding="utf-8")
        return text.replace(self.old, self.new) if text.count(self.old) == 1 else None


# fmt: off
CHANGES: dict[tuple[str, str], list[tuple[str, str]]] = {
    # Labels.
    ("merbench/metrics/categorical.py", "tests/metrics/test_categorical.py"): [
        ("(classes.n * classes.f1).sum(axis=1)", "(classes.predicted * classes.f1).sum(axis=1)"),
        ("_ratio(self.right, self.predicted)", "_ratio(self.right, self.n)"),
        ("_ratio(2 * self.right, self.n + self.predicted)", "_ratio(self.right, self.n + self.predicted)"),
        ("classes.total + classes.predicted.sum(axis=1))", "2 * classes.total)"),
        ("_ratio(classes.recall.sum(axis=1), np.count_nonzero(classes.n, axis=1))", "_ratio(classes.recall.sum(axis=1), classes.n.shape[1])"),
        ("np.where(possible > 0, _ratio(beyond, possible), 1.0)", "np.where(possible > 0, _ratio(beyond, possible), 0.0)"),
        ("total * predicted.sum(axis=1) - np.square(predicted)", "np.square(predicted.sum(axis=1)) - np.square(predicted)"),
    ],
    # Numbers.
    ("merbench/metrics/continuous.py", "tests/metrics/test_continuous.py"): [
        ("+ np.square(m.mean_difference)", "- np.square(m.mean_difference)"),
        ("m.n / np.maximum(m.n - 1, 1)", "m.n / np.maximum(m.n, 1)"),
        ("np.where(scale == 0, 0.0, np.clip(", "np.where(scale == 0, 1.0, np.clip("),
        ("1 - error / variance", "1 - variance / error"),
        ("return np.sqrt(mse(reference, prediction, weights))", "return mse(reference, prediction, weights)"),
        ("xy - x_mean * y_mean", "xy"),
        ("CANCELLED = 2.0**-10", "CANCELLED = 0.0"),
    ],
    # Seeds, and claims.
    ("merbench/scoring/seeds.py", "tests/test_seeds.py"): [
        ("scale = math.sqrt(n / (n - 1)) if n > 1 else 0.0", "scale = 1.0"),
        ("system.n - 1.0", "1000.0"),
    ],
    ("merbench/claims/report.py", "tests/claims/test_verdicts.py"): [
        ("FAILS if high <= 0", "FAILS if high < 0"),
        ("HOLDS if low > -margin else FAILS if high < -margin", "HOLDS if low >= -margin else FAILS if high < -margin"),
        ("FAILS if low > value + tolerance or high < value - tolerance else UNDECIDED", "FAILS"),
    ],
    ("merbench/claims/scored.py", "tests/claims/test_check.py"): [
        ("return max(runs, key=value)", "return min(runs, key=value)"),
        ("if not is_higher.get(self.key, True):", "if is_higher.get(self.key, True):"),
    ],
    ("merbench/claims/stored.py", "tests/claims/test_check.py"): [
        ("if stored.signature.get(name) != text", "if False"),
    ],
    # Sets, ranked answers, sentiment, several labels.
    ("merbench/metrics/label_set.py", "tests/metrics/test_label_set.py"): [
        ("return _ratio(self.both, self.prediction)", "return _ratio(self.both, self.reference)"),
        ("prepared.reference + prepared.prediction - prepared.both", "prepared.reference + prepared.prediction"),
        ("np.where(denominator == 0, 1.0, _ratio", "np.where(denominator == 0, 0.0, _ratio"),
        ("(overlap.reference > 0)", "(overlap.reference >= 0)"),
        ("predicted &= np.bitwise_or.reduce(true, axis=1, keepdims=True)", "pass"),
    ],
    ("merbench/metrics/ranked.py", "tests/metrics/test_ranked.py"): [
        ("(ranks < k)", "(ranks <= k)"),
    ],
    ("merbench/metrics/sentiment.py", "tests/metrics/test_sentiment.py"): [
        ('side="left"', 'side="right"'),
        ("has_sign = reference != 0", "has_sign = prediction != 0"),
    ],
    ("merbench/metrics/multilabel.py", "tests/metrics/test_multilabel.py"): [
        ('if labels == "present" else counts.shape[1]', 'if labels == "declared" else counts.shape[1]'),
        ("hits, hits + counts[:, :, MISS]", "hits, hits + counts[:, :, ALARM]"),
        ("self._last[0] is not weights", "False"),
        ("(wrong == 0)[known]", "(wrong <= 1)[known]"),
    ],
    # Answers of language models.
    ("merbench/asking/answers.py", "tests/asking/test_answers.py"): [
        ("range(len(names)) if released else _order(content, lists, names)", "range(len(names))"),
        ("if len(lists) != len(names):", "if len(lists) < len(names):"),
        ("* (-1 if sign else 1)", ""),
        ("if len(named) == 1 and not _NEGATED.search(plain):", "if len(named) == 1:"),
        ("if not 0 < total < math.inf or min(shares.values()) < 0:", "if not 0 < total < math.inf:"),
    ],
    ("merbench/asking/spread.py", "tests/asking/test_spread.py"): [
        ("errors = complete - complete.mean(axis=1, keepdims=True)", "errors = complete"),
        ("math.sqrt(degrees)", "math.sqrt(degrees + 1)"),
        ("if order(seed) not in seen:", "if True:"),
    ],
    ("merbench/leaderboard/family.py", "tests/leaderboard/test_family.py"): [
        ("mean = plain_mean(known) if len(known) == len(values) else None", "mean = plain_mean(known)"),
        ("rank=1 + sum(other > mean for other in means)", "rank=1 + sum(other >= mean for other in means)"),
    ],
    # Detection and segments.
    ("merbench/metrics/detection.py", "tests/metrics/test_detection.py"): [
        ("(2 * np.cumsum(negatives, axis=1) - negatives)", "(2 * np.cumsum(negatives, axis=1))"),
        ("(rejected <= np.rint(0.05 * n)[:, None])", "(rejected < np.rint(0.05 * n)[:, None])"),
        ("np.lexsort((reference == 0, prediction))", "np.lexsort((reference == 1, prediction))"),
        ("(prediction[fake] >= threshold)", "(prediction[fake] > threshold)"),
    ],
    ("merbench/metrics/segments.py", "tests/metrics/test_segments.py"): [
        ("_share(2 * seconds.both, ", "_share(seconds.both, "),
    ],
    # Probabilities and votes.
    ("merbench/metrics/distribution.py", "tests/metrics/test_distribution.py"): [
        ('side="right")])', 'side="left")])'),
        ("largest / largest.sum(axis=1, keepdims=True)", "largest * 1.0"),
        ("last_of_equals[last] + 1", "last + 1"),
        ("(2 * math.log(2))", "math.log(2)"),
    ],
    ("merbench/scoring/ceilings.py", "tests/test_votes_and_probabilities.py"): [
        ("others[:, label] -= 1", "others[:, label] -= 0"),
        ("right[rows, label] = shares[:, label]", "right[rows, label] = 1.0"),
        (".sum(axis=1) > 1", ".sum(axis=1) > 0"),
    ],
    # Sums and resampling.
    ("merbench/metrics/sums.py", "tests/metrics/test_sums.py"): [
        ("bits = 53 - math.frexp(_heaviest(weights) * n)[1]", "bits = 60 - math.frexp(_heaviest(weights) * n)[1]"),
        ("kept[:, self.first] + moved[:, self.second]", "moved[:, self.first] + kept[:, self.second]"),
    ],
    ("merbench/metrics/sums.py", "tests/metrics/test_sums.py -k take_no_table"): [
        ("if n_places * n_units > MOST_EMPTY * len(places):", "if n_places * n_units < MOST_EMPTY * len(places):"),
    ],
    ("merbench/metrics/sums.py", "tests/metrics/test_sums.py -k many_rows_in_one_cell"): [
        ("sizes.max(initial=0) < 2**16", "sizes.max(initial=0) <= 2**16"),
    ],
    ("merbench/metrics/sums.py", "tests/metrics/test_sums.py -k exchanges"): [
        ("sums[occurring, rows] = added", "sums[: len(occurring), rows] = added"),
        ("np.concatenate([self.first, self.second]), np.concatenate([self.second, self.first])", "np.concatenate([self.first, self.second]), np.concatenate([self.first, self.second])"),
    ],
    ("merbench/resampling.py", "tests/test_resampling.py"): [
        ("24109, 12056, 4018", "24109, 12057, 4017"),
        ("(groups != numbers - with_plain)", "(groups == numbers - with_plain)"),
    ],
    ("merbench/intervals.py", "tests/test_resampling.py"): [
        ("_sorted_values(draws), (1 - level) / 2, (1 + level) / 2", "_sorted_values(draws), 1 - level, level"),
        ('np.searchsorted(values, at, "left") + np.searchsorted(values, at, "right")', 'np.searchsorted(values, at, "left") + np.searchsorted(values, at, "left")'),
        ("if n[m - 1] * rate < 1:", "if m == 1:"),
        ("error, bias = np.sqrt((n - 1) / n * squares), (n - 1) * mean", "error, bias = np.sqrt((n - 1) / n * second), (n - 1) * mean"),
        ("np.minimum(degrees, of_values)", "np.maximum(degrees, of_values)"),
        ("third / (6 * scale", "third / (3 * scale"),
        ("low, *_, high = sorted((*ends, estimate))", "low, high = sorted(ends)"),
        ("1 / below + 1 / above", "1 / below"),
        ("LARGEST_EXPONENT = 700.0", "LARGEST_EXPONENT = 800.0"),
        ("max(distance - above.high, 0.0)", "distance - above.high"),
        ("CERTAIN = 3", "CERTAIN = 0"),
        ("n_largest = len(values) // 10", "n_largest = len(values) // 5"),
    ],
    ("merbench/significance.py", "tests/test_resampling.py"): [
        ("(n_large + 1) / (n_permutations + 1)", "n_large / n_permutations"),
        ("smaller = differences < np.abs", "smaller = differences <= np.abs"),
        ("largest = max(largest, min(1.0, (len(p_values) - rank)", "largest = max(0.0, min(1.0, (len(p_values) - rank)"),
        ("min(1.0, (len(p_values) - rank) * p_values[index])", "min(1.0, len(p_values) * p_values[index])"),
        ("2 ** (1 - min(n_units, 1000)) >= 1 - level", "False"),
        ("np.where(known, rounded(draws) - estimates[:, None], 0.0)", "np.where(known, rounded(draws), 0.0)"),
        ("n >= max(2.0, (1 - MOST_LEFT_OUT) * n_draws)", "n >= 2.0"),
        ("if not 0 < deviation < math.inf or degrees", "if degrees"),
        ("(2 * np.cumsum(counts) - counts)", "2 * np.cumsum(counts)"),
        ("abs(difference) * (1 + 1e-12)", "abs(difference)"),
    ],
    ("merbench/student.py", "tests/test_resampling.py"): [
        ("if degrees > 1e9 or", "if degrees > 1e3 or"),
        ("series if a > 100 else", "series if a > 1 else"),
        ("abs(c * d - 1) < 1e-15", "abs(c * d - 1) < 1e-6"),
        ("math.log(2 * (1 - probability))", "math.log(1 - probability)"),
    ],
    # Scoring.
    ("merbench/scoring/evaluation.py", "tests/test_scoring.py::test_a_metric_that_leaves_its_bounds_is_an_error"): [
        ("SLACK = 1e-9", "SLACK = 1.0"),
    ],
    ("merbench/scoring/evaluation.py", "tests/test_scoring.py::test_values_are_those_of_scikit_learn"): [
        ("sum((weight * value for weight", "sum((abs(weight) * value for weight"),
    ],
    ("merbench/scoring/uncertainty.py", "tests/test_scoring.py::test_samples_without_a_cluster_are_clusters_of_their_own"): [
        ('f"#{id_}"', '"#"'),
    ],
    ("merbench/scoring/uncertainty.py", "tests/leaderboard/test_build.py -k paired_p_and_holm"): [
        ("{self.candidates.track.key}|{self.candidates.split}|{self.seed}", "{self.candidates.track.key}|{self.seed}"),
    ],
    ("merbench/scoring/uncertainty.py", "tests/test_scoring.py -k pair_by_pair"): [
        ("if not all(spec.metric.sums_only", "if False and all(spec.metric.sums_only"),
    ],
    ("merbench/scoring/comparison.py", "tests/leaderboard/test_build.py -k runs_of_two_systems"): [
        ("math.lcm(", "max("),
    ],
    ("merbench/scoring/comparison.py", "tests/test_scoring.py::test_a_comparison_has_paired_differences_p_values_and_holm"): [
        ("zip(pairs, deviations, p_values, holm(p_values), strict=True)", "zip(pairs, deviations, p_values, p_values, strict=True)"),
    ],
    ("merbench/scoring/evaluation.py", "tests/tracks/test_family.py -k missing_rates"): [
        ("(values[order][1:] + values[order][:-1]) / 2", "values[order][1:]"),
    ],
    ("merbench/scoring/evaluation.py", "tests/test_kinds_of_target.py -k sampled_twice"): [
        ("(values * shares).sum(axis=0) / shares.sum(axis=0)", "(values * shares).sum(axis=0) / len(shares)"),
    ],
    ("merbench/scoring/aligned.py", "tests/test_scoring.py"): [
        ('np.searchsorted(edges, numbers, side="right") - 1', 'np.searchsorted(edges, numbers, side="left") - 1'),
    ],
    ("merbench/scoring/aligned.py", "tests/test_kinds_of_target.py"): [
        ("& ~dropped[rows]", "& dropped[rows]"),
    ],
    ("merbench/scoring/calibration.py", 'tests/test_votes_and_probabilities.py -m "not slow"'): [
        ("if n < FEWEST_IN_BIN:", "if n <= FEWEST_IN_BIN:"),
        ("elif right in (0, n):", "elif right == n:"),
        ("min(n, n_most)", "n"),
        ("(reference > 0) & (prediction", "(prediction"),
        ("(spec.name, spec.target, spec.per) == (ERROR, target, None)", "(spec.name, spec.target) == (ERROR, target)"),
        ("own = weights if self.rows is None else weights[:, self.rows]", "own = weights[:, : len(self.values.order)]"),
    ],
    ("merbench/scoring/power.py", 'tests/test_power.py -m "not slow"'): [
        ("return 1 + (self.spread * self.n / self.clusters - 1) * intraclass", "return 1 + (self.n / self.clusters - 1) * intraclass"),
        ("+ 1 / design.n", ""),
        ("if is_rate and design.clusters is None:", "if is_rate:"),
        ("return None if is_rate and difference > pilot.deviation**2", "return None if False"),
        ("float(sizes @ sizes / sizes.sum())", "float(sizes.mean())"),
        ("others = size_around(how.clusters) - 1", "others = size_around(how.clusters)"),
    ],
    ("merbench/scoring/items.py", 'tests/test_items.py -m "not slow"'): [
        ("rest = centred[:, None] - own", "rest = centred[:, None] + 0 * own"),
        ("np.maximum(np.log((per - 1) * share_right / (1 - share_right)), 0) + 1e-9", "np.maximum(np.log((per - 1) * share_right / (1 - share_right)), 0)"),
        ("np.log((per - 1) * share_right", "np.log(share_right"),
        ("counts[place] - 1 + smoothing", "counts[place] + smoothing"),
        ("odds = np.log(WRONG_REFERENCES / (1 - WRONG_REFERENCES) * frequent) + evidence / effect", "odds = np.log(WRONG_REFERENCES / (1 - WRONG_REFERENCES)) + evidence / effect"),
        ("+ evidence / effect", "+ evidence"),
        ("1.4826 * float", "1.0 * float"),
        ("votes >= HALF].tolist(), votes[votes >= HALF]", "votes > HALF].tolist(), votes[votes > HALF]"),
        ("np.where(right == 0, share, 0.0)", "share"),
    ],
    # Ranking and the board.
    ("merbench/leaderboard/ranking.py", "tests/leaderboard/test_ranking.py"): [
        ("bisect_left(ranked, standing) + 1", "bisect_left(ranked, standing)"),
        ("if key.higher_is_better else value", "if not key.higher_is_better else value"),
        ("(pair[0], pair[1].order)", "pair[0]"),
        ("t[is_equal] = np.where", "t[:] = np.where"),
        ("alpha / (2 * (n - 1 - place))", "alpha / (2 * (n - 1))"),
        ("np.logical_and.accumulate(largest > limits, axis=1)", "(largest > limits)"),
        ("(~is_equal & ~(differs", "(~(differs"),
        ("(differs & (own < own[:, None]))", "((own < own[:, None]))"),
    ],
    ("merbench/leaderboard/schemes.py", "tests/leaderboard/test_schemes.py"): [
        ("(smallest + largest) / 2", "smallest"),
        ("np.where(np.isnan(values), 0.0, values.shape[1] -", "np.where(False, 0.0, values.shape[1] -"),
        ("- 0.5) / np.sqrt(variance)", ") / np.sqrt(variance)"),
        ("own.var(axis=1, ddof=1)", "own.var(axis=1)"),
        ("total**2 * degrees / (variance**2 + other**2)", "2 * degrees"),
        ("/ 2 < ALPHA", "< ALPHA"),
        ("draws / np.where(units > 0, units, 1.0)", "draws"),
    ],
    ("merbench/report/tables.py", "tests/leaderboard/test_ranking.py"): [
        ("rounding=ROUND_HALF_EVEN", 'rounding="ROUND_HALF_UP"'),
    ],
    ("merbench/leaderboard/build.py", "tests/leaderboard/test_build.py -k separated_by_the_p"): [
        ("p_holm, p_holm < uncertainty.alpha", "p_holm, p < uncertainty.alpha"),
    ],
    ("merbench/leaderboard/build.py", "tests/leaderboard/test_build.py -k remembered_belongs"): [
        ("            self.candidates.corpus.digest,\n            self.candidates.references.digest,\n", "            self.candidates.corpus.digest,\n"),
    ],
    ("merbench/leaderboard/build.py", "tests/leaderboard/test_build.py -k mean_deviation"): [
        ("statistics.stdev(", "statistics.pstdev("),
    ],
    # Submissions.
    ("merbench/targets/categorical.py", "tests/submission/test_checking.py -k probable"): [
        ("(given < largest)", "(given < largest - 0.1)"),
    ],
    ("merbench/targets/categorical.py", "tests/submission"): [
        ("good = (table >= 0) & (table <= 1)", "good = (table >= 0) & (table < 1)"),
    ],
    ("merbench/submission/parquet.py", "tests/submission/test_reading.py -k pages_are_counted"): [
        ("unpacked_bytes=max(asked.memory, asked.page_bytes)", "unpacked_bytes=asked.memory"),
    ],
    ("merbench/submission/reading.py", "tests/submission"): [
        ('taken[missing] = -1 if taken.dtype.kind == "i"', 'taken[missing] = 0 if taken.dtype.kind == "i"'),
    ],
    ("merbench/submission/reading.py", "tests/test_kinds_of_target.py"): [
        ("sums / np.maximum(counts, 1)", "sums"),
        ("np.lexsort((column, candidate_of))", "np.argsort(candidate_of, kind='stable')"),
    ],
    ("merbench/submission/ids.py", "tests/submission/test_checking.py tests/test_kinds_of_target.py"): [
        ("recordings[fits] == recordings[place[fits]]", "True"),
    ],
    ("merbench/submission/ids.py", "tests/submission/test_checking.py"): [
        ("if folder == other or not folder or not other]", "]"),
        ("*with_suffix.get(name, ()), ", ""),
        ("stem if _FILE_ENDING.fullmatch(suffix) else text", "stem"),
        ("if len(fitting) == 1:\n                matched[text]", "if fitting:\n                matched[text]"),
    ],
    ("merbench/targets/label_set.py", "tests/submission/test_items.py"): [
        ('if answers.sheet.has_blanks and self.empty == "allow":', "if answers.sheet.has_blanks:"),
        ('if answers.sheet.has_blanks and self.empty == "allow":', 'if self.empty == "allow":'),
    ],
    ("merbench/submission/content.py", "tests/submission/test_budget.py tests/submission/test_content.py"): [
        ("if number > limit:", "if number >= limit:"),
    ],
    ("merbench/submission/content.py", "tests/submission/test_budget.py"): [
        ("2 * len(candidates) * (rules.views or 1)", "2 * len(candidates)"),
    ],
    ("merbench/submission/arrays.py", "tests/submission"): [
        ("content.require(rows=shape[0])", "pass"),
    ],
    ("merbench/submission/parquet.py", "tests/submission/test_reading.py tests/submission/test_budget.py"): [
        ("content.require(rows=asked.rows, cells", "content.require(cells"),
    ],
    ("merbench/targets/label_set.py", "tests/targets/test_label_set.py"): [
        ('rest.partition("]")', 'rest.rpartition("]")'),
        ("[piece.lower() for piece", "[piece.strip().lower() for piece"),
    ],
    ("merbench/targets/preference.py", "tests/test_kinds_of_target.py"): [
        ("known[name]), False)", "known[name]), True)"),
    ],
    ("merbench/targets/multilabel.py", "tests/test_kinds_of_target.py"): [
        (" & answers.relevant", ""),
    ],
    ("merbench/track/validation.py", "tests/test_track.py"): [
        ("return  # its columns are not known", "continue"),
    ],
    # Training and robustness.
    ("merbench/training/samples.py", "tests/training/test_data.py"): [
        ("grouped_folds(self._kept[1], ", "grouped_folds(np.arange(len(self)), "),
    ],
    ("merbench/training/missing.py", "tests/training/test_missing.py"): [
        ("given[name][removed[rows]] = 0", "given[name][removed[rows]] *= 1"),
        ("(np.arange(values.shape[1]) < lengths[:, None])", "(lengths[:, None] >= 0)"),
    ],
    ("merbench/training/samples.py", "tests/training/test_missing.py"): [
        ("return int(digest[:15], 16) if epoch else self.seed", "return int(digest[:15], 16)"),
    ],
    ("merbench/training/reading.py", "tests/training/test_samples.py"): [
        ('f"{split}={value}"', 'value'),
    ],
    ("merbench/training/data.py", "tests/training/test_samples.py"): [
        ("is_known if development is None else is_known & ~development", "is_known"),
    ],
    ("merbench/files/arrow.py", "tests/corpus/test_folder.py"): [
        (" and not _is_compressed(batch.metadata.to_pybytes())", ""),
    ],
    ("merbench/corruptions/missing.py", "tests/corruptions/test_missing.py"): [
        ("np.where(is_full, rows + size, len(reach))", "len(reach)"),
    ],
    ("merbench/training/folds.py", "tests/training/test_data.py"): [
        ("np.where(equals, sizes, np.inf).argmin()", "equals.argmax()"),
        ("for name, codes in columns.items() if len(np.unique(codes)) > 1}", "for name, codes in columns.items()}"),
        ("if np.bincount(wider).max() <= max(", "if 0 <= max("),
    ],
    ("merbench/robustness/experiment.py", "tests/robustness/test_run.py"): [
        ('self.settings.feature_scale == "standardised" and self.of_features', "self.of_features"),
    ],
    ("merbench/robustness/samples.py", "tests/robustness/test_run.py"): [
        ("mean + deviation * corrupted", "deviation * corrupted"),
    ],
    ("merbench/robustness/reports.py", "tests/robustness/test_run.py"): [
        ('f"feature_scale:{settings.feature_scale}"', '"feature_scale"'),
    ],
    ("merbench/robustness/reports.py", "tests/robustness/test_comparison.py"): [
        ("combinations(range(len(names)), 2)", "[(i, i + 1) for i in range(len(names) - 1)]"),
    ],
    ("merbench/robustness/samples.py", "tests/robustness/test_comparison.py"): [
        ("for name in self.compared - names.keys()}", "for name in ()}"),
    ],
    ("merbench/robustness/equity.py", "tests/robustness/test_equity.py"): [
        ("np.maximum(drops, 0.0)", "np.abs(drops)"),
    ],
    ("merbench/corrupt/steps.py", "tests/corrupt/test_steps.py"): [
        ("if is_missing}", "if not is_missing}"),
    ],
    ("merbench/benchmark/ranking.py", "tests/benchmark/test_ranking.py"): [
        ("round(other - rank, DECIMALS) < difference", "round(other - rank, DECIMALS) <= difference"),
        ("return (n_rows * n_columns, *(", "return (n_columns, *("),
        ("/ math.sqrt(2)", ""),
    ],
    ("merbench/benchmark/run.py", "tests/benchmark/test_run.py"): [
        ("low=min(low, mean), high=max(high, mean)", "low=low, high=low"),
    ],
    ("merbench/training/resume.py", "tests/benchmark/test_run.py"): [
        ("digests = [corpus.digest]", 'digests = [""]'),
    ],
    # Untrusted text, declarations and streams.
    ("merbench/errors.py", "tests/test_hostile_text.py"): [
        ("object.__setattr__(self, name, printable(text, LONGEST_LINE))", "pass"),
        ("super().__init__(*(printable(line, LONGEST_LINE) for line in lines))", "super().__init__(*lines)"),
    ],
    ("merbench/cli/__init__.py", "tests/test_hostile_text.py"): [
        ('part if part in "\\n\\t" else printable(part, None)', "part"),
    ],
    ("merbench/report/html.py", "tests/test_hostile_text.py"): [
        ("return html.escape(printable(text, None))", "return html.escape(text)"),
    ],
    ("merbench/report/tables.py", "tests/test_hostile_text.py"): [
        ("    text = printable(text, None)\n    return f\"'", "    return f\"'"),
    ],
    ("merbench/report/html.py", "tests/report/test_html.py"): [
        ("math.ceil(cell.drawn * SHADES)", "math.floor(cell.drawn * SHADES)"),
        ("i == number + 1", "i == number"),
        ("return declared.pop() if len(declared) == 1 else None", "return declared.pop()"),
        ("(bar.value, bar.low, bar.high, bar.line)", "(bar.value,)"),
    ],
    ("merbench/report/latex.py", "tests/report/test_latex.py"): [
        ('"{}$&#_%"', '"{}$&#%"'),
        ('f"{{}}{first}" if first[:1] in ("[", "*") else first', "first"),
    ],
    ("merbench/report/scorecard.py", "tests/report/test_html.py"): [
        ("low >= -1 and high <= 1", "True"),
    ],
    ("merbench/report/comparison.py", "tests/report"): [
        ("row.p_holm < self.uncertainty.alpha", "row.p_holm > self.uncertainty.alpha"),
    ],
    ("merbench/files/toml.py", "tests/test_declarations.py"): [
        ("if not -(1 << 63) <= value < 1 << 63", "if False"),
    ],
    ("merbench/cli/__init__.py", "tests/cli/test_streams.py"): [
        ('.encode(encoding, "backslashreplace").decode(encoding)', ""),
    ],
    ("merbench/leaderboard/entry.py", "tests/leaderboard/test_entry.py"): [
        ("if (shown := printable(text, None)) != text:", "if (shown := printable(text, None)) and not text.isprintable():"),
    ],
    # Declared parameters, corruptions.
    ("merbench/parameters.py", "tests/test_parameters.py"): [
        ('"ge": self.low', '"gt": self.low'),
        ("parameter.is_required and name not in given", "not parameter.is_required and name not in given"),
    ],
    ("merbench/corruptions/declaration.py", "tests/corruptions/test_declaration.py"): [
        ("at_severity[values[SEVERITY] - 1]", "at_severity[values[SEVERITY] - 2]"),
    ],
    ("merbench/corruptions/declaration.py", "tests/corruptions/test_every_corruption.py -k change_nothing"): [
        ("any(all(complete[name] == value", "any(any(complete[name] == value"),
    ],
    ("merbench/corruptions/drawing.py", "tests/corruptions/test_drawing.py"): [
        ("power(10, decibels, 20)", "power(10, decibels, 10)"),
        ("(str(seed), step, sample_id)", "(str(seed), step)"),
        ("int(u * (abs(last - first) + 1))", "int(u * abs(last - first))"),
        ('f"shared {name}"', '"shared"'),
    ],
    ("merbench/corruptions/audio/levels.py", "tests/corruptions/audio/test_levels.py tests/corruptions/audio/test_noise.py"): [
        ("level / amplitude_ratio(snr_db) / sound_level(noise, what)", "level * amplitude_ratio(snr_db) / sound_level(noise, what)"),
        ("10 * math.log10(sound_power / noise_power)", "20 * math.log10(sound_power / noise_power)"),
    ],
    ("merbench/corruptions/audio/transmission.py", "tests/corruptions/audio/test_transmission.py"): [
        ("ends * loss_rate / (1 - loss_rate)", "ends * loss_rate"),
    ],
    ("merbench/corruptions/audio/levels.py", "tests/corruptions/audio/test_levels.py"): [
        ("np.clip(signal.samples, -threshold, threshold)", "np.clip(signal.samples, None, threshold)"),
    ],
    ("merbench/corruptions/features.py", "tests/corruptions/test_features.py"): [
        ("product *= 1.0 - beta", "product *= beta"),
        ("deviation = rms / amplitude_ratio(snr_db)", "deviation = rms * rms / amplitude_ratio(snr_db)"),
    ],
}
"""File of the source, tests that must fail -> text that is found exactly once, text that takes its place."""
# fmt: on

MUTANTS = [Mutant(file, old, new, tests) for (file, tests), changes in CHANGES.items() for old, new in changes]


def outcome(mutant: Mutant, copy: Path) -> str:
    """Return `killed`, `survived`, `stale`, or what else became of a mutant in a copy of the source."""
    mutated = mutant.source(copy)
    if mutated is None:
        return "stale"
    path = copy / mutant.file
    original = path.read_text(encoding="utf-8")
    path.write_text(mutated, encoding="utf-8")
    try:
        code = tested(mutant.tests, copy)
    finally:
        path.write_text(original, encoding="utf-8")
    return {0: "survived", 1: "killed"}.get(code, f"no test ran: pytest ended with {code}")


def tested(selection: str, copy: Path) -> int:
    """Return the exit code of pytest in a copy of the source; tests that need real data are skipped."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-n0", "-p", "no:cacheprovider", *shlex.split(selection)]
    environment = {key: value for key, value in os.environ.items() if key != "MERBENCH_TEST_DATA"}
    environment |= {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=copy, env=environment, capture_output=True, check=False).returncode


def main(words: list[str]) -> int:
    """Print what became of every mutant whose file a word is part of, or of all; return 1 unless all were killed."""
    chosen = [mutant for mutant in MUTANTS if not words or any(word in mutant.file for word in words)]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, copy / name)
        # Compiled by content, not by time: a mutation may be as long, and as old, as what it takes the place of.
        compileall.compile_dir(copy / "merbench", quiet=2, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
        selection = " ".join(sorted({part for mutant in chosen for part in mutant.tests.split() if "/" in part}))
        if tested(selection, copy):
            print(f"without any mutation, the tests fail already: {selection}")
            return 1
        found = []
        for mutant in chosen:
            found.append(outcome(mutant, copy))
            print(f"{found[-1]:9} {mutant.file}: {mutant.old.strip()!r} -> {mutant.new.strip()!r}", flush=True)
    n_killed = found.count("killed")
    print(f"{n_killed} of {len(chosen)} mutants killed")
    return int(n_killed < len(chosen))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
