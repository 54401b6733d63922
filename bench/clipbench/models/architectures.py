"""Models by name: read from the files in which open_clip and clipbench describe them.

open_clip itself takes seconds to be imported, which a misspelled name shall not cost.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

OWN = Path(__file__).parents[1] / "model_configs"
OWED = frozenset({"embed_dim", "vision_cfg", "text_cfg"})  # without which it is no description


def architecture_names() -> list[str]:
    """Return the names of all models, sorted."""
    return sorted(name for name in _files() if _described(name) is not None)


def architecture(name: str) -> dict[str, object] | None:
    """Return the description of the model of a name; None: there is none."""
    found = _described(name) if name in _files() else None
    return None if found is None else dict(json.loads(found))


@cache
def _files() -> dict[str, Path]:
    """Return where each name is described; clipbench's own go before open_clip's."""
    return {file.stem: file for folder in _folders() for file in sorted(folder.glob("*.json"))}


def _folders() -> Iterator[Path]:
    spec = importlib.util.find_spec("open_clip")
    for folder in (spec.submodule_search_locations if spec else None) or []:
        yield Path(folder) / "model_configs"
    yield OWN


@cache
def _described(name: str) -> str | None:
    text = _files()[name].read_text(encoding="utf-8")
    return text if set(json.loads(text)) >= OWED else None
