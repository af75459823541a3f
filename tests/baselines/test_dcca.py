"""DCCA: components of every two features that are correlated, each by a network of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from merbench.corpus.candidates import open_candidates
from merbench.errors import UsageError
from merbench.training import Setup, feature_set, load_baseline, training_set
from tests.training.conftest import SmallTrack

WIDTHS = {"audio": 5, "video": 5, "text": 4}
QUICK: dict[str, Any] = {"hidden": 8, "layers": 1, "components": 2, "epochs": 3, "batch_size": 16}

loaded = load_baseline("dcca")


def views_of(**options: Any) -> Any:
    torch.manual_seed(0)
    chosen = TypeAdapter(loaded.module.Options).validate_python(loaded.options("any", {**QUICK, **options}))
    return loaded.module.Views(chosen, WIDTHS)


def inputs_of(n: int = 12) -> list[torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    return [torch.randn(n, width, generator=rng) for width in WIDTHS.values()]


def test_every_feature_goes_through_its_own_networks() -> None:
    views, inputs = views_of(reconstruction=0.1).eval(), inputs_of()
    before = views(inputs)
    for n in range(3):
        with torch.no_grad():
            views.encoders[n][0].weight.add_(1.0)
        after = views(inputs)
        changed = [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]
        assert changed == [place == n for place in range(3)]
        before = after
    views.train().loss(inputs).backward()
    for network in (*views.encoders, *views.decoders):
        assert network[0].weight.grad.any()
    assert len(views_of().decoders) == 0


def test_the_loss_is_minus_the_correlations_of_every_two_features_and_the_errors_of_decoders() -> None:
    views, inputs, correlation = views_of(reconstruction=0.5).eval(), inputs_of(), loaded.module.correlation
    own = views(inputs)
    sums = sum(correlation(own[i], own[j], 0.001) for i, j in ((0, 1), (0, 2), (1, 2)))
    mapped = [decoder(view) for decoder, view in zip(views.decoders, own, strict=True)]
    errors = sum((made - x).square().mean() for made, x in zip(mapped, inputs, strict=True))
    torch.testing.assert_close(views.loss(inputs), 0.5 * errors - sums)
    views.decoders = torch.nn.ModuleList()
    torch.testing.assert_close(views.loss(inputs), -sums)


def test_correlations_are_at_most_1_for_each_component_and_any_invertible_map_keeps_them() -> None:
    rng = torch.Generator().manual_seed(1)
    a, b = (torch.randn(30, 3, generator=rng, dtype=torch.float64) for _ in range(2))
    mixed = b @ torch.randn(3, 3, generator=rng, dtype=torch.float64) + 5
    value = loaded.module.correlation(a, b, 1e-10)
    assert 0 < value < 3
    torch.testing.assert_close(loaded.module.correlation(a, mixed, 1e-10), value, rtol=1e-6, atol=0)


@pytest.mark.parametrize("n", [1, 2, 6])
def test_gradients_of_identical_rows_are_finite(n: int) -> None:
    views = views_of(reconstruction=0.1).train()
    loss = views.loss([x[:1].expand(n, -1) for x in inputs_of()])
    loss.backward()
    assert loss.isfinite()
    assert all(part.grad.isfinite().all() for part in views.parameters())


def test_linear_networks_reach_the_correlations_of_the_closed_form() -> None:
    rng = np.random.default_rng(0)
    common = rng.normal(size=(200, 2))
    a, b = (np.hstack([common, common * 0]) + rng.normal(size=(200, 4)) * 0.5 for _ in range(2))
    a, b = ((x - x.mean(0)) / x.std(0) for x in (a, b))
    # canonical correlations are the singular values of the product of orthonormal bases (Björck and Golub 1973)
    bases = [np.linalg.qr(x)[0] for x in (a, b)]
    expected = np.linalg.svd(bases[0].T @ bases[1])[1][:2].sum()
    options = TypeAdapter(loaded.module.Options).validate_python(
        loaded.options("any", {"layers": 0, "components": 2, "ridge": 1e-6})
    )
    torch.manual_seed(0)
    views = loaded.module.Views(options, {"a": 4, "b": 4}).double()
    inputs = [torch.from_numpy(x) for x in (a, b)]
    optimiser = torch.optim.Adam(views.parameters(), lr=0.05)
    for _ in range(150):
        optimiser.zero_grad()
        loss = views.loss(inputs)
        loss.backward()
        optimiser.step()
    assert -float(loss.detach()) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("reconstruction", [0.0, 0.1])
def test_it_answers_labels_and_numbers_and_its_stored_weights_answer_the_same(
    reconstruction: float, small_track: SmallTrack
) -> None:
    track = small_track()
    train = training_set(open_candidates(track, "train"), ["quiet", "loud"])
    test = feature_set(open_candidates(track), ["quiet", "loud"])
    options = loaded.options("small", {**QUICK, "reconstruction": reconstruction})
    model, restored, other = (
        loaded.build(own, Setup(device_name="cpu")) for own in (options, options, {**options, "components": 3})
    )
    model.fit(train)
    restored.restore(model.weights(), track, test.widths)
    for target, values in model.predict(test).outputs.items():
        assert np.ptp(values, axis=0).max() > 0
        np.testing.assert_array_equal(restored.predict(test).outputs[target], values)
        single = model.predict(test.select(np.array([3]))).outputs[target]
        np.testing.assert_allclose(single[0], values[3], rtol=1e-4, atol=1e-6)
    with pytest.raises(UsageError, match="the weights are those of other options or features: views"):
        other.restore(model.weights(), track, test.widths)


def test_a_label_that_was_not_learned_is_never_answered() -> None:
    fitted, scores = loaded.module.fitted, loaded.module.scores
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(10, 2)) - 3, rng.normal(size=(10, 2)) + 3])
    codes = np.repeat([0, 2], 10)
    two = scores(fitted(loaded.module.LinearSVC(C=1.0, dual=False), x, codes), x, 3)
    assert (two[:, 1] == -np.inf).all() and (two.argmax(1) == codes).all()
    np.testing.assert_allclose(two[:, 0], -two[:, 2])
    one = scores(fitted(loaded.module.LinearSVC(C=1.0, dual=False), x, codes * 0 + 1), x, 3)
    np.testing.assert_array_equal(one[0], [-np.inf, 0, -np.inf])
    # shares of labels are so many samples of each: those of one label are its samples
    shares = np.eye(3)[codes]
    np.testing.assert_allclose(scores(fitted(loaded.module.LinearSVC(C=1.0, dual=False), x, shares), x, 3), two)
