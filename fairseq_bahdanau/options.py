"""Declares the options of the architecture, and refuses before any training those that cannot work."""

# fairseq reads an option's choices from ChoiceEnum([...]), a call where mypy wants a type.
# mypy: disable-error-code="valid-type"

from dataclasses import dataclass, field
from typing import Iterable, List, Optional, Tuple

from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from fairseq.tasks import FairseqTask
from omegaconf import II

from .attention import SCORES
from .initialization import GLOROT, PAPER
from .orders import ORDERS
from .recurrence import CELLS

ON, OFF = "on", "off"
SOFT, HARD = "soft", "hard"
REFERENCE, FUSED, TRITON = "reference", "fused", "triton"


def choices(table: Iterable[Tuple[str, str]], place: int) -> List[str]:
    """Returns the first (0) or second (1) of every pair that a table has, each once, in the order of the table."""
    return list(dict.fromkeys(pair[place] for pair in table))


@dataclass
class BahdanauConfig(FairseqDataclass):
    """Holds the options of the architecture; the defaults are the paper's sizes (appendix A.2.3)."""

    encoder_embed_dim: int = field(default=620, metadata={"help": "source embedding size"})
    encoder_hidden_size: int = field(default=1000, metadata={"help": "state size of each encoder direction"})
    encoder_layers: int = field(default=1, metadata={"help": "how many recurrent layers the encoder has"})
    encoder_bidirectional: ChoiceEnum([ON, OFF]) = field(
        default=ON, metadata={"help": "whether the encoder reads in both directions", "argparse_const": ON}
    )
    encoder_embed_path: Optional[str] = field(
        default=None, metadata={"help": "text file of pretrained source embeddings, first line 'COUNT SIZE'"}
    )
    decoder_embed_dim: int = field(default=620, metadata={"help": "target embedding size"})
    decoder_hidden_size: int = field(default=1000, metadata={"help": "decoder state size"})
    decoder_embed_path: Optional[str] = field(
        default=None, metadata={"help": "text file of pretrained target embeddings, first line 'COUNT SIZE'"}
    )
    cell: ChoiceEnum(choices(CELLS, 0)) = field(
        default="gru", metadata={"help": "recurrent cell of encoder and decoder"}
    )
    gru_reset: ChoiceEnum(choices(CELLS, 1)) = field(
        default="after",
        metadata={"help": "where a GRU's reset gate acts: after the matrix product (PyTorch) or before it (the paper)"},
    )
    context: ChoiceEnum(choices(ORDERS, 0)) = field(
        default="attention",
        metadata={"help": "what the decoder sees of the source: what it attends to, or the encoder's last states"},
    )
    decoder_order: ChoiceEnum(choices(ORDERS, 1)) = field(
        default="look-update-generate", metadata={"help": "order of a decoder step: which state asks the attention"}
    )
    attention_score: ChoiceEnum(list(SCORES)) = field(
        default="additive", metadata={"help": "how a state scores a source position: by a network or an inner product"}
    )
    attention_dim: int = field(default=1000, metadata={"help": "size of the additive attention's hidden layer"})
    attention: ChoiceEnum([SOFT, HARD]) = field(
        default=SOFT, metadata={"help": "weigh all source positions, or keep the best and nothing else"}
    )
    hard_attention_top_k: int = field(default=1, metadata={"help": "how many positions hard attention keeps"})
    maxout_dim: int = field(default=500, metadata={"help": "size of the maxout readout"})
    maxout_pool_size: int = field(default=2, metadata={"help": "neighbours that compete for one maxout place"})
    decoder_out_embed_dim: Optional[int] = field(
        default=None, metadata={"help": "size of the output layer's word vectors, by default that of the readout"}
    )
    output_bias: bool = field(default=False, metadata={"help": "give the output layer a bias"})
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
    recurrence: ChoiceEnum([REFERENCE, FUSED, TRITON]) = field(
        default=FUSED,
        metadata={
            "help": "the decoder's steps: as the equations read, or the same numbers faster; triton is for a GPU, "
            "where it has one kernel beside each product"
        },
    )
    init: ChoiceEnum([PAPER, GLOROT]) = field(
        default=GLOROT, metadata={"help": "initial values: the paper's, or Glorot's, which train better"}
    )
    max_source_positions: int = II("task.max_source_positions")
    max_target_positions: int = II("task.max_target_positions")


def annotation_dim(cfg: BahdanauConfig) -> int:
    """Returns the size of an annotation: of the states of all directions together."""
    return cfg.encoder_hidden_size * (2 if cfg.encoder_bidirectional == ON else 1)


def output_dim(cfg: BahdanauConfig) -> int:
    """Returns the size of the output layer's word vectors."""
    if cfg.share_all_embeddings or cfg.share_decoder_input_output_embed:
        return cfg.decoder_embed_dim
    return cfg.maxout_dim if cfg.decoder_out_embed_dim is None else cfg.decoder_out_embed_dim


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
        "encoder_layers",
        "decoder_embed_dim",
        "decoder_hidden_size",
        "attention_dim",
        "maxout_dim",
        "maxout_pool_size",
        "hard_attention_top_k",
    ):
        refuse_if(cfg[name] < 1, f"--{name.replace('_', '-')} must be at least 1, not {cfg[name]}")
    out_dim = cfg.decoder_out_embed_dim
    refuse_if(out_dim is not None and out_dim < 1, f"--decoder-out-embed-dim must be at least 1, not {out_dim}")
    for name in ("dropout", "embed_dropout", "annotation_dropout", "readout_dropout"):
        wrong = cfg[name] is not None and not 0 <= cfg[name] < 1
        refuse_if(wrong, f"--{name.replace('_', '-')} must be at least 0 and less than 1, not {cfg[name]}")


def check_embeddings(cfg: BahdanauConfig, task: FairseqTask) -> None:
    """Refuses embeddings and output layers that contradict each other or the dictionaries.

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
    tied = cfg.share_all_embeddings or cfg.share_decoder_input_output_embed
    refuse_if(
        tied and cfg.decoder_out_embed_dim not in (None, cfg.decoder_embed_dim),
        f"--decoder-out-embed-dim is {cfg.decoder_out_embed_dim}, but tied embeddings are the output layer, and have "
        f"the {cfg.decoder_embed_dim} of --decoder-embed-dim: leave it out",
    )
    if cfg.adaptive_softmax_cutoff is not None:
        refuse_if(
            tied,
            "--adaptive-softmax-cutoff has no output layer to tie: leave out --share-all-embeddings and "
            "--share-decoder-input-output-embed",
        )
        refuse_if(cfg.output_bias, "--adaptive-softmax-cutoff has no output layer that could have --output-bias")
        cutoff, words = list(cfg.adaptive_softmax_cutoff), len(task.target_dictionary)
        refuse_if(
            cutoff != sorted(set(cutoff)) or not cutoff or cutoff[0] < 1 or cutoff[-1] >= words,
            f"--adaptive-softmax-cutoff must rise between 1 and the target dictionary's {words} words, not {cutoff}",
        )


def check_combinations(cfg: BahdanauConfig, task: FairseqTask) -> None:
    """Refuses options that contradict each other or the task.

    Raises:
        ValueError: one line that names the option and what to do
    """
    refuse_if(
        (str(cfg.cell), str(cfg.gru_reset)) not in CELLS,
        f"--gru-reset {cfg.gru_reset} is for --cell gru, not {cfg.cell}",
    )
    if cfg.context == "fixed":
        for flag, value, default in (
            ("--decoder-order", cfg.decoder_order, "look-update-generate"),
            ("--attention-score", cfg.attention_score, "additive"),
            ("--attention", cfg.attention, SOFT),
        ):
            refuse_if(value != default, f"--context fixed has no attention: leave out {flag} {value}")
    refuse_if(
        SCORES[str(cfg.attention_score)].equal_sizes and cfg.decoder_hidden_size != annotation_dim(cfg),
        f"--attention-score {cfg.attention_score} needs a --decoder-hidden-size of {annotation_dim(cfg)}, the size of "
        f"an annotation (--encoder-hidden-size in all directions), not {cfg.decoder_hidden_size}",
    )
    refuse_if(
        cfg.attention == SOFT and cfg.hard_attention_top_k != 1,
        "--hard-attention-top-k is for --attention hard",
    )
    refuse_if(
        getattr(task.cfg, "left_pad_target", False),
        "--left-pad-target is not supported: a recurrent decoder would read the padding before the sentence",
    )
