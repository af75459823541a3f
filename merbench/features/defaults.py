"""What features are made with where nothing else is said; the command line shows these, and loads nothing for it."""

from __future__ import annotations

DIMENSIONS = 4096
"""Largest width of a text feature. It is at most the number of training texts, so that a few thousand of them lose
nothing. With fewer dimensions everything is faster, and the rare words that tell emotions apart are lost first."""

LONGEST = 3
"""Longest sequence of characters of a text feature, in scripts without spaces."""
