"""`merbench features text | audio | video`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import merbench
from merbench.cli import options
from merbench.cli.options import FEATURE, INPUT, OUTPUT
from merbench.cli.parser import App, option, shared
from merbench.cli.printing import print_line, progress_bar
from merbench.errors import WITH_PROBLEMS, Problem, examples, plural, problem_list
from merbench.features import DIMENSIONS, LONGEST

if TYPE_CHECKING:
    from merbench.features.media import Kind, MediaFeature

app = App("features", help="Extract features from the texts or clips of a corpus.")

Name = Annotated[str, shared(OUTPUT, "--name NAME", "Name of the new feature.")]
Media = Annotated[list[Path], shared(INPUT, "--media DIR", "Folder of clips; repeatable: later ones are preferred.")]


@app.command()
def text(
    corpus: options.Corpus,
    name: Name,
    column: list[str] | None = option(
        INPUT, "--column NAME", "Column of text; repeatable: their features are concatenated. [default: transcript]"
    ),
    split: str = option(INPUT, "--split NAME", "Split of the corpus to fit on.", "train"),
    dimensions: int = option(FEATURE, "--dimensions N", "Largest number of dimensions.", DIMENSIONS, min=1),
    longest: int = option(
        FEATURE, "--longest N", "Longest n-gram in scripts without spaces, 1 to 8.", LONGEST, min=1, max=8
    ),
    force: options.Force = False,
) -> None:
    """Extract a tf-idf feature from the transcripts."""
    import numpy as np

    from merbench.features.text import add_text_feature

    opened = merbench.open_corpus(corpus)
    _, made = add_text_feature(
        opened,
        name,
        columns=column or ("transcript",),
        train_split=split,
        dimensions=dimensions,
        longest=longest,
        replace=force,
    )
    empty = int((~np.any(made.values, axis=1)).sum())
    print_line(
        f"{opened.folder}: feature '{name}', {len(made):,} samples × {made.width:,}, fitted on split '{split}'"
        + (f"; {empty:,} samples without a known word are zeros" if empty else "")
    )


@app.command()
def audio(
    corpus: options.Corpus,
    name: Name,
    media: Media,
    workers: options.Workers = 1,
    engine: options.Engine = "local",
    force: options.Force = False,
) -> None:
    """Extract a feature from the sound of clips.

    Spectrum, loudness, pitch and pauses, summarised over each clip.
    """
    _extract(corpus, name, "audio", media, workers, engine, force)


@app.command()
def video(
    corpus: options.Corpus,
    name: Name,
    media: Media,
    workers: options.Workers = 1,
    engine: options.Engine = "local",
    force: options.Force = False,
) -> None:
    """Extract a feature from the frames of clips.

    Brightness, edges and movement in regions of the centred square, summarised over each clip.
    """
    _extract(corpus, name, "video", media, workers, engine, force)


def _extract(corpus: str, name: str, kind: Kind, media: list[Path], workers: int, engine: str, force: bool) -> None:
    from functools import partial

    from merbench.features.media import add_media_feature

    opened = merbench.open_corpus(corpus)
    with progress_bar() as show:
        made = add_media_feature(
            opened,
            name,
            kind,
            media,
            workers=workers,
            engine=engine,
            replace=force,
            progress=partial(show, f"{kind} of clips"),
        )
    _report(made, name)


def _report(made: MediaFeature, name: str) -> None:
    splits = ", ".join(f"{split} ({count:,})" for split, count in made.without.items())
    without = f"; no clip of {splits}" if splits else ""
    size = f"{plural(len(made.feature), 'sample')} × {made.feature.width:,}"
    print_line(f"{made.corpus.folder}: feature '{name}', {size}{without}")
    if made.problems:
        problems = examples(list(made.problems), lambda id_: Problem("E653", f"{id_}: {made.problems[id_]}", id=id_))
        print(problem_list(f"feature '{name}'", problems), file=sys.stderr)
        raise typer.Exit(WITH_PROBLEMS)
