"""Bad input: one line that says what is wrong, where, and what to do, and the right exit status."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import DATA, Place, command, numbers

from clipbench.errors import ClipbenchError, UnknownName
from clipbench.training import session

WARMUP = "unimodal_epochs=5,cross_modal_epochs=1"
ATTACKED = ("run", "--attack", "targeted")


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        # the poison rate
        ((*ATTACKED, "--rate", "0"), ["rate must be in (0, 1]", "'0'"]),
        ((*ATTACKED, "--rate", "-0.1"), ["rate must be in (0, 1]", "'-0.1'"]),
        ((*ATTACKED, "--rate", "1.5"), ["rate must be in (0, 1]", "'1.5'", "1.5%"]),
        ((*ATTACKED, "--rate", "150%"), ["rate must be in (0, 1]", "'150%'"]),
        ((*ATTACKED, "--rate", "nan"), ["rate must be", "'nan'"]),
        ((*ATTACKED, "--rate", "inf"), ["rate must be", "'inf'"]),
        ((*ATTACKED, "--rate", "many"), ["must be a number such as 0.01, 1e-6 or 1%", "'many'"]),
        ((*ATTACKED, "--rate", ""), ["must be a number such as 0.01"]),
        (
            (*ATTACKED, "--rate", "1e-5"),
            ["0.00001 gives no poisoned pair among 400", "at least 0.00125", "50000 pairs"],
        ),
        (
            ("run", "--attack", "targeted:mode=insert", "--rate", "1e-5"),
            ["no poisoned pair among 400", "at least 0.00125", "50000 pairs"],
        ),
        (ATTACKED, ["needs a rate", "--rate 1e-4 or --poisons 3"]),
        ((*ATTACKED, "--rate", "0.1", "--poisons", "3"), ["--rate or --poisons, not both"]),
        (("run", "--rate", "0.1"), ["poisons nothing and takes no rate", "--attack"]),
        ((*ATTACKED, "--poisons", "0"), ["poisons must be from 1"]),
        ((*ATTACKED, "--poisons", "-3"), ["poisons must be from 1"]),
        ((*ATTACKED, "--poisons", "2.5"), ["poisons must be int", "'2.5'"]),
        ((*ATTACKED, "--poisons", "401"), ["401 poisons do not fit into 400 pairs"]),
        # names that nobody knows
        (("run", "--attack", "targetd", "--rate", "0.1"), ["attack 'targetd'", "'targeted'"]),
        (
            ("run", "--defense", "saveclip"),
            ["defense 'saveclip'", "'safeclip'", "Known: "],
        ),
        (("run", "--data", "shape"), ["dataset 'shape'", "'shapes'"]),
        (("run", "--model", "shapes-31"), ["model 'shapes-31'", "'shapes-32'", "are known"]),
        (("run", "--model", "nowhere/x.json"), ["no model configuration", "nowhere/x.json"]),
        (("run", "--defense", "mine.py"), ["mine.py"]),
        (("rum",), ["command 'rum'", "'run'"]),
        # parameters
        (
            ("run", "--attack", "targeted:target=3", "--rate", "0.1"),
            ["targeted parameter 'target'", "'targets'"],
        ),
        (("run", "--defense", "safeclip:groth=1"), ["safeclip parameter 'groth'", "'growth'"]),
        (("run", "--data", "shapes:sise=400"), ["shapes parameter 'sise'", "'size'"]),
        (("run", "--set", "epoch=3"), ["training setting 'epoch'", "'epochs'"]),
        (("run", "--set", "epochs"), ["--set takes FIELD=VALUE"]),
        (("run", "--defense", "safeclip:cap=2"), ["safeclip.cap must be in (0, 1]", "2.0"]),
        (("run", "--data", "shapes:size=0"), ["size must be from 1", "Got 0"]),
        (("run", "--epochs", "0"), ["train.epochs must be from 1 to 100,000", "0"]),
        (("run", "--batch-size", "1"), ["train.batch_size must be from 2"]),
        (("run", "--lr", "nan"), ["train.lr must be a finite number"]),
        (("run", "--device", "tpu"), ["train.device must be auto, cpu"]),
        (("run", "--precision", "fp64"), ["train.precision must be", "'fp64'"]),
        (("run", "--seed", "-1"), ["seed must be from 0"]),
        (
            ("run", "--defense", f"safeclip:{WARMUP}", "--epochs", "6"),
            ["more epochs than its 6 of warm-up"],
        ),
        # more targets than poisons
        (
            ("run", "--attack", "targeted:targets=16", "--poisons", "8"),
            ["16 targets but 8 poisoned pairs", "at most 8"],
        ),
        # other commands
        (("train",), ["--shards"]),
        (("train", "--shards", "nowhere"), ["no file or folder ", "/nowhere; check the path"]),
        (("poison",), ["nothing to poison", "--attack"]),
        (("evaluate", "--checkpoint", "nowhere", "--model", "shapes-32"), ["no checkpoint"]),
        (("verify", "nowhere"), ["nowhere", "does not exist"]),
        (("leaderboard", "nowhere"), ["no file or folder nowhere"]),
        (("run", "--config", "nowhere.yaml"), ["no configuration file", "nowhere.yaml"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_command_is_told_before_any_work(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    line: tuple[str, ...],
    parts: list[str],
) -> None:
    """A command that cannot be done ends with status 2 and one line, and has written nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLIPBENCH_DATA", DATA)
    monkeypatch.setenv("CLIPBENCH_CACHE", str(tmp_path / "cache"))
    done = command(*line)
    assert done.status == 2
    assert done.out == ""
    assert [part for part in parts if part not in done.error] == []
    assert len(done.error) < 400
    assert [*tmp_path.iterdir()] == []


def test_a_name_out_of_hundreds_is_not_answered_with_all_of_them() -> None:
    """Of a long list the nearest names are shown, and the error travels between processes."""
    error = UnknownName("model", "ViT-B-23", [f"ViT-B-{n}" for n in range(30, 130)])
    assert "Did you mean 'ViT-B-" in str(error)
    assert "100 are known, among them ViT-B-" in str(error)
    assert len(str(error)) < 200
    again = pickle.loads(pickle.dumps(error))  # what a worker process sends to its parent
    assert (type(again), str(again), again.exit_status) == (UnknownName, str(error), 2)


# --------------------------------------------------------------------------- shards


Members = list[tuple[str, bytes]]
Edit = Callable[[Members], Members]
HURT = "000000003"


def replaced(name: str, content: bytes) -> Edit:
    """Return an edit that gives a member other content."""
    return lambda members: [(n, content if n == name else c) for n, c in members]


def without(name: str) -> Edit:
    """Return an edit that leaves a member out."""
    return lambda members: [member for member in members if member[0] != name]


def repeated(key: str) -> Edit:
    """Return an edit that adds a pair again at the end."""
    return lambda members: [*members, *(m for m in members if m[0].startswith(key))]


def first(count: int) -> Edit:
    """Return an edit that keeps the first members."""
    return lambda members: members[:count]


@pytest.fixture(scope="session")
def members(grid: tuple[Place, Any]) -> Members:
    """Return the files of some clean pairs."""
    with tarfile.open(grid[0].only("cache/shapes/*/00000.tar")) as tar:
        found = [tar.next() for _ in range(90)]
        return [(m.name, tar.extractfile(m).read()) for m in found]  # type: ignore[union-attr]


def write_tar(path: Path, members: Members) -> None:
    """Write files as a tar."""
    path.parent.mkdir()
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


@pytest.mark.parametrize(
    ("edit", "cut", "parts"),
    [
        (first(90), 20_000, ["00000.tar is cut off", "fetch or write it again"]),
        (first(90), 0, ["00000.tar is empty", "write it again"]),
        (replaced(f"{HURT}.jpg", b"no image"), None, [f"key {HURT}", "not a readable JPEG"]),
        (replaced(f"{HURT}.jpg", b""), None, [f"key {HURT}", "not a readable", "remove the key"]),
        (replaced(f"{HURT}.txt", b"\xff\xff"), None, [f"key {HURT}", "not UTF-8", "UTF-8 or"]),
        (without(f"{HURT}.txt"), None, [f"no caption for key {HURT}", "remove the key"]),
        (without(f"{HURT}.jpg"), None, [f"no image for key {HURT}", "remove the key"]),
        (repeated(HURT), None, [f"key {HURT} twice", "must be unique"]),
        (first(3), None, ["one pair", "at least two"]),
    ],
    ids=["cut", "empty", "image", "no bytes", "caption", "no caption", "no image", "twice", "one"],
)
def test_bad_shards_are_named(
    place: Place, members: Members, edit: Edit, cut: int | None, parts: list[str]
) -> None:
    """Training on damaged shards ends with status 2 and a line that names shard and key."""
    folder = place.folder / "shards"
    write_tar(folder / "00000.tar", edit(members))
    if cut is not None:
        os.truncate(folder / "00000.tar", cut)
    done = place.do("train", "--shards", folder, "--epochs", "1")
    assert done.status == 2
    assert str(folder) in done.error
    assert [part for part in parts if part not in done.error] == []
    assert not [*place.folder.rglob("*.safetensors")]
    verified = command("verify", folder)
    is_sound = "one pair" in parts  # which is too few to train on
    assert verified.status == (0 if is_sound else 1)
    assert ("FAILED" in verified.out) != is_sound


def test_a_folder_without_shards_is_named(place: Place) -> None:
    """An empty folder is told from one whose shards lie elsewhere."""
    folder = place.folder / "empty"
    folder.mkdir()
    done = place.do("train", "--shards", folder)
    assert (done.status, str(folder) in done.error) == (2, True)
    assert "is empty; it must hold shards (*.tar)" in done.error
    (folder / "shards").mkdir()
    (folder / "shards" / "00000.tar").touch()
    assert "its shards are in" in place.do("train", "--shards", folder).error


def test_folders_that_cannot_be_are_named(place: Place) -> None:
    """A file where a folder must be is one line with the path."""
    file = place.folder / "file"
    file.touch()
    for option in ("--out", "--cache"):
        assert str(file) in command("run", "--data", DATA, option, file).error
    done = place.do("run", "--epochs", "1", "--out", file / "runs")
    assert done.status in (1, 2)
    assert str(file / "runs") in done.error
    assert "Not a directory" in done.error


# --------------------------------------------------------------------------- damaged files

RUN = ("--attack", "badnets", "--poisons", "8", "--epochs", "1")
POISON = ("--data", DATA, *RUN[:4])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Return a place with one finished run; tests work on copies of it."""
    place = Place(tmp_path_factory.mktemp("finished"))
    place.run(*RUN)
    return place


def cut(path: Path) -> None:
    """Take the second half of a file away, as a full disk or a broken copy does."""
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    """Leave a file without a byte, as a power cut does whose name alone was on the disk."""
    os.truncate(path, 0)


def not_a_result(path: Path) -> None:
    """Take a field out of a result."""
    result = json.loads(path.read_text())
    del result["metrics"]
    path.write_text(json.dumps(result))


def no_configuration(path: Path) -> None:
    """Write JSON that is none."""
    path.write_text("[]")


def scribble(path: Path) -> None:
    """Write nonsense into a file, or make one."""
    path.write_bytes(b"nonsense")


def of_another_run(path: Path) -> None:
    """Change the seed in a configuration."""
    path.write_text(json.dumps({**json.loads(path.read_text()), "seed": 7}))


def pickled(path: Path) -> None:
    """Write a pickle that would make a file when it is loaded in the usual way."""

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (path.with_name("executed"),))

    path.write_bytes(pickle.dumps(Evil(), protocol=2))


TRAINED = "result.json", "train/record.json"  # without these a run trains again


@pytest.mark.parametrize(
    ("missing", "name", "damage", "status", "parts", "remedy"),
    [
        ((), "result.json", not_a_result, 2, ["result.json"], "it"),
        (TRAINED[:1], "config.json", of_another_run, 2, ["another run", "--out"], "folder"),
        (TRAINED[:1], "config.json", no_configuration, 2, ["is damaged; delete"], "folder"),
    ],
)
def test_damaged_files_of_a_run_are_named_and_the_remedy_helps(
    *,
    finished: Place,
    place: Place,
    missing: tuple[str, ...],
    name: str,
    damage: Callable[[Path], object],
    status: int,
    parts: list[str],
    remedy: str,
) -> None:
    """A damaged file is one line with its path; when done as it says, the run ends as before."""
    shutil.copytree(finished.folder, place.folder, dirs_exist_ok=True)
    folder = place.only("runs/*")
    for file in missing:
        (folder / file).unlink()
    damage(folder / name)
    done = place.do("run", *RUN)
    assert done.status == status
    assert str(folder) in done.error
    assert [part for part in parts if part not in done.error] == []
    assert not [*folder.rglob("executed")]
    if remedy == "it":
        (folder / name).unlink()
    else:
        shutil.rmtree((folder / name).parent)
    assert place.run(*RUN)[0]["metrics"] == finished.result()["metrics"]


@pytest.mark.filterwarnings("always:.*as by a power cut")
@pytest.mark.parametrize(
    ("missing", "torn", "damage", "told"),
    [
        ((), "result.json", empty, "result.json was cut off, as by a power cut; it is made again"),
        (TRAINED[:1], "config.json", cut, "config.json was cut off, as by a power cut; it is made"),
        (TRAINED[:1], "train/record.json", empty, "it is trained again"),
        (TRAINED[:1], "train/exposures.npy", empty, "it is trained again"),
        (TRAINED[:1], "train/trace/0000.npz", cut, "it is trained again"),
        (TRAINED[:1], "model/open_clip_model.safetensors", cut, "it is trained again"),
        (TRAINED, "train/checkpoint.pt", scribble, "the training starts over"),
        (TRAINED, "train/checkpoint.pt", pickled, "the training starts over"),
    ],
)
def test_what_a_power_cut_tore_of_a_run_is_made_again(
    *,
    finished: Place,
    place: Place,
    missing: tuple[str, ...],
    torn: str,
    damage: Callable[[Path], object],
    told: str,
) -> None:
    """The same command makes it again, says so in one line, and ends with the same numbers."""
    shutil.copytree(finished.folder, place.folder, dirs_exist_ok=True)
    folder = place.only("runs/*")
    for file in missing:
        (folder / file).unlink()
    damage(folder / torn)
    done = place.do("run", *RUN)
    assert done.status == 0, done.err
    (line,) = [line for line in done.err.splitlines() if line.startswith("warning: ")]
    assert told in line
    assert str(folder) in line
    assert not [*folder.rglob("executed")]
    assert numbers(place.result()) == numbers(finished.result())


def test_a_look_at_the_plan_leaves_a_torn_result(finished: Place, place: Place) -> None:
    """Nothing is removed by `--dry-run`; the run that is planned replaces it."""
    shutil.copytree(finished.folder, place.folder, dirs_exist_ok=True)
    empty(torn := place.only("runs/*/result.json"))
    assert place.do("run", *RUN, "--dry-run").status == 0
    assert torn.read_bytes() == b""


@pytest.mark.parametrize("missing", [(), ("result.json",)], ids=["whole", "not evaluated"])
def test_a_checkpoint_that_a_power_cut_brought_back_goes(
    finished: Place, place: Place, missing: tuple[str, ...]
) -> None:
    """Its removal had not reached the disk; the same command removes it again."""
    shutil.copytree(finished.folder, place.folder, dirs_exist_ok=True)
    folder = place.only("runs/*")
    for file in missing:
        (folder / file).unlink()
    (folder / "train" / "checkpoint.pt").write_bytes(b"of a training that has ended")
    place.run(*RUN)
    assert not (folder / "train" / "checkpoint.pt").exists()
    assert numbers(place.result()) == numbers(finished.result())


def test_a_leaderboard_without_a_sound_result_says_so(finished: Place, place: Place) -> None:
    """A damaged result is a warning beside others; alone it is an error."""
    shutil.copytree(finished.out, place.out)
    sound = place.only("runs/*/result.json")
    (place.out / "broken").mkdir()
    (place.out / "broken" / "result.json").write_text("{")
    done = command("leaderboard", place.out)
    assert (done.status, "badnets" in done.out) == (0, True)
    assert done.err.startswith("warning: ")
    assert str(place.out / "broken") in done.err
    sound.unlink()
    done = command("leaderboard", place.out)
    assert (done.status, done.out) == (2, "")
    assert "No result that was found can be read" in done.error


@pytest.mark.filterwarnings("always:.*as by a power cut")
def test_damaged_sets_of_the_cache_are_made_again(finished: Place, place: Place) -> None:
    """All that clipbench made itself is; a set says so, what is derived from it need not."""
    shutil.copytree(finished.folder, place.folder, dirs_exist_ok=True)
    again = (*RUN, "--out", place.folder / "again")
    for file in [*place.cache.glob("decoded/*"), *place.cache.glob("*/*/**/index-*")]:
        cut(file)
    assert place.run(*again)[0]["metrics"] == finished.result()["metrics"]
    for number, pattern in enumerate(
        [
            "poisoned/*/ledger/ledger.json",
            "poisoned/*/ledger/ledger.parquet",
            "poisoned/*/shards/manifest.json",
            "poisoned/*/shards/00000.tar",
            "shapes/*/manifest.json",
            "shapes/*/00000.tar",
        ]
    ):
        before = place.shards()
        file = place.only(f"cache/{pattern}")
        (cut if number % 2 else empty)(file)
        done = command("poison", "--cache", place.cache, *POISON)
        assert done.status == 0, done.err
        (line,) = [line for line in done.err.splitlines() if line.startswith("warning: ")]
        assert "is damaged or cut off, as by a power cut; it is made again" in line
        assert place.shards() == before


def test_a_set_that_somebody_named_is_not_made_again(finished: Place, place: Place) -> None:
    """What lies outside the cache may be anybody's: it is refused in a line, and stays."""
    shutil.copytree(finished.folder, place.folder, dirs_exist_ok=True)
    own = place.folder / "own"
    line = ("poison", "--cache", place.cache, *POISON, "--out", own)
    assert command(*line).status == 0
    empty(own / "ledger" / "ledger.json")
    done = command(*line)
    assert done.status == 2
    assert str(own / "ledger" / "ledger.json") in done.error
    assert (own / "shards" / "00000.tar").exists()


def test_weights_of_another_model_are_refused(finished: Place, tmp_path: Path) -> None:
    """Weights that do not fit, or are none, are told by the file, for training and evaluation."""
    weights = finished.only("runs/*/model/open_clip_model.safetensors")
    other = json.loads(weights.with_name("open_clip_config.json").read_text())["model_cfg"]
    other["embed_dim"] *= 2
    (tmp_path / "wide.json").write_text(json.dumps(other))
    line = ("--checkpoint", weights, "--data", DATA, "--model")
    for done in (
        command("evaluate", *line, tmp_path / "wide.json"),
        Place(tmp_path / "place").do(
            *("run", "--epochs", "1", "--model", tmp_path / "wide.json", "--pretrained", weights)
        ),
    ):
        assert done.status == 2
        assert f"{weights} is a checkpoint of another model" in done.error
        assert "Give the model it was trained as" in done.error
    for damage, part in ((cut, "cannot be read"), (scribble, "cannot be read")):
        broken = tmp_path / "broken.safetensors"
        shutil.copy(weights, broken)
        damage(broken)
        done = command("evaluate", "--checkpoint", broken, *line[2:], "shapes-32")
        assert (done.status, part in done.error, str(broken) in done.error) == (2, True, True)
    done = command("evaluate", "--checkpoint", finished.out, *line[2:], "shapes-32")
    assert "There is no checkpoint" in done.error


def test_training_does_not_take_up_another_training(
    finished: Place, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint of other settings in a run's folder is refused, not continued."""

    def stop(*_: object) -> None:
        raise ClipbenchError("stopped before the weights")

    other = Place(place.folder / "other")
    with monkeypatch.context() as patch:
        patch.setattr(session, "save_model", stop)
        assert other.do("run", *RUN, "--seed", "1").error == "stopped before the weights"
    mine = Place(place.folder / "mine")
    shutil.copytree(finished.folder, mine.folder)
    for name in TRAINED:
        mine.only(f"runs/*/{name}").unlink()
    target = mine.only("runs/*/train") / "checkpoint.pt"
    shutil.copy(other.only("runs/*/train/checkpoint.pt"), target)
    done = mine.do("run", *RUN)
    assert done.status == 2
    assert f"{target} is the checkpoint of a training run with other settings" in done.error
