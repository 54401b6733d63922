"""Signed deliveries: an allowed signer signed every manifest, and manifests list every shard."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from clipbench.custody.record import note_used
from clipbench.custody.signatures import Signers
from clipbench.errors import MissingData, Unsigned
from clipbench.fetching.sources import expand
from clipbench.files.json_files import sha256_file
from clipbench.shards import manifest as manifests
from clipbench.shards.manifest import ShardRecord
from clipbench.text.locations import split


def verified_deliveries(data: str | Path, signers: Path) -> dict[str, str]:
    """Return who signed each folder of a set, or refuse the set.

    Every folder has a manifest that an allowed signer signed, and every shard is, by its bytes as
    they are now, one that its manifest lists.

    Args:
        data: a folder, a tar, a pattern, or several of them joined by ``::``.
        signers: file of allowed signers, see ssh-keygen(1).

    Returns:
        The signer's name by folder.

    Raises:
        Unsigned: nobody signed a folder who may, or a shard is not the one that was signed.
        MissingData: a shard, the file of signers or OpenSSH is not there.
        CorruptData: a manifest is damaged.
    """
    if not signers.is_file():
        raise MissingData(f"There is no file of allowed signers {signers}; check the path.")
    paths = expand(data)
    whole = {Path(part) for part in split(str(data))}
    found = {}
    for folder in dict.fromkeys(path.parent for path in paths):
        manifest = folder / manifests.NAME
        if not manifest.is_file():
            raise Unsigned(
                f"{folder} is not signed: it has no {manifests.NAME} that could be. Ask for a"
                " signed delivery."
            )
        found[str(folder)] = Signers(signers).signer_of(manifest)
        listed = _listed(folder)
        here = [path for path in paths if path.parent == folder]
        _check_shards(folder, here, listed, whole=folder in whole)
        content = manifests.content_sha256(one.sha256 for one in listed.values())
        note_used(f"delivery of {found[str(folder)]}", content)
    return found


def _listed(folder: Path) -> dict[str, ShardRecord]:
    """Return the shards that a manifest lists, by name."""
    manifest = manifests.read(folder)
    if manifest is None:
        raise Unsigned(
            f"{folder / manifests.NAME} is signed, but is no manifest of shards: it names none, so"
            " that none is signed. Ask for a delivery whose manifest `clipbench data import` wrote."
        )
    return {one.name: one for one in manifests.records(manifest)}


def _check_shards(
    folder: Path, paths: Iterable[Path], listed: dict[str, ShardRecord], *, whole: bool
) -> None:
    """Refuse shards that were not signed.

    Raises:
        Unsigned: a shard is not listed, is another one, or is missing.
    """
    names = set()
    for path in paths:
        names.add(path.name)
        one = listed.get(path.name)
        if one is None:
            raise Unsigned(
                f"Shard {path} is not signed: {manifests.NAME} beside it does not list it. Remove"
                " it, or ask for a delivery that lists it."
            )
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
