"""What holds for every corruption: shapes, pure functions, windows, parameters that change nothing, the same bits."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from merbench.corruptions import CORRUPTIONS, Audio, Frame, Video, check_parameters, generator
from merbench.corruptions.drawing import NORMAL_UNIT, normals
from merbench.corruptions.labels import Labels
from merbench.errors import Inapplicable, MissingExtra
from tests.corruptions.video.conftest import FORMATS, copied, made_frame, padding_of, values_of

N, RATE_HZ = 4_000, 16_000


def noise(name: str, *shape: int) -> np.ndarray:
    return (normals(generator(1, "signal", name), int(np.prod(shape))) * NORMAL_UNIT * 0.1).reshape(shape)


def sound(name: str, n_channels: int, n: int) -> Audio:
    return Audio(noise(name, n_channels, n).astype(np.float32), RATE_HZ)


CROP, SPEAKERS = sound("noise", 1, 2 * N), sound("speakers", 4, N)
BOX = (0.25, 0.25, 0.5, 0.5)
CASES: list[tuple[str, dict[str, Any]]] = [
    ("background_noise", {"noise": CROP, "snr_db": 5, "fill": "loop"}),
    ("babble", {"noise": SPEAKERS, "n_speakers": 4, "snr_db": 5}),
    *(("coloured_noise", {"colour": colour, "snr_db": 0}) for colour in ("white", "brown", "violet")),
    *(("sudden_events", {"event": event, "n_events": 2, "snr_db": 0}) for event in ("beep", "glass", "thunder", "knock")),
    ("recorded_events", {"recording": CROP, "n_events": 3, "snr_db": 0}),
    ("reverberation", {"impulse_response": Audio(np.array([[0.0, 1.0, 0.5, 0.25]], np.float32), RATE_HZ)}),
    ("telephone_band", {}),
    ("low_pass", {"cutoff_hz": 1000}),
    ("high_pass", {"cutoff_hz": 1000}),
    ("clipping", {"quantile": 0.5}),
    ("gain", {"gain_db": -6}),
    ("mute", {}),
    ("packet_loss", {"loss_rate": 0.5}),
    ("packet_loss", {"loss_rate": 0.5, "concealment": "repeat"}),
    ("resampling_loss", {"rate_hz": 8000}),
    *(("lossy_codec", {"codec": codec, "bit_rate": 32_000}) for codec in ("mp3", "aac", "opus")),
    ("lossy_codec", {"codec": "amr_nb", "bit_rate": 12_200}),
    ("lossy_codec", {"codec": "g722", "bit_rate": 64_000}),
    ("pyramid_blur", {"factor": 4}),
    ("gaussian_blur", {"severity": 5}),
    ("motion_blur", {"radius": 4, "sigma": 3, "angle": 30}),
    ("defocus_blur", {"radius": 2.5}),
    *((name, {"severity": 3}) for name in ("gaussian_noise", "speckle_noise", "shot_noise", "impulse_noise", "jpeg")),
    ("brightness", {"amount": -0.3}),
    ("contrast", {"severity": 3}),
    ("saturation", {"factor": 3}),
    ("channel_swap", {"order": "gbr"}),
    ("inversion", {}),
    ("pixelate", {"severity": 5}),
    ("low_resolution", {"height": 3, "enlarge": "linear"}),
    ("occlusion_box", {"x": 0.1, "y": 0.2, "width": 0.5, "height": 0.6}),
    ("occlusion_half", {"side": "lower"}),
    ("occlusion_face", {"box": BOX, "fill": "black"}),
    ("blank", {}),
    ("frame_drop", {"rate": 0.5}),
    ("frame_freeze", {}),
    ("low_frame_rate", {"rate_hz": 2}),
    *((name, {"rate": 0.5}) for name in ("word_deletion", "word_substitution", "character_swaps", "homophones")),
    ("feature_noise", {"snr_db": 5, "factor": 2}),
    ("diffusion_noise", {"t": 50}),
    ("diffusion_noise", {"t": 50, "kind": "impulse", "schedule": "sigmoid", "modalities": "audio+text"}),
    ("gaussian_noise_features", {"snr_db": 5}),
    ("random_drop", {"rate": 0.5}),
    ("random_drop", {"rate": 0.5, "unit": "frame", "modalities": "text"}),
    ("structural_drop", {"rate": 0.5}),
    ("gcnet_missing", {"rate": 0.5}),
    ("tfrnet_drop", {"rate": 0.5}),
    ("step_drop", {"rate": 0.5}),
    ("modality_pattern", {"pattern": "v", "absent": "noise"}),
    ("modality_absence", {"modality": "audio"}),
    ("imbalanced_missing", {"audio": 0.3, "text": 0.6, "video": 0.9}),
    ("partial_labels", {"q": 0.5}),
    ("noisy_partial_labels", {"q": 0.5, "eta": 0.5}),
    ("symmetric_flips", {"rate": 0.5}),
    ("class_flips", {"flips": {"a": {"b": 0.5, "c": 0.25}}}),
    ("long_tail", {"gamma": 10}),
]  # fmt: skip

BITS = """
background_noise 045b56508c1a
babble 6337ab3e01fa
coloured_noise de0db3fce0d1 045cffb87a7c 2646cf6417b3
sudden_events 21fa6a16286e 054f77282c74 edbf89f60ba9 15bfee9b3b8a
recorded_events 3b3812498ff1
clipping 3421d27ad552
gain 871ee53d8381
mute 1d84b40f287b
packet_loss ed6bffab6291 d68e7ff9d3ca
occlusion_box c547c4cf1dd6
occlusion_half b406e8543635
occlusion_face 1ada9e98cb8b
blank 75bcba098e40
frame_drop 911168e67dca
frame_freeze 28c75d7e5c62
low_frame_rate 15f4bac735ba
word_deletion fbc83decf5de
word_substitution 253d631e5e85
character_swaps 66312f28e7fa
homophones f6db55da600b
feature_noise a583ed59e2fd
diffusion_noise 630a7f5e458b 2e8ff39800f8
gaussian_noise_features a58b87b075fb
random_drop d63481896138 1b1b6568ad79
structural_drop 51977ee57ee6
gcnet_missing 21cce1132afe
tfrnet_drop 56257af1b75f
step_drop a00fdb05e74c
modality_pattern 300a73d937c6
modality_absence 94126c0613a4
imbalanced_missing fa2188a491dd
partial_labels 96a543a099d6
noisy_partial_labels 171f7ceb0182
symmetric_flips 7084dc699e7f
class_flips 8fe2e2fdb936
long_tail fd56a69c9de9
"""
"""The digests of the cases of each corruption, as the version before this table made them; none where bits depend on the
version of a library."""

TEXT = "I know that their two sons went there, and we all heard the whole tale by the sea!"


def clip(n: int = 6, height: int = 12, width: int = 14, **about: Any) -> list[Frame]:
    return [made_frame(height, width, seed=i, time_s=i / 10, **about) for i in range(n)]


def signal(name: str, n_channels: int = 2) -> Any:
    """Return a signal of the modality of a corruption."""
    if name == "tfrnet_drop":
        return [signal("step_drop"), signal("step_drop")]
    match CORRUPTIONS[name].modality:
        case "audio":
            return sound("signal", n_channels, N)
        case "video":
            return Video(map(copied, clip()), 0.6)
        case "text":
            return TEXT
        case "labels":
            return Labels.of(np.arange(60) % 4 - (np.arange(60) == 7), ("a", "b", "c", "d"))
    return {key: noise(key, 8, 12) for key in ("audio", "video", "text")} | {"other": np.ones(3)}


def content(value: Any) -> list[Any]:
    """Return what a signal holds, frames consumed, as plain data that can be compared."""
    match value:
        case Audio():
            return ["audio", value.rate_hz, value.samples.dtype.str, value.samples.shape, value.samples.tobytes()]
        case Video():
            return values_of(value.frames)
        case Labels():
            sets = None if value.candidates is None else value.candidates.tolist()
            return [value.codes.tolist(), value.rows.tolist(), sets]
        case dict():
            return [(key, item.shape, item.tobytes()) for key, item in value.items()]
        case list():
            return [content(item) for item in value]
    return [value]


def corrupted(name: str, given: Any, parameters: dict[str, Any], sample: str = "a") -> Any:
    return CORRUPTIONS[name](given, generator(3, name, sample), parameters)


every = pytest.mark.parametrize(
    ("name", "parameters"), CASES, ids=lambda value: value if isinstance(value, str) else ""
)
OF_SOUND = [case for case in CASES if CORRUPTIONS[case[0]].modality == "audio"]
OF_PICTURES = [case for case in CASES if CORRUPTIONS[case[0]].modality == "video"]
every_sound = pytest.mark.parametrize(("name", "parameters"), OF_SOUND)
every_picture = pytest.mark.parametrize(("name", "parameters"), OF_PICTURES)


def test_every_corruption_is_tried_here_and_its_declarations_are_allowed() -> None:
    assert {name for name, _ in CASES} == {name for name in CORRUPTIONS}
    for name, parameters in CASES:
        named = {key: "a-name" if isinstance(value, Audio | tuple) else value for key, value in parameters.items()}
        assert check_parameters(name, named) == []
        corruption = CORRUPTIONS[name]
        assert corruption.summary and not corruption.summary.endswith(".")
        for parameter, values in corruption.severities.items():
            assert len(values) == 5 and all(corruption.parameters[parameter].allows(value) for value in values)


@every
def test_shapes_stay_something_changes_and_no_input_is_written(name: str, parameters: dict[str, Any]) -> None:
    given = signal(name)
    before = content(signal(name))
    after = corrupted(name, given, parameters)
    shown = content(after)
    assert shown == content(corrupted(name, signal(name), parameters))
    assert shown != before
    match given:
        case Audio():
            assert (after.samples.shape, after.rate_hz) == (given.samples.shape, given.rate_hz)
            assert after.samples.dtype == np.float32 and np.isfinite(after.samples).all()
        case dict():
            assert [item[:2] for item in shown] == [item[:2] for item in before]
            assert after["other"] is given["other"]
    if not isinstance(given, Video):
        assert content(given) == before


@every
def test_parameters_that_change_nothing_are_known(name: str, parameters: dict[str, Any]) -> None:
    corruption = CORRUPTIONS[name]
    drawn = corruption.draw(
        {k: v for k, v in parameters.items() if not isinstance(v, Audio | tuple)}, generator(0, "", "")
    )
    assert not corruption.changes_nothing({**drawn, **parameters})
    for same in corruption.unchanged_at:
        without = {key: value for key, value in {**drawn, **parameters, **same}.items() if key != "severity"}
        assert corruption.changes_nothing(without)
        assert content(corrupted(name, signal(name), without)) == content(signal(name))


@every_sound
@pytest.mark.parametrize("window", [{"start": 0.25, "end": 0.75}, {"start_s": 0.125}])
def test_sound_changes_only_inside_its_window(name: str, parameters: dict[str, Any], window: dict[str, float]) -> None:
    begin, end = (1000, 3000) if "end" in window else (2000, N)
    assert corrupted(name, signal(name, 1), {**parameters, "start_s": 9.0}).samples.shape == (1, N)  # after the end
    given = signal(name, 1)
    result = corrupted(name, given, {**parameters, **window}).samples
    part = corrupted(name, given.with_samples(given.samples[:, begin:end]), parameters).samples
    expected = np.concatenate([given.samples[:, :begin], part, given.samples[:, end:]], axis=1)
    assert np.array_equal(result, expected)


@every_picture
def test_pictures_change_only_inside_their_window(name: str, parameters: dict[str, Any]) -> None:
    out = list(corrupted(name, signal(name), {**parameters, "start_s": 0.2, "end_s": 0.5}).frames)
    inside = list(corrupted(name, Video(map(copied, clip()[2:5]), 0.3), parameters).frames)
    assert values_of(out) == values_of([*clip()[:2], *inside, *clip()[5:]])


AT_A_RATIO = {"background_noise", "babble", "coloured_noise", "sudden_events", "recorded_events"}
SILENT_AT_FIRST = {"coloured_noise", "sudden_events"}  # noise without a mean, and the first sample of an event


@every_sound
def test_sounds_without_a_level_stay_or_have_no_ratio(name: str, parameters: dict[str, Any]) -> None:
    for samples, problem in ((np.zeros((2, 0)), "has no samples"), (np.zeros((1, N)), "is silent")):
        given = Audio(samples.astype(np.float32), RATE_HZ)
        if name in AT_A_RATIO:
            with pytest.raises(Inapplicable, match=f"^the sound {problem}; a signal-to-noise ratio is not defined$"):
                corrupted(name, given, parameters)
        else:
            # G.722 and AMR code silence as something of about a 16-bit step; they are allowed ten of them.
            assert np.abs(corrupted(name, given, parameters).samples).max(initial=0) <= 10 / 32768
    sample = Audio(np.array([[0.5]], np.float32), RATE_HZ)
    if name in SILENT_AT_FIRST:
        with pytest.raises(
            Inapplicable, match=r"^the (noise|event) is silent; a signal-to-noise ratio is not defined$"
        ):
            corrupted(name, sample, parameters)
    else:
        assert corrupted(name, sample, parameters).samples.shape == (1, 1)
    if name in AT_A_RATIO:
        with pytest.raises(Inapplicable, match=r"^the sound contains values that are not finite numbers$"):
            corrupted(name, Audio(np.full((1, N), np.inf, np.float32), RATE_HZ), parameters)


@every_picture
@pytest.mark.parametrize("size", [(17, 23), (1, 9)])
def test_every_format_is_edited_in_place_and_rows_stay_apart(
    name: str, parameters: dict[str, Any], size: tuple[int, int]
) -> None:
    for about in FORMATS.values():
        frames = [copied(frame) for frame in clip(3, *size, **about)]
        planes = [frame.planes for frame in frames]
        between = [[padding_of(plane).copy() for plane in of_frame] for of_frame in planes]
        packed = [frame.with_planes([plane.copy() for plane in frame.planes]) for frame in frames]
        out = list(corrupted(name, Video(iter(frames), 0.3), parameters).frames)
        for frame, own, filler in zip(out, planes, between, strict=True):
            assert all(plane is own_plane for plane, own_plane in zip(frame.planes, own, strict=True))
            assert all(np.array_equal(padding_of(p), f) for p, f in zip(frame.planes, filler, strict=True))
            assert max(int(plane.max()) for plane in frame.planes) < 1 << frame.depth
        assert [(frame.time_s, frame.rotation) for frame in out] == [(f.time_s, f.rotation) for f in packed]
        assert values_of(corrupted(name, Video(iter(packed), 0.3), parameters).frames) == values_of(out)


@every_picture
def test_a_frame_is_returned_before_the_next_is_taken_and_belongs_to_the_consumer(
    name: str, parameters: dict[str, Any]
) -> None:
    n_taken = 0

    def counted() -> Iterator[Frame]:
        nonlocal n_taken
        for frame in clip():
            n_taken += 1
            yield frame

    seen = []
    for n, frame in enumerate(corrupted(name, Video(counted(), 0.6), parameters).frames, start=1):
        assert n_taken == n
        seen += values_of([frame])
        for plane in frame.planes:
            plane[...] = 3
    assert seen == content(corrupted(name, signal(name), parameters))


@every_picture
def test_sizes_may_change_within_a_clip(name: str, parameters: dict[str, Any]) -> None:
    frames = [made_frame(8, 12), made_frame(6, 10), made_frame(6, 10, depth=10), made_frame(8, 12, subsampling=None)]
    out = corrupted(name, Video(map(copied, frames), 0.4), parameters).frames
    assert [[p.shape for p in frame.planes] for frame in out] == [[p.shape for p in frame.planes] for frame in frames]


@pytest.mark.parametrize("line", BITS.strip().split("\n"), ids=lambda line: line.split()[0])
def test_bits_are_the_same_on_every_machine(line: str) -> None:
    name, *expected = line.split()
    cases = [parameters for known, parameters in CASES if known == name]
    for parameters, digest in zip(cases, expected, strict=True):
        results = [content(corrupted(name, signal(name), parameters, sample)) for sample in "abc"]
        assert hashlib.sha256(repr(results).encode()).hexdigest()[:12] == digest


@pytest.mark.parametrize(
    ("name", "parameters", "module"),
    [
        ("low_pass", {"cutoff_hz": 1000}, "scipy.signal"),
        ("reverberation", {"impulse_response": CROP}, "scipy.signal"),
        ("resampling_loss", {"rate_hz": 8000}, "soxr"),
        ("lossy_codec", {"codec": "g722", "bit_rate": 64_000}, "av.codec"),
    ],
)
def test_a_missing_library_names_its_extra(
    name: str, parameters: dict[str, Any], module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=r"needs the extra 'media': pip install 'merbench\[media\]'$"):
        corrupted(name, signal(name), parameters)


def test_naming_a_corruption_loads_no_heavy_library() -> None:
    code = "import sys, merbench.corruptions; print({'av', 'cv2', 'scipy', 'soundfile', 'soxr'} & sys.modules.keys())"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed == "set()\n"
