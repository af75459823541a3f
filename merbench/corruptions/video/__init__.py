"""Corruptions of pictures: frames go in one by one, and as many come out, each at once.

Conventions:
    A function takes an iterator of `merbench.corruptions.signals.Frame` and returns one: a frame out for each frame
    in, before the next is taken. Frames that go in are edited in place. The size of a frame, the number of frames and
    their times never change (`pyramid_blur` with `variant = "mer2023"` alone makes frames larger).
    Planes may have any number of rows and columns, any subsampling, and rows that lie apart in memory.
    Where damage is the same on the stored planes as on an RGB picture, it is done there. Damage that is defined on RGB
    is done on an RGB picture made for it, and its change is brought back, so that what it leaves keeps its bits.
    What lies above, below, left and right, and angles, are meant in the picture as a player shows it.
    Sizes in pixels are pixels of the frame, unless `severity` gave them: its tables are those of ImageNet-C, whose
    pictures have 224 rows, and its sizes are multiplied by height / 224.
    Bits rest on OpenCV and are promised for its version and a family of CPUs only.
"""

from merbench.corruptions.video import blur, colour, noise, occlusion, planes, quality, rgb, timing

__all__ = ["blur", "colour", "noise", "occlusion", "planes", "quality", "rgb", "timing"]
