"""Folders of entries become ranked boards: `entry` reads and writes, `build` scores, `ranking` ranks, `board` shows.

==== ============================================================================================
E401 `entry.toml` is missing, too large, or not TOML
E402 a key of `entry.toml`: missing, unknown, or with a value that is not allowed
E403 a name or a place of a folder; a folder in place of a file
E404 not exactly one file `submission.*`, or one with an unknown suffix
E405 a symbolic link, a device or a pipe
E406 a run that another one, received earlier, excludes: the same seed, or also selected
E407 the folder of an unknown track
E408 a metric has no value for these predictions
E409 the entry cannot be read or scored because of an error of this machine, or a bug
W401 predictions that were not read, because their candidates are not available
==== ============================================================================================
"""
