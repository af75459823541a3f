"""Which row of a submission predicts which candidate, and every id that is wrong.

Conventions:
    Rows and candidates count from 0; -1 means none. An id that differs from a candidate's only in spaces, case or
    characters that look alike counts as a slip (E304) where that candidate has no row: the candidate is then not
    missing, too.
"""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from merbench.errors import EXAMPLES_SHOWN, Problem, did_you_mean, examples, listed, plural, printable
from merbench.targets.sheet import Sheet, blocks, is_blank
from merbench.track import SubmissionRules

Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]

MOST_EDITS = 2
"""How many letters an id may differ from a candidate's for that one to be suggested."""

FEWEST_OF_A_CAUSE = 3
"""How many ids must differ in the same way for one problem to report them all."""

_IDS_TRIED = 2_000
_AFFIXES_TRIED = 10
_PAIRS_SHOWN = 3
_MOST_TIMES_LONGER = 3
_LETTERS_FOLDED = 1_000_000
# A dot in `v1.0_a` or `clip_1.5` begins no suffix of a file.
_FILE_ENDING = re.compile(r"\.[0-9]*[A-Za-z][A-Za-z0-9]*")
# Cyrillic and Greek letters and dashes, and the ASCII characters they are mistaken for.
_LOOK_ALIKE = str.maketrans(
    "аеорсухіјѕԁһӏкмтвнАЕОРСУХІЈЅКМТВНαορυνικΑΒΕΖΗΙΚΜΝΟΡΤΥΧ\u2010\u2011\u2012\u2013\u2014\u2212_",
    "aeopcyxijsdhlkmtbhaeopcyxijskmtbhaopuvikabezhikmnoptyx-------",
)


class _Visible(dict[int, str | None]):
    """Maps the code of a character to the character, or to None if it cannot be seen."""

    def __missing__(self, code: int) -> str | None:
        c = chr(code)
        self[code] = None if c.isspace() or unicodedata.category(c) in ("Cf", "Cc") else c
        return self[code]


_VISIBLE = _Visible()


@dataclass(frozen=True, slots=True)
class Alignment:
    """Which row is which candidate's."""

    candidate_of: Rows = field(repr=False)  # candidate of every row
    row_of: Rows = field(repr=False)  # row of every candidate
    in_order: bool = False  # whether row i is candidate i's throughout
    n_extra: int = 0  # rows that are of no candidate, and are allowed
    has_views: bool = False  # whether candidates have several rows, which are averaged
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()  # what a reader must know about ids


def align(sheet: Sheet, ids: pa.StringArray, rules: SubmissionRules) -> Alignment:
    """Return which row is which candidate's, under a track's rules for missing and extra ids."""
    given = sheet.columns[rules.id]
    if given.equals(ids) and rules.views is None:
        order = np.arange(len(ids), dtype=np.int64)
        return Alignment(order, order, in_order=True)
    places = pc.index_in(given, value_set=ids)
    candidate_of = np.asarray(places.fill_null(-1)).astype(np.int64)
    meant = _Meant.of(given.filter(places.is_null()), ids, rules.match_ids)
    for row in np.flatnonzero(candidate_of < 0).tolist() if meant.candidate_of else ():
        candidate_of[row] = meant.candidate_of.get(given[row].as_py(), -1)
    known = np.flatnonzero(candidate_of >= 0)
    row_of = np.full(len(ids), -1, dtype=np.int64)
    row_of[candidate_of[known]] = known
    if len(known) == len(given) == len(ids) and (row_of >= 0).all() and rules.views is None:
        return Alignment(candidate_of, row_of, warnings=meant.warnings)
    # Written backwards, so that of several rows the first one stays.
    row_of[candidate_of[known[::-1]]] = known[::-1]
    return _explained(sheet, ids, rules, Alignment(candidate_of, row_of, warnings=meant.warnings), meant)


def _explained(
    sheet: Sheet, ids: pa.StringArray, rules: SubmissionRules, alignment: Alignment, meant: _Meant
) -> Alignment:
    """Return an alignment with what is wrong with ids: rows of no candidate, missing candidates, repeated ids."""
    candidate_of, row_of = alignment.candidate_of, alignment.row_of
    warnings = list(alignment.warnings)
    if rules.missing_ids == "previous":
        row_of, n_filled = _filled(ids, row_of)
        if n_filled:
            message = f"{n_filled:,} of {len(ids):,} candidates without a row take the answer of the one before them"
            warnings.append(Problem("W303", message))
    unread = {row.id for row in sheet.broken}
    missing = [name for name in ids.take(pa.array(np.flatnonzero(row_of < 0))).to_pylist() if name not in unread]
    unknown = _Unknown.of(sheet.columns[rules.id], candidate_of, missing, meant)
    problems = [
        *unknown.causes,
        *_missing_problems(sorted(set(missing) - unknown.explained), len(ids), rules),
        *unknown.strange_problems(sheet, ids, rules),
        *examples(list(unknown.unclear), lambda row: _unclear(sheet, row, unknown.unclear[row])),
        *_repeated_problems(sheet, ids, rules, candidate_of, row_of, unknown.meant),
        *examples(list(unknown.slips), lambda row: _slip(sheet, row, unknown.slips[row])),
        *examples(unknown.empty, lambda row: sheet.row_problem("E305", row, "the id is empty")),
    ]
    counts = np.bincount(candidate_of[candidate_of >= 0], minlength=1)
    return Alignment(
        candidate_of,
        row_of,
        n_extra=len(unknown.strange) if rules.extra_ids == "allow" else 0,
        has_views=bool(rules.duplicate_ids == "mean" and counts.max() > 1),
        problems=tuple(problem for problem in problems if not problem.is_warning),
        warnings=(*warnings, *(problem for problem in problems if problem.is_warning)),
    )


@dataclass(frozen=True)
class _Unknown:
    """The rows that are of no candidate, by what they may mean."""

    # rows whose ids differ from those of missing candidates in a way that many do, with the candidate
    common: dict[int, str]
    causes: list[Problem]  # a problem for each of these ways
    # rows that differ from a missing candidate in spaces, case or look-alikes, with the candidate
    slips: dict[int, str]
    unclear: dict[int, list[str]]  # rows whose id may be that of several candidates, with these
    empty: list[int]  # rows without an id
    strange: list[int]  # all other rows

    @classmethod
    def of(cls, given: pa.StringArray, candidate_of: Rows, missing: Sequence[str], meant: _Meant) -> _Unknown:
        """Return the rows without a candidate, sorted out."""
        rows = np.flatnonzero(candidate_of < 0)
        texts = given.take(pa.array(rows)).fill_null("")
        unclear = _unclear_rows(rows, texts, meant)
        blank = is_blank(texts)
        other = ~blank & ~np.isin(rows, list(unclear))
        common, causes = _common_cause(rows[other], texts.filter(pa.array(other)), missing, len(given))
        other &= ~np.isin(rows, list(common))
        absent = set(missing) - set(common.values())
        foldable = _foldable(texts, other, absent)
        slips = _matched(rows[foldable], texts.filter(pa.array(foldable)), absent, _folded)
        strange = rows[other & ~np.isin(rows, list(slips))].tolist()
        return cls(common, causes, slips, unclear, rows[blank].tolist(), strange)

    @property
    def meant(self) -> dict[int, str]:
        """The rows that can only mean one candidate, with it."""
        return {**self.common, **self.slips}

    @property
    def explained(self) -> set[str]:
        """The candidates that these rows may be of, which are not missing, too."""
        return {*self.meant.values(), *chain.from_iterable(self.unclear.values())}

    def strange_problems(self, sheet: Sheet, ids: pa.StringArray, rules: SubmissionRules) -> list[Problem]:
        """Return the rows whose ids mean no candidate: problems, or one warning where they are allowed."""
        rows = self.strange
        if not rows:
            return []
        if rules.extra_ids == "error":
            names = ids.to_pylist()
            return examples(rows, lambda row: _not_candidate(sheet, row, names))
        extra = f"{len(rows):,} of {sheet.n_rows:,} rows belong to none of the {len(ids):,} candidates and are ignored"
        shown = [*(_id(sheet, row) for row in rows[:EXAMPLES_SHOWN]), *("" for _ in rows[EXAMPLES_SHOWN:])]
        return [Problem("W301", f"{extra}: {_listed(shown)}")]


def _missing_problems(missing: Sequence[str], n: int, rules: SubmissionRules) -> list[Problem]:
    share = f"{len(missing):,} of {n:,} candidates"
    if missing and (rules.missing_ids in ("error", "previous") or len(missing) == n):
        return [Problem("E301", f"{share} missing: {_listed(missing)}")]
    fate = "counted as wrong" if rules.missing_ids == "wrong" else "dropped"
    return [Problem("W302", f"{share} without a row, {fate}: {_listed(missing)}")] if missing else []


def _repeated_problems(
    sheet: Sheet,
    ids: pa.StringArray,
    rules: SubmissionRules,
    candidate_of: Rows,
    row_of: Rows,
    meant: Mapping[int, str],
) -> list[Problem]:
    """Return the candidates that have several rows: under one id, or under two that mean the same."""
    given = sheet.columns[rules.id]
    again = np.flatnonzero((candidate_of >= 0) & (row_of[candidate_of] != np.arange(len(candidate_of))))
    first_of = {row: int(row_of[candidate_of[row]]) for row in again.tolist()}
    # Ids that are written differently may become one once that is mended.
    first_with: dict[str, int] = {}
    for row in sorted(meant):
        if first_with.setdefault(meant[row], row) != row:
            first_of[row] = first_with[meant[row]]
    rows, firsts = pa.array(list(first_of), pa.int64()), pa.array(list(first_of.values()), pa.int64())
    unequal = np.asarray(pc.not_equal(given.take(rows), given.take(firsts)))
    two_names, twice = (np.asarray(rows)[mask].tolist() for mask in (unequal, ~unequal))

    def candidate(row: int) -> str:
        name: str = meant.get(row) or ids[candidate_of[row]].as_py()
        return name

    problems = examples(two_names, lambda row: _two_names(sheet, row, first_of[row], candidate(row)))
    if rules.duplicate_ids == "mean":
        return [*problems, *_unequal_views(ids, candidate_of, rules.views)]
    return [*problems, *examples(twice, lambda row: _again(sheet, row, first_of[row]))]


@dataclass(frozen=True)
class _Meant:
    """The candidates of ids that differ from them, where a track matches ids without folder or suffix."""

    candidate_of: dict[str, int]  # the candidate of an id that can only mean this one
    ambiguous: dict[str, list[str]]  # the candidates of an id that can mean each of them
    warnings: tuple[Problem, ...] = ()  # one that shows how many ids were read so

    @classmethod
    def of(cls, texts: pa.StringArray, ids: pa.StringArray, match_ids: str) -> _Meant:
        """Return the candidates of texts; none where ids have to be equal."""
        without_folder, without_suffix = match_ids.startswith("base_name"), match_ids.endswith("without_suffix")
        if not len(texts) or not (without_folder or without_suffix):
            return cls({}, {})

        def parts(text: str) -> tuple[str, str, str]:
            folder, _, name = text.rpartition("/") if without_folder else ("", "", text)
            return folder, name, _stem(name) if without_suffix else name

        named: dict[str, list[tuple[int, str]]] = {}
        with_suffix: dict[str, list[tuple[int, str]]] = {}
        for place, candidate in enumerate(ids.to_pylist()):
            folder, name, stem = parts(candidate)
            named.setdefault(name, []).append((place, folder))
            if stem != name:
                with_suffix.setdefault(stem, []).append((place, folder))
        matched, ambiguous = {}, {}
        for text in (text for block in blocks(texts) for text in dict.fromkeys(texts[block].to_pylist()) if text):
            folder, name, stem = parts(text)
            alike = [*named.get(name, ()), *with_suffix.get(name, ()), *(named.get(stem, ()) if stem != name else ())]
            # A part may be missing on one side; two folders, or two suffixes, are two samples.
            fitting = [place for place, other in alike if folder == other or not folder or not other]
            if len(fitting) == 1:
                matched[text] = fitting[0]
            elif fitting:
                ambiguous[text] = ids.take(pa.array(fitting)).to_pylist()
        if not matched:
            return cls(matched, ambiguous)
        text, place = next(iter(matched.items()))
        ignored = " or ".join(
            word for word, is_ignored in (("folder", without_folder), ("suffix", without_suffix)) if is_ignored
        )
        example = f"'{printable(text)}' is candidate '{printable(ids[place].as_py())}'"
        message = f"{plural(len(matched), 'id')} matched without {ignored}, as the track declares: {example}"
        return cls(matched, ambiguous, (Problem("W304", message),))


def _filled(ids: pa.StringArray, row_of: Rows) -> tuple[Rows, int]:
    """Return the row of every candidate, that of the one before it where it has none and both are of one recording.

    A recording is the part of an id before its last `/`.
    """
    recordings = np.array([name.rpartition("/")[0] for name in ids.to_pylist()], dtype=object)
    place = np.maximum.accumulate(np.where(row_of >= 0, np.arange(len(row_of)), -1))
    fits = (row_of < 0) & (place >= 0)
    fits[fits] = recordings[fits] == recordings[place[fits]]
    return np.where(fits, row_of[place], row_of), int(fits.sum())


def _unequal_views(ids: pa.StringArray, candidate_of: Rows, views: int | None) -> list[Problem]:
    """Return the ids that have another number of rows than the track asks for."""
    counts = np.bincount(candidate_of[candidate_of >= 0], minlength=len(ids))
    wrong = np.flatnonzero((counts != views) & (counts > 0)).tolist() if views is not None else []
    if not wrong:
        return []
    shown = listed([f"{printable(ids[place].as_py())} ({counts[place]})" for place in wrong])
    return [Problem("E306", f"{len(wrong):,} of {len(ids):,} ids do not have {views} rows, one per view: {shown}")]


def _listed(names: Sequence[str]) -> str:
    return listed([*(printable(name) for name in names[:EXAMPLES_SHOWN]), *names[EXAMPLES_SHOWN:]])


def _folded(text: str) -> str:
    """Return what is left of an id without its spaces, case, invisible characters, look-alikes and leading zeros."""
    plain = unicodedata.normalize("NFKC", text).translate(_LOOK_ALIKE).casefold()
    kept = plain.translate(_VISIBLE)
    return kept.lstrip("0") if kept.isdecimal() else kept


def _foldable(texts: pa.StringArray, rows: Mask, names: Collection[str]) -> Mask:
    """Return which rows are folded: no text much longer than every name, and few with letters that are not ASCII.

    One such letter may become 18 letters, which take four microseconds.
    """
    n_letters = np.asarray(pc.utf8_length(texts)).astype(np.int64)
    short = rows & (n_letters <= _MOST_TIMES_LONGER * max(map(len, names), default=0))
    n_foreign = np.where(short & (np.asarray(pc.binary_length(texts)) > n_letters), n_letters, 0)
    few: Mask = (n_foreign == 0) | (np.cumsum(n_foreign) <= _LETTERS_FOLDED)
    return short & few


def _unclear_rows(rows: Rows, texts: pa.StringArray, meant: _Meant) -> dict[int, list[str]]:
    """Return the rows whose id may be that of several candidates, with those."""
    places = pc.index_in(texts, value_set=pa.array(meant.ambiguous, pa.string()))
    known = np.flatnonzero(np.asarray(places.is_valid()))
    return {int(rows[place]): meant.ambiguous[texts[place].as_py()] for place in known.tolist()}


def _matched(rows: Rows, texts: pa.StringArray, names: Collection[str], key: Callable[[str], str]) -> dict[int, str]:
    """Return the name of every row whose text has the key of exactly one name."""
    names_of: dict[str, list[str]] = {}
    for name in names:
        names_of.setdefault(key(name), []).append(name)
    matches = {}
    for block in blocks(texts) if names else ():
        for row, text in zip(rows[block].tolist(), texts[block].to_pylist(), strict=True):
            fitting = names_of.get(key(text), ())
            if len(fitting) == 1:
                matches[row] = fitting[0]
    return matches


def _base_name(text: str) -> str:
    return text.replace("\\", "/").rpartition("/")[2]


def _stem(text: str) -> str:
    stem, suffix = posixpath.splitext(text)
    return stem if _FILE_ENDING.fullmatch(suffix) else text


def _base_stem(text: str) -> str:
    return _stem(_base_name(text))


def _unpadded(text: str) -> str:
    return re.sub(r"0*([0-9]+)", r"\1", text)


def _from_first_digit(text: str) -> str:
    return re.sub(r"^[^0-9/]+(?=[0-9])", "", text)


def _number(text: str) -> str:
    return _unpadded(_from_first_digit(text))


def _bare(text: str) -> str:
    return _number(_base_stem(text.strip())).casefold()


_DIFFERENCES = (_base_name, _stem, _base_stem, _unpadded, _from_first_digit, _number)

_CAUSES: tuple[Callable[[str], str], ...] = (
    str.strip,
    str.casefold,
    *_DIFFERENCES,
    *(lambda text, key=key: key(text.strip()).casefold() for key in _DIFFERENCES),
    _bare,
)
"""Keys under which the ids of a submission and of its candidates may be the same, the most likely cause first.

Ids that are the same under any of them are so under the last.
"""


def _common_cause(
    rows: Rows, texts: pa.StringArray, missing: Sequence[str], n_rows: int
) -> tuple[dict[int, str], list[Problem]]:
    """Return the rows whose ids differ from those of missing candidates in the same way, and a problem for each kind.

    The way must explain most of the ids, or half of the missing candidates, with two ids for each at most: a few
    numbers are in any large list.
    """
    if len(rows) < FEWEST_OF_A_CAUSE or not missing:
        return {}, []
    step = -(-len(rows) // _IDS_TRIED)
    tried_rows, tried = rows[::step], texts.take(pa.array(np.arange(0, len(rows), step)))
    bare = set(map(_bare, tried.to_pylist()))
    near = [name for name in missing if _bare(name) in bare]
    affixes = _affixes(tried[:FEWEST_OF_A_CAUSE].to_pylist(), missing)
    best: tuple[dict[int, str], Callable[[str], str]] = ({}, _folded)
    for key, names in (*((key, near) for key in _CAUSES), *((key, missing) for key in affixes)):
        matched = _matched(tried_rows, tried, names, key)
        if len(matched) > len(best[0]):
            best = (matched, key)
        if len(matched) == len(tried):
            break
    meant = _matched(rows, texts, missing, best[1]) if best[0] else {}
    n_meant = len(set(meant.values()))
    if len(meant) < FEWEST_OF_A_CAUSE or (
        2 * len(meant) <= len(rows) and (2 * n_meant < len(missing) or 2 * n_meant < len(meant))
    ):
        return {}, []
    counts, pairs, specific = Counter[str](), dict[str, list[str]](), dict[str, set[str]]()
    for block in blocks(texts):
        for row, text in zip(rows[block].tolist(), texts[block].to_pylist(), strict=True):
            if row in meant:
                general, exact = _difference(text, meant[row])
                counts[general] += 1
                if len(specific.setdefault(general, set())) < 2:
                    specific[general].add(exact)
                if counts[general] <= _PAIRS_SHOWN:
                    pair = f"'{printable(text)}' for '{printable(meant[row])}'"
                    pairs.setdefault(general, []).append(pair)
    problems = []
    for general, n in counts.most_common():
        # The text that ids differ in is named where it is the same for all.
        what = general if len(specific[general]) > 1 else specific[general].pop()
        more = f", … ({n - _PAIRS_SHOWN:,} more)" if n > _PAIRS_SHOWN else ""
        message = f"{n:,} of {n_rows:,} ids {what}: {', '.join(pairs[general])}{more}"
        problems.append(Problem("E304", message, count=n))
    return meant, problems


def _affixes(texts: Sequence[str], names: Sequence[str]) -> list[Callable[[str], str]]:
    """Return keys without a prefix, or a suffix, that texts have and names lack, or names have and texts lack."""
    affixes: Counter[tuple[Callable[[str, str], str], str]] = Counter()
    for text in texts:
        for name in names:
            short, long = sorted((text, name), key=len)
            if long.endswith(short):
                affixes[str.removeprefix, long.removesuffix(short)] += 1
            elif long.startswith(short):
                affixes[str.removesuffix, long.removeprefix(short)] += 1
    return [partial(_without, *affix) for affix, _ in affixes.most_common(_AFFIXES_TRIED)]


def _without(remove: Callable[[str, str], str], affix: str, text: str) -> str:
    return remove(text, affix)


def _difference(text: str, name: str) -> tuple[str, str]:
    """Return how an id differs from its candidate's, with the remedy, twice: without and with the text that differs."""
    if text.strip() == name:
        return ("have spaces around them; remove these",) * 2
    if name.endswith(text) and not _ends_in_number(name, text):
        return _affix("lack", name.removesuffix(text), "in front")
    if text.endswith(name) and not _ends_in_number(text, name):
        return _affix("have", text.removesuffix(name), "in front")
    if name.startswith(text):
        return _affix("lack", name.removeprefix(text), "at the end")
    if text.startswith(name):
        return _affix("have", text.removeprefix(name), "at the end")
    parts = _differing_parts(text, name) or ["spelling"]
    if parts == ["leading zeros"]:
        return ("have other leading zeros than the candidates; pad the numbers as these do",) * 2
    what = " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))
    return (f"differ from the candidates in {what}; write them as the candidates are",) * 2


def _ends_in_number(long: str, short: str) -> bool:
    """Return whether what `long` has in front of `short` ends within a number."""
    return short[0].isdecimal() and long[-len(short) - 1].isdecimal()


def _differing_parts(text: str, name: str) -> list[str]:
    """Return which parts of an id differ from those of its candidate."""
    named = ("folder", "prefix", "leading zeros", "suffix")
    pairs = {part: (mine, other) for part, mine, other in zip(named, _parts(text), _parts(name), strict=True)}
    parts = [part for part, (mine, other) in pairs.items() if mine.casefold() != other.casefold()]
    if "leading zeros" in parts and len({_unpadded(number).casefold() for number in pairs["leading zeros"]}) > 1:
        parts.remove("leading zeros")
    is_recased = any(mine != other and mine.casefold() == other.casefold() for mine, other in pairs.values())
    return [*parts, *(["case"] if is_recased else []), *(["spaces"] if text != text.strip() else [])]


def _parts(text: str) -> tuple[str, str, str, str]:
    """Return the folder of an id, what is in front of its first digit, what follows, and its suffix."""
    text = text.strip()
    base = _base_name(text)
    stem = _stem(base)
    number = _from_first_digit(stem)
    return text.removesuffix(base), stem.removesuffix(number), number, base.removeprefix(stem)


def _affix(verb: str, text: str, place: str) -> tuple[str, str]:
    remedy = "of the candidates; add it" if verb == "lack" else "that the candidates lack; leave it out"
    if text.endswith("/") or text.startswith("."):
        noun, place = "folder" if text.endswith("/") else "suffix", ""
    else:
        noun, place = "text", f"{place} "
    return f"{verb} the {noun} {place}{remedy}", f"{verb} the {noun} '{printable(text)}' {place}{remedy}"


def _id(sheet: Sheet, row: int) -> str:
    text: str = sheet.columns[sheet.id_column][row].as_py()
    return text


def _slip(sheet: Sheet, row: int, candidate: str) -> Problem:
    text = _id(sheet, row)
    shown = printable(text)
    strange = next((c for c in text if c not in candidate and not c.isspace()), None)
    if text.strip() == candidate:
        message = f"id '{shown}' has spaces around it; the candidate is '{candidate}'"
    elif text.strip().casefold() == candidate.casefold():
        message = f"id '{shown}' differs in case; the candidate is '{candidate}'"
    elif text.strip().isdecimal() and text.isascii():
        message = f"id '{shown}' lacks leading zeros; the candidate is '{candidate}'"
    elif strange:
        name = unicodedata.name(strange, "a character without a name")
        message = f"id '{shown}' looks like candidate '{candidate}' and contains U+{ord(strange):04X} ({name})"
    else:
        message = f"id '{shown}' is written differently; the candidate is '{candidate}'"
    return sheet.row_problem("E304", row, message)


def _again(sheet: Sheet, row: int, first: int) -> Problem:
    message = f"duplicate id '{printable(_id(sheet, row))}' (first at {sheet.row_name(first)})"
    return sheet.row_problem("E303", row, message)


def _unclear(sheet: Sheet, row: int, candidates: Sequence[str]) -> Problem:
    message = f"id '{printable(_id(sheet, row))}' may be {plural(len(candidates), 'candidate')}, {_listed(candidates)}"
    return sheet.row_problem("E307", row, f"{message}; write the full id")


def _two_names(sheet: Sheet, row: int, first: int, candidate: str) -> Problem:
    texts = [f"'{printable(sheet.cell(sheet.id_column, place) or '')}'" for place in (row, first)]
    message = f"ids {texts[0]} and {texts[1]} ({sheet.row_name(first)}) are both candidate '{printable(candidate)}'"
    return sheet.row_problem("E307", row, f"{message}; keep one")


def _not_candidate(sheet: Sheet, row: int, names: Sequence[str]) -> Problem:
    from rapidfuzz import process  # a submission without mistakes is read without it
    from rapidfuzz.distance import Levenshtein

    text = _id(sheet, row)
    if text.startswith("="):
        hint = "; it starts with '=', as a spreadsheet's formula does"
    else:
        near = process.extractOne(text, names, scorer=Levenshtein.distance, score_cutoff=MOST_EDITS)
        hint = did_you_mean(text, [near[0]] if near else [])
    return sheet.row_problem("E302", row, f"id '{printable(text)}' is not a candidate{hint}")
