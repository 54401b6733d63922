"""SafeCLIP: stages, the split, its growth, and what guards it."""

from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from known_pairs import KnownPairs
from torch.nn import functional as F

from clipbench.contracts import Features, Phase, TrainingFacts
from clipbench.errors import BadSetting
from clipbench_defenses._safeclip_variants import VARIANTS, SafeCLIPVariantRun
from clipbench_defenses.safeclip import SafeCLIP, SafeCLIPRun

PAIRS, EPOCHS = 200, 12
CONFIG: dict[str, Any] = {"unimodal_epochs": 2, "cross_modal_epochs": 1, "growth": 0.1, "cap": 0.9}


def facts(epochs: int = EPOCHS) -> TrainingFacts:
    return TrainingFacts(PAIRS, PAIRS, epochs, 32, 8, torch.device("cpu"), seed=1)


def scores(low_share: float, seed: int = 0) -> npt.NDArray[np.float32]:
    """Return similarities of which the first `low_share` belong to a lower mode."""
    rng = np.random.default_rng(seed)
    means = np.where(np.arange(PAIRS) < low_share * PAIRS, 0.0, 0.6)
    return rng.normal(means, 0.05).astype(np.float32)


def similarity_of(values: npt.NDArray[np.float32]) -> KnownPairs:
    return KnownPairs(similarities=torch.from_numpy(values))


def epochs_of(config: SafeCLIP, similarity: npt.NDArray[np.float32]) -> list[list[Phase]]:
    run = config.start(facts())
    given = similarity_of(similarity)
    return [list(run.phases(epoch, given)) for epoch in range(EPOCHS)]


def safe_sizes(epochs: list[list[Phase]]) -> list[int]:
    sizes = []
    for phases in epochs:
        keep = phases[-1].keep
        if keep is not None:
            sizes.append(int(keep.sum()))
    return sizes


def test_the_stages_follow_each_other() -> None:
    """Unimodal warm-up, low-rate cross-modal warm-up, then risky before safe in every epoch."""
    names = [[p.name for p in phases] for phases in epochs_of(SafeCLIP(**CONFIG), scores(0.3))]
    assert names[:3] == [["unimodal warm-up"], ["unimodal warm-up"], ["cross-modal warm-up"]]
    assert names[3:] == [["risky", "safe"]] * 9


def test_pairs_are_not_scored_before_the_split() -> None:
    """The warm-up asks for no similarity; plain training never pays for one."""
    run = SafeCLIP(**CONFIG).start(facts())

    unknown = KnownPairs()
    for epoch in range(3):
        list(run.phases(epoch, unknown))
    with pytest.raises(AssertionError, match="asked for similarities"):
        list(run.phases(3, unknown))


def test_scores_are_reused_of_the_safe_set_alone() -> None:
    """Steps of the warm-up tell nothing: the model is another one when the first split is made."""
    for reuse in (True, False):
        config = SafeCLIP(**CONFIG, reuse_scores=reuse)
        kept = [[p.scores for p in phases] for phases in epochs_of(config, scores(0.3))]
        assert kept[:3] == [[False]] * 3
        assert kept[3:] == [[False, reuse]] * 9


def test_the_first_split_takes_the_upper_component() -> None:
    """The pairs of the higher mode, and no other, are safe at first."""
    phases = epochs_of(SafeCLIP(**CONFIG), scores(0.3))[3]
    keep = phases[1].keep
    assert keep is not None
    assert phases[0].keep is not None
    np.testing.assert_array_equal(keep.numpy(), np.arange(PAIRS) >= 0.3 * PAIRS)
    np.testing.assert_array_equal(phases[0].keep.numpy(), ~keep.numpy())


def test_the_safe_set_grows_by_a_fixed_share_up_to_the_cap() -> None:
    """From 40% of the pairs by 10% an epoch to 90%, and no further."""
    config = SafeCLIP(**CONFIG, first_ratio=0.4)
    sizes = safe_sizes(epochs_of(config, scores(0.3)))
    assert sizes == [80, 100, 120, 140, 160, 180, 180, 180, 180]


def test_later_splits_take_the_most_similar() -> None:
    """Every safe set holds the pairs of largest similarity."""
    similarity = scores(0.3)
    for phases in epochs_of(SafeCLIP(**CONFIG, first_ratio=0.4), similarity)[3:]:
        keep = phases[1].keep
        assert keep is not None
        assert similarity[keep.numpy()].min() >= similarity[~keep.numpy()].max()


def test_a_mixture_without_a_split_cannot_empty_the_safe_set() -> None:
    """Equal scores give the floor's share, with a warning, not an epoch without training."""
    with pytest.warns(UserWarning, match=r"0\.00% of the pairs into the safe set"):
        epochs = epochs_of(SafeCLIP(**CONFIG, floor=0.2), np.full(PAIRS, 0.5, np.float32))
    assert safe_sizes(epochs)[0] == 0.2 * PAIRS


def test_a_mixture_that_trusts_everything_is_held_at_the_cap() -> None:
    """A first safe set above the cap is cut to it, with a warning."""
    with pytest.warns(UserWarning, match="the most similar 90%"):
        epochs = epochs_of(SafeCLIP(**CONFIG), scores(0.03))
    assert safe_sizes(epochs)[0] == 180


def test_exposure_is_counted_for_cross_modal_phases_alone() -> None:
    """Unimodal phases tie no image to a caption."""
    for phases in epochs_of(SafeCLIP(**CONFIG), scores(0.3)):
        for phase in phases:
            assert phase.cross_modal == (phase.name in {"safe", "cross-modal warm-up"})


def test_the_unimodal_loss_is_nnclr_with_the_pool_of_view_one() -> None:
    """The positive of view 2 is view 1's neighbor among the features pushed before this batch."""
    run = SafeCLIP(**CONFIG, pool_size=16).start(facts())
    phase = next(iter(run.phases(0, similarity_of(scores(0.3)))))
    generator = torch.Generator().manual_seed(0)
    batches = [F.normalize(torch.randn(2, 2, 16, 8, generator=generator), dim=3) for _ in range(2)]
    scale = torch.tensor(10.0)
    phase.loss(Features(batches[0][0], batches[0][1], scale))  # fills both pools with view 1
    expected = []
    for modality in (0, 1):
        stored = batches[0][modality][0].double().numpy()
        first, second = batches[1][modality].double().numpy()
        neighbors = stored[(first @ stored.T).argmax(axis=1)]
        logits = 10.0 * second @ neighbors.T
        rows = np.log(np.exp(logits).sum(axis=1)) - np.diag(logits)
        expected.append(rows.mean())
    actual = phase.loss(Features(batches[1][0], batches[1][1], scale)).item()
    assert actual == pytest.approx(np.mean(expected), abs=1e-5)


def test_twelve_unimodal_steps_are_nnclr_with_a_memory_bank() -> None:
    """Loss and gradient of each step, in float64 by hand, with a bank of 256 and batches of 64."""
    run = SafeCLIP(**CONFIG, pool_size=256).start(facts())
    phase = next(iter(run.phases(0, similarity_of(scores(0.3)))))
    state = run.state_dict()
    banks = [state[f"{name}_pool"]["features"].double() for name in ("image", "text")]
    generator, scale = torch.Generator().manual_seed(4), torch.tensor(14.0)
    for step in range(12):
        drawn = torch.randn(2, 2, 64, 8, generator=generator)
        views = F.normalize(drawn, dim=3).requires_grad_()
        loss = phase.loss(Features(views[0], views[1], scale))
        (gradient,) = torch.autograd.grad(loss, views)
        again = views.detach().double().requires_grad_()
        expected = torch.zeros((), dtype=torch.float64)
        for modality, bank in enumerate(banks):
            first, second = again[modality].detach()[0], again[modality][1]
            positives = bank[(first @ bank.T).argmax(dim=1)]
            logs = (14.0 * second @ positives.T).log_softmax(dim=1)
            expected = expected - logs.diagonal().mean() / 2
            place = step % 4 * 64
            bank[place : place + 64] = first
        torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-6)
        (wanted,) = torch.autograd.grad(expected, again)
        torch.testing.assert_close(gradient.double(), wanted, rtol=1e-4, atol=1e-6)


def test_crossed_views_are_the_mean_of_both_directions() -> None:
    """View 1 of images with view 2 of captions, and the other way round, each one direction."""
    run = SafeCLIP(**CONFIG, cross_aug=True).start(facts())
    (phase,) = run.phases(2, similarity_of(scores(0.3)))
    drawn = torch.randn(2, 2, 16, 8, generator=torch.Generator().manual_seed(5))
    image, text = F.normalize(drawn, dim=3)
    one, other = (
        np.exp(10.0 * (query.double().numpy() @ key.double().numpy().T))
        for query, key in ((image[0], text[1]), (text[0], image[1]))
    )
    logs = [np.log(np.diag(part) / part.sum(axis=1)).mean() for part in (one, other)]
    loss = phase.loss(Features(image, text, torch.tensor(10.0)))
    assert loss.item() == pytest.approx(-sum(logs) / 2, rel=1e-5)


@pytest.mark.parametrize("first", [0.15, 0.33, 0.6])
def test_the_safe_set_grows_as_published(first: float) -> None:
    """A hundredth of all pairs more each epoch up to .85, rounded down.

    The code counts in single precision, which may round one pair otherwise.
    """
    pairs = 5_003
    similarity = torch.linspace(-1, 1, pairs)
    run = SafeCLIP(first_ratio=first).start(
        TrainingFacts(pairs, pairs, 32, 128, 8, torch.device("cpu"), seed=1)
    )
    ratio = np.float32(first)
    for epoch in range(32):
        phases = list(run.phases(epoch, KnownPairs(similarities=similarity)))
        if epoch < 6:
            continue
        keep = phases[-1].keep
        assert keep is not None
        assert abs(int(keep.sum()) - int(np.float32(pairs) * ratio)) <= 1
        ratio = np.float32(min(ratio + np.float32(0.01), np.float32(0.85)))


def test_the_official_rates_are_those_that_the_authors_counters_give() -> None:
    """A million pairs, batch 128, 15% safe at first; rates worked out from the released formula.

    The rate of the safe set is zero as epoch 26 of 32 begins and rises again; that of the risky set
    swings, for its counter has other batches than the cosine.
    """
    pairs, rate = 1_000_000, 5e-4
    run = SafeCLIP(lr_schedule="official", first_ratio=0.15).start(
        TrainingFacts(pairs, pairs, 32, 128, 8, torch.device("cpu"), seed=1, warmup=10_000)
    )
    given = KnownPairs(similarities=torch.linspace(-1, 1, pairs))
    found = {}
    for epoch in range(32):
        for phase in run.phases(epoch, given):
            assert phase.lr_factor is not None
            kept = pairs if phase.keep is None else int(phase.keep.sum())
            found[phase.name, epoch + 1] = rate * phase.lr_factor(0, -(-kept // 128))
    assert found["safe", 26] == pytest.approx(0, abs=1e-8)
    assert 0 < found["safe", 29] < found["safe", 32]
    assert found["safe", 32] == pytest.approx(9e-5, rel=0.05)
    assert found["risky", 7] == pytest.approx(5e-5, rel=0.05)
    assert found["risky", 8] == pytest.approx(6e-6, abs=1e-6)
    assert found["risky", 20] == pytest.approx(4.4e-4, rel=0.05)
    assert found["risky", 29] < 2e-5


def test_the_official_rates_warm_up_as_long_as_the_settings_say() -> None:
    """Not for the authors' 10,000 steps, which a set of a hundredth of theirs never leaves."""

    def first_rates(warmup: int) -> list[float]:
        given = TrainingFacts(
            10_000, 10_000, 32, 128, 8, torch.device("cpu"), seed=1, warmup=warmup
        )
        run = SafeCLIP(lr_schedule="official", first_ratio=0.5).start(given)
        pairs = KnownPairs(similarities=torch.linspace(-1, 1, 10_000))
        safe = [list(run.phases(epoch, pairs))[-1] for epoch in range(32)]
        return [phase.lr_factor(0, 79) for phase in safe if phase.lr_factor is not None]

    never_down, soon_down = first_rates(10_000), first_rates(100)
    assert never_down[6:] == sorted(never_down[6:])
    assert never_down[-1] < 0.25
    # 79 batches an epoch: the second begins after the warm-up.
    assert soon_down[1] > soon_down[4] > 0
    assert max(soon_down[6:]) > 0.85
    assert min(soon_down[6:]) < 0.01


def test_by_default_the_paper_is_run_and_each_variant_by_its_parameter() -> None:
    """No default of a parameter chooses a variant; any other value does."""
    defaults = {field.name: field.default for field in fields(SafeCLIP)}
    assert {name: defaults[name] for name in VARIANTS} == VARIANTS
    assert type(SafeCLIP().start(facts())) is SafeCLIPRun
    for name, other in (("symmetric", True), ("rank_by", "posterior"), ("cross_aug", True)):
        changed = SafeCLIP(**{name: other})
        assert type(changed.start(facts())) is SafeCLIPVariantRun


@pytest.mark.filterwarnings("ignore:safeclip")
@pytest.mark.parametrize("pairs", [2, 10, 19, 39])
def test_the_safe_set_of_a_few_pairs_can_be_trained_on(pairs: int) -> None:
    """Five per cent of them are less than the two that give a contrast."""
    run = SafeCLIP().start(TrainingFacts(pairs, pairs, 8, 128, 8, torch.device("cpu"), seed=0))
    given = KnownPairs(similarities=torch.full((pairs,), 0.3))
    phases = [phase for epoch in range(7) for phase in run.phases(epoch, given)]
    assert phases[-1].name == "safe"
    assert phases[-1].keep is not None
    assert phases[-1].keep.sum() == 2


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"cap": 1.5}, r"cap must be in \(0, 1\]"),
        ({"floor": 0.9, "cap": 0.5}, "must not exceed cap"),
        ({"first_ratio": 0.99}, "first_ratio must be between"),
        ({"growth": -0.1}, "growth must be at least 0"),
        ({"pool_size": 0}, "pool_size must be at least 1"),  # it was taken for no size
    ],
)
def test_parameters_out_of_range_are_refused(wrong: dict[str, Any], said: str) -> None:
    """The message names the parameter and what it must be."""
    with pytest.raises(BadSetting, match=said):
        SafeCLIP(**wrong)


def test_too_few_epochs_are_refused() -> None:
    """A training that ends in the warm-up would be no SafeCLIP."""
    with pytest.raises(BadSetting, match="more epochs than its 3 of warm-up"):
        SafeCLIP(**CONFIG).start(facts(epochs=3))
