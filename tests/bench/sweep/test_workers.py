"""What processes that do runs tell."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from small_runs import Place, config_of

from clipbench.sweep.workers import Event, do_one
from clipbench.system.progress import Reporter

ODD = """
import warnings
from dataclasses import dataclass


@dataclass(frozen=True)
class Odd:
    def measure(self, measured):
        warnings.warn(f"{measured.evaluation.name} is odd")
        return {"oddness": 1}


METRIC = Odd
"""


@pytest.mark.filterwarnings("default")
def test_what_code_warns_of_is_told_as_a_warning_of_the_run(tmp_path: Path) -> None:
    """Python printed it past whoever shows how far runs are, with a line of code below it."""
    metric = tmp_path / "odd.py"
    metric.write_text(ODD)
    place, told = Place(tmp_path), io.StringIO()
    config = config_of(metrics=[str(metric)])
    reporter = Reporter(quiet=True, stream=told)
    assert do_one(config, place.cache, place.out, reporter) == Event("done", config.id)
    assert told.getvalue() == "warning: shapes is odd\n"
