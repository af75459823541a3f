"""The corpora of sentiment: made-up archives and tables, and the values of the real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from released_files import codes_of, columns, labelled, read_table, release, write_archive, write_table

from merbench.corpus.releases.merbench_labels import utterance

MEMBERS = {
    "train_corpus": labelled({"-x_y_10": np.float32(1 / 3)}, key="val", filler=0),
    "val_corpus": labelled({"v_2": -1.0}, key="val", filler=0),
    "test_corpus": labelled({"v_1": -10}, key="val", filler=0),
}


def test_an_archive_and_transcripts_become_a_corpus(tmp_path: Path) -> None:
    write_archive(tmp_path / "r" / "release" / "label.npz", **MEMBERS)
    write_table(
        tmp_path / "r" / "transcripts.csv",
        "name chinese english",
        *[[n, "好", "Good"] for n in ("v_1", "v_2", "-x_y_10")],
    )
    imported = release("cmu-mosi")(tmp_path / "r", tmp_path / "c")
    names = ("sample_id", "split", "dialogue", "position", "transcript", "transcript_chinese", "sentiment")
    assert columns(imported, *names) == [
        ("-x_y_10", "train", "-x_y", 10, "Good", "好", float(np.float32(1 / 3))),
        ("v_1", "test", "v", 1, "Good", "好", None),
        ("v_2", "dev", "v", 2, "Good", "好", -1.0),
    ]
    chinese = release("ch-sims")(tmp_path / "r", tmp_path / "d")
    assert columns(chinese, "transcript", "transcript_english")[0] == ("好", "Good")
    assert (imported.corpus.language, chinese.corpus.language) == ("en", "zh")


@pytest.mark.parametrize("name", ["v", "_1", "v_", "v_x", "v_-1"])
def test_ids_that_are_no_utterance(name: str) -> None:
    assert utterance(name) is None


def test_what_should_be_known_of_the_two_sims_stands_in_their_source() -> None:
    assert "All its clips are in CH-SIMS v2 too" in release("ch-sims").source
    assert "Contains all 2,281 clips of CH-SIMS" in release("ch-sims-v2").source
    assert all("from -1 to 1 (not CMU-MOSI's -3 to 3)" in release(name).source for name in ("ch-sims", "ch-sims-v2"))


@pytest.mark.real_data
def test_values_of_the_real_corpora(tmp_path: Path, test_data: Path) -> None:
    data = test_data / "data"
    mosi = release("cmu-mosi")(data / "cmumosi", tmp_path / "mosi")
    names = ("sample_id", "split", "dialogue", "position", "sentiment", "transcript")
    assert ("03bSnISJMiM_1", "train", "03bSnISJMiM", 1, 2.4, "ANYHOW IT WAS REALLY GOOD") in columns(mosi, *names)
    assert len(set(columns(mosi, "dialogue"))) == 93
    mosei = release("cmu-mosei")(data / "cmumosei", tmp_path / "mosei")
    assert ("186631_10", -0.6666666865348816) in columns(mosei, "sample_id", "sentiment")
    assert codes_of(mosei) == ["W604"]  # no transcripts
    sims = release("ch-sims")(data / "sims", tmp_path / "sims")
    second = release("ch-sims-v2")(data / "simsv2", tmp_path / "second")
    names = ("sample_id", "split", "sentiment")
    assert set(columns(sims, *names)) <= set(columns(second, *names))


@pytest.mark.real_data
def test_features_of_mosi_in_their_own_split(tmp_path: Path, test_data: Path) -> None:
    folder = test_data / "data" / "features"
    imported = release("cmu-mosi-trimodal")(folder, tmp_path / "c")
    rows = {row["id"]: row for row in read_table(folder / "mosi_meta.csv")}
    for name, split, sentiment, words in columns(imported, "sample_id", "split", "sentiment", "transcript"):
        row = rows.pop(name)
        assert (split, sentiment, words) == (row["split_feature"], float(row["sentiment"]), row["text_eng"])
    assert rows == {}
    corpus = imported.corpus
    assert {name: corpus.feature_shape(name) for name in corpus.features} == {
        "audio": (2199, 73, False), "text": (2199, 100, False), "video": (2199, 100, False)
    }  # fmt: skip
    with np.load(folder / "mosi_trimodal.npz") as archive:
        order = np.argsort(archive["id"])
        for name in corpus.features:
            assert np.array_equal(corpus.feature(name).values, archive[name][order])
