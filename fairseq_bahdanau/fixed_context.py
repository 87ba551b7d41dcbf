"""The model that attention was invented to replace: one context for the whole sentence.

Cho et al. 2014 ("RNNencdec") and Sutskever et al. 2014. Deviation: the context is the last state of both directions,
where Cho et al. read in one.
"""

from typing import Dict, List, Optional, Tuple

import torch
from torch import Tensor

from .decoder import BahdanauDecoder


def summarize(annotations: Tensor, padding_mask: Tensor, hidden_size: int) -> Tensor:
    """C, what the encoder knows at its end: [forward state at the last word ; backward state at the first].

    Args:
        annotations: ``(batch, src_len, annotation_dim)``
        padding_mask: ``(batch, src_len)``, True on padding
        hidden_size: size of each direction's state; ``annotation_dim`` in one direction

    Returns:
        ``(batch, annotation_dim)``
    """
    is_word = padding_mask.logical_not().long()
    first, last = is_word.argmax(dim=1), is_word.size(1) - 1 - is_word.flip([1]).argmax(dim=1)
    forward_states, backward_states = annotations.split([hidden_size, annotations.size(2) - hidden_size], dim=2)
    forward_state = forward_states.gather(1, last.view(-1, 1, 1).expand(-1, 1, forward_states.size(2))).squeeze(1)
    backward_state = backward_states.gather(1, first.view(-1, 1, 1).expand(-1, 1, backward_states.size(2))).squeeze(1)
    return torch.cat([forward_state, backward_state], dim=1)


class FixedContextDecoder(BahdanauDecoder):
    """s_0 = tanh(W_s C + b_s), s_t = GRU([E y_{t-1} ; C], s_{t-1}); C enters the readout as c_t does.

    It looks nowhere. fairseq asks every model for attention, so the rows that it returns are uniform over the words of
    the source, its ``</s>`` included; they take the place of the keys.
    """

    def begin(self, encoder_out: Dict[str, List[Tensor]]) -> Dict[str, Optional[Tensor]]:
        """As :meth:`BahdanauDecoder.begin`; ``context`` is C, ``keys`` the uniform attention ``(batch, src_len)``."""
        annotations, padding_mask = encoder_out["encoder_out"][0], encoder_out["encoder_padding_mask"][0]
        context = summarize(annotations, padding_mask, encoder_out["last_state"][0].size(1))
        is_word = padding_mask.logical_not().to(annotations.dtype)
        return {
            "state": self.recurrence.cell.begin(torch.tanh(self.initial_state(context))),
            "context": context,
            "keys": is_word / is_word.sum(dim=1, keepdim=True).clamp(min=1.0),
        }

    def step(
        self,
        embed_gates: Tensor,
        state: Tensor,
        context: Tensor,
        keys: Tensor,
        annotations: Tensor,
        padding_mask: Tensor,
    ) -> Tuple[Tensor, Tensor, Tensor]:
        """As :meth:`BahdanauDecoder.step`."""
        beams = state.size(0) // keys.size(0)
        attention = keys.unsqueeze(1).expand(-1, beams, -1).flatten(0, 1)
        return self.recurrence(embed_gates, context, state), context, attention
