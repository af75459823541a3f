"""Every release describes what it expects, asks for what is missing, and is imported from what it asks for."""

from __future__ import annotations

from pathlib import Path

import pytest
from released_files import Call, codes_of, columns, release, write_archive, write_table

from merbench.corpus import CORPORA, IMPORTERS, verify_corpus
from merbench.corpus.declaration import SPLIT, parse_metadata
from merbench.corpus.release_cells import Cells
from merbench.corpus.release_tables import ReleaseTable
from merbench.errors import InvalidCorpus, UsageError, listed

NAMES = IMPORTERS.names()
ID_FORMS = {
    "": "s{}",
    "<video>_<number>": "v_{}",
    "<train, val or test>_dia<number>_utt<number>": "train_dia0_utt{}",
    "Ses0<1 to 5><F or M>_<dialogue>_<F or M><number>": "Ses01F_impro01_F00{}",
    "<video>/<number>.jpg": "v/0000{}.jpg",
}


def table_file(sheet: ReleaseTable) -> str | None:
    """Return the name under which a sheet is a CSV; None where it only exists in another form."""
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
        cmu-mosi cmu-mosi-polarity cmu-mosi-trimodal crema-d crema-d-votes dfew emer emodb enterface ferv39k
        ger-abstract ger-affectnet ger-artphoto
        ger-casme ger-casme2 ger-ch-sims ger-ckplus ger-cmu-mosi ger-dfew ger-enterface ger-ferplus ger-ferv39k ger-mer2023
        ger-rafdb ger-ravdess ger-samm ger-sfew2 ger-twitter1 ger-twitter2 iemocap-4 iemocap-6 mafw meld
        mer-unibench-mer2024 mer-unibench-ov-merd-plus mer2023 mer2024-noise mer2024-ov mer2024-semi mer2025-des mer2025-fg mer2025-pr mer2025-semi mer2026-cross mer2026-fg
        mer2026-prefer mer2026-ps msp-improv ravdess werewolf-xl
    """
    assert family.split() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_release_explains_itself_and_asks_for_missing_files(name: str, tmp_path: Path) -> None:
    described = release(name)
    text = described.explain()
    assert text.startswith(
        f"{name}: {described.title}\nsource: {described.source}\n"
        f"licence: {described.licence}\nobtain: {described.obtain}\n"
    )
    for layout in described.layouts:
        for sheet in layout:
            assert all(file in text for file in sheet.files)
            assert table_file(sheet) is None or all(column in text for column in sheet.columns)
            assert sheet.reader is None or (sheet.form in text and sheet.form)
            assert not sheet.without or f"(without it: {sheet.without})" in text
            assert sheet.files[0] in described.expects
    assert (described.known is None) == (not described.id_form)
    parse_metadata(name, name=name, version=described.version, source=described.source, licence=described.licence)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidCorpus) as error:
        described(tmp_path / "empty", tmp_path / "c")
    needed = [f"E601  missing: {sheet.explain()}" for sheet in described.layouts[0] if not sheet.without]
    problems = [str(problem) for problem in error.value.problems]
    assert problems[: len(needed)] == needed
    assert len(problems) == len(needed) + (len(described.layouts) > 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty"]


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone: no such folder; `merbench corpus import meld` describes the files$"):
        release("meld")(tmp_path / "gone", tmp_path / "c")


def example(cells: Cells) -> str:
    """Return a cell that contains a reference."""
    if cells.segments is not None:
        return f"{cells.segments.labels[0]}-0-1"
    for cell in ("1", "['x']", *cells.allowed.split(", "), "x"):
        try:
            if cells.value(cell) is not None:
                return cell
        except ValueError:
            continue
    raise AssertionError(cells.allowed)


def row(sheet: ReleaseTable, name: str) -> list[str]:
    cells = {column: example(sheet.targets[name]) for name, column in sheet.target_columns.items()}
    split = {column: "test" for column, becomes in sheet.samples.items() if becomes == SPLIT}
    return [{**dict.fromkeys(sheet.columns, "1"), **cells, **split, sheet.id: name}[column] for column in sheet.columns]


@pytest.mark.parametrize(("name", "index"), TABLES)
def test_a_release_is_imported_from_the_tables_it_asks_for(name: str, index: int, tmp_path: Path) -> None:
    described = release(name)
    layout = described.layouts[index]
    for sheet in layout:
        write_table(tmp_path / "strange" / str(table_file(sheet)), "strange", ["x"])
    with pytest.raises(InvalidCorpus) as error:
        described(tmp_path / "strange", tmp_path / "c")
    assert [str(problem) for problem in error.value.problems] == [
        f"E611  {Path(str(table_file(sheet))).name}: no column {listed(sheet.columns)}; the columns are strange"
        for sheet in layout
    ]
    # Every sheet that lists samples gets one, every sheet that has only references one of them.
    listing = [sheet for sheet in layout if sheet.lists_samples]
    ids = {id(sheet): ID_FORMS[described.id_form].format(number) for number, sheet in enumerate(listing)}
    referring = iter(ids.values())
    for sheet in layout:
        names = [ids[id(sheet)]] if id(sheet) in ids else [next(referring)] if sheet.targets else list(ids.values())
        rows = [row(sheet, name) for name in names]
        write_table(tmp_path / "r" / str(table_file(sheet)), " ".join(sheet.columns), *rows)
    imported = described(tmp_path / "r", tmp_path / "c")
    corpus = imported.corpus
    assert sorted(corpus.samples()["sample_id"].to_pylist()) == sorted(ids.values())
    reference = corpus.reference()
    assert reference is not None
    assert set(reference.column_names) == {"sample_id", *(name for sheet in layout for name in sheet.targets)}
    assert set(codes_of(imported)) <= {"W602"}
    assert verify_corpus(corpus) == []


def test_every_archive_of_labels_refuses_a_pickle_that_calls_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    archives = [name for name in NAMES if "dictionaries" in release(name).layouts[0][0].form]
    assert len(archives) == 8
    for name in archives:
        file = release(name).layouts[0][0].files[0]
        write_archive(tmp_path / name / file, any={"a": {"emo": Call(eval, "open('owned', 'w')"), "val": 1}})
        message = r"member 'any\.npy': the pickle asks for builtins\.eval, which is not allowed"
        with pytest.raises(InvalidCorpus, match=message):
            release(name)(tmp_path / name, tmp_path / "c")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(archives)


def test_an_existing_corpus_stays_when_the_release_has_problems(tmp_path: Path) -> None:
    ckplus = release("ger-ckplus")
    file = write_table(tmp_path / "r" / "label.csv", "name gt", ["a", "anger"])
    ckplus(tmp_path / "r", tmp_path / "c")
    with pytest.raises(UsageError, match=r"already exists; --force replaces it$"):
        ckplus(tmp_path / "r", tmp_path / "c")
    write_table(file, "name gt", ["a", "angry"])
    with pytest.raises(InvalidCorpus, match="references that cannot be read"):
        ckplus(tmp_path / "r", tmp_path / "c", replace=True)
    assert verify_corpus(CORPORA.read(tmp_path / "c")) == []
    write_table(file, "name gt", ["a", "fear"])
    assert columns(ckplus(tmp_path / "r", tmp_path / "c", replace=True), "discrete") == [("fear",)]
