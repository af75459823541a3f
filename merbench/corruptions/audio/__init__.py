"""Corruptions of sound: noise, events, filters, levels, transmission.

Conventions:
    A function takes an `Audio`, `(channels, n)` float32 at any rate, and returns one of the same shape and rate. It
    never writes into its input. A parameter declared by the name of a noise bank is the `Audio` taken from the bank.
"""

from merbench.corruptions.audio import events, filters, levels, noise, transmission

__all__ = ["events", "filters", "levels", "noise", "transmission"]
