"""Says what the fused code takes for granted of a decoder, whose class it does not know."""

from typing import Dict, List, Protocol, Tuple

from torch import Tensor, nn

from ..attention import AdditiveAttention, Source
from ..readout import MaxoutReadout
from ..recurrence import ConditionalRecurrence, Recurrence, State


class Layers(Protocol):
    """Has what the fused code reads and calls of a decoder; the names are those of ``BahdanauDecoder``."""

    embed_tokens: nn.Module
    embed_dropout: nn.Module
    attention: AdditiveAttention
    recurrence: Recurrence
    readout: MaxoutReadout
    readout_dropout: nn.Module
    factor_proj: nn.Module

    def begin(self, encoder_out: Dict[str, List[Tensor]]) -> Tuple[State, Source]:
        """Computes what the first step starts from."""

    def get_submodule(self, target: str) -> nn.Module:
        """Returns the layer of this name; it is that of ``nn.Module``."""


class ConditionalLayers(Layers, Protocol):
    """Has a recurrence that updates twice."""

    recurrence: ConditionalRecurrence
