"""Lets Triton's interpreter run beside a NumPy that no longer takes an array of one element for a number."""

import numpy as np
from triton.runtime import interpreter

patch = interpreter._patch_lang_tensor


def patch_with_index(tensor, scope):
    """Does what Triton 3.6 does, and gives loops their bounds from arrays of any shape."""
    patch(tensor, scope)
    scope.set_attr(tensor, "__index__", lambda self: int(np.asarray(self.handle.data).item()))


interpreter._patch_lang_tensor = patch_with_index
