"""Corpora that tests write, with metadata that say so."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from merbench.corpus import Contents, Corpus, ExtractionRecord, Feature, Metadata, write_corpus


def made_corpus(
    folder: Path,
    *,
    name: str,
    samples: pa.Table,
    reference: pa.Table | None = None,
    features: Mapping[str, Feature] | None = None,
    extracted: Mapping[str, ExtractionRecord] | None = None,
    source: str = "made up",
    licence: str = "CC0-1.0",
    language: str | None = None,
    synthetic: bool = False,
    replace: bool = False,
) -> Corpus:
    """Write a corpus of version 1.0 and return it."""
    metadata = Metadata(
        name=name, version="1.0", source=source, licence=licence, language=language, synthetic=synthetic
    )
    return write_corpus(
        folder, metadata, Contents(samples, reference, features or {}, extracted or {}), replace=replace
    )
