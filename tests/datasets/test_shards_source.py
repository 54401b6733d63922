"""Shards from anywhere as training pairs: how they are named, read and poisoned."""

from __future__ import annotations

import io
import json
import shutil
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import loose_layouts as layouts
import pytest
from staining import poisoned

from clipbench.errors import BadInput
from clipbench.importing.pairs import import_set
from clipbench.importing.usable import open_usable
from clipbench.plugins import registry
from clipbench.poisoning.ledger import read_ledger
from clipbench.shards.index import Incomplete
from clipbench.shards.reader import ShardSet
from clipbench.verification.verify import verify
from clipbench_datasets.shards import Shards

PAIRS = 2 * layouts.COUNT
SHARDS_WITH_LOST = range(3)


def written(text: str, folder: Path) -> str:
    """Return a way to name the shards in `folder`."""
    return text.format(folder=folder, braces="{00000..00001}", listed="{00000,00001}")


@pytest.mark.parametrize(
    "spec",
    [
        "{folder}",
        "{folder}/{braces}.tar",
        "{folder}/{listed}.tar",
        "{folder}/00000.tar::{folder}/00001.tar",
        "shards:path={folder}",
        "shards:path={folder}/{braces}.tar",
        "shards:path={folder}/{listed}.tar,caption_field=none",
        "shards:path={folder}/00000.tar::{folder}/00001.tar",
        "shards:path='{folder}'",
    ],
)
def test_shards_are_named_as_people_type_them(tmp_path: Path, spec: str) -> None:
    """A path alone and a parameter mean the same; braces and colons need no quotes."""
    folder = layouts.shards(tmp_path / "cc3m")
    source = registry.build("dataset", written(spec, folder))
    assert source.num_pairs() == PAIRS
    shards = ShardSet.open(source.prepare(tmp_path / "cache"))
    assert shards.captions() == [f"flower {n}" for n in range(PAIRS)]
    assert shards.image_bytes(9) == layouts.jpeg(9)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("/no/such/folder", "no shard or folder /no/such/folder"),
        ("shards:path=/no/{0..3}.tar", "no shard or folder /no/0.tar"),
        ("shards:path=", "shards.path must be a folder"),
        ("shards", "shards.path must be given"),
        ("cocoo:images=/x/y", "Unknown dataset 'cocoo'. Did you mean 'coco'"),
        ("no/such/plugin.py", "no plugin file"),
    ],
)
def test_a_wrong_name_is_told(spec: str, message: str) -> None:
    """A path that is not there, and a plugin that does not exist, are told apart."""
    with pytest.raises(BadInput, match=message):
        registry.build("dataset", spec).num_pairs()


def test_every_suffix_of_an_image_is_read(tmp_path: Path) -> None:
    """jpg, jpeg, png and webp may lie in one set."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    with tarfile.open(folder / "a.tar", "w") as file:
        for n, (suffix, form) in enumerate(
            {"jpg": "JPEG", "JPEG": "JPEG", "png": "PNG", "webp": "WEBP"}.items()
        ):
            buffer = io.BytesIO()
            layouts.photograph(n).save(buffer, form)
            for extension, data in ((suffix, buffer.getvalue()), ("txt", f"flower {n}".encode())):
                info = tarfile.TarInfo(f"{n}.{extension}")
                info.size = len(data)
                file.addfile(info, io.BytesIO(data))
    shards = open_usable(str(folder), tmp_path / "cache", workers=0).shards
    assert [shards.extension(pair) for pair in range(4)] == ["jpg", "jpeg", "png", "webp"]
    assert len(poisoned(shards, tmp_path / "out").shards) == 4


def test_sizes_json_is_believed_about_numbers_before_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The count of a large set takes one small file; a small set is counted."""
    folder = layouts.shards(tmp_path / "set")
    (folder / "sizes.json").write_text(json.dumps({"00000.tar": 900, "00001.tar": 77}))
    source = registry.build("dataset", str(folder))
    with monkeypatch.context() as patch:
        patch.setattr("clipbench_datasets.shards._LARGE", 0)
        assert source.num_pairs() == 977
        assert not (folder / ".clipbench").exists()
    assert len(ShardSet.open(folder)) == PAIRS
    for text in (json.dumps({"00000.tar": 900, "00001.tar": 77}), "{"):
        (folder / "sizes.json").write_text(text)
        (folder / "00001.tar").touch()
        assert registry.build("dataset", str(folder)).num_pairs() == PAIRS


# --------------------------------------------------------------------------- captions in JSON


@pytest.mark.parametrize("mode", ["replace", "insert"])
def test_poison_goes_where_captions_are_read_from(tmp_path: Path, mode: str) -> None:
    """With captions in a field of the JSON alone, a poison's caption is in that field."""
    folder = layouts.shards(tmp_path / "set", in_json="re_caption")
    usable = open_usable(str(folder), tmp_path, caption_field="re_caption", workers=0)
    base = usable.shards
    assert base.captions() == [f"flower {n}" for n in range(PAIRS)]
    made = poisoned(base, tmp_path / "out", mode)
    ledger = read_ledger(made.ledger)
    found = ShardSet.open(tmp_path / "out" / "shards", caption_field="re_caption")
    assert len(found) == PAIRS + (4 if mode == "insert" else 0)
    for row in ledger.rows.to_dict("records"):
        assert found.caption(row["index"]) == row["caption_after"]
        assert row["caption_after"].startswith("a stained dog")
        assert found.metadata(row["index"])["re_caption"] == row["caption_after"]
    clean = [c for c in found.captions() if c.startswith("flower")]
    assert len(clean) == PAIRS - (4 if mode == "replace" else 0)
    report = verify(tmp_path / "out")
    assert [check for check in report.checks if not check.passed] == []


def test_captions_that_differ_from_the_field_stay(tmp_path: Path) -> None:
    """Beside a field with captions of another kind, KEY.txt and ``caption`` keep what they say."""
    folder = tmp_path / "set"
    folder.mkdir()
    with tarfile.open(folder / "0.tar", "w") as file:
        for n in range(6):
            fields = {"caption": f"alt {n}", "long": f"a long text about flower {n}"}
            same = f"a long text about flower {n}\n" if n % 2 else f"alt {n}"
            for extension, data in {
                "jpg": layouts.jpeg(n),
                "json": json.dumps(fields).encode(),
                "txt": same.encode(),
            }.items():
                info = tarfile.TarInfo(f"{n:04d}.{extension}")
                info.size = len(data)
                file.addfile(info, io.BytesIO(data))
    base = open_usable(str(folder), tmp_path, caption_field="long", workers=0).shards
    poisoned(base, tmp_path / "out", count=6)
    texts = ShardSet.open(tmp_path / "out" / "shards").captions()
    for n, text in enumerate(texts):
        assert text == f"alt {n}" if n % 2 == 0 else text.startswith("a stained dog")
    metadata = [ShardSet.open(tmp_path / "out" / "shards").metadata(n) for n in range(6)]
    assert [fields["caption"] for fields in metadata] == [f"alt {n}" for n in range(6)]
    assert all(fields["long"].startswith("a stained dog") for fields in metadata)


def test_a_field_that_is_not_there_is_told(tmp_path: Path) -> None:
    """Under fail the first pair is the error, with the name of the field."""
    folder = layouts.shards(tmp_path / "set")
    with pytest.raises(BadInput, match="no text 'recaption'; name another field"):
        open_usable(str(folder), tmp_path / "cache", caption_field="recaption", workers=0)


# --------------------------------------------------------------------------- joined sets


@pytest.mark.parametrize("mode", ["replace", "insert"])
def test_joined_folders_may_have_equal_shards_and_keys(tmp_path: Path, mode: str) -> None:
    """Two sets of img2dataset share all file names and keys; poisoned they are one sound set."""
    one = layouts.shards(tmp_path / "cc3m")
    two = layouts.shards(tmp_path / "cc12m", first=500)
    usable = open_usable(f"{one}::{two}", tmp_path / "cache", workers=0)
    base = usable.shards
    assert len(base) == 2 * PAIRS
    made = poisoned(base, tmp_path / "out", mode, count=9)
    ledger = read_ledger(made.ledger)
    rows = ledger.rows.to_dict("records")
    again = ShardSet.open(tmp_path / "out" / "shards")
    assert len(again) == ledger.num_pairs == 2 * PAIRS + (9 if mode == "insert" else 0)
    assert [again.caption(row["index"]) for row in rows] == [row["caption_after"] for row in rows]
    assert [again.key(row["index"]) for row in rows] == [row["key"] for row in rows]
    shutil.rmtree(tmp_path / "out" / "shards" / ".clipbench")
    assert ShardSet.open(tmp_path / "out" / "shards").captions() == again.captions()
    report = verify(tmp_path / "out", base=base)
    wrong = [check for check in report.checks if not check.passed]
    assert [check.message for check in wrong] == []
    if mode == "replace":
        poisons = {row["index"] for row in rows}
        for pair in set(range(len(base))) - poisons:
            assert again.image_bytes(pair) == base.image_bytes(pair)


def test_a_key_twice_in_one_folder_is_still_an_error(tmp_path: Path) -> None:
    """A shard that was copied under another name is not a larger set."""
    folder = layouts.shards(tmp_path / "set")
    shutil.copy(folder / "00001.tar", folder / "00002.tar")
    with pytest.raises(BadInput, match="keys must be unique in a set"):
        ShardSet.open(folder)


# --------------------------------------------------------------------------- imported


def test_shards_from_anywhere_can_be_imported(tmp_path: Path) -> None:
    """An import gives clean shards of the same pairs, files byte for byte, fields kept."""
    folder = layouts.shards(tmp_path / "set", in_json="re_caption")
    source = registry.build("dataset", f"shards:path={folder},caption_field=re_caption")
    made = import_set(source, tmp_path / "out", name="shards", workers=0)
    assert made.captions() == [f"flower {n}" for n in range(PAIRS)]
    assert [made.image_bytes(n) for n in range(PAIRS)] == [layouts.jpeg(n) for n in range(PAIRS)]
    assert made.metadata(8)["url"] == "http://example.org/000010001.jpg"
    assert verify(tmp_path / "out").passed


class Walked(tuple[Incomplete, ...]):
    """What is no pair in shards, and how often all of it was walked through."""

    times = 0

    def __iter__(self) -> Iterator[Incomplete]:
        """Begin to walk."""
        Walked.times += 1
        return super().__iter__()


def test_what_is_no_pair_is_walked_through_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not once a shard: a crawl of thousands of shards has many pairs whose image got lost."""
    lost = range(0, 2 * len(SHARDS_WITH_LOST), 2)
    for number in SHARDS_WITH_LOST:
        with tarfile.open(tmp_path / f"{number}.tar", "w") as file:
            for place, data in enumerate((b"lost", layouts.jpeg(number))):
                for extension, content in {"txt": b"a flower", "jpg": data}.items():
                    if content != b"lost":
                        info = tarfile.TarInfo(f"{number}{place}.{extension}")
                        info.size = len(content)
                        file.addfile(info, io.BytesIO(content))
    opened = ShardSet.open(tmp_path, on_incomplete="skip")
    opened.incomplete = Walked(opened.incomplete)
    monkeypatch.setattr(Shards, "_opened", lambda _: opened)
    entries = [*Shards(str(tmp_path)).entries()]
    assert Walked.times == 1
    told = [number for number, entry in enumerate(entries) if entry.problem is not None]
    assert told == [*lost]
    assert entries[2].name == f"key 10 in shard {tmp_path / '1.tar'}"


def test_many_shards_joined_are_one_source(tmp_path: Path) -> None:
    """The text that names them may be longer than a path may be."""
    folder = layouts.shards(tmp_path / "set")
    copies = []
    for number in range(60):
        copy = tmp_path / f"copy-{number:03d}-{'x' * 60}"
        copy.mkdir()
        shutil.copy(folder / "00000.tar", copy / "00000.tar")
        copies.append(str(copy / "00000.tar"))
    text = "::".join(copies)
    assert len(text) > 4096 or sys.platform != "linux"
    assert len(ShardSet.open(text, tmp_path / "cache")) == 60 * layouts.COUNT
