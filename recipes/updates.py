"""Prints how many updates fairseq-train makes of its training data in one epoch.

``python updates.py DATA [options of fairseq-train]``. A learning rate that falls to 0 must be told how many there are
in all, and they depend on the text and on the size of a batch.
"""

import logging
import math
import warnings

from fairseq import options, tasks
from fairseq.dataclass.utils import convert_namespace_to_omegaconf


def updates_of_an_epoch() -> int:
    """Counts the batches of the data that the command line names, as fairseq-train makes them in its first epoch."""
    cfg = convert_namespace_to_omegaconf(options.parse_args_and_arch(options.get_training_parser()))
    task = tasks.setup_task(cfg.task)
    task.load_dataset(cfg.dataset.train_subset)
    batches = task.get_batch_iterator(
        task.dataset(cfg.dataset.train_subset),
        max_tokens=cfg.dataset.max_tokens,
        max_sentences=cfg.dataset.batch_size,
        max_positions=task.max_positions(),
        ignore_invalid_inputs=True,
        required_batch_size_multiple=cfg.dataset.required_batch_size_multiple,
        seed=cfg.common.seed,
    )
    return math.ceil(len(batches) / cfg.optimization.update_freq[0])


if __name__ == "__main__":
    # What is told here, fairseq-train tells of the same data.
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    print(updates_of_an_epoch())
