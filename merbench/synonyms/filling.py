"""The words of samples and a language model go in, its answers for them are stored: only those that are missing.

Conventions:
    Answers are stored at least every few seconds and whenever asking ends, however it ends; the next call goes on
    from there. One process at a time fills groups of one name.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Protocol

from merbench.errors import Problem, UsageError
from merbench.files import exclusive
from merbench.synonyms.groups import Answer, Groups, answer_key, distinct
from merbench.synonyms.prompting import Parsed, parse_answer, prompt, prompt_digest
from merbench.synonyms.storing import FILE_NAME, folder_of, read_groups, write_groups

SAVE_EVERY_S = 10.0
"""Answers are stored when the last time was so long ago."""

MOST_FAILURES = 20
"""A model whose first answers cannot be used is asked no more."""


class Asker(Protocol):
    """A language model that answers one prompt."""

    @property
    def model(self) -> str:
        """Its name, with the revision where that is known."""

    @property
    def decoding(self) -> str:
        """How it is made to answer."""

    @property
    def source(self) -> str:
        """Where it runs, in words."""

    @property
    def parallel(self) -> int:
        """How many prompts it may be given at once."""

    @property
    def attempts(self) -> int:
        """How often it is asked for one answer that can be used."""

    def answer(self, prompt: str) -> str:
        """Return the text that the model answers; raise `UsageError` where it cannot be asked."""


@dataclass(frozen=True, slots=True)
class Question:
    """The words of one sample, those of reference and prediction together."""

    id: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Filled:
    """What became of some questions.

    Attributes:
        groups: the stored answers.
        n_there: how many answers were stored before.
        n_new: how many were added.
        n_dropped: how many words the new answers gave that were not asked for.
        n_missing: how many are missing still.
        problems: the samples whose answer could not be used, by sample and run.
    """

    groups: Groups
    n_there: int
    n_new: int
    n_dropped: int
    n_missing: int
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class _Task:
    run: int
    key: str
    id: str
    words: tuple[str, ...]


def fill_groups(
    name: str,
    questions: Sequence[Question],
    asker: Asker,
    *,
    n_runs: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Filled:
    """Ask a language model to group the words of samples, and store its answers in the data home.

    Args:
        name: name of the groups; new ones, or some that the same model made by the same prompt.
        questions: the words of samples; equal sets of words are asked about once.
        asker: the language model.
        n_runs: how often each is asked.
        progress: told after every answer how many there are, and how many there will be.

    Raises:
        UsageError: the name is no name, its groups were made in another way, or the model cannot be asked.
        IntegrityError: the stored answers changed since they were written.
    """
    folder = folder_of(name)
    with exclusive(folder.parent / f".{name}.lock"):
        store = _Store(_start(folder, name, asker, n_runs))
        wanted = list(_tasks(questions, n_runs))
        tasks = [task for task in wanted if task.key not in store.runs[task.run]]
        failed: list[tuple[str, int, str]] = []
        try:
            with closing(_asked(tasks, asker)) as answers:
                for task, parsed in answers:
                    if isinstance(parsed, Parsed):
                        store.add(task, parsed)
                    else:
                        failed.append((task.id, task.run, parsed))
                    progress(store.n_new + len(failed), len(tasks))
                    if len(failed) >= MOST_FAILURES and not store.n_new:
                        break
        finally:
            store.save()
    n_there, n_missing = len(wanted) - len(tasks), len(tasks) - store.n_new
    problems = tuple(Problem("E634", f"sample {id_}, run {run}: {why}", id=id_) for id_, run, why in sorted(failed))
    return Filled(store.groups, n_there, store.n_new, store.n_dropped, n_missing, problems)


class _Store:
    """Answers that grow, and are written to the data home now and then."""

    def __init__(self, groups: Groups) -> None:
        self.groups = groups
        self.runs: list[dict[str, Answer]] = [dict(answers) for answers in groups.runs]
        self.n_new = 0
        self.n_dropped = 0
        self._dropped = list(groups.dropped)
        self._saved_at = time.monotonic()

    def add(self, task: _Task, parsed: Parsed) -> None:
        self.runs[task.run][task.key] = parsed.groups
        self._dropped[task.run] += parsed.n_dropped
        self.n_dropped += parsed.n_dropped
        self.n_new += 1
        if time.monotonic() - self._saved_at >= SAVE_EVERY_S:
            self.save()

    def save(self) -> None:
        runs = tuple(dict(answers) for answers in self.runs)
        self.groups = replace(self.groups, runs=runs, dropped=tuple(self._dropped))
        write_groups(folder_of(self.groups.name), self.groups)
        self._saved_at = time.monotonic()


def _start(folder: Path, name: str, asker: Asker, n_runs: int) -> Groups:
    """Return the groups to be filled: those that are there, if they were made in the same way, else empty ones."""
    if n_runs < 1:
        raise UsageError(f"{n_runs} runs cannot be asked for; 1 at least is needed")
    empty = Groups(
        name=name,
        source=asker.source,
        model=asker.model,
        prompt_digest=prompt_digest(),
        decoding=asker.decoding,
        keys="words",
        runs=({},) * n_runs,
        dropped=(0,) * n_runs,
    )
    if not (folder / FILE_NAME).is_file():
        return empty
    there = read_groups(folder)
    if not any(there.runs):
        return empty
    differing = [
        f"{label} {getattr(there, key)}, not {getattr(empty, key)}"
        for key, label in _SAME.items()
        if getattr(there, key) != getattr(empty, key)
    ]
    if differing:
        raise UsageError(f"groups '{name}' were made in another way ({'; '.join(differing)}); choose another name")
    if len(there.runs) > n_runs:
        told = f"hold {len(there.runs)} runs; with {n_runs} asked for, the others would lack new answers"
        raise UsageError(f"groups '{name}' {told}")
    more = n_runs - len(there.runs)
    return replace(there, runs=(*there.runs, *({},) * more), dropped=(*there.dropped, *(0,) * more))


_SAME = {"keys": "answers found by", "model": "model", "prompt_digest": "prompt", "decoding": "decoding"}
"""What all answers of one name have in common, and how a message calls it."""


def _tasks(questions: Sequence[Question], n_runs: int) -> Iterator[_Task]:
    """Yield what is to be asked: every set of two words or more, once a run."""
    by_key: dict[str, tuple[str, tuple[str, ...]]] = {}
    for question in questions:
        words = distinct(question.words)
        if len(words) > 1:
            by_key.setdefault(answer_key(words), (question.id, words))
    for run in range(n_runs):
        yield from (_Task(run, key, *asked) for key, asked in by_key.items())


def _asked(tasks: Iterable[_Task], asker: Asker) -> Generator[tuple[_Task, Parsed | str], None, None]:
    """Yield answers as they come; no more prompts are under way than the model takes at once."""
    left = iter(tasks)
    running: dict[Future[Parsed | str], _Task] = {}
    pool = ThreadPoolExecutor(asker.parallel)
    try:
        while True:
            for task in islice(left, asker.parallel - len(running)):
                running[pool.submit(_ask, asker, task.words)] = task
            if not running:
                return
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(done), done.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _ask(asker: Asker, words: Sequence[str]) -> Parsed | str:
    """Return the answer for some words; why the last attempt could not be used, where none could."""
    told = ""
    for _ in range(asker.attempts):
        parsed = parse_answer(asker.answer(prompt(words)), words)
        if isinstance(parsed, Parsed):
            return parsed
        told = parsed
    return told
