"""A language model is asked about every sample of a split, and its answers become a submission.

Conventions:
    Samples that are asked about together are tried `attempts` times; then they are divided by the next factor of their
    number (6 by 2, then 3), down to single samples (Lian et al. 2024). An answer is accepted if it has one list per
    sample. A refusal about a single sample is its answer. A request that the endpoint will not answer, and a clip that
    cannot be read, leave a sample without an answer; after failures that may pass no submission is written, and the
    next run asks only what is missing. Results are in the order of samples, whatever the order of replies.
"""

from __future__ import annotations

import csv
import io
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from dataclasses import replace as replaced
from itertools import islice
from pathlib import Path
from typing import Any

from merbench.asking.answers import Cells, read_answers
from merbench.asking.media import ClipPart
from merbench.asking.requests import Content, Message, Prompt, Request, Sample, in_order
from merbench.asking.settings import TRANSCRIPT, Asked, How, Material, Model, prompts
from merbench.asking.store import AnswerStore, Stored
from merbench.corpus.candidates import Candidates, open_candidates
from merbench.errors import (
    Inapplicable,
    IntegrityError,
    InvalidSubmission,
    Problem,
    UnreadableMedia,
    UsageError,
    WithheldReference,
    json_text,
    listed,
    plural,
)
from merbench.files.paths import data_home
from merbench.files.reading import sha256_bytes, sha256_file
from merbench.files.writing import atomic_folder, write_text
from merbench.language_models import LocalModel, NoReply, Reply, RequestRefused
from merbench.report import ScoreReport
from merbench.scoring import score
from merbench.track import Track
from merbench.training.output import require_free, versions

SUBMISSION, ANSWERS, RECORD = "submission.csv", "answers.jsonl", "asked.json"

SCHEMA = "merbench.asked/1"

OUTCOMES = ("read", "refused", "empty", "unreadable", "not answered", "failed")
"""What may become of a sample; only the last one is asked again."""

MOST_FAILURES = 20
"""After so many failures one after the other, without an answer between them, asking ends."""

_MISSING = ("not answered", "failed")

Wires = dict[ClipPart, list[dict[str, Any]]]
"""What is sent of clips, as parts of a message."""


@dataclass(frozen=True)
class Given:
    """What one sample was given for one target."""

    outcome: str  # of `OUTCOMES`
    cells: Cells | None = None
    text: str = field(default="", repr=False)  # the last answer; that of a batch for all of its samples
    requests: tuple[str, ...] = ()  # the keys of all requests that led to it
    reason: str = ""  # why there is no answer
    of_clip: bool = False  # whether that is a fault of the sample's clip


@dataclass(frozen=True, eq=False)
class AskedRun:
    """What a language model was asked, and what became of it.

    Attributes:
        folder: what was written; None after failures that may pass.
        candidates: the samples.
        given: target -> what each candidate was given, in their order.
        n_new: how many requests were answered now; all others had been stored.
        n_tokens: of all requests and of all answers, stored ones too, where the endpoint counts them.
        not_sent: what could have been sent of samples, and why it was not.
        report: the score; None where there is none.
        withheld: why there is none.
        problems: samples without an answer.
    """

    folder: Path | None
    candidates: Candidates = field(repr=False)
    given: Mapping[str, Sequence[Given]] = field(repr=False)
    n_new: int
    n_tokens: tuple[int, int]
    not_sent: Mapping[str, str]
    report: ScoreReport | None
    withheld: str
    problems: tuple[Problem, ...]

    @property
    def is_refused(self) -> bool:
        """Whether the track does not accept the submission, because of samples without an answer."""
        return self.report is None and "does not accept" in self.withheld

    def counts(self) -> Counter[str]:
        """Return how many answers have each outcome, over all targets."""
        return Counter(each.outcome for own in self.given.values() for each in own)


@dataclass(frozen=True)
class Estimate:
    """What asking would take, without asking."""

    n_requests: int  # that are not stored; more are needed where an answer cannot be read
    n_stored: int
    n_tokens_in: int
    most_tokens_out: int

    def price(self, price_in: float, price_out: float) -> float:
        """Return the price, given those of a million tokens of requests and of answers."""
        return (self.n_tokens_in * price_in + self.most_tokens_out * price_out) / 1e6


def answers_folder(track: Track, model: Model) -> Path:
    """Return where the answers of a model about a track are stored: in the data home."""
    return data_home() / "answers" / track.id / folder_name(model)


def folder_name(model: Model) -> str:
    """Return the name of a model as that of a folder, with a digest where it had to be changed."""
    name = "".join(c if c.isascii() and (c.isalnum() or c in "-_.@") else "-" for c in model.model).strip("-.")[:80]
    return name if name == model.model else f"{name or 'model'}-{sha256_bytes(model.model.encode())[:8]}"


@dataclass(frozen=True)
class Files:
    """What is read and written."""

    answers: Path | None = None  # folder of stored answers; None is `answers_folder`
    output: Path | None = None  # folder to write; None is `runs/<track>/ask-<model>`
    replace: bool = False  # whether a run that the folder already contains is replaced
    intervals: bool = True  # whether to resample when the submission is scored


def ask(
    track: str | Path | Track,
    model: Model | tuple[Model, Model],
    how: How | None = None,
    *,
    files: Files | None = None,
    progress: Callable[[str, int, int], None] = lambda text, done, total: None,
    note: Callable[[str], None] = lambda text: None,
) -> AskedRun:
    """Ask a language model about every sample of a split, write its answers as a submission, and score it.

    Args:
        track: a name, a folder, or a loaded track.
        model: the language model, or two: the second one is asked in steps that see only text.
        how: how it is asked; None: as `How()` says.
        files: what is read and written; None: as `Files()` says.
        progress: called with what is done, how much of it, and how much there is.
        note: called with what a user should know at once.

    Raises:
        UsageError: the track, or what is to be sent, cannot be asked about; the endpoint refuses all requests.
        NoReply: it failed again and again, and nothing was answered between.
        IntegrityError: replies state different models, or stored answers cannot be read.
    """
    how, files = how or How(), files or Files()
    models = model if isinstance(model, tuple) else (model, model)
    candidates = open_candidates(track, how.split)
    folder = files.output or Path("runs") / candidates.track.id / f"ask-{folder_name(models[0])}"
    require_free(folder, RECORD, replace=files.replace)
    material = Material(candidates, how)
    with AnswerStore(files.answers or answers_folder(candidates.track, models[0])) as store:
        asking = _Asking(models, how, store, material)
        not_sent = asking.probe()
        asked = prompts(material, how)
        given = asking.everything(asked, progress, note)
    problems = tuple(_problems(material.ids, given))
    run = AskedRun(None, candidates, given, store.n_new, asking.n_tokens, not_sent, None, "", problems)
    if any(each.outcome == "failed" for own in given.values() for each in own):
        return run
    with atomic_folder(folder, replace=True) as temporary:
        cells = {name: [each.cells for each in own] for name, own in given.items()}
        write_text(temporary / SUBMISSION, submission_text(candidates.track, material.ids, cells, how.unanswered))
        write_text(temporary / ANSWERS, "".join(_answer_lines(material.ids, given)))
        report, withheld = scored(candidates, temporary / SUBMISSION, files.intervals)
        record = _record(asking, asked, run, report, sha256_file(temporary / SUBMISSION))
        write_text(temporary / RECORD, json_text(record))
        report = None if report is None else replaced(report, source=str(folder / SUBMISSION))
    return replaced(run, folder=folder, report=report, withheld=withheld)


def estimate(
    track: str | Path | Track,
    model: Model | tuple[Model, Model],
    how: How | None = None,
    *,
    answers: Path | None = None,
) -> Estimate:
    """Return what `ask` would take; nothing is sent and nothing written. Sound counts where `how.send` names it."""
    how, models = how or How(), model if isinstance(model, tuple) else (model, model)
    candidates = open_candidates(track, how.split)
    material = Material(candidates, how)
    store = AnswerStore(answers or answers_folder(candidates.track, models[0])).read()
    asking = _Asking(models, how, store, material)
    n_requests = n_stored = tokens_in = tokens_out = 0
    counted: set[str] = set()
    for asked in prompts(material, how):
        for places in asking.groups(asked):
            samples = [material.sample(place, asked.n_frames) for place in places]
            answer, most_before = "", 0
            for number in range(len(asked.prompt.steps)):
                request = asking.request(asked.prompt, number, samples, answer, 0)
                stored = None if most_before else store.get(request)
                if request.key in counted:
                    break  # equal samples are asked about once
                counted.add(request.key)
                most = int(request.settings.get("max_tokens", 0))
                if stored is not None:
                    n_stored += 1
                    answer = stored.reply.text
                    continue
                n_requests += 1
                tokens_in += request.n_tokens + most_before
                tokens_out += most
                most_before = most  # the next step is given up to so many tokens
    return Estimate(n_requests, n_stored, tokens_in, tokens_out)


@dataclass(eq=False)
class _Work:
    """What belongs to samples that are asked about together, until all have an answer."""

    only_stored: bool = False  # whether nothing may be sent
    clips: Wires = field(default_factory=dict)  # what has been encoded


class _NotStored(Exception):
    """An answer that would have to be asked for."""


class _BadClips(Exception):
    """Clips of a request that cannot be sent: path -> why."""

    def __init__(self, reasons: Mapping[Path, str]) -> None:
        self.reasons = reasons


class _Asking:
    """Asks about samples, from several threads."""

    def __init__(self, models: tuple[Model, Model], how: How, store: AnswerStore, material: Material) -> None:
        self.model, self.text_model = models
        self.how, self.store, self.material = how, store, material
        self.n_tokens = (0, 0)
        self._lock = threading.Lock()
        self._stated: dict[str, str] = {}  # model that is asked -> the one that replies state
        self._named: dict[str, Counter[str]] = {}
        self._examples: Wires = {}  # of all requests
        self._counted: set[str] = set()  # keys of requests
        self._asking: dict[str, threading.Lock] = {}  # by the keys of requests: equal ones are sent once

    @property
    def stated_models(self) -> dict[str, dict[str, int]]:
        """Model that was asked -> the models that replies stated, and how many did."""
        return {asked: dict(sorted(names.items())) for asked, names in sorted(self._named.items())}

    def probe(self) -> dict[str, str]:
        """Find out whether sound and video can be sent, by a request with the first clip; add sound where it can.

        Returns:
            What is not sent by default, and why.

        Raises:
            UsageError: what was asked for cannot be sent.
        """
        material, how = self.material, self.how
        if isinstance(self.model, LocalModel) and not self.model.reads_pictures:
            if material.kinds and (how.send is not None or material.send == material.kinds):
                raise UsageError(f"model {self.model.model}: reads text, not {listed(material.kinds)}")
            material.send = [kind for kind in material.send if kind == "text"]
        modalities = material.candidates.track.modalities
        wanted = [kind for kind in ("audio", "video") if kind in (how.send or ())]
        if how.send is None and how.media and "audio" in modalities:
            wanted = ["audio"]
        not_sent: dict[str, str] = {}
        for kind in wanted:
            reason = self._probed(kind)
            if reason and how.send is not None:
                raise UsageError(f"{kind} cannot be sent: {reason}")
            if reason:
                not_sent[kind] = reason
            elif kind not in material.send:
                material.send.append(kind)
        return not_sent

    def _probed(self, kind: Any) -> str:
        """Return why something cannot be sent; empty if a request with it was answered."""
        material, reason = self.material, "no clip has any"
        for place in range(len(material.ids)):
            if (path := material.path(place)) is None:
                continue
            part = ClipPart(kind, path, sha256_file(path), 1, self.how.longest_side)
            content: Content = (part, "Did you receive this? Answer yes or no.")
            request = Request(self.model.model, (Message("user", content),), {"max_tokens": 16})
            try:
                self._reply(self.model, request, _Work())
            except _BadClips as bad:
                reason = next(iter(bad.reasons.values()))
                continue
            except (RequestRefused, NoReply) as refusal:
                return str(refusal)
            return ""
        return reason

    def groups(self, asked: Asked) -> Iterator[list[int]]:
        """Yield the places of samples that are asked about together; those whose clip is missing are left out."""
        places = [place for place, id_ in enumerate(self.material.ids) if id_ not in self.material.without]
        if asked.batch > 1:
            place_of = {self.material.ids[place]: place for place in places}
            places = [place_of[id_] for id_ in in_order(list(place_of), self.how.batch_seed)]
        left = iter(places)
        while group := list(islice(left, asked.batch)):
            yield group

    def everything(
        self,
        asked: Sequence[Asked],
        progress: Callable[[str, int, int], None],
        note: Callable[[str], None],
    ) -> dict[str, list[Given]]:
        """Ask about every target of every sample, and return what each was given, in the order of samples."""
        ids = self.material.ids
        absent = {
            place: Given("not answered", reason=self.material.without[id_])
            for place, id_ in enumerate(ids)
            if id_ in self.material.without
        }
        results: dict[str, dict[int, Given]] = {each.prompt.name: dict(absent) for each in asked}
        tasks = self._not_stored(((each, group) for each in asked for group in self.groups(each)), results)
        total, done, failures = len(ids) * len(asked), 0, 0
        running: dict[Future[dict[int, Given]], str] = {}
        pool = ThreadPoolExecutor(self.model.parallel)
        try:
            while True:
                for each, group in islice(tasks, self.model.parallel + 2 - len(running)):
                    running[pool.submit(self._about, each, group, _Work())] = each.prompt.name
                if not running:
                    break
                for finished in wait(running, return_when=FIRST_COMPLETED).done:
                    given = finished.result()
                    results[running.pop(finished)] |= given
                    done = sum(map(len, results.values()))
                    failed = [own for own in given.values() if own.outcome in _MISSING and not own.of_clip]
                    failures = failures + 1 if failed else 0
                    progress("asking", done, total)
                    if failures >= MOST_FAILURES:
                        raise NoReply(f"asking ended after {failures} failures in a row; the last: {failed[0].reason}")
        except BaseException as error:
            self._end(pool, running, note if isinstance(error, KeyboardInterrupt) else None)
            raise
        pool.shutdown()
        return {name: [own[place] for place in range(len(ids))] for name, own in results.items()}

    def _not_stored(
        self, tasks: Iterator[tuple[Asked, list[int]]], results: Mapping[str, dict[int, Given]]
    ) -> Iterator[tuple[Asked, list[int]]]:
        """Yield what has to be asked, and note what is stored.

        Threads would only cost time for what is found without reading clips.
        """
        has_any = len(self.store) > 0 and not self.material.kinds
        for each, group in tasks:
            try:
                if not has_any:
                    raise _NotStored
                results[each.prompt.name] |= self._about(each, group, _Work(only_stored=True))
            except _NotStored:
                yield each, group

    def _end(
        self, pool: ThreadPoolExecutor, running: Mapping[Future[Any], str], note: Callable[[str], None] | None
    ) -> None:
        """Send nothing more, and store the answers to what has been sent."""
        for model in {id(each): each for each in (self.model, self.text_model)}.values():
            model.stop()
        pool.shutdown(wait=False, cancel_futures=True)
        n_running = sum(future.running() for future in running)
        if note is not None and n_running:
            note(f"waiting for the answers to {plural(n_running, 'request')}; interrupt again to leave at once")
        pool.shutdown(wait=True)

    def _about(self, asked: Asked, places: Sequence[int], work: _Work) -> dict[int, Given]:
        """Ask about some samples together, and in smaller groups where that fails."""
        samples = {place: self.material.sample(place, asked.n_frames) for place in places}
        factors = factors_of(asked.batch) if len(places) > 1 else []
        return self._group(asked.prompt, samples, factors, work, ())

    def _group(
        self,
        prompt: Prompt,
        samples: Mapping[int, Sample],
        factors: Sequence[int],
        work: _Work,
        before: tuple[str, ...],
    ) -> dict[int, Given]:
        names, keys, given = prompt.names(len(samples)), before, Given("unreadable")
        for attempt in range(self._attempts(prompt)):
            try:
                reply, new = self._steps(prompt, list(samples.values()), attempt, work)
            except _BadClips as bad:
                odd = {
                    place: Given("not answered", reason=reason, of_clip=True)
                    for place, sample in samples.items()
                    for part in sample.clip
                    if (reason := bad.reasons.get(part.path))
                }
                left = {place: sample for place, sample in samples.items() if place not in odd}
                if not odd:  # an example
                    raise UsageError(*(f"of an example: {reason}" for reason in bad.reasons.values())) from None
                return odd | (self._group(prompt, left, factors, work, before) if left else {})
            except RequestRefused as refusal:
                if len(samples) == 1:
                    return dict.fromkeys(samples, Given("not answered", requests=keys, reason=str(refusal)))
                break  # the same again would not be answered either
            except NoReply as failure:
                return dict.fromkeys(samples, Given("failed", requests=keys, reason=str(failure)))
            keys += new
            answers = read_answers(prompt.target, reply.text, names, released=self.how.released)
            if answers is not None and len(samples) > 1:
                return {
                    place: Given(answer.outcome, answer.cells, reply.text, keys)
                    for place, answer in zip(samples, answers, strict=True)
                }
            if answers is not None:
                outcome = "refused" if reply.refused else answers[0].outcome
                given = Given(outcome, answers[0].cells, reply.text, keys)
                if answers[0].cells is not None or outcome == "refused":
                    break
        if len(samples) == 1:
            return dict.fromkeys(samples, given)
        size = -(-len(samples) // (factors[0] if factors else len(samples)))
        others, divided = iter(samples.items()), dict[int, Given]()
        while part := dict(islice(others, size)):
            divided |= self._group(prompt, part, factors[1:], work, keys)
        return divided

    def _attempts(self, prompt: Prompt) -> int:
        """Return how often the same is asked: once, where the answer would be the same again."""
        settings = {**prompt.steps[-1].settings, **self.how.settings}
        is_greedy = isinstance(self.text_model, LocalModel) and not settings.get("temperature")
        return 1 if is_greedy else self.how.attempts

    def request(self, prompt: Prompt, number: int, samples: Sequence[Sample], answer: str, attempt: int) -> Request:
        """Return the request of one step."""
        step = prompt.steps[number]
        model = self.model if step.sees else self.text_model
        settings = {**step.settings, **self.how.settings}
        return Request(model.model, prompt.messages(step, samples, answer), settings, self.how.repeat, attempt)

    def _steps(
        self, prompt: Prompt, samples: Sequence[Sample], attempt: int, work: _Work
    ) -> tuple[Reply, tuple[str, ...]]:
        """Return the reply to the last step, and the keys of all requests."""
        reply, keys = Reply(""), list[str]()
        for number, step in enumerate(prompt.steps):
            request = self.request(prompt, number, samples, reply.text, attempt)
            is_alone = len(samples) == 1
            reply = self._reply(self.model if step.sees else self.text_model, request, work, forgive=is_alone)
            keys.append(request.key)
            if reply.refused:
                break
        return reply, tuple(keys)

    def _reply(self, model: Model, request: Request, work: _Work, *, forgive: bool = False) -> Reply:
        """Return the stored reply to a request, or ask and store.

        Args:
            model: who is asked.
            request: what.
            work: what belongs to these samples.
            forgive: whether to ask again what the endpoint would not answer before.
        """
        with self._lock:
            only = self._asking.setdefault(request.key, threading.Lock())
        with only:
            stored = self.store.get(request)
            if stored is not None and stored.failure and not forgive:
                raise RequestRefused(stored.failure)
            if stored is None or stored.failure:
                if work.only_stored:
                    raise _NotStored
                stored = Stored(self._new_reply(model, request, work.clips, forgive))
        self._require_same(model.model, stored.reply.model)
        self._count(model.model, request, stored.reply)
        return stored.reply

    def _new_reply(self, model: Model, request: Request, clips: Wires, forgive: bool) -> Reply:
        """Ask, and store the answer; that of another model than before is not stored."""
        encoded = self._encoded(request, clips)
        body = request.body(encoded.__getitem__)
        if isinstance(model, LocalModel):  # which would sample the same for every repetition
            body.setdefault("seed", request.repeat * 1000 + request.attempt)
        try:
            reply = model.reply(body)
        except RequestRefused as refusal:
            if not forgive:
                self.store.add_failure(request, str(refusal))
            raise
        self._require_same(model.model, reply.model)
        sent = {part.kind + " " + part.sha256: _digest(wire) for part, wire in encoded.items()}
        return self.store.add(request, reply, sent)

    def _count(self, model: str, request: Request, reply: Reply) -> None:
        with self._lock:
            if request.key in self._counted:
                return
            self._counted.add(request.key)
            self._named.setdefault(model, Counter())[reply.model] += 1
            if reply.n_tokens:
                self.n_tokens = (self.n_tokens[0] + reply.n_tokens[0], self.n_tokens[1] + reply.n_tokens[1])

    def _require_same(self, asked: str, stated: str) -> None:
        """Raise `IntegrityError` if a reply states another model than the replies before."""
        if not stated or self.how.mixed_models:
            return
        with self._lock:
            before = self._stated.setdefault(asked, stated)
        if before != stated:
            raise IntegrityError(
                f"model {asked}: replies state '{before}', and now '{stated}'; --answers DIR asks everything of the "
                "new one, --mixed-models accepts both"
            )

    def _encoded(self, request: Request, clips: Wires) -> Wires:
        """Return what is sent of clips, encoded once; raise `_BadClips` with all that cannot be."""
        own = {part for part in request.messages[-1].content if isinstance(part, ClipPart)}
        encoded: Wires = {}
        bad: dict[Path, str] = {}
        for part in request.parts:
            known = clips if part in own else self._examples
            try:
                encoded[part] = known[part] if part in known else known.setdefault(part, part.encoded())
            except (UnreadableMedia, Inapplicable, OSError) as error:
                bad[part.path] = error.reason if isinstance(error, UnreadableMedia) else str(error)
        if bad:
            raise _BadClips(bad)
        return encoded


def _digest(parts: Sequence[Mapping[str, Any]]) -> str:
    """Return the SHA-256 of what is sent of a clip: of its texts, which hold all data."""
    contents = (part[part["type"]] for part in parts)
    return sha256_bytes(*(text.encode() for content in contents for text in content.values()))


def factors_of(n: int) -> list[int]:
    """Return the prime factors of a number, the smallest first."""
    factors, divisor = list[int](), 2
    while n > 1:
        if n % divisor:
            divisor += 1
        else:
            factors.append(divisor)
            n //= divisor
    return factors


def _problems(ids: Sequence[str], given: Mapping[str, Sequence[Given]]) -> Iterator[Problem]:
    for name, own in given.items():
        for id_, each in zip(ids, own, strict=True):
            if each.outcome in _MISSING:
                yield Problem("E635", f"{id_}: {each.outcome}: {each.reason}", column=name, id=id_)


def submission_text(
    track: Track, ids: Sequence[str], cells: Mapping[str, Sequence[Cells | None]], unanswered: Mapping[str, str]
) -> str:
    """Return a submission: a row for every sample with an answer for any target, blank cells for the others.

    Args:
        track: whose targets are answered.
        ids: the samples.
        cells: target -> of each sample what was read, None where nothing was.
        unanswered: target -> the cell of samples of which nothing was read.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = {name: target.columns(name) for name, target in track.targets.items()}
    writer.writerow([track.submission.id, *(column for own in columns.values() for column in own)])
    for place, id_ in enumerate(ids):
        row: list[Any] = []
        for name, own in columns.items():
            given, instead = cells[name][place], unanswered.get(name)
            row += ([""] * len(own) if instead is None else [instead] * len(own)) if given is None else given
        if any(cell != "" for cell in row):
            writer.writerows([[id_, *row]] * (track.submission.views or 1))
    return text.getvalue()


def _answer_lines(ids: Sequence[str], given: Mapping[str, Sequence[Given]]) -> Iterator[str]:
    for name, own in given.items():
        for id_, each in zip(ids, own, strict=True):
            content = {
                "sample_id": id_,
                "target": name,
                "outcome": each.outcome,
                "cells": None if each.cells is None else list(each.cells),
                "text": each.text,
                "requests": list(each.requests),
                **({"reason": each.reason} if each.reason else {}),
            }
            yield json.dumps(content, ensure_ascii=False, sort_keys=True) + "\n"


def scored(candidates: Candidates, submission: Path, intervals: bool) -> tuple[ScoreReport | None, str]:
    """Return the score of a submission; or None, and why it has none."""
    try:
        return score(candidates, submission, intervals=intervals), ""
    except WithheldReference as error:
        return None, str(error)
    except InvalidSubmission as error:
        reasons = "; ".join(f"{problem.code} {problem.message}" for problem in error.problems[:3])
        remedy = "--unanswered TARGET=VALUE answers these samples"
        return None, f"not scored, because {candidates.track.id} does not accept the submission: {reasons}; {remedy}"


def _record(
    asking: _Asking, asked: Sequence[Asked], run: AskedRun, report: ScoreReport | None, submission: str
) -> dict[str, Any]:
    how, candidates = asking.how, run.candidates
    track, corpus = candidates.track, candidates.corpus
    counts = {name: dict(sorted(Counter(each.outcome for each in own).items())) for name, own in run.given.items()}
    scores = () if report is None else report.public().scores
    models = {"model": asking.model} | ({} if asking.text_model is asking.model else {"text_model": asking.text_model})
    return {
        "schema": SCHEMA,
        "track": {"key": track.key, "fingerprint": track.fingerprint},
        "corpus": {"name": corpus.name, "version": corpus.version, "synthetic": corpus.synthetic},
        "split": candidates.split,
        "n_test": len(candidates),
        **{name: {"name": model.model, "source": model.source} for name, model in models.items()},
        "stated_models": asking.stated_models,
        "unsupported": dict(getattr(asking.model, "unsupported", {})),
        "protocols": {
            each.prompt.name: {
                "name": each.prompt.template.name,
                "file": each.prompt.template.digest,
                "batch": each.batch,
                "frames": each.n_frames,
                "examples": list(each.example_ids),
            }
            for each in asked
        },
        "send": asking.material.send,
        **({"not_sent": dict(run.not_sent)} if run.not_sent else {}),
        **({"column": how.column} if how.column != TRANSCRIPT else {}),
        "longest_side": how.longest_side,
        "paraphrase": how.paraphrase,
        "order_seed": how.order_seed,
        "batch_seed": how.batch_seed,
        "example_seed": how.example_seed,
        "repeat": how.repeat,
        "attempts": how.attempts,
        "reading": "released" if how.released else "careful",
        "settings": dict(how.settings),
        "unanswered": dict(how.unanswered),
        "outcomes": counts,
        "tokens": list(run.n_tokens),
        "submission": submission,
        "test": {item.key: item.value for item in scores} if scores else None,
        "versions": versions(),
    }
