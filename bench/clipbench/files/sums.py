"""Checksums of what is kept, and the look at them: bytes rot on disks and in memory, unseen.

They are no seal: whoever changes a file on purpose can make its checksum fit. Files of JSON carry
the SHA-256 of all else that they say. Weights and arrays carry the CRC-32 of the standard library,
which finds every change within four bytes and reads gigabytes a second. PyTorch writes one for
every tensor in its files; `clipbench.tensors.files` looks at it.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

FIELD = "sha256_of_rest"
_IN_WEIGHTS = "clipbench_crc32"  # in the metadata of a safetensors file
_NONE_YET = "0" * 8
_CHUNK = 1 << 20


# ------------------------------------------------------------------------------ JSON


def of_json(value: object) -> str:
    """Return the SHA-256 of a value's canonical JSON; the order of keys does not matter.

    Raises:
        TypeError, ValueError: JSON cannot say it.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def summed(content: Mapping[str, object]) -> dict[str, object]:
    """Return an object of JSON with the checksum of all else that it says, in place of an old one.

    Raises:
        TypeError, ValueError: JSON cannot say it.
    """
    rest = {key: value for key, value in content.items() if key != FIELD}
    as_read = json.loads(json.dumps(rest, allow_nan=False))
    return {**rest, FIELD: of_json(as_read)}


def is_sound(content: Mapping[str, object]) -> bool:
    """Return whether an object of JSON is as it was written; one without a checksum is taken so."""
    if FIELD not in content:
        return True
    rest = {key: value for key, value in content.items() if key != FIELD}
    try:
        return bool(content[FIELD] == of_json(rest))
    except (TypeError, ValueError, RecursionError):  # NaN, which none of ours holds
        return False


# ------------------------------------------------------------------------------ tensors


def write_weights(file: IO[bytes], state: Mapping[str, Tensor]) -> None:
    """Write tensors as a safetensors file that carries its checksum.

    Args:
        file: where to.
        state: contiguous tensors on the CPU, by name.
    """
    from safetensors.torch import save  # noqa: PLC0415 - needed here alone

    content = memoryview(save(dict(state), metadata={_IN_WEIGHTS: _NONE_YET}))
    at = _place_of_sum(bytes(content[: 8 + int.from_bytes(content[:8], "little")]))
    file.write(content[:at])
    file.write(f"{zlib.crc32(content):08x}".encode())
    file.write(content[at + len(_NONE_YET) :])


def _place_of_sum(head: bytes) -> int:
    """Return where in the beginning of a safetensors file its checksum stands; 0: nowhere."""
    before = f'"{_IN_WEIGHTS}":"'.encode()
    return head.find(before) + len(before) if before in head else 0


def is_sound_weights(file: IO[bytes]) -> bool:
    """Return whether a safetensors file is as `write_weights` wrote it; without a checksum it is.

    Args:
        file: the open file, at its beginning.
    """
    size = file.read(8)
    head = size + file.read(int.from_bytes(size, "little"))
    at = _place_of_sum(head)
    if not at:
        return True
    end = at + len(_NONE_YET)
    found = zlib.crc32(head[:at] + _NONE_YET.encode() + head[end:])
    while block := file.read(_CHUNK):
        found = zlib.crc32(block, found)
    return head[at:end] == f"{found:08x}".encode()
