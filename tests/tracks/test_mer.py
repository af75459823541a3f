"""The tracks of MER 2024 to 2026 and of EMER: made-up release files, scored, with values worked out by hand."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from checked_tracks import BY_HAND, PUBLISHED, SCORER
from released_files import read_table, write_table
from released_tracks import by_name, imported, reported, submission, values, variant

import merbench
from merbench.corpus import Imported
from merbench.errors import UnknownName
from merbench.lexicon import import_lexicon
from merbench.synonyms import import_groups
from merbench.track import list_tracks

pytestmark = pytest.mark.usefixtures("home")

SIX_EMOTIONS = {
    "mer2024-semi": ("candidates.csv", "train.csv", "labels.csv"),
    "mer2024-noise": ("candidates.csv", "train.csv", "labels.csv"),
    "mer2025-semi": ("track_all_candidates.csv", "track1_train_disdim.csv", "track1_test_dis.csv"),
    "mer2026-cross": ("track1_track2_candidate.csv", "track1_train.csv", "track1_test.csv"),
}
"""Track -> its candidates, its training list, its references."""

FINE_GRAINED = {
    "mer2025-fg": ("track_all_candidates.csv", "track2_test.csv"),
    "mer2026-fg": ("track1_track2_candidate.csv", "track2_test.csv"),
}


def test_every_track_of_the_editions_exists() -> None:
    tracks = {track.id: track for track in list_tracks() if track.family == "mer" and (track.year or 0) >= 2024}
    assert sorted(tracks) == [
        *("mer2024-noise", "mer2024-ov", "mer2024-ov-exact", "mer2024-semi"),
        *("mer2025-des", "mer2025-fg", "mer2025-pr", "mer2025-semi"),
        *("mer2026-cross", "mer2026-fg", "mer2026-prefer", "mer2026-prefer-three", "mer2026-ps"),
    ]
    assert {name for name, track in tracks.items() if not track.splits["test"].hidden} == {
        "mer2024-ov", "mer2024-ov-exact", "mer2025-pr", "mer2026-ps"
    }  # fmt: skip


# Six emotions


def write_six_emotions(name: str, files: Path) -> Imported:
    """Write six candidates, a to f, four of which have references."""
    candidates, train, references = SIX_EMOTIONS[name]
    write_table(files / candidates, "name", *"abcdef")
    write_table(files / train, "name discrete", ["t1", "happy"], ["t2", "worried"], ["a", "sad"])
    write_table(files / references, "name discrete", ["b", "happy"], ["c", "happy"], ["d", "sad"], ["e", "angry"])
    return imported(name, files)


SIX_ANSWERS = [["a", "neutral"], ["b", "happy"], ["c", "sad"], ["d", "sad"], ["e", "happy"], ["f", "worried"]]


@pytest.mark.checks(BY_HAND, of="{name}")
@pytest.mark.parametrize("name", SIX_EMOTIONS)
def test_six_emotions_are_scored_on_the_hidden_subset(name: str, files: Path, tmp_path: Path) -> None:
    write_six_emotions(name, files)
    report = merbench.score(name, submission(tmp_path, "name discrete", SIX_ANSWERS), intervals=False)
    # happy: one right, one too many, one missed: 1/2, twice; sad: one right, one too many: 2/3; angry: 0.
    expected = {"weighted_f1": (2 / 2 + 2 / 3) / 4, "accuracy": 2 / 4, "macro_f1": (1 / 2 + 2 / 3) / 6}
    assert by_name(report) == pytest.approx(expected, abs=1e-12)
    assert (report.counts["candidates"], report.counts["scored"], report.hidden) == (6, 4, True)
    assert report.public().counts == {"candidates": 6, "rows": 6, "extra": 0}


@pytest.mark.parametrize("name", SIX_EMOTIONS)
def test_all_candidates_are_asked_for_and_others_as_the_edition_has_it(name: str, files: Path, tmp_path: Path) -> None:
    write_six_emotions(name, files)
    # Candidate f is not scored, and its absence is reported like that of any other.
    short = submission(tmp_path, "name discrete", SIX_ANSWERS[:5], "short.csv")
    assert reported(name, short) == ["E301  1 of 6 candidates missing: f"]
    more = submission(tmp_path, "name discrete", [*SIX_ANSWERS, ["g9", "happy"]], "more.csv")
    if name == "mer2026-cross":
        report = merbench.score(name, more, intervals=False)
        assert (report.counts["extra"], report["accuracy"].value) == (1, 0.5)
        assert [warning.code for warning in report.warnings] == ["W301"]
    else:
        assert [problem[:14] for problem in reported(name, more)] == ["E302  line 8: "]


def test_a_candidate_is_not_a_training_sample(files: Path) -> None:
    result = write_six_emotions("mer2025-semi", files)
    assert [warning.code for warning in result.warnings] == ["W604", "W605"]
    train = merbench.open_candidates(merbench.load_track("mer2025-semi"), "train")
    assert train.ids.to_pylist() == ["t1", "t2"]


# Open vocabulary


@pytest.mark.checks(BY_HAND, "mer2024-ov", "mer2024-ov-exact")
def test_open_vocabulary_takes_a_submission_of_more_clips(files: Path, tmp_path: Path) -> None:
    write_table(
        files / "check-openset.csv", "name openset",
        ["b", "['happy', 'calm']"], ["c", '["don\'t believe"]'], ["d", "['angry']"],
    )  # fmt: skip
    imported("mer2024-ov", files)
    rows = [["b", "['Happy', 'sad', 'glad']"], ["c", '["don\'t believe"]'], ["d", ""], ["elsewhere", "['calm']"]]
    path = submission(tmp_path, "name openset", rows)
    # b: precision 1/3, recall 1/2, Jaccard 1/4; c: two labels on both sides, 1; d: nothing said, 0.
    expected = {"set_accuracy": 4 / 9, "set_recall": 1 / 2, "set_average": 17 / 36, "set_jaccard": 5 / 12}
    assert values("mer2024-ov-exact", path) == pytest.approx(expected, abs=1e-12)
    report = merbench.score("mer2024-ov-exact", path, intervals=False)
    assert (report.counts["extra"], report.counts["scored"], report.public()) == (1, 3, report)
    assert reported("mer2024-ov-exact", submission(tmp_path, "name openset", rows[1:], "short.csv")) == [
        "E301  1 of 3 candidates missing: b"
    ]
    # A comma within quotes stays part of its word, and words are not trimmed: one of b's three words is right.
    untrimmed = [["b", "['happy', 'sad, calm', ' calm']"], *rows[1:3]]
    path_untrimmed = submission(tmp_path, "name openset", untrimmed, "untrimmed.csv")
    assert values("mer2024-ov-exact", path_untrimmed)["set_accuracy"] == pytest.approx((1 / 3 + 1) / 3, abs=1e-12)

    with pytest.raises(UnknownName, match=r"^no groups named 'mer2024-ov' \(known: none\); `merbench groups import`"):
        merbench.score("mer2024-ov", path)
    groups = {"b": [["happy", "glad"], ["calm"], ["sad"]], "c": [["don"], ["t believe"]]}
    lines = [json.dumps({"name": name, "groups": str(result)}) for name, result in groups.items()]
    (tmp_path / "groups.jsonl").write_text("\n".join(lines), encoding="utf-8")
    import_groups("mer2024", tmp_path / "groups.jsonl", "mer2024-ov")
    # b: glad is happy: precision 1/2, recall 1/2, Jaccard 1/3; c and d as before.
    grouped = {"set_accuracy": 1 / 2, "set_recall": 1 / 2, "set_average": 1 / 2, "set_jaccard": 4 / 9}
    assert values("mer2024-ov", path) == pytest.approx(grouped, abs=1e-12)


def write_lexicon(folder: Path, name: str) -> None:
    """Import five small wheels; only the first one distinguishes sad from angry at level 1."""
    write_table(
        folder / "format.csv", "name format", ["happy", "happier"], ["glad", ""], ["sad", "sadder"], ["angry", ""]
    )
    write_table(folder / "synonym.csv", "word_run1 synonym_run1", ["happy", "glad"], ["sad", ""], ["angry", ""])
    apart = [["joy", "content", "happy"], ["grief", "hurt", "sad"], ["rage", "mad", "angry"]]
    together = [["good", "content", "happy"], ["bad", "hurt", "sad"], ["bad", "mad", "angry"]]
    for number in range(1, 6):
        write_table(folder / f"wheel{number}.csv", "level1 level2 level3", *(apart if number == 1 else together))
    import_lexicon(folder, name)


WHEEL_REFERENCES = [["s1", "['happy', 'sad']"], ["s2", "['angry']"], ["s3", "['zzz']"], ["s4", "['sad', 'zzz']"]]
WHEEL_VALUES = {
    # Wheel 1: joy of {joy, grief}, grief for rage, s3 skipped, nothing for grief. P 1/3, R 1/6, F of them 2/9.
    # Wheels 2 to 5: good of {good, bad}, bad for bad, s3 skipped, nothing for bad. P 2/3, R 1/2, F of them 4/7.
    "emotion_wheel_f1": (2 / 9 + 4 * 4 / 7) / 5,
    "emotion_wheel_precision": (1 / 3 + 4 * 2 / 3) / 5,
    "emotion_wheel_recall": (1 / 6 + 4 * 1 / 2) / 5,
}


@pytest.mark.checks(BY_HAND, of="{name}")
@pytest.mark.parametrize("name", FINE_GRAINED)
def test_fine_grained_labels_are_scored_by_the_wheels_of_the_year(name: str, files: Path, tmp_path: Path) -> None:
    candidates, references = FINE_GRAINED[name]
    write_table(files / candidates, "name", *[[f"s{number}"] for number in range(6)])
    write_table(files / references, "name openset", *WHEEL_REFERENCES)
    write_lexicon(tmp_path / "wheels", name.removesuffix("-fg"))
    imported(name, files)
    sets = ["['angry']", "['Glad', 'qqq']", "['sadder']", "['happy']", "[]", "['qqq']"]
    path = submission(tmp_path, "name openset", [[f"s{number}", cell] for number, cell in enumerate(sets)])
    assert values(name, path) == pytest.approx(WHEEL_VALUES, abs=1e-12)

    # The same as the organizers' code writes it, with a name too many; s5, which is not scored, may not be missing.
    archive, short = tmp_path / "submission.npz", tmp_path / "short.npz"
    names = [*(f"s{number}" for number in range(6)), "elsewhere"]
    np.savez(archive, filenames=np.array(names), fileitems=np.array([*sets, "['sad']"]))
    report = merbench.score(name, archive, intervals=False)
    assert by_name(report) == pytest.approx(WHEEL_VALUES, abs=1e-12)
    assert report.counts["extra"] == 1
    np.savez(short, filenames=np.array(names[:5]), fileitems=np.array(sets[:5]))
    assert reported(name, short) == ["E301  1 of 6 candidates missing: s5"]


@pytest.mark.checks(BY_HAND, "mer2025-des")
def test_a_description_is_scored_by_its_words_next_to_the_labels(files: Path, tmp_path: Path) -> None:
    write_table(files / "track_all_candidates.csv", "name", *[[f"s{number}"] for number in range(5)])
    write_table(files / "track3_train_ovmerd.csv", "name reason", ["t", "He laughs."])
    write_table(files / "track3_test.csv", "name openset", *WHEEL_REFERENCES)
    write_lexicon(tmp_path / "wheels", "mer2025")
    imported("mer2025-des", files)
    texts = ["He is angry.", "She seems glad, and is not angry.", "He looks sadder now.", "Happy.", "She says little."]
    sets = ["['sad']", *(cell for _, cell in WHEEL_REFERENCES)]
    rows = [[f"s{number}", cell, text] for number, (cell, text) in enumerate(zip(sets, texts, strict=True))]
    result = values("mer2025-des", submission(tmp_path, "name openset reason", rows))
    assert result["emotion_wheel_f1(openset,level=1,wheel=all)"] == 1.0
    assert result["emotion_wheel_f1(reason,level=1,wheel=all)"] == pytest.approx(
        WHEEL_VALUES["emotion_wheel_f1"], abs=1e-12
    )


# Personality


TRAITS = ("openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism")


@pytest.mark.checks(BY_HAND, "mer2025-pr")
def test_several_rows_of_a_person_are_averaged(files: Path, tmp_path: Path) -> None:
    header = " ".join(["sample_id", *TRAITS])
    write_table(files / "samples.csv", "sample_id split", ["a", "test"], ["b", "test"], ["c", "test"], ["t", "train"])
    write_table(files / "reference.csv", header, ["a", *[1] * 5], ["b", *[2] * 5], ["c", *[3] * 5])
    imported("mer2025-pr", files)
    rows = [[name, *[value] * 5] for name, value in (("a", 0), ("c", 5), ("b", 2), ("a", 2))]
    path = submission(tmp_path, header, rows)
    result = values("mer2025-pr", path)
    # a is 1: the errors are 0, 0, 2. Deviations −1, 0, 1 and −5/3, −2/3, 7/3; means 2 and 8/3.
    assert result["overall"] == pytest.approx(-math.sqrt(4 / 3), abs=1e-12)
    for trait in TRAITS:
        assert result[f"rmse({trait})"] == pytest.approx(math.sqrt(4 / 3), abs=1e-12)
        assert result[f"pcc({trait})"] == pytest.approx(4 / math.sqrt(2 * 26 / 3), abs=1e-12)
        assert result[f"ccc({trait},form=population)"] == pytest.approx(2 / 3, abs=1e-12)
    refusing = variant(tmp_path, "mer2025-pr", ('duplicate_ids = "mean"', 'duplicate_ids = "error"'))
    assert reported(str(refusing), path) == ["E303  line 5: duplicate id 'a' (first at line 2)"]


def test_the_columns_of_the_released_baseline_are_read(files: Path, tmp_path: Path) -> None:
    header = " ".join(["sample_id", *TRAITS])
    write_table(files / "samples.csv", "sample_id split", ["a", "test"], ["b", "test"], ["c", "test"])
    write_table(files / "reference.csv", header, ["a", *[1] * 5], ["b", *[2] * 5], ["c", *[3] * 5])
    imported("mer2025-pr", files)
    released = ["id", "Extraversion", "Agreeableness", "Conscientiousnes", "Neuroticism", "Open Mindedness"]
    rows = [["a", 2, 3, 4, 5, 6], ["b", 2, 3, 4, 5, 6], ["c", 2, 3, 4, 5, 6]]
    path = tmp_path / "baseline.csv"
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in [released, *rows]), encoding="utf-8")
    report = merbench.score("mer2025-pr", path, intervals=False)
    result = {item.target: item.value for item in report.scores if item.name.startswith("rmse")}
    # References 1, 2, 3: errors of a constant k are k - 1, k - 2, k - 3.
    answers = {"extraversion": 2, "agreeableness": 3, "conscientiousness": 4, "neuroticism": 5, "openness": 6}
    expected = {trait: math.sqrt(sum((k - n) ** 2 for n in (1, 2, 3)) / 3) for trait, k in answers.items()}
    assert result == pytest.approx(expected, abs=1e-12)
    assert [warning.code for warning in report.warnings] == ["W204"]


# Preference


STAGE_ONE = [["p1", "a1"], ["p2", "a2"], ["p3", "same"]]
STAGE_TWO = [["q1", "a2"], ["q2", "a2"], ["q3", "a2"], ["q4", "same"]]
PREFERRED = [
    ["p1", "same"], ["p2", "a1"], ["p3", "a2"], ["p4", "a1"],
    ["q1", "a2"], ["q2", "a2"], ["q3", "a2"], ["q4", "same"],
]  # fmt: skip


def write_pairs(files: Path, *, stages: int = 2) -> None:
    """Write four pairs per stage; p4 is not scored."""
    for prefix, name, rows in (("", "p", STAGE_ONE), ("stage2_", "q", STAGE_TWO))[:stages]:
        pairs = [[f"{name}{number}", "one", "the other"] for number in range(1, 5)]
        write_table(files / f"{prefix}track3_candidate.csv", "name a1 a2", *pairs)
        write_table(files / f"{prefix}track3_test.csv", "name preference", *rows)
    imported("mer2026-prefer", files)


@pytest.mark.checks(BY_HAND, "mer2026-prefer", "mer2026-prefer-three")
def test_the_mean_of_the_two_stages_counts(files: Path, tmp_path: Path) -> None:
    write_pairs(files)
    path = submission(tmp_path, "name preference", PREFERRED)
    # Stage 1: `same` is read as a1 for p1, p3 is left out: 1 of 2; F1 2/3 and 0. Stage 2: 3 of 3. Pooled: 4 of 5.
    expected = {"weighted_f1": (1 / 3 + 1) / 2, "accuracy": (1 / 2 + 1) / 2}
    assert values("mer2026-prefer", path) == pytest.approx(expected, abs=1e-12)
    assert merbench.score("mer2026-prefer", path, intervals=False).counts["scored"] == 5
    # With `same` as a class, stage 1 has 0 of 3; stage 2 has 4 of 4, and no a1 to be found.
    three = {"weighted_f1": 1 / 2, "accuracy": 1 / 2, "macro_f1": (0 + 2 / 3) / 2}
    assert values("mer2026-prefer-three", path) == pytest.approx(three, abs=1e-12)


def test_the_first_stage_counts_until_there_is_a_second(files: Path, tmp_path: Path) -> None:
    write_pairs(files, stages=1)
    result = values("mer2026-prefer", submission(tmp_path, "name preference", PREFERRED[:4]))
    assert result == pytest.approx({"weighted_f1": 1 / 3, "accuracy": 1 / 2}, abs=1e-12)


def test_answers_in_free_text_are_read_by_the_released_rule(files: Path, tmp_path: Path) -> None:
    write_pairs(files)
    reading = variant(tmp_path, "mer2026-prefer", ('same = "dropped"', 'same = "dropped"\nreading = "answer"'))
    texts = ["I cannot say.", "A1, not a2", "A2", "both are the same", "I like A2 better than a1", "a2", "A2!", "a1"]
    rows = [[name, text] for (name, _), text in zip(PREFERRED, texts, strict=True)]
    result = values(reading, submission(tmp_path, "name preference", rows))
    assert result == pytest.approx({"weighted_f1": (1 / 3 + 1) / 2, "accuracy": 3 / 4}, abs=1e-12)


# Trajectories


@pytest.mark.checks(BY_HAND, "mer2026-ps")
def test_trajectories_are_scored_over_all_seconds_and_within_recordings(files: Path, tmp_path: Path) -> None:
    ids = ["p1_c1/0001", "p1_c1/0002", "p2_c1/0001", "p2_c1/0002"]
    samples = [[name, "test", name[:2], name[:5], int(name[-1])] for name in ids]
    write_table(files / "samples.csv", "sample_id split speaker recording position", *samples)
    valence, arousal = (100, 110, 200, 210), (128, 130, 126, 140)
    write_table(files / "reference.csv", "sample_id valence arousal", *zip(ids, valence, arousal, strict=True))
    imported("mer2026-ps", files)
    path = submission(tmp_path, "sample_id valence arousal", list(zip(ids, (105, 105, 205, 205), arousal, strict=True)))
    report = merbench.score("mer2026-ps", path, n_resamples=100)
    result = {item.key: item.value for item in report.scores}
    # Means of recordings: both means 155, variances 2525 and 2500, covariance 2500, all errors 5; within one, constant.
    within = "per=recording,aggregate=mean"
    assert result == pytest.approx(
        {
            "overall": (200 / 201 + 1) / 2,
            "ccc(valence,form=population)": 200 / 201,
            "ccc(arousal,form=population)": 1,
            "pcc(valence)": 50 / math.sqrt(2525),
            "pcc(arousal)": 1,
            "rmse(valence)": 5,
            "rmse(arousal)": 0,
            f"ccc(valence,form=population,{within})": 0,
            f"ccc(arousal,form=population,{within})": 1,
            f"pcc(valence,{within})": 0,
            f"pcc(arousal,{within})": 1,
            f"rmse(valence,{within})": 5,
            f"rmse(arousal,{within})": 0,
        },
        abs=1e-12,
    )
    assert "|cluster:speaker|" in report.signature
    outside = submission(tmp_path, "sample_id valence arousal", [[name, 0, 128] for name in ids[1:]], "outside.csv")
    assert reported("mer2026-ps", outside) == [
        "E301  1 of 4 candidates missing: p1_c1/0001",
        "E204  line 2, valence: '0' is not a number in [1, 255]; and 2 more lines (3, 4)",
    ]


# EMER


@pytest.mark.checks(BY_HAND, "emer", "emer-judge")
def test_emer_scores_labels_and_the_words_of_descriptions(files: Path, tmp_path: Path) -> None:
    write_table(
        files / "descriptions.csv", "name chinese english", ["a", "他笑", "He smiles."], ["b", "", "She shouts."]
    )
    write_table(files / "check-openset.csv", "name openset", ["a", "['happy', 'sad']"], ["b", "['angry']"])
    imported("emer", files)
    rows = [["a", "['happy']", "He is happy."], ["b", "['angry']", "She shouts, but is not angry."]]
    result = values("emer", submission(tmp_path, "name openset description", rows))
    # Labels: precision 1, 1; recall 1/2, 1. Words: precision 1, 0; recall 1/2, 0 on both wheels, F of the means.
    words = 2 * (1 / 2) * (1 / 4) / (1 / 2 + 1 / 4)
    expected = {"set_average": 7 / 8, "set_accuracy": 1, "set_recall": 3 / 4, "emotion_wheel_f1": words}
    assert result == pytest.approx(expected, abs=1e-12)

    judged = submission(tmp_path, "name clue_overlap label_overlap", [["a", 7, 5], ["b", 4, 2]], "judged.csv")
    report = merbench.score("emer-judge", judged, intervals=False)
    assert [(item.target, item.value) for item in report.scores] == [("clue_overlap", 5.5), ("label_overlap", 3.5)]
    beyond = submission(tmp_path, "name clue_overlap label_overlap", [["a", 7, 5], ["b", 11, 0]], "beyond.csv")
    assert reported("emer-judge", beyond) == [
        "E204  line 3, clue_overlap: '11' is not a number in [1, 10]",
        "E204  line 3, label_overlap: '0' is not a number in [1, 10]",
    ]


# The real label sets, and what the released scorers make of them


@pytest.fixture
def golden(test_data: Path) -> dict[str, dict[str, float]]:
    """Import the 332 clips and return the expected values of the released prediction for them."""
    imported("mer2024-ov", test_data / "data")
    text = (test_data / "golden" / "open-vocabulary-real" / "expected.json").read_text(encoding="utf-8")
    expected: dict[str, dict[str, float]] = json.loads(text)
    return expected


@pytest.mark.checks(PUBLISHED, "mer2024-ov")
@pytest.mark.real_data
def test_open_vocabulary_with_the_released_groups(golden: dict[str, dict[str, float]], test_data: Path) -> None:
    files = test_data / "data" / "mer2024-ov"
    import_groups("mer2024", files / "synonym-groups.jsonl", "mer2024-ov")
    result = values("mer2024-ov", files / "predict-openset.csv")
    for key, value in golden["mer2024:groups"].items():
        if key != "split":
            assert result[f"set_{key}"] == pytest.approx(value, abs=1e-12)


@pytest.mark.checks(SCORER, "mer2024-ov-exact")
@pytest.mark.real_data
def test_open_vocabulary_without_groups(golden: dict[str, dict[str, float]], test_data: Path, tmp_path: Path) -> None:
    prediction = test_data / "data" / "mer2024-ov" / "predict-openset.csv"
    # What the organizers' scorer gives without groups, to the digits that are known.
    released = values("mer2024-ov-exact", prediction)
    assert released["set_accuracy"] == pytest.approx(0.254167, abs=5e-7)
    assert released["set_recall"] == pytest.approx(0.175657, abs=5e-7)
    true, texts = (released_sets(prediction.with_name(f"{side}-openset.csv")) for side in ("check", "predict"))
    both = {name: len(true[name] & texts[name]) for name in true}
    accuracy = math.fsum(n / max(len(texts[name]), 1) for name, n in both.items()) / 332
    recall = math.fsum(n / len(true[name]) for name, n in both.items()) / 332
    expected = {"set_accuracy": accuracy, "set_recall": recall, "set_average": (accuracy + recall) / 2}
    assert {key: released[key] for key in expected} == pytest.approx(expected, abs=1e-12)
    # Another way to read the cells, as Python lists, for which exact values are known.
    python = values(variant(tmp_path, "mer2024-ov-exact", ('split = "mer2024"', 'split = "python"')), prediction)
    lists = golden["mer2024:exact-match"]
    assert python["set_accuracy"] == pytest.approx(lists["accuracy"], abs=1e-12)
    assert python["set_recall"] == pytest.approx(lists["recall"], abs=1e-12)


def released_sets(path: Path) -> dict[str, set[str]]:
    """Return the label set of every clip, as the scorer of 2024 splits it."""
    sets = {}
    for row in read_table(path):
        inside = row["openset"].split("[", 1)[1].split("]", 1)[0]
        sets[row["name"]] = {piece.lower() for piece in re.split("['\"]", inside) if piece.strip() not in ("", ",")}
    return sets


@pytest.mark.slow
@pytest.mark.checks(SCORER, of="{name}")
@pytest.mark.real_data
@pytest.mark.parametrize("name", FINE_GRAINED)
def test_the_wheels_of_a_year_are_scored_as_released(
    name: str, golden: dict[str, dict[str, float]], test_data: Path, tmp_path: Path
) -> None:
    year = name.removesuffix("-fg")
    import_lexicon(test_data / "data" / "emotion-wheel" / year)
    track = variant(tmp_path, name, (f'corpus = "{name}"', 'corpus = "mer2024-ov"'))
    result = values(track, test_data / "data" / "mer2024-ov" / "predict-openset.csv")
    expected = {f"emotion_wheel_{key}": value for key, value in golden[f"{year}:level1"].items()}
    assert result == pytest.approx(expected, abs=1e-12)
