"""What a run is known by: what its data and weights hold, wherever they lie.

The same pairs by a relative path, an absolute one, a link or from a folder that was moved are the
same run; other pairs under the same path are another. Pairs that are to be fetched or imported
are known only when they are there.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import cast

from clipbench.boundary import datasets
from clipbench.configuration.config import RunConfig
from clipbench.configuration.hashed import ContentMore
from clipbench.configuration.places import (
    PLACES,
    Place,
    Slot,
    filled,
    places,
    places_of,
    read_sealed,
    slots,
    write_sealed,
)
from clipbench.configuration.settings import TrainSettings
from clipbench.contracts import (
    EvaluationSource,
    HasFiles,
    Progress,
    TrainingSource,
    is_prepared,
    no_progress,
)
from clipbench.errors import BadSetting, ClipbenchError, CorruptData, MissingData
from clipbench.files.contents import FileHashes, tree
from clipbench.models.openclip import configuration_file, heeded_since
from clipbench.models.weights import weights_file
from clipbench.plugins.find import missing_members
from clipbench.plugins.part import Part
from clipbench.plugins.spec import SpecLike
from clipbench.shards.hashes import content_of
from clipbench.text import locations


class Identifier:
    """Finds out what lies where configurations say, each place once.

    Args:
        cache: folder of what is fetched and imported, and of the hashes of files.
        progress: told about files that are read.
        prepare: whether pairs that are not there yet are fetched or imported for it.
        pairs: the content of the training pairs, where it is not for their source to say.
        fresh: whether files are read, whatever is remembered of their hashes.
    """

    def __init__(
        self,
        cache: Path,
        progress: Progress = no_progress,
        *,
        prepare: bool = False,
        pairs: str | None = None,
        fresh: bool = False,
    ) -> None:
        self._cache, self._progress, self._prepare, self._pairs = cache, progress, prepare, pairs
        self._files = FileHashes(cache, progress, fresh=fresh)
        self._known: dict[str, str | None] = {}

    def identified(self, config: RunConfig) -> RunConfig | None:
        """Return a configuration with what lies there; None: that is not known yet.

        Raises:
            MissingData: something is not there.
            CorruptData: shards are not what their manifest says.
        """
        contents: dict[str, str] = {}
        for slot in slots(config):
            if found := places_of(slot):
                content = self.of_slot(slot, holds_out=slot.name == "data" and not config.evals)
                if content is None:
                    return None
                contents |= {place.field: content for place in found}
        marks = locations.location_fields(TrainSettings)
        for place in filled("train", marks, vars(config.train)):
            given_content = locations.content_in(place.value)
            contents[place.field] = given_content or self._of_place(place)
        return config.known_by(contents)

    def of_slot(self, slot: Slot, *, holds_out: bool = False) -> str | None:
        """Return what a plugin's locations hold together; None: not known yet, or none."""
        found = places_of(slot)
        given = [locations.content_in(place.value) for place in found]
        if not found or any(given):  # a record that says what, and not where
            return next(filter(None, given), None)
        key = json.dumps(
            [slot.part.kind, slot.name.partition("[")[0], holds_out, slot.part.to_json()]
        )
        if key not in self._known:
            if slot.name in ("data", "trusted"):
                self._known[key] = self._of_training(slot, found, holds_out=holds_out)
            elif slot.part.kind == "dataset":
                self._known[key] = self._of_evaluation(slot, found)
            elif len(found) == 1:
                self._known[key] = self._of_place(found[0])
            else:
                self._known[key] = _joined(f"{p.field} {self._of_place(p)}" for p in found)
        return self._known[key]

    def _of_training(self, slot: Slot, found: list[Place], *, holds_out: bool) -> str | None:
        """Return what the pairs of a source are, and what it holds out where that is used."""
        if slot.name == "data" and self._pairs is not None:
            return self._pairs
        source = slot.part.plugin
        where = is_prepared(source, self._cache)
        if where is None and self._prepare:
            where = datasets.prepare(cast("TrainingSource", source), self._cache, self._progress)
        if where is None:
            return None
        try:
            pairs = content_of(where, self._cache / "index", self._progress)
        except CorruptData:
            if self._prepare or self._cache not in Path(where).parents:
                raise
            return None  # it is made again when it is needed
        if not holds_out or missing_members(type(source), "EvaluationSource"):
            return pairs
        return _joined([pairs, self._of_evaluation(slot, found)])

    def _of_evaluation(self, slot: Slot, found: list[Place]) -> str:
        """Return what a source of test images reads."""
        source = slot.part.plugin
        home = Path(str(next(locations.texts(found[0].value))))
        try:
            if isinstance(source, HasFiles):
                return self._files.of_files(source.files(), home)
            files = [item for place in found for item in _files_of(place)]
            return self._files.of_files(files, home)
        except MissingData:
            # Which says better what is missing.
            datasets.evaluation(cast("EvaluationSource", source))
            raise

    def _of_place(self, place: Place) -> str:
        """Return what one location holds: of a file its plain hash."""
        path = Path(str(place.value)).expanduser()
        if place.mark.kind == "weights":
            path = weights_file(path)
        elif place.mark.kind == "model":
            path = configuration_file(str(place.value)) or path
            if heeded := heeded_since(str(place.value)):
                return _joined([self._files.of_file(path), *heeded])
        if path.is_dir():
            return self._files.of_files(tree(path), path)
        return self._files.of_file(path)


def _files_of(place: Place) -> Iterator[tuple[str, Path]]:
    """Yield the files of a location, by names that tell fields apart."""
    for number, text in enumerate(locations.texts(place.value)):
        name, path = f"{place.field.partition('.')[2]}[{number}]", Path(text).expanduser()
        if path.is_dir():
            for inner, file in tree(path):
                yield f"{name}/{inner}", file
        else:
            yield name, path


def _joined(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def identify(
    config: RunConfig,
    cache: Path,
    progress: Progress = no_progress,
    *,
    pairs: str | None = None,
    given: bool = False,
    fresh: bool = False,
) -> RunConfig:
    """Return a run that is known by what its data hold; what is not there is fetched or imported.

    Args:
        config: the run; if it was identified before, it must still be what it was.
        cache: folder of what is fetched and imported.
        progress: told about it.
        pairs: the content of the training pairs, where it is not for their source to say.
        given: whether a configuration out of a record will do, which says what and not where.
        fresh: whether test files and weights, which are about to be used, are read again, whatever
            is remembered of their hashes. Shards are looked at when they are read.

    Raises:
        BadSetting: it is out of a record, and `given` is not set.
        ClipbenchError: it was identified before, and its data have changed since.
    """
    for place in places(config):
        if locations.content_in(place.value) and not given:
            raise BadSetting(
                f"{place.field} is known by its content alone, {str(place.value)[:23]}...; say"
                " where it lies."
            )
    found = Identifier(cache, progress, prepare=True, pairs=pairs, fresh=fresh).identified(config)
    assert found is not None  # everything was prepared
    before, after = config.contents or {}, found.contents or {}
    changed = sorted(field for field in before if before[field] != after.get(field))
    if changed:
        raise ClipbenchError(
            f"What lies at {', '.join(changed)} has changed since the run was planned; start the"
            " same command again, and it is planned again."
        )
    return found


def put_in_place(
    config: RunConfig, typed: Mapping[str, str], known: Mapping[str, object]
) -> RunConfig:
    """Return a configuration out of a record with places on this machine in it.

    Args:
        config: says what its data and weights are.
        typed: places by field, as a person gave them; ``data`` stands for the only field of it.
        known: a configuration with places, where the typed ones do not say.

    Raises:
        BadSetting: a field has no place, or there is no such field.
    """
    content = json.loads(json.dumps(config.to_json()))
    left, missing = dict(typed), []
    needed = [place for place in places(config) if locations.content_in(place.value)]
    of_data = [place for place in needed if place.field.startswith("data.")]
    for place in needed:
        value: object = left.pop(place.field, None)
        if value is None and place in of_data and len(of_data) == 1:
            value = left.pop("data", None)
        if value is None:
            value = locations.get(known, place.field)
        if value is None or locations.content_in(value):
            missing.append(place.field)
            continue
        locations.put(content, place.field, value)
        if place.field.startswith("train."):
            locations.put(content, f"explicit.{place.field.partition('.')[2]}", value)
    if missing:
        raise BadSetting(
            "The result says what its data are, and not where they lie here; name"
            f" {' '.join(f'--where {field}=PATH' for field in missing)}"
            f"{' (or --data PATH)' if [p.field for p in of_data] == missing[:1] else ''}."
        )
    if left:
        fields = ", ".join(place.field for place in needed) or "none"
        raise BadSetting(f"The result has no place to name for {', '.join(left)}; it has {fields}.")
    return dataclasses.replace(RunConfig.from_json(content), contents=None)


def named(config: RunConfig) -> dict[str, str]:
    """Return a short name of what lies at each location, for people."""
    return {
        place.field: "::".join(map(locations.short, locations.texts(place.value)))
        for place in places(config)
        if not locations.content_in(place.value)
    }


def located(config: RunConfig) -> ContentMore:
    """Return `RunConfig.to_json` with places that hold in every folder, and without a secret.

    For files that stay on this machine: what is made to be sent has `RunConfig.by_content`.
    """
    content: ContentMore = json.loads(json.dumps(config.to_json()))
    for place in places(config):
        whole = map(locations.absolute, locations.texts(place.value))
        shown = [locations.redacted(text) for text in whole]
        locations.put(content, place.field, shown[0] if len(shown) == 1 else shown)
    if "pretrained" in content["explicit"]:
        content["explicit"]["pretrained"] = content["train"]["pretrained"]
    return content


def write_places(config: RunConfig, folder: Path) -> None:
    """Write beside a ledger where on this machine everything lies that it names by content.

    The ledger itself is the same wherever that is. Nothing is written where all names will do.
    """
    content = located(config)
    if not places(config) and not config.code:
        return
    known = {"data": content["data"], "evals": content["evals"], "attack": content["attack"]}
    if read_sealed(folder / PLACES) != known:
        write_sealed(folder / PLACES, known)


def contents_of(specs: Iterable[SpecLike], cache: Path) -> list[str | None]:
    """Return what evaluation sources read; None for those that have no location.

    Args:
        specs: the sources.
        cache: to remember hashes of files in; they are read all the same, for they will be used.
    """
    identifier = Identifier(cache, fresh=True)
    given = [
        Slot(f"evals[{number}]", Part.of("dataset", spec)) for number, spec in enumerate(specs)
    ]
    return [identifier.of_slot(slot) for slot in given]


def training_content(
    spec: SpecLike, cache: Path, progress: Progress = no_progress, *, holds_out: bool
) -> str | None:
    """Return what a source of training pairs holds, as a record says it; None: no location.

    Args:
        spec: the source.
        cache: folder of what is fetched and imported.
        progress: told about it.
        holds_out: whether its test images are used, too.
    """
    slot = Slot("data", Part.of("dataset", spec))
    return Identifier(cache, progress, prepare=True).of_slot(slot, holds_out=holds_out)


def secrets(config: RunConfig) -> dict[str, str]:
    """Return how records speak of those locations that hold a secret, by field."""
    return {
        place.field: "::".join(map(locations.redacted, locations.texts(place.value)))
        for place in places(config)
        if any(map(locations.has_secret, locations.texts(place.value)))
    }
