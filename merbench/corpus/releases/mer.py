"""The challenges of 2024, 2025 and 2026 and EMER go in: one corpus per track, named as the track.

An edition has a list of candidates (`name`), training lists (`name` and the target), a list of the references of those
candidates that were scored, and the subtitles of all clips. File names are those of the organisers where they are
known; `candidates.csv`, `train.csv`, `labels.csv` and `transcripts.csv` do as well. A candidate is never a training
sample: a training row that names one is left out, with a warning. Label sets are kept as they stand: the organisers
write `['a', 'b']`, `[a, b]` and `a,b`, and a track says how they are split. `mer2024-ov` and EMER are the same 332
clips of MER 2023's training part; their label sets are lists.
"""

from __future__ import annotations

from merbench.corpus.cells import TEXT, WORDS, Cells, number
from merbench.corpus.importing import Release, add_release
from merbench.corpus.releases.plain import WITHHELD, plain
from merbench.corpus.sheets import Sheet, Target
from merbench.corpus.tables import SPLIT

TRANSCRIPTS = Sheet(
    files=("subtitle_chieng.csv", "transcripts.csv", "transcription-engchi-polish.csv"),
    samples={"chinese": "transcript", "english": "transcript_english"},
    needed=False,
    without="no transcripts",
)
LICENCE = "end-user licence agreement of the challenge: academic research, no redistribution"
TRAITS = ("openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism")
SOURCES = {
    2024: ("MER 2024 (arXiv:2404.17113)", "https://github.com/zeroQiaoba/MERTools (MER2024)"),
    2025: ("MER 2025 (arXiv:2504.19423)", "https://huggingface.co/datasets/MERChallenge/MER2025"),
    2026: ("MER 2026 (zeroqiaoba.github.io/MER-Challenge)", "https://huggingface.co/datasets/MERChallenge/MER2026"),
}
"""Year -> where the edition is described, and where its files are applied for."""


def candidates(file: str) -> Sheet:
    """Return the list of the samples to be predicted."""
    return Sheet((file, "candidates.csv"), constant={SPLIT: "test"})


def train(file: str, *targets: Target, split: str = "train", **columns: str) -> Sheet:
    """Return a list of training samples with their references."""
    lacks = f"no split '{split}'"
    return Sheet((file,), samples=columns, targets=targets, constant={SPLIT: split}, needed=False, without=lacks)


def references(file: str, *targets: Target) -> Sheet:
    """Return the list of the references that were scored."""
    return Sheet((file, "labels.csv"), targets=targets, needed=False, without=WITHHELD)


def _pairs(stage: str, *files: str, needed: bool = True, without: str = "") -> Sheet:
    """Return the pairs of descriptions of one stage, which are to be predicted together."""
    columns, constant = {"a1": "a1", "a2": "a2"}, {SPLIT: "test", "stage": stage}
    return Sheet(files, samples=columns, constant=constant, needed=needed, without=without)


def same(name: str, cells: Cells = TEXT) -> Target:
    """Return the target whose released column has its name."""
    return Target(name, name, cells)


def _add(track: str, title: str, *layouts: tuple[Sheet, ...]) -> None:
    year = int(track[3:7])
    source, obtain = SOURCES[year]
    add_release(
        Release(
            name=track,
            title=title,
            source=f"{source}, released lists",
            licence=LICENCE,
            obtain=obtain,
            layouts=layouts,
            language="zh",
        )
    )


DISCRETE = same("discrete")
OPENSET = same("openset")
PREFERENCE = same("preference")
CHECKED = Sheet(
    files=("check-openset.csv", "mer2024-ov/check-openset.csv"),
    targets=(same("openset", WORDS),),
    constant={SPLIT: "test"},
    released={"check-openset.csv": "1efb5e7ba9e0178563207984de2e8bc451595945c8e6c7d2a3a7d6b536775934"},
)
CHECKED_TRANSCRIPTS = Sheet(
    files=(*TRANSCRIPTS.files, "mer2023/release/transcription-engchi-polish.csv"),
    samples=TRANSCRIPTS.samples,
    needed=False,
    without=TRANSCRIPTS.without,
)
"""The clips are MER 2023's, and so are their transcripts."""

for _part in ("semi", "noise"):
    _add(
        f"mer2024-{_part}",
        f"20,000 candidates of MER-{_part.upper()} 2024, six emotions, a hidden part of them scored",
        (candidates("candidates.csv"), train("train.csv", DISCRETE), references("labels.csv", DISCRETE), TRANSCRIPTS),
    )
_add(
    "mer2024-ov",
    "332 clips with checked open-vocabulary label sets, in the split test",
    (CHECKED, CHECKED_TRANSCRIPTS),
    (
        candidates("candidates.csv"),
        Sheet(CHECKED.files, targets=CHECKED.targets, released=CHECKED.released),
        CHECKED_TRANSCRIPTS,
    ),
)
_add(
    "mer2025-semi",
    "20,000 candidates of MER-SEMI 2025, six emotions, 2,026 of them scored",
    (
        candidates("track_all_candidates.csv"),
        train("track1_train_disdim.csv", DISCRETE),
        references("track1_test_dis.csv", DISCRETE),
        TRANSCRIPTS,
    ),
)
_add(
    "mer2025-fg",
    "20,000 candidates of MER-FG 2025, open vocabulary, 1,200 of them scored; split train-auto: labels by machine",
    (
        candidates("track_all_candidates.csv"),
        train("track2_train_ovmerd.csv", OPENSET),
        train("track2_train_mercaptionplus.csv", OPENSET, split="train-auto"),
        references("track2_test.csv", OPENSET),
        TRANSCRIPTS,
    ),
)
_add(
    "mer2025-des",
    "20,000 candidates of MER-DES 2025, a description and its label set; split train-auto: descriptions by machine",
    (
        candidates("track_all_candidates.csv"),
        train("track3_train_ovmerd.csv", Target("description", "reason", TEXT)),
        train("track3_train_mercaptionplus.csv", Target("description", "reason", TEXT), split="train-auto"),
        references("track3_test.csv", OPENSET),
        TRANSCRIPTS,
    ),
)
_add(
    "mer2025-pr",
    "MER-PR 2025: five traits of personality of the speakers of MDPE",
    plain(dict.fromkeys(TRAITS, number())),
)
_add(
    "mer2026-cross",
    "20,000 candidates of MER-Cross 2026, six emotions of the listener; training samples are of the speaker",
    (
        candidates("track1_track2_candidate.csv"),
        train("track1_train.csv", DISCRETE),
        references("track1_test.csv", DISCRETE),
        TRANSCRIPTS,
    ),
)
_add(
    "mer2026-fg",
    "20,000 candidates of MER-FG 2026, open vocabulary; split train-auto: labels by machine",
    (
        candidates("track1_track2_candidate.csv"),
        train("track2_train_human.csv", OPENSET),
        train("track2_train_mercaptionplus.csv", OPENSET, split="train-auto"),
        references("track2_test.csv", OPENSET),
        TRANSCRIPTS,
    ),
)
_add(
    "mer2026-prefer",
    "MER-Prefer 2026: which of two descriptions people prefer, in two stages; train-single: one annotator",
    (
        _pairs("1", "track3_candidate.csv", "candidates.csv"),
        _pairs("2", "stage2_track3_candidate.csv", needed=False, without="no pairs of stage 2"),
        train("track3_emoprefer.csv", PREFERENCE, a1="a1", a2="a2"),
        train("track3_emopreferv2.csv", PREFERENCE, split="train-single", a1="a1", a2="a2"),
        references("track3_test.csv", PREFERENCE),
        Sheet(("stage2_track3_test.csv",), targets=(PREFERENCE,), needed=False, without=WITHHELD),
        TRANSCRIPTS,
    ),
)
_add(
    "mer2026-ps",
    "MER-PS 2026: valence and arousal at 1 Hz, from 1 to 255, of people whose EEG and fNIRS were taken",
    plain({"valence": number(), "arousal": number()}, ("speaker", "recording", "position")),
)
add_release(
    Release(
        name="emer",
        title="332 clips of MER 2023 with descriptions of the emotion and of its evidence, and label sets",
        source="EMER (arXiv:2306.15401), second version",
        licence=LICENCE,
        obtain="https://github.com/zeroQiaoba/AffectGPT",
        layouts=(
            (
                Sheet(
                    files=("descriptions.csv",),
                    targets=(
                        Target("description", "english", TEXT),
                        Target("description_chinese", "chinese", TEXT),
                    ),
                    constant={SPLIT: "test"},
                ),
                Sheet(CHECKED.files, targets=CHECKED.targets, needed=False, without="no label sets"),
                CHECKED_TRANSCRIPTS,
            ),
        ),
        language="zh",
    )
)
