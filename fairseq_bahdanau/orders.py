"""In the other orders of a decoder step another state asks the attention, and in one model none does.

The default order, look, update, generate, is :class:`BahdanauDecoder`. Each of these overrides its step, or what the
first step starts from, and nothing else.
"""

from typing import Dict, List, NamedTuple, Tuple, Type

import torch
from torch import Tensor

from .attention import Source
from .decoder import BahdanauDecoder
from .recurrence import ConditionalRecurrence, Recurrence, State


class UpdateLookGenerateDecoder(BahdanauDecoder):
    """Updates first, then looks: s_t = GRU([E y_{t-1} ; c_{t-1}], s_{t-1}); s_t asks and gives c_t.

    This is the order of the authors' own code (GroundHog, ``experiments/nmt``), in which the query has seen the
    previous word. s_t and c_t enter the readout. c_0 is zero, our choice.
    """

    def step(self, embed_gates: Tensor, last: State, source: Source) -> Tuple[State, Tensor]:
        """As :meth:`BahdanauDecoder.step`."""
        state = self.recurrence(embed_gates, last.context, last.cell)
        context, attention = self.attention(self.recurrence.cell.output(state), source)
        return State(state, context), attention


class ConditionalGRUDecoder(BahdanauDecoder):
    """Looks between two updates: s'_t = GRU_1(E y_{t-1}, s_{t-1}); s'_t asks and gives c_t; s_t = GRU_2(c_t, s'_t).

    Sennrich et al. 2017 ("Nematus"), section 2. s_t and c_t enter the readout. The recurrence is a
    :class:`~fairseq_bahdanau.recurrence.ConditionalRecurrence`, which TorchScript does not let us declare.
    """

    def step(self, embed_gates: Tensor, last: State, source: Source) -> Tuple[State, Tensor]:
        """As :meth:`BahdanauDecoder.step`."""
        state = self.recurrence.first(embed_gates, last.cell)  # type: ignore[operator]
        context, attention = self.attention(self.recurrence.cell.output(state), source)
        return State(self.recurrence.second(context, state), context), attention  # type: ignore[operator]


class FixedContextDecoder(BahdanauDecoder):
    """Has one context for the whole sentence, C: s_0 = tanh(W_s C + b_s), s_t = GRU([E y_{t-1} ; C], s_{t-1}).

    This is the model that attention was invented to replace (Cho et al. 2014, "RNNencdec"; Sutskever et al. 2014). C
    enters the readout as c_t does. Deviation: C is the last state of both directions, where Cho et al. read in one.

    The attention is a :class:`~fairseq_bahdanau.attention.UniformAttention`: the rows that fairseq is given are uniform
    over the words of the source, its ``</s>`` included.
    """

    def begin(self, encoder_out: Dict[str, List[Tensor]]) -> Tuple[State, Source]:
        """Computes s_0, C and the source, in the form of :meth:`BahdanauDecoder.begin`.

        The keys ``(sentences, src_len, 1)`` are the attention itself, which is the same at every step.
        """
        annotations, padding_mask = encoder_out["encoder_out"][0], encoder_out["encoder_padding_mask"][0]
        context = summarize(annotations, padding_mask, encoder_out["last_state"][0].size(1))
        state = torch.tanh(self.initial_state(context))
        uniform = self.attention.weigh(state, Source(annotations, annotations, padding_mask)).transpose(1, 2)
        return State(self.recurrence.cell.begin(state), context), Source(uniform, annotations, padding_mask)

    def step(self, embed_gates: Tensor, last: State, source: Source) -> Tuple[State, Tensor]:
        """As :meth:`BahdanauDecoder.step`."""
        beams = last.cell.size(0) // source.keys.size(0)
        attention = source.keys.transpose(1, 2).repeat(1, beams, 1).flatten(0, 1)
        return State(self.recurrence(embed_gates, last.context, last.cell), last.context), attention


def summarize(annotations: Tensor, padding_mask: Tensor, hidden_size: int) -> Tensor:
    """Returns C, what the encoder knows at its end: [forward state at the last word ; backward state at the first].

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


class OrderChoice(NamedTuple):
    """Names a decoder, and the recurrence that its step is written for."""

    decoder: Type[BahdanauDecoder]
    recurrence: Type[Recurrence]


# The choices of --context and --decoder-order, and which of them go together.
ORDERS: Dict[Tuple[str, str], OrderChoice] = {
    ("attention", "look-update-generate"): OrderChoice(BahdanauDecoder, Recurrence),
    ("attention", "update-look-generate"): OrderChoice(UpdateLookGenerateDecoder, Recurrence),
    ("attention", "update-look-update-generate"): OrderChoice(ConditionalGRUDecoder, ConditionalRecurrence),
    ("fixed", "look-update-generate"): OrderChoice(FixedContextDecoder, Recurrence),
}
