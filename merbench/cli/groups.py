"""`merbench groups list | info | import | fill`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from merbench.cli.options import ListFormat, ListFormatOption, print_line, print_rows
from merbench.errors import WITH_PROBLEMS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from merbench.metrics.lists import Lists, Values
    from merbench.synonyms import Asker, Filled, Groups, Question

app = typer.Typer(
    name="groups",
    help="Synonym groups of words: list, show, import, ask for.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list")
def list_(form: ListFormatOption = ListFormat.table) -> None:
    """List the stored groups of the data home."""
    from merbench.synonyms import GROUPS

    columns = ("groups", "model", "runs", "answers", "digest", "source")
    print_rows("groups", columns, [_list_row(name) for name in GROUPS.names()], form)


@app.command()
def info(groups: Annotated[str, typer.Argument(metavar="GROUPS", help="Name in the data home, or ./folder.")]) -> None:
    """Show who made stored groups, how, with how many answers."""
    from merbench.synonyms import open_groups

    print(_info_text(open_groups(groups)))


@app.command("import")
def import_(
    release: Annotated[str, typer.Argument(metavar="RELEASE", help="Name of the release: mer2024.")],
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The released archive, its folder, or JSON Lines.")],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the groups; mer2024-ov for the release mer2024.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace groups that are there already.")] = False,
) -> None:
    """Store the groups that a challenge released in the data home."""
    from merbench.synonyms import GROUPS, import_groups

    groups = import_groups(release, path, name, replace=force)
    print_line(f"{GROUPS.home / groups.name}: {_summary(groups)}")


@app.command()
def fill(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the groups: a-z, 0-9 and -.")],
    track: Annotated[str, typer.Option(metavar="TRACK", help="Track with a target of label sets.")],
    submission: Annotated[list[str], typer.Option(metavar="FILE", help="A submission. May be repeated.")],
    endpoint: Annotated[
        str | None, typer.Option(metavar="URL", help="An OpenAI-compatible endpoint: http://localhost:8000.")
    ] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Name of the model at the endpoint.")] = None,
    key_env: Annotated[
        str | None, typer.Option(metavar="VAR", help="Variable of the environment that holds the key.")
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(metavar="T", min=0, help="Sent to the endpoint; when left out, the endpoint decides."),
    ] = None,
    parallel: Annotated[
        int, typer.Option(metavar="N", min=1, max=64, help="Prompts that the endpoint gets at once.")
    ] = 4,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", min=1, help="Seconds that an answer may take.")] = 120.0,
    transformers: Annotated[
        str | None,
        typer.Option(metavar="PATH|NAME", help="A model on this machine; needs the extra language-models."),
    ] = None,
    runs: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Runs to be averaged; 5, or 1 with --transformers, which never varies."),
    ] = None,
    split: Annotated[str, typer.Option(help="Split of the track.")] = "test",
    target: Annotated[str | None, typer.Option(help="Target of label sets, where the track has several.")] = None,
) -> None:
    """Ask a language model which words mean the same.

    The words are those of references and submissions; only answers that are missing are asked for.
    """
    from functools import partial

    from merbench.cli.progress import progress_bar
    from merbench.errors import UsageError, examples, problem_list
    from merbench.synonyms import fill_groups

    if (endpoint is None) == (transformers is None):
        raise UsageError("one of --endpoint and --transformers is needed, and not both")
    if transformers is not None and (runs or 1) > 1:
        raise UsageError("--runs: all runs of a model on this machine are equal, since it decodes greedily")
    questions = list(_questions(track, submission, split, target))
    asker = (
        _local(transformers)
        if endpoint is None
        else _remote(endpoint, model, key_env, temperature=temperature, parallel=parallel, timeout_s=timeout)
    )
    n_runs = runs or (5 if endpoint is not None else 1)
    with progress_bar() as show:
        filled = fill_groups(name, questions, asker, n_runs=n_runs, progress=partial(show, "asking"))
    print(_filled_text(filled))
    if filled.problems:
        print(problem_list(name, examples(filled.problems, lambda problem: problem)), file=sys.stderr)
        raise typer.Exit(WITH_PROBLEMS)


def _local(name_or_path: str | None) -> Asker:
    from merbench.synonyms.language_models import LocalModel

    return LocalModel(str(name_or_path), quiet=not sys.stderr.isatty())


def _remote(
    url: str, model: str | None, key_env: str | None, *, temperature: float | None, parallel: int, timeout_s: float
) -> Asker:
    from merbench.errors import UsageError
    from merbench.synonyms.language_models import Endpoint, key_from

    if not model:
        raise UsageError("--endpoint needs --model, the name of the model there")
    key = key_from(key_env) if key_env else None
    return Endpoint(url, model, key, temperature=temperature, parallel=parallel, timeout_s=timeout_s)


def _questions(name: str, files: Sequence[str], split: str, target: str | None) -> Iterator[Question]:
    """Yield the words of every scored sample, of its reference and of each submission."""
    import numpy as np

    from merbench.corpus.candidates import open_candidates
    from merbench.submission import read_submission
    from merbench.synonyms import Question
    from merbench.track import load_track

    track = load_track(name)
    column = _label_set_target(track.id, [key for key, item in track.targets.items() if item.has_word_sets], target)
    candidates = open_candidates(track, split)
    held = candidates.references
    rows = np.flatnonzero(held.known.get(column, np.ones(len(held), dtype=bool)))
    scored = held.index[rows]
    ids = candidates.ids.take(scored).to_pylist()
    references = _words(held.values[column][rows])
    for file in files:
        predictions = _words(read_submission(file, candidates).values[column][scored])
        for id_, reference, prediction in zip(ids, references, predictions, strict=True):
            yield Question(id_, (*reference, *prediction))


def _words(values: Values) -> list[tuple[str, ...]]:
    return list(cast("Lists", values))


def _label_set_target(track: str, there: list[str], chosen: str | None) -> str:
    from merbench.errors import UsageError, listed

    if chosen in there:
        return str(chosen)
    if chosen is None and len(there) == 1:
        return there[0]
    needed = f"--target names one of {listed(there)}" if there else "one is needed"
    found = f"'{chosen}' is none" if chosen else f"it has {len(there)}" if there else "it has none"
    raise UsageError(f"{track}: targets of label sets: {found}; {needed}")


def _filled_text(filled: Filled) -> str:
    from merbench.errors import plural

    counts = f"{plural(filled.n_new, 'answer')} added to {filled.n_there:,}, {filled.n_missing:,} missing"
    dropped = f"; {plural(filled.n_dropped, 'word')} that nobody had asked for dropped" if filled.n_dropped else ""
    ended = "; asking ended, since not one answer could be used" if filled.n_missing > len(filled.problems) else ""
    return f"{_summary(filled.groups)}: {counts}{dropped}{ended}"


def _summary(groups: Groups) -> str:
    from merbench.errors import plural

    n_answers = sum(map(len, groups.runs))
    return f"{groups.name}, {plural(n_answers, 'answer')} in {plural(len(groups.runs), 'run')} of {groups.model}"


def _list_row(name: str) -> tuple[str, ...]:
    from merbench.errors import MerbenchError
    from merbench.synonyms import open_groups

    try:
        groups = open_groups(name)
    except MerbenchError:
        return name, "", "", "", "", f"cannot be opened; `merbench groups info {name}` says why"
    n_answers = f"{sum(map(len, groups.runs)):,}"
    return name, groups.model, str(len(groups.runs)), n_answers, groups.digest[:12], groups.source


def _info_text(groups: Groups) -> str:
    found = "by the words of a sample" if groups.keys == "words" else "by the name of a sample"
    lines = [
        groups.name,
        f"source: {groups.source}",
        f"model: {groups.model}",
        f"prompt: {groups.prompt_digest}",
        f"decoding: {groups.decoding}",
        f"answers are found {found}",
        f"digest: {groups.digest}",
        f"signature: {groups.signature}",
        "",
    ]
    for run, (answers, dropped) in enumerate(zip(groups.runs, groups.dropped, strict=True)):
        n_groups = sum(map(len, answers.values()))
        lines.append(f"run {run}: {len(answers):,} answers, {n_groups:,} groups, {dropped:,} words dropped")
    return "\n".join(lines)
