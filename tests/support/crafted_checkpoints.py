"""Checkpoints that a stranger would make: to run code, to fill memory, to hang, or to crash.

Each is a name with a suffix, and bytes. Whatever they call makes the file ``mark``.
"""

from __future__ import annotations

import io
import json
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from torch import nn

_OLDER = (  # what a file of torch.save had before its version 1.6: number, version, system
    b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."
    b"\x80\x02}(X\x0d\x00\x00\x00little_endian\x88X\x0a\x00\x00\x00type_sizes}u."
)
_FLOAT = b"ctorch\nFloatStorage\n"
_ORDERED = b"ccollections\nOrderedDict\n"
_REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"


def text(value: str) -> bytes:
    """Return a text as a pickle says it."""
    content = value.encode()
    return b"X" + struct.pack("<I", len(content)) + content


def number(value: int) -> bytes:
    """Return a number as a pickle says it."""
    if 0 <= value < 1 << 31:
        return b"J" + struct.pack("<i", value)
    content = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(content)]) + content


def storage(key: str = "0", count: bytes = number(1), kind: bytes = _FLOAT) -> bytes:
    """Return a reference to a storage."""
    return b"(" + text("storage") + kind + text(key) + text("cpu") + count + b"tQ"


def tensor(
    stored: bytes, offset: bytes = number(0), size: bytes = number(1), stride: bytes = number(1)
) -> bytes:
    """Return a tensor of one dimension."""
    rest = b"\x89" + _ORDERED + b")R"
    return _REBUILD + b"(" + stored + offset + b"(" + size + b"t(" + stride + b"t" + rest + b"tR"


def weights(value: bytes) -> bytes:
    """Return a pickle of weights with one of a value."""
    return b"\x80\x02}" + text("w") + value + b"s."


def archive(pickle: bytes, files: Mapping[str, bytes] | None = None, how: int = 0) -> bytes:
    """Return a ZIP archive as torch.save writes it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", how) as made:
        made.writestr("archive/data.pkl", pickle)
        made.writestr("archive/byteorder", "little")
        for name, content in (files or {"archive/data/0": bytes(4)}).items():
            made.writestr(name, content)
        made.writestr("archive/version", "3\n")
    return buffer.getvalue()


def scripted_archive(pickle: bytes) -> bytes:
    """Return an archive as torch.jit.save writes it."""
    code = "class M(Module):\n  def __setstate__(self, state):\n    print('ran')\n"
    files = {"archive/constants.pkl": b"\x80\x02).", "archive/code/__torch__.py": code.encode()}
    return archive(pickle, {**files, "archive/data/0": bytes(4)})


def older(pickle: bytes) -> bytes:
    """Return a file as torch.save wrote it before its version 1.6."""
    keys = b"\x80\x02]" + text("0") + b"a."
    return _OLDER + pickle + keys + struct.pack("<q", 1) + bytes(4)


def oldest(pickle: bytes) -> bytes:
    """Return a tar as torch.save wrote it at first."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as made:
        nothing = b"\x80\x02K\x00."
        parts = {"storages": nothing + b"\x80\x02].", "tensors": nothing, "pickle": pickle}
        for name, content in parts.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


CONTAINERS: Mapping[str, Callable[[bytes], bytes]] = {
    "zip": archive,
    "script": scripted_archive,
    "older": older,
    "tar": oldest,
    "bare": bytes,
}


def calls(mark: Path) -> Iterator[tuple[str, bytes]]:
    """Yield pickles that make a file, each by another opcode or by another function."""
    command = text(f"touch '{mark}'")
    python = text(f"open({str(mark)!r}, 'w').close()")
    one = command + b"\x85"
    reduced = b"cos\nsystem\n" + one + b"R"
    yield "reduce", b"\x80\x02" + reduced + b"0}."
    # BUILD with (None, {}) is a TypeError to PyTorch's unpickler, and sound to Python's own.
    yield "second-try", b"\x80\x02" + _ORDERED + b")RN}\x86b0" + reduced + b"0}."
    yield "inst", b"(" + command + b"ios\nsystem\n0}."
    yield "obj", b"(cos\nsystem\n" + command + b"o0}."
    yield "stack-global", b"\x80\x04\x8c\x02os\x8c\x06system\x93" + one + b"R0}."
    yield "dotted", b"\x80\x04\x8c\x02os\x8c\x0bpath.os.system\x93" + one + b"R0}."
    yield (
        "new",
        b"\x80\x02csubprocess\nPopen\n(" + text("touch") + text(str(mark)) + b"l\x85\x810}.",
    )
    shell = b"}" + text("shell") + b"\x88s"
    yield "new-ex", b"\x80\x04csubprocess\nPopen\n" + one + shell + b"\x920}."
    yield "exec", b"\x80\x02cbuiltins\nexec\n" + python + b"\x85R0}."
    yield "eval-2", b"\x80\x02c__builtin__\neval\n" + python + b"\x85R0}."
    yield "getattr", b"\x80\x02cbuiltins\ngetattr\ncos\nsystem\n" + text("x") + b"\x86R0}."
    yield "import", b"\x80\x02cbuiltins\n__import__\n" + text("antigravity") + b"\x85R0}."
    yield "path", b"\x80\x02cpathlib\nPath\n" + text(str(mark)) + b"\x85R0}."
    yield "load", b"\x80\x02ctorch\nload\n" + text(str(mark)) + b"\x85R0}."
    inner = b"\x80\x02" + reduced + b"."
    inside = b"C" + bytes([len(inner)]) + inner
    yield "load-bytes", b"\x80\x03ctorch.storage\n_load_from_bytes\n" + inside + b"\x85R0}."
    yield "loads", b"\x80\x03c_pickle\nloads\n" + inside + b"\x85R0}."
    yield "hub", b"\x80\x02ctorch.hub\nload\n" + text("x/y") + text("z") + b"\x86R0}."
    yield "script", b"\x80\x02ctorch.jit\nload\n" + text(str(mark)) + b"\x85R0}."
    yield (
        "import-name",
        b"\x80\x02ctorch._utils\n_import_dotted_name\n" + text("os.x") + b"\x85R0}.",
    )
    yield "array", b"\x80\x02cnumpy\nload\n" + text(str(mark)) + N_TRUE + b"\x87R0}."
    yield "extension", b"\x80\x02\x82\x01" + one + b"R0}."
    yield "reference", b"\x80\x02" + reduced + b"Q0}."
    yield "text-reference", b"Pos.system\n0}."
    yield "nested-reference", weights(tensor(storage(count=reduced)))
    yield "storage-type", weights(tensor(storage(kind=b"cos\nsystem\n")))
    nested = b"ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nctorch\nTensor\n" + one
    yield "type-of-call", b"\x80\x02" + nested + b"NtR0}."
    state = b"}" + text("__setstate__") + b"cos\nsystem\n" + b"s"
    yield "build", b"\x80\x02ctorch.nn.parameter\nParameter\n)R" + state + b"b" + command + b"b0}."
    yield "module-state", b"\x80\x02c__torch__\nM\n)\x81" + reduced + b"b0}."
    yield "module", b"\x80\x02c__torch__.os\nsystem\n" + one + b"\x81" + one + b"b0}."
    yield "codec", b"\x80\x02c_codecs\nencode\n" + text("x") + text("zip") + b"\x86R0}."


N_TRUE = b"N\x88"


def greedy() -> Iterator[tuple[str, bytes]]:
    """Yield pickles that would take more memory or time than they have bytes, or are none."""
    yield "memo", b"\x80\x02}r" + struct.pack("<I", (1 << 32) - 1) + b"."
    yield "endless-bytes", b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b"."
    yield "endless-text", b"\x80\x04\x8d" + struct.pack("<Q", 1 << 40) + b"."
    yield "endless-number", b"\x80\x02\x8b" + struct.pack("<i", 1 << 30) + b"."
    yield "digits", b"L" + b"9" * 1_000_000 + b"L\n."
    yield "lists", b"\x80\x02" + b"]" * 600_000 + b"."
    yield "deep-key", b"\x80\x02})" + b"\x85" * 150_000 + b"Ns."
    yield "deep-list", b"\x80\x02" + b"(" * 50_000 + b"l" * 50_000 + b"."
    yield "zeros", b"\x80\x02cbuiltins\nbytearray\n" + number(1 << 40) + b"\x85R."
    yield "itself", b"\x80\x02}q\x00" + text("w") + b"h\x00s."
    yield "storage", weights(tensor(storage(count=number(1 << 40)), size=number(1 << 40)))
    yield "repeated", weights(tensor(storage(), size=number(1 << 40), stride=number(0)))
    yield "beyond", weights(tensor(storage(), offset=number(1 << 20)))
    yield "before", weights(tensor(storage(), offset=b"J\xff\xff\xff\xff"))
    yield "backwards", weights(tensor(storage(), size=number(3), stride=b"J\xff\xff\xff\xff"))
    yield "less-than-none", weights(tensor(storage(), size=b"J\xff\xff\xff\xff"))
    yield "nan", weights(tensor(storage(count=b"G\x7f\xf8\0\0\0\0\0\0")))
    yield "nan-size", weights(tensor(storage(), size=b"G\x7f\xf8\0\0\0\0\0\0"))
    yield "overflow", weights(tensor(storage(), size=number(1 << 62), stride=number(1 << 62)))
    yield (
        "two-kinds",
        weights(tensor(storage()) + b"0" + tensor(storage(kind=b"ctorch\nByteStorage\n"))),
    )
    yield "shape", b"\x80\x02ctorch\nSize\n(" + number(1 << 62) * 1000 + b"t\x85R."
    yield "underflow", b"\x80\x02R."
    yield "no-memo", b"\x80\x02h\x07."
    yield "no-mark", b"\x80\x02t."
    yield "mark-as-value", b"\x80\x02}((us."
    yield "not-a-list", b"\x80\x02K\x01K\x02a."
    yield "not-a-dict", b"\x80\x02]K\x01K\x02s."
    yield "no-stop", b"\x80\x02}"
    yield "nothing", b""


def odd_archives() -> Iterator[tuple[str, bytes]]:
    """Yield archives whose records are not what they seem."""
    sound = weights(tensor(storage()))
    bomb = {"archive/data/0": bytes(1 << 25)}
    claims = weights(tensor(storage(count=number(1 << 23)), size=number(1 << 23)))
    yield "deflated-storage", archive(claims, bomb, zipfile.ZIP_DEFLATED)
    yield "deflated-pickle", archive(b"\x80\x02" + b"]" * (1 << 24), None, zipfile.ZIP_DEFLATED)
    whole = archive(sound)
    at = whole.rindex(b"PK\1\2", 0, whole.rindex(b"data/0"))
    huge = struct.pack("<II", (1 << 32) - 2, (1 << 32) - 2)
    yield "claimed-sizes", whole[: at + 20] + huge + whole[at + 28 :]
    yield "encrypted", whole[: at + 8] + b"\1\0" + whole[at + 10 :]
    outside = {"archive/data/0": bytes(4), "../../outside": b"x", "/etc/outside": b"x", "a\0b": b""}
    yield "names-outside", archive(b"\x80\x02cos\nsystem\n.", outside)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of two records under one name
        twice = {"archive/data.pkl": b"\x80\x02cos\nsystem\nX\1\0\0\0x\x85R."}
        yield "two-pickles", archive(sound, twice)
    yield "no-pickle", archive(sound).replace(b"data.pkl", b"data.pkx")
    yield "no-records", b"PK\5\6" + bytes(18)
    yield "of-nothing", b"PK\3\4"
    for part in (1, 2, 3):
        yield f"cut-{part}", whole[: len(whole) * part // 4]
    middle = whole.index(b"data/0") + 6
    yield "flipped", whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    many = io.BytesIO()
    with zipfile.ZipFile(many, "w") as made:
        made.writestr("archive/data/0", bytes(1 << 20))
        first = made.infolist()[0]
        for copy in range(1, 500):  # of the same bytes
            info = zipfile.ZipInfo(f"archive/data/{copy}")
            info.file_size = info.compress_size = first.file_size
            info.CRC, info.header_offset = first.CRC, first.header_offset
            made.filelist.append(info)
            made.NameToInfo[info.filename] = info
        made.writestr("archive/data.pkl", sound)
    yield "overlapping", many.getvalue()


def odd_safetensors() -> Iterator[tuple[str, bytes]]:
    """Yield files that claim to be safetensors."""

    def made(header: object, size: int | None = None, content: bytes = bytes(4)) -> bytes:
        head = header if isinstance(header, bytes) else json.dumps(header).encode()
        return struct.pack("<Q", len(head) if size is None else size) + head + content

    one = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    yield "endless-header", made({"w": one}, size=(1 << 63) - 1)
    yield "long-header", made({"w": one}, size=99_000_000)
    yield "deep-header", made(b'{"w":' + b"[" * 100_000)
    yield "huge-shape", made({"w": {**one, "shape": [1 << 40, 1 << 40]}})
    yield "beyond", made({"w": {**one, "data_offsets": [0, 1 << 40]}})
    yield "backwards", made({"w": {**one, "data_offsets": [4, 0]}})
    yield "odd-type", made({"w": {**one, "dtype": "O"}})
    yield "not-an-object", made([1])
    yield "nan", made(b'{"w":{"dtype":"F32","shape":[NaN],"data_offsets":[0,4]}}')
    yield "a-pickle", b"\x80\x02cos\nsystem\nX\1\0\0\0x\x85R."
    yield "nothing", b""


class _Runs(nn.Module):
    """A module whose TorchScript runs code when it is loaded by torch.jit."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.training = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight

    @torch.jit.export
    def __getstate__(self) -> tuple[torch.Tensor, bool]:
        return (self.weight, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, bool]) -> None:
        self.weight = state[0]
        self.training = state[1]
        assert bool(self.weight.sum() < 0), "this code was run"


def scripts() -> Iterator[tuple[str, bytes]]:
    """Yield archives of TorchScript whose code would run as they are loaded."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated, and still what many files are
        torch.jit.save(torch.jit.script(_Runs()), buffer)
    yield "setstate", buffer.getvalue()
    yield "setstate-cut", buffer.getvalue()[:-300]


def crafted(mark: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the bytes of every crafted checkpoint.

    Args:
        mark: the file that code of theirs would make.
    """
    for container, pack in CONTAINERS.items():
        for name, content in calls(mark):
            yield f"{container}-{name}.pt", pack(content)
    for name, content in greedy():
        for container in ("zip", "older"):
            yield f"{container}-{name}.bin", CONTAINERS[container](content)
    for name, content in odd_archives():
        yield f"archive-{name}.pt", content
    for name, content in odd_safetensors():
        yield f"{name}.safetensors", content
    for name, content in scripts():
        yield f"script-{name}.pt", content
