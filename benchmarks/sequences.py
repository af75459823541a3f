"""An epoch of the `gru` baseline on sequences, against loops over torch's own layers, and its own lower bound.

Inputs: 1,000 sequences of 50 to 500 rows of 64 numbers, in memory, of six classes; a GRU with a state of 64, the last
real state to a hidden layer and two heads; batches of 32, Adam, the gradient's norm clipped at 1.

Peers, all of the same network and optimiser: every batch padded to the longest sequence of all, as released code does;
batches of the same samples and lengths as merbench's, made before; the same batches, packed. The first two read the
state after the last real row. Lower bound: the matrix products of the same steps on the same shapes, forwards and
backwards, one row after the other, and nothing else.

With --frames: an epoch of `abaw-fusion` on 200 videos of 1,000 frames of 512 numbers (valence and arousal, windows of
1,000 frames, eight videos a step), against its recurrent layers alone, torch's own, forwards and backwards on the same
rows.
"""

from __future__ import annotations

import argparse

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from benchmarks.measuring import machine, race, seconds, table
from merbench.track import load_track
from merbench.training import Dialogues, FeatureSet, FoldEnsemble, Sequences, Setup, TrainingSet, load_baseline
from merbench.training.networks.batches import Data
from merbench.training.networks.layers import generator
from merbench.training.networks.order import Order

N, N_DEVELOPMENT, SHORTEST, LONGEST, WIDTH, HIDDEN, BATCH = 1000, 8, 50, 500, 64, 64, 32
GRU, FUSION = load_baseline("gru"), load_baseline("abaw-fusion")
N_VIDEOS, N_FRAMES, FRAME_WIDTH, VIDEOS_OF_A_STEP = 200, 1000, 512, 8


def training_data() -> TrainingSet:
    """Return the inputs; a few more short sequences are the development set, as small as one can be."""
    rng = np.random.default_rng(0)
    lengths = np.concatenate([rng.integers(SHORTEST, LONGEST + 1, N), np.full(N_DEVELOPMENT, SHORTEST)])
    classes = rng.integers(0, 6, len(lengths)).astype(np.int32)
    values = rng.standard_normal((lengths.sum(), WIDTH), dtype=np.float32)
    values += np.repeat(0.2 * rng.standard_normal((6, WIDTH))[classes], lengths, axis=0).astype(np.float32)
    ids = pa.array([f"sample_{i:08d}" for i in range(len(lengths))])
    features = FeatureSet(ids, {"frames": Sequences(values, np.cumsum(lengths) - lengths, lengths)})
    return TrainingSet(
        load_track("mer2023-multi"),
        features,
        {"discrete": classes, "valence": classes - 2.5},
        selection="dev",
        development=np.arange(len(lengths)) >= N,
    )


def merbench_epochs(train: TrainingSet, epochs: int) -> None:
    """Train the baseline."""
    options = {
        **GRU.options("mer2023-multi", {}),
        "hidden": HIDDEN,
        "batch_size": BATCH,
        "epochs": epochs,
        "patience": 0,
    }
    baseline = GRU.build(options, Setup(0, 1, "cpu"))
    assert isinstance(baseline, FoldEnsemble)
    baseline.fit_folds(train)


def batches(data: Data, train: TrainingSet, *, bucketed: bool) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Return padded rows, lengths, labels and numbers of an epoch; not bucketed, all padded to the longest."""
    order = Order([data.units(train.learned)], BATCH, [generator("cpu", 0, "shuffle", 0)])
    made = []
    for step in order.epoch(torch.device("cpu")):
        batch = data.batch(step[0], epoch=1)
        rows = batch.inputs["frames"]
        if not bucketed:
            rows = nn.functional.pad(rows, (0, 0, 0, LONGEST - rows.shape[1]))
        made.append((rows.clone(), batch.lengths["frames"], batch.targets["discrete"], batch.targets["valence"]))
    return made


class Peer(nn.Module):
    """The network, of torch's own layers."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.fusion = nn.GRU(WIDTH, HIDDEN, batch_first=True), nn.Linear(HIDDEN, HIDDEN)
        self.dropout, self.labels, self.number = nn.Dropout(0.3), nn.Linear(HIDDEN, 6), nn.Linear(HIDDEN, 1)

    def forward(self, rows: Tensor, lengths: Tensor, packed: bool) -> tuple[Tensor, Tensor]:
        if packed:
            sequences = nn.utils.rnn.pack_padded_sequence(rows, lengths, batch_first=True, enforce_sorted=False)
            last = self.gru(sequences)[1][0]
        else:
            last = self.gru(rows)[0][torch.arange(len(rows)), lengths - 1]
        fused = self.dropout(self.fusion(self.dropout(last)).relu())
        return self.labels(fused), self.number(fused).squeeze(1)


def peer_epochs(made: list[tuple[Tensor, Tensor, Tensor, Tensor]], epochs: int, *, packed: bool = False) -> None:
    """Train the peer on batches that were made before."""
    torch.manual_seed(0)
    model = Peer()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-5)
    for _ in range(epochs):
        for rows, lengths, labels, values in made:
            scores, numbers = model(rows, lengths, packed)
            loss = nn.functional.cross_entropy(scores, labels) + nn.functional.mse_loss(numbers, values)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()


@torch.no_grad()
def products(made: list[tuple[Tensor, Tensor, Tensor, Tensor]], epochs: int) -> None:
    """Multiply as an epoch does: the rows at once, the states one after the other, forwards and backwards."""
    inputs, states = torch.randn(WIDTH, 3 * HIDDEN), torch.randn(HIDDEN, 3 * HIDDEN)
    state, gates = torch.randn(BATCH, HIDDEN), torch.randn(BATCH, 3 * HIDDEN)
    for _ in range(epochs):
        for rows, *_ in made:
            flat = rows.flatten(0, 1)
            every = flat @ inputs
            for _ in range(rows.shape[1]):
                torch.mm(state[: len(rows)], states)
                torch.mm(gates[: len(rows)], states.T)
            flat.T @ every
            every[:, :HIDDEN].T @ every


def videos() -> TrainingSet:
    """Return videos of frames; one more, of a single frame, is the development set."""
    rng = np.random.default_rng(0)
    video = np.append(np.repeat(np.arange(N_VIDEOS), N_FRAMES), N_VIDEOS)
    position = np.append(np.tile(np.arange(N_FRAMES), N_VIDEOS), 0)
    values = rng.standard_normal((len(video), FRAME_WIDTH), dtype=np.float32)
    ids = pa.array([f"{v:04d}/{p:05d}.jpg" for v, p in zip(video, position, strict=True)])
    dialogues = Dialogues(video, position, np.zeros_like(video))
    samples = FeatureSet(ids, {"frames": Sequences.of_vectors(values)}, dialogues=dialogues)
    targets = {"valence": np.sin(position / 50), "arousal": np.cos(position / 50)}
    return TrainingSet(load_track("abaw6-va"), samples, targets, selection="dev", development=video == N_VIDEOS)


def fusion_epochs(train: TrainingSet, epochs: int) -> None:
    """Train the baseline."""
    options = FUSION.options("abaw6-va", {"epochs": epochs, "patience": 0, "batch_size": VIDEOS_OF_A_STEP})
    baseline = FUSION.build(options, Setup(0, 1, "cpu"))
    assert isinstance(baseline, FoldEnsemble)
    baseline.fit_folds(train)


def recurrent_epochs(rows: Tensor, epochs: int) -> None:
    """Read videos `(n, L, d)` by the recurrent layers of the baseline, and take their gradients."""
    hidden = FUSION.options("abaw6-va", {})["hidden"]
    reader = nn.LSTM(FRAME_WIDTH, hidden, batch_first=True)
    context = nn.LSTM(hidden, hidden, batch_first=True, bidirectional=True)
    for _ in range(epochs):
        for some in rows.split(VIDEOS_OF_A_STEP):
            context(reader(some)[0])[0].sum().backward()


def main_of_frames(epochs: int, rounds: int) -> None:
    """Print how long an epoch on frames takes."""
    train = videos()
    rows = torch.from_numpy(train.features["frames"][train.learned]).view(N_VIDEOS, N_FRAMES, FRAME_WIDTH)
    sides = {"merbench": lambda: fusion_epochs(train, epochs), "layers": lambda: recurrent_epochs(rows, epochs)}
    times = race(sides, rounds)
    print(f"{N_VIDEOS} videos of {N_FRAMES:,} × {FRAME_WIDTH}, {epochs} epochs; median of {rounds} rounds")
    print(machine(["torch", "numpy"]) + f", {torch.get_num_threads()} threads\n")
    names = {"merbench": "merbench, baseline `abaw-fusion`", "layers": "its recurrent layers alone"}
    cells = [(names[name], seconds(time / epochs), f"{time / times['layers']:.2f}") for name, time in times.items()]
    print(table(("", "an epoch", "layers = 1"), cells))


def main() -> None:
    """Print the table of times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=2, help="epochs of every training")
    parser.add_argument("--rounds", type=int, default=3, help="trainings of each side that count")
    parser.add_argument("--frames", action="store_true", help="time an epoch on frames of videos instead")
    arguments = parser.parse_args()
    if arguments.frames:
        main_of_frames(arguments.epochs, arguments.rounds)
        return
    epochs, train = arguments.epochs, training_data()
    data = Data(train.samples, "sequences", targets=train.targets)
    similar, longest = (batches(data, train, bucketed=bucketed) for bucketed in (True, False))
    times = race(
        {
            "merbench": lambda: merbench_epochs(train, epochs),
            "longest": lambda: peer_epochs(longest, epochs),
            "similar": lambda: peer_epochs(similar, epochs),
            "packed": lambda: peer_epochs(similar, epochs, packed=True),
            "products": lambda: products(similar, epochs),
        },
        arguments.rounds,
    )
    names = {
        "merbench": "merbench, baseline `gru`",
        "longest": "torch.nn.GRU, padded to the longest of all",
        "similar": "torch.nn.GRU, merbench's padded batches",
        "packed": "torch.nn.GRU, merbench's batches, packed",
        "products": "lower bound: the products alone",
    }
    real = int(train.samples.sequences["frames"].select(train.learned).lengths.sum())
    padded = [sum(rows.shape[0] * rows.shape[1] for rows, *_ in made) for made in (similar, longest)]
    print(f"{N:,} sequences of {SHORTEST} to {LONGEST} × {WIDTH}, {epochs} epochs; median of {arguments.rounds} rounds")
    print(machine(["torch", "numpy"]) + f", {torch.get_num_threads()} threads")
    print(f"rows: {real:,} real, {padded[0]:,} in merbench's batches, {padded[1]:,} padded to the longest of all\n")
    cells = [(names[name], seconds(time / epochs), f"{time / times['merbench']:.2f}") for name, time in times.items()]
    print(table(("", "an epoch", "merbench = 1"), cells))
    print(f"\nPadded to the longest takes {times['longest'] / times['merbench']:.2f} × as long as merbench; ", end="")
    print(f"merbench takes {times['merbench'] / times['similar']:.2f} × torch.nn.GRU on the same batches.")


if __name__ == "__main__":
    main()
