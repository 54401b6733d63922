"""Images decoded no larger than needed: as large as asked for, and the same to the eye."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from matplotlib import cbook
from PIL import Image as Pil

from clipbench.errors import CorruptData
from clipbench.images import reduced
from clipbench.images.encoding import encode_jpeg, encode_png
from clipbench.images.reduced import decode_reduced


def photograph() -> Pil.Image:
    with Pil.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)) as file:
        return file.convert("RGB")  # 512 x 600


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_jpeg_is_decoded_no_larger_than_needed(mode: Literal["L", "RGB"]) -> None:
    """Both sides have what was asked for; colors and brightness are those of the whole image."""
    image = photograph()
    small = decode_reduced(encode_jpeg(np.asarray(image), 90), 64, mode)
    assert small.mode == mode
    assert min(small.size) >= 64
    assert max(small.size) < 128
    whole = image.convert(mode).resize((8, 8), Pil.Resampling.BOX)
    part = small.resize((8, 8), Pil.Resampling.BOX)
    assert np.abs(np.asarray(whole, int) - np.asarray(part, int)).max() <= 16


def test_small_and_gray_images_and_other_formats_are_decoded_as_they_are() -> None:
    """None is made larger."""
    image = photograph().resize((40, 30))
    for data in (encode_jpeg(np.asarray(image)), encode_png(np.asarray(image))):
        assert decode_reduced(data, 64, "L").size == (40, 30)
    gray = np.asarray(image.convert("L"))
    assert decode_reduced(encode_png(np.stack([gray] * 3, -1)), 64, "RGB").mode == "RGB"


@pytest.mark.parametrize("cut", [2, 300, 3_000])
def test_what_is_damaged_is_refused(cut: int) -> None:
    """As the decoder of whole images does."""
    data = encode_jpeg(np.asarray(photograph()), 90)
    with pytest.raises(CorruptData):
        decode_reduced(data[:cut], 64, "L")


def test_what_is_too_large_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """By what its header says."""
    monkeypatch.setattr(reduced, "MAX_PIXELS", 1_000)
    with pytest.raises(CorruptData, match="512 x 600 pixels are more than 1000"):
        decode_reduced(encode_jpeg(np.asarray(photograph())), 64, "L")
