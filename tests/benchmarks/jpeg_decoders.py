"""Milliseconds that JPEG decoders take for a photograph, on one thread; the best of nine rounds.

    pip install simplejpeg opencv-python-headless imagecodecs
    python tests/benchmarks/jpeg_decoders.py

Decoders that are not installed are left out. Beside each stands the largest difference of a pixel
from what Pillow makes of the same file.
"""

from __future__ import annotations

import importlib
import io
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image
from sklearn.datasets import load_sample_images

Pixels = npt.NDArray[np.uint8]
ROUNDS = 9


def decoders() -> dict[str, Callable[[bytes], Pixels]]:
    """Return the decoders that are installed, by name."""
    found: dict[str, Callable[[bytes], Pixels]] = {
        "Pillow": lambda data: np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    }
    wrapped: dict[str, Callable[..., Callable[[bytes], Pixels]]] = {
        "simplejpeg": lambda module: module.decode_jpeg,
        "cv2": lambda module: (
            lambda data: module.imdecode(np.frombuffer(data, np.uint8), module.IMREAD_COLOR_RGB)
        ),
        "imagecodecs": lambda module: module.jpeg8_decode,
    }
    for name, wrap in wrapped.items():
        try:
            found[name] = wrap(importlib.import_module(name))
        except ImportError:
            print(f"{name} is not installed")
    return found


def photographs(side: int, quality: int) -> list[bytes]:
    """Return scikit-learn's photographs as JPEG files with this shorter side."""
    files = []
    for pixels in load_sample_images().images:
        photo = Image.fromarray(pixels)
        scale = side / min(photo.size)
        size = (round(photo.width * scale), round(photo.height * scale))
        file = io.BytesIO()
        photo.resize(size, Image.Resampling.LANCZOS).save(file, "JPEG", quality=quality)
        files.append(file.getvalue())
    return files


def main() -> None:
    """Print a line for each size and decoder."""
    found = decoders()
    for side, quality in ((224, 90), (256, 95), (500, 95)):
        files = photographs(side, quality)
        for name, decode in found.items():
            times = []
            for _ in range(ROUNDS):
                started = time.perf_counter()
                images = [decode(file) for file in files]
                times.append((time.perf_counter() - started) / len(files) * 1e3)
            wanted = [found["Pillow"](file).astype(int) for file in files]
            pairs = zip(images, wanted, strict=True)
            difference = max(int(np.abs(a - b).max()) for a, b in pairs)
            print(f"{side} px, quality {quality}: {name} {min(times):.2f} ms, off by {difference}")


if __name__ == "__main__":
    main()
