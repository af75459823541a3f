"""`merbench corpus list | info | verify | create | import | build`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from merbench.cli.options import ListFormat, ListFormatOption, Workers, pairs, print_json, print_line, print_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from merbench.corpus import Corpus
    from merbench.corpus.folder import CorpusSummary, TargetSummary
    from merbench.errors import Problem

app = typer.Typer(
    name="corpus", help="Corpora: list, show, check, import, make.", no_args_is_help=True, rich_markup_mode=None
)

NameOrPath = Annotated[str, typer.Argument(metavar="CORPUS", help="Name in the data home, or path of a corpus folder.")]
Output = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Corpus folder to write; the data home when left out.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace a corpus that is there already.")]


@app.command("list")
def list_(form: ListFormatOption = ListFormat.table) -> None:
    """List the corpora that are there, and importable releases."""
    from merbench.corpus import CORPORA, IMPORTERS
    from merbench.report import ReportTable

    there = CORPORA.names()
    records = [_list_record(name) for name in there]
    releases = [(name, IMPORTERS[name].expects) for name in IMPORTERS if name not in there]
    if form is ListFormat.json:
        print_json(
            "corpora",
            corpora=records,
            releases=[{"release": name, "files": files} for name, files in releases],
        )
        return
    rows = [(row["corpus"], row["version"], ", ".join(row["features"]), row["source"]) for row in records]
    print_table(ReportTable("", ("corpus", "version", "features", "source"), rows))
    print("\nnot there yet; `merbench corpus import RELEASE` says what each is and where it is had\n")
    print_table(ReportTable("", ("release", "files [those that may be missing]"), releases))


@app.command()
def info(corpus: NameOrPath) -> None:
    """Show what a corpus holds: splits, references, features."""
    from merbench.corpus import open_corpus, summarise

    print(_summary_text(summarise(open_corpus(corpus))))


@app.command()
def verify(corpus: NameOrPath) -> None:
    """Check every file of a corpus against its recorded digest."""
    from merbench.corpus import open_corpus, verify_corpus
    from merbench.errors import IntegrityError, plural, problem_lines

    opened = open_corpus(corpus)
    problems = verify_corpus(opened)
    warnings = [problem for problem in problems if problem.is_warning]
    _print_warnings(str(opened.folder), warnings)
    if len(warnings) < len(problems):
        errors = [problem for problem in problems if not problem.is_warning]
        raise IntegrityError(*problem_lines(str(opened.folder), errors), opened.remedy)
    print_line(f"{opened.folder}: {plural(len(opened.declaration.files), 'file')} as recorded, values as recorded")


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the corpus: a-z, 0-9 and -.")],
    samples: Annotated[Path, typer.Option(metavar="CSV", help="sample_id, split, and what else is known.")],
    reference: Annotated[Path | None, typer.Option(metavar="CSV", help="sample_id and one column per target.")] = None,
    features: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=PATH",
            help="An NPZ (arrays ids and values, or one array per sample id; PATH:ARRAY takes another array than "
            "values), a Parquet file (sample_id, values), or a folder of one .npy per sample. May be repeated.",
        ),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="A column that is a reference; without --reference it is taken out of the samples. May be repeated.",
        ),
    ] = None,
    rename: Annotated[
        list[str] | None, typer.Option(metavar="OLD=NEW", help="Rename a column of the CSV files. May be repeated.")
    ] = None,
    version: Annotated[str, typer.Option(help="Dotted numbers.")] = "1.0",
    source: Annotated[str, typer.Option(help="Where the data come from.")] = "not stated",
    licence: Annotated[str, typer.Option(help="Who may use them, and how.")] = "not stated",
    language: Annotated[str | None, typer.Option(help="Language of the transcripts, such as en.")] = None,
    output: Output = None,
    force: Force = False,
) -> None:
    """Make a corpus of one's own CSV files and features."""
    from merbench.corpus import create_corpus, own_folder

    corpus = create_corpus(
        output or own_folder(name),
        name=name,
        samples=samples,
        reference=reference,
        features=pairs("--features", features),
        targets=target or (),
        rename=pairs("--rename", rename, at_last=True),
        version=version,
        source=source,
        licence=licence,
        language=language,
        replace=force,
    )
    _print_written(corpus)


@app.command("import")
def import_(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the release, such as mer2023.")],
    release: Annotated[
        Path | None, typer.Argument(metavar="PATH", help="Folder of the released files; left out, they are described.")
    ] = None,
    features: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of features: a folder each, with one .npy per sample."),
    ] = None,
    output: Output = None,
    force: Force = False,
) -> None:
    """Make a corpus of a public release, or say what it needs."""
    from merbench.corpus import IMPORTERS, own_folder

    importer = IMPORTERS[name]
    if release is None:
        print(importer.explain())
        return
    imported = importer(release, output or own_folder(name), features=features, replace=force)
    _print_warnings(str(release), imported.warnings)
    _print_written(imported.corpus)


@app.command()
def build(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Corpus that merbench builds itself.")] = "sample",
    output: Output = None,
    media: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write clips of the sample, for the splits of mer-noise, and no corpus."),
    ] = None,
    workers: Workers = 1,
    force: Force = False,
) -> None:
    """Build a corpus that merbench makes itself."""
    from merbench.corpus import CORPORA
    from merbench.errors import UsageError

    if media is None:
        _print_written(CORPORA.build(name, output or CORPORA.home / name, replace=force))
    elif name != "sample" or output is not None or force:
        raise UsageError("--media DIR: writes clips of the corpus 'sample' alone, without --output and --force")
    else:
        _write_clips(media, workers)


def _write_clips(folder: Path, workers: int) -> None:
    from functools import partial

    from merbench.cli.progress import progress_bar
    from merbench.errors import plural
    from merbench.sample import write_clips

    with progress_bar() as show:
        clips = write_clips(folder, workers=workers, progress=partial(show, "clips"))
    kept = f"; {clips.n_kept:,} were there already" if clips.n_kept else ""
    print_line(f"{clips.folder}: {plural(clips.n_written, 'clip')} written{kept}")


def _print_warnings(where: str, warnings: Sequence[Problem]) -> None:
    from merbench.errors import problem_list

    if warnings:
        print(problem_list(where, warnings), file=sys.stderr)


def _print_written(corpus: Corpus) -> None:
    from merbench.corpus import summarise

    summary = summarise(corpus)
    print_line(f"{corpus.folder}: {corpus.name} {corpus.version}, {_split_counts(summary.splits)}")


def _split_counts(counts: Mapping[str, int]) -> str:
    from merbench.errors import plural

    parts = ", ".join(f"{split} {count:,}" for split, count in counts.items())
    return f"{plural(sum(counts.values()), 'sample')} ({parts})"


def _list_record(name: str) -> dict[str, Any]:
    from merbench.corpus import CORPORA
    from merbench.errors import MerbenchError

    if not CORPORA.holds(name):
        return {"corpus": name, "version": "", "features": [], "source": "built on first use"}
    try:
        corpus = CORPORA.read(CORPORA.home / name)
    except MerbenchError:
        reason = f"cannot be opened; `merbench corpus info {name}` says why"
        return {"corpus": name, "version": "", "features": [], "source": reason}
    return {"corpus": name, "version": corpus.version, "features": list(corpus.features), "source": corpus.source}


def _summary_text(summary: CorpusSummary) -> str:
    from merbench.errors import printable

    corpus = summary.corpus
    synthetic = ", synthetic" if corpus.synthetic else ""
    head = [
        f"{corpus.name} {corpus.version}{synthetic}",
        f"folder: {corpus.folder}",
        f"source: {corpus.source}",
        f"licence: {corpus.licence}",
        *([f"language: {corpus.language}"] if corpus.language else []),
        f"digest: {corpus.digest}",
    ]
    lines = [
        *(printable(line, None) for line in head),
        "",
        _split_counts(summary.splits),
        "",
        "columns" if summary.columns else "columns: none besides sample_id and split",
    ]
    n = sum(summary.splits.values())
    lines += [f"  {name}: {kind}, known for {known:,} of {n:,}" for name, (kind, known) in summary.columns.items()]
    lines += ["", "references" if summary.targets else "references: none"]
    for target in summary.targets:
        lines += _target_lines(target)
    lines += ["", "features" if summary.features else "features: none"]
    for name, (n_samples, width, frames) in summary.features.items():
        shape = f"frames of {width:,}" if frames else f"vectors of {width:,}"
        lines.append(f"  {name}: {shape}, for {n_samples:,} of {n:,} samples")
    return "\n".join(lines)


def _target_lines(target: TargetSummary) -> list[str]:
    from merbench.errors import listed

    known = ", ".join(f"{split} {count:,}" for split, count in target.known.items())
    lines = [f"  {target.name} ({target.type}): {known}"]
    if target.labels:
        lines.append(f"    {listed([f'{label}: {count:,}' for label, count in target.labels.items()], 20)}")
    elif target.range is not None:
        lines.append(f"    from {target.range[0]:g} to {target.range[1]:g}")
    return lines
