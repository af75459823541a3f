"""Folders of entries go in, ranked boards come out: `entry` reads, `build` scores, `ranking` ranks, `board` shows."""
