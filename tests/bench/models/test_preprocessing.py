"""Images are prepared for a model as its description says, wherever they enter it."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from photographs import photograph
from PIL import Image as Pil

from clipbench.configuration.identity import Identifier
from clipbench.configuration.places import released
from clipbench.configuration.resolution import resolve
from clipbench.errors import BadInput, BadSetting, CorruptData
from clipbench.files.json_files import sha256_file
from clipbench.images.fit import fit
from clipbench.models import architectures
from clipbench.models.features import image_features
from clipbench.models.openclip import (
    CONFIG_FILE,
    check_weights,
    create_model,
    model_config,
    save_model,
)
from clipbench.models.preprocessing import fitting_of, warn_of_tags
from clipbench.models.weights import WEIGHTS_FILE
from clipbench.parallel.group import Processes
from clipbench.planning.plan import plan
from clipbench.training.encoder import Encoder
from clipbench.training.surrogate import load_surrogate

SIGLIP = {"mean": [0.5] * 3, "std": [0.5] * 3, "resize_mode": "squash"}
DESCRIBED: list[dict[str, object]] = [
    {},
    SIGLIP,
    {"mean": [0, 0, 0], "std": [1, 1, 1], "interpolation": "bilinear"},
    {"resize_mode": "squash", "interpolation": "bilinear"},
    {"resize_mode": "longest", "fill_color": 0},
    {"resize_mode": "longest", "fill_color": 200, "interpolation": "bilinear"},
    {"interpolation": "random", "mean": None, "size": 999, "mode": "RGB", "of_tomorrow": 1},
]
SHAPES = [(32, 32), (33, 90), (90, 33), (61, 400), (400, 61), (20, 20), (7, 19), (31, 32)]


def released_folder(folder: Path, described: object, **more: object) -> Path:
    """Write a small model as somebody released it, with a description that says this."""
    model, _ = create_model("shapes-32", 3)
    config: dict[str, Any] = {**model_config("shapes-32"), **more}
    save_model(model, config, folder)  # type: ignore[arg-type]
    content = {"model_cfg": config, "preprocess_cfg": described}
    (folder / CONFIG_FILE).write_text(json.dumps(content))
    return folder


def photographs() -> list[Any]:
    return [photograph(number, *shape) for number, shape in enumerate(SHAPES)]


def theirs(folder: Path) -> tuple[Any, torch.Tensor]:
    """Return open_clip's own model of a folder, and photographs through its transform."""
    found = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    return found[0].eval(), torch.stack([found[2](Pil.fromarray(one)) for one in photographs()])


@pytest.mark.parametrize("described", DESCRIBED, ids=str)
def test_a_folder_is_evaluated_as_open_clip_evaluates_it(
    described: dict[str, object], tmp_path: Path
) -> None:
    """Photographs of any shape: the same features as under `local-dir:`, to rounding."""
    folder = released_folder(tmp_path, described)
    model, _ = create_model(str(folder), 0, str(folder))
    other, pixels = theirs(folder)
    with torch.no_grad():
        expected = other.encode_image(pixels, normalize=True)
    torch.testing.assert_close(image_features(model, photographs()), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("described", DESCRIBED, ids=str)
def test_squares_and_their_normalization_are_those_of_open_clip(
    described: dict[str, object], tmp_path: Path
) -> None:
    """What training, its scores, released scorers and surrogates take: the same pixels."""
    folder = released_folder(tmp_path, described)
    surrogate = load_surrogate(str(folder), folder)
    _, pixels = theirs(folder)
    squares = np.stack([fitting_of(surrogate.model)(one, 32) for one in photographs()])
    given = torch.from_numpy(squares).permute(0, 3, 1, 2)
    encoder = Encoder(surrogate.model, Processes(), "fp32")
    torch.testing.assert_close(encoder._normalize(given), pixels, atol=1e-6, rtol=0)
    np.testing.assert_array_equal(surrogate.fitted(photographs()[1]), squares[1])
    torch.testing.assert_close(
        surrogate.encode(given / 255), surrogate.image_features(photographs()), atol=1e-6, rtol=0
    )


def test_a_description_in_a_file_of_any_name_is_heeded(tmp_path: Path) -> None:
    """Also one that does not put the model into `model_cfg`."""
    path = tmp_path / "theirs.json"
    path.write_text(json.dumps({**model_config("shapes-32"), "preprocess_cfg": SIGLIP}))
    model, _ = create_model(str(path), 0)
    assert fitting_of(model).resize_mode == "squash"
    assert "preprocess_cfg" not in model_config(str(path))


@pytest.mark.parametrize(
    ("described", "said"),
    [
        ({"mean": 0.5}, "preprocess_cfg.mean must be three finite numbers"),
        ({"mean": [0.5, 0.5]}, "preprocess_cfg.mean must be three finite numbers"),
        ({"mean": [0.5, "0.5", 0.5]}, "preprocess_cfg.mean"),
        ({"std": [0.5, 0, 0.5]}, "preprocess_cfg.std"),
        ({"std": []}, "preprocess_cfg.std must be three finite numbers above 0"),
        ({"interpolation": "nearest"}, "preprocess_cfg.interpolation must be 'bicubic'"),
        ({"resize_mode": "crop"}, "preprocess_cfg.resize_mode must be 'shortest'"),
        ({"fill_color": [1, 2, 3]}, "preprocess_cfg.fill_color must be a whole number"),
        ({"fill_color": 256}, "preprocess_cfg.fill_color must be a whole number"),
        ({"mode": "L"}, "preprocess_cfg.mode must be 'RGB'"),
        ([1], "preprocess_cfg must be an object"),
    ],
)
def test_a_preparation_that_says_nonsense_is_refused_before_work(
    described: object, said: str, tmp_path: Path
) -> None:
    """With the field that is to blame."""
    folder = released_folder(tmp_path, described)
    with pytest.raises(CorruptData, match=re.escape(said)):
        model_config(str(folder))


def test_the_usual_preparation_is_open_clips_own() -> None:
    """Written down here, so that a misspelled name does not wait for open_clip."""
    assert architectures.MEAN == open_clip.OPENAI_DATASET_MEAN
    assert architectures.STD == open_clip.OPENAI_DATASET_STD


@pytest.mark.parametrize("described", DESCRIBED, ids=str)
def test_what_is_saved_says_how_images_are_prepared(
    described: dict[str, object], tmp_path: Path
) -> None:
    """A trained model is evaluated as the one it was made of; the file says no more than it did."""
    model, _ = create_model(str(released_folder(tmp_path / "theirs", described)), 0)
    save_model(model, model_config("shapes-32"), tmp_path / "ours")
    own = open_clip.create_model_and_transforms(f"local-dir:{tmp_path / 'ours'}")[2]
    other = open_clip.create_model_and_transforms(f"local-dir:{tmp_path / 'theirs'}")[2]
    for one in map(Pil.fromarray, photographs()):
        torch.testing.assert_close(own(one), other(one), atol=0, rtol=0)
    written = json.loads((tmp_path / "ours" / CONFIG_FILE).read_text())["preprocess_cfg"]
    if not described:
        assert list(written) == ["mean", "std"]


def test_what_open_clip_knows_of_released_weights_is_saved(tmp_path: Path) -> None:
    """As the guide tells under Released weights: open_clip's model of a tag, into a folder."""
    with_tag = open_clip.create_model("RN50", force_preprocess_cfg=SIGLIP)
    save_model(with_tag, open_clip.get_model_config("RN50"), tmp_path)
    written = json.loads((tmp_path / CONFIG_FILE).read_text())
    assert written["preprocess_cfg"] == SIGLIP
    assert written["model_cfg"] == model_config("RN50") == model_config(str(tmp_path))


def test_a_strip_of_which_nothing_would_be_left_is_one_line(tmp_path: Path) -> None:
    """In evaluation; open_clip's own transform fails with it."""
    model, _ = create_model(str(released_folder(tmp_path, {"resize_mode": "longest"})), 0)
    strip = np.zeros((1, 200, 3), np.uint8)
    with pytest.raises(BadInput, match=r"Test image 0 of shape \(1, 200, 3\)"):
        image_features(model, [strip])
    assert fitting_of(model)(strip, 32).shape == (32, 32, 3)


# ------------------------------------------------------------------ what identifies a run


def content(folder: Path, cache: Path) -> str:
    config = resolve(data="shapes", train={"model": str(folder)})
    known = Identifier(cache).identified(config)
    assert known is not None
    assert known.contents is not None
    return known.contents["train.model"]


def test_folders_that_differ_in_the_preparation_alone_are_different_runs(tmp_path: Path) -> None:
    """And those with the usual one are known by the file alone, as they always were."""
    made = [
        released_folder(tmp_path / str(number), described)
        for number, described in enumerate(DESCRIBED)
    ]
    found = [content(folder, tmp_path / "cache") for folder in made]
    assert len(set(found)) == len(made)
    plain = [sha256_file(folder / CONFIG_FILE) for folder in made]
    assert found[0] == plain[0]
    usual = released_folder(tmp_path / "ours", {"mean": list(architectures.MEAN)})
    assert content(usual, tmp_path / "cache") == sha256_file(usual / CONFIG_FILE)
    # What was measured of these before was measured otherwise, and is not to be taken for it.
    assert found[1] != plain[1]


# ------------------------------------------------------------------ weights and a name


@pytest.fixture(autouse=True)
def anew() -> None:
    """Nothing was told before."""
    warn_of_tags.cache_clear()


def told(model: str) -> list[str]:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        warn_of_tags(model, Path("weights.pt"))
    return [str(one.message) for one in found]


def test_a_name_whose_weights_want_it_otherwise_says_so() -> None:
    """Which weights, what they want, what they get, and what to do; one line."""
    (line,) = told("ViT-L-14")
    assert "laion2b_s32b_b82k: mean 0.5 0.5 0.5, std 0.5 0.5 0.5." in line
    assert "ViT-L-14 takes mean 0.4815" in line
    assert "open_clip_config.json" in line
    assert "\n" not in line
    assert "dfn5b: resize_mode squash" in told("ViT-H-14-quickgelu")[0]


def test_each_tag_of_open_clip_that_wants_it_otherwise_is_named() -> None:
    """Held against open_clip's own transforms of the tags; other names say nothing."""
    usual = open_clip.transform.PreprocessCfg()
    for name in open_clip.list_models():
        expected = set()
        for tag in open_clip.list_pretrained_tags_by_model(name):
            cfg = open_clip.get_pretrained_cfg(name, tag)
            merged = open_clip.transform.merge_preprocess_dict(usual, cfg)
            if open_clip.transform.PreprocessCfg(**merged) != usual:
                expected.add(tag)
        lines = told(name)
        assert len(lines) == bool(expected), name
        assert all(re.search(rf"[ ,;]{re.escape(tag)}[:,]", lines[0]) for tag in expected), name


def test_a_plan_says_so_before_work(tmp_path: Path) -> None:
    """Of the weights that training starts from, and of those that a defense scores with."""
    file = tmp_path / "weights.pt"
    torch.save({}, file)
    base: dict[str, Any] = {"data": "shapes"}
    scorer = f"clipscore:weights={file},model=ViT-L-14,trusted_size=0"
    started = {"train": {"model": "ViT-L-14", "pretrained": str(file)}}
    for config in (resolve(**base, **started), resolve(**base, defense=scorer)):
        assert list(released(config)) == [("ViT-L-14", file)]
        warn_of_tags.cache_clear()
        with pytest.warns(UserWarning, match="laion2b_s32b_b82k"):
            plan(config, tmp_path / "runs", cache=tmp_path / "cache")
        with warnings.catch_warnings():  # once is enough, whatever others do to the filters
            warnings.simplefilter("error")
            check_weights("ViT-L-14", file)
    assert not list(released(resolve(**base)))


def test_weights_in_a_folder_that_says_otherwise_are_refused(tmp_path: Path) -> None:
    """Given with a name, they would be measured with the preparation of the name."""
    folder = released_folder(tmp_path / "theirs", SIGLIP)
    for weights in (folder, folder / WEIGHTS_FILE):
        with pytest.raises(BadSetting, match=r"says that images are prepared with mean 0\.5 0\.5"):
            create_model("shapes-32", 0, str(weights))
    create_model(str(folder), 0, str(folder))
    create_model(f"local-dir:{folder}", 0, str(folder))
    check_weights("shapes-32", released_folder(tmp_path / "same", {}))


def test_weights_of_the_other_activation_are_refused(tmp_path: Path) -> None:
    """They fit, and every number would be wrong."""
    folder = released_folder(tmp_path, {}, quick_gelu=True)
    with pytest.raises(BadSetting, match=r"says quick_gelu true, but the model 'shapes-32' has f"):
        check_weights("shapes-32", folder)


def test_most_models_are_fitted_as_ever(tmp_path: Path) -> None:
    """Squares that are kept by name go on having that name."""
    usual = fitting_of(create_model("shapes-32", 0)[0])
    assert usual == fit
    assert usual.name == ""
    names = {
        fitting_of(create_model(str(released_folder(tmp_path / str(n), one)), 0)[0]).name
        for n, one in enumerate(DESCRIBED)
    }
    assert names == {
        "",
        "-squash-bicubic",
        "-shortest-bilinear",
        "-squash-bilinear",
        "-longest-bicubic-0",
        "-longest-bilinear-200",
    }
