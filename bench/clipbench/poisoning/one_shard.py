"""One shard with its poisons."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clipbench.errors import CorruptData
from clipbench.files import tar
from clipbench.files.fields import read as read_fields
from clipbench.poisoning import disguise, splice
from clipbench.poisoning.keys import Move, Place
from clipbench.poisoning.spool import Kept, Spool
from clipbench.rng import generator
from clipbench.shards.index import Index, Row, rows_to_index
from clipbench.shards.opening import changed
from clipbench.shards.reader import ShardSet
from clipbench.shards.scan import Group, groups, rows_of

_OWN = frozenset({"caption", "sha256", "md5", "sha512"})  # say what the pair is, not which one


@dataclass(frozen=True)
class Job:
    """What happens to one shard.

    Args:
        number: its number; the base may have fewer shards.
        path: the file to be written.
        poisons: the poisons that go there, each with its place.
        moves: clean pairs that move to its end.
        seed: the run's seed.
    """

    number: int
    path: Path
    poisons: Sequence[tuple[Kept, Place]]
    moves: Sequence[Move]
    seed: int


@dataclass(frozen=True)
class Written:
    """A poisoned pair as it was written: its caption and the hash of its image file."""

    caption: str
    image_sha256: str


@dataclass(frozen=True)
class Rewritten:
    """A shard that was written with poisons.

    Args:
        sha256: its hash.
        rows: its part of the index.
        poisons: its poisoned pairs by key.
    """

    sha256: str
    rows: Index
    poisons: Mapping[str, Written]


class PoisonWriter:
    """Writes shards of a poisoned set.

    Args:
        base: the clean set.
        spool: holds the poisons' images.
    """

    def __init__(self, base: ShardSet, spool: Spool) -> None:
        self._base, self._spool = base, spool
        self._hashes = base.hashes()
        self._escapes: dict[int, bool] = {}
        self._walked: tuple[int, dict[str, Group]] | None = None  # the last shard, by `members`

    @property
    def base(self) -> ShardSet:
        """The clean set."""
        return self._base

    def model_of(self, number: int) -> Path:
        """Return the shard of the base whose times a shard of the poisoned set has."""
        return self._base.shards[min(number, len(self._base.shards) - 1)].path

    def image_of(self, kept: Kept) -> bytes:
        """Return the pixels of a poison."""
        return self._spool.get(kept).tobytes()

    def write(self, job: Job) -> Rewritten:
        """Write one shard and return where everything lies in it."""
        base, edits = self._base, list[splice.Edit]()
        written: dict[str, Written] = {}
        sizes: dict[bytes, tuple[int, ...]] = {}  # of image, caption and JSON, by key
        inside = self._groups(job.number) if self._needs_groups(job) else {}
        for kept, place in sorted(job.poisons, key=lambda item: item[1].key):
            members = self._contents(kept, place, job.seed, inside)
            field = base.caption_field
            written[place.key] = self.written(members)
            files = members["image"], members["json" if field else "txt"], members.get("json", b"")
            sizes[place.key.encode(errors="surrogateescape")] = tuple(map(len, files))
            if place.before is None:
                edits += self._changes(place.model, members, inside)
            else:
                model = inside[base.key(place.model)]
                start = _start(inside[base.key(place.before)])
                pair = self._pair(job.number, model, place.key, members)
                edits.append(splice.Edit(start, start, pair))
        appended = b"".join(self._moved_pairs(job.moves, job.seed))
        if job.number >= len(base.shards):
            digest = splice.write_new(job.path, appended)
        else:
            shard = base.shards[job.number]
            last_end = 0
            if shard.num_pairs:
                last = base.index[shard.first + shard.num_pairs - 1].item()
                last_end = max(at + tar.padded(size) for at, size in _spans(last).values())
            read, digest = splice.rewrite(shard.path, job.path, edits, appended, last_end)
            if read != self._hashes[job.number]:
                raise changed(shard.path)
        rows = self._rows(job)
        found = {row[8]: (row[2], row[4], row[6]) for row in rows.tolist()}
        if any(found.get(key) != size for key, size in sizes.items()):
            raise CorruptData(
                f"Shard {base.shards[job.number].path} gives sizes of members in PAX headers, "
                "which hide those of other contents; write it again as an ordinary tar."
            )
        return Rewritten(digest, rows, written)

    def members(self, kept: Kept, place: Place, seed: int) -> dict[str, bytes]:
        """Return ``image``, ``txt`` and ``json`` of one poisoned pair, as far as it has them.

        Pairs of one shard after each other walk through it once.
        """
        if self._base.caption_field is None:
            return self._contents(kept, place, seed, {})
        shard = self._base.shard_of(place.model)
        if self._walked is None or self._walked[0] != shard:
            self._walked = shard, self._groups(shard)
        return self._contents(kept, place, seed, self._walked[1])

    def written(self, members: Mapping[str, bytes]) -> Written:
        """Return caption and hash of the image of a poisoned pair, from its members."""
        field = self._base.caption_field
        caption = read_fields(members["json"])[field] if field else members["txt"].decode()
        return Written(caption, hashlib.sha256(members["image"]).hexdigest())

    def _rows(self, job: Job) -> Index:
        """Return the index of a shard that was written, without what the base leaves out."""
        left = self._base.left_out.get(job.number)
        away = frozenset[bytes]() if left is None else left.keys
        found = rows_of(job.path, job.number, self._base.caption_field, away)
        return rows_to_index([row for _, row in found if row is not None])

    def _needs_groups(self, job: Job) -> bool:
        if self._base.caption_field is not None:  # there may be a caption's file besides
            return bool(job.poisons)
        return any(place.before is not None for _, place in job.poisons)

    def _groups(self, shard: int) -> dict[str, Group]:
        path = self._base.shards[shard].path
        return {group.key.decode(errors="surrogateescape"): group for group in groups(path)}

    def _contents(
        self, kept: Kept, place: Place, seed: int, inside: Mapping[str, Group]
    ) -> dict[str, bytes]:
        """Return ``image``, ``txt`` and ``json`` of a poisoned pair, as far as its model has them.

        The caption goes where captions are read from, and wherever else the model repeats its own.
        """
        base, model = self._base, place.model
        reference = base.image_bytes(model)
        try:
            image = disguise.image_like(self._spool.get(kept), reference)
        except CorruptData as error:
            raise CorruptData(f"Image of {base.where(model)}: {error}") from error
        contents = {"image": image}
        old_caption, old_text = base.caption(model), self._text_file(model, inside)
        if old_text is not None and _says(old_text, old_caption):
            contents["txt"] = disguise.caption_like(kept.caption, old_text)
        text = base.metadata_bytes(model)
        if text is None:
            return contents
        fields = base.metadata(model)
        changes = disguise.changed_fields(fields, kept.caption, image, reference)
        if base.caption_field is not None:
            if fields.get("caption") != old_caption:
                changes.pop("caption", None)  # another caption than the one that is read
            changes[base.caption_field] = disguise.text_like(kept.caption, old_caption)
        if place.before is not None:  # beside its model, not instead of it
            rng = generator(seed, "overlay", "json", place.key)
            others = {name: value for name, value in fields.items() if name not in changes}
            changes.update(disguise.invented_fields(others, disguise.peers_of(base, model), rng))
            changes.update(_new_key(fields, base.key(model), place.key))
        escape = disguise.is_ascii(text)
        if escape and not kept.caption.isascii():
            shard = base.shard_of(model)
            if shard not in self._escapes:
                self._escapes[shard] = disguise.escapes_unicode(base, model)
            escape = self._escapes[shard]
        contents["json"] = disguise.patched_json(text, changes, escape)
        return contents

    def _text_file(self, pair: int, inside: Mapping[str, Group]) -> bytes | None:
        """Return the ``KEY.txt`` of a pair; None if it has none."""
        base = self._base
        if base.caption_field is None:
            return base.caption(pair).encode()
        member = inside[base.key(pair)].members.get("txt")
        shard = base.shard_of(pair)
        return None if member is None else base.raw(shard, member.offset, member.size)

    def _changes(
        self, pair: int, contents: Mapping[str, bytes], inside: Mapping[str, Group]
    ) -> list[splice.Edit]:
        """Return the edits that give a pair of the base other contents."""
        row: Row = self._base.index[pair].item()
        edits = []
        spans = _spans(row)
        if self._base.caption_field is not None:
            member = inside[self._base.key(pair)].members.get("txt")
            spans["txt"] = (0, 0) if member is None else (member.offset, member.size)
        for name, (offset, size) in spans.items():
            if name not in contents:
                continue
            head = self._base.raw(row[0], offset - tar.BLOCK, tar.BLOCK)
            new = tar.rewritten(head, row[8], row[8], len(contents[name]))
            content = splice.member_bytes(new, contents[name])
            edits.append(splice.Edit(offset - tar.BLOCK, offset + tar.padded(size), content))
        return edits

    def _pair(self, shard: int, model: Group, key: str, contents: Mapping[str, bytes]) -> bytes:
        """Return all members of a new pair, with the headers of its model."""
        image = model.image() or "jpg"
        named = {image if name == "image" else name: value for name, value in contents.items()}
        return self._members(shard, model, key, named)

    def _moved_pairs(self, moves: Sequence[Move], seed: int) -> list[bytes]:
        """Return all members of clean pairs under their new keys, in the order of the moves."""
        base, found = self._base, dict[int, bytes]()
        for shard in sorted({base.shard_of(move.pair) for move in moves}):
            inside = self._groups(shard)  # walked once for all that leave it
            for move in moves:
                if base.shard_of(move.pair) == shard:
                    contents = self._moved_json(move, seed)
                    group = inside[base.key(move.pair)]
                    found[move.pair] = self._members(shard, group, move.key, contents)
        return [found[move.pair] for move in moves]

    def _moved_json(self, move: Move, seed: int) -> dict[str, bytes]:
        """Return the JSON, if there is one, of a pair whose key and identifiers a poison took."""
        base = self._base
        text = base.metadata_bytes(move.pair)
        if text is None:
            return {}
        fields, old_key = base.metadata(move.pair), base.key(move.pair)
        changes: dict[str, object] = {**_new_key(fields, old_key, move.key)}
        kept = {*changes, *_OWN, base.caption_field}
        others = {name: value for name, value in fields.items() if name not in kept}
        peers, last = disguise.peers_of(base, move.pair), base.metadata(len(base) - 1)
        rng = generator(seed, "overlay", "json", move.key)
        changes.update(disguise.following_fields(others, peers, last, move.step, rng))
        return {"json": disguise.patched_json(text, changes, disguise.is_ascii(text))}

    def _members(self, shard: int, model: Group, key: str, contents: Mapping[str, bytes]) -> bytes:
        """Return the members of `model` under another key, some with other contents."""
        pieces = []
        for extension, member in model.members.items():
            content = contents.get(extension)
            if content is None:
                content = self._base.raw(shard, member.offset, member.size)
            heads = self._base.raw(shard, member.start, member.offset - member.start)
            new_key = key.encode(errors="surrogateescape")
            heads = tar.rewritten(heads, model.key, new_key, len(content))
            pieces.append(splice.member_bytes(heads, content))
        return b"".join(pieces)


def _new_key(fields: Mapping[str, object], old: str, new: str) -> dict[str, str]:
    return {"key": new} if fields.get("key") == old else {}


def _says(text: bytes, caption: str) -> bool:
    return text.strip() == caption.encode(errors="surrogatepass").strip()


def _start(group: Group) -> int:
    return min(member.start for member in group.members.values())


def _spans(row: Row) -> dict[str, tuple[int, int]]:
    """Return offset and size of a pair's members: ``image``, ``txt`` and, if any, ``json``."""
    spans = {"image": (row[1], row[2]), "txt": (row[3], row[4])}
    if row[5]:
        spans["json"] = (row[5], row[6])
    return spans
