"""Clips of tones and grey pictures: sound tells the class by its pitch, pictures by their brightness of one half."""

from __future__ import annotations

import csv
import platform
import re
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pytest
import soundfile
from made_corpus import made_corpus

from merbench.banks.home import open_bank
from merbench.banks.importing import import_folder
from merbench.corrupt.steps import corrupt
from merbench.corruptions import Audio, Step
from merbench.errors import UsageError
from merbench.features.sound import sound_vector
from merbench.media.reading import read_audio
from merbench.robustness import RobustnessReport
from merbench.track import Track, load_track
from tests.robustness.conftest import CorruptedTrack, classes, ids, scored, vectors

NOISE = '[[corruptions]]\nname = "coloured_noise"\ncolour = "white"\nsnr_db = 20\n'
OF_BANK = '[[corruptions]]\nname = "background_noise"\nnoise = "own"\nsnr_db = 20\n'
RATE = 16_000


def tone(row: int) -> np.ndarray:
    """Return 0.25 s of a tone and its octave; the higher, the higher the class."""
    t = np.arange(RATE // 4) / RATE
    hz = (150, 200, 260)[classes()[row]] * (1 + 0.02 * (row % 5))
    return 0.2 * np.sin(2 * np.pi * hz * t) + 0.1 * np.sin(4 * np.pi * hz * t)


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """Return a folder with a sound of every sample."""
    folder = tmp_path / "sounds"
    folder.mkdir()
    for row, name in enumerate(ids()):
        soundfile.write(folder / f"{name}.wav", tone(row), RATE, subtype="PCM_16")
    return folder


def noises(folder: Path, name: str, seed: int) -> None:
    """Store a noise bank of one sound, a second long."""
    (folder / name).mkdir(parents=True)
    samples = 0.1 * np.random.default_rng(seed).normal(0, 1, RATE)
    soundfile.write(folder / name / "noise.wav", samples, RATE, subtype="PCM_16")
    import_folder(name, folder / name)


def logistic(
    track: Track, output: Path, media: Path | list[Path], grids: dict[str, Any] | None = None, **settings: Any
) -> RobustnessReport:
    folders = media if isinstance(media, list) else [media]
    return scored(track, output, grids or {"snr_db": [20, -20]}, media=folders, **settings)


def scores(report: RobustnessReport) -> list[float | None]:
    return [row.scores[1].value for row in (report.clean, *report.curves[0].rows)]


def test_clips_are_damaged_in_memory_and_their_sound_is_measured(
    corrupted_track: CorruptedTrack, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = corrupted_track(NOISE, features={})
    given: list[Any] = []
    import merbench.robustness.conditions as room

    trained = room._fitted
    monkeypatch.setattr(room, "_fitted", lambda system, train: given.append(train) or trained(system, train))
    before = sorted((path.name, path.read_bytes()) for path in sounds.iterdir())
    report = logistic(track, tmp_path / "out", sounds)
    assert sorted((path.name, path.read_bytes()) for path in sounds.iterdir()) == before
    assert report.features == ("audio",)
    (learned,) = given  # one model, of undamaged sound
    first = sound_vector(read_audio(sounds / f"{ids()[0]}.wav"))
    assert np.array_equal(learned.features["audio"][0], first.astype(np.float32))
    found = scores(report)
    assert found[0] == pytest.approx(1, abs=0.1)  # a pitch for each class
    assert found[2] is not None
    assert found[2] < found[0] - 0.2  # type: ignore[operator]
    assert set(report.digests) == {"track", "corpus", "references", "clips of train", "clips of test"}
    realised = [row.realised["coloured_noise.realised_snr_db"] for row in report.curves[0].rows]
    assert realised == pytest.approx([20, -20], abs=0.1)


def test_every_worker_count_gives_the_same_report(
    corrupted_track: CorruptedTrack, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path / "home"))
    noises(tmp_path / "street", "own", seed=1)
    track = corrupted_track(OF_BANK, features={})
    one = logistic(track, tmp_path / "one", sounds, weights="per-condition", grids={"snr_db": [0]})
    two = logistic(track, tmp_path / "two", sounds, weights="per-condition", grids={"snr_db": [0]}, workers=2)
    assert one == two


def test_the_damage_of_a_clip_is_that_of_its_step(corrupted_track: CorruptedTrack, sounds: Path) -> None:
    from merbench.corpus.candidates import open_candidates
    from merbench.robustness.clips import read_clips
    from merbench.robustness.grid import planned

    track = corrupted_track(NOISE, features={})
    (curve,) = planned(track, {"snr_db": [5]})
    clips = read_clips(
        open_candidates(track, "test"),
        [sounds],
        {"audio": curve.conditions},
        {},
        workers=1,
        engine="local",
        progress=lambda done, total: None,
    )
    name = ids()[-1]
    step = Step("coloured_noise", {"colour": "white", "snr_db": 5})
    sound: Audio = corrupt(read_audio(sounds / f"{name}.wav"), [step], seed=11, sample_id=name).signal
    vector = clips.measured["audio"][curve.conditions[0]].vectors[-1]
    assert np.array_equal(vector, sound_vector(sound).astype(np.float32))
    assert not np.array_equal(vector, clips.measured["audio"][None].vectors[-1])


def test_the_last_folder_that_has_a_clip_gives_it(
    corrupted_track: CorruptedTrack, sounds: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    soundfile.write(other / f"{ids()[-1]}.wav", tone(0)[:2000], RATE)
    track = corrupted_track(NOISE, features={})
    alone = logistic(track, tmp_path / "one", sounds, grids={"snr_db": [0]})
    beside = logistic(track, tmp_path / "two", [sounds, other], grids={"snr_db": [0]})
    assert alone.digests["clips of train"] == beside.digests["clips of train"]
    assert alone.digests["clips of test"] != beside.digests["clips of test"]
    train, test = (alone.digests[f"clips of {split}"][:8] for split in ("train", "test"))
    assert f"|clips:test#{test}|clips:train#{train}|" in alone.signature
    changed = beside.digests["clips of test"][:8]
    assert beside.signature == alone.signature.replace(f"clips:test#{test}", f"clips:test#{changed}")
    copied = tmp_path / "copied"
    shutil.copytree(sounds, copied)
    again = logistic(track, tmp_path / "three", copied, grids={"snr_db": [0]})
    assert again.signature == alone.signature  # it is the clips that count, not their folder


def test_what_is_wrong_with_clips_is_told_before_anything_is_trained(
    corrupted_track: CorruptedTrack, sounds: Path, tmp_path: Path
) -> None:
    track = corrupted_track(NOISE, features={})
    with pytest.raises(UsageError, match=r"^corrupting audio needs the clips: --media DIR$"):
        logistic(track, tmp_path / "out", [])
    last, before = ids()[-1], ids()[-2]
    soundfile.write(sounds / f"{last}.wav", np.zeros(4000), RATE)
    (sounds / f"{before}.wav").write_bytes(b"no sound")
    with pytest.raises(UsageError) as caught:
        logistic(track, tmp_path / "out", sounds)
    first, *lines = str(caught.value).splitlines()
    assert first == "2 of 36 clips of split 'test' cannot be used:"
    assert [line.split(":")[0] for line in lines] == [f"  {before}", f"  {last}"]
    (sounds / f"{last}.wav").unlink()
    message = f"{sounds}: no clip for 1 of 36 samples of split 'test': {last}"
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        logistic(track, tmp_path / "out", sounds)
    (sounds / "a").mkdir()
    (sounds / "b").mkdir()
    for folder in ("a", "b"):
        soundfile.write(sounds / folder / f"{last}.wav", tone(0), RATE)
    message = (
        "1 of 36 clips of split 'test' cannot be used:\n"
        f"  {last}: 2 files could belong to this sample: a/{last}.wav, b/{last}.wav"
    )
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        logistic(track, tmp_path / "out", sounds)
    assert not (tmp_path / "out").exists()


def test_what_was_scored_with_another_noise_bank_or_library_is_not_comparable(
    corrupted_track: CorruptedTrack, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path / "home"))
    noises(tmp_path / "street", "own", seed=1)
    noises(tmp_path / "street", "other", seed=3)
    track = corrupted_track(OF_BANK, features={})

    def report(name: str, **arguments: Any) -> RobustnessReport:
        return logistic(track, tmp_path / name, sounds, grids={"snr_db": [0]}, **arguments)

    first = report("first")
    assert first.digests["bank own"] == open_bank("own").digest
    assert f"|bank:own#{open_bank('own').digest[:8]}|" in first.signature
    assert first.versions["av"] == version("av")
    assert f"|versions:machine={platform.machine()},av={version('av')},numpy={np.__version__}," in first.signature
    assert RobustnessReport.from_json(first.to_json()) == first

    both = report("both", parameters={"noise": {"choice": ["own", "other"]}})
    assert {name for name in both.digests if name.startswith("bank ")} == {"bank own", "bank other"}

    shutil.rmtree(tmp_path / "street" / "own")
    shutil.rmtree(tmp_path / "home" / "banks" / "own")
    noises(tmp_path / "street", "own", seed=2)
    second = report("second")
    assert second.digests["bank own"] == open_bank("own").digest != first.digests["bank own"]
    assert second.signature != first.signature

    monkeypatch.setattr("merbench.robustness.run.media_versions", lambda: {**first.versions, "av": "17.0"})
    assert "|versions:" in (third := report("third")).signature
    assert third.signature != second.signature


def test_without_clips_no_library_of_media_is_named(corrupted_track: CorruptedTrack, tmp_path: Path) -> None:
    report = logistic(corrupted_track(), tmp_path / "out", [], grids={"snr_db": [0]})
    assert report.versions == {}
    assert "versions:" not in report.signature
    assert "clips:" not in report.signature


def test_every_bank_is_opened_once(
    corrupted_track: CorruptedTrack, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path / "home"))
    noises(tmp_path / "street", "own", seed=1)
    opened: list[str] = []
    monkeypatch.setattr("merbench.robustness.experiment.open_bank", lambda name: opened.append(name) or open_bank(name))
    monkeypatch.setattr("merbench.banks.home.open_bank", lambda name: pytest.fail(f"{name} is opened again"))
    track = corrupted_track(OF_BANK, features={})
    logistic(track, tmp_path / "out", sounds, weights="per-condition", grids={"snr_db": [0, -5]})
    assert opened == ["own"]


def test_sound_is_heard_at_the_rate_that_the_track_declares(
    corrupted_track: CorruptedTrack, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []
    import merbench.robustness.conditions as room

    trained = room._fitted
    monkeypatch.setattr(room, "_fitted", lambda system, train: given.append(train) or trained(system, train))
    logistic(corrupted_track(f"[media]\nsample_rate_hz = 8000\n{NOISE}", features={}), tmp_path / "out", sounds)
    path = sounds / f"{ids()[0]}.wav"
    slow, own = (sound_vector(read_audio(path, rate_hz)).astype(np.float32) for rate_hz in (8000, None))
    assert np.array_equal(given[0].features["audio"][0], slow)
    assert not np.array_equal(slow, own)


def test_an_empty_cell_of_the_corpus_says_nothing_of_a_clip(
    corrupted_track: CorruptedTrack, sounds: Path, tmp_path: Path
) -> None:
    first, second = ids()[0], ids()[1]
    (sounds / f"{first}.wav").rename(sounds / "first take.wav")
    track = corrupted_track(NOISE, features={}, media={first: "first take.wav", second: ""})
    listed = logistic(track, tmp_path / "one", sounds, grids={"snr_db": [0]})
    (sounds / "first take.wav").rename(sounds / f"{first}.wav")
    named = logistic(corrupted_track(NOISE, "two", features={}), tmp_path / "two", sounds, grids={"snr_db": [0]})
    assert listed.digests["clips of train"] == named.digests["clips of train"]


def test_what_is_wrong_in_a_folder_is_settled_by_a_later_one(
    corrupted_track: CorruptedTrack, sounds: Path, tmp_path: Path
) -> None:
    name = ids()[0]
    twice = tmp_path / "twice"
    twice.mkdir()
    for suffix in (".wav", ".flac"):
        soundfile.write(twice / f"{name}{suffix}", tone(0), RATE)
    track = corrupted_track(NOISE, features={})
    report = logistic(track, tmp_path / "out", [twice, sounds], grids={"snr_db": [0]})
    assert report.digests["clips of train"]
    message = f"  {name}: 2 files could belong to this sample: {name}.flac, {name}.wav"
    with pytest.raises(UsageError, match=f"\n{re.escape(message)}$"):
        logistic(track, tmp_path / "again", [sounds, twice], grids={"snr_db": [0]})


def write_pictures(path: Path, bright: bool) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for i in range(4):
            picture = np.full((32, 32, 3), 90, dtype=np.uint8)
            picture[16:, 8:24] = (200 if bright else 20) + 5 * i
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_pictures_are_damaged_too_and_stored_features_stand_beside(
    corrupted_track: CorruptedTrack, tmp_path: Path
) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    for row, name in enumerate(ids()):
        write_pictures(folder / f"{name}.mp4", bright=classes()[row] == 2)
    track = corrupted_track('[[corruptions]]\nname = "blank"\n', features={"text": vectors()["audio"]})
    report = logistic(track, tmp_path / "out", folder, corruption="blank", grids={"start": [0.0, 0.5]})
    assert report.features == ("text", "video")
    assert set(report.digests) >= {"feature text", "clips of test"}
    undamaged, all_blank, _ = scores(report)
    assert undamaged is not None
    assert all_blank is not None
    assert all_blank < undamaged


def test_what_damage_to_pictures_came_to_is_told_where_sound_is_damaged_too(corrupted_track: CorruptedTrack) -> None:
    from merbench.corpus.candidates import open_candidates
    from merbench.robustness.clips import Clips, Measured
    from merbench.robustness.grid import planned
    from merbench.robustness.samples import Source

    track = corrupted_track("", features={})
    parameters = {"colour": "pink", "snr_db": 5, "quality": {"integers": [5, 9]}}
    sound, pictures = planned(track, {"snr_db": [3], "start": [0.5]}, ["coloured_noise", "jpeg"], parameters)[::2]
    candidates = open_candidates(track, "test")
    n = len(candidates)
    table = np.zeros((n, 2), dtype=np.float32)

    def of(condition: Any, name: str, value: int) -> dict[Any, Measured]:
        realised: list[dict[str, Any]] = [{name: value + row % 2} for row in range(n)]
        return {None: Measured(table, [{}] * n), condition: Measured(table + 1, realised)}

    (heard,), (seen,) = sound.conditions, pictures.conditions
    vectors = {"audio": of(heard, "coloured_noise.realised_snr_db", 3), "video": of(seen, "jpeg.quality", 6)}
    both = ("audio", "video")
    source = Source(both, dict(zip(both, both, strict=True)), frozenset(both), (), 11, {"test": Clips("", vectors)})
    # of 36 samples every other one lies one higher
    assert source.inputs(candidates, heard).realised == {"coloured_noise.realised_snr_db": 3.5}
    assert source.inputs(candidates, seen).realised == {"jpeg.quality": 6.5}
    assert source.inputs(candidates, None).realised == {}


SPEECH = """
id = "speech"
version = "1.0"
title = "Four speakers of EMO-DB"
corpus = "./corpus"
splits = { test = "all" }
targets.discrete = { type = "categorical", labels = ["angry", "happy", "neutral", "sad"] }
metrics = [{ name = "weighted_f1", target = "discrete" }]
ranking = { by = ["weighted_f1"] }
[[corruptions]]
name = "coloured_noise"
colour = "pink"
snr_db = 20
"""


@pytest.mark.real_data
def test_emotional_speech_falls_with_noise_and_training_with_noise_helps(test_data: Path, tmp_path: Path) -> None:
    media = test_data / "data" / "media"
    with (media / "speech_index.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["corpus"] == "EMO-DB"]
    rows = [row for row in rows if row["speaker"] in ("03", "08", "09", "10")]
    names = [Path(row["file"]).stem for row in rows]
    made_corpus(
        tmp_path / "speech" / "corpus",
        name="speech",
        source="EMO-DB",
        licence="for this test",
        samples=pa.table(
            {"sample_id": names, "split": ["all"] * len(names), "speaker": [row["speaker"] for row in rows]}
        ),
        reference=pa.table({"sample_id": names, "discrete": [row["emotion"] for row in rows]}),
    )
    (tmp_path / "speech" / "track.toml").write_text(SPEECH, encoding="utf-8")
    fixed = {"scale": "each", "C": 0.01, "alpha": 1.0}
    undamaged, levels = {}, {}
    for weights in ("shared", "per-condition"):
        report = scored(
            load_track(tmp_path / "speech"),
            tmp_path / weights,
            {"snr_db": [30, 20, 10]},
            weights=weights,
            media=[media / "speech" / "emodb"],
            leave_out="speaker",
            options=fixed,
        )
        undamaged[weights] = report.clean.scores[0].value
        levels[weights] = [row.scores[0].value for row in report.curves[0].rows]
    # the shape that MFCC and F0 statistics show on the whole corpus: 0.80, then 0.70, 0.59 and 0.38, against 0.78 to 0.74
    clean, noisy = levels["shared"], levels["per-condition"]
    assert undamaged["shared"] == undamaged["per-condition"] >= 0.65
    assert undamaged["shared"] > clean[0] > clean[1] > clean[2]
    assert all(after >= before for before, after in zip(clean, noisy, strict=True))
    assert noisy[2] > 0.6
