"""`merbench tracks`, `merbench metrics`, `merbench describe` and `merbench init`."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

import merbench
from merbench.cli import options
from merbench.cli.options import INPUT, OUTPUT
from merbench.cli.parser import argument, option
from merbench.cli.printing import print_line, print_list
from merbench.errors import IntegrityError, MerbenchError, UnknownName, UsageError, did_you_mean, listed, plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from merbench.corpus.candidates import Candidates
    from merbench.metrics import Metric
    from merbench.targets import Target
    from merbench.track import Track

EXAMPLE_ROWS = 3


def tracks(
    family: str = option(None, "--family NAME", "Only tracks of this family, such as mer.", ""),
    year: int | None = option(None, "--year YEAR", "Only tracks of this year."),
    metric: str = option(None, "--metric NAME", "Only tracks with this metric.", ""),
    modality: str = option(
        None, "--modality NAME", "Only tracks with this modality: audio, video, text, physiology.", ""
    ),
    markdown: bool = option(None, "--markdown", "Print the page docs/tracks.md instead.", False),
    form: options.ListFormatOption = options.ListFormat.table,
) -> None:
    """List available tracks."""
    from merbench.track import readable_tracks, tracks_page, tracks_table

    known, broken = readable_tracks()
    for error in broken:
        print(error, file=sys.stderr)
    if markdown:
        print(tracks_page(known), end="")
    else:
        facets: dict[str, tuple[object, Callable[[Track], set[Any]]]] = {
            "family": (family, lambda track: {track.family}),
            "year": (year, lambda track: {track.year}),
            "metric": (metric, lambda track: {spec.name for spec in track.metrics}),
            "modality": (modality, lambda track: set(track.modalities)),
        }
        chosen = known
        for name, (value, values_of) in facets.items():
            if value not in ("", None):
                _require_known(name, value, {item for track in known for item in values_of(track) if item})
                chosen = [track for track in chosen if value in values_of(track)]
        if chosen or form is options.ListFormat.json:
            print_list("tracks", chosen, tracks_table, _track_record, form)
        else:
            print("no track matches all of these")
    if broken:  # listed after the others were shown
        raise typer.Exit(broken[0].exit_code)


def _require_known(name: str, value: object, known: set[Any]) -> None:
    """Raise `UsageError` for a value that no track has: it is a typing error, not an empty answer."""
    if value not in known:
        names = sorted(map(str, known))
        raise UsageError(
            f"--{name} {value}: no such track{did_you_mean(str(value), names)} (known: {listed(names, 20)})"
        )


def _track_record(track: Track) -> dict[str, Any]:
    return {
        "id": track.id,
        "version": track.version,
        "title": track.title,
        "family": track.family,
        "year": track.year,
        "modalities": list(track.modalities),
        "corpus": track.corpus,
        "splits": list(track.splits),
        "targets": {name: target.type for name, target in track.targets.items()},
        "metrics": [spec.key for spec in track.metrics],
        "ranked_by": list(track.ranked_by),
        "formula": track.formula,
        "checked": track.checked,
    }


def metrics(
    kind: str = option(None, "--kind NAME", "Only metrics of this kind of target, such as label_set.", ""),
    markdown: bool = option(None, "--markdown", "Print the page docs/metrics-reference.md instead.", False),
    form: options.ListFormatOption = options.ListFormat.table,
) -> None:
    """List available metrics, with their range and parameters."""
    from merbench.metrics import METRICS, metrics_page, metrics_table

    if markdown:
        print(metrics_page(), end="")
        return
    known = [METRICS[name] for name in METRICS]
    chosen = [item for item in known if kind in ("", item.target)]
    if not chosen:
        raise UnknownName("kind of target", kind, {item.target for item in known})
    print_list("metrics", chosen, metrics_table, _metric_record, form)


def _metric_record(item: Metric) -> dict[str, Any]:
    from math import isfinite

    return {
        "name": item.name,
        "target": item.target,
        "higher_is_better": item.higher_is_better,
        "bounds": [bound if isfinite(bound) else None for bound in item.bounds],
        "parameters": {name: None if known.is_required else known.default for name, known in item.parameters.items()},
        "formula": item.formula,
    }


def describe(
    track: options.Track,
    split: options.Split = "test",
    template: Path | None = option(
        OUTPUT, "--template FILE", "Write a CSV with all candidates and placeholder answers."
    ),
    force: options.Force = False,
) -> None:
    """Show the targets, data, metrics and format of a track."""
    from merbench.files.writing import write_text

    declared = merbench.load_track(track)
    if template is not None:
        template_of = merbench.open_candidates(declared, split)
        if template.suffix.lower() not in ("", ".csv", ".txt"):
            raise UsageError(f"{template}: a template is a CSV file; give it a name that ends in .csv")
        if template.is_file() and not force:
            raise UsageError(f"{template}: already exists, and may contain answers; --force overwrites it")
        write_text(template, _submission_text(declared, template_of.ids.to_pylist()))
        n = plural(len(template_of), "candidate")
        print_line(f"{template}: {n} of {declared.key}, split {split}, with placeholder answers")
        return
    candidates: Candidates | None = None
    missing: UsageError | IntegrityError | None = None
    try:
        candidates = merbench.open_candidates(declared, split)
    except (UsageError, IntegrityError) as error:
        missing = error
    print(_description(declared, split, candidates, str(missing or "")))
    if isinstance(missing, IntegrityError):
        raise missing


def init(
    folder: Path = argument("TRACK", "Folder to create; its name becomes the track's id."),
    corpus: str = option(
        INPUT, "--corpus NAME", "Corpus whose targets and splits are declared. [default: an example]", ""
    ),
) -> None:
    """Draft track.toml and README.md for your own data."""
    import shlex

    from merbench.scaffold import write_starting_track

    for path in write_starting_track(folder, corpus):
        print_line(f"wrote {path}")
    here = "./" if len(folder.parts) == 1 else ""  # a bare name would mean a track that is found by name
    print_line(f"next: edit them, then `merbench describe {shlex.quote(f'{here}{folder}')}`")


def _description(track: Track, split: str, candidates: Candidates | None, missing: str) -> str:
    ids = candidates.ids.to_pylist()[:EXAMPLE_ROWS] if candidates else [f"sample_{i}" for i in range(EXAMPLE_ROWS)]
    lines = [
        f"{track.title} ({track.key})",
        *([f"source: {track.source}"] if track.source else []),
        *([f"checked against: {track.checked}"] if track.checked else []),
        "",
        "targets",
        *(f"  {name}: {target.described()}" for name, target in track.targets.items()),
        *(f"  {line}" for line in dict.fromkeys(_not_available(track))),
        "",
        *_data_lines(track, split, candidates, missing),
        "",
        "metrics",
        *_metric_lines(track),
        "",
        *_submission_lines(track),
        "",
        *(f"  {line}" for line in _submission_text(track, ids).splitlines()),
    ]
    return "\n".join(lines)


def _data_lines(track: Track, split: str, candidates: Candidates | None, missing: str) -> Iterator[str]:
    synthetic = ", a synthetic sample" if candidates and candidates.corpus.synthetic else ""
    yield f"data: corpus {track.corpus}{synthetic}"
    for name, declared in track.splits.items():
        hidden = ", a hidden part of it is scored" if declared.hidden else ""
        sources = " and ".join(f"'{source}'" for source in declared.source)
        chosen = "".join(f", {column} {value}" for column, value in declared.where.items())
        yield f"  {name}: {'split' if len(declared.source) == 1 else 'splits'} {sources} of the corpus{chosen}{hidden}"
    if candidates is None:
        yield f"  not available: {missing}"
    else:
        yield f"  candidates of split {split}: {len(candidates):,}"
        yield f"  features: {listed(list(candidates.corpus.features), 20) or 'none'}"
    for step in track.corruptions:
        values = ", ".join(f"{key} = {_parameter(value)}" for key, value in step.parameters.items())
        yield f"  corruption of the {step.split} split: {step.step_name} ({values}), seed {track.seed}"


def _metric_lines(track: Track) -> Iterator[str]:
    for spec in track.metrics:
        direction = "higher is better" if spec.metric.higher_is_better else "lower is better"
        weight = "" if spec.weight is None else f", weight {spec.weight:g}"
        yield f"  {spec.key}: {spec.metric.formula} ({direction}{weight})"
    if track.formula:
        yield f"  overall = {track.formula}"
    yield f"  ranked by {', then '.join(track.ranked_by)}, at {track.ranking.decimals} decimals"


def _submission_lines(track: Track) -> Iterator[str]:
    rules = track.submission
    averaged = f"{rules.views or 'one or more'} rows per candidate, which are averaged"
    rows = "one row per candidate" if rules.duplicate_ids == "error" else averaged
    yield f"submission: CSV, TSV, Parquet, JSONL or NPZ, {rows}"
    columns = [column for group in _columns(track).values() for column in group]
    yield f"  id column '{rules.id}', then {listed(columns, 20)}"
    scored = track.scored_by_probabilities
    with_chances = [
        name for name, target in track.targets.items() if target.probability_columns() and name not in scored
    ]
    if with_chances and rules.duplicate_ids == "error":
        yield f"  {listed(with_chances, 20)} may come as one column p_<label> per label instead"
    ids_rule = f"extra ids: {_EXTRA[rules.extra_ids]}; missing ids: {_MISSING[rules.missing_ids]}"
    yield f"  largest file {rules.max_bytes:,} bytes; {ids_rule}"
    also_read = [f"column '{alias}' as {column}" for alias, column in rules.aliases.items()]
    also_read += [f"ids without their {_IGNORED[rules.match_ids]}"] if rules.match_ids in _IGNORED else []
    if also_read:
        yield f"  also read: {listed(also_read, 20)}"


def _not_available(track: Track) -> Iterator[str]:
    """Yield which lexicons and synonym groups of a track's targets cannot be opened, with the remedy."""
    from merbench.lexicon import open_lexicon
    from merbench.synonyms import open_groups

    needed: list[tuple[str, Callable[[], object], str]] = []
    for target in track.targets.values():
        if name := target.lexicon_name:
            remedy = f"`merbench lexicon import PATH --name {name}` imports it"
            needed.append((f"lexicon '{name}'", partial(open_lexicon, name), remedy))
        if name := target.groups_name:
            remedy = "`merbench groups import` or `merbench groups fill` makes them"
            needed.append((f"groups '{name}'", partial(open_groups, name, track.folder), remedy))
    for what, open_it, remedy in needed:
        try:
            open_it()
        except UnknownName:
            yield f"{what}: not available; {remedy}"
        except MerbenchError as error:
            yield f"{what}: {error}"


_EXTRA = {"error": "an error", "allow": "counted and ignored"}
_IGNORED = {"base_name": "folder", "without_suffix": "suffix", "base_name_without_suffix": "folder or suffix"}
_MISSING = {"error": "an error", "wrong": "a wrong answer", "dropped": "dropped", "previous": "as the one before"}


def _parameter(value: Any) -> str:
    """Return a corruption's parameter, or the distribution it is sampled from, in words."""
    match value:
        case {"choice": choices}:
            return f"one of {', '.join(map(str, choices))}"
        case {"integers": [low, high]}:
            return f"an integer from {low} to {high}"
        case {"uniform": [low, high]}:
            return f"a number between {low} and {high}"
    return str(value)


def _columns(track: Track) -> dict[str, tuple[str, ...]]:
    """Return the columns of every target; labels as their probabilities where rows are averaged or these are scored."""
    chances = track.probability_columns
    if track.submission.duplicate_ids != "mean":
        chances = {name: chances[name] for name in track.scored_by_probabilities}
    return {name: chances.get(name, target.columns(name)) for name, target in track.targets.items()}


def _submission_text(track: Track, ids: list[str]) -> str:
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = _columns(track)
    writer.writerow([track.submission.id, *(column for group in columns.values() for column in group)])
    for row, sample_id in enumerate(ids):
        cells = [cell for name in columns for cell in _example(track.targets[name], columns[name], row)]
        writer.writerows([[sample_id, *cells]] * (track.submission.views or 1))
    return text.getvalue()


def _example(target: Target, columns: tuple[str, ...], row: int) -> tuple[str | float, ...]:
    cells = target.example(row)
    if len(cells) == len(columns):
        return cells
    return tuple(float(column == f"p_{cells[0]}") for column in columns)
