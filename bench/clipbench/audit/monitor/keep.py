"""Making the baseline at the end of an audit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from clipbench.audit.exposure.plan import CLEAN, ExposurePlan, run_of
from clipbench.audit.inventory import pairs as inventory
from clipbench.audit.inventory.model import Inventory
from clipbench.audit.inventory.take import FOLDER as INVENTORY
from clipbench.audit.inventory.take import take_inventory
from clipbench.audit.monitor import baseline
from clipbench.audit.monitor.baseline import Known
from clipbench.audit.monitor.differences import Bools, Ints
from clipbench.audit.monitor.encode import COLUMNS, encoded
from clipbench.audit.monitor.pairs import hash_of
from clipbench.audit.request import AuditRequest
from clipbench.configuration.identity import identify
from clipbench.custody.record import note_made
from clipbench.errors import ClipbenchError, MissingData
from clipbench.files import sums
from clipbench.files.json_files import sha256_file
from clipbench.models.openclip import CONFIG_FILE
from clipbench.models.weights import WEIGHTS_FILE
from clipbench.plugins import registry
from clipbench.results import folders
from clipbench.rng import generator

if TYPE_CHECKING:
    import pyarrow as pa

MOST_HELD_OUT = 10_000  # pairs that deliveries are compared with
MOST_SUSPECTS = 200  # that are the most suspicious of the audit
_SCORES = Path("suspects", "scores.parquet")
THRESHOLD = 0.01  # share of held-out pairs whose similarity is below the threshold


class _Divided(Protocol):
    """A data set of which a part is held out, as ``own``."""

    @property
    def parts(self) -> tuple[Ints, Ints, Ints]:
        """Pairs of tests, targets and training, among all complete pairs of the set."""


def keep_baseline(request: AuditRequest, plan: ExposurePlan) -> baseline.Head | None:
    """Write the baseline of an audit, from its run of ``clip`` on clean pairs.

    Args:
        request: the audit; its runs are done.
        plan: of exposure.

    Returns:
        What the baseline says; None: the audit trained nothing.
    """
    if plan.refused:
        return None
    with request.untouched():
        run = run_of(request, plan, CLEAN, "clip")
        config = identify(run.config(), request.cache, request.reporter.progress)
        folder = folders.folder_of(config, request.out / "runs")
        assert isinstance(run.data, Mapping)
        return write_baseline(request, folder, run.data)


def write_baseline(
    request: AuditRequest, model: Path, own: Mapping[str, object], threshold: float | None = None
) -> baseline.Head:
    """Write what the monitor needs into ``baseline`` of the audit's folder, if it is not there.

    Args:
        request: the audit; its inventory is taken, if it is not there.
        model: folder of a run of the defense ``clip`` on unpoisoned pairs, or of its model.
        own: the data set of that run, see `AuditRequest.own`.
        threshold: similarity below which a pair counts as fitting badly; None: that of one held-out
            pair in a hundred.

    Raises:
        MissingData: there is no such model.
        BadSetting: there are too few pairs for any to be held out.
    """
    model = model / "model" if (model / "model").is_dir() else model
    if not (model / WEIGHTS_FILE).is_file():
        raise MissingData(f"There is no model in {model}; run the audit again.")
    folder = request.out / baseline.FOLDER
    with request.untouched():
        made_of = _key(request, take_inventory(request), model, own, threshold)
        made = _there(folder, made_of)
        if made is None:
            made = _written(request, folder, model, own, threshold, made_of)
            note_made("baseline", sha256_file(folder / baseline.HEAD))
    return made


def _key(
    request: AuditRequest,
    found: Inventory,
    model: Path,
    own: Mapping[str, object],
    threshold: float | None,
) -> str:
    """Return the hash of all that decides a baseline."""
    scores = request.out / _SCORES
    return sums.of_json(
        {
            "version": baseline.VERSION,
            "pairs_sha256": found.pairs_sha256,
            "content_sha256": request.usable.shards.content_sha256(),
            "model": sha256_file(model / WEIGHTS_FILE),
            "own": {name: str(value) for name, value in own.items()},
            "threshold": threshold,
            "scores": sha256_file(scores) if scores.is_file() else None,
            "seed": request.seed,
        }
    )


def _there(folder: Path, made_of: str) -> baseline.Head | None:
    """Return what a baseline says that is there already; None: there is none of these things."""
    try:
        head = baseline.read(folder).head
    except ClipbenchError:  # not there, or cut off: it is made again
        return None
    return head if head.made_of == made_of else None


def _written(
    request: AuditRequest,
    folder: Path,
    model: Path,
    own: Mapping[str, object],
    threshold: float | None,
    made_of: str,
) -> baseline.Head:
    """Write a baseline."""
    found = take_inventory(request)
    table = inventory.read_pairs(request.out / INVENTORY / inventory.NAME, COLUMNS)
    unseen = _unseen(request, registry.build("dataset", dict(own)))
    drawn = generator(request.seed, "baseline").permutation(np.flatnonzero(unseen))
    rows = np.sort(drawn[:MOST_HELD_OUT]).astype(np.int64)
    shards, progress = request.usable.shards, request.reporter.progress
    weights = (str(model / CONFIG_FILE), model / WEIGHTS_FILE)
    held_out = encoded(shards, rows, table, weights, progress)
    worst = _suspects(request.out / _SCORES, unseen)
    nothing = np.zeros((0, held_out.image.shape[1]), np.float32)
    suspects = (nothing, nothing)
    if len(worst):
        close = encoded(shards, worst, table, weights, progress)
        suspects = (close.image, close.text)
    if threshold is None:
        threshold = float(np.quantile(held_out.similarity, THRESHOLD))
    head = {
        "pairs": len(table),
        "content_sha256": shards.content_sha256(),
        "caption_field": request.caption_field,
        "supplier": request.supplier,
        "suppliers_by": found.suppliers_by,
        "threshold": threshold,
        "made_of": made_of,
    }
    return baseline.write(folder, model, head, held_out, _known(table, rows), suspects)


def _known(table: pa.Table, rows: Ints) -> Known:
    """Return the audited pairs that are not held out, and all suppliers."""
    others = table.take(np.flatnonzero(~np.isin(np.arange(len(table)), rows)))
    suppliers = table["supplier"].unique().to_pylist()
    return Known(
        image_hash=np.asarray(others["image_hash"], np.uint64),
        supplier=np.array([hash_of(name) for name in suppliers], np.uint64),
    )


def _unseen(request: AuditRequest, divided: _Divided) -> Bools:
    """Return which usable pairs the model was not trained on, ``(N,)``."""
    usable = request.usable
    kept = np.ones(len(usable.full), bool)
    kept[[one.pair for one in usable.unusable]] = False
    trained = np.zeros(len(usable.full), bool)
    trained[divided.parts[2]] = True
    return ~trained[kept]


def _suspects(path: Path, unseen: Bools) -> Ints:
    """Return the audit's most suspicious pairs, the first first; none where it sought none.

    Those among held-out pairs are left out: a held-out pair must be no nearer to a suspect than a
    new one is because it is one.
    """
    if not path.is_file():
        return np.zeros(0, np.int64)
    scores = inventory.read_pairs(path, ("index", "rank"))
    order = np.argsort(np.asarray(scores["rank"]), kind="stable")
    index = np.asarray(scores["index"], np.int64)[order]
    return index[~unseen[index]][:MOST_SUSPECTS]
