"""Files of tensors: nothing in them is run, and what can't be read now is no damage.

Read here, by no reader of PyTorch's: archives and pickles that ``torch.save`` wrote, in its present
and in its older form, archives of TorchScript for the tensors in them, and safetensors.
"""

from __future__ import annotations

import errno
import io
import json
import struct
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

import torch
from torch import Tensor

from clipbench.files import sums
from clipbench.files.foreign import opened_regular
from clipbench.system.disk import unreadable
from clipbench.tensors.pickles import MOST_BYTES, Foreign, Module, Stored, TensorPickle
from clipbench.text.visible import escaped

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # of PyTorch's older form
_CHUNK = 1 << 20
_MOST_HEADER = 1 << 24  # bytes, of safetensors: names and sizes
_MOST_RECORDS = 1 << 18  # of an archive
_OF_OPENAI = frozenset({"input_resolution", "context_length", "vocab_size"})  # numbers, no weights


class NotTensors(Exception):
    """A file that was read to its end, or as far as it goes, and holds no tensors as it should.

    Each caller says it in its own words, for what to do depends on who wrote the file.

    Args:
        reason: why.
        objects: what it holds that would run code if it were unpickled, by name; empty: nothing.
    """

    def __init__(self, reason: str, objects: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.objects = objects


def read_tensors(path: Path, *, own: bool = False) -> object:
    """Return the tensors of a safetensors or PyTorch file, in the containers they are saved in.

    Of an archive of TorchScript these are its tensors by name, and nothing of its code is run.
    Memory is taken for what the file holds, whatever it claims. Checksums are looked at, if any.

    Args:
        path: the file; one whose name ends in ``.safetensors`` is that.
        own: whether clipbench wrote it, so that it may hold long lists.

    Raises:
        ClipbenchError: it can't be read now, be it for want of permission, of memory, or of a disk
            that answers. Nothing is known of what it holds.
        NotTensors: it is damaged, is something else, or holds objects whose code would run.
    """
    try:
        with opened_regular(path) as file:
            if path.suffix == ".safetensors":
                return _safetensors(path, file)
            most = 1 << 40 if own else MOST_BYTES
            if file.peek(4)[:4] == b"PK\3\4":
                return _Archive(file).read(most)
            return _Older(file).read(most)
    except Foreign as error:
        raise NotTensors(str(error), error.names) from error
    except Exception as error:  # a damaged file fails in any way
        if _says_nothing(error):
            raise unreadable(path, error) from error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise NotTensors(reason) from error


def _safetensors(path: Path, file: IO[bytes]) -> dict[str, Tensor]:
    from safetensors.torch import load, load_file  # noqa: PLC0415 - needed here alone

    (size,) = struct.unpack("<Q", file.read(8))
    if size > _MOST_HEADER:
        raise ValueError(f"its header would have {size:,} bytes")
    file.seek(0)
    if not sums.is_sound_weights(file):
        raise ValueError("its checksum does not fit")
    # Its reader maps files whose names are text; any other is read into memory.
    is_text = escaped(str(path)) == str(path)
    return load_file(path) if is_text else load(path.read_bytes())


def is_cut_off(path: Path) -> bool:
    """Tell, from a few bytes of it, whether a safetensors or ZIP file does not reach to its end.

    Raises:
        ClipbenchError: it can't be read now.
    """
    try:
        with opened_regular(path) as file:
            if path.suffix != ".safetensors":
                return not zipfile.is_zipfile(file)
            head = file.read(8)
            size = int.from_bytes(head, "little")
            if len(head) < 8 or size > _MOST_HEADER:
                return True
            listed = json.loads(file.read(size))
            ends = [item["data_offsets"][1] for key, item in listed.items() if key[:2] != "__"]
            return bool(file.seek(0, io.SEEK_END) != 8 + size + max(ends, default=0))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        return True
    except OSError as error:
        raise unreadable(path, error) from error


class _Archive:
    """A ZIP archive as ``torch.save`` and ``torch.jit.save`` write it: records without compression.

    Args:
        file: the open file.
    """

    def __init__(self, file: IO[bytes]) -> None:
        total = file.seek(0, io.SEEK_END)
        self._archive = zipfile.ZipFile(file)
        listed = self._archive.infolist()
        plain = [record for record in listed if record.compress_type == zipfile.ZIP_STORED]
        claimed = sum(record.file_size for record in plain)
        if len(listed) > _MOST_RECORDS or claimed > total:
            raise ValueError("its records would have more bytes than the file")
        self._folder = PurePosixPath(listed[0].filename).parts[0] if listed else ""
        self._records = {record.filename: record for record in listed}
        for record in listed:  # as `torch.serialization.set_crc32_options(False)` leaves them
            if not record.CRC:
                del record.CRC  # which is then not looked at
        self._stored: dict[str, Stored] = {}

    def read(self, most: int) -> object:
        """Return what the archive holds; tensors by name where it is one of TorchScript."""
        order = self._record("byteorder")
        if order is not None and self._archive.read(order).decode() != sys.byteorder:
            raise ValueError("it was written by a machine of another byte order")
        is_scripted = self._record("constants.pkl") is not None
        machine = TensorPickle(self._storage, scripted=is_scripted, most=most)
        record = self._record("data.pkl")
        if record is None:
            raise ValueError("it is no archive of PyTorch")
        with self._archive.open(record) as file:
            value = machine.read(file)
        return dict(_weights(value)) if is_scripted else value

    def _record(self, name: str) -> zipfile.ZipInfo | None:
        """Return a record that has its bytes in the file; of compressed ones few may be many."""
        record = self._records.get(f"{self._folder}/{name}")
        if record is not None and record.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"its record {name[:100]!r} is compressed")
        return record

    def _storage(self, key: str, dtype: torch.dtype, count: int) -> Stored:
        if key not in self._stored:
            record = self._record(f"data/{key}")
            size = count * dtype.itemsize
            if record is None or record.file_size != size:
                raise ValueError(
                    f"its storage {key[:100]!r} has not the {size} bytes that it should"
                )
            with self._archive.open(record) as file:
                self._stored[key] = Stored(_filled(file, size), dtype)
        found = self._stored[key]
        if found.dtype != dtype or len(found.elements) != count * dtype.itemsize:
            raise ValueError(f"its storage {key[:100]!r} is of two kinds at once")
        return found


class _Older:
    """Pickles, and behind them the elements, as ``torch.save`` wrote before its version 1.6.

    Args:
        file: the open file.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._left = file.seek(0, io.SEEK_END)
        file.seek(0)
        self._file = file
        self._stored: dict[str, Stored] = {}

    def read(self, most: int) -> object:
        """Return what the file holds."""
        machine = TensorPickle(self._storage, most=min(most, self._left))
        if machine.read(self._file) != _MAGIC or machine.read(self._file) != _PROTOCOL:
            raise ValueError("it is no file of PyTorch")
        system = machine.read(self._file)
        if not isinstance(system, dict) or system.get("little_endian") is not (
            sys.byteorder == "little"
        ):
            raise ValueError("it was written by a machine of another byte order")
        value = machine.read(self._file)
        keys = machine.read(self._file)
        if not isinstance(keys, list) or set(map(str, keys)) != set(self._stored):
            raise ValueError("it has other storages than its tensors name")
        for key in map(str, keys):
            stored = self._stored[key]
            (count,) = struct.unpack(
                "<q" if sys.byteorder == "little" else ">q", self._file.read(8)
            )
            if count * stored.dtype.itemsize != len(stored.elements):
                raise ValueError(f"its storage {key[:100]!r} has not the size that it should")
            _fill(stored.elements, self._file)
        return value

    def _storage(self, key: str, dtype: torch.dtype, count: int) -> Stored:
        if key not in self._stored:
            self._left -= count * dtype.itemsize
            if self._left < 0:
                raise ValueError("its storages would have more bytes than the file")
            elements = torch.empty(count * dtype.itemsize, dtype=torch.uint8)
            self._stored[key] = Stored(elements, dtype)
        found = self._stored[key]
        if found.dtype != dtype or len(found.elements) != count * dtype.itemsize:
            raise ValueError(f"its storage {key[:100]!r} is of two kinds at once")
        return found


def _filled(file: IO[bytes], size: int) -> Tensor:
    elements = torch.empty(size, dtype=torch.uint8)
    _fill(elements, file)
    return elements


def _fill(elements: Tensor, file: IO[bytes]) -> None:
    """Read the bytes of a tensor; reading to the end checks the sum that an archive has of them."""
    place = memoryview(cast("Any", elements.numpy()))
    at = 0
    while at < len(place):
        block = file.read(min(_CHUNK, len(place) - at))
        if not block:
            raise ValueError("it is cut off")
        place[at : at + len(block)] = block
        at += len(block)


def _weights(value: object) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of an object of TorchScript by their dotted names.

    Raises:
        TypeError, ValueError: it is none, or a part of it is in two places.
    """
    if not isinstance(value, Module):
        raise TypeError("it holds no model")
    waiting, seen = [("", value)], {id(value)}
    while waiting:
        prefix, module = waiting.pop()
        for name, item in module.attributes.items():
            if isinstance(item, Tensor) and f"{prefix}{name}" not in _OF_OPENAI:
                yield f"{prefix}{name}", item
            elif isinstance(item, Module) and len(prefix) < 1000:
                if id(item) in seen:
                    raise ValueError(f"its object {name!r} is in two places")
                seen.add(id(item))
                waiting.append((f"{prefix}{name}.", item))


def _says_nothing(error: Exception) -> bool:
    """Return whether a reader failed for another reason than what it read."""
    if isinstance(error, OSError):
        return error.errno != errno.EINVAL  # a place before the beginning, which the file names
    texts = ("allocate memory", "not enough memory")
    return isinstance(error, MemoryError) or any(text in str(error) for text in texts)
