"""Requests, word by word, and the digest that they are found by."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from merbench.asking.media import ClipPart, evenly
from merbench.asking.requests import Message, Prompt, Request, Sample, in_order, text_tokens
from merbench.asking.template import (
    filled,
    load_template,
    protocol_names,
    templates_folder,
    templates_of,
)
from merbench.errors import DeclarationError, UsageError
from merbench.targets import Target, declared_target

LABELS = declared_target({"type": "categorical", "labels": ["happy", "sad", "angry"]})
RANKED = declared_target({"type": "ranked", "labels": ["positive", "neutral", "negative"]})
NUMBER = declared_target({"type": "continuous", "range": [-3.0, 3.0]})
WORDS = declared_target({"type": "label_set"})
CHOICE = declared_target({"type": "preference"})
SHARES = declared_target({"type": "distribution", "labels": ["happy", "sad"]})
TEXT = declared_target({"type": "text", "lexicon": "english"})

CLIP = Path("clip.mp4")


def part(kind: str = "frames", n: int = 3) -> ClipPart:
    return ClipPart(kind, CLIP, "abc", n, 512)  # type: ignore[arg-type]


def prompt(target: Target, name: str | None = None, **options: object) -> Prompt:
    template = templates_of({"valence": target}, [name] if name else [])["valence"]
    return Prompt("valence", target, template, **options)  # type: ignore[arg-type]


def contents(of: Prompt, *samples: Sample, step: int = 0, answer: str = "") -> list[object]:
    (message,) = of.messages(of.steps[step], samples, answer)
    return list(message.content)


def test_a_request_about_one_sample_of_text() -> None:
    assert contents(prompt(LABELS), Sample("the id", "well {candidates}")) == [
        "What is said in the video: <Subtitle>well {candidates}</Subtitle>\n"
        "Choose the one label that best describes the emotion of the person in the sample. Candidates: happy, sad, "
        "angry.\nAnswer with the label only."
    ]


def test_a_request_about_two_samples_with_frames_and_text() -> None:
    samples = [Sample("a", "one", (part(),)), Sample("b", "two", (part(n=1), part("audio")))]
    content = contents(prompt(RANKED), *samples)
    assert content[1] == samples[0].clip[0]
    assert content[:1] == [
        "Sample 1:\nThe next 3 pictures are frames of the video, at equal distances, in the order of time."
    ]
    assert content[2:] == [
        "What is said in the video: <Subtitle>one</Subtitle>\nSample 2:\nThe next picture shows the person.",
        samples[1].clip[0],
        "The next part is the sound of the video.",
        samples[1].clip[1],
        "What is said in the video: <Subtitle>two</Subtitle>\n"
        "You are an expert in recognising how people feel. Who the person is does not matter: do not try to recognise them, "
        "and judge only what is expressed. Sort the candidates for the sentiment of each of the 2 samples from the most to "
        "the least likely. Candidates: positive, neutral, negative.\n"
        "Answer for all 2 samples in their order, in this form and with nothing else: {'name': 'sample 1', 'result': "
        "['most likely', …, 'least likely']}, {'name': 'sample 2', 'result': […]}, …",
    ]


def test_other_kinds_of_target() -> None:
    sample = Sample("x", "hm", pair=("first {a2}", "second"))
    assert "by a number between -3 and 3, where -3 is the lowest value and 3 the highest.\nAnswer with" in str(
        contents(prompt(NUMBER), sample)[0]
    )
    text = str(contents(prompt(CHOICE), sample)[0])
    assert text.index("a1: <Description>first {a2}</Description>\na2: <Description>second</Description>") > 0
    assert "labels: happy, sad." in str(contents(prompt(SHARES), sample)[0])
    assert "explain by which signs" in str(contents(prompt(TEXT), sample)[0])
    two = prompt(WORDS, "open-two-steps")
    assert "Subtitle" in str(contents(two, sample)[0])
    assert str(contents(two, sample, step=1, answer="She {candidates}")[0]).endswith(
        "\nClues: She {candidates}\nAnswer with the list only."
    )
    # Where the two descriptions are shown in the other order, each keeps its name.
    swapped = {
        str(contents(prompt(CHOICE, order_seed=seed), sample)[0]).index("a2: <")
        < str(contents(prompt(CHOICE, order_seed=seed), sample)[0]).index("a1: <")
        for seed in range(8)
    }
    assert swapped == {True, False}


def test_every_protocol_has_three_texts_with_the_same_places() -> None:
    for template in map(load_template, protocol_names()):
        for step in template.protocol.steps:
            assert len(step.texts) == 3
            kinds = [
                {name for name in ("candidates", "low", "high", "pair", "answer", "samples") if f"{{{name}}}" in text}
                for text in step.texts
            ]
            assert kinds[0] == kinds[1] == kinds[2], template.name
        assert template.protocol.source
    assert len(protocol_names()) == len(list(templates_folder().glob("*.toml"))) - 1


def test_candidates_are_permuted_by_a_digest() -> None:
    """Sorted by the SHA-256 of the seed and the label, which is the same everywhere."""
    labels = ["happy", "sad", "angry", "neutral"]
    digests = {hashlib.sha256(f"7 {label}".encode()).hexdigest(): label for label in labels}
    expected = [digests[key] for key in sorted(digests)]
    assert in_order(labels, 7) == expected
    assert in_order(labels, None) == labels
    assert len({tuple(in_order(labels, seed)) for seed in range(100)}) == 24


def test_frames_are_the_first_of_equal_parts() -> None:
    """Of 9, with parts of 3: 0, 3, 6 (Lian et al. 2024); 11 is cut to 9; of fewer than wanted all are sent."""
    assert evenly(9, 3) == evenly(11, 3) == [0, 3, 6]
    assert evenly(100, 8) == [0, 12, 24, 36, 48, 60, 72, 84]
    assert (evenly(2, 8), evenly(8, 8), evenly(0, 3)) == ([0, 1], list(range(8)), [])


def request(**changes: object) -> Request:
    given = {"model": "toy", "messages": (Message("user", (part(), "hello")),), "settings": {"b": 1, "a": 2.5}}
    return Request(**{**given, **changes})  # type: ignore[arg-type]


def test_the_key_of_a_request_is_the_digest_of_its_canonical_json() -> None:
    text = (
        '{"attempt":0,"messages":[["user",{"clip":"abc","longest_side":512,"n":3,"type":"frames"},"hello"]],'
        '"model":"toy","repeat":0,"settings":{"a":2.5,"b":1}}'
    )
    assert request().canonical == text
    assert request().key == hashlib.sha256(text.encode()).hexdigest()
    assert request(settings={"a": 2.5, "b": 1}).key == request().key
    others = [
        request(model="other"),
        request(repeat=1),
        request(attempt=1),
        request(settings={}),
        request(messages=(Message("user", ("hello", part())),)),
        request(messages=(Message("user", (part(n=4), "hello")),)),
        request(messages=(Message("user", (part("faces"), "hello")),)),
    ]
    assert len({each.key for each in [request(), *others]}) == 8


def test_what_is_sent() -> None:
    wire = {"type": "image_url", "image_url": {"url": "data:…"}}
    body = request().body(lambda own: [wire] * own.n)
    assert body == {
        "messages": [{"role": "user", "content": [wire, wire, wire, {"type": "text", "text": "hello"}]}],
        "a": 2.5,
        "b": 1,
    }
    alone = request(messages=(Message("user", ("hello",)),)).body(lambda own: [])
    assert alone["messages"] == [{"role": "user", "content": "hello"}]


def test_tokens_are_estimated() -> None:
    """Four letters are a token, a Chinese character is one; a picture of 512 pixels has 85 + 170, of 1,024 has 85 + 4 * 170."""
    assert [text_tokens(text) for text in ("", "abcd", "abcde", "我很高兴", "да, хорошо")] == [0, 1, 2, 4, 3]
    assert part(n=2).n_tokens == 2 * 255
    assert ClipPart("faces", CLIP, "x", 1, 1024).n_tokens == 85 + 680
    assert request().n_tokens == 3 * 255 + 2


def test_places_are_filled_once() -> None:
    values = {"text": "{candidates}", "candidates": "a, b"}
    assert filled("{text} {candidates} {unknown} {'x': {y}}", values) == "{candidates} a, b {unknown} {'x': {y}}"


PROTOCOL = """
title = "Mine"
answers = "label"
[[steps]]
texts = ["Which of {candidates}?"]
"""


def test_a_protocol_of_ones_own(tmp_path: Path, made: Callable[..., Path]) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(PROTOCOL)
    assert contents(prompt(LABELS, str(path)), Sample("x", None)) == ["Which of happy, sad, angry?"]
    path.write_text(
        PROTOCOL.replace("{candidates}", "{candidate}") + 'sees = 3\nform_of_severl = ""\nsettings = { model = "x" }\n'
    )
    with pytest.raises(DeclarationError) as error:
        load_template(str(path))
    text = str(error.value)
    assert "'{candidate}' is not known; allowed: candidates, what, " in text
    assert "did you mean 'candidates'?" in text
    assert "steps[0].sees: 3 is not true or false" in text
    assert (
        "form_of_severl: is not a known key; allowed: texts, sees, form, form_of_several, settings; did you mean"
        in text
    )
    assert "model: is set by merbench" in text
    with pytest.raises(UsageError, match=r"^a language model cannot be asked for x \(scores\)$"):
        templates_of({"x": declared_target({"type": "scores", "positive": "fake", "negative": "real"})})
