"""Poison a set copy-on-write: rewrite the shards that get a poison, link all others.

What is inside ``OUT/shards`` is a set like any clean one: keys, order, tar headers, JSON, encoding
and file times are those an ordinary writer of that set would have left, and the manifest has the
form of a clean set's. What was poisoned stands in ``OUT/ledger`` alone. (The file system itself
does tell: a linked file has more links than a rewritten one. A copy of the folder does not.)
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipbench.boundary import attacks
from clipbench.contracts import Attack, Poison, Progress, Scene, no_progress
from clipbench.errors import BadSetting, CorruptData, MissingData
from clipbench.files.json_files import is_vacant
from clipbench.plugins.faults import Call, is_ours
from clipbench.poisoning.as_stored import scene_as_stored
from clipbench.poisoning.assembly import NOTED, Assembly
from clipbench.poisoning.ledger import JSON_NAME, Identity, read_head, read_ledger
from clipbench.poisoning.spool import Kept, Spool
from clipbench.shards import manifest as manifests
from clipbench.shards.reader import ShardSet
from clipbench.shards.writer import remove_damaged
from clipbench.system.durable import clear_leftovers, publish
from clipbench.system.locks import locked_folder
from clipbench.text.words import listed


@dataclass(frozen=True)
class PoisonedSet:
    """A poisoned set and its ledger.

    Args:
        shards: the pairs; all that training may see.
        ledger: its ``ledger.json``.
    """

    shards: ShardSet
    ledger: Path

    @classmethod
    def open(cls, out: Path, base: ShardSet | None = None) -> PoisonedSet:
        """Open the set that `write_poisoned` wrote as `out`, as its clean set `base` is read."""
        shards = ShardSet.open(
            out / "shards",
            caption_field=None if base is None else base.caption_field,
            on_incomplete="fail" if base is None or not base.left_out else "skip",
        )
        return cls(shards, out / "ledger" / JSON_NAME)


def write_poisoned(
    base: ShardSet,
    attack: Attack,
    scene: Scene,
    out: Path,
    *,
    attack_name: str,
    attack_parameters: Mapping[str, object],
    dataset: Mapping[str, object],
    evals: Sequence[Mapping[str, object]] = (),
    left_out: Mapping[str, int] | None = None,
    code: Mapping[str, str] | None = None,
    packages: Mapping[str, str] | None = None,
    progress: Progress = no_progress,
    own: bool = False,
) -> PoisonedSet:
    """Write `base` with the poisons of `attack`, or open `out` if it holds just that.

    Args:
        base: the clean set.
        attack: makes the poisons.
        scene: what the attacker knows; ``scene.count`` poisons are written.
        out: folder of the poisoned set: ``shards/`` and, apart from it, ``ledger/``.
        attack_name: name of the attack, for the ledger.
        attack_parameters: its parameters, for the ledger.
        dataset: the training source, known by its content, for the ledger.
        evals: the evaluation sources, likewise.
        left_out: how many pairs `base` leaves out, by reason, for the ledger.
        code: hashes of plugins that are files, by kind, for the ledger.
        packages: hashes of the packages of other plugins than clipbench's, by name, for the ledger.
        progress: told about poisons made and shards written.
        own: whether the folder is one of the cache, which nobody put anything into: what is damaged
            or cut off there is made again.

    Raises:
        BadSetting: `out` holds something else, or poisons can't be placed.
        ClipbenchError: the attack makes too few or too many poisons, or the disk is full.
    """
    identity = Identity(
        attack=attack_name,
        parameters=manifests.plain(attack_parameters, f"The parameters of {attack_name}"),
        dataset=manifests.plain(dataset, "The data set"),
        evals=[manifests.plain(spec, "The evaluation source") for spec in evals],
        seed=scene.seed,
        count=scene.count,
        mode=attack.mode,
        base=base.content_sha256(),
        code=dict(code or {}),
        packages=dict(packages or {}),
    )
    partial = out.with_name(out.name + ".partial")
    if not partial.exists() and not is_vacant(out) and not (own and _is_damaged(out)):
        return _open_same(out, identity, base)
    with locked_folder(partial, progress):
        if own and _is_damaged(out):
            remove_damaged(out)
        if is_vacant(out):  # otherwise finished by another process while this one waited
            clear_leftovers(partial)
            if not (partial / NOTED).exists():  # what a killed run left is quickly made again
                shutil.rmtree(partial / "shards", ignore_errors=True)
            shutil.rmtree(partial / "ledger", ignore_errors=True)
            for folder in ("shards", "ledger"):
                (partial / folder).mkdir(exist_ok=True)
            with Spool(partial) as spool:
                made = attacks.crafted(attack, scene, base)
                stored = scene_as_stored(scene, base)
                poisons = _collect(base, made, stored, spool, progress)
                assembly = Assembly(base, made, poisons, scene.seed)
                assembly.write_shards(partial / "shards", spool, progress)
                learned = _learned(attack, made)
                assembly.write_ledger(partial / "ledger", identity, left_out or {}, learned)
            shutil.rmtree(partial / NOTED, ignore_errors=True)
            publish(partial, out)
        else:
            shutil.rmtree(partial)
    return _open_same(out, identity, base)


def _learned(attack: object, made: Any) -> dict[str, object]:
    """Return the parameters that an attack was given by what it learned."""
    if made is attack:
        return {}
    names = [item.name for item in dataclasses.fields(made)]
    return {n: getattr(made, n) for n in names if getattr(made, n) != getattr(attack, n)}


def _is_damaged(out: Path) -> bool:
    """Return whether a poisoned set is not whole; without one, none is damaged."""
    if is_vacant(out):
        return False
    try:
        _check_shards(out)
        read_ledger(out)
    except CorruptData:
        return True
    except MissingData:  # it can't be read now, or is something else: `_open_same` says so
        return False
    return False


def _open_same(out: Path, identity: Identity, base: ShardSet) -> PoisonedSet:
    """Open a finished set after checking that it is the one asked for."""
    if not (out / "ledger" / JSON_NAME).is_file():
        raise BadSetting(f"{out} exists but is no poisoned set; choose another folder.")
    head, _ = read_head(out / "ledger" / JSON_NAME)
    for field, wanted in vars(identity).items():
        found = head.base.content_sha256 if field == "base" else getattr(head, field)
        if field == "packages":
            if found and found != wanted:  # an older ledger does not say
                raise BadSetting(
                    f"{out} was poisoned by other code of {listed(found)} than is installed;"
                    " choose another folder or remove it."
                )
            continue
        if found != wanted:
            raise BadSetting(
                f"{out} holds another poisoned set: its {field} is {found!r}, not {wanted!r}; "
                "choose another folder or remove it."
            )
    _check_shards(out)
    return PoisonedSet.open(out, base)


def _check_shards(out: Path) -> None:
    """Refuse a set whose shards are not all there.

    Raises:
        CorruptData: one is missing or cut off.
    """
    manifest = manifests.read(out / "shards")
    for record in manifest.shards if manifest else ():
        path = out / "shards" / record.name
        if not path.is_file() or path.stat().st_size != record.bytes:
            raise CorruptData(
                f"Shard {path} is missing or cut off; remove {out} to write it again."
            )


def _collect(
    base: ShardSet, attack: Attack, scene: Scene, spool: Spool, progress: Progress
) -> list[Kept]:
    """Take all poisons from the attack."""
    kept: list[Kept] = []
    call = Call("attack", attack, "poison")
    targets = attacks.num_targets(attack, scene.count)
    progress("making poisons", 0, scene.count)
    first: list[Poison] = []
    for poison in attacks.poisons(attack, scene, base):
        if len(kept) == scene.count:
            raise call.broken(f"it makes more poisons than the {scene.count} that it must.")
        if not 0 <= poison.target < targets:
            raise call.broken(f"it makes a poison for target {poison.target} of {targets}.")
        if len(first) < attacks.AGAIN:
            first.append(poison)
        kept.append(spool.put(poison))
        progress("making poisons", len(kept), scene.count)
    if len(kept) < scene.count:
        raise call.broken(f"it makes {len(kept)} poisons instead of {scene.count}.")
    if not is_ours(attack):  # ours are held to it by tests, and may read every caption again
        attacks.check_repeats(attack, scene, base, first)
    return kept
