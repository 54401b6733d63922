"""What the rows of all pairs say together: copies, bursts, repeated captions, suppliers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from clipbench.audit.inventory.grouping import Codes, Groups, codes_of, spread_of
from clipbench.audit.inventory.model import MANY, MOST_WORDS, Burst, Repeat, Spread, Supplier
from clipbench.audit.inventory.near import look_alike, sketch
from clipbench.audit.inventory.pairs import Joined, read_pairs
from clipbench.contracts import Progress
from clipbench.leaderboard.render import to_csv
from clipbench.pipeline.suspects import picture
from clipbench.shards.reader import ShardSet
from clipbench.system.durable import atomic_file
from clipbench.text.visible import visible
from clipbench.toolkit.lookalikes import Hashes

if TYPE_CHECKING:
    import pyarrow as pa

LISTED = 20  # bursts, captions and suppliers of the inventory; files beside it hold more
FILED = 10_000  # captions in a file
_SHOWN = 200  # characters of a caption
_THUMBNAIL = 96  # pixels
_READ = ("image_sha256", "image_hash", "caption_sha256", "supplier", "words", "width", "height")


@dataclass(frozen=True)
class Counted:
    """The rows of a set in groups.

    Args:
        shards: the set.
        table: of pyarrow, the rows.
        slopes: ``(N,)`` hashes of where images get brighter.
        progress: told about images that are compared.
    """

    shards: ShardSet
    table: pa.Table
    slopes: Hashes
    progress: Progress

    @classmethod
    def of(cls, shards: ShardSet, path: Path, joined: Joined, progress: Progress) -> Counted:
        """Return the rows in a file that `join` wrote."""
        table = read_pairs(path, [*_READ, "image_bytes", "key", "shard"])
        return cls(shards, table, np.concatenate(joined.slopes), progress)

    def numbers(self, name: str) -> npt.NDArray[np.integer]:
        """Return a column of numbers, ``(N,)``."""
        column: npt.NDArray[np.integer] = self.table.column(name).to_numpy()
        return column

    @cached_property
    def exact(self) -> Groups:
        """The pairs of each image, to the byte."""
        return Groups(codes_of(self.table.column("image_sha256"))[0])

    @cached_property
    def captions(self) -> Groups:
        """The pairs of each caption."""
        return Groups(codes_of(self.table.column("caption_sha256"))[0])

    @cached_property
    def _suppliers(self) -> tuple[Codes, list[str]]:
        return codes_of(self.table.column("supplier"))

    @property
    def suppliers(self) -> Groups:
        """The pairs of each supplier."""
        return Groups(self._suppliers[0])

    @cached_property
    def alike(self) -> Groups:
        """The pairs of each image, to the eye."""
        self.progress("comparing images", 0, len(self.shards))

        def sketch_of(pair: int) -> npt.NDArray[np.uint8]:
            self.progress("comparing images", pair, len(self.shards))
            return sketch(self.shards.image_bytes(pair))

        hashes = self.table.column("image_hash").to_numpy(), self.slopes
        found = look_alike(hashes, self.exact.codes, sketch_of)
        self.progress("comparing images", len(self.shards), len(self.shards))
        return Groups(found)

    # ------------------------------------------------------------------------- lists

    def lengths(self) -> tuple[int, ...]:
        """Return how many captions have 0, 1, 2, ... words."""
        words = np.minimum(self.numbers("words"), MOST_WORDS)
        return tuple(np.bincount(words, minlength=MOST_WORDS + 1).tolist())

    def bursts(self, *, by_captions: bool) -> tuple[Burst, ...]:
        """Return the images that most pairs have, or that come with most captions."""
        groups = self.alike
        captions = groups.different(self.captions.codes)
        files = groups.different(self.exact.codes)
        suppliers = groups.different(self.suppliers.codes)
        found = []
        for group in groups.largest(captions if by_captions else groups.sizes, LISTED):
            first = int(groups.firsts[group])
            found.append(
                Burst(
                    pairs=int(groups.sizes[group]),
                    captions=int(captions[group]),
                    files=int(files[group]),
                    suppliers=int(suppliers[group]),
                    key=self.table.column("key")[first].as_py(),
                    shard=self.table.column("shard")[first].as_py(),
                    caption=self._caption(first),
                    thumbnail=picture(self.shards, first, _THUMBNAIL),
                )
            )
        return tuple(found)

    def many(self) -> int:
        """Return how many images come with `MANY` different captions or more."""
        return int((self.alike.different(self.captions.codes) >= MANY).sum())

    def repeats(self, count: int = LISTED) -> tuple[Repeat, ...]:
        """Return the captions that most pairs have."""
        groups = self.captions
        images = groups.different(self.alike.codes)
        suppliers = groups.different(self.suppliers.codes)
        return tuple(
            Repeat(
                caption=self._caption(int(groups.firsts[group])),
                pairs=int(groups.sizes[group]),
                images=int(images[group]),
                suppliers=int(suppliers[group]),
            )
            for group in groups.largest(groups.sizes, count)
        )

    def by_supplier(self) -> list[Supplier]:
        """Return what each supplier delivers, those with most pairs first."""
        codes, names = self._suppliers
        is_shared = (self.alike.different(codes) > 1)[self.alike.codes]
        columns = {
            "exact": self.exact.is_repeated,
            "alike": self.alike.is_repeated,
            "shared": is_shared,
            "repeated": self.captions.is_repeated,
        }
        counts = {
            name: np.bincount(codes[flag], minlength=len(names)).tolist()
            for name, flag in columns.items()
        }
        pairs = self.suppliers.sizes.tolist()
        order = sorted(range(len(names)), key=lambda number: (-pairs[number], names[number]))
        return [
            Supplier(
                name=names[number],
                pairs=pairs[number],
                **{name: count[number] for name, count in counts.items()},
            )
            for number in order
        ]

    def _caption(self, pair: int) -> str:
        text = visible(" ".join(self.shards.caption(pair).split()))
        return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"

    # ------------------------------------------------------------------------- files

    def write_copies(self, path: Path) -> None:
        """Write all pairs whose image another pair has, group by group, largest first."""
        groups = self.alike
        pairs = np.flatnonzero(groups.is_repeated)
        sizes = groups.sizes[groups.codes[pairs]]
        pairs = pairs[np.lexsort((pairs, groups.firsts[groups.codes[pairs]], -sizes))]
        rows = self.table.select(["key", "shard", "supplier", "image_sha256"]).take(pairs)
        frame = rows.to_pandas()
        frame.insert(0, "group", pd.factorize(groups.codes[pairs])[0] + 1)
        frame.insert(1, "pairs", groups.sizes[groups.codes[pairs]])
        frame.insert(2, "index", pairs)
        frame["caption"] = [text[:_SHOWN] for text in self.shards.captions(pairs)]
        _write(path, frame)

    def write_repeats(self, path: Path) -> None:
        """Write the captions that most pairs have, at most `FILED`."""
        rows = self.repeats(FILED)
        frame = pd.DataFrame(
            [(one.pairs, one.images, one.suppliers, one.caption) for one in rows],
            columns=["pairs", "images", "suppliers", "caption"],
        )
        _write(path, frame)

    def write_suppliers(self, path: Path, suppliers: list[Supplier]) -> None:
        """Write what each supplier delivers."""
        names = ["supplier", "pairs", "exact copies", "look alike", "shared", "repeated captions"]
        rows = [(s.name, s.pairs, s.exact, s.alike, s.shared, s.repeated) for s in suppliers]
        _write(path, pd.DataFrame(rows, columns=names))

    def spreads(self) -> tuple[Spread, Spread]:
        """Return how shorter sides and words are spread."""
        sides = np.minimum(self.numbers("width"), self.numbers("height"))
        return spread_of(sides), spread_of(self.numbers("words"))


def _write(path: Path, frame: pd.DataFrame) -> None:
    """Write a table for a spreadsheet; no text in it is a formula."""
    with atomic_file(path) as file:
        file.write(to_csv(frame).encode("utf-8", "replace"))
