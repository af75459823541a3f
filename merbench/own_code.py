"""The code in a folder that a user names, a baseline's or an extractor's: loaded, and blamed for its exceptions.

Errors that merbench raises on purpose pass unchanged. Every other exception becomes one message with the innermost line
of the folder's own files, caused by that exception: `MERBENCH_TRACEBACK=1` shows the traceback.
"""

from __future__ import annotations

import importlib.util
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path
from types import ModuleType

from merbench.errors import TRACEBACK, MerbenchError, MissingExtra, UsageError, exception_text

MODULES = {"scikit-learn": ("sklearn", "scipy", "joblib"), "opencv-python-headless": ("cv2",)}
"""Modules of the distributions whose module has another name, or that bring more than one."""

FOR_DEVELOPERS, EVERYTHING = "dev", "all"

_REQUIREMENT = re.compile(r"""(?P<name>[\w.-]+).*;.*\bextra\s*==\s*["'](?P<extra>[\w.-]+)["']""")


def installed_version(package: str) -> str:
    """Return the version of a package; empty if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def packages_of(extra: str) -> tuple[str, ...]:
    """Return the packages that an extra of merbench names; none of a checkout that is not installed."""
    try:
        matches = filter(None, map(_REQUIREMENT.match, requires("merbench") or []))
    except PackageNotFoundError:
        return ()
    return tuple(match["name"] for match in matches if match["extra"] == extra)


@cache
def modules_by_extra() -> dict[str, frozenset[str]]:
    """Return the modules that each extra of merbench brings, from its metadata, without the developers' extra."""
    names = [name for name in metadata("merbench").get_all("Provides-Extra") or [] if name != FOR_DEVELOPERS]
    return {
        name: frozenset(module for package in packages_of(name) for module in MODULES.get(package, (package,)))
        for name in names
    }


def extra_of(module: str, declared: str | None = None) -> str | None:
    """Return the extra that brings a module: the declared one where it does, else the first by name; None without any.

    The extra that brings everything comes last.
    """
    brought = [name for name, modules in modules_by_extra().items() if module in modules]
    return declared if declared in brought else min(brought, key=lambda name: (name == EVERYTHING, name), default=None)


@dataclass(frozen=True, slots=True)
class OwnCode:
    """The code of a baseline or an extractor: what it is, where it is, and the extra that it declares."""

    owner: str  # in messages: `baseline 'attention'`
    path: Path  # its only file; others in its folder belong to it, too
    extra: str | None = None

    @contextmanager
    def blamed(self, doing: str) -> Iterator[None]:
        """Turn an exception of the code into one message; `doing` says when: `"failed in fit"`.

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
        text = f"{self.place(error)}: {self.owner} {doing}: {exception_text(error)}"
        return UsageError(f"{text}; {TRACEBACK}=1 shows the traceback")

    def _missing(self, error: ModuleNotFoundError, doing: str) -> UsageError:
        if error.name is None or error.name.split(".")[0] == "merbench":
            return self._failed(error, doing)
        module = error.name.split(".")[0]
        extra = extra_of(module, self.extra)
        if extra is not None:
            return MissingExtra(f"{self.owner} ({error.name})", extra)
        remedy = "no extra of merbench installs it"
        if self.path.with_name(f"{module}.py").is_file():
            remedy = f"{module}.py next to it is not imported: use only {self.path.name}, or install a package"
        return UsageError(f"{self.place(error)}: {self.owner} imports '{error.name}', which is not installed; {remedy}")

    def place(self, error: Exception) -> str:
        """Return the file, and the innermost line of it, that an exception came from: `"own/model.py, line 12"`."""
        places = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
        if isinstance(error, SyntaxError) and error.filename is not None:
            places.append((error.filename, error.lineno))
        root = self.path.parent.resolve()
        own = [(Path(name).resolve(), line) for name, line in places if Path(name).resolve().is_relative_to(root)]
        if not own:
            return str(self.path)
        path, line = own[-1]
        return f"{self.path.parent / path.relative_to(root)}, line {line}"

    def module(self, name: str) -> ModuleType:
        """Execute the file, and return it as a module of a name; an exception is blamed on it."""
        spec = importlib.util.spec_from_file_location(name, self.path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # dataclasses look their own module up
        with self.blamed("cannot be loaded"):
            spec.loader.exec_module(module)
        return module
