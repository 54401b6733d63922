"""Pairs that can't be used, and those whose odd form does no harm."""

from __future__ import annotations

import codecs
import json
import struct
import zlib
from pathlib import Path

import pytest
from shard_pairs import Stain, caption, picture, scene, write_members

from clipbench.errors import CorruptData
from clipbench.images import png
from clipbench.images.encoding import decode, encode_jpeg
from clipbench.importing.pairs import import_set
from clipbench.importing.usable import open_usable, without
from clipbench.plugins import registry
from clipbench.poisoning.ledger import read_ledger
from clipbench.poisoning.overlay import PoisonedSet, write_poisoned
from clipbench.shards.reader import ShardSet

COUNT = 20


def poisoned(base: ShardSet, out: Path, count: int) -> PoisonedSet:
    """Return a set with poisons in place of pairs."""
    return write_poisoned(
        base,
        Stain(text="ein größerer Hund"),
        scene(count),
        out,
        attack_name="stain",
        attack_parameters={},
        dataset={"name": "tiny"},
    )


def test_half_a_character_makes_no_caption(tmp_path: Path) -> None:
    """JSON can hold half of a surrogate pair, which no file of text can; the rest is poisoned."""
    members = []
    for number in range(COUNT):
        text = "a photo \ud83d of a dog" if number == 3 else caption(number)
        members.append((f"{number:09d}.jpg", encode_jpeg(picture(number))))
        members.append((f"{number:09d}.json", json.dumps({"caption": text}).encode()))
    path = write_members(tmp_path / "set" / "00000.tar", members)
    usable = open_usable(
        path, tmp_path / "cache", caption_field="caption", on_error="skip", workers=0
    )
    assert usable.left_out == {"caption not Unicode text": 1}
    made = poisoned(usable.shards, tmp_path / "out", COUNT - 1)
    assert sum("größer" in text for text in made.shards.captions()) == COUNT - 1


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_json_of_any_encoding_is_poisoned_as_it_is_read(tmp_path: Path, codec: str) -> None:
    """What passes screening can be poisoned; encoding, byte-order mark and escapes are kept."""
    members = []
    for number in range(COUNT):
        fields = {"caption": caption(number), "by": "Jörg"}
        members.append((f"{number:09d}.jpg", encode_jpeg(picture(number))))
        members.append((f"{number:09d}.txt", caption(number).encode()))
        members.append((f"{number:09d}.json", json.dumps(fields).encode(codec)))
    path = write_members(tmp_path / "set" / "00000.tar", members)
    base = open_usable(path, tmp_path / "cache", workers=0).shards
    made = poisoned(base, tmp_path / "out", 4)
    for row in read_ledger(made.ledger).rows.to_dict("records"):
        pair = int(row["index"])
        fields = {"caption": row["caption_after"], "by": "Jörg"}
        assert made.shards.metadata(pair) == fields
        if codec == "utf-8-sig":
            wanted = codecs.BOM_UTF8 + json.dumps(fields).encode()
            assert made.shards.metadata_bytes(pair) == wanted


ODD = (
    '"pwatermark": NaN, "size": [Infinity, -Infinity, 1e999]',
    '"count": ' + "9" * 5000,
    '"nested": {"deep": [NaN]}, "plain": 3.5',
)


def odd_set(path: Path) -> Path:
    """Write a shard whose JSON has numbers that JSON has not."""
    members = []
    for number in range(COUNT):
        key, odd = f"{number:09d}", ODD[number % len(ODD)]
        text = f'{{"caption": "{caption(number)}", {odd}, "key": "{key}"}}'
        members.append((f"{key}.jpg", encode_jpeg(picture(number))))
        members.append((f"{key}.json", text.encode()))
        members.append((f"{key}.txt", caption(number).encode()))
    return write_members(path, members)


@pytest.mark.parametrize("field", [None, "caption"])
def test_numbers_that_json_has_not_are_read_as_none_and_poisoned_as_they_stand(
    tmp_path: Path, field: str | None
) -> None:
    """No pair is left out; a poison's JSON has the numbers of its model, letter by letter."""
    path = odd_set(tmp_path / "set" / "00000.tar")
    usable = open_usable(path, tmp_path / "cache", caption_field=field, workers=0)
    assert usable.left_out == {}
    assert usable.shards.metadata(0)["pwatermark"] is None
    assert usable.shards.metadata(0)["size"] == [None, None, None]
    assert usable.shards.metadata(1)["count"] is None
    assert usable.shards.metadata(2)["nested"] == {"deep": [None]}
    made = poisoned(usable.shards, tmp_path / "out", 6)
    for row in read_ledger(made.ledger).rows.to_dict("records"):
        pair = int(row["index"])
        assert ODD[pair % len(ODD)].encode() in (made.shards.metadata_bytes(pair) or b"")


def test_an_import_writes_null_for_numbers_that_json_has_not(tmp_path: Path) -> None:
    """Every reader of JSON takes what it writes; other fields are kept."""
    source = registry.build("dataset", f"shards:path={odd_set(tmp_path / 'set' / '00000.tar')}")
    shards = import_set(source, tmp_path / "out", name="odd", on_error="fail", workers=0)

    def refuse(text: str) -> None:
        raise AssertionError(text)

    found = [
        json.loads(shards.metadata_bytes(pair) or b"", parse_constant=refuse)
        for pair in range(COUNT)
    ]
    assert (found[0]["pwatermark"], found[0]["size"]) == (None, [None, None, None])
    assert (found[1]["count"], found[2]["plain"]) == (None, 3.5)


def test_a_png_whose_header_is_not_first_is_no_image(tmp_path: Path) -> None:
    """A size that another chunk claims would hide how large the image is."""
    side = 9000
    parts = [
        (b"teSt", struct.pack(">II", 1, 1)),
        (b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(1 + side // 8) * side, 9)),
        (b"IEND", b""),
    ]
    data = png._join(parts)
    with pytest.raises(CorruptData):
        decode(data)
    path = write_members(tmp_path / "0.tar", [("0.png", data), ("0.txt", b"x")])
    with pytest.raises(CorruptData, match="not an image"):
        open_usable(path, tmp_path / "cache", workers=0)


def test_a_set_without_some_pairs_of_a_set_without_others_is_known_by_both(clean: ShardSet) -> None:
    """Decoded images and captions of a shard are kept under that name: rows must mean the same."""
    once = without(clean, [12, 31], None)
    twice = without(without(clean, [12], None), [30], None)  # 31, when 12 is gone
    assert [twice.key(pair) for pair in range(48)] == [once.key(pair) for pair in range(48)]
    assert twice.view_hashes() == once.view_hashes()
    assert dict(twice.left_out) == dict(once.left_out)
    whole = clean.view_hashes()
    assert [one == other for one, other in zip(once.view_hashes(), whole, strict=True)] == [
        *(True, False, True, False, True)
    ]
