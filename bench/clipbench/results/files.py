"""Atomic writing of result files: complete, or not at all."""

from __future__ import annotations

from pathlib import Path

from clipbench.errors import ClipbenchError, MissingData
from clipbench.files.named_files import named_file
from clipbench.system.disk import way_out


def write_atomic(path: Path, content: bytes) -> Path:
    """Write `content` to `path`; see `clipbench.files.named_files` for what is not a regular file.

    Missing folders are made. A reader sees the old file or the new one, never a part, also after a
    power cut.

    Returns:
        The path.

    Raises:
        ClipbenchError: if the file system refuses: disk full, no permission, a folder in the way.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with named_file(path) as file:
            file.write(content)
    except (OSError, MissingData) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        assert isinstance(cause, OSError)  # what `atomic_file` says of the folder
        raise ClipbenchError(
            f"Could not write {path}: {cause.strerror or cause}; {way_out(cause)}, then try again."
        ) from error
    return path
