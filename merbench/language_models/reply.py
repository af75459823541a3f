"""What a language model replies to a request, and why there may be no reply.

Conventions:
    A request is the body of a chat completion without the model's name: `messages`, and settings such as `temperature`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from merbench.errors import UsageError


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of a model; a refusal is an answer, too."""

    text: str = field(repr=False)  # empty if the model wrote none
    model: str = ""  # the model's name as the reply states it; empty if it does not
    finish: str = ""  # why the text ends, such as `stop` or `length`
    refused: bool = False  # whether the endpoint marks the text as a refusal, or filtered it
    n_tokens: tuple[int, int] | None = None  # of the request and of the text, where the endpoint counts them


class RequestRefused(UsageError):
    """This request cannot be answered, such as one that is longer than the model reads; others may be."""


class NoReply(UsageError):
    """The endpoint failed again and again, in a way that may pass."""


class Stopped(Exception):
    """Nothing is sent any more, because the asking was interrupted."""
