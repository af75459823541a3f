"""A target that is a set of freely chosen words: `label_set`, and how a cell with a set is read.

Conventions:
    A cell is text (`['happy', 'sad']`, `["a", "b"]`, `happy, sad`), or a list of text. Labels come out trimmed,
    lower-cased and not empty; a label that occurs twice in a cell is kept twice. A cell that cannot be read contains no
    labels and has a message, so that it is never taken for an empty set; `[]` can be read and is empty.
    `split` says where one label ends. "official", the way of the scorers of MER 2025 and 2026: one pair of brackets is
    taken off, and the rest is split at every quote and comma, so that `["don't care"]` contains `don` and `t care`.
    "mer2024", the way of the scorer of MER 2024: the text between the first `[` and the next `]` is split at
    every quote; pieces that are blank or a lone comma are dropped, and the others are not trimmed, so that
    `['sad, tired', ' calm']` contains `sad, tired` and ` calm`. "python": what Python or JSON read, so that the first
    example contains `don't care`; bare words are split at commas. Items of a list column follow the same rule: the
    file format makes no difference.

Cells without surprises, nearly all of them, are recognised by one regular expression and cut byte by byte in NumPy;
the others are read one by one.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from merbench.errors import Problem, UsageError, examples, plural, printable
from merbench.metrics.label_set import sample_columns
from merbench.metrics.lists import Lists, concatenated, offsets_of
from merbench.targets.cells import BadCell, ListCells, Rows, Texts, read_in_blocks, require_readable
from merbench.targets.drafts import Alternative, Draft, DraftColumn
from merbench.targets.sheet import ITEMS, is_blank, is_list, is_text
from merbench.targets.target import Answers, ReferenceColumn, Target, TargetValues, target_type

Split = Literal["official", "mer2024", "python"]

NOT_SEPARATING = ";|\uff1b\uff0c\u3001"
"""Marks that do not separate the words of a set, though users may mean them to; the last three are Chinese marks."""

_DRAFT = """\
split = "official"  # one word ends at a comma or a quote; "python" reads a list as Python does
empty = "error"  # or "allow": a prediction may be the empty set
# lexicon = "english"  # which words mean the same emotion (`merbench lexicon list`)
"""

_EMPTY = {"error": "an error", "allow": "allowed"}


@target_type
class LabelSetTarget(Target):
    """A set of freely chosen words."""

    metric_kind = "label_set"
    has_word_sets = True
    cell_type = ITEMS
    draft_order = 2
    answer_form = "words"

    type: Literal["label_set"]
    # how a cell is split: as the scorers of MER 2025 and 2026 do (`official`), as that of MER 2024 does (`mer2024`), or
    # as a Python list
    split: Split = "official"
    lexicon: str | None = None  # the lexicon that metrics of emotion wheels use, by name
    groups: str | None = None  # stored synonym groups, by name or as a path from the track's folder; None has none
    empty: Literal["error", "allow"] = "error"  # whether a prediction may be the empty set
    reference: str | None = None  # the reference column, where it is another than that of the submission

    def reference_columns(self, name: str) -> tuple[str, ...]:
        return (self.reference or name,)

    def described(self) -> str:
        lexicon = f", scored by lexicon '{self.lexicon}'" if self.lexicon else ""
        groups = f", synonyms grouped by '{self.groups}'" if self.groups else ""
        return f"a set of words such as ['happy', 'surprised']{lexicon}{groups}; the empty set is {_EMPTY[self.empty]}"

    def example(self, row: int) -> tuple[str | float, ...]:
        return ("['happy', 'surprised']" if row % 2 == 0 else "['sad']",)

    def sample_values(self, reference: Any, prediction: Any, prepared: Any) -> NDArray[np.float64] | None:
        """Return the F1 of every sample's two sets, as the metric compares their words."""
        return self.sample_columns(reference, prediction, prepared).get("f1")

    def sample_columns(self, reference: Any, prediction: Any, prepared: Any) -> Mapping[str, NDArray[Any]]:
        return sample_columns(prepared) or {}

    def read(self, answers: Answers) -> TargetValues:
        """Return the sets of words; a blank cell is the empty set where the format and the track allow it."""
        column = answers.column
        if answers.sheet.has_blanks and self.empty == "allow":
            column = pc.if_else(pa.array(is_blank(column)), "[]", column)
        cells = read_in_blocks(answers, column, lambda block: read_label_lists(block, split=self.split))
        problems = cells.problems(answers, "E211")
        if self.empty == "error":
            message = "an empty set; at least one label is needed"
            rows = cells.empty[answers.relevant[cells.empty]].tolist()
            problems += examples(rows, lambda row: answers.problem("E205", row, message))
        warnings = () if problems else self._not_separated(answers, cells.lists)
        return TargetValues(cells.lists, problems=tuple(problems), warnings=warnings)

    def _not_separated(self, answers: Answers, lists: Lists) -> tuple[Problem, ...]:
        """Return a warning about words with marks that often separate words, but not here."""
        marks, separator = (f"{NOT_SEPARATING},", "a quote") if self.split == "mer2024" else (NOT_SEPARATING, "','")
        mark_of = [next((mark for mark in marks if mark in word), "") for word in lists.words]
        counts = np.diff(lists.offsets)
        affected = np.array([bool(mark) for mark in mark_of], dtype=np.bool_)[lists.codes]
        affected &= np.repeat(answers.relevant, counts)
        codes = lists.codes[affected]
        if not len(codes):
            return ()
        n_sets = len(np.unique(np.searchsorted(lists.offsets, np.flatnonzero(affected), "right")))
        used = {mark_of[code] for code in np.unique(codes).tolist()}
        shown = ", ".join(f"'{mark}'" for mark in marks if mark in used)
        message = f"{n_sets:,} of {answers.n:,} sets contain words with {shown} in them, each read as one word"
        words = Texts(pa.array(lists.words, pa.string()), *np.unique(codes, return_counts=True))
        return (Problem("W203", f"{message}; {separator} separates words: {words.counted()}", column=answers.name),)

    @classmethod
    def drafted(cls, column: DraftColumn) -> Draft | None:
        """Return a target for a column whose cells are all lists, or are written as lists."""
        if not pa.types.is_list(column.cells.type):
            if not pa.types.is_string(column.cells.type) or not len(column.cells):
                return None
            listed = pc.match_substring_regex(column.cells, r"^\s*\[.*\]\s*$")
            if not pc.all(listed).as_py() or read_label_lists(column.cells).bad:
                return None
        lexicon = Alternative(f"Where {printable(column.name)} has a lexicon:", ("emotion_wheel_f1",), is_added=True)
        return Draft(_DRAFT, ("set_average", "set_jaccard"), alternative=lexicon)

    def read_references(self, where: str, columns: Sequence[pa.Array], n: int) -> ReferenceColumn:
        return reference_sets(where, columns[0], self.split)


def reference_sets(where: str, column: pa.Array, split: Split = "official") -> ReferenceColumn:
    """Return references that are sets of words."""
    sets = read_label_lists(column, split=split)
    require_readable(where, column, sets.bad)
    return ReferenceColumn(sets.lists, np.asarray(column.is_valid()))


MOST_LABELS = 1_000
"""A cell with more labels than this is not a set of labels."""

FORM = "a set is written ['happy', 'sad'], or happy, sad"
_BRACKETED = "a set is written ['happy', 'sad']"

_PLAIN = r"[^'\"\[\](){}\\,]*"
_BARE = r"[^'\"\[\](){}\\]*"


def _quoted(quote: str) -> str:
    label = rf"{quote}{_PLAIN}{quote}"
    return rf"\[\s*{label}(\s*,\s*{label})*\s*,?\s*\]"


_SIMPLE = {
    "official": rf"^\s*({_quoted(chr(39))}|{_quoted(chr(34))}|\[{_BARE}\]|{_BARE})\s*$",
    "mer2024": r"^\[\]$",
    "python": rf"^\s*({_quoted(chr(39))}|{_quoted(chr(34))}|\[\s*\]|{_BARE})\s*$",
}
"""Cells that are split at brackets, quotes and commas; for "mer2024", which trims nothing, only empty sets."""

_WITHIN = ~np.isin(np.arange(256), np.frombuffer(b"[]'\",", dtype=np.uint8))  # bytes of labels, not between them

_STRING = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_APOSTROPHE = re.compile(r"(?<=\w)'(?=\w)")
_NUMBER = re.compile(r"[+-]?(\d[\d_]*\.?\d*|\.\d+)(e[+-]?\d+)?|nan", re.IGNORECASE)
_CUTS = re.compile(r"['\",]")
_QUOTES = re.compile(r"['\"]")
_QUOTED_TEXT, _INNER = "\0", "\1"  # replace a quoted string, and an apostrophe within a word


def read_label_lists(column: pa.Array | pa.ChunkedArray, *, split: Split = "official") -> ListCells:
    """Return the labels in every cell of a column, the cells that cannot be read, and the rows of empty sets.

    Raises:
        UsageError: the column contains neither text nor lists of text.
    """
    cells = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    if (is_list(cells.type) or pa.types.is_fixed_size_list(cells.type)) and (
        is_text(cells.type.value_type) or pa.types.is_null(cells.type.value_type)
    ):
        return _of_lists(cells, split)
    if is_text(cells.type) or pa.types.is_null(cells.type):
        return _of_text(cells.cast(pa.large_string()), split)
    raise UsageError(f"a column of {cells.type} does not contain sets of labels: text or lists of text are needed")


def _of_text(cells: pa.Array, split: Split) -> ListCells:
    simple = np.asarray(pc.match_substring_regex(cells, _SIMPLE[split]).fill_null(False))
    others = np.flatnonzero(~simple)
    texts = cells.take(pa.array(others)).to_pylist()
    lists = _cut(cells if not len(others) else pc.if_else(pa.array(simple), cells, ""))
    bad: dict[int, str] = {}
    read: list[list[str]] = []
    known: dict[str | None, tuple[list[str], str]] = {}
    for row, text in zip(others.tolist(), texts, strict=True):
        if text not in known:
            known[text] = _read_mer2024(text) if split == "mer2024" else _read_one(text, split)
        labels, wrong = known[text]
        read.append(labels)
        if wrong:
            bad[row] = wrong
    if read:
        places = np.arange(len(lists))
        places[others] = len(lists) + np.arange(len(others))
        lists = concatenated(lists, Lists.of(read))[places]
    for row in np.flatnonzero(np.diff(lists.offsets) == 0).tolist():
        text = cells[row].as_py()
        if row not in bad and not ("[" in text or _STRING.search(text)):
            bad[row] = f"'{printable(text)}' contains no label; {FORM}" if text.strip() else f"empty; {FORM}"
    return _checked(lists, bad, split)


def _cut(cells: pa.Array) -> Lists:
    """Return the runs of bytes between separators, trimmed and lower-cased; blank runs are left out."""
    starts_at = np.frombuffer(cells.buffers()[1], dtype=np.int64)[cells.offset : cells.offset + len(cells) + 1]
    first, last = int(starts_at[0]), int(starts_at[-1])
    data = np.frombuffer(cells.buffers()[2] or b"", dtype=np.uint8)[first:last]
    inside = np.take(_WITHIN, data)
    opens = np.zeros(len(data) + 1, dtype=bool)  # whether a cell begins at a byte
    opens[starts_at - first] = True
    starts, ends = inside.copy(), inside.copy()
    starts[1:] &= ~inside[:-1] | opens[1:-1]
    ends[:-1] &= ~inside[1:] | opens[1:-1]
    begin = np.flatnonzero(starts)
    lengths = np.flatnonzero(ends) - begin + 1
    runs = pa.LargeStringArray.from_buffers(
        len(begin), pa.py_buffer(offsets_of(lengths)), pa.py_buffer(data[inside])
    ).dictionary_encode()
    distinct = [[word] if (word := _normal(text)) else [] for text in runs.dictionary.to_pylist()]
    return _expanded(distinct, np.asarray(runs.indices), np.searchsorted(begin, starts_at - first))


def _of_lists(cells: pa.Array, split: Split) -> ListCells:
    cells = cells.cast(pa.large_list(pa.large_string()))
    counts = np.asarray(pc.list_value_length(cells).fill_null(0))
    bad = dict.fromkeys(np.flatnonzero(np.asarray(cells.is_null())).tolist(), f"empty; {_form(split)}")
    items = cells.flatten()
    offsets = offsets_of(counts)
    for item in np.flatnonzero(np.asarray(items.is_null())).tolist():
        bad[int(np.searchsorted(offsets, item, "right")) - 1] = f"an item of the list is empty; {_form(split)}"
    coded = items.fill_null("").dictionary_encode()
    cut: dict[Split, Callable[[str], list[str]]] = {
        "official": lambda text: _trimmed(_CUTS.split(text)),
        "mer2024": _pieces,
        "python": lambda text: _trimmed([text]),
    }
    distinct = [cut[split](text) for text in coded.dictionary.to_pylist()]
    return _checked(_expanded(distinct, np.asarray(coded.indices), offsets), bad, split)


def _form(split: Split) -> str:
    return _BRACKETED if split == "mer2024" else FORM


def _normal(label: str) -> str:
    return label.strip().lower()


def _trimmed(labels: Sequence[str]) -> list[str]:
    return [_normal(label) for label in labels if label.strip()]


def _pieces(text: str) -> list[str]:
    """Return the labels of a text as the scorer of MER 2024 finds them."""
    return [piece.lower() for piece in _QUOTES.split(text) if piece.strip() not in ("", ",")]


def _expanded(distinct: list[list[str]], codes: NDArray[np.integer], offsets: Rows) -> Lists:
    """Return lists of words from lists of codes, each of which means some words, mostly one."""
    if all(len(words) == 1 for words in distinct) and len({words[0] for words in distinct}) == len(distinct):
        return Lists(tuple(words[0] for words in distinct), codes.astype(np.int32), offsets.astype(np.int64))
    of_items = Lists.of(distinct)[codes]
    return Lists(of_items.words, of_items.codes, of_items.offsets[offsets])


def _checked(lists: Lists, bad: dict[int, str], split: Split) -> ListCells:
    """Find numbers, missing values (`nan`) and endless cells among what was read, and empty the bad rows."""
    counts = np.diff(lists.offsets)
    numbers = np.array([is_number(word) for word in lists.words], dtype=bool)
    for item in np.flatnonzero(numbers[lists.codes]).tolist() if numbers.any() else ():
        row = int(np.searchsorted(lists.offsets, item, "right")) - 1
        bad.setdefault(row, f"'{printable(lists.words[lists.codes[item]])}' is not a label; {_form(split)}")
    for row in np.flatnonzero(counts > MOST_LABELS).tolist():
        bad[row] = f"contains {plural(int(counts[row]), 'label')}; at most {MOST_LABELS:,} are read"
    if bad:
        lists = _without(lists, np.array(sorted(bad)))
    empty = np.setdiff1d(np.flatnonzero(np.diff(lists.offsets) == 0), np.array(list(bad), dtype=np.int64))
    return ListCells(lists, tuple(BadCell(row, bad[row]) for row in sorted(bad)), empty)


def _without(lists: Lists, rows: Rows) -> Lists:
    counts = np.diff(lists.offsets)
    kept = np.ones(len(lists), dtype=bool)
    kept[rows] = False
    return Lists(lists.words, lists.codes[np.repeat(kept, counts)], offsets_of(np.where(kept, counts, 0)))


def is_number(word: str) -> bool:
    """Return whether a word is a number, or `nan`, which no set of labels may have."""
    return _NUMBER.fullmatch(word) is not None


def _read_mer2024(text: str | None) -> tuple[list[str], str]:
    """Return the labels of one cell, or why the scorer of MER 2024 cannot read it."""
    if text is None or not text.strip():
        return [], f"empty; {_BRACKETED}"
    _, opening, rest = text.partition("[")
    inner, closing, _ = rest.partition("]")
    wrong = ""
    if not closing:
        wrong = "has an unmatched bracket" if opening or "]" in text else "has no brackets"
    elif "[" in inner:
        wrong = "is a list within a list"
    return ([], f"'{printable(text)}' {wrong}; {_BRACKETED}") if wrong else (_pieces(inner), "")


def _read_one(text: str | None, split: Split) -> tuple[list[str], str]:
    if text is None or not text.strip():
        return [], f"empty; {FORM}"
    content = text.strip()
    if split == "official":
        content = _APOSTROPHE.sub(_INNER, content)
    frame = _STRING.sub(_QUOTED_TEXT, content)
    listed = frame.startswith("[") and frame.endswith("]") and len(frame) > 1
    if not listed:
        frame = _APOSTROPHE.sub(_INNER, frame)
    inner = frame[1:-1] if listed else frame
    wrong = _wrong_frame(frame, inner)
    if not wrong and split == "python":
        wrong = _not_strict(inner) if listed else _not_bare(inner)
    if wrong:
        return [], f"'{printable(text)}' {wrong}; {FORM}"
    if split == "official":
        return _trimmed(_CUTS.split(text.strip()[1:-1] if listed else text.strip())), ""
    if not listed:
        return _trimmed(content.split(",")), ""
    labels = [_unescaped(string) for string in _STRING.findall(content)]
    if None in labels:
        return [], f"'{printable(text)}' contains an escape that cannot be read; {FORM}"
    return _trimmed([label for label in labels if label is not None]), ""


def _wrong_frame(frame: str, inner: str) -> str:
    """Return the problems of the quotes and brackets of a cell whose quoted strings are replaced by marks."""
    if "'" in frame or '"' in frame:
        return "has an unmatched quote"
    depth = 0
    for character in frame:
        depth += (character in "[({") - (character in "])}")
        if depth < 0:
            break
    if depth:
        return "has an unmatched bracket"
    if "{" in frame:
        return "has curly brackets"
    if "[" in inner:
        return "is a list within a list"
    items = [item.strip() for item in inner.split(",")]
    number = next((item for item in items if is_number(item)), None)
    if number is not None:
        return f"contains {printable(number)}, which is not a label"
    if any(item.count("(") != item.count(")") for item in items) or (inner.startswith("(") and inner.endswith(")")):
        return "has round brackets around labels"
    return ""


def _not_strict(inner: str) -> str:
    """Return the problems of the items of a list that must be quoted, with a comma after each."""
    items = [item.strip() for item in inner.split(",")]
    if items[-1] == "":
        items.pop()
    for item in items:
        if item.count(_QUOTED_TEXT) > 1 and not item.replace(_QUOTED_TEXT, "").strip():
            return "lacks a comma between two labels"
        if item != _QUOTED_TEXT:
            return f"has {printable(item.replace(_QUOTED_TEXT, '…'))} without quotes" if item else "has an extra comma"
    return ""


def _not_bare(inner: str) -> str:
    return "has quotes but no brackets" if _QUOTED_TEXT in inner else ""


def _unescaped(string: str) -> str | None:
    """Return the text of a quoted string of JSON or Python; None if an escape cannot be read."""
    if "\\" not in string:
        return string[1:-1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # an escape that Python does not know is a warning there
        try:
            text = json.loads(string) if string.startswith('"') else ast.literal_eval(string)
        except (ValueError, SyntaxError):
            return None
    try:
        text.encode()
    except UnicodeEncodeError:
        return None
    return str(text)
