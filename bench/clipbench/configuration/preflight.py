"""What is wrong with a request, as far as that can be told before anything heavy is imported.

Names, ranges, paths and folders to write into: a person who mistyped one learns so in about a
second. What takes torch or the data to find out comes after, in `clipbench.planning.plan`.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from clipbench.configuration.request import Request
from clipbench.configuration.settings import TrainSettings
from clipbench.errors import BadSetting, MissingData, UnknownName
from clipbench.models.architectures import architecture, architecture_names
from clipbench.parameters.rate import Rate
from clipbench.parameters.values import coerce, field_types
from clipbench.plugins import registry
from clipbench.plugins.find import Kind
from clipbench.plugins.spec import SpecLike
from clipbench.text.locations import content_in, location_fields, split, texts

_PATTERN = re.compile(r"[{}*?\[\]]|^(pipe:|[a-z][a-z0-9+.-]*://)", re.IGNORECASE)
_NVIDIA = Path("/dev/nvidiactl")  # of the driver of NVIDIA's GPUs
_PREFIXED = re.compile(r"(hf-hub|local-dir):", re.IGNORECASE)


def check(request: Request, *, outputs: Iterable[Path] = (), inputs: Iterable[Path] = ()) -> None:
    """Refuse what cannot be done.

    Args:
        request: what was asked for.
        outputs: folders that will be written into, beside the cache.
        inputs: files and folders that will be read, beside those of the request.

    Raises:
        UnknownName: a plugin, a parameter, a setting or a model that does not exist.
        BadSetting: a setting out of range, or a device, compiler or package that is not there.
        MissingData: something that is not there, or a folder that can't be written.
    """
    for kind, spec in _plugins(request):
        _check_name(kind, spec)
    for rate in request.rates:
        if float(Rate.of(rate)) == 1:
            raise BadSetting(
                f"A rate of {rate} is 100%: no pair would be clean. Write 1% for one in a hundred."
            )
    settings = TrainSettings.from_mapping(request.train)
    if "model" in request.train:
        _check_model(settings.model)
    if settings.pretrained is not None:
        _check_there(settings.pretrained, "checkpoint")
    for spec in _sources(request):
        for name, where in _locations(spec):
            _check_there(where, "file or folder", f" ({name})")
    for path in inputs:
        for part in split(str(path)):
            _check_there(part, "file or folder")
    for folder in (*outputs, request.cache):
        check_writable(folder)
    _check_device(settings.device)
    if settings.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise BadSetting(
            "tensorboard needs the package of that name. Install it"
            " (pip install 'clipbench[tensorboard]'), or leave it out."
        )
    if settings.compile and settings.device in ("auto", "cpu"):
        _check_compiler()


def _plugins(request: Request) -> Iterator[tuple[Kind, SpecLike]]:
    yield from (("dataset", spec) for spec in _sources(request))
    yield from (("attack", spec) for spec in request.attacks)
    yield from (("defense", spec) for spec in request.defenses)
    yield from (("metric", spec) for spec in request.metrics)


def _sources(request: Request) -> Iterator[SpecLike]:
    yield request.data
    yield from request.evals
    if request.trusted is not None:
        yield request.trusted


def _check_name(kind: Kind, spec: SpecLike) -> None:
    """Refuse a name that no plugin has, and a file that is not there; none is imported here."""
    name = registry.parse(kind, spec).name
    is_file = name.endswith(".py") and Path(name).expanduser().is_file()
    if name not in registry.names(kind) and not is_file and ":" not in name:
        registry.load(kind, spec)  # says what is known


def _check_model(name: str) -> None:
    """Refuse the name of a model that there is not."""
    path = Path(re.sub(_PREFIXED, "", name))
    if _PREFIXED.match(name) or path.suffix == ".json" or path.is_dir():
        return  # what is there is read with the plan
    if architecture(name) is None:
        raise UnknownName("model", name, architecture_names())


def _locations(spec: SpecLike) -> Iterator[tuple[str, str]]:
    """Yield each parameter of a data set that says where something lies, and the path."""
    parsed = registry.parse("dataset", spec)
    cls = registry.load("dataset", parsed)
    types = field_types(cls)
    for name, mark in location_fields(cls).items():
        value = parsed.parameters.get(name)
        if mark.kind != "data" or value is None:
            continue
        where = f"{registry.short_name(parsed.name)}.{name}"
        for text in texts(coerce(value, types[name], where)):
            yield from ((where, part) for part in split(text))


def _check_there(where: str | Path, what: str, field: str = "") -> None:
    text = str(where)
    if not text.strip() or _PATTERN.search(text) or content_in(text):
        return  # an address, a command or a pattern
    path = Path(text).expanduser()
    try:
        found = path.exists()
    except OSError as error:
        raise MissingData(f"{path} can't be read: {error.strerror}.") from error
    if not found:
        raise MissingData(f"There is no {what} {path.absolute()}{field}; check the path.")


def check_writable(folder: Path) -> None:
    """Refuse a folder that can't be written, or can't be made; nothing is left in it.

    Raises:
        MissingData: it can't be.
    """
    place = folder.expanduser().absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            return
    except OSError as error:
        raise MissingData(
            f"Folder {folder} can't be written: {error.strerror}{_at(place, folder)}. Choose"
            " another."
        ) from error


def _at(place: Path, folder: Path) -> str:
    return "" if place == folder.expanduser().absolute() else f" at {place}"


def _check_device(device: str) -> None:
    """Refuse a device that is not there; only torch knows, so none is asked for those it has."""
    if device in ("auto", "cpu"):
        return
    from clipbench.parallel.devices import pick_device  # noqa: PLC0415 - heavy

    pick_device(device)


def _check_compiler() -> None:
    """Refuse to compile towers where the compiler that torch would call is not there."""
    if _NVIDIA.exists():  # what `auto` chooses there brings a compiler of its own
        return
    named = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(named) is None:
        raise BadSetting(
            f"compile needs a C++ compiler, and there is no {named} on the path. Install one, name"
            " yours by CXX, or leave compile out."
        )
