"""Pre-trains the network of a baseline on the clips of a corpus, without references.

==========================  =====================================================================================
pretrained.safetensors      all parameters of the network
pretraining.json            what made them: options, samples, features, versions, digests, losses
history.parquet             the losses of every epoch
==========================  =====================================================================================
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from merbench.corpus import Corpus, open_corpus
from merbench.corpus.candidates import ids_digest
from merbench.corpus.declaration import SPLIT
from merbench.devices import require_device
from merbench.engine import ShowProgress, suitable_threads
from merbench.errors import UsageError, did_you_mean, json_text, listed
from merbench.features.extraction import Request, extract
from merbench.features.outputs import Recipe
from merbench.files.reading import sha256_bytes, sha256_file
from merbench.files.tensors import write_tensors
from merbench.files.writing import atomic_folder, write_text
from merbench.training.declaration import LoadedBaseline, Options, list_baselines, load_baseline
from merbench.training.history import Epochs, OpenLog, TrainingHistory, write_history
from merbench.training.needs import RATE, extracted_features, not_extracted
from merbench.training.output import require_free, versions
from merbench.training.protocol import Setup, silent
from merbench.training.reading import sequences
from merbench.training.resume import unfinished
from merbench.training.samples import FeatureSet

RECORD = "pretraining.json"

SCHEMA = "merbench.pretraining/1"

WEIGHTS, WEIGHTS_SCHEMA = "pretrained.safetensors", "merbench.pretrained/1"


@dataclass(frozen=True, kw_only=True)
class PretrainingSettings:
    """How a network is pre-trained.

    Attributes:
        media: folders of clips, from which what the corpus lacks is extracted first.
        splits: splits of the corpus whose samples are learned from; None takes all whose names do not begin with
            `test`, or all, if there are no others.
        features: features to learn from; None takes those that the baseline names.
        preset: a preset of the baseline, such as `paper`.
        options: options that differ from those declared.
        seed: of everything random.
        device: `auto` (CUDA where there is one), `cpu`, `cuda`, `cuda:1`, …
        workers: processes that extract.
    """

    media: Sequence[str | Path] = ()
    splits: Sequence[str] | None = None
    features: Sequence[str] | None = None
    preset: str | None = None
    options: Options = field(default_factory=dict)
    seed: int = 0
    device: str = "auto"
    workers: int = 1


@dataclass(frozen=True)
class PretrainingRun:
    """A network that was pre-trained.

    Attributes:
        folder: where it is.
        baseline: name of the baseline.
        corpus: name of the corpus.
        splits: splits that it learned from.
        features: features that it learned from.
        n_samples: how many samples it learned from.
        left_out: samples that lack a feature, such as clips without a face.
        losses: the losses of the last epoch.
        problems: by feature that was extracted, why samples lack it.
        notes: what should be known besides.
        synthetic: whether the corpus only tests software.
    """

    folder: Path
    baseline: str
    corpus: str
    splits: tuple[str, ...]
    features: tuple[str, ...]
    n_samples: int
    left_out: tuple[str, ...]
    losses: Mapping[str, float]
    problems: Mapping[str, Mapping[str, str]]
    notes: tuple[str, ...]
    synthetic: bool


def pretrain(
    baseline: str | Path,
    corpus: str | Path | Corpus,
    settings: PretrainingSettings | None = None,
    *,
    output: str | Path | None = None,
    replace: bool = False,
    progress: ShowProgress | None = None,
    log: OpenLog | None = None,
) -> PretrainingRun:
    """Pre-train the network of a baseline; one that was interrupted goes on, and ends in the same bytes.

    Args:
        baseline: a name, or a folder.
        corpus: a name, a folder, or an opened corpus.
        settings: everything else; None takes the defaults.
        output: folder to write; None is `runs/pretrained/<corpus>/<baseline>`.
        replace: whether weights that the folder already contains are replaced.
        progress: called with a text and (done, total) steps; None shows nothing.
        log: opens a log of the training, such as `TensorBoard(folder)`.

    Raises:
        UnknownName: no such baseline, preset, corpus or feature.
        DeclarationError: an option is unknown or of another type.
        MissingExtra: the baseline, or an extractor, needs a package that is not installed.
        UsageError: the baseline cannot be pre-trained, the corpus lacks a feature or a split, or the folder has
            something else; another process trains into the folder.
    """
    started, settings = time.perf_counter(), settings or PretrainingSettings()
    loaded, opened = load_baseline(baseline), corpus if isinstance(corpus, Corpus) else open_corpus(corpus)
    options = pretraining_options(loaded, settings)
    require_device(settings.device)
    folder = Path(output) if output is not None else Path("runs") / "pretrained" / opened.name / loaded.name
    require_free(folder, RECORD, replace=replace)
    splits = _splits(opened, settings.splits)
    opened, problems = _with_features(loaded, opened, settings, progress)
    features = tuple(dict.fromkeys(settings.features or extracted_features(loaded, opened)))
    if not features:
        raise not_extracted(loaded, opened)
    _require_number(loaded, features)
    samples = samples_of(opened, features, splits, loaded.declaration.learned_columns)
    inputs = {
        "baseline": loaded.name,
        "files": loaded.files(options),
        "options": options,
        "corpus": [opened.name, opened.version],
        "samples": ids_digest(samples.ids),
        "features": {name: opened.declaration.content.features[name] for name in features},
        "seed": settings.seed,
        "device": settings.device,
    }
    epochs = Epochs() if log is None else Epochs(log(f"{opened.name}/{loaded.name}/pretraining"))
    show = silent if progress is None else partial(progress, "epochs")
    with unfinished(folder, sha256_bytes(json_text(inputs).encode())) as state:
        setup = Setup(settings.seed, 1, settings.device, show, epochs, state.of_part(settings.seed, 0))
        built: Any = getattr(loaded.build(options, setup), "built", None)
        if not callable(getattr(built, "pretrain", None)):
            raise _cannot(loaded)
        with suitable_threads(samples.n_values), loaded.code.blamed("failed in pretrain"):
            made = built.pretrain(samples)
        kept = {name: values for name, values in epochs.arrays().items() if name != "value"}
        history = {name: values for name, values in kept.items() if values.any()}  # there is no loss of targets
        run = PretrainingRun(
            folder,
            loaded.name,
            opened.name,
            splits,
            features,
            made.n_samples,
            made.left_out,
            {name: float(values[-1, 0]) for name, values in history.items()},
            problems,
            made.notes,
            opened.synthetic,
        )
        require_free(folder, RECORD, replace=replace)
        with atomic_folder(folder, replace=replace) as temporary:
            about = {"schema": WEIGHTS_SCHEMA, **{key: inputs[key] for key in ("baseline", "files", "options")}}
            write_tensors(temporary / WEIGHTS, made.weights, {**about, "widths": samples.widths})
            write_history(temporary, [TrainingHistory(settings.seed, None, history)])
            record = {
                "schema": SCHEMA,
                **inputs,
                "splits": list(splits),
                "n_samples": run.n_samples,
                "left_out": list(run.left_out),
                "losses": run.losses,
                "notes": list(run.notes),
                "n_parameters": int(sum(values.size for values in made.weights.values())),
                "weights": sha256_file(temporary / WEIGHTS),
                "synthetic": run.synthetic,
                "versions": versions(),
                "wall_time_s": round(time.perf_counter() - started, 3),
            }
            write_text(temporary / RECORD, json_text(record))
    return run


def pretraining_options(loaded: LoadedBaseline, settings: PretrainingSettings) -> dict[str, Any]:
    """Return all options of a pre-training: the defaults, those of pre-training, of the preset, then those given.

    Raises:
        UsageError: the baseline cannot be pre-trained.
        DeclarationError: an option is unknown or of another type.
    """
    declared = loaded.declaration
    if declared.pretraining is None:
        raise _cannot(loaded)
    preset = loaded.preset(settings.preset)
    own = {**declared.pretraining, **preset.options, **preset.pretraining, **settings.options}
    return loaded.options("", own)


def _cannot(loaded: LoadedBaseline) -> UsageError:
    able = [name for name, declared in list_baselines() if declared.pretraining is not None]
    return UsageError(f"baseline '{loaded.name}' cannot be pre-trained; those that can: {listed(able) or 'none'}")


def _splits(corpus: Corpus, asked: Sequence[str] | None) -> tuple[str, ...]:
    known = sorted(corpus.samples()[SPLIT].unique().to_pylist())
    if asked is None:
        return tuple(name for name in known if not name.startswith("test")) or tuple(known)
    if unknown := [name for name in asked if name not in known]:
        hint = f"it has {listed(known)}{did_you_mean(unknown[0], known)}"
        raise UsageError(f"corpus '{corpus.name}' has no split {listed(unknown)}; {hint}")
    return tuple(dict.fromkeys(asked))


def _with_features(
    loaded: LoadedBaseline, corpus: Corpus, settings: PretrainingSettings, progress: ShowProgress | None
) -> tuple[Corpus, Mapping[str, Mapping[str, str]]]:
    """Return the corpus with what the baseline reads, extracted from the clips where it lacks some, and problems."""
    extracts = {**loaded.declaration.extracts, **loaded.preset(settings.preset).extracts}
    lacking = {name: options for name, options in extracts.items() if not corpus.extracted_by([name], "frame")}
    if settings.features or not lacking or not settings.media:
        return corpus, {}
    recipes = [
        Recipe(name, name, {key: value for key, value in options.items() if key != RATE}, options.get(RATE))
        for name, options in lacking.items()
    ]
    request = Request(recipes, settings.media, only="frames")
    made = extract(corpus, request, progress=progress, workers=settings.workers)
    return made.corpus, made.problems


def _require_number(loaded: LoadedBaseline, features: Sequence[str]) -> None:
    fewest, most = loaded.declaration.fewest_features, loaded.declaration.most_features
    if len(features) < fewest or (most is not None and len(features) > most):
        wanted = f"{fewest}" if fewest == most else f"{fewest} to {most or 'any number'}"
        raise UsageError(
            f"baseline '{loaded.name}' reads {wanted} features, not {len(features)}: {listed(list(features))}; name "
            "others with --feature"
        )


def samples_of(
    corpus: Corpus, features: Sequence[str], splits: Sequence[str], columns: Sequence[str] = ()
) -> FeatureSet:
    """Return the features of the samples of some splits, and columns; a sample that lacks a feature has no rows."""
    samples = corpus.samples()
    chosen = samples.filter(pc.is_in(samples[SPLIT], pa.array(splits)))
    ids = chosen["sample_id"].combine_chunks()
    parts = {}
    for name in features:
        feature = corpus.feature(name)
        rows = pc.fill_null(pc.index_in(ids, value_set=feature.ids), -1).to_numpy().astype(np.int64)
        parts[name] = sequences(feature).select(rows)
    every = {name: corpus.column(name, chosen) for name in columns}
    known = {name: column for name, column in every.items() if column is not None}
    return FeatureSet(ids, parts, known, modalities=corpus.modalities(features))
