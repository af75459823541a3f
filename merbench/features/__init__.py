"""Features that merbench extracts from the texts and clips of a corpus: `text`, `media`, `sound`, `pictures`.

Nothing is imported here: the command line shows these defaults without loading NumPy.
"""

DIMENSIONS = 4096
"""Largest width of a text feature. It is at most the number of training texts, so that a few thousand of them lose
nothing. With fewer dimensions everything is faster, but rare words, which distinguish emotions, are lost first."""

LONGEST = 3
"""Longest n-gram of characters of a text feature, in scripts without spaces."""
