"""An endpoint on this machine and a two-layer model made here are asked for real."""

from __future__ import annotations

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
from merbench.language_models import Endpoint, LocalModel, completions_url, key_from
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
