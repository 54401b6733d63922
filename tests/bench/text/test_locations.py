"""Where something lies: which parameters say so, what records say instead, and what is redacted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from clipbench.configuration.resolution import resolve
from clipbench.text import locations
from clipbench.text.locations import Location, Model, Weights

HASH = "0123456789abcdef" * 4


@dataclass(frozen=True)
class Plugin:
    """Parameters of every kind."""

    root: Path
    pattern: Location
    several: tuple[Path, ...] = ()
    weights: Weights | None = None
    model: Model = "RN50"
    text: str = "/no/path"
    count: int = 3


def test_types_say_what_is_a_place() -> None:
    """A path, a marked text, or several of them; a plain text is none, whatever stands in it."""
    found = {name: mark.kind for name, mark in locations.location_fields(Plugin).items()}
    assert found == {
        "root": "data",
        "pattern": "data",
        "several": "data",
        "weights": "weights",
        "model": "model",
    }


@pytest.mark.parametrize(
    ("typed", "recorded", "name"),
    [
        ("./crawl/", "./crawl/", "crawl"),
        ("/data/a::/data/b-{0..9}.tar", "/data/a::/data/b-{0..9}.tar", "a::b-{0..9}.tar"),
        ("https://h/x/0.tar", "https://h/x/0.tar", "0.tar"),
        ("https://me:pass@h/0.tar", "https://h/0.tar", "0.tar"),
        ("https://h/0.tar?X-Signature=abc&e=1", "https://h/0.tar?(redacted)", "0.tar"),
        (f"https://h/0.tar#sha256={HASH}", f"https://h/0.tar#sha256={HASH}", "0.tar"),
        ("https://h/0.tar#token=abc", "https://h/0.tar", "0.tar"),
        ("HTTPS://me:p@ss@h/0.tar", "HTTPS://h/0.tar", "0.tar"),
        ("pipe:curl -H 'Authorization: Bearer abc' https://h", "pipe:curl (redacted)", "pipe"),
        ("PIPE:TOKEN=abc curl h", "pipe:... (redacted)", "pipe"),
        ("pipe:", "pipe:... (redacted)", "pipe"),
        ("/data/a::https://me:pass@h/0.tar", "/data/a::https://h/0.tar", "a::0.tar"),
    ],
)
def test_passwords_tokens_and_commands_are_redacted(typed: str, recorded: str, name: str) -> None:
    """What is left is no secret, says of what kind it was, and is redacted but once."""
    assert locations.redacted(typed) == recorded
    assert locations.has_secret(typed) == (typed != recorded)
    assert locations.short(typed) == name
    assert locations.short("x" * 200).endswith("…")


def test_places_hold_in_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths become absolute; addresses, commands and contents stay."""
    monkeypatch.chdir(tmp_path)
    kept = f"https://h/0.tar::pipe:cat x::{locations.by_content(HASH)}::/a"
    assert locations.absolute(f"b::{kept}") == f"{tmp_path}/b::{kept}"
    assert locations.absolute("local-dir:m") == f"local-dir:{tmp_path}/m"


def test_a_record_has_contents_in_the_place_of_paths() -> None:
    """In lists too; fields that a configuration does not have are left alone."""
    content = {"data": {"path": "x"}, "evals": [{"root": "a"}, {"root": ["b", "c"]}], "train": None}
    for field in ("data.path", "evals[1].root", "evals[7].root", "train.pretrained", "no field"):
        locations.put(content, field, locations.by_content(HASH))
    assert content["evals"] == [{"root": "a"}, {"root": [f"sha256:{HASH}"]}]
    assert locations.content_in(locations.get(content, "data.path")) == HASH
    assert locations.content_in(locations.get(content, "evals[1].root")) == HASH
    assert [locations.get(content, field) for field in ("evals[7].root", "x.y", "")] == [None] * 3


def test_the_hash_of_a_run_has_contents_and_not_paths() -> None:
    """Two paths to the same content are one run; without locations nothing is changed."""
    one, two = (resolve(data={"name": "shards", "path": path}) for path in ("a", "/b"))
    assert one.sha256() != two.sha256()
    known = [config.known_by({"data.path": HASH}) for config in (one, two)]
    assert known[0].sha256() == known[1].sha256()
    assert known[0].hashed()["data"]["path"] == f"sha256:{HASH}"
    assert known[0].known_by({"data.path": "f" * 64}).sha256() != known[0].sha256()
    drawn = resolve(data="shapes:size=100")
    assert drawn.known_by({}).sha256() == drawn.sha256()


def test_a_folder_may_have_the_joint_in_its_name(tmp_path: Path) -> None:
    """What is there is one place, alone or among others; what is not is several."""
    folder = tmp_path / "a::b"
    (folder / "set").mkdir(parents=True)
    other = f"{tmp_path}/c.tar"
    assert locations.split(f"{folder}") == [f"{folder}"]
    assert locations.split(f"{folder}/set/{{0..3}}.tar::{other}") == [
        f"{folder}/set/{{0..3}}.tar",
        other,
    ]
    assert locations.split(f"{other}::{folder}/set") == [other, f"{folder}/set"]
    assert locations.split(f"{tmp_path}/a::c") == [f"{tmp_path}/a", "c"]
    assert locations.split(f"{tmp_path}/a::pipe:b") == [f"{tmp_path}/a", "pipe:b"]
    assert locations.split("https://h/a::https://h/b") == ["https://h/a", "https://h/b"]
    assert locations.short(str(folder)) == "a::b"
