"""The wheel and the sdist are built and opened: every track and baseline is in, nothing that is withheld is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHIPPED = {"merbench": "merbench", "tracks": "merbench/_tracks", "baselines": "merbench/_baselines"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of what git tracks or would track, with withheld references and leftovers next to a track."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    folder = tmp_path_factory.mktemp("project")
    for name in filter(None, names):
        source, target = ROOT / name, folder / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    for name in ("tracks/mer2023-semi/corpus/reference.parquet", "tracks/mer2023-semi/references.csv"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("withheld")
    return folder


@pytest.fixture(scope="module")
def built(project: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the wheel and the sdist: those in `$MERBENCH_TEST_DIST`, else built from the project."""
    given = os.environ.get("MERBENCH_TEST_DIST")
    out = ROOT / given if given else tmp_path_factory.mktemp("dist")
    if not given:
        command = [sys.executable, *"-m build --no-isolation --wheel --sdist --outdir".split(), str(out), str(project)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return {"wheel": next(out.glob("*.whl")), "sdist": next(out.glob("*.tar.gz"))}


def members(archive: Path) -> list[str]:
    """Return the names of an archive's files; those of an sdist without their first folder."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return wheel.namelist()
    with tarfile.open(archive) as sdist:
        return [member.name.partition("/")[2] for member in sdist if member.isfile()]


def shipped_files(project: Path, folder: str) -> list[Path]:
    """Return the files of a shipped folder, relative to it, without what must stay out."""
    root = project / folder
    return sorted(
        path.relative_to(root)
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.read_bytes() != b"withheld"
    )


@pytest.mark.parametrize("folder", SHIPPED)
def test_every_file_of_package_tracks_and_baselines_is_in_the_wheel(
    folder: str, project: Path, built: dict[str, Path]
) -> None:
    prefix = f"{SHIPPED[folder]}/"
    inside = {name.removeprefix(prefix) for name in members(built["wheel"]) if name.startswith(prefix)}
    expected = {path.as_posix() for path in shipped_files(project, folder)}
    assert expected
    assert expected <= inside


@pytest.mark.parametrize("folder", SHIPPED)
def test_every_file_of_package_tracks_and_baselines_is_in_the_sdist(
    folder: str, project: Path, built: dict[str, Path]
) -> None:
    expected = {f"{folder}/{path.as_posix()}" for path in shipped_files(project, folder)}
    assert expected <= set(members(built["sdist"]))


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_no_withheld_reference_is_packaged(kind: str, built: dict[str, Path]) -> None:
    withheld = [name for name in members(built[kind]) if "tracks/" in name and Path(name).name.startswith("reference")]
    assert withheld == []


def test_the_wheel_contains_nothing_else(built: dict[str, Path]) -> None:
    stray = [name for name in members(built["wheel"]) if not re.match(r"merbench(-[\d.]+\.dist-info)?/", name)]
    assert stray == []


@pytest.mark.slow
def test_the_wheel_alone_finds_its_tracks_and_the_command(built: dict[str, Path], tmp_path: Path) -> None:
    with zipfile.ZipFile(built["wheel"]) as wheel:
        wheel.extractall(tmp_path / "site")
        entry_points = next(name for name in wheel.namelist() if name.endswith("entry_points.txt"))
        assert "merbench = merbench.__main__:main" in wheel.read(entry_points).decode()
    site = str(tmp_path / "site")
    code = f"import sys; sys.path.insert(0, {site!r}); from merbench.cli import main; main(['tracks'])"
    environment = {**os.environ, "MERBENCH_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-I", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for track in sorted(path.parent.name for path in (ROOT / "tracks").glob("*/track.toml")):
        assert track in done.stdout


def test_every_requirement_has_a_pin() -> None:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    texts = [*project["dependencies"], *(text for extra in extras.keys() - {"all"} for text in extras[extra])]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {Requirement(line).name: Requirement(line) for line in lines if not line.startswith("#")}
    for requirement in map(Requirement, texts):
        pin = pins[canonicalize_name(requirement.name)]
        (version,) = (specifier.version for specifier in pin.specifier)
        assert requirement.specifier.contains(version), requirement.name


def test_the_citation_names_the_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (ROOT / "CITATION.cff").read_text(encoding="utf-8").splitlines()
    assert f"version: {project['version']}" in lines
    assert f"title: {project['name']}" in lines
    assert f"license: {project['license']}" in lines
