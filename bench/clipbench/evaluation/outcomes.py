"""Which trials succeeded, one bit each: what comparing two defenses trial by trial needs."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from clipbench.errors import CorruptData

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    BoolArray = npt.NDArray[np.bool_]


def pack(succeeded: BoolArray) -> str:
    """Return outcomes as text: bits, the first trial the highest of the first byte, in base64."""
    import numpy as np  # noqa: PLC0415 - reading results does without

    return base64.b64encode(np.packbits(np.asarray(succeeded, dtype=bool)).tobytes()).decode()


def count(text: object, n: int) -> int:
    """Return how many of n trials succeeded, from what `pack` wrote.

    Raises:
        CorruptData: they are none, or of another number of trials.
    """
    return _bits(text, n).bit_count()


def unpack(text: object, n: int) -> BoolArray:
    """Return the outcomes of n trials that `pack` wrote.

    Raises:
        CorruptData: they are none, or of another number of trials.
    """
    import numpy as np  # noqa: PLC0415 - reading results does without

    bits = _bits(text, n)
    packed = np.frombuffer(bits.to_bytes(-(-n // 8), "big"), dtype=np.uint8)
    return np.unpackbits(packed).astype(bool)[:n]


def _bits(text: object, n: int) -> int:
    """Return all bits as one number, those beyond n being none."""
    try:
        if not isinstance(text, str):
            raise TypeError(text)
        packed = base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise CorruptData(f"Outcomes must be bits in base64, but are {text!r:.60}.") from error
    bits = int.from_bytes(packed, "big")
    beyond = 8 * len(packed) - n
    if len(packed) != -(-n // 8) or bits % (1 << beyond):
        raise CorruptData(f"Outcomes are of {8 * len(packed)} trials at most, not of {n}.")
    return bits
