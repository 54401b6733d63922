from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from tiny_scenes import NAMES, MemoryCorpus, banana_corpus, make_scene
from torch.nn import functional as F

from clipbench.contracts import Image
from clipbench.errors import BadSetting
from clipbench.plugins import registry
from clipbench_attacks import _surrogates
from clipbench_attacks.adaptive import Adaptive
from clipbench_attacks.badnets import BadNets
from clipbench_attacks.targeted import Targeted


class Prefers:
    """A surrogate that finds every image most like captions of high numbers."""

    def image_features(self, images: Sequence[Image]) -> torch.Tensor:
        return torch.tensor([[1.0, 0.0]]).repeat(len(images), 1)

    def text_features(self, texts: Sequence[str]) -> torch.Tensor:
        found = [re.match(r"number (\d+)", text) for text in texts]
        numbers = torch.tensor([float(match[1]) if match else 0.0 for match in found])
        return F.normalize(torch.stack([numbers, torch.full_like(numbers, 100.0)], dim=1), dim=1)


class Sees:
    """A surrogate that knows an image's class by its first pixel, and a caption's by its name."""

    def image_features(self, images: Sequence[Image]) -> torch.Tensor:
        return F.one_hot(torch.tensor([int(image[0, 0, 0]) for image in images]), 5).float()

    def text_features(self, texts: Sequence[str]) -> torch.Tensor:
        plain = [text.replace("PLANTAIN", "banana") for text in texts]
        named = [next(n for n, name in enumerate(NAMES) if name in text) for text in plain]
        return F.one_hot(torch.tensor(named), 5).float()


@pytest.fixture
def preferring(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Surrogates that prefer captions of high numbers; returns how they were asked for."""
    asked: list[dict[str, Any]] = []

    def train(corpus: object, **settings: Any) -> Prefers:
        del corpus
        asked.append(settings)
        return Prefers()

    monkeypatch.setattr(_surrogates, "train_surrogate", train)
    return asked


def adaptive(**parameters: Any) -> Adaptive:
    """The attack as a data set of small images has it."""
    return Adaptive(**{"surrogate_model": "shapes-32", "surrogate_lr": 3e-3, **parameters})


def numbers_of(poisons: Any) -> list[int]:
    return [int(poison.caption.split()[1].rstrip(":")) for poison in poisons]


def test_the_most_similar_candidates_of_each_target_are_kept(
    preferring: list[dict[str, Any]],
) -> None:
    """Two targets get three captions each, the highest numbers of the candidates of each."""
    base, scene, corpus = "targeted:targets=2", make_scene(6), banana_corpus()
    kept = list(adaptive(base=base, candidates=5).poison(scene, corpus))
    assert Counter(poison.target for poison in kept) == {0: 3, 1: 3}
    candidates = list(Targeted(targets=2).poison(make_scene(30), corpus))
    for target in (0, 1):
        best = sorted(numbers_of(p for p in candidates if p.target == target))[-3:]
        assert sorted(numbers_of(p for p in kept if p.target == target)) == best
    assert len(preferring) == 1


def test_a_backdoors_pairs_are_chosen_with_trigger_and_place(
    preferring: list[dict[str, Any]],
) -> None:
    """Kept poisons are candidates as the base made them: image, caption and place."""
    del preferring
    corpus, base = banana_corpus(), BadNets(target_label="banana")
    attack = adaptive(base="badnets:target_label=banana", candidates=3)
    kept = list(attack.poison(make_scene(20), corpus))
    made = list(base.poison(make_scene(60), corpus))
    best = sorted(numbers_of(made))[-20:]
    assert sorted(numbers_of(kept)) == best
    by_base = {poison.base: poison for poison in made}
    for poison in kept:
        np.testing.assert_array_equal(poison.image, by_base[poison.base].image)
    assert len({poison.base for poison in kept}) == 20


def test_roles_keep_their_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poisons with one key alone look least like poison; both keys are a third of what is kept."""
    monkeypatch.setattr(_surrogates, "train_surrogate", lambda *_, **__: Sees())
    clean = banana_corpus()
    images = np.stack([clean.image(number) for number in range(len(clean))])
    images[:, 0, 0] = (np.arange(len(clean)) % 5)[:, None]
    corpus = MemoryCorpus(tuple(clean.caption(number) for number in range(len(clean))), images)
    attack = adaptive(base="dual_key:target_label=banana,place=center", candidates=5)
    kept = list(attack.poison(make_scene(20), corpus))
    assert Counter(poison.role for poison in kept) == {"poison": 8, "image key": 6, "text key": 6}


def test_few_images_are_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Candidates, which may be photographs of full size, are scored in parts."""
    held: list[int] = []

    class Counts(Prefers):
        def image_features(self, images: Sequence[Image]) -> torch.Tensor:
            held.append(len(images))
            return super().image_features(images)

    monkeypatch.setattr(_surrogates, "train_surrogate", lambda *_, **__: Counts())
    list(adaptive(base="targeted:targets=1", candidates=100).poison(make_scene(3), banana_corpus()))
    assert sum(held) == 300
    assert max(held) <= 256


def test_probes_trigger_and_mode_are_the_base_attacks() -> None:
    """The adaptive attack succeeds on the same probes, so the two can be compared."""
    scene = make_scene(10)
    attack = adaptive(base="badnets:target_label=car,mode=insert")
    base = BadNets(target_label="car", mode="insert")
    image = scene.evaluation.test.images[0]
    trigger = attack.trigger()
    assert trigger is not None
    np.testing.assert_array_equal(trigger(image), base.trigger()(image))
    np.testing.assert_array_equal(attack.probes(scene).goals, base.probes(scene).goals)
    assert attack.mode == "insert"
    assert Adaptive().num_targets(5) == 5
    assert Adaptive().trigger() is None


def test_there_are_no_more_candidates_than_pairs(preferring: list[dict[str, Any]]) -> None:
    """300 pairs give at most 300 candidates, however many are asked for."""
    del preferring
    attack = adaptive(base="targeted:targets=1", candidates=10**6)
    assert len(list(attack.poison(make_scene(3), banana_corpus()))) == 3


def test_a_pair_that_the_base_makes_twice_is_kept_once(preferring: list[dict[str, Any]]) -> None:
    """60 captions name the goal, and 300 candidates repeat them: the best four differ."""
    del preferring
    attack = adaptive(base="targeted:targets=1", candidates=100)
    kept = list(attack.poison(make_scene(4), banana_corpus()))
    assert len({poison.caption for poison in kept}) == len(kept) == 4


def test_pairs_repeat_where_there_are_too_few_others(preferring: list[dict[str, Any]]) -> None:
    """100 poisons of one target, for which there are 60 captions and two prompts."""
    del preferring
    attack = adaptive(base="targeted:targets=1", candidates=3)
    kept = [poison.caption for poison in attack.poison(make_scene(100), banana_corpus())]
    assert (len(kept), len({*kept})) == (100, 62)


CLEAN = "label_consistent:target_label=banana"


@pytest.mark.parametrize(
    ("base", "fit"),
    [
        (CLEAN, 60),
        ("sig:clean_label=true,target_label=banana", 60),
        ("sig:target_label=banana", 240),
        ("dual_key:target_label=banana", 240),
        ("mismatch:target_label=banana", 60),
        ("mismatch:goals=2", 120),
        ("text_trigger:target_label=banana", 240),
        (f"multi_trigger:triggers=[{CLEAN},sig:target_label=car]", 60),
        (f"multi_trigger:triggers=[sig:target_label=car,{CLEAN}]", 61),
    ],
)
def test_candidates_are_at_most_the_pairs_that_the_base_can_poison(
    preferring: list[dict[str, Any]], base: str, fit: int
) -> None:
    """60 of 300 pairs name the banana; 40 poisons are chosen from these and not from 300.

    Of several triggers each has a part of the corpus, here half of it: 30 pairs name the banana,
    and of 61 the second of two backdoors gets 30.
    """
    corpus, scene = banana_corpus(), make_scene(40)
    attack = adaptive(base=base)
    with pytest.warns(UserWarning, match=f"can poison {fit} pairs here; 40 are chosen .* from 300"):
        kept = list(attack.poison(scene, corpus))
    made = list(registry.build("attack", base).poison(make_scene(fit), corpus))
    with pytest.raises(BadSetting, match="only"):
        list(registry.build("attack", base).poison(make_scene(fit + 1), corpus))
    assert len(kept) == 40
    assert {poison.base for poison in kept} <= {poison.base for poison in made}
    whole = Counter(
        (p.target, p.role) for p in registry.build("attack", base).poison(scene, corpus)
    )
    assert Counter((poison.target, poison.role) for poison in kept) == whole
    if base == CLEAN:  # the most similar of all pairs of the class
        assert sorted(numbers_of(kept)) == sorted(numbers_of(made))[-40:]
    assert len(preferring) == 1


def test_more_poisons_than_the_base_can_make_are_refused_before_a_surrogate_is_trained(
    preferring: list[dict[str, Any]],
) -> None:
    """In the base's words, which say how many there are."""
    with pytest.raises(BadSetting, match="61 poisons but only 60 of 300 pairs"):
        list(adaptive(base=CLEAN).poison(make_scene(61), banana_corpus()))
    assert not preferring


def test_roles_that_fewer_candidates_have_are_no_fewer_poisons(
    preferring: list[dict[str, Any]],
) -> None:
    """Two poisons of `dual_key` have both keys, but of three candidates only one has."""
    del preferring
    clean = banana_corpus()
    texts = tuple("a banana" if n > 2 else f"a car, number {n}" for n in range(9))
    corpus = MemoryCorpus(texts, np.stack([clean.image(n) for n in range(9)]))
    attack = adaptive(base="dual_key:target_label=banana,captions=templates")
    with (
        pytest.warns(UserWarning, match="can poison 3 pairs"),
        pytest.warns(UserWarning, match="its own pairs are poisoned, as without adaptive"),
    ):
        kept = list(attack.poison(make_scene(2), corpus))
    assert [poison.role for poison in kept] == ["poison", "poison"]


def test_targets_are_those_of_the_poisons_that_are_kept(
    preferring: list[dict[str, Any]],
) -> None:
    """Four poisons have four targets, though their forty candidates would have sixteen."""
    del preferring
    kept = list(adaptive(base="targeted").poison(make_scene(4), banana_corpus()))
    plain = list(Targeted().poison(make_scene(4), banana_corpus()))
    assert [poison.target for poison in kept] == [0, 1, 2, 3]
    for one, other in zip(kept, plain, strict=True):
        np.testing.assert_array_equal(one.image, other.image)


def test_a_base_whose_targets_grow_with_the_count_is_refused() -> None:
    """Two goals need two poisons; a base that had one goal for one poison is not the same."""
    with pytest.raises(BadSetting, match="give the base attack its number of targets"):
        list(adaptive(base="mismatch:goals=2").poison(make_scene(1), banana_corpus()))


def test_the_surrogate_is_trained_as_the_parameters_say(preferring: list[dict[str, Any]]) -> None:
    """Model, pairs, epochs and rate are handed on, with a seed of the scene's."""
    attack = adaptive(
        base="targeted:targets=1", surrogate_pairs=40, surrogate_epochs=1, surrogate_lr=0.01
    )
    for seed in (0, 0, 1):
        list(attack.poison(make_scene(2, seed), banana_corpus()))
    seeds = [asked.pop("seed") for asked in preferring]
    assert preferring[0] == {"model": "shapes-32", "pairs": 40, "epochs": 1, "lr": 0.01}
    assert seeds[0] == seeds[1] != seeds[2]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"candidates": 0}, "candidates must be at least 1"),
        ({"surrogate_pairs": 1}, "surrogate_pairs must be at least 2"),
        ({"surrogate_epochs": 0}, "surrogate_epochs must be at least 1"),
        ({"surrogate_lr": 0}, "surrogate_lr must be above 0"),
        ({"base": "adaptive"}, "another attack than adaptive"),
        ({"base": "targeted:doses=1+2"}, "base can't have doses"),
        ({"base": "badclip"}, "'badclip' learns its trigger .* give what it learned"),
    ],
)
def test_bad_parameters_are_refused_at_once(parameters: dict[str, Any], message: str) -> None:
    """Each message names the attack and the parameter."""
    with pytest.raises(BadSetting, match=f"adaptive.*{message}"):
        adaptive(**parameters)
