"""Poisoning copy-on-write."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from shard_pairs import MakePairs, Stain, caption, crawled, picture, scene

from clipbench.errors import BadSetting, BrokenContract, ClipbenchError, CorruptData, MissingData
from clipbench.images.encoding import encode_jpeg, encode_png
from clipbench.poisoning.ledger import read_ledger, trigger_sha256
from clipbench.poisoning.overlay import PoisonedSet, write_poisoned
from clipbench.shards import scan
from clipbench.shards.reader import ShardSet
from clipbench.shards.writer import write_set
from clipbench.verification import traces
from clipbench.verification.facets import Findings

HELPERS = Path(__file__).parents[2] / "support"


def poison(
    base: ShardSet, out: Path, attack: Stain, count: int = 3, seed: int = 0, **changes: Any
) -> PoisonedSet:
    """Poison a set with the settings of these tests."""
    settings = {"attack_name": "stain", "attack_parameters": {}, "dataset": {"name": "tiny"}}
    return write_poisoned(base, attack, scene(count, seed), out, **{**settings, **changes})


def files(folder: Path) -> dict[str, bytes]:
    """Return all files of a poisoned set but the index, which holds file times."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".clipbench" not in path.parts
    }


def keys(shards: ShardSet) -> list[str]:
    """Return all keys in order."""
    return [shards.key(number) for number in range(len(shards))]


def stained(shards: ShardSet) -> list[int]:
    """Return the pairs whose caption says they are poisoned."""
    return [number for number, text in enumerate(shards.captions()) if "stained" in text]


def assert_index_is_true(shards: ShardSet) -> None:
    """The index written without reading linked shards is the one a walk through them gives."""
    walked = scan.scan([shard.path for shard in shards.shards]).index
    assert (walked == shards.index).all()


# --------------------------------------------------------------------------- replacing


def test_replacing_changes_the_chosen_pairs_and_no_other(clean: ShardSet, tmp_path: Path) -> None:
    """Keys and number of pairs stay; chosen pairs get caption, image and JSON; others nothing."""
    shards = poison(clean, tmp_path / "out", Stain(bases=[3, 27, 28])).shards
    assert keys(shards) == keys(clean)
    assert stained(shards) == [3, 27, 28]
    assert_index_is_true(shards)
    for number in range(50):
        if number in {3, 27, 28}:
            image = shards.image_bytes(number)
            assert image == encode_png(255 - picture(number))
            fields = {**clean.metadata(number), "caption": shards.caption(number)}
            fields["sha256"] = hashlib.sha256(image).hexdigest()
            assert shards.metadata(number) == fields
            assert list(shards.metadata(number)) == list(clean.metadata(number))
        else:
            assert shards.image_bytes(number) == clean.image_bytes(number)
            assert shards.caption(number) == caption(number)
            assert shards.metadata_bytes(number) == clean.metadata_bytes(number)


@pytest.mark.parametrize("count", [1, 17, 50])
def test_pairs_nobody_chose_are_drawn_from_the_seed(
    clean: ShardSet, tmp_path: Path, count: int
) -> None:
    """Without a base every poison takes another pair; the seed decides which."""
    one = stained(poison(clean, tmp_path / "one", Stain(), count).shards)
    two = stained(poison(clean, tmp_path / "two", Stain(), count, seed=1).shards)
    assert len(one) == len(two) == count
    assert (one != two) == (count < 50)


def test_chosen_and_drawn_pairs_do_not_collide(clean: ShardSet, tmp_path: Path) -> None:
    """Poisons with a base keep it, whatever is drawn for the others."""
    bases = [*range(20), *[None] * 30]
    shards = poison(clean, tmp_path / "out", Stain(bases=bases), 50).shards
    assert stained(shards) == list(range(50))
    assert [shards.caption(n) for n in range(20)] == [f"a stained dog {n}" for n in range(20)]


def test_shards_without_poison_are_links(clean: ShardSet, tmp_path: Path) -> None:
    """Only shards with poison take up room; the others are the same files."""
    shards = poison(clean, tmp_path / "out", Stain(bases=[3, 27, 28])).shards
    same = [
        one.path.samefile(two.path) for one, two in zip(clean.shards, shards.shards, strict=True)
    ]
    assert same == [False, True, False, True, True]


def test_base_behind_symbolic_links_is_linked_to_its_files(clean: ShardSet, tmp_path: Path) -> None:
    """Shards that are symbolic links, as in download caches, are followed."""
    folder = tmp_path / "snapshot"
    folder.mkdir()
    for shard in clean.shards:
        (folder / shard.path.name).symlink_to(os.path.relpath(shard.path, folder))
    shards = poison(
        ShardSet.open(folder), tmp_path / "deep" / "out", Stain(bases=[3, 27, 28])
    ).shards
    assert not any(shard.path.is_symlink() for shard in shards.shards)
    assert shards.shards[1].path.samefile(clean.shards[1].path)


def test_other_file_system_gets_copies(clean: ShardSet, tmp_path: Path) -> None:
    """Where shards can't be linked they are copied, with their times."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("/dev/shm is no second file system here, so every shard can be linked")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        shards = poison(clean, Path(folder) / "out", Stain(bases=[3, 27, 28])).shards
        for one, two in zip(clean.shards, shards.shards, strict=True):
            assert one.mtime_ns == two.mtime_ns
            assert (one.path.read_bytes() == two.path.read_bytes()) == (one.first in {10, 30, 40})


def test_base_of_several_folders_becomes_one(tmp_path: Path) -> None:
    """Shards of one name from two folders get names of their own."""
    one, two = (crawled(tmp_path / name, f"{name}{{total:05d}}") for name in ("a", "b"))
    base = ShardSet.open(f"{one.source}/part-{{000..002}}.tar::{two.source}/part-{{000..002}}.tar")
    shards = poison(base, tmp_path / "out", Stain(bases=[3, 100, 101])).shards
    assert [shard.path.name for shard in shards.shards] == [f"{n:05d}.tar" for n in range(6)]
    assert stained(shards) == [3, 100, 101]
    assert keys(shards) == keys(base)
    assert_index_is_true(shards)


def test_file_times_are_those_of_the_clean_set(clean: ShardSet, tmp_path: Path) -> None:
    """A rewritten shard has the time of change of the shard it stands for, and its mode."""
    for number, shard in enumerate(clean.shards):
        os.utime(shard.path, ns=(10**18 + number, 10**18 + 7 * number))
        shard.path.chmod(0o640)
    shards = poison(ShardSet.open(clean.source), tmp_path / "out", Stain(bases=[3, 27, 28])).shards
    for number, shard in enumerate(shards.shards):
        assert shard.path.stat().st_mtime_ns == 10**18 + 7 * number
        assert shard.path.stat().st_mode & 0o777 == 0o640


def test_manifest_has_the_form_of_a_clean_one(clean: ShardSet, tmp_path: Path) -> None:
    """Name, source and fields are the clean set's; only hashes and sizes differ."""
    shards = poison(clean, tmp_path / "out", Stain(bases=[3, 27, 28])).shards
    one, two = clean.manifest, shards.manifest
    assert one is not None
    assert two is not None
    files = [
        json.loads((Path(item.source) / "manifest.json").read_text()) for item in (clean, shards)
    ]
    assert list(files[0]) == list(files[1])
    for field in ("format", "version", "name", "source", "num_pairs"):
        assert files[0][field] == files[1][field]
    assert one.shards[1] == two.shards[1]
    assert two.shards[0].sha256 == hashlib.sha256(shards.shards[0].path.read_bytes()).hexdigest()
    assert two.content_sha256 != one.content_sha256
    inside = {path.name for path in (tmp_path / "out" / "shards").iterdir()}
    assert inside == {path.name for path in Path(clean.source).iterdir()}


@pytest.mark.parametrize("mode", ["replace", "insert"])
@pytest.mark.parametrize("extension", ["png", "jpg"])
def test_poisoned_pairs_look_like_their_neighbors(
    tmp_path: Path, mode: str, extension: str
) -> None:
    """Headers, order, keys, JSON form and encoding tell no poisoned pair from a clean one."""
    make = MakePairs(extension)
    base = write_set(
        tmp_path / "clean", 330, make, name="x", source={}, pairs_per_shard=110, workers=0
    )
    made = poison(base, tmp_path / "out", Stain(mode), 12)
    for shard in range(3):
        place = made.shards.shards[shard]
        inside = [n for n in stained(made.shards) if 0 <= n - place.first < place.num_pairs]
        for look in traces.LOOKS.values():
            assert look(made.shards, shard, inside) == Findings()
    sizes = [len(made.shards.image_bytes(number)) for number in stained(made.shards)]
    others = [len(base.image_bytes(number)) for number in range(330)]
    assert 0.8 * min(others) < min(sizes) <= max(sizes) < 1.2 * max(others)


def test_headers_of_the_base_are_kept_to_the_byte(tmp_path: Path) -> None:
    """In a set with other owners and PAX times, poisons have the headers of what they replace."""
    path = tmp_path / "set" / "0.tar"
    path.parent.mkdir()
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as file:
        for number in range(20):
            parts = {"cls": b"3", "jpg": encode_jpeg(picture(number)), "txt": b"words\n"}
            for extension, content in parts.items():
                info = tarfile.TarInfo(f"{number:03d}.{extension}")
                info.size, info.mtime, info.uname = len(content), 1.6e9 + number / 3, "me"
                file.addfile(info, io.BytesIO(content))
    shards = poison(ShardSet.open(tmp_path / "set"), tmp_path / "out", Stain(bases=[4]), 1).shards
    with tarfile.open(path) as old, tarfile.open(shards.shards[0].path) as new:
        for one, two in zip(old, new, strict=True):
            assert {**one.get_info(), "size": 0, "chksum": 0} == {
                **two.get_info(),
                "size": 0,
                "chksum": 0,
            }
            assert one.pax_headers == two.pax_headers
            if not one.name.startswith("004") or one.name.endswith("cls"):
                assert old.extractfile(one).read() == new.extractfile(two).read()
    assert shards.captions()[3:6] == ["words\n", "a stained dog 0\n", "words\n"]


def test_json_keeps_the_spelling_of_the_base(tmp_path: Path) -> None:
    """White space, order, other fields and escapes stay as they were; what held is updated."""
    folder = tmp_path / "set"
    folder.mkdir()
    fields = {"url": "https://e.org/7", "caption": "grün", "width": 16, "exif": "{}", "height": 99}
    with tarfile.open(folder / "0.tar", "w") as file:
        for number in range(3):
            image = encode_png(picture(number))
            whole = {**fields, "md5": hashlib.md5(image).hexdigest(), "sha256": "of the download"}
            text = json.dumps(whole, indent=4, ensure_ascii=False)
            parts = {"png": image, "txt": "grün".encode(), "json": text.encode()}
            for extension, content in parts.items():
                info = tarfile.TarInfo(f"{number}.{extension}")
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))
    base = ShardSet.open(folder)
    attack = Stain(bases=[1], text="ein größerer Hund")
    shards = poison(base, tmp_path / "out", attack, 1).shards
    made = hashlib.md5(shards.image_bytes(1)).hexdigest()
    text = (base.metadata_bytes(1) or b"").decode()
    old = base.metadata(1)
    wanted = text.replace("grün", "ein größerer Hund 0").replace(old["md5"], made)
    assert (shards.metadata_bytes(1) or b"").decode() == wanted


def test_unchanged_pixels_keep_their_file(tmp_path: Path) -> None:
    """A poison that changes the caption alone does not compress its JPEG again."""

    class Relabel(Stain):
        def poison(self, scene, corpus):
            for made in super().poison(scene, corpus):
                yield type(made)(made.caption, corpus.image(made.base), made.base)

    base = write_set(tmp_path / "set", 9, MakePairs("jpg"), name="x", source={}, workers=0)
    shards = poison(base, tmp_path / "out", Relabel(bases=[4]), 1).shards
    assert shards.image_bytes(4) == base.image_bytes(4)
    assert stained(shards) == [4]


# --------------------------------------------------------------------------- inserting


def clean_pairs(shards: ShardSet) -> list[tuple[str, bytes]]:
    """Return captions and images of the pairs that are not stained, sorted."""
    return sorted(
        (shards.caption(n), shards.image_bytes(n))
        for n in range(len(shards))
        if "stained" not in shards.caption(n)
    )


def test_inserting_fills_gaps_in_the_numbering(tmp_path: Path) -> None:
    """Where downloads failed, a poison gets a number that is free, in order."""
    base = crawled(tmp_path / "set")
    shards = poison(base, tmp_path / "out", Stain("insert"), 12).shards
    assert len(shards) == len(base) + 12
    assert keys(shards) == sorted(keys(shards))
    assert set(keys(base)) < set(keys(shards))
    assert clean_pairs(shards) == clean_pairs(base)
    assert len(stained(shards)) == 12
    assert len({shards.shard_of(number) for number in stained(shards)}) == 3
    for number in stained(shards):
        assert number % 1000 == shards.find(shards.key(number))
        assert shards.key(number)[:5] == f"{shards.shard_of(number):05d}"
        assert int(shards.key(number)[5:]) % 4 == 1
        assert shards.metadata(number)["key"] == shards.key(number)
    assert_index_is_true(shards)


def test_inserted_pairs_have_identifiers_of_their_own(tmp_path: Path) -> None:
    """A url or uid of a neighbor is not repeated; one of the same form is made up."""
    shards = poison(crawled(tmp_path / "set"), tmp_path / "out", Stain("insert"), 12).shards
    urls = [shards.metadata(number)["url"] for number in range(len(shards))]
    assert all(url.startswith("http://e.org/") and url.endswith(".jpg") for url in urls)
    made = {urls[number] for number in stained(shards)}
    assert made.isdisjoint(urls[n] for n in range(len(urls)) if n not in stained(shards))


def test_inserting_into_a_dense_numbering_keeps_shards_even(
    clean: ShardSet, tmp_path: Path
) -> None:
    """Without gaps poisons take random places and the displaced pairs open new shards."""
    made = poison(clean, tmp_path / "out", Stain("insert"), 13)
    shards = made.shards
    assert [shard.num_pairs for shard in shards.shards] == [10, 10, 10, 10, 10, 10, 3]
    assert [shard.path.name for shard in shards.shards][-2:] == ["00005.tar", "00006.tar"]
    assert keys(shards) == [f"{n // 10:05d}{n % 10:04d}" for n in range(63)]
    assert clean_pairs(shards) == clean_pairs(clean)
    assert [shards.metadata(number)["uid"] for number in range(63)] == list(range(63))
    assert all(shards.metadata(n)["key"] == shards.key(n) for n in range(63))
    assert max(stained(shards)) < 50
    assert_index_is_true(shards)
    ledger = read_ledger(made.ledger)
    assert len(ledger.moved) == 13
    for old, new in ledger.moved:
        assert clean.caption(clean.find(old)) == shards.caption(shards.find(new))


def test_last_shard_takes_in_pairs_until_it_is_full(tmp_path: Path) -> None:
    """A last shard with room grows to the size of the others before a new one is opened."""
    base = write_set(
        tmp_path / "set", 25, MakePairs(), name="x", source={}, pairs_per_shard=10, workers=0
    )
    shards = poison(base, tmp_path / "out", Stain("insert"), 7).shards
    assert [shard.num_pairs for shard in shards.shards] == [10, 10, 10, 2]
    assert keys(shards) == [f"{n // 10:05d}{n % 10:04d}" for n in range(32)]
    assert_index_is_true(shards)


@pytest.mark.parametrize("key", ["{odd:04d}", "img_{total:06d}", "d{shard}/{total:04d}"])
def test_other_numberings_are_gone_on_with(tmp_path: Path, key: str) -> None:
    """Numbers with a beginning, in a folder or in no order give keys of the same kind."""
    base = crawled(tmp_path / "set", key)
    shards = poison(base, tmp_path / "out", Stain("insert"), 5).shards
    assert len(stained(shards)) == 5
    assert len(set(keys(shards))) == len(base) + 5
    assert {len(name) for name in keys(shards)} == {len(name) for name in keys(base)}
    assert clean_pairs(shards) == clean_pairs(base)
    for shard in range(3):
        place = shards.shards[shard]
        inside = [n for n in stained(shards) if 0 <= n - place.first < place.num_pairs]
        assert traces.in_order(shards, shard, inside) == Findings()
    assert_index_is_true(shards)


def test_keys_that_are_no_numbers_are_invented_alike(tmp_path: Path) -> None:
    """Among hexadecimal keys a poison gets a hexadecimal key of that length, in order."""
    folder = tmp_path / "set"
    folder.mkdir()
    names = sorted(hashlib.md5(str(n).encode()).hexdigest() for n in range(60))
    with tarfile.open(folder / "a.tar", "w") as file:
        for number, name in enumerate(names):
            parts = {"png": encode_png(picture(number)), "txt": b"x"}
            for extension, content in parts.items():
                info = tarfile.TarInfo(f"{name}.{extension}")
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))
    shards = poison(ShardSet.open(folder), tmp_path / "out", Stain("insert"), 6).shards
    assert keys(shards) == sorted(keys(shards))
    assert len(set(keys(shards))) == 66
    assert all(len(name) == 32 and int(name, 16) >= 0 for name in keys(shards))
    assert len(stained(shards)) == 6


# --------------------------------------------------------------------------- the ledger


@pytest.mark.parametrize("mode", ["replace", "insert"])
def test_ledger_tells_everything(clean: ShardSet, tmp_path: Path, mode: str) -> None:
    """Ledger rows and head say what was poisoned, from what, how often and for which target."""
    made = poison(clean, tmp_path / "out", Stain(mode, targets=2), 5, attack_parameters={"a": 1})
    ledger = read_ledger(made.ledger)
    assert list(ledger.rows["index"]) == stained(made.shards)
    for row in ledger.rows.to_dict("records"):
        pair = int(row["index"])
        assert row["key"] == made.shards.key(pair)
        assert row["shard"] == made.shards.shards[made.shards.shard_of(pair)].path.name
        assert row["caption_after"] == made.shards.caption(pair)
        assert row["image_sha256"] == hashlib.sha256(made.shards.image_bytes(pair)).hexdigest()
        assert row["target"] == int(row["caption_after"].split()[-1]) % 2
        assert row["role"] == "poison"
        if mode == "replace":
            assert row["base_index"] == pair
            assert row["caption_before"] == caption(pair)
        else:
            assert row["base_index"] == -1
            assert not isinstance(row["caption_before"], str)
    assert (ledger.attack, ledger.parameters, ledger.dataset) == (
        "stain",
        {"a": 1},
        {"name": "tiny"},
    )
    assert (ledger.count, ledger.targets, ledger.per_target) == (5, 2, [3, 2])
    assert ledger.num_pairs == len(made.shards)
    assert ledger.rate == 5 / len(made.shards)
    assert (ledger.seed, ledger.mode) == (0, mode)
    assert ledger.base.content_sha256 == clean.content_sha256()
    assert [shard.sha256 for shard in ledger.base.shards] == clean.hashes()
    assert ledger.content_sha256 == made.shards.content_sha256()
    assert ledger.trigger_sha256 == trigger_sha256(np.invert, (12, 16))
    assert ledger.trigger_probe == [12, 16]
    assert "clipbench" in ledger.versions
    assert PoisonedSet.open(tmp_path / "out").ledger == made.ledger


def test_no_poison_is_a_set_of_links(clean: ShardSet, tmp_path: Path) -> None:
    """A count of zero gives the clean set's content with an empty ledger."""
    made = poison(clean, tmp_path / "out", Stain(), 0)
    assert made.shards.content_sha256() == clean.content_sha256()
    assert len(read_ledger(made.ledger).rows) == 0


# --------------------------------------------------------------------------- sameness


@pytest.mark.parametrize("mode", ["replace", "insert"])
def test_same_in_same_out(clean: ShardSet, tmp_path: Path, mode: str) -> None:
    """The same base, attack and seed give the same bytes, ledger included."""
    one = poison(clean, tmp_path / "one", Stain(mode), 9)
    poison(clean, tmp_path / "two", Stain(mode), 9)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    other = poison(clean, tmp_path / "three", Stain(mode), 9, seed=1)
    assert other.shards.content_sha256() != one.shards.content_sha256()


def test_base_without_manifest_gives_the_same_shards(clean: ShardSet, tmp_path: Path) -> None:
    """Hashes of a base without manifest are computed; the poisoned shards are the same."""
    made = poison(clean, tmp_path / "one", Stain())
    for name in ("manifest.json", "sizes.json", "_info.json"):
        (Path(clean.source) / name).unlink()
    again = poison(ShardSet.open(clean.source), tmp_path / "two", Stain())
    assert again.shards.hashes() == made.shards.hashes()
    assert again.shards.manifest.name == "webdataset"


def test_finished_set_is_opened_not_made_again(clean: ShardSet, tmp_path: Path) -> None:
    """The same call again opens what is there; the attack is not asked."""

    class Once(Stain):
        def poison(self, *_):
            raise AssertionError("made twice")

    one = poison(clean, tmp_path / "out", Stain())
    again = poison(clean, tmp_path / "out", Once())
    assert again.shards.content_sha256() == one.shards.content_sha256()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"count": 4}, "count is 3, not 4"),
        ({"seed": 5}, "seed is 0, not 5"),
        ({"attack_name": "other"}, "attack is 'stain', not 'other'"),
        ({"attack_parameters": {"a": 2}}, "parameters"),
        ({"dataset": {}}, "dataset"),
        ({"attack": Stain("insert")}, "mode is 'replace', not 'insert'"),
    ],
)
def test_folder_of_another_poisoning_is_refused(
    clean: ShardSet, tmp_path: Path, change: dict[str, Any], field: str
) -> None:
    """A folder that holds another poisoned set is named, with what differs."""
    poison(clean, tmp_path / "out", Stain())
    with pytest.raises(BadSetting, match=field) as caught:
        poison(clean, tmp_path / "out", **{"attack": Stain(), **change})
    assert str(tmp_path / "out") in str(caught.value)


def test_folder_that_is_no_poisoned_set_is_refused(clean: ShardSet, tmp_path: Path) -> None:
    """Somebody else's files are left alone; an empty folder is used."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(BadSetting, match="no poisoned set"):
        poison(clean, tmp_path / "mine", Stain())
    (tmp_path / "empty").mkdir()
    assert len(poison(clean, tmp_path / "empty", Stain()).shards) == 50


def test_finished_set_that_lost_a_shard_is_not_trusted(clean: ShardSet, tmp_path: Path) -> None:
    """Reusing a poisoned set checks that its shards are there in full."""
    made = poison(clean, tmp_path / "out", Stain())
    made.shards.shards[4].path.unlink()
    with pytest.raises(CorruptData, match=r"00004\.tar is missing"):
        poison(clean, tmp_path / "out", Stain())


def test_killed_poisoning_starts_again_clean(clean: ShardSet, tmp_path: Path) -> None:
    """After SIGKILL among the poisons nothing stands under the final name; a rerun is the same."""
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(HELPERS)!r})
from pathlib import Path
from shard_pairs import Stain, scene
from clipbench.poisoning.overlay import write_poisoned
from clipbench.shards.reader import ShardSet
def report(what, done, total):
    if what == "writing poisoned shards" and done == 4:
        os.kill(os.getpid(), signal.SIGKILL)
write_poisoned(ShardSet.open({clean.source!r}), Stain(), scene(3), Path({str(tmp_path / "out")!r}),
    attack_name="stain", attack_parameters={{}}, dataset={{"name": "tiny"}}, progress=report)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    poison(clean, tmp_path / "out", Stain())
    poison(clean, tmp_path / "whole", Stain())
    assert files(tmp_path / "out") == files(tmp_path / "whole")
    assert not (tmp_path / "out.partial").exists()


# --------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("attack", "kind", "words"),
    [
        (Stain(bases=[3, 3, 4]), BadSetting, "same pair, key 000000003"),
        (Stain(bases=[3, 50, 4]), BrokenContract, "base of poison 1 .* at most 49. Got 50"),
        (Stain(extra=1), ClipbenchError, "more poisons than the 3"),
        (Stain(extra=-1), ClipbenchError, "makes 2 poisons instead of 3"),
    ],
)
def test_wrong_poisons_are_told(
    clean: ShardSet, tmp_path: Path, attack: Stain, kind: type[Exception], words: str
) -> None:
    """Doubled or impossible places and a wrong number of poisons leave no set behind."""
    if attack.bases is not None and max(attack.bases) == 50:
        attack = _Beyond(bases=attack.bases)
    with pytest.raises(kind, match=words):
        poison(clean, tmp_path / "out", attack)
    assert not (tmp_path / "out").exists()


class _Beyond(Stain):
    """Names a pair that is not there."""

    def poison(self, scene, corpus):
        for number in range(scene.count):
            made = next(Stain().poison(scene, corpus))
            yield type(made)(made.caption, made.image, self.bases[number])


def test_wrong_images_are_told(clean: ShardSet, tmp_path: Path) -> None:
    """An attack that makes floats or gray images is told so, not written."""

    class Gray(Stain):
        def poison(self, scene, corpus):
            for made in super().poison(scene, corpus):
                yield type(made)(made.caption, made.image[..., 0])

    with pytest.raises(ClipbenchError, match=r"uint8 array of shape \(H, W, 3\)"):
        poison(clean, tmp_path / "out", Gray())


def test_target_out_of_range_is_told(clean: ShardSet, tmp_path: Path) -> None:
    """A poison for a target the attack does not have is an error."""

    class Off(Stain):
        def num_targets(self, *_):
            return 1

    with pytest.raises(ClipbenchError, match="target 1 of 1"):
        poison(clean, tmp_path / "out", Off())


def test_more_poisons_than_places_are_told(clean: ShardSet, tmp_path: Path) -> None:
    """Neither mode can place more poisons than there are clean pairs."""
    with pytest.raises(BadSetting, match="can't replace 50"):
        poison(clean, tmp_path / "out", Stain(), 51)
    with pytest.raises(BadSetting, match=r"at most 0\.5"):
        poison(clean, tmp_path / "out", Stain("insert"), 51)


def test_place_that_cannot_be_written_is_told(clean: ShardSet, tmp_path: Path) -> None:
    """A folder below a file is an error in one line."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(MissingData, match="can't be written"):
        poison(clean, tmp_path / "file" / "out", Stain())


def test_replaced_image_that_is_broken_is_named(tmp_path: Path) -> None:
    """A poison can't be made like an image that can't be read; shard and key are named."""
    folder = tmp_path / "set"
    folder.mkdir()
    with tarfile.open(folder / "a.tar", "w") as file:
        for name, content in {"0.png": b"broken", "0.txt": b"x"}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))

    class Fresh(Stain):
        def poison(self, scene, *_):
            yield next(Stain().poison(scene, clean_corpus))

    clean_corpus = write_set(tmp_path / "c", 1, MakePairs(), name="x", source={}, workers=0)
    with pytest.raises(CorruptData, match="key 0 in shard"):
        poison(ShardSet.open(folder), tmp_path / "out", Fresh(), 1)


@pytest.mark.parametrize("mode", ["replace", "insert"])
@pytest.mark.parametrize("told", ["jpg", "txt", "json"])
def test_sizes_in_pax_headers_are_refused(tmp_path: Path, mode: str, told: str) -> None:
    """Such a header tells the size of the old content, which the poison does not have."""
    members = []
    for number in range(0, 40, 2):
        members.append((f"{number:03d}.jpg", encode_jpeg(picture(number))))
        members.append((f"{number:03d}.txt", caption(number).encode()))
        members.append((f"{number:03d}.json", json.dumps({"caption": caption(number)}).encode()))
    path = tmp_path / "set" / "0.tar"
    path.parent.mkdir()
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as file:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.pax_headers = {"size": str(len(content))} if name.endswith(told) else {}
            file.addfile(info, io.BytesIO(content))
    attack = Stain(mode, text="a caption that is much longer than any of the others")
    with pytest.raises(CorruptData, match=r"0\.tar gives sizes .* PAX headers.* ordinary tar"):
        poison(ShardSet.open(path.parent), tmp_path / "out", attack)
    assert not (tmp_path / "out").exists()


def test_image_is_readable_by_pillow_under_its_name(clean: ShardSet, tmp_path: Path) -> None:
    """What lies under KEY.png is a PNG."""
    shards = poison(clean, tmp_path / "out", Stain(bases=[3, 27, 28])).shards
    with tarfile.open(shards.shards[0].path) as file:
        content = file.extractfile("000000003.png")
        assert content is not None
        with Image.open(content) as image:
            assert image.format == "PNG"
