"""What a baseline needs of a track and of its corpora, and the errors that say what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from merbench.corpus import Corpus, ExtractionRecord
from merbench.corpus.candidates import Candidates, candidate_column
from merbench.errors import UnknownName, UsageError, listed, plural
from merbench.targets import names_of_other_types
from merbench.track import Track
from merbench.training.data import TEST
from merbench.training.declaration import BaselineDeclaration, LoadedBaseline, list_baselines
from merbench.training.reading import POSITION, dialogue_column

RATE = "frame_rate_hz"
"""Which of the options of an extractor in `extracts` is how many pictures a second it reads."""


def require_features(train: Corpus, test: Corpus, names: Sequence[str]) -> None:
    """Raise `UnknownName` or `UsageError` unless both corpora have the features, made in the same way."""
    for name in names:
        for corpus in (train, test):
            if name not in corpus.features:
                raise UnknownName(f"feature of corpus {corpus.name}", name, corpus.features)
        if train.folder == test.folder:
            continue
        widths = [corpus.feature_shape(name)[1] for corpus in (train, test)]
        records = [corpus.declaration.extracted.get(name) for corpus in (train, test)]
        made = [record and _how_made(record) for record in records]
        if widths[0] != widths[1]:
            raise UsageError(
                f"feature '{name}' has {widths[0]:,} numbers in corpus '{train.name}' and {widths[1]:,} in corpus "
                f"'{test.name}'; what is learned from the one does not apply to the other"
            )
        if None not in made and made[0] != made[1]:
            raise UsageError(
                f"feature '{name}' was extracted otherwise in corpus '{train.name}' than in corpus '{test.name}'; "
                "`merbench extract` computes the same for both"
            )
        if record := next((each for each in records if each is not None and _is_fitted(each.extractor)), None):
            raise UsageError(
                f"feature '{name}' was extracted by {record.extractor}, which learns from a corpus: its numbers mean "
                f"different things in '{train.name}' and '{test.name}'; name others with --feature"
            )


def _how_made(record: ExtractionRecord) -> tuple[Any, ...]:
    """Return what must be equal for numbers of two corpora to mean the same; texts may be of different columns."""
    options = {name: value for name, value in record.options.items() if name != "columns"}
    return record.extractor, record.version, options, record.weights


def _is_fitted(extractor: str) -> bool:
    """Return whether an extractor learns from the corpus whose samples it computes vectors of."""
    from merbench.features.shipped import EXTRACTORS  # for two corpora only: it imports every extractor

    return extractor in EXTRACTORS and EXTRACTORS[extractor].input == "corpus"


def require_samples(loaded: LoadedBaseline, train: Candidates, test: Candidates) -> None:
    """Raise `UsageError` where a corpus or the track lacks what the baseline reads of samples, besides features."""
    declared, track = loaded.declaration, test.track
    for candidates in (train, test):
        in_order = (dialogue_column(candidates), POSITION) if declared.samples == "dialogues" else ()
        for column in (*declared.columns, *in_order):
            candidate_column(candidates, column, f"that baseline '{loaded.name}' reads")
    if declared.uses_unlabelled and not track.training.unlabelled and track.training.labelled == 1:
        raise UsageError(
            f"baseline '{loaded.name}' learns from unlabelled samples, and {track.id} declares none; [training] names "
            f'splits of the track that have them, unlabelled = ["{TEST}"], or which share keeps its labels, '
            "labelled = 0.1 (--labelled)"
        )


class OtherTargets(UsageError):
    """A baseline does not answer some targets of a track, which are `others`, each with its type."""

    def __init__(self, message: str, others: str) -> None:
        self.others = others
        super().__init__(message)


def require_answers(loaded: LoadedBaseline, track: Track) -> None:
    """Raise `OtherTargets` when a baseline does not answer every target of a track, or lacks one that it needs."""
    declared = loaded.declaration
    others = names_of_other_types(track.targets, declared.answers)
    if not others and _has_needed(declared, track):
        return
    able = [name for name, known in list_baselines() if _answers(known, track)]
    what = f"answers targets of type {listed(declared.answers)}"
    if not others:
        what = f"needs a target of type {' or '.join(declared.needs_target)}"
        others = names_of_other_types(track.targets, ())
    raise OtherTargets(
        f"baseline '{loaded.name}' {what}; {track.id} declares {listed(others)}; baselines for it: "
        f"{listed(able) or 'none'}",
        listed(others),
    )


def _answers(declared: BaselineDeclaration, track: Track) -> bool:
    return _has_needed(declared, track) and not names_of_other_types(track.targets, declared.answers)


def _has_needed(declared: BaselineDeclaration, track: Track) -> bool:
    return not declared.needs_target or any(target.type in declared.needs_target for target in track.targets.values())


def wanted_features(
    loaded: LoadedBaseline, test: Candidates, asked: Sequence[str] | None, train: Candidates | None = None
) -> list[str]:
    """Return the features to learn from: those asked for, else those declared for the track, else all.

    Where another corpus is learned from, all are those that both have. Of a feature that is declared, a baseline of
    sequences takes these.
    """
    if not loaded.declaration.uses_features:
        return []
    if loaded.declaration.extracts:
        corpora = [test.corpus, test.corpus if train is None else train.corpus]
        found = [extracted_features(loaded, corpus) for corpus in corpora]
        return list(dict.fromkeys(asked or [name for name in found[0] if name in found[1]]))
    settings = loaded.declaration.tracks.get(test.track.id)
    declared = settings.features if settings else None
    corpora = [test.corpus, test.corpus if train is None else train.corpus]
    sequences = loaded.declaration.samples == "sequences"
    available = [corpus.default_sequences if sequences else corpus.default_features for corpus in corpora]
    both = [name for name in available[0] if name in available[1]]
    if declared and sequences:
        own = [tuple(map(corpus.sequence, declared)) for corpus in corpora]
        declared = own[0] if own[0] == own[1] else declared
    return list(dict.fromkeys(asked or declared or both))


def require_number_of_features(loaded: LoadedBaseline, track: Track, names: Sequence[str]) -> None:
    """Raise `UsageError` where a baseline cannot be made of so few or so many features of a track."""
    fewest, most, n = loaded.declaration.fewest_features, loaded.declaration.most_features, len(names)
    if fewest <= n and (most is None or n <= most):
        return
    others = [
        name
        for name, other in list_baselines()
        if other.uses_features and other.fewest_features <= n <= (other.most_features or n)
        if _answers(other, track)
    ]
    several = f"{fewest} or more features" if most is None else f"{fewest} to {most} features"
    allowed = plural(fewest, "feature") if fewest == most else several
    raise UsageError(
        f"baseline '{loaded.name}' combines {allowed}, not {n}: {listed(list(names))}; name others with "
        f"--feature, or take another baseline: {listed(others)}"
    )


def extracted_features(loaded: LoadedBaseline, corpus: Corpus) -> tuple[str, ...]:
    """Return the features of a corpus that a baseline of some extractors reads, in the order of these."""
    names = [corpus.extracted_by([extractor], "frame") for extractor in loaded.declaration.extracts]
    return tuple(name for each in names for name in each)


def not_extracted(loaded: LoadedBaseline, corpus: Corpus) -> UsageError:
    """Return the error that a corpus lacks what a baseline of some extractors reads."""
    extracts = loaded.declaration.extracts
    given = [f"--with {name}" for name in extracts]
    for name, options in extracts.items():
        given += [
            f"--frame-rate {name}={value:g}" if option == RATE else f"--option {name}.{option}={value}"
            for option, value in options.items()
        ]
    return UsageError(
        f"corpus '{corpus.name}' has no rows of {listed(list(extracts))}, and baseline '{loaded.name}' learns from "
        f"them; `merbench extract {corpus.name} {' '.join(given)} --media DIR` computes some from the clips"
    )


def no_features(loaded: LoadedBaseline, test: Candidates, train: Candidates | None = None) -> UsageError:
    """Return the error that there is nothing to learn from."""
    if loaded.declaration.extracts:
        lacking = next(each for each in (test, train or test) if not extracted_features(loaded, each.corpus))
        return not_extracted(loaded, lacking.corpus)
    corpora = list(dict.fromkeys([test.corpus.name, (train or test).corpus.name]))
    if len(corpora) > 1 and all(candidates.corpus.features for candidates in (test, train or test)):
        return UsageError(
            f"corpora {' and '.join(map(repr, corpora))} have no feature of the same name, and baseline "
            f"'{loaded.name}' learns from them; `merbench extract` computes the same for both"
        )
    lacking = next(each for each in (test, train or test) if not each.corpus.features)
    has_texts = "transcript" in lacking.samples.column_names
    remedy = "--with tfidf-svd` computes some from the transcripts"
    if not has_texts:
        remedy = "--with voice --media DIR` computes some from the clips"
    return UsageError(
        f"corpus '{lacking.corpus.name}' has no features, and baseline '{loaded.name}' learns from them; "
        f"`merbench extract {lacking.corpus.name} {remedy}"
    )
