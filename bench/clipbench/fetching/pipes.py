"""Which shell commands may be run as a source of shards: those that a person typed.

``pipe:`` runs what stands behind it. A data set's specification also stands in files that come from
others (ledgers, results, configurations), so a command is run only if it was on the command line of
this process. It stays light, for the command line imports it.
"""

from __future__ import annotations

from collections.abc import Iterable

from clipbench.errors import BadSetting
from clipbench.text.locations import split

PREFIX = "pipe:"
_typed: set[str] = set()


def allow(sources: Iterable[str]) -> None:
    """Let the commands of these sources be run; the caller vouches that a person typed them.

    Args:
        sources: parts joined by ``::``, as `clipbench.fetching.remote.fetch` takes them.
    """
    parts = (part for source in sources for part in split(source))
    _typed.update(part for part in parts if part.lower().startswith(PREFIX))


def check(part: str) -> None:
    """Refuse a command that nobody typed.

    Args:
        part: ``pipe:COMMAND``, as it was written, braces and all.

    Raises:
        BadSetting: it was not on the command line.
    """
    if part not in _typed:
        raise BadSetting(
            f"{part} would run a command that nobody typed; write it on the command line (--data)"
            " if you trust it."
        )
