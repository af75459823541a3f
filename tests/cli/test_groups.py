"""`merbench groups`: what each command prints, stores, and the exit code it ends with."""

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

from merbench.synonyms import open_groups
from merbench.synonyms.filling import prompt_digest

Command = Callable[..., tuple[int, str, str]]

TRACK = """
id = "mine"
version = "1.0"
title = "Mine"
corpus = "./corpus"
splits = { test = "test" }
ranking.by = ["overall"]
metrics = [{ name = "set_average", target = "openset", weight = 1.0 }]
targets.openset = { type = "label_set", empty = "allow" }
submission.extra_ids = "allow"
"""

REFERENCES = [["happy", "glad"], ["sad"], ["angry"], ["calm"], None]
PREDICTIONS = ["['joyful']", "['down', 'sad']", "['angry']", "[]", "['unscored']"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a track of five samples, one of them without a reference, and two submissions."""
    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.chdir(tmp_path)
    ids = [f"s{i}" for i in range(5)]
    made_corpus(tmp_path / "mine" / "corpus", name="mine", samples=pa.table({"sample_id": ids, "split": ["test"] * 5}), reference=pa.table({"sample_id": ids, "openset": REFERENCES}))  # fmt: skip
    (tmp_path / "mine" / "track.toml").write_text(TRACK)
    rows = [f'{id_},"{cell}"' for id_, cell in zip(ids, PREDICTIONS, strict=True)]
    (tmp_path / "one.csv").write_text("\n".join(["sample_id,openset", *rows]))
    (tmp_path / "two.csv").write_text(
        "\n".join(["sample_id,openset", *(row.replace("joyful", "Glad") for row in rows)])
    )
    return tmp_path / "home" / "groups"


def fill(url: str, *more: str) -> tuple[str, ...]:
    return ("fill", "toys", "--track", "./mine", "--submission", "one.csv", "--endpoint", url, "--model", "toy", *more)


def together(request: Request, n: int) -> Reply:
    return completion(json.dumps([request.words, ["what"]]))


def test_the_words_of_scored_samples_are_asked_about(merbench: Command) -> None:
    with chat_server(together) as server:
        code, out, err = merbench("groups", *fill(server.url))
        assert (code, err) == (0, "")
        assert out == (
            "toys, 10 answers in 5 runs of toy: 10 answers added to 0, 0 missing; 10 words not asked for dropped\n"
        )
        asked = sorted(request.words for request in server.requests)
        assert asked == [["down", "sad"]] * 5 + [["glad", "happy", "joyful"]] * 5
        code, out, _ = merbench("groups", *fill(server.url, "--submission", "two.csv"))
        assert out == (
            "toys, 15 answers in 5 runs of toy: 5 answers added to 10, 0 missing; 5 words not asked for dropped\n"
        )
        assert [request.words for request in server.requests[10:]] == [["glad", "happy"]] * 5
    sets = [(("happy", "glad"), ("joyful",)), (("sad",), ("down", "sad")), (("angry",), ("angry",)), (("calm",), ())]
    assert open_groups("toys").representatives(["s0", "s1", "s2", "s3"], sets, 4) == [
        {"happy": "glad", "glad": "glad", "joyful": "glad"},
        {"sad": "down", "down": "down"},
        {"angry": "angry"},
        {"calm": "calm"},
    ]


def test_list_and_info(home: Path, merbench: Command) -> None:
    assert merbench("groups", "list") == (0, "groups  model  runs  answers  digest  source\n", "")
    with chat_server(together) as server:
        merbench("groups", *fill(server.url, "--runs", "2", "--temperature", "0.7"))
    digest = open_groups("toys").digest
    (home / "broken").mkdir()
    (home / "broken" / "groups.toml").write_text("")
    code, out, err = merbench("groups", "list")
    assert (code, err) == (0, "")
    assert [re.split("  +", line.rstrip()) for line in out.splitlines()] == [
        ["groups", "model", "runs", "answers", "digest", "source"],
        ["broken", "cannot be opened; see `merbench groups info broken`"],
        ["toys", "toy", "2", "4", digest[:12], "endpoint 127.0.0.1"],
    ]
    expected = f"""\
toys
source: endpoint 127.0.0.1
model: toy
prompt: {prompt_digest()}
decoding: temperature 0.7
answers by: the words of a sample
digest: {digest}
signature: toy#{prompt_digest()[:8]},temperature 0.7,runs:2

run 0: 2 answers, 2 groups, 2 words dropped
run 1: 2 answers, 2 groups, 2 words dropped
"""
    assert merbench("groups", "info", "toys") == (0, expected, "")
    assert merbench("groups", "info", str(home / "toys")) == (0, expected, "")
    code, _, err = merbench("groups", "info", "toy")
    assert (code, err.startswith("no groups named 'toy'; did you mean 'toys'? (known: broken, toys)")) == (2, True)


def test_import(home: Path, tmp_path: Path, merbench: Command) -> None:
    (tmp_path / "released.jsonl").write_text('{"name": "a", "groups": "[[\'glad\', \'happy\']]"}\n')
    expected = f"{home / 'mer2024-ov'}: mer2024-ov, 1 answer in 1 run of GPT-3.5\n"
    assert merbench("groups", "import", "mer2024", "released.jsonl") == (0, expected, "")
    code, _, err = merbench("groups", "import", "mer2024", "released.jsonl")
    taken = f"{home / 'mer2024-ov'}: already exists; --force replaces it\n"
    assert (code, err) == (2, taken)
    assert merbench("groups", "import", "mer2024", "released.jsonl", "--force") == (0, expected, "")
    code, out, _ = merbench("groups", "import", "mer2024", "released.jsonl", "--name", "other")
    assert (code, out) == (0, f"{home / 'other'}: other, 1 answer in 1 run of GPT-3.5\n")
    (tmp_path / "bad.jsonl").write_text("no")
    code, _, err = merbench("groups", "import", "mer2024", "bad.jsonl", "--force")
    assert (code, err.splitlines()[0]) == (2, "bad.jsonl: 1 problem")
    assert open_groups("mer2024-ov").runs == ({"a": (("glad", "happy"),)},)


def test_samples_without_a_usable_answer_are_named(merbench: Command) -> None:
    def answer(request: Request, n: int) -> Reply:
        return completion("no idea") if "down" in request.words else completion(json.dumps([request.words]))

    with chat_server(answer) as server:
        code, out, err = merbench("groups", *fill(server.url, "--runs", "1"))
        assert len(server.requests) == 1 + 3
    assert (code, out) == (5, "toys, 1 answer in 1 run of toy: 1 answer added to 0, 1 missing\n")
    needed = "a JSON array of arrays of the given words is needed"
    assert err == f"toys: 1 problem\n  E634  sample s1, run 0: 'no idea' is not JSON; {needed}\n"


def test_an_endpoint_that_refuses_ends_it(merbench: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_KEY", "sk-secret")
    with chat_server(lambda request, n: failure(401, "sk-secret is no key")) as server:
        code, out, err = merbench("groups", *fill(server.url, "--key-env", "TOY_KEY"))
        assert server.requests[0].headers["Authorization"] == "Bearer sk-secret"
    assert (code, out) == (2, "")
    assert err == f"{server.url}/v1/chat/completions, model toy: status 401: … is no key\n"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], "give either --endpoint or --transformers\n"),
        (["--endpoint", "http://x", "--transformers", "y"], "give --endpoint or --transformers, not both"),
        (["--endpoint", "http://x"], "--endpoint needs --model, the name of the model there"),
        (["--endpoint", "x", "--model", "m"], "'x' is not an endpoint; an address such as http://localhost:8000 is needed"),
        (["--endpoint", "http://x", "--model", "m", "--key-env", "NO_SUCH"], "--key-env: the variable NO_SUCH contains no"),
        (["--transformers", "y", "--runs", "2"], "--runs: all runs of a model on this machine are equal, since it"),
    ],
)  # fmt: skip
def test_wrong_options_are_reported(options: list[str], expected: str, merbench: Command) -> None:
    start = ["fill", "toys", "--track", "./mine", "--submission", "one.csv"]
    code, out, err = merbench("groups", *start, *options)
    assert (code, out) == (2, "")
    assert err.startswith(expected)


def test_the_target_is_chosen_among_several(tmp_path: Path, merbench: Command) -> None:
    code, _, err = merbench("groups", *fill("http://127.0.0.1:1", "--target", "discrete"))
    assert (code, err) == (2, "--target discrete: not a target of label sets; allowed: openset\n")
    (tmp_path / "mine" / "track.toml").write_text(f"{TRACK}targets.wished = {{ type = 'label_set' }}\n")
    code, _, err = merbench("groups", *fill("http://127.0.0.1:1"))
    assert (code, err) == (2, "mine: has 2 targets of label sets; give --target, one of openset, wished\n")
    (tmp_path / "mine" / "track.toml").write_text(
        TRACK.replace("label_set", "continuous")
        .replace(', empty = "allow"', ", range = [0, 1]")
        .replace("set_average", "mse")
        .replace("weight = 1.0", "weight = -1.0")
    )
    code, _, err = merbench("groups", *fill("http://127.0.0.1:1"))
    assert (code, err) == (2, "mine: has no target of label sets\n")


@pytest.mark.slow
def test_an_interrupted_command_goes_on_where_it_was(merbench: Command) -> None:
    """The process gets a real interrupt while the third answer is waited for."""
    waiting, release = threading.Event(), threading.Event()

    def answer(request: Request, n: int) -> Reply:
        if n == 2:
            waiting.set()
            release.wait(60)
        return completion(json.dumps([request.words]))

    with chat_server(answer) as server:
        options = fill(server.url, "--runs", "3", "--parallel", "1")
        process = subprocess.Popen(
            [sys.executable, "-m", "merbench", "groups", *options], stderr=subprocess.PIPE, text=True
        )
        try:
            assert waiting.wait(60)
            os.kill(process.pid, signal.SIGINT)
            _, err = process.communicate(timeout=60)
        finally:
            release.set()
            process.kill()
        assert (process.returncode, err) == (130, "interrupted\n")
        assert [len(answers) for answers in open_groups("toys").runs] == [2, 0, 0]
        code, out, _ = merbench("groups", *options)
        assert (code, out) == (0, "toys, 6 answers in 3 runs of toy: 4 answers added to 2, 0 missing\n")
        assert len(server.requests) == 3 + 4
