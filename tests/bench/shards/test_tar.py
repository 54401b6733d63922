"""Headers of tars under another key."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest
from shard_pairs import write_members

from clipbench.shards import splice, tar

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
