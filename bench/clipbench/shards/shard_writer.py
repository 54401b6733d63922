"""One shard, written block by block without tarfile, which would take several times as long."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from clipbench.errors import BadSetting, ClipbenchError, CorruptData
from clipbench.files import tar
from clipbench.files.fields import plain
from clipbench.images.encoding import image_size
from clipbench.shards import index as indexing

KEY_DIGITS = 4  # of a pair within its shard; five more are the shard's, as img2dataset numbers
_FLUSH = 1 << 22
_OWN_FIELDS = frozenset({"caption", "key", "status", "sha256"})
_encode_json = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_encode_text = json.encoder.encode_basestring_ascii  # what JSONEncoder itself calls for a text
_SIZE = frozenset({"width", "height"})


@dataclass(frozen=True)
class Sample:
    """A pair as it is written.

    Args:
        image: the image file.
        extension: jpg, png or webp; jpeg is written as jpg.
        caption: the caption.
        metadata: further fields of the pair's JSON; ``width`` and ``height`` where they are known.
    """

    image: bytes
    extension: str
    caption: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True)
class LeftOut:
    """A pair that its source lists and that can't be used; its key stays free.

    Args:
        name: what the source calls it, e.g. ``row 17``.
        reason: why, in a few words that are the same for all pairs of the kind.
        detail: what exactly was found.
        image: the image file, where there should be one.
    """

    name: str
    reason: str
    detail: str
    image: str = ""


def key_of(shard: int, number: int) -> str:
    """Return the key of a pair by its number in its shard."""
    return f"{shard:05d}{number:0{KEY_DIGITS}d}"


class ShardWriter:
    """Writes the tar of one shard and notes where everything lies.

    Args:
        shard: the shard's number, the first digits of its keys.
        write: takes the tar's bytes.

    Attributes:
        rows: index rows of the pairs so far.
        left_out: pairs that were left out, each with its number in the shard.
        position: bytes so far, some of them still in memory.
        digest: SHA-256 of the bytes handed to `write`.
    """

    def __init__(self, shard: int, write: Callable[[bytes], object]) -> None:
        self._shard, self._write = shard, write
        self.rows: list[indexing.Row] = []
        self.left_out: list[tuple[int, LeftOut]] = []
        self.digest = hashlib.sha256()
        self.position = 0
        self._blocks: list[bytes] = []
        self._flushed = 0

    def write_all(self, samples: Iterable[Sample | LeftOut], start: int, stop: int) -> None:
        """Write all samples of pairs start .. stop - 1 and end the tar.

        The key of a pair that is left out is given to no other, as img2dataset does with images
        that it could not fetch.

        Raises:
            ClipbenchError: there are more or fewer samples.
        """
        wanted, span = stop - start, f"pairs {start} to {stop - 1}"
        came = 0
        for number, sample in enumerate(samples):
            if number == wanted:
                raise ClipbenchError(f"More than {wanted} samples came for {span}.")
            came += 1
            if isinstance(sample, LeftOut):
                self.left_out.append((number, sample))
                continue
            self._add(sample, number)
            if self.position - self._flushed >= _FLUSH:
                self._flush()
        if came < wanted:
            raise ClipbenchError(
                f"Only {came} of {wanted} samples came for {span}; the source must yield them all."
            )
        end = tar.end_of_archive(self.position)
        self._blocks.append(end)
        self.position += len(end)
        self._flush()

    def _add(self, sample: Sample, number: int) -> None:
        """Append the members of one pair in order of their names."""
        key = key_of(self._shard, number)
        name = key.encode()
        if sample.extension == "jpeg":  # as other programs call the same
            sample = replace(sample, extension="jpg")
        if sample.extension not in {"jpg", "png", "webp"}:
            raise BadSetting(f"An image must be jpg, png or webp, not {sample.extension!r}.")
        json_text = _metadata(sample, key)
        caption = sample.caption.encode()
        image_at = self.position + tar.BLOCK
        if sample.extension == "jpg":
            image_at = self._member(name + b".jpg", sample.image)
        json_at = self._member(name + b".json", json_text)
        if sample.extension == "png":
            image_at = self._member(name + b".png", sample.image)
        caption_at = self._member(name + b".txt", caption)
        if sample.extension == "webp":
            image_at = self._member(name + b".webp", sample.image)
        self.rows.append(
            (
                self._shard,
                image_at,
                len(sample.image),
                caption_at,
                len(caption),
                json_at,
                len(json_text),
                indexing.EXTENSIONS.index(sample.extension),
                name,
                zlib.crc32(sample.image),
                zlib.crc32(caption),
                zlib.crc32(json_text),
            )
        )

    def _member(self, name: bytes, content: bytes) -> int:
        """Append a file and return where its content lies."""
        size = len(content)
        offset = self.position + tar.BLOCK
        self._blocks += (tar.header(name, size), content, tar.ZEROS[: -size % tar.BLOCK])
        self.position = offset + size + -size % tar.BLOCK
        return offset

    def _flush(self) -> None:
        data = b"".join(self._blocks)
        self._blocks.clear()
        self.digest.update(data)
        self._write(data)
        self._flushed = self.position


def _metadata(sample: Sample, key: str) -> bytes:
    """Return the pair's JSON, with the fields img2dataset gives a pair it has fetched.

    What JSON can't say, a number that is none or not finite, is written as null.
    """
    extra = sample.metadata
    if not _OWN_FIELDS.isdisjoint(extra):
        raise BadSetting(f"Metadata can't set {', '.join(sorted(_OWN_FIELDS & extra.keys()))}.")
    if "width" in extra and "height" in extra:
        width, height = int(extra["width"]), int(extra["height"])
    else:
        try:
            width, height = image_size(sample.image)
        except CorruptData as error:
            raise CorruptData(
                f"The image of the pair that gets key {key} ({sample.caption[:60]!r}): {error}"
            ) from error
    digest = hashlib.sha256(sample.image).hexdigest()
    text = (
        f'{{"caption":{_encode_text(sample.caption)},"key":"{key}","status":"success",'
        f'"width":{width},"height":{height},"sha256":"{digest}"'
    )
    rest = {field: value for field, value in extra.items() if field not in _SIZE}
    if not rest:
        return f"{text}}}".encode()
    try:
        own = _encode_json(rest)
    except ValueError:  # a source's NaN or infinity, which JSON does not have
        own = _encode_json(plain(rest))
    return f"{text},{own[1:]}".encode()
