"""What the text of others may name: every field that names something, and nothing outside."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from clipbench.configuration.config import RunConfig
from clipbench.configuration.naming import PLUGINS, Allowed, check_settings, registered_only
from clipbench.configuration.settings import TrainSettings
from clipbench.errors import BadSetting, UnknownName
from clipbench.parameters.values import field_types
from clipbench.plugins import registry
from clipbench.plugins.find import KINDS
from clipbench.text.locations import AttackSpec, Location, Model, Weights, Word, by_content, marks

HASH = by_content("0123456789abcdef" * 4)
OUTSIDE = [
    "/etc/passwd",
    "../x",
    "~/secret",
    "http://127.0.0.1:9/x.tar",
    "s3://bucket/x",
    "pipe:touch x",
    "hf-hub:stranger/model",
    "HF-HUB:stranger/model",
    "local-dir:/home/me/models",
    "/data/a::http://h/x",
    "x.json",
]
CLASSES = [
    TrainSettings,
    *(item.cls for kind in KINDS for item in registry.survey(kind) if item.cls is not None),
]


@dataclass(frozen=True)
class Plugin:
    """A field of every type that names something, and of some that name nothing."""

    root: Path = Path("x")
    pattern: Location = HASH
    several: tuple[Path, ...] = ()
    weights: Weights | None = None
    model: Model = "RN50"
    base: AttackSpec = "badnets"
    bases: tuple[AttackSpec, ...] = ()
    label: Word | None = None
    form: Literal["a", "b"] = "a"
    count: int = 3
    sizes: tuple[int, int] | None = None
    new: str = "default"
    news: tuple[str, ...] = ()
    anything: Any = None


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: f"{cls.__module__}.{cls.__name__}")
def test_the_type_of_every_field_says_what_it_names(cls: type) -> None:
    """One list of naming fields, from the types: a bare `str` does not say.

    Write `Word` of `clipbench.text.locations` for text that is only compared or shown, a
    `Literal` for a choice, and `Location`, `Weights`, `Model`, `Path` or `AttackSpec` for what
    names something.
    """
    unsaid = [name for name, mark in marks(cls).items() if mark is None]
    assert not unsaid


def test_every_part_of_a_run_is_known_for_what_it_names() -> None:
    """A new part of a configuration names plugins, or is said here to name nothing."""
    numbers = {"rate", "poisons", "seed", "poison_seed", "on_error"}
    hashes = {"code", "contents"}
    settings = {"train", "explicit"}
    parts = {item.name for item in dataclasses.fields(RunConfig)}
    assert parts == set(PLUGINS) | numbers | hashes | settings


@pytest.mark.parametrize("text", OUTSIDE)
@pytest.mark.parametrize("field", ["root", "pattern", "several", "weights", "model", "new", "news"])
def test_no_field_that_names_something_may_name_what_is_outside(field: str, text: str) -> None:
    """Field and option are told; what the reader typed may be named."""
    value = [text] if field in ("several", "news") else text
    with pytest.raises(BadSetting, match=rf"attack\.{field} names .*--allow ") as caught:
        Allowed().check_values(Plugin, {field: value}, "attack")
    assert "\n" not in str(caught.value)
    Allowed.of([text]).check_values(Plugin, {field: value}, "attack")


@pytest.mark.parametrize(
    "text", ["evil.py", "os:system", "/x/evil.py:size=3", "adaptive:base=a.py"]
)
@pytest.mark.parametrize("field", ["base", "bases"])
def test_a_plugin_in_a_parameter_is_held_to_the_same_rule(field: str, text: str) -> None:
    """However deep it stands, and what its own parameters name as well."""
    value = [text] if field == "bases" else text
    with pytest.raises(BadSetting, match=rf"attack\.{field}(\.base)? names .*--allow "):
        Allowed().check_values(Plugin, {field: value}, "attack")
    inner = "badclip:surrogate_weights=/etc/passwd"
    where = rf"attack\.{field}\.surrogate_weights names '/etc/passwd'"
    with pytest.raises(BadSetting, match=where):
        Allowed().check_values(Plugin, {field: [inner] if field == "bases" else inner}, "attack")


@pytest.mark.parametrize(
    "values",
    [
        {"root": HASH, "pattern": HASH, "several": [HASH], "weights": HASH, "model": HASH},
        {"weights": None, "several": [], "model": "ViT-B-32"},
        {"base": "badnets:target_label=/etc/passwd", "bases": ["sig", "blended"]},
        {"label": "http://h/x", "form": "b", "count": 4, "sizes": [1, 2]},
        {"new": "default"},
    ],
)
def test_what_is_installed_and_what_names_nothing_may_stand_anywhere(
    values: dict[str, Any],
) -> None:
    """Content by its hash, models and plugins by name, and words, whatever they look like."""
    Allowed().check_values(Plugin, values, "attack")


def test_a_field_whose_type_does_not_say_is_refused_until_somebody_says() -> None:
    """A plugin of others may have a bare `str`: of a stranger it is taken at its default alone."""
    for values in ({"new": "x"}, {"news": ["x"]}, {"anything": "x"}):
        with pytest.raises(BadSetting, match="its type does not say what it names"):
            Allowed().check_values(Plugin, values, "attack")
        Allowed.of(["x"]).check_values(Plugin, values, "attack")


def test_a_configuration_of_ones_own_may_name_files_and_no_code_nor_address() -> None:
    """Files of this machine are read as data, weights and models; nothing is run or fetched."""
    own = Allowed(files=True)
    own.check_values(Plugin, {"root": "/data", "weights": "w.pt", "model": "m.json"}, "attack")
    own.check("dataset", "/data/crawl-{00..99}.tar", "data")
    for spec in ("http://h/x.tar", "pipe:cat x.tar", "/data::s3://b/x"):
        with pytest.raises(BadSetting, match=r"data\.path names .*--allow"):
            own.check("dataset", {"name": "shards", "path": spec}, "data")
    with pytest.raises(BadSetting, match=r"attack names 'mine\.py'"):
        own.check("attack", "mine.py", "attack")
    with pytest.raises(BadSetting, match="model names 'hf-hub:a/b'"):
        check_settings({"model": "hf-hub:a/b"}, own)


def test_settings_that_are_no_place_are_no_matter(tmp_path: Path) -> None:
    """Training settings are held to the rule by their own types."""
    check_settings({"model": "RN50", "pretrained": None, "device": "cpu", "epochs": 3}, Allowed())
    for field in ("model", "pretrained"):
        with pytest.raises(BadSetting, match=rf"train\.{field} names"):
            check_settings({field: str(tmp_path)}, Allowed())


def test_what_is_built_of_a_strangers_parameters_is_held_to_the_rule() -> None:
    """Also where the plugin is built straight away, as a page of results does."""
    with registered_only():
        registry.build("attack", "badnets:size=0.1")
        with pytest.raises(BadSetting, match="surrogate_weights names '/x'"):
            registry.build("attack", {"name": "badclip", "surrogate_weights": "/x"})
    with registered_only(["/x"]):
        registry.build("attack", {"name": "badclip", "surrogate_weights": "/x"})
    registry.build("attack", {"name": "badclip", "surrogate_weights": "/x"})


def test_an_unknown_name_is_told_as_such() -> None:
    """What is no file, module, address or path is a word that was mistyped."""
    with pytest.raises(UnknownName, match="badnets"):
        Allowed().check("attack", "badnetz", "attack")
    assert "target_label" in field_types(registry.load("attack", "badnets"))
