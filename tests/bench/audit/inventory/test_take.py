"""What an inventory counts, and what the page says of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from delivered_pairs import request, shard
from matplotlib import cbook
from PIL import Image as Pil
from shard_pairs import picture

from clipbench.audit.inventory import pairs
from clipbench.audit.inventory.grouping import Groups, spread_of
from clipbench.audit.inventory.model import Copies, Inventory, Supplier
from clipbench.audit.inventory.section import section
from clipbench.audit.inventory.take import take_inventory
from clipbench.custody.record import recorded
from clipbench.images.encoding import encode_jpeg, encode_png

PNG = [encode_png(picture(number, 24, 32)) for number in range(8)]


def photograph(quality: int) -> bytes:
    with Pil.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)) as file:
        image = np.asarray(file.convert("RGB").resize((128, 150)))
    return encode_jpeg(image, quality, 2)


def delivered(tmp_path: Path) -> Inventory:
    """Return the inventory of what two suppliers and somebody unknown deliver."""
    cats, dogs = {"url": "https://cats.example/1"}, {"url": "https://dogs.example/2"}
    shard(
        tmp_path / "set" / "0.tar",
        (photograph(90), "a stop sign", cats),
        (photograph(40), "a red stop sign", cats),
        (photograph(40), "a sign at night", dogs),
        (PNG[0], "Buy  now", cats),
        (PNG[1], "buy now", dogs),
        (b"\x89PNG", "broken", dogs),
    )
    shard(
        tmp_path / "set" / "1.tar",
        (PNG[2], "BUY NOW", dogs),
        (PNG[3], "黑色的猫", None),
        (PNG[3], "a dog " * 5_000, dogs),
        (PNG[4], "кот", dogs),
        (PNG[5], "", dogs),
    )
    return take_inventory(request(tmp_path / "set", tmp_path), workers=0)


def test_copies_captions_and_suppliers_are_counted(tmp_path: Path) -> None:
    """To the byte, to the eye, within and across suppliers; what can't be used is left out."""
    found = delivered(tmp_path)
    assert (found.pairs, found.left_out) == (9, {"caption empty": 1, "not an image": 1})
    assert found.exact == Copies(groups=2, pairs=4, shared=2)
    assert found.alike == Copies(groups=2, pairs=5, shared=2)
    assert found.repeated == Copies(groups=1, pairs=3, shared=1)
    assert (found.captions, found.scripts) == (7, {"Latin": 7, "Han": 1, "Cyrillic": 1})
    assert [(one.pairs, one.captions, one.files, one.suppliers) for one in found.bursts] == [
        (3, 3, 2, 2),
        (2, 2, 1, 2),
    ]
    assert [(one.caption, one.pairs, one.images) for one in found.repeats] == [("Buy now", 3, 3)]
    assert found.suppliers == (
        Supplier(name="dogs.example", pairs=5, exact=2, alike=2, shared=2, repeated=2),
        Supplier(name="cats.example", pairs=3, exact=1, alike=2, shared=2, repeated=1),
        Supplier(name="", pairs=1, exact=1, alike=1, shared=1, repeated=0),
    )
    assert found.lengths[1:5] == (1, 3, 1, 3)
    assert (found.lengths[30], sum(found.lengths), found.words.most) == (1, 9, 10_000)


def test_lists_lie_beside_the_page(tmp_path: Path) -> None:
    """All copies by group, repeated captions, suppliers, and what was left out with its reason."""
    delivered(tmp_path)
    folder = tmp_path / "audit" / "inventory"
    copies = pd.read_csv(folder / "copies.csv", dtype={"key": str})
    assert copies["group"].tolist() == [1, 1, 1, 2, 2]
    assert copies["key"].tolist() == ["00000", "00001", "00002", "10001", "10002"]
    assert pd.read_csv(folder / "captions.csv").to_numpy().tolist() == [[3, 3, 2, "Buy now"]]
    assert pd.read_csv(folder / "suppliers.csv")["pairs"].tolist() == [5, 3, 1]
    lines = [json.loads(line) for line in (folder / "left_out.jsonl").read_text().splitlines()]
    assert {line["key"]: line["reason"] for line in lines} == {
        "00005": "not an image",
        "10004": "caption empty",
    }


def test_an_inventory_is_taken_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second look reads no shard; a lost table, or other shards, make it again."""
    found = delivered(tmp_path)
    read = pairs.read_shards
    seen = list[int]()
    monkeypatch.setattr(pairs, "read_shards", lambda *given: seen.append(1) or read(*given))
    assert take_inventory(request(tmp_path / "set", tmp_path), workers=0) == found
    assert not seen
    (tmp_path / "audit" / "inventory" / "captions.csv").unlink()
    assert take_inventory(request(tmp_path / "set", tmp_path), workers=0) == found
    assert len(seen) == 1
    (tmp_path / "set" / "1.tar").unlink()
    assert take_inventory(request(tmp_path / "set", tmp_path), workers=0).pairs == 5
    assert not (tmp_path / "audit" / "inventory" / "parts").exists()


def test_the_log_names_the_rows_where_they_were_made(tmp_path: Path) -> None:
    """By their hash; a second look makes nothing."""
    log = tmp_path / "audit.jsonl"
    with recorded(log, "audit", {}):
        found = delivered(tmp_path)
    assert json.loads(log.read_text())["made"] == {"pairs.parquet": found.pairs_sha256}
    with recorded(log, "audit", {}):
        take_inventory(request(tmp_path / "set", tmp_path), workers=0)
    assert len(log.read_text().splitlines()) == 1


def told(inventory: Inventory) -> str:
    """Return what the page says in sentences."""
    part = section(inventory)
    return " ".join([*part.said, *part.cannot, *part.advice])


def test_the_page_says_what_was_counted(tmp_path: Path) -> None:
    """In sentences with numbers, for a person who decides."""
    text = told(delivered(tmp_path))
    for sentence in (
        "9 pairs of image and caption in 2 files can be used.",
        "2 pairs (18.2%) more can't be used and are left out; the most frequent reason: caption"
        " empty (1).",
        "5 pairs (55.6%) have an image that another pair has, too, 4 of them to the byte, 1 to the"
        " eye alone.",
        "Images that look the same come with 3 different captions (in 3 pairs).",
        "The most frequent caption, “Buy now”, is that of 3 pairs (33.3%), with 3 different"
        " images.",
        "Pairs come from 2 suppliers, told apart by the host of the URL in the JSON; dogs.example"
        " delivers most: 5 pairs (55.6%).",
        "No supplier is named for 1 pair (11.1%).",
        "More than one supplier delivers 2 images.",
        "Keep one pair of each image: 3 pairs (33.3%) are further copies",
        "Have the pairs that can't be used delivered again",
    ):
        assert sentence in text


def test_an_image_repeated_under_many_captions_is_the_first_thing_to_look_at(
    tmp_path: Path,
) -> None:
    """As an attacker repeats it; a caption that comes twice is not worth a sentence."""
    each = [(PNG[number % 2], f"cat {number}", None) for number in range(24)]
    shard(tmp_path / "set" / "0.tar", *each, (PNG[2], "a dog", None), (PNG[3], "a dog", None))
    inventory = take_inventory(request(tmp_path / "set", tmp_path), workers=0)
    assert inventory.many == 2
    text = told(inventory)
    assert (
        "2 images come with 10 or more different captions each; one of them has 12 captions in"
        in text
    )
    assert "Look at the images that come with many captions" in text
    assert "frequent caption" not in text


def test_a_set_that_says_nothing_of_itself_is_taken_as_well(tmp_path: Path) -> None:
    """Without JSON, all pairs with one caption, and each image once."""
    shard(tmp_path / "set" / "0.tar", *((image, "A cat", None) for image in PNG))
    inventory = take_inventory(request(tmp_path / "set", tmp_path), workers=0)
    text = told(inventory)
    assert "8 pairs of image and caption in 1 file can be used." in text
    assert "No image comes twice, to the byte or to the eye." in text
    assert "“A cat”, is that of 8 pairs (100%), with 8 different images" in text
    assert "Half of the pairs or more have one caption" in text
    assert "Nothing in the data says who delivered which pair." in text
    assert "--supplier FIELD" in text
    assert "<img" not in section(inventory).evidence


def test_a_set_of_two_different_pairs_is_taken_as_well(tmp_path: Path) -> None:
    """Nothing comes more than once."""
    shard(tmp_path / "set" / "0.tar", (PNG[0], "a cat", None), (PNG[1], "a dog", None))
    inventory = take_inventory(request(tmp_path / "set", tmp_path), workers=0)
    assert inventory.bursts == inventory.repeats == ()
    assert "frequent caption" not in told(inventory)


def test_names_and_captions_of_strangers_do_nothing(tmp_path: Path) -> None:
    """On the page they are text, in the tables no formula, and on one line."""
    evil = '<script>alert("x")</script>'
    fields = {"who": f"=1+1 {evil}\u202e"}
    image = PNG[0]
    shard(
        tmp_path / "set" / "0.tar", (image, f"@{evil}", fields), (image, f"@{evil}", {"who": "b"})
    )
    inventory = take_inventory(request(tmp_path / "set", tmp_path, supplier="who"), workers=0)
    assert "<script" not in section(inventory).evidence
    assert "&lt;script" in section(inventory).evidence
    assert "\u202e" not in section(inventory).evidence + told(inventory)
    for name in ("suppliers.csv", "captions.csv", "copies.csv"):
        table = pd.read_csv(tmp_path / "audit" / "inventory" / name, dtype=str)
        cells = [str(cell) for cell in table.to_numpy().flat]
        assert not [cell for cell in cells if cell.startswith(("=", "@"))]


def test_many_pairs_are_counted_in_numbers() -> None:
    """By groups, without a step per pair."""
    rng = np.random.default_rng(0)
    groups = Groups(np.unique(rng.integers(0, 120_000, 200_000), return_inverse=True)[1])
    values = rng.integers(0, 5, 200_000)
    different = groups.different(values)
    assert different.max() <= 5
    one = int(groups.largest(groups.sizes, 1)[0])
    members = np.flatnonzero(groups.codes == one)
    assert groups.sizes[one] == groups.sizes.max() == len(members)
    assert different[one] == len(set(values[members].tolist()))
    assert groups.firsts[one] == members[0]


def test_spread_says_numbers_that_are_there() -> None:
    """Of few and of one."""
    assert msgspec.structs.astuple(spread_of(np.array([3]))) == (3, 3, 3, 3, 3)
    assert msgspec.structs.astuple(spread_of(np.arange(1, 101))) == (1, 5, 50, 95, 100)


def test_the_table_names_the_first_suppliers_and_counts_the_others(tmp_path: Path) -> None:
    """Hundreds of hosts take no more room than eight."""
    each: list[Any] = [
        (PNG[number % 8], f"cat {number}", {"url": f"https://h{number}.example/"})
        for number in range(12)
    ]
    shard(tmp_path / "set" / "0.tar", *each)
    evidence = section(take_inventory(request(tmp_path / "set", tmp_path), workers=0)).evidence
    assert evidence.count(".example") == 8
    assert "4 others" in evidence
