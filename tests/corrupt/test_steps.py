"""Steps applied to one signal: sampled parameters, sounds of a bank, measured values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from merbench.banks.bank import Drawn
from merbench.corrupt.steps import apply_steps, corrupt, corrupt_split, sample_steps, sampled_values
from merbench.corruptions import Audio, Frame, Step, Video, generator
from merbench.errors import Inapplicable
from merbench.track import CorruptionSpec


def sampled(steps: list[Step], seed: int, sample_id: str) -> dict[str, Any]:
    return sampled_values(sample_steps(steps, seed, sample_id))


def spec(name: str, **parameters: Any) -> Step:
    return CorruptionSpec.model_validate({"name": name, **parameters}).as_step


class Bank:
    """A stand-in for a noise bank: white noise, and a record of the requests."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def draw(self, rng: np.random.PCG64, n_samples: int, rate_hz: int, **options: Any) -> Drawn:
        self.asked.append({"n_samples": n_samples, "rate_hz": rate_hz, **options})
        n_sources = options["n_sources"]
        noise = np.random.Generator(rng).standard_normal((n_sources, n_samples)).astype(np.float32)
        return Drawn(Audio(noise, rate_hz), tuple(f"n{i}.wav" for i in range(n_sources)), (0.25,) * n_sources)


def sound(seconds: float = 1.0) -> Audio:
    n = int(16000 * seconds)
    return Audio(np.sin(np.arange(n) / 20, dtype=np.float32)[None] * np.float32(0.3), 16000)


def rms(samples: NDArray[Any]) -> float:
    return float(np.sqrt(np.mean(np.square(samples.astype(np.float64)))))


def test_in_a_window_noise_is_as_long_and_as_loud_as_the_window_asks() -> None:
    bank = Bank()
    step = spec("background_noise", noise="any", snr_db=0, start=0.5, end=0.75)
    before = sound()
    before.samples[:, :8000] *= 0.01
    done = corrupt(before, [step], seed=3, sample_id="a", banks=lambda name: bank)  # type: ignore[arg-type,return-value]
    added = (done.signal.samples - before.samples)[0]
    assert bank.asked[0]["n_samples"] == 4000
    assert not added[:8000].any() and not added[12000:].any()
    assert rms(added[8000:12000]) == pytest.approx(rms(before.samples[0, 8000:12000]), rel=1e-3)
    assert done.values["background_noise.realised_snr_db"] == pytest.approx(0, abs=1e-3)


def test_babble_is_of_others_than_the_speaker() -> None:
    bank = Bank()
    step = spec("babble", noise="any", n_speakers=4, snr_db=5)
    done = corrupt(
        sound(), [step], seed=0, sample_id="a", known={"speaker": "x"},
        banks=lambda name: bank,  # type: ignore[arg-type,return-value]
    )  # fmt: skip
    assert (bank.asked[0]["n_sources"], bank.asked[0]["other_than_speaker"]) == (4, "x")
    assert done.values["babble.source"] == "n0.wav; n1.wav; n2.wav; n3.wav"
    assert done.values["babble.offset_s"] == [0.25] * 4


def test_sampled_values_depend_only_on_seed_step_and_sample() -> None:
    steps = [
        spec("coloured_noise", colour="pink", snr_db={"uniform": [0, 20]}),
        spec("gain", gain_db={"uniform": [-6, 6]}),
    ]
    ids = [f"s{number}" for number in range(20)]
    forth = {name: sampled(steps, 1, name) for name in ids}
    back = {name: sampled(list(reversed(steps)), 1, name) for name in reversed(ids)}
    assert forth == back
    assert len({values["gain.gain_db"] for values in forth.values()}) == 20
    assert sampled(steps, 2, "s0") != forth["s0"]
    renamed = spec("gain", step="louder", gain_db={"uniform": [-6, 6]})
    assert sampled([renamed], 1, "s0")["louder.gain_db"] != forth["s0"]["gain.gain_db"]


def test_steps_are_applied_one_after_the_other() -> None:
    done = corrupt(sound(), [spec("gain", gain_db=20), spec("clipping", quantile=1.0)], seed=0, sample_id="a")
    assert np.abs(done.signal.samples).max() == pytest.approx(3.0, rel=1e-3)
    assert done.values == {"gain.gain_db": 20, "clipping.quantile": 1.0}


def test_a_silence_has_no_ratio_and_the_step_is_named() -> None:
    silent = Audio(np.zeros((1, 100), np.float32), 16000)
    step = spec("coloured_noise", step="hiss", colour="white", snr_db=5)
    with pytest.raises(Inapplicable, match=r"^hiss: the sound is silent; a signal-to-noise ratio is not defined$"):
        corrupt(silent, [step], seed=0, sample_id="a")


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (None, "occlusion_face: the corpus has no box of this sample in a column 'face_box'"),
        (
            "1 2 x 4",
            "occlusion_face: '1 2 x 4' in column 'face_box' is not a box, four fractions x, y, width and height",
        ),
    ],
)
def test_a_face_needs_its_box(cell: str | None, message: str) -> None:
    video = Video(iter(()), 1.0)
    with pytest.raises(Inapplicable) as raised:
        corrupt(video, [spec("occlusion_face")], seed=0, sample_id="a", known={"face_box": cell})
    assert str(raised.value) == message


def test_the_box_of_the_sample_is_hidden() -> None:
    frame = Frame((np.full((8, 8), 200, np.uint8),))
    known = {"face_box": "0.5, 0, 0.5, 1"}
    done = corrupt(
        Video(iter([frame]), 1.0), [spec("occlusion_face", fill="black")], seed=0, sample_id="a", known=known
    )
    (shown,) = done.signal.frames
    assert (shown.planes[0][:, :4] == 200).all() and (shown.planes[0][:, 4:] == 16).all()


def test_a_split_is_corrupted_sample_by_sample_or_at_once() -> None:
    ids = ["a", "b", "c"]
    frames = [{"audio": np.ones((5, 2)), "text": np.ones((6, 2)), "video": np.ones((4, 2))} for _ in ids]
    step = spec("tfrnet_drop", rate=0.5)
    at_once = corrupt_split(frames, ids, [step], seed=0)
    # TFR-Net: one table of the legacy generator for the split, seeded 1111 for audio, padded to the longest.
    kept = np.random.RandomState(1111).uniform(size=(3, 5)) > 0.5
    for row, one in enumerate(at_once):
        assert np.array_equal(one.signal["audio"][:, 0] > 0, kept[row])
    singly = corrupt_split(frames, ids, [spec("modality_pattern", pattern={"choice": ["a", "v", "t"]})], seed=0)
    single = corrupt(frames[1], [spec("modality_pattern", pattern={"choice": ["a", "v", "t"]})], seed=0, sample_id="b")
    assert singly[1].values == single.values


def test_the_generator_of_a_step_continues_after_its_parameters() -> None:
    """Also when a step is applied again."""
    rng = generator(5, "feature_noise", "a")
    step = spec("feature_noise", snr_db={"integers": [5, 10]}, factor={"choice": [1, 2, 4]})
    drawn = step.draws(5, "a", rng)
    vectors = {"audio": np.arange(8.0), "video": np.arange(8.0)}
    expected = step.corruption(vectors, rng, drawn)["audio"]
    steps = sample_steps([step], 5, "a")
    for _ in range(2):
        assert np.array_equal(apply_steps(vectors, steps, {}).signal["audio"], expected)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.7, {"uniform": [0.0, 0.7]}])
def test_missing_modalities_of_all_samples_are_those_of_each_by_itself(rate: Any) -> None:
    rng, ids = np.random.default_rng(2), [f"s{i}" for i in range(40)]
    samples = [{name: rng.normal(size=3) for name in ("video", "audio", "text")} for _ in ids]
    samples[3]["audio"] *= 0  # zeros before the corruption count as missing afterwards
    step = spec("gcnet_missing", rate=rate)
    for sample_id, signal, done in zip(ids, samples, corrupt_split(samples, ids, [step], seed=5), strict=True):
        by_itself = corrupt(signal, [step], seed=5, sample_id=sample_id)
        assert done.values == by_itself.values
        assert list(done.signal) == list(by_itself.signal)
        assert all(np.array_equal(done.signal[name], by_itself.signal[name]) for name in signal)
