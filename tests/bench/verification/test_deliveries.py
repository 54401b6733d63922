"""Signed deliveries: who signed each folder, and refusals in one line."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from clipbench.cli import main
from clipbench.errors import ClipbenchError, MissingData, Unsigned
from clipbench.files.json_files import sha256_file
from clipbench.verification import deliveries
from clipbench.verification.deliveries import Signed, verified_deliveries
from clipbench_datasets.shapes import Shapes

if shutil.which("ssh-keygen") is None and not os.environ.get("CI"):  # CI installs it
    pytest.skip("OpenSSH's client is not installed", allow_module_level=True)


def key(path: Path) -> str:
    """Make a key pair, and return its public part as a file of allowed signers has it."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
    subprocess.run(command, check=True)
    return " ".join(path.with_suffix(".pub").read_text().split()[:2])


def sign(key: Path, folder: Path) -> None:
    (folder / "manifest.json.sig").unlink(missing_ok=True)
    command = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(key), "-n", "clipbench"]
    subprocess.run([*command, str(folder / "manifest.json")], check=True, capture_output=True)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with two signed deliveries, a and b, and who may sign."""
    lines = []
    for number, name in enumerate("ab"):
        Shapes(size=20, image_size=16, seed=number).write_to(tmp_path / name, workers=0)
        lines.append(f"{name}@example.org {key(tmp_path / f'key_{name}')}\n")
        sign(tmp_path / f"key_{name}", tmp_path / name)
    (tmp_path / "signers").write_text("".join(lines))
    return tmp_path


def refusal(place: Path, data: str) -> str:
    """Return why a delivery is refused, in one line."""
    with pytest.raises(ClipbenchError) as refused:
        verified_deliveries(data, place / "signers")
    assert refused.value.exit_status == 2
    text = str(refused.value)
    assert "\n" not in text
    return text


def test_every_folder_of_a_delivery_is_verified(place: Path) -> None:
    """And who signed it is told by folder."""
    a, b = place / "a", place / "b"
    signed = verified_deliveries(f"{a}::{b}", place / "signers")
    assert signed.by == {str(a): "a@example.org", str(b): "b@example.org"}
    tars = [a / "00000.tar", b / "00000.tar"]
    assert signed.shards == {path: sha256_file(path) for path in tars}
    alone = verified_deliveries(a / "00000.tar", place / "signers")
    assert alone.by == {str(a): "a@example.org"}


def test_one_folder_that_is_not_signed_is_enough_to_refuse(place: Path) -> None:
    """Without a signature, and without a manifest."""
    data = f"{place / 'a'}::{place / 'b'}"
    (place / "b" / "manifest.json.sig").unlink()
    assert "b/manifest.json is not signed" in refusal(place, data)
    (place / "b" / "manifest.json").unlink()
    assert "b is not signed: it has no manifest.json" in refusal(place, data)


def test_a_wrong_signature_is_refused(place: Path) -> None:
    """That of another delivery, by the same signer."""
    sign(place / "key_a", place / "b")
    shutil.copy(place / "b" / "manifest.json.sig", place / "a" / "manifest.json.sig")
    assert "does not fit manifest.json" in refusal(place, str(place / "a"))


def test_an_unknown_key_is_refused(place: Path) -> None:
    """A sound signature of somebody else."""
    key(place / "other")
    sign(place / "other", place / "a")
    assert "does not allow" in refusal(place, str(place / "a"))


def test_an_expired_key_is_refused(place: Path) -> None:
    """With the time that ssh-keygen gives."""
    name, rest = (place / "signers").read_text().splitlines()[0].split(" ", 1)
    (place / "signers").write_text(f'{name} valid-before="20200101" {rest}\n')
    assert "expired" in refusal(place, str(place / "a"))


def test_a_changed_shard_is_refused(place: Path) -> None:
    """One bit, with size and time as before."""
    shard = place / "a" / "00000.tar"
    before, content = shard.stat(), bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.unlink()  # it may be linked
    shard.write_bytes(content)
    os.utime(shard, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "00000.tar is not the one that was signed" in refusal(place, str(place / "a"))


def test_a_shard_that_the_manifest_does_not_list_is_refused(place: Path) -> None:
    """Whoever adds one beside signed shards has not signed it."""
    shutil.copy(place / "b" / "00000.tar", place / "a" / "00001.tar")
    assert "00001.tar is not signed" in refusal(place, str(place / "a"))
    (place / "a" / "00000.tar").rename(place / "a" / "00001.tar")
    assert "00001.tar is not signed" in refusal(place, str(place / "a"))


def test_a_signed_file_that_is_no_manifest_signs_nothing(place: Path) -> None:
    """Of another program, say."""
    (place / "a" / "manifest.json").write_text('{"shards": []}')
    sign(place / "key_a", place / "a")
    with pytest.raises(Unsigned, match="is no manifest of shards"):
        verified_deliveries(place / "a", place / "signers")


def test_without_a_file_of_signers_nobody_may_sign(place: Path) -> None:
    """It is named."""
    with pytest.raises(MissingData, match="no file of allowed signers"):
        verified_deliveries(place / "a", place / "nobody")


def test_what_is_opened_must_be_what_was_verified(place: Path) -> None:
    """Not another shard under its name, none beside it, and none less."""
    tar, beside = place / "a" / "00000.tar", place / "a" / "00001.tar"
    signed = verified_deliveries(place / "a", place / "signers")
    signed.check({tar: sha256_file(tar)})
    other = sha256_file(place / "b" / "00000.tar")
    for opened, why in (
        ({tar: other}, f"{tar} is not the one whose signature was checked"),
        ({tar: sha256_file(tar), beside: other}, f"{beside} is not the one whose signature"),
        ({}, f"{tar} was taken away after its signature was checked"),
    ):
        with pytest.raises(Unsigned, match=re.escape(why)) as refused:
            signed.check(opened)
        assert refused.value.exit_status == 2


def test_a_shard_that_is_swapped_after_it_was_verified_is_not_audited(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, status 2; before the shards are read."""

    def and_swapped(data: str | Path, signers: Path) -> Signed:
        signed = verified_deliveries(data, signers)
        (place / "a" / "00000.tar").write_bytes((place / "b" / "00000.tar").read_bytes())
        for left in ("manifest.json", "manifest.json.sig"):
            (place / "a" / left).write_bytes((place / "b" / left).read_bytes())
        return signed

    monkeypatch.setattr(deliveries, "verified_deliveries", and_swapped)
    words = ["audit", "--data", str(place / "a"), "--signers", str(place / "signers"), "-q"]
    words += ["--out", str(place / "out"), "--cache", str(place / "cache")]
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "is not the one whose signature was checked" in line
    assert not (place / "out" / "inventory").exists()


def test_the_log_of_an_audit_says_who_signed_whatever_comes_of_it(place: Path) -> None:
    """Signatures and the plan are in its line, too, and not only what comes after them."""
    few, out = place / "c", place / "out"
    Shapes(size=10, image_size=16, seed=2).write_to(few, workers=0)
    sign(place / "key_a", few)
    out.mkdir()
    words = ["audit", "--data", str(few), "--signers", str(place / "signers"), "-q"]
    words += ["--out", str(out), "--cache", str(place / "cache")]
    assert main(words) == 2
    (line,) = map(json.loads, (out / "audit.jsonl").read_text().splitlines())
    assert line["outcome"].startswith("failed: ")
    assert "needs at least 20" in line["outcome"]
    assert "delivery of a@example.org" in line["used"]
    assert line["settings"]["signed"] is True
