"""Exposure and price of a small crawl, measured by runs."""

import io
import json
import tarfile
from pathlib import Path

import pytest
from own_set import write_crawl

from clipbench.audit.exposure.found import Exposure
from clipbench.audit.exposure.measure import measure_exposure
from clipbench.audit.exposure.plan import ExposurePlan, plan_exposure
from clipbench.audit.exposure.price import price_section
from clipbench.audit.exposure.section import exposure_section
from clipbench.audit.request import AuditRequest
from clipbench.system.progress import Reporter


def request_of(folder: Path, data: Path, **more: object) -> AuditRequest:
    given: dict[str, object] = {"defenses": ("none",), "budget_s": 1.0} | more
    reporter = Reporter(quiet=True)
    return AuditRequest(
        data=str(data),
        out=folder / "audit",
        cache=folder / "cache",
        reporter=reporter,
        **given,  # type: ignore[arg-type]
    )


def with_copies(shard: Path, other: Path, count: int) -> None:
    """Write another shard of a shard's first pairs, under names of their own."""
    with tarfile.open(shard) as source, tarfile.open(other, "w") as copies:
        for member in source.getmembers()[: 3 * count]:
            file = source.extractfile(member)
            assert file is not None
            content = file.read()
            key, _, extension = member.name.partition(".")
            if extension == "json":
                content = json.dumps({**json.loads(content), "key": f"copy{key}"}).encode()
            member.name, member.size = f"copy{key}.{extension}", len(content)
            copies.addfile(member, io.BytesIO(content))


class Audit:
    """A crawl, and what was found of it."""

    def __init__(self, folder: Path) -> None:
        self.data = write_crawl(folder / "crawl", (130, 130))
        with_copies(self.data / "00001.tar", self.data / "00002.tar", 40)
        self.shards = {path: path.read_bytes() for path in self.data.glob("*.tar")}
        self.request = request_of(folder, self.data, supplier="key")
        self.plan: ExposurePlan = plan_exposure(self.request)
        self.exposure: Exposure = measure_exposure(self.request, self.plan)


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    return Audit(tmp_path_factory.mktemp("exposure"))


def test_the_page_says_how_many_pairs_were_trained_on(audit: Audit) -> None:
    """Fewer than were planned: images of held-out pairs are in no training, byte for byte."""
    results = [json.loads(path.read_bytes()) for path in audit.request.out.rglob("result.json")]
    (trained,) = {result["data"]["pairs"] for result in results}
    assert audit.exposure.pairs == trained < audit.plan.size
    section = exposure_section(audit.plan, audit.exposure)
    told = f"was trained on {trained} pairs, those that are not held out of your 300,"
    assert told in section.evidence


def test_the_plan_says_what_is_trained_and_how_long_it_takes(audit: Audit) -> None:
    """Pairs, poisoned ones, each run with its time, and that the budget is too small."""
    text = "\n".join(audit.plan.lines())
    assert f"{audit.plan.size} pairs" in text
    assert [run.attack for run in audit.plan.runs] == ["none", "targeted", "badnets"]
    assert "none: 3 runs of 3 epochs" in text
    assert audit.plan.classes[0] in text
    assert f"{audit.plan.poisons} poisoned pairs" in text
    assert "more than the 1 s there are" in text


def test_each_dose_is_counted_against_the_model_of_clean_pairs(audit: Audit) -> None:
    """Each has as many images, read and found, with the attack and without."""
    (plain,) = audit.exposure.defended
    assert [success.poisons for success in plain.targeted] == [*audit.plan.doses]
    for success in plain.targeted:
        assert success.found is not None
        assert success.found_control is not None
        trials = (success.read, success.read_control, success.found, success.found_control)
        assert {trial.n for trial in trials} == {audit.plan.each}
    assert plain.backdoor.poisons == audit.plan.backdoor


def test_what_was_found_is_not_sought_again(audit: Audit) -> None:
    """Neither the plan, which rests on measured speed, nor the runs."""
    runs = {path: path.stat().st_mtime_ns for path in audit.request.out.rglob("result.json")}
    assert len(runs) == 3
    assert plan_exposure(audit.request) == audit.plan
    assert measure_exposure(audit.request, audit.plan) == audit.exposure
    assert {path: path.stat().st_mtime_ns for path in runs} == runs


def test_every_canary_is_counted_at_the_supplier_whose_pair_it_replaced(audit: Audit) -> None:
    """Here each pair has a supplier of its own, named by its key."""
    planted = audit.plan.poisons + audit.plan.backdoor
    suppliers = audit.exposure.suppliers
    assert [supplier.pairs for supplier in suppliers] == [1] * audit.exposure.pairs
    assert sum(supplier.canaries for supplier in suppliers) == planted
    assert max(supplier.canaries for supplier in suppliers) <= 2  # one of either attack


def test_the_users_shards_stay_as_they_are(audit: Audit) -> None:
    """Poisoned pairs are put into a copy, and indexes into the cache."""
    assert not (audit.data / ".clipbench").exists()
    assert {path: path.read_bytes() for path in audit.shards} == audit.shards


def test_sections_are_made_of_what_was_found(audit: Audit) -> None:
    """Every text of the user's is escaped, and every share has its counts."""
    exposure = exposure_section(audit.plan, audit.exposure)
    price = price_section(audit.exposure)
    (plain,) = audit.exposure.defended
    read = plain.useful.read
    assert f"{read.k}/{read.n}" in price.evidence
    assert 'class="chart"' in exposure.evidence
    assert " style=" not in exposure.evidence + price.evidence
    for name in audit.plan.classes:
        assert name in exposure.evidence


@pytest.mark.parametrize(
    ("sizes", "text", "why"),
    [((50,), None, "50 pairs"), ((210,), "a thing", "classes")],
    ids=["fifty pairs", "one caption for all"],
)
def test_a_set_that_has_nothing_to_hold_out_is_left_out_with_a_sentence(
    tmp_path: Path, sizes: tuple[int, ...], text: str | None, why: str
) -> None:
    """The rest of the audit goes on."""
    request = request_of(tmp_path, write_crawl(tmp_path / "crawl", sizes, text))
    plan = plan_exposure(request)
    assert why in plan.refused
    exposure = measure_exposure(request, plan)
    assert exposure.refused == plan.refused
    said = [*exposure_section(plan, exposure).said, *price_section(exposure).said]
    assert all(why in sentence for sentence in said)
    assert not (request.out / "runs").exists()
