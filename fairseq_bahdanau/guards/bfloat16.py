"""Lets ``--bf16`` train in bfloat16 on the device at hand: fairseq takes it for a wish for a TPU, and looks for one.

``--bf16`` and ``--memory-efficient-bf16`` set ``--tpu`` in fairseq's options (fairseq issue 2742), though the trainer
knows bfloat16 on a GPU and on a CPU. Where PyTorch/XLA is installed, as it must be for a TPU, they mean what they did.
"""

import functools
import importlib.util
from typing import Callable

from fairseq.distributed import utils as distributed_utils
from omegaconf import DictConfig


def meant_for_a_tpu() -> bool:
    """Says whether this machine has the package without which fairseq cannot use a TPU."""
    return importlib.util.find_spec("torch_xla") is not None


def without_tpu(call_main: Callable[..., None]) -> Callable[..., None]:
    """Makes fairseq's ``call_main``, which every command ends in, take bfloat16 for a precision alone."""

    @functools.wraps(call_main)
    def call(cfg: DictConfig, main: Callable[..., None], **kwargs) -> None:
        if cfg.common.bf16 and cfg.common.tpu and not meant_for_a_tpu():
            cfg.common.tpu = cfg.distributed_training.tpu = False
        call_main(cfg, main, **kwargs)

    return call


def install() -> None:
    """Puts it in its place."""
    distributed_utils.call_main = without_tpu(distributed_utils.call_main)
