"""The default decoder with the loop of ``fused_recurrence.py``."""

from typing import Dict, List, Optional, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .beams import begin_search, follow
from .decoder import BahdanauDecoder
from .fused_recurrence import PADDING_SCORE, FusedLoop
from .products import Product, linear


class FusedDecoder(BahdanauDecoder):
    """:class:`BahdanauDecoder` with the same parameters, a faster :meth:`unroll` and a faster step of a search.

    For additive soft attention and ``GRUCell``. TorchScript and quantised layers run as the reference does.
    """

    # TorchScript has no super(), so the reference's methods have second names here; exported, or they keep their first.
    step_by_step = torch.jit.export(BahdanauDecoder.unroll)
    project = torch.jit.export(BahdanauDecoder.output_layer)
    reference_features = torch.jit.export(BahdanauDecoder.extract_features)

    def extract_features(
        self,
        prev_output_tokens: Tensor,
        encoder_out: Optional[Dict[str, List[Tensor]]] = None,
        incremental_state: Optional[Dict[str, Dict[str, Optional[Tensor]]]] = None,
    ) -> Tuple[Tensor, Dict[str, List[Optional[Tensor]]]]:
        """As :meth:`BahdanauDecoder.extract_features`."""
        if not torch.jit.is_scripting():
            if incremental_state is not None and self.has_weights():
                return self.search_step(prev_output_tokens[:, -1], encoder_out, incremental_state)
        return self.reference_features(prev_output_tokens, encoder_out, incremental_state)

    @torch.jit.unused
    def has_weights(self) -> bool:
        """Whether there are weights that can be read: a quantised layer has none."""
        return isinstance(self.attention.query_proj, nn.Linear)

    @torch.jit.unused
    def begin_fused_search(self, encoder_out: Dict[str, List[Tensor]]) -> Dict[str, Optional[Tensor]]:
        """What :func:`~fairseq_bahdanau.beams.begin_search` returns, and what no step changes: stacked weights, one
        product for all that enters from the word, one for all from the state; the values contain W_c and V_o."""
        recurrence, readout = self.recurrence, self.readout
        from_context = torch.cat([recurrence.context_gates.weight, readout.context_proj.weight])
        values = F.linear(encoder_out["encoder_out"][0], from_context)
        values = values.masked_fill(encoder_out["encoder_padding_mask"][0].unsqueeze(2), 0.0)
        carried, dtype = begin_search(self.begin(encoder_out), values, encoder_out), values.dtype
        state_gates, query_weight = recurrence.cell.state_gates, self.attention.query_proj.weight
        carried.update(
            context=None,
            word_weight=torch.cat([recurrence.embed_gates.weight, readout.embed_proj.weight]).to(dtype),
            word_bias=torch.cat([recurrence.embed_gates.bias, readout.state_proj.bias]).to(dtype),
            state_weight=torch.cat([state_gates.weight, 2 * query_weight]).to(dtype),
            state_bias=F.pad(state_gates.bias, (0, query_weight.size(0))).to(dtype),
            energy=2 * self.attention.energy.to(dtype),
        )
        return carried

    @torch.jit.unused
    def search_step(
        self,
        words: Tensor,
        encoder_out: Dict[str, List[Tensor]],
        incremental_state: Dict[str, Dict[str, Optional[Tensor]]],
    ) -> Tuple[Tensor, Dict[str, List[Optional[Tensor]]]]:
        """One step of every beam, ``words`` ``(rows,)`` being y_{t-1}; the formulas are those of ``FusedLoop``."""
        carried = self.get_incremental_state(incremental_state, "search")
        if carried is None:
            carried, moved = self.begin_fused_search(encoder_out), True
        else:
            moved = follow(carried, encoder_out)
        state, keys, values, padding_mask = (carried[name] for name in ("state", "keys", "values", "padding_mask"))
        (rows, hidden_size), (groups, src_len, attention_dim) = state.shape, keys.shape
        if moved:
            scores = torch.zeros_like(padding_mask, dtype=keys.dtype).masked_fill(padding_mask, PADDING_SCORE)
            carried["padding_scores"] = scores.repeat_interleave(rows // groups, dim=0).view(-1)

        embedded = self.embed_dropout(self.embed_tokens(words))
        inputs = linear(embedded.to(values.dtype), carried["word_weight"], carried["word_bias"])
        from_state = linear(state.to(values.dtype), carried["state_weight"], carried["state_bias"])
        state_gates, new_recurrent, query = from_state.split([2 * hidden_size, hidden_size, attention_dim], dim=1)
        # e_tj and a_t, of all beams of a sentence with the same keys
        layer = torch.add(query.view(groups, -1, 1, attention_dim), keys.unsqueeze(1), alpha=2).sigmoid_()
        scores = torch.addmv(carried["padding_scores"], layer.view(-1, attention_dim), carried["energy"])
        attention = torch.softmax(scores.view(groups, -1, src_len), dim=2).masked_fill(padding_mask.unsqueeze(1), 0.0)
        # W_c c_t and V_o c_t
        inputs.view(groups, -1, inputs.size(1)).baddbmm_(attention.to(values.dtype), values)
        gates, new, candidates = inputs.split([2 * hidden_size, hidden_size, inputs.size(1) - 3 * hidden_size], dim=1)
        # s_t = (1 - update) * new + update * s_{t-1}
        reset, update = torch.add(gates, state_gates).sigmoid_().chunk(2, dim=1)
        new = torch.addcmul(new, reset, new_recurrent).tanh_()
        state = torch.lerp(new, state, update)
        # u_t = U_o s_t + V_o c_t + C_o E y_{t-1} + b_o
        readout = self.readout.pool(torch.addmm(candidates, state, self.readout.state_proj.weight.t()))
        features = self.factor_proj(self.readout_dropout(readout)).unsqueeze(1)
        carried["state"] = state
        self.set_incremental_state(incremental_state, "search", carried)
        return features, {"attn": [attention.view(rows, 1, src_len)]}

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
            if not in_search and self.has_weights():
                return self.fused(embed_gates, state, keys, annotations, padding_mask)
        return self.step_by_step(embed_gates, state, context, keys, annotations, padding_mask)

    def output_layer(self, features: Tensor) -> Tensor:
        """As :meth:`BahdanauDecoder.output_layer`."""
        if not torch.jit.is_scripting():
            if features.device.type == "cpu" and self.adaptive_softmax is None:
                projection = self.output_projection
                if isinstance(projection, nn.Linear):  # a quantised layer has no weight that could be read
                    return linear(features, projection.weight, projection.bias)
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
