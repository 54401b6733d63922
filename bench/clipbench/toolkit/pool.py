"""Nearest-neighbor pool: a FIFO store of past features (NNCLR's support set)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from clipbench.errors import BadSetting
from clipbench.rng import generator


def default_pool_size(num_pairs: int) -> int:
    """Return the number of features that a pool holds by default: 2% of the pairs, at least 256."""
    return max(256, num_pairs // 50)


class NearestNeighborPool:
    """Keep the last `size` features and answer each query with its nearest one.

    It starts from random directions, so that it gives an answer from the first batch on.

    Args:
        size: K, features held.
        feature_size: D.
        seed: decides the random start.
        name: keeps pools of one run apart.
        device: where the features live.
    """

    def __init__(
        self, size: int, feature_size: int, seed: int, name: str, device: torch.device
    ) -> None:
        if size < 1:
            raise BadSetting(f"The nearest-neighbor pool must hold at least 1 feature. Got {size}.")
        start = generator(seed, "pool", name).standard_normal((size, feature_size))
        self.features = F.normalize(torch.from_numpy(start.astype(np.float32)).to(device), dim=1)
        self.position = 0

    def nearest(self, queries: Tensor) -> Tensor:
        """Return for each query the stored feature of largest cosine similarity.

        Args:
            queries: unit vectors, ``(B, D)``.

        Returns:
            ``(B, D)``, unit vectors without gradient.
        """
        with torch.no_grad():
            best = (queries.float() @ self.features.T).argmax(dim=1)
            return self.features[best]

    def push(self, features: Tensor) -> None:
        """Store features, the oldest give way; more than K at once keeps the last K.

        Args:
            features: unit vectors, ``(B, D)``.
        """
        newest = features.detach().float()[-len(self.features) :]
        place = (torch.arange(len(newest), device=newest.device) + self.position) % len(
            self.features
        )
        self.features[place] = newest
        self.position = (self.position + len(newest)) % len(self.features)

    def state_dict(self) -> dict[str, Tensor | int]:
        """Return the stored features and the place of the oldest."""
        return {"features": self.features.clone(), "position": self.position}

    def load_state_dict(self, state: dict[str, Tensor | int]) -> None:
        """Continue from a saved pool."""
        features = state["features"]
        assert isinstance(features, Tensor)
        assert features.shape == self.features.shape
        self.features.copy_(features)
        self.position = int(state["position"])
