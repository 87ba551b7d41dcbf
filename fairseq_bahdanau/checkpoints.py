"""Lets a safe ``torch.load`` read fairseq's checkpoints, and writes them so that no interruption can damage one."""

import argparse
import collections
import os
import shutil
import sys
import time
import typing

import numpy as np
import torch
from fairseq import checkpoint_utils
from fairseq.distributed.utils import _TensorPlaceholder
from fairseq.file_io import PathManager
from omegaconf import DictConfig, ListConfig
from omegaconf.base import ContainerMetadata, Metadata
from omegaconf.nodes import AnyNode

from .text import part_names

fairseq_copy, fairseq_save = PathManager.copy, checkpoint_utils.torch_persistent_save
PAUSES = (2.5, 2.5)  # seconds before a checkpoint that could not be written is tried again; fairseq's


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
        SystemExit: there is no room for the copy, or another reason of the file system's; says it in one line
    """
    if PathManager.path_requires_pathmanager(dst_path):
        return fairseq_copy(src_path, dst_path, overwrite)
    try:
        with part_names(dst_path) as (part,):
            shutil.copyfile(src_path, part)
    except OSError as error:
        cannot_save(dst_path, error)
    return True


def cannot_save(path: str, error: OSError) -> typing.NoReturn:
    """Ends the process with one line: a training that cannot save what it learns is to stop.

    Raises:
        SystemExit: always
    """
    folder = os.path.dirname(os.path.abspath(path))
    sys.exit(f"fairseq_bahdanau: cannot save {path}: {error.strerror or error}. What was saved in {folder} before is "
             "whole: mend that and give the same command again, to go on from there")  # fmt: skip


def save_atomically(checkpoint: typing.Any, path: str) -> None:
    """Saves a checkpoint so that ``path`` is at every moment either as before or complete.

    What cannot be written is tried again, from the beginning of the file.

    Raises:
        OSError: it could not be written the last time either; has the path
    """
    for pause in (*PAUSES, None):
        try:
            with part_names(path) as (part,), open(part, "wb") as file:
                torch.save(checkpoint, file)
            return
        except (OSError, RuntimeError) as error:
            # torch ends its archive even where a write has failed, and complains of that in the place of the reason.
            reason = error if isinstance(error, OSError) else error.__context__
            if not isinstance(reason, OSError):
                raise
            if pause is None:
                raise OSError(reason.errno, reason.strerror, path) from error
            time.sleep(pause)


def save_for_fairseq(obj: typing.Any, filename: str, async_write: bool = False) -> None:
    """Does what fairseq's ``torch_persistent_save`` does, by :func:`save_atomically`.

    After a failure fairseq writes again behind what it has in the file, and gives that its final name: a disk that was
    full for a moment left a checkpoint that nothing can load. Storage back ends of fairseq are left to it.

    Raises:
        SystemExit: it cannot be written; says why in one line
    """
    if async_write or PathManager.path_requires_pathmanager(filename):
        return fairseq_save(obj, filename, async_write)
    try:
        save_atomically(obj, filename)
    except OSError as error:
        cannot_save(filename, error)


def install() -> None:
    """Makes this process load safely, and save and copy atomically, by the functions above."""
    allow_fairseq_checkpoints()
    PathManager.copy = staticmethod(copy_atomically)
    checkpoint_utils.torch_persistent_save = save_for_fairseq
