"""Long lists of options in groups, so that help is read by what one looks for."""

from __future__ import annotations

import click

LONG = 15  # a list of more options is divided

# Heading -> options by parameter name, as in `clipbench.cli._options`; others come last.
OPTION_GROUPS = {
    "Data": ("data", "shards", "trusted", "evals", "on_error"),
    "Attack": ("attack", "rate", "poisons", "poison_seed"),
    "Defense": ("defense", "methods"),
    "Runs": ("seed", "controls", "metrics", "ledger", "drop", "shown"),
    "Training": (
        *("recipe", "model", "pretrained", "epochs", "batch_size", "lr", "lr_schedule"),
        *("wd", "warmup", "grad_clip_norm", "precision", "compile", "workers", "device"),
        *("save_frequency", "tensorboard", "settings"),
    ),
    "Files": ("config", "allowed", "out", "folder", "cache"),
}


def write_options(
    command: click.Command, ctx: click.Context, formatter: click.HelpFormatter
) -> None:
    """Write the options of a command, in groups if there are many."""
    records = {
        parameter.name: record
        for parameter in command.get_params(ctx)
        if (record := parameter.get_help_record(ctx)) is not None
    }
    groups = OPTION_GROUPS if len(records) > LONG else {}
    for heading, names in groups.items():
        rows = [records.pop(name) for name in names if name in records]
        if rows:
            with formatter.section(heading):
                formatter.write_dl(rows)
    with formatter.section("Other options" if groups else "Options"):
        formatter.write_dl([*records.values()])
