"""How good speech sounds in clips and in their corrupted versions, by the extractor `speech-quality`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Unpack

import numpy as np

from merbench.engine import Execution, ShowProgress, run
from merbench.errors import Inapplicable, UnreadableMedia
from merbench.features.extractor import Floats
from merbench.features.outputs import Recipe, kept, kept_for_a_run
from merbench.features.sound import one_channel
from merbench.media.reading import read_audio


def _recipe() -> Recipe:
    return kept(Recipe("speech-quality", "speech-quality"))


def rating_names() -> tuple[str, ...]:
    """Return what is rated, in the order of `speech_quality`; raise as `Recipe.constructed` where nothing can be."""
    recipe = _recipe()
    _ = recipe.constructed
    return tuple(recipe.extractor.columns)


def speech_quality(
    clips: Mapping[str, tuple[Path, Path]], progress: ShowProgress, **execution: Unpack[Execution]
) -> tuple[Floats, dict[str, str]]:
    """Return mean opinions of listeners, 1 to 5, by DNSMOS.

    Args:
        clips: sample -> its clip and the corrupted one.
        progress: called with a text and (done, total) clips.
        **execution: on which workers, and which engine.

    Returns:
        The ratings of clip and corrupted clip, `(n, 2, 4)`, for the samples that have them, and why others have none.
    """
    ratings: list[Floats] = []
    problems: dict[str, str] = {}
    with closing(run(_rated, clips.items(), **execution)) as results, kept_for_a_run():
        for number, done in enumerate(results, 1):
            if done.value is not None:
                ratings.append(done.value)
            else:
                error = done.error
                reason = error.reason if isinstance(error, UnreadableMedia) else done.problem(Inapplicable)
                problems[done.name] = f"not rated: {reason}"
            progress("rating", number, len(clips))
    return np.stack(ratings) if ratings else np.zeros((0, 2, 4), np.float32), dict(sorted(problems.items()))


def _rated(clips: tuple[Path, Path]) -> Floats:
    recipe = _recipe()
    rate = recipe.extractor.sample_rate_hz
    return np.stack([recipe.of_sound(one_channel(read_audio(path), rate)).vector for path in clips])
