"""What the loss of the whole batch costs, which every one of several processes computes.

    python tests/benchmarks/loss_share.py

Operations of a step as torch counts them, on tensors without values: of both towers on a process's
own rows, and of one `clip_loss` on the rows of all. Prints a Markdown table.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from clipbench.models.openclip import open_clip
from clipbench.toolkit.losses import clip_loss

MODELS = ("RN50", "ViT-B-32", "ViT-L-14")
GROUPS = ((8, 512), (8, 1024), (64, 512))  # processes, rows of each
COUNTED = 2


def of_a_pair(name: str) -> tuple[int, int]:
    """Return the operations of both towers, forth and back, on one pair; and D."""
    with torch.device("meta"):
        model = open_clip().create_model(name, force_image_size=224, device="meta")
        images = torch.empty(COUNTED, 3, 224, 224)
        tokens = torch.zeros(COUNTED, 77, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        image, text = model.encode_image(images), model.encode_text(tokens)
        (image.sum() + text.sum()).backward()
    return counter.get_total_flops() // COUNTED, image.shape[1]


def of_a_loss(rows: int, width: int) -> int:
    """Return the operations of `clip_loss`, forth and back."""
    image, text = (torch.empty(rows, width, device="meta", requires_grad=True) for _ in range(2))
    scale: Tensor = torch.empty((), device="meta", requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        clip_loss(image, text, scale).backward()  # type: ignore[no-untyped-call]
    return counter.get_total_flops()


def main() -> None:
    """Print the table."""
    print("| model | " + " | ".join(f"{n} processes of {rows} pairs" for n, rows in GROUPS) + " |")
    print("| --- |" + " --- |" * len(GROUPS))
    for name in MODELS:
        towers, width = of_a_pair(name)
        shares = (of_a_loss(n * rows, width) / (rows * towers) for n, rows in GROUPS)
        print(f"| {name} | " + " | ".join(f"{share:.1%}" for share in shares) + " |")


if __name__ == "__main__":
    main()
