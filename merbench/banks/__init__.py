"""Noise banks: sounds to add to others, imported from a folder, from MUSAN, or made by merbench; and draws from them.

Nothing is imported here: a worker process that draws from a bank needs `bank` alone, and neither tables nor importers.
"""
