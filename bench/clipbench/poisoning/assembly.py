"""Put a poisoned set together: which shard gets what, its manifest, its index, its ledger."""

from __future__ import annotations

import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from importlib.metadata import version
from pathlib import Path

from clipbench.boundary import attacks
from clipbench.contracts import Attack, Progress
from clipbench.errors import ClipbenchError
from clipbench.files.json_files import link_or_copy
from clipbench.poisoning.keys import Move, Place
from clipbench.poisoning.ledger import (
    Base,
    BaseShard,
    Identity,
    LedgerHead,
    LedgerRow,
    trigger_sha256,
    write_ledger,
)
from clipbench.poisoning.one_shard import Job, PoisonWriter, Rewritten
from clipbench.poisoning.placement import Placement, inserting, replacing
from clipbench.poisoning.rewriting import Plan, rewritten
from clipbench.poisoning.spool import Kept, Spool
from clipbench.shards import index as indexing
from clipbench.shards import manifest as manifests
from clipbench.shards.hashes import keep_hashes
from clipbench.shards.reader import ShardSet
from clipbench.system.durable import clear_leftovers
from clipbench.system.processes import is_spread

NOTED = "written"  # folder for notes of the shards that were written, beside theirs
PACKAGES = ("clipbench", "numpy", "pillow", "pyarrow")  # versions that a ledger records


class Assembly:
    """A poisoned set in the making."""

    def __init__(self, base: ShardSet, attack: Attack, poisons: list[Kept], seed: int) -> None:
        self.base, self.attack, self.poisons, self.seed = base, attack, poisons, seed
        if attack.mode == "replace":
            wanted = [poison.base for poison in poisons]
            self.placement: Placement = replacing(base, wanted, seed)
        else:
            self.placement = inserting(base, len(poisons), seed)
        self.names = _names(base, self.placement)
        self.rewritten: dict[int, Rewritten] = {}
        self.records: list[manifests.ShardRecord] = []
        self.counts: list[int] = []  # pairs of each shard

    def write_shards(self, folder: Path, spool: Spool, progress: Progress) -> None:
        """Rewrite the shards with poisons, link the others, and describe them all.

        What a stopped run of the same poisons wrote into the folder is kept, if they are many.

        Args:
            folder: of the shards; notes of what was written lie beside it.
            spool: holds the poisons' images.
            progress: told after every shard.
        """
        jobs, total = self._jobs(folder), len(self.names)
        _clear(folder, {self.names[number] for number in jobs})
        for number, shard in enumerate(self.base.shards):
            if number not in jobs:
                link_or_copy(shard.path.resolve(), folder / self.names[number])
        done = total - len(jobs)
        progress("writing poisoned shards", done, total)
        last = len(self.base.shards) - 1
        size = sum(self.base.shards[min(number, last)].size for number in jobs)
        noted = folder.with_name(NOTED) if is_spread(size) else None
        decided = {
            "base": self.base.view_hashes(),
            "caption_field": self.base.caption_field,
            "versions": versions(),
        }
        plan = Plan(PoisonWriter(self.base, spool), jobs, decided, noted)
        for number, result in rewritten(plan):
            self.rewritten[number] = result
            done += 1
            progress("writing poisoned shards", done, total)
        self._describe(folder)

    def _jobs(self, folder: Path) -> dict[int, Job]:
        poisons: dict[int, list[tuple[Kept, Place]]] = defaultdict(list)
        moves: dict[int, list[Move]] = defaultdict(list)
        for kept, place in zip(self.poisons, self.placement.places, strict=True):
            poisons[self.base.shard_of(place.model)].append((kept, place))
        for move in self.placement.moves:
            moves[move.shard].append(move)
        return {
            number: Job(
                number, folder / self.names[number], poisons[number], moves[number], self.seed
            )
            for number in sorted({*poisons, *moves})
        }

    def _describe(self, folder: Path) -> None:
        """Write index and manifest from the base's, reading no linked shard."""
        hashes, stamps = self.base.hashes(), list[indexing.Stamp]()
        for number, name in enumerate(self.names):
            status = (folder / name).stat()
            new = self.rewritten.get(number)
            digest = hashes[number] if new is None else new.sha256
            count = len(self._rows_of(number))
            stamps.append(indexing.Stamp(name, status.st_size, status.st_mtime_ns, count))
            # Readers that know of nothing left out count every complete pair.
            left = self.base.left_out.get(number)
            count += 0 if left is None else left.complete
            self.records.append(manifests.ShardRecord(name, count, status.st_size, digest))
        name, source = base_identity(self.base)
        manifests.write_all(folder, manifests.Manifest.of(name, source, self.records))
        keep_hashes([folder / name for name in self.names], [one.sha256 for one in self.records])
        self.counts = [stamp.num_pairs for stamp in stamps]
        if not self.base.left_out:  # otherwise it is not what the shards hold
            parts = [self._rows_of(number) for number in range(len(self.names))]
            indexing.save(parts, stamps, [folder / ".clipbench"], (), self.base.caption_field)

    def _rows_of(self, number: int) -> indexing.Index:
        """Return the part of the index that is about a shard."""
        if number in self.rewritten:
            return self.rewritten[number].rows
        shard = self.base.shards[number]
        return self.base.index[shard.first : shard.first + shard.num_pairs]

    def write_ledger(
        self,
        folder: Path,
        identity: Identity,
        left_out: Mapping[str, int],
        crafted: Mapping[str, object],
    ) -> None:
        """Write down what was done."""
        base, poisons = self.base, self.poisons
        targets = attacks.num_targets(self.attack, len(poisons))
        per_target = Counter(poison.target for poison in poisons)
        trigger = attacks.trigger(self.attack) if poisons else None
        shape = poisons[0].shape if trigger else None
        name, source = base_identity(base)
        hashes = zip(base.shards, base.hashes(), strict=True)
        told = Base(
            name=name,
            source=source,
            content_sha256=identity.base,
            num_pairs=len(base),
            shards=tuple(BaseShard(shard.path.name, digest) for shard, digest in hashes),
        )
        head = LedgerHead(
            **{**vars(identity), "base": told},
            content_sha256=manifests.content_sha256(record.sha256 for record in self.records),
            num_pairs=sum(self.counts),
            rate=len(poisons) / sum(self.counts),
            targets=targets,
            per_target=[per_target[target] for target in range(targets)],
            trigger_sha256=trigger_sha256(trigger, shape) if trigger and shape else None,
            trigger_probe=shape,
            moved=[(base.key(move.pair), move.key) for move in self.placement.moves],
            versions=versions(),
            left_out=left_out,
            crafted=crafted,
        )
        write_ledger(folder, head, self._rows())

    def _rows(self) -> list[LedgerRow]:
        numbers = self._numbers()
        rows = []
        for kept, place in zip(self.poisons, self.placement.places, strict=True):
            shard = self.base.shard_of(place.model)
            written = self.rewritten[shard].poisons[place.key]
            replaces = self.attack.mode == "replace"
            base = place.model if replaces else kept.base
            rows.append(
                LedgerRow(
                    index=numbers[shard, place.key],
                    key=place.key,
                    shard=self.names[shard],
                    target=kept.target,
                    role=kept.role,
                    caption_before=self.base.caption(place.model) if replaces else None,
                    caption_after=written.caption,
                    image_sha256=written.image_sha256,
                    base_index=-1 if base is None else base,
                )
            )
        return rows

    def _numbers(self) -> dict[tuple[int, str], int]:
        """Return the number, in the poisoned set, of every poison by shard and key."""
        found: dict[tuple[int, str], int] = {}
        first = 0
        for number, count in enumerate(self.counts):
            if number in self.rewritten:
                new = self.rewritten[number]
                for row, key in enumerate(new.rows["key"].tolist()):
                    text = key.decode(errors="surrogateescape")
                    if text in new.poisons:
                        found[number, text] = first + row
            first += count
        return found


def versions() -> dict[str, str]:
    """Return the versions of what writes a poisoned set."""
    return {package: version(package) for package in PACKAGES}


def _clear(folder: Path, rewritten: Collection[str]) -> None:
    """Remove what a stopped run left in a folder, except shards that were written anew."""
    clear_leftovers(folder)
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in rewritten:
            path.unlink()


def base_identity(base: ShardSet) -> tuple[str, Mapping[str, object]]:
    """Return name and source of a clean set, as its manifest gives them or could."""
    if base.manifest is not None:
        return base.manifest.name, base.manifest.source
    folders = list(dict.fromkeys(shard.path.absolute().parent for shard in base.shards))
    name = manifests.FOREIGN  # not that of a folder, for the same shards may lie in another one
    source = {"format": manifests.FOREIGN, "name": name}
    if len(folders) > 1 or manifests.is_joined(folders[0]):
        source[manifests.JOINED] = "shards of several folders"
    return name, source


def _names(base: ShardSet, placement: Placement) -> list[str]:
    """Return the file names of the poisoned set's shards: the base's, if they are unique."""
    names = [shard.path.name for shard in base.shards]
    if len(set(names)) < len(names):
        names = [f"{number:05d}.tar" for number in range(len(names))]
    last = max((move.shard for move in placement.moves), default=0)
    while len(names) <= last:
        names.append(_next_name(names[-1]))
    return names


def _next_name(name: str) -> str:
    """Return the name after `name`: its last number raised by one."""
    match = re.fullmatch(r"(.*?)(\d+)(\D*)", name)
    if match is None:
        raise ClipbenchError(
            f"No shard name follows {name!r}, which has no number; use an attack that replaces."
        )
    head, number, tail = match.groups()
    return f"{head}{int(number) + 1:0{len(number)}d}{tail}"
