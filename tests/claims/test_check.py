"""Claims about scores, from what is declared to a verdict that is stored."""

from __future__ import annotations

import json
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from merbench.claims import ClaimsReport, Settings, check_claims, read_stored, stored_claims, write_results
from merbench.corpus.candidates import open_candidates
from merbench.errors import DeclarationError, UnknownName, UsageError
from merbench.scoring import compare, resampling_of, seed_differences
from merbench.submission import read_submission
from merbench.track import load_track
from merbench.training import read_run
from tests.claims.conftest import BETTER, MODEL, TOML, Claimant

ON = 'on = [{ track = "small" }]'
CONTROL = "control = { options = { share = 0.0 } }"
OWN = ["means"]


def verdicts(report: ClaimsReport) -> list[str]:
    return [row.verdict for row in report.results]


def runs(root: Path = Path("runs/claims")) -> list[Path]:
    return sorted(path.parent for path in root.rglob("run.json"))


def test_a_difference_is_that_of_the_kept_runs(claimant: Claimant) -> None:
    claimant(BETTER)
    (row,) = check_claims(OWN).results
    assert row.verdict == "holds" and row.measured is not None
    candidates = open_candidates(load_track("small"))
    by_share = {read_run(folder).record.options["share"]: folder for folder in runs()}
    read = [
        [read_submission(by_share[share] / f"seed-{seed}" / "submission.csv", candidates) for seed in range(5)]
        for share in (1.0, 0.0)
    ]
    expected = seed_differences(read[0], read[1], ("system", "control"), resampling_of(candidates))[0]
    assert (row.measured.values, row.measured.low, row.measured.high) == (
        (expected.difference,),
        expected.low,
        expected.high,
    )
    assert row.measured.values[0] == pytest.approx(row.measured.system - row.measured.control, abs=1e-12)


def test_less_is_better_of_an_error(claimant: Claimant) -> None:
    claimant(BETTER + 'metric = "mse"')
    (row,) = check_claims(OWN).results
    measured = row.measured
    assert measured is not None and measured.system is not None and measured.control is not None
    assert measured.system < measured.control  # the smaller error is the better one
    assert measured.values[0] == pytest.approx(measured.control - measured.system, abs=1e-12)
    assert row.verdict == "holds" and measured.low is not None and measured.high is not None
    assert measured.low < measured.values[0] < measured.high


def test_every_kind_of_check_shares_runs(claimant: Claimant) -> None:
    claimant(
        BETTER,
        f'check = "inequality"\nsystem = {{ options = {{ share = 0.0 }} }}\ncontrol = {{}}\n{ON}',
        f'check = "non-inferiority"\nmargin = 0.01\n{CONTROL}\n{ON}',
        f'check = "non-inferiority"\nmargin = 0.01\nsystem = {{ options = {{ share = 0.0 }} }}\ncontrol = {{}}\n{ON}',
        f'check = "number"\nvalue = 0.0\ntolerance = 0.1\nmetric = "weighted_f1"\n{ON}',
        f'check = "number"\nvalue = 0.9\ntolerance = 0.3\nmetric = "weighted_f1(discrete)"\n{ON}',
    )
    report = check_claims(OWN)
    assert verdicts(report) == ["holds", "does not hold", "holds", "does not hold", "does not hold", "holds"]
    assert len(runs()) == 2
    text = report.to_text()
    assert text.startswith("6 claims of 1 system\n")
    assert "holds: 3, does not hold: 3, undecided: 0, cannot be checked here: 0" in text
    assert ClaimsReport.from_json(report.to_json()) == report
    for form in (report.to_markdown, report.to_html, report.to_latex):
        assert "It is so." in form()


def test_the_best_feature_is_chosen_by_cross_validation(claimant: Claimant) -> None:
    claimant(f'check = "inequality"\ncontrol = {{ best_feature = true }}\n{ON}')
    (row,) = check_claims(OWN).results
    singles = {run.record.widths.popitem()[0]: run for run in map(read_run, runs()) if len(run.record.features) == 1}
    assert set(singles) == {"loud", "quiet"}
    best = max(singles, key=lambda name: singles[name].record.cross_validated["overall"].mean or 0.0)
    assert row.measured is not None and row.measured.remark == f"best feature of the control: {best}"
    assert row.measured.control == pytest.approx(singles[best].record.test["overall"].mean)


@pytest.mark.slow
def test_options_are_searched_before_a_claim_about_tuned_ones(claimant: Claimant) -> None:
    pytest.importorskip("optuna")
    claimant(
        f'check = "inequality"\nsystem = {{ trials = 6 }}\ncontrol = {{}}\n{ON}',
        toml=TOML.replace("share = 1.0", "share = 0.0", 1),
    )
    (row,) = check_claims(OWN).results
    assert row.verdict == "holds"
    assert any(folder.name == "best" and read_run(folder).record.options["share"] > 0 for folder in runs())


def test_a_system_without_a_seed_is_trained_once(claimant: Claimant) -> None:
    claimant(BETTER, toml="uses_seed = false\n" + TOML)
    (row,) = check_claims(OWN).results
    assert [[each.seed for each in read_run(folder).record.runs] for folder in runs()] == [[0], [0]]
    one, other = (read_submission(folder / "submission.csv", open_candidates(load_track("small"))) for folder in runs())
    plain = next(each for each in compare(load_track("small"), [one, other]).differences if each.key == "overall")
    assert row.measured is not None and plain.low is not None and plain.high is not None
    ends = sorted((abs(plain.low), abs(plain.high)))  # seeds add no variance
    assert sorted((abs(row.measured.low or 0), abs(row.measured.high or 0))) == pytest.approx(ends, abs=1e-9)


DIAGNOSED = """
from dataclasses import dataclass
import numpy as np
from merbench.training import CrossFit, Predictions

@dataclass(frozen=True)
class Options:
    shift: float = 0.0

class Own:
    def __init__(self, options, setup):
        self.shift, self.seed, self.n_folds = options.shift, setup.seed, setup.n_folds

    def fit_folds(self, train):
        self.track = train.track
        n = len(train.validated)
        shown = [self.shift + self.seed + fold for fold in (0.0, 2.0)]
        return CrossFit(self.answers(n), details={"diagnostics": {"gap": shown}})

    def fit(self, train):
        self.fit_folds(train)

    def answers(self, n):
        return Predictions({"discrete": np.full((n, 3), 1 / 3), "valence": np.zeros(n)})

    def predict(self, test):
        return self.answers(len(test))

def build(options, setup):
    return Own(options, setup)
"""


def test_a_diagnostic_is_judged_over_seeds(claimant: Claimant) -> None:
    claimant(
        *(f'check = "inequality"\ndiagnostic = "gap"\nsystem = {{ options = {{ shift = {shift} }} }}\n{ON}' for shift in (0.0, -3.0, -9.0)),
        f'check = "inequality"\ndiagnostic = "gup"\n{ON}',
        model=DIAGNOSED,
        toml='title = "Own"\n[defaults]\nshift = 0.0\n',
    )  # fmt: skip
    report = check_claims(OWN)
    assert verdicts(report) == ["holds", "undecided", "does not hold", "cannot be checked here"]
    values = np.arange(5) + 1.0  # of seed s the mean of s and s + 2
    half = stats.t.ppf(0.975, 4) * values.std(ddof=1) / np.sqrt(5)
    measured = report.results[0].measured
    assert measured is not None
    assert (measured.values[0], measured.low, measured.high) == pytest.approx((3.0, 3.0 - half, 3.0 + half), abs=1e-9)
    assert [row.why for row in report.failures] == [
        "no diagnostic named 'gup'; did you mean 'gap'? (known: gap); `diagnostics` of the network"
    ]


def test_a_diagnostic_is_compared_with_that_of_a_control(claimant: Claimant) -> None:
    claimant(
        *(
            f'check = "inequality"\ndiagnostic = "gap"\nsystem = {{ options = {{ shift = {system} }} }}\n'
            f"control = {{ options = {{ shift = {control} }} }}\n{ON}"
            for system, control in ((4.0, 0.0), (1.0, 0.0), (0.0, 4.0))
        ),
        model=DIAGNOSED,
        toml='title = "Own"\n[defaults]\nshift = 0.0\n',
    )
    report = check_claims(OWN)
    assert verdicts(report) == ["holds", "undecided", "does not hold"]
    assert report.results[0].check == "difference of gap > 0"
    seeds = np.arange(5) + 1.0
    expected = stats.ttest_ind(seeds + 4, seeds, equal_var=False).confidence_interval()
    measured = report.results[0].measured
    assert measured is not None and (measured.system, measured.control) == (7.0, 3.0)
    assert (measured.values[0], measured.low, measured.high) == pytest.approx((4.0, *expected), abs=1e-9)


def test_a_published_number_has_an_interval_over_seeds_alone(claimant: Claimant) -> None:
    claimant(f'check = "number"\nvalue = 0.9\ntolerance = 0.3\nmetric = "weighted_f1"\n{ON}')
    measured = check_claims(OWN).results[0].measured
    scores = [run["test"]["weighted_f1(discrete)"] for run in read_run(runs()[0]).content["runs"]]
    expected = stats.ttest_1samp(scores, 0).confidence_interval()
    assert measured is not None
    assert (measured.values[0], measured.low, measured.high) == pytest.approx((np.mean(scores), *expected), abs=1e-9)


BAD = [
    ('check = "inequality"\ncontrol = { baseline = "meens" }\n' + ON, "claims[0].control: no baseline named 'meens'; did you mean 'means'?"),
    ('check = "inequality"\ncontrol = { preset = "paper" }\n' + ON, "claims[0].control: no preset of baseline 'means' named 'paper' (known: none)"),
    (BETTER + 'metric = "weighted_f2"', "claims[0].on[0]: no metric of small named 'weighted_f2'; did you mean 'weighted_f1'? (known: mse, weighted_f1)"),
    (BETTER.replace("share", "shere"), "claims[0]: baseline 'means': shere: is not an option of baseline 'means'; "),
    ('check = "inequality"\nsystem = { trials = 3, options = { share = 1.0 } }\ncontrol = {}\n' + ON, "claims[0]: baseline 'means': no option is searched"),
    ('check = "exact"\ncomputes = "gap"\nvalue = 1', "claims[0]: no function of claims.py named 'gap' (known: none)"),
    ('check = "inequality"\n' + ON, "claims[0]: needs a control, or a diagnostic that is to be above 0"),
    (BETTER + "seeds = 4", "claims[0].seeds: 4 is not at least 5"),
    (BETTER + 'name = "x"', "duplicate key"),
    ('check = "inequalty"\n' + ON, "claims[0].check: 'inequalty' is not one of exact, inequality, non-inferiority, monotone, number; did you mean 'inequality'?"),
    (ON, "claims[0].check: is missing"),
    (BETTER.replace("control", "contrl"), "claims[0].contrl: is not a known key; allowed: name, says, source, on, system, metric, seeds, check, control, diagnostic; did you mean 'control'?"),
    (BETTER.replace("{ options =", "{ option ="), "claims[0].control.option: is not a known key; allowed: baseline, preset, options, features, best_feature, trials, training, weights, pretraining, detector; did you mean 'options'?"),
    (BETTER.replace("track =", "trck ="), "claims[0].on[0].trck: is not a known key; allowed: track, features, options, folds, training, condition, hold_out; did you mean 'track'?"),
    ('check = "exact"\ncomputes = "parameters"\nvalue = 1', "claims[0]: claim 'claim-0': parameters need widths by feature, and labels by target"),
]  # fmt: skip


@pytest.mark.parametrize(("claim", "message"), BAD)
def test_a_claim_that_names_what_does_not_exist_is_one_message(claimant: Claimant, claim: str, message: str) -> None:
    claimant(claim)
    with pytest.raises(UsageError, match=re.escape(message)):
        check_claims(OWN)
    assert runs() == []


def test_items_with_problems_are_not_counted_as_missing(claimant: Claimant) -> None:
    claimant(BETTER.replace("track =", "trck ="))
    with pytest.raises(DeclarationError) as info:
        check_claims(OWN)
    assert [(each.column, each.message.partition(";")[0]) for each in info.value.problems] == [
        ("claims[0].on[0].track", "is missing"),
        ("claims[0].on[0].trck", "is not a known key"),
    ]


def test_all_bad_claims_are_listed_at_once(claimant: Claimant) -> None:
    folder = claimant(BETTER + 'metric = "x"', BETTER, BETTER + 'metric = "y"')
    text = (folder / "baseline.toml").read_text().replace('name = "claim-2"', 'name = "claim-1"')
    (folder / "baseline.toml").write_text(text)
    with pytest.raises(DeclarationError) as info:
        check_claims(OWN)
    assert [(problem.column, problem.message[:30]) for problem in info.value.problems] == [
        ("claims[0].on[0]", "no metric of small named 'x' ("),
        ("claims[2].name", "a second claim is named 'claim"),
        ("claims[2].on[0]", "no metric of small named 'y' ("),
    ]


def test_names_that_do_not_exist(claimant: Claimant) -> None:
    claimant()
    with pytest.raises(UsageError, match=r"no \[\[claims\]\] in baseline\.toml of means"):
        check_claims(OWN)
    with pytest.raises(UnknownName, match="no baseline named 'meens'; did you mean 'means'"):
        check_claims(["meens"])
    with pytest.raises(UnknownName, match="no track named 'smal'; did you mean 'small'"):
        check_claims(OWN, Settings(tracks=["smal"]))


def test_a_place_that_is_not_here_is_not_checked(claimant: Claimant) -> None:
    missing = BETTER.replace('"small"', '"small", features = ["lowd"]')
    claimant(missing, BETTER.replace("small", "ravdess"), BETTER)
    report = check_claims(OWN)
    assert verdicts(report) == ["cannot be checked here", "cannot be checked here", "holds"]
    assert "no feature of corpus small named 'lowd'; did you mean 'loud'?" in report.results[0].why
    assert "no corpus named 'ravdess'" in report.results[1].why
    assert [row.claim for row in report.failures] == ["claim-0"]  # the corpus is here, so that is a mistake
    only = check_claims(OWN, Settings(tracks=["ravdess"]))
    assert [(row.claim, row.place) for row in only.results] == [("claim-1", "ravdess")]


def test_a_track_that_does_not_exist_is_a_named_problem(claimant: Claimant, tmp_path: Path) -> None:
    folder = claimant(BETTER.replace("small", "smal"), BETTER)
    report = check_claims(OWN)
    assert verdicts(report) == ["cannot be checked here", "holds"]
    assert [row.why.partition(" (")[0] for row in report.failures] == ["no track named 'smal'; did you mean 'small'?"]
    write_results(report, OWN)
    (tmp_path / "tracks" / "one" / "small").rename(tmp_path / "elsewhere")
    report = check_claims(OWN)  # what is stored of a track that is not here is shown
    assert [row.stored for row in report.results] == [False, True]
    assert [row.claim for row in report.failures] == ["claim-0"]
    assert [each["claim"] for each in stored(folder)["results"]] == ["claim-1"]


def test_a_budget_is_taken_by_those_that_have_it(claimant: Claimant) -> None:
    budget = 'on = [{ track = "small", options = { epochs = 2, share = 0.5 } }]'
    sides = 'check = "inequality"\nsystem = { options = { share = 1.0 } }\ncontrol = '
    folder = claimant(sides + '{ baseline = "longer" }\n' + budget)
    longer = folder.with_name("longer")
    longer.mkdir()
    (longer / "model.py").write_text(MODEL.replace("share: float = 1.0", "share: float = 1.0\n    epochs: int = 1"))
    (longer / "baseline.toml").write_text('title = "Longer"\n[defaults]\nshare = 1.0\nepochs = 1\n')
    assert check_claims(OWN).failures == []
    assert sorted(sorted(read_run(folder).record.options.items()) for folder in runs()) == [
        [("epochs", 2), ("share", 0.5)], [("share", 1.0)]
    ]  # fmt: skip
    claimant(sides + "{}\n" + budget.replace("epochs", "epoch"))
    with pytest.raises(UsageError, match=r"claims\[0\]: small: no system there has the option epoch; they have share"):
        check_claims(OWN)


def test_what_fails_while_it_is_trained_is_a_failure(claimant: Claimant) -> None:
    claimant(BETTER, model=MODEL.replace("self.track, codes =", "1 / 0; self.track, codes ="))
    report = check_claims(OWN)
    assert verdicts(report) == ["cannot be checked here"]
    assert [row.why.partition("model.py")[2][:40] for row in report.failures] == [
        ", line 17: baseline 'means' failed in fit"[:40]
    ]


def test_a_hidden_split_is_not_checked(claimant: Claimant, tmp_path: Path) -> None:
    claimant(BETTER)
    path = tmp_path / "tracks" / "one" / "small" / "track.toml"
    path.write_text(path.read_text().replace('test = "test"', 'test = { source = "test", hidden = true }'))
    (row,) = check_claims(OWN).results
    assert row.why == "small: which samples of split 'test' are scored is secret"


def stored(folder: Path) -> Any:
    return json.loads((folder / "claims.json").read_text())


def test_what_is_stored_is_taken_until_its_signature_changes(claimant: Claimant, tmp_path: Path) -> None:
    folder = claimant(BETTER)
    first = check_claims(OWN)
    assert write_results(first, OWN) == [folder / "claims.json"]
    content = stored(folder)
    content["results"][0] |= {"values": [0.25], "low": 0.2, "high": 0.3}
    (folder / "claims.json").write_text(json.dumps(content))
    (again,) = check_claims(OWN).results
    assert again.stored and again.measured is not None and again.measured.values == (0.25,)
    assert "holds (stored)" in check_claims(OWN).to_text()
    (rerun,) = check_claims(OWN, Settings(rerun=True)).results
    assert not rerun.stored and rerun.measured == first.results[0].measured
    # where the corpus is not here, what it would show of the signature is not compared
    (tmp_path / "tracks" / "one" / "small" / "corpus").rename(tmp_path / "away")
    (elsewhere,) = check_claims(OWN).results
    assert elsewhere.stored and elsewhere.verdict == "holds"
    (shown,) = stored_claims(OWN).results
    assert shown.stored
    (folder / "model.py").write_text(MODEL + "\n")
    (other,) = check_claims(OWN).results
    assert other.verdict == "cannot be checked here" and other.measured is None
    assert other.why.endswith("; the stored result is of another signature: control, system")
    (tmp_path / "away").rename(tmp_path / "tracks" / "one" / "small" / "corpus")
    (new,) = check_claims(OWN).results
    assert not new.stored and new.verdict == "holds"


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("share = 0.0", "share = 0.1", "claim, control"),
        ("share = 1.0", "share = 0.9", "control, system"),
        ('track = "small"', 'track = "small", folds = 3', "training"),
        ('check = "inequality"', 'check = "inequality"\nseeds = 6', "claim, seeds"),
        ('check = "inequality"', 'check = "inequality"\nmetric = "mse"', "claim, metric"),
    ],
)
def test_a_signature_names_what_differs(claimant: Claimant, old: str, new: str, parts: str) -> None:
    folder = claimant(BETTER)
    write_results(check_claims(OWN), OWN)
    path = folder / "baseline.toml"
    path.write_text(path.read_text().replace(old, new, 1))
    (row,) = stored_claims(OWN).results
    assert row.why == f"no result is stored; the stored result is of another signature: {parts}"


def test_defaults_behind_an_exact_claim_are_in_its_signature(claimant: Claimant) -> None:
    folder = claimant('check = "exact"\ncomputes = "one"\nvalue = 1', code="def one(model): return 1")
    write_results(check_claims(OWN), OWN)
    path = folder / "baseline.toml"
    path.write_text(path.read_text().replace("share = 1.0", "share = 0.9", 1))
    (row,) = stored_claims(OWN).results
    assert row.why.endswith("the stored result is of another signature: options")


def test_the_options_of_a_trained_base_are_in_the_signature(claimant: Claimant) -> None:
    folder = claimant(BETTER.replace("share = 0.0", 'base = "means"'), toml='title = "A"\n[defaults]\nshare = 1.0\n')
    outer = folder.with_name("outer")
    folder.rename(outer)
    text = (outer / "baseline.toml").read_text()
    text = text.replace("[defaults]", '[trains]\nbase = "base_options"\n[defaults]\nbase = "means"\nbase_options = {}')
    (outer / "baseline.toml").write_text(text)
    base = claimant()
    before = stored_claims(["outer"]).results[0].signature
    path = base / "baseline.toml"
    path.write_text(path.read_text().replace("share = 1.0", "share = 0.9", 1))
    after = stored_claims(["outer"]).results[0].signature
    assert sorted(name for name in before if before[name] != after[name]) == ["control", "system"]


@pytest.mark.parametrize(
    ("more", "parts"),
    [
        ('\n[tracks.small]\nfeatures = ["quiet"]\n', "control, system"),  # what a place without features learns from
        ("\n[presets.paper]\nfolds = 3\n", "control, system"),
    ],
)
def test_what_a_run_depends_on_is_in_the_signature(claimant: Claimant, more: str, parts: str) -> None:
    folder = claimant(BETTER)
    write_results(check_claims(OWN), OWN)
    path = folder / "baseline.toml"
    path.write_text(path.read_text() + more)
    (row,) = stored_claims(OWN).results
    assert row.why.endswith(f"the stored result is of another signature: {parts}")


def test_keys_at_their_defaults_are_not_in_a_signature(claimant: Claimant) -> None:
    claimant(BETTER)
    (before,) = stored_claims(OWN).results
    claimant(BETTER.replace("options =", "trials = 0, best_feature = false, options =") + 'seeds = 5\nmetric = ""\n')
    (after,) = stored_claims(OWN).results
    assert after.signature == before.signature


def test_another_device_is_another_signature(claimant: Claimant) -> None:
    claimant(BETTER)
    write_results(check_claims(OWN), OWN)
    assert check_claims(OWN).results[0].stored
    assert not check_claims(OWN, Settings(device="cpu")).results[0].stored


def test_measuring_again_trains_again(claimant: Claimant) -> None:
    claimant(BETTER)
    check_claims(OWN)
    for folder in runs():
        (folder / "mark").write_text("")
    check_claims(OWN)
    assert all((folder / "mark").exists() for folder in runs())
    check_claims(OWN, Settings(rerun=True))
    assert len(runs()) == 2 and not any((folder / "mark").exists() for folder in runs())


def test_two_baselines_of_one_name_are_refused(claimant: Claimant, tmp_path: Path) -> None:
    folder = claimant(BETTER)
    other = tmp_path / "other" / "means"
    shutil.copytree(folder, other)
    with pytest.raises(UsageError, match=r"baselines with the same name: .*; check one of them at a time"):
        check_claims([folder, other])
    assert len(stored_claims([folder, "means", str(folder) + "/."]).results) == 1


def test_an_interrupt_ends_the_training_that_is_under_way(claimant: Claimant) -> None:
    claimant(BETTER)

    def interrupt(text: str, done: int, total: int) -> None:
        if text.endswith("seed 1") and done:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        check_claims(OWN, Settings(), interrupt)
    assert runs() == []  # the other seeds were not trained


def test_other_words_leave_a_signature(claimant: Claimant) -> None:
    folder = claimant(BETTER)
    write_results(check_claims(OWN), OWN)
    path = folder / "baseline.toml"
    path.write_text(path.read_text().replace("It is so.", "So it is.").replace("Table 0", "Table 7"))
    (row,) = stored_claims(OWN).results
    assert (row.verdict, row.says, row.source) == ("holds", "So it is.", "Table 7")


def test_results_of_other_places_stay_and_those_of_no_claim_go(claimant: Claimant) -> None:
    folder = claimant(BETTER, BETTER.replace('"small"', '"small", features = ["loud"]'))
    write_results(check_claims(OWN), OWN)
    assert [each["place"] for each in stored(folder)["results"]] == ["small", "small (loud)"]
    claimant(BETTER.replace("0.0", "0.5"), BETTER.replace('"small"', '"small", features = ["quiet"]'))
    write_results(check_claims(OWN), OWN)
    assert [each["place"] for each in stored(folder)["results"]] == ["small", "small (quiet)"]


HOSTILE = [
    ("{", "not JSON, or cut off"),
    ("[" * 100_000, "not JSON, or cut off"),
    ("[]", "no schema"),
    ('{"schema": "merbench.run/1", "results": []}', "its schema is 'merbench.run/1'"),
    ('{"schema": "merbench.claims/1"}', "results: is missing"),
    ('{"schema": "merbench.claims/1", "results": [{"claim": "a", "values": [NaN], "signature": {}}]}', "NaN is not a number of JSON"),
    ('{"schema": "merbench.claims/1", "results": [{"claim": "a", "values": [1e999], "signature": {}}]}', "is not a finite number"),
    ('{"schema": "merbench.claims/1", "results": [{"claim": "a", "values": [], "signature": {}}]}', "at least 1"),
    ('{"schema": "merbench.claims/1", "results": [{"claim": "a", "values": [1], "verdict": "holds", "signature": {}}]}', "is not a known key"),
    ('{"schema": "merbench.claims/1", "results": [{"claim": "a", "values": [1], "low": 2, "high": 1, "signature": {}}]}', "results[0]: low and high are not the ends of an interval"),
    ('{"schema": "merbench.claims/1", "results": [{"claim": "a", "place": "b", "values": [1, 2], "signature": {}}]}', "results[0]: has 2 values; a result at a place has one"),
    ('{"schema": "merbench.claims/1", "results": [{"claim": "a", "place": "b", "values": [100], "low": 0.1, "high": 0.2, "signature": {}}]}', "results[0]: 100 is outside its interval"),
    ('{"schema": "merbench.claims/1", "results": [{"claim": "a", "values": [1], "low": 0.1, "high": 2, "signature": {}}]}', "results[0]: without a place, it is exact, and has no low"),
    ('{"schema": "merbench.claims/1", "results": [' + ", ".join(['{"claim": "a", "values": [1], "signature": {}}'] * 2) + "]}", "duplicate: a"),
    ('{"schema": "merbench.claims/1", "results": [' + '"' + "x" * 2_000_000 + '"]}', "contains more than 2,000,000 bytes"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), HOSTILE, ids=[message[:20] for _, message in HOSTILE])
def test_a_stored_file_that_is_none_is_one_message(claimant: Claimant, text: str, message: str) -> None:
    folder = claimant(BETTER)
    (folder / "claims.json").write_text(text)
    with pytest.raises(UsageError, match=re.escape(message)) as info:
        read_stored(folder)
    assert "merbench claims --write" in str(info.value)
    assert len(str(info.value)) < 2000


@pytest.mark.slow
def test_workers_change_no_byte(claimant: Claimant) -> None:
    claimant(BETTER, f'check = "inequality"\ncontrol = {{ best_feature = true }}\n{ON}')
    alone = check_claims(OWN, Settings(root=Path("one"))).to_json()
    assert check_claims(OWN, Settings(root=Path("two"), workers=2)).to_json() == alone


def test_training_is_followed(claimant: Claimant) -> None:
    claimant(BETTER)
    texts = list[str]()
    check_claims(OWN, Settings(), lambda text, done, total: texts.append(text))
    assert texts.count("runs") == 3  # none, one and both are done
    assert {"means on small, seed 0", "means on small, seed 4"} <= set(texts)
