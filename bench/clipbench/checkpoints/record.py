"""Summary of a finished training run, and its file format."""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import resource
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import msgspec
import numpy as np
import torch
from msgspec import UNSET, Struct, UnsetType

from clipbench.contracts import IntArray
from clipbench.errors import CorruptData
from clipbench.files import checks, sums
from clipbench.files.foreign import parsed, read_regular
from clipbench.files.json_files import write_summed
from clipbench.system.disk import unreadable
from clipbench.system.durable import atomic_file
from clipbench.tensors.arrays import arrays_in


class PhaseRecord(Struct, kw_only=True):
    """What a phase of an epoch did; it grows while the phase lasts.

    Args:
        epoch: number of the epoch, from 1.
        phase: name of the phase.
        pairs: pairs that it trains on.
        cross_modal: whether its loss ties image to caption.
        trusted: whether these are pairs of the defense that are known to be clean.
        losses: of its first steps; of all steps so far while it lasts.
        lr: learning rate of the last step so far; not there before the first.
        seconds: that the training had taken then.
        loss: mean loss of all steps; not there while it lasts, None where it had no step.
    """

    epoch: int
    phase: str
    pairs: int
    cross_modal: bool = True
    trusted: bool = False
    losses: list[float] = []
    lr: float | UnsetType = UNSET
    seconds: float | UnsetType = UNSET
    loss: float | UnsetType | None = UNSET


@dataclass(frozen=True)
class TrainingRecord:
    """What a finished training says of itself.

    Args:
        num_pairs: pairs of the set.
        content_sha256: hash of the set.
        epochs: epochs trained.
        samples_seen: pairs that went through an optimizer step, counted as often as they did.
        steps: optimizer steps.
        seconds: of training, scoring included, over all resumptions.
        seconds_shared: those of them in a first stage that another training run went through.
        cpu_seconds: of processors, all threads of this process; other work on the machine changes
            them little.
        peak_memory_bytes: resident memory of this process at its highest in the training, since it
            last went on; of the GPU where used.
        device: where it ran.
        precision: fp32, tf32 or bf16.
        processes: how many processes trained.
        threads: that each of them computed with: one number, or several where a training run that
            was stopped went on with another; rounding may depend on it. Empty: not known.
        history: an entry for each phase of each epoch.
        exposures: ``(num_pairs,)`` how often each pair reached a loss that ties image to caption.
        ways: by how many processes it was computed, and on what: one, or several where it went on
            otherwise. Empty: not known.
        packages: SHA-256 of the code of each package beside clipbench that its plugins are of.
    """

    num_pairs: int
    content_sha256: str
    epochs: int
    samples_seen: int
    steps: int
    seconds: float
    seconds_shared: float
    cpu_seconds: float
    peak_memory_bytes: int
    device: str
    precision: str
    processes: int
    history: Sequence[PhaseRecord]
    exposures: IntArray
    threads: Sequence[int] = ()
    ways: Sequence[str] = ()
    packages: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """Return the fields of ``result.json``'s ``train`` object."""
        return {
            "epochs": self.epochs,
            "samples_seen": self.samples_seen,
            "steps": self.steps,
            "seconds": round(self.seconds, 3),
            "seconds_shared": round(self.seconds_shared, 3),
            "cpu_seconds": round(self.cpu_seconds, 3),
            "pairs_per_second": round(self.samples_seen / max(self.seconds, 1e-9), 1),
            "peak_memory_bytes": self.peak_memory_bytes,
            "device": self.device,
            "precision": self.precision,
            "processes": self.processes,
            **({"threads": told} if (told := list(self.threads)) else {}),
            **({"ways": list(self.ways)} if len(self.ways) > 1 else {}),
        }


_CLEAR_REFS = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")
_RESET_HIGHEST = "5"  # proc(5): the peak of resident memory becomes what is resident now
_MOST_EXPOSURES = 1 << 34  # bytes: of two billion pairs
_RECORD = checks.fields(
    {
        "fingerprint": checks.words,
        "num_pairs": checks.count,
        "content_sha256": checks.hexadecimal(64),
        "epochs": checks.count,
        "samples_seen": checks.count,
        "steps": checks.count,
        "seconds": checks.number(0),
        "seconds_shared": checks.number(0),
        "cpu_seconds": checks.number(0),
        "peak_memory_bytes": checks.count,
        "device": checks.text,
        "precision": checks.text,
        "processes": checks.count,
        "history": checks.items(checks.table),
    },
    {
        "threads": checks.items(checks.count),
        "ways": checks.items(checks.text),
        "exposures": checks.hexadecimal(64),
        "packages": checks.table_of(checks.hexadecimal(64)),
        sums.FIELD: checks.words,
    },
    others=False,
)


def write_record(folder: Path, record: TrainingRecord, fingerprint: str) -> None:
    """Write the record; its presence says that the training is finished."""
    array = io.BytesIO()
    np.save(array, record.exposures, allow_pickle=False)
    with atomic_file(folder / "exposures.npy") as file:
        file.write(array.getvalue())
    content: dict[str, object] = {"fingerprint": fingerprint}
    content |= {each.name: getattr(record, each.name) for each in fields(record)}
    for name in ("ways", "packages"):
        if not content[name]:
            del content[name]
    content["history"] = msgspec.to_builtins(record.history)
    content["exposures"] = hashlib.sha256(array.getvalue()).hexdigest()
    write_summed(folder / "record.json", content, indent=None)


def read_record(folder: Path, fingerprint: str) -> TrainingRecord | None:
    """Return the record of this training if it is finished.

    Raises:
        CorruptData: it is damaged.
        ClipbenchError: it can't be read now, which says nothing of what it holds.
    """
    path = folder / "record.json"
    if not path.is_file():
        return None
    try:
        content = parsed(read_regular(path))
        _RECORD("", content)
        if not sums.is_sound(content):
            raise ValueError("its checksum does not fit")
        content.pop(sums.FIELD, None)
        if content.pop("fingerprint") != fingerprint:
            return None
        array = read_regular(folder / "exposures.npy", _MOST_EXPOSURES)
        # Of a record that an earlier clipbench wrote nobody knows.
        if content.pop("exposures", None) not in (None, hashlib.sha256(array).hexdigest()):
            raise ValueError("exposures.npy does not belong to it")
        exposures = arrays_in(array, {"exposures": "iu"}, single=True)["exposures"].astype(
            np.int64, copy=False
        )
        if len(exposures) != content["num_pairs"]:
            raise ValueError(f"it has exposures of {len(exposures)} pairs")
        content["history"] = msgspec.convert(content["history"], list[PhaseRecord])
        return TrainingRecord(**content, exposures=exposures)
    except (FileNotFoundError, ValueError) as error:
        raise CorruptData(
            f"{path.resolve()} is damaged ({error}). Delete its folder; the training starts over."
        ) from error
    except (OSError, MemoryError) as error:
        raise unreadable(path, error) from error


def packages_of(folder: Path) -> Mapping[str, str]:
    """Return the packages that a finished training says its plugins are of; none: it can't be read.

    Args:
        folder: of the training, with its record.
    """
    try:
        content = parsed(read_regular(folder / "record.json"))
        _RECORD("", content)
    except (OSError, ValueError):
        return {}
    found: Mapping[str, str] = content.get("packages", {})
    return found


def forget_peak_memory(device: torch.device) -> None:
    """Have `peak_memory` tell of what comes from now on, as far as the system allows it to.

    What a rehearsal or an earlier run of this process took is not this training's. macOS keeps one
    number for the life of a process.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):  # no Linux, or not allowed in this container
            _CLEAR_REFS.write_text(_RESET_HIGHEST)


def peak_memory(device: torch.device) -> int:
    """Return the highest memory use in bytes since `forget_peak_memory`, or of the process.

    It is memory of the GPU, or what is resident of this process.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    # What getrusage says is on Linux at least what the process had that started this one.
    with contextlib.suppress(OSError):
        found = re.search(rb"^VmHWM:\s*([0-9]+) kB$", _STATUS.read_bytes(), re.MULTILINE)
        if found:
            return int(found[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def device_name(device: torch.device) -> str:
    """Return ``cpu``, or the name of the GPU."""
    return "cpu" if device.type == "cpu" else torch.cuda.get_device_name(device)


def write_tensorboard(folder: Path, record: TrainingRecord) -> None:
    """Write the training's curves for TensorBoard, in place of those of a killed process."""
    from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - optional

    shutil.rmtree(folder, ignore_errors=True)
    with SummaryWriter(str(folder)) as writer:
        for item in record.history:
            name = item.phase.replace(" ", "_")
            for key, value in (("loss", item.loss), ("lr", item.lr), ("pairs", item.pairs)):
                if isinstance(value, (int, float)):
                    writer.add_scalar(f"train/{name}/{key}", value, item.epoch)
