"""merbench: benchmarks and challenges for multimodal emotion recognition.

    import merbench

    report = merbench.score("mer-multi", "submission.csv")
    report["weighted_f1"].value

The names below are the public API; each is loaded when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from merbench.builders import BUILDERS, Builder

if TYPE_CHECKING:
    from merbench.corpus import open_corpus
    from merbench.corpus.candidates import open_candidates
    from merbench.errors import InvalidSubmission, MerbenchError
    from merbench.leaderboard.build import build_board
    from merbench.metrics import METRICS, metric
    from merbench.report import Comparison, ScoreReport
    from merbench.scoring import compare, score
    from merbench.submission import read_submission
    from merbench.track import list_tracks, load_track
    from merbench.training import run_baseline

__all__ = [
    "METRICS",
    "Comparison",
    "InvalidSubmission",
    "MerbenchError",
    "ScoreReport",
    "build_board",
    "compare",
    "list_tracks",
    "load_track",
    "metric",
    "open_candidates",
    "open_corpus",
    "read_submission",
    "run_baseline",
    "score",
]

_MODULES = {
    "METRICS": "metrics",
    "Comparison": "report",
    "InvalidSubmission": "errors",
    "MerbenchError": "errors",
    "ScoreReport": "report",
    "build_board": "leaderboard.build",
    "compare": "scoring",
    "list_tracks": "track",
    "load_track": "track",
    "metric": "metrics",
    "open_candidates": "corpus.candidates",
    "open_corpus": "corpus",
    "read_submission": "submission",
    "run_baseline": "training",
    "score": "scoring",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its module."""
    if name == "__version__":
        from importlib.metadata import version

        return version("merbench")
    if name not in _MODULES:
        raise AttributeError(f"module 'merbench' has no attribute '{name}'")
    return getattr(import_module(f"merbench.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


def _sample() -> Builder:
    from merbench.sample import CAPTION, VERSION, build_sample, captions

    return Builder(VERSION, build_sample, {CAPTION: captions})


def _synthetic() -> Builder:
    from merbench.banks.synthetic import VERSION, build_synthetic

    return Builder(VERSION, build_synthetic)


BUILDERS["corpora"]["sample"] = _sample
BUILDERS["banks"]["synthetic"] = _synthetic
