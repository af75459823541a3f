"""The sample corpus on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from merbench.corpus import Corpus, open_corpus, verify_corpus
from merbench.corpus.candidates import open_candidates
from merbench.sample import VERSION, build_sample, sample_values
from merbench.track import load_track

DIGEST = "be1523a1e69a73017f1d380649feff7d43c05a6d8c48310e3194bc503f801c0a"
"""What reports on the sample print."""


@pytest.fixture(scope="module")
def corpus(sample_home: Path) -> Corpus:
    return open_corpus("sample")


def test_the_corpus_has_the_values_and_is_marked_as_synthetic(corpus: Corpus) -> None:
    assert (corpus.name, corpus.version, corpus.digest) == ("sample", VERSION, DIGEST)
    assert (corpus.synthetic, corpus.licence, corpus.source) == (True, "CC0-1.0", "made by merbench")
    values = sample_values()
    assert corpus.samples().equals(values.samples.combine_chunks())
    assert corpus.features == ("audio", "text", "video")
    ids = pa.array(values.samples["sample_id"].to_pylist())
    for name in corpus.features:
        feature = corpus.feature(name)
        assert feature.ids.equals(ids)
        assert feature.offsets is None
        assert np.array_equal(feature.values * 1024, values.features[name])


def test_built_twice_is_the_same(corpus: Corpus, tmp_path: Path) -> None:
    again = build_sample(tmp_path / "again")
    assert again.declaration.content == corpus.declaration.content
    assert verify_corpus(again) == []


@pytest.mark.parametrize(
    ("name", "n_candidates", "hidden"), [("mer-multi", 600, False), ("mer-noise", 600, False), ("mer-semi", 2400, True)]
)
def test_each_track_finds_its_candidates_and_references(
    corpus: Corpus, name: str, n_candidates: int, hidden: bool
) -> None:
    track = load_track(name)
    candidates = open_candidates(track)
    assert (len(candidates), len(candidates.references), candidates.hidden) == (n_candidates, 600, hidden)
    assert set(candidates.references.values) == set(track.targets)
    assert len(open_candidates(track, "train").references) == 1500
    assert len(open_candidates(track, "dev").references) == 250
