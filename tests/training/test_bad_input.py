"""Wrong or extreme data, options and files at the command line: one line that says what is wrong, or an honest result."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from made_corpus import made_corpus
from peak_memory import peak_bytes

from merbench.cli import run
from merbench.corpus import CORPORA, ExtractionRecord, Feature, add_features
from merbench.errors import InvalidCorpus
from merbench.files.tensors import read_tensors, write_tensors
from tests.training.test_declaration import write as written

DECLARATION = """
id = "talk"
version = "1.0"
title = "Talk"
corpus = "./corpus"
splits.train = "train"
splits.test = "test"
targets.emotion = {{ type = "categorical", labels = ["calm", "glad"] }}
metrics = [{{ name = "accuracy", target = "emotion" }}]
ranking = {{ by = ["accuracy"] }}
{further}
"""

N, N_TRAIN = 48, 32

Talk = Callable[..., Path]

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def talk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Talk:
    """Return a function that writes a track of 48 utterances, 32 to learn from, and returns its folder.

    All have a voice, and none a face, but those that are `having` others.
    """
    monkeypatch.chdir(tmp_path)

    def write(
        folder: str = "talk",
        further: str = "",
        *,
        n: int = N,
        width: int = 3,
        lengths: Sequence[int] | None = None,
        emotion: Sequence[str] | None = None,
        having: Mapping[str, Sequence[int]] | None = None,
        **columns: Sequence[Any] | None,
    ) -> Path:
        rng, ids, rows = np.random.default_rng(0), [f"s{i:04}" for i in range(n)], {"voice": range(n), **(having or {})}
        codes = rng.integers(0, 2, n)
        frames = [
            rng.normal(code, 1, (length, width)).astype(np.float32)
            for code, length in zip(codes, lengths or [3] * n, strict=True)
        ]
        own: dict[str, Any] = {
            "split": ["train" if 3 * i < 2 * n else "test" for i in range(n)],
            "speaker": [f"p{i % 8}" if 3 * i < 2 * n else f"q{i % 4}" for i in range(n)],
            "dialogue": [f"d{i // 8}" for i in range(n)],
            "position": [i % 8 for i in range(n)],
            **columns,
        }
        made_corpus(
            tmp_path / folder / "corpus",
            name=folder,
            samples=pa.table(
                {"sample_id": ids, **{name: values for name, values in own.items() if values is not None}}
            ),
            reference=pa.table({"sample_id": ids, "emotion": emotion or [("calm", "glad")[code] for code in codes]}),
            features={
                name: feature.take(np.array(rows[name.partition(".")[0]]))
                for name, feature in {
                    "voice": Feature.from_vectors(ids, np.stack([part.sum(0) for part in frames])),
                    "voice.frames": Feature.from_frames(ids, frames),
                    "face": Feature.from_vectors(ids, np.stack([part.sum(0) for part in frames])),
                }.items()
                if name.partition(".")[0] in rows
            },
            replace=True,
        )
        text = DECLARATION.format(further=further).replace('id = "talk"', f'id = "{folder}"')
        (tmp_path / folder / "track.toml").write_text(text, encoding="utf-8")
        return tmp_path / folder

    return write


@pytest.fixture
def merbench(capsys: pytest.CaptureFixture[str]) -> Command:
    """Return a function that runs a command of words: exit code, output, messages."""

    def call(*words: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


SMALL = {
    **{name: ["hidden=4"] for name in ("gru", "context-gru", "gcnet")},
    "attention": ["hidden=[4]"],
    "iteach-net": ["hidden=8"],
    "after-mfas": ["channels=4", "search_epochs=1"],
    "after-rmnas": ["hidden=8", "search_epochs=1"],
    "ae": ["embedding=4", "hidden=4", "layers=[4]"],
    "emt-dlfr": ["hidden=8", "recurrent=4", "encoding=4", "units=4"],
    "cpm-net": ["latent=4", "answer_epochs=2"],
    "dcca": ["hidden=4", "layers=1", "components=2"],
    "imputation": ["base=logistic", "base_options={C=1.0}"],
}


def training(track: Path, baseline: str, *further: str, epochs: int = 2) -> list[str]:
    """Return the words of a quick training."""
    small = [*SMALL[baseline], *([] if baseline == "imputation" else [f"epochs={epochs}"])] if baseline in SMALL else []
    quick = [word for option in small for word in ("--set", option)]
    shared = ["--seed", "0", "--no-intervals", "--output", "out", "--force", "--device", "cpu"]
    return ["run-baseline", f"{track}/", "--baseline", baseline, *shared, *quick, *further]


SHAPES: list[Any] = [
    pytest.param("context-gru", {"position": None}, "corpus 'talk' has no column 'position' that baseline 'context-gru' reads", id="no positions"),
    pytest.param("context-gru", {"position": [0] * N}, r"position of another one in their dialogue \(32 of 32\): s0000, s0001", id="positions twice"),
    pytest.param("context-gru", {"position": [None if i == 2 else i for i in range(N)]}, r"no position in their dialogue \(1 of 32\): s0002", id="a position missing"),
    pytest.param("context-gru", {"position": ["first"] * N}, "column 'position' contains string; positions in a dialogue are numbers", id="positions of text"),
    pytest.param("logistic", {"speaker": None, "dialogue": None}, "100 folds of 32 training samples; needed: at least 2 folds and a sample in each", id="more folds than samples"),
    pytest.param("pseudo-label", {"further": 'training.unlabelled = ["train"]'}, "talk: all 32 samples of the unlabelled splits, train, are learned from with their references", id="unlabelled equal to train"),
    pytest.param("pseudo-label", {}, "baseline 'pseudo-label' learns from unlabelled samples, and talk declares none", id="nothing unlabelled"),
    pytest.param("pseudo-label", {"further": 'splits.more = "more"\ntraining.unlabelled = ["more"]'}, "corpus 'talk' has no sample in split 'more'; it has test, train", id="unlabelled empty"),
    pytest.param("logistic", {"further": 'training.unlabelled = ["tset"]'}, r"training.unlabelled: 'tset' is not a split of this track \(train, test\); did you mean 'test'\?", id="unlabelled of no split"),
]  # fmt: skip


@pytest.mark.parametrize(("baseline", "shape", "message"), SHAPES)
def test_data_that_cannot_be_learned_from_are_reported(
    talk: Talk, merbench: Command, baseline: str, shape: dict[str, Any], message: str
) -> None:
    code, out, err = merbench(*training(talk(**shape), baseline, "--folds", "100"))
    assert code == 2 and not out and re.search(message, err), err
    assert "Traceback" not in err and not Path("out").exists()


def test_values_that_are_not_finite_do_not_enter_a_corpus(tmp_path: Path) -> None:
    frames = [np.ones((2, 3), np.float32), np.array([[1, np.nan, 1]], np.float32), np.array([[np.inf] * 3], np.float32)]
    ids = ["a", "b", "c"]
    with pytest.raises(
        InvalidCorpus, match=r"E614  feature 'f': samples with values that are not finite \(2 of 3\): b, c"
    ):
        made_corpus(
            tmp_path / "odd",
            name="odd",
            samples=pa.table({"sample_id": ids, "split": ["train"] * 3}),
            features={"f": Feature.from_frames(ids, frames)},
        )


LACKING = ("ae", "gcnet", "emt-dlfr", "cpm-net", "dcca", "imputation")
"""One baseline of each kind of those that learn from samples that lack features."""

ODD: list[Any] = [
    *(pytest.param(name, {"lengths": [0 if i % 5 == 0 else 3 for i in range(N)]}, id=f"some sequences have length 0, {name}") for name in ("gru", "after-mfas")),
    *(pytest.param(name, {"lengths": [0] * N}, id=f"all sequences have length 0, {name}") for name in ("gru", "after-mfas")),
    *(pytest.param(name, {"n": 1500, "dialogue": ["d"] * 1000 + [f"e{i // 8}" for i in range(500)], "position": list(range(1500))}, id=f"a dialogue of 1,000 utterances, {name}", marks=pytest.mark.slow) for name in ("context-gru", "gcnet")),
    pytest.param("context-gru", {"dialogue": pa.nulls(N, pa.string()), "position": pa.nulls(N, pa.int64())}, id="no dialogue is known"),
    *(pytest.param(name, {"emotion": ["calm"] * N_TRAIN + ["glad"] * (N - N_TRAIN)}, id=f"one class in training, {name}") for name in ("logistic", "attention", "gru", "majority")),
    *(pytest.param(name, {"emotion": ["glad"] * 4 + ["calm"] * (N - 4), "speaker": ["a"] * 4 + [f"b{i % 7}" for i in range(N - 4)]}, id=f"one class in a fold, {name}") for name in ("logistic", "attention")),
    *(pytest.param(name, {"dialogue": [f"d{i}" for i in range(N)], "position": [0] * N}, id=f"dialogues of one utterance, {name}") for name in ("gcnet", "iteach-net", "after-rmnas")),
    *(pytest.param(name, {"having": {"face": range(N_TRAIN, N - 2), "voice": range(4, N - 2)}}, id=f"no face in training, and some without anything, {name}") for name in LACKING),
    pytest.param("majority", {"further": '[[training.corruptions]]\nname = "gcnet_missing"\nrate = 0.5'}, id="features corrupted for a baseline that reads none"),
    pytest.param("pseudo-label", {"emotion": ["calm"] * N_TRAIN + ["glad"] * (N - N_TRAIN), "further": 'training.unlabelled = ["test"]'}, id="one class in training, pseudo-label"),
]  # fmt: skip


@pytest.mark.parametrize(("baseline", "shape"), ODD)
def test_odd_data_are_learned_from(talk: Talk, merbench: Command, baseline: str, shape: dict[str, Any]) -> None:
    code, out, err = merbench(*training(talk(**shape), baseline))
    assert (code, out.splitlines()[0].split(",")[0].split()[0]) == (0, baseline), err
    assert len(Path("out/submission.csv").read_text().splitlines()) == shape.get("n", N) // 3 + 1


@pytest.mark.slow
def test_a_sequence_of_a_hundred_thousand_steps_is_learned_from_in_bounded_memory(
    talk: Talk, merbench: Command
) -> None:
    lengths = [100_000 if i in (3, 40) else 4 for i in range(N)]
    track, before = talk(lengths=lengths), peak_bytes()
    code, _, err = merbench(*training(track, "gru", "--folds", "2", epochs=1))
    assert code == 0, err
    # torch stores 18 kB for each step of a sequence, whatever the batch
    assert peak_bytes() - before < 3_000_000_000


def test_fewer_groups_than_folds_and_speakers_on_both_sides_are_said(talk: Talk, merbench: Command) -> None:
    code, out, err = merbench(*training(talk(speaker=[f"p{i % 3}" for i in range(N)]), "logistic", "--folds", "7"))
    assert code == 0
    assert "cross-validated: 3 folds, each of the 3 values of 'speaker' in one fold; 7 were asked for" in out
    assert err.startswith(
        "warning: 16 of 16 candidates are of values of 'speaker' that are learned from (3: p0, p1, p2)"
    )


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["run-baseline", "--baseline", "gru", "--set", "hiden=3"], "hiden: is not an option of baseline 'gru'; .*did you mean 'hidden'"),
        (["run-baseline", "--baseline", "gru", "--set", "hidden=0"], r"hidden: 0 is not an integer in \[1, 65536\]"),
        (["run-baseline", "--baseline", "attention", "--set", "batch_size=0"], "E207  batch_size: 0 is not an integer of at least 1$"),
        (["run-baseline", "--baseline", "attention", "--set", "learning_rate=1e30", "--set", "hidden=[4]"], "^training diverged in epoch .* lower the learning rate"),
        (["run-baseline", "--baseline", "gru", "--feature", "voice.framse"], "did you mean 'voice.frames'"),
        (["run-baseline", "--baseline", "gru", "--preset", "papr"], "no preset"),
        (["run-baseline", "--baseline", "gru", "--leave-out", "spaeker"], "did you mean 'speaker'"),
        (["tune", "--baseline", "gru", "--search", "hiden=[3]"], "hiden: is not an option of baseline 'gru'; .*did you mean 'hidden'"),
        (["tune", "--baseline", "gru", "--search", "hidden=three"], r"search of 'hidden': 1 problem\n.*'three' is neither a list of values nor a range"),
        (["tune", "--baseline", "gru", "--search", "hidden=[0]"], r"hidden: 0 is not an integer in \[1, 65536\]"),
        (["tune", "--baseline", "gru", "--search", "dropout={low=0.5, high=0.1}"], "with low below high"),
        (["tune", "--baseline", "majority"], "baseline 'majority': no option is searched; declare"),
    ],
)  # fmt: skip
def test_options_and_search_spaces_that_do_not_fit(
    talk: Talk, merbench: Command, command: list[str], message: str
) -> None:
    code, out, err = merbench(command[0], f"{talk()}/", *command[1:], "--output", "out")
    assert code == 2 and not out and re.search(message, err, re.MULTILINE), err
    assert "Traceback" not in err


MEAN = """
from dataclasses import dataclass
import numpy as np
from merbench.training import Predictions

@dataclass(frozen=True)
class Options:
    a: int = 1

class Mean:
    def fit(self, train):
        self.shares = np.bincount(train.targets["emotion"], minlength=2) / len(train)
    def predict(self, test):
        return Predictions({"emotion": np.tile(self.shares, (len(test), 1))})

def build(options, setup):
    return Mean()
"""


@pytest.mark.parametrize(
    ("declared", "features", "allowed"),
    [
        ("fewest_features = 2", ["voice"], "2 or more features, not 1: voice"),
        ("fewest_features = 3\nmost_features = 4", ["face", "voice"], "3 to 4 features, not 2: face, voice"),
        ("fewest_features = 3\nmost_features = 3", ["face", "voice"], "3 features, not 2: face, voice"),
        ("most_features = 1", ["face", "voice"], "1 feature, not 2: face, voice"),
    ],
)
def test_a_baseline_of_another_number_of_features_says_which_take_these(
    talk: Talk,
    merbench: Command,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    declared: str,
    features: list[str],
    allowed: str,
) -> None:
    baselines = tmp_path / "baselines"
    for name in ("mean", "more"):
        content = declared if name == "mean" else "fewest_features = 9"
        written(baselines / name, f'title = "Mean"\n{content}\n', MEAN)
    monkeypatch.setenv("MERBENCH_BASELINES", str(baselines))
    track = talk()
    corpus = CORPORA.read(track / "corpus")
    if "face" in features:
        ids = corpus.samples()["sample_id"].to_pylist()
        record = ExtractionRecord(extractor="face", version="1", modality="video", unit="utterance")
        add_features(corpus, {"face": Feature.from_vectors(ids, np.ones((N, 2)))}, {"face": record})
    shared = ["--baseline", "mean", *(word for name in features for word in ("--feature", name))]
    noise = ["--corruption", "feature_noise", "--param", "factor=1", "--feature-of", "audio=voice"]
    for words in (
        ["run-baseline", f"{track}/", *shared, "--output", "out"],
        ["robustness", f"{track}/", "--grid", "snr_db=5", *noise, *shared, "--output", "out"],
        ["tune", f"{track}/", *shared, "--search", "a=[1]", "--output", "out"],
    ):
        code, out, err = merbench(*words)
        start, _, named = err.rstrip("\n").partition("; name others with --feature, or take another baseline: ")
        assert (code, out, start) == (2, "", f"baseline 'mean' combines {allowed}"), err
        assert "ae" in named.split(", ")
        assert not {"mean", "more", "majority", "lexicon-ov"} & set(named.split(", "))
        assert not Path("out").exists()
    code, out, _ = merbench("baselines", "--for", f"{track}/", "--format", "json")
    reasons = json.loads(out)["tracks"][0]["baselines"]
    assert code == 0 and reasons["mean"].startswith(f"baseline 'mean' combines {allowed}") and reasons["gru"] is None


def test_samples_of_another_width_are_not_answered(talk: Talk, merbench: Command) -> None:
    assert merbench(*training(talk(), "gru"))[0] == 0
    wide = talk("wide", width=4)
    code, _, err = merbench("predict", "out", wide / "corpus")
    assert code == 2
    assert err == (
        "corpus 'wide': features have another width than those that out learned from (1 of 1): "
        "voice.frames (4, not 3); extract them as they were\n"
    )
    assert merbench("predict", "out", talk("absent", lengths=[0] * N) / "corpus", "--output", "answers")[0] == 0


def test_a_search_is_continued_only_with_the_same_inputs(talk: Talk, merbench: Command) -> None:
    def tune(track: Path, baseline: str, search: str) -> tuple[int, str]:
        words = ["--baseline", baseline, "--search", search, "--trials", "1", "--runs", "1", "--output", "study"]
        code, _, err = merbench("tune", f"{track}/", *words)
        return code, err

    track = talk()
    assert tune(track, "logistic", "C=[0.1, 1.0]")[0] == 0
    for other, wanted in (
        ((track, "majority", "n_words=[1, 2]"), "baseline: logistic, now majority"),
        ((track, "logistic", "C=[0.1, 2.0]"), 'search: {"C": "0.1, 1.0", '),
        ((talk("other"), "logistic", "C=[0.1, 1.0]"), "track: talk@1.0 "),
    ):
        code, err = tune(*other)
        assert (code, f"study has a run with different inputs ({wanted}" in err) == (3, True), err
        assert err.endswith("; --force begins again, --output names another folder\n")
    for data, text in ((b"[]\n", "a line is not from a run of merbench"), (b'{"op_code": 99}\n', "")):
        Path("study/study.jsonl").write_bytes(data)
        code, err = tune(track, "logistic", "C=[0.1, 1.0]")
        assert code == 3 and text in err and err.endswith("; remove study and start again\n"), err


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def _pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps({"a": os.getcwd}))


def _other_version(path: Path) -> None:
    arrays, metadata = read_tensors(path)
    write_tensors(path, arrays, {**metadata, "schema": "merbench.of-the-future/9"})


def _other_network(path: Path) -> None:
    arrays, metadata = read_tensors(path)
    write_tensors(path, {name: values[..., :1] for name, values in arrays.items()}, metadata)


@pytest.mark.parametrize(
    ("change", "recorded", "message"),
    [
        (_cut, False, r"the file changed: sha256 .*, recorded "),
        (Path.unlink, False, r"the file is recorded but missing$"),
        (_cut, True, r"not a safetensors file of merbench, or cut off$"),
        (_pickled, True, r"not a safetensors file of merbench, or cut off$"),
        (_other_version, True, r"its form is 'merbench.of-the-future/9'; this version reads"),
    ],
)
def test_models_that_are_not_those_of_the_run_are_not_used(
    talk: Talk, merbench: Command, change: Callable[[Path], None], recorded: bool, message: str
) -> None:
    from merbench.files.reading import sha256_file

    assert merbench(*training(talk(), "gru"))[0] == 0
    model, record = Path("out/models/seed-0.safetensors"), Path("out/run.json")
    before = sha256_file(model)
    change(model)
    if recorded:  # as someone would who sends a run
        record.write_text(record.read_text().replace(before, sha256_file(model)))
    code, _, err = merbench("predict", "out", "talk/")
    assert code == 3 and err.startswith(str(model.resolve())) and re.search(message, err), err


def test_weights_of_another_network_are_refused(talk: Talk, merbench: Command) -> None:
    from merbench.files.reading import sha256_file

    for baseline in ("gru", "logistic", "majority", "pseudo-label"):
        assert merbench(*training(talk(further='training.unlabelled = ["test"]'), baseline))[0] == 0
        model, record = Path("out/models/seed-0.safetensors"), Path("out/run.json")
        before = sha256_file(model)
        _other_network(model)
        record.write_text(record.read_text().replace(before, sha256_file(model)))
        code, _, err = merbench("predict", "out", "talk/")
        assert code == 2 and err.count("\n") <= 2 and "Traceback" not in err, (baseline, err)


@pytest.mark.parametrize("always", [False, True])
def test_memory_of_the_device_that_does_not_suffice(
    talk: Talk, merbench: Command, monkeypatch: pytest.MonkeyPatch, always: bool
) -> None:
    forward, calls = torch.nn.GRU.forward, iter(range(10**9))

    def small(self: torch.nn.GRU, x: torch.Tensor, *states: Any) -> Any:
        if self.training and (always or next(calls) == 0):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return forward(self, x, *states)

    monkeypatch.setattr(torch.nn.GRU, "forward", small)
    code, _, err = merbench(*training(talk(speaker=None), "gru"))
    if always:
        assert code == 2
        assert err == (
            "out of memory on cpu, with half batches, too; lower batch_size, which is 32, or use another device\n"
        )
    else:
        warnings = [line.removeprefix("warning: ") for line in err.splitlines()]
        assert (code, warnings[-1]) == (0, "out of memory on cpu: batches of 32 were computed in halves")
        assert json.loads(Path("out/run.json").read_text())["warnings"] == warnings


def started(words: Sequence[str]) -> subprocess.Popen[str]:
    """Start merbench in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "merbench", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def stopped(words: Sequence[str], number: int, ready: Callable[[], bool]) -> tuple[int, str]:
    """Start a command, send it a signal once it is ready, and return its exit code and messages."""
    process = started(words)
    until = time.monotonic() + 120
    while not ready() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    return process.returncode, err


def without_time(folder: Path) -> dict[str, bytes]:
    """Return all files of a folder, by path; of records without how long it took."""
    files = {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        name: re.sub(rb'"(wall_time_s|duration_s|began|started|ended)": [^,\n]*', b"", data)
        for name, data in files.items()
        if not name.startswith("locks")
    }


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_training_that_is_interrupted_goes_on_and_ends_in_the_same_bytes(
    talk: Talk, merbench: Command, number: int, code: int
) -> None:
    words = [*training(talk(), "logistic"), "--seed", "1", "--seed", "2"]
    assert merbench(*words)[0] == 0
    Path("out").rename("whole")
    unfinished = Path(".out.unfinished")

    def selected() -> bool:
        return any(unfinished.glob("*/part-0/selected.json"))

    returned, err = stopped(words, number, selected)
    assert (returned, "Traceback" in err) == (code, False), err
    assert not Path("out").exists() and selected()
    assert merbench(*words)[0] == 0
    assert without_time(Path("out")) == without_time(Path("whole")) and not unfinished.exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_search_that_is_interrupted_goes_on_and_ends_in_the_same_result(
    talk: Talk, merbench: Command, number: int, code: int
) -> None:
    track, search = talk(), ["--trials", "60", "--runs", "1", "--search", "C={low=0.001, high=10.0, log=true}"]
    words = ["tune", f"{track}/", "--baseline", "logistic", *search, "--device", "cpu", "--output"]
    assert merbench(*words, "whole")[0] == 0
    journal = Path("again/study.jsonl")
    returned, err = stopped(
        [*words, "again"], number, lambda: journal.is_file() and journal.read_bytes().count(b"\n") > 20
    )
    assert (returned, "Traceback" in err) == (code, False), err
    assert merbench(*words, "again")[0] == 0
    records = [json.loads(Path(folder, "tuning.json").read_text()) for folder in ("whole", "again")]
    assert records[0]["searches"] == records[1]["searches"] and records[0]["compared"] == records[1]["compared"]
