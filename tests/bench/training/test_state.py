"""Where a training stands, as checkpoints hold it."""

from __future__ import annotations

import math

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
