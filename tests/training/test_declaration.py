from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, cast

import pytest

from merbench.errors import DeclarationError, UnknownName, UsageError
from merbench.own_code import modules_by_extra
from merbench.training import Setup, list_baselines, load_baseline
from merbench.training.declaration import BaselineDeclaration, baseline_files

MODEL = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Options:
    depth: int
    name: str = "x"

@dataclass
class Echo:
    options: Options
    setup: object
    def fit(self, train):
        pass
    def predict(self, test):
        pass

def build(options, setup):
    return Echo(options, setup)
"""

TOML = """
title = "Own"
defaults = { depth = 2 }
select = { depth = [1, 2], name = ["x", "y"] }
[tracks.special]
features = ["loud"]
options = { depth = 5 }
"""


def write(folder: Path, toml: str = TOML, model: str | None = MODEL) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "baseline.toml").write_text(toml, encoding="utf-8")
    if model is not None:
        (folder / "model.py").write_text(model, encoding="utf-8")
    return folder


def test_features_of_the_sample_tracks_are_the_same_for_all_baselines_that_read_any() -> None:
    # those of the corpus that are clean, or of another feature that somebody extracted, would be read otherwise
    expected = {
        **dict.fromkeys(("mer-multi", "mer-noise", "mer-semi"), ("audio", "video", "text")),
        "mer-noise-media": ("voice", "face"),
    }
    for name, declared in list_baselines():
        if declared.uses_features and not declared.columns and not declared.uses_unlabelled and not declared.extracts:
            own = {track: each.features for track, each in declared.tracks.items() if track in expected}
            assert own == expected, name


def test_a_baseline_around_another_one_takes_what_that_one_takes(tmp_path: Path) -> None:
    own = load_baseline("imputation")
    of_sequences = own.resolved("emodb", {"base": "mult"}).declaration
    assert (of_sequences.samples, of_sequences.corrupts_per_epoch) == ("sequences", True)
    of_dialogues = own.resolved("meld", {"base": "context-gru"}).declaration
    assert (of_dialogues.samples, of_dialogues.handles_unknown) == ("dialogues", True)
    assert of_dialogues.handles_missing and of_dialogues.trains  # those are its own
    assert not own.resolved("emodb", {"base": "logistic"}).declaration.corrupts_per_epoch
    with pytest.raises(UnknownName, match="did you mean 'attention'"):
        own.resolved("emodb", {"base": "atention"})
    assert load_baseline("attention").resolved("emodb", {}).declaration.like is None
    folder = write(tmp_path / "own", f'{TOML.partition("[tracks")[0]}trains = {{ name = "depth" }}\nlike = "nmae"\n')
    with pytest.raises(
        DeclarationError, match="like: 'nmae': is not an option in `trains`; it has name; did you mean 'name'"
    ):
        load_baseline(folder)


def test_stages_and_other_baselines_are_declared(tmp_path: Path) -> None:
    declared = {name: each for name, each in list_baselines() if each.stages or each.own_loop or each.trains}
    assert {name: (each.stages, each.trains) for name, each in declared.items()} == {
        "after-emocapclip": (("pairs", "probe"), {}),
        "after-pl-regularisation": (("prior", "network"), {"base": "base_options"}),
        "after-rg": ((), {"base": "base_options"}),
        "alim": ((), {"base": "base_options"}),
        "attention-topn": (("ranking", "fusion"), {}),
        "cpm-net": ((), {}),
        "dcca": (("components", "linear model"), {}),
        **dict.fromkeys(("fixmatch", "flexmatch", "mean-teacher", "vat"), ((), {"base": "base_options"})),
        "imder": (("teacher", "network"), {}),
        "imputation": ((), {"base": "base_options"}),
        "irnet": ((), {"base": "base_options"}),
        "label-loss": ((), {"base": "base_options"}),
        "mmin": (("teacher", "network"), {}),
        "modality-dropout": ((), {"base": "base_options"}),
        "nmer": (("teacher", "network"), {}),
        "pico": ((), {"base": "base_options"}),
        "pseudo-label": (("teacher", "student"), {"base": "base_options"}),
        "records": ((), {"base": "base_options"}),
        "solar": (("prior", "network"), {"base": "base_options"}),
    }
    folder = write(tmp_path / "own", f'{TOML.partition("[tracks")[0]}own_loop = true\ntrains = {{ nmae = "depth" }}\n')
    with pytest.raises(
        UsageError, match=r"trains: nmae is not an option of it; it has depth, name; did you mean 'name'"
    ):
        load_baseline(folder)


def test_a_baseline_of_your_own_is_found_by_name_and_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "own-one")
    monkeypatch.setenv("MERBENCH_BASELINES", str(tmp_path))
    for name in ("own-one", folder, folder / "baseline.toml"):
        loaded = load_baseline(name)
        assert (loaded.name, loaded.declaration.title) == ("own-one", "Own")
    assert "own-one" in [name for name, _ in list_baselines()]
    with pytest.raises(UnknownName, match=r"no baseline named 'own-on'; did you mean 'own-one'\? \(known: .*attention"):
        load_baseline("own-on")


def test_options_come_from_defaults_track_and_caller_in_this_order(tmp_path: Path) -> None:
    loaded = load_baseline(write(tmp_path / "own"))
    assert loaded.options("any", {}) == {"depth": 2}
    assert loaded.options("special", {}) == {"depth": 5}
    assert loaded.options("special", {"depth": 7, "name": "z"}) == {"depth": 7, "name": "z"}
    built = cast(Any, loaded.build({"depth": 7}, Setup(seed=3))).built
    assert (built.options.depth, built.options.name, built.setup.seed) == (7, "x", 3)
    # options that neither track nor caller fixes are selected
    assert loaded.choices("any", {}) == {"depth": (1, 2), "name": ("x", "y")}
    assert loaded.choices("special", {}) == {"name": ("x", "y")}
    assert loaded.choices("any", {"name": "y"}) == {"depth": (1, 2)}


def test_wrong_options_are_reported_all_at_once(tmp_path: Path) -> None:
    loaded = load_baseline(write(tmp_path / "own"))
    with pytest.raises(DeclarationError) as caught:
        loaded.options("any", {"dept": 1, "depth": "deep"})
    assert str(caught.value).splitlines() == [
        "baseline 'own': 2 problems",
        "  E207  dept: is not an option of baseline 'own'; allowed: depth, name; did you mean 'depth'?",
        "  E207  depth: 'deep' is not an integer",
    ]


NESTED = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Inner:
    a: int

@dataclass(frozen=True)
class Options:
    inner: Inner
    c: float
    words: tuple[str, ...]

    def __post_init__(self):
        if self.c < 0:
            raise ValueError("c must not be negative")

def build(options, setup):
    raise NotImplementedError
"""


def test_options_are_converted_to_their_types(tmp_path: Path) -> None:
    loaded = load_baseline(write(tmp_path / "own", 'title = "Own"\n', NESTED))
    options = loaded._checked({"inner": {"a": 1}, "c": float("inf"), "words": ["x"]})
    assert (options.inner.a, options.c, options.words) == (1, float("inf"), ("x",))
    with pytest.raises(DeclarationError, match="c must not be negative"):
        loaded.options("any", {"inner": {"a": 1}, "c": -1.0, "words": []})
    with pytest.raises(DeclarationError) as caught:
        loaded.options("any", {"inner": {"b": 1}, "c": 1})
    assert str(caught.value).splitlines() == [
        "baseline 'own': 2 problems",
        "  E207  inner: {'b': 1} is not Inner",
        "  E207  words: is missing: baseline 'own' needs it, a list of values, each a string",
    ]


def test_wrong_keys_are_reported_all_at_once(tmp_path: Path) -> None:
    folder = write(tmp_path / "own", 'titel = "x"\nfolds = 1\nextra = "baseline"\n[tracks.a]\nfeature = ["x"]\n')
    with pytest.raises(DeclarationError) as caught:
        load_baseline(folder)
    assert str(caught.value).splitlines() == [
        f"{folder / 'baseline.toml'}: 5 problems",
        "  E207  title: is missing",
        f"  E207  extra: 'baseline': is not an extra of merbench; allowed: {', '.join(modules_by_extra())}; "
        "did you mean 'baselines'?",
        "  E207  folds: 1 is not at least 2",
        "  E207  tracks.a.feature: is not a known key; allowed: features, options; did you mean 'features'?",
        f"  E207  titel: is not a known key; allowed: {', '.join(BaselineDeclaration.model_fields)}; "
        "did you mean 'title'?",
    ]


def test_the_most_features_are_not_fewer_than_the_fewest(tmp_path: Path) -> None:
    folder = write(tmp_path / "own", 'title = "Own"\nfewest_features = 3\nmost_features = 2\n')
    with pytest.raises(DeclarationError, match=r"E207  most_features: 2: is less than fewest_features, 3$"):
        load_baseline(folder)


def test_a_folder_without_a_declaration_or_with_half_of_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "model.py").write_text(MODEL, encoding="utf-8")
    monkeypatch.setenv("MERBENCH_BASELINES", str(tmp_path))
    for name in ("own", tmp_path / "own"):
        with pytest.raises(UsageError) as caught:
            load_baseline(name)
        assert str(caught.value) == f"{tmp_path / 'own'}: no baseline.toml in this folder"
    for toml, model, message in (
        (TOML, None, r"model.py: the file does not exist; a baseline is a baseline.toml and a model.py$"),
        (TOML, "class Options: pass\n", r"model.py: a baseline defines a dataclass Options and a function build$"),
        ("title = [", MODEL, "not a TOML file"),
    ):
        with pytest.raises(UsageError, match=message):
            load_baseline(write(tmp_path / "own", toml, model) if model else write(tmp_path / "none", toml, model))


def test_samples_that_are_not_those_of_the_network_are_refused(tmp_path: Path) -> None:
    folder = shutil.copytree(load_baseline("gru").folder, tmp_path / "own")
    declared = folder / "baseline.toml"
    declared.write_text(declared.read_text("utf-8").replace('samples = "sequences"', 'samples = "vectors"'), "utf-8")
    own = load_baseline(folder)
    with pytest.raises(
        UsageError, match=r'build returned a network of sequences; baseline\.toml says samples = "vectors"'
    ):
        own.build(own.declaration.defaults, Setup(device_name="cpu"))


def test_files_of_options_are_recorded_and_an_empty_option_names_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "reading", f'{TOML.partition("[tracks")[0]}reads_files = ["weights"]\n')
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "a.bin").write_bytes(b"a")
    monkeypatch.chdir(tmp_path / "here")
    own = {"baseline.toml", "model.py"}
    assert set(baseline_files(folder, {"weights": ""})) == own
    assert set(baseline_files(folder, {"weights": "a.bin"})) == own | {"a.bin"}
    assert set(baseline_files(folder, {"weights": str(tmp_path / "here")})) == own | {str(tmp_path / "here" / "a.bin")}
