"""Groups that a challenge released are imported.

Conventions:
    MER 2024 released `openset-synonym.zip`: a folder of one `<name>.npy` per sample, a NumPy array without dimensions
    that contains one Unicode string, the text of a Python list of lists of words. The archive, its unpacked folder and
    the same as JSON Lines are read; there a line contains `name`, the sample's, and `groups`, that text or the list.
    Nothing is unpickled, executed or written to disk. Answers are found by name; the organizers state which model gave
    them, and one run was released.
    Codes of problems: E631 a line or file, E632 its groups, E633 names.
"""

from __future__ import annotations

import ast
import io
import json
import stat
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from merbench.errors import InvalidGroups, MalformedFile, Problem, UnknownName, UsageError, examples, fault, printable
from merbench.files.npy import UNREADABLE_ARCHIVE, read_npy_header, read_npy_items
from merbench.synonyms.groups import GROUPS, UNSTATED, Answer, Groups, normal, write_groups


class Release(NamedTuple):
    """A release of groups: by whom, by which model, and the name by which the shipped tracks know its groups."""

    publisher: str
    model: str
    usual_name: str


RELEASES: Mapping[str, Release] = {"mer2024": Release("MER 2024", "GPT-3.5", "mer2024-ov")}
"""The releases whose groups can be imported, by name (Lian et al., 2024)."""

MOST_BYTES = 16 << 20
"""A released file larger than this is refused; the real archive has 112 kB."""

MOST_ANSWERS = 50_000
"""More answers than this are refused; MER 2024 released 332."""

MOST_ANSWER_BYTES = 1 << 18
"""The largest answer, as stored; those of MER 2024 take 800 bytes at most."""

MOST_UNPACKED = 64 << 20
"""What the answers of an archive or folder may take together, in bytes."""

_LINE = """a line is {"name": "sample_1", "groups": "[['glad', 'happy'], ['sad']]"}"""
_MEMBER = "answers are files <name>.npy, in one folder or none"
_ARRAY = "one Unicode string in an .npy file without dimensions is needed"


def import_groups(release: str, path: str | Path, name: str | None = None, *, replace: bool = False) -> Groups:
    """Store the groups that a challenge released in the data home, and return them.

    Args:
        release: which release, a name of `RELEASES`.
        path: the released archive, its unpacked folder, or a file of JSON Lines.
        name: name of the groups; by default the one that the release's tracks know them by.
        replace: whether groups of this name are replaced.

    Raises:
        UnknownName: no such release.
        UsageError: the name is not valid or already exists, or the file cannot be read.
        InvalidGroups: the file does not contain what it should; all problems are listed.
    """
    if release not in RELEASES:
        raise UnknownName("release of groups", release, RELEASES)
    name = name or RELEASES[release].usual_name
    folder = GROUPS.own_folder(name)
    GROUPS.require_free(folder, replace=replace)
    groups = read_release(RELEASES[release], Path(path), name)
    write_groups(folder, groups)
    return groups


def read_release(release: Release, path: Path, name: str) -> Groups:
    """Return the groups in a released file or folder, one run.

    Raises:
        UsageError: the path cannot be read, or contains more than is read.
        InvalidGroups: it does not contain what it should; all problems are listed.
    """
    problems: list[Problem] = []
    answers: dict[str, Answer | None] = {}
    place_of: dict[str, str] = {}
    for stated in _stated(path):
        if isinstance(stated, Problem):
            problems.append(stated)
            continue
        if stated.name in place_of:
            message = f"duplicate name '{printable(stated.name)}' (first at {place_of[stated.name]})"
            problems.append(Problem("E633", message, line=stated.line))
            continue
        place_of[stated.name] = stated.place
        answers[stated.name] = _answer(stated.groups)
        if answers[stated.name] is None:
            message = f"'{printable(str(stated.groups))}' is not a list of lists of words, none of them empty"
            where = "" if stated.line else f"{stated.place}: "
            problems.append(Problem("E632", f"{where}{message}", line=stated.line))
    if not problems and not answers:
        problems = [Problem("E631", f"no answer; {_MEMBER}, or {_LINE}")]
    if problems:
        codes = sorted({problem.code for problem in problems})
        alike = ([problem for problem in problems if problem.code == code] for code in codes)
        raise InvalidGroups(str(path), [shown for same in alike for shown in examples(same, lambda item: item)])
    return Groups(
        name=name,
        source=f"{release.publisher}, released file {path.name}",
        model=release.model,
        prompt_digest=UNSTATED,
        decoding=UNSTATED,
        keys="names",
        runs=({key: answer for key, answer in answers.items() if answer is not None},),
        dropped=(0,),
    )


class _Stated(NamedTuple):
    """What a file states about one sample, unchecked: where, its name, and the text or list of groups."""

    line: int | None
    place: str
    name: str
    groups: Any


def _stated(path: Path) -> Iterator[_Stated | Problem]:
    """Yield what a path states about every sample, in any of the three forms."""
    try:
        if path.is_dir():
            yield from (_of_array(file.name, file.read_bytes()) for file in _folder_files(path))
        elif not path.is_file():
            raise UsageError(f"{path}: cannot be read: {'not a file' if path.exists() else 'no such file or folder'}")
        elif path.stat().st_size > MOST_BYTES:
            raise UsageError(f"{path}: has {path.stat().st_size:,} bytes; allowed: {MOST_BYTES:,}")
        elif (data := path.read_bytes()).startswith(b"PK"):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                yield from _of_archive(path, archive)
        else:
            yield from _of_lines(path, data.decode("utf-8-sig"))
    except UNREADABLE_ARCHIVE as error:
        raise UsageError(f"{path}: cannot be read: {fault(error)}") from error


def _folder_files(folder: Path) -> list[Path]:
    """Return the files of answers in a folder, or in the one that the archive unpacks to, by name."""
    inner = folder / "openset-synonym"
    files: list[Path] = []
    n_bytes = 0
    for file in (inner if inner.is_dir() else folder).glob("*.npy"):
        if file.is_symlink() or not file.is_file():
            raise UsageError(f"{file}: a link, or not a file; {_MEMBER}")
        size = file.stat().st_size
        if size > MOST_ANSWER_BYTES:
            raise UsageError(f"{file}: has {size:,} bytes; an answer has {MOST_ANSWER_BYTES:,} at most")
        files.append(file)
        n_bytes += size
        if len(files) > MOST_ANSWERS or n_bytes > MOST_UNPACKED:
            raise UsageError(f"{folder}: has more than {MOST_ANSWERS:,} answers, or {MOST_UNPACKED:,} bytes of them")
    return sorted(files)


def _of_archive(path: Path, archive: zipfile.ZipFile) -> Iterator[_Stated | Problem]:
    """Yield the answers of an archive, whose members are all checked before one is read."""
    members = archive.infolist()
    if len(members) > MOST_ANSWERS:
        raise UsageError(f"{path}: an archive of {len(members):,} members; allowed: {MOST_ANSWERS:,}")
    if sum(member.file_size for member in members) > MOST_UNPACKED:
        raise UsageError(f"{path}: unpacks to more than {MOST_UNPACKED:,} bytes")
    # What macOS adds to an archive that is packed again contains no answers.
    members = [m for m in members if not m.filename.startswith("__MACOSX/") and not m.filename.endswith(".DS_Store")]
    files = [member for member in members if not member.is_dir()]
    folder = files[0].filename.rpartition("/")[0] if files else ""
    refused = [(member.filename, reason) for member in members if (reason := _member_fault(member))]
    refused += [
        (member.filename, f"is not in the folder '{printable(folder)}' of the others")
        for member in files
        if member.filename.rpartition("/")[0] != folder
    ]
    if refused:
        yield from (Problem("E631", f"'{printable(name)}' {reason}; {_MEMBER}") for name, reason in refused)
        return
    for member in files:
        with archive.open(member) as file:
            # Bounded, since a member may state a size that is not its own.
            yield _of_array(member.filename.rpartition("/")[2], file.read(MOST_ANSWER_BYTES + 1))


def _member_fault(member: zipfile.ZipInfo) -> str:
    """Return why a member of an archive is not read; empty for one that is."""
    parts = member.filename.removesuffix("/").split("/")
    if len(parts) > 2 or any(part in ("", ".", "..") for part in parts) or set(member.filename) & set("\\:"):
        return "has an unsafe name"
    if member.is_dir():
        return ""
    if not parts[-1].endswith(".npy") or parts[-1] == ".npy":
        return "is not a .npy file"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "is a link"
    if member.flag_bits & 1:
        return "is encrypted"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is packed in a way that is not read"
    if member.file_size > MOST_ANSWER_BYTES:
        return f"unpacks to {member.file_size:,} bytes, more than the {MOST_ANSWER_BYTES:,} of an answer"
    return ""


def _of_array(file_name: str, data: bytes) -> _Stated | Problem:
    shown, stream = f"'{printable(file_name)}'", io.BytesIO(data)
    try:
        header = read_npy_header(stream)
        if header.shape or header.dtype.kind != "U" or len(data) != stream.tell() + header.n_bytes:
            raise MalformedFile("another array")
    except MalformedFile:
        return Problem("E631", f"{shown} contains something else; {_ARRAY}")
    try:
        text: str = read_npy_items(stream, header).item()
    except MalformedFile:
        return Problem("E631", f"{shown} contains code points that are not characters; {_ARRAY}")
    if not _is_text(file_name):
        return Problem("E631", f"{shown} is a name that is not UTF-8; {_MEMBER}")
    return _Stated(None, shown, file_name.removesuffix(".npy"), text)


def _of_lines(path: Path, text: str) -> Iterator[_Stated | Problem]:
    if text.count("\n") > MOST_ANSWERS:
        raise UsageError(f"{path}: has more than {MOST_ANSWERS:,} lines")
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        match _evaluated(json.loads, line):
            case {"name": str(name), "groups": str() | list() as groups} if _is_text(name):
                yield _Stated(number, f"line {number}", name, groups)
            case _:
                yield Problem("E631", _LINE, line=number)


def _answer(groups: Any) -> Answer | None:
    """Return the groups of an answer; None if it is not valid."""
    if isinstance(groups, str):
        groups = _evaluated(ast.literal_eval, groups.strip())
    if not isinstance(groups, list) or not all(isinstance(group, list) and group for group in groups):
        return None
    if not all(isinstance(word, str) and _is_text(word) for group in groups for word in group):
        return None
    return tuple(tuple(normal(word) for word in group) for group in groups)


def _is_text(word: str) -> bool:
    """Return whether a word is not blank, and can be written: JSON and Python have escapes for lone surrogates."""
    return bool(word.strip()) and word.encode("utf-8", "replace").decode() == word


def _evaluated(read: Callable[[str], Any], text: str) -> Any:
    """Return the value of a text, None if it has none."""
    if len(text) > MOST_ANSWER_BYTES:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an escape that Python does not know is a warning there
            return read(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
