"""Signed deliveries: an allowed signer signed every manifest, and manifests list every shard."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from clipbench.custody.record import note_used
from clipbench.custody.signatures import Signers
from clipbench.errors import MissingData, Unsigned
from clipbench.fetching.sources import expand
from clipbench.files.json_files import sha256_file
from clipbench.shards import manifest as manifests
from clipbench.shards.manifest import ShardRecord
from clipbench.text.locations import split


@dataclass(frozen=True)
class Signed:
    """Shards that allowed signers signed.

    Args:
        by: the signer's name by folder.
        shards: SHA-256 of every shard that was verified, by its path.
    """

    by: Mapping[str, str]
    shards: Mapping[Path, str]

    def check(self, opened: Mapping[Path, str]) -> None:
        """Refuse a set that is no longer the one that was verified.

        Between verifying and opening somebody may have put other shards there.

        Args:
            opened: SHA-256 of every shard that was opened, by its path.

        Raises:
            Unsigned: a shard was not verified, is another one, or was verified and not opened.
        """
        for path, sha256 in opened.items():
            if self.shards.get(path) != sha256:
                raise Unsigned(
                    f"Shard {path} is not the one whose signature was checked: it was put there or"
                    " changed meanwhile. Let nobody write into the delivery, and start again."
                )
        for path in sorted(set(self.shards) - set(opened)):
            raise Unsigned(
                f"Shard {path} was taken away after its signature was checked. Let nobody write"
                " into the delivery, and start again."
            )


def verified_deliveries(data: str | Path, signers: Path) -> Signed:
    """Return who signed each folder of a set, or refuse the set.

    Every folder has a manifest that an allowed signer signed, and every shard is, by its bytes as
    they are now, one that its manifest lists. What is opened later is to be held against it, see
    `Signed.check`.

    Args:
        data: a folder, a tar, a pattern, or several of them joined by ``::``.
        signers: file of allowed signers, see ssh-keygen(1).

    Returns:
        The signer of each folder, and the hashes of the shards.

    Raises:
        Unsigned: nobody signed a folder who may, or a shard is not the one that was signed.
        MissingData: a shard, the file of signers or OpenSSH is not there.
        CorruptData: a manifest is damaged.
    """
    if not signers.is_file():
        raise MissingData(f"There is no file of allowed signers {signers}; check the path.")
    paths = expand(data)
    whole = {Path(part) for part in split(str(data))}
    by, shards = dict[str, str](), dict[Path, str]()
    for folder in dict.fromkeys(path.parent for path in paths):
        manifest = folder / manifests.NAME
        if not manifest.is_file():
            raise Unsigned(
                f"{folder} is not signed: it has no {manifests.NAME} that could be. Ask for a"
                " signed delivery."
            )
        by[str(folder)] = Signers(signers).signer_of(manifest)
        listed = _listed(folder)
        here = [path for path in paths if path.parent == folder]
        shards |= _checked(folder, here, listed, whole=folder in whole)
        content = manifests.content_sha256(one.sha256 for one in listed.values())
        note_used(f"delivery of {by[str(folder)]}", content)
    return Signed(by, shards)


def _listed(folder: Path) -> dict[str, ShardRecord]:
    """Return the shards that a manifest lists, by name."""
    manifest = manifests.read(folder)
    if manifest is None:
        raise Unsigned(
            f"{folder / manifests.NAME} is signed, but is no manifest of shards: it names none, so"
            " that none is signed. Ask for a delivery whose manifest `clipbench data import` wrote."
        )
    return {one.name: one for one in manifest.shards}


def _checked(
    folder: Path, paths: Iterable[Path], listed: dict[str, ShardRecord], *, whole: bool
) -> dict[Path, str]:
    """Return the hashes of shards, or refuse those that were not signed.

    Raises:
        Unsigned: a shard is not listed, is another one, or is missing.
    """
    names, found = set(), dict[Path, str]()
    for path in paths:
        names.add(path.name)
        one = listed.get(path.name)
        if one is None:
            raise Unsigned(
                f"Shard {path} is not signed: {manifests.NAME} beside it does not list it. Remove"
                " it, or ask for a delivery that lists it."
            )
        found[path] = one.sha256
        if path.stat().st_size != one.bytes or sha256_file(path) != one.sha256:
            raise Unsigned(
                f"Shard {path} is not the one that was signed: it was damaged or replaced. Fetch it"
                " again, or ask the supplier."
            )
    missing = sorted(set(listed) - names)
    if whole and missing:
        raise Unsigned(
            f"Shard {folder / missing[0]} was signed and is not there; fetch it, or ask the"
            " supplier."
        )
    return found
