"""What sees a whole batch though it is shared out among devices: batch normalisation, and the draws of dropout.

Every other operation takes each sample for itself.
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
    """What one device takes of a batch: the samples from `first` up to `end`."""

    first: int
    end: int
    num_samples: int  # of the batch
    num_counted: int  # of this device's; 0 where there are more devices than samples
    num_devices: int

    def rows(self, total: int) -> slice:
        """Where its rows are among `total`, which may be several for each sample."""
        each = total // self.num_samples
        return slice(self.first * each, self.end * each)

    def of(self, drawn: Augmentation) -> Augmentation:
        """Its part of what was drawn for the batch."""
        return drawn.part(self.rows)

    def as_one_batch(self) -> AbstractContextManager[Any]:
        """While this lasts, a network computes what it would in the midst of the whole batch."""
        return nullcontext() if self.num_devices == 1 else _AsOneBatch(self)


class _AsOneBatch(TorchFunctionMode):
    """Replaces two functions of torch, whichever layer calls them: timm's do not all derive from torch's."""

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
    """`F.dropout` with the numbers that the whole batch would have drawn."""
    if not training or p == 0:
        return F.dropout(x, p, training, inplace)
    total = len(x) // (share.end - share.first) * share.num_samples
    # Laid out in memory as the whole batch would be: numbers are drawn in that order.
    strides = (x[0].numel(), *torch.empty_like(x[0], device="meta").stride())
    kept = torch.empty_strided((total, *x.shape[1:]), strides, dtype=x.dtype, device=x.device).fill_(1)
    return x * F.dropout(kept, p)[share.rows(total)]


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
    """`F.batch_norm` by the moments of the whole batch.

    torch's own SyncBatchNorm runs on GPUs only, and its conversion overlooks layers that are not torch's.
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
    """Mean and variance of each channel over all devices, and of how many values they are."""
    var, mean = torch.var_mean(x, _axes(x), correction=0)
    count = x.numel() // x.shape[1] if share.num_counted else 0
    mine = torch.cat([mean, var, torch.full_like(mean[:1], count)]).double()
    everyones = [torch.empty_like(mine) for _ in range(share.num_devices)]
    dist.all_gather(everyones, mine)
    means, variances, counts = torch.stack(everyones).split([len(mean), len(mean), 1], dim=1)
    weights = counts / counts.sum()
    mean64 = (weights * means).sum(0)
    var64 = (weights * (variances + (means - mean64).square())).sum(0)
    return mean64.to(x.dtype), var64.to(x.dtype), counts.sum(0).to(x.dtype)


class _Normalise(torch.autograd.Function):
    """(x - mean) / deviation * weight + bias, whose moments depend on every device's x."""

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
        # As if the moments were constants; those of weight and bias are sums over this device's rows.
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
        given = (None, None) if weight is None else (grad_weight, grad_bias)
        return grad_x, *given, None, None, None, None, None


def _axes(x: Tensor) -> list[int]:
    return [0, *range(2, x.ndim)]
