"""IEMOCAP: four or six emotions, sessions as folds, speakers from ids."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from released_files import columns, labelled, read_table, release, write_archive

from merbench.corpus.releases.merbench_labels import _iemocap_turn as turn


def test_codes_and_ids(tmp_path: Path) -> None:
    codes = {"Ses01F_impro01_F000": 0, "Ses05M_script03_2b_F001": 5, "Ses05M_impro01_M002": 4}
    write_archive(tmp_path / "r" / "label_6way.npz", whole_corpus=labelled(codes))
    imported = release("iemocap-6")(tmp_path / "r", tmp_path / "c")
    assert columns(imported, "sample_id", "split", "fold", "dialogue", "speaker", "discrete") == [
        ("Ses01F_impro01_F000", "all", 1, "Ses01F_impro01", "Ses01F", "happy"),
        ("Ses05M_impro01_M002", "all", 5, "Ses05M_impro01", "Ses05M", "excited"),
        ("Ses05M_script03_2b_F001", "all", 5, "Ses05M_script03_2b", "Ses05F", "frustrated"),
    ]


@pytest.mark.parametrize("name", ["Ses06F_impro01_F000", "Ses01F_F000", "Ses01X_impro01_F000", "Ses01F_impro01_F"])
def test_ids_that_are_no_turn(name: str) -> None:
    assert turn(name) is None


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "emotions"),
    [("iemocap-4", "happy sad neutral angry"), ("iemocap-6", "happy sad neutral angry excited frustrated")],
)
def test_labels_of_the_real_corpus(name: str, emotions: str, tmp_path: Path, test_data: Path) -> None:
    folder = test_data / "data" / "iemocap"
    table = read_table(folder / f"labels-{name[-1]}way.csv")
    rows = {row["name"]: emotions.split()[int(row["discrete"])] for row in table}
    imported = release(name)(folder, tmp_path / "c")
    assert dict(columns(imported, "sample_id", "discrete")) == rows
    assert {fold: n for (fold,), n in Counter(columns(imported, "fold")).items()} == Counter(
        int(row["name"][4]) for row in table
    )
    assert len(set(columns(imported, "speaker"))) == 10
    assert len(set(columns(imported, "dialogue"))) == 151
