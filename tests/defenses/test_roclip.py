"""RoCLIP: when images meet captions of the pool, and which."""

from __future__ import annotations

import numpy as np
import open_clip
import pytest
import torch
from known_pairs import KnownPairs
from torch.nn import functional as F

from clipbench.contracts import Features, Phase, TrainingFacts
from clipbench.errors import BadSetting
from clipbench_defenses.roclip import RoCLIP

FACTS = TrainingFacts(10_000, 10_000, 6, 32, 8, torch.device("cpu"), seed=1)
NOBODY = KnownPairs()


def features(seed: int, views: int = 1) -> Features:
    drawn = torch.randn(2, views, 16, 8, generator=torch.Generator().manual_seed(seed))
    image, text = F.normalize(drawn, dim=3)
    return Features(image.requires_grad_(), text.requires_grad_(), torch.tensor(10.0))


def phases(config: RoCLIP) -> list[Phase]:
    run = config.start(FACTS)
    return [phase for epoch in range(6) for phase in run.phases(epoch, NOBODY)]


def test_every_other_epoch_matches_images_with_the_pool() -> None:
    """Epochs 2, 4 and 6, or every third; only epochs of own captions count as exposures."""
    assert [p.name for p in phases(RoCLIP())] == ["own captions", "matched"] * 3
    assert [p.name == "matched" for p in phases(RoCLIP(match_every=3))] == [
        False,
        False,
        True,
    ] * 2
    assert all(p.name == "matched" for p in phases(RoCLIP(match_every=1)))
    for phase in phases(RoCLIP()):
        assert phase.cross_modal == (phase.name == "own captions")
        assert phase.keep is None


def test_a_matched_image_meets_the_nearest_caption_of_the_pool() -> None:
    """The loss, in float64 by hand: both directions against captions pushed before, not its own."""
    run = RoCLIP(pool_size=16).start(FACTS)
    earlier, now = features(1), features(2)
    next(iter(run.phases(0, NOBODY))).loss(earlier)  # fills the pool with its captions
    loss = next(iter(run.phases(1, NOBODY))).loss(now)
    image = now.image[0].detach().double().numpy()
    pool = earlier.text[0].detach().double().numpy()
    text = pool[(image @ pool.T).argmax(axis=1)]
    logits = 10.0 * image @ text.T

    def cross_entropy(rows: np.ndarray) -> float:  # type: ignore[type-arg]
        shifted = rows - rows.max(axis=1, keepdims=True)
        logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return float(-np.diag(logs).mean())

    expected = (cross_entropy(logits) + cross_entropy(logits.T)) / 2
    assert loss.item() == pytest.approx(expected, abs=1e-5)
    loss.backward()  # type: ignore[no-untyped-call]
    assert now.image.grad is not None
    assert now.text.grad is None


def test_eight_matched_steps_are_those_of_a_queue_of_captions() -> None:
    """Loss and gradient of each, in float64 by hand; the queue of 48 is full after three."""
    run = RoCLIP(pool_size=48).start(FACTS)
    queue = run.state_dict()["pool"]["features"].double()
    phase = next(iter(run.phases(1, NOBODY)))
    for step in range(8):
        now = features(10 + step)
        loss = phase.loss(now)
        (gradient,) = torch.autograd.grad(loss, now.image)
        image = now.image.detach().double().requires_grad_()
        text = queue[(image[0] @ queue.T).argmax(dim=1)]
        logits = 10.0 * image[0] @ text.T
        both = (logits.log_softmax(1).diagonal() + logits.log_softmax(0).diagonal()).mean() / 2
        torch.testing.assert_close(loss.double(), -both, rtol=1e-5, atol=1e-6)
        (wanted,) = torch.autograd.grad(-both, image)
        torch.testing.assert_close(gradient.double(), wanted, rtol=1e-4, atol=1e-6)
        place = step % 3 * 16
        queue[place : place + 16] = now.text[0].detach()


def test_an_epoch_of_own_captions_is_clips() -> None:
    """One view, and open_clip's own loss."""
    given = features(3)
    loss = next(iter(RoCLIP().start(FACTS).phases(0, NOBODY))).loss(given)
    expected = open_clip.ClipLoss()(given.image[0], given.text[0], given.logit_scale)
    torch.testing.assert_close(loss, expected)


def test_the_pool_takes_in_captions_of_every_epoch() -> None:
    """After a matched step its captions are in the pool; the state brings them back."""
    run = RoCLIP(pool_size=16).start(FACTS)
    batch = features(3)
    next(iter(run.phases(1, NOBODY))).loss(batch)
    pool = run.state_dict()["pool"]["features"]
    torch.testing.assert_close(pool, batch.text[0].detach())
    other = RoCLIP(pool_size=16).start(FACTS)
    other.load_state_dict(run.state_dict())
    torch.testing.assert_close(other.state_dict()["pool"]["features"], pool)


def test_the_pool_holds_two_percent_of_the_pairs() -> None:
    """10,000 pairs have a pool of 256, the least; a size can be given."""
    assert len(RoCLIP().start(FACTS).state_dict()["pool"]["features"]) == 256
    larger = TrainingFacts(50_000, 50_000, 6, 32, 8, torch.device("cpu"), seed=1)
    assert len(RoCLIP().start(larger).state_dict()["pool"]["features"]) == 1000


def test_crossed_views_are_for_own_captions_alone() -> None:
    """With `cross_aug` own epochs take two views and tie view 1 to the other's view 2."""
    own, matched = phases(RoCLIP(cross_aug=True))[:2]
    assert (own.views, matched.views) == (2, 1)
    assert torch.isfinite(own.loss(features(4, views=2)))


def test_bad_parameters_are_refused() -> None:
    """Matching in no epoch is not RoCLIP, and an empty pool is none; 0 was taken for no size."""
    with pytest.raises(BadSetting, match="match_every must be at least 1"):
        RoCLIP(match_every=0)
    with pytest.raises(BadSetting, match=r"roclip\.pool_size must be at least 1\. Got 0"):
        RoCLIP(pool_size=0)
