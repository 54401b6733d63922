"""Shards from elsewhere, fetched once into a local cache, shard by shard.

Pairs are read by number, so that epochs are exact and each pair can be scored; a stream cannot do
that. A shard that is whole in the cache is not fetched again; one that broke off goes on where it
stopped, if the server still has the same file.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import braceexpand

from clipbench.contracts import Progress, no_progress
from clipbench.errors import BadSetting
from clipbench.fetching import pipes
from clipbench.fetching.remote_shard import CommandShard, RemoteShard, UrlShard
from clipbench.system import concealed
from clipbench.system.durable import make_folder
from clipbench.text.locations import split

_SCHEME = re.compile(r"^([a-z][a-z0-9+.-]*)://|^pipe:", re.IGNORECASE)
_AT_ONCE = 4  # shards fetched side by side


def is_remote(source: str | Path) -> bool:
    """Return whether a source, or a part of it, is a URL or a command."""
    return not isinstance(source, Path) and any(map(_SCHEME.match, split(source)))


def fetch(source: str, cache: Path, progress: Progress = no_progress) -> list[Path]:
    """Return the shards of a source, in its order; those not in the cache are fetched.

    Args:
        source: parts joined by ``::``, each ``http(s)://...``, ``pipe:COMMAND`` (whose output is
            the tar, and which a person must have typed), or a local path, which is returned as it
            is. Braces stand for several. A URL may end in ``#sha256=HEX``, and is then held to it.
        cache: folder of fetched shards, which may serve many sources.
        progress: told after every shard.

    Raises:
        BadSetting: the scheme is none of these, braces do not match, or nobody typed the command.
        MissingData: the server or the command gives no such shard.
        CorruptData: a shard is not the one that was asked for.
        ClipbenchError: the network or the disk gave out; the same command goes on from there.
    """
    parts = [shard for part in split(source) for shard in _shards_of(part)]
    missing = [part for part in parts if isinstance(part, RemoteShard) and not part.is_whole(cache)]
    unique = list({part.identity: part for part in missing}.values())
    if unique:
        make_folder(cache)
        progress("fetching shards", 0, len(unique))
    with ThreadPoolExecutor(_AT_ONCE) as executor:
        running = [executor.submit(shard.fetch, cache) for shard in unique]
        try:
            for done, future in enumerate(running, start=1):
                future.result()
                progress("fetching shards", done, len(unique))
        except BaseException:
            for future in running:
                future.cancel()
            raise
    return [part.path(cache) if isinstance(part, RemoteShard) else part for part in parts]


def fetched(source: str, cache: Path) -> list[Path] | None:
    """Return the shards of a source if all of them are in the cache; None: some are not.

    Raises:
        BadSetting: what `fetch` refuses.
    """
    parts = [shard for part in split(source) for shard in _shards_of(part)]
    if not all(part.is_whole(cache) for part in parts if isinstance(part, RemoteShard)):
        return None
    return [part.path(cache) if isinstance(part, RemoteShard) else part for part in parts]


def _shards_of(part: str) -> list[RemoteShard | Path]:
    concealed.note([part])  # in worker processes, too, which nobody typed anything for
    scheme = _SCHEME.match(part)
    if scheme is None:
        from clipbench.fetching.sources import expand  # noqa: PLC0415 - it knows of this module

        return list(expand(part))
    if scheme[1] is None:
        pipes.check(part)
    elif scheme[1].lower() not in {"http", "https"}:
        raise BadSetting(
            f"{part}: shards are fetched over http and https, and by pipe:COMMAND, for instance"
            f" pipe:aws s3 cp {part} -"
        )
    try:
        names = list(braceexpand.braceexpand(part, escape=scheme[1] is not None))
    except ValueError as error:
        raise BadSetting(f"The braces of {part} don't match ({error}).") from error
    return [CommandShard(name) if scheme[1] is None else UrlShard(name) for name in names]
