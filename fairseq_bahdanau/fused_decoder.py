"""The default decoder with the loop of ``fused_recurrence.py``."""

from typing import Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .decoder import BahdanauDecoder
from .fused_recurrence import FusedLoop
from .products import Product


class FusedDecoder(BahdanauDecoder):
    """:class:`BahdanauDecoder` with the same parameters and a faster :meth:`unroll`.

    For additive soft attention and ``GRUCell``. A search, which goes by single steps and beams, and TorchScript run as
    the reference does.
    """

    # TorchScript has no super(), so the reference's loop has a second name here; exported, or it would keep its first.
    step_by_step = torch.jit.export(BahdanauDecoder.unroll)

    project = torch.jit.export(BahdanauDecoder.output_layer)

    def unroll(
        self,
        embed_gates: Tensor,
        state: Tensor,
        context: Tensor,
        keys: Tensor,
        annotations: Tensor,
        padding_mask: Tensor,
    ) -> Tuple[Tensor, Tensor, Tensor]:
        """As :meth:`BahdanauDecoder.unroll`."""
        if not torch.jit.is_scripting():
            in_search = embed_gates.size(1) == 1 or embed_gates.size(0) != keys.size(0)
            # A quantised layer has no weight that could be read.
            if not in_search and isinstance(self.attention.query_proj, nn.Linear):
                return self.fused(embed_gates, state, keys, annotations, padding_mask)
        return self.step_by_step(embed_gates, state, context, keys, annotations, padding_mask)

    def output_layer(self, features: Tensor) -> Tensor:
        """As :meth:`BahdanauDecoder.output_layer`."""
        if not torch.jit.is_scripting():
            if features.device.type == "cpu" and torch.is_grad_enabled() and self.adaptive_softmax is None:
                projection = self.output_projection
                # Neither a quantised layer, which has no weight that could be read, nor under autocast.
                if isinstance(projection, nn.Linear) and projection.weight.dtype == features.dtype:
                    return Product.apply(features, projection.weight, projection.bias)
        return self.project(features)

    @torch.jit.unused
    def fused(
        self, embed_gates: Tensor, state: Tensor, keys: Tensor, annotations: Tensor, padding_mask: Tensor
    ) -> Tuple[Tensor, Tensor, Tensor]:
        """What :meth:`unroll` takes and returns, in the type of ``embed_gates``: a product's, under autocast too."""
        dtype = embed_gates.dtype
        annotations, context_weight = annotations.to(dtype), self.recurrence.context_gates.weight
        values = annotations
        if folds(annotations.size(1), embed_gates.size(1), *context_weight.shape):
            values, context_weight = Product.apply(annotations, context_weight.to(dtype), None), None
        else:
            context_weight = context_weight.to(dtype)
        # One product for query and state gates. The recurrent part of new goes first, where the loop wants it.
        query_weight, state_gates = self.attention.query_proj.weight, self.recurrence.cell.state_gates
        hidden_size, attention_dim = state_gates.in_features, query_weight.size(0)
        reset_update, new = state_gates.weight.split([2 * hidden_size, hidden_size])
        weight = torch.cat([2 * query_weight, new, reset_update])
        bias = F.pad(state_gates.bias.roll(hidden_size), (attention_dim, hidden_size))
        states, attention = FusedLoop.apply(
            embed_gates,
            state.to(dtype),
            keys.to(dtype).contiguous(),
            values.masked_fill(padding_mask.unsqueeze(2), 0.0),  # no context in a row that is all padding
            context_weight,
            weight.to(dtype),
            bias.to(dtype),
            2 * self.attention.energy.to(dtype),
            padding_mask,
        )
        return states, torch.bmm(attention, annotations), attention


def folds(src_len: int, tgt_len: int, gates: int, annotation_dim: int) -> bool:
    """Whether W_c is multiplied with all annotations before the loop, and not with every context within it.

    By the number of multiplications of a sentence, where those before the loop count two thirds: their matrices have
    ``src_len`` times as many rows, and the loop is shorter by an operation.
    """
    before = src_len * annotation_dim * gates + tgt_len * src_len * gates
    within = tgt_len * src_len * annotation_dim + tgt_len * annotation_dim * gates
    return 2 * before < 3 * within
