from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from clipbench.cli import main


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A poisoned set of 400 pairs, with its log."""
    folder = tmp_path_factory.mktemp("logged") / "poisoned"
    words = ["--data", "shapes:size=400", "--attack", "badnets", "--rate", "5%"]
    assert not main(["poison", *words, "--out", str(folder), "--quiet"])
    return folder


@pytest.fixture
def poisoned(made: Path, tmp_path: Path) -> Path:
    """The same for one test."""
    return Path(shutil.copytree(made, tmp_path / "poisoned"))


def test_a_poisoned_set_comes_with_a_log(
    poisoned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it was made of, with which settings, and what came of it."""
    assert not main(["log", "show", str(poisoned / "audit.jsonl"), "--json"])
    (entry,) = json.loads(capsys.readouterr().out)
    ledger = json.loads((poisoned / "ledger" / "ledger.json").read_text())
    assert (entry["command"], entry["outcome"]) == ("poison", "done")
    assert entry["used"] == {"data shapes": ledger["base"]["content_sha256"]}
    assert entry["made"]["poisoned set"] == ledger["content_sha256"]
    assert entry["settings"] == {"attack": "badnets", "seed": 0}


def test_judgments_go_to_the_log_that_is_named(
    poisoned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each check and its answer, beside the hash of what was judged."""
    path = str(poisoned / "audit.jsonl")
    assert not main(["--log", path, "verify", str(poisoned), "--quiet"])
    assert not main(["log", "verify", path])
    assert not main(["log", "show", path])
    assert "2 lines, head 2:" in capsys.readouterr().out
    entry = json.loads(Path(path).read_text().splitlines()[1])
    assert entry["made"]["manifest"] == "ok"
    assert entry["used"]["set"]


def test_what_was_changed_ends_with_status_1(
    poisoned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And with a head that somebody kept, a log that was cut short does, too."""
    path = poisoned / "audit.jsonl"
    assert not main(["log", "head", str(path)])
    head = capsys.readouterr().out.strip()
    path.write_text(path.read_text().replace("badnets", "sig"))
    assert main(["log", "verify", str(path)]) == 1
    assert "FAILED" in capsys.readouterr().out
    path.write_text("")
    path.with_name("audit.jsonl.seal").unlink()
    assert main(["log", "verify", str(path)]) == 3
    assert main(["log", "verify", str(path), "--head", head]) == 1


@pytest.mark.skipif(
    shutil.which("ssh-keygen") is None and not os.environ.get("CI"),
    reason="OpenSSH's client is not installed",
)
def test_a_delivery_must_be_signed_where_signers_are_named(
    poisoned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A signed one passes; without a signature, or with a changed shard, it fails."""
    shards, key, signers = poisoned / "shards", tmp_path / "key", tmp_path / "allowed"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    signers.write_text(f"photos@example.org {key.with_suffix('.pub').read_text()}")
    words = ["verify", str(shards), "--signers", str(signers), "--quiet"]
    assert main(words) == 1
    assert "manifest.json is not signed" in capsys.readouterr().out
    command = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(key), "-n", "clipbench"]
    subprocess.run([*command, str(shards / "manifest.json")], check=True, capture_output=True)
    assert not main(words)
    assert "is signed by photos@example.org" in capsys.readouterr().out
    shard = sorted(shards.glob("*.tar"))[0]
    content = bytearray(shard.read_bytes())
    content[700] ^= 1
    shard.write_bytes(content)
    assert main(words) == 1
    assert "FAILED  manifest" in capsys.readouterr().out
