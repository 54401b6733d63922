"""A model from a file is used once before a run's work begins."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from small_runs import TRAIN, Place, config_of

from clipbench.errors import BadSetting

TEXT = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
VISION = {"image_size": 32, "layers": 1, "width": 32, "patch_size": 16, "head_width": 16}


def described(path: Path, size: Any = 32, **text: Any) -> Path:
    """Write the description of a small model, and return its file."""
    vision = {**VISION, "image_size": size}
    config = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": {**TEXT, **text}}
    path.write_text(json.dumps(config))
    return path


def test_a_model_that_can_be_made_and_not_used_is_refused(place: Place, tmp_path: Path) -> None:
    """Of a token more than it reads open_clip makes no error before the first caption."""
    path = described(tmp_path / "net.json", embed_cls=True)
    plan = place.plan(config_of(train={**TRAIN, "model": str(path)}))
    told = rf"'{re.escape(str(path))}' can be made, but not used: .* Mend {re.escape(str(path))}\."
    with pytest.raises(BadSetting, match=told):
        plan.try_model()


@pytest.mark.parametrize("size", [32, [32, 32]])
def test_a_model_that_can_be_used_is_not(place: Place, tmp_path: Path, size: Any) -> None:
    """The same without that token, also where it gives height and width, which open_clip takes."""
    path = described(tmp_path / "net.json", size)
    place.plan(config_of(train={**TRAIN, "model": str(path)})).try_model()
