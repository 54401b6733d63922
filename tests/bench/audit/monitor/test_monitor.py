"""The command from an audit's end to a report: exit statuses, files, and baselines as claims."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from own_set import write_crawl

from clipbench.audit import page
from clipbench.audit.monitor import baseline
from clipbench.audit.monitor.keep import write_baseline
from clipbench.audit.request import AuditRequest
from clipbench.cli import main
from clipbench.errors import CorruptData
from clipbench.files.json_files import read_json, sha256_file, write_summed
from clipbench.models.openclip import create_model, model_config, save_model
from clipbench.system.progress import Reporter
from clipbench_datasets.shapes import Shapes

PAIRS, TRAINED = 260, 60


@dataclass(frozen=True)
class Place:
    """Where an audited set lies, and what the audit left.

    Args:
        data: the audited shards.
        out: folder of the audit.
        cache: of both.
        head: what the baseline says.
    """

    data: Path
    out: Path
    cache: Path
    head: baseline.Head

    def monitor(self, data: Path, out: Path, *words: str) -> int:
        """Return the exit status of the command."""
        where = ["--baseline", str(self.out), "--data", str(data), "--out", str(out)]
        return main(["monitor", *where, "--cache", str(self.cache), "-q", *words])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """An audited set, whose model was not trained: hashes and features do without."""
    folder = tmp_path_factory.mktemp("audited")
    Shapes(size=PAIRS, image_size=16).write_to(folder / "data", workers=0)
    model, _ = create_model("shapes-32", 0)
    save_model(model, model_config("shapes-32"), folder / "model")
    request = AuditRequest(
        data=str(folder / "data"),
        out=folder / "out",
        cache=folder / "cache",
        reporter=Reporter(quiet=True),
    )
    head = write_baseline(request, folder / "model", request.own(size=TRAINED))
    return Place(folder / "data", folder / "out", folder / "cache", head)


def test_what_the_model_never_saw_is_held_out(place: Place) -> None:
    """All pairs but those that are trained on; the others are known by their hashes."""
    found = baseline.read(place.out)
    assert (found.head.pairs, found.head.held_out) == (PAIRS, PAIRS - TRAINED)
    assert len(found.held_out) == PAIRS - TRAINED
    assert len(found.known.image_hash) == TRAINED
    np.testing.assert_allclose(np.linalg.norm(found.held_out.text, axis=1), 1, atol=1e-5)


def test_a_baseline_that_is_there_is_not_made_again(place: Place) -> None:
    """Unless something that decides it changed."""
    request = AuditRequest(
        data=str(place.data), out=place.out, cache=place.cache, reporter=Reporter(quiet=True)
    )
    path, model = place.out / "baseline" / "baseline.json", place.out.parent / "model"
    before = path.stat().st_mtime_ns
    assert write_baseline(request, model, request.own(size=TRAINED)) == place.head
    assert path.stat().st_mtime_ns == before
    other = write_baseline(request, model, request.own(size=TRAINED - 10))
    assert other.held_out == place.head.held_out + 10
    assert write_baseline(request, model, request.own(size=TRAINED)) == place.head


def test_a_delivery_of_the_same_kind_passes(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With status 0, JSON alone on standard output, and files that say the same."""
    Shapes(size=100, image_size=16, seed=1).write_to(tmp_path / "new", workers=0)
    shutil.rmtree(tmp_path / "new" / ".clipbench")  # what whoever writes shards knows of them
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("new/**/*"))
    assert place.monitor(tmp_path / "new", tmp_path / "out", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads((tmp_path / "out" / "monitor.json").read_text())
    assert (told["alarm"], told["alarms"], told["compared"]) == (False, [], 100)
    assert told["below_earlier"]["n"] == PAIRS - TRAINED
    assert "No alarm" in (tmp_path / "out" / "monitor.html").read_text()
    after = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("new/**/*"))
    assert after == before


def test_a_delivery_of_audited_pairs_gives_an_alarm(place: Place, tmp_path: Path) -> None:
    """With status 1, on the page, in the list of pairs, for CI, and in the log."""
    report = tmp_path / "report.xml"
    Shapes(size=PAIRS - 20, image_size=16).write_to(tmp_path / "new", workers=0)
    assert place.monitor(tmp_path / "new", tmp_path / "out", "--junit", str(report)) == 1
    (suite,) = ET.parse(report).getroot()
    failed = [case for case in suite if len(case)]
    assert "Images that were audited before" in [case.attrib["name"] for case in failed]
    assert "Every image of the delivery" in (tmp_path / "out" / "monitor.html").read_text()
    listed = (tmp_path / "out" / "look_at.csv").read_text().splitlines()
    assert sum(line.startswith("seen_before,") for line in listed) == PAIRS - 20
    (line,) = map(json.loads, (tmp_path / "out" / "audit.jsonl").read_text().splitlines())
    assert line["used"]["baseline"] == sha256_file(place.out / "baseline" / "baseline.json")
    assert line["made"]["verdict"].startswith("Alarm")


def refusal(capsys: pytest.CaptureFixture[str], out: Path) -> str:
    """Return the one line in which a delivery was refused."""
    (line,) = capsys.readouterr().err.splitlines()
    assert not (out / "monitor.json").exists()
    return line


def test_the_audited_set_itself_is_no_delivery(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever gives it meant another folder: status 2, and not an alarm."""
    assert place.monitor(place.data, tmp_path / "out") == 2
    assert "is, byte for byte, the set that was audited" in refusal(capsys, tmp_path / "out")


@pytest.mark.parametrize("where", [".", "baseline", "baseline/out"])
def test_results_do_not_replace_an_audit(
    place: Place, tmp_path: Path, where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An inventory and a log lie there already."""
    Shapes(size=30, image_size=16, seed=3).write_to(tmp_path / "new", workers=0)
    before = sorted((path, path.stat().st_mtime_ns) for path in place.out.rglob("*"))
    assert place.monitor(tmp_path / "new", place.out / where) == 2
    assert "is the folder of an audit or of its baseline" in refusal(capsys, tmp_path)
    assert sorted((path, path.stat().st_mtime_ns) for path in place.out.rglob("*")) == before


def test_a_delivery_that_does_not_name_suppliers_as_the_audit_is_compared_without_them(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a note that says which field it lacks; a field that somebody asks for must be there."""
    request = AuditRequest(
        data=str(write_crawl(tmp_path / "crawl", (220,))),
        out=tmp_path / "audit",
        cache=place.cache,
        reporter=Reporter(quiet=True),
        supplier="exif",
    )
    model = place.out.parent / "model"
    head = write_baseline(request, model, request.own(size=TRAINED))
    own = Place(tmp_path / "crawl", tmp_path / "audit", place.cache, head)
    Shapes(size=40, image_size=16, seed=4).write_to(tmp_path / "new", workers=0)
    assert own.monitor(tmp_path / "new", tmp_path / "out", "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert told["suppliers"] == []
    assert told["notes"][0].startswith("Suppliers were not compared: ")
    assert told["notes"][0].endswith(", in the field exif.")
    words = ("--supplier", "exif")
    assert own.monitor(tmp_path / "new", tmp_path / "other", *words) == 2
    assert "names a supplier in its field exif" in refusal(capsys, tmp_path / "other")


def test_the_page_looks_like_that_of_an_audit(place: Place, tmp_path: Path) -> None:
    """Its style is the same file, so that both are mended together."""
    Shapes(size=40, image_size=16, seed=5).write_to(tmp_path / "new", workers=0)
    assert place.monitor(tmp_path / "new", tmp_path / "out") == 0
    style = Path(page.__file__).with_name("assets").joinpath("audit.css").read_text()
    assert f"<style>{style}</style>" in (tmp_path / "out" / "monitor.html").read_text()
    assert ".calm {" in style


def test_a_few_pairs_give_no_alarm(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are too few, and that is what is said."""
    Shapes(size=1, image_size=16, seed=2).write_to(tmp_path / "new", workers=0)
    assert place.monitor(tmp_path / "new", tmp_path / "out") == 0
    assert "1 pair is too few to say anything" in capsys.readouterr().out


def test_nothing_is_read_of_a_delivery_that_nobody_signed(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 2, one line, and nothing in the folder for results."""
    Shapes(size=30, image_size=16, seed=3).write_to(tmp_path / "new", workers=0)
    (tmp_path / "signers").write_text("")
    words = ("--signers", str(tmp_path / "signers"))
    assert place.monitor(tmp_path / "new", tmp_path / "out", *words) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("alpha", ["0", "60%", "often", "nan", "-5%"])
def test_a_rate_that_means_nothing_is_refused(
    place: Place, tmp_path: Path, alpha: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line with what may be asked for."""
    assert place.monitor(place.data, tmp_path / "out", "--alpha", alpha) == 2
    assert "--alpha must be in [0.1%, 50%]" in capsys.readouterr().err


@pytest.fixture
def copy(place: Place, tmp_path: Path) -> Path:
    """A copy of the baseline that may be spoiled."""
    return Path(shutil.copytree(place.out / "baseline", tmp_path / "baseline"))


def test_a_baseline_with_a_changed_file_is_refused(copy: Path) -> None:
    """Whichever it is."""
    for name in baseline.read(copy).head.files:
        content = (copy / name).read_bytes()
        (copy / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(CorruptData, match=f"{Path(name).name} has changed since"):
            baseline.read(copy)
        (copy / name).write_bytes(content)


def test_a_baseline_of_an_earlier_clipbench_is_to_be_made_anew(
    place: Place, copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Says one line, with status 2."""
    write_summed(copy / "baseline.json", {**read_json(copy / "baseline.json"), "version": 1})
    words = ["monitor", "--baseline", str(copy), "--data", str(place.data), "-q"]
    assert main([*words, "--out", str(tmp_path / "out"), "--cache", str(place.cache)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("version '1', not 2; make the baseline again with clipbench audit.")


def test_a_baseline_holds_nothing_that_nobody_reads(copy: Path) -> None:
    """Each array of a pair is one that questions are asked of."""
    with np.load(copy / "held_out.npz") as held_out, np.load(copy / "known.npz") as known:
        assert "image_sha256" not in held_out
        assert set(known) == {"image_hash", "supplier"}


def test_a_baseline_that_contradicts_itself_is_refused(copy: Path) -> None:
    """Though its hashes fit, as whoever writes one on purpose can make them."""
    for field, value, why in (
        ("held_out", 7, "contradicts itself"),
        ("dimensions", 7, "has not 7 numbers for each pair"),
        ("dimensions", 64, "are no unit features"),
        ("version", 99, "it has version '99', not 2"),
        ("files", {}, "names other files"),
        ("threshold", "low", "threshold"),
    ):
        head = read_json(copy / "baseline.json")
        write_summed(copy / "baseline.json", {**head, field: value})
        with pytest.raises(CorruptData, match=why):
            baseline.read(copy)
        write_summed(copy / "baseline.json", head)
    baseline.read(copy)
