"""`merbench lexicon list | info | lookup | import`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from merbench.cli import options
from merbench.cli.options import INPUT, OUTPUT
from merbench.cli.parser import App, argument, option
from merbench.cli.printing import heading, print_line, print_stored
from merbench.errors import did_you_mean, plural

if TYPE_CHECKING:
    from merbench.lexicon import Ambiguity, Lexicon, Lookup

app = App("lexicon", help="Lexicons of emotion words: list, show, look up, import.")

Name = Annotated[str, typer.Argument(metavar="LEXICON", help="Name of the lexicon.")]


@app.command("list")
def list_(form: options.ListFormatOption = options.ListFormat.table) -> None:
    """List available lexicons."""
    from merbench.lexicon import LEXICONS

    columns = ("lexicon", "words", "wheels", "digest", "source")
    print_stored(LEXICONS, "lexicons", columns, _list_row, form)


@app.command()
def info(lexicon: Name) -> None:
    """Show the wheels of a lexicon and their sectors.

    Words that are in several sectors are listed.
    """
    from merbench.lexicon import open_lexicon

    print(_info_text(open_lexicon(lexicon)))


@app.command()
def lookup(
    word: str = argument("WORD", "A label, such as happiness."),
    lexicon: str = option(INPUT, "--lexicon NAME", "Name of the lexicon.", "english"),
) -> None:
    """Show how a word is mapped to a sector of each wheel."""
    from merbench.lexicon import open_lexicon

    opened = open_lexicon(lexicon)
    result = opened.lookup(word)
    if not result.wheel_words:
        print(f"'{result.word}' is not in the lexicon {opened.name}{did_you_mean(result.word, opened.labels)}")
        return
    print(_lookup_text(result))


@app.command("import")
def import_(
    path: Path = argument(
        "PATH",
        "Folder of the files that MER 2025 or 2026 released (format.csv, synonym.xlsx, wheel1.xlsx … "
        "wheel5.xlsx), or wheel_mapping.npz.",
    ),
    name: str | None = option(OUTPUT, "--name NAME", "Name of the lexicon. [default: name of the folder]"),
    force: options.Force = False,
) -> None:
    """Import the lexicon of a challenge from its released files."""
    from merbench.lexicon import LEXICONS, import_lexicon

    lexicon = import_lexicon(path, name, replace=force)
    counts = f"{plural(len(lexicon.labels), 'word')}, {plural(len(lexicon.wheels), 'wheel')}"
    print_line(f"{LEXICONS.home / lexicon.name}: {lexicon.name}, {counts}, digest {lexicon.digest[:12]}")


def _list_row(lexicon: Lexicon) -> tuple[str, ...]:
    return f"{len(lexicon.labels):,}", str(len(lexicon.wheels)), lexicon.digest[:12], lexicon.source


def _info_text(lexicon: Lexicon) -> str:
    ambiguous = lexicon.ambiguous()
    lines = [
        *heading(lexicon.name, source=lexicon.source, digest=lexicon.digest),
        "",
        f"{plural(len(lexicon.labels), 'word')} of {plural(len(lexicon.bases), 'base form')}, "
        f"{plural(len(lexicon.wheel_words), 'wheel word')}",
        "",
        "wheels",
    ]
    for wheel in lexicon.wheels:
        first, second = lexicon.sector_names(wheel, 1), lexicon.sector_names(wheel, 2)
        lines.append(f"  {wheel}: {len(first)} sectors ({', '.join(first)}), {len(second)} at level 2")
    lines += [
        "",
        "words in several sectors (the last row of a wheel is used)" if ambiguous else "no word is in two sectors",
    ]
    return "\n".join([*lines, *(f"  {_ambiguity_line(item)}" for item in ambiguous)])


def _ambiguity_line(item: Ambiguity) -> str:
    return f"{item.word}: {item.wheel}, level {item.level}: {' and '.join(item.sectors)}, counts as {item.chosen}"


def _lookup_text(result: Lookup) -> str:
    lines = [result.word, "", "base forms, and the wheel words of each"]
    lines += [f"  {base}: {', '.join(words) or 'none'}" for base, words in result.wheel_words.items()]
    base = next(iter(result.wheel_words))
    first = next(iter(result.wheel_words[base]), "none")
    lines += [f"  by form only: {base}; by form and synonym: {first}", "", "sectors"]
    for wheel, decision in result.sectors.items():
        if decision is None:
            lines.append(f"  {wheel}: not on this wheel; the word is dropped")
        else:
            word, one, two = decision
            lines.append(f"  {wheel}: {word} → {one} (level 2: {two})")
    return "\n".join(lines)
