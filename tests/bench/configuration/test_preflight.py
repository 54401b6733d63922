"""What is refused in about a second: before torch is imported, and before the data are opened."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from clipbench.configuration import preflight
from clipbench.configuration.request import Request
from clipbench.errors import BadInput, BadSetting, MissingData
from clipbench.models.architectures import architecture, architecture_names

# All of these lines in one process, which has not imported anything heavy at its end.
LINES = """
import sys
from clipbench.cli import main
for line in sys.stdin:
    print(main(line.split()), flush=True)
print([name for name in ("torch", "open_clip", "pandas", "sklearn", "timm") if name in sys.modules])
"""
REFUSED = (
    ("run --data shapes --model ViT-B-33", "Did you mean 'ViT-B-32'"),
    ("run --data shapes --pretrained {0}/absent.pt", "There is no checkpoint {0}/absent.pt"),
    ("run --data {0}/nowhere", "There is no file or folder {0}/nowhere (shards.path)"),
    ("run --data csv:path={0}/no.csv", "There is no file or folder {0}/no.csv (csv.path)"),
    (
        "run --data shapes --eval imagenet:root={0}/nowhere",
        "{0}/nowhere (imagenet.root)",
    ),
    (
        "run --data shapes --trusted {0}/nowhere",
        "There is no file or folder {0}/nowhere (shards.path)",
    ),
    ("run --data shapes --metric linear_prob", "Did you mean 'linear_probe'"),
    ("run --defense safclip", "Did you mean 'safeclip'"),
    ("run --defense {0}/absent.py", "There is no plugin file {0}/absent.py"),
    ("run --data shapes --epochs 0", "train.epochs must be from 1 to 100,000"),
    ("run --attack badnets --rate 1", "100%: no pair would be clean. Write 1%"),
    ("run --data shapes --out {0}/file/runs", "Folder {0}/file/runs can't be written"),
    ("run --data shapes --cache {0}/file/c", "Folder {0}/file/c can't be written"),
    ("poison --attack badnets --rate 1% --out {0}/file/p", "Folder {0}/file/p can't be written"),
    ("train --shards {0}/nowhere", "There is no file or folder {0}/nowhere"),
    ("train --shards {0} --out {0}/file/runs", "Folder {0}/file/runs can't be written"),
    ("detect --method dao --shards {0}/nowhere", "There is no file or folder {0}/nowhere"),
    ("detect --method dao --out {0}/file/found", "Folder {0}/file/found can't be written"),
    ("sweep {0}/grid.yaml", "Did you mean 'ViT-B-32'"),
)


def test_what_is_mistyped_is_refused_without_torch(tmp_path: Path) -> None:
    """Names, paths, ranges and folders to write into are looked at before anything heavy."""
    (tmp_path / "file").touch()
    (tmp_path / "grid.yaml").write_text("model: ViT-B-33\n")
    lines = [given.format(tmp_path) for given, _ in REFUSED]
    done = subprocess.run(
        [sys.executable, "-c", LINES],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=True,
    )
    said = done.stderr.splitlines()
    assert done.stdout.splitlines() == [*("2" for _ in REFUSED), "[]"], done.stderr
    for error, (line, part) in zip(said, REFUSED, strict=True):
        assert error.startswith("clipbench: error: "), error
        assert part.format(tmp_path) in error, line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "grid.yaml"]


@pytest.mark.parametrize(
    "data",
    [
        "pipe:cat {0}/shards.tar",
        "https://example.org/a.tar",
        "shards:path={0}/0{{0..3}}.tar",
        "{0}::{0}",
        "shapes",
    ],
)
def test_what_only_the_data_set_can_tell_is_left_to_it(tmp_path: Path, data: str) -> None:
    """Addresses, commands and patterns; and each part of a list that is there."""
    given = Request(data=data.format(tmp_path), cache=tmp_path / "cache")
    preflight.check(given, outputs=[tmp_path / "a" / "b"])
    assert list(tmp_path.iterdir()) == []


def test_one_part_that_is_missing_is_named(tmp_path: Path) -> None:
    """Of several shards, the one that is not there."""
    data = f"shards:path={tmp_path}::{tmp_path}/absent"
    with pytest.raises(MissingData, match=r"no file or folder .*/absent \(shards\.path\); check"):
        preflight.check(Request(data=data, cache=tmp_path))


def test_a_device_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """No GPU, or one too many; which takes torch, and nothing else."""
    absent = "cuda:99" if torch.cuda.is_available() else "cuda"
    with pytest.raises(BadInput, match="cuda"):
        preflight.check(Request(train={"device": absent}, cache=tmp_path))


def test_models_by_name_are_those_of_open_clip() -> None:
    """And clipbench's own, with the same descriptions, read without it."""
    from clipbench.models.openclip import open_clip  # noqa: PLC0415 - heavy

    module = open_clip()
    names = architecture_names()
    assert set(names) <= set(module.list_models())
    assert {"RN50", "ViT-B-32", "shapes-32"} <= set(names)
    assert all(architecture(name) == module.get_model_config(name) for name in names)
    assert architecture("ViT-B-33") is None


def test_towers_are_compiled_only_where_there_is_a_compiler(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is missed in a second, not after the data are poisoned."""
    request = Request(train={"compile": True, "device": "cpu"}, cache=tmp_path)
    monkeypatch.setattr(preflight, "_NVIDIA", tmp_path / "no driver")
    monkeypatch.setenv("CXX", sys.executable)  # any program that is there
    preflight.check(request)
    monkeypatch.setenv("CXX", str(tmp_path / "absent"))
    with pytest.raises(BadSetting, match="compile needs a C\\+\\+ compiler, and there is no"):
        preflight.check(request)
    preflight.check(Request(train={"device": "cpu"}, cache=tmp_path))


def test_a_package_that_would_be_missed_after_the_training_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorBoard's curves are written when the training is over."""
    request = Request(train={"tensorboard": True}, cache=tmp_path)
    preflight.check(request)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(BadSetting, match="tensorboard needs the package of that name"):
        preflight.check(request)
    preflight.check(Request(cache=tmp_path))
