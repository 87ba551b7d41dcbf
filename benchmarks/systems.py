"""Every system that is compared is built here, in two sizes: ``small``, and the paper's.

They are our model in its three orders of a step, its readable code and a textbook loop, fairseq's ``lstm`` and
``transformer``, and JoeyNMT. All look like fairseq models, so that one measurement serves them all.
"""

from argparse import Namespace
from types import SimpleNamespace
from typing import List

import torch
from batches import POSITIONS
from fairseq.data import Dictionary
from fairseq.models.lstm import LSTMModel
from fairseq.models.lstm import base_architecture as lstm_architecture
from fairseq.models.transformer import TransformerModel, base_architecture
from omegaconf import OmegaConf
from textbook import TextbookDecoder
from torch import nn

from fairseq_bahdanau.model import BahdanauConfig, BahdanauModel

# embedding, encoder state per direction, decoder state, attention, readout
SIZES = {"small": (256, 256, 512, 512, 256), "paper": (620, 1000, 1000, 1000, 500)}
# Of similar parameter count: model dimension, feed-forward dimension, heads, layers on each side.
TRANSFORMERS = {"small": (256, 1024, 4, 2), "paper": (512, 2048, 8, 4)}
DROPOUT = 0.2
LIMITS = {"max_source_positions": POSITIONS, "max_target_positions": POSITIONS}
# The systems that are our model: order of a step, recurrence.
DEFAULT_ORDER = "look-update-generate"
OURS = {
    "ours": (DEFAULT_ORDER, "fused"),
    "ours-update-look": ("update-look-generate", "fused"),
    "ours-conditional": ("update-look-update-generate", "fused"),
    "reference": (DEFAULT_ORDER, "reference"),
    "textbook": (DEFAULT_ORDER, "reference"),
}
SYSTEMS = [*OURS, "lstm", "transformer", "joeynmt"]


def base_of(systems: List[str]) -> str:
    """Returns the system against which the others are shown: fairseq's ``lstm``, or the first where it has no part."""
    return "lstm" if "lstm" in systems else systems[0]


def build(system: str, size: str, source: Dictionary, target: Dictionary) -> nn.Module:
    """Builds the model of this name, with fresh parameters.

    Args:
        system: one of ``SYSTEMS``
        size: one of ``SIZES``
        source, target: the dictionaries
    """
    torch.manual_seed(1)
    task = SimpleNamespace(source_dictionary=source, target_dictionary=target, cfg=None)
    if system == "joeynmt":
        from joey import JoeyNMT  # only here, as nobody else needs it installed

        return JoeyNMT(SIZES[size], source, target, DROPOUT)
    if system == "lstm":
        return build_lstm(size, task)
    if system == "transformer":
        return build_transformer(size, task)
    embed, encoder, decoder, attention, maxout = SIZES[size]
    order, recurrence = OURS[system]
    cfg = BahdanauConfig(
        encoder_embed_dim=embed,
        encoder_hidden_size=encoder,
        decoder_embed_dim=embed,
        decoder_hidden_size=decoder,
        attention_dim=attention,
        maxout_dim=maxout,
        dropout=DROPOUT,
        decoder_order=order,
        recurrence=recurrence,
        **LIMITS,
    )
    model = BahdanauModel.build_model(OmegaConf.structured(cfg), task)
    if system == "textbook":
        model.decoder.__class__ = TextbookDecoder
    return model


def build_lstm(size: str, task: SimpleNamespace) -> LSTMModel:
    """Builds the LSTM of fairseq with its dot-product attention, of our sizes."""
    embed, encoder, decoder, _, maxout = SIZES[size]
    args = Namespace(
        encoder_embed_dim=embed,
        encoder_hidden_size=encoder,
        encoder_bidirectional=True,
        decoder_embed_dim=embed,
        decoder_hidden_size=decoder,
        decoder_out_embed_dim=maxout,
        dropout=DROPOUT,
        criterion="cross_entropy",
        **LIMITS,
    )
    lstm_architecture(args)
    return LSTMModel.build_model(args, task)


def build_transformer(size: str, task: SimpleNamespace) -> TransformerModel:
    """Builds the transformer of fairseq, post-norm, with as many parameters as we have."""
    model_dim, feed_forward, heads, layers = TRANSFORMERS[size]
    args = Namespace(dropout=DROPOUT, share_decoder_input_output_embed=True, **LIMITS)
    for side in ("encoder", "decoder"):
        setattr(args, f"{side}_embed_dim", model_dim)
        setattr(args, f"{side}_ffn_embed_dim", feed_forward)
        setattr(args, f"{side}_attention_heads", heads)
        setattr(args, f"{side}_layers", layers)
    base_architecture(args)
    return TransformerModel.build_model(args, task)
