"""Noise banks: sounds for additive noise and reverberation, imported or made by merbench, and random crops of them.

Nothing is imported here: a worker process that samples from a bank needs only `bank`, neither tables nor importers.
"""
