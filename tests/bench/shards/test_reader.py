"""Reading sets of shards, our own and other people's."""

import io
import json
import multiprocessing
import os
import pickle
import re
import tarfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from shard_pairs import caption, picture

from clipbench.errors import BadInput, BadSetting, ChangedData, CorruptData, MissingData
from clipbench.images.encoding import encode_jpeg, encode_png
from clipbench.importing.usable import open_usable
from clipbench.shards import index as indexing
from clipbench.shards.reader import ShardSet

Members = Iterable[tuple[str, bytes]]
LONG_AGO = (1_600_000_000, 1_600_000_000)  # of a file just written no hash is remembered


def pair(key: str, number: int, extension: str = "png") -> list[tuple[str, bytes]]:
    """Return the members of a pair."""
    return [
        (f"{key}.{extension}", encode_png(picture(number))),
        (f"{key}.txt", caption(number).encode()),
    ]


def write_tar(path: Path, members: Members, form: int = tarfile.USTAR_FORMAT) -> Path:
    """Write members with tarfile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=form) as file:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), 1_700_000_000.25
            file.addfile(info, io.BytesIO(content))
    return path


def test_pairs_come_back_by_number(clean: ShardSet) -> None:
    """Key, caption, image, JSON, extension and shard of any pair are those that were written."""
    assert len(clean) == 50
    for number in (0, 9, 10, 37, 49):
        assert clean.key(number) == f"{number // 10:05d}{number % 10:04d}"
        assert clean.caption(number) == caption(number)
        assert (clean.image(number) == picture(number)).all()
        assert clean.image_bytes(number) == encode_png(picture(number))
        assert clean.metadata(number)["uid"] == number
        assert clean.extension(number) == "png"
        assert clean.shard_of(number) == number // 10
        assert clean.find(clean.key(number)) == number
    whole = clean.pair(37)
    assert (whole.key, whole.caption) == (clean.key(37), caption(37))
    assert (whole.image == picture(37)).all()
    assert [(s.path.name, s.num_pairs, s.first) for s in clean.shards][1] == ("00001.tar", 10, 10)


@pytest.mark.parametrize("number", [-1, 50])
def test_numbers_out_of_range_are_refused(clean: ShardSet, number: int) -> None:
    """Pairs are numbered from 0; a negative number does not count from the end."""
    with pytest.raises(IndexError, match="0 to 49"):
        clean.caption(number)
    with pytest.raises(IndexError, match="0 to 49"):
        clean.captions([number])


def test_unknown_key_is_a_key_error(clean: ShardSet) -> None:
    """`find` never returns a neighbor of a key that is not there."""
    for key in ("", "000000010", "999999999", "00000000"):
        with pytest.raises(KeyError):
            clean.find(key)


def test_captions_come_in_the_order_asked_for(tmp_path: Path) -> None:
    """Bulk captions equal single ones, in any order, with repeats, few or many to a shard."""
    members = [m for number in range(300) for m in pair(f"{number:06d}", number)]
    write_tar(tmp_path / "a.tar", members[:400])
    write_tar(tmp_path / "b.tar", members[400:])
    shards = ShardSet.open(tmp_path)
    order = np.random.default_rng(0).integers(0, 300, 500)
    assert shards.captions(order) == [caption(int(number)) for number in order]
    assert shards.captions([299, 0, 299]) == [caption(299), caption(0), caption(299)]
    assert shards.captions() == [caption(number) for number in range(300)]
    assert shards.captions([]) == []


def read_some(shards: ShardSet, numbers: list[int]) -> list[str]:
    """Return some captions."""
    return [shards.caption(number) for number in numbers]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_set_travels_to_other_processes_and_threads(clean: ShardSet) -> None:
    """A pickled copy, a forked child and eight threads all read the same pairs."""
    numbers = list(range(0, 50, 7))
    wanted = read_some(clean, numbers)
    assert read_some(pickle.loads(pickle.dumps(clean)), numbers) == wanted
    assert len(pickle.dumps(clean)) < 5000, "the index is not pickled but mapped again"
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(clean.caption, range(50))) == [caption(n) for n in range(50)]
    receive, send = multiprocessing.Pipe(duplex=False)
    child = os.fork()
    if child == 0:
        send.send(read_some(clean, numbers))
        os._exit(0)
    os.waitpid(child, 0)
    assert receive.recv() == wanted


def test_source_may_be_tar_braces_or_several(clean: ShardSet) -> None:
    """A tar, a brace pattern and a joined list give their shards' pairs in the order named."""
    folder = clean.source
    assert len(ShardSet.open(f"{folder}/00003.tar")) == 10
    some = ShardSet.open(f"{folder}/{{00001..00003}}.tar")
    assert some.caption(0) == caption(10)
    assert len(some) == 30
    turned = ShardSet.open(f"{folder}/00004.tar::{folder}/{{00000..00001}}.tar")
    assert turned.captions([0, 10]) == [caption(40), caption(0)]
    assert turned.find("000010003") == 23


def test_manifest_belongs_to_the_whole_set_only(clean: ShardSet) -> None:
    """A part of a set has no manifest, and is known by the hashes of its own shards."""
    part = ShardSet.open(f"{clean.source}/{{00001..00002}}.tar")
    assert clean.manifest is not None
    assert part.manifest is None
    assert part.hashes() == clean.hashes()[1:3]
    told: list[str] = []
    ShardSet.open(clean.source).hashes(lambda what, *_: told.append(what))
    assert told == []  # who wrote the set knew them


def test_changed_shard_makes_the_index_stale(tmp_path: Path) -> None:
    """A shard that was written again is indexed again."""
    path = write_tar(tmp_path / "a.tar", pair("000", 1))
    assert ShardSet.open(tmp_path).caption(0) == caption(1)
    write_tar(path, pair("000", 2) + pair("001", 3))
    assert ShardSet.open(tmp_path).captions() == [caption(2), caption(3)]


def test_damaged_index_is_built_again(tmp_path: Path) -> None:
    """An index file that is cut off or scribbled on is not trusted."""
    write_tar(tmp_path / "a.tar", pair("000", 1))
    ShardSet.open(tmp_path)
    (index,) = (tmp_path / ".clipbench").glob("index-*")
    for content in (index.read_bytes()[:-1], b"scribble", b""):
        index.write_bytes(content)
        assert ShardSet.open(tmp_path).caption(0) == caption(1)


def test_folder_that_takes_no_index_can_be_read(tmp_path: Path) -> None:
    """Where no index can lie beside the shards it goes to the cache, or stays in memory."""
    os.utime(write_tar(tmp_path / "set" / "a.tar", pair("000", 1)), LONG_AGO)
    (tmp_path / "set" / ".clipbench").write_text("a file, so no folder can be made")
    shards = ShardSet.open(tmp_path / "set")
    assert pickle.loads(pickle.dumps(shards)).caption(0) == caption(1)
    cache = tmp_path / "cache"
    ShardSet.open(tmp_path / "set", cache)
    assert list(cache.rglob("index-*"))
    told: list[str] = []
    again = ShardSet.open(tmp_path / "set", cache, progress=lambda what, *_: told.append(what))
    assert told == []
    assert again.hashes() == shards.hashes()
    assert list(cache.rglob("hashes.json"))


def test_three_million_pairs_open_fast_and_small(tmp_path: Path) -> None:
    """An index of three million pairs opens in a second and 100 MB, and finds keys."""
    shard = write_tar(tmp_path / "a.tar", pair("000000000", 1))
    one, stamps = ShardSet.open(tmp_path).index, ShardSet.open(tmp_path).shards
    many = np.repeat(one, 3_000_000)
    digits = np.arange(3_000_000)[:, None] // 10 ** np.arange(8, -1, -1) % 10 + ord("0")
    many["key"] = digits.astype(np.uint8).view("S9")[:, 0]
    del digits
    stamp = indexing.Stamp(shard.name, stamps[0].size, stamps[0].mtime_ns, len(many))
    assert indexing.save([many], [stamp], [tmp_path / ".clipbench"])
    del many
    before, start = resident_bytes(), time.process_time()
    shards = ShardSet.open(tmp_path)
    assert shards.find("002345678") == 2_345_678
    assert time.process_time() - start < 1
    assert resident_bytes() - before < 100e6
    assert len(shards) == 3_000_000


def resident_bytes() -> int:
    """Return the memory this process occupies."""
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


# --------------------------------------------------------------------------- others' shards


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_every_tar_format_is_read(tmp_path: Path, form: int) -> None:
    """PAX headers (fractional times), GNU long names and USTAR prefixes are understood."""
    key = "a/long/path/" * 9 + "0" * 40  # beyond the 100 bytes of a plain header
    write_tar(tmp_path / "a.tar", [*pair(key, 1), *pair("short", 2)], form)
    shards = ShardSet.open(tmp_path)
    assert [shards.key(number) for number in range(2)] == [key, "short"]
    assert shards.captions() == [caption(1), caption(2)]
    assert (shards.image(0) == picture(1)).all()
    assert shards.find("short") == 1


def test_names_beyond_ascii_are_read(tmp_path: Path) -> None:
    """Keys are UTF-8."""
    write_tar(tmp_path / "a.tar", pair("größe", 1), tarfile.PAX_FORMAT)
    shards = ShardSet.open(tmp_path)
    assert shards.key(0) == "größe"
    assert shards.find("größe") == 0


def test_members_of_no_concern_are_passed_over(tmp_path: Path) -> None:
    """Folders, hidden files, links, other suffixes and webdataset's own files do no harm."""
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as file:

        def add(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE) -> None:
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = len(content), kind, "./000.png"
            file.addfile(info, io.BytesIO(content))

        add(".", kind=tarfile.DIRTYPE)
        add("__version__", b"1")
        add("README.md", b"words")
        add("LICENSE", b"words")
        add("./.hidden.txt", b"words")
        image, text = pair("./000", 1)
        add("./000.cls", b"3")
        add("./000.PNG", image[1])
        add("./000.seg.png", b"no picture")
        add("./000.TXT", text[1])
        add("./link.png", kind=tarfile.SYMTYPE)
    shards = ShardSet.open(path)
    assert [shards.key(number) for number in range(len(shards))] == ["./000"]
    assert (shards.caption(0), shards.metadata(0), shards.extension(0)) == (caption(1), {}, "png")
    assert (shards.image(0) == picture(1)).all()


def test_open_clips_choice_among_several_images(tmp_path: Path) -> None:
    """Of several images of one key the jpg comes first, as in open_clip's loader."""
    members = [*pair("0", 1), ("0.jpg", encode_jpeg(picture(2)))]
    assert ShardSet.open(write_tar(tmp_path / "a.tar", members)).extension(0) == "jpg"


def test_keys_in_no_order_are_found(tmp_path: Path) -> None:
    """Keys need not rise, within a shard or from shard to shard."""
    write_tar(tmp_path / "a.tar", [*pair("c", 1), *pair("a", 2), *pair("bb", 3)])
    write_tar(tmp_path / "b.tar", pair("aa", 4))
    shards = ShardSet.open(tmp_path)
    assert [shards.find(key) for key in ("c", "a", "bb", "aa")] == [0, 1, 2, 3]
    with pytest.raises(KeyError):
        shards.find("b")


@pytest.mark.parametrize("keys", ["aabbbc", "cbabba"])
def test_all_pairs_of_a_key_are_found_and_keys_sorted_once(
    tmp_path: Path, keys: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sets that were joined may have a key several times; no look-up goes through all pairs."""
    names = [write_tar(tmp_path / f"{n}.tar", pair(key, n)) for n, key in enumerate(keys)]
    parts = [ShardSet.open(name) for name in names]
    index = indexing.join([part.index for part in parts])
    stamps = [indexing.Stamp(name.name, 1, 1, 1) for name in names]
    shards = ShardSet("joined", names, (index, stamps))
    sort = Mock(side_effect=np.argsort)
    monkeypatch.setattr(np, "argsort", sort)
    for _ in range(3):
        for key in "abc":
            wanted = [number for number, other in enumerate(keys) if other == key]
            assert shards.find_all(key) == wanted
            assert shards.find(key) == wanted[0]
        assert shards.find_all("bb") == shards.find_all("") == shards.find_all("d") == []
    assert sort.call_count == 1


def test_set_without_manifest_is_hashed_once(clean: ShardSet, tmp_path: Path) -> None:
    """Computed hashes equal the manifest's and are remembered."""
    folder = tmp_path / "bare"
    folder.mkdir()
    for shard in clean.shards:
        (folder / shard.path.name).write_bytes(shard.path.read_bytes())
        os.utime(folder / shard.path.name, LONG_AGO)
    told: list[str] = []
    bare = ShardSet.open(folder)
    assert bare.manifest is None
    assert bare.hashes(lambda what, *_: told.append(what)) == clean.hashes()
    assert told
    told.clear()
    assert ShardSet.open(folder).hashes(lambda what, *_: told.append(what)) == clean.hashes()
    assert told == []
    assert bare.content_sha256() == clean.content_sha256()


def test_a_shard_that_was_written_again_is_hashed_anew(clean: ShardSet) -> None:
    """A set whose manifest goes on saying what it was is refused, with or without a cache."""
    before, path = clean.hashes(), clean.shards[2].path
    write_tar(path, pair("000020000", 7))
    for _ in range(2):
        with pytest.raises(CorruptData, match=r"00002.tar is not the one that .* lists"):
            ShardSet.open(clean.source).hashes()
    (path.parent / "manifest.json").unlink()
    again = ShardSet.open(clean.source).hashes()
    assert again[2] != before[2]
    assert again[3] == before[3]


# --------------------------------------------------------------------------- errors


def fails(source: str | Path) -> tuple[type[BaseException], str]:
    """Return the error that opening a source gives, after checking that it is one line."""
    with pytest.raises(BadInput) as caught:
        ShardSet.open(source)
    text = str(caught.value)
    assert "\n" not in text
    return caught.type, text


def test_truncated_tar_is_named(tmp_path: Path) -> None:
    """Wherever a tar is cut off the error names it, and the member where that can be told."""
    path = write_tar(tmp_path / "a.tar", [*pair("000", 1), *pair("001", 2)])
    whole = path.read_bytes()
    end = whole.rindex(caption(2).encode())
    for cut in (end + 512, end, end - 300, 700, 512, 300, 0):
        path.write_bytes(whole[:cut])
        kind, text = fails(tmp_path)
        assert kind is CorruptData
        assert str(path) in text
        assert "cut off" in text or "empty" in text
    path.write_bytes(whole[:end])
    assert "001.txt" in fails(tmp_path)[1]


def test_damaged_header_is_named(tmp_path: Path) -> None:
    """A flipped bit in a tar header does not pass."""
    path = write_tar(tmp_path / "a.tar", [*pair("000", 1), *pair("001", 2)])
    content = bytearray(path.read_bytes())
    at = content.index(b"001.png")
    for place in (at, at + 130, at + 160):
        damaged = bytearray(content)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        kind, text = fails(tmp_path)
        assert kind is CorruptData
        assert "damaged" in text or "cut off" in text


@pytest.mark.parametrize(
    ("members", "words"),
    [
        (pair("000", 1)[:1], "no caption for key 000"),
        (pair("000", 1)[1:], "no image for key 000"),
        ([("000.json", b"{}"), *pair("001", 1)], "no image for key 000"),
        ([*pair("000", 1), *pair("000", 2)], "has key 000 twice"),
        ([*pair("000", 1), *pair("001", 1), *pair("000", 2)], "has key 000 twice"),
        (
            [pair("000", 1)[0], pair("001", 2)[0], pair("000", 1)[1], pair("001", 2)[1]],
            "interleaved: 000.txt",
        ),
        ([*pair("000", 1), *pair("001", 2), ("000.json", b"{}")], "interleaved: 000.json"),
        ([("notes.md", b"nothing here")], "holds no pair"),
    ],
)
def test_incomplete_pairs_are_named(
    tmp_path: Path, members: list[tuple[str, bytes]], words: str
) -> None:
    """Missing parts, doubled and interleaved keys are told with shard and key."""
    path = write_tar(tmp_path / "a.tar", members)
    kind, text = fails(tmp_path)
    assert kind is CorruptData
    assert words in text
    assert str(path) in text


def test_key_in_two_shards_is_named_with_both(tmp_path: Path) -> None:
    """A key must be unique in the whole set."""
    one = write_tar(tmp_path / "a.tar", pair("same", 1))
    two = write_tar(tmp_path / "b.tar", [*pair("other", 2), *pair("same", 3)])
    text = fails(tmp_path)[1]
    assert all(part in text for part in ("Key same", str(one), str(two)))


def test_folder_without_shards_is_told(tmp_path: Path) -> None:
    """An empty folder, one without tars, one above the shards and none at all are told apart."""
    assert "is empty" in fails(tmp_path)[1]
    (tmp_path / "notes.txt").write_text("x")
    assert "holds no shards" in fails(tmp_path)[1]
    write_tar(tmp_path / "shards" / "a.tar", pair("0", 1))
    assert str(tmp_path / "shards") in fails(tmp_path)[1]
    assert fails(tmp_path / "gone")[0] is MissingData
    assert "00001.tar" in fails(f"{tmp_path}/{{00001..00002}}.tar")[1]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("s3://bucket/a.tar", "is remote"),
        ("pipe:cat a.tar", "is remote"),
        ("a.tar::", "There is no shard or folder a.tar"),
        ("{a,b.tar", "don't match"),
    ],
)
def test_source_that_cannot_be_opened_is_told(source: str, words: str) -> None:
    """Remote, empty and unbalanced sources are refused in one line."""
    assert words in fails(source)[1]


def test_shard_named_twice_is_refused(clean: ShardSet) -> None:
    """The same shard twice would give the same key twice."""
    kind, text = fails(f"{clean.source}/00000.tar::{clean.source}/{{00000..00001}}.tar")
    assert kind is BadSetting
    assert "named twice" in text


@pytest.mark.parametrize("again", ["link", "clean/../clean", "others"])
def test_shard_named_twice_in_other_words_is_refused(
    clean: ShardSet, tmp_path: Path, again: str
) -> None:
    """Of several folders keys may come again: all of its pairs would count twice."""
    (tmp_path / "link").symlink_to(tmp_path / "clean")
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "0.tar").symlink_to(clean.shards[2].path)
    kind, text = fails(f"{clean.source}::{tmp_path / again}")
    assert kind is BadSetting
    assert f"named twice in {clean.source}::{tmp_path / again}, also as {clean.source}/" in text


def test_compressed_tar_is_told(tmp_path: Path) -> None:
    """A gzipped tar under the name of a tar is not taken for damage of ours."""
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w:gz") as file:
        for name, content in pair("0", 1):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content * 40))
    path.write_bytes(path.read_bytes() + os.urandom(600))
    assert "not an uncompressed tar" in fails(path)[1]


@pytest.mark.parametrize("name", ["pairs.tsv", "pairs.json", "pairs.jsonl", "pairs.parquet"])
def test_a_list_in_place_of_a_shard_is_told_how_to_make_shards(name: str, tmp_path: Path) -> None:
    """Fetching or unpacking it again would not help."""
    path = tmp_path / name
    path.write_text("filepath\ttitle\n" + "1.jpg\ta dog\n" * 80)
    said = fails(path)[1]
    assert f"{name} is a list, not a shard" in said
    assert "clipbench data import csv:path=TABLE --out FOLDER" in said


def test_shard_of_the_manifest_that_is_gone_is_told(clean: ShardSet) -> None:
    """A set that lost a shard does not silently become a smaller one."""
    clean.shards[2].path.unlink()
    kind, text = fails(clean.source)
    assert kind is MissingData
    assert "00002.tar is not there" in text


@pytest.mark.parametrize(
    "change",
    [lambda m: m.update(num_pairs=51), lambda m: m.pop("name"), lambda m: m.update(version=9)],
)
def test_damaged_manifest_is_told(clean: ShardSet, change) -> None:
    """A manifest that contradicts itself, lacks a field or is of another version is refused."""
    path = Path(clean.source) / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    kind, text = fails(clean.source)
    assert kind is CorruptData
    assert str(path) in text


def test_manifest_of_another_program_is_left_alone(clean: ShardSet) -> None:
    """A manifest.json that is not ours neither helps nor harms."""
    path = Path(clean.source) / "manifest.json"
    path.write_text('{"shards": "of somebody else"}')
    assert ShardSet.open(clean.source).manifest is None
    path.write_text("{")
    assert "not valid JSON" in fails(clean.source)[1]


@pytest.mark.parametrize(
    ("members", "ask", "words"),
    [
        ([("0.png", b"\x89PNG nothing"), ("0.txt", b"x")], "image", "key 0 in shard"),
        ([("0.jpg", b""), ("0.txt", b"x")], "image", "key 0 in shard"),
        ([pair("0", 1)[0], ("0.txt", b"\xff\xfe")], "caption", "not UTF-8"),
        ([*pair("0", 1), ("0.json", b"{")], "metadata", "damaged"),
        ([*pair("0", 1), ("0.json", b"[]")], "metadata", "not an object"),
    ],
)
def test_content_that_cannot_be_used_is_told(
    tmp_path: Path, members: list[tuple[str, bytes]], ask: str, words: str
) -> None:
    """Undecodable images, captions and JSON are told with shard and key."""
    shards = ShardSet.open(write_tar(tmp_path / "a.tar", members))
    with pytest.raises(CorruptData, match=words):
        getattr(shards, ask)(0)


def test_many_captions_name_the_one_that_is_damaged(tmp_path: Path) -> None:
    """Reading captions in bulk names the key of the one that is no UTF-8."""
    members = [m for n in range(100) for m in pair(f"{n:03d}", n)]
    members[2 * 70 + 1] = ("070.txt", b"\xff")
    with pytest.raises(CorruptData, match="key 070"):
        ShardSet.open(write_tar(tmp_path / "a.tar", members)).captions()


def test_shard_that_shrinks_while_in_use_is_told(clean: ShardSet) -> None:
    """A file cut off after it was opened gives an error, never half an image."""
    os.truncate(clean.shards[1].path, 3000)
    with pytest.raises(CorruptData, match="cut off"):
        clean.image_bytes(15)
    clean.shards[2].path.unlink()
    with pytest.raises(MissingData, match=r"00002\.tar can't be read"):
        clean.caption(25)


def test_copy_of_a_set_that_changed_is_not_trusted(clean: ShardSet) -> None:
    """A pickled set refuses an index that is no longer that of its shards."""
    traveling = pickle.dumps(clean)
    index = next((Path(clean.source) / ".clipbench").glob("index-*"))
    other = replace(indexing.read_index(index), stamps=())
    indexing.save([other.index], [indexing.Stamp("x", 1, 1, 50)], [Path(clean.source) / "else"])
    index.write_bytes(next((Path(clean.source) / "else").iterdir()).read_bytes())
    with pytest.raises(CorruptData, match="changed while it was in use"):
        pickle.loads(traveling)


# --------------------------------------------------------------------------- bytes that rot


@pytest.mark.parametrize("part", ["image", "caption", "json"])
def test_what_is_read_of_a_pair_is_what_was_indexed(clean: ShardSet, part: str) -> None:
    """A byte that changed though size and time did not is told with its key, not left out."""
    row = clean.index[13]
    path, status = clean.shards[1].path, clean.shards[1].path.stat()
    with path.open("r+b") as file:
        file.seek(int(row[f"{part}_offset"]) + 3)
        file.write(b"~")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    again = ShardSet.open(clean.source, on_incomplete="skip")
    read = {"image": again.image_bytes, "caption": again.caption, "json": again.metadata}
    with pytest.raises(ChangedData, match=r"Key 000010003 in shard .*00001.tar is not what it was"):
        read[part](13)
    assert [read[part](number) for number in (12, 14)]
    if part == "caption":
        with pytest.raises(ChangedData):
            again.captions()  # few of a shard, and many
        with pytest.raises(ChangedData):
            again.captions([13])


def test_no_pair_is_left_out_for_what_rotted(tmp_path: Path) -> None:
    """It would be, of this run and, as the sound shard's, of all later ones."""
    folder = tmp_path / "set"
    path = write_tar(folder / "0.tar", [*pair("a", 1), *pair("b", 2)])
    shards = ShardSet.open(folder)
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(int(shards.index[1]["caption_offset"]))
        file.write(b"\xff\xff")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(ChangedData, match="Key b in shard"):
        open_usable(folder, tmp_path / "cache", on_error="skip", workers=0)
    assert not list((tmp_path / "cache" / "screened").iterdir())
