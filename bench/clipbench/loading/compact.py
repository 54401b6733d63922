"""Train only the rows of the token embedding that the data can use.

open_clip's vocabulary has 49,408 tokens; a corpus of narrow language uses a few hundred. Rows that
no caption can reach get no gradient, so leaving them out of the optimizer changes no number that
training or the loss can see, and saves most of an optimizer step of a small model. The full table
comes back when the model is saved. Only weight decay of rows never used differs: they keep their
initial values.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

IntArray = npt.NDArray[np.int64]

# Tokens that open_clip's text towers look for by number: to pool there, or to mask them.
_TOKEN_IDS = ("eos_id", "text_eos_id", "pad_id")


class CompactVocabulary:
    """Shrinks a model's token embedding to the used rows, and expands it again.

    Args:
        model: an open_clip model, changed in place.
        used: sorted token numbers that captions can have. The order is kept, so the end token, the
            largest number, stays the largest, by which open_clip finds it.
    """

    def __init__(self, model: nn.Module, used: IntArray) -> None:
        owner: Any = model if hasattr(model, "token_embedding") else model.text
        self._owner = owner
        self._full: torch.Tensor = owner.token_embedding.weight.detach().clone()
        self._used = torch.from_numpy(used)
        self._rank = np.full(len(self._full), -1, dtype=np.int64)
        self._rank[used] = np.arange(len(used))
        self._set(self._full[self._used])
        # A model that looks for a token by number must look for that number's row; for none where
        # no caption has the token, or it would take another token's row for it.
        self._known_ids: dict[str, int] = {
            name: getattr(owner, name) for name in _TOKEN_IDS if hasattr(owner, name)
        }
        for name, token in self._known_ids.items():
            is_row = 0 <= token < len(self._rank)
            setattr(owner, name, int(self._rank[token]) if is_row else -1)

    def _set(self, rows: torch.Tensor) -> None:
        embedding = nn.Embedding(len(rows), rows.shape[1], device=rows.device)
        embedding.weight.data.copy_(rows)
        self._owner.token_embedding = embedding

    @property
    def used(self) -> IntArray:
        """The token numbers that are left, sorted."""
        return self._used.numpy()

    def compact(self, tokens: IntArray) -> IntArray:
        """Return tokens by their row in the shrunken table."""
        rows = self._rank[tokens]
        assert rows.size == 0 or rows.min() >= 0, "a token outside the declared vocabulary"
        return rows

    def full_state(self, model: nn.Module) -> dict[str, torch.Tensor]:
        """Return the model's state with the full token table, as open_clip has it."""
        state = dict(model.state_dict())
        key = next(key for key in state if key.endswith("token_embedding.weight"))
        full = self._full.clone()
        full[self._used] = state[key].to(full.device, full.dtype)
        state[key] = full
        return state

    def expand(self, model: nn.Module) -> None:
        """Give the model its full token table back, in place."""
        full = self.full_state(model)
        key = next(key for key in full if key.endswith("token_embedding.weight"))
        self._set(full[key])
        for name, token in self._known_ids.items():
            setattr(self._owner, name, token)
