"""A run is known by what its data hold: the same data are one run wherever they lie."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import held_out_layouts
import loose_layouts
import pytest
from commands import Bench, command
from own_set import write_crawl

from clipbench.configuration.settings import TrainSettings
from clipbench.plugins import registry
from clipbench.results.result import config_hash
from clipbench.text.locations import location_fields

ATTACK = ("--attack", "badnets", "--poisons", 2)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that commands are typed in, with shards and test images in it."""
    loose_layouts.shards(tmp_path / "crawl")
    held_out_layouts.image_folder(tmp_path / "tests")
    monkeypatch.chdir(tmp_path)
    return tmp_path


EVAL = ("--eval", "torchvision:dataset=ImageFolder,root=tests,reserve=1")


def ids(bench: Bench) -> set[str]:
    """Return the ids of all runs that are done."""
    return {json.loads(file.read_text())["id"] for file in bench.runs.glob("*/result.json")}


@pytest.fixture
def own(bench: Bench, tmp_path: Path) -> Bench:
    """Return a bench that no other test has runs in."""
    return Bench(tmp_path / "own", bench.model)


def test_the_same_data_are_one_run_by_every_path(own: Bench, here: Path) -> None:
    """Relative, absolute, through a link, and moved: done already, in one folder, one row."""
    first = own.run("./crawl", *EVAL, *ATTACK)
    (here / "linked").symlink_to(here / "crawl")
    absolute = f"torchvision:dataset=ImageFolder,root={here / 'tests'},reserve=1"
    assert own.run(here / "crawl", "--eval", absolute, *ATTACK) == first
    assert own.run("./linked", *EVAL, *ATTACK) == first
    (here / "crawl").rename(here / "moved")
    (here / "tests").rename(here / "elsewhere")
    spec = "torchvision:dataset=ImageFolder,root=elsewhere,reserve=1"
    assert own.run("./moved", "--eval", spec, *ATTACK) == first
    assert ids(own) == {first["id"]}
    clean = own.run(here / "moved", "--eval", spec)
    judged = own.run("./moved", "--eval", spec, *ATTACK)
    assert judged["control"] == {"id": clean["id"], "created": clean["created"]}
    assert len(list(own.cache.glob("poisoned/*"))) == 1


def test_the_same_path_to_other_pairs_is_another_run(
    own: Bench, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Typed in another folder, or after the shards changed: never the result of the others."""
    first = own.run("./crawl", *EVAL)
    other = here / "other"
    loose_layouts.shards(other / "crawl", first=5)
    shutil.copytree(here / "tests", other / "tests")
    monkeypatch.chdir(other)
    second = own.run("./crawl", *EVAL)
    loose_layouts.shards(other / "crawl", first=9)
    third = own.run("./crawl", *EVAL)
    assert len(ids(own)) == 3
    content = [result["data"]["content_sha256"] for result in (first, second, third)]
    assert len({*content}) == 3
    for result, sha256 in zip((first, second, third), content, strict=True):
        assert result["data"]["parameters"]["path"] == f"sha256:{sha256}"
        assert result["names"]["data.path"] == "crawl"


def test_other_test_images_are_another_run(own: Bench, here: Path) -> None:
    """A test image that was replaced, under its name and in its size, changes what is measured."""
    first = own.run("./crawl", *EVAL)
    image = next((here / "tests").rglob("*.jpg"))
    data = bytearray(image.read_bytes())
    data[-20] ^= 1
    image.write_bytes(data)
    assert own.run("./crawl", *EVAL)["id"] != first["id"]


@pytest.mark.filterwarnings("default:files that .* was imported from have changed")
def test_an_image_that_is_replaced_makes_another_set(own: Bench, here: Path) -> None:
    """Pairs in single files are imported anew once a file has changed under the same list."""
    path = loose_layouts.csv_file(here)
    spec = f"csv:path={path.name}"
    first = own.run(spec, *EVAL)
    assert own.run(f"csv:path={path}", *EVAL)["id"] == first["id"]
    image = sorted(here.rglob("*.jpg"))
    (one, *_) = [file for file in image if "tests" not in file.parts]
    one.write_bytes(loose_layouts.jpeg(77))
    done = own.do(spec, *EVAL)
    assert "have changed; they are imported again" in done.err
    second = done.result
    assert second["id"] != first["id"]
    assert second["data"]["content_sha256"] != first["data"]["content_sha256"]


def test_weights_that_changed_are_another_training(own: Bench, here: Path) -> None:
    """`--pretrained` names a file; the training is known by what is in it."""
    for seed in (0, 1):
        options = (*EVAL, "--seed", seed)
        own.run("./crawl", *options)
    zero, one = sorted(own.runs.glob("*_s?_*/model/open_clip_model.safetensors"))
    weights = here / "weights.safetensors"
    line = ["train", "--shards", "crawl", "--data", "./crawl", "--model", own.model, "--epochs", 1]
    line += ["--batch-size", 8, "--warmup", 0, "--out", own.runs, "--cache", own.cache, "-q"]
    trained = []
    for source in (zero, one, zero):
        shutil.copy(source, weights)
        trained.append(command(*line, "--pretrained", weights.name).out)
    assert trained[0] == trained[2] != trained[1]


def test_records_hold_no_path(own: Bench, here: Path) -> None:
    """What a run writes to be sent names files by content; where they lie stays in config.json."""
    result = own.run(here / "crawl", *EVAL, *ATTACK)
    assert str(here) not in json.dumps(result)
    assert {"data.path": "crawl", "evals[0].root": "tests"}.items() <= result["names"].items()
    (folder,) = (path for path in own.runs.iterdir() if path.is_dir())
    assert folder.name == f"badnets_2poisons_none_s0_{result['id']}"
    config = json.loads((folder / "config.json").read_text())
    assert config["data"]["path"] == str(here / "crawl")
    (ledger,) = own.cache.glob("poisoned/*/ledger/ledger.json")
    assert str(here) not in ledger.read_text()


@pytest.mark.usefixtures("here")
def test_folders_named_after_the_id_alone_are_found(own: Bench) -> None:
    """As an earlier clipbench named them, or with a beginning that a person chose."""
    first = own.run("./crawl", *EVAL)
    (folder,) = (path for path in own.runs.iterdir() if path.is_dir())
    for name in (first["id"], f"my-best-run_{first['id']}"):
        folder = folder.rename(own.runs / name)
        done = own.do("./crawl", *EVAL)
        assert done.result == first
        assert [path.name for path in own.runs.iterdir() if path.is_dir()] == [name]


def test_the_plan_says_which_folder_and_which_run(own: Bench, here: Path) -> None:
    """Pairs that are not imported yet are named once they are."""
    done = command("run", "--data", "./crawl", *EVAL, "--model", own.model, "--dry-run")
    assert "data     shards ./crawl, " in done.out, done.err
    path = loose_layouts.csv_file(here)
    line = ["run", "--data", f"csv:path={path}", *EVAL, "--model", own.model, "--epochs", 1]
    line += ["--batch-size", 8, "--cache", own.cache, "--out", own.runs]
    planned = command(*line, "--dry-run").out
    assert f"folder   {own.runs}/clean_none_s0_..., named when its pairs are there" in planned
    assert command(*line, "-q").status == 0
    (folder,) = (path for path in own.runs.iterdir() if path.is_dir())
    assert f"folder   {folder}" in command(*line, "--dry-run").out


def test_what_says_where_something_lies_is_known_by_its_type() -> None:
    """One list of such parameters, of all plugins and the settings, made from their types."""
    found: dict[str, list[str]] = {"train": sorted(location_fields(TrainSettings))}
    for kind in registry.KINDS:
        for listed in registry.survey(kind):
            if listed.cls is not None and (fields := location_fields(listed.cls)):
                found[listed.name] = sorted(fields)
    surrogates = ["surrogate_model", "surrogate_weights"]
    assert found == {
        "train": ["model", "pretrained"],
        "adaptive": surrogates,
        "badclip": surrogates,
        "cc3m": ["images", "mapping", "path"],
        "clip_benchmark": ["root"],
        "clipscore": ["model", "weights"],
        "coco": ["annotations", "images"],
        "coco_retrieval": ["captions", "images", "karpathy"],
        "csv": ["images", "path"],
        "icons": ["archive"],
        "own": ["classes", "path"],
        "imagenet": ["labels", "root", "synsets", "train"],
        "shards": ["path"],
        "text_targeted": surrogates,
        "torchvision": ["classnames", "root", "templates"],
        "visual_genome": ["annotations", "images"],
    }


# -------------------------------------------------------------------------- what leaves the machine


def test_a_submitted_result_is_made_again_where_its_data_lie(own: Bench, here: Path) -> None:
    """It asks where they lie, takes no others, and is reproduced from a folder that was moved."""
    result = own.run("./crawl", *EVAL, *ATTACK)
    (folder,) = (path for path in own.runs.iterdir() if path.is_dir())
    board = here / "board"
    named = ("--name", "data.path=our-crawl", "--name", "evals[0].root=our-tests")
    assert command("submit", folder, "--to", board, *named, "-q").status == 0
    (file,) = board.iterdir()
    kept = json.loads(file.read_text())
    assert {"data.path": "our-crawl", "evals[0].root": "our-tests"}.items() <= kept["names"].items()
    assert str(here) not in file.read_text()
    assert "(path=our-crawl@" in command("leaderboard", board, "--format", "csv").out
    (here / "crawl").rename(here / "moved")
    line = ["reproduce", file, "--out", here / "again", "--cache", own.cache, "-q"]
    assert "--where data.path=PATH --where evals[0].root=PATH" in command(*line).error
    line += ["--where", "evals[0].root=tests", "--where", f"train.model={own.model}"]
    loose_layouts.shards(here / "others", first=5)
    assert "is not what the result was made with" in command(*line, "--data", "others").error
    assert not (here / "again").exists()
    done = command(*line, "--data", "moved")
    assert (done.status, done.out.splitlines()[-1]) == (0, f"{result['id']} is reproduced."), (
        done.err
    )


def test_a_run_of_ones_own_is_made_again_without_a_word(own: Bench, here: Path) -> None:
    """Its config.json says where everything lies, in whatever folder the command is typed."""
    own.run("./crawl", *EVAL)
    (folder,) = (path for path in own.runs.iterdir() if path.is_dir())
    done = command("reproduce", folder, "--out", here / "again", "--cache", own.cache, "-q")
    assert done.status == 0, done.err


SECRET = "hf_NotARealToken"


def test_no_record_holds_a_token(own: Bench, here: Path) -> None:
    """A command is told of as redacted, in files and words, and so is the folder of the cache."""
    shutil.copy(here / "crawl" / "00000.tar", here / "source.tar")
    data = f"pipe:env HEADER='Authorization: Bearer {SECRET}' cat source.tar"
    done = own.do(data, *EVAL, *ATTACK)
    warning = "data.path may hold a password or a token; what is recorded is pipe:env (redacted)"
    assert warning in done.err
    assert SECRET not in done.err + done.out
    assert command("submit", own.runs, "--to", here / "board", "-q").status == 0
    files = [file for place in (own.folder, here / "board") for file in place.rglob("*")]
    texts = [file for file in files if file.is_file() and SECRET.encode() in file.read_bytes()]
    assert texts == []
    assert done.result["names"]["data.path"] == "pipe"
    again = own.do(data, *EVAL, *ATTACK)
    assert again.result == done.result
    assert own.run(here / "source.tar", *EVAL, *ATTACK) == done.result


def test_a_result_with_a_token_in_it_is_not_taken_in(own: Bench, here: Path) -> None:
    """As an earlier clipbench wrote them; one with a path is, and flagged."""
    result = own.run("./crawl", *EVAL)
    told = {}
    for path in ("pipe:curl -H 'Authorization: Bearer x' http://h/0.tar", "/data/company/crawl"):
        old = json.loads(json.dumps(result))
        old["config"]["data"]["path"] = old["data"]["parameters"]["path"] = path
        old["config_sha256"] = config_hash(old["config"])
        old["id"] = old["config_sha256"][:16]
        (here / "old.json").write_text(json.dumps(old))
        told[path[:4]] = command("submit", here / "old.json", "--to", here / "board")
    assert "holds a command, or an address that may hold a password" in told["pipe"].error
    assert "it names its data by a path" in told["/dat"].err
    assert command("leaderboard", here / "board").status == 0


def test_test_data_that_moved_are_named_beside_a_ledger(own: Bench, here: Path) -> None:
    """`evaluate --ledger` measures on what `--eval` names; of others it says that they are such."""
    own.run("./crawl", *EVAL)
    (folder,) = (path for path in own.runs.iterdir() if path.is_dir())
    line = ["poison", "--data", "./crawl", *EVAL, *ATTACK[:4], "--out", "set", "--cache", own.cache]
    assert command(*line, "-q").status == 0
    measure = ["evaluate", "--checkpoint", folder, "--model", own.model, "--cache", own.cache]
    measure += ["--ledger", "set", "--json"]
    first = command(*measure)
    assert first.result["metrics"]["attack_success"]["n"] > 0
    (here / "tests").rename(here / "moved")
    assert "name those to measure on with --eval" in command(*measure).error
    spec = "torchvision:dataset=ImageFolder,root=moved,reserve=1"
    second = command(*measure, "--eval", spec)
    assert (second.result["metrics"], second.err) == (first.result["metrics"], "")
    next((here / "moved").rglob("*.jpg")).write_bytes(loose_layouts.jpeg(99))
    assert "are not those that the ledger was made with" in command(*measure, "--eval", spec).err


def test_own_pairs_that_changed_are_not_measured_on_beside_a_ledger(own: Bench, here: Path) -> None:
    """Others would be held out, some of which were trained on, and none of them is a target."""
    own.run("./crawl", *EVAL)
    (folder,) = (path for path in own.runs.iterdir() if path.is_dir())
    write_crawl(here / "mine", (150, 60))
    line = ["poison", "--data", "own:path=mine", "--attack", "targeted:targets=2", "--poisons", 4]
    assert command(*line, "--out", "set", "--cache", own.cache, "-q").status == 0
    measure = ["evaluate", "--checkpoint", folder, "--model", own.model, "--cache", own.cache]
    measure += ["--ledger", "set", "--json"]
    first = command(*measure).result["metrics"]
    (here / "mine").rename(here / "moved")
    write_crawl(here / "mine", (150, 61))
    assert "have changed; name those to measure on with --data" in command(*measure).error
    others = "are not those that the ledger was made with; success is measured on others"
    for typed in (
        ("--data", "own:path=mine"),
        ("--data", "own:path=moved,seed=1"),
        EVAL,
    ):
        assert others in command(*measure, *typed).err
    moved = command(*measure, "--data", "own:path=moved")
    assert moved.result["metrics"] == first
    assert others not in moved.err


@pytest.mark.parametrize("said", [3, 10_000])
def test_a_stale_sizes_json_is_told_of(own: Bench, here: Path, said: int) -> None:
    """What is there counts, in the plan and in the run; the file of other shards gets a word."""
    result = own.run("./crawl", *EVAL, *ATTACK)
    (here / "crawl" / "sizes.json").write_text(json.dumps({"00000.tar": said}))
    line = ["run", "--data", "./crawl", *EVAL, "--attack", "badnets", "--rate", "20%"]
    line += ["--model", own.model, "--epochs", 1, "--batch-size", 8, "--warmup", 0]
    done = command(*line, "--out", own.runs, "--cache", own.cache, "--json")
    assert done.status == 0, done.err
    assert f"sizes.json counts {said:,} pairs in shards that have" in done.err
    assert f"shards ./crawl, {result['data']['pairs']} pairs" in done.err
