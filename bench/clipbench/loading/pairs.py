"""Training pairs as batches of views: decoded images and token arrays, augmented on demand.

A batch is read (decoded, cut out, tokenized) and then finished (recolored, blurred). Threads read
ahead, a piece of a batch each, for a view depends on nothing but the seed, the epoch and the pair:
decoders, resampling and tensor operations all let other threads run meanwhile. On the CPU they
finish pieces, too; a GPU finishes whole batches itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from clipbench.contracts import Image
from clipbench.loading.augment import ImageAugmentation, drawn
from clipbench.loading.compact import CompactVocabulary
from clipbench.loading.decoded import DecodedImages
from clipbench.loading.originals import BoxOf
from clipbench.loading.text import CaptionTable
from clipbench.rng import RowStreams
from clipbench.system import threads

IntArray = npt.NDArray[np.int64]

LOOK_AHEAD_BYTES = 1 << 30  # of images, on one machine
PIECE_ROWS = 32  # pictures that a thread decodes before another may go on with the batch


class ImageStore(Protocol):
    """Random access to the decoded images of a set, squares of `image_size` pixels."""

    @property
    def image_size(self) -> int:
        """Side of its images in pixels."""

    def __len__(self) -> int: ...

    def gather(self, indices: IntArray) -> npt.NDArray[np.uint8]:
        """Return images, ``(B, S, S, 3)``."""


@runtime_checkable
class CropStore(ImageStore, Protocol):
    """A store that cuts crops out of the pictures as they are stored."""

    def crops(self, indices: IntArray, views: int, box: BoxOf) -> Tensor:
        """Return crops, ``(V, B, 3, S, S)`` uint8; `box` says what to cut out for which view."""


@runtime_checkable
class DeviceStore(ImageStore, Protocol):
    """A store whose images lie on the device that trains; see `ResidentSquares`."""

    def at(self, numbers: Tensor) -> Tensor:
        """Return images, ``(B, 3, S, S)`` uint8 on the device, of ``(B,)`` numbers there."""


class PairSource(Protocol):
    """Pairs as they are stored, by number; a `clipbench.shards.reader.ShardSet` is one."""

    def __len__(self) -> int: ...

    def captions(self, indices: IntArray | Sequence[int] | range) -> list[str]:
        """Return captions, in the order asked for."""

    def image(self, index: int) -> Image:
        """Return a decoded image, ``(H, W, 3)``."""


@dataclass(frozen=True)
class Batch:
    """This process's rows of one global batch.

    Args:
        images: ``(V, B_own, 3, S, S)`` uint8 or float in [0, 1], not yet normalized.
        tokens: ``(V, B_own, L)`` int64.
        num_rows: B, rows of the global batch.
    """

    images: Tensor
    tokens: Tensor
    num_rows: int


@dataclass(frozen=True)
class BatchRequest:
    """What a batch is made of.

    Args:
        pairs: the global batch, ``(B,)``.
        rows: the rows this process makes.
        views: views of each pair.
        augment: whether views are augmented.
        scope: names the random streams of the augmentation, as the epoch does; in one scope the
            views of a pair are the same whenever it is asked for.
    """

    pairs: IntArray
    rows: slice
    views: int
    augment: bool
    scope: tuple[str | int, ...]


@dataclass(frozen=True)
class _Read:
    """What of a batch has been read: pixels and tokens as in `Batch`, and draws for the rest."""

    request: BatchRequest
    # (1, B_own, 3, S, S) whole images, or (V, B_own, 3, S, S) crops; uint8. Of images that lie on
    # the device, their numbers: (B_own,) int64.
    images: Tensor
    tokens: Tensor
    draws: Sequence[npt.NDArray[np.float32]]

    def pinned(self) -> _Read:
        """Return the same in memory that a GPU fetches from by itself."""
        return replace(self, images=self.images.pin_memory(), tokens=self.tokens.pin_memory())

    def on(self, device: torch.device) -> _Read:
        """Return the same on a device, without waiting for the copy."""
        images = self.images.to(device, non_blocking=True)
        return replace(self, images=images, tokens=self.tokens.to(device, non_blocking=True))


def _joined(request: BatchRequest, reads: Sequence[_Read]) -> _Read:
    """Return what was read of a batch in pieces."""
    if len(reads) == 1:
        return reads[0]
    images = torch.cat([read.images for read in reads], dim=1)
    tokens = torch.cat([read.tokens for read in reads], dim=1)
    draws = [np.concatenate(view) for view in zip(*(read.draws for read in reads), strict=True)]
    return _Read(request, images, tokens, draws)


def pieces_ahead(workers: int, piece_bytes: int) -> int:
    """Return how many pieces of batches to make ahead: two a thread, and at least one.

    Fewer where together they would take more than their share of the memory that the processes on
    this machine may fill with what nobody has asked for yet.

    Args:
        workers: threads that make them.
        piece_bytes: bytes of one's pixels.
    """
    share = LOOK_AHEAD_BYTES // threads.local_processes()
    return max(1, min(2 * workers, share // max(1, piece_bytes)))


class TrainingPairs:
    """The pairs of a set, ready to be trained on.

    Args:
        images: their images; crops are cut by the store where it can, else from its squares.
        captions: their captions.
        vocabulary: maps tokens to rows of the model's embedding.
        image_augmentation: strengths of the image augmentation.
        text_alpha: strength of the text augmentation.
        seed: the run's seed.
        device: where batches are finished.
        source: the pairs as they are stored, for a defense that looks at them; None: none does.
    """

    def __init__(
        self,
        images: ImageStore,
        captions: CaptionTable,
        vocabulary: CompactVocabulary,
        image_augmentation: ImageAugmentation,
        text_alpha: float,
        seed: int,
        device: torch.device | None = None,
        source: PairSource | None = None,
    ) -> None:
        self.source = source
        assert len(images) == len(captions)
        self._images = images
        self._captions = captions
        self.vocabulary = vocabulary
        self._image_augmentation = image_augmentation
        self._text_alpha = text_alpha
        self._seed = seed
        self._gpu = device if device is not None and device.type == "cuda" else None

    def __len__(self) -> int:
        return len(self._captions)

    def full_state(self, model: nn.Module) -> dict[str, Tensor]:
        """Return the weights of a model trained on these pairs, with its whole token table."""
        return self.vocabulary.full_state(model)

    def make(self, request: BatchRequest) -> Batch:
        """Return one batch; a function of the request and the seed alone.

        A view of a pair depends on its number, the scope and which view it is, so neither on how
        many processes share the batch nor on the batch itself.
        """
        return self._finish(self._read(request))

    def stream(self, requests: Sequence[BatchRequest], workers: int | None) -> Iterator[Batch]:
        """Yield the batches of requests in order.

        Args:
            requests: what the batches are made of.
            workers: threads that make them ahead; 0: this one, when they are asked for; None: one
                a processor where images must be decoded, else 0, or 2 where a GPU waits for them.
        """
        count = self._default_workers() if workers is None else workers
        if count == 0:
            yield from map(self.make, requests)
            return
        work: Callable[[BatchRequest], Batch | _Read]
        work = self._read if self._gpu is not None else self.make
        with ThreadPoolExecutor(count, thread_name_prefix="batches") as executor:
            pieces = (piece for request in requests for piece in self._pieces(request))
            ahead: deque[Future[Batch | _Read]] = deque()
            most = self._pieces_ahead(requests, count)
            ahead.extend(executor.submit(work, piece) for piece in islice(pieces, most))
            try:
                for request in requests:
                    parts = []
                    for _ in self._pieces(request):
                        parts.append(ahead.popleft().result())
                        ahead.extend(executor.submit(work, piece) for piece in islice(pieces, 1))
                    yield self._assembled(request, parts)
            finally:
                for future in ahead:  # where the caller stops early or a batch fails
                    future.cancel()

    def _default_workers(self) -> int:
        if isinstance(self._images, (DecodedImages, DeviceStore)):
            return 0 if self._gpu is None else 2  # captions, while the GPU is at work
        return threads.own_processors()

    def _pieces(self, request: BatchRequest) -> list[BatchRequest]:
        """Return a request in pieces; what need not be decoded is made as fast in one."""
        rows = request.rows
        at_once = isinstance(self._images, (DecodedImages, DeviceStore))
        if at_once or rows.stop - rows.start <= PIECE_ROWS:
            return [request]
        starts = range(rows.start, rows.stop, PIECE_ROWS)
        ends = [min(start + PIECE_ROWS, rows.stop) for start in starts]
        return [replace(request, rows=slice(*part)) for part in zip(starts, ends, strict=True)]

    def _pieces_ahead(self, requests: Sequence[BatchRequest], count: int) -> int:
        first = [piece for request in requests[:1] for piece in self._pieces(request)[:1]]
        views = sum((piece.rows.stop - piece.rows.start) * piece.views for piece in first)
        return pieces_ahead(count, views * self._view_bytes())

    def _view_bytes(self) -> int:
        """Return the bytes of a view's pixels where threads leave it."""
        floats = self._gpu is None and self._image_augmentation.recolors
        return 3 * self._images.image_size**2 * (4 if floats else 1)

    def _assembled(self, request: BatchRequest, parts: Sequence[Batch | _Read]) -> Batch:
        """Return a batch of its pieces, in their order."""
        reads = [part for part in parts if isinstance(part, _Read)]
        if reads:
            return self._finish(_joined(request, [self._moved(read) for read in reads]))
        made = [part for part in parts if isinstance(part, Batch)]
        if len(made) == 1:
            return made[0]
        images = torch.cat([part.images for part in made], dim=1)
        return Batch(images, torch.cat([part.tokens for part in made], dim=1), made[0].num_rows)

    def _read(self, request: BatchRequest) -> _Read:
        own = request.pairs[request.rows]
        if not request.augment:
            tokens = self._compact(self._captions.tokens(own))
            return self._ready(_Read(request, self._whole(own), tokens[None], ()))
        draws, texts = [], []
        for view in range(request.views):
            draws.append(drawn(self._streams("image", request, view)))
            streams = self._streams("text", request, view)
            texts.append(self._compact(self._captions.augmented(own, self._text_alpha, streams)))
        if isinstance(self._images, CropStore):
            box = self._image_augmentation.box
            images = self._images.crops(
                own, request.views, lambda view, row, w, h: box(w, h, draws[view][row])
            )
        else:
            images = self._whole(own)
        return self._ready(_Read(request, images, torch.stack(texts), draws))

    def _whole(self, own: IntArray) -> Tensor:
        """Return whole images as `_Read` holds them."""
        if isinstance(self._images, DeviceStore):
            return torch.from_numpy(own)
        return torch.from_numpy(self._images.gather(own)).permute(0, 3, 1, 2)[None]

    def _streams(self, kind: str, request: BatchRequest, view: int) -> RowStreams:
        """Return the random streams of one view of the own rows."""
        own = request.pairs[request.rows]
        return RowStreams.named(self._seed, "view", kind, *request.scope, view, keys=own)

    def _compact(self, tokens: IntArray) -> Tensor:
        return torch.from_numpy(self.vocabulary.compact(tokens))

    def _ready(self, read: _Read) -> _Read:
        return read if self._gpu is None else read.pinned()

    def _moved(self, read: _Read) -> _Read:
        return read if self._gpu is None else read.on(self._gpu)

    def _finish(self, read: _Read) -> Batch:
        request, read = read.request, self._moved(read)
        if isinstance(self._images, DeviceStore):
            read = replace(read, images=self._images.at(read.images)[None])
        rows = len(request.pairs)
        if not request.augment:
            copies = request.views
            plain = read.images.expand(copies, -1, -1, -1, -1)
            return Batch(plain, read.tokens.expand(copies, -1, -1), rows)
        augmentation = self._image_augmentation
        if isinstance(self._images, CropStore):
            crops = zip(read.images, read.draws, strict=True)
            images = [augmentation.apply_to_crops(view, drawn) for view, drawn in crops]
        else:
            pixels = read.images[0].float() / 255
            images = [augmentation.apply(pixels, drawn) for drawn in read.draws]
        views = images[0][None] if len(images) == 1 else torch.stack(images)
        return Batch(views, read.tokens, rows)
