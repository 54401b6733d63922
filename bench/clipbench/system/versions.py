"""Versions of installed packages."""

from __future__ import annotations

from importlib import metadata


def version_of(distribution: str) -> str | None:
    """Return the version of a distribution; None: it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
