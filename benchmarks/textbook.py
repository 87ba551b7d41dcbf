"""The decoder as it is usually written: the whole of a step inside the loop."""

from typing import Dict, List, Optional, Tuple

import torch
from torch import Tensor

from fairseq_bahdanau.attention import Source
from fairseq_bahdanau.decoder import BahdanauDecoder
from fairseq_bahdanau.search import order_of


class TextbookDecoder(BahdanauDecoder):
    """The equations of :class:`BahdanauDecoder` with keys, gates, readout and vocabulary computed in every step."""

    def forward(
        self,
        prev_output_tokens: Tensor,
        encoder_out: Optional[Dict[str, List[Tensor]]] = None,
        incremental_state: Optional[Dict[str, Dict[str, Optional[Tensor]]]] = None,
    ) -> Tuple[Tensor, Dict[str, List[Optional[Tensor]]]]:
        """As :meth:`BahdanauDecoder.forward`."""
        # Every beam with a copy of its own, as fairseq's search has it.
        order = order_of(encoder_out)
        annotations = encoder_out["encoder_out"][0].index_select(0, order)
        padding_mask = encoder_out["encoder_padding_mask"][0].index_select(0, order)
        state = torch.tanh(self.initial_state(encoder_out["last_state"][0].index_select(0, order)))
        if incremental_state is not None:
            prev_output_tokens = prev_output_tokens[:, -1:]
            saved = self.get_incremental_state(incremental_state, "search")
            state = state if saved is None else saved["state"]
        logits, rows = [], []
        for word in prev_output_tokens.unbind(dim=1):
            embedded = self.embed_dropout(self.embed_tokens(word))
            source = Source(self.attention.make_keys(annotations), annotations, padding_mask)
            context, attention = self.attention(state, source)
            state = self.recurrence(self.recurrence.embed_gates(embedded), context, state)
            readout = self.readout_dropout(self.readout(*(part.unsqueeze(1) for part in (state, context, embedded))))
            logits.append(self.output_layer(self.factor_proj(readout)))
            rows.append(attention)
        if incremental_state is not None:
            self.set_incremental_state(incremental_state, "search", {"state": state})
        return torch.cat(logits, dim=1), {"attn": [torch.stack(rows, dim=1)]}
