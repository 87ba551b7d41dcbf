"""The other scores of the family: inner products, behind the interface of ``AdditiveAttention``.

Luong et al. 2015, section 3.1, "dot" and "general".
"""

from typing import Tuple

import torch
from torch import Tensor, nn

from .attention import Attention


class DotAttention(Attention):
    """e_tj = s' h_j, without parameters: state and annotation must have one size.

    Args:
        top_k: 0 for soft attention, else K of hard attention
    """

    def __init__(self, top_k: int):
        super().__init__(top_k)
        self.key_proj: nn.Module = nn.Identity()

    def forward(self, query: Tensor, keys: Tensor, annotations: Tensor, padding_mask: Tensor) -> Tuple[Tensor, Tensor]:
        """As :meth:`AdditiveAttention.forward`, with keys ``(sentences, src_len, query_dim)``."""
        query = query.view(keys.size(0), -1, keys.size(2))
        return self.look(torch.bmm(query, keys.transpose(1, 2)), annotations, padding_mask)


class BilinearAttention(DotAttention):
    """e_tj = s' (W_a h_j): the inner product with a matrix between, which is part of the keys.

    Args:
        query_dim: size of the decoder state
        annotation_dim: size of an annotation
        top_k: 0 for soft attention, else K of hard attention
    """

    def __init__(self, query_dim: int, annotation_dim: int, top_k: int):
        super().__init__(top_k)
        self.key_proj = nn.Linear(annotation_dim, query_dim, bias=False)  # W_a
