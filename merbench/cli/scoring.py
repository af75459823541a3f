"""`merbench score`, `merbench validate` and `merbench compare`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from merbench.cli.options import MOST_SEED, TrackArgument, pairs, terminal_width

if TYPE_CHECKING:
    from merbench.corpus.candidates import Candidates
    from merbench.report import Comparison, ScoreReport


class ReportFormat(StrEnum):
    """Forms of a report."""

    table = "table"
    json = "json"
    markdown = "markdown"
    html = "html"


class ProblemFormat(StrEnum):
    """Forms of a list of problems."""

    text = "text"
    json = "json"
    github = "github"


class Method(StrEnum):
    """Interval methods."""

    percentile = "percentile"
    bca = "bca"


FileArgument = Annotated[
    str, typer.Argument(metavar="FILE", help="Submission: CSV, TSV, Parquet, JSONL, NPZ; - for standard input.")
]
SplitOption = Annotated[str, typer.Option(metavar="NAME", help="Split of the track.")]
FormatOption = Annotated[
    ReportFormat | None, typer.Option("--format", help="Form of the report; by the suffix of --output, else a table.")
]
OutputOption = Annotated[
    str, typer.Option("--output", "-o", metavar="FILE", help="Where to write; - is standard output.")
]
LevelOption = Annotated[
    float | None, typer.Option(metavar="LEVEL", help="Level of the intervals; the track declares the default.")
]
ResamplesOption = Annotated[
    int | None, typer.Option(metavar="N", help="Number of bootstrap draws; the track declares the default.")
]
ClusterOption = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN", help="Corpus column whose samples are drawn together, e.g. speaker; none: one by one."
    ),
]
SeedOption = Annotated[int, typer.Option(metavar="N", min=0, max=MOST_SEED, help="Seed of the draws.")]
RenameOption = Annotated[
    list[str] | None,
    typer.Option(metavar="OLD=NEW", help="Give column OLD of the file the name NEW of the track; repeatable."),
]
PublicOption = Annotated[
    bool, typer.Option("--public", help="Show only what participants may see of a split with a hidden subset.")
]


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("score")(score)
    app.command("validate")(validate)
    app.command("compare")(compare)


def score(
    track: TrackArgument,
    file: FileArgument,
    split: SplitOption = "test",
    rename: RenameOption = None,
    form: FormatOption = None,
    output: OutputOption = "-",
    by: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Corpus column, or drawn value, to break the scores down by; repeatable."),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Manifest of `merbench corrupt`, whose columns --by may name, too."),
    ] = None,
    intervals: Annotated[bool, typer.Option("--intervals/--no-intervals", help="Resample for intervals.")] = True,
    method: Annotated[Method | None, typer.Option(help="Interval method; the track declares the default.")] = None,
    level: LevelOption = None,
    resamples: ResamplesOption = None,
    cluster: ClusterOption = None,
    seed: SeedOption = 0,
    public: PublicOption = False,
) -> None:
    """Score a submission, with intervals."""
    from merbench.errors import problem_list
    from merbench.files import require_apart
    from merbench.scoring import public_score
    from merbench.scoring import score as score_submission
    from merbench.scoring.aligned import candidates_of, read_for

    require_track_first("score", track, [file])
    require_apart(output, [file], "the submission itself")
    form = form or _form_of(output)
    candidates = candidates_of(track, split) if manifest is None else _with_manifest(track, split, manifest)
    read = read_for(candidates, file, renamed(rename))
    if public and candidates.hidden:
        report = public_score(read)
    else:
        report = score_submission(
            candidates,
            read,
            intervals=intervals,
            method=method.value if method else None,
            level=level,
            n_resamples=resamples,
            cluster=cluster,
            seed=seed,
            by=by or [],
        )
    rendered = _rendered(report, form, output)
    if report.warnings and (form is not ReportFormat.table or output != "-"):
        print(problem_list(report.source, report.warnings), file=sys.stderr)
    _write(output, form, rendered)


def renamed(items: list[str] | None) -> dict[str, str]:
    """Return what --rename gives: name in the file -> new name."""
    return pairs("--rename", items, "write OLD=NEW, such as gpt4v=discrete", at_last=True)


def require_track_first(command: str, track: str, files: Sequence[str]) -> None:
    """Raise `UsageError` where a file is given for the track, and the track for a file."""
    from merbench.errors import UsageError
    from merbench.files import list_folders

    names = {folder.name for folder in list_folders("track")}
    path = Path(track)
    named = next((file for file in files if file in names), None)
    if (path.is_file() and path.name != "track.toml") or (track not in names and named):
        named = named or next((file for file in files if not Path(file).is_file()), "TRACK")
        others = [name for name in (track, *files) if name != named]
        call = " ".join(["merbench", command, named, *others])
        raise UsageError(f"{track}: not a track; the track comes first: {call}")


def _with_manifest(track: str, split: str, manifest: Path) -> Candidates:
    """Return the candidates of a track with what was drawn and realised for each as columns."""
    from merbench.corpus.candidates import open_candidates, with_columns
    from merbench.corrupt.manifest import manifest_columns

    candidates = open_candidates(track, split)
    return with_columns(candidates, manifest_columns(manifest, candidates.track, split))


def validate(
    track: TrackArgument,
    file: FileArgument,
    split: SplitOption = "test",
    rename: RenameOption = None,
    form: Annotated[ProblemFormat, typer.Option("--format", help="Form of the list of problems.")] = ProblemFormat.text,
) -> None:
    """Check a submission as `score` does, without references."""
    from merbench.corpus.candidates import open_candidates
    from merbench.errors import InvalidSubmission, github_annotations, problem_list, problems_json
    from merbench.files import write_text
    from merbench.submission import read_submission
    from merbench.track import load_track

    require_track_first("validate", track, [file])
    candidates = open_candidates(load_track(track), split)
    try:
        submission = read_submission(file, candidates, rename=renamed(rename))
    except InvalidSubmission as error:
        if form is ProblemFormat.text:
            raise
        render = problems_json if form is ProblemFormat.json else github_annotations
        write_text("-", render(error.where, error.problems))
        raise typer.Exit(error.exit_code) from None
    if form is ProblemFormat.json:
        write_text("-", problems_json(submission.source, submission.warnings))
        return
    if form is ProblemFormat.github:
        write_text("-", github_annotations(submission.source, submission.warnings))
    elif submission.warnings:
        print(problem_list(submission.source, submission.warnings), file=sys.stderr)
    extra = f", {submission.n_extra:,} extra ids ignored" if submission.n_extra else ""
    fits = f"valid for {candidates.track.key}, split {split}"
    print(f"{submission.source}: {fits}: {len(candidates):,} candidates{extra}")


def compare(
    track: TrackArgument,
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Two submissions or more.")],
    names: Annotated[
        list[str] | None,
        typer.Option(
            "--name",
            metavar="NAME",
            help="Name of a system; once per file, in the order of the files. [default: from the path]",
        ),
    ] = None,
    split: SplitOption = "test",
    rename: RenameOption = None,
    form: FormatOption = None,
    output: OutputOption = "-",
    level: LevelOption = None,
    resamples: ResamplesOption = None,
    permutations: Annotated[
        int, typer.Option(metavar="N", min=100, max=10_000_000, help="Draws of the permutation test.")
    ] = 10_000,
    cluster: ClusterOption = None,
    seed: SeedOption = 0,
    public: PublicOption = False,
) -> None:
    """Compare submissions: paired differences, with tests.

    Every difference has an interval and the p of a permutation test, corrected after Holm over the pairs.
    """
    from merbench.files import require_apart
    from merbench.scoring import compare as compare_submissions
    from merbench.scoring.aligned import candidates_of, read_for
    from merbench.scoring.comparison import named_sources
    from merbench.scoring.scorecard import reasons_withheld

    require_track_first("compare", track, files)
    require_apart(output, files, "one of the submissions")
    candidates = candidates_of(track, split)
    columns = renamed(rename)
    reads = {name: read_for(candidates, source, columns) for name, source in named_sources(files, names).items()}
    with reasons_withheld(candidates) if public else nullcontext():
        comparison = compare_submissions(
            candidates,
            reads,
            n_permutations=permutations,
            level=level,
            n_resamples=resamples,
            cluster=cluster,
            seed=seed,
        )
    comparison = comparison.public() if public else comparison
    form = form or _form_of(output)
    _write(output, form, _rendered(comparison, form, output))


_SUFFIXES = {
    "": ReportFormat.table,
    ".txt": ReportFormat.table,
    ".json": ReportFormat.json,
    ".md": ReportFormat.markdown,
    ".markdown": ReportFormat.markdown,
    ".html": ReportFormat.html,
    ".htm": ReportFormat.html,
}


def _form_of(output: str) -> ReportFormat:
    """Return the form that the suffix of a file names.

    Raises:
        UsageError: the suffix is unknown.
    """
    from merbench.errors import UsageError

    suffix = Path(output).suffix.lower()
    # A device, such as /dev/stdout, and a file without a suffix get a table.
    if suffix not in _SUFFIXES:
        known = ", ".join(filter(None, _SUFFIXES))
        raise UsageError(f"--output {output}: unknown suffix {suffix}; known: {known}; or give --format")
    return _SUFFIXES[suffix]


def _rendered(report: ScoreReport | Comparison, form: ReportFormat, output: str) -> str:
    match form:
        case ReportFormat.table:
            return report.to_text(terminal_width() if output == "-" else None)
        case ReportFormat.json:
            return report.to_json()
        case ReportFormat.markdown:
            return report.to_markdown()
        case ReportFormat.html:
            return report.to_html()


def _write(output: str, form: ReportFormat, text: str) -> None:
    from merbench.files import write_text

    if output == "-" and form is ReportFormat.table:
        print(text, end="")  # in the encoding of the terminal; every other form is UTF-8
    else:
        write_text(output, text)
