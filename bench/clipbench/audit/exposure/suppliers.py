"""In whose pairs' places canaries were put: they are drawn at random, so in proportion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from clipbench.audit.exposure.found import Supplier
from clipbench.audit.inventory import pairs
from clipbench.audit.inventory.suppliers import shown_name
from clipbench.audit.inventory.take import FOLDER, take_inventory
from clipbench.audit.request import AuditRequest
from clipbench.importing.entries import LooseSource
from clipbench.poisoning.ledger import Ledger
from clipbench.shards.reader import ShardSet


def canaries_by_supplier(
    request: AuditRequest, source: LooseSource, clean: ShardSet, ledgers: Iterable[Ledger]
) -> tuple[Supplier, ...]:
    """Return each supplier's pairs that are trained on, and the canaries in their places.

    Args:
        request: the audit.
        source: lists the pairs of the copy, under the names that they have in the user's shards.
        clean: the copy, before canaries were put into it; keys are the numbers of the list.
        ledgers: what was poisoned.

    Returns:
        Those with the most pairs first; none where nothing names suppliers.
    """
    if take_inventory(request).suppliers_by == "none":
        return ()
    table = pairs.read_pairs(request.out / FOLDER / pairs.NAME, ["supplier"])
    usable, names = request.usable.shards, table.column("supplier").to_pylist()
    of_name = {usable.where(pair): name for pair, name in enumerate(names)}
    of_number = [shown_name(of_name.get(entry.name, "")) for entry in source.entries()]
    copied = Counter(of_number[int(clean.key(pair))] for pair in range(len(clean)))
    planted = Counter(
        of_number[int(clean.key(int(pair)))]
        for ledger in ledgers
        for pair in ledger.rows["base_index"]
        if pair >= 0
    )
    return tuple(Supplier(name, count, planted[name]) for name, count in copied.most_common())
