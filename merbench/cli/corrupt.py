"""`merbench corrupt` and `merbench corruptions`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

import merbench
from merbench.cli import options
from merbench.cli.options import INPUT, OUTPUT
from merbench.cli.parser import option
from merbench.cli.printing import print_line, print_list, print_table, progress_bar, without_a_sample
from merbench.errors import (
    WITH_PROBLEMS,
    IntegrityError,
    Problem,
    UnknownName,
    UsageError,
    listed,
    plural,
    problem_lines,
    problem_list,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from merbench.corrupt.clip_folder import MediaPlan
    from merbench.corrupt.manifest import Manifest
    from merbench.corruptions import Corruption
    from merbench.track import Track


def corruptions(
    modality: str = option(None, "--modality NAME", "Only corruptions of audio, video, text, features or labels.", ""),
    markdown: bool = option(None, "--markdown", "Print the page docs/corruptions-reference.md instead.", False),
    form: options.ListFormatOption = options.ListFormat.table,
) -> None:
    """List available corruptions, with their parameters."""
    from merbench.corruptions import CORRUPTIONS, corruptions_page, corruptions_table

    if markdown:
        print(corruptions_page(), end="")
        return
    known = [CORRUPTIONS[name] for name in CORRUPTIONS]
    chosen = [item for item in known if modality in ("", item.modality)]
    if not chosen:
        raise UnknownName("modality of corruptions", modality, {item.modality for item in known})
    print_list("corruptions", chosen, corruptions_table, _corruption_record, form)


def _corruption_record(item: Corruption) -> dict[str, Any]:
    return {
        "name": item.name,
        "modality": item.modality,
        "summary": item.summary,
        "parameters": {
            name: {"allowed": known.allowed, "default": None if known.is_required else known.default}
            for name, known in item.parameters.items()
        },
        "severities": {name: list(values) for name, values in item.severities.items()},
        "source": item.source,
    }


def corrupt(
    track: options.Track,
    media: Path | None = option(INPUT, "--media DIR", "Folder of clips. [default: the corpus's features and texts]"),
    split: options.Split = "test",
    sample: list[str] | None = option(INPUT, "--sample ID", "Only the clip of this sample; repeatable."),
    column: list[str] | None = option(
        INPUT, "--column NAME", "Column of text to corrupt; repeatable. [default: transcript]"
    ),
    feature_of: options.FeatureOf = None,
    output: Path | None = option(
        OUTPUT, "--output -o DIR", "Folder of corrupted files and their manifest; needed unless --dry-run or --preview."
    ),
    preview: Path | None = option(OUTPUT, "--preview FILE", "Draw clips before and after, as .png or .svg."),
    dry_run: bool = option(OUTPUT, "--dry-run", "Show sampled parameters and expected time; write nothing.", False),
    verify: bool = option(OUTPUT, "--verify", "Re-create each clip and check that it is identical.", False),
    speech_quality: bool = option(
        OUTPUT, "--speech-quality", "With --verify: rate how speech sounds before and after, by DNSMOS.", False
    ),
    force: options.Force = False,
    workers: options.Workers = 1,
    engine: options.Engine = "local",
) -> None:
    """Corrupt clips, or a corpus, as a track declares."""
    declared = merbench.load_track(track)
    if output is None and not (dry_run or preview):
        raise UsageError("--output DIR, the folder to write, is needed; or --dry-run, or --preview FILE")
    if media is None:
        for_media = {"split": split != "test", "sample": sample, "workers": workers != 1, "engine": engine != "local"}
        checks = {"verify": verify, "speech-quality": speech_quality, "dry-run": dry_run, "preview": preview}
        _refuse({**for_media, **checks}, "clips, with --media DIR")
        assert output is not None
        _corrupt_corpus(declared, output, feature_of, column, force)
        return
    where = "features and texts of a corpus, without --media"
    _refuse({"feature-of": feature_of, "column": column, "force": force}, where)
    if preview is not None and preview.suffix.lower() not in (".png", ".svg"):
        raise UsageError(f"--preview {preview}: a picture is a .png or a .svg")

    if not verify:
        _refuse({"speech-quality": speech_quality}, "verified clips, with --verify")
    from merbench.corrupt.clip_folder import plan_media
    from merbench.features.quality import rating_names

    rated = rating_names() if speech_quality else ()
    candidates = merbench.open_candidates(declared, split)
    plan = plan_media(candidates, media, output, sample_ids=sample)
    if dry_run:
        _show_plan(plan, workers)
    not_shown = {} if preview is None else _preview(plan, preview, sample)
    if not dry_run and output is not None:
        _corrupt_media(plan, workers, engine, verify, rated)
    _report_problems(str(media), not_shown)


def _refuse(given: Mapping[str, Any], where: str) -> None:
    names = [f"--{name}" for name, value in given.items() if value]
    if names:
        raise UsageError(f"{', '.join(names)}: {'applies' if len(names) == 1 else 'apply'} only to {where}")


def _corrupt_media(plan: MediaPlan, workers: int, engine: str, verify: bool, rated: Sequence[str]) -> None:
    from merbench.corrupt.clip_folder import corrupt_media
    from merbench.corrupt.manifest import MANIFEST

    with progress_bar() as show:
        done = corrupt_media(plan, workers=workers, engine=engine, verify=verify, progress=show)
    n_done = done.n_new + done.n_kept
    before = f", {done.n_kept:,} of them already done" if done.n_kept else ""
    print_line(f"{done.folder}: {plural(n_done, 'corrupted clip')}{before}; {done.folder / MANIFEST}")
    if verify:
        n_identical = n_done - len(done.differing) - len(done.unverified)
        print(f"verified: {n_identical:,} of {n_done:,} clips are identical when re-created")
    if done.unused:
        print(problem_list(str(plan.media), [without_a_sample(done.unused)]), file=sys.stderr)
    if done.differing:
        raise IntegrityError(*problem_lines(str(done.folder), _by_message("E652", done.differing)))
    unrated = _report_speech_quality(plan, done.manifest, rated, workers, engine) if rated else {}
    _report_problems(str(plan.media), {**done.problems, **unrated, **done.unverified})


def _report_speech_quality(
    plan: MediaPlan, manifest: Manifest, rated: Sequence[str], workers: int, engine: str
) -> dict[str, str]:
    """Print the means of ratings before and after, and return why some clips have none, by sample."""
    from merbench.features.quality import speech_quality
    from merbench.report import ReportTable

    written = {sample_id: plan.output / row["output"] for sample_id, row in manifest.rows.items() if "output" in row}
    clips = {clip.sample_id: (clip.source, written[clip.sample_id]) for clip in plan.clips if clip.sample_id in written}
    with progress_bar() as show:
        ratings, problems = speech_quality(clips, show, workers=workers, engine=engine)
    if len(ratings):
        rows = [
            (name, f"{before:.2f}", f"{after:.2f}", f"{after - before:+.2f}")
            for name, before, after in zip(rated, *ratings.mean(axis=0), strict=True)
        ]
        print(f"speech quality, opinions from 1 to 5 by DNSMOS, means of {plural(len(ratings), 'clip')}:")
        print_table(ReportTable("", ("of", "before", "after", "change"), rows))
    return problems


def _by_message(code: str, problems: Mapping[str, str]) -> list[Problem]:
    """Return one problem for each message, with the samples it is about."""
    samples: dict[str, list[str]] = {}
    for sample_id in sorted(problems):
        samples.setdefault(problems[sample_id], []).append(sample_id)
    return [Problem(code, f"{message}: {listed(ids)}", count=len(ids)) for message, ids in sorted(samples.items())]


def _report_problems(where: str, problems: Mapping[str, str]) -> None:
    """List on stderr what could not be corrupted, grouped by problem, and leave with the exit code for it."""
    if problems:
        print(problem_list(where, _by_message("E651", problems)), file=sys.stderr)
        raise typer.Exit(WITH_PROBLEMS)


def _show_plan(plan: MediaPlan, workers: int) -> None:
    from merbench.corrupt.clip_folder import estimate
    from merbench.files.reading import size_text
    from merbench.report import ReportTable

    draws = plan.draws()
    columns = tuple(dict.fromkeys(key for row in draws for key in row))
    rows = [
        tuple(_cell(row.get(name)) for name in columns) for row in sorted(draws, key=lambda row: str(row["sample_id"]))
    ]
    print_table(ReportTable("", columns, rows))
    expected = estimate(plan)
    by = "1 process" if workers == 1 else f"{workers} processes"
    time = _duration(expected.seconds / workers)
    print(f"{plural(expected.n_clips, 'clip')}, about {time} with {by}, {size_text(expected.bytes)}")
    if plan.without:
        print(f"{plural(len(plan.without), 'sample')} without a clip")


def _cell(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "" if value is None else str(value)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _preview(plan: MediaPlan, path: Path, sample: list[str] | None) -> dict[str, str]:
    """Draw clips and return what is wrong with those that cannot be shown, by sample."""
    from merbench.corrupt.preview import SHOWN, write_preview

    n_shown, problems = write_preview(plan.clips if sample else plan.clips[:SHOWN], path)
    print_line(f"{path}: {plural(n_shown, 'clip')} before and after")
    return problems


def _corrupt_corpus(
    track: Track, output: Path, feature_of: list[str] | None, column: list[str] | None, force: bool
) -> None:
    from merbench.corrupt.features_and_texts import corrupt_corpus
    from merbench.corrupt.manifest import MANIFEST

    features = options.pairs("--feature-of", feature_of, options.MODALITY_NAME)
    done = corrupt_corpus(track, output, features=features or None, columns=column or ("transcript",), replace=force)
    n_done = len(done.manifest.rows) - len(done.problems)
    print_line(f"{done.corpus.folder}: {done.corpus.name}, {plural(n_done, 'sample')} corrupted; {output / MANIFEST}")
    if done.uneven:
        message = (
            "dimensions differ in scale so much that noise at 20 dB drowns half of them; "
            "store the feature standardised by the training split"
        )
        warnings = [Problem("W652", message, column=name) for name in done.uneven]
        print(problem_list(str(done.corpus.folder), warnings), file=sys.stderr)
    _report_problems(str(done.corpus.folder), done.problems)
