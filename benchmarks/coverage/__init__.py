"""Coverage of intervals and false positives of p values on populations with known true scores: the tables of
`docs/uncertainty.md`.

Inputs: test sets sampled from populations whose true scores are arithmetic: `populations.py` has small ones, each
hard for some metric, and `speakers.py` has one with speakers, classes and valences. Weights, metrics, intervals,
warnings and p values are merbench's own, with fresh samples and fresh weights for every simulation. No peers.

A run without options is quick and only prints; `--full` takes enough simulations for the page, and rewrites its tables.
"""
