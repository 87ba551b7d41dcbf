"""Attention decides where the decoder looks.

Bahdanau, Cho and Bengio 2014, section 3.1 and appendix A.1.2; the bias b_a is ours (their code has it, their formula
has not). The additive score is theirs, the two inner products are those of Luong et al. 2015.
"""

from typing import Callable, Dict, NamedTuple, Tuple

import torch
from torch import Tensor, nn


class Source(NamedTuple):
    """Holds what the decoder reads of the source sentences; no step changes it.

    Several rows of a batch, the beams of a sentence, may read one sentence; they then stand together, in equal numbers.
    """

    keys: Tensor  # (sentences, src_len, key_dim): what a query is compared with, U_a h_j + b_a
    values: Tensor  # (sentences, src_len, annotation_dim): what is averaged, h_j; 0 on padding
    padding_mask: Tensor  # (sentences, src_len): True where there is no word


class Attention(nn.Module):
    """Averages the annotations by the softmax of their scores; a subclass says how they are scored.

    Args:
        top_k: K of hard attention, which keeps the K largest weights; 0 for soft attention, which keeps all
    """

    def __init__(self, top_k: int):
        super().__init__()
        self.top_k = top_k

    def make_keys(self, annotations: Tensor) -> Tensor:
        """Makes the keys ``(sentences, src_len, key_dim)``, the part of e_tj that needs no state and no step changes.

        Args:
            annotations: ``(sentences, src_len, annotation_dim)``; here they are the keys
        """
        return annotations

    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        """Scores every source position, e_tj.

        Args:
            query: ``(batch, query_dim)``, the state that asks, a batch being sentences times beams
            keys: ``(sentences, src_len, key_dim)``

        Returns:
            ``(sentences, beams, src_len)``
        """
        raise NotImplementedError

    def weigh(self, query: Tensor, source: Source) -> Tensor:
        """Weighs the source positions, a_t = softmax over the unpadded j of e_tj.

        Args:
            query: ``(batch, query_dim)``
            source: of ``sentences``

        Returns:
            ``(sentences, beams, src_len)``, rows that sum to 1 and are 0 on padding; 0 throughout in a row that is all
            padding
        """
        padding_mask = source.padding_mask.unsqueeze(1)
        scores = self.score(query, source.keys).masked_fill(unseen(padding_mask), float("-inf"))
        attention = torch.softmax(scores, dim=2).masked_fill(padding_mask, 0.0)
        if self.top_k > 0:
            attention = keep_best(attention, self.top_k)
        return attention

    def forward(self, query: Tensor, source: Source) -> Tuple[Tensor, Tensor]:
        """Looks at the source once.

        Args:
            query: ``(batch, query_dim)``, the state that asks, a batch being sentences times beams
            source: of ``sentences``

        Returns:
            context c_t ``(batch, annotation_dim)`` and attention a_t ``(batch, src_len)``
        """
        attention = self.weigh(query, source)
        context = torch.bmm(attention, source.values)  # c_t = sum_j a_tj h_j
        return context.flatten(0, 1), attention.flatten(0, 1)


class AdditiveAttention(Attention):
    """Scores by a network of one hidden layer: e_tj = v' tanh(W_a s_{t-1} + U_a h_j + b_a).

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

    def make_keys(self, annotations: Tensor) -> Tensor:
        """As :meth:`Attention.make_keys`: U_a h_j + b_a."""
        return self.key_proj(annotations)

    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        """As :meth:`Attention.score`."""
        query = self.query_proj(query).view(keys.size(0), -1, 1, keys.size(2))
        return torch.matmul(torch.tanh(query + keys.unsqueeze(1)), self.energy)


class DotAttention(Attention):
    """Scores by the inner product e_tj = s' h_j, without parameters (Luong et al. 2015, section 3.1, "dot").

    Args:
        query_dim, annotation_dim: sizes of state and annotation, which must be equal
        attention_dim: not used, there is no hidden layer
        top_k: 0 for soft attention, else K of hard attention
    """

    def __init__(self, query_dim: int, annotation_dim: int, attention_dim: int, top_k: int):
        super().__init__(top_k)

    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        """As :meth:`Attention.score`."""
        return torch.bmm(query.view(keys.size(0), -1, keys.size(2)), keys.transpose(1, 2))


class BilinearAttention(DotAttention):
    """Scores by an inner product with a matrix between: e_tj = s' (W_a h_j).

    Luong et al. 2015, section 3.1, "general". The matrix is part of the keys.

    Args:
        query_dim, annotation_dim: sizes of state and annotation
        attention_dim: not used, there is no hidden layer
        top_k: 0 for soft attention, else K of hard attention
    """

    def __init__(self, query_dim: int, annotation_dim: int, attention_dim: int, top_k: int):
        super().__init__(query_dim, annotation_dim, attention_dim, top_k)
        self.key_proj = nn.Linear(annotation_dim, query_dim, bias=False)  # W_a

    def make_keys(self, annotations: Tensor) -> Tensor:
        """As :meth:`Attention.make_keys`: W_a h_j."""
        return self.key_proj(annotations)


class UniformAttention(Attention):
    """Scores every position alike, e_tj = 0: what a model without attention returns, since fairseq asks for one."""

    def __init__(self):
        super().__init__(top_k=0)

    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        """As :meth:`Attention.score`."""
        return keys.new_zeros(keys.size(0), query.size(0) // keys.size(0), keys.size(1))


def unseen(padding_mask: Tensor) -> Tensor:
    """Returns which scores a softmax must not see, however low the others are: those of padding.

    A row that is all padding is left as it is, since the softmax of nothing is NaN, and so is its gradient.

    Args:
        padding_mask: ``(..., src_len)``, True on padding
    """
    return padding_mask & padding_mask.amin(dim=-1, keepdim=True).logical_not()


def keep_best(attention: Tensor, top_k: int) -> Tensor:
    """Keeps the K largest weights of every row, renormalised, and makes all others 0: hard attention.

    Xu et al. 2015, section 4.1, sample one position and learn by REINFORCE. Deviation: ours takes the best K, without
    randomness, and the gradient passes as if nothing had been cut or renormalised (the straight-through estimator of
    Bengio, Léonard and Courville 2013, section 4).

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


class ScoreChoice(NamedTuple):
    """Names an attention by its score, and says whether state and annotation must have one size."""

    attention: Callable[[int, int, int, int], Attention]  # of query_dim, annotation_dim, attention_dim and top_k
    equal_sizes: bool


# The choices of --attention-score.
SCORES: Dict[str, ScoreChoice] = {
    "additive": ScoreChoice(AdditiveAttention, equal_sizes=False),
    "dot": ScoreChoice(DotAttention, equal_sizes=True),
    "bilinear": ScoreChoice(BilinearAttention, equal_sizes=False),
}
