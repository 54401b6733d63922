"""The clean set that a ledger names: given by a person, or made where clipbench makes it itself.

A ledger comes from a stranger: a data set that lies somewhere is for the person at the keyboard to
name, and one that is made is no larger than the set at hand.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from clipbench.boundary import datasets
from clipbench.configuration.identity import training_content
from clipbench.configuration.naming import registered_only
from clipbench.contracts import Progress, TrainingSource
from clipbench.errors import BadInput, BadSetting, CorruptData
from clipbench.fetching.remote import is_remote
from clipbench.plugins import registry
from clipbench.plugins.find import OURS
from clipbench.plugins.spec import Spec
from clipbench.poisoning.ledger import Ledger
from clipbench.shards import manifest as manifests
from clipbench.shards.reader import ShardSet
from clipbench.system.progress import Reporter
from clipbench.text.locations import content_in, location_fields
from clipbench.verification import made_again
from clipbench.verification.fresh import Base, open_base
from clipbench.verification.poison_checks import NO_BASE
from clipbench.verification.set_checks import Check
from clipbench.verification.verify import reading_of

_CLEAN, _DATA = "clean set", "data set"


@dataclasses.dataclass(frozen=True)
class CleanSet:
    """Finds the clean set that a ledger names.

    Args:
        cache: folder of clean shards.
        reporter: told about progress.
        named: by a person, as ``--data`` takes it; None: what the ledger names, if clipbench makes
            that by itself.
    """

    cache: Path
    reporter: Reporter
    named: str | None = None

    def find(
        self, ledger: Ledger, shards: ShardSet, known: Mapping[tuple[int, int], str]
    ) -> Base | Check:
        """Return the clean set, see `clipbench.verification.poison_checks.Origin`.

        Raises:
            BadSetting: a person named another one.
        """
        if self.named is not None:
            spec = registry.parse("dataset", self.named)
            found = self._opened(ledger, self._prepared(spec), known)
            if found.content_sha256 != ledger.base.content_sha256:
                raise BadSetting(
                    f"{self.named} is not the clean set that {ledger.path} names: its content has"
                    f" the hash {found.content_sha256[:16]}..., not"
                    f" {ledger.base.content_sha256[:16]}...."
                )
            return found
        try:
            source = self._own(ledger, shards)
        except BadInput as error:
            return Check(_CLEAN, passed=False, message=f"{_named(ledger)}: {error}")
        if source is None:
            return Check.undecided(_CLEAN, f"{NO_BASE}; name it with --base")
        found = self._opened(ledger, datasets.prepare(source, self.cache, self._tell), known)
        _refuse_damaged(found)
        if found.content_sha256 == ledger.base.content_sha256:
            return found
        why = f"{_named(ledger)} has other pairs than the clean set that the ledger names"
        return judged(_CLEAN, ledger, [why], way_out="name the clean set with --base")

    def _prepared(self, spec: Spec) -> str | Path:
        """Return the shards of a source that a person named."""
        path = spec.parameters.get("path")
        if spec.name == registry.SHARDS and isinstance(path, str) and not is_remote(path):
            return "::".join(str(Path(part).expanduser()) for part in path.split("::"))
        return datasets.prepare(registry.build("dataset", spec), self.cache, self._tell)

    def _opened(
        self, ledger: Ledger, where: str | Path, known: Mapping[tuple[int, int], str]
    ) -> Base:
        field, leaves_out = reading_of(ledger)
        return open_base(
            where,
            caption_field=field,
            leaves_out=leaves_out,
            known=known,
            progress=self._tell,
        )

    def _own(self, ledger: Ledger, shards: ShardSet) -> TrainingSource | None:
        """Return the data set of a ledger, if clipbench can make it by itself; else None.

        It is no larger than the set that is there: nobody has a ledger make a billion pairs.

        Raises:
            BadInput: it is none, or can't be the one.
        """
        spec = ledger.dataset
        name = str(spec.get("name"))
        if name not in registry.names("dataset") or "dataset" in ledger.code:
            return None
        cls = registry.load("dataset", Spec(name))
        if cls.__module__.partition(".")[0] not in OURS or location_fields(cls):
            return None
        with registered_only():
            source: TrainingSource = registry.build("dataset", spec)
        added = ledger.count if ledger.mode == "insert" else 0
        if datasets.num_pairs(source) != len(shards) - added:
            raise BadInput(
                f"it has {datasets.num_pairs(source)} pairs, and the set {len(shards) - added}"
                " beside those inserted"
            )
        side = getattr(source, "image_size", None)
        if isinstance(side, int) and (side, side) != shards.image_shape(0):
            raise BadInput(f"its images are {side} pixels wide, those of the set are not")
        return source

    def check(self, ledger: Ledger, shards: ShardSet, base: Base) -> Check:
        """Return whether the data set that a ledger names has the pairs of the clean set."""
        try:
            source = self._own(ledger, shards)
        except BadInput as error:
            return Check(_DATA, passed=False, message=f"{_named(ledger)}: {error}")
        if source is None:
            return self._content_check(ledger, base)
        well = f"{_named(ledger)} is the clean set"
        if self.named is None:
            return Check.of(_DATA, [], well)
        made = self._opened(ledger, datasets.prepare(source, self.cache, self._tell), {})
        same = made.whole == base.whole
        why = [] if same else [f"{_named(ledger)} has other pairs than the clean set"]
        return judged(_DATA, ledger, why, well)

    def _content_check(self, ledger: Ledger, base: Base) -> Check:
        """Return whether a data set that is known by its content has that of the clean set."""
        told = {content_in(value) for value in ledger.dataset.values()} - {None}
        if not told:
            why = "can't be made here without being named, and was not compared"
            return Check.undecided(_DATA, f"{_named(ledger)} {why}")
        if told == {base.whole} or told == {self._typed_content(ledger)}:
            return Check.of(_DATA, [], "its content is that of the clean set")
        if not ledger.evals:  # then it also stands for test images
            why = "the ledger's content of the data set is that of pairs and test images together"
            return Check.undecided(_DATA, f"{why}; name the data set with --base NAME:...")
        message = f"the ledger gives {_named(ledger)} another content than the clean set has"
        return Check(_DATA, passed=False, message=message)

    def _typed_content(self, ledger: Ledger) -> str | None:
        """Return the content of the source that a person named, as a ledger would say it."""
        spec = self.of_kind(ledger)
        if spec is None:
            return None
        return training_content(spec, self.cache, holds_out=not ledger.evals)

    def of_kind(self, ledger: Ledger) -> Spec | None:
        """Return the source that a person named, if it is of the kind that the ledger names."""
        spec = None if self.named is None else registry.parse("dataset", self.named)
        return spec if spec is not None and spec.name == ledger.dataset.get("name") else None

    @property
    def _tell(self) -> Progress:
        return self.reporter.progress


def _named(ledger: Ledger) -> str:
    return f"the data set {ledger.dataset.get('name')!r} of the ledger"


def judged(
    name: str, ledger: Ledger, problems: Sequence[str], well: str = "", way_out: str = ""
) -> Check:
    """Return a check that fails, or is open where the programs are not those of the ledger."""
    others = made_again.other_versions(ledger)
    found = Check.of(name, problems, well)
    if found.passed or not others:
        return found
    more = f"; {way_out}" if way_out else ""
    return Check.undecided(
        name,
        f"{found.message}; but the ledger was made with {', '.join(others)}, by which that may"
        f" come{more}",
    )


def _refuse_damaged(base: Base) -> None:
    """Refuse a clean set of the cache that is not what its own manifest says."""
    manifest = base.shards.manifest
    records = () if manifest is None else manifest.shards
    for shard, record, found in zip(base.shards.shards, records, base.hashes, strict=True):
        if record.sha256 != found:
            raise CorruptData(
                f"Shard {shard.path} is not the one that its {manifests.NAME} lists; remove"
                f" {shard.path.parent} to have it made again."
            )
