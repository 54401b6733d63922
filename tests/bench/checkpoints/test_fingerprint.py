"""What a training is known by: configuration, set and trusted pairs, and nothing of the attack."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import clipbench_datasets
import clipbench_defenses
from clipbench.checkpoints import fingerprint
from clipbench.checkpoints.fingerprint import fingerprint_of, shared_stages
from clipbench.checkpoints.stages import SharedStages
from clipbench.configuration.resolution import resolve
from clipbench.contracts import Stage
from clipbench.importing.usable import without
from clipbench.parallel.bench import Bench
from clipbench.plugins import codes
from clipbench.shards.reader import ShardSet


class Known:
    """A set of which the hash of its pairs alone is asked."""

    def __init__(self, content: str) -> None:
        self._content = content

    def pairs_sha256(self) -> str:
        return self._content


def test_other_trusted_pairs_are_another_training() -> None:
    """A folder whose trusted pairs changed is not taken for the training that used the old ones."""
    config = resolve(defense="cleanclip")
    sets: list[Any] = [Known("set"), Known("trusted"), Known("other")]
    assert fingerprint_of(config, sets[:2]) == fingerprint_of(
        config, [Known("set"), Known("trusted")]
    )  # type: ignore[list-item]
    assert fingerprint_of(config, sets[:2]) != fingerprint_of(config, [sets[0], sets[2]])
    assert fingerprint_of(config, sets[:1]) != fingerprint_of(config, sets[:2])


def test_other_pairs_of_the_same_shards_are_another_training(clean: ShardSet) -> None:
    """As where a new version of the image library takes one picture more than that before it."""
    config = resolve(on_error="skip")
    found = {
        fingerprint_of(config, [pairs])
        for pairs in (clean, without(clean, [7], None), without(clean, [7, 31], None))
    }
    assert len(found) == 3
    assert clean.pairs_sha256() == clean.content_sha256()


def test_the_attack_is_no_part_of_it() -> None:
    """Training knows the pairs, not how they came about."""
    clean = resolve(defense="clip")
    attacked = resolve(defense="clip", attack="badnets", poisons=4)
    sets: list[Any] = [Known("set")]
    assert fingerprint_of(clean, sets) == fingerprint_of(attacked, sets)


def test_another_number_format_is_another_training() -> None:
    """So a checkpoint in fp32 is refused by a training in bf16, and a record is not taken."""
    sets: list[Any] = [Known("set")]
    found = {
        fingerprint_of(resolve(data="shapes:size=200", train={"precision": precision}), sets)
        for precision in ("fp32", "tf32", "bf16")
    }
    assert len(found) == 3


# --------------------------------------------------------------------------- shared stages


IGNORED = shutil.ignore_patterns("__pycache__", "cli", "leaderboard")


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """No hash of code that a test edited stays for the tests behind it."""
    yield
    fingerprint._program.cache_clear()
    codes.beside.cache_clear()


def key(tmp_path: Path, defense: str = "finetune", **train: Any) -> str:
    """Return what the first stage of a defense is kept by."""
    return stages(tmp_path, defense, **train).key(Stage(1, like="clip"))


def stages(tmp_path: Path, defense: str = "finetune", **train: Any) -> SharedStages:
    """Return the stages that a training of a defense shares with others."""
    fingerprint._program.cache_clear()
    codes.beside.cache_clear()
    used: Any = SimpleNamespace(vocabulary=SimpleNamespace(used=np.arange(3)))
    config = resolve(data="shapes:size=200", defense=defense, train=train)
    pairs: Any = Known("set")
    return shared_stages(config, pairs, used, Bench(tmp_path))


def test_defenses_of_one_package_share_a_stage(tmp_path: Path) -> None:
    """That is what it is kept for; today as tomorrow, in another folder, too."""
    assert key(tmp_path) == key(tmp_path / "elsewhere", "cleanclip") == key(tmp_path, "dao")


def test_a_stage_is_of_its_number_format(tmp_path: Path) -> None:
    """What was trained in bf16 is not taken by a training in fp32."""
    assert key(tmp_path, precision="bf16") != key(tmp_path, precision="fp32")


@pytest.mark.parametrize(
    ("what", "instead"),
    [
        ("clipbench.system.arithmetic.processor", lambda: "AMD EPYC, AVX2"),
        ("clipbench.system.arithmetic.instructions", lambda: "amx_bf16"),
        ("clipbench.checkpoints.fingerprint.version_of", lambda name: f"{name} 99"),
    ],
)
def test_a_stage_is_of_its_machine(
    what: str, instead: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another processor, or the same name with other instructions; another numpy or timm."""
    here = key(tmp_path)
    monkeypatch.setattr(what, instead)
    assert key(tmp_path) != here


def test_the_code_of_a_training_is_known_apart_from_its_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training that goes on after an upgrade says so, and so does one on another processor."""
    here = stages(tmp_path).code
    monkeypatch.setattr("clipbench.system.arithmetic.processor", lambda: "AMD EPYC, AVX2")
    assert stages(tmp_path, "dao", precision="bf16").code == here
    monkeypatch.setattr("clipbench.checkpoints.fingerprint.version_of", lambda name: f"{name} 99")
    assert stages(tmp_path).code != here


def test_a_stage_is_of_how_libraries_are_told_to_compute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library multiplies float32 as bf16 where its variable says so."""
    here = key(tmp_path)
    monkeypatch.setenv("ONEDNN_DEFAULT_FPMATH_MODE", "BF16")
    assert key(tmp_path) != here


@pytest.mark.parametrize(
    "name", ["loading/decoded.py", "rng.py", "toolkit/losses.py", "model_configs/MODEL"]
)
def test_a_stage_is_of_the_code_that_makes_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decoding, drawing and training; a stage that other code made is trained again."""
    here = key(tmp_path)
    copy = tmp_path / "clipbench"
    shutil.copytree(fingerprint.PACKAGE, copy, ignore=IGNORED)
    monkeypatch.setattr(fingerprint, "PACKAGE", copy)
    assert key(tmp_path) == here
    file = next(copy.glob("model_configs/*.json")) if name.endswith("MODEL") else copy / name
    file.write_bytes(file.read_bytes() + b"\n")
    assert key(tmp_path) != here


def test_a_defense_of_another_author_shares_nothing_with_the_bench(tmp_path: Path) -> None:
    """Its first stage says that it is like `clip`, and may be anything; a change makes another."""
    file = tmp_path / "own.py"
    file.write_text(
        "from dataclasses import dataclass\n"
        "from clipbench.contracts import DefenseRun, Stage, StatelessRun\n"
        "from clipbench_defenses._plain import clip_phase\n"
        "class Run(StatelessRun):\n"
        "    stages = (Stage(1, like='clip'),)\n"
        "@dataclass(frozen=True)\n"
        "class Own:\n"
        "    def start(self, facts):\n"
        "        return Run(clip_phase())\n"
        "DEFENSE = Own\n"
    )
    own = key(tmp_path, str(file))
    assert own != key(tmp_path)
    assert own == key(tmp_path, str(file))
    other = tmp_path / "other" / "own.py"
    other.parent.mkdir()
    other.write_text(file.read_text() + "# changed\n")
    assert key(tmp_path, str(other)) != own


@pytest.mark.parametrize(
    ("package", "name"),
    [(clipbench_defenses, "_plain.py"), (clipbench_datasets, "_shapes_captions.py")],
)
def test_a_stage_is_of_all_code_beside_its_plugins(
    package: ModuleType, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No plugin is named after `_plain.py`, which is the shared stage, nor after the synonyms."""
    here = key(tmp_path)
    copy = tmp_path / package.__name__
    shutil.copytree(package.__path__[0], copy)
    monkeypatch.setattr(package, "__path__", [str(copy)])
    assert key(tmp_path) == here
    with (copy / name).open("a") as file:
        file.write("# other")
    assert key(tmp_path) != here


def test_a_configuration_of_old_is_of_the_precision_that_it_gets_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its `auto` is fp32 on one machine and bf16 on another: two trainings, two checkpoints."""
    config = resolve(data="shapes:size=200")
    old = replace(config, train=replace(config.train, precision="auto"))
    sets: list[Any] = [Known("set")]
    found = []
    for precision in ("fp32", "bf16"):
        monkeypatch.setattr(fingerprint, "settled", lambda *_, told=precision: told)
        found.append(fingerprint_of(old, sets))
    assert found[0] != found[1]
