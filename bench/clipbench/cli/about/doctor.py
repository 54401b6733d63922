"""``clipbench doctor``: whether this machine can do the work, and how fast."""

from __future__ import annotations

from pathlib import Path

import click

from clipbench.cli import _options as options
from clipbench.cli._errors import FAILED
from clipbench.cli._machine import examine
from clipbench.cli._output import columns, print_json, print_result


@click.command("doctor", cls=options.Command)
@options.cache_option
@options.json_option
@click.pass_context
def command(ctx: click.Context, /, cache: Path, as_json: bool) -> None:
    """Check that this machine can do the work.

    Checks packages, processor, GPUs, memory, disk and cache. Exits with status 1 if something
    essential is missing.
    """
    findings = examine(cache)
    passed = all(finding.passed for finding in findings)
    if as_json:
        checks = [
            {"name": item.name, "passed": item.passed, "message": item.message} for item in findings
        ]
        print_json({"passed": passed, "checks": checks})
    else:
        print_result(
            columns(
                ("ok" if item.passed else "PROBLEM", item.name, item.message) for item in findings
            )
        )
    if not passed:
        ctx.exit(FAILED)
