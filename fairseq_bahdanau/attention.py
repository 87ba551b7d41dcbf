"""Attention: where the decoder looks.

Bahdanau, Cho and Bengio 2014, section 3.1 and appendix A.1.2; the bias b_a is ours (their code has it,
their formula has not). Letters, here and in the whole package: h_j annotation of source position j,
s_t decoder state, e_tj score, a_tj attention weight, c_t context. Other scores are in ``attention_variants.py``, hard
attention in ``hard_attention.py``.
"""

from typing import Tuple

import torch
from torch import Tensor, nn

from .hard_attention import keep_best


class Attention(nn.Module):
    """Averages the annotations by the softmax of their scores; how they are scored is the subclass's.

    Args:
        top_k: 0 for soft attention, else K of hard attention
    """

    def __init__(self, top_k: int):
        super().__init__()
        self.top_k = top_k

    def look(self, scores: Tensor, annotations: Tensor, padding_mask: Tensor) -> Tuple[Tensor, Tensor]:
        """From scores e_t ``(sentences, beams, src_len)`` to c_t and a_t, as :meth:`AdditiveAttention.forward` returns
        them."""
        # a_t = softmax over the unpadded j. float16's lowest number, not -inf: no NaN in a row that is all padding.
        padding_mask = padding_mask.unsqueeze(1)
        scores = scores.masked_fill(padding_mask, -65504.0)
        attention = torch.softmax(scores, dim=2).masked_fill(padding_mask, 0.0)
        if self.top_k > 0:
            attention = keep_best(attention, self.top_k)
        # c_t = sum_j a_tj h_j
        context = torch.bmm(attention, annotations)
        return context.flatten(0, 1), attention.flatten(0, 1)


class AdditiveAttention(Attention):
    """e_tj = v' tanh(W_a s_{t-1} + U_a h_j + b_a): scores by a network of one hidden layer.

    Args:
        query_dim: size of the decoder state that asks
        annotation_dim: size of an annotation (both encoder directions together)
        attention_dim: size n' of the layer in which query and key meet
        top_k: 0 for soft attention, else K of hard attention
    """

    def __init__(self, query_dim: int, annotation_dim: int, attention_dim: int, top_k: int):
        super().__init__(top_k)
        self.query_proj = nn.Linear(query_dim, attention_dim, bias=False)  # W_a
        self.key_proj = nn.Linear(annotation_dim, attention_dim)  # U_a, b_a
        self.energy = nn.Parameter(torch.zeros(attention_dim))  # v

    def forward(self, query: Tensor, keys: Tensor, annotations: Tensor, padding_mask: Tensor) -> Tuple[Tensor, Tensor]:
        """One look at the source. A batch is sentences times beams, which stand together; in training, one of each.

        Args:
            query: ``(batch, query_dim)``, the state s_{t-1}
            keys: ``(sentences, src_len, attention_dim)``, ``key_proj(annotations)``, the same at every step
            annotations: ``(sentences, src_len, annotation_dim)``
            padding_mask: ``(sentences, src_len)``, True where there is no word

        Returns:
            context ``(batch, annotation_dim)`` and attention ``(batch, src_len)``, whose rows sum to 1 and are
            0 on padding; a row that is padding throughout is 0 in both.
        """
        query = self.query_proj(query).view(keys.size(0), -1, 1, keys.size(2))
        scores = torch.matmul(torch.tanh(query + keys.unsqueeze(1)), self.energy)  # e_t
        return self.look(scores, annotations, padding_mask)
