"""Fine-tuning and CleanCLIP: pre-training, then trusted pairs under another loss."""

from __future__ import annotations

import pytest
import torch
from known_pairs import KnownPairs
from torch.nn import functional as F

from clipbench.contracts import (
    Features,
    Reference,
    Stage,
    StagedRun,
    TrainingFacts,
    trusted_size,
)
from clipbench.errors import BadSetting
from clipbench.plugins import registry
from clipbench.toolkit.losses import clip_loss, info_nce
from clipbench_defenses._clean_up import CleanUp
from clipbench_defenses.cleanclip import CleanCLIP
from clipbench_defenses.finetune import FineTune
from clipbench_defenses.par import PAR

FACTS = TrainingFacts(200, 200, 4, 32, 8, torch.device("cpu"), seed=1, trusted_pairs=50)


def features(views: int) -> Features:
    drawn = torch.randn(2, views, 16, 8, generator=torch.Generator().manual_seed(0))
    image, text = F.normalize(drawn, dim=3)
    return Features(image, text, torch.tensor(10.0))


@pytest.mark.parametrize(
    ("name", "share", "pairs", "warmup", "batch", "wd"),
    [
        ("finetune", 0.02, 100_000, 50, 64, None),
        ("cleanclip", 0.02, 100_000, 50, 64, None),
        ("par", 0.06, 250_000, 0, 2_048, 1e-4),
    ],
)
def test_the_clean_up_goes_on_from_the_pre_trained_weights(
    name: str, share: float, pairs: int, warmup: int, batch: int, wd: float | None
) -> None:
    """Four epochs on the set, ten on the papers' trusted pairs at their rate and batch."""
    defense = registry.build("defense", name)
    run = defense.start(FACTS)
    assert isinstance(run, StagedRun)
    assert tuple(run.stages) == (
        Stage(4, like="clip"),
        Stage(10, trusted=True, lr_scale=share, warmup=warmup, batch_size=batch, wd=wd),
    )
    assert trusted_size(defense) == pairs
    names = [[p.name for p in run.phases(epoch, KnownPairs())] for epoch in range(14)]
    assert names == [["clip"]] * 4 + [["clean-up"]] * 10


def test_fine_tuning_is_the_clip_loss_once_more() -> None:
    """One view, the same loss: the control of what CleanCLIP adds."""
    given = features(1)
    loss = FineTune().clean_up_loss(given)
    torch.testing.assert_close(loss, clip_loss(given.image[0], given.text[0], given.logit_scale))


def test_cleanclip_adds_a_contrast_within_each_modality() -> None:
    """Weighted sum of the CLIP loss and the mean of image and text InfoNCE between views."""
    image, text, scale, _ = given = features(2)
    across = clip_loss(image[0], text[0], scale)
    within = (info_nce(image[0], image[1], scale) + info_nce(text[0], text[1], scale)) / 2
    torch.testing.assert_close(CleanCLIP().clean_up_loss(given), across + within)
    heavier = CleanCLIP(cross_modal_weight=0.5, unimodal_weight=4.0).clean_up_loss(given)
    torch.testing.assert_close(heavier, 0.5 * across + 4.0 * within)
    run = CleanCLIP().start(FACTS)
    assert next(iter(run.phases(4, KnownPairs()))).views == 2


def test_par_drives_features_from_where_they_were_up_to_tau() -> None:
    """The CLIP loss less half of the mean squared distances; beyond tau a modality counts no more.

    By hand in float64: unit vectors at a right angle have a squared distance of 2.
    """
    given = features(1)
    image = given.image.double().numpy()[0]
    before = Reference(given.image.roll(1, dims=2), given.text.clone())
    moved = float(((image - before.image.double().numpy()[0]) ** 2).sum(axis=1).mean())
    loss = PAR().clean_up_loss(given._replace(reference=before))
    across = clip_loss(given.image[0], given.text[0], given.logit_scale)
    assert 0.5 < moved < 2.15
    torch.testing.assert_close(loss, across - moved / 2)
    heavier = PAR(weight=3.0).clean_up_loss(given._replace(reference=before))
    torch.testing.assert_close(heavier, across - 3 * moved / 2)
    beyond = PAR(tau=moved - 0.01).clean_up_loss(given._replace(reference=before))
    torch.testing.assert_close(beyond, across)
    assert next(iter(PAR().start(FACTS).phases(4, KnownPairs()))).reference
    assert not next(iter(PAR().start(FACTS).phases(0, KnownPairs()))).reference


@pytest.mark.parametrize("tau", [2.15, 0.1])
def test_pars_gradient_is_that_of_its_formula(tau: float) -> None:
    """Below tau features are driven away; beyond it the gradient is that of the CLIP loss."""
    drawn = torch.randn(2, 2, 16, 8, generator=torch.Generator().manual_seed(1)).double()
    unit = F.normalize(drawn, dim=3)
    now = [unit[modality, :1].clone().requires_grad_() for modality in (0, 1)]
    before, scale = unit[:, 1:], torch.tensor(10.0, dtype=torch.float64)
    given = Features(now[0], now[1], scale, Reference(before[0], before[1]))
    found = torch.autograd.grad(PAR(tau=tau).clean_up_loss(given), now)
    logits = 10.0 * now[0][0] @ now[1][0].T
    across = -(logits.log_softmax(1).diagonal() + logits.log_softmax(0).diagonal()).mean() / 2
    moved = [(part - was).square().sum(dim=2).mean() for part, was in zip(now, before, strict=True)]
    assert all(0.1 < distance.item() < 2.15 for distance in moved)
    expected = across - sum(moved) / 2 if tau > 1 else across
    for gradient, wanted in zip(found, torch.autograd.grad(expected, now), strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("finetune:trusted_size=1", "finetune.trusted_size must be at least 2"),
        ("finetune:clean_up_epochs=0", "finetune.clean_up_epochs must be at least 1"),
        ("cleanclip:clean_up_lr_scale=0", "cleanclip.clean_up_lr_scale must be above 0"),
        ("cleanclip:unimodal_weight=-1", "unimodal_weight must be at least 0"),
        ("par:tau=0", "par.tau must be in"),
        ("par:weight=0", "par.weight must be above 0"),
    ],
)
def test_bad_parameters_are_refused(spec: str, message: str) -> None:
    """Each message names the defense and the parameter."""
    with pytest.raises(BadSetting, match=message):
        registry.build("defense", spec)


def test_the_base_has_no_loss_of_its_own() -> None:
    """A clean-up without a loss can't be made, let alone trained with."""
    with pytest.raises(TypeError, match=r"abstract.*clean_up_loss"):
        CleanUp()  # type: ignore[abstract]
