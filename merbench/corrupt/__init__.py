"""A track's corruptions applied to media, features and texts, with a manifest from which the same is made again.

Nothing is imported here: a worker process that corrupts clips needs only `clips`, neither tables nor corpora.
"""
