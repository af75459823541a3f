"""Names of other packages are found through their entry points, and an error in one is reported with its package."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from merbench import registry
from merbench.errors import UnknownName, UsageError
from merbench.registry import Registry

MODULE = """
from merbench_plugin_things import THINGS

def decorated(function):
    THINGS.add(function.__name__, function)
    return function

@decorated
def right():
    pass

def bare():
    pass

class Kind:
    pass
"""

POINTS = """[things]
right = merbench_plugin:right
other = merbench_plugin:right
bare = merbench_plugin:bare
kind = merbench_plugin:Kind
gone = merbench_plugin:gone
broken = merbench_plugin_broken:anything
"""


@pytest.fixture
def things(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry[object]:
    """Return a registry that an installed package, `plugin-package`, adds to."""
    info = tmp_path / "plugin_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin-package\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(POINTS, encoding="utf-8")
    (tmp_path / "merbench_plugin.py").write_text(MODULE, encoding="utf-8")
    (tmp_path / "merbench_plugin_broken.py").write_text("import there_is_no_such_package\n", encoding="utf-8")
    (tmp_path / "merbench_plugin_things.py").write_text(
        'from merbench.registry import Registry\nTHINGS = Registry("thing", "things", "@decorated")\n', encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "_entry_points", registry._entry_points.__wrapped__)
    for name in ("merbench_plugin", "merbench_plugin_broken", "merbench_plugin_things"):
        monkeypatch.delitem(__import__("sys").modules, name, raising=False)
    result: Registry[object] = __import__("merbench_plugin_things").THINGS
    return result


def test_what_a_package_registers_is_found_by_its_name(things: Registry[object]) -> None:
    assert things.names() == ["bare", "broken", "gone", "kind", "other", "right"]
    assert things["right"].__name__ == "right"  # type: ignore[attr-defined]
    with pytest.raises(UnknownName, match=r"^no thing named 'rihgt'; did you mean 'right'\?"):
        things["rihgt"]


def message(things: Registry[object], name: str) -> str:
    with pytest.raises(UsageError) as caught:
        things[name]
    return str(caught.value)


def test_what_cannot_be_loaded_is_reported_with_its_package(things: Registry[object]) -> None:
    where = "(things) of package 'plugin-package' cannot be loaded"
    hint = "; MERBENCH_TRACEBACK=1 shows the traceback"
    assert message(things, "broken") == (
        f'entry point broken = "merbench_plugin_broken:anything" {where}: '
        f"ModuleNotFoundError: No module named 'there_is_no_such_package'{hint}"
    )
    assert message(things, "gone") == (
        f'entry point gone = "merbench_plugin:gone" {where}: '
        f"AttributeError: module 'merbench_plugin' has no attribute 'gone'{hint}"
    )


@pytest.mark.parametrize(
    ("name", "item", "named", "kind"),
    [
        ("other", "right", "that", "function"),
        ("bare", "bare", "that", "function"),
        ("kind", "Kind", "the type", "class"),
    ],
)
def test_a_name_is_that_of_a_decorated_function_or_the_type_of_a_class(
    things: Registry[object], name: str, item: str, named: str, kind: str
) -> None:
    assert message(things, name) == (
        f"entry point {name} = \"merbench_plugin:{item}\" (things) of package 'plugin-package' registers no thing of "
        f"that name: its name must equal {named} of the {kind}, '{item}', and the {kind} needs the decorator @decorated"
    )


def test_without_a_decorator_the_object_is_the_thing(things: Registry[object]) -> None:
    plain: Registry[object] = Registry("thing", "things")
    assert re.fullmatch("<function bare at .*>", str(plain["bare"]))
    assert plain["bare"] is plain["bare"]
