"""An endpoint on this machine and a two-layer model made here are asked for real."""

from __future__ import annotations

import base64
import json
import re
import shutil
import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from chat_server import Clock, Reply, Request, Server, chat_server, completion, failure

from merbench.errors import MissingExtra, UsageError
from merbench.language_models import (
    Endpoint,
    LocalModel,
    NoReply,
    RequestRefused,
    Stopped,
    completions_url,
    key_from,
)
from merbench.synonyms import Question, fill_groups
from merbench.synonyms.filling import prompt

Answer = Callable[[Request, int], Reply]


def endpoint(server: Server, clock: Clock, **options: object) -> Endpoint:
    return Endpoint(server.url, "toy", clock=clock.time, sleep=clock.sleep, **options)  # type: ignore[arg-type]


def after(*failures: Reply) -> Answer:
    """Return answers that fail first, and are right then."""
    return lambda request, n: failures[n] if n < len(failures) else completion("fine")


def always(reply: Reply) -> Answer:
    return lambda request, n: reply


def asked(answer: Answer, **options: object) -> tuple[str, Clock, list[Request]]:
    """Return the answer to one prompt, or the message of its refusal."""
    clock = Clock()
    with chat_server(answer) as server:
        try:
            result = endpoint(server, clock, **options).answer("hello")
        except UsageError as error:
            result = str(error)
    return result, clock, server.requests


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("http://localhost:8000", "/v1/chat/completions"),
        ("https://api.example/v1/", "/v1/chat/completions"),
        ("https://api.example/openai/v4", "/openai/v4/chat/completions"),
        ("https://api.example/deployed?api-version=1#x", "/deployed/v1/chat/completions?api-version=1"),
        ("https://api.example/any/chat/completions", "/any/chat/completions"),
    ],
)
def test_the_path_of_an_address_may_be_left_out(given: str, path: str) -> None:
    assert str(completions_url(given)) == re.match(r"https?://[^/]+", given)[0] + path  # type: ignore[index]


@pytest.mark.parametrize(
    "given", ["localhost:8000", "file:///etc/passwd", "ftp://x", "http://x:port", "http://x:0", "http://", "http://[", ""]
)  # fmt: skip
def test_an_address_that_is_not_one_is_refused(given: str) -> None:
    message = f"'{given}' is not an endpoint; an address such as http://localhost:8000 is needed"
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        completions_url(given)


def test_a_prompt_is_sent_and_its_answer_returned() -> None:
    answer, clock, (request,) = asked(after(), key="sk-secret", temperature=0.5)
    assert (answer, clock.slept) == ("fine", [])
    assert request.path == "/v1/chat/completions"
    assert request.headers["Authorization"] == "Bearer sk-secret"
    assert request.headers["Content-Type"] == "application/json"
    turn = {"role": "user", "content": "hello"}
    assert request.content == {"model": "toy", "messages": [turn], "temperature": 0.5}
    answer, _, (request,) = asked(always(completion(None)))
    assert (answer, set(request.content)) == ("", {"model", "messages"})
    assert "Authorization" not in request.headers


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 529])
def test_a_failure_that_may_pass_is_tried_again_after_longer_and_longer_waits(status: int) -> None:
    answer, clock, requests = asked(after(*[failure(status, "busy")] * 5))
    assert (answer, len(requests), clock.slept) == ("fine", 6, [1, 2, 4, 8, 16])


def test_a_failure_that_does_not_pass_ends_the_asking() -> None:
    message, clock, requests = asked(always(failure(503, "busy\nindeed")))
    assert re.fullmatch(
        r"http://127\.0\.0\.1:\d+/v1/chat/completions, model toy: status 503: busy\\nindeed \(6 times in a row\)",
        message,
    )
    assert (len(requests), clock.slept) == (6, [1, 2, 4, 8, 16])
    for status in (400, 401, 404):
        message, clock, requests = asked(always(failure(status, "no")))
        assert message.endswith(f"/v1/chat/completions, model toy: status {status}: no")
        assert (len(requests), clock.slept) == (1, [])


def test_a_key_is_in_no_message_and_goes_to_no_other_host(monkeypatch: pytest.MonkeyPatch) -> None:
    message, _, _ = asked(always(failure(401, "sk-secret is no key")), key="sk-secret")
    assert message.endswith("status 401: … is no key")
    message, _, _ = asked(always(Reply("sk-secret " * 3)), key="sk-secret")
    assert "sk-secret" not in message + repr(Endpoint("http://x", "toy", "sk-secret"))
    with chat_server(after()) as elsewhere:
        redirect = Reply("", 302, {"Location": f"{elsewhere.url}/v1/chat/completions"})
        message, _, requests = asked(always(redirect), key="sk-secret")
        assert message.endswith("model toy: status 302: Found")
        assert (len(requests), elsewhere.requests) == (1, [])
    monkeypatch.setenv("TOY_KEY", " sk-secret\n")
    assert key_from("TOY_KEY") == "sk-secret"
    for text in ("", "two\nlines", "ключ"):
        monkeypatch.setenv("TOY_KEY", text)
        with pytest.raises(UsageError, match=r"^--key-env: the variable TOY_KEY contains no key$"):
            key_from("TOY_KEY")


@pytest.mark.parametrize(
    ("headers", "waits"),
    [
        ({"Retry_After": "7"}, [7]),
        ({"Retry_After": "0.25"}, [0.25]),
        ({"Retry_After": "Fri, 01 Jan 2016 00:00:00 GMT"}, []),
        ({"Retry_After": "soon"}, [1]),
        ({"Retry_After": "Fri, 01 Jan 99999999999999999999 00:00:00 GMT"}, [1]),
        ({"x_ratelimit_reset_requests": "1m30.5s"}, [90.5]),
        ({"x_ratelimit_reset_requests": "20ms", "x_ratelimit_reset_tokens": "2s"}, [2]),
        ({"x_ratelimit_reset_requests": "later"}, [1]),
    ],
)
def test_an_endpoint_states_how_long_to_wait(headers: dict[str, str], waits: list[float]) -> None:
    answer, clock, _ = asked(after(failure(429, "slow down", **headers)))
    assert (answer, clock.slept) == ("fine", waits)


def test_long_waits() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=200), usegmt=True)
    _, clock, _ = asked(after(failure(429, "slow down", Retry_After=date)))
    assert 100 < sum(clock.slept) <= 200
    message, clock, _ = asked(always(failure(429, "quota", Retry_After="3600")))
    assert message.endswith("model toy: status 429: quota, and asks to wait 3,600 seconds")
    assert clock.slept == []
    message, _, _ = asked(always(failure(429, "quota", Retry_After="9" * 400)))
    assert message.endswith("and asks to wait 1,000,000,000 seconds")


@pytest.mark.parametrize(
    "body", ["<html>", "", '{"choices": []}', '{"choices": [{"message": {"content": 1}}]}', "[" * 100_000, "\xff\x00"]
)
def test_an_answer_of_another_form_is_asked_for_again(body: str) -> None:
    answer, _, requests = asked(after(Reply(body)))
    assert (answer, len(requests)) == ("fine", 2)
    message, _, _ = asked(always(Reply(body)))
    assert "model toy: the answer is not a chat completion: '" in message
    assert message.isprintable()


def test_an_answer_that_is_too_long_or_breaks_off() -> None:
    message, _, _ = asked(always(Reply("x" * (5 << 20))))
    assert "the answer is larger than 4,194,304 bytes" in message
    half = Reply(completion("half").body[:20], 200, {"Content-Length": "100000", "Connection": "close"})
    message, _, _ = asked(always(half))
    assert "model toy: the connection broke: " in message
    assert asked(after(half))[0] == "fine"


def test_a_slow_answer_is_not_waited_for() -> None:
    over = threading.Event()

    def late(request: Request, n: int) -> Reply:
        over.wait(30)
        return completion("late")

    clock = Clock()
    with chat_server(late) as server:
        try:
            with pytest.raises(UsageError) as caught:
                endpoint(server, clock, timeout_s=0.05).answer("hello")
        finally:
            over.set()
    assert str(caught.value).endswith("model toy: no answer within 0.05 s (6 times in a row)")


def test_an_endpoint_that_does_not_exist_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://user:secret@127.0.0.1:{closed.getsockname()[1]}"
    clock = Clock()
    with pytest.raises(UsageError, match=r"model toy: no connection: .*refused \(6 times in a row\)$") as caught:
        Endpoint(url, "toy", clock=clock.time, sleep=clock.sleep).answer("hello")
    assert (clock.slept, "secret" in str(caught.value)) == ([1, 2, 4, 8, 16], False)
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("http_proxy", "gopher://x")
    with pytest.raises(UsageError, match="model toy: the proxy that the environment names cannot be used: "):
        Endpoint(url, "toy")


def test_all_threads_wait_when_one_is_asked_to() -> None:
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "3s"}
    clock = Clock()
    with chat_server(always(Reply(completion("fine").body, 200, headers))) as server:
        asker = endpoint(server, clock)
        assert (asker.answer("the last one for now"), clock.slept) == ("fine", [])
        assert (asker.answer("the next one"), clock.slept) == ("fine", [3])
    clock = Clock()
    times: list[float] = []

    def answer(request: Request, n: int) -> Reply:
        times.append(clock.now)
        return Reply("{}", 429, {"Retry-After": "5"}) if n == 0 else completion("fine")

    with chat_server(answer) as server, ThreadPoolExecutor(4) as pool:
        asker = endpoint(server, clock)
        assert asker.answer("first") == "fine"
        assert list(pool.map(asker.answer, "abc")) == ["fine"] * 3
    assert times[0] == 0
    assert min(times[1:]) >= 5


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
    # Answers before the endpoint refuses are kept.
    more = [Question(f"t{i}", (f"c{i}", f"d{i}")) for i in range(5)]
    with (
        chat_server(
            lambda request, n: completion(json.dumps([request.words])) if n < 3 else failure(401, "no")
        ) as server,
        pytest.raises(UsageError, match="status 401"),
    ):
        fill_groups("mine", more, endpoint(server, Clock(), parallel=1), n_runs=2)
    with chat_server(lambda request, n: completion(json.dumps([request.words]))) as server:
        filled = fill_groups("mine", more, endpoint(server, Clock()), n_runs=2)
    assert (filled.n_there, filled.n_new) == (3, 7)


WORDS = ("glad", "happy", "sad")
LEARNT = '[ [ "glad" , "happy" ] , [ "sad" ] ]'


def saved(folder: Path, *, learnt: bool = False, positions: int = 256, template: str | None = None) -> str:
    """Save a model of one token per word of the prompt and of the answer, which it may have learnt; return the path."""
    tokenizers = pytest.importorskip("tokenizers", reason="transformers is not installed")
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    texts = f"{prompt(WORDS)} {LEARNT}".split()
    vocabulary = {token: code for code, token in enumerate(dict.fromkeys(["<end>", "<unknown>", *texts]))}
    plain = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unknown>"))
    plain.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    words: Any = PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="<unknown>", eos_token="<end>")
    words.chat_template = template
    torch.manual_seed(0)
    end = words.eos_token_id
    sizes = {"n_layer": 2, "n_head": 2, "n_embd": 32, "n_positions": positions, "vocab_size": len(words)}
    model: Any = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=end, eos_token_id=end, pad_token_id=end))
    if learnt:
        given = words(prompt(WORDS), return_tensors="pt")["input_ids"]
        wanted = words(f"{LEARNT} <end>", return_tensors="pt")["input_ids"]
        tokens, labels = torch.cat([given, wanted], dim=1), torch.cat([torch.full_like(given, -100), wanted], dim=1)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        for _ in range(40):
            loss = model(input_ids=tokens, labels=labels).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return str(folder)


@pytest.mark.slow
def test_an_answer_that_a_local_model_learnt_is_stored(tmp_path: Path) -> None:
    folder = saved(tmp_path / "learnt", learnt=True)
    asker = LocalModel(folder)
    filled = fill_groups("mine", [Question("x", ("sad", "happy", "glad"))], asker, n_runs=1)
    assert filled.problems == ()
    assert list(filled.groups.runs[0].values()) == [(("glad", "happy"), ("sad",))]
    assert filled.groups.decoding == "greedy"
    assert filled.groups.source.startswith("transformers ")
    # It is named by its files.
    copy = shutil.copytree(folder, tmp_path / "copy" / "learnt")
    assert LocalModel(str(copy)).model == asker.model
    assert asker.model.startswith("learnt@")
    (copy / "generation_config.json").unlink()
    assert LocalModel(str(copy)).model != asker.model


@pytest.mark.slow
def test_a_local_model_of_random_weights(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = saved(tmp_path / "plain")
    capfd.readouterr()
    plain = LocalModel(folder, quiet=True)
    assert capfd.readouterr() == ("", "")
    assert plain.answer(prompt(WORDS)) == LocalModel(folder).answer(prompt(WORDS)) != ""
    filled = fill_groups("mine", [Question("x", WORDS)], plain, n_runs=1)
    assert (filled.n_new, filled.n_missing) == (0, 1)
    assert str(filled.problems[0]).startswith("E634  sample x, run 0: '")
    # A model of conversations gets a turn.
    template = "{% for message in messages %}{{ message['content'] }}{% endfor %}<end>"
    chat = LocalModel(saved(tmp_path / "chat", template=template))
    assert chat.answer("glad happy") == plain.answer("glad happy<end>") != plain.answer("glad happy")
    short = LocalModel(saved(tmp_path / "short", positions=16))
    n_tokens = len(prompt(WORDS).split())
    with pytest.raises(
        UsageError, match=rf"^model short@[0-9a-f]{{12}}: the prompt has {n_tokens} tokens, at most 16 fit$"
    ):
        short.answer(prompt(WORDS))


def test_without_transformers_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    message = r"^grouping words with a model on this machine needs the extra 'language-models': pip install 'merbench\["
    with pytest.raises(MissingExtra, match=message):
        LocalModel("any")


def test_a_folder_without_a_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=rf"^{tmp_path}/nothing: no such folder$"):
        LocalModel(f"{tmp_path}/nothing")
    # A bare name never means a folder of the working directory; transformers would read it.
    (tmp_path / "gpt2").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"^'gpt2' is a folder of the working directory: write \./gpt2$"):
        LocalModel("gpt2")
    pytest.importorskip("transformers", reason="transformers is not installed")
    with pytest.raises(UsageError, match="is not a language model: "):
        LocalModel(str(tmp_path))


def replied(answer: Answer, request: dict[str, Any], **options: object) -> tuple[Any, list[Request]]:
    """Return the reply to a request, or the error instead of it."""
    with chat_server(answer) as server:
        try:
            result: Any = endpoint(server, Clock(), **options).reply(request)
        except UsageError as error:
            result = error
    return result, server.requests


HELLO = {"messages": [{"role": "user", "content": "hello"}]}


def test_what_a_reply_states() -> None:
    usage = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
    reply, _ = replied(always(completion("fine", finish="length", model="toy-2024", usage=usage)), HELLO)
    assert (reply.text, reply.finish, reply.model, reply.n_tokens, reply.refused) == (
        "fine",
        "length",
        "toy-2024",
        (12, 3),
        False,
    )
    parts = {"choices": [{"message": {"content": [{"type": "text", "text": "fi"}, {"type": "text", "text": "ne"}]}}]}
    reply, _ = replied(always(Reply(json.dumps(parts))), HELLO)
    assert (reply.text, reply.model, reply.n_tokens) == ("fine", "", None)
    refusal = {"choices": [{"message": {"content": None, "refusal": "I must not."}, "finish_reason": "stop"}]}
    reply, _ = replied(always(Reply(json.dumps(refusal))), HELLO)
    assert (reply.text, reply.refused) == ("I must not.", True)
    filtered = Reply(json.dumps({"error": {"code": "content_filter", "message": "Filtered."}}), 400)
    reply, requests = replied(always(filtered), HELLO)
    assert (reply.text, reply.refused, len(requests)) == ("Filtered.", True, 1)


def test_newer_models_take_other_settings() -> None:
    """What such a model says about `max_tokens` and `temperature`; each is said once."""
    said = {
        "max_tokens": "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        "temperature": "Unsupported value: 'temperature' does not support 0.0 with this model. Only the default (1) value is supported.",
    }

    def answer(request: Request, n: int) -> Reply:
        for name, message in said.items():
            if name in request.content:
                error = {"message": message, "param": name, "code": "unsupported_value"}
                return Reply(json.dumps({"error": error}), 400)
        return completion("fine")

    with chat_server(answer) as server:
        asker = endpoint(server, Clock())
        request = {**HELLO, "max_tokens": 5, "temperature": 0.0}
        assert [asker.reply(request).text for _ in range(2)] == ["fine", "fine"]
    assert asker.unsupported == {"max_tokens": "max_completion_tokens", "temperature": ""}
    assert [set(each.content) - {"model", "messages"} for each in server.requests] == [
        {"max_tokens", "temperature"},
        {"max_completion_tokens", "temperature"},
        {"max_completion_tokens"},
        {"max_completion_tokens"},
    ]
    # A message that only names a setting does not remove it.
    too_long = "max_tokens=9 is too large: maximum context length is 8 tokens"
    error, requests = replied(always(failure(400, too_long)), request)
    assert (type(error), len(requests)) == (RequestRefused, 1)


def test_what_is_refused_and_what_may_pass_are_told_apart() -> None:
    for status in (400, 413, 422):
        error, requests = replied(always(failure(status, "too long")), HELLO)
        assert (type(error), len(requests)) == (RequestRefused, 1)
    for status in (401, 403, 404):
        assert type(replied(always(failure(status, "no")), HELLO)[0]) is UsageError
    assert type(replied(always(failure(500, "oops")), HELLO)[0]) is NoReply


def test_who_is_asked_to_slow_down_goes_on_as_long_as_others_are_answered() -> None:
    """Nine of ten requests get 429: one thread alone would give up after six tries, of eight all are answered."""
    error, requests = replied(lambda request, n: failure(429, "slow"), HELLO)
    assert (type(error), len(requests)) == (NoReply, 6)
    now, most, lock = 0, [0], threading.Lock()

    def busy(request: Request, n: int) -> Reply:
        nonlocal now
        with lock:
            now += 1
            most.append(now)
        reply = completion("fine") if n % 4 == 3 else failure(429, "slow", Retry_After="1")
        with lock:
            now -= 1
        return reply

    with chat_server(busy) as server, ThreadPoolExecutor(8) as pool:
        asker = endpoint(server, Clock(), parallel=8)
        assert list(pool.map(asker.answer, map(str, range(40)))) == ["fine"] * 40
    assert max(most) <= 8
    # Fewer are sent at once than at first.
    assert asker._at_once < 8


def test_a_reply_that_drips_is_not_waited_for_forever() -> None:
    """A server that sends a byte now and then is never silent; the whole may take five times as long as a silence."""
    clock = Clock()

    def dripping() -> Any:
        with socket.create_server(("127.0.0.1", 0)) as server:
            ready.append(server.getsockname()[1])
            begun.set()
            while not over.is_set():
                connection, _ = server.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                    for _ in range(100):
                        clock.now += 1.0
                        try:
                            connection.sendall(b" ")
                        except OSError:
                            break
                        if over.wait(0.01):
                            break

    ready: list[int] = []
    begun, over = threading.Event(), threading.Event()
    thread = threading.Thread(target=dripping, daemon=True)
    thread.start()
    assert begun.wait(10)
    asker = Endpoint(f"http://127.0.0.1:{ready[0]}", "toy", clock=clock.time, sleep=clock.sleep, timeout_s=2.0)
    with pytest.raises(NoReply, match=r"the answer was not complete after 10 s \(6 times in a row\)$"):
        asker.reply(HELLO)
    over.set()


def test_a_key_in_a_reply_is_taken_out() -> None:
    reply, _ = replied(always(completion("the key is sk-secret", model="sk-secret")), HELLO, key="sk-secret")
    assert (reply.text, reply.model) == ("the key is …", "…")


def test_after_stop_nothing_is_sent() -> None:
    with chat_server(always(completion("fine"))) as server:
        asker = endpoint(server, Clock())
        asker.stop()
        with pytest.raises(Stopped):
            asker.reply(HELLO)
    assert server.requests == []


@pytest.mark.slow
def test_a_local_model_gets_turns_and_settings(tmp_path: Path) -> None:
    template = "{% for message in messages %}{{ message['role'] }} {{ message['content'] }} {% endfor %}"
    model = LocalModel(saved(tmp_path / "chat", template=template))
    assert not model.reads_pictures
    text = {"type": "text", "text": "glad happy"}
    request = {"messages": [{"role": "user", "content": [text, text]}], "max_tokens": 4}
    reply = model.reply(request)
    assert reply.n_tokens is not None
    assert (reply.finish, reply.n_tokens[1], reply.model) == ("length", 4, model.model)
    assert reply == model.reply({"messages": [{"role": "user", "content": "glad happy\nglad happy"}], "max_tokens": 4})
    sampled = [model.reply({**request, "max_tokens": 20, "temperature": 5.0, "seed": seed}).text for seed in (1, 2, 1)]
    assert sampled[0] == sampled[2] != sampled[1]
    with pytest.raises(RequestRefused, match=r"reads text, not image_url$"):
        model.reply(
            {"messages": [{"role": "user", "content": [text, {"type": "image_url", "image_url": {"url": "x"}}]}]}
        )
    with pytest.raises(UsageError, match=r"takes max_tokens, temperature, top_p, seed, not top_k$"):
        model.reply({**request, "top_k": 5})
    model.stop()
    with pytest.raises(Stopped):
        model.reply(request)


@pytest.mark.slow
def test_a_local_model_that_reads_pictures(tmp_path: Path) -> None:
    """A picture of 28 pixels has four patches of 14, each a token; the words around it have four."""
    tokenizers = pytest.importorskip("tokenizers", reason="transformers is not installed")
    cv2 = pytest.importorskip("cv2", reason="media: OpenCV is not installed")
    import numpy as np
    import torch
    import transformers as library

    words = ["<end>", "<unknown>", "<image>", "user", "who", "is", "this"]
    plain = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: code for code, word in enumerate(words)}, unk_token="<unknown>")
    )
    plain.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer: Any = library.PreTrainedTokenizerFast(
        tokenizer_object=plain,
        unk_token="<unknown>",
        eos_token="<end>",
        pad_token="<end>",
        extra_special_tokens={"image_token": "<image>"},
    )
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision: Any = library.CLIPVisionConfig(**sizes, image_size=28, patch_size=14, projection_dim=16)
    text: Any = library.LlamaConfig(
        **sizes, vocab_size=len(words), max_position_embeddings=64, eos_token_id=0, pad_token_id=0
    )
    config: Any = library.LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=2, image_seq_length=4, vision_feature_layer=-1
    )
    torch.manual_seed(0)
    library.LlavaForConditionalGeneration(config).save_pretrained(tmp_path / "sees")
    template = (
        "{% for message in messages %}{{ message['role'] }}{% for part in message['content'] %} "
        "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endfor %}"
    )
    pictures: Any = library.CLIPImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    library.LlavaProcessor(
        image_processor=pictures,
        tokenizer=tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<image>",
        chat_template=template,
    ).save_pretrained(tmp_path / "sees")
    model = LocalModel(str(tmp_path / "sees"), quiet=True)
    assert model.reads_pictures
    _, data = cv2.imencode(".jpg", np.zeros((40, 50, 3), np.uint8))
    url = f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}"
    picture = {"type": "image_url", "image_url": {"url": url}}

    def n_tokens(*parts: dict[str, Any]) -> int:
        question = {"type": "text", "text": "who is this"}
        request = {"messages": [{"role": "user", "content": [*parts, question]}], "max_tokens": 3}
        reply = model.reply(request)
        assert reply.n_tokens is not None
        return reply.n_tokens[0]

    assert [n_tokens(), n_tokens(picture), n_tokens(picture, picture)] == [4, 8, 12]
    with pytest.raises(RequestRefused, match=r"^a model on this machine reads text and pictures, not input_audio$"):
        n_tokens({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}})
