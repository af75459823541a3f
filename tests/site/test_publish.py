"""The files of a published board, and what is said when they are stale."""

from __future__ import annotations

from pathlib import Path

from hand_made_boards import board, row

from merbench.site.page import board_files, stale_files, write_files


def test_a_board_is_four_files() -> None:
    made = board()
    files = board_files(made)
    assert list(files) == ["leaderboard.md", "leaderboard.csv", "leaderboard.json", "leaderboard.html"]
    assert files["leaderboard.json"] == made.to_json()
    assert list(board_files(made, ["csv"])) == ["leaderboard.csv"]


def test_what_was_written_is_not_stale(tmp_path: Path) -> None:
    files = board_files(board())
    write_files(tmp_path / "toy", files)
    assert list(stale_files(tmp_path / "toy", files)) == []


def test_a_stale_file_is_named_with_its_first_difference(tmp_path: Path) -> None:
    write_files(tmp_path, board_files(board(), ["markdown", "csv"]))
    (tmp_path / "leaderboard.md").write_bytes((tmp_path / "leaderboard.md").read_bytes() + b"more\n")
    (tmp_path / "leaderboard.csv").unlink()
    found = list(stale_files(tmp_path, board_files(board(), ["markdown", "csv"])))
    assert found == [
        f"{tmp_path / 'leaderboard.md'}: line 16 is 'more', should be ''",
        f"{tmp_path / 'leaderboard.csv'}: is missing",
    ]


def test_a_changed_line_end_is_a_difference(tmp_path: Path) -> None:
    files = board_files(board([row(overall=0.5, mse=0.5)]), ["csv"])
    (tmp_path / "leaderboard.csv").write_bytes(files["leaderboard.csv"].replace("\n", "\r\n").encode())
    (line,) = stale_files(tmp_path, files)
    assert line.startswith(f"{tmp_path / 'leaderboard.csv'}: line 1 is 'rank,team,")
