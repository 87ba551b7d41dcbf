"""Takes the fused code's matrix products from the library that is fastest.

On a CPU PyTorch has two: MKL, which ``torch.mm`` calls, and oneDNN, which its LSTM calls. On the AMD processors that we
tried, oneDNN was the faster (``docs/speed.md`` says how to compare).
"""

import os
from typing import Optional, Tuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

# oneDNN keeps the programs of its last 1,024 products, one for every size, with their work space: gigabytes in a
# training, whose batches have hundreds of sizes. It reads this at its first product. The products of a step, which come
# again and again, are less than ten.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16")

# Part of PyTorch since 2.0, where torch.compile uses it; not of builds for other processors.
HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def product(inputs: Tensor, weight: Tensor, bias: Optional[Tensor] = None) -> Tensor:
    """Computes what ``F.linear`` does, ``inputs @ weight.T + bias``, without a gradient and without autocast's casts.

    Args:
        inputs: ``(..., inner)``
        weight: ``(columns, inner)``, of any strides
        bias: ``(columns,)``

    Returns:
        ``(..., columns)``
    """
    if HAS_ONEDNN and inputs.device.type == "cpu" and inputs.dtype == torch.float32:
        return torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")
    with torch.autocast(inputs.device.type, enabled=False):
        return F.linear(inputs, weight, bias)


class Product(torch.autograd.Function):
    """Computes :func:`product` with its gradient; called as ``Product.apply(inputs, weight, bias)``."""

    @staticmethod
    def forward(ctx, inputs: Tensor, weight: Tensor, bias: Optional[Tensor]) -> Tensor:
        """Computes the product; shapes as :func:`product` has them."""
        ctx.save_for_backward(inputs, weight)
        return product(inputs, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> Tuple[Optional[Tensor], Optional[Tensor], Optional[Tensor]]:
        """Returns the gradients of the inputs that need one, None for the others."""
        inputs, weight = ctx.saved_tensors
        by_inputs, by_weight, by_bias = ctx.needs_input_grad
        rows = gradient.flatten(0, -2)
        return (
            product(gradient, weight.t()) if by_inputs else None,
            product(rows.t(), inputs.flatten(0, -2).t()) if by_weight else None,
            rows.sum(dim=0) if by_bias else None,
        )


def linear(inputs: Tensor, weight: Tensor, bias: Optional[Tensor]) -> Tensor:
    """Computes what ``F.linear`` does, with its gradient; calls that itself where autocast lets the types differ."""
    if inputs.dtype != weight.dtype:
        return F.linear(inputs, weight, bias)
    return Product.apply(inputs, weight, bias)
