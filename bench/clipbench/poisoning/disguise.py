"""Contents of a poisoned pair in the form of the clean pair it is modeled on.

What a clean set says consistently about its pairs must hold for a poisoned one too: the JSON
repeats the caption, gives the stored image's size and hash where it did so before, and identifiers
are unique. What it does not say consistently is left alone.
"""

from __future__ import annotations

import codecs
import hashlib
import json
from collections.abc import Mapping, Sequence

import numpy as np

from clipbench.contracts import Image
from clipbench.errors import CorruptData
from clipbench.images.encoding import decode, encode_like, image_size
from clipbench.shards.reader import ShardSet

_PEERS = 16
_TRIES = 100
# Says where a value ends; its numbers, of any length, stay text.
_scan_json = json.JSONDecoder(parse_int=str, parse_float=str).raw_decode
_HASHES = ("sha256", "md5", "sha512")


def image_like(image: Image, reference: bytes) -> bytes:
    """Return `image` as a file like `reference`; that very file if it holds the same pixels.

    Encoding unchanged pixels again would leave the traces of double compression.
    """
    if np.array_equal(decode(reference), image):
        return reference
    return encode_like(image, reference)[0]


def caption_like(caption: str, reference: bytes) -> bytes:
    """Return a caption's file; it begins and ends as the `reference` caption's does."""
    return text_like(caption, reference.decode(errors="replace")).encode()


def text_like(caption: str, reference: object) -> str:
    """Return a caption with byte-order mark and white space at the end as the `reference`'s."""
    if not isinstance(reference, str):
        return caption
    mark = "\ufeff" if reference.startswith("\ufeff") else ""
    return mark + caption.lstrip("\ufeff").rstrip() + reference[len(reference.rstrip()) :]


def is_ascii(text: bytes) -> bool:
    """Return whether JSON has no letter beyond ASCII, but for a byte-order mark."""
    return text.removeprefix(codecs.BOM_UTF8).isascii()


def changed_fields(
    fields: Mapping[str, object], caption: str, image: bytes, reference: bytes
) -> dict[str, object]:
    """Return which fields of a pair's JSON a new caption and image change, and to what.

    Size and hashes change only if they were the stored file's: img2dataset's hash is that of the
    downloaded file, so a hash that fits would itself stand out.

    Args:
        fields: the JSON of the pair that is the model.
        caption: the new caption.
        image: the new image file.
        reference: the model's image file.
    """
    changes: dict[str, object] = {}
    if "caption" in fields:
        changes["caption"] = text_like(caption, fields["caption"])
    size = ("width", "height")
    for name, old, new in zip(size, image_size(reference), image_size(image), strict=True):
        if fields.get(name) == old:
            changes[name] = new
    for name in _HASHES:
        if name in fields and fields[name] == hashlib.new(name, reference).hexdigest():
            changes[name] = hashlib.new(name, image).hexdigest()
    return changes


def identifiers(
    fields: Mapping[str, object], peers: Sequence[Mapping[str, object]]
) -> dict[str, list[object]]:
    """Return those fields that identify a pair, such as ``uid`` or ``url``, and peers' values.

    A text or whole number counts as an identifier if no two of the pairs share a value.

    Args:
        fields: the JSON of a pair.
        peers: the JSON of other pairs near it.
    """
    found: dict[str, list[object]] = {}
    for name, value in fields.items():
        seen = [peer.get(name) for peer in peers]
        alike = type(value) in {int, str} and all(type(other) is type(value) for other in seen)
        if len(seen) > 1 and alike and len({value, *seen}) == len(seen) + 1:
            found[name] = seen
    return found


def invented_fields(
    fields: Mapping[str, object], peers: Sequence[Mapping[str, object]], rng: np.random.Generator
) -> dict[str, object]:
    """Return new identifiers for a pair among its peers, numbers free between theirs.

    Where there is no number between them, one of theirs comes twice.
    """
    invented: dict[str, object] = {}
    for name, seen in identifiers(fields, peers).items():
        own = fields[name]
        if isinstance(own, str):
            invented[name] = _invented_text(own, rng)
        else:
            taken = {number for number in (own, *seen) if isinstance(number, int)}  # all of them
            for _ in range(_TRIES):
                invented[name] = int(rng.integers(min(taken), max(taken) + 1))
                if invented[name] not in taken:
                    break
    return invented


def following_fields(
    fields: Mapping[str, object],
    peers: Sequence[Mapping[str, object]],
    last: Mapping[str, object],
    step: int,
    rng: np.random.Generator,
) -> dict[str, object]:
    """Return new identifiers for a pair that moves to the end of the set.

    Args:
        fields: the pair's JSON.
        peers: the JSON of pairs near it.
        last: the JSON of the pair that was last.
        step: how many pairs moved there before it.
        rng: draws texts.
    """
    found: dict[str, object] = {}
    for name in identifiers(fields, peers):
        own, before = fields[name], last.get(name)
        if isinstance(own, str):
            found[name] = _invented_text(own, rng)
        elif isinstance(before, int):
            found[name] = before + 1 + step
    return found


def _invented_text(text: str, rng: np.random.Generator) -> str:
    """Return a text of the same form: digits for digits, letters for letters.

    In a path or address only what follows the last slash changes.
    """
    head, slash, tail = text.rpartition("/")
    is_hex = bool(tail) and set(tail.lower()) <= set("0123456789abcdef-")
    letters = "abcdef" if is_hex else "abcdefghijklmnopqrstuvwxyz"
    kinds = ("0123456789", letters, letters.upper())

    def other(letter: str) -> str:
        for kind in kinds:
            if letter in kind:
                return kind[int(rng.integers(len(kind)))]
        return letter

    stem, dot, suffix = tail.rpartition(".")
    name = stem or tail if dot else tail
    return head + slash + "".join(map(other, name)) + (dot + suffix if dot and stem else "")


def peers_of(shards: ShardSet, pair: int) -> list[dict[str, object]]:
    """Return the JSON of some pairs around `pair` in its shard."""
    shard = shards.shards[shards.shard_of(pair)]
    start = max(shard.first, min(pair - _PEERS // 2, shard.first + shard.num_pairs - _PEERS))
    stop = min(start + _PEERS, shard.first + shard.num_pairs)
    return [shards.metadata(other) for other in range(start, stop) if other != pair]


def escapes_unicode(shards: ShardSet, pair: int) -> bool:
    """Return whether the set's JSON writes letters beyond ASCII as escapes, by what lies around."""
    shard = shards.shards[shards.shard_of(pair)]
    for other in range(shard.first, shard.first + shard.num_pairs):
        text = shards.metadata_bytes(other) or b""
        if not is_ascii(text):
            return False
        if b"\\u" in text:
            return True
    return True


def patched_json(text: bytes, changes: Mapping[str, object], ascii_only: bool) -> bytes:
    """Return a JSON object with the values of some fields changed and all else as it was.

    Order, white space, the spelling of all other fields and the encoding stay.

    Args:
        text: the object.
        changes: new values of fields; those the object does not have are left out.
        ascii_only: whether other characters are written as escapes.

    Raises:
        CorruptData: it is no JSON object.
    """
    form = json.detect_encoding(text), "surrogatepass"  # as `json.loads` reads bytes
    try:
        return _patched(text.decode(*form), changes, ascii_only).encode(*form)
    except (ValueError, IndexError) as error:
        raise CorruptData(f"it is not a JSON object ({error}).") from error


def _patched(old: str, changes: Mapping[str, object], ascii_only: bool) -> str:
    pieces: list[str] = []
    copied, position = 0, _skip(old, 0) + 1  # behind the opening brace
    while old[_skip(old, position)] != "}":
        name, position = _scan_json(old, _skip(old, position))
        start = _skip(old, _skip(old, position) + 1)  # behind the colon
        _, position = _scan_json(old, start)
        if name in changes:
            pieces += old[copied:start], json.dumps(changes[name], ensure_ascii=ascii_only)
            copied = position
        position = _skip(old, position)
        if old[position] == ",":
            position += 1
    return "".join([*pieces, old[copied:]])


def _skip(text: str, position: int) -> int:
    """Return where the white space at `position` ends."""
    while text[position] in " \t\r\n":
        position += 1
    return position
