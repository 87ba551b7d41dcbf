"""Says what to do where a gradient of the fused code is differentiated again, which it cannot be."""

import functools
from typing import Any, Callable, Optional, Tuple

import torch
from torch import Tensor


class NoSecondDerivative(torch.autograd.Function):
    """Hands gradients on, and refuses to be differentiated."""

    @staticmethod
    def forward(ctx, *gradients: Tensor) -> Tuple[Tensor, ...]:
        """Returns them as they are."""
        return tuple(gradient.view_as(gradient) for gradient in gradients)

    @staticmethod
    def backward(ctx, *_: Tensor) -> None:
        """Raises ``RuntimeError``, and says which option has a second derivative."""
        raise RuntimeError("--recurrence fused has no second derivative: build the model with --recurrence reference")


def differentiable_once(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Makes of a backward pass, written without autograd, one whose results refuse to be differentiated.

    PyTorch's own ``once_differentiable`` does so too, but cannot name the option.
    """

    @functools.wraps(backward)
    def run(ctx, *gradients: Optional[Tensor]) -> Any:
        with torch.no_grad():
            results = backward(ctx, *gradients)
        if not torch.is_grad_enabled():  # nobody asks for a graph of the backward pass
            return results
        found = [result.detach().requires_grad_() for result in results if result is not None]
        marked = iter(NoSecondDerivative.apply(*found))
        return tuple(None if result is None else next(marked) for result in results)

    return run
