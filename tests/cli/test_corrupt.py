"""`merbench corrupt` on the command line: what it prints, refuses and leaves with."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from made_media import Pictures, make_clip
from media_track import BLUR, NOISE, write_media_track

from merbench.banks.folder import open_bank
from merbench.cli import run
from merbench.sample import clips
from merbench.track import find_track

IDS = ("a", "b", "c")
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, data_home: Path) -> Path:
    open_bank("synthetic/babble")
    folder = tmp_path_factory.mktemp("clips")
    for number, name in enumerate(IDS, 1):
        clips.write_clip(clips.clip(f"sample_{number:08d}"), folder / f"{name}.mp4")
    return folder


@pytest.fixture
def place(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working directory with a track, and its clips in `clips`."""
    shutil.copytree(made, tmp_path / "clips")
    write_media_track(tmp_path, IDS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_clips_are_corrupted_once_and_then_kept(place: Path, capsys: Capture) -> None:
    assert run(["corrupt", "./toy-noise", "--media", "clips", "-o", "corrupted"]) == 0
    assert capsys.readouterr().out == "corrupted: 3 corrupted clips; corrupted/manifest.parquet\n"
    assert run(["corrupt", "./toy-noise", "--media", "clips", "-o", "corrupted", "--verify"]) == 0
    assert capsys.readouterr().out == (
        "corrupted: 3 corrupted clips, 3 of them already done; corrupted/manifest.parquet\nverified: 3 of 3 clips are identical when re-created\n"
    )
    assert "audio.decoded_snr_db" in pq.read_schema(place / "corrupted" / "manifest.parquet").names


@pytest.mark.real_data
@pytest.mark.slow
def test_the_louder_the_noise_the_worse_speech_sounds(
    place: Path, capsys: Capture, test_data: Path, installed_weights: Callable[[str], Path]
) -> None:
    """A clip of EMO-DB, clean, at 20 and at 0 dB."""
    pytest.importorskip("onnxruntime", reason="the extra of the extractor 'speech-quality'")
    installed_weights("speech-quality")
    (place / "emodb").mkdir()
    shutil.copy(test_data / "data/media/speech/emodb/03a01Wa.wav", place / "emodb/a.wav")
    ratings = {}
    for snr_db in (20, 0):
        write_media_track(place, ["a"], NOISE.replace("{ integers = [5, 10] }", str(snr_db)))
        command = ["corrupt", "./toy-noise", "--media", "emodb", "-o", f"at-{snr_db}", "--verify", "--speech-quality"]
        assert run(command) == 0
        _, verified, title, head, *lines = capsys.readouterr().out.splitlines()
        assert verified.startswith("verified: 1 of 1")
        assert title == "speech quality, opinions from 1 to 5 by DNSMOS, means of 1 clip:"
        assert head.split() == ["of", "before", "after", "change"]
        ratings[snr_db] = {name: (float(before), float(after)) for name, before, after, _ in map(str.split, lines)}
    assert list(ratings[0]) == ["speech", "background", "overall", "p808"]
    for name in ("background", "overall"):  # of a single clip the two others need not fall: babble is speech
        clean, at_20 = ratings[20][name]
        assert ratings[0][name][0] == clean
        assert 5 >= clean > at_20 > ratings[0][name][1] >= 1, name


@pytest.mark.slow
def test_the_speech_of_a_clip_without_sound_is_not_rated(
    place: Path, capsys: Capture, installed_weights: Callable[[str], Path]
) -> None:
    pytest.importorskip("onnxruntime", reason="the extra of the extractor 'speech-quality'")
    installed_weights("speech-quality")
    write_media_track(place, IDS[:2], BLUR)
    make_clip(place / "clips/a.mp4", Pictures(), container="mp4")
    command = ["corrupt", "./toy-noise", "--media", "clips", "-o", "blurred", "--verify", "--speech-quality"]
    assert run([*command, "--workers", "2"]) == 5
    shown = capsys.readouterr()
    assert "by DNSMOS, means of 1 clip:\n" in shown.out
    assert shown.err.splitlines()[-1] == "  E651  not rated: it has no audio stream: a"
    lines = [line.split() for line in shown.out.splitlines()[-4:]]
    assert all(before == after for _, before, after, _ in lines)  # the sound is copied


def test_speech_quality_needs_weights_and_verified_clips(
    place: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MERBENCH_HOME", str(place / "home"))
    command = ["corrupt", "./toy-noise", "--media", "clips", "-o", "corrupted", "--speech-quality"]
    assert run(command) == 2
    assert capsys.readouterr().err == "--speech-quality: applies only to verified clips, with --verify\n"
    assert run([*command, "--verify"]) == 2
    assert capsys.readouterr().err == (
        "extractor 'speech-quality' needs weights that are not installed; merbench extractors install speech-quality\n"
    )
    assert not (place / "corrupted").exists()
    assert run(["corrupt", "./toy-noise", "-o", "corrupted", "--speech-quality"]) == 2
    assert capsys.readouterr().err == "--speech-quality: applies only to clips, with --media DIR\n"


def test_a_dry_run_writes_nothing(place: Path, capsys: Capture) -> None:
    assert run(["corrupt", "./toy-noise", "--media", "clips", "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["sample_id", "background_noise.noise", "background_noise.snr_db"]
    assert [line.split()[0] for line in lines[1:4]] == ["a", "b", "c"]
    assert lines[4].startswith("3 clips, about ") and lines[4].endswith(" kB")
    assert sorted(path.name for path in place.iterdir()) == ["clips", "toy-noise"]


@pytest.mark.slow
def test_a_preview_is_a_picture(place: Path, capsys: Capture) -> None:
    assert run(["corrupt", "./toy-noise", "--media", "clips", "--preview", "sheet.png", "--sample", "b"]) == 0
    assert capsys.readouterr().out == "sheet.png: 1 clip before and after\n"
    assert (place / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_one_sample_alone(place: Path, capsys: Capture) -> None:
    assert run(["corrupt", "./toy-noise", "--media", "clips", "-o", "corrupted", "--sample", "b"]) == 0
    assert [path.name for path in (place / "corrupted").glob("*.mp4")] == ["b.mp4"]
    assert capsys.readouterr().err == ""


def test_problems_are_listed_with_code_5(place: Path, capsys: Capture) -> None:
    (place / "clips" / "a.mp4").unlink()
    (place / "clips" / "b.mp4").write_bytes(b"not a clip")
    (place / "clips" / "z.mp4").write_bytes(b"")
    assert run(["corrupt", "./toy-noise", "--media", "clips", "-o", "corrupted"]) == 5
    shown = capsys.readouterr()
    assert shown.out == "corrupted: 1 corrupted clip; corrupted/manifest.parquet\n"
    assert shown.err.splitlines() == [
        "clips: 1 warning",
        "  W651  1 media file without a sample: z.mp4",
        "clips: 2 problems",
        "  E651  is not a media file that FFmpeg can read: b",
        "  E651  no media file belongs to this sample: a",
    ]


def test_a_changed_output_is_found_with_code_3(place: Path, capsys: Capture) -> None:
    assert run(["corrupt", "./toy-noise", "--media", "clips", "-o", "corrupted"]) == 0
    with (place / "corrupted" / "c.mp4").open("r+b") as file:
        file.seek(3000)
        file.write(b"\1\2\3\4\5")
    capsys.readouterr()
    assert run(["corrupt", "./toy-noise", "--media", "clips", "-o", "corrupted", "--verify"]) == 3
    assert (
        capsys.readouterr().err
        == "corrupted: 1 problem\n  E652  the file changed since it was written; delete it and run again: c\n"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--media", "clips"], 2, "--output DIR, the folder to write, is needed; or --dry-run, or --preview FILE"),
        (["--media", "clips", "-o", "clips/out"], 2, "clips/out is inside clips, the folder of clips; name an output outside"),
        (["--media", "gone", "-o", "out"], 2, "gone: no such folder of media"),
        (["--media", "clips", "-o", "out", "--split", "dev"], 2, "toy-noise has no split 'dev'; it has test"),
        (["--media", "clips", "-o", "out", "--sample", "q"], 2, "no sample of split 'test' of toy-noise: q"),
        (["--media", "clips", "-o", "out", "--column", "x"], 2, "--column: applies only to features and texts of a corpus, without --media"),
        (["-o", "out", "--verify"], 2, "--verify: applies only to clips, with --media DIR"),
        (["-o", "out"], 2, "toy-noise declares no corruption of features or text"),
        (["--media", "clips", "-o", "out", "--engine", "ray"], 2, "'ray' is not an engine; allowed: local and dask://host:port"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_reported(
    place: Path, capsys: Capture, arguments: list[str], code: int, message: str
) -> None:
    assert run(["corrupt", "./toy-noise", *arguments]) == code
    assert capsys.readouterr().err.startswith(message)
    assert not (place / "out").exists()


def test_scores_by_what_the_manifest_holds(place: Path, capsys: Capture) -> None:
    assert run(["corrupt", "./toy-noise", "--media", "clips", "-o", "corrupted"]) == 0
    (place / "answers.csv").write_text("sample_id,discrete\na,calm\nb,calm\nc,calm\n")
    given = ["score", "./toy-noise", "answers.csv", "--no-intervals", "--by"]
    assert run([*given, "factor"]) == 0
    assert run([*given, "realised_snr_db"]) == 2
    manifest = ["--manifest", "corrupted/manifest.parquet"]
    assert run([*given, "realised_snr_db", *manifest]) == 0
    assert "by realised_snr_db" in capsys.readouterr().out
    write_media_track(place, IDS, NOISE)
    assert run([*given, "snr_db", *manifest]) == 3
    assert "the manifest of fingerprint" in capsys.readouterr().err


def test_features_of_a_corpus(place: Path, capsys: Capture, sample_home: Path) -> None:
    shipped = find_track("mer-multi")
    declared = (shipped / "track.toml").read_text(encoding="utf-8").replace('"mer-multi"', '"my-missing"')
    (place / "my-missing").mkdir()
    step = '\n[[corruptions]]\nname = "gcnet_missing"\nrate = 0.5\n'
    (place / "my-missing" / "track.toml").write_text(declared + step, encoding="utf-8")
    assert run(["corrupt", "./my-missing", "-o", "corrupted"]) == 0
    assert capsys.readouterr().out == (
        "corrupted/corpus: sample-my-missing, 600 samples corrupted; corrupted/manifest.parquet\n"
    )


def test_a_corrupted_corpus_is_not_corrupted_again(place: Path, capsys: Capture, sample_home: Path) -> None:
    assert run(["corrupt", "mer-noise", "-o", "corrupted"]) == 2
    assert capsys.readouterr().err == (
        "split 'test' of mer-noise is already corrupted in corpus 'sample', "
        "which has feature_noise.snr_db, feature_noise.factor\n"
    )


def test_steps_of_both_kinds_know_each_other(place: Path, capsys: Capture) -> None:
    """Rain that blurs and hisses: one draw for both."""
    steps = """
[[corruptions]]
name = "coloured_noise"
colour = "white"
severity = { integers = [1, 5], shared = "rain" }

[[corruptions]]
name = "gaussian_blur"
severity = { integers = [1, 5], shared = "rain" }
"""
    write_media_track(place, IDS, steps)
    assert run(["corrupt", "./toy-noise", "--media", "clips", "-o", "corrupted"]) == 0
    table = pq.read_table(place / "corrupted" / "manifest.parquet")
    assert table["coloured_noise.severity"].to_pylist() == table["gaussian_blur.severity"].to_pylist()
    assert BLUR not in steps
