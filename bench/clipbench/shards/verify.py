"""Check a set of shards against its manifest, and a poisoned one against its ledger.

Nothing is taken from a cache: every tar header is read and every shard hashed again.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clipbench.contracts import Progress, no_progress
from clipbench.errors import ClipbenchError
from clipbench.shards import manifest as manifests
from clipbench.shards import traces
from clipbench.shards.files import read_json, sha256_file
from clipbench.shards.ledger import Ledger, ledger_path, read_head, read_ledger
from clipbench.shards.reader import ShardSet
from clipbench.shards.scan import refuse_empty, scan
from clipbench.shards.screen import screen
from clipbench.shards.sources import expand
from clipbench.shards.usable import without


@dataclass(frozen=True)
class Check:
    """One thing that was checked, and what was found."""

    name: str
    passed: bool
    message: str


@dataclass(frozen=True)
class VerifyReport:
    """What was checked in a set.

    Args:
        folder: the folder of shards.
        checks: all checks made, in order.
        num_pairs: pairs found; 0 if the shards can't be read.
        num_poisons: poisons the ledger lists; 0 without ledger.
    """

    folder: Path
    checks: tuple[Check, ...]
    num_pairs: int
    num_poisons: int

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)


def verify(
    folder: Path,
    ledger: Path | None = None,
    base: ShardSet | None = None,
    progress: Progress = no_progress,
) -> VerifyReport:
    """Check a set, and with its ledger also that it is poisoned as that says and in no other way.

    Args:
        folder: a folder of shards; or of a poisoned set, whose ledger is then taken, too.
        ledger: the set's ledger.
        base: the clean set it was made from; all other pairs are then compared with it.
        progress: told about shards hashed and compared.
    """
    if not any(folder.glob("*.tar")) and (folder / "shards").is_dir():
        inside = folder / "ledger"
        folder, ledger = folder / "shards", ledger or (inside if inside.is_dir() else None)
    work = _Verification(folder, base, progress)
    try:
        paths = expand(folder)
        work.shards = _opened(folder, paths, ledger, progress)
    except ClipbenchError as error:
        return VerifyReport(folder, (Check("pairs", passed=False, message=str(error)),), 0, 0)
    work.check_set()
    if ledger is not None:
        work.check_poisoned(ledger)
    poisons = 0 if work.ledger is None else work.ledger.count
    return VerifyReport(folder, tuple(work.checks), len(work.shards), poisons)


def _opened(
    folder: Path, paths: Sequence[Path], ledger: Path | None, progress: Progress
) -> ShardSet:
    """Open a set from its shards alone, without the pairs that its ledger says are left out."""
    field, leaves_out = _reading(ledger)
    found = scan(paths, progress, caption_field=field, joined=manifests.is_joined(folder))
    if not leaves_out:
        found.refuse_incomplete(paths)
    refuse_empty(found.index, paths)
    full = ShardSet(
        str(folder),
        paths,
        (found.index, found.stamps),
        caption_field=field,
        incomplete=found.incomplete,
    )
    if not leaves_out:
        return full
    with tempfile.TemporaryDirectory() as fresh:
        unusable = screen(full, Path(fresh), progress=progress)
        return without(full, [one.pair for one in unusable], None)


def _reading(ledger: Path | None) -> tuple[str | None, bool]:
    """Return where the set of a ledger has its captions, and whether pairs are left out."""
    try:
        head = None if ledger is None else read_head(ledger_path(ledger))[0]
    except ClipbenchError:  # told when the ledger is checked
        head = None
    if head is None:
        return None, False
    field = head.dataset.get("caption_field")
    return field if isinstance(field, str) else None, bool(head.left_out)


class _Verification:
    """A verification at work: collects checks."""

    shards: ShardSet

    def __init__(self, folder: Path, base: ShardSet | None, progress: Progress) -> None:
        self.folder, self.base, self.progress = folder, base, progress
        self.checks: list[Check] = []
        self.hashes: list[str] = []
        self.ledger: Ledger | None = None
        self.poisons: dict[int, list[int]] = defaultdict(list)  # by shard
        self.broken: set[int] = set()  # shards with poisons that can't be read

    def note(self, name: str, problems: Sequence[str], well: str) -> None:
        """Record a check: failed with its first problem, or passed with what was seen."""
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        message = f"{problems[0]}{more}" if problems else well
        self.checks.append(Check(name, not problems, message))

    def check_set(self) -> None:
        """Check what every set must hold."""
        shards = self.shards
        self.note("pairs", [], f"{len(shards)} pairs in {len(shards.shards)} shards, all complete")
        for number, shard in enumerate(shards.shards):
            self.progress("hashing shards", number, len(shards.shards))
            self.hashes.append(sha256_file(shard.path))
        self.progress("hashing shards", len(shards.shards), len(shards.shards))
        self.note("manifest", list(self._manifest_problems()), "hashes and counts agree")
        self.note("sizes", list(self._size_problems()), "sizes.json and _info.json agree")
        self.note("keys", list(self._key_problems()), "unique and well formed")
        try:
            shards.captions()
            problems = []
        except ClipbenchError as error:
            problems = [str(error)]
        self.note("captions", problems, "all readable")
        self.note("folder", traces.in_folder(self.folder), "shards and their description only")

    def _manifest_problems(self) -> Iterator[str]:
        manifest = self.shards.manifest
        if manifest is None:
            yield f"{self.folder / manifests.NAME} is missing or lists other shards"
            return
        records = manifests.records(manifest)
        all_shards = zip(self.shards.shards, records, self.hashes, strict=True)
        for number, (shard, record, digest) in enumerate(all_shards):
            if record.sha256 != digest or record.bytes != shard.size:
                yield f"{shard.path} has sha256 {digest[:12]}, not {record.sha256[:12]}"
            if record.num_pairs != self._complete(number):
                yield f"{shard.path} holds {self._complete(number)} pairs, not {record.num_pairs}"

    def _size_problems(self) -> Iterator[str]:
        counts = {
            shard.path.name: self._complete(number)
            for number, shard in enumerate(self.shards.shards)
        }
        try:
            if read_json(self.folder / "sizes.json") != counts:
                yield f"{self.folder / 'sizes.json'} does not give the pairs of each shard"
            split: dict[str, Any] = read_json(self.folder / "_info.json")["splits"]["train"]
            if dict(zip(split["filenames"], split["shard_lengths"], strict=True)) != counts:
                yield f"{self.folder / '_info.json'} does not give the pairs of each shard"
        except (ClipbenchError, KeyError, TypeError, ValueError) as error:
            yield f"sizes.json or _info.json can't be read: {error}"

    def _complete(self, number: int) -> int:
        """Return how many complete pairs a shard holds, those left out included."""
        left = self.shards.left_out.get(number)
        return self.shards.shards[number].num_pairs + (0 if left is None else left.complete)

    def _key_problems(self) -> Iterator[str]:
        for key in self.shards.index["key"].tolist():  # their being unique was seen by `scan`
            try:
                if not key.decode().isprintable():
                    yield f"key {key!r} holds control characters"
            except UnicodeDecodeError:
                yield f"key {key!r} is not UTF-8"

    # ----------------------------------------------------------------- poisoned sets

    def check_poisoned(self, path: Path) -> None:
        """Check a poisoned set against its ledger."""
        try:
            self.ledger = ledger = read_ledger(path)
        except ClipbenchError as error:
            self.note("ledger", [str(error)], "")
            return
        self.note(
            "ledger", list(self._ledger_problems(ledger)), f"whole; poisoned pairs: {ledger.count}"
        )
        self.note("poisons", list(self._poison_problems(ledger)), "every one as its row says")
        self.note("other shards", list(self._linked_problems(ledger)), "as in the clean set")
        if self.base is not None:
            problems = list(self._clean_problems(ledger, self.base))
            self.note("other pairs", problems, "as in the clean set")
            problems = list(self._time_problems(self.base))
            self.note("file times", problems, "poisoned shards have none of their own")
        whole = {shard: pairs for shard, pairs in self.poisons.items() if shard not in self.broken}
        for name, look in traces.LOOKS.items():
            found = [text for item in whole.items() for text in self._seen(look, *item)]
            self.note(f"no trace in {name}", found, "poisons look like their neighbours")

    def _seen(self, look: traces.Look, shard: int, pairs: list[int]) -> list[str]:
        try:
            return look(self.shards, shard, pairs)
        except (ClipbenchError, ValueError) as error:
            return [f"{self.shards.shards[shard].path}: {error}"]

    def _ledger_problems(self, ledger: Ledger) -> Iterator[str]:
        if ledger.num_pairs != len(self.shards):
            yield f"{ledger.path} counts {ledger.num_pairs} pairs, the shards {len(self.shards)}"
        if ledger.content_sha256 != manifests.content_sha256(self.hashes):
            yield f"{ledger.path} was written with other shards"
        if self.base is not None and self.base.content_sha256() != ledger.base["content_sha256"]:
            yield f"{self.base.source} is not the set that {ledger.path} names as its base"

    def _poison_problems(self, ledger: Ledger) -> Iterator[str]:
        for row in ledger.rows.to_dict("records"):
            pair = int(row["index"])
            if pair >= len(self.shards) or self.shards.key(pair) != row["key"]:
                yield f"pair {pair} does not have the key {row['key']} of its ledger row"
                continue
            where = self.shards.where(pair)
            shard = self.shards.shard_of(pair)
            self.poisons[shard].append(pair)
            try:
                self.shards.image(pair)
                caption = self.shards.caption(pair)
            except ClipbenchError as error:
                self.broken.add(shard)
                yield str(error)
                continue
            image = hashlib.sha256(self.shards.image_bytes(pair)).hexdigest()
            if self.shards.shards[shard].path.name != row["shard"]:
                yield f"{where} should be in shard {row['shard']}"
            if caption != row["caption_after"]:
                yield f"{where} has another caption than its ledger row"
            if image != row["image_sha256"]:
                yield f"{where} has another image than its ledger row"

    def _linked_problems(self, ledger: Ledger) -> Iterator[str]:
        """Compare shards without poison by their hash."""
        touched = {*self.poisons, *self._end_shards(ledger)}
        for number, record in enumerate(ledger.base["shards"]):
            if number >= len(self.shards.shards):
                yield f"shard {record['name']} of the clean set is not there"
            elif number not in touched and record["sha256"] != self.hashes[number]:
                yield f"{self.shards.shards[number].path} has no poison but is not the clean one"

    def _time_problems(self, base: ShardSet) -> Iterator[str]:
        """Compare file times with the clean set's, if the other shards still have theirs."""
        pairs = list(zip(self.shards.shards, base.shards, strict=False))
        others = [pair for number, pair in enumerate(pairs) if number not in self.poisons]
        if all(own.mtime_ns == clean.mtime_ns for own, clean in others):
            for number in self.poisons:
                if number < len(pairs) and pairs[number][0].mtime_ns != pairs[number][1].mtime_ns:
                    yield f"{pairs[number][0].path} was changed at another time than its clean form"

    def _end_shards(self, ledger: Ledger) -> set[int]:
        """Return the shards at the end of the set that took in pairs which made room."""
        return {self.shards.shard_of(self.shards.find(new)) for _, new in ledger.moved}

    def _clean_problems(self, ledger: Ledger, base: ShardSet) -> Iterator[str]:
        """Compare all pairs that are no poison, in shards that differ, with the clean set."""
        old_key = {new: old for old, new in ledger.moved}
        clean_hashes = base.hashes()
        poisons = {pair for pairs in self.poisons.values() for pair in pairs}
        seen = ledger.count if ledger.mode == "replace" else 0
        for number, shard in enumerate(self.shards.shards):
            self.progress("comparing pairs", number, len(self.shards.shards))
            same = number < len(clean_hashes) and clean_hashes[number] == self.hashes[number]
            for pair in range(shard.first, shard.first + shard.num_pairs):
                if pair in poisons:
                    continue
                seen += 1
                key = self.shards.key(pair)
                if not same and not _equal(self.shards, pair, base, old_key.get(key, key), number):
                    yield f"{self.shards.where(pair)} is no poison but differs from the clean pair"
        if seen != len(base):
            yield f"{seen} pairs of the clean set are accounted for, of {len(base)}"


def _candidates(base: ShardSet, key: str, shard: int | None) -> list[int]:
    """Return the pairs with `key`: of one shard, or of all; joined sets may have several."""
    if shard is not None and shard < len(base.shards):
        try:
            return [base.find_in(shard, key)]
        except KeyError:
            return []
    wanted = key.encode(errors="surrogateescape")
    found: list[int] = np.flatnonzero(base.index["key"] == wanted).tolist()
    return found


def _equal(shards: ShardSet, pair: int, base: ShardSet, key: str, shard: int) -> bool:
    """Tell whether a pair is the base's pair of that key; one that moved got other identifiers."""
    moved = shards.key(pair) != key
    try:
        return any(
            shards.image_bytes(pair) == base.image_bytes(other)
            and shards.caption(pair) == base.caption(other)
            and (moved or shards.metadata_bytes(pair) == base.metadata_bytes(other))
            for other in _candidates(base, key, None if moved else shard)
        )
    except ClipbenchError:
        return False
