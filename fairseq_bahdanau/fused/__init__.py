"""The fused code gives the numbers of a model from fewer and larger operations, for every order of a step that looks.

:class:`Fused` is what a decoder and an encoder are given, or are not. Each of its functions is the twin of a readable
one, and is tested equal to it: ``loop.py`` and ``conditional.py`` of the decoder's ``unroll``, and so for a GPU
``triton_loop.py`` and ``triton_conditional.py``; ``search.py`` and ``triton_search.py`` of its ``search_step``,
``encoder.py`` of ``RecurrentEncoder.read``, ``matmul.py`` of ``F.linear``.
"""

import functools
import logging
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Set, Tuple, Union

import torch
from torch import Tensor, nn

from ..attention import AdditiveAttention, Source
from ..plain import change_of
from ..readout import MaxoutReadout
from ..recurrence import ConditionalRecurrence, GRUCell, Recurrence, State
from . import conditional, loop, search, triton_choice
from .encoder import read
from .layers import Layers
from .matmul import linear

logger = logging.getLogger(__name__)

# What the code here computes; a class derived from one of these computes something else.
KINDS = (AdditiveAttention, Recurrence, ConditionalRecurrence, GRUCell, MaxoutReadout, nn.Linear, nn.GRU)
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
SECOND = ("recurrence.second_cell", "recurrence.second_cell.state_gates")


class FusedOrder(NamedTuple):
    """Names the twins of an order of a step, and the layers that they read."""

    unroll: Callable[..., Tuple[State, Tensor]]
    begin_search: Callable[..., Dict[str, Any]]
    search_step: Callable[..., Tuple[Tensor, Tensor]]
    layers: Tuple[str, ...]


# The choices of --decoder-order that have fused code.
ORDERS = {
    "look-update-generate": FusedOrder(loop.unroll, search.begin_look_update, search.look_update, READ),
    "update-look-generate": FusedOrder(
        functools.partial(loop.unroll, looks_late=True), search.begin_update_look, search.update_look, READ
    ),
    "update-look-update-generate": FusedOrder(
        conditional.unroll, search.begin_conditional, search.conditional, READ + SECOND
    ),
}
# The members of the family that have a fused decoder, in each of these orders: option, name in the configuration,
# value.
COVERED = (
    ("--context", "context", "attention"),
    ("--attention-score", "attention_score", "additive"),
    ("--attention", "attention", "soft"),
    ("--cell", "cell", "gru"),
    ("--gru-reset", "gru_reset", "after"),
)


def uncovered_option(cfg: Any) -> Optional[str]:
    """Returns the option for which there is no fused decoder, with its value; None where there is one."""
    if cfg.decoder_order not in ORDERS:
        return f"--decoder-order {cfg.decoder_order}"
    for option, name, value in COVERED:
        if cfg[name] != value:
            return f"{option} {cfg[name]}"
    return None


class Fused:
    """Decides where the fused code applies, and holds it.

    A member of the family that has fused code is still run as the readable code where a layer was changed after it was
    built, by pruning, quantisation, a hook or the like; the log then says so once. Has no parameters, and is no module:
    a model may be copied, saved and scripted with it. ``decoder.fused = None`` makes a model its own reference.

    Args:
        order: the decoder's, one of ``ORDERS``; an encoder has none
        in_triton: whether the code in Triton is taken, where it can run
    """

    read = staticmethod(read)

    def __init__(self, order: str = "", in_triton: bool = False):
        self.order, self.in_triton = order, in_triton
        self.said: Set[str] = set()

    def covers(self, decoder: Layers) -> bool:
        """Tells whether all layers of a decoder that the fused code would read are plain ones."""
        return not is_transformed() and all(
            self.is_plain(f"decoder.{name}", decoder.get_submodule(name)) for name in ORDERS[self.order].layers
        )

    def loop_for(
        self, decoder: Layers, embed_gates: Tensor, source: Source
    ) -> Optional[Callable[..., Tuple[State, Tensor]]]:
        """Returns the twin of the decoder's ``unroll``, where one applies.

        It does to plain layers, and where every row reads a sentence of its own.
        """
        if embed_gates.size(0) == source.keys.size(0) and self.covers(decoder):
            return self.twins(embed_gates).unroll
        return None

    def begin_search(self, decoder: Layers, encoder_out: Dict[str, List[Tensor]]) -> Dict[str, Any]:
        """Makes what a search carries, the function that takes its steps among it; in Triton there are no gradients."""
        twins = ORDERS[self.order] if torch.is_grad_enabled() else self.twins(encoder_out["encoder_out"][0])
        carried = twins.begin_search(decoder, encoder_out)
        carried["search_step"], carried["has_gradients"] = twins.search_step, torch.is_grad_enabled()
        return carried

    def twins(self, tensor: Tensor) -> Union[FusedOrder, triton_choice.Twins]:
        """Returns the twins that take tensors such as this one; where those in Triton cannot, logs why, once."""
        if self.in_triton:
            hindrance = triton_choice.hindrance(tensor)
            if hindrance is None:
                return triton_choice.twins(self.order)
            if hindrance not in self.said:
                self.said.add(hindrance)
                logger.info(f"--recurrence triton: Triton {hindrance}: it runs as --recurrence fused")
        return ORDERS[self.order]

    def reads(self, rnn: nn.Module, embedded: Tensor) -> bool:
        """Tells whether :func:`read` applies: to a plain ``nn.GRU``, on a CPU in training only."""
        pays = torch.is_grad_enabled() or embedded.device.type != "cpu"
        return pays and not is_transformed() and self.is_plain("encoder.rnn", rnn)

    def linear(self, layer: nn.Linear, inputs: Tensor) -> Tensor:
        """Computes ``layer(inputs)``, the decoder's output layer, by the faster library where there are two."""
        on_cpu = inputs.device.type == "cpu" and not is_transformed()
        if on_cpu and self.is_plain("decoder.output_projection", layer):
            return linear(inputs, layer.weight, layer.bias)
        return layer(inputs)

    def is_plain(self, name: str, layer: nn.Module) -> bool:
        """Tells whether a layer's weights may be read in its place; the first time that they may not, logs why."""
        change = change_of(layer, KINDS)
        if change is not None and name not in self.said:
            self.said.add(name)
            logger.info(f"--recurrence fused does not cover {name}, which {change}: it runs as --recurrence reference")
        return change is None


def is_transformed() -> bool:
    """Tells whether a transform of ``torch.func`` is at work, which cannot see through a gradient of our own."""
    return torch._C._are_functorch_transforms_active()
