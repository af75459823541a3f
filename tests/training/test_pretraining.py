"""Pre-training goes on in the same bytes, and its weights are what fine-tuning begins from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_corpus import made_corpus
from made_media import Pictures, make_clip

from merbench.cli import run as command
from merbench.corpus import Corpus, ExtractionRecord, Feature, open_corpus, verify_corpus
from merbench.errors import DeclarationError, UsageError
from merbench.files.tensors import read_tensors
from merbench.track import load_track
from merbench.training import RunSettings, open_models, run_baseline
from merbench.training.pretraining import PretrainingSettings, pretrain

TINY: dict[str, Any] = {
    **{"width": 8, "heads": 2, "layers": 1, "patch": 4, "frames": 4, "masked": 0.5},
    **{"decoder_width": 8, "decoder_heads": 2, "epochs": 4, "batch_size": 4, "warmup_epochs": 0},
}
OF_REGIONS = {**TINY, "region": [2, 2, 2]}
SIZE, N = 16, 24

TRACK = """
id = "faces"
version = "1.0"
title = "Faces"
corpus = "./corpus"
splits = { train = "train", test = "test" }
targets.discrete = { type = "categorical", labels = ["calm", "glad"] }
metrics = [{ name = "accuracy", target = "discrete" }]
ranking = { by = ["accuracy"] }
"""

RECORD = ExtractionRecord(extractor="face-crops", version="1", modality="video", unit="frame", pictures=True)


def pictures(ids: list[str], *, without: tuple[str, ...] = ()) -> Feature:
    """Return two to nine pictures of each sample, brighter above or below."""
    rng, frames = np.random.default_rng(0), []
    kept = [name for name in ids if name not in without]
    for name in kept:
        rows = rng.integers(0, 120, (2 + int(name[1:]) % 8, SIZE, SIZE, 3))
        half = slice(0, SIZE // 2) if int(name[1:]) % 2 else slice(SIZE // 2, None)
        rows[:, half] += 100
        frames.append(rows.astype(np.uint8).reshape(len(rows), -1))
    return Feature.from_frames(kept, frames, pictures=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a track, and of a corpus with pictures, which one sample of each split lacks."""
    ids = [f"s{n:02}" for n in range(N)]
    splits = ["train"] * 16 + ["test"] * 8
    reference = pa.table({"sample_id": ids, "discrete": ["glad" if n % 2 else "calm" for n in range(N)]})
    made_corpus(
        tmp_path / "faces" / "corpus",
        name="faces",
        samples=pa.table({"sample_id": ids, "split": splits}),
        reference=reference,
        features={
            "face-crops.frames": pictures(ids, without=("s03", "s20")),
            "loud": Feature.from_vectors(ids, np.random.default_rng(1).normal(size=(N, 3))),
        },
        extracted={"face-crops.frames": RECORD},
    )
    (tmp_path / "faces" / "track.toml").write_text(TRACK, encoding="utf-8")
    return tmp_path / "faces"


@pytest.fixture
def corpus(folder: Path) -> Corpus:
    return open_corpus(folder / "corpus")


def settings(**options: Any) -> PretrainingSettings:
    return PretrainingSettings(options={**OF_REGIONS, **options}, device="cpu")


def test_pictures_are_stored_as_bytes_and_only_baselines_of_pictures_read_them(corpus: Corpus) -> None:
    stored = corpus.feature("face-crops.frames")
    assert stored.values.dtype == np.uint8 and stored.is_pictures
    assert corpus.feature_shape("face-crops.frames") == (22, SIZE * SIZE * 3, True)
    np.testing.assert_array_equal(stored.of(0), pictures(["s00"]).values)
    assert corpus.default_features == ("loud",)
    assert corpus.extracted_by(["face-crops"], "frame") == ("face-crops.frames",)
    assert verify_corpus(corpus) == []


@pytest.mark.slow
def test_what_is_written_and_that_the_same_seed_gives_the_same_bytes(corpus: Corpus, tmp_path: Path) -> None:
    run = pretrain("mae-dfer", corpus, settings(), output=tmp_path / "one")
    assert (run.splits, run.features, run.n_samples) == (("train",), ("face-crops.frames",), 15)
    assert run.left_out == ("s03",)
    assert sorted(path.name for path in run.folder.iterdir()) == [
        "history.parquet",
        "pretrained.safetensors",
        "pretraining.json",
    ]
    weights, about = read_tensors(run.folder / "pretrained.safetensors")
    assert about["baseline"] == "mae-dfer" and about["options"]["width"] == 8
    assert {name.partition(".")[0] for name in weights} == {"encoder", "norm", "decoder"}
    record = json.loads((run.folder / "pretraining.json").read_text())
    assert record["left_out"] == ["s03"] and record["options"]["second_moment"] == 0.95
    history = pq.read_table(run.folder / "history.parquet")
    assert history["epoch"].to_pylist() == [1, 2, 3, 4]
    assert run.losses["loss"] == pytest.approx(history["loss"].to_pylist()[-1])
    again = pretrain("mae-dfer", corpus, settings(), output=tmp_path / "two")
    other = pretrain("mae-dfer", corpus, PretrainingSettings(options=OF_REGIONS, seed=1), output=tmp_path / "three")
    same, different = ((each.folder / "pretrained.safetensors").read_bytes() for each in (again, other))
    assert same == (run.folder / "pretrained.safetensors").read_bytes() != different


@pytest.mark.parametrize("baseline", ["mae-dfer", "videomae"])
def test_it_goes_on_where_it_was_interrupted(baseline: str, corpus: Corpus, tmp_path: Path) -> None:
    options = PretrainingSettings(options=OF_REGIONS if baseline == "mae-dfer" else TINY, device="cpu")
    expected = pretrain(baseline, corpus, options, output=tmp_path / "expected")
    seen: list[int] = []

    def interrupting(text: str, done: int, total: int) -> None:
        seen.append(done)
        if text == "epochs" and done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(baseline, corpus, options, output=tmp_path / "run", progress=interrupting)
    assert seen == [1, 2] and not (tmp_path / "run").exists()
    seen.clear()
    run = pretrain(baseline, corpus, options, output=tmp_path / "run", progress=lambda *step: seen.append(step[1]))
    assert seen == [3, 4]
    for name in ("pretrained.safetensors", "history.parquet"):
        assert (run.folder / name).read_bytes() == (expected.folder / name).read_bytes()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.slow
def test_fine_tuning_begins_from_the_weights_and_predicting_needs_no_file(
    folder: Path, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = pretrain("mae-dfer", corpus, settings(), output=tmp_path / "pretrained")
    track = load_track(folder)
    own = {**OF_REGIONS, "epochs": 1, "learning_rate": 1e-12, "head_scale": 1.0}
    how = RunSettings(
        options={**own, "pretrained": str(made.folder)}, learning={"folds": 2}, intervals=False, device="cpu"
    )
    run = run_baseline(track, "mae-dfer", how, output=tmp_path / "run")
    weights, _ = read_tensors(run.folder / "models" / "seed-0.safetensors")
    before, _ = read_tensors(made.folder / "pretrained.safetensors")
    of_encoder = [name for name in before if name.startswith("encoder.")]
    for name in of_encoder:
        for fold in (0, 1):
            np.testing.assert_allclose(weights[f"network.{name}"][fold], before[name], atol=1e-9)
    record = json.loads((run.folder / "run.json").read_text())
    files = json.dumps(record)
    assert "pretrained.safetensors" in files  # its digest is an input of the run
    scratch = run_baseline(
        track,
        "mae-dfer",
        RunSettings(options=own, learning={"folds": 2}, intervals=False, device="cpu"),
        output=tmp_path / "scratch",
    )
    others, _ = read_tensors(scratch.folder / "models" / "seed-0.safetensors")
    assert not np.allclose(others["network.encoder.representatives"], weights["network.encoder.representatives"])
    (made.folder / "pretrained.safetensors").rename(tmp_path / "elsewhere.safetensors")
    monkeypatch.chdir(tmp_path)
    assert command(["predict", str(run.folder), str(folder), "--output", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again" / "submission.csv").read_bytes() == (run.folder / "submission.csv").read_bytes()


def test_layers_near_the_input_learn_more_slowly(folder: Path, tmp_path: Path) -> None:
    track = load_track(folder)
    options = {**OF_REGIONS, "layers": 2, "epochs": 1, "layer_decay": 0.01, "weight_decay": 0.0, "optimiser": "adam"}
    changes = dict[str, float]()
    for name, rate in (("before", 1e-12), ("after", 1e-3)):
        how = RunSettings(
            options={**options, "learning_rate": rate}, learning={"folds": 2}, intervals=False, device="cpu"
        )
        run = run_baseline(track, "mae-dfer", how, output=tmp_path / name)
        weights, _ = read_tensors(run.folder / "models" / "seed-0.safetensors")
        for part in ("encoder.embedding", "encoder.blocks.0", "encoder.blocks.1", "heads"):
            own = [values for key, values in weights.items() if key.startswith(f"network.{part}.")]
            moved = float(np.mean([np.abs(values).mean() for values in own]))
            changes[part] = moved if name == "before" else abs(changes[part] - moved)
    # Adam moves a parameter by about its rate: a hundredth of the next layer's.
    assert changes["encoder.embedding"] < changes["encoder.blocks.0"] < changes["encoder.blocks.1"] < changes["heads"]


def test_as_many_views_as_a_track_asks_for_are_averaged(folder: Path, tmp_path: Path) -> None:
    (folder / "track.toml").write_text(f'{TRACK}submission = {{ duplicate_ids = "mean", views = 4 }}\n')
    how = RunSettings(options=OF_REGIONS, learning={"folds": 2}, intervals=False, device="cpu")
    run = run_baseline(load_track(folder), "mae-dfer", how, output=tmp_path / "run")
    assert len((run.folder / "submission.csv").read_text().splitlines()) == 1 + 4 * 8
    models = open_models(run.folder)
    networks: Any = getattr(models.models[0].baseline, "built").networks  # noqa: B009
    assert [network.views for network in networks] == [4, 4]


def test_what_cannot_be_pretrained_is_refused(corpus: Corpus, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"baseline 'gru' cannot be pre-trained; those that can: .*mae-dfer.*videomae"):
        pretrain("gru", corpus, output=tmp_path / "run")
    with pytest.raises(DeclarationError, match="layerz"):
        pretrain("videomae", corpus, PretrainingSettings(options={"layerz": 1}), output=tmp_path / "run")
    with pytest.raises(
        UsageError, match=r"corpus 'faces' has no split trian; it has test, train; did you mean 'train'"
    ):
        pretrain("videomae", corpus, PretrainingSettings(splits=["trian"]), output=tmp_path / "run")
    with pytest.raises(UsageError, match=r"reads 1 features, not 2: face-crops.frames, loud"):
        pretrain("videomae", corpus, PretrainingSettings(features=["face-crops.frames", "loud"]), output=tmp_path / "r")
    with pytest.raises(UsageError, match="patch: 16 does not divide the side of the pictures, which is 1"):
        pretrain("videomae", corpus, PretrainingSettings(features=["loud"]), output=tmp_path / "run")
    with pytest.raises(
        UsageError, match=r"region: \[2, 2, 3\] does not divide the tokens of a clip, which are \[2, 4, 4"
    ):
        pretrain("mae-dfer", corpus, settings(region=[2, 2, 3]), output=tmp_path / "run")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "own").touch()
    with pytest.raises(UsageError, match="full"):
        pretrain("videomae", corpus, PretrainingSettings(options=TINY), output=tmp_path / "full")


def test_a_corpus_without_pictures_says_how_to_get_some(tmp_path: Path, folder: Path) -> None:
    ids = ["a", "b"]
    bare = made_corpus(
        tmp_path / "bare",
        name="bare",
        samples=pa.table({"sample_id": ids, "split": ["train"] * 2}),
        features={"loud": Feature.from_vectors(ids, np.ones((2, 3)))},
    )
    message = (
        r"corpus 'bare' has no rows of face-crops, and baseline 'videomae' learns from them; `merbench extract bare "
        r"--with face-crops --option face-crops.size=64 --media DIR` computes some from the clips"
    )
    with pytest.raises(UsageError, match=message):
        pretrain("videomae", bare, output=tmp_path / "run")
    declared = folder / "corpus" / "corpus.toml"
    declared.write_text(declared.read_text().replace('extractor = "face-crops"', 'extractor = "other"'))
    with pytest.raises(UsageError, match="corpus 'faces' has no rows of face-crops, and baseline 'mae-dfer'"):
        run_baseline(load_track(folder), "mae-dfer", output=tmp_path / "run")


def test_no_sample_with_pictures_is_an_error(tmp_path: Path) -> None:
    ids = ["s01", "s02"]
    made = made_corpus(
        tmp_path / "one",
        name="one",
        samples=pa.table({"sample_id": ids, "split": ["train", "test"]}),
        features={"face-crops.frames": pictures(ids, without=("s01",))},
        extracted={"face-crops.frames": RECORD},
    )
    with pytest.raises(UsageError, match=r"none of the 1 samples has face-crops.frames"):
        pretrain("videomae", made, PretrainingSettings(options=TINY, device="cpu"), output=tmp_path / "run")


def test_the_command_prints_what_was_learned_from(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [f"--set={name}={value}" for name, value in OF_REGIONS.items()]
    arguments = ["pretrain", "mae-dfer", str(folder / "corpus"), *given, "--output", str(tmp_path / "run")]
    assert command(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "mae-dfer on face-crops.frames, corpus faces: train"
    assert lines[1].startswith("15 samples, 1 left out, which lack a feature; loss ")
    assert lines[2] == f"wrote {tmp_path / 'run'}"
    assert command(arguments) == 2
    assert "--force" in capsys.readouterr().err


@pytest.mark.slow
def test_clips_are_decoded_once_those_without_a_face_are_reported_and_short_ones_are_learned_from(
    tmp_path: Path,
    test_data: Path,
    installed_weights: Callable[[str], Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("ai_edge_litert", reason="faces: ai-edge-litert is not installed")
    cv2 = pytest.importorskip("cv2", reason="faces: OpenCV is not installed")
    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path / "home"))
    installed_weights("face-boxes")
    clips = tmp_path / "clips"
    clips.mkdir()
    grid = sorted((test_data / "data" / "media" / "video" / "grid").iterdir())[:2]
    if len(grid) < 2:
        pytest.skip("real clips: none")
    read = cv2.VideoCapture(str(grid[0]))
    faces = [read.read()[1] for _ in range(6)]
    # Five pictures of two faces side by side, the second one half as large; and noise without a face.
    smaller = [cv2.copyMakeBorder(face[::2, ::2], 72, 72, 0, 0, cv2.BORDER_CONSTANT) for face in faces]
    height = min(faces[0].shape[0], smaller[0].shape[0])
    both = [np.hstack([face[:height], small[:height]]) for face, small in zip(faces, smaller, strict=True)]
    writer = cv2.VideoWriter(str(clips / "two.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, both[0].shape[1::-1])
    for picture in both[:5]:
        writer.write(picture)
    writer.release()
    make_clip(clips / "none.mkv", Pictures())
    for n, path in enumerate(grid):
        (clips / f"real{n}{path.suffix}").symlink_to(path)
    ids = ["none", "real0", "real1", "two"]
    folder = made_corpus(
        tmp_path / "talk", name="talk", samples=pa.table({"sample_id": ids, "split": ["train"] * 4})
    ).folder
    options = {**OF_REGIONS, "patch": 16, "batch_size": 2, "epochs": 2}
    given = [f"--set={name}={value}" for name, value in options.items()]
    arguments = ["pretrain", "mae-dfer", str(folder), *given, "--output", str(tmp_path / "run")]
    assert command([*arguments, "--media", str(clips)]) == 0
    printed = capsys.readouterr()
    assert "warning: face-crops: 1 sample without it: none" in printed.err
    assert "3 samples, 1 left out, which lack a feature; loss " in printed.out
    stored = open_corpus(folder).feature("face-crops.frames")
    assert stored.ids.to_pylist() == ["real0", "real1", "two"]
    assert len(stored.of(2)) == 5 < 16
    one, pair = (stored.of(row)[:5].astype(np.float64) for row in (0, 2))
    assert np.abs(one - pair).mean() < 10  # of two faces the larger one, as in the clip itself
    # The corpus has crops: neither clips nor a detector are needed again.
    for path in clips.iterdir():
        path.unlink()
    assert command([*arguments, "--media", str(clips), "--force"]) == 0
