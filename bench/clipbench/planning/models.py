"""Whether the models of a run can be used, looked at before its work begins."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from torch import nn

from clipbench.configuration.config import RunConfig
from clipbench.configuration.places import released
from clipbench.errors import BadSetting, ClipbenchError
from clipbench.loading.text import check_text_tower
from clipbench.models.features import image_features, text_features
from clipbench.models.openclip import (
    Tokenizer,
    check_weights,
    configuration_file,
    create_model,
    image_size_of,
    model_config,
)


def check_models(config: RunConfig) -> None:
    """Look at the model that is trained, and at weights that training or a plugin begins with.

    Warns of weights whose images may be prepared otherwise than they want it.

    Raises:
        UnknownName, BadSetting: there is no such model, or it can't be trained or is not the one
            that the weights belong to.
        MissingData, CorruptData: a file is not there, or is not what it must be.
    """
    architecture = model_config(config.train.model)
    check_text_tower(config.train.model, architecture)
    image_size_of(architecture)
    for model, weights in released(config):
        check_weights(model, weights)


def try_model(config: RunConfig) -> None:
    """Make and use the model of a run, where a file describes it or has its weights; drop it.

    What is wrong with such a file would else be told when the pairs are made and poisoned.

    Raises:
        BadSetting: it can't be made, or encodes nothing.
        MissingData, CorruptData: a file is not there, or is not what it must be.
    """
    train = config.train
    if train.pretrained is not None or configuration_file(train.model) is not None:
        _try(train.model, train.pretrained)


@lru_cache(maxsize=8)  # a sweep plans many runs with one model
def _try(model: str, pretrained: str | None) -> None:
    use_once(*create_model(model, 0, pretrained), model, pretrained)


def use_once(made: nn.Module, tokenizer: Tokenizer, name: str, pretrained: str | None) -> None:
    """Encode an image and a text with a model.

    Args:
        made: the model.
        tokenizer: its tokenizer.
        name: an open_clip model name, a configuration file, or a folder with one.
        pretrained: the weights it has; None: random ones.

    Raises:
        BadSetting: it fails, naming the files that say how it is.
        ClipbenchError: its features are not finite.
    """
    side = image_size_of(model_config(name))
    try:
        image_features(made, [np.zeros((side, side, 3), np.uint8)])
        text_features(made, tokenizer, ["a photo"])
    except ClipbenchError:  # which says itself what is wrong, as with weights that are not finite
        raise
    except Exception as error:  # whatever open_clip and torch make of a description, or of weights
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        files = [file for file in (configuration_file(name), pretrained) if file is not None]
        wrong = f" Mend {' or '.join(str(Path(file).resolve()) for file in files)}."
        raise BadSetting(
            f"The model {name!r} can be made, but not used: {reason.rstrip('.')}."
            f"{wrong if files else ''}"
        ) from error
