"""The sets of pairs that a training run opens: what it trains on, and what it may trust."""

from __future__ import annotations

from pathlib import Path

from clipbench.boundary import datasets
from clipbench.configuration.config import RunConfig
from clipbench.contracts import HasTrusted, TrainingSource, trusted_size
from clipbench.errors import BadSetting
from clipbench.importing.usable import caption_field_of, open_usable, without
from clipbench.parallel.group import Processes
from clipbench.rng import generator
from clipbench.shards.reader import ShardSet
from clipbench.system.progress import Reporter


def opened(
    where: str | Path,
    config: RunConfig,
    cache: Path,
    processes: Processes,
    reporter: Reporter,
) -> list[ShardSet]:
    """Return the set to train on and, where the defense is given some, the trusted pairs.

    Args:
        where: the pairs: a folder of shards, or what else `ShardSet.open` takes.
        config: the run; of its attack nothing is read.
        cache: for indexes and trusted pairs.
        processes: this process among all.
        reporter: told about progress.

    Raises:
        BadSetting: there is one pair alone, or fewer trusted ones than the defense wants.
    """
    source = config.data.plugin
    sets = [processes.in_turn(lambda: _usable(where, source, config, cache, reporter))]
    check_contrast(sets[0])
    if size := trusted_size(config.defense.plugin):
        sets.append(_trusted(source, size, config, cache, processes, reporter))
    return sets


def check_contrast(pairs: ShardSet) -> None:
    """Refuse a set in which nothing can be told from anything.

    Raises:
        BadSetting: it holds one pair.
    """
    if len(pairs) < 2:
        raise BadSetting(f"{pairs.source} holds one pair; a contrast needs at least two.")


def _usable(
    where: str | Path, source: TrainingSource, config: RunConfig, cache: Path, reporter: Reporter
) -> ShardSet:
    """Return the pairs of a source that can be used."""
    return open_usable(
        where,
        cache,
        caption_field=caption_field_of(source),
        on_error=config.on_error,
        progress=reporter.progress,
    ).shards


def _trusted(
    source: TrainingSource,
    size: int,
    config: RunConfig,
    cache: Path,
    processes: Processes,
    reporter: Reporter,
) -> ShardSet:
    """Return the pairs that are known to be clean: those that were given, or that are held out.

    Raises:
        BadSetting: there are none, or fewer of the given ones than the defense wants.
    """
    if config.trusted is not None:
        given = config.trusted.plugin
    elif isinstance(source, HasTrusted):
        given = datasets.trusted(source, size)
    else:
        raise BadSetting(f"The defense {config.defense_name!r} needs pairs known to be clean.")
    found = processes.in_turn(
        lambda: _usable(
            datasets.prepare(given, cache, reporter.progress), given, config, cache, reporter
        )
    )
    if len(found) < size:
        raise BadSetting(
            f"The defense {config.defense_name!r} wants {size:,} trusted pairs, but {found.source}"
            f" has {len(found):,} that can be used; set its trusted_size to at most that."
        )
    left_out = generator(config.seed, "trusted").permutation(len(found))[size:]
    return without(found, left_out.tolist(), cache) if len(left_out) else found
