"""What this user's clipbench wrote, told apart from what came with a folder.

An index or a list of hashes beside shards says which caption belongs to which image, and what a set
is known by. Whoever hands shards on could hand such files on with them, with the times and sizes
they name. So both carry a seal: a hash with a key that each user has and nobody hands on. Without
it they are made again.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from pathlib import Path

from clipbench.errors import ClipbenchError
from clipbench.system.durable import clear_leftovers, make_once

_SIZE = 32  # bytes of key and seal
_NAME = "seal.key"


def seal(parts: Iterable[bytes | memoryview]) -> str:
    """Return the seal of a content given in parts, in hex.

    BLAKE2b with a key (RFC 7693), which is faster than SHA-256 and as hard to forge.
    """
    state = hashlib.blake2b(key=_key(), digest_size=_SIZE)
    for part in parts:
        state.update(part)
    return state.hexdigest()


def is_sealed(parts: Iterable[bytes | memoryview], told: object) -> bool:
    """Return whether this user's clipbench sealed a content, and not a byte of it has changed."""
    return isinstance(told, str) and hmac.compare_digest(seal(parts).encode(), told.encode())


@functools.cache
def _key() -> bytes:
    """Return the user's key, made where there is none; where none can be kept, this process's."""
    try:
        path = Path.home() / ".cache" / "clipbench" / _NAME
        if not path.exists() or path.stat().st_size != _SIZE:  # cut off, as by a power cut
            path.unlink(missing_ok=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            make_once(path, secrets.token_bytes(_SIZE))
        clear_leftovers(path.parent)
        found = path.read_bytes()
    except (
        OSError,
        RuntimeError,
        ClipbenchError,
    ):  # no home, a full disk, a file system without links
        found = b""
    return found if len(found) == _SIZE else secrets.token_bytes(_SIZE)
