"""Files of tensors: nothing in them is run, and what can't be read now is no damage."""

from __future__ import annotations

import errno
import warnings
from pathlib import Path
from typing import Any

import torch

from clipbench.errors import ClipbenchError
from clipbench.visible import escaped


class NotTensors(Exception):
    """A file that was read to its end, or as far as it goes, and holds no tensors as it should.

    Each caller says it in its own words, for what to do depends on who wrote the file.
    """


def read_tensors(path: Path) -> Any:
    """Return the tensors of a safetensors or PyTorch file, in the containers they are saved in.

    PyTorch's files are pickles. They are read by its restricted unpickler, once, whatever the
    environment says: open_clip's own reader answers some errors with a second, unrestricted try.

    Args:
        path: the file; one whose name ends in ``.safetensors`` is that.

    Raises:
        ClipbenchError: it can't be read now, be it for want of permission, of memory, or of a disk
            that answers. Nothing is known of what it holds.
        NotTensors: it is damaged, is something else, or holds objects whose code would run. The
            reader's own error is the cause.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load, load_file  # noqa: PLC0415 - needed here alone

            # Its reader maps files whose names are text; any other is read into memory.
            is_text = escaped(str(path)) == str(path)
            return load_file(path) if is_text else load(path.read_bytes())
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about files that are no checkpoints
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # every reader fails in its own way
        if _says_nothing(error):
            raise _unreadable(path, error) from error
        raise NotTensors(f"{type(error).__name__}: {error}") from error


def _says_nothing(error: Exception) -> bool:
    """Tell whether a reader failed for another reason than what it read."""
    if isinstance(error, OSError):
        return error.errno != errno.EINVAL  # a place before the beginning, which the file names
    texts = ("allocate memory", "not enough memory")
    return isinstance(error, MemoryError) or any(text in str(error) for text in texts)


def _unreadable(path: Path, error: Exception) -> ClipbenchError:
    reason = getattr(error, "strerror", None) or str(error).partition("\n")[0] or "out of memory"
    return ClipbenchError(
        f"{path.resolve()} can't be read now ({reason.rstrip('.')}), which says nothing of what it"
        " holds. Mend that, and run the same command again."
    )
