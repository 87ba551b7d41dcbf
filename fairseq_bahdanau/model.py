"""Builds the model that ``--arch bigru_bahdanau_maxout`` names from its options.

``--arch rnnsearch50`` and ``--arch bigru_bahdanau_small_data`` are presets of it.
"""

import logging
from argparse import Namespace
from typing import Dict, List, Optional, Tuple

import torch
from fairseq.data import Dictionary
from fairseq.dataclass.utils import merge_with_parent
from fairseq.models import FairseqEncoderDecoderModel, register_model, register_model_architecture
from fairseq.tasks import FairseqTask
from torch import Tensor, nn

from .attention import SCORES, Attention, UniformAttention
from .decoder import BahdanauDecoder
from .embeddings import build_embedding, load_pretrained
from .encoder import RecurrentEncoder
from .fused import Fused, uncovered_option
from .guards.dictionaries import NAME, checksums, require_same
from .initialization import PAPER, initialize
from .options import (
    HARD,
    ON,
    REFERENCE,
    TRITON,
    BahdanauConfig,
    annotation_dim,
    check_combinations,
    check_embeddings,
    check_numbers,
    output_dim,
)
from .orders import ORDERS, OrderChoice
from .readout import MaxoutReadout
from .recurrence import CELLS, CellChoice
from .rnn import EncoderLoop

logger = logging.getLogger(__name__)


def cell_choice(cfg: BahdanauConfig) -> CellChoice:
    """Returns the cell that the options name."""
    return CELLS[str(cfg.cell), str(cfg.gru_reset)]


def order_choice(cfg: BahdanauConfig) -> OrderChoice:
    """Returns the order of a decoder step that the options name."""
    return ORDERS[str(cfg.context), str(cfg.decoder_order)]


def build_encoder(cfg: BahdanauConfig, dictionary: Dictionary, embedding: nn.Embedding) -> RecurrentEncoder:
    """Makes the encoder that the options name."""
    size, layers, bidirectional = cfg.encoder_hidden_size, cfg.encoder_layers, cfg.encoder_bidirectional == ON
    cell, rnn_class = cell_choice(cfg)
    rnn: nn.Module
    if rnn_class is None:
        rnn = EncoderLoop(cfg.encoder_embed_dim, size, cell, layers, bidirectional)
    else:
        rnn = rnn_class(cfg.encoder_embed_dim, size, layers, batch_first=True, bidirectional=bidirectional)
    return RecurrentEncoder(
        dictionary,
        embedding,
        rnn,
        fused=Fused() if cfg.recurrence != REFERENCE and isinstance(rnn, nn.GRU) else None,
        hidden_size=size,
        bidirectional=bidirectional,
        embed_dropout=dropout(cfg, cfg.embed_dropout),
        annotation_dropout=dropout(cfg, cfg.annotation_dropout),
        max_source_positions=cfg.max_source_positions,
    )


def dropout(cfg: BahdanauConfig, place: Optional[float]) -> float:
    """Returns the dropout of a place, or the general one where none is given."""
    return cfg.dropout if place is None else place


def build_attention(cfg: BahdanauConfig) -> Attention:
    """Makes the attention that the options name; the log tells of a size that it does not have."""
    additive = cfg.context != "fixed" and cfg.attention_score == "additive"
    if not additive and cfg.attention_dim != BahdanauConfig.attention_dim:
        member = "--context fixed" if cfg.context == "fixed" else f"--attention-score {cfg.attention_score}"
        logger.info(f"--attention-dim {cfg.attention_dim} changes nothing: {member} has no hidden layer of that size")
    if cfg.context == "fixed":
        return UniformAttention()
    top_k = cfg.hard_attention_top_k if cfg.attention == HARD else 0
    attention = SCORES[str(cfg.attention_score)].attention
    return attention(cfg.decoder_hidden_size, annotation_dim(cfg), cfg.attention_dim, top_k)


def build_fused(cfg: BahdanauConfig) -> Optional[Fused]:
    """Makes the fast twin of the decoder that the options name; None, with a line in the log, where there is none."""
    if cfg.recurrence == REFERENCE:
        return None
    uncovered = uncovered_option(cfg)
    if uncovered is None:
        return Fused(str(cfg.decoder_order), in_triton=cfg.recurrence == TRITON)
    logger.info(f"--recurrence {cfg.recurrence} does not cover {uncovered}: the decoder runs as --recurrence reference")
    return None


def build_decoder(cfg: BahdanauConfig, dictionary: Dictionary, embedding: nn.Embedding) -> BahdanauDecoder:
    """Makes the decoder that the options name."""
    size, fixed = cfg.decoder_hidden_size, cfg.context == "fixed"
    order, cell = order_choice(cfg), cell_choice(cfg).cell
    return order.decoder(
        dictionary,
        embedding,
        initial_state=nn.Linear(annotation_dim(cfg) if fixed else cfg.encoder_hidden_size, size),
        attention=build_attention(cfg),
        recurrence=order.recurrence(cfg.decoder_embed_dim, annotation_dim(cfg), size, cell),
        readout=MaxoutReadout(size, annotation_dim(cfg), cfg.decoder_embed_dim, cfg.maxout_dim, cfg.maxout_pool_size),
        fused=build_fused(cfg),
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
    """Translates by a bidirectional GRU encoder, additive attention, a GRU decoder and a maxout readout."""

    def __init__(self, encoder: RecurrentEncoder, decoder: BahdanauDecoder):
        super().__init__(encoder, decoder)
        self.register_buffer(NAME, checksums(encoder.dictionary, decoder.dictionary))

    @classmethod
    def build_model(cls, cfg: BahdanauConfig, task: FairseqTask) -> "BahdanauModel":
        """Builds and initialises the model.

        Raises:
            ValueError: options that contradict each other, the dictionaries or an embedding file
        """
        # What fairseq does for the architecture itself, not for presets: options younger than a checkpoint get their
        # defaults, and those that there are no more are left out.
        cfg = merge_with_parent(BahdanauConfig(), cfg, True)
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
        # A cell is made to count its gates; the random numbers that this takes are part of every seed's initial values.
        initialize(model, cfg.init, gates=cell_choice(cfg).cell(1).state_gates.out_features)
        if cfg.encoder_embed_path is not None:
            load_pretrained(source_embedding, task.source_dictionary, cfg.encoder_embed_path, "--encoder-embed-path")
        if cfg.decoder_embed_path is not None:
            load_pretrained(target_embedding, task.target_dictionary, cfg.decoder_embed_path, "--decoder-embed-path")
        return model

    def upgrade_state_dict_named(self, state_dict: Dict[str, Tensor], name: str) -> None:
        """Checks the parameters of a checkpoint before they are loaded: fairseq calls this for that.

        Raises:
            ValueError: they were trained with other dictionaries
        """
        require_same(state_dict, self.get_buffer(NAME), self.encoder.dictionary, self.decoder.dictionary)
        super().upgrade_state_dict_named(state_dict, name)

    def forward(
        self, src_tokens: Tensor, src_lengths: Tensor, prev_output_tokens: Tensor
    ) -> Tuple[Tensor, Dict[str, List[Optional[Tensor]]]]:
        """Scores a given target: returns what :meth:`BahdanauDecoder.forward` does for this source.

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
        """Normalises what :meth:`forward` returned, to probabilities or log-probabilities.

        As fairseq's, with types that TorchScript can read.
        """
        return self.get_normalized_probs_scriptable(net_output, log_probs, sample)


@register_model_architecture("bigru_bahdanau_maxout", "rnnsearch50")
def rnnsearch50(args: Namespace) -> None:
    """Sets the options of RNNsearch-50 as the paper has it (appendices A and B), unless the command line does.

    The sizes are the defaults; the GRU and the initial values are not. fairseq-hydra-train has
    ``config/rnnsearch50.yaml`` instead.

    ``--context fixed`` makes it RNNencdec-50; ``--decoder-order update-look-generate --decoder-out-embed-dim 620
    --output-bias`` makes it what the authors' code computes. How it is trained is no part of the model: those flags are
    in ``recipes/multi30k/models/rnnsearch50.args``.
    """
    args.gru_reset = getattr(args, "gru_reset", "before")
    args.init = getattr(args, "init", PAPER)


SMALL_DATA = {
    "decoder_order": "update-look-update-generate",
    "encoder_embed_dim": 128,
    "encoder_hidden_size": 192,
    "decoder_embed_dim": 128,
    "decoder_hidden_size": 256,
    "attention_dim": 256,
    "maxout_dim": 128,
    "dropout": 0.3,
}


@register_model_architecture("bigru_bahdanau_maxout", "bigru_bahdanau_small_data")
def small_data(args: Namespace) -> None:
    """Sets what translates best after training on some ten thousand sentence pairs, unless the command line does.

    It is the conditional GRU of Nematus; sizes and dropout are from ``docs/quality.md``. Embeddings are shared where
    ``--share-all-embeddings`` says so, as dictionaries allow. How it is trained matters as much and is no part of the
    model: ``docs/small_data.md`` has the flags. fairseq-hydra-train knows no presets: give it the options.
    """
    for name, value in SMALL_DATA.items():
        setattr(args, name, getattr(args, name, value))


from . import plugin  # noqa: E402, F401  all else that registers itself, for who begins with this module
