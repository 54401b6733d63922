"""Sets of a few pairs are read by this process: others would take seconds to start."""

import pytest

from clipbench.system import threads


@pytest.fixture(autouse=True)
def one_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine with one."""
    monkeypatch.setattr(threads, "processors", lambda: 1)
