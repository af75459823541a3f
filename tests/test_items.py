"""Samples over many systems: missed by all, separating systems, contradicted references."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_media import Pictures, Sound, make_clip
from media_track import media_candidates
from scipy import stats
from test_samples import N, answers, written
from toy_track import LABELS, predictions, write_toy_track

from merbench.cli import run
from merbench.corpus.candidates import Candidates, open_candidates
from merbench.errors import InvalidSubmission, PolicyError, UnknownName, UsageError, WithheldReference
from merbench.metrics.lists import Lists
from merbench.report import ItemReport
from merbench.scoring import items
from merbench.scoring.items import WRONG_REFERENCES, _numbers_against, _voted, contradictions, discrimination


def correlations(worth: np.ndarray) -> list[float]:
    """Return the corrected item-total correlations by NumPy's own correlation; NaN where a side is constant."""
    result = []
    for own, rest in ((worth[:, i], np.delete(worth, i, axis=1).sum(axis=1)) for i in range(worth.shape[1])):
        constant = len(set(own.tolist())) == 1 or len(set(rest.tolist())) == 1
        result.append(math.nan if constant else float(np.corrcoef(own, rest)[0, 1]))
    return result


@settings(max_examples=60, deadline=None)
@given(st.integers(3, 8), st.integers(1, 9), st.randoms(use_true_random=False))
def test_discrimination_is_the_corrected_item_total_correlation(n_systems: int, n: int, random: Any) -> None:
    right = np.array([[random.randint(0, 1) for _ in range(n)] for _ in range(n_systems)], dtype=np.int8)
    assert discrimination(right) == pytest.approx(correlations(right.astype(float)), abs=1e-12, nan_ok=True)


def test_discrimination_of_numbers_and_where_there_is_none() -> None:
    errors = -np.square(np.random.default_rng(1).normal(size=(9, 40)))
    errors[:, 3] = -0.1
    assert discrimination(errors) == pytest.approx(correlations(errors), abs=1e-12, nan_ok=True)
    equal = np.tile(np.random.default_rng(2).normal(size=40), (9, 1))  # whose sums differ by rounding, if at all
    for worth in (errors[:2], equal, equal[:, :1], np.ones((5, 4), np.int8), np.zeros((5, 4), np.int8)):
        assert np.isnan(discrimination(worth)).all()
    only = equal.copy()
    only[:4, 7] += 1  # the systems differ on one sample: nothing is left to relate it to
    assert np.isnan(discrimination(only)[7])


def log_odds(
    reference: list[int], codes: list[list[int]], item: int, other: int, n_labels: int, per: int | None = None
) -> float:
    """Return the log odds of another label by Dawid & Skene, counting everything one by one, without the design effect."""
    rest = [i for i in range(len(reference)) if i != item]
    n_other = sum(code == other for code in reference)
    per = per or n_labels
    n_not_own = sum(code != reference[item] and code // per == reference[item] // per for code in reference)
    frequent = (n_other + 1 / per) / (n_not_own + (per - 1) / per)
    total = math.log(WRONG_REFERENCES / (1 - WRONG_REFERENCES) * frequent)
    for system in codes:
        chance = []
        for truth in (other, reference[item]):
            of_truth = [i for i in rest if reference[i] == truth]
            hits = sum(system[i] == system[item] for i in of_truth)
            chance.append((hits + 1 / (n_labels + 1)) / (len(of_truth) + 1))
        total += math.log(chance[0] / chance[1])
    return total


def test_contradictions_are_those_of_dawid_and_skene() -> None:
    rng, n_labels, n = np.random.default_rng(5), 4, 60
    reference = rng.integers(0, 3, n)  # the fourth label is no reference
    common = np.where(rng.random(n) < 0.6, reference, rng.integers(-1, 4, n))
    own = [np.where(rng.random(n) < 0.3 + 0.1 * s, reference, rng.integers(-1, 4, n)) for s in range(6)]
    codes = np.stack([np.where(rng.random(n) < 0.5, common, answers) for answers in own])
    other, share, odds = contradictions(reference, codes, n_labels, n_labels)
    right = codes == reference
    # Kish: the variance of how many are right over the sum of the systems' own variances.
    effect = np.var(right.sum(axis=0)) / sum(np.var(row) for row in right)
    assert effect > 1.5
    for item in range(n):
        prior = log_odds(reference.tolist(), [], item, int(other[item]), n_labels)
        complete = log_odds(reference.tolist(), codes.tolist(), item, int(other[item]), n_labels)
        if other[item] >= 0:
            assert odds[item] == pytest.approx(prior + (complete - prior) / effect, abs=1e-12)
            assert share[item] == np.mean(codes[:, item] == other[item])
        else:
            assert odds[item] == -math.inf and math.isnan(share[item])
    p = (right.sum(axis=1) + 0.5) / (n + 1)
    skill = np.maximum(np.log(3 * p / (1 - p)), 0) + 1e-9  # a vote by skill
    for item in range(n):
        votes = [sum(skill[codes[:, item] == label]) * (label != reference[item]) for label in range(n_labels)]
        assert other[item] == (int(np.argmax(votes)) if max(votes) > 0 else -1)


def test_systems_that_err_on_different_samples_are_not_worth_more_than_independent_ones() -> None:
    reference = [0, 1, 2, 0, 1, 2, 0, 1]
    codes = [[(own + (i % 2 == system)) % 3 for i, own in enumerate(reference)] for system in (0, 1)]
    other, _, odds = contradictions(np.array(reference), np.array(codes), 3, 3)
    expected = [log_odds(reference, codes, item, int(label), 3) for item, label in enumerate(other)]
    assert odds == pytest.approx(expected, abs=1e-12)


def test_a_label_is_as_frequent_as_among_the_answers_to_its_question() -> None:
    # Codes 0 and 1 answer the first question, 2 and 3 the second one, on as many samples.
    reference, codes = [0, 0, 1, 0, 0, 2, 3, 3, 2, 3], [[0, 1, 1, 0, 0, 3, 3, 3, 2, 3]]
    other, _, odds = contradictions(np.array(reference), np.array(codes), 4, 2)
    assert [(item, int(other[item])) for item in np.flatnonzero(other >= 0).tolist()] == [(1, 1), (5, 3)]
    expected = [log_odds(reference, codes, item, label, 4, 2) for item, label in ((1, 1), (5, 3))]
    assert odds[[1, 5]] == pytest.approx(expected, abs=1e-12)


def test_a_number_is_contradicted_by_its_distance_from_a_line_through_the_weighted_mean() -> None:
    rng = np.random.default_rng(6)
    reference = rng.normal(0, 2, 80) + rng.exponential(1, 80)
    numbers = 0.6 * reference + rng.normal(0, [[0.3], [0.6], [2.0]], (3, 80))
    reference[:2] -= 20
    reference[2] += 20
    worth = -np.square(numbers - reference)
    against = _numbers_against(reference, numbers, worth)
    weights = 1 / -worth.mean(axis=1)
    mean = weights @ numbers / weights.sum()
    residual = reference - np.polyval(np.polyfit(mean, reference, 1), mean)
    assert against.deviation == pytest.approx(residual / stats.median_abs_deviation(residual, scale="normal"), rel=1e-5)
    assert {0, 1, 2} <= set(np.flatnonzero(against.strength > 0)) == set(np.flatnonzero(np.abs(against.deviation) > 3))


def test_words_of_half_the_skill_contradict_a_reference_that_has_none_of_them(tmp_path: Path) -> None:
    voted = _voted(
        [Lists.of([["a"], ["b", "c"]]), Lists.of([["d"], ["c"]])], ("a", "b", "c", "d"), np.array([0.6, 0.4])
    )
    assert voted == [{"a": 0.6}, {"b": 0.6, "c": 1.0}]
    assert _voted([Lists.of([["a"]]), Lists.of([["b"]])], ("a", "b"), np.full(2, 0.5)) == [{"a": 0.5, "b": 0.5}]
    candidates = written(tmp_path)
    table = answers(candidates)
    at, truth = table.column_names.index("words"), [["happy"], ["sad", "low"]] * (N // 2)
    for n_right in (25, 0):  # where no system is right anywhere, all count alike
        table = table.set_column(at, "words", pa.array([*truth[:n_right], *([["angry"]] * (N - n_right))]))
        report = items(candidates, {"a": table, "b": table, "c": table}, target="words", top=N)
        shown = [(item.id, item.answer, item.share) for item in report.contradicted]
        assert sorted(shown) == [(f"s{i:02}", "angry", 1.0) for i in range(n_right, N)]


def test_a_label_that_applies_is_contradicted_by_not(tmp_path: Path) -> None:
    candidates = written(tmp_path)
    true = np.array(candidates.references.values["units"])
    table, flipped = answers(candidates), true.clip(min=0)
    applies, others = (int(np.flatnonzero(true[:, 1] == code)[0]) for code in (1, 0))
    flipped[[applies, others], 1] = 1 - flipped[[applies, others], 1]
    for column, own in zip(("AU1", "AU2"), flipped.T, strict=True):
        table = table.set_column(table.column_names.index(column), column, pa.array(own))
    report = items(candidates, dict.fromkeys("abc", table), target="units", top=N)
    shown = {item.id: item.answer for item in report.contradicted}
    assert shown == {f"s{applies:02}": "not AU2", f"s{others:02}": "AU2"}


def test_the_number_of_systems_decides_where_none_is_better_than_chance() -> None:
    codes = np.array([[1, 1, 2], [1, 1, 2], [2, 1, 1]])
    other, share, _ = contradictions(np.zeros(3, np.int64), codes, 3, 3)
    assert (other.tolist(), share.tolist()) == ([1, 1, 2], pytest.approx([2 / 3, 1, 2 / 3]))


def planted(target: str, wrong: Callable[[Any, np.random.Generator], Any]) -> tuple[ItemReport, set[str]]:
    """Return a report on twelve made-up systems on the sample, one in twenty of whose references is wrong."""
    candidates, rng = open_candidates("mer-multi"), np.random.default_rng(7)
    n, references = len(candidates), candidates.references
    true = {name: np.asarray(values) for name, values in references.values.items()}
    labels = candidates.track.targets["discrete"].classes
    hard = rng.random(n) * 0.6
    systems = {}
    for number in range(12):
        skill = 0.55 + 0.03 * number
        # Half of the mistakes are those that all systems make: the label next to the right one.
        slip = np.where(rng.random(n) < 0.5, (true["discrete"] + 1) % 6, rng.integers(0, 6, n))
        codes = np.where(rng.random(n) < skill + 0.3 - hard, true["discrete"], slip)
        valence = np.clip(0.7 * true["valence"] + rng.normal(0, 1.2 - skill, n), -5, 5)
        columns = {"sample_id": candidates.ids, "discrete": [labels[code] for code in codes], "valence": valence}
        systems[f"system {number}"] = pa.table(columns)
    chosen = rng.choice(n, n // 20, replace=False)
    values = {**references.values, target: np.array(true[target])}
    values[target][chosen] = wrong(true[target][chosen], rng)
    changed = replace(candidates)
    changed.__dict__["references"] = replace(references, values=values)
    report = items(changed, systems, target=target, top=n // 20)
    return report, set(candidates.ids.take(pa.array(chosen)).to_pylist())


@pytest.mark.parametrize("target", ["discrete", "valence"])
def test_planted_wrong_references_are_among_the_first(target: str, own_home: Path) -> None:
    def wrong(true: Any, rng: np.random.Generator) -> Any:
        return (true + rng.integers(1, 6, len(true))) % 6 if target == "discrete" else np.clip(-true, -5, 5)

    report, chosen = planted(target, wrong)
    found = [item.id in chosen for item in report.contradicted]
    assert len(chosen) == 30 and sum(found[:10]) >= 9
    # A valence near 0 stays near it with the other sign: such references are not wrong by much.
    assert sum(found) >= (25 if target == "discrete" else 15)
    if target == "discrete":  # what is shown as probability is one
        probable = [hit for item, hit in zip(report.contradicted, found, strict=True) if item.probability > 0.5]
        expected = sum(item.probability for item in report.contradicted if item.probability > 0.5)
        assert abs(sum(probable) - expected) < 5


def test_the_order_of_samples_in_a_list(tmp_path: Path) -> None:
    candidates = written(tmp_path)
    systems = {f"system {seed}": answers(candidates, seed=seed) for seed in range(4)}
    report = items(candidates, systems, target="emotion", top=N)
    # Of samples that all miss, first those about whose reference there is most doubt.
    doubts = [item.probability for item in report.missed if item.probability is not None]
    assert doubts == sorted(doubts, reverse=True) and len(set(doubts)) > 1
    # What does not separate good systems from bad is not listed.
    order = [item.discrimination for item in report.separating]
    assert order == sorted(order, reverse=True) and order[-1] > 0


@pytest.mark.parametrize("target", ["emotion", "valence", "words", "units", "real", "face", "parts"])
def test_every_kind_of_target_has_items(target: str, tmp_path: Path) -> None:
    candidates = written(tmp_path)
    one, other = answers(candidates), answers(candidates, seed=9)
    report = items(candidates, {"one": one, "other": other, "third": answers(candidates, seed=11)}, target=target)
    assert ItemReport.from_json(report.to_json()) == report
    assert report.n_items + report.n_left_out == N and report.n_left_out == (4 if target == "valence" else 0)
    assert report.chance == pytest.approx(0.996917, abs=1e-6)  # of three pairs, in any table of critical values
    measures = {"emotion": "share right", "face": "share right", "valence": "rms error", "real": "share ranked right"}
    assert report.measure == measures.get(target, "f1") and (report.n_missed is None) == (target == "valence")
    assert (report.n_contradicted is None) == (target in ("real", "parts"))
    # One system, or several that are equal: no correlation, and the same samples are missed.
    for systems in ({"one": one}, {"one": one, "two": one, "three": one}):
        alone = items(candidates, systems, target=target, top=N)
        assert alone.separating == () and all(item.discrimination is None for item in alone.missed)
        assert target == "valence" or len(alone.missed) == alone.n_missed


def toy(tmp_path: Path, **settings: Any) -> Candidates:
    return open_candidates(write_toy_track(tmp_path, **settings))


def test_missed_separating_and_contradicted_by_hand(tmp_path: Path) -> None:
    candidates = toy(tmp_path)
    # All three miss sample 0. The best is right on samples 1 to 5, the second misses 1 and 2, the third 1 to 5.
    wrong = {"best": [0], "second": [0, 1, 2], "third": [0, 1, 2, 3, 4, 5]}
    systems = {name: tmp_path / f"{name}.csv" for name in wrong}
    for name, path in systems.items():
        path.write_text(predictions(wrong[name]), encoding="utf-8")
    report = items(candidates, systems, top=3)
    assert [(item.id, item.value, item.share) for item in report.missed] == [("s00", 0.0, 1.0)]
    assert report.missed[0].answer == LABELS[1] and report.n_missed == 1
    # Right 1, 1, 0 on samples 3 to 5 and 1, 0, 0 on 1 and 2, with 39, 37 and 34 right in all.
    more = {item.id: item.discrimination for item in items(candidates, systems, top=40).separating}
    assert (
        list(more) == ["s03", "s04", "s05", "s01", "s02"] and [item.id for item in report.separating] == list(more)[:3]
    )
    assert [items(candidates, systems, top=top).n_tied for top in (1, 2, 3, 4, 5)] == [3, 3, 0, 2, 0]
    assert "3 samples share the lowest value listed" in " ".join(items(candidates, systems, top=1).notes())
    assert more["s03"] == pytest.approx(np.corrcoef([1, 1, 0], [38, 36, 34])[0, 1], abs=1e-9)  # 10 decimals
    assert more["s01"] == pytest.approx(np.corrcoef([1, 0, 0], [38, 37, 34])[0, 1], abs=1e-9)
    assert report.contradicted == () or report.contradicted[0].id == "s00"
    rows = list(csv.DictReader(io.StringIO(report.to_csv())))
    assert [row["question"] for row in rows[:2]] == ["missed", "separating"] and rows[0]["sample_id"] == "s00"


@pytest.mark.parametrize("wrong", [range(0), range(40)])
def test_all_right_and_all_wrong_contradict_nothing(wrong: range, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(predictions(wrong), encoding="utf-8")
    report = items(toy(tmp_path), {"a": path, "b": path, "c": path})
    assert (report.n_missed, report.separating, report.n_contradicted) == (len(wrong), (), 0)


def test_numbers_are_sorted_by_the_smallest_error_that_is_shown(tmp_path: Path) -> None:
    candidates = written(tmp_path)
    truth = np.nan_to_num(candidates.references.values["valence"])

    def missed(*errors: float) -> ItemReport:
        exact, off = truth.copy(), truth + 1
        exact[: len(errors)] += errors
        tables = {"exact": exact, "off": off, "far": truth + 2}
        table = answers(candidates)
        at = table.column_names.index("valence")
        sources = {name: table.set_column(at, "valence", pa.array(values)) for name, values in tables.items()}
        return items(candidates, sources, target="valence")

    # One system is right everywhere: no number is answered badly by all, and none is contradicted.
    assert (missed().missed, missed().contradicted) == ((), ())
    report = missed(0.25, 0.5)
    # Root mean square of 0.5, 1 and 2, and of 0.25, 1 and 2
    expected = [(0.5, math.sqrt(5.25 / 3)), (0.25, math.sqrt(5.0625 / 3))]
    shown = np.array([(item.smallest_error, item.value) for item in report.missed])
    assert shown == pytest.approx(np.array(expected), abs=1e-9)
    assert "smallest error" in report.to_text()


def test_what_cannot_be_asked_is_refused(tmp_path: Path) -> None:
    candidates = toy(tmp_path, name="open")
    mine = tmp_path / "mine.csv"
    mine.write_text(predictions(), encoding="utf-8")
    with pytest.raises(UnknownName, match="no target named 'discret'"):
        items(candidates, [mine], target="discret")
    with pytest.raises(UsageError, match="no submission"):
        items(candidates, {})
    with pytest.raises(UsageError, match="has no column 'speaker' to show"):
        items(candidates, [mine], columns=["speaker"])
    other = tmp_path / "other.csv"
    other.write_text(predictions().replace("s00", "t00"), encoding="utf-8")
    with pytest.raises(InvalidSubmission, match="t00"):
        items(candidates, [mine, other])
    with pytest.raises(PolicyError):
        items(toy(tmp_path, name="secret", hidden=True), [mine])
    with pytest.raises(WithheldReference):
        items(toy(tmp_path, name="held", scored=()), [mine])


def test_a_spreadsheet_runs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(predictions([0]), encoding="utf-8")
    report = items(toy(tmp_path), [path])
    report = replace(report, missed=(replace(report.missed[0], id="=1+1", reference="@x", answer="+y"),))
    row = next(csv.DictReader(io.StringIO(report.to_csv())))
    assert (row["sample_id"], row["reference"], row["answer"]) == ("'=1+1", "'@x", "'+y")


def test_the_command_takes_files_or_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_toy_track(tmp_path)
    Path("a.csv").write_text(predictions([0]), encoding="utf-8")
    Path("b.csv").write_text(predictions([0, 1]), encoding="utf-8")
    assert run(["items", "./toy", "a.csv", "b.csv", "--format", "json"]) == 0
    report = json.loads(capfd.readouterr().out)
    assert (report["schema"], report["systems"], report["n_missed"]) == ("merbench.items/1", ["a.csv", "b.csv"], 1)
    assert run(["items", "./toy", "a.csv", "-o", "out.csv"]) == 0
    assert Path("out.csv").read_text(encoding="utf-8").startswith("question,sample_id,reference,answer,share,")
    Path("c.csv").write_text("sample_id,discrete\n", encoding="utf-8")
    capfd.readouterr()
    assert run(["items", "./toy", "c.csv", "a.csv", "missing.csv"]) == 2
    assert [line for line in capfd.readouterr().err.splitlines() if line[0] != " "] == [
        "c.csv: 1 problem",
        "missing.csv: no such file",
    ]
    assert run(["items", "./toy", "a.csv", "b.csv", "./a.csv"]) == 2
    assert capfd.readouterr().err == "duplicate: a.csv\n"
    Path("d.csv").write_text(predictions([0]), encoding="utf-8")
    assert run(["items", "./toy", "a.csv", "b.csv", "d.csv"]) == 0
    assert "the same answers, which count 2 times: a.csv, d.csv" in capfd.readouterr().out
    assert run(["items", "./toy"]) == 2
    assert "submissions: no entry of toy; name files of submissions" in capfd.readouterr().err
    for team in ("a", "b"):
        assert run(["enter", "./toy", f"{team}.csv", "--team", team, "--run", "one"]) == 0
    Path("submissions/toy/b/one/submission.csv").write_text("sample_id,discrete\n", encoding="utf-8")
    Path("submissions/toy/c/one").mkdir(parents=True)
    Path("submissions/toy/c/one/entry.toml").write_text("not toml", encoding="utf-8")
    capfd.readouterr()
    assert run(["items", "./toy", "--format", "markdown"]) == 0
    shown = capfd.readouterr()
    assert "1 system, 40 samples" in shown.out and "toy/b/one: 1 problem" in shown.err and "toy/c/one" in shown.err
    assert run(["items", "./toy", "a.csv", "-o", "a.csv"]) == 2
    assert run(["items", "./toy", "a.csv", "--preview", "x.png"]) == 2
    write_toy_track(tmp_path, hidden=True)
    capfd.readouterr()
    assert run(["items", "./toy", "a.csv"]) == 4
    assert capfd.readouterr().out == ""


@pytest.mark.slow
def test_a_contact_sheet_shows_the_clips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    candidates = media_candidates(tmp_path, ["one", "two", "three"])
    media = tmp_path / "clips"
    media.mkdir()
    make_clip(media / "one.mkv", Pictures(), Sound())
    make_clip(media / "two.mkv", None, Sound())
    (media / "three.mkv").write_bytes(b"not a clip")
    Path("mine.csv").write_text("sample_id,discrete\none,glad\ntwo,calm\nthree,glad\n", encoding="utf-8")
    assert candidates.ids.to_pylist() == ["one", "three", "two"]
    command = ["items", "./toy-noise", "mine.csv", "--media", "clips", "--preview", "sheet.png", "--format", "json"]
    assert run(command) == 0
    shown = capfd.readouterr()
    assert "sheet.png: 2 clips" in shown.err and "three.mkv" in shown.err and json.loads(shown.out)["n_missed"] == 3
    assert Path("sheet.png").read_bytes().startswith(b"\x89PNG")
    (tmp_path / "none").mkdir()
    assert run([*command[:3], "--media", "none", "--preview", "sheet.png"]) == 2
