"""Every path of the decoder and the encoder is compared here with the readable one in float64 on a CPU.

A path may be as wrong as the readable one is in that precision on that device, and little more.
"""

import collections
from typing import Dict, List, Tuple

import torch
from batches import make_dictionary
from gpu_cases import (
    EXACT,
    LAYOUTS,
    MODULES,
    ORDERS,
    PATHS,
    QUICK,
    SIZES,
    Precision,
    Size,
    along,
    config,
    fill,
    make_decoder,
    precisions,
    random_inputs,
)
from gpu_report import Report, Setting
from torch import Tensor, nn

from fairseq_bahdanau.attention import Source
from fairseq_bahdanau.decoder import BahdanauDecoder
from fairseq_bahdanau.encoder import RecurrentEncoder
from fairseq_bahdanau.model import build_encoder
from fairseq_bahdanau.recurrence import State

# Bounds: a path's error by the reference's; the reference's own error, and the encoder's, by eps. The second are three
# times what a CPU has: they are for what is wrong, not rounded. A sum in float32 has more terms for its digits. So has
# the allowance for two sums of one kind in different order: a few eps, which is 1e-6 in float32.
TIMES_REFERENCE, TIMES_EPS = 2.5, {torch.float32: 64, torch.float16: 16, torch.bfloat16: 16}
ALLOWED_EPS = {torch.float32: 8, torch.float16: 1, torch.bfloat16: 1}
ENCODER_SIZES, ENCODER_QUICK = (6, 1000, 1024), (6, 40)
# PyTorch gives cuDNN's kernel for small states what is not packed (aten/src/ATen/native/cudnn/RNN.cpp,
# use_rnn_persist_small_h), whose float32 is coarser: 98 eps on an H100.
SMALL_STATE, SMALL_STATE_EPS = 192, 256
# Words of the encoder's rows, and on which side their padding stands.
ENCODER_LENGTHS = ((9, "left"), (4, "right"), (0, "left"), (1, "left"), (7, "right"))

Place = Tuple[str, str, str]  # order, layout, quantity


def decoded(decoder: BahdanauDecoder, drawn: Dict[str, Tensor], precision: Precision) -> Dict[str, Tensor]:
    """Returns states, contexts and attention of a decoder, and the gradients of all that they depend on."""
    device = decoder.attention.energy.device
    leaves = {
        name: drawn[name].to(device, precision.of_module()).requires_grad_()
        for name in ("embedded", "state", "context", "annotations")
    }
    padding_mask = drawn["padding_mask"].to(device)
    with precision.cast(device):
        # Under autocast the encoder and the layer of s_0 hand on this type.
        state, context, annotations = (leaves[name].to(precision.dtype) for name in ("state", "context", "annotations"))
        embed_gates = decoder.recurrence.embed_gates(leaves["embedded"])
        keys = decoder.attention.make_keys(annotations)
        states, attention = decoder.unroll(embed_gates, State(state, context), Source(keys, annotations, padding_mask))
    outputs = {"states": states.cell, "contexts": states.context, "attention": attention}
    learnt = {name: value for name, value in decoder.named_parameters() if name.startswith(("attention", "recurrence"))}
    wanted = {**leaves, "keys": keys, "embed_gates": embed_gates, **learnt}
    gradients = torch.autograd.grad(
        list(outputs.values()),
        list(wanted.values()),
        [drawn[f"by {name}"].to(output) for name, output in outputs.items()],
        allow_unused=True,
    )
    result = dict(outputs)
    for (name, value), gradient in zip(wanted.items(), gradients):
        result[f"d.{name}"] = torch.zeros_like(value) if gradient is None else gradient
    return {name: value.detach() for name, value in result.items()}


def errors(found: Dict[str, Tensor], exact: Dict[str, Tensor]) -> Dict[str, float]:
    """Returns the relative error of every quantity; of one that is 0, the size of what was found."""
    values = []
    for name, value in exact.items():
        size = value.norm()
        size = torch.where(size > 0, size, size.new_tensor(value.numel() ** 0.5))
        values.append((found[name].to(value) - value).norm() / size)
    return dict(zip(exact, torch.stack(values).tolist()))


class Comparison:
    """Compares decoders of one size; what several rows need is computed once.

    Args:
        setting: where
        size: of the decoders
    """

    def __init__(self, setting: Setting, size: Size):
        self.setting, self.size = setting, size
        self.decoders: Dict[str, BahdanauDecoder] = {}
        self.exact: Dict[Tuple[str, str, int], Dict[str, Tensor]] = {}
        self.theirs: Dict[str, Dict[Place, float]] = {}

    def prepare(self, order: str) -> None:
        """Computes what is exact in this order of a step."""
        if order not in self.decoders:
            decoder = make_decoder(self.size, order)
            exact = along("reference", order, decoder, EXACT, torch.device("cpu"))
            for name, draw in self.cases():
                found = decoded(exact, random_inputs(self.size, LAYOUTS[name], draw), EXACT)
                self.exact[order, name, draw] = {key: value.to(self.setting.device) for key, value in found.items()}
            self.decoders[order] = decoder

    def cases(self) -> List[Tuple[str, int]]:
        """Returns all names of layouts and numbers of draws."""
        return [(name, draw) for name in LAYOUTS for draw in range(self.size.draws)]

    def errors(self, path: str, way: Precision) -> Dict[Place, float]:
        """Returns the errors of a path in all orders and layouts: over the draws, the root of the mean square."""
        squares: Dict[Place, float] = collections.defaultdict(float)
        for order in ORDERS:
            self.prepare(order)
            decoder = along(path, order, self.decoders[order], way, self.setting.device)
            for name, draw in self.cases():
                found = decoded(decoder, random_inputs(self.size, LAYOUTS[name], draw), way)
                for quantity, error in errors(found, self.exact[order, name, draw]).items():
                    squares[order, name, quantity] += error**2 / self.size.draws
        return {place: square**0.5 for place, square in squares.items()}

    def row(self, report: Report, name: str, path: str, way: Precision) -> None:
        """Prints the row of a path: its greatest error, by the reference's or, of that itself, by eps."""
        if way.name not in self.theirs:
            self.theirs[way.name] = self.errors("reference", way)
        theirs, eps = self.theirs[way.name], way.eps()
        if path == "reference":
            values, bound = {place: error / eps for place, error in theirs.items()}, TIMES_EPS[way.dtype]
        else:
            ours = self.errors(path, way)
            allowed = ALLOWED_EPS[way.dtype] * eps / TIMES_REFERENCE
            values = {place: error / (theirs[place] + allowed) for place, error in ours.items()}
            bound = TIMES_REFERENCE
        value, place = worst(values)
        report.at_most(name, value, bound, f"{'eps' if path == 'reference' else 'x reference'}: {'; '.join(place)}")


def worst(values: Dict[Place, float]) -> Tuple[float, Place]:
    """Returns the greatest value and its place; one that is no number is greater than all."""
    place = max(values, key=lambda key: values[key] if values[key] == values[key] else float("inf"))
    return values[place], place


def decoder_rows(setting: Setting, report: Report) -> None:
    """Compares every path of the decoder, in every precision and size."""
    for size_name in QUICK if setting.quick else SIZES:
        comparison = Comparison(setting, SIZES[size_name])
        for way in precisions(setting):
            for path in PATHS:
                name = f"decoder-{path}-{way.name}-{size_name}"
                report.attempt(name, lambda n=name, p=path, w=way, c=comparison: c.row(report, n, p, w))


def encoder_tokens() -> Tensor:
    """Makes rows of words with padding on either side, one of padding alone."""
    generator = torch.Generator().manual_seed(7)
    longest = max(length for length, _ in ENCODER_LENGTHS)
    tokens = torch.full((len(ENCODER_LENGTHS), longest), 1)
    for row, (length, side) in zip(tokens, ENCODER_LENGTHS):
        words = torch.randint(4, 16, (length,), generator=generator)
        row[longest - length if side == "left" else 0 :][:length] = words
    return tokens


def encoded(encoder: RecurrentEncoder, tokens: Tensor) -> Dict[str, Tensor]:
    """Returns what an encoder makes of the tokens, and the gradients of its parameters."""
    weight = encoder.embed_tokens.weight
    found = encoder(tokens.to(weight.device))
    outputs = {"annotations": found["encoder_out"][0], "last_state": found["last_state"][0]}
    generator = torch.Generator().manual_seed(8)
    by_outputs = [torch.randn(output.shape, generator=generator).bfloat16().to(output) for output in outputs.values()]
    names, parameters = zip(*encoder.named_parameters())
    gradients = torch.autograd.grad(list(outputs.values()), parameters, by_outputs)
    result = {**outputs, **{f"d.{name}": gradient for name, gradient in zip(names, gradients)}}
    return {name: value.detach() for name, value in result.items()}


def encoder_row(setting: Setting, report: Report, name: str, hidden: int, path: str, way: Precision) -> None:
    """Compares the encoder of one size along one path."""
    dictionary = make_dictionary(16)
    size = Size(embed=33, encoder=hidden, hidden=8, attention=8)
    encoder = build_encoder(config(size, ORDERS[0]), dictionary, nn.Embedding(16, size.embed, dictionary.pad()))
    fill(encoder)
    exact = encoded(along("reference", ORDERS[0], encoder.train(), EXACT, torch.device("cpu")), encoder_tokens())
    found = encoded(along(path, ORDERS[0], encoder, way, setting.device), encoder_tokens())
    by_name = errors(found, {key: value.to(setting.device) for key, value in exact.items()})
    value, place = worst({("", "", key): error / way.eps() for key, error in by_name.items()})
    small = setting.on_gpu and path != "reference" and hidden <= SMALL_STATE and way.dtype == torch.float32
    report.at_most(name, value, SMALL_STATE_EPS if small else TIMES_EPS[way.dtype], f"eps: {place[2]}")


def encoder_rows(setting: Setting, report: Report) -> None:
    """Compares the encoder, whose hidden sizes cuDNN does not all like."""
    for hidden in ENCODER_QUICK if setting.quick else ENCODER_SIZES:
        for way in MODULES:
            for path in PATHS:
                name = f"encoder-{path}-{way.name}-hidden-{hidden}"
                report.attempt(name, lambda n=name, h=hidden, p=path, w=way: encoder_row(setting, report, n, h, p, w))
