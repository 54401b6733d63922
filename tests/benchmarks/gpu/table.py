"""The findings of a GPU as a page.

python tests/benchmarks/gpu/table.py results/gpu > results/gpu/README.md
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

NONE = """# On a GPU

No GPU has run `make gpu` yet: there are no findings. [docs/gpu.md](../../docs/gpu.md) says how.
"""
HEAD = """# On a GPU

What `make gpu` found; [docs/gpu.md](../../docs/gpu.md) says what each number is.

"""


def page(folder: Path) -> str:
    """Return the page of a folder of findings, Markdown."""
    file = folder / "findings.json"
    if not file.is_file():
        return NONE
    found = json.loads(file.read_text(encoding="utf-8"))
    parts = found["parts"]
    told = ", ".join(f"{key} {value}" for key, value in found["machine"].items())
    sections = [HEAD + f"{told}; {found['seconds']:.0f} seconds."]
    for title, part, rows in (
        ("Correctness", "correctness", _checks),
        ("Speed", "speed", _speeds),
        ("A million pairs", "science", _runs),
    ):
        if part in parts:
            sections.append(f"## {title}\n\n" + "\n".join(_table(rows(parts[part]))))
    return "\n\n".join(sections) + "\n"


def _checks(part: Mapping[str, Mapping[str, Any]]) -> Iterable[Sequence[str]]:
    yield "check", "passed", "found"
    for name, told in part.items():
        yield name, _passed(told), _rest(told)


def _speeds(part: Mapping[str, Mapping[str, Any]]) -> Iterable[Sequence[str]]:
    yield "what", "phase", "found"
    for name, told in part.items():
        phases = {key: value for key, value in told.items() if isinstance(value, Mapping)}
        for phase, values in phases.items():
            yield name, phase, _rest(values)
        if rest := _rest({key: value for key, value in told.items() if key not in phases}):
            yield name, "", rest


def _runs(part: Mapping[str, Mapping[str, Any]]) -> Iterable[Sequence[str]]:
    yield "defense", "found", "metrics"
    for name, told in part.items():
        metrics = {key: value for key, value in told.items() if isinstance(value, Mapping)}
        shares = [f"{key} {value['k']}/{value['n']}" for key, value in metrics.items()]
        rest = _rest({key: value for key, value in told.items() if key not in metrics})
        yield name, rest, ", ".join(shares)


def _passed(told: Mapping[str, Any]) -> str:
    return {True: "yes", False: "no", None: ""}[told.get("passed")]


def _rest(told: Mapping[str, Any]) -> str:
    items = ((key.replace("_", " "), value) for key, value in told.items() if key != "passed")
    return ", ".join(f"{key} {_number(value)}" for key, value in items)


def _number(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) and abs(value) < 100 else f"{value}"


def _table(rows: Iterable[Sequence[str]]) -> Iterable[str]:
    head, *body = rows
    yield from (f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *body))


if __name__ == "__main__":
    sys.stdout.write(page(Path(sys.argv[1])))
