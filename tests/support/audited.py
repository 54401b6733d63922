"""A small set that is audited: drawn scenes, and what was found of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from clipbench.audit.inventory.take import take_inventory
from clipbench.audit.request import AuditRequest
from clipbench.audit.suspects.find import find_suspects
from clipbench.audit.suspects.found import Suspects
from clipbench.audit.suspects.plan import SuspectsPlan
from clipbench.system.progress import Reporter
from clipbench_datasets.shapes import Shapes

PAIRS = 120
EPOCHS = {"early": 1, "safeclip": 3, "dao": 1}


@dataclass(frozen=True)
class Audited:
    """A request and what was found for it."""

    request: AuditRequest
    plan: SuspectsPlan
    found: Suspects


def audit_of_scenes(folder: Path) -> Audited:
    """Return the suspects of drawn scenes, after the shortest training."""
    data = Shapes(size=PAIRS, image_size=16).prepare(folder / "cache")
    request = AuditRequest(
        data=str(data), out=folder / "out", cache=folder / "cache", reporter=Reporter(quiet=True)
    )
    take_inventory(request, workers=0)
    plan = SuspectsPlan(
        pairs=PAIRS, canaries=12, epochs=EPOCHS, per_epoch=None, seeds=[0, 1], seconds=1.0
    )
    return Audited(request, plan, find_suspects(request, plan))
