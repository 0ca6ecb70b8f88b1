"""The layers of each PANN (Kong et al. 2020), with the names, order and channels of the published checkpoints."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator

from torch import nn

from trainable.network.panns.blocks import (
    LINE,
    PLANE,
    Axes,
    ConvBlock,
    ConvBlock5x5,
    plain_block,
    residual_layer,
    separable_block,
)
from trainable.network.panns.rates import NUM_MELS

Layers = dict[str, nn.Module]
Scale = Callable[[int], int]  # from the channels of the published layer to those of this network's
Layout = tuple[tuple[int, int], ...]  # channels and pooling factor of each block or layer

FEATURES = {  # channels of the last layer, and size of the embedding
    "cnn6": 512,
    "cnn10": 512,
    "cnn14": 2048,
    "resnet22": 2048,
    "resnet38": 2048,
    "mobilenetv1": 1024,
    "res1dnet31": 2048,
    "wavegram_logmel_cnn14": 2048,
}
CNN10: Layout = ((64, 2), (128, 2), (256, 2), (512, 2))  # and CNN6
CNN14: Layout = ((64, 2), (128, 2), (256, 2), (512, 2), (1024, 2), (2048, 1))
RESNET: Layout = ((64, 1), (128, 2), (256, 2), (512, 2))
RES1DNET: Layout = ((64, 1), (128, 4), (256, 4), (512, 4), (1024, 4), (1024, 4), (2048, 4))
NUM_BLOCKS = {"resnet22": (2, 2, 2, 2), "resnet38": (3, 4, 6, 3), "res1dnet31": (2, 2, 2, 2, 2, 2, 2)}
MOBILENET: Layout = (  # after a first block of 32 channels
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *((512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1)),
)
# The channels of the wavegram's last 1-D block are reinterpreted as mels: 128 channels become 4 channels of 32 mels, as
# many mels as a log-mel has after its first block. Narrower networks have fewer channels, each with 32 mels.
WAVEGRAM_MELS, WAVEGRAM_CHANNELS = NUM_MELS // 2, 4


def make_layers(backbone: str, scale: Scale) -> Layers:
    """The layers of a PANN up to its last map, which has `scale(FEATURES[backbone])` channels."""
    match backbone:
        case "cnn6":
            return _bn0() | _conv_blocks(CNN10, scale, ConvBlock5x5)
        case "cnn10":
            return _bn0() | _conv_blocks(CNN10, scale)
        case "cnn14":
            return _bn0() | _conv_blocks(CNN14, scale)
        case "resnet22" | "resnet38":
            return _bn0() | _around_resnet(NUM_BLOCKS[backbone], scale)
        case "mobilenetv1":
            return _bn0() | {"features": _mobilenet(scale)}
        case "res1dnet31":
            resnet = _resnet(RES1DNET, NUM_BLOCKS[backbone], scale, LINE)
            return _wave_stem("", scale) | {"resnet": nn.Sequential(resnet)}
        case _:
            return _wavegram(scale) | _bn0() | _beside_wavegram(scale)


def _steps(layout: Layout, scale: Scale, in_channels: int) -> Iterator[tuple[int, int, int]]:
    """Yields the input channels, output channels and pooling of each block."""
    for channels, pool in layout:
        yield in_channels, scale(channels), pool
        in_channels = scale(channels)


def _bn0() -> Layers:
    return {"bn0": nn.BatchNorm2d(NUM_MELS)}


def _conv_blocks(layout: Layout, scale: Scale, block: type[ConvBlock] | type[ConvBlock5x5] = ConvBlock) -> Layers:
    return {f"conv_block{number}": block(*step) for number, step in enumerate(_steps(layout, scale, 1), start=1)}


def _resnet(layout: Layout, num_blocks: tuple[int, ...], scale: Scale, axes: Axes) -> OrderedDict[str, nn.Module]:
    steps = zip(_steps(layout, scale, scale(64)), num_blocks, strict=True)
    return OrderedDict(
        (f"layer{number}", residual_layer(*step, count, axes)) for number, (step, count) in enumerate(steps, start=1)
    )


def _around_resnet(num_blocks: tuple[int, ...], scale: Scale) -> Layers:
    resnet = _resnet(RESNET, num_blocks, scale, PLANE) | {"pool": nn.AvgPool2d(2)}
    return {
        "conv_block1": ConvBlock(1, scale(64), 2),
        "resnet": nn.Sequential(resnet),
        "conv_block_after1": ConvBlock(scale(512), scale(2048), 1),
    }


def _mobilenet(scale: Scale) -> nn.Sequential:
    first = plain_block(1, scale(32))
    return nn.Sequential(first, *(separable_block(*step) for step in _steps(MOBILENET, scale, scale(32))))


def _wave_stem(prefix: str, scale: Scale) -> Layers:
    conv = nn.Conv1d(1, scale(64), kernel_size=11, stride=5, padding=5, bias=False)
    return {f"{prefix}conv0": conv, f"{prefix}bn0": nn.BatchNorm1d(scale(64))}


def _wavegram(scale: Scale) -> Layers:
    channels = scale(WAVEGRAM_CHANNELS)
    return _wave_stem("pre_", scale) | {
        "pre_block1": ConvBlock(scale(64), scale(64), 4, LINE),
        "pre_block2": ConvBlock(scale(64), scale(128), 4, LINE),
        "pre_block3": ConvBlock(scale(128), channels * WAVEGRAM_MELS, 4, LINE),
        "pre_block4": ConvBlock(channels, scale(64), (2, 1)),
    }


def _beside_wavegram(scale: Scale) -> Layers:
    """The blocks of CNN14, where the second also takes the channels of the wavegram."""
    return _conv_blocks(CNN14, scale) | {"conv_block2": ConvBlock(2 * scale(64), scale(128), 2)}
