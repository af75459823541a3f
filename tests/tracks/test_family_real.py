"""The tracks around MER on the corpora themselves; what is expected comes from other code, or was published."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from checked_tracks import KNOWN, LIBRARY, PUBLISHED
from released_files import read_table
from released_tracks import variant

import merbench
from merbench.cli import run
from merbench.corpus import CORPORA
from merbench.report import ScoreReport
from merbench.track import load_track

pytestmark = pytest.mark.real_data

FOLDERS = {
    "iemocap-4": "iemocap",
    "iemocap-6": "iemocap",
    "meld": "meld",
    "cmu-mosi": "cmumosi",
    "cmu-mosei": "cmumosei",
    "cmu-mosi-polarity": "features",
    "cmu-mosi-trimodal": "features",
    "ch-sims": "sims",
    "ch-sims-v2": "simsv2",
    "mer2023": "mer2023/release",
    "crema-d": "features",
    "crema-d-votes": "features",
    "emodb": "media/speech/emodb",
    "ravdess": "features",
}
ANSWERS = {
    ("ckplus", "test"): "ckplus/label-gpt4v.csv",
    ("rafdb", "test"): "rafdb/label-gpt4v-rgb.csv",
    ("affectnet", "test"): "affectnet/label-gpt4v.csv",
    ("abstract", "test"): "abstract/label-gpt4v.csv",
    ("twitter1", "test"): "twitter1/label-three-gpt4v.csv",
    ("twitter1", "four"): "twitter1/label-four-gpt4v.csv",
    ("twitter1", "five"): "twitter1/label-five-gpt4v.csv",
    ("casme", "test"): "casme1/label-gpt4v.csv",
    ("dfew", "test"): "dfew/label-gpt4v.csv",
    ("ferv39k", "test"): "ferv39k/label-gpt4v.csv",
    ("ravdess", "test"): "ravdess/label-gpt4v-3.csv",
    ("enterface", "test"): "enterface/label-gpt4v-3.csv",
    ("cmu-mosi", "test"): "cmumosi/label-gpt4v-multi.csv",
    ("mer2023", "test"): "mer2023/label-gpt4v-multi.csv",
}
"""Set of the GPT-4V study, and split of its track -> the stored answers, as the expected values name them."""

Import = Callable[[str], None]
Score = Callable[..., dict[str, float]]


@pytest.fixture(scope="module", autouse=True)
def corpora(tmp_path_factory: pytest.TempPathFactory, test_data: Path) -> Iterator[Import]:
    """Return a function that imports a corpus into the data home of this file's tests, once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MERBENCH_HOME", str(tmp_path_factory.mktemp("released")))

        def bring(name: str) -> None:
            folder = FOLDERS.get(name) or f"gpt4v-ger/{Path(ANSWERS[name.removeprefix('ger-'), 'test']).parent}"
            if not (CORPORA.home / name).exists():
                assert run(["corpus", "import", name, str(test_data / "data" / folder)]) == 0

        yield bring


def values(track: str | Path, ids: Sequence[str], **columns: Sequence[Any]) -> dict[str, float]:
    table = pa.table({"name": list(ids), **{name: list(column) for name, column in columns.items()}})
    report: ScoreReport = merbench.score(track, table, intervals=False)
    return {item.key if "(" in item.name else item.name: item.value for item in report.scores if item.value is not None}


def close(value: float) -> object:
    return pytest.approx(float(value), abs=1e-12)


def rows_of(path: Path, split: str) -> list[dict[str, str]]:
    return [row for row in read_table(path) if row["split"] == split]


# Trivial answers, by scikit-learn


@pytest.mark.slow
@pytest.mark.checks(LIBRARY, of="iemocap-{n}")
@pytest.mark.parametrize(("n", "table"), [(4, "labels-4way.csv"), (6, "labels-6way.csv")])
def test_the_most_frequent_emotion_of_iemocap(n: int, table: str, corpora: Import, test_data: Path) -> None:
    from sklearn.metrics import accuracy_score, f1_score

    corpora(f"iemocap-{n}")
    rows = rows_of(test_data / "data" / "iemocap" / table, "all")
    codes = np.array([int(row["discrete"]) for row in rows])
    # The fifth character of an id is the session; 2 is neutral.
    folds = [codes[[row["name"][4] == session for row in rows]] for session in "12345"]
    result = values(f"iemocap-{n}", [row["name"] for row in rows], discrete=["neutral"] * len(rows))

    def f1(references: np.ndarray) -> float:
        return float(f1_score(references, np.full(len(references), 2), average="weighted", zero_division=0))

    assert result["weighted_f1(discrete,per=fold,aggregate=mean)"] == close(np.mean([f1(fold) for fold in folds]))
    assert result["weighted_f1(discrete)"] == close(f1(codes))
    expected = np.mean([accuracy_score(fold, np.full(len(fold), 2)) for fold in folds])
    assert result["accuracy(discrete,per=fold,aggregate=mean)"] == close(expected)
    assert result["unweighted_average_recall(discrete)"] == close(1 / n)


@pytest.mark.slow
@pytest.mark.checks(LIBRARY, "meld", "iemocap-to-meld", "mer2023-to-meld")
def test_the_most_frequent_emotion_of_meld(corpora: Import, test_data: Path) -> None:
    from sklearn.metrics import f1_score

    corpora("meld")
    rows = rows_of(test_data / "data" / "meld" / "labels.csv", "test")
    codes = np.array([int(row["discrete"]) for row in rows])
    ids, neutral = [row["name"] for row in rows], ["neutral"] * len(rows)
    result = values("meld", ids, discrete=neutral)
    assert result["weighted_f1"] == close(f1_score(codes, np.full(len(codes), 3), average="weighted", zero_division=0))
    assert (result["accuracy"], result["weighted_f1"]) == (
        pytest.approx(0.4812, abs=5e-5),
        pytest.approx(0.3127, abs=5e-5),
    )
    # Joy 1, anger 0, sadness 2 and neutral 3 are the four of the pairs of corpora.
    four = codes[np.isin(codes, [0, 1, 2, 3])]
    expected = f1_score(four, np.full(len(four), 3), average="weighted", zero_division=0)
    for track in ("iemocap-to-meld", "mer2023-to-meld"):
        assert values(track, ids, discrete=neutral)["weighted_f1"] == close(expected)


@pytest.mark.slow
@pytest.mark.checks(LIBRARY, "iemocap-to-mer2023", "meld-to-mer2023", "meld-to-iemocap", "mer2023-to-iemocap")
def test_the_most_frequent_emotions_between_corpora(corpora: Import, test_data: Path) -> None:
    from sklearn.metrics import f1_score

    corpora("mer2023")
    corpora("iemocap-4")
    rows = rows_of(test_data / "data" / "mer2023" / "labels.csv", "test1")
    four = [row["discrete"] for row in rows if row["discrete"] in ("happy", "sad", "neutral", "angry")]
    expected = f1_score(four, ["neutral"] * len(four), average="weighted", zero_division=0)
    for track in ("iemocap-to-mer2023", "meld-to-mer2023"):
        result = values(track, [row["name"] for row in rows], discrete=["neutral"] * len(rows))
        assert result["weighted_f1"] == close(expected)
    turns = rows_of(test_data / "data" / "iemocap" / "labels-4way.csv", "all")
    codes = [int(row["discrete"]) for row in turns]
    expected = f1_score(codes, [2] * len(codes), average="weighted", zero_division=0)
    for track in ("meld-to-iemocap", "mer2023-to-iemocap"):
        result = values(track, [row["name"] for row in turns], discrete=["neutral"] * len(turns))
        assert result["weighted_f1"] == close(expected)


def sentiments(corpora: Import, test_data: Path, name: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return ids, references and, as answers, the references of the samples next to them in the file."""
    corpora(name)
    stored = name == "cmu-mosi-trimodal"
    file, key, split = ("mosi_meta.csv", "id", "split_feature") if stored else ("labels.csv", "name", "split")
    rows = [row for row in read_table(test_data / "data" / FOLDERS[name] / file) if row[split] == "test"]
    references = np.array([float(row["sentiment"]) for row in rows])
    return [row[key] for row in rows], references, np.roll(references, 1)


@pytest.mark.slow
@pytest.mark.checks(LIBRARY, of="{name}")
@pytest.mark.parametrize("name", ["cmu-mosi", "cmu-mosi-trimodal", "cmu-mosei"])
def test_the_sentiment_of_the_clip_before(name: str, corpora: Import, test_data: Path) -> None:
    from scipy.stats import pearsonr
    from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error

    ids, references, answers = sentiments(corpora, test_data, name)
    result = values(name, ids, sentiment=answers)
    signed = references != 0
    sides = (references[signed] > 0, answers[signed] > 0)
    assert result["mosi_non0_weighted_f1"] == close(f1_score(*sides, average="weighted"))
    assert result["mosi_non0_accuracy"] == close(accuracy_score(*sides))
    assert result["mosi_has0_weighted_f1"] == close(f1_score(references >= 0, answers >= 0, average="weighted"))
    assert result["mosi_has0_accuracy"] == close(accuracy_score(references >= 0, answers >= 0))
    for largest, n in ((3, 7), (2, 5), (1, 3)):
        classes = [np.round(np.clip(side, -largest, largest)) for side in (references, answers)]
        assert result[f"mosi_accuracy_{n}"] == close(accuracy_score(*classes))
    assert result["mae"] == close(mean_absolute_error(references, answers))
    assert result["pcc"] == close(pearsonr(references, answers)[0])
    # Half of the references are not whole numbers: how halves are rounded is seen in the score.
    assert np.mean(np.floor(references + 0.5) == np.floor(answers + 0.5)) != pytest.approx(
        result["mosi_accuracy_7"], abs=1e-4
    )


@pytest.mark.checks(LIBRARY, of="{name}")
@pytest.mark.parametrize("name", ["ch-sims", "ch-sims-v2"])
def test_the_sentiment_of_the_clip_before_in_bins(name: str, corpora: Import, test_data: Path) -> None:
    import pandas as pd
    from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error

    ids, references, answers = sentiments(corpora, test_data, name)
    result = values(name, ids, sentiment=answers)
    for n, edges in ((2, [-1.01, 0, 1]), (3, [-1.01, -0.1, 0.1, 1]), (5, [-1.01, -0.7, -0.1, 0.1, 0.7, 1])):
        bins = [pd.cut(side, edges, labels=False) for side in (references, answers)]
        assert result[f"sims_accuracy_{n}"] == close(accuracy_score(*bins))
        if n == 2:
            assert result["sims_weighted_f1"] == close(f1_score(*bins, average="weighted"))
    signed = references != 0
    assert result["mosi_non0_weighted_f1"] == close(
        f1_score(references[signed] > 0, answers[signed] > 0, average="weighted")
    )
    assert result["sims_mae"] == close(mean_absolute_error(references, answers))


@pytest.mark.checks(LIBRARY, "cmu-mosi-to-ch-sims", "ch-sims-to-cmu-mosi")
def test_sentiment_between_corpora(corpora: Import, test_data: Path) -> None:
    from sklearn.metrics import f1_score, mean_absolute_error

    for track, name, scale in (("cmu-mosi-to-ch-sims", "ch-sims", 3), ("ch-sims-to-cmu-mosi", "cmu-mosi", 1)):
        ids, references, answers = sentiments(corpora, test_data, name)
        result = values(track, ids, sentiment=answers)
        signed = references != 0
        assert result["mosi_non0_weighted_f1"] == close(
            f1_score(references[signed] > 0, answers[signed] > 0, average="weighted")
        )
        assert result["mae"] == close(mean_absolute_error(scale * references, answers))


@pytest.mark.checks(LIBRARY, "emodb")
def test_the_emotion_of_the_clip_before(corpora: Import, test_data: Path) -> None:
    from sklearn.metrics import accuracy_score, f1_score, recall_score

    corpora("emodb")
    clips = sorted((test_data / "data" / FOLDERS["emodb"]).glob("*.wav"))
    references = [{"W": "angry", "F": "happy", "N": "neutral", "T": "sad"}[clip.name[5]] for clip in clips]
    answers = references[-1:] + references[:-1]
    result = values("emodb", [clip.stem for clip in clips], discrete=answers)
    assert result["weighted_f1"] == close(f1_score(references, answers, average="weighted"))
    assert result["unweighted_average_recall"] == close(recall_score(references, answers, average="macro"))
    assert result["accuracy"] == close(accuracy_score(references, answers))


# A plain classifier on the features that come with the labels


def logistic(c: float) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=5000))


@pytest.mark.checks(KNOWN, "cmu-mosi-polarity")
def test_known_values_of_the_stored_vectors_of_mosi(corpora: Import, test_data: Path) -> None:
    corpora("cmu-mosi-polarity")
    rows = read_table(test_data / "data" / "features" / "mosi_meta.csv")
    with np.load(test_data / "data" / "features" / "mosi_trimodal.npz", allow_pickle=False) as known:
        assert known["id"].tolist() == [row["id"] for row in rows]
        parts = {part: known[part] for part in ("text", "audio", "video")}
    parts["fused"] = np.hstack(list(parts.values()))
    train = np.array([row["split_feature"] == "train" for row in rows])
    labels = np.array(["non-negative" if float(row["sentiment"]) >= 0 else "negative" for row in rows])
    ids = [row["id"] for row in rows if row["split_feature"] == "test"]
    for part, f1 in (("text", 0.7575), ("audio", 0.5638), ("video", 0.5215), ("fused", 0.7689)):
        answers = logistic(0.01).fit(parts[part][train], labels[train]).predict(parts[part][~train])
        assert values("cmu-mosi-polarity", ids, polarity=answers.tolist())["weighted_f1"] == pytest.approx(
            f1, abs=5.1e-5
        )


def left_out(features: np.ndarray, labels: np.ndarray, folds: np.ndarray, c: float) -> np.ndarray:
    """Return the answers of logistic regressions, each trained on the other folds."""
    answers = np.empty(len(labels), dtype=labels.dtype)
    for fold in np.unique(folds):
        model = logistic(c).fit(features[folds != fold], labels[folds != fold])
        answers[folds == fold] = model.predict(features[folds == fold])
    return answers


@pytest.mark.slow
@pytest.mark.checks(KNOWN, "ravdess")
def test_known_folds_of_ravdess(corpora: Import, test_data: Path) -> None:
    corpora("ravdess")
    with np.load(test_data / "data" / "features" / "ravdess_av_folds1-4.npz", allow_pickle=False) as known:
        names, labels, folds = (known[name] for name in ("name", "label", "fold"))
        parts = {"audio": known["audio"], "face": known["face"]}
    parts["fused"] = np.hstack(list(parts.values()))
    for part, accuracy, recall in (("audio", 0.454, 0.433), ("face", 0.380, 0.380), ("fused", 0.572, 0.553)):
        result = values("ravdess", names.tolist(), discrete=left_out(parts[part], labels, folds, 0.1).tolist())
        # The folds are equally large, so that the mean of their accuracies is that of all clips.
        assert result["accuracy(discrete,per=fold,aggregate=mean)"] == pytest.approx(accuracy, abs=5.1e-4)
        assert result["accuracy(discrete)"] == pytest.approx(accuracy, abs=5.1e-4)
        assert result["unweighted_average_recall(discrete)"] == pytest.approx(recall, abs=5.1e-4)


@pytest.mark.slow
@pytest.mark.checks(LIBRARY, "crema-d-votes")
def test_votes_of_those_who_only_saw_a_clip_of_crema_d(corpora: Import, test_data: Path) -> None:
    from scipy.spatial.distance import jensenshannon
    from sklearn.metrics import log_loss

    corpora("crema-d-votes")
    rows = read_table(test_data / "data" / "features" / "cremad_votes.csv")
    seen, both = (
        np.array([[float(row[f"{part}_votes_{letter}"]) for letter in "ADFHNS"] for row in rows])
        for part in ("face", "av")
    )
    answers, truth = (seen + 1) / (seen + 1).sum(axis=1, keepdims=True), both / both.sum(axis=1, keepdims=True)
    labels = ("angry", "disgust", "fear", "happy", "neutral", "sad")
    columns = {f"emotion_{label}": answers[:, i].tolist() for i, label in enumerate(labels)}
    result = values("crema-d-votes", [row["clip"] for row in rows], **columns)
    # Each label of a clip as a sample that weighs what its share of the votes is.
    n = len(rows)
    loss = log_loss(np.tile(np.arange(6), n), np.repeat(answers, 6, axis=0), sample_weight=truth.ravel())
    assert result["cross_entropy"] == close(loss)
    assert result["jensen_shannon_divergence"] == close(np.mean(jensenshannon(truth, answers, base=2, axis=1) ** 2))
    assert result["brier_score"] == close(np.mean(np.sum((truth - answers) ** 2, axis=1)))
    both_largest = [side == side.max(axis=1, keepdims=True) for side in (both, seen)]
    pairs = zip(*both_largest, strict=True)
    # Of m labels with the most votes on either side, each counts 1 / m.
    right = np.mean([(true & own).sum() / (true.sum() * own.sum()) for true, own in pairs])
    assert result["majority_agreement"] == close(right)


@pytest.mark.slow
@pytest.mark.checks(KNOWN, "crema-d")
def test_known_folds_of_crema_d(corpora: Import, test_data: Path) -> None:
    corpora("crema-d")
    rows = read_table(test_data / "data" / "features" / "cremad_votes.csv")
    labels, folds = (np.array([row[name] for row in rows]) for name in ("emotion", "fold"))
    parts = {
        part: np.array([[float(row[f"{part}_votes_{letter}"]) for letter in "ADFHNS"] for row in rows])
        for part in ("voice", "face")
    }
    parts["fused"] = np.hstack(list(parts.values()))
    for part, accuracy in (("voice", 0.571), ("face", 0.718), ("fused", 0.780)):
        answers = left_out(parts[part], labels, folds, 1.0)
        result = values("crema-d", [row["clip"] for row in rows], discrete=answers.tolist())
        assert result["accuracy(discrete)"] == pytest.approx(accuracy, abs=5.1e-4)
        by_fold = [np.mean(answers[folds == fold] == labels[folds == fold]) for fold in np.unique(folds)]
        assert result["accuracy(discrete,per=fold,aggregate=mean)"] == close(np.mean(by_fold))


# The stored answers of GPT-4V


def with_policy(folder: Path, name: str, out_of_vocabulary: str, missing_ids: str, more: str = "") -> Path:
    """Write the track of a set with other policies, and return its folder."""
    own = getattr(next(iter(load_track(f"ger-{name}").targets.values())), "out_of_vocabulary", "")
    policy = (f'out_of_vocabulary = "{own}"', f'out_of_vocabulary = "{out_of_vocabulary}"{more}')
    return variant(folder, f"ger-{name}", policy, ('missing_ids = "dropped"', f'missing_ids = "{missing_ids}"'))


METRICS = {
    "accuracy": "first_accuracy",
    "weighted_f1": "ranked_weighted_f1",
    "unweighted_average_recall": "ranked_unweighted_average_recall",
}


def in_percent(values: dict[str, float], expected: dict[str, Any]) -> None:
    """Assert that scores are the published ones, which are in percent with two decimals."""
    published = {name: value for name, value in expected.items() if name in METRICS}
    assert published
    for name, value in published.items():
        assert 100 * values[METRICS[name]] == pytest.approx(value, abs=0.006)


@pytest.mark.checks(PUBLISHED, of="ger-{name}")
@pytest.mark.parametrize(("name", "split"), ANSWERS)
def test_the_released_answers_have_the_published_score(
    name: str, split: str, corpora: Import, test_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpora(f"ger-{name}")
    file = ANSWERS[name, split]
    expected = json.loads((test_data / "golden" / "gpt4v-ger" / "expected.json").read_text(encoding="utf-8"))[file]
    path = test_data / "data" / "gpt4v-ger" / file

    def scored(track: str) -> dict[str, Any]:
        capsys.readouterr()
        assert run(["score", track, str(path), "--split", split, "--no-intervals", "--format", "json"]) == 0
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        return result

    report = scored(f"ger-{name}")
    in_percent({item["name"]: item["value"] for item in report["scores"]}, expected)
    assert report["counts"]["scored"] == expected.get("n", report["counts"]["scored"])
    if "with_alias" in expected:
        alias = with_policy(tmp_path, name, "wrong", "dropped", '\naliases = { surprised = "surprise" }')
        in_percent({item["name"]: item["value"] for item in scored(str(alias))["scores"]}, expected["with_alias"])


@pytest.mark.parametrize("name", ["ckplus", "rafdb", "affectnet", "dfew", "mer2023", "ravdess"])
def test_what_the_other_policies_give(name: str, corpora: Import, test_data: Path, tmp_path: Path) -> None:
    corpora(f"ger-{name}")
    path = test_data / "data" / "gpt4v-ger" / ANSWERS[name, "test"]
    labels = set(getattr(load_track(f"ger-{name}").targets["discrete"], "labels", ()))

    def short(sample: str) -> str:
        return Path(sample).stem if name == "ravdess" else Path(sample).name

    reference = {short(row["name"]): row["gt"].lower() for row in read_table(path.parent / "label.csv")}
    first = {row["name"]: row["gpt4v"].partition(",")[0].strip().lower() for row in read_table(path)}
    right = sum(first[sample] == reference[sample] for sample in first)
    strange = sum(answer not in labels for answer in first.values())
    for out_of_vocabulary, missing_ids, n in (
        ("wrong", "wrong", len(reference)),
        ("wrong", "dropped", len(first)),
        ("dropped", "wrong", len(reference) - strange),
        ("dropped", "dropped", len(first) - strange),
    ):
        track = with_policy(tmp_path / f"{out_of_vocabulary}-{missing_ids}", name, out_of_vocabulary, missing_ids)
        report = merbench.score(track, path, intervals=False)
        assert report["first_accuracy"].value == close(right / n)
