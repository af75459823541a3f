"""Every release says what it is and what it expects, asks for what is missing, and is imported from what it asks for."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from released_files import Call, codes_of, columns, read_table, release, write_archive, write_table

from merbench.corpus import IMPORTERS, verify_corpus
from merbench.corpus.cells import Cells
from merbench.corpus.declaration import SPLIT, parse_metadata
from merbench.corpus.sheets import Sheet
from merbench.errors import InvalidCorpus, UsageError

NAMES = IMPORTERS.names()
ID_FORMS = {
    "": "s{}",
    "<video>_<number>": "v_{}",
    "<train, val or test>_dia<number>_utt<number>": "train_dia0_utt{}",
    "Ses0<1 to 5><F or M>_<dialogue>_<F or M><number>": "Ses01F_impro01_F00{}",
    "<video>/<number>.jpg": "v/0000{}.jpg",
}


def table_file(sheet: Sheet) -> str | None:
    """Return the name under which a sheet is a CSV; None where it is only had in another form."""
    return next((name for name in sheet.files if sheet.reader is None or name.endswith(".csv")), None)


TABLES = [
    (name, index)
    for name in NAMES
    for index, layout in enumerate(release(name).layouts)
    if all(table_file(sheet) for sheet in layout)
]


def test_every_corpus_of_the_family_has_an_importer() -> None:
    family = """
        abaw4-mtl abaw6-expr abaw6-va add2023-ar add2023-fgd add2023-fgg add2023-rl ch-sims ch-sims-v2 cmu-mosei
        cmu-mosi cmu-mosi-trimodal crema-d dfew emer enterface ferv39k ger-abstract ger-affectnet ger-artphoto ger-casme
        ger-casme2 ger-ch-sims ger-ckplus ger-cmu-mosi ger-dfew ger-enterface ger-ferplus ger-ferv39k ger-mer2023
        ger-rafdb ger-ravdess ger-samm ger-sfew2 ger-twitter1 ger-twitter2 iemocap-4 iemocap-6 mafw meld mer2023
        mer2024-noise mer2024-ov mer2024-semi mer2025-des mer2025-fg mer2025-pr mer2025-semi mer2026-cross mer2026-fg
        mer2026-prefer mer2026-ps msp-improv ravdess werewolf-xl
    """
    assert family.split() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_release_explains_itself(name: str) -> None:
    told = release(name)
    text = told.explain()
    assert told.name == name
    assert text.startswith(
        f"{name}: {told.title}\nsource: {told.source}\nlicence: {told.licence}\nobtain: {told.obtain}\n"
    )
    for layout in told.layouts:
        for sheet in layout:
            assert all(file in text for file in sheet.files)
            assert table_file(sheet) is None or all(column in text for column in sheet.columns)
            assert sheet.reader is None or (sheet.form in text and sheet.form)
            assert not sheet.without or f"(without it: {sheet.without})" in text
            assert sheet.files[0] in told.expects
    assert (told.known is None) == (not told.id_form)
    parse_metadata(name, name=name, version=told.version, source=told.source, licence=told.licence)


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_folder_gets_one_message_with_every_missing_file(name: str, tmp_path: Path) -> None:
    told = release(name)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidCorpus) as error:
        told(tmp_path / "empty", tmp_path / "c")
    needed = [f"E601  missing: {sheet.explain()}" for sheet in told.layouts[0] if not sheet.without]
    problems = [str(problem) for problem in error.value.problems]
    assert problems[: len(needed)] == needed
    assert len(problems) == len(needed) + (len(told.layouts) > 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty"]


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_that_is_not_there(name: str, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=rf"gone: no such folder; `merbench corpus import {name}` describes the files$"
    ):
        release(name)(tmp_path / "gone", tmp_path / "c")


@pytest.mark.parametrize(("name", "index"), TABLES)
def test_every_column_is_missed_at_once(name: str, index: int, tmp_path: Path) -> None:
    layout = release(name).layouts[index]
    for sheet in layout:
        write_table(tmp_path / "r" / str(table_file(sheet)), "strange", ["x"])
    with pytest.raises(InvalidCorpus) as error:
        release(name)(tmp_path / "r", tmp_path / "c")
    assert [str(problem) for problem in error.value.problems] == [
        f"E611  {Path(str(table_file(sheet))).name}: no column {shown(sheet.columns)}; the columns are strange"
        for sheet in layout
    ]


def shown(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 5 else f"{', '.join(names[:5])}, … ({len(names) - 5} more)"


def example(cells: Cells) -> str:
    """Return a cell that holds a reference."""
    if cells.segments is not None:
        return f"{cells.segments.labels[0]}-0-1"
    for cell in ("1", "['x']", *cells.allowed.split(", "), "x"):
        try:
            if cells.value(cell) is not None:
                return cell
        except ValueError:
            continue
    raise AssertionError(cells.allowed)


def row(sheet: Sheet, name: str) -> list[str]:
    cells = {column: example(sheet.targets[name]) for name, column in sheet.target_columns.items()}
    split = {column: "test" for column, becomes in sheet.samples.items() if becomes == SPLIT}
    return [{**dict.fromkeys(sheet.columns, "1"), **cells, **split, sheet.id: name}[column] for column in sheet.columns]


@pytest.mark.parametrize(("name", "index"), TABLES)
def test_a_release_is_imported_from_the_tables_it_asks_for(name: str, index: int, tmp_path: Path) -> None:
    told = release(name)
    layout = told.layouts[index]  # every sheet that names samples gets one, every sheet of references alone one of them
    form = ID_FORMS[told.id_form]
    naming = [sheet for sheet in layout if sheet.lists_samples]
    ids = {id(sheet): form.format(number) for number, sheet in enumerate(naming)}
    referring = iter(ids.values())
    for sheet in layout:
        names = [ids[id(sheet)]] if id(sheet) in ids else [next(referring)] if sheet.targets else list(ids.values())
        write_table(
            tmp_path / "r" / str(table_file(sheet)), " ".join(sheet.columns), *[row(sheet, name) for name in names]
        )
    imported = told(tmp_path / "r", tmp_path / "c")
    corpus = imported.corpus
    assert sorted(corpus.samples()["sample_id"].to_pylist()) == sorted(ids.values())
    reference = corpus.reference()
    assert reference is not None
    assert set(reference.column_names) == {"sample_id", *(name for sheet in layout for name in sheet.targets)}
    assert set(codes_of(imported)) <= {"W602"}
    assert verify_corpus(corpus) == []
    again = told(tmp_path / "r", tmp_path / "d").corpus
    assert again.digest == corpus.digest
    assert (again.folder / "corpus.toml").read_bytes() == (corpus.folder / "corpus.toml").read_bytes()


ARCHIVES = [name for name in NAMES for sheet in release(name).layouts[0] if "dictionaries" in sheet.form]


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_pickle_that_calls_anything_is_refused_by_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    archive = release(name).layouts[0][0].files[0]
    write_archive(tmp_path / "r" / archive, any={"a": {"emo": Call(eval, "open('owned', 'w')"), "val": 1}})
    with pytest.raises(
        InvalidCorpus, match=r"member 'any\.npy': the pickle asks for builtins\.eval, which is not allowed"
    ):
        release(name)(tmp_path / "r", tmp_path / "c")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r"]


def test_a_corpus_that_is_there_stays_when_the_release_has_problems(tmp_path: Path) -> None:
    told = release("ger-ckplus")
    file = write_table(tmp_path / "r" / "label.csv", "name gt", ["a", "anger"])
    digest = told(tmp_path / "r", tmp_path / "c").corpus.digest
    with pytest.raises(UsageError, match=r"already exists; --force replaces it$"):
        told(tmp_path / "r", tmp_path / "c")
    write_table(file, "name gt", ["a", "angry"])
    with pytest.raises(
        InvalidCorpus, match=r"E614  gt: label\.csv: references that cannot be read \(1 of 1\): 'angry'"
    ):
        told(tmp_path / "r", tmp_path / "c", replace=True)
    write_table(file, "name gt", ["a", "anger"])
    assert told(tmp_path / "r", tmp_path / "d").corpus.digest == digest
    write_table(file, "name gt", ["a", "fear"])
    assert columns(told(tmp_path / "r", tmp_path / "c", replace=True), "discrete") == [("fear",)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "d", "r"]


REAL: list[tuple[str, str, dict[str, int]]] = [
    ("ch-sims", "sims", {"dev": 456, "test": 457, "train": 1368}),
    ("ch-sims-v2", "simsv2", {"dev": 647, "test": 1034, "train": 2722}),
    ("cmu-mosei", "cmumosei", {"dev": 1871, "test": 4659, "train": 16326}),
    ("cmu-mosi", "cmumosi", {"dev": 229, "test": 686, "train": 1284}),
    ("cmu-mosi-trimodal", "features", {"test": 752, "train": 1447}),
    ("crema-d", "features", {"all": 5885}),
    ("ger-abstract", "gpt4v-ger/abstract", {"test": 229}),
    ("ger-affectnet", "gpt4v-ger/affectnet", {"test": 4000}),
    ("ger-casme", "gpt4v-ger/casme1", {"test": 178}),
    ("ger-ckplus", "gpt4v-ger/ckplus", {"test": 981}),
    ("ger-cmu-mosi", "gpt4v-ger/cmumosi", {"test": 686}),
    ("ger-dfew", "gpt4v-ger/dfew", {"test": 2341}),
    ("ger-enterface", "gpt4v-ger/enterface", {"test": 1287}),
    ("ger-ferv39k", "gpt4v-ger/ferv39k", {"test": 7847}),
    ("ger-mer2023", "gpt4v-ger/mer2023", {"test": 411}),
    ("ger-rafdb", "gpt4v-ger/rafdb", {"test": 3068}),
    ("ger-ravdess", "gpt4v-ger/ravdess", {"test": 1440}),
    ("ger-twitter1", "gpt4v-ger/twitter1", {"five_agree": 882, "four_agree": 234, "three_agree": 153}),
    ("iemocap-4", "iemocap", {"all": 5531}),
    ("iemocap-6", "iemocap", {"all": 7433}),
    ("meld", "meld", {"dev": 1109, "test": 2610, "train": 9989}),
    ("mer2024-ov", ".", {"test": 332}),
    ("ravdess", "features", {"all": 960}),
]


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "folder", "splits"), REAL)
def test_real_releases(name: str, folder: str, splits: dict[str, int], tmp_path: Path, test_data: Path) -> None:
    imported = release(name)(test_data / "data" / folder, tmp_path / "c")
    assert Counter(imported.corpus.samples()["split"].to_pylist()) == splits
    assert set(codes_of(imported)) <= {"W604"}  # no digest differs, no row is left out
    assert verify_corpus(imported.corpus) == []


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "folder", "files"),
    [
        ("ch-sims", "sims", ("label.npz", "labels.csv")),
        ("ch-sims-v2", "simsv2", ("label.npz", "labels.csv")),
        ("cmu-mosei", "cmumosei", ("label.npz", "labels.csv")),
        ("cmu-mosi", "cmumosi", ("label.npz", "labels.csv")),
        ("iemocap-4", "iemocap", ("label_4way.npz", "labels-4way.csv")),
        ("iemocap-6", "iemocap", ("label_6way.npz", "labels-6way.csv")),
        ("meld", "meld", ("label.npz", "labels.csv")),
    ],
)
def test_archive_and_table_give_the_same_corpus(
    name: str, folder: str, files: tuple[str, str], tmp_path: Path, test_data: Path
) -> None:
    source = test_data / "data" / folder
    corpora = []
    for file in (source / "release" / files[0], source / files[1]):
        release_folder = tmp_path / file.suffix
        release_folder.mkdir()
        (release_folder / file.name).symlink_to(file)
        if (source / "transcripts.csv").exists():
            (release_folder / "transcripts.csv").symlink_to(source / "transcripts.csv")
        corpora.append(release(name)(release_folder, tmp_path / f"c{file.suffix}").corpus)
    assert corpora[0].digest == corpora[1].digest
    rows = {row["name"]: row for row in read_table(source / files[1])}
    samples, reference = corpora[0].samples(), corpora[0].reference()
    assert reference is not None
    assert samples["sample_id"].to_pylist() == reference["sample_id"].to_pylist() == sorted(rows)
    assert samples["split"].to_pylist() == [rows[name]["split"] for name in sorted(rows)]
    if "sentiment" in reference.column_names:
        assert reference["sentiment"].to_pylist() == [float(rows[name]["sentiment"]) for name in sorted(rows)]
    if (source / "transcripts.csv").exists():
        transcripts = {row["name"]: row for row in read_table(source / "transcripts.csv")}
        own, other = ("chinese", "english") if corpora[0].language == "zh" else ("english", "chinese")
        assert samples["transcript"].to_pylist() == [transcripts[name][own] for name in sorted(rows)]
        assert samples[f"transcript_{other}"].to_pylist() == [transcripts[name][other] for name in sorted(rows)]
