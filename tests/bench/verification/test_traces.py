"""Poisons that give themselves away among pairs that differ, as those of the web do."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pil
from shard_pairs import Stain, caption, picture, scene, write_members

from clipbench.images.encoding import encode_jpeg, encode_png
from clipbench.importing.usable import open_usable
from clipbench.poisoning.overlay import write_poisoned
from clipbench.shards.reader import ShardSet
from clipbench.verification import traces
from clipbench.verification.facets import joined
from clipbench.verification.verify import verify

COUNT = 60
ODD = 30  # the pair that is looked at
Members = dict[str, bytes]


def told(look: traces.Look, shards: ShardSet) -> tuple[list[str], list[str]]:
    """Return what is found of the odd pair, and what nobody can tell."""
    findings = joined([look(shards, 0, [ODD])])
    return findings.found, findings.untold


@cache
def jpeg(number: int, quality: int) -> bytes:
    """Return a picture; its quality decides its tables."""
    return encode_jpeg(picture(number), quality=quality)


def of_the_web(number: int) -> Members:
    """Return a pair: no two have equal tables, and no two an equal JSON."""
    fields = {f"found_{number}": 1, "caption": caption(number), "url": f"http://x/{number}"}
    members = {"jpg": jpeg(number, 40 + number), "txt": caption(number).encode()}
    return {**members, "json": json.dumps(fields).encode()}


def written(path: Path, odd: Callable[[], Members], **header: Any) -> ShardSet:
    """Return a set of pairs of the web, written by sixty owners, with an odd one among them."""
    path.mkdir()
    with tarfile.open(path / "00000.tar", "w", format=tarfile.USTAR_FORMAT) as file:
        for number in range(COUNT):
            for suffix, content in (odd() if number == ODD else of_the_web(number)).items():
                info = tarfile.TarInfo(f"{number:09d}.{suffix}")
                info.size, info.uid = len(content), number
                for name, value in header.items() if number == ODD else ():
                    setattr(info, name, value)
                file.addfile(info, io.BytesIO(content))
    return ShardSet.open(path)


def with_exif() -> bytes:
    """Return a picture with side information."""
    exif, out = Pil.Exif(), io.BytesIO()
    exif[0x9286] = "poison"
    Pil.fromarray(picture(ODD)).save(out, "JPEG", quality=40 + ODD, exif=exif)
    return out.getvalue()


def gray() -> bytes:
    """Return a picture without colors."""
    out = io.BytesIO()
    Pil.fromarray(picture(ODD)[..., 0]).save(out, "JPEG", quality=40 + ODD)
    return out.getvalue()


def sampled() -> bytes:
    """Return a picture whose colors have fewer pixels."""
    out = io.BytesIO()
    Pil.fromarray(picture(ODD)).save(out, "JPEG", quality=40 + ODD, subsampling="4:1:1")
    return out.getvalue()


@pytest.mark.parametrize("image", [gray, with_exif, sampled])
def test_a_picture_written_in_another_way_is_found_among_varied_ones(
    image: Callable[[], bytes], tmp_path: Path
) -> None:
    """Sixty qualities hide no lack of color, no side information and no other sampling."""
    shards = written(tmp_path / "set", lambda: {**of_the_web(ODD), "jpg": image()})
    assert told(traces.in_encoding, shards)[0]
    assert not told(traces.in_encoding, written(tmp_path / "o", lambda: of_the_web(ODD)))[0]


def test_a_png_is_found_among_jpegs_of_many_qualities(tmp_path: Path) -> None:
    """By its picture and by its name."""
    members = of_the_web(ODD)
    del members["jpg"]
    shards = written(tmp_path / "set", lambda: {"png": encode_png(picture(ODD)), **members})
    assert told(traces.in_encoding, shards)[0]
    assert told(traces.in_headers, shards)[0]


@pytest.mark.parametrize("field", [{"mode": 0o600}, {"gname": "attackers"}, {"type": b"7"}])
def test_a_header_written_in_another_way_is_found_among_varied_ones(
    field: dict[str, Any], tmp_path: Path
) -> None:
    """Each clean pair has an owner of its own; rights and types they have in common."""
    shards = written(tmp_path / "set", lambda: of_the_web(ODD), **field)
    found, untold = told(traces.in_headers, shards)
    if "gname" in field:  # who owns it is what varies here
        assert (found, untold) == ([], ["owner"])
    else:
        assert found


def test_keys_that_are_left_out_are_nothing_to_compare_with(tmp_path: Path) -> None:
    """One that lacks its caption made every set of the web whose members nobody can tell of."""
    members = [
        (f"{number:09d}.{suffix}", content)
        for number in range(COUNT)
        for suffix, content in of_the_web(number).items()
        if (number, suffix) != (7, "txt")
    ]
    folder = write_members(tmp_path / "set" / "00000.tar", members).parent
    usable = open_usable(folder, tmp_path / "cache", on_error="skip").shards
    assert len(usable) == COUNT - 1
    assert told(traces.in_headers, usable) == ([], [])


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        (b'{"found_30": 1, "caption": "a", "url": "b"}', True),  # another caption than the pair's
        (b'{"found_30":1,"caption":"a photo of thing number 30","url":"http://x/30"}', False),
    ],
)
def test_json_that_tells_on_itself_is_found_among_varied_ones(
    text: bytes, is_found: bool, tmp_path: Path
) -> None:
    """That it repeats the caption varies with nobody; its fields are everybody's own."""
    shards = written(tmp_path / "set", lambda: {**of_the_web(ODD), "json": text})
    found, untold = told(traces.in_json, shards)
    assert (bool(found), untold) == (is_found, ["text"])


def test_verify_says_what_it_cannot_decide(tmp_path: Path) -> None:
    """Neither passed nor failed: among pairs that all differ, another one is nothing."""
    base = written(tmp_path / "set", lambda: of_the_web(ODD))
    write_poisoned(
        base,
        Stain(bases=[5, 7]),
        scene(2),
        tmp_path / "out",
        attack_name="stain",
        attack_parameters={},
        dataset={},
    )
    report = verify(tmp_path / "out", base=base)
    checks = {check.name: check for check in report.checks}
    assert [name for name, check in checks.items() if not check.passed] == []
    assert report.is_open
    assert {name for name, check in checks.items() if check.is_open} == {
        f"no trace in {where}" for where in ("headers", "JSON", "encoding")
    }
    assert "cannot be decided here: clean pairs differ too much in owner in" in (
        checks["no trace in headers"].message
    )
