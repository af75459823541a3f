"""A shipped track of each sort goes through every command, on a tiny corpus made up from the track's declaration.

Conventions:
    A split has 40 samples. References are a track's own placeholder cells, in an order of their own, so that right and
    wrong answers both occur; columns that a track asks of its corpus have four values, or those that it names.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from made_corpus import made_corpus
from released_files import write_table

from merbench.cli import run
from merbench.corpus import CORPORA
from merbench.corpus.feature import Feature
from merbench.errors import listed
from merbench.lexicon import import_lexicon
from merbench.synonyms import import_groups
from merbench.targets import Target
from merbench.targets.categorical import CategoricalTarget
from merbench.targets.continuous import NumberTarget
from merbench.targets.ranked import RankedTarget
from merbench.targets.scores import ScoresTarget
from merbench.targets.segments import SegmentsTarget
from merbench.targets.text import TextTarget
from merbench.targets.trajectory import TrajectoryTarget
from merbench.track import Track, list_tracks
from merbench.training import RunSettings, load_baseline, run_baseline
from merbench.training.plan import why_not

N = 40
FEW = ["--resamples", "100"]


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a data home with a small lexicon under every name that a track asks for."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("every-track")
        patch.setenv("MERBENCH_HOME", str(home))
        files = home / "wheels"
        write_table(files / "format.csv", "name format", ["happy", ""], ["sad", ""], ["surprised", ""])
        write_table(files / "synonym.csv", "word_run1 synonym_run1", ["happy", ""], ["sad", ""], ["surprised", ""])
        wheel = [["joy", "content", "happy"], ["grief", "hurt", "sad"], ["wonder", "startled", "surprised"]]
        for number in range(1, 6):
            write_table(files / f"wheel{number}.csv", "level1 level2 level3", *wheel)
        asked = {target.lexicon_name for track in list_tracks() for target in track.targets.values()}
        for name in sorted(asked - {None, "english"}):
            import_lexicon(files, name)
        yield home


def write_made_up_corpus(track: Track) -> None:
    """Write a corpus that has what a track asks for into the data home, in place of any other of its name."""
    sources = sorted({source for split in track.splits.values() for source in split.source})
    ids = [f"{source}_{number:03}" for source in sources for number in range(N)]
    samples: dict[str, Sequence[Any]] = {"sample_id": ids, "split": [source for source in sources for _ in range(N)]}
    for name, values in asked_columns(track).items():
        samples[name] = [values[row % len(values)] for row in range(len(ids))]
    reference: dict[str, Sequence[Any]] = {"sample_id": ids}
    for name, target in track.targets.items():
        cells = [references(target, row * 7 % 11) for row in range(len(ids))]
        for place, column in enumerate(target.reference_columns(name)):
            reference.setdefault(column, [cell[place] for cell in cells])
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(len(ids), 3)).astype(np.float32)
    made_corpus(
        CORPORA.home / track.corpus,
        name=track.corpus,
        samples=pa.table(samples),
        reference=pa.table(reference) if len(reference) > 1 else None,
        features={"vector": Feature.from_vectors(ids, vectors)},
        replace=True,
    )


def write_corpus_to_learn_from(track: Track) -> None:
    """Write the other corpus that a track is learned from, with the labels that it maps and ignores, if there is one."""
    training = track.training
    if training.corpus is None:
        return
    sources = [*(training.source or ["train"]), *(["dev"] if training.selection == "dev" else [])]
    ids = [f"{source}_{number:03}" for source in sources for number in range(N)]
    reference: dict[str, Sequence[Any]] = {"sample_id": ids}
    for name, target in track.targets.items():
        mapped = set(training.labels.values())
        own = [label for label in target.classes if label not in mapped]
        labels = [*training.labels, *own, *training.ignored]
        values = labels if target.classes else [-1.0, 0.5, 1.0]
        reference[name] = [values[row % len(values)] for row in range(len(ids))]
    samples = {
        "sample_id": ids,
        "split": [source for source in sources for _ in range(N)],
        **({training.group: [str(row % 4) for row in range(len(ids))]} if training.group else {}),
    }
    made_corpus(
        CORPORA.home / training.corpus,
        name=training.corpus,
        samples=pa.table(samples),
        reference=pa.table(reference),
        features={"vector": Feature.from_vectors(ids, np.random.default_rng(1).normal(size=(len(ids), 3)))},
        replace=True,
    )


def asked_columns(track: Track) -> dict[str, Sequence[Any]]:
    """Return the columns of a corpus that a track names, each with the values that it takes in turn."""
    columns: dict[str, Sequence[Any]] = {
        name: [value] for split in track.splits.values() for name, value in split.where.items()
    }
    for spec in track.metrics:
        if spec.per is not None and (spec.shares or spec.per not in columns):
            columns[spec.per] = sorted(spec.shares) if spec.shares else ["1", "2", "3", "4"]
    for target in track.targets.values():
        if isinstance(target, TrajectoryTarget):
            columns.setdefault(target.group, ["1", "2", "3", "4"])
        if isinstance(target, SegmentsTarget) and target.duration is not None:
            columns[target.duration] = [1.0]
    for name in (track.intervals.cluster, track.training.leave_out, track.training.group):
        if name is not None:
            columns.setdefault(name, ["1", "2", "3", "4"])
    return columns


def references(target: Target, row: int) -> tuple[Any, ...]:
    """Return the reference cells of a target in a row of a corpus."""
    match target:
        case ScoresTarget():
            return ((target.positive, target.negative)[row % 2],)
        case TextTarget():
            return ("['happy']" if row % 3 else "['sad']",)
        case RankedTarget():
            return (target.labels[row % len(target.labels)],)
        case CategoricalTarget() if target.sign_of is not None:
            return (float(row % 3 - 1),)
        case NumberTarget():
            low, high = target.range or (-1.0, 1.0)
            return (low + (high - low) * row / 10,)
    return target.example(row)


def write_rotated(template: Path, path: Path) -> None:
    """Write a template whose samples have the answers of the next row."""
    with template.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    answers = [row[1:] for row in (*rows[1:], rows[0])]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *([row[0], *cells] for row, cells in zip(rows, answers, strict=True))])


def refusal(track: Track) -> str:
    """Return why the baseline that needs no features cannot learn a track; empty where it can.

    Nothing was released to learn some tracks from. Free text, ranked answers, scores and segments are not learned by
    any baseline, several labels by those of frames.
    """
    if track.training.why_not:
        return f"{track.id}: there is nothing to learn from: {track.training.why_not}"
    answered = load_baseline("majority").declaration.answers
    others = [f"{name} ({target.type})" for name, target in track.targets.items() if target.type not in answered]
    if others:
        able = f"baseline 'majority' answers targets of type {listed(answered)}"
        types = {target.type for target in track.targets.values()}
        learners = "abaw-fusion, abaw-mtl" if types <= {*answered, "multilabel"} else "none"
        return f"{able}; {track.id} declares {', '.join(others)}; baselines for it: {learners}"
    return ""


def values_of(scores: Sequence[dict[str, Any]]) -> dict[str, float]:
    return {item["key"]: item["value"] for item in scores}


def of_each_sort() -> list[Track]:
    """Return the first of the tracks that are alike in kinds of target, rules for ids, splits and corruptions."""
    tracks = {}
    for track in list_tracks():
        kinds = frozenset(target.type for target in track.targets.values())
        rules = (track.submission.missing_ids, track.submission.duplicate_ids, track.submission.extra_ids)
        grouped = any(spec.per is not None for spec in track.metrics)
        learned = (track.training.leave_out, track.training.corpus is None, track.training.selection)
        tracks.setdefault((kinds, rules, grouped, "train" in track.splits, bool(track.corruptions), learned), track)
    return list(tracks.values())


@pytest.mark.parametrize("track", of_each_sort(), ids=lambda track: track.id)
@pytest.mark.slow
def test_a_track_goes_through_every_command(
    track: Track, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("merbench.leaderboard.build.N_PERMUTATIONS", 100)
    write_made_up_corpus(track)
    write_corpus_to_learn_from(track)
    for target in track.targets.values():
        if target.groups_name is not None:
            lines = [json.dumps({"name": f"test_{number:03}", "groups": "[]"}) for number in range(N)]
            Path("groups.jsonl").write_text("\n".join(lines), encoding="utf-8")
            import_groups("mer2024", "groups.jsonl", target.groups_name, replace=True)

    def passes(*arguments: str) -> None:
        code = run(list(arguments))
        assert code == 0, capsys.readouterr().err

    passes("describe", track.id, "--template", "first.csv")
    write_rotated(Path("first.csv"), Path("second.csv"))
    for name in ("first", "second"):
        passes("validate", track.id, f"{name}.csv")
        passes("score", track.id, f"{name}.csv", *FEW, "--output", f"{name}.json")
        passes("enter", track.id, f"{name}.csv", "--team", name, "--run", "run")
    passes("compare", track.id, "first.csv", "second.csv", *FEW, "--permutations", "100")
    passes("leaderboard", "--no-cache")
    board = json.loads(Path(f"submissions/{track.id}/leaderboard.json").read_text(encoding="utf-8"))
    assert board["invalid"] == []
    assert sorted(row["team"] for row in board["rows"]) == ["first", "second"]
    for row in board["rows"]:
        report = json.loads(Path(f"{row['team']}.json").read_text(encoding="utf-8"))
        # Values of a hidden split are rounded to four decimals on a board.
        assert values_of(row["scores"]) == pytest.approx(values_of(report["scores"]), abs=5.1e-5)

    capsys.readouterr()
    code = run(["run-baseline", track.id, "--baseline", "majority", "--no-intervals"])
    error = capsys.readouterr().err
    if why_not := refusal(track):
        assert (code, error) == (2, f"{why_not}\n")
    else:
        assert code == 0, error
        passes("validate", track.id, f"runs/{track.id}/majority/submission.csv")


@pytest.mark.parametrize("track", list_tracks(), ids=lambda track: track.id)
@pytest.mark.slow
def test_every_track_whose_data_are_here_can_be_learned(track: Track, tmp_path: Path) -> None:
    write_made_up_corpus(track)
    write_corpus_to_learn_from(track)
    reasons = why_not(track, [load_baseline(name) for name in ("majority", "logistic")])
    assert (reasons["majority"] is None) if not refusal(track) else str(reasons["majority"]) == refusal(track)
    if not refusal(track):
        has_losses = all(target.loss for target in track.targets.values())
        if track.corpus != "sample":  # whose features the baseline names
            assert (reasons["logistic"] is None) == has_losses
        done = run_baseline(track, "majority", RunSettings(intervals=False), output=tmp_path / "run")
        assert done.report is not None
        assert sum(part.n_test for part in done.parts) == done.report.counts["candidates"]
