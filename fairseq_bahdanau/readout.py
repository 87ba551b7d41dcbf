"""The maxout readout turns state, context and previous word into the features of the next word.

Bahdanau et al. 2014, equation 4 and appendix A.2.2; maxout: Goodfellow et al. 2013. Deviation: the main text's state
s_t enters, where the appendix writes s_{t-1}; the bias b_o is ours.
"""

from torch import Tensor, nn
from torch.nn import functional as F


class MaxoutReadout(nn.Module):
    """Computes u_t = U_o s_t + V_o c_t + C_o E y_{t-1} + b_o, and takes the largest of every ``pool_size`` neighbours.

    Args:
        state_dim: size of the decoder state
        context_dim: size of the context
        embed_dim: size of the target word's embedding
        maxout_dim: size l of the result
        pool_size: how many neighbours compete, k (the paper's 2)
    """

    def __init__(self, state_dim: int, context_dim: int, embed_dim: int, maxout_dim: int, pool_size: int):
        super().__init__()
        self.maxout_dim = maxout_dim
        self.pool_size = pool_size
        self.state_proj = nn.Linear(state_dim, maxout_dim * pool_size)  # U_o, b_o
        self.context_proj = nn.Linear(context_dim, maxout_dim * pool_size, bias=False)  # V_o
        self.embed_proj = nn.Linear(embed_dim, maxout_dim * pool_size, bias=False)  # C_o

    def forward(self, states: Tensor, contexts: Tensor, embedded: Tensor) -> Tensor:
        """Computes the readout of all time steps at once.

        Args:
            states: ``(batch, tgt_len, state_dim)``, s_t
            contexts: ``(batch, tgt_len, context_dim)``, c_t
            embedded: ``(batch, tgt_len, embed_dim)``, E y_{t-1}

        Returns:
            m_t, ``(batch, tgt_len, maxout_dim)``
        """
        candidates = self.state_proj(states) + self.context_proj(contexts) + self.embed_proj(embedded)  # u_t
        return self.pool(candidates)

    def pool(self, candidates: Tensor) -> Tensor:
        """Returns m_t ``(..., maxout_dim)`` of u_t ``(..., maxout_dim * pool_size)``, one dimension or two in front."""
        return F.max_pool1d(candidates, kernel_size=self.pool_size)
