"""Look for anything inside the shards that tells poisoned pairs from clean ones.

Each function compares the poisoned pairs of one shard with the clean pairs beside them and returns
what it found, in words; nothing found, nothing returned.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image as Pil
from PIL import JpegImagePlugin

from clipbench.shards import png
from clipbench.shards.encoding import image_size
from clipbench.shards.fields import read as read_fields
from clipbench.shards.reader import ShardSet
from clipbench.shards.scan import Group, groups

_LOOKED_AT = 200  # clean pairs of a shard that JSON and encoding are compared with
_TIME = slice(136, 148)
_OWN = (slice(0, 100), slice(124, 136), _TIME, slice(148, 156), slice(345, 500))
_CHANCE = 0.01
_VALUES = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null')
_FOLDER_FILES = re.compile(r".*\.tar|sizes\.json|_info\.json|manifest\.json|\.clipbench")


def in_folder(folder: Path) -> list[str]:
    """Return what lies in a set's folder that a clean set's does not hold."""
    strange = sorted(p.name for p in folder.iterdir() if not _FOLDER_FILES.fullmatch(p.name))
    words = [name for name in strange if re.search("ledger|poison", name, re.IGNORECASE)]
    return [f"{folder / name} lies beside the shards" for name in words]


def in_headers(shards: ShardSet, shard: int, poisons: Sequence[int]) -> list[str]:
    """Compare tar headers: mode, owner, type, format, time, and the order of members."""
    keys = {shards.key(pair) for pair in poisons}
    clean: Counter[Any] = Counter()
    suspects: dict[str, Any] = {}
    clean_times: list[bytes] = []
    times: dict[str, list[bytes]] = {}
    for group in groups(shards.shards[shard].path):
        features, stamps = _header_features(shards, shard, group)
        key = group.key.decode(errors="surrogateescape")
        if key in keys:
            suspects[key], times[key] = features, stamps
        else:
            clean[features] += 1
            clean_times += stamps
    found = [f"tar headers of key {key} differ from clean ones" for key in _odd(suspects, clean)]
    for key, own in times.items() if clean_times else ():
        if not min(clean_times) <= min(own) <= max(own) <= max(clean_times):
            found.append(f"tar headers of key {key} have a time of their own")
    return found


def _odd(suspects: Mapping[str, Any], clean: Counter[Any]) -> list[str]:
    """Return the keys whose features no clean pair has, where that means anything.

    Where clean pairs differ much among themselves, a new one may well have features never seen: the
    chance is about the share of pairs whose features are unique (Good, 1953). Where a shard has no
    clean pair, there is nothing to compare with.
    """
    unique = sum(1 for times in clean.values() if times == 1)
    if not clean or unique > _CHANCE * clean.total():
        return []
    return [key for key, features in suspects.items() if features not in clean]


def _header_features(
    shards: ShardSet, shard: int, group: Group
) -> tuple[frozenset[Any], list[bytes]]:
    """Return what headers of a pair say apart from names, sizes and times; and the times."""
    features: set[Any] = {tuple(group.members)}
    times = []
    for extension, member in group.members.items():
        block = bytearray(shards.raw(shard, member.offset - 512, 512))
        times.append(bytes(block[_TIME]))
        for own in _OWN:
            block[own] = bytes(own.stop - own.start)
        features.add((extension, bytes(block), member.offset - member.start))
    return frozenset(features), times


def in_order(shards: ShardSet, shard: int, poisons: Sequence[int]) -> list[str]:
    """Check that keys rise through the shard if they do without the poisons, and look alike."""
    place = shards.shards[shard]
    column = shards.index["key"][place.first : place.first + place.num_pairs].tolist()
    suspects = {pair - place.first for pair in poisons}
    clean = [key for row, key in enumerate(column) if row not in suspects]
    found = []
    if clean == sorted(clean) and column != sorted(column):
        found.append(f"poisoned pairs break the order of keys in {place.path}")
    shapes = {_shape(key) for key in clean}
    for row in sorted(suspects) if clean else []:
        if _shape(column[row]) not in shapes:
            found.append(f"key {shards.key(place.first + row)} is formed like no clean key")
    return found


def _shape(key: bytes) -> tuple[int, bool]:
    return len(key), key.isdigit()


@dataclass(frozen=True)
class _Form:
    """What a pair's JSON is like, whatever it says.

    Args:
        skeleton: its text with all strings and numbers but the field names blanked.
        repeats: for caption, key, width, height and hash, whether they are those of the pair.
    """

    skeleton: str | None
    repeats: tuple[bool | None, ...]


def _form(shards: ShardSet, pair: int) -> _Form:
    text = shards.metadata_bytes(pair)
    if text is None:
        return _Form(None, ())
    fields = read_fields(text)
    names = {json.dumps(name) for name in fields}
    skeleton = _VALUES.sub(
        lambda match: match[0] if match[0] in names else "0", text.decode(errors="replace")
    )
    image = shards.image_bytes(pair)
    width, height = image_size(image)
    truth = {
        "caption": shards.caption(pair),
        "key": shards.key(pair),
        "width": width,
        "height": height,
        "sha256": hashlib.sha256(image).hexdigest(),
    }
    repeats = [fields[name] == value if name in fields else None for name, value in truth.items()]
    return _Form(skeleton, tuple(repeats))


def in_json(shards: ShardSet, shard: int, poisons: Sequence[int]) -> list[str]:
    """Compare JSON: fields and their order, white space, and what it says about its own pair."""
    clean = Counter(_form(shards, pair) for pair in _clean(shards, shard, poisons))
    suspects = {shards.key(pair): _form(shards, pair) for pair in poisons}
    return [f"JSON of key {key} has a form of its own" for key in _odd(suspects, clean)]


def in_encoding(shards: ShardSet, shard: int, poisons: Sequence[int]) -> list[str]:
    """Compare how images are encoded: format, colour, tables, filters, side information."""
    clean = Counter(_encoding(shards, pair) for pair in _clean(shards, shard, poisons))
    suspects = {shards.key(pair): _encoding(shards, pair) for pair in poisons}
    return [f"the image of key {key} is encoded like no clean one" for key in _odd(suspects, clean)]


def _encoding(shards: ShardSet, pair: int) -> tuple[Any, ...]:
    data = shards.image_bytes(pair)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # damaged EXIF is no finding
        return _encoding_of(data)


def _encoding_of(data: bytes) -> tuple[Any, ...]:
    with Pil.open(io.BytesIO(data)) as image:
        common = (image.format, image.mode, tuple(sorted(map(str, image.info))))
        if isinstance(image, JpegImagePlugin.JpegImageFile):
            tables = tuple(tuple(table) for table in image.quantization.values())
            return (*common, tables, JpegImagePlugin.get_sampling(image))
    if data[:8] == png.SIGNATURE:
        return (*common, *png.fingerprint(data))
    return common


def _clean(shards: ShardSet, shard: int, poisons: Sequence[int]) -> list[int]:
    """Return clean pairs of a shard, all or a few hundred spread over it."""
    place, suspects = shards.shards[shard], set(poisons)
    pairs = [
        pair for pair in range(place.first, place.first + place.num_pairs) if pair not in suspects
    ]
    return pairs[:: max(1, len(pairs) // _LOOKED_AT)]


Look = Callable[[ShardSet, int, Sequence[int]], list[str]]
LOOKS: Mapping[str, Look] = {
    "headers": in_headers,
    "order": in_order,
    "JSON": in_json,
    "encoding": in_encoding,
}
