"""An experiment goes in, what its values rest on comes out: signature, digests, versions, notes."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow.compute as pc

from merbench.errors import listed
from merbench.media.versions import media_versions
from merbench.robustness.experiment import Experiment


def signature(experiment: Experiment, scored: str) -> str:
    """Return what must be equal for two reports to be comparable: that of the score, and what else values rest on.

    Args:
        experiment: what was done.
        scored: the signature of the undamaged score.
    """
    system, source = experiment.systems[0], experiment.source
    libraries = ",".join(f"{name}={text}" for name, text in versions(experiment).items() if name != "merbench")
    parts = [
        *(f"curve:{curve.signature}" for curve in experiment.curves),
        *(f"clips:{split}#{clips.digest[:8]}" for split, clips in sorted(source.clips.items())),
        *(f"bank:{name}#{bank.digest[:8]}" for name, bank in experiment.banks.items()),
        f"baseline:{system.loaded.name}",
        f"features:{'+'.join(system.names) or 'none'}",
        *([f"made:{'+'.join(sorted(source.made))}"] if source.made else []),
        *([f"versions:{libraries}"] if libraries else []),
        f"weights:{experiment.weights}",
        *([f"feature_scale:{experiment.feature_scale}"] if experiment.of_features else []),
        f"leave_out:{experiment.samples.leave_out or 'none'}",
        f"damage_seed:{source.seed}",
        f"training_seed:{system.setup.seed}",
        *(f"relative_to:{other.loaded.name}" for other in experiment.systems[1:]),
    ]
    return "|".join([scored, *parts])


def digests(experiment: Experiment) -> dict[str, str]:
    """Return the SHA-256 of track, features, clips, noise banks and, unless they are hidden, corpus and references."""
    test, source = experiment.samples.test, experiment.source
    features = test.corpus.declaration.content.features
    return {
        "track": test.track.fingerprint,
        **({} if test.hidden else {"corpus": test.corpus.digest, "references": test.references.digest}),
        **{f"feature {name}": features[name] for name in source.names if name not in source.made},
        **{f"clips of {split}": clips.digest for split, clips in source.clips.items()},
        **{f"bank {name}": bank.digest for name, bank in experiment.banks.items()},
    }


def versions(experiment: Experiment) -> dict[str, str]:
    """Return what the bits of vectors of clips rest on, where there are some: versions of libraries, the machine."""
    return media_versions() if experiment.source.clips else {}


def notes(experiment: Experiment) -> Iterator[str]:
    """Yield what a reader must know of the samples, whatever they score."""
    test = experiment.samples.test
    held = test.corpus.samples()
    held = held.filter(pc.is_in(held["sample_id"], value_set=test.ids))
    stored = [name for name in held.column_names if held[name].null_count < len(held)]
    steps = dict.fromkeys(spec.step_name for spec in test.track.corruptions)
    before = [step for step in steps if any(name.startswith(f"{step}.") for name in stored)]
    of_corpus = [name for name in experiment.source.names if name not in experiment.source.made]
    if before and of_corpus:
        yield (
            f"the corpus holds features of split '{test.split}' that {listed(before)} damaged already: "
            "what is called undamaged is as it is stored, and the grid's damage comes on top"
        )
    if test.hidden:
        yield "a hidden split: only a part of the candidates is scored; values are rounded and have no intervals"
