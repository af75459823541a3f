from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merbench.errors import UsageError
from merbench.synonyms import Groups, answer_key, representatives

WORDS = ("glad", "happy")


def groups(*runs: dict[str, tuple[tuple[str, ...], ...]], keys: str = "words", **others: object) -> Groups:
    stated = {"name": "mine", "source": "", "model": "m", "prompt_digest": "0" * 64, "decoding": "greedy"}
    return Groups(**(stated | {"keys": keys, "runs": runs, "dropped": (0,) * len(runs)} | others))


def test_a_key_is_the_digest_of_the_sorted_distinct_words() -> None:
    assert answer_key(("happy", "glad")) == hashlib.sha256(b'["glad", "happy"]').hexdigest()
    assert answer_key((" Happy", "glad", "happy", "")) == answer_key(WORDS)


@given(st.lists(st.text()))
def test_order_and_repetition_change_no_key(words: list[str]) -> None:
    assert answer_key([*words, *reversed(words)]) == answer_key(words)


def test_words_are_not_run_together_in_a_key() -> None:
    assert len({answer_key(words) for words in (("a", "b"), ("ab",), ('a", "b',), ("a,b",))}) == 4


def test_the_representative_is_the_first_word_of_the_last_group_that_holds_a_word() -> None:
    found = representatives([("a", "b"), ("c", "b"), ("d", "a")])
    assert found == {"a": "d", "b": "c", "c": "c", "d": "d"}


def test_words_of_a_sample_get_their_representative_and_others_stand_for_themselves() -> None:
    key = answer_key(("joyful", "happy", "sad"))
    stored = groups({key: (("happy", "joyful"),)}, {key: ()})
    sets = [(("joyful",), ("sad", "happy")), (("sad",), ("sad",)), ((), ())]
    assert stored.representatives(["x", "y", "z"], sets, 0) == [
        {"joyful": "happy", "sad": "sad", "happy": "happy"},
        {"sad": "sad"},
        {},
    ]
    assert stored.representatives(["x"], sets[:1], 1) == [{"joyful": "joyful", "sad": "sad", "happy": "happy"}]


def test_an_answer_is_found_by_words_whatever_the_sample_is_called_and_who_said_which() -> None:
    stored = groups({answer_key(WORDS): (WORDS,)})
    for sets in ((("happy",), ("glad",)), (("glad",), ("happy",)), ((), ("glad", "happy"))):
        assert stored.representatives(["any"], [sets], 0)[0] == {"glad": "glad", "happy": "glad"}


def test_an_answer_may_be_found_by_name() -> None:
    stored = groups({"x": (WORDS,)}, keys="names")
    assert stored.representatives(["x"], [(("happy",), ("glad",))], 0) == [{"glad": "glad", "happy": "glad"}]


MISSING = {
    "words": "`merbench groups fill mine --track TRACK --submission FILE` asks for the missing ones",
    "names": "these groups are of a release; `merbench groups fill` makes groups for other samples",
}


@pytest.mark.parametrize("keys", MISSING)
def test_missing_answers_are_counted_and_named_with_the_way_out(keys: str) -> None:
    ids = [f"s{i}" for i in range(8)]
    sets = [((f"a{i}",), (f"b{i}",)) for i in range(7)] + [(("one",), ())]
    told = "groups 'mine', run 0: no answer is stored for 7 of 8 samples: s0, s1, s2, s3, s4, … (2 more); "
    with pytest.raises(UsageError, match=f"^{re.escape(told + MISSING[keys])}$"):
        groups({}, keys=keys).representatives(ids, sets, 0)


@pytest.mark.parametrize("run", [-1, 2])
def test_a_run_that_is_not_there_is_refused(run: int) -> None:
    with pytest.raises(UsageError, match=f"^groups 'mine': there is no run {run}; the runs are 0 to 1$"):
        groups({}, {}).representatives([], [], run)


def test_the_digest_covers_what_was_answered_and_how() -> None:
    key = answer_key(WORDS)
    same = [groups({key: (WORDS,)}), groups({key: (WORDS,)}, name="other", source="elsewhere")]
    others = [
        groups({key: (WORDS[::-1],)}),
        groups({key: (WORDS,)}, {}),
        groups({key: (WORDS,)}, model="n"),
        groups({key: (WORDS,)}, decoding="temperature 1"),
        groups({key: (WORDS,)}, prompt_digest="1" * 64),
        groups({key: (WORDS,)}, keys="names"),
        groups({key: (("glad",), ("happy",))}),
    ]
    assert len({item.digest for item in same}) == 1
    assert len({item.digest for item in (*same, *others)}) == 8


def test_the_signature_stays_as_answers_are_added_by_words_and_covers_those_of_a_release() -> None:
    assert groups({}, {}).signature == groups({"k": ()}, {}).signature == "m#00000000,greedy,runs:2"
    released = groups({"x": (WORDS,)}, keys="names")
    assert released.signature == f"m#{released.digest[:8]},greedy,runs:1"
