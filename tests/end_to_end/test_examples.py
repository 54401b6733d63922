"""The examples of docs/add_your_own.md do what it says, run as a person would run them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from clipbench.cli import main
from clipbench.contracts import LabelledImages
from clipbench.images.encoding import encode_jpeg, encode_png
from clipbench.plugins import registry
from clipbench.poisoning.ledger import Ledger, read_ledger
from clipbench.shards.reader import ShardSet
from clipbench.verification.verify import verify

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
SHAPES = "shapes:size=300,test_size=100,targets_size=100"
EPOCHS = 3


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Compute with one thread, as OMP_NUM_THREADS=1 does."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def run(folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """Run one command line and return its only result."""
    folders = ["--cache", str(folder / "cache"), "--out", str(folder / "runs")]
    short = ["--epochs", str(EPOCHS), "--warmup", "2", "--json", "--quiet"]
    status = main(["run", *arguments, *folders, *short])
    printed = capsys.readouterr()
    assert status == 0, printed.err
    (result,) = json.loads(printed.out)
    return dict(result)


def poisoned_set(folder: Path) -> tuple[ShardSet, Ledger]:
    """Return the only poisoned set in the cache and its ledger."""
    (made,) = (folder / "cache" / "poisoned").iterdir()
    return ShardSet.open(made / "shards"), read_ledger(made)


def test_the_attack_example_poisons_what_it_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Poisons carry the patch and a caption of one class; all images of others are probes."""
    attack = f"{EXAMPLES / 'solid_patch.py'}:side=10,gray=200"
    result = run(tmp_path, capsys, "--data", SHAPES, "--attack", attack, "--rate", "5%")
    assert (result["attack"]["name"], result["attack"]["count"]) == ("solid_patch", 15)
    assert result["attack"]["parameters"] == {"side": 10, "gray": 200, "mode": "replace"}
    shards, ledger = poisoned_set(tmp_path)
    corners = np.stack([shards.image(pair)[-8:, -8:] for pair in ledger.rows["index"]])
    assert np.abs(corners.astype(int) - 200).max() <= 3, "a flat patch survives JPEG almost whole"
    named = [
        name
        for name in registry.build("dataset", SHAPES).evaluation().classes.names
        if all(name in caption for caption in ledger.rows["caption_after"])
    ]
    assert len(named) == 1
    assert verify(Path(shards.source), ledger.path).passed
    assert result["metrics"]["attack_success"]["n"] == 99, (
        "100 test images, one of the goal's class"
    )
    assert result["exposures"] == {"mean": EPOCHS, "min": EPOCHS, "max": EPOCHS}


def test_the_defense_example_trains_on_a_random_share(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A third of the pairs is trained on each epoch, another third each time."""
    defense = f"{EXAMPLES / 'random_subset.py'}:share=0.34"
    arguments = ["--data", SHAPES, "--attack", "badnets", "--poisons", "60", "--defense", defense]
    result = run(tmp_path, capsys, *arguments)
    assert result["defense"] == {"name": "random_subset", "parameters": {"share": 0.34}}
    assert [epoch["cross_modal_pairs"] for epoch in result["history"]] == [102] * EPOCHS
    assert result["train"]["samples_seen"] == 102 * EPOCHS
    (file,) = tmp_path.glob(f"runs/*_{result['id']}/train/exposures.npy")
    exposures = np.load(file)
    assert exposures.sum() == 102 * EPOCHS
    assert 102 < np.count_nonzero(exposures) < 300, "the draws of two epochs differ"
    assert result["exposures"]["mean"] < 2, "poison is met about one epoch in three"


def write_images(folder: Path, images: LabelledImages, names: tuple[str, ...], size: int) -> None:
    """Write images as PNG files, a subfolder a class."""
    for number, label in enumerate(images.labels[:size].tolist()):
        file = folder / names[label] / f"{number:04d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encode_png(images.images[number]))


def test_the_data_set_example_reads_its_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder of images is attacked, trained on and measured, and its clean set is kept."""
    shapes = registry.build("dataset", "shapes:size=300,test_size=100,targets_size=300")
    evaluation = shapes.evaluation()
    pictures = tmp_path / "pictures"
    for split, images in (("train", shapes.targets()), ("test", evaluation.test)):
        write_images(pictures / split, images, evaluation.classes.names, 300)
    write_images(pictures / "targets", evaluation.test, evaluation.classes.names, 20)
    data = f"{EXAMPLES / 'tiny_folder.py'}:folder={pictures}"
    result = run(tmp_path, capsys, "--data", data, "--attack", "targeted", "--rate", "5%")
    assert (result["data"]["name"], result["data"]["pairs"]) == ("tiny_folder", 300)
    assert result["metrics"]["zeroshot_top1"]["n"] == 100
    assert (result["attack"]["count"], result["attack"]["targets"]) == (15, 15)
    (clean,) = (tmp_path / "cache" / "tiny_folder").iterdir()
    captions = ShardSet.open(clean).captions()
    assert set(captions) <= {
        text.format(name)
        for text in ("a photo of a {}", "one {}", "there is a {} here")
        for name in evaluation.classes.names
    }
    shards, ledger = poisoned_set(tmp_path)
    changed = [pair for pair, text in enumerate(shards.captions()) if text != captions[pair]]
    assert set(changed) <= set(ledger.rows["index"])
    assert changed, "poisons bring captions of their own"
    assert shards.extension(0) == "png"


def test_the_example_of_paired_files_imports_and_names_what_it_cannot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pairs of single files are imported, from all folders; what lacks its other half is named."""
    pairs = tmp_path / "pairs"
    pairs.mkdir()
    images, _, captions = registry.build("dataset", "shapes:size=100").arrays("train", 0, 40)
    for number, (image, caption) in enumerate(zip(images, captions, strict=True)):
        if number == 3:
            (pairs / "03.jpeg").write_bytes(encode_jpeg(image))
        else:
            (pairs / f"{number:02d}.png").write_bytes(encode_png(image))
        (pairs / f"{number:02d}.txt").write_text(caption)
    (pairs / "07.txt").unlink()
    (pairs / "09.txt").write_bytes(b"\xff\xfe")
    inner = pairs / "more" / "ever more"
    inner.mkdir(parents=True)
    Image.open(pairs / "11.png").save(inner / "11.bmp")
    (pairs / "11.png").unlink()
    (pairs / "11.txt").rename(inner / "11.txt")
    (pairs / "12.png").rename(pairs / "12.avif")
    data = f"{EXAMPLES / 'paired_files.py'}:folder={pairs}"
    line = ["data", "import", data, "--out", str(tmp_path / "shards"), "-q"]
    assert main(line) == 2
    assert "07.png can't be used, caption missing" in capsys.readouterr().err
    assert main([*line, "--on-error", "skip", "--json"]) == 0
    left_out = {"caption missing": 1, "caption not Unicode text": 1, "image missing": 1}
    assert json.loads(capsys.readouterr().out)["left_out"] == left_out
    skip = ["--eval", SHAPES, "--model", "shapes-32", "--on-error", "skip"]
    result = run(tmp_path, capsys, "--data", data, "--attack", "badnets", "--poisons", "4", *skip)
    assert (result["data"]["name"], result["data"]["pairs"]) == ("paired_files", 37)
    assert result["data"]["left_out"] == left_out
    (used,) = (tmp_path / "cache" / "paired_files").glob("*/00000.tar")
    assert used.read_bytes() == (tmp_path / "shards" / "00000.tar").read_bytes()


@pytest.mark.parametrize("name", ["solid_patch", "random_subset", "tiny_folder", "paired_files"])
def test_examples_are_short(name: str) -> None:
    """An example has fewer than sixty lines, blank ones aside."""
    lines = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8").splitlines()
    assert sum(bool(line.strip()) for line in lines) < 60


def test_the_defense_of_the_page_works_from_the_page_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copied into a file it passes its checks, and a run never exposes a short caption."""
    page = (EXAMPLES.parent / "add_your_own.md").read_text(encoding="utf-8")
    code = page.split("Save this as `short_captions.py`:\n\n```python\n")[1].split("```")[0]
    (tmp_path / "short_captions.py").write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert main(["describe", "short_captions.py", "--check"]) == 0
    assert {line[:3] for line in capsys.readouterr().out.splitlines()} == {"ok "}
    chosen = ["--data", SHAPES, "--defense", "short_captions.py:words=11"]
    result = run(tmp_path, capsys, *chosen)
    (clean,) = (tmp_path / "cache" / "shapes").iterdir()
    captions = ShardSet.open(clean).captions()
    long = sum(len(caption.split()) >= 11 for caption in captions)
    assert 0 < long < 300
    assert result["train"]["samples_seen"] == EPOCHS * long
    assert result["defense"]["parameters"] == {"words": 11}
