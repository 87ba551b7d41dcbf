"""Importing this module makes the package known to fairseq: architectures, tasks, criterions, and the guards."""

import torch

if tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 4):
    raise ImportError(f"fairseq-bahdanau needs PyTorch 2.4 or later, install one: this is {torch.__version__}")

from . import criterions, guards, model, tasks  # noqa: F401  they register themselves

guards.install()
