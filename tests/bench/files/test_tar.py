"""Headers of tars under another key."""

from __future__ import annotations

import io
import os
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shard_pairs import write_members

from clipbench.errors import CorruptData
from clipbench.files import tar
from clipbench.poisoning import splice
from clipbench.shards.reader import ShardSet

DEEP = "d" * 80 + "/" + "e" * 20 + "/"  # with a name behind it, more than the 100 bytes of a field
CONTENT = b"other content"


def told(info: tarfile.TarInfo) -> dict[str, Any]:
    """Return what a header says beside name, size and checksum."""
    headers = {name: value for name, value in info.pax_headers.items() if name != "path"}
    own = {"name": "", "size": 0, "chksum": 0, "pax_headers": headers}
    return {**info.get_info(), **own}


@pytest.mark.parametrize("folder", ["", "./", "some/folder/", DEEP])
@pytest.mark.parametrize(
    "form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT], ids="ugp".__getitem__
)
@pytest.mark.parametrize(
    ("old", "new"),
    [("0000", "0001"), ("000", "117"), ("644", "645"), ("1750", "0000"), ("ustar", "other")],
)
def test_a_new_key_changes_the_name_alone(
    tmp_path: Path, form: int, folder: str, old: str, new: str
) -> None:
    """Owner, mode and time may hold the digits of the key, and stay what they were."""
    about = {"mode": 0o644, "uid": 1000, "gid": 1000, "mtime": 1_700_000_000, "uname": "me0000"}
    if form == tarfile.PAX_FORMAT:
        about["mtime"] = 1_700_000_000.25
    path = write_members(tmp_path / "old.tar", [(f"{folder}{old}.txt", b"x")], form, **about)
    (member,) = tar.members(path)
    old_key, new_key = (f"{folder}{key}".encode() for key in (old, new))
    heads = tar.rewritten(path.read_bytes()[: member.offset], old_key, new_key, len(CONTENT))
    made = splice.member_bytes(heads, CONTENT) + tar.end_of_archive(len(heads) + tar.BLOCK)
    (tmp_path / "new.tar").write_bytes(made)
    with tarfile.open(path) as before, tarfile.open(fileobj=io.BytesIO(made)) as after:
        (one,), (two,) = before.getmembers(), after.getmembers()
        content = after.extractfile(two)
        assert content is not None
        assert content.read() == CONTENT
    assert two.name == f"{folder}{new}.txt"
    assert told(two) == told(one)
    (found,) = tar.members(tmp_path / "new.tar")
    assert (found.name, found.size) == (f"{folder}{new}.txt".encode(), len(CONTENT))
    assert b"/" + old.encode() + b"." not in made


def test_a_header_in_a_folder_of_its_own_is_renamed_too(tmp_path: Path) -> None:
    """GNU tar names the header in front of a member after it, in a folder ``PaxHeaders``."""
    path = tmp_path / "old.tar"
    about = {"mtime": 1_700_000_000.25}
    write_members(path, [("a/0001.txt", b"x")], tarfile.PAX_FORMAT, **about)
    (member,) = tar.members(path)
    heads = bytearray(path.read_bytes()[: member.offset])
    heads[:100] = b"a/PaxHeaders/0001.txt".ljust(100, b"\0")
    made = tar.rewritten(bytes(heads), b"a/0001", b"a/0002", 1)
    assert made[:100].rstrip(b"\0") == b"a/PaxHeaders/0002.txt"
    assert made[-tar.BLOCK :][:100].rstrip(b"\0") == b"a/0002.txt"


def crafted(name: bytes, size: bytes, kind: bytes = b"0") -> bytes:
    """Return a header whose size field holds any text, with a right checksum."""
    block = bytearray(tar.header(name, 0))
    block[124:136], block[156:157] = size.ljust(12, b"\0"), kind
    return signed(block)


def signed(block: bytearray) -> bytes:
    """Return a header with the checksum that belongs to it."""
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def extended(record: bytes) -> bytes:
    """Return an empty member with a PAX record in front of it."""
    head = crafted(b"x", b"%011o" % len(record), b"x")
    return head + record.ljust(tar.BLOCK, b"\0") + crafted(b"a.txt", b"%011o" % 0)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(crafted(b"a.txt", b"-0000001000"), id="size below zero"),
        pytest.param(crafted(b"a.txt", b"+0000000000"), id="size with a sign"),
        pytest.param(crafted(b"a.txt", b"0_0"), id="size with an underscore"),
        pytest.param(extended(b"14 size=-1536\n"), id="PAX size below zero"),
        pytest.param(extended(b"0 path=x\n"), id="PAX record of no length"),
        pytest.param(extended(b"-9 path=x\n"), id="PAX record of a length below zero"),
        pytest.param(extended(b"1 path=x\n"), id="PAX record that ends in its length"),
    ],
)
def test_a_number_that_would_lead_back_is_damage(tmp_path: Path, content: bytes) -> None:
    """A walk over headers goes forward or ends; it never returns to where it was."""
    path = tmp_path / "00000.tar"
    path.write_bytes(content + bytes(10_240))
    with pytest.raises(CorruptData, match="damaged tar header"):
        list(tar.members(path))


@pytest.mark.filterwarnings("ignore:Shard .* goes on behind its end mark")
def test_every_walk_over_mutated_headers_ends(tmp_path: Path) -> None:
    """Whatever its fields hold, members come in order and do not overlap, or it is damage."""
    path = tmp_path / "00000.tar"
    whole = extended(b"16 path=one.txt\n") + b"".join(
        crafted(b"%d.txt" % number, b"%011o" % 512) + bytes(512) for number in range(3)
    )
    rng = np.random.default_rng(0)
    letters = np.frombuffer(b"-+_ 01237\0\x80\xff=", np.uint8)
    damaged = 0
    for _ in range(500):
        content = bytearray(whole)
        for _ in range(int(rng.integers(1, 4))):
            block = int(rng.integers(len(content) // tar.BLOCK)) * tar.BLOCK
            at = block + int(rng.choice([rng.integers(0, 24), rng.integers(124, 136), 156]))
            content[at] = rng.choice(letters)
            if content[block + 257 : block + 262] == b"ustar":
                content[block : block + tar.BLOCK] = signed(content[block : block + tar.BLOCK])
        path.write_bytes(content + bytes(10_240))
        position = 0
        try:
            for member in tar.members(path):
                assert position <= member.start < member.offset <= member.end
                position = member.end
        except CorruptData:
            damaged += 1
    assert 0 < damaged < 500


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    """A pipe among the shards would be waited for, for ever."""
    path = tmp_path / "00000.tar"
    os.mkfifo(path)
    with pytest.raises(CorruptData, match="no regular file"):
        list(tar.members(path))


def test_a_checksum_that_is_no_number_is_damage(tmp_path: Path) -> None:
    """Of a header behind the first, which is looked at with all others at the end."""
    head = bytearray(crafted(b"b.txt", b"%011o" % 0))
    head[150] = 0xB6
    path = tmp_path / "00000.tar"
    path.write_bytes(crafted(b"a.txt", b"%011o" % 0) + head + bytes(10_240))
    with pytest.raises(CorruptData, match=r"damaged tar header near member 'b\.txt'"):
        list(tar.members(path))


def written(path: Path, *parts: tuple[str, bytes, bytes]) -> Path:
    """Write a tar of headers: name, kind, and content, of which the header may say more."""
    blocks = []
    for name, kind, content in parts:
        info = tarfile.TarInfo(name)
        info.type, info.size = kind, len(content)
        blocks += [info.tobuf(tarfile.GNU_FORMAT), content, bytes(-len(content) % 512)]
    path.write_bytes(b"".join([*blocks, bytes(1024)]))
    return path


def test_an_image_of_more_than_four_gibibytes_is_left_out(tmp_path: Path) -> None:
    """It takes no memory, and the pairs beside it stay."""
    path, size = tmp_path / "00000.tar", (1 << 32) + 7
    huge = tarfile.TarInfo("0.jpg")
    huge.size = size
    rest = written(
        tmp_path / "rest", ("0.txt", b"0", b"x"), ("1.jpg", b"0", b"y"), ("1.txt", b"0", b"z")
    )
    with path.open("wb") as file:
        file.write(huge.tobuf(tarfile.GNU_FORMAT))
        file.truncate(512 + tar.padded(size))
        file.seek(0, os.SEEK_END)
        file.write(rest.read_bytes())
    with pytest.raises(CorruptData, match=r"no image for key 0 \(its .jpg has 4,294,967,303 bytes"):
        ShardSet.open(path)
    shards = ShardSet.open(path, on_incomplete="skip")
    assert (len(shards), shards.key(0), shards.caption(0)) == (1, "1", "z")


@pytest.mark.parametrize(
    ("name", "missing"), [("0.txt", "caption"), ("0.json", "")], ids=["caption", "JSON"]
)
def test_a_text_of_megabytes_is_left_out(name: str, missing: str, tmp_path: Path) -> None:
    """A caption makes its pair unusable; a pair need have no JSON."""
    parts = {"0.jpg": b"y", "0.txt": b"x", "1.jpg": b"y", "1.txt": b"x", name: b"a" * 20_000_000}
    members = [(part, b"0", content) for part, content in sorted(parts.items())]
    path = written(tmp_path / "00000.tar", *members)
    shards = ShardSet.open(path, on_incomplete="skip")
    assert [one.missing for one in shards.incomplete] == [missing] * bool(missing)
    assert shards.metadata(0) == {}


def test_a_key_of_kilobytes_is_refused(tmp_path: Path) -> None:
    """All keys of an index are as wide as its widest."""
    path = written(tmp_path / "00000.tar", ("k" * 2_000 + ".txt", b"0", b"x"))
    with pytest.raises(CorruptData, match=r"a key of 2,000 bytes, k+\.\.\.; more than 1,024"):
        ShardSet.open(path)


def test_headers_of_many_small_records_are_read_in_no_time(tmp_path: Path) -> None:
    """And those of more than a mebibyte are none."""
    for count, is_read in ((200_000, True), (300_000, False)):
        records = b"5 a=\n" * count
        path = written(tmp_path / "00000.tar", ("x", b"x", records), ("0.txt", b"0", b"x"))
        start = time.process_time()
        if is_read:
            assert [member.name for member in tar.members(path)] == [b"0.txt"]
        else:
            with pytest.raises(CorruptData, match="damaged tar header"):
                list(tar.members(path))
        assert time.process_time() - start < 3


@pytest.mark.parametrize("kind", [b"1", b"2", b"3", b"5", b"6"])
def test_what_has_no_content_has_none_whatever_it_says(kind: bytes, tmp_path: Path) -> None:
    """As in tarfile, and so in webdataset: a folder's size is what may lie in it."""
    head = tarfile.TarInfo("odd")
    head.type, head.size = kind, 1536
    rest = written(tmp_path / "rest", ("0.txt", b"0", b"x"), ("1.txt", b"0", b"y"))
    path = tmp_path / "00000.tar"
    path.write_bytes(head.tobuf(tarfile.GNU_FORMAT) + rest.read_bytes())
    assert [member.name for member in tar.members(path)] == [b"0.txt", b"1.txt"]
    with tarfile.open(path) as theirs:
        assert theirs.getnames() == ["odd", "0.txt", "1.txt"]
