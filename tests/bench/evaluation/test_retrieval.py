from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from clipbench.errors import BadInput
from clipbench.evaluation import retrieval
from clipbench.evaluation.retrieval import recall_at_k


def random_features(count: int, seed: int, size: int = 16) -> Tensor:
    """Unit vectors of random direction."""
    return F.normalize(torch.randn(count, size, generator=torch.Generator().manual_seed(seed)))


def slow_recall(images: Tensor, texts: Tensor, owner: list[int], k: int) -> tuple[int, int]:
    """Count hits image by image and caption by caption with sorted lists."""
    scores = (images.double() @ texts.double().T).tolist()
    to_text = 0
    for image, row in enumerate(scores):
        best = sorted(range(len(row)), key=lambda text: -row[text])[:k]
        to_text += any(owner[text] == image for text in best)
    to_image = 0
    for text in range(len(texts)):
        column = [row[text] for row in scores]
        to_image += owner[text] in sorted(range(len(column)), key=lambda i: -column[i])[:k]
    return to_text, to_image


def test_a_case_counted_by_hand() -> None:
    """Three images, four captions: the second image's captions lie nearest to the third."""
    images = torch.eye(3)
    texts = torch.stack([images[0], images[2], images[2], F.normalize(torch.ones(3), dim=0)])
    found = recall_at_k(images, texts, np.array([0, 1, 1, 2]), ks=(1, 2, 3))
    assert {name: (share.k, share.n) for name, share in found.items()} == {
        # image 1 is most similar to caption 3 of image 2, then, of three at zero, to caption 0
        "image_to_text_r1": (1, 3),
        "image_to_text_r2": (1, 3),
        "image_to_text_r3": (3, 3),
        # captions 1 and 2 find image 2, then 0, then 1; caption 3 ties and takes the images in turn
        "text_to_image_r1": (1, 4),
        "text_to_image_r2": (1, 4),
        "text_to_image_r3": (4, 4),
    }


@pytest.mark.parametrize("cells", [1, 100, 1 << 24])
def test_counts_agree_with_a_slow_loop(monkeypatch: pytest.MonkeyPatch, cells: int) -> None:
    """Several captions an image, unevenly many and in mixed order, in chunks of any size."""
    monkeypatch.setattr(retrieval, "_CELLS", cells)
    rng = np.random.default_rng(0)
    owner = rng.permutation(np.concatenate([np.arange(40), rng.integers(0, 40, 60)]))
    images = random_features(40, 1)
    texts = F.normalize(images[torch.from_numpy(owner)] + 1.2 * random_features(100, 2), dim=1)
    found = recall_at_k(images, texts, owner)
    for k in (1, 5, 10):
        counted = (found[f"image_to_text_r{k}"].k, found[f"text_to_image_r{k}"].k)
        assert counted == slow_recall(images, texts, owner.tolist(), k)
        assert 0 < counted[0] <= 40
        assert 0 < counted[1] <= 100


def test_random_features_give_chance_with_five_captions_an_image() -> None:
    """Both directions are about k/N at first rank, far from the 80% of a wrong denominator."""
    owner = np.repeat(np.arange(500), 5)
    found = recall_at_k(random_features(500, 1), random_features(2500, 2), owner)
    assert found["image_to_text_r1"].n == 500
    assert found["text_to_image_r1"].n == 2500
    # Expected 1 of 500 and 5 of 2,500; bounds are beyond five standard deviations.
    assert found["image_to_text_r1"].k <= 7
    assert found["text_to_image_r1"].k <= 17
    assert 25 <= found["text_to_image_r10"].k <= 85


def test_features_that_tell_nothing_apart_give_chance() -> None:
    """With constant features exactly k of N images are found, never all of them."""
    images, texts = torch.ones(50, 4) / 2, torch.ones(250, 4) / 2
    found = recall_at_k(images, texts, np.repeat(np.arange(50), 5))
    assert [found[f"text_to_image_r{k}"].k for k in (1, 5, 10)] == [5, 25, 50]
    assert [found[f"image_to_text_r{k}"].k for k in (1, 5, 10)] == [1, 1, 2]


def test_perfect_features_find_everything() -> None:
    """Captions on top of their image are found at first rank, both ways."""
    images = random_features(30, 1)
    owner = np.repeat(np.arange(30), 3)
    found = recall_at_k(images, images[torch.from_numpy(owner)], owner)
    assert {(share.k, share.n) for share in found.values()} == {(30, 30), (90, 90)}


def test_any_of_an_images_captions_is_a_hit() -> None:
    """One good caption among bad ones is enough for the image."""
    images = torch.eye(4)
    texts = torch.cat([-images, images])
    found = recall_at_k(images, texts, np.tile(np.arange(4), 2), ks=(1,))
    assert found["image_to_text_r1"].k == 4


@pytest.mark.parametrize("owner", [[0, 0], [0, 2], [0], [0, 1, 1]])
def test_captions_that_do_not_fit_the_images_are_an_error(owner: list[int]) -> None:
    """An image without caption, a caption without image and wrong lengths are refused."""
    with pytest.raises(BadInput, match="caption for every image"):
        recall_at_k(torch.eye(2), torch.eye(2), np.array(owner))
