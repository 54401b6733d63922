"""Contents of poisoned pairs in the form of clean ones."""

import codecs
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shard_pairs import picture

from clipbench.errors import CorruptData
from clipbench.images.encoding import encode_png
from clipbench.poisoning import disguise
from clipbench.shards.reader import ShardSet

PEERS = [{"uid": 10 * n, "url": f"http://e.org/{n}", "lang": "en", "ok": True} for n in range(9)]


def test_identifiers_are_fields_that_no_two_pairs_share() -> None:
    """Distinct texts and numbers identify; shared values, truth values and fractions do not."""
    fields = {"uid": 95, "url": "http://e.org/x", "lang": "en", "ok": True, "score": 0.25}
    assert set(disguise.identifiers(fields, PEERS)) == {"uid", "url"}
    assert disguise.identifiers({**fields, "uid": 20}, PEERS).keys() == {"url"}
    assert disguise.identifiers(fields, []) == {}


def test_invented_identifiers_are_new_and_of_the_same_form() -> None:
    """Numbers lie between the neighbors', texts keep length, host and suffix."""
    fields = {"uid": 95, "url": "http://e.org/a7-B.jpg", "sha": "0f3c", "lang": "en"}
    peers = [{**peer, "sha": f"{n:04x}"} for n, peer in enumerate(PEERS)]
    for seed in range(20):
        made = disguise.invented_fields(fields, peers, np.random.default_rng(seed))
        assert set(made) == {"uid", "url", "sha"}
        assert 0 <= made["uid"] <= 95
        assert made["uid"] not in {95, *range(0, 90, 10)}
        assert made["url"].startswith("http://e.org/")
        assert made["url"].endswith(".jpg")
        name = made["url"].removeprefix("http://e.org/").removesuffix(".jpg")
        assert (name[0].islower(), name[1].isdigit(), name[2], name[3].isupper()) == (
            True,
            True,
            "-",
            True,
        )
        assert len(made["sha"]) == 4
        assert int(made["sha"], 16) >= 0


def test_moved_pair_goes_on_with_the_numbering() -> None:
    """At the end of the set numbers continue behind the last pair's."""
    rng = np.random.default_rng(0)
    made = disguise.following_fields({"uid": 95, "lang": "en"}, PEERS, {"uid": 500}, 3, rng)
    assert made == {"uid": 504}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            '{"a":1,"caption":"x","b":[1, {"caption":2}]}',
            '{"a":1,"caption":"ü","b":[1, {"caption":2}]}',
        ),
        ('{ "caption" : "x\\"y" ,\n "b":null}\n', '{ "caption" : "ü" ,\n "b":null}\n'),
        ('{"b": "caption"}', '{"b": "caption"}'),
        ("{}", "{}"),
        ("\n{\t}", "\n{\t}"),
    ],
)
def test_one_field_changes_and_nothing_else(text: str, wanted: str) -> None:
    """White space, order, nested fields and all other values stay to the letter."""
    made = disguise.patched_json(text.encode(), {"caption": "ü"}, ascii_only=False)
    assert made.decode() == wanted
    escaped = disguise.patched_json(text.encode(), {"caption": "ü"}, ascii_only=True)
    assert escaped.decode() == wanted.replace("ü", "\\u00fc")


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"a"', '{"a":}', "null", '{"a":1,'])
def test_what_is_no_json_object_is_corrupt(text: str) -> None:
    """Damaged JSON is an error, not an endless loop."""
    with pytest.raises(CorruptData, match="not a JSON object"):
        disguise.patched_json(text.encode(), {"a": 1}, ascii_only=True)


def with_captions(folder: Path, captions: list[str], **style: Any) -> ShardSet:
    """Return a set whose JSON is written in some style."""
    folder.mkdir()
    with tarfile.open(folder / "a.tar", "w") as file:
        for number, caption in enumerate(captions):
            text = json.dumps({"caption": caption}, **style)
            parts = {"png": encode_png(picture(number)), "txt": caption, "json": text}
            for extension, content in parts.items():
                data = content.encode() if isinstance(content, str) else content
                info = tarfile.TarInfo(f"{number}.{extension}")
                info.size = len(data)
                file.addfile(info, io.BytesIO(data))
    return ShardSet.open(folder)


def test_letters_are_escaped_as_the_neighbors_escape_them(tmp_path: Path) -> None:
    """Whether JSON holds ü or an escape is seen from other pairs; escapes where none tells."""
    words = ["plain", "plain", "größe"]
    assert disguise.escapes_unicode(with_captions(tmp_path / "a", words), 0)
    raw = with_captions(tmp_path / "b", words, ensure_ascii=False)
    assert not disguise.escapes_unicode(raw, 0)
    assert disguise.escapes_unicode(with_captions(tmp_path / "c", words[:2]), 0)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["", "\n", "\r\n", " ", "\n\n"])
def test_caption_begins_and_ends_as_the_neighbors_do(mark: str, end: str) -> None:
    """White space at the end and a byte-order mark come along with their model, and never twice."""
    old, new = f"{mark}a cat{end}", f"{mark}a dog{end}"
    png = encode_png(np.zeros((2, 3, 3), np.uint8))
    for given in ("a dog", "a dog\n", "\ufeffa dog "):
        assert disguise.caption_like(given, old.encode()) == new.encode()
        # and so where JSON repeats it
        assert disguise.changed_fields({"caption": old}, given, png, png) == {"caption": new}


def test_caption_that_no_text_stands_for_stays() -> None:
    """Where JSON has something else than a text for a caption, none is a model."""
    assert disguise.text_like("a dog ", None) == "a dog "


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_json_keeps_its_encoding(codec: str) -> None:
    """What `json.loads` reads is changed in the encoding it has, byte-order mark included."""
    old, new = ('{"a": "Jörg", "caption": "x"}'.replace("x", new) for new in ("x", "ü"))
    made = disguise.patched_json(old.encode(codec), {"caption": "ü"}, ascii_only=False)
    assert made == new.encode(codec)
    assert disguise.is_ascii(codecs.BOM_UTF8 + b"{}")
    assert not disguise.is_ascii(old.encode())
