"""What a person names for output is written to, whatever stands there: links, pipes, devices."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from clipbench.errors import BadSetting, ClipbenchError, MissingData
from clipbench.files.named_files import check_picture, named_file, write_picture
from clipbench.results.files import write_atomic


def names(folder: Path) -> list[str]:
    """Return what is in a folder."""
    return sorted(path.name for path in folder.iterdir())


def read_from(pipe: Path, into: list[bytes]) -> threading.Thread:
    """Begin to read a named pipe to its end."""
    thread = threading.Thread(target=lambda: into.append(pipe.read_bytes()), daemon=True)
    thread.start()
    return thread


def test_a_named_pipe_stays_and_passes_the_bytes_on(tmp_path: Path) -> None:
    """Its reader gets them; no regular file takes its place."""
    pipe, got = tmp_path / "pipe", list[bytes]()
    os.mkfifo(pipe)
    thread = read_from(pipe, got)
    assert write_atomic(pipe, b"page") == pipe
    thread.join(10)
    assert got == [b"page"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert names(tmp_path) == ["pipe"]


def test_a_device_stays_a_device(tmp_path: Path) -> None:
    """A link to /dev/null stands for it, so that no test can take the real one away."""
    link = tmp_path / "null"
    link.symlink_to("/dev/null")
    write_atomic(link, b"page")
    assert link.is_symlink()
    assert stat.S_ISCHR(link.stat().st_mode)


def test_behind_a_link_the_file_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    """Also where what it points to is not there yet."""
    real = tmp_path / "site" / "index.html"
    link = tmp_path / "page.html"
    real.parent.mkdir()
    link.symlink_to(Path("site", "index.html"))
    for content in (b"first", b"second"):
        write_atomic(link, content)
        assert link.is_symlink()
        assert real.read_bytes() == content
    assert names(real.parent) == ["index.html"]


def test_what_fails_half_way_leaves_the_file_behind_a_link(tmp_path: Path) -> None:
    """A link gives no leave to write part of a file."""
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_bytes(b"whole")
    link.symlink_to(real)
    with pytest.raises(TypeError), named_file(link) as file:
        file.writelines([b"par", "t"])  # type: ignore[list-item]
    assert real.read_bytes() == b"whole"
    assert names(tmp_path) == ["link", "real"]


PROGRAM = """
from pathlib import Path
from clipbench.results.files import write_atomic
print("before")
write_atomic(Path("{place}"), b"page\\n")
print("after")
"""


@pytest.mark.parametrize("place", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_that_is_a_file_is_written_in_its_place(tmp_path: Path, place: str) -> None:
    """Between what is printed before and after, over neither of them."""
    if sys.platform != "linux" and not Path(place).exists():
        pytest.skip(f"there is no {place} here")
    out = tmp_path / "out.txt"
    with out.open("wb") as file:
        line = [sys.executable, "-c", PROGRAM.format(place=place)]
        subprocess.run(line, stdout=file, check=True)
    assert out.read_text() == "before\npage\nafter\n"


def test_a_refusal_names_the_file(tmp_path: Path) -> None:
    """A link that leads in a circle, or a folder, is an error of one line."""
    (tmp_path / "one").symlink_to(tmp_path / "one" / "two")
    (tmp_path / "folder").mkdir()
    for name in ("one", "folder"):
        with pytest.raises(ClipbenchError, match=f"Could not write .*{name}"):
            write_atomic(tmp_path / name, b"page")


@pytest.mark.parametrize(
    ("name", "begins"),
    [("a.png", b"\x89PNG"), ("a.JPG", b"\xff\xd8"), ("a.webp", b"RIFF"), ("a.pdf", b"%PDF")],
)
def test_a_picture_is_of_the_form_that_its_name_says(
    tmp_path: Path, name: str, begins: bytes
) -> None:
    """The same figure gives the same bytes."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - heavy

    check_picture(tmp_path / name)
    for _ in range(2):
        write_picture(Figure(figsize=(1, 1)), tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(begins)


@pytest.mark.parametrize("name", ["sheet.xyz", "sheet", "sheet.png.gz"])
def test_a_name_of_no_picture_is_refused(tmp_path: Path, name: str) -> None:
    """Before anything is drawn; a PNG under another name would be believed to be what it is not."""
    with pytest.raises(BadSetting, match=r"must end in one of \.png, \.pdf"):
        check_picture(tmp_path / name)


def test_a_picture_needs_its_folder_and_a_pipe_no_name(tmp_path: Path) -> None:
    """What is read from a pipe or a device is a PNG."""
    with pytest.raises(MissingData, match="There is no folder"):
        check_picture(tmp_path / "absent" / "a.png")
    os.mkfifo(tmp_path / "pipe")
    check_picture(tmp_path / "pipe")
    check_picture(Path("/dev/null"))
