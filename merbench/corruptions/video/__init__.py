"""Corruptions of pictures."""

from merbench.corruptions.declaration import CORRUPTIONS, Corruption, Parameter

CORRUPTIONS.add(
    "pyramid_blur",
    Corruption(
        "pyramid_blur",
        "video",
        "every frame is halved log2(factor) times by a 5 × 5 binomial pyramid and enlarged as often",
        {"factor": Parameter("integer", low=1, high=16, choices=(1, 2, 4, 8, 16))},
    ),
)
