"""Language models that group words: one behind an OpenAI-compatible endpoint, and one on this machine.

Conventions:
    An endpoint gets a POST to `…/v1/chat/completions`. Redirects are not followed, so that the key goes nowhere else.
    The key is read from an environment variable; it is in no message and no file. A failure that may pass (no
    connection, too slow, status 408, 409, 425, 429 or 5xx, an answer that is not a chat completion) is tried again;
    every thread waits as long as the endpoint asks for, else longer each time. Any other failure ends the asking.
    A model on this machine decodes greedily, so that its answer is the same every time.
"""

from __future__ import annotations

import json
import os
import re
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from merbench.errors import MissingExtra, UsageError, plural, printable
from merbench.files.paths import is_path
from merbench.files.reading import sha256_bytes, sha256_file

TRIES = 6
"""How often one prompt is sent before the endpoint is given up."""

LONGEST_WAIT_S = 300.0
"""An endpoint that asks to wait longer than this is given up."""

MOST_BYTES = 4 << 20
"""The size of an answer that is read."""

MOST_NEW_TOKENS = 512
"""The longest answer of a model on this machine, in tokens; an unfinished one cannot be used."""

_MAY_PASS = {408, 409, 425, 429}
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


@dataclass(eq=False)
class Endpoint:
    """A language model behind an OpenAI-compatible endpoint; an `Asker`."""

    url: str  # address of the endpoint, with or without `/v1/chat/completions`
    model: str  # the model's name there
    key: str | None = field(default=None, repr=False)  # sent as bearer token, if given
    temperature: float | None = None  # sent along, if given; else the endpoint decides
    timeout_s: float = 120.0  # how long the endpoint may be silent
    parallel: int = 4  # how many prompts may be sent at once
    attempts: int = 3  # how often it is asked for one usable answer
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)  # the time in seconds
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)  # waits for some seconds

    def __post_init__(self) -> None:
        self._address = completions_url(self.url)
        self._lock = threading.Lock()
        self._closed_until = 0.0
        headers = {"Content-Type": "application/json", "User-Agent": "merbench", "Accept-Encoding": "identity"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
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
        reason = ""
        for attempt in range(TRIES):
            while (left := self._closed_until - self.clock()) > 0:
                self.sleep(left)
            try:
                return self._sent(prompt)
            except _Passing as failure:
                reason = failure.reason
                wait_s = 2.0**attempt if failure.wait_s is None else failure.wait_s
                if wait_s > LONGEST_WAIT_S:
                    seconds = plural(round(min(wait_s, 1e9)), "second")  # a server may write any number
                    raise self._error(f"{reason}, and asks to wait {seconds}") from None
                self._close_for(wait_s)
        raise self._error(f"{reason} ({TRIES} times in a row)")

    def _close_for(self, seconds: float) -> None:
        """Let no thread send anything for some seconds."""
        with self._lock:
            self._closed_until = max(self._closed_until, self.clock() + seconds)

    def _error(self, reason: str) -> UsageError:
        hidden = reason.replace(self.key, "…") if self.key else reason
        where = f"{self._address.scheme}://{self._address.netloc.decode()}{self._address.path}"
        return UsageError(f"{where}, model {printable(self.model)}: {hidden}")

    def _sent(self, prompt: str) -> str:
        content: dict[str, object] = {"model": self.model, "messages": [{"role": "user", "content": prompt}]}
        if self.temperature is not None:
            content["temperature"] = self.temperature
        try:
            with self._client.stream("POST", self._address, content=json.dumps(content).encode()) as response:
                if not response.is_success:
                    reason = f"status {response.status_code}: {printable(_shown(response), 200)}"
                    if response.status_code in _MAY_PASS or response.status_code >= 500:
                        raise _Passing(reason, _asked_wait(response.headers))
                    raise self._error(reason)
                body = _read(response, MOST_BYTES + 1)
                self._heed(response.headers)
        except httpx.TimeoutException:
            raise _Passing(f"no answer within {self.timeout_s:g} s") from None
        except httpx.ConnectError as error:
            raise _Passing(f"no connection: {error}") from None
        except httpx.HTTPError as error:
            raise _Passing(f"the connection broke: {str(error) or type(error).__name__}") from None
        return _answer_in(body)

    def _heed(self, headers: httpx.Headers) -> None:
        """Wait before the next prompt where the endpoint says that this was the last one for now."""
        for unit in ("requests", "tokens"):
            if headers.get(f"x-ratelimit-remaining-{unit}") == "0":
                wait_s = _seconds(headers.get(f"x-ratelimit-reset-{unit}", ""))
                self._close_for(min(wait_s or 0.0, LONGEST_WAIT_S))


def _read(response: httpx.Response, most_bytes: int) -> bytes:
    """Return a body, or its beginning where it has more bytes; what the server packed is not unpacked."""
    body = b""
    for chunk in response.iter_raw():
        body += chunk
        if len(body) >= most_bytes:
            break
    return body[:most_bytes]


def _json(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _answer_in(body: bytes) -> str:
    """Return the text of a chat completion; empty if the model gave none."""
    if len(body) > MOST_BYTES:
        raise _Passing(f"the answer is larger than {MOST_BYTES:,} bytes")
    match _json(body):
        case {"choices": [{"message": {"content": str() | None as content}}, *_]}:
            return content or ""
    raise _Passing(f"the answer is not a chat completion: '{printable(body.decode(errors='replace'))}'")


def _shown(response: httpx.Response) -> str:
    """Return what an endpoint says about a failure: its message where it has that form, else how it begins."""
    try:
        body = _read(response, 10_000)
    except httpx.HTTPError:
        return response.reason_phrase
    match _json(body):
        case {"error": {"message": str(message)}} | {"error": str(message)} | {"message": str(message)}:
            return message
    return body.decode(errors="replace").strip() or response.reason_phrase


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


class LocalModel:
    """A causal language model of the `transformers` library; an `Asker`.

    Args:
        name_or_path: folder of a saved model and its tokenizer, or a name that the library finds.
        quiet: whether the library, in this process, shows no progress of loading.
    """

    decoding = "greedy"
    parallel = 1
    attempts = 1  # a second one would be equal

    def __init__(self, name_or_path: str, *, quiet: bool = False) -> None:
        is_folder = Path(name_or_path).is_dir()
        if re.match(r"[./]", name_or_path) and not is_folder:
            raise UsageError(f"{name_or_path}: no such folder")
        if is_folder and not is_path(name_or_path):  # the library would take it for the model of that name
            raise UsageError(f"'{name_or_path}' is a folder of the working directory: write ./{name_or_path}")
        try:
            import torch
            from transformers import AutoModelForCausalLM, AutoTokenizer
            from transformers.utils import logging
        except ImportError as error:
            raise MissingExtra("grouping words with a model on this machine", "language-models") from error
        if quiet:
            logging.disable_progress_bar()
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(name_or_path)
            model: Any = AutoModelForCausalLM.from_pretrained(name_or_path)
        except (ImportError, OSError, ValueError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise UsageError(f"'{name_or_path}' is not a language model: {reason}") from error
        self._model = model.eval().to("cuda" if torch.cuda.is_available() else "cpu")
        self._name_or_path = name_or_path

    @property
    def source(self) -> str:
        """Where the model runs."""
        import transformers

        return f"transformers {transformers.__version__} on {self._model.device.type}"

    @cached_property
    def model(self) -> str:
        """Name of the model with its revision, or with the digest of its files if it is a folder."""
        folder = Path(self._name_or_path)
        if folder.is_dir():
            files = sorted(path for path in folder.rglob("*") if path.is_file())
            digest = sha256_bytes(*(f"{path.relative_to(folder)} {sha256_file(path)}\n".encode() for path in files))
            return f"{folder.resolve().name}@{digest[:12]}"
        revision = getattr(self._model.config, "_commit_hash", None)
        return f"{self._name_or_path}@{revision[:12]}" if revision else self._name_or_path

    def answer(self, prompt: str) -> str:
        """Return what the model answers; raise `UsageError` if the prompt is longer than the model can read."""
        import torch

        tokens = self._tokens(prompt).to(self._model.device)
        n_given = tokens["input_ids"].shape[1]
        longest = getattr(self._model.config, "max_position_embeddings", None)
        n_new = MOST_NEW_TOKENS if longest is None else min(MOST_NEW_TOKENS, longest - n_given)
        if n_new < 1:
            raise UsageError(f"model {self.model}: the prompt has {plural(n_given, 'token')}, at most {longest:,} fit")
        with torch.inference_mode():
            written = self._model.generate(
                input_ids=tokens["input_ids"],
                attention_mask=tokens["attention_mask"],
                do_sample=False,
                num_beams=1,
                max_new_tokens=n_new,
                pad_token_id=self._tokenizer.eos_token_id,
            )
        return str(self._tokenizer.decode(written[0, n_given:], skip_special_tokens=True))

    def _tokens(self, prompt: str) -> Any:
        """Return the tokens of a prompt, as a turn of a conversation if the model was trained on those."""
        if not self._tokenizer.chat_template:
            return self._tokenizer(prompt, return_tensors="pt")
        turn = [{"role": "user", "content": prompt}]
        return self._tokenizer.apply_chat_template(
            turn, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
