"""`merbench lexicon`: what each command prints and the exit code it ends with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from lexicon_release import write_release

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    write_release(tmp_path / "tiny")
    return tmp_path / "home" / "lexicons"


FILES = "released files format.csv, synonym.xlsx, wheel1.xlsx, wheel2.xlsx, wheel3.xlsx, wheel4.xlsx, wheel5.xlsx"


def test_import_list_info(home: Path, merbench: Command) -> None:
    code, out, err = merbench("lexicon", "import", "tiny")
    assert (code, err) == (0, "")
    digest = out.rsplit(" ", 1)[1].strip()
    assert out == f"{home}/tiny: tiny, 19 words, 5 wheels, digest {digest}\n"
    code, out, err = merbench("lexicon", "list")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == ["lexicon", "english", "tiny"]
    assert out.splitlines()[2].endswith(FILES)
    code, out, err = merbench("lexicon", "info", "tiny")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[:2] == ["tiny", f"source: {FILES}"]
    assert lines[2].startswith(f"digest: {digest}")
    assert lines[3:] == [
        "",
        "19 words of 17 base forms, 13 wheel words",
        "",
        "wheels",
        "  wheel1: 2 sectors (joy, gloom), 4 at level 2",
        *(f"  wheel{number}: 2 sectors (up, down), 2 at level 2" for number in range(2, 6)),
        "",
        "words in several sectors (the last row of a wheel is used)",
        "  calm: wheel1, level 1: joy and gloom, counts as gloom",
        "  calm: wheel1, level 2: content and tired, counts as tired",
        "  merry: wheel1, level 1: joy and gloom, counts as gloom",
        "  merry: wheel1, level 2: happy and tired, counts as tired",
    ]


def test_lookup_shows_every_step(merbench: Command) -> None:
    merbench("lexicon", "import", "tiny", "--name", "mine")
    assert merbench("lexicon", "lookup", "Lowly", "--lexicon", "mine") == (
        0,
        """\
lowly

base forms, and the wheel words of each
  low: sad
  lowly: none
  by form only: low; by form and synonym: sad

sectors
  wheel1: sad → gloom (level 2: sad)
  wheel2: sad → down (level 2: sad)
  wheel3: sad → down (level 2: sad)
  wheel4: sad → down (level 2: sad)
  wheel5: sad → down (level 2: sad)
""",
        "",
    )
    out = merbench("lexicon", "lookup", "blue", "--lexicon", "mine")[1]
    assert "  wheel2: not on this wheel; the word is dropped\n" in out


def test_lookup_of_an_unknown_word(merbench: Command) -> None:
    out = "'hapiness' is not in the lexicon english; did you mean 'happiness'?\n"
    assert merbench("lexicon", "lookup", "hapiness") == (0, out, "")


def test_mistakes(home: Path, tmp_path: Path, merbench: Command) -> None:
    hint = "import the files released by MER 2025 and 2026 with `merbench lexicon import PATH`"
    assert merbench("lexicon", "info", "tiny") == (2, "", f"no lexicon named 'tiny' (known: english); {hint}\n")
    (tmp_path / "tiny" / "wheel3.xlsx").unlink()
    problem = "E620  missing: wheel3.xlsx; a release has all of them, or wheel_mapping.npz instead"
    assert merbench("lexicon", "import", "tiny") == (2, "", f"tiny: 1 problem\n  {problem}\n")
    write_release(tmp_path / "whole")
    merbench("lexicon", "import", "whole")
    assert merbench("lexicon", "import", "whole")[0] == 2
    assert merbench("lexicon", "import", "whole", "--force")[0] == 0
    (home / "whole" / "wheels.csv").write_text("changed")
    assert merbench("lexicon", "info", "whole")[0] == 3
    assert "whole    " in merbench("lexicon", "list")[1]
    assert "cannot be opened; see `merbench lexicon info whole`" in merbench("lexicon", "list")[1]
