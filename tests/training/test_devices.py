from __future__ import annotations

import pytest
import torch

from merbench.devices import chosen_device, out_of_memory
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


def test_errors_of_memory_are_known() -> None:
    with pytest.raises(RuntimeError) as on_cpu:
        torch.empty(1 << 60, dtype=torch.int8)
    assert out_of_memory(on_cpu.value)
    assert out_of_memory(MemoryError())
    assert out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"))
    with pytest.raises(RuntimeError) as of_shapes:
        torch.zeros(2, 3) @ torch.zeros(2, 3)
    assert not out_of_memory(of_shapes.value)
