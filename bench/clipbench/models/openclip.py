"""open_clip models by name, with the small ones of clipbench added; save and load them safely."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Protocol, TypedDict, cast

import torch
from torch import Tensor, nn

from clipbench.errors import BadSetting, CorruptData, MissingData, UnknownName
from clipbench.files import sums
from clipbench.files.checks import Objection
from clipbench.files.foreign import parsed, read_regular
from clipbench.files.json_files import write_json
from clipbench.files.typed import table
from clipbench.models.architectures import (
    OWN,
    Description,
    Preprocessing,
    architecture,
    architecture_names,
    library,
)
from clipbench.models.preprocessing import (
    check_activation,
    check_same,
    preprocessing_of,
    set_preprocessing,
    unusual,
    warn_of_tags,
)
from clipbench.models.weights import WEIGHTS_FILE, read_weights, weights_file
from clipbench.rng import derive_seed
from clipbench.system.durable import atomic_file, make_folder, scratch_folder

CONFIG_FILE = "open_clip_config.json"
_PREPROCESSING = "preprocess_cfg"  # of a configuration file
_END = 49407  # of a text, as open_clip's tokenizer has it
_GELU = "quick_gelu"  # of a model: weights of either kind fit into both
_HUB, _FOLDER = "hf-hub:", "local-dir:"  # open_clip's prefixes of model names

Tokenizer = Callable[[list[str]], Tensor]  # N texts -> (N, context length) int64


class Architecture(TypedDict):
    """What every open_clip configuration of a model has; each tower has fields of its own.

    Args:
        embed_dim: D, the size of features.
        vision_cfg: the image tower.
        text_cfg: the text tower.
    """

    embed_dim: int
    vision_cfg: dict[str, object]
    text_cfg: dict[str, object]


class ImageTextModel(Protocol):
    """What every open_clip model has.

    Args:
        logit_scale: logarithm of the factor on cosines in its loss.
    """

    logit_scale: Tensor

    def encode_image(self, image: Tensor, normalize: bool = False) -> Tensor:
        """Return features ``(N, D)`` of images ``(N, 3, S, S)``."""

    def encode_text(self, text: Tensor, normalize: bool = False) -> Tensor:
        """Return features ``(N, D)`` of tokens ``(N, L)``."""


def towers_of(model: nn.Module) -> ImageTextModel:
    """Return an open_clip model as what encodes images and texts."""
    return cast("ImageTextModel", model)


def open_clip() -> ModuleType:
    """Return the open_clip module with clipbench's own model configurations registered."""
    module = library()  # heavy

    from clipbench.models import towers  # noqa: PLC0415 - heavy

    towers.register()
    known = set(module.list_models())
    if not {file.stem for file in OWN.glob("*.json")} <= known:
        module.add_model_config(OWN)
    return module


def model_names() -> list[str]:
    """Return every model name that `create_model` accepts besides paths of configurations."""
    return architecture_names()


def model_config(name: str) -> Architecture:
    """Return the open_clip configuration of a model name, or of a ``.json`` file or a folder.

    Raises:
        UnknownName: the name is no open_clip model.
        BadSetting: the model is on a hub, which is never asked for it, or wants what is not had.
        MissingData, CorruptData: the configuration file is not there or is not one.
    """
    if name.lower().startswith(_HUB):
        raise BadSetting(
            f"The model {name!r} is on a hub, and clipbench downloads no models: download its"
            f" {CONFIG_FILE} and weights yourself, and give their folder with --model FOLDER"
            " --pretrained FOLDER."
        )
    path = configuration_file(name)
    if path is not None:
        return _read_config(path)[0]
    config = architecture(name)
    if config is None:
        raise UnknownName("model", name, model_names())
    try:
        Description.of(config)
    except Objection as error:
        raise BadSetting(f"The model {name!r} can't be had here: {error}.") from error
    return cast("Architecture", config)


def described_preprocessing(name: str) -> Preprocessing:
    """Return how a model's images are prepared, as its description says; a name has none.

    Raises:
        MissingData, CorruptData: the configuration file is not there or is not one.
    """
    path = configuration_file(name)
    return Preprocessing().whole() if path is None else _read_config(path)[1]


def heeded_since(name: str) -> list[str]:
    """Return what a configuration file says that earlier versions passed over; most say nothing.

    They made other numbers of it, so that runs with it can't keep the ids they had then.
    """
    config, prepared = _read_config(cast("Path", configuration_file(name)))
    text = config["text_cfg"]
    told = {name: text[name] for name in ("tokenizer_kwargs", "pad_id") if text.get(name)}
    if text.get("pool_type") == "eos" and text.get("eos_id") != _END:
        told["eos_id"] = text.get("eos_id")
    found = {**unusual(prepared), **told}
    return [json.dumps(found, sort_keys=True)] if found else []


def configuration_file(name: str) -> Path | None:
    """Return the file of a model's configuration; None: it is a name that open_clip knows."""
    path = Path(name.removeprefix(_FOLDER))
    if path.is_dir():
        return path / CONFIG_FILE
    return path if path.suffix == ".json" else None


def _read_config(path: Path) -> tuple[Architecture, Preprocessing]:
    """Return what a file says of a model, and of how its images are prepared."""
    if not path.is_file():
        raise MissingData(f"There is no model configuration {path.resolve()}.")
    try:
        whole = dict(table(parsed(read_regular(path))))
        prepared = Preprocessing.of(whole.pop(_PREPROCESSING, None))
        config = whole.get("model_cfg", whole)
        Description.of(config)
    except OSError as error:
        raise MissingData(f"{path.resolve()} can't be read: {error.strerror}.") from error
    except (ValueError, AttributeError, TypeError) as error:
        raise CorruptData(
            f"{path.resolve()} is no open_clip model configuration: {error}."
        ) from error
    return cast("Architecture", config), prepared


def create_model(
    name: str, seed: int, pretrained: str | None = None
) -> tuple[nn.Module, Tokenizer]:
    """Return an open_clip model in float32 on the CPU, and its tokenizer.

    Its images are prepared as a file's ``preprocess_cfg`` says, by name as OpenAI's are.

    Args:
        name: an open_clip model name, a configuration file, or a folder with one.
        seed: decides the initial weights; the same for every defense of a run.
        pretrained: weights to start from: a local file or a folder written by `save_model`.

    Raises:
        UnknownName, BadSetting: there is no such model, or it can't be made here, or the weights'
            own folder says that images are prepared otherwise.
        MissingData, CorruptData: a file is not there, or is not what it must be.
    """
    config = model_config(name)
    if pretrained is not None:
        check_weights(name, Path(pretrained))
    _check_packages(name, config)
    module = open_clip()
    registered = _registered_name(name, config)
    logging.disable(logging.WARNING)  # open_clip warns that the weights are random, as they must be
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "model") % 2**63)
            model = cast("nn.Module", module.create_model(registered, output_dict=True))
        tokenizer = _tokenizer(registered)
    except Exception as error:  # whatever open_clip, timm and torch make of a description
        hub, own = _hub_of(config), configuration_file(name)
        if hub or isinstance(error, ImportError):
            needed = hub or "other packages"
            advice = f"What it needs of {needed} must be installed and lie in the hub's cache"
        elif own is not None:
            advice = f"Mend its description, {own.resolve()}"
        else:
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BadSetting(f"The model {name!r} can't be made here: {reason}. {advice}.") from error
    finally:
        logging.disable(logging.NOTSET)
    set_preprocessing(model, described_preprocessing(name))
    if pretrained is not None:
        load_weights(model, Path(pretrained))
    return model, tokenizer


def check_weights(name: str, weights: Path) -> None:
    """Look whether a model prepares images as its weights want it, before they are read.

    Of weights that lie in no folder with a description nobody knows; then a warning says so, where
    open_clip lists weights of that name that want it otherwise.

    Args:
        name: an open_clip model name, a configuration file, or a folder with one.
        weights: as for `load_weights`.

    Raises:
        BadSetting: the description in the folder of the weights says otherwise.
        MissingData, CorruptData: a file is not there, or is not what it must be.
    """
    file = weights_file(weights)
    beside, own = file.parent / CONFIG_FILE, configuration_file(name)
    if beside.is_file() and not (own is not None and own.resolve() == beside.resolve()):
        config, prepared = _read_config(beside)
        check_same(described_preprocessing(name), name, prepared, beside)
        check_activation(model_config(name).get(_GELU), name, config.get(_GELU), beside)
    elif own is None:
        warn_of_tags(name, file)


@lru_cache(maxsize=8)
def _tokenizer(registered: str) -> Tokenizer:
    """Return a model's tokenizer: to read its vocabulary takes longer than to make a small model.

    It remembers the tokens of words, too. Nobody changes one: who needs another copies it.
    """
    return cast("Tokenizer", open_clip().get_tokenizer(registered))


def _hub_of(config: Architecture) -> str | None:
    """Return the repository that a model's text tower or tokenizer comes from; None: open_clip."""
    text = config["text_cfg"]
    return cast("str | None", text.get("hf_model_name") or text.get("hf_tokenizer_name"))


def _check_packages(name: str, config: Architecture) -> None:
    """Refuse a model that needs a package which is not installed.

    Raises:
        BadSetting: naming it.
    """
    if _hub_of(config) and importlib.util.find_spec("transformers") is None:
        raise BadSetting(
            f"The model {name!r} needs the package transformers, and the tokenizer of"
            f" {_hub_of(config)} in the hub's cache; install them, or choose another model."
        )


def _registered_name(name: str, config: Architecture) -> str:
    """Return a name under which open_clip knows `config`; files get one made from their content."""
    if name in model_names():
        return name
    text = json.dumps(config, sort_keys=True)
    registered = "clipbench-" + hashlib.sha256(text.encode()).hexdigest()[:12]
    with scratch_folder("model") as folder:
        path = folder / f"{registered}.json"
        path.write_text(text, encoding="utf-8")
        open_clip().add_model_config(path)
    return registered


def image_size_of(config: Architecture) -> int:
    """Return the side of the model's square input images, in pixels."""
    size = Description.of(config).vision_cfg.image_size
    sides = size if isinstance(size, list) else [size]
    if len(set(sides)) != 1:
        raise BadSetting(f"Models with images that are not square are not supported: {size}.")
    return sides[0]


def context_length_of(config: Architecture) -> int:
    """Return how many tokens of a text the model reads."""
    return Description.of(config).text_cfg.context_length


def save_model(model: nn.Module, config: Architecture, folder: Path) -> Path:
    """Write weights and configuration so that open_clip loads them; return the weights file.

    Both ``create_model_and_transforms(NAME, pretrained=FILE)`` and
    ``create_model_and_transforms("local-dir:FOLDER")`` give the model back.
    """
    make_folder(folder)
    state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    known = preprocessing_of(model)
    # What is as usual has never been written, but for these two; and the file decides ids of runs.
    preprocess = {"mean": known.mean, "std": known.std, **unusual(known)}
    write_json(folder / CONFIG_FILE, {"model_cfg": config, _PREPROCESSING: preprocess}, indent=2)
    with atomic_file(folder / WEIGHTS_FILE) as file:
        sums.write_weights(file, state)
    return folder / WEIGHTS_FILE


def load_weights(model: nn.Module, path: Path) -> None:
    """Load a weights file into `model`; nothing in the file is executed.

    Args:
        model: the model; its weights are replaced.
        path: weights of clipbench or open_clip, or the folder of a run or of its model.

    Raises:
        MissingData: there is no such file.
        CorruptData: it cannot be read, or belongs to another model.
    """
    path = weights_file(path)
    state, own = read_weights(path), model.state_dict()
    unfit = [key for key in own if key not in state or own[key].shape != state[key].shape]
    # Buffers that are made again are in no checkpoint but one of TorchScript.
    made_anew = {name for name, _ in model.named_buffers()} - set(own)
    foreign = [key for key in state if key not in own and key not in made_anew]
    if unfit or foreign:
        raise CorruptData(
            f"{path.resolve()} is a checkpoint of another model: of this model's {len(own)} weights"
            f" {len(unfit)} are missing or of another shape, and it holds {len(foreign)} others;"
            f" the first is {sorted([*unfit, *foreign])[0]!r}. Give the model it was trained as."
        )
    model.load_state_dict({key: state[key] for key in own})
