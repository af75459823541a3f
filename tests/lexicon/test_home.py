"""Lexicons in the data home: stored, checked when read, compiled once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from lexicon_release import write_release

from merbench.errors import IntegrityError, UnknownName, UsageError
from merbench.lexicon import LEXICONS, Lexicon, import_lexicon, open_lexicon


def values(lexicon: Lexicon) -> tuple[object, ...]:
    return lexicon.digest, lexicon.source, [lexicon.lookup(word) for word in lexicon.labels], lexicon.ambiguous()


def test_a_lexicon_is_opened_from_its_compiled_form(release: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = import_lexicon(release)
    assert stored.name == "tiny"
    files = sorted(path.name for path in (home / "tiny").iterdir())
    assert files == ["forms.csv", "lexicon.toml", "synonyms.csv", "wheels.csv"]
    assert (home / "tiny" / "synonyms.csv").read_text().startswith("base,wheel_word\nblue,blue\ncalm,calm\n")
    with monkeypatch.context() as patch:
        patch.setattr("merbench.lexicon.read_content", None)  # not needed: there is a compiled form
        assert values(open_lexicon("tiny")) == values(stored)
    (compiled,) = (home / ".compiled").iterdir()
    for broken in (b"", compiled.read_bytes()[:-200]):
        compiled.write_bytes(broken)
        assert values(open_lexicon("tiny")) == values(stored)
    with monkeypatch.context() as patch:
        patch.setattr("merbench.lexicon.compiled.NPZ_FORMAT", 0)
        patch.setattr("merbench.lexicon.read_content", None)
        with pytest.raises(TypeError):  # a compiled form of another format is not used
            open_lexicon("tiny")
    compiled.unlink()
    (home / ".compiled").rmdir()
    (home / ".compiled").write_text("a file where the folder would be")  # as in a data home that cannot be written
    assert values(open_lexicon("tiny")) == values(stored)


def test_the_same_words_have_the_same_digest_in_any_order(release: Path) -> None:
    first = import_lexicon(release, "first")
    rows = (release / "format.csv").read_text(encoding="utf-8-sig").splitlines()
    (release / "format.csv").write_text("\n".join([rows[0], *reversed(rows[1:]), rows[1]]))
    assert import_lexicon(release, "second").digest == first.digest
    (release / "format.csv").write_text("\n".join([*rows, "glad,gladder"]))
    assert import_lexicon(release, "third").digest != first.digest


def test_changed_files_are_reported(release: Path, home: Path) -> None:
    digest = import_lexicon(release).digest
    declared, forms = home / "tiny" / "lexicon.toml", home / "tiny" / "forms.csv"
    text, data = declared.read_text(), forms.read_bytes()
    declared.write_text(text.replace(digest, "0" * 64))
    with pytest.raises(IntegrityError) as caught:
        open_lexicon("tiny")
    assert str(caught.value) == f"{declared}: the content has the digest {digest[:12]}…, recorded 000000000000…"
    declared.write_text(text.replace('name = "tiny"', 'name = "other"'))
    with pytest.raises(UsageError, match=r"lexicon\.toml: the name must be that of the folder, 'tiny'$"):
        open_lexicon("tiny")
    declared.write_text(text)
    forms.write_bytes(data + b"x,y\n")
    with pytest.raises(IntegrityError, match=r"forms\.csv: the file changed: sha256 "):
        open_lexicon("tiny")


def test_names(release: Path, home: Path) -> None:
    import_lexicon(release, "mer2025")
    assert LEXICONS.names() == ("english", "mer2025")
    with pytest.raises(UnknownName) as caught:
        open_lexicon("mer2026")
    hint = "import the files released by MER 2025 and 2026 with `merbench lexicon import PATH`"
    known = "(known: english, mer2025)"
    assert str(caught.value) == f"no lexicon named 'mer2026'; did you mean 'mer2025'? {known}; {hint}"
    with pytest.raises(UnknownName, match=r"^no lexicon named '\.\./lexicons/mer2025'"):
        open_lexicon("../lexicons/mer2025")
    message = "Lists Of Words: the folder's name is not valid for a lexicon; --name gives it another"
    with pytest.raises(UsageError, match=f"{message}$"):
        import_lexicon(write_release(release.parent / "Lists Of Words"))
    with pytest.raises(UsageError, match=r"^lexicon 'english' comes with merbench; choose another name$"):
        import_lexicon(release, "english")
    with pytest.raises(UsageError, match=f"^{re.escape(str(home))}/mer2025: already exists; --force replaces it$"):
        import_lexicon(release, "mer2025")
    assert import_lexicon(release, "mer2025", replace=True).name == "mer2025"
