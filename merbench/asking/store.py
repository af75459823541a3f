"""Stored answers of a language model: one line of JSON each, found by the digest of the request.

Conventions:
    `answers.jsonl` has a line for every answer, and for every request that the endpoint would not answer; the latter
    have a `failure` and no text. `requests.jsonl` has the requests. Each line is written at once, so that a process
    that is killed loses none; the request comes first. Keys of endpoints are in neither.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from merbench.asking.requests import Request
from merbench.errors import IntegrityError
from merbench.files.journal import MOST_LINE_BYTES, Journal, journal_lines
from merbench.language_models import Reply

ANSWERS, REQUESTS = "answers.jsonl", "requests.jsonl"

SCHEMA = "merbench.answers/1"

MOST_TEXT_BYTES = MOST_LINE_BYTES // 8
"""A longer answer is cut; with escapes it still fits into a line."""


class Stored(NamedTuple):
    """A stored answer; or why there is none, if the endpoint would not answer the request."""

    reply: Reply
    failure: str = ""


class AnswerStore:
    """The answers in a folder, which one process at a time adds to; open it in a `with` block."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.n_new = 0
        self._stored: dict[str, Stored] = {}
        self._lock = threading.Lock()
        self._answers = Journal(folder / ANSWERS, {"schema": SCHEMA})
        self._requests = Journal(folder / REQUESTS, {"schema": "merbench.requests/1"})

    def __enter__(self) -> AnswerStore:
        self._answers.__enter__()
        self._requests.__enter__()
        self.read()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._lock:
            self._requests.__exit__(kind, error, traceback)
            self._answers.__exit__(kind, error, traceback)

    def read(self) -> AnswerStore:
        """Read the stored answers, without opening the files for writing.

        Raises:
            IntegrityError: a line is not one of stored answers.
        """
        rows = journal_lines(self.folder / ANSWERS, _is_row)
        header = next(rows, None)
        if header is not None and header.get("schema") != SCHEMA:
            raise IntegrityError(f"{self.folder / ANSWERS}: is not a file of stored answers; name another folder")
        self._stored = {row["key"]: _stored(row) for row in rows}
        return self

    def __len__(self) -> int:
        return len(self._stored)

    def get(self, request: Request) -> Stored | None:
        """Return what is stored for a request; None if it has to be asked."""
        return self._stored.get(request.key)

    def add(self, request: Request, reply: Reply, sent: Mapping[str, str]) -> Reply:
        """Store an answer, with the digests of what was sent of clips, and return it as it is stored."""
        text = reply.text.encode("utf-8", "replace")[:MOST_TEXT_BYTES].decode(errors="ignore")
        kept = Reply(text, reply.model, reply.finish, reply.refused, reply.n_tokens)
        row = {
            "text": text,
            "model": reply.model,
            "finish": reply.finish,
            **({"refused": True} if reply.refused else {}),
            **({"tokens": list(reply.n_tokens)} if reply.n_tokens else {}),
        }
        self._add(request, row, sent, Stored(kept))
        return kept

    def add_failure(self, request: Request, failure: str) -> None:
        """Store that the endpoint would not answer a request."""
        self._add(request, {"failure": failure}, {}, Stored(Reply(""), failure))

    def _add(self, request: Request, row: Mapping[str, Any], sent: Mapping[str, str], stored: Stored) -> None:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        content = json.loads(request.canonical)
        with self._lock:
            self._requests.add({"key": request.key, "request": content, **({"sent": dict(sent)} if sent else {})})
            self._answers.add({"key": request.key, "at": at, **row})
            self._stored[request.key] = stored
            self.n_new += 1


def _is_row(row: Mapping[str, Any]) -> bool:
    match row:
        case {"key": str(), "failure": str()}:
            return True
        case {"key": str(), "text": str(), "model": str(), "finish": str()}:
            tokens = row.get("tokens")
            return tokens is None or (isinstance(tokens, list) and [type(n) for n in tokens] == [int, int])
    return False


def _stored(row: Mapping[str, Any]) -> Stored:
    if "failure" in row:
        return Stored(Reply(""), row["failure"])
    tokens = row.get("tokens")
    given = None if tokens is None else (tokens[0], tokens[1])
    return Stored(Reply(row["text"], row["model"], row["finish"], bool(row.get("refused")), given))
