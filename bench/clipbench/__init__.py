"""clipbench: a benchmark of data-poisoning and backdoor attacks on CLIP, and of defenses.

    import clipbench as cb

    result = cb.run(cb.Run(attack="targeted:targets=16", rate="1.4%", defense="safeclip"))
    print(result.metrics["attack_success"])

What is named here is imported when it is used: importing clipbench loads neither torch nor pandas.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

import clipbench.leaderboard as _room

if TYPE_CHECKING:
    from clipbench.api.board import Leaderboard, leaderboard
    from clipbench.api.measuring import evaluate
    from clipbench.api.results import Evaluation, Measurement, Results, RunResult, load_results
    from clipbench.api.runs import Run, run

__version__ = "0.1.0"
__all__ = [
    "Evaluation",
    "Leaderboard",
    "Measurement",
    "Results",
    "Run",
    "RunResult",
    "evaluate",
    "leaderboard",
    "load_results",
    "run",
]
_MODULES = {  # of `clipbench.api`, by what they define
    **dict.fromkeys(("Leaderboard", "leaderboard"), "board"),
    "evaluate": "measuring",
    **dict.fromkeys(
        ("Evaluation", "Measurement", "Results", "RunResult", "load_results"), "results"
    ),
    **dict.fromkeys(("Run", "run"), "runs"),
}


class _CallableRoom(ModuleType):
    """The package `clipbench.leaderboard`, which is the function of that name, too."""

    def __call__(self, *args: object, **keywords: object) -> Leaderboard:
        """Return the leaderboard of results; see `clipbench.api.board.leaderboard`."""
        return _from_api("leaderboard")(*args, **keywords)  # type: ignore[no-any-return]


# The import system puts a package under its name here, whenever it is imported first.
_room.__class__ = _CallableRoom


def _from_api(name: str) -> Any:
    return getattr(importlib.import_module(f"clipbench.api.{_MODULES[name]}"), name)


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return _from_api(name)
    raise AttributeError(f"module 'clipbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
