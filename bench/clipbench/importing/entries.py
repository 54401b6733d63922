"""Pairs as a source lists them, one by one, and the sample that each gives, or why none."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from clipbench.errors import CorruptData, OnError
from clipbench.files.foreign import MOST_CAPTION, MOST_IMAGE, TooLarge, opened_regular, read_regular
from clipbench.images.normalize import Box, UnusableImage, normalized
from clipbench.shards.shard_writer import LeftOut, Sample
from clipbench.system.disk import may_pass, unreadable
from clipbench.text.visible import has_visible


@dataclass(frozen=True)
class Entry:
    """A pair as its source lists it.

    Args:
        name: what the source calls it, for messages, e.g. ``row 17 of pairs.csv``.
        image: path of the file that holds the image.
        caption: its caption; None: there is none.
        box: the part of the image that is meant: left, top, width, height in pixels.
        span: offset and size of the image in its file; None: the whole file.
        metadata: further fields of the pair's JSON.
        problem: why it can't be used, where the source knows: a reason and details.
    """

    name: str
    image: str
    caption: str | None
    box: Box | None = None
    span: tuple[int, int] | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
    problem: tuple[str, str] | None = None


class LooseSource(Protocol):
    """A training source whose pairs are listed one by one.

    One whose identity holds a hash of the pictures themselves, as of shards, may have a class
    attribute ``identity_has_pictures = True``: its files are not looked at for changes, then.
    """

    def entries(self) -> Iterable[Entry]:
        """Yield all pairs, the same in the same order whenever asked."""

    def identity(self) -> Mapping[str, object]:
        """Return what decides the entries, e.g. parameters and hashes of annotation files."""


def samples(
    entries: Iterable[Entry], image_size: int | None, on_error: OnError
) -> Iterator[Sample | LeftOut]:
    """Yield a sample, or why there is none, for each entry.

    Raises:
        CorruptData: there is none, and `on_error` is ``fail``.
    """
    # Captions of one image often follow each other.
    last: tuple[object, Sample | UnusableImage | None] = (None, None)
    for entry in entries:
        key = (entry.image, entry.span, entry.box)
        if entry.problem is not None:
            last = (None, UnusableImage(*entry.problem))
        elif last[0] != key:
            last = (key, _image_of(entry, image_size))
        made = last[1]
        assert made is not None
        sample = _with_caption(entry, made) if isinstance(made, Sample) else made
        if isinstance(sample, Sample):
            yield sample
            continue
        if on_error == "fail":
            raise CorruptData(
                f"{entry.name} can't be used, {sample.reason}: {sample.detail}. Mend or remove"
                " it, or leave out what can't be used with --on-error skip."
            )
        yield LeftOut(entry.name, sample.reason, sample.detail, entry.image)


def _image_of(entry: Entry, image_size: int | None) -> Sample | UnusableImage:
    """Return a sample without caption, or why there is none."""
    path = Path(entry.image)
    try:
        if entry.span is None:
            data = read_regular(path, MOST_IMAGE)
        else:
            with opened_regular(path) as file:
                file.seek(entry.span[0])
                data = file.read(entry.span[1])
    except FileNotFoundError:
        return UnusableImage("image missing", f"there is no file {path}{_in_other_form(path)}")
    except TooLarge as error:
        return UnusableImage("image too large", f"{path}: {error}")
    except (OSError, ValueError) as error:  # a path with a NUL is a ValueError
        if isinstance(error, OSError) and may_pass(error):
            raise unreadable(path, error) from error
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return UnusableImage("image unreadable", f"{path}: {reason}")
    try:
        image = normalized(data, image_size, None if entry.box is None else _box(entry.box))
    except UnusableImage as error:
        return UnusableImage(error.reason, f"{path}: {error.detail}")
    size = {"width": image.width, "height": image.height}
    return Sample(image.data, image.extension, "", size)


def _in_other_form(path: Path) -> str:
    """Return that a file is there whose name looks the same, if so; else nothing."""
    forms: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")
    for form in forms:
        other = Path(unicodedata.normalize(form, str(path)))
        if other != path and other.exists():
            return f", but one with accents in Unicode's other form ({form}); rename it"
    return ""


def _box(box: Iterable[int]) -> Box:
    left, top, width, height = box
    return left, top, width, height


def _with_caption(entry: Entry, image: Sample) -> Sample | UnusableImage:
    caption = entry.caption
    if caption is None:
        return UnusableImage("caption missing", "there is none")
    if not has_visible(caption):
        return UnusableImage("caption empty", "it has no visible character")
    try:
        size = len(caption.encode())
    except UnicodeEncodeError as error:
        return UnusableImage("caption not Unicode text", str(error))
    if size > MOST_CAPTION:
        return UnusableImage(
            "caption too long", f"it has {size:,} bytes, more than {MOST_CAPTION:,}"
        )
    return Sample(
        image.image, image.extension, caption, {**dict(entry.metadata), **dict(image.metadata)}
    )
