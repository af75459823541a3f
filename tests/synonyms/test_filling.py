from __future__ import annotations

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
from merbench.synonyms.filling import prompt, prompt_digest

QUESTIONS = [Question(f"s{i}", (f"a{i}", f"b{i}")) for i in range(6)]
KEYS = [answer_key(question.words) for question in QUESTIONS]


def together(words: list[str]) -> str:
    return str([words]).replace("'", '"')


@dataclass
class Model:
    """Answers by a function of the prompt's words, and counts what it was asked."""

    reply: Callable[[list[str]], str] = together
    model: str = "toy@1"
    decoding: str = "greedy"
    source: str = "a test"
    parallel: int = 1
    attempts: int = 1
    asked: list[list[str]] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)

    def answer(self, prompt: str) -> str:
        self.prompts.append(prompt)
        words = json.loads(prompt.splitlines()[-1])
        self.asked.append(words)
        return self.reply(words)


def test_every_sample_is_asked_about_once_a_run(home: Path) -> None:
    model = Model()
    told: list[tuple[int, int]] = []
    filled = fill_groups("mine", QUESTIONS, model, n_runs=2, progress=lambda done, total: told.append((done, total)))
    assert model.asked == [[f"a{i}", f"b{i}"] for i in range(6)] * 2
    assert told == [(n + 1, 12) for n in range(12)]
    assert (filled.n_there, filled.n_new, filled.n_missing, filled.n_dropped) == (0, 12, 0, 0)
    assert filled.groups == open_groups("mine")
    assert filled.groups.runs == ({key: ((f"a{i}", f"b{i}"),) for i, key in enumerate(KEYS)},) * 2
    assert (filled.groups.model, filled.groups.source) == ("toy@1", "a test")
    assert filled.groups.prompt_digest == prompt_digest()
    stands_for = filled.groups.representatives(["s3"], [(("b3",), ("a3",))], 1)
    assert stands_for == [{"b3": "a3", "a3": "a3"}]


def test_equal_sets_of_words_are_asked_about_once_and_single_words_never() -> None:
    questions = [
        Question("x", ("b", "a")),
        Question("y", ("A ", "b", "b")),
        Question("z", ("one",)),
        Question("none", ()),
    ]
    model = Model()
    assert fill_groups("mine", questions, model, n_runs=1).n_new == 1
    assert model.asked == [["a", "b"]]
    alone = fill_groups("alone", questions[2:], model, n_runs=1)
    assert (alone.n_new, alone.n_missing, len(model.asked)) == (0, 0, 1)
    assert open_groups("alone").representatives(["z", "none"], [(("one",), ()), ((), ())], 0) == [{"one": "one"}, {}]


def test_only_missing_answers_are_asked_for() -> None:
    fill_groups("mine", QUESTIONS[:4], Model(), n_runs=1)
    model = Model()
    filled = fill_groups("mine", QUESTIONS, model, n_runs=2)
    assert (filled.n_there, filled.n_new) == (4, 8)
    assert sorted(model.asked) == sorted([[f"a{i}", f"b{i}"] for i in (4, 5)] + [[f"a{i}", f"b{i}"] for i in range(6)])
    again = Model()
    assert fill_groups("mine", QUESTIONS, again, n_runs=2).n_new == 0
    assert again.asked == []


class Interrupted(BaseException):
    """Stands for Ctrl-C, which would end the test run."""


def stopping(after: int, error: BaseException) -> Callable[[list[str]], str]:
    left = iter(range(after))

    def reply(words: list[str]) -> str:
        if next(left, None) is None:
            raise error
        return together(words)

    return reply


@settings(max_examples=15)
@given(after=st.integers(0, 12), saving=st.booleans())
def test_what_was_answered_before_an_interruption_is_kept(after: int, saving: bool) -> None:
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
        whole = fill_groups("whole", QUESTIONS, Model(), n_runs=2).groups
        assert filled.groups.digest == whole.digest


def test_answers_are_stored_while_the_model_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is lost when the process is killed is what came since the last storing, at most."""
    monkeypatch.setattr(filling, "SAVE_EVERY_S", 0.0)
    stored: list[int] = []

    def look(done: int, total: int) -> None:
        stored.append(len(open_groups("mine").runs[0]))

    fill_groups("mine", QUESTIONS, Model(), n_runs=1, progress=look)
    assert stored == [1, 2, 3, 4, 5, 6]


def test_a_model_gets_no_more_prompts_at_once_than_it_takes() -> None:
    there, most = threading.Semaphore(3), []
    all_in = threading.Barrier(3)

    def reply(words: list[str]) -> str:
        most.append(there.acquire(blocking=False))
        all_in.wait(30)  # three are under way, or this fails
        there.release()
        return together(words)

    assert fill_groups("mine", QUESTIONS, Model(reply, parallel=3), n_runs=1).n_new == 6
    assert all(most)
    assert list(open_groups("mine").runs[0]) == sorted(KEYS)


def test_an_answer_that_cannot_be_used_is_asked_for_again() -> None:
    replies = iter(["no", '[["nothing"]]', '[["b0", "a0", "what"]]'])
    filled = fill_groups("mine", QUESTIONS[:1], Model(lambda words: next(replies), attempts=3), n_runs=1)
    assert (filled.n_new, filled.n_dropped, filled.problems) == (1, 1, ())
    assert filled.groups.runs == ({KEYS[0]: (("b0", "a0"),)},)
    assert open_groups("mine").dropped == (1,)


def test_samples_without_a_usable_answer_are_named_and_the_others_stored() -> None:
    def reply(words: list[str]) -> str:
        return "no" if words[0] in ("a1", "a4") else together(words)

    model = Model(reply, attempts=3)
    filled = fill_groups("mine", QUESTIONS, model, n_runs=1)
    assert (filled.n_new, filled.n_missing, len(model.asked)) == (4, 2, 4 + 2 * 3)
    needed = "'no' is not JSON; a JSON array of arrays of the given words is needed"
    assert [(problem.id, str(problem)) for problem in filled.problems] == [
        ("s1", f"E634  sample s1, run 0: {needed}"),
        ("s4", f"E634  sample s4, run 0: {needed}"),
    ]
    assert fill_groups("mine", QUESTIONS, Model(), n_runs=1).n_new == 2


def test_problems_are_told_by_sample_and_run_however_they_come() -> None:
    first_came = threading.Event()

    def reply(words: list[str]) -> str:
        if words[0] == "a0":
            first_came.wait(30)  # s0 is asked about first and answered last
        elif words[0] == "a5":
            first_came.set()
        return "no"

    filled = fill_groups("mine", QUESTIONS, Model(reply, parallel=2), n_runs=2)
    told = [str(problem).split(":")[0] for problem in filled.problems]
    assert told == [f"E634  sample s{i}, run {run}" for i in range(6) for run in range(2)]


def test_a_model_that_never_gives_a_usable_answer_is_asked_no_more() -> None:
    questions = [Question(f"s{i}", (f"a{i}", f"b{i}")) for i in range(100)]
    model = Model(lambda words: "no")
    filled = fill_groups("mine", questions, model, n_runs=1)
    assert (len(model.asked), len(filled.problems), filled.n_missing) == (20, 20, 100)


def test_groups_that_were_made_in_another_way_are_not_mixed() -> None:
    fill_groups("mine", QUESTIONS[:1], Model(), n_runs=1)
    told = (
        r"^groups 'mine' were made in another way \(model toy@1, not toy@2; decoding greedy, not temperature 1\); "
        r"choose another name$"
    )
    with pytest.raises(UsageError, match=told):
        fill_groups("mine", QUESTIONS, Model(model="toy@2", decoding="temperature 1"), n_runs=1)


def test_a_changed_prompt_is_another_way(monkeypatch: pytest.MonkeyPatch) -> None:
    fill_groups("mine", QUESTIONS[:1], Model(), n_runs=1)
    monkeypatch.setattr(filling, "prompt_digest", lambda: "f" * 64)
    with pytest.raises(UsageError, match=rf"\(prompt {prompt_digest()}, not f{{64}}\)"):
        fill_groups("mine", QUESTIONS, Model(), n_runs=1)


def test_groups_of_a_release_are_not_filled(tmp_path: Path) -> None:
    (tmp_path / "file").write_text('{"name": "a", "groups": "[]"}')
    import_groups("mer2024", tmp_path / "file", "mine")
    with pytest.raises(UsageError, match=r"made in another way \(answers found by names, not words; model GPT-3.5"):
        fill_groups("mine", QUESTIONS, Model(), n_runs=1)


def test_runs_are_added_and_never_left_behind() -> None:
    fill_groups("mine", QUESTIONS[:1], Model(), n_runs=2)
    told = r"^groups 'mine' have 2 runs; with 1 asked for, the others would lack new answers$"
    with pytest.raises(UsageError, match=told):
        fill_groups("mine", QUESTIONS, Model(), n_runs=1)
    with pytest.raises(UsageError, match=r"^0 runs cannot be asked for; at least 1 is needed$"):
        fill_groups("mine", QUESTIONS, Model(), n_runs=0)
    assert [len(answers) for answers in fill_groups("mine", QUESTIONS[:1], Model(), n_runs=3).groups.runs] == [1] * 3


def test_a_model_that_answered_nothing_binds_nobody() -> None:
    with pytest.raises(UsageError, match=r"^gone$"):
        fill_groups("mine", QUESTIONS, Model(stopping(0, UsageError("gone"))), n_runs=3)
    assert fill_groups("mine", QUESTIONS, Model(model="toy@2"), n_runs=1).groups.model == "toy@2"


def test_answers_that_changed_on_the_disk_are_not_filled_up(home: Path) -> None:
    fill_groups("mine", QUESTIONS[:1], Model(), n_runs=1)
    path = home / "groups" / "mine" / "answers.parquet"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(IntegrityError, match="the file changed"):
        fill_groups("mine", QUESTIONS, Model(), n_runs=1)
    with pytest.raises(UsageError, match=r"^groups name '../mine' is not valid"):
        fill_groups("../mine", QUESTIONS, Model(), n_runs=1)


def test_two_processes_lose_none_of_the_others_answers() -> None:
    """Threads stand for processes: a lock file is held per open file."""
    halves = [QUESTIONS[:3], QUESTIONS[3:]]
    threads = [
        threading.Thread(target=fill_groups, args=("mine", half, Model()), kwargs={"n_runs": 1}) for half in halves
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(open_groups("mine").runs[0]) == sorted(KEYS)


def test_the_prompt_of_a_sample_holds_its_sorted_words() -> None:
    model = Model()
    fill_groups("mine", [Question("x", ("sad", "Glad"))], model, n_runs=1)
    assert model.prompts == [prompt(("glad", "sad"))]
