"""The decoder: looks at the source, updates its state, generates a word.

Bahdanau et al. 2014, section 3.1 and appendix A.2.2. Deviation: the word before the first is ``</s>``, as everywhere
in fairseq, not a zero vector.
"""

from typing import Dict, List, Optional, Tuple

import torch
from fairseq.data import Dictionary
from fairseq.models import FairseqIncrementalDecoder
from fairseq.modules import AdaptiveSoftmax
from fairseq.modules.fairseq_dropout import FairseqDropout
from torch import Tensor, nn

from .attention import Attention
from .beams import begin_search, follow, reorder
from .readout import MaxoutReadout
from .recurrence import Recurrence


class BahdanauDecoder(FairseqIncrementalDecoder):
    """GRU decoder with attention and a maxout readout.

    The order of a step is the paper's: look, update, generate. Other orders are in ``decoder_orders.py``, the model
    without attention in ``fixed_context.py``.
    Only attention and recurrence depend on the previous step. Keys, the embeddings' gate products, readout and
    vocabulary are computed for all time steps at once.

    Args:
        dictionary: of the target language
        embed_tokens: its embedding
        initial_state: W_s and b_s
        attention: how the state looks at the annotations; None where :meth:`step` needs none
        recurrence: how the state moves on
        readout: what gives the features of the next word
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
        attention: Optional[Attention],
        recurrence: Recurrence,
        readout: MaxoutReadout,
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
        # One name for all orders, so that --retain-dropout-modules BahdanauDecoder means each of them.
        self.embed_dropout = FairseqDropout(embed_dropout, module_name=BahdanauDecoder.__name__)
        self.readout_dropout = FairseqDropout(readout_dropout, module_name=BahdanauDecoder.__name__)
        self.factor_proj = nn.Identity()
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
        """Scores of every word at every step.

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
        """As :meth:`forward`, but returns the features ``(batch, tgt_len, features)`` before the output layer."""
        assert encoder_out is not None
        saved: Optional[Dict[str, Optional[Tensor]]] = None
        if incremental_state is not None:
            prev_output_tokens = prev_output_tokens[:, -1:]
            saved = self.get_incremental_state(incremental_state, "search")
        if saved is None:
            saved = begin_search(self.begin(encoder_out), encoder_out["encoder_out"][0], encoder_out)
        else:
            follow(saved, encoder_out)
        state, context, keys = saved["state"], saved["context"], saved["keys"]
        annotations, padding_mask = saved["values"], saved["padding_mask"]
        assert state is not None and context is not None and keys is not None
        assert annotations is not None and padding_mask is not None

        features, attention, state, context = self.advance(
            prev_output_tokens, state, context, keys, annotations, padding_mask
        )
        if incremental_state is not None:
            saved["state"], saved["context"] = state, context
            self.set_incremental_state(incremental_state, "search", saved)
        attn: Optional[Tensor] = attention  # the type that TorchScript expects of every model of an ensemble
        return features, {"attn": [attn]}

    def begin(self, encoder_out: Dict[str, List[Tensor]]) -> Dict[str, Optional[Tensor]]:
        """What the first step starts from: ``state`` s_0 ``(batch, hidden_size)``, ``context`` c_0
        ``(batch, annotation_dim)``, which is zero, and ``keys`` ``(batch, src_len, attention_dim)``, the part of e_tj
        that no step changes."""
        annotations = encoder_out["encoder_out"][0]
        state = torch.tanh(self.initial_state(encoder_out["last_state"][0]))  # s_0 = tanh(W_s h + b_s)
        return {
            "state": self.recurrence.cell.begin(state),
            "context": torch.zeros_like(annotations.select(dim=1, index=0)),
            "keys": self.attention.key_proj(annotations),  # U_a h_j + b_a
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
        """One time step of the loop: look, then update.

        Args:
            embed_gates: ``(batch, gates)``, the previous word's part of the gates
            state: ``(batch, state size)``, s_{t-1}
            context: ``(batch, annotation_dim)``, c_{t-1}
            keys: ``(batch, src_len, attention_dim)``
            annotations: ``(batch, src_len, annotation_dim)``
            padding_mask: ``(batch, src_len)``, True on padding

        Returns:
            s_t and c_t, in the form of ``state`` and ``context``, and a_t ``(batch, src_len)``
        """
        query = self.recurrence.cell.output(state)
        context, attention = self.attention(query, keys, annotations, padding_mask)
        return self.recurrence(embed_gates, context, state), context, attention

    def unroll(
        self,
        embed_gates: Tensor,
        state: Tensor,
        context: Tensor,
        keys: Tensor,
        annotations: Tensor,
        padding_mask: Tensor,
    ) -> Tuple[Tensor, Tensor, Tensor]:
        """The loop over time: everything that must wait for the previous state, and nothing else.

        Args:
            embed_gates: ``(batch, tgt_len, gates)``
            state, context, keys, annotations, padding_mask: as :meth:`step` takes them first

        Returns:
            states ``(batch, tgt_len, state size)``, contexts ``(batch, tgt_len, annotation_dim)``, attention
            ``(batch, tgt_len, src_len)``
        """
        states: List[Tensor] = []
        contexts: List[Tensor] = []
        attentions: List[Tensor] = []
        for embed_gates_t in embed_gates.unbind(dim=1):
            state, context, attention = self.step(embed_gates_t, state, context, keys, annotations, padding_mask)
            states.append(state)
            contexts.append(context)
            attentions.append(attention)
        return torch.stack(states, dim=1), torch.stack(contexts, dim=1), torch.stack(attentions, dim=1)

    def advance(
        self,
        prev_output_tokens: Tensor,
        state: Tensor,
        context: Tensor,
        keys: Tensor,
        annotations: Tensor,
        padding_mask: Tensor,
    ) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
        """Goes on from a state over the given words.

        Args:
            prev_output_tokens: ``(batch, tgt_len)``
            state, context, keys: as :meth:`begin` returns them, or later ones
            annotations: ``(batch, src_len, annotation_dim)``
            padding_mask: ``(batch, src_len)``, True on padding

        Returns:
            features ``(batch, tgt_len, features)``, attention ``(batch, tgt_len, src_len)``, and state and context
            after the last word
        """
        embedded = self.embed_dropout(self.embed_tokens(prev_output_tokens))
        embed_gates = self.recurrence.embed_gates(embedded)
        states, contexts, attention = self.unroll(embed_gates, state, context, keys, annotations, padding_mask)
        readout = self.readout(self.recurrence.cell.output(states), contexts, embedded)
        features = self.factor_proj(self.readout_dropout(readout))
        return features, attention, states.select(dim=1, index=-1), contexts.select(dim=1, index=-1)

    def output_layer(self, features: Tensor) -> Tensor:
        """W_o m_t: logits ``(batch, tgt_len, vocabulary)`` of features; the features themselves under an adaptive
        softmax, which projects them where it normalises."""
        if self.adaptive_softmax is not None:
            return features
        return self.output_projection(features)

    @torch.jit.export
    def reorder_incremental_state(
        self, incremental_state: Dict[str, Dict[str, Optional[Tensor]]], new_order: Tensor
    ) -> None:
        """Keeps, in this order, the rows ``new_order`` ``(new_batch,)`` of what the search has stored."""
        saved = self.get_incremental_state(incremental_state, "search")
        if saved is not None:
            self.set_incremental_state(incremental_state, "search", reorder(saved, new_order))

    def max_positions(self) -> int:
        """Longest target that is accepted, in tokens."""
        return self.max_target_positions
