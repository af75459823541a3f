"""Corruptions of pictures: frames go in one by one, and as many come out, each at once.

Conventions:
    A function takes an iterator of `merbench.corruptions.signals.Frame` and returns one: a frame out for each frame
    in, before the next is taken. Frames that go in are edited in place. The size of a frame, the number of frames and
    their times never change (only `pyramid_blur` with `variant = "mer2023"` makes frames larger).
    Planes may have any number of rows and columns, any subsampling, and rows that are not adjacent in memory.
    A corruption that is the same on the stored planes as on an RGB picture works on the planes. One that is defined on
    RGB works on an RGB picture, and only its change is applied to the planes, so that what does not change keeps its
    bits. Above, below, left, right and angles are those of the picture as a player shows it.
    Sizes in pixels are pixels of the frame, unless `severity` set them: its tables are those of ImageNet-C, whose
    pictures have 224 rows, and its sizes are multiplied by height / 224.
    Bits depend on OpenCV and are guaranteed only for its version and a family of CPUs.
"""

from merbench.corruptions.video import blur, colour, noise, occlusion, pictures, transmission

__all__ = ["blur", "colour", "noise", "occlusion", "pictures", "transmission"]
