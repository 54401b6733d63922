"""The rows of usable pairs: what each says, who delivered it, and that killed work goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from delivered_pairs import request, shard
from shard_pairs import picture

from clipbench.audit.inventory import pairs, take
from clipbench.audit.inventory.model import Inventory
from clipbench.audit.inventory.section import section
from clipbench.audit.request import AuditRequest
from clipbench.errors import BadSetting
from clipbench.images.encoding import encode_jpeg, encode_png
from clipbench.shards.reader import ShardSet
from clipbench.system.progress import Reporter
from clipbench.toolkit.captions import caption_hash
from clipbench.toolkit.lookalikes import bits_of, hashes_of


def taken(data: Path, tmp_path: Path, **more: Any) -> tuple[Inventory, list[dict[str, Any]]]:
    """Return an inventory and the rows of its pairs."""
    inventory = take.take_inventory(request(data, tmp_path, **more), workers=0)
    table = pairs.read_pairs(tmp_path / "audit" / "inventory" / "pairs.parquet")
    return inventory, table.to_pylist()


def test_a_row_says_what_a_pair_is(tmp_path: Path) -> None:
    """Its place, its sizes, the hashes of image and caption, in the order of the set."""
    image = encode_jpeg(picture(1, 40, 60))
    shard(tmp_path / "set" / "00001.tar", (encode_png(picture(2)), "猫", None))
    shard(tmp_path / "set" / "00000.tar", (image, "A  Cat\nsleeps", None))
    inventory, rows = taken(tmp_path / "set", tmp_path)
    assert (inventory.pairs, inventory.shards, inventory.suppliers_by) == (2, 2, "none")
    assert [row["key"] for row in rows] == ["000000000", "000010000"]
    first = rows[0]
    assert {name: first[name] for name in ("index", "shard", "width", "height", "words")} == {
        "index": 0,
        "shard": "00000.tar",
        "width": 60,
        "height": 40,
        "words": 3,
    }
    assert first["image_bytes"] == len(image)
    assert first["image_sha256"] == hashlib.sha256(image).hexdigest()[:16]
    assert first["caption_sha256"] == caption_hash("a cat sleeps") != caption_hash("a cat sleep")
    near = hashes_of([picture(1, 40, 60), picture(2)])
    found = pairs.read_pairs(tmp_path / "audit" / "inventory" / "pairs.parquet").to_pandas()
    assert (bits_of(near ^ found["image_hash"].to_numpy()) <= 4).all()
    assert inventory.scripts == {"Latin": 1, "Han": 1}


def test_suppliers_are_hosts_of_urls_and_nothing_else_of_them(tmp_path: Path) -> None:
    """No user, password, port, path or query; what is no URL has no host."""
    image = encode_png(picture(1))
    told: list[Mapping[str, object] | None] = [
        {"url": "https://User:Secret@Cats.Example.org:8443/home/ann/1.png?token=abc"},
        *[{"url": f"https://dogs.example/{number}"} for number in range(5)],
        {"url": "/home/ann/private/2.png"},
        {"url": 7},
        None,
        {"url": "http://[::1"},
    ]
    shard(tmp_path / "set" / "0.tar", *((image, f"cat {n}", one) for n, one in enumerate(told)))
    inventory, rows = taken(tmp_path / "set", tmp_path)
    assert inventory.suppliers_by == "host"
    names = ["cats.example.org", *["dogs.example"] * 5, "", "", "", ""]
    assert [row["supplier"] for row in rows] == names


def test_suppliers_are_what_a_field_names(tmp_path: Path) -> None:
    """Of pairs without the field nobody is known; a number is a name."""
    image = encode_png(picture(1))
    told: list[Mapping[str, object]] = [{"who": "Alpha  Ltd\n"}, {"who": 3}, {}, {"who": ["a"]}]
    shard(tmp_path / "set" / "0.tar", *((image, f"cat {n}", one) for n, one in enumerate(told)))
    inventory, rows = taken(tmp_path / "set", tmp_path, supplier="who")
    assert inventory.suppliers_by == "field"
    assert [row["supplier"] for row in rows] == ["Alpha Ltd", "3", "", ""]


def test_half_a_pair_of_surrogates_names_a_supplier_as_well(tmp_path: Path) -> None:
    """JSON can hold it, and no file of text: it is written out, in tables and on the page."""
    image = encode_png(picture(1))
    told = [{"who": "\ud800", "url": "https://a\ud800.org/"}, {"who": "caf\udce9"}]
    shard(tmp_path / "set" / "0.tar", *((image, f"cat {n}", one) for n, one in enumerate(told)))
    inventory, rows = taken(tmp_path / "set", tmp_path, supplier="who")
    assert [row["supplier"] for row in rows] == [r"\ud800", r"caf\xe9"]
    assert r"\ud800" in section(inventory).evidence
    assert taken(tmp_path / "set", tmp_path)[0].suppliers_by == "none"  # that is no host


@pytest.mark.parametrize(
    ("fields", "has"), [({"url": "x", "who": None}, "it has url, who"), (None, "there is no JSON")]
)
def test_a_field_that_names_nobody_is_refused(
    tmp_path: Path, fields: Mapping[str, object] | None, has: str
) -> None:
    """In one line, with the fields that there are, before images are looked at."""
    shard(tmp_path / "set" / "0.tar", (encode_png(picture(1)), "a cat", fields))
    with pytest.raises(BadSetting, match=rf"field who \({has}\); name another with --supplier"):
        taken(tmp_path / "set", tmp_path, supplier="who")
    assert not (tmp_path / "audit" / "inventory" / "parts").exists()


def test_without_urls_suppliers_are_the_folders_of_shards(tmp_path: Path) -> None:
    """Named from the folder on that all lie in, so that nobody reads where that is."""
    for name in ("one", "two"):
        shard(tmp_path / "set" / name / "0.tar", (encode_png(picture(1)), f"cat {name}", None))
    source = f"{tmp_path / 'set' / 'one'}::{tmp_path / 'set' / 'two'}"
    inventory, rows = taken(Path(source), tmp_path)
    assert inventory.suppliers_by == "folder"
    assert [(row["shard"], row["supplier"]) for row in rows] == [
        ("one/0.tar", "one"),
        ("two/0.tar", "two"),
    ]


def test_hosts_are_suppliers_where_most_pairs_have_one(tmp_path: Path) -> None:
    """One pair with a URL among others is no reason to forget who delivered these."""
    image, url = encode_png(picture(1)), {"url": "https://cats.example/1"}
    shard(tmp_path / "set" / "one" / "0.tar", (image, "a cat", url), (image, "two cats", None))
    shard(tmp_path / "set" / "two" / "0.tar", (image, "a dog", None))
    source = f"{tmp_path / 'set' / 'one'}::{tmp_path / 'set' / 'two'}"
    inventory, rows = taken(Path(source), tmp_path)
    assert inventory.suppliers_by == "folder"
    assert [row["supplier"] for row in rows] == ["one", "one", "two"]
    inventory, rows = taken(tmp_path / "set" / "one", tmp_path)  # of one folder nobody is known
    assert (inventory.suppliers_by, inventory.unnamed) == ("none", 2)
    assert [row["supplier"] for row in rows] == ["", ""]


def test_rows_say_which_images_look_the_same(tmp_path: Path) -> None:
    """By the first pair with such an image, across shards."""
    images = [encode_png(picture(number)) for number in range(2)]
    shard(tmp_path / "set" / "0.tar", (images[0], "a cat", None), (images[1], "a dog", None))
    shard(tmp_path / "set" / "1.tar", (images[1], "two dogs", None), (images[0], "a cat", None))
    _, rows = taken(tmp_path / "set", tmp_path)
    assert [row["same_image"] for row in rows] == [0, 1, 1, 0]


def test_killed_work_goes_on_with_the_next_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shards that were read are not read again, and the rows are the same to the byte."""
    for number in range(3):
        shard(tmp_path / "set" / f"{number}.tar", (encode_png(picture(number)), "a cat", None))
    _, whole = taken(tmp_path / "set", tmp_path)
    once = (tmp_path / "audit" / "inventory" / "pairs.parquet").read_bytes()
    (tmp_path / "audit").rename(tmp_path / "first")
    read, row = list[int](), pairs._row

    def stopped(reading: pairs.Reading, number: int, pair: int) -> dict[str, object]:
        if pair == 2 and 2 not in read:
            read.append(pair)
            raise KeyboardInterrupt
        read.append(pair)
        return row(reading, number, pair)

    monkeypatch.setattr(pairs, "_row", stopped)
    with pytest.raises(KeyboardInterrupt):
        taken(tmp_path / "set", tmp_path)
    _, again = taken(tmp_path / "set", tmp_path)
    assert read == [0, 1, 2, 2]
    assert again == whole
    folder = tmp_path / "audit" / "inventory"
    assert (folder / "pairs.parquet").read_bytes() == once
    assert not (folder / "parts").exists()
    (folder / "pairs.parquet").write_bytes(once[:-9])  # as of a full disk: it is made again
    assert taken(tmp_path / "set", tmp_path)[1] == whole


def state(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return every file and folder below a folder, with bytes and time of change."""
    return {
        str(path.relative_to(folder)): (
            path.read_bytes() if path.is_file() else b"",
            path.stat().st_mtime_ns,
        )
        for path in [folder, *folder.rglob("*")]
    }


def test_nothing_appears_beside_the_shards(tmp_path: Path) -> None:
    """Nor when another part of the audit opens them; elsewhere indexes lie where they always do."""
    shard(tmp_path / "set" / "0.tar", (encode_png(picture(1)), "a cat", None))
    shard(tmp_path / "other" / "0.tar", (encode_png(picture(1)), "a cat", None))
    before = state(tmp_path / "set")
    asked = request(tmp_path / "set", tmp_path)
    with asked.untouched():
        take.take_inventory(asked, workers=0)
        ShardSet.open(tmp_path / "set").hashes()
        ShardSet.open(tmp_path / "other")
    asked.usable.shards.hashes()
    assert state(tmp_path / "set") == before
    assert [*(tmp_path / "other" / ".clipbench").glob("index-*")]


@pytest.mark.parametrize("data", ["https://ann:secret@example.org/0.tar", "pipe:cat 0.tar"])
def test_remote_shards_are_refused(tmp_path: Path, data: str) -> None:
    """In one line, before anything is fetched."""
    asked = AuditRequest(data=data, out=tmp_path, cache=tmp_path, reporter=Reporter(quiet=True))
    with pytest.raises(BadSetting, match="reads shards of this machine") as error:
        take.take_inventory(asked)
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)
