"""A baseline goes in, one comes out that blames its own code for exceptions and whose answers are checked.

Conventions:
    What merbench raises on purpose passes as it is. Every other exception becomes a `UsageError` with the innermost
    line of the baseline's own files, caused by that exception: `MERBENCH_TRACEBACK=1` shows all of it.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merbench.errors import TRACEBACK, MerbenchError, MissingExtra, UsageError, exception_text
from merbench.track import Track
from merbench.training.checking import checked_cross_fit, checked_predictions
from merbench.training.data import FeatureSet, Predictions, TrainingSet
from merbench.training.extras import extra_of
from merbench.training.protocol import Baseline, CrossFit, FoldEnsemble


@dataclass(frozen=True, slots=True)
class OwnCode:
    """The code of a baseline.

    Attributes:
        name: the baseline's name.
        folder: where its files stand.
        extra: the extra that it declares.
    """

    name: str
    folder: Path
    extra: str | None

    @property
    def model(self) -> Path:
        """The file that every baseline has."""
        return self.folder / "model.py"

    @contextmanager
    def blamed(self, doing: str) -> Iterator[None]:
        """Turn an exception of the baseline's code into one message; `doing` says when: `"failed in fit"`.

        Raises:
            MissingExtra: it imports a package that is not installed and that an extra brings.
            UsageError: it raised any other exception.
        """
        try:
            yield
        except (MerbenchError, BrokenPipeError):
            raise
        except ModuleNotFoundError as error:
            raise self._missing(error, doing) from error
        except Exception as error:
            raise self._failed(error, doing) from error

    def _failed(self, error: Exception, doing: str) -> UsageError:
        text = f"{self._place(error)}: baseline '{self.name}' {doing}: {exception_text(error)}"
        return UsageError(f"{text}; {TRACEBACK}=1 shows the traceback")

    def _missing(self, error: ModuleNotFoundError, doing: str) -> UsageError:
        if error.name is None or error.name.split(".")[0] == "merbench":
            return self._failed(error, doing)
        module = error.name.split(".")[0]
        extra = extra_of(module, self.extra)
        if extra is not None:
            return MissingExtra(f"baseline '{self.name}' ({error.name})", extra)
        remedy = "no extra of merbench brings it"
        if (self.folder / f"{module}.py").is_file():
            remedy = f"{module}.py beside it is not seen: a baseline's code is model.py alone, or an installed package"
        return UsageError(
            f"{self._place(error)}: baseline '{self.name}' imports '{error.name}', which is not installed; {remedy}"
        )

    def _place(self, error: Exception) -> str:
        """Return the file, and the innermost line of it, that an exception came from: `"own/model.py, line 12"`."""
        places = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
        if isinstance(error, SyntaxError) and error.filename is not None:
            places.append((error.filename, error.lineno))
        root = self.folder.resolve()
        own = [(Path(name).resolve(), line) for name, line in places if Path(name).resolve().is_relative_to(root)]
        if not own:
            return str(self.model)
        path, line = own[-1]
        return f"{self.folder / path.relative_to(root)}, line {line}"


def guarded(code: OwnCode, built: Any) -> Baseline:
    """Return what `build` returned, guarded; raise `UsageError` where it is no baseline."""
    missing = [name for name in ("fit", "predict") if not callable(getattr(built, name, None))]
    if missing:
        kind = type(built).__name__
        raise UsageError(
            f"{code.model}: build returned a value of type '{kind}' without {' and '.join(missing)}; "
            "a baseline has fit(train) and predict(test)"
        )
    return _GuardedFolds(code, built) if isinstance(built, FoldEnsemble) else _Guarded(code, built)


class _Guarded:
    def __init__(self, code: OwnCode, built: Any) -> None:
        self.code, self.built = code, built
        self.track: Track | None = None

    def fit(self, train: TrainingSet) -> None:
        self.track = train.track
        with self.code.blamed("failed in fit"):
            self.built.fit(train)

    def predict(self, test: FeatureSet) -> Predictions:
        if self.track is None:
            raise UsageError(f"baseline '{self.code.name}' was not fitted: fit comes before predict")
        with self.code.blamed("failed in predict"):
            said = self.built.predict(test)
        return checked_predictions(f"baseline '{self.code.name}', predict", said, self.track, test.ids)


class _GuardedFolds(_Guarded):
    def fit_folds(self, train: TrainingSet) -> CrossFit:
        self.track = train.track
        with self.code.blamed("failed in fit_folds"):
            said = self.built.fit_folds(train)
        return checked_cross_fit(f"baseline '{self.code.name}', fit_folds", said, train.track, train.samples.ids)
