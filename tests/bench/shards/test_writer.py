"""Writing sets of shards."""

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from shard_pairs import HEIGHT, WIDTH, MakePairs, caption, picture

from clipbench.errors import BadSetting, ClipbenchError, CorruptData, LostProcess
from clipbench.files import tar
from clipbench.images.encoding import encode_jpeg, encode_png
from clipbench.shards.reader import ShardSet
from clipbench.shards.writer import Sample, write_set

SOURCE = {"made by": "tests"}
HELPERS = Path(__file__).parents[2] / "support"


def write(folder: Path, make: MakePairs, num_pairs: int = 25, workers: int = 0) -> ShardSet:
    """Write a set of ten pairs a shard."""
    return write_set(
        folder, num_pairs, make, name="tiny", source=SOURCE, pairs_per_shard=10, workers=workers
    )


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder, the index aside."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_members_are_adjacent_sorted_and_stamped_alike(tmp_path: Path) -> None:
    """Every pair is KEY.json KEY.png KEY.txt with fixed time, owner and mode."""
    write(tmp_path / "set", MakePairs())
    with tarfile.open(tmp_path / "set" / "00001.tar") as file:
        found = file.getmembers()
    names = [f"00001{number:04d}.{end}" for number in range(10) for end in ("json", "png", "txt")]
    assert [member.name for member in found] == names
    assert {(m.mtime, m.mode, m.uname, m.gname, m.uid, m.gid, m.type) for m in found} == {
        (tar.MTIME, 0o444, "bigdata", "bigdata", 0, 0, tarfile.REGTYPE)
    }


@pytest.mark.parametrize("extension", ["jpg", "png"])
def test_bytes_are_those_tarfile_would_write(tmp_path: Path, extension: str) -> None:
    """A shard equals what tarfile's USTAR writer makes of the same members, padding included."""
    write(tmp_path / "set", MakePairs(extension), num_pairs=7)
    written = (tmp_path / "set" / "00000.tar").read_bytes()
    buffer = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(written)) as old,
        tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as new,
    ):
        for member in old:
            info = tarfile.TarInfo(member.name)
            info.size, info.mtime, info.mode = member.size, tar.MTIME, 0o444
            info.uname = info.gname = "bigdata"
            new.addfile(info, old.extractfile(member))
    assert written == buffer.getvalue()


def test_json_tells_what_img2dataset_tells(tmp_path: Path) -> None:
    """JSON has caption, key, status, size, hash and the sample's own metadata, in that order."""
    shards = write(tmp_path / "set", MakePairs())
    fields = shards.metadata(13)
    assert list(fields) == ["caption", "key", "status", "width", "height", "sha256", "uid"]
    assert fields["caption"] == caption(13)
    assert fields["key"] == "000010003"
    assert (fields["status"], fields["width"], fields["height"]) == ("success", WIDTH, HEIGHT)
    assert fields["uid"] == 13


def test_other_programs_find_their_counts(tmp_path: Path) -> None:
    """sizes.json and _info.json hold the pairs of each shard as open_clip and timm read them."""
    write(tmp_path / "set", MakePairs())
    counts = {"00000.tar": 10, "00001.tar": 10, "00002.tar": 5}
    assert json.loads((tmp_path / "set" / "sizes.json").read_text()) == counts
    split = json.loads((tmp_path / "set" / "_info.json").read_text())["splits"]["train"]
    assert dict(zip(split["filenames"], split["shard_lengths"], strict=True)) == counts
    assert split["num_samples"] == 25


def test_bytes_do_not_depend_on_workers(tmp_path: Path) -> None:
    """In-process writing and two worker processes give the same files."""
    write(tmp_path / "zero", MakePairs(), workers=0)
    write(tmp_path / "two", MakePairs(), workers=2)
    assert contents(tmp_path / "two") == contents(tmp_path / "zero")


def test_broken_off_write_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """After a source that failed midway, finished shards are kept and the bytes are the same."""
    write(tmp_path / "whole", MakePairs())
    with pytest.raises(RuntimeError, match="broke off"):
        write(tmp_path / "set", MakePairs(fail_at=14))
    assert not (tmp_path / "set").exists()
    write(tmp_path / "set", MakePairs(diary=tmp_path / "diary"))
    assert (tmp_path / "diary").read_text().split() == ["10", "20"]
    assert contents(tmp_path / "set") == contents(tmp_path / "whole")
    assert not (tmp_path / "set.partial").exists()


@pytest.mark.parametrize("name", ["00000.tar", "00000.json", "00000.npy"])
def test_finished_shard_that_was_damaged_is_written_again(tmp_path: Path, name: str) -> None:
    """A shard is not trusted on resume whose bytes, index or note are not as they were written."""
    with pytest.raises(RuntimeError):
        write(tmp_path / "set", MakePairs(fail_at=14))
    (path,) = (tmp_path / "set.partial").glob(f"*/{name}")
    content = bytearray(path.read_bytes())
    content[len(content) * 4 // 5] ^= 1
    path.write_bytes(content)
    write(tmp_path / "set", MakePairs(diary=tmp_path / "diary"))
    assert (tmp_path / "diary").read_text().split() == ["0", "10", "20"]
    assert ShardSet.open(tmp_path / "set").captions() == [caption(number) for number in range(25)]


def test_partial_set_of_another_source_is_not_mixed_in(tmp_path: Path) -> None:
    """What an interrupted run of another configuration left is cleared away."""
    with pytest.raises(RuntimeError):
        write(tmp_path / "set", MakePairs("jpg", fail_at=14), num_pairs=20)
    write(tmp_path / "set", MakePairs())
    write(tmp_path / "whole", MakePairs())
    assert contents(tmp_path / "set") == contents(tmp_path / "whole")


def run(folder: Path, make: str, before: str = "") -> "subprocess.CompletedProcess[str]":
    """Write a set in a process of its own."""
    code = f"""
import sys
sys.path.insert(0, {str(HELPERS)!r})
from pathlib import Path
from shard_pairs import MakePairs
from clipbench.shards.writer import write_set
{before}
write_set(Path({str(folder)!r}), 25, {make}, name="tiny", source={SOURCE!r},
          pairs_per_shard=10, workers=0)
"""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_killed_write_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    """After SIGKILL in the middle of a shard the next run ends with the bytes of one left alone."""
    assert run(tmp_path / "set", "MakePairs(kill_at=17)").returncode == -signal.SIGKILL
    assert not (tmp_path / "set").exists()
    write(tmp_path / "set", MakePairs(diary=tmp_path / "diary"))
    write(tmp_path / "whole", MakePairs())
    assert (tmp_path / "diary").read_text().split() == ["10", "20"]
    assert contents(tmp_path / "set") == contents(tmp_path / "whole")


def test_full_disk_is_one_line_and_leaves_no_set(tmp_path: Path) -> None:
    """Out of room, the error names file and bytes needed; no half-written set appears."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))"
    done = run(tmp_path / "set", "MakePairs()", limit)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("clipbench.errors.ClipbenchError: No space left to write")
    assert str(tmp_path / "set.partial" / "shards" / "00000.tar") in last
    assert "more are needed" in last
    assert not (tmp_path / "set").exists()
    assert not list((tmp_path / "set.partial").rglob("*.t*"))


def test_full_disk_error_tells_how_much_is_needed(tmp_path: Path) -> None:
    """The bytes asked for are those of the unfinished pairs, to within a factor of two."""
    real = sum(map(len, contents(Path(write(tmp_path / "whole", MakePairs()).source)).values()))
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20480, 20480))"
    last = run(tmp_path / "set", "MakePairs()", limit).stderr.strip().splitlines()[-1]
    number, unit = last.split("about ")[1].split()[:2]
    told = float(number) * {"B": 1, "KB": 1e3, "MB": 1e6}[unit]
    assert real / 2 < told < real * 2


def test_worker_that_is_killed_is_told_not_waited_for(tmp_path: Path) -> None:
    """If the system kills a worker, the error says so and the rest can be resumed."""
    with pytest.raises(LostProcess, match="was killed"):
        write(tmp_path / "set", MakePairs(kill_at=17), workers=2)
    assert not (tmp_path / "set").exists()
    write(tmp_path / "set", MakePairs())
    write(tmp_path / "whole", MakePairs())
    assert contents(tmp_path / "set") == contents(tmp_path / "whole")


def test_two_processes_write_one_set_once(tmp_path: Path) -> None:
    """A second process waits for the first and opens what that has written."""
    make = f"MakePairs(diary=Path({str(tmp_path / 'diary')!r}))"
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: run(tmp_path / "set", make), range(2)))
    assert [process.returncode for process in done] == [0, 0], done[0].stderr + done[1].stderr
    assert sorted((tmp_path / "diary").read_text().split()) == ["0", "10", "20"]
    assert not (tmp_path / "set.partial").exists()


def test_finished_set_is_opened_not_written(tmp_path: Path) -> None:
    """A second call with the same source makes nothing and gives the same set."""
    first = write(tmp_path / "set", MakePairs())
    again = write(tmp_path / "set", MakePairs(diary=tmp_path / "diary"))
    assert again.content_sha256() == first.content_sha256()
    assert not (tmp_path / "diary").exists()


def test_set_just_written_is_opened_without_walking_its_tars(tmp_path: Path) -> None:
    """The writer leaves the index, so opening indexes nothing."""
    write(tmp_path / "set", MakePairs())
    told: list[str] = []
    shards = ShardSet.open(tmp_path / "set", progress=lambda what, *_: told.append(what))
    assert told == []
    assert shards.caption(24) == caption(24)


def test_folder_of_another_set_is_refused(tmp_path: Path) -> None:
    """A folder with other source, size or content is named and left alone."""
    write(tmp_path / "set", MakePairs())
    before = contents(tmp_path / "set")
    with pytest.raises(BadSetting, match="num_pairs is 25, not 30"):
        write(tmp_path / "set", MakePairs(), num_pairs=30)
    with pytest.raises(BadSetting, match="source is"):
        write_set(tmp_path / "set", 25, MakePairs(), name="tiny", source={}, pairs_per_shard=10)
    assert contents(tmp_path / "set") == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(BadSetting, match="no set written by clipbench"):
        write(tmp_path / "mine", MakePairs())


def test_finished_set_that_lost_a_shard_is_not_trusted(tmp_path: Path) -> None:
    """Reusing a set checks that its shards are there in full."""
    write(tmp_path / "set", MakePairs())
    os.truncate(tmp_path / "set" / "00001.tar", 5120)
    with pytest.raises(CorruptData, match=r"00001\.tar is missing or cut off"):
        write(tmp_path / "set", MakePairs())


@pytest.mark.parametrize(("extra", "word"), [(1, "More than 10"), (-1, "Only 9 of 10")])
def test_source_with_another_number_of_pairs_is_an_error(
    tmp_path: Path, extra: int, word: str
) -> None:
    """A source must yield exactly the pairs it was asked for."""
    with pytest.raises(ClipbenchError, match=word):
        write(tmp_path / "set", MakePairs(too_many=extra))


@pytest.mark.parametrize("value", [0, 10_001])
def test_pairs_per_shard_must_fit_the_key(tmp_path: Path, value: int) -> None:
    """Four digits number the pairs of a shard, so it holds 1 to 10,000."""
    with pytest.raises(BadSetting, match="pairs_per_shard"):
        write_set(tmp_path / "s", 5, MakePairs(), name="x", source={}, pairs_per_shard=value)


def one_sample(sample: Sample, start: int, stop: int) -> list[Sample]:
    """Return the same sample for every pair."""
    return [sample] * (stop - start)


@pytest.mark.parametrize(
    ("sample", "word"),
    [
        (Sample(encode_png(picture(0)), "gif", "x", {}), "jpg, png or webp"),
        (Sample(encode_png(picture(0)), "png", "x", {"key": "mine"}), "can't set key"),
        (Sample(b"no image", "png", "x", {}), "not a readable"),
    ],
)
def test_sample_that_makes_no_valid_pair_is_an_error(
    tmp_path: Path, sample: Sample, word: str
) -> None:
    """Unknown formats, reserved fields and broken images are refused when written."""
    with pytest.raises(ClipbenchError, match=word):
        write_set(
            tmp_path / "s",
            1,
            lambda start, stop: one_sample(sample, start, stop),
            name="x",
            source={},
            workers=0,
        )


def test_webp_and_any_caption_come_back(tmp_path: Path) -> None:
    """A WebP image and a caption of any letters, quotes and lines are read as written."""
    buffer = io.BytesIO()
    from PIL import Image  # noqa: PLC0415

    Image.fromarray(picture(3)).save(buffer, "WEBP", lossless=True)
    text = 'grüße "こんにちは"\n\\ \x00 zweite Zeile'
    shards = write_set(
        tmp_path / "s",
        1,
        lambda *_: [Sample(buffer.getvalue(), "webp", text, {})],
        name="x",
        source={},
        workers=0,
    )
    assert (shards.caption(0), shards.metadata(0)["caption"]) == (text, text)
    assert (shards.image(0) == picture(3)).all()
    assert shards.extension(0) == "webp"


def test_images_that_others_call_jpeg_are_written_as_jpg(tmp_path: Path) -> None:
    """As an audit does with images of other programs' shards."""

    def make(start: int, stop: int) -> Iterator[Sample]:
        for number in range(start, stop):
            yield Sample(encode_jpeg(picture(number)), "jpeg", f"a cat {number}", {})

    made = write_set(tmp_path / "set", 3, make, name="tiny", source={}, workers=0)
    assert [made.extension(number) for number in range(3)] == ["jpg"] * 3
    again = ShardSet.open(tmp_path / "set")
    assert again.image_bytes(2) == encode_jpeg(picture(2))
