"""`run`, `poison`, `train`, `evaluate`: what they ask of the pipeline, and what they print.

What the pipeline does with it is tested with the pipeline, on real data.
"""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from clipbench.cli import main
from clipbench.configuration.config import RunConfig
from clipbench.evaluation.measured import Evaluation, Metric
from clipbench.evaluation.statistics import Proportion
from clipbench.parallel import group as distributed
from clipbench.parallel.bench import Bench
from clipbench.parameters.rate import Rate
from clipbench.pipeline.evaluate import Checkpoint, MeasuredCheckpoint


@dataclass(frozen=True)
class Plan:
    """What the recorded pipeline says it would do."""

    config: RunConfig
    calls: list[tuple[Any, ...]]
    done = True
    parts = types.SimpleNamespace(num_pairs=100)

    @property
    def label(self) -> str:
        """What tells the run apart."""
        return f"{self.config.defense_name} / seed {self.config.seed}"

    def lines(self) -> list[str]:
        """Return the plan as lines."""
        return [f"plan {self.config.attack_name} {self.config.defense_name}"]

    def check(self) -> None:
        """Find nothing missing."""
        self.calls.append(("check", self.config))

    def try_plugins(self) -> None:
        """Find no fault in them."""


@dataclass(frozen=True)
class Poisoned:
    """What the recorded pipeline says it has written."""

    shards_folder: Path
    ledger: Path


class Recorder(types.ModuleType):
    """A pipeline that writes down what it is asked for."""

    def __init__(self) -> None:
        super().__init__("clipbench.pipeline")
        self.calls: list[tuple[Any, ...]] = []

    def plan(self, config: RunConfig, out: Path, *, cache: Path, progress: Any) -> Plan:  # noqa: ARG002
        """Return the plan of a run."""
        self.calls.append(("plan", config, out))
        return Plan(config, self.calls)

    def execute(
        self, config: RunConfig, *, cache: Path, out: Path, reporter: Any
    ) -> types.SimpleNamespace:
        """Return a result that names the run."""
        reporter.note("working")
        self.calls.append(("execute", config, cache, out))
        return types.SimpleNamespace(record={"id": config.id})

    def poison(
        self, config: RunConfig, *, cache: Path, out: Path | None, reporter: Any
    ) -> Poisoned:
        """Return the paths of a poisoned set."""
        reporter.note("working")
        self.calls.append(("poison", config, cache, out))
        folder = out or cache
        return Poisoned(folder / "shards", folder / "ledger.json")

    def plan_training(
        self, config: RunConfig, shards: Path, out: Path, *, cache: Path, reporter: Any
    ) -> Plan:
        """Return the plan of a training."""
        reporter.note("planning")
        self.calls.append(("plan_training", config, shards, out, cache))
        return Plan(config, self.calls)

    def train(self, plan: Plan, *, cache: Path, reporter: Any) -> Path:
        """Return the path of the weights."""
        reporter.note("working")
        name, config, _, out, _ = self.calls[-1]
        assert (name, config) == ("plan_training", plan.config)
        self.calls.append(("train", config, cache))
        return Path(out) / "weights"

    def follow_training(
        self, config: RunConfig, shards: Path, out: Path, *, cache: Path, reporter: Any
    ) -> Path:
        """Return the path of the weights, in a process that is not the first."""
        reporter.note("following")
        self.calls.append(("follow_training", config, shards, out, cache))
        return out / "weights"

    def plan_detection(self, configs: Sequence[RunConfig], *_: Any, **__: Any) -> Plan:
        """Return the plan of a scoring."""
        self.calls.append(("plan_detection",))
        return Plan(configs[0], self.calls)

    def detect(self, *_: Any, **__: Any) -> Any:
        """Return what a scoring wrote."""
        self.calls.append(("detect",))
        return types.SimpleNamespace(table="table", page="page", metrics={})

    def follow_detection(self, *_: Any, **__: Any) -> None:
        """Score in a process that is not the first."""
        self.calls.append(("follow_detection",))

    Checkpoint = Checkpoint  # what it is asked with

    def evaluate_checkpoint(
        self,
        asked: Checkpoint,
        bench: Bench,
        device: str,
    ) -> MeasuredCheckpoint:
        """Return some metrics."""
        assert not asked.allowed
        bench.reporter.note("working")
        told = (asked.weights, asked.model, asked.data, asked.evals, asked.ledger, device)
        self.calls.append(("evaluate", *told))
        assert asked.metrics == ()
        found = {"zeroshot_top1": Metric.of(Proportion(1, 2)), "attack_margin": Metric(value=0.25)}
        sets = (Evaluation("shapes", found),)
        return MeasuredCheckpoint("f.pt", "0" * 64, asked.model, "shapes", None, found, sets, ())

    def configs(self, what: str) -> list[RunConfig]:
        """Return the configurations that `what` was called with."""
        return [call[1] for call in self.calls if call[0] == what]


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """A recording pipeline in the place of the real one."""
    recorder = Recorder()
    stages = ("execute", "poison", "train", "evaluate")
    for name in ("planning.plan", *(f"pipeline.{stage}" for stage in stages)):
        monkeypatch.setitem(sys.modules, f"clipbench.{name}", recorder)
    return recorder


@pytest.mark.parametrize(
    ("command", "first", "second"),
    [
        ("run", ["plan", "execute"], ["execute"]),
        ("train", ["plan_training", "train"], ["follow_training"]),
        ("detect --method dao --no-estimate", ["plan_detection", "detect"], ["follow_detection"]),
    ],
)
@pytest.mark.parametrize("rank", [0, 1])
def test_processes_join_and_then_the_first_alone_plans(
    pipeline: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    rank: int,
    command: str,
    first: list[str],
    second: list[str],
) -> None:
    """Nothing is looked at before all are there; an estimate would take another's GPU."""

    def join(device: str) -> distributed.Processes:
        pipeline.calls.append(("join", device))
        return distributed.Processes(rank, 2)

    monkeypatch.setitem(sys.modules, "clipbench.pipeline.detect", pipeline)
    monkeypatch.setattr(distributed, "join_processes", join)
    place = {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "", "MASTER_PORT": ""}
    for name, value in place.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "s").mkdir()
    where = ["--cache", str(tmp_path / "c"), "--out", str(tmp_path / "o"), "--device", "cpu"]
    where.append("--json")
    shards = ["--shards", str(tmp_path / "s")] if command == "train" else []
    assert main([*command.split(), "--data", "shapes", *shards, *where]) == 0
    done = [call[0] for call in pipeline.calls if call[0] != "check"]
    assert done == ["join", *(second if rank else first)]


ATTACKED = ("--attack", "targeted", "--rate", "0.01")


def test_run_makes_the_product_and_prints_json_alone(
    pipeline: Recorder, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Repeated options make a grid; with ``--json`` nothing but the results is on stdout."""
    line = "run --attack none --attack targeted --rate 0.01 --rate 2% --defense none --defense clip"
    places = ("--out", str(tmp_path / "o"), "--cache", str(tmp_path / "c"))
    assert main([*line.split(), "--seed", "0", "--seed", "1", "--json", *places]) == 0
    captured = capsys.readouterr()
    configs = pipeline.configs("execute")
    assert len(configs) == 2 * 2 + 2 * 2 * 2
    assert json.loads(captured.out) == [{"id": config.id} for config in configs]
    assert captured.err.startswith("plan none none\nplan none clip\n")
    assert pipeline.calls[-1][2:] == (tmp_path / "c", tmp_path / "o")
    assert [call[0] for call in pipeline.calls] == ["plan"] * 12 + ["execute"] * 12


def test_options_reach_the_configuration(
    pipeline: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training options in open_clip's spelling, and ``--set``, end in the training settings."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.pt").touch()
    line = (
        "run --attack targeted:targets=2 --poisons 4 --defense safeclip:growth=0.05 --seed 3"
        " --model ViT-B-32 --pretrained w.pt --epochs 2 --batch-size 64 --lr 1e-3 --wd 0.2"
        " --warmup 5 --precision fp32 --workers 2 --device cpu --save-frequency 1"
        " --grad-clip-norm none --lr-schedule constant --tensorboard --set eda=0.2"
        " --set crop-scale=0.5 --json"
    )
    assert main(line.split()) == 0
    (config,) = pipeline.configs("execute")
    train = config.train
    assert (train.model, train.pretrained, train.epochs, train.batch_size) == (
        "ViT-B-32",
        "w.pt",
        2,
        64,
    )
    assert (train.lr, train.wd, train.warmup, train.precision) == (0.001, 0.2, 5, "fp32")
    assert (train.workers, train.device, train.save_frequency) == (2, "cpu", 1)
    assert (train.grad_clip_norm, train.lr_schedule, train.tensorboard) == (None, "constant", True)
    assert (train.eda, train.crop_scale) == (0.2, 0.5)
    assert (config.poisons, config.seed, config.attack.parameters["targets"]) == (4, 3, 2)
    assert config.defense.parameters["growth"] == 0.05


def test_run_says_which_of_several_it_is_at(
    pipeline: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before each; one alone needs no number."""
    assert main(["run", "--data", "shapes", "--defense", "none,clip", "--json"]) == 0
    said = capsys.readouterr().err.splitlines()
    first, second = "none / none / seed 0", "none / clip / seed 0"
    told = [f"run 1 of 2: {first}", "working", f"run 2 of 2: {second}", "working"]
    assert said[-4:] == told
    assert len(pipeline.configs("execute")) == 2
    assert main(["run", "--data", "shapes", "--json"]) == 0
    assert "run 1 of" not in capsys.readouterr().err


def test_command_line_then_file_then_environment_then_recipe(
    pipeline: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each setting is taken from the strongest place that has it."""
    file = tmp_path / "run.yaml"
    file.write_text("defense: clip\ntrain: {lr: 0.2, wd: 0.2}\nattack: targeted\nrate: 0.02\n")
    monkeypatch.setenv("CLIPBENCH_LR", "0.3")
    monkeypatch.setenv("CLIPBENCH_WD", "0.3")
    monkeypatch.setenv("CLIPBENCH_WARMUP", "3")
    monkeypatch.setenv("CLIPBENCH_POISONS", "9")
    monkeypatch.setenv("CLIPBENCH_SEED", "4 5")
    monkeypatch.setenv("CLIPBENCH_SET", "eda=0.3")
    assert main(["run", "--config", str(file), "--lr", "0.1", "--json"]) == 0
    first, second = pipeline.configs("execute")
    assert (first.train.lr, first.train.wd, first.train.warmup) == (0.1, 0.2, 3)
    assert first.train.eda == 0.3
    assert first.train.model == "shapes-32"
    assert (first.seed, second.seed) == (4, 5)
    assert (first.rate, first.poisons, first.defense_name) == (Rate.of("0.02"), None, "clip")


def test_the_variable_of_one_command_alone_works_too(
    pipeline: Recorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """``CLIPBENCH_POISON_OUT`` is for `poison` what ``--out`` is."""
    monkeypatch.setenv("CLIPBENCH_POISON_OUT", str(tmp_path))
    assert main(["poison", *ATTACKED]) == 0
    assert pipeline.calls[-1][3] == tmp_path


def test_a_dry_run_prints_the_plan_and_does_nothing(
    pipeline: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    """The plan is on standard output, and nothing was executed."""
    assert main(["run", *ATTACKED, "--dry-run"]) == 0
    assert capsys.readouterr().out == "plan targeted none\n"
    assert pipeline.configs("execute") == []
    assert main(["run", *ATTACKED, "--dry-run", "--json"]) == 0
    (written,) = json.loads(capsys.readouterr().out)
    assert RunConfig.from_json(written).rate == Rate.of("0.01")


def test_the_plan_is_told_before_it_is_timed_and_the_time_ends_nothing(
    pipeline: Recorder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All plans come first; a time that can't be found is unknown, and the runs are done."""

    def estimate(plan: Plan, cache: Path) -> None:
        pipeline.calls.append(("estimate", plan.config, cache))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Plan, "done", False)
    monkeypatch.setattr(Plan, "estimate", estimate, raising=False)
    line = ["run", *ATTACKED, "--defense", "none", "--defense", "clip", "--json"]
    assert main(line) == 0
    err = capsys.readouterr().err.splitlines()
    assert err[:3] == ["plan targeted none", "plan targeted clip", "timing this machine ..."]
    assert "none / seed 0  unknown: no space left" in err[3]
    assert [call[0] for call in pipeline.calls] == [
        *("plan", "plan", "estimate", "estimate", "execute", "execute")
    ]
    for flag in ("--no-estimate", "-q"):
        del pipeline.calls[:]
        assert main([*line, flag]) == 0
        assert [call[0] for call in pipeline.calls] == [
            *("plan", "plan", "check", "check", "execute", "execute")
        ]


def test_run_without_anything_to_run_prints_its_help(
    pipeline: Recorder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is trained that nobody asked for; a variable asks as well as an option."""
    for line in (["run"], ["run", "-q", "--threads", "1"]):
        assert main(line) == 0
        assert capsys.readouterr().out.startswith("Usage: clipbench run [OPTIONS]")
    assert pipeline.calls == []
    monkeypatch.setenv("CLIPBENCH_DATA", "shapes")
    assert main(["run", "--json"]) == 0
    assert len(pipeline.configs("execute")) == 1


def test_quiet_says_nothing(pipeline: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    """With ``--quiet`` neither plan nor progress is shown."""
    assert main(["run", *ATTACKED, "--json", "-q"]) == 0
    assert capsys.readouterr().err == ""
    assert len(pipeline.configs("execute")) == 1


def test_only_the_first_process_speaks(
    pipeline: Recorder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several processes all work, and one prints."""
    monkeypatch.setenv("RANK", "1")
    assert main(["run", *ATTACKED]) == 0
    assert main(["run", *ATTACKED, "--json"]) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")
    assert len(pipeline.configs("execute")) == 2


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("run --attack targeted", "needs a rate: give --rate 1e-4 or --poisons 3"),
        ("run --attack targeted --rate 0.01 --poisons 3", "--rate or --poisons, not both"),
        ("run --rate 0.01", "takes no rate"),
        ("run --attack targeted --rate 0", "The rate must be in (0, 1]"),
        ("run --attack targeted --rate -1e-3", "The rate must be in (0, 1]"),
        ("run --attack targeted --rate 1.5", "Write 1.5% for a percentage"),
        ("run --attack targetd --rate 0.01", "Unknown attack 'targetd'. Did you mean 'targeted'?"),
        ("run --defense safe_clip", "Did you mean 'safeclip'?"),
        ("run --data shape", "Unknown dataset 'shape'. Did you mean 'shapes'?"),
        ("run --defense safeclip:grwth=1", "Did you mean 'growth'?"),
        ("run --set crop_scal=1", "Did you mean 'crop_scale'?"),
        ("run --set crop_scale", "--set takes FIELD=VALUE"),
        ("run --epochs 3 --set epochs=1", "epochs is given twice, 3 by --epochs and 1 by --set"),
        ("run --set eda=0.1 --set eda=0.2", "eda is given twice, 0.1 and 0.2 by --set"),
        ("run --set crop-scale=1 --set crop_scale=1", "crop_scale is given in two spellings"),
        ("run --epochs 0", "train.epochs must be from 1 to 100,000. Got 0."),
        ("run --epochs ten", "train.epochs must be int. Got 'ten'."),
        ("run --seed x", "seed must be int"),
        ("run --config absent.yaml", "There is no configuration file"),
        ("poison --attack targeted --rate 0.01 --config {grid}", "asks for 2 runs"),
        ("train --shards x --defense nope", "Unknown defense 'nope'"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    pipeline: Recorder, capsys: pytest.CaptureFixture[str], tmp_path: Path, line: str, part: str
) -> None:
    """Wrong combinations, names and values are refused before any work, with what to do."""
    (tmp_path / "grid.yaml").write_text("seed: [0, 1]\n")
    assert main(line.format(grid=tmp_path / "grid.yaml").split()) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("clipbench: error: ")
    assert captured.err.count("\n") == 1
    assert part in captured.err
    assert pipeline.calls == []


def test_poison_prints_where_things_are(
    pipeline: Recorder, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """`poison` prints the folder of shards and the ledger, as text or as JSON."""
    assert main(["poison", *ATTACKED, "--out", str(tmp_path)]) == 0
    expected = f"shards  {tmp_path}/shards\nledger  {tmp_path}/ledger.json\n"
    assert capsys.readouterr().out == expected
    assert main(["poison", *ATTACKED, "--cache", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ledger"] == f"{tmp_path}/ledger.json"
    assert pipeline.calls[-1][3] is None


def test_train_prints_the_weights(
    pipeline: Recorder, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """`train` trains the defense on the given shards, without attack, and prints the weights."""
    (tmp_path / "s").mkdir()
    shards = str(tmp_path / "s")
    args = ["train", "--shards", shards, "--defense", "clip", "--epochs", "3"]
    args += ["--out", str(tmp_path)]
    assert main(args) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{tmp_path}/weights\n"
    assert captured.err == "planning\nplan none clip\nworking\n"
    name, config, where, out, _ = pipeline.calls[-2]
    assert (name, where, out) == ("plan_training", tmp_path / "s", tmp_path)
    assert (config.is_clean, config.defense_name, config.train.epochs) == (True, "clip", 3)
    assert main([*args, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"checkpoint": f"{tmp_path}/weights"}
    del pipeline.calls[:]
    assert main([*args, "--dry-run"]) == 0
    assert capsys.readouterr().out == "plan none clip\n"
    assert [call[0] for call in pipeline.calls] == ["plan_training"]
    assert main([*args, "--dry-run", "--json"]) == 0
    (printed,) = json.loads(capsys.readouterr().out)
    assert printed["defense"]["name"] == "clip"


def test_evaluate_prints_metrics(pipeline: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    """`evaluate` prints the set and a line a metric, shares with their counts, or a JSON list."""
    args = ["evaluate", "--checkpoint", "f.pt", "--model", "RN50", "--ledger", "l.json"]
    assert main(args) == 0
    assert capsys.readouterr().out.splitlines() == [
        "shapes",
        "zeroshot_top1  50.00%  1/2  [9.45%, 90.55%]",
        "attack_margin  0.2500",
    ]
    assert pipeline.calls[-1][1:] == (Path("f.pt"), "RN50", None, (), Path("l.json"), "auto")
    assert main([*args, "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert told["metrics"]["zeroshot_top1"]["k"] == 1


def test_the_same_value_twice_is_one(pipeline: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """However it is written; and the command line goes before the environment as ever."""
    monkeypatch.setenv("CLIPBENCH_EPOCHS", "7")
    assert main(["run", "--lr", "1e-3", "--set", "lr=0.001", "--set", "epochs=2", "--json"]) == 0
    (config,) = pipeline.configs("execute")
    assert (config.train.lr, config.train.epochs) == (0.001, 2)


def test_poison_may_write_where_one_is(
    pipeline: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder has a name, to which the writer of shards adds, though `.` has none."""
    monkeypatch.chdir(tmp_path)
    assert main(["poison", *ATTACKED, "--out", "."]) == 0
    assert pipeline.calls[-1][3] == tmp_path
