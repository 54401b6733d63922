"""Models by name: read from the files in which open_clip and clipbench describe them.

open_clip itself takes seconds to be imported, which a misspelled name shall not cost.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from clipbench.files.typed import Json, read_as

OWN = Path(__file__).parents[1] / "model_configs"
OWED = frozenset({"embed_dim", "vision_cfg", "text_cfg"})  # without which it is no description

Size = Annotated[int, Meta(ge=1, le=1 << 20, description="a whole number from 1")]


class Vision(Struct, frozen=True):
    """What is read here of an image tower's description: the size of its images in pixels."""

    image_size: Size | Annotated[list[Size], Meta(min_length=1)] = 224


class Text(Struct, frozen=True):
    """What is read here of a text tower's description: tokens of a text."""

    context_length: Size = 77


class Description(Struct, frozen=True):
    """What is read here of a model's description; open_clip reads all the rest.

    Args:
        embed_dim: D, the size of features.
        vision_cfg: the image tower.
        text_cfg: the text tower.
    """

    embed_dim: Size
    vision_cfg: Vision
    text_cfg: Text

    @classmethod
    def of(cls, config: Json) -> Description:
        """Return what is read of a description, which may be a stranger's.

        Raises:
            Objection: naming the first field that is not what it must be.
        """
        return read_as(cls, config)


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
