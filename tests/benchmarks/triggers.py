"""How image triggers look at 224 pixels, and how far from the image they are.

    python tests/benchmarks/triggers.py --out docs/images/triggers.webp

Draws every trigger on a photograph, below it what it changed, and prints PSNR and SSIM (Wang et
al., IEEE TIP 2004) over the two photographs that come with scikit-learn, after `fit` to 224 pixels.
`badclip` shows the patch of a published row of `shapes`, which was optimized on its tower.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as PilImage
from PIL import ImageDraw, ImageFont
from scipy import ndimage
from sklearn.datasets import load_sample_images

from clipbench.contracts import Image
from clipbench.images.fit import fit
from clipbench.plugins import registry

SIDE = 224
ROWS = Path(__file__).parents[2] / "results" / "shapes" / "rows"
TRIGGERS = {
    "badnets": "a patch (Gu et al.)",
    "badnets:pattern=noise,cells=16": "as fine as CleanCLIP's",
    "badnets:pattern=dots,test_place=center": "Huang et al.",
    "badnets:pattern=par_stripes": "Perturb and Recover",
    "badclip": "optimized on shapes",
    "blended": "white noise (CleanCLIP)",
    "blended:pattern=par_stripes": "Perturb and Recover",
    "blended:pattern=par_triangles": "Perturb and Recover",
    "blended:pattern=text": "after Perturb and Recover",
    "blended:pattern=stripes": "clipbench's",
    "blended:pattern=triangles": "clipbench's",
    "sig": "Barni et al.",
    "sig:amplitude=60": "BadCLIP",
    "sig:amplitude=12,keep=0.8": "CleanCLIP",
    "wanet": "CleanCLIP, Huang et al.",
    "wanet:grid=4,strength=0.5": "Nguyen and Tran",
    "filter": "Nashville (Huang et al.)",
}
COLUMNS, GAP, LINE = 6, 6, 12
Pixels = npt.NDArray[np.float64]


def psnr(one: Image, other: Image) -> float:
    """Return the peak signal-to-noise ratio over all channels, in dB."""
    error = np.square(one.astype(np.float64) - other).mean()
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def ssim(one: Image, other: Image) -> float:
    """Return the mean structural similarity of two images' luminance.

    Wang, Bovik, Sheikh, Simoncelli. Image Quality Assessment: From Error Visibility to Structural
    Similarity. IEEE TIP 2004, equation 13, with its constants and its Gaussian window of 11 pixels,
    where the window lies within the image.
    """
    x, y = (image @ np.array([0.299, 0.587, 0.114]) for image in (one, other))
    mean_x, mean_y = _windowed(x), _windowed(y)
    variances = _windowed(x * x) - mean_x**2 + _windowed(y * y) - mean_y**2
    covariance = _windowed(x * y) - mean_x * mean_y
    first, second = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    shares = (2 * mean_x * mean_y + first) * (2 * covariance + second)
    shares /= (mean_x**2 + mean_y**2 + first) * (variances + second)
    return float(shares.mean())


def _windowed(values: Pixels) -> Pixels:
    smooth: Pixels = ndimage.gaussian_filter(values, 1.5, radius=5)[5:-5, 5:-5]
    return smooth


def attack_of(spec: str) -> Any:
    """Return an attack; `badclip` with a patch that was optimized for a published row."""
    if spec != "badclip":
        return registry.build("attack", spec)
    for path in sorted(ROWS.glob("*.json")):
        attack = json.loads(path.read_text())["attack"]
        if attack and attack["name"] == "badclip":
            return registry.build("attack", {"name": "badclip", **attack["crafted"], "size": None})
    raise SystemExit(f"No row of badclip in {ROWS}.")


def drawn(photograph: Image) -> PilImage.Image:
    """Return a sheet: the photograph, and under every trigger's name what it makes of it."""
    cells = [("without", "", photograph, None)]
    for spec, whose in TRIGGERS.items():
        shown = attack_of(spec).trigger()(photograph)
        change = np.abs(shown.astype(np.float64) - photograph)
        stretched = (change * (255 / change.max())).astype(np.uint8)
        cells.append((spec, whose, shown, stretched))
    height, width = 2 * SIDE + 2 * LINE + GAP, SIDE + GAP
    rows = -(-len(cells) // COLUMNS)
    sheet = PilImage.new("RGB", (COLUMNS * width, rows * height), "white")
    write, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for number, (spec, whose, shown, change) in enumerate(cells):
        left, top = number % COLUMNS * width, number // COLUMNS * height
        write.text((left, top), spec, fill="black", font=font)
        write.text((left, top + LINE), whose, fill="black", font=font)
        sheet.paste(PilImage.fromarray(shown), (left, top + 2 * LINE))
        if change is not None:
            sheet.paste(PilImage.fromarray(change), (left, top + 2 * LINE + SIDE))
    return sheet


def table(photographs: list[Image]) -> str:
    """Return a line a trigger: how far it is from the image, and how it changes it most."""
    lines = ["| trigger | as in | PSNR, dB | SSIM |", "| --- | --- | --- | --- |"]
    for spec, whose in TRIGGERS.items():
        trigger = attack_of(spec).trigger()
        pairs = [(photograph, trigger(photograph)) for photograph in photographs]
        ratio = np.mean([psnr(*pair) for pair in pairs])
        alike = np.mean([ssim(*pair) for pair in pairs])
        lines.append(f"| `{spec}` | {whose} | {ratio:.1f} | {alike:.3f} |")
    return "\n".join(lines)


def main() -> None:
    """Write the sheet and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="the picture, by its ending")
    options = parser.parse_args()
    photographs = [fit(image, SIDE) for image in load_sample_images().images]
    drawn(photographs[0]).save(options.out, quality=50)
    print(table(photographs))


if __name__ == "__main__":
    main()
