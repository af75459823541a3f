"""The challenges of 2024 to 2026 and EMER, from made-up lists; the 332 checked label sets, from the real one."""

from __future__ import annotations

from ast import literal_eval
from pathlib import Path

import pytest
from released_files import columns, read_table, release, write_table


def test_an_edition_with_its_references_and_without(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    write_table(folder / "track_all_candidates.csv", "name", ["a"], ["b"])
    write_table(folder / "track1_train_disdim.csv", "name discrete valence", ["c", "happy", "1"], ["a", "sad", "-1"])
    write_table(folder / "subtitle_chieng.csv", "name chinese english", *[[name, "好", ""] for name in "abcdef"])
    withheld = release("mer2025-semi")(folder, tmp_path / "c")
    names = ("sample_id", "split", "transcript", "transcript_english", "discrete")
    assert columns(withheld, *names) == [
        ("a", "test", "好", "", None), ("b", "test", "好", "", None), ("c", "train", "好", "", "happy")
    ]  # fmt: skip
    assert [str(warning) for warning in withheld.warnings] == [
        "W604  missing: track1_test_dis.csv or labels.csv: the references of the test split are withheld",
        "W605  track1_train_disdim.csv: samples that an earlier file lists are left out (1 of 2): a",
    ]
    write_table(folder / "labels.csv", "name discrete", ["b", "neutral"])
    held = release("mer2025-semi")(folder, tmp_path / "d")
    assert columns(held, "discrete") == [(None,), ("neutral",), ("happy",)]


def test_label_sets_are_kept_as_they_stand(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    write_table(folder / "candidates.csv", "name", ["a"])
    write_table(folder / "track2_train_human.csv", "name openset", ["b", "shocked,care"])
    write_table(folder / "track2_train_mercaptionplus.csv", "name openset", ["b", "[x]"], ["c", "[concern, hope]"])
    write_table(folder / "labels.csv", "name openset", ["a", "['calm', \"don't believe\"]"])
    assert columns(release("mer2026-fg")(folder, tmp_path / "c"), "sample_id", "split", "openset") == [
        ("a", "test", "['calm', \"don't believe\"]"), ("b", "train", "shocked,care"), ("c", "train-auto", "[concern, hope]")
    ]  # fmt: skip


def test_pairs_of_two_stages(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    write_table(folder / "track3_candidate.csv", "name a1 a2", ["p", "glad", "sad"])
    write_table(folder / "stage2_track3_candidate.csv", "name a1 a2", ["q", "calm", "5"])
    write_table(folder / "track3_emoprefer.csv", "name a1 a2 preference", ["r", "x", "y", "same"])
    write_table(folder / "track3_test.csv", "name preference", ["p", "a2"])
    write_table(folder / "stage2_track3_test.csv", "name preference", ["q", "a1"])
    imported = release("mer2026-prefer")(folder, tmp_path / "c")
    assert columns(imported, "sample_id", "split", "stage", "a1", "a2", "preference") == [
        ("p", "test", "1", "glad", "sad", "a2"),
        ("q", "test", "2", "calm", "5", "a1"),
        ("r", "train", None, "x", "y", "same"),
    ]


def test_checked_label_sets_are_candidates_or_references_of_candidates(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    write_table(folder / "check-openset.csv", "name openset", ["b", "['happy', 'calm']"])
    alone = release("mer2024-ov")(folder, tmp_path / "c")
    assert columns(alone, "sample_id", "split", "openset") == [("b", "test", ["happy", "calm"])]
    write_table(folder / "candidates.csv", "name", ["a"], ["b"])
    among = release("mer2024-ov")(folder, tmp_path / "d")
    assert columns(among, "sample_id", "split", "openset") == [("a", "test", None), ("b", "test", ["happy", "calm"])]


def test_emer_has_descriptions_and_label_sets(tmp_path: Path) -> None:
    write_table(
        tmp_path / "r" / "descriptions.csv", "name chinese english", ["a", "他笑", "He smiles"], ["b", "", "Calm"]
    )
    write_table(tmp_path / "r" / "check-openset.csv", "name openset", ["a", "['amused']"])
    imported = release("emer")(tmp_path / "r", tmp_path / "c")
    assert columns(imported, "sample_id", "description", "description_chinese", "openset") == [
        ("a", "He smiles", "他笑", ["amused"]), ("b", "Calm", None, None)
    ]  # fmt: skip


@pytest.mark.real_data
def test_the_real_label_sets(tmp_path: Path, test_data: Path) -> None:
    data = test_data / "data"
    imported = release("mer2024-ov")(data, tmp_path / "c")
    rows = {row["name"]: literal_eval(row["openset"]) for row in read_table(data / "mer2024-ov" / "check-openset.csv")}
    found = dict(columns(imported, "sample_id", "openset"))
    assert found == rows
    assert sum(map(len, rows.values())) == 1121  # 3.377 a sample, 248 different ones: as published
    assert len({word for words in rows.values() for word in words}) == 248
    transcripts = {row["name"]: row for row in read_table(data / "mer2023/release/transcription-engchi-polish.csv")}
    assert columns(imported, "sample_id", "transcript", "transcript_english") == [
        (name, transcripts[name]["chinese"], transcripts[name]["english"]) for name in sorted(rows)
    ]
    alone = release("mer2024-ov")(data / "mer2024-ov", tmp_path / "d")
    assert dict(columns(alone, "sample_id", "openset")) == rows
