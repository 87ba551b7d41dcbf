"""The fused code gives the numbers of the default model from fewer and larger operations.

:class:`Fused` is what a decoder and an encoder are given, or are not. Each of its functions is the twin of a readable
one, and is tested equal to it: ``loop.py`` of ``BahdanauDecoder.unroll``, ``search.py`` of
``BahdanauDecoder.search_step``, ``encoder.py`` of ``RecurrentEncoder.read``, ``matmul.py`` of ``F.linear``.
"""

import logging
from typing import Any, Optional, Set

import torch
from torch import Tensor, nn

from ..attention import AdditiveAttention, Source
from ..plain import change_of
from ..readout import MaxoutReadout
from ..recurrence import GRUCell, Recurrence
from .encoder import read
from .layers import Layers
from .loop import unroll
from .matmul import linear
from .search import begin_search, search_step

logger = logging.getLogger(__name__)

# What the code here computes; a class derived from one of these computes something else.
KINDS = (AdditiveAttention, Recurrence, GRUCell, MaxoutReadout, nn.Linear, nn.GRU)
# The layers of a decoder whose weights are read where the readable code calls them, and the modules that hold these.
READ = (
    "attention",
    "attention.query_proj",
    "recurrence",
    "recurrence.embed_gates",
    "recurrence.context_gates",
    "recurrence.cell",
    "recurrence.cell.state_gates",
    "readout",
    "readout.state_proj",
    "readout.context_proj",
    "readout.embed_proj",
)

# The members of the family that have a fused decoder: option, name in the configuration, value.
COVERED = (
    ("--context", "context", "attention"),
    ("--decoder-order", "decoder_order", "look-update-generate"),
    ("--attention-score", "attention_score", "additive"),
    ("--attention", "attention", "soft"),
    ("--cell", "cell", "gru"),
    ("--gru-reset", "gru_reset", "after"),
)


def uncovered_option(cfg: Any) -> Optional[str]:
    """Returns the option for which there is no fused decoder, with its value; None where there is one."""
    for option, name, value in COVERED:
        if cfg[name] != value:
            return f"{option} {cfg[name]}"
    return None


class Fused:
    """Decides where the fused code applies, and holds it.

    A member of the family that has fused code is still run as the readable code where a layer was changed after it was
    built, by pruning, quantisation, a hook or the like; the log then says so once. Has no parameters, and is no module:
    a model may be copied, saved and scripted with it. ``decoder.fused = None`` makes a model its own reference.
    """

    unroll = staticmethod(unroll)
    begin_search = staticmethod(begin_search)
    search_step = staticmethod(search_step)
    read = staticmethod(read)

    def __init__(self):
        self.said: Set[str] = set()

    def covers(self, decoder: Layers) -> bool:
        """Tells whether all layers of a decoder that the fused code would read are plain ones."""
        return all(self.is_plain(f"decoder.{name}", decoder.get_submodule(name)) for name in READ)

    def unrolls(self, decoder: Layers, embed_gates: Tensor, source: Source) -> bool:
        """Tells whether :func:`unroll` applies: to plain layers, and where every row reads a sentence of its own."""
        return embed_gates.size(0) == source.keys.size(0) and self.covers(decoder)

    def reads(self, rnn: nn.Module, embedded: Tensor) -> bool:
        """Tells whether :func:`read` applies: to a plain ``nn.GRU``, in training, on a CPU; cuDNN does it on a GPU."""
        return torch.is_grad_enabled() and embedded.device.type == "cpu" and self.is_plain("encoder.rnn", rnn)

    def linear(self, layer: nn.Linear, inputs: Tensor) -> Tensor:
        """Computes ``layer(inputs)``, the decoder's output layer, by the faster library where there are two."""
        if inputs.device.type == "cpu" and self.is_plain("decoder.output_projection", layer):
            return linear(inputs, layer.weight, layer.bias)
        return layer(inputs)

    def is_plain(self, name: str, layer: nn.Module) -> bool:
        """Tells whether a layer's weights may be read in its place; the first time that they may not, logs why."""
        change = change_of(layer, KINDS)
        if change is not None and name not in self.said:
            self.said.add(name)
            logger.info(f"--recurrence fused does not cover {name}, which {change}: it runs as --recurrence reference")
        return change is None
