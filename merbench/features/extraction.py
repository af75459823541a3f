"""Features of a corpus: what is to be extracted, the run, which may be interrupted, and the features that it adds.

The unit of work is a clip, decoded once for all extractors, or some texts. A worker writes what it measured into a
working folder, hidden in the corpus folder; the journal there has a line for each unit that is done. A run that was
interrupted, in any way, is continued by the same command, and ends in the same bytes.

==========================  =====================================================================================
.extract/<inputs>/          the working folder of runs with the same extractors, options and versions
    journal                 a line of JSON for the inputs, then one for each unit that is done, with its file's digest
    <unit>.npz              for each feature, by its place: `<i>.vectors` (n, d), or `<i>.frames` (m, d) with
                            `<i>.lengths` (n,) and, if they are known, `<i>.times` (m,); n: samples without a problem
==========================  =====================================================================================
"""

from __future__ import annotations

import json
import platform
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Unpack

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from merbench.corpus import Corpus, ExtractionRecord, Feature, add_features
from merbench.corpus.clips import Clips, find_clips
from merbench.corpus.create import require_feature_names
from merbench.corpus.declaration import sequence_name
from merbench.corpus.feature import MOST_FEATURE_BYTES
from merbench.engine import Execution, ShowProgress, WorkerDied, require_engine, run, suitable_threads
from merbench.errors import (
    EXAMPLES_SHOWN,
    Inapplicable,
    IntegrityError,
    MalformedFile,
    OutputError,
    UnreadableMedia,
    UsageError,
    did_you_mean,
    fault,
    listed,
    plural,
)
from merbench.features.clips import Measured, measure_clips, measure_texts
from merbench.features.faces import settings_digest
from merbench.features.outputs import Recipe, kept, kept_for_a_run, vectors_of_corpus
from merbench.features.weights import digest_of
from merbench.files.journal import Journal, journal_lines
from merbench.files.npy import read_npz
from merbench.files.reading import sha256_bytes, sha256_file
from merbench.files.writing import atomic_path, require_alone, sweep
from merbench.media.reading import media_versions
from merbench.own_code import installed_version, packages_of

SCHEMA = "merbench.extraction/1"

WORKING = ".extract"
"""The hidden folder of a corpus with the working folders of runs."""

JOURNAL = "journal"

_TEXTS = 192
"""How many samples' texts are a unit of work."""

_OF_CLIPS = ("sound", "pictures", "faces")

Only = Literal["vectors", "frames"]
Row = Mapping[str, Any]
"""A line of the journal."""


@dataclass(frozen=True, eq=False)
class Request:
    """What is to be extracted from a corpus."""

    recipes: Sequence[Recipe]
    media: Sequence[str | Path] = ()  # folders of clips; the last one with a clip of a sample counts
    columns: Sequence[str] = ("transcript",)  # of text; of several, vectors are side by side and sequences in a row
    train_split: str = "train"  # what an extractor that learns from a corpus learns from
    only: Only | None = None  # of extractors that return sequences, only the pooled vectors, or only the sequences

    def of(self, *inputs: str) -> list[Recipe]:
        """Return the recipes of extractors that read some kinds of input."""
        return [recipe for recipe in self.recipes if recipe.extractor.input in inputs]

    def names(self, recipe: Recipe) -> dict[str, str]:
        """Return the features that a recipe makes: `vectors` or `frames` -> name."""
        frames = {"frames": sequence_name(recipe.name, recipe.extractor.unit)} if recipe.is_sequence else {}
        both = frames if recipe.extractor.pictures else {"vectors": recipe.name, **frames}
        return {form: name for form, name in both.items() if self.only in (None, form)}


@dataclass(frozen=True, eq=False)
class Extracted:
    """Features that were extracted and added to a corpus."""

    corpus: Corpus  # the corpus that has them
    features: Mapping[str, Feature] = field(repr=False)  # by name; each is read when it is asked for
    problems: Mapping[str, Mapping[str, str]]  # name of a recipe -> sample -> why it has no value
    without: Mapping[str, int]  # splits of which no sample has a clip, and how many samples they have
    n_kept: int  # how many samples an earlier run had done
    # folder after the first -> its media files that belong to no sample; expected are those of clean clips only
    unused: Mapping[Path, Sequence[PurePosixPath]]


class NothingExtracted(UsageError):
    """No sample has a value of any feature; `problems` are those of `Extracted`."""

    def __init__(self, corpus: Corpus, problems: Mapping[str, Mapping[str, str]]) -> None:
        self.problems = problems
        reasons = [f"sample {sample_id}: {reason}" for sample_id, _, reason in problems_by_sample(problems)]
        where = f"corpus '{corpus.name}': no sample has a value of {listed(list(problems))}"
        first = f"; the first {EXAMPLES_SHOWN}" if len(reasons) > EXAMPLES_SHOWN else ""
        lines = [f"  {text}" for text in reasons[:EXAMPLES_SHOWN]]
        super().__init__(f"{where} ({plural(len(reasons), 'problem')}){first}:", *lines)


def problems_by_sample(problems: Mapping[str, Mapping[str, str]]) -> list[tuple[str, tuple[str, ...], str]]:
    """Return the problems of `Extracted` as sample, features, reason: what several features share is one problem."""
    features: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, reasons in problems.items():
        for sample_id, reason in reasons.items():
            features[sample_id, reason].append(name)
    return [(sample_id, tuple(names), reason) for (sample_id, reason), names in sorted(features.items())]


@dataclass(frozen=True)
class Unit:
    """Samples that are measured together, by one worker."""

    kind: Literal["clips", "texts"]
    samples: Mapping[str, Any]  # sample -> path of its clip, or its texts

    @cached_property
    def name(self) -> str:
        """A name for its file, from its samples."""
        return sha256_bytes("\n".join([self.kind, *self.samples]).encode())[:24]

    def apart(self) -> list[Unit]:
        """Return a unit for each sample, which shows which of them kills its worker."""
        return [Unit(self.kind, {sample_id: item}) for sample_id, item in self.samples.items()]

    def inputs(self) -> dict[str, list[Any]]:
        """Return what the outputs of every sample depend on: a digest, and of a clip its size and time stamp."""
        if self.kind == "texts":
            return {name: [sha256_bytes(json.dumps(texts).encode())] for name, texts in self.samples.items()}
        return {name: _clip_inputs(path) for name, path in self.samples.items()}

    def is_as(self, inputs: Mapping[str, Sequence[Any]]) -> bool:
        """Return whether nothing has changed; a clip is read only if its time stamp leaves that open."""
        if self.kind == "texts":
            return inputs == self.inputs()
        return list(inputs) == list(self.samples) and all(
            _is_same_clip(path, inputs[name]) for name, path in self.samples.items()
        )


def _clip_inputs(path: Path) -> list[Any]:
    try:
        status = path.stat()
        return [sha256_file(path), status.st_size, status.st_mtime_ns]
    except OSError:
        return ["", 0, 0]  # a problem when it is read


def _is_same_clip(path: Path, inputs: Sequence[Any]) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    return [status.st_size, status.st_mtime_ns] == inputs[1:] or _clip_inputs(path)[0] == inputs[0]


@dataclass(frozen=True, eq=False)
class Job:
    """Everything that a worker needs, but for its units."""

    folder: Path  # where outputs are written
    recipes: tuple[Recipe, ...]  # of extractors that read clips or texts
    forms: Mapping[str, Sequence[str]]  # name of a recipe -> `vectors`, `frames`, or both


def extract(
    corpus: Corpus,
    request: Request,
    *,
    replace: bool = False,
    progress: ShowProgress | None = None,
    **execution: Unpack[Execution],
) -> Extracted:
    """Extract features of a corpus, add them to it, all at once, and return them.

    A sample without a clip, with several, or one that an extractor cannot measure, is a problem, and is left out of
    that feature; a split of which no sample has a clip is left out.

    Args:
        corpus: the corpus.
        request: what is extracted, from what.
        replace: whether features of the same names are replaced.
        progress: called with a text and (done, total) samples.
        **execution: on which workers, and which engine: see `merbench.engine.run`.

    Raises:
        MissingExtra: what an extractor runs on is not installed.
        UnknownName: no such extractor.
        UsageError: no such folder, column, split or engine; an option is not allowed; weights are not installed; no
            sample has a clip, or no feature a single value; a feature already exists.
        IntegrityError: the weights of an extractor changed.
        InvalidCorpus: not a name of a feature.
        OutputError: the corpus folder cannot be written, or the disk is full.
    """
    _require(corpus, request, replace=replace)
    require_engine(execution.get("engine", "local"))
    clips, without = _clips(corpus, request)
    header = _header(corpus, request)
    key = sha256_bytes(json.dumps(header, sort_keys=True).encode())
    job = Job(
        corpus.folder.resolve() / WORKING / key[:24],
        tuple(request.of(*_OF_CLIPS, "texts")),
        {recipe.name: list(request.names(recipe)) for recipe in request.recipes},
    )
    units = [*_clip_units(request, clips), *_text_units(corpus, request)]
    learned = {recipe.name: _learned(corpus, request, recipe) for recipe in request.of("corpus")}
    rows, n_kept = _run(job, header, units, progress or (lambda text, done, total: None), execution)
    problems = _with_missing(corpus, request, clips, _problems(request, rows))
    makers: dict[str, Callable[[], Feature]] = {}
    records = {}
    for recipe, form, name in _named(request):
        if recipe.extractor.input == "corpus":
            makers[name] = partial(learned.__getitem__, name)
        elif any(_measured_ids(row, recipe) for row in rows):
            makers[name] = partial(_assembled, job, rows, recipe, form)
        records[name] = _record(request, header, recipe, form, rows)
    if not makers:
        _remove_working_folders(job, set())
        raise NothingExtracted(corpus, problems)
    written = add_features(corpus, _OneByOne(makers), {name: records[name] for name in makers}, replace=replace)
    _remove_working_folders(job, {recipe.name for recipe in request.recipes})
    features = _OneByOne({name: partial(written.feature, name) for name in makers})
    return Extracted(written, features, problems, without, n_kept, _unused(request, clips))


def _require(corpus: Corpus, request: Request, *, replace: bool) -> None:
    """Raise where a request cannot be met, before anything is computed."""
    for recipe in request.recipes:
        recipe.require_options()
    idle = [recipe.name for recipe in request.recipes if not recipe.is_sequence]
    if request.only == "frames" and idle:
        raise UsageError(f"{listed(idle)}: the extractor returns one vector for each sample, and no sequence")
    pictures = [recipe.name for recipe in request.recipes if recipe.extractor.pictures]
    if request.only == "vectors" and pictures:
        raise UsageError(f"{listed(pictures)}: the extractor returns pictures, of which no vector is pooled")
    require_feature_names(corpus, [name for _, _, name in _named(request)], replace=replace)
    of_clips = [recipe.name for recipe in request.of(*_OF_CLIPS)]
    if of_clips and not request.media:
        raise UsageError(f"{listed(of_clips)}: the extractor reads clips, and needs their folder: --media DIR")
    if request.media and not of_clips:
        raise UsageError("no extractor reads clips; --media applies only to those that do")
    for column in request.columns if request.of("texts", "corpus") else ():
        corpus.texts(column)


def _named(request: Request) -> Iterator[tuple[Recipe, str, str]]:
    """Yield every feature that is made: the recipe, `vectors` or `frames`, the name."""
    for recipe in request.recipes:
        for form, name in request.names(recipe).items():
            yield recipe, form, name


def _clips(corpus: Corpus, request: Request) -> tuple[Clips, dict[str, int]]:
    """Return the clips of samples, and the sizes of the splits without any."""
    if not request.of(*_OF_CLIPS):
        return Clips({}), {}
    samples = corpus.samples()
    clips = find_clips(samples, [Path(folder) for folder in request.media])
    if not clips.paths and not clips.several:
        places = listed([str(folder) for folder in request.media])
        raise UsageError(f"{places}: no clip belongs to a sample of corpus '{corpus.name}'")
    splits = _splits(corpus)
    with_clips = {splits[sample_id] for sample_id in (*clips.paths, *clips.several)}
    return clips, dict(sorted(Counter(split for split in splits.values() if split not in with_clips).items()))


def _unused(request: Request, clips: Clips) -> dict[Path, Sequence[PurePosixPath]]:
    later = dict.fromkeys(map(Path, request.media[1:]))
    return {folder: clips.unused[folder] for folder in later if clips.unused.get(folder)}


def _splits(corpus: Corpus) -> dict[str, str]:
    samples = corpus.samples()
    return dict(zip(samples["sample_id"].to_pylist(), samples["split"].to_pylist(), strict=True))


def _with_missing(
    corpus: Corpus, request: Request, clips: Clips, problems: Mapping[str, Mapping[str, str]]
) -> dict[str, dict[str, str]]:
    """Return the problems with those of samples that have no clip, or several, in splits that have clips."""
    splits = _splits(corpus)
    with_clips = {splits[sample_id] for sample_id in (*clips.paths, *clips.several)}
    absent = [sample_id for sample_id in clips.missing if splits[sample_id] in with_clips]
    missing = {**clips.several, **dict.fromkeys(absent, "it has no clip")}
    of_clips = {recipe.name for recipe in request.of(*_OF_CLIPS)}
    every = {name: {**problems.get(name, {}), **(missing if name in of_clips else {})} for name in problems}
    return {name: dict(sorted(reasons.items())) for name, reasons in every.items() if reasons}


def _clip_units(request: Request, clips: Clips) -> list[Unit]:
    """Return the clips in units, the largest first, so that no worker is left with a long one at the end."""
    together = max((recipe.n_together for recipe in request.recipes), default=1)
    ids = sorted(clips.paths, key=lambda sample_id: (-_size(clips.paths[sample_id]), sample_id))
    groups = [ids[start : start + together] for start in range(0, len(ids), together)]
    return [Unit("clips", {sample_id: clips.paths[sample_id] for sample_id in group}) for group in groups]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _text_units(corpus: Corpus, request: Request) -> list[Unit]:
    if not request.of("texts"):
        return []
    ids: list[str] = corpus.samples()["sample_id"].to_pylist()
    texts = list(zip(*(corpus.texts(column) for column in request.columns), strict=True))
    return [
        Unit("texts", dict(zip(ids[start : start + _TEXTS], texts[start : start + _TEXTS], strict=True)))
        for start in range(0, len(ids), _TEXTS)
    ]


def _run(
    job: Job, header: Mapping[str, Any], units: Sequence[Unit], show: ShowProgress, execution: Execution
) -> tuple[list[Row], int]:
    """Measure all units that are not done, and return the rows of all, and how many samples had been done before."""
    if not units:
        return [], 0
    for folder in (job.folder.parent, job.folder):
        if (folder.is_symlink() or folder.exists()) and not folder.is_dir():
            raise OutputError(f"{folder}: is not a folder; remove it")
    path = job.folder / JOURNAL
    lines = journal_lines(path, _is_row)
    if next(lines, header) != header:
        raise IntegrityError(f"{path}: has other inputs than its folder's name; remove {job.folder} and start again")
    before: dict[str, Row] = {row["unit"]: row for row in lines}
    rows: dict[str, Row] = {
        unit.name: before[unit.name] for unit in units if _is_done(job, unit, before.get(unit.name))
    }
    n_kept = n_done = sum(len(unit.samples) for unit in units if unit.name in rows)
    todo = {unit.name: unit for unit in units if unit.name not in rows}
    n_all = sum(len(unit.samples) for unit in units)
    with ExitStack() as stack:
        stack.callback(_remove_if_empty, job.folder, job.folder.parent)
        journal = stack.enter_context(Journal(path, header))
        stack.enter_context(kept_for_a_run())
        sweep(job.folder, (".npz",))
        while todo:
            again: dict[str, Unit] = {}
            with closing(run(partial(measure_unit, job=job), todo.items(), **execution)) as results:
                for done in results:
                    unit = todo[done.name]
                    if isinstance(done.error, WorkerDied) and len(unit.samples) > 1:
                        again |= {part.name: part for part in unit.apart()}
                        continue
                    if done.value is not None:
                        journal.add(done.value)
                    rows[done.name] = done.value or _failed(job, unit, done.problem(UnreadableMedia, Inapplicable))
                    n_done += len(unit.samples)
                    show("extracting", n_done, n_all)
            todo = again
    return list(rows.values()), n_kept


def _is_row(row: Row) -> bool:
    kinds = {"unit": str, "kind": str, "sha256": str, "inputs": dict, "problems": dict}
    return all(isinstance(row.get(key), kind) for key, kind in kinds.items())


def _is_done(job: Job, unit: Unit, row: Row | None) -> bool:
    """Return whether an earlier run measured a unit without a problem, and nothing has changed since."""
    if row is None or any(row["problems"].values()) or not unit.is_as(row["inputs"]):
        return False
    file = job.folder / f"{unit.name}.npz"
    return file.is_file() and sha256_file(file) == row["sha256"]


def _failed(job: Job, unit: Unit, reason: str) -> Row:
    """Return the row of a unit that killed its worker."""
    names = dict.fromkeys((recipe.name for recipe in _recipes(job, unit)), reason)
    return {
        "unit": unit.name,
        "kind": unit.kind,
        "sha256": "",
        "inputs": {},
        "problems": dict.fromkeys(unit.samples, names),
    }


def _recipes(job: Job, unit: Unit) -> list[Recipe]:
    return [recipe for recipe in job.recipes if _kind(recipe) == unit.kind]


def _kind(recipe: Recipe) -> str:
    """Return the kind of units that an extractor measures."""
    return "texts" if recipe.extractor.input == "texts" else "clips"


def measure_unit(unit: Unit, job: Job) -> Row:
    """Measure the samples of a unit, write what was measured, and return the row of the journal; runs in a worker."""
    inputs, recipes = unit.inputs(), [kept(recipe) for recipe in _recipes(job, unit)]
    with suitable_threads(0):  # as a worker does: products of matrices on several threads differ in their last bits
        measured = _measured(unit, recipes, inputs)
    file = job.folder / f"{unit.name}.npz"
    arrays: dict[str, Any] = _arrays(job, recipes, measured)  # NumPy 2.0 would write `allow_pickle` as an array
    with atomic_path(file) as temporary, temporary.open("wb") as opened:
        np.savez(opened, **arrays)
        opened.flush()
        digest = sha256_file(temporary)
    return {
        "unit": unit.name,
        "kind": unit.kind,
        "sha256": digest,
        "inputs": inputs,
        "problems": {sample_id: problems for sample_id, problems in measured.problems.items() if problems},
    }


def _measured(unit: Unit, recipes: Sequence[Recipe], inputs: Mapping[str, Sequence[Any]]) -> Measured:
    if unit.kind == "texts":
        return measure_texts(unit.samples, recipes)
    return measure_clips(unit.samples, recipes, {sample_id: values[0] for sample_id, values in inputs.items()})


def _arrays(job: Job, recipes: Sequence[Recipe], measured: Measured) -> dict[str, NDArray[Any]]:
    """Return what a unit's file contains, of every recipe the samples without a problem, in their order."""
    arrays: dict[str, NDArray[Any]] = {}
    places = {recipe.name: place for place, recipe in enumerate(job.recipes)}
    for recipe in recipes:
        place, forms = places[recipe.name], job.forms[recipe.name]
        by_id = {name: results[recipe.name] for name, results in measured.results.items() if recipe.name in results}
        results = list(by_id.values())
        _require_one_width(recipe, list(by_id), [result.vector for result in results])
        if results and "vectors" in forms:
            arrays[f"{place}.vectors"] = np.stack([result.vector for result in results])
        if results and "frames" in forms:
            sequences = [result.sequence for result in results if result.sequence is not None]
            _require_one_width(recipe, list(by_id), sequences)
            arrays[f"{place}.frames"] = np.concatenate(sequences)
            arrays[f"{place}.lengths"] = np.array([len(sequence) for sequence in sequences])
            times = [result.times for result in results if result.times is not None]
            if len(times) == len(results):
                arrays[f"{place}.times"] = np.concatenate(times)
    return arrays


class _OneByOne(Mapping[str, Feature]):
    """Features that are made when they are asked for, so that never two large ones are in memory."""

    def __init__(self, makers: Mapping[str, Callable[[], Feature]]) -> None:
        self._makers = dict(makers)

    def __getitem__(self, name: str) -> Feature:
        return self._makers[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


def _problems(request: Request, rows: Sequence[Row]) -> dict[str, dict[str, str]]:
    """Return the problems of each recipe, by sample."""
    problems: dict[str, dict[str, str]] = {recipe.name: {} for recipe in request.recipes}
    for row in rows:
        for sample_id, reasons in row["problems"].items():
            for name, reason in reasons.items():
                problems[name][sample_id] = reason
    return problems


def _measured_ids(row: Row, recipe: Recipe) -> list[str]:
    """Return the samples of a row that have a value of a recipe's feature, in the order of the unit's file."""
    if row["kind"] != _kind(recipe):
        return []
    return [sample_id for sample_id in row["inputs"] if recipe.name not in row["problems"].get(sample_id, {})]


def _assembled(job: Job, rows: Sequence[Row], recipe: Recipe, form: str) -> Feature:
    """Return a feature from the files of all units that have a part of it."""
    place = [other.name for other in job.recipes].index(recipe.name)
    ids: list[str] = []
    values: list[NDArray[Any]] = []
    times: list[NDArray[Any]] = []
    for row in rows:
        own = _measured_ids(row, recipe)
        if not own:
            continue
        arrays = _read(job.folder / f"{row['unit']}.npz", f"{place}.")
        ids += own
        if form == "vectors":
            values += list(arrays[f"{place}.vectors"])
            continue
        bounds = np.cumsum(arrays[f"{place}.lengths"])[:-1]
        values += np.split(arrays[f"{place}.frames"], bounds)
        if f"{place}.times" in arrays:
            times += np.split(arrays[f"{place}.times"], bounds)
    _require_one_width(recipe, ids, values)
    if form == "vectors":
        return Feature.from_vectors(ids, np.stack(values))
    seconds = times if len(times) == len(ids) else None
    return Feature.from_frames(ids, values, seconds, pictures=recipe.extractor.pictures)


def _require_one_width(recipe: Recipe, ids: Sequence[str], values: Sequence[NDArray[Any]]) -> None:
    """Raise `UsageError` if an extractor returned rows of different lengths."""
    for sample_id, value in zip(ids, values, strict=True):
        if value.shape[-1] != values[0].shape[-1]:
            raise UsageError(
                f"extractor '{recipe.source}' returned rows of {values[0].shape[-1]:,} numbers for sample {ids[0]} and "
                f"of {value.shape[-1]:,} for {sample_id}"
            )


def _read(path: Path, prefix: str) -> dict[str, NDArray[Any]]:
    try:
        return read_npz(
            path, lambda names: [name for name in names if name.startswith(prefix)], most_bytes=MOST_FEATURE_BYTES
        )
    except (MalformedFile, OSError) as error:
        raise IntegrityError(f"{path}: {fault(error)}; remove {path.parent} and start again") from error


def _learned(corpus: Corpus, request: Request, recipe: Recipe) -> Feature:
    """Return the feature of an extractor that learns from a split of the corpus."""
    samples, split = corpus.samples(), request.train_split
    train = np.asarray(pc.equal(samples["split"], split))
    if not train.any():
        splits = sorted(samples["split"].unique().to_pylist())
        raise UsageError(
            f"corpus '{corpus.name}' has no split '{split}'; it has {listed(splits)}{did_you_mean(split, splits)}"
        )
    vectors = vectors_of_corpus(recipe, [corpus.texts(column) for column in request.columns], train)
    return Feature(samples["sample_id"].combine_chunks(), vectors)


def _header(corpus: Corpus, request: Request) -> dict[str, Any]:
    """Return the inputs of a run, but for the samples: two runs with the same continue each other."""
    extras = {extra for recipe in request.recipes for extra in recipe.extractor.extras}
    versions = {package: text for extra in sorted(extras) for package, text in extra_versions(extra).items()}
    if request.of(*_OF_CLIPS):
        versions |= media_versions()
    return {
        "schema": SCHEMA,
        "corpus": corpus.name,
        "features": {recipe.name: _inputs(request, recipe) for recipe in request.recipes},
        "versions": {**_always(), **versions},
    }


def _inputs(request: Request, recipe: Recipe) -> dict[str, Any]:
    """Return what the values of a feature depend on, but for versions and the samples."""
    extractor = recipe.extractor
    defaults = {name: known.default for name, known in extractor.options.items() if not known.is_required}
    options = {**defaults, **recipe.options}
    if (settled := getattr(extractor.make, "settled", None)) is not None:
        options = settled(options)
    inputs: dict[str, Any] = {
        "extractor": extractor.name,
        "version": extractor.version,
        "forms": list(request.names(recipe)),
        "options": {name: value for name, value in options.items() if value is not None},
    }
    if extractor.weights is None or extractor.weights.files:
        inputs["weights"] = digest_of(extractor)
    match extractor.input:
        case "sound":
            inputs["sample_rate_hz"] = extractor.sample_rate_hz
        case "pictures":
            inputs["frame_rate_hz"] = recipe.picture_rate_hz
        case "faces":
            inputs |= {"frame_rate_hz": recipe.picture_rate_hz, "faces": settings_digest()}
        case "corpus":
            inputs |= {"columns": list(request.columns), "split": request.train_split}
        case "texts":
            inputs["columns"] = list(request.columns)
    return inputs


def _record(
    request: Request, header: Mapping[str, Any], recipe: Recipe, form: str, rows: Sequence[Row]
) -> ExtractionRecord:
    """Return the record of a feature, which its corpus keeps."""
    extractor, inputs = recipe.extractor, header["features"][recipe.name]
    used = [f"{sample_id} {row['inputs'][sample_id][0]}" for row in rows for sample_id in _measured_ids(row, recipe)]
    of_clips = recipe in request.of(*_OF_CLIPS)
    own = {key: inputs[key] for key in ("columns", "split") if key in inputs}
    return ExtractionRecord(
        extractor=extractor.name,
        version=extractor.version,
        modality=extractor.modality,
        unit=extractor.unit if form == "frames" else "utterance",
        rate_hz=extractor.rate_hz if form == "frames" else None,
        sample_rate_hz=inputs.get("sample_rate_hz"),
        frame_rate_hz=inputs.get("frame_rate_hz"),
        options={**own, **inputs["options"]},
        weights=inputs.get("weights"),
        faces=inputs.get("faces"),
        media=sha256_bytes("\n".join(sorted(used)).encode()) if of_clips else None,
        pictures=True if extractor.pictures else None,
        versions=_own_versions(header["versions"], extractor.extras, of_clips=of_clips),
    )


def _own_versions(versions: Mapping[str, str], extras: Sequence[str], *, of_clips: bool) -> dict[str, str]:
    packages = [package for extra in extras for package in extra_versions(extra)]
    wanted = {*_always(), *packages, *(media_versions() if of_clips else ())}
    return {name: text for name, text in versions.items() if name in wanted}


def _always() -> dict[str, str]:
    return {"merbench": version("merbench"), "python": platform.python_version(), **numeric_versions()}


def numeric_versions() -> dict[str, str]:
    """Return what the last bits of a sum of products depend on: NumPy, its BLAS, and the kind of machine."""
    built: Any = np.show_config(mode="dicts")
    blas = built["Build Dependencies"]["blas"]
    return {
        "numpy": version("numpy"),
        "blas": f"{blas['name']}-{blas.get('version', 'unknown')}",
        "machine": platform.machine(),
    }


def extra_versions(extra: str) -> dict[str, str]:
    """Return the packages of an extra of merbench that are installed, with their versions."""
    return {package: text for package in packages_of(extra) if (text := installed_version(package))}


def _remove_working_folders(job: Job, made: set[str]) -> None:
    """Remove the working folder, and those of earlier runs that would have made some of the features that are made."""
    for folder in filter(Path.is_dir, list(job.folder.parent.glob("*"))):
        header: Mapping[str, Any] = next(journal_lines(folder / JOURNAL, _is_row), {})
        if folder == job.folder or (made & set(header.get("features", ())) and not _is_at_work(folder)):
            shutil.rmtree(folder, ignore_errors=True)
    _remove_if_empty(job.folder.parent)


def _remove_if_empty(*folders: Path) -> None:
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def _is_at_work(folder: Path) -> bool:
    """Return whether another process holds the journal of a working folder."""
    try:
        with (folder / JOURNAL).open("rb") as file:
            require_alone(file.fileno(), "")
    except UsageError:
        return True
    return False
