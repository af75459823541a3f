"""What the text of a language model's answer says, as cells of a submission.

Conventions:
    Which rule reads an answer depends on the `answer_form` of the target. `released` is how the released evaluations
    read: rankings after GPT-4V with Emotion (arXiv:2312.04293), words after AffectGPT (MERTools), choices after the
    baseline of MER 2026; no released rule is known for the other forms. `released=False` first takes out what models
    put around an answer (reasoning, a code fence, Chinese punctuation), and reads nothing that is cut off or doubtful.
    A text is never an error: what contains no value has an outcome that names why. A refusal, an empty text or prose
    may have cells all the same, where the released rule gives them a value. Whatever an answer contains, a submission
    can hold its cells, and the target reads them; only labels that are not declared are left to the track's rule.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from merbench.errors import in_a_line
from merbench.targets import Target
from merbench.targets.label_set import MOST_LABELS, is_number
from merbench.targets.preference import CHOICES

Outcome = Literal["read", "empty", "refused", "unreadable"]
Cells = tuple[str | float, ...]

MOST_CHARACTERS = 200_000
"""The longest answer that is read."""

LONGEST_LABEL = 60
"""An answer of more characters is not a label."""

DECIMALS = 6
"""Shares are rounded to so many decimals."""


class Answer(NamedTuple):
    """What an answer says about one sample."""

    cells: Cells | None  # one per column of the target, as `Target.example` has them; None where it contains no value
    outcome: Outcome


def read_answer(target: Target, text: str, *, released: bool = True) -> Answer:
    """Return what an answer about one sample says.

    Args:
        target: what was asked for; its `answer_form` is not empty.
        text: the answer.
        released: whether it is read as the released evaluations do; see the module's conventions.
    """
    if len(text) > MOST_CHARACTERS:
        return Answer(None, "unreadable")
    return _read(target, _content(text, released), released)


def read_answers(
    target: Target, text: str, names: Sequence[str], *, released: bool = True
) -> tuple[Answer, ...] | None:
    """Return what an answer about several samples says, in their order; None if it has to be asked for again.

    It must contain one list in brackets per sample. As released, the first list is that of the first sample, whatever
    names the model wrote. With `released=False`, lists whose names are those of the samples follow the names.

    Args:
        target: what was asked for.
        text: the answer.
        names: what the prompt called the samples.
        released: whether it is read as the released evaluations do; see the module's conventions.
    """
    if len(names) == 1:
        return (read_answer(target, text, released=released),)
    if len(text) > MOST_CHARACTERS or target.answer_form in ("description", "shares"):
        return None
    content = _content(text, released)
    lists = list(_LIST.finditer(content))
    if len(lists) != len(names):
        return None
    order = range(len(names)) if released else _order(content, lists, names)
    return None if order is None else tuple(_read(target, lists[place][0], released) for place in order)


_LIST = re.compile(r"\[([^\[\]]*)\]")
_PREFIX = re.compile(r"\s*(?:input|output|输入|输出|翻译)\s*[:\uff1a]?", re.IGNORECASE)
_FENCE = re.compile(r"```[^\n`]*\n([^`]*)```")
_UNSIGNED = r"(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?"
_LONE_NUMBER = re.compile(rf"(?<![\w.+-])(minus |negative )?([+-]? ?{_UNSIGNED})(?![\w%]|\.\d)", re.IGNORECASE)
_NEGATED = re.compile(r"\b(?:not|no|never|neither|nor)\b|n['\u2019]t\b", re.IGNORECASE)
_CLAUSE_END = re.compile(r"[\n.;:!?,()]| - ")
_AROUND = " \t\n'\"`*.!\u3002"
# The marks , ; : [ ] ( ) of full width, the Chinese comma, stop, brackets and quotes, the minus sign, the en dash.
_CHINESE = str.maketrans(
    "\uff0c\uff1b\uff1a\uff3b\uff3d\uff08\uff09\u3001\u3002\u3010\u3011\u2018\u2019\u201c\u201d\u300c\u300d\u2212\u2013",
    ',;:[](),.[]\'\'""""--',
)
_OPENING = 100  # a refusal is among so many first characters
_NOT_WRITTEN = str.maketrans("", "", "[]\\")
_REFUSAL = re.compile(
    r"\bi(?:['\u2019]m| am) (?:sorry|unable|not able)|\bi (?:cannot|can['\u2019]t|won['\u2019]t|will not)\b"
    r"|\bi apologi[sz]e|\bas an ai\b|\b(?:unable|not able|cannot) (?:to )?(?:assist|help|identify|provide)"
    r"|抱歉|对不起|无法|不能",
    re.IGNORECASE,
)


def _content(text: str, released: bool) -> str:
    """Return a text without what no file contains (half a surrogate pair, NUL).

    Unless it is read as released, what models put around their answers is left out, and punctuation becomes ASCII.
    """
    writable = text.encode("utf-8", "replace").decode().replace("\0", " ")
    if released:
        return writable
    answer = writable.rpartition("</think>")[2]
    fenced = _FENCE.findall(answer)
    return (fenced[-1] if fenced else answer).translate(_CHINESE)


def _unprefixed(text: str) -> str:
    """Return a text without a leading Input, Output, 输入, 输出 or 翻译 and one colon, on one line."""
    return _PREFIX.sub("", text, count=1).replace("\n", "") if _PREFIX.match(text) else text.replace("\n", "")


def _read(target: Target, text: str, released: bool) -> Answer:
    if not text.strip():
        is_set = released and target.answer_form == "words" and getattr(target, "empty", "") == "allow"
        return Answer(("[]",) if is_set else None, "empty")
    cells = _READERS[target.answer_form](target, text, released)
    if (cells is None or _takes_prose(target, text)) and "[" not in text and _REFUSAL.search(text[:_OPENING]):
        return Answer(cells, "refused")
    if cells is None:
        return Answer(None, "unreadable" if text.strip("[] \n") else "empty")
    return Answer(cells, "read")


def _takes_prose(target: Target, text: str) -> bool:
    """Return whether the released rule finds cells in a text that answers nothing."""
    if getattr(target, "other_label", None) is not None:
        return True
    if target.answer_form == "choice":
        return not any(choice in text.lower() for choice in CHOICES)
    return target.answer_form in ("words", "description")


def _order(text: str, found: Sequence[re.Match[str]], names: Sequence[str]) -> Sequence[int] | None:
    """Return which list is that of each sample, by the names before the lists; None if they are not the samples'."""
    starts = [0, *(match.end() for match in found)]
    before = [text[start : match.start()] for start, match in zip(starts, found, strict=False)]
    naming = [[sample for sample, name in enumerate(names) if _named(name).search(part)] for part in before]
    if not any(naming):
        return range(len(names))
    samples = [own[0] for own in naming if len(own) == 1]
    return [samples.index(sample) for sample in range(len(names))] if sorted(samples) == [*range(len(names))] else None


@lru_cache(maxsize=1024)
def _named(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")


def _ranking(target: Any, text: str, released: bool) -> Cells | None:
    """Return the labels between the only brackets of a text."""
    lists = _LIST.findall(text)
    if len(lists) != 1:
        return None
    items = [in_a_line(re.sub(r"['\"]", "", item)) for item in lists[0].split(",")]
    labels = [item for item in items if item]
    if not released:
        known = _labels(target)
        labels = [label for label in dict.fromkeys(labels) if label.casefold() in known]
    if not labels or (target.out_of_vocabulary == "error" and labels[0].casefold() not in _labels(target)):
        return None
    return (", ".join(labels),)


def _label(target: Any, text: str, released: bool) -> Cells | None:
    """Return the label that a text is, that its first clause is, or the only one in it.

    A short text without any of them is a label outside the vocabulary, where the track says what that is.
    """
    known = _labels(target)
    plain = in_a_line(_unprefixed(text)).strip("[]").strip(_AROUND)
    first_line = _unprefixed(text.strip().splitlines()[0])
    for part in (plain, _CLAUSE_END.split(first_line, maxsplit=1)[0]):
        label = known.get(part.strip(_AROUND).casefold())
        if label is not None:
            return (label,)
    named = {known[match.casefold()] for match in _words_of(tuple(known)).findall(plain)}
    if len(named) == 1 and not _NEGATED.search(plain):
        return (named.pop(),)
    if released and target.other_label is not None:
        return (target.other_label,)
    if not named and plain and len(plain) <= LONGEST_LABEL and target.out_of_vocabulary != "error":
        return (plain,)
    return None


def _words(target: Any, text: str, released: bool) -> Cells | None:
    """Return the words of a list, cut at quotes and commas after one pair of brackets is taken off."""
    content = _unprefixed(text).strip() if released else _only_list(text)
    if content is None:
        return None
    content = content.removeprefix("[").removesuffix("]")
    words = [in_a_line(part.translate(_NOT_WRITTEN)).lower() for part in re.split(r"['\",]", content)]
    words = [word for word in words if word and not is_number(word)]
    if not released:
        words = list(dict.fromkeys(words))
    if len(words) > MOST_LABELS or (not words and (target.empty == "error" or content.strip())):
        return None
    return ("[" + ", ".join(f"'{word}'" for word in words) + "]",)


def _only_list(text: str) -> str | None:
    """Return the only list of a text, or the text itself if it is a few words between commas; else None."""
    lists = _LIST.findall(text)
    if lists:
        return lists[0] if len(set(lists)) == 1 else None
    plain = re.sub(",? and ", ", ", in_a_line(_unprefixed(text)).strip(_AROUND))
    is_bare = "[" not in plain and all(0 < len(part.split()) <= 3 for part in plain.split(","))
    return plain if is_bare and not _REFUSAL.search(plain) else None


def _number(target: Any, text: str, released: bool) -> Cells | None:
    """Return the only number of a text, if it is in the target's range."""
    found = _LONE_NUMBER.findall(text.translate(_CHINESE))
    numbers = {float(digits.replace(" ", "")) * (-1 if sign else 1) for sign, digits in found}
    if len(numbers) != 1:
        return None
    number = numbers.pop()
    low, high = target.range or (-math.inf, math.inf)
    return (number,) if math.isfinite(number) and low <= number <= high else None


def _shares(target: Any, text: str, released: bool) -> Cells | None:
    """Return the number after each label, divided by their sum; a label that is not named has none."""
    shares: dict[str, float] = {}
    known = {label.casefold(): label for label in target.labels}
    for match in _numbered(tuple(known)).finditer(in_a_line(text).translate(_CHINESE)):
        label = known[match[1].casefold()]
        if label in shares:
            return None
        shares[label] = float(match[2])
    total = sum(shares.values())
    if not 0 < total < math.inf or min(shares.values()) < 0:
        return None
    return tuple(round(shares.get(label, 0.0) / total, DECIMALS) for label in target.labels)


def _choice(target: Any, text: str, released: bool) -> Cells | None:
    """Return the earliest of a1, a2 and same; without any of them `same` as released, else nothing."""
    lowered = text.lower()
    places = {choice: place for choice in CHOICES if (place := lowered.find(choice)) >= 0}
    if not places and not released:
        return None
    return (min(places, key=lambda choice: places[choice], default=CHOICES[-1]),)


def _description(target: Any, text: str, released: bool) -> Cells | None:
    return (in_a_line(text),)


_READERS: dict[str, Callable[[Any, str, bool], Cells | None]] = {
    "ranking": _ranking,
    "label": _label,
    "words": _words,
    "number": _number,
    "shares": _shares,
    "choice": _choice,
    "description": _description,
}


def _labels(target: Any) -> dict[str, str]:
    """Return what an answer may write for each label, without case -> the label."""
    return _spellings(tuple(target.labels), tuple(target.aliases.items()))


@lru_cache(maxsize=64)
def _spellings(labels: tuple[str, ...], aliases: tuple[tuple[str, str], ...]) -> dict[str, str]:
    of_aliases = {alias.strip().casefold(): label for alias, label in aliases}
    return {**of_aliases, **{label.strip().casefold(): label for label in labels}}


@lru_cache(maxsize=64)
def _words_of(known: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{_any_of(known)})(?!\w)", re.IGNORECASE)


@lru_cache(maxsize=64)
def _numbered(known: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)({_any_of(known)})(?!\w)['\"]? ?[:=]? ?([+-]?{_UNSIGNED})", re.IGNORECASE)


def _any_of(known: tuple[str, ...]) -> str:
    return "|".join(re.escape(label) for label in sorted(known, key=len, reverse=True))
