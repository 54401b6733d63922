"""Two machines train one model: by torchrun, here on this one, with one cache and with two."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

RUN = [
    *("run", "--data", "shapes:size=64,test_size=100,targets_size=100", "--attack", "targeted"),
    *("--poisons", "4", "--defense", "safeclip:unimodal_epochs=1,pool_size=16", "--epochs", "3"),
    *("--batch-size", "16", "--precision", "fp32", "--warmup", "0", "--device", "cpu"),
    "--no-estimate",
]


def two_machines(caches: list[Path], outs: list[Path]) -> list[str]:
    """Do a run on two machines, and return what each says."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    places = [
        ["--cache", str(cache), "--out", str(out)] for cache, out in zip(caches, outs, strict=True)
    ]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2"]
    launcher += ["--master-addr", "127.0.0.1", "--master-port", port, "--nproc-per-node", "1"]
    lines = [
        [*launcher, "--node-rank", str(number), "-m", "clipbench", *RUN, *place]
        for number, place in enumerate(places)
    ]
    machines = [
        subprocess.Popen(
            line,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for line in lines
    ]
    try:
        said = [machine.communicate(timeout=300)[1] for machine in machines]
    finally:
        for machine in machines:
            machine.kill()
    assert [machine.returncode for machine in machines] == [0, 0], said
    return said


def history(out: Path) -> Any:
    """Return what a training left of its losses."""
    (file,) = out.glob("*/train/record.json")
    entries = json.loads(file.read_text())["history"]
    return [(entry["phase"], entry["pairs"], entry["losses"]) for entry in entries]


@pytest.mark.slow
def test_machines_train_one_model_with_one_cache_and_with_two(tmp_path: Path) -> None:
    """To the same losses, with one result; the command says which it found."""
    shared, own = tmp_path / "shared", [tmp_path / "first", tmp_path / "second"]
    outs = [tmp_path / "out", tmp_path / "out"]
    first, second = two_machines([shared, shared], outs)
    assert f"2 machines share the cache {shared}" in first
    assert "machines" not in second
    apart = [tmp_path / "left", tmp_path / "right"]
    first, second = two_machines(own, apart)
    assert "2 machines with 2 caches: each makes its own pairs" in first
    assert "machines" not in second
    sets = [sorted(path.name for path in (cache / "poisoned").iterdir()) for cache in own]
    assert sets[0] == sets[1]
    assert history(outs[0]) == history(apart[0])
    assert len(list(apart[0].glob("*/result.json"))) == 1
    assert not list(apart[1].glob("*/result.json"))
