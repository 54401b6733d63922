"""How scores become one rank, how canaries are planted, and which images are neighbors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
import torch
from audited import Audited
from scipy.stats import gamma
from shard_pairs import picture, write_members

from clipbench.audit.suspects.canaries import num_canaries, plant
from clipbench.audit.suspects.combine import combined, risk, shares
from clipbench.audit.suspects.describe import doubts, suppliers
from clipbench.audit.suspects.files import write_csv
from clipbench.audit.suspects.find import region_of
from clipbench.audit.suspects.found import Canaries
from clipbench.audit.suspects.models import Features
from clipbench.files import fields
from clipbench.images.encoding import encode_png
from clipbench.rng import generator
from clipbench.shards.reader import ShardSet


def scores(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def test_one_method_that_is_sure_is_enough() -> None:
    """A pair that one method ranks first comes before pairs that all find a little unusual."""
    draw = generator(0, "scores")
    noise = {name: draw.random(1_000).astype(np.float32) for name in "abc"}
    sure = draw.random(1_000).astype(np.float32)
    sure[7] = -1.0
    ranks = combined({**noise, "sure": sure})
    assert ranks[7] <= 60
    assert sorted(ranks) == list(range(1, 1_001))


def test_a_pair_that_a_method_did_not_score_is_ranked_by_the_others() -> None:
    found = risk({"a": scores(1, 2, 3, 4), "b": scores(np.nan, 2, 3, 1)})
    assert np.argmin(found) == 0
    assert shares(scores(np.nan, 2, 1)).tolist() == [1.0, 1.0, 0.5]
    assert risk({"a": scores(np.nan, 1)})[0] == 0.0


def test_pairs_that_fewer_methods_scored_are_no_more_suspicious() -> None:
    """Where all scores are noise, half of the first pairs are those that two of four scored.

    The mean of few logarithms is extreme more often than that of many.
    """
    draw = generator(0, "scores")
    noise = {name: draw.random(20_000).astype(np.float32) for name in "abcd"}
    for name in "cd":
        noise[name][10_000:] = np.nan
    ranks = combined(noise)
    for first in (200, 2_000):
        assert np.mean(ranks[10_000:] <= first) * 10_000 / first == pytest.approx(0.5, abs=0.07)
    assert np.mean(ranks[10_000:] > 18_000) * 10_000 / 2_000 == pytest.approx(0.5, abs=0.07)


def test_risk_is_the_upper_tail_of_the_gamma_distribution() -> None:
    """Of the sum of logarithms, with a shape of as many methods as scored a pair."""
    draw = generator(1, "scores")
    noise = {name: draw.random(500).astype(np.float32) for name in "abc"}
    noise["c"][::2] = np.nan
    each = np.log([shares(values) for values in noise.values()])
    known = np.array([2, 3] * 250)
    np.testing.assert_allclose(risk(noise), gamma.logsf(-each.sum(axis=0), known), rtol=1e-9)


def test_neighbors_are_the_most_similar_other_images() -> None:
    """Exactly, in parts of any size, and none that may not be one."""
    images = torch.nn.functional.normalize(torch.randn(300, 8, generator=torch.manual_seed(0)))
    features = Features(images, images)
    cosine = images @ images.T
    cosine.fill_diagonal_(-2)
    among = np.arange(0, 300, 2)
    pairs = np.array([0, 1, 298, 299])
    expected = among[cosine[pairs][:, among].topk(4).indices.numpy()]
    assert features.nearest(pairs, 4, among).tolist() == expected.tolist()


def test_a_caption_unlike_those_of_similar_images_agrees_least() -> None:
    """Ten groups of images, each with its caption, and one image with that of another group."""
    groups = torch.arange(200) % 10
    images = torch.eye(10)[groups] + 0.1 * torch.randn(200, 10, generator=torch.manual_seed(0))
    texts = torch.eye(10)[groups]
    texts[17] = torch.eye(10)[3]
    found = Features(torch.nn.functional.normalize(images), texts).agreement(5, np.arange(200))
    assert found.argmin() == 17


def test_canaries_have_the_caption_of_another_pair(audited: Audited, tmp_path: Path) -> None:
    """Each its own image, byte for byte; no shard of the user is written."""
    pairs = audited.request.usable.shards
    canaries, differs = plant(pairs, tmp_path / "canaries", 5)
    assert len(canaries) == num_canaries(len(pairs))
    assert differs.all()
    own = {pairs.image_bytes(i): pairs.caption(i) for i in range(len(pairs))}
    for number in range(len(canaries)):
        assert own[canaries.image_bytes(number)] != canaries.caption(number)


def test_where_all_captions_are_the_same_no_canary_differs(tmp_path: Path) -> None:
    """So that nothing is said of how many were found; the page says that the list says little."""
    members = []
    for number in range(12):
        members.append((f"{number:04d}.png", encode_png(picture(number))))
        members.append((f"{number:04d}.txt", b"a cat"))
    write_members(tmp_path / "set" / "00000.tar", members)
    pairs = ShardSet.open(tmp_path / "set")
    _, differs = plant(pairs, tmp_path / "canaries", 0)
    assert not differs.any()
    table = pd.DataFrame({"caption_sha256": ["x"] * 12})
    told = doubts(table, {"similarity": scores(*range(12))})
    assert told[0].startswith("100% of the pairs have one caption")


def test_captions_for_canaries_are_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though nearly all are the same, so that one that differs is long sought."""
    image, members = encode_png(picture(0)), []
    for number in range(300):
        members.append((f"{number:04d}.png", image))
        members.append((f"{number:04d}.txt", b"a cat"))
    write_members(tmp_path / "set" / "00000.tar", members)
    pairs, caption_in, read = ShardSet.open(tmp_path / "set"), fields.caption_in, Counter[str]()

    def counted(content: bytes, field: str | None, where: Callable[[], str]) -> str:
        read[where()] += 1
        return caption_in(content, field, where)

    monkeypatch.setattr(fields, "caption_in", counted)
    canaries, _ = plant(pairs, tmp_path / "canaries", 0)
    assert len(canaries) == 20
    assert set(read.values()) == {1}


@pytest.mark.parametrize(
    ("ranks", "total", "region"),
    [([5] * 9 + [50], 10_000, 200), ([400] * 10, 10_000, 400), ([9_000] * 10, 10_000, 3_000)],
    ids=["at the top", "within", "everywhere"],
)
def test_the_random_sample_is_drawn_where_planted_pairs_are(
    ranks: list[int], total: int, region: int
) -> None:
    """Within bounds, for planted pairs are not all that there may be."""
    assert region_of(Canaries(planted=10, ranks=ranks), total) == region
    assert region_of(Canaries(planted=0, ranks=[]), total) == 2_000
    assert region_of(Canaries(planted=2, ranks=[3, 40]), 50) == 50


def test_suppliers_are_compared_with_an_even_spread() -> None:
    """One that delivered a tenth and has all of the first hundredth is no chance."""
    table = pd.DataFrame({"supplier": ["bad"] * 100 + ["good"] * 900})
    first, *_ = suppliers(table, np.arange(1, 1_001))
    assert (first.supplier, first.first, first.expected) == ("bad", 10, 1.0)
    assert first.chance < 1e-9


def test_no_caption_is_a_formula_to_a_spreadsheet(audited: Audited, tmp_path: Path) -> None:
    one = msgspec.structs.replace(audited.found.first[0], caption='=HYPERLINK("http://x")')
    write_csv(tmp_path / "s.csv", msgspec.structs.replace(audited.found, first=[one]))
    assert "\"'=HYPERLINK" in (tmp_path / "s.csv").read_text()
