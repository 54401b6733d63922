"""Sound files of every kind that clipbench reads, small enough to be mutated by the thousand."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as Pil

from clipbench.checkpoints.trace import write_trace
from clipbench.images.encoding import encode_jpeg, encode_png
from clipbench.loading.order import EpochOrder
from clipbench.poisoning import ledger_rows
from clipbench.poisoning.ledger_rows import LedgerRow
from clipbench.shards import index as indexing

_ROWS = Path(__file__).parents[2] / "results" / "shapes" / "rows"
_PICTURE = np.random.default_rng(0).integers(0, 255, (9, 11, 3)).astype(np.uint8)
_CONTENT = {"00000": "a red square", "00001": "two blue dogs", "00002": "grün"}


def _saved(form: str, mode: str = "RGB", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Pil.fromarray(_PICTURE).convert(mode).save(buffer, form, **options)
    return buffer.getvalue()


def jpegs() -> list[bytes]:
    """Return JPEGs: plain, progressive, gray, with EXIF and a thumbnail's place, in ink."""
    exif = Pil.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a picture"
    return [
        encode_jpeg(_PICTURE),
        _saved("JPEG", progressive=True, quality=40, subsampling=2, exif=exif.tobytes()),
        _saved("JPEG", "L", optimize=True, restart_marker_blocks=1, comment=b"hello"),
        _saved("JPEG", "CMYK"),
    ]


def pngs() -> list[bytes]:
    """Return PNGs: plain, palette, transparent, gray, with text."""
    from PIL.PngImagePlugin import PngInfo  # noqa: PLC0415 - for this alone

    info = PngInfo()
    info.add_text("title", "a picture", zip=True)
    info.add_itxt("made", "by hand", "en", "von Hand", zip=True)
    return [
        encode_png(_PICTURE),
        _saved("PNG", "P", transparency=0),
        _saved("PNG", "RGBA", pnginfo=info, compress_level=9),
        _saved("PNG", "LA", icc_profile=bytes(200)),
        _saved("PNG", "1"),
    ]


def webps() -> list[bytes]:
    """Return WebPs: lossy, lossless, animated."""
    frames = [Pil.fromarray(255 - _PICTURE)]
    return [
        _saved("WEBP", quality=50),
        _saved("WEBP", "RGBA", lossless=True, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0"),
        _saved("WEBP", save_all=True, append_images=frames),
    ]


def _tar(form: int, names: dict[str, bytes], **pax: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form, pax_headers=pax or None) as made:
        for name, content in names.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
    return buffer.getvalue()[:-8192]  # the end mark stays; the rest of the record is not needed


def tars() -> list[bytes]:
    """Return shards: USTAR, GNU with a long name, PAX with a name of its own, odd members."""
    pictures = [encode_jpeg(_PICTURE), encode_png(_PICTURE), _saved("WEBP")]
    names: dict[str, bytes] = {}
    for (key, caption), picture, kind in zip(
        _CONTENT.items(), pictures, ("jpg", "png", "webp"), strict=True
    ):
        names |= {f"{key}.{kind}": picture, f"{key}.txt": caption.encode()}
        names[f"{key}.json"] = json.dumps({"caption": caption, "n": 1.5, "x": [None]}).encode()
    long = {f"{'d' * 120}/{name}": content for name, content in names.items()}
    odd = {**names, "00003.gif": b"GIF89a", "__meta__/x.txt": b"", "no-dot": b"x"}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as made:
        for kind in (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE):
            info = tarfile.TarInfo(f"odd{kind.decode()}.txt")
            info.type, info.linkname = kind, "00000.txt"
            made.addfile(info)
        info = tarfile.TarInfo("00000.txt")
        info.size = 1
        made.addfile(info, io.BytesIO(b"x"))
    return [
        _tar(tarfile.USTAR_FORMAT, names),
        _tar(tarfile.GNU_FORMAT, long),
        _tar(tarfile.PAX_FORMAT, {f"é{name}": content for name, content in long.items()}),
        _tar(tarfile.PAX_FORMAT, odd, comment="all of it"),
        buffer.getvalue()[:-4096],
    ]


def sidecars() -> list[bytes]:
    """Return JSON that lies beside a picture."""
    one = {"caption": "a red square", "key": "00000", "status": "success", "width": 11, "e": None}
    return [json.dumps(one).encode(), json.dumps({**one, "exif": {"a": [1.5, "x"]}}).encode()]


def tables() -> list[bytes]:
    """Return lists of images and captions."""
    return [
        b"filepath\ttitle\n0.jpg\ta red square\n1.jpg\t\xc3\xa9 dog\nsub/2.png\tcats\n",
        b'title,filepath,extra\n"a ""red"" square",0.jpg,1\n"two\nlines",1.jpg,2\nx,2.jpg,3\n',
        b"\xef\xbb\xbffilepath;title\r\n0.jpg;one\r\n1.jpg;two\r\n",
    ]


def lists() -> list[bytes]:
    """Return lists of captions and addresses."""
    return [b"a red square\thttp://x/0.jpg\ntwo dogs\thttp://x/1.jpg\nthree\thttp://x/2.jpg\n"]


def annotations() -> list[bytes]:
    """Return the annotations of COCO."""
    images = [{"id": n, "file_name": f"{n}.jpg", "width": 11, "height": 9} for n in range(3)]
    captions = [{"id": n, "image_id": n % 3, "caption": f"a thing {n}"} for n in range(5)]
    return [json.dumps({"info": {}, "images": images, "annotations": captions}).encode()]


def regions() -> list[bytes]:
    """Return the regions of Visual Genome."""
    region = {"region_id": 1, "x": 0, "y": 0, "width": 5, "height": 5, "phrase": "a corner"}
    return [json.dumps([{"id": 1, "regions": [region, {**region, "region_id": 2}]}]).encode()]


def heads() -> list[bytes]:
    """Return what is said of a poisoned set; the rows' hash is put in where it is read."""
    shards = [{"name": "00000.tar", "sha256": "23" * 32}]
    source = {"format": "tiny"}
    base = {"name": "tiny", "source": source, "content_sha256": "ef" * 32, "shards": shards}
    head = {
        "format": "clipbench-ledger",
        "version": 2,
        "base": {**base, "num_pairs": 10},
        "content_sha256": "01" * 32,
        "attack": "stain",
        "parameters": {"a": [1, None, "x"]},
        "dataset": {"name": "tiny"},
        "evals": [{"name": "pictures"}],
        "seed": 3,
        "rate": 0.2,
        "count": 2,
        "num_pairs": 10,
        "targets": 2,
        "per_target": [1, 1],
        "mode": "replace",
        "trigger_sha256": "45" * 32,
        "trigger_probe": [8, 8],
        "moved": [["a", "b"]],
        "versions": {"clipbench": "0"},
        "left_out": {"caption empty": 1},
        "rows_sha256": hashlib.sha256(rows()[0]).hexdigest(),
    }
    return [json.dumps(head).encode()]


def rows() -> list[bytes]:
    """Return the rows of a ledger."""
    poisons = [
        LedgerRow(2, "000000002", "00000.tar", 0, "cover", None, "grün", "cd" * 32, -1),
        LedgerRow(7, "000000007", "00000.tar", 1, "poison", "before", "after", "ab" * 32, 7),
    ]
    return [ledger_rows.written(poisons)]


def manifests() -> list[bytes]:
    """Return what is said of a set of shards."""
    shard = {"name": "00000.tar", "num_pairs": 3, "bytes": 10240, "sha256": "23" * 32}
    whole = hashlib.sha256(f"{shard['sha256']}\n".encode()).hexdigest()
    head = {"format": "clipbench-shards", "version": 1, "name": "tiny", "source": {"seed": 1}}
    content = {**head, "num_pairs": 3, "content_sha256": whole, "shards": [shard]}
    return [json.dumps(content).encode()]


def counts() -> list[bytes]:
    """Return counts of shards and of pairs left out."""
    stats = {"count": 9, "successes": 8, "pairs_per_shard": 9, "left_out": {"image missing": 1}}
    split = {"filenames": ["00000.tar"], "shard_lengths": [3], "num_samples": 3}
    info = {"name": "tiny", "splits": {"train": {"name": "train", **split}}}
    return [json.dumps(one).encode() for one in ({"00000.tar": 3}, info, stats)]


def left_out() -> list[bytes]:
    """Return lines of pairs that were left out."""
    line = {"key": "000000001", "name": "row 1", "reason": "image missing", "detail": "no file"}
    return [b"".join(json.dumps({**line, "image": f"{n}.jpg"}).encode() + b"\n" for n in range(3))]


def results() -> list[bytes]:
    """Return results of the leaderboard, of an attacked run and of a clean one."""
    files = sorted(_ROWS.glob("*.json"))
    texts = [file.read_bytes() for file in files[:40]]
    clean = next(text for text in texts if json.loads(text)["attack"]["name"] == "none")
    return [texts[0], clean]


def reported() -> list[bytes]:
    """Return numbers that papers report."""
    head = b"source,attack,rate,defense,model,data,metric,value,k,n\n"
    return [head + b"Yang 2024,targeted,1e-4,safeclip,RN50,cc3m,attack_success,0.1,,\n"]


def records() -> list[bytes]:
    """Return what a training says of itself."""
    record = {
        "fingerprint": "x",
        "num_pairs": 3,
        "content_sha256": "01" * 32,
        "epochs": 1,
        "samples_seen": 3,
        "steps": 1,
        "seconds": 1.5,
        "seconds_shared": 0.0,
        "cpu_seconds": 1.0,
        "peak_memory_bytes": 1,
        "device": "cpu",
        "precision": "fp32",
        "processes": 1,
        "history": [{"phase": "a", "epoch": 0, "loss": 1.0}],
    }
    return [json.dumps(record).encode()]


def arrays() -> list[bytes]:
    """Return exposures."""
    buffer = io.BytesIO()
    np.save(buffer, np.arange(5), allow_pickle=False)
    return [buffer.getvalue()]


def traces() -> list[bytes]:
    """Return what an epoch trained on."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "0.npz")
        write_trace(path, EpochOrder(5, 5, 0, 0), [], torch.ones(5))
        return [path.read_bytes()]


def indexes() -> list[bytes]:
    """Return an index of a shard."""
    row = (0, 512, 100, 1024, 12, 2048, 30, 0, b"00000", 1, 2, 3)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "i.bin")
        stamps = [indexing.Stamp("00000.tar", 10240, 1, 2)]
        lacks = [indexing.Incomplete(0, "00009", "image", "")]
        found = indexing.rows_to_index([row, (*row[:8], b"00001", 4, 5, 6)])
        indexing.write(path, [found], stamps, lacks)
        return [path.read_bytes()]


def weights() -> list[bytes]:
    """Return weights: as PyTorch saves them now, as it did, and as safetensors."""
    from safetensors.torch import save  # noqa: PLC0415 - for this alone

    state = torch.nn.Linear(2, 3).state_dict()
    content = {
        "format": 1,
        "state_dict": state,
        "n": [1, 2.5, None, "x"],
        "t": torch.ones(2, 3).t(),
    }
    made = []
    for new in (True, False):
        buffer = io.BytesIO()
        torch.save(content, buffer, _use_new_zipfile_serialization=new)
        made.append(buffer.getvalue())
    return [*made, save(dict(state))]


def configurations() -> list[bytes]:
    """Return the configuration of a model."""
    vision = {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8}
    text = {"context_length": 16, "vocab_size": 100, "width": 32, "heads": 2, "layers": 1}
    model = {"embed_dim": 32, "vision_cfg": vision, "text_cfg": text}
    return [json.dumps({"model_cfg": model, "preprocess_cfg": {"mean": [0, 0, 0]}}).encode()]
