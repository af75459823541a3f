"""A folder name and a corpus go in, a commented `track.toml` and a card for one's own data come out."""

from merbench.scaffold.writing import write_starting_track

__all__ = ["write_starting_track"]
