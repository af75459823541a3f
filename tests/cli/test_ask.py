"""`merbench ask`: what it prints and stores, the code that it ends with, and how it goes on after it was stopped."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from chat_server import Reply, Request, chat_server, completion, failure
from made_corpus import made_corpus

Command = Callable[..., tuple[int, str, str]]

TRACK = """
id = "mine"
version = "1.0"
title = "Mine"
corpus = "./corpus"
splits = { test = "test" }
ranking.by = ["overall"]
metrics = [{ name = "accuracy", target = "emotion", weight = 1.0 }]
targets.emotion = { type = "categorical", labels = ["happy", "sad"] }
submission.missing_ids = "dropped"
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a track of six samples; return where answers are stored."""
    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.chdir(tmp_path)
    ids = [f"s{i}" for i in range(6)]
    samples = pa.table({"sample_id": ids, "split": ["test"] * 6, "transcript": [f"words of {i}" for i in range(6)]})
    reference = pa.table({"sample_id": ids, "emotion": ["happy"] * 6})
    made_corpus(tmp_path / "mine" / "corpus", name="mine", samples=samples, reference=reference)
    (tmp_path / "mine" / "track.toml").write_text(TRACK)
    return tmp_path / "home" / "answers" / "mine" / "toy"


def arguments(url: str, *more: str) -> tuple[str, ...]:
    return ("ask", "./mine", "--endpoint", url, "--model", "toy", "--no-intervals", *more)


def number_of(request: Request) -> int:
    return int(re.findall(r"words of (\d+)", request.text)[-1])


def test_a_run_from_counting_to_its_score(merbench: Command, home: Path) -> None:
    """A request of 174 characters, 44 tokens; 6 of them, and 200 tokens of every answer, at 1 and 10 a million."""

    def answer(request: Request, n: int) -> Reply:
        said = "I'm sorry, I can't say." if number_of(request) == 3 else ["happy", "sad"][number_of(request) % 2]
        return completion(said, usage={"prompt_tokens": 50, "completion_tokens": 3})

    with chat_server(answer) as server:
        prices = ("--price-in", "1000", "--price-out", "10000")
        code, out, err = merbench(*arguments(server.url, "--dry-run", *prices))
        n_tokens = -(
            -len(
                "What is said in the video: <Subtitle>words of 0</Subtitle>\nChoose the one label that best describes the emotion of the person in the sample. Candidates: happy, sad.\nAnswer with the label only."
            )
            // 4
        )
        assert (code, err, server.requests) == (0, "", [])
        assert out.splitlines()[:3] == [
            "6 requests to send, 0 stored; more where one cannot be read",
            f"about {6 * n_tokens} tokens of requests, at most 1,200 of answers",
            f"about {6 * n_tokens / 1000 + 12:.2f} at most",
        ]
        code, out, err = merbench(*arguments(server.url, *prices))
        assert (code, err) == (0, "")
        assert out.startswith(
            "toy, mine@1.0, split 'test': 6 samples\n5 read, 1 refused\n"
            "6 requests answered now; all requests have 300 tokens, their answers 18: 0.48\nwrote runs/mine/ask-toy\n\nMine ("
        )
        # Of the five that answered, three are happy.
        assert re.search(r"^accuracy +emotion +0\.6000 ", out, re.MULTILINE)
        code, out, err = merbench(*arguments(server.url))
        assert (code, err) == (
            2,
            "runs/mine/ask-toy: already contains a run; --force replaces it, --output names another folder\n",
        )
        code, out, err = merbench(*arguments(server.url, "--force"))
        assert "0 requests answered now" in out
        assert len(server.requests) == 6
    assert sorted(path.name for path in Path("runs/mine/ask-toy").iterdir()) == [
        "answers.jsonl",
        "asked.json",
        "submission.csv",
    ]
    assert sorted(path.name for path in home.iterdir()) == ["answers.jsonl", "requests.jsonl"]


def test_failures_are_listed_and_no_submission_is_written(merbench: Command) -> None:
    def answer(request: Request, n: int) -> Reply:
        if number_of(request) != 2:
            return completion("sad")
        return failure(503, "\x1b[2Jdown\n::error::x", Retry_After="0")

    with chat_server(answer) as server:
        code, out, err = merbench(*arguments(server.url))
    assert code == 5
    assert "5 read, 1 failed\n" in out
    assert re.fullmatch(
        r"mine@1\.0: 1 problem\n  E635  emotion: s2: failed: http://127\.0\.0\.1:\d+/v1/chat/completions, model toy: status 503: "
        r"\\x1b\[2Jdown\\n::error::x \(6 times in a row\)\nno submission is written; the same command asks only what is missing\n",
        err,
    )
    assert not Path("runs").exists()


def test_what_is_given_must_fit(merbench: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*given: str) -> str:
        code, out, err = merbench("ask", "./mine", *given)
        assert (code, out) == (2, "")
        return err

    assert refused() == "give either --endpoint or --local\n"
    assert refused("--endpoint", "http://x", "--local", "./y") == "give --endpoint or --local, not both\n"
    assert refused("--endpoint", "http://x") == "--endpoint needs --model, the name of the model there\n"
    url = ("--endpoint", "http://x", "--model", "toy")
    assert refused(*url, "--key-env", "NO_KEY") == "--key-env: the variable NO_KEY contains no key\n"
    assert (
        refused(*url, "--unanswered", "emotion") == "--unanswered emotion: two parts with = between them are needed\n"
    )
    assert (
        refused(*url, "--text-endpoint", "http://y")
        == "--text-endpoint and --text-key-env need --text-model, the name of the model there\n"
    )
    assert refused(*url, "--media", "nowhere") == "nowhere: no such folder of media\n"
    # A key goes only to the endpoint that it is of.
    monkeypatch.setenv("A_KEY", "sk-first")
    with (
        chat_server(lambda request, n: completion("happy")) as first,
        chat_server(lambda request, n: completion("happy")) as second,
    ):
        protocol = Path("two.toml")
        protocol.write_text(
            'title = "x"\nanswers = "label"\n[[steps]]\ntexts = ["describe {samples}"]\n[[steps]]\nsees = false\ntexts = ["which? {answer}"]\n'
        )
        options = (
            "--protocol",
            "./two.toml",
            "--key-env",
            "A_KEY",
            "--text-model",
            "other",
            "--text-endpoint",
            second.url,
        )
        assert merbench(*arguments(first.url, *options))[0] == 0
    assert [request.headers.get("Authorization") for request in (first.requests[0], second.requests[0])] == [
        "Bearer sk-first",
        None,
    ]


@pytest.mark.slow
def test_an_interrupt_waits_for_the_answers_on_their_way(merbench: Command, home: Path) -> None:
    """The process gets a real interrupt while three requests are on their way: all three are answered, and stored."""
    waiting, release = threading.Semaphore(0), threading.Event()

    def answer(request: Request, n: int) -> Reply:
        waiting.release()
        release.wait(60)
        return completion("happy")

    with chat_server(answer) as server:
        command = [sys.executable, "-m", "merbench", *arguments(server.url, "--in-flight", "3")]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        try:
            for _ in range(3):
                assert waiting.acquire(timeout=60)
            os.kill(process.pid, signal.SIGINT)
            assert (
                process.stderr.readline() == "waiting for the answers to 3 requests; interrupt again to leave at once\n"
            )
            release.set()
            _, err = process.communicate(timeout=60)
        finally:
            release.set()
            process.kill()
        assert (process.returncode, err) == (130, "interrupted\n")
        assert len((home / "answers.jsonl").read_text().splitlines()) == 1 + 3
        code, out, _ = merbench(*arguments(server.url))
        assert (code, "3 requests answered now" in out, len(server.requests)) == (0, True, 6)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "interrupted twice"])
def test_a_process_that_ends_at_once_loses_no_answer_that_came(merbench: Command, home: Path, how: str) -> None:
    """Four answers have come, two requests are on their way: only these two are sent again."""
    waiting, release = threading.Semaphore(0), threading.Event()

    def answer(request: Request, n: int) -> Reply:
        if n in (4, 5):
            waiting.release()
            release.wait(60)
        return completion("sad")

    with chat_server(answer) as server:
        command = [sys.executable, "-m", "merbench", *arguments(server.url, "--in-flight", "2")]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        try:
            for _ in range(2):
                assert waiting.acquire(timeout=60)
            if how == "killed":
                process.kill()
            else:
                os.kill(process.pid, signal.SIGINT)
                process.stderr.readline()
                os.kill(process.pid, signal.SIGINT)
            process.communicate(timeout=60)
        finally:
            release.set()
            process.kill()
        assert process.returncode == (-signal.SIGKILL if how == "killed" else 130)
        with (home / "answers.jsonl").open("a") as file:
            file.write('{"key": "cut o')
        code, out, _ = merbench(*arguments(server.url))
    assert (code, "2 requests answered now" in out) == (0, True)
    numbers = [number_of(request) for request in server.requests]
    assert (len(numbers), sorted(numbers[6:])) == (8, sorted(numbers[4:6]))
    keys = [json.loads(line)["key"] for line in (home / "answers.jsonl").read_text().splitlines()[1:]]
    assert len(keys) == len(set(keys)) == 6
