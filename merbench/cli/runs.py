"""`merbench predict` and `merbench runs`: what baselines left behind is used again, listed and compared."""

from __future__ import annotations

from pathlib import Path

from merbench.cli import options
from merbench.cli.options import INPUT, OUTPUT
from merbench.cli.parser import argument, option
from merbench.cli.printing import print_line, print_report


def predict(
    run: Path = argument("RUN", "Folder of a run."),
    target: str = argument(
        "TRACK|CORPUS", "Name or folder of a track with the targets of the run, or of a corpus with its features."
    ),
    split: str | None = option(
        INPUT, "--split NAME", "Split of the track, or of the corpus. [default: test of a track, all of a corpus]"
    ),
    seed: int | None = option(
        INPUT, "--seed N", "Seed whose models answer. [default: first of the run]", min=0, max=options.MOST_SEED
    ),
    baseline: str | None = option(
        INPUT, "--baseline NAME", "Name or folder of the baseline. [default: recorded by the run]"
    ),
    device: options.Device = "auto",
    intervals: options.Intervals = True,
    output: Path | None = option(
        OUTPUT, "--output -o DIR", "Folder to write. [default: predictions/TRACK|CORPUS in the folder of the run]"
    ),
    force: options.Force = False,
) -> None:
    """Predict other samples with the models of a run."""
    from merbench.training import open_models
    from merbench.training import predict as predicted

    models = open_models(run, seed=seed, baseline=baseline, device=device)
    prediction = predicted(models, target, split=split, output=output, intervals=intervals, replace=force)
    candidates = prediction.candidates
    averaged = f" of {len(models.baselines)} models" if len(models.baselines) > 1 else ""
    print_line(
        f"{models.loaded.name} of {models.run.record.track.key}, seed {models.seed}: answers{averaged} for "
        f"{len(candidates):,} samples of corpus '{candidates.corpus.name}', split '{candidates.split}'"
    )
    for warning in prediction.warnings:
        print_line(f"warning: {warning}")
    print_line(f"wrote {prediction.folder}")
    print()
    print_report(prediction.report, prediction.withheld)
