"""What the tests of training share; a module of its own, as other processes import it."""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from filelock import FileLock

sys.path.insert(0, str(Path(__file__).parent / "helpers"))


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    """Use one thread for tensors that are too small to share; several only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def three(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Where three processes that train as one left what each of them found.

    Test processes that run side by side start them once: the others wait for the first.
    """
    from processes import HELPERS, finish, start  # noqa: PLC0415 - on the path from here on

    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "three"
    with FileLock(f"{folder}.lock"):
        if not (folder / "done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            finish(start([str(HELPERS / "one_of_several.py"), str(folder)], 3), timeout_s=900)
            (folder / "done").touch()
    return folder


Found = list[dict[str, npt.NDArray[Any]]]


@pytest.fixture(scope="session")
def found(three: Path) -> Callable[[str], Found]:
    """What each process found in a check."""
    return lambda check: [dict(np.load(three / f"{check}.{rank}.npz")) for rank in range(3)]
