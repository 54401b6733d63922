"""Pictures of triggers: made from what a result says, never by code that it names."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from as_json import of_json
from PIL import Image

from clipbench.leaderboard.page.triggers import Trigger, pictures
from clipbench.plugins import registry
from clipbench.results.labels import Labels

pictures = of_json(pictures)
Labels = of_json(Labels)

Result = dict[str, Any]
AsRun = Callable[..., Result]


def images(figure: Trigger) -> list[np.ndarray[Any, Any]]:
    """Return the pictures in a figure."""
    found = [data for pair in figure.pairs for data in pair]
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) for data in found]


def drawn(*results: Result) -> list[Trigger]:
    """Return the figures of results."""
    return list(pictures(results, Labels(results)))


def test_clean_and_triggered_images_are_shown(as_run: AsRun) -> None:
    """Images are the data set's own test images, and what the attack makes of them."""
    (figure,) = drawn(as_run(attack="badnets", rate="1%"))
    clean, triggered, *more = images(figure)
    test = registry.build("dataset", "shapes").evaluation().test
    assert np.array_equal(clean, test.images[0])
    assert np.array_equal(triggered, registry.build("attack", "badnets").trigger()(clean))
    assert len(more) == 2
    assert "badnets" in figure.label


def test_what_an_attack_learned_is_drawn(as_run: AsRun) -> None:
    """The patch that an attack crafted comes from the result; without it there is no picture."""
    result = as_run(attack="badclip", rate="1%")
    assert drawn(result) == []
    result["attack"]["crafted"] = {"patch": bytes(range(192)).hex()}
    assert len(images(drawn(result)[0])) == 4


def test_an_attack_is_drawn_once(as_run: AsRun) -> None:
    """Rates, seeds and defenses share a picture; other parameters have their own."""
    runs = [
        as_run(attack="badnets", rate="1%"),
        as_run(attack="badnets", rate="2%", seed=1, defense="clip"),
        as_run(attack="badnets:size=0.5", rate="1%"),
    ]
    assert len(drawn(*runs)) == 2


@pytest.mark.parametrize("attack", ["none", "targeted", "text_trigger"])
def test_an_attack_without_trigger_has_no_picture(as_run: AsRun, attack: str) -> None:
    """There is nothing to show where images are left as they are."""
    assert drawn(as_run(attack=attack, **({} if attack == "none" else {"rate": "1%"}))) == []


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("attack", {"parameters": {"size": "</script>"}}),
        ("attack", {"parameters": {"nonsense": 1}}),
        ("attack", {"name": "unheard_of"}),
        ("attack", {"crafted": {"name": "wanet", "size": []}}),
        ("data", {"parameters": {"image_size": 10**9}}),
        ("data", {"parameters": {"image_size": "32"}}),
        ("data", {"parameters": {"seed": -1}}),
        ("data", {"name": "coco"}),
    ],
)
def test_what_cannot_be_built_is_left_out(as_run: AsRun, part: str, change: dict[str, Any]) -> None:
    """Parameters that are refused cost the picture alone; sizes that are too much are refused."""
    result = as_run(attack="badnets", rate="1%")
    result[part] |= change
    assert drawn(result) == []


def test_no_code_of_a_strangers_choice_is_run(as_run: AsRun, tmp_path: Path) -> None:
    """Neither as the attack's name nor in a parameter is a file or an object loaded."""
    evil = tmp_path / "evil.py"
    evil.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    named, inside, module = (as_run(attack="multi_trigger", rate="1%") for _ in range(3))
    named["attack"]["name"] = str(evil)
    inside["attack"]["parameters"]["triggers"] = [str(evil)]
    module["attack"]["name"] = "antigravity:geohash"
    assert drawn(named) == drawn(inside) == drawn(module) == []
    assert not (tmp_path / "ran").exists()
