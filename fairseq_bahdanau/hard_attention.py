"""Hard attention: few positions, and nothing else.

Xu et al. 2015, section 4.1, where one position is sampled and learning is by REINFORCE. Deviation: ours takes the best
K, without randomness, and learns by a straight-through estimator (Bengio, Léonard and Courville 2013, section 4).
"""

import torch
from torch import Tensor


def keep_best(attention: Tensor, top_k: int) -> Tensor:
    """The K largest weights of every row, renormalised; all others are 0.

    The gradient passes as if nothing had been cut or renormalised (straight-through).

    Args:
        attention: ``(..., src_len)``, rows that sum to 1, or to 0 where all is padding
        top_k: K, at least 1; a row of fewer words keeps them all

    Returns:
        ``(..., src_len)``, with the row sums of ``attention``; K = 1 gives one-hot rows
    """
    weights, positions = attention.topk(min(top_k, attention.size(-1)), dim=-1)
    kept = torch.zeros_like(attention).scatter(-1, positions, weights)
    kept = kept / kept.sum(dim=-1, keepdim=True).clamp(min=1e-6)
    return kept.detach() + (attention - attention.detach())
