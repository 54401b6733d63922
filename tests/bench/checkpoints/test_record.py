"""What a training says of itself."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from clipbench.checkpoints.record import forget_peak_memory, peak_memory

MUCH = 400_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="others keep one number for a process's life")
def test_peak_memory_is_that_of_the_training() -> None:
    """What an estimate or an earlier run took and gave back is not counted; what follows is."""
    cpu = torch.device("cpu")
    np.ones(MUCH // 8)
    before = peak_memory(cpu)
    forget_peak_memory(cpu)
    own = peak_memory(cpu)
    assert own < before - MUCH // 2
    np.ones(MUCH // 16)
    assert own + MUCH // 4 < peak_memory(cpu) < before


def test_peak_memory_of_a_gpu_is_forgotten_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the GPU that trains."""
    told: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", told.append)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 7 if told else device)
    forget_peak_memory(torch.device("cuda", 1))
    assert told == [torch.device("cuda", 1)]
    assert peak_memory(torch.device("cuda", 1)) == 7
