"""The nine tracks of MER-UniBench, on made-up files and on real labels, and the board of the family."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from checked_tracks import BY_HAND, LIBRARY
from released_files import read_table, write_table
from released_tracks import imported, reported, submission, values, variant

import merbench
from merbench.corpus.candidates import open_candidates
from merbench.errors import DeclarationError, UsageError
from merbench.lexicon import import_lexicon
from merbench.track import load_track

pytestmark = pytest.mark.usefixtures("home")


def write_lexicon(folder: Path) -> None:
    """Import five wheels as mer2025: neutral is on none, surprise only on the first, sad and angry apart only there."""
    words = ["happy", "joy", "sad", "sadness", "angry", "anger", "surprise", "worried"]
    write_table(folder / "format.csv", "name format", *[[word, ""] for word in words])
    synonyms = [["happy", "joy"], ["sad", "sadness, worried"], ["angry", "anger"], ["surprise", ""]]
    write_table(folder / "synonym.csv", "word_run1 synonym_run1", *synonyms)
    apart = [["up", "content", "happy"], ["low", "hurt", "sad"], ["hot", "mad", "angry"], ["wow", "amazed", "surprise"]]
    together = [["good", "content", "happy"], ["bad", "hurt", "sad"], ["bad", "mad", "angry"]]
    for number in range(1, 6):
        write_table(folder / f"wheel{number}.csv", "level1 level2 level3", *(apart if number == 1 else together))
    import_lexicon(folder, "mer2025")


# Corpus, ids, and codes or labels of: happy, sad, neutral, angry.
HITS: dict[str, tuple[str, list[str], list[Any]]] = {
    "mer2023": ("mer2023", ["a", "b", "c", "d"], ["happy", "sad", "neutral", "angry"]),
    "mer2024": ("mer-unibench-mer2024", ["a", "b", "c", "d"], ["happy", "sad", "neutral", "angry"]),
    "meld": ("meld", [f"test_dia0_utt{i}" for i in range(4)], [1, 2, 3, 0]),
    "iemocap": ("iemocap-4", [f"Ses05F_impro01_F00{i}" for i in range(4)], [0, 1, 2, 3]),
}


@pytest.mark.checks(BY_HAND, of="mer-unibench-{name}")
@pytest.mark.parametrize("name", HITS)
def test_hits_of_one_label(name: str, files: Path, tmp_path: Path) -> None:
    write_lexicon(tmp_path / "wheels")
    corpus, ids, labels = HITS[name]
    match name:
        case "mer2023":
            rows = [[*pair, "test1", 0] for pair in zip(ids, labels, strict=True)]
            write_table(files / "labels.csv", "name discrete split valence", *rows, ["x", "sad", "train", 1])
            write_table(
                files / "transcription-engchi-polish.csv", "name chinese english", *[[i, "", ""] for i in [*ids, "x"]]
            )
        case "mer2024":
            write_table(files / "samples.csv", "sample_id split", *[[i, "test"] for i in ids])
            write_table(files / "reference.csv", "sample_id discrete", *zip(ids, labels, strict=True))
        case "meld":
            rows = [[*pair, "test"] for pair in zip(ids, labels, strict=True)]
            write_table(files / "labels.csv", "name discrete split", *rows, ["train_dia0_utt0", 1, "train"])
        case _:
            rows = [[*pair, "all"] for pair in zip(ids, labels, strict=True)]
            write_table(files / "labels-4way.csv", "name discrete split", *rows, ["Ses04F_impro01_F000", 1, "all"])
    imported(corpus, files)
    track = f"mer-unibench-{name}"
    assert open_candidates(load_track(track)).ids.to_pylist() == ids  # of the fifth session only, of the test only
    sets = ["['joy', 'surprise']", "['angry']", "['happy']", "[]"]
    path = submission(tmp_path, "name openset", list(zip(ids, sets, strict=True)))
    # Wheel 1, candidates up, low, hot: up is among {up, wow}, and wow is no candidate: 1, 1. low is not hot: 0, 0.
    # Neutral is skipped. hot is not in {}: 0, 0. Wheels 2 to 5, candidates good, bad: 1, 1; bad is bad: 1, 1; {}: 0, 0.
    expected = {"hit_rate": (1 / 3 + 4 * 2 / 3) / 5, "hit_precision": (1 / 3 + 4 * 2 / 3) / 5, "set_size": 1.0}
    assert values(track, path) == pytest.approx(expected, abs=1e-12)
    # A word of each sector hits everything; of the candidates a third, and a half, is right.
    everything = submission(tmp_path, "name openset", [(i, "happy, sad, angry, surprise") for i in ids])
    expected = {"hit_rate": 1.0, "hit_precision": (1 / 3 + 4 * 1 / 2) / 5, "set_size": 4.0}
    assert values(track, everything) == pytest.approx(expected, abs=1e-12)


@pytest.mark.checks(BY_HAND, "mer-unibench-ov-merd-plus")
def test_sets_of_words_on_both_sides(files: Path, tmp_path: Path) -> None:
    write_lexicon(tmp_path / "wheels")
    write_table(files / "samples.csv", "sample_id split", ["a", "test"], ["b", "test"])
    write_table(files / "reference.csv", "sample_id openset", ["a", "['happy', 'sad']"], ["b", "['angry']"])
    imported("mer-unibench-ov-merd-plus", files)
    path = submission(tmp_path, "name openset", [("a", "['joy']"), ("b", "['sad', 'angry', 'odd']")])
    # Wheel 1: {up} of {up, low}: P 1, R 1/2; {low, hot} for {hot}: P 1/2, R 1. Both 3/4, and so is F.
    # Wheels 2 to 5: {good} of {good, bad}: P 1, R 1/2; {bad} for {bad}: 1, 1. P 1, R 3/4, F 6/7.
    assert values("mer-unibench-ov-merd-plus", path) == pytest.approx(
        {
            "emotion_wheel_f1": (3 / 4 + 4 * 6 / 7) / 5,
            "emotion_wheel_precision": (3 / 4 + 4) / 5,
            "emotion_wheel_recall": 3 / 4,
            "set_size": 2.0,
        },
        abs=1e-12,
    )


SENTIMENT = {"cmu-mosi": "cmumosi", "cmu-mosei": "cmumosei", "ch-sims": "sims", "ch-sims-v2": "simsv2"}


@pytest.mark.checks(BY_HAND, of="mer-unibench-{name}")
@pytest.mark.parametrize("name", SENTIMENT)
def test_what_is_not_positive_is_negative_and_zeros_do_not_count(name: str, files: Path, tmp_path: Path) -> None:
    ids = [f"video_{i}" for i in range(5)]
    rows = zip(ids, ["test"] * 5, [0.4, -1, 0, 0.8, -0.2], strict=True)
    write_table(files / "labels.csv", "name split sentiment", *rows, ["video_9", "train", 1])
    imported(name, files)
    answers = ["positive", "neutral", "positive", "I cannot tell", "positive"]
    path = submission(tmp_path, "name polarity", list(zip(ids, answers, strict=True)))
    # Of + - + -: + - - +. F1 of either class is 2 / 4.
    assert values(f"mer-unibench-{name}", path) == {"weighted_f1": 0.5, "accuracy": 0.5}
    (warning,) = merbench.read_submission(path, open_candidates(load_track(f"mer-unibench-{name}"))).warnings
    assert str(warning) == (
        "W202  polarity: 1 of 5 answers are not one of positive, negative and count as negative: 'I cannot tell' (1)"
    )
    blank = submission(tmp_path, "name polarity", [*zip(ids[:4], answers, strict=False), (ids[4], "")], "blank.csv")
    assert reported(f"mer-unibench-{name}", blank) == [
        "E205  line 6, polarity: empty; one of positive, negative is needed"
    ]


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.checks(LIBRARY, of="mer-unibench-{name}")
@pytest.mark.parametrize("name", SENTIMENT)
def test_sentiment_is_that_of_scikit_learn_and_of_numbers(name: str, test_data: Path, tmp_path: Path) -> None:
    from sklearn.metrics import accuracy_score, f1_score

    folder = test_data / "data" / SENTIMENT[name]
    rows = [row for row in read_table(folder / "labels.csv") if row["split"] == "test"]
    imported(name, folder)
    # A third of the answers each, whatever the reference.
    words = [("positive", "neutral", "negative")[i % 3] for i in range(len(rows))]
    path = submission(tmp_path, "name polarity", [(row["name"], word) for row, word in zip(rows, words, strict=True)])
    truth = [float(row["sentiment"]) for row in rows]
    sides = [(t > 0, word == "positive") for t, word in zip(truth, words, strict=True) if t != 0]
    result = values(f"mer-unibench-{name}", path)
    assert result["weighted_f1"] == pytest.approx(f1_score(*zip(*sides, strict=True), average="weighted"), abs=1e-12)
    assert result["accuracy"] == pytest.approx(accuracy_score(*zip(*sides, strict=True)), abs=1e-12)
    # The track of the corpus scores 1, 0 and -1 alike.
    number = {"positive": 1, "neutral": 0, "negative": -1}
    numbers = [(row["name"], number[word]) for row, word in zip(rows, words, strict=True)]
    own = values(name, submission(tmp_path, "name sentiment", numbers, "numbers.csv"))
    assert own["mosi_non0_weighted_f1"] == pytest.approx(result["weighted_f1"], abs=1e-12)


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize("name", ["meld", "iemocap"])
def test_hits_of_real_labels_word_by_word(name: str, test_data: Path, tmp_path: Path) -> None:
    lexicon = import_lexicon(test_data / "data" / "emotion-wheel" / "mer2025")
    data = test_data / "data" / name
    file, labels = {
        "meld": ("labels.csv", "anger joy sadness neutral disgust fear surprise".split()),
        "iemocap": ("labels-4way.csv", "happy sad neutral angry".split()),
    }[name]
    imported(HITS[name][0], data)
    rows = [row for row in read_table(data / file) if row["split"] == "test" or row["name"].startswith("Ses05")]
    assert len(rows) == {"meld": 2610, "iemocap": 1241}[name]
    sets = [["happy", "sad"], ["furious"], [], ["astonished", "neutral", "joyful"]]
    given = [sets[i % 4] for i in range(len(rows))]
    wheels: list[float] = []
    for wheel in lexicon.wheels:
        sector = {word: result[1] if (result := lexicon.lookup(word).sectors[wheel]) else None for word in {*labels, *chain.from_iterable(sets)}}  # fmt: skip
        golds = [sector[labels[int(row["discrete"])]] for row in rows]
        hits = [gold in {sector[word] for word in words} for gold, words in zip(golds, given, strict=True) if gold]
        wheels.append(sum(hits) / len(hits))
    path = submission(
        tmp_path, "name openset", [(row["name"], str(words)) for row, words in zip(rows, given, strict=True)]
    )
    result = values(f"mer-unibench-{name}", path)
    assert result["hit_rate"] == pytest.approx(sum(wheels) / 5, abs=1e-12)
    assert 0 < result["hit_rate"] < 1


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (('other_label = "negative"', 'other_label = "negativ"'), "targets.polarity.other_label: 'negativ' is not one of positive, negative; did you mean 'negative'?"),
        (('labels = ["positive", "negative"]', 'labels = ["positive", "negative", "neutral"]\ninvalid = []'), "targets.polarity.sign_of: needs two labels, those above and below 0, not 3"),
    ],
)  # fmt: skip
def test_labels_that_do_not_fit_are_refused(tmp_path: Path, change: tuple[str, str], problem: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        load_track(variant(tmp_path, "mer-unibench-cmu-mosi", change))
    assert problem in str(caught.value)


def test_a_split_is_chosen_by_a_column(files: Path, tmp_path: Path) -> None:
    write_table(files / "labels-4way.csv", "name discrete split", ["Ses04F_impro01_F000", 1, "all"])
    imported("iemocap-4", files)
    with pytest.raises(
        UsageError, match=r"^corpus 'iemocap-4': no sample of split 'test' has '5' in column 'fold'; it has 4$"
    ):
        open_candidates(load_track("mer-unibench-iemocap"))
