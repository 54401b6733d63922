from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from processes import environment, start

from clipbench.checkpoints.trace import read_trace
from clipbench.errors import BadSetting
from clipbench.files import sums
from clipbench.parallel.devices import pick_device
from clipbench.parallel.group import Processes, join_processes
from clipbench.plugins import registry

Look = Callable[[str], list[dict[str, np.ndarray]]]
SAFECLIP = "safeclip:unimodal_epochs=1,cross_modal_epochs=1,pool_size=64,first_ratio=0.5,growth=0"
EPOCHS = 4  # two of the risky and the safe set, so that each stage has 20 steps
RUN = [
    *("run", "--quiet", "--json", "--data", "shapes:size=320,test_size=100,targets_size=100"),
    *("--attack", "targeted", "--poisons", "4", "--batch-size", "16", "--precision", "fp32"),
    # Rounding differs between one process and two. A step of Adam turns a gradient of rounding
    # noise into a change of weights, and the choice of a nearest neighbor is a jump; a low rate
    # keeps single precision's noise below what is compared.
    *("--lr", "5e-6", "--warmup", "0", "--device", "cpu", "--workers", "0"),
]
TORCHRUN = ["-m", "torch.distributed.run", "--nproc-per-node", "2"]
ENDPOINT = ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]


def run(launcher: list[str], cache: Path, out: Path) -> tuple[list[dict[str, Any]], str]:
    """Do a run for three defenses; return what it prints, and what it says beside."""
    defenses = ["--defense", "none", "--defense", "clip", "--defense", SAFECLIP]
    choices = ["--epochs", str(EPOCHS), "--cache", str(cache), "--out", str(out)]
    finished = subprocess.run(
        [sys.executable, *launcher, "clipbench", *RUN, *defenses, *choices],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    printed: list[dict[str, Any]] = json.loads(finished.stdout)
    return printed, finished.stderr


def left_by(folder: Path, result: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The training record of a run, and its trace of each epoch."""
    (run_folder,) = folder.glob(f"*_{result['id']}")
    train = run_folder / "train"
    record = json.loads((train / "record.json").read_text())
    traces = [vars(read_trace(file)) for file in sorted((train / "trace").glob("*.npz"))]
    return record, traces


def test_two_processes_train_as_one(tmp_path: Path) -> None:
    """Under torchrun the first 20 losses of every stage are one process's to 1e-4.

    So are the scores; safe sets and exposures are the same, and there is one result a run.
    """
    alone, _ = run(["-m"], tmp_path / "cache", tmp_path / "one")
    both, said = run([*TORCHRUN, *ENDPOINT, "-m"], tmp_path / "cache", tmp_path / "two")
    assert "warning" not in said
    names = ["none", "clip", "safeclip"]
    assert [result["defense"]["name"] for result in alone] == names
    assert [result["defense"]["name"] for result in both] == names
    assert len(list(tmp_path.glob("two/*/result.json"))) == 3
    for one, two in zip(alone, both, strict=True):
        assert (one["train"]["processes"], two["train"]["processes"]) == (1, 2)
        assert one["id"] == two["id"]
        assert one["exposures"] == two["exposures"]
        assert one["metrics"].keys() == two["metrics"].keys()
        (written,) = tmp_path.glob(f"two/*_{two['id']}/result.json")
        assert json.loads(written.read_text()) == sums.summed(two)
        compare(left_by(tmp_path / "one", one), left_by(tmp_path / "two", two))


def first_losses(history: list[dict[str, Any]], stage: str) -> list[float]:
    """Return the losses of the first 20 steps of a stage, over as many epochs as it takes."""
    return [loss for entry in history if entry["phase"] == stage for loss in entry["losses"]][:20]


def compare(expected: Any, actual: Any) -> None:
    """Hold the record and the traces of one training against those of another."""
    (one, one_traces), (two, two_traces) = expected, actual
    stages = [(e["phase"], e["pairs"], len(e["losses"])) for e in one["history"]]
    assert stages == [(e["phase"], e["pairs"], len(e["losses"])) for e in two["history"]]
    for stage in {name for name, _, _ in stages}:
        before, now = (first_losses(record["history"], stage) for record in (one, two))
        assert len(before) == 20
        assert now == pytest.approx(before, abs=1e-4), stage
    assert len(one_traces) == len(two_traces) == EPOCHS
    for before, now in zip(one_traces, two_traces, strict=True):
        assert np.array_equal(before["pairs"], now["pairs"])
        assert np.array_equal(before["cross_modal"], now["cross_modal"])
        np.testing.assert_allclose(before["scores"], now["scores"], atol=1e-4)


def test_in_double_precision_they_agree_at_the_full_learning_rate(three: Path) -> None:
    """Without rounding to speak of, every loss and weight of every defense agrees to 1e-9.

    At a rate that changes the losses, with unequal batches and shares; so what differs in single
    precision is rounding alone. A loss that draws random numbers draws the same in all processes.
    """
    names = [
        "none",
        "clip",
        "safeclip",
        "roclip",
        "dao",
        "clipscore",
        "cleanclip",
        "par",
        "drawing",
    ]
    found = in_double(three / "training")
    assert sorted(found) == sorted(names)
    assert all(max(losses) - min(losses) > 0.3 for losses in found.values())


def test_a_process_without_a_row_trains_like_any_other(three: Path) -> None:
    """Three processes, eight pairs in batches of three: every defense's losses are one process's.

    The last batch has a row for two of the three, and a phase that keeps few pairs may have one
    such batch alone.
    """
    found = in_double(three / "few")
    assert sorted(found) == sorted([*registry.names("defense"), "reused"])
    assert all(len(losses) >= 3 for losses in found.values())


def in_double(folder: Path) -> dict[str, npt.NDArray[np.float64]]:
    """Return the losses of each defense in double precision; three processes' are one's."""
    found = {}
    for file in sorted(folder.glob("1/*.pt")):
        one, three = (torch.load(folder / n / file.name, weights_only=True) for n in ("1", "3"))
        found[file.stem] = np.concatenate(one["losses"])
        assert np.concatenate(three["losses"]) == pytest.approx(found[file.stem], abs=1e-9)
        assert torch.equal(one["exposures"], three["exposures"])
        for key, value in one["model"].items():
            torch.testing.assert_close(three["model"][key], value, rtol=0, atol=1e-7, msg=key)
    return found


def test_what_a_defense_decides_is_the_first_processs_decision(found: Look) -> None:
    """Masks, rates, factors, scores and state, where each process would decide something else."""
    first, *others = found("decisions")
    assert first["pairs"].tolist() == [24] * 4  # the others would have kept 21 and 18 of them
    assert first["rates"].any()
    for other in others:
        for name, value in first.items():
            assert np.array_equal(other[name], value), name


def test_a_training_of_several_processes_resumes_in_the_middle_of_an_epoch(found: Look) -> None:
    """It ends as if it had not been killed; also those that do not see the checkpoint go on."""
    first, *others = found("resumed")
    assert [bool(one["files"]) for one in (first, *others)] == [True, False, False]
    assert first["told"].tolist() == ["resumes at epoch 3 of 3, step 2"]
    for one in (first, *others):
        assert np.array_equal(one["again"], one["whole"])
        assert np.array_equal(one["again"], first["again"])


def test_what_the_first_does_alone_may_take_longer_than_an_operation_of_all(found: Look) -> None:
    """Here 2,160 seconds, simulated, where an operation may take 1,800: one of all fails then.

    That says what failed, and no process that it ended.
    """
    for rank, one in enumerate(found("patience")):
        assert one["sum"].tolist() == [3.0]
        assert one["waited"] > 1_800
        (said,) = one["failed"].tolist()
        assert said.startswith(f"Process {rank} of 3 of this run cannot go on: ")
        assert "imed out" in said
        assert "ended" not in said


def test_one_process_makes_for_each_cache(found: Look) -> None:
    """Where the third has a cache of its own; where all share one, the first makes alone."""
    caches = found("caches")
    assert [one["makes"].tolist() for one in caches] == [
        [True, True],
        [False, False],
        [True, False],
    ]
    assert [one["made_by"].tolist() for one in caches] == [[0], [0], [2]]
    assert caches[1]["seen"].tolist()[1:] == [True]  # only when it is made


@pytest.fixture(scope="module")
def collectives(found: Look) -> list[dict[str, np.ndarray]]:
    """What each of three processes with 2, 2 and 3 of 7 rows computed."""
    return found("collectives")


@pytest.mark.parametrize("rank", [0, 1, 2])
@pytest.mark.parametrize("part", ["gathered", "loss", "grad", "scale_grad"])
def test_gathered_features_give_the_loss_and_gradients_of_one_process(
    collectives: list[dict[str, np.ndarray]], rank: int, part: str
) -> None:
    """Rows come in global order; loss and summed gradients are those of all rows in one process."""
    found = collectives[rank]
    np.testing.assert_allclose(found[part], found[f"expected_{part}"], rtol=1e-5)


def test_sums_are_over_all_processes(collectives: list[dict[str, np.ndarray]]) -> None:
    """Every process gets the sum of what each gave."""
    assert [found["sum"].tolist() for found in collectives] == [[3.0, 0.0 + 1.0 + 2.0]] * 3


@pytest.mark.usefixtures("three")  # after those, not beside them: five processes take their time
@pytest.mark.parametrize("victim", [1, pytest.param(0, marks=pytest.mark.slow)])
def test_a_killed_process_ends_the_run_with_its_name(victim: int, tmp_path: Path) -> None:
    """When one process is killed the other ends soon, with one line that names it; no hang."""
    places = ["--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "runs")]
    arguments = ["-m", "clipbench", *RUN, "--defense", "none", "--epochs", "100000", *places]
    processes = start(arguments, 2)
    try:
        until = time.monotonic() + 120
        while not list(tmp_path.glob("runs/*/train/checkpoint.pt")):
            assert time.monotonic() < until
            assert [process.poll() for process in processes] == [None, None]
            time.sleep(0.1)
        processes[victim].send_signal(signal.SIGKILL)
        killed = time.monotonic()
        _, said = processes[1 - victim].communicate(timeout=30)
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert time.monotonic() - killed < 15
    assert processes[1 - victim].returncode == 1
    error = said.strip().splitlines()[-1]
    assert error.startswith("clipbench: error: Process")
    assert f"process {victim} (pid {processes[victim].pid}) ended" in error
    assert error.endswith("the training resumes from its last checkpoint.")  # there is one
    assert "Traceback" not in said


# ------------------------------------------------------------------------ one process alone


@pytest.mark.parametrize("num_rows", [0, 1, 7, 8, 256])
@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_rows_are_dealt_out_whole(num_rows: int, count: int) -> None:
    """Every row belongs to one process, in order, and shares differ by at most one."""
    shares = [list(range(num_rows))[Processes(r, count).rows(num_rows)] for r in range(count)]
    assert [row for share in shares for row in share] == list(range(num_rows))
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1


def test_one_process_leaves_everything_as_it_is() -> None:
    """Alone, gathering, summing and waiting give back what they are given."""
    alone = Processes()
    values = torch.rand(2, 5, 3, requires_grad=True)
    assert alone.gather(values, 5) is values
    assert alone.sum_of(values) is values
    assert alone.share_of_common(values) is values
    alone.barrier()
    assert alone.is_first


def test_without_torchrun_there_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """No group is made where torchrun has set no world size, or a size of 1."""
    for size in (None, "1"):
        monkeypatch.delenv("WORLD_SIZE", raising=False)
        if size:
            monkeypatch.setenv("WORLD_SIZE", size)
        assert join_processes("cpu") == Processes(device=torch.device("cpu"))
        assert not torch.distributed.is_initialized()


def test_devices_are_picked_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """``auto`` is the GPU where there is one; a device that is not there is one sentence."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == pick_device("cpu") == torch.device("cpu")
    with pytest.raises(BadSetting, match="torch sees no GPU here"):
        pick_device("cuda")
    with pytest.raises(BadSetting, match=r"must be auto, cpu, cuda or cuda:N\. Got 'abacus'"):
        pick_device("abacus")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert pick_device("auto") == torch.device("cuda")


def test_each_process_takes_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of its number on its machine, before and after joining; one too many is told so."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name, value in environment(5, 8, 1).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert pick_device("auto") == pick_device("cuda") == torch.device("cuda", 1)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(BadSetting, match=r"torch sees 2\. Start as many processes"):
        pick_device("auto")


def test_the_environment_of_tests_is_that_of_torchrun() -> None:
    """The helper sets every variable that joining reads."""
    assert {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"} <= set(
        environment(0, 2, 1)
    )
