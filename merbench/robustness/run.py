"""A track, a baseline and a grid go in, a folder comes out: what the system scores as the damage grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from merbench.charts import require_matplotlib
from merbench.engine import ShowProgress, require_engine
from merbench.errors import UsageError, did_you_mean
from merbench.files import atomic_folder
from merbench.robustness.experiment import Experiment, System, Weights
from merbench.robustness.grid import planned
from merbench.robustness.preparing import (
    made_anew,
    media_folders,
    opened_banks,
    require_modalities,
    samples_of,
    source_of,
    system_of,
    with_clips,
)
from merbench.robustness.report import RobustnessReport
from merbench.robustness.reporting import scored_report
from merbench.robustness.samples import FeatureScale
from merbench.robustness.writing import JSON, write_report
from merbench.scoring import resampling_of
from merbench.track import Track, load_track
from merbench.training import LoadedBaseline, Setup, load_baseline
from merbench.training.declaration import Options
from merbench.training.device import require_device
from merbench.training.output import require_free
from merbench.training.protocol import silent
from merbench.training.run import require_answers


def robustness(
    track: str | Path | Track,
    baseline: str | Path = "attention",
    grids: Mapping[str, Sequence[Any]] | None = None,
    *,
    corruption: str | Sequence[str] | None = None,
    parameters: Mapping[str, Any] | None = None,
    weights: Weights = "shared",
    media: Sequence[str | Path] = (),
    features: Sequence[str] | None = None,
    modalities: Mapping[str, str] | None = None,
    feature_scale: FeatureScale = "standardised",
    leave_out: str | None = None,
    split: str = "test",
    relative_to: str | Path | None = None,
    options: Options | None = None,
    seed: int = 0,
    folds: int | None = None,
    device: str = "auto",
    output: str | Path | None = None,
    workers: int = 1,
    engine: str = "local",
    intervals: bool = True,
    replace: bool = False,
    progress: ShowProgress | None = None,
) -> RobustnessReport:
    """Score one system under grids of conditions: corruptions, with each value of one of their parameters.

    Damage goes where the corruption's modality says. Of features, it is applied to the vectors that the corpus holds,
    standardised by the training data;
    of text, to the transcripts, of which a text feature is made anew, fitted on undamaged training texts; of audio and
    video, to the clips in `media`, of which merbench's own features are taken. Other features stay as they are stored.
    Draws come from (seed of the track, step, sample) alone. What is chosen is chosen by cross-validation on what is
    learned from: once on undamaged samples for shared weights, else for each condition.

    Args:
        track: a name, a folder, or a loaded track.
        baseline: a name, or a folder.
        grids: parameter -> its values; several are curves one after the other.
        corruption: a corruption, or a step of the track, or several of them: there is a curve for each that has a
            grid's parameter; None takes the one that the track declares with the parameter.
        parameters: values of the other parameters, `NAME` of all corruptions that have it, `CORRUPTION.NAME` of one;
            the track's hold where nothing is said.
        weights: `shared`: one model, trained on undamaged samples, under all conditions; `per-condition`: one model for
            each, trained on samples that were damaged alike.
        media: folders of clips; the last one that has a sample's clip gives it.
        features: features to learn from; None takes what the baseline declares for the track, else all there are.
        modalities: feature -> `audio`, `video`, `text`, or `other`, which nothing damages; None takes the one that its
            name begins with.
        feature_scale: the scale on which features are corrupted: `standardised`, each dimension centred and divided by
            its standard deviation in the training data, or `stored`. Training uses the stored features either way.
        leave_out: a corpus column whose values are left out in turn: each is predicted by a model of the others.
        split: the split that is damaged and scored.
        relative_to: a second baseline, under the same conditions, to take corruption errors relative to.
        options: options of the baseline that differ from those declared; they are not chosen by cross-validation.
        seed: seed of the training.
        folds: number of folds of cross-validation; None takes what the baseline declares.
        device: `auto`, `cpu`, `cuda`, …
        output: folder to write; None is `runs/<track>/robustness-<baseline>`.
        workers: number of processes that read clips.
        engine: `local`, or the address of a Dask cluster.
        intervals: whether to resample; a hidden split has none.
        replace: whether a report that the folder already holds is replaced.
        progress: called with a text and (done, total) steps; None shows nothing.

    Raises:
        UnknownName: no such track, baseline, corruption, corpus or feature.
        DeclarationError: a value of a grid, or an option, is not allowed.
        UsageError: nothing fits a grid; clips are asked for and not given, or cannot be used; the output folder
            already holds something.
        Inapplicable: a sample cannot be damaged so.
        WithheldReference: the references of the split, or of the training split, are withheld.
        MissingExtra: a package that is needed is not installed.
    """
    declared = track if isinstance(track, Track) else load_track(track)
    curves = planned(declared, grids or {}, corruption, parameters)
    _require_one_of("weights are", weights, get_args(Weights))
    _require_one_of("a feature scale is", feature_scale, get_args(FeatureScale))
    _require_allowed(seed, workers)
    require_engine(engine)
    require_device(device)
    require_matplotlib()
    loaded = _loaded(declared, baseline, relative_to)
    folder = Path(output) if output is not None else default_folder(declared.id, loaded[0].name)
    require_free(folder, JSON, replace=replace)
    show = progress or (lambda text, done, total: None)

    samples = samples_of(declared, split, leave_out)
    mapped, made = modalities or {}, made_anew(curves)
    require_modalities(samples.test, mapped)

    def system(one: LoadedBaseline, fixed: Options) -> System:
        setup = Setup(seed, one.declaration.folds if folds is None else folds, device, silent)
        return system_of(one, samples.test, setup, fixed=fixed, features=features, made=made, modalities=mapped)

    systems = (system(loaded[0], options or {}), *(system(one, {}) for one in loaded[1:]))
    source = source_of(samples.test, systems, curves, made, mapped)
    folders = media_folders(source, media)
    banks = opened_banks(source, curves)
    source = with_clips(
        source,
        curves,
        samples,
        banks,
        folders,
        damaged_training=weights == "per-condition",
        workers=workers,
        engine=engine,
        show=show,
    )
    how = resampling_of(samples.test) if intervals and not samples.test.hidden else None
    report = scored_report(Experiment(curves, weights, samples, systems, source, banks, how, feature_scale), show)
    with atomic_folder(folder, replace=True) as beside:
        write_report(beside, report, declared.ranked_by[0])
    return report


def default_folder(track_id: str, baseline: str) -> Path:
    """Return the folder that is written where none is named."""
    return Path("runs") / track_id / f"robustness-{baseline}"


def _require_one_of(what: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise UsageError(f"{what} one of {', '.join(known)}, not '{value}'{did_you_mean(value, known)}")


def _require_allowed(seed: int, workers: int) -> None:
    if seed < 0:
        raise UsageError(f"a seed is a whole number from 0 on, not {seed}")
    if workers < 1:
        raise UsageError(f"the number of workers is at least 1, not {workers}")


def _loaded(track: Track, baseline: str | Path, relative_to: str | Path | None) -> list[LoadedBaseline]:
    """Return the baseline, and the one it is compared with."""
    loaded = [load_baseline(name) for name in (baseline, relative_to) if name is not None]
    if len({one.name for one in loaded}) < len(loaded):
        raise UsageError(f"'{loaded[0].name}' is compared with itself; name another baseline")
    for one in loaded:
        require_answers(one, track)
    return loaded
