from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from merbench.corpus import Feature, add_features
from merbench.corpus.candidates import open_candidates
from merbench.training import RunSettings, load_baseline, open_models, predict, run_baseline
from merbench.training.networks.batches import Batch
from tests.baselines.networks import network_of
from tests.training.conftest import DECLARATION, N_TEST, N_TRAIN, SmallTrack

GCNET = load_baseline("gcnet")
WIDTHS = {"audio": 5, "text": 3}
LABELS: dict[str, int | None] = {"discrete": 3, "valence": None}
SMALL = {"hidden": 4, "dropout": 0.0}


def network(widths: dict[str, int] = WIDTHS, labels: dict[str, int | None] = LABELS, **options: Any) -> Any:
    return network_of("gcnet", widths, labels, **{**SMALL, **options})


def dialogues(lengths: list[int], widths: dict[str, int] = WIDTHS, *, seed: int = 0, n_speakers: int = 3) -> Batch:
    """Return dialogues of random utterances, padded to the longest."""
    rng = torch.Generator().manual_seed(seed)
    real = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    samples = torch.where(real, torch.arange(real.numel()).view(real.shape), -1)
    speaker = torch.where(real, torch.randint(0, n_speakers, real.shape, generator=rng), -1)
    inputs = {name: torch.randn(*real.shape, width, generator=rng) * real[..., None] for name, width in widths.items()}
    return Batch(inputs, {}, dict.fromkeys(widths, real), samples, speaker)


def without(batch: Batch, name: str, missing: Tensor) -> Batch:
    """Return the batch in training, some of whose utterances lost a feature."""
    inputs = {**batch.inputs, name: batch.inputs[name].masked_fill(missing[..., None], 0)}
    present = {**batch.present, name: batch.present[name] & ~missing}
    return replace(batch, inputs=inputs, present=present, epoch=1, complete=batch.inputs)


@pytest.mark.parametrize(("past", "future", "n_speakers"), [(2, 2, 2), (1, 3, 3), (0, 0, 1), (1000, 1000, 2)])
def test_graphs_are_sums_over_single_edges(past: int, future: int, n_speakers: int) -> None:
    batch = dialogues([4, 1, 6])
    assert batch.speaker is not None
    options = network(past=past, future=future, speakers=n_speakers).options
    edges = GCNET.module.Edges.of(batch.speaker, options)
    torch.manual_seed(0)
    x = torch.randn(3, 6, 8, dtype=torch.float64)
    for relation, n_relations in ((edges.order, 3), (edges.speakers, n_speakers**2)):
        graph = GCNET.module.Graph(8, 2, n_relations).double()
        ours = graph(x, edges, relation)
        layer, by_order = graph.relational, relation is edges.order
        for d, length in enumerate((4, 1, 6)):
            first = []
            for i in range(length):
                codes = [min(n_speakers - 1, int(code)) for code in batch.speaker[d]]
                near = [j for j in range(length) if i - past <= j <= i + future]
                kinds = [(j > i) - (j < i) + 1 if by_order else codes[i] * n_speakers + codes[j] for j in near]
                value = layer.root(x[d, i])
                for j, kind in zip(near, kinds, strict=True):
                    value = value + x[d, j] @ layer.relations[:, kind] / kinds.count(kind)
                first.append(value)
            for i in range(length):
                near = [first[j] for j in range(length) if i - past <= j <= i + future]
                wanted = graph.neighbours(torch.stack(near).sum(0)) + graph.own(first[i])
                torch.testing.assert_close(ours[d, i], wanted, rtol=1e-6, atol=1e-6)


def test_edges_take_memory_of_the_window_and_not_of_all_pairs() -> None:
    edges = GCNET.module.Edges.of(torch.zeros(1, 1000, dtype=torch.int64), network(past=2, future=2).options)
    assert edges.sources.shape == edges.speakers.shape == (1, 1000, 5)
    assert int(edges.real.sum()) == 5 * 1000 - 2 * (2 + 1)  # the first two and the last two lack neighbours


@pytest.mark.parametrize(
    "options",
    [{}, {"speakers": 0}, {"temporal": False}, {"temporal": False, "speakers": 0}, {"past": 0, "future": 1000}],
)
def test_the_dialogues_next_to_it_change_nothing(options: dict[str, Any]) -> None:
    model, batch = network(**options), dialogues([4, 1, 6])
    every = model(batch)
    for d, length in enumerate((4, 1, 6)):
        assert batch.speaker is not None
        own = Batch(
            {name: x[d : d + 1, :length] for name, x in batch.inputs.items()},
            {},
            {name: x[d : d + 1, :length] for name, x in batch.present.items()},
            batch.samples[d : d + 1, :length],
            batch.speaker[d : d + 1, :length],
        )
        for name, values in model(own).items():
            torch.testing.assert_close(values[0], every[name][d, :length], rtol=1e-5, atol=1e-6)


def test_each_graph_can_be_left_out() -> None:
    # h 4, F 8, g 2, D 10; a bidirectional LSTM of two layers, n to h: 8h (n + h + 2) + 8h (3h + 2)
    def reader(n: int, h: int) -> int:
        return 8 * h * (n + h + 2) + 8 * h * (3 * h + 2)

    first, heads = reader(8, 4), 11 * 4 + 11 * 8
    context, convolution = reader(10, 10) + 21 * 10, 2 * 2 * 2 + 2
    counts = {}
    for temporal, speakers in ((True, 3), (True, 0), (False, 3), (False, 0)):
        model = network(temporal=temporal, speakers=speakers)
        counts[temporal, speakers] = sum(parameter.numel() for parameter in model.parameters()) - first - heads
    by_order, by_speakers = (n * 8 * 2 + 9 * 2 + convolution + context for n in (3, 9))
    assert counts[True, 0] == by_order and counts[False, 3] == by_speakers
    assert counts[True, 3] == by_order + by_speakers
    assert counts[False, 0] == reader(8, 10) + 21 * 10
    model = network(reconstruction=0.0)
    assert model.decoder is None and model.diagnostics(dialogues([2])) == {}
    missing = torch.tensor([[True, False]])
    assert set(model(without(dialogues([2]), "text", missing))) == {"discrete", "valence"}


def test_further_speakers_are_the_last_that_is_told_apart() -> None:
    model, batch = network(speakers=2), dialogues([6], n_speakers=2)
    assert batch.speaker is not None
    unknown = replace(batch, speaker=torch.where(batch.speaker == 1, 1 + torch.arange(6), 0))
    assert len(unknown.speaker.unique()) > 2  # type: ignore[union-attr]
    assert model(unknown)["discrete"].equal(model(batch)["discrete"])
    single = replace(batch, speaker=torch.zeros_like(batch.samples))
    assert (model(single)["discrete"] - model(batch)["discrete"]).abs().max() > 0


def test_only_what_was_removed_of_real_utterances_is_reconstructed() -> None:
    model, batch = network(reconstruction=2.0), dialogues([3, 1])
    torch.nn.init.zeros_(model.decoder.weight)
    with torch.no_grad():
        model.decoder.bias.copy_(torch.tensor([1.0] * 5 + [0.5] * 3))
    values = {"audio": torch.zeros(2, 3, 5), "text": torch.zeros(2, 3, 3)}
    values["audio"][0, 1], values["text"][1, 0] = 3.0, torch.tensor([0.5, 0.5, 3.5])
    batch = replace(batch, inputs=values, complete=values)
    assert model(replace(batch, epoch=1))[1]["reconstruction"] == 0
    missing = torch.zeros(2, 3, dtype=torch.bool)
    missing[0, 1] = True
    # audio of the second utterance: (3 - 1)² = 4, of four utterances, times 2
    assert model(without(batch, "audio", missing))[1]["reconstruction"].item() == pytest.approx(2 * 4 / 4, abs=1e-6)
    both = without(batch, "audio", missing)
    last = torch.zeros(2, 3, dtype=torch.bool)
    last[1, 0] = last[1, 2] = True  # the second of these is padding
    both = replace(without(both, "text", last), complete=values)
    # text of the last dialogue: (0 + 0 + 3²) / 3 = 3
    assert model(both)[1]["reconstruction"].item() == pytest.approx(2 * (4 + 3) / 4, abs=1e-6)
    assert "reconstruction" not in model(replace(batch, complete=values))


def test_reconstruction_is_compared_with_zeros() -> None:
    model = network()
    torch.nn.init.zeros_(model.decoder.weight)
    torch.nn.init.zeros_(model.decoder.bias)
    batch = dialogues([3, 2])
    assert model.diagnostics(batch)["reconstruction"] == 0
    inputs = {"audio": torch.full((2, 3, 5), 2.0), "text": torch.full((2, 3, 3), 4.0)}
    with torch.no_grad():
        model.decoder.bias.copy_(torch.tensor([1.0] * 5 + [3.0] * 3))
    # audio of three utterances, 4 - 1 each, and text of two, 16 - 1 each
    given = replace(batch, inputs=inputs, complete=inputs)
    assert model.diagnostics(given)["reconstruction"].item() == pytest.approx((3 * 3 + 2 * 15) / 5, abs=1e-6)


@pytest.mark.parametrize("widths", [{"audio": 5}, WIDTHS, {"audio": 5, "video": 2, "text": 3}])
@pytest.mark.parametrize("labels", [{"discrete": 1}, {"valence": None}, {"discrete": 3, "valence": None, "arousal": None}])  # fmt: skip
def test_gradients_are_finite_where_little_is_given(widths: dict[str, int], labels: dict[str, int | None]) -> None:
    model = network(widths, labels).train()
    nothing = dialogues([3, 2], widths)
    zeros = {name: torch.zeros_like(x) for name, x in nothing.inputs.items()}
    absent = {name: torch.zeros_like(x) for name, x in nothing.present.items()}
    alike = replace(nothing, inputs={name: torch.ones_like(x) for name, x in zeros.items()}, complete={})
    missing = torch.ones(2, 3, dtype=torch.bool)
    batches = [
        dialogues([1], widths),  # a single utterance
        replace(nothing, inputs=zeros, present=absent, complete=nothing.inputs),  # nothing is observed
        replace(nothing, inputs=zeros, present=absent, complete={}),  # nothing was ever there
        without(alike, "audio", missing),
    ]
    for batch in batches:
        outputs, own = model(replace(batch, epoch=1))
        model.zero_grad()
        (sum(output.square().sum() for output in outputs.values()) + own["reconstruction"]).backward()
        assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in model.parameters())
        assert all(output[batch.real].isfinite().all() for output in outputs.values())
        assert model.diagnostics(batch)["reconstruction"].isfinite()


STEPS = '\ntraining = { corruptions = [{ name = "gcnet_missing", rate = 0.5 }] }\n'


@pytest.mark.slow
def test_with_missing_modalities_it_learns_and_its_stored_models_answer_the_same(
    small_track: SmallTrack, tmp_path: Path
) -> None:
    n = N_TRAIN + N_TEST
    columns: Any = {"dialogue": [f"d{i // 5}" for i in range(n)], "position": [i % 5 for i in range(n)]}
    track = small_track(columns=columns, declaration=DECLARATION + STEPS)
    settings = RunSettings(
        seeds=[0],
        options={"hidden": 16, "epochs": 25, "batch_size": 2, "learning_rate": 0.01},
        device="cpu",
        intervals=False,
        learning={"folds": 2},
    )
    codes = np.random.default_rng(7).integers(0, 3, n)  # the labels of the small track
    rng, ids = np.random.default_rng(0), [f"s{i:03}" for i in range(n)]
    vectors = {name: np.eye(3)[codes] + rng.normal(0, 0.3, (n, 3)) for name in ("audio", "text")}
    add_features(open_candidates(track).corpus, {name: Feature.from_vectors(ids, own) for name, own in vectors.items()})
    settings = replace(settings, features=["audio", "text"])
    run = run_baseline(track, "gcnet", settings, output=tmp_path / "run")
    assert run.report is not None and (run.report["weighted_f1"].value or 0.0) > 0.5
    again = predict(open_models(run.folder), track.folder, intervals=False)
    first, second = (folder / "probabilities.parquet" for folder in (run.folder, again.folder))
    assert first.read_bytes() == second.read_bytes()


def test_with_complete_features_it_trains_alike_with_and_without_reconstruction() -> None:
    """Where nothing is removed, reconstruction has no gradient; both networks begin with the same values."""
    states = []
    for weight in (0.0, 1.0):
        model = network(reconstruction=weight).train()
        outputs = model(replace(dialogues([3, 2]), epoch=1))
        outputs, own = outputs if weight else (outputs, {"reconstruction": torch.zeros(())})
        (outputs["valence"].square().sum() + own["reconstruction"]).backward()
        states.append({name: p.grad for name, p in model.named_parameters() if "decoder" not in name})
    for name, gradient in states[0].items():
        assert gradient is states[1][name] is None or np.array_equal(gradient, states[1][name])
