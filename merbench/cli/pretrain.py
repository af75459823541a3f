"""`merbench pretrain`."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path

from merbench.cli import options
from merbench.cli.options import INPUT, OUTPUT, TRAINING
from merbench.cli.parser import argument, option
from merbench.cli.printing import print_line, progress_bar
from merbench.errors import listed, plural


def pretrain(
    baseline: str = argument("BASELINE", "Name or folder of a baseline that can be pre-trained, such as mae-dfer."),
    corpus: str = argument("CORPUS", "Name or folder of a corpus."),
    media: list[Path] | None = option(
        INPUT,
        "--media DIR",
        "Folder of clips, of which the corpus gets what the baseline reads and it lacks; repeatable.",
    ),
    split: list[str] | None = option(
        INPUT, "--split NAME", "Split to learn from; repeatable. [default: all that do not begin with test]"
    ),
    settings: options.Set = None,
    preset: options.Preset = None,
    feature: options.Feature = None,
    seed: int = option(TRAINING, "--seed N", "Training seed.", 0, min=0, max=options.MOST_SEED),
    device: options.Device = "auto",
    workers: options.Workers = 1,
    output: Path | None = option(
        OUTPUT, "--output -o DIR", "Folder to write. [default: runs/pretrained/CORPUS/BASELINE]"
    ),
    tensorboard: Path | None = option(
        OUTPUT, "--tensorboard DIR", "Also write every epoch for TensorBoard, while training goes on."
    ),
    force: options.Force = False,
) -> None:
    """Pre-train a baseline's network without references.

    `run-baseline --set pretrained=DIR` trains from what was learned. The same command goes on after it was stopped.
    """
    from merbench.training import TensorBoard
    from merbench.training.pretraining import PretrainingSettings
    from merbench.training.pretraining import pretrain as train

    how = PretrainingSettings(
        media=media or (),
        splits=split,
        features=feature,
        preset=preset,
        options=options.baseline_options(settings),
        seed=seed,
        device=device,
        workers=workers,
    )
    with progress_bar() as progress, nullcontext() if tensorboard is None else TensorBoard(tensorboard) as log:
        run = train(baseline, corpus, how, output=output, replace=force, progress=progress, log=log)
    for name, reasons in run.problems.items():
        print(f"warning: {name}: {plural(len(reasons), 'sample')} without it: {listed(list(reasons))}", file=sys.stderr)
    for note in run.notes:
        print(f"warning: {note}", file=sys.stderr)
    sample = " · synthetic sample" if run.synthetic else ""
    losses = ", ".join(f"{name} {value:.4f}" for name, value in run.losses.items())
    print(f"{run.baseline} on {listed(list(run.features))}, corpus {run.corpus}: {', '.join(run.splits)}{sample}")
    print(f"{plural(run.n_samples, 'sample')}, {len(run.left_out):,} left out, which lack a feature; {losses}")
    print_line(f"wrote {run.folder}")
