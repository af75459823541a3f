"""Declarations: what a track says, and every way in which it can say it wrong."""

from __future__ import annotations

import os
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from merbench.errors import DeclarationError, UsageError
from merbench.lexicon import open_lexicon
from merbench.track import load_track, parse_track

TRACK = """
id = "my-track"
version = "1.0"
title = "Mine"
corpus = "./corpus"
seed = 7

[splits]
train = "train"
test = { source = "test2", hidden = true }

[targets.discrete]
type = "categorical"
labels = ["neutral", "angry", "happy"]
aliases = { anger = "angry" }

[targets.valence]
type = "continuous"
range = [-5.0, 5.0]

[[metrics]]
name = "weighted_f1"
target = "discrete"
weight = 1

[[metrics]]
name = "mse"
target = "valence"
weight = -0.25

[[metrics]]
name = "ccc"
target = "valence"

[[metrics]]
name = "f1"
target = "discrete"
label = "happy"

[ranking]
by = ["overall", "weighted_f1"]
"""


def raw(**changes: Any) -> dict[str, Any]:
    """Return the track's tables with top-level keys replaced (None: left out)."""
    tables = {**tomllib.loads(TRACK), **changes}
    return {key: value for key, value in tables.items() if value is not None}


def problems(tables: dict[str, Any], folder: str = "my-track") -> list[str]:
    """Return the problems of a declaration as `key path: message`, in the order in which they are reported."""
    with pytest.raises(DeclarationError) as caught:
        parse_track(tables, Path(folder))
    return [f"{problem.column}: {problem.message}" for problem in caught.value.problems]


def test_a_track_says_what_it_declares() -> None:
    track = parse_track(raw(), Path("my-track"))
    assert track.key == "my-track@1.0"
    assert track.formula == "weighted_f1 - 0.25 * mse"
    assert [spec.key for spec in track.metrics] == [
        "weighted_f1(discrete)",
        "mse(valence)",
        "ccc(valence,form=population)",
        "f1(discrete,label=happy)",
    ]
    assert track.splits["test"].hidden and not track.splits["train"].hidden
    assert track.submission.id == "sample_id"


def test_the_fingerprint_follows_content_and_nothing_else() -> None:
    single = parse_track(raw(), Path("my-track"))
    assert parse_track(raw(), Path("elsewhere/my-track")).fingerprint == single.fingerprint
    assert parse_track(raw(superseded_by="other"), Path("my-track")).fingerprint == single.fingerprint
    assert parse_track(raw(checked="a published number"), Path("my-track")).fingerprint == single.fingerprint
    assert parse_track(raw(seed=8), Path("my-track")).fingerprint != single.fingerprint


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "my-track"
    folder.mkdir()
    text = TRACK.replace('type = "continuous"', 'type = "continuos"').replace("seed = 7", "sead = 7")
    text = text.replace('name = "mse"', 'name = "msee"').replace('"overall", "weighted_f1"', '"overall", "weigthed_f1"')
    (folder / "track.toml").write_text(text)
    with pytest.raises(DeclarationError) as caught:
        load_track(folder)
    assert caught.value.exit_code == 2
    assert str(caught.value) == "\n".join(
        [
            f"{folder / 'track.toml'}: 4 problems",
            "  E207  targets.valence.type: 'continuos' is not a target type; allowed: categorical, continuous, distribution,"
            " label_set, multilabel, preference, ranked, scores, segments, text, trajectory;"
            " did you mean 'continuous'?",
            "  E207  sead: is not a known key; allowed: id, version, title, source, family, year, modalities, corpus, seed,"
            " superseded_by, checked, splits, targets, metrics, corruptions, media, ranking, submission, intervals,"
            " training;"
            " did you mean 'seed'?",
            "  E207  metrics[1].name: no metric named 'msee'; did you mean 'mse'?",
            "  E207  ranking.by[1]: 'weigthed_f1' is not a metric of this track; allowed: overall, weighted_f1, msee, ccc, f1;"
            " did you mean 'weighted_f1'?",
        ]
    )


def test_a_vocabulary_has_at_most_ten_thousand_labels() -> None:
    def declared(n_labels: int) -> dict[str, Any]:
        emotion = {"type": "categorical", "labels": [str(i) for i in range(n_labels)]}
        metrics = [{"name": "accuracy", "target": "emotion"}]
        return raw(targets={"emotion": emotion}, metrics=metrics, ranking={"by": ["accuracy"]})

    assert parse_track(declared(10_000), Path("my-track")).metrics[0].key == "accuracy(emotion)"
    with pytest.raises(DeclarationError, match=r"E207  targets\.emotion\.labels: .* has more than 10,000 items$"):
        parse_track(declared(10_001), Path("my-track"))


def test_columns_are_not_judged_where_a_target_is_broken() -> None:
    tables = raw(submission={"aliases": {"gpt4v": "openset"}}, metrics=[], ranking={"by": []})
    tables["targets"] = {"openset": {"type": "multilabel", "labels": ["openset"]}}
    assert not any("is not a column" in problem for problem in problems(tables))


@pytest.mark.parametrize("kind", ["label-set", "ranking", "score", ""])
def test_another_target_type_is_refused_by_name(kind: str) -> None:
    result = problems(raw(targets={"openset": {"type": kind}}, metrics=[], ranking={"by": ["overall"]}))
    assert result[0].startswith(
        f"targets.openset.type: '{kind}' is not a target type; allowed: categorical, continuous, distribution, label_set,"
        " multilabel, preference, ranked, scores, segments, text, trajectory"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": None}, "version: is missing"),
        ({"version": "1"}, r"version: '1' is not two numbers such as '1.0'"),
        ({"id": "other"}, "id: 'other' differs from the folder's name, 'my-track'; they must be equal"),
        ({"seed": -1}, "seed: -1 is not at least 0"),
        ({"seed": "7"}, "seed: '7' is not a whole number"),
        ({"id": "MyTrack"}, "id: 'MyTrack' is not lower-case words and digits joined by '-'"),
        ({"title": date(2026, 1, 31)}, "title: 2026-01-31 is not a text in quotes"),
        ({"title": ""}, "title: '' is an empty text"),
        ({"metrics": "mse"}, "metrics: 'mse' is not a list"),
        ({"ranking": "mse"}, "ranking: 'mse' is not a table"),
        ({"modalities": ["smell"]}, "modalities[0]: 'smell' is not one of audio, video, text, physiology"),
        ({"splits": {"train": "train", "tst": "x"}}, "splits: no split 'test'; did you mean 'tst'?"),
        ({"submission": {"extra_ids": "allowed"}}, "submission.extra_ids: 'allowed' is not one of error, allow; did you mean 'allow'?"),
        ({"submission": {"missing_ids": "wrong"}}, "submission.missing_ids: 'wrong' applies only to targets of type categorical, preference, ranked"),
        ({"submission": {"views": 2}}, "submission.views: applies only with duplicate_ids = 'mean'"),
        ({"submission": {"duplicate_ids": "mean"}, "targets": {"w": {"type": "label_set"}}}, "submission.duplicate_ids: 'mean' applies only to targets of type categorical, continuous, preference, scores, trajectory"),
        ({"targets": {"p_x": {"type": "continuous"}}}, "targets.p_x: a target must not have the name of the id column, or the prefix 'p_' of probabilities"),
        ({"submission": {"aliases": {"gpt4v": "discret"}}}, "submission.aliases.gpt4v: 'discret' is not a column (sample_id, discrete, p_neutral, p_angry, p_happy, valence); did you mean 'discrete'?"),
        ({"submission": {"aliases": {"valence": "discrete"}}}, "submission.aliases.valence: is a column itself"),
        ({"ranking": {"by": ["mae"]}}, "ranking.by[0]: 'mae' is not a metric of this track; allowed: overall, weighted_f1, mse, ccc, f1; did you mean 'mse'?"),
        ({"intervals": {"method": "normal"}}, "intervals.method: 'normal' is not one of default, jackknife_t, bca_t, bca, percentile"),
        ({"intervals": {"level": 95}}, "intervals.level: 95 is not below 1"),
        ({"corruptions": [{"name": "feature_nose"}]}, "corruptions[0]: no corruption named 'feature_nose'"),
        ({"corruptions": [{"name": "pyramid_blur", "factor": 3}]}, "corruptions[0]: factor"),
        ({"corruptions": [{"name": "pyramid_blur", "factor": 2}] * 2}, "corruptions[1]: step 'pyramid_blur' is already used by corruptions[0]; give it another 'step'"),
        ({"corruptions": [{"name": "pyramid_blur", "factor": 2, "split": "tset"}]}, "corruptions[0].split: 'tset' is not a split of this track ("),
        ({"corruptions": [{"name": "symmetric_flips", "rate": 0.2}]}, "corruptions[0].split: symmetric_flips would corrupt the references of split 'test'; labels are corrupted only in split = 'train'"),
        ({"corruptions": [{"name": "background_noise", "noise": "musan", "snr_db": 5, "severity": 2}]}, "corruptions[0]: severity already sets snr_db; give one of them"),
        ({"corruptions": [{"name": "pyramid_blur", "factor": 2, "step": "a.b"}]}, "corruptions[0].step: 'a.b' is not a word of letters, digits, '_' and '-'"),
        ({"media": {"quality": 1}}, "media.quality: 1 is not a quality of mpeg4, 2 (best) to 31"),
        ({"media": {"video_codec": "h265"}}, "media.video_codec: 'h265' is not one of mpeg4, h264; did you mean 'h264'?"),
    ],
)  # fmt: skip
def test_a_wrong_key_is_reported_with_what_is_allowed(changes: dict[str, Any], message: str) -> None:
    result = problems(raw(**changes))
    assert any(text.startswith(message) for text in result), result


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ({"name": "mse", "target": "valense"}, "metrics[0].target: 'valense' is not a target of this track (discrete, valence); did you mean 'valence'?"),
        ({"name": "mse", "target": "discrete"}, "metrics[0].name: 'mse' scores continuous targets and 'discrete' is categorical; allowed: "),
        ({"name": "mse", "target": "valence", "weight": 0.25}, "metrics[0].weight: 0.25: a lower mse is better, so its weight must be below 0"),
        ({"name": "accuracy", "target": "discrete", "weight": 0}, "metrics[0].weight: 0: a higher accuracy is better, so its weight must be above 0"),
        ({"name": "ccc", "target": "valence", "from": "unbiased"}, "metrics[0].from: is not a parameter of ccc; allowed: name, target, weight, per, aggregate, shares, form; did you mean 'form'?"),
        ({"name": "ccc", "target": "valence", "form": "biased"}, "metrics[0].form: 'biased' is not one of population, unbiased; did you mean 'unbiased'?"),
        ({"name": "ccc", "target": "valence", "aggregate": "auilc"}, "metrics[0].aggregate: applies only with 'per'"),
        ({"name": "ccc", "target": "valence", "per": "x", "aggregate": "mean", "shares": {"1": 1.0}}, "metrics[0].shares: replaces 'aggregate'; give one of them"),
        ({"name": "f1", "target": "discrete"}, "metrics[0].label: is missing: f1 needs it"),
        ({"name": "f1", "target": "discrete", "label": "hapy"}, "metrics[0].label: 'hapy' is not one of neutral, angry, happy; did you mean 'happy'?"),
    ],
)  # fmt: skip
def test_a_wrong_metric_is_reported_with_what_is_allowed(metric: dict[str, Any], message: str) -> None:
    result = problems(raw(metrics=[metric]))
    assert any(text.startswith(message) for text in result), result


def test_a_wheel_is_one_of_its_lexicons() -> None:
    wheels = open_lexicon("english").wheels
    metric = {"name": "emotion_wheel_f1", "target": "openset", "level": 2}
    tables = raw(
        targets={"openset": {"type": "label_set", "lexicon": "english"}},
        metrics=[{**metric, "weight": 1}, *({**metric, "wheel": wheel} for wheel in (*wheels, "all"))],
        ranking={"by": ["overall"]},
    )
    assert len(parse_track(tables, Path("my-track")).metrics) == len(wheels) + 2
    tables["metrics"][1]["wheel"] = "wheel9"
    reported = f"metrics[1].wheel: 'wheel9' is not one of {', '.join(wheels)}, all"
    assert [text.split("; did you")[0] for text in problems(tables)] == [reported]
    tables["metrics"][1]["wheel"] = 9
    assert problems(tables) == [f"metrics[1].wheel: 9 is not one of {', '.join(wheels)}, all"]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({"labels": ["a", "b", "a"]}, "targets.discrete.labels: duplicate: a"),
        ({"labels": ["a", " b"]}, "targets.discrete.labels: ' b' is empty or has spaces around it"),
        ({"labels": ["a"]}, "targets.discrete.labels: ['a'] has 1 item; at least 2 are needed"),
        ({"aliases": {"x": "y"}}, "targets.discrete.aliases.x: 'y' is not one of neutral, angry, happy"),
        ({"aliases": {"happy": "angry"}}, "targets.discrete.aliases.happy: is a label itself"),
    ],
)  # fmt: skip
def test_a_wrong_target_is_reported(target: dict[str, Any], message: str) -> None:
    tables = raw()
    tables["targets"]["discrete"].update(target)
    result = problems(tables)
    assert any(text.startswith(message) for text in result), result


def test_a_range_must_rise() -> None:
    tables = raw()
    tables["targets"]["valence"]["range"] = [5, -5]
    assert problems(tables) == ["targets.valence.range: [5, -5]: the first number must be below the second"]


def test_a_metric_given_twice_is_reported() -> None:
    tables = raw()
    tables["metrics"].append(tables["metrics"][0])
    assert "metrics[4]: the same as metrics[0]" in problems(tables)


def test_a_file_that_is_not_toml_is_reported(tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "track.toml").write_text('id = "broken"\nid = "broken"\n')
    with pytest.raises(DeclarationError, match="not a TOML file: line 2, column 14: duplicate key"):
        load_track(folder)


def test_an_id_found_twice_names_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("one", "two"):
        (tmp_path / place / "my-track").mkdir(parents=True)
        (tmp_path / place / "my-track" / "track.toml").write_text(TRACK)
    single, two = tmp_path / "one", tmp_path / "two"
    monkeypatch.setenv("MERBENCH_TRACKS", str(single))
    assert load_track("my-track").folder == single / "my-track"
    monkeypatch.setenv("MERBENCH_TRACKS", f"{single}{os.pathsep}{two}")
    with pytest.raises(UsageError) as caught:
        load_track("my-track")
    assert (
        str(caught.value)
        == f"two folders have the name of the track 'my-track': {single / 'my-track'} and {two / 'my-track'}"
    )
