"""Released files become a lexicon; all of their problems are reported at once."""

from __future__ import annotations

import re
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lexicon_release import WHEEL, write_csv, write_xlsx

from merbench.errors import InvalidLexicon, MissingExtra, UsageError
from merbench.lexicon import import_lexicon
from merbench.lexicon.importing import read_release


def problems(path: Path) -> list[str]:
    with pytest.raises(InvalidLexicon) as caught:
        read_release(path)
    return str(caught.value).splitlines()


def test_a_release_is_read(release: Path) -> None:
    content, read = read_release(release)
    assert content.forms["lowly"] == ("low", "lowly")
    assert content.forms["gladness"] == ("glad",)
    assert content.forms["no words"] == ("no words",)
    assert content.synonyms["glad"] == ("happy", "sad")  # both runs
    assert content.synonyms["merry"] == ("merry",)  # every wheel word is its own synonym
    assert content.wheels["wheel1"] == (
        ("joy", "happy", "proud"),
        ("joy", "happy", "merry"),
        ("joy", "content", "calm"),
        ("gloom", "sad", "blue"),
        ("gloom", "tired", "calm"),
        ("gloom", "tired", "merry"),
    )
    assert read == (
        "released files format.csv, synonym.xlsx, wheel1.xlsx, wheel2.xlsx, wheel3.xlsx, wheel4.xlsx, wheel5.xlsx"
    )


def test_a_sheet_may_be_a_csv_file(release: Path) -> None:
    expected = read_release(release)[0]
    (release / "wheel1.xlsx").unlink()
    write_csv(release / "wheel1.csv", [[cell or "" for cell in row] for row in WHEEL])
    assert read_release(release)[0] == expected


def test_all_problems_are_reported_at_once(release: Path) -> None:
    write_csv(release / "format.csv", [("name", "forms"), ("a", "b")])
    write_xlsx(release / "synonym.xlsx", [("word_run1", "synonym_run1", "word_run2"), ("happy", "glad", "x")])
    write_xlsx(release / "wheel1.xlsx", WHEEL[1:])
    rows = [("sad", None, "lonely"), (None, "x", None), (None, None, None), ("a", 3, "c")]
    write_xlsx(release / "wheel2.xlsx", [*WHEEL[:2], *rows])
    (release / "wheel3.xlsx").write_bytes(b"not a spreadsheet")
    write_xlsx(release / "wheel4.xlsx", WHEEL[:1])
    (release / "wheel5.xlsx").unlink()
    assert problems(release) == [
        f"{release}: 10 problems",
        "  E620  missing: wheel5.xlsx; a release has all of them, or wheel_mapping.npz instead",
        "  E622  wheel2.xlsx, row 6: 3 is not text; a word is needed",
        "  E620  wheel3.xlsx: cannot be read: not a ZIP archive, or one that is cut off",
        "  E621  format.csv: the first row has no format; it has name, forms",
        "  E621  synonym.xlsx: the first row has no synonym_run2; it has word_run1, synonym_run1, word_run2",
        "  E621  wheel1.xlsx: the first row has no level1, level2, level3; it has joy, happy, proud",
        "  E623  wheel2.xlsx, row 3: level2 is empty (sad / … / lonely); a word is needed",
        "  E623  wheel2.xlsx, row 4: level3 is empty (sad / x / …); a word is needed",
        "  E623  wheel2.xlsx, row 6: level2 is empty (a / … / c); a word is needed",
        "  E624  wheel4.xlsx: no row below the header",
    ]


SECTORS = [("one", f"two{number}", f"three{number}") for number in range(65)]


@pytest.mark.parametrize(
    ("file", "rows", "problem"),
    [
        ("wheel1", [WHEEL[0], (None, "happy", "glad")], "E623  wheel1.xlsx, row 2: level1 is empty (… / happy / glad); a word is needed"),
        ("wheel1", [], "E621  wheel1.xlsx: the first row has no level1, level2, level3; it has nothing"),
        ("synonym", [("word_run1", "synonym_run1"), ("hapy", "glad"), ("x", "y")], "E625  2 words given as wheel words are on no wheel: 'hapy', 'x'"),
        ("wheel2", [WHEEL[0], *SECTORS], "E624  wheel2 has 65 sectors at level 2; at most 64 are allowed"),
    ],
)  # fmt: skip
def test_a_sheet_with_a_problem_is_refused(
    file: str, rows: list[tuple[str | None, ...]], problem: str, release: Path
) -> None:
    write_xlsx(release / f"{file}.xlsx", rows)
    assert problems(release)[1:] == [f"  {problem}"]


def test_large_and_broken_files_are_refused(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(release / "wheel1.xlsx") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["xl/worksheets/sheet1.xml"] = members["xl/worksheets/sheet1.xml"][:200]
    for number in (1, 2):
        with zipfile.ZipFile(release / f"wheel{number}.xlsx", "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        members.pop("xl/workbook.xml", None)
    (release / "format.csv").write_bytes(b"name,format\n\xff,x\n")
    shown = problems(release)
    assert [line for line in shown if "not a spreadsheet" in line] == [
        f"  E620  wheel{number}.xlsx: cannot be read: not a spreadsheet" for number in (1, 2)
    ]
    assert "  E620  format.csv: cannot be read: byte 0xFF at position 12 is not UTF-8" in shown
    monkeypatch.setattr("merbench.lexicon.importing.MOST_BYTES", 100)
    (release / "format.csv").write_bytes(b"name,format\n" + b"a,b\n" * 100)
    shown = problems(release)
    assert "  E620  format.csv: cannot be read: contains more than 100 bytes" in shown
    assert "  E620  wheel1.xlsx: cannot be read: unpacks to more than 100 bytes" in shown
    monkeypatch.setattr("merbench.lexicon.importing.MOST_CELLS", 2)
    (release / "format.csv").write_bytes(b"name,format\n")
    assert "  E620  format.csv: cannot be read: contains more than 2 cells" in problems(release)


def test_a_path_without_a_release_is_refused(tmp_path: Path) -> None:
    sheets = "format.csv, synonym.xlsx, wheel1.xlsx … wheel5.xlsx"
    needed = f"a folder of {sheets}, or wheel_mapping.npz, is needed"
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("")
    # The second has no parent with a name that a lexicon could have.
    for path, message in {
        f"{tmp_path}/gone.npz": f"no such file or folder; {needed}",
        "/gone": f"no such file or folder; {needed}",
        f"{tmp_path}/empty": f"has none of {sheets}, nor wheel_mapping.npz",
        f"{tmp_path}/notes.txt": f"is not a release; {needed}",
    }.items():
        with pytest.raises(UsageError, match=f"^{re.escape(f'{path}: {message}')}$"):
            import_lexicon(path, "notes" if path.endswith("txt") else None)


def test_spreadsheets_need_an_extra(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    expected = r"^reading wheel1\.xlsx needs the extra 'lexicons': pip install 'merbench\[lexicons\]'$"
    with pytest.raises(MissingExtra, match=expected):
        read_release(release)


def maps(release: Path) -> dict[str, Any]:
    """Return the release as the dictionaries of 2026."""
    content, _ = read_release(release)
    sectors = {wheel: content.sectors(wheel) for wheel in content.wheels}
    return {
        "format_mapping": {form: list(bases) for form, bases in content.forms.items()},
        "raw_mapping": {base: list(words) for base, words in content.synonyms.items()},
        "wheel_map_whole": {
            wheel: {f"level{level}": {word: pair[level - 1] for word, pair in own.items()} for level in (1, 2)}
            for wheel, own in sectors.items()
        },
    }


def write_npz(path: Path, members: dict[str, Any]) -> Path:
    np.savez(path, **{name: np.array(value, dtype=object) for name, value in members.items()})
    return path


def test_pickled_dictionaries_give_the_same_lexicon(release: Path, tmp_path: Path) -> None:
    npz = write_npz(tmp_path / 'a "b".npz', maps(release))
    lexicon, of_sheets = import_lexicon(npz, "npz"), import_lexicon(release)
    assert lexicon.digest == of_sheets.digest
    assert lexicon.source == 'released file a "b".npz'
    assert [lexicon.lookup(word) for word in of_sheets.labels] == [of_sheets.lookup(word) for word in of_sheets.labels]
    (tmp_path / "of-2026").mkdir()
    write_npz(tmp_path / "of-2026" / "wheel_mapping.npz", maps(release))
    of_folder = import_lexicon(tmp_path / "of-2026")
    assert (of_folder.name, of_folder.source) == ("of-2026", "released file wheel_mapping.npz")
    assert of_folder.digest == of_sheets.digest


def test_a_sector_in_which_its_own_word_does_not_count(tmp_path: Path, release: Path) -> None:
    # hurt names a sector of level 2, and yet counts for low: its own row must come after those of the sector.
    rows = [("level1", "level2", "level3"), ("sad", "hurt", "sore"), ("sad", "low", "hurt")]
    write_xlsx(release / "wheel2.xlsx", rows)
    write_xlsx(release / "synonym.xlsx", [("word_run1", "synonym_run1"), ("sad", "low")])
    lexicon = import_lexicon(write_npz(tmp_path / "w.npz", maps(release)), "npz")
    assert lexicon.lookup("hurt").sectors["wheel2"] == ("hurt", "sad", "low")
    assert lexicon.lookup("sore").sectors["wheel2"] == ("sore", "sad", "hurt")
    assert lexicon.digest == import_lexicon(release).digest


def test_wrong_dictionaries_are_refused(release: Path, tmp_path: Path) -> None:
    members = maps(release)
    members["format_mapping"]["odd"] = "text"
    members["raw_mapping"][3] = ["sad"]
    del members["wheel_map_whole"]["wheel4"]
    members["wheel_map_whole"]["wheel5"] = {"level1": {"a": "a"}, "level2": {}}
    members["wheel_map_whole"]["wheel3"]["level2"]["up"] = "cheerful"
    path = write_npz(tmp_path / "wheel_mapping.npz", members)
    assert problems(path)[1:] == [
        "  E622  format_mapping: 'odd': 'text' is not a word and its list",
        "  E622  raw_mapping: 3: ['sad'] is not a word and its list",
        "  E620  missing in wheel_map_whole: wheel4; a release has all of them",
        "  E624  wheel3: 'up' has sectors that no table of rows gives it",
        "  E622  wheel5 in wheel_map_whole is not level1 and level2, each a word → sector of the same words",
    ]
    path = write_npz(tmp_path / "other.npz", {"filenames": ["a"], "raw_mapping": {}})
    assert problems(path)[1:] == [
        "  E621  no dictionary format_mapping, wheel_map_whole; the file contains filenames, raw_mapping"
    ]


def test_a_pickle_that_asks_for_code_is_refused(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "evil.npz", {"format_mapping": {"a": [Path("x")]}})
    with pytest.raises(UsageError, match=r"which is not allowed$"):
        import_lexicon(path, "evil")


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize(("year", "n_labels"), [("mer2025", 7386), ("mer2026", 7356)])
def test_the_released_files(test_data: Path, year: str, n_labels: int) -> None:
    folder = test_data / "data" / "emotion-wheel" / year
    lexicon = import_lexicon(folder)
    sizes = len(lexicon.labels), len(lexicon.bases), len(lexicon.wheel_words)
    assert (lexicon.name, *sizes) == (year, n_labels, 1255, 253)
    assert [len(lexicon.sector_names(wheel, 1)) for wheel in lexicon.wheels] == [6, 7, 6, 6, 6]
    assert [len(lexicon.sector_names(wheel, 2)) for wheel in lexicon.wheels] == [36, 41, 36, 48, 36]
    assert [(item.word, item.wheel, item.chosen) for item in lexicon.ambiguous() if item.level == 2] == [
        ("disappointed", "wheel2", "hurt"),
        ("embarrassed", "wheel2", "hurt"),
        ("inferior", "wheel2", "depressed"),
        ("overwhelmed", "wheel2", "stressed"),
    ]
    if year == "mer2026":
        of_maps = import_lexicon(folder / "wheel_mapping.npz", "npz")
        assert of_maps.digest == lexicon.digest
        words = lexicon.labels[::50]
        assert [of_maps.lookup(word) for word in words] == [lexicon.lookup(word) for word in words]
