"""Synonym groups: the representative of every word of a sample, by stored answers of a language model.

Conventions:
    Words are trimmed and lower-cased. An answer is groups of words; a word's representative is the first word of the
    last group that has it, and a word in no group represents itself. Runs count from 0.
    An answer is found by a key. `words`: SHA-256 of the sorted distinct words of reference and prediction, so that it
    is found for every system that gives the same words, whatever the sample is called. `names`: the sample's name, as
    in the file that MER 2024 released. A sample of fewer than two distinct words needs no answer.
    The data home contains a folder per `Groups`: `groups.toml` (its fields, the digest of its answers, SHA-256 of the
    file) and `answers.parquet`: `run` int32, `key` string, `groups` list of lists of strings, sorted by run and key.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from merbench.errors import IntegrityError, MalformedFile, UsageError, listed, plural
from merbench.files.reading import read_parquet, read_verified, sha256_bytes
from merbench.files.toml import toml_text
from merbench.files.writing import write_bytes, write_text
from merbench.store import Store, require_content

Answer = tuple[tuple[str, ...], ...]
Answers = Mapping[str, Answer]
Sets = tuple[tuple[str, ...], tuple[str, ...]]
Keys = Literal["words", "names"]

KEYS: tuple[Keys, ...] = get_args(Keys)

UNSTATED = "unstated"
"""A prompt's digest, or a way of decoding, that a release does not give."""

ANSWERS = "answers.parquet"
MOST_ANSWERS, MOST_BYTES = 1_000_000, 1_000_000_000
"""How many answers stored groups may have, and what they may unpack to."""

_SCHEMA = pa.schema([("run", pa.int32()), ("key", pa.string()), ("groups", pa.list_(pa.list_(pa.string())))])
_TEXTS = ("name", "source", "model", "prompt_digest", "decoding", "keys", "digest")


def normal(word: str) -> str:
    """Return a word as answers hold it."""
    return word.strip().lower()


def distinct(words: Iterable[str]) -> tuple[str, ...]:
    """Return the distinct words, sorted, without blank ones."""
    return tuple(sorted({normal(word) for word in words} - {""}))


def answer_key(words: Iterable[str]) -> str:
    """Return what the answer for the words of one sample is stored under: equal for equal sets of words."""
    return sha256_bytes(json.dumps(distinct(words), ensure_ascii=False).encode())


def representatives(groups: Iterable[Sequence[str]]) -> dict[str, str]:
    """Return word → representative of every word in some group."""
    return {word: group[0] for group in groups for word in group}


@dataclass(frozen=True)
class Groups:
    """Stored answers of a language model."""

    name: str  # what they are called
    source: str  # where they come from, in words
    model: str  # the language model, with its revision where that is known
    prompt_digest: str  # SHA-256 of the prompt's text, or `unstated`
    decoding: str  # how the model was made to answer, or `unstated`
    keys: Keys  # how an answer is found, see the module's conventions
    runs: tuple[Answers, ...] = field(repr=False)  # per run, key → answer
    dropped: tuple[int, ...]  # per run, how many words of answers were dropped, since they were not in the prompt

    @cached_property
    def digest(self) -> str:
        """SHA-256 over everything but name and source; it changes when answers are added."""
        head = [self.keys, self.model, self.prompt_digest, self.decoding, self.dropped]
        rows = ([run, key, answers[key]] for run, answers in enumerate(self.runs) for key in sorted(answers))
        return sha256_bytes(*(json.dumps(row, ensure_ascii=False).encode() for row in (head, *rows)))

    @property
    def signature(self) -> str:
        """Model, prompt, decoding and number of runs, as a report made with these answers states them.

        It stays the same when answers for another system are added, as long as answers are found by words.
        """
        digest = self.prompt_digest if self.keys == "words" else self.digest
        return f"{self.model}#{digest[:8]},{self.decoding},runs:{len(self.runs)}"

    def representatives(self, ids: Sequence[str], sets: Sequence[Sets], run: int) -> list[Mapping[str, str]]:
        """Return for every sample, given by name and words, each of its words → its representative in a run.

        Raises:
            UsageError: no such run, or the answer for a sample is not stored.
        """
        if not 0 <= run < len(self.runs):
            raise UsageError(f"groups '{self.name}': no run {run}; the runs are 0 to {len(self.runs) - 1}")
        represented: list[Mapping[str, str]] = []
        missing = []
        for id_, (reference, prediction) in zip(ids, sets, strict=True):
            answer = self._answer(id_, (*reference, *prediction), run)
            if answer is None:
                missing.append(id_)
                continue
            first = representatives(answer)
            represented.append({word: first.get(normal(word), word) for word in (*reference, *prediction)})
        if missing:
            raise UsageError(self._missing(missing, len(ids), run))
        return represented

    def used_digest(self, ids: Sequence[str], sets: Sequence[Sets]) -> str:
        """Return the SHA-256 of the answers for some samples, by their words."""
        rows = (
            [run, distinct((*reference, *prediction)), self._answer(id_, (*reference, *prediction), run)]
            for run in range(len(self.runs))
            for id_, (reference, prediction) in zip(ids, sets, strict=True)
        )
        return sha256_bytes(*(json.dumps(row, ensure_ascii=False).encode() for row in rows))

    def ungrouped(self, ids: Sequence[str], sets: Sequence[Sets]) -> int:
        """Return how many words of samples no run's answer has, each once per sample.

        An answer that is found by the words was given for all of them: then there are none. One that is found by the
        sample's name may have been given for other predictions.
        """
        if self.keys == "words":
            return 0
        count = 0
        for id_, (reference, prediction) in zip(ids, sets, strict=True):
            grouped = {word for run in self.runs for group in run.get(id_, ()) for word in group}
            count += len(set(distinct((*reference, *prediction))) - grouped)
        return count

    def _answer(self, id_: str, words: Sequence[str], run: int) -> Answer | None:
        """Return the stored answer; one without groups if none is needed, None if it is missing."""
        key = id_ if self.keys == "names" else answer_key(words)
        answer = self.runs[run].get(key)
        return () if answer is None and len(distinct(words)) < 2 else answer

    def _missing(self, ids: Sequence[str], n: int, run: int) -> str:
        start = f"groups '{self.name}', run {run}: no answer is stored for {len(ids):,} of {plural(n, 'sample')}"
        if self.keys == "names":
            remedy = "these groups are of a release; `merbench groups fill` makes groups for other samples"
        else:
            remedy = f"`merbench groups fill {self.name} --track TRACK --submission FILE` asks for the missing ones"
        return f"{start}: {listed(ids)}; {remedy}"


def write_groups(folder: Path, groups: Groups) -> None:
    """Write groups to a folder; those in it are replaced at once, when everything is written."""
    rows = [(run, key, answers[key]) for run, answers in enumerate(groups.runs) for key in sorted(answers)]
    columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[], [], []]
    file = io.BytesIO()
    pq.write_table(pa.table(columns, schema=_SCHEMA), file, compression="zstd")
    stated = {**{key: getattr(groups, key) for key in _TEXTS}, "dropped": list(groups.dropped)}
    with GROUPS.writing(folder, replace=True) as temporary:
        write_bytes(temporary / ANSWERS, file.getvalue())
        stated["files"] = {ANSWERS: sha256_bytes(file.getvalue())}
        write_text(temporary / GROUPS.file_name, toml_text(stated))


def _load(folder: Path) -> Groups:
    stated = GROUPS.declaration(folder, _TEXTS, (ANSWERS,))
    path, dropped = folder / GROUPS.file_name, stated.get("dropped")
    if stated["keys"] not in KEYS:
        raise UsageError(f"{path}: keys must be {' or '.join(KEYS)}")
    if not isinstance(dropped, list) or not dropped or not all(isinstance(n, int) for n in dropped):
        raise UsageError(f"{path}: dropped must be a list with a number per run")
    data = read_verified(folder / ANSWERS, stated["files"][ANSWERS])
    fields = {key: stated[key] for key in _TEXTS if key != "digest"}
    groups = Groups(**fields, runs=_runs(data, len(dropped), folder / ANSWERS), dropped=tuple(dropped))
    require_content(path, groups.digest, stated["digest"])
    return groups


def _runs(data: bytes, n_runs: int, path: Path) -> tuple[Mapping[str, Answer], ...]:
    try:
        table = read_parquet(data, most_rows=MOST_ANSWERS, most_bytes=MOST_BYTES)
    except MalformedFile as error:
        raise UsageError(f"{path}: {error}") from error
    if not table.schema.equals(_SCHEMA) or any(map(_has_null, table.columns)):
        raise UsageError(f"{path}: does not contain the columns {', '.join(_SCHEMA.names)}")
    runs: tuple[dict[str, Answer], ...] = tuple({} for _ in range(n_runs))
    for run, key, groups in zip(*(column.to_pylist() for column in table.columns), strict=True):
        if not 0 <= run < n_runs:
            message = f"has answers of run {run}; {GROUPS.file_name} states {plural(n_runs, 'run')}"
            raise IntegrityError(f"{path}: {message}")
        runs[run][key] = tuple(tuple(group) for group in groups)
    return runs


def _has_null(column: pa.ChunkedArray) -> bool:
    """Return whether an item of a column, or of a list in it, is missing."""
    while pa.types.is_list(column.type):
        if column.null_count:
            return True
        column = pc.list_flatten(column)
    return bool(column.null_count)


GROUPS = Store(
    kind="groups",
    folder="groups",
    file_name="groups.toml",
    load=_load,
    hint=lambda _: "`merbench groups import` and `merbench groups fill` make them",
)
