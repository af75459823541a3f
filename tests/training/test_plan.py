"""What is learned from and what is answered: left-out groups, another corpus, a development set, and why it cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from made_corpus import made_corpus

from merbench.corpus import ExtractionRecord, Feature
from merbench.errors import DeclarationError, UsageError
from merbench.track import Track, load_track
from merbench.training import RunSettings, load_baseline, run_baseline
from merbench.training.plan import make_plan, why_not, with_learning
from tests.training.conftest import DECLARATION, N_TEST, N_TRAIN, SmallTrack

FIXED = {"C": 1.0, "alpha": 1.0, "scale": "each"}


def parted(small_track: SmallTrack, name: str = "parted", *, changed: str = "", **arguments: Any) -> Track:
    """Return the track without a training split, whose 90 samples are in one split and in three folds."""
    text = DECLARATION.replace('{ train = "train", test = "test" }', '{ test = ["train", "test"] }')
    declaration = f'{text}training = {{ leave_out = "fold"{changed} }}\n'
    folds: list[str | None] = [f"{i % 3 + 9}" for i in range(N_TRAIN + N_TEST)]
    return small_track(name, columns={"fold": folds}, declaration=declaration, **arguments)


def test_each_group_is_answered_by_a_model_of_the_others_in_one_submission(
    small_track: SmallTrack, tmp_path: Path
) -> None:
    track = parted(small_track)
    plan = make_plan(track, load_baseline("logistic"))
    assert [part.left_out for part in plan.parts] == ["9", "10", "11"]  # in the order of numbers
    for n, part in enumerate(plan.parts):
        assert part.answered.tolist() == list(range(n, 90, 3))
        assert sorted([*part.learned.tolist(), *part.answered.tolist()]) == list(range(90))
    run = run_baseline(track, "logistic", RunSettings(options=FIXED, intervals=False), output=tmp_path / "run")
    assert run.report is not None
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert [(part["left_out"], part["n_train"], part["n_test"]) for part in record["parts"]] == [
        ("9", 60, 30), ("10", 60, 30), ("11", 60, 30),
    ]  # fmt: skip
    assert record["training"] == {"digest": track.training.digest, "leave_out": "fold"}
    assert sorted(record["runs"][0]["models"]) == [f"models/seed-0-{n}.safetensors" for n in range(3)]
    alone = run_baseline(
        with_learning(track, {"leave_out": None, "source": ["train"]}), "majority", output=tmp_path / "x"
    )
    assert len(alone.parts) == 1
    means = [part.cross_validated for part in run.seeds[0].parts]
    assert run.seeds[0].cross_validated["overall"] == pytest.approx(np.mean([each["overall"] for each in means]))


@pytest.mark.parametrize("baseline", ["majority", "logistic"])
def test_the_answers_for_a_group_do_not_depend_on_its_references(
    baseline: str, small_track: SmallTrack, tmp_path: Path
) -> None:
    """References of samples of one fold are exchanged among them: their answers stay the same, those of others do not."""
    order = np.arange(N_TEST)
    own = np.flatnonzero(order % 3 == 0)  # sample 60 and every third one after it are in the fold '9'
    order[own] = own[::-1]
    first, second = (
        run_baseline(
            parted(small_track, name, test_order=given),
            baseline,
            RunSettings(seeds=[0], intervals=False),
            output=tmp_path / name,
        )
        for name, given in (("a", None), ("b", order))
    )
    a, b = (run.seeds[0].predictions.outputs["valence"] for run in (first, second))
    np.testing.assert_array_equal(a[::3], b[::3])
    if baseline != "majority":  # it has the same answer for all, and the same samples to learn from in any order
        assert not np.array_equal(a[1::3], b[1::3])


def test_a_preset_gives_seeds_folds_and_options(small_track: SmallTrack, tmp_path: Path) -> None:
    folder = tmp_path / "voting"
    folder.mkdir()
    (folder / "model.py").write_text((load_baseline("majority").folder / "model.py").read_text())
    (folder / "baseline.toml").write_text(
        'title = "V"\nuses_features = false\ndefaults = { n_words = 0 }\n'
        "[presets.paper]\nseeds = [4, 5]\nfolds = 3\noptions = { n_words = 2 }\n"
    )
    track = small_track()
    run = run_baseline(track, folder, RunSettings(preset="paper", intervals=False), output=tmp_path / "run")
    assert [seed.seed for seed in run.seeds] == [4, 5]
    assert run.options == {"n_words": 2}
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["n_folds"] == 3
    assert record["baseline"]["preset"] == "paper"
    given = run_baseline(
        track,
        folder,
        RunSettings(preset="paper", seeds=[1], learning={"folds": 2}, options={"n_words": 1}, intervals=False),
        output=tmp_path / "given",
    )
    assert ([seed.seed for seed in given.seeds], given.options, given.cross_validation["n_folds"]) == (
        [1], {"n_words": 1}, 2,
    )  # fmt: skip
    with pytest.raises(UsageError, match=r"no preset of baseline 'voting' named 'papr'; did you mean 'paper'"):
        run_baseline(track, folder, RunSettings(preset="papr"))


def test_a_run_may_replace_what_the_track_declares_and_records_it(small_track: SmallTrack, tmp_path: Path) -> None:
    columns: dict[str, list[str | None]] = {"speaker": [f"p{i % 10}" for i in range(N_TRAIN + N_TEST)]}
    track = small_track(columns=columns)
    run = run_baseline(
        track,
        "majority",
        RunSettings(learning={"selection": "leave-one-group-out"}, intervals=False),
        output=tmp_path / "run",
    )
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["cross_validation"]["selection"] == "leave-one-group-out"
    assert record["n_folds"] == 10
    assert record["training"] == {
        "digest": run.track.training.digest,
        "selection": "leave-one-group-out",
        "replaced": ["selection"],
    }
    assert run.track.fingerprint == track.fingerprint
    assert run.track.training.digest != track.training.digest
    left = run_baseline(
        track, "majority", RunSettings(learning={"leave_out": "speaker"}, intervals=False), output=tmp_path / "left"
    )
    # What is left out is of the split that is answered: 30 samples of 10 speakers.
    assert next((part.left_out, part.n_train, part.n_test) for part in left.parts) == ("p0", 27, 3)


def test_another_selection_leaves_out_the_keys_that_it_does_not_use(small_track: SmallTrack) -> None:
    track = with_learning(small_track(), {"selection": "leave-one-group-out", "group": "fold"})
    assert with_learning(track, {"selection": "dev", "development": ["dev"]}).training.group is None
    assert with_learning(track, {"selection": "folds"}).training.group == "fold"


def test_groups_of_a_split_with_a_secret_part_are_not_left_out(small_track: SmallTrack) -> None:
    hidden = DECLARATION.replace('test = "test"', 'test = { source = "test", hidden = true }')
    track = small_track(declaration=hidden, columns={"speaker": [f"p{i % 3}" for i in range(N_TRAIN + N_TEST)]})
    with pytest.raises(UsageError, match="small: which samples of split 'test' are scored is secret"):
        run_baseline(track, "majority", RunSettings(learning={"leave_out": "speaker"}))


@pytest.mark.parametrize(
    ("learning", "message"),
    [
        ({"selection": "dev"}, "selection: 'dev' needs a split 'dev', or 'development'"),
        ({"folds": 1}, "folds: "),
        ({"leave_one": "x"}, "leave_one: .*allowed: .*leave_out"),
        ({"selection": "leave-one-group-out", "folds": 3}, "folds: applies only with selection = 'folds'"),
        ({"labels": {"joy": "glad"}}, "labels: applies only with 'corpus'"),
        ({"corpus": "other", "labels": {"joy": "gald"}}, "labels.joy: 'gald' is not one of calm, glad, sad; did you"),
        ({"corpus": "other", "ignored": ["sad"]}, "ignored: 'sad' is a label to learn from"),
        ({"unlabelled": ["tests"]}, r"unlabelled: 'tests' is not a split of this track \(train, test\); did you mean"),
        (
            {"corruptions": [{"name": "gcnet_missing", "parameters": {"rate": 0.5}, "stp": "x"}]},
            r"\[training\]: 1 problem\n.*corruptions.0..stp: is not a known key; allowed: name, step, split; did you mean",
        ),
        ({"corruptions": [{"name": "background_noise"}]}, "corruptions.0..name: background_noise corrupts audio"),
    ],
)  # fmt: skip
def test_wrong_keys_are_reported(small_track: SmallTrack, learning: dict[str, Any], message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        with_learning(small_track(), learning)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("folt", "corpus 'small' has no column 'folt' whose values are left out in turn; .*did you mean 'fold'"),
        ("some", r"column 'some' has no values for 1 of 90 samples of split 'test': s000$"),
        ("one", "column 'one' has only one value in split 'test'; leaving it out leaves nothing"),
    ],
)
def test_a_column_that_cannot_be_left_out_is_reported(small_track: SmallTrack, column: str, message: str) -> None:
    columns: dict[str, list[str | None]] = {
        "fold": [f"{i % 3}" for i in range(90)],
        "some": [None, *("x" for _ in range(89))],
        "one": ["x"] * 90,
    }
    declaration = DECLARATION.replace('{ train = "train", test = "test" }', '{ test = ["train", "test"] }')
    track = with_learning(small_track(columns=columns, declaration=declaration), {"leave_out": column})
    with pytest.raises(UsageError, match=message):
        run_baseline(track, "majority")
    assert why_not(track, [load_baseline("majority")])["majority"]


OTHER = """
id = "crossed"
version = "1.0"
title = "Crossed"
corpus = "./corpus"
splits = { test = "test" }
targets.discrete = { type = "categorical", labels = ["calm", "glad", "sad"] }
targets.valence = { type = "continuous", range = [-2.0, 2.0] }
metrics = [{ name = "weighted_f1", target = "discrete" }, { name = "mse", target = "valence" }]
ranking = { by = ["weighted_f1"] }
[training]
corpus = "./other"
labels = { joy = "glad", calmness = "calm" }
ignored = ["fear"]
scale = 0.5
"""


def crossed(
    tmp_path: Path,
    *,
    labels: tuple[str, ...] = ("calmness", "joy", "sad", "fear"),
    width: int = 4,
    records: tuple[ExtractionRecord | None, ExtractionRecord | None] = (None, None),
) -> Track:
    """Return a track that learns from another corpus: other labels, twice the scale, some features of the same name."""
    rng, folder = np.random.default_rng(3), tmp_path / "crossed"
    for corpus, n, names, factor, split, width_of, record in (
        ("other", 60, labels, 2.0, "train", width, records[0]),
        ("corpus", 20, ("calm", "glad", "sad", "sad"), 1.0, "test", 4, records[1]),
    ):
        ids = [f"s{i:03}" for i in range(n)]
        codes = np.arange(n) % 4
        vectors = np.eye(4)[codes] * 3 + rng.normal(0, 0.3, (n, 4))
        made_corpus(
            folder / corpus,
            name=corpus,
            samples=pa.table({"sample_id": ids, "split": [split] * n, "speaker": [f"{corpus}-{i % 5}" for i in range(n)]}),
            reference=pa.table(
                {
                    "sample_id": ids,
                    "discrete": [names[code] for code in codes],
                    "valence": (codes - 1.0) * factor,
                }
            ),
            features={
                "shared": Feature.from_vectors(ids, np.pad(vectors, ((0, 0), (0, width_of - 4)))),
                f"only-{corpus}": Feature.from_vectors(ids, vectors),
            },
            extracted={} if record is None else {"shared": record},
        )  # fmt: skip
    (folder / "track.toml").write_text(OTHER, encoding="utf-8")
    return load_track(folder)


def test_another_corpus_is_read_with_its_labels_and_scale(tmp_path: Path) -> None:
    track = crossed(tmp_path)
    plan = make_plan(track, load_baseline("logistic"))
    assert plan.features == ("shared",)
    train = plan.training_set()
    assert len(train) == 45  # 15 of 60 samples are of the label that is ignored
    assert np.bincount(train.targets["discrete"]).tolist() == [15, 15, 15]
    assert sorted(set(train.targets["valence"].tolist())) == [-1.0, 0.0, 1.0]
    run = run_baseline(track, "logistic", RunSettings(options=FIXED, intervals=False), output=tmp_path / "run")
    assert run.report is not None
    codes, answers = np.arange(20) % 4, run.seeds[0].predictions.outputs["discrete"].argmax(axis=1)
    assert (answers == codes)[codes < 3].all()  # clusters ten deviations apart; the label of the fourth is not learned
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["training"]["corpus"]["name"] == "other"
    assert record["corpus"]["name"] == "corpus"
    assert record["n_train"] == 45


def test_what_two_corpora_do_not_share_is_reported(tmp_path: Path) -> None:
    unmapped = crossed(tmp_path / "a", labels=("calmness", "joy", "sad", "anger"))
    with pytest.raises(UsageError, match=r"corpus 'other': the references of discrete.*anger"):
        run_baseline(unmapped, "majority")
    track = crossed(tmp_path / "b", width=5)
    with pytest.raises(UsageError, match="'shared' has 5 numbers in corpus 'other' and 4 in corpus 'corpus'"):
        run_baseline(track, "logistic")
    with pytest.raises(UsageError, match="no feature of corpus other named 'only-corpus'"):
        run_baseline(track, "logistic", RunSettings(features=["only-corpus"]))
    text = (track.folder / "track.toml").read_text().replace("./other", "elsewhere")
    (track.folder / "track.toml").write_text(text)
    reasons = why_not(load_track(track.folder), [load_baseline("majority")])
    assert str(reasons["majority"]).startswith("no corpus named 'elsewhere'")


def record(extractor: str = "sentence", **options: Any) -> ExtractionRecord:
    return ExtractionRecord(extractor=extractor, version="1", modality="text", unit="utterance", options=options)


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ((record(lowercase=True), record(lowercase=False)), "feature 'shared' was extracted otherwise in corpus 'other'"),
        ((record("sentence"), record("tokens")), "feature 'shared' was extracted otherwise in corpus 'other'"),
        ((record("tfidf-svd"), record("tfidf-svd")), "by tfidf-svd, which learns from a corpus"),
        ((record(columns=["english"]), record(columns=["transcript"])), ""),
        ((record(), None), ""),
    ],
)  # fmt: skip
def test_features_of_two_corpora_are_made_in_the_same_way(
    tmp_path: Path, records: tuple[ExtractionRecord | None, ExtractionRecord | None], message: str
) -> None:
    reason = why_not(crossed(tmp_path, records=records), [load_baseline("logistic")])["logistic"]
    assert (message in str(reason)) if message else reason is None


def test_dialogues_of_two_splits_are_two_and_speakers_of_the_development_set_count(
    small_track: SmallTrack, tmp_path: Path
) -> None:
    columns: dict[str, list[str | None]] = {
        # the development set is of p0 to p4, what is learned of p3 to p12, the candidates are of others
        "speaker": [*(f"p{i % 5}" for i in range(20)), *(f"p{3 + i % 10}" for i in range(40)), *["q"] * N_TEST],
        "dialogue": [f"d{i % 10}" for i in range(N_TRAIN + N_TEST)],
    }
    track = small_track(columns=columns, n_dev=20)
    learning = {"selection": "dev", "source": ["train"], "development": ["dev"]}
    run = run_baseline(track, "majority", RunSettings(learning=learning, intervals=False), output=tmp_path / "run")
    assert run.warnings == (
        "8 of 20 samples of the development set are of values of 'speaker' that are learned from (2: p3, p4); selection "
        "is not made for others",
    )


def test_a_training_split_that_is_not_used_is_a_warning(small_track: SmallTrack, tmp_path: Path) -> None:
    track = small_track(columns={"fold": [f"{i % 3}" for i in range(N_TRAIN + N_TEST)]})
    run = run_baseline(
        track, "majority", RunSettings(learning={"leave_out": "fold"}, intervals=False), output=tmp_path / "run"
    )
    assert run.warnings == (
        "split 'train' is not used: each value of 'fold' is answered by a model of the others in split 'test'; "
        "`training.source` names other splits of the corpus to learn from",
    )
    learning = {"leave_out": "fold", "source": ["train", "test"]}
    both = run_baseline(track, "majority", RunSettings(learning=learning, intervals=False), output=tmp_path / "both")
    assert (both.warnings, both.parts[0].n_train) == ((), 60)


def test_speakers_on_both_sides_are_a_warning(small_track: SmallTrack, tmp_path: Path) -> None:
    speakers: list[str | None] = [*(f"p{i % 10}" for i in range(N_TRAIN)), *(f"p{8 + i % 15}" for i in range(N_TEST))]
    run = run_baseline(
        small_track(columns={"speaker": speakers}), "majority", RunSettings(intervals=False), output=tmp_path / "run"
    )
    assert run.warnings == (
        "4 of 30 candidates are of values of 'speaker' that are learned from (2: p8, p9); a system does better on them "
        "than on others",
    )
    assert json.loads((tmp_path / "run" / "run.json").read_text())["warnings"] == list(run.warnings)


@pytest.mark.parametrize("has_column", [True, False])
def test_learned_columns_are_read_of_what_is_learned_from_only_where_the_corpus_has_them(
    small_track: SmallTrack, tmp_path: Path, has_column: bool
) -> None:
    folder = tmp_path / "captioned"
    folder.mkdir()
    (folder / "baseline.toml").write_text('title = "-"\nlearned_columns = ["caption"]\n', encoding="utf-8")
    (folder / "model.py").write_text(
        "from dataclasses import dataclass\n\n\n@dataclass\nclass Options:\n    pass\n\n\n"
        "def build(options, setup):\n    raise NotImplementedError\n",
        encoding="utf-8",
    )
    captions: list[str | None] = [f"caption {i}" for i in range(N_TRAIN + N_TEST)]
    track = small_track(columns={"caption": captions} if has_column else {})
    plan = make_plan(track, load_baseline(folder))
    columns = plan.training_set().samples.columns
    assert {name: column.to_pylist() for name, column in columns.items()} == (
        {"caption": captions[:N_TRAIN]} if has_column else {}
    )
    assert plan.test_set().columns == {}
