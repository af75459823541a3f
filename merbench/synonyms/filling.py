"""Groups are filled: a language model is asked about the words of samples, and its answers are stored.

Conventions:
    Only missing answers are asked for. Answers are stored at least every few seconds and whenever asking ends, however
    it ends; the next call continues from there. One process at a time fills groups of one name.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Protocol

from merbench.errors import Problem, UsageError, printable
from merbench.files.reading import sha256_bytes
from merbench.files.writing import exclusive
from merbench.synonyms.groups import GROUPS, Answer, Groups, answer_key, distinct, normal, write_groups

SAVE_EVERY_S = 10.0
"""Answers are stored at this interval."""

MOST_FAILURES = 20
"""Asking ends after so many unusable answers, if none could be used."""

_FORM = "a JSON array of arrays of the given words is needed"
_FENCED = re.compile(r"```(?:json)?\s*\n(.*)\n\s*```", re.DOTALL)


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
        """How often it is asked for one usable answer."""

    def answer(self, prompt: str) -> str:
        """Return the text that the model answers; raise `UsageError` if it cannot be asked."""


class Question(NamedTuple):
    """The words of one sample, those of reference and prediction together."""

    id: str
    words: tuple[str, ...]


class Filled(NamedTuple):
    """Groups after asking: how many answers there were before, were added, and are missing.

    `n_dropped` words of the new answers were not in the prompt; `problems` names the samples, by sample and run, whose
    answer could not be used.
    """

    groups: Groups
    n_there: int
    n_new: int
    n_dropped: int
    n_missing: int
    problems: tuple[Problem, ...]


class Parsed(NamedTuple):
    """The groups in a model's answer, and how many of its words were not in the prompt."""

    groups: Answer
    n_dropped: int


class _Task(NamedTuple):
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
        progress: called after every answer with their number, and how many there will be.

    Raises:
        UsageError: the name is not valid, its groups were made in another way, or the model cannot be asked.
        IntegrityError: the stored answers changed since they were written.
    """
    folder = GROUPS.own_folder(name)
    with exclusive(folder.parent / f".{name}.lock"):
        answers = _Growing(_start(name, asker, n_runs), folder)
        wanted = list(_tasks(questions, n_runs))
        tasks = [task for task in wanted if task.key not in answers.runs[task.run]]
        failed: list[tuple[str, int, str]] = []
        try:
            with closing(_asked(tasks, asker)) as results:
                for task, parsed in results:
                    if isinstance(parsed, Parsed):
                        answers.add(task, parsed)
                    else:
                        failed.append((task.id, task.run, parsed))
                    progress(answers.n_new + len(failed), len(tasks))
                    if len(failed) >= MOST_FAILURES and not answers.n_new:
                        break
        finally:
            answers.save()
    n_there, n_missing = len(wanted) - len(tasks), len(tasks) - answers.n_new
    problems = tuple(Problem("E634", f"sample {id_}, run {run}: {why}", id=id_) for id_, run, why in sorted(failed))
    return Filled(answers.groups, n_there, answers.n_new, answers.n_dropped, n_missing, problems)


class _Growing:
    """Groups that grow, and are written to the data home now and then."""

    def __init__(self, groups: Groups, folder: Path) -> None:
        self.groups = groups
        self.runs: list[dict[str, Answer]] = [dict(answers) for answers in groups.runs]
        self.n_new = 0
        self.n_dropped = 0
        self._dropped = list(groups.dropped)
        self._folder = folder
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
        write_groups(self._folder, self.groups)
        self._saved_at = time.monotonic()


_SAME = {"keys": "answers found by", "model": "model", "prompt_digest": "prompt", "decoding": "decoding"}
"""What all answers of one name have in common, and what messages call it."""


def _start(name: str, asker: Asker, n_runs: int) -> Groups:
    """Return the groups to be filled: the stored ones, if they were made in the same way, else empty ones."""
    if n_runs < 1:
        raise UsageError(f"{n_runs} runs cannot be asked for; at least 1 is needed")
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
    stored = GROUPS.named(name) if GROUPS.holds(name) else empty
    if not any(stored.runs):
        return empty
    differing = [
        f"{label} {getattr(stored, key)}, not {getattr(empty, key)}"
        for key, label in _SAME.items()
        if getattr(stored, key) != getattr(empty, key)
    ]
    if differing:
        raise UsageError(f"groups '{name}' were made in another way ({'; '.join(differing)}); choose another name")
    more = n_runs - len(stored.runs)
    if more < 0:
        message = f"have {len(stored.runs)} runs; with {n_runs} asked for, the others would lack new answers"
        raise UsageError(f"groups '{name}' {message}")
    return replace(stored, runs=(*stored.runs, *({},) * more), dropped=(*stored.dropped, *(0,) * more))


def _tasks(questions: Sequence[Question], n_runs: int) -> Iterator[_Task]:
    """Yield what is to be asked: every set of at least two words, once per run."""
    by_key: dict[str, tuple[str, tuple[str, ...]]] = {}
    for question in questions:
        words = distinct(question.words)
        if len(words) > 1:
            by_key.setdefault(answer_key(words), (question.id, words))
    for run in range(n_runs):
        yield from (_Task(run, key, *asked) for key, asked in by_key.items())


def _asked(tasks: Iterable[_Task], asker: Asker) -> Generator[tuple[_Task, Parsed | str], None, None]:
    """Yield answers as they come; the model gets no more prompts at once than it takes."""
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
    """Return the answer for some words; why the last attempt could not be used, if none could."""
    parsed: Parsed | str = ""
    for _ in range(asker.attempts):
        parsed = parse_answer(asker.answer(prompt(words)), words)
        if isinstance(parsed, Parsed):
            break
    return parsed


@cache
def template() -> str:
    """Return the text of the prompt, in which the words replace `{words}`."""
    return (Path(__file__).parent / "prompt.txt").read_text(encoding="utf-8")


def prompt_digest() -> str:
    """Return the SHA-256 of the prompt's text."""
    return sha256_bytes(template().encode())


def prompt(words: Sequence[str]) -> str:
    """Return the prompt for some words, with them as a JSON array."""
    return template().replace("{words}", json.dumps(list(words), ensure_ascii=False))


def parse_answer(text: str, words: Sequence[str]) -> Parsed | str:
    """Return the groups of an answer, without words that were not in the prompt, or why it cannot be used.

    A code fence around the array is removed; words that the answer leaves out are in no group.
    """
    content = text.strip()
    fenced = _FENCED.fullmatch(content)
    try:
        given = json.loads(fenced[1] if fenced else content)
    except (ValueError, RecursionError):
        return f"'{printable(content)}' is not JSON; {_FORM}"
    if not isinstance(given, list) or not all(isinstance(group, list) for group in given):
        return f"'{printable(content)}' has another form; {_FORM}"
    if not all(isinstance(word, str) for group in given for word in group):
        return f"'{printable(content)}' has another form; {_FORM}"
    asked = set(words)
    known = [[word for item in group if (word := normal(item)) in asked] for group in given]
    groups = tuple(tuple(group) for group in known if group)
    if not groups:
        return f"'{printable(content)}' has none of the words; {_FORM}"
    return Parsed(groups, sum(map(len, given)) - sum(map(len, groups)))
