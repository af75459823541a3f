"""What is stored of a run is enough to predict as it did."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_corpus import made_corpus
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from merbench.cli import run as command
from merbench.corpus import Feature, open_corpus
from merbench.corpus.candidates import open_candidates
from merbench.corrupt.features_and_texts import corrupt_corpus
from merbench.errors import IntegrityError, MerbenchError, UsageError
from merbench.files.reading import sha256_file
from merbench.files.tensors import read_tensors, write_tensors
from merbench.track import Track, load_track
from merbench.track.validation import parse_track
from merbench.training import (
    BaselineRun,
    FeatureSet,
    Models,
    Predictions,
    RunSettings,
    Setup,
    Storable,
    TrainingSet,
    feature_set,
    load_baseline,
    open_models,
    predict,
    run_baseline,
    training_set,
)
from merbench.training.records import find_runs, read_run
from merbench.training.stored_models import Model
from tests.training.conftest import DECLARATION, SmallTrack
from tests.training.test_declaration import write
from tests.training.test_plugin_errors import MODEL
from tests.training.test_sets import open_track

__all__ = ["open_track"]


@pytest.mark.parametrize(
    ("name", "options"), [("majority", {}), ("logistic", {"scale": "each", "C": 0.1, "alpha": 10.0})]
)
def test_a_restored_baseline_predicts_as_the_fitted_one(
    small_track: SmallTrack, tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    track = small_track()
    run = run_baseline(track, name, RunSettings(options=options, intervals=False), output=tmp_path / "run")
    record = json.loads((run.folder / "run.json").read_text())
    path = run.folder / "models" / "seed-0.safetensors"
    assert record["runs"][0]["models"] == {"models/seed-0.safetensors": sha256_file(path)}
    arrays, metadata = read_tensors(path)
    assert metadata["options"] == record["options"] and metadata["files"] == record["baseline"]["files"]
    restored = load_baseline(name).build(metadata["options"], Setup())
    assert isinstance(restored, Storable)
    restored.restore(arrays, track, {each["feature"]: each["width"] for each in record["inputs"]})
    outputs = restored.predict(feature_set(open_candidates(track), run.features)).outputs
    for target, values in run.seeds[0].predictions.outputs.items():
        np.testing.assert_array_equal(outputs[target], values)


def test_words_are_stored_with_the_rest(open_track: Track) -> None:
    train, test = (open_candidates(open_track, split) for split in ("train", "test"))
    rng = np.random.default_rng(0)

    def seen(samples: FeatureSet) -> FeatureSet:
        vectors = {"own": rng.normal(size=(len(samples), 3)).astype(np.float32)}
        return FeatureSet(samples.ids, FeatureSet.of_vectors(samples.ids, vectors).sequences, samples.columns)

    learned = training_set(train, [], ["transcript"])
    object.__setattr__(learned, "samples", seen(learned.samples))
    unseen = seen(feature_set(test, [], ["transcript"]))
    loaded, options = load_baseline("lexicon-ov"), {"C": 0.1, "threshold": 0.2}
    fitted, restored = (loaded.build(options, Setup()) for _ in range(2))
    fitted.fit(learned)
    assert isinstance(fitted, Storable) and isinstance(restored, Storable)
    restored.restore(fitted.weights(), open_track, {"own": 3})
    assert list(restored.predict(unseen).sets["openset"]) == list(fitted.predict(unseen).sets["openset"])


def test_a_track_is_rebuilt_from_what_a_run_records() -> None:
    # of each sort: metrics with parameters, corruptions with parameters, several splits of a corpus, views
    for name in ("mer-multi", "mer-noise", "mer2023-noise", "add2023-rl", "ger-samm"):
        track = load_track(name)
        assert parse_track(json.loads(json.dumps(track.content)), track.folder) == track


STORED = MODEL.replace(
    "\ndef build",
    """
    def weights(self):
        return {"shape": np.array(self.shape)}
    def restore(self, weights, track, widths):
        self.shape = int(weights["shape"])

def build""",
)


def test_what_is_no_array_is_refused(small_track: SmallTrack, tmp_path: Path) -> None:
    model = STORED.replace("np.array(self.shape)", "self.shape")
    own = write(tmp_path / "own", 'title = "Own"\n', model)
    with pytest.raises(
        UsageError, match="weights: shape is a value of type 'int'; allowed: NumPy arrays of numbers, or"
    ):
        run_baseline(small_track(), own, output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


OPTIONS = {"scale": "each", "C": 0.1, "alpha": 10.0}


@pytest.fixture
def trained(small_track: SmallTrack, tmp_path: Path) -> BaselineRun:
    """Return a run of two seeds whose features are not in the order of their names."""
    track, features = small_track(), ["quiet", "loud"]
    return run_baseline(
        track,
        "logistic",
        RunSettings(options=OPTIONS, features=features, seeds=[3, 1], intervals=False),
        output=tmp_path / "run",
    )


def test_the_same_samples_get_the_same_answers(trained: BaselineRun, capsys: pytest.CaptureFixture[str]) -> None:
    folder, track = str(trained.folder), str(trained.track.folder)
    assert command(["predict", folder, track, "--no-intervals"]) == 0
    printed = capsys.readouterr()
    assert "logistic of small@1.0, seed 3: answers for 30 samples of corpus 'small', split 'test'" in printed.out
    assert "warning" not in printed.err
    for name in ("submission.csv", "probabilities.parquet"):
        assert (trained.folder / "predictions" / "small" / name).read_bytes() == (trained.folder / name).read_bytes()
    record = json.loads((trained.folder / "predictions" / "small" / "prediction.json").read_text())
    assert record["test"] == trained.seeds[0].test
    # a second time only with --force; another seed; a seed that the run does not have
    assert command(["predict", folder, track]) == 2
    assert command(["predict", folder, track, "--force", "--seed", "1", "--no-intervals"]) == 0
    assert command(["predict", folder, track, "--force", "--seed", "2"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"{folder}: no seed 2; it has 3, 1"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["attention", "gru", "context-gru"])
def test_a_restored_network_predicts_as_the_trained_one(small_track: SmallTrack, tmp_path: Path, name: str) -> None:
    dialogues = {"dialogue": [f"d{i // 5}" for i in range(90)]}
    track = small_track(columns={**dialogues, "speaker": ["a", "b", None] * 30, "position": [i % 5 for i in range(90)]})
    options = {"epochs": 2, "hidden": [4] if name == "attention" else 4}
    features = ["quiet", "loud"]  # not in the order of their names
    run = run_baseline(
        track,
        name,
        RunSettings(options=options, features=features, seeds=[0], intervals=False),
        output=tmp_path / "run",
    )
    predict(open_models(run.folder, device="cpu"), track.folder, intervals=False)
    for file in ("submission.csv", "probabilities.parquet"):
        assert (run.folder / "predictions" / "small" / file).read_bytes() == (run.folder / file).read_bytes()


def renamed(track: Track, folder: Path) -> Path:
    """Write the corpus of a track under another name, as a copy with corrupted features has one."""
    corpus = open_corpus(track.corpus, relative_to=track.folder)
    features = {name: corpus.feature(name) for name in corpus.features}
    made_corpus(
        folder, name="renamed", samples=corpus.samples(), reference=corpus.reference(), features=features, replace=True
    )
    return folder


def test_samples_that_were_learned_from_are_counted(trained: BaselineRun, tmp_path: Path) -> None:
    models = open_models(trained.folder)
    prediction = predict(models, trained.track.folder, split="train", intervals=False)
    assert prediction.folder == trained.folder / "predictions" / "small-train"
    assert prediction.warnings == ("60 of 60 samples were learned from",)
    copy = predict(models, renamed(trained.track, tmp_path / "renamed"), intervals=False)
    assert copy.warnings == ("60 of 90 samples were learned from, if they are the ones of the same id in the run",)


def test_a_development_set_and_unlabelled_samples_are_counted(small_track: SmallTrack, tmp_path: Path) -> None:
    learning = {"selection": "dev", "development": ["dev"], "source": ["train"], "unlabelled": ["test"]}
    run = run_baseline(
        small_track(n_dev=12),
        "pseudo-label",
        RunSettings(options={"base": "logistic"}, learning=learning, intervals=False),
        output=tmp_path / "run",
    )
    copy = predict(open_models(run.folder), renamed(run.track, tmp_path / "renamed"), intervals=False)
    assert [warning.partition(", if")[0] for warning in copy.warnings] == [
        "48 of 90 samples were learned from",
        "12 of 90 samples are of the development set that epochs and options were selected on",
        "30 of 90 samples were learned from without references",
    ]


def test_the_samples_of_another_corpus_are_answered(trained: BaselineRun, tmp_path: Path) -> None:
    ids = ["b", "a", "c"]
    rng = np.random.default_rng(1)
    vectors = {"loud": rng.normal(size=(3, 6)), "quiet": rng.normal(size=(3, 4)), "further": np.zeros((3, 2))}

    def other(name: str, **changed: Any) -> Path:
        features = {key: Feature.from_vectors(ids, values) for key, values in {**vectors, **changed}.items()}
        made_corpus(
            tmp_path / name,
            name=name,
            samples=pa.table({"sample_id": ids, "split": ["x", "y", "y"]}),
            features=features,
        )
        return tmp_path / name

    models = open_models(trained.folder)
    prediction = predict(models, other("other"))
    assert prediction.candidates.ids.to_pylist() == ["a", "b", "c"]
    assert prediction.report is None and prediction.withheld.startswith(
        "the references of split 'all' of small are withheld"
    )
    assert prediction.warnings == ()
    lines = (prediction.folder / "submission.csv").read_text().splitlines()
    # what scikit-learn answers for the same vectors, standardised as in training
    train = training_set(open_candidates(trained.track, "train"), ["quiet", "loud"])
    fused = np.hstack([train.features["quiet"], train.features["loud"]]).astype(float)
    model = make_pipeline(StandardScaler(), Ridge(alpha=10.0)).fit(fused, train.targets["valence"])
    expected = model.predict(np.hstack([vectors["quiet"], vectors["loud"]]).astype(np.float32)).clip(-2, 2)
    answers = {line.split(",")[0]: float(line.split(",")[2]) for line in lines[1:]}
    np.testing.assert_allclose([answers[name] for name in ids], expected, atol=1e-5)

    of_split = predict(models, other("other-2"), split="y", output=tmp_path / "y")
    assert of_split.candidates.ids.to_pylist() == ["a", "c"]
    with pytest.raises(UsageError, match=r"features have another width .* \(1 of 2\): loud \(5, not 6\); extract them"):
        predict(models, other("narrow", loud=np.zeros((3, 5))))
    with pytest.raises(UsageError, match="has no sample in split 'z'; it has x, y"):
        predict(models, other("other-3"), split="z")


def test_corrupted_features_are_answered_by_what_was_learned_without(small_track: SmallTrack, tmp_path: Path) -> None:
    noise = '[[corruptions]]\nname = "feature_noise"\nsnr_db = 0\nfactor = 1\n'
    track = small_track(declaration=f"{DECLARATION}{noise}")
    run = run_baseline(
        track, "logistic", RunSettings(options=OPTIONS, features=["loud"], intervals=False), output=tmp_path / "run"
    )
    corrupted = corrupt_corpus(track, tmp_path / "noisy", features={"audio": "loud"}).corpus
    prediction = predict(open_models(run.folder), corrupted.folder, split="test", intervals=False)
    # noise as strong as the signal: the same samples, answered worse
    assert run.report is not None and prediction.report is not None
    assert prediction.report.counts == run.report.counts
    clean, noisy = (report["weighted_f1"].value for report in (run.report, prediction.report))
    assert clean is not None and noisy is not None and noisy < clean - 0.05
    assert prediction.report.signature != run.report.signature


def test_a_track_with_other_targets_is_refused(trained: BaselineRun, small_track: SmallTrack) -> None:
    labels = ("glad", "calm", "sad")
    toml = DECLARATION.replace('["calm", "glad", "sad"]', '["glad", "calm", "sad"]')
    other = small_track("two", declaration=toml, labels=labels)
    with pytest.raises(
        UsageError,
        match=r"run answers discrete \(categorical of 3 labels: calm, glad, sad\), valence \(continuous\); small declares "
        r"discrete \(categorical of 3 labels: glad, calm, sad\)",
    ):
        predict(open_models(trained.folder), other.folder)


class _Constant:
    def __init__(self, value: float) -> None:
        self.value = value

    def fit(self, train: TrainingSet) -> None:
        pass

    def predict(self, test: FeatureSet) -> Predictions:
        return Predictions({"valence": np.full(len(test), self.value)})


def test_a_sample_is_answered_by_the_model_that_did_not_learn_from_it(trained: BaselineRun) -> None:
    opened = open_models(trained.folder)
    samples = feature_set(open_candidates(trained.track), ["loud"]).select(np.arange(6))
    answered = {1.0: [3], 2.0: [0, 5], 6.0: [1]}
    models = Models(
        opened.run,
        opened.track,
        opened.loaded,
        0,
        {},
        tuple(
            Model(_Constant(value), {}, {"answered": samples.ids.take(pa.array(rows))})
            for value, rows in answered.items()
        ),
    )
    # (1 + 2 + 6) / 3 for the two samples that no model answered in the run
    np.testing.assert_array_equal(models.predict(samples).outputs["valence"], [2, 6, 3, 1, 3, 2])


def test_groups_that_were_left_out_are_answered_as_in_the_run(small_track: SmallTrack, tmp_path: Path) -> None:
    track = small_track(columns={"fold": [str(1 + i % 3) for i in range(90)]})
    learning = {"leave_out": "fold", "source": ("train", "test")}
    run = run_baseline(track, "majority", RunSettings(learning=learning, intervals=False), output=tmp_path / "run")
    assert len(json.loads((run.folder / "run.json").read_text())["runs"][0]["models"]) == 3
    models, name = open_models(run.folder), "probabilities.parquet"
    prediction = predict(models, track.folder, intervals=False)
    assert (prediction.folder / name).read_bytes() == (run.folder / name).read_bytes()
    assert prediction.warnings == ()
    again = predict(models, track.folder, split="train", intervals=False)
    assert again.warnings == ()  # each is answered by the model that did not learn from it
    # a copy is known by its ids; the same values of the column are other groups where ids differ
    copy = predict(models, renamed(track, tmp_path / "renamed"), split="test", intervals=False)
    assert (copy.folder / name).read_bytes() == (run.folder / name).read_bytes()
    test = feature_set(open_candidates(track), run.features)
    every = models.predict(replace(test, ids=pa.array([f"other-{name}" for name in test.ids.to_pylist()])))
    means = [model.baseline.predict(test).outputs["valence"] for model in models.models]
    np.testing.assert_allclose(every.outputs["valence"], np.mean(means, axis=0), rtol=1e-12)


def test_a_run_without_some_classes_is_used_again(small_track: SmallTrack, tmp_path: Path) -> None:
    track = small_track()
    run = run_baseline(
        track, "logistic", RunSettings(options=OPTIONS, hold_out=["glad"], intervals=False), output=tmp_path / "run"
    )
    models = open_models(run.folder)
    again = predict(models, track.folder, intervals=False)
    assert again.report is not None and run.report is not None
    assert again.report["auroc"].value == run.report["auroc"].value
    assert (again.folder / "submission.csv").read_bytes() == (run.folder / "submission.csv").read_bytes()
    learned = predict(models, track.folder, split="train", intervals=False)
    assert len((learned.folder / "submission.csv").read_text().splitlines()) == 61
    with pytest.raises(
        UsageError,
        match="ood-emotion has no features to answer from; name the track that its samples are of, such as small",
    ):
        predict(models, run.folder / "ood-emotion")
    labels = ("calm", "glad", "angry")
    other = small_track("two", declaration=DECLARATION.replace('"sad"]', '"angry"]'), labels=labels)
    with pytest.raises(UsageError, match=r"small without glad declares discrete .* calm, angry"):
        predict(models, other.folder)


def test_weights_that_changed_are_not_used(trained: BaselineRun, capsys: pytest.CaptureFixture[str]) -> None:
    path, folder = trained.folder / "models" / "seed-3.safetensors", str(trained.folder)
    data, record = path.read_bytes(), json.loads((trained.folder / "run.json").read_text())

    def refused(content: bytes | None, schema: str | None = None) -> str:
        """Return the message about a file whose digest is recorded as it is."""
        if content is not None:
            path.write_bytes(content)
        if schema is not None:
            arrays, metadata = read_tensors(data)
            write_tensors(path, arrays, {**metadata, "schema": schema})
        record["runs"][0]["models"] = {"models/seed-3.safetensors": sha256_file(path)}
        (trained.folder / "run.json").write_text(json.dumps(record))
        assert command(["predict", folder, "mer-multi"]) == 3
        return capsys.readouterr().err

    path.write_bytes(data[:-1])
    with pytest.raises(IntegrityError, match=r"seed-3\.safetensors: the file changed: sha256 "):
        open_models(trained.folder)
    assert refused(data[:-1]) == f"{path}: not a safetensors file of merbench, or cut off\n"
    assert "not a safetensors file of merbench" in refused(pickle.dumps({"weight": [1.0]}))
    arrays, metadata = read_tensors(data)
    for wrong in (np.ones(3), np.array(1)):
        write_tensors(path, {**arrays, "sample ids learned": wrong}, metadata)
        assert refused(None) == f"{path}: ids of samples are not texts\n"
    assert "its form is 'merbench.model/9'; this version reads 'merbench.model/1'" in refused(None, "merbench.model/9")
    path.unlink()
    with pytest.raises(IntegrityError, match="the file is recorded but missing"):
        open_models(trained.folder)


def test_code_that_changed_is_a_warning(small_track: SmallTrack, tmp_path: Path) -> None:
    own = write(tmp_path / "own", 'title = "Own"\nuses_features = false\n', STORED)
    run = run_baseline(small_track(), own, RunSettings(intervals=False), output=tmp_path / "run")
    with pytest.raises(UsageError, match="no baseline named 'own'"):
        open_models(run.folder)
    (own / "model.py").write_text(STORED.replace("zeros(len(test))", "ones(len(test))"))
    prediction = predict(open_models(run.folder, baseline=own), run.track.folder, intervals=False)
    assert prediction.warnings == ("baseline 'own' changed since the run: model.py",)


def test_a_run_without_models_says_so(small_track: SmallTrack, tmp_path: Path) -> None:
    own = write(tmp_path / "own", 'title = "Own"\nuses_features = false\n', MODEL)
    run = run_baseline(small_track(), own, RunSettings(intervals=False), output=tmp_path / "run")
    with pytest.raises(UsageError, match="run: has no models: baseline 'own' stored none"):
        open_models(run.folder)


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_any_record_is_read_or_refused(trained: BaselineRun, data: st.DataObject) -> None:
    content = json.loads((trained.folder / "run.json").read_text())
    values = st.one_of(st.none(), st.integers(), st.text(max_size=5), st.lists(st.integers(), max_size=2), st.just({}))
    place, path = content, []
    while isinstance(place, dict) and place:
        path.append(data.draw(st.sampled_from(sorted(place))))
        if data.draw(st.booleans()) or not isinstance(place[path[-1]], dict):
            break
        place = place[path[-1]]
    assert isinstance(place, dict)
    place[path[-1]] = data.draw(values)
    folder = trained.folder.parent / "changed"
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_text(json.dumps(content))
    try:
        read_run(folder).track()
        open_models(folder)
    except MerbenchError:
        return


def test_runs_are_found_in_folders_below(trained: BaselineRun, tmp_path: Path) -> None:
    broken, other = tmp_path / "a" / "broken", tmp_path / "a" / "ensemble"
    for folder, text in ((broken, "[" * 100_000), (other, '{"schema": "merbench.ensemble/1"}')):
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(text)
    runs, problems = find_runs(tmp_path)
    assert [run.folder for run in runs] == [trained.folder]
    assert problems == [f"{broken / 'run.json'}: not the record of a run: not JSON"]
