"""A language model is asked by 32 requests at once, and one after another; stored answers are read again and scored.

Inputs: a server in another process that answers 200 ms after the last byte of a request; 1,000 pictures whose requests
have 150 kB. Everything counts: reading and encoding pictures, sending, storing answers, the submission, its score. One
after another, 100 requests are sent (`--serial N` for another number) and their time is multiplied. The answers of both
are the same. Then 10,000 answers that are stored are found again for 10,000 transcripts, read, written and scored.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import tempfile
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from benchmarks.measuring import machine, race, seconds, table
from merbench.asking import AskedRun, Files, How, ask
from merbench.corpus import Contents, Metadata, write_corpus
from merbench.language_models import Endpoint, Reply

LABELS = ("neutral", "angry", "happy", "sad", "worried", "surprise")
AT_ONCE, DELAY_S, REQUEST_BYTES = 32, 0.2, 150_000

TRACK = """
id = "{name}"
version = "1.0"
title = "Asked"
corpus = "./corpus"
splits = {{ test = "test" }}
ranking.by = ["overall"]
metrics = [{{ name = "weighted_f1", target = "emotion", weight = 1.0 }}]
targets.emotion = {{ type = "categorical", labels = {labels} }}
"""


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection with a label that their last byte but a few decides."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            body = await reader.readexactly(length)
            await asyncio.sleep(DELAY_S)
            label = LABELS[sum(body[1000:1100]) % len(LABELS)]
            content = {"model": "toy-1", "choices": [{"message": {"content": label}, "finish_reason": "stop"}]}
            data = json.dumps({**content, "usage": {"prompt_tokens": length // 4, "completion_tokens": 2}}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(data), data))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


def serve(port: Connection) -> None:
    """Run the server, and send the port that it has."""

    async def run() -> None:
        server = await asyncio.start_server(_answer, "127.0.0.1", 0, limit=1 << 20)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


def make_track(folder: Path, name: str, columns: Mapping[str, list[str]]) -> Path:
    """Write a track of samples with these columns."""
    n = len(next(iter(columns.values())))
    ids = [f"s{i:05}" for i in range(n)]
    samples = pa.table({"sample_id": ids, "split": ["test"] * n, **columns})
    reference = pa.table({"sample_id": ids, "emotion": [LABELS[i % len(LABELS)] for i in range(n)]})
    metadata = Metadata(name=name, version="1.0", source="made up", licence="CC0-1.0", language=None, synthetic=True)
    write_corpus(folder / name / "corpus", metadata, Contents(samples, reference, {}, {}))
    (folder / name / "track.toml").write_text(TRACK.format(name=name, labels=json.dumps(LABELS)), encoding="utf-8")
    return folder / name


def make_pictures(folder: Path, n: int) -> Path:
    """Write so many JPEG files of about the size whose requests have `REQUEST_BYTES`."""
    (folder / "pictures").mkdir()
    rng = np.random.default_rng(0)
    for i in range(n):
        noise = rng.integers(0, 256, (352, 352, 3), dtype=np.uint8)
        _, data = cv2.imencode(".jpg", noise, [cv2.IMWRITE_JPEG_QUALITY, 90])
        (folder / "pictures" / f"s{i:05}.jpg").write_bytes(data.tobytes())
    return folder / "pictures"


class Instant:
    """A model that answers at once, without any server."""

    model, source, parallel = "toy", "here", 1

    def reply(self, request: Mapping[str, Any], /) -> Reply:
        """Return a label that the length of the request decides."""
        return Reply(LABELS[len(request["messages"][0]["content"]) % len(LABELS)], "toy-1", "stop", n_tokens=(100, 2))

    def stop(self) -> None:
        """Do nothing."""


def main() -> None:
    """Print how long asking takes in both ways, and reading what is stored."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--serial", type=int, default=100)
    parser.add_argument("--stored", type=int, default=10_000)
    given = parser.parse_args()
    print(machine(["httpx", "numpy", "opencv-python-headless", "pyarrow"]), "\n")
    with tempfile.TemporaryDirectory() as name:
        asking(Path(name), given.requests, given.serial)
        stored(Path(name), given.stored)


def asking(folder: Path, n: int, n_serial: int) -> None:
    """Print how long requests take, many at once and one after another, by the same code."""
    pictures = make_pictures(folder, n)
    receiver, sender = multiprocessing.Pipe(duplex=False)
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(sender,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{receiver.recv()}"
    how = How(send=["frames"], media=[pictures], frames=1)

    def asked(track: Path, parallel: int) -> tuple[float, AskedRun]:
        start = time.perf_counter()
        endpoint = Endpoint(url, "toy", parallel=parallel)
        place = folder / f"{track.name}-{parallel}"
        run = ask(track, endpoint, how, files=Files(place / "answers", place / "run", intervals=False))
        return time.perf_counter() - start, run

    all_of_them = make_track(folder, "all", {"number": [f"{i}" for i in range(n)]})
    some = make_track(folder, "some", {"number": [f"{i}" for i in range(n_serial)]})
    asked(make_track(folder, "first", {"number": ["0"]}), 1)  # imports
    at_once, together = asked(all_of_them, AT_ONCE)
    serial, single = asked(some, 1)
    n_bytes = 4 * together.n_tokens[0] / n
    answers = [[each.cells for each in run.given["emotion"][:n_serial]] for run in (together, single)]
    if answers[0] != answers[1] or len(set(answers[0])) == 1:
        raise SystemExit("the answers differ")
    whole = serial * n / n_serial
    rows = [
        ("one after another", f"{n_serial:,}", seconds(serial), seconds(whole), ""),
        (f"{AT_ONCE} at once", f"{n:,}", seconds(at_once), seconds(at_once), f"{whole / at_once:.1f}"),
        ("waiting alone", "", "", seconds(n / AT_ONCE * DELAY_S), f"{AT_ONCE}"),
    ]
    print(f"{n:,} requests of {n_bytes / 1e3:.0f} kB, each answered after {DELAY_S * 1e3:.0f} ms\n")
    print(table(("", "sent", "took", f"of {n:,}", "times faster"), rows), "\n")
    server.terminate()


def stored(folder: Path, n: int) -> None:
    """Print how long it takes to find stored answers, to read, write and score them."""
    track = make_track(
        folder, "stored", {"transcript": [f"what is said in sample number {i}, {'x' * (i % 7)}" for i in range(n)]}
    )
    answers = folder / "stored-answers"

    def asked(intervals: bool) -> AskedRun:
        return ask(track, Instant(), files=Files(answers, folder / "stored-run", True, intervals))

    asked(False)
    times = race({"again": lambda: asked(False), "again, with intervals": lambda: asked(True)}, 3)
    if asked(False).n_new:
        raise SystemExit("a request was sent")
    print(f"{n:,} stored answers, found, read, written and scored\n")
    print(table(("", "took"), [(name, seconds(took)) for name, took in times.items()]))


if __name__ == "__main__":
    main()
