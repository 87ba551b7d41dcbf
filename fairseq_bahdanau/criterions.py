"""Registers ``--criterion cross_entropy_summed``, the loss whose gradient the paper clips.

fairseq divides a batch's gradient by its words before ``--clip-norm`` sees it; the authors' code clips the gradient of
the loss summed over the batch, which is some thousand times longer, so that the norm of 1 nearly always binds.
"""

from typing import Dict, Tuple

from fairseq.criterions import register_criterion
from fairseq.criterions.cross_entropy import CrossEntropyCriterion, CrossEntropyCriterionConfig
from torch import Tensor, nn


@register_criterion("cross_entropy_summed", dataclass=CrossEntropyCriterionConfig)
class SummedCrossEntropyCriterion(CrossEntropyCriterion):
    """Computes the cross entropy and leaves its gradient undivided; it prints what ``cross_entropy`` prints."""

    def forward(self, model: nn.Module, sample: Dict, reduce: bool = True) -> Tuple[Tensor, int, Dict]:
        """Computes the loss as fairseq's ``cross_entropy`` does, but gives a sample size of 0 in training.

        fairseq's trainer divides the gradient by the sum of the sample sizes of all processes and of all batches of
        an update (``--update-freq``), and by 1 where that sum is 0 (``Trainer.train_step``).
        """
        loss, sample_size, logging_output = super().forward(model, sample, reduce)
        return loss, 0 if self.training else sample_size, logging_output
