"""Every family of releases, from small made-up files: what becomes of ids, labels, marks, transcripts and features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from released_files import columns, labelled, release, write_archive

from merbench.corpus.releases.merbench_labels import utterance
from merbench.corpus.releases.on_application import ACTION_UNITS, frame
from merbench.errors import InvalidCorpus

Files = dict[str, str | dict[str, Any]]

MELD: dict[str, Any] = {
    "train_corpus": labelled({"train_dia0_utt0": 3, "train_dia0_utt11": 0}),
    "val_corpus": labelled({"val_dia0_utt0": 6}),
    "test_corpus": labelled({"test_dia7_utt0": 1}),
}
IEMOCAP = {"Ses01F_impro01_F000": 0, "Ses05M_script03_2b_F001": 5, "Ses05M_impro01_M002": 4}
SENTIMENT: Files = {
    "release/label.npz": {
        "train_corpus": labelled({"-x_y_10": np.float32(1 / 3)}, key="val", filler=0),
        "val_corpus": labelled({"v_2": -1.0}, key="val", filler=0),
        "test_corpus": labelled({"v_1": -10}, key="val", filler=0),
    },
    "transcripts.csv": "name,chinese,english\nv_1,好,Good\nv_2,好,Good\n-x_y_10,好,Good\n",
}
RAVDESS: dict[str, Any] = {
    "name": np.array(["03-01", "01-01"]), "audio": np.ones((2, 3)), "face": np.zeros((2, 1)),
    "label": np.array(["calm", "sad"]), "actor": np.array([1, 2], np.int8), "fold": np.array([1, 1], np.int8),
    "sentence": np.array(["Kids", "Dogs"]), "intensity": np.array([1, 2], np.int8),
}  # fmt: skip
MOSI: dict[str, Any] = {
    "id": np.array(["v_1", "v_2", "v_3"]),
    **dict.fromkeys(("text", "audio", "video"), np.ones((3, 2))),
}
VOTES = ",".join(f"{condition}_votes_{letter}" for condition in ("voice", "face", "av") for letter in "ADFHNS")
CREMA_D = f"clip,actor,sentence,emotion,intensity,fold,{VOTES}\n"
EXPRESSIONS = "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other\n"
MULTITASK = ",".join(["image", "valence", "arousal", "expression", *ACTION_UNITS])
CHECKED = "name,openset\nb,\"['happy', 'calm']\"\n"


def imported(folder: Path, name: str, files: Files) -> Any:
    for path, content in files.items():
        file = folder / "r" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            file.write_text(content, encoding="utf-8")
        elif "audio" in content:
            np.savez(file, **content)
        else:
            write_archive(file, **content)
    return release(name)(folder / "r", folder / "c", replace=True)


CASES: list[tuple[str, Files, str, list[tuple[Any, ...]]]] = [
    (
        "meld",
        {"label.npz": MELD},
        "sample_id split dialogue position discrete",
        [
            ("test_dia7_utt0", "test", "test_dia7", 0, "joy"),
            ("train_dia0_utt0", "train", "train_dia0", 0, "neutral"),
            ("train_dia0_utt11", "train", "train_dia0", 11, "anger"),
            ("val_dia0_utt0", "dev", "val_dia0", 0, "surprise"),
        ],
    ),
    (
        "iemocap-6",
        {"label_6way.npz": {"whole_corpus": labelled(IEMOCAP)}},
        "sample_id split fold dialogue speaker discrete",
        [
            ("Ses01F_impro01_F000", "all", 1, "Ses01F_impro01", "Ses01F", "happy"),
            ("Ses05M_impro01_M002", "all", 5, "Ses05M_impro01", "Ses05M", "excited"),
            ("Ses05M_script03_2b_F001", "all", 5, "Ses05M_script03_2b", "Ses05F", "frustrated"),
        ],
    ),
    (
        "cmu-mosi",
        SENTIMENT,
        "sample_id split dialogue position transcript transcript_chinese sentiment",
        [
            ("-x_y_10", "train", "-x_y", 10, "Good", "好", float(np.float32(1 / 3))),
            ("v_1", "test", "v", 1, "Good", "好", None),
            ("v_2", "dev", "v", 2, "Good", "好", -1.0),
        ],
    ),
    ("ch-sims", SENTIMENT, "transcript transcript_english", [("好", "Good")] * 3),
    (
        "crema-d",
        {"cremad_votes.csv": f"{CREMA_D}b,1001,Hello,sad,XX,1,{','.join(map(str, range(18)))}\n"
                             f"a,1002,,fear,LO,2,{','.join('9' * 18)}\n"},
        "sample_id split speaker fold transcript intensity discrete",
        [("a", "all", 1002, 2, "", "LO", "fear"), ("b", "all", 1001, 1, "Hello", "XX", "sad")],
    ),
    (
        "ravdess",
        {"ravdess_av_folds1-4.npz": RAVDESS},
        "sample_id split speaker fold transcript intensity discrete",
        [("01-01", "all", 2, 1, "Dogs", 2, "sad"), ("03-01", "all", 1, 1, "Kids", 1, "calm")],
    ),
    (
        "cmu-mosi-polarity",
        {"mosi_trimodal.npz": MOSI,
         "mosi_meta.csv": "id,split_feature,sentiment,text_eng,text_chi\nv_1,train,-0.2,Bad,坏\nv_2,train,-0.0,So,好\n"
                          "v_3,test,3,Good,好\n"},
        "sample_id split dialogue position transcript polarity",
        [("v_1", "train", "v", 1, "Bad", "negative"), ("v_2", "train", "v", 2, "So", "non-negative"),
         ("v_3", "test", "v", 3, "Good", "non-negative")],
    ),
    (
        "emodb",
        {f"{name}.wav": "" for name in ("03a01Fa", "16b10Wb", "08a02Nc", "14b01T", "09a07La", "10a04Ed", "15b03Aa")},
        "sample_id media split speaker sentence discrete",
        [
            ("03a01Fa", "03a01Fa.wav", "four", "03", "a01", "happy"),
            ("08a02Nc", "08a02Nc.wav", "four", "08", "a02", "neutral"),
            ("09a07La", "09a07La.wav", "other", "09", "a07", "bored"),
            ("10a04Ed", "10a04Ed.wav", "other", "10", "a04", "disgust"),
            ("14b01T", "14b01T.wav", "four", "14", "b01", "sad"),
            ("15b03Aa", "15b03Aa.wav", "other", "15", "b03", "fearful"),
            ("16b10Wb", "16b10Wb.wav", "four", "16", "b10", "angry"),
        ],
    ),
    (
        "emodb",  # as unpacked
        {"wav/03a01Fa.wav": "", "wav/._03a01Fa.wav": "", "lab/03a01Fa.lab": "", "other.wav": ""},
        "sample_id media",
        [("03a01Fa", "03a01Fa.wav")],
    ),
    (
        "ger-affectnet",
        {"label.csv": "name,gt,gpt4v\n1/a.JPG,Surprise,\nb.jpg,fear,\n"},
        "sample_id split media discrete",
        [("a.JPG", "test", "1/a.JPG", "surprise"), ("b.jpg", "test", "b.jpg", "fear")],
    ),
    (
        "ger-abstract",
        {"label.csv": "name,gt\na,Content\nb,Sad\nc,Awe\n"},
        "discrete polarity",
        [("content", "positive"), ("sad", "negative"), ("awe", "positive")],
    ),
    (
        "ger-cmu-mosi",
        {"label.csv": "name,gt\na,-0.2\nb,0.0\nc,3\n"},
        "sentiment polarity",
        [(-0.2, "negative"), (0.0, None), (3.0, "positive")],
    ),
    (
        "dfew",
        {"samples.csv": "sample_id,split,fold,actor\n2,all,1,x\n1,all,2,\n",
         "reference.csv": "sample_id,discrete,note\n2,Happy,?\n"},
        "sample_id split fold actor discrete",
        [("1", "all", 2, None, None), ("2", "all", 1, "x", "happy")],
    ),
    (
        "add2023-fgd",
        {"round1/label.txt": "1.wav genuine\n", "round2/label.txt": "2.wav fake\n"},
        "sample_id split round score",
        [("1.wav", "test", "R1", "genuine"), ("2.wav", "test", "R2", "fake")],
    ),
    (
        "add2023-rl",
        {"samples.csv": "sample_id,split,duration_s\na,test,2\nb,test,2.5\nc,test,2\n",
         "reference.csv": "sample_id,discrete,segments\na,genuine,\nb,fake,genuine-0-1 fake-1-2.5\n"},
        "sample_id duration_s discrete segments",
        [("a", 2.0, "genuine", ""), ("b", 2.5, "fake", "genuine-0-1 fake-1-2.5"), ("c", 2.0, None, None)],
    ),
    (
        "abaw6-va",
        {"Validation_Set/12-24.txt": "valence,arousal\n0.5,-0.25\n-5,-5\n",
         "test_frames.csv": "image\n99_left/00007.jpg\n"},
        "sample_id split recording position valence arousal",
        [
            ("12-24/00001.jpg", "dev", "12-24", 1, 0.5, -0.25),
            ("12-24/00002.jpg", "dev", "12-24", 2, None, None),
            ("99_left/00007.jpg", "test", "99_left", 7, None, None),
        ],
    ),
    (
        "abaw6-va",
        {"samples.csv": "sample_id,split,position\nv/00007.jpg,test,9\n",
         "reference.csv": "sample_id,valence,arousal\nv/00007.jpg,1,0\n"},
        "recording position valence arousal",
        [("v", 9, 1.0, 0.0)],  # a column of the file counts, not the id
    ),
    (
        "abaw6-expr",
        {"Train_Set/T.txt": f"{EXPRESSIONS}0\n-1\n", "Validation_Set/V.txt": f"{EXPRESSIONS}7\n"},
        "sample_id split expression",
        [("T/00001.jpg", "train", "neutral"), ("T/00002.jpg", "train", None), ("V/00001.jpg", "dev", "other")],
    ),
    (
        "abaw4-mtl",
        {"validation_set_annotations.txt": f"{MULTITASK}\nv/00001.jpg,0.1,-5,-1,1,0,-1,{','.join('0' * 9)}\n"
                                           f"v/00002.jpg,-5,-5,4,{','.join(['-1'] * 12)}\n"},
        "valence arousal expression AU1 AU2 AU4 AU26",
        [(0.1, None, None, 1, 0, None, 0), (None, None, "happiness", None, None, None, None)],
    ),
    (
        "mer2025-semi",
        {"track_all_candidates.csv": "name\na\nb\n",
         "track1_train_disdim.csv": "name,discrete,valence\nc,happy,1\na,sad,-1\n",
         "subtitle_chieng.csv": "name,chinese,english\na,好,\nb,好,\nc,好,\nd,好,\n",
         "labels.csv": "name,discrete\nb,neutral\n"},
        "sample_id split transcript transcript_english discrete",
        [("a", "test", "好", "", None), ("b", "test", "好", "", "neutral"), ("c", "train", "好", "", "happy")],
    ),
    (
        "mer2026-fg",
        {"candidates.csv": "name\na\n", "track2_train_human.csv": 'name,openset\nb,"shocked,care"\n',
         "track2_train_mercaptionplus.csv": 'name,openset\nb,[x]\nc,"[concern, hope]"\n',
         "labels.csv": "name,openset\na,\"['calm', \"\"don't believe\"\"]\"\n"},
        "sample_id split openset",
        [("a", "test", "['calm', \"don't believe\"]"), ("b", "train", "shocked,care"),
         ("c", "train-auto", "[concern, hope]")],
    ),
    (
        "mer2026-prefer",
        {"track3_candidate.csv": "name,a1,a2\np,glad,sad\n", "stage2_track3_candidate.csv": "name,a1,a2\nq,calm,5\n",
         "track3_emoprefer.csv": "name,a1,a2,preference\nr,x,y,same\n", "track3_test.csv": "name,preference\np,a2\n",
         "stage2_track3_test.csv": "name,preference\nq,a1\n"},
        "sample_id split stage a1 a2 preference",
        [("p", "test", "1", "glad", "sad", "a2"), ("q", "test", "2", "calm", "5", "a1"),
         ("r", "train", None, "x", "y", "same")],
    ),
    ("mer2024-ov", {"check-openset.csv": CHECKED}, "sample_id split openset", [("b", "test", ["happy", "calm"])]),
    (
        "mer2024-ov",
        {"check-openset.csv": CHECKED, "candidates.csv": "name\na\nb\n"},
        "sample_id split openset",
        [("a", "test", None), ("b", "test", ["happy", "calm"])],
    ),
    (
        "emer",
        {"descriptions.csv": "name,chinese,english\na,他笑,He smiles\nb,,Calm\n",
         "check-openset.csv": "name,openset\na,['amused']\n"},
        "sample_id description description_chinese openset",
        [("a", "He smiles", "他笑", ["amused"]), ("b", "Calm", None, None)],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "files", "names", "rows"), CASES, ids=[case[0] for case in CASES])
def test_files_become_columns(tmp_path: Path, name: str, files: Files, names: str, rows: list[tuple[Any, ...]]) -> None:
    assert columns(imported(tmp_path, name, files), *names.split()) == rows


def test_features_of_columns_and_of_arrays(tmp_path: Path) -> None:
    file = f"{CREMA_D}b,1001,Hello,sad,XX,1,{','.join(map(str, range(18)))}\n"
    corpus = imported(tmp_path, "crema-d", {"cremad_votes.csv": file}).corpus
    assert corpus.features == ("av-votes", "face-votes", "voice-votes")
    assert corpus.feature("face-votes").values.tolist() == [[6.0, 7.0, 8.0, 9.0, 10.0, 11.0]]
    corpus = imported(tmp_path, "ravdess", {"ravdess_av_folds1-4.npz": RAVDESS}).corpus
    assert corpus.feature_shape("audio") == (2, 3, False)


def test_missing_references_and_repeated_samples_are_warnings(tmp_path: Path) -> None:
    files: Files = {
        "track_all_candidates.csv": "name\na\nb\n",
        "track1_train_disdim.csv": "name,discrete\nc,happy\na,sad\n",
        "subtitle_chieng.csv": "name,chinese,english\na,好,\nb,好,\nc,好,\n",
    }
    assert [str(warning) for warning in imported(tmp_path, "mer2025-semi", files).warnings] == [
        "W604  missing: track1_test_dis.csv or labels.csv: the references of the test split are withheld",
        "W605  track1_train_disdim.csv: samples that an earlier file lists are left out (1 of 2): a",
    ]


@pytest.mark.parametrize(
    ("name", "files", "messages"),
    [
        (
            "meld",
            {"label.npz": {**MELD, "val_corpus": labelled({"val_dia0_utt0": 7})}},
            ["E614  discrete: label.npz: references that cannot be read (1 of 4): '7'; "
             "allowed: 0 anger, 1 joy, 2 sadness, 3 neutral, 4 disgust, 5 fear, 6 surprise"],
        ),
        (
            "meld",
            {"label.npz": {**MELD, "val_corpus": labelled({"dia0_utt0": 1})}},
            ["E612  sample ids that are not <train, val or test>_dia<number>_utt<number> (1 of 4): 'dia0_utt0'"],
        ),
        (
            "emodb",
            {"03a01Fa.wav": "", "03a01Xa.wav": "", "3a01Fa.wav": "", "clip.wav": ""},
            ["E612  clips whose names are of another form (3 of 4): '03a01Xa.wav', '3a01Fa.wav', 'clip.wav'; "
             "the form is 03a01Fa.wav: speaker, sentence, emotion, version"],
        ),
        (
            "crema-d",
            {"cremad_votes.csv": f"{CREMA_D}b,1001,Hello,sad,XX,1,,{','.join(map(str, range(17)))}\n"},
            ["E616  feature 'voice-votes' of cremad_votes.csv: could not convert string to float: ''"],
        ),
        (
            "dfew",
            {"samples.csv": "sample_id,split\n2,all\n", "reference.csv": "id,emotion\n2,Happy\n"},
            ["E611  samples.csv: no column fold; the columns are sample_id, split",
             "E611  reference.csv: no column sample_id, discrete; the columns are id, emotion"],
        ),
        (
            "abaw6-expr",
            {"Validation_Set/T.txt": "header\n8\n"},
            ["E614  expression: Validation_Set: references that cannot be read (1 of 1): '8'; "
             "allowed: -1, 0, 1, 2, 3, 4, 5, 6, 7"],
        ),
        (
            "add2023-rl",
            {"samples.csv": "sample_id,split,duration_s\na,test,2\nb,test,2\nc,test,2\nd,test,\n",
             "reference.csv": "sample_id,discrete,segments\na,fake,fake-2-1\nb,fake,genuine-0-9\nc,Fake,fake-0-2\n"
                              "d,fake,fak-0-99\na,joy,\n"},
            ["E614  discrete: reference.csv: references that cannot be read (1 of 5): 'joy' (line 6); "
             "allowed: genuine, fake",
             "E614  segments: reference.csv: references that cannot be read (3 of 5): "
             "line 2: 'fake-2-1' ends at 1 s, not after it begins at 2 s, "
             "line 3: 'genuine-0-9' ends at 9 s, past the end of the sample at 2 s, "
             "line 5: 'fak-0-99' has the label 'fak', which is not one of genuine, fake; did you mean 'fake'?",
             "E612  sample_id: reference.csv: duplicate ids (2 of 5): 'a' (line 2), 'a' (line 6)"],
        ),
        (
            "add2023-rl",
            {"samples.csv": "sample_id,split,duration_s\na,test,2 s\n",
             "reference.csv": "sample_id,discrete,segments\na,fake,fake-0-9\n"},
            ["E614  duration_s: contains non-numeric values; durations of samples are seconds"],
        ),
    ],
)  # fmt: skip
def test_problems_have_their_place(tmp_path: Path, name: str, files: Files, messages: list[str]) -> None:
    with pytest.raises(InvalidCorpus) as error:
        imported(tmp_path, name, files)
    assert [str(problem) for problem in error.value.problems] == messages


def test_arrays_without_a_column(tmp_path: Path) -> None:
    arrays = {name: array for name, array in RAVDESS.items() if name != "fold"}
    (tmp_path / "r").mkdir()
    np.savez(tmp_path / "r" / "ravdess_av_folds1-4.npz", **arrays)
    with pytest.raises(InvalidCorpus, match=r"E611  ravdess_av_folds1-4\.npz: no column fold; the columns are name,"):
        release("ravdess")(tmp_path / "r", tmp_path / "c")


def test_ids_of_another_form() -> None:
    turn = release("iemocap-6").known
    assert turn is not None
    for name in ("Ses06F_impro01_F000", "Ses01F_F000", "Ses01X_impro01_F000", "Ses01F_impro01_F"):
        assert turn(name) is None
    assert [utterance(name) for name in ("v", "_1", "v_", "v_x", "v_-1")] == [None] * 5
    assert [frame(name) for name in ("00001.jpg", "v/x.jpg", "/1.jpg", "v/")] == [None] * 4
