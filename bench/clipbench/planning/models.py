"""Whether the models of a run can be used, looked at before its work begins."""

from __future__ import annotations

from functools import lru_cache

from clipbench.configuration.config import RunConfig
from clipbench.configuration.places import released
from clipbench.loading.text import check_text_tower
from clipbench.models.openclip import (
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
    """Make the model of a run, where a file describes it or has its weights, and drop it.

    What is wrong with such a file would else be told when the pairs are made and poisoned.

    Raises:
        BadSetting: it can't be made.
        MissingData, CorruptData: a file is not there, or is not what it must be.
    """
    train = config.train
    if train.pretrained is not None or configuration_file(train.model) is not None:
        _try(train.model, train.pretrained)


@lru_cache(maxsize=8)  # a sweep plans many runs with one model
def _try(model: str, pretrained: str | None) -> None:
    create_model(model, 0, pretrained)
