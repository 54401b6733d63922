"""The parts of Croissant metadata: files, and the records that are read from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from clipbench.files.json_files import sha256_file
from clipbench.poisoning.ledger import ROWS_NAME, LedgerRow
from clipbench.shards import manifest as manifests

POISON = "poison"  # the record set of the poisons
_CAPTIONS, _PAIRS = "captions", "pairs"
_MEDIA = {"jpg": "image/jpeg", "jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp"}
# What WebDataset takes for the key: all before the first dot of the base name.
_KEY = r"^((?:.*/)?[^/.]+)"

# The names that the specification's own context gives, see its appendix 1; and PROV-O's.
_CR_NAMES = (
    *("arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field"),
    *("fileObject", "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset"),
    *("jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex"),
    *("repeated", "replace", "samplingRate", "separator", "source", "subField", "transform"),
)
CONTEXT: dict[str, object] = {
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


def shard(record: manifests.ShardRecord, prefix: str) -> dict[str, object]:
    """Return a shard, whose place is `prefix` and its name."""
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
) -> dict[str, object]:
    return {
        "@type": "cr:FileSet",
        "@id": name,
        "name": name,
        "containedIn": [{"@id": record.name} for record in records],
        "encodingFormat": list(media),
        "includes": list(includes),
    }


def images(
    records: Sequence[manifests.ShardRecord], extensions: Sequence[str]
) -> dict[str, object]:
    """Return the image files of all shards."""
    media = sorted({_MEDIA[extension] for extension in extensions})
    return _file_set("image-files", records, [f"*.{name}" for name in extensions], media)


def captions(
    records: Sequence[manifests.ShardRecord], caption_field: str | None
) -> dict[str, object]:
    """Return the files of all shards that hold the captions."""
    if caption_field is None:
        return _file_set("caption-files", records, ["*.txt"], ["text/plain"])
    return _file_set("caption-files", records, ["*.json"], ["application/json"])


def _field(
    record_set: str,
    name: str,
    kind: str,
    description: str,
    source: Mapping[str, object],
    **more: object,
) -> dict[str, object]:
    return {
        "@type": "cr:Field",
        "@id": f"{record_set}/{name}",
        "name": name,
        "description": description,
        "dataType": kind,
        "source": dict(source),
        **more,
    }


def pairs(caption_field: str | None) -> list[dict[str, object]]:
    """Return the record sets of the pairs: captions, and images with the captions of their keys."""

    def of(file_set: str, **more: object) -> dict[str, object]:
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


def poison() -> dict[str, object]:
    """Return the record set of the poisons: the rows of the ledger."""
    rows = fields(LedgerRow)
    kinds = {field.name: "sc:Integer" if field.type == "int" else "sc:Text" for field in rows}
    return {
        "@type": "cr:RecordSet",
        "@id": POISON,
        "name": POISON,
        "description": "Every pair that is poison.",
        "key": {"@id": f"{POISON}/index"},
        "field": [
            _field(
                *(POISON, name, kinds[name], description),
                {"fileObject": {"@id": ROWS_NAME}, "extract": {"column": name}},
            )
            for name, description in _COLUMNS.items()
        ],
    }


def rows_file(ledger: Path, root: str) -> dict[str, object]:
    """Return the table beside a poisoned set's ``ledger.json``; its place is below `root`."""
    path = ledger.with_name(ROWS_NAME)
    return {
        "@type": "cr:FileObject",
        "@id": ROWS_NAME,
        "name": ROWS_NAME,
        "contentUrl": f"{root}ledger/{ROWS_NAME}",
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": "application/x-parquet",
        "sha256": sha256_file(path),
    }
