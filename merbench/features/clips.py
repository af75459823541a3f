"""The clips and texts of samples, measured by several extractors at once: each clip is decoded once.

Conventions:
    Sound is mixed to one channel, the mean of all, and converted once to each rate that an extractor declares. Pictures
    are decoded one after the other, and none is kept. Faces are looked for once at each rate of pictures, and stored.
    An extractor that fails does not disturb the others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from typing import Any, Protocol

from merbench.corruptions.signals import Audio, Video
from merbench.engine import Done
from merbench.errors import Inapplicable, UnreadableMedia
from merbench.features.extractor import EXTRACTORS, Picture
from merbench.features.faces import FaceDetector, FaceReader, StoredFaces, faces_key, find_faces, forget_faces
from merbench.features.outputs import AtRate, Recipe, Result
from merbench.features.sound import one_channel
from merbench.features.weights import weights_folder
from merbench.files.reading import sha256_file
from merbench.media.reading import read_audio, read_video


class Measured:
    """What the extractors returned for the samples of a unit of work."""

    def __init__(self, sample_ids: Iterable[str]) -> None:
        self.results: dict[str, dict[str, Result]] = {sample_id: {} for sample_id in sample_ids}  # then by feature
        self.problems: dict[str, dict[str, str]] = {sample_id: {} for sample_id in self.results}  # likewise

    def take(self, sample_id: str, recipe: Recipe, result: Callable[[], Result]) -> None:
        """Note a result, or why there is none."""
        try:
            self.results[sample_id][recipe.name] = result()
        except Exception as error:
            self.problems[sample_id][recipe.name] = problem_of(error)

    def fail(self, sample_id: str, recipes: Sequence[Recipe], error: Exception) -> None:
        """Note why a sample has no result of several extractors."""
        reason = problem_of(error)
        for recipe in recipes:
            self.results[sample_id].pop(recipe.name, None)
            self.problems[sample_id][recipe.name] = reason

    def take_all(
        self, recipe: Recipe, items: Mapping[str, Any], together: Callable[[Sequence[Any]], Sequence[Result]]
    ) -> None:
        """Note the results of several samples; where they fail together, those of one after the other."""
        if len(items) > 1:
            try:
                results = together(list(items.values()))
            except Exception as error:
                problem_of(error)
            else:
                for sample_id, result in zip(items, results, strict=True):
                    self.results[sample_id][recipe.name] = result
                return
        for sample_id, item in items.items():
            self.take(sample_id, recipe, partial(_first, together, item))


def _first(together: Callable[[Sequence[Any]], Sequence[Result]], item: Any) -> Result:
    return together([item])[0]


def measure_clips(
    clips: Mapping[str, Path], recipes: Sequence[Recipe], digests: Mapping[str, str] | None = None
) -> Measured:
    """Return what extractors return for some clips, each decoded once.

    Args:
        clips: sample -> its clip.
        recipes: of extractors that read sound, pictures or faces.
        digests: sample -> SHA-256 of its clip, by which its faces are stored; None: the files are read.
    """
    measured = Measured(clips)
    of_sound = [recipe for recipe in recipes if recipe.extractor.input == "sound"]
    of_video = [recipe for recipe in recipes if recipe.extractor.input in ("pictures", "faces")]
    together: dict[str, dict[str, Audio]] = {recipe.name: {} for recipe in of_sound if recipe.n_together > 1}
    for sample_id, path in clips.items():
        try:
            if of_sound:
                measure_sound(measured, sample_id, of_sound, read_audio(path), together)
        except Exception as error:
            measured.fail(sample_id, of_sound, error)
        try:
            if of_video:
                digest = digests.get(sample_id) if digests else None
                measure_video(measured, sample_id, of_video, read_video(path), digest or sha256_file(path))
        except Exception as error:
            measured.fail(sample_id, of_video, error)
    for recipe in of_sound:
        if recipe.name in together:
            measured.take_all(recipe, together[recipe.name], recipe.of_sounds)
    return measured


def measure_sound(
    measured: Measured,
    sample_id: str,
    recipes: Sequence[Recipe],
    sound: Audio,
    together: Mapping[str, dict[str, Audio]] | None = None,
) -> None:
    """Note the results for the sound of a clip.

    Args:
        measured: where they are noted.
        sample_id: whose clip it is.
        recipes: of extractors that read sound.
        sound: any number of channels and samples, at any rate.
        together: feature -> sample -> the sounds that are measured together later.
    """
    sounds = {rate: one_channel(sound, rate) for rate in {recipe.extractor.sample_rate_hz for recipe in recipes}}
    for recipe in recipes:
        own = sounds[recipe.extractor.sample_rate_hz]
        if together is not None and recipe.name in together:
            together[recipe.name][sample_id] = own
        else:
            measured.take(sample_id, recipe, partial(recipe.of_sound, own))


def measure_video(
    measured: Measured, sample_id: str, recipes: Sequence[Recipe], video: Video, digest: str, *, keep: bool = True
) -> None:
    """Note the results for the pictures of a clip, and for the faces that they show.

    Args:
        measured: where they are noted.
        sample_id: whose clip it is.
        recipes: of extractors that read pictures or faces.
        video: its frames are consumed, unless only faces are read and these are stored.
        digest: of what the pictures depend on; the faces are stored by it.
        keep: whether the faces stay stored.

    Raises:
        UnreadableMedia: a picture cannot be decoded.
    """
    by_rate: dict[float | None, list[Recipe]] = defaultdict(list)
    for recipe in recipes:
        if recipe.extractor.input == "faces":
            by_rate[recipe.picture_rate_hz].append(recipe)
    of_pictures = [recipe for recipe in recipes if recipe.extractor.input == "pictures"]
    with ExitStack() as stack:
        searches = {rate: FaceSearch(digest, rate, stack) for rate in by_rate}
        readers = {recipe.name: recipe.reader() for recipe in of_pictures}
        looking = {rate: search for rate, search in searches.items() if search.needs_pictures}
        takers: dict[Any, Taker] = {**readers, **looking}
        problems: dict[Any, str] = {}
        if takers:
            feed(takers, map(Picture, video.frames), problems)
        _take(measured, sample_id, of_pictures, readers, problems)
        for rate, search in searches.items():
            _measure_faces(measured, sample_id, by_rate[rate], search, problems.get(rate, ""))
            if not keep:
                search.forget()


def _measure_faces(
    measured: Measured, sample_id: str, recipes: Sequence[Recipe], search: FaceSearch, problem: str
) -> None:
    readers = {recipe.name: recipe.reader() for recipe in recipes}
    problems: dict[Any, str] = dict.fromkeys(readers, problem) if problem else {}
    try:
        if not problem:
            feed(readers, search.faces(), problems)
    except Exception as error:
        measured.fail(sample_id, recipes, error)
    else:
        _take(measured, sample_id, recipes, readers, problems)


def _take(
    measured: Measured,
    sample_id: str,
    recipes: Sequence[Recipe],
    readers: Mapping[str, AtRate],
    problems: Mapping[Any, str],
) -> None:
    """Note the results of readers, or their problems."""
    for recipe in recipes:
        if recipe.name in problems:
            measured.problems[sample_id][recipe.name] = problems[recipe.name]
        else:
            measured.take(sample_id, recipe, partial(recipe.of_reader, readers[recipe.name]))


class Taker(Protocol):
    """What takes pictures, or faces, one after the other."""

    def add(self, item: Any, /) -> None:
        """Take the next one."""


def feed(takers: Mapping[Any, Taker], items: Iterable[Any], problems: dict[Any, str]) -> None:
    """Give the pictures, or faces, of a clip to all takers; one that fails gets no more, and its reason is noted."""
    for item in items:
        for name, taker in takers.items():
            if name not in problems:
                try:
                    taker.add(item)
                except Exception as error:
                    problems[name] = problem_of(error)


class FaceSearch:
    """The faces of a clip at one rate of pictures: those that are stored, else what looks for them in the pictures."""

    def __init__(self, digest: str, rate_hz: float | None, stack: ExitStack) -> None:
        self._stored: StoredFaces | None = None
        self._absent: Inapplicable | None = None
        self._key = faces_key(digest, rate_hz)
        try:
            self._stored = find_faces(self._key)
        except Inapplicable as absent:
            self._absent = absent
        self.needs_pictures = self._stored is None and self._absent is None
        if self.needs_pictures:
            self._reader: FaceReader = stack.enter_context(_face_detector().start())
            self._taker = AtRate(self._reader, rate_hz)

    def add(self, picture: Picture, /) -> None:
        """Take the next picture."""
        self._taker.add(picture)

    def faces(self) -> StoredFaces:
        """Return the faces, after the last picture.

        Raises:
            Inapplicable: the clip shows none.
            OutputError: no space is left where they are stored.
        """
        if self._absent is not None:
            raise self._absent
        self._stored = self._stored or self._reader.store(self._key)
        return self._stored

    def forget(self) -> None:
        """Remove what is stored of the faces."""
        forget_faces(self._key)


@cache
def _face_detector() -> FaceDetector:
    return FaceDetector(weights_folder(EXTRACTORS["face-boxes"]))


def measure_texts(texts: Mapping[str, Sequence[str]], recipes: Sequence[Recipe]) -> Measured:
    """Return what extractors return for some samples' texts; see `Recipe.result` for several columns.

    Args:
        texts: sample -> its text in every column.
        recipes: of extractors that read texts.
    """
    measured = Measured(texts)
    for recipe in recipes:
        measured.take_all(recipe, texts, recipe.of_columns)
    return measured


def problem_of(error: Exception) -> str:
    """Return why one sample has no output; raise an error that every sample would meet."""
    return Done("", error=error).problem(UnreadableMedia, Inapplicable)
