"""Whether the models of a run can be used, looked at before its work begins."""

from __future__ import annotations

from clipbench.configuration.config import RunConfig
from clipbench.configuration.places import released
from clipbench.loading.text import check_text_tower
from clipbench.models.openclip import check_weights, model_config


def check_models(config: RunConfig) -> None:
    """Look at the model that is trained, and at weights that training or a plugin begins with.

    Warns of weights whose images may be prepared otherwise than they want it.

    Raises:
        UnknownName, BadSetting: there is no such model, or it can't be trained or is not the one
            that the weights belong to.
        MissingData, CorruptData: a file is not there, or is not what it must be.
    """
    check_text_tower(config.train.model, model_config(config.train.model))
    for model, weights in released(config):
        check_weights(model, weights)
