"""What an inventory says, as it is kept in ``inventory.json``."""

from __future__ import annotations

import msgspec

from clipbench.audit.inventory.suppliers import By


class Inventory(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a set.

    Args:
        pairs: that can be used.
        left_out: pairs that can't, by reason.
        shards: files that hold them.
        suppliers_by: what names suppliers.
        scripts: pairs by the script of their caption.
        extensions: pairs by the extension of their image.
        pairs_sha256: of ``pairs.parquet``.
    """

    pairs: int
    left_out: dict[str, int]
    shards: int
    suppliers_by: By
    scripts: dict[str, int]
    extensions: dict[str, int]
    pairs_sha256: str
