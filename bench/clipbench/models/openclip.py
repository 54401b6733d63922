"""open_clip models by name, with the small ones of clipbench added; save and load them safely."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Protocol, TypedDict, cast

import torch
from torch import Tensor, nn

from clipbench.errors import BadSetting, CorruptData, MissingData, UnknownName
from clipbench.files import sums
from clipbench.files.foreign import parsed, read_regular
from clipbench.files.json_files import write_json
from clipbench.models.architectures import OWN, Description, architecture, architecture_names
from clipbench.rng import derive_seed
from clipbench.system.durable import atomic_file, make_folder, scratch_folder
from clipbench.tensors.files import NotTensors, read_tensors

CONFIG_FILE = "open_clip_config.json"
_HUB, _FOLDER = "hf-hub:", "local-dir:"  # open_clip's prefixes of model names
_HANDED_ON = "tokenizer_kwargs"  # of a text tower: arguments of another library's tokenizer
WEIGHTS_FILE = "open_clip_model.safetensors"
_DISTRIBUTED = "module."  # before the name of every weight of a model under DistributedDataParallel

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
    """Return the open_clip module with clipbench's own model configurations registered.

    No hub is asked for anything that a model's configuration names, unless the environment says so.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when the hub's library is imported
    module = importlib.import_module("open_clip")  # heavy

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
        BadSetting: the model is on a hub, which is never asked for it.
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
        return _read_config(path)
    config = architecture(name)
    if config is None:
        raise UnknownName("model", name, model_names())
    return cast("Architecture", config)


def configuration_file(name: str) -> Path | None:
    """Return the file of a model's configuration; None: it is a name that open_clip knows."""
    path = Path(name.removeprefix(_FOLDER))
    if path.is_dir():
        return path / CONFIG_FILE
    return path if path.suffix == ".json" else None


def _read_config(path: Path) -> Architecture:
    if not path.is_file():
        raise MissingData(f"There is no model configuration {path.resolve()}.")
    try:
        config = parsed(read_regular(path))
        config = config.get("model_cfg", config)
        Description.of(config)
    except OSError as error:
        raise MissingData(f"{path.resolve()} can't be read: {error.strerror}.") from error
    except (ValueError, AttributeError, TypeError) as error:
        raise CorruptData(
            f"{path.resolve()} is no open_clip model configuration: {error}."
        ) from error
    return cast("Architecture", config)


def create_model(
    name: str, seed: int, pretrained: str | None = None
) -> tuple[nn.Module, Tokenizer]:
    """Return an open_clip model in float32 on the CPU, and its tokenizer.

    Args:
        name: an open_clip model name, a configuration file, or a folder with one.
        seed: decides the initial weights; the same for every defense of a run.
        pretrained: weights to start from: a local file or a folder written by `save_model`.

    Raises:
        UnknownName, BadSetting: there is no such model, or it can't be made or trained here.
        MissingData, CorruptData: a file is not there, or is not what it must be.
    """
    config = model_config(name)
    _check_packages(name, config)
    if "multimodal_cfg" in config:
        raise BadSetting(f"{name!r} has a text decoder; only two-tower CLIP models can be trained.")
    module = open_clip()
    registered = _registered_name(name, config)
    logging.disable(logging.WARNING)  # open_clip warns that the weights are random, as they must be
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "model") % 2**63)
            model = cast("nn.Module", module.create_model(registered, output_dict=True))
        tokenizer = _tokenizer(registered)
    except (OSError, RuntimeError, ImportError) as error:
        if not _hub_of(config) and not isinstance(error, ImportError):
            raise
        reason = " ".join(str(error).split())[:200]
        raise BadSetting(
            f"The model {name!r} can't be made here: {reason}. What it needs of"
            f" {_hub_of(config) or 'other packages'} must be installed and lie in the hub's cache."
        ) from error
    finally:
        logging.disable(logging.NOTSET)
    if pretrained is not None:
        load_weights(model, Path(pretrained))
    return model, tokenizer


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
    """Return a name under which open_clip knows `config`; files get one made from their content.

    What a configuration would hand to another library's tokenizer is left out: it may ask for code
    to be run. So a model with such a tokenizer gets a name of its own, too.
    """
    if name in model_names() and not _hub_of(config):
        return name
    plain = {key: value for key, value in config["text_cfg"].items() if key != _HANDED_ON}
    text = json.dumps({**config, "text_cfg": plain}, sort_keys=True)
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
    preprocess = {
        "mean": list(getattr(model.visual, "image_mean", None) or open_clip().OPENAI_DATASET_MEAN),
        "std": list(getattr(model.visual, "image_std", None) or open_clip().OPENAI_DATASET_STD),
    }
    write_json(folder / CONFIG_FILE, {"model_cfg": config, "preprocess_cfg": preprocess}, indent=2)
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
    state, own = _read_weights(path), model.state_dict()
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


def _advice(text: str) -> str:
    """Return what to do about a checkpoint that is not there; it may be a name of open_clip's."""
    if text.lower() not in {tag.lower() for _, tag in open_clip().list_pretrained()}:
        return "check the path."
    return (
        f"{text!r} is a name by which open_clip downloads weights, and clipbench downloads nothing:"
        " save them to a file and give that (the guide says how, under Released weights)."
    )


def weights_file(path: Path) -> Path:
    """Return the file of weights that is meant by a file, or the folder of a run or of its model.

    Raises:
        MissingData: there is no such file.
    """
    if path.is_dir():
        inner = path / "model" / WEIGHTS_FILE
        path = inner if inner.is_file() else path / WEIGHTS_FILE
    if not path.is_file():
        raise MissingData(f"There is no checkpoint {path.resolve()}; {_advice(str(path))}")
    return path


def _read_weights(path: Path) -> Mapping[str, Tensor]:
    """Return the weights in a file of open_clip, or in one that training kept of an epoch."""
    remedy = "Fetch it again; if a run wrote it, delete it and start the run again."
    try:
        state = read_tensors(path)
    except NotTensors as error:
        if error.objects:
            more = ", ..." if len(error.objects) > 3 else ""
            raise CorruptData(
                f"{path.resolve()} holds other things than weights"
                f" ({', '.join(sorted(error.objects)[:3])}{more}), whose code would"
                " run if they were read, so they are not. If you trust the file, read it with"
                " torch.load(FILE, weights_only=False), write its weights alone with"
                " torch.save({'state_dict': ...}, NEW), and give NEW."
            ) from error
        reason = str(error).rstrip(".")
        raise CorruptData(
            f"{path.resolve()} cannot be read as a checkpoint ({reason}). {remedy}"
        ) from error
    if isinstance(state, dict):
        inner = "model" if set(state) == {"format", "model"} else "state_dict"  # ours; open_clip's
        state = state.get(inner, state)
    if not isinstance(state, dict) or not all(isinstance(item, Tensor) for item in state.values()):
        raise CorruptData(f"{path.resolve()} holds other things than weights. {remedy}")
    return _bare(cast("Mapping[str, Tensor]", state))


def _bare(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights without what compiling and distributing a model put into their names."""
    plain = {re.sub(r"(^|\.)_orig_mod(?=\.)", "", key).lstrip("."): state[key] for key in state}
    if len(plain) < len(state):
        return dict(state)  # names that differ in this alone: no such model
    while plain and all(key.startswith(_DISTRIBUTED) for key in plain):
        plain = {key.removeprefix(_DISTRIBUTED): value for key, value in plain.items()}
    return plain
