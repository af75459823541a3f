"""Attention within regions against attention of all tokens, measured beside counted; how long clips take to read.

Networks: at full size, 800 tokens of one view of a clip, one thread, without gradient: the 16 blocks of MAE-DFER (512
numbers), and the 12 of VideoMAE (768) and 16 of the same width. Counted are multiply-accumulates, by torch. Further,
attention alone: its two products, as torch computes them, of all 800 tokens at once, and of 8 regions of 101.

Data: the 15 clips of `$MERBENCH_TEST_DATA/data/media/video` (54 s). Decoding alone, every picture; what the first epoch
needs, once: decoding, finding faces, cropping and storing them, by `extract` in one process; and what every epoch
needs: the pictures of batches of 8 from the stored crops, in a random order, drawn as in pre-training.

CUDA: a step of pre-training MAE-DFER at full size in bfloat16, and its products at the rate of one large product.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from benchmarks.measuring import machine, race, seconds, table
from merbench.corpus import Contents, Metadata, open_corpus, write_corpus
from merbench.features.extraction import Request, extract
from merbench.features.outputs import Recipe
from merbench.files.paths import data_home
from merbench.media import read_video
from merbench.training import load_baseline
from merbench.training.networks.batches import Batch, Data
from merbench.training.networks.counts import products
from merbench.training.networks.network import Shape
from merbench.training.networks.order import Order
from merbench.training.networks.video import Block, Clips
from merbench.training.pretraining import samples_of

ROUNDS, SIZE, EPOCHS = 3, 160, 100

MAE, VIDEO = load_baseline("mae-dfer"), load_baseline("videomae")


def options_of(loaded: Any) -> Any:
    """Return the options of the published size."""
    options = loaded.options("", loaded.preset("paper").options)
    return loaded.module.Options(**{**options, **({"region": tuple(options["region"])} if "region" in options else {})})


def shape(labels: int = 0) -> Shape:
    """Return what networks of crops are made for."""
    rng = torch.Generator()
    return Shape({"crops": 3 * SIZE * SIZE}, {"discrete": labels} if labels else {}, [rng], rng)


class Wide(torch.nn.Module):
    """As many blocks as MAE-DFER has, of its width, in which all tokens attend to each other."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = torch.nn.Sequential(*(Block(512, 8) for _ in range(16)))

    def forward(self, tokens: Tensor) -> Tensor:
        return torch.as_tensor(self.blocks(tokens))


@torch.no_grad()
def networks() -> None:
    """Print how long a view takes, and what is counted."""
    clip, tokens = torch.rand(1, 3, 16, SIZE, SIZE), torch.randn(1, 800, 512)
    within, every = (torch.randn(n, 8, size, 64) for n, size in ((8, 101), (1, 800)))
    lgi = MAE.module.answers(options_of(MAE), shape(7)).eval()
    full = VIDEO.module.answers(options_of(VIDEO), shape(7)).eval()
    wide = Wide().eval()
    sides: dict[str, tuple[Any, tuple[Tensor, ...]]] = {
        "MAE-DFER, 16 blocks of 512": (lgi.answered, (clip,)),
        "VideoMAE, 12 blocks of 768": (full.answered, (clip,)),
        "all tokens, 16 blocks of 512": (wide, (tokens,)),
        "products of attention in 8 regions": (scaled_dot_product_attention, (within,) * 3),
        "products of attention of all tokens": (scaled_dot_product_attention, (every,) * 3),
    }
    counted = {name: products(function, *inputs) for name, (function, inputs) in sides.items()}
    times = race({name: partial(function, *inputs) for name, (function, inputs) in sides.items()}, ROUNDS)
    first, last = "MAE-DFER, 16 blocks of 512", "products of attention in 8 regions"
    rows = []
    for name, n in counted.items():
        reference = last if name.startswith("products") else first
        rows.append(
            (
                name,
                f"{n / 1e9:.3f} G",
                f"{n / counted[reference]:.2f}",
                seconds(times[name]),
                f"{times[name] / times[reference]:.2f}",
            )
        )
    print(table(("a view of 800 tokens", "counted", "ratio", "measured", "ratio"), rows))


def data(clips: list[Path]) -> None:
    """Print how long it takes to decode clips, to make crops of them once, and to read these in every epoch."""
    folder = Path(tempfile.mkdtemp())
    try:
        ids = [path.stem for path in clips]
        for path in clips:
            (folder / path.name).symlink_to(path)
        samples = pa.table({"sample_id": ids, "split": ["train"] * len(ids)})
        metadata = Metadata(name="clips", version="1.0", source="benchmark", licence="none")
        corpus = write_corpus(folder / "corpus", metadata, Contents(samples))
        cases = {"every picture": None, "6.25 pictures a second": 6.25}

        def decode() -> None:
            for path in clips:
                for _ in read_video(path).frames:
                    pass

        def crop(rate: float | None) -> None:
            shutil.rmtree(data_home() / "cache" / "faces", ignore_errors=True)
            recipe = Recipe("face-crops", "face-crops", {"size": SIZE}, rate)
            extract(corpus, Request([recipe], [folder], only="frames"), replace=True)

        def read() -> None:
            for rows in order.epoch(torch.device("cpu")):
                drawn.drawn(stored.batch(rows[0], epoch=1))

        rows = []
        for name, rate in cases.items():
            times = race({"decode": decode, "crop": partial(crop, rate)}, 1)
            found = samples_of(open_corpus(corpus.folder), ["face-crops.frames"], ["train"])
            stored = Data(found, "sequences")
            order = Order([stored.units(np.arange(len(found)), learned=True)], 8, [torch.Generator()])
            drawn = Clips(options_of(MAE), "face-crops.frames", plain=True)
            times |= race({"read": read}, ROUNDS)
            of_epoch = times["crop"] / EPOCHS + times["read"]
            rows.append(
                (
                    name,
                    seconds(times["decode"]),
                    f"{seconds(times['crop'])}, {times['crop'] / times['decode']:.2f}",
                    f"{seconds(times['read'])}, {times['read'] / times['decode']:.2f}",
                    f"{of_epoch / times['decode']:.2f}",
                )
            )
        head = ("crops of 160 pixels", "decoding alone", "made once", "an epoch from crops", f"an epoch of {EPOCHS}")
        print(table(head, rows))
    finally:
        shutil.rmtree(folder)


def cuda(n: int = 32) -> None:
    """Print how long a step of pre-training takes in bfloat16, and what its products need by themselves."""
    device = torch.device("cuda")
    options, large = options_of(MAE), torch.randn(8192, 8192, device=device, dtype=torch.bfloat16)
    network = MAE.module.pretraining(options, shape()).to(device).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)
    rows, lengths = torch.rand(n, 16, 3 * SIZE * SIZE, device=device) * 255, torch.full((n,), 16, device=device)
    batch = Batch({"crops": rows}, {"crops": lengths}, {}, torch.arange(n, device=device))

    def forward() -> Tensor:
        with torch.autocast("cuda", torch.bfloat16):
            loss: Tensor = network(batch)[1]["loss"]
        return loss

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        forward().backward()
        optimiser.step()

    def timed(function: Any, times: int = 20) -> float:
        for _ in range(3):
            function()
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(times):
            function()
        torch.cuda.synchronize()
        return (time.perf_counter() - start) / times

    rate = 8192**3 / timed(lambda: large @ large)
    own = 3 * products(forward) / rate  # forwards, and twice as many backwards
    took = timed(step)
    of_products = f"its products, at the rate of a large one, {seconds(own)}"
    print(f"a step of {n} clips in bfloat16: {seconds(took)}; {of_products}, {own / took:.0%} of it")


def main() -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    print(machine(["torch"]) + ", one thread\n")
    networks()
    folder = Path(os.environ.get("MERBENCH_TEST_DATA", "")) / "data" / "media" / "video"
    clips = [path for path in sorted(folder.rglob("*")) if path.suffix in (".mpg", ".mp4")]
    if clips:
        print()
        data(clips)
    else:
        print("without clips: MERBENCH_TEST_DATA does not name them", file=sys.stderr)
    if torch.cuda.is_available():
        print()
        cuda()


if __name__ == "__main__":
    main()
