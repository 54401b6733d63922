"""Ways to spoil a sound file.

Each takes sound files and a source of random numbers: Python's own where there shall be many, one
of Hypothesis's where the smallest spoiling is looked for.
"""

from __future__ import annotations

import copy
import json
import struct
import zlib
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

_NUMBERS = [0, 1, 2, 127, 128, 255, 256, 32767, 65535, 1 << 31, (1 << 32) - 1, (1 << 63) - 1]
_BYTES = [
    *(
        b"",
        b"\0",
        b"\xff",
        b"\xff\xd8",
        b"\n",
        b"\r\n",
        b'"',
        b"\t",
        b",",
        b"\xef\xbb\xbf",
        b"\xe9",
    ),
    *(b"\xed\xa0\x80", b"NaN", b"-Infinity", b"1e999", b"-1", b"9" * 25, b"9" * 5000, b"null"),
    *(b"[" * 3000, b'{"a":' * 100, b"\x80\x00\x00\x00", b"IHDR", b"IDAT", b"IEND", b"Exif\0\0"),
    *(b"MPF\0", b"RIFF", b"VP8X", b"../../../etc/passwd", b"/dev/zero", b"a" * 70000, b"x" * 300),
    *(bytes(512), b"20 path=/etc/passwd\n", b"11 size=-1\n", b"0 path=x\n", b"12 size=1e3\n"),
    *(
        b"22 GNU.sparse.major=1\n",
        b"-0000000001\0",
        b"\xff" * 12,
        b"77777777777\0",
        b"cos\nsystem\n",
    ),
    *(struct.pack(">I", number) for number in (0, 1 << 31, (1 << 32) - 1)),
]
_VALUES: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2,
        10**9,
        10**12,
        2**63,
        -(2**63) - 1,
        10**30,
        10**400,
        0.5,
        -0.0,
    ),
    *(
        1e308,
        1e-320,
        float("nan"),
        float("inf"),
        "",
        "x",
        "0",
        "1e9",
        "none",
        "replace",
        "\0",
        "\ud800",
    ),
    *(
        "../x",
        "/etc/passwd",
        "a" * 70000,
        "\u202e\x1b[2J",
        [],
        [None],
        [[]],
        {},
        {"": 0},
        {"a": {}},
    ),
    *(
        [1, "x", None],
        [1] * 1000,
        "00" * 32,
        "23" * 32,
        "2020-01-01",
        {"name": "x"},
        [{"name": "x"}],
    ),
]


def spoiled(seeds: Sequence[bytes], rng: Random) -> bytes:
    """Return a seed with some bytes changed, taken out, put in, doubled, or its end cut off."""
    content = bytearray(rng.choice(seeds))
    for _ in range(rng.randint(1, 5)):
        how = rng.randint(0, 7)
        at = rng.randint(0, max(0, len(content) - 1))
        if how <= 1 and content:
            content[at] ^= 1 << rng.randint(0, 7)
        elif how == 2 and content:
            content[at] = rng.randint(0, 255)
        elif how == 3:
            del content[at : at + rng.choice((1, 2, 4, 16, 512))]
        elif how == 4:
            content[at:at] = rng.choice(_BYTES)
        elif how == 5:
            new = rng.choice(_BYTES)
            content[at : at + len(new)] = new
        elif how == 6:
            size = rng.choice((4, 64, 512, 1024))
            content[at:at] = content[at : at + size]
        else:
            form = rng.choice((">H", "<H", ">I", "<I", ">Q", "<Q"))
            number = rng.choice(_NUMBERS) & ((1 << (8 * struct.calcsize(form))) - 1)
            new = struct.pack(form, number)
            content[at : at + len(new)] = new
        if rng.randint(0, 9) == 9:
            del content[rng.randint(0, len(content)) :]
    return bytes(content)


# Where a header has name, mode, size, time, kind and the name of what is linked to.
_FIELDS = ((0, 100), (100, 108), (124, 136), (136, 148), (156, 157), (157, 257))


def tar(seeds: Sequence[bytes], rng: Random) -> bytes:
    """Return a tar with some fields of its headers changed, the sums made right again."""
    content = bytearray(rng.choice(seeds))
    for _ in range(rng.randint(1, 4)):
        block = 512 * rng.randint(0, max(0, len(content) // 512 - 1))
        start, end = rng.choice(_FIELDS)
        how = rng.randint(0, 4)
        if how == 0:
            new = rng.choice(_BYTES)[: end - start]
        elif how == 1:
            new = rng.choice(
                (b"0", b"1", b"2", b"3", b"5", b"6", b"7", b"L", b"K", b"x", b"g", b"S")
            )
            start, end = 156, 157
        elif how == 2:
            size = rng.choice((0, 1, 511, 512, 513, 10240, 1 << 20, 8**11 - 1))
            new, start, end = b"%011o\0" % size, 124, 136
        else:
            new = rng.randbytes(rng.randint(1, min(12, end - start)))
        content[block + start : block + start + len(new)] = new
        header = content[block : block + 512]
        if len(header) == 512 and rng.randint(0, 5):
            header[148:156] = b" " * 8
            content[block + 148 : block + 156] = b"%06o\0 " % sum(header)
    return bytes(content)


def png(seeds: Sequence[bytes], rng: Random) -> bytes:
    """Return a PNG with its chunks changed, their sums made right again."""
    content = spoiled(seeds, rng)
    made, at = bytearray(content[:8]), 8
    while at + 8 <= len(content):
        (size,) = struct.unpack_from(">I", content, at)
        body = content[at + 4 : at + 8 + size]
        made += content[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + size
    return bytes(made)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    pairs = value.items() if isinstance(value, dict) else ()
    pairs = enumerate(value) if isinstance(value, list) else pairs
    for key, inner in pairs:
        found += _places(inner, (*path, key))
    return found


def json_text(seeds: Sequence[bytes], rng: Random) -> bytes:
    """Return JSON in which values are others, are gone, come twice, or lie elsewhere."""
    value = json.loads(rng.choice(seeds))
    for _ in range(rng.randint(1, 3)):
        places = _places(value)
        path = rng.choice(places)
        new = rng.choice(_VALUES) if rng.random() < 0.5 else _at(value, rng.choice(places))
        new, how = copy.deepcopy(new), rng.randint(0, 5)
        if not path:
            value = [value] if how else new
            continue
        outer = _at(value, path[:-1])
        if how <= 2:
            outer[path[-1]] = new
        elif how == 3:
            del outer[path[-1]]
        elif how == 4 and isinstance(outer, list):
            outer.append(copy.deepcopy(outer[path[-1]]))
        elif isinstance(outer, dict):
            outer[rng.choice(("x", "name", "k", "\ud800", ""))] = new
    text = json.dumps(value)
    if rng.randint(0, 7) == 0:
        text = text.replace('"', '"name":0,"', 1) if rng.random() < 0.5 else "[" * 2000 + text
    if rng.randint(0, 7) == 0:
        return spoiled([text.encode()], rng)
    return text.encode()


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


Mutator = Callable[[Sequence[bytes], Random], bytes]
