from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from as_json import of_json

from clipbench.evaluation.clustered import clustered_interval
from clipbench.evaluation.statistics import Proportion, wilson
from clipbench.leaderboard.page.document import to_html
from clipbench.leaderboard.tables import leaderboard, to_csv, to_latex, to_markdown, write_all
from clipbench.results.store import load_results

leaderboard = of_json(leaderboard)
to_html = of_json(to_html)
write_all = of_json(write_all)

Result = dict[str, Any]
MakeResult = Callable[..., Result]


def one(frame: pd.DataFrame, **where: Any) -> dict[str, Any]:
    """Return the only row of a frame that has the given values."""
    rows = [
        row
        for row in frame.to_dict("records")
        if all(row[column] == value for column, value in where.items())
    ]
    assert len(rows) == 1, rows
    return {str(column): value for column, value in rows[0].items()}


def test_seeds_become_one_row(bench: list[Result]) -> None:
    """Success is pooled over seeds with one interval; accuracy has mean and spread beside it."""
    row = one(leaderboard(bench), attack="targeted", defense="none")

    assert (row["seeds"], row["rate"], row["count"], row["targets"]) == (3, 0.008, 160, 16)
    assert (row["attack_success_k"], row["attack_success_n"]) == (47, 48)
    assert row["attack_success"] == 47 / 48
    assert (row["attack_success_low"], row["attack_success_high"]) == wilson(47, 48)
    assert (row["attack_success_control_k"], row["attack_success_control_n"]) == (0, 48)
    assert row["zeroshot_top1_mean"] == pytest.approx(0.721)
    assert row["zeroshot_top1_sd"] == pytest.approx(0.001)
    assert (row["zeroshot_top1_k"], row["zeroshot_top1_n"]) == (21630, 30000)
    assert row["image_to_text_r1_mean"] == pytest.approx(0.641)
    assert row["text_to_image_r1_mean"] == pytest.approx(0.63)
    assert row["mean_per_class_recall_mean"] == pytest.approx(0.851)
    assert row["exposures_mean"] == 20.0
    assert row["peak_memory_bytes"] == 1 << 30


def test_seeds_that_vary_widen_the_interval(make_result: MakeResult) -> None:
    """Success that gathers in some seeds says less than its k/n; the counts stay what they are."""
    successes = (1, 15, 8)
    made = [make_result(seed=seed, success=(k, 16)) for seed, k in enumerate(successes)]
    row = one(leaderboard(made), defense="none")

    bounds = (row["attack_success_low"], row["attack_success_high"])
    assert (row["attack_success_k"], row["attack_success_n"]) == (24, 48)
    assert bounds == clustered_interval([Proportion(k, 16) for k in successes])
    plain = wilson(24, 48)
    assert bounds[0] < plain[0] - 0.1
    assert bounds[1] > plain[1] + 0.1


def test_rows_stand_in_a_fixed_order(make_result: MakeResult) -> None:
    """Attack, then rate, then defense with none and clip first; clean data come last."""
    made = [
        make_result(attack=attack, rate=rate, count=count, defense=defense)
        for attack, rate, count in [
            ("targeted", 0.008, 160),
            ("targeted", 1e-6, 16),
            ("badnets", 0.005, 100),
        ]
        for defense in ("safeclip", "none", "a_filter", "clip")
    ]
    made += [make_result(attack="none", defense=defense) for defense in ("clip", "none")]
    random.Random(0).shuffle(made)

    frame = leaderboard(made)

    four = ["none", "clip", "a_filter", "safeclip"]
    assert list(frame["defense"]) == four * 3 + ["none", "clip"]
    assert list(frame["attack"]) == ["badnets"] * 4 + ["targeted"] * 8 + ["none"] * 2
    assert list(frame["rate"]) == [0.005] * 4 + [1e-6] * 4 + [0.008] * 4 + [0.0] * 2


def test_cost_is_relative_to_none(bench: list[Result], make_result: MakeResult) -> None:
    """Cost divides median seconds by those of none on the same attack, not of another."""
    other = make_result(attack="badnets", attack_parameters={}, seconds=7.0)
    frame = leaderboard([*bench, other])

    assert one(frame, attack="targeted", defense="none")["cost"] == 1.0
    assert one(frame, attack="targeted", defense="safeclip")["cost"] == 303 / 101
    assert one(frame, attack="targeted", defense="safeclip")["seconds"] == 303.0


def test_the_order_in_which_a_file_gives_parameters_makes_no_other_label(
    make_result: MakeResult,
) -> None:
    """A row in a folder has them sorted, a run as its plugin does: a matrix has one column."""
    ours, sorted_ones = {"targets": 8, "mode": "insert"}, {"mode": "insert", "targets": 8}
    none, clip = (
        make_result(defense=name, attack_parameters=own, defense_parameters=own)
        for name, own in (("none", ours), ("clip", sorted_ones))
    )
    none["data"]["parameters"] = {"size": 20000, "colors": 5}
    clip["data"]["parameters"] = {"colors": 5, "size": 20000}
    frame = leaderboard([none, clip], defaults=lambda *_: {})
    assert set(frame["attack"]) == {"targeted (mode=insert, targets=8)"}
    assert set(frame["data"]) == {"shapes (colors=5, size=20000)"}
    given = "(mode=insert, targets=8)"
    assert set(frame["defense"]) == {f"none {given}", f"clip {given}"}


def test_cost_needs_one_machine(make_result: MakeResult) -> None:
    """Seconds of a GPU are not divided by seconds of a CPU, nor by those of no run at all."""
    none, clip = make_result(), make_result(defense="clip", seconds=10.0)
    clip["train"]["device"] = "cuda"

    assert one(leaderboard([none, clip]), defense="clip")["cost"] is None
    assert one(leaderboard([clip]), defense="clip")["cost"] is None


def test_eligibility(make_result: MakeResult) -> None:
    """A row counts as defended only where the same attack succeeds undefended, over all seeds."""
    strong = {"attack": "badnets", "attack_parameters": {}}
    weak = [make_result(seed=seed, success=(k, 16)) for seed, k in enumerate((3, 2))]
    frame = leaderboard(
        [
            *weak,
            make_result(defense="clip", success=(0, 16)),
            make_result(**strong, success=(15, 16)),
            make_result(**strong, defense="clip", success=(0, 16)),
            make_result(rate=0.1, count=2000, defense="clip"),
            make_result(rate=0.2, count=4000, success=None),
            make_result(attack="none"),
        ]
    )

    assert one(frame, attack="targeted", rate=0.008, defense="clip")["eligible"] == (
        "no (undefended 15.6%)"
    )
    assert one(frame, attack="targeted", rate=0.008, defense="none")["undefended"] == 5 / 32
    assert one(frame, attack="badnets", defense="clip")["eligible"] == "yes"
    assert one(frame, attack="badnets", defense="none")["eligible"] == "yes"
    assert one(frame, rate=0.1)["eligible"] == "unknown (no undefended row)"
    assert one(frame, rate=0.2)["eligible"] == "unknown (undefended row has no attack success)"
    assert one(frame, attack="none")["eligible"] is None


def test_eligibility_threshold_is_a_setting(bench: list[Result]) -> None:
    """With a threshold above the undefended success no row is eligible."""
    frame = leaderboard(bench, eligible_at=0.999)

    assert set(frame["eligible"]) == {
        "no (undefended 97.9%)",
        "no (under clip 97.9%)",
        None,
    }


def test_missing_cells_stay_missing(make_result: MakeResult) -> None:
    """What a seed did not measure enters no mean, and the row says how many seeds did."""
    frame = leaderboard(
        [
            make_result(seed=0, metrics={"poison_kept": (3, 160)}),
            make_result(seed=1, top1=None, metrics={"attack_success_control": None}),
            make_result(seed=2, top1=(9000, 10000)),
        ]
    )
    row = one(frame, defense="none")

    assert (row["zeroshot_top1_mean"], row["zeroshot_top1_seeds"]) == (0.875, 2)
    assert (row["attack_success_control_k"], row["attack_success_control_n"]) == (0, 32)
    assert row["attack_success_control_seeds"] == 2
    assert (row["poison_kept"], row["poison_kept_seeds"], row["poison_kept_sd"]) == (
        3 / 160,
        1,
        None,
    )
    for column in ("score_auroc_mean", "attack_success_top5", "image_to_text_r5_low"):
        assert row[column] is None
    assert row["score_auroc_seeds"] == 0
    assert float not in {type(value) for value in row.values() if pd.isna(value)}  # no NaN


def test_seeds_of_poison_are_runs_of_one_row(make_result: MakeResult) -> None:
    """Runs of one seed of training whose poison was drawn otherwise are all in the row."""
    made = [make_result(success=(15, 16), created="2026-03-02T12:00:00+00:00")]
    for drawn in (1, 2):
        apart = make_result(success=(16, 16), settings={"poison_seed": drawn})
        made.append({**apart, "poison_seed": drawn})
    (row,) = leaderboard(made).to_dict("records")
    assert (row["seeds"], row["attack_success_k"], row["attack_success_n"]) == (3, 47, 48)
    page = to_html(made)
    assert '<th scope="col">poison seed</th>' in page
    assert "seed 0 with poison seed 2" in page


def test_results_without_training_or_seed(make_result: MakeResult) -> None:
    """Checkpoints from elsewhere have no seconds, exposures or seed, and still make rows."""
    foreign = [
        make_result(seed=None, settings={"checkpoint": name}) | {"train": None, "exposures": None}
        for name in ("a.pt", "b.pt")
    ]
    frame = leaderboard(foreign)

    assert list(frame["defense"]) == ["none (checkpoint=a.pt)", "none (checkpoint=b.pt)"]
    for column in ("seconds", "cost", "peak_memory_bytes", "exposures_mean"):
        assert list(frame[column]) == [None, None]


def test_runs_of_other_settings_are_not_seeds(make_result: MakeResult) -> None:
    """Another training length or parameter is another row, named by what differs."""
    frame = leaderboard(
        [
            make_result(defense="safeclip", defense_parameters={"pool": 256, "cap": 0.85}),
            make_result(defense="safeclip", defense_parameters={"pool": 4096, "cap": 0.85}),
            make_result(train={"epochs": 20}),
            make_result(train={"epochs": 40}, success=(16, 16)),
            make_result(attack_parameters={"targets": 32}),
        ]
    )

    assert set(zip(frame["attack"], frame["defense"], strict=True)) == {
        ("targeted (targets=16)", "safeclip (pool=256)"),
        ("targeted (targets=16)", "safeclip (pool=4096)"),
        ("targeted (targets=16)", "none (epochs=20)"),
        ("targeted (targets=16)", "none (epochs=40)"),
        ("targeted (targets=32)", "none (epochs=20)"),
    }
    assert list(frame["seeds"]) == [1] * 5


def test_a_row_is_held_against_none_of_its_own_settings(make_result: MakeResult) -> None:
    """Of several undefended rows that of the same settings decides cost and eligibility."""
    made = []
    for epochs, successes, seconds in ((20, 4, 100.0), (40, 16, 200.0)):
        train = {"epochs": epochs}
        made.append(make_result(train=train, success=(successes, 16), seconds=seconds))
        made.append(make_result(train=train, defense="clip", success=(0, 16), seconds=300.0))
    # Trained to a recipe of its own: held against all undefended runs together.
    made.append(make_result(train={"epochs": 31}, defense="safeclip", seconds=300.0))

    frame = leaderboard(made)

    short = one(frame, defense="clip (epochs=20)")
    long = one(frame, defense="clip (epochs=40)")
    own = one(frame, defense="safeclip")
    assert (short["cost"], short["eligible"]) == (3.0, "no (undefended 25.0%)")
    assert (long["cost"], long["eligible"]) == (1.5, "yes")
    assert (own["cost"], own["undefended"]) == (2.0, 20 / 32)


def test_a_recipes_own_epochs_leave_the_other_settings_to_decide(make_result: MakeResult) -> None:
    """None has as many epochs; its undefended runs are those of the same warm-up, not all."""
    made = [
        make_result(train={"epochs": epochs, "warmup": warmup}, seconds=seconds)
        for epochs, warmup, seconds in ((9, 50, 100.0), (18, 100, 200.0))
    ]
    made.append(make_result(train={"epochs": 15, "warmup": 50}, defense="safeclip", seconds=300.0))
    assert one(leaderboard(made), defense="safeclip")["cost"] == 3.0


def test_a_repeated_seed_counts_once(make_result: MakeResult) -> None:
    """A run made again with other workers is no second seed; the newer one stands."""
    first = make_result(settings={"workers": 0}, success=(10, 16))
    again = make_result(
        settings={"workers": 2}, success=(12, 16), created="2026-03-02T00:00:00+00:00"
    )

    row = one(leaderboard([again, first, again]), defense="none")

    assert (row["seeds"], row["attack_success_k"], row["attack_success_n"]) == (1, 12, 16)


def test_defaults_are_not_shown(make_result: MakeResult) -> None:
    """Where defaults are known, a label shows just the parameters that differ from them."""
    known = {("attack", "targeted"): {"targets": 8}, ("defense", "safeclip"): {"pool": 4096}}
    frame = leaderboard(
        [make_result(defense="safeclip", defense_parameters={"pool": 4096, "note": None})],
        defaults=lambda kind, name: known.get((kind, name)),
    )

    assert frame["attack"][0] == "targeted (targets=16)"
    assert frame["defense"][0] == "safeclip (note=null)"
    assert frame["defense_parameters"][0] == '{"note": null, "pool": 4096}'


def test_parameters_without_known_defaults_are_shown(make_result: MakeResult) -> None:
    """The plugin is a file, which is not run for a table: nobody takes 0.3 for its default."""
    made = make_result(defense="bottom", defense_parameters={"share": 0.3})
    known = {"attack": {"targets": 16}, "data": {}}

    frame = leaderboard([made], defaults=lambda kind, _: known.get(kind))

    assert frame["defense"][0] == "bottom (share=0.3)"


def test_what_tells_rows_apart_comes_first(make_result: MakeResult) -> None:
    """A label starts with what differs between rows, since a narrow table may cut the rest."""
    made = [
        make_result(
            defense="safeclip",
            defense_parameters={"a": 1, "epochs": 5, "pool": pool},
            train={"epochs": epochs},
        )
        for pool, epochs in ((256, 20), (4096, 20), (4096, 40))
    ]

    frame = leaderboard(made, defaults=lambda kind, _: {"pool": 9} if kind == "defense" else {})

    assert set(frame["defense"]) == {
        "safeclip (pool=256, a=1, epochs=5)",
        "safeclip (train.epochs=20, pool=4096, a=1, epochs=5)",
        "safeclip (train.epochs=40, pool=4096, a=1, epochs=5)",
    }


def test_the_same_amount_said_twice_is_one_row(make_result: MakeResult) -> None:
    """Runs asked for by rate and by count of poisons are seeds of one row."""
    by_rate = make_result(seed=0, settings={"rate_text": "0.008", "poisons": None})
    by_count = make_result(seed=1, settings={"rate_text": None, "poisons": 160})

    assert list(leaderboard([by_rate, by_count])["seeds"]) == [2]


def test_changed_code_is_another_row(make_result: MakeResult) -> None:
    """Results of two versions of a plugin file are not put together."""
    made = [make_result(settings={"code": {"attack": digit * 64}}) for digit in "ab"]

    assert list(leaderboard(made)["defense"]) == [
        "none (code.attack=aaaaaaaa)",
        "none (code.attack=bbbbbbbb)",
    ]


def test_models_and_data_are_kept_apart(make_result: MakeResult) -> None:
    """Another model, image size, data set or test set is another row, and seen as one."""
    large = make_result(defense="clip")
    large["model"]["image_size"] = 64
    other_test = make_result(seed=5)
    other_test["data"]["evaluation"]["name"] = "sketches"
    frame = leaderboard(
        [make_result(), make_result(model="RN50"), make_result(data="cc3m"), large, other_test]
    )

    assert len(frame) == 5
    assert set(frame["model"]) == {
        "RN50",
        "shapes-tiny (image_size=32)",
        "shapes-tiny (image_size=64)",
    }
    assert set(frame["data"]) == {
        "cc3m",
        "shapes (evaluation=shapes)",
        "shapes (evaluation=sketches)",
    }


@pytest.mark.parametrize("asked", ["classes_sha256", "templates_sha256"])
def test_what_was_read_by_other_classes_or_prompts_is_another_row(
    make_result: MakeResult, asked: str
) -> None:
    """As another version of a test set has them under its old name; nor does it judge others."""
    bare, old, new = make_result(success=(16, 16)), make_result(seed=1), make_result(defense="mine")
    for result in (old, new):
        result["data"]["evaluation"][asked] = "f" * 64
    frame = leaderboard([bare, old, new], defaults=lambda *_: {"size": 20000})
    assert sorted(frame["seeds"]) == [1, 1, 1]
    assert len(set(frame["data"])) == 2
    name = {"classes_sha256": "test_classes", "templates_sha256": "test_prompts"}[asked]
    row = one(frame, defense="mine")
    assert row["data"] == f"shapes ({name}=ffffffff)"
    assert row["judge_runs"] == old["id"]


@pytest.mark.parametrize("value", [None, "20", [1], {"a": 1}, 10**400, 1.5, True, -1])
def test_a_count_of_a_stranger_may_be_no_count(make_result: MakeResult, value: object) -> None:
    """Configurations and parameters hold anything; a table leaves such a cell empty."""
    made = make_result(defense="mine", train={"epochs": value})
    made["defense"]["parameters"]["trusted_size"] = value
    frame = leaderboard([make_result(), made])
    row = one(frame, defense_name="mine")
    assert row["epochs"] is None
    assert row["trusted_pairs"] == (None if value else 0)
    assert all(map(len, (to_csv(frame), to_markdown(frame), to_latex(frame))))
    assert "mine" in to_html([make_result(), made])


def test_no_pairs_have_no_passes(make_result: MakeResult) -> None:
    """A stranger's result may say that there were none."""
    made = make_result(attack="none")
    made["data"]["pairs"] = 0
    assert one(leaderboard([made]))["passes"] is None


def test_metrics_of_plugins_get_columns(make_result: MakeResult) -> None:
    """A metric this program does not know appears under its own name, apart from ours."""
    frame = leaderboard([make_result(metrics={"seconds": (1, 4), "depth\n": 2.5})])
    row = one(frame, defense="none")

    assert (row["metrics.seconds"], row["metrics.seconds_n"], row["seconds"]) == (0.25, 4, 140.0)
    assert row["metrics.depth\\n_mean"] == 2.5


def test_no_results_make_an_empty_table() -> None:
    """An empty table still has its columns and can be printed."""
    frame = leaderboard([])

    assert len(frame) == 0
    assert to_csv(frame).startswith("attack,rate,count,")
    assert "| attack |" in to_markdown(frame)
    assert "\\toprule" in to_latex(frame)


def test_write_all_is_complete_and_stable(tmp_path: Path, bench: list[Result]) -> None:
    """The same results in any order give the same bytes; the JSON gives the same table again."""
    paths = write_all(leaderboard(bench), bench, tmp_path / "a", name="board")
    write_all(leaderboard(bench[::-1]), bench[::-1], tmp_path / "b", name="board")

    assert [path.name for path in paths] == ["board.md", "board.csv", "board.tex", "board.json"]
    assert sorted(tmp_path.joinpath("a").iterdir()) == sorted(paths)
    for path in paths:
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    again = leaderboard(load_results([paths[-1]]))
    assert to_csv(again) == paths[1].read_text(encoding="utf-8")


def test_cost_on_a_cpu_is_of_processors_seconds(make_result: MakeResult) -> None:
    """A machine that did other work meanwhile makes a training take longer, not cost more."""
    seconds = {"none": (100.0, 90.0), "clip": (400.0, 99.0)}
    results = []
    for defense, (passed, spent) in seconds.items():
        result = make_result(defense=defense, seconds=passed)
        result["train"]["cpu_seconds"] = spent
        results.append(result)
    frame = leaderboard(results)
    assert frame.set_index("defense").loc["clip", "cost"] == pytest.approx(1.1)
    del results[0]["train"]["cpu_seconds"]  # as a version before had it
    frame = leaderboard(results)
    assert frame.set_index("defense").loc["clip", "cost"] is None
    for result in results:
        result["train"]["device"] = "NVIDIA H100"
    frame = leaderboard(results)
    assert frame.set_index("defense").loc["clip", "cost"] == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("settings", "recipe"),
    [
        ({"code": {"defense": "a" * 64}}, {}),
        ({"trusted": {"name": "shapes"}, "code": {"trusted": "a" * 64}}, {}),
        ({}, {"epochs": 31}),
    ],
)
def test_of_undefended_rows_the_one_of_the_same_setting_counts(
    make_result: MakeResult, settings: dict[str, Any], recipe: dict[str, Any]
) -> None:
    """Code, clean pairs or epochs of its own do not hold a defense against runs of another lr."""
    made = []
    for lr, successes in ((1e-7, 0), (1e-3, 16)):
        train = {"lr": lr}
        made.append(make_result(train=train, success=(successes, 16)))
        made.append(make_result(train=train | recipe, defense="mine", settings=settings))

    frame = leaderboard(made)

    assert one(frame, defense="mine (lr=1e-07)")["eligible"] == "no (undefended 0.0%)"
    assert one(frame, defense="mine (lr=0.001)")["undefended"] == 1.0


@pytest.mark.parametrize(
    ("none", "clip", "cost"),
    [
        ("A50 B100 B100", "A100 A100 B200", 2.0),  # medians of all: 100 s each
        ("A50 B100", "A150 A150 B100", 2.0),  # threefold on one, the same on the other
        ("A50 B100", "A100 C1", 2.0),  # on A, the only machine of both
        ("A0 B100", "A100 B150", 1.5),  # on A it is not known
        ("A50", "B100", None),
    ],
)
def test_cost_is_told_machine_by_machine(
    make_result: MakeResult, none: str, clip: str, cost: float | None
) -> None:
    """Which machine had more of the seeds does not count; of several machines the median does."""
    made = []
    for defense, times in (("none", none), ("clip", clip)):
        for seed, time in enumerate(times.split()):
            result = make_result(defense=defense, seed=seed)
            result["train"]["cpu_seconds"] = float(time[1:])
            result["environment"]["hardware"] = {"cpu": time[0]}
            made.append(result)

    assert one(leaderboard(made), defense="clip")["cost"] == cost


def test_a_cost_may_be_of_a_run_made_again(make_result: MakeResult) -> None:
    """On a machine that none was not trained on at first, but since."""
    none, clip = make_result(), make_result(defense="clip")
    for result, cpu, seconds in ((none, "A", 500.0), (clip, "B", 150.0)):
        result["environment"]["hardware"] = {"cpu": cpu}
        result["train"]["cpu_seconds"] = seconds
    assert one(leaderboard([none, clip]), defense="clip")["cost"] is None
    note = {"created": "2027-01-01T00:00:00Z", "environment": clip["environment"]}
    none["again"] = [{**note, "train": {**none["train"], "cpu_seconds": 100.0}}]
    row = one(leaderboard([none, clip]), defense="clip")
    assert (row["cost"], row["cost_runs"]) == (1.5, none["id"])
    assert one(leaderboard([none, clip]), defense="none")["cost"] == 1.0


def test_a_cost_is_of_runs_with_as_many_threads(make_result: MakeResult) -> None:
    """Threads that wait for one another spend a processor's seconds, too."""
    made = []
    for defense, seconds, threads in (("none", 100.0, 1), ("none", 150.0, 2), ("clip", 300.0, 2)):
        result = make_result(defense=defense, seed=threads)
        result["train"] |= {"cpu_seconds": seconds, "threads": [threads]}
        made.append(result)
    row = one(leaderboard(made), defense="clip")
    assert (row["cost"], row["cost_runs"]) == (2.0, made[1]["id"])


def test_a_cost_is_of_no_run_that_went_on_in_another_way(make_result: MakeResult) -> None:
    """Begun by one process and finished by four: its seconds are neither's."""
    made = [make_result(defense=defense) for defense in ("none", "clip")]
    assert one(leaderboard(made), defense="clip")["cost"] is not None
    made[1]["train"]["ways"] = ["1 process on a processor", "4 processes on a processor"]
    assert one(leaderboard(made), defense="clip")["cost"] is None


def test_a_content_is_called_as_the_parameter_that_has_it(make_result: MakeResult) -> None:
    """All that a data set reads has one content: its shards are not called as its list is."""
    content = f"sha256:{'5' * 64}"
    result = make_result(data="own", settings={"data": {"path": content, "classes": content}})
    result["data"]["parameters"] = {"path": content, "classes": content}
    result["names"] = {"data.path": "crawl", "data.classes": "a.txt"}
    frame = leaderboard([result], defaults=lambda *_: {})
    assert set(frame["data"]) == {"own (classes=a.txt@55555555, path=crawl@55555555)"}


def test_two_metrics_have_two_columns(make_result: MakeResult) -> None:
    """A share called as the mean of another metric is, and names that print alike, are numbered."""
    metrics = {"a": 0.5, "a_mean": (1, 4), "b\n": 1.0, "b\\n": 2.0}
    frame = leaderboard([make_result(metrics=metrics)])
    row = one(frame, defense="none")

    assert len(set(frame.columns)) == len(frame.columns)
    assert (row["metrics.a_mean"], row["metrics.a_mean#2"]) == (0.5, 0.25)
    assert (row["metrics.b\\n_mean"], row["metrics.b\\n#2_mean"]) == (1.0, 2.0)


def test_only_the_seed_of_the_run_makes_seeds_of_a_row(make_result: MakeResult) -> None:
    """Other pairs known to be clean are another setting, though a seed of theirs alone differs."""
    made = [
        make_result(defense="mine", settings={"trusted": {"name": "shapes", "seed": seed}})
        for seed in (1, 2)
    ]

    assert list(leaderboard(made)["defense"]) == [
        "mine (trusted.seed=1)",
        "mine (trusted.seed=2)",
    ]
