"""One folder per class, as torchvision reads it: which folders, and how images are read."""

from __future__ import annotations

from pathlib import Path

from PIL import Image as Pil

from clipbench.errors import CorruptData
from clipbench.images.lazy import read_image

from . import _files as files

UNREAD = frozenset({".avif", ".gif", ".heic", ".jp2"})


def splits(root: Path) -> tuple[Path, Path | None]:
    """Return the folders of test and training images.

    Raises:
        CorruptData: test images are of a kind that torchvision passes over without a word.
    """
    test = next((root / name for name in ("test", "val") if (root / name).is_dir()), root)
    unread = sorted(path for path in test.rglob("*") if path.suffix.lower() in UNREAD)
    if unread:
        raise CorruptData(
            f"{test.resolve()} has images that torchvision does not read ({len(unread):,}, e.g."
            f" {unread[0].relative_to(test)}); convert them or take them away."
        )
    has_train = test != root and (root / "train").is_dir()
    return test, root / "train" if has_train else None


def read(path: str, what: str = "test image") -> object:
    """Return an image file as a picture, read as all such files are where they can be.

    Args:
        path: the file.
        what: what the image is for, for messages.

    Raises:
        MissingData, CorruptData: it cannot be read, or is not what it should be.
    """
    if Path(path).suffix.lower() in files.READ:
        return Pil.fromarray(read_image(Path(path), what))
    from torchvision.datasets.folder import default_loader  # noqa: PLC0415 - heavy

    with Pil.open(path) as picture:
        if picture.mode[0] in "IF":  # which RGB would clip
            raise CorruptData(
                f"The {what} {path} has values of more than 8 bits, which would be read as"
                " white. Convert it to 8 bits."
            )
    return default_loader(path)
