"""Folders of sounds and a made-up MUSAN become banks; sounds that cannot be used are named, all at once."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from banks_of_sounds import write_musan, write_sound

from merbench.banks.bank import Bank
from merbench.banks.folder import BANKS, open_bank, verify_bank, write_bank
from merbench.banks.importing import Terms, import_folder
from merbench.banks.musan import import_musan
from merbench.errors import IntegrityError, Problem, UnknownName, UsageError
from merbench.files.reading import sha256_file


def messages(problems: tuple[Problem, ...] | list[Problem]) -> list[str]:
    return [f"{problem.code} {problem.message}" for problem in problems]


@pytest.fixture
def own(home: Path, tmp_path: Path) -> Bank:
    """Return a bank of one sound."""
    write_sound(tmp_path / "in" / "a.wav", 100)
    return import_folder("own", tmp_path / "in").bank


def test_a_sound_is_measured(home: Path, tmp_path: Path) -> None:
    released = tmp_path / "in" / "street" / "a.wav"
    write_sound(released, np.array([[0.5, 0.0], [-0.25, 0.25], [0.0, 0.5]]), 44_100)
    imported = import_folder("own", tmp_path / "in", terms=Terms("2.0", "a street", "CC0-1.0"))
    bank = imported.bank
    assert (imported.problems, imported.warnings) == ((), ())
    assert (bank.name, bank.folder) == ("own", home / "own")
    assert (bank.version, bank.source, bank.licence) == ("2.0", "a street", "CC0-1.0")
    (sound,) = bank.sounds
    assert (sound.file, sound.part, sound.rate_hz, sound.channels) == ("street/a.wav", "street", 44_100, 2)
    # the averages of the channels are 0.25, 0 and 0.25
    assert sound.rms == pytest.approx(math.sqrt((0.0625 + 0.0625) / 3), abs=1e-12)
    assert sound.sha256 == sha256_file(released) == sha256_file(home / "own" / sound.file)
    assert (sound.n_samples, sound.n_bytes) == (3, released.stat().st_size)


def test_every_file_that_cannot_be_used_is_named(home: Path, tmp_path: Path) -> None:
    root = tmp_path / "in"
    write_sound(root / "good.wav", 100)
    write_sound(root / "empty.wav", np.zeros(0))
    write_sound(root / "silent.flac", np.zeros(1000))
    write_sound(root / "cancelling.wav", np.array([[0.5, -0.5]] * 10))
    write_sound(root / "not-a-number.wav", np.array([0.5, np.nan]), subtype="FLOAT")
    (root / "text.mp3").write_text("no sound at all", encoding="utf-8")
    (root / "nothing.ogg").touch()
    for name in ("cut.flac", "cut.mp3"):
        write_sound(root / name, 50_000)
        (root / name).write_bytes((root / name).read_bytes()[:10_000])
    write_sound(root / ".hidden.wav", 100)
    (root / "notes.txt").write_text("ignored", encoding="utf-8")
    imported = import_folder("mixed", root)
    assert [sound.file for sound in imported.bank.sounds] == ["good.wav"]
    expected = [
        "E643 cancelling.wav: is silent, or its channels cancel each other",
        "E641 cut.flac: ",  # libsndfile 1.2.0 reads what there is, 1.2.2 nothing
        "E641 cut.mp3: is cut off: the header states 50,000 samples, it has ",
        "E642 empty.wav: contains no samples",
        "E641 not-a-number.wav: contains samples that are not numbers",
        "E641 nothing.ogg: cannot be read as a sound: ",
        "E643 silent.flac: is silent, or its channels cancel each other",
        "E641 text.mp3: cannot be read as a sound: ",
    ]
    shown = messages(imported.problems)
    assert [text[: len(start)] for text, start in zip(shown, expected, strict=True)] == expected
    assert str(tmp_path) not in "".join(shown)
    assert sorted(path.name for path in (home / "mixed").iterdir()) == ["bank.toml", "good.wav", "noises.parquet"]


@pytest.mark.skipif(os.name == "nt", reason="names that are not text: Windows has none")
def test_odd_names_are_kept_and_names_that_are_not_text_are_reported(home: Path, tmp_path: Path) -> None:
    root = tmp_path / "in"
    odd = ['quote".wav', "line\nbreak.wav", "-dash.wav", "ünï.wav", "FLAC inside.wav"]
    for name in odd:
        write_sound(root / name, 100, **({"format": "FLAC"} if "FLAC" in name else {}))
    write_sound(root / "plain.wav", 100)
    try:
        (root / "plain.wav").rename(os.fsdecode(os.fsencode(root) + b"/\xff.wav"))
    except OSError:
        pytest.skip("names that are not text: this file system has none")
    imported = import_folder("odd", root)
    assert [sound.file for sound in imported.bank.sounds] == sorted(odd)
    assert messages(imported.problems) == [r"E644 \udcff.wav: the name is not text in UTF-8"]
    assert open_bank("odd").draw(np.random.PCG64(0), 50, 16_000, n_sources=5).audio.samples.shape == (5, 50)


def test_a_folder_without_a_usable_sound_is_refused(home: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(UsageError, match=r"in: no sound in this folder \(\.aif, "):
        import_folder("none", tmp_path / "in")
    write_sound(tmp_path / "in" / "a.wav", np.zeros(9))
    write_sound(tmp_path / "in" / "b.wav", np.zeros(0))
    with pytest.raises(UsageError) as caught:
        import_folder("none", tmp_path / "in")
    assert str(caught.value) == (
        f"{tmp_path / 'in'}: no sound in this folder can be used: 2 problems\n"
        "  E643  a.wav: is silent, or its channels cancel each other\n"
        "  E642  b.wav: contains no samples"
    )
    assert not home.exists()
    with pytest.raises(UsageError, match=r"gone: no such folder$"):
        import_folder("none", tmp_path / "gone")


def test_an_index_describes_sounds(home: Path, tmp_path: Path) -> None:
    root = tmp_path / "in"
    for name in ("a", "b", "deep/c"):
        write_sound(root / f"{name}.wav", 100)
    header = "file,klass,speaker,clip_licence,seconds"
    rows = "in/a.wav,dog,,CC0,1\nin/deep/c.wav,rain,rita,CC-BY,1\nin/d.wav,x,,,1\n"
    (tmp_path / "index.csv").write_text(f"{header}\n{rows}", encoding="utf-8")
    imported = import_folder("known", root, index=tmp_path / "index.csv")
    assert [(s.part, s.label, s.speaker, s.licence) for s in imported.bank.sounds] == [
        ("", "dog", "", "CC0"), ("", "", "", ""), ("deep", "rain", "rita", "CC-BY"),
    ]  # fmt: skip
    assert messages(imported.warnings) == [
        "W641 in/d.wav: no sound of that name",
        "W642 b.wav: the index does not name it",
    ]
    (root / "index.csv").write_text("file,class\na.wav,cat\n", encoding="utf-8")  # is read without being asked for
    assert import_folder("again", root).bank.labels == {"cat": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fil,class\na.wav,dog\n", r"i\.csv: has no column 'file'; did you mean 'fil'\?$"),
        ("file,class\na.wav,dog\nin/a.wav,cat\n", r"i\.csv: 1 problem\n  E645  a\.wav: is named by two rows$"),
        ("file,class\na.wav\n", r"i\.csv: 1 problem\n  E610  i\.csv: rows with another number of cells"),
    ],
)
def test_an_index_that_cannot_be_used_is_refused(text: str, message: str, own: Bank, tmp_path: Path) -> None:
    (tmp_path / "i.csv").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        import_folder("other", tmp_path / "in", index=tmp_path / "i.csv")


def test_sounds_may_stay_where_they_are(own: Bank, home: Path, tmp_path: Path) -> None:
    left = import_folder("left", tmp_path / "in", in_place=True).bank
    assert left.folder == tmp_path / "in"
    assert sorted(path.name for path in (home / "left").iterdir()) == ["bank.toml", "noises.parquet"]
    assert left.digest == own.digest
    draws = [bank.draw(np.random.PCG64(1), 50, 16_000).audio.samples for bank in (left, own)]
    assert np.array_equal(*draws)


def test_a_bank_is_replaced_only_when_that_is_asked_for(own: Bank, home: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"/own: already exists; --force replaces it$"):
        import_folder("own", tmp_path / "in")
    write_sound(tmp_path / "in" / "b.wav", 100)
    assert len(import_folder("own", tmp_path / "in", replace=True).bank.sounds) == 2
    with pytest.raises(UsageError, match=r"is in the folder of the bank that would be written, .*; move it elsewhere$"):
        import_folder("own", home / "own", replace=True)
    with pytest.raises(UsageError, match=r"^noise bank name '-a' is not valid"):
        import_folder("-a", tmp_path / "in")


def test_the_digest_covers_names_speakers_and_sounds(home: Path, tmp_path: Path) -> None:
    def digest(folder: str, name: str, speaker: str, seed: int) -> str:
        write_sound(tmp_path / folder / name, 100, seed=seed)
        (tmp_path / folder / "index.csv").write_text(f"file,speaker\n{name},{speaker}\n", encoding="utf-8")
        return import_folder(folder, tmp_path / folder).bank.digest

    same = [digest(f"same-{i}", "a.wav", "x", 0) for i in range(2)]
    others = [digest("n", "b.wav", "x", 0), digest("s", "a.wav", "y", 0), digest("v", "a.wav", "x", 1)]
    assert same[0] == same[1]
    assert len({same[0], *others}) == 4


@pytest.mark.parametrize("inside", ["", "musan"])
def test_musan_is_imported_with_its_annotations_and_licences(inside: str, home: Path, tmp_path: Path) -> None:
    write_musan(tmp_path / "release" / inside)
    imported = import_musan(tmp_path / "release")
    bank = imported.bank
    assert imported.problems == ()
    assert bank.parts == {"music": 2, "noise": 2, "speech": 2}
    assert [(s.file.rpartition("/")[2], s.label, s.licence) for s in bank.sounds] == [
        ("music-fma-0000.wav", "pop,electronica", "http://creativecommons.org/licenses/by/3.0/us/"),
        ("music-fma-0001.wav", "blues", "Public Domain"),
        ("noise-free-sound-0000.wav", "free-sound", ""),
        ("noise-sound-bible-0000.wav", "sound-bible", ""),
        ("speech-librivox-0000.wav", "german", "see speech/librivox/LICENSE"),
        ("speech-us-gov-0000.wav", "", ""),
    ]
    assert bank.source.startswith("MUSAN (Snyder, Chen and Povey, 2015)")
    texts = sorted(path.relative_to(home / "musan").as_posix() for path in (home / "musan").rglob("[A-Z]*"))
    assert texts == [
        "README", "music/fma/ANNOTATIONS", "music/fma/LICENSE", "speech/librivox/ANNOTATIONS", "speech/librivox/LICENSE",
    ]  # fmt: skip
    speech = open_bank("musan/speech")
    assert (speech.name, len(speech.sounds), len({sound.voice for sound in speech.sounds})) == ("musan/speech", 2, 2)
    assert len(open_bank("musan/pop").sounds) == len(open_bank("musan/electronica").sounds) == 1
    assert bank.digest != speech.digest


def test_names_of_banks_parts_and_paths(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("dogs/a", "dogs/b", "c"):
        write_sound(tmp_path / "in" / f"{name}.wav", 100)
    import_folder("own", tmp_path / "in")
    monkeypatch.chdir(tmp_path)
    (home / "own").rename(tmp_path / "elsewhere")
    for name in ("./elsewhere", tmp_path / "elsewhere"):
        assert len(open_bank(name).sounds) == 3
    assert len(open_bank("../elsewhere", relative_to=tmp_path / "in").sounds) == 3
    assert open_bank("./elsewhere/dogs").name == "own/dogs"
    for name, message in {
        "elsewhere": r"^no noise bank named 'elsewhere' .*; the working directory has a folder of this name: write \./e",
        "./elsewhere/dgos": r"^no part or class of the noise bank own named 'dgos'; did you mean 'dogs'\?",
        "musan": r"import the released files with `merbench bank import musan PATH`$",
        "unknown": r"import a folder of sounds with `merbench bank import NAME FOLDER`$",
    }.items():
        with pytest.raises(UnknownName, match=message):
            open_bank(name)
    with pytest.raises(UsageError, match=r"in: no bank\.toml in this folder; import a folder of sounds with "):
        open_bank("./in")
    with pytest.raises(UsageError, match=r"has none of the folders music, noise, speech that MUSAN has$"):
        import_musan(tmp_path)


def test_a_bank_whose_sounds_are_missing_or_changed_is_refused(home: Path, tmp_path: Path) -> None:
    for name in "abc":
        write_sound(tmp_path / "in" / f"{name}.wav", 100)
    bank = import_folder("own", tmp_path / "in").bank
    assert verify_bank(bank) == []
    sound = home / "own" / "b.wav"
    data = sound.read_bytes()
    sound.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))  # of the same size: only `verify_bank` sees it
    assert messages(verify_bank(open_bank("own"))) == ["E602 b.wav: the file changed"]
    (home / "own" / "a.wav").unlink()
    sound.write_bytes(data[:-2])
    with pytest.raises(IntegrityError) as caught:
        open_bank("own")
    assert str(caught.value) == (
        f"noise bank own in {home / 'own'}: 2 problems\n"
        "  E602  a.wav: the file is recorded but missing\n"
        "  E602  b.wav: the file changed: 242 bytes, recorded 244"  # a header of 44 bytes, and two bytes a sample
    )


def test_a_bank_without_an_audible_sound_is_refused(own: Bank, home: Path) -> None:
    write_bank(home / "own", replace(own, sounds=(replace(own.sounds[0], rms=0.0),)))
    with pytest.raises(UsageError, match=r"^noise bank own: all of its sounds are silent$"):
        open_bank("own")
    write_bank(home / "own", replace(own, sounds=()))
    with pytest.raises(UsageError, match=r"^noise bank own: no sound in it$"):
        open_bank("own")


def test_a_bank_that_was_edited_is_refused(own: Bank, home: Path) -> None:
    stated, path = home / "own" / "bank.toml", home / "own" / "noises.parquet"
    toml, table = stated.read_text(encoding="utf-8"), pq.read_table(path)
    for text, message in {
        toml.replace("digest", "digests"): r"bank\.toml: no text for digest; import a folder of sounds with",
        f"{toml}folder = 3\n": r"bank\.toml: folder is not text; import the bank again$",
        "name = x": r"bank\.toml: 1 problem\n  E207  not a TOML file: line 1, column 8: not a TOML value",
    }.items():
        stated.write_text(text, encoding="utf-8")
        with pytest.raises(UsageError, match=message):
            BANKS.open("own")
    stated.write_text(toml, encoding="utf-8")
    pq.write_table(table.set_column(3, table.schema.field(3), [["someone"]]), path)
    with pytest.raises(IntegrityError, match=r"noises\.parquet: the content has the digest [0-9a-f]{12}…, recorded"):
        BANKS.open("own")
    pq.write_table(table.drop_columns(["sha256"]), path)
    with pytest.raises(
        IntegrityError, match=r"noises\.parquet: does not contain the columns file, part, class, speaker, "
    ):
        BANKS.open("own")
    path.write_bytes(b"PAR1")
    with pytest.raises(IntegrityError, match=r"noises\.parquet: not a readable Parquet file$"):
        BANKS.open("own")
    write_bank(home / "own", replace(own, sounds=(replace(own.sounds[0], file="../a.wav"),)))
    with pytest.raises(IntegrityError, match=r"noises\.parquet: \.\./a\.wav leads out of the bank's folder$"):
        BANKS.open("own")


@pytest.mark.real_data
def test_recorded_noise_with_its_index(home: Path, test_data: Path) -> None:
    media = test_data / "data" / "media"
    imported = import_folder("esc", media / "noise", index=media / "noise_index.csv", in_place=True)
    assert (imported.problems, imported.warnings) == ((), ())
    bank = open_bank("esc/rain")
    # the index gives 5.001 s, an rms of 0.15431, CC0
    (rain,) = bank.sounds
    assert (round(rain.duration_s, 3), round(rain.rms, 5), rain.licence) == (5.001, 0.15431, "CC0")
    drawn = bank.draw(np.random.PCG64(0), 441_000, 44_100)
    assert drawn.audio.samples.shape == (1, 441_000)
    assert drawn.sources[0].count(" + ") == 1
