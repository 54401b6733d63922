"""MSCOCO captions with Karpathy's split."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from held_out_layouts import coco

from clipbench.errors import BadInput, BadSetting
from clipbench.images.encoding import decode
from clipbench_datasets.coco_retrieval import CocoRetrieval


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """COCO with six images, of which four are of the test split."""
    return coco(tmp_path)


def test_evaluating_a_checkpoint_on_captions(root: Path, evaluate: Any) -> None:
    """The whole way: four images, all of their 22 captions, and no classes."""
    result = evaluate(f"coco_retrieval:images={root},karpathy={root / 'dataset_coco.json'}")
    assert result["metrics"]["image_to_text_r1"]["n"] == 4
    assert result["metrics"]["text_to_image_r1"]["n"] == 22
    assert "zeroshot_top1" not in result["metrics"]


def test_every_form_of_the_files_gives_the_same_task(root: Path) -> None:
    """Karpathy's file, the short list and COCO's own captions hold the same images and captions."""
    whole = root / "dataset_coco.json"
    tasks = [
        CocoRetrieval(root, whole),
        CocoRetrieval(root / "val2014", whole),
        CocoRetrieval(root, root / "coco_test_karpathy.json"),
        CocoRetrieval(root, whole, root / "captions_val2014.json"),
        CocoRetrieval(root, root / "coco_test_karpathy.json", root / "captions_val2014.json"),
    ]
    found = []
    for task in tasks:
        retrieval = task.evaluation().retrieval
        assert retrieval is not None
        assert [len(several) for several in retrieval.captions] == [6, 5, 5, 6]
        pixels = [np.asarray(image).tobytes() for image in retrieval.images]
        found.append((pixels, [list(several) for several in retrieval.captions]))
    assert all(other == found[0] for other in found)
    first = decode((root / "val2014" / "COCO_val2014_000000391895.jpg").read_bytes())
    assert found[0][0][0] == first.tobytes()
    assert found[0][1][0][0] == "picture 0 seen in way 0"


def test_other_splits_can_be_asked_for(root: Path) -> None:
    """The split is a parameter; one that has no image is named."""
    task = CocoRetrieval(root, root / "dataset_coco.json", split="val").evaluation().retrieval
    assert task is not None
    assert len(task.images) == 1
    with pytest.raises(BadSetting, match="no image of split 'dev'"):
        CocoRetrieval(root, root / "dataset_coco.json", split="dev").evaluation()


def test_captions_are_no_classes(root: Path) -> None:
    """An attacker's targets need classes, and the error says which sets have some."""
    with pytest.raises(BadSetting, match="no classes"):
        CocoRetrieval(root, root / "dataset_coco.json").targets()


def edited(root: Path, change: Any) -> Path:
    """Return Karpathy's file with its first image changed."""
    path = root / "dataset_coco.json"
    content = json.loads(path.read_text())
    change(content["images"][0])
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda item: item.update(filename="../../secret.jpg"), "is not below"),
        (lambda item: item.update(filename="gone.jpg"), "There is no image .*gone.jpg"),
        (lambda item: item.update(sentences=[]), "no captions, or empty ones"),
        (lambda item: item.update(sentences=[{"raw": " "}]), "no captions, or empty ones"),
        (lambda item: item.update(sentences=[{"raw": "\u200b"}]), "no captions, or empty ones"),
        (lambda item: item.pop("split"), "'split' is None"),
    ],
)
def test_a_file_that_is_wrong_is_one_line(root: Path, change: Any, message: str) -> None:
    """Names that lead elsewhere, absent images and missing captions are refused by name."""
    path = edited(root, change)
    with pytest.raises(BadInput, match=message) as caught:
        CocoRetrieval(root, path).evaluation()
    assert "\n" not in str(caught.value)


def test_files_of_another_kind_are_one_line(root: Path, evaluate: Any) -> None:
    """Captions of another year, a file that is no JSON, and no file at all."""
    other = root / "captions_train2014.json"
    other.write_text('{"annotations": [{"image_id": 1, "id": 2, "caption": "a"}]}')
    whole = root / "dataset_coco.json"
    with pytest.raises(BadInput, match="no caption of 4 of 4 images"):
        CocoRetrieval(root, whole, other).evaluation()
    with pytest.raises(BadInput, match="There is no file"):
        CocoRetrieval(root, root / "gone.json").evaluation()
    whole.write_text(whole.read_text()[:-40])
    status, error = evaluate(f"coco_retrieval:images={root},karpathy={whole}")
    assert status == 2
    assert "no whole JSON file" in error


def test_a_broken_image_is_named(root: Path, evaluate: Any) -> None:
    """It is found when it is measured on, in one line."""
    image = root / "val2014" / "COCO_val2014_000000391902.jpg"
    image.write_bytes(b"\xff\xd8 no image")
    shutil.copy(root / "dataset_coco.json", root / "split.json")
    status, error = evaluate(f"coco_retrieval:images={root},karpathy={root / 'split.json'}")
    assert status == 2
    assert f"{image} is damaged" in error
