"""Says where the loop in Triton can run. Elsewhere ``--recurrence triton`` runs the fused loop."""

import functools
import importlib.util
import os
from typing import Any, Callable, Dict, Optional

import torch
from torch import Tensor

INTERPRET = "TRITON_INTERPRET"  # environment variable; "1" runs Triton's kernels on a CPU, slowly


def hindrance(embed_gates: Tensor) -> Optional[str]:
    """Returns what hinders Triton from these gates' loop, to be read behind its name; None where nothing does."""
    if importlib.util.find_spec("triton") is None:
        return "is not installed"
    if embed_gates.device.type != "cuda" and os.environ.get(INTERPRET) != "1":
        return f"has no loop on the device {embed_gates.device.type}"
    if embed_gates.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        return f"has no loop in {embed_gates.dtype}"
    return None


def twin(order: str) -> Callable[..., Any]:
    """Returns the twin of an order's ``unroll`` in Triton, which is imported here and nowhere else."""
    from . import triton_conditional, triton_loop

    twins: Dict[str, Callable[..., Any]] = {
        "look-update-generate": triton_loop.unroll,
        "update-look-generate": functools.partial(triton_loop.unroll, looks_late=True),
        "update-look-update-generate": triton_conditional.unroll,
    }
    return twins[order]
