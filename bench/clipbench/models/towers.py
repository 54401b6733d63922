"""A small convolutional image tower for 32-pixel images, registered with timm.

open_clip's own towers shrink a 32-pixel image to 8 x 8 or less before they look at it closely. This
one looks at 5 x 5 pixels first, where an edge shows its direction, spends its work at 8 x 8, where
processors without wide vectors are still fast, and takes the maximum over places, so that a shape
counts wherever it is. It learns the embedded data set on two CPU cores in a few minutes. It is made
for that, and for tests; larger images want open_clip's towers.
"""

from __future__ import annotations

from typing import Any

from timm.models import register_model
from torch import Tensor, nn

LAYERS = (
    (32, 5, 2),
    (48, 3, 2),
    (48, 3, 1),
    (96, 3, 2),
    (96, 3, 1),
)  # (channels, kernel size, stride) of convolutions


class SmallTower(nn.Module):
    """Convolution, batch norm and ReLU, five times; then the maximum over places.

    Args:
        num_classes: must be 0: there is no classifier.
    """

    def __init__(self, num_classes: int = 0) -> None:
        super().__init__()
        assert num_classes == 0, "SmallTower has no classifier"
        self.num_features = LAYERS[-1][0]
        self.default_cfg = {"input_size": (3, 32, 32), "pool_size": (4, 4)}
        layers: list[nn.Module] = []
        channels = 3
        for width, kernel, stride in LAYERS:
            layers += [
                nn.Conv2d(channels, width, kernel, stride, padding=kernel // 2, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            channels = width
        self.body = nn.Sequential(*layers)

    def reset_classifier(self, num_classes: int = 0, **_: Any) -> None:
        """Do nothing: timm's interface to remove a classifier, which there is not."""
        assert num_classes == 0, "SmallTower has no classifier"

    def forward(self, images: Tensor) -> Tensor:
        """Return features ``(B, 96)`` of images ``(B, 3, H, W)``."""
        return self.body(images).amax(dim=(2, 3))  # type: ignore[no-any-return]


def clipbench_small(pretrained: bool = False, **_: Any) -> SmallTower:
    """Return a new `SmallTower`; timm's model entry point, there are no pretrained weights."""
    assert not pretrained, "there are no pretrained weights"
    return SmallTower()


def register() -> None:
    """Make ``clipbench_small`` known to timm, and so to open_clip's configurations."""
    from timm.models import is_model  # noqa: PLC0415 - beside its counterpart

    if not is_model("clipbench_small"):
        register_model(clipbench_small)
