"""Launches the kernels of a loop in Triton, and holds what they share."""

from typing import Any, Dict, Optional, Tuple

import torch
import triton
from torch import Tensor

from ..attention import Source
from . import triton_kernels as kernels
from .layers import Layers
from .matmul import Product

TILE = 4096  # elements of keys or values that a program has in registers at once
PROGRAMS = 264  # so many keep a GPU busy: two on each of an H100's multiprocessors
BLOCK = 256  # of a GRU that does not look
KEYS_TILE = {"SOURCE": 16, "BLOCK": 64, "num_warps": 4}


def tile(src_len: int, *sizes: int) -> Dict[str, int]:
    """Chooses the block of keys and values that a program takes at once, and its warps."""
    source = max(16, triton.next_power_of_2(src_len))
    block = max(8, min(TILE // source, 128, triton.next_power_of_2(max(sizes))))
    warps = 16 if source * block > 4096 else 8 if source * block > 2048 else 4
    return {"SOURCE": source, "BLOCK": block, "STAGES": 1, "num_warps": warps}


def backward_tile(forward: Dict[str, int]) -> Dict[str, int]:
    """Gives a program that goes back over a long source more warps, with which it spills no registers."""
    return {**forward, "num_warps": 16 if forward["SOURCE"] > 128 else forward["num_warps"]}


class Launcher:
    """Launches kernels; where the same kernel comes again, past Triton's examination of its arguments.

    That takes longer than a small kernel. So a launcher is for one pass of one loop, or for one search, which hands a
    kernel the same tensors at every step, or others of the same kind: types, addresses that are multiples of 16 or are
    not, and, in one grid, sizes.
    """

    def __init__(self) -> None:
        self.compiled: Dict[Any, Any] = {}

    def __call__(self, kernel: Any, grid: Tuple[int, ...], arguments: Tuple[Any, ...], **constants: Any) -> None:
        """Launches a kernel; ``constants`` stand in the order of its parameters, and ``num_warps`` behind them."""
        values = tuple(constants.values())
        compiled = self.compiled.get((id(kernel), grid, values))
        if compiled is None:
            self.compiled[id(kernel), grid, values] = kernel[grid](*arguments, **constants)  # None in the interpreter
            return
        driver = triton.runtime.driver.active
        stream = driver.get_current_stream(driver.get_current_device())
        place = *(*grid, 1, 1)[:3], stream, compiled.function, compiled.packed_metadata
        compiled.run(*place, None, None, None, *arguments, *values[:-1])  # no hooks


class Read:
    """Holds what the looks of a loop read, and launches them.

    Args:
        hidden_size: of the state
        keys: ``(sentences, src_len, attention_dim)``
        values: ``(sentences, src_len, value_dim)``, of which the first ``3 * hidden_size`` are W_c h_j
        energy: v, ``(attention_dim,)``
        padding_mask: ``(sentences, src_len)``, True on padding
    """

    def __init__(self, hidden_size: int, keys: Tensor, values: Tensor, energy: Tensor, padding_mask: Tensor):
        self.tensors = keys, values, energy, padding_mask.contiguous().view(torch.uint8)
        self.sizes = keys.size(1), keys.size(2), hidden_size
        self.tile = tile(*self.sizes)
        self.tile_back = backward_tile(self.tile)
        self.launch = Launcher()

    def forward(
        self,
        t: int,
        look: int,
        products: Tensor,
        columns: Tensor,
        inputs: Optional[Tensor],
        bias: Tensor,
        states: Tuple[Tensor, Tensor],
        attention: Tensor,
        order: Optional[Tensor] = None,
        averages: Optional[Tensor] = None,
        updates: bool = True,
    ) -> None:
        """Launches :func:`~fairseq_bahdanau.fused.triton_kernels.step_forward`; ``states`` are before and after."""
        rows, steps = attention.shape[:2]
        shared = updates or averages is not None
        shares = max(1, min(PROGRAMS // rows, triton.cdiv(self.sizes[2], self.tile["BLOCK"]), 4)) if shared else 1
        arguments = (
            products, columns, bias if inputs is None else inputs, bias, *states, *self.tensors,
            self.tensors[3] if order is None else order, attention, bias if averages is None else averages,
            t, look, rows, steps, *self.sizes, products.size(1), self.tensors[1].size(2),
        )  # fmt: skip
        self.launch(
            kernels.step_forward, (rows, shares), arguments, HAS_INPUTS=inputs is not None,
            HAS_ORDER=order is not None, UPDATES=updates, AVERAGES=averages is not None, **self.tile,
        )  # fmt: skip

    def backward(self, t: int, look: int, kept: Tuple[Tensor, ...], back: "Back", updates: bool = True) -> None:
        """Launches :func:`~fairseq_bahdanau.fused.triton_kernels.step_backward`; ``kept`` are columns and states."""
        columns, before = kept
        rows, steps = back.attention.shape[:2]
        arguments = (
            columns, back.gradient, before, back.by_states, *back.carried(), *self.tensors, back.attention,
            back.by_attention, back.by_scores, t, look, rows, steps, *self.sizes,
        )  # fmt: skip
        self.launch(kernels.step_backward, (rows,), arguments, UPDATES=updates, **self.tile_back)

    def gradients(self, columns: Tensor, back: "Back", by_gates: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        """Returns the gradients of keys, values and v, when all steps have been gone back.

        Args:
            columns: from the step of the first look on
            by_gates: the gradient of what the looks gave the gates, ``(steps, batch, 3 * hidden_size)``; of one step
                less than looks where the last look entered none
        """
        keys, _, energy, _ = self.tensors
        rows, steps, src_len = back.attention.shape
        source, block = KEYS_TILE["SOURCE"], KEYS_TILE["BLOCK"]
        by_keys, blocks = torch.empty_like(keys), (triton.cdiv(src_len, source), triton.cdiv(keys.size(2), block))
        by_energy = keys.new_empty(rows, blocks[0], keys.size(2), dtype=torch.float32)
        kernels.keys_backward[(rows, *blocks)](
            columns, keys, energy, back.by_scores, by_keys, by_energy, rows, steps, src_len, keys.size(2),
            columns.size(2), **KEYS_TILE,
        )  # fmt: skip
        attention = back.attention.narrow(1, 0, by_gates.size(0)).transpose(1, 2)
        return by_keys, torch.bmm(attention, by_gates.transpose(0, 1)), by_energy.sum(dim=(0, 1)).to(keys.dtype)


class Back:
    """Holds the gradients of a loop that is gone back.

    The gradient of a state has three parts: what its readers gave, in the type of the loop; what the update gate of the
    next step let pass, which adds up from step to step and is float32; and that step's product, in the loop's type.

    Args:
        columns, attention: as the loop left them
        by_states: ``(batch, steps, hidden_size)``
        by_attention: ``(batch, steps, src_len)``
    """

    def __init__(self, columns: Tensor, attention: Tensor, by_states: Tensor, by_attention: Tensor):
        self.gradient, self.attention = torch.empty_like(columns), attention
        self.by_states, self.by_attention = by_states.contiguous(), by_attention.contiguous()
        self.by_scores = torch.empty_like(self.by_attention, dtype=torch.float32)
        rows, size = columns.size(1), by_states.size(2)
        self.product = columns.new_zeros(rows, size)
        self.carry, self.passed = (columns.new_zeros(rows, size, dtype=torch.float32) for _ in range(2))

    def carried(self) -> Tuple[Tensor, Tensor, Tensor]:
        """Returns the second and third part, and the memory for the next second part."""
        return self.carry, self.product, self.passed

    def multiply(self, by_columns: Tensor, weight: Tensor) -> None:
        """Goes back through a step's product, once its kernel is launched."""
        self.carry, self.passed = self.passed, self.carry
        torch.mm(by_columns, weight, out=self.product)

    def by_state(self) -> Tensor:
        """Returns the gradient of s_0."""
        return (self.carry + self.product).to(self.product.dtype)


def gru_forward(
    launch: Launcher, t: int, products: Tensor, columns: Tensor, inputs: Tensor, bias: Tensor, states: Any
) -> None:
    """Launches the kernel of this name."""
    rows, size = products.size(0), states[0].size(-1)
    sizes = rows, inputs.size(1), products.size(1) - 3 * size, size
    arguments = products, columns, inputs, bias, *states, t, *sizes
    launch(kernels.gru_forward, (rows, triton.cdiv(size, BLOCK)), arguments, BLOCK=BLOCK, num_warps=4)


def gru_backward(
    launch: Launcher, t: int, columns: Tensor, gradient: Tensor, before: Tensor, back: Back, has_readers: bool
) -> None:
    """Launches the kernel of this name."""
    rows, steps, size = back.by_states.shape
    sizes = rows, steps, columns.size(2) - 4 * size, size
    arguments = columns, gradient, before, back.by_states, *back.carried(), t, *sizes
    blocks = rows, triton.cdiv(size, BLOCK)
    launch(kernels.gru_backward, blocks, arguments, HAS_READERS=has_readers, BLOCK=BLOCK, num_warps=4)


def prepare(decoder: Layers, source: Source, dtype: torch.dtype) -> Tuple[Tensor, Tensor, Tensor]:
    """Makes keys, values and v in the type of the loop; the values contain W_c, and are never read on padding."""
    values = Product.apply(source.values.to(dtype), decoder.recurrence.context_gates.weight.to(dtype), None)
    return source.keys.to(dtype).contiguous(), values, decoder.attention.energy.to(dtype)
