"""How images are prepared for a model: set from its description, read of it, and told where unsaid.

open_clip keeps with a model how its images are normalized and resized, and its own transforms, the
features of `clipbench.models.features` and training all look there. A name says nothing of it, for
weights of one architecture may want this or that: OpenAI's preparation is taken, which is wrong for
some of the weights that open_clip lists.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import cast

from msgspec import structs
from torch import nn

from clipbench.errors import BadSetting
from clipbench.images.fit import Fitting
from clipbench.models.architectures import Preprocessing, library

USUAL = Preprocessing().whole()  # where nobody says anything
_SEEN = ("mean", "std", "interpolation", "resize_mode")  # what a tag of open_clip says


def preprocessing_of(model: nn.Module) -> Preprocessing:
    """Return how images are prepared for a model that open_clip made."""
    visual = getattr(model, "visual", model)
    legacy = {name: getattr(visual, f"image_{name}", None) for name in ("mean", "std")}
    return _said(getattr(visual, "preprocess_cfg", None) or legacy)


def set_preprocessing(model: nn.Module, wanted: Preprocessing) -> None:
    """Have images prepared for a model as its description wants it; the size stays."""
    module = library()
    known = module.get_model_preprocess_cfg(model)
    module.set_model_preprocess_cfg(model, {**known, **structs.asdict(wanted)})


def fitting_of(model: nn.Module) -> Fitting:
    """Return how pictures become squares where a model is evaluated."""
    known = preprocessing_of(model)
    assert known.resize_mode is not None
    assert known.interpolation is not None
    return Fitting(known.resize_mode, known.interpolation, known.fill_color or 0)


def unusual(known: Preprocessing) -> dict[str, object]:
    """Return the fields in which a preparation is not the usual one."""
    return _differences(known, USUAL)


def in_words(fields: Mapping[str, object]) -> str:
    """Return fields of a preparation as a person reads them."""

    def value(item: object) -> str:
        parts = item if isinstance(item, (list, tuple)) else [item]
        return " ".join(f"{part:.4g}" if isinstance(part, float) else str(part) for part in parts)

    return ", ".join(f"{name} {value(item)}" for name, item in fields.items())


def check_same(known: Preprocessing, model: str, beside: Preprocessing, file: Path) -> None:
    """Refuse weights beside whose file another preparation is described than the model's.

    Args:
        known: the model's.
        model: what it is called.
        beside: that of the description in the folder of the weights.
        file: that description.

    Raises:
        BadSetting: they are not the same.
    """
    if other := _differences(beside, known):
        own = {name: getattr(known, name) for name in other}
        raise BadSetting(
            f"{file.resolve()} says that images are prepared with {in_words(other)}, but the model"
            f" {model!r} has {in_words(own)}. Give the weights' folder as the model, too:"
            f" {file.resolve().parent}."
        )


def check_activation(quick: object, model: str, beside: object, file: Path) -> None:
    """Refuse weights beside whose file the other of the two GELUs is described, which fit, too.

    Args:
        quick: ``quick_gelu`` of the model.
        model: what it is called.
        beside: that of the description in the folder of the weights.
        file: that description.

    Raises:
        BadSetting: they are not the same.
    """
    if bool(quick) != bool(beside):
        raise BadSetting(
            f"{file.resolve()} says quick_gelu {str(bool(beside)).lower()}, but the model {model!r}"
            f" has {str(bool(quick)).lower()}. Give the weights' folder as the model, too:"
            f" {file.resolve().parent}."
        )


@cache  # plans, estimates and training come by here, and one line is enough
def warn_of_tags(model: str, weights: Path) -> None:
    """Say in a line which weights of a name want another preparation than they get, if any do.

    Args:
        model: the name; nothing beside the weights says how their images are prepared.
        weights: their file.
    """
    tags: dict[str, list[str]] = {}
    known_tags = library().pretrained
    for tag in known_tags.list_pretrained_tags_by_model(model):
        cfg = known_tags.get_pretrained_cfg(model, tag)
        known = _said({name: cfg[name] for name in _SEEN if name in cfg})
        if other := unusual(known):
            tags.setdefault(in_words(other), []).append(tag)
    if tags:
        wanted = "; ".join(f"{', '.join(names)}: {words}" for words, names in tags.items())
        usual = in_words({name: getattr(USUAL, name) for name in _SEEN})
        warnings.warn(
            f"nothing says how images are prepared for {weights}, so {model} takes {usual}; these"
            f" weights of open_clip want it otherwise: {wanted}. If yours are of them, the numbers"
            " would be wrong: keep them in a folder with an open_clip_config.json, and give that as"
            " model and as weights (the guide says how, under Released weights)",
            stacklevel=2,
        )


def _said(cfg: Mapping[str, object]) -> Preprocessing:
    """Return what open_clip knows, whose own values need no check."""
    return Preprocessing.of({name: cfg[name] for name in structs.asdict(USUAL) if name in cfg})


def _differences(one: Preprocessing, other: Preprocessing) -> dict[str, object]:
    told = cast("dict[str, object]", structs.asdict(one))
    return {name: value for name, value in told.items() if value != getattr(other, name)}
