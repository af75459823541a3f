"""The MER challenges of 2023 to 2026, one corpus per track, named as the track; and EMER.

MER 2023 (arXiv:2304.08981) released `label-6way.npz`, four pickled dictionaries of sample id -> emotion and valence,
and the transcripts in Chinese and English, of which 217 are empty. A valence of -10 marks a missing one: the samples of
test3 (MER-SEMI) have only an emotion. Its features are folders, one per extractor, with one `<sample>.npy` each. The
labels as a CSV (`labels.csv`: name, split, discrete, valence; an empty valence where it is missing) are read too, and
give the same corpus.

A later edition has a list of candidates (`name`), training lists (`name` and the target), a list of the references of
those candidates that were scored, and the subtitles of all clips. File names are those of the organisers where they are
known; `candidates.csv`, `train.csv`, `labels.csv` and `transcripts.csv` are read as well. A candidate is never a
training sample: a training row that names one is left out, with a warning. Label sets are kept unchanged: the
organisers write `['a', 'b']`, `[a, b]` and `a,b`, and a track declares how they are split. `mer2024-ov` and EMER are
the same 332 clips of MER 2023's training part; their label sets are lists.
"""

from __future__ import annotations

from dataclasses import replace

from merbench.corpus.importing import Release
from merbench.corpus.release_cells import TEXT, WORDS, Cells, number
from merbench.corpus.release_readers import label_archive
from merbench.corpus.release_tables import ReleaseTable
from merbench.corpus.releases.on_application import WITHHELD, own_tables

LICENCE = "end-user licence agreement of the challenge: academic research, no redistribution"
EDITIONS = {
    "mer2024": ("MER 2024 (arXiv:2404.17113)", "https://github.com/zeroQiaoba/MERTools (MER2024)"),
    "mer2025": ("MER 2025 (arXiv:2504.19423)", "https://huggingface.co/datasets/MERChallenge/MER2025"),
    "mer2026": (
        "MER 2026 (zeroqiaoba.github.io/MER-Challenge)",
        "https://huggingface.co/datasets/MERChallenge/MER2026",
    ),
}
"""Edition -> where it is described, and where to apply for its files."""

TRANSCRIPTS = ReleaseTable(
    files=("subtitle_chieng.csv", "transcripts.csv", "transcription-engchi-polish.csv"),
    samples={"chinese": "transcript", "english": "transcript_english"},
    without="no transcripts",
)
CHECKED_TRANSCRIPTS = replace(
    TRANSCRIPTS, files=(*TRANSCRIPTS.files, "mer2023/release/transcription-engchi-polish.csv")
)
"""The clips are MER 2023's, and so are their transcripts."""
CHECKED = ReleaseTable(
    files=("check-openset.csv", "mer2024-ov/check-openset.csv"),
    split="test",
    targets={"openset": WORDS},
    sha256="1efb5e7ba9e0178563207984de2e8bc451595945c8e6c7d2a3a7d6b536775934",
)

Layouts = tuple[tuple[ReleaseTable, ...], ...]
Targets = dict[str, Cells]
DISCRETE: Targets = {"discrete": TEXT}
OPENSET: Targets = {"openset": TEXT}
REASON: Targets = {"description": TEXT.of("reason")}
PREFERENCE: Targets = {"preference": TEXT}
TRAITS = ("openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism")


def _train(file: str, targets: Targets, split: str = "train", *columns: str) -> ReleaseTable:
    samples = {name: name for name in columns}
    return ReleaseTable(files=(file,), split=split, samples=samples, targets=targets, without=f"no split '{split}'")


def _references(file: str, targets: Targets) -> ReleaseTable:
    return ReleaseTable(files=tuple(dict.fromkeys((file, "labels.csv"))), targets=targets, without=WITHHELD)


def _lists(candidates: str, *training: ReleaseTable, references: str, targets: Targets) -> Layouts:
    """Return the layout of an edition: candidates, training lists, references that were scored, subtitles."""
    listed = ReleaseTable(files=tuple(dict.fromkeys((candidates, "candidates.csv"))), split="test")
    return ((listed, *training, _references(references, targets), TRANSCRIPTS),)


def _pairs(stage: str, *files: str, without: str = "") -> ReleaseTable:
    """Return the pairs of descriptions of one stage, which are predicted together."""
    columns = {"a1": "a1", "a2": "a2"}
    return ReleaseTable(files=files, split="test", samples=columns, constant={"stage": stage}, without=without)


TRACKS: dict[str, tuple[str, Layouts]] = {
    **{
        f"mer2024-{part}": (
            f"20,000 candidates of MER-{part.upper()} 2024, six emotions, a hidden part of them scored",
            _lists("candidates.csv", _train("train.csv", DISCRETE), references="labels.csv", targets=DISCRETE),
        )
        for part in ("semi", "noise")
    },
    "mer2024-ov": (
        "332 clips with checked open-vocabulary label sets, in the split test",
        (
            (CHECKED, CHECKED_TRANSCRIPTS),
            (ReleaseTable(files=("candidates.csv",), split="test"), replace(CHECKED, split=""), CHECKED_TRANSCRIPTS),
        ),
    ),
    "mer2025-semi": (
        "20,000 candidates of MER-SEMI 2025, six emotions, 2,026 of them scored",
        _lists(
            "track_all_candidates.csv",
            _train("track1_train_disdim.csv", DISCRETE),
            references="track1_test_dis.csv",
            targets=DISCRETE,
        ),
    ),
    "mer2025-fg": (
        "20,000 candidates of MER-FG 2025, open vocabulary, 1,200 of them scored; split train-auto: machine labels",
        _lists(
            "track_all_candidates.csv",
            _train("track2_train_ovmerd.csv", OPENSET),
            _train("track2_train_mercaptionplus.csv", OPENSET, "train-auto"),
            references="track2_test.csv",
            targets=OPENSET,
        ),
    ),
    "mer2025-des": (
        "20,000 candidates of MER-DES 2025, a description and its label set; split train-auto: machine descriptions",
        _lists(
            "track_all_candidates.csv",
            _train("track3_train_ovmerd.csv", REASON),
            _train("track3_train_mercaptionplus.csv", REASON, "train-auto"),
            references="track3_test.csv",
            targets=OPENSET,
        ),
    ),
    "mer2025-pr": (
        "MER-PR 2025: five personality traits of the speakers of MDPE",
        (own_tables(dict.fromkeys(TRAITS, number())),),
    ),
    "mer2026-cross": (
        "20,000 candidates of MER-Cross 2026, six emotions of the listener; training samples are of the speaker",
        _lists(
            "track1_track2_candidate.csv",
            _train("track1_train.csv", DISCRETE),
            references="track1_test.csv",
            targets=DISCRETE,
        ),
    ),
    "mer2026-fg": (
        "20,000 candidates of MER-FG 2026, open vocabulary; split train-auto: machine labels",
        _lists(
            "track1_track2_candidate.csv",
            _train("track2_train_human.csv", OPENSET),
            _train("track2_train_mercaptionplus.csv", OPENSET, "train-auto"),
            references="track2_test.csv",
            targets=OPENSET,
        ),
    ),
    "mer2026-prefer": (
        "MER-Prefer 2026: which of two descriptions people prefer, in two stages; train-single: one annotator",
        (
            (
                _pairs("1", "track3_candidate.csv", "candidates.csv"),
                _pairs("2", "stage2_track3_candidate.csv", without="no pairs of stage 2"),
                _train("track3_emoprefer.csv", PREFERENCE, "train", "a1", "a2"),
                _train("track3_emopreferv2.csv", PREFERENCE, "train-single", "a1", "a2"),
                _references("track3_test.csv", PREFERENCE),
                ReleaseTable(files=("stage2_track3_test.csv",), targets=PREFERENCE, without=WITHHELD),
                TRANSCRIPTS,
            ),
        ),
    ),
    "mer2026-ps": (
        "MER-PS 2026: valence and arousal at 1 Hz, from 1 to 255, of people whose EEG and fNIRS were taken",
        (own_tables({"valence": number(), "arousal": number()}, "speaker", "recording", "position"),),
    ),
}
"""Name -> title and layouts."""

PARTS = {f"{split}_corpus": split for split in ("train", "test1", "test2", "test3")}
MER2023 = Release(
    name="mer2023",
    title="clips of Chinese films and series, six emotions and valence; the four parts of the MER 2023 challenge",
    source="MER 2023 (arXiv:2304.08981), released labels and transcripts",
    licence="end-user licence agreement of MER 2023: academic research, no redistribution",
    obtain="signed agreement to the organisers, https://github.com/zeroQiaoba/MERTools",
    layouts=(
        (
            ReleaseTable(
                files=("label-6way.npz", "release/label-6way.npz", "labels.csv"),
                samples={"split": "split"},
                targets={"discrete": TEXT, "valence": number(missing=-10)},
                reader=label_archive(PARTS, emotion="discrete", valence="valence"),
                form=f"dictionaries {', '.join(PARTS)}, each of sample id -> {{'emo': label, 'val': number}}",
                sha256="171a22252df46c3586f4a796ed6ab48ca63c019e822f8b5d016f032cd92ae01a",
            ),
            ReleaseTable(
                files=("transcription-engchi-polish.csv", "release/transcription-engchi-polish.csv"),
                samples={"chinese": "transcript", "english": "transcript_english"},
                sha256="8f773eab800f8f3080a7551f25b5bfb17e3e78cd39742414256f32901bb0be97",
            ),
        ),
    ),
    language="zh",
)
EMER = Release(
    name="emer",
    title="332 clips of MER 2023 with descriptions of the emotion and its evidence, and label sets",
    source="EMER (arXiv:2306.15401), second version",
    licence=LICENCE,
    obtain="https://github.com/zeroQiaoba/AffectGPT",
    layouts=(
        (
            ReleaseTable(
                files=("descriptions.csv",),
                split="test",
                targets={"description": TEXT.of("english"), "description_chinese": TEXT.of("chinese")},
            ),
            replace(CHECKED, split="", sha256="", without="no label sets"),
            CHECKED_TRANSCRIPTS,
        ),
    ),
    language="zh",
)
RELEASES = (
    MER2023,
    EMER,
    *(
        Release(
            name=name,
            title=title,
            source=f"{EDITIONS[name[:7]][0]}, released lists",
            licence=LICENCE,
            obtain=EDITIONS[name[:7]][1],
            layouts=layouts,
            language="zh",
        )
        for name, (title, layouts) in TRACKS.items()
    ),
)
