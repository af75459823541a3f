"""A folder of clips is corrupted as a track declares: the same for any workers, any order and any interruption."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from media_track import BLUR, NOISE, media_candidates, write_media_track
from units_of_work import verify_and_die

from merbench.corrupt.clip import corrupt_clip
from merbench.corrupt.clip_folder import CorruptedMedia, corrupt_media, plan_media
from merbench.corrupt.manifest import JOURNAL, MANIFEST, read_manifest
from merbench.engine import WorkerDied
from merbench.errors import IntegrityError, OutputError, UsageError
from merbench.files.journal import Journal
from merbench.files.reading import sha256_file
from merbench.media import read_audio, read_video

IDS = tuple(f"clip-{number}" for number in range(6))


def plan_of(
    tmp_path: Path, media: Path, output: str = "out", ids: Sequence[str] = IDS, steps: str = NOISE + BLUR
) -> Any:
    return plan_media(media_candidates(tmp_path, ids, steps), media, tmp_path / output)


def corrupted(tmp_path: Path, media: Path, output: str = "out", **options: Any) -> CorruptedMedia:
    keys = {key: options.pop(key) for key in ("steps", "ids") if key in options}
    return corrupt_media(plan_of(tmp_path, media, output, **keys), **options)


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256_file(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def test_every_clip_gets_a_corrupted_copy_and_a_row(tmp_path: Path, media: Path) -> None:
    done = corrupted(tmp_path, media)
    assert (done.n_new, done.n_kept, done.problems, done.unused) == (6, 0, {}, ())
    manifest = read_manifest(tmp_path / "out" / MANIFEST)
    assert manifest.header["track"] == "toy-noise@1.0"
    assert set(contents(tmp_path / "out")) == {MANIFEST, *(f"{name}.mp4" for name in IDS)}
    for name, row in manifest.rows.items():
        before, after = media / f"{name}.mp4", tmp_path / "out" / f"{name}.mp4"
        assert row["input_sha256"] == sha256_file(before)
        assert (row["output_sha256"], row["output_bytes"]) == (sha256_file(after), after.stat().st_size)
        assert row["background_noise.snr_db"] in range(5, 11)
        assert row["background_noise.realised_snr_db"] == pytest.approx(row["background_noise.snr_db"], abs=0.1)
        assert row["pyramid_blur.factor"] in (1, 2, 4)
        assert row["n_frames"] == sum(1 for _ in read_video(before).frames)
        assert ("planes_sha256" in row) == (row["pyramid_blur.factor"] > 1)
    clean, noisy = (read_audio(folder / "clip-0.mp4").samples.astype(float) for folder in (media, tmp_path / "out"))
    n = min(clean.shape[1], noisy.shape[1])
    row = manifest.rows["clip-0"]
    added = noisy[:, :n] - clean[:, :n] * row["audio_scale"]
    snr_db = 20 * np.log10(np.linalg.norm(clean[:, :n]) * row["audio_scale"] / np.linalg.norm(added))
    assert snr_db == pytest.approx(row["background_noise.snr_db"], abs=0.5)  # with the noise of AAC


def test_one_sample_is_as_among_all_and_its_run_keeps_the_rows_of_the_others(tmp_path: Path, media: Path) -> None:
    (media / "clip-5.mp4").unlink()
    everything = corrupted(tmp_path, media)
    candidates = media_candidates(tmp_path, IDS)
    other = corrupt_media(plan_media(candidates, media, tmp_path / "other", sample_ids=["clip-3"]))
    assert (other.manifest.rows, other.unused) == ({"clip-3": everything.manifest.rows["clip-3"]}, ())
    plan = plan_media(candidates, media, tmp_path / "out", sample_ids=["clip-1"])
    again = corrupt_media(plan)
    assert (again.problems, again.manifest.rows) == ({}, everything.manifest.rows)
    copy = bytearray((media / "clip-2.mp4").read_bytes())
    copy[-1] ^= 1
    (media / "clip-2.mp4").write_bytes(bytes(copy))
    corrupt_media(plan)
    message = r"media: 1 clip changed since .*out was made of them: clip-2\.mp4; name another output, or remove it$"
    with pytest.raises(IntegrityError, match=message):
        corrupted(tmp_path, media)


def test_what_was_done_is_not_done_again(tmp_path: Path, media: Path) -> None:
    corrupted(tmp_path, media)
    before = contents(tmp_path / "out")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.mp4")}
    (tmp_path / "out" / "clip-2.mp4").unlink()
    again = corrupted(tmp_path, media)
    assert (again.n_new, again.n_kept) == (1, 5)
    assert contents(tmp_path / "out") == before
    assert sum(path.stat().st_mtime_ns == time_ns for path, time_ns in times.items()) == 5


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_in_the_same_bytes(tmp_path: Path, media: Path) -> None:
    expected = tmp_path / "complete"
    corrupted(tmp_path, media, "complete")
    track = write_media_track(tmp_path, IDS)
    command = [sys.executable, "-m", "merbench", "corrupt", str(track), "--media", str(media), "--workers", "2", "-o"]
    for number, wanted in enumerate((1, 4)):
        output = tmp_path / f"killed-{number}"
        with subprocess.Popen([*command, str(output)], start_new_session=True, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None and len(list(output.glob("clip-*.mp4"))) < wanted:
                time.sleep(0.005)
            assert process.poll() is None, "the run ended before it was killed"
            os.killpg(process.pid, signal.SIGKILL)
        assert (output / JOURNAL).is_file() and not (output / MANIFEST).exists()
        subprocess.run([*command, str(output)], check=True, capture_output=True)
        assert contents(output) == contents(expected)


@pytest.mark.slow
def test_an_interrupt_leaves_nothing_half_written(tmp_path: Path, media: Path) -> None:
    for number in range(6, 60):
        shutil.copy(media / f"clip-{number % 6}.mp4", media / f"clip-{number}.mp4")
    track = write_media_track(tmp_path, [f"clip-{number}" for number in range(60)])
    output = tmp_path / "out"
    command = [sys.executable, "-m", "merbench", "corrupt", str(track), "--media", str(media), "-o", str(output)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not list(output.glob("clip-*.mp4")):
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert (process.returncode, err) == (130, "interrupted\n")
    for path in output.glob("*.mp4"):
        assert read_audio(path).samples.size
    assert not [path for path in output.iterdir() if path.name.startswith(".")]
    again = subprocess.run(command, check=True, capture_output=True, text=True)
    assert again.stdout.startswith(f"{output}: 60 corrupted clips")


def test_a_run_that_ended_before_its_first_row_is_continued(tmp_path: Path, media: Path) -> None:
    corrupted(tmp_path, media, "complete")
    output = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt), Journal(output / JOURNAL, plan_of(tmp_path, media).header):
        shutil.copy(media / "clip-0.mp4", output / "clip-0.mp4")  # written, and not yet in the journal
        raise KeyboardInterrupt
    assert corrupted(tmp_path, media).n_new == 6
    assert contents(output) == contents(tmp_path / "complete")
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / JOURNAL).write_text('{"banks": {"synth')  # cut in its first line
    assert corrupted(tmp_path, media, "cut").n_new == 6


def test_a_run_that_did_nothing_leaves_nothing(tmp_path: Path, media: Path) -> None:
    plan = plan_of(tmp_path, media)
    with pytest.raises(UsageError, match=r"^no scheduler$"), Journal(tmp_path / "out" / JOURNAL, plan.header):
        raise UsageError("no scheduler")
    assert list((tmp_path / "out").iterdir()) == []


def test_two_runs_do_not_write_into_one_folder(tmp_path: Path, media: Path) -> None:
    plan = plan_of(tmp_path, media)
    with (
        Journal(tmp_path / "out" / JOURNAL, plan.header),
        pytest.raises(UsageError, match=r"out: another run is writing there$"),
    ):
        corrupt_media(plan)


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (PermissionError(13, "Permission denied"), "cannot be read: Permission denied"),
        (ZeroDivisionError("a bug"), "ZeroDivisionError: a bug"),
    ],
)
def test_a_clip_that_cannot_be_read_or_meets_a_bug_is_a_problem_of_its_sample(
    error: Exception, problem: str, tmp_path: Path, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: Path) -> str:
        if path.name == "clip-2.mp4" and path.parent == media:
            raise error
        return sha256_file(path)

    monkeypatch.setattr("merbench.corrupt.clip.sha256_file", broken)
    result = corrupted(tmp_path, media)
    assert (result.problems, result.n_new) == ({"clip-2": problem}, 5)


def test_faulty_clips_are_reported_and_the_others_are_corrupted(tmp_path: Path, media: Path) -> None:
    import av

    data = (media / "clip-1.mp4").read_bytes()
    (media / "clip-1.mp4").write_bytes(data[: len(data) // 2])
    (media / "clip-2.mp4").write_bytes(b"")
    (media / "clip-3.mp4").rename(media / "left-over.mp4")
    (media / "sub").mkdir()
    for place in ("sub/clip-4.mp4", "sub/clip-4.avi"):
        shutil.copy(media / "clip-4.mp4", media / place)
    (media / "clip-4.mp4").unlink()
    with av.open(str(media / "clip-5.mp4")) as source, av.open(str(media / "mute.mp4"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    (media / "mute.mp4").rename(media / "clip-5.mp4")
    done = corrupted(tmp_path, media)
    assert done.n_new == 1
    assert done.problems.keys() == {f"clip-{number}" for number in range(1, 6)}
    assert done.problems["clip-3"] == "no media file belongs to this sample"
    assert done.problems["clip-4"] == ("2 files could belong to this sample: sub/clip-4.avi, sub/clip-4.mp4")
    assert done.problems["clip-5"] == "it has no audio stream, which background_noise corrupts"
    assert [str(path) for path in done.unused] == ["left-over.mp4"]
    assert (media / "left-over.mp4").rename(media / "clip-3.mp4").is_file()
    again = corrupted(tmp_path, media)
    assert (again.n_new, again.n_kept, len(again.problems)) == (1, 1, 4)


def test_two_inputs_that_differ_in_suffix_or_folder_have_outputs_of_their_own(tmp_path: Path, media: Path) -> None:
    (media / "a").mkdir()
    shutil.copy(media / "clip-0.mp4", media / "a" / "clip-1.mp4")
    shutil.copy(media / "clip-0.mp4", media / "clip-1.avi")
    shutil.copy(media / "clip-0.mp4", media / "clip-1.avi.mov")
    done = corrupted(tmp_path, media, ids=["a/clip-1", "clip-1.mp4", "clip-1.avi", "clip-1.avi.mov"])
    plan = plan_media(media_candidates(tmp_path, done.manifest.rows), media, tmp_path / "x", sample_ids=["clip-1.avi"])
    assert f"{plan.clips[0].stem}.mp4" == done.manifest.rows["clip-1.avi"]["output"]
    assert {row["output"] for row in done.manifest.rows.values()} == {
        "a/clip-1.mp4",
        "clip-1.mp4.mp4",
        "clip-1.avi.mp4",
        "clip-1.avi.mov.mp4",
    }
    assert len(list((tmp_path / "out").rglob("*.mp4"))) == 4


def test_odd_names_of_files(tmp_path: Path, media: Path) -> None:
    names = ["-rf.mp4", 'it\'s a "quote".mp4', "new\nline.mp4", "笑顔.mp4", "100%d.mp4", "a:b.mp4", "no", "lies.txt"]
    for name in names:
        shutil.copy(media / "clip-0.mp4", media / name)
    candidates = media_candidates(tmp_path, [f"odd-{number}" for number in range(len(names))], NOISE, media=names)
    assert corrupt_media(plan_media(candidates, media, tmp_path / "out")).problems == {}
    outputs = {path.name for path in (tmp_path / "out").iterdir()} - {MANIFEST}
    assert outputs == {f"{Path(name).stem}.mp4" for name in names}


def test_another_seed_or_track_is_refused_before_anything_is_written(tmp_path: Path, media: Path) -> None:
    corrupted(tmp_path, media)
    before = contents(tmp_path / "out")
    track = write_media_track(tmp_path, IDS)
    text = (track / "track.toml").read_text()
    (track / "track.toml").write_text(text.replace("seed = 11", "seed = 12"))
    from merbench.corpus.candidates import open_candidates

    plan = plan_media(open_candidates(track), media, tmp_path / "out")
    with pytest.raises(IntegrityError, match=r"seed: 11, now 12\); name another output, or remove it$"):
        corrupt_media(plan)
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (NOISE.replace("synthetic/babble", "musan/speech"), "musan"),
        (
            '\n[[corruptions]]\nname = "word_deletion"\nrate = 0.1\n',
            "^toy-noise declares no corruption of sound or pictures for its split 'test'$",
        ),
    ],
)
def test_a_bank_and_steps_of_media_are_needed(tmp_path: Path, media: Path, steps: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan_of(tmp_path, media, steps=steps)


def test_too_little_space_is_reported_before_anything_is_written(
    tmp_path: Path, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("merbench.corrupt.clip_folder.shutil.disk_usage", lambda path: usage(1, 1, 1000))
    with pytest.raises(
        OutputError, match=r"out: not enough space: 6 corrupted clips may take \d+ kB, and 1 kB are free$"
    ):
        corrupted(tmp_path, media)
    assert not (tmp_path / "out").exists()


def test_a_full_disk_stops_the_run_and_what_was_done_stays(
    tmp_path: Path, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(clip: Any, banks: Any) -> Any:
        if clip.sample_id == "clip-3":
            raise OutputError(f"{clip.output}: cannot be written: No space left on device")
        return corrupt_clip(clip, banks)

    monkeypatch.setattr("merbench.corrupt.clip_folder.corrupt_clip", full)
    with pytest.raises(OutputError, match="No space left on device"):
        corrupted(tmp_path, media)
    assert (tmp_path / "out" / JOURNAL).is_file()
    monkeypatch.undo()
    again = corrupted(tmp_path, media)
    assert again.n_kept + again.n_new == 6


@pytest.mark.slow
def test_verified_clips_are_measured_and_a_changed_one_is_reported(tmp_path: Path, media: Path) -> None:
    done = corrupted(tmp_path, media, verify=True)
    assert done.differing == {}
    for row in done.manifest.rows.values():
        assert row["audio.decoded_snr_db"] == pytest.approx(row["background_noise.snr_db"], abs=0.5)
    with (tmp_path / "out" / "clip-4.mp4").open("r+b") as file:
        file.seek(2000)
        file.write(b"\0\1\2\3")
    assert corrupted(tmp_path, media, verify=True).differing == {
        "clip-4": "the file changed since it was written; delete it and run again"
    }


def test_a_clip_whose_worker_dies_while_it_is_verified_is_a_problem_of_its_sample(
    tmp_path: Path, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corrupted(tmp_path, media)
    monkeypatch.setattr("merbench.corrupt.clip_folder.verify_clip", verify_and_die)
    done = corrupted(tmp_path, media, verify=True, workers=2)
    assert (done.problems, done.differing) == ({}, {})
    assert done.unverified == {"clip-4": f"not verified: {WorkerDied.reason}"}
    rows = read_manifest(tmp_path / "out" / MANIFEST).rows
    assert [name for name, row in rows.items() if "audio.decoded_snr_db" not in row] == ["clip-4"]


MONO = "\n[media]\nsample_rate_hz = 16000\nchannels = 1\n"
RELEASED = NOISE.replace("snr_db", 'variant = "mer2023"\nsnr_db') + MONO


@pytest.mark.real_data
def test_the_released_procedure_runs_on_ordinary_clips(tmp_path: Path, test_data: Path, babble: str) -> None:
    """Stereo at 44.1 kHz becomes mono at 16 kHz, as the generator of 2023 had FFmpeg do; the sum is of 16 bits."""
    folder = test_data / "data" / "media" / "video" / "other"
    ids = [path.stem for path in sorted(folder.glob("*.mp4"))]
    done = corrupted(tmp_path, folder, ids=ids, steps=RELEASED)
    assert done.problems == {}
    for name, row in done.manifest.rows.items():
        sound = read_audio(tmp_path / "out" / f"{name}.mp4")
        assert (len(sound.samples), sound.rate_hz, row["sample_rate_hz"]) == (1, 16000, 16000)
        assert row["background_noise.realised_snr_db"] == pytest.approx(row["background_noise.snr_db"], abs=0.1)


def test_a_window_has_no_ratio_of_the_clip(tmp_path: Path, media: Path) -> None:
    steps = NOISE.replace("snr_db", "start = 0.25\nend = 0.75\nsnr_db")
    done = corrupted(tmp_path, media, steps=steps, verify=True)
    assert done.differing == {}
    assert all("audio.decoded_snr_db" not in row for row in done.manifest.rows.values())


def test_a_folder_of_something_else_is_not_written_to(tmp_path: Path, media: Path) -> None:
    (tmp_path / "out").mkdir()
    shutil.copy(media / "clip-1.mp4", tmp_path / "out" / "clip-0.mp4")
    before = contents(tmp_path / "out")
    with pytest.raises(UsageError, match=r"out: is not empty and has no manifest\.parquet; name another folder$"):
        corrupted(tmp_path, media)
    with pytest.raises(UsageError, match=r"is not empty and has no manifest"):
        corrupt_media(plan_of(tmp_path, media, "."))
    assert contents(tmp_path / "out") == before


def test_a_file_of_two_samples_is_a_problem_of_both(tmp_path: Path, media: Path) -> None:
    done = corrupted(tmp_path, media, ids=["clip-0", "clip-0.mp4", "clip-1"])
    problem = "its file also belongs to another sample"
    assert done.problems == {"clip-0": problem, "clip-0.mp4": problem}


def test_a_file_that_is_not_a_journal_is_an_error(tmp_path: Path, media: Path) -> None:
    (tmp_path / "out").mkdir()
    for text in (b"[1]\n", b"\xff\xfe\n", b'{"track": "x"}\n{"no": 1}\n'):
        (tmp_path / "out" / JOURNAL).write_bytes(text)
        with pytest.raises(IntegrityError, match=f"remove {tmp_path / 'out'} and start again$"):
            corrupted(tmp_path, media)


def test_a_name_that_is_not_text_is_a_problem(tmp_path: Path, media: Path) -> None:
    folder = os.fsdecode(os.fsencode(str(media)) + b"/caf\xe9")
    Path(folder).mkdir()
    shutil.move(media / "clip-0.mp4", Path(folder) / "clip-0.mp4")
    assert corrupted(tmp_path, media).problems == {"clip-0": "the name of its file is not UTF-8"}


def test_sound_that_is_not_numbers_is_a_problem(tmp_path: Path, media: Path) -> None:
    import soundfile

    (media / "clip-0.mp4").unlink()
    values = np.full(1600, np.nan, np.float32)
    soundfile.write(media / "clip-0.wav", values, 16000, subtype="FLOAT")
    assert corrupted(tmp_path, media, steps=NOISE).problems == {
        "clip-0": "its audio contains values that are not numbers"
    }


@pytest.mark.slow
def test_a_cluster_makes_the_bytes_that_one_process_makes(tmp_path: Path, media: Path, cluster: str) -> None:
    corrupted(tmp_path, media, "one")
    corrupted(tmp_path, media, "cluster", engine=cluster)
    assert contents(tmp_path / "cluster") == contents(tmp_path / "one")
