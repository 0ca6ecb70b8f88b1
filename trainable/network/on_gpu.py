"""Faster layers for a GPU, where PyTorch's own are slow; their values are the same.

PyTorch 2.11 lacks fast code for three things (`benchmarks/gpu.py` shows them): the gradient of an average pooling,
which took a fifth of CNN14's step; one-dimensional layers, whose memory layout cuDNN transposes at every convolution;
and the gradient of a convolution with one input channel, which is the first layer of a network for waveforms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

if TYPE_CHECKING:
    from jaxtyping import Float


def use_fast_layers(network: nn.Module) -> None:
    """Replaces the computation of the layers in `network` that would be slow on a GPU.

    Parameters, names and results stay the same, except for the order in which numbers are added up.
    """
    for module in network.modules():
        if (kind := FAST.get(type(module))) and is_plain(module):
            module.__class__ = kind  # it stays the same object, with its parameters, names and hooks
            if isinstance(
                module, LineConv
            ):  # the memory layout in which it is used, like `channels_last` in two dimensions
                module.weight.data = module.weight.data.transpose(1, 2).contiguous().transpose(1, 2)


def is_plain(module: nn.Module) -> bool:
    """Whether a layer is simple enough for a fast one: it pads with zeros, or pools without overlap or padding."""
    if isinstance(module, nn.Conv1d):
        return module.padding_mode == "zeros" and not isinstance(module.padding, str)
    if isinstance(module, nn.AvgPool2d):
        one_by_one = _pair(module.kernel_size) == _pair(module.stride) and _pair(module.padding) == (0, 0)
        return one_by_one and not module.ceil_mode and module.divisor_override is None
    if isinstance(module, nn.AvgPool1d):
        return module.kernel_size == module.stride and module.padding == (0,) and not module.ceil_mode
    return True


class FastPool(nn.AvgPool2d):
    """An average pooling without overlap; its gradient takes one pass."""

    def forward(self, x: Float[Tensor, "batch channels rows columns"]) -> Float[Tensor, "batch channels *pooled"]:
        """The mean of each window; an incomplete one at the end is dropped."""
        pooled: Tensor = _Pool.apply(x, _pair(self.kernel_size))
        return pooled


class LinePool(nn.AvgPool1d):
    """An average pooling along one axis without overlap; its gradient takes one pass."""

    def forward(self, x: Float[Tensor, "batch channels samples"]) -> Float[Tensor, "batch channels pooled"]:
        """The mean of each window; an incomplete one at the end is dropped."""
        pooled: Tensor = _Pool.apply(x.unsqueeze(2), (1, _single(self.kernel_size)))
        return pooled.squeeze(2)


class LineConv(nn.Conv1d):
    """A convolution along one axis, computed in two dimensions on a plane with one row, in channels_last layout.

    With one input channel it is a matrix product with the frames of the waveform.
    """

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        assert not isinstance(self.padding, str)
        (stride,), (padding,), (dilation,) = self.stride, self.padding, self.dilation
        if self.in_channels == dilation == 1 and not input.requires_grad:
            frames = F.pad(input[:, 0], (padding, padding)).unfold(-1, weight.shape[2], stride)
            return F.linear(frames, weight[:, 0], bias).transpose(1, 2)
        plane = input.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        options = (1, stride), (0, padding), (1, dilation)
        return F.conv2d(plane, weight.unsqueeze(2), bias, *options, self.groups).squeeze(2)


class LineNorm(nn.BatchNorm1d):
    """A batch normalisation along one axis, computed on a plane with one row, in any memory layout."""

    def forward(self, input: Float[Tensor, "batch channels *samples"]) -> Float[Tensor, "batch channels *samples"]:
        """The normalised input; in training the running moments are updated."""
        if input.ndim == 2:
            return super().forward(input)
        normalised = super().forward(input.unsqueeze(2))
        # The ReLU changes the result in place. Autograd would copy a view three times for that; this is not a view.
        line: Tensor = torch.ops.aten._unsafe_view(normalised, input.shape)
        return line

    def _check_input_dim(self, input: Tensor) -> None:
        """Accepts a plane too."""


FAST: dict[type[nn.Module], type[nn.Module]] = {
    nn.AvgPool2d: FastPool,
    nn.AvgPool1d: LinePool,
    nn.Conv1d: LineConv,
    nn.BatchNorm1d: LineNorm,
}


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Float[Tensor, "batch channels rows columns"], size: tuple[int, int]
    ) -> Float[Tensor, "batch channels pooled_rows pooled_columns"]:
        ctx.size, ctx.given = size, x.shape
        return F.avg_pool2d(x, size)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Float[Tensor, "batch channels pooled_rows pooled_columns"]) -> tuple[Tensor, None]:
        """Every input of a window gets the same share of its gradient; the memory layout is channels_last."""
        (high, wide), (batch, channels, rows, columns) = ctx.size, ctx.given
        shares = (grad / (high * wide)).permute(0, 2, 3, 1)
        num_rows, num_columns = shares.shape[1] * high, shares.shape[2] * wide
        of_x = grad.new_empty(batch, rows, columns, channels)
        windows = of_x[:, :num_rows, :num_columns].unflatten(2, (-1, wide)).unflatten(1, (-1, high))
        windows.copy_(shares[:, :, None, :, None])
        of_x[:, num_rows:] = 0
        of_x[:, :, num_columns:] = 0
        return of_x.permute(0, 3, 1, 2), None


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def _single(size: int | tuple[int, ...]) -> int:
    return size if isinstance(size, int) else size[0]
