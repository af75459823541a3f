from __future__ import annotations

import numpy as np
import pytest
import torch

from merbench.errors import UsageError
from merbench.training import load_baseline
from tests.baselines.networks import network_of


def test_the_tensor_is_the_outer_product_of_encodings_after_a_one() -> None:
    encodings = [torch.randn(2, 3, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    tensor = load_baseline("tfn").module.tensor_of(encodings)
    a, v, t = (np.hstack([np.ones((2, 1)), x.numpy()]) for x in encodings)
    expected = np.stack(
        [np.multiply.outer(np.multiply.outer(*pair), t[i]) for i, pair in enumerate(zip(a, v, strict=True))]
    )
    np.testing.assert_allclose(tensor.numpy(), expected.reshape(2, 64), rtol=1e-6)


@pytest.mark.parametrize("n_features", [1, 2, 3, 4])
def test_any_number_of_modalities_has_a_tensor(n_features: int) -> None:
    tensor = load_baseline("tfn").module.tensor_of([torch.ones(5, 2)] * n_features)
    assert tensor.shape == (5, 3**n_features)


def test_a_tensor_that_is_too_large_is_refused_with_a_remedy() -> None:
    with pytest.raises(UsageError) as refused:
        network_of("tfn", dict.fromkeys("abcd", 2), {"valence": None}, hidden=64)
    assert str(refused.value) == (
        "tfn: the tensor of 4 features has (hidden + 1)^4 = 17,850,625 entries, and the layer that reads it "
        "1,142,440,000 weights, more than 536,870,912; lower hidden, which is 64, use fewer features, or lmf, whose "
        "parameters grow with their sum"
    )
