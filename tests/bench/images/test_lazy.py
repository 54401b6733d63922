"""Test images that lie in files, and are decoded when they are looked at."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipbench.errors import CorruptData
from clipbench.images.encoding import decode
from clipbench.images.lazy import read_image

GRAY = np.linspace(0, 65535, 32 * 32).reshape(32, 32).astype(np.uint16)


def test_a_test_image_of_16_bit_gray_is_refused(tmp_path: Path) -> None:
    """Pillow gives it in RGB as white: every model was measured on blank sheets, without a word."""
    deep, plain = tmp_path / "deep.png", tmp_path / "plain.png"
    Image.fromarray(GRAY).save(deep)
    Image.fromarray((GRAY // 257).astype(np.uint8)).save(plain)
    assert decode(deep.read_bytes()).mean() > 250
    with pytest.raises(CorruptData, match=f"{re.escape(str(deep))} has 16-bit gray values, which"):
        read_image(deep)
    assert np.array_equal(read_image(plain)[..., 0], GRAY // 257)
