"""The real releases: their sizes, and their values as tables that were made of them without merbench have them."""

from __future__ import annotations

from ast import literal_eval
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from released_files import codes_of, columns, read_table, release

from merbench.corpus import verify_corpus

pytestmark = pytest.mark.real_data

SIZES: list[tuple[str, str, dict[str, int]]] = [
    ("ch-sims", "sims", {"dev": 456, "test": 457, "train": 1368}),
    ("ch-sims-v2", "simsv2", {"dev": 647, "test": 1034, "train": 2722}),
    ("cmu-mosei", "cmumosei", {"dev": 1871, "test": 4659, "train": 16326}),
    ("cmu-mosi", "cmumosi", {"dev": 229, "test": 686, "train": 1284}),
    ("cmu-mosi-polarity", "features", {"test": 752, "train": 1447}),
    ("cmu-mosi-trimodal", "features", {"test": 752, "train": 1447}),
    ("crema-d", "features", {"all": 5885}),
    ("emodb", "media/speech/emodb", {"four": 266}),
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
    ("mer2023", "mer2023", {"train": 3373, "test1": 411, "test2": 412, "test3": 834}),
    ("mer2024-ov", ".", {"test": 332}),
    ("ravdess", "features", {"all": 960}),
]


LARGE = ("cmu-mosei", "meld")


@pytest.mark.parametrize(
    ("name", "folder", "splits"),
    [pytest.param(*case, marks=pytest.mark.slow) if case[0] in LARGE else case for case in SIZES],
)
def test_sizes(name: str, folder: str, splits: dict[str, int], tmp_path: Path, test_data: Path) -> None:
    imported = release(name)(test_data / "data" / folder, tmp_path / "c")
    assert Counter(imported.corpus.samples()["split"].to_pylist()) == splits
    assert set(codes_of(imported)) <= {"W604"}  # no digest differs, no row is left out
    assert verify_corpus(imported.corpus) == []


EMOTIONS = {
    "iemocap-4": "happy sad neutral angry",
    "iemocap-6": "happy sad neutral angry excited frustrated",
    "meld": "anger joy sadness neutral disgust fear surprise",
}


@pytest.mark.slow
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
        ("mer2023", "mer2023", ("label-6way.npz", "labels.csv")),
    ],
)
def test_archive_and_table_give_the_same_corpus(
    name: str, folder: str, files: tuple[str, str], tmp_path: Path, test_data: Path
) -> None:
    source = test_data / "data" / folder
    texts = source / ("release/transcription-engchi-polish.csv" if name == "mer2023" else "transcripts.csv")
    corpora = []
    for file in (source / "release" / files[0], source / files[1]):
        copy = tmp_path / file.suffix
        copy.mkdir()
        (copy / file.name).symlink_to(file)
        if texts.exists():
            (copy / texts.name).symlink_to(texts)
        corpora.append(release(name)(copy, tmp_path / f"c{file.suffix}").corpus)
    assert corpora[0].digest == corpora[1].digest
    rows = {row["name"]: row for row in read_table(source / files[1])}
    samples, reference = corpora[0].samples(), corpora[0].reference()
    assert reference is not None
    assert samples["sample_id"].to_pylist() == reference["sample_id"].to_pylist() == sorted(rows)
    assert samples["split"].to_pylist() == [rows[name]["split"] for name in sorted(rows)]
    for target in set(reference.column_names) - {"sample_id"}:
        cells = [rows[name][target] for name in sorted(rows)]
        expected: list[str | float | None] = [*cells]
        if name in EMOTIONS:
            expected = [EMOTIONS[name].split()[int(cell)] for cell in cells]
        elif target != "discrete":
            expected = [float(cell) if cell else None for cell in cells]
        assert reference[target].to_pylist() == expected
    if texts.exists():
        transcripts = {row["name"]: row for row in read_table(texts)}
        own, other = ("chinese", "english") if corpora[0].language == "zh" else ("english", "chinese")
        assert samples["transcript"].to_pylist() == [transcripts[name][own] for name in sorted(rows)]
        assert samples[f"transcript_{other}"].to_pylist() == [transcripts[name][other] for name in sorted(rows)]


def test_what_ids_contain(tmp_path: Path, test_data: Path) -> None:
    imported = release("iemocap-6")(test_data / "data" / "iemocap", tmp_path / "c")
    table = read_table(test_data / "data" / "iemocap" / "labels-6way.csv")
    folds = Counter(fold for (fold,) in columns(imported, "fold"))
    assert folds == Counter(int(row["name"][4]) for row in table)
    assert (len(set(columns(imported, "speaker"))), len(set(columns(imported, "dialogue")))) == (10, 151)
    mosi = release("cmu-mosi")(test_data / "data" / "cmumosi", tmp_path / "mosi")
    names = ("sample_id", "split", "dialogue", "position", "sentiment", "transcript")
    assert ("03bSnISJMiM_1", "train", "03bSnISJMiM", 1, 2.4, "ANYHOW IT WAS REALLY GOOD") in columns(mosi, *names)
    assert len(set(columns(mosi, "dialogue"))) == 93


def test_sims_is_part_of_its_second_version(tmp_path: Path, test_data: Path) -> None:
    first = release("ch-sims")(test_data / "data" / "sims", tmp_path / "first")
    second = release("ch-sims-v2")(test_data / "data" / "simsv2", tmp_path / "second")
    names = ("sample_id", "split", "sentiment")
    assert set(columns(first, *names)) <= set(columns(second, *names))


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
def test_lists_and_the_ids_of_stored_answers(
    name: str, answers: str, unanswered: int, tmp_path: Path, test_data: Path
) -> None:
    folder = test_data / "data" / "gpt4v-ger" / name.replace("-", "")
    imported = release(f"ger-{name}")(folder, tmp_path / "c")
    references = {row["name"].rpartition("/")[2]: row["gt"] for row in read_table(folder / "label.csv")}
    target = "sentiment" if name == "cmu-mosi" else "discrete"
    values = dict(columns(imported, "sample_id", target))
    assert values == {key: float(gt) if target == "sentiment" else gt.lower() for key, gt in references.items()}
    stored = read_table(folder / answers)
    assert {row["name"] for row in stored} <= set(values)
    assert len(values) - len(stored) == unanswered
    if name == "abstract":  # the file of stored answers gives the polarity
        polarity = dict(columns(imported, "sample_id", "polarity"))
        assert all(polarity[row["name"]] == row["gt"] for row in stored)


def test_features(tmp_path: Path, test_data: Path) -> None:
    folder = test_data / "data" / "features"
    for name, file, ids in (
        ("ravdess", "ravdess_av_folds1-4.npz", "name"),
        ("cmu-mosi-trimodal", "mosi_trimodal.npz", "id"),
    ):
        corpus = release(name)(folder, tmp_path / name).corpus
        with np.load(folder / file) as archive:
            order = np.argsort(archive[ids])
            for feature in corpus.features:
                assert np.array_equal(corpus.feature(feature).values, archive[feature][order])
    crema_d = release("crema-d")(folder, tmp_path / "crema-d")
    rows = sorted(read_table(folder / "cremad_votes.csv"), key=lambda row: row["clip"])
    assert columns(crema_d, "sample_id", "discrete", "speaker", "fold", "transcript") == [
        (row["clip"], row["emotion"], int(row["actor"]), int(row["fold"]), row["sentence"]) for row in rows
    ]
    votes = [[float(row[f"voice_votes_{letter}"]) for letter in "ADFHNS"] for row in rows]
    assert crema_d.corpus.feature("voice-votes").values.tolist() == votes


def test_names_of_clips(tmp_path: Path, test_data: Path) -> None:
    data = test_data / "data" / "media"
    imported = release("emodb")(data / "speech" / "emodb", tmp_path / "c")
    listed = [row for row in read_table(data / "speech_index.csv") if row["corpus"] == "EMO-DB"]
    assert columns(imported, "media", "speaker", "sentence", "discrete") == sorted(
        (Path(row["file"]).name, row["speaker"], row["text_code"], row["emotion"]) for row in listed
    )


def test_label_sets(tmp_path: Path, test_data: Path) -> None:
    data = test_data / "data"
    imported = release("mer2024-ov")(data, tmp_path / "c")
    rows = {row["name"]: literal_eval(row["openset"]) for row in read_table(data / "mer2024-ov" / "check-openset.csv")}
    assert dict(columns(imported, "sample_id", "openset")) == rows
    assert sum(map(len, rows.values())) == 1121  # 3.377 a sample, 248 different ones: as published
    assert len({word for words in rows.values() for word in words}) == 248
    transcripts = {row["name"]: row for row in read_table(data / "mer2023/release/transcription-engchi-polish.csv")}
    assert columns(imported, "sample_id", "transcript", "transcript_english") == [
        (name, transcripts[name]["chinese"], transcripts[name]["english"]) for name in sorted(rows)
    ]
