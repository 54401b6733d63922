"""Training pairs in the formats in which they are published, from their files to shards."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import loose_layouts as layouts
import numpy as np
import pytest

from clipbench.errors import BadInput, BadSetting, CorruptData, MissingData
from clipbench.importing.pairs import import_set
from clipbench.plugins import registry
from clipbench.shards import skipped
from clipbench.shards.reader import ShardSet
from clipbench_datasets import _json as streams


def imported(spec: str, folder: Path, **options: Any) -> ShardSet:
    """Import a source in this process."""
    return import_set(registry.build("dataset", spec), folder, name="tiny", workers=0, **options)


def reasons(folder: Path) -> dict[str, int]:
    """Return what was left out of a set, by reason."""
    stats = skipped.read_stats(folder)
    return {} if stats is None else stats.left_out


# --------------------------------------------------------------------------- csv


@pytest.mark.parametrize(
    ("separator", "option"),
    [
        *(("\t", option) for option in ("", ",separator=tab")),
        *((",", option) for option in ("", ",separator=comma", ",separator=,")),
        *((";", option) for option in ("", ",separator=semicolon", ",separator=;")),
    ],
)
def test_csv_gives_each_row_a_pair(tmp_path: Path, separator: str, option: str) -> None:
    """Images are stored byte for byte, captions as they stand between the quotes."""
    path = layouts.csv_file(tmp_path, separator)
    shards = imported(f"csv:path={path}{option}", tmp_path / "out")
    assert shards.captions() == [f'a "flower", number {n}' for n in range(layouts.COUNT)]
    assert [shards.image_bytes(n) for n in range(len(shards))] == [
        layouts.jpeg(n) for n in range(layouts.COUNT)
    ]
    assert shards.metadata(0)["width"] == 40
    assert not (tmp_path / "out" / skipped.NAME).exists()


def test_csv_columns_and_folder_can_be_named(tmp_path: Path) -> None:
    """Other columns, and images in another folder than the CSV."""
    layouts.write_images(tmp_path / "pictures", ["a.jpg"])
    path = tmp_path / "lists" / "pairs.tsv"
    path.parent.mkdir()
    path.write_text("\ufeffid\talt\timage\n7\tone flower\ta.jpg\n", encoding="utf-8")
    keys = "img_key=image,caption_key=alt"
    shards = imported(f"csv:path={path},images={tmp_path / 'pictures'},{keys}", tmp_path / "out")
    assert shards.captions() == ["one flower"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("filepath\ttitle\nimages/0.jpg\n", "row too short"),
        ("filepath\ttitle\n../../secret.jpg\tx\n", "image outside the folder"),
        ("filepath\ttitle\nimages/none.jpg\tx\n", "image missing"),
        ("filepath\ttitle\nimages\tx\n", "image unreadable"),
        ("filepath\ttitle\nimages/0.jpg\tA dog\t a cat and a bird\n", "row too long"),
    ],
)
def test_a_csv_row_that_cannot_be_used_is_named(tmp_path: Path, content: str, reason: str) -> None:
    """One wrong row is the error, or is left out with its number and a reason."""
    path = layouts.csv_file(tmp_path)
    path.write_text(content + "images/1.jpg\tfine\n")
    with pytest.raises(CorruptData, match=f"row 1 of pairs.csv can't be used, {reason}"):
        imported(f"csv:path={path}", tmp_path / "strict", on_error="fail")
    shards = imported(f"csv:path={path}", tmp_path / "out")
    assert (shards.captions(), shards.key(0)) == (["fine"], "000000001")
    assert reasons(tmp_path / "out") == {reason: 1}
    assert skipped.first(tmp_path / "out").name == "row 1 of pairs.csv"


def test_a_csv_row_names_no_file_outside_the_folder_unless_that_is_asked_for(
    tmp_path: Path,
) -> None:
    """Neither by an absolute path nor by a link; one that is spelled as within is within."""
    (tmp_path / "received").mkdir()
    path = layouts.csv_file(tmp_path / "received")
    secret = tmp_path / "private" / "secret.jpg"
    secret.parent.mkdir()
    secret.write_bytes((path.parent / "images" / "0.jpg").read_bytes())
    (path.parent / "images" / "link.jpg").symlink_to(secret)
    (path.parent / "images" / "links").symlink_to(secret.parent)
    (path.parent / "images" / "own.jpg").symlink_to("1.jpg")
    (path.parent / "images" / "zero.jpg").symlink_to("/dev/zero")
    os.mkfifo(path.parent / "images" / "pipe.jpg")
    outside = [str(secret), "images/link.jpg", "images/links/secret.jpg", "../private/secret.jpg"]
    within = ["images/own.jpg", str(path.parent / "images" / "1.jpg")]
    odd = ["images/zero.jpg", "images/pipe.jpg"]
    rows = "".join(f"{name}\tcaption {n}\n" for n, name in enumerate([*outside, *within, *odd]))
    path.write_text(f"filepath\ttitle\n{rows}")
    shards = imported(f"csv:path={path}", tmp_path / "out")
    assert shards.captions() == ["caption 4", "caption 5"]
    found = {"image outside the folder": len(outside) + 1, "image unreadable": 1}
    assert reasons(tmp_path / "out") == found
    assert "outside=true" in skipped.first(tmp_path / "out").detail
    allowed = imported(f"csv:path={path},outside=true", tmp_path / "allowed")
    assert allowed.captions() == [f"caption {number}" for number in range(6)]
    assert reasons(tmp_path / "allowed") == {"image unreadable": 2}


def test_a_caption_of_megabytes_is_left_out(tmp_path: Path) -> None:
    """One endless word would be tokenized for minutes."""
    path = layouts.csv_file(tmp_path)
    path.write_text(f"filepath\ttitle\nimages/0.jpg\t{'a' * 20_000_000}\nimages/1.jpg\tfine\n")
    assert imported(f"csv:path={path},quotes=plain", tmp_path / "out").captions() == ["fine"]
    assert reasons(tmp_path / "out") == {"caption too long": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"path\ttitle\n", "no column 'filepath'; its columns are 'path', 'title'"),
        (b"path,title\nx,y\n", "its columns are 'path', 'title', with a comma as separator"),
        (b"", "its columns are none"),
        (b"filepath\ttitle\n", "lists no pair"),
        (b"filepath\ttitle\na\tb\na\tcaf\xe9\n", "is not UTF-8: line 3 has the byte 0xe9"),
    ],
)
def test_a_file_that_is_no_such_csv_is_refused(
    tmp_path: Path, content: bytes, message: str
) -> None:
    """The error says what is there instead, and nothing is left behind."""
    (tmp_path / "pairs.csv").write_bytes(content)
    with pytest.raises(BadInput, match=message):
        imported(f"csv:path={tmp_path / 'pairs.csv'}", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.csv"]


def test_the_separator_that_was_found_is_said_and_recorded(tmp_path: Path) -> None:
    """The manifest has the character; the same file read with it given is the same set."""
    path = layouts.csv_file(tmp_path, ",")
    found = registry.build("dataset", f"csv:path={path}")
    given = registry.build("dataset", f"csv:path={path},separator=comma")
    assert found.reading() == f"{path} is read with a comma as its separator"
    assert given.reading() == ""
    assert found.identity() == given.identity()
    assert found.identity()["separator"] == ","


@pytest.mark.parametrize("separator", ["\t", ","])
@pytest.mark.parametrize("closing", ["", 'a "good" one', 'he said "hi"', 'of 12"'])
def test_a_caption_that_begins_with_a_quotation_mark_takes_no_other_row(
    tmp_path: Path, separator: str, closing: str
) -> None:
    """That row is named, and left out alone, whether a later row has a mark that ends it or not."""
    path = layouts.csv_file(tmp_path, separator)
    rows = [[f"images/{number}.jpg", f"flower {number}"] for number in range(7)]
    rows[2][1] = '"best friends'
    rows[5][1] = closing or rows[5][1]
    path.write_text("".join(separator.join(row) + "\n" for row in [["filepath", "title"], *rows]))
    with pytest.raises(
        CorruptData, match=r"row 3 of pairs.csv .* in line 4 a quotation mark opens"
    ):
        imported(f"csv:path={path}", tmp_path / "strict", on_error="fail")
    shards = imported(f"csv:path={path}", tmp_path / "out")
    assert shards.captions() == [caption for n, (_, caption) in enumerate(rows) if n != 2]
    assert reasons(tmp_path / "out") == {"wrongly quoted": 1}
    plain = imported(f"csv:path={path},quotes=plain", tmp_path / "plain", on_error="fail")
    assert plain.captions() == [caption for _, caption in rows]


@pytest.mark.parametrize("separator", ["\t", ","])
def test_a_caption_that_begins_with_quoted_words_is_text(tmp_path: Path, separator: str) -> None:
    """It can't be a quoted field; its marks stay, as in no other reader. A row too long is none."""
    path = layouts.csv_file(tmp_path, separator)
    captions = [
        '"Best friends" at the beach',
        "plain",
        f'"whole{separator} and quoted"',
        '"a"" b" c',
    ]
    rows = [f"images/{number}.jpg{separator}{text}" for number, text in enumerate(captions)]
    odd = f'images/4.jpg{separator}"Best friends" at{separator} the beach'
    path.write_text("\n".join([f"filepath{separator}title", *rows, odd, ""]))
    shards = imported(f"csv:path={path}", tmp_path / "out")
    assert shards.captions() == [*captions[:2], f"whole{separator} and quoted", captions[3]]
    assert reasons(tmp_path / "out") == {"wrongly quoted": 1}


def test_a_quoted_caption_may_have_several_lines(tmp_path: Path) -> None:
    """As other readers of CSV take it; the rows are counted as before."""
    path = layouts.csv_file(tmp_path, ",")
    path.write_text('title,filepath\n"one\n\ntwo, three",images/0.jpg\nfour,images/1.jpg\n')
    shards = imported(f"csv:path={path}", tmp_path / "out", on_error="fail")
    assert shards.captions() == ["one\n\ntwo, three", "four"]


# --------------------------------------------------------------------------- coco


@pytest.mark.parametrize(("captions", "count"), [("all", 15), ("first", 3), ("random", 3)])
def test_coco_pairs_images_with_captions(tmp_path: Path, captions: str, count: int) -> None:
    """Each of five captions makes a pair, or one does: that of the lowest id, or one drawn."""
    spec = f"coco:annotations={layouts.coco(tmp_path)},images={tmp_path / 'train2017'}"
    shards = imported(f"{spec},captions={captions}", tmp_path / "out")
    assert len(shards) == registry.build("dataset", f"{spec},captions={captions}").num_pairs()
    assert len(shards) == count
    per_image = count // 3
    for pair in range(count):
        assert shards.image_bytes(pair) == layouts.jpeg(pair // per_image)
    if captions == "all":
        assert sorted(shards.captions(range(5))) == [f"view {view}" for view in range(5)]
    if captions == "first":
        assert set(shards.captions()) == {"view 0"}


def test_the_random_caption_depends_on_seed_and_image_alone(tmp_path: Path) -> None:
    """Another seed draws other captions; another image in the file changes none."""
    path, images = layouts.coco(tmp_path), tmp_path / "train2017"
    spec = f"coco:annotations={path},images={images},captions=random"
    found = {seed: _captions_of(f"{spec},seed={seed}") for seed in range(6)}
    assert len({tuple(captions) for captions in found.values()}) > 1
    content = json.loads(path.read_text())
    del content["images"][0]
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] != 9]
    path.write_text(json.dumps(content))
    assert _captions_of(f"{spec},seed=3") == found[3][1:]


def _captions_of(spec: str) -> list[str | None]:
    return [entry.caption for entry in registry.build("dataset", spec).entries()]


def _without_image(content: dict[str, Any]) -> None:
    del content["images"][1]


def _without_list(content: dict[str, Any]) -> None:
    del content["annotations"]


def _no_objects(content: dict[str, Any]) -> None:
    content["annotations"] = [7, 8]


def test_captions_of_an_image_that_is_not_listed_are_left_out(tmp_path: Path) -> None:
    """They are counted and named by annotation and image."""
    path = layouts.coco(tmp_path)
    content = json.loads(path.read_text())
    _without_image(content)
    path.write_text(json.dumps(content))
    imported(f"coco:annotations={path},images={tmp_path / 'train2017'}", tmp_path / "out")
    assert reasons(tmp_path / "out") == {"image not listed": 5}
    assert skipped.first(tmp_path / "out").name.endswith("of image 25")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without_list, "has no list 'annotations'"),
        (_no_objects, "is not COCO's captions: annotations.item is 7"),
    ],
)
def test_annotations_of_another_form_are_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    """A file that is not COCO's captions is told by what it lacks."""
    path = layouts.coco(tmp_path)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(CorruptData, match=message):
        imported(f"coco:annotations={path},images={tmp_path / 'train2017'}", tmp_path / "out")


@pytest.mark.parametrize("captions", ["all", "first", "random"])
def test_an_annotation_of_coco_that_is_no_caption_is_left_out_alone(
    tmp_path: Path, captions: str
) -> None:
    """Null, a number, missing; without an image or an id; no object at all: each is named."""
    path = layouts.coco(tmp_path)
    content = json.loads(path.read_text())
    listed = content["annotations"]
    listed[0]["caption"], listed[1]["caption"] = None, 3.14
    del listed[2]["caption"]
    listed[3]["image_id"] = None
    listed[4]["id"] = "seven"
    listed.append(None)
    content["images"].insert(1, {"id": 4})
    path.write_text(json.dumps(content))
    spec = f"coco:annotations={path},images={tmp_path / 'train2017'},captions={captions}"
    shards = imported(spec, tmp_path / "out")
    assert len(shards) == {"all": 10}.get(captions, 3)
    assert reasons(tmp_path / "out") == {"caption missing": 3, "annotation damaged": 4}
    names = (tmp_path / "out" / skipped.NAME).read_text()
    for name in ("annotation 3 of the list", "annotation 15 of the list", "image 1 of the list"):
        assert name in names
    with pytest.raises(CorruptData, match=r"annotation \d+ of image \d+ can't be used"):
        imported(spec, tmp_path / "strict", on_error="fail")


def test_annotations_of_python_are_read(tmp_path: Path) -> None:
    """With a byte-order mark, and NaN and Infinity where JSON has no number; texts stay."""
    path = layouts.coco(tmp_path)
    content = json.loads(path.read_text())
    for number, item in enumerate(content["annotations"]):
        item["score"] = [float("nan"), float("inf"), -float("inf")][number % 3]
        item["caption"] = f'the "NaN" \\ of -Infinity {number}' + "\\" * (number % 3)
    content["annotations"][0]["caption"] = float("nan")
    path.write_text(json.dumps(content), encoding="utf-8-sig")
    shards = imported(f"coco:annotations={path},images={tmp_path / 'train2017'}", tmp_path / "out")
    wanted = [item["caption"] for item in content["annotations"][1:]]
    assert sorted(shards.captions()) == sorted(wanted)
    assert reasons(tmp_path / "out") == {"caption missing": 1}


@pytest.mark.parametrize("size", [1, 2, 7, 64, 1000])
def test_no_number_is_seen_however_a_file_is_read(tmp_path: Path, size: int) -> None:
    """Blocks may end within a word, a text or an escape."""
    value = {"a": float("nan"), 'NaN "b\\': [-float("inf"), "Infinity\\\\", {"NaN": float("inf")}]}
    value |= {"long": 10**30, "most": -(10**17), "real": 0.12345678901234567, "1" * 30: "2" * 30}
    (tmp_path / "odd.json").write_text(json.dumps([value] * 20))
    with (tmp_path / "odd.json").open("rb") as file:
        reader = streams._WithoutNone(file)
        text = b"".join(iter(lambda: reader.read(size), b""))
    plain = {"a": None, 'NaN "b\\': [None, "Infinity\\\\", {"NaN": None}]}
    plain |= {name: value[name] for name in value.keys() - plain.keys()} | {"long": None}
    assert json.loads(text) == [plain] * 20


def test_annotations_that_broke_off_are_refused(tmp_path: Path) -> None:
    """Half a download is no annotation file."""
    path = layouts.coco(tmp_path)
    path.write_text(path.read_text()[:-30])
    with pytest.raises(CorruptData, match=r"is no whole JSON file .* fetch it again"):
        imported(f"coco:annotations={path},images={tmp_path / 'train2017'}", tmp_path / "out")


# --------------------------------------------------------------------------- visual genome


def test_a_region_that_is_none_is_left_out_alone(tmp_path: Path) -> None:
    """Without a phrase, a number or a whole place, or in an image without regions."""
    path = layouts.visual_genome(tmp_path)
    content = json.loads(path.read_text())
    content[0]["regions"][0]["phrase"] = None
    content[0]["regions"][1]["x"] = float("nan")
    content[1]["regions"][2] = "petal"
    content += [{"id": 3}, {"regions": []}]
    path.write_text(json.dumps(content))
    shards = imported(f"visual_genome:annotations={path},images={tmp_path}", tmp_path / "out")
    assert len(shards) == 3
    assert reasons(tmp_path / "out") == {"annotation damaged": 5}
    assert skipped.first(tmp_path / "out").name == "region 0 of image 1"


@pytest.mark.parametrize("regions", ["crop", "whole"])
def test_visual_genome_pairs_regions_with_phrases(tmp_path: Path, regions: str) -> None:
    """A phrase goes with the pixels of its region, or with the whole image."""
    spec = f"visual_genome:annotations={layouts.visual_genome(tmp_path)},images={tmp_path}"
    shards = imported(f"{spec},regions={regions}", tmp_path / "out")
    assert shards.captions()[:2] == ["petal 0 of flower 1", "petal 1 of flower 1"]
    assert len(shards) == 6
    if regions == "whole":
        assert shards.image_bytes(4) == layouts.jpeg(1)
        return
    whole = np.asarray(layouts.photograph(0))
    assert layouts.same_pixels(shards.image(1), whole[3:18, 4:24], within=6)
    assert not layouts.same_pixels(shards.image(1), whole[0:15, 0:20], within=6)


def test_regions_beyond_the_image_are_cut_or_left_out(tmp_path: Path) -> None:
    """A region that reaches over the border is cut there; one without pixels is left out."""
    path = layouts.visual_genome(tmp_path)
    content = json.loads(path.read_text())
    content[0]["regions"][0] |= {"x": 30, "y": 20, "width": 500, "height": 500}
    content[0]["regions"][1] |= {"x": 400, "y": 0}
    content[0]["regions"][2] |= {"x": -5, "y": -5}
    path.write_text(json.dumps(content))
    shards = imported(f"visual_genome:annotations={path},images={tmp_path}", tmp_path / "out")
    assert shards.image(0).shape == (10, 10, 3)
    assert shards.image(1).shape == (10, 15, 3)
    assert reasons(tmp_path / "out") == {"region outside the image": 1}


def test_images_of_visual_genome_that_are_not_there_are_left_out(tmp_path: Path) -> None:
    """Without the second folder half of the regions are named."""
    path = layouts.visual_genome(tmp_path)
    shutil.rmtree(tmp_path / "VG_100K_2")
    imported(f"visual_genome:annotations={path},images={tmp_path}", tmp_path / "out")
    assert reasons(tmp_path / "out") == {"image missing": 3}
    assert skipped.first(tmp_path / "out").name == "region 20 of image 2"


# --------------------------------------------------------------------------- cc3m


def test_cc3m_images_are_found_by_row(tmp_path: Path) -> None:
    """A file named by the row's number, in whatever folder, is the row's image."""
    path = layouts.cc3m(tmp_path)
    (tmp_path / "images" / "1" / "0000003.jpg").unlink()
    (tmp_path / "images" / "notes.txt").write_text("no image")
    shards = imported(f"cc3m:path={path},images={tmp_path / 'images'}", tmp_path / "out")
    wanted = [n for n in range(layouts.COUNT) if n != 3]
    assert shards.captions() == [f'a "red" flower {n}' for n in wanted]
    assert [shards.image_bytes(pair) for pair in range(6)] == [layouts.jpeg(n) for n in wanted]
    assert shards.metadata(5)["url"] == "http://example.org/6.jpg"
    assert reasons(tmp_path / "out") == {"image missing": 1}
    assert skipped.first(tmp_path / "out").detail == "no file for http://example.org/3.jpg"


def test_a_line_of_cc3m_that_is_no_row_is_left_out_alone(tmp_path: Path) -> None:
    """Without a tab it is named by its number, which no other row has; marks are text."""
    path = layouts.cc3m(tmp_path)
    lines = path.read_text().splitlines(keepends=True)
    lines[2] = "a flower without an address\n"
    lines[4] = '"a flower that opens a mark\thttp://example.org/4.jpg\n'
    path.write_text("\ufeff" + "".join(lines), encoding="utf-8")
    shards = imported(f"cc3m:path={path},images={tmp_path / 'images'}", tmp_path / "out")
    assert reasons(tmp_path / "out") == {"row too short": 1}
    assert skipped.first(tmp_path / "out").name == f"row 2 of {path.name}"
    assert shards.captions()[0] == 'a "red" flower 0'
    assert '"a flower that opens a mark' in shards.captions()
    assert len(shards) == layouts.COUNT - 1


def test_cc3m_images_are_found_by_address(tmp_path: Path) -> None:
    """A mapping names the file of each address, and none outside the folder."""
    path = layouts.cc3m(tmp_path, count=3)
    layouts.write_images(tmp_path / "images", ["b.jpg", "a.jpg"])
    lines = ["http://example.org/1.jpg\ta.jpg", "http://example.org/0.jpg\tb.jpg"]
    mapping = tmp_path / "mapping.tsv"
    mapping.write_text("\n".join([*lines, "http://example.org/2.jpg\t/etc/passwd"]) + "\n")
    spec = f"cc3m:path={path},images={tmp_path / 'images'},mapping={mapping}"
    shards = imported(spec, tmp_path / "out")
    assert [shards.image_bytes(pair) for pair in range(2)] == [layouts.jpeg(0), layouts.jpeg(1)]
    assert reasons(tmp_path / "out") == {"image outside the folder": 1}


@pytest.mark.parametrize(
    ("files", "lines", "message"),
    [
        (["0.jpg", "a/00.png"], "x\thttp://e.org\n", "Row 0 has two images"),
        (["cat.jpg"], "x\thttp://e.org\n", "named by a row of the TSV"),
        (["0.jpg"], "no tab here\n", "Row 0 of .* has no tab"),
    ],
)
def test_a_wrong_cc3m_is_refused(
    tmp_path: Path, files: list[str], lines: str, message: str
) -> None:
    """Two files for a row, none for any, and lines that are no TSV end in one line."""
    layouts.write_images(tmp_path / "images", files)
    (tmp_path / "train.tsv").write_text(lines)
    with pytest.raises(BadInput, match=message):
        imported(
            f"cc3m:path={tmp_path / 'train.tsv'},images={tmp_path / 'images'}", tmp_path / "out"
        )


# --------------------------------------------------------------------------- all


@pytest.mark.parametrize("name", ["csv", "coco", "visual_genome", "cc3m"])
def test_what_is_not_there_is_named(name: str, tmp_path: Path) -> None:
    """Missing annotations and missing folders of images end in an error that names them."""
    spec = layouts.SMALL[name](tmp_path)
    source = registry.build("dataset", spec)
    file = source.path if name in ("csv", "cc3m") else source.annotations
    file.rename(tmp_path / "elsewhere")
    with pytest.raises(MissingData, match=f"There is no .* {file}; check the path"):
        source.num_pairs()
    (tmp_path / "elsewhere").rename(file)
    gone = registry.build("dataset", {"name": name, **registry.spec_of(source), "images": "gone"})
    with pytest.raises(MissingData, match=r"There is no folder of images .*gone; check the path"):
        gone.num_pairs()


@pytest.mark.parametrize("name", ["csv", "coco", "visual_genome", "cc3m"])
def test_image_size_must_be_a_size(name: str, tmp_path: Path) -> None:
    """An image size of nothing is refused by name."""
    with pytest.raises(BadSetting, match=f"{name}.image_size must be at least 1"):
        registry.build("dataset", f"{layouts.SMALL[name](tmp_path)},image_size=0")


def test_prepare_names_the_set_after_all_that_decides_it(tmp_path: Path) -> None:
    """Other captions in the file, or another size, are another set in the cache."""
    path = layouts.csv_file(tmp_path)
    folders = [registry.build("dataset", f"csv:path={path}").prepare(tmp_path / "cache")]
    folders.append(
        registry.build("dataset", f"csv:path={path},image_size=16").prepare(tmp_path / "cache")
    )
    path.write_text(path.read_text().replace("number 0", "number nought"))
    folders.append(registry.build("dataset", f"csv:path={path}").prepare(tmp_path / "cache"))
    assert len(set(folders)) == 3
    assert ShardSet.open(folders[1]).image(0).shape == (16, 21, 3)
    assert ShardSet.open(folders[2]).caption(0) == 'a "flower", number nought'
