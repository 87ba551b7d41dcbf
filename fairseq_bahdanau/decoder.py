"""The decoder looks at the source, updates its state, and generates a word.

Bahdanau et al. 2014, section 3.1 and appendix A.2.2. Deviation: the word before the first is ``</s>``, as everywhere
in fairseq, not a zero vector.
"""

from typing import Any, Dict, List, Optional, Tuple

import torch
from fairseq.data import Dictionary
from fairseq.models import FairseqIncrementalDecoder
from fairseq.modules import AdaptiveSoftmax
from fairseq.modules.fairseq_dropout import FairseqDropout
from torch import Tensor, nn

from .attention import Attention, Source
from .readout import MaxoutReadout
from .recurrence import Recurrence, State
from .search import begin_search, reorder, resume


class BahdanauDecoder(FairseqIncrementalDecoder):
    """Decodes with attention and a maxout readout, in the paper's order of a step: look, update, generate.

    :meth:`begin` and :meth:`step` are the equations; the other orders of a step, and the model without attention,
    override them in ``orders.py``. Only attention and recurrence depend on the previous step. Keys, the embeddings'
    gate products, readout and vocabulary are computed for all time steps at once.

    Args:
        dictionary: of the target language
        embed_tokens: its embedding
        initial_state: W_s and b_s
        attention: how the state looks at the annotations
        recurrence: how the state moves on
        readout: what gives the features of the next word
        fused: a :class:`~fairseq_bahdanau.fused.Fused`, which knows the same numbers faster; None runs what stands here
        output_dim: size of the output layer's word vectors; where the readout has another, a projection without bias
            stands between them, as in the paper's own code
        output_bias: whether the output layer has a bias
        tie_output: whether the output layer is the embedding, whose size ``output_dim`` then is
        adaptive_softmax_cutoff: cluster borders of an adaptive softmax in place of the output layer, or None
        embed_dropout, readout_dropout: probabilities
        max_target_positions: longest target that is accepted, in tokens
    """

    def __init__(
        self,
        dictionary: Dictionary,
        embed_tokens: nn.Embedding,
        initial_state: nn.Linear,
        attention: Attention,
        recurrence: Recurrence,
        readout: MaxoutReadout,
        fused: Any,
        output_dim: int,
        output_bias: bool,
        tie_output: bool,
        adaptive_softmax_cutoff: Optional[List[int]],
        embed_dropout: float,
        readout_dropout: float,
        max_target_positions: int,
    ):
        super().__init__(dictionary)
        self.max_target_positions = max_target_positions
        self.embed_tokens = embed_tokens  # E
        self.initial_state = initial_state
        self.attention = attention
        self.recurrence = recurrence
        self.readout = readout
        self.fused = fused
        # One name for all orders, so that --retain-dropout-modules BahdanauDecoder means each of them.
        self.embed_dropout = FairseqDropout(embed_dropout, module_name=BahdanauDecoder.__name__)
        self.readout_dropout = FairseqDropout(readout_dropout, module_name=BahdanauDecoder.__name__)
        self.factor_proj: nn.Module = nn.Identity()
        if output_dim != readout.maxout_dim:
            self.factor_proj = nn.Linear(readout.maxout_dim, output_dim, bias=False)
        if adaptive_softmax_cutoff is not None:
            self.adaptive_softmax = AdaptiveSoftmax(len(dictionary), output_dim, adaptive_softmax_cutoff, dropout=0.0)
        else:
            self.output_projection = nn.Linear(output_dim, len(dictionary), bias=output_bias)  # W_o
            if tie_output:
                self.output_projection.weight = embed_tokens.weight

    def forward(
        self,
        prev_output_tokens: Tensor,
        encoder_out: Optional[Dict[str, List[Tensor]]] = None,
        incremental_state: Optional[Dict[str, Dict[str, Optional[Tensor]]]] = None,
    ) -> Tuple[Tensor, Dict[str, List[Optional[Tensor]]]]:
        """Scores every word at every step.

        Args:
            prev_output_tokens: ``(batch, tgt_len)``, the target shifted right, beginning with ``</s>``
            encoder_out: what :class:`~fairseq_bahdanau.encoder.RecurrentEncoder` returned
            incremental_state: fairseq's store between steps of a search; when given, only the last column of
                ``prev_output_tokens`` is read and ``tgt_len`` is 1

        Returns:
            logits ``(batch, tgt_len, vocabulary)`` (features instead, under an adaptive softmax) and
            ``{"attn": [attention]}``, attention ``(batch, tgt_len, src_len)`` in the columns of ``src_tokens``
        """
        features, extra = self.extract_features(prev_output_tokens, encoder_out, incremental_state)
        return self.output_layer(features), extra

    def extract_features(
        self,
        prev_output_tokens: Tensor,
        encoder_out: Optional[Dict[str, List[Tensor]]] = None,
        incremental_state: Optional[Dict[str, Dict[str, Optional[Tensor]]]] = None,
    ) -> Tuple[Tensor, Dict[str, List[Optional[Tensor]]]]:
        """Computes what :meth:`forward` does, up to the features ``(batch, tgt_len, features)`` of the output layer."""
        assert encoder_out is not None
        if incremental_state is not None:
            features, attention = self.search_step(prev_output_tokens[:, -1:], encoder_out, incremental_state)
        else:
            last, source = self.begin(encoder_out)
            if "order" in encoder_out:  # what a search has reordered
                last, source = resume(begin_search(last.cell, last.context, source, encoder_out), encoder_out)
            features, attention, _ = self.advance(prev_output_tokens, last, source)
        attn: Optional[Tensor] = attention  # the type that TorchScript expects of every model of an ensemble
        return features, {"attn": [attn]}

    def begin(self, encoder_out: Dict[str, List[Tensor]]) -> Tuple[State, Source]:
        """Computes what the first step starts from: s_0 = tanh(W_s h + b_s), c_0, which is zero, and the source."""
        annotations = encoder_out["encoder_out"][0]
        state = torch.tanh(self.initial_state(encoder_out["last_state"][0]))
        keys = self.attention.make_keys(annotations)  # U_a h_j + b_a
        return (
            State(self.recurrence.cell.begin(state), torch.zeros_like(annotations.select(dim=1, index=0))),
            Source(keys, annotations, encoder_out["encoder_padding_mask"][0]),
        )

    def step(self, embed_gates: Tensor, last: State, source: Source) -> Tuple[State, Tensor]:
        """Takes one time step: looks at the source, then updates the state.

        Args:
            embed_gates: ``(batch, gates)``, the previous word's part of the gates
            last: s_{t-1} and c_{t-1}
            source: what every step reads

        Returns:
            s_t and c_t, and a_t ``(batch, src_len)``
        """
        context, attention = self.attention(self.recurrence.cell.output(last.cell), source)
        return State(self.recurrence(embed_gates, context, last.cell), context), attention

    def unroll(self, embed_gates: Tensor, last: State, source: Source) -> Tuple[State, Tensor]:
        """Takes all time steps: everything that must wait for the previous state, and nothing else.

        Args:
            embed_gates: ``(batch, tgt_len, gates)``
            last: what the first step starts from
            source: what every step reads

        Returns:
            the states, ``(batch, tgt_len, state size)`` and ``(batch, tgt_len, annotation_dim)``, and attention
            ``(batch, tgt_len, src_len)``
        """
        if not torch.jit.is_scripting():
            if self.fused is not None:
                unroll = self.fused.loop_for(self, embed_gates, source)
                if unroll is not None:
                    return unroll(self, embed_gates, last, source)
        cells: List[Tensor] = []
        contexts: List[Tensor] = []
        attentions: List[Tensor] = []
        for embed_gates_t in embed_gates.unbind(dim=1):
            last, attention = self.step(embed_gates_t, last, source)
            cells.append(last.cell)
            contexts.append(last.context)
            attentions.append(attention)
        return State(torch.stack(cells, dim=1), torch.stack(contexts, dim=1)), torch.stack(attentions, dim=1)

    def advance(self, prev_output_tokens: Tensor, last: State, source: Source) -> Tuple[Tensor, Tensor, State]:
        """Goes on from a state over the given words.

        Args:
            prev_output_tokens: ``(batch, tgt_len)``
            last: as :meth:`begin` returns it, or a later one
            source: what every step reads

        Returns:
            features ``(batch, tgt_len, features)``, attention ``(batch, tgt_len, src_len)``, and the state after the
            last word
        """
        embedded = self.embed_dropout(self.embed_tokens(prev_output_tokens))  # E y_{t-1}
        states, attention = self.unroll(self.recurrence.embed_gates(embedded), last, source)
        readout = self.readout(self.recurrence.cell.output(states.cell), states.context, embedded)
        features = self.factor_proj(self.readout_dropout(readout))
        return features, attention, State(states.cell.select(dim=1, index=-1), states.context.select(dim=1, index=-1))

    def search_step(
        self,
        prev_output_tokens: Tensor,
        encoder_out: Dict[str, List[Tensor]],
        incremental_state: Dict[str, Dict[str, Optional[Tensor]]],
    ) -> Tuple[Tensor, Tensor]:
        """Takes one step of a search, of every beam.

        Args:
            prev_output_tokens: ``(batch, 1)``
            encoder_out, incremental_state: as :meth:`forward` takes them

        Returns:
            features ``(batch, 1, features)`` and attention ``(batch, 1, src_len)``
        """
        carried = self.get_incremental_state(incremental_state, "search")
        if not torch.jit.is_scripting():
            if self.fused is not None:
                if carried is None and self.fused.covers(self):
                    carried = self.fused.begin_search(self, encoder_out)
                if carried is not None and "search_step" in carried:  # no other search carries its function
                    features, attention = carried["search_step"](self, prev_output_tokens, encoder_out, carried)
                    self.set_incremental_state(incremental_state, "search", carried)
                    return features, attention
        if carried is None:
            last, source = self.begin(encoder_out)
            carried = begin_search(last.cell, last.context, source, encoder_out)
        last, source = resume(carried, encoder_out)
        features, attention, last = self.advance(prev_output_tokens, last, source)
        carried["state"], carried["context"] = last.cell, last.context
        self.set_incremental_state(incremental_state, "search", carried)
        return features, attention

    def output_layer(self, features: Tensor) -> Tensor:
        """Computes W_o m_t: logits ``(batch, tgt_len, vocabulary)`` of features.

        An adaptive softmax projects where it normalises; under it the features are returned as they are.
        """
        if self.adaptive_softmax is not None:
            return features
        if not torch.jit.is_scripting():
            if self.fused is not None:
                return self.fused.linear(self.output_projection, features)
        return self.output_projection(features)

    @torch.jit.export
    def reorder_incremental_state(
        self, incremental_state: Dict[str, Dict[str, Optional[Tensor]]], new_order: Tensor
    ) -> None:
        """Keeps, in this order, the rows ``new_order`` ``(new_batch,)`` of what the search has stored."""
        carried = self.get_incremental_state(incremental_state, "search")
        if carried is not None:
            self.set_incremental_state(incremental_state, "search", reorder(carried, new_order))

    def max_positions(self) -> int:
        """Returns the longest target that is accepted, in tokens."""
        return self.max_target_positions
