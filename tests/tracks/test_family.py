"""The tracks around MER: made-up release files, scored, with values worked out by hand."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from checked_tracks import BY_HAND, CONFUSION
from made_corpus import made_corpus
from released_files import release, write_table
from released_tracks import Rows, imported, reported, submission, values, variant

import merbench
from merbench.cli import run
from merbench.corpus import CORPORA, Feature, Imported, frame_corpus
from merbench.errors import UsageError
from merbench.track import Track, list_tracks, load_track

pytestmark = pytest.mark.usefixtures("home")

FAMILIES = {"merbench": 17, "ger": 19, "dfer": 9, "speech": 1, "abaw": 3, "add": 4, "ood": 1, "mer-unibench": 9}
FAMILY = [track for track in list_tracks() if track.family in FAMILIES]


def plain(name: str, files: Path, samples: tuple[str, Rows], reference: tuple[str, Rows]) -> Imported:
    """Import a corpus from the two files that anybody can write."""
    write_table(files / "samples.csv", samples[0], *samples[1])
    write_table(files / "reference.csv", reference[0], *reference[1])
    return imported(name, files)


def close(value: float) -> object:
    return pytest.approx(value, abs=1e-12)


# Declarations and cards


def test_the_families_are_complete() -> None:
    result = [track.family for track in FAMILY]
    assert {name: result.count(name) for name in FAMILIES} == FAMILIES


@pytest.mark.parametrize("track", FAMILY, ids=lambda track: track.id)
def test_a_card_fits_its_track(track: Track) -> None:
    card = (track.folder / "README.md").read_text(encoding="utf-8")
    assert re.search(f"merbench corpus (import|create) {track.corpus} ", card)
    assert [line for line in card.splitlines() if line.startswith("## ")] == [
        "## Data",
        "## Metric",
        "## Published results",
    ]
    header = re.search("```\n(.*)\n", card)
    targets = [column for name, target in track.targets.items() for column in target.columns(name)]
    if track.submission.duplicate_ids == "mean":
        (target,) = track.targets.values()
        targets = [f"p_{label}" for label in getattr(target, "labels", ())]
    assert header is not None
    assert header[1] == ",".join([track.submission.id, *targets])


@pytest.mark.parametrize("track", FAMILY, ids=lambda track: track.id)
def test_the_corpus_of_a_track_can_be_imported(track: Track) -> None:
    assert track.corpus == "ood-emotion" or release(track.corpus).name == track.corpus


# MERBench


@pytest.mark.checks(BY_HAND, "iemocap-4")
def test_folds_are_averaged_and_pooled(files: Path) -> None:
    rows = [
        ("Ses01F_impro01_F000", 0),
        ("Ses02F_impro01_F000", 0),
        ("Ses02M_script01_M001", 1),
        ("Ses02F_impro01_M002", 2),
    ]
    write_table(files / "labels-4way.csv", "name split discrete", *((name, "all", code) for name, code in rows))
    imported("iemocap-4", files)
    result = values("iemocap-4", submission(files, "name discrete", [(name, "happy") for name, _ in rows]))
    # Session 1: all right. Session 2: one of three; F1 of happy is 2 / (3 + 1), its share a third.
    # Pooled: two of four are right, F1 of happy is 4 / (4 + 2), its share a half.
    assert result == {
        "weighted_f1(discrete,per=fold,aggregate=mean)": close((1 + 1 / 6) / 2),
        "accuracy(discrete,per=fold,aggregate=mean)": close((1 + 1 / 3) / 2),
        "unweighted_average_recall(discrete,per=fold,aggregate=mean)": close((1 + 1 / 3) / 2),
        "weighted_f1(discrete)": close(1 / 3),
        "accuracy(discrete)": 0.5,
        "unweighted_average_recall(discrete)": close(1 / 3),
    }


def write_sentiment(name: str, files: Path, references: Sequence[float]) -> list[str]:
    ids = [f"video_{i}" for i in range(len(references))]
    rows = [(name, "test", reference) for name, reference in zip(ids, references, strict=True)]
    write_table(files / "labels.csv", "name split sentiment", *rows)
    imported(name, files)
    return ids


@pytest.mark.checks(BY_HAND, of="{name}")
@pytest.mark.parametrize("name", ["cmu-mosi", "cmu-mosei"])
def test_zeros_are_left_out_or_not_and_halves_are_rounded_to_even(name: str, files: Path) -> None:
    ids = write_sentiment(name, files, [-1.0, 0.0, 2.0, 0.5])
    result = values(name, submission(files, "name sentiment", list(zip(ids, [0.0, -0.6, 2.5, 1.5], strict=True))))
    # Without zeros: negative, positive, positive on both sides, a predicted 0 being negative.
    # With them, 0 being non-negative: - + + + against + - + +.
    # Rounded: -1 0 2 0 against 0 -1 2 2: one of four. Were halves rounded up, 2.5 would be 3, and none.
    assert result["mosi_non0_accuracy"] == result["mosi_non0_weighted_f1"] == 1.0
    assert result["mosi_has0_accuracy"] == 0.5
    # F1 of negative is 0, that of non-negative 4 / (3 + 3), its share three of four.
    assert result["mosi_has0_weighted_f1"] == close(0.75 * 2 / 3)
    assert result["mosi_accuracy_7"] == 0.25
    assert result["mae"] == close((1 + 0.6 + 0.5 + 1) / 4)


@pytest.mark.checks(BY_HAND, of="{name}")
@pytest.mark.parametrize("name", ["ch-sims", "ch-sims-v2"])
def test_an_edge_is_in_the_bin_below_it(name: str, files: Path) -> None:
    ids = write_sentiment(name, files, [0.0, 0.1, 0.7, -0.1])
    result = values(name, submission(files, "name sentiment", list(zip(ids, [0.05, 0.1, 0.71, -0.05], strict=True))))
    # Of two: 0 is in the lower bin, 0.05 in the upper one. Of three: -0.1 is in the lowest bin, -0.05 in the middle.
    # Of five: 0.7 is in the fourth bin, 0.71 in the fifth, too.
    assert result["sims_accuracy_2"] == 0.75
    assert result["sims_accuracy_3"] == 0.75
    assert result["sims_accuracy_5"] == 0.5
    # F1 of the lower bin is 2 / (2 + 1), that of the upper one 4 / (2 + 3), half of the clips each.
    assert result["sims_weighted_f1"] == close((2 / 3 + 4 / 5) / 2)
    assert result["sims_mae"] == close((0.05 + 0.01 + 0.05) / 4)
    assert result["mosi_non0_accuracy"] == 1.0


@pytest.mark.checks(BY_HAND, "iemocap-to-meld", "mer2023-to-meld")
def test_other_emotions_do_not_count_between_corpora(files: Path) -> None:
    rows = [("test_dia0_utt0", 1), ("test_dia0_utt1", 0), ("test_dia0_utt2", 4), ("test_dia1_utt0", 3)]
    write_table(files / "labels.csv", "name split discrete", *((name, "test", code) for name, code in rows))
    imported("meld", files)
    answers = [(name, answer) for (name, _), answer in zip(rows, ["happy", "sad", "happy", "neutral"], strict=True)]
    path = submission(files, "name discrete", answers)
    # joy is happy, anger is angry, disgust does not count, neutral is neutral: two of three.
    for track in ("iemocap-to-meld", "mer2023-to-meld"):
        assert merbench.score(track, path, intervals=False).counts["scored"] == 3
        assert values(track, path)["accuracy"] == close(2 / 3)
    assert reported("iemocap-to-meld", submission(files, "name discrete", answers[:3])) == [
        "E301  1 of 4 candidates missing: test_dia1_utt0"
    ]
    spelled = [(name, "joy" if answer == "happy" else answer) for name, answer in answers]
    assert values("iemocap-to-meld", submission(files, "name discrete", spelled))["accuracy"] == close(2 / 3)


@pytest.mark.checks(BY_HAND, "cmu-mosi-to-ch-sims")
def test_references_of_ch_sims_are_on_the_scale_of_cmu_mosi(files: Path) -> None:
    ids = write_sentiment("ch-sims", files, [-1.0, 0.0, 0.5])
    path = submission(files, "name sentiment", list(zip(ids, [-3.0, 0.5, 1.0], strict=True)))
    # References -3, 0, 1.5.
    assert values("cmu-mosi-to-ch-sims", path)["mae"] == close((0 + 0.5 + 0.5) / 3)
    assert values("cmu-mosi-to-ch-sims", path)["mosi_non0_accuracy"] == 1.0


def test_a_condition_column_makes_a_report_over_missing_rates(tmp_path: Path, files: Path) -> None:
    # As the card of cmu-mosi says: one row per clip and rate. Two clips each, both right up to 0.2, then one.
    rates = [rate / 10 for rate in range(6)]
    ids = [f"video_{clip}@{rate}" for rate in rates for clip in (1, 2)]
    made_corpus(CORPORA.home / "ch-sims", name="ch-sims", samples=pa.table({"sample_id": ids, "split": ["test"] * 12, "dialogue": ["video"] * 12,
                          "missing_rate": [rate for rate in rates for _ in (1, 2)]}), reference=pa.table({"sample_id": ids, "sentiment": [0.5] * 12}))  # fmt: skip
    answers = [0.5 if clip == 1 or rate < 0.25 else -0.5 for rate in rates for clip in (1, 2)]
    path = submission(files, "name sentiment", list(zip(ids, answers, strict=True)))
    metric = 'name = "sims_accuracy_2"\ntarget = "sentiment"'
    area = variant(tmp_path / "area", "ch-sims", (metric, f'{metric}\nper = "missing_rate"\naggregate = "auilc"'))
    mean = variant(tmp_path / "mean", "ch-sims", (metric, f'{metric}\nper = "missing_rate"'))
    # 0.1 * (1 + 1 + 0.75 + 0.5 + 0.5): about half the mean, as the range of rates is 0.5 and not divided by.
    assert values(area, path)["sims_accuracy_2"] == close(0.375)
    assert values(mean, path)["sims_accuracy_2"] == close(0.75)


# Ranked answers


def write_ger(name: str, files: Path, references: Rows) -> None:
    write_table(files / "label.csv", "name gt", *references)
    imported(f"ger-{name}", files)


@pytest.mark.checks(BY_HAND, "ger-ckplus")
def test_a_first_answer_outside_the_vocabulary_is_wrong_and_a_missing_one_is_dropped(files: Path) -> None:
    write_ger("ckplus", files, [("a", "Happy"), ("b", "fear"), ("c", "fear"), ("d", "disgust"), ("e", "anger")])
    rows = [("a", "HAPPY, fear"), ("b", "anger,Fear"), ("c", "neutral,fear"), ("d", "disgust")]
    report = merbench.score("ger-ckplus", submission(files, "name discrete", rows), intervals=False)
    # e is dropped; of four, a and d are right; b and c have the right one second.
    assert report["first_accuracy"].value == 0.5
    assert report["top_k_accuracy"].value == 1.0
    # Recall of happy 1, fear 0, disgust 1; anger has no row left.
    assert report["ranked_unweighted_average_recall"].value == close(2 / 3)
    assert report.counts["dropped"] == 1


@pytest.mark.checks(BY_HAND, of="ger-{name}")
@pytest.mark.parametrize("name", ["dfew", "enterface", "ferv39k"])
def test_three_sets_drop_what_is_outside_the_vocabulary(name: str, files: Path) -> None:
    first, second, third, *_ = getattr(load_track(f"ger-{name}").targets["discrete"], "labels", ())
    write_ger(name, files, [("1", first.title()), ("2", second), ("3", third)])
    rows = [("1", f"{first},{third}"), ("2", f"Pain,{second}"), ("3", f"{second.upper()},{third}")]
    assert values(f"ger-{name}", submission(files, "name discrete", rows))["first_accuracy"] == 0.5


@pytest.mark.checks(BY_HAND, of="ger-{name}")
@pytest.mark.parametrize("name", ["casme2", "ferplus", "ravdess", "samm", "sfew2", "twitter2"])
def test_all_other_sets_count_it_as_wrong(name: str, files: Path) -> None:
    first, second, *_ = getattr(load_track(f"ger-{name}").targets["discrete"], "labels", ())
    write_ger(name, files, [("1.jpg", first), ("2.jpg", first), ("3.jpg", second), ("4.jpg", second)])
    suffix = "" if name in ("casme2", "ravdess", "samm") else ".jpg"
    rows = [
        (f"{place}{suffix}", answer) for place, answer in ((1, first), (2, f"pain,{first}"), (3, second), (4, first))
    ]
    # As the answers were released: their column is called gpt4v, and those of three sets lack the suffix.
    result = values(f"ger-{name}", submission(files, "name gpt4v", rows))
    assert result["first_accuracy"] == 0.5
    # Of each class, one of two is right.
    assert result["ranked_unweighted_average_recall"] == 0.5


@pytest.mark.checks(BY_HAND, "ger-twitter1")
def test_the_three_lists_of_twitter_are_parts_of_each_other(files: Path) -> None:
    for name, rows in (
        ("five_agree", [("a", "positive")]),
        ("at_least_four_agree", [("a", "positive"), ("b", "negative")]),
        ("at_least_three_agree", [("a", "positive"), ("b", "negative"), ("c", "positive")]),
    ):
        write_table(files / f"label_{name}.csv", "name gt", *rows)
    imported("ger-twitter1", files)
    path = submission(files, "name gpt4v", [("a", "positive"), ("b", "positive"), ("c", "negative")])
    assert values("ger-twitter1", path)["first_accuracy"] == close(1 / 3)
    allowed = variant(
        files / "allowed", "ger-twitter1", ('missing_ids = "dropped"', 'missing_ids = "dropped"\nextra_ids = "allow"')
    )
    assert values(allowed, path, split="four")["first_accuracy"] == 0.5
    assert values(allowed, path, split="five")["first_accuracy"] == 1.0


@pytest.mark.checks(BY_HAND, "ger-affectnet")
def test_an_id_of_affectnet_is_a_base_name(files: Path) -> None:
    write_ger("affectnet", files, [("1/a.JPG", "Surprise"), ("10/b.jpg", "Contempt")])
    rows = [("a.JPG", "Surprise"), ("b.jpg", "Disgust,Contempt")]
    assert values("ger-affectnet", submission(files, "name discrete", rows))["first_accuracy"] == 0.5
    rows = [("1/a.JPG", "Surprise"), ("10/b.jpg", "Disgust,Contempt")]
    assert values("ger-affectnet", submission(files, "name discrete", rows))["first_accuracy"] == 0.5


@pytest.mark.checks(BY_HAND, of="ger-{name}")
@pytest.mark.parametrize(("name", "calm"), [("abstract", "content"), ("artphoto", "contentment")])
def test_an_emotion_of_a_picture_counts_by_its_sign(name: str, calm: str, files: Path) -> None:
    write_ger(name, files, [("a", calm), ("b", "Awe"), ("c", "fear"), ("d", "Sad")])
    rows = [("a", "Excitement,fear"), ("b", "sad,awe"), ("c", "Disgust"), ("d", f"{calm},sad")]
    assert values(f"ger-{name}", submission(files, "name polarity", rows))["first_accuracy"] == 0.5


@pytest.mark.checks(BY_HAND, of="ger-{name}")
@pytest.mark.parametrize("name", ["cmu-mosi", "ch-sims"])
def test_neutral_answers_are_negative_and_references_of_zero_do_not_count(name: str, files: Path) -> None:
    write_ger(name, files, [("a", 0.6), ("b", 0), ("c", -0.4), ("d", 0.2)])
    rows = [("a", "weakly positive,neutral"), ("b", "positive"), ("c", "neutral"), ("d", "neutral,weakly positive")]
    result = values(f"ger-{name}", submission(files, "name polarity", rows))
    assert result["first_accuracy"] == close(2 / 3)
    # F1 of positive is 2 / (2 + 1), its share two of three; that of negative 2 / (1 + 2).
    assert result["ranked_weighted_f1"] == close(2 / 3)


@pytest.mark.checks(BY_HAND, "ger-mer2023")
def test_surprised_is_not_surprise_unless_a_track_says_so(tmp_path: Path, files: Path) -> None:
    write_ger("mer2023", files, [("a", "surprise"), ("b", "worried")])
    path = submission(files, "name discrete", [("a", "surprised,happy"), ("b", "worried,sad")])
    alias = ('out_of_vocabulary = "wrong"', 'out_of_vocabulary = "wrong"\naliases = { surprised = "surprise" }')
    assert values("ger-mer2023", path)["first_accuracy"] == 0.5
    assert values(variant(tmp_path / "alias", "ger-mer2023", alias), path)["first_accuracy"] == 1.0


# Folds and views


def write_clips(name: str, files: Path) -> None:
    """Write four clips, one in the first fold and three in the second; all are happy, by whichever name."""
    happy = "happiness" if name == "mafw" else "happy"
    samples = [("a", "all", 1), ("b", "all", 2), ("c", "all", 2), ("d", "all", 2)]
    plain(name, files, ("sample_id split fold", samples), ("sample_id discrete", [(clip, happy) for clip in "abcd"]))


def views(name: str, chances: dict[str, Sequence[float]]) -> tuple[str, Rows]:
    """Return a table of views from the probabilities of happy; sad has the rest."""
    labels = list(getattr(load_track(name).targets["discrete"], "labels", ()))
    happy, sad = ("happiness", "sadness") if name == "mafw" else ("happy", "sad")
    rows = [
        (clip, *(chance if label == happy else 1 - chance if label == sad else 0.0 for label in labels))
        for clip, given in chances.items()
        for chance in given
    ]
    return " ".join(["name", *(f"p_{label}" for label in labels)]), rows


@pytest.mark.checks(BY_HAND, of="{name}")
@pytest.mark.parametrize("name", ["dfew", "mafw"])
def test_views_are_averaged_by_clip_then_folds(name: str, files: Path) -> None:
    write_clips(name, files)
    # a: mean 0.6, though only one view says happy. b: 0.4. c: 0.55. d: 0.
    chances = {"a": [0.99, 0.45, 0.48, 0.48], "b": [0.4] * 4, "c": [0.55] * 4, "d": [0.0] * 4}
    result = values(name, submission(files, *views(name, chances)))
    assert result["accuracy(discrete,per=fold,aggregate=mean)"] == close((1 + 1 / 3) / 2)
    assert result["accuracy(discrete)"] == 0.5
    assert reported(name, submission(files, *views(name, {**chances, "b": [0.4] * 3}))) == [
        "E306  1 of 4 ids do not have 4 rows, one per view: b (3)"
    ]


def test_describe_shows_views_and_writes_a_template_that_is_read(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_clips("dfew", files)
    assert run(["describe", "dfew"]) == 0
    shown = capsys.readouterr().out
    assert "NPZ, 4 rows per candidate, which are averaged\n  id column 'name', then p_happy, p_sad" in shown
    assert "instead" not in shown
    template = tmp_path / "template.csv"
    assert run(["describe", "dfew", "--template", str(template)]) == 0
    assert len(template.read_text(encoding="utf-8").splitlines()) == 1 + 4 * 4
    assert values("dfew", template)["accuracy(discrete)"] == 0.25


def test_describe_says_which_references_do_not_count(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["describe", "meld-to-mer2023"]) == 0
    assert "an error; samples whose reference is worried, surprise do not count\n" in capsys.readouterr().out


@pytest.mark.checks(BY_HAND, "ferv39k")
def test_ferv39k_has_one_split(files: Path) -> None:
    samples = [("a", "train"), ("b", "test"), ("c", "test")]
    plain("ferv39k", files, ("sample_id split", samples), ("sample_id discrete", [(clip, "happy") for clip in "abc"]))
    result = values("ferv39k", submission(files, *views("ferv39k", {"b": [0.9] * 4, "c": [0.1] * 4})))
    assert (result["accuracy"], result["unweighted_average_recall"]) == (0.5, 0.5)


CONFUSIONS = json.loads((Path(__file__).parents[1] / "golden" / "confusions.json").read_text(encoding="utf-8"))
SEVEN = ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")
"""The order of rows and columns of the published confusion matrices."""


@pytest.mark.checks(CONFUSION, of="{name}")
@pytest.mark.parametrize("name", CONFUSIONS)
def test_a_published_confusion_matrix_has_the_published_scores(name: str, files: Path) -> None:
    counts, published = np.array(CONFUSIONS[name]["confusion"]), CONFUSIONS[name]["published"]
    reference, answer = (np.repeat(codes.ravel(), counts.ravel()) for codes in np.indices(counts.shape))
    ids = [f"clip_{number:05}" for number in range(len(reference))]
    split = load_track(name).splits["test"].source[0]
    plain(
        name,
        files,
        ("sample_id split fold", [(clip, split, 1) for clip in ids]),
        ("sample_id discrete", [(clip, SEVEN[code]) for clip, code in zip(ids, reference, strict=True)]),
    )
    texts = np.array(SEVEN)[answer]
    views = {f"p_{label}": np.repeat(texts == label, 4).astype(float) for label in SEVEN}
    report = merbench.score(name, pa.table({"name": np.repeat(ids, 4), **views}), intervals=False)
    result = {item.key: item.value or 0 for item in report.scores}
    assert round(100 * result["unweighted_average_recall(discrete)"], 2) == published["UAR"]
    assert round(100 * result["accuracy(discrete)"], 2) == published["WAR"]


@pytest.mark.checks(BY_HAND, of="{name}")
@pytest.mark.parametrize("name", ["enterface", "msp-improv"])
def test_folds_without_views(name: str, files: Path) -> None:
    labels = getattr(load_track(name).targets["discrete"], "labels", ())
    samples = [("a", "all", "s1", 1), ("b", "all", "s2", 2), ("c", "all", "s2", 2), ("d", "all", "s3", 2)]
    reference = [(clip, labels[0]) for clip in "abcd"]
    plain(name, files, ("sample_id split speaker fold", samples), ("sample_id discrete", reference))
    answers = zip("abcd", [labels[0], labels[0], labels[1], labels[1]], strict=True)
    result = values(name, submission(files, "name discrete", list(answers)))
    assert result["accuracy(discrete,per=fold,aggregate=mean)"] == close(2 / 3)
    assert result["accuracy(discrete)"] == 0.5


@pytest.mark.checks(BY_HAND, "werewolf-xl")
def test_werewolf_xl_is_the_mean_of_dimensions_in_the_unbiased_form(files: Path) -> None:
    samples = [("a", "all", 1), ("b", "all", 1), ("c", "all", 2), ("d", "all", 2)]
    numbers = {"a": 0.0, "b": 2.0, "c": 0.0, "d": 1.0}
    dimensions = "sample_id valence arousal dominance"
    plain(
        "werewolf-xl",
        files,
        ("sample_id split fold", samples),
        (dimensions, [(c, x, x, x) for c, x in numbers.items()]),
    )
    answers = {**numbers, "b": 1.0}
    result = values(
        "werewolf-xl",
        submission(files, dimensions.replace("sample_id", "name"), [(c, x, x, x) for c, x in answers.items()]),
    )
    # Fold 1, divided by n - 1 = 1: covariance 1, variances 2 and 0.5, means 0.5 apart. Fold 2: equal.
    fold = 2 * 1 / (2 + 0.5 + 0.25)
    assert result["overall"] == close((fold + 1) / 2)
    assert result["rmse(arousal,per=fold,aggregate=mean)"] == close(math.sqrt(0.5) / 2)


# Frames of videos


@pytest.mark.checks(BY_HAND, "abaw4-mtl")
def test_multi_task_frames_count_where_they_are_annotated(files: Path) -> None:
    units = [
        column
        for name, t in load_track("abaw4-mtl").targets.items()
        if name == "action_units"
        for column in t.columns(name)
    ]
    header = " ".join(["image", "valence", "arousal", "expression", *units])
    zeros = [0] * 11
    write_table(
        files / "validation_set_annotations.txt",
        header,
        ["a/00001.jpg", 0.0, 0.0, 0, 1, *zeros],
        ["a/00002.jpg", 0.2, 0.2, 1, 0, *zeros],
        ["b/00001.jpg", 0.6, -5, 0, -1, *zeros],
        ["b/00002.jpg", 0.8, 0.8, -1, 1, *zeros],
    )
    imported("abaw4-mtl", files)
    path = submission(
        files,
        header,
        [
            ["a/00001.jpg", 0.1, 0.0, "0", 1, *zeros],
            ["a/00002.jpg", 0.1, 0.2, "anger", 1, *zeros],
            ["b/00001.jpg", 0.7, 0.9, 1, 1, *zeros],
            ["b/00002.jpg", 0.7, 0.8, "happiness", 0, *zeros],
        ],
    )
    result = values("abaw4-mtl", path, split="dev")
    # Valence is that of an oracle of the videos' means. Pooled: covariance 0.09, variances 0.1 and 0.09, equal means;
    # within a video it is constant.
    pooled = 2 * 0.09 / (0.1 + 0.09)
    assert result["ccc(valence,form=population)"] == close(pooled)
    assert result["ccc(valence,form=population,per=recording,aggregate=mean)"] == 0.0
    # Arousal is right in the three frames that are annotated.
    assert result["ccc(arousal,form=population)"] == 1.0
    # Neutral: found once of two. Anger: found, and answered once too often. 2 / 3 each, six others are 0.
    assert result["macro_f1"] == close((2 / 3 + 2 / 3) / 8)
    # AU1 in three frames: a hit, a false alarm, a miss. The others are never there.
    assert result["multilabel_f1"] == close(0.5 / 12)
    assert result["overall"] == close((pooled + 1) / 2 + 1 / 6 + 1 / 24)


@pytest.mark.checks(BY_HAND, "mer-frames")
def test_frames_of_clips_have_the_references_of_their_clip(files: Path) -> None:
    ids = ["x", "y"]
    clips = made_corpus(
        files / "clips",
        name="clips",
        samples=pa.table({"sample_id": ids, "split": ["test_noise"] * 2}),
        reference=pa.table({"sample_id": ids, "discrete": ["happy", "sad"], "valence": [1.0, -1.0]}),
        features={"look.frames": Feature.from_frames(ids, [np.ones((2, 1))] * 2, [np.array([0.0, 0.1])] * 2)},
    )
    frame_corpus(CORPORA.home / "sample-frames", clips, ["look.frames"], "sample-frames")
    rows = [("x/00001", "happy", 2), ("x/00002", "sad", 0), ("y/00001", "sad", -2), ("y/00002", "sad", 0)]
    result = values("mer-frames", submission(files, "sample_id discrete valence", rows))
    # Happy: found once of two, precise: 2/3. Sad: found twice, once too often: 4/5. Two frames of each.
    weighted_f1 = (2 / 3 + 4 / 5) / 2
    # References 1, 1, -1, -1 and answers 2, 0, -2, 0: covariance 1, variances 1 and 2, equal means.
    assert result["weighted_f1"] == close(weighted_f1)
    assert result["overall"] == close((weighted_f1 + 2 / 3) / 2)
    assert result["macro_f1"] == close((2 / 3 + 4 / 5) / 6)


def write_video(files: Path, name: str, *lines: str) -> None:
    (files / "Validation_Set").mkdir(parents=True, exist_ok=True)
    (files / "Validation_Set" / f"{name}.txt").write_text("\n".join(["header", *lines]) + "\n", encoding="utf-8")


@pytest.mark.checks(BY_HAND, "abaw6-expr")
def test_a_frame_without_a_row_takes_the_answer_before_it(files: Path) -> None:
    write_video(files, "one", "4", "4", "-1", "0")
    write_video(files, "two", "0", "6")
    imported("abaw6-expr", files)
    rows = [("one/00001.jpg", "happiness"), ("one/00004.jpg", "0"), ("two/00001.jpg", "neutral")]
    path = submission(files, "image_location expression", rows)
    report = merbench.score("abaw6-expr", path, split="dev", intervals=False)
    # Five frames are annotated; only the surprise of the second video is missed: neutral is answered for it.
    assert report.counts["scored"] == 5
    assert report["accuracy"].value == close(4 / 5)
    assert report["macro_f1"].value == close((1 + 4 / 5 + 0) / 8)
    assert [str(warning) for warning in report.warnings] == [
        "W303  3 of 6 candidates without a row take the answer of the one before them"
    ]


@pytest.mark.checks(BY_HAND, "abaw6-va")
def test_valence_and_arousal_are_pooled_over_videos(files: Path) -> None:
    write_video(files, "one", "0.0,0.5", "0.2,0.7", "-5,-5")
    write_video(files, "two", "0.6,-0.5", "0.8,-0.7")
    imported("abaw6-va", files)
    rows = [
        ("one/00001.jpg", 0.1, 0.5),
        ("one/00002.jpg", 0.1, 0.7),
        ("two/00001.jpg", 0.7, -0.5),
        ("two/00002.jpg", 0.7, -0.7),
    ]
    result = values("abaw6-va", submission(files, "image_location valence arousal", rows), split="dev")
    assert result["overall"] == close((2 * 0.09 / 0.19 + 1) / 2)
    assert result["ccc(valence,form=population,per=recording,aggregate=mean)"] == 0.0


# Forged speech


def write_rounds(files: Path, *rounds: str) -> None:
    for number, lines in enumerate(rounds, start=1):
        (files / f"round{number}").mkdir(parents=True)
        (files / f"round{number}" / "label.txt").write_text(lines, encoding="utf-8")


@pytest.mark.checks(BY_HAND, "add2023-fgd")
def test_two_rounds_are_weighted_and_ties_count_against_the_detector(files: Path) -> None:
    write_rounds(files, "a genuine\nb genuine\nc fake\nd fake\n", "e genuine\nf fake\n")
    imported("add2023-fgd", files)
    rows = [("a", 3), ("b", 1), ("c", 2), ("d", 0), ("e", 0.5), ("f", 0.5)]
    result = values("add2023-fgd", submission(files, "utterance score", rows))
    # Round 1: with the two lowest rejected, one of two genuine is missed and one of two fakes passes. Round 2: a tie.
    assert result["equal_error_rate"] == close(0.4 * 0.5 + 0.6 * 1.0)
    assert result["auroc"] == close((3 / 4 + 1 / 2) / 2)


def test_the_weighted_rate_needs_both_rounds(files: Path) -> None:
    write_rounds(files, "a genuine\nb fake\n")
    imported("add2023-fgd", files)
    with pytest.raises(UsageError, match="no scored sample has round = R2; there are R1"):
        values("add2023-fgd", submission(files, "utterance score", [("a", 1), ("b", 0)]))


@pytest.mark.checks(BY_HAND, "add2023-fgg")
def test_the_deception_rate_is_a_mean_over_detectors(files: Path) -> None:
    trials = [("d1/a", "d1"), ("d1/b", "d1"), ("d2/a", "d2"), ("d2/b", "d2"), ("d2/c", "d2"), ("d2/real", "d2")]
    samples = [(trial, "test", detector) for trial, detector in trials]
    reference = [(trial, "genuine" if trial.endswith("real") else "fake") for trial, _ in trials]
    plain("add2023-fgg", files, ("sample_id split detector", samples), ("sample_id score", reference))
    scores = [0.0, -0.1, 1, 2, 3, -9]
    result = values(
        "add2023-fgg", submission(files, "trial score", [(t, s) for (t, _), s in zip(trials, scores, strict=True)])
    )
    # The first detector accepts one of two, the second all three; its scores of genuine speech do not matter.
    assert result == {
        "deception_rate(score,threshold=0.0,per=detector,aggregate=mean)": close((1 / 2 + 1) / 2),
        "deception_rate(score,threshold=0.0)": close(4 / 5),
    }


@pytest.mark.checks(BY_HAND, "add2023-rl")
def test_regions_are_located_in_seconds(files: Path) -> None:
    plain(
        "add2023-rl",
        files,
        ("sample_id split duration_s", [(name, "test", 4.0) for name in "abcd"]),
        (
            "sample_id discrete segments",
            [
                ("a", "fake", "genuine-0-1 fake-1-3 genuine-3-4"),
                ("b", "genuine", "genuine-0-4"),
                ("c", "genuine", "genuine-0-4"),
                ("d", "fake", "fake-0-2 genuine-2-4"),
            ],
        ),
    )
    rows = [
        ("a", "fake", "fake-2-4"),
        ("b", "fake", "fake-0-1 genuine-1-4"),
        ("c", "genuine", "genuine-0-4"),
        ("d", "fake", "fake-0-2"),
    ]
    result = values("add2023-rl", submission(files, "utterance discrete segments", rows))
    # Three of four decisions. Fake on both sides 1 + 2 s, predicted 2 + 1 + 2 s, in the references 2 + 2 s.
    assert result["accuracy"] == 0.75
    assert result["segment_precision"] == close(3 / 5)
    assert result["segment_recall"] == close(3 / 4)
    assert result["overall"] == close(0.3 * 0.75 + 0.7 * 2 * 3 / (5 + 4))
    assert result["segment_f1(segments,aggregation=per_utterance,label=fake)"] == close((0.5 + 0 + 1 + 1) / 4)
    late = [*rows[:3], ("d", "fake", "fake-0-5")]
    assert len(reported("add2023-rl", submission(files, "utterance discrete segments", late))) == 1


def test_the_published_score_of_the_first_place_follows_from_the_weights() -> None:
    weights = [spec.weight or 0.0 for spec in load_track("add2023-rl").weighted_metrics]
    assert weights[0] * 0.8223 + weights[1] * 0.6066 == pytest.approx(0.6713, abs=5e-5)


@pytest.mark.checks(BY_HAND, "add2023-ar")
def test_the_unknown_algorithm_is_a_class(files: Path) -> None:
    files.mkdir()
    (files / "label.txt").write_text("a 0\nb 1\nc 6\n", encoding="utf-8")
    imported("add2023-ar", files)
    result = values("add2023-ar", submission(files, "utterance discrete", [("a", "0"), ("b", "1"), ("c", "1")]))
    # F1 of 0 is 1, of 1 it is 2 / (1 + 2), of the five others 0.
    assert result == {"macro_f1": close((1 + 2 / 3) / 7), "accuracy": close(2 / 3), "f1": 0.0}


# Unknown emotions


@pytest.mark.checks(BY_HAND, "ood-emotion")
def test_unknown_emotions_are_reported_from_known_ones(files: Path) -> None:
    made_corpus(CORPORA.home / "ood-emotion", name="ood-emotion", samples=pa.table({"sample_id": list("abcde"), "split": ["test"] * 5}), reference=pa.table({"sample_id": list("abcde"), "score": ["known"] * 3 + ["unknown"] * 2}))  # fmt: skip
    rows = [("a", 3), ("b", 2), ("c", 1), ("d", 2.5), ("e", 0)]
    result = values("ood-emotion", submission(files, "sample_id score", rows))
    # Of six pairs, two are lost to 2.5. The lowest 5 % of three known scores end at 1, and 2.5 lies above.
    # Accepting from 1 on, one of five is wrong.
    assert result["auroc"] == close(4 / 6)
    assert result["fpr_at_95tpr"] == 0.5
    assert result["detection_error"] == close(1 / 5)
