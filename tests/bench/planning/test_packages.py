"""A result that another version of a package made is kept, and a person is told."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

from small_runs import QUIET, Place, config_of

from clipbench.pipeline.execute import execute
from clipbench.plugins import codes
from clipbench.results.result import read_result
from clipbench.sweep.grid import Grid
from clipbench.sweep.sweep import plan_sweep
from clipbench.system.progress import Reporter

TOLD = "warning: run {} is done already, with other code of said_by_a_test than is installed"


def test_a_run_that_other_code_of_a_package_did_says_so(
    shared: Place, edited: Callable[[str], str]
) -> None:
    """Alone and in a sweep; with the code that did it, and of clipbench's own, nothing is said."""
    config, ours = config_of(attack=edited("before")), config_of(attack="badnets")
    shared.execute(config)
    shared.execute(ours)
    recorded = read_result(shared.folder_of(config) / "result.json")
    assert list(recorded.environment.packages) == ["said_by_a_test"]
    assert "packages" not in shared.execute(ours)["environment"]
    for words, told in (("before", False), ("behind", True)):
        again = config_of(attack=edited(words))
        assert again.sha256() == config.sha256()
        said = io.StringIO()
        reporter = Reporter(quiet=True, stream=said)
        assert execute(again, cache=shared.cache, out=shared.out, reporter=reporter) == recorded
        assert (TOLD.format(config.id) in said.getvalue()) is told
        said.truncate(0)
        grid = Grid((again, ours), shared.out, shared.cache)
        assert not plan_sweep(grid, reporter, timed=False).configs
        assert (TOLD.format(config.id) in said.getvalue()) is told


def test_a_metric_that_was_edited_in_its_package_is_measured_anew(
    shared: Place, edited: Callable[[str], str], trainings: list[Path]
) -> None:
    """On the model that is there, alone and after a sweep's plan, as one that is a file is."""
    for words, is_there in (("before", False), ("behind", False), ("behind", True)):
        edited(words)
        config = config_of(seed=7, metrics=["said_by_a_test.metric:Summed"])
        planned = plan_sweep(Grid((config,), shared.out, shared.cache), QUIET, timed=False)
        assert (not planned.configs) is is_there
        result = shared.execute(config)
        assert result["metrics"]["summed"]["value"] == sum(words.encode())
        (said,) = result["metric_plugins"]
        assert said["packages"] == {"said_by_a_test": codes.beside("said_by_a_test.metric")}
        assert "packages" not in result["environment"]  # a metric decides nothing but its own
    assert len(trainings) == 1
