"""Shards as suppliers deliver them, and the request to audit them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shard_pairs import write_members

from clipbench.audit.request import AuditRequest
from clipbench.system.progress import Reporter


def shard(path: Path, *each: tuple[bytes, str, Mapping[str, object] | None]) -> Path:
    """Write a shard of images, captions and what the JSON of each says."""
    members = []
    for number, (image, caption, fields) in enumerate(each):
        key, extension = f"{path.stem}{number:04d}", "png" if image[:1] == b"\x89" else "jpg"
        members.append((f"{key}.{extension}", image))
        if fields is not None:
            members.append((f"{key}.json", json.dumps(fields).encode()))
        members.append((f"{key}.txt", caption.encode()))
    return write_members(path, members)


def request(data: Path, tmp_path: Path, **more: Any) -> AuditRequest:
    return AuditRequest(
        data=str(data),
        out=tmp_path / "audit",
        cache=tmp_path / "cache",
        reporter=Reporter(quiet=True),
        **more,
    )
