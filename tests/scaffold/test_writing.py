"""The track that `merbench init` drafts for your own data, as it is drafted and as its comments propose."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest
from made_corpus import made_corpus

from merbench.cli import run
from merbench.corpus.candidates import open_candidates
from merbench.scaffold import write_starting_track
from merbench.track import load_track


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work next to a corpus, `own`, with a column of few whole numbers, one of many and one of fractions."""
    ids = [f"s{i:02}" for i in range(24)]
    reference = pa.table(
        {
            "sample_id": ids,
            "polarity": pa.array([i % 3 - 1 for i in range(23)] + [7]),
            "count": pa.array(range(24)),
            "overall score": pa.array([float(i % 2) for i in range(24)]),
        }
    )
    made_corpus(
        tmp_path / "own",
        name="own",
        samples=pa.table({"sample_id": ids, "split": ["train"] * 20 + ["test"] * 4}),
        reference=reference.slice(0, 23),
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_few_whole_numbers_are_drafted_as_a_number_and_in_comments_as_classes(here: Path) -> None:
    path, _ = write_starting_track(here / "my-track", "./own")
    text = path.read_text(encoding="utf-8")
    assert text.count("# type =") == 1
    drafted = load_track("./my-track")
    assert {name: target.type for name, target in drafted.targets.items()} == dict.fromkeys(
        ("polarity", "count", "overall score"), "continuous"
    )
    # As the comments say: the lines of the target, and those of its metrics, instead of the ones above.
    section = re.search(r"\[targets\.polarity\]\n.*?(?=\n\n)", text, re.DOTALL)
    metrics = re.search(
        r'\[\[metrics\]\]\nname = "mse"\ntarget = "polarity".*?\n# target = "polarity"(?=\n\n)', text, re.DOTALL
    )
    assert section and metrics
    classes = ["[targets.polarity]", *re.findall(r"^# ((?:type|labels|aliases) = .*)$", section[0], re.MULTILINE)]
    assert len(classes) == 4
    measures = re.findall(r"^# ((?:\[\[|name|target|weight).*)$", metrics[0], re.MULTILINE)
    text = text.replace(section[0], "\n".join(classes)).replace(metrics[0], "\n".join(measures))
    path.write_text(text, encoding="utf-8")
    track = load_track("./my-track")
    assert track.targets["polarity"].labels == ("-1", "0", "1")  # type: ignore[union-attr]
    assert [spec.name for spec in track.metrics[:2]] == ["weighted_f1", "unweighted_average_recall"]
    # Integers of the corpus are read as these labels: s20, s21 and s22 hold 20 % 3 - 1 = 1, then -1 and 0.
    assert open_candidates(track).references.values["polarity"].tolist() == [2, 0, 1]  # type: ignore[union-attr]


def test_only_references_of_the_training_split_show(here: Path) -> None:
    text = write_starting_track(here / "my-track", "./own")[0].read_text(encoding="utf-8")
    assert "# range = [0, 19]" in text
    assert '# labels = ["-1", "0", "1"]' in text


def test_the_drafted_line_works_as_typed(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["init", "deep/my-track", "--corpus", "own"]) == 2  # a name of the data home, which has none
    assert "the working directory has a folder of this name: write ./own" in capsys.readouterr().err
    assert run(["init", "deep/my-track", "--corpus", "./own"]) == 0
    assert capsys.readouterr().out.endswith("next: edit them, then `merbench describe deep/my-track`\n")
    assert run(["init", "bare"]) == 0
    assert capsys.readouterr().out.endswith("next: edit them, then `merbench describe ./bare`\n")
    assert run(["init", "two words/my-track"]) == 0
    assert capsys.readouterr().out.endswith("`merbench describe 'two words/my-track'`\n")
    text = (here / "deep" / "my-track" / "track.toml").read_text(encoding="utf-8")
    assert 'corpus = "../../own" ' in text
    assert "`merbench describe .`, typed in this folder," in text
    for folder, name in ((here, "deep/my-track"), (here / "deep" / "my-track", ".")):
        monkeypatch.chdir(folder)
        assert run(["describe", name]) == 0
        assert "candidates of split test: 4" in capsys.readouterr().out
