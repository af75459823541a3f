"""Baselines that answer sets of words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from made_corpus import made_corpus

from merbench.corpus.candidates import open_candidates
from merbench.errors import UsageError
from merbench.metrics.lists import Lists
from merbench.submission import read_submission
from merbench.track import Track, load_track
from merbench.training import Predictions, RunSettings, ensemble, feature_set, load_baseline, run_baseline, training_set
from merbench.training.output import submission_table
from merbench.training.protocol import Setup
from tests.training.conftest import SmallTrack

SETS = [["happy"], ["happy", "sad"], ["sad", "calm"], ["happy", "angry", "calm"], ["at ease", "x y"], ["angry"]]

DECLARATION = """
id = "open"
version = "1.0"
title = "Open"
corpus = "./corpus"
splits = { train = "train", test = "test" }
targets.openset = { type = "label_set", lexicon = "english" }
metrics = [{ name = "set_jaccard", target = "openset" }]
ranking = { by = ["set_jaccard"] }
"""


@pytest.fixture
def open_track(tmp_path: Path) -> Track:
    """Return a track of six training and six test samples with a set of words each."""
    folder = tmp_path / "open"
    ids = [f"s{i:02}" for i in range(12)]
    transcripts = [f"said {i}" if i else None for i in range(12)]
    made_corpus(
        folder / "corpus",
        name="open",
        samples=pa.table(
            {"sample_id": ids, "split": ["train"] * 6 + ["test"] * 6, "transcript": pa.array(transcripts, pa.string())}
        ),
        reference=pa.table({"sample_id": ids, "openset": SETS + SETS}),
    )
    (folder / "track.toml").write_text(DECLARATION, encoding="utf-8")
    return load_track(folder)


def test_a_baseline_sees_sets_and_the_columns_that_it_reads(open_track: Track) -> None:
    candidates = open_candidates(open_track, "train")
    train = training_set(candidates, [], ["transcript"])
    assert [sorted(words) for words in train.targets["openset"]] == [sorted(words) for words in SETS]
    assert train.samples.columns["transcript"].to_pylist() == [None, *(f"said {i}" for i in range(1, 6))]
    part = train.select(np.array([4, 0]))
    assert part.samples.columns["transcript"].to_pylist() == ["said 4", None]
    assert [sorted(words) for words in part.targets["openset"]] == [["at ease", "x y"], ["happy"]]
    with pytest.raises(UsageError, match="corpus 'open' has no column 'transcrip' that a baseline reads; it has tran"):
        feature_set(candidates, [], ["transcrip"])


def test_sets_are_gathered_and_written_as_they_are_read_again(open_track: Track) -> None:
    candidates = open_candidates(open_track)
    halves = [(np.array([5, 1, 3]), [SETS[5], SETS[1], SETS[3]]), (np.array([0, 4, 2]), [SETS[0], SETS[4], SETS[2]])]
    gathered = Predictions.gathered([(rows, Predictions(sets={"openset": Lists.of(sets)})) for rows, sets in halves])
    assert [list(words) for words in gathered.answers(open_track)["openset"]] == SETS
    table = submission_table(candidates, gathered)
    cells = table["openset"].to_pylist()
    assert cells[:2] == ["['happy']", "['happy', 'sad']"]
    read = read_submission(table, candidates)
    assert [list(words) for words in read.values["openset"]] == SETS


def test_majority_answers_with_the_most_frequent_words(open_track: Track, tmp_path: Path) -> None:
    # happy 3, angry 2, calm 2, sad 2, and two words once; 11 words in 6 sets: two words each
    run = run_baseline(open_track, "majority", RunSettings(intervals=False), output=tmp_path / "run")
    lines = (run.folder / "submission.csv").read_text(encoding="utf-8").splitlines()
    assert lines[:2] == ["sample_id,openset", "s06,\"['happy', 'angry']\""]
    assert len({line.split(",", 1)[1] for line in lines[1:]}) == 1
    # happy, angry against the six sets: 1/2, 1/3, 0, 2/3, 0, 1/2
    assert run.report is not None and run.report["set_jaccard"].value == pytest.approx(2 / 6, abs=1e-12)
    three = run_baseline(
        open_track, "majority", RunSettings(options={"n_words": 3}, intervals=False), output=tmp_path / "three"
    )
    assert "['happy', 'angry', 'calm']" in (three.folder / "submission.csv").read_text(encoding="utf-8")


def test_a_baseline_refuses_targets_that_it_does_not_answer(
    open_track: Track, small_track: SmallTrack, tmp_path: Path
) -> None:
    message = (
        r"baseline 'logistic' answers targets of type categorical, preference, distribution, continuous, trajectory; open declares openset \(label_set\); "
        "baselines for it: lexicon-ov, majority"
    )
    with pytest.raises(UsageError, match=message):
        run_baseline(open_track, "logistic", output=tmp_path / "run")
    message = (
        r"baseline 'lexicon-ov' answers targets of type label_set; small declares discrete \(categorical\), "
        r"valence \(continuous\); baselines for it: .*ae, .*"
    )
    with pytest.raises(UsageError, match=message):
        run_baseline(small_track(), "lexicon-ov", output=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    message = r"open declares openset \(label_set\); an ensemble averages only probabilities and numbers"
    with pytest.raises(UsageError, match=message):
        ensemble(open_track, ["a", "b"], output=tmp_path / "run")


def test_a_target_without_a_lexicon_is_reported(open_track: Track) -> None:
    assert open_track.folder is not None
    path = open_track.folder / "track.toml"
    path.write_text(path.read_text(encoding="utf-8").replace(', lexicon = "english"', ""), encoding="utf-8")
    train = training_set(open_candidates(load_track(open_track.folder), "train"), [], ["transcript"])
    baseline = load_baseline("lexicon-ov").build({"C": 1.0, "threshold": 0.1}, Setup())
    with pytest.raises(UsageError, match="open: target 'openset' names no lexicon, which this baseline needs"):
        baseline.fit(train)
