"""The blocks of PANNs (Kong et al. 2020), for log-mels and waveforms, with the names of their checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from jaxtyping import Float

    Size = int | tuple[int, int]


@dataclass(frozen=True)
class Axes:
    """The layers of a block, for the axes that it convolves."""

    conv: type[nn.Conv1d] | type[nn.Conv2d]
    norm: type[nn.BatchNorm1d] | type[nn.BatchNorm2d]
    pool: type[nn.MaxPool1d] | type[nn.AvgPool2d]
    shortcut_pool: type[nn.AvgPool1d] | type[nn.AvgPool2d]
    dilation: int  # of a block's second convolution

    def conv3(self, in_channels: int, out_channels: int, dilation: int = 1) -> nn.Module:
        """A convolution with a kernel size of 3 that keeps the size of its input."""
        return self.conv(in_channels, out_channels, 3, padding=dilation, dilation=dilation, bias=False)


PLANE = Axes(nn.Conv2d, nn.BatchNorm2d, nn.AvgPool2d, nn.AvgPool2d, dilation=1)  # frames and mels
LINE = Axes(nn.Conv1d, nn.BatchNorm1d, nn.MaxPool1d, nn.AvgPool1d, dilation=2)  # samples


def pooling(kind: type[nn.Module], size: Size) -> nn.Module:
    """A pooling without overlap, or the identity if the size is 1."""
    return nn.Identity() if size == 1 else kind(size)


class ConvBlock(nn.Module):
    """Convolution, batch normalisation and ReLU, twice; then pooling."""

    def __init__(self, in_channels: int, out_channels: int, pool: Size, axes: Axes = PLANE) -> None:
        super().__init__()
        self.conv1 = axes.conv3(in_channels, out_channels)
        self.conv2 = axes.conv3(out_channels, out_channels, axes.dilation)
        self.bn1 = axes.norm(out_channels)
        self.bn2 = axes.norm(out_channels)
        self.pool = pooling(axes.pool, pool)

    def forward(self, x: Float[Tensor, "batch in *axes"]) -> Float[Tensor, "batch out *pooled"]:
        """Features of the next, coarser level."""
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        x = F.relu(self.bn2(self.conv2(x)), inplace=True)
        pooled: Tensor = self.pool(x)
        return pooled


class ConvBlock5x5(nn.Module):
    """A 5x5 convolution, batch normalisation and ReLU; then average pooling."""

    def __init__(self, in_channels: int, out_channels: int, pool: Size) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 5, padding=2, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.pool = pooling(nn.AvgPool2d, pool)

    def forward(self, x: Float[Tensor, "batch in frames mels"]) -> Float[Tensor, "batch out pooled_frames pooled_mels"]:
        """Features of the next, coarser level."""
        pooled: Tensor = self.pool(F.relu(self.bn1(self.conv1(x)), inplace=True))
        return pooled


class ResidualBlock(nn.Module):
    """Pooling and two convolutions, added to the input; the coarser level comes from pooling, not from a stride."""

    def __init__(self, in_channels: int, out_channels: int, pool: int, axes: Axes) -> None:
        super().__init__()
        self.pool = pooling(axes.pool, pool)
        self.conv1 = axes.conv3(in_channels, out_channels)
        self.bn1 = axes.norm(out_channels)
        self.dropout = nn.Dropout(0.1)
        self.conv2 = axes.conv3(out_channels, out_channels, axes.dilation)
        self.bn2 = axes.norm(out_channels)
        self.downsample: nn.Module = nn.Identity()
        if pool > 1:
            shortcut = axes.conv(in_channels, out_channels, 1, bias=False)
            self.downsample = nn.Sequential(axes.shortcut_pool(pool), shortcut, axes.norm(out_channels))

    def forward(self, x: Float[Tensor, "batch in *axes"]) -> Float[Tensor, "batch out *pooled"]:
        """Features of the same level or, with pooling, of the next, coarser level."""
        inner = self.dropout(F.relu(self.bn1(self.conv1(self.pool(x))), inplace=True))
        return F.relu(self.bn2(self.conv2(inner)) + self.downsample(x), inplace=True)


def residual_layer(in_channels: int, out_channels: int, pool: int, num_blocks: int, axes: Axes) -> nn.Sequential:
    """The residual blocks of one level; the first one pools."""
    first = ResidualBlock(in_channels, out_channels, pool, axes)
    return nn.Sequential(first, *(ResidualBlock(out_channels, out_channels, 1, axes) for _ in range(num_blocks - 1)))


class HalvingConv2d(nn.Conv2d):
    """A 3x3 convolution and an average pooling by two after it, combined into one convolution.

    The combined kernel is 4x4 with a stride of two; the stored weights are the published 3x3. So the map of full size,
    the largest in MobileNet, is never computed.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, stride=2, padding=1, bias=False)

    def forward(self, x: Float[Tensor, "batch in frames mels"]) -> Float[Tensor, "batch out pooled_frames pooled_mels"]:
        """The pooled map; an odd last row or column is dropped."""
        # The mean of the kernel at four positions, each shifted by one step.
        together = F.avg_pool2d(F.pad(self.weight, (1, 1, 1, 1)), 2, stride=1)
        return F.conv2d(x, together, stride=2, padding=1)


def plain_block(in_channels: int, out_channels: int) -> nn.Sequential:
    """The first block of MobileNet, which pools by two."""
    conv, pooled_already = HalvingConv2d(in_channels, out_channels), nn.Identity()  # keeps the published numbering
    return nn.Sequential(conv, pooled_already, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))


def separable_block(in_channels: int, out_channels: int, pool: int) -> nn.Sequential:
    """The other blocks of MobileNet: a depthwise convolution, then one across channels."""
    return nn.Sequential(
        nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels, bias=False),
        pooling(nn.AvgPool2d, pool),
        nn.BatchNorm2d(in_channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )
