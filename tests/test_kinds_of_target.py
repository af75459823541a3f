"""Tracks of every kind of target, from files to scores, with values worked out by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_corpus import made_corpus

from merbench.corpus.candidates import Candidates, open_candidates
from merbench.errors import InvalidSubmission, UndefinedMetric, UsageError
from merbench.scoring import align, compare, sample_values, score
from merbench.submission import read_submission
from merbench.synonyms import GROUPS, Groups, answer_key
from merbench.synonyms.groups import write_groups
from merbench.track import load_track

Make = Callable[..., Candidates]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Return a function that writes a track with its corpus and opens the candidates."""

    def make(toml: str, reference: dict[str, list[Any]], **columns: list[Any]) -> Candidates:
        folder = tmp_path / "mine"
        n = len(next(iter(reference.values())))
        ids = columns.pop("ids", [f"s{i}" for i in range(n)])
        made_corpus(folder / "corpus", name="mine", samples=pa.table({"sample_id": ids, "split": ["test"] * n, **columns}), reference=pa.table({"sample_id": ids, **reference}), replace=True)  # fmt: skip
        head = 'id = "mine"\nversion = "1.0"\ntitle = "Mine"\ncorpus = "./corpus"\nsplits = { test = "test" }\n'
        (folder / "track.toml").write_text(head + toml, encoding="utf-8")
        return open_candidates(load_track(folder))

    return make


def answers(candidates: Candidates, **columns: list[Any]) -> pa.Table:
    return pa.table({"sample_id": candidates.ids, **columns})


def values(candidates: Candidates, table: pa.Table) -> dict[str, float | None]:
    return {item.name: item.value for item in score(candidates, table, intervals=False).scores}


def reported(candidates: Candidates, table: pa.Table) -> list[str]:
    with pytest.raises(InvalidSubmission) as caught:
        read_submission(table, candidates)
    return [str(problem) for problem in caught.value.problems]


FRAMES = """
ranking.by = ["overall"]
metrics = [
  { name = "ccc", target = "valence", weight = 1.0 },
  { name = "accuracy", target = "expression", weight = 1.0 },
]
[targets.valence]
type = "continuous"
range = [-1.0, 1.0]
invalid = -5.0
required = false
[targets.expression]
type = "categorical"
labels = ["neutral", "happy"]
invalid = "-1"
required = false
"""


def test_a_required_reference_that_is_missing_is_reported(make: Make) -> None:
    toml = FRAMES.replace('invalid = "-1"\nrequired = false', 'invalid = "-1"')
    frames = make(toml, {"valence": [0.0, 0.5], "expression": ["happy", "-1"]})
    assert frames.references.index.tolist() == [0]
    both = make(
        toml.replace("invalid = -5.0\nrequired = false", "invalid = -5.0"),
        {"valence": [0.0, 0.5, -5.0], "expression": ["happy", "-1", "happy"]},
    )
    with pytest.raises(
        UsageError, match="2 of 3 samples of split 'test' have a reference for some of valence, expression"
    ):
        _ = both.references


CCC = """
ranking.by = ["ccc(v,form=population)"]
metrics = [{ name = "ccc", target = "v", per = "video" }, { name = "ccc", target = "v" }]
targets.v = { type = "trajectory", group = "video" }
"""


def test_a_cluster_sampled_twice_counts_twice_in_a_mean_over_recordings(make: Make) -> None:
    # Accuracy 1 and 0.25 in two recordings of two and four frames: a mean over recordings knows no sizes.
    toml = """
ranking.by = ["accuracy"]
intervals = { cluster = "video" }
metrics = [{ name = "accuracy", target = "e", per = "video" }]
targets.e = { type = "categorical", labels = ["x", "y"] }
"""
    frames = make(toml, {"e": ["x"] * 6}, video=["a", "a", "b", "b", "b", "b"])
    report = score(frames, answers(frames, e=["x", "x", "x", "y", "y", "y"]), method="percentile")
    item = report.scores[0]
    assert (item.value, item.low, item.high) == (0.625, 0.25, 1.0)
    assert item.n_left_out > 0  # neither of the two recordings is drawn in one of seven resamples


def test_the_area_under_the_line_needs_numbers(make: Make) -> None:
    toml = """
ranking.by = ["accuracy"]
metrics = [{ name = "accuracy", target = "e", per = "rate", aggregate = "auilc" }]
targets.e = { type = "categorical", labels = ["x", "y"] }
"""
    words = make(toml, {"e": ["x"] * 2}, rate=["low", "high"])
    with pytest.raises(UsageError, match="needs a column of numbers; 'rate' contains high, low"):
        score(words, answers(words, e=["x", "x"]))


PREFERENCE = """
ranking.by = ["weighted_f1"]
metrics = [{ name = "weighted_f1", target = "better" }, { name = "accuracy", target = "better" }]
targets.better = { type = "preference"%s }
"""


def test_a_pair_that_is_swapped_or_another_is_reported(make: Make) -> None:
    pairs = make(PREFERENCE % "", {"better": ["a1", "a2", "a1"]}, a1=["m1", "m2", "m3"], a2=["m4", "m5", "m6"])
    same = {"a1": ["m1", "m2", "m3"], "a2": ["m4", "m5", "m6"]}
    assert read_submission(answers(pairs, better=["a1", "a2", "a1"], **same), pairs).warnings == ()
    wrong = {"a1": ["m1", "m5", "m3"], "a2": ["m4", "m2", "m1"]}
    assert reported(pairs, answers(pairs, better=["a1", "a2", "a1"], **wrong)) == [
        "E213  row 2: a1 and a2 are swapped; of this pair a1 is 'm2' and a2 is 'm5'",
        "E213  row 3: a2 is 'm1'; of this pair a1 is 'm3' and a2 is 'm6'",
    ]
    assert reported(pairs, pa.table({"sample_id": ["s0", "s1"], "better": ["a1", "a1"]})) == [
        "E301  1 of 3 candidates missing: s2"
    ]


def test_pairs_are_compared_once_and_only_in_rows_of_candidates(make: Make) -> None:
    toml = (
        PREFERENCE % ""
        + 'targets.again = { type = "preference" }\nsubmission = { extra_ids = "allow", missing_ids = "wrong" }'
    )
    pairs = make(toml, {"better": ["a1", "a2"], "again": ["a1", "a2"]}, a1=["m1", "m2"], a2=["m3", "m4"])
    columns = {"sample_id": ["s0", "x", "s1"], "better": ["a1", "?", "a2"], "again": ["a2", "?", "a1"]}
    table = pa.table({**columns, "a1": ["m1", "?", "m2"], "a2": ["m3", "?", "m9"]})
    assert reported(pairs, table) == ["E213  row 3: a2 is 'm9'; of this pair a1 is 'm2' and a2 is 'm4'"]
    # A missing row counts as wrong, but an empty answer is an error.
    empty = pa.table({**columns, "better": ["a1", "?", ""]})
    assert reported(pairs, empty) == ["E205  better: row 3: empty; one of a1, a2, same is needed"]


VIEWS = """
ranking.by = ["accuracy"]
submission = { duplicate_ids = "mean", views = 2 }
metrics = [{ name = "accuracy", target = "e" }]
targets.e = { type = "categorical", labels = ["x", "y"] }
"""


def test_views_of_a_clip_are_averaged(make: Make) -> None:
    clips = make(VIEWS, {"e": ["x", "y"]})
    # s0: x has (0.9 + 0.4) / 2; s1: x has (0.6 + 0.3) / 2
    table = pa.table({"sample_id": ["s0", "s1", "s1", "s0"], "p_x": [0.9, 0.6, 0.3, 0.4], "p_y": [0.1, 0.4, 0.7, 0.6]})
    assert values(clips, table) == {"accuracy": 1.0}
    read = read_submission(table, clips)
    assert read.probabilities["e"] == pytest.approx(np.array([[0.65, 0.35], [0.45, 0.55]]))
    assert read.digest == read_submission(table.take(pa.array([3, 2, 1, 0])), clips).digest
    assert reported(clips, table.slice(0, 3)) == ["E306  1 of 2 ids do not have 2 rows, one per view: s0 (1)"]
    assert reported(clips, pa.table({"sample_id": ["s0", "s0", "s1", "s1"], "e": ["x"] * 4})) == [
        "E202  e: several rows of an id are averaged, which needs the probabilities of its labels: columns p_<label>"
    ]


def test_a_mean_over_views_does_not_depend_on_the_order_of_rows(make: Make) -> None:
    toml = """
ranking.by = ["mae"]
submission = { duplicate_ids = "mean", views = 3 }
metrics = [{ name = "mae", target = "v" }]
targets.v = { type = "continuous" }
"""
    clips = make(toml, {"v": [0.2, 0.5]})
    # Added from left to right, 0.1 + 0.2 + 0.3 is another number than 0.3 + 0.2 + 0.1.
    table = pa.table({"sample_id": ["s0", "s1"] * 3, "v": [0.1, 0.5, 0.2, 0.5, 0.3, 0.5]})
    means = read_submission(table, clips).values["v"]
    assert means == pytest.approx(np.array([0.2, 0.5]))
    assert means.tolist() == read_submission(table.take(pa.array(range(5, -1, -1))), clips).values["v"].tolist()


def test_a_file_of_one_view_needs_no_probabilities(make: Make) -> None:
    clips = make(VIEWS.replace(", views = 2", ""), {"e": ["x", "y"]})
    assert values(clips, pa.table({"sample_id": ["s1", "s0"], "e": ["y", "y"]})) == {"accuracy": 0.5}


def test_missing_frames_take_the_answer_before_them(make: Make) -> None:
    toml = """
ranking.by = ["mae"]
submission.missing_ids = "previous"
metrics = [{ name = "mae", target = "v" }]
targets.v = { type = "continuous" }
"""
    ids = ["a/01", "a/02", "a/03", "b/01", "b/02"]
    frames = make(toml, {"v": [0.0, 0.0, 0.0, 0.0, 0.0]}, ids=ids)
    table = pa.table({"sample_id": ["b/01", "a/01", "a/03"], "v": [3.0, 1.0, 2.0]})
    read = read_submission(table, frames)
    assert read.values["v"].tolist() == [1.0, 1.0, 2.0, 3.0, 3.0]
    assert [str(warning) for warning in read.warnings] == [
        "W303  2 of 5 candidates without a row take the answer of the one before them"
    ]
    # The first frame of b has none before it: that of another recording is not taken.
    assert reported(frames, pa.table({"sample_id": ["a/01"], "v": [1.0]})) == [
        "E301  2 of 5 candidates missing: b/01, b/02"
    ]


def test_missing_and_strange_answers_may_be_dropped(make: Make) -> None:
    toml = """
ranking.by = ["accuracy"]
submission.missing_ids = "dropped"
metrics = [{ name = "accuracy", target = "e" }]
targets.e = { type = "categorical", labels = ["x", "y"], out_of_vocabulary = "dropped" }
"""
    clips = make(toml, {"e": ["x", "x", "x", "x", "x"]})
    table = pa.table({"sample_id": ["s0", "s1", "s2", "s3"], "e": ["x", "y", "bored", ""]})
    report = score(clips, table, intervals=False)
    assert report["accuracy"].value == 0.5
    assert (report.counts["scored"], report.counts["dropped"]) == (2, 3)
    assert [str(warning) for warning in report.warnings] == [
        "W302  1 of 5 candidates without a row, dropped: s4",
        "W202  e: 1 of 4 answers are not one of x, y and are dropped: 'bored' (1)",
        "W302  e: 1 of 4 answers are empty, dropped",
    ]
    other = pa.table({"sample_id": ["s0", "s1", "s2", "s3", "s4"], "e": ["x", "x", "x", "y", "y"]})
    difference = compare(clips, {"a": table, "b": other}, n_permutations=99).differences[0]
    assert (difference.value_a, difference.value_b) == (0.5, 0.6)


SETS = """
ranking.by = ["set_recall"]
metrics = [{ name = "set_recall", target = "openset" }]
targets.openset = { type = "label_set" }
submission.max_bytes = 100_000
"""


def test_every_format_gives_the_same_sets(make: Make, tmp_path: Path) -> None:
    clips = make(SETS, {"openset": [["happy", "glad"], ["sad"], ["angry"]]})
    sets = [["Happy ", "惊讶"], ["sad"], ["don't care"]]
    table = answers(clips, openset=sets)
    pq.write_table(table, tmp_path / "a.parquet")
    lines = [json.dumps({"sample_id": f"s{i}", "openset": labels}, ensure_ascii=False) for i, labels in enumerate(sets)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    cells = [str(labels) for labels in sets]
    answers(clips, openset=cells).to_pandas().to_csv(tmp_path / "a.csv", index=False)
    np.savez(tmp_path / "a.npz", filenames=np.array(["s0", "s1", "s2"]), fileitems=np.array(cells))
    read = [read_submission(source, clips) for source in (table, *sorted(tmp_path.glob("a.*")))]
    assert [list(item.values["openset"]) for item in read] == [[("happy", "惊讶"), ("sad",), ("don", "t care")]] * 5
    assert len({item.digest for item in read}) == 1
    assert values(clips, table) == {"set_recall": 0.5}  # (1/2 + 1 + 0) / 3


def test_a_parquet_file_of_few_words_that_unpack_to_many_bytes_is_refused(make: Make, tmp_path: Path) -> None:
    clips = make(SETS, {"openset": [["happy"]] * 3})
    bomb = pa.table({"sample_id": ["s0", "s1", "s2"], "openset": [["x" * 10_000] * 100] * 3})
    pq.write_table(bomb, tmp_path / "bomb.parquet")
    with pytest.raises(InvalidSubmission, match="E104  asks for 3,000,006 bytes of memory; 800,000 are allowed"):
        read_submission(tmp_path / "bomb.parquet", clips)


SCORES = """
ranking.by = ["equal_error_rate"]
metrics = [{ name = "equal_error_rate", target = "score" }, { name = "auroc", target = "score" }]
targets.score = { type = "scores", positive = "genuine", negative = "fake" }
"""


def test_scores_are_ranked_against_two_classes(make: Make) -> None:
    clips = make(SCORES, {"score": ["genuine", "fake", "genuine", "fake"]})
    # One of two fakes stands above one of two genuine ones: three of four pairs are in order.
    assert values(clips, answers(clips, score=[0.9, 0.1, 0.4, 0.6])) == {"equal_error_rate": 0.5, "auroc": 0.75}
    with pytest.raises(UndefinedMetric, match="no reference is 'fake'"):
        single = make(SCORES, {"score": ["genuine", "genuine"]})
        score(single, answers(single, score=[0.9, 0.1]))
    assert reported(clips, answers(clips, score=[0.9, math.inf, 0.4, math.nan])) == [
        "E204  score: row 2: 'inf' is not a finite number",
        "E204  score: row 4: 'nan' is not a finite number",
    ]


@pytest.mark.parametrize(("few", "many"), [("genuine", "fake"), ("fake", "genuine")])
def test_a_warning_where_a_detector_has_few_samples_of_a_class(few: str, many: str, make: Make) -> None:
    def warned(n: int) -> list[str]:
        clips = make(SCORES, {"score": [few] * n + [many] * 20})
        return [str(each) for each in score(clips, answers(clips, score=[i % 7 for i in range(n + 20)])).warnings]

    assert warned(10) == []
    message = f"W702  score: fewer than 10 references of {few} (9): intervals of areas under curves and error rates"
    assert warned(9) == [f"{message} are rough"]


UNITS = """
ranking.by = ["multilabel_f1"]
metrics = [{ name = "multilabel_f1", target = "units" }]
targets.units = { type = "multilabel", labels = ["AU1", "AU2"], invalid = -1 }
"""


def test_multilabel_targets_have_a_column_per_label(make: Make) -> None:
    frames = make(UNITS, {"AU1": [1, 0, -1], "AU2": [1, 1, 0]})
    # AU1 of two frames: F1 = 1. AU2: one hit, one miss, one false alarm: F1 = 2 / 4.
    table = answers(frames, AU1=[1, 0, 1], AU2=[1, 0, 1])
    assert values(frames, table) == {"multilabel_f1": pytest.approx(0.75)}
    rows = score(frames, table, intervals=False).per_class
    assert [(row.label, row.n, row.precision, row.recall, row.f1) for row in rows] == [
        ("AU1", 1, 1.0, 1.0, 1.0),
        ("AU2", 2, 0.5, 0.5, 0.5),
    ]
    intervals = score(frames, table, cluster="none", method="percentile").per_class
    # In a draw AU1 is right wherever it is known, or is not drawn: a zero division is 0.
    assert [(row.recall_low, row.recall_high) for row in intervals] == [(0.0, 1.0), (0.0, 1.0)]
    assert reported(frames, answers(frames, AU1=[1, 2, 0])) == [
        "E202  AU2: the column is missing; columns: 'sample_id', 'AU1'; did you mean 'AU1'?",
    ]
    assert reported(frames, answers(frames, AU1=[1, 2, 0], AU2=[0, 1, 0])) == ["E204  AU1: row 2: '2' is not 0 or 1"]
    loose = make(f'{UNITS}submission.extra_ids = "allow"', {"AU1": [1, 0, -1], "AU2": [1, 1, 0]})
    more = pa.concat_tables([table, pa.table({"sample_id": ["x"], "AU1": [2], "AU2": [2]})])
    assert values(loose, more) == {"multilabel_f1": pytest.approx(0.75)}


GROUPED = """
ranking.by = ["set_average"]
metrics = [{ name = "set_average", target = "openset" }, { name = "set_accuracy", target = "openset" }]
targets.openset = { type = "label_set", groups = "mine" }
"""


def test_synonyms_that_a_model_grouped_count_as_one_word_and_runs_are_averaged(make: Make) -> None:
    clips = make(GROUPED, {"openset": [["happy", "calm"], ["sad"]]})
    first, second = answer_key(["happy", "calm", "glad"]), answer_key(["sad", "angry"])
    runs = ({first: (("happy", "glad"),), second: ()}, {first: (), second: (("sad", "angry"),)})
    groups = Groups("mine", "made in a test", "a model", "0" * 64, "greedy", "words", runs, (0, 0))
    write_groups(GROUPS.home / "mine", groups)
    report = score(clips, answers(clips, openset=[["glad"], ["angry"]]))
    # Run 1: accuracy (1 + 0) / 2, recall (1/2 + 0) / 2. Run 2: accuracy (0 + 1) / 2, recall (0 + 1) / 2.
    assert report["set_accuracy"].value == 0.5
    assert report["set_average"].value == pytest.approx(((0.5 + 0.25) / 2 + (0.5 + 0.5) / 2) / 2)
    assert "|groups:mine:a model#00000000,greedy,runs:2|" in report.signature
    table = answers(clips, openset=[["glad"], ["angry"]])
    for row in compare(clips, {"a": table, "b": table}, n_permutations=99, n_resamples=100).differences:
        assert (row.difference, row.p) == (0, 1)  # equal answers stay equal, whatever is exchanged
    with pytest.raises(UsageError, match="no answer is stored for 1 of 2 samples: s1"):
        score(clips, answers(clips, openset=[["glad"], ["bored"]]))


def test_groups_that_were_made_for_other_predictions_are_reported(make: Make) -> None:
    clips = make(GROUPED, {"openset": [["happy"], ["sad"]]})
    runs = ({"s0": (("happy", "glad"),), "s1": (("sad", "blue"),)},)
    groups = Groups("mine", "made in a test", "a model", "unstated", "unstated", "names", runs, (0,))
    write_groups(GROUPS.home / "mine", groups)
    own = score(clips, answers(clips, openset=[["glad"], ["blue"]]), intervals=False)
    assert (own["set_average"].value, own.warnings) == (1.0, ())
    other = score(clips, answers(clips, openset=[["glad"], ["gloomy", "down"]]), intervals=False)
    assert [str(warning) for warning in other.warnings] == [
        "W704  openset: 2 words of samples in none of the stored groups: each is a group of its own; "
        "the groups may have been made for another submission"
    ]


RANKED = """
ranking.by = ["first_accuracy"]
metrics = [{ name = "first_accuracy", target = "face" }]
targets.face = { type = "ranked", labels = ["happy", "sad"], out_of_vocabulary = "wrong" }
"""


def test_first_answers_have_a_confusion_of_their_own(make: Make) -> None:
    faces = make(RANKED, {"face": ["happy", "happy", "sad"]})
    report = score(faces, answers(faces, face=["happy, sad", "bored, happy", "happy"]), intervals=False)
    assert report["first_accuracy"].value == pytest.approx(1 / 3)
    assert report.counts["out_of_vocabulary"] == 1
    assert report.confusions[0].counts == ((1, 0, 1), (1, 0, 0))
    assert [row.recall for row in report.per_class] == [0.5, 0.0]


# By the text of a track: references, answers, and by key how right each answer is.
RIGHT: dict[str, tuple[dict[str, list[Any]], dict[str, list[Any]], dict[str, list[float] | None]]] = {
    FRAMES: (
        {"valence": [0.5, -5.0, 0.0], "expression": ["happy", "neutral", "-1"]},
        {"valence": [0.0, 0.5, 0.5], "expression": ["happy", "happy", "neutral"]},
        {
            "ccc(valence,form=population)": [-0.25, math.nan, -0.25],
            "accuracy(expression)": [1, 0, math.nan],
            "overall": [1 - 0.25, math.nan, math.nan],
        },
    ),
    SETS: (
        {"openset": [["happy", "glad"], ["sad"], ["angry"]]},
        {"openset": [["happy", "bored"], ["sad"], ["happy"]]},
        {"set_recall(openset)": [2 * 1 / (2 + 2), 1, 0]},
    ),
    SCORES: (
        {"score": ["genuine", "fake"]},
        {"score": [0.9, 0.1]},
        {"auroc(score)": None},
    ),
    UNITS: (
        {"AU1": [1, 1, -1], "AU2": [1, 1, 0]},
        {"AU1": [1, 1, 1], "AU2": [1, 0, 1]},
        {"multilabel_f1(units,labels=declared)": [1, 2 * 1 / (2 * 1 + 1), 0]},
    ),
    RANKED: (
        {"face": ["happy", "happy", "sad"]},
        {"face": ["happy, sad", "bored, happy", "happy"]},
        {"first_accuracy(face)": [1, 0, 0]},
    ),
}


@pytest.mark.parametrize("toml", RIGHT)
def test_an_answer_is_right_or_wrong_by_itself_unless_answers_only_count_together(make: Make, toml: str) -> None:
    reference, prediction, expected = RIGHT[toml]
    candidates = make(toml, reference)
    aligned = align(read_submission(answers(candidates, **prediction), candidates))
    for key, right in expected.items():
        own = sample_values(aligned, key)
        assert (own is None) if right is None else own == pytest.approx(right, nan_ok=True, abs=1e-15), key


ROUNDS = """
ranking.by = ["%s"]
metrics = [{ name = "%s", target = "score", per = "round"%s }]
targets.score = { type = "scores", positive = "genuine", negative = "fake" }
"""


@pytest.mark.parametrize("name", ["equal_error_rate", "deception_rate"])
@pytest.mark.parametrize("how", ["", ", shares = { 1 = 0.4, 2 = 0.6 }", ', aggregate = "auilc"'])
def test_a_metric_within_a_column_is_broken_down_by_that_column(make: Make, name: str, how: str) -> None:
    clips = make(ROUNDS % (name, name, how), {"score": ["genuine", "fake"] * 4}, round=[1, 1, 1, 1, 2, 2, 2, 2])
    table = answers(clips, score=[0.9, 0.1, 0.4, 0.6, 0.8, 0.3, 0.7, 0.2])
    report = score(clips, table, by=["round"])
    complete, parts = report.scores[0].value, [group.scores[0].value for group in report.groups]
    assert complete is not None
    if how:  # half of the rounds have no sum of shares, and no line
        assert parts == [None, None]
    else:
        assert sum(part or 0.0 for part in parts) / 2 == pytest.approx(complete)


def test_a_column_that_a_metric_is_taken_within_must_be_known(make: Make) -> None:
    folds = make(CCC, {"v": [0.0, 1.0, 4.0]}, video=["a", "a", None])
    message = r"column 'video' has no value for 1 of 3 scored samples, and ccc\(per=video\) is taken within its values"
    with pytest.raises(UsageError, match=message):
        score(folds, answers(folds, v=[0.5, 0.5, 4.5]))


def test_too_many_resamples_without_a_value_give_no_interval(make: Make) -> None:
    clips = make(
        ROUNDS % ("auroc", "auroc", ", shares = { 1 = 0.4, 2 = 0.6 }"),
        {"score": ["genuine", "fake"] * 4},
        round=[1] * 4 + [2] * 4,
    )
    table = answers(clips, score=[0.9, 0.1, 0.4, 0.6, 0.8, 0.3, 0.7, 0.2])
    report = score(clips, table, cluster="round")  # both rounds are drawn in 4 of 10 resamples
    assert (report.scores[0].low, report.scores[0].high) == (None, None)
    assert any(str(warning).endswith("; too many for an interval") for warning in report.warnings)
