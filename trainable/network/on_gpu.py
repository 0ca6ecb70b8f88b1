"""Layers on a GPU, computed in ways that are fast there where PyTorch's own are not; values are the same.

What PyTorch 2.11 lacks fast code for (`benchmarks/gpu.py` shows it): the gradient of an average pooling, which took a
fifth of CNN14's step; one-dimensional layers, which it computes channel by channel in memory and cuDNN turns round at
every convolution; and the gradient of a convolution of one channel, the first of a network that takes waveforms.
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
    """Has the layers of `network` that would be slow on a GPU computed in another way.

    Parameters, names and results are as before, but for the order in which numbers are added up.
    """
    for module in network.modules():
        if (kind := FAST.get(type(module))) and is_plain(module):
            module.__class__ = kind  # it stays the same object, with its parameters, names and hooks
            if isinstance(module, LineConv):  # in the order in which it is used, as `channels_last` does for planes
                module.weight.data = module.weight.data.transpose(1, 2).contiguous().transpose(1, 2)


def is_plain(module: nn.Module) -> bool:
    """Whether a layer pads with zeros, or pools without overlap and padding: all that the fast ones can do."""
    if isinstance(module, nn.Conv1d):
        return module.padding_mode == "zeros" and not isinstance(module.padding, str)
    if isinstance(module, nn.AvgPool2d):
        one_by_one = _pair(module.kernel_size) == _pair(module.stride) and _pair(module.padding) == (0, 0)
        return one_by_one and not module.ceil_mode and module.divisor_override is None
    if isinstance(module, nn.AvgPool1d):
        return module.kernel_size == module.stride and module.padding == (0,) and not module.ceil_mode
    return True


class FastPool(nn.AvgPool2d):
    """An average pooling without overlap whose gradient is spread in one pass."""

    def forward(self, x: Float[Tensor, "batch channels rows columns"]) -> Float[Tensor, "batch channels *pooled"]:
        """The mean of each field; an unfinished one at the end is dropped."""
        pooled: Tensor = _Pool.apply(x, _pair(self.kernel_size))
        return pooled


class LinePool(nn.AvgPool1d):
    """The same along one axis."""

    def forward(self, x: Float[Tensor, "batch channels samples"]) -> Float[Tensor, "batch channels pooled"]:
        """The mean of each field; an unfinished one at the end is dropped."""
        pooled: Tensor = _Pool.apply(x.unsqueeze(2), (1, _single(self.kernel_size)))
        return pooled.squeeze(2)


class LineConv(nn.Conv1d):
    """A convolution along one axis as one of a plane of one row, with the channels of a sample beside each other.

    Of one channel, it is a product with the frames of the waveform.
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
    """A batch normalisation along one axis as one of a plane of one row, whose channels may lie beside each other."""

    def forward(self, input: Float[Tensor, "batch channels *samples"]) -> Float[Tensor, "batch channels *samples"]:
        """Normalised, and in training the running moments updated."""
        if input.ndim == 2:
            return super().forward(input)
        found = super().forward(input.unsqueeze(2))
        # Autograd would copy a view thrice for the ReLU that changes it in place, and this is not one to it.
        line: Tensor = torch.ops.aten._unsafe_view(found, input.shape)
        return line

    def _check_input_dim(self, input: Tensor) -> None:
        """Takes a plane too."""


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
        """Every input of a field has the same share of its gradient; written with channels last."""
        (high, wide), (batch, channels, rows, columns) = ctx.size, ctx.given
        each = (grad / (high * wide)).permute(0, 2, 3, 1)
        num_rows, num_columns = each.shape[1] * high, each.shape[2] * wide
        of_x = grad.new_empty(batch, rows, columns, channels)
        fields = of_x[:, :num_rows, :num_columns].unflatten(2, (-1, wide)).unflatten(1, (-1, high))
        fields.copy_(each[:, :, None, :, None])
        of_x[:, num_rows:] = 0
        of_x[:, :, num_columns:] = 0
        return of_x.permute(0, 3, 1, 2), None


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def _single(size: int | tuple[int, ...]) -> int:
    return size if isinstance(size, int) else size[0]
