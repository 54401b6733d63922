"""Look for anything inside the shards that tells poisoned pairs from clean ones.

Each function compares the poisoned pairs of one shard with the clean pairs beside them, and returns
what it found, in words, and what could not be told because clean pairs differ too much among
themselves.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from PIL import Image as Pil
from PIL import JpegImagePlugin

from clipbench.files.fields import read as read_fields
from clipbench.images import png
from clipbench.images.encoding import image_size
from clipbench.shards.reader import ShardSet
from clipbench.shards.scan import Group, groups
from clipbench.verification.facets import FIRST_LOOK, Facets, Findings, compared

_T = TypeVar("_T")
_TIME = slice(136, 148)
# Fields of a header that say how it was written; the others are names, sizes and times.
_WRITTEN = {
    "mode": (slice(100, 108),),
    "owner": (slice(108, 124), slice(265, 329)),
    "type": (slice(156, 257),),
    "format": (slice(257, 265), slice(329, 345), slice(500, 512)),
}
_VALUES = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null')
_FOLDER_FILES = re.compile(r".*\.tar|sizes\.json|_info\.json|manifest\.json|\.clipbench")


def in_folder(folder: Path) -> list[str]:
    """Return what lies in a set's folder that a clean set's does not hold."""
    strange = sorted(p.name for p in folder.iterdir() if not _FOLDER_FILES.fullmatch(p.name))
    words = [name for name in strange if re.search("ledger|poison", name, re.IGNORECASE)]
    return [f"{folder / name} lies beside the shards" for name in words]


def in_headers(shards: ShardSet, shard: int, poisons: Sequence[int]) -> Findings:
    """Compare tar headers: mode, owner, type, format, time, and the order of members."""
    keys = {shards.key(pair) for pair in poisons}
    left = shards.left_out.get(shard)  # keys that are no pairs, and like none
    clean: list[Facets] = []
    suspects: dict[str, Facets] = {}
    clean_times: list[bytes] = []
    times: dict[str, list[bytes]] = {}
    for group in groups(shards.shards[shard].path):
        if left is not None and group.key in left.keys:
            continue
        facets, stamps = _header_facets(shards, shard, group)
        key = group.key.decode(errors="surrogateescape")
        if key in keys:
            suspects[key], times[key] = facets, stamps
        else:
            clean.append(facets)
            clean_times += stamps
    text = "tar headers of key {key} differ from clean ones"
    findings = compared(suspects, _spread(clean), text)
    for key, own in times.items() if clean_times else ():
        if not min(clean_times) <= min(own) <= max(own) <= max(clean_times):
            findings.found.append(f"tar headers of key {key} have a time of their own")
    return findings


def _header_facets(shards: ShardSet, shard: int, group: Group) -> tuple[Facets, list[bytes]]:
    """Return what headers of a pair say apart from names, sizes and times; and the times."""
    said: dict[str, set[object]] = {name: set() for name in (*_WRITTEN, "place of members")}
    times = []
    for extension, member in group.members.items():
        block = shards.raw(shard, member.offset - 512, 512)
        times.append(block[_TIME])
        for name, parts in _WRITTEN.items():
            said[name].add((extension, *(block[part] for part in parts)))
        said["place of members"].add((extension, member.offset - member.start))
    facets: Facets = {name: (frozenset(values),) for name, values in said.items()}
    return {"members": (tuple(group.members),), **facets}, times


def in_order(shards: ShardSet, shard: int, poisons: Sequence[int]) -> Findings:
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
    return Findings(found)


def _shape(key: bytes) -> tuple[int, bool]:
    return len(key), key.isdigit()


def _form(shards: ShardSet, pair: int) -> Facets:
    """Return what a pair's JSON is like, whatever it says.

    That is its text with all strings and numbers but the field names blanked, or coarser its
    fields; and of caption, key, width, height and hash, whether they are those of the pair.
    """
    text = shards.metadata_bytes(pair)
    if text is None:
        return {"text": (None,)}
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
    repeats: Facets = {
        f"{name} it repeats": (fields[name] == value if name in fields else None,)
        for name, value in truth.items()
    }
    return {"text": (skeleton, tuple(fields), frozenset(fields)), **repeats}


def in_json(shards: ShardSet, shard: int, poisons: Sequence[int]) -> Findings:
    """Compare JSON: fields and their order, white space, and what it says about its own pair."""
    suspects = {shards.key(pair): _form(shards, pair) for pair in poisons}
    clean = (_form(shards, pair) for pair in _clean(shards, shard, poisons))
    return compared(suspects, clean, "JSON of key {key} has a form of its own")


def in_encoding(shards: ShardSet, shard: int, poisons: Sequence[int]) -> Findings:
    """Compare how images are encoded: format, color, tables, filters, side information."""
    suspects = {shards.key(pair): _encoding(shards, pair) for pair in poisons}
    clean = (_encoding(shards, pair) for pair in _clean(shards, shard, poisons))
    return compared(suspects, clean, "the image of key {key} is encoded like no clean one")


def _encoding(shards: ShardSet, pair: int) -> Facets:
    data = shards.image_bytes(pair)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # damaged EXIF is no finding
        return _encoding_of(data)


def _encoding_of(data: bytes) -> Facets:
    facets: dict[str, tuple[object, ...]] = {}
    with Pil.open(io.BytesIO(data)) as image:
        names = tuple(sorted(map(str, image.info)))
        told = tuple(name in names for name in ("exif", "icc_profile", "xmp"))
        facets["format"] = (image.format,)
        facets["colors"] = (image.mode,)
        facets["side information"] = (names, told)
        if isinstance(image, JpegImagePlugin.JpegImageFile):
            tables = tuple(tuple(table) for table in image.quantization.values())
            facets["tables"] = (tables, (len(tables), round(math.log2(sum(tables[0])))))
            facets["sampling"] = (JpegImagePlugin.get_sampling(image),)
    if data[:8] == png.SIGNATURE:
        kind, level, filters, chunks = png.fingerprint(data)
        facets["filters"] = ((level, filters), level, filters is None)
        facets["chunks"] = ((kind, chunks), kind, frozenset(chunks))
    return facets


def _clean(shards: ShardSet, shard: int, poisons: Sequence[int]) -> list[int]:
    """Return the clean pairs of a shard, in the order of `_spread`."""
    place, suspects = shards.shards[shard], set(poisons)
    pairs = range(place.first, place.first + place.num_pairs)
    return _spread([pair for pair in pairs if pair not in suspects])


def _spread(items: Sequence[_T]) -> list[_T]:
    """Return items in an order any first part of which lies all over them."""
    step = max(1, len(items) // FIRST_LOOK)
    return [item for start in range(step) for item in items[start::step]]


Look = Callable[[ShardSet, int, Sequence[int]], Findings]
LOOKS: Mapping[str, Look] = {
    "headers": in_headers,
    "order": in_order,
    "JSON": in_json,
    "encoding": in_encoding,
}
