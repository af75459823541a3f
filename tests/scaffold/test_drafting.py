"""Corpora of every kind of reference, and the tracks that are drafted for them: each loads, and is described."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from made_corpus import made_corpus

from merbench import scaffold
from merbench.cli import run
from merbench.corpus import Corpus
from merbench.corpus.candidates import open_candidates
from merbench.scaffold import reference_columns
from merbench.track import Track, load_track

IDS = [f"s{i}" for i in range(4)]
SPLITS = ["train", "train", "train", "test"]


def corpus_of(folder: Path, reference: dict[str, Any], **columns: Any) -> Corpus:
    return made_corpus(folder / "own", name="own", samples=pa.table({"sample_id": IDS, "split": SPLITS, **columns}), reference=pa.table({"sample_id": IDS, **reference}))  # fmt: skip


def drafted(folder: Path, values: Any, **columns: Any) -> tuple[str, str]:
    """Return the type and the lines that are drafted for a column of references."""
    (column,) = reference_columns(corpus_of(folder, {"target": values}, **columns))
    kind, draft = scaffold.drafted(column)
    return kind, draft.lines


@pytest.mark.parametrize(
    ("values", "kind", "line"),
    [
        ([["happy"], ["sad", "tired"], [], ["glad"]], "label_set", ""),
        (["['happy']", "['sad', 'tired']", "[]", '["glad"]'], "label_set", ""),
        (["['happy']", None, None, None], "label_set", ""),
        (["a1", "a2", "same", None], "preference", ""),
        (["a1", "a1", "a1", "a1"], "preference", ""),
        (["real-0-0.5 fake-0.5-1.25", "fake-0-1", "", "other-0-2"], "segments", 'labels = ["fake", "real"]'),
        # Two times that do not rise are not a segment, an unquoted mark not a list.
        (["fake-2-1", "b", "b", "b"], "categorical", 'labels = ["b", "fake-2-1"]'),
        (["fake-2-1", "b-3-2", None, None], "categorical", 'labels = ["b-3-2", "fake-2-1"]'),
        (["[noise]", "['x'", "y", "y"], "categorical", """labels = ["['x'", "[noise]", "y"]"""),
        (["a1", "a2", "a3", "a1"], "categorical", 'labels = ["a1", "a2", "a3"]'),
        (["up", "down", None, "sideways"], "categorical", 'labels = ["down", "up"]'),
        ([None, None, None, "up"], "categorical", 'labels = ["other", "another"]'),
        ([True, True, None, True], "categorical", 'labels = ["false", "true"]'),
        ([1, 2, 2, 9], "continuous", "# range = [1, 2]"),
        ([1, 2, 2, 9], "continuous", '# labels = ["1", "2"]'),
        ([0.5, -1.5, None, 9.0], "continuous", "# range = [-2, 1]"),
    ],
)
def test_the_kind_follows_from_all_cells_and_labels_from_those_for_training(
    tmp_path: Path, values: list[Any], kind: str, line: str
) -> None:
    result = drafted(tmp_path, values)
    assert result[0] == kind
    assert line in result[1]


def test_segments_are_bounded_by_a_column_of_the_samples(tmp_path: Path) -> None:
    values = ["real-0-0.5", "fake-0-1", "fake-0-1", "fake-0-1"]
    assert 'duration = "duration_s"' in drafted(tmp_path, values, duration_s=[1.0, 2.0, 2.0, 2.0])[1]


def test_columns_of_0_and_1_may_be_labels_of_one_target(tmp_path: Path) -> None:
    columns = {"joy": [0, 1, 1, 0], "fear": [0, 0, 0, None], "polarity": [-1, 0, 1, 1], "share": [0.0, 1.0, 1.0, 0.0]}
    [(kind, draft)] = scaffold.drafted_of_several(reference_columns(corpus_of(tmp_path, columns)))
    assert (kind, draft.replaces) == ("multilabel", ("joy", "fear"))
    del columns["fear"]
    assert not list(scaffold.drafted_of_several(reference_columns(corpus_of(tmp_path / "alone", columns))))


EVERY = {
    "openset": [["happy"], ["sad", "tired"], ["glad"], ["glad"]],
    "listed words": ["['happy']", "['sad', 'tired']", "['a']", "['b']"],
    "preference": ["a1", "a2", "a1", "same"],
    "segments": ["real-0-0.5 fake-0.5-1.25", "fake-0-1", "real-0-1", "real-0-2"],
    "always": ["fake-0-1", "fake-0-1", "fake-0-1", "fake-0-1"],
    "mood": ["up", "down", "up", "down"],
    "constant": ["up", "up", "up", "up"],
    "unseen": [None, None, None, "other"],
    "joy": [0, 1, 1, 0],
    "fear": [0, 0, 0, 1],
    "valence": [0.5, -1.5, 0.0, 9.0],
    "noted": [None, None, None, 1.5],
}


def track_of(folder: Path, capsys: pytest.CaptureFixture[str]) -> Track:
    """Return a drafted track that loads, is described, and has a template that is a valid submission."""
    assert run(["describe", str(folder)]) == 0
    assert "candidates of split test: 1" in capsys.readouterr().out
    template = folder / "template.csv"
    assert run(["describe", str(folder), "--template", str(template)]) == 0
    assert run(["validate", str(folder), str(template)]) == 0
    capsys.readouterr()
    return load_track(folder)


def draft(folder: Path, corpus: Corpus) -> Path:
    assert run(["init", str(folder), "--corpus", str(corpus.folder)]) == 0
    return folder / "track.toml"


@pytest.mark.parametrize("name", [*EVERY, "all"])
def test_every_draft_loads_and_is_described(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    reference = EVERY if name == "all" else {name: EVERY[name]}
    draft(tmp_path / "mine", corpus_of(tmp_path, reference, duration_s=[1.25, 1.0, 1.0, 2.0]))
    track = track_of(tmp_path / "mine", capsys)
    assert list(track.targets) == sorted(reference, key=list(reference).index)
    if name not in ("unseen", "noted", "all"):  # those whose training split contains all that it needs to be read
        assert len(open_candidates(track, "train").references) == 3


def test_a_draft_writes_what_a_target_may_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = draft(tmp_path / "mine", corpus_of(tmp_path, EVERY, duration_s=[1.25, 1.0, 1.0, 2.0])).read_text()
    targets = {name: target.type for name, target in track_of(tmp_path / "mine", capsys).targets.items()}
    assert targets == {
        "openset": "label_set",
        "listed words": "label_set",
        "preference": "preference",
        "segments": "segments",
        "always": "segments",
        "mood": "categorical",
        "constant": "categorical",
        "unseen": "categorical",
        "joy": "continuous",
        "fear": "continuous",
        "valence": "continuous",
        "noted": "continuous",
    }
    assert 'labels = ["fake", "real"]      # what a segment may be\nduration = "duration_s"  ' in text
    for made_up in ('["fake", "other"]', '["up", "other"]', '["other", "another"]'):
        assert f"labels = {made_up} " in text
    assert re.findall(r"# The references for training hold (\w+) of the labels", text) == ["1", "1", "none"]
    assert '"sideways"' not in text


def test_columns_of_labels_become_one_target_as_the_comments_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = draft(tmp_path / "mine", corpus_of(tmp_path, {"joy": [0, 1, 1, 0], "fear": [0, 0, 1, 1]}))
    text = path.read_text()
    head, rest = text.split("[targets.joy]", 1)
    several = re.search(r"# \[targets\.several\]\n.*?(?=\n\n)", rest, re.DOTALL)
    metrics = re.search(r"# With the target 'several'.*?:\n(.*?)\n\n", rest, re.DOTALL)
    assert several and metrics
    bare = re.sub(r"^# ?", "", f"{several[0]}\n{metrics[1]}\n", flags=re.MULTILINE)
    path.write_text(f"{head}{bare}\n[ranking]{rest.split('[ranking]')[1]}")
    track = track_of(tmp_path / "mine", capsys)
    assert track.targets["several"].columns("several") == ("joy", "fear")
    assert [spec.name for spec in track.metrics] == ["multilabel_f1", "exact_match"]
    references = open_candidates(track, "train").references
    assert np.asarray(references.values["several"]).tolist() == [[0, 0], [1, 0], [1, 1]]


def test_a_lexicon_and_its_metric_exist_to_be_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = draft(tmp_path / "mine", corpus_of(tmp_path, {"openset": EVERY["openset"]}))
    text = re.sub(r'^# (lexicon = |\[\[metrics\]\]|name = "e|target = )', r"\1", path.read_text(), flags=re.MULTILINE)
    path.write_text(text)
    assert [spec.name for spec in track_of(tmp_path / "mine", capsys).metrics][-1] == "emotion_wheel_f1"
