"""Files that all packages read and write: paths, digests, atomic writes, TOML, NumPy, pickles, Parquet."""
