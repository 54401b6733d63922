"""YAML of others: whatever it is, it is read or refused in a moment."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import pytest

from clipbench.configuration.request import KEYS, combine, read_yaml
from clipbench.configuration.resolution import resolve
from clipbench.errors import BadInput, BadSetting
from clipbench.files import yaml_files
from clipbench.sweep.grid import read_grid

ALIASES = "- &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"    - &{name} [{','.join(['*' + before] * 10)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGED = "a: &a {x: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{','.join(['*' + before] * 10)}]}}\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
BOMBS = {
    "aliases": f"train:\n  lr:\n    {ALIASES}",
    "merged": MERGED,
    "holds itself": "train: &a\n  lr: [*a]\n",
    "deep": f"train: {'[' * 50_000}",
    "deep in lines": "".join(f"{' ' * depth}a:\n" for depth in range(600)),
    "deep dashes": f"train: {'- ' * 5_000}",
    "long": f"grid: [{'x,' * 100_000}]",
    "large": f"# {'x' * (1 << 19)}\n",
    "long number": f"seed: {'9' * 100_000}",
    "long hexadecimal": f"seed: 0x{'f' * 100_000}",
    "long word": f"attack: {'x' * 200_000}",
    "epochs": "train: {epochs: 1000000000000}",
    "negative": "train: {batch-size: -1000000000000}",
    "size": "data: {name: shapes, size: 1000000000000000000}",
    "targets": "attack: {name: targeted, targets: 1000000000000}\npoisons: 3",
    "poisons": "attack: badnets\npoisons: 1000000000000000000",
    "not a number": "train: {lr: .nan}",
    "truth": "train: {epochs: true}",
}


def configured(file: Path) -> object:
    """Return the runs that a file asks for, whatever keys it has."""
    keys = (*"abcdefghi", *KEYS, "grid")
    return combine(read_yaml(file, keys)).configs()


@pytest.fixture(scope="module", autouse=True)
def _imported() -> None:
    """Import what any run takes, so that no test is timed for it."""
    resolve(data="shapes:size=300", attack="badnets", poisons=3)


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_in_a_moment(text: str, tmp_path: Path) -> None:
    """One line, under a second (two, for a busy machine)."""
    file = tmp_path / "bomb.yaml"
    file.write_text(text)
    started = time.process_time()
    with pytest.raises(BadInput) as caught:
        configured(file)
    assert time.process_time() - started < 2
    assert len(str(caught.value)) < 1_500


@pytest.mark.parametrize("name", ["aliases", "merged"])
def test_what_names_stand_for_is_not_made(name: str, tmp_path: Path) -> None:
    """A billion values are counted before any is: it takes no memory."""
    file = tmp_path / "bomb.yaml"
    file.write_text(BOMBS[name])
    tracemalloc.start()
    with pytest.raises(BadSetting, match="more than 12,000 values"):
        yaml_files.read(file)
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


def test_names_for_parts_of_a_grid_are_read(tmp_path: Path) -> None:
    """What people use them for stays well below what is refused."""
    file = tmp_path / "grid.yaml"
    file.write_text(
        "data: shapes:size=300\n"
        "grid:\n"
        "  - &first {attack: badnets, poisons: 3, seed: [0, 1]}\n"
        "  - {<<: *first, defense: clip}\n"
    )
    assert len(read_grid(file).configs) == 4


def test_a_large_grid_is_read(tmp_path: Path) -> None:
    """A thousand blocks, each with all that tells runs apart."""
    file = tmp_path / "grid.yaml"
    block = "  - {attack: badnets, poisons: 3, defense: clip, seed: 0}\n"
    file.write_text(f"grid:\n{block * 1000}")
    assert len(yaml_files.read(file)["grid"]) == 1000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("attack: evil.py", "attack in .* names 'evil.py'"),
        ("defense: [none, 'evil:DEFENSE']", "defense in .* names 'evil:DEFENSE'"),
        ("metric: evil.py:k=3", "metric in .* names 'evil.py'"),
        ("data: http://h/0.tar", "data in .*path names 'http://h/0.tar'"),
        ("trusted: 'pipe:cat 0.tar'", "trusted in .*path names 'pipe:cat 0.tar'"),
        ("eval: [{name: imagenet, root: 's3://b/x'}]", "root names 's3://b/x'"),
        ("train: {model: 'hf-hub:a/b'}", "model names 'hf-hub:a/b'"),
        ("train: {pretrained: 'https://h/w.pt'}", "pretrained names 'https://h/w.pt'"),
        ("grid: [{attack: evil.py}]", "attack of a block in .* names 'evil.py'"),
        ("grid: [{model: [RN50, 'hf-hub:a/b']}]", "model names 'hf-hub:a/b'"),
        ("exclude: [{attack: evil.py}]", "attack of a block in .* names 'evil.py'"),
        ("attack: 'adaptive:base=evil.py'\npoisons: 3", "attack in .*base names 'evil.py'"),
    ],
)
def test_a_file_runs_and_fetches_nothing_that_nobody_typed(
    text: str, said: str, tmp_path: Path
) -> None:
    """Key and option are told; a file may be somebody else's."""
    file = tmp_path / "grid.yaml"
    file.write_text(text)
    with pytest.raises(BadSetting, match=f"(?s){said}.*--allow ") as caught:
        read_grid(file)
    assert str(file) in str(caught.value)


def test_a_file_may_name_files_of_this_machine_as_data_and_weights(tmp_path: Path) -> None:
    """That is what it is for; they are read and not run."""
    file = tmp_path / "run.yaml"
    file.write_text(
        "data: /data/crawl\neval: 'imagenet:root=/data/val'\ntrain: {pretrained: w.safetensors}"
    )
    assert read_yaml(file)["data"] == "/data/crawl"
