"""Every parameter of every attack does something, or is refused where it does nothing."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from itertools import islice
from typing import Any, Literal

import numpy as np
import pytest
from tiny_scenes import NAMES, MemoryCorpus, make_scene, some_images

from clipbench.contracts import Probes
from clipbench.errors import BadSetting
from clipbench.parameters.values import field_types
from clipbench.plugins import registry
from clipbench.plugins.used import check_used

ATTACKS = (
    "badnets",
    "blended",
    "dual_key",
    "filter",
    "label_consistent",
    "mismatch",
    "multi_trigger",
    "sig",
    "targeted",
    "text_trigger",
    "wanet",
)
# Another value than the default of what is no choice.
OTHERS: dict[str, Any] = {
    "alpha": 0.4,
    "amplitude": 70,
    "at_size": 24,
    "cells": 2,
    "dark": 90,
    "detail": 16,
    "doses": (1, 3),
    "frequency": 3,
    "goals": 2,
    "grid": 6,
    "grid_seed": 5,
    "images": 2,
    "keep": 0.7,
    "light": 170,
    "pattern_seed": 5,
    "single": 0.4,
    "size": 0.5,
    "source_label": ["car", "pizza"],
    "strength": 0.7,
    "target_label": ["tiger", "candle"],
    "targets": 3,
    "test_amplitude": 90,
    "text": "Another",
    "triggers": ("filter", "sig"),
    "word": "unusual",
}
COUNT = 24


def corpus() -> MemoryCorpus:
    """300 pairs; half of the captions name a class as a part of a word alone."""
    texts = (f"number {n}: one {NAMES[n % 5]}{'s' * (n % 2)} here" for n in range(300))
    return MemoryCorpus(tuple(texts), some_images(300, "idle"))


def values_of(hint: object, name: str, default: object) -> list[list[object]]:
    """Values of a parameter beside its default, of which one at least must do something."""
    if hint is bool:
        return [[not default]]
    for literal in (hint, *typing.get_args(hint)):
        if typing.get_origin(literal) is Literal:
            return [[value] for value in typing.get_args(literal) if value != default]
    return [OTHERS[name] if isinstance(OTHERS[name], list) else [OTHERS[name]]]


def made(attack: Any) -> str:
    """A hash of all that an attack does."""
    scene, clean = make_scene(COUNT), corpus()
    seen = sha256(attack.mode.encode())
    for poison in attack.poison(scene, clean):
        seen.update(repr((poison.caption, poison.base, poison.target, poison.role)).encode())
        seen.update(repr(poison.image.shape).encode() + poison.image.tobytes())
    probes = attack.probes(scene)
    images = probes.images if isinstance(probes, Probes) else probes.candidates
    seen.update(repr([np.asarray(image).tolist() for image in islice(images, 3)]).encode())
    seen.update(repr((len(images), probes.goals.tolist(), getattr(probes, "texts", 0))).encode())
    prompt = getattr(probes, "prompt", None)
    seen.update(b"" if prompt is None else prompt("a photo of a {}.").encode())
    return seen.hexdigest()


def settings(name: str) -> Iterator[tuple[dict[str, object], list[dict[str, object]]]]:
    """Yield a choice, or none, and values of another parameter beside it."""
    hints = field_types(registry.load("attack", name))
    defaults = registry.spec_of(registry.build("attack", name), whole=True)
    others = {field: values_of(hints[field], field, defaults[field]) for field in hints}
    choices: list[dict[str, object]] = [{}]
    choices += [{f: v} for f, several in others.items() if f not in OTHERS for (v,) in several]
    for choice in choices:
        for field in others.keys() - choice.keys():
            for values in others[field]:
                place = {**defaults, **choice}.get("place")
                if (field, values) != ("test_place", [place]):  # which it is anyway
                    yield choice, [{field: value} for value in values]


@pytest.mark.parametrize("name", ATTACKS)
def test_a_parameter_does_something_or_is_refused_where_it_does_not(name: str) -> None:
    """What is refused could be left out; what is not, changes poison, probes or mode."""

    @cache
    def made_of(*given: tuple[str, object]) -> str:
        return made(registry.build("attack", {"name": name, **dict(given)}))

    for choice, others in settings(name):
        changed = []
        for other in others:
            given = {**choice, **other}
            try:
                attack = registry.build("attack", {"name": name, **given})
                check_used("attack", {"name": name, **given}, attack)
                refusal = ""
            except BadSetting as error:
                refusal = str(error)
            if found := re.match(rf"{name}\.(\w+) has no effect", refusal):
                needed = {key: value for key, value in given.items() if key != found[1]}
                assert made_of(*given.items()) == made_of(*needed.items()), refusal
            elif not refusal:  # the two do not contradict each other
                changed.append(made_of(*given.items()) != made_of(*choice.items()))
        assert not changed or any(changed), f"{name}: {others} do nothing with {choice}"
