"""Small convolutional image towers for 32-pixel images, registered with timm.

open_clip's own towers shrink a 32-pixel image to 8 x 8 or less before they look at it closely.
These look at 5 x 5 pixels first, where an edge shows its direction, spend their work at 8 x 8,
where processors without wide vectors are still fast, and take the maximum over places, so that a
shape counts wherever it is. The small one learns the embedded data set on two CPU cores in a few
minutes, and is made for that, and for tests; the medium one has room for the several hundred
classes of icons. Larger images want open_clip's towers.
"""

from __future__ import annotations

from timm.models import register_model
from torch import Tensor, nn

Layers = tuple[tuple[int, int, int], ...]  # (channels, kernel size, stride) of convolutions
LAYERS: Layers = ((32, 5, 2), (48, 3, 2), (48, 3, 1), (96, 3, 2), (96, 3, 1))
MEDIUM: Layers = ((48, 5, 2), (96, 3, 2), (96, 3, 1), (192, 3, 2), (192, 3, 1))


class SmallTower(nn.Module):
    """Convolution, batch norm and ReLU, five times; then the maximum over places.

    Args:
        num_classes: must be 0: there is no classifier.
        sizes: channels, kernel size and stride of each convolution.
    """

    def __init__(self, num_classes: int = 0, sizes: Layers = LAYERS) -> None:
        super().__init__()
        assert num_classes == 0, "SmallTower has no classifier"
        self.num_features = sizes[-1][0]
        self.default_cfg = {"input_size": (3, 32, 32), "pool_size": (4, 4)}
        layers: list[nn.Module] = []
        channels = 3
        for width, kernel, stride in sizes:
            layers += [
                nn.Conv2d(channels, width, kernel, stride, padding=kernel // 2, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            channels = width
        self.body = nn.Sequential(*layers)

    def reset_classifier(self, num_classes: int = 0, **_: object) -> None:
        """Do nothing: timm's interface to remove a classifier, which there is not."""
        assert num_classes == 0, "SmallTower has no classifier"

    def forward(self, images: Tensor) -> Tensor:
        """Return features ``(B, num_features)`` of images ``(B, 3, H, W)``."""
        return self.body(images).amax(dim=(2, 3))  # type: ignore[no-any-return]


def clipbench_small(pretrained: bool = False, **_: object) -> SmallTower:
    """Return a new `SmallTower`; timm's model entry point, there are no pretrained weights."""
    assert not pretrained, "there are no pretrained weights"
    return SmallTower()


def clipbench_medium(pretrained: bool = False, **_: object) -> SmallTower:
    """Return a new `SmallTower` of 0.6 million parameters; there are no pretrained weights."""
    assert not pretrained, "there are no pretrained weights"
    return SmallTower(sizes=MEDIUM)


def register() -> None:
    """Make the towers known to timm, and so to open_clip's configurations."""
    from timm.models import is_model  # noqa: PLC0415 - beside its counterpart

    for tower in (clipbench_small, clipbench_medium):
        if not is_model(tower.__name__):
            register_model(tower)
