"""The public releases that merbench reads, one file per family; importing this package registers every importer."""

from merbench.corpus.folder import IMPORTERS
from merbench.corpus.releases import emodb, ger, mer, merbench_labels, on_application, with_features

for _module in (emodb, ger, mer, merbench_labels, on_application, with_features):
    for _release in _module.RELEASES:
        IMPORTERS.add(_release.name, _release)
