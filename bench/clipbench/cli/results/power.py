"""``clipbench power``: how many targets and seeds a comparison needs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from clipbench.cli import _options as options
from clipbench.cli._output import print_json, print_result
from clipbench.errors import BadSetting

if TYPE_CHECKING:
    from clipbench.evaluation.power import Power


def _share(ctx: click.Context, param: click.Parameter, value: str) -> float:
    """Return a share as people write it: ``5%`` or ``0.05``."""
    text = value.strip()
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise click.BadParameter(f"{value!r} is no share; write 5% or 0.05.", ctx, param)
    return share


def _share_option(*names: str, **keywords: object) -> Callable[[options.F], options.F]:
    return options.option(*names, metavar="SHARE", callback=_share, **keywords)


@click.command("power", cls=options.Command)
@_share_option("--share", required=True, help="Attack success rate under one defense.")
@_share_option("--against", required=True, help="Attack success rate under the other.")
@options.option("--targets", type=click.IntRange(1), default=16, help="Probes per seed.")
@options.option(
    "--correlation",
    type=click.FloatRange(-1, 1),
    default=0.0,
    help="Correlation of the two defenses' outcomes on one probe.",
)
@_share_option("--power", "wanted", default="0.8", help="Probability of telling them apart.")
@_share_option("--level", default="0.05", help="Level of the two-sided exact McNemar test.")
@options.option(
    "--trials",
    type=click.IntRange(1),
    show_default="what --power needs",
    help="Print the power of this many trials instead.",
)
@options.json_option
def command(
    *,
    share: float,
    against: float,
    targets: int,
    correlation: float,
    wanted: float,
    level: float,
    trials: int | None,
    as_json: bool,
) -> None:
    """Compute how many trials tell two defenses apart.

    A trial is a probe that both defenses classify after training on the same poison. The number of
    trials is targets times seeds; they are treated as independent.
    """
    from clipbench.evaluation import power  # noqa: PLC0415 - heavy

    if not 0 < wanted < 1:
        raise BadSetting(f"--power is {wanted:g}; it must lie strictly between 0 and 1.")
    design = power.Design(share, against, correlation, level)
    fewest = None if trials else power.trials_needed(design, wanted)
    whole = trials or power.trials_needed(design, wanted, targets)
    found = power.to_json(design, whole, targets)
    if as_json:
        print_json({**found, "fewest_trials": fewest})
        return
    if fewest:
        print_result(
            f"{fewest} trials tell {100 * share:g}% from {100 * against:g}% with a power of"
            f" {100 * wanted:g}% (exact McNemar test, two-sided, level {level:g})."
        )
    print_result(_sentence(found))


def _sentence(found: Power) -> str:
    """Return what a number of trials is good for."""
    seeds, targets = found["seeds"], found["targets"]
    design = f"{seeds} seed{'s' * (seeds != 1)} of {targets} target{'s' * (targets != 1)}"
    bound = f"{100 * found['zero_upper_bound']:.1f}%"
    return (
        f"{found['trials']} trials, {design}: power {100 * found['power']:.1f}%. A defense that"
        f" lets 0 of them through may let through up to {bound} (Wilson)."
    )
