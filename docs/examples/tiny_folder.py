"""Tiny folder: PNG files as FOLDER/train/CLASS/NAME.png, and so for test and targets."""
# ruff: noqa: D102, ARG002  (what each method owes stands in clipbench.contracts)

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clipbench import contracts as c
from clipbench.images.encoding import decode
from clipbench.shards.shard_writer import Sample
from clipbench.shards.writer import write_set

TEMPLATES = ("a photo of a {}", "one {}", "there is a {} here")


@dataclass(frozen=True)
class TinyFolder:
    """Images by class, under captions made of the class's name.

    Args:
        folder: holds the folders train, test and targets.
    """

    folder: Path

    def with_pairs(self, minimum: int) -> "TinyFolder":
        return self  # its size is not free to choose

    def num_pairs(self) -> int:
        return len(self._files("train"))

    def prepare(self, cache: Path, progress: c.Progress = c.no_progress) -> Path:
        samples = []
        for number, file in enumerate(self._files("train")):
            caption = TEMPLATES[number % len(TEMPLATES)].format(file.parent.name)
            samples.append(Sample(file.read_bytes(), "png", caption, {}))
        source = {"sha256": hashlib.sha256(repr(samples).encode()).hexdigest()}
        out = cache / "tiny_folder" / source["sha256"]  # other content, other folder
        some = lambda start, stop: samples[start:stop]  # noqa: E731
        write_set(out, len(samples), some, name="tiny_folder", source=source, workers=0)
        return out

    def evaluation(self) -> c.EvaluationSet:
        names, test = self._names(), self._labelled("test")
        captions = [[text.format(names[label]) for text in TEMPLATES] for label in test.labels]
        classes = c.Classes(names, TEMPLATES, tuple((name,) for name in names))
        return c.EvaluationSet(
            "tiny_folder", c.Classification(classes, test), c.Retrieval(test.images, captions)
        )

    def targets(self) -> c.LabelledImages:
        return self._labelled("targets")

    def synonyms(self) -> dict[str, list[str]]:
        return {}

    def recipe(self) -> c.Recipe:
        return c.Recipe(train={"model": "shapes-32", "epochs": 8, "batch_size": 64, "warmup": 20})

    def _files(self, split: str) -> list[Path]:
        return sorted(self.folder.glob(f"{split}/*/*.png"))

    def _names(self) -> tuple[str, ...]:
        return tuple(sorted({file.parent.name for file in self._files("*")}))

    def _labelled(self, split: str) -> c.LabelledImages:
        files, names = self._files(split), self._names()
        labels = np.array([names.index(file.parent.name) for file in files], dtype=np.int64)
        return c.LabelledImages([decode(file.read_bytes()) for file in files], labels)


DATASET = TinyFolder
