"""Whether a layer's weights may be read where the layer itself is not called.

A weight says what its layer does only as long as the layer is a plain one. A pruned or weight-normalised layer computes
its weight when it is called, a quantised one has none, and a hook may change anything.
"""

from typing import Optional, Tuple, Type

from torch import nn
from torch._subclasses.fake_tensor import FakeTensor

HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
EVERY_MODULES_HOOKS = ("_global_forward_pre_hooks", "_global_forward_hooks", "_global_backward_hooks")


def change_of(layer: nn.Module, kinds: Tuple[Type[nn.Module], ...]) -> Optional[str]:
    """Says why the weights of a layer do not tell what it computes; returns None where they do.

    Args:
        layer: that was built as one of ``kinds``, and may have been changed since
        kinds: classes whose forward is known; a class derived from one is another
    """
    if type(layer) not in kinds:
        return f"is a {type(layer).__name__}"
    own = vars(layer)
    if any(own.get(name) for name in HOOKS) or any(getattr(nn.modules.module, name) for name in EVERY_MODULES_HOOKS):
        return "has hooks (as pruning and weight normalisation add)"
    if "forward" in own:
        return "has a forward of its own"
    # Not isinstance: a quantised weight may be a parameter of another class in a plain layer. While torch.export traces
    # a model, a fake parameter stands for each.
    others = {type(parameter) for parameter in own["_parameters"].values()} - {nn.Parameter, FakeTensor, type(None)}
    return f"has a parameter of {others.pop().__name__}" if others else None
