"""Packet loss: its long-run share and bursts, what is heard instead, and which channel loses what."""

from __future__ import annotations

import hashlib
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merbench.corruptions import CORRUPTIONS, Audio, generator
from merbench.corruptions.audio import packet_loss
from merbench.corruptions.drawing import uniforms
from merbench.errors import Inapplicable

RATE_HZ = 1000  # packets of 20 ms are 20 samples


def rng(sample_id: str = "a") -> np.random.PCG64:
    return generator(2023, "packet_loss", sample_id)


def given_parameters(**changed: Any) -> dict[str, Any]:
    return {"loss_rate": 0.3, "mean_burst": 3, "frame_ms": 20, "concealment": "zero", **changed}


def ramp(n: int, n_channels: int = 1) -> Audio:
    return Audio(np.arange(1, n_channels * n + 1, dtype=np.float32).reshape(n_channels, n), RATE_HZ)


def lost_packets(loss_rate: float, mean_burst: float, n: int, sample_id: str = "a") -> list[bool]:
    signal = Audio(np.ones((1, n), np.float32), RATE_HZ)
    parameters = given_parameters(loss_rate=loss_rate, mean_burst=mean_burst, frame_ms=1)
    damaged = packet_loss(signal, rng(sample_id), **parameters)
    return (damaged.samples[0] == 0).tolist()


@pytest.mark.parametrize(("loss_rate", "mean_burst"), [(0.05, 1), (0.3, 3), (0.5, 10), (0.9, 20)])
def test_share_and_bursts_are_the_declared_ones_in_the_long_run(loss_rate: float, mean_burst: float) -> None:
    lost = lost_packets(loss_rate, mean_burst, 60_000)
    bursts = [len(list(run)) for is_lost, run in groupby(lost) if is_lost]
    # bursts are geometric, deviation about their mean: the standard error of both is that of some 1,000 to 5,000 bursts
    assert np.mean(lost) == pytest.approx(loss_rate, rel=0.12)
    assert np.mean(bursts) == pytest.approx(mean_burst, rel=0.1)


def test_a_mean_burst_of_one_never_loses_two_in_a_row() -> None:
    lost = lost_packets(0.4, 1, 5000)
    assert not any(first and second for first, second in pairwise(lost))


def test_the_first_packet_is_drawn_from_the_long_run() -> None:
    first = [lost_packets(0.3, 5, 1, str(number))[0] for number in range(2000)]
    assert np.mean(first) == pytest.approx(0.3, abs=0.05)  # five deviations of √(0.3 × 0.7 / 2,000)


def test_packets_go_by_hand() -> None:
    # π = 0.5, burst 2: begins with 0.5, ends with 0.5, so that every packet is lost where its number is below 0.5
    n_packets, signal = 10, ramp(190)  # the last packet has half the length
    lost = (uniforms(rng(), n_packets) < 0.5).tolist()
    expected = signal.samples[0].copy()
    for number, is_lost in enumerate(lost):
        expected[number * 20 : (number + 1) * 20] *= not is_lost
    damaged = packet_loss(signal, rng(), **given_parameters(loss_rate=0.5, mean_burst=2))
    assert 0 < sum(lost) < n_packets
    assert damaged.samples[0].tolist() == expected.tolist()


def test_a_lost_packet_is_replaced_by_the_last_that_arrived() -> None:
    parameters = given_parameters(loss_rate=0.5, mean_burst=2, concealment="repeat")
    for sample_id in "abcdef":
        signal = ramp(190)
        lost = (uniforms(rng(sample_id), 10) < 0.5).tolist()
        expected, last = signal.samples[0].copy(), np.zeros(20, np.float32)
        for number, is_lost in enumerate(lost):
            packet = expected[number * 20 : (number + 1) * 20]
            if is_lost:
                packet[:] = last[: len(packet)]
            else:
                last = packet.copy()
        damaged = packet_loss(signal, rng(sample_id), **parameters)
        assert damaged.samples[0].tolist() == expected.tolist()


def test_all_channels_lose_the_same_packets() -> None:
    damaged = packet_loss(ramp(2000, 3), rng(), **given_parameters())
    zero = damaged.samples == 0
    assert zero.any()
    assert np.array_equal(zero[0], zero[1])
    assert np.array_equal(zero[0], zero[2])


@given(st.floats(0.01, 0.6), st.sampled_from(["zero", "repeat"]), st.integers(1, 400))
def test_the_realised_share_is_that_of_changed_packets(loss_rate: float, concealment: str, n: int) -> None:
    signal, parameters = ramp(n), given_parameters(loss_rate=loss_rate, concealment=concealment)
    damaged = packet_loss(signal, rng(), **parameters)
    changed = [
        not np.array_equal(damaged.samples[0, start : start + 20], signal.samples[0, start : start + 20])
        for start in range(0, n, 20)
    ]
    measured = CORRUPTIONS["packet_loss"].measure
    assert measured(signal, damaged, parameters) == {"realised_loss": pytest.approx(np.mean(changed), abs=1e-6)}


def test_a_loss_that_bursts_as_short_cannot_reach_is_refused() -> None:
    # 0.6 / 0.4 = 1.5 lost packets to one that arrives
    with pytest.raises(Inapplicable, match=r"^a loss rate of 0.6 needs bursts of at least 1.5 packets on average$"):
        packet_loss(ramp(100), rng(), **given_parameters(loss_rate=0.6, mean_burst=1))


def test_a_packet_has_at_least_one_sample() -> None:
    signal = Audio(np.ones((1, 50), np.float32), 100)
    assert packet_loss(signal, rng(), **given_parameters(frame_ms=1)).samples.shape == (1, 50)


def test_lost_packets_are_the_same_on_every_machine() -> None:
    digest = hashlib.sha256()
    for number in range(50):
        concealment = ("zero", "repeat")[number % 2]
        parameters = given_parameters(loss_rate=number / 60, mean_burst=5, concealment=concealment)
        digest.update(packet_loss(ramp(1000), rng(str(number)), **parameters).samples.astype("<f4").tobytes())
    assert digest.hexdigest() == "775cea634f81bd507ab1ff450ec4d585b7227fbc438d4b8cd390f2e60412afe6"
