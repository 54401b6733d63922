"""Joining processes: what torchrun says is believed as a whole or not at all."""

from __future__ import annotations

import time

import pytest

from clipbench.errors import BadSetting
from clipbench.parallel.devices import num_processes
from clipbench.parallel.group import _waiting, join_processes


def test_a_variable_that_was_left_over_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what is missing, and what to do."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(
        BadSetting, match="WORLD_SIZE is 2, but RANK, MASTER_ADDR and MASTER_PORT not set"
    ):
        join_processes("cpu")
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(BadSetting, match="unset it"):
        num_processes()
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert num_processes() == 1


def test_waiting_for_others_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After some seconds, with the place where they meet."""
    monkeypatch.setenv("MASTER_ADDR", "somewhere")
    monkeypatch.setenv("MASTER_PORT", "1234")
    with _waiting(2, patience_s=0.01):
        time.sleep(0.2)
    assert "waiting at somewhere:1234 until all 2 processes" in capsys.readouterr().err
    with _waiting(2, patience_s=5.0):
        pass
    assert capsys.readouterr().err == ""
