"""Hostile text in every field of every reader, and in every output: nothing hidden, no command, no markup."""

from __future__ import annotations

import builtins
import csv
import io
import json
import re
import typing
import unicodedata
import warnings
from collections import abc
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hand_made_boards import board, three_rows, write_entry
from lexicon_release import write_release
from made_corpus import made_corpus
from test_declarations import READERS
from toy_track import predictions, write_toy_track

from merbench.banks.importing import import_folder
from merbench.charts import Line, condition_curve
from merbench.cli import run
from merbench.cli.printing import progress_bar
from merbench.corpus import IMPORTERS, Feature, open_corpus
from merbench.corpus.candidates import Candidates
from merbench.corpus.declaration import parse_metadata
from merbench.corrupt.manifest import read_manifest, read_progress
from merbench.errors import (
    InvalidSubmission,
    MerbenchError,
    Problem,
    fault,
    github_annotations,
    problem_list,
    problems_json,
)
from merbench.leaderboard.check import check_entries
from merbench.leaderboard.entry import InvalidEntry
from merbench.lexicon import import_lexicon, open_lexicon
from merbench.report import Comparison, Confusion, ItemReport, Report, ReportTable, ScoreReport
from merbench.report.html import section_html
from merbench.report.latex import section_latex
from merbench.robustness import RobustnessComparison, RobustnessReport
from merbench.site.page import board_page
from merbench.submission import read_submission
from merbench.synonyms import import_groups
from merbench.training import load_baseline

MARKUP = "<img src=x onerror=1> `[a](javascript:b)` *b* | c"
HOSTILE = (
    f"::error::x\n  ::stop-commands::y\r\x1b[31m\u202e\u200b\U000e0041\u2028\x85 ##[error]z [red][/] $\\foo$ {MARKUP}"
)
FILE = HOSTILE.replace("/", "")
"""The same where a name of a file is needed."""


def assert_harmless(text: str) -> None:
    """Fail where a text contains invisible characters, or what a CI system takes for a command that merbench did not write."""
    hidden = {c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")}
    assert not hidden, (hidden, text)
    assert "##[" not in text, text
    for line in text.split("\n"):
        if line.lstrip().startswith("::"):
            assert re.match(r"::(error|warning) file=[^:,]+(,line=\d+)?,title=[EW]\d+::", line), line


def assert_plain_markdown(text: str) -> None:
    """Fail where Markdown contains markup of the hostile text: HTML, code, links, a bar that would be a cell's end."""
    assert_harmless(text)
    unescaped = re.sub(r"\\[^\w\s]", "", text)
    for part in ("<img", "`", "](", "*b*"):
        assert part not in unescaped, (part, text)
    for lines in re.findall(r"(?:^\|.*\n?)+", unescaped, re.MULTILINE):
        assert len({line.count("|") for line in lines.splitlines()}) == 1, lines


class _Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert not [name for name, _ in attributes if name.startswith("on")]


def assert_plain_html(text: str) -> None:
    """Fail where a page contains an element of the hostile text."""
    assert_harmless(text)
    assert "img" not in _Tags(text).tags


def assert_plain_latex(text: str) -> None:
    """Fail where a table has other commands than its own, an unbalanced brace, or rows of different lengths."""
    assert_harmless(text)
    body = "\n".join(line for line in text.split("\n") if not line.startswith("%"))
    # What is left without the escapes that a name can have contains no special character.
    rest = re.sub(
        r"\\(?:text[a-z]+|ldots)\{\}|\\symbol\{34\}|\\[{}$&#_%]|\$(?:-|\\[a-z]+|\\Delta|\^\\dagger)\$|-\{\}", "", body
    )
    rest = re.sub(r"^\{\}", "(protected)", rest, flags=re.MULTILINE)
    tables = re.findall(r"\\begin\{table\}\n(.*?)\\end\{table\}", rest, flags=re.DOTALL)
    assert tables and text.count("\\begin{table}") == text.count("\\end{table}") == len(tables)
    for table in tables:
        head, columns, inner, end = re.fullmatch(
            r"\\centering\n(.*)\\begin\{tabular\}\{@\{\}([lr]+)@\{\}\}\n(.*)\\end\{tabular\}\n(.*)",
            table,
            flags=re.DOTALL,
        ).groups()  # type: ignore[union-attr]
        caption = re.fullmatch(r"(?:\\footnotesize\n\\setlength\{\\tabcolsep\}\{3pt\}\n)?\\caption\{(.*)\}\n", head)
        assert caption and not re.search(r"[\\{}$&#_%~^]", caption[1]) and not end
        top, titles, middle, *rows, bottom = inner.rstrip("\n").split("\n")
        assert (top, middle, bottom) == ("\\toprule", "\\midrule", "\\bottomrule")
        for row in (titles, *rows):
            assert row.endswith(" \\\\") and not row.startswith(("[", "*"))
            cells = row.removesuffix(" \\\\").split(" & ")
            assert len(cells) == len(columns)
            plain = [re.sub(r"\\textbf\{([^{}]*)\}", r"\1", cell) for cell in cells]
            assert not [cell for cell in plain if re.search(r"[\\{}$&#_%~^]", cell)], row


def assert_forms_are_harmless(where: str, problems: tuple[Problem, ...]) -> None:
    """Show problems in every form that there is."""
    assert_harmless(problem_list(where, problems))
    assert_harmless(problems_json(where, problems))
    annotations = github_annotations(where, problems)
    assert_harmless(annotations)
    assert annotations.count("\n") == len(problems)
    shown = board(invalid=(InvalidEntry(where, problems),))
    assert_harmless(shown.to_text())
    assert_harmless(shown.to_json())
    assert_plain_markdown(shown.to_markdown())
    assert_plain_html(board_page(shown))


def assert_error_is_harmless(error: MerbenchError) -> None:
    assert_harmless(str(error))
    assert_harmless(fault(error))
    if isinstance(error, InvalidSubmission):
        assert_forms_are_harmless(error.where, error.problems)


def test_a_problem_in_every_form() -> None:
    for field in ("message", "column", "id"):
        assert_forms_are_harmless("a.csv", (Problem(**{"code": "E208", "message": "x", field: HOSTILE}),))
    assert_forms_are_harmless(FILE, (Problem("W201", HOSTILE, 3, HOSTILE, HOSTILE),))


# Untrusted files: messages say what is wrong and where, and may contain text of the file.


def _parquet(table: pa.Table) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


def _npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _delimited(rows: list[list[str]], delimiter: str) -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows(rows)
    return text.getvalue().encode()


def _lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


def submissions() -> Iterator[tuple[str, bytes]]:
    """Yield files, with their suffix, that hold hostile text in a column's name, an id, a cell, or a nested name."""
    for suffix, delimiter in ((".csv", ","), (".tsv", "\t")):
        yield suffix, _delimited([["sample_id", HOSTILE], ["s00", "sad"]], delimiter)
        yield suffix, _delimited([["sample_id", "discrete"], [HOSTILE, HOSTILE], [HOSTILE, "sad"]], delimiter)
        yield suffix, _delimited([[HOSTILE, HOSTILE]], delimiter)
    yield ".jsonl", _lines([{"sample_id": HOSTILE, "discrete": HOSTILE, HOSTILE: 1}, {"sample_id": [HOSTILE]}])
    yield ".jsonl", f'{{"sample_id": {HOSTILE}'.encode()
    yield ".jsonl", _lines([{"sample_id": "s00", "discrete": {HOSTILE: [HOSTILE]}}])
    ids = pa.array(["s00", HOSTILE])
    yield ".parquet", _parquet(pa.table({"sample_id": ids, "discrete": ids, HOSTILE: ids}))
    nested = pa.array([{HOSTILE: "x"}, None], pa.struct([pa.field(HOSTILE, pa.string())]))
    yield ".parquet", _parquet(pa.table({"sample_id": ids, "discrete": nested, HOSTILE: nested}))
    yield (
        ".npz",
        _npz(**{"sample_id": np.array(["s00", HOSTILE]), "discrete": np.array([HOSTILE] * 2), FILE: np.ones(2)}),
    )
    yield ".npz", _npz(sample_id=np.array(["s00"]), discrete=np.array([(1,)], dtype=[(HOSTILE, "i4")]))
    yield ".csv", HOSTILE.encode("utf-16")
    yield ".zip", HOSTILE.encode()


@pytest.fixture
def candidates(tmp_path: Path) -> Candidates:
    from merbench.corpus.candidates import open_candidates

    return open_candidates(write_toy_track(tmp_path / "tracks"))


@pytest.mark.slow
def test_submissions(candidates: Candidates, tmp_path: Path) -> None:
    for suffix, data in submissions():
        path = tmp_path / f"{FILE}{suffix}"
        path.write_bytes(data)
        with pytest.raises(MerbenchError) as caught:
            read_submission(path, candidates)
        assert_error_is_harmless(caught.value)
    with pytest.raises(MerbenchError) as caught:
        read_submission(tmp_path / f"no {FILE}", candidates)
    assert_error_is_harmless(caught.value)


def declarations(text: str) -> Iterator[str]:
    """Yield a declaration with a hostile key, with hostile values, and with a line that is not TOML."""
    key = "".join(f"\\U{ord(c):08x}" for c in HOSTILE)
    yield f'{text}\n"{key}" = 1\n'
    yield f'{text}\n["{key}"]\n"{key}" = [1]\n'
    yield f"{text}\n{HOSTILE}"
    lines = text.split("\n")
    for number, line in enumerate(lines):
        name, equals, _ = line.partition(" = ")
        if equals:
            yield "\n".join([*lines[:number], f'{name} = "{key}"', *lines[number + 1 :]])


@pytest.mark.parametrize("kind", ["track", "entry", "baseline", "corpus", "bank", "groups", "lexicon"])
def test_declarations(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path))
    name, text, read = READERS[kind]
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    n_refused = 0
    for declaration in declarations(text):
        path.write_text(declaration, encoding="utf-8", newline="\n")
        try:
            read(path.parent)
        except MerbenchError as error:
            assert_error_is_harmless(error)
            n_refused += 1
    assert n_refused >= 3


def refused(read: Callable[[], object]) -> None:
    with pytest.raises(MerbenchError) as caught:
        read()
    assert_error_is_harmless(caught.value)


def test_corpora_and_their_features(tmp_path: Path) -> None:
    samples = pa.table(
        {"sample_id": ["a", HOSTILE, HOSTILE], "split": ["test", HOSTILE, "test"], HOSTILE: [HOSTILE] * 3}
    )
    refused(lambda: made_corpus(tmp_path / "c", name="c", samples=samples))
    refused(lambda: parse_metadata(HOSTILE, name=HOSTILE, version=HOSTILE, source=HOSTILE, licence=HOSTILE))
    clean = pa.table({"sample_id": ["a"], "split": ["test"]})
    reference = pa.table({"sample_id": [HOSTILE], HOSTILE: [HOSTILE]})
    refused(lambda: made_corpus(tmp_path / "c", name="c", samples=clean, reference=reference))
    feature = Feature.from_vectors([HOSTILE], [[1.0]])
    refused(lambda: made_corpus(tmp_path / "c", name="c", samples=clean, features={HOSTILE: feature}))
    refused(lambda: open_corpus(HOSTILE))
    refused(lambda: open_corpus(f"./{HOSTILE}"))
    for name in ("meld", "cmu-mosi", "ger-rafdb"):
        folder = tmp_path / name
        folder.mkdir()
        for file in {file for layout in IMPORTERS[name].layouts for sheet in layout for file in sheet.files}:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(f'"{HOSTILE}","{HOSTILE}"\n"{HOSTILE}",1\n', encoding="utf-8")
        refused(lambda name=name, folder=folder: IMPORTERS[name](folder, tmp_path / "out"))


def test_lexicons_groups_banks_and_manifests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path / "home"))
    refused(lambda: open_lexicon(HOSTILE))
    refused(lambda: import_lexicon(tmp_path / FILE))
    release = write_release(tmp_path / "release")
    (release / "format.csv").write_text(f'"{HOSTILE}",format\nglad,"{HOSTILE}"\n', encoding="utf-8")
    refused(lambda: import_lexicon(release))
    lines = tmp_path / f"{FILE}.jsonl"
    lines.write_bytes(_lines([{"name": HOSTILE, "groups": HOSTILE}, {"name": HOSTILE, HOSTILE: 1}]) + HOSTILE.encode())
    refused(lambda: import_groups("mer2024", lines))
    refused(lambda: import_groups(HOSTILE, lines))
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    (sounds / f"{FILE}.wav").write_text(HOSTILE, encoding="utf-8")
    refused(lambda: import_folder("own", sounds))
    index = tmp_path / "index.csv"
    index.write_text(f'file,"{HOSTILE}"\n"{HOSTILE}",1\n', encoding="utf-8")
    refused(lambda: import_folder("own", sounds, index=index))
    refused(lambda: read_manifest(tmp_path / FILE))
    (tmp_path / "manifest.jsonl").write_text(f"{HOSTILE}\n", encoding="utf-8")
    for journal in ("progress.jsonl", "manifest.jsonl", "journal.jsonl"):
        (tmp_path / journal).write_text(f"{HOSTILE}\n", encoding="utf-8")
    try:
        read_progress(tmp_path)
    except MerbenchError as error:
        assert_error_is_harmless(error)


def test_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_toy_track(tmp_path / "tracks")
    monkeypatch.setenv("MERBENCH_TRACKS", str(tmp_path / "tracks"))
    key = "".join(f"\\U{ord(c):08x}" for c in HOSTILE)
    places = ("toy/one/run", f"toy/{FILE}/run", f"toy/one/{FILE}", f"{FILE}/one/run")
    for place in places:
        write_entry(tmp_path / "submissions", place, predictions([1]), title=f'"{key}"', **{f'"{key}"': "1"})
    (write_entry(tmp_path / "submissions", "toy/two/run", None) / f"submission.{FILE}").write_text("x")
    found = list(check_entries(tmp_path / "submissions"))
    assert len(found) == len(places) + 1
    for entry in found:
        assert_harmless(entry.place)
        assert_forms_are_harmless(entry.place, entry.problems)


@pytest.mark.parametrize(
    "code", ["raise ValueError(HOSTILE)", "import nothing_of_this_name", "def build(): return HOSTILE +"]
)
def test_exceptions_of_plug_ins(code: str, tmp_path: Path) -> None:
    folder = tmp_path / FILE
    folder.mkdir()
    (folder / "baseline.toml").write_text('title = "x"\n', encoding="utf-8")
    (folder / "model.py").write_text(f"HOSTILE = {HOSTILE!r}\n{code}\n", encoding="utf-8")
    refused(lambda: load_baseline(folder))


# Reports: names of tracks, labels, groups, files and systems are text of others, too.


MADE: dict[Any, Any] = {
    Problem: Problem("W201", HOSTILE, column=HOSTILE),
    Confusion: Confusion(HOSTILE, (HOSTILE, "b"), ((0, 0, 1), (1, 1, 1))),
    str: HOSTILE,
    Any: HOSTILE,
    int: 1,
    float: 0.5,
    bool: False,
}


def hostile(kind: Any) -> Any:
    """Return a value of a type that has hostile text wherever it may have text."""
    if kind in MADE:
        return MADE[kind]
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        values = {field.name: hostile(hints[field.name]) for field in fields(kind) if field.init}
        return kind(
            **{
                **values,
                **({"counts": dict.fromkeys(("candidates", "scored", "trained"), 1)} if "counts" in values else {}),
            }
        )
    arguments = get_args(kind)
    match get_origin(kind):
        case abc.Mapping:
            return {hostile(arguments[0]): hostile(arguments[1])}
        case builtins.tuple:
            return tuple(hostile(item) for item in arguments if item is not ...)
        case typing.Literal:
            return arguments[0]
    return hostile(arguments[0])  # a union


@pytest.mark.parametrize("kind", [ScoreReport, Comparison, ItemReport, RobustnessReport, RobustnessComparison])
def test_reports_in_every_form(kind: type[Report]) -> None:
    report = hostile(kind)
    assert_harmless(report.to_text())
    assert_harmless(report.to_json())
    assert_plain_markdown(report.to_markdown())
    assert_plain_html(report.to_html())
    assert_plain_latex(report.to_latex())
    assert_harmless(report.to_text(60))
    assert kind.from_json(report.to_json()) == report


def test_boards_in_every_form() -> None:
    hostile = [
        replace(
            row,
            team=HOSTILE,
            team_name=HOSTILE,
            system=f"{HOSTILE}{number}",
            title=HOSTILE,
            members=(HOSTILE,),
            paper=HOSTILE,
            code=f"https://x/{HOSTILE}",
            external_data=(HOSTILE,),
            runs=(HOSTILE,),
            digests=(HOSTILE,),
        )
        for number, row in enumerate(three_rows())
    ]
    shown = board(hostile, track=HOSTILE, title=HOSTILE, split=HOSTILE, signature=HOSTILE, formula=HOSTILE)
    for text in (shown.to_text(), shown.to_json(), shown.to_csv()):
        assert_harmless(text)
    cells = [cell for line in csv.reader(io.StringIO(shown.to_csv())) for cell in line]
    assert len(list(csv.reader(io.StringIO(shown.to_csv())))) == 4
    assert not [cell for cell in cells if cell.startswith(("=", "@", "+"))]
    assert_plain_markdown(shown.to_markdown())
    assert_plain_html(board_page(shown))
    assert_plain_latex(shown.to_latex())
    assert_plain_html(shown.to_html())


def test_tables_charts_and_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = ReportTable(HOSTILE, (HOSTILE, "b"), [(HOSTILE, HOSTILE)])
    assert_harmless(table.to_text())
    assert_plain_markdown(table.to_markdown())
    assert_plain_html(table.to_html())
    assert_plain_html(section_html(HOSTILE, [table], [HOSTILE]))
    assert_plain_latex(section_latex(HOSTILE, [table], [HOSTILE], HOSTILE))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # labels of this length leave no place for the curve
        condition_curve(
            tmp_path / "a.svg",
            [HOSTILE, "b"],
            [Line(HOSTILE, [0.5, 0.4], [0.4, 0.3], [0.6, 0.5], 0.5)],
            x_name=HOSTILE,
            y_name=HOSTILE,
        )
    picture = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert_harmless(picture)
    assert "img" not in {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(picture).iter()}
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr("sys.__stderr__", terminal)
    with progress_bar() as show:
        show(HOSTILE, 1, 2)
    assert "\x1b[31m" not in terminal.getvalue() and "\u202e" not in terminal.getvalue()


# The command line: arguments, variables of the environment, and what it prints.

COMMANDS = [
    [HOSTILE],
    ["score", HOSTILE, "x.csv"],
    ["score", "mer-multi", FILE],
    ["score", "mer-multi", "x.csv", "--split", HOSTILE],
    ["score", "mer-multi", "x.csv", f"--{HOSTILE}"],
    ["score", "mer-multi", "x.csv", "--method", HOSTILE],
    ["score", "mer-multi", "x.csv", "--by", HOSTILE, "--manifest", HOSTILE],
    ["score", "mer-multi", "x.csv", "-o", f"{HOSTILE}.{HOSTILE}"],
    ["validate", HOSTILE, FILE, "--format", "github"],
    ["compare", "mer-multi", FILE, HOSTILE],
    ["tracks", "--family", HOSTILE],
    ["describe", HOSTILE],
    ["describe", "mer-multi", "--split", HOSTILE],
    ["init", HOSTILE],
    ["metrics", HOSTILE],
    ["corpus", "show", HOSTILE],
    ["corpus", "import", HOSTILE, HOSTILE],
    ["corpus", "verify", f"./{HOSTILE}"],
    ["lexicon", "lookup", HOSTILE, "--lexicon", HOSTILE],
    ["lexicon", "import", HOSTILE, "--name", HOSTILE],
    ["groups", "import", HOSTILE, HOSTILE],
    ["bank", "import", HOSTILE, HOSTILE],
    ["corrupt", "mer-noise", "--output", HOSTILE, "--split", HOSTILE],
    ["run-baseline", "mer-multi", "--baseline", HOSTILE],
    ["run-baseline", "mer-multi", "--baseline", "majority", "--set", HOSTILE],
    ["robustness", "mer-multi", "--baseline", "majority", "--grid", HOSTILE],
    ["robustness", "mer-multi", "--baseline", HOSTILE, "--grid", f"snr_db={HOSTILE}"],
    ["benchmark", HOSTILE, "--baseline", HOSTILE],
    ["benchmark", "mer-multi", "--baseline", f"{HOSTILE}=majority", "--set", f"{HOSTILE}.x=1"],
    ["leaderboard", HOSTILE, "--submissions", "."],
    ["leaderboard", "--submissions", FILE],
    ["validate-entries", HOSTILE, "--format", "github"],
    ["enter", HOSTILE, FILE, "--team", HOSTILE, "--run", HOSTILE],
]


def test_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments in COMMANDS:
        assert run(arguments) in (0, 1, 2, 3), arguments
        printed = capsys.readouterr()
        assert_harmless(printed.out)
        assert_harmless(printed.err)
        assert "Traceback" not in printed.err


@pytest.mark.parametrize("name", ["MERBENCH_HOME", "MERBENCH_TRACKS", "MERBENCH_BASELINES"])
def test_variables(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / FILE.replace(":", "")
    (folder / FILE).mkdir(parents=True)
    for file in ("track.toml", "baseline.toml"):
        (folder / FILE / file).write_text(HOSTILE, encoding="utf-8")
    monkeypatch.setenv(name, str(folder))
    for arguments in (["corpus", "list"], ["tracks"], ["baselines"], ["score", FILE, "x"], ["lexicon", "list"]):
        run(arguments)
        printed = capsys.readouterr()
        assert_harmless(printed.out)
        assert_harmless(printed.err)


def test_a_track_with_hostile_text_in_all_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    key = "".join(f"\\U{ord(c):08x}" for c in HOSTILE)
    write_toy_track(tmp_path / "tracks")
    path = tmp_path / "tracks" / "toy" / "track.toml"
    text = path.read_text(encoding="utf-8").replace(
        'title = "Toy"', f'title = "{key}"\nsource = "{key}"\nfamily = "{key}"'
    )
    path.write_text(text.replace('"sad"]', f'"sad", "{key}"]\naliases = {{ "{key}2" = "sad" }}'), encoding="utf-8")
    monkeypatch.setenv("MERBENCH_TRACKS", str(tmp_path / "tracks"))
    monkeypatch.chdir(tmp_path)
    write_entry(Path("submissions"), "toy/one/run", predictions([1]))
    Path(FILE).write_text(predictions([1]), encoding="utf-8")
    Path(f"{FILE}2").write_text(predictions([1, 2]), encoding="utf-8")
    for arguments in (
        ["describe", "toy"],
        ["tracks", "--family", HOSTILE],
        ["tracks", "--format", "json"],
        ["validate", "toy", FILE],
        ["validate", "toy", FILE, "--format", "github"],
        ["score", "toy", FILE, "--no-intervals"],
        ["compare", "toy", FILE, f"{FILE}2", "--resamples", "100", "--permutations", "100"],
        ["leaderboard"],
    ):
        assert run(arguments) == 0, capsys.readouterr()
        printed = capsys.readouterr()
        assert_harmless(printed.out)
        assert_harmless(printed.err)
    assert run(["tracks", "--markdown"]) == 0
    page = capsys.readouterr().out
    assert_harmless(page)
    assert "<img" not in page and "](javascript" not in re.sub(r"\\[^\w\s]", "", page)
    assert_plain_html((tmp_path / "submissions" / "toy" / "leaderboard.html").read_text(encoding="utf-8"))
    assert_plain_markdown((tmp_path / "submissions" / "toy" / "leaderboard.md").read_text(encoding="utf-8"))
