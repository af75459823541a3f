"""Where options are searched, and the trials that processes share."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
from collections import Counter
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

pytest.importorskip("optuna")

from merbench.errors import DeclarationError, IntegrityError, UsageError
from merbench.training import list_baselines, load_baseline
from merbench.training.tuning.report import best_of
from merbench.training.tuning.search import JOURNAL, SamplerName, Searched, Space
from merbench.training.tuning.study import Result, Study, Taken
from tests.training.test_declaration import write

NO_PRESET = load_baseline("logistic").preset(None)

SPACE: Space = {
    "hidden": Searched.model_validate([[64, 64], [128, 128]]),
    "rate": Searched.model_validate({"low": 0.0001, "high": 0.01, "log": True}),
    "layers": Searched.model_validate({"low": 1, "high": 5}),
}


def value_of(taken: Taken) -> float:
    return 0.01 * taken.options["layers"] - 100 * (taken.options["rate"] - 0.003) ** 2


def studied(folder: Path, n: int, sampler: SamplerName = "random", seed: int = 0) -> Study:
    study = Study(folder, "", SPACE, sampler, seed)
    while True:
        with study.take(n) as taken:
            if taken is None:
                return study
            study.finish(taken, Result((value_of(taken), 0.5)))


def options(study: Study) -> list[dict[str, Any]]:
    return [dict(record.options) for record in study.records()]


def test_a_step_gives_numbers_as_they_are_written(tmp_path: Path) -> None:
    space: Space = {"eta": Searched.model_validate({"low": 0.1, "high": 0.9, "step": 0.1})}
    study = Study(tmp_path, "", space, "random", 0)
    drawn = set()
    for _ in range(30):
        with study.take(30) as taken:
            assert taken is not None
            drawn.add(taken.options["eta"])
            study.finish(taken, Result((1.0,)))
    assert drawn == {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9}
    assert {record.options["eta"] for record in study.records()} == drawn


def test_draws_depend_on_seed_and_number_only(tmp_path: Path) -> None:
    few, many = studied(tmp_path / "few", 5), studied(tmp_path / "many", 12)
    assert options(many)[:5] == options(few)
    assert options(studied(tmp_path / "other", 5, seed=1)) != options(few)
    drawn = options(many)
    assert {tuple(own["hidden"]) for own in drawn} == {(64, 64), (128, 128)}
    assert all(0.0001 <= own["rate"] <= 0.01 and own["layers"] in range(1, 6) for own in drawn)
    assert len({own["rate"] for own in drawn}) == 12
    # an option's random number is its own: from that of the rate, the layers would be these
    assert [own["layers"] for own in drawn] != [1 + int(5 * math.log(own["rate"] / 1e-4, 100)) for own in drawn]


def test_random_draws_are_uniform(tmp_path: Path) -> None:
    study = Study(tmp_path, "", {"a": Searched.model_validate([1, 2, 3, 4])}, "random", 0)
    counts: Counter[int] = Counter()
    for _ in range(80):
        with study.take(80) as taken:
            assert taken is not None
            study.finish(taken, Result((0.0,)))
            counts[taken.options["a"]] += 1
    # 80 draws of four values: chi-squared with 3 degrees of freedom is below 16.27 with probability 0.999
    assert sum((counts[value] - 20) ** 2 / 20 for value in (1, 2, 3, 4)) < 16.27


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_killed_process_loses_only_the_draw_it_had(tmp_path: Path, sampler: SamplerName) -> None:
    expected = studied(tmp_path / "whole", 14, sampler)
    folder = tmp_path / "killed"
    script = (
        "import os, sys; from pathlib import Path; from tests.training.test_search import *\n"
        f"study = Study(Path({str(folder)!r}), '', SPACE, {sampler!r}, 0)\n"
        "while True:\n"
        "    with study.take(14) as taken:\n"
        "        if taken.draw == 11: os.kill(os.getpid(), 9)\n"
        "        study.finish(taken, Result((value_of(taken), 0.5)))\n"
    )
    root = Path(__file__).parents[2]
    paths = os.pathsep.join([str(root), str(root / "tests")])
    killed = subprocess.run([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": paths}, check=False)
    assert killed.returncode == -signal.SIGKILL
    with (folder / JOURNAL).open("ab") as journal:  # as if it had been killed while it wrote a line
        journal.write(b'{"op_code":6,"work')
    again = studied(folder, 14, sampler)
    assert [record.draw for record in again.records()] == list(range(14))
    assert again.records() == expected.records()


def test_a_draw_is_of_one_process_only(tmp_path: Path) -> None:
    first, second = (Study(tmp_path, "", SPACE, "random", 0) for _ in range(2))
    with first.take(2) as a, second.take(2) as b:
        assert a is not None and b is not None
        assert (a.draw, b.draw) == (0, 1)
        assert first.running() == {0, 1}
        with second.take(2) as nothing:
            assert nothing is None
        second.finish(b, Result((1.0,)))
    with second.take(2) as lost:  # the first one left its draw without a result
        assert lost is not None and (lost.draw, lost.options) == (0, a.options)
        second.finish(lost, Result(None, "no value"))
    assert [(record.draw, record.state) for record in first.records()] == [(0, "failed"), (1, "complete")]
    assert first.running() == set()


def test_a_result_counts_once_where_its_process_was_killed_before_the_trial_ended(tmp_path: Path) -> None:
    study = Study(tmp_path, "", SPACE, "random", 0)
    with study.take(1) as taken:
        assert taken is not None
        taken.trial.set_user_attr("result", dataclasses.asdict(Result((1.0,))))
    assert studied(tmp_path, 2).records() == studied(tmp_path / "other", 2).records()


def test_a_draw_whose_process_was_killed_each_time_has_failed(tmp_path: Path) -> None:
    study = Study(tmp_path, "", SPACE, "random", 0)
    with study.take(1):
        pass
    study.fail_abandoned("killed")
    (record,) = study.records()
    assert (record.draw, record.state, record.result.problem) == (0, "failed", "killed")


def test_a_trial_is_stopped_below_the_median(tmp_path: Path) -> None:
    study = Study(tmp_path, "", SPACE, "random", 0)
    stopped = []
    for level in (0.1, 0.2, 0.3, 0.4, 0.5, 0.29, 0.31):
        with study.take(9) as taken:
            assert taken is not None
            at = next((epoch for epoch in range(1, 13) if taken.should_stop(epoch, level)), None)
            study.finish(taken, Result(None if at else (level,)))
            stopped.append(at)
    # five complete trials are needed; their median at every epoch is 0.3; none is stopped before epoch 10
    assert stopped == [None, None, None, None, None, 10, None]
    assert [record.state for record in study.records()][5] == "pruned"


def test_parts_have_trials_of_their_own(tmp_path: Path) -> None:
    one, two = (Study(tmp_path, part, SPACE, "random", 0) for part in ("1", "2"))
    drawn = []
    for study in (one, two):
        with study.take(1) as taken:
            assert taken is not None
            study.finish(taken, Result((1.0,)))
            drawn.append(taken.options)
    assert drawn[0] != drawn[1]
    assert len(one.records()) == len(two.records()) == 1


def test_a_search_goes_on_only_with_the_same_inputs(tmp_path: Path) -> None:
    study = Study(tmp_path, "", SPACE, "random", 0)
    inputs = {"track": "small@1.0", "options": {"widths": (1, 2)}, "seed": 0}
    study.require_inputs(inputs)
    Study(tmp_path, "", SPACE, "random", 0).require_inputs(inputs)
    with pytest.raises(IntegrityError, match=r"different inputs \(seed: 0, now 1\); --force begins again"):
        study.require_inputs({**inputs, "seed": 1})
    with pytest.raises(IntegrityError, match=r"different inputs \(track: small@1.0, now big@1.0\)"):
        study.require_inputs({**inputs, "seed": 1, "track": "big@1.0"})


@pytest.mark.parametrize(
    "content",
    [
        b"nothing\n",
        b"[]\n[]\n",
        b'{"op_code": "x"}\n{"op_code": "x"}\n',
        b'{"op_code": 4}\n',
        b'{"op_code": 99, "worker_id": "w"}\n',
        b'{"op_code": 0, "worker_id": "w", "study_name": "study", "directions": [9]}\n',
        b"[" * 100_000 + b"\n",
    ],
)
def test_a_journal_of_something_else_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / JOURNAL).write_bytes(content)
    with pytest.raises(IntegrityError, match=JOURNAL):
        Study(tmp_path, "", SPACE, "random", 0).records()


def test_a_trial_of_something_else_is_named(tmp_path: Path) -> None:
    studied(tmp_path, 1)
    journal = tmp_path / JOURNAL
    whole = journal.read_text("utf-8")
    for part, other in (('"epochs":0', '"epochs":"x"'), ('"draw":0', '"draw":[]'), ('"problem":""', '"problem":{}')):
        assert part in whole
        journal.write_text(whole.replace(part, other), encoding="utf-8")
        with pytest.raises(IntegrityError, match="not one of merbench"):
            Study(tmp_path, "", SPACE, "random", 0).records()


def test_the_best_of_n() -> None:
    values = [0.3, 0.9, 0.1, 0.5, 0.5, 0.7, 0.2]
    made = best_of(values, higher_is_better=True, independent=True)
    assert [item.n for item in made] == [1, 2, 5, 7]
    for item in made:
        assert item.best == max(values[: item.n])
        assert item.expected == pytest.approx(fmean(max(chosen) for chosen in combinations(values, item.n)), abs=1e-12)
    for item in best_of(values, higher_is_better=False, independent=True):
        assert item.best == min(values[: item.n])
        assert item.expected == pytest.approx(fmean(min(chosen) for chosen in combinations(values, item.n)), abs=1e-12)
    assert [item.expected for item in best_of([None, 0.5], higher_is_better=True, independent=True)] == [None, None]
    assert [item.best for item in best_of([None, 0.5], higher_is_better=True, independent=True)] == [None, 0.5]
    assert best_of([0.5], higher_is_better=True, independent=False)[0].expected is None


def test_a_space_is_checked_as_the_options_are() -> None:
    loaded = load_baseline("logistic")
    space = loaded.space({"scale": "each"}, NO_PRESET, {"C": {"low": 0.001, "high": 1, "log": True}})
    assert str(space["C"]) == "0.001 to 1 (log)"
    assert "scale" not in space
    wrong: dict[str, tuple[Any, str]] = {
        "Cc": ([1.0], "Cc: is not an option of baseline 'logistic'; allowed: .* did you mean 'C'"),
        "C": (["much"], "C: "),
        "alpha": ({"low": 2, "high": 1}, "low below high"),
        "scale": ({"low": 1, "high": 2, "lgo": True}, "lgo: is not a known key; allowed: values, low, high, log, step"),
    }
    for name, (value, message) in wrong.items():
        with pytest.raises(DeclarationError, match=message):
            loaded.space({}, NO_PRESET, {name: value})
    with pytest.raises(UsageError, match="both given and searched"):
        loaded.space({"C": 1.0}, NO_PRESET, {"C": [1.0]})


def test_every_shipped_space_is_allowed_and_a_preset_may_have_its_own() -> None:
    for name, declaration in list_baselines():
        loaded = load_baseline(name)
        if declaration.search:
            assert list(loaded.space({}, NO_PRESET, {})) == list(declaration.search)
    attention = load_baseline("attention")
    preset = attention.preset("paper")
    assert list(attention.space(preset.options, preset, {})) == ["hidden", "learning_rate"]
    assert list(attention.space(preset.options, preset, {"dropout": [0.1]})) == ["hidden", "learning_rate", "dropout"]


def test_a_wrong_space_in_a_baseline_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "own", 'title = "Own"\n[search]\ndepth = { lo = 1, high = 2 }\n')
    with pytest.raises(DeclarationError, match=r"search.depth.lo: is not a known key; allowed: values, low, high"):
        load_baseline(folder)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("0.1", "neither a list of values nor a range"),
        ([], "values"),
        ({"low": 1}, "with low below high"),
        ({"low": 0, "high": 1, "log": True}, "begins above 0"),
        ({"low": 1, "high": 2, "log": True, "step": 1}, "has no step"),
        ({"values": [1], "low": 1}, "and low of a range"),
        ({"low": 1, "high": 2, "step": 0}, "step"),
    ],
)
def test_a_wrong_range_is_named(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Searched.model_validate(value)


def test_values_of_a_list_keep_their_type(tmp_path: Path) -> None:
    values = [[1, 2], "text", True, 0.5, 3]
    study = Study(tmp_path, "", {"a": Searched.model_validate(values)}, "random", 0)
    drawn = set()
    for _ in range(30):
        with study.take(30) as taken:
            assert taken is not None
            study.finish(taken, Result((0.0,)))
            drawn.add(json.dumps(taken.options["a"]))
    assert drawn == {json.dumps(value) for value in values}
