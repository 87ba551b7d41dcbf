"""Gives the file of --log-file every line once."""

import functools
import logging

from fairseq.logging import progress_bar


def add_once(logger: logging.Logger, handler: logging.Handler) -> None:
    """Adds a handler, unless the logger writes to that file already.

    Fairseq adds one for every epoch and every validation: by epoch 20, each line stands there forty times, and a long
    training runs out of open files.
    """
    files = [known.baseFilename for known in logger.handlers if isinstance(known, logging.FileHandler)]
    if isinstance(handler, logging.FileHandler) and handler.baseFilename in files:
        handler.close()
        return
    logging.Logger.addHandler(logger, handler)


def install() -> None:
    """Makes fairseq's progress bars, which alone write to that file, add it so."""
    logger = progress_bar.logger
    logger.addHandler = functools.partial(add_once, logger)
