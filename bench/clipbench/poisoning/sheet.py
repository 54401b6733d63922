"""A picture of an attack: pairs before and after, and test inputs to be misclassified."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from clipbench.contracts import AnyProbes, EvaluationSet, Image, TextProbes
from clipbench.files.named_files import write_picture
from clipbench.images.fit import fit
from clipbench.poisoning.ledger import Ledger
from clipbench.shards.reader import ShardSet
from clipbench.text.visible import visible
from clipbench.text.words import counted

if TYPE_CHECKING:
    import pandas as pd

PAIRS, PROBES = 5, 2  # rows of either kind
WIDTH = 34  # characters of a line of a caption
LINES = 4  # of a caption


class Cell(NamedTuple):
    """An image with the text below it; without an image, the text alone."""

    image: Image | None
    text: str


def poison_sheet(
    clean: ShardSet,
    poisoned: ShardSet,
    ledger: Ledger,
    probes: AnyProbes,
    evaluation: EvaluationSet,
    path: Path,
) -> None:
    """Write a PNG: some pairs before, poisoned, and their difference; then some probes.

    Args:
        clean: the set that was poisoned.
        poisoned: the poisoned set.
        ledger: says which pairs are poisoned.
        probes: what the attack wants misclassified.
        evaluation: names the classes.
        path: the file.
    """
    has_trigger = ledger.trigger_sha256 is not None
    chosen = _chosen(ledger.rows).to_dict(orient="records")
    rows = [_pair(clean, poisoned, row, has_trigger) for row in chosen]
    numbers = np.linspace(0, len(probes) - 1, min(PROBES, len(probes))).round().astype(int)
    rows += [_probe(probes, evaluation, int(number)) for number in dict.fromkeys(numbers)]
    share = f"{ledger.count:,} of {counted(ledger.num_pairs, 'pair')}"
    targets = counted(ledger.targets, "target")
    _draw(rows, f"{ledger.attack}: {share}, {targets}, {ledger.mode}", path)


def _chosen(rows: pd.DataFrame) -> pd.DataFrame:
    """Return some poisons: of each role the first of each target, then the next."""
    turn = rows.groupby(["role", "target"]).cumcount()
    in_role = turn.groupby([rows["role"], turn]).cumcount()
    order = rows.assign(turn=turn, in_role=in_role).sort_values(["turn", "in_role"], kind="stable")
    return order.head(PAIRS)


def _pair(
    clean: ShardSet, poisoned: ShardSet, row: dict[object, Any], has_trigger: bool
) -> list[Cell]:
    after = poisoned.image(row["index"])
    about = f"{row['role']}, target {row['target']}"
    if row["base_index"] < 0:
        return [
            Cell(None, "inserted"),
            Cell(after, row["caption_after"]),
            Cell(None, about),
        ]
    before = clean.image(row["base_index"])
    caption = row["caption_before"] or clean.caption(row["base_index"])
    return [
        Cell(before, caption),
        Cell(after, row["caption_after"]),
        Cell(_difference(before, after) if has_trigger else None, about),
    ]


def _probe(probes: AnyProbes, evaluation: EvaluationSet, number: int) -> list[Cell]:
    label, goal = int(probes.labels[number]), int(probes.goals[number])
    if isinstance(probes, TextProbes):
        plain = None if probes.clean_texts is None else probes.clean_texts[number]
        return [
            Cell(probes.candidates[label], f"tested: {plain or 'the caption’s own image'}"),
            Cell(probes.candidates[goal], f"wanted for: {probes.texts[number]}"),
            Cell(None, ""),
        ]
    names = evaluation.classes.names
    shown = probes.images[number]
    clean = shown if probes.clean_images is None else probes.clean_images[number]
    wanted = f"wanted: {names[goal]}"
    if probes.prompt is not None:
        wanted += f", from prompts such as {probes.prompt(evaluation.classes.templates[0])!r}"
    return [
        Cell(clean, f"tested: {names[label]}"),
        Cell(shown, wanted),
        Cell(_difference(clean, shown), ""),
    ]


def _difference(before: Image, after: Image) -> Image | None:
    """Return what changed, stretched to the full range; None: nothing did."""
    if before.shape != after.shape:
        if after.shape[0] != after.shape[1]:
            return None
        before = fit(before, after.shape[0])
    difference = np.abs(after.astype(np.float64) - before)
    if not difference.any():
        return None
    stretched: Image = (difference * (255 / difference.max())).astype(np.uint8)
    return stretched


def _draw(rows: Sequence[Sequence[Cell]], title: str, path: Path) -> None:
    from matplotlib.figure import Figure  # noqa: PLC0415 - heavy

    titles = ("before", "after", "difference, stretched")
    figure = Figure(figsize=(8, 2.5 * len(rows) + 0.5), layout="constrained")
    axes = figure.subplots(len(rows), len(titles), squeeze=False)
    for number, row in enumerate(rows):
        for axis, name, cell in zip(axes[number], titles, row, strict=True):
            axis.set_axis_off()
            if number == 0:
                axis.set_title(name, fontsize=9)
            text = "\n".join(
                textwrap.wrap(visible(cell.text), WIDTH, max_lines=LINES, placeholder=" …")
            )
            if cell.image is None:
                axis.text(0.5, 0.5, text, ha="center", va="center", fontsize=8, parse_math=False)
                continue
            axis.imshow(cell.image, interpolation="nearest")
            axis.text(
                0.5, -0.04, text, ha="center", va="top", fontsize=8, parse_math=False,
                transform=axis.transAxes,
            )  # fmt: skip
    figure.suptitle(visible(title), fontsize=10, parse_math=False)
    write_picture(figure, path, dpi=120)
