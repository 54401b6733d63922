"""Held-out data: what `--eval` names, or what the training source itself holds out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clipbench.configuration.config import RunConfig
from clipbench.configuration.heldout import HeldOut
from clipbench.configuration.resolution import resolve
from clipbench.errors import BadSetting, MissingData

PARTS = '''
from dataclasses import dataclass

import numpy as np

from clipbench import contracts as c


@dataclass(frozen=True)
class Part:
    """Holds out {kind} alone."""

    label: int = 0

    def evaluation(self):
        images = np.full((3, 8, 8, 3), self.label, np.uint8)
        if "{kind}" == "captions":
            return c.EvaluationSet("words", retrieval=c.Retrieval(images, [["a"], ["b"], ["c"]]))
        classes = c.Classes(("cat", "dog"), ("a {{}}",), (("cat",), ("dog",)))
        labelled = c.LabelledImages(images, np.array([0, 1, 1]))
        return c.EvaluationSet("animals", c.Classification(classes, labelled))

    def targets(self):
        return c.LabelledImages(np.full((1, 8, 8, 3), self.label, np.uint8), np.array([1]))


DATASET = Part
'''
SHAPES = "shapes:size=60,test_size=100,targets_size=100"


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, str]:
    """Two files that are evaluation sources: of captions alone, and of classes alone."""
    found = {}
    for kind in ("captions", "classes"):
        file = tmp_path / f"{kind}_only.py"
        file.write_text(PARTS.format(kind=kind), encoding="utf-8")
        found[kind] = str(file)
    return found


def test_without_eval_the_training_source_holds_out() -> None:
    """Shapes alone has classes, captions and targets."""
    held_out = HeldOut.of(SHAPES, [])
    assert held_out.primary.name == "shapes"
    assert len(held_out.targets) == 100


def test_targets_are_made_once_for_all_scenes() -> None:
    """An attack looks at them again and again, to poison and to probe; drawing takes time."""
    held_out = HeldOut.of(SHAPES, [])
    one, other = held_out.scene(3, 0), held_out.scene(5, 1)
    assert one.targets is one.targets is other.targets


def test_the_first_fit_source_serves_each_task(sources: dict[str, str]) -> None:
    """Classification and retrieval may come from two sets; targets go with the classes."""
    held_out = HeldOut.of(SHAPES, [sources["captions"], f"{sources['classes']}:label=7"])
    primary = held_out.primary
    assert primary.name == "animals+words"
    assert primary.classes.names == ("cat", "dog")
    assert primary.retrieval is not None
    assert len(primary.retrieval.captions) == 3
    assert int(np.asarray(held_out.targets.images[0]).max()) == 7


def test_a_set_without_classes_says_what_to_add(sources: dict[str, str]) -> None:
    """An attack needs classes to be read among."""
    with pytest.raises(BadSetting, match=r"words has no classes.*--eval"):
        _ = HeldOut.of(SHAPES, [sources["captions"]]).primary.classes


def test_an_evaluation_source_is_no_training_source(sources: dict[str, str]) -> None:
    """Handed to --data it is refused, with the option it belongs to."""
    with pytest.raises(BadSetting, match="give it with --eval"):
        resolve(data=sources["classes"])


def test_evaluation_sources_are_part_of_the_run(sources: dict[str, str]) -> None:
    """Another set or another file under the same path is another run, and JSON keeps them."""
    alone, with_eval = resolve(data=SHAPES), resolve(data=SHAPES, evals=[sources["classes"]])
    assert alone.sha256() != with_eval.sha256()
    again = RunConfig.from_json(with_eval.to_json())
    assert again.sha256() == with_eval.sha256()
    assert with_eval.with_defense("clip").evals == with_eval.evals
    file = Path(sources["classes"])
    file.write_text(file.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")
    assert resolve(data=SHAPES, evals=[str(file)]).sha256() != with_eval.sha256()


@pytest.mark.parametrize("option", ["data", "eval"])
def test_a_path_to_nothing_is_told_before_what_it_would_lack(tmp_path: Path, option: str) -> None:
    """Whoever mistyped a path is not sent to look for test images."""
    nowhere = str(tmp_path / "nowhere")
    with pytest.raises(MissingData, match=r"no shard or folder .*nowhere; check the path"):
        HeldOut.of(nowhere if option == "data" else SHAPES, [nowhere] if option == "eval" else [])


@pytest.mark.parametrize(
    ("names", "hint"),
    [
        (("cat/1.jpg", "dog/2.jpg"), r"--eval torchvision:dataset=ImageFolder,root=\S*there"),
        (("test/cat/1.png", "train/cat/2.png"), "torchvision:dataset=ImageFolder"),
        (("pairs.tsv", "1.jpg"), r"give \S*there/pairs\.tsv"),
        (("1.jpg", "1.txt"), "clipbench example paired_files"),
        (("00000.tar.gz", "00000_stats.json"), r"unpack 00000\.tar\.gz and its like"),
        (("notes.txt",), "check the path"),
    ],
)
def test_a_folder_of_something_else_is_told_how_to_be_given(
    tmp_path: Path, names: tuple[str, ...], hint: str
) -> None:
    """A cheap look at the folder says what it may be."""
    for name in names:
        file = tmp_path / "there" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    with pytest.raises(MissingData, match=rf"holds no shards \(\*\.tar\); .*{hint}"):
        HeldOut.of(SHAPES, [str(tmp_path / "there")])
