from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from released_files import release
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from merbench.corpus import CORPORA, ExtractionRecord, Feature, add_features
from merbench.corpus.candidates import Candidates
from merbench.corruptions import CORRUPTIONS, generator
from merbench.errors import Inapplicable, IntegrityError, UsageError, WithheldReference
from merbench.robustness import RobustnessReport
from merbench.robustness.grid import Condition
from merbench.robustness.samples import Source
from merbench.training import RunSettings, run_baseline
from merbench.training.plan import with_learning
from tests.robustness.conftest import (
    N_TEST,
    N_TRAIN,
    SPEAKERS,
    CorruptedTrack,
    classes,
    ids,
    scored,
    values,
    vectors,
)


def unequal() -> dict[str, Feature]:
    """Return vectors whose dimensions differ in scale, and are not centred."""
    scales = {name: 10.0 ** np.arange(4) for name in ("audio", "video")}
    return {
        name: Feature(one.ids, ((one.values + 3) * scales[name]).astype(np.float32)) if name in scales else one
        for name, one in vectors().items()
    }


def stored(features: dict[str, Feature] | None = None) -> dict[str, np.ndarray]:
    """Return one vector per sample; of frames their mean."""
    averages = {}
    for name, feature in (features or vectors()).items():
        if feature.offsets is None:
            averages[name] = feature.values.astype(np.float64)
        else:
            parts = np.split(feature.values.astype(np.float64), feature.offsets[1:-1])
            averages[name] = np.array([part.mean(0) for part in parts])
    return averages


def by_hand(train: dict[str, np.ndarray], test: dict[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Return the classes that scikit-learn answers for `test`, fitted on rows of `train`: an independent implementation."""
    names = sorted(train)
    x = np.hstack([train[name][rows] for name in names])
    mean, deviation = x.mean(0), x.std(0)
    model = LogisticRegression(C=0.1, max_iter=5000).fit((x - mean) / deviation, classes()[rows])
    return np.asarray(model.predict((np.hstack([test[name] for name in names]) - mean) / deviation))


TRAIN, TEST = np.arange(N_TRAIN), np.arange(N_TRAIN, N_TRAIN + N_TEST)


def weighted_f1(answers: np.ndarray) -> float:
    return float(f1_score(classes()[TEST], answers, average="weighted"))


def block_means(x: np.ndarray, factor: int) -> np.ndarray:
    """Return runs of neighbouring dimensions replaced by their mean; `factor` divides the number of dimensions."""
    n, d = x.shape
    return np.repeat(x.reshape(n, d // factor, factor).mean(2), factor, axis=1)


def test_the_clean_row_is_what_run_baseline_scores(corrupted_track: CorruptedTrack, tmp_path: Path) -> None:
    track = corrupted_track()
    report = scored(track, {"snr_db": [5]}, intervals=True, options={"scale": "each"}, folds=3)
    run = run_baseline(
        track,
        "logistic",
        RunSettings(options={"scale": "each"}, learning={"folds": 3}, seeds=[0]),
        output=tmp_path / "run",
    )
    assert run.report is not None
    assert report.clean.scores == run.report.scores  # intervals, too
    assert report.signature.startswith(
        f"{run.report.signature}|curve:feature_noise(snr_db=5;factor=1)|baseline:logistic"
    )
    assert report.features == ("audio", "text-frames", "video")
    assert report.uncertainty == run.report.uncertainty
    assert report.clean.options == report.curves[0].rows[0].options == (run.options,)  # selected once


def averaged(x: np.ndarray, factor: int, learned: np.ndarray, scale: str) -> np.ndarray:
    """Return `block_means` on a scale: that of storing, or of the rows in training."""
    if scale == "stored":
        return block_means(x, factor)
    mean, deviation = x[learned].mean(0), x[learned].std(0)
    return np.asarray(mean + deviation * block_means((x - mean) / deviation, factor))


SCALES = pytest.mark.parametrize("scale", ["stored", "standardised"])


@SCALES
def test_one_model_is_used_for_all_conditions(corrupted_track: CorruptedTrack, scale: str) -> None:
    track = corrupted_track(features=unequal())
    report = scored(track, {"factor": [2, 4]}, parameters={"snr_db": 60}, feature_scale=scale)
    clean = stored(unequal())
    test = {name: x[TEST] for name, x in clean.items()}
    expected = [weighted_f1(by_hand(clean, test, TRAIN))]
    for factor in (2, 4):
        # 60 dB of noise on audio change no answer here
        corrupted = {**test, "video": averaged(clean["video"], factor, TRAIN, scale)[TEST]}
        expected.append(weighted_f1(by_hand(clean, corrupted, TRAIN)))
    assert values(report) == pytest.approx(expected, abs=1e-12)
    assert len(set(expected)) > 1
    assert f"|feature_scale:{scale}|" in report.signature
    assert report.feature_scale == scale


@SCALES
def test_one_model_for_each_condition_learns_from_samples_corrupted_in_the_same_way(
    corrupted_track: CorruptedTrack, scale: str
) -> None:
    settings = {"weights": "per-condition", "feature_scale": scale, "parameters": {"snr_db": 60}}
    report = scored(corrupted_track(), {"factor": [4]}, **settings)
    clean = stored()
    corrupted = {**clean, "video": averaged(clean["video"], 4, TRAIN, scale)}
    own = by_hand(corrupted, {name: x[TEST] for name, x in corrupted.items()}, TRAIN)
    shared = by_hand(clean, {name: x[TEST] for name, x in corrupted.items()}, TRAIN)
    assert values(report)[1] == pytest.approx(weighted_f1(own), abs=1e-12)
    assert weighted_f1(own) != weighted_f1(shared)
    assert "weights: one model for each condition, trained on samples corrupted in the same way" in report.to_text()


def test_random_numbers_come_from_seed_step_and_sample(corrupted_track: CorruptedTrack) -> None:
    report = scored(corrupted_track(), {"snr_db": [0]}, feature_scale="stored")
    clean, noisy = stored(), stored()
    for row in TEST:
        rng = generator(11, "feature_noise", ids()[row])
        signal = CORRUPTIONS["feature_noise"]({"audio": clean["audio"][row]}, rng, {"snr_db": 0, "factor": 1})
        noisy["audio"][row] = signal["audio"]
    answers = by_hand(clean, {name: x[TEST] for name, x in noisy.items()}, TRAIN)
    assert values(report)[1] == pytest.approx(weighted_f1(answers), abs=1e-12)
    assert values(report)[1] != values(report)[0]


def test_frames_are_corrupted_as_frames_and_pooled_after(corrupted_track: CorruptedTrack) -> None:
    settings = {"corruption": "random_drop", "parameters": {"unit": "frame", "modalities": "text"}}
    report = scored(corrupted_track(""), {"rate": [0.5, 1.0]}, feature_scale="stored", **settings)
    clean = stored()
    gone = {name: x[TEST] for name, x in clean.items()}
    gone["text-frames"] = np.zeros_like(gone["text-frames"])
    assert values(report)[2] == pytest.approx(weighted_f1(by_hand(clean, gone, TRAIN)), abs=1e-12)


@SCALES
def test_the_patterns_of_missing_modalities_are_zeros(corrupted_track: CorruptedTrack, scale: str) -> None:
    patterns, clean = ["a", "v", "at", "avt"], stored()
    settings = {"corruption": "modality_pattern", "feature_scale": scale}
    report = scored(corrupted_track(""), {"pattern": patterns}, **settings)
    absent = {name: 0 * x[0] for name, x in clean.items()}
    if scale == "standardised":  # the mean of the training data; of frames, of all frames
        frames = vectors()["text-frames"]
        assert frames.offsets is not None
        absent = {name: x[TRAIN].mean(0) for name, x in clean.items()}
        absent["text-frames"] = frames.values[: frames.offsets[N_TRAIN]].astype(np.float64).mean(0)
    expected = []
    for pattern in patterns:
        kept = {
            name: x[TEST] if name[0] in pattern else np.tile(absent[name], (N_TEST, 1)) for name, x in clean.items()
        }
        expected.append(weighted_f1(by_hand(clean, kept, TRAIN)))
    assert values(report)[1:] == pytest.approx(expected, abs=1e-12)
    assert values(report)[0] == values(report)[-1]
    assert len(set(expected)) > 2
    (curve,) = report.curves
    assert [item.kind for item in curve.summary] == ["mean"] * 4
    assert curve.summary[1].over.value == pytest.approx(np.mean(expected), abs=1e-12)


def test_the_area_over_missing_rates_and_the_realised_shares(corrupted_track: CorruptedTrack) -> None:
    rates = [0.0, 0.3, 0.7]
    report = scored(corrupted_track(""), {"rate": rates}, corruption="gcnet_missing", intervals=True)
    (curve,) = report.curves
    assert {item.kind for item in curve.summary} == {"auilc"}
    f1 = next(item for item in curve.summary if item.name == "weighted_f1")
    assert f1.over.value == pytest.approx(np.trapezoid(values(report)[1:], rates), abs=1e-12)
    last = curve.rows[-1].realised
    # a rate of 0.7 keeps one of three; realised values have six decimals
    assert last == {name: pytest.approx(2 / 3, abs=5e-7) for name in last}
    assert curve.rows[0].scores == report.clean.scores  # what a corruption leaves unchanged keeps its bits


@pytest.mark.parametrize(
    ("scale", "weights"), [("stored", "shared"), ("standardised", "shared"), ("standardised", "per-condition")]
)
def test_every_group_is_predicted_by_a_model_of_the_others(
    corrupted_track: CorruptedTrack, scale: str, weights: str
) -> None:
    settings = {"weights": weights, "feature_scale": scale, "parameters": {"snr_db": 60}, "leave_out": "speaker"}
    report = scored(corrupted_track(), {"factor": [4]}, **settings)
    clean = {name: x[TEST] for name, x in stored().items()}
    speakers = np.array([SPEAKERS[row % 3] for row in TEST])
    labels, expected = classes()[TEST], []
    for is_corrupted in (False, True):
        answers = np.zeros(N_TEST, dtype=int)
        for speaker in SPEAKERS:
            others, own = speakers != speaker, speakers == speaker
            corrupted = {**clean, "video": averaged(clean["video"], 4, np.flatnonzero(others), scale)}
            given = corrupted if is_corrupted else clean
            learned = given if weights == "per-condition" else clean
            x = np.hstack([learned[name][others] for name in sorted(clean)])
            mean, deviation = x.mean(0), x.std(0)
            model = LogisticRegression(C=0.1, max_iter=5000).fit((x - mean) / deviation, labels[others])
            answers[own] = model.predict((np.hstack([given[name][own] for name in sorted(given)]) - mean) / deviation)
        expected.append(weighted_f1(answers))
    assert values(report) == pytest.approx(expected, abs=1e-12)
    assert report.leave_out == "speaker"
    assert report.counts == {"candidates": N_TEST, "scored": N_TEST, "trained": 24}
    assert "each 'speaker' was predicted by a model of the others; scored once, pooled" in report.to_text()


def test_two_features_of_one_modality_are_both_corrupted(corrupted_track: CorruptedTrack) -> None:
    features = vectors()
    again = Feature(features["video"].ids, features["video"].values[:, ::-1].copy())
    track = corrupted_track(features={"video": features["video"], "faces": again, "audio": features["audio"]})
    settings = {"parameters": {"snr_db": 60}, "modalities": {"faces": "video"}, "feature_scale": "stored"}
    report = scored(track, {"factor": [4]}, **settings)
    clean = {"audio": features["audio"].values, "faces": again.values, "video": features["video"].values}
    clean = {name: x.astype(np.float64) for name, x in clean.items()}
    corrupted = {name: x[TEST] if name == "audio" else block_means(x[TEST], 4) for name, x in clean.items()}
    assert values(report)[1] == pytest.approx(weighted_f1(by_hand(clean, corrupted, TRAIN)), abs=1e-12)


@pytest.mark.slow
def test_a_second_baseline_has_the_same_conditions_and_mce_is_the_mean_over_curves(
    corrupted_track: CorruptedTrack,
) -> None:
    names, grids = ["feature_noise", "gaussian_noise_features"], {"snr_db": [0, -10]}
    settings: dict[str, Any] = {"relative_to": "majority", "parameters": {"feature_noise.factor": 4}}
    both = scored(corrupted_track(""), grids, output="both", corruption=names, charts=True, **settings)
    assert [curve.corruption for curve in both.curves] == names
    other = weighted_f1(np.full(N_TEST, np.bincount(classes()[TRAIN], minlength=3).argmax()))
    assert [row.relative[1].value for row in both.curves[0].rows] == pytest.approx([other, other], abs=1e-12)
    f1 = values(both)[1:]
    ratios = [sum(1 - value for value in part) / (2 * (1 - other)) for part in (f1[:2], f1[2:])]
    assert [curve.summary[1].corruption_error.value for curve in both.curves] == pytest.approx(ratios, abs=1e-12)
    assert both.curves[0].summary[1].relative_corruption_error is None  # a constant answer has no error that rises
    assert ratios[0] != ratios[1]
    assert both.mean_errors[1].mce == pytest.approx(sum(ratios) / 2, abs=1e-12)
    single = scored(corrupted_track("", "two"), grids, corruption=names[1])
    assert [row.scores for row in both.curves[1].rows] == [row.scores for row in single.curves[0].rows]
    assert sorted(path.name for path in Path("both").glob("*.svg")) == [
        "curve-feature_noise-snr_db.svg", "curve-gaussian_noise_features-snr_db.svg",
    ]  # fmt: skip
    lines = both.to_text().splitlines()
    assert {
        "over snr_db of feature_noise",
        "over snr_db of gaussian_noise_features",
        "over 2 curves, / majority",
    } <= set(lines)
    assert any("corruption error / majority" in line for line in lines)
    assert not any("relative corruption error" in line for line in lines)
    assert "over snr_db" in single.to_text().splitlines()


@pytest.mark.slow
def test_curves_of_steps_of_one_corruption_are_numbered(corrupted_track: CorruptedTrack) -> None:
    noise = '[[corruptions]]\nname = "feature_noise"\nstep = "{}"\nsnr_db = 5\nfactor = 1\n'
    track = corrupted_track(noise.format("heavy") + noise.format("light"))
    steps = ["heavy", "random_drop", "light"]
    settings = {"corruption": steps, "parameters": {"random_drop.unit": "frame"}, "charts": True}
    report = scored(track, {"snr_db": [5], "factor": [2], "rate": [0.5]}, "majority", **settings)
    assert [(curve.step, curve.parameter) for curve in report.curves] == [
        ("heavy", "snr_db"), ("light", "snr_db"), ("heavy", "factor"), ("light", "factor"), ("random_drop", "rate"),
    ]  # fmt: skip
    assert sorted(path.name for path in Path("out").glob("*.svg")) == [
        "curve-feature_noise-factor-1.svg", "curve-feature_noise-factor-2.svg",
        "curve-feature_noise-snr_db-1.svg", "curve-feature_noise-snr_db-2.svg", "curve-rate.svg",
    ]  # fmt: skip
    assert "over snr_db of feature_noise (heavy)" in report.to_text().splitlines()


@pytest.mark.slow
def test_a_run_is_a_folder_and_the_same_input_gives_the_same_bytes(corrupted_track: CorruptedTrack) -> None:
    track, grids = corrupted_track(), {"snr_db": [10, 0], "factor": [2]}
    settings = {"intervals": True, "relative_to": "majority", "charts": True}
    report = scored(track, grids, output="one", **settings)
    scored(track, grids, output="two", **settings)
    names = sorted(path.name for path in Path("one").iterdir())
    assert names == [
        "curve-factor.png", "curve-factor.svg", "curve-snr_db.png", "curve-snr_db.svg", "robustness.json", "robustness.md",
    ]  # fmt: skip
    for name in names:
        assert (Path("one") / name).read_bytes() == (Path("two") / name).read_bytes()
    text = (Path("one") / "robustness.json").read_text(encoding="utf-8")
    assert text == report.to_json()
    assert text == json.dumps(json.loads(text), sort_keys=True, ensure_ascii=False, indent=1) + "\n"
    assert (Path("one") / "robustness.md").read_text(encoding="utf-8") == report.to_markdown()
    assert all(row.scores[1].low is not None for row in report.curves[0].rows)
    assert report.curves[0].summary[1].over.low is not None


def test_a_stored_report_reads_and_so_does_one_of_an_older_version(corrupted_track: CorruptedTrack) -> None:
    report = scored(corrupted_track(), {"snr_db": [10]})
    content = json.loads(report.to_json())
    assert RobustnessReport.from_json(report.to_json()) == report
    content["undamaged"] = content.pop("clean")
    assert RobustnessReport.from_json(json.dumps(content)) == report
    with pytest.raises(UsageError, match=r"^not a report of the form merbench\.robustness/1: no schema$"):
        RobustnessReport.from_json("{}")


@pytest.mark.slow
def test_a_condition_that_fails_is_listed_and_the_others_are_finished(
    corrupted_track: CorruptedTrack, monkeypatch: pytest.MonkeyPatch
) -> None:
    track, grids = corrupted_track(), {"snr_db": [10, 0], "factor": [2]}
    expected = scored(track, grids, relative_to="majority")
    before = Source.inputs

    def inputs(self: Source, candidates: Candidates, condition: Condition | None, *rest: Any) -> Any:
        if condition is not None and condition.value in failing:
            raise failing[condition.value]
        return before(self, candidates, condition, *rest)

    monkeypatch.setattr(Source, "inputs", inputs)
    failing: dict[Any, BaseException] = {0: KeyError("a\nbug")}
    report = scored(track, grids, output="one", relative_to="majority", charts=True)
    first, second = report.curves
    assert (first.rows[0], second) == (expected.curves[0].rows[0], expected.curves[1])
    assert (first.rows[1].scores, first.summary, report.mean_errors) == ((), (), ())  # not of other conditions
    (line,) = report.problems
    assert line == r"not scored: snr_db = 0 of feature_noise: KeyError: 'a\nbug'"
    assert line in report.to_text() and "over snr_db" not in report.to_text()
    assert RobustnessReport.from_json((Path("one") / "robustness.json").read_text(encoding="utf-8")) == report
    assert (Path("one") / "curve-snr_db.svg").is_file()
    failing |= {10: Inapplicable("silent"), 2: ValueError("other")}
    with pytest.raises(Inapplicable, match=r"^silent$"):  # no condition was scored
        scored(track, grids, output="none")
    assert not Path("none").exists()
    failing = {0: KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        scored(track, grids, output="none")


def test_a_sampled_parameter_is_reported_as_its_mean(corrupted_track: CorruptedTrack) -> None:
    report = scored(corrupted_track(), {"factor": [2]})
    sampled = [
        CORRUPTIONS["feature_noise"].draw(
            {"snr_db": {"integers": [5, 10]}, "factor": 2}, generator(11, "feature_noise", ids()[row])
        )["snr_db"]
        for row in TEST
    ]
    (row,) = report.curves[0].rows
    assert row.realised == {"feature_noise.snr_db": pytest.approx(np.mean(sampled), abs=1e-12)}
    assert report.to_text().splitlines()[3].split()[-1] == "snr_db"


def test_features_that_were_corrupted_before_are_reported(sample_home: Path) -> None:
    report = scored("mer-noise", {"snr_db": [5]}, "majority")
    assert report.synthetic
    assert report.remarks[0] in report.to_text().splitlines()
    assert report.remarks == ("feature_noise changes none of the inputs: its curve is flat",)
    report = scored("mer-noise", {"snr_db": [-10]})
    assert report.remarks == (
        "the corpus contains features of split 'test' that feature_noise already corrupted: clean means as stored, and the "
        "grid's corruption is applied on top",
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weights": "own"}, "weights must be one of shared, per-condition, mixed, not 'own'"),
        ({"feature_scale": "raw"}, "the feature scale must be one of standardised, stored, not 'raw'"),
        ({"workers": 0}, "the number of workers must be at least 1, not 0"),
        ({"engine": "dask"}, "'dask' is not an engine; allowed: local and dask://host:port"),
        ({"seed": -1}, "the seed must be an integer of at least 0, not -1"),
        ({"relative_to": "logistic"}, "'logistic' is compared with itself; name another baseline"),
        ({"leave_out": "speakr"}, "corpus 'small' has no column 'speakr' whose values are left out in turn; it has speaker, transcript, "),
        ({"modalities": {"audio": "sound"}}, "the modality of feature 'audio' must be one of audio, video, text, other, not 'sound'"),
        ({"split": "tset"}, "small has no split 'tset'; it has train, test; did you mean 'test'?"),
        ({"features": ["vidio"]}, "no feature of corpus small named 'vidio'; did you mean 'video'"),
        ({"modalities": {"hubert": "audio"}}, "no feature of corpus small named 'hubert'"),
    ],
)  # fmt: skip
def test_wrong_settings_are_reported(corrupted_track: CorruptedTrack, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(message)}"):
        scored(corrupted_track(), {"snr_db": [5]}, **settings)
    assert not Path("out").exists()


def test_the_modality_of_every_feature_must_be_known(corrupted_track: CorruptedTrack) -> None:
    track = corrupted_track(features={"hubert": vectors()["audio"], "video": vectors()["video"]})
    message = (
        "the modality of hubert is not known from its name; give --feature-of MODALITY=hubert (one of audio, video, "
        "text, or other, which is never corrupted)"
    )
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        scored(track, {"snr_db": [5]})
    for modality, is_corrupted in (("audio", True), ("other", False)):
        report = scored(track, {"snr_db": [-20]}, modalities={"hubert": modality})
        assert (values(report)[0] != values(report)[1]) == is_corrupted
    record = ExtractionRecord(extractor="hubert", version="1", modality="audio", unit="utterance")
    corpus = CORPORA.read(track.folder / "corpus")
    add_features(corpus, {"hubert": corpus.feature("hubert")}, {"hubert": record}, replace=True)
    recorded = scored(track, {"snr_db": [-20]})
    assert values(recorded) == values(scored(track, {"snr_db": [-20]}, modalities={"hubert": "audio"}))


def test_without_references_or_with_a_changed_corpus_nothing_is_trained(corrupted_track: CorruptedTrack) -> None:
    with pytest.raises(WithheldReference, match=r"^the references of split 'test' of small are withheld"):
        scored(corrupted_track(withheld=True), {"snr_db": [5]})
    track = corrupted_track(name="two")
    with (track.folder / "corpus" / "features" / "audio.arrow").open("ab") as file:
        file.write(b"x")
    with pytest.raises(IntegrityError, match="audio"):
        scored(track, {"snr_db": [5]})


def test_a_group_without_a_name_and_a_single_group_are_reported(corrupted_track: CorruptedTrack) -> None:
    track = corrupted_track(media={ids()[-1]: "a"})
    message = f"corpus 'small': column 'media' has no values for {N_TEST - 1} of {N_TEST} samples of split 'test': "
    with pytest.raises(UsageError, match=f"^{re.escape(message)}"):
        scored(track, {"snr_db": [5]}, leave_out="media")
    track = corrupted_track(name="two", media=dict.fromkeys(ids(), "a"))
    message = "column 'media' has only one value in split 'test'; leaving it out leaves nothing"
    with pytest.raises(UsageError, match=f"^{message}$"):
        scored(track, {"snr_db": [5]}, leave_out="media")


def test_noise_is_as_strong_in_every_dimension(corrupted_track: CorruptedTrack) -> None:
    """On the stored scale, noise at 20 dB drowns the three small dimensions of `unequal`, and more noise is no worse."""
    equal, large = corrupted_track("", "equal"), corrupted_track("", "unequal", features=unequal())
    settings = {"corruption": "feature_noise", "parameters": {"factor": 1}, "features": ["audio"]}
    curves = [
        values(scored(track, {"snr_db": [20, 0]}, feature_scale=scale, **settings), "mse")
        for track, scale in ((equal, "standardised"), (large, "standardised"), (large, "stored"))
    ]
    # the scale of a feature's dimensions makes no difference; features are stored as float32
    assert curves[1] == pytest.approx(curves[0], abs=1e-4)
    assert curves[1][0] == curves[2][0]
    assert curves[2][1] > curves[1][2]


@pytest.mark.real_data
@pytest.mark.slow
def test_the_curve_of_unseen_actors_of_ravdess_drops(
    test_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Noise on vectors as they are stored gives a flat curve at the chance of eight classes, 0.125, at any level."""
    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path / "home"))
    release("ravdess")(test_data / "data" / "features", tmp_path / "home" / "corpora" / "ravdess")
    settings = {
        "corruption": "feature_noise", "parameters": {"factor": 1}, "leave_out": "fold",
        "options": {"scale": "each", "C": 0.1, "alpha": 1.0}, "modalities": {"face": "video"},
    }  # fmt: skip
    curves = {
        scale: values(
            scored("ravdess", {"snr_db": [20, 10, 5, 0, -5]}, feature_scale=scale, **settings),
            "accuracy(pooled)",
        )
        for scale in ("stored", "standardised")
    }  # fmt: skip
    # the accuracy known of these features: 0.572
    assert curves["stored"][0] == curves["standardised"][0] == pytest.approx(0.572, abs=5e-4)
    assert curves["stored"][1:] == pytest.approx([0.125, 0.122, 0.122, 0.122, 0.122], abs=0.01)
    assert curves["standardised"][1:] == pytest.approx([0.579, 0.556, 0.508, 0.411, 0.293], abs=0.01)


@pytest.mark.parametrize("leave_out", [None, "speaker"])
def test_a_report_does_not_show_who_is_scored_of_a_hidden_split(
    leave_out: str | None, corrupted_track: CorruptedTrack
) -> None:
    track = corrupted_track()
    hidden = track.splits["test"].model_copy(update={"hidden": True})
    track = track.model_copy(update={"splits": {**track.splits, "test": hidden}})
    report = scored(track, {"snr_db": [0]}, leave_out=leave_out, intervals=True)
    assert RobustnessReport.from_json((Path("out") / "robustness.json").read_text(encoding="utf-8")) == report
    scores = [score for row in (report.clean, *report.curves[0].rows) for score in row.scores]
    assert all(len(repr(score.value)) <= len("-0.1234") and score.low is None for score in scores)
    assert {score.n_scored for score in scores} == {None}
    assert sorted(report.counts) == (["candidates"] if leave_out else ["candidates", "trained"])
    assert not {"corpus", "references"} & set(report.digests)
    assert "|corpus:small|" in report.signature and f"|n:{N_TEST}|" in report.signature
    assert any(note.startswith("a hidden split: ") for note in report.remarks)


def test_how_a_track_is_learned_is_in_the_signature(corrupted_track: CorruptedTrack) -> None:
    track = corrupted_track()
    plain = scored(track, {"snr_db": [0]})
    assert "|training:" not in plain.signature
    grouped = with_learning(track, {"leave_out": "speaker", "selection": "leave-one-group-out"})
    report = scored(grouped, {"snr_db": [0]})
    assert report.leave_out == "speaker"
    assert "|leave_out:speaker|training:" in report.signature
    assert scored(track, {"snr_db": [0]}, folds=3).signature != plain.signature
    # What is left out is of the split that is scored, by the track's declaration as by the option.
    given = scored(track, {"snr_db": [0]}, leave_out="speaker")
    assert "|leave_out:speaker|damage_seed" in given.signature
    assert given.counts == report.counts
