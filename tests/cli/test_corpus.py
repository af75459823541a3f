"""`merbench corpus`: what each command prints and the exit code it ends with."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from merbench.corpus import CORPORA, ExtractionRecord, Feature, add_features

Command = Callable[..., tuple[int, str, str]]

SAMPLES = "sample_id,split,speaker\na,train,x\nb,train,\nc,test,y\n"
REFERENCE = "sample_id,discrete,valence\na,happy,1\nb,sad,0\n"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "samples.csv").write_text(SAMPLES)
    (tmp_path / "reference.csv").write_text(REFERENCE)
    np.savez(tmp_path / "f.npz", ids=np.array(["a", "b", "c"]), values=np.eye(3))
    return tmp_path / "home"


CREATE = (
    "corpus create mine --samples samples.csv --reference reference.csv --feature-file text=f.npz --licence CC0-1.0"
)


def test_the_origin_of_features_is_shown(home: Path, merbench: Command) -> None:
    assert merbench(CREATE)[0] == 0
    corpus = CORPORA.read(home / "corpora" / "mine")
    shared = {"extractor": "egemaps", "version": "1", "modality": "audio"}
    records = {
        "e": ExtractionRecord(**shared, unit="utterance", options={"set": "02"}, weights="a" * 64),
        "e.frames": ExtractionRecord(**shared, unit="frame", rate_hz=100.0),
        "x.frames": ExtractionRecord(extractor="iris", version="1", modality="video", unit="frame", frame_rate_hz=5.0),
    }
    frames = Feature.from_frames(["a"], [np.ones((2, 3))], [np.array([0.0, 0.01])])
    vectors = Feature.from_vectors(["a"], [[1.0]])
    add_features(corpus, {"e": vectors, "e.frames": frames, "x.frames": frames}, records)
    out = merbench("corpus info mine")[1]
    assert out.endswith(
        """
features
  e: vectors of 1, for 1 of 3 samples; audio, by egemaps 1
  e.frames: frames of 3, for 1 of 3 samples; audio, 100 per second, by egemaps 1
  text: vectors of 3, for 3 of 3 samples
  x.frames: frames of 3, for 1 of 3 samples; video, 5 per second, by iris 1
"""
    )
    written = json.loads(merbench("corpus info mine --format json")[1])
    assert written["corpora"][0]["licence"] == "CC0-1.0"
    assert written["splits"] == [{"split": "test", "samples": 1}, {"split": "train", "samples": 2}]
    assert [row["target"] for row in written["targets"]] == ["discrete", "valence"]
    assert written["features"][:3] == [
        {
            "feature": "e",
            "samples": 1,
            "dimension": 1,
            "frames": False,
            "modality": "audio",
            "extracted": {**shared, "unit": "utterance", "options": {"set": "02"}, "weights": "a" * 64, "versions": {}},
        },
        {
            "feature": "e.frames",
            "samples": 1,
            "dimension": 3,
            "frames": True,
            "modality": "audio",
            "extracted": {**shared, "unit": "frame", "rate_hz": 100.0, "options": {}, "versions": {}},
        },
        {"feature": "text", "samples": 3, "dimension": 3, "frames": False, "modality": "text", "extracted": None},
    ]


def test_raw_clips_become_a_corpus(home: Path, merbench: Command, tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "one.wav").touch()
    (tmp_path / "clips.csv").write_text("file,split,mood\none,train,sad\n")
    create = "corpus create raw --samples clips.csv --target mood"
    folder = home / "corpora" / "raw"
    written = merbench(f"{create} --media clips --media-column file")
    assert written == (0, f"{folder}: raw 1.0, 1 sample (train 1)\n", "")
    assert CORPORA.read(folder).samples()["media"].to_pylist() == ["one.wav"]
    code, _, err = merbench(f"{create} --media-column file --force")
    assert (code, err) == (2, "--media-column applies only with --media DIR\n")


def test_what_a_record_states_is_escaped(home: Path, merbench: Command) -> None:
    assert merbench(CREATE)[0] == 0
    corpus = CORPORA.read(home / "corpora" / "mine")
    record = ExtractionRecord(extractor="\x1b[2Je\n::error::", version="1", modality="audio", unit="utterance")
    add_features(corpus, {"e": Feature.from_vectors(["a"], [[1.0]])}, {"e": record})
    assert "; audio, by \\x1b[2Je\\n::error:: 1\n" in merbench("corpus info mine")[1]


def test_create_info_list_verify(home: Path, merbench: Command) -> None:
    folder = home / "corpora" / "mine"
    assert merbench(CREATE) == (0, f"{folder}: mine 1.0, 3 samples (test 1, train 2)\n", "")
    code, out, err = merbench("corpus info mine")
    assert (code, err) == (0, "")
    assert (
        out
        == f"""\
mine 1.0
folder: {folder}
source: not stated
licence: CC0-1.0
digest: {CORPORA.read(folder).digest}

3 samples (test 1, train 2)

columns
  speaker: text, known for 2 of 3

references
  discrete (text): train 2
    happy: 1, sad: 1
  valence (integers): train 2
    0: 1, 1: 1

features
  text: vectors of 3, for 3 of 3 samples
"""
    )
    code, out, err = merbench("corpus list")
    assert (code, err) == (0, "")
    there, releases = out.split("\n\nnot installed; ")
    assert there.splitlines() == [
        "corpus  version  features  source",
        "mine    1.0      text      not stated",
        "sample                     built on first use",
    ]
    assert "\ncmu-mosei                  label.npz [transcription-engchi-polish.csv]\n" in releases
    assert merbench("corpus verify mine") == (0, f"{folder}: 3 files as recorded, values as recorded\n", "")


def test_frames_of_clips_become_a_corpus(home: Path, merbench: Command, tmp_path: Path) -> None:
    merbench(CREATE)
    message = "corpus 'mine' has no feature with frames; `merbench extract` computes some from clips\n"
    assert merbench("corpus frames mine") == (2, "", message)
    frames = pa.array([[[1.0], [2.0]], [[3.0]]], pa.list_(pa.list_(pa.float32(), 1)))
    times = pa.array([[0.0, 0.5], [0.0]], pa.list_(pa.float64()))
    table = pa.table({"sample_id": ["a", "c"], "values": frames, "times": times})
    pq.write_table(table, tmp_path / "look.parquet")
    merbench(f"{CREATE} --force --feature-file look.frames=look.parquet")
    written = home / "corpora" / "mine-frames"
    assert merbench("corpus frames mine") == (0, f"{written}: mine-frames 1.0, 3 samples (test 1, train 2)\n", "")


def test_verify_lists_every_changed_file_and_leaves_with_3(home: Path, merbench: Command) -> None:
    merbench(CREATE)
    folder = home / "corpora" / "mine"
    for member in ("samples.parquet", "features/text.arrow"):
        with (folder / member).open("ab") as file:
            file.write(b"x")
    (folder / "notes.txt").write_text("mine")
    assert merbench("corpus verify mine") == (
        3,
        "",
        f"{folder}: 1 warning\n"
        "  W601  notes.txt: the file is not recorded in corpus.toml\n"
        f"{folder}: 2 problems\n"
        "  E602  features/text.arrow: the file changed\n"
        "  E602  samples.parquet: the file changed\n"
        "import or create the corpus again, with --force\n",
    )
    code, _, err = merbench("corpus info mine")
    assert code == 3
    assert err.startswith(f"{folder / 'samples.parquet'}: the file changed: sha256 ")


def test_create_does_not_overwrite(home: Path, merbench: Command) -> None:
    merbench(CREATE)
    folder = home / "corpora" / "mine"
    taken = f"{folder}: already exists; --force replaces it\n"
    assert merbench(f"{CREATE} --version 2.0") == (2, "", taken)
    assert merbench(f"{CREATE} --version 2.0 --force")[:2] == (
        0, f"{folder}: mine 2.0, 3 samples (test 1, train 2)\n"
    )  # fmt: skip


def test_create_elsewhere_with_renamed_columns_and_targets(merbench: Command) -> None:
    Path("all.csv").write_text("id,part,y\na,t,0.5\n")
    line = "corpus create own --samples all.csv --rename id=sample_id --rename part=split --target y --output here/own"
    assert merbench(line) == (0, "here/own: own 1.0, 1 sample (t 1)\n", "")
    out = merbench("corpus info here/own")[1]
    assert "columns: none besides sample_id and split\n" in out
    assert "  y (numbers): t 1\n    from 0.5 to 0.5\n\nfeatures: none\n" in out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("corpus info mien", "no corpus named 'mien' (known: sample); add your own data with `merbench corpus create`"),
        ("corpus info ./mien", "mien: no such folder"),
        (
            "corpus import crema-d .",
            "., release of crema-d: 1 problem\n"
            "  E601  missing: cremad_votes.csv: clip, actor, fold, sentence, intensity, emotion, "
            + ", ".join(f"{condition}_votes_{letter}" for condition in ("voice", "face", "av") for letter in "ADFHNS"),
        ),
        ("corpus create sample --samples samples.csv", "'sample' is a corpus that merbench builds itself; choose another name"),
        ("corpus build other", "no corpus builder named 'other' (known: sample)"),
        ("corpus create mine --samples samples.csv --feature-file f.npz", "--feature-file f.npz: two parts with = between them are needed"),
        ("corpus create mine --samples samples.csv --rename a=b --rename a=c", "--rename a=c: duplicate 'a'"),
        ("corpus create mine --samples gone.csv", "corpus 'mine': 1 problem\n  E610  gone.csv: cannot be read: No such file or directory"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_message_and_2(merbench: Command, line: str, message: str) -> None:
    assert merbench(line) == (2, "", f"{message}\n")


def test_an_output_that_cannot_be_written(merbench: Command) -> None:
    code, out, err = merbench("corpus create mine --samples samples.csv --output samples.csv/mine")
    assert (code, out, err) == (74, "", "samples.csv/mine: cannot be written: File exists\n")


def test_list_shows_a_corpus_that_cannot_be_opened(home: Path, merbench: Command) -> None:
    merbench(CREATE)
    (home / "corpora" / "mine" / "corpus.toml").write_text("name = 3")
    code, out, err = merbench("corpus list")
    assert (code, err) == (0, "")
    assert "mine                       cannot be opened; see `merbench corpus info mine`\n" in out


def test_build(home: Path, merbench: Command) -> None:
    code, out, err = merbench("corpus build sample --output built")
    assert (code, err) == (0, "building the sample corpus in built\n")
    assert out.startswith("built: sample ")
    assert merbench("corpus build sample --output built")[0] == 2
    assert merbench("corpus verify ./built")[0] == 0
    assert "synthetic\n" in merbench("corpus info ./built")[1]
    assert not (home / "corpora").exists()


def test_import_without_a_path_describes_the_release(merbench: Command) -> None:
    code, out, err = merbench("corpus import add2023-ar")
    assert (code, err) == (0, "")
    assert re.search(r"^add2023-ar: .*\nsource: .*\nlicence: .*\nobtain: .*\n\nfiles\n  label\.txt: ", out)


@pytest.mark.real_data
def test_import_the_release(home: Path, test_data: Path, merbench: Command) -> None:
    assert merbench(f"corpus import mer2023 {test_data / 'data' / 'mer2023' / 'release'}") == (
        0,
        f"{home / 'corpora' / 'mer2023'}: mer2023 1.0, 5,030 samples (test1 411, test2 412, test3 834, train 3,373)\n",
        "",
    )
    out = merbench("corpus info mer2023")[1]
    assert "  valence (numbers): test1 411, test2 412, train 3,373\n" in out
