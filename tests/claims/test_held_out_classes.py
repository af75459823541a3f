"""Claims about detectors of classes that are held out in turn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

pytest.importorskip("torch")

from merbench.claims import check_claims
from merbench.corpus.candidates import open_candidates
from merbench.errors import DeclarationError
from merbench.track import load_track
from merbench.training import read_run
from tests.claims.conftest import Claimant

OPTIONS = "hidden = 6, epochs = 2"
CLAIM = f"""
check = "inequality"
metric = "auroc"
system = {{{{ baseline = "lf-dnn", detector = "{{}}" }}}}
control = {{{{ baseline = "lf-dnn", detector = "{{}}" }}}}
on = [{{{{ track = "small", folds = 2, options = {{{{ {OPTIONS} }}}}{{}} }}}}]
"""
IN_TURN = ', hold_out = ["glad", "sad"]'


@pytest.mark.slow
def test_detectors_are_compared_by_the_mean_over_classes_and_seeds(claimant: Claimant) -> None:
    claimant(CLAIM.format("knn", "msp", IN_TURN), CLAIM.format("msp", "knn", IN_TURN))
    report = check_claims(["means"])
    better, worse = report.results
    assert better.place == "small without glad, sad in turn"
    assert better.check == "difference of auroc > 0"
    assert better.measured is not None and worse.measured is not None, (better.why, worse.why)
    folders = sorted(path.parent for path in Path("runs").rglob("run.json"))
    assert sorted(tuple(read_run(folder).record.hold_out) for folder in folders) == [("glad",), ("sad",)]
    codes = np.asarray(open_candidates(load_track("small")).references.values["discrete"])
    expected = {}
    for name in ("knn", "msp"):
        values = []
        for folder in folders:
            unknown = ("calm", "glad", "sad").index(read_run(folder).record.hold_out[0])
            for path in folder.glob(f"seed-*/detectors/{name}.csv"):
                scores = [float(line.split(",")[1]) for line in path.read_text().splitlines()[1:]]
                values.append(roc_auc_score(codes != unknown, scores))
        assert len(values) == 10
        expected[name] = np.mean(values)
    assert better.measured.system == pytest.approx(expected["knn"], abs=1e-12)
    assert better.measured.control == pytest.approx(expected["msp"], abs=1e-12)
    assert better.measured.values[0] == pytest.approx(expected["knn"] - expected["msp"], abs=1e-12)
    assert better.measured.remark == "mean over 2 classes held out in turn"
    assert better.measured.low is not None and better.measured.high is not None
    assert better.measured.low < better.measured.values[0] < better.measured.high
    assert (worse.measured.low, worse.measured.high) == pytest.approx((-better.measured.high, -better.measured.low))


@pytest.mark.parametrize(
    ("names", "place", "message"),
    [
        (("energy", "msp"), "", "detector energy, msp needs classes that are held out: `hold_out` of the place"),
        (("energi", "msp"), IN_TURN, "no detector named 'energi'; did you mean 'energy'?"),
        (("knn:k=0", "msp"), IN_TURN, "k: 0 is not an integer of at least 1"),
        (("energy", "msp"), ', hold_out = ["gald"]', "small has no class 'gald' to hold out"),
        (("energy", "msp"), ', hold_out = ["sad", "sad"]', "a class is named twice: sad, sad"),
        (
            ("energy", "msp"),
            f'{IN_TURN}, condition = {{ corruption = "modality_absence", modality = "audio", rate = 1.0 }}',
            "classes are held out for differences of a metric, without a condition",
        ),
    ],
)
def test_claims_that_cannot_be_held(claimant: Claimant, names: tuple[str, str], place: str, message: str) -> None:
    claimant(CLAIM.format(*names, place))
    with pytest.raises(DeclarationError) as caught:
        check_claims(["means"])
    assert message in str(caught.value)
