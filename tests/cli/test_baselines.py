"""`merbench baselines`, `run-baseline`, `ensemble` and `extract --with tfidf-svd` as they are typed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from merbench.cli import run
from merbench.corpus import open_corpus

Capture = pytest.CaptureFixture[str]


def test_baselines_are_listed(capsys: Capture) -> None:
    assert run(["baselines"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["baseline", "extra", "seeds", "stages", "paper", "title"]
    assert "teacher, student" in next(line for line in lines if line.startswith("pseudo-label"))
    folders = Path(__file__).parents[2].glob("baselines/*/baseline.toml")
    assert [line.split()[0] for line in lines[1:]] == sorted(path.parent.name for path in folders)


def test_why_a_track_cannot_be_learned_is_said_for_every_baseline(here: Path, capsys: Capture) -> None:
    assert run(["baselines", "--for", "mer-semi"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["baseline", "runs", "why", "not"]
    by_name = {line.split()[0]: line.split(maxsplit=2)[1:] for line in lines[1:]}
    assert by_name["logistic"] == ["yes"]
    assert by_name["pseudo-label"] == ["yes"]  # the candidates are unlabelled samples
    assert by_name["lexicon-ov"][0] == "no"
    assert by_name["lexicon-ov"][1].startswith("baseline 'lexicon-ov' answers targets of type label_set; mer-semi")


def test_every_track_is_learned_or_has_a_reason(here: Path, capsys: Capture) -> None:
    assert run(["baselines", "--for", "all"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines[1:-1]}
    assert rows["mer-ov"].split() == ["lexicon-ov", "majority"]
    assert rows["meld"] == (
        "none: no corpus named 'meld'; import the released files with `merbench corpus import meld PATH`"
    )
    assert rows["ger-samm"].startswith(
        "none: there is nothing to learn from: a test of language models without training"
    )
    assert "--hold-out CLASS" in rows["ood-emotion"]
    assert lines[-1] == f"5 of {len(rows)} tracks can be learned here"
    assert run(["baselines", "--for", "all", "--format", "json"]) == 0
    tracks = json.loads(capsys.readouterr().out)["tracks"]
    assert len(tracks) == len(rows)
    learned = {track["track"] for track in tracks if None in track["baselines"].values()}
    assert learned == {f"{name}@1.0" for name in ("mer-multi", "mer-noise", "mer-noise-media", "mer-ov", "mer-semi")}
    assert next(track for track in tracks if track["track"] == "ravdess@1.0")["learning"] == {"leave_out": "fold"}


def test_a_run_prints_what_it_did_and_its_score(here: Path, capsys: Capture) -> None:
    assert run(["run-baseline", "mer-multi", "--baseline", "majority", "--no-intervals"]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[0] == "majority, mer-multi@1.0 · synthetic sample"
    assert lines[1].split() == ["cross-validated", "test"]
    assert [line.split()[0] for line in lines[2:8]] == ["overall", "weighted_f1", "mse", "accuracy", "macro_f1", "ccc"]
    assert lines[8] == "cross-validated: 5 folds, each of the 50 values of 'speaker' in one fold"
    assert lines[9] == f"wrote {Path('runs/mer-multi/majority')}"
    assert "Sample · MER-MULTI (mer-multi@1.0, split test) · synthetic sample" in lines
    assert run(["score", "mer-multi", "runs/mer-multi/majority/submission.csv", "--no-intervals"]) == 0
    assert out.endswith(capsys.readouterr().out)
    again = ["run-baseline", "mer-multi", "--baseline", "majority", "--no-intervals"]
    assert run(again) == 2
    folder = Path("runs/mer-multi/majority")
    assert capsys.readouterr().err == (
        f"{folder}: already contains a run; --force replaces it, --output names another folder\n"
    )
    assert run([*again, "--force"]) == 0
    assert capsys.readouterr().out == out


@pytest.mark.slow
def test_several_seeds_show_mean_and_deviation(here: Path, capsys: Capture) -> None:
    command = ["run-baseline", "mer-multi", "--seed", "4", "--seed", "5", "--no-intervals", "--output", "out"]
    command += ["--feature", "video", "--device", "cpu", "--set", "epochs=1", "--set", "hidden=[8, 4]"]
    assert run(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "attention on video, mer-multi@1.0, 2 seeds: mean ± deviation · synthetic sample"
    assert all(line.count("±") == 2 for line in lines[2:8])
    assert lines[9:13] == [
        "wrote out",
        "",
        "submission.csv: seed 4 of 4, 5",
        "Sample · MER-MULTI (mer-multi@1.0, split test) · synthetic sample",
    ]
    assert run(["ensemble", "mer-multi", "out/seed-4", "out/seed-5", "--weight", "2", "--weight", "1"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{Path('runs/mer-multi/ensemble')}: the mean of 2 runs\n\nSample · MER-MULTI")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--baseline", "atention"], "no baseline named 'atention'; did you mean 'attention'?"),
        (["--set", "epochs"], "--set epochs: write NAME=VALUE, such as learning_rate=0.0001"),
        (["--device", "gpu"], "'gpu' is not a device; allowed: auto, cpu, cuda, cuda:<number>"),
        (["--device", "gpu", "--baseline", "majority"], "'gpu' is not a device; allowed: auto, cpu, cuda, cuda:<number>"),
        (["--device", "cuda:999", "--baseline", "logistic"], "device 'cuda:999' does not exist: 0 CUDA devices; use --device cpu"),
        (["--baseline", "logistic", "--feature", "vidio"], "no feature of corpus sample named 'vidio'; did you mean 'video'? (known: audio, text, video)"),
        (["--baseline", "logistic", "--set", "c=1"], "baseline 'logistic': 1 problem\n  E207  c: is not an option of baseline 'logistic'; allowed: scale, C, alpha; did you mean 'C'?"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_reported_in_a_line(
    here: Path, arguments: list[str], message: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert run(["run-baseline", "mer-multi", *arguments]) == 2
    without_baselines = re.sub(r" \(known: .*attention, .*\)", "", capsys.readouterr().err)
    assert without_baselines == f"{message}\n"
    assert not list(here.iterdir())


def test_a_device_that_needs_torch_names_the_extra(
    here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert run(["run-baseline", "mer-multi", "--baseline", "majority", "--device", "cuda"]) == 2
    assert capsys.readouterr().err == "device 'cuda' needs the extra 'baselines': pip install 'merbench[baselines]'\n"


def test_a_missing_extra_is_one_line(here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    assert run(["run-baseline", "mer-multi", "--baseline", "logistic"]) == 2
    message = (
        "baseline 'logistic' (sklearn.linear_model) needs the extra 'baselines': pip install 'merbench[baselines]'\n"
    )
    assert capsys.readouterr().err == message


@pytest.mark.slow
def test_workers_share_the_seeds(here: Path, capsys: Capture) -> None:
    command = ["run-baseline", "mer-multi", "--baseline", "majority", "--seed", "0", "--seed", "1", "--no-intervals"]
    assert run([*command, "--output", "first"]) == 0
    first = capsys.readouterr().out
    assert run([*command, "--output", "second", "--workers", "2"]) == 0
    assert capsys.readouterr().out == first.replace("first", "second")
    assert run([*command, "--engine", "dask"]) == 2
    assert capsys.readouterr().err == "'dask' is not an engine; allowed: local and dask://host:port\n"


@pytest.mark.slow
def test_an_interrupted_run_is_kept_and_goes_on(here: Path, capsys: Capture) -> None:
    code = (
        "import os, signal, sys\n"
        "from merbench.cli import main\n"
        "import merbench.training.run as module\n"
        "module.run_record = lambda *_: os.kill(os.getpid(), signal.SIGINT)\n"
        "main(['run-baseline', 'mer-multi', '--baseline', 'majority'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ), check=False
    )
    kept = Path("runs/mer-multi/.majority.unfinished")
    message = f"kept in {kept}: 1 trained model; the same command goes on\ninterrupted\n"
    assert (done.returncode, done.stdout, done.stderr) == (130, "", message)
    assert not Path("runs/mer-multi/majority").exists()
    assert run(["run-baseline", "mer-multi", "--baseline", "majority", "--no-intervals"]) == 0
    assert "went on from an interrupted run: 1 of 1 models had been trained" in capsys.readouterr().out
    assert not kept.exists()


@pytest.mark.slow
def test_a_text_feature_is_made_and_learned_from(here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    home = here / "home"
    shutil.copytree(open_corpus("sample").folder, home / "corpora" / "sample")
    monkeypatch.setenv("MERBENCH_HOME", str(home))
    assert run(["extract", "sample", "--with", "tfidf=tfidf-svd", "--option", "dimensions=16"]) == 0
    assert "feature 'tfidf', " in capsys.readouterr().out
    assert open_corpus("sample").feature_shape("tfidf")[1:] == (16, False)
    command = ["run-baseline", "mer-multi", "--baseline", "logistic", "--feature", "tfidf", "--no-intervals"]
    assert run([*command, "--set", "scale=all", "--set", "C=0.01", "--set", "alpha=1000"]) == 0
    assert capsys.readouterr().out.startswith("logistic on tfidf, mer-multi@1.0")
    assert run(["extract", "sample", "--with", "tfidf=tfidf-svd"]) == 2
    assert capsys.readouterr().err == "corpus 'sample' already has a feature 'tfidf'\n"
