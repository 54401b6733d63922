"""Shards in forms that are not read: what is there is said, and what would read it."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil
from shard_pairs import Stain, caption, picture, scene, write_members

from clipbench.errors import BadInput, CorruptData, MissingData
from clipbench.files import tar
from clipbench.images.encoding import encode_jpeg
from clipbench.importing.pairs import import_set
from clipbench.importing.usable import open_usable
from clipbench.plugins import registry
from clipbench.poisoning.overlay import write_poisoned
from clipbench.shards import skipped
from clipbench.shards.reader import ShardSet

COUNT = 8
FORMATS = {"gif": "GIF", "bmp": "BMP", "tif": "TIFF", "tiff": "TIFF"}


def pair(number: int, extension: str = "jpg") -> list[tuple[str, bytes]]:
    """Return the members of a pair."""
    buffer = io.BytesIO()
    image = Pil.fromarray(picture(number))
    image.save(buffer, FORMATS.get(extension, "JPEG"))
    return [
        (f"{number:09d}.{extension}", buffer.getvalue()),
        (f"{number:09d}.json", b'{"caption": "another %d"}' % number),
        (f"{number:09d}.txt", caption(number).encode()),
    ]


def imported(folder: Path, spec: str = "") -> ShardSet:
    """Import a folder of shards, and leave out what can't be used."""
    source = registry.build("dataset", f"shards:path={folder}{spec}")
    return import_set(source, folder.with_name("imported"), name="shards", workers=0)


# --------------------------------------------------------------------------- other images


@pytest.mark.parametrize("field", [None, "caption"])
def test_images_of_other_formats_are_named_and_converted_by_an_import(
    tmp_path: Path, field: str | None
) -> None:
    """A training asks for the import, which writes them as PNG beside the pairs there are."""
    kinds = ["jpg", *FORMATS, "jpg"]
    members = [one for number, kind in enumerate(kinds) for one in pair(number, kind)]
    write_members(tmp_path / "set" / "00000.tar", members)
    with pytest.raises(CorruptData, match=r"000000001 \(it has .gif\).*`clipbench data import`"):
        open_usable(tmp_path / "set", tmp_path / "cache", caption_field=field, workers=0)
    made = imported(tmp_path / "set", f",caption_field={field}" if field else "")
    wanted = [f"another {n}" if field else caption(n) for n in range(len(kinds))]
    assert sorted(made.captions()) == sorted(wanted)
    shown = {made.caption(n): made.image(n) for n in range(len(made))}
    for number in (2, 3, 4):  # without loss
        np.testing.assert_array_equal(shown[wanted[number]], picture(number))


def test_an_image_of_another_format_without_a_caption_is_left_out(tmp_path: Path) -> None:
    """And so is one whose caption is no text."""
    members = [*pair(0), *pair(1, "gif")[:2], *pair(2, "bmp")[:1], ("000000002.txt", b"\xff")]
    write_members(tmp_path / "set" / "00000.tar", members)
    assert imported(tmp_path / "set").captions() == [caption(0)]
    stats = skipped.read_stats(tmp_path / "imported")
    assert stats is not None
    assert stats.left_out == {"caption missing": 1, "caption unreadable": 1}


# --------------------------------------------------------------------------- sparse members


def sparse(name: str, content: bytes, blocks: int) -> bytes:
    """Return a member as GNU tar writes it with --sparse, and more blocks that list holes."""
    header = bytearray(tar.header(name.encode(), len(content)))
    header[156], header[257:265] = ord("S"), b"ustar  \0"
    header[482] = blocks > 0
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    more = [bytearray(512) for _ in range(blocks)]
    for block in more[:-1]:
        block[504] = 1
    return b"".join([bytes(header), *map(bytes, more), content, bytes(-len(content) % 512)])


@pytest.mark.parametrize("blocks", [0, 1, 3])
@pytest.mark.parametrize("at", [0, 2, 4])
def test_a_sparse_member_is_left_out_alone(tmp_path: Path, blocks: int, at: int) -> None:
    """It is told as what it is; the members around it are where they are."""
    content = b""
    for number in range(5):
        for name, data in pair(number):
            is_odd = number == at and name.endswith(".jpg")
            head = tar.header(name.encode(), len(data)) + data + bytes(-len(data) % 512)
            content += sparse(name, data, blocks) if is_odd else head
    path = tmp_path / "00000.tar"
    path.write_bytes(content + tar.end_of_archive(len(content)))
    with pytest.raises(CorruptData, match=r"its .jpg is sparse \(tar --sparse\)"):
        ShardSet.open(path)
    base = open_usable(path, tmp_path / "cache", on_error="skip", workers=0)
    assert base.left_out == {"image missing": 1}
    assert base.shards.captions() == [caption(n) for n in range(5) if n != at]
    made = write_poisoned(
        base.shards,
        Stain(bases=(0, 3)),
        scene(2),
        tmp_path / "out",
        attack_name="stain",
        attack_parameters={},
        dataset={},
        left_out=base.left_out,
    )
    assert made.shards.captions()[1:3] == base.shards.captions()[1:3]


def test_a_sparse_member_in_pax_form_has_its_own_name(tmp_path: Path) -> None:
    """That is in the extended header, beside the map of holes; there is no second key."""
    path = tmp_path / "00000.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as file:
        for number in range(3):
            for name, data in pair(number):
                info = tarfile.TarInfo(name)
                if number == 1 and name.endswith(".jpg"):
                    info.name = f"./GNUSparseFile.7/{name}"
                    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.name": name}
                info.size = len(data)
                file.addfile(info, io.BytesIO(data))
    base = open_usable(path, tmp_path / "cache", on_error="skip", workers=0)
    assert base.left_out == {"image missing": 1}
    assert [one.key for one in base.full.incomplete] == ["000000001"]


# --------------------------------------------------------------------------- other forms


def test_names_with_two_dots_are_shown(tmp_path: Path) -> None:
    """Whoever writes .input.jpg and .outputs.txt learns how the two must be named; again, too."""
    members = [(f"s{n}.{part}", b"x") for n in range(3) for part in ("input.jpg", "outputs.txt")]
    write_members(tmp_path / "00000.tar", members)
    for _ in range(2):
        with pytest.raises(CorruptData, match=r"s0.input.jpg, s0.outputs.txt; name an image KEY"):
            ShardSet.open(tmp_path)


def test_single_files_are_told_from_shards(tmp_path: Path) -> None:
    """As img2dataset writes them with output_format=files."""
    (tmp_path / "00000").mkdir()
    (tmp_path / "00000" / "0.JPG").write_bytes(encode_jpeg(picture(0)))
    (tmp_path / "00000" / "0.txt").write_text(caption(0))
    with pytest.raises(MissingData, match=r"folders such as .*/00000, which .* paired_files"):
        ShardSet.open(tmp_path)


def test_a_link_to_nowhere_among_shards_is_named(tmp_path: Path) -> None:
    """Before anything is read, by every way to open a folder."""
    write_members(tmp_path / "00000.tar", pair(0))
    (tmp_path / "00001.tar").symlink_to("/nowhere/00001.tar")
    source = registry.build("dataset", f"shards:path={tmp_path}")
    for work in (source.num_pairs, lambda: ShardSet.open(tmp_path)):
        with pytest.raises(BadInput, match=r"00001.tar is a link to /nowhere/00001.tar"):
            work()


def test_tars_joined_by_cat_are_warned_of(tmp_path: Path) -> None:
    """The pairs behind the first end mark are not read, and that is said."""
    one = write_members(tmp_path / "a" / "00000.tar", pair(0)).read_bytes()
    two = write_members(tmp_path / "b" / "00000.tar", pair(1)).read_bytes()
    (tmp_path / "00000.tar").write_bytes(one + two)
    with pytest.warns(UserWarning, match="goes on behind its end mark"):
        assert len(ShardSet.open(tmp_path)) == 1
