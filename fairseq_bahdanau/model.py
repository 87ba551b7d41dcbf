"""The model that ``--arch bigru_bahdanau_maxout`` names: its assembly from the options; and ``--arch rnnsearch50``."""

import logging
from argparse import Namespace
from typing import Dict, List, Optional, Tuple, Type

import torch
from fairseq.data import Dictionary
from fairseq.dataclass.utils import merge_with_parent
from fairseq.models import FairseqEncoderDecoderModel, register_model, register_model_architecture
from fairseq.tasks import FairseqTask
from torch import Tensor, nn

from . import options
from .attention import AdditiveAttention, Attention
from .attention_variants import BilinearAttention, DotAttention
from .cells import LSTMCell, ResetBeforeGRUCell, RNNCell
from .decoder import BahdanauDecoder
from .decoder_orders import ConditionalGRUDecoder, ConditionalRecurrence, UpdateLookGenerateDecoder
from .embeddings import build_embedding, load_pretrained
from .encoder import RecurrentEncoder
from .encoder_loop import EncoderLoop
from .fixed_context import FixedContextDecoder
from .fused_decoder import FusedDecoder
from .fused_encoder import FusedEncoder
from .initialization import PAPER, initialize
from .options import (
    BahdanauConfig,
    annotation_dim,
    check_combinations,
    check_embeddings,
    check_numbers,
    not_fused,
    output_dim,
)
from .readout import MaxoutReadout
from .recurrence import Cell, GRUCell, Recurrence

logger = logging.getLogger(__name__)

CELLS = {options.GRU: GRUCell, options.LSTM: LSTMCell, options.RNN: RNNCell}
ENCODER_RNNS = {options.GRU: nn.GRU, options.LSTM: nn.LSTM, options.RNN: nn.RNN}
DECODERS = {
    options.LOOK_UPDATE: BahdanauDecoder,
    options.UPDATE_LOOK: UpdateLookGenerateDecoder,
    options.UPDATE_LOOK_UPDATE: ConditionalGRUDecoder,
}


def cell_class(cfg: BahdanauConfig) -> Type[Cell]:
    """The cell that the options name."""
    return ResetBeforeGRUCell if cfg.gru_reset == options.BEFORE else CELLS[str(cfg.cell)]


def build_encoder(cfg: BahdanauConfig, dictionary: Dictionary, embedding: nn.Embedding) -> RecurrentEncoder:
    """The encoder that the options name."""
    size, layers, bidirectional = cfg.encoder_hidden_size, cfg.encoder_layers, cfg.encoder_bidirectional == options.ON
    if cfg.gru_reset == options.BEFORE:
        rnn: nn.Module = EncoderLoop(cfg.encoder_embed_dim, size, cell_class(cfg), layers, bidirectional)
    else:
        rnn = ENCODER_RNNS[str(cfg.cell)](
            cfg.encoder_embed_dim, size, layers, batch_first=True, bidirectional=bidirectional
        )
    fused = cfg.recurrence == options.FUSED and isinstance(rnn, nn.GRU)
    return (FusedEncoder if fused else RecurrentEncoder)(
        dictionary,
        embedding,
        rnn,
        hidden_size=size,
        bidirectional=bidirectional,
        embed_dropout=dropout(cfg, cfg.embed_dropout),
        annotation_dropout=dropout(cfg, cfg.annotation_dropout),
        max_source_positions=cfg.max_source_positions,
    )


def dropout(cfg: BahdanauConfig, place: Optional[float]) -> float:
    """The dropout of a place, or the general one where none is given."""
    return cfg.dropout if place is None else place


def build_attention(cfg: BahdanauConfig) -> Optional[Attention]:
    """The attention that the options name."""
    if cfg.context == options.FIXED_CONTEXT:
        return None
    top_k = cfg.hard_attention_top_k if cfg.attention == options.HARD else 0
    if cfg.attention_score == options.DOT:
        return DotAttention(top_k)
    if cfg.attention_score == options.BILINEAR:
        return BilinearAttention(cfg.decoder_hidden_size, annotation_dim(cfg), top_k)
    return AdditiveAttention(cfg.decoder_hidden_size, annotation_dim(cfg), cfg.attention_dim, top_k)


def build_recurrence(cfg: BahdanauConfig) -> Recurrence:
    """The decoder's recurrence that the options name."""
    cell = cell_class(cfg)
    if cfg.decoder_order == options.UPDATE_LOOK_UPDATE:
        first, second = cell(cfg.decoder_hidden_size), cell(cfg.decoder_hidden_size)
        return ConditionalRecurrence(cfg.decoder_embed_dim, annotation_dim(cfg), first, second)
    return Recurrence(cfg.decoder_embed_dim, annotation_dim(cfg), cell(cfg.decoder_hidden_size))


def decoder_class(cfg: BahdanauConfig) -> Type[BahdanauDecoder]:
    """The decoder class that the options name; the log says so where it cannot be the fused one."""
    if cfg.recurrence == options.FUSED:
        uncovered = not_fused(cfg)
        if uncovered is None:
            return FusedDecoder
        logger.info(f"--recurrence fused does not cover {uncovered}: the decoder runs as --recurrence reference")
    return FixedContextDecoder if cfg.context == options.FIXED_CONTEXT else DECODERS[str(cfg.decoder_order)]


def build_decoder(cfg: BahdanauConfig, dictionary: Dictionary, embedding: nn.Embedding) -> BahdanauDecoder:
    """The decoder that the options name."""
    size, fixed = cfg.decoder_hidden_size, cfg.context == options.FIXED_CONTEXT
    return decoder_class(cfg)(
        dictionary,
        embedding,
        initial_state=nn.Linear(annotation_dim(cfg) if fixed else cfg.encoder_hidden_size, size),
        attention=build_attention(cfg),
        recurrence=build_recurrence(cfg),
        readout=MaxoutReadout(size, annotation_dim(cfg), cfg.decoder_embed_dim, cfg.maxout_dim, cfg.maxout_pool_size),
        output_dim=output_dim(cfg),
        output_bias=cfg.output_bias,
        tie_output=cfg.share_all_embeddings or cfg.share_decoder_input_output_embed,
        adaptive_softmax_cutoff=cfg.adaptive_softmax_cutoff,
        embed_dropout=dropout(cfg, cfg.embed_dropout),
        readout_dropout=dropout(cfg, cfg.readout_dropout),
        max_target_positions=cfg.max_target_positions,
    )


@register_model("bigru_bahdanau_maxout", dataclass=BahdanauConfig)
class BahdanauModel(FairseqEncoderDecoderModel):
    """Bidirectional GRU encoder and GRU decoder with additive attention and maxout readout (Bahdanau et al. 2014)."""

    @classmethod
    def build_model(cls, cfg: BahdanauConfig, task: FairseqTask) -> "BahdanauModel":
        """Assembles and initialises the model.

        Raises:
            ValueError: options that contradict each other, the dictionaries or an embedding file
        """
        # What fairseq does for the architecture itself, not for presets: options younger than a checkpoint.
        cfg = merge_with_parent(BahdanauConfig(), cfg)
        check_numbers(cfg)
        check_embeddings(cfg, task)
        check_combinations(cfg, task)
        source_embedding = build_embedding(task.source_dictionary, cfg.encoder_embed_dim)
        target_embedding = source_embedding
        if not cfg.share_all_embeddings:
            target_embedding = build_embedding(task.target_dictionary, cfg.decoder_embed_dim)
        model = cls(
            build_encoder(cfg, task.source_dictionary, source_embedding),
            build_decoder(cfg, task.target_dictionary, target_embedding),
        )
        initialize(model, cfg.init, gates=cell_class(cfg)(1).state_gates.out_features)
        if cfg.encoder_embed_path is not None:
            load_pretrained(source_embedding, task.source_dictionary, cfg.encoder_embed_path, "--encoder-embed-path")
        if cfg.decoder_embed_path is not None:
            load_pretrained(target_embedding, task.target_dictionary, cfg.decoder_embed_path, "--decoder-embed-path")
        return model

    def forward(
        self, src_tokens: Tensor, src_lengths: Tensor, prev_output_tokens: Tensor
    ) -> Tuple[Tensor, Dict[str, List[Optional[Tensor]]]]:
        """Teacher-forced scores: what :meth:`BahdanauDecoder.forward` returns for this source.

        Args:
            src_tokens: ``(batch, src_len)``, padded on either side
            src_lengths: ``(batch,)``
            prev_output_tokens: ``(batch, tgt_len)``, the target shifted right
        """
        return self.decoder(prev_output_tokens, self.encoder(src_tokens, src_lengths))

    @torch.jit.export
    def get_normalized_probs(
        self,
        net_output: Tuple[Tensor, Optional[Dict[str, List[Optional[Tensor]]]]],
        log_probs: bool,
        sample: Optional[Dict[str, Tensor]] = None,
    ) -> Tensor:
        """Probabilities or log-probabilities of what :meth:`forward` returned; here with types that TorchScript can
        read."""
        return self.get_normalized_probs_scriptable(net_output, log_probs, sample)


@register_model_architecture("bigru_bahdanau_maxout", "rnnsearch50")
def rnnsearch50(args: Namespace) -> None:
    """RNNsearch-50 as the paper has it (appendices A and B): the sizes are the defaults, the GRU and the initial values
    are not. An option on the command line overrides it; fairseq-hydra-train has ``config/rnnsearch50.yaml`` instead.

    ``--context fixed`` makes it RNNencdec-50; ``--decoder-order update-look-generate --decoder-out-embed-dim 620
    --output-bias`` makes it what the authors' code computes. How it is trained is no part of the model: those flags are
    in ``recipes/multi30k/models/rnnsearch50.args``.
    """
    args.gru_reset = getattr(args, "gru_reset", options.BEFORE)
    args.init = getattr(args, "init", PAPER)
