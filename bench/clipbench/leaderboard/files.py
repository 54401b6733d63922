"""Files that are either whole or not there."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from clipbench.disk import way_out
from clipbench.errors import ClipbenchError


def write_atomic(path: Path, content: bytes) -> Path:
    """Write `content` to `path` by way of a temporary file in the same folder.

    Missing folders are made. A reader sees the old file or the new one, never a part.

    Returns:
        The path.

    Raises:
        ClipbenchError: if the file system refuses: disk full, no permission, a folder in the way.
    """
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)  # still there only if something above failed
    except OSError as error:
        raise ClipbenchError(
            f"Could not write {path}: {error.strerror or error}; {way_out(error)}, then try again."
        ) from error
    return path
