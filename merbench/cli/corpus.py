"""`merbench corpus list | info | verify | create | import | frames | build`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import merbench
from merbench.cli import options
from merbench.cli.options import INPUT, METADATA, OUTPUT
from merbench.cli.parser import App, argument, option
from merbench.cli.printing import heading, print_json, print_line, print_table, progress_bar, stored_items
from merbench.errors import IntegrityError, Problem, UsageError, listed, plural, printable, problem_lines, problem_list

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from merbench.corpus import Corpus, ExtractionRecord
    from merbench.corpus.folder import CorpusSummary, TargetSummary

app = App("corpus", help="List, show, verify, create, import, build corpora.")


@app.command("list")
def list_(form: options.ListFormatOption = options.ListFormat.table) -> None:
    """List available corpora, and the releases that can be imported."""
    from merbench.corpus import CORPORA, IMPORTERS
    from merbench.report import ReportTable

    records: list[dict[str, Any]] = [
        {"corpus": name, "version": corpus.version, "features": list(corpus.features), "source": corpus.source}
        if corpus is not None
        else {"corpus": name, "version": "", "features": [], "source": reason}
        for name, corpus, reason in stored_items(CORPORA, "corpus")
    ]
    names = CORPORA.names()
    releases = [(name, IMPORTERS[name].expects) for name in IMPORTERS if name not in names]
    if form is options.ListFormat.json:
        print_json("corpora", corpora=records, releases=[{"release": name, "files": files} for name, files in releases])
        return
    rows = [(row["corpus"], row["version"], ", ".join(row["features"]), row["source"]) for row in records]
    print_table(ReportTable("", ("corpus", "version", "features", "source"), rows))
    print("\nnot installed; `merbench corpus import RELEASE` shows what it needs and where to get it\n")
    print_table(ReportTable("", ("release", "files [optional ones]"), releases))


@app.command()
def info(corpus: options.Corpus, form: options.ListFormatOption = options.ListFormat.table) -> None:
    """Show the splits, references and features of a corpus."""
    from merbench.corpus import summarise

    summary = summarise(merbench.open_corpus(corpus))
    if form is options.ListFormat.json:
        print_json("corpus", **summary.records())
    else:
        print(_summary_text(summary))


@app.command()
def verify(corpus: options.Corpus) -> None:
    """Check every file of a corpus against its recorded digest."""
    from merbench.corpus import verify_corpus

    opened = merbench.open_corpus(corpus)
    problems = verify_corpus(opened)
    warnings = [problem for problem in problems if problem.is_warning]
    _print_warnings(str(opened.folder), warnings)
    if len(warnings) < len(problems):
        errors = [problem for problem in problems if not problem.is_warning]
        raise IntegrityError(*problem_lines(str(opened.folder), errors), opened.remedy)
    print_line(f"{opened.folder}: {plural(len(opened.declaration.files), 'file')} as recorded, values as recorded")


@app.command()
def create(
    name: str = argument("NAME", "Name of the corpus: a-z, 0-9 and -."),
    samples: Path = option(INPUT, "--samples CSV", "Table with sample_id, split, and more columns.", ...),
    reference: Path | None = option(INPUT, "--reference CSV", "Table with sample_id and one column per target."),
    target: list[str] | None = option(
        INPUT, "--target COLUMN", "Target, taken from --samples if there is no --reference; repeatable."
    ),
    rename: list[str] | None = option(
        INPUT, "--rename OLD=NEW", "Read column OLD of the files as column NEW; repeatable."
    ),
    feature_file: list[str] | None = option(
        INPUT,
        "--feature-file NAME=PATH",
        "Feature NAME from an NPZ (arrays ids and values, or one array per sample id; PATH:ARRAY takes another "
        "array than values), a Parquet or Arrow file (sample_id, values), or a folder of .npy files; repeatable.",
    ),
    media: Path | None = option(
        INPUT, "--media DIR", "Folder of clips that the samples name; a table without sample_id gets names of files."
    ),
    media_column: str | None = option(
        INPUT, "--media-column COLUMN", "Column of --samples with names of clips. [default: media, else sample_id]"
    ),
    version: str = option(METADATA, "--version VERSION", "Version of the corpus: dotted numbers.", "1.0"),
    source: str = option(METADATA, "--source TEXT", "Where the data come from.", "not stated"),
    licence: str = option(METADATA, "--licence TEXT", "Who may use them, and how.", "not stated"),
    language: str | None = option(METADATA, "--language CODE", "Language of the transcripts, e.g. en."),
    output: options.HomeOutput = None,
    force: options.Force = False,
) -> None:
    """Create a corpus from your own CSV files, clips and features."""
    from merbench.corpus import OwnFiles, create_corpus, own_folder
    from merbench.corpus.declaration import parse_metadata

    folder = output or own_folder(name)
    metadata = parse_metadata(
        f"corpus '{name}'", name=name, version=version, source=source, licence=licence, language=language
    )
    if media_column and media is None:
        raise UsageError("--media-column applies only with --media DIR")
    own = OwnFiles(
        samples,
        reference,
        target or (),
        rename=options.pairs("--rename", rename, at_last=True),
        features=options.pairs("--feature-file", feature_file),
        media=media,
        media_column=media_column,
    )
    corpus = create_corpus(folder, metadata, own, replace=force)
    _print_written(corpus)


@app.command("import")
def import_(
    name: str = argument("RELEASE", "Name of the release, such as mer2023."),
    release: Path | None = argument("PATH", "Released files. [default: show which are needed]", None),
    feature_folder: Path | None = option(
        INPUT, "--feature-folder DIR", "A folder per feature, with one .npy per sample."
    ),
    output: options.HomeOutput = None,
    force: options.Force = False,
) -> None:
    """Import a public release as a corpus, or show what it needs."""
    from merbench.corpus import IMPORTERS, own_folder

    importer = IMPORTERS[name]
    if release is None:
        print(importer.explain())
        return
    imported = importer(release, output or own_folder(name), features=feature_folder, replace=force)
    _print_warnings(str(release), imported.warnings)
    _print_written(imported.corpus)


@app.command()
def frames(
    corpus: options.Corpus,
    feature: list[str] | None = option(
        INPUT,
        "--feature NAME",
        "Feature of the corpus: the first has the frames, others are brought to their times; repeatable. "
        "[default: all with frames]",
    ),
    output: options.HomeOutput = None,
    force: options.Force = False,
) -> None:
    """Make a corpus of the frames of clips, with their references."""
    from merbench.corpus import frame_corpus, own_folder

    clips = merbench.open_corpus(corpus)
    names = feature or [name for name in clips.features if clips.feature_shape(name)[2]]
    if not names:
        raise UsageError(
            f"corpus '{clips.name}' has no feature with frames; `merbench extract` computes some from clips"
        )
    name = f"{clips.name}-frames"
    _print_written(frame_corpus(output or own_folder(name), clips, names, name, replace=force))


@app.command()
def build(
    name: str = argument("NAME", "Corpus that merbench builds itself.", "sample"),
    clips: Path | None = option(OUTPUT, "--clips DIR", "Write clips of the sample for mer-noise-media, and no corpus."),
    output: options.HomeOutput = None,
    force: options.Force = False,
    workers: options.Workers = 1,
) -> None:
    """Build a corpus that merbench makes itself."""
    from merbench.corpus import CORPORA

    if clips is None:
        _print_written(CORPORA.build(name, output, replace=force))
    elif name != "sample" or output is not None or force:
        raise UsageError("--clips DIR: applies only to the corpus 'sample', without --output and --force")
    else:
        _write_clips(clips, workers)


def _write_clips(folder: Path, workers: int) -> None:
    from functools import partial

    from merbench.sample import write_clips

    with progress_bar() as show:
        clips = write_clips(folder, workers=workers, progress=partial(show, "clips"))
    kept = f"; {clips.n_kept:,} existed before" if clips.n_kept else ""
    print_line(f"{clips.folder}: {plural(clips.n_written, 'clip')} written{kept}")


def _print_warnings(where: str, warnings: Sequence[Problem]) -> None:
    if warnings:
        print(problem_list(where, warnings), file=sys.stderr)


def _print_written(corpus: Corpus) -> None:
    from merbench.corpus import summarise

    summary = summarise(corpus)
    print_line(f"{corpus.folder}: {corpus.name} {corpus.version}, {_split_counts(summary.splits)}")


def _split_counts(counts: Mapping[str, int]) -> str:
    parts = ", ".join(f"{split} {count:,}" for split, count in counts.items())
    return f"{plural(sum(counts.values()), 'sample')} ({parts})"


def _summary_text(summary: CorpusSummary) -> str:
    corpus = summary.corpus
    title = f"{corpus.name} {corpus.version}{', synthetic' if corpus.synthetic else ''}"
    terms = {"source": corpus.source, "licence": corpus.licence, "language": corpus.language}
    lines = [
        *heading(title, folder=corpus.folder, **terms, digest=corpus.digest),
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
        record = corpus.declaration.extracted.get(name)
        rows = "vectors" if not frames else "frames" if record is None else f"{record.unit}s"
        made = "" if record is None else f"; {_origin(record)}"
        lines.append(f"  {name}: {rows} of {width:,}, for {n_samples:,} of {n:,} samples{made}")
    return "\n".join(lines)


def _origin(record: ExtractionRecord) -> str:
    """Return how a feature was extracted, on one line."""
    rate_hz = record.rate_hz or (record.frame_rate_hz if record.unit == "frame" else None)
    rate = f" {rate_hz:g} per second," if rate_hz else ""
    return printable(f"{record.modality},{rate} by {record.extractor} {record.version}", None)


def _target_lines(target: TargetSummary) -> list[str]:
    counts = ", ".join(f"{split} {count:,}" for split, count in target.known.items())
    lines = [f"  {target.name} ({target.type}): {counts}"]
    if target.labels:
        lines.append(f"    {listed([f'{label}: {count:,}' for label, count in target.labels.items()], 20)}")
    elif target.range is not None:
        lines.append(f"    from {target.range[0]:g} to {target.range[1]:g}")
    return lines
