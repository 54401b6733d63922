"""Makes the helpers of this folder importable, and measures a checkpoint on held-out data."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import Bench, command

from clipbench.models.openclip import create_model, model_config, save_model

# Small enough that the 80,000 prompts of ImageNet take seconds.
TINY = {
    "embed_dim": 32,
    "vision_cfg": {
        "image_size": 32,
        "patch_size": 16,
        "width": 32,
        "head_width": 16,
        "layers": 1,
    },
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 1, "layers": 1},
}


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the weights of a tiny open_clip model, and the file of its configuration."""
    folder = tmp_path_factory.mktemp("model")
    config = folder / "tiny.json"
    config.write_text(json.dumps(TINY), encoding="utf-8")
    model, _ = create_model(str(config), 0)
    return save_model(model, model_config(str(config)), folder / "weights"), config


@pytest.fixture
def evaluate(checkpoint: tuple[Path, Path]) -> Callable[..., Any]:
    """Return a function that runs ``clipbench evaluate`` with a ``--eval`` and further options.

    It returns the result, or the exit status and the error, which must be one line.
    """
    weights, config = checkpoint

    def run(spec: str, *options: object) -> Any:
        line = ["evaluate", "--checkpoint", weights, "--model", config, "--json", "--quiet"]
        done = command(*line, "--eval", spec, *options)
        return (done.status, done.error) if done.status else done.result

    return run


@pytest.fixture(scope="module")
def bench(
    tmp_path_factory: pytest.TempPathFactory, checkpoint: tuple[Path, Path]
) -> Iterator[Bench]:
    """Return a folder for runs of the tiny model; a file's tests share its cache.

    Work is done in this process: results do not depend on it, and starting others takes seconds.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("clipbench.system.threads.processors", lambda: 1)
        yield Bench(tmp_path_factory.mktemp("bench"), checkpoint[1])
