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
from .readout import MaxoutReadout


class BahdanauDecoder(FairseqIncrementalDecoder):
    """GRU decoder with attention and a maxout readout.

    The order of a step is the paper's: look, update, generate. Other orders are in ``decoder_orders.py``.
    Only attention and recurrence depend on the previous step. Keys, the embeddings' gate products, readout and
    vocabulary are computed for all time steps at once.

    Args:
        dictionary: of the target language
        embed_tokens: its embedding
        encoder_hidden_size: size of each encoder direction's state
        hidden_size: size of the decoder state
        attention: how the state looks at the annotations
        recurrence: how the state moves on
        maxout_dim, maxout_pool_size: size of the readout, and how many neighbours compete for each place in it
        tie_output: whether the output layer is the embedding; with ``maxout_dim`` other than the embedding's size, a
            projection stands between them, as in the paper's own code
        adaptive_softmax_cutoff: cluster borders of an adaptive softmax in place of the output layer, or None
        embed_dropout, readout_dropout: probabilities
        max_target_positions: longest target that is accepted, in tokens
    """

    def __init__(
        self,
        dictionary: Dictionary,
        embed_tokens: nn.Embedding,
        encoder_hidden_size: int,
        hidden_size: int,
        attention: Attention,
        recurrence: nn.Module,
        maxout_dim: int,
        maxout_pool_size: int,
        tie_output: bool,
        adaptive_softmax_cutoff: Optional[List[int]],
        embed_dropout: float,
        readout_dropout: float,
        max_target_positions: int,
    ):
        super().__init__(dictionary)
        self.max_target_positions = max_target_positions
        annotation_dim, embed_dim = 2 * encoder_hidden_size, embed_tokens.embedding_dim
        self.embed_tokens = embed_tokens  # E
        self.initial_state = nn.Linear(encoder_hidden_size, hidden_size)  # W_s, b_s
        self.attention = attention
        self.recurrence = recurrence
        self.readout = MaxoutReadout(hidden_size, annotation_dim, embed_dim, maxout_dim, maxout_pool_size)
        self.embed_dropout = FairseqDropout(embed_dropout, module_name=self.__class__.__name__)
        self.readout_dropout = FairseqDropout(readout_dropout, module_name=self.__class__.__name__)
        features_dim = embed_dim if tie_output else maxout_dim
        self.factor_proj = nn.Identity()
        if features_dim != maxout_dim:
            self.factor_proj = nn.Linear(maxout_dim, features_dim, bias=False)
        if adaptive_softmax_cutoff is not None:
            self.adaptive_softmax = AdaptiveSoftmax(len(dictionary), maxout_dim, adaptive_softmax_cutoff, dropout=0.0)
        else:
            self.output_projection = nn.Linear(features_dim, len(dictionary), bias=False)  # W_o
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
            encoder_out: what :class:`~fairseq_bahdanau.encoder.BiGRUEncoder` returned
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
        annotations = encoder_out["encoder_out"][0]
        padding_mask = encoder_out["encoder_padding_mask"][0]
        saved: Optional[Dict[str, Optional[Tensor]]] = None
        if incremental_state is not None:
            prev_output_tokens = prev_output_tokens[:, -1:]
            saved = self.get_incremental_state(incremental_state, "search")
        if saved is None:
            saved = self.begin(encoder_out)
        state, keys = saved["state"], saved["keys"]
        assert state is not None and keys is not None

        features, attention, state = self.advance(prev_output_tokens, state, keys, annotations, padding_mask)
        if incremental_state is not None:
            saved["state"] = state
            self.set_incremental_state(incremental_state, "search", saved)
        attn: Optional[Tensor] = attention  # the type that TorchScript expects of every model of an ensemble
        return features, {"attn": [attn]}

    def begin(self, encoder_out: Dict[str, List[Tensor]]) -> Dict[str, Optional[Tensor]]:
        """What the first step starts from: ``state`` s_0 ``(batch, hidden_size)``, and ``keys``
        ``(batch, src_len, attention_dim)``, the part of e_tj that no step changes."""
        return {
            "state": torch.tanh(self.initial_state(encoder_out["backward_state"][0])),  # s_0 = tanh(W_s h + b_s)
            "keys": self.attention.key_proj(encoder_out["encoder_out"][0]),  # U_a h_j + b_a
        }

    def advance(
        self, prev_output_tokens: Tensor, state: Tensor, keys: Tensor, annotations: Tensor, padding_mask: Tensor
    ) -> Tuple[Tensor, Tensor, Tensor]:
        """Goes on from a state over the given words.

        Args:
            prev_output_tokens: ``(batch, tgt_len)``
            state, keys: as :meth:`begin` returns them, or a later state
            annotations: ``(batch, src_len, annotation_dim)``
            padding_mask: ``(batch, src_len)``, True on padding

        Returns:
            features ``(batch, tgt_len, features)``, attention ``(batch, tgt_len, src_len)``, and the state after the
            last word ``(batch, hidden_size)``
        """
        embedded = self.embed_dropout(self.embed_tokens(prev_output_tokens))
        embed_gates = self.recurrence.embed_gates(embedded)
        states, contexts, attention, state = self.unroll(embed_gates, state, keys, annotations, padding_mask)
        features = self.readout_dropout(self.readout(states, contexts, embedded))
        return self.factor_proj(features), attention, state

    def unroll(
        self, embed_gates: Tensor, state: Tensor, keys: Tensor, annotations: Tensor, padding_mask: Tensor
    ) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
        """The loop over time: everything that must wait for the previous state, and nothing else.

        Args:
            embed_gates: ``(batch, tgt_len, 3 * hidden_size)``, the words' part of the gates
            state: ``(batch, hidden_size)``, s_0
            keys: ``(batch, src_len, attention_dim)``
            annotations: ``(batch, src_len, annotation_dim)``
            padding_mask: ``(batch, src_len)``, True on padding

        Returns:
            states ``(batch, tgt_len, hidden_size)``, contexts ``(batch, tgt_len, annotation_dim)``, attention
            ``(batch, tgt_len, src_len)``, and what to go on from after the last step, in the form of ``state``
        """
        states: List[Tensor] = []
        contexts: List[Tensor] = []
        attentions: List[Tensor] = []
        for embed_gates_t in embed_gates.unbind(dim=1):
            context, attention = self.attention(state, keys, annotations, padding_mask)
            state = self.recurrence(embed_gates_t, context, state)
            states.append(state)
            contexts.append(context)
            attentions.append(attention)
        return torch.stack(states, dim=1), torch.stack(contexts, dim=1), torch.stack(attentions, dim=1), state

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
        if saved is None:
            return
        reordered: Dict[str, Optional[Tensor]] = {}
        for name, tensor in saved.items():
            if tensor is not None:
                reordered[name] = tensor.index_select(0, new_order)
        self.set_incremental_state(incremental_state, "search", reordered)

    def max_positions(self) -> int:
        """Longest target that is accepted, in tokens."""
        return self.max_target_positions
