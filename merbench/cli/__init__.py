"""The command line: every command parses, calls one package, prints; heavy imports are inside the commands."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import Annotated, Any, NoReturn, TextIO, cast

import typer

from merbench.cli import (
    ask,
    banks,
    baselines,
    benchmark,
    claims,
    corpus,
    corrupt,
    extract,
    extractors,
    groups,
    items,
    leaderboard,
    lexicon,
    pretrain,
    robustness,
    runs,
    scoring,
    search,
    tracks,
    tune,
)
from merbench.cli.parser import App
from merbench.errors import TRACEBACK, MerbenchError, OutputError, UsageError, fault, printable

COMMANDS = {
    "Tracks": (tracks.tracks, tracks.metrics, tracks.describe, tracks.init),
    "Submissions": (scoring.validate, scoring.score, scoring.compare, scoring.power, items.items),
    "Baselines": (
        baselines.baselines,
        pretrain.pretrain,
        baselines.run_baseline,
        ask.ask,
        tune.tune,
        search.search,
        benchmark.benchmark,
        claims.claims,
        runs.predict,
        baselines.ensemble,
        runs.runs,
    ),
    "Leaderboards": (leaderboard.enter, leaderboard.validate_entries, leaderboard.leaderboard),
    "Features": (extract.extract,),
    "Corruption": (corrupt.corruptions, corrupt.corrupt, robustness.robustness),
}
"""The commands, by the group that shows them in the help."""

app = App("merbench")
for group, commands in COMMANDS.items():
    for function in commands:
        app.command(rich_help_panel=group)(function)
for module in (corpus, extractors, banks, lexicon, groups):
    app.add_typer(module.app, rich_help_panel="Data")


def _show_version(wanted: bool) -> None:
    if wanted:
        import merbench

        print(f"merbench {merbench.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Benchmarks and challenges for multimodal emotion recognition: declare, check, score, rank."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with the exit code that the error tree of `merbench.errors` states.

    The process ends at once: while Python takes itself apart, Arrow's idle threads abort it now and then on a busy
    machine, after everything has been written.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass  # where a standard stream is closed, a file that is opened later must not take its number
    os.close(descriptor)
    code = run(arguments)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, AttributeError):
            stream.flush()
    os._exit(code)


class _Shown:
    """A standard stream that makes its lines printable, and escapes what its encoding lacks.

    Data for programs (`files.write_bytes`) go to its `buffer` unchanged.
    """

    encoding = "utf-8"

    def __init__(self, stream: TextIO | None, *, may_fail: bool) -> None:
        self._stream = stream
        self._suppressed = (OSError,) if may_fail else ()

    def write(self, text: str) -> int:
        parts = (part if part in "\n\t" else printable(part, None) for part in re.split(r"([\n\t])", text))
        with suppress(*self._suppressed):
            stream = self._opened()
            encoding = stream.encoding or self.encoding
            stream.write("".join(parts).encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        if self._stream is not None:
            with suppress(*self._suppressed):
                self._stream.flush()

    def isatty(self) -> bool:
        return self._stream is not None and self._stream.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._opened(), name)

    def _opened(self) -> TextIO:
        if self._stream is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._stream


@contextmanager
def _shown_streams() -> Iterator[None]:
    """Make standard output and error printable; a message that cannot be written does not change the exit code."""
    before = sys.stdout, sys.stderr
    sys.stdout = cast(TextIO, _Shown(sys.stdout, may_fail=False))
    sys.stderr = cast(TextIO, _Shown(sys.stderr, may_fail=True))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


INTERRUPTED = 130


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; a message goes to stderr.

    A traceback is shown for a bug, and for every error where the environment asks for it (`MERBENCH_TRACEBACK=1`).
    """
    with _shown_streams():
        return _run(arguments)


@cache
def _command() -> Any:
    """Return the parser, which typer would otherwise build for every call; tests make hundreds of calls."""
    return typer.main.get_command(app)


def _run(arguments: Sequence[str] | None) -> int:
    try:
        code = _command()(args=list(arguments) if arguments is not None else None, standalone_mode=False)
        sys.stdout.flush()
        # typer turns an interrupt into this code; a release that does not lets it through.
        return _interrupted() if code == INTERRUPTED else code if isinstance(code, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted()
    except BrokenPipeError:
        _forget_standard_output()
        return 0
    except MerbenchError as error:
        if os.environ.get(TRACEBACK):
            _print_traceback()
        print(error, file=sys.stderr)
        return error.exit_code
    except OSError as error:
        if error.filename is not None:
            if os.environ.get(TRACEBACK):
                _print_traceback()
            print(printable(f"{error.filename}: {fault(error)}", None), file=sys.stderr)
            return UsageError.exit_code
        if not _is_standard_output(error):
            return _bug()
        if error.errno != errno.EBADF:
            _forget_standard_output()
        print(f"standard output: cannot be written: {error.strerror}", file=sys.stderr)
        return OutputError.exit_code
    except UnicodeEncodeError as error:
        if "surrogates" not in error.reason:
            return _bug()
        print(printable(f"{error.object}: the name is not text in UTF-8", None), file=sys.stderr)
        return UsageError.exit_code
    except Exception as error:
        if _came_from_an_interrupt(error):
            return _interrupted()
        return _usage(error) if hasattr(error, "format_message") else _bug()


def _came_from_an_interrupt(error: BaseException | None) -> bool:
    """Whether a library that was interrupted, while it was loaded for instance, made another error of it."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _interrupted() -> int:
    print("interrupted", file=sys.stderr)
    return INTERRUPTED


_PARSER_WORDS = {
    "Value error, ": "",
    "Input should be greater than or equal to": "must be at least",
    "Input should be less than or equal to": "must be at most",
    "Input should be a valid integer": "must be a whole number",
    "Input should be a valid number": "must be a number",
    "Unable to parse input string as an integer, exceeded maximum size": "must be a number of at most 64 bits",
    ", unable to parse string as an integer": "",
    ", unable to parse string as a number": "",
}


def _usage(error: Any) -> int:
    """Show the parser's message about wrong arguments; its base class is not a public name of typer."""
    for theirs, ours in _PARSER_WORDS.items():
        error.message = error.message.replace(theirs, ours)
    error.show(sys.stderr)
    return UsageError.exit_code


def _print_traceback() -> None:
    import traceback

    traceback.print_exc()


def _bug() -> int:
    _print_traceback()
    print("this is a bug in merbench; please report it with the lines above", file=sys.stderr)
    return MerbenchError.exit_code


def _is_standard_output(error: OSError) -> bool:
    """Whether an error came from printing: the disk is full, or the stream is closed."""
    codes = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EFBIG, errno.EBADF)
    return error.errno in codes


def _forget_standard_output() -> None:
    """Point standard output at nothing, so that the interpreter's last flush does not fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
