"""The signature of scores: everything that must be equal for two values to be in one table."""

from __future__ import annotations

from functools import lru_cache

from merbench.corpus.candidates import Candidates
from merbench.lexicon import open_lexicon
from merbench.scoring.aligned import groups_of
from merbench.scoring.uncertainty import Resampling
from merbench.track import Track


def signature(candidates: Candidates, how: Resampling | None) -> str:
    """Return the signature of a split's scores: parts joined by `|`; `how` is None for scores without intervals."""
    track, corpus = candidates.track, candidates.corpus
    made = "ci:none"
    if how is not None:
        methods = list(how.methods.values())
        # One for all, or one for each metric, in the order in which they are named.
        by = methods[0] if len(set(methods)) == 1 else "+".join(methods)
        made = f"ci:{by},{how.level:.15g}|bs:{how.n_resamples}|cluster:{how.cluster or 'none'}"
        made += f"|bootstrap_seed:{how.seed}"
    return "|".join(
        [
            f"{track.key}#{track.fingerprint[:8]}",
            f"corpus:{corpus.name}#{corpus.digest[:8]}",
            *_readings(track),
            *(f"groups:{groups.name}:{groups.signature}" for groups in groups_of(track).values()),
            f"split:{candidates.split}",
            f"n:{len(candidates.references)}",
            "+".join(spec.key for spec in track.metrics),
            made,
            f"merbench:{minor_version()}",
        ]
    )


def _readings(track: Track) -> list[str]:
    """Return the lexicons of a track's targets with their digests, and the extractors of words from descriptions."""
    names = dict.fromkeys(target.lexicon_name for target in track.targets.values())
    extractors = dict.fromkeys(target.extractor_name for target in track.targets.values())
    lexicons = [f"lexicon:{name}#{open_lexicon(name).digest[:8]}" for name in names if name is not None]
    return [*lexicons, *(f"extractor:{name}" for name in extractors if name is not None)]


@lru_cache
def minor_version() -> str:
    """Return the first two numbers of merbench's version."""
    from importlib.metadata import version

    return ".".join(version("merbench").split(".")[:2])
