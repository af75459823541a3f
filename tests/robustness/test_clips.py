"""Clips of tones and grey pictures: the class shows in the pitch of sound, and in the brightness of half a picture."""

from __future__ import annotations

import csv
import platform
import re
import shutil
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pytest
import soundfile
from made_corpus import made_corpus

from merbench.banks.folder import open_bank
from merbench.banks.importing import import_folder
from merbench.corpus.candidates import open_candidates
from merbench.corrupt.steps import corrupt
from merbench.corruptions import Audio, Step
from merbench.errors import Inapplicable, UsageError
from merbench.features.extractor import Output, extractor
from merbench.features.outputs import Recipe
from merbench.features.shipped import EXTRACTORS
from merbench.features.sound import sound_vector
from merbench.media.reading import read_audio
from merbench.robustness import RobustnessReport, conditions
from merbench.robustness.clips import Clips, Measured, _Task, clip_vectors, filled, read_clips
from merbench.robustness.grid import Condition, planned
from merbench.robustness.samples import Source
from merbench.track import Track, load_track
from merbench.training import TrainingSet
from merbench.training.protocol import silent
from tests.robustness.conftest import CorruptedTrack, classes, ids, scored, values, vectors

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


def logistic(track: Track, *media: Path, snr_db: tuple[int, ...] = (0,), **settings: Any) -> RobustnessReport:
    return scored(track, settings.pop("grids", {"snr_db": snr_db}), media=media, **settings)


def trained_on(monkeypatch: pytest.MonkeyPatch) -> list[TrainingSet]:
    """Return the training sets of the models that will be trained."""
    seen: list[TrainingSet] = []
    trained = conditions._fitted

    def fitted(system: Any, train: TrainingSet) -> Any:
        seen.append(train)
        return trained(system, train)

    monkeypatch.setattr(conditions, "_fitted", fitted)
    return seen


def test_clips_are_corrupted_in_memory_and_their_sound_is_measured(
    corrupted_track: CorruptedTrack, sounds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = trained_on(monkeypatch)
    before = sorted((path.name, path.read_bytes()) for path in sounds.iterdir())
    report = logistic(corrupted_track(NOISE, features={}), sounds, snr_db=(20, -20))
    assert sorted((path.name, path.read_bytes()) for path in sounds.iterdir()) == before
    assert report.features == ("audio",)
    (learned,) = seen  # one model, of clean sound
    path = sounds / f"{ids()[0]}.wav"
    assert np.array_equal(learned.features["audio"][0], sound_vector(read_audio(path)).astype(np.float32))
    clean, _, noisy = values(report)
    assert clean == pytest.approx(1, abs=0.1)  # a pitch for each class
    assert noisy < clean - 0.2
    assert set(report.digests) == {"track", "corpus", "references", "clips of train", "clips of test"}
    realised = [row.realised["coloured_noise.realised_snr_db"] for row in report.curves[0].rows]
    assert realised == pytest.approx([20, -20], abs=0.1)
    # sound is converted to the rate that the track declares
    logistic(corrupted_track(f"[media]\nsample_rate_hz = 8000\n{NOISE}", "two", features={}), sounds)
    slow = sound_vector(read_audio(path, 8000)).astype(np.float32)
    assert np.array_equal(seen[1].features["audio"][0], slow)
    assert not np.array_equal(slow, learned.features["audio"][0])


@pytest.mark.slow
def test_every_worker_count_gives_the_same_report_and_a_bank_is_opened_once(
    corrupted_track: CorruptedTrack, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path / "home"))
    noises(tmp_path / "street", "own", seed=1)
    track = corrupted_track(OF_BANK, features={})
    settings: dict[str, Any] = {"weights": "per-condition", "snr_db": (0, -5)}
    expected = logistic(track, sounds, workers=2, **settings)
    opened: list[str] = []

    def open_once(name: str) -> Any:
        opened.append(name)
        return open_bank(name)

    monkeypatch.setattr("merbench.robustness.preparation.open_bank", open_once)
    monkeypatch.setattr("merbench.banks.folder.open_bank", lambda name: pytest.fail(f"{name} is opened again"))
    assert logistic(track, sounds, **settings) == expected
    assert opened == ["own"]


def test_a_clip_is_corrupted_by_its_step(
    corrupted_track: CorruptedTrack, sounds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: list[dict[str, Any]] = []

    def recorded(*arguments: Any, **named: Any) -> Any:
        known.append(named["known"])
        return corrupt(*arguments, **named)

    monkeypatch.setattr("merbench.robustness.clips.corrupt", recorded)
    track = corrupted_track(NOISE, features={})
    (curve,) = planned(track, {"snr_db": [5]})
    candidates, all_conditions = open_candidates(track, "test"), {"audio": curve.conditions}
    clips = read_clips(candidates, [sounds], all_conditions, {}, {"audio": Recipe("audio", "voice")}, progress=silent)
    name = ids()[-1]
    step = Step("coloured_noise", {"colour": "white", "snr_db": 5})
    sound: Audio = corrupt(read_audio(sounds / f"{name}.wav"), [step], seed=11, sample_id=name).signal
    vector = clips.measured["audio"][curve.conditions[0]].vectors[-1]
    assert np.array_equal(vector, sound_vector(sound).astype(np.float32))
    assert not np.array_equal(vector, clips.measured["audio"][None].vectors[-1])
    speakers = candidates.samples["speaker"].to_pylist()
    assert [columns["speaker"] for columns in known] == speakers  # what a step may depend on


@pytest.mark.slow
def test_the_last_folder_that_has_a_clip_is_used(corrupted_track: CorruptedTrack, sounds: Path, tmp_path: Path) -> None:
    other, twice, name = tmp_path / "other", tmp_path / "twice", ids()[0]
    other.mkdir()
    soundfile.write(other / f"{ids()[-1]}.wav", tone(0)[:2000], RATE)
    track = corrupted_track(NOISE, features={})
    single = logistic(track, sounds)
    both = logistic(track, sounds, other)
    assert single.digests["clips of train"] == both.digests["clips of train"]
    assert single.digests["clips of test"] != both.digests["clips of test"]
    train, test = (single.digests[f"clips of {split}"][:8] for split in ("train", "test"))
    assert f"|clips:test#{test}|clips:train#{train}|" in single.signature
    changed = both.digests["clips of test"][:8]
    assert both.signature == single.signature.replace(f"clips:test#{test}", f"clips:test#{changed}")
    copied = shutil.copytree(sounds, tmp_path / "copied")
    assert logistic(track, copied).signature == single.signature  # of clips, not of their folder
    # two files of one sample are a problem only in the folder that is used
    twice.mkdir()
    for suffix in (".wav", ".flac"):
        soundfile.write(twice / f"{name}{suffix}", tone(0), RATE)
    assert logistic(track, twice, sounds).digests["clips of train"]
    message = f"  {name}: 2 files could belong to this sample: {name}.flac, {name}.wav"
    with pytest.raises(UsageError, match=f"\n{re.escape(message)}$"):
        logistic(track, sounds, twice)


def test_clips_that_cannot_be_used_are_reported_before_anything_is_trained(
    corrupted_track: CorruptedTrack, sounds: Path
) -> None:
    track = corrupted_track(NOISE, features={})
    with pytest.raises(UsageError, match=r"^corrupting audio needs the clips: --media DIR$"):
        logistic(track)
    last, before = ids()[-1], ids()[-2]
    soundfile.write(sounds / f"{last}.wav", np.zeros(4000), RATE)
    (sounds / f"{before}.wav").write_bytes(b"no sound")
    with pytest.raises(UsageError) as caught:
        logistic(track, sounds)
    first, *lines = str(caught.value).splitlines()
    assert first == "2 of 36 clips of split 'test' cannot be used:"
    assert [line.split(":")[0] for line in lines] == [f"  {before}", f"  {last}"]
    (sounds / f"{last}.wav").unlink()
    message = f"{sounds}: no clip for 1 of 36 samples of split 'test': {last}"
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        logistic(track, sounds)
    assert not Path("out").exists()


@pytest.mark.slow
def test_scores_of_another_noise_bank_or_library_are_not_comparable(
    corrupted_track: CorruptedTrack, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path / "home"))
    for seed, name in enumerate(("own", "other")):
        noises(tmp_path / "street", name, seed)
    track = corrupted_track(OF_BANK, features={})
    first = logistic(track, sounds)
    assert first.digests["bank own"] == open_bank("own").digest
    assert f"|bank:own#{open_bank('own').digest[:8]}|" in first.signature
    assert first.versions["av"] == version("av")
    assert f"|versions:machine={platform.machine()},av={version('av')},numpy={np.__version__}," in first.signature
    assert RobustnessReport.from_json(first.to_json()) == first

    both = logistic(track, sounds, parameters={"noise": {"choice": ["own", "other"]}})
    assert {name for name in both.digests if name.startswith("bank ")} == {"bank own", "bank other"}

    shutil.rmtree(tmp_path / "street" / "own")
    shutil.rmtree(tmp_path / "home" / "banks" / "own")
    noises(tmp_path / "street", "own", seed=2)
    second = logistic(track, sounds)
    assert second.digests["bank own"] == open_bank("own").digest != first.digests["bank own"]
    assert second.signature != first.signature

    monkeypatch.setattr("merbench.robustness.reports.media_versions", lambda: {**first.versions, "av": "17.0"})
    assert logistic(track, sounds).signature != second.signature
    without_clips = logistic(corrupted_track(name="two"))
    assert without_clips.versions == {}
    assert "versions:" not in without_clips.signature and "clips:" not in without_clips.signature


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


@pytest.mark.slow
def test_pictures_are_corrupted_next_to_stored_features(corrupted_track: CorruptedTrack, tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    for row, name in enumerate(ids()):
        write_pictures(folder / f"{name}.mp4", bright=classes()[row] == 2)
    track = corrupted_track('[[corruptions]]\nname = "blank"\n', features={"text": vectors()["audio"]})
    report = logistic(track, folder, corruption="blank", grids={"start": [0.0]})
    assert report.features == ("text", "video")
    assert set(report.digests) >= {"feature text", "clips of test"}
    clean, all_blank = values(report)
    assert all_blank < clean


def test_realised_values_are_those_of_the_corrupted_modality(corrupted_track: CorruptedTrack) -> None:
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
    measured = {"audio": of(heard, "coloured_noise.realised_snr_db", 3), "video": of(seen, "jpeg.quality", 6)}
    both = ("audio", "video")
    source = Source(
        both, dict(zip(both, both, strict=True)), frozenset(both), (), 11, {}, {"test": Clips("", measured)}
    )
    # every other one of 36 samples has a value higher by one
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
@pytest.mark.slow
def test_emotional_speech_drops_with_noise_and_training_with_noise_helps(test_data: Path, tmp_path: Path) -> None:
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
    clean_values, levels = {}, {}
    for weights in ("shared", "per-condition"):
        report = scored(
            load_track(tmp_path / "speech"),
            {"snr_db": [30, 20, 10]},
            weights=weights,
            media=[media / "speech" / "emodb"],
            leave_out="speaker",
            options=fixed,
        )
        clean_values[weights] = report.clean.scores[0].value
        levels[weights] = [row.scores[0].value for row in report.curves[0].rows]
    # the shape that MFCC and F0 statistics show on the whole corpus: 0.80, then 0.70, 0.59 and 0.38, against 0.78 to 0.74
    shared, noisy = levels["shared"], levels["per-condition"]
    assert clean_values["shared"] == clean_values["per-condition"] >= 0.65
    assert clean_values["shared"] > shared[0] > shared[1] > shared[2]
    assert all(after >= before for before, after in zip(shared, noisy, strict=True))
    assert noisy[2] > 0.6


def registered(name: str, function: Any, **declared: Any) -> Recipe:
    """Register an extractor for this test; `forgotten` removes it."""
    extractor(name, unit="utterance", dimension=None, licence="CC0", source="this test", **declared)(function)
    return Recipe("audio" if declared["input"] == "sound" else "text", name)


@pytest.fixture
def forgotten() -> Iterator[None]:
    before = dict(EXTRACTORS._items)
    yield
    EXTRACTORS._items.clear()
    EXTRACTORS._items.update(before)


def quiet_only(sound: Audio) -> Output:
    """Return the mean and the deviation of a sound that is not loud."""
    deviation = float(sound.samples.std())
    if deviation > 0.5:
        raise Inapplicable("too loud")
    return Output(np.array([sound.samples.mean(), deviation]))


@pytest.mark.usefixtures("forgotten")
def test_any_extractor_measures_the_corrupted_clips(
    corrupted_track: CorruptedTrack, sounds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = trained_on(monkeypatch)
    recipe = registered("quiet", quiet_only, input="sound")
    report = logistic(corrupted_track(NOISE, features={}), sounds, snr_db=(20, -20), extractors={"audio": recipe})
    (learned,) = seen
    sound = read_audio(sounds / f"{ids()[0]}.wav")
    assert learned.features["audio"][0].tolist() == quiet_only(sound).values.astype(np.float32).tolist()
    assert report.extractors == {"audio": "quiet@1"}
    assert "features: audio (quiet@1)" in report.notes()
    assert "|extractor:audio=quiet@1|" in report.signature
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]  # type: ignore[call-overload]
    assert report.versions["blas"] == f"{blas['name']}-{blas['version']}"
    assert report.versions["machine"] == platform.machine()
    # at -20 dB every sound is too loud: all have the mean of the clean training clips
    realised = [row.realised for row in report.curves[0].rows]
    assert ["coloured_noise.unmeasured" in values for values in realised] == [False, True]
    assert realised[1]["coloured_noise.unmeasured"] == 1
    default = logistic(corrupted_track(NOISE, "two", features={}), sounds, snr_db=(20,))
    assert default.extractors == {"audio": "voice@1"}
    assert "extractor:" not in default.signature  # what is by default is no part of it


def test_a_folder_measures_the_corrupted_clips(corrupted_track: CorruptedTrack, sounds: Path, tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "extractor.py").write_text(
        "from merbench.features.extractor import Output, extractor\n\n\n"
        "@extractor('level', input='sound', unit='utterance', dimension=1, licence='CC0', source='this test')\n"
        "def level(sound):\n    return Output(sound.samples.std(axis=1))\n"
    )
    recipe = Recipe("audio", str(folder))
    report = logistic(corrupted_track(NOISE, features={}), sounds, snr_db=(20,), extractors={"audio": recipe})
    assert report.extractors == {"audio": "level@1"}
    assert recipe.extractor.digest is not None
    assert report.digests["weights of level"] == recipe.extractor.digest()
    assert str(tmp_path) not in report.signature


@pytest.mark.usefixtures("forgotten")
def test_a_feature_that_is_named_is_not_silently_replaced(corrupted_track: CorruptedTrack, sounds: Path) -> None:
    recipe = registered("quiet", quiet_only, input="sound")
    track = corrupted_track(NOISE, features={"audio-stored": vectors()["audio"], "video": vectors()["video"]})
    settings = {"extractors": {"audio": recipe}, "snr_db": (20,)}
    message = "feature 'audio-stored' would be replaced by what 'quiet' computes from the corrupted audio; name 'audio'"
    with pytest.raises(UsageError, match=f"^{message} instead of it$"):
        logistic(track, sounds, features=["audio-stored", "video"], **settings)
    report = logistic(track, sounds, features=["audio", "video"], **settings)
    assert report.features == ("audio", "video")


@pytest.mark.usefixtures("forgotten")
def test_a_clip_that_cannot_be_measured_when_clean_ends_the_run(corrupted_track: CorruptedTrack, sounds: Path) -> None:
    soundfile.write(sounds / f"{ids()[0]}.wav", np.sign(tone(0)) * 0.9, RATE)
    recipe = registered("quiet", quiet_only, input="sound")
    with pytest.raises(UsageError, match=rf"cannot be used:\n  {ids()[0]}: too loud$"):
        logistic(corrupted_track(NOISE, features={}), sounds, extractors={"audio": recipe})


def test_only_what_could_not_be_measured_gets_the_mean_of_the_clean_training_clips() -> None:
    nan = float("nan")
    clean = Clips("", {"audio": {None: Measured(np.array([[1, 2], [3, 6]], np.float32), [{}, {}])}})
    test = Clips("x", {"audio": {None: Measured(np.array([[nan, nan], [7, 8]], np.float32), [{}, {}])}})
    assert filled(test, clean).measured["audio"][None].vectors.tolist() == [[2, 4], [7, 8]]
    none = Clips("x", {"audio": {None: Measured(np.zeros((2, 0), np.float32), [{}, {}])}})
    assert filled(none, clean).measured["audio"][None].vectors.tolist() == [[2, 4], [2, 4]]


@pytest.mark.parametrize(
    ("extractors", "message"),
    [
        ({"audio": Recipe("audio", "face")}, "audio=face: an extractor of video, not of audio"),
        (
            {"sound": Recipe("sound", "voice")},
            "what an extractor is for must be one of audio, video, text, not 'sound'",
        ),
        (
            {"video": Recipe("video", "face")},
            "video=face: no feature of that modality is computed: nothing of it is corrupted",
        ),
        (
            {"audio": Recipe("audio", "voice", {"x": 1})},
            "audio.x: is not an option of extractor 'voice'; allowed: none",
        ),
    ],
)
def test_extractors_that_do_not_fit_are_refused(
    corrupted_track: CorruptedTrack, sounds: Path, extractors: dict[str, Recipe], message: str
) -> None:
    with pytest.raises(UsageError) as raised:
        logistic(corrupted_track(NOISE, features={}), sounds, extractors=extractors)
    assert str(raised.value) == message


@pytest.mark.slow
def test_faces_of_corrupted_pictures_are_found_again_and_not_kept(
    test_data: Path, tmp_path: Path, installed_weights: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path / "home"))
    installed_weights("face-boxes")
    blurred, black = (
        Condition(value, Step(name, parameters))
        for value, name, parameters in ((1, "gaussian_blur", {"severity": 1}), (-1, "brightness", {"amount": -1}))
    )
    clip = test_data / "data/media/video/grid/bbaf2n.mpg"
    recipes = {"video": Recipe("video", "face-boxes", frame_rate_hz=2.0)}
    task = _Task(clip, "a", 1, None, {"video": [None, blurred, black]}, {})
    _, vectors = clip_vectors(task, {}, recipes)
    clean, soft, dark = (item.vector for item in vectors["video"])
    assert clean is not None and soft is not None and dark is None
    assert np.abs(clean - soft).max() > 0
    assert np.abs(clean - soft)[:4].max() < 0.05  # the box is at about the same place
    assert len(list((tmp_path / "home/cache/faces").glob("*.zip"))) == 1  # those of the clean clip
