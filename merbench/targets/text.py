"""A target that is a description in free text, scored by the emotion words in it: `text`.

Conventions:
    A text is cut into tokens: words, marks that end a clause, and single characters where a script puts no spaces
    between words (Chinese, Japanese). Case does not matter, a hyphen is a space (`worn-out` is `worn out`), a
    possessive 's is dropped. The entries of the lexicon that have a sector on a wheel are looked for, from left to
    right, the longest one at every place; a token belongs to one entry at most.

    A word is negated, and left out, when one of its five words before is a negator (not, isn't, never, without, no one,
    far from, fails to, 不, 没, … ) and nothing that ends a clause is between the two: a mark, or a word such as but
    and and; a comma before or and nor ends none. A prefix, as in dis-pleased and non-verbal, negates the next word.
    "Not only", "not just", 不但 and 不仅 negate nothing, nor does a negator within an entry (不安). So "not happy",
    "never seemed sad", "isn't angry", "without fear, or anger" hold no word, and "not happy, but proud" contains proud.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from merbench.errors import examples
from merbench.lexicon import Lexicon, open_lexicon
from merbench.metrics.label_set import sample_columns
from merbench.metrics.lists import Lists, offsets_of
from merbench.targets.cells import ListCells, read_in_blocks
from merbench.targets.label_set import reference_sets
from merbench.targets.sheet import is_blank
from merbench.targets.target import Answers, ReferenceColumn, Target, TargetValues, target_type


@target_type
class TextTarget(Target):
    """A description in free text, scored by the emotion words that the lexicon finds in it."""

    metric_kind = "label_set"
    has_word_sets = True
    answer_form = "description"
    cell_type = pa.string()

    type: Literal["text"]
    lexicon: str  # the lexicon whose words are looked for
    # how: the longest match, negated words left out; see the module's conventions
    extractor: Literal["longest_match"] = "longest_match"
    reference: str | None = None  # the reference column that contains the words to be found, a label set

    def reference_columns(self, name: str) -> tuple[str, ...]:
        return (self.reference or name,)

    def described(self) -> str:
        return f"a description, scored by the words of lexicon '{self.lexicon}' that it contains"

    def example(self, row: int) -> tuple[str | float, ...]:
        return ("The voice trembles, she seems sad and a little afraid.",)

    def sample_values(self, reference: Any, prediction: Any, prepared: Any) -> NDArray[np.float64] | None:
        """Return the F1 of every sample's two sets, as the metric compares their words."""
        return self.sample_columns(reference, prediction, prepared).get("f1")

    def sample_columns(self, reference: Any, prediction: Any, prepared: Any) -> Mapping[str, NDArray[Any]]:
        return sample_columns(prepared) or {}

    def read(self, answers: Answers) -> TargetValues:
        """Return the words of the lexicon that the descriptions hold."""
        column, lexicon = answers.column.fill_null(""), open_lexicon(self.lexicon)
        blank = np.flatnonzero(is_blank(column) & answers.relevant).tolist()
        problems = examples(blank, lambda row: answers.problem("E205", row, "empty; a description is needed"))
        cells = read_in_blocks(
            answers,
            column,
            lambda block: ListCells(words_in_text(block, lexicon)),
            lambda block: pc.utf8_split_whitespace(block).flatten(),
        )
        return TargetValues(cells.lists, problems=(*cells.problems(answers, "E211"), *problems))

    def read_references(self, where: str, columns: Sequence[pa.Array], n: int) -> ReferenceColumn:
        return reference_sets(where, columns[0])


SCOPE = 5
"""How many words a negator reaches."""

NEGATORS = frozenset(
    """
    not no never nor neither none nobody nothing without cannot hardly barely scarcely rarely seldom lack lacks lacked
    lacking absence 不 没 未 无
    """.split()
)
"""Words that negate what follows, in addition to all that end in n't."""

NEGATORS_AFTER = {
    "one": frozenset({"no"}),
    "from": frozenset({"far"}),
    "to": frozenset("fail fails failed failing failure".split()),
}
"""Words that negate what follows after one of these: no one, far from, fails to."""

PREFIXES = frozenset("non dis un".split())
"""Prefixes that, set apart by a hyphen, negate what follows at once."""

ENDS = frozenset("but and yet though although however because while whereas instead then 但 却 而 和".split())
"""Words that end what a negator reaches."""

JOINS = frozenset("or nor".split())
"""Words after a comma that continue what a negator reaches."""

EXCEPTIONS = {
    "not": frozenset("only just merely simply".split()),
    "不": frozenset("但 仅 只 光 过 禁 由 得".split()),
    "无": frozenset("比 论".split()),
    "没": frozenset("错"),
}
"""What a negator that negates nothing is followed by."""

_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = rf"[^\W_{_UNSPACED}]+"
_MARK = r"(?:[.,;:!?…—–()\n\u3001\u3002\uff0c\uff1b\uff1a\uff01\uff1f\uff08\uff09]|(?<!\S)-+(?!\S))+"
_TOKENS = rf"[{_UNSPACED}]|{_WORD}(?:['\u2019]{_WORD})*|{_MARK}"
"""Compiled where it is first used, which takes milliseconds."""

_COMMAS = frozenset(",\uff0c")

Codes = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False, slots=True)
class _Tokens:
    """The tokens of all texts, one text after the other."""

    words: list[str]  # the distinct tokens, normalised; two may be equal
    codes: Codes  # `(m,)` the tokens as positions in `words`
    offsets: Codes  # `(n + 1,)` where texts begin and end


@dataclass(frozen=True, eq=False, slots=True)
class _Entries:
    """The entries of a lexicon as a tree of tokens, from state 0."""

    labels: tuple[str, ...]  # the entries as the lexicon writes them
    token_code: dict[str, int]  # the tokens that entries are made of
    keys: Codes  # sorted, state · number of tokens + token
    next_state: Codes  # the state that a key leads to
    ends: Codes  # by state, the entry that ends there, −1 for none

    def step(self, states: Codes, tokens: Codes) -> tuple[Mask, Codes]:
        """Return where a token leads on from a state, and the states that it leads to there."""
        keys = states * len(self.token_code) + tokens
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        leads = (self.keys[place] == keys) & (tokens >= 0)
        return leads, self.next_state[place[leads]]


def words_in_text(column: pa.Array, lexicon: Lexicon) -> Lists:
    """Return the distinct words of a lexicon that each text contains, in the order of their first use.

    Args:
        column: `n` texts; null is an empty one.
        lexicon: whose words are looked for; they are returned as it writes them.
    """
    tokens = _tokens(column.fill_null("").to_pylist())
    entries = _entries(lexicon)
    if not len(tokens.codes) or not len(entries.keys):
        return Lists((), np.empty(0, dtype=np.int32), np.zeros(len(column) + 1, dtype=np.int64))
    starts, lengths, words = _without_overlaps(*_longest(tokens, entries))
    kept = ~_negated(tokens, _covered(starts, lengths, len(tokens.codes)))[starts]
    texts = np.searchsorted(tokens.offsets, starts[kept], "right") - 1
    return _distinct(texts, words[kept], entries.labels, len(column))


def _tokens(texts: Iterable[str]) -> _Tokens:
    cut = [re.findall(_TOKENS, text.casefold()) for text in texts]
    coded = pa.array(list(chain.from_iterable(cut)), pa.string()).dictionary_encode()
    words = [_normal(token) for token in coded.dictionary.to_pylist()]
    return _Tokens(words, np.asarray(coded.indices, dtype=np.int64), offsets_of([len(tokens) for tokens in cut]))


def _normal(token: str) -> str:
    return token.replace("\u2019", "'").removesuffix("'s")


@lru_cache(maxsize=8)
def _entries(lexicon: Lexicon) -> _Entries:
    labels = lexicon.vocabulary
    cut = [[_normal(token) for token in re.findall(_TOKENS, label.casefold())] for label in labels]
    token_code = {token: code for code, token in enumerate(dict.fromkeys(chain.from_iterable(cut)))}
    tree: dict[int, int] = {}
    ends = [-1]
    for label, tokens in enumerate(cut):
        state = 0
        for token in tokens:
            state = tree.setdefault(state * len(token_code) + token_code[token], len(ends))
            ends += [-1] * (state == len(ends))
        if state and ends[state] < 0:
            ends[state] = label
    keys = np.array(sorted(tree), dtype=np.int64)
    states = np.array([tree[key] for key in keys.tolist()], dtype=np.int64)
    return _Entries(labels, token_code, keys, states, np.array(ends, dtype=np.int64))


def _longest(tokens: _Tokens, entries: _Entries) -> tuple[Codes, Codes, Codes]:
    """Return where entries begin, how many tokens the longest one there has, and which it is."""
    codes = np.array([entries.token_code.get(word, -1) for word in tokens.words], dtype=np.int64)[tokens.codes]
    ends_at = np.repeat(tokens.offsets[1:], np.diff(tokens.offsets))
    length, entry = np.zeros(len(codes), dtype=np.int64), np.full(len(codes), -1, dtype=np.int64)
    at, states, depth = np.arange(len(codes)), np.zeros(len(codes), dtype=np.int64), 0
    while len(at):
        leads, states = entries.step(states, codes[at + depth])
        at, depth = at[leads], depth + 1
        complete = entries.ends[states] >= 0
        length[at[complete]], entry[at[complete]] = depth, entries.ends[states[complete]]
        goes_on = at + depth < ends_at[at]
        at, states = at[goes_on], states[goes_on]
    starts = np.flatnonzero(entry >= 0)
    return starts, length[starts], entry[starts]


def _without_overlaps(starts: Codes, lengths: Codes, words: Codes) -> tuple[Codes, Codes, Codes]:
    """Leave out entries that begin within an earlier one."""
    kept, free = np.ones(len(starts), dtype=np.bool_), 0
    for place, (start, length) in enumerate(zip(starts.tolist(), lengths.tolist(), strict=True)):
        if start < free:
            kept[place] = False
        else:
            free = start + length
    return starts[kept], lengths[kept], words[kept]


def _covered(starts: Codes, lengths: Codes, n: int) -> Mask:
    """Return which tokens belong to entries."""
    edges = np.zeros(n + 1, dtype=np.int64)
    edges[starts] += 1
    edges[starts + lengths] -= 1
    return np.asarray(edges.cumsum()[:-1] > 0)


def _negated(tokens: _Tokens, covered: Mask) -> Mask:
    """Return which tokens a negator reaches."""
    words, codes = tokens.words, tokens.codes
    first = np.repeat(tokens.offsets[:-1], np.diff(tokens.offsets))
    is_mark = np.array([re.fullmatch(_MARK, word) is not None for word in words])[codes]
    # Places are counted in words, so that a comma which ends nothing does not shorten what a negator reaches.
    at = np.cumsum(~is_mark)
    last_negator = _last(_negates(tokens) & ~covered)
    last_end = _last(is_mark & ~_carries_on(tokens) | _is_among(tokens, ENDS))
    reached = (last_negator >= first) & (last_negator > last_end) & (at - at[last_negator] <= SCOPE)
    prefixed = _preceding(tokens, _is_among(tokens, PREFIXES) & ~covered)
    return np.asarray(reached | prefixed)


def _negates(tokens: _Tokens) -> Mask:
    own = np.array([word in NEGATORS or word.endswith("n't") for word in tokens.words])[tokens.codes]
    for negator, exceptions in EXCEPTIONS.items():
        own &= ~(_is_among(tokens, {negator}) & _following(_is_among(tokens, exceptions)))
    for negator, before in NEGATORS_AFTER.items():
        own |= _is_among(tokens, {negator}) & _preceding(tokens, _is_among(tokens, before))
    return own


def _carries_on(tokens: _Tokens) -> Mask:
    """Return which tokens are commas that end nothing."""
    return _is_among(tokens, _COMMAS) & _following(_is_among(tokens, JOINS))


def _is_among(tokens: _Tokens, group: Collection[str]) -> Mask:
    return np.asarray(np.array([word in group for word in tokens.words], dtype=np.bool_)[tokens.codes])


def _following(mask: Mask) -> Mask:
    """Return the mask of the token after each."""
    return np.append(mask[1:], False)


def _preceding(tokens: _Tokens, mask: Mask) -> Mask:
    """Return the mask of the token before each, in the same text."""
    before = np.append(False, mask[:-1])
    before[tokens.offsets[:-1][tokens.offsets[:-1] < len(mask)]] = False
    return before


def _last(mask: Mask) -> Codes:
    """Return, for each token, the last one before it that is marked; −1 for none."""
    marked = np.maximum.accumulate(np.where(mask, np.arange(len(mask)), -1))
    return np.append(-1, marked[:-1])


def _distinct(texts: Codes, words: Codes, labels: tuple[str, ...], n: int) -> Lists:
    _, first = np.unique(texts * len(labels) + words, return_index=True)
    first.sort()
    used, codes = np.unique(words[first], return_inverse=True)
    return Lists(
        tuple(labels[code] for code in used.tolist()),
        codes.astype(np.int32),
        offsets_of(np.bincount(texts[first], minlength=n)),
    )
