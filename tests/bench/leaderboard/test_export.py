from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from as_json import of_json

from clipbench.leaderboard.export import to_clip_benchmark, write_clip_benchmark

to_clip_benchmark = of_json(to_clip_benchmark)
write_clip_benchmark = of_json(write_clip_benchmark)

MakeResult = Callable[..., dict[str, Any]]


def test_rows_are_those_of_clip_benchmark(make_result: MakeResult) -> None:
    """Classification and retrieval become one row each, images being what text retrieves."""
    result = make_result(metrics={"text_to_image_r5": (900, 1000)}, seed=3)

    classification, retrieval = to_clip_benchmark(result)

    assert classification == {
        "dataset": "shapes",
        "model": "shapes-tiny",
        "pretrained": f"clipbench-targeted-0.008-none-seed3-{result['id']}",
        "task": "zeroshot_classification",
        "metrics": {"acc1": 0.85, "acc5": 0.97, "mean_per_class_recall": 0.851},
        "language": "en",
    }
    assert retrieval["task"] == "zeroshot_retrieval"
    assert retrieval["metrics"] == {
        "image_retrieval_recall@1": 0.63,
        "image_retrieval_recall@5": 0.9,
        "text_retrieval_recall@1": 0.641,
    }


def test_what_was_not_measured_is_left_out(make_result: MakeResult) -> None:
    """A task without metrics gives no row rather than an empty one."""
    nothing = dict.fromkeys(
        ("zeroshot_top5", "mean_per_class_recall", "image_to_text_r1", "text_to_image_r1")
    )

    rows = to_clip_benchmark(make_result(attack="none", seed=None, metrics=nothing))

    assert [row["metrics"] for row in rows] == [{"acc1": 0.85}]
    assert rows[0]["pretrained"].startswith("clipbench-none-none-")


def test_files_build_into_one_csv(tmp_path: Path, make_result: MakeResult) -> None:
    """The files have the shape ``clip_benchmark build`` flattens, whatever the names hold."""
    hostile = make_result(defense="../../etc/passwd\n", model="a/b" * 100)

    paths = write_clip_benchmark([make_result(), hostile], tmp_path / "out")

    assert len(set(paths)) == 4
    assert {path.parent for path in paths} == {tmp_path / "out"}
    rows = []
    for path in paths:
        content = json.loads(path.read_text())
        row = content.pop("metrics") | content
        rows.append(row | {"model_fullname": f"{row['model']} {row['pretrained']}"})
    table = tmp_path / "benchmark.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=sorted({key for row in rows for key in row}))
        writer.writeheader()
        writer.writerows(rows)
    with table.open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [row["acc1"] for row in read] == ["0.85", "", "0.85", ""]
    assert [row["text_retrieval_recall@1"] for row in read] == ["", "0.641", "", "0.641"]
