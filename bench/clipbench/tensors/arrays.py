"""Arrays in NumPy's files: numbers alone, of the types that are expected, and nothing unpickled."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clipbench.files.foreign import opened_regular


def read_arrays(path: Path, kinds: Mapping[str, str]) -> dict[str, npt.NDArray[np.generic]]:
    """Return the arrays in an ``.npz`` file, each of one dimension.

    Args:
        path: the file.
        kinds: the name of each array and its kind of numbers, as in ``numpy.dtype.kind``.

    Raises:
        OSError: it can't be read.
        ValueError: it is damaged, or holds something else.
    """
    with opened_regular(path) as file:
        content = file.read()  # NumPy takes an error of the disk for the file's end
    return arrays_in(content, kinds)


def arrays_in(
    content: bytes, kinds: Mapping[str, str], *, single: bool = False
) -> dict[str, npt.NDArray[np.generic]]:
    """Return the arrays in the content of a file, each of one dimension.

    Args:
        content: what it holds.
        kinds: as for `read_arrays`.
        single: whether it is an ``.npy`` file, whose only array has no name.

    Raises:
        ValueError: it is damaged, or holds something else.
    """
    try:
        found = np.load(io.BytesIO(content), allow_pickle=False)
        arrays = {name: found if single else found[name] for name in kinds}
    except Exception as error:  # NumPy evaluates a header, zipfile a directory: any may come
        reason = str(error).partition("\n")[0][:200]
        raise ValueError(f"{type(error).__name__}: {reason}") from error
    for name, array in arrays.items():
        if array.ndim != 1 or array.dtype.kind not in kinds[name]:
            shape = "x".join(map(str, array.shape))
            raise ValueError(f"its {name} are {shape or 'one'} of type {array.dtype}")
    return arrays
