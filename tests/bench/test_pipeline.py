"""One run, step by step: what it plans, does once, shares with other runs, and refuses."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clipbench import pipeline
from clipbench.config import RunConfig, resolve
from clipbench.errors import BadSetting, CorruptData
from clipbench.models import WEIGHTS_FILE
from clipbench.progress import Reporter
from clipbench.shards.ledger import read_ledger
from clipbench.shards.reader import ShardSet

DATA = "shapes:size=200,test_size=100,targets_size=50"
TRAIN = {"epochs": 1, "batch_size": 64, "warmup": 1}
# Of its own learning rate, so that no other test does its clean control first.
JUDGED_LATER: dict[str, Any] = {"attack": "badnets", "train": {**TRAIN, "lr": 1e-3}}


def config_of(**choices: Any) -> RunConfig:
    """Return a small run; poisoned if `attack` is given."""
    if choices.get("attack", "none") != "none" and "rate" not in choices:
        choices.setdefault("poisons", 6)
    return resolve(**{"data": DATA, "train": TRAIN, **choices})


@dataclasses.dataclass(frozen=True)
class Work:
    """A cache and a folder of runs."""

    folder: Path

    @property
    def cache(self) -> Path:
        """The cache."""
        return self.folder / "cache"

    @property
    def out(self) -> Path:
        """The folder of the runs."""
        return self.folder / "runs"

    def execute(self, config: RunConfig, controls: bool = False) -> dict[str, Any]:
        """Do a run."""
        return pipeline.execute(
            config,
            cache=self.cache,
            out=self.out,
            controls=controls,
            reporter=Reporter(quiet=True),
        )

    def plan(self, config: RunConfig) -> pipeline.Plan:
        """Plan a run."""
        return pipeline.plan(config, cache=self.cache, out=self.out, controls=False)

    def poison(self, config: RunConfig, out: Path | None = None) -> pipeline.Poisoned:
        """Write the poisoned set of a run."""
        return pipeline.poison(config, cache=self.cache, out=out, reporter=Reporter(quiet=True))

    def train(self, config: RunConfig, shards: Path) -> Path:
        """Train on any shards."""
        return pipeline.train(
            config, shards, self.out, cache=self.cache, reporter=Reporter(quiet=True)
        )


@pytest.fixture
def work(tmp_path: Path) -> Work:
    """Return an empty place."""
    return Work(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Work:
    """Return a place whose clean set, poisoned sets and runs several tests share."""
    return Work(tmp_path_factory.mktemp("shared"))


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return a list that gets the folder of every training that begins."""
    begun: list[Path] = []
    real = pipeline.train_on

    def train_on(shards: Path, config: RunConfig, folder: Path, *rest: Any) -> Any:
        begun.append(folder)
        return real(shards, config, folder, *rest)

    monkeypatch.setattr(pipeline, "train_on", train_on)
    return begun


# --------------------------------------------------------------------------- counts and plans


@pytest.mark.parametrize(
    ("attack", "amount", "count", "pairs_after"),
    [
        ("badnets", {"rate": "3%"}, 6, 200),
        ("badnets:mode=insert", {"rate": "3%"}, 6, 206),  # 0.03 * 200 / 0.97 = 6.19
        ("badnets", {"rate": "0.0025"}, 1, 200),  # half a pair is rounded up
        ("badnets:mode=insert", {"poisons": 7}, 7, 207),
        ("none", {}, 0, 200),
    ],
)
def test_counts_follow_from_rate_size_and_mode(
    attack: str, amount: dict[str, Any], count: int, pairs_after: int
) -> None:
    """The rate is a share of all pairs of the poisoned set, inserted ones included."""
    parts = pipeline.Parts.of(config_of(attack=attack, **amount))
    assert (parts.num_pairs, parts.count, parts.pairs_after) == (200, count, pairs_after)


@pytest.mark.parametrize(
    ("choices", "part"),
    [
        ({"attack": "badnets", "rate": "0.0024"}, "use at least 0.0025 here"),
        ({"attack": "badnets", "poisons": 201}, "201 poisons do not fit into 200 pairs"),
        ({"attack": "targeted:targets=4", "poisons": 3}, "4 targets but 3 poisons"),
    ],
)
def test_what_cannot_be_done_is_refused_before_work(
    work: Work, choices: dict[str, Any], part: str
) -> None:
    """Counts that make no sense are refused by the plan, before anything is written."""
    with pytest.raises(BadSetting, match=part):
        work.plan(config_of(**choices))
    assert not work.cache.exists()


def test_the_plan_says_all_a_person_decides_by(work: Work) -> None:
    """Pairs, poisons as count, rate and percentage, targets, passes over the data, and time."""
    config = config_of(attack="targeted:targets=2", train={**TRAIN, "pairs_per_epoch": 50})
    plan = work.plan(config)
    text = "\n".join(plan.lines())
    assert f"run {config.id}: targeted / none / seed 0" in text
    assert "shapes, 200 pairs" in text
    assert "6 of 200 pairs (rate 0.03, 3.000000%), 2 target(s), 3 each, mode replace" in text
    assert "1 epochs of 50 pairs, 0.25 passes over the data" in text
    assert "  time     about " in text
    assert plan.seconds is not None
    assert plan.seconds > 0
    assert not work.folder.joinpath("runs").exists()


def test_missing_weights_to_start_from_are_told_by_the_plan(work: Work) -> None:
    """Weights that are not there end a run before its data is made."""
    config = config_of(train={**TRAIN, "pretrained": str(work.folder / "weights.pt")})
    with pytest.raises(Exception, match=r"There is no checkpoint .*weights\.pt"):
        work.plan(config)
    assert not work.cache.exists()


# --------------------------------------------------------------------------- done once, shared


def test_a_run_that_is_done_is_read_not_done_again(shared: Work, trainings: list[Path]) -> None:
    """The second time the result is taken from its folder, and the plan says so."""
    config = config_of()
    first = shared.execute(config)
    assert shared.execute(config) == first
    assert trainings == [shared.out / config.id]
    plan = shared.plan(config)
    assert (plan.done, plan.lines()[-1]) == (True, "  time     done already")


def test_the_control_is_added_when_the_clean_run_is_there(shared: Work) -> None:
    """An attacked run done before its clean control gets the control's success afterwards."""
    config = config_of(**JUDGED_LATER)
    alone = shared.execute(config)
    assert "attack_success_control" not in alone["metrics"]
    assert "control" not in alone
    clean = shared.execute(config.without_attack())
    judged = shared.execute(config)
    control = judged["metrics"].pop("attack_success_control")
    assert control["n"] == alone["metrics"]["attack_success"]["n"] == 99
    assert judged.pop("control") == {"id": clean["id"]}
    assert judged == alone


def test_controls_are_run_on_request(work: Work, trainings: list[Path]) -> None:
    """With controls the same defence on clean data and no defence on the poison are run, too."""
    config = config_of(attack="badnets", defense="clip")
    result = work.execute(config, controls=True)
    undefended = config.with_defense("none")
    expected = {config.id, config.without_attack().id, undefended.id}
    assert {folder.name for folder in trainings} == expected
    assert result["metrics"]["attack_success_control"]["n"] == 99
    assert result["control"]["id"] == config.without_attack().id
    ledger = result["attack"]["ledger_sha256"]
    assert work.execute(undefended)["attack"]["ledger_sha256"] == ledger  # the same poison


def test_poison_depends_on_attack_and_seed_and_not_on_the_defence(shared: Work) -> None:
    """Defences share a poisoned set; other parameters, counts or seeds make another."""
    base = shared.poison(config_of(attack="badnets"))
    assert shared.poison(config_of(attack="badnets", defense="clip")) == base
    others = [
        shared.poison(config_of(attack="badnets:size=0.5")),
        shared.poison(config_of(attack="badnets", poisons=5)),
        shared.poison(config_of(attack="badnets", seed=1)),
    ]
    assert len({base.ledger, *(other.ledger for other in others)}) == 4
    assert read_ledger(others[1].ledger).count == 5


def test_a_poisoned_set_can_be_written_anywhere(shared: Work, tmp_path: Path) -> None:
    """Shards and ledger lie apart in the folder that was asked for; another set is refused."""
    made = shared.poison(config_of(attack="badnets"), tmp_path / "set")
    assert made.shards_folder == tmp_path / "set" / "shards"
    assert made.ledger == tmp_path / "set" / "ledger" / "ledger.json"
    assert len(ShardSet.open(made.shards_folder)) == 200
    with pytest.raises(BadSetting, match=r"another poisoned set: its seed is 0, not 1"):
        shared.poison(config_of(attack="badnets", seed=1), tmp_path / "set")
    with pytest.raises(BadSetting, match="nothing to poison: name an attack with --attack"):
        shared.poison(config_of(), tmp_path / "other")


def test_training_on_given_shards_has_a_folder_for_each_set(
    shared: Work, trainings: list[Path]
) -> None:
    """Other shards train in another folder, the same ones are not trained on twice."""
    config = config_of()
    sets = [shared.poison(config_of(attack="badnets", seed=seed)) for seed in (0, 1)]
    weights = [shared.train(config, made.shards_folder) for made in sets]
    assert weights[0] != weights[1]
    written = weights[0].stat().st_mtime_ns
    assert shared.train(config, sets[0].shards_folder) == weights[0]
    assert weights[0].stat().st_mtime_ns == written
    assert weights[0].name == WEIGHTS_FILE
    assert weights[0].read_bytes() != weights[1].read_bytes()
    assert len({*trainings}) == 2


# --------------------------------------------------------------------------- refused


def of_another(config: RunConfig) -> str:
    """Return the configuration of another run."""
    return json.dumps(dataclasses.replace(config, seed=9).to_json())


@pytest.mark.parametrize(
    ("content", "kind", "part"),
    [
        (of_another, BadSetting, "holds another run; choose another --out"),
        (lambda _: '{"schema": 1', CorruptData, "is damaged; delete the folder"),
        (lambda _: "[]", CorruptData, "is damaged; delete the folder"),
    ],
)
def test_a_folder_of_another_run_is_refused(
    work: Work,
    trainings: list[Path],
    content: Callable[[RunConfig], str],
    kind: type[Exception],
    part: str,
) -> None:
    """What lies in the run's folder must be of this run; it is refused before training."""
    config = config_of()
    (work.out / config.id).mkdir(parents=True)
    (work.out / config.id / "config.json").write_text(content(config))
    with pytest.raises(kind, match=part):
        work.execute(config)
    assert trainings == []


def test_another_trigger_than_the_poisons_is_refused(shared: Work, tmp_path: Path) -> None:
    """Attack success is not measured with a trigger that is not the one that poisoned."""
    made = shared.poison(config_of(attack="badnets"), tmp_path / "set")
    attack = pipeline.Parts.of(config_of(attack="badnets")).attack
    ledger = read_ledger(made.ledger)
    pipeline.check_trigger(attack, ledger)
    pipeline.check_trigger(attack, None)
    other = pipeline.Parts.of(config_of(attack="badnets:size=0.5")).attack
    without = pipeline.Parts.of(config_of(attack="targeted")).attack
    for wrong in (other, without):
        with pytest.raises(BadSetting, match="trigger of badnets is not the one"):
            pipeline.check_trigger(wrong, ledger)


def test_evaluating_takes_data_and_attack_from_the_ledger(shared: Work) -> None:
    """A ledger names the data set and attack it was made with; another ``data`` gives way."""
    config = config_of(**JUDGED_LATER)
    result, made = shared.execute(config), shared.poison(config)
    found = pipeline.evaluate_checkpoint(
        shared.out / config.id / "model",
        config.train.model,
        data="shapes:test_size=300",
        ledger=made.ledger.parent,
        device="auto",
        reporter=Reporter(quiet=True),
    )
    assert found["metrics"]["zeroshot_top1"]["n"] == 100
    assert found["metrics"]["attack_success"] == result["metrics"]["attack_success"]
    assert found["attack"] == {
        "name": "badnets",
        "ledger_sha256": result["attack"]["ledger_sha256"],
    }
