from __future__ import annotations

import pytest

from merbench.errors import UsageError
from tests.baselines.networks import network_of


def test_a_tensor_that_is_too_large_is_refused_with_a_remedy() -> None:
    with pytest.raises(UsageError) as refused:
        network_of("tfn", dict.fromkeys("abcd", 2), {"valence": None}, hidden=64)
    assert str(refused.value) == (
        "tfn: the tensor of 4 features has (hidden + 1)^4 = 17,850,625 entries, and the layer that reads it "
        "1,142,440,000 weights, more than 536,870,912; lower hidden, which is 64, use fewer features, or lmf, whose "
        "parameters grow with their sum"
    )
