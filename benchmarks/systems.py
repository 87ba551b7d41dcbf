"""What is compared: our model with either recurrence, a textbook loop, fairseq's ``lstm`` and ``transformer``, JoeyNMT.

All look like fairseq models, so that one measurement serves them all. Two sizes: ``small``, and the paper's.
"""

from argparse import Namespace
from types import SimpleNamespace

import torch
from fairseq.data import Dictionary
from fairseq.models import FairseqEncoderDecoderModel
from fairseq.models.lstm import LSTMModel
from fairseq.models.lstm import base_architecture as lstm_architecture
from fairseq.models.transformer import TransformerModel, base_architecture
from omegaconf import OmegaConf
from textbook import TextbookDecoder

from fairseq_bahdanau.model import BahdanauConfig, BahdanauModel

# embedding, encoder state per direction, decoder state, attention, readout
SIZES = {"small": (256, 256, 512, 512, 256), "paper": (620, 1000, 1000, 1000, 500)}
# Of similar parameter count: model dimension, feed-forward dimension, heads, layers on each side.
TRANSFORMERS = {"small": (256, 1024, 4, 2), "paper": (512, 2048, 8, 4)}
DROPOUT = 0.2
POSITIONS = {"max_source_positions": 1024, "max_target_positions": 1024}
SYSTEMS = ("ours", "reference", "textbook", "lstm", "transformer", "joeynmt")


def make_dictionary(words: int) -> Dictionary:
    """A dictionary of so many entries in all."""
    dictionary = Dictionary()
    for number in range(words - len(dictionary)):
        dictionary.add_symbol(f"w{number}")
    return dictionary


def build(system: str, size: str, dictionary: Dictionary) -> FairseqEncoderDecoderModel:
    """The model of this name, with fresh parameters.

    Args:
        system: one of ``SYSTEMS``
        size: one of ``SIZES``
        dictionary: of both languages
    """
    torch.manual_seed(1)
    task = SimpleNamespace(source_dictionary=dictionary, target_dictionary=dictionary, cfg=None)
    if system == "joeynmt":
        from joey import JoeyNMT  # only here, as nobody else needs it installed

        return JoeyNMT(SIZES[size], dictionary, DROPOUT)
    if system == "lstm":
        return build_lstm(size, task)
    if system == "transformer":
        return build_transformer(size, task)
    embed, encoder, decoder, attention, maxout = SIZES[size]
    cfg = BahdanauConfig(
        encoder_embed_dim=embed,
        encoder_hidden_size=encoder,
        decoder_embed_dim=embed,
        decoder_hidden_size=decoder,
        attention_dim=attention,
        maxout_dim=maxout,
        dropout=DROPOUT,
        recurrence="fused" if system == "ours" else "reference",
        **POSITIONS,
    )
    model = BahdanauModel.build_model(OmegaConf.structured(cfg), task)
    if system == "textbook":
        model.decoder.__class__ = TextbookDecoder
    return model


def build_lstm(size: str, task: SimpleNamespace) -> LSTMModel:
    """The LSTM of fairseq with its dot-product attention, of our sizes."""
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
        **POSITIONS,
    )
    lstm_architecture(args)
    return LSTMModel.build_model(args, task)


def build_transformer(size: str, task: SimpleNamespace) -> TransformerModel:
    """The transformer of fairseq, post-norm, with as many parameters as we have."""
    model_dim, feed_forward, heads, layers = TRANSFORMERS[size]
    args = Namespace(dropout=DROPOUT, share_decoder_input_output_embed=True, **POSITIONS)
    for side in ("encoder", "decoder"):
        setattr(args, f"{side}_embed_dim", model_dim)
        setattr(args, f"{side}_ffn_embed_dim", feed_forward)
        setattr(args, f"{side}_attention_heads", heads)
        setattr(args, f"{side}_layers", layers)
    base_architecture(args)
    return TransformerModel.build_model(args, task)
