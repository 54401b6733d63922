"""How a result came about: how and on what it was trained, and what other trainings found."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from clipbench.files import checks
from clipbench.files.typed import Count, Json, Positive, Sha256, Text


class Training(Struct, frozen=True, kw_only=True):
    """The training run.

    Args:
        epochs: epochs trained.
        samples_seen: pairs that went through an optimizer step, counted as often as they did.
        steps: optimizer steps.
        seconds: of training, scoring included.
        seconds_shared: those of them in a first stage that another training run went through.
        cpu_seconds: of processors, all threads of the process.
        pairs_per_second: pairs per second of training.
        peak_memory_bytes: the most memory that was used, of the GPU where one was.
        device: ``cpu``, or the name of the GPU.
        precision: fp32, tf32 or bf16.
        processes: how many processes trained.
        threads: that each of them computed with.
        ways: of a training that was stopped and went on otherwise: by how many processes, and on
            what, each in turn; empty: in one way.
    """

    epochs: Positive
    samples_seen: Count
    steps: Count
    seconds: Positive
    seconds_shared: Positive = 0.0
    cpu_seconds: Positive = 0.0
    pairs_per_second: Positive
    peak_memory_bytes: Count | None
    device: Text
    precision: Text
    processes: Count
    threads: tuple[Count, ...] = ()
    ways: tuple[Text, ...] = ()


class Hardware(Struct, frozen=True):
    """The machine: its processor, how many processors were used, and its GPUs."""

    cpu: Json = None
    cores: Json = None
    gpus: Json = None


class Environment(Struct, frozen=True, kw_only=True):
    """What a result was made with; of anything but clipbench and Python it may say nothing.

    Args:
        clipbench: version of clipbench.
        python: version of Python.
        git: commit of clipbench, ``-dirty`` behind it where the code was changed.
        hardware: the machine.
        platform: the operating system.
        packages: SHA-256 of the code of each other package that a plugin of the run is of, by name.
    """

    clipbench: Text
    python: Text
    torch: Json = None
    torchvision: Json = None
    open_clip: Json = None
    webdataset: Json = None
    sklearn: Json = None
    numpy: Json = None
    pillow: Json = None
    pandas: Json = None
    pyarrow: Json = None
    git: Json = None
    hardware: Hardware = Hardware()
    platform: Json = None
    packages: Mapping[str, Sha256] = {}


class Again(Struct, frozen=True, kw_only=True):
    """Another training of the same run, as on another machine, and what became of its numbers.

    Args:
        created: when its result was.
        train: the training run.
        environment: versions and hardware.
        differs: names of what it says otherwise than the result: fields, such as ``attack`` (the
            ledger) and ``history`` (the losses), and metrics; empty: nothing.
    """

    created: Text
    train: Training
    environment: Environment
    differs: tuple[Text, ...] = ()

    def __post_init__(self) -> None:
        checks.time("created", self.created)
