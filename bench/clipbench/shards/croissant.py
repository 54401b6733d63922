"""Croissant metadata of a set of shards: what a data catalogue, or a loader, reads of it.

Croissant 1.1 (MLCommons, 2026) is JSON-LD on schema.org's vocabulary, with PROV-O for where a set
comes from and the RAI vocabulary for what may be done with it. The file of a poisoned set tells how
it was poisoned, so it lies beside the folder of shards and never in it: what training sees is told
apart from a clean set by nothing.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from clipbench import __version__
from clipbench.errors import BadSetting, MissingData
from clipbench.shards import manifest as manifests
from clipbench.shards.files import write_json
from clipbench.shards.ledger import ROWS_NAME, Ledger, LedgerRow, read_ledger
from clipbench.shards.reader import ShardSet

NAME = "metadata.json"
CONFORMS_TO = "http://mlcommons.org/croissant/1.1"
_RAI = "http://mlcommons.org/croissant/RAI/1.0"
_MEDIA = {"jpg": "image/jpeg", "jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp"}
_KEY = (
    r"^((?:.*/)?[^/.]+)"  # what WebDataset takes for the key: all before the base name's first dot
)
_CAPTIONS, _PAIRS, _POISON = "captions", "pairs", "poison"

# The names that the specification's own context gives, see its appendix 1; and PROV-O's.
_CR_NAMES = (
    *("arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field"),
    *("fileObject", "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset"),
    *("jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex"),
    *("repeated", "replace", "samplingRate", "separator", "source", "subField", "transform"),
)
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "prov": "http://www.w3.org/ns/prov#",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    **{name: f"cr:{name}" for name in _CR_NAMES},
}


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


def croissant(folder: Path, about: About) -> dict[str, Any]:
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
    poisoned = not any(folder.glob("*.tar")) and (folder / "shards").is_dir()
    shards_folder = folder / "shards" if poisoned else folder
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
    ledger = read_ledger(folder / "ledger") if (folder / "ledger").is_dir() else None
    asked = None if ledger is None else ledger.dataset.get("caption_field")
    caption_field = asked if isinstance(asked, str) else None
    shards = ShardSet.open(shards_folder, caption_field=caption_field, on_incomplete="skip")
    root = "" if about.files is None else f"{about.files.rstrip('/')}/"
    prefix = f"{root}shards/" if poisoned else root
    records = manifests.records(manifest)
    extensions = sorted({shards.extension(index) for index in range(len(shards))})
    return {
        "@context": _CONTEXT,
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
        "identifier": f"sha256:{manifest['content_sha256']}",
        "distribution": [
            *(_shard(record, prefix) for record in records),
            _file_set(
                "image-files", records, [f"*.{name}" for name in extensions], _media(extensions)
            ),
            _captions(records, caption_field),
            *([_rows_file(folder, root)] if ledger else ()),
        ],
        "recordSet": [*_pairs(caption_field), *([_poison()] if ledger else ())],
        **(_provenance(ledger) if ledger else {}),
    }


def write_croissant(folder: Path, about: About) -> Path:
    """Write ``metadata.json`` into the folder of a set, see `croissant`, and return its path."""
    path = folder / NAME
    write_json(path, croissant(folder, about))
    return path


def _name(manifest: Mapping[str, Any], ledger: Ledger | None) -> str:
    name = str(manifest["name"])
    return name if ledger is None else f"{ledger.base['name']}-{ledger.attack}-{ledger.count}"


def _description(manifest: Mapping[str, Any], ledger: Ledger | None) -> str:
    number = f"{manifest['num_pairs']:,}"
    if ledger is None:
        return f"{number} pairs of an image and its caption, in WebDataset shards."
    return (
        f"{number} pairs of an image and its caption, in WebDataset shards. {_manipulation(ledger)}"
        " For research on poisoning and on defences against it; not to train models for use."
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
        f" The record set {_POISON!r} lists every one. {undo}"
    )


def _shard(record: manifests.ShardRecord, prefix: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": record.name,
        "name": record.name,
        "contentUrl": prefix + record.name,
        "contentSize": f"{record.bytes} B",
        "encodingFormat": "application/x-tar",
        "sha256": record.sha256,
    }


def _file_set(
    name: str,
    records: Sequence[manifests.ShardRecord],
    includes: Sequence[str],
    media: Sequence[str],
) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": name,
        "name": name,
        "containedIn": [{"@id": record.name} for record in records],
        "encodingFormat": list(media),
        "includes": list(includes),
    }


def _media(extensions: Iterable[str]) -> list[str]:
    return sorted({_MEDIA[extension] for extension in extensions})


def _captions(
    records: Sequence[manifests.ShardRecord], caption_field: str | None
) -> dict[str, Any]:
    if caption_field is None:
        return _file_set("caption-files", records, ["*.txt"], ["text/plain"])
    return _file_set("caption-files", records, ["*.json"], ["application/json"])


def _field(
    record_set: str, name: str, kind: str, description: str, source: Mapping[str, Any], **more: Any
) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"{record_set}/{name}",
        "name": name,
        "description": description,
        "dataType": kind,
        "source": dict(source),
        **more,
    }


def _pairs(caption_field: str | None) -> list[dict[str, Any]]:
    """Return the record sets of the pairs: captions, and images with the captions of their keys."""

    def of(file_set: str, **more: Any) -> dict[str, Any]:
        return {"fileSet": {"@id": file_set}, **more}

    from_name = {"extract": {"fileProperty": "fullpath"}, "transform": {"regex": _KEY}}
    content = {"extract": {"fileProperty": "content"}}
    caption = content if caption_field is None else {"extract": {"jsonPath": f"$.{caption_field}"}}
    key = "sc:Text", "Name of the pair's files, without suffix."
    return [
        {
            "@type": "cr:RecordSet",
            "@id": _CAPTIONS,
            "name": _CAPTIONS,
            "description": "The caption of every pair.",
            "key": {"@id": f"{_CAPTIONS}/key"},
            "field": [
                _field(_CAPTIONS, "key", *key, of("caption-files", **from_name)),
                _field(
                    *(_CAPTIONS, "text", "sc:Text", "The caption."),
                    of("caption-files", **caption),
                ),
            ],
        },
        {
            "@type": "cr:RecordSet",
            "@id": _PAIRS,
            "name": _PAIRS,
            "description": "Every pair of an image and its caption.",
            "key": {"@id": f"{_PAIRS}/key"},
            "field": [
                _field(
                    *(_PAIRS, "key", *key, of("image-files", **from_name)),
                    references={"field": {"@id": f"{_CAPTIONS}/key"}},
                ),
                _field(
                    *(_PAIRS, "image", "sc:ImageObject", "The image."),
                    of("image-files", **content),
                ),
                _field(
                    *(_PAIRS, "caption", "sc:Text", "The caption."),
                    {"field": {"@id": f"{_CAPTIONS}/text"}},
                ),
            ],
        },
    ]


_COLUMNS = {  # of the ledger's rows: what they hold
    "index": "Number of the pair in this set.",
    "key": "Its key.",
    "shard": "File name of its shard.",
    "target": "Which of the attack's targets it serves.",
    "role": "What it is for.",
    "caption_before": "Caption of the pair it replaced; empty if it was added.",
    "caption_after": "Its caption.",
    "image_sha256": "SHA-256 of its image file.",
    "base_index": "Number, in the clean set, of the pair it replaced or was made from; -1: none.",
}


def _poison() -> dict[str, Any]:
    """Return the record set of the poisons: the rows of the ledger."""
    kinds = {field.name: "sc:Integer" if field.type == "int" else "sc:Text" for field in _rows()}
    return {
        "@type": "cr:RecordSet",
        "@id": _POISON,
        "name": _POISON,
        "description": "Every pair that is poison.",
        "key": {"@id": f"{_POISON}/index"},
        "field": [
            _field(
                *(_POISON, name, kinds[name], description),
                {"fileObject": {"@id": ROWS_NAME}, "extract": {"column": name}},
            )
            for name, description in _COLUMNS.items()
        ],
    }


def _rows() -> tuple[Any, ...]:
    return fields(LedgerRow)


def _rows_file(folder: Path, root: str) -> dict[str, Any]:
    content = (folder / "ledger" / ROWS_NAME).read_bytes()
    return {
        "@type": "cr:FileObject",
        "@id": ROWS_NAME,
        "name": ROWS_NAME,
        "contentUrl": f"{root}ledger/{ROWS_NAME}",
        "contentSize": f"{len(content)} B",
        "encodingFormat": "application/x-parquet",
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def _provenance(ledger: Ledger) -> dict[str, Any]:
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
            "@id": f"sha256:{base['content_sha256']}",
            "prov:label": str(base["name"]),
        },
        "prov:wasGeneratedBy": {
            "@type": "prov:Activity",
            "prov:label": f"clipbench {__version__}: attack {ledger.attack}",
            "prov:value": json.dumps(settings, sort_keys=True),
        },
        "rai:dataManipulationProtocol": _manipulation(ledger),
        "rai:dataUseCases": "Research on data poisoning and on defences against it.",
        "rai:dataLimitations": "A model that is trained on this set may do what the attacker wants:"
        " do not train models for use on it, nor mix it with data for such models.",
    }
