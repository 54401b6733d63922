from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from clipbench.custody.signatures import Signers
from clipbench.errors import MissingData, Unsigned

if shutil.which("ssh-keygen") is None and not os.environ.get("CI"):  # CI installs it
    pytest.skip("OpenSSH's client is not installed", allow_module_level=True)


def key(folder: Path, name: str) -> str:
    """Make a key pair and return its public part as a file of allowed signers has it."""
    path = folder / name
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
    subprocess.run(command, check=True)
    return " ".join(path.with_suffix(".pub").read_text().split()[:2])


def sign(folder: Path, name: str, file: Path, namespace: str = "clipbench") -> None:
    file.with_name(f"{file.name}.sig").unlink(missing_ok=True)
    command = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(folder / name), "-n", namespace]
    subprocess.run([*command, str(file)], check=True, capture_output=True)


@pytest.fixture
def public(tmp_path: Path) -> str:
    """The supplier's public key."""
    return key(tmp_path, "supplier")


@pytest.fixture
def manifest(tmp_path: Path, public: str) -> Path:  # noqa: ARG001 - the key lies there
    """A manifest that the supplier signed."""
    path = tmp_path / "manifest.json"
    path.write_text('{"shards": []}')
    sign(tmp_path, "supplier", path)
    return path


def allowed(folder: Path, text: str) -> Signers:
    path = folder / "allowed"
    path.write_text(f"{text}\n")
    return Signers(path)


def test_a_signature_tells_who_signed(tmp_path: Path, manifest: Path, public: str) -> None:
    """By the name that the file of allowed signers gives the key."""
    assert allowed(tmp_path, f"photos@example.org {public}").signer_of(manifest) == (
        "photos@example.org"
    )


def test_an_unknown_key_is_refused(tmp_path: Path, manifest: Path) -> None:
    """The signature is sound, but nobody allowed the key."""
    signers = allowed(tmp_path, f"photos@example.org {key(tmp_path, 'other')}")
    with pytest.raises(Unsigned, match=r"with a key that .* does not allow today"):
        signers.signer_of(manifest)


def test_an_expired_key_is_refused(tmp_path: Path, manifest: Path, public: str) -> None:
    """With what ssh-keygen says of its time."""
    signers = allowed(tmp_path, f'photos@example.org valid-before="20200101" {public}')
    with pytest.raises(Unsigned, match="key has expired"):
        signers.signer_of(manifest)


def test_a_changed_file_is_refused(tmp_path: Path, manifest: Path, public: str) -> None:
    """One byte is enough."""
    manifest.write_text('{"shards": [] }')
    with pytest.raises(Unsigned, match=r"does not fit manifest\.json .*incorrect signature"):
        allowed(tmp_path, f"photos@example.org {public}").signer_of(manifest)


def test_a_signature_for_another_purpose_is_refused(
    tmp_path: Path, manifest: Path, public: str
) -> None:
    """A supplier's signature under a commit or a file is not one under a delivery."""
    sign(tmp_path, "supplier", manifest, namespace="git")
    with pytest.raises(Unsigned, match="namespace"):
        allowed(tmp_path, f"photos@example.org {public}").signer_of(manifest)


GIT = 'namespaces="git"'
OLD = 'valid-before="20200101"'
OURS = 'namespaces="clipbench"'


@pytest.mark.parametrize(
    ("lines", "signer"),
    [
        ([f"bot@example.org {GIT}", f"photos@example.org {OURS}"], "photos@example.org"),
        (
            [f"bot@example.org {GIT}", "# deliveries", "", "photos@example.org"],
            "photos@example.org",
        ),
        ([f"bot@example.org {GIT}", f"old@example.org {OLD}", f"new@example.org {OURS}"], "new@"),
        ([f"bot@example.org,photos@example.org {GIT}", f"photos@example.org {OURS}"], "photos@"),
        ([f"*@example.org {GIT}", f"photos@example.org {OURS}"], "photos@"),
        ([f"photos@example.org {OURS}", f"bot@example.org {GIT}"], "photos@"),
        (["!bot@example.org,photos@example.org"], "photos@"),
    ],
)
def test_a_key_on_several_lines_is_allowed_by_any_of_them(
    tmp_path: Path, manifest: Path, public: str, lines: list[str], signer: str
) -> None:
    """Under the name that stands there; a line for other purposes or times does not shut it out."""
    other = f"someone@example.org {key(tmp_path, 'other')}"
    text = "\n".join(f"{line} {public}" if "@" in line else line for line in lines)
    for around in (text, f"{other}\n{text}", f"{text}\n{other}"):
        assert allowed(tmp_path, around).signer_of(manifest).startswith(signer)


def test_a_key_on_several_lines_of_which_none_allows_it_is_refused(
    tmp_path: Path, manifest: Path, public: str
) -> None:
    """Neither purpose is this one; nor does a second line let a changed file through."""
    text = f'bot@example.org {GIT} {public}\nfiles@example.org namespaces="file" {public}'
    with pytest.raises(Unsigned, match="namespace"):
        allowed(tmp_path, text).signer_of(manifest)
    manifest.write_text("{}")
    text = f"bot@example.org {GIT} {public}\nphotos@example.org {OURS} {public}"
    with pytest.raises(Unsigned, match=r"does not fit manifest\.json"):
        allowed(tmp_path, text).signer_of(manifest)


def test_no_signature_is_refused(tmp_path: Path, manifest: Path, public: str) -> None:
    """The message says how one is made."""
    manifest.with_name("manifest.json.sig").unlink()
    with pytest.raises(Unsigned, match="ssh-keygen -Y sign -f KEY -n clipbench"):
        allowed(tmp_path, f"photos@example.org {public}").signer_of(manifest)


def test_a_signature_that_is_none_is_refused(tmp_path: Path, manifest: Path, public: str) -> None:
    """Bytes of anybody's."""
    manifest.with_name("manifest.json.sig").write_bytes(b"\0" * 100)
    with pytest.raises(Unsigned):
        allowed(tmp_path, f"photos@example.org {public}").signer_of(manifest)


def test_a_missing_file_of_signers_is_told(tmp_path: Path, manifest: Path) -> None:
    """Before the signature is looked at."""
    with pytest.raises(MissingData, match="no file of allowed signers"):
        Signers(tmp_path / "nobody").signer_of(manifest)
