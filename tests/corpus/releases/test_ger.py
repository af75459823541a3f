"""The reference lists of the GPT-4V study: labels in lower case, polarity, ids that the stored answers have."""

from __future__ import annotations

from pathlib import Path

import pytest
from released_files import columns, read_table, release, write_table


def test_labels_of_any_case_and_names_with_folders(tmp_path: Path) -> None:
    write_table(tmp_path / "r" / "label.csv", "name gt gpt4v", ["1/a.JPG", "Surprise", ""], ["b.jpg", "fear", ""])
    imported = release("ger-affectnet")(tmp_path / "r", tmp_path / "c")
    assert columns(imported, "sample_id", "split", "media", "discrete") == [
        ("a.JPG", "test", "1/a.JPG", "surprise"), ("b.jpg", "test", "b.jpg", "fear")
    ]  # fmt: skip


def test_polarity_of_emotions_and_of_numbers(tmp_path: Path) -> None:
    write_table(tmp_path / "r" / "label.csv", "name gt", ["a", "Content"], ["b", "Sad"], ["c", "Awe"])
    imported = release("ger-abstract")(tmp_path / "r", tmp_path / "c")
    assert columns(imported, "discrete", "polarity") == [
        ("content", "positive"), ("sad", "negative"), ("awe", "positive")
    ]  # fmt: skip
    write_table(tmp_path / "s" / "label.csv", "name gt", ["a", "-0.2"], ["b", "0.0"], ["c", "3"])
    imported = release("ger-cmu-mosi")(tmp_path / "s", tmp_path / "d")
    assert columns(imported, "sentiment", "polarity") == [(-0.2, "negative"), (0.0, None), (3.0, "positive")]


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "answers", "unanswered"),
    [
        ("abstract", "label-gpt4v.csv", 2),
        ("affectnet", "label-gpt4v.csv", 0),
        ("ckplus", "label-gpt4v.csv", 0),
        ("cmu-mosi", "label-gpt4v-multi.csv", 4),
        ("dfew", "label-gpt4v.csv", 4),
        ("mer2023", "label-gpt4v-multi.csv", 0),
        ("rafdb", "label-gpt4v-rgb.csv", 1),
    ],
)
def test_real_lists_and_the_ids_of_stored_answers(
    name: str, answers: str, unanswered: int, tmp_path: Path, test_data: Path
) -> None:
    folder = test_data / "data" / "gpt4v-ger" / name.replace("-", "")
    imported = release(f"ger-{name}")(folder, tmp_path / "c")
    references = {row["name"].rpartition("/")[2]: row["gt"] for row in read_table(folder / "label.csv")}
    target = "sentiment" if name == "cmu-mosi" else "discrete"
    found = dict(columns(imported, "sample_id", target))
    assert found == {key: float(gt) if target == "sentiment" else gt.lower() for key, gt in references.items()}
    stored = read_table(folder / answers)
    assert {row["name"] for row in stored} <= set(found)
    assert len(found) - len(stored) == unanswered
    if name == "abstract":  # the file of stored answers gives the polarity
        polarity = dict(columns(imported, "sample_id", "polarity"))
        assert all(polarity[row["name"]] == row["gt"] for row in stored)
