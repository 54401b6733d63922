"""A training that is told to stop leaves a checkpoint, and ends with the bits of one left alone."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from small_runs import TRAIN, Place, config_of

from clipbench.cli._errors import report
from clipbench.pipeline.execute import execute
from clipbench.progress import Reporter
from clipbench.stopping import Stopped, listening


class Telling(Reporter):
    """Sends this process a signal when so many steps of the training are done."""

    def __init__(self, number: int, step: int) -> None:
        super().__init__(quiet=True)
        self.number, self.left = number, step

    def progress(self, what: str, done: int, total: int) -> None:  # noqa: ARG002
        self.left -= what.startswith("training")
        if self.left == 0:
            self.left -= 1
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize(
    ("number", "how"),
    [
        (signal.SIGTERM, "stopped by SIGTERM"),
        (signal.SIGHUP, "stopped by SIGHUP"),
        (signal.SIGINT, "interrupted"),
    ],
)
def test_a_signal_stops_a_training_after_its_step_with_a_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], number: signal.Signals, how: str
) -> None:
    """It says where; the same command goes on there, to the same weights."""
    config = config_of(train={**TRAIN, "epochs": 2, "checkpoint_every_s": 1e9})
    stopped, alone = Place(tmp_path / "stopped"), Place(tmp_path / "alone")
    where = {"cache": stopped.cache, "out": stopped.out}
    with pytest.raises(Stopped) as caught, listening():
        execute(config, **where, reporter=Telling(number, 6))
    assert report(caught.value, show_traceback=False) == 128 + number
    said = capsys.readouterr().err
    assert said.splitlines()[-1] == (
        f"clipbench: error: {how}; a checkpoint was written at epoch 2, step 2; the same command"
        " goes on where this one stopped."
    )
    assert len([*stopped.out.glob("*/train/checkpoint.pt")]) == 1
    assert stopped.execute(config)["train"]["samples_seen"] == 2 * 200
    alone.execute(config)
    files = [
        next(place.out.glob("*/model/*.safetensors")).read_bytes() for place in (stopped, alone)
    ]
    assert files[0] == files[1]


def test_what_is_ignored_stays_ignored() -> None:
    """A program that nohup started does not end with its terminal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with listening():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_signals_are_left_as_they_were() -> None:
    """Listening ends with the command."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with listening():
        assert signal.getsignal(signal.SIGTERM) is not before[1]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_one_of_several_processes_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may wait for the others, and hears no signal then."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    before = signal.getsignal(signal.SIGTERM)
    with listening():
        assert signal.getsignal(signal.SIGTERM) is before
