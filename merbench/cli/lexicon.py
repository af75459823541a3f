"""`merbench lexicon list | info | lookup | import`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from merbench.cli.options import ListFormat, ListFormatOption, print_line, print_rows

if TYPE_CHECKING:
    from merbench.lexicon import Ambiguity, Lexicon, Lookup

app = typer.Typer(
    name="lexicon",
    help="Lexicons of emotion words: list, show, look up, import.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Argument(metavar="LEXICON", help="Name of the lexicon.")]


@app.command("list")
def list_(form: ListFormatOption = ListFormat.table) -> None:
    """List the lexicons that are there."""
    from merbench.lexicon import LEXICONS

    rows = [_list_row(name) for name in LEXICONS.names()]
    print_rows("lexicons", ("lexicon", "words", "wheels", "digest", "source"), rows, form)


@app.command()
def info(lexicon: Name) -> None:
    """Show the wheels of a lexicon and their sectors.

    Words that stand in several sectors are listed.
    """
    from merbench.lexicon import open_lexicon

    print(_info_text(open_lexicon(lexicon)))


@app.command()
def lookup(
    word: Annotated[str, typer.Argument(metavar="WORD", help="A label, such as happiness.")],
    lexicon: Annotated[str, typer.Option(metavar="NAME", help="Name of the lexicon.")] = "english",
) -> None:
    """Show the whole way of a word to its sector on each wheel."""
    from merbench.errors import did_you_mean
    from merbench.lexicon import open_lexicon

    opened = open_lexicon(lexicon)
    found = opened.lookup(word)
    if not found.wheel_words:
        print(f"'{found.word}' is not in the lexicon {opened.name}{did_you_mean(found.word, opened.labels)}")
        return
    print(_lookup_text(found))


@app.command("import")
def import_(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="Folder of the files that MER 2025 or 2026 released (format.csv, synonym.xlsx, wheel1.xlsx … "
            "wheel5.xlsx), or wheel_mapping.npz.",
        ),
    ],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the lexicon; that of the folder when left out.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a lexicon that is there already.")] = False,
) -> None:
    """Store the lexicon of released files in the data home."""
    from merbench.errors import plural
    from merbench.lexicon import LEXICONS, import_lexicon

    lexicon = import_lexicon(path, name, replace=force)
    counts = f"{plural(len(lexicon.labels), 'word')}, {plural(len(lexicon.wheels), 'wheel')}"
    print_line(f"{LEXICONS.home / lexicon.name}: {lexicon.name}, {counts}, digest {lexicon.digest[:12]}")


def _list_row(name: str) -> tuple[str, ...]:
    from merbench.errors import MerbenchError
    from merbench.lexicon import open_lexicon

    try:
        lexicon = open_lexicon(name)
    except MerbenchError:
        return name, "", "", "", f"cannot be opened; `merbench lexicon info {name}` says why"
    return name, f"{len(lexicon.labels):,}", str(len(lexicon.wheels)), lexicon.digest[:12], lexicon.source


def _info_text(lexicon: Lexicon) -> str:
    from merbench.errors import plural

    ambiguous = lexicon.ambiguous()
    lines = [
        lexicon.name,
        f"source: {lexicon.source}",
        f"digest: {lexicon.digest}",
        "",
        f"{plural(len(lexicon.labels), 'word')} of {plural(len(lexicon.bases), 'base form')}, "
        f"{plural(len(lexicon.wheel_words), 'wheel word')}",
        "",
        "wheels",
    ]
    for wheel in lexicon.wheels:
        first, second = lexicon.sector_names(wheel, 1), lexicon.sector_names(wheel, 2)
        lines.append(f"  {wheel}: {len(first)} sectors ({', '.join(first)}), {len(second)} at level 2")
    lines += ["", "words in several sectors (the last row of a wheel wins)" if ambiguous else "no word in two sectors"]
    return "\n".join([*lines, *(f"  {_ambiguity_line(item)}" for item in ambiguous)])


def _ambiguity_line(item: Ambiguity) -> str:
    return f"{item.word}: {item.wheel}, level {item.level}: {' and '.join(item.sectors)}, counts as {item.chosen}"


def _lookup_text(found: Lookup) -> str:
    lines = [found.word, "", "base forms, and the wheel words of each"]
    lines += [f"  {base}: {', '.join(words) or 'none'}" for base, words in found.wheel_words.items()]
    base = next(iter(found.wheel_words))
    first = next(iter(found.wheel_words[base]), "none")
    lines += [f"  by form alone: {base}; by form and synonym: {first}", "", "sectors"]
    for wheel, decision in found.sectors.items():
        if decision is None:
            lines.append(f"  {wheel}: not on this wheel; the word vanishes")
        else:
            word, one, two = decision
            lines.append(f"  {wheel}: {word} → {one} (level 2: {two})")
    return "\n".join(lines)
