"""What an inventory says, as it is kept in ``inventory.json``."""

from __future__ import annotations

import msgspec

from clipbench.audit.inventory.suppliers import By

MANY = 10  # captions with one image that are worth a look
MOST_WORDS = 30  # captions of as many words and more are counted together


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """The smallest of some numbers, what 5, 50 and 95% of them do not exceed, and the largest."""

    least: int
    low: int
    middle: int
    high: int
    most: int


class Copies(msgspec.Struct, frozen=True, kw_only=True):
    """Images or captions that several pairs have.

    Args:
        groups: different ones.
        pairs: that have them.
        shared: those of the groups that several suppliers deliver.
    """

    groups: int
    pairs: int
    shared: int


class Burst(msgspec.Struct, frozen=True, kw_only=True):
    """An image that several pairs have, byte for byte or saved again.

    Args:
        pairs: that have it.
        captions: different ones among theirs.
        files: different ones among their images, to the byte.
        suppliers: that deliver it.
        key: of the first of the pairs.
        shard: that holds that one.
        caption: of that one, shortened.
        thumbnail: the image as a small JPEG, in Base64.
    """

    pairs: int
    captions: int
    files: int
    suppliers: int
    key: str
    shard: str
    caption: str
    thumbnail: str


class Repeat(msgspec.Struct, frozen=True, kw_only=True):
    """A caption that several pairs have, but for case and white space.

    Args:
        caption: as the first of the pairs has it, shortened.
        pairs: that have it.
        images: different ones among theirs; those that look the same count once.
        suppliers: that deliver it.
    """

    caption: str
    pairs: int
    images: int
    suppliers: int


class Supplier(msgspec.Struct, frozen=True, kw_only=True):
    """What one supplier delivers.

    Args:
        name: empty: no field, URL or folder names one.
        pairs: all.
        exact: those whose image another pair has, to the byte.
        alike: those whose image looks like that of another pair, exact copies among them.
        shared: those whose image another supplier delivers, too.
        repeated: those whose caption another pair has.
    """

    name: str
    pairs: int
    exact: int
    alike: int
    shared: int
    repeated: int


class Inventory(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a set.

    Args:
        pairs: that can be used.
        left_out: pairs that can't, by reason.
        shards: files that hold them.
        image_bytes: of all images as they are stored.
        extensions: pairs by the extension of their image.
        sides: pixels of the shorter sides.
        exact: images that several pairs have, to the byte.
        alike: images that several pairs have, to the byte or to the eye.
        bursts: those that most pairs have.
        contested: those that come with most captions.
        many: images that come with `MANY` different captions or more.
        words: of captions.
        lengths: pairs by the words of their caption, 0 to `MOST_WORDS`.
        scripts: pairs by the script of their caption.
        captions: different ones.
        repeated: captions that several pairs have.
        repeats: those that most pairs have.
        suppliers_by: what names suppliers.
        suppliers_count: how many there are; pairs of unnamed ones count as one's.
        suppliers: those that deliver most pairs.
        unnamed: pairs of which nobody is named; all, where nothing names suppliers.
        pairs_sha256: of ``pairs.parquet``.
    """

    pairs: int
    left_out: dict[str, int]
    shards: int
    image_bytes: int
    extensions: dict[str, int]
    sides: Spread
    exact: Copies
    alike: Copies
    bursts: tuple[Burst, ...]
    contested: tuple[Burst, ...]
    many: int
    words: Spread
    lengths: tuple[int, ...]
    scripts: dict[str, int]
    captions: int
    repeated: Copies
    repeats: tuple[Repeat, ...]
    suppliers_by: By
    suppliers_count: int
    suppliers: tuple[Supplier, ...]
    unnamed: int
    pairs_sha256: str
