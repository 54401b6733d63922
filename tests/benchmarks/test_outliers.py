"""Scoring embeddings by their neighborhoods, against scikit-learn's exact neighbors.

``CLIPBENCH_BENCHMARK_EMBEDDINGS=1000000`` makes it a million; scikit-learn then takes hours, and
is left out with ``-k blocks``.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from clipbench.toolkit.outliers import dimensionality_aware_outlierness, nearest
from clipbench_defenses.dao import DAO

COUNT = int(os.environ.get("CLIPBENCH_BENCHMARK_EMBEDDINGS", "20000"))
SIZE, K, BLOCK = 256, 16, 1024


@pytest.fixture(scope="module")
def embeddings() -> torch.Tensor:
    """Unit features in 1,000 clusters, as those of classes are."""
    generator = torch.Generator().manual_seed(0)
    centers = torch.randn(1000, SIZE, generator=generator)
    own = torch.randint(1000, (COUNT,), generator=generator)
    noise = torch.randn(COUNT, SIZE, generator=generator)
    return torch.nn.functional.normalize(centers[own] + noise, dim=1)


@pytest.mark.benchmark(group=f"score {COUNT:,} embeddings of {SIZE} dimensions by DAO, k {K}")
def test_in_blocks(benchmark: Any, embeddings: torch.Tensor) -> None:
    """Exact neighbors within random blocks of 1,024, which is what the defenses do."""
    dao = DAO(k=K, block=BLOCK, references="images")

    def score() -> torch.Tensor:
        return dao.score(embeddings, embeddings, 0)

    assert torch.isfinite(benchmark.pedantic(score, rounds=3)).all()


@pytest.mark.benchmark(group=f"score {COUNT:,} embeddings of {SIZE} dimensions by DAO, k {K}")
def test_among_all(benchmark: Any, embeddings: torch.Tensor) -> None:
    """Exact neighbors among all embeddings."""

    def score() -> torch.Tensor:
        return dimensionality_aware_outlierness(nearest(embeddings, K))

    assert torch.isfinite(benchmark.pedantic(score, rounds=1)).all()


@pytest.mark.benchmark(group=f"score {COUNT:,} embeddings of {SIZE} dimensions by DAO, k {K}")
def test_neighbors_of_scikit_learn(benchmark: Any, embeddings: torch.Tensor) -> None:
    """The exact neighbors alone, by brute force with all processors."""
    given = embeddings.numpy()

    def search() -> Any:
        neighbors = NearestNeighbors(n_neighbors=K, algorithm="brute", n_jobs=-1)
        return neighbors.fit(given).kneighbors()

    benchmark.pedantic(search, rounds=1)
