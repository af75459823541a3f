"""Corruptions of sound."""

from merbench.corruptions.declaration import CORRUPTIONS, Corruption, Parameter

CORRUPTIONS.add(
    "background_noise",
    Corruption(
        "background_noise",
        "audio",
        "a random crop of a noise bank is added at a signal-to-noise ratio over the whole clip",
        {
            "noise": Parameter("string"),
            "snr_db": Parameter("number", low=-20, high=60, unit="dB"),
        },
    ),
)
