"""Verification catches every kind of tampering."""

import io
import json
import os
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from shard_pairs import MakePairs, Stain, crawled, picture, scene, write_members

from clipbench.images.encoding import encode_jpeg, encode_png
from clipbench.poisoning.overlay import PoisonedSet, write_poisoned
from clipbench.shards.reader import ShardSet
from clipbench.shards.writer import write_set
from clipbench.verification.verify import VerifyReport, verify

PER_SHARD = 120


@pytest.fixture
def base(tmp_path: Path) -> ShardSet:
    """Return 360 pairs in three shards."""
    return write_set(
        tmp_path / "base",
        3 * PER_SHARD,
        MakePairs(),
        name="tiny",
        source={},
        pairs_per_shard=PER_SHARD,
        workers=0,
    )


def poisoned(base: ShardSet, mode: str = "replace") -> PoisonedSet:
    """Return the base with two poisons."""
    attack = Stain(mode, bases=[5, 7] if mode == "replace" else None)
    return write_poisoned(
        base,
        attack,
        scene(2),
        Path(base.source).parent / "out",
        attack_name="stain",
        attack_parameters={},
        dataset={},
    )


def failed(report: VerifyReport) -> dict[str, str]:
    """Return name and message of the checks that failed."""
    assert report.passed == all(check.passed for check in report.checks)
    return {check.name: check.message for check in report.checks if not check.passed}


def rewrite(path: Path, change: Callable[[str, bytes, tarfile.TarInfo], bytes]) -> None:
    """Write a shard again, with its members' contents and headers changed at will."""
    status = path.stat()
    buffer = io.BytesIO()
    with (
        tarfile.open(path) as old,
        tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as new,
    ):
        for info in old:
            content = change(info.name, old.extractfile(info).read(), info)
            info.size = len(content)
            new.addfile(info, io.BytesIO(content))
    path.unlink()  # a link must not change the clean set
    path.write_bytes(buffer.getvalue())
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def swap(name: str, content: bytes) -> Callable[[str, bytes, tarfile.TarInfo], bytes]:
    """Return a change of one member."""
    return lambda found, old, _: content if found == name else old


def test_clean_set_passes(base: ShardSet) -> None:
    """A set as it was written passes every check; the report counts its pairs."""
    report = verify(Path(base.source))
    assert failed(report) == {}
    assert (report.num_pairs, report.num_poisons) == (3 * PER_SHARD, 0)
    assert {"pairs", "manifest", "sizes", "keys", "captions"} <= {c.name for c in report.checks}


@pytest.mark.parametrize("mode", ["replace", "insert"])
def test_poisoned_set_passes(base: ShardSet, mode: str) -> None:
    """A poisoned set passes with its ledger, and with the clean set at hand."""
    made = poisoned(base, mode)
    folder = Path(made.shards.source)
    assert failed(verify(folder)) == {}
    assert failed(verify(folder, made.ledger)) == {}
    report = verify(folder, made.ledger, base)
    assert failed(report) == {}
    assert report.num_poisons == 2
    whole = verify(folder.parent)
    assert (failed(whole), whole.num_poisons) == ({}, 2)


def test_keys_of_joined_sets_are_unique_in_each_shard_alone(tmp_path: Path) -> None:
    """Two sets that number their pairs alike, poisoned as one, have keys that come again."""
    parts = [
        write_set(tmp_path / name, 20, MakePairs(), name=name, source={}, workers=0).source
        for name in ("a", "b")
    ]
    made = write_poisoned(
        ShardSet.open("::".join(parts)),
        Stain("replace", bases=[5, 7]),
        scene(2),
        tmp_path / "out",
        attack_name="stain",
        attack_parameters={},
        dataset={},
    )
    for folder, told in ((made.shards.source, "unique in each shard"), (parts[0], "unique")):
        checks = {check.name: check.message for check in verify(Path(folder)).checks}
        assert checks["keys"] == f"{told} and well formed"


@pytest.mark.parametrize("mode", ["replace", "insert"])
def test_poisoned_set_of_others_passes(tmp_path: Path, mode: str) -> None:
    """A crawled set with gaps and identifiers, once poisoned, passes every check as well."""
    base = crawled(tmp_path / "set")
    made = write_poisoned(
        base,
        Stain(mode),
        scene(9),
        tmp_path / "out",
        attack_name="stain",
        attack_parameters={},
        dataset={},
    )
    assert failed(verify(tmp_path / "out", base=base)) == {}
    assert failed(verify(tmp_path / "set")) == {}
    assert made.shards.manifest is not None


def test_unreadable_set_fails_with_the_reason(base: ShardSet) -> None:
    """A cut-off shard fails the check of pairs, with shard and reason."""
    os.truncate(base.shards[1].path, 10_240)
    assert "00001.tar is cut off" in failed(verify(Path(base.source)))["pairs"]
    assert "There is no" in failed(verify(Path(base.source) / "gone"))["pairs"]


def test_changed_byte_is_found(base: ShardSet) -> None:
    """One flipped byte of an image fails the hash, though the index is still valid."""
    row = base.index[3]
    with base.shards[0].path.open("r+b") as file:
        file.seek(int(row["image_offset"]) + int(row["image_size"]) - 20)
        file.write(b"\x00")
    assert set(failed(verify(Path(base.source)))) == {"manifest"}


def test_wrong_counts_are_found(base: ShardSet) -> None:
    """sizes.json, _info.json and the manifest must give the pairs that are there."""
    folder = Path(base.source)
    sizes = folder / "sizes.json"
    sizes.write_text(sizes.read_text().replace(str(PER_SHARD), str(PER_SHARD + 1)))
    assert "sizes.json" in failed(verify(folder))["sizes"]
    sizes.unlink()
    assert "can't be read" in failed(verify(folder))["sizes"]
    made = poisoned(base)
    (Path(made.shards.source) / "manifest.json").unlink()
    assert "missing" in failed(verify(Path(made.shards.source), made.ledger))["manifest"]


def test_ledger_beside_the_shards_is_found(base: ShardSet) -> None:
    """A ledger among the shards gives the poisoning away."""
    made = poisoned(base)
    folder = Path(made.shards.source)
    (folder / "ledger.json").write_bytes(made.ledger.read_bytes())
    assert "lies beside" in failed(verify(folder))["folder"]


def test_ledger_of_another_set_is_found(base: ShardSet, clean: ShardSet) -> None:
    """Shards and ledger must belong together; so must ledger and clean set."""
    made = poisoned(base)
    assert "ledger" in failed(verify(Path(base.source), made.ledger))
    report = failed(verify(Path(made.shards.source), made.ledger, clean))
    assert "names as its base" in report["clean set"]
    made.ledger.write_text("{")
    assert "not valid JSON" in failed(verify(Path(made.shards.source), made.ledger))["ledger"]


POISON = "000000005"
CLEAN = "000000009"


@pytest.mark.parametrize(
    ("change", "check", "words"),
    [
        (swap(f"{POISON}.txt", b"another caption"), "poisons", "another caption than"),
        (swap(f"{POISON}.png", encode_png(picture(4))), "poisons", "another image than"),
        (swap(f"{POISON}.png", b"broken"), "poisons", "can't be decoded|not a readable"),
        (swap(f"{CLEAN}.txt", b"another caption"), "other pairs", "differs from the clean"),
        (swap(f"{CLEAN}.png", encode_png(picture(4))), "other pairs", "differs from the clean"),
        (swap(f"{POISON}.json", b'{"caption":"x"}'), "no trace in JSON", "form of its own"),
        (swap(f"{POISON}.png", encode_png(picture(4), 1)), "no trace in encoding", "no clean one"),
        (swap(f"{POISON}.txt", b"\xff"), "captions", "not UTF-8"),
    ],
)
def test_changed_member_is_found(
    base: ShardSet,
    change: Callable[[str, bytes, tarfile.TarInfo], bytes],
    check: str,
    words: str,
) -> None:
    """A poison unlike its row, a clean pair unlike the base, a form of its own: each is found."""
    made = poisoned(base)
    rewrite(made.shards.shards[0].path, change)
    found = failed(verify(Path(made.shards.source), made.ledger, base))
    assert check in found
    assert any(word in found[check] for word in words.split("|"))
    assert "manifest" in found


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("mode", 0o600, "headers"),
        ("uname", "attacker", "headers"),
        ("mtime", 1.7e9, "time of their own"),
    ],
)
def test_header_of_its_own_is_found(base: ShardSet, field: str, value: object, words: str) -> None:
    """Mode, owner or time of a poison's tar header that no clean pair has is found."""
    made = poisoned(base)

    def change(name: str, content: bytes, info: tarfile.TarInfo) -> bytes:
        if name.startswith(POISON):
            setattr(info, field, value)
        return content

    rewrite(made.shards.shards[0].path, change)
    found = failed(verify(Path(made.shards.source), made.ledger))
    assert words in found["no trace in headers"]


def test_jpeg_among_png_is_found(base: ShardSet) -> None:
    """A poison in another format than all clean pairs is found, by header and by encoding."""
    made = poisoned(base)

    def change(name: str, content: bytes, info: tarfile.TarInfo) -> bytes:
        if name == f"{POISON}.png":
            info.name = f"{POISON}.jpg"
            return encode_jpeg(255 - picture(5))
        return content

    rewrite(made.shards.shards[0].path, change)
    found = failed(verify(Path(made.shards.source), made.ledger))
    assert {"no trace in headers", "no trace in encoding"} <= set(found)


def test_key_that_breaks_the_order_is_found(base: ShardSet) -> None:
    """A poison whose key is out of order, or formed like no other, is found."""
    made = poisoned(base)

    def change(name: str, content: bytes, info: tarfile.TarInfo) -> bytes:
        info.name = name.replace(POISON, "poison001")
        return content

    rewrite(made.shards.shards[0].path, change)
    rows = json.loads(made.ledger.read_text())
    assert rows["count"] == 2
    found = failed(verify(Path(made.shards.source), made.ledger))
    assert "does not have the key" in found["poisons"]


def test_poisoned_shard_in_place_of_a_clean_one_is_found(base: ShardSet) -> None:
    """A shard that the ledger lists no poison for must be the clean set's."""
    made = poisoned(base)
    rewrite(made.shards.shards[2].path, swap("000020003.txt", b"a hidden poison"))
    found = failed(verify(Path(made.shards.source), made.ledger))
    assert "no poison but is not the clean one" in found["other shards"]


def test_file_time_of_its_own_is_found(base: ShardSet) -> None:
    """With the clean set at hand, a rewritten shard's time of change is compared."""
    made = poisoned(base)
    os.utime(made.shards.shards[0].path, (1, 1))
    found = failed(verify(Path(made.shards.source), made.ledger, base))
    assert set(found) == {"file times"}


def test_lost_pair_is_found(base: ShardSet) -> None:
    """A clean pair that is no longer there is missed when the base is at hand."""
    made = poisoned(base)
    path = made.shards.shards[0].path
    buffer = io.BytesIO()
    with (
        tarfile.open(path) as old,
        tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as new,
    ):
        for info in old:
            if not info.name.startswith("000000100"):
                new.addfile(info, old.extractfile(info))
    path.unlink()
    path.write_bytes(buffer.getvalue())
    found = failed(verify(Path(made.shards.source), made.ledger, base))
    assert "accounted for" in found["other pairs"]
    assert "119 pairs" in found["manifest"] or "sha256" in found["manifest"]


def test_a_set_of_another_program_is_checked_as_far_as_it_can_be(tmp_path: Path) -> None:
    """Without a manifest hashes are a note; keys that are no UTF-8 are its own business."""
    members = [("caf\udce9_1.jpg", encode_jpeg(picture(1))), ("caf\udce9_1.txt", b"a thing")]
    write_members(tmp_path / "00000.tar", members)
    (tmp_path / "00000_stats.json").write_text("{}")
    report = verify(tmp_path)
    assert report.passed
    notes = {check.name: check.message for check in report.checks if check.is_note}
    assert notes["manifest"] == "not written by clipbench (no manifest.json): hashes not checked"
    assert notes["sizes"] == "no sizes.json: not checked"
    (tmp_path / "sizes.json").write_text('{"00000.tar": 2}')
    assert "does not give the pairs" in failed(verify(tmp_path))["sizes"]
    (tmp_path / "manifest.json").write_text("{}")
    assert "missing or lists other shards" in failed(verify(tmp_path))["manifest"]


def test_pairs_of_another_program_that_cannot_be_used_are_found(tmp_path: Path) -> None:
    """No hash vouches for them, so every image is decoded and every caption looked at."""
    good = encode_jpeg(picture(1))
    for name, image, text in (("image", good[:-60], b"a"), ("caption", good, b"\xe2\x80\x8b")):
        members = [("0.jpg", good), ("0.txt", b"a"), ("1.jpg", image), ("1.txt", text)]
        write_members(tmp_path / name / "00000.tar", members)
        found = failed(verify(tmp_path / name))
        assert list(found) == ["usable"]
        assert re.search(rf"key 1 in shard .*00000.tar: {name}", found["usable"])


def test_a_shard_of_poisons_alone_has_no_clean_pair_that_they_differ_from(tmp_path: Path) -> None:
    """As small shards have at a high rate; nothing gives a poison away there."""
    for shard in range(3):
        members = []
        for key in (f"{shard:05d}0000", f"{shard:05d}0001"):
            members.append((f"{key}.jpg", encode_jpeg(picture(int(key)))))
            members.append((f"{key}.txt", f"thing {key}".encode()))
        write_members(tmp_path / "set" / f"{shard:05d}.tar", members)
    base = ShardSet.open(tmp_path / "set")
    made = write_poisoned(
        base,
        Stain(bases=(0, 1)),
        scene(2),
        tmp_path / "out",
        attack_name="stain",
        attack_parameters={},
        dataset={},
    )
    assert failed(verify(made.ledger.parent.parent, base=base)) == {}
