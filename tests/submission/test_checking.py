"""What a participant reads: every check with its exact message, and the values of what passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from blind_candidates import LABELS, TARGETS, csv_rows, csv_text, sample_ids

from merbench.corpus.candidates import Candidates
from merbench.errors import InvalidSubmission
from merbench.submission import Submission, read_submission

Read = Callable[..., Submission]
Refused = Callable[..., str]
Make = Callable[..., Candidates]

ALLOWED = "neutral, angry, happy, sad, worried, surprise"


def changed(line: int, row: str, n: int = 12) -> str:
    """Return a right file with another row on one line."""
    rows = csv_rows(n)
    rows[line - 2] = row
    return csv_text(rows)


def test_right_answers_become_codes_and_numbers(read: Read) -> None:
    submission = read(csv_text(csv_rows(12)))
    assert submission.values["discrete"].tolist() == [0, 1, 2, 3, 4, 5] * 2
    assert submission.values["discrete"].dtype == np.int32
    assert submission.values["valence"].tolist() == [i / 10 for i in range(12)]
    assert (submission.n_rows, submission.n_extra, submission.warnings) == (12, 0, ())
    assert submission.source == "submission.csv"
    with pytest.raises(ValueError, match="read-only"):
        submission.values["valence"][0] = 1.0


def test_negative_zero_is_zero_and_another_value_another_digest(read: Read) -> None:
    plus, minus, other = (read(changed(2, f"sample_00000000,neutral,{v}")) for v in ("0.0", "-0.0", "0.01"))
    assert plus.digest == minus.digest != other.digest


def test_the_example_of_the_conventions(refused: Refused, make_candidates: Make) -> None:
    rows = csv_rows(412)
    rows[3] = "sample_00000003,hapy,0.3"
    rows[4] = "sample_00000004,worried,nan"
    rows[86] = "sample_00000010,happy,0.1"
    del rows[31], rows[15]
    assert refused(csv_text(rows), of=make_candidates([n for n in sample_ids(412) if n != "sample_00000086"])) == (
        "submission.csv: 4 problems\n"
        "  E301  2 of 411 candidates missing: sample_00000015, sample_00000031\n"
        "  E303  line 86: duplicate id 'sample_00000010' (first at line 12)\n"
        f"  E203  line 5, discrete: 'hapy' is not one of {ALLOWED}; did you mean 'happy'?\n"
        "  E204  line 6, valence: 'nan' is not a number in [-5, 5]"
    )


@pytest.mark.parametrize(
    ("line", "row", "message"),
    [
        (3, "sample_00000001,angri,0.1", f"E203  line 3, discrete: 'angri' is not one of {ALLOWED}; did you mean 'angry'?"),
        (3, "sample_00000001,Angry,0.1", f"E203  line 3, discrete: 'Angry' is not one of {ALLOWED}; did you mean 'angry'?"),
        (3, "sample_00000001,1,0.1", f"E203  line 3, discrete: '1' is not one of {ALLOWED}"),
        (3, "sample_00000001,,0.1", f"E205  line 3, discrete: empty; one of {ALLOWED} is needed"),
        (3, "sample_00000001,angry,", "E205  line 3, valence: empty; a number in [-5, 5] is needed"),
        (3, "sample_00000001,angry,  ", "E205  line 3, valence: empty; a number in [-5, 5] is needed"),
        (3, "sample_00000001,angry,nan", "E204  line 3, valence: 'nan' is not a number in [-5, 5]"),
        (3, "sample_00000001,angry,-inf", "E204  line 3, valence: '-inf' is not a number in [-5, 5]"),
        (3, "sample_00000001,angry,5.01", "E204  line 3, valence: '5.01' is not a number in [-5, 5]"),
        (3, "sample_00000001,angry,high", "E204  line 3, valence: 'high' is not a number in [-5, 5]"),
        (3, "sample_00000001,angry,1_0", "E204  line 3, valence: '1_0' is not a number in [-5, 5]"),
        (3, "sample_00000001,angry,\u0661", "E204  line 3, valence: '\u0661' is not a number in [-5, 5]"),
        (3, 'sample_00000001,angry,"0,1"', "E204  line 3, valence: '0,1' is not a number in [-5, 5]; write '0.1'"),
        (3, "sample_00000001,angry,=1/10", "E204  line 3, valence: '=1/10' is not a number in [-5, 5]; " "it starts with '=', as a spreadsheet's formula does: save values"),
        (3, "sample_00000001,angry,0,1", "E206  line 3: 4 cells, the header has 3; a decimal comma? write '0.5'"),
        (3, "sample_00000001", "E206  line 3: 1 cell, the header has 3"),
        (3, " sample_00000001,angry,0.1", "E304  line 3: id ' sample_00000001' has spaces around it; the candidate is 'sample_00000001'"),
        (3, "Sample_00000001,angry,0.1", "E304  line 3: id 'Sample_00000001' differs in case; the candidate is 'sample_00000001'"),
        (3, "s\u0430mple_00000001,angry,0.1", "E304  line 3: id 's\u0430mple_00000001' looks like candidate 'sample_00000001' " "and contains U+0430 (CYRILLIC SMALL LETTER A)"),
        (3, "sample_0000\u200b0001,angry,0.1", "E304  line 3: id 'sample_0000\\u200b0001' looks like candidate 'sample_00000001' " "and contains U+200B (ZERO WIDTH SPACE)"),
        (3, "sample 00000001,angry,0.1", "E301  1 of 12 candidates missing: sample_00000001\n" "  E302  line 3: id 'sample 00000001' is not a candidate; did you mean 'sample_00000001'?"),
        (3, "=A1,angry,0.1", "E301  1 of 12 candidates missing: sample_00000001\n" "  E302  line 3: id '=A1' is not a candidate; it starts with '=', as a spreadsheet's formula does"),
        (3, ",angry,0.1", "E301  1 of 12 candidates missing: sample_00000001\n  E305  line 3: the id is empty"),
        (3, '"two\nlines\x1b[31m",angry,0.1', "E301  1 of 12 candidates missing: sample_00000001\n" "  E302  line 3: id 'two\\nlines\\x1b[31m' is not a candidate"),
    ],
)  # fmt: skip
def test_one_wrong_row(refused: Refused, line: int, row: str, message: str) -> None:
    n = message.count("\n") + 1
    assert refused(changed(line, row)) == f"submission.csv: {n} problem{'s' if n > 1 else ''}\n  {message}"


@pytest.mark.parametrize("number", ["+0.1", " 0.1 ", "1e-1", ".1", "0.1000", "1E-1"])
def test_numbers_may_be_written_in_every_usual_way(read: Read, number: str) -> None:
    assert read(changed(3, f"sample_00000001,angry,{number}")).values["valence"][1] == 0.1


def test_a_number_written_otherwise_changes_no_other(read: Read) -> None:
    rows = [row.replace("0.1", "+0.1") if row.startswith("sample_00000001,") else row for row in csv_rows(12)]
    assert read(csv_text(rows)).values["valence"].tolist() == [i / 10 for i in range(12)]
    assert read(changed(3, "sample_00000001,angry,1e-999")).values["valence"][1] == 0.0  # too small to be held


def test_missing_ids_are_counted_and_five_are_shown(refused: Refused) -> None:
    assert refused(csv_text(csv_rows(12)[7:])) == (
        "submission.csv: 1 problem\n  E301  7 of 12 candidates missing: sample_00000000, sample_00000001, "
        "sample_00000002, sample_00000003, sample_00000004, … (2 more)"
    )


def test_five_examples_and_the_count_of_the_others(refused: Refused, make_candidates: Make) -> None:
    rows = [f"{name},joy{i},{9 + i}" for i, name in enumerate(sample_ids(200))]
    lines = refused(csv_text(rows), of=make_candidates(200)).splitlines()
    assert lines[0] == "submission.csv: 400 problems"
    assert lines[1:6] == [f"  E203  line {i}, discrete: 'joy{i - 2}' is not one of {ALLOWED}" for i in range(2, 7)]
    assert lines[6] == "  E203  discrete: … and 195 more"
    assert lines[11:] == ["  E204  line 6, valence: '13' is not a number in [-5, 5]", "  E204  valence: … and 195 more"]


def test_a_row_given_three_times_is_reported_twice_and_the_first_one_is_named(refused: Refused) -> None:
    rows = [*csv_rows(12), "sample_00000003,happy,1", "sample_00000003,sad,1"]
    assert refused(csv_text(rows)).splitlines()[1:] == [
        "  E303  line 14: duplicate id 'sample_00000003' (first at line 5)",
        "  E303  line 15: duplicate id 'sample_00000003' (first at line 5)",
    ]


def test_leading_zeros_that_a_spreadsheet_dropped(refused: Refused, make_candidates: Make) -> None:
    rows = ["7,happy,0", "00000012,sad,1"]
    assert refused(csv_text(rows), of=make_candidates(["00000007", "00000012"])) == (
        "submission.csv: 1 problem\n  E304  line 2: id '7' lacks leading zeros; the candidate is '00000007'"
    )


def test_lines_count_those_inside_quoted_cells_and_empty_ones(refused: Refused) -> None:
    rows = [f'"{row.split(",")[0]}",{row.split(",", 1)[1]},"said\r\nover three\r\nlines"' for row in csv_rows(12)]
    rows[4] = rows[4].replace("worried", "sorry")
    text = csv_text(["", *rows], "sample_id,discrete,valence,transcript").replace("\r\n", "\n")
    # The header, an empty line, and three lines for each of the rows before the fifth: line 2 + 4 * 3 + 1.
    assert refused(text) == f"submission.csv: 1 problem\n  E203  line 15, discrete: 'sorry' is not one of {ALLOWED}"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_of_every_ending(refused: Refused, end: str) -> None:
    text = changed(7, "sample_00000005,surprize,0.5").replace("\n", end)
    assert refused(text) == (
        f"submission.csv: 1 problem\n  E203  line 7, discrete: 'surprize' is not one of {ALLOWED}; did you mean 'surprise'?"
    )


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("id,discrete,valence", "E201  the first column is 'id', it must be the id column 'sample_id'; columns: 'id', 'discrete', 'valence'"),
        ("Sample_ID,discrete,valence", "E201  the first column is 'Sample_ID', it must be the id column 'sample_id'; columns: 'Sample_ID', 'discrete', 'valence'"),
        ("discrete,sample_id,valence", "E201  the first column is 'discrete', it must be the id column 'sample_id', which is column 2"),
        (
            ",sample_id,discrete",
            "E201  the first column is '', it must be the id column 'sample_id', which is column 2; "
            "leave out the index (pandas: to_csv(index=False))\n"
            "  E202  valence: the column is missing; columns: '', 'sample_id', 'discrete'",
        ),
        ("sample_id,discrete,sample_id", "E202  sample_id: occurs 2 times (columns 1, 3)\n  E202  valence: the column is missing; columns: 'sample_id', 'discrete', 'sample_id'"),
        ("sample_id,discrete,valance", "E202  valence: the column is missing; columns: 'sample_id', 'discrete', 'valance'; if it is 'valance': --rename valance=valence"),
        (
            "sample_id,emotion,valence",
            "E202  discrete: the column is missing (nor are its probabilities, p_neutral, p_angry, p_happy, p_sad, "
            "p_worried, … (1 more)); columns: 'sample_id', 'emotion', 'valence'; if it is 'emotion': --rename emotion=discrete",
        ),
        ("sample_id,discrete,discrete", "E202  discrete: occurs 2 times (columns 2, 3)\n  E202  valence: the column is missing; columns: 'sample_id', 'discrete', 'discrete'"),
    ],
)  # fmt: skip
def test_a_wrong_header(refused: Refused, header: str, message: str) -> None:
    n = message.count("\n") + 1
    assert refused(csv_text(csv_rows(12), header)) == f"submission.csv: {n} problem{'s' if n > 1 else ''}\n  {message}"


def test_a_header_that_was_forgotten(refused: Refused) -> None:
    assert refused("\n".join(csv_rows(12))) == (
        "submission.csv: 1 problem\n  E201  the first line is a row ('sample_00000000'); above it, a header must name "
        "the columns: sample_id,discrete,valence"
    )


def test_a_wrong_column_does_not_hide_wrong_rows(refused: Refused) -> None:
    rows = csv_rows(12)
    rows[2] = "sample_00000002,hapy,0.2"
    assert refused(csv_text(rows[:11], "sample_id,discrete,arousal")).splitlines()[1:] == [
        "  E202  valence: the column is missing; columns: 'sample_id', 'discrete', 'arousal'; if it is 'arousal': "
        "--rename arousal=valence",
        "  E301  1 of 12 candidates missing: sample_00000011",
        f"  E203  line 4, discrete: 'hapy' is not one of {ALLOWED}; did you mean 'happy'?",
    ]


def test_undeclared_columns_are_named_once_and_never_used(read: Read) -> None:
    rows = [f"{row},note,nan" for row in csv_rows(12)]
    submission = read(csv_text(rows, "sample_id,discrete,valence,remark,arousal"))
    assert [str(w) for w in submission.warnings] == [
        "W201  columns that the track does not declare are not used: 'remark', 'arousal'"
    ]
    assert sorted(submission.values) == ["discrete", "valence"]


def test_extra_ids_are_counted_and_ignored_where_the_track_allows_them(read: Read, make_candidates: Make) -> None:
    rows = [*(f"{name},nonsense,nan" for name in sample_ids(212)[12:]), *csv_rows(12)]
    submission = read(csv_text(rows), of=make_candidates(12, extra_ids="allow"))
    assert (submission.n_rows, submission.n_extra) == (212, 200)
    assert [str(w) for w in submission.warnings] == [
        "W301  200 of 212 rows belong to none of the 12 candidates and are ignored: sample_00000012, sample_00000013, "
        "sample_00000014, sample_00000015, sample_00000016, … (195 more)"
    ]
    assert submission.digest == read(csv_text(csv_rows(12)), of=make_candidates(12)).digest


def test_a_slip_is_an_error_even_where_extra_ids_are_allowed(refused: Refused, make_candidates: Make) -> None:
    text = changed(3, "SAMPLE_00000001,angry,0.1")
    assert "E304  line 3: id 'SAMPLE_00000001' differs in case" in refused(text, of=make_candidates(extra_ids="allow"))


CATEGORICAL = {"discrete": TARGETS["discrete"]}


def test_missing_candidates_are_wrong_where_the_track_says_so(read: Read, make_candidates: Make) -> None:
    candidates = make_candidates(4, CATEGORICAL, missing_ids="wrong")
    submission = read("sample_id,discrete\nsample_00000002,sad\nsample_00000000,\n", of=candidates)
    assert submission.values["discrete"].tolist() == [-1, -1, 3, -1]
    assert [str(w) for w in submission.warnings] == [
        "W302  2 of 4 candidates without a row, counted as wrong: sample_00000001, sample_00000003",
        "W302  discrete: 1 of 2 answers are empty, counted as wrong",
    ]


def test_no_candidate_at_all_is_never_a_submission(refused: Refused, make_candidates: Make) -> None:
    candidates = make_candidates(4, CATEGORICAL, missing_ids="wrong", extra_ids="allow")
    assert "E301  4 of 4 candidates missing" in refused("sample_id,discrete\nx,sad\n", of=candidates)


def test_an_alias_is_read_as_its_label(read: Read, make_candidates: Make) -> None:
    target = {**TARGETS["discrete"], "aliases": {"surprised": "surprise", "anger": "angry"}}
    text = "sample_id,discrete\nsample_00000000,anger\nsample_00000001,surprised\nsample_00000002,surprise\n"
    submission = read(text, of=make_candidates(3, {"discrete": target}))
    assert submission.values["discrete"].tolist() == [1, 5, 5]
    assert submission.warnings == ()


def test_answers_outside_the_vocabulary_are_wrong_where_the_track_says_so(read: Read, make_candidates: Make) -> None:
    target = {**TARGETS["discrete"], "out_of_vocabulary": "wrong"}
    text = "sample_id,discrete\nsample_00000000,joy\nsample_00000001,glee\nsample_00000002,joy\n"
    submission = read(text, of=make_candidates(3, {"discrete": target}))
    assert submission.values["discrete"].tolist() == [-1, -1, -1]
    assert [str(w) for w in submission.warnings] == [
        f"W202  discrete: 3 of 3 answers are not one of {ALLOWED} and count as wrong: 'joy' (2), 'glee' (1)"
    ]


def test_a_number_without_a_range_is_any_finite_number(refused: Refused, make_candidates: Make) -> None:
    candidates = make_candidates(2, {"valence": {"type": "continuous"}})
    assert refused("sample_id,valence\nsample_00000000,1e300\nsample_00000001,inf\n", of=candidates) == (
        "submission.csv: 1 problem\n  E204  line 3, valence: 'inf' is not a finite number"
    )


CHANCES = ",".join(f"p_{label}" for label in LABELS)


def chance_text(*rows: str, label: bool = False) -> str:
    header = f"sample_id,{'discrete,' if label else ''}{CHANCES}"
    return csv_text([f"sample_{i:08d},{row}" for i, row in enumerate(rows)], header)


def test_probabilities_give_the_most_likely_label_and_the_first_among_equals(read: Read, make_candidates: Make) -> None:
    submission = read(
        chance_text("0,0,0.2,0.8,0,0", "0.1,0.4,0.1,0.4,0,0", "0.3333,0.3333,0.3333,0,0,0"),  # sums of 1 within 0.001
        of=make_candidates(3, CATEGORICAL),
    )
    assert submission.values["discrete"].tolist() == [3, 1, 0]
    assert submission.probabilities["discrete"][1].tolist() == [0.1, 0.4, 0.1, 0.4, 0, 0]
    assert submission.warnings == ()


def test_wrong_probabilities(refused: Refused, make_candidates: Make) -> None:
    text = chance_text("0,0,0.2,0.7,0,0", "1.5,0,0,-0.5,0,0", "nan,0,0,1,0,0", "x,,0,0,0,1")
    assert refused(text, of=make_candidates(4, CATEGORICAL)).splitlines() == [
        "submission.csv: 6 problems",
        "  E209  line 3, p_neutral: '1.5' is not a probability in [0, 1]",
        "  E209  line 4, p_neutral: 'nan' is not a probability in [0, 1]",
        "  E209  line 5, p_neutral: 'x' is not a probability in [0, 1]",
        "  E205  line 5, p_angry: empty; a probability in [0, 1] is needed",
        "  E209  line 3, p_sad: '-0.5' is not a probability in [0, 1]",
        "  E209  line 2, discrete: the probabilities sum to 0.9; they must sum to 1 within 0.001",
    ]


def test_a_probability_column_that_is_missing(refused: Refused, make_candidates: Make) -> None:
    text = "sample_id,p_neutral,p_angry,p_happy,p_sad\nsample_00000000,0,0,0,1\n"
    assert refused(text, of=make_candidates(1, CATEGORICAL)) == (
        "submission.csv: 1 problem\n"
        "  E202  discrete: of the probability columns, p_worried, p_surprise are missing; give all 6 or none"
    )


def test_a_label_beside_probabilities_must_be_the_most_probable_one(
    read: Read, refused: Refused, make_candidates: Make
) -> None:
    candidates = make_candidates(2, CATEGORICAL)
    tied = read(chance_text("sad,0,0,0.5,0.5,0,0", "happy,0,0,1,0,0,0", label=True), of=candidates)
    assert tied.values["discrete"].tolist() == [3, 2]
    text = chance_text("sad,0,0,0.5005,0.4995,0,0", "happy,0,0,1,0,0,0", label=True)
    assert refused(text, of=candidates) == (
        "submission.csv: 1 problem\n  E210  line 2, discrete: 'sad' has the probability 0.4995 and 'happy' 0.5005; "
        "give the most probable label, or leave out the labels or the probabilities"
    )


def test_probabilities_of_labels_that_two_targets_share_belong_to_neither(read: Read, make_candidates: Make) -> None:
    pair = {"type": "categorical", "labels": ["no", "yes"]}
    candidates = make_candidates(1, {"one": pair, "two": pair})
    submission = read("sample_id,one,two,p_no,p_yes\nsample_00000000,no,yes,0,1\n", of=candidates)
    assert [str(w) for w in submission.warnings] == [
        "W201  columns that the track does not declare are not used: 'p_no', 'p_yes'"
    ]


def test_probabilities_of_missing_candidates_are_not_numbers(read: Read, make_candidates: Make) -> None:
    candidates = make_candidates(2, CATEGORICAL, missing_ids="wrong")
    submission = read(chance_text("0,0,0,1,0,0"), of=candidates)
    assert submission.values["discrete"].tolist() == [3, -1]
    assert np.isnan(submission.probabilities["discrete"][1]).all()


def test_rows_without_lines_are_named_by_number(candidates: Candidates) -> None:
    table = pa.table(
        {"sample_id": sample_ids(12), "discrete": ["hapy", *LABELS[1:], *LABELS], "valence": [0.0] * 11 + [9.5]}
    )
    with pytest.raises(InvalidSubmission) as caught:
        read_submission(table, candidates)
    assert str(caught.value).splitlines() == [
        "table: 2 problems",
        f"  E203  discrete: row 1: 'hapy' is not one of {ALLOWED}; did you mean 'happy'?",
        "  E204  valence: row 12: '9.5' is not a number in [-5, 5]",
    ]
    assert [problem.id for problem in caught.value.problems] == ["sample_00000000", "sample_00000011"]


def test_a_text_that_is_wrong_again_and_again_is_reported_once(refused: Refused) -> None:
    rows = csv_rows(12)
    for row in range(9):
        sample, _, valence = rows[row].split(",")
        rows[row] = f"{sample},{('Neutral', 'sda', 'Sad')[row % 3]},{valence}"
    allowed = "is not one of neutral, angry, happy, sad, worried, surprise; did you mean"
    assert refused(csv_text(rows)) == (
        "submission.csv: 9 problems\n"
        f"  E203  line 2, discrete: 'Neutral' {allowed} 'neutral'?; and 2 more lines (5, 8)\n"
        f"  E203  line 3, discrete: 'sda' {allowed} 'sad'?; and 2 more lines (6, 9)\n"
        f"  E203  line 4, discrete: 'Sad' {allowed} 'sad'?; and 2 more lines (7, 10)"
    )


def test_an_id_far_from_every_candidate_gets_no_suggestion(refused: Refused) -> None:
    rows = csv_rows(12)
    message = refused(
        csv_text([*rows, rows[0].replace("00000000", "99999999"), rows[0].replace("00000000", "00000091")])
    )
    assert "id 'sample_99999999' is not a candidate\n" in message
    assert "id 'sample_00000091' is not a candidate; did you mean 'sample_000000" in message


def test_a_misspelt_probability_column_is_named(refused: Refused) -> None:
    chances = ["p_neutral", "p_angry", "p_happy", "p_sda", "p_worried", "p_surprise"]
    rows = [f"{row},0,0,0,1,0,0" for row in csv_rows(12)]
    message = refused(csv_text(rows, ",".join(["sample_id", "discrete", "valence", *chances])))
    assert (
        "E202  discrete: of the probability columns, p_sad are missing; give all 6 or none; "
        "'p_sda': did you mean 'p_sad'?"
    ) in message


# Ids without a folder or a suffix

PLACES = ["a/1.jpg", "a/2.jpg", "b/3.jpg"]
ONE = {"valence": {"type": "continuous"}}


def of_places(
    rule: str, make_candidates: Make, ids: list[str], candidates: list[str] = PLACES, **rules: Any
) -> list[str]:
    table = pa.table({"sample_id": ids, "valence": [float(i) for i in range(len(ids))]})
    try:
        submission = read_submission(table, make_candidates(candidates, ONE, match_ids=rule, **rules))
    except InvalidSubmission as error:
        return [str(problem) for problem in error.problems]
    assert submission.values["valence"].tolist() == [float(i) for i in range(len(ids))]
    return [str(warning) for warning in submission.warnings]


@pytest.mark.parametrize(
    ("rule", "ids", "reported"),
    [
        ("base_name", ["1.jpg", "2.jpg", "3.jpg"], "3 ids matched without folder"),
        ("without_suffix", ["a/1", "a/2.jpg", "b/3"], "2 ids matched without suffix"),
        ("base_name_without_suffix", ["1", "2.jpg", "b/3"], "3 ids matched without folder or suffix"),
    ],
)  # fmt: skip
def test_an_id_may_lack_its_folder_or_suffix(rule: str, ids: list[str], reported: str, make_candidates: Make) -> None:
    assert of_places(rule, make_candidates, PLACES) == []
    (warning,) = of_places(rule, make_candidates, ids)
    assert warning == f"W304  {reported}, as the track declares: '{ids[0]}' is candidate 'a/1.jpg'"
    assert of_places("exact", make_candidates, ids) != []


def test_a_candidate_may_lack_what_an_id_has(make_candidates: Make) -> None:
    (warning,) = of_places("base_name_without_suffix", make_candidates, ["x/1.avi", "x/2.avi"], ["1", "2"])
    assert warning.endswith("'x/1.avi' is candidate '1'")


def test_a_dot_in_an_id_begins_a_suffix_only_as_the_end_of_a_file_name_does(make_candidates: Make) -> None:
    candidates = ["clip_1", "clip_1.5", "v1.0_a.mp4", "v1.0a.mp4"]
    (warning,) = of_places("without_suffix", make_candidates, ["clip_1.wav", "clip_1.5", "v1.0_a", "v1.0a"], candidates)
    assert warning.startswith("W304  3 ids matched without suffix")
    assert of_places("without_suffix", make_candidates, ["clip_1.5", "v1"], ["clip_1", "v1.0_a"])[-2:] == [
        "E302  row 1: id 'clip_1.5' is not a candidate; did you mean 'clip_1'?",
        "E302  row 2: id 'v1' is not a candidate",
    ]


def test_two_folders_or_suffixes_are_two_samples(make_candidates: Make) -> None:
    ids = ["b/1.jpg", "a/2.png", "b/3.jpg"]
    assert [text[:40] for text in of_places("base_name_without_suffix", make_candidates, ids)] == [
        "E301  2 of 3 candidates missing: a/1.jpg",
        "E302  row 1: id 'b/1.jpg' is not a candi",
        "E302  row 2: id 'a/2.png' is not a candi",
    ]


@pytest.mark.parametrize("rules", [{}, {"missing_ids": "dropped", "extra_ids": "allow"}])
def test_an_id_that_may_be_two_candidates_is_an_error(rules: dict[str, str], make_candidates: Make) -> None:
    result = of_places("base_name", make_candidates, ["1.jpg"], ["a/1.jpg", "b/1.jpg"], **rules)
    assert result == ["E307  row 1: id '1.jpg' may be 2 candidates, a/1.jpg, b/1.jpg; write the full id"]


@pytest.mark.parametrize("duplicate_ids", ["error", "mean"])
def test_two_ids_of_one_candidate_are_an_error(duplicate_ids: str, make_candidates: Make) -> None:
    ids = ["a/1.jpg", "a/2.jpg", "a/1", "b/3.jpg"]
    result = of_places("without_suffix", make_candidates, ids, duplicate_ids=duplicate_ids)
    assert result == ["E307  row 3: ids 'a/1' and 'a/1.jpg' (row 1) are both candidate 'a/1.jpg'; keep one"]


# What ids have in common with those of the candidates

NUMBERED = [f"set/sample_{i:04}.mp4" for i in range(200)]
PADDED = [f"sample_{i:08}" for i in range(200)]


@pytest.mark.parametrize(
    ("candidates", "written", "reported"),
    [
        (NUMBERED, lambda name: name[:-4], "lack the suffix '.mp4' of the candidates; add it"),
        ([name[:-4] for name in NUMBERED], lambda name: f"{name}.mp4", "have the suffix '.mp4' that the candidates lack; leave it out"),
        (NUMBERED, lambda name: f"{name[:-4]}.avi", "differ from the candidates in suffix; write them as the candidates are"),
        (NUMBERED, lambda name: name[4:], "lack the folder 'set/' of the candidates; add it"),
        (NUMBERED, lambda name: f"all/{name}", "have the folder 'all/' that the candidates lack; leave it out"),
        (NUMBERED, lambda name: f"dev{name[3:]}", "differ from the candidates in folder; write them as the candidates are"),
        (NUMBERED, lambda name: name.replace("/", "\\"), "differ from the candidates in folder; write them as the candidates are"),
        (NUMBERED, str.upper, "differ from the candidates in case; write them as the candidates are"),
        (NUMBERED, lambda name: f" {name}", "have spaces around them; remove these"),
        (NUMBERED, lambda name: name.replace("_0", "_").replace("_0", "_"), "have other leading zeros than the candidates; pad the numbers as these do"),
        ([name[4:-4] for name in NUMBERED], lambda name: name[7:], "lack the text 'sample_' in front of the candidates; add it"),
        ([name[4:-4] for name in NUMBERED], lambda name: f"x_{name}", "have the text 'x_' in front that the candidates lack; leave it out"),
        ([name[4:-4] for name in NUMBERED], lambda name: f"{name}_zh", "have the text '_zh' at the end that the candidates lack; leave it out"),
        ([name[4:-4] for name in NUMBERED], lambda name: f"test_{name[7:]}", "differ from the candidates in prefix; write them as the candidates are"),
        ([f"film {'ab'[i % 2]}/{i}" for i in range(200)], lambda name: name.rpartition("/")[2], "lack the folder of the candidates; add it"),
        (PADDED, lambda name: f"{int(name[7:])}", "differ from the candidates in prefix and leading zeros; write them as the candidates are"),
        (PADDED, lambda name: f"val/{name.upper()}.mp4", "differ from the candidates in folder, suffix and case; write them as the candidates are"),
    ],
)  # fmt: skip
def test_what_all_ids_differ_in_is_reported_once(
    candidates: list[str], written: Callable[[str], str], reported: str, make_candidates: Make
) -> None:
    names = {written(name): name for name in candidates if written(name) != name}
    result = of_places("exact", make_candidates, [written(name) for name in candidates], candidates)
    assert len(result) == 1
    assert result[0].startswith(f"E304  {len(names)} of 200 ids {reported}: ")
    for text, name in list(names.items())[:3]:
        assert f"'{text}' for '{name}'" in result[0].replace("\\\\", "\\")


def test_every_way_in_which_ids_differ_is_said_with_its_own_count(make_candidates: Make) -> None:
    ids = [f"{name}.mp4" if i % 4 == 0 else f"x/{name}" for i, name in enumerate(PADDED)]
    assert of_places("exact", make_candidates, ids, PADDED) == [
        "E304  150 of 200 ids have the folder 'x/' that the candidates lack; leave it out: "
        "'x/sample_00000001' for 'sample_00000001', 'x/sample_00000002' for 'sample_00000002', "
        "'x/sample_00000003' for 'sample_00000003', … (147 more)",
        "E304  50 of 200 ids have the suffix '.mp4' that the candidates lack; leave it out: "
        "'sample_00000000.mp4' for 'sample_00000000', 'sample_00000004.mp4' for 'sample_00000004', "
        "'sample_00000008.mp4' for 'sample_00000008', … (47 more)",
    ]


def test_ids_that_the_remedy_would_make_one_are_named(make_candidates: Make) -> None:
    ids = [f"{name}{suffix}" for name in PADDED[:3] for suffix in (".mp4", ".wav")] + ["sample_00000001.wav"]
    assert of_places("exact", make_candidates, ids, PADDED[:3]) == [
        "E304  7 of 7 ids have the suffix that the candidates lack; leave it out: "
        "'sample_00000000.mp4' for 'sample_00000000', 'sample_00000000.wav' for 'sample_00000000', "
        "'sample_00000001.mp4' for 'sample_00000001', … (4 more)",
        *(
            f"E307  row {row}: ids '{name}.wav' and '{name}.mp4' (row {first}) are both candidate '{name}'; keep one"
            for row, first, name in [(2, 1, PADDED[0]), (4, 3, PADDED[1]), (6, 5, PADDED[2]), (7, 3, PADDED[1])]
        ),
    ]
    assert of_places("exact", make_candidates, ["SAMPLE_00000000"] * 2, PADDED[:1])[0] == (
        "E303  row 2: duplicate id 'SAMPLE_00000000' (first at row 1)"
    )


def test_ids_of_another_kind_have_nothing_in_common(make_candidates: Make) -> None:
    result = of_places("exact", make_candidates, [f"q{i * 7919 % 200}z{i}" for i in range(200)], NUMBERED)
    assert [text[:4] for text in result] == ["E301", *["E302"] * 6]


def test_what_most_ids_differ_in_hides_no_other_problem(make_candidates: Make) -> None:
    ids = [name.removesuffix(".mp4") for name in NUMBERED[:150]] + NUMBERED[150:198] + ["strange"]
    assert of_places("exact", make_candidates, ids, NUMBERED) == [
        "E304  150 of 199 ids lack the suffix '.mp4' of the candidates; add it: "
        "'set/sample_0000' for 'set/sample_0000.mp4', 'set/sample_0001' for 'set/sample_0001.mp4', "
        "'set/sample_0002' for 'set/sample_0002.mp4', … (147 more)",
        "E301  2 of 200 candidates missing: set/sample_0198.mp4, set/sample_0199.mp4",
        "E302  row 199: id 'strange' is not a candidate",
    ]


# Class indices where names of labels are needed


@pytest.mark.parametrize(
    ("answers", "mapping"),
    [
        (["0", "1", "2", "2"], "0 = calm, 1 = glad, 2 = sad"),
        (["3.0", "1.0", "2.0", "2.0"], "1 = calm, 2 = glad, 3 = sad"),
        (["calm", "2", "glad", "1"], "0 = calm, 1 = glad, 2 = sad"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["categorical", "ranked"])
def test_class_indices_are_named_once_with_the_mapping(
    kind: str, answers: list[str], mapping: str, make_candidates: Make
) -> None:
    target = {"type": kind, "labels": ["calm", "glad", "sad"]}
    table = pa.table({"sample_id": sample_ids(4), "mood": answers})
    with pytest.raises(InvalidSubmission) as caught:
        read_submission(table, make_candidates(4, {"mood": target}))
    noun = "answers" if kind == "categorical" else "first answers"
    n = sum(answer[0].isdigit() for answer in answers)
    assert [str(problem) for problem in caught.value.problems] == [
        f"E203  mood: {n} of 4 {noun} are numbers; write the names of labels; in the track's order: {mapping}"
    ]
    wrong = make_candidates(4, {"mood": {**target, "out_of_vocabulary": "wrong"}})
    (warning,) = read_submission(table, wrong).warnings
    assert str(warning).endswith(f"; in the track's order: {mapping}")


def test_numbers_that_are_not_class_indices_are_shown_one_by_one(make_candidates: Make) -> None:
    table = pa.table({"sample_id": sample_ids(3), "mood": ["0", "1", "7"]})
    with pytest.raises(InvalidSubmission, match="E203  mood: row 3: '7' is not one of calm, glad"):
        read_submission(table, make_candidates(3, {"mood": {"type": "categorical", "labels": ["calm", "glad"]}}))
