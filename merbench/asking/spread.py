"""How far the prompt decides: the score of one language model under several prompts, and how it spreads over them.

Conventions:
    A model is asked by a first prompt, and by others that differ from it in one respect each: the order of candidates
    (or of the two descriptions), the paraphrase, the number of the repetition, which is the same prompt again. All
    prompts are scored on the same samples and resampled with the same weights, so that what they have in common
    cancels. The prompts are not resampled: what is said holds for these prompts, and other samples.

    The spread over k prompts is the standard deviation s of their scores (k - 1). Scores of a finite sample differ also
    where prompts are worth the same: by chance alone their variance would be v, the mean over resamples of the
    variance over prompts, each prompt less its own mean over resamples. The interval takes (k - 1) s² / v as noncentral
    χ² with k - 1 degrees of freedom, which it is where differences of scores are normal and alike for all pairs of
    prompts, and inverts its two tests (Steiger & Fouladi, 1997). So it begins at 0 where the scores do not show that
    the prompt makes any difference.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from statistics import NormalDist
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from merbench.asking.requests import in_order
from merbench.asking.run import SUBMISSION, AskedRun, Estimate, Files, ask, estimate, folder_name
from merbench.asking.settings import Asked, How, Material, Model, prompts
from merbench.corpus.candidates import Candidates, open_candidates
from merbench.errors import UsageError, plural
from merbench.files.writing import write_text
from merbench.language_models import NoReply
from merbench.report import Report, ReportTable
from merbench.resampling import DECIMALS, MOST_LEFT_OUT
from merbench.scoring import public_score, resampling_of, score_and_draws
from merbench.submission import read_submission
from merbench.track import Track

Floats = NDArray[np.float64]

AXES = {"order": "orders", "paraphrase": "paraphrases", "repeat": "repetitions"}
"""In what prompts differ, and what several are called."""

FIRST = "first prompt"
ALL = "all"

SPREAD = "spread"
"""The name of the report's files."""

_MOST_SEEDS = 10_000
_CERTAIN, _LEAST = 1e4, 1e-9


@dataclass(frozen=True, slots=True)
class PromptRow:
    """One prompt.

    Attributes:
        axis: in what it differs from the first prompt; empty for that one.
        name: what it is called, and the folder of its run.
        value: the score by which the track ranks.
        low: lower end of its interval for other samples, `high` the upper one; None without intervals.
        n_unread: how many answers have no cell, over all targets.
        changed: the share of samples whose cells differ from those of the first prompt; None for that one.
    """

    axis: str
    name: str
    value: float
    low: float | None
    high: float | None
    n_unread: int
    changed: float | None


@dataclass(frozen=True, slots=True)
class SpreadRow:
    """The scores of the first prompt and those that differ from it in one respect, or of all prompts.

    Attributes:
        axis: in what they differ, or `all`.
        n: how many prompts, with the first one.
        lowest: the lowest score, `highest` the highest one.
        deviation: their standard deviation, n - 1.
        low: lower end of its interval for other samples, `high` the upper one; None without intervals.
        by_chance: the deviation that prompts of equal worth would have on so many samples; None without intervals.
    """

    axis: str
    n: int
    lowest: float
    highest: float
    deviation: float
    low: float | None = None
    high: float | None = None
    by_chance: float | None = None


@dataclass(frozen=True, kw_only=True)
class SpreadReport(Report):
    """How far the prompt decides.

    Attributes:
        model: the name of the language model.
        metric: the short name of what the track ranks by first.
        hidden: whether it is secret which candidates are scored.
        rows: the prompts, the first one first.
        spreads: of every axis with several prompts, then of all prompts.
    """

    SCHEMA: ClassVar[str] = "merbench.spread/1"

    model: str
    metric: str
    hidden: bool
    rows: tuple[PromptRow, ...]
    spreads: tuple[SpreadRow, ...]

    @property
    def heading(self) -> str:
        """The first line of every form."""
        return f"{super().heading}: {plural(len(self.rows), 'prompt')}"

    def lead(self) -> tuple[str, ...]:
        """Return the spread over all prompts."""
        spread = self.spreads[-1]
        return self.estimate(
            spread.deviation, spread.low, spread.high
        ), f"standard deviation of {self.metric} over prompts"

    def tables(self) -> list[ReportTable]:
        """Return the spreads, then the prompts."""
        has_intervals = self.uncertainty is not None
        spreads = [
            (
                spread.axis,
                f"{spread.n}",
                self.number(spread.lowest),
                self.number(spread.highest),
                self.number(spread.highest - spread.lowest),
                self.estimated(spread.deviation, spread.low, spread.high),
                *([self.number(spread.by_chance)] if has_intervals else []),
            )
            for spread in self.spreads
        ]
        head = ("differ in", "prompts", "lowest", "highest", "range", f"deviation{self._with_interval}")
        rows = [
            (
                row.name,
                self.estimated(row.value, row.low, row.high),
                self.number(row.value - self.rows[0].value),
                "" if row.changed is None else f"{100 * row.changed:.1f}%",
                f"{row.n_unread:,}",
            )
            for row in self.rows
        ]
        columns = ("prompt", f"{self.metric}{self._with_interval}", "Δ vs first", "answers changed", "not read")
        return [
            ReportTable("spread over prompts", (*head, *(["by chance"] if has_intervals else [])), spreads),
            ReportTable("prompts", columns, rows),
        ]

    @property
    def _with_interval(self) -> str:
        return "" if self.uncertainty is None else f" [{self.interval_head}]"

    def notes(self) -> list[str]:
        """Return what was asked, and how to read the intervals."""
        lines = [
            f"model: {self.model}",
            "deviation: standard deviation of the scores of these prompts, n - 1",
        ]
        if self.uncertainty is not None:
            lines += [
                "its interval: for other samples and the same prompts, paired over prompts, by noncentral χ²; where it "
                "begins at 0, the scores do not show that the prompt makes any difference",
                "by chance: the deviation that prompts of equal worth would have on these samples",
                self.uncertainty.note("prompts", "the spreads"),
            ]
        elif self.hidden:
            lines.append("only part of the candidates is scored, and which part is secret: no intervals")
        return [*lines, f"signature: {self.signature}"]


@dataclass(frozen=True)
class Grid:
    """How many prompts there are in each respect, the first one among them."""

    orders: int = 1
    paraphrases: int = 1
    repeats: int = 1

    def __post_init__(self) -> None:
        if min(self.orders, self.paraphrases, self.repeats) < 1:
            raise UsageError("at least 1 order, 1 paraphrase and 1 repetition are asked for")
        if max(self.orders, self.paraphrases, self.repeats) == 1:
            raise UsageError("a spread needs at least 2 orders, 2 paraphrases or 2 repetitions")


@dataclass(frozen=True)
class _Variant:
    """One prompt: its name, in what it differs from the first, and how it is asked."""

    axis: str  # of `AXES`; empty for the first one
    name: str
    how: How = field(repr=False)


def prompt_spread(
    track: str | Path | Track,
    model: Model | tuple[Model, Model],
    grid: Grid,
    how: How | None = None,
    *,
    files: Files | None = None,
    progress: Callable[[str, int, int], None] = lambda text, done, total: None,
    note: Callable[[str], None] = lambda text: None,
) -> SpreadReport:
    """Ask a language model by several prompts, and report how its score spreads over them.

    The folder that is written has a folder per prompt, which is a run of `ask`, and the report.

    Args:
        track: a name, a folder, or a loaded track.
        model: as for `ask`.
        grid: how many prompts.
        how: how the first prompt asks.
        files: as for `ask`; the default folder is `runs/<track>/prompts-<model>`.
        progress: as for `ask`.
        note: as for `ask`.

    Raises:
        UsageError: there are not so many prompts; a submission has no score.
        NoReply: samples could not be asked about; the same call asks only what is missing.
    """
    how, files = how or How(), files or Files()
    candidates = open_candidates(track, how.split)
    main = model[0] if isinstance(model, tuple) else model
    folder = files.output or Path("runs") / candidates.track.id / f"prompts-{folder_name(main)}"
    variants = _variants(candidates, how, grid)
    runs: list[AskedRun] = []
    for variant in variants:
        note(f"{variant.name} ({len(runs) + 1} of {len(variants)})")
        own = replace(files, output=folder / variant.name.replace(" ", "-"), intervals=False)
        run = ask(candidates.track, model, variant.how, files=own, progress=progress, note=note)
        if run.folder is None:
            missing = run.counts()["failed"]
            raise NoReply(f"{variant.name}: {plural(missing, 'answer')} missing; the same command asks only for these")
        if run.report is None:
            raise UsageError(f"{variant.name}: {run.withheld}")
        runs.append(run)
    report = _report(main.model, variants, runs, files.intervals)
    write_text(folder / f"{SPREAD}.json", report.to_json())
    write_text(folder / f"{SPREAD}.md", report.to_markdown())
    return report


def estimate_spread(
    track: str | Path | Track,
    model: Model | tuple[Model, Model],
    grid: Grid,
    how: How | None = None,
    *,
    answers: Path | None = None,
) -> Estimate:
    """Return what `prompt_spread` would take; nothing is sent and nothing written. The arguments are as there."""
    how = how or How()
    candidates = open_candidates(track, how.split)
    all_prompts = [
        estimate(candidates.track, model, each.how, answers=answers) for each in _variants(candidates, how, grid)
    ]
    return Estimate(*(sum(getattr(each, item.name) for each in all_prompts) for item in fields(Estimate)))


def _variants(candidates: Candidates, how: How, grid: Grid) -> list[_Variant]:
    """Return the prompts; all of them can be asked."""
    asked = prompts(Material(candidates, how), replace(how, paraphrase=how.paraphrase + grid.paraphrases - 1))
    variants = [_Variant("", FIRST, how)]
    for seed in _order_seeds(asked, how.order_seed, grid.orders - 1):
        variants.append(_Variant("order", f"order {seed}", replace(how, order_seed=seed)))
    for number in range(how.paraphrase + 1, how.paraphrase + grid.paraphrases):
        variants.append(_Variant("paraphrase", f"paraphrase {number}", replace(how, paraphrase=number)))
    for number in range(how.repeat + 1, how.repeat + grid.repeats):
        variants.append(_Variant("repeat", f"repeat {number}", replace(how, repeat=number)))
    return variants


def _order_seeds(asked: Sequence[Asked], first: int | None, n: int) -> list[int]:
    """Return the least seeds that give n orders which differ from each other and from the first one."""
    lists = [items for each in asked if (items := _ordered(each))]
    if n and not lists:
        names = ", ".join(sorted({each.prompt.template.name for each in asked}))
        raise UsageError(f"protocol {names} shows no candidates, so that their order changes nothing")

    def order(seed: int | None) -> tuple[tuple[str, ...], ...]:
        return tuple(tuple(in_order(items, seed)) for items in lists)

    seen, seeds = {order(first)}, list[int]()
    for seed in range(_MOST_SEEDS if n else 0):
        if order(seed) not in seen:
            seen.add(order(seed))
            seeds.append(seed)
        if len(seeds) == n:
            return seeds
    if n:
        raise UsageError(f"{n + 1:,} orders of candidates are asked for; there are {len(seen):,}")
    return seeds


def _ordered(asked: Asked) -> Sequence[str]:
    """Return what a prompt shows in an order: candidates, or two descriptions; nothing if it shows none."""
    protocol = asked.prompt.template.protocol
    texts = [
        protocol.system,
        *(text for step in protocol.steps for text in (*step.texts, step.form, step.form_of_several)),
    ]
    if any("{pair}" in text for text in texts):
        return ("a1", "a2")
    return asked.prompt.target.scored_labels if any("{candidates}" in text for text in texts) else ()


def _report(model: str, variants: Sequence[_Variant], runs: Sequence[AskedRun], intervals: bool) -> SpreadReport:
    candidates = runs[0].candidates
    name = candidates.track.ranked_by[0]
    how = resampling_of(candidates).in_range() if intervals and not candidates.hidden else None
    scores, draws = [], []
    for run in runs:
        assert run.folder is not None
        read = read_submission(run.folder / SUBMISSION, candidates)
        report, own = (public_score(read), {}) if how is None else score_and_draws(read, how)
        scores.append((report, next(score for score in report.scores if score.name == name)))
        draws.append(own.get(scores[-1][1].key))
    values = np.array([score.value for _, score in scores], dtype=np.float64)
    known = [own for own in draws if own is not None]
    table = np.stack(known) if len(known) == len(runs) else None
    rows = [
        PromptRow(
            variant.axis,
            variant.name,
            float(value),
            score.low,
            score.high,
            sum(each.cells is None for own in run.given.values() for each in own),
            _changed(runs[0], run) if variant.axis else None,
            # (runs[0], run),
        )
        for variant, run, value, (_, score) in zip(variants, runs, values, scores, strict=True)
    ]
    spreads = []
    for axis in (*AXES, ALL):
        places = [place for place, row in enumerate(rows) if axis == ALL or row.axis in ("", axis)]
        if len(places) > 1 and (axis != ALL or len({row.axis for row in rows}) > 2):
            own_draws = None if table is None else table[places]
            level = None if how is None else how.level
            spreads.append(spread_of(AXES.get(axis, axis), values[places], own_draws, level))
    first, _ = scores[0]
    return SpreadReport(
        track=first.track,
        title=first.title,
        split=first.split,
        synthetic=first.synthetic,
        signature=first.signature,
        uncertainty=None if how is None else how.uncertainty,
        decimals=first.decimals,
        model=model,
        metric=name,
        hidden=candidates.hidden,
        rows=tuple(rows),
        spreads=tuple(spreads),
    )


def _changed(first: AskedRun, other: AskedRun) -> float:
    pairs = [
        (a.cells, b.cells) for name in first.given for a, b in zip(first.given[name], other.given[name], strict=True)
    ]
    return sum(a != b for a, b in pairs) / len(pairs)


def spread_of(axis: str, values: Floats, draws: Floats | None = None, level: float | None = None) -> SpreadRow:
    """Return how scores spread over prompts, with the interval that the module's conventions define.

    Args:
        axis: in what the prompts differ.
        values: `(k,)` their scores.
        draws: `(k, b)` their scores under the same b resamples of samples; resamples in which one has none are left
            out, and more than a fifth of them leaves no interval. None for no interval.
        level: of the interval.
    """
    variance = float(np.var(values, ddof=1))
    made = SpreadRow(axis, len(values), float(values.min()), float(values.max()), math.sqrt(variance))
    if draws is None or level is None:
        return made
    complete = draws[:, np.isfinite(draws).all(axis=0)]
    if complete.shape[1] < (1 - MOST_LEFT_OUT) * draws.shape[1]:
        return made
    errors = complete - complete.mean(axis=1, keepdims=True)
    by_chance = round(math.sqrt(float(np.var(errors, axis=0, ddof=1).mean())), DECIMALS)
    low, high = (round(end, DECIMALS) for end in _ends(made.deviation, by_chance, len(values) - 1, level))
    return replace(made, low=low, high=high, by_chance=by_chance)


def _ends(deviation: float, by_chance: float, degrees: int, level: float) -> tuple[float, float]:
    """Return the ends of the interval of a spread, given the one by chance."""
    from scipy.optimize import brentq
    from scipy.stats import ncx2

    if not by_chance:
        return deviation, deviation  # all resamples agree
    ratio = degrees * (deviation / by_chance) ** 2
    scale = by_chance / math.sqrt(degrees)
    if ratio > _CERTAIN:  # the root of noncentral χ² is normal, with a variance of 1
        width = NormalDist().inv_cdf((1 + level) / 2) * scale
        return deviation - width, deviation + width

    def noncentrality(share: float) -> float:
        """Return the noncentrality under which a share of ratios is at most the one found."""

        def excess(value: float) -> float:
            return float(ncx2.cdf(ratio, degrees, value)) - share

        if excess(_LEAST) <= 0:
            return 0.0
        most = max(ratio, 1.0)
        while excess(most) > 0:
            most *= 2
        return float(brentq(excess, _LEAST, most))

    ends = (noncentrality(share) for share in ((1 + level) / 2, (1 - level) / 2))
    low, high = (scale * math.sqrt(end) for end in ends)
    return low, high
