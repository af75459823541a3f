"""`merbench groups list | info | import | fill`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

import typer

import merbench
from merbench.cli import options
from merbench.cli.options import INPUT, MODEL, OUTPUT
from merbench.cli.parser import App, argument, option
from merbench.cli.printing import heading, print_line, print_stored, progress_bar
from merbench.errors import WITH_PROBLEMS, UsageError, examples, listed, plural, problem_list

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from merbench.metrics.lists import Lists, Values
    from merbench.synonyms import Asker, Filled, Groups, Question

app = App("groups", help="Groups of synonyms: list, show, import, fill.")


@app.command("list")
def list_(form: options.ListFormatOption = options.ListFormat.table) -> None:
    """List available synonym groups."""
    from merbench.synonyms import GROUPS

    columns = ("groups", "model", "runs", "answers", "digest", "source")
    print_stored(GROUPS, "groups", columns, _list_row, form)


@app.command()
def info(groups: str = argument("GROUPS", "Name or folder of synonym groups.")) -> None:
    """Show the model, prompt, number of answers and digest of groups."""
    from merbench.synonyms import open_groups

    print(_info_text(open_groups(groups)))


@app.command("import")
def import_(
    release: str = argument("RELEASE", "Name of the release: mer2024."),
    path: Path = argument("PATH", "The released archive, its folder, or JSON Lines."),
    name: str | None = option(OUTPUT, "--name NAME", "Name of the groups. [default: RELEASE-ov]"),
    force: options.Force = False,
) -> None:
    """Import the groups that a challenge released."""
    from merbench.synonyms import GROUPS, import_groups

    groups = import_groups(release, path, name, replace=force)
    print_line(f"{GROUPS.home / groups.name}: {_summary(groups)}")


@app.command()
def fill(
    name: str = argument("NAME", "Name of the groups: a-z, 0-9 and -."),
    track: str = option(INPUT, "--track TRACK", "Track with a target of label sets.", ...),
    submission: list[str] = option(INPUT, "--submission FILE", "Submission with the words; repeatable.", ...),
    split: options.Split = "test",
    target: str | None = option(INPUT, "--target NAME", "Target of label sets, where the track has several."),
    endpoint: str | None = option(MODEL, "--endpoint URL", "OpenAI-compatible endpoint, e.g. http://localhost:8000."),
    model: str | None = option(MODEL, "--model NAME", "Name of the model at the endpoint."),
    key_env: str | None = option(MODEL, "--key-env VAR", "Environment variable with the key of the endpoint."),
    temperature: float | None = option(MODEL, "--temperature T", "Temperature. [default: that of the endpoint]", min=0),
    parallel: int = option(MODEL, "--parallel N", "Prompts sent to the endpoint at once, 1 to 64.", 4, min=1, max=64),
    timeout: float = option(MODEL, "--timeout SECONDS", "Longest wait for an answer.", 120, min=1),
    transformers: str | None = option(
        MODEL, "--transformers PATH|NAME", "Model on this machine; needs the extra language-models."
    ),
    runs: int | None = option(MODEL, "--runs N", "Runs to average. [default: 5; 1 with --transformers]", min=1),
) -> None:
    """Ask a language model which words mean the same.

    The words are those of references and submissions. Only missing answers are asked for.
    """
    from functools import partial

    from merbench.synonyms import fill_groups

    if endpoint is None and transformers is None:
        raise UsageError("give either --endpoint or --transformers")
    if endpoint is not None and transformers is not None:
        raise UsageError("give --endpoint or --transformers, not both")
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
    from merbench.language_models import LocalModel

    return LocalModel(str(name_or_path), quiet=not sys.stderr.isatty())


def _remote(
    url: str, model: str | None, key_env: str | None, *, temperature: float | None, parallel: int, timeout_s: float
) -> Asker:
    from merbench.language_models import Endpoint, key_from

    if not model:
        raise UsageError("--endpoint needs --model, the name of the model there")
    key = key_from(key_env) if key_env else None
    return Endpoint(url, model, key, temperature=temperature, parallel=parallel, timeout_s=timeout_s)


def _questions(name: str, files: Sequence[str], split: str, target: str | None) -> Iterator[Question]:
    """Yield the words of every scored sample, of its reference and of each submission."""
    import numpy as np

    from merbench.synonyms import Question

    track = merbench.load_track(name)
    column = _label_set_target(track.id, [key for key, item in track.targets.items() if item.has_word_sets], target)
    candidates = merbench.open_candidates(track, split)
    references = candidates.references
    rows = np.flatnonzero(references.known.get(column, np.ones(len(references), dtype=bool)))
    scored = references.index[rows]
    ids = candidates.ids.take(scored).to_pylist()
    words = _words(references.values[column][rows])
    for file in files:
        predictions = _words(merbench.read_submission(file, candidates).values[column][scored])
        for id_, reference, prediction in zip(ids, words, predictions, strict=True):
            yield Question(id_, (*reference, *prediction))


def _words(values: Values) -> list[tuple[str, ...]]:
    return list(cast("Lists", values))


def _label_set_target(track: str, names: list[str], chosen: str | None) -> str:
    if chosen in names:
        return str(chosen)
    if chosen is None and len(names) == 1:
        return names[0]
    if not names:
        raise UsageError(f"{track}: has no target of label sets")
    if chosen is None:
        raise UsageError(f"{track}: has {len(names)} targets of label sets; give --target, one of {listed(names)}")
    raise UsageError(f"--target {chosen}: not a target of label sets; allowed: {listed(names)}")


def _filled_text(filled: Filled) -> str:
    counts = f"{plural(filled.n_new, 'answer')} added to {filled.n_there:,}, {filled.n_missing:,} missing"
    dropped = f"; {plural(filled.n_dropped, 'word')} not asked for dropped" if filled.n_dropped else ""
    ended = "; stopped, because no answer could be used" if filled.n_missing > len(filled.problems) else ""
    return f"{_summary(filled.groups)}: {counts}{dropped}{ended}"


def _summary(groups: Groups) -> str:
    n_answers = sum(map(len, groups.runs))
    return f"{groups.name}, {plural(n_answers, 'answer')} in {plural(len(groups.runs), 'run')} of {groups.model}"


def _list_row(groups: Groups) -> tuple[str, ...]:
    n_answers = f"{sum(map(len, groups.runs)):,}"
    return groups.model, str(len(groups.runs)), n_answers, groups.digest[:12], groups.source


def _info_text(groups: Groups) -> str:
    decoding = {"model": groups.model, "prompt": groups.prompt_digest, "decoding": groups.decoding}
    by = "the words of a sample" if groups.keys == "words" else "the name of a sample"
    digests = {"answers by": by, "digest": groups.digest, "signature": groups.signature}
    lines = [*heading(groups.name, source=groups.source, **decoding, **digests), ""]
    for run, (answers, dropped) in enumerate(zip(groups.runs, groups.dropped, strict=True)):
        n_groups = sum(map(len, answers.values()))
        lines.append(f"run {run}: {len(answers):,} answers, {n_groups:,} groups, {dropped:,} words dropped")
    return "\n".join(lines)
