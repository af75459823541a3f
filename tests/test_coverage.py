"""How much of sets of words a lexicon knows, in the reports on a submission."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from made_corpus import made_corpus

from merbench.lexicon import open_lexicon
from merbench.report import CoverageRow, ScoreReport
from merbench.scoring import score
from merbench.track import Track, load_track

DECLARATION = """
id = "open"
version = "1.0"
title = "Open"
corpus = "./corpus"
splits.test = {{ source = "test", hidden = {hidden} }}
targets.openset = {{ type = "label_set"{lexicon} }}
metrics = [{{ name = "set_jaccard", target = "openset" }}]
ranking = {{ by = ["set_jaccard"] }}
"""

IDS = ["a", "b", "c", "d"]
REFERENCE = [["happy", "blend"], ["blend"], ["x<y", "sad"], ["sad", "glad"]]
PREDICTION = (
    "sample_id,openset\na,\"['happy', 'zonk']\"\nb,\"['sad']\"\nc,\"['zonk']\"\nd,\"['happy', 'quux', 'zonk']\"\n"
)


def make(
    folder: Path, *, hidden: bool = False, lexicon: bool = True, scored: tuple[int, ...] = (0, 1, 2)
) -> tuple[Track, Path]:
    """Write a track of four candidates, some of which are scored, and a submission."""
    made_corpus(
        folder / "open" / "corpus",
        name="open",
        samples=pa.table({"sample_id": IDS, "split": ["test"] * 4}),
        reference=pa.table({"sample_id": [IDS[i] for i in scored], "openset": [REFERENCE[i] for i in scored]}),
    )
    text = DECLARATION.format(hidden=str(hidden).lower(), lexicon=', lexicon = "english"' if lexicon else "")
    (folder / "open" / "track.toml").write_text(text, encoding="utf-8")
    (folder / "submission.csv").write_text(PREDICTION, encoding="utf-8")
    return load_track(folder / "open"), folder / "submission.csv"


def redeclared(track: Track, old: str, new: str) -> Track:
    assert track.folder is not None
    toml = track.folder / "track.toml"
    toml.write_text(toml.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    return load_track(track.folder)


def test_both_sides_are_counted_and_shown_in_every_form(tmp_path: Path) -> None:
    report = score(*make(tmp_path), intervals=False)
    # the references of a, b and c: blend twice and x<y once of 5 words; all answers: zonk 3 times and quux once of 7
    assert report.coverage == (
        CoverageRow("openset", "reference", 5, 3, 3 / 5, (("blend", 2), ("x<y", 1))),
        CoverageRow("openset", "prediction", 7, 4, 4 / 7, (("zonk", 3), ("quux", 1))),
    )
    assert ScoreReport.from_json(report.to_json()) == report
    assert (
        "openset, words that are not in the lexicon\n"
        "side        most frequent unknown words  words  unknown   share\n"
        "reference   blend (2), x<y (1)               5        3  0.6000\n"
        "prediction  zonk (3), quux (1)               7        4  0.5714\n"
    ) in report.to_text()
    assert "| reference | blend (2), x&lt;y (1) | 5 | 3 | 0.6000 |" in report.to_markdown()
    assert ">blend (2), x&lt;y (1)</td>" in report.to_html()
    assert f"|lexicon:english#{open_lexicon('english').digest[:8]}|" in report.signature


def test_descriptions_are_scored_by_their_words_and_the_signature_names_the_extractor(tmp_path: Path) -> None:
    track, path = make(tmp_path)
    track = redeclared(track, '"label_set"', '"text", reference = "openset"')
    texts = ["She is not sad, she looks happy", "blend, if anything", "he isn't glad but sad", "nothing to see"]
    rows = "".join(f'{name},"{text}"\n' for name, text in zip(IDS, texts, strict=True))
    path.write_text("sample_id,openset\n" + rows, encoding="utf-8")
    report = score(track, path, intervals=False)
    # happy of happy and blend, nothing of blend, sad of x<y and sad
    assert report["set_jaccard"].value == pytest.approx((1 / 2 + 0 + 1 / 2) / 3, abs=1e-12)
    assert f"|lexicon:english#{open_lexicon('english').digest[:8]}|extractor:longest_match|" in report.signature
    assert report.coverage[1] == CoverageRow("openset", "prediction", 2, 0, 0.0, ())


def test_without_a_lexicon_or_without_words_there_is_nothing_to_count(tmp_path: Path) -> None:
    report = score(*make(tmp_path / "without", lexicon=False), intervals=False)
    assert report.coverage == () and "lexicon" not in report.signature
    track, path = make(tmp_path)
    track = redeclared(track, '"label_set"', '"label_set", empty = "allow"')
    path.write_text("sample_id,openset\n" + "".join(f"{name},[]\n" for name in IDS), encoding="utf-8")
    _, prediction = score(track, path, intervals=False).coverage
    assert prediction == CoverageRow("openset", "prediction", 0, 0, 0.0, ())


def test_a_public_report_on_a_hidden_split_shows_nothing_of_the_references(tmp_path: Path) -> None:
    reports = [
        score(*make(tmp_path / str(number), hidden=True, scored=scored), intervals=False)
        for number, scored in enumerate([(0, 1, 2), (3,)])
    ]
    assert reports[0].coverage != reports[1].coverage
    shown = [report.public().coverage for report in reports]
    assert shown[0] == shown[1] == reports[0].coverage[1:]
