"""Tells whether a layer's weights may be read where the layer itself is not called.

A weight says what its layer does only as long as the layer is a plain one. A pruned or weight-normalised layer computes
its weight when it is called, a quantised one has none, and a hook may change anything.
"""

from typing import Optional, Tuple, Type

from torch import nn
from torch._subclasses.fake_tensor import FakeTensor

HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
EVERY_MODULES_HOOKS = ("_global_forward_pre_hooks", "_global_forward_hooks", "_global_backward_hooks")
# While torch.export traces a model, a fake parameter stands for each.
PARAMETERS = {nn.Parameter, FakeTensor, type(None)}


def change_of(layer: nn.Module, kinds: Tuple[Type[nn.Module], ...]) -> Optional[str]:
    """Says why the weights of a layer do not tell what it computes; returns None where they do.

    Args:
        layer: that was built as one of ``kinds``, and may have been changed since
        kinds: classes whose forward is known; a class derived from one is another
    """
    return addition_to(layer) if type(layer) in kinds else f"is a {type(layer).__name__}"


def addition_to(layer: nn.Module) -> Optional[str]:
    """Says what was added to a layer that may change what it computes; returns None where nothing was."""
    own = vars(layer)
    if any(own.get(name) for name in HOOKS) or any(getattr(nn.modules.module, name) for name in EVERY_MODULES_HOOKS):
        return "has hooks (as pruning and weight normalisation add)"
    if "forward" in own:
        return "has a forward of its own"
    # Not isinstance: a quantised weight may be a parameter of another class in a plain layer.
    others = {type(parameter) for parameter in own["_parameters"].values()} - PARAMETERS
    return f"has a parameter of {others.pop().__name__}" if others else None


def is_linear(layer: nn.Module) -> bool:
    """Tells whether a layer computes what its weight and bias say."""
    # Not by its class, which is another while torch.export traces the layer.
    return type(layer).forward is nn.Linear.forward and addition_to(layer) is None
