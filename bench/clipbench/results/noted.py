"""What the log of commands says of results."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from clipbench.custody.record import note_made, note_used
from clipbench.files.sums import of_json
from clipbench.results.model import Result


def written_at(path: Path) -> int | None:
    """Return when a file was written, in nanoseconds; None: it is not there."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def note_results(results: Iterable[Result]) -> None:
    """Note what runs were trained on, and what came out, if there is a log."""
    for result in results:
        note_used(f"data {result.data.name}", result.data.content_sha256)
        if (ledger := result.attack.ledger_sha256) is not None:
            note_made(f"ledger of {result.id}", ledger)
        note_made(f"result {result.id}", of_json(result.record))
