"""A training that is told to stop leaves a checkpoint, and ends with the bits of one left alone."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from small_runs import TRAIN, Place, config_of

from clipbench.cli._errors import report
from clipbench.pipeline.execute import execute
from clipbench.sweep.jobs import GroupJob
from clipbench.system.progress import Reporter
from clipbench.system.stopping import Stopped, listening
from clipbench.training import resume


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
        (signal.SIGINT, "interrupted"),
    ],
)
def test_a_signal_stops_a_training_after_its_step_with_a_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], number: signal.Signals, how: str
) -> None:
    """It says where; the same command goes on there, says so, and ends with the same weights."""
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
    with Reporter() as reporter:
        result = execute(config, **where, reporter=reporter)
        assert result is not None
    assert "resumes at epoch 2 of 2, step 3\n" in capsys.readouterr().err
    assert result.train.samples_seen == 2 * 200
    assert result.train.threads == (torch.get_num_threads(),)
    alone.execute(config)
    files = [
        next(place.out.glob("*/model/*.safetensors")).read_bytes() for place in (stopped, alone)
    ]
    assert files[0] == files[1]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2"])
def test_every_signal_of_a_cluster_or_a_terminal_stops_a_command_in_words(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Also those that `sbatch --signal` sends; the exit status is that of shells."""
    number = signal.Signals[name]
    with pytest.raises(Stopped) as caught, listening():
        os.kill(os.getpid(), number)
    assert report(caught.value, show_traceback=False) == 128 + number
    told = f"stopped by {name}; the same command goes on where this one stopped."
    assert capsys.readouterr().err == f"clipbench: error: {told}\n"


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


def test_a_signal_that_a_destructor_swallows_comes_again() -> None:
    """Nothing leaves a destructor; no traceback is shown, and the command stops all the same."""

    class Held:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)

    def dropped() -> None:
        held = Held()
        del held
        time.sleep(5)

    with pytest.raises(Stopped), listening():
        dropped()


SIGNALING = """
import os, signal
from dataclasses import dataclass
from clipbench.contracts import Phase
from clipbench.toolkit.losses import clip_loss

@dataclass(frozen=True)
class Signaling:
    number: int = 0
    step: int = 2

    def start(self, facts):
        steps = []

        def loss(features):
            steps.append(1)
            if len(steps) == self.step and os.environ.get("TOLD") == "yes":
                os.environ["TOLD"] = "no"
                os.kill(os.getpid(), self.number)
            return clip_loss(features.image[0], features.text[0], features.logit_scale)

        class Run:
            def phases(self, epoch, pairs):
                yield Phase("all", loss)
            def state_dict(self):
                return {}
            def load_state_dict(self, state):
                pass

        return Run()

DEFENSE = Signaling
"""


@pytest.fixture
def listener() -> Iterator[list[int]]:
    """What hears signals as submitit does: it queues the job again and ends the process."""
    heard: list[int] = []

    def hear(number: int, _: object) -> None:
        heard.append(number)
        sys.exit(7)

    before = {n: signal.signal(n, hear) for n in (signal.SIGUSR2, signal.SIGTERM)}
    yield heard
    for number, handler in before.items():
        signal.signal(number, handler)


def job_of(folder: Path, number: int) -> tuple[GroupJob, Place]:
    """A job whose training sends itself a signal in its second step."""
    place = Place(folder)
    (folder / "signaling.py").write_text(SIGNALING)
    defense = f"{folder / 'signaling.py'}:number={int(number)}"
    config = config_of(defense=defense, train={**TRAIN, "checkpoint_every_s": 1e9})
    return GroupJob([config.to_json()], place.cache, place.out, None), place


def test_a_job_that_is_preempted_is_queued_again_with_a_new_checkpoint(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    listener: list[int],
) -> None:
    """Whoever queues it hears the signal when the checkpoint is there; the next job goes on there.

    Before, up to five minutes of training were done twice.
    """
    monkeypatch.setenv("TOLD", "yes")
    job, place = job_of(tmp_path, signal.SIGUSR2)
    with pytest.raises(SystemExit):
        job()
    assert listener == [signal.SIGUSR2]
    assert "stopped; a checkpoint was written at epoch 1, step 2\n" in capsys.readouterr().err
    assert len([*place.out.glob("*/train/checkpoint.pt")]) == 1
    ((kind, _, _),) = job()
    assert kind == "done"
    assert "resumes at epoch 1 of 1, step 3\n" in capsys.readouterr().err


def test_a_job_that_is_told_of_its_end_writes_a_checkpoint_and_goes_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    listener: list[int],
) -> None:
    """A cluster that preempts sends SIGTERM first, and queues again only jobs that still run."""
    saved: list[Path] = []
    monkeypatch.setattr(resume, "save_checkpoint", lambda path, _: saved.append(path))
    monkeypatch.setenv("TOLD", "yes")
    job, _ = job_of(tmp_path, signal.SIGTERM)
    ((kind, _, _),) = job()
    assert (kind, listener) == ("done", [])
    assert [path.name for path in saved] == [
        "checkpoint.pt",
        "checkpoint.pt",
    ]  # now, and at the end
    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL


def test_threads_that_changed_on_the_way_are_told_and_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Last digits may differ from those of one number of threads throughout."""
    place, config = Place(tmp_path), config_of(train={**TRAIN, "checkpoint_every_s": 1e9})
    where = {"cache": place.cache, "out": place.out}
    with pytest.raises(Stopped), listening():
        execute(config, **where, reporter=Telling(signal.SIGTERM, 2))
    now = torch.get_num_threads()
    monkeypatch.setattr(torch, "get_num_threads", lambda: now + 1)
    with Reporter() as reporter:
        result = execute(config, **where, reporter=reporter)
        assert result is not None
    told = f"step 3; so far on {now} threads and now on {now + 1}: last digits may differ"
    assert told in capsys.readouterr().err
    assert result.train.threads == (now, now + 1)
