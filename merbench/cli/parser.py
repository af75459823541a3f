"""The parser: options that are declared as they are typed, and help in groups, in plain text."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

RENAMED = {
    "corrupt --feature": "--feature-of MODALITY=NAME",
    "corpus create --features": "--feature-file NAME=PATH",
    "corpus import --features": "--feature-folder DIR",
    "corpus build --media": "--clips DIR",
    "enter --replace": "--force",
}
"""Options of earlier versions: command and option -> what it is called now."""


def option(group: str | None, declared: str, help: str, default: Any = None, **settings: Any) -> Any:
    """Return an option of a command.

    Args:
        group: the group of the help that shows it.
        declared: its names, and what it takes if it is not a flag, as they are typed: `--output -o DIR`.
        help: what it does, and its default where the parser does not know it.
        default: its value when it is not given; `...` for one that must be given.
        settings: see `typer.Option`.
    """
    names = [word for word in declared.split() if word.startswith("-")]
    metavar = " ".join(word for word in declared.split() if word not in names) or None
    return typer.Option(default, *names, metavar=metavar, help=help, rich_help_panel=group, **settings)


def shared(group: str | None, declared: str, help: str, **settings: Any) -> Any:
    """Return an option for `Annotated`; every command that has it gives it a default. See `option`."""
    return option(group, declared, help, ..., **settings)


def argument(metavar: str, help: str, default: Any = ...) -> Any:
    """Return an argument of a command, which must be given where it has no default."""
    return typer.Argument(default, metavar=metavar, help=help)


_RANGE = re.compile(r"; [^;\]]*\bx[<>][^;\]]*(?=[;\]])|  \[[^;\]]*\bx[<>][^;\]]*\]|(?<=\[)[^;\]]*\bx[<>][^;\]]*; ")
"""The range of a number as the parser shows it, `; 0<=x<=9223372036854775807`; a value outside gets a message."""


def _write_options(command: TyperCommand | TyperGroup, context: Any, formatter: Any) -> None:
    """Write arguments and options by their groups, in the order in which the command declares the groups."""
    panels: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            is_argument = parameter.param_type_name == "argument"
            panel = "Arguments" if is_argument else getattr(parameter, "rich_help_panel", None) or "Options"
            name = record[0].partition(" ")[0] if is_argument else record[0]
            panels.setdefault(panel, []).append((name, _RANGE.sub("", record[1])))
    last = panels.pop("Options", [])
    for title, records in (*panels.items(), ("Options", last)):
        if records:
            with formatter.section(title):
                formatter.write_dl(records)


class Command(TyperCommand):
    """A command whose help shows options in groups, and that knows the names that options had before."""

    def format_options(self, ctx: Any, formatter: Any) -> None:  # noqa: D102
        _write_options(self, ctx, formatter)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: D102
        try:
            return super().parse_args(ctx, args)
        except Exception as error:  # typer has no public name for an unknown option; whatever it is, it is raised
            typed = f"{ctx.command_path} {getattr(error, 'option_name', '')}"
            new = next((new for old, new in RENAMED.items() if typed.endswith(f" {old}")), None)
            if new is not None:
                error.possibilities = None  # type: ignore[attr-defined]
                error.message = f"{error.message}; it is called {new} now"  # type: ignore[attr-defined]
            raise


class Group(TyperGroup):
    """A group whose help shows commands in groups."""

    def format_options(self, ctx: Any, formatter: Any) -> None:  # noqa: D102
        _write_options(self, ctx, formatter)
        width = max(map(len, self.commands))
        panels: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            text = command.get_short_help_str(formatter.width - 6 - width)
            panel = getattr(command, "rich_help_panel", None) or "Commands"
            panels.setdefault(panel, []).append((f"{name:{width}}", text))
        for title, records in panels.items():
            with formatter.section(title):
                formatter.write_dl(records)


class App(typer.Typer):
    """A typer application whose commands show their help in plain text and in groups."""

    def __init__(self, name: str, **settings: Any) -> None:
        names = {"help_option_names": ["-h", "--help"]}
        super().__init__(
            name=name,
            cls=Group,
            no_args_is_help=True,
            context_settings=names,
            pretty_exceptions_enable=False,
            rich_markup_mode=None,
            **settings,
        )

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Any], Any]:  # noqa: D102
        return super().command(name, cls=Command, **settings)
