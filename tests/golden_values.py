"""Make the expected values in `tests/golden` again; one that moves needs a reason, which goes into the changelog.

Three kinds: the report of a fixed submission on every sample track (JSON), transcripts of the command line, and the
fingerprint of every version of every shipped track. `make golden` runs this file, which also writes what is stored of
claims into `docs/claims.md` and cards. A number that moves by more than
1e-12, or vanishes, is refused without `REASON`; the fingerprint of a recorded version never changes.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from transcripts import replay, steps

from merbench.claims import stored_claims
from merbench.corpus import open_corpus
from merbench.corpus.candidates import Candidates, open_candidates
from merbench.errors import plural
from merbench.scoring import score
from merbench.targets.categorical import CategoricalTarget
from merbench.targets.label_set import LabelSetTarget
from merbench.track import Track, list_tracks, load_track

ROOT = Path(__file__).parents[1]
CLAIMS_FOLLOW = "<!-- What follows is written from claims.json by make golden. -->"
GOLDEN = Path(__file__).parent / "golden"
TRANSCRIPTS = GOLDEN / "transcripts"
TOLERANCE = 1e-12
MOVES_SHOWN = 20
HEADING = "### Scores change"


def sample_tracks() -> list[str]:
    """Return the ids of the shipped tracks on the embedded sample."""
    return [track.id for track in list_tracks() if track.corpus == "sample"]


def fixed_submission(candidates: Candidates) -> str:
    """Return a CSV with an answer for each candidate: right for four scored ones in five, valence half as strong.

    A wrong set of words is that of the next scored one. Candidates without a reference get the labels in turn, 0, and
    the set of the first scored one.
    """
    track, references = candidates.track, candidates.references
    columns: list[list[str]] = [candidates.ids.to_pylist()]
    for name, target in track.targets.items():
        values = references.values[name]
        if isinstance(target, CategoricalTarget):
            codes = np.arange(len(candidates)) % len(target.labels)
            shift = np.arange(len(values)) % 5 == 0
            codes[references.index] = (values + shift) % len(target.labels)
            columns.append([target.labels[code] for code in codes])
        elif isinstance(target, LabelSetTarget):
            rows = np.zeros(len(candidates), dtype=np.int64)
            rows[references.index] = (np.arange(len(values)) + (np.arange(len(values)) % 5 == 0)) % len(values)
            columns.append([f'"{list(words)}"' for words in values[rows]])
        else:
            numbers = np.zeros(len(candidates))
            numbers[references.index] = values / 2
            columns.append([repr(float(number)) for number in numbers])
    head = [track.submission.id, *track.targets]
    return "".join(",".join(row) + "\n" for row in [head, *zip(*columns, strict=True)])


def report(track: str, folder: Path) -> str:
    """Return the JSON report of the fixed submission on a sample track."""
    candidates = open_candidates(load_track(track))
    path = folder / "submission.csv"
    path.write_text(fixed_submission(candidates), encoding="utf-8", newline="\n")
    return score(candidates, path).to_json()


def fingerprints(tracks: list[Track]) -> str:
    """Return the JSON of every track's key and fingerprint."""
    return as_json({track.key: track.fingerprint for track in tracks})


def as_json(of_key: dict[str, str]) -> str:
    """Return the JSON of fingerprints by track and version."""
    return json.dumps(of_key, indent=1, sort_keys=True) + "\n"


def produced(home: Path) -> dict[str, str]:
    """Return every expected value as it is now, by path inside the golden folder."""
    values = {"fingerprints.json": fingerprints(list_tracks())}
    for track in sample_tracks():
        with tempfile.TemporaryDirectory() as folder:
            values[f"reports/{track}.json"] = report(track, Path(folder))
    for path in sorted(TRANSCRIPTS.glob("*.txt")):
        with tempfile.TemporaryDirectory() as folder:
            values[f"transcripts/{path.name}"] = replay(path.read_text(encoding="utf-8"), Path(folder), home)
    return values


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every plain value of a JSON value with its path."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, f"{path}[{index}]")
    else:
        yield path, value


def is_number(value: Any) -> bool:
    """Return whether a JSON value is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_moved(old: Any, new: Any) -> bool:
    """Return whether a number is missing, or differs by more than rounding explains."""
    return not (is_number(new) and math.isclose(old, new, rel_tol=0, abs_tol=TOLERANCE))


NUMBER = re.compile(r"(?<![\w.#:])[-+]?\d+(?:,\d{3})*(?:\.\d+)?(?![\w.])")


def moved_numbers(name: str, old: str, new: str) -> list[str]:
    """Return one line for each number of an expected value that moved or vanished.

    A transcript whose words changed is a change of wording; its numbers are compared where the words are the same.
    """
    if name.endswith(".json"):
        now = dict(leaves(json.loads(new)))
        return [
            f"{name} {path}: {value} -> {now.get(path, 'gone')}"
            for path, value in leaves(json.loads(old))
            if is_number(value) and is_moved(value, now.get(path))
        ]
    lines = []
    for before, after in zip(steps(old), steps(new), strict=True):
        if NUMBER.sub("#", before.output) == NUMBER.sub("#", after.output):
            pairs = zip(NUMBER.findall(before.output), NUMBER.findall(after.output), strict=True)
            lines += [f"{name} $ {before.command}: {a} -> {b}" for a, b in pairs if a != b]
    return lines


def changed_fingerprints(old: str, new: str) -> list[str]:
    """Return one line for each recorded track version whose declaration changed, and for each track that is gone.

    A version that a later one of the same track replaced keeps its line: its number is never used again.
    """
    now = json.loads(new)
    tracks = {key.partition("@")[0] for key in now}
    lines = []
    for key, value in json.loads(old).items():
        if key in now and now[key] != value:
            lines.append(f"{key}: its declaration changed; raise the track's version")
        elif key.partition("@")[0] not in tracks:
            lines.append(f"{key}: the track is gone; if it was never released, remove its lines from fingerprints.json")
    return lines


def with_reason(changelog: str, reason: str) -> str:
    """Return a changelog with a reason added under the heading of the unreleased version's moved scores."""
    head, title, rest = changelog.partition("## [Unreleased]\n")
    section, following, released = rest.partition("\n## [")
    entry = f"{HEADING}\n\n- {reason}\n"
    if HEADING in section:
        section = section.replace(f"{HEADING}\n\n", entry, 1)
    else:
        section = "\n" + f"{section.strip()}\n\n{entry}".lstrip()
    return head + title + section + following + released


def update(golden: Path, values: dict[str, str], changelog: Path, reason: str) -> int:
    """Write the expected values, or print why not; return the exit code."""
    recorded = {name: (golden / name).read_text(encoding="utf-8") for name in values if (golden / name).is_file()}
    known = recorded.get("fingerprints.json", "{}")
    broken = changed_fingerprints(known, values["fingerprints.json"])
    all_versions = {**json.loads(known), **json.loads(values["fingerprints.json"])}
    values = {**values, "fingerprints.json": as_json(all_versions)}
    moved = [line for name, old in recorded.items() for line in moved_numbers(name, old, values[name])]
    if broken or (moved and not reason):
        print(*broken, *moved[:MOVES_SHOWN], sep="\n", file=sys.stderr)
        if moved and not reason:
            print(f'{plural(len(moved), "number")} moved; say why: REASON="…" make golden', file=sys.stderr)
        return 1
    if moved:
        changelog.write_text(with_reason(changelog.read_text(encoding="utf-8"), reason), encoding="utf-8", newline="\n")
    for name, text in values.items():
        if recorded.get(name) != text:
            (golden / name).parent.mkdir(parents=True, exist_ok=True)
            (golden / name).write_text(text, encoding="utf-8", newline="\n")
            print(f"wrote {name}")
    return 0


def pages_of_claims() -> dict[Path, str]:
    """Return `docs/claims.md`, and the cards that end so, with what is stored of claims after their last comment."""
    report, pages = stored_claims(), {ROOT / "docs" / "claims.md": stored_claims()}
    for path in (ROOT / "baselines").glob("*/README.md"):
        if CLAIMS_FOLLOW in path.read_text(encoding="utf-8"):
            own = tuple(row for row in report.results if row.baseline == path.parent.name and row.place)
            pages[path] = replace(report, results=own)
    texts = {path: path.read_text(encoding="utf-8") for path in pages}
    return {path: text[: text.rindex(" -->") + 4] + "\n\n" + pages[path].to_markdown() for path, text in texts.items()}


def main() -> int:
    """Make all values in a temporary data home and update the golden folder."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["MERBENCH_HOME"] = home
        open_corpus("sample")
        for path, text in pages_of_claims().items():
            path.write_text(text, encoding="utf-8", newline="\n")
        reason = os.environ.get("REASON", "").strip()
        return update(GOLDEN, produced(Path(home)), ROOT / "CHANGELOG.md", reason)


if __name__ == "__main__":
    sys.exit(main())
