"""One shard from elsewhere, and how it is fetched: whole, or further from where it broke off."""

from __future__ import annotations

import base64
import hashlib
import http.client
import os
import re
import secrets
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import IO

from clipbench.errors import BadSetting, ClipbenchError, CorruptData, MissingData, Torn
from clipbench.fetching import pipes
from clipbench.files import tar
from clipbench.files.json_files import read_json, sha256_file, write_summed
from clipbench.system.disk import human_bytes, is_full, no_space
from clipbench.system.durable import make_folder, make_once
from clipbench.system.locks import locked_folder
from clipbench.text.locations import has_secret, redacted
from clipbench.text.visible import hashable

MOST_BYTES = 64 * 10**9  # of one shard; img2dataset's have about one GB
_ATTEMPTS = 5
_TIMEOUT_S = 60.0
PAUSE_S = 0.5  # before the second attempt; doubled with each
_BLOCK = 1 << 20
_RECORD = "fetched.json"
_HASH = re.compile(r"sha256=([0-9a-f]{64})")


@dataclass(frozen=True)
class RemoteShard(ABC):
    """One shard from elsewhere, under a name in the cache that is made from where it comes from.

    Args:
        text: where it comes from, as a person wrote it.
    """

    text: str

    @property
    def shown(self) -> str:
        """Where it comes from, as it may be told: without passwords, tokens and commands."""
        return redacted(self.text)

    @property
    def identity(self) -> str:
        """What tells it from other shards in this process."""
        return self.text

    def folder(self, cache: Path) -> Path:
        """Return its folder in the cache.

        Its name is a hash of where the shard comes from; where that holds a password or a command,
        with a key that does not leave the cache, so that nobody can guess it from the name.
        """
        key = _key(cache) if has_secret(self.text) else b""
        return cache / hashlib.sha256(key + hashable(self.text)).hexdigest()[:24]

    @property
    def name(self) -> str:
        """Its file name in that folder."""
        return "shard.tar"

    def path(self, cache: Path) -> Path:
        """Return where it lies once it is fetched."""
        return self.folder(cache) / self.name

    def _record(self, cache: Path) -> Path:
        return self.folder(cache) / _RECORD

    def is_whole(self, cache: Path) -> bool:
        """Whether it was fetched to its end and has the size it had then."""
        path, record = self.path(cache), self._record(cache)
        if not (path.is_file() and record.is_file()):
            return False
        try:
            known = read_json(record)
        except Torn:  # it is fetched again
            return False
        if path.stat().st_size != known.get("bytes"):
            return False
        return known.get("walked") is True or _problem_of(path) is None

    def fetch(self, cache: Path) -> None:
        """Put the shard into the cache, unless another process has."""
        with locked_folder(self.folder(cache)):
            if self.is_whole(cache):
                return
            partial = self.folder(cache) / "partial"
            try:
                self._fill(partial)
            except OSError as error:
                if is_full(error):
                    raise no_space(partial, None) from error
                raise
            digest = sha256_file(partial)
            try:
                self._check(partial, digest)
            except CorruptData:
                partial.unlink()
                raise
            size = partial.stat().st_size
            record = {"source": self.shown, "bytes": size, "sha256": digest, "walked": True}
            partial.replace(self.path(cache))
            write_summed(self._record(cache), record)

    @abstractmethod
    def _fill(self, partial: Path) -> None:
        """Write all of the shard into `partial`, or go on where it ends."""

    def _check(self, partial: Path, digest: str) -> None:
        with partial.open("rb") as file:
            head = file.read(512)
        if len(head) < 512 or head[257:262] != b"ustar":
            start = head[:40].decode("latin-1")
            raise CorruptData(
                f"{self.shown} is no tar (it starts with {start!r} and has"
                f" {human_bytes(partial.stat().st_size)}, SHA-256 {digest[:12]}); check the source."
            )
        problem = _problem_of(partial)
        if problem is not None:
            raise CorruptData(
                f"{self.shown} ended early, though it told of no failure"
                f" ({human_bytes(partial.stat().st_size)}):"
                f" {problem.removeprefix(f'Shard {partial} ')} The same command does so."
            )


def _key(cache: Path) -> bytes:
    """Return the key of a cache that only its owner can read, made if there is none."""
    path = cache / f".key-{os.getuid() if hasattr(os, 'getuid') else 0}"
    if not path.is_file():
        make_folder(cache)
        make_once(path, secrets.token_bytes(32))
    return path.read_bytes()


def _problem_of(path: Path) -> str | None:
    """Return what is wrong with a tar, told from its headers; None if it goes on to its end."""
    try:
        for _ in tar.members(path):
            pass
    except CorruptData as error:
        return str(error)
    return None


def forget(path: Path) -> bool:
    """Have a shard fetched again that was found damaged; False if it was not fetched at all."""
    record = path.with_name(_RECORD)
    if not record.is_file():
        return False
    record.unlink(missing_ok=True)
    return True


class CommandShard(RemoteShard):
    """The output of a shell command that a person typed."""

    def _fill(self, partial: Path) -> None:
        command = self.text[len(pipes.PREFIX) :].strip()
        with partial.open("wb") as file, tempfile.TemporaryFile() as complaints:
            process = subprocess.Popen(  # noqa: S602 - what `pipe:` means; see `pipes`
                command,
                shell=True,
                stdout=subprocess.PIPE,
                stderr=complaints,
                stdin=subprocess.DEVNULL,
            )
            assert process.stdout is not None
            try:
                _copy(process.stdout, file, 0, self.shown)
            except BaseException:
                process.kill()
                raise
            finally:
                process.stdout.close()
                status = process.wait()
            complaints.seek(0)
            said = complaints.read(400).decode(errors="replace").strip().partition("\n")[0]
        if status != 0:
            partial.unlink()
            raise MissingData(f"{self.shown} ended with status {status}: {said or 'no message'}.")


class UrlShard(RemoteShard):
    """A file on a web server."""

    @property
    def _address(self) -> str:
        """The address without the name and password that may stand before the host."""
        parts = urllib.parse.urlsplit(self.text.partition("#")[0])
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

    @property
    def _told(self) -> str:
        """The address in messages."""
        return self.shown.partition("#")[0]

    @property
    def _authorization(self) -> str | None:
        """What tells the server who asks, if the address does."""
        parts = urllib.parse.urlsplit(self.text)
        if parts.username is None:
            return None
        said = f"{parts.username}:{parts.password or ''}"
        return "Basic " + base64.b64encode(urllib.parse.unquote(said).encode()).decode()

    @property
    def name(self) -> str:
        """The name that its address ends in, made safe."""
        last = urllib.parse.urlsplit(self._address).path.rpartition("/")[2]
        safe = re.sub(r"[^\w.-]", "_", urllib.parse.unquote(last)).lstrip(".")
        return safe if safe.endswith(".tar") else f"{safe}.tar"

    def _check(self, partial: Path, digest: str) -> None:
        super()._check(partial, digest)
        wanted = _HASH.fullmatch(self.text.partition("#")[2])
        if wanted is not None and wanted[1] != digest:
            raise CorruptData(
                f"{self._told} has SHA-256 {digest}, not {wanted[1]}; it is another file."
            )

    def _fill(self, partial: Path) -> None:
        if (fragment := self.text.partition("#")[2]) and not _HASH.fullmatch(fragment):
            raise BadSetting(f"{self._told}: behind # can only stand sha256= and 64 hex digits.")
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._download(partial)
            except urllib.error.HTTPError as error:
                error.close()
                if error.code < 500 and error.code not in {408, 416, 429}:
                    raise MissingData(
                        f"{self._told} can't be fetched: {error.code} {error.reason}."
                    ) from error
                if error.code == 416:  # what lies here is no part of the file
                    partial.unlink(missing_ok=True)
                last: Exception = error
            except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
                if is_full(error):
                    raise
                last = error
            else:
                return
            if attempt < _ATTEMPTS:
                time.sleep(min(30.0, PAUSE_S * 2**attempt))
        raise ClipbenchError(
            f"{self._told} can't be fetched, tried {_ATTEMPTS} times ({last}). Run the same"
            " command again; it goes on where it stopped."
        ) from last

    def _download(self, partial: Path) -> None:
        """Fetch what is missing; goes on only within the version of the file it began with."""
        version = partial.with_name("version")
        have = partial.stat().st_size if partial.is_file() else 0
        request = urllib.request.Request(self._address)  # noqa: S310 - http and https alone
        request.add_header("Accept-Encoding", "identity")
        if self._authorization is not None:  # for this host, and none that it redirects to
            request.add_unredirected_header("Authorization", self._authorization)
        if have and version.is_file():
            request.add_header("Range", f"bytes={have}-")
            request.add_header("If-Range", version.read_text(encoding="latin-1"))
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310
            resumes = answer.status == 206
            start = have if resumes else 0
            length = int(answer.headers.get("Content-Length") or 0)
            _check_room(partial, start + length, length, self._told)
            if not resumes:
                _keep_version(version, answer.headers)
            with partial.open("ab" if resumes else "wb") as file:
                _copy(answer, file, start, self._told)
                if length and file.tell() != start + length:
                    raise OSError(f"broke off after {file.tell()} of {start + length} bytes")


def _keep_version(path: Path, headers: Message) -> None:
    """Remember by what a server can tell that the file is still the same: a strong ETag."""
    tag = headers.get("ETag") or ""
    mark = tag if tag and not tag.startswith("W/") else headers.get("Last-Modified") or ""
    if mark:
        path.write_text(mark, encoding="latin-1")
    else:
        path.unlink(missing_ok=True)


def _check_room(partial: Path, size: int, needed: int, what: str) -> None:
    if size > MOST_BYTES:
        raise BadSetting(f"{what} has {human_bytes(size)}, more than {human_bytes(MOST_BYTES)}.")
    if needed > shutil.disk_usage(partial.parent).free:
        raise no_space(partial, needed)


def _copy(source: IO[bytes], file: IO[bytes], start: int, what: str) -> None:
    """Copy to the end, as far as a shard may reach."""
    done = start
    for block in _blocks(source):
        done += len(block)
        if done > MOST_BYTES:
            raise BadSetting(f"{what} gives more than {human_bytes(MOST_BYTES)}; that is no shard.")
        file.write(block)
    file.flush()
    os.fsync(file.fileno())


def _blocks(source: IO[bytes]) -> Iterator[bytes]:
    while block := source.read(_BLOCK):
        yield block
