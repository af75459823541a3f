"""Requests to a language model: what they say about which samples, and the digest by which an answer is stored.

Conventions:
    A request is identified by the SHA-256 of its canonical JSON: model, messages with clips by their digests, settings,
    and which repetition and attempt it is. Names of samples are in no request, since they may contain labels.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from merbench.asking.media import ClipPart
from merbench.asking.template import Step, Template, filled, parts
from merbench.targets import Target

Content = tuple[str | ClipPart, ...]

CHARACTERS_PER_TOKEN = 4
"""How the tokens of text are estimated: by characters of alphabets; every other character counts as one token."""

_OF_ALPHABETS = re.compile(r"[\u0000-\u052f]")

_CHOICES = ("a1", "a2")


@dataclass(frozen=True, slots=True)
class Sample:
    """What is known of a sample and may be sent."""

    id: str
    text: str | None = None  # the transcript
    clip: tuple[ClipPart, ...] = ()  # what is sent of its clip
    pair: tuple[str, str] | None = None  # the two descriptions that are compared


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: str
    content: Content


@dataclass(frozen=True)
class Request:
    """One request; equal ones have the same key."""

    model: str
    messages: tuple[Message, ...] = field(repr=False)
    settings: Mapping[str, Any]
    repeat: int = 0
    attempt: int = 0

    @cached_property
    def canonical(self) -> str:
        """What identifies it, as one line of JSON."""
        messages = [[each.role, *map(_canonical, each.content)] for each in self.messages]
        content = {
            "model": self.model,
            "messages": messages,
            "settings": dict(self.settings),
            "repeat": self.repeat,
            "attempt": self.attempt,
        }
        return json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)

    @cached_property
    def key(self) -> str:
        """SHA-256 in hexadecimal."""
        return hashlib.sha256(self.canonical.encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def parts(self) -> list[ClipPart]:
        """What is sent of clips."""
        return [part for message in self.messages for part in message.content if isinstance(part, ClipPart)]

    def body(self, encoded: Callable[[ClipPart], Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
        """Return what is sent, without the model's name; a message of text only is sent as text."""
        messages: list[dict[str, Any]] = []
        for message in self.messages:
            content: Any = message.content[0]
            if len(message.content) != 1 or not isinstance(content, str):
                content = [
                    wire
                    for part in message.content
                    for wire in ([{"type": "text", "text": part}] if isinstance(part, str) else encoded(part))
                ]
            messages.append({"role": message.role, "content": content})
        return {"messages": messages, **self.settings}

    @property
    def n_tokens(self) -> int:
        """An estimate of its tokens."""
        return sum(
            text_tokens(part) if isinstance(part, str) else part.n_tokens
            for message in self.messages
            for part in message.content
        )


def _canonical(part: str | ClipPart) -> Any:
    return part if isinstance(part, str) else part.canonical


def text_tokens(text: str) -> int:
    """Return an estimate of the tokens of a text; see `CHARACTERS_PER_TOKEN`."""
    n_of_alphabets = len(text) if text.isascii() else len(_OF_ALPHABETS.findall(text))
    return math.ceil(n_of_alphabets / CHARACTERS_PER_TOKEN) + len(text) - n_of_alphabets


def in_order(items: Sequence[str], seed: int | None) -> list[str]:
    """Return items as they are, or permuted by a seed, the same way on every machine."""
    if seed is None:
        return list(items)
    return sorted(items, key=lambda item: hashlib.sha256(f"{seed} {item}".encode()).digest())


@dataclass(frozen=True)
class Prompt:
    """How one target is asked about: by which protocol, in which words, in which order of candidates."""

    name: str  # of the target
    target: Target
    template: Template
    paraphrase: int = 0
    order_seed: int | None = None
    # turns before the question: samples whose references are known, and what is right of each
    examples: tuple[tuple[Sample, str], ...] = field(default=(), repr=False)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The requests that follow one another."""
        return self.template.protocol.steps

    def names(self, n: int) -> list[str]:
        """Return what the samples of a request are called."""
        return [f"sample {number}" for number in range(1, n + 1)]

    @cached_property
    def values(self) -> dict[str, object]:
        """What fills the places of every text."""
        labels = list(self.target.scored_labels)
        low, high = getattr(self.target, "range", None) or ("", "")
        is_sentiment = {"positive", "negative"} & {label.casefold() for label in labels}
        return {
            "candidates": ", ".join(in_order(labels, self.order_seed)),
            "what": "sentiment" if is_sentiment else "emotion",
            "target": self.name.replace("_", " "),
            "low": low if isinstance(low, str) else f"{low:g}",
            "high": high if isinstance(high, str) else f"{high:g}",
        }

    def messages(self, step: Step, samples: Sequence[Sample], answer: str = "") -> tuple[Message, ...]:
        """Return the messages of one step about some samples; `answer` is that of the step before."""
        system = self.template.protocol.system
        turns = [Message("system", (filled(system, self.values),))] if system else []
        if step.sees:
            for example, reference in self.examples:
                turns.append(Message("user", self._question(step, [example], "")))
                right = {**self.values, "reference": reference, "name": "1"}
                turns.append(Message("assistant", (filled(self.template.protocol.example, right),)))
        turns.append(Message("user", self._question(step, samples, answer)))
        return tuple(turns)

    def _question(self, step: Step, samples: Sequence[Sample], answer: str) -> Content:
        n = len(samples)
        content: list[str | ClipPart] = []
        for number, sample in enumerate(samples, 1) if step.sees else ():
            if n > 1:
                content.append(filled(parts().sample, {"name": number}))
            content += self._sample(sample)
        values = {
            **self.values,
            "samples": "the sample" if n == 1 else f"each of the {n} samples",
            "n": n,
            "pair": self._pair(samples[0]),
            "answer": answer,
        }
        form = step.form if n == 1 else step.form_of_several
        question = "\n".join(filled(text, values) for text in (step.texts[self.paraphrase], form) if text)
        return _joined([*content, question])

    def _sample(self, sample: Sample) -> list[str | ClipPart]:
        content: list[str | ClipPart] = []
        for part in sample.clip:
            text = parts().picture if part.kind in ("frames", "faces") and part.n == 1 else getattr(parts(), part.kind)
            content += [filled(text, {"n": part.n}), part]
        if sample.text is not None:
            content.append(filled(parts().text, {"text": sample.text}))
        return content

    def _pair(self, sample: Sample) -> str:
        if sample.pair is None:
            return ""
        texts = dict(zip(_CHOICES, sample.pair, strict=True))
        return "\n".join(
            filled(parts().pair, {"name": name, "text": texts[name]}) for name in in_order(_CHOICES, self.order_seed)
        )


def _joined(content: Sequence[str | ClipPart]) -> Content:
    """Return content in which texts that follow one another are one, in lines."""
    joined: list[str | ClipPart] = []
    for part in content:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += f"\n{part}"
        else:
            joined.append(part)
    return tuple(joined)
