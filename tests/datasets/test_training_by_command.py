"""Every training source by command: from its files to a result, and what is told of wrong ones."""

from __future__ import annotations

import http.server
import io
import json
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import held_out_layouts
import loose_layouts as layouts
import pytest
from commands import Bench, command

from clipbench.fetching import pipes
from clipbench.shards.reader import ShardSet

SMALL = layouts.SMALL
ATTACK = ("--attack", "badnets", "--poisons", 2, "--defense", "clip")


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return an evaluation source with classes and attack targets."""
    root = held_out_layouts.image_folder(tmp_path_factory.mktemp("held-out"))
    return f"torchvision:dataset=ImageFolder,root={root},reserve=1"


# --------------------------------------------------------------------------- forms of shards


def tar_of(path: Path, pairs: Mapping[str, Mapping[str, bytes]]) -> Path:
    """Write a tar of pairs: by key, members by extension."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as file:
        for key, members in pairs.items():
            for extension, data in members.items():
                info = tarfile.TarInfo(f"{key}.{extension}")
                info.size = len(data)
                file.addfile(info, io.BytesIO(data))
    return path


def plain(first: int, count: int = 4) -> dict[str, dict[str, bytes]]:
    """Return pairs of JPEG and text."""
    return {
        f"{n:09d}": {"jpg": layouts.jpeg(n), "txt": f"flower {n}".encode()}
        for n in range(first, first + count)
    }


def joined(root: Path) -> str:
    """Two folders that have shard and keys of the same names."""
    one = tar_of(root / "cc3m" / "00000.tar", plain(0)).parent
    two = tar_of(root / "cc12m" / "00000.tar", plain(0, 5)).parent
    return f"{one}::{two}"


def pattern(root: Path) -> str:
    """Shards by a brace pattern, as CC3M's are named."""
    for number in range(2):
        tar_of(root / f"cc3m-train-{number:04d}.tar", plain(4 * number))
    return f"{root}/cc3m-train-{{0000..0001}}.tar"


def png_and_webp(root: Path) -> str:
    """A set whose images are of three kinds."""
    pairs = plain(0, 2)
    for n, (extension, form) in enumerate((("png", "PNG"), ("webp", "WEBP"), ("png", "PNG")), 2):
        buffer = io.BytesIO()
        layouts.photograph(n).save(buffer, form)
        pairs[f"{n:09d}"] = {extension: buffer.getvalue(), "txt": f"flower {n}".encode()}
    return f"shards:path={tar_of(root / '0.tar', pairs)}"


def in_json(root: Path) -> str:
    """A set whose captions stand in a field of the JSON alone."""
    pairs = {
        f"{n:09d}": {"jpg": layouts.jpeg(n), "json": json.dumps({"long": f"a rose {n}"}).encode()}
        for n in range(5)
    }
    return f"shards:path={tar_of(root / '0.tar', pairs).parent},caption_field=long"


def cc3m_by_address(root: Path) -> str:
    """CC3M's TSV with images that a mapping names."""
    lines = [f"http://example.org/{n}.jpg\t{n % 2}/{n:07d}.jpg" for n in range(layouts.COUNT)]
    spec, mapping = SMALL["cc3m"](root), root / "mapping.tsv"
    mapping.write_text("\n".join(lines) + "\n")
    return f"{spec},mapping={mapping}"


# A form of a source: what makes its files and gives its spec, and how many pairs that has.
FORMS: dict[str, tuple[Callable[[Path], str], int]] = {
    "csv": (SMALL["csv"], 7),
    "coco": (SMALL["coco"], 15),
    "coco, one caption": (lambda root: f"{SMALL['coco'](root)},captions=random", 3),
    "visual_genome, crop": (SMALL["visual_genome"], 6),
    "visual_genome, whole": (lambda root: f"{SMALL['visual_genome'](root)},regions=whole", 6),
    "cc3m, by row": (SMALL["cc3m"], 7),
    "cc3m, by address": (cc3m_by_address, 7),
    "shards, joined": (joined, 9),
    "shards, pattern": (pattern, 8),
    "shards, png and webp": (png_and_webp, 5),
    "shards, caption in JSON": (in_json, 5),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_source_goes_from_its_files_to_a_result(
    form: str, bench: Bench, held_out: str, tmp_path: Path
) -> None:
    """One command poisons, trains and measures; ``data import`` writes the same pairs as shards."""
    make, pairs = FORMS[form]
    spec, name = make(tmp_path), form.partition(",")[0]
    result = bench.run(spec, "--eval", held_out, *ATTACK)
    assert (result["data"]["name"], result["data"]["pairs"]) == (name, pairs)
    assert result["data"]["left_out"] == {}
    assert result["train"]["samples_seen"] == pairs
    assert (result["attack"]["count"], result["exposures"]["min"]) == (2, 1)
    assert result["metrics"]["zeroshot_top1"]["n"] == 3
    assert 0 < result["metrics"]["attack_success"]["n"] < 3
    line = ("data", "import", spec, "--out", tmp_path / "out", "--workers", 0, "--json", "-q")
    done = command(*line)
    assert done.status == 0, done.err
    assert json.loads(done.out)["pairs"] == pairs
    if name == "shards":
        assert len(ShardSet.open(tmp_path / "out")) == pairs
        return
    used = [path for path in bench.cache.glob(f"{name}/*/*.tar") if path.stat().st_size]
    assert (tmp_path / "out" / "00000.tar").read_bytes() in [path.read_bytes() for path in used]


def test_imported_shards_give_the_numbers_of_their_source(
    bench: Bench, held_out: str, tmp_path: Path
) -> None:
    """A run on what ``data import`` wrote measures what a run on the files does."""
    spec = SMALL["csv"](tmp_path)
    assert command("data", "import", spec, "--out", tmp_path / "out", "-q").status == 0
    attack = ("--attack", "targeted:targets=1", "--rate", "20%")
    one, two = (bench.run(data, "--eval", held_out, *attack) for data in (spec, tmp_path / "out"))
    assert one["metrics"] == two["metrics"]
    assert one["attack"]["ledger_sha256"] != two["attack"]["ledger_sha256"]  # it names the source
    assert [one["data"][key] for key in ("pairs", "content_sha256")] == [
        two["data"][key] for key in ("pairs", "content_sha256")
    ]


@pytest.mark.filterwarnings("default:files that .* was imported from have changed")
def test_the_same_command_goes_on_once_files_are_mended(
    bench: Bench, held_out: str, tmp_path: Path
) -> None:
    """An image that was missing or damaged is an error until it is there, and then is no more.

    So it is where none was there, and where one came with the time it had elsewhere.
    """
    spec, images = SMALL["coco"](tmp_path), tmp_path / "train2017"
    last = images / "000000000030.jpg"
    whole = last.read_bytes()
    images.rename(tmp_path / "away")
    images.mkdir()
    (images / "1.jpg").write_bytes(whole)  # another image
    assert "coco has no usable pair" in bench.do(spec, "--eval", held_out, *ATTACK).error
    for path in sorted((tmp_path / "away").iterdir())[:2]:
        path.rename(images / path.name)
    last.write_bytes(whole[:99])
    assert "Of 15 pairs 5 left out" in bench.do(spec, "--eval", held_out, *ATTACK).error
    last.unlink()
    (tmp_path / "away" / last.name).rename(last)
    done = bench.do(spec, "--eval", held_out, *ATTACK)
    assert "have changed; they are imported again" in done.err
    result = done.result
    assert (result["data"]["pairs"], result["data"]["left_out"]) == (15, {})


# --------------------------------------------------------------------------- shards elsewhere


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the address of a web server of this machine with two shards of four pairs each."""
    monkeypatch.setenv("no_proxy", "*")
    pattern(tmp_path / "site")
    (tmp_path / "site" / "page.tar").write_text("<!doctype html><title>Sign in</title>" * 30)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    handler = partial(Handler, directory=str(tmp_path / "site"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget afterwards what the test lets be run."""
    monkeypatch.setattr(pipes, "_typed", set())


def test_a_rate_is_taken_of_what_is_fetched(site: str, bench: Bench, held_out: str) -> None:
    """Pairs at a URL are counted when they are here: a rate needs no count beforehand.

    A dry run fetches nothing and says so; a rate too small is told with the number of pairs, and
    the next command finds them in the cache.
    """
    spec = f"{site}/cc3m-train-{{0000..0001}}.tar"
    attack = ("--eval", held_out, "--attack", "badnets", "--rate")
    done = command(
        *[word for word in bench.line(spec, *attack, "25%", "--dry-run") if word != "--json"]
    )
    assert (done.status, "counted when it is fetched" in done.out) == (0, True)
    assert not (bench.cache / "remote").exists()
    assert "0.001 gives no poisoned pair among 8" in bench.do(spec, *attack, "0.1%").error
    result = bench.run(spec, *attack, "25%")
    assert (result["data"]["pairs"], result["attack"]["count"]) == (8, 2)
    assert (result["attack"]["rate"], result["exposures"]["min"]) == (0.25, 1)


@pytest.mark.usefixtures("typed")
def test_what_a_command_prints_is_trained_on(bench: Bench, held_out: str, tmp_path: Path) -> None:
    """``pipe:`` on the command line is a source like any other, beside local shards, too."""
    one, two = (tar_of(tmp_path / f"{n}.tar", plain(10 * n)) for n in range(2))
    result = bench.run(f"pipe:cat {one}::{two}", "--eval", held_out, *ATTACK)
    assert (result["data"]["name"], result["data"]["pairs"]) == ("shards", 8)
    assert result["exposures"]["min"] == 1


@pytest.mark.usefixtures("typed")
def test_shards_that_cannot_be_fetched_are_one_line(
    site: str, bench: Bench, held_out: str, tmp_path: Path
) -> None:
    """A file that is gone, a page in its place, other schemes, and commands that fail."""
    told = {
        f"{site}/gone.tar": ["gone.tar can't be fetched: 404"],
        f"{site}/page.tar": ["page.tar is no tar", "doctype", "check the source"],
        "s3://bucket/{0..9}.tar": ["http and https", "pipe:aws s3 cp s3://bucket"],
        f"pipe:cat {tmp_path}/gone.tar": ["ended with status 1", "No such file"],
        "pipe:echo words": ["is no tar", "words"],
    }
    for spec, parts in told.items():
        error = bench.do(spec, "--eval", held_out, *ATTACK).error
        assert not [part for part in parts if part not in error], error
    pipes._typed.clear()
    config = tmp_path / "theirs.yaml"
    config.write_text(json.dumps({"data": "pipe:cat theirs.tar"}))
    words = bench.line("", "--eval", held_out, *ATTACK, "--config", config)
    del words[1:3]  # --data
    error = command(*words).error
    assert "theirs.yaml" in error
    assert "--allow 'pipe:cat theirs.tar'" in error


# --------------------------------------------------------------------------- wrong variants


def renamed(folder: Path, suffix: str) -> None:
    """Give all images in a folder another suffix."""
    for path in sorted(folder.rglob("*.jpg")):
        path.rename(path.with_suffix(suffix))


def without(spec: str, path: Path) -> str:
    """Return a spec whose file or folder is not there."""
    path.rename(path.with_name("moved"))
    return spec


def after(spec: str, change: Callable[[], object]) -> str:
    """Return a spec whose files are changed."""
    change()
    return spec


def loose_as_shards(root: Path) -> str:
    """A folder of single files where shards should be."""
    layouts.write_images(root / "images", ["0.jpg", "1.jpg"])
    return str(root / "images")


def lacking(extension: str, count: int) -> Callable[[Path], str]:
    """Return what makes a shard in which the first of four pairs lack a member."""

    def make(root: Path) -> str:
        pairs = plain(0)
        for members in list(pairs.values())[:count]:
            del members[extension]
        return str(tar_of(root / "0.tar", pairs))

    return make


def with_two_suffixes(root: Path) -> str:
    """CC3M with two files for a row."""
    spec = SMALL["cc3m"](root)
    (root / "images" / "3.png").write_bytes(layouts.jpeg(3))
    return spec


def visual_genome_from_above(root: Path) -> str:
    """Visual Genome with the folder above that of its images."""
    (root / "vg").mkdir()
    return f"visual_genome:annotations={layouts.visual_genome(root / 'vg')},images={root}"


def coco_for_visual_genome(root: Path) -> str:
    """COCO's annotations where Visual Genome's should be."""
    return f"visual_genome:annotations={layouts.coco(root)},images={root / 'train2017'}"


def visual_genome_for_coco(root: Path) -> str:
    """Visual Genome's annotations where COCO's should be."""
    return f"coco:annotations={layouts.visual_genome(root)},images={root}"


# A wrong variant: what makes it and gives its spec, and parts of its one line. `{0}` is its folder.
WRONG: dict[str, tuple[Callable[[Path], str], list[str]]] = {
    "csv: no annotation": (
        lambda root: without(SMALL["csv"](root), root / "pairs.csv"),
        ["no file or folder {0}/pairs.csv (csv.path)", "check the path"],
    ),
    "csv: no folder of images": (
        lambda root: f"{SMALL['csv'](root)},images={root}/gone",
        ["no file or folder {0}/gone (", ".images); check the path"],
    ),
    "csv: no images": (
        lambda root: without(SMALL["csv"](root), root / "images"),
        ["7 image missing", "row 1 of pairs.csv", "{0}/images/0.jpg", "Check that it names"],
    ),
    "csv: an image is gone": (
        lambda root: after(SMALL["csv"](root), (root / "images/3.jpg").unlink),
        ["1 image missing", "row 4 of pairs.csv", "{0}/images/3.jpg", "--on-error skip"],
    ),
    "csv: another extension": (
        lambda root: after(SMALL["csv"](root), lambda: renamed(root / "images", ".png")),
        ["7 image missing", "row 1 of pairs.csv", "{0}/images/0.jpg", "Check that it names"],
    ),
    "csv: another separator": (
        lambda root: f"csv:path={layouts.csv_file(root, '|')}",
        ["{0}/pairs.csv has no column 'filepath'", "'filepath|title'", "separator=..."],
    ),
    "coco: no annotation": (
        lambda root: without(SMALL["coco"](root), root / "annotations"),
        ["{0}/annotations/captions_train2017.json (coco.annotations)", "check the path"],
    ),
    "coco: no folder of images": (
        lambda root: without(SMALL["coco"](root), root / "train2017"),
        ["no file or folder {0}/train2017 (coco.images)", "check the path"],
    ),
    "coco: the folder above": (
        lambda root: f"coco:annotations={layouts.coco(root)},images={root}",
        ["folder of images {0} has no image", "annotations, train2017", "name the folder"],
    ),
    "coco: another extension": (
        lambda root: after(SMALL["coco"](root), lambda: renamed(root / "train2017", ".png")),
        ["15 image missing", "annotation 100 of image 9", "{0}/train2017/000000000009.jpg"],
    ),
    "coco: another file": (
        visual_genome_for_coco,
        ["{0}/region_descriptions.json is not COCO's captions", "no list 'annotations'"],
    ),
    "visual_genome: no annotation": (
        lambda root: without(SMALL["visual_genome"](root), root / "region_descriptions.json"),
        ["{0}/region_descriptions.json (visual_genome.annotations)", "check the path"],
    ),
    "visual_genome: no folder of images": (
        lambda root: f"visual_genome:annotations={layouts.visual_genome(root)},images={root}/gone",
        ["no file or folder {0}/gone (", ".images); check the path"],
    ),
    "visual_genome: half of the images": (
        lambda root: without(SMALL["visual_genome"](root), root / "VG_100K_2"),
        ["region 20 of image 2", "image missing", "no 2.jpg in {0}", "--on-error skip"],
    ),
    "visual_genome: another extension": (
        lambda root: after(SMALL["visual_genome"](root), lambda: renamed(root, ".png")),
        ["6 image missing", "region 10 of image 1", "no 1.jpg in {0}", "Check that it names"],
    ),
    "visual_genome: the folder above": (
        visual_genome_from_above,
        ["folder of images (with VG_100K in it) {0} has no image", "vg", "name the folder"],
    ),
    "visual_genome: another file": (
        coco_for_visual_genome,
        ["captions_train2017.json is not Visual Genome's region descriptions"],
    ),
    "cc3m: no annotation": (
        lambda root: without(SMALL["cc3m"](root), root / "Train_GCC-training.tsv"),
        ["no file or folder {0}/Train_GCC-training.tsv (cc3m.path)", "check the path"],
    ),
    "cc3m: no folder of images": (
        lambda root: without(SMALL["cc3m"](root), root / "images"),
        ["no file or folder {0}/images (cc3m.images)", "check the path"],
    ),
    "cc3m: an image is gone": (
        lambda root: after(SMALL["cc3m"](root), (root / "images/1/0000003.jpg").unlink),
        ["row 3 of Train_GCC-training.tsv", "image missing", "http://example.org/3.jpg"],
    ),
    "cc3m: two extensions": (
        with_two_suffixes,
        ["Row 3 has two images in {0}/images", "1/0000003.jpg", "3.png", "remove one"],
    ),
    "cc3m: no mapping": (
        lambda root: f"{SMALL['cc3m'](root)},mapping={root}/gone.tsv",
        ["no file or folder {0}/gone.tsv (cc3m.mapping)", "check the path"],
    ),
    "shards: nothing there": (
        lambda root: f"{root}/{{00000..00001}}.tar",
        ["no shard or folder {0}/00000.tar", "check the path"],
    ),
    "shards: a caption is gone": (
        lacking("txt", 1),
        ["{0}/0.tar has no caption for key 000000000", "--on-error skip"],
    ),
    "shards: an image is gone": (
        lacking("jpg", 1),
        ["{0}/0.tar has no image for key 000000000", "--on-error skip"],
    ),
    "shards: no captions": (
        lacking("txt", 4),
        ["{0}/0.tar holds no pair", "key 000000000 has no caption", "caption_field=..."],
    ),
    "shards: no images": (
        lacking("jpg", 4),
        ["{0}/0.tar holds no pair", "key 000000000 has no image", "give other shards"],
    ),
    "shards: single files": (
        loose_as_shards,
        ["{0}/images holds no shards (*.tar)", "clipbench example paired_files"],
    ),
    "shards: another caption field": (
        lambda root: in_json(root).replace("long", "short"),
        ["key 000000000 in shard {0}/0.tar", "no text 'short'", "caption_field=..."],
    ),
}


@pytest.mark.parametrize("variant", WRONG)
def test_a_wrong_variant_is_one_line(
    variant: str, bench: Bench, held_out: str, tmp_path: Path
) -> None:
    """It says what is wrong, where, and what to do, with status 2, and leaves no result."""
    make, parts = WRONG[variant]
    results = list(bench.runs.glob("*/result.json"))
    error = bench.do(make(tmp_path), "--eval", held_out, *ATTACK).error
    missing = [part.format(tmp_path) for part in parts if part.format(tmp_path) not in error]
    assert not missing, error
    assert list(bench.runs.glob("*/result.json")) == results
