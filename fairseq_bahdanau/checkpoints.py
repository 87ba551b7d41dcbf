"""Lets a safe ``torch.load`` read fairseq's checkpoints, and copies them so that no interruption can damage a copy."""

import argparse
import collections
import shutil
import typing

import numpy as np
import torch
from fairseq.distributed.utils import _TensorPlaceholder
from fairseq.file_io import PathManager
from omegaconf import DictConfig, ListConfig
from omegaconf.base import ContainerMetadata, Metadata
from omegaconf.nodes import AnyNode

from . import saving
from .text import part_names

fairseq_copy = PathManager.copy


def allow_fairseq_checkpoints() -> None:
    """Tells PyTorch which classes fairseq puts into checkpoints, so that ``weights_only`` may stay on.

    From PyTorch 2.6 on, ``torch.load`` refuses every class that it was not told of. All named here only hold data; a
    file that holds any other class is still refused. This serves the checkpoints of every fairseq model.
    """
    if not hasattr(torch.serialization, "add_safe_globals"):  # PyTorch < 2.4 has no such list and refuses nothing
        return
    allowed: list = [argparse.Namespace]  # options of legacy architectures, tasks and optimizers (lstm, adadelta)
    # Arrays and scalars: the meters of --eval-bleu. A file names numpy's modules as the numpy that wrote it did.
    allowed += [np.ndarray, np.dtype] + [type(np.dtype(kind)) for kind in ("i4", "i8", "f4", "f8")]
    reconstruct, scalar = np.zeros(1).__reduce__()[0], np.float64(1).__reduce__()[0]
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        allowed += [(reconstruct, f"{module}._reconstruct"), (scalar, f"{module}.scalar")]
    # Options and placeholders: what process 0 sends to the others when several resume.
    allowed += [DictConfig, ListConfig, ContainerMetadata, Metadata, AnyNode, _TensorPlaceholder]
    allowed += [dict, list, int, collections.defaultdict, typing.Any]
    torch.serialization.add_safe_globals(allowed)


def copy_atomically(src_path: str, dst_path: str, overwrite: bool = False) -> bool:
    """Copies a file so that ``dst_path`` is at every moment either as before or complete.

    Stands in for fairseq's ``PathManager.copy``, which makes ``checkpoint_last.pt`` and ``checkpoint_best.pt`` by a
    plain copy: interrupted, it left a short file from which training could not go on. Paths that only an optional
    storage back end of fairseq understands (``s3://`` and the like) are left to that.

    Args:
        src_path, dst_path: the files
        overwrite: fairseq passes True; a local file is replaced either way, as by fairseq's own copy

    Returns:
        True

    Raises:
        SystemExit: it cannot be copied; says why in one line
    """
    if PathManager.path_requires_pathmanager(dst_path):
        return fairseq_copy(src_path, dst_path, overwrite)
    try:
        with part_names(dst_path) as (part,):
            shutil.copyfile(src_path, part)
    except OSError as error:
        saving.cannot_save(dst_path, error)
    return True


def install() -> None:
    """Makes this process load safely, and save and copy atomically."""
    allow_fairseq_checkpoints()
    saving.install()
    PathManager.copy = staticmethod(copy_atomically)
