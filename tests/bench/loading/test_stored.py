"""What a defense sees of the pairs it trains on: captions and images, in its order, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from photographs import SUBJECTS, write_photographs
from tiny_training import tiny_trainer

from clipbench.contracts import (
    DefenseRun,
    EpochPairs,
    Features,
    Image,
    Phase,
    Stage,
    StatelessRun,
    TrainingFacts,
)
from clipbench.errors import CorruptData
from clipbench.loading.stored import StoredPairs
from clipbench.shards.reader import ShardSet
from clipbench.toolkit.losses import clip_loss

NUMBERS = np.array([7, 0, 11, 7, 3])


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    """Twelve photographs of several shapes in three shards."""
    return write_photographs(tmp_path_factory.mktemp("set") / "photographs", 12, 64)


def test_captions_and_images_come_in_the_order_asked_for(photographs: ShardSet) -> None:
    """By number, by slice, and by going through them; of a choice of pairs or of all."""
    chosen = StoredPairs(photographs, NUMBERS)
    wanted = [f"{SUBJECTS[number % 3]}, view {number}" for number in NUMBERS]
    assert list(chosen.captions()) == wanted
    assert [chosen.captions()[place] for place in range(5)] == wanted
    assert list(chosen.captions()[1:4]) == wanted[1:4]
    for place, image in enumerate(chosen.images):
        np.testing.assert_array_equal(image, photographs.image(int(NUMBERS[place])))
        np.testing.assert_array_equal(image, chosen.image(place))
    assert len(list(chosen.images[2:])) == 3
    whole = StoredPairs(photographs)
    assert len(whole) == len(whole.images) == len(whole.captions()) == 12
    assert list(whole.captions()) == photographs.captions()


def test_nothing_is_read_before_it_is_looked_at(
    photographs: ShardSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A million pairs cost nothing until a defense asks; images are decoded ahead by little."""
    read: list[int] = []
    decode = photographs.image
    monkeypatch.setattr(photographs, "image", lambda n: (read.append(n), decode(n))[1])
    pairs = StoredPairs(photographs, np.arange(12).repeat(2_000))
    captions, images = pairs.captions(), pairs.images
    assert read == []
    assert captions[23_999].endswith("view 11")
    assert images[23_999].shape == photographs.image(11).shape
    for _ in zip(range(3), images, strict=False):
        pass
    assert len(read) < 2_000


def test_images_cannot_be_written_to(photographs: ShardSet) -> None:
    """However they are looked at."""
    pairs = StoredPairs(photographs, NUMBERS)
    for image in (pairs.image(0), pairs.images[1], next(iter(pairs.images))):
        with pytest.raises(ValueError, match="read-only"):
            image[0, 0] = 0


def test_of_a_pair_nothing_else_is_told(photographs: ShardSet) -> None:
    """No key, no path, no shard, no JSON: what a defense may ask is captions and images."""
    pairs = StoredPairs(photographs, NUMBERS)
    for thing in (pairs, pairs.captions(), pairs.images):
        public = {name for name in dir(thing) if not name.startswith("_")}
        assert public <= {"captions", "image", "images", "count", "index"}


def test_a_damaged_image_ends_a_pass_in_its_place(
    photographs: ShardSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error comes where the image does, though others were decoded ahead."""
    decode = photographs.image

    def image(number: int) -> Any:
        if number == 3:
            raise CorruptData("image 3")
        return decode(number)

    monkeypatch.setattr(photographs, "image", image)
    seen: list[Image] = []
    with pytest.raises(CorruptData, match="image 3"):
        seen.extend(StoredPairs(photographs, np.arange(12).repeat(20)).images)
    assert 40 <= len(seen) <= 60


# --------------------------------------------------------------------------- in a training


@dataclass(frozen=True)
class ShortCaptions:
    """Drops captions of fewer than some words, and what is red; begins on trusted pairs or not."""

    words: int = 10
    trusted_size: int = 0

    def start(self, facts: TrainingFacts) -> DefenseRun:
        return ShortCaptionsRun(self.words, facts, self.trusted_size)


class ShortCaptionsRun(StatelessRun):
    def __init__(self, words: int, facts: TrainingFacts, trusted: int) -> None:
        super().__init__()
        self._words = words
        self.stages = [Stage(1, trusted=True)] if trusted else []
        self.stages.append(Stage(facts.epochs))
        self.seen: list[tuple[int, int]] = []

    def phases(self, epoch: int, pairs: EpochPairs) -> Iterator[Phase]:  # noqa: ARG002
        self.seen.append((len(pairs), len(pairs.whole_set)))
        whole = [len(caption.split()) >= self._words for caption in pairs.whole_set.captions()]
        own = [len(caption.split()) >= self._words for caption in pairs.captions()]
        assert own == [whole[number] for number in pairs.numbers]
        keep = torch.tensor(own)
        keep &= torch.tensor([int(image[..., 0].mean()) < 150 for image in pairs.images])
        yield Phase("kept", self.loss, keep=keep)

    def loss(self, features: Features) -> torch.Tensor:
        return clip_loss(features.image[0], features.text[0], features.logit_scale)


def test_a_defense_trains_on_the_pairs_it_chose_by_looking(tmp_path: Path) -> None:
    """The mask of an epoch and that of the set agree, and what was dropped is never exposed."""
    trainer = tiny_trainer(tmp_path, ShortCaptions(), epochs=3, pairs_per_epoch=40)
    trainer.train()
    source: Any = trainer._pairs.source
    captions = source.captions(range(96))
    long = np.array([len(caption.split()) >= 10 for caption in captions])
    dark = np.array([int(source.image(n)[..., 0].mean()) < 150 for n in range(96)])
    assert trainer.exposures[~(long & dark)].sum() == 0
    assert trainer.exposures[long & dark].sum() > 40


def test_a_stage_on_trusted_pairs_shows_those(tmp_path: Path) -> None:
    """What the defense looks at is what the stage trains on."""
    defense = ShortCaptions(trusted_size=24)
    trainer = tiny_trainer(tmp_path, defense, epochs=2, pairs_per_epoch=40)
    trainer.train()
    run: Any = trainer._run
    assert run._run.seen == [(24, 24), (40, 96), (40, 96)]
