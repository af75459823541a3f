from __future__ import annotations

import pytest
import torch

from merbench.devices import chosen_device
from merbench.errors import UsageError


def test_devices() -> None:
    assert chosen_device("cpu") == torch.device("cpu")
    assert chosen_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    for name in ("gpu", "meta"):
        with pytest.raises(UsageError, match=f"'{name}'.*allowed: auto, cpu, cuda, cuda:<number>"):
            chosen_device(name)
    absent = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(UsageError, match=f"device '{absent}' does not exist: .* CUDA devices; use --device cpu"):
        chosen_device(absent)
