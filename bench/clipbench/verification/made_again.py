"""The poisons of a ledger made again from what it says, and held against the set.

By a sample: every poison is made, and its place, target, role and caption compared; of a sample
the whole pair is, to the byte. Or the whole set is written again.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from clipbench.boundary import attacks
from clipbench.contracts import Attack, Progress, Scene
from clipbench.errors import BadInput, ClipbenchError, PluginFault
from clipbench.poisoning.as_stored import scene_as_stored
from clipbench.poisoning.assembly import PACKAGES, Assembly
from clipbench.poisoning.disguise import text_like
from clipbench.poisoning.ledger import Ledger, read_ledger, trigger_sha256
from clipbench.poisoning.one_shard import PoisonWriter
from clipbench.poisoning.overlay import write_poisoned
from clipbench.poisoning.spool import Kept, Spool
from clipbench.shards.reader import ShardSet
from clipbench.system.durable import scratch_folder
from clipbench.text.visible import escaped

SAMPLE = 100  # poisons whose images and JSON are made again
_NOT_HELD = -1  # offset of a poison whose image was not kept
_HEAD = ("mode", "targets", "per_target", "moved", "trigger_sha256", "trigger_probe", "crafted")
_Name = tuple[str, str]  # of a poison: shard and key


@dataclass(frozen=True)
class Made:
    """Poisons made again.

    Args:
        rows: what a ledger would say of each, as far as it was found out, by shard and key.
        head: what a ledger would say of them together, likewise.
        files: image and JSON of those that were sampled.
        content_sha256: of the shards, where they were written.
    """

    rows: Mapping[_Name, Mapping[str, object]]
    head: Mapping[str, object]
    files: Mapping[_Name, tuple[bytes, bytes | None]]
    content_sha256: str | None = None


def other_versions(ledger: Ledger) -> list[str]:
    """Return which programs a ledger was made with in another version than there is here."""
    return [
        f"{name} {ledger.versions.get(name)}, here {version(name)}"
        for name in PACKAGES
        if ledger.versions.get(name) != version(name)
    ]


def by_sample(base: ShardSet, attack: Attack, scene: Scene, progress: Progress) -> Made:
    """Make the poisons of a ledger again, a sample of them whole.

    Args:
        base: the clean set.
        attack: the attack, with what it learned.
        scene: what it knew.
        progress: told about poisons made.

    Raises:
        BadInput, PluginFault: the attack can't make them.
    """
    # Drawn anew each time: whoever changed a pair can't know which ones are looked at.
    whole = set(random.SystemRandom().sample(range(scene.count), min(SAMPLE, scene.count)))
    scene = scene_as_stored(scene, base)
    with scratch_folder("verify") as folder, Spool(folder) as spool:
        kept: list[Kept] = []
        for number, poison in enumerate(attacks.poisons(attack, scene, base)):
            progress("making poisons", number, scene.count)
            if number in whole:
                kept.append(spool.put(poison))
            else:
                shape = (poison.image.shape[0], poison.image.shape[1])
                place = (poison.caption, poison.base, poison.target, poison.role)
                kept.append(Kept(*place, _NOT_HELD, shape))
        progress("making poisons", scene.count, scene.count)
        assembly = Assembly(base, attack, kept, scene.seed)
        return _described(assembly, PoisonWriter(base, spool))


def _described(assembly: Assembly, writer: PoisonWriter) -> Made:
    """Return what a ledger would say of poisons that have their places."""
    base, attack, kept = assembly.base, assembly.attack, assembly.poisons
    replaces = attack.mode == "replace"
    rows: dict[_Name, dict[str, object]] = {}
    files: dict[_Name, tuple[bytes, bytes | None]] = {}
    placed = zip(kept, assembly.placement.places, strict=True)
    for poison, place in sorted(placed, key=lambda item: item[1].model):
        shard = base.shard_of(place.model)
        made_from = place.model if replaces else poison.base
        name = escaped(assembly.names[shard]), escaped(place.key)
        rows[name] = {
            "target": poison.target,
            "role": escaped(poison.role),
            "base_index": -1 if made_from is None else made_from,
            "caption_before": escaped(base.caption(place.model)) if replaces else None,
            "caption_after": escaped(text_like(poison.caption, base.caption(place.model))),
        }
        if poison.offset != _NOT_HELD:
            members = writer.members(poison, place, assembly.seed)
            rows[name]["image_sha256"] = writer.written(members).image_sha256
            files[name] = members["image"], members.get("json")
    targets = attacks.num_targets(attack, len(kept))
    trigger = attacks.trigger(attack) if kept else None
    shape = kept[0].shape if trigger else None
    head = {
        "mode": attack.mode,
        "targets": targets,
        "per_target": [sum(one.target == target for one in kept) for target in range(targets)],
        "moved": [[base.key(move.pair), move.key] for move in assembly.placement.moves],
        "trigger_sha256": trigger_sha256(trigger, shape) if trigger and shape else None,
        "trigger_probe": list(shape) if shape else None,
    }
    return Made(rows, head, files)


def whole(
    ledger: Ledger, base: ShardSet, attack: Attack, scene: Scene, cache: Path, progress: Progress
) -> Made:
    """Write the whole set of a ledger again, in a folder that is gone afterwards.

    Args:
        ledger: what was poisoned.
        base: the clean set.
        attack: the attack as the ledger's parameters say; it learns again.
        scene: what it knew.
        cache: where there is room.
        progress: told about poisons made and shards written.

    Raises:
        ClipbenchError: the attack can't make them, or the disk is full.
    """
    cache.mkdir(parents=True, exist_ok=True)
    with scratch_folder("verify", cache) as folder:
        made = write_poisoned(
            base,
            attack,
            scene,
            folder / "set",
            attack_name=ledger.attack,
            attack_parameters=ledger.parameters,
            dataset=ledger.dataset,
            evals=ledger.evals,
            left_out=ledger.left_out,
            code=ledger.code,
            packages=ledger.packages,
            progress=progress,
        )
        again = read_ledger(made.ledger)
    rows = {
        (str(row["shard"]), str(row["key"])): {str(name): value for name, value in row.items()}
        for row in again.rows.to_dict("records")
    }
    head = {name: getattr(again, name) for name in _HEAD}
    return Made(rows, head, {}, again.content_sha256)


def differences(ledger: Ledger, shards: ShardSet, made: Made) -> tuple[list[str], frozenset[int]]:
    """Return where a set is not what was made again, and the poisons that are, by pair."""
    problems = list(_head_differences(ledger, made))
    told: dict[_Name, dict[str, object]] = {
        (str(row["shard"]), str(row["key"])): {str(name): value for name, value in row.items()}
        for row in ledger.rows.to_dict("records")
    }
    for shard, key in sorted(made.rows.keys() - told.keys()):
        problems.append(f"a poison {key} in shard {shard} is made, which the ledger does not name")
    for shard, key in sorted(told.keys() - made.rows.keys()):
        problems.append(f"no poison {key} in shard {shard} is made, which the ledger names")
    sound = set[int]()
    for name in sorted(made.rows.keys() & told.keys()):
        found = list(_row_differences(shards, told[name], made.rows[name], made.files.get(name)))
        problems += found
        if not found and "image_sha256" in made.rows[name]:
            sound.add(_pair(told[name]))
    if made.content_sha256 not in (None, ledger.content_sha256) and not problems:
        problems.append("the same poisons are made, and the shards have other bytes beside them")
    return problems, frozenset(sound)


def _head_differences(ledger: Ledger, made: Made) -> Iterator[str]:
    for name, value in made.head.items():
        told = getattr(ledger, name)
        if _plain(told) != _plain(value):
            shown = f", {value!r} and not {told!r}" if isinstance(value, (str, int)) else ""
            yield f"its {name} is another when it is made again{shown}"


def _pair(row: Mapping[str, object]) -> int:
    return int(str(row["index"]))


def _row_differences(
    shards: ShardSet,
    row: Mapping[str, object],
    made: Mapping[str, object],
    files: tuple[bytes, bytes | None] | None,
) -> Iterator[str]:
    key = f"{row['key']} in shard {row['shard']}"
    for name, value in made.items():
        if row[name] != value:
            yield f"the {name} of poison {key} is another when it is made again"
    if files is None:
        return
    try:
        there = shards.image_bytes(_pair(row)), shards.metadata_bytes(_pair(row))
    except (ClipbenchError, IndexError) as error:
        yield str(error)
        return
    for name, one, other in zip(("image", "JSON"), there, files, strict=True):
        if one != other:
            yield f"the {name} of poison {key} is another when it is made again"


def _plain(value: object) -> object:
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


MISMADE = (BadInput, PluginFault)  # what an attack raises that can't make a ledger's poisons
