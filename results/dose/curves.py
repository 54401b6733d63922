"""Shares of cells as arrays, and logistic curves of them, for N50 and slopes of the dose study."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit, stdtrit

RIDGE = 1e-6  # keeps levels of perfectly separated cells finite
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, order=True)
class Cell:
    """What runs of a cell share: attack, defense, clean pairs, and epochs without a defense."""

    attack: str
    defense: str
    pairs: int
    epochs: float


@dataclass(frozen=True)
class Arm:
    """Cells of which pairs, epochs, or both vary in one way.

    Args:
        holds: whether a cell is of it.
        ratio: of slopes, which the arm identifies.
        along: what varies, `clean pairs` or `epochs`.
        title: of its panel.
        dotted: what decides, if N50 is as the dotted line of its panel.
        power: of what varies, with which N50 then goes.
        through: pairs and epochs of the cell without a defense on the dotted line.
    """

    holds: Callable[[Cell], bool]
    ratio: str
    along: str
    title: str
    dotted: str
    power: int
    through: tuple[int, int]

    def place(self, cell: Cell) -> float:
        """Return what varies, of a cell."""
        return cell.epochs if self.along == "epochs" else cell.pairs


_SIZE = "clean pairs"
ARMS: Mapping[str, Arm] = {
    "equal epochs": Arm(
        lambda cell: cell.epochs == 9, "c/b", _SIZE, "A: 9 epochs", "rate", 1, (20_000, 9)
    ),
    "equal samples": Arm(
        lambda cell: cell.pairs * cell.epochs == 180_000,
        *("(c − d)/b", _SIZE, "B: 180,000 samples seen", "exposures or rate", 1, (20_000, 9)),
    ),
    "more epochs": Arm(
        lambda cell: cell.pairs == 20_000,
        *("d/b", "epochs", "C: 20,000 pairs", "exposures", -1, (20_000, 9)),
    ),
    "three epochs": Arm(
        lambda cell: cell.epochs == 3, "c/b", _SIZE, "3 epochs", "rate", 1, (60_000, 3)
    ),
}


@dataclass(frozen=True)
class Trials:
    """Successes of one run at one count.

    Args:
        run: the run.
        draw: the draw of poison, which runs of other cells have, too.
        count: poisoned pairs of one target, or of the backdoor.
        successes: k.
        trials: n.
    """

    run: str
    draw: str
    count: int
    successes: float
    trials: float


@dataclass(frozen=True)
class Shares:
    """Trials of cells as arrays of one length N.

    Args:
        cells: all cells, sorted.
        cell: places in `cells` ``(N,)``.
        run: numbers of runs ``(N,)``.
        draw: numbers of draws of poison ``(N,)``.
        logs: log2 of count, pairs, and epochs ``(N, 3)``.
        share: k/n ``(N,)``.
        trials: n ``(N,)``.
    """

    cells: list[Cell]
    cell: Integers
    run: Integers
    draw: Integers
    logs: Floats
    share: Floats
    trials: Floats

    def without(self, draw: int) -> Shares:
        """Return the shares of all other draws of poison."""
        kept = self.draw != draw
        columns = (self.cell, self.run, self.draw, self.logs, self.share, self.trials)
        return Shares(self.cells, *(column[kept] for column in columns))

    @property
    def levels(self) -> Floats:
        """Whether each share is of each cell ``(N, cells)``."""
        return np.asarray(self.cell[:, None] == np.arange(len(self.cells)), dtype=np.float64)


@dataclass(frozen=True)
class Estimate:
    """A number with its 95% interval; NaN: not identified, or without an interval."""

    value: float
    low: float = math.nan
    high: float = math.nan

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "—"
        best, low, high = map(_told, (self.value, self.low, self.high))
        return f"{best} [—]" if math.isnan(self.low) else f"{best} [{low}, {high}]"


def _told(number: float) -> str:
    return f"{round(number, 2) + 0.0:.2f}".replace("inf", "∞")  # 0.0 makes -0.0 of it 0.0


def draw_of(seed: int | None, counts: Collection[int], dosed: bool) -> str:
    """Return what a draw of poison is called.

    Args:
        seed: of the poison.
        counts: of poisoned pairs, in one run.
        dosed: whether targets have doses: as many doses of one seed have the same images in turn.
    """
    return f"{seed} of {len(counts)} doses" if dosed else f"{seed} of count {min(counts)}"


def arranged(cells: Mapping[Cell, Sequence[Trials]]) -> Shares:
    """Return the trials of cells as arrays."""
    names = sorted(cell for cell in cells if cells[cell])
    every = [(cell, one) for cell in names for one in cells[cell]]
    return Shares(
        names,
        np.array([names.index(cell) for cell, _ in every]),
        np.unique([one.run for _, one in every], return_inverse=True)[1],
        np.unique([one.draw for _, one in every], return_inverse=True)[1],
        np.log2([[one.count, cell.pairs, cell.epochs] for cell, one in every]),
        np.array([one.successes / one.trials for _, one in every]),
        np.array([one.trials for _, one in every], dtype=np.float64),
    )


def logistic(design: Floats, share: Floats) -> Floats:
    """Return the coefficients ``(p,)`` of a logistic regression of shares ``(N,)``.

    By Newton's method with steps that are halved until they help. scikit-learn would need every
    share twice, as the weights of both outcomes, and takes several times as long; a simulation fits
    a hundred thousand of these.

    Args:
        design: ``(N, p)``, with the column of ones, if there is to be one.
        share: in [0, 1]; each weighs the same.
    """
    found = np.zeros(design.shape[1])
    ridge = RIDGE * np.eye(len(found))

    def loss(coefficients: Floats) -> float:
        logits = design @ coefficients
        penalty = coefficients @ ridge @ coefficients / 2
        return float((np.logaddexp(0, logits) - share * logits).sum() + penalty)

    before = loss(found)
    for _ in range(200):
        fitted = expit(design @ found)
        uphill = design.T @ (share - fitted) - ridge @ found
        curvature = design.T @ ((fitted * (1 - fitted))[:, None] * design) + ridge
        step = np.linalg.solve(curvature, uphill)
        gain = float(uphill @ step)
        if gain < 1e-9:
            break
        size = 1.0
        while (after := loss(found + size * step)) > before - size * gain / 4 and size > 1e-6:
            size /= 2
        found, before = found + size * step, after
    return found


def quantile(freedom: float) -> float:
    """Return how many standard errors Student's 95% interval reaches to each side."""
    return float(stdtrit(max(freedom, 0.25), 0.975))  # it is 600 there, and soon infinite


def sums(values: Floats, groups: Integers) -> Floats:
    """Return the sums of the values ``(N, ...)`` of each group."""
    found = np.zeros((groups.max() + 1, *values.shape[1:]))
    np.add.at(found, groups, values)
    return found
