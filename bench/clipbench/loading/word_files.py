"""Caption tables on disk: made once, shard by shard, and mapped by every process that trains.

What decides a table is in its name: what the shards hold, the tokenizer, the synonyms. The words of
each shard are found by whatever processes there are and kept at once, so that who is stopped goes
on there; then one process numbers the words of all in the order in which they come.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from clipbench.contracts import Progress, no_progress
from clipbench.errors import ClipbenchError
from clipbench.files.json_files import read_json, sha256_file, write_summed
from clipbench.loading.words import (
    Cleaning,
    Numbering,
    WordTable,
    byte_pairs,
    check_tokenizer,
    numbered_synonyms,
    tokens_of,
)
from clipbench.models.openclip import Architecture, Tokenizer, context_length_of
from clipbench.shards.reader import ShardSet
from clipbench.system.durable import atomic_file, clear_leftovers, publish
from clipbench.system.locks import locked_folder
from clipbench.system.processes import in_processes, is_spread
from clipbench.system.versions import version_of

Numbers = npt.NDArray[np.integer]
VERSION = 2  # raise it with every change of what a table holds
_READ = ("open_clip_torch", "ftfy", "regex")  # what cleans and splits captions
_AS_BYTES = 4096  # of work, for a caption: splitting one takes as long as hashing so many
_AT_ONCE = 10_000  # captions in memory
_TYPES: Mapping[str, type[np.integer]] = {
    "words": np.int32,
    "starts": np.int64,
    "token_counts": np.int64,
    "tokens": np.int64,
    "synonym_words": np.int32,
    "synonym_counts": np.int32,
}


class Reading(NamedTuple):
    """How a model reads captions.

    Args:
        tokenizer: open_clip's byte-pair tokenizer.
        synonyms: synonyms of single lower-case words, for augmentation.
        context_length: tokens of a caption, start and end included.
    """

    tokenizer: Tokenizer
    synonyms: Mapping[str, Sequence[str]]
    context_length: int

    @classmethod
    def of(
        cls,
        architecture: Architecture,
        tokenizer: Tokenizer,
        synonyms: Mapping[str, Sequence[str]],
    ) -> Reading:
        """Return how a model of an open_clip configuration reads captions."""
        return cls(tokenizer, synonyms, context_length_of(architecture))


def stored_words(
    shards: ShardSet,
    reading: Reading,
    cache: Path,
    progress: Progress = no_progress,
    *,
    check: bool = True,
) -> WordTable:
    """Return the table of a set's captions, mapped from files that are made where they are not.

    Several processes may ask at once: one makes the files, the others wait.

    Args:
        shards: the set.
        reading: how the model reads captions.
        cache: folder of such tables.
        progress: told about shards that were read.
        check: whether a table that is there is read as a whole, to see that it is what was written;
            not where another process of this machine has just done so.

    Raises:
        BadSetting: see `clipbench.loading.words.check_tokenizer`.
        CorruptData: a caption can't be read.
    """
    tokenizer, synonyms, context_length = reading
    check_tokenizer(tokenizer)
    hashes = shards.view_hashes(progress)
    identity = [VERSION, hashes, shards.caption_field, context_length, sorted(synonyms.items())]
    name = hashlib.sha256(json.dumps([identity, _identity(tokenizer)]).encode()).hexdigest()[:24]
    folder = cache / name
    found = _opened(folder, check)
    if found is not None:
        return found
    partial = cache / f"{name}.partial"
    with locked_folder(partial, progress):
        found = _opened(folder, check)  # made by another process while this one waited
        if found is not None:
            shutil.rmtree(partial)
            return found
        clear_leftovers(partial)
        _make(partial, shards, reading, progress)
        shutil.rmtree(folder, ignore_errors=True)  # a damaged one
        publish(partial, folder)
    found = _opened(folder, check=False)  # it was just written
    if found is None:
        raise ClipbenchError(f"{folder} changed as it was written; run the same command again.")
    return found


@lru_cache(maxsize=8)  # of an object that nobody changes
def _identity(tokenizer: Tokenizer) -> list[object]:
    """Return what decides the tokens that a tokenizer makes of a word."""
    pairs = byte_pairs(tokenizer)
    rules = hashlib.sha256(json.dumps(sorted(pairs.encoder.items())).encode())
    rules.update(json.dumps(sorted(map(list, pairs.bpe_ranks.items()))).encode())
    clean = pairs.clean_fn
    named = [clean.__module__, clean.__qualname__, type(tokenizer).__qualname__]
    versions = map(version_of, _READ)
    return [rules.hexdigest(), *named, getattr(pairs.pat, "pattern", ""), *versions]


# ------------------------------------------------------------------------- opening


def _opened(folder: Path, check: bool) -> WordTable | None:
    """Map a table into memory; None: it is not there, or, if that is looked at, was changed."""
    try:
        content = read_json(folder / "table.json")
        sums = cast("Mapping[str, str]", content["sha256"])
        if check and any(sha256_file(_file(folder, name)) != sums[name] for name in _TYPES):
            return None
        arrays = {name: _mapped(_file(folder, name)) for name in _TYPES}
    except (ClipbenchError, KeyError, ValueError, OSError):
        return None
    return WordTable(**arrays)


def _mapped(path: Path) -> npt.NDArray[Any]:
    found: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return found.view(np.ndarray)


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.npy"


# ------------------------------------------------------------------------- making


@dataclass(frozen=True)
class _Plan:
    """What the words of each shard are found in, and where they are kept.

    Args:
        shards: the set.
        cleaning: how the tokenizer cleans captions.
        context_length: see `Numbering.read`.
        folder: for one file per shard.
    """

    shards: ShardSet
    cleaning: Cleaning
    context_length: int
    folder: Path


def _make(
    folder: Path,
    shards: ShardSet,
    reading: Reading,
    progress: Progress,
) -> None:
    """Fill a folder with the files of a table."""
    tokenizer, synonyms, context_length = reading
    plan = _Plan(shards, Cleaning.of(tokenizer), context_length, folder / "shards")
    plan.folder.mkdir(exist_ok=True)
    workers = None if is_spread(len(shards) * _AS_BYTES) else 0
    numbers = range(len(shards.shards))
    progress("reading captions", 0, len(numbers))
    for done, _ in enumerate(in_processes(_read_shard, plan, numbers, workers), start=1):
        progress("reading captions", done, len(numbers))
    numbering = Numbering()
    counts = np.concatenate([_kept(plan, number, "counts")[0] for number in numbers])
    _write(folder, "words", int(counts.sum()), (_numbered(plan, n, numbering) for n in numbers))
    table = numbered_synonyms(synonyms, numbering, plan.cleaning)
    token_counts, tokens = tokens_of(numbering, tokenizer, context_length)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    others: Sequence[Numbers] = (
        starts,
        token_counts,
        tokens,
        table.words.ravel(),
        table.counts,
    )
    for name, values in zip([*_TYPES][1:], others, strict=True):
        _write(folder, name, len(values), [values])
    sums = {name: sha256_file(_file(folder, name)) for name in _TYPES}
    shutil.rmtree(plan.folder)
    write_summed(folder / "table.json", {"version": VERSION, "sha256": sums}, sync=False)


def _write(folder: Path, name: str, size: int, parts: Iterable[Numbers]) -> None:
    """Write an array of one dimension that is never in memory as a whole."""
    kind = np.dtype(_TYPES[name])
    head = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": (size,)}
    with atomic_file(_file(folder, name), sync=False) as out:
        np.lib.format.write_array_header_1_0(out, head)
        for part in parts:
            out.write(np.ascontiguousarray(part, kind).data)


def _numbered(plan: _Plan, number: int, numbering: Numbering) -> Numbers:
    """Return the words of a shard's captions by the numbers that they have in the whole set."""
    words, texts = _kept(plan, number, "words", "texts")
    each = texts.tobytes().decode(errors="surrogatepass").split("\n")
    numbers = np.fromiter(map(numbering.number, each), np.int32, len(each))
    return np.asarray(numbers[words])


def _read_shard(plan: _Plan, number: int) -> int:
    """Find the words of a shard's captions, unless they are kept; return its number."""
    if _is_kept(plan, number):
        return number
    shard, numbering = plan.shards.shards[number], Numbering()
    captions = _captions(plan.shards, shard.first, shard.num_pairs)
    words, counts = numbering.read(captions, plan.cleaning, plan.context_length)
    text = "\n".join(numbering).encode(errors="surrogatepass")  # no word has white space in it
    with atomic_file(_shard_file(plan, number), sync=False) as out:
        np.savez(out, words=words, counts=counts, texts=np.frombuffer(text, np.uint8))
    return number


def _captions(shards: ShardSet, first: int, count: int) -> Iterator[str]:
    for start in range(first, first + count, _AT_ONCE):
        yield from shards.captions(range(start, min(start + _AT_ONCE, first + count)))


def _shard_file(plan: _Plan, number: int) -> Path:
    return plan.folder / f"{number:06d}.npz"


def _is_kept(plan: _Plan, number: int) -> bool:
    """Return whether the words of a shard are there, and whole: each array has a checksum."""
    try:
        _kept(plan, number, "words", "counts", "texts")
    except Exception:  # noqa: BLE001 - NumPy and zipfile raise many kinds; it is made again
        return False
    return True


def _kept(plan: _Plan, number: int, *names: str) -> list[Numbers]:
    with _shard_file(plan, number).open("rb") as file:  # which NumPy leaves open if it is torn
        found = np.load(file, allow_pickle=False)
        return [found[name] for name in names]
