"""Prints what the decoder's loop must do on a GPU at least, by counting and by arithmetic; nothing here is measured.

Operations are counted on PyTorch's meta device, which computes nothing; those of ``triton`` are its products and its
kernels. A floor is the larger of two times: that of the multiplications at the peak of the card, and that of the bytes
which a step of two launches reads and writes when nothing stays in a cache from one step to the next.
"""

from typing import Dict, List, NamedTuple, Tuple

import torch
from batches import make_dictionary
from systems import build
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from fairseq_bahdanau.attention import Source
from fairseq_bahdanau.decoder import BahdanauDecoder
from fairseq_bahdanau.recurrence import State


class Card(NamedTuple):
    """Has the peaks of a card in bfloat16 without sparsity, as its data sheet gives them."""

    name: str
    operations: float  # a second, a multiplication and an addition being two
    bytes: float  # a second, of its memory


class Shape(NamedTuple):
    """Has the sizes of a micro-batch and of a decoder."""

    sentences: int
    source: int
    target: int
    hidden: int
    attention: int


CARDS = (Card("A100 80GB", 312e12, 2.04e12), Card("H100", 989e12, 3.35e12))
SHAPES = (
    Shape(64, 16, 16, 256, 256),
    Shape(64, 16, 16, 512, 512),
    Shape(80, 30, 30, 1000, 1000),
    Shape(112, 32, 32, 1024, 1024),
    Shape(448, 32, 32, 1024, 1024),
)
SYSTEMS = {"reference": "reference", "fused": "ours", "fused, conditional GRU": "ours-conditional"}
# Launches of a step, forward and backward, one kernel beside each product; and of a step of a search, which
# tests/fused/test_triton.py counts.
TRITON = {"triton": (2, 2, 11), "triton, conditional GRU": (4, 4, 13)}
STEPS, ITEM = (12, 16), 2  # two target lengths, and bytes of a number


aten = torch.ops.aten
COMPUTE_NOTHING = {aten._unsafe_view, aten.empty, aten.empty_like, aten.empty_strided, aten.new_empty}


class Count(TorchDispatchMode):
    """Counts the operations that compute: all but those that return a view or fresh memory."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Called for every operation."""
        returns = func._schema.returns
        is_view = bool(returns) and all(r.alias_info is not None and not r.alias_info.is_write for r in returns)
        self.operations += not is_view and func.overloadpacket not in COMPUTE_NOTHING
        return func(*args, **(kwargs or {}))


def model_of(system: str) -> nn.Module:
    """Builds a model of ours of the small size, without values; its encoder is the fused one, which looks at none."""
    dictionary = make_dictionary(40)
    with torch.device("meta"):
        model = build("ours" if system == "reference" else system, "small", dictionary, dictionary)
    if system == "reference":
        model.decoder.fused = None
    return model


def operations(decoder: BahdanauDecoder, steps: int, sentences: int = 3, source: int = 16) -> Tuple[int, int]:
    """Counts the operations of a loop of so many steps, forward and backward."""
    gates, hidden = decoder.recurrence.context_gates.out_features, decoder.recurrence.cell.hidden_size
    annotation, attention = decoder.recurrence.context_gates.in_features, len(decoder.attention.energy)
    shapes: List[Tuple[int, ...]] = [(sentences, steps, gates), (sentences, hidden), (sentences, annotation)]
    shapes += [(sentences, source, attention), (sentences, source, annotation)]
    tensors = [torch.empty(shape, device="meta", requires_grad=True) for shape in shapes]
    embed_gates, state, context, keys, annotations = tensors
    mask = torch.zeros(sentences, source, dtype=torch.bool, device="meta")
    with Count() as count:
        states, _ = decoder.unroll(embed_gates, State(state, context), Source(keys, annotations, mask))
        forward = count.operations
        torch.autograd.backward(
            [states.cell, states.context], [torch.empty_like(s) for s in (states.cell, states.context)]
        )
        return forward, count.operations - forward


def in_search(model: nn.Module) -> int:
    """Counts the operations of a step of a search of five beams, the output layer and reordering included.

    The first step, which prepares, is not counted.
    """
    device, state = model.decoder.attention.energy.device, {}
    with torch.no_grad(), torch.device(device):
        rows = torch.arange(3).repeat_interleave(5)
        encoder_out = model.encoder.reorder_encoder_out(model.encoder(torch.full((3, 6), 5)), rows)
        model.decoder(torch.full((15, 1), 4), encoder_out, state)
        words, rows = torch.full((15, 2), 4), torch.arange(15)
        with Count() as count:
            encoder_out = model.encoder.reorder_encoder_out(encoder_out, rows)
            model.decoder.reorder_incremental_state_scripting(state, rows)
            model.decoder(words, encoder_out, state)
    return count.operations


def per_step() -> Dict[str, Tuple[float, float, float]]:
    """Counts the launches of a target step of every path: forward, backward, and in a search.

    The first two are the difference between two lengths.
    """
    counted: Dict[str, Tuple[float, float, float]] = {}
    for name, system in SYSTEMS.items():
        few, many = (operations(model_of(system).decoder.train(), steps) for steps in STEPS)
        forward, backward = ((more - less) / (STEPS[1] - STEPS[0]) for less, more in zip(few, many))
        counted[name] = (forward, backward, in_search(model_of(system).eval()))
    return {**counted, **TRITON}


def multiplications(shape: Shape) -> float:
    """Counts multiplications and additions of the loop's products, forward and backward, of the default order."""
    sentences, source, target, hidden, attention = shape
    columns = attention + 3 * hidden
    product, looks = sentences * hidden * columns, sentences * source * 3 * hidden
    return 3 * 2 * target * (product + looks)  # once forward, twice backward


def traffic(shape: Shape) -> float:
    """Counts the bytes that a loop of two launches a step moves: weights, keys, values and what a step keeps."""
    sentences, source, target, hidden, attention = shape
    columns = attention + 3 * hidden
    weights, read, kept = columns * hidden, sentences * source * columns, sentences * (attention + 4 * hidden)
    return ITEM * target * (2 * weights + 2 * read + 3 * kept)  # kept is written, read again, and has a gradient


def main() -> None:
    """Prints both tables in Markdown."""
    print("| path | launches of a target step, forward | backward | of a step of a search |\n|---|---|---|---|")
    for name, launches in per_step().items():
        print(f"| {name} | {' | '.join(f'{count:g}' for count in launches)} |")
    heads = "".join(f" {card.name}: floor, ms |" for card in CARDS)
    print(f"\n| sentences, source, target, state, attention | GFLOP | MB |{heads}\n|---|---|---|{'---|' * len(CARDS)}")
    for shape in SHAPES:
        work, moved = multiplications(shape), traffic(shape)
        floors = "".join(f" {1000 * max(work / card.operations, moved / card.bytes):.2f} |" for card in CARDS)
        print(f"| {', '.join(map(str, shape))} | {work / 1e9:.1f} | {moved / 1e6:.0f} |{floors}")


if __name__ == "__main__":
    main()
