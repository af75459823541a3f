"""Corpora: folders of samples, references and features; importing this package registers every importer."""

from merbench.corpus import releases
from merbench.corpus.declaration import Metadata
from merbench.corpus.feature import Feature
from merbench.corpus.folder import Corpus, add_feature, read_corpus, verify_corpus, write_corpus
from merbench.corpus.home import BUILDERS, Builder, build_corpus, corpora_home, list_corpora, open_corpus, own_folder
from merbench.corpus.importing import IMPORTERS, Imported, Importer, Release
from merbench.corpus.tables import Contents

__all__ = [
    "BUILDERS",
    "IMPORTERS",
    "Builder",
    "Contents",
    "Corpus",
    "Feature",
    "Imported",
    "Importer",
    "Metadata",
    "Release",
    "add_feature",
    "build_corpus",
    "corpora_home",
    "list_corpora",
    "open_corpus",
    "own_folder",
    "read_corpus",
    "releases",
    "verify_corpus",
    "write_corpus",
]
