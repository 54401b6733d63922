"""Images that are made when they are looked at, so that a set of any size takes no memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar, overload

from clipbench.contracts import Image
from clipbench.errors import CorruptData, MissingData
from clipbench.files.foreign import MOST_IMAGE, TooLarge, read_regular
from clipbench.images.encoding import decode
from clipbench.images.normalize import UnusableImage, check_size
from clipbench.images.png import is_deep_gray

Item = TypeVar("Item")


class LazyImages(Sequence[Image], Generic[Item]):
    """Images that are loaded on access, each time anew; nothing decoded is held.

    Args:
        items: what each image is made from, e.g. paths.
        load: makes the image ``(H, W, 3)`` uint8 of an item; called from several threads at once.
    """

    def __init__(self, items: Sequence[Item], load: Callable[[Item], Image]) -> None:
        self._items, self._load = items, load

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> Image: ...
    @overload
    def __getitem__(self, index: slice) -> LazyImages[Item]: ...
    def __getitem__(self, index: int | slice) -> Image | LazyImages[Item]:
        if isinstance(index, slice):
            return LazyImages(self._items[index], self._load)
        return self._load(self._items[index])


def read_image(path: Path, what: str = "test image") -> Image:
    """Return the image in a file as ``(H, W, 3)`` uint8.

    Args:
        path: the file.
        what: what the image is for, for the message: a linear probe learns from some.

    Raises:
        MissingData: it cannot be read.
        CorruptData: it is no sound JPEG, PNG or WebP, too large or too narrow.
    """
    try:
        content = read_regular(path, MOST_IMAGE)
    except OSError as error:
        raise MissingData(f"The {what} {path} cannot be read: {error.strerror}.") from error
    except TooLarge as error:
        raise CorruptData(f"The {what} {path} is too large: {error}.") from error
    return decoded(content, str(path), what)


def decoded(content: bytes, name: str, what: str = "test image") -> Image:
    """Return an encoded image as ``(H, W, 3)`` uint8.

    Args:
        content: JPEG, PNG or WebP.
        name: where it comes from, for the message.
        what: what it is for, for the message.

    Raises:
        CorruptData: naming the image and what is wrong with it.
    """
    if is_deep_gray(content):
        raise CorruptData(
            f"The {what} {name} has 16-bit gray values, which would be read as white. Convert"
            " it to 8 bits."
        )
    try:
        image = decode(content)
        check_size(image.shape[1], image.shape[0])
    except UnusableImage as error:
        raise CorruptData(f"The {what} {name} can't be used, {error}. Remove it.") from error
    except CorruptData as error:
        raise CorruptData(
            f"The {what} {name} is damaged: {str(error).rstrip('.')}. Fetch it again."
        ) from error
    return image
