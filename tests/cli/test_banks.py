"""`merbench bank`: what each command prints and the exit code it ends with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from banks_of_sounds import write_musan, write_sound

pytest.importorskip("soundfile")

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home" / "banks"


def test_import_info_verify_list(home: Path, tmp_path: Path, merbench: Command) -> None:
    for seed, name in enumerate(("dogs/a", "dogs/b", "rain/c")):
        write_sound(tmp_path / "in" / f"{name}.wav", 960_000, seed=seed)  # a minute each
    (tmp_path / "in" / "index.csv").write_text(
        "file,class,licence\ndogs/a.wav,bark,CC0\ndogs/b.wav,whine,CC0\nrain/c.wav,rain,\n", encoding="utf-8"
    )
    code, out, err = merbench("bank", "import", "own", "in", "--source", "my street", "--licence", "CC0-1.0")
    assert (code, err) == (0, "")
    digest = out.rpartition(" ")[2].strip()
    assert out == f"{home / 'own'}: own 1.0, 3 sounds of 3.0 min, digest {digest}\n"
    code, out, err = merbench("bank", "info", "own")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines.pop(4).startswith(f"digest: {digest}")
    assert lines == [
        "own 1.0",
        f"folder: {home / 'own'}",
        "source: my street",
        "licence: CC0-1.0",
        "",
        "3 sounds of 3.0 min",
        "rates: 16,000 Hz",
        "speakers: unknown",
        "parts: dogs 2, rain 1",
        "classes: bark 1, rain 1, whine 1",
        "licences of single sounds: CC0",
    ]
    assert "1 sound of 1.0 min" in merbench("bank", "info", "own/rain")[1]
    assert merbench("bank", "verify", "own") == (0, f"{home / 'own'}: 3 sounds as recorded\n", "")
    write_sound(home / "own" / "rain" / "c.wav", 960_000, seed=9)
    code, out, err = merbench("bank", "verify", "own")
    assert (code, out) == (3, "")
    assert err == f"noise bank own in {home / 'own'}: 1 problem\n  E602  rain/c.wav: the file changed\n"
    code, out, err = merbench("bank", "list")
    assert (code, err) == (0, "")
    assert [line.split() for line in out.splitlines()] == [
        ["bank", "version", "sounds", "length", "parts", "source"],
        ["own", "1.0", "3", "3.0", "min", "dogs,", "rain", "my", "street"],
        ["synthetic", "built", "on", "first", "use"],
    ]


def test_sounds_that_are_left_out_are_named(tmp_path: Path, home: Path, merbench: Command) -> None:
    write_sound(tmp_path / "in" / "a.wav", 100)
    write_sound(tmp_path / "in" / "b.wav", np.zeros(100))
    (tmp_path / "in" / "index.csv").write_text("file,class\nb.wav,hush\n", encoding="utf-8")
    code, out, err = merbench("bank", "import", "own", "in")
    assert code == 5
    assert out.startswith(f"{home / 'own'}: own 1.0, 1 sound of 0.0 min, digest ")
    assert err == (
        "own: 1 warning\n"
        "  W642  a.wav: the index does not name it\n"
        "own, 1 sound left out: 1 problem\n"
        "  E643  b.wav: is silent, or its channels cancel each other\n"
    )


def test_in_place_the_folder_of_the_bank_is_reported(tmp_path: Path, home: Path, merbench: Command) -> None:
    write_sound(tmp_path / "in" / "a.wav", 100)
    code, out, _ = merbench("bank", "import", "own", "in", "--in-place")
    assert code == 0 and out.startswith(f"{home / 'own'}: own 1.0, ")
    assert f"folder: {tmp_path / 'in'}\n" in merbench("bank", "info", "own")[1]


def test_musan(tmp_path: Path, home: Path, merbench: Command) -> None:
    write_musan(tmp_path / "musan")
    code, out, err = merbench("bank", "import", "musan", "musan")
    assert (code, err) == (0, "") and out.startswith(f"{home / 'musan'}: musan 1.0, 6 sounds of 0.0 min, digest ")
    assert merbench("bank", "import", "musan", "musan", "--licence", "mine") == (
        2, "", "musan: its index and its terms are those of the release; leave those options out\n",
    )  # fmt: skip


def test_build(tmp_path: Path, merbench: Command) -> None:
    code, out, err = merbench("bank", "build", "--output", "there")
    assert (code, err) == (0, "building the synthetic noise bank in there\n")
    assert out.startswith("there: synthetic 1.0, 37 sounds of 3.4 min, digest ")
    assert merbench("bank", "build", "--output", "there") == (2, "", "there: already exists; --force replaces it\n")


def test_the_folder_that_was_built_is_reported_where_the_data_home_has_the_bank_too(
    home: Path, tmp_path: Path, merbench: Command
) -> None:
    write_sound(home / "synthetic" / "a.wav", 100)  # a bank of that name, as far as a folder tells
    code, out, _ = merbench("bank", "build", "--output", "there")
    assert code == 0 and out.startswith("there: synthetic 1.0, ")


def test_mistakes_are_reported_on_one_line(tmp_path: Path, merbench: Command) -> None:
    code, out, err = merbench("bank", "info", "muzan")
    assert (code, out, err.count("\n")) == (2, "", 1)
    code, out, err = merbench("bank", "import", "own", "gone")
    assert (code, out, err) == (2, "", "gone: no such folder\n")


def test_a_bank_that_cannot_be_opened_stops_no_list_of_the_others(
    tmp_path: Path, home: Path, merbench: Command
) -> None:
    write_sound(tmp_path / "in" / "a.wav", 100)
    merbench("bank", "import", "own", "in")
    (home / "own" / "bank.toml").write_text("", encoding="utf-8")
    code, out, _ = merbench("bank", "list")
    assert code == 0 and "cannot be opened; see `merbench bank info own`" in out
