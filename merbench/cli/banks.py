"""`merbench bank list | info | verify | import | build`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from merbench.cli import options
from merbench.cli.options import INPUT, METADATA, OUTPUT
from merbench.cli.parser import App, argument, option
from merbench.cli.printing import heading, print_line, print_stored
from merbench.errors import (
    WITH_PROBLEMS,
    IntegrityError,
    UsageError,
    examples,
    listed,
    plural,
    problem_lines,
    problem_list,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from merbench.banks.bank import Bank
    from merbench.banks.importing import Imported

app = App("bank", help="Noise banks: list, show, verify, import, build.")

Name = Annotated[
    str, typer.Argument(metavar="BANK", help="Name or folder of a bank; a part or class may follow: musan/speech.")
]


@app.command("list")
def list_(form: options.ListFormatOption = options.ListFormat.table) -> None:
    """List available noise banks."""
    from merbench.banks.folder import BANKS

    columns = ("bank", "version", "sounds", "length", "parts", "source")
    print_stored(BANKS, "banks", columns, _list_row, form)


@app.command()
def info(bank: Name) -> None:
    """Show the parts, classes, rates and digest of a noise bank."""
    from merbench.banks.folder import open_bank

    print(_info_text(open_bank(bank)))


@app.command()
def verify(bank: Name) -> None:
    """Check every sound of a noise bank against its recorded digest."""
    from merbench.banks.folder import open_bank, verify_bank

    opened = open_bank(bank)
    problems = verify_bank(opened)
    if problems:
        raise IntegrityError(
            *problem_lines(f"noise bank {opened.name} in {opened.folder}", examples(problems, lambda problem: problem))
        )
    print_line(f"{opened.folder}: {plural(len(opened.sounds), 'sound')} as recorded")


@app.command("import")
def import_(
    name: str = argument("NAME", "Name of the bank: a-z, 0-9 and -; musan for MUSAN."),
    folder: Path = argument("FOLDER", "Folder of sounds; its sub-folders are parts."),
    index: Path | None = option(
        INPUT, "--index CSV", "Table of file, class, speaker, licence. [default: FOLDER/index.csv]"
    ),
    version: str | None = option(METADATA, "--version VERSION", "Version, such as 1.2. [default: 1.0]"),
    source: str | None = option(METADATA, "--source TEXT", "Where the sounds come from."),
    licence: str | None = option(METADATA, "--licence TEXT", "Who may use them, and how."),
    in_place: bool = option(OUTPUT, "--in-place", "Leave the sounds where they are; do not copy them.", False),
    force: options.Force = False,
) -> None:
    """Import a folder of sounds, or MUSAN, as a noise bank."""
    from merbench.banks.importing import Terms, import_folder
    from merbench.banks.musan import import_musan

    given = {key: text for key, text in (("version", version), ("source", source), ("licence", licence)) if text}
    if name == "musan":
        if index is not None or given:
            raise UsageError("musan: its index and its terms are those of the release; leave those options out")
        _print_imported(import_musan(folder, in_place=in_place, replace=force))
        return
    terms = Terms(**given)
    _print_imported(import_folder(name, folder, index=index, in_place=in_place, terms=terms, replace=force))


@app.command()
def build(
    name: str = argument("NAME", "Bank that merbench builds itself.", "synthetic"),
    output: options.HomeOutput = None,
    force: options.Force = False,
) -> None:
    """Build a noise bank that merbench makes itself."""
    from merbench.banks.folder import BANKS

    bank = BANKS.build(name, output, replace=force)
    _print_written(bank.folder, bank)


def _print_imported(imported: Imported) -> None:
    from merbench.banks.folder import BANKS

    if imported.warnings:
        print(problem_list(imported.bank.name, imported.warnings), file=sys.stderr)
    _print_written(BANKS.home / imported.bank.name, imported.bank)
    if imported.problems:
        where = f"{imported.bank.name}, {plural(len(imported.problems), 'sound')} left out"
        print(problem_list(where, examples(imported.problems, lambda problem: problem)), file=sys.stderr)
        raise typer.Exit(WITH_PROBLEMS)


def _print_written(folder: Path, bank: Bank) -> None:
    print_line(f"{folder}: {bank.name} {bank.version}, {_counts(bank)}, digest {bank.digest[:12]}")


def _list_row(bank: Bank) -> tuple[str, ...]:
    return bank.version, f"{len(bank.sounds):,}", _length(bank), ", ".join(bank.parts), bank.source


def _info_text(bank: Bank) -> str:
    rates = sorted({sound.rate_hz for sound in bank.sounds})
    speakers = {sound.speaker for sound in bank.sounds if sound.speaker}
    licences = sorted({sound.licence for sound in bank.sounds if sound.licence})
    title = f"{bank.name} {bank.version}"
    lines = [
        *heading(title, folder=bank.folder, source=bank.source, licence=bank.licence, digest=bank.digest),
        "",
        _counts(bank),
        f"rates: {', '.join(f'{rate:,}' for rate in rates)} Hz",
        f"speakers: {len(speakers):,}" if speakers else "speakers: unknown",
        f"parts: {_numbers(bank.parts)}",
        f"classes: {_numbers(bank.labels)}",
        *([f"licences of single sounds: {listed(licences)}"] if licences else []),
    ]
    return "\n".join(lines)


def _numbers(counts: Mapping[str, int]) -> str:
    return listed([f"{name} {count:,}" for name, count in counts.items()], 20) if counts else "none"


def _counts(bank: Bank) -> str:
    return f"{plural(len(bank.sounds), 'sound')} of {_length(bank)}"


def _length(bank: Bank) -> str:
    minutes = bank.duration_s / 60
    return f"{minutes / 60:,.1f} h" if minutes >= 100 else f"{minutes:,.1f} min"
