"""Fuzz the readers of strangers' files: ``python tests/fuzz --seconds 3600``.

Every input has a second of processor time and 200 MB; what fails is kept in a folder. Put it into
``tests/fuzz/corpus/READER/``, where ``make test`` reads it from then on, and mend the reader.
"""

from __future__ import annotations

import argparse
import faulthandler
import hashlib
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

from fuzz_targets import TARGETS, Target, Wrong

_SECONDS, _MEMORY = 1.0, 200 << 20
_BATCH = 500
_STATUS = os.open("/proc/self/status", os.O_RDONLY)
_CLEAR = os.open("/proc/self/clear_refs", os.O_WRONLY)
_HANGS = 20  # seconds, after which an input is given up


class Cost(Wrong):
    """An input took more time or memory than it may."""


def _peak() -> int:
    """Return the most memory in bytes that this process had since it was last asked to count."""
    status = os.pread(_STATUS, 1 << 16, 0)
    return int(status.partition(b"VmHWM:")[2].split(maxsplit=1)[0]) << 10


def measured(target: Target, content: bytes, folder: Path) -> None:
    """Have a reader read an input, and hold it to what it may take."""
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry)
        else:
            Path(entry.path).unlink()
    os.pwrite(_CLEAR, b"5", 0)  # count the most memory from now on
    before, start = _peak(), time.process_time()
    signal.alarm(_HANGS)
    try:
        target.read(content, folder)
    finally:
        signal.alarm(0)
    took, used = time.process_time() - start, _peak() - before
    if took > _SECONDS:
        raise Cost(f"{took:.1f} seconds")
    if used > _MEMORY:
        raise Cost(f"{used >> 20} MB")


class Campaign:
    """Inputs for each reader in turn, and what was found.

    Args:
        names: the readers.
        findings: folder for inputs that failed.
        work: an empty folder, best in memory.
        seed: decides the inputs.
    """

    def __init__(self, names: list[str], findings: Path, work: Path, seed: int) -> None:
        self.names, self.findings, self.work = names, findings, work
        self.counts: Counter[str] = Counter()
        self.seconds: Counter[str] = Counter()
        self.found: dict[tuple[str, str], str] = {}
        self._random = random.Random(seed)

    def run(self, until: float, most: int) -> None:
        """Go on until a time or a number of inputs is reached."""
        while time.time() < until and self.counts.total() < most:
            for name in self.names:
                if time.time() < until:
                    self.batch(name)

    def batch(self, name: str) -> None:
        """Try some inputs on one reader; what fails in a new way is kept."""
        target, start = TARGETS[name], time.process_time()
        for _ in range(_BATCH):
            content = target.spoiled(self._random)
            self.counts[name] += 1
            try:
                measured(target, content, self.work)
            except Exception as error:  # noqa: BLE001 - any is a finding
                if (name, _place(error)) not in self.found:
                    self._keep(name, content, error)
        self.seconds[name] += time.process_time() - start

    def _keep(self, name: str, content: bytes, error: BaseException) -> None:
        place = _place(error)
        self.found[name, place] = f"{type(error).__name__}: {str(error)[:200]}"
        folder = self.findings / name
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / hashlib.sha256(content).hexdigest()[:12]
        path.write_bytes(content)
        print(f"{name}: {place}: {self.found[name, place]} -> {path}", flush=True)
        frames = traceback.format_exception(error)
        path.with_suffix(".log").write_text("".join(frames), errors="backslashreplace")

    def report(self) -> str:
        """Return inputs, seconds and findings of each reader."""
        lines = [f"{'reader':14}{'inputs':>10}{'seconds':>10}{'findings':>10}"]
        for name in self.names:
            found = sum(reader == name for reader, _ in self.found)
            lines.append(f"{name:14}{self.counts[name]:10,}{self.seconds[name]:10.0f}{found:10}")
        total = sum(self.seconds.values())
        lines.append(f"{'all':14}{self.counts.total():10,}{total:10.0f}{len(self.found):10}")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        return "\n".join([*lines, f"most memory of the process: {peak} MB"])


def _place(error: BaseException) -> str:
    """Return what tells one finding from another: kind of error, and the last line of ours."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [
        frame for frame in frames if "clipbench" in frame.filename or "/fuzz/" in frame.filename
    ]
    last = ours[-1]
    return f"{type(error).__name__} {Path(last.filename).name}:{last.name}"


def _alarm(*_: object) -> None:
    raise Cost(f"more than {_HANGS} seconds")


def main() -> int:
    """Run a campaign; the status is 1 where something was found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--inputs", type=int, default=sys.maxsize, help="end after so many")
    parser.add_argument("--seed", type=int, default=time.time_ns())
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"))
    parser.add_argument("readers", nargs="*", default=list(TARGETS), metavar="reader")
    given = parser.parse_args()
    faulthandler.enable()
    warnings.simplefilter("ignore")  # of odd tars, and of long inputs
    signal.signal(signal.SIGALRM, _alarm)
    place = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=place) as work:
        campaign = Campaign(given.readers, given.findings, Path(work), given.seed)
        try:
            campaign.run(time.time() + given.seconds, given.inputs)
        except KeyboardInterrupt:
            print("stopped", flush=True)
        print(campaign.report(), flush=True)
    return 1 if campaign.found else 0


if __name__ == "__main__":
    sys.exit(main())
