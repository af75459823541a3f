"""An endpoint on this machine is asked about samples, and misbehaves in every way that real ones do."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from chat_server import Clock, Reply, Request, chat_server, completion, failure

from merbench.asking import AskedRun, Files, How, ask, estimate
from merbench.asking.run import factors_of
from merbench.errors import IntegrityError, UsageError
from merbench.language_models import Endpoint

Answer = Callable[[Request, int], Reply]
Made = Callable[..., Path]


def asked(folder: Path, answer: Answer, how: How | None = None, **options: Any) -> tuple[AskedRun, list[Request]]:
    """Return what a run leaves, and the requests of its server."""
    clock = Clock()
    with chat_server(answer) as server:
        endpoint = Endpoint(server.url, "toy", clock=clock.time, sleep=clock.sleep, **options)
        run = ask(folder, endpoint, how, files=Files(output=Path("out"), replace=True, intervals=False))
    return run, server.requests


def outcomes(run: AskedRun) -> list[str]:
    (own,) = run.given.values()
    return [each.outcome for each in own]


def submission(name: str = "out") -> list[str]:
    return Path(name, "submission.csv").read_text().splitlines()


def number_of(request: Request) -> int:
    """Return the number of the sample that a request is about, from its transcript."""
    return int(re.findall(r"words of (\d+)", request.text)[-1])


def test_answers_become_a_submission_in_the_order_of_samples_and_are_scored(made: Made) -> None:
    """Later samples are answered first: happy, sad and angry in turn, so that two of six are right."""

    def answer(request: Request, n: int) -> Reply:
        number = number_of(request)
        time.sleep(0.02 * (6 - number))
        return completion(
            ["happy", "sad", "angry"][number % 3], model="toy-1", usage={"prompt_tokens": 7, "completion_tokens": 2}
        )

    run, requests = asked(made(), answer, parallel=6)
    assert submission() == [
        "sample_id,emotion",
        "s0000,happy",
        "s0001,sad",
        "s0002,angry",
        "s0003,happy",
        "s0004,sad",
        "s0005,angry",
    ]
    assert run.report is not None
    assert run.report.scores[0].value == pytest.approx(2 / 6)
    assert (run.n_new, run.n_tokens, len(requests)) == (6, (42, 12), 6)
    record = json.loads(Path("out/asked.json").read_text())
    assert (record["stated_models"], record["outcomes"]) == ({"toy": {"toy-1": 6}}, {"emotion": {"read": 6}})
    rows = [json.loads(line) for line in Path("out/answers.jsonl").read_text().splitlines()]
    assert [(row["sample_id"], row["text"]) for row in rows][:2] == [("s0000", "happy"), ("s0001", "sad")]


def test_nothing_is_asked_twice(made: Made) -> None:
    folder = made()
    run, requests = asked(folder, lambda request, n: completion("happy"))
    assert (run.n_new, len(requests)) == (6, 6)
    run, requests = asked(folder, lambda request, n: failure(500, "never asked"))
    assert (run.n_new, requests, outcomes(run)) == (0, [], ["read"] * 6)
    # Another repetition, text or order of candidates is another request; another folder has no answers.
    for how in (How(repeat=1), How(paraphrase=1), How(order_seed=1), How(settings={"temperature": 0.5})):
        assert len(asked(folder, lambda request, n: completion("sad"), how)[1]) == 6
        assert asked(folder, lambda request, n: failure(500, "never"), how)[1] == []
    with chat_server(lambda request, n: completion("sad")) as server:
        ask(
            folder,
            Endpoint(server.url, "toy"),
            files=Files(answers=Path("elsewhere"), output=Path("b"), intervals=False),
        )
    assert len(server.requests) == 6


def test_equal_samples_are_asked_about_once(made: Made) -> None:
    run, requests = asked(made(texts=["the same"] * 6), lambda request, n: completion("sad"), parallel=6)
    assert (len(requests), outcomes(run)) == (1, ["read"] * 6)


def test_failures_are_not_answers_and_are_asked_again(made: Made) -> None:
    folder = made()

    def sometimes(request: Request, n: int) -> Reply:
        return failure(503, "overloaded") if number_of(request) in (2, 4) else completion("happy")

    run, requests = asked(folder, sometimes)
    assert outcomes(run) == ["read", "read", "failed", "read", "failed", "read"]
    assert (run.folder, run.report, Path("out").exists()) == (None, None, False)
    assert [problem.id for problem in run.problems] == ["s0002", "s0004"]
    assert "s0002: failed: http://" in run.problems[0].message
    assert run.problems[0].message.endswith("model toy: status 503: overloaded (6 times in a row)")
    assert len(requests) == 4 + 2 * 6
    run, requests = asked(folder, lambda request, n: completion("sad"))
    assert sorted(map(number_of, requests)) == [2, 4]
    assert submission()[3] == "s0002,sad"


@pytest.mark.parametrize(
    "reply",
    [
        Reply("<html><body>Bad gateway</body></html>"),
        Reply('{"choices": []}'),
        Reply(completion("half").body[:25]),
        Reply(""),
        failure(500, "x"),
        failure(429, "slow down"),
        failure(429, "slow down", Retry_After="0"),
    ],
)
def test_what_is_no_answer_is_never_stored(made: Made, home: Path, reply: Reply) -> None:
    run, _ = asked(made(n=2), lambda request, n: reply)
    assert (outcomes(run), run.n_new) == (["failed", "failed"], 0)
    stored = (home / "answers" / "mine" / "toy" / "answers.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in stored] == [{"schema": "merbench.answers/1"}]


def test_a_limit_of_requests_is_waited_for(made: Made) -> None:
    """A server that answers every third request: nothing fails as long as others are answered."""
    run, requests = asked(
        made(n=12), lambda request, n: completion("sad") if n % 3 == 2 else failure(429, "slow"), parallel=4
    )
    assert outcomes(run) == ["read"] * 12
    assert len(requests) == 36


def test_a_refusal_is_an_answer_and_other_texts_follow_the_policy_of_the_track(made: Made) -> None:
    texts = [
        "I'm sorry, but I can't help with that.",
        "",
        "Es tut weh, aber was genau, weiß ich nicht zu sagen, wirklich nicht.",
        "furious",
        "HAPPY.",
        None,
    ]
    folder = made(missing="dropped")
    run, requests = asked(folder, lambda request, n: completion(texts[number_of(request)]))
    assert outcomes(run) == ["refused", "empty", "unreadable", "unreadable", "read", "empty"]
    # What cannot be read is asked for three times, a refusal once.
    assert [sum(number_of(each) == i for each in requests) for i in range(6)] == [1, 3, 3, 3, 1, 3]
    assert submission() == ["sample_id,emotion", "s0004,happy"]
    assert run.report is not None
    assert run.report.scores[0].value == 1
    assert asked(folder, lambda request, n: failure(500, "never"))[1] == []


def test_a_refusal_may_be_marked_by_the_endpoint(made: Made) -> None:
    marked = [
        Reply(json.dumps({"choices": [{"message": {"content": None, "refusal": "No."}}]})),
        Reply(json.dumps({"error": {"message": "filtered", "code": "content_filter"}}), 400),
        completion("happy", finish="content_filter"),
    ]
    run, requests = asked(made(n=3), lambda request, n: marked[number_of(request)])
    assert (outcomes(run), len(requests)) == (["refused"] * 3, 3)


def test_a_track_that_needs_every_answer_gets_a_value_for_the_others(made: Made) -> None:
    folder = made(n=2)
    answer: Answer = lambda request, n: completion(["sad", "?"][number_of(request)])  # noqa: E731
    run, _ = asked(folder, answer)
    assert run.report is None
    assert run.withheld.startswith("not scored, because mine does not accept the submission: E301 ")
    run, _ = asked(folder, answer, How(unanswered={"emotion": "angry"}))
    assert submission() == ["sample_id,emotion", "s0000,sad", "s0001,angry"]
    assert run.report is not None
    with pytest.raises(UsageError, match=r"^mine has no target 'mood'; it has emotion$"):
        asked(folder, answer, How(unanswered={"mood": "angry"}))


def test_labels_outside_the_list_are_the_tracks_matter(made: Made) -> None:
    """The first of the list is none of the labels: the released reader leaves it, and the track counts it as wrong."""
    run, _ = asked(made("ranking", n=1), lambda request, n: completion("{'result': ['furious', 'happy']}"))
    assert submission() == ["sample_id,emotion", 's0000,"furious, happy"']
    assert run.report is not None
    assert run.report.scores[0].value == 0


LISTS = ["{'name': 'sample 1', 'result': ['happy', 'sad', 'angry']}"]


def lists(n: int) -> Reply:
    return completion(", ".join(LISTS * n))


def n_samples(request: Request) -> int:
    return len(re.findall(r"words of \d+", request.text))


def sizes(requests: Sequence[Request]) -> list[int]:
    return [n_samples(request) for request in requests]


def test_samples_are_asked_about_together(made: Made) -> None:
    """Of 7 samples in batches of 6, the last is alone. Lists are read by their places."""

    def answer(request: Request, n: int) -> Reply:
        numbers = [int(number) for number in re.findall(r"words of (\d+)", request.text)]
        names = ["happy" if number % 2 else "sad" for number in numbers]
        return completion("\n".join(f"{{'name': 'whatever', 'result': ['{name}']}}" for name in names))

    _, requests = asked(made("ranking", n=7), answer, How(batch=6), parallel=1)
    assert sizes(requests) == [6, 1]
    assert submission()[1:] == [f"s000{i},{'happy' if i % 2 else 'sad'}" for i in range(7)]
    # They are put together in an order that a seed decides, not in that of ids.
    numbers = re.findall(r"words of (\d)", requests[0].text)
    assert numbers != sorted(numbers)


def test_a_batch_is_tried_three_times_and_then_divided(made: Made) -> None:
    """6 = 2 * 3: two times three samples, then single ones, whose one list is accepted."""
    run, requests = asked(made("ranking"), lambda request, n: lists(1), How(batch=6), parallel=1)
    assert sizes(requests) == [6] * 3 + [3] * 3 + [1] * 3 + [3] * 3 + [1] * 3
    assert outcomes(run) == ["read"] * 6
    assert len(run.given["emotion"][0].requests) == 7
    # 8 = 2 * 2 * 2.
    _, requests = asked(made("ranking", n=8), lambda request, n: lists(1), How(batch=8, repeat=2), parallel=1)
    pair = [2] * 3 + [1] * 2
    assert sizes(requests) == [8] * 3 + ([4] * 3 + pair * 2) * 2
    # As many lists as samples: the first answer is taken.
    run, requests = asked(made("ranking"), lambda request, n: lists(n_samples(request)), How(batch=6, repeat=1))
    assert sizes(requests) == [6]


def test_a_batch_that_is_refused_is_divided_until_one_sample_refuses(made: Made) -> None:
    def answer(request: Request, n: int) -> Reply:
        return completion("I'm sorry, I can't help.") if "words of 3" in request.text else lists(n_samples(request))

    run, requests = asked(made("ranking", missing="dropped"), answer, How(batch=6), parallel=1)
    assert outcomes(run) == ["read"] * 3 + ["refused"] + ["read"] * 2
    assert sizes(requests).count(6) == 3
    assert len(submission()) == 6


@pytest.mark.parametrize(("n", "factors"), [(1, []), (6, [2, 3]), (8, [2, 2, 2]), (20, [2, 2, 5]), (7, [7])])
def test_factors_are_the_released_ones(n: int, factors: list[int]) -> None:
    assert factors_of(n) == factors


def test_a_prompt_over_the_context_is_divided_at_once_and_not_answered_alone(made: Made) -> None:
    folder = made(
        "ranking", n=4, texts=["words of 0", "words of 1", "words of 2", "words of 3 " * 120], missing="dropped"
    )
    message = "This model's maximum context length is 100 tokens. However, your messages resulted in 400 tokens."

    def answer(request: Request, n: int) -> Reply:
        if len(request.text) > 1300:
            return failure(400, message)
        return lists(n_samples(request))

    run, requests = asked(folder, answer, How(batch=4), parallel=1)
    assert outcomes(run) == ["read", "read", "read", "not answered"]
    assert [problem.message for problem in run.problems] == [f"s0003: not answered: {endpoint_of(run)}{message}"]
    assert run.report is not None
    # Of four, of two, of two, and the two single ones of the pair with the long text.
    assert len(requests) == 5
    # A batch that the endpoint would not take is not sent again; a single sample is, for the endpoint may have changed.
    again, requests = asked(folder, answer, How(batch=4), parallel=1)
    assert (outcomes(again), sizes(requests)) == (outcomes(run), [120])


def endpoint_of(run: AskedRun) -> str:
    return run.problems[0].message.partition("not answered: ")[2].partition("status 400: ")[0] + "status 400: "


def test_an_endpoint_that_refuses_everything_is_left_at_once(made: Made) -> None:
    with pytest.raises(UsageError, match=r"model toy: status 401: no such key$"):
        asked(made(), lambda request, n: failure(401, "no such key"))
    served: list[int] = []

    def answer(request: Request, n: int) -> Reply:
        served.append(n)
        return failure(422, "no pictures")

    with pytest.raises(
        UsageError, match=r"^asking ended after 20 failures in a row; the last: .*status 422: no pictures$"
    ):
        asked(made(n=500), answer, parallel=2)
    assert len(served) < 40


def test_a_model_that_changes_on_the_way_is_an_error(made: Made) -> None:
    folder = made()
    answer: Answer = lambda request, n: completion("sad", model="toy-2" if n >= 3 else "toy-1")  # noqa: E731
    with pytest.raises(
        IntegrityError, match=r"^model toy: replies state 'toy-1', and now 'toy-2'; --answers DIR asks "
    ):
        asked(folder, answer, parallel=1)
    # It is noticed between runs, too, since stored answers state their model; that of the other one was not stored.
    with pytest.raises(IntegrityError, match="'toy-1', and now 'toy-2'"):
        asked(folder, lambda request, n: completion("sad", model="toy-2"), parallel=1)
    run, requests = asked(folder, lambda request, n: completion("sad", model="toy-2"), How(mixed_models=True))
    assert (len(requests), outcomes(run)) == (3, ["read"] * 6)
    assert json.loads(Path("out/asked.json").read_text())["stated_models"] == {"toy": {"toy-1": 3, "toy-2": 3}}


def test_a_key_in_an_answer_is_written_nowhere(made: Made, tmp_path: Path) -> None:
    key = "sk-very-secret"
    answer: Answer = lambda request, n: completion(f"{key} happy", model=f"toy-{key}")  # noqa: E731
    run, requests = asked(made("words"), answer, key=key)
    assert requests[0].headers["Authorization"] == f"Bearer {key}"
    assert run.given["openset"][0].text == "… happy"
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 5
    assert not [path for path in written if key.encode() in path.read_bytes()]


HOSTILE = "\x1b[31m::error::\u202e\n=cmd()\r\n[happy', \"x]\x00\ud800 {candidates} ```"


def test_hostile_text_is_data(made: Made) -> None:
    run, _ = asked(
        made("words", n=2, texts=["{answer} {candidates} $(rm) words of 0", HOSTILE.replace("\ud800", "")]),
        lambda request, n: Reply(json.dumps({"choices": [{"message": {"content": HOSTILE}}]})),
    )
    text = Path("out/submission.csv").read_text()
    assert "\x1b" in text or "happy" in text
    assert run.report is not None
    assert "\x1b" not in run.report.to_text()
    for line in Path("out/answers.jsonl").read_text().splitlines():
        assert json.loads(line)["outcome"] in ("read", "unreadable")


def test_two_steps_and_a_second_model(made: Made) -> None:
    with chat_server(lambda request, n: completion(f"She laughs. {{candidates}} ({number_of(request)})")) as first:
        with chat_server(lambda request, n: completion("[happy, glad]")) as second:
            models = (Endpoint(first.url, "sees", parallel=1), Endpoint(second.url, "reads"))
            how = How(protocols=["open-two-steps"], settings={"temperature": 0.0})
            ask(made("words", n=2), models, how, files=Files(output=Path("out"), intervals=False))
    assert (len(first.requests), len(second.requests)) == (2, 2)
    assert "Subtitle" in first.requests[0].text
    assert "Clues: She laughs. {candidates} (0)" in second.requests[0].text
    assert "Subtitle" not in second.requests[0].text
    assert second.requests[0].content["temperature"] == 0.0
    assert submission()[1] == "s0000,\"['happy', 'glad']\""


def test_examples_come_from_the_training_split(made: Made) -> None:
    _, requests = asked(made("number"), lambda request, n: completion("2"), How(n_examples=2))
    turns = requests[0].content["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user", "assistant", "user"]
    assert all("example" in turns[place]["content"] for place in (0, 2))
    assert [turns[place]["content"] for place in (1, 3)] == ["1.5", "1.5"]
    assert submission()[1] == "s0000,2.0"
    with pytest.raises(UsageError, match=r"^5 examples are asked for; the training split has 4$"):
        asked(made("number"), lambda request, n: completion("2"), How(n_examples=5))


def test_preferences(made: Made) -> None:
    _, requests = asked(made("choice", n=2), lambda request, n: completion("I prefer a2."))
    assert "a1: <Description>one of s" in requests[0].text
    assert submission()[1:] == ["s0000,a2", "s0001,a2"]


def test_what_would_be_asked_is_counted(made: Made) -> None:
    """With a prompt of 4 k characters, k tokens. Of six samples four are stored; each answer has 200 tokens at most."""
    folder = made()
    sent: list[int] = []

    def answer(request: Request, n: int) -> Reply:
        sent.append(-(-len(request.text) // 4))
        return completion("sad")

    endpoint = Endpoint("http://localhost:1", "toy")
    before = estimate(folder, endpoint)
    asked(made(n=4), answer)
    made()
    after = estimate(folder, endpoint)
    assert (before.n_requests, before.n_stored, before.most_tokens_out) == (6, 0, 1200)
    assert (after.n_requests, after.n_stored, after.most_tokens_out) == (2, 4, 400)
    assert before.n_tokens_in - after.n_tokens_in == sum(sent)
    assert before.price(1.0, 10.0) == pytest.approx((before.n_tokens_in + 12_000) / 1e6)
    assert not Path("out2").exists()
    two = estimate(made("words", n=1), endpoint, How(protocols=["open-two-steps"]))
    assert (two.n_requests, two.most_tokens_out) == (2, 1200 + 512)
    assert two.n_tokens_in > 1200


def test_problems_before_anything_is_asked(made: Made) -> None:
    def refused(message: str, how: How | None = None, folder: Path | None = None) -> None:
        with pytest.raises(UsageError, match=message):
            asked(folder or made(), lambda request, n: completion("never"), how)

    refused(r"^no protocol named 'gre'; did you mean 'ger'\?", How(protocols=["gre"]))
    refused(
        r"^protocol 'open' fits no target; the targets can be asked by label, sentiment-three-steps$",
        How(protocols=["open"]),
    )
    refused(r"^protocol 'label' is for the same targets as another one;", How(protocols=["label", "label"]))
    refused(r"^protocol 'label' has texts 0 to 2, not 3$", How(paraphrase=3))
    refused(
        r"^corpus 'mine' has no column 'transcrpt'; it has sample_id, split, transcript; did you mean",
        How(column="transcrpt"),
    )
    refused(
        r"^protocol 'open-two-steps' asks about one sample at a time$",
        How(protocols=["open-two-steps"], batch=2),
        made("words"),
    )
    refused(r"^no such|no such folder of media$", How(media=[Path("nowhere")]))
    with pytest.raises(
        UsageError, match=r"^'texts' cannot be sent of a sample; allowed: text, frames, faces, audio, video; did"
    ):
        How(send=["texts"])
    with pytest.raises(UsageError, match=r"^frames: --media names the clips$"):
        How(send=["text", "frames"])
    Path("out").mkdir()
    Path("out/mine.txt").write_text("mine")
    refused(r"^out: is not empty and has no asked.json; only a run is replaced by a run$")


def test_requests_at_once_are_as_many_as_wanted(made: Made) -> None:
    now, most, lock = 0, 0, threading.Lock()

    def answer(request: Request, n: int) -> Reply:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.05)
        with lock:
            now -= 1
        return completion("sad")

    asked(made(n=20), answer, parallel=5)
    assert most == 5
