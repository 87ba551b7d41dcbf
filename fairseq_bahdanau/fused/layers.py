"""The layers whose weights the fused code reads where the readable code calls them."""

from typing import Dict, List, Protocol, Tuple

from torch import Tensor, nn

from ..attention import AdditiveAttention, Source
from ..readout import MaxoutReadout
from ..recurrence import GRUCell, Recurrence, State

KINDS = (AdditiveAttention, Recurrence, GRUCell, MaxoutReadout, nn.Linear, nn.GRU)  # exactly these


class Layers(Protocol):
    """What the fused code reads and calls of a decoder; the names are those of ``BahdanauDecoder``."""

    embed_tokens: nn.Module
    embed_dropout: nn.Module
    attention: AdditiveAttention
    recurrence: Recurrence
    readout: MaxoutReadout
    readout_dropout: nn.Module
    factor_proj: nn.Module

    def begin(self, encoder_out: Dict[str, List[Tensor]]) -> Tuple[State, Source]:
        """Computes what the first step starts from."""


def read_layers(decoder: Layers) -> Dict[str, nn.Module]:
    """Returns the layers of a decoder that the fused code reads instead of calling them, by name."""
    attention, recurrence, readout = decoder.attention, decoder.recurrence, decoder.readout
    return {
        "attention": attention,
        "attention.query_proj": attention.query_proj,
        "recurrence": recurrence,
        "recurrence.embed_gates": recurrence.embed_gates,
        "recurrence.context_gates": recurrence.context_gates,
        "recurrence.cell": recurrence.cell,
        "recurrence.cell.state_gates": recurrence.cell.state_gates,
        "readout": readout,
        "readout.state_proj": readout.state_proj,
        "readout.context_proj": readout.context_proj,
        "readout.embed_proj": readout.embed_proj,
    }
