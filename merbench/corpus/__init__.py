"""Corpora: folders of samples, references and features; importing this package registers every importer."""

from merbench.builders import Builder
from merbench.corpus import releases
from merbench.corpus.contents import Contents
from merbench.corpus.create import OwnFiles, add_features, create_corpus, write_corpus
from merbench.corpus.declaration import ExtractionRecord, Metadata
from merbench.corpus.feature import Feature
from merbench.corpus.folder import CORPORA, IMPORTERS, Corpus, open_corpus, own_folder, summarise, verify_corpus
from merbench.corpus.frames import frame_corpus
from merbench.corpus.importing import Imported, Release

__all__ = [
    "CORPORA",
    "IMPORTERS",
    "Builder",
    "Contents",
    "Corpus",
    "ExtractionRecord",
    "Feature",
    "Imported",
    "Metadata",
    "OwnFiles",
    "Release",
    "add_features",
    "create_corpus",
    "frame_corpus",
    "open_corpus",
    "own_folder",
    "releases",
    "summarise",
    "verify_corpus",
    "write_corpus",
]
