"""What every importer of a public release offers: the released files go in, a corpus and warnings come out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from merbench.corpus.folder import Corpus
from merbench.errors import Problem
from merbench.registry import Registry


@dataclass(frozen=True)
class Imported:
    """An imported corpus, and what the user should know of the files it came from."""

    corpus: Corpus
    warnings: tuple[Problem, ...] = ()


class Importer(Protocol):
    """Reads one public release."""

    def __call__(self, release: Path, folder: Path, *, features: Path | None = None, replace: bool = False) -> Imported:
        """Write the corpus of a release into a folder.

        Args:
            release: folder of the released files.
            folder: corpus folder that is written.
            features: folder of released features, one folder each with one `.npy` per sample.
            replace: whether a corpus that stands in `folder` goes.
        """


IMPORTERS: Registry[Importer] = Registry("importer", "merbench.importers")
"""Importers by the name of the corpus they make."""
