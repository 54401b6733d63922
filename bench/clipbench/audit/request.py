"""What an audit is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from clipbench.errors import BadSetting
from clipbench.fetching.remote import is_remote
from clipbench.fetching.sources import expand
from clipbench.importing.usable import UsablePairs, open_usable
from clipbench.shards.index import kept_apart
from clipbench.system.progress import Reporter
from clipbench.text.locations import redacted
from clipbench.text.visible import visible

DEFENSES = ("none", "clip", "safeclip")
MODEL = "shapes-32"
BUDGET_S = 7_200.0


@dataclass(frozen=True, kw_only=True)
class AuditRequest:
    """What to audit, and what it may cost.

    Args:
        data: the user's shards, as ``own:path=`` takes them; they are read and nothing else.
        out: folder of the audit.
        cache: for indexes, decoded images and copies of pairs.
        reporter: told about progress.
        caption_field: field of the JSON that holds captions; None: they are in ``KEY.txt``.
        supplier: field of the JSON that names who delivered a pair; None: see
            `clipbench.audit.inventory`.
        classes: file with a class per line; None: what captions name most often.
        defenses: those whose price and protection are measured; ``none`` and ``clip`` among them.
        model: that is trained.
        budget_s: seconds that the whole audit may take.
        labels: CSV of reviewed pairs; None: nobody has reviewed any.
        seed: of all that is drawn.
    """

    data: str
    out: Path
    cache: Path
    reporter: Reporter
    caption_field: str | None = None
    supplier: str | None = None
    classes: Path | None = None
    defenses: tuple[str, ...] = DEFENSES
    model: str = MODEL
    budget_s: float = BUDGET_S
    labels: Path | None = None
    seed: int = 0

    @cached_property
    def usable(self) -> UsablePairs:
        """The pairs that can be used, and a list of those that can't."""
        with self.untouched():
            return open_usable(
                self.data,
                self.cache,
                caption_field=self.caption_field,
                on_error="skip",
                progress=self.reporter.progress,
            )

    def opened(self) -> dict[Path, str]:
        """Return the SHA-256 of every shard as it was opened, by its path."""
        with self.untouched():
            full = self.usable.full
            paths = (shard.path for shard in full.shards)
            return dict(zip(paths, full.hashes(self.reporter.progress), strict=True))

    @contextmanager
    def untouched(self) -> Iterator[None]:
        """Let nothing appear in the folders of the user's shards meanwhile, whoever opens them.

        Their indexes and hashes are kept in the cache.

        Raises:
            BadSetting: they are remote.
            MissingData: they are not there.
        """
        if is_remote(self.data):
            raise BadSetting(
                f"{visible(redacted(self.data))} is remote, and an audit reads shards of this"
                " machine; fetch them, and give --data their folder."
            )
        with kept_apart(expand(self.data), self.cache):
            yield

    def own(self, **more: str | int | None) -> Mapping[str, str | int]:
        """Return the data set of the user's pairs with a part held out, as a plugin's spec.

        Captions of a crawl are sentences that name several things: the first is taken.

        Args:
            more: parameters of ``own``, such as ``size``.
        """
        given: dict[str, str | int | None] = {
            "path": self.data,
            "caption_field": self.caption_field,
            "classes": None if self.classes is None else str(self.classes),
            "several": "first",
            "seed": self.seed,
            **more,
        }
        return {"name": "own", **{key: value for key, value in given.items() if value is not None}}
