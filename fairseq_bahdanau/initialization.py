"""Gives every parameter its first value, in one place.

``paper``: Bahdanau et al. 2014, appendix B.1. ``glorot``: Glorot and Bengio 2010 for input products, Saxe et al. 2013
for recurrent ones, which trains better on small corpora (``docs/paper.md``).
"""

import math

from torch import nn

PAPER, GLOROT = "paper", "glorot"


def initialize(model: nn.Module, scheme: str, gates: int) -> None:
    """Fills the parameters of an encoder-decoder model of this package in place.

    Both schemes make every gate's recurrent block a random orthogonal matrix, and every bias and v zero.

    Args:
        model: with the parameter names of this package
        scheme: ``paper`` (W_a, U_a ~ N(0, 0.001²); all else ~ N(0, 0.01²)) or ``glorot`` (every input block uniform
            within sqrt(6 / (fan_in + fan_out)), embeddings ~ N(0, 1 / embedding size))
        gates: number of gate matrices stacked in one weight; each is initialised as a separate matrix
    """
    for name, parameter in model.named_parameters():
        if "weight_hh" in name or "state_gates.weight" in name:
            for gate in parameter.data.chunk(parameter.size(0) // parameter.size(1)):
                nn.init.orthogonal_(gate)
        elif parameter.dim() == 1:
            nn.init.zeros_(parameter)
        elif scheme == PAPER:
            attention = "query_proj" in name or "key_proj" in name
            nn.init.normal_(parameter, std=0.001 if attention else 0.01)
        elif "embed_tokens" in name or "output_projection" in name:
            nn.init.normal_(parameter, std=1 / math.sqrt(parameter.size(1)))
        else:
            recurrent = "weight_ih" in name or "_gates.weight" in name
            for block in parameter.data.chunk(gates if recurrent else 1):
                nn.init.xavier_uniform_(block)
    for module in model.modules():
        if isinstance(module, nn.Embedding) and module.padding_idx is not None:
            nn.init.zeros_(module.weight[module.padding_idx].detach())
