"""The public releases that merbench reads; importing this package registers every importer.

One file per release, or family of releases. `elsewhere` holds those whose files are not freely had: it says what they
consist of, for those who were given them.
"""

from merbench.corpus.releases import abaw, crema_d, ger, iemocap, meld, mer, mer2023, on_application, ravdess, sentiment

__all__ = ["abaw", "crema_d", "ger", "iemocap", "meld", "mer", "mer2023", "on_application", "ravdess", "sentiment"]
