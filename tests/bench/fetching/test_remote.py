"""Shards from elsewhere: fetched once, whole, and only as a person asked for."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from shard_pairs import caption

from clipbench.errors import BadSetting, ClipbenchError, CorruptData, MissingData
from clipbench.fetching import pipes, remote_shard
from clipbench.fetching.remote import fetch, is_remote
from clipbench.files.json_files import sha256_file
from clipbench.shards.reader import ShardSet


@dataclass
class Site:
    """A web server of files in memory, which writes down what it was asked and can break off."""

    files: dict[str, bytes]
    address: str = ""
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)
    break_after: int | None = None  # bytes; once
    tag: str | None = '"one"'

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range")
        self.asked.append((request.path, wanted))
        self.names.append(request.headers.get("Authorization"))
        content = self.files.get(request.path)
        if content is None:
            request.send_error(404)
            return
        start = 0
        if wanted is not None and request.headers.get("If-Range") == self.tag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(content) - start))
        if self.tag is not None:
            request.send_header("ETag", self.tag)
        request.end_headers()
        stop, self.break_after = self.break_after, None
        request.wfile.write(content[start:stop])


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Where shards are fetched to."""
    return tmp_path / "cache"


@pytest.fixture
def site(clean: ShardSet, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """The five shards of the clean set on a web server of this machine."""
    monkeypatch.setattr(remote_shard, "PAUSE_S", 0.001)
    monkeypatch.setenv("no_proxy", "*")
    made = Site({f"/{shard.path.name}": shard.path.read_bytes() for shard in clean.shards})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.answer(self)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield made
        server.shutdown()
        thread.join()


def test_shards_of_a_server_are_a_set(site: Site, clean: ShardSet, cache: Path) -> None:
    """A pattern of URLs gives local shards in its order, with the pairs of the server's."""
    told: list[tuple[str, int, int]] = []
    pattern = f"{site.address}/{{00000..00004}}.tar"
    paths = fetch(pattern, cache, lambda *now: told.append(now))
    assert [path.name for path in paths] == [f"{number:05d}.tar" for number in range(5)]
    assert (told[0], told[-1]) == (("fetching shards", 0, 5), ("fetching shards", 5, 5))
    fetched = ShardSet.open("::".join(map(str, paths)))
    assert fetched.captions() == [caption(number) for number in range(50)]
    assert fetched.hashes() == clean.hashes()


def test_what_is_there_is_not_fetched_again(site: Site, cache: Path) -> None:
    """A second run asks the server for nothing; a shard that was cut since is fetched anew."""
    source = f"{site.address}/00000.tar::{site.address}/00001.tar::{site.address}/00000.tar"
    first = fetch(source, cache)
    assert first[0] == first[2] != first[1]
    assert len(site.asked) == 2
    assert fetch(source, cache) == first
    assert len(site.asked) == 2
    first[1].write_bytes(first[1].read_bytes()[:1000])
    fetch(source, cache)
    assert first[1].read_bytes() == site.files["/00001.tar"]
    assert len(site.asked) == 3


def test_a_broken_download_goes_on_where_it_stopped(site: Site, cache: Path) -> None:
    """After a connection broke, only the rest is asked for, and the whole is right."""
    site.break_after = 3000
    (path,) = fetch(f"{site.address}/00002.tar", cache)
    assert [wanted for _, wanted in site.asked] == [None, "bytes=3000-"]
    assert path.read_bytes() == site.files["/00002.tar"]


@pytest.mark.parametrize("tag", ['"two"', None])
def test_another_version_is_not_put_behind_the_first(
    site: Site, cache: Path, monkeypatch: pytest.MonkeyPatch, tag: str | None
) -> None:
    """If the file changed meanwhile, or the server can't tell, it is fetched from the start."""
    monkeypatch.setattr(remote_shard, "_ATTEMPTS", 1)
    site.break_after = 3000
    with pytest.raises(ClipbenchError, match=r"00003\.tar can't be fetched.*Run the same command"):
        fetch(f"{site.address}/00003.tar", cache)
    assert not list(cache.rglob("*.tar"))
    site.files["/00003.tar"], site.tag = site.files["/00004.tar"], tag
    (path,) = fetch(f"{site.address}/00003.tar", cache)
    assert path.read_bytes() == site.files["/00004.tar"]


def test_a_hash_holds_the_server_to_its_word(site: Site, clean: ShardSet, cache: Path) -> None:
    """``#sha256=`` accepts that file and no other, and leaves nothing of the other."""
    right = f"{site.address}/00000.tar#sha256={sha256_file(clean.shards[0].path)}"
    assert fetch(right, cache)[0].read_bytes() == site.files["/00000.tar"]
    with pytest.raises(CorruptData, match=r"00001\.tar has SHA-256 .* another file"):
        fetch(right.replace("00000.tar", "00001.tar"), cache)
    assert len(list(cache.rglob("*.tar"))) == 1
    with pytest.raises(BadSetting, match="sha256="):
        fetch(f"{site.address}/00001.tar#md5=0", cache)


def test_what_is_no_shard_is_refused(
    site: Site, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing file, a web page in its place, and a file too large are each said in a line."""
    with pytest.raises(MissingData, match=r"00009\.tar can't be fetched: 404"):
        fetch(f"{site.address}/00009.tar", cache)
    site.files["/login.tar"] = b"<!doctype html><title>Sign in</title>" + b" " * 1000
    with pytest.raises(CorruptData, match=r"login\.tar is no tar .*doctype"):
        fetch(f"{site.address}/login.tar", cache)
    monkeypatch.setattr(remote_shard, "MOST_BYTES", 1000)
    with pytest.raises(BadSetting, match=r"more than 1\.0 KB"):
        fetch(f"{site.address}/00001.tar", cache)
    assert not list(cache.rglob("*.tar"))


@pytest.mark.parametrize("source", ["s3://bucket/a.tar", "ftp://host/a.tar", "file:///a.tar"])
def test_other_schemes_are_refused(source: str, cache: Path) -> None:
    """What is neither http nor a command is an error that shows the way."""
    with pytest.raises(BadSetting, match="pipe:aws"):
        fetch(source, cache)


# ------------------------------------------------------------------------ commands


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget afterwards what the test lets be run."""
    monkeypatch.setattr(pipes, "_typed", set())


@pytest.mark.usefixtures("typed")
def test_a_typed_command_gives_shards(clean: ShardSet, cache: Path) -> None:
    """What ``pipe:cat`` writes is the shard; braces stand for several; local paths stay."""
    folder = clean.shards[0].path.parent
    source = f"pipe:cat {folder}/{{00003..00004}}.tar::{folder / '00000.tar'}"
    pipes.allow([source])
    paths = fetch(source, cache)
    opened = ShardSet.open("::".join(map(str, paths)))
    assert opened.captions() == [caption(n) for n in (*range(30, 50), *range(10))]


@pytest.mark.usefixtures("typed")
def test_a_command_nobody_typed_is_not_run(cache: Path, tmp_path: Path) -> None:
    """A command out of a file is refused, also if it resembles one that was typed."""
    trap = tmp_path / "trap"
    pipes.allow([f"pipe:touch {trap} && cat x.tar"])
    with pytest.raises(BadSetting, match="nobody typed"):
        fetch(f"pipe:touch {trap}", cache)
    assert not trap.exists()


@pytest.mark.usefixtures("typed")
@pytest.mark.parametrize(
    ("command", "error", "says"),
    [
        ("cat absent.tar", MissingData, "status 1: cat: absent.tar"),
        ("echo words; exit 3", MissingData, "status 3"),
        ("echo words", CorruptData, "no tar"),
        ("true", CorruptData, "no tar"),
    ],
)
def test_a_command_that_fails_leaves_nothing(
    command: str, error: type[ClipbenchError], says: str, cache: Path
) -> None:
    """A failing command, or one that writes no tar, is an error and no shard."""
    pipes.allow([f"pipe:{command}"])
    with pytest.raises(error, match=says):
        fetch(f"pipe:{command}", cache)
    assert not list(cache.rglob("*.tar"))


def test_a_command_that_ends_early_without_a_word_is_run_again(
    clean: ShardSet, cache: Path, tmp_path: Path
) -> None:
    """Half a tar with status 0 is no shard; the same command then gives the whole one."""
    whole = clean.shards[0].path
    half = tmp_path / "half.tar"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 3])
    source = f"pipe:cat {tmp_path / 'now.tar'}"
    pipes.allow([source])
    (tmp_path / "now.tar").write_bytes(half.read_bytes())
    with pytest.raises(CorruptData, match=r"ended early.*is cut off"):
        fetch(source, cache)
    (tmp_path / "now.tar").write_bytes(whole.read_bytes())
    (path,) = fetch(source, cache)
    assert path.read_bytes() == whole.read_bytes()


def test_half_a_tar_that_was_taken_for_whole_is_fetched_again(site: Site, cache: Path) -> None:
    """As one may lie in a cache from before ends were looked at; and damage is forgotten, too."""
    source = f"{site.address}/00000.tar"
    (path,) = fetch(source, cache)
    half = site.files["/00000.tar"][:5000]
    path.write_bytes(half)
    record = path.with_name("fetched.json")
    record.write_text(json.dumps({"source": source, "bytes": len(half)}))
    assert fetch(source, cache) == [path]
    assert path.read_bytes() == site.files["/00000.tar"]
    damaged = bytearray(path.read_bytes())
    damaged[512 * 3 : 512 * 40] = b"x" * (512 * 37)
    path.write_bytes(damaged)
    with pytest.raises(CorruptData, match="The same command fetches it again"):
        ShardSet.open(path)
    fetch(source, cache)
    assert len(ShardSet.open(path)) == 10


def test_a_name_and_password_go_to_the_server_and_nowhere_else(site: Site, cache: Path) -> None:
    """Neither into the cache nor into messages."""
    address = site.address.replace("http://", "http://me:p%40ss@")
    (path,) = fetch(f"{address}/00000.tar", cache)
    assert site.names == ["Basic " + base64.b64encode(b"me:p@ss").decode()]
    assert "p%40ss" not in path.with_name("fetched.json").read_text()
    with pytest.raises(MissingData, match="404") as caught:
        fetch(f"{address}/none.tar", cache)
    assert "p%40ss" not in str(caught.value)


def test_what_counts_as_remote() -> None:
    """URLs and commands do, also behind local parts; paths and patterns do not."""
    for source in ("https://a/b.tar", "a.tar::pipe:cat b", "s3://a"):
        assert is_remote(source)
    for source in ("a.tar", "/data/{0..9}.tar::b", Path("pipe:"), "pipeline/a.tar"):
        assert not is_remote(source)
