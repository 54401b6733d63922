"""When two captions are the same."""

from __future__ import annotations

import hashlib

from clipbench.text.visible import hashable


def caption_hash(caption: str) -> str:
    """Return 16 hexadecimal digits of a caption's SHA-256, ignoring case and white space."""
    plain = " ".join(caption.split()).casefold()
    return hashlib.sha256(hashable(plain)).hexdigest()[:16]
