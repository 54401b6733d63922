"""The sets of pairs that a training run opens: what it trains on, and what it may trust."""

from __future__ import annotations

from pathlib import Path

from clipbench.boundary import datasets
from clipbench.configuration.config import RunConfig
from clipbench.configuration.places import Slot, places_of
from clipbench.contracts import HasTrusted, TrainingSource, trusted_size
from clipbench.errors import BadSetting
from clipbench.importing.usable import UsablePairs, caption_field_of, open_usable, without
from clipbench.parallel.bench import Bench
from clipbench.rng import generator
from clipbench.shards.reader import ShardSet
from clipbench.text import locations


def opened(where: str | Path, config: RunConfig, bench: Bench) -> list[ShardSet]:
    """Return the set to train on and, where the defense is given some, the trusted pairs.

    Args:
        where: the pairs: a folder of shards, or what else `ShardSet.open` takes.
        config: the run; of its attack nothing is read.
        bench: where indexes and trusted pairs go.

    Raises:
        BadSetting: there is one pair alone, or fewer trusted ones than the defense wants.
    """
    sets = [bench.processes.in_turn(lambda: usable(where, config, bench).shards)]
    check_contrast(sets[0])
    if size := trusted_size(config.defense.plugin):
        sets.append(_trusted(size, config, bench))
    return sets


def check_contrast(pairs: ShardSet) -> None:
    """Refuse a set in which nothing can be told from anything.

    Raises:
        BadSetting: it holds one pair.
    """
    if len(pairs) < 2:
        raise BadSetting(f"{pairs.source} holds one pair; a contrast needs at least two.")


def check_trusted(config: RunConfig) -> None:
    """Refuse trusted pairs that are too few, where their number is known before they are read.

    Args:
        config: the run; its data set is asked where no other set of trusted pairs is named.

    Raises:
        BadSetting: there are fewer than the defense wants.
    """
    size, source = trusted_size(config.defense.plugin), config.data.plugin
    if not size:
        return
    if config.trusted is not None:
        given = config.trusted.plugin
    elif isinstance(source, HasTrusted):
        given = datasets.trusted(source, size)
    else:
        return  # refused when the defense was named, or told when its pairs are opened
    count = datasets.num_pairs(given)
    if 0 < count < size:  # 0: counted when they are there
        raise _too_few(config, f"{count:,}")


def _too_few(config: RunConfig, found: str) -> BadSetting:
    if config.trusted is None:
        where = f"{config.data_name} holds out"
    else:
        lie = places_of(Slot("trusted", config.trusted))
        texts = [locations.redacted(text) for one in lie for text in locations.texts(one.value)]
        where = " ".join([config.trusted.name, *texts, "(--trusted) has"])
    return BadSetting(
        f"The defense {config.defense_name!r} wants {trusted_size(config.defense.plugin):,} trusted"
        f" pairs, but {where} {found}; set its trusted_size to at most that."
    )


def usable(
    where: str | Path, config: RunConfig, bench: Bench, source: TrainingSource | None = None
) -> UsablePairs:
    """Return the pairs of shards that can be used, and which cannot.

    Args:
        where: the shards.
        config: the run, which says what becomes of pairs that cannot be used.
        bench: where indexes go.
        source: whose shards they are; None: the run's data set.

    Raises:
        CorruptData: pairs can't be used, and the run does not leave them out.
    """
    return open_usable(
        where,
        bench.cache,
        caption_field=caption_field_of(source or config.data.plugin),
        on_error=config.on_error,
        progress=bench.reporter.progress,
    )


def _trusted(size: int, config: RunConfig, bench: Bench) -> ShardSet:
    """Return the pairs that are known to be clean: those that were given, or that are held out.

    Raises:
        BadSetting: there are none, or fewer of the given ones than the defense wants.
    """
    source = config.data.plugin
    if config.trusted is not None:
        given = config.trusted.plugin
    elif isinstance(source, HasTrusted):
        given = datasets.trusted(source, size)
    else:
        raise BadSetting(f"The defense {config.defense_name!r} needs pairs known to be clean.")

    def made() -> ShardSet:
        where = datasets.prepare(given, bench.cache, bench.reporter.progress)
        return usable(where, config, bench, given).shards

    found = bench.processes.in_turn(made)
    if len(found) < size:
        raise _too_few(config, f"{len(found):,} that can be used")
    left_out = generator(config.seed, "trusted").permutation(len(found))[size:]
    return without(found, left_out.tolist(), bench.cache) if len(left_out) else found
