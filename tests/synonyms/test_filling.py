"""A model is asked only for what is missing, and its answers survive whatever ends the asking."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import merbench.synonyms.filling as filling
from merbench.errors import IntegrityError, UsageError
from merbench.synonyms import Question, answer_key, fill_groups, import_groups, open_groups
from merbench.synonyms.filling import Parsed, parse_answer, prompt, prompt_digest

QUESTIONS = [Question(f"s{i}", (f"a{i}", f"b{i}")) for i in range(6)]
KEYS = [answer_key(question.words) for question in QUESTIONS]


def together(words: list[str]) -> str:
    return json.dumps([words])


@dataclass
class Model:
    """Answers by a function of the prompt's words, and records what it was asked."""

    reply: Callable[[list[str]], str] = together
    model: str = "toy@1"
    decoding: str = "greedy"
    source: str = "a test"
    parallel: int = 1
    attempts: int = 1
    asked: list[list[str]] = field(default_factory=list)

    def answer(self, text: str) -> str:
        words = json.loads(text.splitlines()[-1])
        assert text == prompt(words)
        self.asked.append(words)
        return self.reply(words)


def test_every_sample_is_asked_about_once_per_run() -> None:
    model = Model()
    steps: list[tuple[int, int]] = []
    filled = fill_groups("mine", QUESTIONS, model, n_runs=2, progress=lambda done, total: steps.append((done, total)))
    assert model.asked == [[f"a{i}", f"b{i}"] for i in range(6)] * 2
    assert steps == [(n + 1, 12) for n in range(12)]
    assert (filled.n_there, filled.n_new, filled.n_missing, filled.n_dropped) == (0, 12, 0, 0)
    assert filled.groups == open_groups("mine")
    assert filled.groups.runs == ({key: ((f"a{i}", f"b{i}"),) for i, key in enumerate(KEYS)},) * 2
    assert (filled.groups.model, filled.groups.source) == ("toy@1", "a test")
    assert filled.groups.prompt_digest == prompt_digest()


def test_equal_sets_of_words_are_asked_about_once_and_single_words_never() -> None:
    words = [("b", "a"), ("A ", "b", "b"), ("one",), ()]
    questions = [Question(f"s{number}", each) for number, each in enumerate(words)]
    model = Model()
    assert fill_groups("mine", questions, model, n_runs=1).n_new == 1
    assert model.asked == [["a", "b"]]
    single = fill_groups("single", questions[2:], model, n_runs=1)
    assert (single.n_new, single.n_missing, len(model.asked)) == (0, 0, 1)
    assert open_groups("single").representatives(["s2", "s3"], [(("one",), ()), ((), ())], 0) == [{"one": "one"}, {}]


def test_only_missing_answers_are_asked_for() -> None:
    fill_groups("mine", QUESTIONS[:4], Model(), n_runs=1)
    model = Model()
    filled = fill_groups("mine", QUESTIONS, model, n_runs=2)
    assert (filled.n_there, filled.n_new) == (4, 8)
    assert model.asked == [[f"a{i}", f"b{i}"] for i in (4, 5, 0, 1, 2, 3, 4, 5)]
    again = Model()
    assert (fill_groups("mine", QUESTIONS, again, n_runs=2).n_new, again.asked) == (0, [])


class Interrupted(BaseException):
    """Instead of Ctrl-C, which would end the test run."""


def stopping(after: int, error: BaseException) -> Callable[[list[str]], str]:
    left = iter(range(after))

    def reply(words: list[str]) -> str:
        if next(left, None) is None:
            raise error
        return together(words)

    return reply


@pytest.mark.slow
@settings(max_examples=15)
@given(after=st.integers(0, 12), saving=st.booleans())
def test_answers_before_an_interruption_are_kept(after: int, saving: bool) -> None:
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as home:
        patch.setattr(filling, "SAVE_EVERY_S", 0.0 if saving else 1e9)
        patch.setenv("MERBENCH_HOME", home)
        if after < 12:
            with pytest.raises(Interrupted):
                fill_groups("mine", QUESTIONS, Model(stopping(after, Interrupted())), n_runs=2)
            assert sum(map(len, open_groups("mine").runs)) == after
        model = Model()
        filled = fill_groups("mine", QUESTIONS, model, n_runs=2)
        assert (filled.n_there, len(model.asked)) == (after % 12, 12 - after % 12)
        assert filled.groups.digest == fill_groups("other", QUESTIONS, Model(), n_runs=2).groups.digest


def test_answers_are_stored_while_the_model_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the process is killed, only answers since they were last stored are lost."""
    monkeypatch.setattr(filling, "SAVE_EVERY_S", 0.0)
    stored: list[int] = []

    def look(done: int, total: int) -> None:
        stored.append(len(open_groups("mine").runs[0]))

    fill_groups("mine", QUESTIONS, Model(), n_runs=1, progress=look)
    assert stored == [1, 2, 3, 4, 5, 6]


def test_a_model_gets_no_more_prompts_at_once_than_it_takes() -> None:
    free, all_free = threading.Semaphore(3), []
    three = threading.Barrier(3)

    def reply(words: list[str]) -> str:
        all_free.append(free.acquire(blocking=False))
        three.wait(30)  # three are being answered, or this fails
        free.release()
        return together(words)

    assert fill_groups("mine", QUESTIONS, Model(reply, parallel=3), n_runs=1).n_new == 6
    assert all(all_free)
    assert list(open_groups("mine").runs[0]) == sorted(KEYS)


def test_an_answer_that_cannot_be_used_is_asked_for_again() -> None:
    replies = iter(["no", '[["nothing"]]', '[["b0", "a0", "what"]]'])
    filled = fill_groups("mine", QUESTIONS[:1], Model(lambda words: next(replies), attempts=3), n_runs=1)
    assert (filled.n_new, filled.n_dropped, filled.problems) == (1, 1, ())
    assert filled.groups.runs == ({KEYS[0]: (("b0", "a0"),)},)
    assert open_groups("mine").dropped == (1,)


def test_samples_without_a_usable_answer_are_named_in_order_and_the_others_stored() -> None:
    first_came = threading.Event()

    def reply(words: list[str]) -> str:
        if words[0] == "a1":
            first_came.wait(30)  # s1 is asked about before s4, and answered after it
        elif words[0] == "a4":
            first_came.set()
        return "no" if words[0] in ("a1", "a4") else together(words)

    filled = fill_groups("mine", QUESTIONS, Model(reply, parallel=2, attempts=3), n_runs=1)
    assert (filled.n_new, filled.n_missing) == (4, 2)
    needed = "'no' is not JSON; a JSON array of arrays of the given words is needed"
    assert [(problem.id, str(problem)) for problem in filled.problems] == [
        ("s1", f"E634  sample s1, run 0: {needed}"),
        ("s4", f"E634  sample s4, run 0: {needed}"),
    ]
    assert fill_groups("mine", QUESTIONS, Model(), n_runs=1).n_new == 2


def test_a_model_that_never_gives_a_usable_answer_is_given_up() -> None:
    questions = [Question(f"s{i}", (f"a{i}", f"b{i}")) for i in range(100)]
    model = Model(lambda words: "no")
    filled = fill_groups("mine", questions, model, n_runs=1)
    assert (len(model.asked), len(filled.problems), filled.n_missing) == (20, 20, 100)


def test_groups_that_were_made_in_another_way_are_not_mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill_groups("mine", QUESTIONS[:1], Model(), n_runs=1)
    other = r"^groups 'mine' were made in another way \(model toy@1, not toy@2; decoding greedy, not temperature 1\); "
    with pytest.raises(UsageError, match=rf"{other}choose another name$"):
        fill_groups("mine", QUESTIONS, Model(model="toy@2", decoding="temperature 1"), n_runs=1)
    (tmp_path / "file").write_text('{"name": "a", "groups": "[]"}')
    import_groups("mer2024", tmp_path / "file", "released")
    with pytest.raises(UsageError, match=r"made in another way \(answers found by names, not words; model GPT-3.5"):
        fill_groups("released", QUESTIONS, Model(), n_runs=1)
    digest = prompt_digest()
    monkeypatch.setattr(filling, "prompt_digest", lambda: "f" * 64)
    with pytest.raises(UsageError, match=rf"\(prompt {digest}, not f{{64}}\)"):
        fill_groups("mine", QUESTIONS, Model(), n_runs=1)
    # A model that answered nothing does not bind the next one.
    with pytest.raises(UsageError, match=r"^gone$"):
        fill_groups("empty", QUESTIONS, Model(stopping(0, UsageError("gone"))), n_runs=3)
    assert fill_groups("empty", QUESTIONS, Model(model="toy@2"), n_runs=1).groups.model == "toy@2"


def test_runs_are_added_and_never_left_behind() -> None:
    fill_groups("mine", QUESTIONS[:1], Model(), n_runs=2)
    with pytest.raises(UsageError, match=r"^groups 'mine' have 2 runs; with 1 asked for, the others would lack new an"):
        fill_groups("mine", QUESTIONS, Model(), n_runs=1)
    with pytest.raises(UsageError, match=r"^0 runs cannot be asked for; at least 1 is needed$"):
        fill_groups("mine", QUESTIONS, Model(), n_runs=0)
    assert [len(answers) for answers in fill_groups("mine", QUESTIONS[:1], Model(), n_runs=3).groups.runs] == [1] * 3


def test_answers_that_changed_on_the_disk_are_not_filled(home: Path) -> None:
    fill_groups("mine", QUESTIONS[:1], Model(), n_runs=1)
    path = home / "mine" / "answers.parquet"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(IntegrityError, match="the file changed"):
        fill_groups("mine", QUESTIONS, Model(), n_runs=1)
    with pytest.raises(UsageError, match=r"^groups name '\.\./mine' is not valid"):
        fill_groups("../mine", QUESTIONS, Model(), n_runs=1)


def test_two_processes_keep_each_others_answers() -> None:
    """Threads instead of processes: a lock file is locked per open file."""
    halves = [QUESTIONS[:3], QUESTIONS[3:]]
    threads = [
        threading.Thread(target=fill_groups, args=("mine", half, Model()), kwargs={"n_runs": 1}) for half in halves
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(open_groups("mine").runs[0]) == sorted(KEYS)


WORDS = ("glad", "happy", "sad")


def test_the_prompt_is_a_file_of_the_package_and_ends_with_the_words() -> None:
    text = (Path(filling.__file__).parent / "prompt.txt").read_bytes()
    assert prompt_digest() == hashlib.sha256(text).hexdigest()
    words = ['say "yes"', "{words}", "快乐"]
    assert prompt(words) == text.decode().replace("{words}", '["say \\"yes\\"", "{words}", "快乐"]')
    assert json.loads(prompt(words).splitlines()[-1]) == words


@pytest.mark.parametrize(
    ("answer", "groups", "n_dropped"),
    [
        ('[["glad", "happy"], ["sad"]]', (("glad", "happy"), ("sad",)), 0),
        ('```json\n[["glad"]]\n```', (("glad",),), 0),
        ('```\n[["glad"]]\n```\n', (("glad",),), 0),
        ('[[" Glad ", "SAD"]]', (("glad", "sad"),), 0),
        ('[["joy", "glad"], ["joy"], []]', (("glad",),), 2),
        ('[["glad"], ["glad", "sad"]]', (("glad",), ("glad", "sad")), 0),
    ],
)
def test_groups_are_parsed(answer: str, groups: tuple[tuple[str, ...], ...], n_dropped: int) -> None:
    assert parse_answer(answer, WORDS) == Parsed(groups, n_dropped)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "'' is not JSON"),
        ("[['glad']]", "'[['glad']]' is not JSON"),
        ('["glad"]', """'["glad"]' has another form"""),
        ('{"glad": ["sad"]}', """'{"glad": ["sad"]}' has another form"""),
        ('[["glad", 1]]', """'[["glad", 1]]' has another form"""),
        ('[["joy"]]', """'[["joy"]]' has none of the words"""),
        ("[" * 100_000, f"'{'[' * 59}…' is not JSON"),
    ],
)
def test_an_answer_that_cannot_be_used_is_explained(answer: str, reason: str) -> None:
    assert parse_answer(answer, WORDS) == f"{reason}; a JSON array of arrays of the given words is needed"
