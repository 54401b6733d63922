"""What a person types with a password or a token in it is in no file, and on no screen.

Every command that is handed such a source is run with it, well and badly; then every byte of every
file is looked at, those inside archives and tables, too.
"""

from __future__ import annotations

import base64
import functools
import gzip
import http.server
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from own_set import write_crawl, write_test_set
from tiny_runs import Done, command

SECRETS = {
    "header": "Bearer-hd5fa81c09b2",
    "user": "reader-us77c1e0d4aa",
    "password": "pw93be20ffd1c6",
    "signature": "sg0e51c7a9b8d3f2",
    "variable": "ev4471aa90c3be",
}
TRAIN = ("--model", "shapes-32", "--epochs", "1", "--batch-size", "32", "--warmup", "1")
ATTACK = ("--attack", "badnets", "--poisons", "6")


class Guarded(http.server.SimpleHTTPRequestHandler):
    """A server that wants user, password and signature."""

    def do_GET(self) -> None:
        wanted = base64.b64encode(f"{SECRETS['user']}:{SECRETS['password']}".encode()).decode()
        told = self.headers.get("Authorization", "").removeprefix("Basic ")
        if told != wanted or SECRETS["signature"] not in self.path:
            self.send_error(403)
            return
        super().do_GET()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def server(crawl: Path) -> Iterator[str]:
    """Serve the crawl on this machine; return host and port."""
    handler = functools.partial(Guarded, directory=str(crawl))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that everything is written into."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return two small shards, apart from what commands write."""
    return write_crawl(tmp_path_factory.mktemp("elsewhere") / "crawl", (20, 28))


@pytest.fixture(scope="module")
def evals(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = write_test_set(tmp_path_factory.mktemp("tests") / "held_out", per_class=6)
    return f"clip_benchmark:root={root}"


@pytest.fixture(scope="module")
def sources(crawl: Path, server: str) -> dict[str, str]:
    """Return sources with secrets in them, by kind."""
    login = f"{SECRETS['user']}:{SECRETS['password']}"
    query = f"X-Amz-Signature={SECRETS['signature']}&part=1"
    header = f"Authorization: {SECRETS['header']}"
    return {
        "address": f"http://{login}@{server}/{{00000..00001}}.tar?{query}",
        "command": f"pipe:cat {crawl}/{{00000..00001}}.tar # -H '{header}' $CLIP_TOKEN",
    }


def told(text: str | bytes) -> list[str]:
    """Return the secrets that a text tells, as they are or in another alphabet."""
    content = text.encode(errors="surrogateescape") if isinstance(text, str) else text
    return [name for name, secret in SECRETS.items() if secret.encode() in content]


def contents(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield what a file holds, packed things unpacked."""
    content = path.read_bytes()
    yield path.name, content
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as packed:
            for item in packed.namelist():
                yield f"{path.name}/{item}", packed.read(item)
    elif content[:2] == b"\x1f\x8b":
        yield f"{path.name} unpacked", gzip.decompress(content)
    elif content[:4] == b"PAR1":
        table = pq.read_table(io.BytesIO(content))
        yield f"{path.name} rows", repr((table.to_pylist(), table.schema.metadata)).encode()


def leaks(folder: Path) -> list[tuple[str, list[str]]]:
    """Return which files of a folder, by name or content, tell a secret."""
    found = [(str(path), told(str(path))) for path in folder.rglob("*")]
    for path in folder.rglob("*"):
        if path.is_file():
            found += [(f"{path}: {name}", told(content)) for name, content in contents(path)]
    return [item for item in found if item[1]]


@pytest.fixture(scope="module")
def done(home: Path, sources: dict[str, str], evals: str) -> dict[str, Done]:
    """Run every command that is handed data, one after another, and return what each printed."""
    where = ("--cache", home / "cache")
    board, runs = home / "board", ("--out", home / "runs")
    address = ("--data", f"shards:path={sources['address']}", "--eval", evals)
    by_command = ("--data", f"shards:path={sources['command']}", "--eval", evals)
    grid = home.parent / "elsewhere-grid.yaml"
    lines = {"data": sources["address"], "eval": evals, "attack": "badnets", "poisons": 6}
    lines |= {"defense": "none", "train": {"model": "shapes-32", "epochs": 1, "batch_size": 32}}
    grid.write_text(json.dumps(lines))
    found: dict[str, Done] = {}

    def do(name: str, *words: object) -> None:
        found[name] = command(*words)

    do("plan", "run", *address, *ATTACK, *TRAIN, *where, *runs, "--dry-run", "--json")
    do("run", "run", *address, *ATTACK, *TRAIN, *where, *runs, "--json")
    do("poison", "poison", *by_command, *ATTACK, *where, "--out", home / "poisoned")
    base = ("--base", f"shards:path={sources['command']}", "--eval", evals)
    do("verify", "verify", home / "poisoned", *base, *where, "--json")
    method = ("--method", "dao:scoring_epochs=1", *TRAIN[:2], *TRAIN[4:])
    do("detect", "detect", *by_command[:2], *method, *where, "--out", home / "suspects")
    do(
        "sweep",
        "sweep",
        grid,
        "--allow",
        sources["address"],
        *where,
        "--out",
        home / "swept",
        "--jobs",
        "1",
    )
    do(
        "leaderboard",
        "leaderboard",
        *runs[1:],
        "--write",
        home / "tables",
        "--html",
        home / "p.html",
    )
    results = sorted((home / "runs").glob("*/result.json"))
    do("submit", "submit", *results, "--to", board)
    do("reproduce", "reproduce", results[0], "--data", sources["address"], *where,
       "--out", home / "again")  # fmt: skip
    return found


@pytest.fixture(scope="module", autouse=True)
def variable() -> Iterator[None]:
    """Have a token in the environment, which commands refer to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLIP_TOKEN", SECRETS["variable"])
        yield


def test_every_command_did_its_work(done: dict[str, Done]) -> None:
    """Otherwise there is nothing to look at."""
    assert {name: one.status for name, one in done.items() if one.status} == {}, [
        one.err for one in done.values() if one.status
    ]


def test_no_file_tells_a_secret(done: dict[str, Done], home: Path) -> None:
    """Neither by its name nor in its content, packed or not; nor does the ledger's places."""
    assert done
    suffixes = {path.suffix for path in home.rglob("*") if path.is_file()}
    assert {".json", ".parquet", ".tar", ".npz", ".safetensors", ".html", ".csv"} <= suffixes
    assert leaks(home) == []


def test_no_screen_tells_a_secret(done: dict[str, Done]) -> None:
    """What is said of them is what records hold, and a warning says so."""
    assert [name for name, one in done.items() if told(one.out + one.err)] == []
    assert "may hold a password or a token" in done["run"].err
    assert "(redacted)" in done["poison"].err


WRONG: list[tuple[str, list[str]]] = [
    (
        "no such host",
        ["poison", "--data", "http://{user}:{password}@127.0.0.1:9/0.tar?s={signature}"],
    ),
    ("refused", ["poison", "--data", "http://{user}:other@{server}/00000.tar?s={signature}"]),
    ("not there", ["poison", "--data", "http://{user}:{password}@{server}/9.tar?s={signature}"]),
    ("scheme", ["poison", "--data", "shards:path=s3://bucket/0.tar?X-Amz-Signature={signature}"]),
    ("braces", ["poison", "--data", "http://{user}:{password}@{server}/{{0..1.tar"]),
    ("port", ["poison", "--data", "http://{user}:{password}@{server}x/0.tar"]),
    ("parameter", ["poison", "--data", "shards:path=http://{user}:{password}@h/0.tar,color=red"]),
    ("plugin", ["poison", "--data", "shard:path=http://{user}:{password}@h/0.tar"]),
    ("option", ["run", "--dada", "http://{user}:{password}@h/0.tar"]),
    ("too much", ["run", "http://{user}:{password}@h/0.tar?{signature}"]),
    ("failing", ["poison", "--data", "pipe:false -H {header}"]),
    ("talking", ["poison", "--data", "pipe:sh -c 'echo no {header} >&2; exit 3'"]),
    ("no tar", ["poison", "--data", "pipe:echo {header}"]),
    ("no program", ["poison", "--data", "pipe:nowhere-to-be-found -H {header}"]),
    ("weights", ["run", "--pretrained", "http://{user}:{password}@h/w.pt"]),
    ("model", ["run", "--model", "hf-hub://{user}:{password}@h/w"]),
    ("base", ["verify", "{made}", "--base", "http://{user}:{password}@{server}/9.tar?{signature}"]),
    ("config", ["run", "--config", "{yaml}"]),
    ("weights of no file", ["evaluate", "--checkpoint", "http://{user}:{password}@h/w.pt"]),
]


@pytest.mark.parametrize("words", [one[1] for one in WRONG], ids=[one[0] for one in WRONG])
def test_no_error_tells_a_secret(
    words: list[str],
    server: str,
    home: Path,
    evals: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """However a source fails, with the traceback, too."""
    if "{made}" in words:
        request.getfixturevalue("done")  # which makes it
    monkeypatch.setattr("clipbench.fetching.remote_shard.PAUSE_S", 0.001)
    yaml = tmp_path / "config.yaml"
    yaml.write_text(f'data: ["http://u:{SECRETS["password"]}@h/0.tar", {{]\n')
    names = {**SECRETS, "server": server, "made": str(home / "poisoned"), "yaml": str(yaml)}
    line = [word.format_map(names) for word in words]
    if line[0] in ("run", "poison") and "--config" not in line:
        line += ["--eval", evals, "--cache", str(tmp_path / "cache"), *ATTACK]
    found = command(*line, "--traceback")
    assert found.status in (1, 2), found
    assert told(found.out + found.err) == [], found.err
    assert leaks(tmp_path / "cache") == []
