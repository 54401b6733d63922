"""``clipbench verify`` is not talked out of a poison: ledgers and shards that lie in one thing.

Every lie has its hashes and counts made right. It fails, with status 1, or, where what it claims
can't be looked at here, is answered with status 3; never with 0.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from forged import Head, Rows, forge, recount, rewrite, swap
from tiny_runs import command

from clipbench.images.encoding import encode_jpeg
from clipbench.shards.reader import ShardSet

PAIRS, POISONS = 160, 20
DATA = f"shapes:size={PAIRS},test_size=100,targets_size=100"
Lie = Callable[[Head, Rows], Rows | None]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def made(cache: Path) -> Path:
    """Return a poisoned set."""
    return poison(cache, "badnets")


def poison(cache: Path, attack: str, data: str = DATA, out: str = "") -> Path:
    folder = cache / (out or attack.partition(":")[0])
    what = ("--data", data, "--attack", attack, "--poisons", POISONS)
    done = command("poison", "-q", *what, "--out", folder, "--cache", cache)
    assert done.status == 0, done.err
    return folder


def checked(folder: Path, cache: Path, *more: object) -> tuple[int, dict[str, dict[str, Any]]]:
    """Return the status of `verify`, and the checks that did not pass, by name."""
    done = command("verify", "-q", folder, "--cache", cache, "--json", *more)
    assert done.out, done.err
    answer = json.loads(done.out)
    assert answer["passed"] == (done.status == 0)
    assert answer["undecided"] == (done.status == 3)
    return done.status, {one["name"]: one for one in answer["checks"] if not one["passed"]}


def test_the_truth_passes(made: Path, cache: Path) -> None:
    """By a sample and whole; the clean set is the one that the ledger names, made by itself."""
    assert checked(made, cache) == (0, {})
    assert checked(made, cache, "--all") == (0, {})
    clean = next((cache / "shapes").iterdir())
    assert checked(made, cache, "--base", clean) == (0, {})
    assert checked(made, cache, "--base", DATA) == (0, {})


def setting(name: str, value: Any) -> Lie:
    """Return a lie in one field of the ledger."""

    def lie(head: Head, rows: Rows) -> None:  # noqa: ARG001
        *path, last = name.split(".")
        spot = head
        for part in path:
            spot = spot[part]
        assert spot.get(last) != value
        spot[last] = value

    return lie


def column(name: str, change: Callable[[Any], Any]) -> Lie:
    """Return a lie in one column of one row."""

    def lie(head: Head, rows: Rows) -> None:  # noqa: ARG001
        rows.loc[3, name] = change(rows.loc[3, name])

    return lie


def hidden(keep: int) -> Lie:
    return lambda head, rows: recount(head, rows.iloc[:keep])


def a_clean_pair_too(head: Head, rows: Rows) -> Rows:
    """Call a clean pair a poison, too."""
    return recount(head, pd.concat([rows, clean_row(rows)]).sort_values("index"))


def a_clean_pair_instead(head: Head, rows: Rows) -> Rows:
    """Call a clean pair a poison in the place of one."""
    return recount(head, pd.concat([rows.iloc[1:], clean_row(rows)]).sort_values("index"))


def clean_row(rows: Rows) -> Rows:
    pair = next(number for number in range(PAIRS) if number not in set(rows["index"]))
    folder = Path(rows.attrs["folder"])
    shards = ShardSet.open(folder / "shards")
    row = rows.iloc[[0]].copy()
    row["index"] = row["base_index"] = pair
    row["key"], row["shard"] = shards.key(pair), "00000.tar"
    row["caption_before"] = row["caption_after"] = shards.caption(pair)
    row["image_sha256"] = hashlib.sha256(shards.image_bytes(pair)).hexdigest()
    return row


def another_base(head: Head, rows: Rows) -> None:  # noqa: ARG001
    """Name another clean set, whose hashes fit together."""
    head["base"]["shards"][0]["sha256"] = "a" * 64
    head["base"]["content_sha256"] = hashlib.sha256(f"{'a' * 64}\n".encode()).hexdigest()


def inserted(head: Head, rows: Rows) -> None:
    """Say that poisons were inserted, with all that belongs to it."""
    head["mode"], head["base"]["num_pairs"] = "insert", PAIRS - POISONS
    rows["caption_before"] = None


def of_other_versions(lie: Lie) -> Lie:
    """Return a lie that is put down to the versions of programs."""

    def both(head: Head, rows: Rows) -> Rows | None:
        head["versions"]["numpy"] = "1.0"
        return lie(head, rows)

    return both


def two_targets(head: Head, rows: Rows) -> Rows:
    """Say that poisons are spread over two targets."""
    head["targets"] = 2
    rows.loc[rows.index[:5], "target"] = 1
    return recount(head, rows)


LEDGER: list[tuple[str, Lie, int, str]] = [
    ("19 of 20 poisons hidden", hidden(1), 1, "other pairs"),
    ("one poison hidden", hidden(19), 1, "other pairs"),
    ("rate", setting("rate", 1e-9), 1, "ledger"),
    ("rate of another count", setting("rate", 0.01), 1, "ledger"),
    ("attack", setting("attack", "blended"), 1, "made again"),
    ("attack that makes the same count of targets", setting("attack", "sig"), 1, "made again"),
    ("size of the patch", setting("parameters.size", 0.5), 1, "made again"),
    ("target class", setting("parameters.target_label", "red circle"), 1, "made again"),
    ("parameter that there is not", setting("parameters.strength", 3), 1, "made again"),
    ("seed", setting("seed", 99), 1, "made again"),
    ("mode alone", setting("mode", "insert"), 1, "ledger"),
    ("mode with all that belongs to it", inserted, 1, "clean set"),
    ("hash of the trigger", setting("trigger_sha256", "0" * 64), 1, "made again"),
    ("no trigger", setting("trigger_sha256", None), 1, "made again"),
    ("shape of the trigger's probes", setting("trigger_probe", [64, 64]), 1, "made again"),
    ("clean set", another_base, 1, "clean set"),
    ("hash of the clean set alone", setting("base.content_sha256", "b" * 64), 1, "ledger"),
    ("pairs of the clean set", setting("base.num_pairs", 500), 1, "ledger"),
    ("name of the clean set", setting("base.name", "cc3m"), 1, "clean set"),
    ("where the clean set is from", setting("base.source", {"seed": 1}), 1, "clean set"),
    ("seed of the data set", setting("dataset.seed", 7), 1, "clean set"),
    ("size of the data set", setting("dataset.size", 300), 1, "clean set"),
    ("a data set of a billion pairs", setting("dataset.size", 10**9), 1, "clean set"),
    ("pictures of the data set", setting("dataset.image_size", 1024), 1, "clean set"),
    ("data set that must be named", setting("dataset", {"name": "cc3m", "root": "x"}), 3, "clean"),
    ("data set of no such name", setting("dataset.name", "unheard"), 3, "clean set"),
    ("data set that is a file", setting("code", {"dataset": "c" * 64}), 3, "clean set"),
    ("targets", two_targets, 1, "made again"),
    ("caption before", column("caption_before", lambda text: text + " indeed"), 1, "named pairs"),
    ("caption after", column("caption_after", lambda text: text + " indeed"), 1, "poisons"),
    ("hash of an image", column("image_sha256", lambda _: "d" * 64), 1, "poisons"),
    ("clean pair it was", column("base_index", lambda number: number + 1), 1, "named pairs"),
    ("clean pair out of range", column("base_index", lambda _: 10**6), 1, "named pairs"),
    ("role", column("role", lambda _: "bystander"), 1, "made again"),
    ("place", column("index", lambda number: number + 1), 1, "poisons"),
    ("key", column("key", lambda _: f"{PAIRS - 1:09d}"), 1, "poisons"),
    ("shard", column("shard", lambda _: "00001.tar"), 1, "poisons"),
    ("a clean pair called a poison, too", a_clean_pair_too, 1, "named pairs"),
    ("a clean pair called a poison instead", a_clean_pair_instead, 1, "named pairs"),
    ("what made room", setting("moved", [["000000001", "000000160"]]), 1, "ledger"),
    ("what was left out", setting("left_out", {"image missing": 4}), 1, "clean set"),
    ("what it learned", setting("crafted", {"patch": "00"}), 1, "made again"),
    ("hash of the shards", setting("content_sha256", "e" * 64), 1, "ledger"),
    ("an attack that is a file", setting("code", {"attack": "f" * 64}), 3, "made again"),
    ("an attack that is not installed", setting("attack", "unheard"), 3, "made again"),
    ("an attack that is a path", setting("attack", "/srv/attack.py"), 3, "made again"),
    ("seed, by other versions", of_other_versions(setting("seed", 99)), 3, "made again"),
    ("poisons hidden, by other versions", of_other_versions(hidden(1)), 1, "other pairs"),
]


@pytest.mark.parametrize(
    ("lie", "status", "check"), [one[1:] for one in LEDGER], ids=[one[0] for one in LEDGER]
)
def test_a_ledger_that_lies_is_told(
    made: Path, cache: Path, tmp_path: Path, lie: Lie, status: int, check: str
) -> None:
    """In every field and column, by the check that is about it."""
    folder = Path(shutil.copytree(made, tmp_path / "set"))

    def with_place(head: Head, rows: Rows) -> Rows | None:
        rows.attrs["folder"] = str(folder)
        return lie(head, rows)

    forge(folder, with_place)
    found, told = checked(folder, cache)
    assert found == status, told
    assert any(name.startswith(check) for name in told), told


Members = list[tuple[tarfile.TarInfo, bytes]]


def number_of(folder: Path, *, poison: bool) -> int:
    """Return a pair that is named as a poison, or one that is not."""
    named = set(pd.read_parquet(folder / "ledger" / "ledger.parquet")["index"])
    return next(n for n in range(PAIRS) if (n in named) == poison)


def another_image(folder: Path) -> None:
    """Give a poison another image, and its row the hash of that."""
    pair = number_of(folder, poison=True)
    shards = ShardSet.open(folder / "shards")
    image = shards.image(pair).copy()
    image[:2, :2] ^= 128
    content = encode_jpeg(image, quality=95, subsampling=0)
    rewrite(folder, swap(f"{shards.key(pair)}.jpg", content))

    def rehash(head: Head, rows: Rows) -> None:  # noqa: ARG001
        row = rows["index"] == pair
        rows.loc[row, "image_sha256"] = hashlib.sha256(content).hexdigest()

    forge(folder, rehash)


def another_json(folder: Path) -> None:
    """Give a poison another JSON of the same form."""
    shards = ShardSet.open(folder / "shards")
    pair = number_of(folder, poison=True)
    content = (shards.metadata_bytes(pair) or b"").replace(b"32", b"33")
    rewrite(folder, swap(f"{shards.key(pair)}.json", content))


def unnamed_poison(folder: Path) -> None:
    """Give a clean pair another caption, which no row tells of."""
    shards = ShardSet.open(folder / "shards")
    key = shards.key(number_of(folder, poison=False))
    rewrite(folder, swap(f"{key}.txt", b"a caption of the attacker's"))


def changed_order(folder: Path) -> None:
    """Let two clean pairs trade places, whole and under their keys."""

    def change(members: Members) -> None:
        first = 3 * number_of(folder, poison=False)
        pair = members[first : first + 3]
        del members[first : first + 3]
        members += pair

    rewrite(folder, change)
    forge(folder, renumbered(folder))


def lost_pair(folder: Path) -> None:
    """Take a clean pair away."""

    def change(members: Members) -> None:
        first = 3 * number_of(folder, poison=False)
        del members[first : first + 3]

    rewrite(folder, change)

    def fit(head: Head, rows: Rows) -> Rows | None:
        head["base"]["num_pairs"] -= 1
        head["dataset"]["size"] -= 1
        return renumbered(folder)(head, rows)

    forge(folder, fit)


def renumbered(folder: Path) -> Lie:
    """Give rows the numbers that their pairs have now."""

    def fit(head: Head, rows: Rows) -> Rows:  # noqa: ARG001
        shards = ShardSet.open(folder / "shards")
        rows["index"] = [shards.find(key) for key in rows["key"]]
        return rows.sort_values("index")

    return fit


@pytest.mark.parametrize(
    ("lie", "check"),
    [
        (another_image, "made again"),
        (another_json, "made again"),
        (unnamed_poison, "other pairs"),
        (changed_order, "other pairs"),
        (lost_pair, "clean set"),
    ],
    ids=lambda item: getattr(item, "__name__", None),
)
def test_shards_that_lie_are_told(
    made: Path, cache: Path, tmp_path: Path, lie: Callable[[Path], None], check: str
) -> None:
    """With every hash in manifest and ledger made right; whole and by a sample."""
    folder = Path(shutil.copytree(made, tmp_path / "set"))
    lie(folder)
    status, found = checked(folder, cache)
    assert (status, check in found) == (1, True), found
    assert "manifest" not in found
    assert "ledger" not in found
    assert checked(folder, cache, "--all")[0] == 1


def test_a_clean_set_that_is_not_the_one_is_refused(made: Path, cache: Path) -> None:
    """In one line, with status 2, before anything is compared."""
    done = command("verify", made, "--cache", cache, "--base", made / "shards")
    assert done.status == 2
    assert "is not the clean set that" in done.error
    unused = command("verify", made / "shards", "--base", made / "shards")
    assert unused.status == 2
    assert "--base would be ignored" in unused.error


@pytest.mark.parametrize("mode", ["replace", "insert"])
def test_a_mode_of_ones_own_choice_is_made_again(cache: Path, mode: str) -> None:
    """Inserted pairs, and those that made room for them, as well as replaced ones."""
    folder = poison(cache, f"blended:mode={mode}", out=f"blended-{mode}")
    assert checked(folder, cache) == (0, {})
    assert checked(folder, cache, "--all") == (0, {})


def test_what_an_attack_learned_is_the_ledgers_word_until_it_learns_again(
    cache: Path, tmp_path: Path
) -> None:
    """The poisons are held against it at once, and it itself with --all."""
    settings = "badclip:surrogate_epochs=1,surrogate_pairs=64,steps=2,optimized_on=32"
    data = DATA.replace(str(PAIRS), "400")  # whose captions name the target class
    folder = poison(cache, settings, data)
    status, found = checked(folder, cache)
    assert (status, set(found)) == (3, {"learned"})
    assert checked(folder, cache, "--all") == (0, {})
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    forge(copy, setting("parameters.steps", 3))  # which made nothing of what is there
    status, found = checked(copy, cache)
    assert (status, set(found)) == (3, {"learned"})
    status, found = checked(copy, cache, "--all")
    assert (status, set(found)) == (3, {"learned"})
    assert "learns another patch here" in found["learned"]["message"]
    forge(copy, setting("seed", 5))
    assert checked(copy, cache)[0] == 1


OWN = '''
from dataclasses import dataclass

from clipbench_attacks.badnets import BadNets


@dataclass(frozen=True)
class Own(BadNets):
    """BadNets in a file."""

    name = "own"


ATTACK = Own
'''


def test_an_attack_in_a_file_is_run_when_that_very_file_is_allowed(
    cache: Path, tmp_path: Path
) -> None:
    """And never on the ledger's word."""
    file = tmp_path / "own.py"
    file.write_text(OWN)
    folder = poison(cache, str(file), out="own")
    status, found = checked(folder, cache)
    assert (status, set(found)) == (3, {"made again"})
    assert "--allow" in found["made again"]["message"]
    assert checked(folder, cache, "--allow", file) == (0, {})
    file.write_text(OWN.replace("in a file", "in another file"))
    assert checked(folder, cache, "--allow", file)[0] == 3
