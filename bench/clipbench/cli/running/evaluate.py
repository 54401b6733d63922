"""``clipbench evaluate``: measure any open_clip checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from clipbench.api.work import reporter_for
from clipbench.cli import _options as options
from clipbench.cli import _requests as requests
from clipbench.cli._custody import logged
from clipbench.cli._output import columns, print_json, print_result
from clipbench.plugins import lists
from clipbench.text.visible import visible

if TYPE_CHECKING:
    from clipbench.evaluation.measured import Metric
    from clipbench.pipeline.evaluate import MeasuredCheckpoint


@click.command("evaluate", cls=options.Command)
@options.option(
    "--checkpoint",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    show_default=False,
    help="Weights file of clipbench or open_clip, or the folder of a run.",
)
@options.option(
    "--model",
    required=True,
    metavar="NAME",
    show_default=False,
    help="open_clip model name or configuration file.",
)
@options.option(
    "--data",
    metavar="SPEC",
    show_default="that of the ledger, else shapes",
    help="Data set whose held-out data are used if --eval names none.",
)
@options.eval_option
@options.metric_option
@options.option(
    "--ledger",
    type=click.Path(path_type=Path),
    metavar="FILE",
    show_default="none",
    help="Ledger of the poisoned training set; also measures the attack.",
)
@options.allowing(
    "What the ledger may name besides installed plugins: a plugin's file (with the recorded"
    " hash), module:object, or a path."
)
@options.option("--device", default="auto", help="auto, cpu, cuda or cuda:N.")
@options.cache_option
@options.json_option
@options.quiet_option
def command(
    *,
    checkpoint: Path,
    model: str,
    data: str | None,
    evals: tuple[str, ...],
    metrics: tuple[str, ...],
    ledger: Path | None,
    allowed: tuple[str, ...],
    device: str,
    cache: Path,
    as_json: bool,
    quiet: bool,
) -> None:
    """Measure a checkpoint of clipbench or open_clip.

    Measures clean accuracy and retrieval; with a ledger also attack success.
    """
    requests.refuse_unused("--ledger", "allowed", unless=ledger is not None)
    wanted = "no --eval, for it says what to measure on where that is not named"
    requests.refuse_unused(wanted, "data", unless=not evals)
    from clipbench.parallel.bench import Bench  # noqa: PLC0415 - heavy
    from clipbench.pipeline.evaluate import Checkpoint, evaluate_checkpoint  # noqa: PLC0415

    with reporter_for(quiet) as reporter, logged("evaluate", None, model=model):
        asked = Checkpoint(
            checkpoint,
            model,
            data=data,
            evals=lists.each(evals, "eval"),
            metrics=lists.each(metrics, "metric"),
            ledger=ledger,
            allowed=allowed,
        )
        result = evaluate_checkpoint(asked, Bench(cache, reporter=reporter), device)
    if as_json:
        print_json([result.to_json()])
    else:
        print_result(_text(result))


def _text(result: MeasuredCheckpoint) -> str:
    """Return the metrics for people, each set under its name.

    Of one set, too: it is `shapes` where none was named, whatever the checkpoint was trained on.
    """
    blocks = []
    for item in result.evaluations:
        lines = columns(_line(name, value) for name, value in item.metrics.items())
        blocks.append(f"{visible(item.name)}\n{lines}")
    return "\n\n".join(blocks)


def _line(name: str, metric: Metric) -> tuple[str, str, str, str]:
    """Return a metric as name, value, count and interval; the last two for proportions."""
    if metric.low is None:  # no proportion of a count
        return name, f"{metric.value:.4f}", "", ""
    interval = f"[{metric.low:.2%}, {metric.high:.2%}]"
    return name, f"{metric.value:.2%}", f"{metric.k}/{metric.n}", interval
