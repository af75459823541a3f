"""How far the prompt decides: prompts that a server answers differently, and intervals that cover the truth."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist, stdev

import numpy as np
import pytest
from chat_server import Clock, Request, chat_server, completion
from scipy.stats import ncx2

from merbench.asking import Files, Grid, How, SpreadReport, prompt_spread
from merbench.asking.spread import spread_of
from merbench.cli import run
from merbench.errors import UsageError
from merbench.language_models import Endpoint, NoReply

Made = Callable[..., Path]


def first_candidate(request: Request, n: int) -> str:
    """Return the candidate that the request names first: all is right where it is happy."""
    named = re.search(r"(happy|sad|angry), (?:happy|sad|angry), (?:happy|sad|angry)", request.text)
    assert named is not None
    return named[1]


def spread(
    folder: Path, grid: Grid, answer: Callable[[Request, int], str], how: How | None = None, **files: bool
) -> tuple[SpreadReport, int]:
    """Return the report, and the number of requests."""
    with chat_server(lambda request, n: completion(answer(request, n))) as server:
        endpoint = Endpoint(server.url, "toy", parallel=4)
        report = prompt_spread(folder, endpoint, grid, how, files=Files(output=Path("out"), replace=True, **files))
    return report, len(server.requests)


def test_orders_of_candidates(made: Made) -> None:
    report, n_requests = spread(made(n=30), Grid(orders=4), first_candidate)
    assert n_requests == 4 * 30
    values = [row.value for row in report.rows]
    orders = [
        json.loads(Path("out", row.name.replace(" ", "-"), "asked.json").read_text())["order_seed"]
        for row in report.rows
    ]
    assert orders[0] is None and [row.name for row in report.rows[1:]] == [f"order {seed}" for seed in orders[1:]]
    # The order that is declared begins with happy, which is what all samples are.
    assert values[0] == 1.0 and set(values[1:]) <= {0.0, 1.0} and 0.0 in values
    (row,) = report.spreads
    assert (row.axis, row.n, row.lowest, row.highest) == ("orders", 4, 0.0, 1.0)
    assert row.deviation == pytest.approx(stdev(values), abs=1e-15)
    # Whatever the resample, all samples agree: no chance is left.
    assert (row.low, row.high, row.by_chance) == (pytest.approx(row.deviation), pytest.approx(row.deviation), 0.0)
    assert [prompt.changed for prompt in report.rows] == [None, *(1 - value for value in values[1:])]


def test_paraphrases_and_repetitions_each_by_themselves(made: Made) -> None:
    """Every third sample is answered otherwise by the second text, every tenth by the second repetition."""
    seen: dict[str, int] = {}

    def answer(request: Request, n: int) -> str:
        number = int(re.findall(r"words of (\d+)", request.text)[-1])
        seen[request.text] = seen.get(request.text, 0) + 1
        other = "Which of these" in request.text and number % 3 == 0
        return "sad" if other or (seen[request.text] == 2 and number % 10 == 0) else "happy"

    report, n_requests = spread(made(n=30), Grid(paraphrases=3, repeats=2), answer)
    assert n_requests == 4 * 30
    assert [(row.axis, row.name) for row in report.rows] == [
        ("", "first prompt"),
        ("paraphrase", "paraphrase 1"),
        ("paraphrase", "paraphrase 2"),
        ("repeat", "repeat 1"),
    ]
    # 10 and 3 of 30 answers differ, and are wrong.
    assert [row.value for row in report.rows] == pytest.approx([1, 20 / 30, 1, 27 / 30])
    assert [row.changed for row in report.rows[1:]] == pytest.approx([10 / 30, 0, 3 / 30])
    # Deviation of 1, 2/3, 1: mean 8/9, (1/81 + 4/81 + 1/81) / 2 = 1/27. Of 1, 9/10: 0.1 / sqrt(2).
    paraphrases, repeats, both = report.spreads
    assert [row.axis for row in report.spreads] == ["paraphrases", "repetitions", "all"]
    assert paraphrases.deviation == pytest.approx(math.sqrt(1 / 27)) and repeats.deviation == pytest.approx(
        0.1 / math.sqrt(2)
    )
    assert (both.n, both.lowest, both.highest) == (4, pytest.approx(2 / 3), 1.0)
    assert paraphrases.low is not None and paraphrases.high is not None
    assert 0 < paraphrases.low < paraphrases.deviation < paraphrases.high
    # The same again asks nothing, and gives the same bytes.
    before = Path("out/spread.json").read_bytes()
    again, n_requests = spread(made(n=30), Grid(paraphrases=3, repeats=2), answer)
    assert n_requests == 0 and again == report and Path("out/spread.json").read_bytes() == before
    assert SpreadReport.from_json(before.decode()) == report
    assert "paraphrase 1" in Path("out/spread.md").read_text() and report.lead()[0].startswith("0.1")
    without, _ = spread(made(n=30), Grid(paraphrases=2), answer, intervals=False)
    assert (without.spreads[0].low, without.spreads[0].by_chance, without.uncertainty) == (None, None, None)
    assert "by chance" not in without.to_text()


def test_grids_that_cannot_be_asked(made: Made) -> None:
    def never(request: Request, n: int) -> str:
        raise AssertionError("asked")

    for orders, message in ((1, "a spread needs at least 2 orders"), (0, "at least 1 order")):
        with pytest.raises(UsageError, match=message):
            Grid(orders=orders)
    with pytest.raises(UsageError, match="7 orders of candidates are asked for; there are 6"):
        spread(made(), Grid(orders=7), never)
    with pytest.raises(UsageError, match="protocol 'label' has texts 0 to 2, not 3"):
        spread(made(), Grid(paraphrases=4), never)
    with pytest.raises(UsageError, match="protocol open shows no candidates, so that their order changes nothing"):
        spread(made("words"), Grid(orders=2), never)
    report, _ = spread(made("choice"), Grid(orders=2), lambda request, n: "a1")
    assert report.spreads[0].n == 2


def test_a_prompt_without_an_answer_or_a_score(made: Made) -> None:
    folder = made()
    with pytest.raises(UsageError, match="first prompt: not scored, because mine does not accept the submission: E111"):
        spread(folder, Grid(repeats=2), lambda request, n: "no label")
    with chat_server(lambda request, n: completion("happy")) as server:
        address = server.url
    clock = Clock()
    endpoint = Endpoint(address, "gone", clock=clock.time, sleep=clock.sleep)
    with pytest.raises(NoReply, match="first prompt: 6 answers missing; the same command asks only for these"):
        prompt_spread(folder, endpoint, Grid(repeats=2), files=Files(output=Path("other")))


def test_the_command(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    folder = made(n=30)
    with chat_server(lambda request, n: completion(first_candidate(request, n))) as server:
        command = ["ask", str(folder), "--endpoint", server.url, "--model", "toy", "--orders", "3", "--output", "out"]
        assert run(command) == 0
        assert len(server.requests) == 3 * 30
        out, err = capsys.readouterr()
        # Another order of each sample is not yet asked.
        assert run([*command[:-4], "--orders", "4", "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith("30 requests to send, 90 stored; ")
    assert out.startswith("Mine (mine@1.0, split test): 3 prompts\n\nspread over prompts\ndiffer in  prompts")
    assert "first prompt (1 of 3)" in err and Path("out/spread.md").is_file()


def test_the_interval_of_a_spread_inverts_two_tests() -> None:
    values, rng = np.array([0.5, 0.7, 0.6]), np.random.default_rng(0)
    draws = values[:, None] + rng.normal(0, 0.02, (3, 2000))
    row = spread_of("orders", values, draws, 0.95)
    assert row.deviation == pytest.approx(0.1) and row.by_chance == pytest.approx(0.02, abs=5e-4)
    assert row.low is not None and row.high is not None and row.by_chance is not None
    # 2 · 0.1² / v is at the upper and the lower 2.5 % of noncentral χ² with 2 degrees, noncentrality 2 · end² / v.
    v = row.by_chance**2
    for end, share in ((row.low, 0.975), (row.high, 0.025)):
        assert ncx2.cdf(2 * 0.01 / v, 2, 2 * end**2 / v) == pytest.approx(share, abs=1e-6)
    # Far from chance, the spread is as certain as one normal number: 1.96 · 0.02 / sqrt(2).
    far = spread_of("orders", 100 * values, 100 * values[:, None] + (draws - values[:, None]), 0.95)
    width = NormalDist().inv_cdf(0.975) * row.by_chance / math.sqrt(2)
    assert (far.low, far.high) == (pytest.approx(10 - width, abs=1e-4), pytest.approx(10 + width, abs=1e-4))
    # Scores that differ less than by chance; resamples without a score.
    assert spread_of("orders", values / 100, draws, 0.95).low == 0.0
    draws[0, :600] = np.nan
    assert spread_of("orders", values, draws, 0.95).low is None


@pytest.mark.slow
@pytest.mark.parametrize("accuracies", [[0.6] * 4, [0.6, 0.62, 0.58, 0.65, 0.55], [0.7, 0.5], [0.6, 0.6, 0.6, 0.7]])
def test_intervals_cover_the_spread_of_the_population(accuracies: list[float]) -> None:
    rng, n, n_resamples, trials = np.random.default_rng(1), 400, 300, 200
    limits = np.array([NormalDist().inv_cdf(accuracy) for accuracy in accuracies])
    truth, covered = stdev(accuracies), 0
    for _ in range(trials):
        # Samples that one prompt gets right, others tend to, too.
        shared, own = rng.normal(size=(n, 1)), rng.normal(size=(n, len(limits)))
        right = (math.sqrt(0.7) * shared + math.sqrt(0.3) * own < limits).astype(float)
        weights = rng.poisson(1, (n_resamples, n))
        draws = (weights @ right / weights.sum(axis=1, keepdims=True)).T
        row = spread_of("orders", right.mean(axis=0), draws, 0.95)
        assert row.low is not None and row.high is not None
        covered += row.low - 1e-12 <= truth <= row.high + 1e-12
    assert covered / trials > 0.9
