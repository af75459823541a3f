from __future__ import annotations

import numpy as np
import torch

from merbench.training import load_baseline
from merbench.training.networks.layers import generator


def test_fusion_is_the_weighted_sum_of_products_of_factors() -> None:
    fusion = load_baseline("lmf").module.LowRankFusion(3, 4, 2, 3, [generator("cpu", 0)])
    encodings = [torch.randn(5, 4, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    with torch.no_grad():
        fusion.bias.normal_()
        fused = fusion([x[None] for x in encodings])[0].numpy()
    expected = np.tile(fusion.bias[0].detach().numpy().astype(float), (5, 1))
    for rank in range(3):
        product = np.ones((5, 2))
        for factor, x in zip(fusion.factors, encodings, strict=True):
            columns = slice(2 * rank, 2 * rank + 2)
            matrix = torch.cat([factor.bias[0], factor.weight[0]])[:, columns].detach().numpy()  # (h + 1, o)
            product = product * (np.hstack([np.ones((5, 1)), x.numpy()]) @ matrix)
        expected += fusion.weights[0, 0, rank].item() * product
    np.testing.assert_allclose(fused, expected, rtol=1e-4, atol=1e-6)
