from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from as_json import record_in
from changed import changed

from clipbench.errors import BadSetting, ClipbenchError, CorruptData, MissingData
from clipbench.evaluation.outcomes import pack
from clipbench.results.result import checked, config_hash, environment, read_result, write_result

Result = dict[str, Any]
MakeResult = Callable[..., Result]
SHARE = {"value": 0.5, "k": 1, "n": 2, "low": 0.0, "high": 1.0}


def names(folder: Path) -> list[str]:
    """Return the names of everything in a folder."""
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def result(make_result: MakeResult) -> Result:
    """Return a result with every optional field in use."""
    history = [
        {"epoch": 0, "lr": 2e-3, "loss": {"train": 4.2, "warm-up": None}},
        {
            "epoch": 1,
            "safe_set_size": 10000,
            "poisons_in_safe_set": 0,
            "score_auroc": 0.99,
            "score_auprc": 0.7,
            "attack_success": make_result()["metrics"]["attack_success"],
            "zeroshot_top1": make_result()["metrics"]["zeroshot_top1"],
        },
    ]
    metrics = {"attack_margin": -0.3, "score_auroc": 0.98, "mine": 2}
    return make_result(defense="safeclip", history=history, metrics=metrics)


def test_results_are_valid(result: Result, make_result: MakeResult) -> None:
    """Full results, clean ones, ones without training and ones with more fields all pass."""
    checked(result)
    checked(make_result(attack="none"))
    checked(make_result(seed=None) | {"train": None, "exposures": None})
    checked(changed(result, "train.energy_joules", 12.5) | {"remarks": ["of a later version"]})
    checked(changed(result, "model.image_size", [224, 224]))
    checked(changed(result, "created", "2026-03-01T12:00:00Z"))
    checked(changed(result, "metrics.attack_margin", {"value": 1.0, "k": None, "n": None}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schema", "clipbench.result/2"),
        ("schema", ...),
        ("id", "abc"),
        ("id", "0123456789abcdef"),
        ("created", "yesterday"),
        ("created", 17),
        ("status", "started"),
        ("config", []),
        ("config.train.epochs", 21),
        ("config_sha256", "0" * 64),
        ("config_sha256", ...),
        ("data.name", ""),
        ("data.parameters", None),
        ("data.pairs", 20000.0),
        ("data.pairs", -1),
        ("data.content_sha256", "XYZ"),
        ("data.evaluation.classes_sha256", 3),
        ("data.evaluation", ...),
        ("attack.name", 3),
        ("attack.rate", 1.5),
        ("attack.rate", "0.8%"),
        ("attack.count", 0),
        ("attack.count", True),
        ("attack.mode", "append"),
        ("attack.per_target", float("inf")),
        ("attack.ledger_sha256", "0" * 63),
        ("defense.parameters", 5),
        ("defense", "safeclip"),
        ("model.parameters", {}),
        ("model.image_size", "32"),
        ("model.image_size", []),
        ("seed", 1.5),
        ("seed", ...),
        ("train.seconds", -1),
        ("train.seconds", float("nan")),
        ("train.seconds", 10**400),
        ("train.device", ...),
        ("train.peak_memory_bytes", "1 GB"),
        ("exposures.mean", 21),
        ("exposures.min", None),
        ("metrics", []),
        ("metrics.attack_success.k", 17),
        ("metrics.attack_success.k", -1),
        ("metrics.attack_success.value", 0.9374),
        ("metrics.attack_success.low", 0.7),
        ("metrics.attack_success.high", ...),
        ("metrics.attack_success", {"value": 0.9375}),
        ("metrics.attack_success", 0.9375),
        ("metrics.zeroshot_top1", None),
        ("metrics.score_auroc.value", None),
        ("metrics.score_auroc.value", float("nan")),
        ("metrics.mine", SHARE),
        ("history", None),
        ("history.0.epoch", 1.0),
        ("history.1.epoch", 0),
        ("history.1.safe_set_size", 0.5),
        ("history.1.poisons_in_safe_set", 10001),
        ("history.1.score_auroc", 1.01),
        ("history.1.attack_success.n", 17),
        ("history.1.zeroshot_top1", 0.8),
        ("history.0.loss", 4.2),
        ("history.0.loss.train", "4.2"),
        ("environment.clipbench", ...),
    ],
)
def test_every_kind_of_damage_is_named(result: Result, field: str, value: Any) -> None:
    """A wrong or missing field is refused in one line that names file and field."""
    wrong = changed(result, field, value)
    named = field.replace(".0.", "[0].").replace(".1.", "[1].")
    if field.startswith("config."):
        named = "config_sha256"  # the hash shows that the configuration was touched
    elif "attack_success." in field or "loss." in field:
        named = named.rpartition(".")[0]

    with pytest.raises(CorruptData) as caught:
        checked(wrong, Path("runs/x/result.json"))

    message = str(caught.value)
    assert message.startswith("runs/x/result.json is no valid result:")
    assert named in message
    assert "\n" not in message
    assert len(message) < 400


@pytest.mark.parametrize("value", [None, [], "result", 3, {}])
def test_other_things_are_no_results(value: Any) -> None:
    """Anything but an object with the fields of a result is refused."""
    with pytest.raises(CorruptData, match="This result is no valid result"):
        checked(value)


def test_clean_data_have_no_poison(make_result: MakeResult) -> None:
    """Attack none with a count of poisons contradicts itself."""
    with pytest.raises(CorruptData, match=r"attack\.count"):
        checked(changed(make_result(attack="none"), "attack.count", 3))


def test_write_and_read(tmp_path: Path, result: Result) -> None:
    """What is written is read back equal, and writing twice gives the same bytes."""
    path = write_result(tmp_path / "new" / "result.json", result)
    first = path.read_bytes()
    write_result(path, record_in(path))

    assert record_in(path) == result
    assert path.read_bytes() == first
    assert names(path.parent) == ["result.json"]


def test_write_refuses_and_leaves_the_old_file(tmp_path: Path, result: Result) -> None:
    """A wrong result never replaces a right one, whether JSON can say it or not."""
    path = write_result(tmp_path / "result.json", result)
    before = path.read_bytes()

    with pytest.raises(ClipbenchError, match=r"not written.*metrics\.attack_success") as caught:
        write_result(path, changed(result, "metrics.attack_success.k", 3))
    assert caught.value.exit_status == 1  # the input was right; what was made of it is not
    with pytest.raises(BadSetting):
        write_result(path, changed(result, "environment.where", tmp_path))
    with pytest.raises(BadSetting):
        write_result(path, changed(result, "train.seconds", float("nan")))

    assert path.read_bytes() == before
    assert names(tmp_path) == ["result.json"]


def test_write_failure_is_one_sentence(tmp_path: Path, result: Result) -> None:
    """Where the file system refuses, the error names the file and leaves nothing behind."""
    (tmp_path / "taken").mkdir()
    (tmp_path / "file").write_text("in the way")

    for path in (tmp_path / "taken", tmp_path / "file" / "result.json"):
        with pytest.raises(ClipbenchError, match="Could not write") as caught:
            write_result(path, result)
        assert str(path) in str(caught.value)
    assert names(tmp_path) == ["file", "taken"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"schema": "clipbench.res',
        b"\xff\xfe\x00",
        b'{"value": NaN}',
        b'{"value": -Infinity}',
        b"[" * 100_000,
        b"1" * 10_000,
    ],
)
def test_damaged_files_are_named(tmp_path: Path, content: bytes) -> None:
    """A truncated, binary, non-JSON or hostile file is an error that names it."""
    path = tmp_path / "result.json"
    path.write_bytes(content)

    with pytest.raises(CorruptData, match=r"result\.json"):
        read_result(path)


def test_absent_file(tmp_path: Path) -> None:
    """A file that is not there is missing, not damaged."""
    with pytest.raises(MissingData, match=r"none\.json"):
        read_result(tmp_path / "none.json")


def test_config_hash() -> None:
    """The hash ignores the order of keys and tuples against lists, and sees every value."""
    config = {"b": (1, 2), "a": {"y": 1.5, "x": None}, 10: 1, 9: 2}
    same = {"9": 2, "10": 1, "a": {"x": None, "y": 1.5}, "b": [1, 2]}

    assert config_hash(config) == config_hash(same)
    assert config_hash(config) != config_hash({**same, "b": [1, 3]})
    assert config_hash({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    for wrong in ({"a": float("nan")}, {"a": object()}):
        with pytest.raises(BadSetting):
            config_hash(wrong)


def test_environment_is_json_and_true() -> None:
    """Versions are those of the interpreter, and everything fits into a result."""
    found = json.loads(json.dumps(environment()))

    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["torch"].startswith("2.")
    assert found["open_clip"]
    assert found["hardware"]["cores"] >= 1
    assert found["hardware"]["cpu"]


def test_reading_results_imports_no_heavy_package() -> None:
    """Results are read, checked and described without torch, pandas or matplotlib."""
    code = (
        "import sys, clipbench.results.result as r, clipbench.results.store\n"
        "assert r.environment()['hardware']['gpus'] == []\n"
        "print({'torch', 'pandas', 'matplotlib', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"


def test_outcomes_must_be_those_of_the_count(make_result: MakeResult, tmp_path: Path) -> None:
    """Bits that give another k than the share says are refused."""
    result = make_result()
    success = result["metrics"]["attack_success"]
    won = np.zeros(success["n"], dtype=bool)
    won[: success["k"]] = True
    success["outcomes"] = pack(won)
    checked(result, tmp_path)
    won[success["k"]] = True
    success["outcomes"] = pack(won)
    with pytest.raises(CorruptData, match="outcomes"):
        checked(result, tmp_path)


@pytest.mark.parametrize("flags", ["late", [1], [""], {}])
def test_flags_are_a_list_of_texts(make_result: MakeResult, flags: Any) -> None:
    """They are printed, so they must be what prints."""
    checked({**make_result(), "flags": ["no clean control"]})
    with pytest.raises(CorruptData, match="flags"):
        checked({**make_result(), "flags": flags})


def test_a_result_carries_the_hash_of_all_else_in_it(result: Result, tmp_path: Path) -> None:
    """A number that was changed by hand or by a disk is refused; rows of before have none."""
    path = write_result(tmp_path / "result.json", result)
    written = json.loads(path.read_text())
    assert len(written["sha256_of_rest"]) == 64
    assert record_in(path) == result  # of which it is no part
    written["train"]["seconds"] += 1
    path.write_text(json.dumps(written))
    with pytest.raises(CorruptData, match=r"sha256_of_rest must be the hash of all else"):
        read_result(path)
    del written["sha256_of_rest"]
    path.write_text(json.dumps(written))
    assert record_in(path) == written
