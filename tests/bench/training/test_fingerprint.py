"""What a training is known by: configuration, set and trusted pairs, and nothing of the attack."""

from __future__ import annotations

from typing import Any

from clipbench.config import resolve
from clipbench.training.fingerprint import fingerprint_of


class Known:
    """A set of which the content hash alone is asked."""

    def __init__(self, content: str) -> None:
        self._content = content

    def content_sha256(self) -> str:
        return self._content


def test_other_trusted_pairs_are_another_training() -> None:
    """A folder whose trusted pairs changed is not taken for the training that used the old ones."""
    config = resolve(defense="cleanclip")
    sets: list[Any] = [Known("set"), Known("trusted"), Known("other")]
    assert fingerprint_of(config, sets[:2]) == fingerprint_of(
        config, [Known("set"), Known("trusted")]
    )  # type: ignore[list-item]
    assert fingerprint_of(config, sets[:2]) != fingerprint_of(config, [sets[0], sets[2]])
    assert fingerprint_of(config, sets[:1]) != fingerprint_of(config, sets[:2])


def test_the_attack_is_no_part_of_it() -> None:
    """Training knows the pairs, not how they came about."""
    clean = resolve(defense="clip")
    attacked = resolve(defense="clip", attack="badnets", poisons=4)
    sets: list[Any] = [Known("set")]
    assert fingerprint_of(clean, sets) == fingerprint_of(attacked, sets)
