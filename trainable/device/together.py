"""Batch normalisation and dropout over a whole batch that is divided among devices.

Every other operation treats each sample separately.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from jaxtyping import Float

    from trainable.learning.augmentation import Augmentation


@dataclass(frozen=True)
class Share:
    """The share of one device in a batch: the samples from `first` up to `end`, exclusive."""

    first: int
    end: int
    num_samples: int  # in the whole batch
    num_counted: int  # samples that this device contributes; 0 if its sample is counted by another device
    num_devices: int

    def rows(self, total: int) -> slice:
        """The position of its rows among `total` rows; each sample may have several."""
        per_sample = total // self.num_samples
        return slice(self.first * per_sample, self.end * per_sample)

    def of(self, drawn: Augmentation) -> Augmentation:
        """The part for this device of the augmentations drawn for the batch."""
        return drawn.part(self.rows)

    def as_one_batch(self) -> AbstractContextManager[Any]:
        """A context in which a network computes the same as it would in the whole batch."""
        return nullcontext() if self.num_devices == 1 else _AsOneBatch(self)


class _AsOneBatch(TorchFunctionMode):
    """Replaces two functions of torch for every layer that calls them: not all layers of timm derive from torch's."""

    def __init__(self, share: Share) -> None:
        super().__init__()
        self.share = share

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.batch_norm:
            return batch_norm(self.share, *args, **(kwargs or {}))
        if func is F.dropout:
            return dropout(self.share, *args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def dropout(
    share: Share, x: Float[Tensor, "rows ..."], p: float = 0.5, training: bool = True, inplace: bool = False
) -> Float[Tensor, "rows ..."]:
    """Applies `F.dropout` with the random numbers that the whole batch would have drawn."""
    if not training or p == 0:
        return F.dropout(x, p, training, inplace)
    total = len(x) // (share.end - share.first) * share.num_samples
    # The memory layout is that of the whole batch, because numbers are drawn in that order.
    strides = (x[0].numel(), *torch.empty_like(x[0], device="meta").stride())
    ones = torch.empty_strided((total, *x.shape[1:]), strides, dtype=x.dtype, device=x.device).fill_(1)
    return x * F.dropout(ones, p)[share.rows(total)]


def batch_norm(
    share: Share,
    x: Float[Tensor, "rows channels ..."],
    running_mean: Float[Tensor, " channels"] | None,
    running_var: Float[Tensor, " channels"] | None,
    weight: Float[Tensor, " channels"] | None = None,
    bias: Float[Tensor, " channels"] | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Float[Tensor, "rows channels ..."]:
    """Applies `F.batch_norm` with the moments of the whole batch.

    The SyncBatchNorm of torch runs on GPUs only, and its conversion overlooks layers of other packages.
    """
    if not training:
        return F.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps)
    with torch.no_grad():
        mean, var, count = _moments(share, x)
        if running_mean is not None and running_var is not None:
            running_mean.lerp_(mean, momentum)
            running_var.lerp_(var * (count / (count - 1)), momentum)
    normalised: Tensor = _Normalise.apply(x, weight, bias, mean, var, count, eps, share.num_counted > 0)
    return normalised


def _moments(
    share: Share, x: Float[Tensor, "rows channels ..."]
) -> tuple[Float[Tensor, " channels"], Float[Tensor, " channels"], Float[Tensor, " 1"]]:
    """Mean and variance of each channel over all devices, and the number of values."""
    var, mean = torch.var_mean(x, _axes(x), correction=0)
    count = x.numel() // x.shape[1] if share.num_counted else 0
    own_moments = torch.cat([mean, var, torch.full_like(mean[:1], count)]).double()
    all_moments = [torch.empty_like(own_moments) for _ in range(share.num_devices)]
    dist.all_gather(all_moments, own_moments)
    means, variances, counts = torch.stack(all_moments).split([len(mean), len(mean), 1], dim=1)
    weights = counts / counts.sum()
    mean64 = (weights * means).sum(0)
    var64 = (weights * (variances + (means - mean64).square())).sum(0)
    return mean64.to(x.dtype), var64.to(x.dtype), counts.sum(0).to(x.dtype)


class _Normalise(torch.autograd.Function):
    """Computes (x - mean) / deviation * weight + bias, where the moments depend on the x of every device."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        mean: Tensor,
        var: Tensor,
        count: Tensor,
        eps: float,
        counts: bool,
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, var, count)
        ctx.eps, ctx.counts = eps, counts
        return F.batch_norm(x, mean, var, weight, bias, training=False, eps=eps)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, weight, mean, var, count = ctx.saved_tensors
        # These treat the moments as constants; the gradients of weight and bias are sums over this device's rows.
        grad_x, grad_weight, grad_bias = torch.ops.aten.native_batch_norm_backward(
            grad, x, weight, mean, var, None, None, False, ctx.eps, [True, True, True]
        )
        sums = torch.stack([grad_weight, grad_bias])
        dist.all_reduce(sums)
        if ctx.counts and ctx.needs_input_grad[0]:
            inverse = (var + ctx.eps).rsqrt()
            scale = inverse if weight is None else inverse * weight
            slope, offset = -scale * inverse * sums[0] / count, -scale * sums[1] / count
            shape = [1, -1, *[1] * (x.ndim - 2)]
            grad_x.addcmul_(x, slope.view(shape)).add_((offset - slope * mean).view(shape))
        grad_affine = (None, None) if weight is None else (grad_weight, grad_bias)
        return grad_x, *grad_affine, None, None, None, None, None


def _axes(x: Tensor) -> list[int]:
    return [0, *range(2, x.ndim)]
