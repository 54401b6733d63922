"""Every test image decoded once before a run begins, so that none ends it after the training.

A damaged one would be found when the model is measured. Without it the test set is another one, and
so is the run: its training would be done again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from clipbench.configuration.config import RunConfig
from clipbench.configuration.heldout import HeldOut
from clipbench.contracts import EvaluationSet, Image, Progress
from clipbench.errors import ClipbenchError
from clipbench.files.json_files import read_json, write_summed
from clipbench.images.decoders import decoders
from clipbench.parallel.bench import Bench
from clipbench.system.durable import make_folder
from clipbench.system.threads import processors
from clipbench.text.locations import content_in

_LOOKED = "tests 1"  # raise it with every change of what can be read
_MOST_THREADS = 16
_AT_ONCE = 512  # images that are asked for at once


def look_at_tests(config: RunConfig, held_out: HeldOut, bench: Bench) -> None:
    """Decode the test images of `--eval` that lie somewhere, once for a content of theirs.

    Those that a training source holds out were looked at when it was imported, or are drawn.

    Args:
        config: the run, known by its contents.
        held_out: its evaluation sources.
        bench: in whose cache it is remembered which were looked at.

    Raises:
        MissingData, CorruptData: naming an image that cannot be used.
    """
    specs = config.by_content()["evals"]
    if not any(map(_lies_somewhere, specs)):
        return
    folder = bench.cache / "screened"
    make_folder(folder)
    for spec, item in zip(specs, held_out.sets, strict=True):
        told = json.dumps([decoders(_LOOKED), spec], sort_keys=True)
        file = folder / f"tests-{hashlib.sha256(told.encode()).hexdigest()[:24]}.json"
        if _lies_somewhere(spec) and not _is_known(file):
            count = _look(item, bench.progress)
            write_summed(file, {"images": count}, indent=None, sync=False)


def _lies_somewhere(spec: object) -> bool:
    return isinstance(spec, dict) and any(map(content_in, spec.values()))


def _is_known(file: Path) -> bool:
    try:
        return "images" in read_json(file)
    except ClipbenchError:  # not there, or damaged: they are looked at again
        return False


def _look(item: EvaluationSet, progress: Progress) -> int:
    """Decode the images of a set, a few hundred at once, and return how many there are."""
    tasks = [*_images(item)]
    done, total = 0, sum(map(len, tasks))

    def look(images: Sequence[Image], number: int) -> None:
        images[number]

    with ThreadPoolExecutor(min(_MOST_THREADS, processors())) as pool:
        for images in tasks:
            for start in range(0, len(images), _AT_ONCE):
                progress("looking at test images", done, total)
                numbers = range(start, min(start + _AT_ONCE, len(images)))
                for _ in pool.map(look, [images] * len(numbers), numbers):
                    done += 1
    progress("looking at test images", total, total)
    return total


def _images(item: EvaluationSet) -> Iterator[Sequence[Image]]:
    if item.classification is not None:
        yield item.classification.test.images
    if item.retrieval is not None:
        yield item.retrieval.images
