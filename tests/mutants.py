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


MUTANTS = [
    # Labels.
    Mutant(
        "merbench/metrics/categorical.py",
        "(classes.n * classes.f1).sum(axis=1)",
        "(classes.predicted * classes.f1).sum(axis=1)",
        "tests/metrics/test_categorical.py",
    ),
    Mutant(
        "merbench/metrics/categorical.py",
        "_ratio(self.right, self.predicted)",
        "_ratio(self.right, self.n)",
        "tests/metrics/test_categorical.py",
    ),
    Mutant(
        "merbench/metrics/categorical.py",
        "_ratio(2 * self.right, self.n + self.predicted)",
        "_ratio(self.right, self.n + self.predicted)",
        "tests/metrics/test_categorical.py",
    ),
    Mutant(
        "merbench/metrics/categorical.py",
        "classes.total + classes.predicted.sum(axis=1))",
        "2 * classes.total)",
        "tests/metrics/test_categorical.py",
    ),
    Mutant(
        "merbench/metrics/categorical.py",
        "_ratio(classes.recall.sum(axis=1), np.count_nonzero(classes.n, axis=1))",
        "_ratio(classes.recall.sum(axis=1), classes.n.shape[1])",
        "tests/metrics/test_categorical.py",
    ),
    Mutant(
        "merbench/metrics/categorical.py",
        "np.where(possible > 0, _ratio(beyond, possible), 1.0)",
        "np.where(possible > 0, _ratio(beyond, possible), 0.0)",
        "tests/metrics/test_categorical.py",
    ),
    Mutant(
        "merbench/metrics/categorical.py",
        "total * predicted.sum(axis=1) - np.square(predicted)",
        "np.square(predicted.sum(axis=1)) - np.square(predicted)",
        "tests/metrics/test_categorical.py",
    ),
    # Numbers.
    Mutant(
        "merbench/metrics/continuous.py",
        "+ np.square(m.mean_difference)",
        "- np.square(m.mean_difference)",
        "tests/metrics/test_continuous.py",
    ),
    Mutant(
        "merbench/metrics/continuous.py",
        "m.n / np.maximum(m.n - 1, 1)",
        "m.n / np.maximum(m.n, 1)",
        "tests/metrics/test_continuous.py",
    ),
    Mutant(
        "merbench/metrics/continuous.py",
        "np.where(scale == 0, 0.0, np.clip(",
        "np.where(scale == 0, 1.0, np.clip(",
        "tests/metrics/test_continuous.py",
    ),
    Mutant(
        "merbench/metrics/continuous.py",
        "1 - error / variance",
        "1 - variance / error",
        "tests/metrics/test_continuous.py",
    ),
    Mutant(
        "merbench/metrics/continuous.py",
        "return np.sqrt(mse(reference, prediction, weights))",
        "return mse(reference, prediction, weights)",
        "tests/metrics/test_continuous.py",
    ),
    Mutant("merbench/metrics/continuous.py", "xy - x_mean * y_mean", "xy", "tests/metrics/test_continuous.py"),
    Mutant(
        "merbench/metrics/continuous.py", "CANCELLED = 2.0**-10", "CANCELLED = 0.0", "tests/metrics/test_continuous.py"
    ),
    # Sets, ranked answers, sentiment, several labels.
    Mutant(
        "merbench/metrics/label_set.py",
        "return _ratio(self.both, self.prediction)",
        "return _ratio(self.both, self.reference)",
        "tests/metrics/test_label_set.py",
    ),
    Mutant(
        "merbench/metrics/label_set.py",
        "prepared.reference + prepared.prediction - prepared.both",
        "prepared.reference + prepared.prediction",
        "tests/metrics/test_label_set.py",
    ),
    Mutant(
        "merbench/metrics/label_set.py",
        "np.where(denominator == 0, 1.0, _ratio",
        "np.where(denominator == 0, 0.0, _ratio",
        "tests/metrics/test_label_set.py",
    ),
    Mutant(
        "merbench/metrics/label_set.py",
        "(overlap.reference > 0)",
        "(overlap.reference >= 0)",
        "tests/metrics/test_label_set.py",
    ),
    Mutant("merbench/metrics/ranked.py", "(ranks < k)", "(ranks <= k)", "tests/metrics/test_ranked.py"),
    Mutant("merbench/metrics/sentiment.py", 'side="left"', 'side="right"', "tests/metrics/test_sentiment.py"),
    Mutant(
        "merbench/metrics/sentiment.py",
        "has_sign = reference != 0",
        "has_sign = prediction != 0",
        "tests/metrics/test_sentiment.py",
    ),
    Mutant(
        "merbench/metrics/multilabel.py",
        'if labels == "present" else len(cells)',
        'if labels == "declared" else len(cells)',
        "tests/metrics/test_multilabel.py",
    ),
    Mutant(
        "merbench/metrics/multilabel.py",
        "(wrong == 0)[known]",
        "(wrong <= 1)[known]",
        "tests/metrics/test_multilabel.py",
    ),
    # Detection and segments.
    Mutant(
        "merbench/metrics/detection.py",
        "(2 * np.cumsum(negatives, axis=1) - negatives)",
        "(2 * np.cumsum(negatives, axis=1))",
        "tests/metrics/test_detection.py",
    ),
    Mutant(
        "merbench/metrics/detection.py",
        "(rejected <= np.rint(0.05 * n)[:, None])",
        "(rejected < np.rint(0.05 * n)[:, None])",
        "tests/metrics/test_detection.py",
    ),
    Mutant(
        "merbench/metrics/detection.py",
        "np.lexsort((reference == 0, prediction))",
        "np.lexsort((reference == 1, prediction))",
        "tests/metrics/test_detection.py",
    ),
    Mutant(
        "merbench/metrics/detection.py",
        "(prediction[fake] >= threshold)",
        "(prediction[fake] > threshold)",
        "tests/metrics/test_detection.py",
    ),
    Mutant(
        "merbench/metrics/segments.py",
        "_share(2 * seconds.both, ",
        "_share(seconds.both, ",
        "tests/metrics/test_segments.py",
    ),
    # Sums and resampling.
    Mutant(
        "merbench/metrics/sums.py",
        "bits = 53 - math.frexp(_heaviest(weights) * n)[1]",
        "bits = 60 - math.frexp(_heaviest(weights) * n)[1]",
        "tests/metrics/test_sums.py",
    ),
    Mutant(
        "merbench/metrics/sums.py",
        "kept[:, self.first] + moved[:, self.second]",
        "moved[:, self.first] + kept[:, self.second]",
        "tests/metrics/test_sums.py",
    ),
    Mutant(
        "merbench/metrics/sums.py",
        "if n_places * n_units > MOST_EMPTY * len(places):",
        "if n_places * n_units < MOST_EMPTY * len(places):",
        "tests/metrics/test_sums.py -k take_no_table",
    ),
    Mutant(
        "merbench/metrics/sums.py",
        "sizes.max(initial=0) < 2**16",
        "sizes.max(initial=0) <= 2**16",
        "tests/metrics/test_sums.py -k many_rows_in_one_cell",
    ),
    Mutant(
        "merbench/metrics/sums.py",
        "sums[occurring, rows] = added",
        "sums[: len(occurring), rows] = added",
        "tests/metrics/test_sums.py -k exchanges",
    ),
    Mutant(
        "merbench/metrics/sums.py",
        "np.concatenate([self.first, self.second]), np.concatenate([self.second, self.first])",
        "np.concatenate([self.first, self.second]), np.concatenate([self.first, self.second])",
        "tests/metrics/test_sums.py -k exchanges",
    ),
    Mutant("merbench/resampling.py", "24109, 12056, 4018", "24109, 12057, 4017", "tests/test_resampling.py"),
    Mutant(
        "merbench/resampling.py",
        "_sorted_values(draws), (1 - level) / 2, (1 + level) / 2",
        "_sorted_values(draws), 1 - level, level",
        "tests/test_resampling.py",
    ),
    Mutant(
        "merbench/resampling.py",
        "(n_large + 1) / (n_permutations + 1)",
        "n_large / n_permutations",
        "tests/test_resampling.py",
    ),
    Mutant(
        "merbench/resampling.py",
        "smaller = differences < np.abs",
        "smaller = differences <= np.abs",
        "tests/test_resampling.py",
    ),
    Mutant(
        "merbench/resampling.py",
        "largest = max(largest, min(1.0, (len(p_values) - rank)",
        "largest = max(0.0, min(1.0, (len(p_values) - rank)",
        "tests/test_resampling.py",
    ),
    Mutant(
        "merbench/resampling.py",
        "min(1.0, (len(p_values) - rank) * p_values[index])",
        "min(1.0, len(p_values) * p_values[index])",
        "tests/test_resampling.py",
    ),
    Mutant(
        "merbench/resampling.py",
        'np.searchsorted(values, at, "left") + np.searchsorted(values, at, "right")',
        'np.searchsorted(values, at, "left") + np.searchsorted(values, at, "left")',
        "tests/test_resampling.py",
    ),
    Mutant("merbench/resampling.py", "(groups != numbers)", "(groups == numbers)", "tests/test_resampling.py"),
    # Scoring.
    Mutant(
        "merbench/scoring/evaluation.py",
        "SLACK = 1e-9",
        "SLACK = 1.0",
        "tests/test_scoring.py::test_a_metric_that_leaves_its_bounds_is_an_error",
    ),
    Mutant(
        "merbench/scoring/evaluation.py",
        "sum((weight * value for weight",
        "sum((abs(weight) * value for weight",
        "tests/test_scoring.py::test_values_are_those_of_scikit_learn",
    ),
    Mutant(
        "merbench/scoring/uncertainty.py",
        'f"#{id_}"',
        '"#"',
        "tests/test_scoring.py::test_samples_without_a_cluster_are_clusters_of_their_own",
    ),
    Mutant(
        "merbench/scoring/uncertainty.py",
        "{self.candidates.track.key}|{self.candidates.split}|{self.seed}",
        "{self.candidates.track.key}|{self.seed}",
        "tests/leaderboard/test_build.py -k paired_p_and_holm",
    ),
    Mutant(
        "merbench/scoring/comparison.py", "math.lcm(", "max(", "tests/leaderboard/test_build.py -k runs_of_two_systems"
    ),
    Mutant(
        "merbench/scoring/comparison.py",
        "zip(pairs, p_values, holm(p_values), strict=True)",
        "zip(pairs, p_values, p_values, strict=True)",
        "tests/test_scoring.py::test_a_comparison_has_paired_differences_p_values_and_holm",
    ),
    Mutant(
        "merbench/scoring/evaluation.py",
        "(values[order][1:] + values[order][:-1]) / 2",
        "values[order][1:]",
        "tests/test_kinds_of_target.py",
    ),
    Mutant(
        "merbench/scoring/evaluation.py",
        "(values * shares).sum(axis=0) / shares.sum(axis=0)",
        "(values * shares).sum(axis=0) / len(shares)",
        "tests/test_kinds_of_target.py",
    ),
    Mutant(
        "merbench/scoring/aligned.py",
        'np.searchsorted(edges, numbers, side="right") - 1',
        'np.searchsorted(edges, numbers, side="left") - 1',
        "tests/test_scoring.py",
    ),
    Mutant("merbench/scoring/aligned.py", "& ~dropped[rows]", "& dropped[rows]", "tests/test_kinds_of_target.py"),
    # Ranking and the board.
    Mutant(
        "merbench/leaderboard/ranking.py",
        "bisect_left(ranked, standing) + 1",
        "bisect_left(ranked, standing)",
        "tests/leaderboard/test_ranking.py",
    ),
    Mutant(
        "merbench/leaderboard/ranking.py",
        "if key.higher_is_better else value",
        "if not key.higher_is_better else value",
        "tests/leaderboard/test_ranking.py",
    ),
    Mutant(
        "merbench/leaderboard/ranking.py",
        "(pair[0], pair[1].order)",
        "pair[0]",
        "tests/leaderboard/test_ranking.py",
    ),
    Mutant(
        "merbench/report/tables.py",
        "rounding=ROUND_HALF_EVEN",
        'rounding="ROUND_HALF_UP"',
        "tests/leaderboard/test_ranking.py",
    ),
    Mutant(
        "merbench/leaderboard/build.py",
        "separable=p_holm < alpha(uncertainty)",
        "separable=p < alpha(uncertainty)",
        "tests/leaderboard/test_build.py -k separated_by_the_p",
    ),
    Mutant(
        "merbench/leaderboard/build.py",
        "            self.candidates.corpus.digest,\n            self.candidates.references.digest,\n",
        "            self.candidates.corpus.digest,\n",
        "tests/leaderboard/test_build.py -k remembered_belongs",
    ),
    Mutant(
        "merbench/leaderboard/build.py",
        "statistics.stdev(",
        "statistics.pstdev(",
        "tests/leaderboard/test_build.py -k mean_deviation",
    ),
    # Submissions.
    Mutant(
        "merbench/targets/categorical.py",
        "(given < largest)",
        "(given < largest - 0.1)",
        "tests/submission/test_checking.py -k probable",
    ),
    Mutant(
        "merbench/targets/categorical.py",
        "good = (table >= 0) & (table <= 1)",
        "good = (table >= 0) & (table < 1)",
        "tests/submission",
    ),
    Mutant(
        "merbench/submission/parquet.py",
        "unpacked_bytes=max(asked.memory, asked.page_bytes)",
        "unpacked_bytes=asked.memory",
        "tests/submission/test_reading.py -k pages_are_counted",
    ),
    Mutant(
        "merbench/submission/reading.py",
        'taken[missing] = -1 if taken.dtype.kind == "i"',
        'taken[missing] = 0 if taken.dtype.kind == "i"',
        "tests/submission",
    ),
    Mutant("merbench/submission/reading.py", "sums / np.maximum(counts, 1)", "sums", "tests/submission"),
    Mutant(
        "merbench/submission/reading.py",
        "np.lexsort((column, candidate_of))",
        "np.argsort(candidate_of, kind='stable')",
        "tests/submission",
    ),
    Mutant(
        "merbench/submission/ids.py",
        "recordings[fits] == recordings[place[fits]]",
        "True",
        "tests/submission/test_checking.py tests/test_kinds_of_target.py",
    ),
    Mutant(
        "merbench/submission/ids.py",
        "if folder == other or not folder or not other]",
        "]",
        "tests/submission/test_checking.py",
    ),
    Mutant(
        "merbench/submission/ids.py",
        "*with_suffix.get(name, ()), ",
        "",
        "tests/submission/test_checking.py",
    ),
    Mutant(
        "merbench/submission/ids.py",
        "stem if _FILE_ENDING.fullmatch(suffix) else text",
        "stem",
        "tests/submission/test_checking.py",
    ),
    Mutant(
        "merbench/submission/ids.py",
        "if len(fitting) == 1:\n                matched[text]",
        "if fitting:\n                matched[text]",
        "tests/submission/test_checking.py",
    ),
    Mutant(
        "merbench/targets/label_set.py",
        'if answers.sheet.has_blanks and self.empty == "allow":',
        "if answers.sheet.has_blanks:",
        "tests/submission/test_items.py",
    ),
    Mutant(
        "merbench/targets/label_set.py",
        'if answers.sheet.has_blanks and self.empty == "allow":',
        'if self.empty == "allow":',
        "tests/submission/test_items.py",
    ),
    Mutant(
        "merbench/submission/content.py",
        "if number > limit:",
        "if number >= limit:",
        "tests/submission/test_budget.py tests/submission/test_content.py",
    ),
    Mutant(
        "merbench/submission/content.py",
        "2 * len(candidates) * (rules.views or 1)",
        "2 * len(candidates)",
        "tests/submission/test_budget.py",
    ),
    Mutant(
        "merbench/submission/arrays.py",
        "content.require(rows=shape[0])",
        "pass",
        "tests/submission",
    ),
    Mutant(
        "merbench/submission/parquet.py",
        "content.require(rows=asked.rows, cells",
        "content.require(cells",
        "tests/submission/test_reading.py tests/submission/test_budget.py",
    ),
    Mutant(
        "merbench/targets/label_set.py",
        'rest.partition("]")',
        'rest.rpartition("]")',
        "tests/targets/test_label_set.py",
    ),
    Mutant(
        "merbench/targets/label_set.py",
        "[piece.lower() for piece",
        "[piece.strip().lower() for piece",
        "tests/targets/test_label_set.py",
    ),
    Mutant(
        "merbench/targets/preference.py",
        "known[name]), False)",
        "known[name]), True)",
        "tests/test_kinds_of_target.py",
    ),
    Mutant(
        "merbench/targets/multilabel.py",
        " & answers.relevant",
        "",
        "tests/test_kinds_of_target.py",
    ),
    Mutant(
        "merbench/track/validation.py",
        "return  # its columns are not known",
        "continue",
        "tests/test_track.py",
    ),
    # Training and robustness.
    Mutant(
        "merbench/training/protocol.py",
        'return self.cluster if self.n_clusters > 1 else ""',
        "return self.cluster",
        "tests/training/test_data.py",
    ),
    Mutant(
        "merbench/training/protocol.py",
        "grouped_folds(self.clusters, ",
        "grouped_folds(np.arange(len(self)), ",
        "tests/training/test_data.py",
    ),
    Mutant(
        "merbench/training/protocol.py",
        "np.where(equals, sizes, np.inf).argmin()",
        "equals.argmax()",
        "tests/training/test_data.py",
    ),
    Mutant(
        "merbench/robustness/experiment.py",
        'self.settings.feature_scale == "standardised" and self.of_features',
        "self.of_features",
        "tests/robustness/test_run.py",
    ),
    Mutant(
        "merbench/robustness/samples.py",
        "mean + deviation * corrupted",
        "deviation * corrupted",
        "tests/robustness/test_run.py",
    ),
    Mutant(
        "merbench/robustness/run.py",
        'f"feature_scale:{settings.feature_scale}"',
        '"feature_scale"',
        "tests/robustness/test_run.py",
    ),
    # Untrusted text, declarations and streams.
    Mutant(
        "merbench/errors.py",
        "object.__setattr__(self, name, printable(text, LONGEST_LINE))",
        "pass",
        "tests/test_hostile_text.py",
    ),
    Mutant(
        "merbench/errors.py",
        "super().__init__(*(printable(line, LONGEST_LINE) for line in lines))",
        "super().__init__(*lines)",
        "tests/test_hostile_text.py",
    ),
    Mutant(
        "merbench/cli/__init__.py",
        'part if part in "\\n\\t" else printable(part, None)',
        "part",
        "tests/test_hostile_text.py",
    ),
    Mutant(
        "merbench/report/tables.py",
        "return html.escape(printable(text, None))",
        "return html.escape(text)",
        "tests/test_hostile_text.py",
    ),
    Mutant(
        "merbench/leaderboard/board.py",
        "    text = printable(text, None)\n",
        "",
        "tests/test_hostile_text.py",
    ),
    Mutant(
        "merbench/files/toml.py",
        "if not -(1 << 63) <= value < 1 << 63",
        "if False",
        "tests/test_declarations.py",
    ),
    Mutant(
        "merbench/cli/__init__.py",
        '.encode(encoding, "backslashreplace").decode(encoding)',
        "",
        "tests/cli/test_streams.py",
    ),
    Mutant(
        "merbench/leaderboard/entry.py",
        "if (shown := printable(text, None)) != text:",
        "if (shown := printable(text, None)) and not text.isprintable():",
        "tests/leaderboard/test_entry.py",
    ),
    # Corruptions.
    Mutant(
        "merbench/corruptions/drawing.py",
        "power(10, decibels, 20)",
        "power(10, decibels, 10)",
        "tests/corruptions/test_drawing.py",
    ),
    Mutant(
        "merbench/corruptions/drawing.py",
        "(str(seed), step, sample_id)",
        "(str(seed), step)",
        "tests/corruptions/test_drawing.py",
    ),
    Mutant(
        "merbench/corruptions/drawing.py",
        "int(u * (abs(last - first) + 1))",
        "int(u * abs(last - first))",
        "tests/corruptions/test_drawing.py",
    ),
    Mutant(
        "merbench/corruptions/drawing.py",
        'f"shared {name}"',
        '"shared"',
        "tests/corruptions/test_drawing.py",
    ),
    Mutant(
        "merbench/corruptions/audio/levels.py",
        "level / amplitude_ratio(snr_db) / sound_level(noise, what)",
        "level * amplitude_ratio(snr_db) / sound_level(noise, what)",
        "tests/corruptions/audio/test_levels.py tests/corruptions/audio/test_noise.py",
    ),
    Mutant(
        "merbench/corruptions/audio/levels.py",
        "10 * math.log10(sound_power / noise_power)",
        "20 * math.log10(sound_power / noise_power)",
        "tests/corruptions/audio/test_levels.py tests/corruptions/audio/test_noise.py",
    ),
    Mutant(
        "merbench/corruptions/audio/transmission.py",
        "ends * loss_rate / (1 - loss_rate)",
        "ends * loss_rate",
        "tests/corruptions/audio/test_transmission.py",
    ),
    Mutant(
        "merbench/corruptions/audio/levels.py",
        "np.clip(signal.samples, -threshold, threshold)",
        "np.clip(signal.samples, None, threshold)",
        "tests/corruptions/audio/test_levels.py",
    ),
    Mutant(
        "merbench/corruptions/features.py",
        "product *= 1.0 - beta",
        "product *= beta",
        "tests/corruptions/test_features.py",
    ),
    Mutant(
        "merbench/corruptions/features.py",
        "deviation = rms / amplitude_ratio(snr_db)",
        "deviation = rms * rms / amplitude_ratio(snr_db)",
        "tests/corruptions/test_features.py",
    ),
]


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
