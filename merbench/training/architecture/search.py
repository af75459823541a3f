"""`merbench search`: an architecture is searched, and compared with random ones and with permuted alphas.

On every fold, with every seed, a search sees only what is learned from, and what it finds is trained like every random
architecture; all are valued by the validation samples of the fold. No reference of a test sample is read. Features are
read once, and the samples of a fold, with their moments, serve all architectures.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as replaced
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from merbench.charts import require_matplotlib, training_curve
from merbench.devices import require_device
from merbench.engine import ShowProgress, suitable_threads
from merbench.errors import UsageError, listed, plural
from merbench.files.journal import Journal, journal_lines, require_same_run
from merbench.files.reading import sha256_bytes
from merbench.files.writing import write_text
from merbench.intervals import percentile_interval
from merbench.resampling import poisson_weights, rounded
from merbench.student import student_quantile
from merbench.track import Track, load_track
from merbench.training.architecture.report import FOUND, PERMUTED, ArchitectureReport, Candidate, Gap
from merbench.training.architecture.space import Space, decoded, permuted, random_genotypes
from merbench.training.declaration import Options, list_baselines
from merbench.training.output import versions
from merbench.training.plan import with_learning
from merbench.training.protocol import Progress, Setup, silent
from merbench.training.samples import Division, TrainingSet
from merbench.training.selection import cross_fit, ranking_signs, validated_value
from merbench.training.trainings import RunSettings, Trainings
from merbench.training.tuning.report import best_of

if TYPE_CHECKING:
    from merbench.training.architecture.searched import SearchedBaseline

JOURNAL, JSON, MARKDOWN, GENOTYPE, ALPHAS = "search.jsonl", "search.json", "search.md", "genotype.toml", "alphas.json"
UNFINISHED, GENOTYPES = "unfinished", "genotypes"

SEARCH = "search"
"""The name of the search whose genotype is written."""

FEWEST_RANDOM = 10
"""How many random architectures are needed to say anything about the rank of another one."""

N_RESAMPLES = 10_000


@dataclass(frozen=True, kw_only=True)
class ArchitectureSettings:
    """How an architecture is searched and compared.

    Attributes:
        random: how many random architectures it is compared with; 0: it is only searched.
        runs: how many seeds, 0, 1, …, every fold is trained with.
        seed: of the search on all samples, of folds, and of random architectures.
        options: options that differ from those declared.
        preset: a preset of the baseline, whose options and folds are taken.
        learning: keys of `[training]` of the track that are replaced.
        features: features to learn from; None takes what the baseline declares for the track, else all.
        device: `auto` (CUDA where there is one), `cpu`, `cuda`, `cuda:1`, …
    """

    random: int = FEWEST_RANDOM
    runs: int = 3
    seed: int = 0
    options: Options = field(default_factory=dict)
    preset: str | None = None
    learning: Mapping[str, Any] = field(default_factory=dict)
    features: Sequence[str] | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        if 0 < self.random < FEWEST_RANDOM or self.random < 0 or self.runs < 1:
            raise UsageError(
                f"{self.random} random architectures and {self.runs} seeds; needed: none, or at least "
                f"{FEWEST_RANDOM} random ones, and at least one seed"
            )


def search(
    track: str | Path | Track,
    baseline: str | Path = "bm-nas",
    settings: ArchitectureSettings | None = None,
    *,
    output: str | Path | None = None,
    replace: bool = False,
    progress: ShowProgress | None = None,
) -> ArchitectureReport:
    """Search an architecture on the training samples of a track, and write it with what it is worth.

    A search that was interrupted goes on; more random architectures or seeds are added to it.

    Args:
        track: a name, a folder, or a loaded track.
        baseline: a name, or a folder, of a baseline that searches its architecture.
        settings: everything else; None takes the defaults.
        output: folder to write; None is `runs/<track>/search-<baseline>`.
        replace: whether a search that the folder already contains is begun again.
        progress: called with a text and (done, total) steps; None shows nothing.

    Raises:
        UnknownName: no such track, baseline, preset, corpus or feature.
        DeclarationError: an option is unknown or not allowed.
        UsageError: the baseline searches nothing, the space is too small, or the folder has something else.
        IntegrityError: the folder has a search with other inputs, such as another space.
        WithheldReference: the references of the training samples are withheld.
    """
    settings = settings or ArchitectureSettings()
    declared = with_learning(track if isinstance(track, Track) else load_track(track), settings.learning)
    require_device(settings.device)
    require_matplotlib()
    work = _Work(declared, baseline, settings)
    folder = Path(output) if output is not None else default_folder(declared.id, work.trainings.loaded.name)
    _prepare(folder, replace=replace)
    rows = dict[str, dict[str, Any]]()
    header = work.header()
    for n, line in enumerate(journal_lines(folder / JOURNAL, lambda row: isinstance(row.get("unit"), str))):
        if n:
            rows[line["unit"]] = line
        else:
            remedy = "--force begins again, --output names another folder"
            require_same_run(folder, line, header, first=("track", "baseline", "space", "corpus"), remedy=remedy)
    with Journal(folder / JOURNAL, header) as journal:
        try:
            for unit, run in work.units(folder, rows, progress):
                if unit not in rows:
                    row = {"unit": unit, **run()}
                    journal.add(row)
                    rows[unit] = row
                    shutil.rmtree(folder / UNFINISHED / unit, ignore_errors=True)
        except KeyboardInterrupt:
            print(f"kept in {folder}: {plural(len(rows), 'result')}; the same command goes on", file=sys.stderr)
            raise
    shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
    report = work.report(rows)
    _write(folder, report, rows[SEARCH]["alphas"])
    return report


def default_folder(track_id: str, baseline: str) -> Path:
    """Return the folder that is written by default."""
    return Path("runs") / track_id / f"search-{baseline}"


def _prepare(folder: Path, *, replace: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file, not a folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / JOURNAL).is_file():
        raise UsageError(f"{folder}: is not empty and has no {JOURNAL}; --output names another folder")
    if replace and folder.is_dir():
        shutil.rmtree(folder)


class _Work:
    """What a search consists of: units with names, each of which gives a row of the journal."""

    def __init__(self, track: Track, baseline: str | Path, settings: ArchitectureSettings) -> None:
        self.settings, self.track = settings, track
        how = RunSettings(
            preset=settings.preset,
            learning=settings.learning,
            device=settings.device,
            seeds=range(settings.runs),
            features=settings.features,
            options={**settings.options, "genotype": "searched"},
        )
        self.trainings = trainings = Trainings(track, baseline, how)
        searching = [name for name, other in list_baselines() if "genotype" in other.defaults]
        if "genotype" not in trainings.loaded.declaration.defaults:
            name = trainings.loaded.name
            raise UsageError(f"baseline '{name}' searches no architecture; those that do: {listed(searching)}")
        if trainings.choices:
            raise UsageError(
                f"options {listed([*trainings.choices])} are selected by cross-validation; give them by --set"
            )
        self.options = trainings.options
        if len(trainings.plan.parts) > 1:
            raise UsageError(
                f"{track.id} leaves out each value of '{track.training.leave_out}' in turn, and each would need a "
                "search of its own; search on a track with one model"
            )
        self.train = trainings.learned(0)
        self.divisions = self.train.divisions(self.train.n_folds(trainings.n_folds), settings.seed)
        self.space: Space = self._baseline(Setup(device_name="cpu")).space(self.train.samples.widths)
        self.random = random_genotypes(self.space, settings.random, settings.seed) if settings.random else []

    def _baseline(self, setup: Setup, **options: Any) -> SearchedBaseline:
        built = self.trainings.loaded.build({**self.options, **options}, setup)
        return cast("SearchedBaseline", getattr(built, "built", None))

    def header(self) -> dict[str, Any]:
        """Return everything that results depend on, ready for JSON; how many there are is no part of it."""
        trainings, plan = self.trainings, self.trainings.plan
        content = plan.train.corpus.declaration.content
        header = {
            "track": f"{self.track.key} {self.track.fingerprint}",
            "training": self.track.training.digest,
            "corpus": f"{plan.train.corpus.name} {plan.train.corpus.version}",
            "references": plan.train.references.digest,
            "features": {name: content.features[name] for name in plan.features},
            "baseline": trainings.loaded.name,
            "files": trainings.files,
            "options": self.options,
            "space": str(self.space),
            "seed": self.settings.seed,
            "device": self.settings.device,
            "folds": self.train.described_folds(trainings.n_folds),
        }
        copied: dict[str, Any] = json.loads(json.dumps(header))
        return copied

    @property
    def cells(self) -> list[tuple[int, int]]:
        """Every fold and seed, those of the first seed first."""
        return [(fold, seed) for seed in range(self.settings.runs) for fold in range(len(self.divisions))]

    def units(
        self, folder: Path, rows: Mapping[str, Mapping[str, Any]], progress: ShowProgress | None
    ) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
        """Yield the name of every unit, and what computes it; `rows` are those that are done, as they grow."""
        cells = self.cells if self.settings.random else []
        names = [SEARCH, *(_name(item, *cell) for cell in cells for item in self._candidates)]
        show = (lambda text, done, total: None) if progress is None else progress

        def setup(unit: str, seed: int, n_folds: int, watch: Progress) -> Setup:
            return Setup(seed, n_folds, self.settings.device, watch, state=folder / UNFINISHED / unit)

        watch: Progress = silent if progress is None else partial(progress, "search")
        yield SEARCH, partial(self._searched, setup(SEARCH, self.settings.seed, len(self.divisions), watch))
        parts = [self.train.of_division(division) for division in self.divisions]
        for n, (fold, seed) in enumerate(cells):
            for k, item in enumerate(self._candidates):
                unit = _name(item, fold, seed)
                show("architectures", 1 + n * len(self._candidates) + k, len(names))
                path = folder / GENOTYPES / f"{unit if item == PERMUTED else item}.toml"
                if item != FOUND and unit not in rows:
                    write_text(path, self._toml(item, rows[_name(FOUND, fold, seed)], seed))
                given = "searched" if item == FOUND else str(path)
                yield unit, partial(self._trained, parts[fold], setup(unit, seed, 1, silent), given)
        show("architectures", len(names), len(names))

    @property
    def _candidates(self) -> list[str]:
        return [FOUND, PERMUTED, *(f"random-{n + 1}" for n in range(self.settings.random))]

    def _toml(self, item: str, found: Mapping[str, Any], seed: int) -> str:
        if item == PERMUTED:
            alphas = {name: np.array(values) for name, values in found["alphas"].items()}
            return decoded(self.space, permuted(alphas, seed)).toml(self.space)
        return self.random[int(item.rpartition("-")[2]) - 1].toml(self.space)

    def _searched(self, setup: Setup) -> dict[str, Any]:
        """Search on all samples that are learned from."""
        with suitable_threads(self.train.samples.n_values):
            found = self._baseline(setup).search(self.train)
        curve = found.curve
        return {
            "genotype": found.genotype.toml(self.space),
            "alphas": {name: values.tolist() for name, values in found.alphas.items()},
            "loss": curve.loss[:, 0].tolist(),
            "value": [value if math.isfinite(value) else None for value in curve.value[:, 0].tolist()],
            "epochs": len(curve.loss),
        }

    def _trained(self, part: TrainingSet, setup: Setup, genotype: str) -> dict[str, Any]:
        """Train an architecture on a fold, after a search where none is given, and value it."""
        options = {**self.options, "genotype": genotype}
        with suitable_threads(part.samples.n_values):
            result = cross_fit(partial(self.trainings.loaded.build, options), part, setup)
        (key, sign), value = ranking_signs(self.track)[0], validated_value(part, result.out_of_fold)[0]
        if not math.isfinite(value):
            raise UsageError(f"{key} is not defined on the validation samples of a fold; use fewer folds")
        assert result.curve is not None
        searched = result.details.get("search")
        row = {
            "genotype": result.details["genotype"],
            "value": sign * value,
            "epochs": len(result.curve.loss) + (len(searched["loss"]) if searched else 0),
        }
        return row | ({"alphas": searched["alphas"]} if searched else {})

    def report(self, rows: Mapping[str, Mapping[str, Any]]) -> ArchitectureReport:
        """Return the report on all units."""
        plan, settings, own = self.trainings.plan, self.settings, rows[SEARCH]
        (_, sign), compared = ranking_signs(self.track)[0], dict[str, Any]()
        if settings.random:
            compared = _compared(self._results(rows), sign, self.divisions, self._key)
        digest = sha256_bytes(json.dumps(self.header(), sort_keys=True).encode())
        name = f"baseline:{plan.loaded.name}|search:{digest[:8]}|random:{settings.random}|seeds:{settings.runs}"
        return ArchitectureReport(
            track=plan.track.key,
            title=plan.track.title,
            split=plan.train.split,
            synthetic=plan.test.corpus.synthetic,
            signature=f"{plan.track.key}#{plan.track.fingerprint[:8]}|{name}",
            decimals=plan.track.ranking.decimals,
            corpus=plan.train.corpus.name,
            baseline=plan.loaded.name,
            features=plan.features,
            space=self.space.id,
            options=self.options,
            ranking=plan.track.ranked_by[0],
            higher_is_better=sign > 0,
            seed=settings.seed,
            cross_validation=self.header()["folds"],
            seeds=tuple(range(settings.runs)),
            genotype=own["genotype"],
            loss=tuple(own["loss"]),
            value=tuple(own["value"]),
            epochs=own["epochs"],
            remarks=tuple(plan.warnings),
            versions=versions(),
            **compared,
        )

    @property
    def _key(self) -> str:
        return f"{self.trainings.loaded.name}|{self.settings.seed}"

    def _results(self, rows: Mapping[str, Mapping[str, Any]]) -> list[Candidate]:
        made = []
        for item in self._candidates:
            own = [rows[_name(item, *cell)] for cell in self.cells]
            values, texts = [float(row["value"]) for row in own], [str(row["genotype"]) for row in own]
            genotypes = tuple(texts if item in (FOUND, PERMUTED) else texts[:1])
            epochs = sum(int(row["epochs"]) for row in own)
            made.append(Candidate(item, genotypes, tuple(values), math.fsum(values) / len(values), epochs))
        return made


def _name(item: str, fold: int, seed: int) -> str:
    return f"{item}-fold-{fold + 1}-seed-{seed}"


def _compared(results: Sequence[Candidate], sign: int, divisions: Sequence[Division], key: str) -> dict[str, Any]:
    """Return the fields of the report that compare what was found with the others."""
    found, shuffled, *random = results
    values = sign * np.array([item.values for item in results])
    shared = float(np.mean([len(division.validate) / len(division.learn) for division in divisions]))
    others = values[2:]
    gaps = [
        ("mean of random", values[0] - others.mean(0)),
        (PERMUTED, values[0] - values[1]),
        ("best random by the other folds and seeds", values[0] - best_by_others(others)),
    ]
    means = [item.mean for item in random]
    ranked = [
        replaced(own, rank=rank, rank_low=low, rank_high=high)
        for own, place in ((found, 0), (shuffled, 1))
        for rank, low, high in [rank_interval(np.vstack([values[[place]], others]), key)]
    ]
    epochs = sum(item.epochs for item in random) / len(random)
    return {
        "found": ranked[0],
        "permuted": ranked[1],
        "random": tuple(random),
        "gaps": tuple(Gap(to, *mean_interval(differences, shared)) for to, differences in gaps),
        "best_of": best_of(means, higher_is_better=sign > 0, independent=True),
        "affordable": max(1, int(found.epochs / epochs)),
    }


def best_by_others(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return, for every fold and seed, the value of the architecture that is best on all others of these.

    A single fold and seed leaves nothing to choose by: the mean.

    Args:
        values: `(architectures, folds and seeds)`, higher is better.
    """
    if values.shape[1] == 1:
        return np.asarray(values.mean(0))
    chosen = (values.sum(1, keepdims=True) - values).argmax(0)
    return np.asarray(np.take_along_axis(values, chosen[None], 0)[0])


def mean_interval(differences: NDArray[np.float64], shared: float) -> tuple[float, float | None, float | None]:
    """Return the mean of differences over folds and seeds, and the ends of its interval at 95 %; None of a single one.

    Student's t, whose variance (1 / n + q) s² has the correction of Nadeau and Bengio (2003) for training samples that
    folds share; q, `shared`, is the number of validation samples for each one that is learned from.
    """
    n, mean = len(differences), float(differences.mean())
    if n < 2:
        return mean, None, None
    half = student_quantile(0.975, n - 1) * math.sqrt((1 / n + shared) * float(differences.var(ddof=1)))
    return mean, mean - half, mean + half


def rank_interval(values: NDArray[np.float64], key: str) -> tuple[int, int, int]:
    """Return the rank of the first architecture by its mean, and the ends of its interval at 95 %.

    Args:
        values: `(architectures, folds and seeds)`, higher is better.
        key: of the resamples of folds and seeds.
    """
    blocks = poisson_weights(f"ranks|{key}", values.shape[1], N_RESAMPLES)
    weights = np.concatenate([np.asarray(block, dtype=np.float64) for block in blocks])
    weights = np.vstack([np.ones(values.shape[1]), weights[weights.sum(1) > 0]])
    sums = rounded((weights[:, None] * values).sum(-1))
    drawn = 1 + (sums[:, 1:] > sums[:, :1]).sum(1)
    interval = percentile_interval(drawn[1:].astype(np.float64), 0.95)
    return int(drawn[0]), int(interval.low), int(interval.high)


def _write(folder: Path, report: ArchitectureReport, alphas: Mapping[str, Any]) -> None:
    write_text(folder / JSON, report.to_json())
    write_text(folder / MARKDOWN, report.to_markdown())
    write_text(folder / GENOTYPE, report.genotype)
    write_text(folder / ALPHAS, json.dumps(alphas, indent=1, sort_keys=True) + "\n")
    loss = np.array(report.loss)[:, None]
    value = np.array([np.nan if item is None else item for item in report.value])[:, None]
    training_curve(folder / "search.svg", loss, value, (len(loss),), value_name=report.ranking)
