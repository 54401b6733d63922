"""`clipbench detect`: every pair scored, a table, a page, and how well scores point at poison."""

from __future__ import annotations

import base64
import html
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from clipbench.cli import main
from clipbench.images.encoding import encode_jpeg
from clipbench.shards.reader import ShardSet
from clipbench.shards.shard_writer import Sample
from clipbench.shards.writer import write_set

DATA = "shapes:size=600,test_size=100,targets_size=100"
SHORT = ["--epochs", "2", "--warmup", "2", "--quiet"]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Any:
    """Compute with one thread, as OMP_NUM_THREADS=1 does."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set with 30 poisons of a backdoor among 600 pairs, and its ledger."""
    folder = tmp_path_factory.mktemp("poisoned")
    line = ["poison", "--data", DATA, "--attack", "badnets", "--rate", "5%", "-q"]
    assert main([*line, "--cache", str(folder / "cache"), "--out", str(folder / "set")]) == 0
    return folder


def detected(
    poisoned: Path, out: Path, capsys: pytest.CaptureFixture[str], *arguments: str
) -> dict[str, Any]:
    """Run the command on the poisoned set and return what it printed."""
    capsys.readouterr()
    line = ["detect", "--data", DATA, "--shards", str(poisoned / "set" / "shards"), "--json"]
    places = ["--cache", str(poisoned / "cache"), "--out", str(out)]
    status = main([*line, *places, *SHORT, *arguments])
    printed = capsys.readouterr()
    assert status == 0, printed.err
    found: dict[str, Any] = json.loads(printed.out)
    return found


def test_every_pair_is_scored_by_every_method_and_the_ledger_judges(
    poisoned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Scores are in the table with their ranks; metrics are those of these scores."""
    ledger = str(poisoned / "set" / "ledger")
    methods = ["--method", "dao,kdist", "--method", "clipscore:trusted_size=200"]
    found = detected(poisoned, tmp_path, capsys, *methods, "--ledger", ledger, "--drop", "0.2")
    table = pd.read_parquet(tmp_path / "scores.parquet")
    shards = ShardSet.open(poisoned / "set" / "shards")
    assert table["key"].tolist() == [shards.key(number) for number in range(600)]
    marked = np.zeros(600, dtype=bool)
    marked[pd.read_parquet(poisoned / "set" / "ledger" / "ledger.parquet")["index"]] = True
    assert list(found["metrics"]) == ["dao", "kdist", "clipscore"]
    for name, metrics in found["metrics"].items():
        scores, ranks = table[f"{name} score"], table[f"{name} rank"]
        assert scores.notna().all()
        assert sorted(ranks) == list(range(1, 601))
        assert scores[ranks.argmin()] == scores.min()
        poison, clean = scores[marked].to_numpy()[:, None], scores[~marked].to_numpy()
        lower = (poison < clean).mean() + (poison == clean).mean() / 2
        assert metrics["auroc"]["value"] == pytest.approx(lower, abs=1e-6)
        assert metrics["poison_kept"]["k"] == int((ranks[marked] > 120).sum())
    assert json.loads((tmp_path / "detection.json").read_text())["metrics"] == found["metrics"]


def test_a_training_defense_that_splits_is_a_method_too(
    poisoned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SafeCLIP's last similarities are its scores; without a ledger there are no metrics."""
    method = "safeclip:unimodal_epochs=0,cross_modal_epochs=1"
    found = detected(poisoned, tmp_path, capsys, "--method", method)
    scores = pd.read_parquet(tmp_path / "scores.parquet")["safeclip score"]
    assert found["metrics"] == {}
    assert scores.between(-1, 1).all()
    assert scores.nunique() > 500


def test_a_second_run_gives_the_same_table(
    poisoned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was trained is taken up where it stopped: nothing changes, to the bit."""
    tables = []
    for name in ("one", "two"):
        detected(poisoned, tmp_path / name, capsys, "--method", "kdist:drop=0.3")
        tables.append((tmp_path / name / "scores.parquet").read_bytes())
    assert tables[0] == tables[1]


def test_the_page_shows_the_lowest_scores_and_runs_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Captions and keys are text, whatever is in them; pictures are small and made anew."""
    rng = np.random.default_rng(0)

    def make(start: int, stop: int) -> list[Sample]:
        hostile = "<script>alert(1)</script> & 'a' \"b\" " + "x" * 1000
        return [
            Sample(
                encode_jpeg(rng.integers(0, 256, (400, 300, 3)).astype(np.uint8)),
                "jpg",
                f"{hostile} {number}",
                {},
            )
            for number in range(start, stop)
        ]

    write_set(tmp_path / "set", 80, make, name="hostile", source={}, workers=0)
    line = ["detect", "--data", DATA, "--shards", str(tmp_path / "set"), "--method", "kdist"]
    places = ["--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "out")]
    assert main([*line, *places, *SHORT, "--show", "7"]) == 0
    capsys.readouterr()
    page = (tmp_path / "out" / "suspicious.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "default-src 'none'" in html.unescape(page)
    assert max(map(len, re.findall(r"<p>(.*?)</p>", page))) < 500
    pictures = re.findall(r"data:image/jpeg;base64,([^\"]+)", page)
    assert len(pictures) == 7
    with Image.open(io.BytesIO(base64.b64decode(pictures[0]))) as picture:
        assert picture.size == (120, 160)
    table = pd.read_parquet(tmp_path / "out" / "scores.parquet").sort_values("kdist rank")
    shown = re.findall(r'"facts">\d+\. (\S+), score', page)
    assert shown == table["key"].tolist()[:7]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "clip"], "'clip' scores no pairs"),
        (["--method", "dao,random_removal"], "'random_removal' scores no pairs"),
        (["--method", "dao,safeclip"], "safeclip needs more epochs than its 2 of warm-up"),
        (["--method", "doa"], "Did you mean 'dao'"),
        (["--method", "dao,,slof"], "empty item"),
    ],
)
def test_what_scores_nothing_is_refused(
    arguments: list[str], message: str, poisoned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says what is wrong, with status 2, before the first method trains."""
    line = ["detect", "--data", DATA, "--shards", str(poisoned / "set" / "shards")]
    places = ["--cache", str(poisoned / "new cache"), "--out", str(poisoned / "out")]
    assert main([*line, *places, *SHORT, *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (poisoned / "out").exists()
    assert not (poisoned / "new cache" / "scored").exists()


def test_the_plan_says_whose_pairs_a_method_is_told_are_clean(
    poisoned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The shards are anybody's, and these pairs those of the data set."""
    line = ["detect", "--data", DATA, "--shards", str(poisoned / "set" / "shards"), "--dry-run"]
    places = ["--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "out"), "--no-estimate"]
    assert main([*line, *places, "--method", "clipscore:trusted_size=30"]) == 0
    (told,) = capsys.readouterr().out.splitlines()[1:]
    assert told.endswith("; 30 pairs known to be clean, held out by shapes, as --data says")


def test_the_plan_names_every_method_with_its_time(
    poisoned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A dry run prints it and trains nothing; the command itself begins with it."""
    line = ["detect", "--data", DATA, "--shards", str(poisoned / "set" / "shards")]
    places = ["--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "out")]
    methods = ["--method", "kdist,dao", "--epochs", "2", "--warmup", "2"]
    assert main([*line, *places, *methods, "--dry-run"]) == 0
    printed = capsys.readouterr()
    first, *methods_told, time_kdist, time_dao, total = printed.out.splitlines()
    assert first.startswith(f"detect: 600 pairs of {poisoned / 'set' / 'shards'}; shapes-32, ")
    assert [re.sub(r"\d", "N", line) for line in methods_told] == [
        "  kdist  N epochs",
        "  dao    N epochs",
    ]
    assert re.fullmatch(r"  time     kdist  about \d+ s on this machine, .*", time_kdist)
    assert re.fullmatch(r"  time     dao    about \d+ s on this machine, .*", time_dao)
    assert re.fullmatch(r"  time     all 2  about \d+ s, less what they share", total)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "cache" / "scored").exists()
    assert main([*line, *places, *methods, "--dry-run", "--json"]) == 0
    names = [config["defense"]["name"] for config in json.loads(capsys.readouterr().out)]
    assert names == ["kdist", "dao"]
    assert main([*line, *places, "--method", "kdist", "--epochs", "2", "--warmup", "2"]) == 0
    assert first in capsys.readouterr().err


def test_a_set_of_one_pair_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing to hold it against, whatever the method."""

    def make(start: int, stop: int) -> list[Sample]:
        gray = np.full((32, 32, 3), 128, dtype=np.uint8)
        return [Sample(encode_jpeg(gray), "jpg", "gray", {})] * (stop - start)

    write_set(tmp_path / "set", 1, make, name="one", source={}, workers=0)
    line = ["detect", "--data", DATA, "--shards", str(tmp_path / "set"), "--method", "dao,safeclip"]
    places = ["--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "out")]
    assert main([*line, *places]) == 2
    assert "holds one pair; a contrast needs at least two." in capsys.readouterr().err


def test_a_warmup_longer_than_the_training_is_told(
    poisoned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Six steps under a recipe for millions of pairs give scores of an untrained model."""
    line = ["detect", "--data", DATA, "--shards", str(poisoned / "set" / "shards"), "--quiet"]
    places = ["--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "out")]
    settings = ["--method", "kdist", "--epochs", "2", "--warmup", "10000"]
    assert main([*line, *places, *settings]) == 0
    said = capsys.readouterr().err
    assert "warms up for 10,000 steps, but training has about 6" in said
    record = json.loads((tmp_path / "out" / "detection.json").read_text())
    assert record["configs"][0]["train"]["warmup"] == 10_000
    assert record["environment"]["clipbench"]


def test_a_ledger_of_another_set_is_refused(
    poisoned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is trained."""
    ledger = str(poisoned / "set" / "ledger")
    line = ["detect", "--data", DATA, "--method", "dao", "--ledger", ledger, *SHORT]
    places = ["--cache", str(poisoned / "cache"), "--out", str(tmp_path / "out")]
    assert main([*line, *places]) == 2
    assert "is of other shards" in capsys.readouterr().err
