"""A prompt goes in, the answer of a language model behind an OpenAI-compatible endpoint comes out.

Conventions:
    Only the standard library asks: a POST to `…/v1/chat/completions`, without following redirects, so that the key
    goes nowhere else. The key is taken from a variable of the environment; it is in no message and no file.
    What may pass (no connection, too slow, status 408, 429 or 5xx, an answer that is no chat completion) is tried
    again; every thread waits as long as the endpoint asks for, else longer each time. Anything else ends the asking.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit, urlunsplit

from merbench.errors import UsageError, plural, printable

TRIES = 6
"""How often one prompt is sent before the endpoint is given up."""

LONGEST_WAIT_S = 300.0
"""An endpoint that asks for more patience than this is given up."""

MOST_BYTES = 4 << 20
"""The size of an answer that is read."""

_PASSING = {408, 409, 425, 429}
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")


def completions_url(url: str) -> str:
    """Return the address that takes prompts, from an address with or without its path.

    Raises:
        UsageError: it is no address of the web.
    """
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of brackets or a port
        is_address = False
    if not is_address:
        raise UsageError(f"'{printable(url)}' is no endpoint; an address such as http://localhost:8000 is needed")
    path = parts.path.rstrip("/")
    if not path.endswith("/chat/completions"):
        path += "/chat/completions" if re.search(r"/v\d+$", path) else "/v1/chat/completions"
    return urlunsplit(parts._replace(path=path, fragment=""))


def key_from(variable: str) -> str:
    """Return the key that a variable of the environment holds; raise `UsageError` where it holds none."""
    key = os.environ.get(variable, "").strip()
    if not key or not key.isascii() or not key.isprintable():
        raise UsageError(f"--key-env: the variable {printable(variable)} holds no key")
    return key


class _Gate:
    """A time before which no thread sends anything."""

    def __init__(self, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._opens = 0.0

    def hold(self, seconds: float) -> None:
        """Stay closed for some seconds from now, at least."""
        with self._lock:
            self._opens = max(self._opens, self._clock() + seconds)

    def wait(self) -> None:
        """Return when it is open."""
        while (left := self._opens - self._clock()) > 0:
            self._sleep(left)


class _Passing(Exception):
    """A failure that may pass: what it was, and how long the endpoint asks to wait."""

    def __init__(self, told: str, wait_s: float | None = None) -> None:
        super().__init__(told)
        self.wait_s = wait_s


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: object, **kwargs: object) -> None:
        """Follow no redirect: its status is an error like others."""


_OPENER = urllib.request.build_opener(_NoRedirect)


@dataclass(eq=False)
class Endpoint:
    """A language model behind an OpenAI-compatible endpoint; an `Asker`.

    Attributes:
        url: address of the endpoint, with or without `/v1/chat/completions`.
        model: the model's name there.
        key: what authorises, if anything does.
        temperature: sent along, if given; else the endpoint decides.
        timeout_s: how long an answer may take.
        parallel: how many prompts are under way at once.
        attempts: how often it is asked for one answer that can be used.
        clock: seconds that pass.
        sleep: lets seconds pass.
    """

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    temperature: float | None = None
    timeout_s: float = 120.0
    parallel: int = 4
    attempts: int = 3
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    def __post_init__(self) -> None:
        self.url = completions_url(self.url)
        self._gate = _Gate(self.clock, self.sleep)

    @property
    def decoding(self) -> str:
        """How the model is made to answer."""
        return "default temperature" if self.temperature is None else f"temperature {self.temperature:g}"

    @property
    def source(self) -> str:
        """Where the model runs: the host alone, since an address may hold a secret."""
        return f"endpoint {urlsplit(self.url).hostname}"

    def answer(self, prompt: str) -> str:
        """Return what the model answers.

        Raises:
            UsageError: the endpoint refuses, or fails again and again.
        """
        told = ""
        for attempt in range(TRIES):
            self._gate.wait()
            try:
                return self._sent(prompt)
            except _Passing as failure:
                told = str(failure)
                wait_s = 2.0**attempt if failure.wait_s is None else failure.wait_s
                if wait_s > LONGEST_WAIT_S:
                    raise self._error(f"{told}, and asks to wait {plural(round(wait_s), 'second')}") from None
                self._gate.hold(wait_s)
        raise self._error(f"{told} ({TRIES} times in a row)")

    def _error(self, told: str) -> UsageError:
        address = urlsplit(self.url)
        host = f"{address.hostname}:{address.port}" if address.port else address.hostname
        hidden = told.replace(self.key, "…") if self.key else told
        return UsageError(f"{address.scheme}://{host}{address.path}, model {printable(self.model)}: {hidden}")

    def _sent(self, prompt: str) -> str:
        """Send the prompt once and return the answer."""
        try:
            with _OPENER.open(self._request(prompt), timeout=self.timeout_s) as response:
                body = response.read(MOST_BYTES + 1)
                self._heed(response.headers)
        except urllib.error.HTTPError as error:
            with error:
                told = f"status {error.code}: {printable(_shown(error), 200)}"
                if error.code in _PASSING or error.code >= 500:
                    raise _Passing(told, _asked_wait(error.headers)) from None
            raise self._error(told) from None
        except TimeoutError:
            raise self._too_slow() from None
        except urllib.error.URLError as error:
            if isinstance(error.reason, TimeoutError):
                raise self._too_slow() from None
            raise _Passing(f"no connection: {error.reason}") from None
        except (OSError, http.client.HTTPException) as error:
            raise _Passing(f"the connection broke: {str(error) or type(error).__name__}") from None
        return _content(body)

    def _too_slow(self) -> _Passing:
        return _Passing(f"no answer within {self.timeout_s:g} s")

    def _request(self, prompt: str) -> urllib.request.Request:
        content: dict[str, object] = {"model": self.model, "messages": [{"role": "user", "content": prompt}]}
        if self.temperature is not None:
            content["temperature"] = self.temperature
        headers = {"Content-Type": "application/json", "User-Agent": "merbench"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        return urllib.request.Request(self.url, json.dumps(content).encode(), headers, method="POST")

    def _heed(self, headers: Message) -> None:
        """Wait before the next prompt where the endpoint says that this one was the last for now."""
        for what in ("requests", "tokens"):
            if headers.get(f"x-ratelimit-remaining-{what}") == "0":
                wait_s = _seconds(headers.get(f"x-ratelimit-reset-{what}", ""))
                self._gate.hold(min(wait_s or 0.0, LONGEST_WAIT_S))


def _content(body: bytes) -> str:
    """Return the text of a chat completion; nothing where the model gave none."""
    if len(body) > MOST_BYTES:
        raise _Passing(f"the answer is larger than {MOST_BYTES:,} bytes")
    try:
        match json.loads(body):
            case {"choices": [{"message": {"content": str() | None as content}}, *_]}:
                return content or ""
    except (ValueError, RecursionError):
        pass
    raise _Passing(f"answers with something else than a chat completion: '{printable(body.decode(errors='replace'))}'")


def _shown(error: urllib.error.HTTPError) -> str:
    """Return what an endpoint says of a failure: its message where it has that form, else how it begins."""
    try:
        body = error.read(10_000)
    except (OSError, http.client.HTTPException):
        return error.reason
    try:
        match json.loads(body):
            case {"error": {"message": str(message)}} | {"error": str(message)} | {"message": str(message)}:
                return message
    except (ValueError, RecursionError):
        pass
    return body.decode(errors="replace").strip() or error.reason


def _asked_wait(headers: Message) -> float | None:
    """Return how many seconds an endpoint asks to wait; None where it does not say."""
    given = headers.get("Retry-After", "").strip()
    if given:
        if re.fullmatch(r"\d+(\.\d+)?", given):
            return float(given)
        try:
            until = parsedate_to_datetime(given)
        except ValueError:
            return None
        return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    resets = [_seconds(headers.get(f"x-ratelimit-reset-{what}", "")) for what in ("requests", "tokens")]
    return max((wait for wait in resets if wait is not None), default=None)


def _seconds(duration: str) -> float | None:
    """Return the seconds of a duration such as `6m0s` or `20ms`."""
    if not _DURATION.fullmatch(duration):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(duration))
