"""Released files become a lexicon; whatever is wrong with them is told, all of it."""

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


def problems(path: Path) -> str:
    with pytest.raises(InvalidLexicon) as caught:
        read_release(path)
    return str(caught.value)


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


def test_everything_wrong_is_told_at_once(release: Path) -> None:
    write_csv(release / "format.csv", [("name", "forms"), ("a", "b")])
    write_xlsx(release / "synonym.xlsx", [("word_run1", "synonym_run1", "word_run2"), ("happy", "glad", "x")])
    write_xlsx(release / "wheel1.xlsx", WHEEL[1:])
    write_xlsx(
        release / "wheel2.xlsx",
        [*WHEEL[:2], ("sad", None, "lonely"), (None, "x", None), (None, None, None), ("a", 3, "c")],
    )
    (release / "wheel3.xlsx").write_bytes(b"not a spreadsheet")
    write_xlsx(release / "wheel4.xlsx", WHEEL[:1])
    (release / "wheel5.xlsx").unlink()
    assert problems(release) == "\n".join(
        [
            f"{release}: 10 problems",
            "  E620  missing: wheel5.xlsx; a release has all of them, or wheel_mapping.npz instead",
            "  E622  wheel2.xlsx, row 6: 3 is not text; a word is needed",
            "  E620  wheel3.xlsx: cannot be read: not a ZIP archive, or one that is cut off",
            "  E621  format.csv: the first row has no format; it holds name, forms",
            "  E621  synonym.xlsx: the first row has no synonym_run2; it holds word_run1, synonym_run1, word_run2",
            "  E621  wheel1.xlsx: the first row has no level1, level2, level3; it holds joy, happy, proud",
            "  E623  wheel2.xlsx, row 3: level2 is empty (sad / … / lonely); a word is needed",
            "  E623  wheel2.xlsx, row 4: level3 is empty (sad / x / …); a word is needed",
            "  E623  wheel2.xlsx, row 6: level2 is empty (a / … / c); a word is needed",
            "  E624  wheel4.xlsx: there is no row below the header",
        ]
    )


def test_a_word_before_the_first_sector_is_told(release: Path) -> None:
    write_xlsx(release / "wheel1.xlsx", [WHEEL[0], (None, "happy", "glad")])
    assert problems(release).splitlines()[1:] == [
        "  E623  wheel1.xlsx, row 2: level1 is empty (… / happy / glad); a word is needed"
    ]


def test_an_empty_sheet_is_told(release: Path) -> None:
    write_xlsx(release / "wheel1.xlsx", [])
    write_csv(release / "format.csv", [])
    assert problems(release).splitlines()[1:] == [
        "  E621  format.csv: the first row has no name, format; it holds nothing",
        "  E621  wheel1.xlsx: the first row has no level1, level2, level3; it holds nothing",
    ]


def test_wheel_words_on_no_wheel_are_told(release: Path) -> None:
    write_xlsx(release / "synonym.xlsx", [("word_run1", "synonym_run1"), ("hapy", "glad"), ("x", "y")])
    assert problems(release).splitlines()[1:] == ["  E625  2 words given as wheel words are on no wheel: 'hapy', 'x'"]


def test_more_sectors_than_bits_are_told(release: Path) -> None:
    rows = [("one", f"two{number}", f"three{number}") for number in range(65)]
    write_xlsx(release / "wheel2.xlsx", [WHEEL[0], *rows])
    assert problems(release).splitlines()[1:] == ["  E624  wheel2 has 65 sectors at level 2; at most 64 are allowed"]


def test_a_bomb_and_wrong_bytes_are_refused(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (release / "format.csv").write_bytes(b"name,format\n\xff,x\n")
    assert "E620  format.csv: cannot be read: byte 0xFF at position 12 is not UTF-8" in problems(release)
    monkeypatch.setattr("merbench.lexicon.importing.MOST_BYTES", 100)
    (release / "format.csv").write_bytes(b"name,format\n" + b"a,b\n" * 100)
    told = problems(release)
    assert "E620  format.csv: cannot be read: holds more than 100 bytes" in told
    assert "E620  wheel1.xlsx: cannot be read: unpacks to more than 100 bytes" in told


def test_a_broken_spreadsheet_is_told(release: Path) -> None:
    path = release / "wheel1.xlsx"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["xl/worksheets/sheet1.xml"] = members["xl/worksheets/sheet1.xml"][:200]
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    del members["xl/workbook.xml"]
    with zipfile.ZipFile(release / "wheel2.xlsx", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    told = problems(release).splitlines()[1:]
    assert [line.split(": ")[:3] for line in told] == [
        [f"  E620  wheel{number}.xlsx", "cannot be read", "not a spreadsheet"] for number in (1, 2)
    ]


def test_a_folder_without_a_release(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    sheets = "format.csv, synonym.xlsx, wheel1.xlsx … wheel5.xlsx"
    expected = f"{tmp_path}/empty: has none of {sheets}, nor wheel_mapping.npz"
    with pytest.raises(UsageError, match=f"^{re.escape(expected)}$"):
        import_lexicon(tmp_path / "empty")


def test_a_path_that_is_not_there_or_no_release(tmp_path: Path) -> None:
    needed = "a folder of format.csv, synonym.xlsx, wheel1.xlsx … wheel5.xlsx, or wheel_mapping.npz, is needed"
    # The first has no parent with a name that a lexicon could have.
    for absent in ("/not-there", f"{tmp_path}/not-there", f"{tmp_path}/not-there.npz"):
        with pytest.raises(UsageError, match=f"^{re.escape(f'{absent}: no such file or folder; {needed}')}$"):
            import_lexicon(absent)
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(UsageError, match=f"^{re.escape(f'{tmp_path}/notes.txt: is not a release; {needed}')}$"):
        import_lexicon(tmp_path / "notes.txt", "notes")


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


def test_pickled_dictionaries_say_the_same(release: Path, tmp_path: Path) -> None:
    npz = write_npz(tmp_path / 'a "b".npz', maps(release))
    lexicon, of_sheets = import_lexicon(npz, "npz"), import_lexicon(release)
    assert lexicon.digest == of_sheets.digest
    assert lexicon.source == 'released file a "b".npz'
    for word in of_sheets.labels:
        assert lexicon.lookup(word) == of_sheets.lookup(word)


def test_a_folder_of_pickled_dictionaries_is_a_release(release: Path, tmp_path: Path) -> None:
    (tmp_path / "of-2026").mkdir()
    write_npz(tmp_path / "of-2026" / "wheel_mapping.npz", maps(release))
    lexicon = import_lexicon(tmp_path / "of-2026")
    assert (lexicon.name, lexicon.source) == ("of-2026", "released file wheel_mapping.npz")
    assert lexicon.digest == import_lexicon(release).digest


def test_a_sector_in_which_its_own_word_does_not_count(tmp_path: Path, release: Path) -> None:
    # hurt names a sector of level 2, and yet counts for low: its own row must come after those of the sector.
    rows = [("level1", "level2", "level3"), ("sad", "hurt", "sore"), ("sad", "low", "hurt")]
    write_xlsx(release / "wheel2.xlsx", rows)
    write_xlsx(release / "synonym.xlsx", [("word_run1", "synonym_run1"), ("sad", "low")])
    lexicon = import_lexicon(write_npz(tmp_path / "w.npz", maps(release)), "npz")
    assert lexicon.lookup("hurt").sectors["wheel2"] == ("hurt", "sad", "low")
    assert lexicon.lookup("sore").sectors["wheel2"] == ("sore", "sad", "hurt")
    assert lexicon.digest == import_lexicon(release).digest


def test_wrong_dictionaries_are_told(release: Path, tmp_path: Path) -> None:
    members = maps(release)
    members["format_mapping"]["odd"] = "text"
    members["raw_mapping"][3] = ["sad"]
    del members["wheel_map_whole"]["wheel4"]
    members["wheel_map_whole"]["wheel5"] = {"level1": {"a": "a"}, "level2": {}}
    members["wheel_map_whole"]["wheel3"]["level2"]["up"] = "cheerful"
    path = write_npz(tmp_path / "wheel_mapping.npz", members)
    assert problems(path).splitlines()[1:] == [
        "  E622  format_mapping: 'odd': 'text' is not a word and its list",
        "  E622  raw_mapping: 3: ['sad'] is not a word and its list",
        "  E620  missing in wheel_map_whole: wheel4; a release has all of them",
        "  E624  wheel3: 'up' has sectors that no table of rows gives it",
        "  E622  wheel5 in wheel_map_whole is not level1 and level2, each a word → sector of the same words",
    ]
    path = write_npz(tmp_path / "other.npz", {"filenames": ["a"], "raw_mapping": {}})
    assert problems(path).splitlines()[1:] == [
        "  E621  there is no dictionary format_mapping, wheel_map_whole; the file holds filenames, raw_mapping"
    ]


def test_a_pickle_that_asks_for_code_is_refused(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "evil.npz", {"format_mapping": {"a": [Path("x")]}})
    with pytest.raises(UsageError, match=r"which is not allowed$"):
        import_lexicon(path, "evil")


@pytest.mark.real_data
@pytest.mark.parametrize(("year", "n_labels"), [("mer2025", 7386), ("mer2026", 7356)])
def test_the_released_files(test_data: Path, year: str, n_labels: int) -> None:
    folder = test_data / "data" / "emotion-wheel" / year
    lexicon = import_lexicon(folder)
    assert (lexicon.name, len(lexicon.labels), len(lexicon.bases), len(lexicon.wheel_words)) == (
        year,
        n_labels,
        1255,
        253,
    )
    assert [len(lexicon.sector_names(wheel, 1)) for wheel in lexicon.wheels] == [6, 7, 6, 6, 6]
    assert [len(lexicon.sector_names(wheel, 2)) for wheel in lexicon.wheels] == [36, 41, 36, 48, 36]
    told = [(item.word, item.wheel, item.chosen) for item in lexicon.ambiguous() if item.level == 2]
    assert told == [
        ("disappointed", "wheel2", "hurt"),
        ("embarrassed", "wheel2", "hurt"),
        ("inferior", "wheel2", "depressed"),
        ("overwhelmed", "wheel2", "stressed"),
    ]


@pytest.mark.real_data
def test_the_released_dictionaries_equal_the_released_sheets(test_data: Path) -> None:
    folder = test_data / "data" / "emotion-wheel" / "mer2026"
    of_sheets, of_maps = import_lexicon(folder), import_lexicon(folder / "wheel_mapping.npz", "mer2026-npz")
    assert of_maps.digest == of_sheets.digest
    assert [of_maps.lookup(word) for word in of_sheets.labels[::50]] == [
        of_sheets.lookup(word) for word in of_sheets.labels[::50]
    ]
