"""How strongly a lossy WebP was quantized (RFC 6386, sections 7 and 9).

The quality an encoder was asked for is not stored; the quantizer index it chose is, in the frame
header, behind a few other fields that are coded with an arithmetic coder.
"""

from __future__ import annotations

import struct


class _Bits:
    """The boolean decoder of RFC 6386, section 7.3, for bits of probability one half."""

    def __init__(self, data: bytes) -> None:
        self._data, self._next = data, 2
        self._value = int.from_bytes(data[:2], "big")
        self._range, self._shifted = 255, 0

    def bit(self) -> int:
        split = 1 + ((self._range - 1) * 128 >> 8)
        is_one = self._value >= split << 8
        if is_one:
            self._range -= split
            self._value -= split << 8
        else:
            self._range = split
        while self._range < 128:
            self._value <<= 1
            self._range <<= 1
            self._shifted += 1
            if self._shifted == 8:
                self._shifted = 0
                self._value |= self._data[self._next] if self._next < len(self._data) else 0
                self._next += 1
        return int(is_one)

    def number(self, bits: int) -> int:
        value = 0
        for _ in range(bits):
            value = value << 1 | self.bit()
        return value

    def skip_optional(self, count: int, bits: int) -> None:
        """Pass over numbers that are each behind a flag telling whether they are there."""
        for _ in range(count):
            if self.bit():
                self.number(bits)


def quantizer(data: bytes) -> int | None:
    """Return the base quantizer index, 0 (fine) to 127 (coarse); None if the file is lossless."""
    frame = _chunk(data, b"VP8 ")
    if frame is None:
        return None
    bits = _Bits(frame[10:])  # behind frame tag, start code and dimensions
    bits.number(2)  # color space, clamping
    if bits.bit():  # segments
        has_map, has_features = bits.bit(), bits.bit()
        if has_features:
            bits.bit()  # absolute or relative
            bits.skip_optional(4, 8)  # quantizers and signs
            bits.skip_optional(4, 7)  # loop filter levels and signs
        if has_map:
            bits.skip_optional(3, 8)
    bits.number(10)  # filter type, level, sharpness
    if bits.bit() and bits.bit():  # loop filter deltas, and whether they are given
        bits.skip_optional(8, 7)
    bits.number(2)  # partitions
    return bits.number(7)


def _chunk(data: bytes, kind: bytes) -> bytes | None:
    """Return a RIFF chunk's content."""
    position = 12
    while position + 8 <= len(data):
        (size,) = struct.unpack_from("<I", data, position + 4)
        if data[position : position + 4] == kind:
            return data[position + 8 : position + 8 + size]
        position += 8 + size + size % 2
    return None
