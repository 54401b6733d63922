"""The first stage of a run: the shards it trains on, poisoned where it has an attack."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from clipbench.configuration.config import RunConfig
from clipbench.configuration.identity import identify, write_places
from clipbench.custody.record import note_file, note_made, note_used
from clipbench.errors import BadSetting, CorruptData
from clipbench.importing.screen import is_foreign
from clipbench.importing.usable import NAME as LEFT_OUT
from clipbench.importing.usable import UsablePairs
from clipbench.loading.opened import usable
from clipbench.parallel.bench import Bench
from clipbench.planning.packages import packages_of
from clipbench.planning.parts import Parts, Prepared, with_crafted
from clipbench.planning.tried import try_attack
from clipbench.plugins import codes
from clipbench.plugins.part import Part
from clipbench.poisoning.as_stored import longest_short_side
from clipbench.poisoning.assembly import versions
from clipbench.poisoning.ledger import read_head, read_ledger
from clipbench.poisoning.overlay import PoisonedSet, write_poisoned
from clipbench.poisoning.rewriting import VERSION
from clipbench.results.result import config_hash
from clipbench.shards import sizes
from clipbench.system.progress import Reporter

_NOT_THE_SET = ("defense", "trusted")  # plugins that decide nothing of what is poisoned


@dataclass(frozen=True)
class Poisoned:
    """A poisoned set as the command line shows it."""

    shards_folder: Path
    ledger: Path


def poison(config: RunConfig, *, cache: Path, out: Path | None, reporter: Reporter) -> Poisoned:
    """Write the poisoned set of a run.

    Args:
        config: the run; its defense and training do not matter.
        cache: folder of clean and poisoned shards.
        out: folder to write the set into; None: in the cache.
        reporter: told about progress.

    Raises:
        BadSetting: the run has no attack, or `out` holds something else.
        PluginFault: the attack is sure to fail; nothing was made then.
    """
    if config.is_clean:
        raise BadSetting("There is nothing to poison: name an attack with --attack.")
    try_attack(config, Parts.of(config))
    config = identify(config, cache, reporter.progress)
    bench = Bench(cache, reporter=reporter)
    parts = Parts.of(config).prepared(config, bench)
    tell_left_out(parts.usable, reporter)
    folder = out or _folder_of(config, parts, cache)
    ledger = _write(config, parts, folder, bench)
    head = read_head(ledger)[0]
    note_used(f"data {head.base.name}", head.base.content_sha256)
    note_made("poisoned set", head.content_sha256)
    note_file(ledger)
    return Poisoned(folder / "shards", ledger)


def show_poison(
    config: RunConfig, made: Poisoned, path: Path, *, cache: Path, reporter: Reporter
) -> None:
    """Write pictures of what an attack did to a set, see `clipbench.poisoning.sheet`.

    Args:
        config: the run that `made` was poisoned for.
        made: the poisoned set.
        path: the PNG file.
        cache: folder of the clean shards.
        reporter: told about progress.
    """
    from clipbench.poisoning.sheet import poison_sheet  # noqa: PLC0415 - heavy

    ledger = read_ledger(made.ledger)
    bench = Bench(cache, reporter=reporter)
    parts = with_crafted(Parts.of(config).prepared(config, bench), ledger.crafted)
    clean = parts.usable.shards
    poisoned = PoisonedSet.open(made.ledger.parents[1], clean).shards
    probes = parts.probes(config.seed_of_poison)
    assert probes is not None  # there is poison
    poison_sheet(clean, poisoned, ledger, probes, parts.held_out.primary, path)


def training_set(
    config: RunConfig, parts: Prepared, bench: Bench
) -> tuple[str | Path, Path | None]:
    """Return the shards a run trains on, and their ledger if they are poisoned."""
    if not parts.count:
        return parts.usable.shards.source, None
    folder = _folder_of(config, parts, bench.cache)
    return folder / "shards", _write(config, parts, folder, bench)


def tell_left_out(pairs: UsablePairs, reporter: Reporter) -> None:
    """Tell a person how many pairs of a set can't be used, and why; and of a wrong sizes.json."""
    if pairs.left_out:
        reporter.note(f"of {pairs.full.source}: {pairs.summary()}")
    for text in sizes.wrong(pairs.full):
        reporter.warning(text)


def _folder_of(config: RunConfig, parts: Prepared, cache: Path) -> Path:
    """Return the poisoned set's folder, named after everything that decides what is in it.

    Also after the code that makes it. A run is not known by that of packages, but an attack that
    was edited in one, or upgraded, must not get the poison of the one before out of the cache.
    """
    base, told = parts.usable.shards, config.by_content()
    wanted: dict[str, object] = {
        "data": told["data"],
        "evals": told["evals"],
        "attack": told["attack"],
        "code": {k: config.code[k] for k in config.code if codes.slot_of(k) != "defense"},
        "count": parts.count,
        "seed": config.seed_of_poison,
        "base": base.content_sha256(),
        "versions": {**versions(), "written": VERSION},
        "made_by": sorted(
            {
                sha256
                for part in _made_by(config)
                for sha256 in codes.behind(part.kind, part.to_json())
            }
        ),
    }
    if base.left_out:
        wanted["usable"] = base.view_hashes()
    if (size := longest_short_side(base)) is not None:  # earlier versions put in larger images
        wanted["stored_at"] = size
    return cache / "poisoned" / config_hash(wanted)[:16]


def _made_by(config: RunConfig) -> list[Part[object]]:
    """Return the plugins whose code decides what is in a poisoned set."""
    return [config.attack, config.data, *config.evals]


def _write(config: RunConfig, parts: Prepared, folder: Path, bench: Bench) -> Path:
    """Write the poisoned set, unless it is there, and return its ledger."""
    told = config.hashed()
    attack = dict(told["attack"])
    ledger = write_poisoned(
        parts.usable.shards,
        parts.attack,
        parts.held_out.scene(parts.count, config.seed_of_poison),
        folder,
        attack_name=str(attack.pop("name")),
        attack_parameters=attack,
        dataset=told["data"],
        evals=told["evals"],
        left_out=parts.usable.left_out,
        code={k: told["code"][k] for k in told["code"] if codes.slot_of(k) not in _NOT_THE_SET},
        packages=packages_of(_made_by(config)),
        progress=bench.reporter.progress,
        own=folder.parent == bench.cache / "poisoned",
    ).ledger
    write_places(config, ledger.parent)
    if is_foreign(parts.usable.full):
        _check_usable(config, folder, ledger, bench)
    parts.usable.write_names(ledger.with_name(LEFT_OUT))
    return ledger


def _check_usable(config: RunConfig, folder: Path, ledger: Path, bench: Bench) -> None:
    """Look at the shards that were written; no poison may get lost among what is left out."""
    pairs = usable(folder / "shards", config, bench)
    wanted = read_head(ledger)[0].num_pairs
    if len(pairs.shards) != wanted:
        raise CorruptData(
            f"Of {folder / 'shards'} {len(pairs.shards):,} pairs can be used, not {wanted:,} as"
            f" its ledger says; remove {folder} to poison again."
        )
