"""`merbench score`, `merbench validate`, `merbench compare` and `merbench power`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

import merbench
from merbench.cli import options
from merbench.cli.options import INPUT, INTERVALS, OUTPUT
from merbench.cli.parser import argument, option
from merbench.cli.printing import print_data, terminal_width
from merbench.errors import InvalidSubmission, UsageError, github_annotations, plural, problem_list, problems_json
from merbench.files.paths import list_folders, require_apart

if TYPE_CHECKING:
    from merbench.corpus.candidates import Candidates
    from merbench.report import Document


SYSTEMS = "Systems"

Method = StrEnum("Method", "default jackknife_t bca_t bca percentile")


def score(
    track: options.Track,
    file: options.File,
    split: options.Split = "test",
    rename: options.Rename = None,
    manifest: Path | None = option(INPUT, "--manifest FILE", "Manifest of `merbench corrupt`, for columns of --by."),
    intervals: options.Intervals = True,
    method: Method | None = option(
        INTERVALS, "--method", "Interval method; `default` is each metric's own. [default: from the track]"
    ),
    level: options.Level = None,
    resamples: options.Resamples = None,
    cluster: options.Cluster = None,
    seed: options.Seed = 0,
    by: list[str] | None = option(
        OUTPUT, "--by COLUMN", "Column of the corpus or manifest to break down by; repeatable."
    ),
    public: options.Public = False,
    per_sample: Path | None = option(
        OUTPUT, "--per-sample FILE", "Also write every scored sample and its influence: .csv, .parquet or .jsonl."
    ),
    form: options.ReportFormatOption = None,
    output: options.ReportOutput = "-",
) -> None:
    """Score a submission, with confidence intervals."""
    from merbench.scoring import per_sample as sample_table
    from merbench.scoring import public_score
    from merbench.scoring import score as score_submission
    from merbench.scoring.aligned import candidates_of, read_for
    from merbench.scoring.samples import require_samples_file, require_visible, write_samples

    require_track_first("score", track, [file])
    require_apart(output, [file], "the submission itself")
    form = form or form_of(output)
    candidates = candidates_of(track, split) if manifest is None else _with_manifest(track, split, manifest)
    if per_sample is not None:
        require_apart(per_sample, [file], "the submission itself")
        require_samples_file(per_sample, output)
        require_visible(candidates, "--per-sample")
    read = read_for(candidates, file, options.renamed(rename))
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
    text = rendered(report, form, output)
    if report.warnings and (form is not options.ReportFormat.table or output != "-"):
        print(problem_list(report.source, report.warnings), file=sys.stderr)
    if per_sample is not None:
        write_samples(sample_table(candidates, read), per_sample)
    write_report(output, form, text)


def require_track_first(command: str, track: str, files: Sequence[str]) -> None:
    """Raise `UsageError` if a file is given for the track, and the track for a file."""
    names = {folder.name for folder in list_folders("track")}
    path = Path(track)
    named = next((file for file in files if file in names), None)
    if (path.is_file() and path.name != "track.toml") or (track not in names and named):
        named = named or next((file for file in files if not Path(file).is_file()), "TRACK")
        others = [name for name in (track, *files) if name != named]
        call = " ".join(["merbench", command, named, *others])
        raise UsageError(f"{track}: not a track; the track comes first: {call}")


def _with_manifest(track: str, split: str, manifest: Path) -> Candidates:
    """Return the candidates of a track with the sampled and the realised parameters of each as columns."""
    from merbench.corpus.candidates import with_columns
    from merbench.corrupt.manifest import manifest_columns

    candidates = merbench.open_candidates(track, split)
    return with_columns(candidates, manifest_columns(manifest, candidates.track, split))


def validate(
    track: options.Track,
    file: options.File,
    split: options.Split = "test",
    rename: options.Rename = None,
    form: options.ProblemFormatOption = options.ProblemFormat.text,
) -> None:
    """Check a submission as `score` does, without references."""
    require_track_first("validate", track, [file])
    candidates = merbench.open_candidates(merbench.load_track(track), split)
    try:
        submission = merbench.read_submission(file, candidates, rename=options.renamed(rename))
    except InvalidSubmission as error:
        if form is options.ProblemFormat.text:
            raise
        render = problems_json if form is options.ProblemFormat.json else github_annotations
        print_data(render(error.where, error.problems))
        raise typer.Exit(error.exit_code) from None
    if form is options.ProblemFormat.json:
        print_data(problems_json(submission.source, submission.warnings))
        return
    if form is options.ProblemFormat.github:
        print_data(github_annotations(submission.source, submission.warnings))
    elif submission.warnings:
        print(problem_list(submission.source, submission.warnings), file=sys.stderr)
    extra = f", {submission.n_extra:,} extra ids ignored" if submission.n_extra else ""
    fits = f"valid for {candidates.track.key}, split {split}"
    print(f"{submission.source}: {fits}: {plural(len(candidates), 'candidate')}{extra}")


def compare(
    track: options.Track,
    files: list[str] = argument("FILE", "Two submissions or more."),
    names: list[str] | None = option(
        INPUT, "--name NAME", "Name of a system; once per file, in order. [default: from the path]"
    ),
    split: options.Split = "test",
    rename: options.Rename = None,
    level: options.Level = None,
    resamples: options.Resamples = None,
    permutations: int = option(
        INTERVALS, "--permutations N", "Permutations of the paired test.", 10_000, min=100, max=10_000_000
    ),
    cluster: options.Cluster = None,
    seed: options.Seed = 0,
    public: options.Public = False,
    form: options.ReportFormatOption = None,
    output: options.ReportOutput = "-",
) -> None:
    """Test which of several submissions differ significantly.

    Every difference has a confidence interval and the p value of a paired permutation test, corrected by Holm's method
    over the pairs of a metric.
    """
    from merbench.scoring import compare as compare_submissions
    from merbench.scoring.aligned import candidates_of, read_for
    from merbench.scoring.comparison import named_sources
    from merbench.scoring.scorecard import reasons_withheld

    require_track_first("compare", track, files)
    require_apart(output, files, "one of the submissions")
    candidates = candidates_of(track, split)
    columns = options.renamed(rename)
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
    form = form or form_of(output)
    write_report(output, form, rendered(comparison, form, output))


def power(
    track: options.Track,
    split: options.Split = "test",
    metric: str | None = option(INPUT, "--metric NAME", "Metric. [default: the first ranking key]"),
    samples: int | None = option(INPUT, "--samples N", "Also show a test set of this size."),
    clusters: int | None = option(INPUT, "--clusters M", "Number of clusters of that test set."),
    score: float | None = option(
        SYSTEMS, "--score S", "Score of the two systems. [default: that of systems that know 60% of the answers]"
    ),
    agreement: float | None = option(
        SYSTEMS,
        "--agreement A",
        "Share of samples on which both are right or both are wrong; of numbers, the correlation of their answers; of "
        "an overall score, the mean over its targets. "
        "[default: half of the errors in common]",
    ),
    runs: list[str] | None = option(
        SYSTEMS, "--runs FILE", "A submission; twice, for two systems to measure in place of a score and an agreement."
    ),
    power: float = option(INTERVALS, "--power P", "Probability that the test shows the difference.", 0.8),
    level: options.Level = None,
    cluster: options.Cluster = None,
    seed: options.Seed = 0,
    form: options.ReportFormatOption = None,
    output: options.ReportOutput = "-",
) -> None:
    """Compute the smallest difference a test set can show.

    It needs no submission: two systems are simulated on the references. Of a split that hides its references, none is
    used, and metrics that depend on them are refused.
    """
    from merbench.scoring.power import power_of

    runs = runs or []
    require_track_first("power", track, runs)
    require_apart(output, runs, "one of the submissions")
    report = power_of(
        track,
        split=split,
        metric=metric,
        n_samples=samples,
        n_clusters=clusters,
        cluster=cluster,
        score=score,
        agreement=agreement,
        power=power,
        level=level,
        runs=runs,
        seed=seed,
    )
    form = form or form_of(output)
    write_report(output, form, rendered(report, form, output))


_SUFFIXES = {
    "": options.ReportFormat.table,
    ".txt": options.ReportFormat.table,
    ".json": options.ReportFormat.json,
    ".md": options.ReportFormat.markdown,
    ".markdown": options.ReportFormat.markdown,
    ".html": options.ReportFormat.html,
    ".htm": options.ReportFormat.html,
    ".tex": options.ReportFormat.latex,
}


def form_of(output: str) -> options.ReportFormat:
    """Return the format that the suffix of a file names; raise `UsageError` for an unknown suffix."""
    suffix = Path(output).suffix.lower()
    # A device, such as /dev/stdout, and a file without a suffix get a table.
    if suffix not in _SUFFIXES:
        known = ", ".join(filter(None, _SUFFIXES))
        raise UsageError(f"--output {output}: unknown suffix {suffix}; known: {known}; or give --format")
    return _SUFFIXES[suffix]


def rendered(report: Document, form: options.ReportFormat, output: str) -> str:
    """Return a report in a format; a table is as wide as the terminal, if it is printed there."""
    match form:
        case options.ReportFormat.table:
            return report.to_text(terminal_width() if output == "-" else None)
        case options.ReportFormat.json:
            return report.to_json()
        case options.ReportFormat.markdown:
            return report.to_markdown()
        case options.ReportFormat.html:
            return report.to_html()
        case options.ReportFormat.latex:
            return report.to_latex()


def write_report(output: str, form: options.ReportFormat | None, text: str) -> None:
    """Write a rendered report, or print it."""
    from merbench.files.writing import write_text

    if output == "-" and form is options.ReportFormat.table:
        print(text, end="")  # in the encoding of the terminal; every other format is UTF-8
    else:
        write_text(output, text)
