"""Gradient-boosted trees on concatenated features, one model per target; a missing feature is a branch of its own.

Conventions:
    n samples, d numbers of all features, K labels, t trees of an iteration: K, or 1 of two labels or a number. A leaf
    is a node whose children are itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from merbench.errors import UsageError
from merbench.parameters import Within
from merbench.track import Track
from merbench.training import FeatureSet, Predictions, Setup, TrainingSet

Array = NDArray[np.float64]

AT_ONCE = 1 << 22
"""How many paths of samples through trees are followed at once; bounds memory."""


@dataclass(frozen=True)
class Options:
    """How trees are grown, as in scikit-learn, and how wide features are made narrow.

    Attributes:
        learning_rate: what every tree is multiplied by.
        iterations: trees of a number or of two labels, and of each of more labels.
        leaves: leaves of a tree at most.
        samples_of_a_leaf: samples that a leaf has at least.
        penalty: of the squared values of leaves.
        components: a feature of more numbers is projected onto so many principal components of what is learned from; 0
            takes features as they are, which takes minutes for thousands of numbers.
    """

    learning_rate: Annotated[float, Within(1e-6, 1)]
    iterations: Annotated[int, Within(1, 10_000)]
    leaves: Annotated[int, Within(2, 65_536)]
    samples_of_a_leaf: Annotated[int, Within(1)]
    penalty: Annotated[float, Within(0)]
    components: Annotated[int, Within(0)]


class Trees:
    """The trees of a target, as plain numbers.

    Args:
        nodes: `(m, 6)` of all trees: the number that is compared, the threshold up to which a sample goes left, whether
            one goes left that lacks the number, the left and the right child, and the value of a leaf.
        roots: `(iterations, t)` rows of `nodes`.
        start: `(t,)` what boosting begins with.
    """

    def __init__(self, nodes: Array, roots: NDArray[np.int64], start: Array) -> None:
        self.nodes, self.roots, self.start = nodes, roots, start

    @classmethod
    def of(cls, model: Any) -> Trees:
        """Return the trees of a trained model of scikit-learn."""
        # Its nodes have no public name; a test compares what is predicted from them with scikit-learn's predictions.
        iterations = [[tree.nodes for tree in trees] for trees in model._predictors]
        sizes = np.array([[len(nodes) for nodes in trees] for trees in iterations], dtype=np.int64)
        roots = (np.cumsum(sizes) - sizes.ravel()).reshape(sizes.shape)
        nodes = np.concatenate([nodes for trees in iterations for nodes in trees])
        own, first = np.arange(len(nodes)), np.repeat(roots.ravel(), sizes.ravel())
        children = [np.where(nodes["is_leaf"], own, first + nodes[side]) for side in ("left", "right")]
        compared = np.where(nodes["is_leaf"], 0, nodes["feature_idx"])
        columns = [compared, nodes["num_threshold"], nodes["missing_go_to_left"], *children, nodes["value"]]
        return cls(np.column_stack(columns).astype(np.float64), roots, model._baseline_prediction.ravel())

    def sums(self, x: Array) -> Array:
        """Return the `(n, t)` sums over the iterations for samples `(n, d)`."""
        step = max(1, AT_ONCE // max(1, self.roots.size))
        return np.concatenate([self._sums(x[at : at + step]) for at in range(0, max(1, len(x)), step)])

    def _sums(self, x: Array) -> Array:
        compared, missing_left, left, right = self.nodes[:, [0, 2, 3, 4]].T.astype(np.int64)
        threshold, leaf = self.nodes[:, 1], self.nodes[:, 5]
        places, moved = np.tile(self.roots.ravel(), (len(x), 1)), True
        while moved:  # ends, since a child comes after its parent, and those of a leaf are itself
            values = np.take_along_axis(x, compared[places], 1)
            goes_left = np.where(np.isnan(values), missing_left[places] == 1, values <= threshold[places])
            after = np.where(goes_left, left[places], right[places])
            moved, places = not np.array_equal(after, places), after
        sums = np.tile(self.start, (len(x), 1))
        for values in np.moveaxis(leaf[places].reshape(len(x), *self.roots.shape), 1, 0):
            sums += values  # one iteration after the other, as scikit-learn does
        return sums

    def fit_to(self, n_features: int, n_sums: int) -> bool:
        """Return whether trees from a file can be followed."""
        if (self.nodes.shape[1:], self.roots.shape[1:], self.start.shape) != ((6,), (n_sums,), (n_sums,)):
            return False
        if [part.dtype.str for part in (self.nodes, self.roots, self.start)] != ["<f8", "<i8", "<f8"]:
            return False
        own, n, indices = np.arange(len(self.nodes)), len(self.nodes), self.nodes[:, [0, 2, 3, 4]]
        within = (indices >= 0) & (indices < [n_features, 2, n, n])
        after = indices[:, 2:] >= own[:, None]
        return bool(within.all() and after.all() and ((self.roots >= 0) & (self.roots < n)).all())


class Boosting:
    """One model of boosted trees per target."""

    def __init__(self, options: Options, seed: int) -> None:
        self.options, self.seed = options, seed

    def fit(self, train: TrainingSet) -> None:
        self.projections = {name: self.projection(train.samples, name) for name in train.samples.sequences}
        x, track = self.fused(train.samples), train.track
        self.n_labels = labels_of(track)
        self.labels: dict[str, NDArray[Any]] = {}  # by target that has such, those that were learned
        self.trees = {name: self.grown(name, x, train.targets[name]) for name in track.targets}

    def grown(self, target: str, x: Array, values: Array) -> Trees:
        """Return the trees of a target; shares of labels count as so many samples of each label."""
        options = self.options
        settings = {
            "learning_rate": options.learning_rate,
            "max_iter": options.iterations,
            "max_leaf_nodes": options.leaves,
            "min_samples_leaf": options.samples_of_a_leaf,
            "l2_regularization": options.penalty,
            "early_stopping": False,  # it would leave out samples at random, also some of a speaker
            "random_state": self.seed,
        }
        if target not in self.n_labels:
            return Trees.of(HistGradientBoostingRegressor(**settings).fit(x, values))
        rows, codes = np.nonzero(values) if values.ndim == 2 else (np.arange(len(x)), values)
        self.labels[target] = np.unique(codes).astype(np.int64)
        if len(self.labels[target]) == 1:
            return Trees(np.zeros((0, 6)), np.zeros((0, 1), dtype=np.int64), np.zeros(1))  # scikit-learn refuses them
        shares = values[rows, codes] if values.ndim == 2 else None
        return Trees.of(HistGradientBoostingClassifier(**settings).fit(x[rows], codes, sample_weight=shares))

    def predict(self, test: FeatureSet) -> Predictions:
        x = self.fused(test)
        sums = {name: trees.sums(x) for name, trees in self.trees.items()}
        return Predictions(
            {
                name: self.probabilities(name, each) if name in self.n_labels else each[:, 0]
                for name, each in sums.items()
            }
        )

    def probabilities(self, target: str, sums: Array) -> Array:
        """Return one column per declared label; a label without a training sample has probability 0."""
        labels = self.labels[target]
        scores = sums if len(labels) > 2 else np.pad(sums, ((0, 0), (1, 0)))[:, : len(labels)]
        likely = np.exp(scores - scores.max(axis=1, keepdims=True))
        table = np.zeros((len(sums), self.n_labels[target]))
        table[:, labels] = likely / likely.sum(axis=1, keepdims=True)
        return table

    def projection(self, samples: FeatureSet, name: str) -> tuple[Array, Array] | None:
        """Return the mean and the `(components, d)` axes that a wide feature is projected onto; None for others."""
        x = samples.features[name][samples.sequences[name].present].astype(np.float64)
        if not 0 < self.options.components < x.shape[1] or not len(x):
            return None
        # An exact solver: the one that scikit-learn chooses for some sizes depends on a seed.
        pca = PCA(min(self.options.components, len(x)), svd_solver="covariance_eigh").fit(x)
        return pca.mean_, pca.components_

    def fused(self, samples: FeatureSet) -> Array:
        """Return the concatenated features `(n, d)`, NaN where a sample lacks one."""
        parts = []
        for name, projection in self.projections.items():
            x = samples.features[name].astype(np.float64)
            if projection is not None:
                x = (x - projection[0]) @ projection[1].T
            parts.append(np.where(samples.sequences[name].present[:, None], x, np.nan))
        return np.concatenate(parts, axis=1)

    def weights(self) -> dict[str, NDArray[Any]]:
        arrays: dict[str, NDArray[Any]] = {f"labels.{name}": labels for name, labels in self.labels.items()}
        for name, projection in self.projections.items():
            arrays |= {} if projection is None else {f"mean.{name}": projection[0], f"axes.{name}": projection[1]}
        for name, trees in self.trees.items():
            arrays |= {f"nodes.{name}": trees.nodes, f"roots.{name}": trees.roots, f"start.{name}": trees.start}
        return arrays

    def restore(self, weights: Mapping[str, NDArray[Any]], track: Track, widths: Mapping[str, int]) -> None:
        self.n_labels, self.projections, self.trees, n_features = labels_of(track), {}, {}, 0
        for name, width in widths.items():
            projection = (weights[f"mean.{name}"], weights[f"axes.{name}"]) if f"mean.{name}" in weights else None
            if projection is not None and {part.shape[-1:] for part in projection} != {(width,)}:
                raise UsageError(f"the weights are those of a feature '{name}' of another width")
            self.projections[name] = projection
            n_features += width if projection is None else len(projection[1])
        self.labels = {name: weights[f"labels.{name}"] for name in self.n_labels}
        for name in track.targets:
            trees = Trees(weights[f"nodes.{name}"], weights[f"roots.{name}"], weights[f"start.{name}"])
            labels = self.labels.get(name, np.arange(1))
            known = np.isin(labels, np.arange(self.n_labels.get(name, 1))).all() and len(np.unique(labels)) == len(
                labels
            )
            if not (known and len(labels) and trees.fit_to(n_features, len(labels) if len(labels) > 2 else 1)):
                raise UsageError(f"the weights are not those of target '{name}' and of these features")
            self.trees[name] = trees


def labels_of(track: Track) -> dict[str, int]:
    """Return the number of labels of every target that has such."""
    return {name: len(target.classes) for name, target in track.targets.items() if target.classes}


def build(options: Options, setup: Setup) -> Boosting:
    return Boosting(options, setup.seed)
