"""Where a training stands, as checkpoints hold it."""

from __future__ import annotations

import math

from clipbench.parallel.group import Processes
from clipbench.training.resume import way_of, where_it_goes_on
from clipbench.training.state import State

TEXT = (
    '{"epoch": 1, "phase": 0, "step": 2, "stage_steps": 2, "total_steps": 7, "samples_seen": 56,'
    ' "seconds": 1.5, "seconds_shared": 0.0, "cpu_seconds": 2.5, "history": [{"epoch": 1,'
    ' "phase": "contrast", "pairs": 8, "cross_modal": true, "trusted": false, "losses": [NaN, 2.0],'
    ' "lr": 0.001, "seconds": 1.25}], "threads": [2]}'
)


def test_a_state_of_an_earlier_version_is_read_and_written_alike() -> None:
    state = State.of_text(TEXT)
    assert state.to_text() == TEXT
    assert math.isnan(state.history[0].losses[0])
    state.end_phase([3.0, 5.0])
    assert (state.history[0].loss, state.history[0].seconds) == (4.0, 1.5)


def test_a_training_that_goes_on_in_another_way_says_so() -> None:
    """By more processes, or on another machine: its seconds and last digits are of both."""
    state, way = State(epoch=1), way_of(Processes())
    assert way.startswith("1 process on ")
    assert where_it_goes_on(state, 3, way) == "resumes at epoch 2 of 3"  # of an earlier version
    for _ in range(2):
        state.note_way(way, 1)
    assert State.of_text(state.to_text()).ways == state.ways == [way]
    other = way_of(Processes(count=4))
    told = where_it_goes_on(state, 3, other)
    assert told.startswith(f"resumes at epoch 2 of 3; so far by {way}, now by {other}: ")
    assert "4 processes on " in told
