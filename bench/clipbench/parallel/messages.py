"""Messages over a socket: a kind, a length, and so many bytes."""

from __future__ import annotations

import math
import socket

_HEAD = 9  # bytes before each message: of what kind it is, and its length


def framed(kind: bytes, content: bytes) -> bytes:
    """Return a message as it is sent: its kind, its length, and what it says."""
    return kind + len(content).to_bytes(_HEAD - 1, "big") + content


def received(connection: socket.socket, most: float = math.inf) -> tuple[bytes, bytes] | None:
    """Return the next message; None: there comes none any more, or one longer than `most` bytes."""
    head = exactly(connection, _HEAD)
    if head is None or (size := int.from_bytes(head[1:], "big")) > most:
        return None
    content = exactly(connection, size)
    return None if content is None else (head[:1], content)


def exactly(connection: socket.socket, count: int) -> bytes | None:
    """Return the next bytes, so many of them; None: there come no more."""
    data = bytearray(count)
    view = memoryview(data)
    try:
        while view:
            got = connection.recv_into(view)
            if not got:
                return None
            view = view[got:]
    except OSError:
        return None
    return bytes(data)
