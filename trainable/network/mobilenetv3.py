"""MobileNetV3 (Howard et al. 2019) on log-mels, as EfficientAT (Schmid et al. 2023) trained it on AudioSet.

Frames are rows and mel bands are columns, as in every network here; published kernels have them swapped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainable.learning.augmentation import NOTHING, Augmentation
from trainable.network.backbone import Backbone

if TYPE_CHECKING:
    from jaxtyping import Float

STEM, LAST, HIDDEN = 16, 6, 1280  # channels; how often the last block's; size of the embedding, at width 1
BLOCKS = (  # kernel, channels inside, channels out, squeeze-and-excitation, Hardswish instead of ReLU, stride
    (3, 16, 16, False, False, 1),
    (3, 64, 24, False, False, 2),
    (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2),
    (5, 120, 40, True, False, 1),
    (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2),
    (3, 200, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 480, 112, True, True, 1),
    (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2),
    (5, 960, 160, True, True, 1),
    (5, 960, 160, True, True, 1),
)
RENAMED = {".conc_se_layers.0.": ".", "classifier.2.": "hidden.", "classifier.5.": "fc."}  # published name -> here


def eighths(channels: float) -> int:
    """The nearest multiple of 8, at least 8, and at most a tenth less than `channels`."""
    found = max(8, int(channels + 4) // 8 * 8)
    return found + 8 if found < 0.9 * channels else found


def convolution(
    channels: tuple[int, int],
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    activation: type[nn.Module] | None = None,
) -> nn.Sequential:
    """A convolution, its batch normalisation and, if any, the activation after it."""
    layers: list[nn.Module] = [
        nn.Conv2d(*channels, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(channels[1], eps=0.001, momentum=0.01),
    ]
    return nn.Sequential(*layers, *([activation(inplace=True)] if activation else []))


class SqueezeExcitation(nn.Module):
    """Weights channels by two layers on their means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = eighths(channels // 4)
        self.fc1 = nn.Linear(channels, squeezed)
        self.fc2 = nn.Linear(squeezed, channels)

    def forward(self, x: Float[Tensor, "batch channels frames mels"]) -> Float[Tensor, "batch channels frames mels"]:
        """The same map, each channel times a number from 0 to 1."""
        weight = torch.sigmoid(self.fc2(F.relu(self.fc1(x.mean((2, 3))))))
        return x * weight[:, :, None, None]


class InvertedResidual(nn.Module):
    """Widens, convolves each channel by itself, and narrows; adds its input if the shapes agree."""

    def __init__(
        self, in_channels: int, kernel: int, inside: int, out_channels: int, excited: bool, hard: bool, stride: int
    ) -> None:
        super().__init__()
        activation: type[nn.Module] = nn.Hardswish if hard else nn.ReLU
        widening = [convolution((in_channels, inside), activation=activation)] if inside != in_channels else []
        self.block = nn.Sequential(
            *widening,
            convolution((inside, inside), kernel, stride, groups=inside, activation=activation),
            *([SqueezeExcitation(inside)] if excited else []),
            convolution((inside, out_channels)),
        )
        self.adds = stride == 1 and in_channels == out_channels

    def forward(self, x: Float[Tensor, "batch in frames mels"]) -> Float[Tensor, "batch out rows columns"]:
        """Features of the same level or, with a stride, of the next, coarser one."""
        found: Tensor = self.block(x)
        return found + x if self.adds else found


class MobileNetV3(Backbone):
    """The network for log-mels that are already normalised.

    Args:
        width: of every layer, against MobileNetV3-Large; channels are rounded to multiples of 8.
    """

    def __init__(self, width: float, num_classes: int, head_dropout: float) -> None:
        super().__init__(head_dropout)
        channels = eighths(width * STEM)
        layers: list[nn.Module] = [convolution((1, channels), 3, stride=2, activation=nn.Hardswish)]
        for kernel, inside, out, excited, hard, stride in BLOCKS:
            sizes = eighths(width * inside), eighths(width * out)
            layers.append(InvertedResidual(channels, kernel, *sizes, excited, hard, stride))
            channels = sizes[1]
        layers.append(convolution((channels, LAST * channels), activation=nn.Hardswish))
        self.features = nn.Sequential(*layers)
        self.hidden = nn.Linear(LAST * channels, eighths(width * HIDDEN))
        self.own_dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(self.hidden.out_features, num_classes)

    @property
    def last_features(self) -> nn.Module:
        """The layer before the pooling."""
        return self.features[-1]

    def embed(
        self, x: Float[Tensor, "samples *channel frames mels"], augment: Augmentation = NOTHING
    ) -> Float[Tensor, "batch features"]:
        """The classifier's input; in training, after the network's own dropout."""
        x = x if x.ndim == 4 else x.unsqueeze(1)
        pooled = self.features(augment(x)).mean((2, 3))
        embedding: Tensor = self.own_dropout(F.hardswish(self.hidden(pooled)))
        return embedding


def build(width: float, num_classes: int, *, head_dropout: float, generator: torch.Generator) -> MobileNetV3:
    """A network with random weights, as its authors draw them; torch's global random state is untouched.

    Args:
        width: against MobileNetV3-Large.
        generator: of the CPU.
    """
    with torch.device("meta"):  # no memory and no random numbers for weights that are drawn below
        network = MobileNetV3(width, num_classes, head_dropout)
    network.to_empty(device="cpu")
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
        elif isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", generator=generator)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, 0.01, generator=generator)
            nn.init.zeros_(module.bias)
    return network


def renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A published state dict under the names of `MobileNetV3`, its kernels transposed so that frames are rows."""
    found = {}
    for name, value in state.items():
        for theirs, ours in RENAMED.items():
            name = name.replace(theirs, ours)
        found[name] = value.transpose(2, 3) if value.ndim == 4 else value
    return found
