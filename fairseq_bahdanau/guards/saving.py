"""Saves and copies checkpoints so that no interruption and no full disk can damage one; says what it cannot save."""

import logging
import os
import shutil
import sys
import time
from typing import Any, NoReturn, Set

import torch
from fairseq import checkpoint_utils
from fairseq.file_io import PathManager

from ..text import part_names

fairseq_save, fairseq_copy = checkpoint_utils.torch_persistent_save, PathManager.copy
python_log_error = logging.FileHandler.handleError
complained: Set[str] = set()  # log files of which it was said
PAUSES = (2.5, 2.5)  # seconds before a checkpoint that could not be written is tried again; fairseq's


def cannot_save(path: str, error: OSError) -> NoReturn:
    """Ends the process with one line: a training that cannot save what it learns is to stop.

    Raises:
        SystemExit: always
    """
    folder = os.path.dirname(os.path.abspath(path))
    sys.exit(f"fairseq_bahdanau: cannot save {path}: {error.strerror or error}. What was saved in {folder} before is "
             "whole: mend that and give the same command again, to go on from there")  # fmt: skip


def save_atomically(checkpoint: Any, path: str) -> None:
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


def save_for_fairseq(obj: Any, filename: str, async_write: bool = False) -> None:
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
        cannot_save(dst_path, error)
    return True


def log_error_once(handler: logging.FileHandler, record: logging.LogRecord) -> None:
    """Says in one line that a log file cannot be written, where Python prints a traceback for every line of the log."""
    error = sys.exc_info()[1]
    if not isinstance(error, OSError):
        python_log_error(handler, record)
    elif handler.baseFilename not in complained:
        complained.add(handler.baseFilename)
        place = f"fairseq_bahdanau: cannot write to {handler.baseFilename}"
        print(f"{place}: {error.strerror}: it may lack lines from here on", file=sys.stderr)


def install() -> None:
    """Makes fairseq save and copy by these functions, and the logs of this process complain by the last of them."""
    checkpoint_utils.torch_persistent_save = save_for_fairseq
    PathManager.copy = staticmethod(copy_atomically)
    logging.FileHandler.handleError = log_error_once  # type: ignore[method-assign, assignment]
