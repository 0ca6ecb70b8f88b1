"""Faster gradients of depthwise convolutions on a CPU, where PyTorch's own are slow.

PyTorch 2.14 (oneDNN 3.12) lacks fast code for two gradients. One is that of the weights of a kernel with more than
three columns, which took a quarter of ConvNeXtV2's training step. The other, in bfloat16, is that of the input of a
convolution with a stride, which made MobileNetV3's step slower than in float32. `benchmarks/layers.py` shows both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

if TYPE_CHECKING:
    from jaxtyping import Float

STRIP = 3  # the maximum number of kernel columns for which there is fast code


def use_fast_gradients(network: nn.Module) -> None:
    """Changes the gradients of the depthwise convolutions in `network` that would be slow on a CPU to a faster way.

    Parameters, names and results stay the same, except for the order in which gradients are added up.
    """
    for module in network.modules():
        if is_slow(module):
            module.__class__ = Depthwise  # it stays the same object, with its parameters, names and hooks


def is_slow(module: nn.Module) -> bool:
    """Whether a module is a plain depthwise convolution with a wide kernel or a stride."""
    return (
        type(module) is nn.Conv2d  # not a subclass, which may pad in another way
        and module.groups == module.in_channels == module.out_channels
        and (module.kernel_size[1] > STRIP or module.stride != (1, 1))
        and module.dilation == (1, 1)
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
    )


class Depthwise(nn.Conv2d):
    """A depthwise convolution with the gradients of `_Convolution`."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if (
            torch.is_autocast_enabled(input.device.type) and input.dtype != torch.float64
        ):  # like PyTorch's own convolution
            to = torch.get_autocast_dtype(input.device.type)
            input, weight, bias = input.to(to), weight.to(to), None if bias is None else bias.to(to)
        convolved: Tensor = _Convolution.apply(input, weight, bias, self.stride, self.padding)
        return convolved


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Float[Tensor, "batch channels rows columns"],
        weight: Float[Tensor, "channels 1 kernel_rows kernel_columns"],
        bias: Float[Tensor, " channels"] | None,
        stride: tuple[int, int],
        padding: tuple[int, int],
    ) -> Float[Tensor, "batch channels out_rows out_columns"]:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, bias, stride, padding, groups=len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Float[Tensor, "batch channels out_rows out_columns"]) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        of_x = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            of_x = _input_gradient(grad, x, weight, ctx.stride, ctx.padding)
        if ctx.needs_input_grad[1]:
            of_weight = _weight_gradient(grad, x, weight, ctx.stride, ctx.padding)
        if ctx.needs_input_grad[2]:  # PyTorch's own way would cost the gradient of the whole kernel again
            of_bias = grad.sum((0, 2, 3))
        return of_x, of_weight, of_bias, None, None


def _input_gradient(
    grad: Tensor, x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]
) -> Tensor:
    """The gradient of the input; with a stride it is never in bfloat16, which is far slower than float32."""
    exact = x.dtype if stride == (1, 1) else torch.promote_types(x.dtype, torch.float32)
    grad, exact_x, weight = grad.to(exact), x.to(exact), weight.to(exact)
    return _gradients(grad, exact_x, weight, stride, padding, of_weight=False)[0].to(x.dtype)


def _weight_gradient(
    grad: Tensor, x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]
) -> Tensor:
    """The gradient of the weights: each strip of columns is a separate kernel on the input columns that it meets."""
    if weight.shape[3] <= STRIP:
        return _gradients(grad, x, weight, stride, padding, of_weight=True)[1]
    padded = F.pad(x, (padding[1], padding[1]))
    reach = (grad.shape[3] - 1) * stride[1]
    strips = []
    for number, strip in enumerate(weight.split(STRIP, dim=3)):
        first = number * STRIP
        met = padded[..., first : first + reach + strip.shape[3]].contiguous(memory_format=torch.channels_last)
        strips.append(_gradients(grad, met, strip, stride, (padding[0], 0), of_weight=True)[1])
    return torch.cat(strips, dim=3)


def _gradients(
    grad: Tensor, x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int], of_weight: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """PyTorch's own gradients of a depthwise convolution: of the input at index 0, or of the weights at index 1."""
    needs = (not of_weight, of_weight, False)
    gradients: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward(
        grad, x, weight, None, stride, padding, (1, 1), False, (0, 0), len(weight), needs
    )
    return gradients
