"""An audit from its plan to its page; a stage that is done is not done again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from clipbench import __version__
from clipbench.audit.exposure.found import Exposure
from clipbench.audit.exposure.measure import measure_exposure
from clipbench.audit.exposure.plan import ExposurePlan, plan_exposure
from clipbench.audit.exposure.price import price_section
from clipbench.audit.exposure.section import exposure_section
from clipbench.audit.inventory.section import section as inventory_section
from clipbench.audit.inventory.take import take_inventory
from clipbench.audit.monitor.keep import keep_baseline
from clipbench.audit.page.document import Cover, write_page
from clipbench.audit.request import AuditRequest
from clipbench.audit.suspects.find import find_suspects
from clipbench.audit.suspects.found import Suspects
from clipbench.audit.suspects.plan import SuspectsPlan, plan_suspects
from clipbench.audit.suspects.section import suspects_section
from clipbench.audit.threshold.find import check_before, check_labels, threshold
from clipbench.audit.threshold.section import threshold_section
from clipbench.custody import log
from clipbench.custody.record import note_file, note_used
from clipbench.errors import BadSetting
from clipbench.files.json_files import write_summed
from clipbench.system.durable import make_folder
from clipbench.system.progress import duration
from clipbench.system.versions import version_of
from clipbench.text.locations import redacted
from clipbench.text.visible import visible
from clipbench.text.words import counted, listed

PAGE, RECORD = "audit.html", "audit.json"
LEAST = 20  # pairs of which anything can be said
_PACKAGES = ("torch", "open_clip_torch", "numpy", "scikit-learn")  # that may decide a number
_FILES = {  # beside the page
    "audit.json": "all numbers of this page",
    "inventory/pairs.parquet": "a row per pair: supplier, sizes, hashes",
    "inventory/left_out.jsonl": "pairs that can't be used, and why",
    "suspects/review.html": "suspects with pictures, for a person to judge",
    "suspects/suspects.csv": "the same for a spreadsheet",
    "suspects/scores.parquet": "the scores and the rank of every pair",
    "runs": "every training run, as clipbench leaderboard reads it",
    "baseline": "what clipbench monitor compares deliveries with",
    "audit.jsonl": "the log of what was done, see clipbench log verify",
}


@dataclass(frozen=True)
class AuditPlan:
    """What an audit will do.

    Args:
        request: what was asked for.
        suspects: the search for suspects.
        exposure: the runs that measure exposure and price.
        signed: who signed which set, in words.
    """

    request: AuditRequest
    suspects: SuspectsPlan
    exposure: ExposurePlan
    signed: Sequence[str]

    def lines(self) -> list[str]:
        """Return the plan for people, a fact a line."""
        usable = self.request.usable
        left_out = usable.summary() if usable.left_out else ""
        pairs = counted(len(usable.shards), "pair")
        return [
            f"audit: {pairs} of {visible(redacted(self.request.data))}"
            f"{f'; {left_out}' if left_out else ''}",
            *self.signed,
            *self.suspects.lines(),
            *self.exposure.lines(),
            f"time: about {duration(self.seconds)} of the {duration(self.request.budget_s)} there"
            " are",
        ]

    def told(self) -> dict[str, object]:
        """Return the plan for programs."""
        usable = self.request.usable
        plans: dict[str, object] = msgspec.to_builtins(
            {"suspects": self.suspects, "exposure": self.exposure}
        )
        return {
            "data": redacted(self.request.data),
            "pairs": len(usable.shards),
            "left_out": dict(usable.left_out),
            "signed": list(self.signed),
            "seconds": self.seconds,
            "budget_s": self.request.budget_s,
            **plans,
        }

    @property
    def seconds(self) -> float:
        """Seconds that all of it is expected to take."""
        return self.suspects.seconds + self.exposure.seconds


@dataclass(frozen=True)
class Audited:
    """What an audit wrote.

    Args:
        page: the page.
        review: the page on which suspects are judged.
        said: the summary of the page, a sentence an item.
        told: all numbers, as ``audit.json`` has them.
    """

    page: Path
    review: Path
    said: Sequence[str]
    told: dict[str, object]


def plan_audit(request: AuditRequest, signed: Sequence[str] = ()) -> AuditPlan:
    """Return what `audit` will do, so that what is wrong is said before hours of work.

    Args:
        request: what was asked for.
        signed: who signed which set, in words.

    Raises:
        BadSetting: there are too few pairs.
        BadInput: pairs, defenses, classes or labels can't be used.
    """
    check_before(request)
    pairs = len(request.usable.shards)
    if pairs < LEAST:
        raise BadSetting(
            f"{visible(redacted(request.data))} has {counted(pairs, 'pair')} that can be used; an"
            f" audit needs at least {LEAST}."
        )
    make_folder(request.out)
    with request.untouched():
        return AuditPlan(request, plan_suspects(request), plan_exposure(request), signed)


def audit(plan: AuditPlan) -> Audited:
    """Do what a plan says, as far as it is not done, and write the page.

    Raises:
        ClipbenchError: a training run failed.
    """
    request = plan.request
    with request.untouched():
        note_used("pairs", request.usable.shards.content_sha256())
        inventory = take_inventory(request)
        suspects = find_suspects(request, plan.suspects)
        check_labels(request, suspects)
        exposure = measure_exposure(request, plan.exposure)
        chosen = threshold(request, suspects)
        if "clip" in request.defenses:  # whose model deliveries are compared by
            keep_baseline(request, plan.exposure)
    sections = [
        exposure_section(plan.exposure, exposure),
        price_section(exposure),
        suspects_section(request, suspects),
        threshold_section(suspects, chosen),
        inventory_section(inventory),
    ]
    cover = _cover(plan, suspects, exposure)
    page = request.out / PAGE
    before = page.read_bytes() if page.is_file() else b""
    write_page(page, cover, sections)
    found = {
        "inventory": inventory,
        "suspects": suspects,
        "exposure": exposure,
        "threshold": chosen,
        "plan": {"suspects": plan.suspects, "exposure": plan.exposure},
    }
    told = {"facts": dict(cover.facts), **msgspec.to_builtins(found)}
    write_summed(request.out / RECORD, told)
    if page.read_bytes() != before:  # else nothing was done
        note_file(page)
    said = [*cover.tried, *(line for section in sections for line in section.said)]
    return Audited(page, request.out / "suspects" / "review.html", said, told)


def _cover(plan: AuditPlan, suspects: Suspects, exposure: Exposure) -> Cover:
    request = plan.request
    name = visible("/".join(Path(redacted(request.data)).parts[-2:]))
    after = (RECORD, log.NAME)  # the page
    there = (file for file in _FILES if file in after or (request.out / file).exists())
    files = [(file, _FILES[file]) for file in there]
    return Cover(
        title=f"Audit of {name}",
        tried=[*_tried(plan, suspects, exposure), *plan.signed],
        facts=[*_facts(request)],
        commands=[*_commands(request)],
        files=files,
    )


def _tried(plan: AuditPlan, suspects: Suspects, exposure: Exposure) -> Iterator[str]:
    planned = plan.exposure
    yield (
        f"Before anybody trains on them, {counted(suspects.pairs, 'pair')} of an image and a"
        " caption were audited. Your files were read and not changed."
    )
    if not exposure.refused:
        defenses = listed(plan.request.defenses)
        which = (
            f"{counted(exposure.pairs, 'pair')}, those that were not kept for tests"
            if planned.all_pairs
            else f"a random sample of {counted(exposure.pairs, 'pair')}"
        )
        yield (
            f"A small model ({planned.model}) was trained {len(planned.runs)} times on"
            f" {which}: on your pairs as they are, and with poisoned pairs planted in a"
            f" copy, each with the defenses {defenses}."
        )


def _facts(request: AuditRequest) -> Iterator[tuple[str, str]]:
    yield "pairs", f"content {request.usable.shards.content_sha256()}"
    yield "settings", f"seed {request.seed}, model {request.model}, budget {request.budget_s:g} s"
    yield "defenses", ", ".join(request.defenses)
    versions = ", ".join(f"{name} {version_of(name)}" for name in _PACKAGES)
    yield "versions", f"clipbench {__version__}, {versions}"


def _commands(request: AuditRequest) -> Iterator[tuple[str, str]]:
    again = _command_of(request)
    yield "This audit", again
    if request.labels is None:
        yield (
            "With labels, after somebody has judged pairs on suspects/review.html",
            f"{again} --labels labels.csv",
        )
    out = shlex.quote(str(request.out))
    yield "The next delivery", f"clipbench monitor --baseline {out} --data NEW"
    yield "What was done, and whether the log is whole", f"clipbench log verify {out}/audit.jsonl"


def _command_of(request: AuditRequest) -> str:
    """Return the command that makes this page again."""
    given = {
        "--data": redacted(request.data),
        "--out": request.out,
        "--budget": f"{request.budget_s:g}s",
        "--labels": request.labels,
        "--supplier": request.supplier,
        "--caption-field": request.caption_field,
        "--classes": request.classes,
        "--defense": ",".join(request.defenses),
        "--model": request.model,
        "--seed": request.seed,
    }
    options = [
        f"{name} {shlex.quote(str(value))}" for name, value in given.items() if value is not None
    ]
    return " ".join(["clipbench audit", *options])
