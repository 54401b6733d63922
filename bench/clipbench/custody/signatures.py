"""Signed deliveries: a set's manifest, signed and checked by OpenSSH's ``ssh-keygen -Y``.

A supplier signs with ``ssh-keygen -Y sign -f KEY -n clipbench manifest.json``. Who may sign stands
in a file of allowed signers, see ssh-keygen(1): a name, options such as ``valid-before``, and a
public key a line. The manifest names the hash of every shard, which is compared apart.
"""

from __future__ import annotations

import re
import shutil
import subprocess
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
        found = self._ssh_keygen("find-principals", "-s", str(signature), "-f", str(self.path))
        names = [name for name in found.stdout.decode(errors="replace").splitlines() if name]
        if found.returncode or not names:
            raise Unsigned(
                f"{file} was signed with a key that {self.path} does not allow today"
                f" ({_said(found)}); ask the supplier for a key, or for a new signature."
            )
        name = names[0]
        told = ("-f", str(self.path), "-I", name, "-n", NAMESPACE, "-s", str(signature))
        checked = self._ssh_keygen("verify", *told, content=read_regular(file))
        if checked.returncode:
            raise Unsigned(
                f"The signature {signature} does not fit {file.name} ({_said(checked)}); fetch the"
                " delivery again, or ask the supplier."
            )
        return name

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


def _said(found: subprocess.CompletedProcess[bytes]) -> str:
    """Return what ssh-keygen said, on one line."""
    text = (found.stderr or found.stdout).decode(errors="replace").strip()
    return re.sub(r"\s+", " ", text)[:200] or f"exit status {found.returncode}"
