"""Folders of entries become boards: `entry` reads and writes, `check` reports, `build` scores, `ranking` ranks."""
