"""Corpora that tests write, with metadata that say so."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from merbench.corpus import CORPORA, Contents, Corpus, ExtractionRecord, Feature, Metadata, write_corpus
from merbench.files.reading import sha256_file


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


def with_parquet(corpus: Corpus, name: str) -> Corpus:
    """Store a feature as corpora did before they had Arrow files, and return the corpus."""
    member, folder = f"features/{name}", corpus.folder
    pq.write_table(corpus.feature(name).to_table(), folder / f"{member}.parquet", compression="none")
    (folder / f"{member}.arrow").unlink()
    declared = (folder / "corpus.toml").read_text(encoding="utf-8")
    declared = declared.replace(f"{member}.arrow", f"{member}.parquet")
    digests = corpus.declaration.files[f"{member}.arrow"], sha256_file(folder / f"{member}.parquet")
    (folder / "corpus.toml").write_text(declared.replace(*digests), encoding="utf-8")
    return CORPORA.read(folder)
