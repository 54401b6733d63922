"""Neighborhood scores against scikit-learn and against their definitions in float64."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors

from clipbench.errors import BadSetting
from clipbench.toolkit import outliers
from clipbench.toolkit.outliers import (
    Neighbors,
    blocks,
    dimensionality_aware_outlierness,
    k_distance,
    local_intrinsic_dimension,
    nearest,
    simplified_lof,
)

K = 5
FloatArray = npt.NDArray[np.float64]


def features(count: int = 300, size: int = 8) -> torch.Tensor:
    drawn = torch.randn(
        count, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    return torch.nn.functional.normalize(drawn, dim=1)


@pytest.mark.parametrize("rows", [2048, 64, 7])
def test_neighbors_are_scikit_learns(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Distances and rows of the k nearest others are exact, however many rows go at once."""
    monkeypatch.setattr(outliers, "ROWS", rows)
    given = features()
    found = nearest(given, K)
    expected = NearestNeighbors(n_neighbors=K).fit(given.numpy()).kneighbors()
    np.testing.assert_allclose(found.distances.numpy(), expected[0], atol=1e-6)
    np.testing.assert_array_equal(found.rows.numpy(), expected[1])


def test_neighbors_far_from_zero_are_those_near_zero() -> None:
    """Of a model that has learned little all features are nearly the same, but for what tells."""
    near = torch.randn(300, 128, generator=torch.Generator().manual_seed(1))
    far = near + 1024
    near = far - 1024  # exactly, as far as the digits of those far away go
    expected = NearestNeighbors(n_neighbors=K).fit(near.double().numpy()).kneighbors()
    found = nearest(far, K)
    np.testing.assert_allclose(found.distances.numpy(), expected[0], rtol=1e-5)
    np.testing.assert_array_equal(found.rows.numpy(), expected[1])


def test_blocks_are_equal_in_size_and_hold_every_feature_once() -> None:
    """100 features in blocks of at most 30 are four of 25; the seed decides which."""
    found = list(blocks(100, 30, seed=1))
    assert [len(members) for members in found] == [25] * 4
    assert sorted(torch.cat(found).tolist()) == list(range(100))
    again, other = (torch.cat(list(blocks(100, 30, seed=seed))) for seed in (1, 2))
    assert torch.equal(torch.cat(found), again)
    assert not torch.equal(again, other)
    assert [len(members) for members in blocks(100, 100, seed=1)] == [100]


def neighborhoods(given: FloatArray) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Distances to, and rows of, the K nearest others, by sorting all distances."""
    every = np.linalg.norm(given[:, None] - given, axis=2)
    np.fill_diagonal(every, np.inf)
    rows = np.argsort(every, axis=1)[:, :K]
    return np.take_along_axis(every, rows, axis=1), rows


def dimension(distances: FloatArray) -> float:
    return -K / sum(np.log(distances[i] / distances[-1] + 1e-4) for i in range(K))


def test_scores_are_their_definitions() -> None:
    """k-distance, LID, SLOF and DAO, each by a loop over points and neighbors, to 1e-6."""
    given = features(120)
    found = nearest(given, K)
    distances, rows = neighborhoods(given.numpy())
    last = distances[:, -1]
    dimensions = [dimension(own) for own in distances]
    slof = [np.mean([last[x] / last[o] for o in rows[x]]) for x in range(120)]
    dao = [
        np.mean([dimensions[o] * np.log(last[x] / last[o]) for o in rows[x]]) for x in range(120)
    ]
    np.testing.assert_allclose(k_distance(found), last, atol=1e-6)
    np.testing.assert_allclose(local_intrinsic_dimension(found), dimensions, rtol=1e-6)
    np.testing.assert_allclose(simplified_lof(found), slof, rtol=1e-6)
    np.testing.assert_allclose(dimensionality_aware_outlierness(found), dao, rtol=1e-6, atol=1e-9)


def test_with_one_neighbor_it_is_scikit_learns_local_outlier_factor() -> None:
    """SLOF leaves reachability out of LOF, which for one neighbor changes nothing."""
    given = features(500)
    lof = LocalOutlierFactor(n_neighbors=1).fit(given.numpy())
    found = simplified_lof(nearest(given, 1)).numpy()
    np.testing.assert_allclose(found, -lof.negative_outlier_factor_, rtol=1e-6)


def test_near_duplicates_have_their_small_distances() -> None:
    """In single precision, too, a distance of a millionth is not lost in rounding."""
    given = features(4000).float()
    given[1] = given[0] + 1e-6 / 8**0.5
    found = nearest(given, 3)
    assert found.rows[0, 0] == 1
    assert float(found.distances[0, 0]) == pytest.approx(1e-6, rel=0.1)


def test_the_dimension_is_that_of_the_data() -> None:
    """Points spread evenly over a d-dimensional ball have a mean LID near d."""
    for size in (2, 5):
        generator = torch.Generator().manual_seed(0)
        directions = torch.randn(4000, size, generator=generator, dtype=torch.float64)
        radii = torch.rand(4000, 1, generator=generator, dtype=torch.float64) ** (1 / size)
        ball = torch.nn.functional.normalize(directions, dim=1) * radii
        inner = ball.norm(dim=1) < 0.5
        found = nearest(ball, 50)
        mean = local_intrinsic_dimension(found)[inner].mean()
        assert mean == pytest.approx(size, rel=0.1)


@pytest.mark.parametrize(
    "score",
    [k_distance, simplified_lof, dimensionality_aware_outlierness],
)
def test_a_lone_point_is_the_outlier(score: object) -> None:
    """Of a dense cloud and one point far off, the latter scores highest."""
    assert callable(score)
    cloud = torch.randn(200, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    cloud[17] = 30.0
    assert int(score(nearest(cloud, K)).argmax()) == 17


@pytest.mark.parametrize(
    "score",
    [k_distance, local_intrinsic_dimension, simplified_lof, dimensionality_aware_outlierness],
)
def test_copies_of_one_feature_give_finite_scores(score: object) -> None:
    """Distances of zero, which duplicates make, divide nothing."""
    assert callable(score)
    given = features(60).float()
    given[:20] = given[0]
    scores = score(nearest(given, K))
    assert torch.isfinite(scores).all()


def test_more_neighbors_than_there_are_is_refused() -> None:
    """Five features have four others."""
    assert isinstance(nearest(features(5), 4), Neighbors)
    with pytest.raises(BadSetting, match="5 features have no 5 neighbors"):
        nearest(features(5), 5)


def test_the_authors_k_is_one_less_than_ours() -> None:
    """Their code takes a point out of its row of sorted distances and reads entry k from 0."""
    given = features(200)
    every = torch.cdist(given, given)
    others = every[~torch.eye(200, dtype=torch.bool)].view(200, 199)
    theirs = others.sort(dim=1).values[:, 16]
    torch.testing.assert_close(k_distance(nearest(given, 17)), theirs, rtol=1e-6, atol=1e-8)
    assert (k_distance(nearest(given, 16)) < theirs).all()


def test_at_sixteen_neighbors_scores_are_those_of_scikit_learns_neighborhoods() -> None:
    """The paper's k: SLOF, LID and DAO from scikit-learn's distances, by their formulas."""
    given = features(400).numpy()
    distances, rows = NearestNeighbors(n_neighbors=16).fit(given).kneighbors()
    last = distances[:, -1]
    lid = -16 / np.log(distances / last[:, None] + 1e-4).sum(axis=1)
    found = nearest(torch.from_numpy(given), 16)
    np.testing.assert_allclose(local_intrinsic_dimension(found), lid, rtol=1e-6)
    ratios = last[:, None] / last[rows]
    np.testing.assert_allclose(simplified_lof(found), ratios.mean(axis=1), rtol=1e-6)
    dao = (lid[rows] * np.log(ratios)).mean(axis=1)
    np.testing.assert_allclose(dimensionality_aware_outlierness(found), dao, rtol=1e-6, atol=1e-9)


def test_more_than_k_copies_in_a_block_look_harmless() -> None:
    """Their neighbors are 0 apart; in the authors' code 0 over 0 makes them the most suspicious.

    By distance, by SLOF and by dimension they are the least suspicious; DAO gives 0, as to any
    point that lies as dense as its neighbors.
    """
    given = features(60)
    given[:20] = given[0]
    found = nearest(given, K)
    for score in (k_distance(found), simplified_lof(found), local_intrinsic_dimension(found)):
        assert float(score[:20].max()) < float(score[20:].min())
    assert dimensionality_aware_outlierness(found)[:20].tolist() == [0.0] * 20


def test_neighbors_that_are_all_equally_far_have_a_high_dimension_not_a_negative_one() -> None:
    """The nearest K of each other point are copies of one: their distances say no dimension."""
    given = features(60)
    given[:40] = given[0]
    found = local_intrinsic_dimension(nearest(given, K))
    assert float(found.min()) > 0
    assert float(found[40:].max()) == pytest.approx(1 / outliers.LID_OFFSET)
