"""Every held-out image that a run will need, decoded once before it begins."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from clipbench.configuration.config import RunConfig
from clipbench.configuration.heldout import HeldOut
from clipbench.contracts import Image, Progress
from clipbench.errors import ClipbenchError
from clipbench.files.json_files import read_json, write_summed
from clipbench.images.decoders import decoders
from clipbench.parallel.bench import Bench
from clipbench.planning.looks import MOST_THREADS, Look, looks
from clipbench.system.durable import make_folder
from clipbench.system.locks import locked_folder
from clipbench.system.threads import processors

_LOOKED = "tests 2"  # raise it with every change of what can be read
_AT_ONCE = 512  # images that are asked for at once


def look_at_tests(config: RunConfig, held_out: HeldOut, bench: Bench) -> None:
    """Decode held-out images that lie somewhere, once for a content of theirs.

    Args:
        config: the run, known by its contents.
        held_out: its evaluation sources.
        bench: in whose cache it is remembered which were looked at.

    Raises:
        MissingData, CorruptData: naming an image that cannot be used.
    """
    folder = bench.cache / "screened"
    for look in looks(config, held_out):
        file = folder / f"tests-{_key(config, look)}.json"
        if _is_known(file):
            continue
        make_folder(folder)
        with _by_one(file.with_suffix(".look"), bench.progress):
            if not _is_known(file):  # by whoever looked meanwhile
                _look(look, bench.progress)
                write_summed(file, {"images": len(look)}, indent=None, sync=False)


def _key(config: RunConfig, look: Look) -> str:
    """Return what tells images of one content from all others, and what decodes them."""
    content = config.by_content()
    spec = content["data"] if look.number is None else content["evals"][look.number]
    code = config.code.get("dataset" if look.number is None else f"evals[{look.number}]")
    told = [decoders(_LOOKED), spec, *filter(None, (look.choice, code))]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:24]


@contextmanager
def _by_one(folder: Path, progress: Progress) -> Iterator[None]:
    """Let one process look, while others that need the same images wait."""
    with locked_folder(folder, progress):
        try:
            yield
        finally:
            with suppress(OSError):
                folder.rmdir()


def _is_known(file: Path) -> bool:
    try:
        return "images" in read_json(file)
    except ClipbenchError:  # not there, or damaged: they are looked at again
        return False


def _look(look: Look, progress: Progress) -> None:
    """Decode images, a few hundred at once."""
    what, done, total = f"looking at {look.what}", 0, len(look)

    def decode(images: Sequence[Image], number: int) -> None:
        images[number]

    with ThreadPoolExecutor(min(MOST_THREADS, processors())) as pool:
        for images in look.images:
            for start in range(0, len(images), _AT_ONCE):
                progress(what, done, total)
                numbers = range(start, min(start + _AT_ONCE, len(images)))
                for _ in pool.map(decode, [images] * len(numbers), numbers):
                    done += 1
    progress(what, total, total)
