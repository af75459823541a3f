"""The words of samples go in, the representative of every word comes out, by stored answers of a language model.

Conventions:
    Words are trimmed and lower-cased. An answer is groups of words; a word's representative is the first word of the
    last group that holds it, and a word in no group stands for itself. Runs count from 0.
    An answer is found by a key. `words`: SHA-256 of the sorted distinct words of reference and prediction, so that it
    is found again for every system that gives the same words, whatever the sample is called. `names`: the sample's
    name, as in the file that MER 2024 released. A sample of fewer than two distinct words needs no answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, get_args

from merbench.errors import UsageError, listed, plural
from merbench.files import sha256_bytes

Answer = tuple[tuple[str, ...], ...]
Answers = Mapping[str, Answer]
Sets = tuple[tuple[str, ...], tuple[str, ...]]
Keys = Literal["words", "names"]

KEYS: tuple[Keys, ...] = get_args(Keys)

UNSTATED = "unstated"
"""A prompt's digest, or a way of decoding, that a release does not tell."""


def normal(word: str) -> str:
    """Return a word as answers hold it."""
    return word.strip().lower()


def distinct(words: Iterable[str]) -> tuple[str, ...]:
    """Return the distinct words, sorted; blank ones are none."""
    return tuple(sorted({normal(word) for word in words} - {""}))


def answer_key(words: Iterable[str]) -> str:
    """Return what the answer for the words of one sample is stored under: equal for equal sets of words."""
    return sha256_bytes(json.dumps(distinct(words), ensure_ascii=False).encode())


def representatives(groups: Iterable[Sequence[str]]) -> dict[str, str]:
    """Return word → representative of every word in some group."""
    return {word: group[0] for group in groups for word in group}


@dataclass(frozen=True)
class Groups:
    """Stored answers of a language model.

    Attributes:
        name: what they are called.
        source: where they come from, in words.
        model: the language model, with its revision where that is known.
        prompt_digest: SHA-256 of the prompt's text, or `unstated`.
        decoding: how the model was made to answer.
        keys: how an answer is found, see the module's conventions.
        runs: per run, key → answer.
        dropped: per run, how many words of answers were dropped, since nobody had asked about them.
    """

    name: str
    source: str
    model: str
    prompt_digest: str
    decoding: str
    keys: Keys
    runs: tuple[Answers, ...] = field(repr=False)
    dropped: tuple[int, ...]

    @cached_property
    def digest(self) -> str:
        """SHA-256 over everything but name and source; it changes when answers are added."""
        head = [self.keys, self.model, self.prompt_digest, self.decoding, self.dropped]
        rows = ([run, key, answers[key]] for run, answers in enumerate(self.runs) for key in sorted(answers))
        return sha256_bytes(*(json.dumps(row, ensure_ascii=False).encode() for row in (head, *rows)))

    @property
    def signature(self) -> str:
        """Who grouped, by which prompt, how often: what a report made with these answers states.

        It stays the same when answers for another system are added, as long as answers are found by words.
        """
        told = self.prompt_digest if self.keys == "words" else self.digest
        return f"{self.model}#{told[:8]},{self.decoding},runs:{len(self.runs)}"

    def representatives(self, ids: Sequence[str], sets: Sequence[Sets], run: int) -> list[Mapping[str, str]]:
        """Return for every sample each of its words → its representative.

        Args:
            ids: names of the samples.
            sets: the words of reference and prediction of each.
            run: which run of the model.

        Raises:
            UsageError: there is no such run, or the answer for a sample is not stored.
        """
        if not 0 <= run < len(self.runs):
            raise UsageError(f"groups '{self.name}': there is no run {run}; the runs are 0 to {len(self.runs) - 1}")
        found: list[Mapping[str, str]] = []
        missing = []
        for id_, (reference, prediction) in zip(ids, sets, strict=True):
            answer = self._answer(id_, (*reference, *prediction), run)
            if answer is None:
                missing.append(id_)
                continue
            first = representatives(answer)
            found.append({word: first.get(normal(word), word) for word in (*reference, *prediction)})
        if missing:
            raise UsageError(self._missing(missing, len(ids), run))
        return found

    def used_digest(self, ids: Sequence[str], sets: Sequence[Sets]) -> str:
        """Return the SHA-256 of the answers for some samples, by their words: of what a score was made with."""
        rows = (
            [run, distinct((*reference, *prediction)), self._answer(id_, (*reference, *prediction), run)]
            for run in range(len(self.runs))
            for id_, (reference, prediction) in zip(ids, sets, strict=True)
        )
        return sha256_bytes(*(json.dumps(row, ensure_ascii=False).encode() for row in rows))

    def ungrouped(self, ids: Sequence[str], sets: Sequence[Sets]) -> int:
        """Return how many words of samples no run's answer holds, each once per sample.

        An answer that is found by the words was asked about all of them: then there are none. One that is found by
        the sample's name may have been given for other predictions.
        """
        if self.keys == "words":
            return 0
        found = 0
        for id_, (reference, prediction) in zip(ids, sets, strict=True):
            grouped = {word for run in self.runs for group in run.get(id_, ()) for word in group}
            found += len(set(distinct((*reference, *prediction))) - grouped)
        return found

    def _answer(self, id_: str, words: Sequence[str], run: int) -> Answer | None:
        """Return the stored answer; one without groups where none is needed, None where it is missing."""
        key = id_ if self.keys == "names" else answer_key(words)
        answer = self.runs[run].get(key)
        return () if answer is None and len(distinct(words)) < 2 else answer

    def _missing(self, ids: Sequence[str], n: int, run: int) -> str:
        start = f"groups '{self.name}', run {run}: no answer is stored for {len(ids):,} of {plural(n, 'sample')}"
        if self.keys == "names":
            remedy = "these groups are of a release; `merbench groups fill` makes groups for other samples"
        else:
            remedy = f"`merbench groups fill {self.name} --track TRACK --submission FILE` asks for what is missing"
        return f"{start}: {listed(ids)}; {remedy}"
