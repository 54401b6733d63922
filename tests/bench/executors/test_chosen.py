"""Executors by name: what names one, what is said of those that can't be used, a site's own."""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import pytest

from clipbench.cli import main
from clipbench.errors import BadSetting, LostProcess
from clipbench.executors.apart import apart
from clipbench.executors.chosen import check, opened

SITE = """
from concurrent.futures import ThreadPoolExecutor

calls = []

class Noting(ThreadPoolExecutor):
    def submit(self, work, /, *arguments, **keywords):
        calls.append(work.__name__)
        return super().submit(work, *arguments, **keywords)

def ours():
    return Noting(2)

def none():
    return None
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a module with executors of a site."""
    (tmp_path / "our_site.py").write_text(SITE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "our_site", raising=False)
    return "our_site"


@pytest.mark.parametrize("text", ["", "slurm:x", "local:1", "dask", "dask:", ":x", "other"])
def test_what_names_no_executor_is_refused(text: str) -> None:
    """With what does."""
    with pytest.raises(BadSetting, match="local, slurm, dask:ADDRESS"):
        check(text)


def test_an_executor_that_cannot_be_used_is_refused_in_one_sentence(
    tmp_path: Path, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module that is not there, a function that returns something else, Dask not installed."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    refused = {
        "no_such_module:f": "can't be imported",
        f"{site}:no_such_function": "can't be imported",
        f"{site}:none": "must return a concurrent.futures.Executor. Got NoneType",
        "dask:tcp://127.0.0.1:1": "pip install 'clipbench.dask.'",
    }
    for text, said in refused.items():
        with pytest.raises(BadSetting, match=said), opened(text, tmp_path, settings={}):
            pass


def test_what_is_not_begun_when_an_error_ends_the_work_is_cancelled(
    tmp_path: Path, site: str
) -> None:
    """Nobody waits for it."""
    futures: list[Future[None]] = []

    def stopped() -> None:
        with opened(f"{site}:ours", tmp_path, settings={}) as executor:
            futures.extend(executor.submit(time.sleep, 0.05) for _ in range(200))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert sum(future.cancelled() for future in futures) > 190


def test_a_site_s_own_executor_reads_shards(
    tmp_path: Path, site: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`data index` gives it tasks, and says the content hash that one process finds."""
    line = ["data", "index", "shapes:size=60", "--model", "shapes-32", "-q", "--cache"]
    assert main([*line, str(tmp_path / "one")]) == 0
    alone = capsys.readouterr().out
    assert main([*line, str(tmp_path / "two"), "--executor", f"{site}:ours", "--tasks", "2"]) == 0
    assert capsys.readouterr().out == alone
    assert len([*(tmp_path / "two").glob("captions/*/table.json")]) == 1


def test_tasks_are_refused_where_there_are_none(capsys: pytest.CaptureFixture[str]) -> None:
    """This machine's processes take shards one by one."""
    assert main(["data", "index", "shapes", "--tasks", "3"]) == 2
    assert "--tasks would be ignored: it needs another --executor" in capsys.readouterr().err


def test_work_apart_is_done_by_another_process() -> None:
    """What it returns comes back; a process that dies is told of."""
    assert apart(os.getpid) != os.getpid()
    with pytest.raises(LostProcess, match="ended with status 3 and left no result"):
        apart(partial(os._exit, 3))
