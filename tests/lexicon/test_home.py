"""Lexicons in the data home: stored, checked when read, compiled once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from lexicon_release import write_release

from merbench.errors import IntegrityError, UnknownName, UsageError
from merbench.lexicon import LEXICONS, Lexicon, import_lexicon, open_lexicon


def same(a: Lexicon, b: Lexicon) -> bool:
    return (a.digest, a.source, [a.lookup(word) for word in a.labels], a.ambiguous()) == (
        b.digest,
        b.source,
        [b.lookup(word) for word in b.labels],
        b.ambiguous(),
    )


def test_what_is_stored_is_opened_from_its_compiled_form(
    release: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = import_lexicon(release)
    assert stored.name == "tiny"
    assert sorted(path.name for path in (home / "tiny").iterdir()) == [
        "forms.csv",
        "lexicon.toml",
        "synonyms.csv",
        "wheels.csv",
    ]
    assert (home / "tiny" / "synonyms.csv").read_text().splitlines()[:3] == [
        "base,wheel_word",
        "blue,blue",
        "calm,calm",
    ]
    with monkeypatch.context() as patch:
        patch.setattr("merbench.lexicon.read_content", None)  # not needed: the compiled form is there
        assert same(open_lexicon("tiny"), stored)
    (compiled,) = (home / ".compiled").iterdir()
    for broken in (b"", b"not an archive", compiled.read_bytes()[:-200]):
        compiled.write_bytes(broken)
        assert same(open_lexicon("tiny"), stored)
    monkeypatch.setattr("merbench.lexicon.compiled.NPZ_FORMAT", 0)
    assert same(open_lexicon("tiny"), stored)


def test_the_same_words_have_the_same_digest_in_any_order(release: Path, tmp_path: Path) -> None:
    first = import_lexicon(release, "first")
    rows = (release / "format.csv").read_text(encoding="utf-8-sig").splitlines()
    (release / "format.csv").write_text("\n".join([rows[0], *reversed(rows[1:]), rows[1]]))
    assert import_lexicon(release, "second").digest == first.digest
    (release / "format.csv").write_text("\n".join([*rows, "glad,gladder"]))
    assert import_lexicon(release, "third").digest != first.digest


def test_a_changed_file_is_told(release: Path, home: Path) -> None:
    import_lexicon(release)
    file = home / "tiny" / "forms.csv"
    file.write_bytes(file.read_bytes() + b"x,y\n")
    expected = rf"^{re.escape(str(file))}: the file changed: sha256 [0-9a-f]{{12}}…, recorded [0-9a-f]{{12}}…$"
    with pytest.raises(IntegrityError, match=expected):
        open_lexicon("tiny")
    file.unlink()
    with pytest.raises(IntegrityError, match=f"^{re.escape(str(file))}: the file is recorded but missing$"):
        open_lexicon("tiny")


def test_a_changed_digest_is_told(release: Path, home: Path) -> None:
    digest = import_lexicon(release).digest
    file = home / "tiny" / "lexicon.toml"
    file.write_text(file.read_text().replace(digest, "0" * 64))
    expected = f"{file}: the content has the digest {digest[:12]}…, recorded 000000000000…"
    with pytest.raises(IntegrityError, match=f"^{re.escape(expected)}$"):
        open_lexicon("tiny")


def test_a_declaration_that_cannot_be_used_is_told(release: Path, home: Path) -> None:
    import_lexicon(release)
    file = home / "tiny" / "lexicon.toml"
    file.write_text(file.read_text().replace('name = "tiny"', 'name = "other"'))
    expected = f"{file}: the name must be that of the folder, 'tiny'"
    with pytest.raises(UsageError, match=f"^{re.escape(expected)}$"):
        open_lexicon("tiny")
    file.write_text("name = ")
    with pytest.raises(
        UsageError,
        match=f"^{re.escape(str(file))}: 1 problem\n  E207  not a TOML file: end of document: not a TOML value",
    ):
        open_lexicon("tiny")


def test_names(release: Path, home: Path) -> None:
    import_lexicon(release, "mer2025")
    assert LEXICONS.names() == ("english", "mer2025")
    known = r"\(known: english, mer2025\); import the files released by MER 2025 and 2026 with `merbench lexicon import PATH`"
    with pytest.raises(UnknownName, match=rf"^no lexicon named 'mer2026'; did you mean 'mer2025'\? {known}$"):
        open_lexicon("mer2026")
    with pytest.raises(UnknownName, match=r"^no lexicon named '\.\./lexicons/mer2025'"):
        open_lexicon("../lexicons/mer2025")
    with pytest.raises(
        UsageError, match=r"^lexicon name 'No Name' is not valid; a-z, 0-9 and - are allowed, 64 characters at most$"
    ):
        import_lexicon(release, "No Name")
    message = "Lists Of Words: the folder's name is not valid for a lexicon; --name gives it another"
    with pytest.raises(UsageError, match=f"{message}$"):
        import_lexicon(write_release(release.parent / "Lists Of Words"))
    with pytest.raises(UsageError, match=r"^lexicon 'english' comes with merbench; choose another name$"):
        import_lexicon(release, "english")
    taken = f"{home}/mer2025: already exists; --force replaces it"
    with pytest.raises(UsageError, match=f"^{re.escape(taken)}$"):
        import_lexicon(release, "mer2025")
    assert import_lexicon(release, "mer2025", replace=True).name == "mer2025"


def test_a_data_home_that_cannot_be_written_is_read(release: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = import_lexicon(release)
    for file in (home / ".compiled").iterdir():
        file.unlink()
    (home / ".compiled").rmdir()
    (home / ".compiled").write_text("in the way")
    assert same(open_lexicon("tiny"), stored)
