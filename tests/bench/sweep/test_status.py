"""What a person sees of a sweep."""

from __future__ import annotations

import io
from collections.abc import Mapping

import pytest

from clipbench.configuration.config import RunConfig
from clipbench.configuration.resolution import resolve
from clipbench.sweep.status import Status, label
from clipbench.sweep.workers import Event


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(scope="module")
def configs() -> Mapping[str, RunConfig]:
    """Three runs by id."""
    found = [
        resolve(attack="badnets", poisons=8),
        resolve(attack="badnets", rate="1%", defense="clip", seed=2),
        resolve(),
    ]
    return {config.id: config for config in found}


def test_a_run_is_called_by_what_it_is(configs: Mapping[str, RunConfig]) -> None:
    """Attack with its amount, defense and seed; clean data has no amount."""
    assert [label(config) for config in configs.values()] == [
        "badnets 8 poisons / none / seed 0",
        "badnets 0.01 / clip / seed 2",
        "none / none / seed 0",
    ]


def test_each_end_is_a_line_and_failures_are_kept(configs: Mapping[str, RunConfig]) -> None:
    """What is done and what failed, with the reason on one line."""
    stream, (first, second, _) = io.StringIO(), configs
    status = Status(configs, 2, stream=stream)
    for event in (
        Event("started", first),
        Event("progress", first, "training 50%"),
        Event("done", first),
        Event("started", second),
        Event("warning", second, "odd"),
        Event("failed", second, "two\nlines"),
    ):
        status.tell(event)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "done in 0 s: badnets 8 poisons / none / seed 0"
    assert lines[1] == "warning: badnets 0.01 / clip / seed 2: odd"
    assert lines[2] == "failed after 0 s: badnets 0.01 / clip / seed 2: two lines"
    assert status.failed == {second: "two\nlines"}


def test_a_terminal_shows_how_it_stands(configs: Mapping[str, RunConfig]) -> None:
    """The last line counts what was done before, names what runs and is drawn over."""
    stream, (first, second, _) = Terminal(), configs
    status = Status(configs, 2, stream=stream)
    status.tell(Event("started", first))
    status.tell(Event("progress", first, "training 50%"))
    drawn = stream.getvalue().split("\r\x1b[K")[-1]
    assert drawn.startswith("1 of 3 runs done | badnets 8 poisons / none / seed 0: training 50%")
    status.tell(Event("done", first))
    status.tell(Event("failed", second, "no"))
    drawn = stream.getvalue().split("\r\x1b[K")[-1]
    assert drawn == "2 of 3 runs done | 1 failed | about 0 s left"
    status.close()
    assert stream.getvalue().endswith("\n")


def test_quiet_tells_failures_alone(configs: Mapping[str, RunConfig]) -> None:
    """Scripts hear of what went wrong, or may have."""
    stream, (first, second, _) = io.StringIO(), configs
    status = Status(configs, 3, stream=stream, quiet=True)
    status.tell(Event("started", first))
    status.tell(Event("done", first))
    assert stream.getvalue() == ""
    status.tell(Event("note", second, "goes on"))
    assert stream.getvalue() == ""
    status.tell(Event("warning", second, "odd"))
    assert stream.getvalue() == "warning: badnets 0.01 / clip / seed 2: odd\n"
    status.tell(Event("failed", second, "no"))  # nobody knows when it began
    assert stream.getvalue().endswith("odd\nfailed: badnets 0.01 / clip / seed 2: no\n")
