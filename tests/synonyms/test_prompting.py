from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import merbench.synonyms
from merbench.synonyms.filling import Parsed, parse_answer, prompt, prompt_digest

WORDS = ("glad", "happy", "sad")
NEEDED = "a JSON array of arrays of the given words is needed"


def test_the_prompt_is_a_file_of_the_package_and_ends_with_the_words() -> None:
    text = (Path(merbench.synonyms.__file__).parent / "prompt.txt").read_bytes()
    assert prompt_digest() == hashlib.sha256(text).hexdigest()
    asked = prompt(['say "yes"', "{words}", "快乐"])
    assert asked == text.decode().replace("{words}", '["say \\"yes\\"", "{words}", "快乐"]')
    assert json.loads(asked.splitlines()[-1]) == ['say "yes"', "{words}", "快乐"]


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
def test_groups_are_read(answer: str, groups: tuple[tuple[str, ...], ...], n_dropped: int) -> None:
    assert parse_answer(answer, WORDS) == Parsed(groups, n_dropped)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("", "'' is not JSON"),
        ('Sure! [["glad"]]', """'Sure! [["glad"]]' is not JSON"""),
        ("[['glad']]", "'[['glad']]' is not JSON"),
        ('[["glad"]', """'[["glad"]' is not JSON"""),
        ('["glad"]', """'["glad"]' has another form"""),
        ('{"glad": ["sad"]}', """'{"glad": ["sad"]}' has another form"""),
        ('[["glad", 1]]', """'[["glad", 1]]' has another form"""),
        ("null", "'null' has another form"),
        ("[]", "'[]' has none of the words"),
        ('[["joy"]]', """'[["joy"]]' has none of the words"""),
        ("[" * 100_000, f"'{'[' * 59}…' is not JSON"),
    ],
)
def test_an_answer_that_cannot_be_used_is_told(answer: str, told: str) -> None:
    assert parse_answer(answer, WORDS) == f"{told}; {NEEDED}"


@given(st.lists(st.lists(st.sampled_from([*WORDS, "joy", ""])), max_size=6))
def test_words_are_kept_or_counted(groups: list[list[str]]) -> None:
    parsed = parse_answer(json.dumps(groups), WORDS)
    if isinstance(parsed, Parsed):
        assert sum(map(len, parsed.groups)) + parsed.n_dropped == sum(map(len, groups))
        assert {word for group in parsed.groups for word in group} <= set(WORDS)
    else:
        assert not {word for group in groups for word in group} & set(WORDS)
