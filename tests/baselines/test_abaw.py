"""The two baselines of frames, by hand and against torch, and on made-up releases of ABAW with all their marks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from released_files import read_table, release, write_table
from torch import Tensor, nn

import merbench
from merbench.corpus import CORPORA
from merbench.corpus.releases.on_application import ACTION_UNITS
from merbench.errors import InvalidCorpus, UsageError
from merbench.track import load_track
from merbench.training import RunSettings, load_baseline, run_baseline
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import generator
from merbench.training.networks.network import Shape

WIDTHS = {"audio": 3, "video": 5}
LABELS: dict[str, int | None] = {"valence": None, "expression": 4, "units": 3, "arousal": None}
SMALL: dict[str, dict[str, Any]] = {
    "abaw-mtl": {"tokens": 4, "width": 8, "heads": 2, "feed_forward": 8, "learning_rate": 0.01, "input_dropout": 0.1},
    "abaw-fusion": {"hidden": 8, "learning_rate": 0.01, "dropout": 0.1},
}


def network(name: str, **options: Any) -> Any:
    loaded = load_baseline(name)
    several = frozenset({"units"})
    shape = Shape(WIDTHS, LABELS, [generator("cpu", 0)], generator("cpu", "noise"), several=several)
    torch.manual_seed(0)
    chosen = loaded.module.Options(**loaded.options("any", {**SMALL[name], **options}))
    return loaded.module.Network(chosen, shape).eval()


def batch(*lengths: int, filler: float = 0.0) -> Batch:
    """Return windows of so many frames, which depend on their place only, and padding of one value."""
    longest = max(lengths)
    real = torch.arange(longest) < torch.tensor(lengths)[:, None]
    inputs = {}
    for name, width in WIDTHS.items():
        every = torch.randn(2, 9, width, generator=torch.Generator().manual_seed(width))[: len(lengths), :longest]
        inputs[name] = torch.where(real[..., None], every, filler)
    samples = torch.where(real, torch.arange(real.numel()).view(real.shape), -1)
    return Batch(inputs, {}, dict.fromkeys(WIDTHS, real), samples)


@pytest.mark.parametrize("name", SMALL)
def test_padding_and_other_windows_change_nothing(name: str) -> None:
    model = network(name)
    alone, padded, strange = (model(each) for each in (batch(4), batch(4, 9), batch(4, 9, filler=7.0)))
    assert {key: tuple(values.shape) for key, values in padded.items()} == {
        "valence": (2, 9), "expression": (2, 9, 4), "units": (2, 9, 3), "arousal": (2, 9),
    }  # fmt: skip
    for key, values in alone.items():
        for other in (padded, strange):
            torch.testing.assert_close(other[key][:1, :4], values, rtol=1e-5, atol=1e-6)


def test_smoothing_takes_the_frame_before_as_it_is() -> None:
    layer = load_baseline("abaw-mtl").module.TwoTapSmoothing(2, 5.0)
    x = torch.tensor([[0.0, 6, 0, 0], [3, 3, 3, 3]])[..., None, None].expand(-1, -1, 1, 2)
    # the initial state is 1: (0 + 5 · 1) / 6, then 6 / 6 and 5 · 6 / 6; the recursive form has 1.3 / ... in the last
    wanted = torch.tensor([[5 / 6, 1, 5, 0], [(3 + 5) / 6, 3, 3, 3]])
    torch.testing.assert_close(layer(x)[..., 0, 1], wanted)
    assert sorted(name for name, _ in layer.named_parameters()) == ["initial", "inverse"]


def test_tasks_attend_to_the_tokens_of_both_aspects() -> None:
    model = network("abaw-mtl", smoothing_start=0.0)
    frames = batch(3)
    x = torch.cat(list(frames.inputs.values()), -1)[0]
    tokens = model.tokens(x).view(3, 4, 8) + load_baseline("abaw-mtl").module.positions(4, 8)
    both = torch.cat([model.encoders["au"](tokens), model.encoders["other"](tokens)], 1)
    outputs = model(frames)

    def attended(task: nn.Module) -> Tensor:
        """Return what the first query is given by attention that is written out, one head after the other."""
        attention = task.attention
        (q, k, v), (bq, bk, bv) = attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)
        query, keys, values = task.queries[0] @ q.T + bq, both @ k.T + bk, both @ v.T + bv
        heads = [
            ((keys[..., own] @ query[own]) / 2).softmax(-1)[:, None] @ values[..., own]
            for own in (slice(0, 4), slice(4, 8))
        ]
        return attention.out_proj(torch.cat(heads, -1)[:, 0])

    expression, units, numbers = model.tasks
    assert [len(task.queries) for task in model.tasks] == [1, 3, 1]
    close = {"rtol": 1e-4, "atol": 1e-5}
    wanted = attended(expression) @ expression.weight.T + expression.bias
    torch.testing.assert_close(outputs["expression"][0], wanted, **close)
    answers = attended(numbers) @ numbers.weight.T + numbers.bias
    torch.testing.assert_close(torch.stack([outputs["valence"], outputs["arousal"]], -1)[0], answers, **close)
    # every action unit has a query and a weight of its own
    torch.testing.assert_close(outputs["units"][0, :, 0], attended(units) @ units.weight[0] + units.bias[0], **close)


def test_an_aspect_alone_has_half_of_the_tokens() -> None:
    alone = network("abaw-mtl", aspects="other")
    assert list(alone.encoders) == ["other"]
    both = network("abaw-mtl")
    of_encoder = sum(p.numel() for p in alone.encoders["other"].parameters())
    # d (T w) + T w tokens of 8 numbers; encoders 4 w² + 4 w, 2 w f + f + w, 4 w
    assert of_encoder == 4 * 64 + 32 + 2 * 64 + 8 + 8 + 32
    assert sum(p.numel() for p in both.parameters()) - sum(p.numel() for p in alone.parameters()) == of_encoder


def test_many_frames_are_encoded_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    model, frames = network("abaw-mtl"), batch(9, 5)
    whole = model(frames)
    module = load_baseline("abaw-mtl").module
    parts = [module.Network(model.options, Shape(WIDTHS, LABELS, [], torch.Generator(), several=frozenset({"units"})))]
    parts[0].load_state_dict(model.state_dict())
    monkeypatch.setattr(module, "FRAMES_AT_ONCE", 4)
    for key, values in parts[0].eval()(frames).items():
        torch.testing.assert_close(values[frames.real], whole[key][frames.real], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("softmax", [True, False])
def test_features_have_a_weight_in_every_frame(softmax: bool) -> None:
    model, frames = network("abaw-fusion", softmax=softmax), batch(5)
    states = []
    for reader, rows in zip(model.readers, frames.inputs.values(), strict=True):
        states.append(reader.layer(reader.lstm.forwards(rows)[0]))
    x = torch.cat(states, -1)
    for place in (1, 3, 5):
        x = model.attention[1][place](x).relu()
    weights = model.attention[2](x)
    weights = weights.softmax(-1) if softmax else weights
    fused = states[0] * weights[..., :1] + states[1] * weights[..., 1:]
    back = model.context.backwards(fused.flip(1))[0].flip(1)
    x = torch.cat([model.context.forwards(fused)[0], back], -1)
    outputs = model(frames)
    for key, head in zip(LABELS, model.heads.layers, strict=True):
        torch.testing.assert_close(outputs[key].view(1, 5, -1), head(x), rtol=1e-4, atol=1e-5)


def test_the_loss_of_labels_is_focal_and_a_divergence() -> None:
    loaded = load_baseline("abaw-fusion")
    options = loaded.module.Options(**loaded.options("any", {}))
    scores = torch.tensor([[1.0, 0.0, -1.0], [0.0, 2.0, 1.0]])
    p = np.exp(scores.double().numpy())
    p /= p.sum(1, keepdims=True)
    q = np.array([[0.9 + 0.1 / 3, 0.1 / 3, 0.1 / 3], [0.1 / 3, 0.1 / 3, 0.9 + 0.1 / 3]])
    right = np.array([p[0, 0], p[1, 2]])
    focal = 0.9 * (1 - right) ** 2 * -(q * np.log(p)).sum(1)
    divergence = (q * np.log(q / p)).sum(1)
    ours = loaded.module.focal_loss(scores, torch.tensor([[1.0, 0, 0], [0, 0, 1]]), options)
    assert ours.item() == pytest.approx((0.8 * focal + 0.2 * divergence).mean(), rel=1e-5)
    # without either, it is the cross-entropy
    plain = replace(options, divergence=0.0, focus=0.0, scale=1.0, label_smoothing=0.0)
    ours = loaded.module.focal_loss(scores, torch.tensor([[1.0, 0, 0], [0, 0, 1]]), plain)
    wanted = nn.functional.cross_entropy(scores, torch.tensor([0, 2]))
    assert ours.item() == pytest.approx(wanted.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 6, "heads": 4}, "width 6 is not a multiple of heads, 4"),
        (
            {"label_weights": {"expression": [1.0, 2.0], "valence": [1.0]}},
            "label_weights: expression: 2 weights for 4 labels, valence: 1 weights, not of labels; "
            r"targets with labels: expression \(4\), units \(3\)",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        network("abaw-mtl", **options)


def made_up(
    files: Path, *, n_videos: int = 15, n_frames: int = 16
) -> Iterator[tuple[str, float, float, int, tuple[int, ...], str]]:
    """Yield the annotations of frames, and their split, and write features that show them.

    Some frames are missing, and the others are out of order. Every third is not annotated for a task, and video 0 has
    no expression at all.
    """
    rng = np.random.default_rng(0)
    for video in range(n_videos):
        split = ("train", "train", "train", "dev", "test")[video % 5]
        frames = [1] if video == 1 else [n for n in range(1, n_frames + 1) if n % 7]
        for n in rng.permutation(frames).tolist():
            name = f"{video}-{split}/{n:05}.jpg"
            valence = float(np.sin(n / 5 + video))
            expression = int(valence > 0) + 2 * int(n % 8 < 4)
            units = tuple(int(bit) for bit in rng.integers(0, 2, len(ACTION_UNITS)))
            shown = np.array([valence, *np.eye(4)[expression], *units]) + rng.normal(0, 0.1, 17)
            for feature, values in (("audio", shown[:5]), ("video", shown[5:])):
                path = files / "features" / feature / f"{name}.npy"
                path.parent.mkdir(parents=True, exist_ok=True)
                np.save(path, values.astype(np.float32))
            marked = -5.0 if n % 3 == 0 else valence
            unknown = -1 if n % 3 == 1 or video == 0 else expression
            yield name, marked, -marked if marked != -5 else -5.0, unknown, (-1, *units[1:]), split


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Import made-up releases of the three corpora into a data home, and return the annotations of their frames."""
    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path / "home"))
    files, every = tmp_path / "files", list(made_up(tmp_path / "files"))
    header = " ".join(["image", "valence", "arousal", "expression", *ACTION_UNITS])
    for split, part in (("train", "training"), ("dev", "validation")):
        table = [[*row[:4], *row[4]] for row in every if row[-1] == split]
        write_table(files / "abaw4-mtl" / f"{part}_set_annotations.txt", header, *table)
    tested = [[row[0]] for row in every if row[-1] == "test"]
    write_table(files / "abaw4-mtl" / "test_frames.csv", "image", *tested)
    for name, header, places in (("abaw6-va", "valence arousal", (1, 2)), ("abaw6-expr", "expression", (3,))):
        write_table(files / name / "samples.csv", "sample_id split", *([row[0], row[-1]] for row in every))
        references = [[row[0], *(row[place] for place in places)] for row in every]
        write_table(files / name / "reference.csv", f"sample_id {header}", *references)
    for name in ("abaw4-mtl", "abaw6-va", "abaw6-expr"):
        release(name)(files / name, CORPORA.home / name, features=files / "features")
    return every


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_frames_of_several_tasks_are_learned_and_answered(name: str, rows: list[Any], tmp_path: Path) -> None:
    options = {**SMALL[name], "epochs": 12, "patience": 0, "window": 8, "overlap": 2, "batch_size": 4}
    if name == "abaw-fusion":
        options |= {"smoothing": "median", "smoothing_windows": [3, 5]}
    settings = RunSettings(seeds=[0], options=options, device="cpu", intervals=False)
    run = run_baseline(load_track("abaw4-mtl"), name, settings, output=tmp_path / "run")
    assert run.report is None  # references of the test split are withheld
    answers = read_table(tmp_path / "run" / "submission.csv")
    assert list(answers[0]) == ["image", "valence", "arousal", "expression", *ACTION_UNITS]
    assert [row["image"] for row in answers] == sorted(row[0] for row in rows if row[-1] == "test")
    assert {row["AU1"] for row in answers} <= {"0", "1"}
    merbench.read_submission(tmp_path / "run" / "submission.csv", merbench.open_candidates(load_track("abaw4-mtl")))
    # a guess has CCC 0, two of the four expressions, and a half of the action units: .5 at best
    record = json.loads((tmp_path / "run" / "run.json").read_text("utf-8"))
    assert record["runs"][0]["cross_validated"]["overall"] > 0.9
    shown = record["runs"][0].get("details", {})
    assert ("smoothing" in json.dumps(shown)) == (name == "abaw-fusion")


@pytest.mark.slow
@pytest.mark.parametrize("track", ["abaw6-va", "abaw6-expr"])
def test_frames_of_one_task_are_learned_and_scored(track: str, rows: list[Any], tmp_path: Path) -> None:
    options = {**SMALL["abaw-fusion"], "epochs": 12, "patience": 0, "window": 8, "overlap": 4, "batch_size": 4}
    settings = RunSettings(seeds=[0], options=options, device="cpu", intervals=False)
    run = run_baseline(load_track(track), "abaw-fusion", settings, output=tmp_path / "run")
    assert run.report is not None
    # of four of the eight expressions, all right is .5
    assert (run.report.scores[0].value or 0) > (0.5 if track == "abaw6-va" else 0.25)


def test_frames_that_cannot_be_learned_from_are_reported(rows: list[Any], tmp_path: Path) -> None:
    files, corpus = tmp_path / "files" / "abaw4-mtl", CORPORA.home / "abaw4-mtl"
    train = [[*row[:3], -1, *row[4]] for row in rows if row[-1] == "train"]
    header = " ".join(["image", "valence", "arousal", "expression", *ACTION_UNITS])
    write_table(files / "training_set_annotations.txt", header, *train)
    release("abaw4-mtl")(files, corpus, features=tmp_path / "files" / "features", replace=True)
    settings = RunSettings(seeds=[0], options=SMALL["abaw-mtl"], device="cpu")
    message = rf"abaw4-mtl: none of the {len(train)} frames that are learned from has a reference of expression"
    with pytest.raises(UsageError, match=message):
        run_baseline(load_track("abaw4-mtl"), "abaw-mtl", settings, output=tmp_path / "run")
    # the same frame twice
    write_table(files / "training_set_annotations.txt", header, train[0], *train)
    with pytest.raises(InvalidCorpus, match=r"duplicate ids \(2 of"):
        release("abaw4-mtl")(files, corpus, replace=True)
