"""Croissant metadata, read by the reference implementation."""

from __future__ import annotations

import datetime
import gc
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlcroissant
import numpy as np
import pytest
from etils import epath
from shard_pairs import MakePairs, Stain, crawled, scene

from clipbench.cli import main
from clipbench.croissant.metadata import About, croissant, write_croissant
from clipbench.errors import BadSetting, MissingData
from clipbench.poisoning.ledger import read_ledger
from clipbench.poisoning.overlay import PoisonedSet, write_poisoned
from clipbench.shards.reader import ShardSet
from clipbench.shards.writer import write_set

# The reference reader uses what is deprecated, and leaves files to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ABOUT = About(
    "https://creativecommons.org/licenses/by/4.0/",
    "Test group",
    "https://example.org/set",
    datetime.date(2026, 1, 31),
)
# A recommendation, of a paper's BibTeX; there may be no paper.
CITE_AS = 'Property "http://mlcommons.org/croissant/citeAs" is recommended, but does not exist.'


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Let the files go here, where their warning is expected, and not in a later test."""
    yield
    gc.collect()


@pytest.fixture
def poisoned(clean: ShardSet, tmp_path: Path) -> PoisonedSet:
    """Return the clean set with three poisons."""
    return write_poisoned(
        *(clean, Stain(), scene(3), tmp_path / "out"),
        attack_name="stain",
        attack_parameters={"strength": 2},
        dataset={"name": "tiny"},
    )


def opened(path: Path, monkeypatch: pytest.MonkeyPatch) -> mlcroissant.Dataset:
    """Open a set by its metadata; what the reader unpacks goes beside it."""
    # Its cache goes by the names of shards, which are the same in every set.
    cache = epath.Path(path.parent.parent / "unpacked")
    monkeypatch.setattr("mlcroissant._src.operation_graph.operations.extract.EXTRACT_PATH", cache)
    return mlcroissant.Dataset(jsonld=path)


def records(dataset: mlcroissant.Dataset, name: str) -> list[dict[str, Any]]:
    """Return the records of a set, fields by their own name, text as text."""
    return [
        {
            field.partition("/")[2]: value.decode() if isinstance(value, bytes) else value
            for field, value in record.items()
        }
        for record in dataset.records(name)
    ]


def assert_pairs(dataset: mlcroissant.Dataset, shards: ShardSet) -> None:
    """Keys, captions and pixels are those that our reader gives."""
    found = {record["key"]: record for record in records(dataset, "pairs")}
    assert sorted(found) == sorted(shards.key(n) for n in range(len(shards)))
    for pair in map(shards.pair, range(len(shards))):
        assert found[pair.key]["caption"] == pair.caption
        np.testing.assert_array_equal(np.asarray(found[pair.key]["image"]), pair.image)


def test_reference_reader_finds_no_fault(
    poisoned: PoisonedSet, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its validator has no error, and no warning but that no paper is cited."""
    with caplog.at_level(logging.WARNING):
        dataset = opened(write_croissant(poisoned.ledger.parents[1], ABOUT), monkeypatch)
    assert not dataset.metadata.issues.errors
    assert [warning.partition("] ")[2] for warning in dataset.metadata.issues.warnings] == [CITE_AS]
    assert "not standard" not in caplog.text


@pytest.mark.parametrize("extension", ["png", "jpg"])
def test_pairs_of_a_clean_set(
    extension: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reference reader gives all pairs of several shards, checked by their hashes."""
    made = MakePairs(extension)
    clean = write_set(tmp_path / "c", 25, made, name="t", source={}, pairs_per_shard=10, workers=0)
    path = write_croissant(tmp_path / "c", ABOUT)
    dataset = opened(path, monkeypatch)
    assert_pairs(dataset, clean)
    told = json.loads(path.read_text())
    assert {part["@id"] for part in told["recordSet"]} == {"captions", "pairs"}
    assert "prov:wasDerivedFrom" not in told
    assert told["datePublished"] == "2026-01-31"


def test_pairs_and_poisons_of_a_poisoned_set(
    poisoned: PoisonedSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the pairs, the rows of the ledger; and where the set comes from."""
    folder = poisoned.ledger.parents[1]
    path = write_croissant(folder, ABOUT)
    dataset = opened(path, monkeypatch)
    assert_pairs(dataset, poisoned.shards)
    ledger = read_ledger(poisoned.ledger)
    assert records(dataset, "poison") == ledger.rows.to_dict("records")
    told = json.loads(path.read_text())
    assert told["prov:wasDerivedFrom"]["@id"] == f"sha256:{ledger.base.content_sha256}"
    made = json.loads(told["prov:wasGeneratedBy"]["prov:value"])
    assert (made["attack"], made["parameters"], made["count"]) == ("stain", {"strength": 2}, 3)
    assert "3 of 50 pairs are poison" in told["rai:dataManipulationProtocol"]


def test_what_training_sees_is_told_apart_by_nothing(poisoned: PoisonedSet) -> None:
    """No metadata is written among the shards; and theirs alone does not tell of poison."""
    folder = poisoned.ledger.parents[1]
    before = sorted((folder / "shards").rglob("*"))
    write_croissant(folder, ABOUT)
    assert sorted((folder / "shards").rglob("*")) == before
    told = json.dumps(croissant(folder / "shards", ABOUT))
    assert "poison" not in told
    assert "stain" not in told


def test_captions_in_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a set has its captions in a field of the JSON, that is what its metadata names.

    Its validator takes it; the reference reader (1.1.1) reads no JSON from within an archive.
    """
    base = crawled(tmp_path / "base", caption_field="re_caption")
    write_poisoned(
        *(base, Stain(), scene(2), tmp_path / "out"),
        attack_name="stain",
        attack_parameters={},
        dataset={"name": "tiny", "caption_field": "re_caption"},
    )
    path = write_croissant(tmp_path / "out", ABOUT)
    assert not opened(path, monkeypatch).metadata.issues.errors
    captions = json.loads(path.read_text())["recordSet"][0]["field"][1]
    assert captions["source"] == {
        "fileSet": {"@id": "caption-files"},
        "extract": {"jsonPath": "$.re_caption"},
    }


def test_a_set_without_manifest_is_refused(clean: ShardSet, tmp_path: Path) -> None:
    """There are no hashes to give; a set of another program is imported first."""
    assert len(clean)
    (tmp_path / "clean" / "manifest.json").unlink()
    with pytest.raises(MissingData, match="no manifest"):
        croissant(tmp_path / "clean", ABOUT)


def test_files_published_elsewhere(poisoned: PoisonedSet) -> None:
    """With the URL of a folder, every file is in it."""
    about = About(**{**vars(ABOUT), "files": "https://example.org/files/"})
    told = croissant(poisoned.ledger.parents[1], about)
    urls = [part["contentUrl"] for part in told["distribution"] if "contentUrl" in part]
    assert urls[0] == "https://example.org/files/shards/00000.tar"
    assert urls[-1] == "https://example.org/files/ledger/ledger.parquet"


@pytest.mark.parametrize("name", ["license", "url", "files"])
def test_pages_are_pages(name: str, clean: ShardSet, tmp_path: Path) -> None:
    """What a catalogue links to must not be a script or a word."""
    assert len(clean)
    wrong = About(**{**vars(ABOUT), name: "javascript:alert(1)"})
    with pytest.raises(BadSetting, match=f"give --{name}"):
        croissant(tmp_path / "clean", wrong)


def test_by_command(clean: ShardSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command writes the same, on the day it is given."""
    assert len(clean)
    line = ["croissant", str(tmp_path / "clean"), "--license", ABOUT.license, "--url", ABOUT.url]
    assert main([*line, "--creator", ABOUT.creator, "--published", "2026-01-31"]) == 0
    assert str(tmp_path / "clean" / "metadata.json") in capsys.readouterr().out
    told = json.loads((tmp_path / "clean" / "metadata.json").read_text())
    assert told == json.loads(json.dumps(croissant(tmp_path / "clean", ABOUT)))
    assert main(line) == 2  # no creator
