"""Registers two losses: ``blockwise_label_smoothed_cross_entropy``, which is fast, and ``cross_entropy_summed``.

The first is fairseq's ``label_smoothed_cross_entropy`` for any model that gives logits, ours or not. The second is what
the paper clips: fairseq divides a batch's gradient by its words before ``--clip-norm`` sees it; the authors' code clips
the gradient of the loss summed over the batch, which is some thousand times longer, so that the norm of 1 nearly always
binds.
"""

from typing import Dict, Optional, Tuple

from fairseq.criterions import register_criterion
from fairseq.criterions.cross_entropy import CrossEntropyCriterion, CrossEntropyCriterionConfig
from fairseq.criterions.label_smoothed_cross_entropy import (
    LabelSmoothedCrossEntropyCriterion,
    LabelSmoothedCrossEntropyCriterionConfig,
)
from fairseq.models import FairseqDecoder
from torch import Tensor, nn

from .losses import blockwise_loss

# How fairseq's decoders make probabilities of logits; one that overrides them makes others.
PROBABILITIES = {
    "get_normalized_probs": FairseqDecoder.get_normalized_probs,
    "get_normalized_probs_scriptable": FairseqDecoder.get_normalized_probs_scriptable,
}


@register_criterion("blockwise_label_smoothed_cross_entropy", dataclass=LabelSmoothedCrossEntropyCriterionConfig)
class BlockwiseLabelSmoothedCrossEntropyCriterion(LabelSmoothedCrossEntropyCriterion):
    """Computes and prints what ``label_smoothed_cross_entropy`` does, from the logits and in their own memory.

    In training the logits hold their gradient afterwards, so nothing may read them. Options are fairseq's.
    """

    def forward(self, model: nn.Module, sample: Dict, reduce: bool = True) -> Tuple[Tensor, int, Dict]:
        """As fairseq's criterion; ``reduce=False`` gives the loss of every target word, 0 on padding.

        Raises:
            ValueError: the model gives no logits, or computes its probabilities in a way of its own
        """
        require_logits(model, "blockwise_label_smoothed_cross_entropy")
        net_output = model(**sample["net_input"])
        logits, target = net_output[0], model.get_targets(sample, net_output)  # type: ignore[operator]
        if self.ignore_prefix_size > 0:
            logits, target = logits[:, self.ignore_prefix_size :], target[:, self.ignore_prefix_size :]
        logits, target = logits.reshape(-1, logits.size(-1)), target.reshape(-1)
        best = logits.argmax(dim=1) if self.report_accuracy else None  # now, while they are logits
        loss, nll_loss = blockwise_loss(logits, target, self.eps, self.padding_idx)
        if reduce:
            loss, nll_loss = loss.sum(), nll_loss.sum()
        logging_output = self.logged(sample, loss.data, nll_loss.data, best, target)
        return loss, logging_output["sample_size"], logging_output

    def logged(self, sample: Dict, loss: Tensor, nll_loss: Tensor, best: Optional[Tensor], target: Tensor) -> Dict:
        """Returns what fairseq's criterion logs of a batch; ``best`` are the model's words, None where nobody asks."""
        logging_output = {
            "loss": loss,
            "nll_loss": nll_loss,
            "ntokens": sample["ntokens"],
            "nsentences": sample["target"].size(0),
            "sample_size": sample["target"].size(0) if self.sentence_avg else sample["ntokens"],
        }
        if best is not None:
            is_word = target.ne(self.padding_idx)
            logging_output["n_correct"] = int((best.eq(target) & is_word).sum())
            logging_output["total"] = int(is_word.sum())
        return logging_output


def require_logits(model: nn.Module, criterion: str) -> None:
    """Raises ``ValueError`` for a criterion where a model's probabilities are not the softmax of what it returns."""
    decoder = getattr(model, "decoder", model)
    adaptive = getattr(decoder, "adaptive_softmax", None) is not None
    if adaptive or any(getattr(type(decoder), name, None) is not kept for name, kept in PROBABILITIES.items()):
        raise ValueError(
            f"--criterion {criterion} needs the logits of a softmax over all words, which "
            f"{type(decoder).__name__} does not give here: take --criterion "
            f"{'adaptive_loss' if adaptive else 'label_smoothed_cross_entropy'}"
        )


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


from . import plugin  # noqa: E402, F401  all else that registers itself, for who begins with this module
