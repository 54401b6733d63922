"""What is asked of a delivery: what is found, said in a sentence, with the pairs to look at."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from deliveries import NAMES, delivery, with_shuffled_captions

from clipbench.audit.monitor.baseline import Baseline, Head, Known
from clipbench.audit.monitor.pairs import Pairs, hash_of, words_of
from clipbench.audit.monitor.questions import not_asked
from clipbench.audit.monitor.report import TOO_FEW, Finding
from clipbench.audit.monitor.watch import answer, ask

EARLIER, NEW = 400, 300


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    """A baseline in memory: nothing of its files is needed."""
    rng = np.random.default_rng(0)
    held_out, others = delivery(rng, EARLIER), delivery(rng, 200)
    suppliers = np.array(list(NAMES.suppliers), np.uint64)
    known = Known(others.image_hash, suppliers)
    head: Head = None  # type: ignore[assignment]  # nothing here reads it
    suspects = (others.image[:3], others.text[:3])
    return Baseline(None, head, "", held_out, known, suspects)  # type: ignore[arg-type]


def asked(baseline: Baseline, new: Pairs) -> tuple[dict[str, Finding], dict[str, np.ndarray]]:
    """Return the alarms, and the pairs of each as numbers in the delivery."""
    found, rows = answer(ask(baseline, new, NAMES, seed=0, suppliers=True), 0.05)
    alarms = {one.name: one for one in found if one.alarm}
    return alarms, {name: own - len(baseline.held_out) for name, own in rows.items()}


def test_a_delivery_like_earlier_pairs_gives_no_alarm(baseline: Baseline) -> None:
    """Of the same classes, words and suppliers."""
    assert asked(baseline, delivery(np.random.default_rng(1), NEW)) == ({}, {})


def test_a_backdoor_is_found_by_what_badly_fitting_captions_say(baseline: Baseline) -> None:
    """The sentence names words of the target class, and the pairs are the poisoned ones."""
    alarms, rows = asked(baseline, delivery(np.random.default_rng(2), NEW, poisons=20))
    assert "worst_captions" in alarms
    poisoned = set(range(NEW - 20, NEW))
    for name in alarms:
        assert len(poisoned & set(rows[name].tolist())) >= 8
    assert "expected" in alarms["worst_captions"].sentence


def test_a_supplier_with_shuffled_captions_is_named(baseline: Baseline) -> None:
    """With the similarity that its captions have, and had."""
    rng = np.random.default_rng(3)
    new = with_shuffled_captions(rng, delivery(rng, NEW), "south")
    alarms, rows = asked(baseline, new)
    assert alarms["supplier_fit"].sentence.startswith("Captions from south fit their images worse")
    assert (new.supplier[rows["supplier_fit"]] == hash_of("south")).all()


def test_a_new_supplier_is_named(baseline: Baseline) -> None:
    """And that it delivered none of the audited pairs."""
    new = delivery(np.random.default_rng(4), NEW)
    other = new.supplier.copy()
    other[:30] = hash_of("east")
    names = replace(NAMES, suppliers={**NAMES.suppliers, hash_of("east"): "east"})
    found, _ = answer(
        ask(baseline, replace(new, supplier=other), names, seed=0, suppliers=True), 0.05
    )
    (alarm,) = [one for one in found if one.alarm]
    assert "30 pairs come from east, who delivered none of the audited pairs" in alarm.sentence


def test_pairs_of_the_baseline_itself_are_known(baseline: Baseline) -> None:
    """Every image was audited before, and the sentence says so."""
    alarms, rows = asked(baseline, baseline.held_out.take(np.arange(100)))
    told = alarms["seen_before"].sentence
    assert told.startswith("Every image of the delivery looks like one that was audited before")
    assert len(rows["seen_before"]) == 100


def test_a_burst_of_one_image_is_found(baseline: Baseline) -> None:
    """Ten copies of an image among three hundred."""
    new = delivery(np.random.default_rng(5), NEW)
    images = new.image_hash.copy()
    images[:10] = images[0]
    alarms, rows = asked(baseline, replace(new, image_hash=images))
    assert "the same up to 10 times" in alarms["repeated_images"].sentence
    assert sorted(rows["repeated_images"].tolist()) == list(range(10))


OF_THE_MODEL = {"fit", "worst_fit", "worst_captions", "supplier_fit", "near_suspects"}


def by_heart(pairs: Pairs, rows: np.ndarray, known: np.ndarray) -> Pairs:
    """Return pairs of which some are copies of audited ones: the model has learned how they fit."""
    images, features = pairs.image_hash.copy(), pairs.image.copy()
    images[rows] = known[: len(rows)]
    features[rows] = pairs.text[rows]
    return replace(pairs, image_hash=images, image=features)


def test_what_the_model_knows_by_heart_says_nothing_of_fit(baseline: Baseline) -> None:
    """A hundred copies of audited pairs are told as such, and not as captions that fit better."""
    new = delivery(np.random.default_rng(7), NEW)
    copies = by_heart(new, np.arange(100), baseline.known.image_hash)
    alarms, _ = asked(baseline, copies)
    assert "seen_before" in alarms
    assert not OF_THE_MODEL & set(alarms)


def test_copies_do_not_hide_that_the_rest_fits_badly(baseline: Baseline) -> None:
    """A median of all would say that captions fit better than before."""
    rng = np.random.default_rng(8)
    new = delivery(rng, NEW)
    shuffled = replace(new, image=new.image[rng.permutation(NEW)])
    alarms, rows = asked(baseline, by_heart(shuffled, np.arange(160), baseline.known.image_hash))
    assert alarms["fit"].sentence.startswith("Captions fit their images worse than before")
    assert rows["fit"].min() >= 160


def test_earlier_pairs_that_look_audited_are_left_out_as_well(baseline: Baseline) -> None:
    """Else new pairs, of which none is a copy, would seem to fit worse."""
    copies = by_heart(baseline.held_out, np.arange(120), baseline.known.image_hash)
    alarms, _ = asked(replace(baseline, held_out=copies), delivery(np.random.default_rng(1), NEW))
    assert not OF_THE_MODEL & set(alarms)


@pytest.mark.parametrize("others", [0, TOO_FEW - 1])
def test_of_too_few_pairs_that_do_not_look_audited_nothing_is_asked_about_the_model(
    baseline: Baseline, others: int
) -> None:
    """All else is, and a sentence says so."""
    new = delivery(np.random.default_rng(9), 100 + others)
    images = new.image_hash.copy()
    images[:100] = baseline.known.image_hash[:100]
    asking = ask(baseline, replace(new, image_hash=images), NAMES, seed=0, suppliers=True)
    found, _ = answer(asking, 0.05)
    assert "seen_before" in {one.name for one in found}
    assert not OF_THE_MODEL & {one.name for one in found}
    assert f"there are {others} in the delivery and {EARLIER} among" in not_asked(asking)


def test_the_model_is_asked_about_where_there_are_enough(baseline: Baseline) -> None:
    """As many as of all pairs are needed at least."""
    new = delivery(np.random.default_rng(9), TOO_FEW)
    asking = ask(baseline, new, NAMES, seed=0, suppliers=True)
    assert not_asked(asking) == ""
    assert {one.name for one in answer(asking, 0.05)[0]} >= OF_THE_MODEL


def test_pairs_near_suspects_are_found(baseline: Baseline) -> None:
    """The nearest first, in a whole sentence."""
    new = delivery(np.random.default_rng(10), NEW)
    image, text = new.image.copy(), new.text.copy()
    image[:6], text[:6] = baseline.suspects[0][[0, 1, 2] * 2], baseline.suspects[1][[0, 1, 2] * 2]
    alarms, rows = asked(baseline, replace(new, image=image, text=text))
    told = alarms["near_suspects"].sentence
    assert told.startswith("More pairs are close to suspects of the audit than before: of the 7")
    assert set(range(6)) <= set(rows["near_suspects"].tolist())


def test_every_alarm_is_a_whole_sentence(baseline: Baseline) -> None:
    """With a verb, from its first word to its full stop."""
    rng = np.random.default_rng(11)
    new = delivery(rng, NEW)
    image, hashes, size = new.image.copy(), new.image_hash.copy(), new.size.copy()
    image[:30], hashes[:10], size[:30] = image[0], hashes[0], 7 << 32 | 9
    captions = new.caption_sha256.copy()
    captions[:10] = captions[0]
    hashes[40:100] = baseline.known.image_hash[:60]
    spoiled = replace(new, image=image, image_hash=hashes, size=size, caption_sha256=captions)
    alarms, _ = asked(baseline, spoiled)
    begins = {
        "look_alikes": "More images look alike than before: ",
        "sizes": "More images are of one size than before: ",
        "repeated_images": "More images than before are repeated within the delivery: ",
        "repeated_captions": "More captions than before are repeated within the delivery: ",
        "seen_before": "More images than before look like one that was audited: ",
    }
    for name, begin in begins.items():
        assert alarms[name].sentence.startswith(begin)


@pytest.mark.parametrize("count", [1, 10, TOO_FEW - 1])
def test_of_a_few_pairs_nothing_is_said(baseline: Baseline, count: int) -> None:
    """Not even where they are all known."""
    assert asked(baseline, baseline.held_out.take(np.arange(count))) == ({}, {})


def test_words_are_told_apart_in_any_script() -> None:
    """By spaces and signs, and character by character where a script has no spaces."""
    assert words_of("A red Disc, a RED disc!") == ["a", "red", "disc"]
    assert words_of("赤い円 on white") == ["赤", "い", "円", "on", "white"]


def test_taking_pairs_takes_their_words() -> None:
    """In any order, and a pair twice."""
    pairs = delivery(np.random.default_rng(6), 10)
    some = pairs.take(np.array([7, 2, 7]))
    for row, source in enumerate([7, 2, 7]):
        own = pairs.words[pairs.starts[source] : pairs.starts[source + 1]]
        assert some.words[some.starts[row] : some.starts[row + 1]].tolist() == own.tolist()
