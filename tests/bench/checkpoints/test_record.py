"""What a training says of itself."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from clipbench.checkpoints.record import (
    PhaseRecord,
    TrainingRecord,
    forget_peak_memory,
    peak_memory,
    read_record,
    write_record,
)
from clipbench.errors import CorruptData
from clipbench.files import sums

PEAKS = """
import numpy as np, torch
from clipbench.checkpoints.record import forget_peak_memory, peak_memory

cpu, much = torch.device("cpu"), 400_000_000
np.ones(much // 8)
before = peak_memory(cpu)
forget_peak_memory(cpu)
own = peak_memory(cpu)
assert own < before - much // 2, (own, before)
np.ones(much // 16)
assert own + much // 4 < peak_memory(cpu) < before, (own, peak_memory(cpu), before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="others keep one number for a process's life")
def test_peak_memory_is_that_of_the_training() -> None:
    """What an estimate or an earlier run took and gave back is not counted; what follows is.

    In a process of its own: what hundreds of other tests left is given back at any moment. Nor is
    what the process has that started this one, which is larger here.
    """
    command = [sys.executable, "-c", PEAKS]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_peak_memory_of_a_gpu_is_forgotten_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the GPU that trains."""
    told: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", told.append)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 7 if told else device)
    forget_peak_memory(torch.device("cuda", 1))
    assert told == [torch.device("cuda", 1)]
    assert peak_memory(torch.device("cuda", 1)) == 7


HISTORY = (
    '{"epoch": 1, "phase": "contrast", "pairs": 8, "cross_modal": true, "trusted": false,'
    ' "losses": [2.5, 0.1], "lr": 0.001, "seconds": 0.25, "loss": 1.3},'
    ' {"epoch": 1, "phase": "nobody", "pairs": 1, "cross_modal": false, "trusted": true,'
    ' "losses": [], "loss": null}'
)
RECORD = f"""{{"fingerprint": "known", "num_pairs": 2, "content_sha256": "{"0" * 64}", "epochs": 1,\
 "samples_seen": 8, "steps": 2, "seconds": 0.25, "seconds_shared": 0.0, "cpu_seconds": 0.5,\
 "peak_memory_bytes": 99, "device": "cpu", "precision": "fp32", "processes": 1,\
 "history": [{HISTORY}], "exposures": "%s", "threads": [1, 2], "sha256_of_rest": "%s"}}
"""


def write_earlier(folder: Path) -> None:
    """Write a record as an earlier version did."""
    array = io.BytesIO()
    np.save(array, np.array([3, 5]), allow_pickle=False)
    (folder / "exposures.npy").write_bytes(array.getvalue())
    text = RECORD % (hashlib.sha256(array.getvalue()).hexdigest(), "%s")
    whole = {key: value for key, value in json.loads(text).items() if key != sums.FIELD}
    (folder / "record.json").write_text(text % sums.of_json(whole))


def test_a_record_of_an_earlier_version_is_read_and_written_byte_for_byte(tmp_path: Path) -> None:
    write_earlier(tmp_path)
    record = read_record(tmp_path, "known")
    assert record is not None
    first, second = record.history
    assert (first.phase, first.loss, first.lr, second.loss) == ("contrast", 1.3, 0.001, None)
    written = tmp_path / "written"
    written.mkdir()
    write_record(written, record, "known")
    for name in ("record.json", "exposures.npy"):
        assert (written / name).read_bytes() == (tmp_path / name).read_bytes()


def test_a_record_of_a_wrong_phase_names_what_is_wrong(tmp_path: Path) -> None:
    record = TrainingRecord(
        num_pairs=0,
        content_sha256="0" * 64,
        **dict.fromkeys(("epochs", "samples_seen", "steps", "peak_memory_bytes", "processes"), 0),
        **dict.fromkeys(("seconds", "seconds_shared", "cpu_seconds"), 0.0),
        device="cpu",
        precision="fp32",
        history=[PhaseRecord(epoch=1, phase="a", pairs=0, losses=["much"])],  # type: ignore[list-item]
        exposures=np.zeros(0, np.int64),
    )
    write_record(tmp_path, record, "known")
    with pytest.raises(CorruptData, match=r"Expected `float`, got `str`.*losses"):
        read_record(tmp_path, "known")


def test_a_record_tells_in_which_ways_it_was_made(tmp_path: Path) -> None:
    """A result tells of them only where there were several."""
    write_earlier(tmp_path)
    old = read_record(tmp_path, "known")
    assert old is not None
    for ways in (["1 process on a"], ["1 process on a", "2 processes on b"]):
        write_record(tmp_path, replace(old, ways=ways), "known")
        found = read_record(tmp_path, "known")
        assert found is not None
        assert found.ways == ways
        assert found.to_json().get("ways") == (ways if len(ways) > 1 else None)
