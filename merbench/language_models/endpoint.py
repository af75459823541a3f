"""A language model behind an OpenAI-compatible endpoint.

Conventions:
    An endpoint gets a POST to `…/v1/chat/completions`. Redirects are not followed, so that the key goes nowhere else.
    The key is read from an environment variable; it is in no message and no file, and is taken out of replies. A
    failure that may pass (no connection, too slow, status 408, 409, 425, 429 or 5xx, a reply that is not a chat
    completion) is tried again; every thread waits as long as the endpoint asks for, else longer each time. After a 429
    fewer requests are sent at once, and more again as replies come. A status of 400, 413 or 422 is about one request;
    any other ends the asking. A setting that a model does not support is left out from then on, and `max_tokens` is
    called `max_completion_tokens` where the endpoint asks for that.
"""

from __future__ import annotations

import json
import os
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx

from merbench.errors import UsageError, plural, printable
from merbench.language_models.reply import NoReply, Reply, RequestRefused, Stopped

TRIES = 6
"""How often one request is sent before it is given up."""

LONGEST_WAIT_S = 300.0
"""An endpoint that asks to wait longer than this is given up."""

LONGEST_REPLY = 5
"""A reply may take this many times as long as the endpoint may be silent."""

MOST_BYTES = 4 << 20
"""The size of a reply that is read."""

_MAY_PASS = {408, 409, 425, 429}
_OF_ONE_REQUEST = {400, 413, 422}
_TOO_MANY = 429
_UNSUPPORTED = re.compile(
    r"unsupported|not support|unrecognized|unknown (?:field|parameter|argument)|not permitted", re.IGNORECASE
)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = r"(\d+(?:\.\d+)?)(ms|s|m|h)"


def completions_url(text: str) -> httpx.URL:
    """Return the address that takes prompts, given with or without its path; raise `UsageError` for others."""
    try:
        urlsplit(text)  # refuses brackets that httpx accepts
        url = httpx.URL(text)
    except (ValueError, httpx.InvalidURL):
        url = httpx.URL()
    if url.scheme not in ("http", "https") or not url.host or url.port == 0:
        raise UsageError(f"'{printable(text)}' is not an endpoint; an address such as http://localhost:8000 is needed")
    path = url.path.rstrip("/")
    if not path.endswith("/chat/completions"):
        path += "/chat/completions" if re.search(r"/v\d+$", path) else "/v1/chat/completions"
    return url.copy_with(path=path, fragment=None)


def key_from(variable: str) -> str:
    """Return the key in an environment variable; raise `UsageError` if there is none."""
    key = os.environ.get(variable, "").strip()
    if not key or not key.isascii() or not key.isprintable():
        raise UsageError(f"--key-env: the variable {printable(variable)} contains no key")
    return key


@dataclass
class _Passing(Exception):
    """A failure that may pass, and how long the endpoint asks to wait."""

    reason: str
    wait_s: float | None = None
    too_many: bool = False  # whether it asks for fewer requests at once


@dataclass(eq=False)
class Endpoint:
    """A language model behind an OpenAI-compatible endpoint; an `Asker`."""

    url: str  # address of the endpoint, with or without `/v1/chat/completions`
    model: str  # the model's name there
    key: str | None = field(default=None, repr=False)  # sent as bearer token, if given
    temperature: float | None = None  # of `answer`, if given; else the endpoint decides
    timeout_s: float = 120.0  # how long the endpoint may be silent
    parallel: int = 4  # how many requests may be sent at once
    attempts: int = 3  # how often it is asked for one usable answer
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)  # the time in seconds
    sleep: Callable[[float], object] | None = field(default=None, repr=False)  # waits for some seconds
    stopped: threading.Event = field(default_factory=threading.Event, repr=False)  # when set, nothing more is sent

    def __post_init__(self) -> None:
        self._address = completions_url(self.url)
        self._lock = threading.Condition()
        self._closed_until = 0.0
        self._n_sent = self._n_replies = 0  # requests that are on their way; replies so far
        self._at_once = float(self.parallel)  # how many requests are on their way at most
        self.unsupported: dict[str, str] = {}  # settings that the model refused -> what is sent instead, or nothing
        headers = {"Content-Type": "application/json", "User-Agent": "merbench", "Accept-Encoding": "identity"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=self.parallel, keepalive_expiry=2.0)
        try:
            self._client = httpx.Client(
                headers=headers, timeout=self.timeout_s, limits=limits, verify=ssl.create_default_context()
            )
        except (ImportError, ValueError, httpx.InvalidURL) as error:
            raise self._error(f"the proxy that the environment names cannot be used: {error}") from None

    @property
    def decoding(self) -> str:
        """How the model is made to answer."""
        return "default temperature" if self.temperature is None else f"temperature {self.temperature:g}"

    @property
    def source(self) -> str:
        """Where the model runs: only the host, since an address may contain a secret."""
        return f"endpoint {self._address.host}"

    def answer(self, prompt: str) -> str:
        """Return what the model answers; raise `UsageError` if the endpoint refuses, or fails again and again."""
        settings = {} if self.temperature is None else {"temperature": self.temperature}
        return self.reply({"messages": [{"role": "user", "content": prompt}], **settings}).text

    def reply(self, request: Mapping[str, Any]) -> Reply:
        """Return the reply to a request.

        Raises:
            RequestRefused: the endpoint does not answer this request.
            NoReply: it failed again and again.
            Stopped: `stopped` is set.
            UsageError: the endpoint refuses all requests, or asks to wait too long.
        """
        attempt, n_replies = 0, self._n_replies
        while True:
            self._wait_until_open()
            try:
                with self._slot():
                    return self._sent(request)
            except _Passing as failure:
                wait_s = 2.0**attempt if failure.wait_s is None else failure.wait_s
                if wait_s > LONGEST_WAIT_S:
                    seconds = plural(round(min(wait_s, 1e9)), "second")  # a server may write any number
                    raise self._error(f"{failure.reason}, and asks to wait {seconds}") from None
                # Who is only asked to slow down goes on as long as others get replies.
                if not failure.too_many or n_replies == self._n_replies:
                    attempt += 1
                n_replies = self._n_replies
                self._close_for(wait_s, halve=failure.too_many)
                if attempt == TRIES:
                    raise self._error(f"{failure.reason} ({TRIES} times in a row)", NoReply) from None

    def _wait_until_open(self) -> None:
        while (left := self._closed_until - self.clock()) > 0 and not self.stopped.is_set():
            (self.sleep or self.stopped.wait)(left)
        if self.stopped.is_set():
            raise Stopped

    @contextmanager
    def _slot(self) -> Iterator[None]:
        """Wait until one more request may be on its way, and count it as such."""
        with self._lock:
            self._lock.wait_for(lambda: self._n_sent < max(1, int(self._at_once)) or self.stopped.is_set())
            if self.stopped.is_set():
                raise Stopped
            self._n_sent += 1
        try:
            yield
        finally:
            with self._lock:
                self._n_sent -= 1
                self._lock.notify()

    def stop(self) -> None:
        """Send nothing more; requests on their way are still answered."""
        self.stopped.set()
        with self._lock:
            self._lock.notify_all()

    def _close_for(self, seconds: float, *, halve: bool = False) -> None:
        """Let no thread send anything for some seconds, and half as many requests at once after that."""
        with self._lock:
            now = self.clock()
            if halve and now >= self._closed_until:  # else another thread has just done it
                self._at_once = max(1.0, self._at_once / 2)
            self._closed_until = max(self._closed_until, now + seconds)

    def hidden(self, text: str) -> str:
        """Return a text without the key."""
        return text.replace(self.key, "…") if self.key else text

    def _error(self, reason: str, kind: type[UsageError] = UsageError) -> UsageError:
        where = f"{self._address.scheme}://{self._address.netloc.decode()}{self._address.path}"
        return kind(f"{where}, model {printable(self.model)}: {self.hidden(reason)}")

    def _sent(self, request: Mapping[str, Any]) -> Reply:
        settings = {self.unsupported.get(name, name): value for name, value in request.items()}
        settings.pop("", None)
        body = json.dumps({"model": self.model, **settings}, ensure_ascii=False).encode()
        until = self.clock() + LONGEST_REPLY * self.timeout_s
        try:
            with self._client.stream("POST", self._address, content=body) as response:
                if not response.is_success:
                    return self._failed(response, settings)
                content = self._read(response, MOST_BYTES + 1, until)
                self._heed(response.headers)
        except httpx.TimeoutException:
            raise _Passing(f"no answer within {self.timeout_s:g} s") from None
        except httpx.ConnectError as error:
            raise _Passing(f"no connection: {error}") from None
        except httpx.HTTPError as error:
            raise _Passing(f"the connection broke: {str(error) or type(error).__name__}") from None
        reply = self._reply_in(content)
        with self._lock:
            self._n_replies += 1
            self._at_once = min(self.parallel, self._at_once + 1 / self._at_once)
        return reply

    def _failed(self, response: httpx.Response, sent: Mapping[str, Any]) -> Reply:
        """Return the reply that a failure is; else raise what it is."""
        body = self._beginning(response)
        message, code, parameter = _stated(body)
        status = response.status_code
        shown = message or body.decode(errors="replace").strip() or response.reason_phrase
        reason = f"status {status}: {printable(self.hidden(shown), 200)}"
        if status in _MAY_PASS or status >= 500:
            raise _Passing(reason, _asked_wait(response.headers), too_many=status == _TOO_MANY)
        if status == 400 and "content_filter" in code:
            return Reply(self.hidden(message), finish="content_filter", refused=True)
        if status == 400 and self._leaves_out(message, parameter, sent):
            raise _Passing(reason, 0.0)
        raise self._error(reason, RequestRefused if status in _OF_ONE_REQUEST else UsageError)

    def _leaves_out(self, message: str, parameter: str, sent: Mapping[str, Any]) -> bool:
        """Note a setting that was sent and is not supported; return whether there is one."""
        if not _UNSUPPORTED.search(message):
            return False
        for name in sent:
            if name != "messages" and (name == parameter or re.search(rf"\b{re.escape(name)}\b", message)):
                renamed = "max_completion_tokens" if name == "max_tokens" and "max_completion_tokens" in message else ""
                self.unsupported.setdefault(name, renamed)  # another thread may have noted it
                return True
        return False

    def _beginning(self, response: httpx.Response) -> bytes:
        try:
            return self._read(response, 10_000, self.clock() + self.timeout_s)
        except httpx.HTTPError:
            return b""

    def _read(self, response: httpx.Response, most_bytes: int, until: float) -> bytes:
        """Return a body, or its beginning where it has more bytes; what the server packed is not unpacked."""
        body = bytearray()
        for chunk in response.iter_raw():
            body += chunk
            if len(body) >= most_bytes:
                break
            if self.clock() > until:
                raise _Passing(f"the answer was not complete after {LONGEST_REPLY * self.timeout_s:g} s")
        return bytes(body[:most_bytes])

    def _reply_in(self, body: bytes) -> Reply:
        """Return the reply of a chat completion; its text is empty if the model gave none."""
        if len(body) > MOST_BYTES:
            raise _Passing(f"the answer is larger than {MOST_BYTES:,} bytes")
        content = _json(body)
        match content:
            case {"choices": [{"message": dict(message)} as choice, *_]}:
                text, refusal = _text_of(message), message.get("refusal")
                if text is not None:
                    finish = _name(choice.get("finish_reason"))
                    refused = bool(refusal) or finish == "content_filter"
                    said = refusal if not text and isinstance(refusal, str) else text
                    model = _name(content.get("model")) if isinstance(content, dict) else ""
                    return Reply(self.hidden(said), self.hidden(model), finish, refused, _usage(content))
        raise _Passing(f"the answer is not a chat completion: '{printable(body.decode(errors='replace'))}'")

    def _heed(self, headers: httpx.Headers) -> None:
        """Wait before the next request where the endpoint says that this was the last one for now."""
        for unit in ("requests", "tokens"):
            if headers.get(f"x-ratelimit-remaining-{unit}") == "0":
                wait_s = _seconds(headers.get(f"x-ratelimit-reset-{unit}", ""))
                self._close_for(min(wait_s or 0.0, LONGEST_WAIT_S))


def _json(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _text_of(message: Mapping[str, Any]) -> str | None:
    """Return the text of a message, empty without one; None if its content has another form."""
    match message.get("content"):
        case str(text):
            return text
        case None:
            return "" if {"content", "refusal", "tool_calls"} & message.keys() else None
        case [*parts] if all(isinstance(part, dict) and isinstance(part.get("text", ""), str) for part in parts):
            return "".join(part.get("text", "") for part in parts)
    return None


def _name(value: object) -> str:
    return value[:200].encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _usage(content: object) -> tuple[int, int] | None:
    match content:
        case {"usage": {"prompt_tokens": int(given), "completion_tokens": int(written)}}:
            return given, written
    return None


def _stated(body: bytes) -> tuple[str, str, str]:
    """Return the message, the code and the parameter of a failure; empty where it does not have that form."""
    match _json(body):
        case {"error": {"message": str(message)} as error}:
            return message, _name(error.get("code")), _name(error.get("param"))
        case {"error": str(message)} | {"message": str(message)}:
            return message, "", ""
    return "", "", ""


def _asked_wait(headers: httpx.Headers) -> float | None:
    """Return how many seconds an endpoint asks to wait; None if it does not say."""
    given = headers.get("Retry-After", "").strip()
    if given:
        if re.fullmatch(r"\d+(\.\d+)?", given, re.ASCII):
            return float(given)
        try:
            until = parsedate_to_datetime(given)
        except (ValueError, OverflowError):
            return None
        return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    resets = [_seconds(headers.get(f"x-ratelimit-reset-{unit}", "")) for unit in ("requests", "tokens")]
    return max((wait for wait in resets if wait is not None), default=None)


def _seconds(duration: str) -> float | None:
    """Return the seconds of a duration such as `6m0s` or `20ms`."""
    if not re.fullmatch(f"(?:{_PART})+", duration):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(_PART, duration))
