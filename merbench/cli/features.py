"""`merbench features text | audio | video`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from merbench.cli.options import Engine, Workers, print_line
from merbench.errors import WITH_PROBLEMS
from merbench.features.defaults import DIMENSIONS, LONGEST

if TYPE_CHECKING:
    from merbench.features.media import Kind, MediaFeature

app = typer.Typer(name="features", help="Features made of a corpus.", no_args_is_help=True, rich_markup_mode=None)


Name = Annotated[str, typer.Option(help="Name of the new feature.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a feature that is there already.")]
Corpus = Annotated[str, typer.Argument(metavar="CORPUS", help="Name in the data home, or path of a corpus folder.")]
Media = Annotated[
    list[Path],
    typer.Option(metavar="DIR", help="Folder of clips; repeatable: of several clips of a sample the last one counts."),
]


@app.callback()
def features() -> None:
    """Features made of a corpus."""


@app.command()
def text(
    corpus: Corpus,
    name: Name,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Column of text; repeatable, used side by side.", show_default="transcript"),
    ] = None,
    split: Annotated[str, typer.Option(help="Split of the corpus to fit on, alone.")] = "train",
    dimensions: Annotated[int, typer.Option(metavar="N", min=1, help="Largest width of the vectors.")] = DIMENSIONS,
    longest: Annotated[
        int, typer.Option(metavar="N", min=1, max=8, help="Longest sequence of characters, in scripts without spaces.")
    ] = LONGEST,
    force: Force = False,
) -> None:
    """Make a tf-idf feature of the transcripts."""
    import numpy as np

    from merbench.corpus import open_corpus
    from merbench.features import add_text_feature

    opened = open_corpus(corpus)
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
    corpus: Corpus,
    name: Name,
    media: Media,
    workers: Workers = 1,
    engine: Engine = "local",
    force: Force = False,
) -> None:
    """Make a feature of the sound of clips.

    Spectrum, loudness, pitch and pauses, summed up over each clip.
    """
    _make(corpus, name, "audio", media, workers, engine, force)


@app.command()
def video(
    corpus: Corpus,
    name: Name,
    media: Media,
    workers: Workers = 1,
    engine: Engine = "local",
    force: Force = False,
) -> None:
    """Make a feature of the pictures of clips.

    Brightness, edges and movement in regions of the centred square, summed up over each clip.
    """
    _make(corpus, name, "video", media, workers, engine, force)


def _make(corpus: str, name: str, kind: Kind, media: list[Path], workers: int, engine: str, force: bool) -> None:
    from functools import partial

    from merbench.cli.progress import progress_bar
    from merbench.corpus import open_corpus
    from merbench.features import add_media_feature

    opened = open_corpus(corpus)
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
    _tell(made, name)


def _tell(made: MediaFeature, name: str) -> None:
    from merbench.errors import Problem, examples, plural, problem_list

    splits = ", ".join(f"{split} ({count:,})" for split, count in made.without.items())
    without = f"; no clip of {splits}" if splits else ""
    size = f"{plural(len(made.feature), 'sample')} × {made.feature.width:,}"
    print_line(f"{made.corpus.folder}: feature '{name}', {size}{without}")
    if not made.problems:
        return
    found = examples(
        list(made.problems), lambda sample_id: Problem("E653", f"{sample_id}: {made.problems[sample_id]}", id=sample_id)
    )
    print(problem_list(f"feature '{name}'", found), file=sys.stderr)
    raise typer.Exit(WITH_PROBLEMS)
