"""After EmoCapCLIP (arXiv:2507.21015): faces and captions by contrast, answered by prompts or by a linear probe.

Conventions:
    n samples, B samples of a batch, s rows and columns of a picture, d numbers of an embedding, T words of a sentence.
    Pictures are `(B, 3, s, s)`, from 0 to 1; the rows of a sample are pictures of one clip, `(B, m, s · s · 3)` pixels.
    Words are int64 codes `(…, T)`, of which the first `lengths` are real.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, cast

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from merbench.corruptions.text import UNSPACED
from merbench.errors import UsageError, listed, plural
from merbench.files.paths import expanded
from merbench.files.reading import sha256_bytes
from merbench.parameters import Described, Within
from merbench.track import Track
from merbench.training import CrossFit, FeatureSet, Predictions, Setup, TrainingSet
from merbench.training.networks.batches import Batch, Data
from merbench.training.networks.layers import Heads, Width
from merbench.training.networks.learner import Learner
from merbench.training.networks.losses import NO_LOSS
from merbench.training.networks.network import NetworkBaseline, Shape, probabilities
from merbench.training.networks.optimisation import Schedule
from merbench.training.networks.pairs import pair_loss
from merbench.training.networks.pretrained import Pretrained, PretrainedBaseline
from merbench.training.networks.video import CHANNELS, picture_size
from merbench.training.samples import known_of

CAPTION = "caption"
LONGEST = 64
"""Words of a sentence that the small encoder reads."""

BUCKETS = 4096
"""Words are told apart by a checksum, in so many buckets; 0 is padding."""

_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[\u3002\uff01\uff1f])")
_WORD = re.compile(rf"{UNSPACED.pattern}|(?:(?!{UNSPACED.pattern})\w)+")

Share = Annotated[float, Within(0, 1)]
Prompts = Annotated[
    Mapping[str, tuple[str, ...]],
    Described("a table of lists of texts, by label, several labels with commas, or TARGET.low and TARGET.high"),
]


@dataclass(frozen=True, kw_only=True)
class Options(Schedule):
    """What is answered with, the encoders, the contrast and the probe.

    Attributes:
        answer: `zero-shot`, by prompts, without a label; or `probe`, a linear model of the encoder's features.
        pairs: whether encoders are trained on pairs; else they stay as they begin.
        pretrained: folder that `merbench pretrain` wrote; empty: encoders begin at random, or as their folder has them.
        encoders: `small`, or the folder of a CLIP model of the transformers library.
        width: numbers d of an embedding of the small encoders, and of a word.
        channels: of the first convolution; the others have twice and four times as many.
        layers: transformer blocks of the small encoder of sentences.
        pictures: of a clip, whose embeddings are averaged where it is answered or probed; training draws one.
        shift: by which share of its side a picture is moved at most in training; half of them are also mirrored.
        temperature: of the contrast at first; that of a folder is its own.
        sentences: sentences about a part of the face that a picture is compared with in a step.
        local_weight: weight of the contrast with these; 0: only with the summary, which is the first sentence.
        quantile: pairs that are above this quantile in captions and in pictures are alike; 1: none, as in CLIP.
        guided_epoch: the epoch, from 1, from which pairs may be alike.
        penalty: inverse strength of the penalty of the probe's labels; of numbers it is the strength's.
        prompts: by label, texts that describe its face.
        template: texts for all other labels, with `{label}`.
    """

    answer: Literal["zero-shot", "probe"]
    pairs: bool
    pretrained: str
    encoders: str
    width: Width
    channels: Annotated[int, Within(1, 256)]
    layers: Annotated[int, Within(0, 12)]
    pictures: Annotated[int, Within(1, 64)]
    shift: Annotated[float, Within(0, 0.5)]
    temperature: Annotated[float, Within(0.01, 1)]
    sentences: Annotated[int, Within(1, 16)]
    local_weight: Annotated[float, Within(0)]
    quantile: Share
    guided_epoch: Annotated[int, Within(1)]
    penalty: Annotated[float, Within(1e-9, 1e9)]
    prompts: Prompts = field(default_factory=dict)
    template: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise `UsageError` for a template without a place for the label, too."""
        super().__post_init__()
        if wrong := [text for text in self.template if "{label}" not in text]:
            raise UsageError(f"template: {listed(wrong)} has no {{label}}")


@dataclass(frozen=True, eq=False, slots=True)
class Words:
    """Texts as an encoder reads them."""

    codes: Tensor  # (m, T)
    lengths: Tensor  # (m,)
    n_cut: int = 0  # texts of which the end is not read

    def to(self, device: torch.device) -> Words:
        """Return the same on a device."""
        return Words(self.codes.to(device), self.lengths.to(device), self.n_cut)


class Encoders(Protocol):
    """Encoders of pictures and texts, and the logarithm of what their cosines are multiplied by."""

    n_features: int  # numbers of a picture before the embedding, which the probe reads
    log_scale: nn.Parameter

    def words(self, texts: Sequence[str]) -> Words:
        """Return texts as codes."""

    def pictures(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return features and embeddings of pictures."""

    def texts(self, words: Words) -> Tensor:
        """Return the embeddings of texts."""


class SmallEncoders(nn.Module):
    """Four convolutions of stride 2 over a picture; a transformer, or the mean, over the words of a sentence.

    Args:
        options: the architecture.
    """

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(-math.log(options.temperature)))
        d, widths = options.width, [3, *(options.channels * times for times in (1, 2, 4, 4))]
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(widths):
            layers += [nn.Conv2d(n_in, n_out, 3, 2, 1), nn.GroupNorm(1, n_out), nn.GELU()]
        self.convolutions = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten())
        self.hidden = nn.Sequential(nn.Linear(16 * widths[-1], 2 * d), nn.GELU())
        self.n_features = 2 * d
        self.of_picture, self.of_text = nn.Linear(2 * d, d), nn.Linear(d, d)
        self.embedding = nn.Embedding(BUCKETS, d, padding_idx=0)
        self.places = nn.Parameter(torch.randn(LONGEST, d) * 0.02)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(d, max(1, d // 32), 2 * d, 0.0, "gelu", batch_first=True, norm_first=True)
            for _ in range(options.layers)
        )
        self.normal = nn.LayerNorm(d)
        nn.init.normal_(self.embedding.weight, std=0.2)

    def words(self, texts: Sequence[str]) -> Words:
        """Return words as buckets of their checksums, in lower case."""
        split = [_WORD.findall(text.lower()) for text in texts]
        codes = np.zeros((len(texts), min(LONGEST, max(map(len, split), default=1)) or 1), np.int64)
        for line, own in zip(codes, split, strict=True):
            read = own[:LONGEST]
            line[: len(read)] = [1 + zlib.crc32(word.encode()) % (BUCKETS - 1) for word in read]
        n_cut = sum(len(own) > LONGEST for own in split)
        return Words(torch.from_numpy(codes), torch.from_numpy((codes > 0).sum(1).clip(1)), n_cut)

    def pictures(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return features and embeddings of pictures."""
        features = self.hidden(self.convolutions(2 * pixels - 1))
        return features, self.of_picture(features)

    def texts(self, words: Words) -> Tensor:
        """Return the embeddings of texts; of one without words, that of a place."""
        n_words = words.codes.shape[1]
        padding = torch.arange(n_words, device=words.codes.device) >= words.lengths[:, None]
        x = self.embedding(words.codes) + self.places[:n_words]
        for block in self.blocks:
            x = block(x, src_key_padding_mask=padding)
        means = self.normal(x).masked_fill(padding[..., None], 0).sum(1) / words.lengths[:, None]
        embeddings: Tensor = self.of_text(means)
        return embeddings


class FolderEncoders(nn.Module):
    """Both towers of a CLIP model of the transformers library.

    Args:
        folder: with `config.json`, weights, tokenizer and `preprocessor_config.json`.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, folder: Path) -> None:
        super().__init__()
        from merbench.features.models import read_configuration, read_model, read_processor, require_weights

        config = read_configuration(folder)
        if config.model_type != "clip":
            raise UsageError(
                f"{folder}: is a model of type '{config.model_type}'; encoders of pairs are of type 'clip'"
            )
        from transformers import CLIPModel

        require_weights(folder)
        self.model = read_model(folder, config, CLIPModel, torch.float32)
        self.log_scale = self.model.logit_scale
        self.tokenizer = read_processor("AutoTokenizer", folder)
        self.longest = min(int(config.text_config.max_position_embeddings), int(self.tokenizer.model_max_length))
        self.side, self.n_features = int(config.vision_config.image_size), int(config.vision_config.hidden_size)
        pictures = read_processor("AutoImageProcessor", folder)
        for name, values in (("mean", pictures.image_mean), ("deviation", pictures.image_std)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)

    def words(self, texts: Sequence[str]) -> Words:
        """Return the tokens of texts."""
        ids = [self.tokenizer(text, verbose=False)["input_ids"] for text in texts]
        read = self.tokenizer(list(texts), truncation=True, max_length=self.longest, padding=True, return_tensors="np")
        codes, mask = (np.asarray(read[name], np.int64) for name in ("input_ids", "attention_mask"))
        n_cut = sum(len(own) > self.longest for own in ids)
        return Words(torch.from_numpy(codes), torch.from_numpy(mask.sum(1)), n_cut)

    def pictures(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the tower gives a picture, and its embedding; pictures are scaled to the size that it reads."""
        if pixels.shape[-1] != self.side:
            pixels = nn.functional.interpolate(pixels, (self.side, self.side), mode="bicubic", antialias=True)
        features = self.model.vision_model(pixel_values=(pixels - self.mean) / self.deviation).pooler_output
        return features, self.model.visual_projection(features)

    def texts(self, words: Words) -> Tensor:
        """Return the embeddings of texts."""
        mask = torch.arange(words.codes.shape[1], device=words.codes.device) < words.lengths[:, None]
        read = self.model.text_model(input_ids=words.codes, attention_mask=mask.long())
        embeddings: Tensor = self.model.text_projection(read.pooler_output)
        return embeddings


class Sentences(nn.Module):
    """The captions of samples: every different sentence once, and which of them a sample has, the summary first.

    Args:
        captions: the sentences of every sample; none of one that is not learned from as a pair.
        encoders: read them.
    """

    codes: Tensor
    lengths: Tensor
    places: Tensor
    starts: Tensor
    counts: Tensor

    def __init__(self, captions: Sequence[Sequence[str]], encoders: Encoders) -> None:
        super().__init__()
        every = dict.fromkeys(text for own in captions for text in own)
        place = {text: number for number, text in enumerate(every)}
        words = encoders.words(list(every))
        counts = torch.tensor([len(own) for own in captions])
        self.n_cut = words.n_cut
        self.register_buffer("codes", words.codes)
        self.register_buffer("lengths", words.lengths)
        self.register_buffer("places", torch.tensor([place[text] for own in captions for text in own]))
        self.register_buffer("starts", counts.cumsum(0) - counts)
        self.register_buffer("counts", counts)

    def drawn(self, samples: Tensor, n: int) -> Tensor:
        """Return the summary of samples, and n sentences about a part drawn for each, `(1 + n, B)`; -1: it has none."""
        n_parts = self.counts[samples] - 1
        chosen = (torch.rand(n, len(samples), device=samples.device) * n_parts).long().clamp_min(0)
        sentences = self.places[(self.starts[samples] + 1 + chosen).clamp_max(len(self.places) - 1)]
        return torch.cat([self.places[self.starts[samples]][None], sentences.where(n_parts > 0, -1)])

    def words(self, sentences: Tensor) -> Words:
        """Return some sentences as codes."""
        return Words(self.codes[sentences], self.lengths[sentences])


class Network(nn.Module):
    """Encoders of pictures and captions, the contrast, and what answers.

    Args:
        options: the architecture.
        shape: what it is made for: one feature, of pictures.
    """

    fitted: Tensor
    mean: Tensor
    deviation: Tensor

    def __init__(self, options: Options, shape: Shape) -> None:
        super().__init__()
        self.options, self.labels = options, dict(shape.labels)
        [width] = shape.widths.values()
        self.side, is_small = picture_size(width), options.encoders == "small"
        self.encoder: Any = SmallEncoders(options) if is_small else FolderEncoders(expanded(options.encoders))
        if options.answer == "probe" and self.labels:
            self.heads = Heads(self.encoder.n_features, self.labels)
            self.register_buffer("fitted", torch.tensor(False))
            self.register_buffer("mean", torch.zeros(self.encoder.n_features))
            self.register_buffer("deviation", torch.ones(self.encoder.n_features))
        self.prompts: dict[str, list[Words]] = {}
        self.ranges: dict[str, tuple[float, float]] = {}
        self.remembered: Any = None

    def forward(self, batch: Batch) -> Any:
        """Return the outputs for samples, and in training none, and the contrasts of their pairs."""
        [present] = batch.present.values()
        if batch.epoch:
            zeros = {
                name: present.new_zeros((len(present), n) if n else len(present), dtype=torch.float32)
                for name, n in self.labels.items()
            }
            return zeros, self.contrasts(batch)
        features, embeddings = self.encoded(batch)
        if self.options.answer == "probe" and self.fitted:
            outputs: dict[str, Tensor] = self.heads((features - self.mean) / self.deviation * present[:, None])
            return outputs
        return self.zero_shot(embeddings * present[:, None])

    def chosen(self, batch: Batch, places: Tensor) -> Tensor:
        """Return pictures of samples, `(B, …, 3, s, s)`, at places `(B, …)` from 0 to 1 of their clips."""
        [rows], [lengths] = batch.inputs.values(), batch.lengths.values()
        at = (places * lengths[:, None]).long().clamp_max(rows.shape[1] - 1)
        pixels = rows.gather(1, at[..., None].expand(-1, -1, rows.shape[2]))
        return pixels.view(*places.shape, self.side, self.side, CHANNELS).movedim(-1, -3) / 255

    def encoded(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return mean features of samples, `(B, f)`, and the normalised means of their embeddings, `(B, d)`."""
        n = self.options.pictures
        places = ((torch.arange(n, device=batch.samples.device) + 0.5) / n).expand(len(batch.samples), -1)
        pictures = self.chosen(batch, places)
        features, embeddings = self.encoder.pictures(pictures.flatten(0, 1))
        means = nn.functional.normalize(embeddings, dim=-1).unflatten(0, (-1, n)).mean(1)
        return features.unflatten(0, (-1, n)).mean(1), nn.functional.normalize(means, dim=-1)

    def contrasts(self, batch: Batch) -> dict[str, Tensor]:
        """Return the contrast of pictures with the summaries, and the mean of those with sentences about parts."""
        options, captions, samples = self.options, self.remembered, batch.samples
        [present] = batch.present.values()
        is_pair = present & (captions.counts[samples.clamp_min(0)] > 0)
        n_parts = options.sentences if options.local_weight else 0
        drawn = captions.drawn(samples[is_pair], n_parts)
        different, place = drawn.clamp_min(0).unique(return_inverse=True)
        texts = nn.functional.normalize(self.encoder.texts(captions.words(different)), dim=-1)
        pixels = self.chosen(batch, torch.rand(len(samples), 1, device=samples.device))[is_pair, 0]
        pictures = nn.functional.normalize(self.encoder.pictures(moved(pixels, options.shift))[1], dim=-1)
        scale = self.encoder.log_scale.exp()
        quantile = options.quantile if batch.epoch >= options.guided_epoch else 1.0
        losses = [
            pair_loss(pictures[has], texts[own[has]], scale, quantile)
            for own, has in zip(place, drawn >= 0, strict=True)
        ]
        summary = {"contrast": losses[0]}
        return summary | ({"parts": options.local_weight * torch.stack(losses[1:]).mean()} if n_parts else {})

    def stepped(self, step: int) -> None:
        """Keep the scale from exceeding 100, as CLIP does."""
        with torch.no_grad():
            self.encoder.log_scale.clamp_(max=math.log(100))

    def zero_shot(self, pictures: Tensor) -> dict[str, Tensor]:
        """Return scaled cosines with the mean prompt of every label; of a number, where it is between both ends."""
        outputs = {}
        for name, n_labels in self.labels.items():
            cosines = pictures @ self.classes(name).mT
            if n_labels:
                outputs[name] = self.encoder.log_scale.exp() * cosines
                continue
            low, high = self.ranges[name]
            outputs[name] = (low + high) / 2 + (high - low) / 2 * (cosines[:, 1] - cosines[:, 0]) / 2
        return outputs

    def classes(self, target: str) -> Tensor:
        """Return the normalised means of the normalised embeddings of prompts, `(K, d)`."""
        means = [nn.functional.normalize(self.encoder.texts(words), dim=-1).mean(0) for words in self.prompts[target]]
        return nn.functional.normalize(torch.stack(means), dim=-1)


def moved(pixels: Tensor, shift: float) -> Tensor:
    """Return pictures, each moved by a share of its side at most, and mirrored or not; at the edges they continue."""
    if not shift:
        return pixels
    n = len(pixels)
    change = torch.zeros(n, 2, 3, device=pixels.device)
    change[:, 0, 0] = 1 - 2 * (torch.rand(n, device=pixels.device) < 0.5).float()
    change[:, 1, 1] = 1
    change[:, :, 2] = 2 * shift * (2 * torch.rand(n, 2, device=pixels.device) - 1)
    grid = nn.functional.affine_grid(change, list(pixels.shape), align_corners=False)
    return nn.functional.grid_sample(pixels, grid, padding_mode="border", align_corners=False)


class FacesAndCaptions(PretrainedBaseline):
    """A pair of encoders per fold, and the probe of each.

    Args:
        options: encoders, contrast, answers and training.
        setup: as of `NetworkBaseline`.
    """

    def __init__(self, options: Options, setup: Setup) -> None:
        # It has the options of pre-trained weights that are read here, but none of a network of clips.
        super().__init__(lambda shape: Network(options, shape), self._pretraining, cast(Any, options), setup)
        self.own = options
        self.captions: list[list[str]] = []
        self.n_cut = 0

    def fit_folds(self, train: TrainingSet) -> CrossFit:
        """Train encoders on pairs, from pre-trained weights where there are some, and fit the probe of every fold."""
        options, divisions = self.own, train.divisions(self.setup.n_folds, self.setup.seed)
        self.schedule = replace(options, losses=dict.fromkeys(train.track.targets, NO_LOSS))
        self._begin, notes = True, list[str]()
        try:
            if options.pairs:
                notes = self._read_captions(train.samples, train.track.id, [part.learn for part in divisions])
                fitted = NetworkBaseline.fit_folds(self, train)
            else:
                self._make_networks(train.samples.widths, train.track, len(divisions))
                fitted = CrossFit(Predictions(), None, str(self.device))
        finally:
            self._begin = False
        if options.answer == "probe":
            for network, division in zip(self.networks, divisions, strict=True):
                self._fit_probe(network, train.select(division.learn))
        if options.answer == "probe" or not options.pairs:
            fitted = replace(fitted, out_of_fold=self._out_of_fold(train))
        details = {"pairs": self._described()} if options.pairs else {}
        return replace(fitted, notes=self._notes(notes, fitted.notes), details={**fitted.details, **details})

    def pretrain(self, samples: FeatureSet) -> Pretrained:
        """Train encoders on the pairs of a corpus, as `PretrainedBaseline` does."""
        notes = self._read_captions(samples, "pre-training", [np.arange(len(samples))])
        made = super().pretrain(samples)
        weights = {name: values for name, values in made.weights.items() if name.startswith("encoder.")}
        return replace(made, weights=weights, notes=self._notes(notes, made.notes))

    def _pretraining(self, shape: Shape) -> Network:
        network = Network(self.own, shape)
        self._give_captions(network)
        return network

    def _learner(self, *arguments: Any) -> Learner:
        return NetworkBaseline._learner(self, *arguments)

    def _remember(self, data: Data, learned: Sequence[NDArray[np.int64]]) -> None:
        for network in self.networks:
            self._give_captions(cast(Network, network))

    def _give_captions(self, network: Network) -> None:
        network.remembered = Sentences(self.captions, network.encoder).to(self.device)
        self.n_cut = network.remembered.n_cut

    def _notes(self, notes: Sequence[str], further: Sequence[str]) -> tuple[str, ...]:
        """Return notes before training, of sentences that are too long, and of training."""
        long = [f"captions: of {plural(self.n_cut, 'sentence')} only the beginning is read"] if self.n_cut else []
        return *notes, *long, *further

    def _read_captions(self, samples: FeatureSet, where: str, learned: Sequence[NDArray[np.int64]]) -> list[str]:
        """Read the captions of samples with a face, and return notes of what is not learned from.

        Raises:
            UsageError: so few are learned from that there is no contrast.
        """
        [sequences], ids = samples.sequences.values(), samples.ids.to_pylist()
        has_face = sequences.present.tolist()
        texts = ["" if text is None else str(text) for text in self._column(samples).to_pylist()]
        self.captions = [
            [part.strip() for part in _SENTENCE.split(text) if _WORD.search(part)] if has else []
            for text, has in zip(texts, has_face, strict=True)
        ]
        n_pairs = min(sum(bool(self.captions[row]) for row in rows.tolist()) for rows in learned)
        if n_pairs < 2:
            raise UsageError(
                f"{where}: {n_pairs} of the samples that are learned from have a face and a caption, which the column "
                f"'{CAPTION}' of the corpus has; needed: 2. Without captions, give weights of `merbench pretrain`: "
                "pretrained=DIR pairs=false"
            )
        without = {
            "no caption": [name for name, text in zip(ids, texts, strict=True) if not _WORD.search(text)],
            "no face": [name for name, has in zip(ids, has_face, strict=True) if not has],
        }
        notes = [
            f"{len(names):,} of {len(ids):,} samples have {what}, and are not learned from as pairs: {listed(names)}"
            for what, names in without.items()
            if names
        ]
        return notes

    def _column(self, samples: FeatureSet) -> pa.Array:
        return samples.columns.get(CAPTION, pa.nulls(len(samples)))

    def _described(self) -> dict[str, Any]:
        used = [own for own in self.captions if own]
        content = "\n".join(" ".join(own) for own in self.captions)
        n_sentences = sum(map(len, used)) / len(used)
        return {"n": len(used), "sentences": round(n_sentences, 3), "captions": sha256_bytes(content.encode())}

    def _make_networks(self, *arguments: Any) -> Any:
        noise = super()._make_networks(*arguments)
        assert self.track is not None
        prompts = class_prompts(self.own, self.track)
        for made in self.networks:
            network = cast(Network, made)
            for name, target in self.track.targets.items():
                network.prompts[name] = [network.encoder.words(texts).to(self.device) for texts in prompts[name]]
                network.ranges[name] = getattr(target, "range", None) or (-1.0, 1.0)
        return noise

    def _features(self, network: Network, samples: FeatureSet) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return what the probe reads of samples, `(n, f)`, and which have a picture."""
        data, rows = Data(samples, self.kind, self.device), torch.arange(len(samples), device=self.device)
        [sequences] = samples.sequences.values()
        network.eval()
        with torch.no_grad():
            parts = [network.encoded(data.batch(block))[0].cpu() for block in rows.split(128)]
        return torch.cat(parts).double().numpy(), sequences.present

    def _fit_probe(self, network: Any, learned: TrainingSet) -> None:
        """Fit logistic regression for labels and ridge regression for numbers on the features of one fold."""
        from sklearn.linear_model import LogisticRegression, Ridge

        features, present = self._features(network, learned.samples)
        if not present.any():
            raise UsageError(f"{learned.track.id}: no sample that is learned from has a face")
        mean, deviation = features[present].mean(0), features[present].std(0)
        deviation[deviation < 1e-6] = 1.0
        for layer, (name, n_labels) in zip(network.heads.layers, network.labels.items(), strict=True):
            values = np.asarray(learned.targets[name])
            rows = present & known_of(values)
            x, y = (features[rows] - mean) / deviation, values[rows]
            weight, bias = np.zeros((n_labels or 1, x.shape[1])), np.zeros(n_labels or 1)
            if n_labels:
                classes = np.unique(y)
                bias[:] = -30.0  # of a label that no sample has
                bias[classes] = 0.0
                if len(classes) > 1:
                    model: Any = LogisticRegression(C=self.own.penalty, max_iter=5000).fit(x, y)
                    signs = [[-0.5], [0.5]] if len(classes) == 2 else 1.0
                    weight[classes], bias[classes] = model.coef_ * signs, model.intercept_ * np.ravel(signs)
            elif len(y):
                model = Ridge(alpha=1 / self.own.penalty).fit(x, y)
                weight[0], bias[0] = model.coef_, model.intercept_
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(weight))
                layer.bias.copy_(torch.from_numpy(bias))
        network.mean.copy_(torch.from_numpy(mean))
        network.deviation.copy_(torch.from_numpy(deviation))
        network.fitted.fill_(True)

    def _out_of_fold(self, train: TrainingSet) -> Predictions:
        """Return what every fold answers for the samples that it did not learn from."""
        rows = [division.validate for division in train.divisions(self.setup.n_folds, self.setup.seed)]
        every = self.outputs(train.samples)
        parts = [
            (own, probabilities({name: values[own] for name, values in outputs.items()}, train.track))
            for own, outputs in zip(rows, every, strict=True)
        ]
        return Predictions.gathered(parts)


def class_prompts(options: Options, track: Track) -> dict[str, list[list[str]]]:
    """Return by target the prompts of every label, or of both ends of a number.

    Raises:
        UsageError: a label has neither prompts nor a template.
    """
    known = {name.strip(): list(texts) for names, texts in options.prompts.items() for name in names.split(",")}
    prompts, without = dict[str, list[list[str]]](), list[str]()
    for name, target in track.targets.items():
        prompts[name] = []
        ends = [(f"{name}.{end}", f"{end} {name}") for end in ("low", "high")]
        for key, label in [(label, label) for label in target.classes] or ends:
            texts = known.get(key) or [text.replace("{label}", label) for text in options.template]
            prompts[name].append(texts)
            without += [] if texts else [key]
    if without:
        raise UsageError(f"prompts: there is none for {listed(without)}, and no template")
    return prompts


def build(options: Options, setup: Setup) -> FacesAndCaptions:
    return FacesAndCaptions(options, setup)
