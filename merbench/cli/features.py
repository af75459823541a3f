"""`merbench features text`."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(name="features", help="Features made of a corpus.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def features() -> None:
    """Features made of a corpus."""


@app.command()
def text(
    corpus: Annotated[str, typer.Argument(metavar="CORPUS", help="Name in the data home, or path of a corpus folder.")],
    name: Annotated[str, typer.Option(help="Name of the new feature.")],
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Column of text; repeatable, used side by side.", show_default="transcript"),
    ] = None,
    split: Annotated[str, typer.Option(help="Split of the corpus to fit on, alone.")] = "train",
    dimensions: Annotated[int, typer.Option(metavar="N", min=1, help="Largest width of the vectors.")] = 4096,
    longest: Annotated[
        int, typer.Option(metavar="N", min=1, max=8, help="Longest sequence of characters, in scripts without spaces.")
    ] = 3,
    force: Annotated[bool, typer.Option("--force", help="Replace a feature that is there already.")] = False,
) -> None:
    """Make a tf-idf feature of the transcripts and store it in the corpus."""
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
    print(
        f"{opened.folder}: feature '{name}', {len(made):,} samples × {made.width:,}, fitted on split '{split}'"
        + (f"; {empty:,} samples without a known word are zeros" if empty else "")
    )
