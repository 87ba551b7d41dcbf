"""Computes label-smoothed cross entropy from logits, some rows at a time, and leaves the gradient in their place.

fairseq's loss makes the log-probability of every word, and its gradient makes more tensors of that size. On a CPU each
is so large that the operating system hands out, and clears, new memory for it. Here a block of rows stays in the
processor's cache while all is computed of it.
"""

from typing import Optional, Tuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# How many logits make a block: about what a core's cache holds; many more on a GPU, which waits for each launch.
CPU_BLOCK, GPU_BLOCK = 2**20, 2**25
# In float16 a gradient is kept this many times as large until the loss's own scale is known: it is at most 1, and
# mostly below 1e-5, where float16 is coarse.
HALF_SCALE = 4096.0


class BlockwiseLoss(torch.autograd.Function):
    """Computes the losses of :func:`blockwise_loss`, and writes their gradient over the logits.

    With p the softmax of a row of V logits, eps the smoothing and eps_i = eps / (V - 1), a loss is
    -(1 - eps - eps_i) log p_target - eps_i sum_i log p_i, and its gradient p - eps_i, at the target
    less 1 - eps - eps_i.
    """

    @staticmethod
    def forward(
        ctx, logits: Tensor, target: Tensor, smoothing: float, padding_idx: int, writes: bool
    ) -> Tuple[Tensor, Tensor]:
        """Computes both losses; shapes as :func:`blockwise_loss` has them."""
        scale = HALF_SCALE if logits.dtype == torch.float16 else 1.0
        words = logits.size(1)
        share = smoothing / (words - 1)
        rows = max(1, block_size(logits) // words)
        dtype = torch.promote_types(logits.dtype, torch.float32)
        probabilities = logits.new_empty(min(rows, logits.size(0)), words, dtype=dtype)
        losses, nll_losses = (logits.new_empty(logits.size(0), dtype=dtype) for _ in range(2))
        parts = (part.split(rows) for part in (logits, target.unsqueeze(1), losses, nll_losses))
        for block, words_meant, loss, nll_loss in zip(*parts):
            p, scores = probabilities.narrow(0, 0, block.size(0)), block.to(dtype)
            losses_of(scores, words_meant, smoothing, p, loss, nll_loss)
            if writes:
                p.scatter_add_(1, words_meant, torch.full_like(words_meant, smoothing + share - 1, dtype=dtype))
                torch.add(p.mul_(scale) if scale != 1 else p, -share * scale, out=block)
        is_padding = target.eq(padding_idx)
        ctx.save_for_backward(logits.detach(), is_padding)  # detached, since it now holds no logits
        ctx.scale = scale
        losses, nll_losses = losses.masked_fill_(is_padding, 0.0), nll_losses.masked_fill_(is_padding, 0.0)
        ctx.mark_non_differentiable(nll_losses)
        return losses, nll_losses

    @staticmethod
    @once_differentiable
    def backward(ctx, losses_gradient: Tensor, _: Optional[Tensor]) -> Tuple[Optional[Tensor], ...]:
        """Returns the gradient of the logits, which :meth:`forward` wrote; padding's is 0."""
        gradient, is_padding = ctx.saved_tensors
        factors = losses_gradient.masked_fill(is_padding, 0.0).div(ctx.scale)
        scale_rows(gradient, factors)
        return gradient, None, None, None, None


def block_size(logits: Tensor) -> int:
    """Says how many logits make a block on their device."""
    return CPU_BLOCK if logits.device.type == "cpu" else GPU_BLOCK


def losses_of(scores: Tensor, words_meant: Tensor, smoothing: float, p: Tensor, loss: Tensor, nll_loss: Tensor) -> None:
    """Computes the softmax and both losses of a block of logits, and writes them into the last three arguments.

    Args:
        scores: ``(rows, vocabulary)``
        words_meant: the targets, ``(rows, 1)``
        smoothing: eps
        p: where the softmax goes, shaped as ``scores``
        loss: where the label-smoothed loss goes, ``(rows,)``
        nll_loss: where the plain loss goes, ``(rows,)``
    """
    words = scores.size(1)
    share = smoothing / (words - 1)
    total, largest, meant = scores.sum(dim=1), scores.amax(dim=1), scores.gather(1, words_meant).squeeze(1)
    torch.softmax(scores, dim=1, out=p)
    # The largest probability is at least 1 / V, so its logarithm is exact enough for all of them.
    log_sum = largest - p.amax(dim=1).log()
    torch.sub(log_sum, meant, out=nll_loss)
    torch.mul(words * log_sum - total, share, out=loss).add_(nll_loss, alpha=1 - smoothing - share)


def scale_rows(gradient: Tensor, factors: Tensor) -> None:
    """Multiplies each row of a gradient, ``(rows, vocabulary)``, by its factor, where it stands."""
    if gradient.device.type == "cpu":  # where it costs nothing to look: most factors are 1
        changed = factors.ne(1).nonzero().squeeze(1)
        rows = gradient.index_select(0, changed) * factors.index_select(0, changed).unsqueeze(1)
        gradient.index_copy_(0, changed, rows.to(gradient.dtype))
    else:
        gradient.mul_(factors.unsqueeze(1))


def blockwise_loss(logits: Tensor, target: Tensor, smoothing: float, padding_idx: int) -> Tuple[Tensor, Tensor]:
    """Computes what fairseq's ``label_smoothed_nll_loss`` does, of logits in place of log-probabilities.

    Where a gradient is wanted, the logits hold it afterwards. Another reader of them is told so by autograd, if it
    keeps them for a gradient of its own; else it reads numbers that are no logits.

    Args:
        logits: ``(rows, vocabulary)`` of any floating type; float16 and bfloat16 are computed in float32
        target: ``(rows,)``
        smoothing: eps, the share of all other words together
        padding_idx: the target of rows that do not count

    Returns:
        label-smoothed and plain loss in nats, ``(rows,)`` each, 0 on padding; the second has no gradient
    """
    writes = torch.is_grad_enabled() and logits.requires_grad
    return BlockwiseLoss.apply(logits, target, smoothing, padding_idx, writes)
