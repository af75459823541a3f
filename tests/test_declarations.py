"""Every key of every declaration is given values of every TOML type: a message comes out, never another exception."""

from __future__ import annotations

import copy
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from toy_track import write_toy_track

from merbench.banks.folder import BANKS
from merbench.corpus.candidates import open_candidates
from merbench.corpus.declaration import read_declaration
from merbench.corrupt.manifest import JOURNAL, MANIFEST, read_manifest, read_progress
from merbench.errors import DeclarationError, IntegrityError, InvalidSubmission, MerbenchError, UsageError
from merbench.files.toml import read_toml
from merbench.leaderboard.entry import parse_card, read_entry
from merbench.lexicon import open_lexicon
from merbench.report import ScoreReport
from merbench.robustness.report import RobustnessReport
from merbench.submission import read_submission
from merbench.synonyms import open_groups
from merbench.track import load_track, parse_track
from merbench.training.declaration import read_baseline

DIGEST = "0" * 64

TRACK = """
id = "t"
version = "1.0"
title = "t"
source = "s"
family = "f"
year = 2026
modalities = ["audio"]
corpus = "c"
seed = 3
superseded_by = "x"
checked = "c"
splits = { train = "train", test = { source = "test", hidden = false } }

[targets.discrete]
type = "categorical"
labels = ["a", "b"]
aliases = { c = "a" }
out_of_vocabulary = "wrong"
invalid = "x"
required = true

[targets.valence]
type = "continuous"
range = [0, 1]
invalid = 5.0
reference = true
reference_scale = 2.0

[targets.open]
type = "label_set"
split = "python"
lexicon = "english"
groups = "g"
empty = "allow"

[targets.several]
type = "multilabel"
labels = ["m1", "m2"]
invalid = 9

[targets.better]
type = "preference"
same = "class"
reading = "answer"

[targets.score]
type = "scores"
positive = "p"
negative = "n"

[targets.stretches]
type = "segments"
labels = ["a", "b"]
duration = "duration_s"

[targets.described]
type = "text"
lexicon = "english"
extractor = "longest_match"
reference = "open"

[targets.moving]
type = "trajectory"
group = "recording"

[[metrics]]
name = "weighted_f1"
target = "discrete"
weight = 1.0
per = "fold"
shares = { 1 = 0.4, 2 = 0.6 }

[[metrics]]
name = "emotion_wheel_f1"
target = "open"
wheel = "all"
level = 1

[[metrics]]
name = "segment_f1"
target = "stretches"
label = "a"

[[corruptions]]
name = "background_noise"
noise = "n"
step = "s1"
split = "test"
snr_db = { uniform = [0, 10] }

[[corruptions]]
name = "gaussian_noise"
sigma = { choice = [0.1, 0.2] }

[ranking]
by = ["overall", "segment_f1"]
decimals = 4
one_per_team = true

[media]
video_codec = "h264"
quality = 20
audio_codec = "aac"
audio_bit_rate = 96000
sample_rate_hz = 16000
channels = 1
unchanged = "copy"

[submission]
id = "sample_id"
extra_ids = "allow"
missing_ids = "dropped"
duplicate_ids = "error"
max_bytes = 1000

[intervals]
method = "bca"
level = 0.9
n_resamples = 200
cluster = "speaker"
"""

ENTRY = """
title = "t"
team = "t"
members = ["m"]
system = "s"
seed = 1
paper = "p"
code = "c"
external_data = ["x"]
received = 2026-01-31T12:00:00Z
ranks = true
selected = false
"""

BASELINE = """
title = "t"
paper = "p"
extra = "baselines"
answers = ["categorical"]
uses_features = true
columns = ["text"]
folds = 5
seeds = [0, 1]
defaults = { rate = 0.1 }
select = { rate = [0.1, 0.2] }
tracks = { x = { features = ["a"], options = { rate = 1 } } }
"""

CORPUS = f"""
name = "c"
version = "1.0"
source = "s"
licence = "l"
language = "en"
synthetic = true
files = {{ "samples.parquet" = "{DIGEST}", "features/a.parquet" = "{DIGEST}" }}
content = {{ samples = "{DIGEST}", features = {{ a = "{DIGEST}" }} }}
"""

BANK = "".join(f'{key} = "x"\n' for key in ("name", "version", "source", "licence", "digest", "folder"))

GROUPS_TOML = """
name = "n"
source = "s"
model = "m"
prompt_digest = "p"
decoding = "d"
keys = "words"
digest = "d"
dropped = [1]
files = { "answers.parquet" = "x" }
"""

LEXICON = """
name = "own"
source = "s"
digest = "d"
files = { "forms.csv" = "x", "synonyms.csv" = "x", "wheels.csv" = "x" }
"""

Read = Callable[[Path], object]


def _read_lexicon(folder: Path) -> object:
    return open_lexicon(folder.name)


def _read_entry(folder: Path) -> object:
    (folder / "submission.csv").touch()
    return read_entry(folder.parents[2], folder).received


READERS: dict[str, tuple[str, str, Read]] = {
    "track": ("t/track.toml", TRACK, load_track),
    "entry": ("submissions/t/team/run/entry.toml", ENTRY, _read_entry),
    "baseline": ("b/baseline.toml", BASELINE, read_baseline),
    "corpus": ("c/corpus.toml", CORPUS, read_declaration),
    "bank": ("x/bank.toml", BANK, BANKS.read),
    "groups": ("g/groups.toml", GROUPS_TOML, open_groups),
    "lexicon": ("lexicons/own/lexicon.toml", LEXICON, _read_lexicon),
}
"""File, valid text (but for the files next to it) and reader of every declaration."""

OTHERS = (
    *("{ a = 1 }", "{ a = [{ b = {} }] }", "[]", "[[1]]", "inf", "nan", '""', "true", "-9223372036854775808"),
    *("2026-01-31", "01:02:03", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"),
)
VALUES: list[Any] = [tomllib.loads(f"value = {text}")["value"] for text in OTHERS]


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where a declaration contains a value: every key, and the first item of every list."""
    if place:
        yield place
    items = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for key, item in items:
        yield from _places(item, (*place, key))


def _with(raw: Any, place: tuple[Any, ...], value: Any) -> Any:
    raw = copy.deepcopy(raw)
    table = raw
    for key in place[:-1]:
        table = table[key]
    table[place[-1]] = value
    return raw


@pytest.mark.slow
@pytest.mark.parametrize("kind", READERS)
def test_a_value_of_any_other_type_gets_a_message(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path))
    name, text, read = READERS[kind]
    folder = (tmp_path / name).parent
    folder.mkdir(parents=True)
    valid, raw = tomllib.loads(text), {}
    modules = {"track": "track.folder", "entry": "leaderboard.entry", "baseline": "training.declaration"}
    modules |= {"corpus": "corpus.declaration", "bank": "store", "groups": "store"}
    reader = "parse_toml" if kind == "entry" else "read_toml"
    monkeypatch.setattr(f"merbench.{modules.get(kind, 'store')}.{reader}", lambda *_: raw)
    (tmp_path / name).touch()
    n_refused = 0
    for place in _places(valid):
        for value in VALUES:
            raw = _with(valid, place, value)
            try:
                read(folder)
            except MerbenchError as error:
                assert str(error).isprintable() or "\n" in str(error)
                n_refused += 1
    assert n_refused > len(valid) * len(VALUES) / 2


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("number", ["9" * 5000, "-" + "9" * 5000, "0x" + "f" * 5000, "9223372036854775808"])
def test_a_number_of_more_than_64_bits_is_named(
    kind: str, number: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path))
    name, text, read = READERS[kind]
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text(f"{text}\n[huge]\nseed = [1, {number}]\n", encoding="utf-8")
    with pytest.raises(DeclarationError) as caught:
        read(path.parent)
    code = "E402" if kind == "entry" else "E207"
    assert [str(p) for p in caught.value.problems] == [f"{code}  huge.seed[1]: is an integer of more than 64 bits"]


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, ".".join("a" * 5000) + " = 1", "a." * 40 + "a = 1"])
def test_a_declaration_that_is_nested_too_deeply(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DeclarationError, match="E207  not a TOML file: nested too deeply"):
        read_toml(path)
    with pytest.raises(UsageError, match=re.escape(f"{tmp_path}: cannot be read: Is a directory")):
        read_toml(tmp_path)


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
@pytest.mark.parametrize("quote", ["", '"'])
def test_a_moment_that_utc_cannot_hold(moment: str, quote: str) -> None:
    raw = tomllib.loads(f"{ENTRY.partition('received')[0]}received = {quote}{moment}{quote}")
    (problem,) = parse_card(raw)[1]
    assert str(problem).startswith("E402  received: ")
    assert str(problem).endswith(": not in the years 1 to 9999 (UTC)")


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 100_000, '{"a": ' * 100_000])
def test_json_with_numbers_too_long_or_nested_too_deeply(value: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^not a report of the form merbench\.report/1"):
        ScoreReport.from_json(f'{{"schema": {value}')
    with pytest.raises(UsageError, match=r"^not a report of the form merbench\.robustness/1"):
        RobustnessReport.from_json(f'{{"schema": {value}')
    pq.write_table(pa.table({"sample_id": ["a"]}).replace_schema_metadata({"merbench": value}), tmp_path / MANIFEST)
    with pytest.raises(UsageError, match="not a manifest of `merbench corrupt`"):
        read_manifest(tmp_path / MANIFEST)
    (tmp_path / MANIFEST).unlink()
    (tmp_path / JOURNAL).write_text(f"{value}\n", encoding="utf-8")
    with pytest.raises(IntegrityError, match="a line is n"):
        read_progress(tmp_path)
    path = tmp_path / "s.jsonl"
    path.write_text(f'{{"sample_id": "s00", "discrete": "calm", "valence": {value}}}\n', encoding="utf-8")
    with pytest.raises(InvalidSubmission):
        read_submission(path, open_candidates(write_toy_track(tmp_path / "tracks", valence=True)))


def test_the_track_of_these_tests_is_valid() -> None:
    assert parse_track(tomllib.loads(TRACK), Path("t")).key == "t@1.0"
