"""The search for suspects: scores of several methods, one rank, reasons, files."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from clipbench import __version__
from clipbench.audit.inventory import pairs as rows
from clipbench.audit.inventory import take
from clipbench.audit.request import AuditRequest
from clipbench.audit.stage import kept
from clipbench.audit.suspects import describe
from clipbench.audit.suspects.canaries import plant
from clipbench.audit.suspects.combine import combined, risk
from clipbench.audit.suspects.files import FIRST_SPLIT, write_csv, write_scores, write_splits
from clipbench.audit.suspects.found import Canaries, Suspects
from clipbench.audit.suspects.models import Features, Trainer
from clipbench.audit.suspects.plan import SUSPECTS, VERSION, SuspectsPlan, folder_of, plan_suspects
from clipbench.audit.suspects.review import write_review
from clipbench.errors import ClipbenchError, MissingData
from clipbench.files import sums
from clipbench.files.json_files import read_json, sha256_file
from clipbench.files.typed import Json, table
from clipbench.importing.usable import open_usable
from clipbench.rng import generator
from clipbench.shards.reader import ShardSet

FloatArray = npt.NDArray[np.float32]
FIRST = 100  # suspects that are shown first
SAMPLE = 100  # pairs that are drawn at random for the threshold
# Share of all pairs among which they are drawn: where most planted pairs are, within these bounds.
REGION, LEAST_REGION, MOST_REGION = 0.2, 0.02, 0.3
WITHIN = 0.9  # share of the planted pairs
NEIGHBORS, REFERENCES = 10, 32_768  # of each image; images among which they are sought at most
WORK, SCORES = "work", "scores.parquet"
TABLES = {SCORES: "scores_sha256", FIRST_SPLIT: "first_split_sha256"}  # with the field of each
FILES = (*TABLES, "suspects.csv", "review.html")
COLUMNS = ["shard", "supplier", "caption_sha256", rows.SAME_IMAGE]
FLAGGED = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)  # shares of pairs


def find_suspects(request: AuditRequest, plan: SuspectsPlan | None = None) -> Suspects:
    """Return the pairs that a person should look at, found before or now.

    Writes ``scores.parquet``, ``suspects.csv`` and ``review.html`` into ``suspects`` of the audit's
    folder.

    Args:
        request: the audit; its ``inventory/pairs.parquet`` is there.
        plan: what is done; None: that of `plan_suspects`.

    Raises:
        ClipbenchError: a training run failed.
    """
    plan = plan or plan_suspects(request)
    folder = folder_of(request)
    table = read_rows(request)
    key = _decisive(request, plan)
    work = folder / WORK / sums.of_json(key)[:16]
    path = folder / SUSPECTS
    if not is_whole(folder):
        path.unlink(missing_ok=True)
    with request.untouched():
        rows_sha256 = sha256_file(rows_file(request))
        return kept(
            path,
            Suspects,
            {**key, "rows": rows_sha256},
            lambda: _Search(request, plan, table, work).found(),
        )[0]


def _decisive(request: AuditRequest, plan: SuspectsPlan) -> dict[str, Json]:
    """Return what decides canaries and scores."""
    return {
        "version": [VERSION, __version__],
        "pairs": list[Json](request.usable.shards.view_hashes()),
        "caption_field": request.caption_field,
        "model": request.model,
        "seed": request.seed,
        "plan": [plan.epochs, plan.per_epoch, plan.seeds],
    }


def rows_file(request: AuditRequest) -> Path:
    """Return the inventory's file of rows of pairs."""
    return request.out / take.FOLDER / rows.NAME


def read_rows(request: AuditRequest) -> pd.DataFrame:
    """Return what the inventory says of each usable pair.

    Raises:
        MissingData: there is no inventory, or one of other pairs.
    """
    path = rows_file(request)
    if not path.is_file():
        raise MissingData(f"There is no {path}; the inventory comes before suspects.")
    table: pd.DataFrame = rows.read_pairs(path, COLUMNS).to_pandas()
    if len(table) != len(request.usable.shards):
        raise MissingData(f"{path} is of other pairs; start the audit again.")
    return table


def is_whole(folder: Path) -> bool:
    """Return whether every file that people read is there, and tables are those that were found."""
    if not all((folder / name).is_file() for name in FILES):
        return False
    try:
        told = table(read_json(folder / SUSPECTS)["found"])
        return all(sha256_file(folder / name) == told[field] for name, field in TABLES.items())
    except (ClipbenchError, KeyError, ValueError):  # not there, or changed: it is made again
        return False


class _Search:
    """One search: what is scored, by what, and what came of it."""

    def __init__(
        self, request: AuditRequest, plan: SuspectsPlan, table: pd.DataFrame, work: Path
    ) -> None:
        self._request, self._plan, self._table, self._work = request, plan, table, work
        self._folder = folder_of(request)
        _clear(work)
        self._total = len(request.usable.shards)
        pairs, seed = request.usable.shards, request.seed
        planted, self._differs = plant(pairs, work / "canaries", seed)
        self._where = f"{request.data}::{planted.source}"
        self._pairs: ShardSet = open_usable(
            self._where,
            request.cache,
            caption_field=request.caption_field,
            on_error="skip",
            progress=request.reporter.progress,
        ).shards
        if len(self._pairs) != self._total + len(planted):
            raise ClipbenchError(
                f"{request.data} changed while it was audited; start the audit again."
            )

    def found(self) -> Suspects:
        """Score all pairs, write the files, and return what was found."""
        plan, total = self._plan, self._total
        # Features are large, and only those of the first seed are needed behind this.
        others = [self._scored(seed)[:2] for seed in plan.seeds[1:]]
        one, split, features = self._scored(plan.seeds[0])
        by_seed = [one, *(found for found, _ in others)]
        splits = dict(zip(plan.seeds, [split, *(its for _, its in others)], strict=True))
        scores = {name: _mean([each[name] for each in by_seed]) for name in by_seed[0]}
        own = {name: values[:total] for name, values in scores.items()}
        ranks = combined(own)
        sha256 = write_scores(self._folder / SCORES, own, ranks)
        shown = describe.Describer(self._request, self._table, own, ranks, features)
        first = shown.suspects(np.argsort(ranks)[:FIRST])
        canaries = _canaries(scores, total, self._differs)
        region = region_of(canaries, total)
        sample = generator(self._request.seed, "review").permutation(region)[:SAMPLE]
        drawn = np.argsort(ranks)[sample]
        return self._written(
            Suspects(
                pairs=total,
                methods=[*scores],
                epochs=plan.epochs,
                per_epoch=plan.per_epoch,
                seeds=plan.seeds,
                scores_sha256=sha256,
                first_split_sha256=write_splits(self._folder / FIRST_SPLIT, splits),
                first=first,
                region=region,
                sampled=shown.suspects(drawn),
                suppliers=describe.suppliers(self._table, ranks),
                suppliers_count=int(self._table["supplier"].nunique()),
                canaries=canaries,
                flagged=[*FLAGGED],
                agreement=_agreement(by_seed, total),
                doubts=describe.doubts(self._table, own),
            )
        )

    def _scored(self, seed: int) -> tuple[dict[str, FloatArray], FloatArray, Features]:
        """Return what one seed makes of all pairs, canaries last.

        Returns:
            Scores by method, similarities of the user's pairs at SafeCLIP's first split, and early
            features, which are not held while models are trained.
        """
        plan = self._plan
        folder, epochs = self._work / f"seed{seed}", plan.epochs
        trainer = Trainer(self._request, self._where, folder, plan.per_epoch, seed)
        trained = {name: trainer.scores(name, name, epochs[name]) for name in ("dao", "safeclip")}
        split = trainer.first_split("safeclip", len(self._pairs))[: self._total]
        early = trainer.features("early", self._pairs, epochs["early"])
        similarity = early.similarity()
        neighbors = early.agreement(NEIGHBORS, self._among(seed))
        return {"similarity": similarity, "neighbors": neighbors, **trained}, split, early

    def _among(self, seed: int) -> npt.NDArray[np.int64]:
        """Return the pairs among which neighbors are sought, ``(R,)``; canaries are none."""
        order = generator(seed, "neighbors").permutation(self._total)
        return np.sort(order[:REFERENCES])

    def _written(self, found: Suspects) -> Suspects:
        """Write what people read, and return what was found."""
        write_csv(self._folder / "suspects.csv", found)
        write_review(self._folder / "review.html", found, self._request.usable.shards)
        return found


def region_of(canaries: Canaries, total: int) -> int:
    """Return the last rank among which pairs are drawn for the threshold.

    Labels of pairs far behind the last bad one would tell of thresholds that nobody wants. Planted
    pairs lie where bad ones lie, as far as bad ones are like them.

    Args:
        canaries: where planted pairs are.
        total: pairs.
    """
    rank = np.quantile(canaries.ranks, WITHIN) if canaries.planted else REGION * total
    bounds = max(2 * FIRST, LEAST_REGION * total), max(2 * FIRST, MOST_REGION * total)
    return min(total, int(np.clip(rank, *bounds)))


def _clear(work: Path) -> None:
    """Remove what was trained for an audit of other pairs or with other settings."""
    for path in work.parent.iterdir() if work.parent.is_dir() else ():
        if path != work:
            shutil.rmtree(path, ignore_errors=True)


def _mean(scores: Sequence[FloatArray]) -> FloatArray:
    """Return the mean of the scores of several seeds, ``(N,)``."""
    found: FloatArray = np.stack(scores).mean(axis=0, dtype=np.float64).astype(np.float32)
    return found


def _canaries(
    scores: Mapping[str, FloatArray], total: int, differs: npt.NDArray[np.bool_]
) -> Canaries:
    """Return where canaries would stand among the pairs, those that have another caption."""
    every = risk(scores)
    own, planted = np.sort(every[:total]), every[total:][differs]
    ranks = 1 + np.searchsorted(own, planted)
    return Canaries(planted=len(planted), ranks=np.sort(ranks).tolist())


def _agreement(by_seed: Sequence[Mapping[str, FloatArray]], total: int) -> dict[str, float]:
    """Return the share of the flagged pairs that two seeds flag alike, by share flagged."""
    if len(by_seed) < 2:
        return {}
    ranks = [combined({k: v[:total] for k, v in each.items()}) for each in by_seed[:2]]
    found = {}
    for share in FLAGGED:
        most = max(1, round(share * total))
        found[f"{share:g}"] = float(np.mean(ranks[1][ranks[0] <= most] <= most))
    return found
