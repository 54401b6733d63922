"""Which programs decode images: pixels that are kept are theirs, not those of another version."""

from __future__ import annotations

import hashlib
from functools import cache

from PIL import features

from clipbench.system.versions import version_of

_PACKAGES = ("pillow", "simplejpeg")
_LIBRARIES = ("jpg", "libjpeg_turbo", "webp")  # that Pillow was built with; PNG loses nothing


@cache
def decoders(made: str) -> str:
    """Return what tells pixels apart by who made them, 8 hex digits.

    Args:
        made: what of clipbench's own made them, and which version of that.
    """
    told = [made, *map(version_of, _PACKAGES), *map(features.version, _LIBRARIES)]
    return hashlib.sha256(repr(told).encode()).hexdigest()[:8]
