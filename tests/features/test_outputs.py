"""What extractors are called with and what becomes of their outputs, with small extractors made here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest
from made_corpus import made_corpus
from made_media import Pictures, Sound, make_clip

from merbench.corpus import Corpus
from merbench.corruptions.signals import Audio
from merbench.engine import Done, WorkerDied
from merbench.errors import MissingExtra, UsageError
from merbench.features import shipped
from merbench.features.clips import measure_clips, measure_texts
from merbench.features.extraction import Extracted, Request, Unit, extract
from merbench.features.extractor import EXTRACTORS, Output, Picture, extractor
from merbench.features.outputs import Recipe
from merbench.media import read_audio, read_video

DECLARED = {"licence": "CC0", "source": "this test"}


@pytest.fixture(autouse=True)
def toys() -> Iterator[None]:
    """Forget the extractors that a test registers."""
    before = dict(shipped.EXTRACTORS._items)
    yield
    EXTRACTORS._items.clear()
    EXTRACTORS._items.update(before)


def toy(
    function: Callable[..., Any],
    input: str = "sound",
    unit: str = "utterance",
    dimension: int | None = None,
    **more: Any,
) -> Recipe:
    EXTRACTORS._items.pop("toy", None)
    extractor("toy", input=input, unit=unit, dimension=dimension, **DECLARED, **more)(function)
    return Recipe("toy", "toy")


def corpus(folder: Path, *ids: str, **columns: Sequence[str | None]) -> Corpus:
    samples = pa.table({"sample_id": ids, "split": ["train"] * len(ids), **{k: list(v) for k, v in columns.items()}})
    return made_corpus(folder, name="talk", samples=samples)


def seen(clip: Path, recipe: Recipe) -> Any:
    """Return the result of one clip; fail if there is a problem."""
    measured = measure_clips({"a": clip}, [recipe])
    assert measured.problems == {"a": {}}
    return measured.results["a"]["toy"]


# Sound


@pytest.mark.parametrize(
    ("layout", "rate_hz"), [("mono", 8_000), ("stereo", 44_100), ("5.1", 48_000), ("mono", 16_000)]
)
def test_sound_is_one_channel_at_the_declared_rate(layout: str, rate_hz: int, tmp_path: Path) -> None:
    clip = tmp_path / "a.mkv"
    make_clip(clip, None, Sound(1.0, rate_hz, layout))
    heard: list[Audio] = []
    result = seen(clip, toy(lambda sound: heard.append(sound) or Output(np.zeros(3))))
    (sound,) = heard
    assert (sound.samples.shape[0], sound.samples.dtype, sound.rate_hz) == (1, np.float32, 16_000)
    assert sound.samples.shape[1] == pytest.approx(16_000, abs=1)
    if rate_hz == 16_000:
        assert np.array_equal(sound.samples, read_audio(clip).samples)
    else:  # the same tones: the chirps begin at 200 Hz and rise by 800 Hz a second
        original = read_audio(clip).samples.mean(axis=0)
        assert np.sqrt(np.mean(sound.samples**2)) == pytest.approx(np.sqrt(np.mean(original**2)), rel=0.05)
    assert result.vector.tolist() == [0, 0, 0]
    assert result.sequence is None


def test_sound_is_decoded_once_and_converted_once_for_each_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, calls = tmp_path / "a.wav", []
    make_clip(clip, None, Sound(0.5, 48_000))
    heard: dict[str, Audio] = {}
    recipes = []
    for name, rate_hz in (("a", 16_000), ("b", 8_000), ("c", 16_000)):
        keep = lambda sound, name=name: heard.setdefault(name, sound) and Output(np.ones(1))  # noqa: E731
        extractor(name, input="sound", unit="utterance", dimension=1, sample_rate_hz=rate_hz, **DECLARED)(keep)
        recipes.append(Recipe(name, name))
    monkeypatch.setattr("merbench.features.clips.read_audio", lambda path: calls.append(path) or read_audio(path))
    measure_clips({"a": clip}, recipes)
    assert calls == [clip]
    assert {name: sound.rate_hz for name, sound in heard.items()} == {"a": 16_000, "b": 8_000, "c": 16_000}
    assert heard["a"] is heard["c"]


class Many:
    """An extractor that takes several sounds at once, and fails for all if one is loud."""

    calls: ClassVar[list[int]] = []

    def __call__(self, sound: Audio) -> Output:
        return self.many([sound])[0]

    def many(self, sounds: Sequence[Audio]) -> list[Output]:
        self.calls.append(len(sounds))
        if any(np.abs(sound.samples).max() > 0.55 for sound in sounds):
            raise ValueError("too loud")
        return [Output(np.array([sound.duration_s])) for sound in sounds]


def test_sounds_of_similar_length_are_measured_together_always_in_the_same_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Many, "calls", [])
    ids = [f"s{number:02}" for number in range(20)]
    for number, name in enumerate(ids):
        make_clip(tmp_path / f"{name}.wav", None, Sound(0.1 + 0.01 * number))
    done = extract(corpus(tmp_path / "talk", *ids), Request([toy(Many, dimension=1)], media=[tmp_path]))
    assert Many.calls == [16, 4]
    lengths = [0.1 + 0.01 * number for number in range(20)]
    assert done.features["toy"].values[:, 0].tolist() == pytest.approx(lengths, abs=1e-4)


class Batches(Many):
    """The same with an option that says how many."""

    def __init__(self, *, batch: int = 1) -> None:
        pass


def test_an_extractor_with_a_batch_of_one_leaves_every_clip_to_a_worker_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [f"s{number}" for number in range(5)]
    for number, name in enumerate(ids):
        make_clip(tmp_path / f"{name}.wav", None, Sound(0.1 + 0.01 * number))
    spoken = corpus(tmp_path / "talk", *ids)
    monkeypatch.setattr(Many, "calls", [])
    extract(spoken, Request([toy(Batches, dimension=1)], media=[tmp_path]))
    assert Many.calls == [1] * 5
    monkeypatch.setattr(Many, "calls", [])
    two = dataclasses.replace(toy(Batches, dimension=1), options={"batch": 2})
    extract(spoken, Request([two], media=[tmp_path]), replace=True)
    assert Many.calls == [2, 2, 1]


def test_where_several_fail_together_each_is_measured_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Many, "calls", [])
    for name, seconds in (("a", 0.3), ("b", 0.2), ("c", 0.1)):
        make_clip(tmp_path / f"{name}.wav", None, Sound(seconds))
    import soundfile

    soundfile.write(tmp_path / "b.wav", np.full(1600, 0.9), 16_000)
    measured = measure_clips({name: tmp_path / f"{name}.wav" for name in "abc"}, [toy(Many, dimension=1)])
    assert measured.problems == {"a": {}, "b": {"toy": "ValueError: too loud"}, "c": {}}
    assert sorted(name for name, results in measured.results.items() if results) == ["a", "c"]


def test_of_sounds_that_kill_their_worker_together_only_those_that_do_it_alone_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(function: Callable[[Any], Any], units: Iterable[tuple[str, Unit]], **_: object) -> Iterator[Done[Any]]:
        for name, unit in list(units):
            dies = "b" in unit.samples
            yield Done(name, error=WorkerDied("b")) if dies else Done(name, function(unit))

    monkeypatch.setattr("merbench.features.extraction.run", run)
    for name in "abc":
        make_clip(tmp_path / f"{name}.wav", None, Sound(0.2))
    done = extract(corpus(tmp_path / "talk", *"abc"), Request([toy(Many, dimension=1)], media=[tmp_path]))
    assert done.features["toy"].ids.to_pylist() == ["a", "c"]
    assert list(done.problems["toy"]) == ["b"]


# Pictures


def shown_at(clip: Path, rate_hz: float | None, **declared: Any) -> list[float]:
    """Return the times of the pictures that an extractor gets."""
    rows = toy(lambda pictures: np.array([[p.time_s] for p in pictures]), "pictures", "frame", 1, **declared)
    result = seen(clip, Recipe("toy", rows.source, frame_rate_hz=rate_hz))
    assert result.sequence[:, 0].tolist() == pytest.approx(result.times.tolist(), abs=1e-6)
    return [round(time, 3) for time in result.times.tolist()]


def test_pictures_come_at_the_declared_rate_and_none_twice(tmp_path: Path) -> None:
    clip = tmp_path / "a.mkv"
    make_clip(clip, Pictures(10))  # every 40 ms
    every = [0.04 * number for number in range(10)]
    assert shown_at(clip, None) == pytest.approx(every)
    assert shown_at(clip, 25) == pytest.approx(every)
    assert shown_at(clip, 100) == pytest.approx(every)
    assert shown_at(clip, 10) == pytest.approx([0, 0.12, 0.2, 0.32])  # the first at or after 0, 0.1, 0.2, 0.3
    assert shown_at(clip, None, frame_rate_hz=10.0) == pytest.approx([0, 0.12, 0.2, 0.32])
    assert shown_at(clip, 0.001) == [0]


def test_pictures_at_uneven_times_keep_their_times(tmp_path: Path) -> None:
    clip = tmp_path / "a.mkv"
    make_clip(clip, Pictures(5, times=(0, 40, 400, 440, 900), tick=Fraction(1, 1000)))
    assert shown_at(clip, None) == pytest.approx([0, 0.04, 0.4, 0.44, 0.9])
    assert shown_at(clip, 5) == pytest.approx([0, 0.4, 0.9])


def test_time_stamps_that_are_rounded_to_milliseconds_lose_no_picture(tmp_path: Path) -> None:
    clip = tmp_path / "a.mkv"
    make_clip(clip, Pictures(5, times=(0, 33, 67, 100, 133), tick=Fraction(1, 1000)))
    assert shown_at(clip, 30) == pytest.approx([0, 0.033, 0.067, 0.1, 0.133])


@pytest.mark.parametrize(
    "pictures",
    [
        Pictures(2, clockwise=90),
        Pictures(2, pixel_format="yuv420p10le", codec="ffv1"),
        Pictures(2, pixel_format="gray", codec="ffv1"),
    ],
    ids=["portrait", "10 bits", "grey"],
)
def test_pictures_are_rgb_and_upright(pictures: Pictures, tmp_path: Path) -> None:
    clip = tmp_path / ("a.mp4" if pictures.clockwise else "a.mkv")
    make_clip(clip, pictures)
    shapes = toy(lambda items: np.array([[*p.rgb.shape, p.rgb.mean()] for p in items]), "pictures", "frame", 4)
    height, width, depth, mean = seen(clip, shapes).sequence[0]
    assert (height, width, depth) == ((64, 48, 3) if pictures.clockwise else (48, 64, 3))
    luma = next(read_video(clip).frames)
    black, white = (16, 235) if not luma.full_range else (0, 255)
    grey = (float(luma.planes[0].mean()) / 2 ** (luma.depth - 8) - black) * 255 / (white - black)
    assert mean == pytest.approx(grey, abs=25)  # about as bright as its luma


def test_a_picture_is_converted_once_for_all_extractors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from merbench.features import extractor as module

    converted: list[float] = []
    shown = module.shown
    monkeypatch.setattr(module, "shown", lambda frame, memory: converted.append(frame.time_s) or shown(frame, memory))
    make_clip(tmp_path / "a.mkv", Pictures(3))
    recipes = []
    for name in ("one", "two"):
        extractor(name, input="pictures", unit="frame", dimension=1, **DECLARED)(
            lambda pictures: np.array([[p.rgb.mean()] for p in pictures])
        )
        recipes.append(Recipe(name, name))
    measure_clips({"a": tmp_path / "a.mkv"}, recipes)
    assert len(converted) == 3


class Counter:
    """An extractor with readers; it says how many pictures each had."""

    def __init__(self, *, step: int = 1) -> None:
        self.step = step

    def start(self) -> CountingReader:
        return CountingReader(self.step)


class CountingReader:
    def __init__(self, step: int) -> None:
        self.step, self.n = step, 0

    def add(self, item: Picture, /) -> None:
        self.n += self.step

    def output(self) -> Output:
        return Output(np.array([self.n]))


def test_every_clip_gets_a_reader_of_its_own(tmp_path: Path) -> None:
    for name, n in (("a", 4), ("b", 40)):
        make_clip(tmp_path / f"{name}.mkv", Pictures(n))
    toy(Counter, "pictures")
    recipe = Recipe("n", "toy", {"step": 2})
    measured = measure_clips({name: tmp_path / f"{name}.mkv" for name in "ab"}, [recipe])
    assert [measured.results[name]["n"].vector.tolist() for name in "ab"] == [[8], [80]]


# Sequences


def of_sequence(tmp_path: Path, recipe: Recipe, **request: Any) -> Extracted:
    tmp_path.mkdir(exist_ok=True)
    for name in "ab":
        make_clip(tmp_path / f"{name}.wav", None, Sound(0.2 if name == "a" else 0.3))
    return extract(corpus(tmp_path / "talk", "a", "b"), Request([recipe], media=[tmp_path], **request))


def tenths(sound: Audio) -> Output:
    """Return for every tenth of a second its number and twice that, at its middle."""
    numbers = np.arange(round(sound.duration_s * 10))
    return Output(np.column_stack([numbers, 2 * numbers]), (numbers + 0.5) / 10)


def test_a_sequence_becomes_a_pooled_vector_and_frames_with_times(tmp_path: Path) -> None:
    done = of_sequence(tmp_path, toy(tenths, unit="segment", dimension=2, rate_hz=10.0))
    assert done.corpus.features == ("toy", "toy.frames")
    assert done.corpus.feature("toy").values.tolist() == [[0.5, 1], [1, 2]]  # means of 0, 1 and of 0, 1, 2
    frames = done.corpus.feature("toy.frames")
    assert frames.offsets is not None and frames.times is not None
    assert frames.of(1).tolist() == [[0, 0], [1, 2], [2, 4]]
    assert frames.offsets.tolist() == [0, 2, 5]
    assert frames.times.tolist() == pytest.approx([0.05, 0.15, 0.05, 0.15, 0.25])
    vector, sequence = (done.corpus.declaration.extracted[name] for name in ("toy", "toy.frames"))
    assert (vector.unit, vector.rate_hz) == ("utterance", None)
    assert (sequence.unit, sequence.rate_hz, sequence.modality, sequence.sample_rate_hz) == (
        "segment",
        10,
        "audio",
        16000,
    )
    assert vector.media == sequence.media and vector.media is not None


def test_only_one_of_the_two_is_written(tmp_path: Path) -> None:
    recipe = toy(tenths, unit="segment", dimension=2)
    assert of_sequence(tmp_path, recipe, only="vectors").corpus.features == ("toy",)
    assert of_sequence(tmp_path / "other", recipe, only="frames").corpus.features == ("toy.frames",)


def test_an_extractor_may_pool_in_its_own_way(tmp_path: Path) -> None:
    recipe = toy(tenths, unit="segment", pool=lambda output: output.values.max(axis=0)[:1])
    assert of_sequence(tmp_path, recipe).features["toy"].values.tolist() == [[1], [2]]


# Texts


def letters(texts: list[str], *, scale: float = 1.0) -> list[Output]:
    """Return the code of every letter."""
    return [Output(np.array([[ord(letter) * scale] for letter in text]).reshape(-1, 1)) for text in texts]


def test_texts_become_tokens_and_an_empty_one_becomes_zeros(tmp_path: Path) -> None:
    talk = corpus(tmp_path / "talk", "a", "b", "c", transcript=["AC", None, "😀"], english=["B", "", "x"])
    recipe = toy(letters, "texts", "token", 1)
    done = extract(talk, Request([recipe], columns=("transcript",)))
    assert done.corpus.features == ("toy", "toy.tokens")
    assert done.features["toy"].values.tolist() == [[66], [0], [0x1F600]]
    tokens = done.features["toy.tokens"]
    assert (tokens.values[:, 0].tolist(), tokens.offsets.tolist(), tokens.times) == (
        [65, 67, 0x1F600],
        [0, 2, 2, 3],
        None,
    )  # type: ignore[union-attr]
    assert done.corpus.declaration.extracted["toy.tokens"].options == {"columns": ["transcript"], "scale": 1.0}
    # of several columns, vectors are side by side and tokens follow each other
    done = extract(talk, Request([Recipe("two", "toy", {"scale": 2.0})], columns=("transcript", "english")))
    assert done.features["two"].values.tolist() == [[132, 132], [0, 0], [2 * 0x1F600, 240]]
    assert done.features["two.tokens"].offsets.tolist() == [0, 3, 3, 5]  # type: ignore[union-attr]


def test_texts_travel_in_batches_and_a_bad_one_is_found(tmp_path: Path) -> None:
    calls: list[int] = []

    def lengths(texts: list[str]) -> list[Output]:
        calls.append(len(texts))
        if "bad" in texts:
            raise RuntimeError("cannot read it")
        return [Output(np.array([len(text)])) for text in texts]

    ids = [f"s{number:03}" for number in range(400)]
    texts = ["bad" if number == 200 else "x" * (number + 4) for number in range(400)]
    done = extract(corpus(tmp_path / "talk", *ids, transcript=texts), Request([toy(lengths, "texts", dimension=1)]))
    assert done.problems == {"toy": {"s200": "RuntimeError: cannot read it"}}
    assert calls == [192, 192, *[1] * 192, 16]
    assert done.features["toy"].values[:, 0].tolist() == [number + 4 for number in range(400) if number != 200]


def test_clips_and_texts_are_extracted_in_one_run(tmp_path: Path) -> None:
    for name in "ab":
        make_clip(tmp_path / f"{name}.mkv", Pictures(4), Sound())
    (tmp_path / "b.mkv").write_bytes(b"no clip")
    talk = corpus(tmp_path / "talk", "a", "b", "c", transcript=["x", "yy", "zzz"])
    recipes = [toy(letters, "texts", "token", 1), Recipe("voice", "voice"), Recipe("face", "face")]
    talk = extract(talk, Request(recipes, media=[tmp_path])).corpus
    sizes = {name: talk.feature_shape(name) for name in talk.features}
    assert sizes == {
        "face": (1, 140, False),
        "toy": (3, 1, False),
        "toy.tokens": (3, 1, True),
        "voice": (1, 184, False),
    }
    assert np.array_equal(
        talk.feature("voice").values[0],
        measure_clips({"a": tmp_path / "a.mkv"}, [Recipe("voice", "voice")]).results["a"]["voice"].vector,
    )


def test_a_very_long_text_is_passed_on_whole() -> None:
    text = "word 字 " * 50_000
    recipe = toy(lambda texts: [Output(np.array([len(text)])) for text in texts], "texts", dimension=1)
    assert measure_texts({"a": [text]}, [recipe]).results["a"]["toy"].vector.tolist() == [350_000]


# Outputs that are wrong


@pytest.mark.parametrize(
    ("unit", "output", "problem"),
    [
        ("utterance", Output(np.array([1, np.nan])), "the extractor returned 1 of 2 numbers that are not finite"),
        ("utterance", Output(np.array([1, 1e300])), "the extractor returned 1 of 2 numbers that are not finite"),
        ("utterance", Output(np.ones(3)), "the extractor returned an array of shape (3,), and declares (2)"),
        ("utterance", Output(np.ones((4, 2))), "the extractor returned an array of shape (4, 2), and declares (2)"),
        ("frame", Output(np.ones(2)), "the extractor returned an array of shape (2,), and declares (t, 2)"),
        ("frame", Output(np.ones((0, 2))), "it is too short: there is not a single frame or segment"),
        (
            "frame",
            Output(np.ones((3, 2)), np.zeros(4)),
            "the extractor returned (4,) times for values of shape (3, 2)",
        ),
        (
            "frame",
            Output(np.ones((2, 2)), np.array([0, np.inf])),
            "the extractor returned 1 of 2 times that are not finite",
        ),
        ("frame", Output(np.ones((2, 2)), np.array([1.0, 0.5])), "the extractor returned times that decrease"),
    ],
)
def test_an_output_that_cannot_be_stored_is_a_problem_of_its_sample(
    unit: str, output: Output, problem: str, tmp_path: Path
) -> None:
    make_clip(tmp_path / "a.wav", None, Sound())
    measured = measure_clips({"a": tmp_path / "a.wav"}, [toy(lambda sound: output, unit=unit, dimension=2)])
    assert measured.problems == {"a": {"toy": problem}}


def test_what_could_not_be_measured_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ab":
        make_clip(tmp_path / f"{name}.wav", None, Sound())
    faults = ["out of memory"]

    def fails_once(sound: Audio) -> Output:
        if faults:
            raise RuntimeError(faults.pop())
        return Output(np.ones(1))

    talk, request = corpus(tmp_path / "talk", "a", "b"), Request([toy(fails_once)], media=[tmp_path])
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr("merbench.features.extraction.add_features", lambda *_, **__: 1 / 0)
        extract(talk, request)
    done = extract(talk, request)
    assert (done.n_kept, done.problems, len(done.features["toy"])) == (1, {}, 2)


def test_rows_of_different_lengths_end_the_run(tmp_path: Path) -> None:
    for name, seconds in (("a", 0.3), ("b", 0.2)):
        make_clip(tmp_path / f"{name}.wav", None, Sound(seconds))
    recipe = toy(lambda sound: Output(np.ones(round(10 * sound.duration_s))))
    with pytest.raises(UsageError) as raised:
        extract(corpus(tmp_path / "talk", "a", "b"), Request([recipe], media=[tmp_path]))
    assert str(raised.value) == "extractor 'toy' returned rows of 3 numbers for sample a and of 2 for b"


def test_one_extractor_that_fails_does_not_disturb_the_others(tmp_path: Path) -> None:
    make_clip(tmp_path / "a.mkv", Pictures(8), Sound())
    (tmp_path / "b.mkv").write_bytes((tmp_path / "a.mkv").read_bytes()[:-4000])

    class Fails:
        def start(self) -> Fails:
            return self

        def add(self, item: Picture, /) -> None:
            if item.time_s > 0.1:
                raise ZeroDivisionError("a bug")

    toy(Fails, "pictures")
    recipes = [Recipe("toy", "toy"), Recipe("face", "face"), Recipe("voice", "voice")]
    problems = measure_clips({name: tmp_path / f"{name}.mkv" for name in "ab"}, recipes).problems
    assert problems["a"] == {"toy": "ZeroDivisionError: a bug"}
    assert set(problems["b"]) == {"toy", "face", "voice"}


def test_what_every_sample_would_meet_ends_the_run(tmp_path: Path) -> None:
    make_clip(tmp_path / "a.wav", None, Sound())

    class Needy:
        def __init__(self) -> None:
            raise MissingExtra("a toy (toylib)", "toys")

        def __call__(self, sound: Audio) -> Output:
            raise NotImplementedError

    class Broken(Needy):
        def __init__(self) -> None:
            raise OSError("no model")

    request = Request([toy(Needy)], media=[tmp_path])
    with pytest.raises(
        MissingExtra, match=r"^a toy \(toylib\) needs the extra 'toys': pip install 'merbench\[toys\]'$"
    ):
        extract(corpus(tmp_path / "one", "a"), request)
    with pytest.raises(UsageError, match=r"^extractor 'toy' cannot be constructed: OSError: no model$"):
        extract(corpus(tmp_path / "two", "a"), Request([toy(Broken)], media=[tmp_path]))


def test_silence_and_what_has_no_samples(tmp_path: Path) -> None:
    import soundfile

    soundfile.write(tmp_path / "silence.wav", np.zeros(16_000), 16_000)
    soundfile.write(tmp_path / "nothing.wav", np.zeros(0), 16_000)
    (tmp_path / "empty.wav").write_bytes(b"")
    make_clip(tmp_path / "mute.mkv", Pictures(3))
    clips = {name: tmp_path / f"{name}.wav" for name in ("silence", "nothing", "empty")}
    measured = measure_clips({**clips, "mute": tmp_path / "mute.mkv"}, [Recipe("voice", "voice")])
    assert np.isfinite(measured.results["silence"]["voice"].vector).all()
    assert {
        name: problems["voice"].rpartition(": ")[2] for name, problems in measured.problems.items() if problems
    } == {
        "nothing": "its audio has no samples",
        "empty": "is empty",
        "mute": "it has no audio stream",
    }


# Faces


@pytest.mark.slow
def test_faces_are_looked_for_once_and_shared(
    tmp_path: Path, test_data: Path, installed_weights: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path / "home"))
    installed_weights("face-boxes")
    installed_weights("expression")
    make_clip(tmp_path / "ramp.mkv", Pictures(6))
    clips = {"speaker": test_data / "data/media/video/grid/bbaf2n.mpg", "ramp": tmp_path / "ramp.mkv"}
    recipes = [Recipe("boxes", "face-boxes", frame_rate_hz=5.0), Recipe("expression", "expression", frame_rate_hz=5.0)]
    first = measure_clips(clips, recipes)
    no_face = "no face in any of its 2 pictures"  # those at 0 and 0.2 s
    assert first.problems == {"speaker": {}, "ramp": {"boxes": no_face, "expression": no_face}}
    results = first.results["speaker"]
    assert results["boxes"].times is not None and results["expression"].sequence is not None
    assert results["boxes"].times.tolist() == pytest.approx([0.2 * number for number in range(15)])
    assert results["expression"].sequence.shape == (15, 7)

    # the second time no picture is decoded, and the numbers are the same
    def frames(path: Path) -> Iterator[Any]:
        pytest.fail(f"{path} is decoded again")
        yield

    monkeypatch.setattr("merbench.media.reading._frames_of", frames)
    again = measure_clips(clips, recipes)
    assert again.problems == first.problems
    for name in ("boxes", "expression"):
        assert np.array_equal(again.results["speaker"][name].sequence, results[name].sequence)


def test_the_extractor_of_the_guide_works(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "features.md").read_text(encoding="utf-8")
    code = page.split("```python\n")[1].split("```")[0]
    exec(code, {})
    make_clip(tmp_path / "a.wav", None, Sound(0.5))
    result = measure_clips({"a": tmp_path / "a.wav"}, [Recipe("x", "loudness", {"floor_db": -60.0})]).results["a"]["x"]
    assert result.sequence is not None and result.times is not None
    assert result.sequence.shape == (50, 1)
    # a tone of 0.4 and a little noise: 20 log10(0.4 / sqrt(2)) is -11 dB
    assert result.vector[0] == pytest.approx(-11, abs=0.2)
    assert result.times[:2].tolist() == pytest.approx([0.005, 0.015])


def test_an_extractor_of_faces_needs_what_finds_them_too() -> None:
    assert [EXTRACTORS[name].extras for name in ("face", "expression")] == [("media",), ("faces",)]
    toy(np.mean, input="faces", unit="frame", extra="speech")
    assert EXTRACTORS["toy"].extras == ("speech", "faces")
