"""Takes the fused code's matrix products from the library that does least work for them.

On a CPU PyTorch has two: MKL, which ``torch.mm`` calls, and oneDNN, which its LSTM calls. Which is taken depends on the
operands, not on the processor. Rows times a weight go to oneDNN, and a weight by which every step of a loop multiplies
is brought into oneDNN's own layout once. Gradients of weights go to MKL, which reads transposed operands as they are,
where oneDNN would copy them first.
"""

import os
from typing import Callable, Optional, Tuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .once import differentiable_once

# oneDNN keeps the programs of its last 1,024 products, one for every size, with their work space: gigabytes in a
# training, whose batches have hundreds of sizes. It reads this at its first product.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")

# Part of PyTorch since 2.0, where torch.compile uses them; not of builds for other processors.
HAS_ONEDNN = torch.backends.mkldnn.is_available() and all(
    hasattr(torch.ops.mkldnn, name) for name in ("_linear_pointwise", "_reorder_linear_weight")
)


def takes_onednn(inputs: Tensor) -> bool:
    """Tells whether products with these rows go to oneDNN; torch.compile, which has its own choice, is left to it."""
    is_float = inputs.device.type == "cpu" and inputs.dtype == torch.float32
    return HAS_ONEDNN and is_float and not torch.compiler.is_compiling()


def autocasts(inputs: Tensor) -> bool:
    """Tells whether autocast is at work on the device of ``inputs``, which may know no autocast (``meta``)."""
    device = inputs.device.type
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


def product(inputs: Tensor, weight: Tensor, bias: Optional[Tensor] = None) -> Tensor:
    """Computes what ``F.linear`` does, ``inputs @ weight.T + bias``, without a gradient and without autocast's casts.

    Args:
        inputs: ``(..., inner)``
        weight: ``(columns, inner)``, of any strides
        bias: ``(columns,)``

    Returns:
        ``(..., columns)``
    """
    if takes_onednn(inputs):
        return torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")
    if autocasts(inputs):  # to enter a context costs more than to launch the product
        with torch.autocast(inputs.device.type, enabled=False):
            return F.linear(inputs, weight, bias)
    return F.linear(inputs, weight, bias)


def adding_product(weight: Tensor, rows: int) -> Callable[[Tensor, Tensor], Tensor]:
    """Makes the product of a loop's steps: a function of ``result`` and ``inputs`` that adds ``inputs @ weight.T``.

    Args:
        weight: ``(columns, inner)``, of any strides
        rows: how many rows each step has
    """
    if not takes_onednn(weight):
        return lambda result, inputs: result.addmm_(inputs, weight.t())
    multiply = packed_product(weight, None, rows)
    return lambda result, inputs: result.add_(multiply(inputs))


def packed_product(weight: Tensor, bias: Optional[Tensor], rows: int) -> Callable[[Tensor], Tensor]:
    """Makes :func:`product` with one weight, which must not change meanwhile; arguments as of both functions above."""
    if not takes_onednn(weight):
        return lambda inputs: product(inputs, weight, bias)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), rows)
    return lambda inputs: torch.ops.mkldnn._linear_pointwise(inputs, packed, bias, "none", [], "")


def weight_gradient(gradient: Tensor, inputs: Tensor) -> Tensor:
    """Returns the gradient ``(columns, inner)`` of a weight, from all rows that it multiplied.

    Args:
        gradient: of the products, ``(..., columns)``
        inputs: ``(..., inner)``, whose leading dimensions are those of ``gradient``
    """
    return torch.mm(gradient.flatten(0, -2).t(), inputs.flatten(0, -2))


class Product(torch.autograd.Function):
    """Computes :func:`product` with its gradient; called as ``Product.apply(inputs, weight, bias)``."""

    @staticmethod
    def forward(ctx, inputs: Tensor, weight: Tensor, bias: Optional[Tensor]) -> Tensor:
        """Computes the product; shapes as :func:`product` has them."""
        ctx.save_for_backward(inputs, weight)
        return product(inputs, weight, bias)

    @staticmethod
    @differentiable_once
    def backward(ctx, gradient: Tensor) -> Tuple[Optional[Tensor], Optional[Tensor], Optional[Tensor]]:
        """Returns the gradients of the inputs that need one, None for the others."""
        inputs, weight = ctx.saved_tensors
        by_inputs, by_weight, by_bias = ctx.needs_input_grad
        return (
            product(gradient, weight.t()) if by_inputs else None,
            weight_gradient(gradient, inputs) if by_weight else None,
            gradient.flatten(0, -2).sum(dim=0) if by_bias else None,
        )


def linear(inputs: Tensor, weight: Tensor, bias: Optional[Tensor]) -> Tensor:
    """Computes what ``F.linear`` does, with its gradient; calls that itself where oneDNN has no part in it."""
    if autocasts(inputs) or inputs.dtype != weight.dtype or not takes_onednn(inputs):
        return F.linear(inputs, weight, bias)
    if not torch.is_grad_enabled():
        return product(inputs, weight, bias)
    return Product.apply(inputs, weight, bias)
