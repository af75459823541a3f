# ruff: noqa: F403
"""Files that all packages read and write: paths, digests, atomic writes, TOML, NumPy, pickles, Parquet."""

from merbench.files.npy import *
from merbench.files.parquet import *
from merbench.files.paths import *
from merbench.files.pickles import *
from merbench.files.reading import *
from merbench.files.toml import *
from merbench.files.writing import *
