"""Croissant metadata of a set of shards: what a data catalogue, or a loader, reads of it.

Croissant 1.1 (MLCommons, 2026) is JSON-LD on schema.org's vocabulary, with PROV-O for where a set
comes from and the RAI vocabulary for what may be done with it. The file of a poisoned set tells how
it was poisoned, so it lies beside the folder of shards and never in it: what training sees is told
apart from a clean set by nothing.
"""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass
from pathlib import Path

from clipbench import __version__
from clipbench.croissant import parts
from clipbench.errors import BadSetting, MissingData
from clipbench.fetching.sources import parts_of
from clipbench.files.json_files import write_json
from clipbench.poisoning.ledger import Ledger, read_ledger
from clipbench.shards import manifest as manifests
from clipbench.shards.reader import ShardSet

NAME = "metadata.json"
CONFORMS_TO = "http://mlcommons.org/croissant/1.1"
_RAI = "http://mlcommons.org/croissant/RAI/1.0"


@dataclass(frozen=True)
class About:
    """What the files of a set cannot tell of it, and Croissant asks for.

    Args:
        license: URL of the license under which the set is given away.
        creator: name of the person or group that publishes it.
        url: page of the set.
        published: day on which it is.
        name: its name; None: that of its manifest, with the attack if it is poisoned.
        description: in a few words; None: made of what its files tell.
        files: URL of the folder that its files are published in; None: they are found relative to
            the metadata. The reference reader keeps what it unpacks under the URL of the shard, so
            that two sets at relative ones are mistaken for each other.
    """

    license: str
    creator: str
    url: str
    published: datetime.date
    name: str | None = None
    description: str | None = None
    files: str | None = None


def croissant(folder: Path, about: About) -> dict[str, object]:
    """Return the metadata of a set of shards, or of a poisoned set with its ledger.

    Hashes are the manifest's: see `verify` for whether they hold.

    Args:
        folder: shards and their manifest; or a poisoned set, ``shards/`` and ``ledger/``.
        about: what the files do not tell.

    Raises:
        BadSetting: `about` names no web page where it must, or keys come more than once.
        MissingData: there are no shards, or no manifest.
        CorruptData: manifest or ledger is damaged.
    """
    for field in ("license", "url", "files"):
        value = getattr(about, field)
        if value is not None and not value.startswith(("http://", "https://")):
            raise BadSetting(f"{value!r} is no web page; give --{field} as https://...")
    shards_folder, ledger_folder = parts_of(folder)
    manifest = manifests.read(shards_folder)
    if manifest is None:
        raise MissingData(
            f"{shards_folder} has no {manifests.NAME} of clipbench; `clipbench data import` makes"
            " a set that has one."
        )
    if manifests.is_joined(shards_folder):
        raise BadSetting(
            f"{shards_folder} joins several sets, whose keys may be the same; Croissant finds a"
            " pair's files by its key alone. Write metadata for each set by itself."
        )
    ledger = None if ledger_folder is None else read_ledger(ledger_folder)
    asked = None if ledger is None else ledger.dataset.get("caption_field")
    caption_field = asked if isinstance(asked, str) else None
    shards = ShardSet.open(shards_folder, caption_field=caption_field, on_incomplete="skip")
    root = "" if about.files is None else f"{about.files.rstrip('/')}/"
    prefix = root if shards_folder == folder else f"{root}shards/"
    records = manifest.shards
    extensions = sorted({shards.extension(index) for index in range(len(shards))})
    return {
        "@context": parts.CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": [CONFORMS_TO, *([_RAI] if ledger else [])],
        "name": about.name or _name(manifest, ledger),
        "description": about.description or _description(manifest, ledger),
        "license": about.license,
        "url": about.url,
        "creator": {"@type": "sc:Organization", "name": about.creator},
        "datePublished": about.published.isoformat(),
        "version": "1.0.0",
        "keywords": ["image-text pairs", "WebDataset", *(_keywords(ledger) if ledger else ())],
        "identifier": f"sha256:{manifest.content_sha256}",
        "distribution": [
            *(parts.shard(record, prefix) for record in records),
            parts.images(records, extensions),
            parts.captions(records, caption_field),
            *([parts.rows_file(ledger.path, root)] if ledger else ()),
        ],
        "recordSet": [*parts.pairs(caption_field), *([parts.poison()] if ledger else ())],
        **(_provenance(ledger) if ledger else {}),
    }


def write_croissant(folder: Path, about: About) -> Path:
    """Write ``metadata.json`` into the folder of a set, see `croissant`, and return its path."""
    path = folder / NAME
    write_json(path, croissant(folder, about))
    return path


def _name(manifest: manifests.Manifest, ledger: Ledger | None) -> str:
    name = manifest.name
    return name if ledger is None else f"{ledger.base.name}-{ledger.attack}-{ledger.count}"


def _description(manifest: manifests.Manifest, ledger: Ledger | None) -> str:
    number = f"{manifest.num_pairs:,}"
    if ledger is None:
        return f"{number} pairs of an image and its caption, in WebDataset shards."
    return (
        f"{number} pairs of an image and its caption, in WebDataset shards. {_manipulation(ledger)}"
        " For research on poisoning and on defenses against it; not to train models for use."
    )


def _keywords(ledger: Ledger) -> tuple[str, ...]:
    return "data poisoning", ledger.attack


def _manipulation(ledger: Ledger) -> str:
    """Say in words what was done to the set, and how it is undone."""
    done = "replace clean pairs" if ledger.mode == "replace" else "were added to the clean ones"
    undo = (
        "Pairs of the clean set come back by their base_index."
        if ledger.mode == "replace"
        else "Without them, the clean set is left, but for the keys that its ledger says moved."
    )
    return (
        f"{ledger.count:,} of {ledger.num_pairs:,} pairs are poison of the attack {ledger.attack},"
        f" for {ledger.targets:,} target{'' if ledger.targets == 1 else 's'}; they {done}."
        f" The record set {parts.POISON!r} lists every one. {undo}"
    )


def _provenance(ledger: Ledger) -> dict[str, object]:
    """Return where a poisoned set comes from, and what it is for."""
    base = ledger.base
    settings = {
        "attack": ledger.attack,
        "parameters": ledger.parameters,
        "count": ledger.count,
        "seed": ledger.seed,
        "mode": ledger.mode,
        "trigger_sha256": ledger.trigger_sha256,
        "versions": ledger.versions,
    }
    return {
        "prov:wasDerivedFrom": {
            "@type": "prov:Entity",
            "@id": f"sha256:{base.content_sha256}",
            "prov:label": base.name,
        },
        "prov:wasGeneratedBy": {
            "@type": "prov:Activity",
            "prov:label": f"clipbench {__version__}: attack {ledger.attack}",
            "prov:value": json.dumps(settings, sort_keys=True),
        },
        "rai:dataManipulationProtocol": _manipulation(ledger),
        "rai:dataUseCases": "Research on data poisoning and on defenses against it.",
        "rai:dataLimitations": "A model that is trained on this set may do what the attacker wants:"
        " do not train models for use on it, nor mix it with data for such models.",
    }
