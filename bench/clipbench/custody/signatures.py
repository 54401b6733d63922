"""Signed deliveries: a set's manifest, signed and checked by OpenSSH's ``ssh-keygen -Y``.

A supplier signs with ``ssh-keygen -Y sign -f KEY -n clipbench manifest.json``. Who may sign stands
in a file of allowed signers, see ssh-keygen(1): a name, options such as ``valid-before``, and a
public key a line. A key may stand on several lines, for purposes or times of its own; one of them
that allows the signature is enough. The manifest names the hash of every shard, which is compared
apart.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clipbench.errors import ClipbenchError, MissingData, Unsigned
from clipbench.files.foreign import read_regular

NAMESPACE = "clipbench"
SUFFIX = ".sig"
_PATIENCE_S = 30


@dataclass(frozen=True)
class Signers:
    """Who may sign.

    Args:
        path: the file of allowed signers.
    """

    path: Path

    def signer_of(self, file: Path) -> str:
        """Return who signed a file, as the file of allowed signers calls them.

        Args:
            file: what was signed; its signature lies beside it.

        Raises:
            Unsigned: nobody, somebody else, at another time, or another file.
            MissingData: OpenSSH is not installed, or a file is not there.
        """
        signature = file.with_name(file.name + SUFFIX)
        if not signature.is_file():
            raise Unsigned(
                f"{file} is not signed: there is no {signature.name} beside it. Ask for a signed"
                f" delivery (ssh-keygen -Y sign -f KEY -n {NAMESPACE} {file.name})."
            )
        if not self.path.is_file():
            raise MissingData(f"There is no file of allowed signers {self.path}; check the path.")
        found = self._find(self.path, signature)
        names = _names(found)
        if not names:
            raise Unsigned(
                f"{file} was signed with a key that {self.path} does not allow today"
                f" ({_said(found)}); ask the supplier for a key, or for a new signature."
            )
        content = read_regular(file)
        checked = self._verify(self.path, signature, names[0], content)
        if checked.returncode == 0:
            return names[0]
        # ssh-keygen tells the names of the first line that has the key, and of no other.
        name = self._on_a_line(signature, content)
        if name is None:
            raise Unsigned(
                f"The signature {signature} does not fit {file.name} ({_said(checked)}); fetch the"
                " delivery again, or ask the supplier."
            )
        return name

    def _on_a_line(self, signature: Path, content: bytes) -> str | None:
        """Return the name on the first line that by itself allows a signature; None: none does."""
        lines = read_regular(self.path).splitlines(keepends=True)
        with tempfile.TemporaryDirectory() as folder:
            part = Path(folder) / "allowed_signers"

            def names_in(some: Sequence[bytes]) -> list[str]:
                part.write_bytes(b"".join(some))
                return _names(self._find(part, signature))

            while names_in(lines):
                ends = range(1, len(lines) + 1)
                end = ends[bisect_left(ends, True, key=lambda end: bool(names_in(lines[:end])))]
                for name in names_in(lines[end - 1 : end]):
                    if self._verify(part, signature, name, content).returncode == 0:
                        return name
                lines = lines[end:]
        return None

    def _find(self, signers: Path, signature: Path) -> subprocess.CompletedProcess[bytes]:
        return self._ssh_keygen("find-principals", "-s", str(signature), "-f", str(signers))

    def _verify(
        self, signers: Path, signature: Path, name: str, content: bytes
    ) -> subprocess.CompletedProcess[bytes]:
        told = ("-f", str(signers), "-I", name, "-n", NAMESPACE, "-s", str(signature))
        return self._ssh_keygen("verify", *told, content=content)

    @staticmethod
    def _ssh_keygen(
        what: str, *told: str, content: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        program = shutil.which("ssh-keygen")
        if program is None:
            raise MissingData(
                "ssh-keygen is not installed, and signatures can't be checked without it; install"
                " OpenSSH's client."
            )
        try:
            return subprocess.run(  # noqa: S603  (by its full path)
                [program, "-Y", what, *told],
                input=content,
                capture_output=True,
                timeout=_PATIENCE_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ClipbenchError(f"ssh-keygen -Y {what} did not end in {_PATIENCE_S} s.") from error


def _names(found: subprocess.CompletedProcess[bytes]) -> list[str]:
    """Return the names that ssh-keygen found; those after a ``!`` are who a line leaves out."""
    if found.returncode:
        return []
    lines = found.stdout.decode(errors="replace").splitlines()
    return [name for name in lines if name and not name.startswith("!")]


def _said(found: subprocess.CompletedProcess[bytes]) -> str:
    """Return what ssh-keygen said, on one line."""
    text = (found.stderr or found.stdout).decode(errors="replace").strip()
    return re.sub(r"\s+", " ", text)[:200] or f"exit status {found.returncode}"
