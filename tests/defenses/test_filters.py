"""Filters: two stages, what is dropped, and by which score."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from known_pairs import KnownPairs
from sklearn.ensemble import IsolationForest
from torch.nn import functional as F

from clipbench.contracts import Stage, StagedRun, TrainingFacts, trusted_size
from clipbench.errors import BadSetting
from clipbench.plugins import registry
from clipbench.toolkit.outliers import blocks, k_distance, nearest
from clipbench_defenses._filters import Filter
from clipbench_defenses.clipscore import ClipScore
from clipbench_defenses.isolation_forest import IsolationForestFilter
from clipbench_defenses.kdist import KDistance

FILTERS = ["dao", "slof", "kdist", "lid", "isolation_forest", "clipscore"]
PAIRS, EPOCHS = 200, 3
FACTS = TrainingFacts(PAIRS, PAIRS, EPOCHS, 32, 8, torch.device("cpu"), seed=1, trusted_pairs=50)


def pairs(odd: int = 6) -> KnownPairs:
    """Images in one cloud but for the first `odd`, which lie alone and match no caption."""
    generator = torch.Generator().manual_seed(0)
    center = torch.zeros(8)
    center[0] = 4.0
    images = center + 0.1 * torch.randn(PAIRS, 8, generator=generator)
    texts = images.clone()
    images[:odd] = 4.0 * torch.randn(odd, 8, generator=generator)
    return KnownPairs(features=F.normalize(images, dim=1), texts=F.normalize(texts, dim=1))


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_scores_with_one_model_and_trains_another(name: str) -> None:
    """First a scoring model, then a fresh one; the length of the first is a parameter."""
    run = registry.build("defense", name).start(FACTS)
    assert isinstance(run, StagedRun)
    trusted = Stage(EPOCHS, trusted=True, warmup=50)
    scoring = trusted if name == "clipscore" else Stage(EPOCHS, like="clip")
    assert tuple(run.stages) == (scoring, Stage(EPOCHS, fresh=True))
    short = registry.build("defense", f"{name}:scoring_epochs=1").start(FACTS)
    assert [stage.epochs for stage in short.stages] == [1, EPOCHS]
    given = pairs()
    names = [[p.name for p in run.phases(epoch, given)] for epoch in range(2 * EPOCHS)]
    assert names == [["clip"]] * EPOCHS + [["kept"]] * EPOCHS


@pytest.mark.parametrize("name", [name for name in FILTERS if name != "lid"])
def test_a_filter_drops_the_pairs_that_stand_out(name: str) -> None:
    """Of 200 pairs the 6 that lie alone are among the 30 dropped, and stay dropped."""
    run = registry.build("defense", f"{name}:drop=0.15,scoring_epochs=1").start(FACTS)
    given = pairs()
    masks = [next(iter(run.phases(epoch, given))).keep for epoch in range(1 + EPOCHS)]
    assert masks[0] is None
    for mask in masks[1:]:
        assert mask is not None
        assert int((~mask).sum()) == 30
        assert int(mask[:6].sum()) == 0
        assert torch.equal(mask, masks[1])


def test_the_mask_follows_the_order_of_the_epoch() -> None:
    """What is dropped is said of pairs of the set, and an epoch holds them in its own order."""

    class Shuffled(KnownPairs):
        @property
        def numbers(self) -> Any:
            return np.arange(PAIRS)[::-1].copy()

    run = KDistance(scoring_epochs=1).start(FACTS)
    given = pairs()
    straight = next(iter(run.phases(1, given))).keep
    assert straight is not None
    turned = next(iter(run.phases(2, Shuffled(features=given.features, texts=given.texts)))).keep
    assert turned is not None
    assert torch.equal(turned, straight.flip(0))


def test_scores_are_those_of_their_papers() -> None:
    """k-distance within blocks, scikit-learn's forest, and the cosine of image and caption."""
    given = pairs()
    assert given.features is not None
    assert given.texts is not None
    score = KDistance(k=4, block=64, references="images").score(given.features, given.texts, 5)
    for members in blocks(PAIRS, 64, 5):
        expected = -k_distance(nearest(given.features[members], 4))
        torch.testing.assert_close(score[members], expected)
    forest = IsolationForest(n_estimators=100, random_state=5).fit(given.features.numpy())
    found = IsolationForestFilter().score(given.features, given.texts, 5)
    np.testing.assert_allclose(found, forest.score_samples(given.features.numpy()), atol=1e-6)
    cosine = ClipScore().score(given.features, given.texts, 5)
    torch.testing.assert_close(cosine, F.cosine_similarity(given.features, given.texts))


@pytest.mark.parametrize("name", ["dao", "slof", "kdist"])
def test_captions_are_among_the_neighbors(name: str) -> None:
    """An image among the captions of its block is no outlier, however far from other images."""
    given = pairs()
    assert given.features is not None
    assert given.texts is not None
    texts = given.texts.clone()
    texts[6:66] = given.features[0] + 1e-3 * torch.randn(60, 8)
    common = {"name": name, "k": 8, "block": 400}
    scores = [
        registry.build("defense", {**common, "references": references}).score(
            given.features, texts, 5
        )
        for references in ("images", "images_and_captions")
    ]
    rank = [int((score < score[0]).sum()) for score in scores]
    assert rank[0] <= 6
    assert rank[1] > rank[0]


@pytest.mark.parametrize("name", ["dao", "slof", "kdist", "isolation_forest"])
def test_raw_features_tell_by_their_length(name: str) -> None:
    """Of images in one direction, those that are thrice as long stand out in raw features alone."""
    generator = torch.Generator().manual_seed(3)
    images = F.normalize(torch.ones(8) + 0.3 * torch.randn(PAIRS, 8, generator=generator), dim=1)
    images[:6] *= 3
    worst = {}
    for features in ("raw", "unit"):
        run = registry.build(
            "defense", f"{name}:drop=0.05,scoring_epochs=1,features={features}"
        ).start(FACTS)
        keep = next(iter(run.phases(1, KnownPairs(features=images, texts=images)))).keep
        assert keep is not None
        worst[features] = int((~keep[:6]).sum())
    assert worst["raw"] == 6
    assert worst["unit"] <= 2


def test_the_default_is_what_the_authors_code_does() -> None:
    """Raw features, neighbors among images and captions, blocks of 1,024."""
    for name in ("dao", "slof", "kdist", "lid"):
        built = registry.build("defense", name)
        assert (built.features, built.references) == ("raw", "images_and_captions")
        assert (built.k, built.block, built.drop) == (64 if name == "lid" else 16, 1024, 0.1)
    assert registry.build("defense", "isolation_forest").features == "raw"


def test_only_the_filter_by_trusted_pairs_is_given_some() -> None:
    """CLIPScore's model is trained on 2,000 trusted pairs unless told otherwise."""
    assert trusted_size(ClipScore()) == 2_000
    assert trusted_size(registry.build("defense", "clipscore:trusted_size=50")) == 50
    assert trusted_size(KDistance()) == 0


def test_a_released_model_scores_once_and_nothing_is_trained_for_it() -> None:
    """No trusted pair is asked for, there is one stage, and the pairs of lowest similarity go."""
    config = ClipScore(trusted_size=0, weights="released.pt", model="ViT-B-16")
    assert trusted_size(config) == 0
    run = config.start(FACTS)
    assert not isinstance(run, StagedRun)
    given = KnownPairs(similarities=torch.arange(PAIRS).flip(0) / PAIRS)
    masks = [next(iter(run.phases(epoch, given))).keep for epoch in range(EPOCHS)]
    for mask in masks:
        assert mask is not None
        assert mask.tolist() == [number < 0.9 * PAIRS for number in range(PAIRS)]
    assert given.asked == [("ViT-B-16", "released.pt")]
    again = config.start(FACTS)
    again.load_state_dict(run.state_dict())
    (phase,) = again.phases(1, KnownPairs(similarities=torch.ones(PAIRS)))
    assert phase.keep is not None
    assert torch.equal(phase.keep, masks[0])


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize(
    ("parameters", "message"),
    [("drop=0", "drop must be in"), ("drop=1", "drop must be in"), ("scoring_epochs=0", "epochs")],
)
def test_bad_parameters_are_refused(name: str, parameters: str, message: str) -> None:
    """A share that drops nothing or everything, or a model that is not trained."""
    with pytest.raises(BadSetting, match=rf"{name}\..*{message}"):
        registry.build("defense", f"{name}:{parameters}")


def test_bad_parameters_of_single_filters_are_refused() -> None:
    """Neighbors must fit the block; a forest has trees; a model needs two pairs."""
    for spec, message in (
        ("dao:k=0", "dao.k must"),
        ("dao:k=16,block=32", "dao.k must"),
        ("isolation_forest:trees=0", "trees must"),
        ("isolation_forest:features=long", "features must be"),
        ("slof:references=captions", "references must be"),
        ("clipscore:trusted_size=1", "trusted_size must"),
        ("clipscore:model=RN50", "belong together"),
        ("clipscore:weights=w.pt,trusted_size=0", "belong together"),
        ("clipscore:weights=w.pt,model=RN50", "set trusted_size=0"),
        ("clipscore:weights=w.pt,model=RN50,trusted_size=0,scoring_epochs=1", "no scoring_epochs"),
        ("random_removal:drop=1", "random_removal.drop must"),
    ):
        with pytest.raises(BadSetting, match=message):
            registry.build("defense", spec)


def test_the_base_says_what_a_filter_owes() -> None:
    """A filter without a score can't be made, rather than one that keeps everything."""
    with pytest.raises(TypeError, match=r"abstract.*score"):
        Filter()  # type: ignore[abstract]
