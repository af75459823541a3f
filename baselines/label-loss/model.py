"""The network of another baseline, its base, with a loss of sets of labels, of noisy labels or of a long tail.

The losses are functions of `merbench.training.networks.label_sets`, which also has the conventions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from torch import Tensor

from merbench.parameters import Within
from merbench.training import Setup
from merbench.training.networks.around import network_base
from merbench.training.networks.batches import Batch
from merbench.training.networks.label_sets import (
    SetBaseline,
    SetNetwork,
    adjusted_scores,
    cc_loss,
    confidences,
    estimated_prior,
    exp_loss,
    gce_loss,
    leveraged_loss,
    outside_confidences,
    sce_loss,
    weighted_cross_entropy,
)
from merbench.training.wrapping import BaseOptions

Weight = Annotated[float, Within(0)]


@dataclass(frozen=True, kw_only=True)
class Options(BaseOptions):
    """What is trained, and by which loss.

    Attributes:
        base: name or folder of the baseline that is trained: a network of vectors.
        base_options: options of the base that differ from those it declares.
        loss: of the targets with labels.
        alpha: weight of the cross-entropy in `sce`.
        beta: weight of the reverse cross-entropy in `sce`.
        power: of the probability in `gce`.
        inside: weight of the labels of a set in `lws` and `lwc`.
        outside: weight of the other labels in `lws` and `lwc`.
        outside_shares: what each of the other labels weighs in `lws` and `lwc`: its `confidence`, or 1 / K, `equal`.
        tau: strength of `adjusted`; at 0 it is `rc`.
    """

    loss: Literal["cc", "rc", "exp", "proden", "lws", "lwc", "sce", "gce", "adjusted"]
    alpha: Weight
    beta: Weight
    power: Annotated[float, Within(0.01, 1)]
    inside: Weight
    outside: Weight
    outside_shares: Literal["confidence", "equal"]
    tau: Weight


class Network(SetNetwork):
    """The base, with one of the losses."""

    options: Options

    def set_loss(self, name: str, scores: Tensor, sets: Tensor, batch: Batch) -> Tensor:
        """Return the loss of every sample, and renew its confidences.

        `proden` goes by those of these scores, the others by those of the pass before.
        """
        options, every = self.options, self.all_confidences(name)
        if options.loss == "adjusted":
            scores = adjusted_scores(scores, estimated_prior(every), options.tau)
        before, now = self.of_batch(every, batch), confidences(scores, sets)
        self.store(every, batch, now * sets)
        match options.loss:
            case "cc":
                return cc_loss(scores, sets)
            case "exp":
                return exp_loss(scores, sets)
            case "proden":
                return weighted_cross_entropy(scores, now)
            case "sce":
                return sce_loss(scores, before, options.alpha, options.beta)
            case "gce":
                return gce_loss(scores, before, options.power)
            case "lws" | "lwc":
                others = outside_confidences(scores, sets, equal=options.outside_shares == "equal")
                weights = options.inside, options.outside
                return leveraged_loss(scores, before, others, weights, sigmoid=options.loss == "lws")
        return weighted_cross_entropy(scores, before)


def build(options: Options, setup: Setup) -> SetBaseline:
    return SetBaseline(*network_base(options, setup, "label-loss"), Network, options, setup)
