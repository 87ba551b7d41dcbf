"""Registers ``r_drop_label_smoothed_cross_entropy``: two passes with different dropout, drawn towards each other.

Liang et al. 2021, "R-Drop: Regularized Dropout for Neural Networks", section 2. With p and q what the two passes
predict, for every target word y and the weight A of ``--r-drop-weight``:

    loss = 1/2 [L(p, y) + L(q, y)] + A/4 [KL(p || q) + KL(q || p)]

This is half of equation 4, with A as the paper's alpha, so that gradients are as long as those of a single pass, and
learning rate and ``--clip-norm`` mean what they do elsewhere. L is label-smoothed, as in the authors' code.
"""

import math
from dataclasses import dataclass, field
from typing import Dict, Iterator, List, Optional, Tuple

import torch
from fairseq.criterions import register_criterion
from fairseq.criterions.label_smoothed_cross_entropy import LabelSmoothedCrossEntropyCriterionConfig
from fairseq.logging import metrics
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from . import losses
from .criterions import BlockwiseLabelSmoothedCrossEntropyCriterion, require_logits

NAME = "r_drop_label_smoothed_cross_entropy"


class PairLoss(torch.autograd.Function):
    """Computes the losses of :func:`pair_loss`, and writes their gradient over the logits.

    With a and b the logits of p and q and e = a - b, KL(p || q) + KL(q || p) is sum_i p_i e_i - sum_i q_i e_i: what a
    softmax subtracts from its logits cancels. Its gradient by a is p (e - sum_i p_i e_i) + p - q; by b it is the same
    with p and q, a and b exchanged.
    """

    @staticmethod
    def forward(ctx, logits: Tensor, target: Tensor, smoothing: float, weight: float, padding_idx: int):
        """Computes loss, plain loss and divergence; shapes as :func:`pair_loss` has them."""
        writes = ctx.needs_input_grad[0]
        # In float16 a gradient may be as large as the weight times the difference of two log-probabilities.
        scale = losses.HALF_SCALE / (1 + weight) if logits.dtype == torch.float16 else 1.0
        share = smoothing / (logits.size(-1) - 1)
        dtype = torch.promote_types(logits.dtype, torch.float32)
        target = target.unsqueeze(1)  # (sentences, 1, tgt_len), cut as the logits are
        results = [torch.empty(target.shape, dtype=dtype, device=logits.device) for _ in range(3)]
        parts = (blocks(part, *block_shape(logits)) for part in (logits, target, *results))
        for block, words_meant, loss, nll_loss, divergence in zip(*parts):
            words_meant = words_meant.expand(block.shape[:-1]).unsqueeze(-1)
            scores, p = block.to(dtype), block.new_empty(block.shape, dtype=dtype)
            smoothed, plain = p.new_empty(2, *p.shape[:-1])
            losses.losses_of(scores, words_meant, smoothing, p, smoothed, plain)
            e = scores - scores.flip(1)  # a - b in the first pass, b - a in the second
            mean = (p * e).sum(dim=-1, keepdim=True)
            torch.mean(mean.squeeze(-1), dim=1, keepdim=True, out=divergence)
            torch.mean(plain, dim=1, keepdim=True, out=nll_loss)
            torch.mean(smoothed, dim=1, keepdim=True, out=loss).add_(divergence, alpha=weight / 2)
            if writes:  # p/2 - share/2 and A/4 (p (e - mean) + p - q), in few passes over memory
                gradient = torch.add(0.5 + (1 - mean) * (weight / 4), e, alpha=weight / 4, out=e).mul_(p)
                gradient.sub_(p.flip(1), alpha=weight / 4)
                at_words = torch.full_like(words_meant, (smoothing + share - 1) / 2, dtype=dtype)
                gradient.scatter_add_(-1, words_meant, at_words)
                torch.sub(gradient.mul_(scale) if scale != 1 else gradient, share / 2 * scale, out=block)
        is_padding = target.eq(padding_idx)
        ctx.save_for_backward(logits.detach(), is_padding)  # detached, since it now holds no logits
        ctx.scale = scale
        loss, nll_loss, divergence = (result.masked_fill_(is_padding, 0.0).squeeze(1) for result in results)
        ctx.mark_non_differentiable(nll_loss, divergence)
        return loss, nll_loss, divergence

    @staticmethod
    @once_differentiable
    def backward(ctx, loss_gradient: Tensor, *_: Optional[Tensor]) -> Tuple[Optional[Tensor], ...]:
        """Returns the gradient of the logits, which :meth:`forward` wrote; padding's is 0."""
        gradient, is_padding = ctx.saved_tensors
        factors = loss_gradient.unsqueeze(1).masked_fill(is_padding, 0.0).div(ctx.scale)
        rows = gradient.view(-1, gradient.size(-1))
        losses.scale_rows(rows, factors.expand(gradient.shape[:-1]).reshape(-1))
        return gradient, None, None, None, None


def block_shape(logits: Tensor) -> Tuple[int, int]:
    """Says how many sentences, and how many target positions of each, make a block of logits."""
    _, passes, tgt_len, words = logits.shape
    rows = max(passes, losses.block_size(logits) // words)
    return max(1, rows // max(1, passes * tgt_len)), rows // passes


def blocks(tensor: Tensor, sentences: int, positions: int) -> Iterator[Tensor]:
    """Cuts a tensor, ``(sentences, passes, tgt_len, ...)``, into views of blocks."""
    for part in tensor.split(sentences):
        yield from part.split(positions, dim=2)


def pair_loss(
    logits: Tensor, target: Tensor, smoothing: float, weight: float, padding_idx: int
) -> Tuple[Tensor, Tensor, Tensor]:
    """Computes the loss of two passes over the same words. Where a gradient is wanted, the logits hold it afterwards.

    Args:
        logits: ``(sentences, 2, tgt_len, vocabulary)``, contiguous, of any floating type; float16 and bfloat16 are
            computed in float32
        target: ``(sentences, tgt_len)``
        smoothing: eps, the share of all other words together
        weight: A
        padding_idx: the target of positions that do not count

    Returns:
        the loss above, the plain loss 1/2 [-log p_y - log q_y] and the divergence 1/2 [KL(p || q) + KL(q || p)] in
        nats, ``(sentences, tgt_len)`` each, 0 on padding; only the first has a gradient
    """
    return PairLoss.apply(logits, target, smoothing, weight, padding_idx)


@dataclass
class RDropCriterionConfig(LabelSmoothedCrossEntropyCriterionConfig):
    """The options of fairseq's ``label_smoothed_cross_entropy``, and one more."""

    r_drop_weight: float = field(
        default=1.0,
        metadata={
            "help": "alpha, how much the divergence of the two passes counts; the paper's translation models, which "
            "are large and trained for long, have 5"
        },
    )


@register_criterion(NAME, dataclass=RDropCriterionConfig)
class RDropLabelSmoothedCrossEntropyCriterion(BlockwiseLabelSmoothedCrossEntropyCriterion):
    """Trains on every sentence twice, and validates as ``label_smoothed_cross_entropy`` does, by one pass.

    The log's loss and perplexity are those of label-smoothed cross entropy, so they compare with other runs; beside
    them stands ``r_drop``, the divergence 1/2 [KL(p || q) + KL(q || p)] in bits a word. What is minimised is
    loss + A/2 r_drop.
    """

    def __init__(
        self, task, sentence_avg, label_smoothing, ignore_prefix_size=0, report_accuracy=False, r_drop_weight=1.0
    ):
        if not 0 <= r_drop_weight < math.inf:
            raise ValueError(f"--r-drop-weight {r_drop_weight} is no weight: take a number from 0 on, such as 1")
        super().__init__(task, sentence_avg, label_smoothing, ignore_prefix_size, report_accuracy)
        self.weight = r_drop_weight

    def forward(self, model: nn.Module, sample: Dict, reduce: bool = True) -> Tuple[Tensor, int, Dict]:
        """As fairseq's criterion; ``reduce=False`` gives the loss of every target word, 0 on padding.

        Raises:
            ValueError: the model gives no logits, or reads something that cannot be repeated
        """
        require_logits(model, NAME)
        if not model.training:
            return super().forward(model, sample, reduce)
        net_output = model(**repeated(sample["net_input"], sample["target"].size(0)))
        logits, target = net_output[0], model.get_targets(sample, net_output)  # type: ignore[operator]
        logits = logits.reshape(target.size(0), 2, target.size(1), -1)
        if self.ignore_prefix_size > 0:
            logits, target = logits[:, :, self.ignore_prefix_size :], target[:, self.ignore_prefix_size :]
        best = logits.argmax(dim=-1) if self.report_accuracy else None  # now, while they are logits
        results = pair_loss(logits.contiguous(), target, self.eps, self.weight, self.padding_idx)
        loss, nll_loss, divergence = (result.sum() if reduce else result.reshape(-1) for result in results)
        plain = loss.data - self.weight / 2 * divergence
        logging_output = self.logged(sample, plain, nll_loss.data, best, target.unsqueeze(1))
        return loss, logging_output["sample_size"], {**logging_output, "r_drop": divergence.data}

    @classmethod
    def reduce_metrics(cls, logging_outputs: List[Dict]) -> None:
        """Logs what ``label_smoothed_cross_entropy`` does, and ``r_drop`` in training."""
        super().reduce_metrics(logging_outputs)
        if any("r_drop" in log for log in logging_outputs):
            words = sum(log["ntokens"] for log in logging_outputs)
            divergence = sum(log["r_drop"] for log in logging_outputs)
            metrics.log_scalar("r_drop", divergence / words / math.log(2), words, round=3)


def repeated(net_input: Dict, sentences: int) -> Dict:
    """Puts every sentence's copy beside it: next to each other they stay sorted by length, as ``lstm`` needs them.

    One pass over both is a little faster than two passes, and on a GPU has half as many steps of a recurrence.
    """
    for name, value in net_input.items():
        if value is not None and not (isinstance(value, Tensor) and value.shape[:1] == (sentences,)):
            raise ValueError(
                f"--criterion {NAME} cannot repeat the model's input {name}, which has no row for each sentence of the "
                "batch: take --criterion label_smoothed_cross_entropy"
            )
    return {name: value if value is None else value.repeat_interleave(2, dim=0) for name, value in net_input.items()}


from . import plugin  # noqa: E402, F401  all else that registers itself, for who begins with this module
