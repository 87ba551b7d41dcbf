"""The model that ``--arch bigru_bahdanau_maxout`` names: its options, its checks, its assembly."""

from dataclasses import dataclass, field
from typing import Dict, List, Optional, Tuple

import torch
from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from fairseq.models import FairseqEncoderDecoderModel, register_model
from fairseq.tasks import FairseqTask
from omegaconf import II
from torch import Tensor

from .attention import AdditiveAttention, Attention
from .attention_variants import BilinearAttention, DotAttention
from .decoder import BahdanauDecoder
from .decoder_orders import ConditionalGRUDecoder, ConditionalRecurrence, UpdateLookGenerateDecoder
from .embeddings import build_embedding, load_pretrained
from .encoder import BiGRUEncoder
from .initialization import GLOROT, PAPER, initialize
from .recurrence import GRURecurrence

ADDITIVE, DOT, BILINEAR = "additive", "dot", "bilinear"
SOFT, HARD = "soft", "hard"
DECODERS = {  # by --decoder-order
    "look-update-generate": (BahdanauDecoder, GRURecurrence),
    "update-look-generate": (UpdateLookGenerateDecoder, GRURecurrence),
    "update-look-update-generate": (ConditionalGRUDecoder, ConditionalRecurrence),
}


@dataclass
class BahdanauConfig(FairseqDataclass):
    """Options of the architecture; the defaults are the paper's sizes (appendix A.2.3)."""

    encoder_embed_dim: int = field(default=620, metadata={"help": "source embedding size"})
    encoder_hidden_size: int = field(default=1000, metadata={"help": "state size of each encoder direction"})
    encoder_embed_path: Optional[str] = field(
        default=None, metadata={"help": "text file of pretrained source embeddings, first line 'COUNT SIZE'"}
    )
    decoder_embed_dim: int = field(default=620, metadata={"help": "target embedding size"})
    decoder_hidden_size: int = field(default=1000, metadata={"help": "decoder state size"})
    decoder_embed_path: Optional[str] = field(
        default=None, metadata={"help": "text file of pretrained target embeddings, first line 'COUNT SIZE'"}
    )
    decoder_order: ChoiceEnum(list(DECODERS)) = field(
        default="look-update-generate", metadata={"help": "order of a decoder step: which state asks the attention"}
    )
    attention_score: ChoiceEnum([ADDITIVE, DOT, BILINEAR]) = field(
        default=ADDITIVE, metadata={"help": "how a state scores a source position: by a network or an inner product"}
    )
    attention_dim: int = field(default=1000, metadata={"help": "size of the additive attention's hidden layer"})
    attention: ChoiceEnum([SOFT, HARD]) = field(
        default=SOFT, metadata={"help": "weigh all source positions, or keep the best and nothing else"}
    )
    hard_attention_top_k: int = field(default=1, metadata={"help": "how many positions hard attention keeps"})
    maxout_dim: int = field(default=500, metadata={"help": "size of the maxout readout"})
    maxout_pool_size: int = field(default=2, metadata={"help": "neighbours that compete for one maxout place"})
    share_decoder_input_output_embed: bool = field(
        default=False, metadata={"help": "use the target embedding as output layer"}
    )
    share_all_embeddings: bool = field(
        default=False, metadata={"help": "one embedding for source, target and output layer (joined dictionary)"}
    )
    adaptive_softmax_cutoff: Optional[List[int]] = field(
        default=None,
        metadata={
            "help": "cluster borders of an adaptive softmax, such as 2000,10000; needs --criterion adaptive_loss"
        },
    )
    dropout: float = field(default=0.0, metadata={"help": "probability of each dropout below that is not given"})
    embed_dropout: Optional[float] = field(default=None, metadata={"help": "dropout on source and target embeddings"})
    annotation_dropout: Optional[float] = field(default=None, metadata={"help": "dropout on the encoder's annotations"})
    readout_dropout: Optional[float] = field(default=None, metadata={"help": "dropout on the maxout readout"})
    init: ChoiceEnum([PAPER, GLOROT]) = field(
        default=GLOROT, metadata={"help": "initial values: the paper's, or Glorot's, which train better"}
    )
    max_source_positions: int = II("task.max_source_positions")
    max_target_positions: int = II("task.max_target_positions")


def refuse_if(wrong: bool, message: str) -> None:
    """Raises ValueError with this line when something is wrong."""
    if wrong:
        raise ValueError(message)


def check_numbers(cfg: BahdanauConfig) -> None:
    """Refuses sizes and probabilities out of range.

    Raises:
        ValueError: one line that names the option
    """
    for name in (
        "encoder_embed_dim",
        "encoder_hidden_size",
        "decoder_embed_dim",
        "decoder_hidden_size",
        "attention_dim",
        "maxout_dim",
        "maxout_pool_size",
        "hard_attention_top_k",
    ):
        refuse_if(cfg[name] < 1, f"--{name.replace('_', '-')} must be at least 1, not {cfg[name]}")
    for name in ("dropout", "embed_dropout", "annotation_dropout", "readout_dropout"):
        wrong = cfg[name] is not None and not 0 <= cfg[name] < 1
        refuse_if(wrong, f"--{name.replace('_', '-')} must be at least 0 and less than 1, not {cfg[name]}")


def check_combinations(cfg: BahdanauConfig, task: FairseqTask) -> None:
    """Refuses options that contradict each other, the dictionaries or the task.

    Raises:
        ValueError: one line that names the option and what to do
    """
    if cfg.share_all_embeddings:
        refuse_if(
            task.source_dictionary != task.target_dictionary,
            "--share-all-embeddings needs one dictionary for both languages: fairseq-preprocess --joined-dictionary",
        )
        refuse_if(
            cfg.encoder_embed_dim != cfg.decoder_embed_dim,
            "--share-all-embeddings needs equal sizes, but --encoder-embed-dim is "
            f"{cfg.encoder_embed_dim} and --decoder-embed-dim is {cfg.decoder_embed_dim}",
        )
        refuse_if(
            cfg.decoder_embed_path not in (None, cfg.encoder_embed_path),
            "--share-all-embeddings has one embedding: give --encoder-embed-path, not --decoder-embed-path",
        )
    if cfg.adaptive_softmax_cutoff is not None:
        refuse_if(
            cfg.share_all_embeddings or cfg.share_decoder_input_output_embed,
            "--adaptive-softmax-cutoff has no output layer to tie: leave out --share-all-embeddings and "
            "--share-decoder-input-output-embed",
        )
        cutoff, words = list(cfg.adaptive_softmax_cutoff), len(task.target_dictionary)
        refuse_if(
            cutoff != sorted(set(cutoff)) or not cutoff or cutoff[0] < 1 or cutoff[-1] >= words,
            f"--adaptive-softmax-cutoff must rise between 1 and the target dictionary's {words} words, not {cutoff}",
        )
    refuse_if(
        cfg.attention_score == DOT and cfg.decoder_hidden_size != 2 * cfg.encoder_hidden_size,
        "--attention-score dot needs --decoder-hidden-size to be twice --encoder-hidden-size, the size of an "
        f"annotation, but they are {cfg.decoder_hidden_size} and {cfg.encoder_hidden_size}",
    )
    refuse_if(
        cfg.attention == SOFT and cfg.hard_attention_top_k != 1,
        "--hard-attention-top-k is for --attention hard",
    )
    refuse_if(
        getattr(task.cfg, "left_pad_target", False),
        "--left-pad-target is not supported: a recurrent decoder would read the padding before the sentence",
    )


def build_attention(cfg: BahdanauConfig) -> Attention:
    """The attention that the options name."""
    top_k = cfg.hard_attention_top_k if cfg.attention == HARD else 0
    if cfg.attention_score == DOT:
        return DotAttention(top_k)
    if cfg.attention_score == BILINEAR:
        return BilinearAttention(cfg.decoder_hidden_size, 2 * cfg.encoder_hidden_size, top_k)
    return AdditiveAttention(cfg.decoder_hidden_size, 2 * cfg.encoder_hidden_size, cfg.attention_dim, top_k)


@register_model("bigru_bahdanau_maxout", dataclass=BahdanauConfig)
class BahdanauModel(FairseqEncoderDecoderModel):
    """Bidirectional GRU encoder and GRU decoder with additive attention and maxout readout (Bahdanau et al. 2014)."""

    @classmethod
    def build_model(cls, cfg: BahdanauConfig, task: FairseqTask) -> "BahdanauModel":
        """Assembles and initialises the model.

        Raises:
            ValueError: options that contradict each other, the dictionaries or an embedding file
        """
        check_numbers(cfg)
        check_combinations(cfg, task)

        def dropout(place: Optional[float]) -> float:
            return cfg.dropout if place is None else place

        source_embedding = build_embedding(task.source_dictionary, cfg.encoder_embed_dim)
        target_embedding = source_embedding
        if not cfg.share_all_embeddings:
            target_embedding = build_embedding(task.target_dictionary, cfg.decoder_embed_dim)
        encoder = BiGRUEncoder(
            task.source_dictionary,
            source_embedding,
            hidden_size=cfg.encoder_hidden_size,
            embed_dropout=dropout(cfg.embed_dropout),
            annotation_dropout=dropout(cfg.annotation_dropout),
            max_source_positions=cfg.max_source_positions,
        )
        decoder_class, recurrence_class = DECODERS[str(cfg.decoder_order)]
        decoder = decoder_class(
            task.target_dictionary,
            target_embedding,
            encoder_hidden_size=cfg.encoder_hidden_size,
            hidden_size=cfg.decoder_hidden_size,
            attention=build_attention(cfg),
            recurrence=recurrence_class(cfg.decoder_embed_dim, 2 * cfg.encoder_hidden_size, cfg.decoder_hidden_size),
            maxout_dim=cfg.maxout_dim,
            maxout_pool_size=cfg.maxout_pool_size,
            tie_output=cfg.share_all_embeddings or cfg.share_decoder_input_output_embed,
            adaptive_softmax_cutoff=cfg.adaptive_softmax_cutoff,
            embed_dropout=dropout(cfg.embed_dropout),
            readout_dropout=dropout(cfg.readout_dropout),
            max_target_positions=cfg.max_target_positions,
        )
        model = cls(encoder, decoder)
        initialize(model, cfg.init)
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
