from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import f1_score, mean_squared_error
from sklearn.model_selection import StratifiedGroupKFold

from merbench.corpus import Feature, add_features
from merbench.corpus.candidates import open_candidates
from merbench.errors import UnknownName, UsageError
from merbench.track import CorruptionSpec, Track, load_track
from merbench.training import (
    Predictions,
    RunSettings,
    Setup,
    feature_set,
    load_baseline,
    random_folds,
    run_baseline,
    training_set,
)
from merbench.training.folds import grouped_folds, kept_together, strata
from merbench.training.selection import scores
from tests.training.conftest import DECLARATION, N_TEST, N_TRAIN, SmallTrack


def test_features_are_aligned_with_ids_and_references(small_track: SmallTrack) -> None:
    candidates = open_candidates(small_track(), "train")
    train = training_set(candidates, ["quiet", "loud"])
    assert list(train.features) == ["quiet", "loud"]
    assert train.samples.ids.to_pylist() == [f"s{i:03}" for i in range(N_TRAIN)]
    assert (train.targets["discrete"].dtype, train.targets["valence"].dtype) == (np.int32, np.float64)
    np.testing.assert_array_equal(train.features["quiet"], candidates.corpus.feature("quiet").values[:N_TRAIN])
    some = train.select(np.array([5, 2]))
    assert some.samples.ids.to_pylist() == ["s005", "s002"]
    np.testing.assert_array_equal(some.targets["valence"], train.targets["valence"][[5, 2]])
    np.testing.assert_array_equal(some.features["loud"], train.features["loud"][[5, 2]])


def test_frames_are_averaged_and_every_sample_needs_values(small_track: SmallTrack) -> None:
    candidates = open_candidates(small_track(), "test")
    ids = candidates.ids.to_pylist()
    frames = [np.full((i, 2), i, dtype=np.float32) + np.arange(i)[:, None] for i in range(len(ids))]
    frames_and_part = {
        "frames": Feature.from_frames(ids, frames),
        "partial": Feature.from_vectors(ids[2:], np.ones((len(ids) - 2, 1))),
    }
    add_features(candidates.corpus, frames_and_part)
    candidates = open_candidates(candidates.track)
    vectors = feature_set(candidates, ["frames"]).features["frames"]
    # frames of sample i: i, i + 1, … 2i - 1, whose mean is (3i - 1) / 2; sample 0 has none
    wanted = [0.0, *((3 * i - 1) / 2 for i in range(1, len(ids)))]
    np.testing.assert_array_equal(vectors, np.stack([wanted, wanted], 1))
    message = "corpus 'small': feature 'partial' has no values for 2 of 30 samples of split 'test': s060, s061;"
    with pytest.raises(UsageError, match=f"^{message} learn from others: .*--feature frames"):
        feature_set(candidates, ["partial"])
    with pytest.raises(UnknownName, match="no feature of corpus small named 'lout'; did you mean 'loud'"):
        feature_set(candidates, ["lout"])


def test_answers_are_the_most_probable_label_and_the_value_in_range(small_track: SmallTrack) -> None:
    # a tie goes to the first label; valence is in [-2, 2]; parts are put into the order of rows
    parts = [
        (np.array([1]), Predictions({"discrete": np.array([[0.1, 0.2, 0.7]]), "valence": np.array([1.25])})),
        (np.array([0]), Predictions({"discrete": np.array([[0.2, 0.4, 0.4]]), "valence": np.array([-7.0])})),
    ]
    answers = Predictions.gathered(parts).answers(small_track())
    assert answers["discrete"].tolist() == [1, 2]
    assert answers["valence"].tolist() == [-2.0, 1.25]


def test_a_sample_without_a_reference_of_every_target_is_left_out(small_track: SmallTrack) -> None:
    candidates = open_candidates(small_track(), "train")
    references = candidates.references
    known = np.ones(len(references), dtype=np.bool_)
    known[[1, 4]] = False
    candidates.__dict__["references"] = replace(references, known={"valence": known})
    train = training_set(candidates, ["loud"])
    assert len(train) == len(references) - 2 and "s001" not in train.samples.ids.to_pylist()
    np.testing.assert_array_equal(train.targets["discrete"], references.values["discrete"][known])
    candidates.__dict__["references"] = replace(references, known={"valence": ~np.ones(len(references), np.bool_)})
    with pytest.raises(UsageError, match=r"^no sample of split 'train' has a reference of every target$"):
        training_set(candidates, ["loud"])


def test_a_baseline_may_learn_from_samples_that_lack_references_of_some_targets(small_track: SmallTrack) -> None:
    candidates = open_candidates(small_track(), "train")
    references = candidates.references
    known = {name: np.ones(len(references), dtype=np.bool_) for name in ("discrete", "valence")}
    known["discrete"][[0, 4]] = known["valence"][[1, 4, 7]] = False
    candidates.__dict__["references"] = replace(references, known=known)
    train = training_set(candidates, ["loud"], partial=True)
    assert len(train) == len(references)
    discrete, valence = train.targets["discrete"], train.targets["valence"]
    assert np.flatnonzero(discrete == -1).tolist() == [0, 4]
    assert np.flatnonzero(np.isnan(valence)).tolist() == [1, 4, 7]
    np.testing.assert_array_equal(discrete[known["discrete"]], references.values["discrete"][known["discrete"]])
    assert not np.isnan(references.values["valence"]).any()  # the references themselves stay as they are
    # each target is scored on the samples that have it
    answers = {"discrete": np.zeros(len(train), dtype=np.int32), "valence": np.full(len(train), 0.5)}
    values = scores(train.track, train.targets, answers)
    keys = {spec.name: spec.key for spec in train.track.metrics}
    wanted = mean_squared_error(valence[known["valence"]], answers["valence"][known["valence"]])
    assert values[keys["mse"]] == pytest.approx(wanted, abs=1e-12)
    f1 = f1_score(discrete[known["discrete"]], answers["discrete"][known["discrete"]], average="weighted")
    assert values[keys["weighted_f1"]] == pytest.approx(f1, abs=1e-12)
    only_values = replace(train, targets={"valence": valence}, clusters={"speaker": np.arange(len(train)) % 6})
    assert set(only_values.folds(3, seed=0).tolist()) == {0, 1, 2}


def test_a_network_learns_from_samples_that_lack_references_of_some_targets(small_track: SmallTrack) -> None:
    candidates = open_candidates(small_track(), "train")
    references = candidates.references
    known = np.arange(len(references)) % 3 > 0
    candidates.__dict__["references"] = replace(references, known={"valence": known})
    train = training_set(candidates, ["loud"], partial=True)
    options = load_baseline("attention").options("small", {"epochs": 30, "hidden": [16], "learning_rate": 0.01})
    baseline = load_baseline("attention").build(options, Setup(n_folds=3))
    baseline.fit(train)
    answers = baseline.predict(feature_set(open_candidates(candidates.track), ["loud"])).answers(train.track)
    # labels of samples without a value were learned from: twice as many are right as by chance
    references = open_candidates(candidates.track).references
    assert np.mean(answers["discrete"] == references.values["discrete"]) > 2 / 3
    assert np.corrcoef(answers["valence"], references.values["valence"])[0, 1] > 0.7


@pytest.mark.parametrize(("n", "n_folds"), [(3373, 5), (7, 7)])
def test_random_folds_differ_by_one_sample_at_most(n: int, n_folds: int) -> None:
    folds = random_folds(n, n_folds, seed=0)
    counts = np.bincount(folds, minlength=n_folds)
    assert counts.sum() == n
    assert counts.max() - counts.min() <= 1
    np.testing.assert_array_equal(folds, random_folds(n, n_folds, seed=0))
    assert (folds != random_folds(n, n_folds, seed=1)).any()
    # the same on every machine: NumPy guarantees the raw bits of PCG64; recorded once
    assert random_folds(12, 3, seed=0).tolist() == [1, 2, 0, 1, 2, 0, 1, 1, 2, 0, 2, 0]
    with pytest.raises(UsageError, match=f"^{n + 1} folds of {n:,} training samples; needed: at least 2 folds"):
        random_folds(n, n + 1, seed=0)


def test_grouped_folds_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    for n_folds, n_clusters in ((5, 23), (3, 3), (4, 9)):
        clusters = np.sort(rng.integers(0, n_clusters, 400))
        strata = rng.integers(0, 4, 400) * (clusters % 2)  # clusters differ in their classes
        wanted = np.empty(400, dtype=np.int64)
        splitter = StratifiedGroupKFold(n_folds)
        for fold, (_, rows) in enumerate(splitter.split(np.zeros(400), strata, clusters)):
            wanted[rows] = fold
        folds = grouped_folds(clusters, strata, n_folds)
        # Which number a fold has is decided by the last bits there.
        assert {tuple(np.flatnonzero(folds == fold)) for fold in range(n_folds)} == {
            tuple(np.flatnonzero(wanted == fold)) for fold in range(n_folds)
        }


def test_samples_without_a_reference_are_a_stratum_of_their_own() -> None:
    labels, numbers = np.array([2, -1, 0, 0], dtype=np.int32), np.array([5.0, np.nan, 1.0, 3.0, np.nan, 2.0, 4.0])
    assert strata([numbers[:4], labels], 4).tolist() == [2, -1, 0, 0]
    # fifths of 1, 2, 3, 4, 5 end at 1.8, 2.6, 3.4 and 4.2
    assert strata([numbers], 7).tolist() == [4, -1, 0, 2, -1, 1, 3]
    assert strata([np.full(2, np.nan)], 2).tolist() == [-1, -1]


def test_of_equally_even_folds_a_cluster_goes_into_the_smallest() -> None:
    # The two clusters of 50 come first and go into folds 0 and 1. The cluster of 5 of another stratum is as even in each
    # fold, and fold 2 is empty; the next one is as even in folds 0 and 1, which are equal.
    clusters = np.repeat([0, 1, 2, 3], [50, 50, 5, 5])
    folds = grouped_folds(clusters, clusters // 2, 3)
    assert [folds[clusters == cluster][0] for cluster in range(4)] == [0, 1, 2, 0]


@pytest.mark.parametrize("n_folds", [1, 4])
def test_there_is_a_cluster_in_every_fold(n_folds: int) -> None:
    with pytest.raises(UsageError, match=f"^{n_folds} folds of 3 clusters; needed: at least 2 folds and a cluster"):
        grouped_folds(np.array([0, 0, 1, 2]), np.zeros(4, dtype=np.int64), n_folds)


def speakers(n: int, n_speakers: int) -> list[str | None]:
    return [f"p{i % n_speakers}" for i in range(n)]


N = N_TRAIN + N_TEST
BY_SESSION = DECLARATION + 'intervals.cluster = "session"\n'


@pytest.mark.parametrize(
    ("columns", "declaration", "by", "n_folds"),
    [
        ({}, DECLARATION, "", 5),
        ({"speaker": speakers(N, 7)}, DECLARATION, "speaker", 5),
        ({"speaker": speakers(N, 7), "session": speakers(N, 6)}, BY_SESSION, "session", 5),
        ({"speaker": speakers(N, 7)}, BY_SESSION, "speaker", 5),
        ({"speaker": speakers(N, 1), "dialogue": speakers(N, 9)}, DECLARATION, "dialogue", 5),
        ({"speaker": speakers(N, 1)}, DECLARATION, "", 5),
        ({"speaker": [None] * N}, DECLARATION, "", 5),
        ({"speaker": speakers(N, 3)}, DECLARATION, "speaker", 3),
        ({"speaker": [*speakers(40, 3), *[None] * (N - 40)]}, DECLARATION, "speaker", 5),
    ],
)  # fmt: skip
def test_folds_keep_clusters_together(
    small_track: SmallTrack, columns: dict[str, list[str | None]], declaration: str, by: str, n_folds: int
) -> None:
    train = training_set(open_candidates(small_track(columns=columns, declaration=declaration), "train"), [])
    assert (train.folds_by, train.n_folds(5)) == (by, n_folds)
    folds = train.folds(n_folds, seed=1)
    assert set(folds.tolist()) == set(range(n_folds))
    if not by:
        np.testing.assert_array_equal(folds, random_folds(len(train), 5, seed=1))
        return
    for value in set(columns[by][:N_TRAIN]) - {None}:
        assert len(set(folds[np.array(columns[by][:N_TRAIN]) == value].tolist())) == 1
    some = train.select(np.arange(0, N_TRAIN, 2))
    clusters, halves = some.clusters[by], some.folds(2, seed=0)
    assert [len(set(halves[clusters == cluster].tolist())) for cluster in set(clusters.tolist())] == [
        1
    ] * some.n_clusters


def test_groups_of_two_columns_that_share_a_value_are_one_unless_it_is_too_large() -> None:
    # two speakers in each of four sessions, whose dialogues are of both; dialogue 9 is of a session of its own
    speaker = np.array([0, 1, 0, 1, 2, 3, 2, 3, 4, 5, 4, 5, 6, 7])
    dialogue = np.array([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 4, 4, 9, 9])
    name, group = kept_together({"speaker": speaker, "dialogue": dialogue})
    assert name == "speaker and dialogue"
    assert group.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3]
    assert kept_together({"speaker": speaker, "dialogue": dialogue}, joined=False)[0] == "speaker"
    # a speaker of every dialogue would make one group of all
    everywhere = np.where(np.arange(14) % 2, 0, 1 + speaker)
    assert kept_together({"dialogue": dialogue, "speaker": everywhere})[0] == "dialogue"
    # dialogues of one speaker each add nothing; a column with one value does not count
    name, group = kept_together({"session": np.zeros(14, np.int64), "speaker": speaker // 2, "dialogue": dialogue})
    assert (name, group.tolist()) == ("speaker", (speaker // 2).tolist())
    assert kept_together({"session": np.zeros(14, np.int64)})[0] == ""


def test_of_speakers_in_all_dialogues_folds_keep_one_kind_and_a_warning_counts_the_other(
    small_track: SmallTrack, tmp_path: Path
) -> None:
    # 15 dialogues of four samples in training, and 6 speakers who are in many of them
    columns: dict[str, list[str | None]] = {
        "speaker": speakers(N, 6),
        "dialogue": [f"d{i // 4}" for i in range(N)],
        "position": [str(i % 4) for i in range(N)],
    }
    candidates = open_candidates(small_track(columns=columns), "train")
    numbers = pa.array([i % 4 for i in range(N_TRAIN)])
    place = candidates.samples.column_names.index("position")
    read_whole = replace(candidates, samples=candidates.samples.set_column(place, "position", numbers))
    for train, by, other in (
        (training_set(candidates, []), "speaker", {"dialogue": [15, 15]}),
        (training_set(read_whole, [], dialogues=True), "dialogue", {"speaker": [6, 6]}),
    ):
        described = train.described_folds(3)
        assert (described["by"], described["divided"]) == (by, other)
        codes = train.clusters[by]
        for division in train.divisions(3, seed=0):
            assert not set(codes[division.learn].tolist()) & set(codes[division.validate].tolist())
    run = run_baseline(candidates.track, "majority", RunSettings(intervals=False), output=tmp_path / "run")
    assert (
        "folds divide 15 of 15 values of 'dialogue': cross-validated values are better than those of others"
        in run.warnings
    )
    # a part with one speaker is divided by dialogue
    alone = training_set(candidates, []).select(np.arange(0, N_TRAIN, 6))
    assert (alone.folds_by, alone.n_clusters) == ("dialogue", 10)


def noisy(*steps: dict[str, Any]) -> Track:
    """Return MER-MULTI on the sample with steps that corrupt labels of its training split."""
    specs = tuple(CorruptionSpec.model_validate({"split": "train", **step}) for step in steps)
    return load_track("mer-multi").model_copy(update={"corruptions": specs})


def labels(track: Track, split: str = "train") -> Any:
    return training_set(open_candidates(track, split), []).targets["discrete"]


def test_flips_reach_only_the_training_split_and_are_recorded(sample_home: Path, tmp_path: Path) -> None:
    track = noisy({"name": "symmetric_flips", "rate": 0.3})
    clean, corrupted = labels(load_track("mer-multi")), labels(track)
    # 1,500 labels, each another one with probability 0.3: deviation 1.2 %
    assert np.mean(clean != corrupted) == pytest.approx(0.3, abs=0.05)
    assert np.array_equal(labels(track, "dev"), labels(load_track("mer-multi"), "dev"))
    assert np.array_equal(labels(track), corrupted)
    run = run_baseline(track, "majority", RunSettings(intervals=False), output=tmp_path / "run")
    record = json.loads((run.folder / "run.json").read_text(encoding="utf-8"))
    assert record["label_corruption"] == {
        "symmetric_flips.rate": 0.3,
        "symmetric_flips.realised_rate": pytest.approx(np.mean(clean != corrupted), abs=1e-6),
    }


def test_a_long_tail_leaves_samples_out(sample_home: Path) -> None:
    track = noisy({"name": "long_tail", "gamma": 10})
    every = training_set(open_candidates(load_track("mer-multi"), "train"), ["audio"])
    kept = training_set(open_candidates(track, "train"), ["audio"])
    counts = np.sort(np.bincount(kept.targets["discrete"], minlength=6))[::-1]
    most = np.bincount(every.targets["discrete"]).max()
    # the class at place j of six keeps at most n_max 10^(-j / 5).
    assert all(count <= most * 10 ** (-place / 5) + 1 for place, count in enumerate(counts))
    rows = [every.samples.ids.to_pylist().index(name) for name in kept.samples.ids.to_pylist()]
    assert len(rows) == len(kept) < len(every)
    assert np.array_equal(kept.features["audio"], every.features["audio"][rows])
    assert np.array_equal(kept.targets["valence"], every.targets["valence"][rows])


def test_labels_that_cannot_be_corrupted_so_are_reported(sample_home: Path) -> None:
    message = r"^mer-multi: partial_labels gives each training sample a set of labels, and a baseline learns from one"
    with pytest.raises(UsageError, match=message):
        labels(noisy({"name": "partial_labels", "q": 0.1}))
    track = noisy({"name": "symmetric_flips", "rate": 0.3})
    track = track.model_copy(update={"targets": {"valence": track.targets["valence"]}})
    message = r"^mer-multi: symmetric_flips corrupts the labels of exactly one target of type categorical; the track has none$"
    with pytest.raises(UsageError, match=message):
        training_set(open_candidates(track, "train"), [])
