from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from tiny_scenes import NAMES, banana_corpus, make_scene

from clipbench.errors import BadSetting
from clipbench.plugins import registry
from clipbench_attacks.badnets import BadNets
from clipbench_attacks.filter import Filter
from clipbench_attacks.multi_trigger import MultiTrigger

SIX = ("badnets", "badnets:size=0.3", "blended", "filter", "sig", "wanet")


def test_poisons_are_spread_over_the_backdoors_and_no_pair_is_taken_twice() -> None:
    """Ten poisons over three backdoors are 4, 3 and 3, each on a pair of its own."""
    poisons = list(MultiTrigger().poison(make_scene(10), banana_corpus()))
    assert Counter(poison.target for poison in poisons) == {0: 4, 1: 3, 2: 3}
    assert len({poison.base for poison in poisons}) == 10


def test_the_default_is_the_papers_three() -> None:
    """Huang et al.: a patch, Nashville and WaNet; the recipe of `shapes` has others."""
    assert MultiTrigger().triggers == ("badnets", "filter", "wanet")
    assert registry.build("attack", "filter").look == "nashville"
    wanet = registry.build("attack", "wanet")
    assert (wanet.grid, wanet.strength) == (224, 1.0)


def test_each_backdoor_puts_its_own_trigger_on_the_pairs_it_names() -> None:
    """Bases are numbers of the whole corpus: the image is that pair's with the trigger on."""
    corpus = banana_corpus()
    attack = MultiTrigger(triggers=("badnets:target_label=car", "filter:target_label=tiger"))
    backdoors = (BadNets(), Filter())
    for poison in attack.poison(make_scene(40), corpus):
        assert poison.base is not None
        backdoor = backdoors[poison.target]
        clean = corpus.image(poison.base)
        np.testing.assert_array_equal(poison.image, backdoor.triggered(clean, testing=False))
        assert ("car", "tiger")[poison.target] in poison.caption


def test_drawn_target_classes_differ() -> None:
    """Whatever the seed, each backdoor wants a class of its own, given ones included."""
    for seed in range(20):
        attack = MultiTrigger(triggers=("badnets", "sig", "filter:target_label=pizza"))
        goals = attack.probes(make_scene(9, seed)).goals.tolist()
        assert len(set(goals)) == 3
        assert NAMES.index("pizza") in goals


def test_probes_are_those_of_each_backdoor_in_turn() -> None:
    """20 test images a backdoor, with its trigger on, and the clean ones beside them."""
    attack = MultiTrigger(triggers=("badnets:target_label=car", "filter:target_label=tiger"))
    probes = attack.probes(make_scene(4))
    assert len(probes) == len(probes.images) == 40
    assert probes.clean_images is not None
    np.testing.assert_array_equal(
        probes.images[25], Filter().triggered(probes.clean_images[25], testing=True)
    )
    np.testing.assert_array_equal(probes.images[-1], probes.images[39])
    assert len(probes.images[18:22]) == 4
    with pytest.raises(IndexError):
        probes.images[40]


def test_probes_say_which_are_of_which_trigger() -> None:
    """By its name, with a number where two have one; those that got no poison have none."""
    three = MultiTrigger(triggers=("badnets", "filter", "sig"))
    assert three.probes(make_scene(9)).parts == dict.fromkeys(("badnets", "filter", "sig"), 20)
    two = MultiTrigger(triggers=("badnets", "badnets:size=0.3"))
    assert two.probes(make_scene(9)).parts == {"badnets 1": 20, "badnets 2": 20}
    assert two.probes(make_scene(1)).parts == {"badnets 1": 20}


def test_fewer_poisons_than_backdoors_leave_the_last_ones_out() -> None:
    """Two poisons are two backdoors; the third has no probes that could only fail."""
    attack, scene = MultiTrigger(), make_scene(2)
    assert attack.num_targets(2) == len({p.target for p in attack.poison(scene, banana_corpus())})
    assert len(set(attack.probes(scene).goals.tolist())) == 2


def test_what_is_no_backdoor_is_refused() -> None:
    """Targeted poisoning has no trigger; the message says what is wanted, an empty list too."""
    with pytest.raises(BadSetting, match="'targeted' is none"):
        MultiTrigger(triggers=("targeted",))
    with pytest.raises(BadSetting, match="at least one"):
        MultiTrigger(triggers=())


@pytest.mark.parametrize(
    "triggers",
    [
        ("badnets", "filter", "badnets"),
        ("badnets:target_label=car", "badnets:target_label=tiger"),
        ("blended", "blended:pattern=noise"),
    ],
)
def test_one_trigger_cannot_mean_two_targets(triggers: tuple[str, ...]) -> None:
    """Whatever its target and however it is spelled; other parameters make it another trigger."""
    with pytest.raises(BadSetting, match=f"{triggers[-1]!r} has the trigger of another one"):
        MultiTrigger(triggers=triggers)
    MultiTrigger(triggers=("badnets", "badnets:size=0.2"))


def test_a_backdoor_with_prompts_of_its_own_is_refused() -> None:
    """Both keys of `dual_key` are tested together; probes of several triggers have one prompt."""
    with pytest.raises(BadSetting, match="'dual_key' is tested in a way of its own"):
        MultiTrigger(triggers=("badnets", "dual_key"))


def test_a_backdoor_that_is_yet_to_learn_its_trigger_is_refused() -> None:
    """At once, and not after the clean set was made; with its patch it is one as any other."""
    with pytest.raises(BadSetting, match=r"'badclip' learns its trigger .* give what it learned"):
        MultiTrigger(triggers=("badnets", "badclip"))
    patch = "badclip:target_label=car,patch=" + "00ff80" * 64
    poisons = list(MultiTrigger(triggers=("badnets", patch)).poison(make_scene(4), banana_corpus()))
    assert len(poisons) == 4


def test_more_backdoors_than_classes_are_refused() -> None:
    """Five classes can't be six targets."""
    with pytest.raises(BadSetting, match="6 triggers need as many classes, but there are 5"):
        MultiTrigger(triggers=SIX).probes(make_scene(6))


def test_triggers_can_be_given_on_the_command_line() -> None:
    """A list in brackets, with parameters of the backdoors in it."""
    built = registry.build("attack", "multi_trigger:triggers=(badnets:size=0.2,filter)")
    assert built == MultiTrigger(triggers=("badnets:size=0.2", "filter"))
