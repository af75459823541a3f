"""What the sample is worth to a model: fusion pays, modalities differ, noise costs, speakers matter.

The model is scikit-learn's, as one outside of merbench would take it.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from merbench.sample import SampleValues, sample_values

MODALITIES = ("audio", "video", "text")
TESTS = ("test_multi", "test_noise", "test_semi")


class Trained:
    """Predictions of a model, trained on the clean training split, for every set of modalities."""

    def __init__(self, values: SampleValues) -> None:
        samples, reference = values.samples.to_pandas(), values.reference.to_pandas()
        labels = samples[["sample_id"]].merge(reference, how="left").discrete
        self.split = np.where(labels.notna(), samples.split, "not scored")
        self.speaker = samples.speaker.to_numpy()
        self.labels = labels.astype("category").cat.codes.to_numpy()
        train = self.split == "train"
        self.corrupted: dict[str, np.ndarray] = {}
        self.clean: dict[str, np.ndarray] = {}
        for name in (*MODALITIES, "fused"):
            parts = MODALITIES if name == "fused" else (name,)
            model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
            corrupted, clean = (
                np.concatenate([vectors[part] for part in parts], axis=1) / 1024
                for vectors in (values.features, values.clean)
            )
            model.fit(clean[train], self.labels[train])
            self.corrupted[name] = model.predict(corrupted)
            self.clean[name] = model.predict(clean)

    def f1(self, name: str, split: str, *, corrupted: bool = True) -> float:
        rows = self.split == split
        predictions = (self.corrupted if corrupted else self.clean)[name]
        return float(f1_score(self.labels[rows], predictions[rows], average="weighted"))


@pytest.fixture(scope="module")
def trained() -> Trained:
    return Trained(sample_values())


@pytest.mark.parametrize("split", TESTS)
def test_fusion_pays_and_is_neither_trivial_nor_perfect(trained: Trained, split: str) -> None:
    assert 0.65 < trained.f1("fused", split) < 0.85
    rows = trained.split == split
    best = max(MODALITIES, key=lambda name: trained.f1(name, split))
    assert trained.f1("fused", split) - trained.f1(best, split) >= 0.05
    fused, single = (trained.corrupted[name][rows] == trained.labels[rows] for name in ("fused", best))
    # McNemar's exact test of the paired answers
    won, lost = int((fused & ~single).sum()), int((single & ~fused).sum())
    assert won > lost
    assert binomtest(won, won + lost).pvalue < 0.01


def test_the_modalities_are_of_unequal_worth(trained: Trained) -> None:
    audio, video, text = (trained.f1(name, "test_multi") for name in MODALITIES)
    assert audio - video > 0.03
    assert video - text > 0.03
    assert text > 0.40


def test_noise_costs_audio_and_video_and_leaves_text(trained: Trained) -> None:
    """Measured on the same samples, before and after the corruption."""
    cost = {
        name: trained.f1(name, "test_noise", corrupted=False) - trained.f1(name, "test_noise") for name in MODALITIES
    }
    assert min(cost["audio"], cost["video"]) >= 0.05
    assert cost["text"] == 0


def test_speakers_differ(trained: Trained) -> None:
    """A speaker's utterances are right or wrong together, more than chance would have it."""
    rows = np.isin(trained.split, TESTS)
    right = (trained.corrupted["fused"] == trained.labels)[rows].astype(float)
    speakers = np.unique(trained.speaker[rows], return_inverse=True)[1]
    deviations = right - right.mean()
    # variance of the mean by clusters over that by samples; 1 without an effect of speakers
    design_effect = (np.bincount(speakers, deviations) ** 2).sum() / (deviations**2).sum()
    assert design_effect > 1.5
