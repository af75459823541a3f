"""An OpenAI-compatible endpoint on this machine that answers as a test wants it to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Reply:
    """What is sent back."""

    body: str
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Request:
    """What was asked."""

    path: str
    headers: dict[str, str]
    content: dict[str, Any]

    @property
    def text(self) -> str:
        """All text of the last message."""
        content = self.content["messages"][-1]["content"]
        return content if isinstance(content, str) else "\n".join(part.get("text", "") for part in content)

    @property
    def words(self) -> list[str]:
        """The words of the prompt, from its last line."""
        return json.loads(self.content["messages"][0]["content"].strip().splitlines()[-1])


@dataclass
class Server:
    """Where it listens, and what it was asked so far."""

    url: str
    requests: list[Request]


class Clock:
    """A clock on which sleeping takes no time; it records how long each sleep was."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self._lock = threading.Lock()

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept.append(round(seconds, 6))
            self.now += seconds


def completion(text: str | None, *, finish: str | None = None, **more: Any) -> Reply:
    """Return a chat completion; `more` are further keys of it."""
    choice = {"message": {"role": "assistant", "content": text}, **({"finish_reason": finish} if finish else {})}
    return Reply(json.dumps({"choices": [choice], **more}))


def failure(status: int, message: str, **headers: str) -> Reply:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(json.dumps({"error": {"message": message}}), status, given)


@contextmanager
def chat_server(answer: Callable[[Request, int], Reply]) -> Iterator[Server]:
    """Run a server while the block runs; `answer` gets the request and how many came before it."""
    requests: list[Request] = []
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            request = Request(self.path, dict(self.headers), content)
            with lock:
                n_before = len(requests)
                requests.append(request)
            reply = answer(request, n_before)
            try:
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                data = reply.body.encode()
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            except OSError:
                return  # who asked has gone

        def log_message(self, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Server(f"http://127.0.0.1:{server.server_port}", requests)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
