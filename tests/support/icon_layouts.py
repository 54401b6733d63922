"""A tiny package of icons in the layout of ``@iconify/json``; all drawings are made here."""

from __future__ import annotations

import io
import json
import tarfile
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from clipbench_datasets._icons_held_out import Part, part_of
from clipbench_datasets._icons_sets import IconSet

NAMES = ("home", "arrow left", "bell", "star", "cloud", "night owl")
COUNTS: dict[Part, int] = {"train": 12, "test": 4, "validation": 3}

Sets = dict[str, dict[str, Any]]


def star(*seed: int) -> str:
    """Return the body of an icon: a star of random rays, another one for every seed."""
    rng = np.random.default_rng(seed)
    angles = np.linspace(0, 2 * np.pi, 9, endpoint=False)
    rays = rng.uniform(2, 12, len(angles))
    points = " ".join(
        f"{12 + r * np.cos(a):.2f},{12 + r * np.sin(a):.2f}"
        for a, r in zip(angles, rays, strict=True)
    )
    return f'<polygon fill="currentColor" points="{points}"/>'


@cache
def author(part: Part, number: int) -> str:
    """Return the name of an author whose sets are for `part`."""
    found = -1
    for place in range(10_000):
        name = f"Designer {place}"
        found += part_of(IconSet("", "", name, "MIT", (), Counter())) == part
        if found == number:
            return name
    raise AssertionError


def icon_set(part: Part, number: int, license_: str = "MIT") -> dict[str, Any]:
    """Return a set that draws all names."""
    return {
        "prefix": f"{part}{number}",
        "info": {
            "name": f"Set {number}",
            "author": {"name": author(part, number)},
            "license": {"title": license_, "spdx": license_},
        },
        "icons": {
            name.replace(" ", "-"): {"body": star(len(part), number, place)}
            for place, name in enumerate(NAMES)
        },
        "width": 24,
        "height": 24,
    }


def icon_sets() -> Sets:
    """Return the sets of the package by their prefixes."""
    every = [icon_set(part, number) for part, count in COUNTS.items() for number in range(count)]
    return {one["prefix"]: one for one in every}


def write_folder(home: Path, sets: Sets, version: str = "0.0.1") -> Path:
    """Write a package as ``npm pack`` has it, unpacked, and return its folder."""
    folder = home / "package"
    (folder / "json").mkdir(parents=True)
    for prefix, content in sets.items():
        (folder / "json" / f"{prefix}.json").write_text(json.dumps(content), encoding="utf-8")
    (folder / "package.json").write_text(json.dumps({"version": version}), encoding="utf-8")
    (folder / "collections.json").write_text("{}", encoding="utf-8")
    return folder


def write_archive(home: Path, sets: Sets, version: str = "0.0.1") -> Path:
    """Write a package as ``npm pack`` does, and return its file."""
    files = {f"package/json/{prefix}.json": content for prefix, content in sets.items()}
    files["package/package.json"] = {"version": version}
    home.mkdir(parents=True, exist_ok=True)
    path = home / f"iconify-json-{version}.tgz"
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            data = json.dumps(content).encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def _icons(folder: Path) -> str:
    return f"icons:archive={write_archive(folder, icon_sets())},size=60"


SMALL: dict[str, Callable[[Path], str]] = {"icons": _icons}
