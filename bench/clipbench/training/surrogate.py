"""A model that an attacker trains on pairs like the victim's, to try the poison on first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from clipbench.contracts import Corpus, Image, IntArray
from clipbench.errors import BadSetting
from clipbench.rng import derive_seed, generator
from clipbench.system.durable import scratch_folder

if TYPE_CHECKING:
    from torch import Tensor, nn

    from clipbench.models.openclip import Tokenizer

BATCH_SIZE = 256
WARMUP_SHARE = 0.2  # of all steps; a surrogate is trained for few


@dataclass(frozen=True)
class Surrogate:
    """A trained model, on the CPU or wherever training put it.

    Args:
        model: an open_clip model.
        tokenizer: its tokenizer.
    """

    model: nn.Module
    tokenizer: Tokenizer

    def image_features(self, images: Sequence[Image]) -> Tensor:
        """Return unit features ``(N, D)`` of images, float32 on the CPU."""
        from clipbench.models.features import image_features  # noqa: PLC0415 - heavy

        return image_features(self.model, images)

    def text_features(self, texts: Sequence[str]) -> Tensor:
        """Return unit features ``(N, D)`` of texts, float32 on the CPU."""
        from clipbench.models.features import text_features  # noqa: PLC0415 - heavy

        return text_features(self.model, self.tokenizer, texts)

    @property
    def logit_scale(self) -> float:
        """The factor on cosines in its loss."""
        from clipbench.models.openclip import towers_of  # noqa: PLC0415 - heavy

        return float(towers_of(self.model).logit_scale.detach().exp())

    @property
    def side(self) -> int:
        """Pixels along the side of the images it takes."""
        from open_clip import get_model_preprocess_cfg  # noqa: PLC0415 - heavy

        size: int | tuple[int, int] = get_model_preprocess_cfg(self.model)["size"]
        return size if isinstance(size, int) else size[0]

    def fitted(self, image: Image) -> Image:
        """Return an image of any size as a square of the model's, ``(S, S, 3)``."""
        from clipbench.models.preprocessing import fitting_of  # noqa: PLC0415 - heavy

        return fitting_of(self.model)(image, self.side)

    def encode(self, pixels: Tensor) -> Tensor:
        """Return unit features ``(N, D)`` of pixels, through which gradients flow to the pixels.

        Args:
            pixels: ``(N, 3, S, S)`` float32 in [0, 1], of the model's size.
        """
        from open_clip import get_model_preprocess_cfg  # noqa: PLC0415 - heavy

        from clipbench.models.openclip import towers_of  # noqa: PLC0415 - heavy

        known = get_model_preprocess_cfg(self.model)
        mean, std = (pixels.new_tensor(known[name])[:, None, None] for name in ("mean", "std"))
        inputs = ((pixels - mean) / std).to(next(self.model.parameters()).device)
        features = towers_of(self.model).encode_image(inputs, normalize=True)
        return features.to(pixels.device)


def load_surrogate(model: str, weights: str | Path) -> Surrogate:
    """Return a model that was trained elsewhere.

    Args:
        model: its open_clip name.
        weights: file of its weights, as open_clip writes them.

    Raises:
        UnknownName: there is no such model.
        MissingData, CorruptData: the weights cannot be read.
    """
    from clipbench.models.openclip import create_model  # noqa: PLC0415 - heavy

    network, tokenizer = create_model(model, 0, str(weights))
    return Surrogate(network.eval(), tokenizer)


class _Squares:
    """Images in memory, fitted to the model."""

    def __init__(self, images: npt.NDArray[np.uint8]) -> None:
        self._images = images
        self.image_size = images.shape[1]

    def __len__(self) -> int:
        return len(self._images)

    def gather(self, indices: IntArray) -> npt.NDArray[np.uint8]:
        """Return images, ``(B, S, S, 3)``."""
        return self._images[indices]


def train_surrogate(
    corpus: Corpus,
    *,
    model: str,
    pairs: int,
    epochs: int,
    lr: float,
    seed: int,
) -> Surrogate:
    """Train a model on random pairs of a corpus, with the CLIP loss and random crops.

    Args:
        corpus: clean pairs.
        model: open_clip name of the model.
        pairs: how many pairs, at most; they are held in memory as squares of the model's size.
        epochs: passes over them.
        lr: learning rate, times warm-up, times cosine to zero.
        seed: decides pairs, weights, order and crops.

    Raises:
        UnknownName: there is no such model.
        BadSetting: fewer than two pairs, or no epoch, or a model that can't be trained.
    """
    from clipbench.configuration.settings import TrainSettings  # noqa: PLC0415
    from clipbench.loading.augment import ImageAugmentation  # noqa: PLC0415
    from clipbench.loading.compact import CompactVocabulary  # noqa: PLC0415
    from clipbench.loading.pairs import TrainingPairs  # noqa: PLC0415
    from clipbench.loading.text import CaptionTable, check_text_tower  # noqa: PLC0415
    from clipbench.models.openclip import (  # noqa: PLC0415
        context_length_of,
        create_model,
        image_size_of,
        model_config,
    )
    from clipbench.models.preprocessing import fitting_of  # noqa: PLC0415
    from clipbench.parallel.bench import Bench  # noqa: PLC0415
    from clipbench.parallel.devices import pick_device  # noqa: PLC0415
    from clipbench.parallel.group import Processes  # noqa: PLC0415
    from clipbench.plugins.part import Part  # noqa: PLC0415
    from clipbench.training.engine import Trainer  # noqa: PLC0415
    from clipbench.training.plan import Method  # noqa: PLC0415
    from clipbench.training.resume import Checkpoints  # noqa: PLC0415

    count = min(pairs, len(corpus))
    if count < 2 or epochs < 1:
        raise BadSetting(f"A surrogate needs 2 pairs and 1 epoch. Got {count} and {epochs}.")
    own = derive_seed(seed, "surrogate") % 2**31
    numbers = generator(seed, "surrogate", "pairs").permutation(len(corpus))[:count].tolist()
    architecture = model_config(model)
    check_text_tower(model, architecture)
    network, tokenizer = create_model(model, own, None)
    side, fit = image_size_of(architecture), fitting_of(network)
    images = np.stack([fit(corpus.image(number), side) for number in numbers])
    length = context_length_of(architecture)
    captions = CaptionTable((corpus.caption(n) for n in numbers), tokenizer, {}, length)
    steps = -(-count // BATCH_SIZE) * epochs
    settings = TrainSettings(
        model=model,
        epochs=epochs,
        batch_size=BATCH_SIZE,
        lr=lr,
        warmup=max(1, round(WARMUP_SHARE * steps)),
        lr_schedule="cosine",  # another one would be other poison
        eda=0.0,
        beta2=0.98,
        eps=1e-6,
        grad_clip_norm=1.0,
        crop_scale=0.75,
        color_jitter=0.0,
        grayscale=0.0,
        blur=0.0,
        precision="fp32",  # the same on every machine: poison is made with it
        checkpoint_every_s=float("1e9"),
    )
    device = pick_device(settings.device)
    vocabulary = CompactVocabulary(network, captions.vocabulary())
    with scratch_folder("surrogate") as folder:
        views = ImageAugmentation.of(settings), settings.eda, own
        given = TrainingPairs(_Squares(images), captions, vocabulary, *views, device)
        method = Method(Part.of("defense", "none").plugin, settings, own)
        bench = Bench(Path(folder), Processes(device=device))
        every_s = settings.checkpoint_every_s
        checkpoints = Checkpoints(Path(folder), "surrogate", every_s, bench.processes)
        trainer = Trainer(network, [given], method, checkpoints, bench)
        trainer.train()
    vocabulary.expand(network)
    return Surrogate(network.eval(), tokenizer)
