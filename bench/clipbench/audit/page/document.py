"""The page of an audit: one file, without scripts and network, that prints as a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clipbench.audit.section import Section
from clipbench.system.durable import atomic_file
from clipbench.text.templates import head, render


@dataclass(frozen=True)
class Cover:
    """What the page is about.

    Args:
        title: of the page.
        tried: sentences that say what was tried on what.
        facts: what decides the numbers, by name: hashes, versions, settings.
        commands: by what each is for, a line for a shell.
        files: by name, what lies beside the page.
    """

    title: str
    tried: Sequence[str]
    facts: Sequence[tuple[str, str]]
    commands: Sequence[tuple[str, str]]
    files: Sequence[tuple[str, str]]


def page_of(cover: Cover, sections: Sequence[Section]) -> str:
    """Return the page; the same findings give the same text.

    Args:
        cover: what the page is about.
        sections: in the order of the evidence, which is that of the summary.
    """
    return render(
        __package__,
        "audit.html",
        **head(__package__, style="audit.css"),
        title=cover.title,
        cover=cover,
        sections=sections,
        advice=[line for section in sections for line in section.advice],
        cannot=[line for section in sections for line in section.cannot],
    )


def write_page(path: Path, cover: Cover, sections: Sequence[Section]) -> None:
    """Write the page; see `page_of`."""
    with atomic_file(path) as file:
        file.write(page_of(cover, sections).encode("utf-8", "replace"))
