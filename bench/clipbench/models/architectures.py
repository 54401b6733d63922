"""Models by name: read from the files in which open_clip and clipbench describe them.

open_clip itself takes seconds to be imported, which a misspelled name shall not cost.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Annotated, Literal

from msgspec import Meta, Struct

from clipbench.files.checks import Objection
from clipbench.files.typed import LARGEST, Json, Number, read_as

OWN = Path(__file__).parents[1] / "model_configs"
OWED = frozenset({"embed_dim", "vision_cfg", "text_cfg"})  # without which it is no description

MEAN = (0.48145466, 0.4578275, 0.40821073)  # OpenAI's, as `open_clip.constants` has them
STD = (0.26862954, 0.26130258, 0.27577711)

Size = Annotated[int, Meta(ge=1, le=1 << 20, description="a whole number from 1")]
Color = Annotated[int, Meta(ge=0, le=255, description="a whole number from 0 to 255")]
Spread = Annotated[float, Meta(gt=0, le=LARGEST, description="a finite number above 0")]
_EACH = Meta(min_length=3, max_length=3, description="three finite numbers, one a channel")
_EACH_SPREAD = Meta(
    min_length=3, max_length=3, description="three finite numbers above 0, one a channel"
)


class Vision(Struct, frozen=True):
    """What is read here of an image tower's description: the size of its images in pixels."""

    image_size: Size | Annotated[list[Size], Meta(min_length=1)] = 224


class Cleaning(Struct, frozen=True):
    """What a description may tell a tokenizer, which is arguments of another library's, too.

    Whatever else open_clip would hand on may ask for code to be run or files to be read.

    Args:
        clean: what is done to a text first; the default is the tokenizer's own.
        strip_sep_token: whether separators are taken out again; of Hugging Face's tokenizers.
    """

    clean: Literal["canonicalize", "lower", "whitespace"] = "lower"
    strip_sep_token: bool = False


class Text(Struct, frozen=True):
    """What is read here of a text tower's description: tokens of a text, and how it is cleaned."""

    context_length: Size = 77
    tokenizer_kwargs: dict[str, Json] = {}
    hf_tokenizer_name: Json = None

    def __post_init__(self) -> None:
        """Object to arguments of a tokenizer that it doesn't take, or that would do more."""
        given, field = self.tokenizer_kwargs, "tokenizer_kwargs"
        for name in sorted(set(given) - set(Cleaning.__struct_fields__)):
            must = "must be left out, for another library would act on it"
            raise Objection(f"{field}.{name}", must, given[name])
        try:
            read_as(Cleaning, given)
        except Objection as error:
            raise error.within(field) from error
        if "strip_sep_token" in given and not self.hf_tokenizer_name:
            must = "must be left out, for open_clip's own tokenizer has no separators"
            raise Objection(f"{field}.strip_sep_token", must, given["strip_sep_token"])


class Preprocessing(Struct, frozen=True):
    """How a model's images are prepared: ``preprocess_cfg`` of its description.

    What a description does not say, or says is null, is open_clip's default, which is OpenAI's. The
    size is not read, here or there: it is that of the image tower.

    Args:
        mean: of each channel, of pixels in [0, 1].
        std: likewise.
        interpolation: how pictures are resized; ``random``, for training, is bicubic.
        resize_mode: see `clipbench.images.fit.Fitting`.
        fill_color: of what ``longest`` leaves empty.
        mode: of colors.
    """

    mean: Annotated[tuple[Number, ...], _EACH] | None = None
    std: Annotated[tuple[Spread, ...], _EACH_SPREAD] | None = None
    interpolation: Literal["bicubic", "bilinear", "random"] | None = None
    resize_mode: Literal["shortest", "longest", "squash"] | None = None
    fill_color: Color | None = None
    mode: Literal["RGB"] | None = None

    @classmethod
    def of(cls, config: Json) -> Preprocessing:
        """Return what is said of it, which a stranger may have; None: nothing.

        Raises:
            Objection: naming the first field that is not what it must be.
        """
        found = read_as(_Whole, {"preprocess_cfg": config}).preprocess_cfg or cls()
        return found.whole()

    def whole(self) -> Preprocessing:
        """Return the same with open_clip's defaults where nothing is said."""
        return Preprocessing(
            mean=self.mean or MEAN,
            std=self.std or STD,
            interpolation=self.interpolation or "bicubic",
            resize_mode=self.resize_mode or "shortest",
            fill_color=self.fill_color or 0,
            mode="RGB",
        )


class _Whole(Struct, frozen=True):
    """What a description says beside the model, so that messages name where it stands."""

    preprocess_cfg: Preprocessing | None = None


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


def library() -> ModuleType:
    """Return the open_clip module, which takes seconds at first.

    No hub is asked for anything that a model's configuration names, unless the environment says so.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when the hub's library is imported
    return importlib.import_module("open_clip")


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
