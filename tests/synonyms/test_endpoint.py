from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from chat_server import Reply, Request, Server, chat_server, completion, failure

from merbench.errors import UsageError
from merbench.synonyms import Question, fill_groups
from merbench.synonyms.language_models import Endpoint, completions_url, key_from

Answer = Callable[[Request, int], Reply]


class Clock:
    """A clock on which sleeping takes no time; it notes how long each sleep was."""

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


def endpoint(server: Server, clock: Clock, **options: object) -> Endpoint:
    return Endpoint(server.url, "toy", clock=clock.time, sleep=clock.sleep, **options)  # type: ignore[arg-type]


def after(*failures: Reply) -> Answer:
    """Return answers that fail first, and are right then."""
    return lambda request, n: failures[n] if n < len(failures) else completion("fine")


def asked(answer: Answer, **options: object) -> tuple[str, Clock, list[Request]]:
    clock = Clock()
    with chat_server(answer) as server:
        told = endpoint(server, clock, **options).answer("hello")
    return told, clock, server.requests


def refused(answer: Answer, **options: object) -> tuple[str, Clock, list[Request]]:
    clock = Clock()
    with chat_server(answer) as server, pytest.raises(UsageError) as caught:
        endpoint(server, clock, **options).answer("hello")
    return str(caught.value), clock, server.requests


@pytest.mark.parametrize(
    ("given", "whole"),
    [
        ("http://localhost:8000", "http://localhost:8000/v1/chat/completions"),
        ("https://api.example/", "https://api.example/v1/chat/completions"),
        ("https://api.example/v1/", "https://api.example/v1/chat/completions"),
        ("https://api.example/openai/v4", "https://api.example/openai/v4/chat/completions"),
        (
            "https://api.example/deployed?api-version=1",
            "https://api.example/deployed/v1/chat/completions?api-version=1",
        ),
        ("https://api.example/any/chat/completions", "https://api.example/any/chat/completions"),
    ],
)
def test_the_path_of_an_address_may_be_left_out(given: str, whole: str) -> None:
    assert completions_url(given) == whole


@pytest.mark.parametrize(
    "given", ["localhost:8000", "file:///etc/passwd", "ftp://x", "http://x:port", "http://", "http://[", ""]
)
def test_an_address_that_is_none_is_refused(given: str) -> None:
    told = f"'{given}' is not an endpoint; an address such as http://localhost:8000 is needed"
    with pytest.raises(UsageError, match=f"^{re.escape(told)}$"):
        completions_url(given)


def test_a_prompt_is_sent_and_its_answer_returned() -> None:
    told, clock, requests = asked(after(), key="sk-secret", temperature=0.5)
    assert (told, clock.slept) == ("fine", [])
    (request,) = requests
    assert request.path == "/v1/chat/completions"
    assert request.headers["Authorization"] == "Bearer sk-secret"
    assert request.headers["Content-Type"] == "application/json"
    turn = {"role": "user", "content": "hello"}
    assert request.content == {"model": "toy", "messages": [turn], "temperature": 0.5}


def test_what_is_not_given_is_not_sent() -> None:
    _, _, (request,) = asked(after())
    assert "temperature" not in request.content
    assert "Authorization" not in request.headers


def test_an_answer_without_text_is_empty() -> None:
    assert asked(lambda request, n: completion(None))[0] == ""


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
def test_what_may_pass_is_tried_again_after_longer_and_longer_waits(status: int) -> None:
    told, clock, requests = asked(after(*[failure(status, "busy")] * 5))
    assert (told, len(requests)) == ("fine", 6)
    assert clock.slept == [1, 2, 4, 8, 16]


def test_what_does_not_pass_ends_the_asking() -> None:
    told, clock, requests = refused(lambda request, n: failure(503, "busy\nindeed"))
    assert re.fullmatch(
        r"http://127\.0\.0\.1:\d+/v1/chat/completions, model toy: status 503: busy\\nindeed \(6 times in a row\)", told
    )
    assert (len(requests), clock.slept) == (6, [1, 2, 4, 8, 16])


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_what_cannot_pass_is_tried_once(status: int) -> None:
    told, clock, requests = refused(lambda request, n: failure(status, "no"))
    assert told.endswith(f"/v1/chat/completions, model toy: status {status}: no")
    assert (len(requests), clock.slept) == (1, [])


def test_a_key_is_in_no_message() -> None:
    told, _, _ = refused(lambda request, n: failure(401, "sk-secret is no key"), key="sk-secret")
    assert told.endswith("status 401: … is no key")
    told, _, _ = refused(lambda request, n: Reply("sk-secret " * 3), key="sk-secret")
    assert "sk-secret" not in told
    assert "sk-secret" not in repr(Endpoint("http://x", "toy", "sk-secret"))


def test_a_key_goes_nowhere_else() -> None:
    with chat_server(after()) as elsewhere:
        answer = after(*[Reply("", 302, {"Location": f"{elsewhere.url}/v1/chat/completions"})] * 9)
        told, _, requests = refused(answer, key="sk-secret")
        assert told.endswith("model toy: status 302: Found")
        assert (len(requests), elsewhere.requests) == (1, [])


def in_seconds(seconds: int) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("headers", "waits"),
    [
        ({"Retry_After": "7"}, [7]),
        ({"Retry_After": "0.25"}, [0.25]),
        ({"Retry_After": "0"}, []),
        ({"Retry_After": "Fri, 01 Jan 2016 00:00:00 GMT"}, []),
        ({"Retry_After": "soon"}, [1]),
        ({"x_ratelimit_reset_requests": "1m30.5s"}, [90.5]),
        ({"x_ratelimit_reset_requests": "20ms", "x_ratelimit_reset_tokens": "2s"}, [2]),
        ({"x_ratelimit_reset_requests": "later"}, [1]),
    ],
)
def test_an_endpoint_says_how_long_to_wait(headers: dict[str, str], waits: list[float]) -> None:
    told, clock, _ = asked(after(failure(429, "slow down", **headers)))
    assert (told, clock.slept) == ("fine", waits)


def test_a_date_to_wait_for_is_read() -> None:
    _, clock, _ = asked(after(failure(429, "slow down", Retry_After=in_seconds(200))))
    assert 100 < sum(clock.slept) <= 200


def test_an_endpoint_that_asks_for_an_hour_is_given_up() -> None:
    told, clock, requests = refused(lambda request, n: failure(429, "quota", Retry_After="3600"))
    assert told.endswith("model toy: status 429: quota, and asks to wait 3,600 seconds")
    assert (len(requests), clock.slept) == (1, [])


def test_the_last_prompt_for_now_is_waited_after() -> None:
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "3s"}
    clock = Clock()
    with chat_server(lambda request, n: Reply(completion("fine").body, 200, headers)) as server:
        asker = endpoint(server, clock)
        assert (asker.answer("one"), clock.slept) == ("fine", [])
        assert (asker.answer("two"), clock.slept) == ("fine", [3])


@pytest.mark.parametrize(
    "body",
    ["<html>", "", "{}", '{"choices": []}', '{"choices": [{"message": {"content": 1}}]}', "[" * 100_000, "\xff\x00"],
)
def test_garbage_is_tried_again_and_then_told(body: str) -> None:
    told, _, requests = asked(after(Reply(body)))
    assert (told, len(requests)) == ("fine", 2)
    told, _, _ = refused(lambda request, n: Reply(body))
    assert "model toy: the answer is not a chat completion: '" in told
    assert told.isprintable()


def test_an_endless_answer_is_not_read_to_its_end() -> None:
    told, _, _ = refused(lambda request, n: Reply("x" * (5 << 20)))
    assert "the answer is larger than 4,194,304 bytes" in told


def test_an_answer_that_breaks_off_is_tried_again() -> None:
    told, clock, _ = asked(
        after(Reply(completion("half").body[:20], 200, {"Content-Length": "100000", "Connection": "close"}))
    )
    assert (told, clock.slept) == ("fine", [1])


def test_a_slow_answer_is_not_waited_for() -> None:
    over = threading.Event()

    def answer(request: Request, n: int) -> Reply:
        if n == 0:
            over.wait(30)
        over.set()
        return completion("fine")

    told, clock, requests = asked(answer, timeout_s=1.0)
    assert (told, clock.slept, len(requests)) == ("fine", [1], 2)


def test_an_endpoint_that_is_always_slow_is_given_up() -> None:
    release = threading.Event()

    def late(request: Request, n: int) -> Reply:
        release.wait(30)
        return completion("late")

    clock = Clock()
    with chat_server(late) as server:
        try:
            with pytest.raises(UsageError) as caught:
                endpoint(server, clock, timeout_s=0.05).answer("hello")
        finally:
            release.set()
    told = str(caught.value)
    assert told.endswith("model toy: no answer within 0.05 s (6 times in a row)")


def test_an_endpoint_that_is_not_there_is_told() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    clock = Clock()
    with pytest.raises(UsageError, match=r"model toy: no connection: .*refused \(6 times in a row\)$"):
        Endpoint(url, "toy", clock=clock.time, sleep=clock.sleep).answer("hello")
    assert clock.slept == [1, 2, 4, 8, 16]


def test_all_threads_wait_when_one_is_told_to() -> None:
    headers = {"Retry-After": "5"}
    clock = Clock()
    times: list[float] = []

    def answer(request: Request, n: int) -> Reply:
        times.append(clock.now)
        return Reply("{}", 429, headers) if n == 0 else completion("fine")

    with chat_server(answer) as server, ThreadPoolExecutor(4) as pool:
        asker = endpoint(server, clock)
        assert asker.answer("first") == "fine"
        assert list(pool.map(asker.answer, "abc")) == ["fine"] * 3
    assert times[0] == 0
    assert min(times[1:]) >= 5


def test_a_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_KEY", " sk-secret\n")
    assert key_from("TOY_KEY") == "sk-secret"
    for held in ("", "two\nlines", "ключ"):
        monkeypatch.setenv("TOY_KEY", held)
        with pytest.raises(UsageError, match=r"^--key-env: the variable TOY_KEY holds no key$"):
            key_from("TOY_KEY")


def test_groups_are_filled_from_an_endpoint_that_fails_now_and_then() -> None:
    def answer(request: Request, n: int) -> Reply:
        if n % 5 == 1:
            return failure(500, "oops")
        if n % 5 == 3:
            return completion("I would rather not")
        return completion(f"```json\n{json.dumps([request.words])}\n```")

    questions = [Question(f"s{i}", (f"a{i}", f"b{i}")) for i in range(20)]
    with chat_server(answer) as server:
        filled = fill_groups("mine", questions, endpoint(server, Clock(), attempts=50), n_runs=2)
    assert (filled.n_new, filled.problems) == (40, ())
    assert filled.groups.source == "endpoint 127.0.0.1"
    assert filled.groups.signature == f"toy#{filled.groups.prompt_digest[:8]},default temperature,runs:2"
    assert all(len(answer) == 1 for answers in filled.groups.runs for answer in answers.values())


def test_answers_before_an_endpoint_went_away_are_kept() -> None:
    questions = [Question(f"s{i}", (f"a{i}", f"b{i}")) for i in range(5)]
    with chat_server(
        lambda request, n: completion(json.dumps([request.words])) if n < 3 else failure(401, "no")
    ) as server:
        asker = endpoint(server, Clock(), parallel=1)
        with pytest.raises(UsageError, match="status 401"):
            fill_groups("mine", questions, asker, n_runs=1)
    with chat_server(lambda request, n: completion(json.dumps([request.words]))) as server:
        filled = fill_groups("mine", questions, endpoint(server, Clock()), n_runs=1)
    assert (filled.n_there, filled.n_new, len(server.requests)) == (3, 2, 2)
